/* SPDX-License-Identifier: MIT */
/*
 * What an endpoint's bodies may hold is a table: a member's name, how it is read, and its bounds.
 * The members are looked up first and then read in the table's order, which is the order in which a
 * body with several errors is told the first of them.
 */
#include "mock/api/ask.h"

#include "mock/api/node.h"
#include "mock/api/prompt.h"

#include <errno.h>

/* What an image, or another part of a message that is no text, costs: OpenAI's price for one that
 * is looked at in low detail. */
#define PART_TOKENS 85

/* The most members that a table has. */
#define MEMBERS_MAX 20

struct ask_reader {
    struct ask *out;
    enum endpoint endpoint;
    const struct config *config;
    struct body_error *err; /* NULL: errors are not told, the tree will tell them */
    struct prompt prompt;
    uint32_t prompts_count, n;
    uint32_t max_tokens, max_completion_tokens; /* 0 = not given */
};

struct ask_member {
    int (*read)(struct ask_reader *reader, const struct ask_member *member, struct node value);
    const char *name;
    double min, max;
};

/* ---- Values ------------------------------------------------------------------------------ */

static int fail_kind(struct ask_reader *reader, const char *field, const char *expected,
                     enum node_kind got)
{
    if (got == NODE_MISSING)
        return body_fail(reader->err, field, "%s: expected %s, but the field is missing", field,
                         expected);
    return body_fail(reader->err, field, "%s: expected %s, got %s", field, expected,
                     node_kind_name(got));
}

/* Clients write null for what they leave to the server. */
static bool is_left_out(enum node_kind kind)
{
    return kind == NODE_MISSING || kind == NODE_NULL;
}

/* `*out` stays as it is when there is none. */
static int read_integer(struct ask_reader *reader, const struct ask_member *member,
                        struct node value, uint32_t *out)
{
    enum node_kind kind = value.kind;
    if (is_left_out(kind))
        return 0;
    if (kind != NODE_INTEGER)
        return body_fail(reader->err, member->name,
                         "%s: expected an integer of %.0f ... %.0f, got %s", member->name,
                         member->min, member->max, node_kind_name(kind));
    int64_t integer = node_integer(value);
    if (integer < (int64_t)member->min || integer > (int64_t)member->max)
        return body_fail(reader->err, member->name,
                         "%s: expected an integer of %.0f ... %.0f, got %lld", member->name,
                         member->min, member->max, (long long)integer);
    *out = (uint32_t)integer;
    return 0;
}

static int read_boolean(struct ask_reader *reader, const char *field, struct node value, bool *out)
{
    enum node_kind kind = value.kind;
    if (is_left_out(kind))
        return 0;
    if (kind != NODE_TRUE && kind != NODE_FALSE)
        return fail_kind(reader, field, "true or false", kind);
    *out = kind == NODE_TRUE;
    return 0;
}

/* A number between the bounds, or any number when they are equal. */
static int check_number(struct ask_reader *reader, const struct ask_member *member,
                        struct node value)
{
    enum node_kind kind = value.kind;
    if (is_left_out(kind))
        return 0;
    if (kind != NODE_INTEGER && kind != NODE_REAL)
        return fail_kind(reader, member->name, "a number", kind);
    if (member->min == member->max)
        return 0;
    double number = node_number(value);
    if (number < member->min || number > member->max)
        return body_fail(reader->err, member->name, "%s: expected a number of %g ... %g, got %g",
                         member->name, member->min, member->max, number);
    return 0;
}

static int check_integer(struct ask_reader *reader, const struct ask_member *member,
                         struct node value)
{
    uint32_t ignored;
    return read_integer(reader, member, value, &ignored);
}

/* An integer of any size: that it is one is all there is to check. */
static int check_seed(struct ask_reader *reader, const struct ask_member *member, struct node value)
{
    enum node_kind kind = value.kind;
    if (!is_left_out(kind) && kind != NODE_INTEGER)
        return fail_kind(reader, member->name, "an integer", kind);
    return 0;
}

