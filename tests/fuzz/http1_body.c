/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: bodies. The first two bytes choose framing, length and cuts; the rest is the body.
 * The outcome and the payload must not depend on the cuts.
 */
#include <weir/http1.h>

#include <stdlib.h>
#include <string.h>

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

struct run {
    enum weir_parse result;
    enum weir_http1_error code;
    size_t at, payload_bytes;
    uint8_t *payload;
};

/* Feed the bytes in pieces of `stride`. */
static void run_body(struct run *run, const uint8_t *choice, struct weir_slice bytes, size_t stride)
{
    struct weir_http1_body body;
    *run = (struct run){ .payload = malloc(bytes.len + 1) };
    DEMAND(run->payload != NULL);
    weir_http1_body_init(&body, (enum weir_http1_framing)(choice[0] % 4), choice[0] / 4);
    do {
        size_t len = bytes.len - run->at < stride ? bytes.len - run->at : stride;
        uint8_t *copy = malloc(len + (len == 0));
        DEMAND(copy != NULL);
        if (len != 0)
            memcpy(copy, bytes.ptr + run->at, len);
        struct weir_slice out;
        struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
        size_t consumed;
        run->result =
            weir_http1_body_feed(&body, (struct weir_slice){ copy, len }, &consumed, &out, &err);
        DEMAND(consumed <= len && out.len <= consumed);
        DEMAND(consumed != 0 || len == 0 || run->result != WEIR_PARSE_MORE);
        DEMAND(run->result != WEIR_PARSE_ERROR || (err.offset == consumed && out.len == 0));
        if (out.len != 0)
            memcpy(run->payload + run->payload_bytes, out.ptr, out.len);
        run->payload_bytes += out.len;
        run->code = err.code;
        run->at += consumed;
        free(copy);
    } while (run->result == WEIR_PARSE_MORE && run->at < bytes.len);
    DEMAND(body.decoded_bytes == run->payload_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const struct weir_slice bytes = { data + 2, size - 2 };
    struct run whole, cut;
    run_body(&whole, data, bytes, SIZE_MAX);
    run_body(&cut, data, bytes, 1 + data[1] % 16);
    DEMAND(whole.result == cut.result && whole.code == cut.code && whole.at == cut.at);
    DEMAND(whole.payload_bytes == cut.payload_bytes);
    DEMAND(memcmp(whole.payload, cut.payload, whole.payload_bytes) == 0);
    free(whole.payload);
    free(cut.payload);
    return 0;
}
