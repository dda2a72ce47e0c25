/* SPDX-License-Identifier: MIT */
#include "mock/fault/field.c"

#include "unit/mock/fault/rules.h"

enum sample_mode { SAMPLE_LOW, SAMPLE_HIGH };

struct sample {
    bool on;
    uint16_t small;
    int32_t middle;
    uint32_t wide;
    int64_t big;
    double share;
    uint64_t time_ns;
    enum sample_mode mode;
    char *text;
};

static const char *const mode_names[] = { [SAMPLE_LOW] = "low", [SAMPLE_HIGH] = "high" };

#define SAMPLE(member) .offset = offsetof(struct sample, member)

static const struct field fields[] = {
    { .key = "on", .type = FIELD_BOOL, SAMPLE(on) },
    { .key = "small", .type = FIELD_INTEGER, SAMPLE(small), .bytes = 2, .max = UINT16_MAX },
    { .key = "middle",
      .type = FIELD_INTEGER,
      SAMPLE(middle),
      .bytes = 4,
      .min = INT32_MIN,
      .max = INT32_MAX },
    { .key = "wide", .type = FIELD_INTEGER, SAMPLE(wide), .bytes = 4, .max = UINT32_MAX },
    { .key = "big",
      .type = FIELD_INTEGER,
      SAMPLE(big),
      .bytes = 8,
      .min = INT64_MIN,
      .max = INT64_MAX },
    { .key = "share", .type = FIELD_SHARE, SAMPLE(share) },
    { .key = "time_us",
      .word = "time",
      .type = FIELD_DURATION,
      .forever = true,
      SAMPLE(time_ns),
      .max = FIELD_US_MAX },
    { .key = "mode",
      .type = FIELD_NAME,
      SAMPLE(mode),
      .bytes = 4,
      .names = mode_names,
      .names_count = 2 },
    { .key = "text", .type = FIELD_TEXT, SAMPLE(text), .max = 10 },
    { .key = "other", .type = FIELD_OTHER },
};

#define COUNT (sizeof fields / sizeof fields[0])

static const char *const whole[] = {
    "{}",
    "{'on':true,'small':65535,'middle':-2147483648,'wide':4294967295,'share':0.25,"
    "'big':-9223372036854775808,'time_us':8640000000000,'mode':'high','text':'0123456789'}",
    "{'small':1,'middle':2147483647,'wide':1,'big':9223372036854775807,'share':1,"
    "'time_us':'forever','text':''}",
    "{'share':1e-300}",
};

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        struct sample sample = { .text = NULL }, standard = { .text = NULL };
        struct fault_error err;
        struct field_place place = { &err, "", "a sample" };
        json_t *given = json_of(whole[i]), *got = json_object();
        assert_int_equal(field_read_all(fields, COUNT, &sample, given, &place), 0);
        for (size_t f = 0; f < COUNT; f++)
            assert_int_equal(field_write(&fields[f], &sample, &standard, got), 0);
        if (!json_equal(given, got))
            print_error("%s\n", whole[i]);
        assert_true(json_equal(given, got));
        json_decref(given);
        json_decref(got);
        free(sample.text);
    }
}

/* The second value of a text replaces the first; what is refused changes nothing. */
static void test_replace(void **state)
{
    (void)state;
    struct sample sample = { .wide = 7 };
    struct fault_error err;
    struct field_place place = { &err, NULL, "a sample" };
    const struct field *text = &fields[8], *wide = &fields[3], *time = &fields[6];
    assert_int_equal(field_parse(text, &sample, "one", &place), 0);
    assert_int_equal(field_parse(text, &sample, "two", &place), 0);
    assert_int_equal(field_parse(text, &sample, "01234567890", &place), -EINVAL);
    assert_string_equal(err.text, "text: expected at most 10 bytes, got 11");
    assert_string_equal(sample.text, "two");
    assert_int_equal(field_parse(wide, &sample, "4294967296", &place), -EINVAL);
    assert_int_equal(field_parse(wide, &sample, "-1", &place), -EINVAL);
    assert_int_equal(sample.wide, 7);
    assert_int_equal(field_parse(time, &sample, "750ns", &place), 0);
    assert_int_equal(sample.time_ns, 750);
    assert_int_equal(field_parse(time, &sample, "7", &place), -EINVAL);
    assert_memory_equal(err.text, "time: ", 6);
    assert_int_equal(sample.time_ns, 750);
    free(sample.text);
}

