/* SPDX-License-Identifier: MIT */
/*
 * Dials on both rings, to loopback: what fails at once, what wins, what is left behind. When things
 * happen is checked against a simulated clock in tests/contract/dial.c.
 */
#include "io/dial.h"

#include "rig.h"

static struct weir_engine *engine;
static unsigned fds_before;
static uint32_t given_up;

static int setup(void **state)
{
    struct weir_engine_config cfg = rig_config();
    fds_before = rig_fds_count();
    cfg.ring = *(const enum weir_ring_kind *)*state;
    engine = rig_open(&cfg);
    given_up = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    RIG_RUN_UNTIL(engine, given_up == 0);
    rig_close(engine);
    assert_int_equal(rig_fds_count(), fds_before);
    return 0;
}

/* ---- What is dialled, and by whom -------------------------------------------------------- */

static bool inside_start;
static unsigned failures;
static int failed_with;

static void on_failed(struct weir_dial *dial, int err)
{
    assert_false(inside_start);
    assert_true(weir_dial_idle(dial));
    failures++;
    failed_with = err;
}

static int dial_start(struct weir_dial *dial, const struct weir_addr *addrs, uint32_t count,
                      uint64_t deadline_ns, struct rig_session *s)
{
    failures = 0;
    inside_start = true;
    int rc = weir_dial_start(dial, engine,
                             &(struct weir_dial_config){ .addrs = addrs,
                                                         .count = count,
                                                         .deadline_ns = deadline_ns,
                                                         .handler = &rig_handler,
                                                         .user = s,
                                                         .on_failed = on_failed,
                                                         .given_up = &given_up });
    inside_start = false;
    assert_int_equal(rc < 0, weir_dial_idle(dial));
    return rc;
}

/* An address that refuses: it had a listener. */
static struct weir_addr dead_addr(void)
{
    struct weir_addr addr;
    close(rig_tcp_listen(&addr));
    return addr;
}

/* A listener at the same port of the other family; -1: this host has no IPv6. */
static int listen_v6(struct weir_addr *addr)
{
    assert_int_equal(weir_addr_parse_listen(addr, "[::1]:0"), 0);
    int fd = sock_listen(addr, 64, 0);
    if (fd >= 0)
        assert_int_equal(sock_local(fd, addr), 0);
    return fd;
}

/* A backlog that is full drops what comes: the connection is never made. */
struct silent {
    struct weir_addr addr;
    int listener, fillers[8];
};

static void silent_open(struct silent *silent)
{
    assert_int_equal(weir_addr_parse_listen(&silent->addr, "127.0.0.1:0"), 0);
    silent->listener = sock_listen(&silent->addr, 1, 0);
    assert_true(silent->listener >= 0);
    assert_int_equal(sock_local(silent->listener, &silent->addr), 0);
    for (unsigned i = 0; i < 8; i++) {
        silent->fillers[i] = sock_stream(&silent->addr);
        assert_true(silent->fillers[i] >= 0);
        (void)connect(silent->fillers[i], (const void *)&silent->addr.storage, silent->addr.bytes);
    }
}

static void silent_close(const struct silent *silent)
{
    for (unsigned i = 0; i < 8; i++)
        close(silent->fillers[i]);
    close(silent->listener);
}

/* The connection works, and ends. */
static void session_check(struct rig_session *s, struct weir_conn *conn, int listener)
{
    struct rig_peer peer = { .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) };
    assert_true(peer.fd >= 0);
    assert_ptr_equal(conn->user, s);
    assert_ptr_equal(conn->handler, &rig_handler);
    s->conn = conn;
    rig_send(s, 1000);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.read == 1000));
    assert_true(rig_peer_write(&peer, 500));
    RIG_RUN_UNTIL(engine, s->received == 500);
    assert_false(peer.bad || s->bad);
    close(peer.fd);
    weir_conn_close(conn, 0, true);
    RIG_RUN_UNTIL(engine, s->seen[RIG_CLOSED] == 1);
}

/* ---- Tests ------------------------------------------------------------------------------- */

