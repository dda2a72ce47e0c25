/* SPDX-License-Identifier: MIT */
/* Inference requests: every body is read in place and from the tree, with one result. */
#include "mock/api/ask.c"

#include <weir/random.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct config config = {
    .models = { { .id = "bitnet-7b" }, { .id = "llama-13b" }, { .id = "m\xc3\xbc" } },
    .models_count = 3,
    .tokens = 16,
};
static struct ask ask;
static struct body_error error;
static bool in_place; /* the last body was read in place */

static bool is_same(const struct ask *a, const struct ask *b)
{
    return strcmp(a->model_name, b->model_name) == 0 && a->model == b->model &&
           a->stream == b->stream && a->include_usage == b->include_usage && a->chat == b->chat &&
           a->choices_count == b->choices_count && a->prompt_tokens == b->prompt_tokens &&
           a->output_tokens == b->output_tokens && a->prompt_hash == b->prompt_hash &&
           a->prefix_hash == b->prefix_hash && a->prefix_tokens == b->prefix_tokens;
}

/* The body lies in memory of exactly its size, so that the address sanitizer sees a read past its
 * end. */
static int ask_for(enum endpoint endpoint, const char *body)
{
    size_t len = strlen(body);
    uint8_t *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, body, len);
    struct weir_slice bytes = { copy, len };
    struct ask plain, tree;
    struct ask_reader reader = { .out = &plain, .endpoint = endpoint, .config = &config };
    int plain_rc = ask_read_plain(reader, bytes);
    reader.out = &tree;
    reader.err = &error;
    int tree_rc = ask_read_tree(reader, bytes);
    in_place = plain_rc == 0;
    if (plain_rc == 0 && (tree_rc != 0 || !is_same(&plain, &tree)))
        fail_msg("%s: not the same in place and from the tree (%d)", body, tree_rc);
    memset(&error, 0, sizeof error);
    int rc = ask_read(&ask, endpoint, bytes, &config, &error);
    if (rc != tree_rc || (rc == 0 && !is_same(&ask, &tree)))
        fail_msg("%s: %d, %d from the tree", body, rc, tree_rc);
    free(copy);
    return rc;
}

static void taken(enum endpoint endpoint, const char *body)
{
    if (ask_for(endpoint, body) != 0)
        fail_msg("%s: %s", body, error.message);
}

static void taken_in_place(enum endpoint endpoint, const char *body)
{
    taken(endpoint, body);
    if (!in_place)
        fail_msg("%s: was read from the tree", body);
}

static void refused(enum endpoint endpoint, const char *body, const char *field, const char *word)
{
    if (ask_for(endpoint, body) != -EINVAL)
        fail_msg("taken: %s", body);
    assert_int_equal(error.status, 400);
    assert_string_equal(error.type,
                        endpoint == ENDPOINT_INFER ? "invalid_request" : "invalid_request_error");
    assert_string_equal(error.field, field);
    if (strstr(error.message, word) == NULL)
        fail_msg("%s: expected '%s' in: %s", body, word, error.message);
}

/* ---- Ours -------------------------------------------------------------------------------- */

#define INFER_WITH(more) "{\"model_id\":\"bitnet-7b\",\"prompt\":\"12345678\"" more "}"

static void test_infer(void **state)
{
    (void)state;
    taken_in_place(ENDPOINT_INFER, INFER_WITH());
    assert_string_equal(ask.model_name, "bitnet-7b");
    assert_int_equal(ask.model, 0);
    assert_int_equal(ask.prompt_tokens, 2);
    assert_int_equal(ask.output_tokens, 0);
    assert_int_equal(ask.choices_count, 1);
    assert_false(ask.stream || ask.chat || ask.include_usage);
    taken_in_place(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":1000000,\"stream\":true"));
    assert_int_equal(ask.output_tokens, 1000000);
    assert_true(ask.stream);
    taken_in_place(ENDPOINT_INFER,
                   INFER_WITH(",\"max_tokens\":null,\"stream\":null,\"top_p\":-7.25"));
    taken_in_place(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":0,\"stream\":false"));
    taken_in_place(ENDPOINT_INFER,
                   "\r\n\t {\"model_id\":\"\",\"prompt\":\"\",\"more\":[{},-1.5]} ");
    assert_int_equal(ask.model, MODEL_UNKNOWN);
    assert_int_equal(ask.prompt_tokens, 1);
    taken_in_place(ENDPOINT_INFER, "{\"model_id\":\"m\xc3\xbc\",\"prompt\":\"\"}");
    assert_int_equal(ask.model, 2);
    taken(ENDPOINT_INFER, "{\"model_id\":\"\\u0062itnet-7b\",\"prompt\":\"\"}");
    assert_false(in_place);
    assert_int_equal(ask.model, 0);
    taken(ENDPOINT_INFER, "{\"model_id\":\"llama-13b\",\"p\\u0072ompt\":\"12345678\"}");
    assert_false(in_place);
    assert_int_equal(ask.prompt_tokens, 2);
    /* The last one counts. */
    taken(ENDPOINT_INFER, INFER_WITH(",\"model_id\":\"llama-13b\""));
    assert_false(in_place);
    assert_int_equal(ask.model, 1);
}

