/* SPDX-License-Identifier: MIT */
/*
 * Every fault on demand: at its first, second and fifth opportunity, in a run where nothing else
 * goes wrong. A harmless one must change nothing for the application; the others end what they hit,
 * and nothing else.
 */
#include "run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define SEEDS 6u

struct forced_case {
    const char *name;
    enum sim_fault_kind kind;
    enum sim_scene scene;
    uint64_t times;
    uint32_t failed_max;               /* exchanges that may end with an error */
    void (*also)(struct sim_run *run); /* what else makes an opportunity */
};

struct forced {
    const struct forced_case *c;
    uint64_t nth;
};

/* ---- Runs in which nothing goes wrong ---------------------------------------------------- */

static void exchange_calm(struct sim_run *run, uint32_t id)
{
    struct sim_exchange *x = &run->exchanges[id];
    bool post = id % 2 == 0;
    *x = (struct sim_exchange){ .id = id };
    x->plan = (struct sim_plan){
        .method = post ? WEIR_TEXT("POST") : WEIR_TEXT("GET"),
        .idempotent = !post,
        .ask_bytes = post ? 700 * (id + 1) : 0,
        .answer_bytes = 900 * (id + 1),
        .status = 200,
        .how = (enum sim_answer)(id % SIM_ANSWER_FIN),
        .delay_ns = id % 3 == 0 ? SIM_MS : 0,
    };
}

static void calm(struct sim_run *run)
{
    struct sim_world *w = run->world;
    struct sim_config *c = &run->config;
    memset(w->faults.per_million, 0, sizeof w->faults.per_million);
    w->fds_max = SIM_SOCKS_MAX;
    w->pipe_bytes_max = 4096;
    w->latency_max_ns = 100 * SIM_US;
    *c = (struct sim_config){ .scene = c->scene,
                              .strict = true,
                              .exchanges_count = 12,
                              .body_bytes_max = SIM_BODY_MAX,
                              .dialers_count = 3,
                              .endpoints_count = 1,
                              .drain = true,
                              .drain_ns = UINT64_MAX };
    for (int i = 0; i < 2; i++) {
        weir_engine_config_init(&c->engine[i]);
        c->engine[i].recv_bufs_max = 8;
        c->engine[i].recv_buf_bytes = 512;
        c->engine[i].sq_entries = 32;
        c->engine[i].cq_entries = 64;
    }
    weir_server_config_init(&c->server);
    c->server.listen = "127.0.0.1:0";
    c->server.backlog = SIM_BACKLOG_MAX;
    c->server.pipeline_max = 2;
    weir_client_config_init(&c->client);
    c->client.seed = 1;
    c->client.conns_min = 0;
    c->client.conns_max = 3;
    for (uint32_t i = 0; i < c->exchanges_count; i++)
        exchange_calm(run, i);
}

static void also_nothing(struct sim_run *run)
{
    (void)run;
}

static void also_zero_copy(struct sim_run *run)
{
    run->world->zc = true;
    run->world->pipe_bytes_max = 1u << 20;
    for (uint32_t i = 0; i < run->config.exchanges_count; i++) {
        struct sim_plan *p = &run->exchanges[i].plan;
        p->how = i % 2 == 0 ? SIM_ANSWER_BORROW : SIM_ANSWER_PIECES;
        p->answer_bytes = 80000;
    }
}

/* Near its limit a listener accepts one at a time. */
static void also_one_at_a_time(struct sim_run *run)
{
    run->config.server.conns_max = 32;
}

/* Whoever is in the middle of something when the network breaks is told. */
static void also_careless(struct sim_run *run)
{
    run->config.strict = false;
}

static void also_careless_zero_copy(struct sim_run *run)
{
    also_careless(run);
    also_zero_copy(run);
}

/* Completions that are late before and after each other. */
static void also_late(struct sim_run *run)
{
    also_careless(run);
    run->world->faults.per_million[SIM_CQE_DELAY] = SIM_CERTAIN / 2;
    run->config.client.pipeline_max = 4;
}

/* ---- The table --------------------------------------------------------------------------- */