static void test_one_address(void **state)
{
    (void)state;
    struct weir_addr addr;
    struct rig_session s = { 0 };
    struct weir_dial dial = { 0 };
    int listener = rig_tcp_listen(&addr);
    uint64_t timers = engine->wheel.set_count;
    assert_true(weir_dial_idle(&dial));
    assert_int_equal(dial_start(&dial, &addr, 1, 0, &s), 0);
    assert_int_equal(engine->wheel.set_count, timers); /* nothing to wait for but the connection */
    RIG_RUN_UNTIL(engine, s.seen[RIG_OPEN] == 1);
    assert_true(weir_dial_idle(&dial));
    assert_int_equal(dial.attempts_sum, 1);
    assert_int_equal(dial.winner, 0);
    assert_int_equal(dial.family, AF_INET);
    weir_dial_cancel(&dial); /* the winner is not the dial's any more */
    session_check(&s, dial.conn, listener);
    assert_int_equal(failures, 0);
    close(listener);
}

/* The list and the dial are gone before the ring has seen anything of it. */
static void test_memory_is_free_at_once(void **state)
{
    (void)state;
    struct weir_addr *addrs = calloc(2, sizeof *addrs);
    struct weir_dial *dial = calloc(1, sizeof *dial);
    struct rig_session s = { 0 };
    assert_true(addrs != NULL && dial != NULL);
    int listener = rig_tcp_listen(&addrs[0]);
    addrs[1] = addrs[0];
    assert_int_equal(dial_start(dial, addrs, 2, 1, &s), 0);
    weir_dial_cancel(dial);
    assert_true(weir_dial_idle(dial));
    assert_int_equal(given_up, 1);
    memset(addrs, 0xff, 2 * sizeof *addrs);
    memset(dial, 0xff, sizeof *dial);
    free(addrs);
    free(dial);
    RIG_RUN_UNTIL(engine, given_up == 0);
    assert_int_equal(s.seen[RIG_OPEN], 0);
    assert_int_equal(failures, 0);
    close(listener);
}

static void test_refused_then_good(void **state)
{
    (void)state;
    struct weir_addr addrs[3] = { dead_addr(), dead_addr() };
    struct rig_session s = { 0 };
    struct weir_dial dial = { 0 };
    int listener = rig_tcp_listen(&addrs[2]);
    /* Were the delays waited for, half a second would have to pass. */
    assert_int_equal(dial_start(&dial, addrs, 3, weir_engine_clock_ns(engine) + 450 * RIG_MS, &s),
                     0);
    RIG_RUN_UNTIL(engine, s.seen[RIG_OPEN] + failures > 0);
    assert_int_equal(failures, 0);
    assert_int_equal(dial.attempts_sum, 3);
    assert_int_equal(dial.winner, 2);
    session_check(&s, dial.conn, listener);
    /* Next time it comes first. */
    struct weir_addr won = addrs[2], second = addrs[0];
    weir_addr_prefer(addrs, 3, dial.winner);
    assert_true(weir_addr_eq(&addrs[0], &won) && weir_addr_eq(&addrs[1], &second));
    close(listener);
}

static void test_all_dead(void **state)
{
    (void)state;
    struct weir_addr addrs[WEIR_ADDRS_MAX];
    struct weir_dial dial = { 0 };
    for (unsigned i = 0; i < WEIR_ADDRS_MAX; i++)
        addrs[i] = dead_addr();
    for (uint32_t count = 1; count <= WEIR_ADDRS_MAX; count += 5) {
        assert_int_equal(dial_start(&dial, addrs, count, 0, NULL), 0);
        RIG_RUN_UNTIL(engine, failures > 0);
        rig_settle(engine);
        assert_int_equal(failures, 1);
        assert_int_equal(failed_with, -ECONNREFUSED);
        assert_int_equal(dial.attempts_sum, count);
    }
    /* Not one can even be begun: told by the start, and by nobody else. */
    struct weir_addr odd = { .storage.ss_family = AF_UNSPEC, .bytes = sizeof odd.storage };
    assert_true(dial_start(&dial, &odd, 1, 0, NULL) < 0);
    rig_settle(engine);
    assert_int_equal(failures, 0);
    /* One that cannot be begun is passed over. */
    struct rig_session s = { 0 };
    struct weir_addr two[2] = { odd };
    int listener = rig_tcp_listen(&two[1]);
    assert_int_equal(dial_start(&dial, two, 2, 0, &s), 0);
    RIG_RUN_UNTIL(engine, s.seen[RIG_OPEN] == 1);
    assert_int_equal(dial.attempts_sum, 1);
    session_check(&s, dial.conn, listener);
    close(listener);
}

