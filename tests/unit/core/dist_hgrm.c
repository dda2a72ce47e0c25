/* SPDX-License-Identifier: MIT */
#include "core/dist_hgrm.c" /* its statics are tested too */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEADING "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
#define LAST    "     143.359 1.000000000000      10000          inf\n"

static struct weir_dist_draft draft;

static int begin(void **state)
{
    (void)state;
    draft = (struct weir_dist_draft){ .parts_count = 1 };
    draft.parts[0].kind = WEIR_DIST_HGRM;
    return 0;
}

static int end(void **state)
{
    (void)state;
    weir_arena_close(&draft.scratch);
    return 0;
}

static int scan(const char *text, uint64_t unit_ns)
{
    struct weir_slice content = { .ptr = (const uint8_t *)text, .len = strlen(text) };
    return hgrm_scan(&draft, content, unit_ns);
}

static void check_points(const struct weir_dist_point *expected, uint32_t count)
{
    const struct weir_dist_part *part = &draft.parts[0];
    assert_int_equal(part->points_count, count);
    for (uint32_t i = 0; i < count; i++) {
        if (part->points[i].u == expected[i].u &&
            fabs(part->points[i].ns - expected[i].ns) <= 1e-9 * expected[i].ns)
            continue;
        print_error("point %u is (%.17g, %.17g), expected (%.17g, %.17g)\n", i, part->points[i].u,
                    part->points[i].ns, expected[i].u, expected[i].ns);
        fail();
    }
}

static void test_rows(void **state)
{
    (void)state;
    assert_int_equal(scan(HEADING "       0.921 0.000000000000          1           1.00\n"
                                  "       1.500 0.500000000000       5000           2.00\n"
                                  "       1.500 0.550000000000       5500           2.22\n" LAST
                                  "#[Mean    =        1.234, StdDeviation   =        5.678]\n"
                                  "#[Max     =      143.359, Total count    =        10000]\n",
                          1000000),
                     0);
    static const struct weir_dist_point expected[] = {
        { 0, 921000 }, { 0.5, 1500000 }, { 0.55, 1500000 }, { 1, 143359000 }
    };
    check_points(expected, 4);
}

/* The output of wrk2 has text around; lines end with CR LF on Windows; the end can lack a newline;
 * and the row of the minimum may be missing. */
static void test_surroundings(void **state)
{
    (void)state;
    assert_int_equal(scan("Running 10s test @ http://x/\r\n  Detailed Percentile spectrum:\r\n"
                          "\tValue\tPercentile\tTotalCount 1/(1-Percentile)\r\n\r\n"
                          "\t2\t0.25\t1\t1.33\r\n"
                          "  4   1.000000",
                          10),
                     0);
    static const struct weir_dist_point expected[] = { { 0, 20 }, { 0.25, 20 }, { 1, 40 } };
    check_points(expected, 3);
}

static void test_numbers_without_rows_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(scan(HEADING "1 1.0\n# end\nnot a row\n9 0.1\n", 1), 0);
    static const struct weir_dist_point expected[] = { { 0, 1 }, { 1, 1 } };
    check_points(expected, 2);
}

