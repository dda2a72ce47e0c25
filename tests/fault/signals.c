/* SPDX-License-Identifier: MIT */
/*
 * Signals: the library blocks, handles and sends none, none interrupts more than a wait, and a
 * handler may post and stop.
 */
#include "fault/flood.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

/* ---- Signals ----------------------------------------------------------------------------- */

struct dispositions {
    struct sigaction actions[NSIG];
    sigset_t mask;
};

static void dispositions_read(struct dispositions *out)
{
    memset(out, 0, sizeof *out);
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, NULL, &out->actions[number]); /* two are libc's own, and refused */
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &out->mask), 0);
}

static void dispositions_equal(const struct dispositions *expected)
{
    struct dispositions now;
    dispositions_read(&now);
    for (int number = 1; number < NSIG; number++) {
        const struct sigaction *a = &now.actions[number];
        const struct sigaction *b = &expected->actions[number];
        if (a->sa_handler != b->sa_handler || a->sa_flags != b->sa_flags)
            fail_msg("signal %d is handled differently", number);
        if (sigismember(&now.mask, number) != sigismember(&expected->mask, number))
            fail_msg("signal %d: its mask differs", number);
    }
}

static struct dispositions dispositions;

static void signals_at_step(unsigned right)
{
    (void)right;
    dispositions_equal(&dispositions);
}

static volatile sig_atomic_t caught[NSIG];

static void on_any(int number)
{
    caught[number]++;
}

/* Errors of the program itself, and what cannot be had. */
static bool is_catchable(int number)
{
    static const int others[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,  SIGFPE,
                                  SIGILL,  SIGABRT, SIGSYS,  SIGTRAP, SIGCHLD };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (number == others[i])
            return false;
    return number < 32 || number >= SIGRTMIN;
}

/* Peers that go in the middle of an answer: there is somebody less to write to each time. */
static void write_to_the_gone(const char *path)
{
    static const char *const texts[] = { "GET /stream?4000000 HTTP/1.1\r\nHost: test\r\n\r\n",
                                         "GET /copy?4000000 HTTP/1.1\r\nHost: test\r\n\r\n",
                                         "GET /borrow?4000000 HTTP/1.1\r\nHost: test\r\n\r\n" };
    for (unsigned i = 0; i < 9; i++) {
        const char *text = texts[i % 3];
        char byte;
        struct peer p = { .fd = -1 };
        uint64_t ends = rig.ends;
        uint64_t broken = rig.broken;
        if (i < 6) {
            peer_dial(&p);
        } else {
            p.fd = unix_dial(path);
        }
        peer_send(&p, text);
        RIG_UNTIL(recv(p.fd, &byte, 1, MSG_DONTWAIT) == 1);
        if (i < 3)
            peer_close(&p, true);
        else
            close(p.fd);
        RIG_UNTIL(rig.ends == ends + 1);
        assert_int_equal(rig.broken, broken + 1);
    }
}

static void signals_round(void (*at_step)(unsigned right))
{
    char path[64];
    rig_serve();
    assert_true(weir_engine_fd(rig.engine) >= 0);
    struct weir_server *server = unix_server_open(path);
    flood_run(100, at_step);
    write_to_the_gone(path);
    assert_int_equal(weir_server_close(server), 0);
    unlink(path);
    rig_serves();
    rig_end(SLACK);
}

/* None is blocked or handled, and with SIGPIPE as it is at first, none comes: it would be the end
 * of this process. */
static void test_signals_untouched(void **state)
{
    (void)state;
    struct sigaction normal = { .sa_handler = SIG_DFL };
    struct sigaction old;
    assert_int_equal(sigaction(SIGPIPE, &normal, &old), 0);
    dispositions_read(&dispositions);
    signals_round(signals_at_step);
    dispositions_equal(&dispositions);
    assert_int_equal(sigaction(SIGPIPE, &old, NULL), 0);
}

static void test_no_signal_is_sent(void **state)
{
    (void)state;
    struct sigaction action = { .sa_handler = on_any };
    dispositions_read(&dispositions);
    for (int number = 1; number < NSIG; number++) {
        caught[number] = 0;
        if (is_catchable(number))
            assert_int_equal(sigaction(number, &action, NULL), 0);
    }
    signals_round(NULL);
    for (int number = 1; number < NSIG; number++) {
        if (caught[number] > 0)
            fail_msg("signal %d was sent %d times", number, (int)caught[number]);
        if (is_catchable(number))
            assert_int_equal(sigaction(number, &dispositions.actions[number], NULL), 0);
    }
}

