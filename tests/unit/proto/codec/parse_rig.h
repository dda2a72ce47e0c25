/* SPDX-License-Identifier: MIT */
/*
 * Rig for the tests of incremental parsers: runs one input whole, cut at every byte and byte by
 * byte, each time in fresh memory that ends at a page nobody may read, and demands one outcome of
 * them all.
 */
#ifndef WEIR_TESTS_PARSE_RIG_H
#define WEIR_TESTS_PARSE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <weir/http1.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RIG_INPUT_BYTES_MAX 131072
#define RIG_FIELDS_MAX      64
#define RIG_PAYLOAD_BYTES   RIG_INPUT_BYTES_MAX

/* Memory whose last byte is followed by a page that faults. */
struct rig_memory {
    uint8_t *map, *end;
};

static struct rig_memory rig_memory;

static inline void rig_open(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, RIG_INPUT_BYTES_MAX + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    rig_memory = (struct rig_memory){ .map = map, .end = map + RIG_INPUT_BYTES_MAX };
    assert_int_equal(mprotect(rig_memory.end, page, PROT_NONE), 0);
}

static inline void rig_close(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(munmap(rig_memory.map, RIG_INPUT_BYTES_MAX + page), 0);
}

static inline int rig_setup(void **state)
{
    (void)state;
    rig_open();
    return 0;
}

static inline int rig_teardown(void **state)
{
    (void)state;
    rig_close();
    return 0;
}

/* Copy `s` so that it ends at the guard page. What stood before it is wiped: stale views show up.
 */
static inline struct weir_slice rig_place(struct weir_slice s)
{
    assert_true(s.len <= RIG_INPUT_BYTES_MAX);
    uint8_t *at = rig_memory.end - s.len;
    size_t wipe = s.len < 32 ? 64 : 0;
    memset(at - wipe, 0xfe, wipe);
    if (s.len != 0)
        memcpy(at, s.ptr, s.len);
    return (struct weir_slice){ .ptr = at, .len = s.len };
}

static inline struct weir_slice rig_prefix(struct weir_slice s, size_t len)
{
    return (struct weir_slice){ .ptr = s.ptr, .len = len };
}

/* Print bytes so that a failing row can be found and pasted into C. */
static inline void rig_print(const char *what, struct weir_slice s)
{
    fprintf(stderr, "%s: \"", what);
    for (size_t i = 0; i < s.len && i < 400; i++) {
        uint8_t c = s.ptr[i];
        if (c == '\r')
            fputs("\\r", stderr);
        else if (c == '\n')
            fputs("\\n", stderr);
        else if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            fprintf(stderr, "\\%03o", c);
        else
            fputc(c, stderr);
    }
    fprintf(stderr, "\" (%zu bytes)\n", s.len);
}

/* ---- Heads --------------------------------------------------------------------------------------
 */

struct rig_head_input {
    struct weir_slice bytes;
    bool is_request;
    struct weir_slice request_method;
    struct weir_http1_limits limits; /* fields_max at most RIG_FIELDS_MAX */
};

/* `head` refers to where the input was placed last: valid until the next run. */
struct rig_head_outcome {
    enum weir_parse result;
    struct weir_parse_err err;
    struct weir_http1_head head;
    struct weir_http1_field fields[RIG_FIELDS_MAX];
    uint32_t base_at;
};

static inline void rig_head_step(struct rig_head_outcome *out, const struct rig_head_input *input,
                                 size_t len, uint32_t *resume)
{
    struct weir_slice bytes = rig_place(rig_prefix(input->bytes, len));
    /* Nothing of one call may be needed by the next but *resume. */
    memset(out, 0xa5, sizeof *out);
    out->head.fields = out->fields;
    if (input->is_request)
        out->result =
            weir_http1_parse_request(&out->head, &input->limits, bytes, resume, &out->err);
    else
        out->result = weir_http1_parse_response(&out->head, &input->limits, input->request_method,
                                                bytes, resume, &out->err);
    if (out->result == WEIR_PARSE_DONE) {
        assert_true(out->head.base >= bytes.ptr);
        assert_true(out->head.bytes <= bytes.len);
        out->base_at = (uint32_t)(out->head.base - bytes.ptr);
    }
}

