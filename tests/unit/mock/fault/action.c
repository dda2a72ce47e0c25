/* SPDX-License-Identifier: MIT */
#include "mock/fault/action.c"

#include "unit/mock/fault/rules.h"

/* As short as each kind can be said, and with all that it can be told: both come back as given. */
static const char *const whole[] = {
    "{'kind':'none'}",
    "{'kind':'status','status':200}",
    "{'kind':'status','status':429,'retry_after_s':0}",
    "{'kind':'status','status':599,'retry_after_s':31536000,'body':'{\\'e\\':1}','delay':'5ms'}",
    "{'kind':'status','status':503,'body':''}",
    "{'kind':'reset'}",
    "{'kind':'reset','at':'accept'}",
    "{'kind':'reset','at':'after_headers'}",
    "{'kind':'reset','at':'after_bytes:0'}",
    "{'kind':'reset','at':'after_bytes:9007199254740992'}",
    "{'kind':'reset','at':'after_tokens:10'}",
    "{'kind':'reset','at':'fraction:0.5'}",
    "{'kind':'reset','at':'fraction:0'}",
    "{'kind':'reset','at':'fraction:1'}",
    "{'kind':'reset','at':'fraction:0.333333333333333'}",
    "{'kind':'reset','at':'fraction:0.000000000000001'}",
    "{'kind':'fin'}",
    "{'kind':'fin','at':'accept'}",
    "{'kind':'fin','at':'after_tokens:1'}",
    "{'kind':'empty'}",
    "{'kind':'empty','no_headers':true,'rst':true}",
    "{'kind':'truncate'}",
    "{'kind':'truncate','at':'after_bytes:100','rst':true}",
    "{'kind':'truncate','at':'after_tokens:3'}",
    "{'kind':'truncate','at':'fraction:0.25'}",
    "{'kind':'garbage'}",
    "{'kind':'garbage','bytes':1,'rst':true}",
    "{'kind':'garbage','body':'HTTP/9.9 huh\\r\\n'}",
    "{'kind':'bad_chunk'}",
    "{'kind':'bad_chunk','at':'after_tokens:0'}",
    "{'kind':'bad_json'}",
    "{'kind':'bad_json','events':3}",
    "{'kind':'bad_sse'}",
    "{'kind':'bad_sse','events':2}",
    "{'kind':'dup_frame'}",
    "{'kind':'dup_frame','events':1000000}",
    "{'kind':'drop_done'}",
    "{'kind':'split'}",
    "{'kind':'split','bytes':7,'interval_us':100}",
    "{'kind':'coalesce'}",
    "{'kind':'coalesce','events':3}",
    "{'kind':'wrong_length'}",
    "{'kind':'wrong_length','delta':-100}",
    "{'kind':'wrong_length','delta':100}",
    "{'kind':'partial_headers'}",
    "{'kind':'partial_headers','bytes':20,'rst':true}",
    "{'kind':'stall'}",
    "{'kind':'stall','at':'before_headers','us':0}",
    "{'kind':'stall','at':'after_tokens:3','us':2000000}",
    "{'kind':'dribble','chunks':3,'total_us':1000}",
    "{'kind':'dribble','chunks':1000000,'total_us':1}",
    "{'kind':'dribble','bytes':10,'interval_us':1000}",
    "{'kind':'bandwidth','bytes_per_s':1000000000000}",
    "{'kind':'slow_close','us':1000000}",
    "{'kind':'half_close'}",
    "{'kind':'half_close','at':'fraction:0.1','us':5}",
    "{'kind':'accept_delay','us':8640000000000}",
    "{'kind':'refuse'}",
    "{'kind':'delay','delay':'lognormal:median=5ms,p99=20ms'}",
    "{'kind':'delay','delay':{'dist':'fixed','value_us':750}}",
    "{'kind':'status_in_stream'}",
    "{'kind':'status_in_stream','status':503,'at':'after_tokens:5'}",
    "{'kind':'status_in_stream','at':'fraction:0.5'}",
};

static struct fault_action action_of(const char *text)
{
    json_t *json = json_of(text);
    struct fault_action action = { .kind = FAULT_NONE };
    struct fault_error err = { .text = "" };
    struct field_place place = { &err, "/do", "do" };
    if (action_read(&action, json, &place) != 0) {
        print_error("%s: %s: %s\n", text, err.pointer, err.text);
        fail();
    }
    json_decref(json);
    return action;
}

