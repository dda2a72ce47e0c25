/* SPDX-License-Identifier: MIT */
/* Which set of instructions is used: by itself, and when WEIR_SIMD asks for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <weir/http1.h>

#include "proto/codec/http1_read.h"
#include "proto/codec/simd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run as a child, the program prints the name of what it uses. */
#define CHILD_FLAG "--used"

static void test_names(void **state)
{
    static const char *const names[] = { "scalar", "sse42", "avx2", "neon" };
    (void)state;
    _Static_assert(sizeof names / sizeof names[0] == WEIR_SIMD_COUNT, "every one has a name");
    for (unsigned i = 0; i < WEIR_SIMD_COUNT; i++)
        assert_string_equal(weir_simd_name((enum weir_simd)i), names[i]);
}

/* No machine lacks the scalar one, and none has those of another kind. */
static void test_has(void **state)
{
    (void)state;
    assert_true(weir_simd_has(WEIR_SIMD_SCALAR));
    assert_false(weir_simd_has(WEIR_SIMD_COUNT));
#if defined(__x86_64__)
    assert_false(weir_simd_has(WEIR_SIMD_NEON));
    /* Whoever has the wider one has the other too. */
    assert_true(weir_simd_has(WEIR_SIMD_SSE42) || !weir_simd_has(WEIR_SIMD_AVX2));
#else
    assert_false(weir_simd_has(WEIR_SIMD_SSE42));
    assert_false(weir_simd_has(WEIR_SIMD_AVX2));
#endif
#if defined(__aarch64__)
    assert_true(weir_simd_has(WEIR_SIMD_NEON));
#endif
}

/* The CPU's own list, as the kernel shows it, is another source than the compiler's builtin. */
static void test_has_agrees_with_the_kernel(void **state)
{
    (void)state;
#if defined(__x86_64__)
    static char line[8192];
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file == NULL)
        skip();
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = strncmp(line, "flags", 5) == 0;
    assert_int_equal(fclose(file), 0);
    if (!found)
        skip();
    line[strcspn(line, "\n")] = ' ';
    assert_int_equal(weir_simd_has(WEIR_SIMD_SSE42), strstr(line, " sse4_2 ") != NULL);
    assert_int_equal(weir_simd_has(WEIR_SIMD_AVX2), strstr(line, " avx2 ") != NULL &&
                                                        strstr(line, " bmi1 ") != NULL &&
                                                        strstr(line, " bmi2 ") != NULL);
#else
    skip();
#endif
}

static enum weir_simd best(void)
{
    for (unsigned i = WEIR_SIMD_COUNT; i-- > 0;)
        if (weir_simd_has((enum weir_simd)i))
            return (enum weir_simd)i;
    return WEIR_SIMD_SCALAR;
}

_Noreturn static void child_exec(int out_fd, const char *wanted)
{
    bool ready = dup2(out_fd, STDOUT_FILENO) >= 0 &&
                 (wanted == NULL ? unsetenv("WEIR_SIMD") : setenv("WEIR_SIMD", wanted, 1)) == 0;
    if (ready)
        execl("/proc/self/exe", "simd", CHILD_FLAG, (char *)NULL);
    _exit(127);
}

/* What a process of its own uses with this WEIR_SIMD; NULL: with none. */
static void demand_used(const char *wanted, enum weir_simd expected)
{
    char name[32] = "";
    size_t len = 0;
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child_exec(fds[1], wanted);
    assert_int_equal(close(fds[1]), 0);
    for (;;) {
        ssize_t count = read(fds[0], name + len, sizeof name - 1 - len);
        if (count < 0 && errno == EINTR)
            continue;
        assert_true(count >= 0);
        if (count == 0)
            break;
        len += (size_t)count;
    }
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_string_equal(name, weir_simd_name(expected));
}

static void test_used_is_the_best(void **state)
{
    (void)state;
    demand_used(NULL, best());
}

/* Each of them where the CPU has it; asking for another changes nothing. */
static void test_used_can_be_chosen(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WEIR_SIMD_COUNT; i++) {
        enum weir_simd simd = (enum weir_simd)i;
        demand_used(weir_simd_name(simd), weir_simd_has(simd) ? simd : best());
    }
}

static void test_unknown_names_are_ignored(void **state)
{
    static const char *const names[] = { "",    "none", "SCALAR", "scalar ", "scalar,sse42",
                                         "sse", "0",    "avx",    "avx22" };
    (void)state;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        demand_used(names[i], best());
}

/* The parsers tell which path they take, whatever it was set to. */
static void test_parsers_tell_their_path(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WEIR_SIMD_COUNT; i++) {
        if (!weir_simd_has((enum weir_simd)i))
            continue;
        weir_http1_use((enum weir_simd)i);
        assert_string_equal(weir_http1_simd(), weir_simd_name((enum weir_simd)i));
    }
    weir_http1_use(weir_simd_used());
}

/* Be the child: what is used by name, if the parsers say the same before and after they began. */
static int child_main(void)
{
    static const struct weir_http1_limits limits = { .head_bytes_max = 64 };
    struct weir_http1_field field;
    struct weir_http1_head head = { .fields = &field };
    struct weir_parse_err err;
    uint32_t resume = 0;
    const char *name = weir_simd_name(weir_simd_used());
    bool same = strcmp(weir_http1_simd(), name) == 0;
    (void)weir_http1_parse_request(&head, &limits, WEIR_TEXT("GET"), &resume, &err);
    same = same && strcmp(weir_http1_simd(), name) == 0;
    return same && fputs(name, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], CHILD_FLAG) == 0)
        return child_main();

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_has),
        cmocka_unit_test(test_has_agrees_with_the_kernel),
        cmocka_unit_test(test_used_is_the_best),
        cmocka_unit_test(test_used_can_be_chosen),
        cmocka_unit_test(test_unknown_names_are_ignored),
        cmocka_unit_test(test_parsers_tell_their_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
