/* SPDX-License-Identifier: MIT */
#include "mock/model/replica.c"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MS         UINT64_C(1000000)
#define OWNERS     8
#define TOKENS_MAX 32

/* A step is 2 ms and 0.1 ms for each sequence that decodes. */
static const struct model_engine_cfg plain = { .cost = { .base_ps = 2 * MS * 1000,
                                                         .per_seq_ps = MS * 100 },
                                               .max_num_seqs = 4,
                                               .max_num_batched_tokens = 64,
                                               .max_model_len = 128,
                                               .waiting_max = 4,
                                               .blocks_count = 64,
                                               .block_tokens = 4 };

/* What happened to one sequence, and what it does when something does. */
struct owner {
    uint64_t handle;
    uint32_t admitted, tokens;
    bool ended;
    uint64_t due_ns[TOKENS_MAX];
    struct owner *cancels; /* with its first token */
    struct owner *submits; /* with its last one */
    bool retires;          /* with its last one */
};

struct rig {
    struct weir_engine *engine;
    struct replica *replica;
    struct owner owners[OWNERS];
};

static struct rig *rig;

static void submit(struct owner *owner, uint64_t arrival_ns, uint32_t prompt, uint32_t output)
{
    const struct model_request request = { .prompt = { .key = (uintptr_t)owner },
                                           .prompt_tokens = prompt,
                                           .output_tokens = output,
                                           .arrival_ns = arrival_ns,
                                           .owner = owner };
    assert_int_equal(replica_submit(&owner->handle, rig->replica, &request), 0);
}

static void on_admitted(void *ctx, uint32_t cached_tokens, uint64_t at_ns)
{
    struct owner *owner = ctx;
    assert_int_equal(cached_tokens, 0);
    assert_true(at_ns <= weir_engine_clock_ns(rig->engine));
    owner->admitted++;
}

static void on_token(void *ctx, uint32_t count, bool last, uint64_t due_ns)
{
    struct owner *owner = ctx;
    assert_true(due_ns <= weir_engine_clock_ns(rig->engine)); /* never early */
    assert_true(owner->admitted > 0);
    assert_false(owner->ended);
    assert_int_equal(count, owner->tokens + 1);
    assert_true(owner->tokens < TOKENS_MAX);
    owner->due_ns[owner->tokens++] = due_ns;
    owner->ended = last;
    if (count == 1 && owner->cancels != NULL) {
        replica_cancel(rig->replica, owner->cancels->handle);
        owner->cancels = NULL;
    }
    if (last && owner->submits != NULL)
        submit(owner->submits, due_ns, 4, 2);
    if (last && owner->retires)
        replica_retire(rig->replica);
}

static const struct replica_handler handler = { .on_admitted = on_admitted, .on_token = on_token };

/* Until `owner` has ended. */
static void run(const struct owner *owner)
{
    uint64_t deadline_ns = weir_engine_clock_ns(rig->engine) + 10000 * MS;
    while (!owner->ended) {
        assert_int_equal(weir_engine_run_once(rig->engine, 100 * MS), 0);
        assert_true(weir_engine_clock_ns(rig->engine) < deadline_ns);
    }
}

static int setup(void **state)
{
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    (void)state;
    rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    assert_int_equal(weir_engine_open(&rig->engine, &cfg), 0);
    assert_int_equal(replica_open(&rig->replica, rig->engine, &plain, &handler), 0);
    return 0;
}

/* What retires has released itself. */
static int teardown(void **state)
{
    (void)state;
    bool retired = false;
    for (int i = 0; i < OWNERS; i++)
        retired |= rig->owners[i].retires;
    if (!retired)
        replica_close(rig->replica);
    assert_int_equal(weir_engine_close(rig->engine), 0);
    free(rig);
    return 0;
}

/* One alone: its times follow from its arrival and the costs, to the nanosecond. */
static void test_alone(void **state)
{
    (void)state;
    struct owner *owner = &rig->owners[0];
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    submit(owner, now_ns, 4, 5);
    assert_int_equal(owner->tokens, 0); /* nothing comes from within */
    assert_int_equal(replica_stats(rig->replica).num_requests_running +
                         replica_stats(rig->replica).num_requests_waiting,
                     1);
    run(owner);
    assert_int_equal(owner->tokens, 5);
    assert_int_equal(owner->admitted, 1);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(owner->due_ns[i], now_ns + 2 * MS + i * 21 * MS / 10);
    assert_int_equal(replica_stats(rig->replica).finished_total, 1);
    assert_int_equal(replica_stats(rig->replica).kv_blocks_used, 0);
    assert_false(weir_timer_is_set(&rig->replica->timer)); /* idle is asleep */
}

