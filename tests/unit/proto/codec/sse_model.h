/* SPDX-License-Identifier: MIT */
/*
 * The rules of event streams once more: slowly, over a whole text, in the order and the words of
 * WHATWG HTML section 9.2.6, with the limits of struct weir_sse_limits. And a log that the model
 * and the reader both write, so that they can be compared. For the unit tests and the fuzz target.
 */
#ifndef WEIR_TESTS_SSE_MODEL_H
#define WEIR_TESTS_SSE_MODEL_H

#include <weir/sse.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_BYTES_MAX 65536
#define LOG_BYTES_MAX   ((size_t)1 << 21)

#define MODEL_DEMAND(x)                                                                            \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- What came out of a stream --------------------------------------------------------------- */

/* Each event is a struct log_event and the bytes of type, data and ID behind it. */
struct log_event {
    size_t type_bytes, data_bytes, id_bytes;
    uint64_t retry_ms;
    uint64_t has_retry, has_id;
    size_t ends_at; /* bytes of the stream up to here */
};

struct sse_log {
    size_t bytes, events_count;
    enum weir_sse_error code;
    size_t error_at;
    uint64_t comments_count, retry_ms;
    bool has_retry;
    size_t last_event_id_bytes;
    uint8_t last_event_id[MODEL_BYTES_MAX];
    uint8_t text[LOG_BYTES_MAX];
};

static inline void log_begin(struct sse_log *log)
{
    log->bytes = log->events_count = log->error_at = log->last_event_id_bytes = 0;
    log->code = WEIR_SSE_E_NONE;
    log->comments_count = log->retry_ms = 0;
    log->has_retry = false;
}

static inline void log_put(struct sse_log *log, const void *bytes, size_t len)
{
    MODEL_DEMAND(log->bytes + len <= LOG_BYTES_MAX);
    if (len != 0)
        memcpy(log->text + log->bytes, bytes, len);
    log->bytes += len;
}

static inline void log_put_event(struct sse_log *log, const struct weir_sse_event *event,
                                 size_t ends_at)
{
    struct log_event head = {
        .type_bytes = event->type.len,
        .data_bytes = event->data.len,
        .id_bytes = event->last_event_id.len,
        .retry_ms = event->retry_ms,
        .has_retry = event->has_retry,
        .has_id = event->has_id,
        .ends_at = ends_at,
    };
    log_put(log, &head, sizeof head);
    log_put(log, event->type.ptr, event->type.len);
    log_put(log, event->data.ptr, event->data.len);
    log_put(log, event->last_event_id.ptr, event->last_event_id.len);
    log->events_count++;
}

static inline void log_finish(struct sse_log *log, struct weir_slice last_event_id)
{
    MODEL_DEMAND(last_event_id.len <= MODEL_BYTES_MAX);
    if (last_event_id.len != 0)
        memcpy(log->last_event_id, last_event_id.ptr, last_event_id.len);
    log->last_event_id_bytes = last_event_id.len;
}

static inline bool log_same(const struct sse_log *a, const struct sse_log *b)
{
    return a->bytes == b->bytes && a->events_count == b->events_count && a->code == b->code &&
           a->error_at == b->error_at && a->comments_count == b->comments_count &&
           a->has_retry == b->has_retry && a->retry_ms == b->retry_ms &&
           a->last_event_id_bytes == b->last_event_id_bytes &&
           memcmp(a->last_event_id, b->last_event_id, a->last_event_id_bytes) == 0 &&
           memcmp(a->text, b->text, a->bytes) == 0;
}

/* The n-th event of a log, as views into it. */
static inline struct weir_sse_event log_event(const struct sse_log *log, size_t index)
{
    const uint8_t *at = log->text;
    MODEL_DEMAND(index < log->events_count);
    for (;;) {
        struct log_event head;
        memcpy(&head, at, sizeof head);
        at += sizeof head;
        if (index-- == 0)
            return (struct weir_sse_event){
                .type = { at, head.type_bytes },
                .data = { at + head.type_bytes, head.data_bytes },
                .last_event_id = { at + head.type_bytes + head.data_bytes, head.id_bytes },
                .retry_ms = head.retry_ms,
                .has_retry = head.has_retry != 0,
                .has_id = head.has_id != 0,
            };
        at += head.type_bytes + head.data_bytes + head.id_bytes;
    }
}

