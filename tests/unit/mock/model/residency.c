/* SPDX-License-Identifier: MIT */
#include "mock/model/residency.c"

#include <weir/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct residency_model three[] = {
    { .memory_bytes = 60, .unload_ns = 5 },
    { .memory_bytes = 30, .unload_ns = 7 },
    { .memory_bytes = 40, .unload_ns = 9 },
};

static void open_three(struct residency *residency, enum residency_overflow overflow)
{
    const struct residency_cfg cfg = { .capacity_bytes = 100, .overflow = overflow };
    assert_int_equal(residency_open(residency, &cfg, three, 3), 0);
}

static void expect(struct residency_answer answer, enum residency_verdict verdict,
                   uint64_t ready_ns)
{
    assert_int_equal(answer.verdict, verdict);
    assert_int_equal(answer.ready_ns, ready_ns);
}

static void test_open(void **state)
{
    (void)state;
    struct residency residency;
    struct residency_model models[RESIDENCY_MODELS_MAX + 1] = {
        { .memory_bytes = 60, .loaded = true }, { .memory_bytes = 41, .loaded = true }
    };
    struct residency_cfg cfg = { .capacity_bytes = 100 };
    assert_int_equal(residency_open(&residency, &cfg, models, 2), -EINVAL);
    models[1].memory_bytes = UINT64_MAX;
    assert_int_equal(residency_open(&residency, &cfg, models, 2), -EINVAL);
    assert_int_equal(residency_open(&residency, &cfg, models, RESIDENCY_MODELS_MAX + 1), -EINVAL);
    models[1].memory_bytes = 40;
    assert_int_equal(residency_open(&residency, &cfg, models, RESIDENCY_MODELS_MAX), 0);
    assert_int_equal(residency_state(&residency, 0), RESIDENCY_LOADED);
    assert_int_equal(residency_state(&residency, 2), RESIDENCY_UNLOADED);
    assert_int_equal(residency_used_bytes(&residency, 0), 100);
    cfg.capacity_bytes = 0;
    models[1].memory_bytes = RESIDENCY_BYTES_MAX;
    assert_int_equal(residency_open(&residency, &cfg, models, 2), 0);
    cfg.capacity_bytes = RESIDENCY_BYTES_MAX + 1;
    assert_int_equal(residency_open(&residency, &cfg, models, 2), -EINVAL);
}

static void test_life(void **state)
{
    (void)state;
    struct residency r;
    open_three(&r, RESIDENCY_REFUSE);
    assert_true(residency_advance(&r, 0) == RESIDENCY_NEVER);
    expect(residency_use(&r, 0, 1), RESIDENCY_ABSENT, 0);
    expect(residency_unload(&r, 0, 1, 5), RESIDENCY_DONE, 1);
    expect(residency_load(&r, 0, 10, 1000), RESIDENCY_ACCEPTED, 1010);
    assert_int_equal(residency_used_bytes(&r, 10), 60);
    assert_int_equal(residency_advance(&r, 11), 1010);
    expect(residency_load(&r, 0, 20, 1000), RESIDENCY_ACCEPTED, 1010); /* it goes on as it was */
    expect(residency_unload(&r, 0, 20, 5), RESIDENCY_BUSY, 1010);
    expect(residency_use(&r, 0, 1009), RESIDENCY_BUSY, 1010);
    assert_int_equal(residency_state(&r, 0), RESIDENCY_LOADING);
    expect(residency_use(&r, 0, 1010), RESIDENCY_DONE, 1010);
    expect(residency_load(&r, 0, 1011, 1000), RESIDENCY_DONE, 1011);
    expect(residency_unload(&r, 0, 1012, 5), RESIDENCY_BUSY, 0); /* in use */
    residency_release(&r, 0, 1013);
    expect(residency_unload(&r, 0, 1014, 5), RESIDENCY_ACCEPTED, 1019);
    expect(residency_unload(&r, 0, 1015, 5), RESIDENCY_ACCEPTED, 1019);
    expect(residency_load(&r, 0, 1016, 5), RESIDENCY_BUSY, 1019);
    expect(residency_use(&r, 0, 1018), RESIDENCY_BUSY, 1019);
    assert_int_equal(residency_used_bytes(&r, 1018), 60);
    assert_int_equal(residency_used_bytes(&r, 1019), 0);
    expect(residency_use(&r, 0, 1019), RESIDENCY_ABSENT, 0);
    assert_int_equal(r.stats.loads_total, 1);
    assert_int_equal(r.stats.unloads_total, 1);
}

