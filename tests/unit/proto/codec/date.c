/* SPDX-License-Identifier: MIT */
/* Every form of a date, dates that do not exist, and what the writer writes, read back. */
#include "proto/codec/date.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <weir/http1.h>
#include <weir/random.h>

#include <time.h>

#define SEED    20261u
#define NOW     INT64_C(1700000000) /* November 2023 */
#define EXAMPLE INT64_C(784111777)  /* Sun, 06 Nov 1994 08:49:37 GMT, of the RFC */
#define NONE    INT64_MIN

/* In memory of its own size, so that a look beyond it is found. */
static int64_t read_at(const char *text, size_t len, int64_t now_s)
{
    uint8_t *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, text, len);
    int64_t out = NONE;
    bool good = weir_date_read(&out, (struct weir_slice){ copy, len }, now_s);
    free(copy);
    assert_int_equal(good, out != NONE);
    return out;
}

static int64_t read_text(const char *text)
{
    return read_at(text, strlen(text), NOW);
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } rows[] = {
        { "Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE },
        { "Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE },
        { "Sun Nov  6 08:49:37 1994", EXAMPLE },
        { "Sun Nov 06 08:49:37 1994", EXAMPLE },
        { "Sun Nov 16 08:49:37 1994", EXAMPLE + 10 * DAY_SECONDS },
        { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
        { "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
        { "Sat, 01 Jan 0000 00:00:00 GMT", INT64_C(-62167219200) },
        { "Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799) },
        { "Tue, 29 Feb 2000 00:00:00 GMT", 951782400 },
        { "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },
        /* The weekday is not looked at. */
        { "Mon, 06 Nov 1994 08:49:37 GMT", EXAMPLE },
        { "Wednesday, 06-Nov-94 08:49:37 GMT", EXAMPLE },
        /* Which do not exist. */
        { "Thu, 29 Feb 1900 00:00:00 GMT", NONE },
        { "Thu, 30 Feb 2000 00:00:00 GMT", NONE },
        { "Thu, 31 Apr 2000 00:00:00 GMT", NONE },
        { "Thu, 00 Jan 2000 00:00:00 GMT", NONE },
        { "Thu, 32 Jan 2000 00:00:00 GMT", NONE },
        { "Thu, 01 Jan 2000 24:00:00 GMT", NONE },
        { "Thu, 01 Jan 2000 00:60:00 GMT", NONE },
        { "Thu, 01 Jan 2000 00:00:60 GMT", NONE },
        { "Thu, 01 Jan 2000 23:59:61 GMT", NONE },
        { "Sun Nov  0 08:49:37 1994", NONE },
        { "Sun Feb 30 08:49:37 1994", NONE },
        { "Sunday, 31-Nov-94 08:49:37 GMT", NONE },
        /* Which are not written so. */
        { "", NONE },
        { "0", NONE },
        { "Sun", NONE },
        { "sun, 06 Nov 1994 08:49:37 GMT", NONE },
        { "Sun, 06 nov 1994 08:49:37 GMT", NONE },
        { "Sun, 06 Nov 1994 08:49:37 gmt", NONE },
        { "Sun, 06 Nov 1994 08:49:37 UTC", NONE },
        { "Sun, 06 Nov 1994 08:49:37 +00", NONE },
        { "Sun, 6 Nov 1994 08:49:37 GMT", NONE },
        { "Sun, 06 Nov 1994 8:49:37 GMT ", NONE },
        { "Sun, 06 Nov 1994  8:49:37 GMT", NONE },
        { "Sun, 06 Nov -994 08:49:37 GMT", NONE },
        { "Sun, 06-Nov-1994 08:49:37 GMT", NONE },
        { "Sun Nov 6 08:49:37 1994", NONE },
        { "Sun Nov  6 08:49:37 94  ", NONE },
        { "Sunday, 06-Nov-1994 08:49:37 GMT", NONE },
        { "Sundae, 06-Nov-94 08:49:37 GMT", NONE },
        { "06-Nov-94 08:49:37 GMT", NONE },
        { "1994-11-06T08:49:37Z", NONE },
        { " Sun, 06 Nov 1994 08:49:37 GMT", NONE },
        { "Sun, 06 Nov 1994 08:49:37 GMT ", NONE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t got = read_text(rows[i].text);
        if (got != rows[i].seconds)
            fail_msg("%s: %lld, not %lld", rows[i].text, (long long)got,
                     (long long)rows[i].seconds);
    }
}

/* Two digits of a year: the latest that is at most 50 years ahead. */
static void test_centuries(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *now, *meant;
    } rows[] = {
        { "Friday, 01-Jan-70 00:00:00 GMT", "Sat, 01 Jul 2023 00:00:00 GMT",
          "Wed, 01 Jan 2070 00:00:00 GMT" },
        { "Friday, 01-Jan-74 00:00:00 GMT", "Sat, 01 Jul 2023 00:00:00 GMT",
          "Tue, 01 Jan 1974 00:00:00 GMT" },
        { "Friday, 01-Jan-73 00:00:00 GMT", "Sat, 01 Jul 2023 00:00:00 GMT",
          "Sun, 01 Jan 2073 00:00:00 GMT" },
        { "Friday, 31-Dec-99 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:00 GMT",
          "Fri, 31 Dec 1999 23:59:59 GMT" },
        { "Friday, 31-Dec-99 23:59:59 GMT", "Sat, 01 Jan 2060 00:00:00 GMT",
          "Thu, 31 Dec 2099 23:59:59 GMT" },
        { "Friday, 01-Jan-00 00:00:00 GMT", "Fri, 31 Dec 1999 00:00:00 GMT",
          "Sat, 01 Jan 2000 00:00:00 GMT" },
        /* 2100 has no such day, 2000 has. */
        { "Friday, 29-Feb-00 00:00:00 GMT", "Fri, 31 Dec 2099 00:00:00 GMT",
          "Tue, 29 Feb 2000 00:00:00 GMT" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t got = read_at(rows[i].text, strlen(rows[i].text), read_text(rows[i].now));
        if (got != read_text(rows[i].meant))
            fail_msg("%s at %s: %lld", rows[i].text, rows[i].now, (long long)got);
    }
}

/* All that can be cut off, and every byte replaced: refused, or a date that timegm() makes too. */
static void test_damaged(void **state)
{
    (void)state;
    static const char *const texts[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
                                         "Sunday, 06-Nov-94 08:49:37 GMT",
                                         "Sun Nov  6 08:49:37 1994" };
    for (unsigned t = 0; t < 3; t++) {
        char text[40];
        size_t len = strlen(texts[t]);
        for (size_t cut = 0; cut < len; cut++)
            assert_true(read_at(texts[t], cut, NOW) == NONE);
        for (size_t at = 0; at < len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                memcpy(text, texts[t], len);
                text[at] = (char)byte;
                int64_t got = read_at(text, len, NOW);
                if (got == NONE)
                    continue;
                /* Only a digit may stand for a digit; letters make other names, "Mar", "Jun". */
                bool was_digit = texts[t][at] >= '0' && texts[t][at] <= '9';
                bool is_digit = byte >= '0' && byte <= '9';
                bool pads = t == 2 && at == 8;
                if (was_digit != is_digit && !pads)
                    fail_msg("taken: %.*s", (int)len, text);
            }
        }
    }
}

/* What the writer writes is read back, in all forms where the year allows it. */
static void test_round_trip(void **state)
{
    (void)state;
    printf("seed %u\n", SEED);
    for (uint64_t i = 0; i < 60000; i++) {
        int64_t seconds = (int64_t)(weir_random_u64(SEED, 1, i) % UINT64_C(253402300800));
        if (i < 3000) /* around days on which something ends */
            seconds = ((int64_t)i * 365 + 59) * DAY_SECONDS - (int64_t)(i % 3);
        if (seconds > INT64_C(253402300799))
            continue;
        uint8_t text[WEIR_HTTP1_DATE_BYTES];
        weir_http1_date(text, seconds);
        int64_t out = NONE;
        assert_true(weir_date_read(&out, (struct weir_slice){ text, sizeof text }, NOW));
        assert_true(out == seconds);
        time_t time = (time_t)seconds;
        struct tm tm;
        assert_non_null(gmtime_r(&time, &tm));
        char asc[80];
        size_t len = strftime(asc, sizeof asc, "%a %b %e %H:%M:%S %Y", &tm);
        assert_true(read_at(asc, len, 0) == seconds);
        len = strftime(asc, sizeof asc, "%A, %d-%b-%y %H:%M:%S GMT", &tm);
        /* Somebody who lives then knows the century. */
        assert_true(read_at(asc, len, seconds) == seconds);
        assert_true(read_at(asc, len, seconds + 49 * INT64_C(31556952)) == seconds);
        assert_true(read_at(asc, len, seconds - 49 * INT64_C(31556952)) == seconds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_centuries),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
