/* SPDX-License-Identifier: MIT */
#include "mock/api/override.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <strings.h>

#include <cmocka.h>

static struct override override;
static struct body_error error;

struct field {
    const char *name, *value;
};

static struct weir_slice find_field(const void *ctx, struct weir_slice name)
{
    for (const struct field *field = ctx; field->name != NULL; field++)
        if (strlen(field->name) == name.len &&
            strncasecmp(field->name, (const char *)name.ptr, name.len) == 0)
            return (struct weir_slice){ (const uint8_t *)field->value, strlen(field->value) };
    return (struct weir_slice){ NULL, 0 };
}

static int read_fields(const struct field *fields, uint64_t key)
{
    struct fault_head head = { .header = find_field, .ctx = fields };
    memset(&override, 0xA5, sizeof override);
    return override_read(&override, &head, 1, key, &error);
}

static int read_one(const char *name, const char *value)
{
    return read_fields((struct field[]){ { name, value }, { NULL, NULL } }, 1);
}

static void refused(const char *name, const char *value, const char *word)
{
    if (read_one(name, value) != -EINVAL)
        fail_msg("taken: %s: %s", name, value);
    assert_int_equal(error.status, 400);
    assert_string_equal(error.field, name);
    if (strncmp(error.message, name, strlen(name)) != 0 || strstr(error.message, word) == NULL)
        fail_msg("expected '%s ... %s' in: %s", name, word, error.message);
    assert_false(override.delay.given || override.has_fault);
    assert_null(override.itl.dist);
}

static void test_none(void **state)
{
    (void)state;
    assert_int_equal(read_one("X-Other", "1"), 0);
    assert_false(override.delay.given || override.ttft.given || override.itl.given);
    assert_false(override.has_fault);
    assert_int_equal(override.tokens, 0);
    assert_int_equal(override.status, 0);
    override_close(&override);
}

static void test_times(void **state)
{
    (void)state;
    assert_int_equal(read_fields((struct field[]){ { "x-mock-delay", "5ms" },
                                                   { "X-Mock-TTFT", "uniform:min=1ms,max=2ms" },
                                                   { "X-Mock-ITL", "750us" },
                                                   { NULL, NULL } },
                                 1),
                     0);
    assert_int_equal(override_draw_ns(&override.delay, 1, 2, 3), 5000000);
    assert_int_equal(override_draw_ns(&override.itl, 1, 2, 3), 750000);
    assert_non_null(override.ttft.dist);
    uint64_t drawn = override_draw_ns(&override.ttft, 1, 2, 3);
    assert_in_range(drawn, 1000000, 2000000);
    assert_int_equal(override_draw_ns(&override.ttft, 1, 2, 3), drawn);
    override_close(&override);
    assert_null(override.ttft.dist);
    assert_int_equal(read_one("x-envoy-fault-delay-request", "20"), 0);
    assert_int_equal(override_draw_ns(&override.delay, 1, 2, 3), 20000000);
    override_close(&override);
    assert_int_equal(read_fields((struct field[]){ { "x-envoy-fault-delay-request", "20" },
                                                   { "X-Mock-Delay", "0s" },
                                                   { NULL, NULL } },
                                 1),
                     0);
    assert_true(override.delay.given);
    assert_int_equal(override_draw_ns(&override.delay, 1, 2, 3), 0);
    override_close(&override);
    refused("X-Mock-Delay", "", "");
    refused("X-Mock-Delay", "5 parsecs", "");
    refused("X-Mock-TTFT", "normal:mean=5ms", "");
    refused("X-Mock-ITL", "hgrm:file=/etc/passwd", "without a file");
    refused("X-Mock-ITL", "mix:0.5*fixed:1ms;0.5*hgrm:file=/etc/passwd", "without a file");
    refused("x-envoy-fault-delay-request", "20ms", "milliseconds");
    refused("x-envoy-fault-delay-request", "99999999999999999", "milliseconds");
    refused("x-envoy-fault-delay-request", "18446744073709551616", "milliseconds");
    char lengthy[300];
    memset(lengthy, '1', sizeof lengthy);
    lengthy[sizeof lengthy - 1] = '\0';
    refused("X-Mock-Delay", lengthy, "at most 255");
}