static int check_boolean(struct ask_reader *reader, const struct ask_member *member,
                         struct node value)
{
    bool ignored;
    return read_boolean(reader, member->name, value, &ignored);
}

static int check_string(struct ask_reader *reader, const struct ask_member *member,
                        struct node value)
{
    enum node_kind kind = value.kind;
    if (!is_left_out(kind) && kind != NODE_STRING)
        return fail_kind(reader, member->name, "a string", kind);
    return 0;
}

/* ---- Members that all APIs have ---------------------------------------------------------- */

/* The name as far as there is room for it, no character cut in two. */
static void copy_name(struct ask *ask, struct weir_slice id)
{
    size_t len = id.len;
    if (len > CONFIG_NAME_BYTES - 1) {
        len = CONFIG_NAME_BYTES - 1;
        while (len > 0 && (id.ptr[len] & 0xC0) == 0x80)
            len--;
    }
    memcpy(ask->model_name, id.ptr, len);
    ask->model_name[len] = '\0';
}

static int fail_model(struct ask_reader *reader, const char *field, struct weir_slice id)
{
    int rc = body_fail_model(reader->err, field, reader->config, id);
    if (reader->err != NULL)
        reader->err->code = "model_not_found";
    return rc;
}

static int read_model(struct ask_reader *reader, const struct ask_member *member, struct node value)
{
    enum node_kind kind = value.kind;
    if (kind != NODE_STRING)
        return fail_kind(reader, member->name, "a string", kind);
    if (value.escapes)
        return -EINVAL;
    struct weir_slice id = node_text(value);
    copy_name(reader->out, id);
    reader->out->model = (int16_t)config_find_model(reader->config, id);
    return 0;
}

static int read_stream(struct ask_reader *reader, const struct ask_member *member,
                       struct node value)
{
    return read_boolean(reader, member->name, value, &reader->out->stream);
}

static int read_max_tokens(struct ask_reader *reader, const struct ask_member *member,
                           struct node value)
{
    return read_integer(reader, member, value, &reader->max_tokens);
}

/* ---- The prompt of ours ------------------------------------------------------------------ */

static int read_text(struct ask_reader *reader, const struct ask_member *member, struct node value)
{
    enum node_kind kind = value.kind;
    if (kind != NODE_STRING)
        return fail_kind(reader, member->name, "a string", kind);
    prompt_add(&reader->prompt, value);
    reader->prompts_count = 1;
    return 0;
}

/* ---- The prompt of /v1/completions ------------------------------------------------------- */

static int fail_prompt(struct ask_reader *reader, const char *what, enum node_kind got)
{
    return body_fail(reader->err, "prompt", "prompt: expected %s, got %s", what,
                     node_kind_name(got));
}

/* The rest of an array of token numbers, of which `number` is the first. */
static int read_ids(struct ask_reader *reader, struct node_walk *walk, struct node number)
{
    int rc;
    prompt_begin_ids(&reader->prompt);
    do {
        enum node_kind kind = number.kind;
        if (kind != NODE_INTEGER)
            return fail_prompt(reader, "only token numbers in the array", kind);
        int64_t id = node_integer(number);
        if (id < 0)
            return body_fail(reader->err, "prompt",
                             "prompt: expected token numbers of at least 0, got %lld",
                             (long long)id);
        prompt_add_id(&reader->prompt, (uint64_t)id);
    } while ((rc = node_array_next(walk, &number)) > 0);
    prompt_end_ids(&reader->prompt);
    reader->prompts_count++;
    return rc;
}

