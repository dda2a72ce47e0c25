/* SPDX-License-Identifier: MIT */
#include "perf/get/output.c"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static volatile sig_atomic_t interrupted;
static struct get_output out;
static uint8_t pattern[3 * GET_OUTPUT_BYTES];

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

/* Pieces of each size around that of the buffer arrive as they are, in order. */
static void test_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        1, 100, GET_OUTPUT_BYTES - 1, GET_OUTPUT_BYTES, GET_OUTPUT_BYTES + 1, 3 * GET_OUTPUT_BYTES
    };
    static uint8_t read_back[sizeof(pattern)];
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        char path[] = "/tmp/weir-get-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(get_output_open(&out, path, &interrupted), 0);
        for (size_t at = 0; at < sizeof(pattern);) {
            size_t len = sizeof(pattern) - at < sizes[s] ? sizeof(pattern) - at : sizes[s];
            get_output_write(&out, (struct weir_slice){ pattern + at, len });
            at += len;
        }
        assert_int_equal(get_output_close(&out), 0);
        assert_int_equal(pread(fd, read_back, sizeof(read_back), 0), sizeof(pattern));
        assert_memory_equal(read_back, pattern, sizeof(pattern));
        close(fd);
        unlink(path);
    }
}

static void test_errors(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(get_output_open(&out, "/nowhere/at/all", &interrupted), -ENOENT);
    assert_int_equal(get_output_open(&out, "/dev/full", &interrupted), 0);
    get_output_write(&out, WEIR_TEXT("x"));
    assert_int_equal(out.err, 0);
    get_output_flush(&out);
    assert_int_equal(out.err, -ENOSPC);
    get_output_write(&out, WEIR_TEXT("y"));
    assert_int_equal(out.len, 0);
    assert_int_equal(get_output_close(&out), -ENOSPC);

    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    get_output_init(&out, ends[1], &interrupted);
    get_output_write(&out, WEIR_TEXT("x"));
    assert_int_equal(get_output_close(&out), -EPIPE);
    assert_int_equal(fcntl(ends[1], F_GETFD), 0); /* it was not ours to close */
    close(ends[1]);
}

static void test_discarded(void **state)
{
    (void)state;
    assert_int_equal(get_output_open(&out, "/dev/null", &interrupted), 0);
    assert_true(out.discarded);
    get_output_write(&out, WEIR_TEXT("x"));
    assert_int_equal(out.len, 0);
    assert_int_equal(get_output_close(&out), 0);
    assert_int_equal(get_output_open(&out, "/dev/zero", &interrupted), 0);
    assert_false(out.discarded);
    assert_int_equal(get_output_close(&out), 0);
}

static void *drain(void *ctx)
{
    int fd = *(int *)ctx;
    static uint8_t bytes[4096];
    size_t at = 0;
    ssize_t count;
    while ((count = read(fd, bytes, sizeof(bytes))) > 0) {
        if (memcmp(bytes, pattern + at, (size_t)count) != 0)
            return (void *)"other bytes";
        at += (size_t)count;
    }
    return at == sizeof(pattern) ? NULL : (void *)"other count";
}

/* A pipe that somebody made non-blocking: what does not fit is waited for. */
static void test_non_blocking(void **state)
{
    (void)state;
    int ends[2];
    void *wrong = NULL;
    pthread_t thread;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    get_output_init(&out, ends[1], &interrupted);
    assert_int_equal(pthread_create(&thread, NULL, drain, &ends[0]), 0);
    get_output_write(&out, (struct weir_slice){ pattern, sizeof(pattern) });
    assert_int_equal(get_output_close(&out), 0);
    close(ends[1]);
    pthread_join(thread, &wrong);
    close(ends[0]);
    if (wrong != NULL)
        fail_msg("%s", (const char *)wrong);
}

/* A signal ends a write that nobody reads. */
static void test_interrupted(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    get_output_init(&out, ends[1], &interrupted);
    interrupted = SIGINT;
    get_output_write(&out, (struct weir_slice){ pattern, sizeof(pattern) });
    assert_int_equal(get_output_close(&out), -EAGAIN);
    interrupted = 0;
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),      cmocka_unit_test(test_errors),
        cmocka_unit_test(test_discarded),   cmocka_unit_test(test_non_blocking),
        cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
