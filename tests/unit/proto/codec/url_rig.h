/* SPDX-License-Identifier: MIT */
/* What the tests of URLs share: texts that end at an unmapped page, comparisons that say where. */
#ifndef WEIR_TESTS_UNIT_PROTO_CODEC_URL_RIG_H
#define WEIR_TESTS_UNIT_PROTO_CODEC_URL_RIG_H

#include <weir/random.h>
#include <weir/url.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define COUNT(table)       (sizeof(table) / sizeof((table)[0]))
#define RIG_BYTES_MAX      (1 << 18)
#define RIG_TEXT_BYTES_MAX 4096

static inline struct weir_slice rig_slice(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

/* A copy that ends right before an unmapped page; each of the two places holds one. */
static inline struct weir_slice rig_place(unsigned place, struct weir_slice text)
{
    static uint8_t *pages[2];
    assert_true(place < COUNT(pages));
    assert_true(text.len <= RIG_BYTES_MAX);
    if (pages[place] == NULL) {
        uint8_t *fresh = mmap(NULL, RIG_BYTES_MAX + 65536, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(fresh, MAP_FAILED);
        assert_int_equal(mprotect(fresh + RIG_BYTES_MAX, 65536, PROT_NONE), 0);
        pages[place] = fresh;
    }
    uint8_t *copy = pages[place] + RIG_BYTES_MAX - text.len;
    if (text.len != 0)
        memcpy(copy, text.ptr, text.len);
    return (struct weir_slice){ copy, text.len };
}

static inline void rig_assert_slice(struct weir_slice slice, const char *expected, const char *of)
{
    if (slice.len == strlen(expected) &&
        (slice.len == 0 || !memcmp(slice.ptr, expected, slice.len)))
        return;
    fail_msg("%s: '%.*s' where '%s' was expected", of, (int)slice.len, (const char *)slice.ptr,
             expected);
}

/* Does the error text hold `said` and end in " at byte `offset`"? */
static inline void rig_assert_error(const char *said, int offset, const char *of)
{
    char at[32];
    snprintf(at, sizeof at, " at byte %d", offset);
    const char *error = weir_error_text();
    size_t len = strlen(error), at_len = strlen(at);
    if (strstr(error, said) == NULL || len < at_len || strcmp(error + len - at_len, at) != 0)
        fail_msg("%s: '%s' where '%s%s' was expected", of, error, said, at);
    assert_null(strstr(error, "secret")); /* no passwords in logs */
}

/* A stream of random numbers, and what is made of them. */
struct rig_random {
    uint64_t seed, key, draw;
};

static inline size_t rig_below(struct rig_random *random, size_t limit)
{
    return (size_t)(weir_random_u64(random->seed, random->key, random->draw++) % limit);
}

/* Append up to `max` of the words of a table. */
static inline void rig_words(struct rig_random *random, char *text, const char *const *words,
                             size_t words_count, size_t max)
{
    size_t len = strlen(text);
    for (size_t n = rig_below(random, max + 1); n > 0; n--) {
        const char *word = words[rig_below(random, words_count)];
        assert_true(len + strlen(word) < RIG_TEXT_BYTES_MAX);
        memcpy(text + len, word, strlen(word) + 1);
        len += strlen(word);
    }
}

#endif
