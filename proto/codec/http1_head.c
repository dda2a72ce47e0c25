/* SPDX-License-Identifier: MIT */
/*
 * Parser of request and response heads.
 *
 * Two readings of one grammar share the work:
 *
 *   a reader     (http1_read.h) takes a complete head in one pass over its bytes, at the
 *                speed of the CPU's vectors, and says "good" or "not good" and nothing else.
 *   the checker  (http1_check.c) is an automaton over single bytes. It says how a head is broken
 *                and where, or that it is good so far, and its state fits the 32 bits of *resume.
 *
 * A head that lies in the buffer as a whole is read once. One that arrives in pieces is tried by
 * the reader at its first piece, passes the checker piece by piece (so rubbish is refused at its
 * first wrong byte), and is read once more when the checker has seen its end: at most three passes
 * over any byte.
 *
 * The answer never depends on how the bytes were cut, nor on the reader, because each error has one
 * place:
 *   - an error of syntax is the checker's, reported at the first byte that no good head could have
 *     here;
 *   - an error of meaning (Host, Content-Length, ...) is the reader's, reported only when the head
 *     is complete and its syntax is good; the first one in the order of the fields wins.
 */
#include <weir/http1.h>

#include "core/assert.h"
#include "proto/codec/http1_check.h"
#include "proto/codec/http1_read.h"
#include "proto/codec/simd.h"

#include <stdatomic.h>

/* ---- Paths ------------------------------------------------------------------------------- */

static const struct http1_path *path_of(enum weir_simd simd)
{
    switch (simd) {
#if defined(__x86_64__)
    case WEIR_SIMD_SSE42:
        return &weir_http1_sse42;
    case WEIR_SIMD_AVX2:
        return &weir_http1_avx2;
#elif defined(__aarch64__)
    case WEIR_SIMD_NEON:
        return &weir_http1_neon;
#endif
    default:
        return &weir_http1_scalar;
    }
}

static enum weir_parse first_request(struct weir_http1_head *head,
                                     const struct weir_http1_limits *limits,
                                     struct weir_slice bytes, uint32_t *resume,
                                     struct weir_parse_err *err);
static enum weir_parse first_response(struct weir_http1_head *head,
                                      const struct weir_http1_limits *limits,
                                      struct weir_slice request_method, struct weir_slice bytes,
                                      uint32_t *resume, struct weir_parse_err *err);

/* The first call finds out which path to use. Two threads that are both first store the same. */
static const struct http1_path first = { .request = first_request, .response = first_response };
static _Atomic(const struct http1_path *) path = &first;

void weir_http1_use(enum weir_simd simd)
{
    WEIR_ASSERT(weir_simd_has(simd));
    atomic_store_explicit(&path, path_of(simd), memory_order_relaxed);
}

const char *weir_http1_simd(void)
{
    const struct http1_path *used = atomic_load_explicit(&path, memory_order_relaxed);
    for (int i = 0; i < WEIR_SIMD_COUNT; i++) {
        enum weir_simd simd = (enum weir_simd)i;
        if (weir_simd_has(simd) && path_of(simd) == used)
            return weir_simd_name(simd);
    }
    return weir_simd_name(weir_simd_used()); /* nothing was parsed yet */
}

static enum weir_parse first_request(struct weir_http1_head *head,
                                     const struct weir_http1_limits *limits,
                                     struct weir_slice bytes, uint32_t *resume,
                                     struct weir_parse_err *err)
{
    weir_http1_use(weir_simd_used());
    return weir_http1_parse_request(head, limits, bytes, resume, err);
}

static enum weir_parse first_response(struct weir_http1_head *head,
                                      const struct weir_http1_limits *limits,
                                      struct weir_slice request_method, struct weir_slice bytes,
                                      uint32_t *resume, struct weir_parse_err *err)
{
    weir_http1_use(weir_simd_used());
    return weir_http1_parse_response(head, limits, request_method, bytes, resume, err);
}

enum weir_parse weir_http1_parse_request(struct weir_http1_head *head,
                                         const struct weir_http1_limits *limits,
                                         struct weir_slice bytes, uint32_t *resume,
                                         struct weir_parse_err *err)
{
    return atomic_load_explicit(&path, memory_order_relaxed)
        ->request(head, limits, bytes, resume, err);
}

enum weir_parse weir_http1_parse_response(struct weir_http1_head *head,
                                          const struct weir_http1_limits *limits,
                                          struct weir_slice request_method, struct weir_slice bytes,
                                          uint32_t *resume, struct weir_parse_err *err)
{
    return atomic_load_explicit(&path, memory_order_relaxed)
        ->response(head, limits, request_method, bytes, resume, err);
}

/* ---- What a path does not settle --------------------------------------------------------- */

static bool read_again(struct http1_reader *r)
{
    return atomic_load_explicit(&path, memory_order_relaxed)->read(r);
}

enum weir_parse weir_http1_check_head(struct http1_reader *r, struct weir_slice bytes,
                                      uint32_t *resume, struct weir_parse_err *err)
{
    const bool fresh = *resume == 0; /* then it was read, in vain */
    struct http1_check check = { .limits = r->limits, .is_request = r->is_request };
    enum weir_parse checked = weir_http1_check(&check, bytes, resume, err);
    if (checked == WEIR_PARSE_MORE)
        return WEIR_PARSE_MORE;
    *resume = 0;
    if (checked == WEIR_PARSE_ERROR)
        return WEIR_PARSE_ERROR;
    if (!fresh && read_again(r))
        return WEIR_PARSE_DONE;
    /* Complete and well formed: what stopped the reader is a leniency it does not know, which may
     * look to it like a wrong meaning, or a meaning. */
    if (r->limits->lenient != 0) {
        r->refusal.code = WEIR_HTTP1_E_NONE;
        if (weir_http1_read_lenient(r))
            return WEIR_PARSE_DONE;
    }
    if (WEIR_NEVER(r->refusal.code == WEIR_HTTP1_E_NONE))
        r->refusal.code = WEIR_HTTP1_E_START_LINE;
    *err = r->refusal;
    return WEIR_PARSE_ERROR;
}

enum weir_parse weir_http1_resume(struct http1_reader *r, struct weir_slice bytes, uint32_t *resume,
                                  struct weir_parse_err *err)
{
    if (bytes.len == 0)
        return WEIR_PARSE_MORE;
    if (*resume == 0 && read_again(r))
        return WEIR_PARSE_DONE;
    return weir_http1_check_head(r, bytes, resume, err);
}

/* ---- Fields ------------------------------------------------------------------------------ */

static bool name_equals(struct weir_slice a, struct weir_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        uint8_t x = a.ptr[i], y = b.ptr[i];
        if (x == y)
            continue;
        /* Only letters have a case: '^' and '~' differ by the same bit and are two names. */
        if ((x ^ y) != 0x20 || (uint8_t)((x | 0x20) - 'a') > 25)
            return false;
    }
    return true;
}

struct weir_slice weir_http1_find(const struct weir_http1_head *head, struct weir_slice name)
{
    for (unsigned i = 0; i < head->fields_count; i++) {
        if (name_equals(weir_http1_name(head, i), name))
            return weir_http1_value(head, i);
    }
    return (struct weir_slice){ .ptr = NULL, .len = 0 };
}