/* More digits than count are rounded off, not refused: it is a measurement. */
static void test_many_digits(void **state)
{
    (void)state;
    assert_int_equal(scan(HEADING "1234567.12345678901234567 0.50000000000000000000001\n"
                                  "1234567.2 1.000000000000000000000\n",
                          1000),
                     0);
    static const struct weir_dist_point expected[] = { { 0, 1234567123.45679 },
                                                       { 0.5, 1234567123.45679 },
                                                       { 1, 1234567200 } };
    check_points(expected, 3);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        int err;
        const char *said;
    } cases[] = {
        { "", -EINVAL, "has no line 'Value Percentile" },
        { "1 0.5\n2 1.0\n", -EINVAL, "has no line 'Value Percentile" },
        { "Value\n1 1\n", -EINVAL, "has no line 'Value Percentile" },
        { HEADING, -EINVAL, "was it cut off?" },
        { HEADING "# nothing\n", -EINVAL, "was it cut off?" },
        { HEADING "1 0.5\n2 0.99\n", -EINVAL, "was it cut off?" },
        { HEADING "1 0.5\nx 0.99\n", -EINVAL, "line 4: expected a value and a percentile, found" },
        { HEADING "1\n", -EINVAL, "line 3: expected a value and a percentile, found '1'" },
        { HEADING "0,921 0.5\n", -EINVAL, "line 3: expected a value" },
        { HEADING "-1 0.5\n", -EINVAL, "line 3: expected a value" },
        { HEADING "nan 0.5\n", -EINVAL, "line 3: expected a value" },
        { HEADING "1e3 0.5\n", -EINVAL, "line 3: expected a value" },
        { HEADING "1 .5\n", -EINVAL, "line 3: expected a value" },
        { HEADING "1 1.1\n", -ERANGE, "line 3: the percentile is above 1" },
        { HEADING "1 99.0\n", -ERANGE, "line 3: the percentile is above 1" },
        { HEADING "9000000000 1\n", -ERANGE, "line 3: the value is above 2400h" },
        { HEADING "9000000000000000 1\n", -EINVAL, "line 3: expected a value" },
        { HEADING "2 0.5\n1 1\n", -EINVAL, "line 4: the value is less than in the row before" },
        { HEADING "2 0.5\n\n3 0.4\n", -EINVAL, "line 5: the percentile is less than in" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int err = scan(cases[i].text, 1000000);
        if (err != cases[i].err || strstr(weir_error_text(), cases[i].said) == NULL) {
            print_error("'%s': %d (%s)\n", cases[i].text, err, weir_error_text());
            fail();
        }
        end(state);
        begin(state);
    }
}

static void test_too_many_rows(void **state)
{
    (void)state;
    static char text[WEIR_DIST_POINTS_MAX * 8 + 256];
    size_t len = (size_t)snprintf(text, sizeof text, "%s", HEADING);
    for (int i = 0; i <= WEIR_DIST_POINTS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "1 0\n");
    assert_int_equal(scan(text, 1), -ERANGE);
    assert_string_equal(weir_error_text(), "line 4099: there are more than 4096 points");
}

/* A directory of its own, removed by the caller with what it has put there. */
static void directory_open(char path[64])
{
    snprintf(path, 64, "/tmp/weir-dist-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static void check_read_fails(const char *path, int err, const char *said)
{
    int found = weir_dist_hgrm_read(&draft, path, 1);
    if (found == err && strstr(weir_error_text(), said) != NULL)
        return;
    print_error("%s: %d (%s), expected '%s'\n", path, found, weir_error_text(), said);
    fail();
}

static void test_files(void **state)
{
    (void)state;
    char directory[64], path[96];
    directory_open(directory);
    check_read_fails(directory, -EINVAL, "is not a file");
    snprintf(path, sizeof path, "%s/x.hgrm", directory);
    check_read_fails(path, -ENOENT, "/x.hgrm: cannot be opened: ");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    check_read_fails(path, -EINVAL, "/x.hgrm: has no line");
    static const char text[] = HEADING "1 0.5\n2 1\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(weir_dist_hgrm_read(&draft, path, 1000), 0);
    static const struct weir_dist_point expected[] = { { 0, 1000 }, { 0.5, 1000 }, { 1, 2000 } };
    check_points(expected, 3);
    assert_int_equal(ftruncate(fd, HGRM_FILE_BYTES_MAX + 1), 0);
    check_read_fails(path, -ERANGE, "is longer than 4 MiB");
    close(fd);
    assert_int_equal(unlink(path), 0);
    /* Nobody writes into it: this must not wait. */
    assert_int_equal(mkfifo(path, 0600), 0);
    check_read_fails(path, -EINVAL, "is not a file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows),
        TEST(test_surroundings),
        TEST(test_numbers_without_rows_are_ignored),
        TEST(test_many_digits),
        TEST(test_refused),
        TEST(test_too_many_rows),
        TEST(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
