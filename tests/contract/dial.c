/* SPDX-License-Identifier: MIT */
/*
 * Dials by the simulator's clock: when each attempt is made, to the microsecond; and under random
 * faults: one outcome or none, nothing left behind, no memory touched that was given back.
 */
#include "io/dial.h"
#include "sim/ring_sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEED        20260301u
#define SEEDS       400u
#define PORT_GOOD   80
#define PORT_DEAD   81
#define PORT_SILENT 82

/* What a pass may cost beyond what it waited for: passes cost up to 2 us each. */
#define SLACK_NS (500 * SIM_US)

static struct sim_world *world;
static struct weir_engine *engine;
static int listener;
static uint32_t given_up;

/* ---- A dial and what became of it -------------------------------------------------------- */

struct outcome {
    unsigned opened, failed, closed;
    int err;
    uint64_t at_ns;
    struct weir_conn *conn;
    struct weir_dial *expected;
};

static struct outcome outcome;

static void on_open(struct weir_conn *conn)
{
    assert_ptr_equal(conn->user, &outcome);
    assert_ptr_equal(outcome.expected->conn, conn);
    assert_true(weir_dial_idle(outcome.expected));
    outcome.opened++;
    outcome.conn = conn;
    outcome.at_ns = engine->now_ns;
}

static void on_recv(struct weir_conn *conn, struct weir_slice data)
{
    (void)conn;
    (void)data;
}

static void on_event(struct weir_conn *conn)
{
    (void)conn;
}

static void on_closed(struct weir_conn *conn, int err)
{
    assert_ptr_equal(conn, outcome.conn);
    (void)err;
    outcome.closed++;
    outcome.conn = NULL;
}

static const struct weir_conn_handler handler = { .on_open = on_open,
                                                  .on_recv = on_recv,
                                                  .on_eof = on_event,
                                                  .on_sent = on_event,
                                                  .on_timeout = on_event,
                                                  .on_closed = on_closed };

static void on_failed(struct weir_dial *dial, int err)
{
    assert_ptr_equal(dial, outcome.expected);
    outcome.failed++;
    outcome.err = err;
    outcome.at_ns = engine->now_ns;
}

static struct weir_addr addr_at(uint16_t port)
{
    struct weir_addr addr = { .bytes = sizeof(struct sockaddr_in) };
    struct sockaddr_in *in = (void *)&addr.storage;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons(port);
    return addr;
}

/* The world's network is IPv4: a socket of this cannot even be made. */
static struct weir_addr addr_v6(void)
{
    struct weir_addr addr = { .bytes = sizeof(struct sockaddr_in6) };
    addr.storage.ss_family = AF_INET6;
    return addr;
}

static uint64_t begun_ns;

static int dial_start(struct weir_dial *dial, const struct weir_addr *addrs, uint32_t count,
                      uint64_t stagger_ns, uint64_t timeout_ns)
{
    outcome = (struct outcome){ .expected = dial };
    begun_ns = world->now_ns;
    return weir_dial_start(
        dial, engine,
        &(struct weir_dial_config){ .addrs = addrs,
                                    .count = count,
                                    .stagger_ns = stagger_ns,
                                    .deadline_ns = timeout_ns == 0 ? 0 : begun_ns + timeout_ns,
                                    .handler = &handler,
                                    .user = &outcome,
                                    .on_failed = on_failed,
                                    .given_up = &given_up });
}

static void pass(uint64_t wait_ns)
{
    assert_int_equal(weir_engine_run_once(engine, wait_ns), 0);
    sim_ring_check(engine);
}

/* Until the clock is `after_ns` behind the start. */
static void run_until(uint64_t after_ns)
{
    while (world->now_ns < begun_ns + after_ns)
        pass(begun_ns + after_ns - world->now_ns);
}

static void run_to_the_end(const struct weir_dial *dial)
{
    while (!weir_dial_idle(dial))
        pass(SIM_S);
}

#define ASSERT_AFTER(ns)                                                                           \
    do {                                                                                           \
        assert_true(outcome.at_ns >= begun_ns + (ns));                                             \
        assert_true(outcome.at_ns <= begun_ns + (ns) + SLACK_NS);                                  \
    } while (0)

/* ---- The world --------------------------------------------------------------------------- */