/* Those of one turn are in the same steps. */
static void test_together(void **state)
{
    (void)state;
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    for (int i = 0; i < 4; i++)
        submit(&rig->owners[i], now_ns, 4, 3);
    run(&rig->owners[3]);
    for (int i = 0; i < 4; i++)
        for (uint64_t t = 0; t < 3; t++)
            assert_int_equal(rig->owners[i].due_ns[t], now_ns + 2 * MS + t * 24 * MS / 10);
}

/* One whose time has not come does not hold up one that is there. */
static void test_future_arrival(void **state)
{
    (void)state;
    struct owner *later = &rig->owners[0], *now = &rig->owners[1];
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    submit(later, now_ns + 40 * MS, 4, 1);
    submit(now, now_ns, 4, 1);
    run(now);
    assert_int_equal(now->due_ns[0], now_ns + 2 * MS);
    assert_false(later->ended);
    assert_true(weir_engine_clock_ns(rig->engine) < now_ns + 42 * MS);
    run(later);
    assert_int_equal(later->due_ns[0], now_ns + 42 * MS);
}

static void test_cancel(void **state)
{
    (void)state;
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    /* Later in the same step: its token is not handed out any more. */
    rig->owners[0].cancels = &rig->owners[1];
    for (int i = 0; i < 3; i++)
        submit(&rig->owners[i], now_ns, 4, 3);
    run(&rig->owners[2]);
    assert_int_equal(rig->owners[1].tokens, 0);
    assert_int_equal(rig->owners[2].tokens, 3);
    assert_int_equal(replica_stats(rig->replica).cancelled_total, 1);
    /* From outside, before anything of it was computed; and one that has ended already. */
    submit(&rig->owners[3], weir_engine_clock_ns(rig->engine), 4, 3);
    replica_cancel(rig->replica, rig->owners[3].handle);
    replica_cancel(rig->replica, rig->owners[2].handle);
    assert_int_equal(replica_stats(rig->replica).cancelled_total, 2);
    assert_int_equal(rig->replica->sequences_count, 0);
    assert_int_equal(replica_stats(rig->replica).kv_blocks_used, 0);
}

/* A handler submits: its sequence begins with the step behind. */
static void test_submit_within(void **state)
{
    (void)state;
    rig->owners[0].submits = &rig->owners[1];
    submit(&rig->owners[0], weir_engine_clock_ns(rig->engine), 4, 2);
    run(&rig->owners[1]);
    assert_int_equal(rig->owners[1].tokens, 2);
    assert_int_equal(rig->owners[1].due_ns[0], rig->owners[0].due_ns[1] + 2 * MS);
}

/* More than may run and wait. */
static void test_full(void **state)
{
    (void)state;
    uint64_t handle = 0, now_ns = weir_engine_clock_ns(rig->engine);
    struct model_request request = {
        .prompt_tokens = 4, .output_tokens = 1, .arrival_ns = now_ns, .owner = &rig->owners[7]
    };
    for (int i = 0; i < 8; i++)
        submit(&rig->owners[i], now_ns, 4, 1);
    assert_int_equal(replica_submit(&handle, rig->replica, &request), WEIR_E_QUEUE_FULL);
    request.output_tokens = 1000;
    assert_int_equal(replica_submit(&handle, rig->replica, &request), -E2BIG);
    assert_int_equal(rig->replica->sequences_count, 8);
    run(&rig->owners[7]);
    assert_int_equal(rig->replica->sequences_count, 0);
}

/* It is there until its last sequence has ended, and then no more: a sanitizer knows. */
static void test_retire(void **state)
{
    (void)state;
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    submit(&rig->owners[0], now_ns, 4, 4);
    submit(&rig->owners[1], now_ns, 4, 2);
    rig->owners[1].retires = true; /* from within a handler, the other still runs */
    run(&rig->owners[0]);
    assert_int_equal(rig->owners[0].tokens, 4);
}

static void test_retire_with_the_last(void **state)
{
    (void)state;
    submit(&rig->owners[0], weir_engine_clock_ns(rig->engine), 4, 2);
    rig->owners[0].retires = true;
    run(&rig->owners[0]);
}

static void test_retire_then_cancel(void **state)
{
    (void)state;
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    submit(&rig->owners[0], now_ns, 4, 4);
    submit(&rig->owners[1], now_ns, 4, 4);
    rig->owners[2].retires = true; /* for teardown() */
    replica_retire(rig->replica);
    replica_cancel(rig->replica, rig->owners[0].handle);
    replica_cancel(rig->replica, rig->owners[1].handle);
}

static void test_retire_idle(void **state)
{
    (void)state;
    rig->owners[0].retires = true;
    replica_retire(rig->replica);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_future_arrival, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_submit_within, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retire, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retire_with_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retire_then_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retire_idle, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