/* One view of two runs: the same place in the head and the same bytes, or none in both. */
static inline bool rig_same_view(struct weir_slice a, const uint8_t *a_base, struct weir_slice b,
                                 const uint8_t *b_base)
{
    if (a.ptr == NULL || b.ptr == NULL)
        return a.ptr == b.ptr && a.len == b.len;
    return a.len == b.len && a.ptr - a_base == b.ptr - b_base;
}

static inline bool rig_head_same(const struct rig_head_outcome *a, const struct rig_head_outcome *b)
{
    const struct weir_http1_head *x = &a->head, *y = &b->head;
    if (a->result != b->result)
        return false;
    if (a->result == WEIR_PARSE_MORE)
        return true;
    if (a->result == WEIR_PARSE_ERROR)
        return a->err.code == b->err.code && a->err.offset == b->err.offset;
    return a->base_at == b->base_at && x->bytes == y->bytes && x->fields_count == y->fields_count &&
           x->status == y->status && x->version_minor == y->version_minor &&
           x->keep_alive == y->keep_alive && x->expect_continue == y->expect_continue &&
           x->upgrade == y->upgrade && x->framing == y->framing &&
           x->content_length == y->content_length &&
           x->has_content_length == y->has_content_length &&
           rig_same_view(x->method, x->base, y->method, y->base) &&
           rig_same_view(x->target, x->base, y->target, y->base) &&
           rig_same_view(x->host, x->base, y->host, y->base) &&
           rig_same_view(x->reason, x->base, y->reason, y->base) &&
           memcmp(a->fields, b->fields, x->fields_count * sizeof a->fields[0]) == 0;
}

static inline void rig_head_demand(const struct rig_head_outcome *want,
                                   const struct rig_head_outcome *got,
                                   const struct rig_head_input *input, size_t cut)
{
    if (rig_head_same(want, got))
        return;
    rig_print("input", input->bytes);
    fail_msg("cut at %zu: result %d code %d offset %u, whole: result %d code %d offset %u", cut,
             (int)got->result, (int)got->err.code, (unsigned)got->err.offset, (int)want->result,
             (int)want->err.code, (unsigned)want->err.offset);
}

/* Run `input` in every way; *out is the outcome, of a last run whole. */
static inline void rig_head_run(struct rig_head_outcome *out, const struct rig_head_input *input)
{
    static struct rig_head_outcome whole, part;
    const size_t len = input->bytes.len;
    uint32_t resume = 0;
    rig_head_step(&whole, input, len, &resume);

    for (size_t cut = 0; cut <= len; cut++) {
        resume = 0;
        rig_head_step(&part, input, cut, &resume);
        if (part.result == WEIR_PARSE_MORE)
            rig_head_step(&part, input, len, &resume);
        rig_head_demand(&whole, &part, input, cut);
    }
    resume = 0;
    for (size_t end = 0; end <= len; end++) {
        rig_head_step(&part, input, end, &resume);
        if (part.result != WEIR_PARSE_MORE)
            break;
    }
    rig_head_demand(&whole, &part, input, 1);
    resume = 0;
    rig_head_step(out, input, len, &resume);
    out->head.fields = out->fields;
}

/* ---- Bodies -------------------------------------------------------------------------------------
 */

struct rig_body_input {
    struct weir_slice bytes;
    enum weir_http1_framing framing;
    uint64_t content_length;
    uint32_t flags; /* of weir_http1_body_init_with() */
};