/* One element of an array of prompts, which are all of the same kind. */
static int read_prompt_element(struct ask_reader *reader, enum node_kind first, struct node element)
{
    enum node_kind kind = element.kind;
    if (kind != first || (kind != NODE_STRING && kind != NODE_ARRAY))
        return fail_prompt(reader, "an array of strings, token numbers or arrays of these", kind);
    if (kind == NODE_STRING) {
        prompt_add(&reader->prompt, element);
        reader->prompts_count++;
        return 0;
    }
    struct node_walk walk;
    struct node number;
    node_array_begin(&walk, element);
    int rc = node_array_next(&walk, &number);
    if (rc == 0)
        return body_fail(reader->err, "prompt",
                         "prompt: expected token numbers, got an empty "
                         "array");
    return rc < 0 ? rc : read_ids(reader, &walk, number);
}

static int read_prompt(struct ask_reader *reader, const struct ask_member *member,
                       struct node value)
{
    enum node_kind kind = value.kind;
    if (kind == NODE_STRING)
        return read_text(reader, member, value);
    if (kind != NODE_ARRAY)
        return fail_kind(reader, member->name, "a string or an array", kind);
    struct node_walk walk;
    struct node element;
    node_array_begin(&walk, value);
    int rc = node_array_next(&walk, &element);
    if (rc == 0)
        return body_fail(reader->err, "prompt", "prompt: expected a prompt, got an empty array");
    kind = rc > 0 ? element.kind : NODE_UNUSUAL;
    if (kind == NODE_INTEGER)
        return read_ids(reader, &walk, element);
    while (rc > 0) {
        rc = read_prompt_element(reader, kind, element);
        if (rc == 0)
            rc = node_array_next(&walk, &element);
    }
    return rc;
}

/* ---- The messages of /v1/chat/completions ------------------------------------------------ */

#define NAME(literal)                                                                              \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

static int fail_message(struct ask_reader *reader, unsigned index, const char *what,
                        enum node_kind got)
{
    return body_fail(reader->err, "messages", "messages[%u]%s, got %s", index, what,
                     node_kind_name(got));
}

/* Whatever is no text costs the same: what is in it is not looked at. */
static int read_part(struct ask_reader *reader, unsigned index, struct node part)
{
    enum { PART_TYPE, PART_TEXT, PART_REFUSAL, PART_COUNT };
    static const struct weir_slice names[PART_COUNT] = {
        [PART_TYPE] = NAME("type"),
        [PART_TEXT] = NAME("text"),
        [PART_REFUSAL] = NAME("refusal"),
    };
    struct node members[PART_COUNT];
    enum node_kind kind = part.kind;
    if (kind != NODE_OBJECT)
        return fail_message(reader, index, ".content: expected objects in the array", kind);
    if (!node_members(part, names, PART_COUNT, members))
        return -EINVAL;
    kind = members[PART_TYPE].kind;
    if (kind != NODE_STRING)
        return fail_message(reader, index, ".content: expected a type in each part, a string",
                            kind);
    if (members[PART_TYPE].escapes)
        return -EINVAL;
    struct weir_slice type = node_text(members[PART_TYPE]);
    bool is_text = type.len == 4 && memcmp(type.ptr, "text", 4) == 0;
    bool is_refusal = type.len == 7 && memcmp(type.ptr, "refusal", 7) == 0;
    struct node other = members[is_text ? PART_REFUSAL : PART_TEXT];
    if (!node_is_usual(other))
        return -EINVAL;
    if (!is_text && !is_refusal) {
        if (!node_is_usual(members[PART_REFUSAL]))
            return -EINVAL;
        prompt_add_tokens(&reader->prompt, type, PART_TOKENS);
        return 0;
    }
    struct node text = members[is_text ? PART_TEXT : PART_REFUSAL];
    kind = text.kind;
    if (kind != NODE_STRING)
        return fail_message(reader, index, ".content: expected the text of a part, a string", kind);
    prompt_add(&reader->prompt, text);
    return 0;
}

static int read_parts(struct ask_reader *reader, unsigned index, struct node parts)
{
    struct node_walk walk;
    struct node part;
    bool empty = true;
    int rc;
    node_array_begin(&walk, parts);
    while ((rc = node_array_next(&walk, &part)) > 0) {
        rc = read_part(reader, index, part);
        if (rc < 0)
            return rc;
        empty = false;
    }
    if (rc == 0 && empty)
        return body_fail(reader->err, "messages",
                         "messages[%u].content: expected at least one part, got an empty array",
                         index);
    return rc;
}