static void test_round_trip(void **state)
{
    (void)state;
    bool seen[FAULT_KIND_COUNT] = { false };
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        /* Bodies have quotes of their own, written as \' here. */
        struct fault_action action = action_of(whole[i]);
        json_t *given = json_of(whole[i]), *got = action_json(&action);
        assert_non_null(got);
        if (!json_equal(given, got))
            print_error("%s\n", whole[i]);
        assert_true(json_equal(given, got));
        json_decref(given);
        json_decref(got);
        seen[action.kind] = true;
        fault_action_close(&action);
    }
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (!seen[kind])
            print_error("%s\n", fault_kind_name((enum fault_kind)kind));
        assert_true(seen[kind]);
    }
}

static void test_members(void **state)
{
    (void)state;
    struct fault_action a =
        action_of("{'kind':'status','status':429,'retry_after_s':2,'body':'no','delay':'5ms'}");
    assert_int_equal(a.kind, FAULT_STATUS);
    assert_int_equal(a.status, 429);
    assert_int_equal(a.retry_after_s, 2);
    assert_string_equal(a.body, "no");
    assert_int_equal(weir_dist_draw_ns(a.delay, 1, 2, 3), 5000 * US);
    fault_action_close(&a);
    assert_null(a.body);
    fault_action_close(&a);
    a = action_of("{'kind':'stall','at':'after_tokens:3','us':250}");
    assert_int_equal(a.at, FAULT_AT_TOKENS);
    assert_int_equal(a.at_count, 3);
    assert_int_equal(a.duration_ns, 250 * US);
    a = action_of("{'kind':'stall'}");
    assert_int_equal(a.at, FAULT_AT_AFTER_HEADERS);
    assert_true(a.duration_ns == FAULT_FOREVER);
    a = action_of("{'kind':'stall','us':'forever'}");
    assert_true(a.duration_ns == FAULT_FOREVER);
    a = action_of("{'kind':'dribble','chunks':5,'total_us':1000}");
    assert_int_equal(a.chunks, 5);
    assert_int_equal(a.interval_ns, 250 * US);
    a = action_of("{'kind':'dribble','bytes':5,'interval_us':1000}");
    assert_int_equal(a.chunks, 0);
    assert_int_equal(a.bytes, 5);
    assert_int_equal(a.interval_ns, 1000 * US);
    a = action_of("{'kind':'truncate'}");
    assert_int_equal(a.at, FAULT_AT_FRACTION);
    assert_true(a.at_fraction == 0.5);
    a = action_of("{'kind':'garbage'}");
    assert_int_equal(a.bytes, 256);
    a = action_of("{'kind':'split'}");
    assert_int_equal(a.bytes, 1);
    assert_int_equal(a.interval_ns, 0);
    a = action_of("{'kind':'wrong_length','delta':-3}");
    assert_true(a.length_delta == -3);
    a = action_of("{'kind':'status_in_stream'}");
    assert_int_equal(a.status, 500);
    assert_int_equal(a.at, FAULT_AT_TOKENS);
    assert_int_equal(a.at_count, 1);
    a = action_of("{'kind':'partial_headers'}");
    assert_int_equal(a.bytes, 0);
}

