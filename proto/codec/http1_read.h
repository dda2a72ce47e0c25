/* SPDX-License-Identifier: MIT */
/*
 * What the readers of a whole head share: the state of one reading, and what the few fields mean
 * that decide how a message and its connection go on.
 *
 * A reader takes a complete head in one pass over its bytes, fills struct weir_http1_head and draws
 * the conclusions (framing, Host, keep-alive). It knows "good" from "not good" and nothing else:
 * when the bytes end early or are malformed it just stops.
 *
 * There is one reader for each set of instructions: http1_read_impl.h, compiled by http1_read_*.c
 * with the ways to find the end of a run that the set has. All give the same answer.
 */
#ifndef WEIR_PROTO_CODEC_HTTP1_READ_H
#define WEIR_PROTO_CODEC_HTTP1_READ_H

#include <weir/http1.h>

#include "proto/codec/http1_char.h"
#include "proto/codec/http1_check.h"
#include "proto/codec/simd.h"

#ifndef HTTP1_INLINE
#define HTTP1_INLINE static inline __attribute__((always_inline))
#endif

enum http1_seen {
    HTTP1_SEEN_HOST = 1,
    HTTP1_SEEN_LENGTH = 2,
    HTTP1_SEEN_TE = 4,
    HTTP1_SEEN_TE_CHUNKED = 8,  /* the last coding listed so far is `chunked` */
    HTTP1_SEEN_TE_UNKNOWN = 16, /* some coding is not */
    HTTP1_SEEN_UPGRADE = 32,
    HTTP1_SEEN_CONN_CLOSE = 64,
    HTTP1_SEEN_CONN_KEEP_ALIVE = 128,
    HTTP1_SEEN_CONN_UPGRADE = 256,
};

struct http1_reader {
    struct weir_http1_head *head;
    const struct weir_http1_limits *limits;
    struct http1_span in;
    struct weir_slice request_method; /* responses: what is answered */
    struct weir_parse_err refusal; /* of a meaning; code NONE when the syntax stopped the reader */
    uint32_t te_at;
    uint32_t seen; /* enum http1_seen */
    bool is_request;
};

/* Refuse a meaning at `at`; false, so that callers can return it. */
bool weir_http1_refuse(struct http1_reader *r, enum weir_http1_error code, const uint8_t *at);

/* Is the target's form the one that goes with the method? Only asked when it is not origin-form. */
bool weir_http1_check_target(struct http1_reader *r);

/* Host, blanks cut off: in whatever form. */
bool weir_http1_on_host(struct http1_reader *r, struct weir_slice value);
/* A field for which http1_named() is true, blanks cut off. */
bool weir_http1_on_field(struct http1_reader *r, struct weir_slice name, struct weir_slice value);

/* What the fields came to; `end` is the byte after the head. */
bool weir_http1_finish_request(struct http1_reader *r, const uint8_t *end);
bool weir_http1_finish_response(struct http1_reader *r);

/* A value, as offsets from the start line. */
struct http1_range {
    size_t from, to;
};

/* Cut blanks off. */
struct http1_range weir_http1_trim(const uint8_t *base, struct http1_range value);

/* Could a name be one of those that decide how the connection goes on, by its length and first
 * byte? */
static inline bool http1_named(uint8_t first, size_t len)
{
    /* Host, Expect, Upgrade, Connection, Content-Length, Transfer-Encoding */
    static const uint8_t firsts[32] = {
        [4] = 'h', [6] = 'e', [7] = 'u', [10] = 'c', [14] = 'c', [17] = 't'
    };
    return len < sizeof firsts && firsts[len] == (first | 0x20);
}

static inline void http1_field_set(struct weir_http1_field *field, size_t name, size_t name_len,
                                   struct http1_range value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    /* All are below 65536: heads are no longer. */
    uint32_t halves[2] = { (uint32_t)(name | name_len << 16),
                           (uint32_t)(value.from | (value.to - value.from) << 16) };
    _Static_assert(sizeof *field == sizeof halves, "a field is four numbers of 16 bits");
    memcpy(field, halves, sizeof halves);
#else
    *field = (struct weir_http1_field){ .name_at = (uint16_t)name,
                                        .name_len = (uint16_t)name_len,
                                        .value_at = (uint16_t)value.from,
                                        .value_len = (uint16_t)(value.to - value.from) };
#endif
}

/*
 * Read a whole head that the checker has found good with the leniencies of r->limits: line by line,
 * at no speed. Never before.
 */
bool weir_http1_read_lenient(struct http1_reader *r);

/* What a set of instructions has. */
struct http1_path {
    enum weir_parse (*request)(struct weir_http1_head *head, const struct weir_http1_limits *limits,
                               struct weir_slice bytes, uint32_t *resume,
                               struct weir_parse_err *err);
    enum weir_parse (*response)(struct weir_http1_head *head,
                                const struct weir_http1_limits *limits,
                                struct weir_slice request_method, struct weir_slice bytes,
                                uint32_t *resume, struct weir_parse_err *err);
    /* Read a whole head. head, limits, in, request_method, is_request are set; true: everything
     * else is filled. */
    bool (*read)(struct http1_reader *r);
};

extern const struct http1_path weir_http1_scalar;
#if defined(__x86_64__)
extern const struct http1_path weir_http1_sse42;
extern const struct http1_path weir_http1_avx2;
#elif defined(__aarch64__)
extern const struct http1_path weir_http1_neon;
#endif

/* Use the path of `simd`, which the CPU must have. For tests and measurements. */
void weir_http1_use(enum weir_simd simd);

/* What reading a first piece at once did not settle. */
enum weir_parse weir_http1_check_head(struct http1_reader *r, struct weir_slice bytes,
                                      uint32_t *resume, struct weir_parse_err *err);
/* A piece that is not the first, or shorter than a vector. */
enum weir_parse weir_http1_resume(struct http1_reader *r, struct weir_slice bytes, uint32_t *resume,
                                  struct weir_parse_err *err);

#endif
