/* SPDX-License-Identifier: MIT */
/*
 * Every object of OpenAI's is a head (id, kind, time, model), choices, and usage. The bytes of each
 * part are known before it is written, so one answer takes room once.
 */
#include "mock/api/reply_openai.h"

#include "mock/api/words.h"

#include <weir/random.h>

/* Of the draws of a request's key, those that its id is made of. */
#define DRAW_ID UINT64_C(0x6964000000000000)

#define ID_DIGITS 24

/* A choice of the answers of one API: its index stands behind `open`, then come what is different
 * and, behind finish_reason, the closing brace. */
struct shape {
    struct weir_slice id;               /* before its digits */
    struct weir_slice object, chunk;    /* of a whole answer, of an event */
    struct weir_slice text, text_end;   /* around the text of a choice */
    struct weir_slice token, token_end; /* around the text of a token */
    struct weir_slice last;             /* of the event with finish_reason */
};

#define TEXT(literal)                                                                              \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

static const struct shape chat_shape = {
    .id = TEXT("chatcmpl-"),
    .object = TEXT("chat.completion"),
    .chunk = TEXT("chat.completion.chunk"),
    .text = TEXT(",\"message\":{\"role\":\"assistant\",\"content\":\""),
    .text_end = TEXT("\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":"),
    .token = TEXT(",\"delta\":{\"content\":\""),
    .token_end = TEXT("\"},\"logprobs\":null,\"finish_reason\":"),
    .last = TEXT(",\"delta\":{},\"logprobs\":null,\"finish_reason\":"),
};

static const struct shape completions_shape = {
    .id = TEXT("cmpl-"),
    .object = TEXT("text_completion"),
    .chunk = TEXT("text_completion"),
    .text = TEXT(",\"text\":\""),
    .text_end = TEXT("\",\"logprobs\":null,\"finish_reason\":"),
    .token = TEXT(",\"text\":\""),
    .token_end = TEXT("\",\"logprobs\":null,\"finish_reason\":"),
    .last = TEXT(",\"text\":\"\",\"logprobs\":null,\"finish_reason\":"),
};

static const struct shape *shape_of(const struct reply *reply)
{
    return reply->endpoint == ENDPOINT_CHAT ? &chat_shape : &completions_shape;
}

#define HEAD_ID      "{\"id\":\""
#define HEAD_OBJECT  "\",\"object\":\""
#define HEAD_CREATED "\",\"created\":"
#define HEAD_MODEL   ",\"model\":"
#define HEAD_END     ",\"system_fingerprint\":\"weir\",\"choices\":["

#define CHOICE "{\"index\":"

#define USAGE_PROMPT "\"usage\":{\"prompt_tokens\":"
#define USAGE_OUTPUT ",\"completion_tokens\":"
#define USAGE_TOTAL  ",\"total_tokens\":"
#define USAGE_CACHED ",\"prompt_tokens_details\":{\"cached_tokens\":"
#define USAGE_END    "}}"

static char *put(char *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}
#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static char *put_slice(char *at, struct weir_slice text)
{
    return put(at, text.ptr, text.len);
}

/* ---- The head ---------------------------------------------------------------------------- */

static struct weir_slice model_of(const struct reply *reply)
{
    return (struct weir_slice){ (const uint8_t *)reply->model, strlen(reply->model) };
}

/* Times before 1970 are none. */
static uint64_t created_of(const struct reply *reply)
{
    return reply->created_s < 0 ? 0 : (uint64_t)reply->created_s;
}

static size_t head_bytes(const struct reply *reply, struct weir_slice object)
{
    return sizeof HEAD_ID HEAD_OBJECT HEAD_CREATED HEAD_MODEL HEAD_END - 1 +
           shape_of(reply)->id.len + ID_DIGITS + object.len + text_digits(created_of(reply)) +
           text_json_bytes(model_of(reply));
}

static char *put_id(char *at, const struct reply *reply)
{
    static const char hex[] = "0123456789abcdef";
    at = put_slice(at, shape_of(reply)->id);
    uint64_t bits = 0;
    for (unsigned i = 0; i < ID_DIGITS; i++, bits >>= 4) {
        if (i % 16 == 0)
            bits = weir_random_u64(reply->seed, reply->key, DRAW_ID + i);
        *at++ = hex[bits & 15];
    }
    return at;
}

static char *put_head(char *at, const struct reply *reply, struct weir_slice object)
{
    at = put_id(PUT(at, HEAD_ID), reply);
    at = put_slice(PUT(at, HEAD_OBJECT), object);
    at = text_write_u64(PUT(at, HEAD_CREATED), created_of(reply));
    at = text_write_json(PUT(at, HEAD_MODEL), model_of(reply));
    return PUT(at, HEAD_END);
}

/* ---- Usage ------------------------------------------------------------------------------- */

static uint64_t output_of(const struct reply *reply)
{
    return (uint64_t)reply->output_tokens * reply->choices_count;
}

static size_t usage_bytes(const struct reply *reply)
{
    uint64_t output = output_of(reply);
    return sizeof USAGE_PROMPT USAGE_OUTPUT USAGE_TOTAL USAGE_CACHED USAGE_END - 1 +
           text_digits(reply->prompt_tokens) + text_digits(output) +
           text_digits(reply->prompt_tokens + output) + text_digits(reply->cached_tokens);
}

static char *put_usage(char *at, const struct reply *reply)
{
    uint64_t output = output_of(reply);
    at = text_write_u64(PUT(at, USAGE_PROMPT), reply->prompt_tokens);
    at = text_write_u64(PUT(at, USAGE_OUTPUT), output);
    at = text_write_u64(PUT(at, USAGE_TOTAL), reply->prompt_tokens + output);
    at = text_write_u64(PUT(at, USAGE_CACHED), reply->cached_tokens);
    return PUT(at, USAGE_END);
}

/* ---- The whole answer -------------------------------------------------------------------- */

uint64_t openai_bytes(const struct reply *reply)
{
    const struct shape *shape = shape_of(reply);
    uint64_t bytes = head_bytes(reply, shape->object) + sizeof "]," - 1 + usage_bytes(reply) + 1;
    uint64_t one = sizeof CHOICE - 1 + shape->text.len + shape->text_end.len + sizeof "\"\"}" - 1 +
                   strlen(reply_finish_name(reply->finish));
    for (uint32_t i = 0; i < reply->choices_count; i++) {
        uint32_t start = words_start(reply->seed, reply->key, i);
        bytes += one + text_digits(i) + words_bytes(start, reply->output_tokens) + (i > 0);
    }
    return bytes;
}

static char *put_finish(char *at, enum reply_finish finish)
{
    const char *name = reply_finish_name(finish);
    at = put(PUT(at, "\""), name, strlen(name));
    return PUT(at, "\"}");
}

static char *put_choice(char *at, const struct reply *reply, uint32_t index)
{
    const struct shape *shape = shape_of(reply);
    uint32_t start = words_start(reply->seed, reply->key, index);
    at = text_write_u64(PUT(at, CHOICE), index);
    at = words_write(put_slice(at, shape->text), start, reply->output_tokens);
    return put_finish(put_slice(at, shape->text_end), reply->finish);
}

void openai_write(struct text *out, const struct reply *reply)
{
    char *begin = text_room(out, (size_t)openai_bytes(reply));
    if (begin == NULL)
        return;
    char *at = put_head(begin, reply, shape_of(reply)->object);
    for (uint32_t i = 0; i < reply->choices_count; i++) {
        if (i > 0)
            *at++ = ',';
        at = put_choice(at, reply, i);
    }
    at = put_usage(PUT(at, "],"), reply);
    *at++ = '}';
    out->len += (size_t)(at - begin);
}

/* ---- Events ------------------------------------------------------------------------------ */

/* Between the head and the end of an event stands one choice, or none. */
static struct weir_slice event_end(const struct reply *reply)
{
    return reply->include_usage ? WEIR_TEXT("],\"usage\":null}\n\n") : WEIR_TEXT("]}\n\n");
}

static char *put_event_head(char *at, const struct reply *reply)
{
    return put_head(PUT(at, "data: "), reply, shape_of(reply)->chunk);
}

/* The most that an event of one choice can have besides the text of a token. */
static size_t event_bytes_max(const struct reply *reply)
{
    const struct shape *shape = shape_of(reply);
    return sizeof "data: " + head_bytes(reply, shape->chunk) + sizeof CHOICE + TEXT_U64_BYTES +
           shape->token.len + shape->token_end.len + shape->last.len + sizeof "\"length\"}" +
           event_end(reply).len;
}

/* What an event of a token has before and behind it. */
static char *put_token_prefix(char *at, const struct reply *reply, uint32_t choice)
{
    at = text_write_u64(PUT(put_event_head(at, reply), CHOICE), choice);
    return put_slice(at, shape_of(reply)->token);
}

static char *put_token_suffix(char *at, const struct reply *reply)
{
    at = PUT(put_slice(at, shape_of(reply)->token_end), "null}");
    return put_slice(at, event_end(reply));
}

void openai_prepare(const struct reply *reply, struct reply_template *events)
{
    if (event_bytes_max(reply) > REPLY_TEMPLATE_BYTES)
        return;
    char *prefix = events->bytes, *suffix = put_token_prefix(prefix, reply, 0);
    events->prefix_bytes = (uint16_t)(suffix - prefix);
    events->suffix_bytes = (uint16_t)(put_token_suffix(suffix, reply) - suffix);
    events->index_at = (uint16_t)(events->prefix_bytes - shape_of(reply)->token.len - 1);
    events->start = (uint16_t)words_start(reply->seed, reply->key, 0);
}

/* The word of a token, copied whole whatever its length. */
static char *put_word(char *at, uint32_t start, uint32_t index)
{
    struct weir_slice word = words_one(start, index);
    size_t blank = index == 0;
    memcpy(at, word.ptr + blank, WORDS_ONE_BYTES - 1);
    return at + word.len - blank;
}

static char *put_prepared(char *at, const struct reply_template *events, uint32_t index)
{
    at = put(at, events->bytes, events->prefix_bytes);
    at = put_word(at, events->start, index);
    return put(at, events->bytes + events->prefix_bytes, events->suffix_bytes);
}

/* Token `index` of a choice that is not the first, or without a template. */
static char *put_event(char *at, const struct reply *reply, uint32_t choice, uint32_t index)
{
    const struct reply_template *events = reply->events;
    uint32_t start = words_start(reply->seed, reply->key, choice);
    if (events == NULL || events->prefix_bytes == 0 || choice > 9) {
        at = put_word(put_token_prefix(at, reply, choice), start, index);
        return put_token_suffix(at, reply);
    }
    char *begin = at;
    at = put(at, events->bytes, events->prefix_bytes);
    begin[events->index_at] = (char)('0' + choice);
    at = put_word(at, start, index);
    return put(at, events->bytes + events->prefix_bytes, events->suffix_bytes);
}

void openai_tokens(struct text *out, const struct reply *reply, uint32_t first, uint32_t count)
{
    const struct reply_template *events = reply->events;
    bool prepared = events != NULL && events->prefix_bytes != 0;
    size_t most =
        prepared ? (size_t)events->prefix_bytes + events->suffix_bytes : event_bytes_max(reply);
    if (reply->choices_count > 9)
        most = event_bytes_max(reply);
    most += WORDS_ONE_BYTES;
    char *begin = text_room(out, most * count * reply->choices_count), *at = begin;
    if (begin == NULL)
        return;
    for (uint32_t i = first; i - first < count; i++) {
        for (uint32_t choice = 0; choice < reply->choices_count; choice++)
            at = choice == 0 && prepared ? put_prepared(at, events, i)
                                         : put_event(at, reply, choice, i);
    }
    out->len += (size_t)(at - begin);
}

void openai_begin_stream(struct text *out, const struct reply *reply)
{
    for (uint32_t choice = 0; choice < reply->choices_count; choice++) {
        char *at = text_room(out, event_bytes_max(reply));
        if (at == NULL)
            return;
        out->len += (size_t)(text_write_u64(PUT(put_event_head(at, reply), CHOICE), choice) - at);
        text_put(out, ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                      "\"finish_reason\":null}");
        text_add(out, (const char *)event_end(reply).ptr, event_end(reply).len);
    }
}

/* An event without choices. */
static void add_usage_event(struct text *out, const struct reply *reply)
{
    char *begin = text_room(out, event_bytes_max(reply) + usage_bytes(reply)), *at = begin;
    if (begin == NULL)
        return;
    at = put_usage(PUT(put_event_head(at, reply), "],"), reply);
    at = PUT(at, "}\n\n");
    out->len += (size_t)(at - begin);
}

void openai_end_stream(struct text *out, const struct reply *reply)
{
    for (uint32_t choice = 0; choice < reply->choices_count; choice++) {
        char *begin = text_room(out, event_bytes_max(reply)), *at = begin;
        if (begin == NULL)
            return;
        at = text_write_u64(PUT(put_event_head(at, reply), CHOICE), choice);
        at = put_finish(put_slice(at, shape_of(reply)->last), reply->finish);
        at = put_slice(at, event_end(reply));
        out->len += (size_t)(at - begin);
    }
    if (reply->include_usage)
        add_usage_event(out, reply);
}
