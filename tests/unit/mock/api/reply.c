/* SPDX-License-Identifier: MIT */
/* Answers of all APIs: every byte of them is JSON, or events with JSON in them, and counted. */
#include "mock/api/reply.c"

#include <weir/json.h>
#include <weir/random.h>

#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const enum endpoint apis[] = { ENDPOINT_INFER, ENDPOINT_COMPLETIONS, ENDPOINT_CHAT };

static struct reply reply_for(enum endpoint endpoint)
{
    return (struct reply){
        .endpoint = endpoint,
        .seed = 3,
        .key = 17,
        .created_s = 1700000000,
        .model = "bitnet-7b",
        .prompt_tokens = 9,
        .output_tokens = 5,
        .cached_tokens = 4,
        .choices_count = 1,
    };
}

static json_t *parse(struct weir_slice text)
{
    json_t *root = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL || weir_json_check(text) != 0)
        fail_msg("no JSON: %.*s", (int)text.len, (const char *)text.ptr);
    return root;
}

static const json_t *at(const json_t *root, const char *member)
{
    const json_t *value = json_object_get(root, member);
    if (value == NULL)
        fail_msg("%s is missing", member);
    return value;
}

static const char *string_at(const json_t *root, const char *member)
{
    const json_t *value = at(root, member);
    assert_true(json_is_string(value));
    return json_string_value(value);
}

