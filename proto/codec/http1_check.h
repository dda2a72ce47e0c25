/* SPDX-License-Identifier: MIT */
/* Checker of the syntax of heads that arrive in pieces: says how and where a head is broken. */
#ifndef WEIR_PROTO_CODEC_HTTP1_CHECK_H
#define WEIR_PROTO_CODEC_HTTP1_CHECK_H

#include <weir/http1.h>

#define HTTP1_EMPTY_LINES_MAX 8 /* before a request line */
#define HTTP1_METHOD_BYTES_MAX                                                                     \
    64 /* three times the longest registered one; keeps *resume small                              \
        */

/*
 * The caller sets `limits`, `is_request` and `is_trailers`; the rest is kept between calls in
 * *resume, as at | state << 16 | run_at << 21.
 */
struct http1_check {
    const struct weir_http1_limits *limits;
    uint32_t at;
    uint32_t run_at; /* where the method or the target began, while in one of them */
    uint8_t state;
    bool is_request;
    bool is_trailers; /* no request and no response: fields alone */
};

/*
 * Go on in `bytes` (at least one) from where the last call stopped; *resume is 0 at first. DONE
 * says that the head is complete and well formed, not that it makes sense. Linear in the bytes that
 * are new.
 */
enum weir_parse weir_http1_check(struct http1_check *check, struct weir_slice bytes,
                                 uint32_t *resume, struct weir_parse_err *err);

/* Bytes of the empty lines that may precede a request line, at the start of `bytes`. */
uint32_t weir_http1_leading_bytes(struct weir_slice bytes);

#endif
