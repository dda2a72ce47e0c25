/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: heads. The first four bytes choose the direction, the limits and the cuts; the rest
 * is the head. The outcome must not depend on the cuts, nor on the set of instructions that reads
 * it, and every view must lie inside the bytes.
 */
#include <weir/http1.h>

#include "proto/codec/http1_read.h"

#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 16

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

struct run {
    enum weir_parse result;
    struct weir_parse_err err;
    struct weir_http1_head head;
    struct weir_http1_field fields[FIELDS_MAX];
    uint32_t resume;
};

static const struct weir_slice methods[] = {
    { (const uint8_t *)"GET", 3 },
    { (const uint8_t *)"HEAD", 4 },
    { (const uint8_t *)"CONNECT", 7 },
};

/* A view as an offset: NULL stays that, and 0 is 1. */
static const uint8_t *offset_of(const uint8_t *ptr, const uint8_t *copy)
{
    return ptr == NULL ? NULL : (const uint8_t *)(uintptr_t)(ptr - copy + 1);
}

/* The bytes are gone in a moment. */
static void keep_offsets(struct weir_http1_head *head, const uint8_t *copy)
{
    head->base = offset_of(head->base, copy);
    head->method.ptr = offset_of(head->method.ptr, copy);
    head->target.ptr = offset_of(head->target.ptr, copy);
    head->reason.ptr = offset_of(head->reason.ptr, copy);
    head->host.ptr = offset_of(head->host.ptr, copy);
}

static void step(struct run *run, const uint8_t *choice, const uint8_t *data, size_t len)
{
    const struct weir_http1_limits limits = {
        .head_bytes_max = 64u + choice[1] * 4u,
        .target_bytes_max = (choice[0] & 4) != 0 ? 16 : 1024,
        .fields_max = (choice[0] & 8) != 0 ? 2 : FIELDS_MAX,
        .lenient = (choice[0] & 2) != 0 ? choice[2] * 8u + choice[3] % 8u : 0,
    };
    /* Memory of its own, so that the sanitizer sees the smallest overrun and every stale view. */
    uint8_t *copy = malloc(len + (len == 0));
    DEMAND(copy != NULL);
    if (len != 0)
        memcpy(copy, data, len);
    struct weir_slice bytes = { copy, len };
    run->head.fields = run->fields;
    if ((choice[0] & 1) != 0)
        run->result = weir_http1_parse_request(&run->head, &limits, bytes, &run->resume, &run->err);
    else
        run->result = weir_http1_parse_response(&run->head, &limits, methods[choice[0] / 16 % 3],
                                                bytes, &run->resume, &run->err);
    if (run->result == WEIR_PARSE_DONE) {
        const struct weir_http1_head *head = &run->head;
        DEMAND(head->bytes <= len && head->bytes <= limits.head_bytes_max);
        DEMAND(copy[head->bytes - 1] == '\n');
        DEMAND(limits.lenient != 0 || memcmp(copy + head->bytes - 4, "\r\n\r\n", 4) == 0);
        DEMAND(head->fields_count <= limits.fields_max);
        for (unsigned i = 0; i < head->fields_count; i++) {
            struct weir_slice name = weir_http1_name(head, i), value = weir_http1_value(head, i);
            DEMAND(weir_http1_is_token(name));
            DEMAND(limits.lenient != 0 || weir_http1_is_field_value(value));
            DEMAND(value.ptr + value.len <= copy + head->bytes);
            DEMAND(weir_http1_find(head, name).ptr != NULL);
        }
        keep_offsets(&run->head, copy);
    } else if (run->result == WEIR_PARSE_ERROR) {
        DEMAND(run->err.offset <= len && weir_http1_error_status(run->err.code) >= 400);
    }
    free(copy);
}

static bool same_slice(struct weir_slice a, struct weir_slice b)
{
    return a.ptr == b.ptr && a.len == b.len;
}

static void demand_same(const struct run *a, const struct run *b)
{
    DEMAND(a->result == b->result && a->resume == b->resume);
    if (a->result == WEIR_PARSE_ERROR)
        DEMAND(a->err.code == b->err.code && a->err.offset == b->err.offset);
    if (a->result != WEIR_PARSE_DONE)
        return;
    const struct weir_http1_head *x = &a->head, *y = &b->head;
    DEMAND(x->base == y->base && x->bytes == y->bytes && x->fields_count == y->fields_count);
    DEMAND(x->framing == y->framing && x->content_length == y->content_length);
    DEMAND(x->has_content_length == y->has_content_length);
    DEMAND(x->expect_continue == y->expect_continue && x->version_minor == y->version_minor);
    DEMAND(x->keep_alive == y->keep_alive && x->upgrade == y->upgrade && x->status == y->status);
    DEMAND(same_slice(x->method, y->method) && same_slice(x->target, y->target));
    DEMAND(same_slice(x->host, y->host) && same_slice(x->reason, y->reason));
    DEMAND(memcmp(a->fields, b->fields, x->fields_count * sizeof *a->fields) == 0);
}

/* In pieces, the first and the others of the lengths that were chosen. */
static void run_cut(struct run *out, const uint8_t *choice, const uint8_t *data, size_t size)
{
    size_t stride = 1 + choice[3] % 16;
    *out = (struct run){ .resume = 0 };
    for (size_t len = choice[2] % (size + 1);; len = len + stride < size ? len + stride : size) {
        step(out, choice, data, len);
        if (out->result != WEIR_PARSE_MORE || len == size)
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    struct run scalar = { .resume = 0 };
    weir_http1_use(WEIR_SIMD_SCALAR);
    step(&scalar, data, data + 4, size - 4);
    for (int i = 0; i < WEIR_SIMD_COUNT; i++) {
        struct run whole = { .resume = 0 }, cut;
        if (!weir_simd_has((enum weir_simd)i))
            continue;
        weir_http1_use((enum weir_simd)i);
        step(&whole, data, data + 4, size - 4);
        demand_same(&scalar, &whole);
        run_cut(&cut, data, data + 4, size - 4);
        demand_same(&scalar, &cut);
    }
    return 0;
}
