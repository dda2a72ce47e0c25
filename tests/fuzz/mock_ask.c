/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the bodies that the mock reads. The first byte chooses the endpoint. What is read in
 * place is what jansson's tree says, and an answer can be made of whatever is taken.
 */
#include "mock/api/ask.c"
#include "mock/api/batch.h"
#include "mock/api/reply.h"

#include <stdlib.h>

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

/* Answers are as short as they can be: what is looked for is in the bodies. */
static const struct config configs[2] = {
    {
        .models = { { .id = "m" }, { .id = "other" } },
        .models_count = 2,
        .tokens = 2,
    },
    {
        .models = { { .id = "m" }, { .id = "other" } },
        .models_count = 2,
        .tokens = 2,
        .strict_models = true,
        .engine = { .kind = CONFIG_ENGINE_BATCH, .batch = { .max_model_len = 20 } },
    },
};

static void demand_same(const struct ask *a, const struct ask *b)
{
    DEMAND(strcmp(a->model_name, b->model_name) == 0 && a->model == b->model);
    DEMAND(a->stream == b->stream && a->include_usage == b->include_usage && a->chat == b->chat);
    DEMAND(a->choices_count == b->choices_count && a->prompt_tokens == b->prompt_tokens);
    DEMAND(a->output_tokens == b->output_tokens && a->prompt_hash == b->prompt_hash);
    DEMAND(a->prefix_hash == b->prefix_hash && a->prefix_tokens == b->prefix_tokens);
}

static void demand_json(struct text *text)
{
    DEMAND(!text->failed && weir_json_check(text_slice(text)) == 0);
    text->len = 0;
}

/* Of an ask that was read: the whole answer, and a token of its stream. */
static void demand_answer(enum endpoint endpoint, const struct ask *ask,
                          const struct config *config, struct text *out)
{
    struct reply_template events;
    struct reply reply = {
        .endpoint = endpoint,
        .model = ask->model_name,
        .prompt_tokens = ask->prompt_tokens,
        .choices_count = ask->choices_count,
        .include_usage = ask->include_usage,
    };
    DEMAND(ask->choices_count >= 1 && ask->choices_count <= ASK_CHOICES_MAX);
    DEMAND(ask->prompt_tokens >= 1 && ask->prefix_tokens <= ask->prompt_tokens);
    DEMAND(reply_plan(ask, config, 0, &reply.finish) >= 1);
    reply.output_tokens = 2;
    reply_write(out, &reply);
    DEMAND(out->len == reply_bytes(&reply));
    demand_json(out);
    reply_token(out, &reply, 1);
    size_t bytes = out->len;
    reply_prepare(&reply, &events);
    reply_token(out, &reply, 1);
    DEMAND(out->len == 2 * bytes && memcmp(out->ptr, out->ptr + bytes, bytes) == 0);
    out->len = 0;
}

static void demand_error(enum endpoint endpoint, const struct body_error *err, struct text *out)
{
    struct reply_problem problem = { err->status, err->type, err->message, err->field, err->code };
    DEMAND(err->status >= 400 && err->type != NULL && err->field != NULL);
    reply_error(out, endpoint, &problem);
    demand_json(out);
}

static void read_inference(enum endpoint endpoint, struct weir_slice body,
                           const struct config *config, struct text *out)
{
    struct ask plain, tree, ask;
    struct body_error err;
    struct ask_reader reader = { .out = &plain, .endpoint = endpoint, .config = config };
    int plain_rc = ask_read_plain(reader, body);
    reader.out = &tree;
    reader.err = &err;
    int tree_rc = ask_read_tree(reader, body);
    DEMAND(plain_rc < 0 || tree_rc == 0);
    if (plain_rc == 0)
        demand_same(&plain, &tree);
    DEMAND(ask_read(&ask, endpoint, body, config, &err) == tree_rc);
    if (tree_rc < 0) {
        demand_error(endpoint, &err, out);
        return;
    }
    demand_same(&ask, &tree);
    demand_answer(endpoint, &ask, config, out);
}

static void read_batch(struct weir_slice body, const struct config *config, struct text *out)
{
    struct body_error err;
    /* The answer to a request that asks for a million tokens is not worth the time. */
    struct weir_json_walk walk;
    struct weir_slice item;
    int rc = weir_json_array_begin(&walk, body);
    while (rc == 0 && (rc = weir_json_array_next(&walk, &item)) > 0) {
        struct ask ask;
        rc = ask_read(&ask, ENDPOINT_INFER, item, config, &err);
        if (rc == 0 && ask.output_tokens > 100)
            return;
        rc = 0;
    }
    if (batch_answer(out, &(struct batch){ .config = config }, body, &err) < 0)
        demand_error(ENDPOINT_BATCH, &err, out);
    else
        demand_json(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    /* Memory of its own, so that the sanitizer sees the smallest overrun. */
    uint8_t *copy = malloc(size - 1 + (size == 1));
    DEMAND(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    struct weir_slice body = { copy, size - 1 };
    const struct config *config = &configs[data[0] / 8 % 2];
    struct body_error err;
    struct text out = { 0 };
    int model;
    switch (data[0] % 8) {
    case 0:
    case 1:
        read_inference(ENDPOINT_INFER, body, config, &out);
        break;
    case 2:
    case 3:
        read_inference(ENDPOINT_COMPLETIONS, body, config, &out);
        break;
    case 4:
    case 5:
        read_inference(ENDPOINT_CHAT, body, config, &out);
        break;
    case 6:
        read_batch(body, config, &out);
        break;
    default:
        if (body_check(ENDPOINT_LOAD, body, config, &model, &err) < 0)
            demand_error(ENDPOINT_LOAD, &err, &out);
        break;
    }
    text_free(&out);
    free(copy);
    return 0;
}
