/* SPDX-License-Identifier: MIT */
/* The sessions a client remembers: which is handed out, which are forgotten. */
#include "io/tls_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define MAX 64u

static struct weir_tls_cache cache;

static int setup(void **state)
{
    (void)state;
    return weir_tls_cache_open(&cache, MAX);
}

static int teardown(void **state)
{
    (void)state;
    weir_tls_cache_close(&cache);
    return 0;
}

static SSL_SESSION *session(int version)
{
    SSL_SESSION *made = SSL_SESSION_new();
    assert_non_null(made);
    assert_int_equal(SSL_SESSION_set_protocol_version(made, version), 1);
    return made;
}

static struct weir_slice key_of(unsigned number)
{
    static char text[32];
    int n = snprintf(text, sizeof text, "host-%u", number);
    return (struct weir_slice){ (const uint8_t *)text, (size_t)n };
}

/* Is it the session that `expected` points to? Gives it back. */
static bool takes(unsigned number, const SSL_SESSION *expected)
{
    SSL_SESSION *taken = weir_tls_cache_take(&cache, key_of(number));
    SSL_SESSION_free(taken);
    return taken == expected;
}

static void test_single_use(void **state)
{
    (void)state;
    SSL_SESSION *first = session(TLS1_3_VERSION), *second = session(TLS1_3_VERSION);
    assert_true(takes(1, NULL));
    weir_tls_cache_put(&cache, key_of(1), first);
    weir_tls_cache_put(&cache, key_of(1), second);
    assert_int_equal(weir_tls_cache_count(&cache), 2);
    assert_true(takes(2, NULL));
    assert_true(takes(1, second)); /* the newest is valid the longest */
    assert_true(takes(1, first));
    assert_true(takes(1, NULL));
    assert_int_equal(weir_tls_cache_count(&cache), 0);
    assert_int_equal(cache.entries.used, 0);
}

static void test_two_per_key(void **state)
{
    (void)state;
    SSL_SESSION *all[5];
    for (unsigned i = 0; i < 5; i++)
        weir_tls_cache_put(&cache, key_of(1), all[i] = session(TLS1_3_VERSION));
    assert_int_equal(weir_tls_cache_count(&cache), WEIR_TLS_SESSIONS_PER_KEY);
    assert_true(takes(1, all[4]));
    assert_true(takes(1, all[3]));
    assert_true(takes(1, NULL));
}

/* Of TLS 1.2 each taker has a copy of his own. */
static void test_copies(void **state)
{
    (void)state;
    SSL_SESSION *stored = session(TLS1_2_VERSION);
    weir_tls_cache_put(&cache, key_of(1), stored);
    for (unsigned i = 0; i < 3; i++) {
        SSL_SESSION *taken = weir_tls_cache_take(&cache, key_of(1));
        assert_non_null(taken);
        assert_ptr_not_equal(taken, stored);
        SSL_SESSION_free(taken);
    }
    assert_int_equal(weir_tls_cache_count(&cache), 1);
}

static void test_oldest_goes_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MAX; i++)
        weir_tls_cache_put(&cache, key_of(i), session(TLS1_2_VERSION));
    SSL_SESSION *used = weir_tls_cache_take(&cache, key_of(0)); /* not the oldest any more */
    assert_non_null(used);
    SSL_SESSION_free(used);
    for (unsigned i = MAX; i < MAX + 10; i++)
        weir_tls_cache_put(&cache, key_of(i), session(TLS1_2_VERSION));
    assert_int_equal(weir_tls_cache_count(&cache), MAX);
    for (unsigned i = 0; i < MAX + 10; i++) {
        SSL_SESSION *taken = weir_tls_cache_take(&cache, key_of(i));
        assert_true((taken == NULL) == (i >= 1 && i <= 10));
        SSL_SESSION_free(taken);
    }
}

static void test_keys(void **state)
{
    (void)state;
    static const uint8_t bytes[WEIR_TLS_KEY_BYTES_MAX + 1];
    struct weir_slice longest = { bytes, WEIR_TLS_KEY_BYTES_MAX };
    struct weir_slice too_long = { bytes, sizeof bytes };
    struct weir_slice none = { 0 };
    weir_tls_cache_put(&cache, too_long, session(TLS1_3_VERSION));
    weir_tls_cache_put(&cache, none, session(TLS1_3_VERSION));
    assert_int_equal(weir_tls_cache_count(&cache), 0);
    assert_null(weir_tls_cache_take(&cache, too_long));
    assert_null(weir_tls_cache_take(&cache, none));
    weir_tls_cache_put(&cache, longest, session(TLS1_3_VERSION));
    assert_int_equal(weir_tls_cache_count(&cache), 1);
    longest.len--;
    assert_null(weir_tls_cache_take(&cache, longest));
}

static void *hammer(void *arg)
{
    unsigned from = *(unsigned *)arg;
    for (unsigned i = 0; i < 3000; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "%u", (from + i * 7) % (2 * MAX));
        struct weir_slice key = { (const uint8_t *)text, (size_t)n };
        SSL_SESSION *made = SSL_SESSION_new();
        SSL_SESSION_set_protocol_version(made, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
        weir_tls_cache_put(&cache, key, made);
        SSL_SESSION_free(weir_tls_cache_take(&cache, key));
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[3];
    unsigned from[3] = { 0, 1, 2 };
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &from[i]), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(weir_tls_cache_count(&cache) <= MAX * WEIR_TLS_SESSIONS_PER_KEY);
    assert_true(cache.entries.used <= MAX);
}

#define CACHE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_single_use),        CACHE_TEST(test_two_per_key), CACHE_TEST(test_copies),
        CACHE_TEST(test_oldest_goes_first), CACHE_TEST(test_keys),        CACHE_TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
