/* SPDX-License-Identifier: MIT */
/*
 * What all APIs' answers share: how many tokens, errors, lists of models. Answers in our own shape
 * are made here, those in OpenAI's in reply_openai.c.
 *
 * Whoever writes an answer knows its bytes before: it takes room for all of them and then writes
 * piece after piece without looking.
 */
#include "mock/api/reply.h"

#include "mock/api/reply_openai.h"
#include "mock/api/words.h"

/* Of the draws of a request's key, the one that chooses how much is said. */
#define DRAW_TOKENS UINT64_C(0x746f6b656e730000)

uint32_t reply_plan(const struct ask *ask, const struct config *config, uint64_t key,
                    enum reply_finish *finish)
{
    uint64_t tokens = ask->output_tokens != 0 ? ask->output_tokens : config->tokens;
    if (config->output_tokens != NULL) {
        tokens = weir_dist_draw_ns(config->output_tokens, config->seed, key, DRAW_TOKENS);
        tokens = tokens == 0 ? 1 : tokens > CONFIG_TOKENS_MAX ? CONFIG_TOKENS_MAX : tokens;
    }
    bool cut = ask->output_tokens != 0 && tokens >= ask->output_tokens;
    if (cut)
        tokens = ask->output_tokens;
    /* ask_read() has seen to it that there is room for one. */
    uint64_t context = config->engine.batch.max_model_len;
    if (config->engine.kind == CONFIG_ENGINE_BATCH && tokens > context - ask->prompt_tokens) {
        tokens = context - ask->prompt_tokens;
        cut = true;
    }
    *finish = cut ? REPLY_LENGTH : REPLY_STOP;
    return (uint32_t)tokens;
}

struct weir_slice reply_word(uint64_t seed, uint64_t key, uint32_t index)
{
    struct weir_slice word = words_one(words_start(seed, key, 0), index);
    return index == 0 ? (struct weir_slice){ word.ptr + 1, word.len - 1 } : word;
}

const char *reply_finish_name(enum reply_finish finish)
{
    return finish == REPLY_LENGTH ? "length" : "stop";
}

/* ---- Ours -------------------------------------------------------------------------------- */

#define INFER_TEXT   "{\"text\":\""
#define INFER_TOKENS "\",\"tokens\":"
#define INFER_FINISH ",\"finish_reason\":\""
#define INFER_END    "\"}"

static char *put(char *at, const char *text, size_t bytes)
{
    memcpy(at, text, bytes);
    return at + bytes;
}
#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static uint64_t infer_bytes(const struct reply *reply)
{
    uint64_t words = words_bytes(words_start(reply->seed, reply->key, 0), reply->output_tokens);
    return sizeof INFER_TEXT INFER_TOKENS INFER_FINISH INFER_END - 1 + words +
           text_digits(reply->output_tokens) + strlen(reply_finish_name(reply->finish));
}

static void infer_write(struct text *out, const struct reply *reply)
{
    const char *finish = reply_finish_name(reply->finish);
    char *begin = text_room(out, (size_t)infer_bytes(reply)), *at = begin;
    if (begin == NULL)
        return;
    at = PUT(at, INFER_TEXT);
    at = words_write(at, words_start(reply->seed, reply->key, 0), reply->output_tokens);
    at = PUT(at, INFER_TOKENS);
    at = text_write_u64(at, reply->output_tokens);
    at = PUT(at, INFER_FINISH);
    at = put(at, finish, strlen(finish));
    at = PUT(at, INFER_END);
    out->len += (size_t)(at - begin);
}

#define INFER_INDEX     "data: {\"index\":"
#define INFER_TOKEN     ",\"token\":\""
#define INFER_TOKEN_END "\"}\n\n"

/* Of an event, what stands before the word; so many bytes are copied whatever it has. */
#define INFER_HEAD_BYTES 32
struct infer_head {
    char bytes[INFER_HEAD_BYTES];
    uint32_t len;
    uint32_t digit_at; /* the last of the index */
};
_Static_assert(CONFIG_TOKENS_MAX <= 10000000 &&
                   sizeof INFER_INDEX INFER_TOKEN - 1 + 7 <= INFER_HEAD_BYTES,
               "every index fits");

static void infer_head_make(struct infer_head *head, uint32_t index)
{
    char *at = PUT(head->bytes, INFER_INDEX);
    at = text_write_u64(at, index);
    head->digit_at = (uint32_t)(at - head->bytes) - 1;
    at = PUT(at, INFER_TOKEN);
    head->len = (uint32_t)(at - head->bytes);
}

/*
 * The head is made for every tenth index, and the last digit is put into the copy: bytes that were
 * just stored one by one make a wider load wait until they are in the cache, which takes longer
 * than the rest of an event.
 */
void reply_infer_tokens(struct text *out, uint32_t start, uint32_t first, uint32_t count)
{
    /* What is copied at fixed sizes reaches behind what counts: into the room of the rest. */
    const size_t most = INFER_HEAD_BYTES + WORDS_ONE_BYTES + sizeof INFER_TOKEN_END;
    const struct words words = words_all();
    char *begin = text_room(out, most * count), *at = begin;
    struct infer_head head;
    if (begin == NULL)
        return;
    infer_head_make(&head, first);
    for (uint32_t i = first, digit = first % 10; i - first < count; i++, digit++) {
        uint32_t word = (start + i) % WORDS_COUNT;
        uint32_t from = words.at[word] + (i == 0);
        if (digit == 10) {
            infer_head_make(&head, i);
            digit = 0;
        }
        memcpy(at, head.bytes, INFER_HEAD_BYTES);
        at[head.digit_at] = (char)('0' + digit);
        at += head.len;
        memcpy(at, words.text + from, WORDS_ONE_BYTES);
        at += words.at[word + 1] - from;
        at = PUT(at, INFER_TOKEN_END);
    }
    out->len += (size_t)(at - begin);
}

