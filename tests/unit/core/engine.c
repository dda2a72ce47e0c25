/* SPDX-License-Identifier: MIT */
/* The loop: its clock, its timers, its doorbell, what it makes of completions. */
#include "core/engine.h"
#include "core/ring.h"

#include "unit/io/rig.h"

#include <poll.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifndef ASAN
#define ASAN 0
#endif

/* ---- The loop ---------------------------------------------------------------------------- */

static void test_run_once(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    assert_int_equal(weir_engine_run_once(engine, 0), 0);
    uint64_t before = weir_clock_ns();
    assert_int_equal(weir_engine_run_once(engine, 20 * RIG_MS), 0);
    assert_true(weir_clock_ns() - before >= 20 * RIG_MS);
    assert_true(weir_engine_now_ns(engine) >= before + 20 * RIG_MS);
    assert_true(weir_engine_now_ns(engine) <= weir_clock_ns());
    /* Stats are cut to what the caller knows. */
    struct weir_engine_stats stats;
    memset(&stats, 0xff, sizeof stats);
    stats.size = offsetof(struct weir_engine_stats, enters);
    weir_engine_stats(engine, &stats);
    assert_int_equal(stats.size, offsetof(struct weir_engine_stats, enters));
    assert_int_equal(stats.passes, 2);
    assert_true(stats.enters == UINT64_MAX);
    /* An idle engine sleeps. */
    rig_run_for(engine, 50 * RIG_MS);
    assert_true(rig_stats(engine).passes < 10);
    rig_close(engine);
}

static void *stop_from_thread(void *arg)
{
    weir_engine_stop(arg);
    return NULL;
}

static struct weir_engine *signalled;
static volatile sig_atomic_t signals;

static void stop_from_signal(int signal)
{
    (void)signal;
    if (++signals == 3)
        weir_engine_stop(signalled);
}