static const struct {
    const char *action, *pointer, *text; /* part of it */
} refused[] = {
    { "7", "", "expected an object with a kind, got 7" },
    { "{}", "/kind", "the key is missing" },
    { "{'kind':7}", "/kind", "as a string, got 7" },
    { "{'kind':'rest'}", "/kind", "no such kind: \"rest\"; did you mean reset?" },
    { "{'kind':'zzzzzzzzzz'}", "/kind",
      "there are none, status, reset, fin, empty, truncate, gar" },
    { "{'kind':'status'}", "/status", "status needs this key" },
    { "{'kind':'status','status':199}", "/status", "of 200 ... 599, got 199" },
    { "{'kind':'status','status':600}", "/status", "of 200 ... 599, got 600" },
    { "{'kind':'status','status':'429'}", "/status", "got \"429\"" },
    { "{'kind':'status','status':429.5}", "/status", "an integer" },
    { "{'kind':'status','status':429,'retry_after_s':-1}", "/retry_after_s", "got -1" },
    { "{'kind':'status','status':429,'retry_after':1}", "/retry_after",
      "did you mean retry_after_s?" },
    { "{'kind':'status','status':429,'body':{}}", "/body", "a string, got an object" },
    { "{'kind':'status','status':429,'delay':'5'}", "/delay", "" },
    { "{'kind':'status','status':429,'delay':{'dist':'fixed','value_us':'x'}}", "/delay/value_us",
      "" },
    { "{'kind':'delay'}", "/delay", "delay needs this key" },
    { "{'kind':'delay','delay':null}", "/delay", "" },
    { "{'kind':'delay','delay':'hgrm:file=/nonexistent/a.hgrm'}", "/delay", "" },
    { "{'kind':'reset','at':7}", "/at", "a place as a string, got 7" },
    { "{'kind':'reset','at':''}", "/at",
      "one of accept, before_headers, after_headers, after_bytes:N, after_tokens:N, "
      "fraction:0...1" },
    { "{'kind':'reset','at':'accepted'}", "/at", "got \"accepted\"" },
    { "{'kind':'reset','at':'after_bytes'}", "/at", "" },
    { "{'kind':'reset','at':'after_bytes:'}", "/at", "" },
    { "{'kind':'reset','at':'after_bytes:-1'}", "/at", "" },
    { "{'kind':'reset','at':'after_bytes: 1'}", "/at", "" },
    { "{'kind':'reset','at':'after_bytes:9007199254740993'}", "/at", "" },
    { "{'kind':'reset','at':'after_bytes:99999999999999999999'}", "/at", "" },
    { "{'kind':'reset','at':'after_tokens:1.5'}", "/at", "" },
    { "{'kind':'reset','at':'fraction:1.1'}", "/at", "" },
    { "{'kind':'reset','at':'fraction:.5'}", "/at", "" },
    { "{'kind':'reset','at':'fraction:0.'}", "/at", "" },
    { "{'kind':'reset','at':'fraction:nan'}", "/at", "" },
    { "{'kind':'reset','at':'fraction:1e-3'}", "/at", "" },
    { "{'kind':'reset','at':'bytes=5'}", "/at", "" },
    { "{'kind':'truncate','at':'before_headers'}", "/at",
      "expected one of after_bytes:N, after_tokens:N, fraction:0...1, got" },
    { "{'kind':'stall','at':'accept'}", "/at", "" },
    { "{'kind':'status_in_stream','at':'after_bytes:1'}", "/at",
      "expected one of after_tokens:N, fraction:0...1, got" },
    { "{'kind':'status_in_stream','status':200}", "/status", "400 ... 599" },
    { "{'kind':'fin','rst':true}", "/rst",
      "fin has no such key; it is one of empty, truncate, garbage, partial_headers" },
    { "{'kind':'truncate','rst':1}", "/rst", "true or false" },
    { "{'kind':'drop_done','events':1}", "/events",
      "drop_done has no such key; it is one of bad_json, bad_sse, dup_frame, coalesce" },
    { "{'kind':'drop_done','what':1}", "/what", "drop_done has no keys" },
    { "{'kind':'split','byte':1}", "/byte", "split has no such key; did you mean bytes?" },
    { "{'kind':'split','colour':1}", "/colour",
      "split has no such key; it has bytes, interval_us" },
    { "{'kind':'split','bytes':0}", "/bytes", "" },
    { "{'kind':'garbage','bytes':5,'body':'x'}", "/bytes", "either" },
    { "{'kind':'coalesce','events':1}", "/events", "2 ... 1000000" },
    { "{'kind':'bad_sse','events':0}", "/events", "1 ... 1000000" },
    { "{'kind':'wrong_length','delta':0}", "/delta", "another number than 0" },
    { "{'kind':'stall','us':'for ever'}", "/us", "or \"forever\", got \"for ever\"" },
    { "{'kind':'slow_close'}", "/us", "slow_close needs this key" },
    { "{'kind':'slow_close','us':'forever'}", "/us", "" },
    { "{'kind':'accept_delay','us':0}", "/us", "" },
    { "{'kind':'bandwidth','bytes_per_s':0}", "/bytes_per_s", "" },
    { "{'kind':'bandwidth'}", "/bytes_per_s", "bandwidth needs this key" },
    { "{'kind':'dribble'}", "", "chunks and total_us or bytes and interval_us" },
    { "{'kind':'dribble','chunks':5}", "", "expected either" },
    { "{'kind':'dribble','chunks':1,'total_us':5}", "/chunks", "" },
    { "{'kind':'dribble','chunks':5,'total_us':5,'bytes':5}", "", "expected either" },
    { "{'kind':'dribble','bytes':5,'interval_us':0}", "/interval_us", "" },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof refused / sizeof refused[0]; row++) {
        char text[512], pointer[64];
        snprintf(text, sizeof text, "{'do':%s}", refused[row].action);
        snprintf(pointer, sizeof pointer, "/do%s", refused[row].pointer);
        struct fault_error err = error_of(text);
        if (strcmp(err.pointer, pointer) != 0 || strstr(err.text, refused[row].text) == NULL)
            print_error("%s: %s\n", text, err.text);
        assert_string_equal(err.pointer, pointer);
        assert_non_null(strstr(err.text, refused[row].text));
    }
}

