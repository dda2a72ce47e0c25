/* SPDX-License-Identifier: MIT */
/*
 * Text that grows as it is written: what weir-get tells, before it is told. A failure is remembered
 * until the end, so that many small pieces need one check.
 */
#ifndef WEIR_PERF_GET_TEXT_H
#define WEIR_PERF_GET_TEXT_H

#include <weir/base.h>

/* Zeroed, it is empty; released by get_text_deinit(). */
struct get_text {
    uint8_t *ptr;
    size_t len, capacity;
    size_t max; /* longest that it may become; 0 = as long as there is memory */
    int err;    /* -ENOMEM, or WEIR_E_LIMIT: what was added since is missing */
};

void get_text_deinit(struct get_text *text);
/* Empty it, and forget the failure; the memory stays. */
void get_text_clear(struct get_text *text);

void get_text_add(struct get_text *text, struct weir_slice piece);
void get_text_add_string(struct get_text *text, const char *string);
__attribute__((format(printf, 2, 3))) void get_text_printf(struct get_text *text,
                                                           const char *format, ...);

/* All of it, as long as nothing is added. */
static inline struct weir_slice get_text_slice(const struct get_text *text)
{
    return (struct weir_slice){ text->ptr, text->len };
}

/* ---- JSON ---- */

/* A string: as it is when it is UTF-8; other bytes are taken for Latin-1, as those of header
 * fields were meant once. */
void get_text_json(struct get_text *text, struct weir_slice value);
/* A member of an object, `"name":"value"` when the value is UTF-8, else `"name_base64":"..."`:
 * so that no byte is lost. */
void get_text_json_bytes(struct get_text *text, const char *name, struct weir_slice value);

#endif