static void test_stop(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    pthread_t thread;
    /* Before the run: it returns at once. */
    weir_engine_stop(engine);
    assert_int_equal(weir_engine_run(engine), 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(pthread_create(&thread, NULL, stop_from_thread, engine), 0);
        assert_int_equal(weir_engine_run(engine), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    /* Signals interrupt the wait; the third one stops. */
    struct sigaction action = { .sa_handler = stop_from_signal }, old;
    struct itimerval timer = { { .tv_usec = 5000 }, { .tv_usec = 5000 } }, off = { { 0 }, { 0 } };
    signalled = engine;
    signals = 0;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    assert_int_equal(weir_engine_run(engine), 0);
    assert_true(signals >= 3);
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    rig_close(engine);
}

#define POSTERS 4u
#define POSTS   2000u

struct posted {
    struct weir_task task; /* first: found again from it */
    uint32_t poster, number;
};

static struct posted posted[POSTERS][POSTS];
static uint32_t posted_next[POSTERS], posted_count;
static struct weir_engine *posted_engine;
static pthread_t engine_thread;

static void run_posted(struct weir_task *task)
{
    struct posted *p = (struct posted *)task;
    assert_true(pthread_equal(pthread_self(), engine_thread));
    assert_int_equal(p->number, posted_next[p->poster]);
    posted_next[p->poster]++;
    if (++posted_count == POSTERS * POSTS)
        weir_engine_stop(posted_engine);
}

static void *post_all(void *arg)
{
    struct posted *tasks = arg;
    for (uint32_t i = 0; i < POSTS; i++)
        weir_engine_post(posted_engine, &tasks[i].task);
    return NULL;
}

static void test_post(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    pthread_t threads[POSTERS];
    posted_engine = rig_open(&cfg);
    engine_thread = pthread_self();
    posted_count = 0;
    for (uint32_t p = 0; p < POSTERS; p++) {
        posted_next[p] = 0;
        for (uint32_t i = 0; i < POSTS; i++)
            posted[p][i] = (struct posted){ { .run = run_posted }, p, i };
        assert_int_equal(pthread_create(&threads[p], NULL, post_all, posted[p]), 0);
    }
    assert_int_equal(weir_engine_run(posted_engine), 0);
    for (uint32_t p = 0; p < POSTERS; p++)
        assert_int_equal(pthread_join(threads[p], NULL), 0);
    assert_int_equal(posted_count, POSTERS * POSTS);
    /* A post before the run is work: no wait. */
    posted_count = 0;
    posted_next[0] = 0;
    weir_engine_post(posted_engine, &posted[0][0].task);
    uint64_t before = weir_clock_ns();
    assert_int_equal(weir_engine_run_once(posted_engine, RIG_WAIT), 0);
    assert_true(weir_clock_ns() - before < RIG_WAIT);
    assert_int_equal(posted_count, 1);
    rig_close(posted_engine);
}

/* ---- Timers ------------------------------------------------------------------------------ */

#define TIMERS 64u

struct timed {
    struct weir_timer timer; /* first: found again from it */
    struct weir_engine *engine;
    uint64_t deadline_ns, fired_ns;
    unsigned runs;
};

static void on_timed(struct weir_timer *timer, void *ctx)
{
    struct timed *t = ctx;
    assert_ptr_equal(&t->timer, timer);
    assert_false(weir_timer_is_set(timer));
    assert_true(weir_engine_now_ns(t->engine) >= t->deadline_ns);
    assert_true(weir_clock_ns() >= t->deadline_ns);
    t->fired_ns = weir_engine_now_ns(t->engine);
    t->runs++;
}

static void test_timers(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    static struct timed timers[TIMERS];
    uint64_t now = weir_clock_ns();
    for (unsigned i = 0; i < TIMERS; i++) {
        timers[i] = (struct timed){ .engine = engine, .deadline_ns = now + i * i * 12345 };
        weir_timer_init(&timers[i].timer, on_timed, &timers[i]);
        weir_timer_set(engine, &timers[i].timer, timers[i].deadline_ns);
    }
    weir_timer_cancel(&timers[5].timer);
    for (uint64_t end = now + RIG_WAIT; timers[TIMERS - 1].runs == 0;) {
        assert_int_equal(weir_engine_run_once(engine, RIG_WAIT), 0);
        assert_true(weir_clock_ns() < end);
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        assert_int_equal(timers[i].runs, i != 5);
        assert_true(i == 5 || timers[i].fired_ns - timers[i].deadline_ns < 500 * RIG_MS);
    }
    struct weir_engine_stats stats = rig_stats(engine);
    assert_int_equal(stats.timers_fired, TIMERS - 1);
    /* It sleeps between them, and looks at the clock without sleeping for a bounded time before
     * each. */
    assert_true(engine->wake_lead_ns <= 100000);
    assert_true(stats.passes < 400 * TIMERS);
    /* The farthest deadline there is neither fires nor keeps the loop from sleeping. */
    timers[0].runs = 0;
    weir_timer_set(engine, &timers[0].timer, UINT64_MAX);
    weir_timer_set(engine, &timers[1].timer, UINT64_MAX - 1);
    rig_run_for(engine, 5 * RIG_MS);
    assert_int_equal(timers[0].runs, 0);
    weir_timer_cancel(&timers[0].timer);
    weir_timer_cancel(&timers[1].timer);
    rig_close(engine);
}

static void set_again(struct weir_timer *timer, void *ctx)
{
    struct timed *t = ctx;
    t->runs++;
    weir_timer_set(t->engine, timer, 1);
}

/* A timer that is always due runs once a pass, and the passes do not wait. */
static void test_timer_in_the_past(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct timed t = { .engine = engine };
    weir_timer_init(&t.timer, set_again, &t);
    weir_timer_set(engine, &t.timer, 0);
    for (unsigned i = 1; i <= 10; i++) {
        assert_int_equal(weir_engine_run_once(engine, RIG_WAIT), 0);
        assert_int_equal(t.runs, i);
    }
    weir_timer_cancel(&t.timer);
    rig_close(engine);
}

/* ---- Completions ------------------------------------------------------------------------- */

/* Completions of an earlier life are dropped and counted; the buffers that came with them are not
 * lost. */
static void test_stale_completions(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct weir_slot *slot = weir_slot_get(engine);
    assert_non_null(slot);
    uint64_t stale = (uint64_t)WEIR_OP_RECV << 56 | (uint64_t)slot->gen << 32 | slot->index;
    weir_slot_put(engine, slot);
    int fds[2];
    rig_unix_pair(fds);
    struct rig_peer peer = { .fd = fds[1] };
    for (unsigned i = 1; i <= 10; i++) { /* with two buffers */
        assert_true(rig_peer_write(&peer, peer.written + 256));
        engine->ring->ops->recv(engine->ring, fds[0], true, stale);
        uint64_t seen = rig_stats(engine).stale_cqes;
        RIG_RUN_UNTIL(engine, rig_stats(engine).stale_cqes > seen);
        engine->ring->ops->cancel(engine->ring, stale, stale);
        RIG_RUN_UNTIL(engine, rig_stats(engine).stale_cqes >= 3 * i);
    }
    int unread = 1;
    assert_int_equal(recv(fds[0], &unread, sizeof unread, 0), -1);
    close(fds[0]);
    close(fds[1]);
    rig_close(engine);
}

/* ---- Held buffers ------------------------------------------------------------------------ */

struct holder {
    struct weir_slice held[8];
    unsigned count;
    int last; /* what the last hold said */
};

static struct holder holder;

static void hold_recv(struct weir_conn *conn, struct weir_slice data)
{
    holder.last = weir_slice_hold(conn->engine, data);
    if (holder.last == 0)
        holder.held[holder.count++] = data;
}

static void hold_closed(struct weir_conn *conn, int err)
{
    (void)err;
    *(bool *)conn->user = true;
}

static const struct weir_conn_handler hold_handler = { .on_recv = hold_recv,
                                                       .on_eof = rig_on_eof,
                                                       .on_closed = hold_closed };

/* Held bytes stay as they are while more arrives; the bound holds; all buffers come back. */
static void test_holds(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.recv_bufs_max = 4;
    cfg.recv_buf_bytes = 256;
    cfg.recv_holds_max = 100; /* no more than half of the buffers, all the same */
    struct weir_engine *engine = rig_open(&cfg);
    int fds[2];
    bool closed = false;
    rig_unix_pair(fds);
    holder = (struct holder){ .last = 1 };
    struct weir_conn *conn = weir_conn_accept(engine, fds[0], &hold_handler, &closed);
    assert_non_null(conn);
    for (unsigned i = 0; i < 20; i++) {
        char byte = (char)('a' + i);
        holder.last = 1;
        assert_int_equal(write(fds[1], &byte, 1), 1);
        RIG_RUN_UNTIL(engine, holder.last != 1);
        assert_int_equal(holder.last, i < 2 ? 0 : -ENOBUFS);
    }
    assert_int_equal(holder.count, 2);
    assert_int_equal(holder.held[0].ptr[0], 'a');
    assert_int_equal(holder.held[1].ptr[0], 'b');
    assert_int_equal(rig_stats(engine).recv_holds_now, 2);
    assert_int_equal(rig_stats(engine).recv_hold_refused, 18);
    assert_int_equal(weir_slice_hold(engine, holder.held[0]), 0); /* once more, the same */
    weir_slice_release(engine, holder.held[0]);
    assert_int_equal(rig_stats(engine).recv_holds_now, 2);
    uint8_t elsewhere = 0;
    assert_int_equal(weir_slice_hold(engine, (struct weir_slice){ &elsewhere, 1 }), -EINVAL);
    weir_slice_release(engine, holder.held[0]);
    weir_slice_release(engine, holder.held[1]);
    /* One that is back, and of no completion that is being handled. */
    assert_int_equal(weir_slice_hold(engine, holder.held[0]), -EINVAL);
    assert_int_equal(rig_stats(engine).recv_holds_now, 0);
    holder.count = 0;
    for (unsigned i = 0; i < 10; i++) {
        holder.last = 1;
        assert_int_equal(write(fds[1], "x", 1), 1);
        RIG_RUN_UNTIL(engine, holder.last != 1);
        assert_int_equal(holder.last, 0);
        weir_slice_release(engine, holder.held[--holder.count]);
    }
    weir_conn_close(conn, 0, false);
    RIG_RUN_UNTIL(engine, closed);
    close(fds[1]);
    rig_close(engine);
}

/* ---- In a foreign loop ------------------------------------------------------------------- */

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, timeout_ms) == 1;
}

