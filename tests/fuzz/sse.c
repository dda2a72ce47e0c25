/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: event streams. The first four bytes choose limits and cuts; the rest is the stream.
 * What the reader makes of it must be what the model makes of it, however it is cut. What comes out
 * is written again, and must be read back as it was.
 */
#include "tests/unit/proto/codec/sse_model.h"

/* With it the log has room for an ID of half the text in each event of the other half. */
#define TEXT_BYTES_MAX 4096

static struct sse_model model;
static struct sse_log want, got;

static struct weir_sse_limits limits_of(const uint8_t *choice)
{
    /* Mostly more than the stream can need, else small. */
    if (choice[0] % 4 != 0)
        return (struct weir_sse_limits){ TEXT_BYTES_MAX, TEXT_BYTES_MAX, TEXT_BYTES_MAX };
    return (struct weir_sse_limits){ .data_bytes_max = 1U + choice[0] / 4,
                                     .type_bytes_max = choice[1] % 16,
                                     .id_bytes_max = choice[1] / 16 };
}

/* The length of the n-th piece: all, bytes, or pieces of a few bytes or of some hundred. */
static size_t piece_of(const uint8_t *choice, uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    switch (choice[2] % 4) {
    case 0:
        return SIZE_MAX;
    case 1:
        return 1;
    case 2:
        return *random >> 24 & 7;
    default:
        return *random >> 22 & 511;
    }
}

static void run_reader(const uint8_t *choice, struct weir_slice text,
                       const struct weir_sse_limits *limits)
{
    struct weir_sse_reader reader;
    size_t capacity = weir_sse_buffer_bytes(limits);
    uint8_t *buffer = malloc(capacity);
    MODEL_DEMAND(buffer != NULL);
    MODEL_DEMAND(weir_sse_init(&reader, limits, buffer, capacity) == 0);
    uint32_t random = choice[3];
    bool good = true;
    log_begin(&got);
    for (size_t at = 0; good && at < text.len;) {
        size_t len = piece_of(choice, &random);
        if (len > text.len - at)
            len = text.len - at;
        /* Memory of its own for each piece: reading past its end or after its time is found. */
        uint8_t *copy = malloc(len + (len == 0));
        MODEL_DEMAND(copy != NULL);
        if (len != 0)
            memcpy(copy, text.ptr + at, len);
        good = log_read(&got, &reader, (struct weir_slice){ copy, len }, at);
        free(copy);
        at += len;
    }
    log_read_finish(&got, &reader);
    free(buffer);
}

/* What was read has no CR in its data, so that it must come back byte for byte. */
static void write_again(const struct sse_log *log)
{
    static uint8_t buffer[5 * TEXT_BYTES_MAX];
    const struct weir_sse_limits limits = { TEXT_BYTES_MAX, TEXT_BYTES_MAX, TEXT_BYTES_MAX };
    for (size_t i = 0; i < log->events_count && i < 8; i++) {
        struct weir_sse_event event = log_event(log, i), back;
        struct weir_sse_event_spec spec = {
            .type = event.type,
            .data = event.data,
            .last_event_id = event.last_event_id,
            .retry_ms = event.retry_ms,
            .has_retry = event.has_retry,
        };
        size_t bytes = weir_sse_event_bytes_max(&spec), consumed;
        uint8_t *text = malloc(bytes);
        MODEL_DEMAND(text != NULL);
        MODEL_DEMAND(weir_sse_write_event(text, bytes, &spec) == (int64_t)bytes);
        struct weir_sse_reader reader;
        struct weir_sse_err err;
        MODEL_DEMAND(weir_sse_init(&reader, &limits, buffer, sizeof buffer) == 0);
        MODEL_DEMAND(weir_sse_read(&reader, (struct weir_slice){ text, bytes }, &consumed, &back,
                                   &err) == WEIR_PARSE_DONE);
        MODEL_DEMAND(consumed == bytes);
        MODEL_DEMAND(back.type.len == event.type.len && back.data.len == event.data.len);
        MODEL_DEMAND(memcmp(back.type.ptr, event.type.ptr, event.type.len) == 0);
        MODEL_DEMAND(memcmp(back.data.ptr, event.data.ptr, event.data.len) == 0);
        MODEL_DEMAND(back.last_event_id.len == event.last_event_id.len);
        MODEL_DEMAND(
            memcmp(back.last_event_id.ptr, event.last_event_id.ptr, event.last_event_id.len) == 0);
        MODEL_DEMAND(back.has_retry == event.has_retry && back.retry_ms == event.retry_ms);
        free(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size - 4 > TEXT_BYTES_MAX)
        return 0;
    const struct weir_slice text = { data + 4, size - 4 };
    const struct weir_sse_limits limits = limits_of(data);
    model_run(&model, &want, text, &limits);
    run_reader(data, text, &limits);
    MODEL_DEMAND(log_same(&want, &got));
    write_again(&want);
    return 0;
}