/* SIGALRM a thousand times a second; system calls it interrupts are not repeated for us. */
static void storm_begin(void (*handler)(int number), struct sigaction *old)
{
    const struct sigaction action = { .sa_handler = handler };
    const struct itimerval often = { { .tv_usec = 1000 }, { .tv_usec = 1000 } };
    assert_int_equal(sigaction(SIGALRM, &action, old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void storm_end(const struct sigaction *old)
{
    const struct itimerval never = { { 0 }, { 0 } };
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, old, NULL), 0);
}

/* Nothing is interrupted but the wait: open, traffic and close are as ever. */
static void test_storm(void **state)
{
    (void)state;
    static const enum weir_wait waits[] = { WEIR_WAIT_SLEEP, WEIR_WAIT_ADAPTIVE, WEIR_WAIT_SPIN };
    struct sigaction old;
    caught[SIGALRM] = 0;
    storm_begin(on_any, &old);
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        int until = caught[SIGALRM] + 100;
        rig.requests = rig.ends = 0;
        rig.engine_cfg.wait = waits[i];
        rig_serve();
        do {
            flood_run(100, NULL);
            /* On its own the engine sleeps, and every signal finds it so. */
            for (unsigned k = 0; k < 10; k++)
                assert_int_equal(weir_engine_run_once(rig.engine, 3 * MS), 0);
        } while (caught[SIGALRM] < until);
        rig_balanced();
        assert_int_equal(weir_server_close(rig.server), 0);
        assert_int_equal(weir_engine_close(rig.engine), 0);
    }
    storm_end(&old);
    held_as_before(&rig.before, SLACK);
}

/* ---- Stop and post from a handler -------------------------------------------------------- */

#define POSTS 240

struct numbered {
    struct weir_task task; /* first: found again from it */
    int number;
};

static struct numbered posts[POSTS];
static volatile sig_atomic_t posted, posts_run, stops;
static bool out_of_order;
static unsigned own_runs;

static void post_run(struct weir_task *task)
{
    const struct numbered *post = (const struct numbered *)(const void *)task;
    out_of_order |= post->number != posts_run;
    posts_run++;
}

/* It hands itself on: while it runs every pass posts, so that signals come in the middle of that.
 * After half of them it ends, and they find the engine asleep. */
static void own_run(struct weir_task *task)
{
    own_runs++;
    if (posted < POSTS / 2)
        weir_engine_post(rig.engine, task);
}

static void on_alarm_post(int number)
{
    (void)number;
    if (posted < POSTS) {
        struct numbered *post = &posts[posted];
        *post = (struct numbered){ .task = { .run = post_run }, .number = (int)posted };
        posted++;
        weir_engine_post(rig.engine, &post->task);
    }
    if (posted % 16 == 0) {
        stops++;
        weir_engine_stop(rig.engine);
    }
}

static void test_handler_posts_and_stops(void **state)
{
    (void)state;
    struct sigaction old;
    struct weir_task own = { .run = own_run };
    unsigned returns = 0;
    engine_open(&rig.engine);
    posted = posts_run = stops = 0;
    out_of_order = false;
    own_runs = 0;
    weir_engine_post(rig.engine, &own);
    storm_begin(on_alarm_post, &old);
    while (posts_run < POSTS) {
        assert_int_equal(weir_engine_run(rig.engine), 0);
        returns++;
    }
    storm_end(&old);
    assert_false(out_of_order);
    assert_int_equal(posts_run, POSTS);
    assert_true(own_runs > 0);
    assert_in_range(returns, 2, stops);
    assert_int_equal(weir_engine_close(rig.engine), 0);
    held_as_before(&rig.before, SLACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_signals_untouched, rig_setup),
        cmocka_unit_test_setup(test_no_signal_is_sent, rig_setup),
        cmocka_unit_test_setup(test_storm, rig_setup),
        cmocka_unit_test_setup(test_handler_posts_and_stops, rig_setup),
    };
    return cmocka_run_group_tests(tests, pattern_fill, NULL);
}