static void test_infer_errors(void **state)
{
    (void)state;
    refused(ENDPOINT_INFER, "", "body", "nothing");
    refused(ENDPOINT_INFER, " ", "body", "at byte");
    refused(ENDPOINT_INFER, "[]", "body", "an array");
    refused(ENDPOINT_INFER, "{", "body", "at byte");
    refused(ENDPOINT_INFER, INFER_WITH() "x", "body", "at byte");
    refused(ENDPOINT_INFER, "{\"prompt\":1}", "model_id", "missing");
    refused(ENDPOINT_INFER, "{\"model_id\":1}", "model_id", "got an integer");
    refused(ENDPOINT_INFER, "{\"model_id\":\"x\",\"prompt\":[\"a\"]}", "prompt", "got an array");
    refused(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":-1"), "max_tokens",
            "0 ... 1000000, got -1");
    refused(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":1000001"), "max_tokens", "got 1000001");
    refused(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":1.0"), "max_tokens", "fraction");
    refused(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":4294967297"), "max_tokens", "4294967297");
    refused(ENDPOINT_INFER, INFER_WITH(",\"stream\":1"), "stream", "true or false, got an integer");
    refused(ENDPOINT_INFER, INFER_WITH(",\"temperature\":\"0\""), "temperature", "a number");
    refused(ENDPOINT_INFER, INFER_WITH(",\"more\":1e999"), "body", "at byte");
    refused(ENDPOINT_INFER, INFER_WITH(",\"more\":[\"\\u0000\"]"), "body", "at byte");
    refused(ENDPOINT_INFER, INFER_WITH(",\"more\":[\"\\ud800\"]"), "body", "at byte");
    refused(ENDPOINT_INFER, INFER_WITH(",\"more\\u0000\":1"), "body", "at byte");
}

/* ---- Prompts ----------------------------------------------------------------------------- */

/* A text counts and hashes as what it says, however it is written. */
static void test_escapes(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        { "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80z", "\\u0061\\u00fC\\u20Ac\\uD83d\\uDe00z" },
        { "1234567890/abcdefgh", "1234567890\\/abcdefgh" },
        { "\\\\\\\"", "\\u005C\\u0022" },
        { "\\b\\f\\n\\r\\t", "\\u0008\\u000c\\u000a\\u000d\\u0009" },
        { "\x7f\xef\xbf\xbf", "\\u007f\\uffff" },
    };
    static const unsigned tokens[] = { 3, 5, 1, 2, 1 };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct ask first;
        for (int j = 0; j < 2; j++) {
            char body[200];
            snprintf(body, sizeof body, "{\"model_id\":\"x\",\"prompt\":\"%s\"}", same[i][j]);
            taken_in_place(ENDPOINT_INFER, body);
            assert_int_equal(ask.prompt_tokens, tokens[i]);
            if (j == 0)
                first = ask;
        }
        assert_true(is_same(&first, &ask));
    }
}

static void prompt_of(char *body, size_t capacity, const char *head, size_t len, char last)
{
    size_t at = (size_t)snprintf(body, capacity, "%s", head);
    memset(body + at, 'a', len);
    body[at + len - 1] = last;
    snprintf(body + at + len, capacity - at - len, "\"}");
}

