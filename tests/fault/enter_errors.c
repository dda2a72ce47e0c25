/* SPDX-License-Identifier: MIT */
/*
 * io_uring_enter(2), or epoll_wait(2), that fails now and then. What may pass (a signal, no memory
 * for requests, completions that must be reaped first) costs time and nothing else; what cannot
 * pass ends weir_engine_run() with just that error, and closing afterwards does not hang.
 */
#include "fault/rig.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SEED    UINT64_C(7)
#define FETCHES 400
#define SLACK   (1 * MIB)

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static struct fetch fetches[FETCHES];

/* Of `every` calls, `run` one after the other fail, and the error is the next of the list. */
static struct {
    unsigned every, run;
    int errors[4];
    unsigned errors_count;
    uint64_t calls, injected;
} plan;

/* @return the error that this call is to fail with, 0 = none */
static int next_error(void)
{
    if (plan.every == 0 || plan.calls++ % plan.every >= plan.run)
        return 0;
    return plan.errors[plan.injected++ % plan.errors_count];
}

/* The library's calls end here, since this program defines the symbols before liburing and the C
 * library do. */
int io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags,
                    sigset_t *sig, size_t size);
int io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags,
                    sigset_t *sig, size_t size)
{
    static int (*next)(unsigned, unsigned, unsigned, unsigned, sigset_t *, size_t);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "io_uring_enter2");
    int error = next_error();
    return error != 0 ? -error : next(fd, to_submit, min_complete, flags, sig, size);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int ms)
{
    static int (*next)(int, struct epoll_event *, int, int);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "epoll_wait");
    int error = next_error();
    errno = error != 0 ? error : errno;
    return error != 0 ? -1 : next(fd, events, count, ms);
}

/* epoll_pwait2(2), which the C library does not have everywhere, comes by here. */
long syscall(long number, ...)
{
    static long (*next)(long, long, long, long, long, long, long);
    long arg[6];
    va_list list;
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        arg[i] = va_arg(list, long);
    va_end(list);
    int error = number == SYS_epoll_pwait2 ? next_error() : 0;
    errno = error != 0 ? error : errno;
    return error != 0 ? -1 : next(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static void load(void)
{
    static const enum job_kind kinds[] = { JOB_SUM, JOB_COPY, JOB_BORROW, JOB_STREAM };
    struct weir_client *client = client_open(rig.engine, 32, 4);
    for (size_t i = 0; i < FETCHES; i++) {
        fetch_init(&fetches[i], kinds[i % 4], (i * 7919 + SEED) % 30000);
        while (!fetch_send(client, &fetches[i]))
            turn();
        turn(); /* little in each pass, so that there are many */
    }
    for (size_t i = 0; i < FETCHES; i++) {
        RIG_UNTIL(fetches[i].ends > 0);
        fetch_right(&fetches[i]);
    }
    RIG_UNTIL(client_settled(client));
    assert_int_equal(weir_client_close(client), 0);
    rig_balanced();
    assert_int_equal(rig.requests, FETCHES);
    assert_int_equal(rig.broken, 0);
}

static void passing(unsigned every, unsigned run, uint32_t entries)
{
    rig.engine_cfg.sq_entries = entries;
    rig.engine_cfg.cq_entries = entries;
    plan.calls = plan.injected = 0;
    plan.every = every;
    plan.run = run;
    rig_serve();
    load();
    assert_true(plan.injected > 20);
    print_message("%" PRIu64 " of %" PRIu64 " calls failed\n", plan.injected, plan.calls);
    rig_end(SLACK);
    plan.every = 0;
}

static void errors(unsigned count, const int *list)
{
    plan.errors_count = count;
    memcpy(plan.errors, list, count * sizeof *list);
}

/* Alone and in rows, with room in the queues and without. */
static void one_error(int error)
{
    if (!ring_is_uring() && error != EINTR)
        skip(); /* epoll_wait(2) knows no other that passes */
    errors(1, &error);
    passing(5, 1, 256);
    rig_setup(NULL);
    passing(8, 5, 256);
    rig_setup(NULL);
    passing(3, 1, 8);
    rig_setup(NULL);
    passing(10, 8, 8);
}

static void test_interrupted(void **state)
{
    (void)state;
    one_error(EINTR);
}

static void test_no_memory_now(void **state)
{
    (void)state;
    one_error(EAGAIN);
}

static void test_busy(void **state)
{
    (void)state;
    one_error(EBUSY);
}

static void test_timed_out(void **state)
{
    (void)state;
    one_error(ETIME);
}

static void test_all_mixed(void **state)
{
    (void)state;
    if (!ring_is_uring())
        skip();
    errors(4, (const int[]){ EINTR, EAGAIN, EBUSY, ETIME });
    passing(2, 1, 256);
    rig_setup(NULL);
    passing(7, 6, 8);
}

/* ---- Errors that stay --------------------------------------------------------------------- */

/*
 * In a process of its own, for what hangs on a broken ring cannot be released: the kernel might
 * still write there. Ends with status 0 when all is as documented.
 */
static void broken_ring(int error, bool once)
{
    struct peer p;
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed check ends this process, not the function */
    alarm(20);                           /* and so does waiting */
    rig_setup(NULL);
    rig_serve();
    peer_dial(&p);
    peer_send(&p, "GET /hold HTTP/1.1\r\nHost: test\r\n\r\n");
    RIG_UNTIL(rig.requests == 1);
    errors(1, &error);
    plan.calls = 0;
    plan.injected = 0;
    /* Not the first call, but one in the middle of the work. */
    plan.every = UINT32_MAX;
    plan.run = 0;
    for (unsigned i = 0; i < 3; i++)
        turn();
    plan.calls = 0;
    plan.run = once ? 1 : UINT32_MAX;
    assert_int_equal(weir_engine_run(rig.engine), -error);
    assert_int_equal(plan.injected, 1);
    if (once) {
        /* The ring came back: then everything is released as ever. */
        rig_serves();
        rig.release = true;
        RIG_UNTIL(peer_has(&p, SUM_OF_NOTHING));
        peer_close(&p, false);
        rig_balanced();
        rig_end(4 * MIB);
    } else {
        assert_int_equal(weir_engine_run(rig.engine), -error);
        assert_int_equal(weir_engine_run_once(rig.engine, WAIT_NS), -error);
        /* With io_uring the kernel may hold on to what hangs on it; with epoll nobody does. */
        int rc = weir_server_close(rig.server);
        assert_true(rc == -error || (rc == 0 && !ring_is_uring()));
        assert_int_equal(weir_engine_close(rig.engine), rc == 0 ? 0 : -EBUSY);
    }
    _exit(0);
}

static void test_lasting(void **state)
{
    static const int list[] = { EBADF, EFAULT, EINVAL, ENXIO, EBADFD, EOPNOTSUPP, EPERM };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof list / sizeof list[0]; i++) {
        int status;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            broken_ring(list[i / 2], i % 2 == 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != 0)
            fail_msg("error %d: the process ended with status 0x%x", list[i / 2], (unsigned)status);
    }
    held_as_before(&rig.before, SLACK);
}

int main(void)
{
    print_message("seed %" PRIu64 "\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_interrupted, rig_setup),
        cmocka_unit_test_setup(test_no_memory_now, rig_setup),
        cmocka_unit_test_setup(test_busy, rig_setup),
        cmocka_unit_test_setup(test_timed_out, rig_setup),
        cmocka_unit_test_setup(test_all_mixed, rig_setup),
        cmocka_unit_test_setup(test_lasting, rig_setup),
    };
    return cmocka_run_group_tests_name("enter errors", tests, pattern_fill, NULL);
}