enum ask_role {
    ROLE_SYSTEM,
    ROLE_DEVELOPER,
    ROLE_USER,
    ROLE_ASSISTANT,
    ROLE_TOOL,
    ROLE_FUNCTION,
    ROLE_COUNT
};

static const struct weir_slice roles[ROLE_COUNT] = {
    [ROLE_SYSTEM] = NAME("system"), [ROLE_DEVELOPER] = NAME("developer"),
    [ROLE_USER] = NAME("user"),     [ROLE_ASSISTANT] = NAME("assistant"),
    [ROLE_TOOL] = NAME("tool"),     [ROLE_FUNCTION] = NAME("function"),
};

static int read_role(struct ask_reader *reader, unsigned index, struct node value,
                     enum ask_role *role)
{
    enum node_kind kind = value.kind;
    if (kind != NODE_STRING)
        return fail_message(reader, index, ".role: expected a string", kind);
    struct weir_slice name = node_text(value);
    for (int i = 0; i < ROLE_COUNT && !value.escapes; i++) {
        if (name.len == roles[i].len && memcmp(name.ptr, roles[i].ptr, name.len) == 0) {
            *role = (enum ask_role)i;
            return 0;
        }
    }
    return body_fail(reader->err, "messages",
                     "messages[%u].role: expected system, developer, user, assistant, tool or "
                     "function, got '%.*s'",
                     index, name.len > 32 ? 32 : (int)name.len, (const char *)name.ptr);
}

enum {
    MESSAGE_ROLE,
    MESSAGE_CONTENT,
    MESSAGE_TOOL_CALLS,
    MESSAGE_FUNCTION_CALL,
    MESSAGE_REFUSAL,
    MESSAGE_AUDIO,
    MESSAGE_COUNT
};

/* An assistant's message that called tools, refused or spoke needs no content. */
static int read_no_content(struct ask_reader *reader, unsigned index, enum ask_role role,
                           const struct node *members, enum node_kind got)
{
    bool instead = false;
    for (int i = MESSAGE_TOOL_CALLS; i < MESSAGE_COUNT; i++)
        instead = instead || !is_left_out(members[i].kind);
    if (role != ROLE_ASSISTANT || !instead)
        return fail_message(reader, index, ".content: expected a string or an array of parts", got);
    return 0;
}

static int read_message(struct ask_reader *reader, unsigned index, struct node message)
{
    static const struct weir_slice names[MESSAGE_COUNT] = {
        [MESSAGE_ROLE] = NAME("role"),
        [MESSAGE_CONTENT] = NAME("content"),
        [MESSAGE_TOOL_CALLS] = NAME("tool_calls"),
        [MESSAGE_FUNCTION_CALL] = NAME("function_call"),
        [MESSAGE_REFUSAL] = NAME("refusal"),
        [MESSAGE_AUDIO] = NAME("audio"),
    };
    struct node members[MESSAGE_COUNT];
    enum ask_role role = ROLE_USER;
    enum node_kind kind = message.kind;
    if (kind != NODE_OBJECT)
        return fail_message(reader, index, ": expected an object", kind);
    if (!node_members(message, names, MESSAGE_COUNT, members))
        return -EINVAL;
    for (int i = MESSAGE_TOOL_CALLS; i < MESSAGE_COUNT; i++)
        if (!node_is_usual(members[i]))
            return -EINVAL;
    int rc = read_role(reader, index, members[MESSAGE_ROLE], &role);
    if (rc < 0)
        return rc;
    kind = members[MESSAGE_CONTENT].kind;
    if (kind == NODE_STRING)
        prompt_add(&reader->prompt, members[MESSAGE_CONTENT]);
    else if (kind == NODE_ARRAY)
        rc = read_parts(reader, index, members[MESSAGE_CONTENT]);
    else if (is_left_out(kind))
        rc = read_no_content(reader, index, role, members, kind);
    else
        rc = fail_message(reader, index, ".content: expected a string or an array of parts", kind);
    if (rc == 0 && index == 0 && (role == ROLE_SYSTEM || role == ROLE_DEVELOPER))
        prompt_mark_prefix(&reader->prompt);
    return rc;
}