/* What takes no time is so at once. */
static void test_at_once(void **state)
{
    (void)state;
    struct residency r;
    open_three(&r, RESIDENCY_REFUSE);
    expect(residency_load(&r, 0, 10, 0), RESIDENCY_DONE, 10);
    expect(residency_use(&r, 0, 10), RESIDENCY_DONE, 10);
    residency_release(&r, 0, 10);
    expect(residency_unload(&r, 0, 10, 0), RESIDENCY_DONE, 10);
    expect(residency_load(&r, 1, 10, 0), RESIDENCY_DONE, 10);
}

static void test_refuse(void **state)
{
    (void)state;
    struct residency r;
    open_three(&r, RESIDENCY_REFUSE);
    expect(residency_load(&r, 0, 0, 10), RESIDENCY_ACCEPTED, 10);
    expect(residency_load(&r, 1, 0, 10), RESIDENCY_ACCEPTED, 10);
    expect(residency_load(&r, 2, 5, 10), RESIDENCY_FULL, 0);
    expect(residency_unload(&r, 0, 20, 5), RESIDENCY_ACCEPTED, 25);
    expect(residency_load(&r, 2, 24, 10), RESIDENCY_FULL, 0); /* not free yet */
    expect(residency_load(&r, 2, 25, 10), RESIDENCY_ACCEPTED, 35);
    assert_int_equal(r.stats.refusals_total, 2);
    assert_int_equal(residency_used_bytes(&r, 25), 70);
}

static void test_evict(void **state)
{
    (void)state;
    struct residency r;
    open_three(&r, RESIDENCY_EVICT);
    expect(residency_load(&r, 0, 0, 10), RESIDENCY_ACCEPTED, 10);
    expect(residency_load(&r, 1, 0, 10), RESIDENCY_ACCEPTED, 10);
    /* Neither may go while it loads. */
    expect(residency_load(&r, 2, 5, 10), RESIDENCY_FULL, 0);
    expect(residency_use(&r, 0, 20), RESIDENCY_DONE, 20);
    residency_release(&r, 0, 21);
    /* Model 1 was used the longest time ago, but frees 30 of the 30 needed: 60 + 40 fit. */
    struct residency_answer answer = residency_load(&r, 2, 30, 10);
    expect(answer, RESIDENCY_ACCEPTED, 30 + 7 + 10);
    assert_int_equal(answer.evicted, 1U << 1);
    assert_int_equal(residency_state(&r, 1), RESIDENCY_UNLOADING);
    assert_int_equal(residency_used_bytes(&r, 36), 90);
    assert_int_equal(residency_used_bytes(&r, 37), 100);
    assert_int_equal(residency_advance(&r, 31), 37);
    assert_int_equal(residency_advance(&r, 37), 47);
    expect(residency_use(&r, 2, 47), RESIDENCY_DONE, 47);
    /* Model 2 is in use: 0 goes, though it was used later than nothing else. */
    answer = residency_load(&r, 1, 50, 10);
    expect(answer, RESIDENCY_ACCEPTED, 50 + 5 + 10);
    assert_int_equal(answer.evicted, 1U << 0);
    assert_int_equal(r.stats.evictions_total, 2);
}

/* One that need not go stays, and who is pinned stays in any case. */
static void test_evict_no_more_than_needed(void **state)
{
    (void)state;
    struct residency r;
    const struct residency_model models[] = {
        { .memory_bytes = 10, .loaded = true },
        { .memory_bytes = 80, .loaded = true },
        { .memory_bytes = 70 },
        { .memory_bytes = 10, .loaded = true, .pinned = true },
        { .memory_bytes = 91 },
    };
    const struct residency_cfg cfg = { .capacity_bytes = 100, .overflow = RESIDENCY_EVICT };
    assert_int_equal(residency_open(&r, &cfg, models, 5), 0);
    struct residency before = r;
    expect(residency_load(&r, 4, 1, 10), RESIDENCY_FULL, 0);
    before.stats.refusals_total++;
    assert_memory_equal(&before, &r, sizeof(r));
    struct residency_answer answer = residency_load(&r, 2, 1, 10);
    expect(answer, RESIDENCY_ACCEPTED, 11);
    assert_int_equal(answer.evicted, 1U << 1);
    assert_int_equal(residency_state(&r, 0), RESIDENCY_LOADED);
}

