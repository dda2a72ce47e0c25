/* SPDX-License-Identifier: MIT */
#include "mock/fault/rule.c"

#include "unit/mock/fault/rules.h"

#define THREADS 4

static void test_defaults(void **state)
{
    (void)state;
    struct fault_rule *rule = rule_of("{'do':{'kind':'reset'}}");
    assert_string_equal(rule->id, "rule-1");
    assert_string_equal(fault_number_id(rule->number), "rule-1");
    assert_true(rule->enabled);
    assert_false(rule->next_too);
    assert_false(rule->seed_given);
    assert_int_equal(rule->ttl_ns, 0);
    assert_null(rule->match.path.text);
    assert_int_equal(rule->match.stream, -1);
    assert_true(rule->when.probability == 1);
    assert_true(rule->when.duty == 1);
    assert_int_equal(rule->when.mode, FAULT_BERNOULLI);
    assert_int_equal(rule->when.scope, FAULT_PER_REQUEST);
    assert_int_equal(rule->action.kind, FAULT_RESET);
    fault_rule_drop(rule);
}

/* Every key away from its default, and every one of the notation that says a default at length. */
static void test_all_keys(void **state)
{
    (void)state;
    const char *text =
        "{'id':'r.1_A-z','enabled':false,'continue':true,'seed':7,'ttl_us':5000000,"
        "'when':{'probability':0.25,'mode':'even','every':3,'first':10,'after':5,'start_us':1000,"
        "'end_us':90000,'period_us':500,'duty':0.5,'ramp_us':2000,'max_active':4,"
        "'scope':'connection'},'do':{'kind':'status','status':429}}";
    struct fault_rule *rule = rule_of(text);
    assert_true(rule->next_too && !rule->enabled && rule->seed_given);
    assert_int_equal(rule->seed, 7);
    assert_int_equal(rule->ttl_ns, UINT64_C(5000000000));
    const struct fault_when *when = &rule->when;
    assert_true(when->probability == 0.25 && when->duty == 0.5);
    assert_int_equal(when->mode, FAULT_EVEN);
    assert_int_equal(when->scope, FAULT_PER_CONNECTION);
    assert_int_equal(when->every, 3);
    assert_int_equal(when->first, 10);
    assert_int_equal(when->after, 5);
    assert_int_equal(when->start_ns, 1000 * US);
    assert_int_equal(when->end_ns, 90000 * US);
    assert_int_equal(when->period_ns, 500 * US);
    assert_int_equal(when->ramp_ns, 2000 * US);
    assert_int_equal(when->max_active, 4);
    json_t *given = json_of(text), *got = fault_rule_json(rule);
    assert_true(json_equal(given, got));
    json_decref(given);
    json_decref(got);
    fault_rule_drop(rule);

    rule = rule_of("{'id':'d','enabled':true,'continue':false,'ttl_us':0,'match':{'header':{}},"
                   "'when':{'probability':1.0,'mode':'bernoulli','every':0,'first':0,'after':0,"
                   "'start_us':0,'end_us':0,'period_us':0,'duty':1.0,'ramp_us':0,'max_active':0,"
                   "'scope':'request'},'do':{'kind':'reset','at':'before_headers'}}");
    given = json_of("{'id':'d','do':{'kind':'reset'}}");
    got = fault_rule_json(rule);
    assert_true(json_equal(given, got));
    json_decref(given);
    json_decref(got);
    fault_rule_drop(rule);
}