static void drive(struct weir_engine *engine, int fd)
{
    for (unsigned i = 0; i < 100 && readable(fd, 0); i++)
        assert_int_equal(weir_engine_run_once(engine, 0), 0);
    assert_false(readable(fd, 0)); /* nothing due: it is quiet */
}

/* The host only polls and runs passes: data, timers, and other threads' tasks all wake it. */
static void test_host_loop(void **state)
{
    enum weir_ring_kind kind = *(enum weir_ring_kind *)*state;
    struct weir_engine_config cfg = rig_config();
    struct rig_session s = { .echo = true, .close_on_eof = true };
    struct rig_peer peer;
    cfg.ring = kind;
    struct weir_engine *engine = rig_open(&cfg);
    rig_join(&s, &peer, engine, 0);
    int fd = weir_engine_fd(engine);
    assert_true(fd >= 0);
    assert_int_equal(weir_engine_fd(engine), fd);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    drive(engine, fd);
    for (uint64_t end = 1; end <= 65536; end *= 4) {
        while (peer.read < end) {
            rig_peer_write(&peer, end);
            assert_true(readable(fd, 5000));
            drive(engine, fd);
            rig_peer_read(&peer);
        }
    }
    struct timed t = { .engine = engine, .deadline_ns = weir_clock_ns() + 3 * RIG_MS };
    weir_timer_init(&t.timer, on_timed, &t);
    weir_timer_set(engine, &t.timer, t.deadline_ns);
    assert_int_equal(weir_engine_run_once(engine, 0), 0); /* as the contract says */
    while (t.runs == 0) {
        assert_true(readable(fd, 5000));
        assert_int_equal(weir_engine_run_once(engine, 0), 0);
    }
    posted_engine = engine;
    posted_count = 0;
    memset(posted_next, 0, sizeof posted_next);
    for (uint32_t i = 0; i < POSTS; i++)
        posted[0][i] = (struct posted){ { .run = run_posted }, 0, i };
    engine_thread = pthread_self();
    pthread_t poster;
    assert_int_equal(pthread_create(&poster, NULL, post_all, posted[0]), 0);
    while (posted_count < POSTS) {
        assert_true(readable(fd, 5000));
        drive(engine, fd);
    }
    assert_int_equal(pthread_join(poster, NULL), 0);
    drive(engine, fd);
    close(peer.fd);
    while (s.seen[RIG_CLOSED] == 0) {
        assert_true(readable(fd, 5000));
        drive(engine, fd);
    }
    rig_check_streams(&s, &peer);
    rig_close(engine);
}

