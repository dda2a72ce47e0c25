/* SPDX-License-Identifier: MIT */
/*
 * Members of a structure that a configuration sets, as a table: what a key is called, what it may
 * be and where it goes. One table is read from JSON, written as JSON, and read from a word.
 */
#ifndef MOCK_FAULT_FIELD_H
#define MOCK_FAULT_FIELD_H

#include "mock/fault/rule.h"

/* The longest duration: that of a distribution, 2400 hours, so that sums of times fit 64 bits. */
#define FIELD_US_MAX INT64_C(8640000000000)

/* Of one table. */
#define FIELDS_MAX 32

enum field_type {
    FIELD_BOOL,     /* bool */
    FIELD_INTEGER,  /* of `bytes`: 2, 4, 8 */
    FIELD_SHARE,    /* double, 0 ... 1 */
    FIELD_DURATION, /* uint64_t in ns; in JSON an integer of microseconds */
    FIELD_NAME,     /* an enum: one of `names` */
    FIELD_TEXT,     /* char *, from malloc() */
    FIELD_OTHER     /* the owner of the table reads and writes it himself */
};

struct field {
    const char *key;  /* in JSON */
    const char *word; /* in X-Mock-Fault; NULL: the same */
    enum field_type type;
    uint8_t bytes;
    bool forever; /* DURATION: may be "forever", FAULT_FOREVER */
    size_t offset;
    int64_t min, max; /* INTEGER; DURATION in us; TEXT in bytes */
    const char *const *names;
    size_t names_count;
    uint32_t kinds;    /* of faults that know it; for actions only */
    uint32_t required; /* those that cannot do without */
    uint32_t main;     /* those of which it is the value behind the kind in a word */
};

/* The object that is read: where it is, and where to say what is wrong with it. */
struct field_place {
    struct fault_error *err;
    const char *pointer; /* "/when"; NULL: it is a word, whose keys the text has to name */
    const char *owner;   /* what has the keys, in a sentence: "a rule", "reset" */
};

/* Say what is wrong with `key` (NULL: with the whole object). @return -EINVAL */
int field_fail(const struct field_place *place, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "expected WANTED, got ...". @return -EINVAL */
int field_fail_got(const struct field_place *place, const char *key, const char *wanted,
                   const json_t *got);

/* No such key: the nearest of `known`, or all of them. @return -EINVAL */
int field_fail_unknown(const struct field_place *place, const char *key, const char *const *known,
                       size_t count);

/* What went wrong in `key` below it: `inner` is added to the pointer. @return -EINVAL */
int field_fail_inside(const struct field_place *place, const char *key, const char *inner,
                      const char *text);

/* Set the member of `base` that `field` describes. @return 0; -EINVAL, and it is said; -ENOMEM */
int field_read(const struct field *field, void *base, const json_t *value,
               const struct field_place *place);

/* The same from the text of a word. */
int field_parse(const struct field *field, void *base, const char *text,
                const struct field_place *place);

/* Read an object of which each member is one of `fields`. @return as field_read() */
int field_read_all(const struct field *fields, size_t count, void *base, const json_t *object,
                   const struct field_place *place);

/* Add it to `object`, unless it is what it is in `defaults`. @return 0; -ENOMEM */
int field_write(const struct field *field, const void *base, const void *defaults, json_t *object);

/* A string of which the caller checked the length. @return 0; -EINVAL for a NUL in it; -ENOMEM */
int field_copy_text(char **out, const json_t *string);

/* An integer, written as one or as a number without a fraction (1e6). @return false: it is none */
bool field_integer(const json_t *value, int64_t *out);

#endif
