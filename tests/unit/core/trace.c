/* SPDX-License-Identifier: MIT */
#include "core/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_BYTES 32768

static const char *const kind_names[] = { "accept", "recv", NULL, "send" };
#define KINDS_COUNT 4

/* Print to a file in memory and read it back. */
static void print_to(char output[OUTPUT_BYTES], const struct weir_trace *trace,
                     const char *const *names, unsigned names_count)
{
    int fd = memfd_create("trace", 0);
    assert_true(fd >= 0);
    weir_trace_print(trace, names, names_count, fd);
    ssize_t len = pread(fd, output, OUTPUT_BYTES - 1, 0);
    assert_true(len >= 0);
    output[len] = '\0';
    close(fd);
}

static void test_empty(void **state)
{
    (void)state;
    static const struct weir_trace trace;
    char output[OUTPUT_BYTES];
    print_to(output, &trace, kind_names, KINDS_COUNT);
    assert_string_equal(output, "");
}

static void test_lines(void **state)
{
    (void)state;
    struct weir_trace trace = { 0 };
    weir_trace_add(
        &trace, (struct weir_trace_event){
                    .pass = 12, .index = 7, .res = -104, .kind = 1, .flags = 0x2a, .extra = 513 });
    weir_trace_add(&trace, (struct weir_trace_event){ .pass = UINT64_MAX,
                                                      .index = UINT32_MAX,
                                                      .res = INT32_MIN,
                                                      .kind = 255,
                                                      .flags = 255,
                                                      .extra = UINT16_MAX });
    weir_trace_add(&trace, (struct weir_trace_event){ .res = INT32_MAX, .kind = 2 });
    weir_trace_add(&trace, (struct weir_trace_event){ .pass = 13 });
    char output[OUTPUT_BYTES];
    print_to(output, &trace, kind_names, KINDS_COUNT);
    assert_string_equal(
        output, "trace: pass 12 recv index 7 res -104 flags 0x2a extra 513\n"
                "trace: pass 18446744073709551615 kind 255 index 4294967295 res -2147483648 "
                "flags 0xff extra 65535\n"
                "trace: pass 0 kind 2 index 0 res 2147483647 flags 0x0 extra 0\n"
                "trace: pass 13 accept index 0 res 0 flags 0x0 extra 0\n");
    print_to(output, &trace, NULL, 0); /* no names at all */
    assert_non_null(strstr(output, "pass 12 kind 1 index 7"));
}

/* Oldest first, and never more than the last WEIR_TRACE_EVENTS, wherever the ring stands. */
static void test_last_events_only(void **state)
{
    (void)state;
    static const uint64_t counts[] = { 1, 63, 64, 65, 127, 128, 129, 1000 };
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        struct weir_trace trace = { 0 };
        for (uint64_t i = 0; i < counts[k]; i++)
            weir_trace_add(&trace, (struct weir_trace_event){ .pass = i, .kind = 3 });
        char output[OUTPUT_BYTES];
        print_to(output, &trace, kind_names, KINDS_COUNT);
        const char *at = output;
        uint64_t first = counts[k] > WEIR_TRACE_EVENTS ? counts[k] - WEIR_TRACE_EVENTS : 0;
        for (uint64_t i = first; i < counts[k]; i++) {
            char line[128];
            int len = snprintf(line, sizeof line,
                               "trace: pass %llu send index 0 res 0 flags 0x0 extra 0\n",
                               (unsigned long long)i);
            assert_memory_equal(at, line, (size_t)len);
            at += len;
        }
        assert_string_equal(at, "");
    }
}

/* A name of any length is cut off, the line still ends. */
static void test_long_name(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const char *const names[] = { name };
    struct weir_trace trace = { 0 };
    weir_trace_add(&trace, (struct weir_trace_event){ .pass = 1 });
    weir_trace_add(&trace, (struct weir_trace_event){ .pass = 2, .kind = 1 });
    char output[OUTPUT_BYTES];
    print_to(output, &trace, names, 1);
    const char *newline = strchr(output, '\n');
    assert_non_null(newline);
    assert_int_equal(newline - output, 255);
    assert_string_equal(newline + 1, "trace: pass 2 kind 1 index 0 res 0 flags 0x0 extra 0\n");
}

/* A reader that has gone, or a descriptor that never was: printing ends, errno is as it was. */
static void test_write_error(void **state)
{
    (void)state;
    struct weir_trace trace = { 0 };
    weir_trace_add(&trace, (struct weir_trace_event){ .pass = 1 });
    errno = ENOTTY;
    weir_trace_print(&trace, kind_names, KINDS_COUNT, -1);
    assert_int_equal(errno, ENOTTY);

    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    weir_trace_print(&trace, kind_names, KINDS_COUNT, fds[1]);
    signal(SIGPIPE, before);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_last_events_only),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_write_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