/* What was pending before anybody asked for the descriptor is not announced again: it is set. */
static void test_host_asks_late(void **state)
{
    struct weir_engine_config cfg = rig_config();
    cfg.ring = *(enum weir_ring_kind *)*state;
    struct rig_session s = { .echo = true, .close_on_eof = true };
    struct rig_peer peer;
    struct weir_engine *engine = rig_open(&cfg);
    rig_join(&s, &peer, engine, 0);
    assert_int_equal(weir_engine_run_once(engine, 0), 0); /* everything is armed */
    assert_true(rig_peer_write(&peer, 1));
    int fd = weir_engine_fd(engine);
    assert_true(fd >= 0);
    for (uint64_t end = 1; end <= 3; end++) {
        rig_peer_write(&peer, end);
        while (peer.read < end) {
            assert_true(readable(fd, 5000));
            drive(engine, fd);
            rig_peer_read(&peer);
        }
    }
    close(peer.fd);
    while (s.seen[RIG_CLOSED] == 0) {
        assert_true(readable(fd, 5000));
        drive(engine, fd);
    }
    rig_close(engine);
}

/* ---- Refused for now --------------------------------------------------------------------- */

static const struct weir_ring_ops *real_ops;
static struct weir_ring_ops refusing_ops;
static unsigned refusals;