static void open_with(uint64_t seed, uint32_t sq_entries)
{
    struct weir_engine_config cfg;
    world = calloc(1, sizeof *world);
    assert_non_null(world);
    sim_world_open(world, seed);
    world->silent_port = PORT_SILENT;
    world->steps_max = UINT64_MAX;
    weir_engine_config_init(&cfg);
    cfg.conns_max = 64;
    cfg.recv_bufs_max = 16;
    cfg.sq_entries = sq_entries;
    cfg.cq_entries = 64;
    cfg.wait = WEIR_WAIT_SLEEP;
    cfg.ring = WEIR_RING_URING;
    weir_ring_override = &weir_ring_sim;
    weir_ring_override_arg = world;
    assert_int_equal(weir_engine_open(&engine, &cfg), 0);
    weir_ring_override = NULL;
    sim_ring_attach(engine);
    struct weir_addr addr = addr_at(PORT_GOOD);
    listener = sim_bind_listen(
        world, (struct weir_sockaddr){ (const void *)&addr.storage, addr.bytes }, 64, false);
    assert_true(listener >= 0);
    given_up = 0;
    outcome = (struct outcome){ 0 };
}

static void close_all(void)
{
    if (outcome.conn != NULL)
        weir_conn_close(outcome.conn, 0, true);
    while (given_up > 0 || outcome.conn != NULL)
        pass(SIM_S);
    sim_ring_check_empty(engine);
    assert_int_equal(weir_engine_close(engine), 0);
    sim_close(world, listener, false);
    sim_world_close(world);
    free(world);
}

static int setup(void **state)
{
    (void)state;
    open_with(SEED, 64);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_all();
    return 0;
}

/* ---- When -------------------------------------------------------------------------------- */

static void a_silent_one_costs_the_stagger(void **state)
{
    (void)state;
    struct weir_dial dial = { 0 };
    const struct weir_addr addrs[] = { addr_at(PORT_SILENT), addr_at(PORT_GOOD) };
    assert_int_equal(dial_start(&dial, addrs, 2, 0, SIM_S), 0);
    run_until(249 * SIM_MS);
    assert_int_equal(dial.attempts_sum, 1);
    run_to_the_end(&dial);
    assert_int_equal(outcome.opened, 1);
    assert_int_equal(dial.winner, 1);
    ASSERT_AFTER(250 * SIM_MS);
    assert_int_equal(given_up, 1);
}

static void a_dead_one_costs_nothing(void **state)
{
    (void)state;
    struct weir_dial dial = { 0 };
    const struct weir_addr addrs[] = { addr_at(PORT_DEAD), addr_v6(), addr_at(PORT_DEAD),
                                       addr_at(PORT_GOOD) };
    assert_int_equal(dial_start(&dial, addrs, 4, 0, SIM_S), 0);
    run_to_the_end(&dial);
    assert_int_equal(outcome.opened, 1);
    assert_int_equal(dial.winner, 3);
    assert_int_equal(dial.attempts_sum, 3); /* that of the other family cannot be made here */
    ASSERT_AFTER(0);
}

/* At 0, 250 and 500 ms, and over at 600. */
static void silence_ends_at_the_deadline(void **state)
{
    (void)state;
    struct weir_dial dial = { 0 };
    const struct weir_addr addrs[] = { addr_at(PORT_SILENT), addr_at(PORT_SILENT),
                                       addr_at(PORT_SILENT) };
    assert_int_equal(dial_start(&dial, addrs, 3, 0, 600 * SIM_MS), 0);
    for (uint32_t i = 1; i <= 3; i++) {
        run_until((i - 1) * 250 * SIM_MS + SIM_MS);
        assert_int_equal(dial.attempts_sum, i);
    }
    run_to_the_end(&dial);
    assert_int_equal(outcome.err, WEIR_E_CONNECT_TIMEOUT);
    ASSERT_AFTER(600 * SIM_MS);
    assert_int_equal(given_up, 3);
}

/* A failure hands the turn on at once, and the head start counts from there. */
static void a_failure_moves_the_turns(void **state)
{
    (void)state;
    struct weir_dial dial = { 0 };
    const struct weir_addr addrs[] = { addr_at(PORT_SILENT), addr_at(PORT_DEAD),
                                       addr_at(PORT_SILENT), addr_at(PORT_GOOD) };
    assert_int_equal(dial_start(&dial, addrs, 4, 100 * SIM_MS, SIM_S), 0);
    run_until(99 * SIM_MS);
    assert_int_equal(dial.attempts_sum, 1);
    run_until(101 * SIM_MS);
    assert_int_equal(dial.attempts_sum, 3);
    run_until(199 * SIM_MS);
    assert_int_equal(dial.attempts_sum, 3);
    run_to_the_end(&dial);
    assert_int_equal(dial.winner, 3);
    ASSERT_AFTER(200 * SIM_MS);
}

