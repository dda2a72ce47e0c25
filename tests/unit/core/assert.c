/* SPDX-License-Identifier: MIT */
#include "core/assert.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_BYTES 2048

/* Run `body` in a child and return its wait status; what it wrote to standard error goes to
 * `output`. */
static int run_child(void (*body)(void), char output[OUTPUT_BYTES])
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = { 0, 0 };
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(pipe_fds[1], STDERR_FILENO);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        body();
        _exit(0);
    }
    close(pipe_fds[1]);
    size_t len = 0;
    ssize_t count;
    while ((count = read(pipe_fds[0], output + len, OUTPUT_BYTES - 1 - len)) > 0)
        len += (size_t)count;
    assert_int_equal(count, 0);
    output[len] = '\0';
    close(pipe_fds[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void assert_aborted(int status)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static volatile int three = 3;

static void body_passes(void)
{
    WEIR_ASSERT(three == 3);
    WEIR_DEBUG_ASSERT(three == 3);
    if (WEIR_NEVER(three == 4))
        fprintf(stderr, "never happened\n");
}

static void body_fails(void)
{
    WEIR_ASSERT(three == 4);
}

static void print_context(void *arg)
{
    fprintf(stderr, "pass %d\n", *(int *)arg);
}

static int context_pass = 4711;

static void body_fails_with_context(void)
{
    weir_assert_set_context(print_context, &context_pass);
    WEIR_ASSERT(three > 3);
}

static void body_fails_after_context_was_removed(void)
{
    int other;
    weir_assert_set_context(print_context, &other);
    weir_assert_set_context(print_context, &context_pass);
    weir_assert_clear_context(&other); /* not the one that counts */
    weir_assert_clear_context(&context_pass);
    WEIR_ASSERT(three > 3);
}

static void print_context_and_fail(void *arg)
{
    (void)arg;
    fprintf(stderr, "context once\n");
    WEIR_ASSERT(three == 5);
}

static void body_fails_within_context(void)
{
    weir_assert_set_context(print_context_and_fail, NULL);
    WEIR_ASSERT(three == 4);
}

static void body_never_happens(void)
{
    if (WEIR_NEVER(three == 3))
        fprintf(stderr, "safe branch\n");
}

static void body_debug_fails(void)
{
    WEIR_DEBUG_ASSERT(three == 4);
    fprintf(stderr, "went on\n");
}

static size_t count_text(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

static void test_passing(void **state)
{
    (void)state;
    char output[OUTPUT_BYTES];
    int status = run_child(body_passes, output);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_string_equal(output, "");
}

static void test_failing(void **state)
{
    (void)state;
    char output[OUTPUT_BYTES];
    assert_aborted(run_child(body_fails, output));
    assert_non_null(strstr(output, "assertion failed: three == 4 at "));
    assert_non_null(strstr(output, __FILE__ ":"));
    assert_null(strstr(output, "pass"));
}

static void test_context(void **state)
{
    (void)state;
    char output[OUTPUT_BYTES];
    assert_aborted(run_child(body_fails_with_context, output));
    const char *failure = strstr(output, "assertion failed: three > 3");
    assert_non_null(failure);
    assert_non_null(strstr(failure, "pass 4711\n")); /* after what failed */
    assert_int_equal(count_text(output, "pass 4711"), 1);

    assert_aborted(run_child(body_fails_after_context_was_removed, output));
    assert_null(strstr(output, "pass"));
}

/* An assertion that fails while the context is printed ends the process too, and does not print it
 * again. */
static void test_failing_context(void **state)
{
    (void)state;
    char output[OUTPUT_BYTES];
    assert_aborted(run_child(body_fails_within_context, output));
    assert_int_equal(count_text(output, "context once"), 1);
    assert_non_null(strstr(output, "three == 4"));
    assert_non_null(strstr(output, "three == 5"));
}

static void test_debug_grades(void **state)
{
    (void)state;
    char output[OUTPUT_BYTES];
    int never = run_child(body_never_happens, output);
#ifdef WEIR_DEBUG
    assert_aborted(never);
    assert_non_null(strstr(output, "NEVER: three == 3"));
    assert_aborted(run_child(body_debug_fails, output));
    assert_null(strstr(output, "went on"));
#else
    assert_true(WIFEXITED(never));
    assert_string_equal(output, "safe branch\n");
    int debug = run_child(body_debug_fails, output);
    assert_true(WIFEXITED(debug));
    assert_string_equal(output, "went on\n");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passing),      cmocka_unit_test(test_failing),
        cmocka_unit_test(test_context),      cmocka_unit_test(test_failing_context),
        cmocka_unit_test(test_debug_grades),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