static void test_prefix(void **state)
{
    (void)state;
    static const char head[] = "{\"model_id\":\"x\",\"prompt\":\"";
    char body[1000];
    struct ask before;
    /* What is behind 256 bytes is not in the prefix. */
    for (size_t len = 1; len < 600; len++) {
        prompt_of(body, sizeof body, head, len, 'a');
        taken_in_place(ENDPOINT_INFER, body);
        before = ask;
        assert_int_equal(ask.prompt_tokens, (len + 3) / 4);
        assert_int_equal(ask.prefix_tokens, len < 256 ? (len + 3) / 4 : 64);
        prompt_of(body, sizeof body, head, len, 'b');
        taken_in_place(ENDPOINT_INFER, body);
        assert_true(ask.prompt_hash != before.prompt_hash);
        assert_int_equal(ask.prefix_hash == before.prefix_hash, len > 256);
    }
    assert_int_equal(ask_count_tokens(WEIR_TEXT("")), 0);
    assert_int_equal(ask_count_tokens(WEIR_TEXT("a b c d e")), 3);
}

static void test_completions(void **state)
{
    (void)state;
#define COMPLETIONS(prompt, more) "{\"model\":\"llama-13b\",\"prompt\":" prompt more "}"
    taken_in_place(ENDPOINT_COMPLETIONS, COMPLETIONS("\"123456789\"", ""));
    assert_int_equal(ask.model, 1);
    assert_int_equal(ask.prompt_tokens, 3);
    assert_false(ask.chat);
    taken_in_place(ENDPOINT_COMPLETIONS, COMPLETIONS("[\"1234\",\"12345\"]", ",\"n\":3"));
    assert_int_equal(ask.prompt_tokens, 3);
    assert_int_equal(ask.choices_count, 6);
    taken_in_place(ENDPOINT_COMPLETIONS, COMPLETIONS("[1,2,3]", ",\"max_tokens\":7"));
    assert_int_equal(ask.prompt_tokens, 3);
    assert_int_equal(ask.choices_count, 1);
    assert_int_equal(ask.output_tokens, 7);
    struct ask before = ask;
    taken_in_place(ENDPOINT_COMPLETIONS, COMPLETIONS("[[1,2, 3]]", ",\"max_tokens\":7"));
    assert_true(is_same(&before, &ask));
    taken_in_place(ENDPOINT_COMPLETIONS, COMPLETIONS("[[1,2],[3]]", ",\"max_tokens\":7"));
    assert_int_equal(ask.choices_count, 2);
    assert_int_equal(ask.prompt_tokens, 3);
    assert_true(ask.prompt_hash != before.prompt_hash);
    taken_in_place(ENDPOINT_COMPLETIONS,
                   COMPLETIONS("\"\"", ",\"stop\":[\"a\",\"b\",\"c\",\"d\"],\"logprobs\":5,"
                                       "\"echo\":false,\"suffix\":null,\"best_of\":1"));
    refused(ENDPOINT_COMPLETIONS, "{\"model\":\"x\"}", "prompt", "missing");
    refused(ENDPOINT_COMPLETIONS, "{\"prompt\":\"x\"}", "model", "missing");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("7", ""), "prompt", "got an integer");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[]", ""), "prompt", "empty array");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[[]]", ""), "prompt", "empty array");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[[\"a\"]]", ""), "prompt", "got a string");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[1,\"a\"]", ""), "prompt", "got a string");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[\"a\",1]", ""), "prompt", "got an integer");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[\"a\",[1]]", ""), "prompt", "got an array");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[1,-1]", ""), "prompt", "got -1");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[{}]", ""), "prompt", "got an object");
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("\"\"", ",\"max_tokens\":0"), "max_tokens", "got 0");
}

static void test_many_choices(void **state)
{
    (void)state;
    char body[1000] = "{\"model\":\"x\",\"n\":8,\"prompt\":[\"\"";
    size_t len = strlen(body);
    for (unsigned prompts = 1; prompts < 20; prompts++) {
        snprintf(body + len, sizeof body - len, "]}");
        if (prompts <= 16) {
            taken_in_place(ENDPOINT_COMPLETIONS, body);
            assert_int_equal(ask.choices_count, 8 * prompts);
        } else {
            refused(ENDPOINT_COMPLETIONS, body, "prompt", "at most 128 choices");
        }
        len += (size_t)snprintf(body + len, sizeof body - len, ",\"\"");
    }
}