static int read_messages(struct ask_reader *reader, const struct ask_member *member,
                         struct node value)
{
    enum node_kind kind = value.kind;
    if (kind != NODE_ARRAY)
        return fail_kind(reader, member->name, "an array of messages", kind);
    struct node_walk walk;
    struct node message;
    unsigned index = 0;
    int rc;
    node_array_begin(&walk, value);
    while ((rc = node_array_next(&walk, &message)) > 0) {
        rc = read_message(reader, index++, message);
        if (rc < 0)
            return rc;
    }
    if (rc == 0 && index == 0)
        return body_fail(reader->err, "messages",
                         "messages: expected at least one message, got an empty array");
    reader->prompts_count = 1;
    return rc;
}

/* ---- What else OpenAI's have ------------------------------------------------------------- */

static int read_stream_options(struct ask_reader *reader, const struct ask_member *member,
                               struct node value)
{
    static const struct weir_slice names[] = { NAME("include_usage") };
    struct node usage;
    enum node_kind kind = value.kind;
    if (is_left_out(kind))
        return 0;
    if (kind != NODE_OBJECT)
        return fail_kind(reader, member->name, "an object", kind);
    if (!reader->out->stream)
        return body_fail(reader->err, member->name,
                         "stream_options: expected only with \"stream\": true");
    if (!node_members(value, names, 1, &usage))
        return -EINVAL;
    return read_boolean(reader, "stream_options.include_usage", usage, &reader->out->include_usage);
}

static int read_n(struct ask_reader *reader, const struct ask_member *member, struct node value)
{
    return read_integer(reader, member, value, &reader->n);
}

/* The newer name: it counts when both are there. */
static int read_max_completion_tokens(struct ask_reader *reader, const struct ask_member *member,
                                      struct node value)
{
    return read_integer(reader, member, value, &reader->max_completion_tokens);
}

static int check_stop(struct ask_reader *reader, const struct ask_member *member, struct node value)
{
    enum node_kind kind = value.kind;
    if (is_left_out(kind) || kind == NODE_STRING)
        return 0;
    if (kind != NODE_ARRAY)
        return fail_kind(reader, member->name, "a string or an array of strings", kind);
    struct node_walk walk;
    struct node element;
    unsigned count = 0;
    int rc;
    node_array_begin(&walk, value);
    while ((rc = node_array_next(&walk, &element)) > 0) {
        kind = element.kind;
        if (kind != NODE_STRING)
            return fail_kind(reader, member->name, "strings in the array", kind);
        if (++count > ASK_STOPS_MAX)
            return body_fail(reader->err, member->name, "stop: expected at most %d strings",
                             ASK_STOPS_MAX);
    }
    return rc;
}

/* ---- The tables -------------------------------------------------------------------------- */

/* XX(name, how it is read, lowest, highest). For infer 0 tokens mean what leaving them out means,
 * as they always have. */
#define INFER_MEMBERS(XX)                                                                          \
    XX("model_id", read_model, 0, 0)                                                               \
    XX("prompt", read_text, 0, 0)                                                                  \
    XX("max_tokens", read_max_tokens, 0, CONFIG_TOKENS_MAX)                                        \
    XX("temperature", check_number, 0, 0)                                                          \
    XX("top_p", check_number, 0, 0)                                                                \
    XX("stream", read_stream, 0, 0)

