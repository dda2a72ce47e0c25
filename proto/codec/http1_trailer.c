/* SPDX-License-Identifier: MIT */
/*
 * Parser of the trailers of a chunked body (RFC 9112 section 7.1.2), for those who want them.
 *
 * The checker of heads begins at the fields, and says how and where trailers are broken or that
 * they are complete. Only then are they read, so the answer does not depend on how they were cut:
 * errors of syntax come first, then those of meaning in the order of the fields.
 */
#include <weir/http1.h>

#include "core/assert.h"
#include "proto/codec/http1_check.h"
#include "proto/codec/http1_read.h"

/* Frames a message, routes it, or says what the head should have said before the body. */
static bool trailer_is_refused(struct weir_slice name)
{
    return http1_is_word(name, WEIR_TEXT("content-length")) ||
           http1_is_word(name, WEIR_TEXT("transfer-encoding")) ||
           http1_is_word(name, WEIR_TEXT("host")) || http1_is_word(name, WEIR_TEXT("trailer"));
}

/* The line at `at`, which is known to be well formed; the offset of its LF. */
static uint32_t trailer_read(struct weir_http1_field *field, struct http1_span in, uint32_t at)
{
    const uint8_t *const base = in.begin;
    const size_t colon = (size_t)(http1_skip_token(base + at, in) - base);
    WEIR_ASSERT(base[colon] == ':');
    struct http1_range value = { .from = colon + 1 };
    value.to = (size_t)(http1_skip_value(base + value.from, in) - base);
    const uint32_t lf = (uint32_t)(value.to + (base[value.to] == '\r'));
    WEIR_ASSERT(base[lf] == '\n');
    http1_field_set(field, at, colon - at, weir_http1_trim(base, value));
    return lf;
}

static enum weir_parse trailers_refuse(struct weir_parse_err *err, enum weir_http1_error code,
                                       uint32_t at)
{
    *err = (struct weir_parse_err){ .code = code, .offset = at };
    return WEIR_PARSE_ERROR;
}

/* Fill *head from the trailers at `bytes`, which are complete and well formed. */
static enum weir_parse trailers_read(struct weir_http1_head *head,
                                     const struct weir_http1_limits *limits,
                                     struct weir_slice bytes, struct weir_parse_err *err)
{
    const struct http1_span in = { .begin = bytes.ptr, .end = bytes.ptr + bytes.len };
    *head = (struct weir_http1_head){ .base = bytes.ptr, .fields = head->fields };
    uint32_t at = 0;
    while (bytes.ptr[at] != '\r' && bytes.ptr[at] != '\n') {
        if (head->fields_count == limits->fields_max)
            return trailers_refuse(err, WEIR_HTTP1_E_FIELDS_TOO_MANY, at);
        uint32_t lf = trailer_read(&head->fields[head->fields_count], in, at);
        if (trailer_is_refused(weir_http1_name(head, head->fields_count)))
            return trailers_refuse(err, WEIR_HTTP1_E_TRAILER, at);
        head->fields_count++;
        at = lf + 1;
    }
    head->bytes = at + (bytes.ptr[at] == '\r' ? 2 : 1);
    return WEIR_PARSE_DONE;
}

enum weir_parse weir_http1_parse_trailers(struct weir_http1_head *head,
                                          const struct weir_http1_limits *limits,
                                          struct weir_slice bytes, uint32_t *resume,
                                          struct weir_parse_err *err)
{
    WEIR_ASSERT(limits->head_bytes_max >= 64);
    WEIR_ASSERT(limits->head_bytes_max <= WEIR_HTTP1_HEAD_BYTES_MAX);
    WEIR_ASSERT(head->fields != NULL || limits->fields_max == 0);
    if (bytes.len == 0)
        return WEIR_PARSE_MORE;

    /* What may end a line here is a matter of the chunked coding, not of heads. */
    const bool bare_lf = (limits->lenient & WEIR_HTTP1_LENIENT_CHUNK_BARE_LF) != 0;
    struct weir_http1_limits strict = *limits;
    strict.lenient = bare_lf ? WEIR_HTTP1_LENIENT_BARE_LF : 0;
    struct http1_check check = { .limits = &strict, .is_trailers = true };
    enum weir_parse checked = weir_http1_check(&check, bytes, resume, err);
    if (checked == WEIR_PARSE_MORE)
        return WEIR_PARSE_MORE;
    *resume = 0;
    if (checked == WEIR_PARSE_ERROR)
        return WEIR_PARSE_ERROR;
    return trailers_read(head, limits, bytes, err);
}