/* A silent one, and a deadline nearer than the next attempt. */
static void test_deadline(void **state)
{
    (void)state;
    struct silent silent;
    struct weir_dial dial = { 0 };
    silent_open(&silent);
    struct weir_addr addrs[2] = { silent.addr, silent.addr };
    uint64_t deadline_ns = weir_engine_clock_ns(engine) + 20 * RIG_MS;
    assert_int_equal(dial_start(&dial, addrs, 2, deadline_ns, NULL), 0);
    RIG_RUN_UNTIL(engine, failures > 0);
    assert_int_equal(failed_with, WEIR_E_CONNECT_TIMEOUT);
    assert_true(weir_engine_clock_ns(engine) >= deadline_ns);
    assert_int_equal(dial.attempts_sum, 1);
    assert_int_equal(given_up, 1);
    /* It is over already when it begins. */
    assert_int_equal(dial_start(&dial, addrs, 2, 1, NULL), 0);
    RIG_RUN_UNTIL(engine, failures > 0);
    assert_int_equal(failed_with, WEIR_E_CONNECT_TIMEOUT);
    RIG_RUN_UNTIL(engine, given_up == 0);
    silent_close(&silent);
}

/* The second is tried while the first is silent; the first is given up. */
static void test_silent_then_good(void **state)
{
    (void)state;
    struct silent silent;
    struct rig_session s = { 0 };
    struct weir_dial dial = { 0 };
    silent_open(&silent);
    struct weir_addr addrs[2] = { silent.addr };
    int listener = rig_tcp_listen(&addrs[1]);
    uint64_t began = weir_engine_clock_ns(engine);
    assert_int_equal(dial_start(&dial, addrs, 2, 0, &s), 0);
    RIG_RUN_UNTIL(engine, s.seen[RIG_OPEN] == 1);
    assert_true(weir_engine_clock_ns(engine) - began >= WEIR_DIAL_STAGGER_NS);
    assert_int_equal(dial.winner, 1);
    assert_int_equal(dial.attempts_sum, 2);
    session_check(&s, dial.conn, listener);
    RIG_RUN_UNTIL(engine, given_up == 0);
    close(listener);
    silent_close(&silent);
}

/* Two of one family, then one of the other: that comes second. */
static void test_families_take_turns(void **state)
{
    (void)state;
    struct rig_session s = { 0 };
    struct weir_dial dial = { 0 };
    struct weir_addr addrs[3] = { dead_addr(), dead_addr() };
    int listener = listen_v6(&addrs[2]);
    if (listener < 0)
        skip();
    assert_int_equal(dial_start(&dial, addrs, 3, 0, &s), 0);
    RIG_RUN_UNTIL(engine, s.seen[RIG_OPEN] == 1);
    assert_int_equal(dial.attempts_sum, 2);
    assert_int_equal(dial.family, AF_INET6);
    session_check(&s, dial.conn, listener);
    close(listener);
}

static void test_cancel_in_every_pass(void **state)
{
    (void)state;
    struct silent silent;
    silent_open(&silent);
    struct weir_addr addrs[4] = { dead_addr(), silent.addr, dead_addr() };
    int listener = rig_tcp_listen(&addrs[3]), fd;
    for (unsigned passes = 0; passes < 6; passes++) {
        struct rig_session s = { 0 };
        struct weir_dial dial = { 0 };
        assert_int_equal(dial_start(&dial, addrs, 4, 0, &s), 0);
        for (unsigned i = 0; i < passes; i++)
            assert_int_equal(weir_engine_run_once(engine, 0), 0);
        assert_int_equal(s.seen[RIG_OPEN], 0); /* the silent one's head start lasts */
        weir_dial_cancel(&dial);
        memset(&dial, 0xff, sizeof dial);
        RIG_RUN_UNTIL(engine, given_up == 0);
        rig_settle(engine);
        assert_int_equal(s.seen[RIG_OPEN], 0);
        assert_int_equal(failures, 0);
    }
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        close(fd);
    close(listener);
    silent_close(&silent);
}

