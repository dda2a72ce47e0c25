/* SPDX-License-Identifier: MIT */
/*
 * Servers that close connections, and requests that can be sent again: nobody is told of it. Closed
 * when they are unused, at random moments, with a request perhaps on its way; or announced with
 * every n-th answer.
 */
#include "fault/hostile.h"

#define CALLS   (SANITIZED ? 8000 : 100000)
#define AT_ONCE 24
#define CONNS   16
#define SLACK   (2 * MIB)

static struct hostile server;
static struct ask asks[AT_ONCE];
static uint8_t *answered; /* by number: times */
static struct weir_client *client;
static unsigned next_id, ended_count, failed_count, calls_count;
static uint64_t random_state;
static uint64_t close_every;   /* an answer says that it is the last one of its connection */
static uint32_t close_one_in;  /* answers, and turns of an unused connection, that end it */
static uint64_t dropped_count; /* requests that came when the server had decided to close */
static bool close_hard;
static bool resting[AT_ONCE]; /* so that some connections are unused */

/* ---- The server -------------------------------------------------------------------------- */

static uint64_t below(uint64_t n)
{
    return hostile_random(&random_state) % n;
}

static void server_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (hostile_request(c, &id)) {
        if (c->due_ns != 0 || c->shut || c->then != HOSTILE_KEEP) {
            dropped_count++;
            continue;
        }
        assert_true(id < calls_count);
        answered[id]++;
        hostile_answer(c, id, close_every != 0 && c->requests % close_every == 0);
        /* At once behind its answer, or a moment later: it takes no more requests. */
        if (close_one_in != 0 && below(close_one_in) == 0)
            c->due_ns = weir_clock_ns() + (below(3) == 0 ? 0 : below(MS / 10));
    }
}

static void server_step(struct hostile_conn *c)
{
    if (close_one_in == 0 || c->shut || c->then != HOSTILE_KEEP || c->requests == 0)
        return;
    if (c->due_ns == 0 && c->out_len == 0 && c->in_len == 0 && below(close_one_in * 10) == 0)
        c->due_ns = 1;
    if (c->due_ns != 0 && weir_clock_ns() >= c->due_ns)
        c->then = close_hard && below(2) == 0 ? HOSTILE_CLOSE : HOSTILE_FIN;
}

/* ---- The calls --------------------------------------------------------------------------- */

static void on_ended(struct ask *a);

static void start(struct ask *a)
{
    resting[a - asks] = false;
    if (next_id == calls_count)
        return;
    ask_init(a, next_id++);
    a->ended = on_ended;
    ask_send(client, a);
}

static void on_ended(struct ask *a)
{
    ended_count++;
    if (a->err != 0) {
        print_message("call %u: %s, replayed %d, reused %d\n", a->id, weir_err_name(a->err),
                      a->call.timing.replayed, a->call.timing.reused);
        failed_count++;
    } else {
        ask_right(a);
    }
    if (close_one_in != 0 && below(6) == 0)
        resting[a - asks] = true;
    else
        start(a);
}

static bool all_ended(void)
{
    for (size_t i = 0; i < AT_ONCE; i++)
        if (resting[i] && below(16) == 0)
            start(&asks[i]);
    return ended_count == calls_count;
}

static void run(unsigned calls)
{
    const struct hostile_script script = { .on_bytes = server_bytes, .on_step = server_step };
    struct weir_client_config cfg;
    calls_count = calls;
    next_id = ended_count = failed_count = 0;
    dropped_count = 0;
    memset(resting, 0, sizeof resting);
    random_state = hostile_seed();
    answered = calloc(calls, 1);
    assert_non_null(answered);
    hostile_open(&server, &script);
    engine_open(&rig.engine);
    hostile_client_config(&cfg, &server);
    cfg.conns_max = CONNS;
    client = hostile_client(&cfg);
    for (size_t i = 0; i < AT_ONCE; i++)
        start(&asks[i]);
    HOSTILE_UNTIL(&server, all_ended());
    assert_int_equal(failed_count, 0);
    for (unsigned i = 0; i < calls; i++)
        if (answered[i] != 1)
            fail_msg("request %u was answered %u times", i, answered[i]);
    free(answered);
}

static struct weir_client_stats finish(void)
{
    struct weir_client_stats s = client_stats(client);
    assert_int_equal(s.completed, calls_count);
    assert_int_equal(s.failed, 0);
    assert_int_equal(s.sent, calls_count + s.replays);
    assert_int_equal(s.retries, 0);
    assert_in_range(server.requests, calls_count, s.sent);
    assert_int_equal(server.requests - calls_count, dropped_count);
    print_message("%u calls, %" PRIu64 " replays, %" PRIu64 " of them seen, %" PRIu64
                  " connections, %" PRIu64 " closed unused, reused %.2f %%\n",
                  calls_count, s.replays, dropped_count, s.conns, s.closed_by_peer,
                  100.0 * (double)s.reused / (double)s.sent);
    hostile_end(&server, client, SLACK);
    return s;
}

/* ---- Tests ------------------------------------------------------------------------------- */

static void test_closed_unused(void **state)
{
    (void)state;
    close_every = 0;
    close_one_in = 60;
    close_hard = false;
    run(CALLS / 2);
    assert_true(finish().replays > calls_count / 400);
}

static void test_closed_hard(void **state)
{
    (void)state;
    close_every = 0;
    close_one_in = 60;
    close_hard = true;
    run(CALLS / 4);
    assert_true(finish().replays > calls_count / 400);
}

/* Most connections are stale at any time: a call that goes out again must not meet another. */
static void test_closed_often(void **state)
{
    (void)state;
    close_every = 0;
    close_one_in = 3;
    close_hard = true;
    run(CALLS / 20);
    assert_true(finish().replays > calls_count / 400);
}

static void announced(uint64_t every, unsigned calls)
{
    close_every = every;
    close_one_in = 0;
    run(calls);
    struct weir_client_stats s = finish();
    /* It was told beforehand: nothing is ever sent in vain. */
    assert_int_equal(s.replays, 0);
    assert_int_equal(server.requests, calls_count);
    double reused = (double)s.reused / (double)s.sent;
    assert_true(every == 1 ? s.reused == 0 : reused > 0.95 * (1.0 - 1.0 / (double)every));
    assert_true(every < 100 || reused > 0.95);
}

static void test_every(void **state)
{
    (void)state;
    announced(1, CALLS / 20);
}

static void test_every_3rd(void **state)
{
    (void)state;
    announced(3, CALLS / 16);
}

static void test_every_10th(void **state)
{
    (void)state;
    announced(10, CALLS / 16);
}

static void test_every_100th(void **state)
{
    (void)state;
    announced(100, CALLS / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_closed_unused, rig_setup),
        cmocka_unit_test_setup(test_closed_hard, rig_setup),
        cmocka_unit_test_setup(test_closed_often, rig_setup),
        cmocka_unit_test_setup(test_every, rig_setup),
        cmocka_unit_test_setup(test_every_3rd, rig_setup),
        cmocka_unit_test_setup(test_every_10th, rig_setup),
        cmocka_unit_test_setup(test_every_100th, rig_setup),
    };
    return cmocka_run_group_tests_name("client replay", tests, pattern_fill, NULL);
}