/* Less than 10 ms is not allowed (RFC 8305 section 8). */
static void the_least_stagger(void **state)
{
    (void)state;
    struct weir_dial dial = { 0 };
    const struct weir_addr addrs[] = { addr_at(PORT_SILENT), addr_at(PORT_GOOD) };
    assert_int_equal(dial_start(&dial, addrs, 2, 1, 0), 0);
    run_to_the_end(&dial);
    assert_int_equal(outcome.opened, 1);
    ASSERT_AFTER(10 * SIM_MS);
}

/* All places are taken by silent ones: the rest waits for one of them to fail. */
static void attempts_at_once_are_bounded(void **state)
{
    (void)state;
    struct weir_dial dial = { 0 };
    struct weir_addr addrs[WEIR_DIAL_ATTEMPTS_MAX + 1];
    for (uint32_t i = 0; i < WEIR_DIAL_ATTEMPTS_MAX; i++)
        addrs[i] = addr_at(PORT_SILENT);
    addrs[WEIR_DIAL_ATTEMPTS_MAX] = addr_at(PORT_GOOD);
    assert_int_equal(dial_start(&dial, addrs, WEIR_DIAL_ATTEMPTS_MAX + 1, 10 * SIM_MS, 0), 0);
    run_until(SIM_S);
    assert_int_equal(dial.attempts_sum, WEIR_DIAL_ATTEMPTS_MAX);
    /* The network gives one of them up. */
    struct sim_sock *sock = sim_sock(world, dial.attempts[3].conn->fd);
    sock->kind = SIM_FAILED;
    sock->err = -ETIMEDOUT;
    run_to_the_end(&dial);
    assert_int_equal(outcome.opened, 1);
    assert_int_equal(dial.winner, WEIR_DIAL_ATTEMPTS_MAX);
}

/* More are begun than one enter takes: the others are begun in the next pass. */
static void many_in_one_pass(void **state)
{
    (void)state;
    enum { MANY = 20 };
    struct weir_dial dials[MANY] = { { 0 } };
    const struct weir_addr addr = addr_at(PORT_SILENT);
    close_all();
    open_with(SEED, 8);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(dial_start(&dials[i], &addr, 1, 0, 0), 0);
    uint32_t begun = 0;
    for (uint32_t i = 0; i < MANY; i++)
        begun += dials[i].attempts_sum;
    assert_int_equal(begun, 8);
    for (uint32_t i = 0; i < 4; i++)
        pass(0);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(dials[i].attempts_sum, 1);
        weir_dial_cancel(&dials[i]);
    }
}

/* No descriptor: the first cannot begin, which the start tells; the second is tried again. */
static void no_descriptors(void **state)
{
    (void)state;
    struct weir_dial dial = { 0 };
    const struct weir_addr addrs[] = { addr_at(PORT_SILENT), addr_at(PORT_GOOD) };
    struct sim_faults *f = &world->faults;
    f->forced[f->forced_count++] = (struct sim_forced){ SIM_SOCKET_EMFILE, 1, 1 };
    f->forced[f->forced_count++] = (struct sim_forced){ SIM_SOCKET_EMFILE, 3, 2 };
    assert_int_equal(dial_start(&dial, addrs, 2, 0, 0), -EMFILE);
    assert_true(weir_dial_idle(&dial));
    assert_int_equal(dial_start(&dial, addrs, 2, 0, 0), 0);
    run_to_the_end(&dial);
    assert_int_equal(outcome.opened, 1);
    assert_int_equal(outcome.failed, 0);
    ASSERT_AFTER(750 * SIM_MS);
}

/* ---- Under faults ------------------------------------------------------------------------ */