/* ---- Chat -------------------------------------------------------------------------------- */

#define CHAT(messages, more) "{\"model\":\"bitnet-7b\",\"messages\":" messages more "}"
#define SYSTEM               "{\"role\":\"system\",\"content\":\"Be brief.\"}"
#define USER                 "{\"role\":\"user\",\"content\":\"Hello there\"}"

static void test_chat(void **state)
{
    (void)state;
    taken_in_place(ENDPOINT_CHAT, CHAT("[" USER "]", ""));
    assert_true(ask.chat);
    assert_int_equal(ask.prompt_tokens, 3);
    assert_int_equal(ask.prefix_tokens, 3);
    taken_in_place(ENDPOINT_CHAT, CHAT("[" SYSTEM "," USER "]",
                                       ",\"stream\":true,\"stream_options\":"
                                       "{\"include_usage\":true},\"max_tokens\":5,"
                                       "\"max_completion_tokens\":6,\"n\":2,\"seed\":-3,"
                                       "\"user\":\"u\",\"stop\":\"\\n\",\"logprobs\":true,"
                                       "\"top_logprobs\":20,\"temperature\":2,"
                                       "\"top_p\":0.95,\"tools\":[{\"a\":\"\\u00e4\"}]"));
    assert_int_equal(ask.prompt_tokens, 6);
    assert_int_equal(ask.prefix_tokens, 3);
    assert_int_equal(ask.output_tokens, 6);
    assert_int_equal(ask.choices_count, 2);
    assert_true(ask.stream && ask.include_usage);
    uint64_t prefix = ask.prefix_hash;
    taken_in_place(ENDPOINT_CHAT, CHAT("[" SYSTEM "," USER "," USER "]", ""));
    assert_int_equal(ask.prefix_hash, prefix);
    taken_in_place(
        ENDPOINT_CHAT,
        CHAT("[{\"role\":\"user\",\"name\":\"n\",\"content\":[{\"type\":\"text\",\"text\":"
             "\"Hello there\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]}]",
             ""));
    assert_int_equal(ask.prompt_tokens, 3 + 85);
    assert_int_equal(ask.prefix_tokens, 3);
    taken_in_place(
        ENDPOINT_CHAT,
        CHAT("[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\"}]},"
             "{\"role\":\"assistant\",\"refusal\":\"no\"},"
             "{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]},"
             "{\"role\":\"tool\",\"content\":\"7\",\"tool_call_id\":\"x\"}]",
             ""));
    assert_int_equal(ask.prompt_tokens, 2);
}