/* An entry that takes nothing, as under a shortage of memory, and the next time goes on. */
static int enter_refusing(struct weir_ring *ring, const struct weir_ring_wait *wait)
{
    if (wait == NULL && refusals > 0 && real_ops->unsubmitted(ring)) {
        refusals--;
        return 0;
    }
    return real_ops->enter(ring, wait);
}

/* A spinning engine tries again what was not taken: nothing else would ever complete. */
static void test_spinner_retries(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct rig_session s = { 0 };
    struct rig_peer peer;
    cfg.wait = WEIR_WAIT_SPIN;
    struct weir_engine *engine = rig_open(&cfg);
    rig_join(&s, &peer, engine, 0);
    assert_int_equal(weir_engine_run_once(engine, 0), 0);
    real_ops = engine->ring->ops;
    refusing_ops = *real_ops;
    refusing_ops.enter = enter_refusing;
    engine->ring->ops = &refusing_ops;
    rig_send(&s, 100);
    refusals = 2;
    /* Without an end to the wait: it is over when the peer has its bytes, or never. */
    for (unsigned i = 0; i < 10 && peer.read < 100; i++) {
        assert_int_equal(weir_engine_run_once(engine, i < 4 ? UINT64_MAX : RIG_MS), 0);
        rig_peer_read(&peer);
    }
    assert_int_equal(peer.read, 100);
    assert_int_equal(refusals, 0);
    engine->ring->ops = real_ops;
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
    close(peer.fd);
    rig_close(engine);
}

/* ---- Features ---------------------------------------------------------------------------- */

static void echo_without(const char *features)
{
    struct weir_engine_config cfg = rig_config();
    struct rig_session s = { .echo = true, .close_on_eof = true };
    int fds[2];
    cfg.ring_disable = features;
    struct weir_engine *engine = rig_open(&cfg);
    rig_tcp_pair(fds, 0);
    struct rig_peer peer = { .fd = fds[1] };
    rig_accept(&s, engine, fds[0]);
    for (uint64_t end = 1; end <= 65536; end *= 4)
        RIG_RUN_UNTIL(engine, (rig_peer_write(&peer, end), rig_peer_read(&peer), peer.read == end));
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), s.seen[RIG_CLOSED] && peer.eof));
    assert_false(peer.bad || s.bad);
    assert_int_equal(s.err, 0);
    close(fds[1]);
    /* A timer needs a wait that ends by itself. */
    struct timed t = { .engine = engine, .deadline_ns = weir_clock_ns() + 3 * RIG_MS };
    weir_timer_init(&t.timer, on_timed, &t);
    weir_timer_set(engine, &t.timer, t.deadline_ns);
    RIG_RUN_UNTIL(engine, t.runs == 1);
    rig_close(engine);
}

static void test_features(void **state)
{
    (void)state;
    const char *all = weir_ring_features();
    unsigned count = 0;
    echo_without(NULL);
    echo_without(all);
    for (const char *at = all; *at != '\0'; count++) {
        char name[64], used[80];
        size_t len = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)len, at);
        echo_without(name);
        struct weir_engine_config cfg = rig_config();
        cfg.ring_disable = name;
        struct weir_engine *engine = rig_open(&cfg);
        snprintf(used, sizeof used, "%s=off", name);
        assert_non_null(strstr(weir_engine_ring_info(engine), used));
        rig_close(engine);
        at += len + (at[len] == ',');
    }
    assert_true(count >= 4);
}

int main(void)
{
    static enum weir_ring_kind kinds[] = { WEIR_RING_URING, WEIR_RING_EPOLL };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_once),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_post),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_timer_in_the_past),
        cmocka_unit_test(test_stale_completions),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_holds),
        cmocka_unit_test_prestate(test_host_loop, &kinds[0]),
        cmocka_unit_test_prestate(test_host_loop, &kinds[1]),
        cmocka_unit_test_prestate(test_host_asks_late, &kinds[0]),
        cmocka_unit_test_prestate(test_host_asks_late, &kinds[1]),
        cmocka_unit_test(test_spinner_retries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