/* Two loads wait for evictions: each for its own bytes, and neither longer than it must. */
static void test_shared_wait(void **state)
{
    (void)state;
    struct residency r;
    const struct residency_model models[] = {
        { .memory_bytes = 60, .unload_ns = 100, .loaded = true },
        { .memory_bytes = 40, .unload_ns = 50, .loaded = true },
        { .memory_bytes = 60 },
        { .memory_bytes = 40 },
    };
    const struct residency_cfg cfg = { .capacity_bytes = 100, .overflow = RESIDENCY_EVICT };
    assert_int_equal(residency_open(&r, &cfg, models, 4), 0);
    expect(residency_load(&r, 2, 10, 5), RESIDENCY_ACCEPTED, 115);
    assert_int_equal(residency_used_bytes(&r, 10), 100);
    expect(residency_load(&r, 3, 10, 5), RESIDENCY_ACCEPTED, 65);
    for (uint64_t now = 10; now < 130; now++)
        assert_true(residency_used_bytes(&r, now) <= 100);
    assert_int_equal(residency_used_bytes(&r, 120), 100);
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(residency_status(RESIDENCY_DONE), 200);
    assert_int_equal(residency_status(RESIDENCY_ACCEPTED), 202);
    assert_int_equal(residency_status(RESIDENCY_ABSENT), 404);
    assert_int_equal(residency_status(RESIDENCY_BUSY), 409);
    assert_int_equal(residency_status(RESIDENCY_FULL), 507);
}

#define RANDOM_SEED   5
#define RANDOM_ROUNDS 200
#define RANDOM_CALLS  300
#define RANDOM_MODELS 7

static uint64_t round_number, draws;

static uint64_t draw(uint64_t below)
{
    return weir_random_u64(RANDOM_SEED, round_number, draws++) % below;
}

/* One call at `now`; the answer must be what the state before it allows. */
static void random_call(struct residency *r, uint32_t *uses, uint64_t now)
{
    uint32_t model = (uint32_t)draw(RANDOM_MODELS);
    residency_advance(r, now);
    enum residency_state before = residency_state(r, model);
    struct residency_answer answer;
    switch (draw(4)) {
    case 0:
        answer = residency_load(r, model, now, draw(3) * draw(50));
        assert_true((answer.verdict == RESIDENCY_BUSY) == (before == RESIDENCY_UNLOADING));
        assert_true(before != RESIDENCY_LOADED || answer.verdict == RESIDENCY_DONE);
        for (uint32_t i = 0; i < RANDOM_MODELS; i++)
            assert_true((answer.evicted >> i & 1) == 0 || (uses[i] == 0 && !r->models[i].pinned));
        break;
    case 1:
        answer = residency_unload(r, model, now, draw(30));
        assert_true((answer.verdict == RESIDENCY_BUSY) ==
                    (before == RESIDENCY_LOADING || uses[model] > 0));
        break;
    case 2:
        answer = residency_use(r, model, now);
        assert_true((answer.verdict == RESIDENCY_DONE) == (before == RESIDENCY_LOADED));
        uses[model] += answer.verdict == RESIDENCY_DONE;
        break;
    default:
        if (uses[model] > 0) {
            residency_release(r, model, now);
            uses[model]--;
        }
        break;
    }
}

/* Never above the capacity, at any time to come either; who is used stays loaded. */
static void test_random(void **state)
{
    (void)state;
    print_message("seed %d\n", RANDOM_SEED);
    for (round_number = 0; round_number < RANDOM_ROUNDS; round_number++) {
        draws = 0;
        struct residency_model models[RANDOM_MODELS] = { 0 };
        for (uint32_t i = 0; i < RANDOM_MODELS; i++)
            models[i] = (struct residency_model){ .memory_bytes = 1 + draw(60),
                                                  .unload_ns = draw(30),
                                                  .pinned = draw(8) == 0 };
        const struct residency_cfg cfg = { .capacity_bytes = 100,
                                           .overflow =
                                               draw(4) == 0 ? RESIDENCY_REFUSE : RESIDENCY_EVICT };
        struct residency r;
        assert_int_equal(residency_open(&r, &cfg, models, RANDOM_MODELS), 0);
        uint32_t uses[RANDOM_MODELS] = { 0 };
        uint64_t now = 0;
        for (int call = 0; call < RANDOM_CALLS; call++) {
            now += draw(2) * draw(20);
            random_call(&r, uses, now);
            for (uint32_t i = 0; i < RANDOM_MODELS; i++) {
                assert_true(uses[i] == 0 || residency_state(&r, i) == RESIDENCY_LOADED);
                uint64_t then = r.models[i].begin_ns > now ? r.models[i].begin_ns : now;
                assert_true(residency_used_bytes(&r, then) <= cfg.capacity_bytes);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),        cmocka_unit_test(test_life),
        cmocka_unit_test(test_at_once),     cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_evict),       cmocka_unit_test(test_evict_no_more_than_needed),
        cmocka_unit_test(test_shared_wait), cmocka_unit_test(test_status),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