static void test_chat_errors(void **state)
{
    (void)state;
    refused(ENDPOINT_CHAT, "{\"model\":\"x\"}", "messages", "missing");
    refused(ENDPOINT_CHAT, CHAT("\"Hello\"", ""), "messages", "got a string");
    refused(ENDPOINT_CHAT, CHAT("[]", ""), "messages", "empty array");
    refused(ENDPOINT_CHAT, CHAT("[7]", ""), "messages", "messages[0]: expected an object");
    refused(ENDPOINT_CHAT, CHAT("[" USER ",{\"content\":\"\"}]", ""), "messages",
            "messages[1].role: expected a string, got nothing");
    refused(ENDPOINT_CHAT, CHAT("[{\"role\":\"boss\",\"content\":\"\"}]", ""), "messages",
            "got 'boss'");
    refused(ENDPOINT_CHAT, CHAT("[{\"role\":\"user\"}]", ""), "messages",
            "messages[0].content: expected");
    refused(ENDPOINT_CHAT, CHAT("[{\"role\":\"assistant\",\"content\":null}]", ""), "messages",
            "got null");
    refused(ENDPOINT_CHAT, CHAT("[{\"role\":\"user\",\"content\":7}]", ""), "messages",
            "got an integer");
    refused(ENDPOINT_CHAT, CHAT("[{\"role\":\"user\",\"content\":[]}]", ""), "messages",
            "at least one part");
    refused(ENDPOINT_CHAT, CHAT("[{\"role\":\"user\",\"content\":[\"a\"]}]", ""), "messages",
            "objects in the array");
    refused(ENDPOINT_CHAT, CHAT("[{\"role\":\"user\",\"content\":[{}]}]", ""), "messages",
            "a type");
    refused(ENDPOINT_CHAT, CHAT("[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", ""),
            "messages", "the text of a part");
#define BAD(more, field, word) refused(ENDPOINT_CHAT, CHAT("[" USER "]", "," more), field, word)
    BAD("\"n\":0", "n", "1 ... 8, got 0");
    BAD("\"n\":9", "n", "got 9");
    BAD("\"temperature\":2.01", "temperature", "0 ... 2, got 2.01");
    BAD("\"top_p\":-0.5", "top_p", "0 ... 1, got -0.5");
    BAD("\"stop\":[\"\",\"\",\"\",\"\",\"\"]", "stop", "at most 4");
    BAD("\"stop\":[1]", "stop", "got an integer");
    BAD("\"stop\":true", "stop", "got a boolean");
    BAD("\"seed\":1.5", "seed", "an integer");
    BAD("\"user\":{}", "user", "got an object");
    BAD("\"logprobs\":3", "logprobs", "true or false");
    BAD("\"top_logprobs\":21", "top_logprobs", "0 ... 20");
    BAD("\"presence_penalty\":-2.5", "presence_penalty", "-2 ... 2");
    BAD("\"max_completion_tokens\":0", "max_completion_tokens", "1 ... 1000000");
    BAD("\"stream_options\":{}", "stream_options", "only with");
    BAD("\"stream\":true,\"stream_options\":[]", "stream_options", "an object");
    BAD("\"stream\":true,\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage",
        "true or false");
}

/* ---- What the configuration says --------------------------------------------------------- */

static void test_strict(void **state)
{
    (void)state;
    config.strict_models = true;
    taken_in_place(ENDPOINT_INFER, INFER_WITH());
    assert_int_equal(ask_for(ENDPOINT_INFER, "{\"model_id\":\"gpt\",\"prompt\":\"\"}"), -EINVAL);
    assert_int_equal(error.status, 404);
    assert_string_equal(error.type, "not_found");
    assert_string_equal(error.field, "model_id");
    assert_int_equal(ask_for(ENDPOINT_CHAT, "{\"model\":\"gpt\",\"messages\":[" USER "]}"),
                     -EINVAL);
    assert_int_equal(error.status, 404);
    assert_string_equal(error.type, "invalid_request_error");
    assert_string_equal(error.code, "model_not_found");
    assert_string_equal(error.field, "model");
    assert_non_null(strstr(error.message, "llama-13b"));
    config.strict_models = false;
}

static void test_long_name(void **state)
{
    (void)state;
    char body[400];
    for (unsigned len = 90; len < 100; len++) {
        snprintf(body, sizeof body, "{\"model_id\":\"%0*d\xc3\xbc\xc3\xbc\",\"prompt\":\"\"}",
                 (int)len, 7);
        taken_in_place(ENDPOINT_INFER, body);
        unsigned characters = len >= 95 ? 0 : (95 - len) / 2 > 2 ? 2 : (95 - len) / 2;
        assert_int_equal(strlen(ask.model_name), (len > 95 ? 95 : len) + 2 * characters);
        assert_int_equal(ask.model, MODEL_UNKNOWN);
    }
}

static void test_context(void **state)
{
    (void)state;
    config.engine.batch.max_model_len = 10;
    taken_in_place(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":9"));
    config.engine.kind = CONFIG_ENGINE_BATCH;
    taken_in_place(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":8"));
    refused(ENDPOINT_INFER, INFER_WITH(",\"max_tokens\":9"), "prompt", "is 10 tokens");
    taken_in_place(ENDPOINT_COMPLETIONS, COMPLETIONS("[1,2,3,4,5,6,7,8,9]", ""));
    refused(ENDPOINT_COMPLETIONS, COMPLETIONS("[1,2,3,4,5,6,7,8,9,10]", ""), "prompt",
            "(10 in the prompt, 1 in the completion)");
    assert_string_equal(error.code, "context_length_exceeded");
    refused(ENDPOINT_CHAT, CHAT("[" USER "]", ",\"max_tokens\":8"), "messages",
            "(3 in the messages, 8 in the completion)");
    config.engine.kind = CONFIG_ENGINE_FIXED;
}

