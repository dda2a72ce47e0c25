/* SPDX-License-Identifier: MIT */
/* Accepting on a real engine: limits, bursts, the lack of descriptors, and the end in the middle of
 * it. */
#include "io/listener.h"

#include "rig.h"

#include <netinet/tcp.h>

#define FDS_MAX 128u

/* An owner with room for `room` connections, which it keeps as plain descriptors. */
struct owner {
    struct weir_listener *listener;
    uint32_t room;
    uint32_t accepted, held, held_max;
    int fds[FDS_MAX];
    uint32_t closed;
    uint32_t close_at; /* close the listener in the accept of this number; 0 = never */
    uint32_t drop_room_at, drop_room_to;
};

static struct weir_engine *engine;
static unsigned fds_before;

static int setup(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    fds_before = rig_fds_count();
    engine = rig_open(&cfg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(engine);
    assert_int_equal(rig_fds_count(), fds_before);
    return 0;
}

static void on_accept(struct weir_listener *listener, int fd)
{
    struct owner *o = listener->user;
    assert_true(fd >= 0);
    assert_int_equal(o->closed, 0);
    assert_true(o->held < FDS_MAX);
    o->fds[o->held++] = fd;
    o->accepted++;
    if (o->held > o->held_max)
        o->held_max = o->held;
    if (o->accepted == o->drop_room_at)
        o->room = o->drop_room_to;
    if (o->accepted == o->close_at)
        weir_listener_close(listener);
}

static uint32_t capacity(struct weir_listener *listener)
{
    const struct owner *o = listener->user;
    return o->room > o->held ? o->room - o->held : 0;
}

static void on_closed(struct weir_listener *listener)
{
    struct owner *o = listener->user;
    o->closed++;
    o->listener = NULL;
}

static const struct weir_listener_handler handler = { .on_accept = on_accept,
                                                      .capacity = capacity,
                                                      .on_closed = on_closed };

static void owner_open(struct owner *o, struct weir_addr *addr)
{
    assert_int_equal(weir_listener_open(&o->listener, engine, "127.0.0.1:0", 64, 0), 0);
    assert_int_equal(sock_local(o->listener->fd, addr), 0);
    weir_listener_start(o->listener, &handler, o);
}

static void owner_drop(struct owner *o)
{
    while (o->held > 0)
        close(o->fds[--o->held]);
}

static void owner_close(struct owner *o)
{
    weir_listener_close(o->listener);
    weir_listener_close(o->listener); /* again: no effect */
    assert_int_equal(o->closed, 0);   /* never inside the call */
    RIG_RUN_UNTIL(engine, o->closed == 1);
    owner_drop(o);
}

static void dial(const struct weir_addr *addr, int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fds[i] = rig_tcp_dial(addr);
}

static void hang_up(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* ---- Opening ----------------------------------------------------------------------------- */

static void test_open_errors(void **state)
{
    (void)state;
    struct weir_listener *l = (void *)1;
    assert_int_equal(weir_listener_open(&l, engine, "nonsense", 8, 0), -EINVAL);
    assert_null(l);
    assert_non_null(strstr(weir_error_text(), "'nonsense'"));
    assert_int_equal(weir_listener_open(&l, engine, "192.0.2.1:1", 8, 0), -EADDRNOTAVAIL);
    assert_non_null(strstr(weir_error_text(), "192.0.2.1:1"));
    struct weir_addr addr;
    char text[WEIR_ADDR_TEXT_BYTES];
    int taken = rig_tcp_listen(&addr);
    weir_addr_format(&addr, text, sizeof text);
    assert_int_equal(weir_listener_open(&l, engine, text, 8, 0), -EADDRINUSE);
    assert_non_null(strstr(weir_error_text(), text));
    close(taken);
    assert_null(l);
    assert_int_equal(weir_slots_free(engine), 64);
}

static void test_no_slot(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.conns_max = 1;
    rig_close(engine);
    engine = rig_open(&cfg);
    struct owner o = { .room = 1 };
    struct weir_addr addr;
    owner_open(&o, &addr);
    struct weir_listener *l;
    unsigned before = rig_fds_count();
    assert_int_equal(weir_listener_open(&l, engine, "127.0.0.1:0", 8, 0), -ENOBUFS);
    assert_non_null(strstr(weir_error_text(), "conns_max"));
    assert_int_equal(rig_fds_count(), before);
    owner_close(&o);
}

/* ---- Limits ------------------------------------------------------------------------------ */

/* With little room exactly as many are accepted; the others wait in the backlog, and none is lost.
 */
static void test_never_more_than_capacity(void **state)
{
    (void)state;
    for (uint32_t room = 0; room <= 5; room++) {
        struct owner o = { .room = room };
        struct weir_addr addr;
        int clients[20];
        owner_open(&o, &addr);
        dial(&addr, clients, 20);
        rig_settle(engine);
        if (room == 0) {
            assert_int_equal(o.accepted, 0);
            assert_int_equal(rig_stats(engine).accept_paused, 1);
            o.room = room = 1;
            weir_listener_resume(o.listener);
        }
        for (uint32_t total = room; total < 20; total += room) {
            RIG_RUN_UNTIL(engine, o.held == room);
            rig_settle(engine);
            assert_int_equal(o.held, room);
            owner_drop(&o);
            weir_listener_resume(o.listener);
            weir_listener_resume(o.listener);
        }
        RIG_RUN_UNTIL(engine, o.accepted == 20);
        assert_true(o.held_max <= room);
        hang_up(clients, 20);
        owner_close(&o);
    }
}

/* Nobody says that there is room again: the listener looks by itself. */
static void test_looks_again(void **state)
{
    (void)state;
    struct owner o = { .room = 1 };
    struct weir_addr addr;
    int clients[2];
    owner_open(&o, &addr);
    dial(&addr, clients, 2);
    RIG_RUN_UNTIL(engine, o.held == 1);
    rig_settle(engine);
    owner_drop(&o);
    uint64_t passes = rig_stats(engine).passes;
    RIG_RUN_UNTIL(engine, o.accepted == 2);
    assert_true(rig_stats(engine).passes - passes < 2000); /* of a millisecond each */
    hang_up(clients, 2);
    owner_close(&o);
}

/* Much room: one multiple accept. When it shrinks, accepting goes on one at a time. */
static void test_from_multi_to_single(void **state)
{
    (void)state;
    for (uint32_t at = 1; at <= 30; at += 7) {
        struct owner o = { .room = 100000, .drop_room_at = at, .drop_room_to = 4000 };
        struct weir_addr addr;
        int clients[60];
        owner_open(&o, &addr);
        assert_true(o.listener->multi);
        dial(&addr, clients, 30);
        RIG_RUN_UNTIL(engine, o.accepted == 30);
        rig_settle(engine);
        assert_false(o.listener->multi);
        assert_true(o.listener->armed);
        dial(&addr, clients + 30, 30);
        RIG_RUN_UNTIL(engine, o.accepted == 60);
        hang_up(clients, 60);
        owner_close(&o);
    }
}

/* A multiple accept that overflows the completion queue ends, and is armed again. */
static void test_overflow(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.sq_entries = 8;
    cfg.cq_entries = 8;
    rig_close(engine);
    engine = rig_open(&cfg);
    struct owner o = { .room = 100000 };
    struct weir_addr addr;
    int clients[60];
    owner_open(&o, &addr);
    dial(&addr, clients, 60);
    RIG_RUN_UNTIL(engine, o.accepted == 60);
    hang_up(clients, 60);
    owner_close(&o);
}

/* ---- No descriptors ---------------------------------------------------------------------- */

static void test_no_descriptors(void **state)
{
    (void)state;
    for (uint32_t room = 10; room <= 100000; room *= 10000) { /* single, multi */
        struct owner o = { .room = room };
        struct weir_addr addr;
        struct rlimit limit, none;
        int clients[5];
        owner_open(&o, &addr);
        dial(&addr, clients, 5);
        /* The kernel takes the limit that holds when the accept is submitted, in the first pass. */
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = (struct rlimit){ 0, limit.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        struct weir_engine_stats before = rig_stats(engine);
        uint64_t end = weir_clock_ns() + 200 * RIG_MS;
        int rc = 0;
        for (uint64_t now = weir_clock_ns(); rc == 0 && now < end; now = weir_clock_ns())
            rc = weir_engine_run_once(engine, end - now);
        struct weir_engine_stats after = rig_stats(engine);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(rc, 0);
        assert_int_equal(o.accepted, 0);
        /* 10, 20, 40, 80 ms: a handful of tries, each of which may look at the clock for 100 us. */
        uint64_t tries = after.accept_paused - before.accept_paused;
        assert_in_range(tries, 2, 6);
        assert_true(after.sqes - before.sqes <= tries + 2);
        assert_true(after.enters - before.enters < 400 * tries);
        RIG_RUN_UNTIL(engine, o.accepted == 5);
        assert_int_equal(o.listener->backoff_ns, 0);
        hang_up(clients, 5);
        owner_close(&o);
    }
}

/* Told that a descriptor is free, it does not wait for its timer. */
static void test_no_descriptors_resume(void **state)
{
    (void)state;
    struct owner o = { .room = 10 };
    struct weir_addr addr;
    struct rlimit limit, none;
    int client[1];
    owner_open(&o, &addr);
    dial(&addr, client, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){ 0, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = 0;
    for (unsigned i = 0; i < 1000 && rc == 0 && o.listener->backoff_ns < 80 * RIG_MS; i++)
        rc = weir_engine_run_once(engine, RIG_MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, 0);
    assert_true(o.listener->backoff_ns >= 80 * RIG_MS);
    assert_true(weir_timer_is_set(&o.listener->retry));
    weir_listener_resume(o.listener);
    assert_false(weir_timer_is_set(&o.listener->retry));
    RIG_RUN_UNTIL(engine, o.accepted == 1);
    hang_up(client, 1);
    owner_close(&o);
}

/* ---- The end ----------------------------------------------------------------------------- */

/*
 * Closed in the n-th accept of a burst: no callback but the last follows, and whatever the kernel
 * had accepted meanwhile is not left open. A small completion queue ends the multiple accept in
 * between, too.
 */
static void close_in_burst(uint32_t cq_entries, uint32_t room, uint32_t at)
{
    struct weir_engine_config cfg = rig_config();
    cfg.sq_entries = 8;
    cfg.cq_entries = cq_entries;
    rig_close(engine);
    engine = rig_open(&cfg);
    struct owner o = { .room = room, .close_at = at };
    struct weir_addr addr;
    int clients[30];
    unsigned before = rig_fds_count();
    owner_open(&o, &addr);
    dial(&addr, clients, 30);
    RIG_RUN_UNTIL(engine, o.closed == 1);
    assert_int_equal(o.accepted, at);
    owner_drop(&o);
    hang_up(clients, 30);
    assert_int_equal(rig_fds_count(), before);
}

static void test_close_in_burst(void **state)
{
    (void)state;
    static const uint32_t rooms[] = { 50, 4096, 4100, 4110, 100000 };
    for (unsigned i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        for (uint32_t at = 1; at <= 30; at++) {
            close_in_burst(8, rooms[i], at);
            if (at % 5 == 0)
                close_in_burst(4096, rooms[i], at);
        }
    }
}

/* Connections that wait to be accepted. */
static unsigned backlog_length(int fd)
{
    struct tcp_info info;
    socklen_t bytes = sizeof info;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
    return info.tcpi_unacked;
}

struct resume_task {
    struct weir_task task; /* first: found again from it */
    struct owner *owner;
    struct rlimit limit;
    bool second; /* accepting went on while the cancel was under way */
};

static void resume_and_close(struct weir_task *task)
{
    struct resume_task *t = (struct resume_task *)task;
    struct weir_listener *l = t->owner->listener;
    /* Nobody waits any more: the second accept has nothing to complete it. */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &t->limit), 0);
    sock_close(accept(l->fd, NULL, NULL));
    weir_listener_resume(l);
    t->second = l->cancelling && l->armed && !l->multi;
    weir_listener_close(l);
}

/*
 * The multiple accept is cancelled because room became scarce, but ends by itself before that (no
 * descriptor); accepting goes on one at a time, and the listener is closed, all in one pass. That
 * cancel ends nothing.
 */
static void test_close_of_a_second_accept(void **state)
{
    (void)state;
    struct owner o = { .room = 100000, .drop_room_at = 1, .drop_room_to = 100 };
    struct weir_addr addr;
    struct rlimit limit, small;
    int clients[3];
    owner_open(&o, &addr);
    dial(&addr, clients, 3);
    uint64_t end = weir_clock_ns() + RIG_WAIT;
    while (backlog_length(o.listener->fd) < 3)
        assert_true(weir_clock_ns() < end);
    int first = dup(clients[0]), second = dup(clients[0]);
    assert_true(second > first);
    close(first);
    close(second);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    small = (struct rlimit){ (rlim_t)second + 1, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    struct resume_task t = { .task.run = resume_and_close, .owner = &o, .limit = limit };
    weir_engine_post(engine, &t.task);
    int rc = weir_engine_run_once(engine, RIG_MS);
    assert_int_equal(rc, 0);
    assert_int_equal(o.accepted, 2);
    assert_true(t.second);
    hang_up(clients, 3);
    RIG_RUN_UNTIL(engine, o.closed == 1);
    owner_drop(&o);
}

static void test_close_in_every_state(void **state)
{
    (void)state;
    struct owner o;
    struct weir_addr addr;
    static const uint32_t rooms[] = { 0, 1, 100000 };
    for (unsigned i = 0; i < 3; i++) { /* paused, single, multi; before and after the first pass */
        for (unsigned passes = 0; passes < 2; passes++) {
            o = (struct owner){ .room = rooms[i] };
            owner_open(&o, &addr);
            if (passes > 0)
                rig_settle(engine);
            weir_listener_resume(o.listener);
            owner_close(&o);
        }
    }
    /* Never started: there is nobody to tell. */
    assert_int_equal(weir_listener_open(&o.listener, engine, "127.0.0.1:0", 8, 0), 0);
    weir_listener_close(o.listener);
    RIG_RUN_UNTIL(engine, rig_stats(engine).conns_now == 0);
}

static void test_unix(void **state)
{
    (void)state;
    char path[64], text[72];
    snprintf(path, sizeof path, "/tmp/weir-test-listener-%d", (int)getpid());
    snprintf(text, sizeof text, "unix:%s", path);
    unlink(path);
    struct owner o = { .room = 10 };
    struct weir_addr addr;
    assert_int_equal(weir_listener_open(&o.listener, engine, text, 8, 0), 0);
    weir_listener_start(o.listener, &handler, &o);
    assert_int_equal(weir_addr_unix(&addr, path), 0);
    int client = rig_tcp_dial(&addr);
    RIG_RUN_UNTIL(engine, o.accepted == 1);
    close(client);
    owner_close(&o);
    unlink(path);
}

#define LISTENER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTENER_TEST(test_open_errors),
        LISTENER_TEST(test_no_slot),
        LISTENER_TEST(test_never_more_than_capacity),
        LISTENER_TEST(test_looks_again),
        LISTENER_TEST(test_from_multi_to_single),
        LISTENER_TEST(test_overflow),
        LISTENER_TEST(test_no_descriptors),
        LISTENER_TEST(test_no_descriptors_resume),
        LISTENER_TEST(test_close_in_burst),
        LISTENER_TEST(test_close_of_a_second_accept),
        LISTENER_TEST(test_close_in_every_state),
        LISTENER_TEST(test_unix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