#define COMPLETIONS_MEMBERS(XX)                                                                    \
    XX("model", read_model, 0, 0)                                                                  \
    XX("prompt", read_prompt, 0, 0)                                                                \
    XX("stream", read_stream, 0, 0)                                                                \
    XX("stream_options", read_stream_options, 0, 0)                                                \
    XX("max_tokens", read_max_tokens, 1, CONFIG_TOKENS_MAX)                                        \
    XX("n", read_n, 1, ASK_N_MAX)                                                                  \
    XX("temperature", check_number, 0, 2)                                                          \
    XX("top_p", check_number, 0, 1)                                                                \
    XX("presence_penalty", check_number, -2, 2)                                                    \
    XX("frequency_penalty", check_number, -2, 2)                                                   \
    XX("stop", check_stop, 0, 0)                                                                   \
    XX("seed", check_seed, 0, 0)                                                                   \
    XX("user", check_string, 0, 0)                                                                 \
    XX("logprobs", check_integer, 0, 5)                                                            \
    XX("echo", check_boolean, 0, 0)

#define CHAT_MEMBERS(XX)                                                                           \
    XX("model", read_model, 0, 0)                                                                  \
    XX("messages", read_messages, 0, 0)                                                            \
    XX("stream", read_stream, 0, 0)                                                                \
    XX("stream_options", read_stream_options, 0, 0)                                                \
    XX("max_tokens", read_max_tokens, 1, CONFIG_TOKENS_MAX)                                        \
    XX("max_completion_tokens", read_max_completion_tokens, 1, CONFIG_TOKENS_MAX)                  \
    XX("n", read_n, 1, ASK_N_MAX)                                                                  \
    XX("temperature", check_number, 0, 2)                                                          \
    XX("top_p", check_number, 0, 1)                                                                \
    XX("presence_penalty", check_number, -2, 2)                                                    \
    XX("frequency_penalty", check_number, -2, 2)                                                   \
    XX("stop", check_stop, 0, 0)                                                                   \
    XX("seed", check_seed, 0, 0)                                                                   \
    XX("user", check_string, 0, 0)                                                                 \
    XX("logprobs", check_boolean, 0, 0)                                                            \
    XX("top_logprobs", check_integer, 0, 20)