#define BOTH(kind, times, max, also)                                                               \
    { #kind " client", SIM_##kind, SIM_SCENE_ORIGIN, times, max, also },                           \
    {                                                                                              \
#kind " server", SIM_##kind, SIM_SCENE_DIALER, times, max, also                            \
    }
#define SERVER(kind, times, max, also)                                                             \
    {                                                                                              \
#kind, SIM_##kind, SIM_SCENE_DIALER, times, max, also                                      \
    }
#define WEIR(kind, times, max, also)                                                               \
    {                                                                                              \
#kind, SIM_##kind, SIM_SCENE_WEIR, times, max, also                                        \
    }

static const struct forced_case cases[] = {
    BOTH(RECV_SHORT, 20, 0, also_nothing),
    BOTH(RECV_ONE, 200, 0, also_nothing),
    BOTH(RECV_NOBUFS, 3, 0, also_nothing),
    BOTH(RECV_NOBUFS_BUF, 3, 0, also_nothing),
    BOTH(RECV_END_DATA, 3, 0, also_nothing),
    BOTH(RECV_END_EINTR, 3, 0, also_nothing),
    SERVER(RECV_END_BUF, 1, 0, also_nothing),
    BOTH(RECV_BROKEN, 1, 6, also_careless),
    BOTH(SEND_SHORT, 20, 0, also_nothing),
    BOTH(SEND_ONE, 200, 0, also_nothing),
    BOTH(SEND_EINTR, 5, 0, also_nothing),
    BOTH(SEND_NOMEM, 1, 6, also_careless),
    BOTH(SEND_BROKEN, 1, 6, also_careless),
    WEIR(SEND_TOLD_LATE, 1, 6, also_late),
    SERVER(ZC_NOTIF_LATE, 3, 0, also_zero_copy),
    SERVER(ZC_ERROR_MORE, 1, 0, also_zero_copy),
    SERVER(ZC_ERROR_LAST, 1, 0, also_zero_copy),
    SERVER(ZC_COPIED, 1, 0, also_zero_copy),
    SERVER(ZC_BROKEN_MORE, 1, 6, also_careless_zero_copy),
    WEIR(ACCEPT_END, 1, 0, also_nothing),
    WEIR(ACCEPT_LIMIT, 5, 0, also_nothing),
    WEIR(ACCEPT_LIMIT, 2, 0, also_one_at_a_time),
    WEIR(ACCEPT_ABORTED, 5, 0, also_nothing),
    WEIR(CONNECT_REFUSED, 1, 2, also_careless),
    WEIR(CONNECT_TIMEOUT, 1, 2, also_careless),
    WEIR(CONNECT_NOADDR, 1, 2, also_careless),
    WEIR(SOCKET_EMFILE, 1, 2, also_careless),
    SERVER(CANCEL_FIRST, 3, 0, also_nothing),
    SERVER(CANCEL_LATE, 3, 0, also_nothing),
    SERVER(CANCEL_ALREADY, 3, 0, also_nothing),
    BOTH(CQE_DELAY, 100, 0, also_nothing),
    WEIR(CQE_STALE, 10, 0, also_nothing),
    BOTH(OP_STALL, 20, 0, also_nothing),
    BOTH(ENTER_INTR, 20, 0, also_nothing),
    WEIR(ENTER_PART, 5, 0, also_nothing),
    BOTH(NET_SLOW, 20, 0, also_nothing),
    WEIR(NET_RESET, 1, 6, also_careless),
};
#define CASES_COUNT (sizeof cases / sizeof cases[0])

static void adjust(struct sim_run *run, void *arg)
{
    const struct forced *f = arg;
    struct sim_faults *faults = &run->world->faults;
    calm(run);
    f->c->also(run);
    faults->forced[faults->forced_count++] =
        (struct sim_forced){ .kind = f->c->kind, .nth = f->nth, .times = f->c->times };
}

static void test_forced(void **state)
{
    static const uint64_t nths[] = { 1, 2, 5 };
    const struct forced_case *c = *state;
    uint32_t hits = 0;
    for (uint32_t i = 0; i < sizeof nths / sizeof nths[0]; i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct forced f = { c, nths[i] };
            struct sim_options options = {
                .seed = seed, .scene = c->scene, .adjust = adjust, .arg = &f
            };
            struct sim_outcome outcome = sim_run(&options);
            bool hit = outcome.hits[c->kind] > 0;
            hits += hit;
            assert_true(hit || nths[i] > 1);
            assert_in_range(outcome.failed, 0, c->failed_max);
        }
    assert_true(hits >= SEEDS);
}

/* ---- Shortages and time ------------------------------------------------------------------ */

static struct sim_outcome run_calm(uint64_t seed, enum sim_scene scene,
                                   void (*also)(struct sim_run *run, void *arg))
{
    struct sim_options options = { .seed = seed, .scene = scene, .adjust = also };
    return sim_run(&options);
}

static void adjust_small_queue(struct sim_run *run, void *arg)
{
    (void)arg;
    calm(run);
    for (int i = 0; i < 2; i++) {
        run->config.engine[i].sq_entries = 8;
        run->config.engine[i].cq_entries = 8;
        run->config.engine[i].recv_bufs_max = 32;
    }
    run->world->latency_max_ns = 0;
    run->config.dialers_count = 12;
}

static void test_small_queue(void **state)
{
    uint64_t overflows = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        overflows += run_calm(seed, SIM_SCENE_DIALER, adjust_small_queue).cq_overflows;
    assert_true(overflows > 0);
}

static void adjust_two_buffers(struct sim_run *run, void *arg)
{
    (void)arg;
    calm(run);
    for (int i = 0; i < 2; i++)
        run->config.engine[i].recv_bufs_max = 2;
    run->config.hold_per_million = SIM_CERTAIN / 2;
}

static void test_two_buffers(void **state)
{
    uint64_t starved = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        starved += run_calm(seed, SIM_SCENE_WEIR, adjust_two_buffers).recv_starved;
    assert_true(starved > 0);
}

/* Two seconds at once, again and again: deadlines and completions in the same pass. */
static void adjust_jumps(struct sim_run *run, void *arg)
{
    const uint64_t jitter = 300 * SIM_MS;
    (void)arg;
    calm(run);
    run->config.strict = false;
    run->world->faults.per_million[SIM_CLOCK_JUMP] = SIM_CERTAIN / 10;
    run->config.server.head_timeout_ns = run->config.server.body_timeout_ns = jitter;
    run->config.server.idle_timeout_ns = run->config.server.write_timeout_ns = jitter;
    run->config.client.idle_timeout_ns = run->config.client.connect_timeout_ns = jitter;
    for (uint32_t i = 0; i < run->config.exchanges_count; i++)
        run->exchanges[i].plan.deadline_ns = 1 + i * 100 * SIM_MS;
}

static void test_jumps(void **state)
{
    (void)state;
    for (int scene = 0; scene < SIM_SCENE_COUNT; scene++)
        for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++)
            (void)run_calm(seed, (enum sim_scene)scene, adjust_jumps);
}

/* The same seed is the same run, whatever ran before. */
static void test_repeatable(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct sim_options options = { .seed = seed, .scene = SIM_SCENE_COUNT };
        struct sim_outcome a = sim_run(&options);
        struct sim_outcome b = sim_run(&options);
        assert_memory_equal(&a, &b, sizeof a);
    }
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(test_small_queue),
        cmocka_unit_test(test_two_buffers),
        cmocka_unit_test(test_jumps),
        cmocka_unit_test(test_repeatable),
    };
    struct CMUnitTest tests[CASES_COUNT];
    for (size_t i = 0; i < CASES_COUNT; i++)
        tests[i] = (struct CMUnitTest){ .name = cases[i].name,
                                        .test_func = test_forced,
                                        .initial_state = (void *)(uintptr_t)&cases[i] };
    printf("seeds 1 ... %u\n", SEEDS);
    int failed = cmocka_run_group_tests_name("forced", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("shortages", others, NULL, NULL);
}