static const struct {
    const char *rule, *pointer, *text;
} refused[] = {
    { "[]", "", "expected an object, got an array" },
    { "{}", "/do", "the key is missing" },
    { "{'do':{'kind':'fin'},'idd':'a'}", "/idd", "a rule has no such key; did you mean id?" },
    { "{'do':{'kind':'fin'},'colour':'a'}", "/colour",
      "a rule has no such key; it has id, enabled, continue, seed, ttl_us, match, when, do" },
    { "{'do':{'kind':'fin'},'id':''}", "/id", NULL },
    { "{'do':{'kind':'fin'},'id':'a/b'}", "/id", NULL },
    { "{'do':{'kind':'fin'},'id':7}", "/id", NULL },
    { "{'do':{'kind':'fin'},'id':'123456789012345678901234567890123456789012345678'}", "/id",
      NULL },
    { "{'do':{'kind':'fin'},'enabled':1}", "/enabled", "expected true or false, got 1" },
    { "{'do':{'kind':'fin'},'continue':'yes'}", "/continue",
      "expected true or false, got \"yes\"" },
    { "{'do':{'kind':'fin'},'seed':-1}", "/seed",
      "expected an integer of 0 ... 9223372036854775807, got -1" },
    { "{'do':{'kind':'fin'},'seed':1.5}", "/seed", NULL },
    { "{'do':{'kind':'fin'},'ttl_us':'5s'}", "/ttl_us",
      "expected microseconds, an integer of 0 ... 8640000000000, got \"5s\"" },
    { "{'do':{'kind':'fin'},'ttl_us':8640000000001}", "/ttl_us", NULL },
    { "{'do':{'kind':'fin'},'when':[]}", "/when", NULL },
    { "{'do':{'kind':'fin'},'when':{'probability':1.5}}", "/when/probability",
      "expected a number of 0 ... 1, got 1.5" },
    { "{'do':{'kind':'fin'},'when':{'probability':-0.1}}", "/when/probability", NULL },
    { "{'do':{'kind':'fin'},'when':{'probability':'1'}}", "/when/probability", NULL },
    { "{'do':{'kind':'fin'},'when':{'mode':'odd'}}", "/when/mode",
      "expected \"bernoulli\" or \"even\", got \"odd\"" },
    { "{'do':{'kind':'fin'},'when':{'mode':1}}", "/when/mode", NULL },
    { "{'do':{'kind':'fin'},'when':{'every':-1}}", "/when/every", NULL },
    { "{'do':{'kind':'fin'},'when':{'every':2.5}}", "/when/every", NULL },
    { "{'do':{'kind':'fin'},'when':{'first':null}}", "/when/first", NULL },
    { "{'do':{'kind':'fin'},'when':{'after':true}}", "/when/after", NULL },
    { "{'do':{'kind':'fin'},'when':{'start_us':-5}}", "/when/start_us", NULL },
    { "{'do':{'kind':'fin'},'when':{'start_us':5,'end_us':5}}", "/when/end_us", NULL },
    { "{'do':{'kind':'fin'},'when':{'end_us':'forever'}}", "/when/end_us", NULL },
    { "{'do':{'kind':'fin'},'when':{'period_us':5}}", "/when/period_us", NULL },
    { "{'do':{'kind':'fin'},'when':{'duty':0.5}}", "/when/duty", NULL },
    { "{'do':{'kind':'fin'},'when':{'duty':2,'period_us':5}}", "/when/duty", NULL },
    { "{'do':{'kind':'fin'},'when':{'ramp_us':0.5}}", "/when/ramp_us", NULL },
    { "{'do':{'kind':'fin'},'when':{'max_active':4294967296}}", "/when/max_active", NULL },
    { "{'do':{'kind':'fin'},'when':{'scope':'server'}}", "/when/scope", NULL },
    { "{'do':{'kind':'fin'},'when':{'probabilty':0.5}}", "/when/probabilty",
      "when has no such key; did you mean probability?" },
    /* What the action has to do with it. */
    { "{'do':{'kind':'refuse'},'match':{'path':'/'}}", "/match", NULL },
    { "{'do':{'kind':'reset','at':'accept'},'match':{'stream':true}}", "/match", NULL },
    { "{'do':{'kind':'accept_delay','us':5},'when':{'scope':'request'}}", "/when/scope", NULL },
    { "{'do':{'kind':'drop_done'},'match':{'stream':false}}", "/match/stream", NULL },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof refused / sizeof refused[0]; row++) {
        struct fault_error err = error_of(refused[row].rule);
        if (strcmp(err.pointer, refused[row].pointer) != 0)
            print_error("%s: %s\n", refused[row].rule, err.text);
        assert_string_equal(err.pointer, refused[row].pointer);
        if (refused[row].text != NULL)
            assert_string_equal(err.text, refused[row].text);
    }
}

/* Rules at the accept are for connections without saying so. */
static void test_accept_scope(void **state)
{
    (void)state;
    const char *text = "{'id':'x','do':{'kind':'refuse'}}";
    struct fault_rule *rule = rule_of(text);
    assert_int_equal(rule->when.scope, FAULT_PER_CONNECTION);
    json_t *given = json_of(text), *got = fault_rule_json(rule);
    assert_true(json_equal(given, got));
    json_decref(given);
    json_decref(got);
    fault_rule_drop(rule);
}

static uint64_t hash_of(const char *text, uint64_t seed)
{
    json_t *json = json_of(text);
    struct fault_rule *rule = NULL;
    struct fault_error err;
    assert_int_equal(fault_rule_open(&rule, json, 1, seed, 0, &err), 0);
    uint64_t hash = rule->hash;
    fault_rule_drop(rule);
    json_decref(json);
    return hash;
}