static void faults_make(void)
{
    static const enum sim_fault_kind kinds[] = {
        SIM_CONNECT_REFUSED, SIM_CONNECT_TIMEOUT, SIM_CONNECT_NOADDR, SIM_SOCKET_EMFILE,
        SIM_CANCEL_FIRST,    SIM_CANCEL_LATE,     SIM_CANCEL_ALREADY, SIM_CQE_DELAY,
        SIM_CQE_STALE,       SIM_OP_STALL,        SIM_ENTER_INTR,     SIM_ENTER_PART,
        SIM_CLOCK_JUMP,      SIM_NET_SLOW
    };
    for (uint32_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (sim_below(world, 3) == 0)
            world->faults.per_million[kinds[i]] = (uint32_t)sim_below(world, SIM_CERTAIN / 4);
    world->latency_max_ns = sim_below(world, 300 * SIM_MS);
}

enum { END_OPENED, END_FAILED, END_TIMED_OUT, END_REFUSED, END_CANCELLED, END_COUNT };
static unsigned ends[END_COUNT];

/* One random dial. It ends by itself, or is cancelled; its memory is given back at once. */
static void one_under_faults(void)
{
    static const uint16_t ports[] = { PORT_GOOD, PORT_DEAD, PORT_DEAD, PORT_SILENT };
    uint32_t count = (uint32_t)sim_between(world, 1, WEIR_ADDRS_MAX);
    struct weir_addr *addrs = calloc(count, sizeof *addrs);
    struct weir_dial *dial = calloc(1, sizeof *dial);
    assert_true(addrs != NULL && dial != NULL);
    for (uint32_t i = 0; i < count; i++)
        addrs[i] = sim_below(world, 5) == 0 ? addr_v6() : addr_at(ports[sim_below(world, 4)]);
    uint64_t timeout_ns = sim_between(world, 1, 3 * SIM_S);
    bool cancelled = sim_below(world, 3) == 0;
    uint64_t cancel_ns = world->now_ns + sim_below(world, 2) * sim_below(world, SIM_S);
    int rc = dial_start(dial, addrs, count, sim_below(world, 400 * SIM_MS), timeout_ns);
    while (rc == 0 && !weir_dial_idle(dial) && !(cancelled && world->now_ns >= cancel_ns))
        pass(sim_below(world, 2) * 10 * SIM_MS);
    bool ended = outcome.opened + outcome.failed == 1;
    assert_true(outcome.opened + outcome.failed <= 1);
    assert_int_equal(rc == 0 && !ended, !weir_dial_idle(dial));
    ends[rc < 0                                  ? END_REFUSED
         : !ended                                ? END_CANCELLED
         : outcome.opened == 1                   ? END_OPENED
         : outcome.err == WEIR_E_CONNECT_TIMEOUT ? END_TIMED_OUT
                                                 : END_FAILED]++;
    weir_dial_cancel(dial);
    outcome.expected = NULL;
    memset(addrs, 0xa5, count * sizeof *addrs);
    memset(dial, 0xa5, sizeof *dial);
    free(addrs);
    free(dial);
    unsigned seen = outcome.opened + outcome.failed;
    for (unsigned i = 0; i < 4; i++)
        pass(SIM_MS);
    assert_int_equal(outcome.opened + outcome.failed, seen);
    if (outcome.conn != NULL)
        weir_conn_close(outcome.conn, 0, true);
    while (outcome.conn != NULL)
        pass(SIM_S);
}

/* Every way to end is reached. */
static void random_faults(void **state)
{
    (void)state;
    memset(ends, 0, sizeof ends);
    for (uint32_t i = 1; i <= SEEDS; i++) {
        close_all();
        open_with(i, 8u << i % 4);
        faults_make();
        for (unsigned n = 0; n < 3; n++)
            one_under_faults();
        memset(world->faults.per_million, 0, sizeof world->faults.per_million);
    }
    print_message("%u opened, %u failed, %u timed out, %u refused, %u cancelled\n",
                  ends[END_OPENED], ends[END_FAILED], ends[END_TIMED_OUT], ends[END_REFUSED],
                  ends[END_CANCELLED]);
    for (unsigned i = 0; i < END_COUNT; i++)
        assert_true(ends[i] > SEEDS / 40);
}

int main(void)
{
    print_message("seed %u, and 1 ... %u\n", SEED, SEEDS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_silent_one_costs_the_stagger, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_one_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_ends_at_the_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_moves_the_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(the_least_stagger, setup, teardown),
        cmocka_unit_test_setup_teardown(attempts_at_once_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(many_in_one_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(no_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(random_faults, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