/* ---- In place is as from the tree -------------------------------------------------------- */

static uint64_t seed, draws;

static unsigned draw(unsigned below)
{
    return (unsigned)(weir_random_u64(seed, 3, draws++) % below);
}

struct maker {
    char text[4096];
    size_t len;
    unsigned depth;
};

static void put(struct maker *maker, const char *text)
{
    size_t len = strlen(text);
    if (maker->len + len >= sizeof maker->text - 64)
        return;
    memcpy(maker->text + maker->len, text, len);
    maker->len += len;
    maker->text[maker->len] = '\0';
}

static const char *const scalars[] = {
    "\"bitnet-7b\"",
    "\"user\"",
    "\"text\"",
    "\"system\"",
    "\"x y z\"",
    "\"\"",
    "\"\\n\\\"\\\\ \\u00e4\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ude00\"",
    "\"\xc3\xbc\"",
    "\"\xff\"",
    "0",
    "-0",
    "1",
    "7",
    "0.5",
    "-1",
    "123456789012345",
    "99999999999999999999",
    "1e1",
    "1e999",
    "00",
    "0.1000000000000000000001",
    "true",
    "false",
    "null",
};

static const char *const names[] = {
    "model_id",
    "model",
    "prompt",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "user",
    "logprobs",
    "role",
    "content",
    "type",
    "text",
    "tool_calls",
    "include_usage",
    "other",
    "refusal",
    "t\\u0065xt",
};
#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static void make_value(struct maker *maker);

static void make_array(struct maker *maker)
{
    put(maker, "[");
    for (unsigned i = 0, count = draw(4); i < count; i++) {
        put(maker, i == 0 ? "" : ",");
        make_value(maker);
    }
    put(maker, draw(40) == 0 ? "" : "]");
}

static void make_object(struct maker *maker, const char *const *first, unsigned first_count)
{
    put(maker, "{");
    for (unsigned i = 0, count = first_count + draw(4); i < count; i++) {
        unsigned name = draw(COUNT_OF(names));
        put(maker, i == 0 ? "\"" : draw(6) == 0 ? " , \"" : ",\"");
        put(maker, i < first_count && draw(10) != 0 ? first[i] : names[name]);
        put(maker, "\":");
        make_value(maker);
    }
    put(maker, draw(40) == 0 ? "" : "}");
}

static void make_value(struct maker *maker)
{
    static const char *const message[] = { "role", "content" };
    static const char *const part[] = { "type", "text" };
    if (maker->depth >= 5 || draw(3) != 0) {
        /* Most of them plain, or hardly any body would be taken. */
        put(maker, scalars[draw(4) == 0 ? draw(COUNT_OF(scalars)) : draw(6)]);
        return;
    }
    maker->depth++;
    unsigned what = draw(4);
    if (what == 0)
        make_object(maker, message, 2);
    else if (what == 1)
        make_object(maker, part, 2);
    else
        make_array(maker);
    maker->depth--;
}

static void test_any_body(void **state)
{
    (void)state;
    static const char *const infer[] = { "model_id", "prompt" };
    static const char *const completions[] = { "model", "prompt" };
    static const char *const chat[] = { "model", "messages" };
    unsigned places = 0, takes = 0;
    seed = 6;
    print_message("seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; i < 25000; i++) {
        struct maker maker = { .len = 0 };
        unsigned api = draw(3);
        make_object(&maker, api == 0 ? infer : api == 1 ? completions : chat, 2);
        int rc = ask_for(api == 0   ? ENDPOINT_INFER
                         : api == 1 ? ENDPOINT_COMPLETIONS
                                    : ENDPOINT_CHAT,
                         maker.text);
        takes += rc == 0;
        places += in_place;
    }
    if (places < 1000 || places >= takes)
        fail_msg("%u in place of %u taken", places, takes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_infer),       cmocka_unit_test(test_infer_errors),
        cmocka_unit_test(test_escapes),     cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_completions), cmocka_unit_test(test_many_choices),
        cmocka_unit_test(test_chat),        cmocka_unit_test(test_chat_errors),
        cmocka_unit_test(test_strict),      cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_context),     cmocka_unit_test(test_any_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
