/* SPDX-License-Identifier: MIT */
/* The epoll twin as a ring: what tests/contract/ring.c does not ask of every twin. */
#include "core/ring_epoll.c"

#include "contract/twins.h"

#include <poll.h>
#include <signal.h>
#include <sys/time.h>

static const struct twin twin = { .name = "epoll", .type = &weir_ring_epoll };

static struct weir_epoll *epoll(void)
{
    return weir_epoll_of(rig.ring);
}

static void small_completion_queue(uint32_t cq_entries)
{
    struct weir_ring_config cfg = rig_config();
    cfg.sq_entries = 8;
    cfg.cq_entries = cq_entries;
    rig_reopen(cfg);
}

/* ---- Completions ------------------------------------------------------------------------- */

/* Multiple operations go on when there is room again; in other twins they may end. */
static void test_full_queue_ends_nothing(void **state)
{
    (void)state;
    small_completion_queue(4);
    struct rig_addr addr;
    int listener = rig_listen(&addr, AF_INET);
    uint64_t accepting = rig_op();
    rig.ops->accept(rig.ring, listener, true, accepting);
    for (unsigned i = 0; i < 20; i++)
        (void)rig_connect(rig_stream(&addr), &addr);
    RIG_UNTIL(rig_seen(accepting) == 20);
    assert_true(rig.inflight[accepting]);
    for (uint32_t i = 0; i < 20; i++)
        rig_fd(rig_nth(accepting, i)->res);
    int fd = rig_stream(&addr);
    assert_int_equal(rig_end(rig_connect(fd, &addr)), 0);
    RIG_UNTIL(rig_seen(accepting) == 21);
    uint64_t receiving = rig_recv(rig_fd(rig_nth(accepting, 20)->res));
    assert_int_equal(rig_end(rig_send(fd, rig_piece(0, 12 * 1024))), 12 * 1024);
    RIG_UNTIL(rig_seen(receiving) == 12);
    assert_true(rig.inflight[receiving]);
    assert_int_equal(rig.ring->counters.cq_overflows, 0);
}