static int64_t integer_at(const json_t *root, const char *member)
{
    const json_t *value = at(root, member);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static const json_t *choice_at(const json_t *root, size_t index)
{
    const json_t *choice = json_array_get(at(root, "choices"), index);
    assert_non_null(choice);
    return choice;
}

/* The words of a choice of the answer. */
static void add_words(struct text *out, const struct reply *reply, uint32_t choice)
{
    uint32_t start = words_start(reply->seed, reply->key, choice);
    for (uint32_t i = 0; i < reply->output_tokens; i++) {
        struct weir_slice word = words_one(start, i);
        text_add(out, (const char *)word.ptr + (i == 0), word.len - (i == 0));
    }
    text_add(out, "", 1);
}

static void expect_usage(const json_t *usage, const struct reply *reply)
{
    int64_t output = (int64_t)reply->output_tokens * reply->choices_count;
    assert_int_equal(json_object_size(usage), 4);
    assert_int_equal(integer_at(usage, "prompt_tokens"), reply->prompt_tokens);
    assert_int_equal(integer_at(usage, "completion_tokens"), output);
    assert_int_equal(integer_at(usage, "total_tokens"), reply->prompt_tokens + output);
    assert_int_equal(integer_at(at(usage, "prompt_tokens_details"), "cached_tokens"),
                     reply->cached_tokens);
}

static void expect_head(const json_t *root, const struct reply *reply, const char *object)
{
    const char *id = string_at(root, "id"),
               *prefix = reply->endpoint == ENDPOINT_CHAT ? "chatcmpl-" : "cmpl-";
    assert_memory_equal(id, prefix, strlen(prefix));
    assert_int_equal(strlen(id), strlen(prefix) + 24);
    assert_true(strlen(id) < REPLY_ID_BYTES);
    assert_int_equal(strspn(id + strlen(prefix), "0123456789abcdef"), 24);
    assert_string_equal(string_at(root, "object"), object);
    assert_int_equal(integer_at(root, "created"), reply->created_s);
    assert_string_equal(string_at(root, "model"), reply->model);
    assert_string_equal(string_at(root, "system_fingerprint"), "weir");
}

/* ---- Whole answers ----------------------------------------------------------------------- */

static void expect_choices(const json_t *root, const struct reply *reply)
{
    assert_int_equal(json_array_size(at(root, "choices")), reply->choices_count);
    for (uint32_t i = 0; i < reply->choices_count; i++) {
        const json_t *choice = choice_at(root, i);
        struct text words = { 0 };
        add_words(&words, reply, i);
        assert_int_equal(integer_at(choice, "index"), i);
        assert_true(json_is_null(at(choice, "logprobs")));
        assert_string_equal(string_at(choice, "finish_reason"),
                            reply->finish == REPLY_STOP ? "stop" : "length");
        if (reply->endpoint == ENDPOINT_CHAT) {
            const json_t *message = at(choice, "message");
            assert_string_equal(string_at(message, "role"), "assistant");
            assert_string_equal(string_at(message, "content"), words.ptr);
            assert_true(json_is_null(at(message, "refusal")));
        } else {
            assert_string_equal(string_at(choice, "text"), words.ptr);
        }
        text_free(&words);
    }
}

static void expect_whole(const struct reply *reply)
{
    struct text out = { 0 };
    text_put(&out, "before");
    reply_write(&out, reply);
    assert_false(out.failed);
    assert_int_equal(out.len, reply_bytes(reply) + 6);
    json_t *root = parse((struct weir_slice){ (uint8_t *)out.ptr + 6, out.len - 6 });
    if (reply->endpoint == ENDPOINT_INFER) {
        struct text words = { 0 };
        add_words(&words, reply, 0);
        assert_int_equal(json_object_size(root), 3);
        assert_string_equal(string_at(root, "text"), words.ptr);
        assert_int_equal(integer_at(root, "tokens"), reply->output_tokens);
        assert_string_equal(string_at(root, "finish_reason"),
                            reply->finish == REPLY_STOP ? "stop" : "length");
        text_free(&words);
    } else {
        expect_head(root, reply,
                    reply->endpoint == ENDPOINT_CHAT ? "chat.completion" : "text_completion");
        expect_choices(root, reply);
        expect_usage(at(root, "usage"), reply);
    }
    json_decref(root);
    text_free(&out);
}

static void test_whole(void **state)
{
    (void)state;
    static const uint32_t tokens[] = { 0, 1, 2, 9, 10, 16, 99, 100, 1000, 10000 };
    for (int a = 0; a < 3; a++) {
        for (size_t t = 0; t < sizeof tokens / sizeof tokens[0]; t++) {
            struct reply reply = reply_for(apis[a]);
            reply.output_tokens = tokens[t];
            reply.finish = t % 2 == 0 ? REPLY_STOP : REPLY_LENGTH;
            reply.key = t;
            expect_whole(&reply);
            if (a > 0 && tokens[t] < 100)
                for (reply.choices_count = 2; reply.choices_count <= 128; reply.choices_count += 9)
                    expect_whole(&reply);
        }
    }
    struct reply reply = reply_for(ENDPOINT_CHAT);
    reply.model = "a \"quoted\" \\ name \x01\x7f \xc3\xbc";
    reply.prompt_tokens = 4000000000;
    reply.cached_tokens = 123456;
    expect_whole(&reply);
    reply.model = "";
    reply.created_s = 0;
    expect_whole(&reply);
}

/* ---- Streams ----------------------------------------------------------------------------- */

/* The data of the next event, which it takes off `rest`. */
static struct weir_slice next_event(struct weir_slice *rest)
{
    const uint8_t *end = memmem(rest->ptr, rest->len, "\n\n", 2);
    assert_non_null(end);
    size_t len = (size_t)(end - rest->ptr);
    assert_true(len > 6);
    assert_memory_equal(rest->ptr, "data: ", 6);
    struct weir_slice data = { rest->ptr + 6, len - 6 };
    assert_null(memchr(data.ptr, '\n', data.len));
    *rest = (struct weir_slice){ end + 2, rest->len - len - 2 };
    return data;
}

/* One event of one choice; its delta or, of completions, itself. */
static json_t *next_chunk(struct weir_slice *rest, const struct reply *reply, size_t choices)
{
    json_t *root = parse(next_event(rest));
    expect_head(root, reply,
                reply->endpoint == ENDPOINT_CHAT ? "chat.completion.chunk" : "text_completion");
    assert_int_equal(json_array_size(at(root, "choices")), choices);
    if (choices == 0)
        expect_usage(at(root, "usage"), reply);
    else if (reply->include_usage)
        assert_true(json_is_null(at(root, "usage")));
    else
        assert_null(json_object_get(root, "usage"));
    return root;
}

static void expect_token(struct weir_slice *rest, const struct reply *reply, uint32_t choice,
                         uint32_t index)
{
    json_t *root = next_chunk(rest, reply, 1);
    const json_t *one = choice_at(root, 0);
    struct weir_slice word = words_one(words_start(reply->seed, reply->key, choice), index);
    const char *text = reply->endpoint == ENDPOINT_CHAT ? string_at(at(one, "delta"), "content")
                                                        : string_at(one, "text");
    assert_int_equal(integer_at(one, "index"), choice);
    assert_true(json_is_null(at(one, "finish_reason")));
    assert_int_equal(strlen(text), word.len - (index == 0));
    assert_memory_equal(text, word.ptr + (index == 0), strlen(text));
    json_decref(root);
}

static void expect_begin(struct weir_slice *rest, const struct reply *reply)
{
    for (uint32_t i = 0; reply->endpoint == ENDPOINT_CHAT && i < reply->choices_count; i++) {
        json_t *root = next_chunk(rest, reply, 1);
        const json_t *one = choice_at(root, 0), *delta = at(one, "delta");
        assert_int_equal(integer_at(one, "index"), i);
        assert_string_equal(string_at(delta, "role"), "assistant");
        assert_string_equal(string_at(delta, "content"), "");
        assert_true(json_is_null(at(one, "finish_reason")));
        json_decref(root);
    }
}

static void expect_end(struct weir_slice *rest, const struct reply *reply)
{
    const char *finish = reply->finish == REPLY_STOP ? "stop" : "length";
    for (uint32_t i = 0; i < reply->choices_count; i++) {
        json_t *root = next_chunk(rest, reply, 1);
        const json_t *one = choice_at(root, 0);
        assert_int_equal(integer_at(one, "index"), i);
        assert_string_equal(string_at(one, "finish_reason"), finish);
        if (reply->endpoint == ENDPOINT_CHAT)
            assert_int_equal(json_object_size(at(one, "delta")), 0);
        else
            assert_string_equal(string_at(one, "text"), "");
        json_decref(root);
    }
    if (reply->include_usage)
        json_decref(next_chunk(rest, reply, 0));
}

static void write_stream(struct text *out, const struct reply *reply, uint32_t at_once)
{
    reply_begin_stream(out, reply);
    for (uint32_t i = 0; i < reply->output_tokens; i += at_once) {
        uint32_t left = reply->output_tokens - i, count = left < at_once ? left : at_once;
        size_t before = out->len;
        if (at_once == 1) {
            reply_token(out, reply, i);
        } else {
            size_t added = reply_tokens(out, reply, i, count);
            assert_int_equal(added, out->len - before);
        }
    }
    reply_end_stream(out, reply);
    reply_done(out, reply);
}

/* With and without template, one by one and many at once: the same bytes, and what they must be. */
static void expect_stream(struct reply *reply)
{
    struct text first = { 0 };
    write_stream(&first, reply, 1);
    assert_false(first.failed);
    struct reply_template events;
    memset(&events, 0xA5, sizeof events);
    for (uint32_t at_once = 1; at_once < 4; at_once++) {
        struct text again = { 0 };
        reply_prepare(reply, &events);
        write_stream(&again, reply, at_once);
        assert_int_equal(again.len, first.len);
        assert_memory_equal(again.ptr, first.ptr, first.len);
        text_free(&again);
    }
    reply->events = NULL;
    struct weir_slice rest = text_slice(&first);
    expect_begin(&rest, reply);
    for (uint32_t i = 0; i < reply->output_tokens; i++)
        for (uint32_t choice = 0; choice < reply->choices_count; choice++)
            expect_token(&rest, reply, choice, i);
    expect_end(&rest, reply);
    struct weir_slice done = next_event(&rest);
    assert_int_equal(done.len, 6);
    assert_memory_equal(done.ptr, "[DONE]", 6);
    assert_int_equal(rest.len, 0);
    text_free(&first);
}

static void test_stream(void **state)
{
    (void)state;
    for (int a = 1; a < 3; a++) {
        for (unsigned i = 0; i < 16; i++) {
            struct reply reply = reply_for(apis[a]);
            reply.key = i;
            reply.output_tokens = i < 8 ? i : i * 20;
            reply.choices_count = i % 3 == 0 ? 1 : (uint8_t)i;
            reply.include_usage = i % 2 == 0;
            reply.finish = i % 4 == 0 ? REPLY_LENGTH : REPLY_STOP;
            expect_stream(&reply);
        }
        /* Names that do not fit into a template, and such that nearly do. */
        for (size_t len = 1; len < 95; len++) {
            char name[96] = { 0 };
            struct reply reply = reply_for(apis[a]);
            memset(name, '\x01', len);
            reply.model = name;
            expect_stream(&reply);
        }
    }
}

static void test_infer_stream(void **state)
{
    (void)state;
    struct reply reply = reply_for(ENDPOINT_INFER);
    struct reply_template events;
    struct text out = { 0 };
    reply.output_tokens = 120;
    reply_prepare(&reply, &events);
    write_stream(&out, &reply, 7);
    struct weir_slice rest = text_slice(&out);
    for (uint32_t i = 0; i < reply.output_tokens; i++) {
        json_t *root = parse(next_event(&rest));
        struct weir_slice word = reply_word(reply.seed, reply.key, i);
        assert_int_equal(json_object_size(root), 2);
        assert_int_equal(integer_at(root, "index"), i);
        assert_int_equal(strlen(string_at(root, "token")), word.len);
        assert_memory_equal(string_at(root, "token"), word.ptr, word.len);
        json_decref(root);
    }
    json_t *root = parse(next_event(&rest));
    assert_int_equal(json_object_size(root), 2);
    assert_string_equal(string_at(root, "finish_reason"), "stop");
    assert_int_equal(integer_at(root, "tokens"), 120);
    json_decref(root);
    assert_int_equal(next_event(&rest).len, 6);
    assert_int_equal(rest.len, 0);
    text_free(&out);
}

/* ---- Words, tokens ----------------------------------------------------------------------- */

static void test_same_key_same_text(void **state)
{
    (void)state;
    struct text texts[3] = { { 0 } };
    for (int i = 0; i < 3; i++) {
        struct reply reply = reply_for(ENDPOINT_CHAT);
        reply.key = i == 2 ? 18 : 17;
        reply_write(&texts[i], &reply);
    }
    assert_int_equal(texts[0].len, texts[1].len);
    assert_memory_equal(texts[0].ptr, texts[1].ptr, texts[0].len);
    assert_true(texts[0].len != texts[2].len ||
                memcmp(texts[0].ptr, texts[2].ptr, texts[0].len) != 0);
    for (int i = 0; i < 3; i++)
        text_free(&texts[i]);
    assert_true(reply_word(1, 2, 0).ptr[0] != ' ');
    assert_int_equal(reply_word(1, 2, 1).ptr[0], ' ');
}

static void test_plan(void **state)
{
    (void)state;
    static struct config config = { .tokens = 16, .seed = 5 };
    struct ask ask = { .prompt_tokens = 10 };
    enum reply_finish finish;
    assert_int_equal(reply_plan(&ask, &config, 1, &finish), 16);
    assert_int_equal(finish, REPLY_STOP);
    ask.output_tokens = 7;
    assert_int_equal(reply_plan(&ask, &config, 1, &finish), 7);
    assert_int_equal(finish, REPLY_LENGTH);
    assert_int_equal(weir_dist_parse(&config.output_tokens, "uniform:min=0ns,max=20ns"), 0);
    unsigned cut = 0, whole = 0;
    for (uint64_t key = 0; key < 200; key++) {
        uint32_t tokens = reply_plan(&ask, &config, key, &finish);
        assert_true(tokens >= 1 && tokens <= 7);
        assert_int_equal(finish, tokens == 7 ? REPLY_LENGTH : REPLY_STOP);
        assert_int_equal(reply_plan(&ask, &config, key, &finish), tokens);
        cut += finish == REPLY_LENGTH;
        whole += finish == REPLY_STOP;
    }
    assert_true(cut > 50 && whole > 50);
    weir_dist_close(config.output_tokens);
    config.output_tokens = NULL;
    config.engine.kind = CONFIG_ENGINE_BATCH;
    config.engine.batch.max_model_len = 15;
    ask.output_tokens = 0;
    assert_int_equal(reply_plan(&ask, &config, 1, &finish), 5);
    assert_int_equal(finish, REPLY_LENGTH);
    config.engine.batch.max_model_len = 26;
    assert_int_equal(reply_plan(&ask, &config, 1, &finish), 16);
    assert_int_equal(finish, REPLY_STOP);
}

/* ---- Errors and models ------------------------------------------------------------------- */

static void expect_string_or_null(const json_t *object, const char *member, const char *expected)
{
    if (expected == NULL)
        assert_true(json_is_null(at(object, member)));
    else
        assert_string_equal(string_at(object, member), expected);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        struct reply_problem problem;
        const char *own, *openai, *param, *code;
    } cases[] = {
        { { 400, NULL, "a \"b\"", "prompt", NULL },
          "invalid_request",
          "invalid_request_error",
          "prompt",
          NULL },
        { { 400, "invalid_request", "a", "body", NULL },
          "invalid_request",
          "invalid_request_error",
          NULL,
          NULL },
        { { 404, NULL, "a", "model", "model_not_found" },
          "not_found",
          "invalid_request_error",
          "model",
          "model_not_found" },
        { { 429, NULL, "a\nb", NULL, NULL },
          "overloaded",
          "rate_limit_error",
          NULL,
          "rate_limit_exceeded" },
        { { 500, "injected_error", "a", NULL, NULL },
          "injected_error",
          "server_error",
          NULL,
          NULL },
        { { 503, NULL, "", NULL, NULL }, "overloaded", "server_error", NULL, NULL },
        { { 500, NULL, "", NULL, NULL }, "internal_error", "server_error", NULL, NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int a = 0; a < 3; a++) {
            struct text out = { 0 };
            bool own = apis[a] == ENDPOINT_INFER;
            reply_error(&out, apis[a], &cases[i].problem);
            json_t *root = parse(text_slice(&out));
            const json_t *error = at(root, "error");
            assert_int_equal(json_object_size(error), own ? 3 : 4);
            assert_string_equal(string_at(error, "message"), cases[i].problem.message);
            assert_string_equal(string_at(error, "type"), own ? cases[i].own : cases[i].openai);
            expect_string_or_null(error, own ? "field" : "param",
                                  own ? cases[i].problem.field : cases[i].param);
            if (!own)
                expect_string_or_null(error, "code", cases[i].code);
            json_decref(root);
            text_free(&out);
        }
    }
    assert_string_equal(reply_error_type(401), "authentication_error");
    assert_string_equal(reply_error_type(403), "permission_error");
    assert_string_equal(reply_error_type(408), "timeout_error");
}

