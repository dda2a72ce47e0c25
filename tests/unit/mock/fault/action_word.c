/* SPDX-License-Identifier: MIT */
#include "mock/fault/action_word.c"

#include "unit/mock/fault/rules.h"

#include <stdlib.h>

#include <weir/random.h>

/* A word, and the action of a rule that says the same. Each kind that a request may ask for. */
static const struct {
    const char *word, *action;
} same[] = {
    { "none", "{'kind':'none'}" },
    { "status=429", "{'kind':'status','status':429}" },
    { "status=429,retry_after=2", "{'kind':'status','status':429,'retry_after_s':2}" },
    { "status,status=429", "{'kind':'status','status':429}" },
    { "status=503,retry_after=1,body=a,b@c=d",
      "{'kind':'status','status':503,'retry_after_s':1,'body':'a,b@c=d'}" },
    { "status=503,body=", "{'kind':'status','status':503,'body':''}" },
    { "status=503,delay=uniform:min=1ms,max=2ms",
      "{'kind':'status','status':503,'delay':'uniform:min=1ms,max=2ms'}" },
    { "reset", "{'kind':'reset'}" },
    { "reset@tokens=10", "{'kind':'reset','at':'after_tokens:10'}" },
    { "reset@bytes=10", "{'kind':'reset','at':'after_bytes:10'}" },
    { "reset@fraction=0.5", "{'kind':'reset','at':'fraction:0.5'}" },
    { "reset@before_headers", "{'kind':'reset'}" },
    { "reset@after_headers", "{'kind':'reset','at':'after_headers'}" },
    { "reset,at=tokens=10", "{'kind':'reset','at':'after_tokens:10'}" },
    { "fin@bytes=0", "{'kind':'fin','at':'after_bytes:0'}" },
    { "empty", "{'kind':'empty'}" },
    { "empty,no_headers,rst", "{'kind':'empty','no_headers':true,'rst':true}" },
    { "empty,no_headers=true,rst=false", "{'kind':'empty','no_headers':true}" },
    { "truncate", "{'kind':'truncate'}" },
    { "truncate@bytes=100,rst", "{'kind':'truncate','at':'after_bytes:100','rst':true}" },
    { "garbage", "{'kind':'garbage'}" },
    { "garbage=12", "{'kind':'garbage','bytes':12}" },
    { "garbage,body=hu,h", "{'kind':'garbage','body':'hu,h'}" },
    { "bad_chunk@tokens=2", "{'kind':'bad_chunk','at':'after_tokens:2'}" },
    { "bad_json", "{'kind':'bad_json'}" },
    { "bad_json=2", "{'kind':'bad_json','events':2}" },
    { "bad_sse=2", "{'kind':'bad_sse','events':2}" },
    { "dup_frame,events=3", "{'kind':'dup_frame','events':3}" },
    { "drop_done", "{'kind':'drop_done'}" },
    { "split=3,interval=2ms", "{'kind':'split','bytes':3,'interval_us':2000}" },
    { "coalesce=5", "{'kind':'coalesce','events':5}" },
    { "wrong_length=-5", "{'kind':'wrong_length','delta':-5}" },
    { "wrong_length=5", "{'kind':'wrong_length','delta':5}" },
    { "wrong_length=+5", "{'kind':'wrong_length','delta':5}" },
    { "partial_headers=20", "{'kind':'partial_headers','bytes':20}" },
    { "stall", "{'kind':'stall'}" },
    { "stall=2s", "{'kind':'stall','us':2000000}" },
    { "stall=forever@tokens=2", "{'kind':'stall','at':'after_tokens:2'}" },
    { "stall@bytes=100,duration=2s", "{'kind':'stall','at':'after_bytes:100','us':2000000}" },
    { "dribble,chunks=5,total=1s", "{'kind':'dribble','chunks':5,'total_us':1000000}" },
    { "dribble,bytes=5,interval=10ms", "{'kind':'dribble','bytes':5,'interval_us':10000}" },
    { "bandwidth=1000", "{'kind':'bandwidth','bytes_per_s':1000}" },
    { "slow_close=1s", "{'kind':'slow_close','us':1000000}" },
    { "half_close@after_headers,duration=750us", "{'kind':'half_close','us':750}" },
    { "delay=5ms", "{'kind':'delay','delay':'5ms'}" },
    { "delay=lognormal:median=5ms,p99=20ms",
      "{'kind':'delay','delay':'lognormal:median=5ms,p99=20ms'}" },
    { "status_in_stream=503@tokens=4",
      "{'kind':'status_in_stream','status':503,'at':'after_tokens:4'}" },
};

static int parse(struct fault_action *out, const char *word, size_t len, struct fault_error *err)
{
    /* Memory of its own, so that the sanitizer sees a read behind it. */
    uint8_t *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, word, len);
    int result = fault_action_parse(out, (struct weir_slice){ copy, len }, err);
    free(copy);
    return result;
}

static void test_words(void **state)
{
    (void)state;
    bool seen[FAULT_KIND_COUNT] = { false };
    for (size_t row = 0; row < sizeof same / sizeof same[0]; row++) {
        struct fault_action action;
        struct fault_error err;
        if (parse(&action, same[row].word, strlen(same[row].word), &err) != 0) {
            print_error("%s: %s\n", same[row].word, err.text);
            fail();
        }
        json_t *given = json_of(same[row].action), *got = action_json(&action);
        if (!json_equal(given, got))
            print_error("%s\n", same[row].word);
        assert_true(json_equal(given, got));
        json_decref(given);
        json_decref(got);
        seen[action.kind] = true;
        fault_action_close(&action);
    }
    seen[FAULT_REFUSE] = seen[FAULT_ACCEPT_DELAY] = true;
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++)
        assert_true(seen[kind]);
}

