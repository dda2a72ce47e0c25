/* SPDX-License-Identifier: MIT */
#include "mock/api/batch.h"

#include "mock/api/reply.h"

#include <weir/json.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int batch_fail(struct body_error *err, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int batch_fail(struct body_error *err, uint16_t status, const char *format, ...)
{
    *err = (struct body_error){ .status = status, .type = "invalid_request", .field = "body" };
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return -EINVAL;
}

/* One request, answered as it would be alone. */
static void batch_answer_item(struct text *out, struct batch *batch, struct weir_slice item,
                              uint64_t key)
{
    const struct config *config = batch->config;
    struct body_error err;
    struct ask ask;
    if (ask_read(&ask, ENDPOINT_INFER, item, config, &err) == 0) {
        struct reply reply = { .endpoint = ENDPOINT_INFER, .seed = config->seed, .key = key };
        reply.output_tokens = reply_plan(&ask, config, key, &reply.finish);
        text_put(out, "{\"status\":200,\"body\":");
        reply_write(out, &reply);
        text_put(out, "}");
        batch->count++;
        batch->prompt_tokens += ask.prompt_tokens;
        batch->output_tokens += reply.output_tokens;
        return;
    }
    text_put(out, "{\"status\":");
    text_u64(out, err.status);
    size_t brace = out->len;
    body_write_error(out, err.type, err.message, err.field);
    if (!out->failed)
        out->ptr[brace] = ','; /* the error is a member of ours, not an object of its own */
}

/* The array is malformed, at walk->at. */
static int batch_fail_syntax(const struct weir_json_walk *walk, struct weir_slice body, int rc,
                             struct body_error *err)
{
    size_t at = body.len == 0 ? 0 : (size_t)(walk->at - body.ptr);
    if (rc == -EINVAL)
        return batch_fail(err, 400, "body: expected a JSON array, but it is none at byte %zu", at);
    return batch_fail(err, 400, "body: expected at most %d levels of nesting", WEIR_JSON_DEPTH_MAX);
}

int batch_answer(struct text *out, struct batch *batch, struct weir_slice body,
                 struct body_error *err)
{
    struct weir_json_walk walk;
    struct weir_slice items[BATCH_ITEMS_MAX], item;
    int count = 0;
    int rc = weir_json_array_begin(&walk, body);
    while (rc == 0 && (rc = weir_json_array_next(&walk, &item)) > 0) {
        if (count < BATCH_ITEMS_MAX)
            items[count] = item;
        count++;
        rc = 0;
    }
    if (rc < 0)
        return batch_fail_syntax(&walk, body, rc, err);
    if (count == 0)
        return batch_fail(err, 400, "body: expected 1 ... %d requests, got none", BATCH_ITEMS_MAX);
    if (count > BATCH_ITEMS_MAX)
        return batch_fail(err, 413, "body: expected 1 ... %d requests, got %d", BATCH_ITEMS_MAX,
                          count);
    for (int i = 0; i < count; i++) {
        text_put(out, i == 0 ? "[" : ",");
        batch_answer_item(out, batch, items[i], batch->key + (uint64_t)i);
        if (batch->output_tokens > CONFIG_TOKENS_MAX)
            return batch_fail(err, 413, "body: expected answers of at most %u tokens together",
                              CONFIG_TOKENS_MAX);
    }
    text_put(out, "]");
    return count;
}