/* ---- The model ------------------------------------------------------------------------------- */

struct model_text {
    size_t len;
    uint8_t bytes[MODEL_BYTES_MAX + 1];
};

struct sse_model {
    struct weir_sse_limits limits;
    struct model_text data, type, id; /* the three buffers of the specification */
    struct model_text last_event_id;
    uint64_t event_retry_ms;
    bool event_retry, event_id;
};

/* A line of the stream. `is_whole`: its end was seen. Offsets are those of the stream. */
struct model_line {
    size_t begin, end, next;
    bool is_whole;
};

static inline struct weir_slice model_slice(const struct model_text *text)
{
    return (struct weir_slice){ text->bytes, text->len };
}

static inline void model_dispatch(struct sse_model *model, struct sse_log *log, size_t ends_at)
{
    model->last_event_id.len = model->id.len;
    memcpy(model->last_event_id.bytes, model->id.bytes, model->id.len);
    if (model->data.len == 0) {
        model->type.len = 0;
        return;
    }
    if (model->data.bytes[model->data.len - 1] == '\n')
        model->data.len--;
    struct weir_sse_event event = {
        .type = model->type.len != 0 ? model_slice(&model->type) : WEIR_TEXT("message"),
        .data = model_slice(&model->data),
        .last_event_id = model_slice(&model->last_event_id),
        .retry_ms = model->event_retry ? model->event_retry_ms : 0,
        .has_retry = model->event_retry,
        .has_id = model->event_id,
    };
    log_put_event(log, &event, ends_at);
    model->data.len = model->type.len = 0;
    model->event_retry = model->event_id = false;
}

static inline void model_fail(struct sse_log *log, enum weir_sse_error code, size_t at)
{
    log->code = code;
    log->error_at = at;
}

static inline void model_on_data(struct sse_model *model, struct sse_log *log,
                                 struct weir_slice value, size_t value_at, size_t name_end)
{
    if (model->data.len > model->limits.data_bytes_max) {
        model_fail(log, WEIR_SSE_E_DATA_TOO_LONG, name_end);
        return;
    }
    size_t room = model->limits.data_bytes_max - model->data.len;
    if (value.len > room) {
        model_fail(log, WEIR_SSE_E_DATA_TOO_LONG, value_at + room);
        return;
    }
    for (size_t i = 0; i < value.len; i++)
        model->data.bytes[model->data.len++] = value.ptr[i];
    model->data.bytes[model->data.len++] = '\n';
}

static inline void model_on_type(struct sse_model *model, struct sse_log *log,
                                 struct weir_slice value, size_t value_at)
{
    if (value.len > model->limits.type_bytes_max) {
        model_fail(log, WEIR_SSE_E_TYPE_TOO_LONG, value_at + model->limits.type_bytes_max);
        return;
    }
    model->type.len = value.len;
    for (size_t i = 0; i < value.len; i++)
        model->type.bytes[i] = value.ptr[i];
}

static inline void model_on_id(struct sse_model *model, struct sse_log *log,
                               struct weir_slice value, size_t value_at)
{
    for (size_t i = 0; i < value.len; i++) {
        if (i == model->limits.id_bytes_max) {
            model_fail(log, WEIR_SSE_E_ID_TOO_LONG, value_at + i);
            return;
        }
        if (value.ptr[i] == '\0')
            return;
    }
    model->event_id = true;
    model->id.len = value.len;
    for (size_t i = 0; i < value.len; i++)
        model->id.bytes[i] = value.ptr[i];
}

static inline void model_on_retry(struct sse_model *model, struct sse_log *log,
                                  struct weir_slice value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return;
        uint64_t digit = (uint64_t)(value.ptr[i] - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return;
        number = number * 10 + digit;
    }
    if (value.len == 0)
        return;
    model->event_retry = log->has_retry = true;
    model->event_retry_ms = log->retry_ms = number;
}