static struct weir_dial again;
static struct weir_addr again_addr;
static unsigned again_left;

static void on_failed_again(struct weir_dial *dial, int err)
{
    assert_int_equal(err, -ECONNREFUSED);
    if (again_left-- == 0)
        return;
    struct weir_dial_config cfg = dial->cfg;
    assert_int_equal(weir_dial_start(dial, engine, &cfg), 0);
}

/* From inside on_failed it may begin anew. */
static void test_again_from_inside(void **state)
{
    (void)state;
    again_addr = dead_addr();
    again_left = 3;
    again = (struct weir_dial){ 0 };
    const struct weir_dial_config cfg = {
        .addrs = &again_addr, .count = 1, .handler = &rig_handler, .on_failed = on_failed_again
    };
    assert_int_equal(weir_dial_start(&again, engine, &cfg), 0);
    RIG_RUN_UNTIL(engine, weir_dial_idle(&again));
    assert_int_equal(again_left, UINT32_MAX);
}

/* No slot is left: the start says so; with others under way it is waited for. */
static void test_shortage(void **state)
{
    (void)state;
    struct silent silent;
    struct weir_dial dials[3] = { { 0 } };
    struct weir_engine_config cfg = rig_config();
    cfg.ring = *(const enum weir_ring_kind *)*state;
    cfg.conns_max = 2;
    rig_close(engine);
    engine = rig_open(&cfg);
    silent_open(&silent);
    assert_int_equal(dial_start(&dials[0], &silent.addr, 1, 0, NULL), 0);
    assert_int_equal(dial_start(&dials[1], &silent.addr, 1, 0, NULL), 0);
    assert_int_equal(dial_start(&dials[2], &silent.addr, 1, 0, NULL), -ENOBUFS);
    weir_dial_cancel(&dials[0]);
    RIG_RUN_UNTIL(engine, given_up == 0);
    struct weir_addr addrs[2] = { silent.addr };
    struct rig_session s = { 0 };
    int listener = rig_tcp_listen(&addrs[1]);
    assert_int_equal(dial_start(&dials[2], addrs, 2, 0, &s), 0);
    rig_run_for(engine, 2 * (uint64_t)WEIR_DIAL_STAGGER_NS);
    assert_int_equal(dials[2].attempts_sum, 1); /* there was no room for another */
    weir_dial_cancel(&dials[1]);
    RIG_RUN_UNTIL(engine, s.seen[RIG_OPEN] == 1);
    assert_int_equal(dials[2].winner, 1);
    session_check(&s, dials[2].conn, listener);
    RIG_RUN_UNTIL(engine, given_up == 0);
    close(listener);
    silent_close(&silent);
}

#define EACH_RING(test)                                                                            \
    { #test "[uring]", test, setup, teardown, (void *)&rings[0] },                                 \
    {                                                                                              \
#test "[epoll]", test, setup, teardown, (void *)&rings[1]                                  \
    }

int main(void)
{
    static enum weir_ring_kind rings[] = { WEIR_RING_URING, WEIR_RING_EPOLL };
    const struct CMUnitTest tests[] = {
        EACH_RING(test_one_address),
        EACH_RING(test_memory_is_free_at_once),
        EACH_RING(test_refused_then_good),
        EACH_RING(test_all_dead),
        EACH_RING(test_deadline),
        EACH_RING(test_silent_then_good),
        EACH_RING(test_families_take_turns),
        EACH_RING(test_cancel_in_every_pass),
        EACH_RING(test_again_from_inside),
        EACH_RING(test_shortage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