static void infer_end_stream(struct text *out, const struct reply *reply)
{
    text_put(out, "data: {\"finish_reason\":\"");
    text_put(out, reply_finish_name(reply->finish));
    text_put(out, "\",\"tokens\":");
    text_u64(out, reply->output_tokens);
    text_put(out, "}\n\n");
}

/* ---- Any --------------------------------------------------------------------------------- */

void reply_write(struct text *out, const struct reply *reply)
{
    if (reply_is_openai(reply->endpoint))
        openai_write(out, reply);
    else
        infer_write(out, reply);
}

uint64_t reply_bytes(const struct reply *reply)
{
    return reply_is_openai(reply->endpoint) ? openai_bytes(reply) : infer_bytes(reply);
}

void reply_prepare(struct reply *reply, struct reply_template *events)
{
    events->prefix_bytes = 0;
    if (reply_is_openai(reply->endpoint))
        openai_prepare(reply, events);
    reply->events = events;
}

void reply_begin_stream(struct text *out, const struct reply *reply)
{
    if (reply->endpoint == ENDPOINT_CHAT)
        openai_begin_stream(out, reply);
}

size_t reply_tokens(struct text *out, const struct reply *reply, uint32_t first, uint32_t count)
{
    size_t before = out->len;
    if (reply_is_openai(reply->endpoint))
        openai_tokens(out, reply, first, count);
    else
        reply_infer_tokens(out, words_start(reply->seed, reply->key, 0), first, count);
    return out->len - before;
}

void reply_token(struct text *out, const struct reply *reply, uint32_t index)
{
    reply_tokens(out, reply, index, 1);
}

void reply_end_stream(struct text *out, const struct reply *reply)
{
    if (reply_is_openai(reply->endpoint))
        openai_end_stream(out, reply);
    else
        infer_end_stream(out, reply);
}

void reply_done(struct text *out, const struct reply *reply)
{
    (void)reply; /* all of them end alike */
    text_put(out, "data: [DONE]\n\n");
}

void reply_error_event(struct text *out, const struct reply *reply, uint16_t status,
                       const char *message)
{
    text_put(out, "data: ");
    reply_error(out, reply->endpoint,
                &(struct reply_problem){ .status = status, .message = message });
    text_put(out, "\n\n");
}

/* ---- Errors ------------------------------------------------------------------------------ */

bool reply_is_openai(enum endpoint endpoint)
{
    return endpoint == ENDPOINT_CHAT || endpoint == ENDPOINT_COMPLETIONS ||
           endpoint == ENDPOINT_V1_MODELS || endpoint == ENDPOINT_V1_MODEL;
}

const char *reply_error_type(uint16_t status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 408:
        return "timeout_error";
    case 429:
        return "rate_limit_error";
    default:
        return status < 500 ? "invalid_request_error" : "server_error";
    }
}

static const char *own_error_type(uint16_t status)
{
    switch (status) {
    case 404:
        return "not_found";
    case 429:
    case 503:
        return "overloaded";
    default:
        return status < 500 ? "invalid_request" : "internal_error";
    }
}

/* A name of ours, or null. */
static void put_name(struct text *out, const char *key, const char *name)
{
    text_put(out, key);
    if (name == NULL)
        text_put(out, "null");
    else
        text_json(out, (struct weir_slice){ (const uint8_t *)name, strlen(name) });
}

void reply_error(struct text *out, enum endpoint endpoint, const struct reply_problem *problem)
{
    if (!reply_is_openai(endpoint)) {
        const char *type = problem->type != NULL ? problem->type : own_error_type(problem->status);
        body_write_error(out, type, problem->message, problem->field);
        return;
    }
    const char *field = problem->field, *code = problem->code;
    if (field != NULL && strcmp(field, "body") == 0)
        field = NULL; /* a parameter is a member; the whole body is none */
    if (code == NULL && problem->status == 429)
        code = "rate_limit_exceeded";
    put_name(out, "{\"error\":{\"message\":", problem->message);
    put_name(out, ",\"type\":", reply_error_type(problem->status));
    put_name(out, ",\"param\":", field);
    put_name(out, ",\"code\":", code);
    text_put(out, "}}");
}

/* ---- Models ------------------------------------------------------------------------------ */

static void put_model(struct text *out, const struct config_model *model, int64_t created_s)
{
    put_name(out, "{\"id\":", model->id);
    text_put(out, ",\"object\":\"model\",\"created\":");
    text_i64(out, created_s);
    text_put(out, ",\"owned_by\":\"weir\"}");
}

void reply_models(struct text *out, const struct config *config, int64_t created_s)
{
    text_put(out, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < config->models_count; i++) {
        if (i > 0)
            text_put(out, ",");
        put_model(out, &config->models[i], created_s);
    }
    text_put(out, "]}");
}

bool reply_model(struct text *out, const struct config *config, struct weir_slice id,
                 int64_t created_s)
{
    int model = config_find_model(config, id);
    if (model == MODEL_UNKNOWN)
        return false;
    put_model(out, &config->models[model], created_s);
    return true;
}
