/* SPDX-License-Identifier: MIT */
#include "proto/codec/url_check.h"

#include "url_rig.h"

#include <arpa/inet.h>

#define SEED 77003u

static void demand_groups(const char *text, const uint8_t expected[16])
{
    uint16_t groups[8];
    struct url_flaw flaw = weir_url_check_ipv6(groups, rig_place(0, rig_slice(text)));
    if (flaw.problem != NULL)
        fail_msg("%s: %s at %zu", text, flaw.problem, flaw.at);
    for (size_t i = 0; i < 8; i++)
        if (groups[i] != (expected[2 * i] << 8 | expected[2 * i + 1]))
            fail_msg("%s: group %zu is %x", text, i, groups[i]);
}

/*
 * Random texts of what addresses are made of, and addresses with one byte changed: taken exactly
 * when the C library takes them, with the same value.
 */
static void test_ipv6_like_the_c_library(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    static const char *const words[] = { "1",   ":",     ":",  "::",   "ffff", "0",
                                         "a:",  ":b",    "2:", "1.2.", "3.4",  "255",
                                         "00f", "12345", "1:", "1:",   "0:",   "0.0.0.0" };
    size_t good = 0;
    for (uint64_t key = 0; key < 100000; key++) {
        struct rig_random random = { .seed = SEED, .key = key };
        char text[RIG_TEXT_BYTES_MAX] = "";
        rig_words(&random, text, words, COUNT(words), 12);
        uint8_t expected[16];
        uint16_t groups[8];
        struct weir_slice copy = rig_place(0, rig_slice(text));
        bool library = inet_pton(AF_INET6, text, expected) == 1;
        struct url_flaw flaw = weir_url_check_ipv6(groups, copy);
        if (library != (flaw.problem == NULL))
            fail_msg("key %zu, '%s': %s at %zu", (size_t)key, text,
                     flaw.problem != NULL ? flaw.problem : "taken", flaw.at);
        assert_true(flaw.problem == NULL || flaw.at <= copy.len);
        if (library) {
            good++;
            demand_groups(text, expected);
        }
    }
    print_message("%zu addresses among them\n", good);
    assert_true(good > 1000);
}

/* Every address written by the C library comes back with its value. */
static void test_ipv6_round_trip(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 20000; key++) {
        struct rig_random random = { .seed = SEED, .key = key };
        uint8_t bytes[16];
        for (size_t i = 0; i < sizeof bytes; i++) /* many zeros, for many "::" */
            bytes[i] = rig_below(&random, 3) != 0 ? 0 : (uint8_t)rig_below(&random, 256);
        char text[INET6_ADDRSTRLEN];
        assert_non_null(inet_ntop(AF_INET6, bytes, text, sizeof text));
        demand_groups(text, bytes);
    }
}

/* A number at the end makes a host an address: exactly those that the C library takes are taken. */
static void test_ipv4_like_the_c_library(void **state)
{
    (void)state;
    static const char *const words[] = { "0",  ".",   ".",  "25", "255", "256",
                                         "01", "0x1", "9.", "0.", "1.",  "1.2." };
    size_t good = 0;
    for (uint64_t key = 0; key < 100000; key++) {
        struct rig_random random = { .seed = SEED + 1, .key = key };
        char text[RIG_TEXT_BYTES_MAX] = "";
        rig_words(&random, text, words, COUNT(words), 9);
        struct in_addr strict, lax;
        struct weir_url url = { .scheme = WEIR_URL_HTTP };
        struct weir_slice copy = rig_place(0, rig_slice(text));
        bool taken = weir_url_check_authority(&url, copy).problem == NULL;
        bool address = inet_pton(AF_INET, text, &strict) == 1;
        if (taken && url.host_is_ipv4 != address)
            fail_msg("key %zu, '%s': %d", (size_t)key, text, taken);
        if (address != (taken && url.host_is_ipv4))
            fail_msg("key %zu, '%s': taken is %d", (size_t)key, text, taken);
        /* What a lax resolver would take for an address is an address or refused. */
        if (inet_aton(text, &lax) == 1 && taken && !address)
            fail_msg("key %zu, '%s' is read as an address by inet_aton()", (size_t)key, text);
        good += address ? 1 : 0;
    }
    print_message("%zu addresses among them\n", good);
    assert_true(good > 100);
}

static void test_tables(void **state)
{
    (void)state;
    assert_int_equal(weir_url_port_default(WEIR_URL_HTTP), 80);
    assert_int_equal(weir_url_port_default(WEIR_URL_HTTPS), 443);
    assert_int_equal(weir_url_port_default(WEIR_URL_HTTP_UNIX), 0);
    rig_assert_slice(weir_url_scheme_name(WEIR_URL_HTTP), "http", "HTTP");
    rig_assert_slice(weir_url_scheme_name(WEIR_URL_HTTPS), "https", "HTTPS");
    rig_assert_slice(weir_url_scheme_name(WEIR_URL_HTTP_UNIX), "http+unix", "HTTP_UNIX");
    assert_int_equal(weir_url_scheme_name((enum weir_url_scheme)3).len, 0);
    for (int c = 0; c < 256; c++) {
        char digits[2] = { (char)c, '\0' }, *end;
        long value = strtol(digits, &end, 16);
        assert_int_equal(url_hex((uint8_t)c), end == digits + 1 ? value : -1);
    }
}

/* '@' and '`', '[' and '{' differ as letters of two cases do. */
static void test_only_letters_have_case(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            uint8_t left = (uint8_t)a, right = (uint8_t)b;
            bool letters = url_is_alpha(left) && url_is_alpha(right);
            bool same = a == b || (letters && (a ^ b) == 0x20);
            struct weir_slice text = { &left, 1 }, other = { &right, 1 };
            assert_int_equal(weir_url_text_eq(text, other), same);
        }
    }
    assert_false(weir_url_text_eq(WEIR_TEXT("a"), WEIR_TEXT("ab")));
    assert_true(weir_url_text_eq((struct weir_slice){ NULL, 0 }, WEIR_TEXT("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv6_like_the_c_library), cmocka_unit_test(test_ipv6_round_trip),
        cmocka_unit_test(test_ipv4_like_the_c_library), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_only_letters_have_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