#define AS_MEMBER(name, read, min, max) { read, name, min, max },
#define AS_NAME(name, read, min, max)   NAME(name),
#define API(table, MEMBERS)                                                                        \
    static const struct ask_member table##_members[] = { MEMBERS(AS_MEMBER) };                     \
    static const struct weir_slice table##_names[] = { MEMBERS(AS_NAME) };                         \
    static const struct ask_api table##_api = { table##_members, table##_names,                    \
                                                sizeof table##_names / sizeof table##_names[0] };  \
    _Static_assert(sizeof table##_names / sizeof table##_names[0] <= MEMBERS_MAX, "room for all")

struct ask_api {
    const struct ask_member *members;
    const struct weir_slice *names; /* a second time, as node_members() wants them */
    unsigned count;
};

API(infer, INFER_MEMBERS);
API(completions, COMPLETIONS_MEMBERS);
API(chat, CHAT_MEMBERS);

static const struct ask_api *api_of(enum endpoint endpoint)
{
    if (endpoint == ENDPOINT_CHAT)
        return &chat_api;
    return endpoint == ENDPOINT_COMPLETIONS ? &completions_api : &infer_api;
}

/* ---- The whole --------------------------------------------------------------------------- */

/* One that has no room for prompt and answer: the default is cut to what is left, so that only the
 * prompt and what was asked for count. */
static int check_context(struct ask_reader *reader)
{
    const struct config_engine *engine = &reader->config->engine;
    const struct ask *ask = reader->out;
    if (engine->kind != CONFIG_ENGINE_BATCH)
        return 0;
    uint64_t max = engine->batch.max_model_len, output = ask->output_tokens;
    uint64_t need = (uint64_t)ask->prompt_tokens + (output == 0 ? 1 : output);
    if (need <= max)
        return 0;
    int rc = body_fail(reader->err, ask->chat ? "messages" : "prompt",
                       "This model's maximum context length is %llu tokens. However, you requested "
                       "%llu tokens (%llu in the %s, %llu in the completion). Please reduce the "
                       "length of the %s or completion.",
                       (unsigned long long)max, (unsigned long long)need,
                       (unsigned long long)ask->prompt_tokens, ask->chat ? "messages" : "prompt",
                       (unsigned long long)(need - ask->prompt_tokens),
                       ask->chat ? "messages" : "prompt");
    if (reader->err != NULL)
        reader->err->code = "context_length_exceeded";
    return rc;
}

static int check_choices(struct ask_reader *reader)
{
    uint64_t choices = (uint64_t)reader->n * reader->prompts_count;
    if (choices > ASK_CHOICES_MAX)
        return body_fail(reader->err, "prompt",
                         "prompt: expected at most %d choices, prompts times n, got %llu",
                         ASK_CHOICES_MAX, (unsigned long long)choices);
    reader->out->choices_count = (uint8_t)choices;
    return 0;
}

static int ask_finish(struct ask_reader *reader, struct node model)
{
    struct ask *ask = reader->out;
    const struct prompt *prompt = &reader->prompt;
    bool openai = reader->endpoint != ENDPOINT_INFER;
    if (ask->model == MODEL_UNKNOWN && reader->config->strict_models)
        return fail_model(reader, openai ? "model" : "model_id", node_text(model));
    ask->prompt_tokens = prompt->tokens == 0 ? 1 : prompt->tokens;
    ask->prompt_hash = prompt->hash;
    ask->prefix_hash = prompt->prefix_hash;
    ask->prefix_tokens = prompt->prefix_tokens;
    ask->output_tokens =
        reader->max_completion_tokens != 0 ? reader->max_completion_tokens : reader->max_tokens;
    int rc = check_choices(reader);
    return rc < 0 ? rc : check_context(reader);
}

/* In place or from the tree. */
static int ask_read_node(struct ask_reader *reader, struct node body)
{
    const struct ask_api *api = api_of(reader->endpoint);
    struct node members[MEMBERS_MAX];
    enum node_kind kind = body.kind;
    if (kind != NODE_OBJECT)
        return body_fail(reader->err, "body", "body: expected a JSON object, got %s",
                         node_kind_name(kind));
    if (!node_members(body, api->names, api->count, members))
        return -EINVAL;
    *reader->out =
        (struct ask){ .model = MODEL_UNKNOWN, .chat = reader->endpoint == ENDPOINT_CHAT };
    reader->n = 1;
    prompt_init(&reader->prompt);
    for (unsigned i = 0; i < api->count; i++) {
        int rc = api->members[i].read(reader, &api->members[i], members[i]);
        if (rc < 0)
            return rc;
    }
    return ask_finish(reader, members[0]);
}

/* The walk finds out whether it is JSON at all. */
static int ask_read_plain(struct ask_reader reader, struct weir_slice body)
{
    struct node node;
    return node_in_place(&node, body) ? ask_read_node(&reader, node) : -EINVAL;
}

static int ask_read_tree(struct ask_reader reader, struct weir_slice body)
{
    struct node node;
    json_error_t at;
    int rc = node_from_tree(&node, body, &at);
    if (rc < 0)
        return body_fail_syntax(reader.err, body, &at);
    rc = ask_read_node(&reader, node);
    node_drop_tree(&node);
    return rc;
}

int ask_read(struct ask *out, enum endpoint endpoint, struct weir_slice body,
             const struct config *config, struct body_error *err)
{
    struct ask_reader reader = { .out = out, .endpoint = endpoint, .config = config };
    if (ask_read_plain(reader, body) == 0)
        return 0;
    reader.err = err;
    int rc = ask_read_tree(reader, body);
    if (rc < 0 && endpoint != ENDPOINT_INFER)
        err->type = "invalid_request_error";
    return rc;
}

uint32_t ask_count_tokens(struct weir_slice text)
{
    return prompt_tokens_of(text.len);
}