static void test_error_event(void **state)
{
    (void)state;
    for (int a = 0; a < 3; a++) {
        struct reply reply = reply_for(apis[a]);
        struct text out = { 0 };
        reply_error_event(&out, &reply, 500, "went \"wrong\"");
        struct weir_slice rest = text_slice(&out);
        json_t *root = parse(next_event(&rest));
        assert_int_equal(rest.len, 0);
        assert_string_equal(string_at(at(root, "error"), "message"), "went \"wrong\"");
        json_decref(root);
        text_free(&out);
    }
}

static void test_models(void **state)
{
    (void)state;
    static const struct config config = {
        .models = { { .id = "bitnet-7b" }, { .id = "with \"quotes\"" } },
        .models_count = 2,
    };
    struct text out = { 0 };
    reply_models(&out, &config, 77);
    json_t *root = parse(text_slice(&out));
    assert_string_equal(string_at(root, "object"), "list");
    assert_int_equal(json_array_size(at(root, "data")), 2);
    for (size_t i = 0; i < 2; i++) {
        struct text one = { 0 };
        const json_t *model = json_array_get(at(root, "data"), i);
        assert_string_equal(string_at(model, "id"), config.models[i].id);
        assert_string_equal(string_at(model, "object"), "model");
        assert_string_equal(string_at(model, "owned_by"), "weir");
        assert_int_equal(integer_at(model, "created"), 77);
        struct weir_slice id = { (const uint8_t *)config.models[i].id,
                                 strlen(config.models[i].id) };
        assert_true(reply_model(&one, &config, id, 77));
        json_t *alone = parse(text_slice(&one));
        assert_true(json_equal(alone, model));
        json_decref(alone);
        text_free(&one);
    }
    json_decref(root);
    text_free(&out);
    assert_false(reply_model(&out, &config, WEIR_TEXT("gpt"), 77));
    assert_int_equal(out.len, 0);
    reply_models(&out, &(struct config){ .models_count = 0 }, 77);
    json_decref(parse(text_slice(&out)));
    text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_infer_stream), cmocka_unit_test(test_same_key_same_text),
        cmocka_unit_test(test_plan),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_error_event),  cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