static inline void model_on_field(struct sse_model *model, struct sse_log *log,
                                  struct weir_slice text, const struct model_line *line)
{
    size_t name_end = line->begin;
    while (name_end < line->end && text.ptr[name_end] != ':')
        name_end++;
    if (name_end == line->end && !line->is_whole)
        return;
    size_t value_at = name_end == line->end ? line->end : name_end + 1;
    if (value_at < line->end && text.ptr[value_at] == ' ')
        value_at++;
    struct weir_slice value = { text.ptr + value_at, line->end - value_at };
    char name[8] = { 0 };
    if (name_end - line->begin < sizeof name)
        memcpy(name, text.ptr + line->begin, name_end - line->begin);
    /*
     * A line without an end is the last one of the text, and it can still reach a limit. What it
     * leaves in the buffers is never dispatched; a retry would be seen.
     */
    size_t name_len = name_end - line->begin;
    if (name_len == 5 && memcmp(name, "event", 5) == 0)
        model_on_type(model, log, value, value_at);
    else if (name_len == 4 && memcmp(name, "data", 4) == 0)
        model_on_data(model, log, value, value_at, name_end);
    else if (name_len == 2 && memcmp(name, "id", 2) == 0)
        model_on_id(model, log, value, value_at);
    else if (name_len == 5 && memcmp(name, "retry", 5) == 0 && line->is_whole)
        model_on_retry(model, log, value);
}

/* Everything that comes out of `text`. */
static inline void model_run(struct sse_model *model, struct sse_log *log, struct weir_slice text,
                             const struct weir_sse_limits *limits)
{
    MODEL_DEMAND(text.len <= MODEL_BYTES_MAX);
    log_begin(log);
    model->limits = *limits;
    model->data.len = model->type.len = model->id.len = model->last_event_id.len = 0;
    model->event_retry = model->event_id = false;
    model->event_retry_ms = 0;
    size_t at = text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < text.len && log->code == WEIR_SSE_E_NONE) {
        struct model_line line = { .begin = at, .end = at };
        while (line.end < text.len && text.ptr[line.end] != '\r' && text.ptr[line.end] != '\n')
            line.end++;
        line.is_whole = line.end < text.len;
        line.next = line.end + 1;
        if (line.next < text.len && text.ptr[line.end] == '\r' && text.ptr[line.next] == '\n')
            line.next++;
        if (line.end == line.begin)
            model_dispatch(model, log, line.end + 1);
        else if (text.ptr[line.begin] == ':')
            log->comments_count++;
        else
            model_on_field(model, log, text, &line);
        at = line.next;
    }
    log_finish(log, model_slice(&model->last_event_id));
}

/* ---- The reader, the same way ---------------------------------------------------------------- */

/* Read one piece, which begins at `base` of the stream. False after an error. */
static inline bool log_read(struct sse_log *log, struct weir_sse_reader *reader,
                            struct weir_slice piece, size_t base)
{
    struct weir_sse_event event;
    struct weir_sse_err err = { .code = WEIR_SSE_E_NONE };
    for (;;) {
        size_t consumed = SIZE_MAX;
        enum weir_parse result = weir_sse_read(reader, piece, &consumed, &event, &err);
        MODEL_DEMAND(consumed <= piece.len);
        if (consumed != 0)
            piece.ptr += consumed;
        piece.len -= consumed;
        base += consumed;
        if (result == WEIR_PARSE_ERROR) {
            MODEL_DEMAND(err.offset == consumed);
            model_fail(log, err.code, base);
            return false;
        }
        if (result == WEIR_PARSE_MORE) {
            MODEL_DEMAND(piece.len == 0);
            return true;
        }
        MODEL_DEMAND(consumed != 0);
        log_put_event(log, &event, base);
    }
}

static inline void log_read_finish(struct sse_log *log, const struct weir_sse_reader *reader)
{
    log->comments_count = reader->comments_count;
    log->has_retry = reader->has_retry;
    log->retry_ms = reader->retry_ms;
    log_finish(log, weir_sse_last_event_id(reader));
}

#endif