/* A cancel whose victims do not fit goes on in the next enter, and counts them all. */
static void test_cancel_through_a_small_queue(void **state)
{
    (void)state;
    small_completion_queue(2);
    struct rig_addr addr;
    int listener = rig_listen(&addr, AF_INET);
    uint64_t ops[5];
    for (unsigned i = 0; i < 5; i++) {
        ops[i] = rig_op();
        rig.ops->accept(rig.ring, listener, false, ops[i]);
    }
    rig_submit();
    uint64_t cancel = rig_cancel_fd(listener);
    rig_enter(0);
    assert_true(rig.ops->unsubmitted(rig.ring));
    rig_enter(RIG_WAIT);
    assert_int_equal(rig_reap(), 2);
    assert_int_equal(rig_end(cancel), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(rig_nth(ops[i], 0)->res, -ECANCELED);
    /* None are left to be counted. */
    assert_int_equal(rig_end(rig_cancel_fd(listener)), 0);
    assert_int_equal(rig_end(rig_cancel_fd(-1)), 0);
}

/* Odd sizes are rounded up to what the masks need. */
static void test_sizes(void **state)
{
    (void)state;
    struct weir_ring_config cfg = rig_config();
    cfg.cq_entries = 9;
    cfg.ops_max = 1;
    rig_reopen(cfg);
    assert_int_equal(epoll()->cq_mask, 15);
    assert_int_equal(log2_up(1), 1);
    assert_int_equal(log2_up(2), 1);
    assert_int_equal(log2_up(3), 2);
    assert_int_equal(log2_up(4), 2);
    assert_int_equal(log2_up(5), 3);
    assert_int_equal(log2_up(1u << 31), 31);
    assert_non_null(strstr(rig.ring->info, "epoll cq=16 bufs=16x1024 pwait2="));
    assert_int_equal(rig.ring->abilities, WEIR_RING_SPIN);
}

/* ---- Enter ------------------------------------------------------------------------------- */

/* Completions that are there already spare the system call, but only once in a row. */
static void test_epoll_is_asked_every_second_time(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    uint64_t receiving = rig_recv(fds[1]);
    rig_settle();
    (void)rig_send(fds[0], rig_piece(0, 1));
    uint64_t before = rig.ring->counters.enters;
    rig_enter(RIG_WAIT);
    assert_int_equal(rig.ring->counters.enters, before);
    assert_int_equal(rig_reap(), 1);
    /* Somebody who always has something to send. */
    (void)rig_send(fds[0], rig_piece(1, 1));
    rig_enter(0);
    assert_int_equal(rig.ring->counters.enters, before + 1);
    assert_int_equal(rig_reap(), 2);
    assert_int_equal(rig_seen(receiving), 1);
    /* What ready() asked need not be asked again. */
    rig_settle();
    assert_int_equal(send(fds[0], rig_piece(2, 1).ptr, 1, MSG_NOSIGNAL), 1);
    before = rig.ring->counters.enters;
    assert_true(rig.ops->ready(rig.ring));
    rig_enter(0);
    assert_int_equal(rig.ring->counters.enters, before + 1);
    rig_reap();
    assert_int_equal(rig_seen(receiving), 2);
}

/* Waits in ms are too long rather than too short, and too long ones are cut. */
static void test_waits_in_ms(void **state)
{
    (void)state;
    epoll()->pwait2 = false;
    int fds[2];
    rig_pair(fds, AF_INET);
    uint64_t before = weir_clock_ns();
    uint64_t enters = rig.ring->counters.enters;
    rig_enter(100000);
    assert_true(weir_clock_ns() - before >= 100000);
    assert_true(rig.ring->counters.enters - enters <= 2);
    uint64_t op = rig_recv(fds[1]), sending = rig_send(fds[0], rig_piece(0, 1));
    rig_enter(0);
    rig_reap();
    rig_enter(INT64_MAX);
    rig_reap();
    assert_int_equal(rig_seen(op), 1);
    assert_int_equal(rig_end(sending), 1);
}

static void on_alarm(int signal)
{
    (void)signal;
}

/* A signal ends the wait; what is in flight stays. */
static void test_signal(void **state)
{
    (void)state;
    int fds[2];
    struct sigaction action = { .sa_handler = on_alarm }, old;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    rig_pair(fds, AF_INET);
    uint64_t op = rig_recv(fds[0]);
    struct itimerval soon = { .it_value.tv_usec = 20000 };
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    uint64_t before = weir_clock_ns();
    rig_enter(RIG_WAIT);
    assert_true(weir_clock_ns() - before < RIG_WAIT);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_true(rig.inflight[op]);
    assert_int_equal(rig_end(rig_send(fds[1], rig_piece(0, 5))), 5);
    RIG_UNTIL(rig_seen(op) == 1);
}

/* More descriptors are ready than one wait takes. */
static void test_more_events_than_one_wait_takes(void **state)
{
    (void)state;
    enum { PAIRS = WEIR_EPOLL_EVENTS_MAX + 50 };
    struct weir_ring_config cfg = rig_config();
    cfg.bufs_count = 1024;
    cfg.cq_entries = 1024;
    rig_reopen(cfg);
    struct rig_addr addr;
    int listener = rig_listen(&addr, AF_INET), fds[PAIRS][2];
    uint64_t ops[PAIRS];
    for (unsigned i = 0; i < PAIRS; i++) {
        rig_pair_at(fds[i], listener, &addr);
        ops[i] = rig_recv(fds[i][1]);
    }
    rig_settle();
    for (unsigned i = 0; i < PAIRS; i++)
        assert_int_equal(send(fds[i][0], "x", 1, MSG_NOSIGNAL), 1);
    uint32_t before = rig.log_count;
    rig_enter(RIG_WAIT);
    rig_reap();
    assert_int_equal(rig.log_count - before, WEIR_EPOLL_EVENTS_MAX);
    for (unsigned i = 0; i < PAIRS; i++)
        RIG_UNTIL(rig_seen(ops[i]) == 1);
}

/* Edges that ready() took from the kernel are not lost, neither for enter nor for pollable(). */
static void test_ready_takes_edges(void **state)
{
    (void)state;
    int fds[2];
    struct pollfd poller = { .fd = rig.ops->pollable(rig.ring), .events = POLLIN };
    assert_true(poller.fd >= 0);
    rig_pair(fds, AF_INET);
    uint64_t op = rig_recv(fds[1]);
    rig_settle();
    assert_int_equal(poll(&poller, 1, 0), 0);
    assert_int_equal(send(fds[0], "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(poll(&poller, 1, 0), 1);
    assert_true(rig.ops->ready(rig.ring));
    assert_true(rig.ops->ready(rig.ring));
    assert_int_equal(poll(&poller, 1, 0), 1);
    rig_enter(0);
    assert_int_equal(poll(&poller, 1, 0), 1);
    assert_int_equal(rig_reap(), 1);
    assert_int_equal(poll(&poller, 1, 0), 0);
    assert_int_equal(rig_seen(op), 1);
    /* What is ready but not waited for makes nobody ready. */
    rig_end(rig_cancel_fd(fds[1]));
    rig_settle();
    assert_int_equal(send(fds[0], "x", 1, MSG_NOSIGNAL), 1);
    assert_false(rig.ops->ready(rig.ring));
    assert_int_equal(poll(&poller, 1, 0), 0);
    /* And its edge was noted: the receive finds it without one. */
    op = rig_recv(fds[1]);
    rig_submit();
    assert_int_equal(rig_seen(op), 1);
}

/* ---- Open -------------------------------------------------------------------------------- */

/* Busy polling is there or said not to be. */
static void test_busy_polling(void **state)
{
    (void)state;
    struct weir_ring_config cfg = rig_config();
    struct weir_arena arena;
    struct weir_ring *ring;
    cfg.bufs = rig.cfg.bufs;
    cfg.napi_us = 20;
    assert_int_equal(weir_arena_open(&arena, weir_ring_epoll.bytes(&cfg)), 0);
    int rc = weir_ring_epoll.open(&ring, &arena, &cfg);
    if (rc == 0) {
        ring->ops->close(ring);
    } else {
        assert_null(ring);
        assert_int_equal(rc, WEIR_E_UNSUPPORTED);
        assert_non_null(strstr(weir_error_text(), "napi_ns"));
    }
    weir_arena_close(&arena);
}

static void test_close_is_complete(void **state)
{
    (void)state;
    assert_true(rig.ops->pollable(rig.ring) >= 0);
    int epoll_fd = epoll()->epoll_fd, nudge_fd = epoll()->nudge_fd, fd = epoll()->pollable_fd;
    rig.ops->close(rig.ring);
    rig.abandoned = true;
    const int fds[] = { epoll_fd, nudge_fd, fd };
    for (unsigned i = 0; i < 3; i++) {
        struct pollfd poller = { .fd = fds[i] };
        assert_int_equal(poll(&poller, 1, 0), 1);
        assert_int_equal(poller.revents, POLLNVAL);
    }
}

#define TWIN_TEST(f)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(f, rig_setup, rig_teardown, (void *)(uintptr_t)&twin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TWIN_TEST(test_full_queue_ends_nothing),
        TWIN_TEST(test_cancel_through_a_small_queue),
        TWIN_TEST(test_sizes),
        TWIN_TEST(test_epoll_is_asked_every_second_time),
        TWIN_TEST(test_waits_in_ms),
        TWIN_TEST(test_signal),
        TWIN_TEST(test_more_events_than_one_wait_takes),
        TWIN_TEST(test_ready_takes_edges),
        TWIN_TEST(test_busy_polling),
        TWIN_TEST(test_close_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
