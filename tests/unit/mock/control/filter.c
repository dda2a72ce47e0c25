/* SPDX-License-Identifier: MIT */
#include "mock/control/filter.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEED     20240502
#define START_NS 5000000000LL          /* of the record, engine's clock */
#define WALL_NS  1714564800000000000LL /* 2024-05-01T12:00:00Z at the engine's 0 */

static const char *const models[] = { "bitnet-7b", "llama-70b" };

static struct filter_context context = {
    .wall_ns = WALL_NS,
    .now_ns = 8000000000,
    .models = models,
    .models_count = 2,
};

static uint16_t rule_number(const char *id)
{
    struct fault_rule *rule = NULL;
    struct fault_error err;
    json_t *json = json_pack("{s:s, s:{s:s}}", "id", id, "do", "kind", "reset");
    assert_non_null(json);
    assert_int_equal(fault_rule_open(&rule, json, 1, 1, 0, &err), 0);
    uint16_t number = rule->number;
    fault_rule_drop(rule);
    json_decref(json);
    return number;
}

static struct weir_slice slice(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static struct journal_record a_record(void)
{
    return (struct journal_record){
        .seq = 12,
        .start_ns = START_NS,
        .delivered_ns = 5050000,
        .key = weir_random_key(WEIR_TEXT("user 7")),
        .conn = 77,
        .status = 429,
        .rule = rule_number("r-1"),
        .fault_kind = FAULT_STATUS,
        .endpoint = ENDPOINT_INFER,
        .method = METHOD_POST,
        .end = JOURNAL_CUT,
        .phase = JOURNAL_STREAMING,
        .model = 1,
        .stream = true,
        .keyed = true,
    };
}

static bool matches(const char *query, const struct journal_record *record)
{
    struct filter filter;
    struct filter_error err = { "" };
    if (filter_parse(&filter, slice(query), &context, &err) != 0)
        fail_msg("%s: %s", query, err.text);
    return filter_matches(&filter, record);
}

static const struct {
    const char *query;
    bool matches;
} match_cases[] = {
    { "", true },
    { "&&", true },
    { "path=/api/infer", true },
    { "path=/api/infer/batch", false },
    { "path=%2fapi%2Finfer", true },
    { "path=/api/*", true },
    { "path=*", true },
    { "path=/v1/*", false },
    { "path=/v1/*,/api/infer", true },
    { "path=/api/infer*", true },
    { "path=/v1/models/{id},other", false },
    { "method=POST", true },
    { "method=GET,HEAD", false },
    { "method=GET,POST", true },
    { "status=429", true },
    { "status=4xx", true },
    { "status=5xx", false },
    { "status=200,503", false },
    { "status=2xx,429", true },
    { "status=0", false },
    { "end=cut", true },
    { "end=answered,disconnect", false },
    { "end=answered%2Ccut", true },
    { "phase=streaming", true },
    { "phase=body,queued,delayed,sent", false },
    { "fault=r-1", true },
    { "fault=any", true },
    { "fault=none", false },
    { "fault=status", true },
    { "fault=reset", false },
    { "fault=stall,status", true },
    { "fault=none,any", true },
    { "model=llama-70b", true },
    { "model=bitnet-7b", false },
    { "model=none", false },
    { "stream=true", true },
    { "stream=false", false },
    { "key=user%207", true },
    { "key=user+7", false },
    { "conn=77", true },
    { "conn=7", false },
    { "min_delivered_us=5050", true },
    { "min_delivered_us=5051", false },
    { "since=1714564805", true },
    { "since=1714564805.000000001", false },
    { "until=1714564805", false },
    { "until=1714564805.000000001", true },
    { "since=-3s", true },
    { "since=-2999ms", false },
    { "since=-3000001us", true },
    { "since=-2999999us", false },
    { "since=-2999999999ns", false },
    { "since=-0.05m", true },
    { "since=-0.049m", false },
    { "until=-1h", false },
    { "since=2024-05-01T12:00:05Z", true },
    { "since=2024-05-01T12:00:05.1Z", false },
    { "since=2024-05-01T14:00:05+02:00", true },
    { "since=2024-05-01T14:00:05%2B02:00", true },
    { "until=2024-05-01T04:30:05-07:30", false },
    { "until=2024-05-01t04:30:05.000001-07:30", true },
    { "limit=5", true },
    /* All parameters must hold. */
    { "status=429&path=/api/*&method=POST&end=cut&model=llama-70b&key=user%207", true },
    { "status=429&path=/api/*&method=POST&end=answered&model=llama-70b", false },
};

/* For each parameter what lets the record through and what does not. */
static void test_matches(void **state)
{
    (void)state;
    rule_number("reset");
    struct journal_record record = a_record();
    for (size_t i = 0; i < sizeof match_cases / sizeof match_cases[0]; i++)
        if (matches(match_cases[i].query, &record) != match_cases[i].matches)
            fail_msg("%s: expected %d", match_cases[i].query, match_cases[i].matches);
}

/* Records that lack what is asked for. */
static void test_matches_what_is_missing(void **state)
{
    (void)state;
    struct journal_record record = a_record();
    record.end = JOURNAL_ANSWERED;
    assert_false(matches("phase=streaming", &record));
    assert_true(matches("end=answered", &record));
    record.keyed = false;
    assert_false(matches("key=user%207", &record));
    record.model = FILTER_MODEL_NONE;
    assert_true(matches("model=none", &record));
    assert_false(matches("model=bitnet-7b", &record));
    record.status = 0;
    assert_true(matches("status=0", &record));
    assert_true(matches("status=0,5xx", &record));
    assert_false(matches("status=4xx", &record));
    record.status = 999;
    assert_false(matches("status=0,1xx,2xx,3xx,4xx,5xx", &record));
    assert_true(matches("", &record));
    /* The kind without a rule is what a request asked for itself. */
    record.rule = 0;
    assert_true(matches("fault=status", &record));
    assert_false(matches("fault=r-1", &record));
    record.fault_kind = FAULT_NONE;
    assert_true(matches("fault=none", &record));
    assert_false(matches("fault=any", &record));
    /* The id of a rule wins over the kind of the same name. */
    record.fault_kind = FAULT_RESET;
    assert_false(matches("fault=reset", &record));
    record.rule = rule_number("reset");
    assert_true(matches("fault=reset", &record));
}

static void test_limit_and_counts(void **state)
{
    (void)state;
    struct filter filter;
    struct filter_error err;
    assert_int_equal(filter_parse(&filter, slice(""), &context, &err), 0);
    assert_int_equal(filter.limit, FILTER_LIMIT_DEFAULT);
    assert_false(filter.verifies);
    assert_true(filter_verifies(&filter, 0));
    assert_int_equal(filter_parse(&filter, slice("limit=10000"), &context, &err), 0);
    assert_int_equal(filter.limit, 10000);
    context.counts = true;
    assert_int_equal(filter_parse(&filter, slice("min=2&max=3"), &context, &err), 0);
    assert_true(filter.verifies);
    assert_false(filter_verifies(&filter, 1));
    assert_true(filter_verifies(&filter, 2));
    assert_true(filter_verifies(&filter, 3));
    assert_false(filter_verifies(&filter, 4));
    assert_int_equal(filter_parse(&filter, slice("max=0"), &context, &err), 0);
    assert_true(filter.verifies && filter_verifies(&filter, 0) && !filter_verifies(&filter, 1));
    context.counts = false;
}

static const struct {
    const char *query, *says;
    bool counts;
} refusals[] = {
    { "limit=0", "limit: expected a number of 1 ... 10000, got \"0\"", false },
    { "limit=10001", "limit: expected", false },
    { "limit=", "limit: expected", false },
    { "limit", "limit: expected", false },
    { "limit=-1", "limit: expected", false },
    { "limit=99999999999999999999999999", "limit: expected", false },
    { "limit=1&limit=2", "limit: given twice", false },
    { "limits=3", "limits: no such parameter; did you mean limit?", false },
    { "stauts=3", "stauts: no such parameter; did you mean status?", false },
    { "%73tauts=3", "stauts: no such parameter", false },
    { "frobnicate=3", "frobnicate: no such parameter; there are limit, path, method", false },
    { "=3", ": no such parameter", false },
    { "%zz=3", "%zz: no such parameter", false },
    { "min=1", "min: only /admin/requests/count knows it", false },
    { "limit=1", "limit: only /admin/requests knows it", true },
    { "min=3&max=2", "min: 3 is more than max", true },
    { "min=x", "min: expected a number of requests, got \"x\"", true },
    { "path=/api/infr", "path: \"/api/infr\" is no endpoint; did you mean /api/infer?", false },
    { "path=/nowhere/*", "path: \"/nowhere/*\" is no endpoint", false },
    { "path=/api/infer,", "path: \"\" is no endpoint", false },
    { "method=post", "method: \"post\" is no method", false },
    { "method=POTS", "method: \"POTS\" is no method; did you mean POST?", false },
    { "status=42", "status: expected a status as 429", false },
    { "status=600", "status: expected", false },
    { "status=6xx", "status: expected", false },
    { "status=0xx", "status: expected", false },
    { "status=4x", "status: expected", false },
    { "status=,", "status: expected", false },
    { "status=", "status: expected", false },
    { "end=answerd", "end: \"answerd\" is no end; did you mean answered?", false },
    { "phase=strming", "phase: \"strming\" is no phase; did you mean streaming?", false },
    { "fault=trunate", "fault: \"trunate\" is no rule or kind of fault; did you mean truncate?",
      false },
    { "fault=my-rul", "did you mean my-rule?", false },
    { "fault=", "fault: \"\" is no rule", false },
    { "model=bitnet-7", "model: \"bitnet-7\" is no model; did you mean bitnet-7b?", false },
    { "stream=1", "stream: expected true or false, got \"1\"", false },
    { "key=", "key: expected the text of a key", false },
    { "conn=x", "conn: expected the number of a connection, got \"x\"", false },
    { "min_delivered_us=5ms", "min_delivered_us: expected a number of microseconds", false },
    { "path=%2", "path: a '%' without two hexadecimal digits", false },
    { "since=", "since: expected seconds", false },
    { "since=yesterday", "since: expected seconds", false },
    { "since=-", "since: expected", false },
    { "since=-5", "since: expected", false },
    { "since=-5d", "since: expected", false },
    { "since=-s", "since: expected", false },
    { "since=-1.2.3s", "since: expected", false },
    { "since=1.0000000001", "since: expected", false },
    { "since=9300000000", "since: expected", false },
    { "since=-9000000000h", "since: expected", false },
    { "since=2024-05-01T12:00:05", "since: expected", false },
    { "since=2024-05-01 12:00:05Z", "since: expected", false },
    { "since=2024-13-01T12:00:05Z", "since: expected", false },
    { "since=2024-00-01T12:00:05Z", "since: expected", false },
    { "since=2023-02-29T12:00:05Z", "since: expected", false },
    { "since=2024-05-00T12:00:05Z", "since: expected", false },
    { "since=2024-05-01T24:00:05Z", "since: expected", false },
    { "since=2024-05-01T12:60:05Z", "since: expected", false },
    { "since=2024-05-01T12:00:61Z", "since: expected", false },
    { "since=2024-05-01T12:00:5Z", "since: expected", false },
    { "since=2024-05-01T12:00:055Z", "since: expected", false },
    { "since=2024-05-01T12:00:05.Z", "since: expected", false },
    { "since=2024-05-01T12:00:05%2B24:00", "since: expected", false },
    { "since=2024-05-01T12:00:05%2B0200", "since: expected", false },
    { "since=1969-12-31T23:59:59Z", "since: expected", false },
    { "until=2300-05-01T12:00:05Z", "until: expected", false },
};

/* What is refused, and what the message says of it. */
static void test_refused(void **state)
{
    (void)state;
    rule_number("my-rule");
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct filter filter;
        struct filter_error err = { "" };
        context.counts = refusals[i].counts;
        if (filter_parse(&filter, slice(refusals[i].query), &context, &err) != -EINVAL)
            fail_msg("%s: was taken", refusals[i].query);
        if (strstr(err.text, refusals[i].says) == NULL)
            fail_msg("%s: says %s", refusals[i].query, err.text);
    }
    context.counts = false;
}