static struct fault_error fail_at(const char *pointer, const char *key)
{
    struct fault_error err;
    struct field_place place = { &err, pointer, "a sample" };
    assert_int_equal(field_fail(&place, key, "wrong"), -EINVAL);
    return err;
}

static void test_pointers(void **state)
{
    (void)state;
    assert_string_equal(fail_at("", NULL).pointer, "");
    assert_string_equal(fail_at("", "a").pointer, "/a");
    assert_string_equal(fail_at("/when", "a").pointer, "/when/a");
    assert_string_equal(fail_at("/when", "").pointer, "/when/");
    assert_string_equal(fail_at("/when", "a/b~c").pointer, "/when/a~1b~0c");
    assert_string_equal(fail_at(NULL, "a").pointer, "");
    assert_string_equal(fail_at(NULL, "a").text, "a: wrong");
    /* Names of any length and of characters of any length are cut between characters. */
    for (size_t len = 1; len < 150; len++) {
        char key[3 * 150 + 1], name[152];
        for (size_t i = 0; i < len; i++)
            memcpy(key + 3 * i, "\xe2\x82\xac", 3);
        key[3 * len] = '\0';
        struct fault_error err = fail_at("/do", key);
        assert_true(strlen(err.pointer) < sizeof err.pointer);
        json_t *check = json_string(err.pointer);
        assert_non_null(check);
        json_decref(check);
        memset(name, '~', len);
        name[len] = '\0';
        err = fail_at("/do", name);
        size_t at = strlen(err.pointer);
        assert_true(at < sizeof err.pointer && err.pointer[at - 1] == '0');
    }
}

static void test_inside(void **state)
{
    (void)state;
    struct fault_error err;
    struct field_place place = { &err, "/do", "delay" }, word = { &err, NULL, "delay" };
    assert_int_equal(field_fail_inside(&place, "delay", "/parts/1", "wrong"), -EINVAL);
    assert_string_equal(err.pointer, "/do/delay/parts/1");
    assert_string_equal(err.text, "wrong");
    assert_int_equal(field_fail_inside(&word, "delay", "/parts/1", "wrong"), -EINVAL);
    assert_string_equal(err.pointer, "");
    assert_string_equal(err.text, "delay: wrong");
}

static void test_unknown(void **state)
{
    (void)state;
    struct sample sample = { .text = NULL };
    struct fault_error err;
    struct field_place place = { &err, "", "a sample" };
    json_t *json = json_of("{'shar':1}");
    assert_int_equal(field_read_all(fields, COUNT, &sample, json, &place), -EINVAL);
    assert_string_equal(err.pointer, "/shar");
    assert_string_equal(err.text, "a sample has no such key; did you mean share?");
    json_decref(json);
    json = json_of("{'colour':1}");
    assert_int_equal(field_read_all(fields, COUNT, &sample, json, &place), -EINVAL);
    assert_string_equal(err.text, "a sample has no such key; it has on, small, middle, wide, big, "
                                  "share, time_us, mode, text, other");
    json_decref(json);
}

/* A NUL in the middle would make two texts of one. */
static void test_nul(void **state)
{
    (void)state;
    struct sample sample = { .text = NULL };
    struct fault_error err;
    struct field_place place = { &err, "", "a sample" };
    json_t *string = json_stringn("a\0b", 3);
    assert_int_equal(field_read(&fields[8], &sample, string, &place), -EINVAL);
    assert_string_equal(err.pointer, "/text");
    assert_null(sample.text);
    json_decref(string);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_replace),
        cmocka_unit_test(test_pointers),   cmocka_unit_test(test_inside),
        cmocka_unit_test(test_unknown),    cmocka_unit_test(test_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