/* The second field is wrong: what the first one holds is not lost. */
static void test_no_leak(void **state)
{
    (void)state;
    assert_int_equal(read_fields((struct field[]){ { "X-Mock-Delay", "exponential:mean=5ms" },
                                                   { "X-Mock-Fault", "status=429" },
                                                   { "X-Mock-Tokens", "0" },
                                                   { NULL, NULL } },
                                 1),
                     -EINVAL);
    assert_null(override.delay.dist);
}

static void test_tokens(void **state)
{
    (void)state;
    assert_int_equal(read_one("X-Mock-Tokens", "1000000"), 0);
    assert_int_equal(override.tokens, 1000000);
    override_close(&override);
    refused("X-Mock-Tokens", "0", "1 ... 1000000");
    refused("X-Mock-Tokens", "1000001", "1 ... 1000000");
    refused("X-Mock-Tokens", "-1", "1 ... 1000000");
    refused("X-Mock-Tokens", "1 ", "1 ... 1000000");
    refused("X-Mock-Tokens", "", "1 ... 1000000");
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(read_one("X-Return-Error", "503"), 0);
    assert_int_equal(override.status, 503);
    assert_int_equal(read_one("x-envoy-fault-abort-request", "429"), 0);
    assert_int_equal(override.status, 429);
    assert_int_equal(read_one("X-Mock-Status", "418"), 0);
    assert_int_equal(override.status, 418);
    assert_int_equal(read_fields((struct field[]){ { "X-Mock-Status", "500:100" },
                                                   { "X-Return-Error", "503" },
                                                   { NULL, NULL } },
                                 1),
                     0);
    assert_int_equal(override.status, 500);
    refused("X-Return-Error", "600", "200 ... 599");
    refused("X-Return-Error", "199", "200 ... 599");
    refused("X-Return-Error", "304", "200 ... 599");
    refused("X-Return-Error", "5o3", "200 ... 599");
    static const char *const bad[] = {
        "",        "429:",    "429:x",   "429:-1", "429:10,",   "429:10;5",    "42:10",
        "4290:1",  "429:1e1", "429:0x1", "429: 1", "429:1.2.3", "204:1",       ",429:1",
        "429:inf", "429 :1",  "429:10 ", "999:1",  "429:.",     "429:1,,500:1"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused("X-Mock-Status", bad[i], "STATUS:PERCENT");
    refused("X-Mock-Status", "429:60,503:41", "at most 100");
    refused("X-Mock-Status", "429,503", "at most 100");
}

/* A pure function of the key, in the shares that were asked for. */
static void test_weights(void **state)
{
    (void)state;
    static const struct field fields[] = { { "X-Mock-Status", "429:10,503:5.5" }, { NULL, NULL } };
    unsigned busy = 0, down = 0;
    for (uint64_t key = 0; key < 10000; key++) {
        assert_int_equal(read_fields(fields, key), 0);
        uint16_t status = override.status;
        assert_true(status == 0 || status == 429 || status == 503);
        assert_int_equal(read_fields(fields, key), 0);
        assert_int_equal(override.status, status);
        busy += status == 429;
        down += status == 503;
    }
    assert_in_range(busy, 900, 1100);
    assert_in_range(down, 470, 630);
}

static void test_fault(void **state)
{
    (void)state;
    assert_int_equal(read_one("X-Mock-Fault", "reset@tokens=10"), 0);
    assert_true(override.has_fault);
    assert_int_equal(override.fault.kind, FAULT_RESET);
    assert_int_equal(override.fault.at_count, 10);
    override_close(&override);
    assert_false(override.has_fault);
    refused("X-Mock-Fault", "explode", "");
    refused("X-Mock-Fault", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),    cmocka_unit_test(test_times),
        cmocka_unit_test(test_no_leak), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_status),  cmocka_unit_test(test_weights),
        cmocka_unit_test(test_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