struct rig_body_outcome {
    enum weir_parse result;
    enum weir_http1_error code;
    size_t at; /* consumed, or where the error is, from the first byte of the body */
    size_t payload_bytes;
    uint8_t payload[RIG_PAYLOAD_BYTES];
};

/* Feed one piece until it is used up or the body has ended. */
static inline void rig_body_piece(struct rig_body_outcome *out, struct weir_http1_body *body,
                                  struct weir_slice piece)
{
    struct weir_slice in = rig_place(piece);
    do {
        struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
        struct weir_slice payload;
        size_t consumed = SIZE_MAX;
        out->result = weir_http1_body_feed(body, in, &consumed, &payload, &err);
        assert_true(consumed <= in.len);
        assert_true(payload.len <= consumed);
        if (payload.len != 0) {
            assert_true(payload.ptr >= in.ptr);
            assert_true(payload.ptr + payload.len <= in.ptr + consumed);
            memcpy(out->payload + out->payload_bytes, payload.ptr, payload.len);
            out->payload_bytes += payload.len;
        }
        if (out->result == WEIR_PARSE_ERROR) {
            assert_int_equal(payload.len, 0);
            assert_int_equal(err.offset, consumed);
            out->code = err.code;
        }
        out->at += consumed;
        /* A call that neither consumes nor fails would be asked for ever. */
        assert_true(consumed != 0 || in.len == 0 || out->result != WEIR_PARSE_MORE);
        in.ptr += consumed;
        in.len -= consumed;
    } while (in.len != 0 && out->result == WEIR_PARSE_MORE);
    assert_int_equal(body->decoded_bytes, out->payload_bytes);
}

static inline void rig_body_begin(struct rig_body_outcome *out, struct weir_http1_body *body,
                                  const struct rig_body_input *input)
{
    out->result = WEIR_PARSE_MORE;
    out->code = WEIR_HTTP1_E_NONE;
    out->at = 0;
    out->payload_bytes = 0;
    weir_http1_body_init_with(body, input->framing, input->content_length, input->flags);
}

static inline void rig_body_demand(const struct rig_body_outcome *want,
                                   const struct rig_body_outcome *got,
                                   const struct rig_body_input *input, size_t cut)
{
    if (want->result == got->result && want->code == got->code && want->at == got->at &&
        want->payload_bytes == got->payload_bytes &&
        memcmp(want->payload, got->payload, want->payload_bytes) == 0)
        return;
    rig_print("input", input->bytes);
    fail_msg("cut at %zu: result %d code %d at %zu payload %zu, whole: %d, %d, %zu, %zu", cut,
             (int)got->result, (int)got->code, got->at, got->payload_bytes, (int)want->result,
             (int)want->code, want->at, want->payload_bytes);
}

/* Run `input` in pieces of `step` bytes, the first of `first` bytes. */
static inline void rig_body_pieces(struct rig_body_outcome *out, const struct rig_body_input *input,
                                   size_t first, size_t step)
{
    struct weir_http1_body body;
    rig_body_begin(out, &body, input);
    size_t at = 0;
    size_t piece = first;
    do {
        if (piece > input->bytes.len - at)
            piece = input->bytes.len - at;
        rig_body_piece(out, &body,
                       (struct weir_slice){ .ptr = input->bytes.ptr + at, .len = piece });
        at += piece;
        piece = step;
    } while (at < input->bytes.len && out->result == WEIR_PARSE_MORE);
}

/* Run `input` in every way. */
static inline void rig_body_run(struct rig_body_outcome *out, const struct rig_body_input *input)
{
    static struct rig_body_outcome part;
    const size_t len = input->bytes.len;
    rig_body_pieces(out, input, len, len);
    for (size_t cut = 0; cut < len; cut++) {
        rig_body_pieces(&part, input, cut, len);
        rig_body_demand(out, &part, input, cut);
    }
    rig_body_pieces(&part, input, 1, 1);
    rig_body_demand(out, &part, input, 1);
}

#endif