/* The message of a value that is long, or no text, is short and printable. */
static void test_hostile_values(void **state)
{
    (void)state;
    struct filter filter;
    struct filter_error err;
    char query[3 * 5000 + 16];
    memcpy(query, "model=", 6);
    for (size_t i = 0; i < 5000; i++)
        memcpy(query + 6 + 3 * i, "%00", 3);
    struct weir_slice text = { (const uint8_t *)query, 6 + 3 * 4096 };
    assert_int_equal(filter_parse(&filter, text, &context, &err), -EINVAL);
    assert_true(strlen(err.text) < 120);
    text.len += 3;
    assert_int_equal(filter_parse(&filter, text, &context, &err), -EINVAL);
    assert_string_equal(err.text, "model: longer than 4096 bytes");
    memset(query, 'a', sizeof query);
    assert_int_equal(filter_parse(&filter, (struct weir_slice){ (uint8_t *)query, sizeof query },
                                  &context, &err),
                     -EINVAL);
    assert_true(strlen(err.text) < 300);
}

/* Any bytes are a filter or an error that can be printed; read in memory of exactly their size. */
static void test_random_bytes(void **state)
{
    (void)state;
    printf("seed %d\n", SEED);
    static const char *const pieces[] = {
        "limit",  "path", "method", "status", "end",   "phase", "fault", "model",
        "stream", "key",  "conn",   "since",  "until", "min",   "max",   "=",
        "&",      "=",    "&",      "%",      "%20",   "%00",   ",",     "*",
        "-5s",    "4xx",  "429",    "any",    "/api/", "cut",   "1.5",   "2024-05-01T12:00:05Z",
        "true",   ".",    ":",      "9",      "-",     "\x80",
    };
    uint64_t taken = 0;
    for (uint64_t run = 0; run < 20000; run++) {
        uint8_t bytes[512];
        size_t len = 0;
        uint64_t count = weir_random_u64(SEED, run, 0) % 12;
        for (uint64_t i = 0; i < count; i++) {
            uint64_t pick = weir_random_u64(SEED, run, i + 1);
            const char *piece = pieces[pick % (sizeof pieces / sizeof pieces[0])];
            memcpy(bytes + len, piece, strlen(piece));
            len += strlen(piece);
        }
        uint8_t *query = malloc(len == 0 ? 1 : len);
        assert_non_null(query);
        memcpy(query, bytes, len);
        struct filter filter;
        struct filter_error err = { "" };
        context.counts = run % 2;
        int result = filter_parse(&filter, (struct weir_slice){ query, len }, &context, &err);
        assert_true(result == 0 || result == -EINVAL);
        assert_int_equal(result == 0, err.text[0] == '\0');
        for (const char *c = err.text; *c != '\0'; c++)
            assert_true(*c >= 0x20 && *c < 0x7F);
        struct journal_record record = a_record();
        taken += result == 0 && filter_matches(&filter, &record);
        free(query);
    }
    assert_true(taken > 0);
    context.counts = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),          cmocka_unit_test(test_matches_what_is_missing),
        cmocka_unit_test(test_limit_and_counts), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile_values),   cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