static const struct {
    const char *word, *text; /* part of it */
} refused[] = {
    { "", "expected a fault, got nothing" },
    { "rest", "kind: no such kind: \"rest\"; did you mean reset?" },
    { "=5", "kind: no such kind" },
    { "@tokens=5", "kind: no such kind" },
    { "Reset", "did you mean reset?" },
    { " reset", "no such kind" },
    { "reset=5", "reset takes no value" },
    { "reset,", "reset has no such key" },
    { "reset,,", "reset has no such key" },
    { "reset@", "at: expected one of before_headers, after_headers, bytes=N, tokens=N, fraction=" },
    { "reset@tokens", "got \"tokens\"" },
    { "reset@tokens=", "got \"tokens=\"" },
    { "reset@after_tokens:5", "got \"after_tokens:5\"" },
    { "reset@accept", "at: expected one of before_headers" },
    { "reset@tokens=1@tokens=2", "at: " },
    { "reset@tokens=1,at=tokens=2", "at: it is there twice" },
    { "reset,rst", "rst: reset has no such key; it is one of" },
    { "split@tokens=1", "split happens at no place" },
    { "status", "status: status needs this key" },
    { "status=", "status: expected an integer of 200 ... 599, got \"\"" },
    { "status=42x", "got \"42x\"" },
    { "status=-429", "got \"-429\"" },
    { "status= 429", "got \" 429\"" },
    { "status=99999999999999999999", "expected an integer" },
    { "status=429,status=503", "status: it is there twice" },
    { "status=429,retry_after", "retry_after: expected a value" },
    { "status=429,retry_after=x", "retry_after: expected an integer" },
    { "status=429,retry_after_s=1", "retry_after_s: status has no such key; did you mean retry_" },
    { "empty,rst=yes", "rst: expected true or false, got \"yes\"" },
    { "stall=5", "duration: " },
    { "stall,us=5", "us: stall has no such key" },
    { "stall,duration=3000h", "duration: expected 0us ... 8640000000000us, got 3000h" },
    { "slow_close=0", "duration: expected 1us" },
    { "slow_close=forever", "duration: " },
    { "slow_close", "duration: slow_close needs this key" },
    { "dribble", "dribble: expected either chunks and total or bytes and interval" },
    { "delay", "delay: delay needs this key" },
    { "delay=", "delay: " },
    { "delay=5", "delay: " },
    { "refuse", "refuse: it happens when a connection is accepted" },
    { "accept_delay=5ms", "accept_delay: it happens when a connection is accepted" },
    { "wrong_length=0", "delta: expected another number than 0" },
    { "wrong_length=-", "delta: expected an integer" },
    { "garbage,body=\xff\xfe", "body: expected UTF-8 text" },
    { "delay=\xff", "delay: expected UTF-8 text" },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof refused / sizeof refused[0]; row++) {
        struct fault_action action;
        struct fault_error err;
        int result = parse(&action, refused[row].word, strlen(refused[row].word), &err);
        if (result != -EINVAL || strstr(err.text, refused[row].text) == NULL)
            print_error("%s: %s\n", refused[row].word, err.text);
        assert_int_equal(result, -EINVAL);
        assert_non_null(strstr(err.text, refused[row].text));
        assert_string_equal(err.pointer, "");
        assert_int_equal(action.kind, FAULT_NONE);
        assert_null(action.delay);
    }
    struct fault_action action;
    struct fault_error err;
    assert_int_equal(parse(&action, "res\0t", 5, &err), -EINVAL);
    char *longest = malloc(WORD_BYTES_MAX + 1);
    memset(longest, 'x', WORD_BYTES_MAX + 1);
    memcpy(longest, "garbage,body=", 13);
    assert_int_equal(parse(&action, longest, WORD_BYTES_MAX + 1, &err), -EINVAL);
    assert_int_equal(parse(&action, longest, WORD_BYTES_MAX, &err), 0);
    assert_int_equal(strlen(action.body), WORD_BYTES_MAX - 13);
    fault_action_close(&action);
    free(longest);
}

/* Words with a few bytes changed: taken or refused, and nothing else. */
static void test_any_word(void **state)
{
    (void)state;
    const uint64_t seed = 4242;
    print_message("seed %llu\n", (unsigned long long)seed);
    static const char bytes[] = "=@,.:0159aesx-_ \"";
    for (uint64_t i = 0; i < 20000; i++) {
        const char *word = same[weir_random_u64(seed, i, 0) % (sizeof same / sizeof same[0])].word;
        char changed[128];
        size_t len = strlen(word);
        memcpy(changed, word, len);
        for (uint64_t n = 0; n <= weir_random_u64(seed, i, 1) % 3; n++) {
            uint64_t bits = weir_random_u64(seed, i, 2 + n);
            changed[bits % len] = bytes[(bits >> 32) % (sizeof bytes - 1)];
        }
        struct fault_action action;
        struct fault_error err;
        int result = parse(&action, changed, len, &err);
        assert_true(result == 0 || (result == -EINVAL && err.text[0] != '\0'));
        if (result == 0)
            fault_action_close(&action);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_any_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