/* Each key of each kind: with values of every type but its own it is refused, and named. */
static void test_types(void **state)
{
    (void)state;
    static const char *const values[] = { "true", "17.5", "'x'", "[]", "{}", "null", "-7" };
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        for (size_t i = 0; i < FIELDS_COUNT; i++) {
            const struct field *field = &action_fields[i];
            if (!(field->kinds & (1U << kind)))
                continue;
            unsigned taken = 0;
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                char text[256], pointer[64];
                snprintf(text, sizeof text, "{'kind':'%s','%s':%s}", kind_names[kind], field->key,
                         values[v]);
                snprintf(pointer, sizeof pointer, "/do/%s", field->key);
                json_t *json = json_of(text);
                struct fault_action action = { .kind = FAULT_NONE };
                struct fault_error err = { .text = "" };
                int result = action_read(&action, json, &(struct field_place){ &err, "/do", "do" });
                json_decref(json);
                bool named = strcmp(err.pointer, pointer) == 0;
                taken += !named;
                fault_action_close(&action);
                assert_true(result == 0 || result == -EINVAL);
            }
            /* Its own type is at most one of them: a boolean, a text, a negative number. */
            if (taken > 1)
                print_error("%s of %s: %u\n", field->key, kind_names[kind], taken);
            assert_true(taken <= 1);
        }
    }
}

/* A key of another kind names the kinds that have it; and no kind has none of its own wrong. */
static void test_other_kinds(void **state)
{
    (void)state;
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++)
        for (size_t i = 0; i < FIELDS_COUNT; i++) {
            struct fault_error err = { .text = "" };
            struct field_place place = { &err, "/do", kind_names[kind] };
            const char *key = action_fields[i].key;
            const struct field *found = action_find((enum fault_kind)kind, key, &place);
            if (found != NULL) {
                assert_true(found->kinds & (1U << kind));
                continue;
            }
            assert_false(action_fields[i].kinds & (1U << kind));
            assert_non_null(strstr(err.text, "it is one of"));
        }
}

static void test_sorts(void **state)
{
    (void)state;
    static const struct {
        const char *action;
        bool accept, stream;
    } rows[] = {
        { "{'kind':'refuse'}", true, false },
        { "{'kind':'accept_delay','us':1}", true, false },
        { "{'kind':'reset','at':'accept'}", true, false },
        { "{'kind':'fin','at':'accept'}", true, false },
        { "{'kind':'reset'}", false, false },
        { "{'kind':'reset','at':'after_tokens:1'}", false, false },
        { "{'kind':'split'}", false, false },
        { "{'kind':'bad_json'}", false, false },
        { "{'kind':'bad_sse'}", false, true },
        { "{'kind':'dup_frame'}", false, true },
        { "{'kind':'drop_done'}", false, true },
        { "{'kind':'coalesce'}", false, true },
        { "{'kind':'status_in_stream'}", false, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault_action action = action_of(rows[i].action);
        assert_int_equal(fault_action_is_accept(&action), rows[i].accept);
        assert_int_equal(fault_action_is_stream(&action), rows[i].stream);
        fault_action_close(&action);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_members),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_types),
        cmocka_unit_test(test_other_kinds), cmocka_unit_test(test_sorts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