static void test_hash(void **state)
{
    (void)state;
    const char *text = "{'id':'h','when':{'every':2},'do':{'kind':'delay','delay':'5ms'}}";
    uint64_t hash = hash_of(text, 1);
    assert_true(hash == hash_of(text, 1));
    /* The order of the keys, what is a default, and whether it is enabled do not count. */
    assert_true(hash == hash_of("{'enabled':false,'do':{'delay':'5ms','kind':'delay'},'match':{},"
                                "'when':{'every':2,'first':0},'id':'h'}",
                                1));
    /* The seed that is inherited does; one of its own makes no difference of that one. */
    assert_true(hash != hash_of(text, 2));
    const char *own = "{'id':'h','seed':1,'when':{'every':2},'do':{'kind':'delay','delay':'5ms'}}";
    assert_true(hash_of(own, 1) == hash_of(own, 2));
    assert_true(hash != hash_of(own, 1));
    assert_true(hash !=
                hash_of("{'id':'i','when':{'every':2},'do':{'kind':'delay','delay':'5ms'}}", 1));
    assert_true(hash !=
                hash_of("{'id':'h','when':{'every':2},'do':{'kind':'delay','delay':'6ms'}}", 1));
}

static void test_state(void **state)
{
    (void)state;
    struct fault_rule *rule = rule_of("{'id':'s','ttl_us':5,'do':{'kind':'reset'}}");
    struct fault_subject subject = { .now_ns = 0 };
    assert_true(fault_rule_strikes(rule, &subject));
    json_t *got = fault_rule_json_state(rule, 4 * US);
    char text[256];
    snprintf(text, sizeof text,
             "{'id':'s','ttl_us':5,'do':{'kind':'reset'},'state':{'number':%u,'matched':1,"
             "'struck':1,'active':1,'alive':true}}",
             rule->number);
    json_t *given = json_of(text);
    assert_true(json_equal(given, got));
    json_decref(given);
    json_decref(got);
    got = fault_rule_json_state(rule, 5 * US);
    assert_false(json_is_true(json_object_get(json_object_get(got, "state"), "alive")));
    json_decref(got);
    fault_rule_release(rule);
    fault_rule_drop(rule);
}

static void test_hold(void **state)
{
    (void)state;
    struct fault_rule *rule = rule_of("{'id':'held','do':{'kind':'garbage','body':'x'}}");
    /* The compiler, which sees all of it, takes each drop for the last one. */
    struct fault_rule *volatile held = fault_rule_hold(rule);
    assert_ptr_equal(held, rule);
    fault_rule_drop(rule);
    assert_string_equal(held->action.body, "x");
    fault_rule_drop(held);
    fault_rule_drop(NULL);
}

/* ---- numbers ---- */

struct namer {
    unsigned first;
    int got[64];
};

/* All threads give the same ids, each begins with another one. */
static void *namer_run(void *arg)
{
    struct namer *namer = arg;
    for (unsigned i = 0; i < 64; i++) {
        unsigned n = (namer->first + i) % 64;
        char id[FAULT_ID_BYTES];
        snprintf(id, sizeof id, "thread-%u", n);
        namer->got[n] = number_of(id);
        if (namer->got[n] > 0 && strcmp(fault_number_id((uint16_t)namer->got[n]), id) != 0)
            namer->got[n] = 0;
    }
    return NULL;
}

static void test_numbers_of_threads(void **state)
{
    (void)state;
    pthread_t ids[THREADS];
    struct namer namers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        namers[i] = (struct namer){ .first = 16 * i };
        assert_int_equal(pthread_create(&ids[i], NULL, namer_run, &namers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    for (unsigned n = 0; n < 64; n++) {
        assert_true(namers[0].got[n] > 0);
        for (unsigned i = 1; i < THREADS; i++)
            assert_int_equal(namers[i].got[n], namers[0].got[n]);
        for (unsigned other = 0; other < n; other++)
            assert_int_not_equal(namers[0].got[other], namers[0].got[n]);
    }
}

/* The last test: no id is left afterwards. */
static void test_numbers_end(void **state)
{
    (void)state;
    assert_string_equal(fault_number_id(0), "");
    assert_string_equal(fault_number_id(FAULT_NUMBERS_MAX), "");
    assert_string_equal(fault_number_id(UINT16_MAX), "");
    struct fault_rule *rule = NULL;
    struct fault_error err;
    int result = 0;
    for (unsigned i = 0; i < FAULT_NUMBERS_MAX && result == 0; i++) {
        json_t *json =
            json_pack("{s:o, s:{s:s}}", "id", json_sprintf("end-%u", i), "do", "kind", "refuse");
        result = fault_rule_open(&rule, json, 1, RULES_SEED, 0, &err);
        json_decref(json);
        if (result == 0)
            fault_rule_drop(rule);
    }
    assert_int_equal(result, -ENOSPC);
    assert_string_equal(err.pointer, "/id");
    /* An id that has a number goes on. */
    rule = rule_of("{'id':'end-0','do':{'kind':'refuse'}}");
    assert_string_equal(fault_number_id(rule->number), "end-0");
    fault_rule_drop(rule);
    assert_string_not_equal(fault_number_id(FAULT_NUMBERS_MAX - 1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_accept_scope),
        cmocka_unit_test(test_hash),        cmocka_unit_test(test_state),
        cmocka_unit_test(test_hold),        cmocka_unit_test(test_numbers_of_threads),
        cmocka_unit_test(test_numbers_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
