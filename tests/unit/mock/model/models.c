/* SPDX-License-Identifier: MIT */
#include "mock/model/models.c"

#include <weir/random.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

/* Byte for byte: clients have compared it. */
#define LIST(first, second)                                                                        \
    "[{\"id\":\"bitnet-7b\",\"name\":\"BitNet b1.58 7B\",\"context_window\":4096,"                 \
    "\"max_output_tokens\":2048,\"type\":\"text-generation\",\"quantization\":\"b1.58\","          \
    "\"status\":\"" first "\"},"                                                                   \
    "{\"id\":\"llama-13b\",\"name\":\"Llama 13B\",\"context_window\":4096,"                        \
    "\"max_output_tokens\":2048,\"type\":\"text-generation\",\"quantization\":\"none\","           \
    "\"status\":\"" second "\"}]"

/* A configuration as far as models read one. */
static void config_begin(struct config *config, const char *delay)
{
    *config = (struct config){ .latency = { .multiplier = { [CONFIG_UNLOAD] = 2 } } };
    assert_int_equal(weir_dist_parse(&config->latency.delay, delay), 0);
}

static void config_end(struct config *config)
{
    for (uint32_t i = 0; i < config->models_count; i++)
        weir_dist_close(config->models[i].unload);
    weir_dist_close(config->latency.delay);
}

static struct config_model *config_add(struct config *config, const char *id, const char *name)
{
    struct config_model *model = &config->models[config->models_count++];
    snprintf(model->id, sizeof model->id, "%s", id);
    snprintf(model->name, sizeof model->name, "%s", name);
    return model;
}

static void config_two(struct config *config)
{
    config_begin(config, "1ms");
    config_add(config, "bitnet-7b", "BitNet b1.58 7B");
    config_add(config, "llama-13b", "Llama 13B");
}

static int find(struct models *models, const char *id)
{
    return models_find(models, slice_of(id));
}

static void expect_list(struct models *models, uint64_t now_ns, const char *wanted)
{
    struct text text = { 0 };
    assert_int_equal(models_list(models, now_ns, &text), 0);
    assert_int_equal(text.len, strlen(wanted));
    assert_memory_equal(text.ptr, wanted, text.len);
    text_free(&text);
}

static void expect(struct residency_answer answer, enum residency_verdict verdict,
                   uint64_t ready_ns)
{
    assert_int_equal(answer.verdict, verdict);
    assert_int_equal(answer.ready_ns, ready_ns);
}

static void test_list(void **state)
{
    (void)state;
    static struct models models;
    struct config config;
    config_two(&config);
    assert_int_equal(models_open(&models, &config), 0);
    config_end(&config); /* nothing of it is needed any longer */
    int bitnet = find(&models, "bitnet-7b"), llama = find(&models, "llama-13b");
    expect_list(&models, 0, LIST("unloaded", "unloaded"));
    expect(models_load(&models, llama, 5, 0), RESIDENCY_DONE, 5);
    expect_list(&models, 5, LIST("unloaded", "loaded"));
    expect(models_load(&models, bitnet, 10, 100), RESIDENCY_ACCEPTED, 110);
    expect_list(&models, 10, LIST("loading", "loaded"));
    expect_list(&models, 109, LIST("loading", "loaded"));
    expect(models_unload(&models, llama, 109, 3), RESIDENCY_ACCEPTED, 112);
    expect_list(&models, 109, LIST("loading", "unloading"));
    expect_list(&models, 110, LIST("loaded", "unloading"));
    expect_list(&models, 111, LIST("loaded", "unloading"));
    expect_list(&models, 112, LIST("loaded", "unloaded"));
    /* A thread that is behind does not see the past again. */
    expect_list(&models, 100, LIST("loaded", "unloaded"));
    expect(models_load(&models, llama, 100, 0), RESIDENCY_DONE, 112);
    expect(models_unload(&models, llama, 100, 0), RESIDENCY_DONE, 112);
    expect(models_load(&models, MODEL_UNKNOWN, 120, 0), RESIDENCY_DONE, 120);
    expect(models_unload(&models, MODEL_UNKNOWN, 120, 4), RESIDENCY_ACCEPTED, 124);
    expect(models_use(&models, MODEL_UNKNOWN, 120), RESIDENCY_ABSENT, 0);
    models_release(&models, MODEL_UNKNOWN, 120);
    expect_list(&models, 120, LIST("loaded", "unloaded"));
    models_reset(&models);
    expect_list(&models, 121, LIST("unloaded", "unloaded"));
    models_close(&models);
}

/* It is not made again while nothing changes. */
static void test_list_cached(void **state)
{
    (void)state;
    static struct models models;
    struct config config;
    config_two(&config);
    assert_int_equal(models_open(&models, &config), 0);
    config_end(&config);
    struct text text = { 0 };
    text_put(&text, "before:");
    assert_int_equal(models_list(&models, 0, &text), 0);
    assert_memory_equal(text.ptr, "before:[{", 9);
    models.list.ptr[0] = '<'; /* a mark in what is kept */
    text.len = 0;
    assert_int_equal(models_list(&models, 1, &text), 0);
    assert_memory_equal(text.ptr, "<{", 2);
    expect(models_load(&models, 0, 5, 10), RESIDENCY_ACCEPTED, 15);
    expect_list(&models, 5, LIST("loading", "unloaded"));
    models.list.ptr[0] = '<';
    text.len = 0;
    assert_int_equal(models_list(&models, 14, &text), 0);
    assert_memory_equal(text.ptr, "<{", 2);
    expect_list(&models, 15, LIST("loaded", "unloaded"));
    text_free(&text);
    models_close(&models);
}

static void test_names(void **state)
{
    (void)state;
    static struct models models;
    struct config config;
    config_begin(&config, "1ms");
    config_add(&config, "a\"b", "\\ \xC3\xBC");
    assert_int_equal(models_open(&models, &config), 0);
    expect_list(&models, 0,
                "[{\"id\":\"a\\\"b\",\"name\":\"\\\\ \xC3\xBC\",\"context_window\":4096,"
                "\"max_output_tokens\":2048,\"type\":\"text-generation\","
                "\"quantization\":\"none\",\"status\":\"unloaded\"}]");
    assert_int_equal(find(&models, "a\"b"), models_number(&models, &config, 0));
    assert_int_equal(models_number(&models, &config, -1), MODEL_UNKNOWN);
    assert_int_equal(models_number(&models, &config, 1), MODEL_UNKNOWN);
    static const char *const unknown[] = { "", "a", "a\"", "a\"b ", "A\"B" };
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(find(&models, unknown[i]), MODEL_UNKNOWN);
    config.models_count = 0;
    assert_int_equal(models_reconfigure(&models, &config, 0), 0);
    expect_list(&models, 0, "[]");
    assert_int_equal(find(&models, ""), MODEL_UNKNOWN);
    config_end(&config);
    models_close(&models);
}

static void expect_view(struct models *models, uint64_t now_ns, uint64_t used_bytes,
                        uint32_t loaded_count)
{
    struct models_view view;
    models_view(&view, models, now_ns);
    assert_int_equal(view.used_bytes, used_bytes);
    assert_int_equal(view.loaded_count, loaded_count);
}

/* Memory, eviction and totals, by number and in order of the configuration. */
static void test_memory(void **state)
{
    (void)state;
    static struct models models;
    struct config config;
    config_begin(&config, "3ns");
    config.memory = (struct residency_cfg){ .capacity_bytes = 100, .overflow = RESIDENCY_EVICT };
    *config_add(&config, "a", "A") =
        (struct config_model){ .id = "a", .memory_bytes = 60, .loaded = true };
    struct config_model *b = config_add(&config, "b", "B");
    b->memory_bytes = 30;
    b->loaded = b->pinned = true;
    config_add(&config, "c", "C")->memory_bytes = 70;
    assert_int_equal(weir_dist_parse(&b->unload, "50ns"), 0);
    b->memory_bytes = 41;
    assert_int_equal(models_open(&models, &config), -EINVAL);
    b->memory_bytes = 30;
    assert_int_equal(models_open(&models, &config), 0);
    int a_number = find(&models, "a"), c_number = find(&models, "c");
    expect(models_use(&models, a_number, 10), RESIDENCY_DONE, 10);
    expect(models_use(&models, c_number, 10), RESIDENCY_ABSENT, 0);
    expect(models_unload(&models, a_number, 10, 0), RESIDENCY_BUSY, 0);
    expect(models_load(&models, c_number, 10, 5), RESIDENCY_FULL, 0);
    expect_view(&models, 10, 90, 2);
    models_release(&models, a_number, 20);
    /* Evicting takes what unloading takes: 3 ns times 2. */
    expect(models_load(&models, c_number, 20, 5), RESIDENCY_ACCEPTED, 20 + 6 + 5);
    assert_int_equal(models_state(&models, a_number, 20), RESIDENCY_UNLOADING);
    expect(models_use(&models, c_number, 21), RESIDENCY_BUSY, 31);
    assert_int_equal(models_advance(&models, 22), 26);
    assert_int_equal(models_advance(&models, 26), 31);
    assert_true(models_advance(&models, 31) == RESIDENCY_NEVER);
    assert_int_equal(models_state(&models, c_number, 31), RESIDENCY_LOADED);
    struct models_view view;
    models_view(&view, &models, 31);
    assert_int_equal(view.entries_count, 3);
    assert_int_equal(view.capacity_bytes, 100);
    assert_string_equal(view.entries[2].id, "c");
    assert_int_equal(view.entries[2].memory_bytes, 70);
    assert_int_equal(view.entries[2].state, RESIDENCY_LOADED);
    assert_int_equal(view.stats.loads_total, 1);
    assert_int_equal(view.stats.evictions_total, 1);
    assert_int_equal(view.stats.refusals_total, 1);
    models_reset(&models);
    models_view(&view, &models, 31);
    assert_int_equal(view.loaded_count, 2);
    assert_int_equal(view.entries[2].state, RESIDENCY_UNLOADED);
    assert_int_equal(view.stats.loads_total + view.stats.evictions_total, 0);
    config_end(&config);
    models_close(&models);
}

/* ---- Another configuration --------------------------------------------------------------- */

static void test_reconfigure(void **state)
{
    (void)state;
    static struct models models;
    struct config first, second;
    config_begin(&first, "1ms");
    config_add(&first, "a", "A")->memory_bytes = 10;
    config_add(&first, "b", "B")->memory_bytes = 20;
    config_add(&first, "c", "C")->memory_bytes = 30;
    assert_int_equal(models_open(&models, &first), 0);
    int a = find(&models, "a"), b = find(&models, "b"), c = find(&models, "c");
    expect(models_load(&models, a, 1, 0), RESIDENCY_DONE, 1);
    expect(models_load(&models, b, 1, 0), RESIDENCY_DONE, 1);
    expect(models_load(&models, c, 1, 100), RESIDENCY_ACCEPTED, 101);
    expect(models_use(&models, a, 2), RESIDENCY_DONE, 2);
    expect(models_use(&models, b, 2), RESIDENCY_DONE, 2);

    /* `b` is gone, the others have changed places, `d` is new, `e` is too large to be loaded. */
    config_begin(&second, "1ms");
    second.memory.capacity_bytes = 100;
    config_add(&second, "c", "C")->memory_bytes = 30;
    config_add(&second, "d", "D")->loaded = true;
    config_add(&second, "a", "a longer name")->memory_bytes = 15;
    struct config_model *e = config_add(&second, "e", "E");
    e->memory_bytes = 90;
    e->loaded = true;
    second.models[1].memory_bytes = 11;
    assert_int_equal(models_reconfigure(&models, &second, 50), -EINVAL);
    assert_int_equal(models_state(&models, b, 50), RESIDENCY_LOADED);
    second.models[1].memory_bytes = 10;
    assert_int_equal(models_reconfigure(&models, &second, 50), 0);
    assert_int_equal(find(&models, "a"), a);
    assert_int_equal(find(&models, "b"), MODEL_UNKNOWN);
    assert_int_equal(find(&models, "c"), c);
    assert_int_equal(models_number(&models, &first, 0), a);
    assert_int_equal(models_number(&models, &first, 1), MODEL_UNKNOWN);
    assert_int_equal(models_number(&models, &second, 0), c);
    assert_int_equal(models_state(&models, a, 50), RESIDENCY_LOADED);
    assert_int_equal(models_state(&models, c, 50), RESIDENCY_LOADING);
    assert_int_equal(models_state(&models, find(&models, "d"), 50), RESIDENCY_LOADED);
    assert_int_equal(models_state(&models, find(&models, "e"), 50), RESIDENCY_UNLOADED);
    expect_view(&models, 101, 30 + 10 + 15, 3);
    expect(models_unload(&models, a, 101, 0), RESIDENCY_BUSY, 0);
    models_release(&models, a, 102);
    expect(models_unload(&models, a, 102, 0), RESIDENCY_DONE, 102);

    /* What is not configured any more: nothing can be done with it, but it is given back. */
    expect(models_load(&models, b, 103, 0), RESIDENCY_ABSENT, 0);
    expect(models_unload(&models, b, 103, 0), RESIDENCY_ABSENT, 0);
    expect(models_use(&models, b, 103), RESIDENCY_ABSENT, 0);
    assert_int_equal(models_state(&models, b, 103), RESIDENCY_UNLOADED);
    models_release(&models, b, 103);

    /* And back again: `b` is new and has the number it had. */
    assert_int_equal(models_reconfigure(&models, &first, 104), 0);
    assert_int_equal(find(&models, "b"), b);
    assert_int_equal(models_state(&models, b, 104), RESIDENCY_UNLOADED);
    assert_int_equal(models_state(&models, c, 104), RESIDENCY_LOADED);
    expect(models_load(&models, b, 105, 0), RESIDENCY_DONE, 105);
    expect(models_unload(&models, b, 106, 0), RESIDENCY_DONE, 106);
    config_end(&first);
    config_end(&second);
    models_close(&models);
}

static void config_many(struct config *config, int first)
{
    config_begin(config, "1ms");
    for (int i = 0; i < CONFIG_MODELS_MAX; i++) {
        char id[32];
        snprintf(id, sizeof id, "model-%d", first + i);
        config_add(config, id, id)->loaded = true;
    }
}

/* A number is given once: what was written down of a model stays true. */
static void test_numbers(void **state)
{
    (void)state;
    enum { CONFIGS = MODELS_NUMBERS_MAX / CONFIG_MODELS_MAX };
    static struct models models;
    static struct config configs[CONFIGS + 1];
    for (int i = 0; i <= CONFIGS; i++)
        config_many(&configs[i], i * CONFIG_MODELS_MAX);
    assert_int_equal(models_open(&models, &configs[0]), 0);
    for (int i = 0; i < CONFIGS; i++) {
        assert_int_equal(models_reconfigure(&models, &configs[i], 1), 0);
        for (int k = 0; k < CONFIG_MODELS_MAX; k++) {
            int number = models_number(&models, &configs[i], k);
            assert_int_equal(number, i * CONFIG_MODELS_MAX + k);
            assert_string_equal(models_name(&models, number), configs[i].models[k].id);
        }
    }
    assert_int_equal(models_reconfigure(&models, &configs[CONFIGS], 1), -ENOSPC);
    assert_int_equal(models_number(&models, &configs[CONFIGS], 0), MODEL_UNKNOWN);
    assert_int_equal(models_number(&models, &configs[CONFIGS - 1], 0),
                     (CONFIGS - 1) * CONFIG_MODELS_MAX);
    /* Those that had one have it again. */
    assert_int_equal(models_reconfigure(&models, &configs[0], 2), 0);
    assert_int_equal(models_number(&models, &configs[0], 5), 5);
    assert_null(models_name(&models, MODEL_UNKNOWN));
    for (int i = 0; i <= CONFIGS; i++)
        config_end(&configs[i]);
    models_close(&models);
}

/* A model that stays keeps its number, though nobody uses it and all others are given out. */
static void test_numbers_stay(void **state)
{
    (void)state;
    static struct models models;
    static struct config config;
    config_many(&config, 0);
    assert_int_equal(models_open(&models, &config), 0);
    for (int round = 1; round < 15; round++) {
        for (int i = 0; i < CONFIG_MODELS_MAX; i++)
            if (i != 40)
                snprintf(config.models[i].id, sizeof config.models[i].id, "m-%d-%d", round, i);
        assert_int_equal(models_reconfigure(&models, &config, 1), 0);
        assert_int_equal(models_number(&models, &config, 40), 40);
        for (int i = 0; i < CONFIG_MODELS_MAX; i++) {
            int number = models_number(&models, &config, i);
            assert_int_equal(number, find(&models, config.models[i].id));
            assert_true((number == 40) == (i == 40));
        }
    }
    config_end(&config);
    models_close(&models);
}

/* ---- Random ------------------------------------------------------------------------------ */

#define RANDOM_SEED   17
#define RANDOM_STEPS  30000
#define RANDOM_IDS    9
#define RANDOM_CONFIG 5

static uint64_t random_draws;

static uint64_t draw(uint64_t below)
{
    return weir_random_u64(RANDOM_SEED, 0, random_draws++) % below;
}

/* Some of the ids, in some order. */
static void config_random(struct config *config)
{
    int ids[RANDOM_IDS];
    for (int i = 0; i < RANDOM_IDS; i++)
        ids[i] = i;
    config_begin(config, "20ns");
    config->memory =
        (struct residency_cfg){ .capacity_bytes = 1000 + draw(1000),
                                .overflow = draw(2) ? RESIDENCY_EVICT : RESIDENCY_REFUSE };
    uint64_t count = draw(RANDOM_IDS + 1);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t pick = i + draw(RANDOM_IDS - i);
        int id = ids[pick];
        ids[pick] = ids[i];
        char name[32];
        snprintf(name, sizeof name, "model-%d", id);
        struct config_model *model = config_add(config, name, name);
        model->memory_bytes = 100 + draw(400);
        model->pinned = draw(8) == 0;
        model->loaded = i < 2 && draw(3) == 0;
    }
}

/* Uses that a test knows of, by number. */
static void check_uses(struct models *models, const uint32_t *uses, uint64_t now_ns)
{
    struct models_view view;
    models_view(&view, models, now_ns);
    for (uint32_t i = 0; i < view.entries_count; i++) {
        int number = find(models, view.entries[i].id);
        assert_int_equal(models->entries[number].index, i);
        assert_int_equal(view.entries[i].uses_count, uses[number]);
        assert_int_equal(models->entries[number].uses_count, uses[number]);
    }
}

static void random_step(struct models *models, struct config *configs, uint32_t *uses,
                        uint64_t now_ns)
{
    const struct config *config = &configs[draw(RANDOM_CONFIG)];
    int number = models_number(models, config, (int)draw(RANDOM_IDS));
    enum residency_state before = models_state(models, number, now_ns);
    switch (draw(40)) {
    case 0:
        assert_int_equal(models_reconfigure(models, config, now_ns), 0);
        for (uint32_t i = 0; i < config->models_count; i++)
            assert_int_equal(models_number(models, config, (int)i),
                             models_find(models, slice_of(config->models[i].id)));
        /* It was configured and still is; one that was loaded may have made room for a new one. */
        assert_true(number == MODEL_UNKNOWN || before == RESIDENCY_LOADED ||
                    models_state(models, number, now_ns) == before);
        break;
    case 1:
        if (draw(10) == 0)
            models_reset(models);
        break;
    case 2 ... 11:
        models_load(models, number, now_ns, draw(3) * draw(50));
        break;
    case 12 ... 17:
        models_unload(models, number, now_ns, draw(3) * draw(50));
        break;
    case 18 ... 27:
        if (models_use(models, number, now_ns).verdict == RESIDENCY_DONE)
            uses[number]++;
        break;
    default:
        number = (int)draw(2 * RANDOM_IDS); /* configured or not */
        if (uses[number] > 0) {
            models_release(models, number, now_ns);
            uses[number]--;
        }
        break;
    }
}

/* Whatever is reconfigured in between, uses and states stay with their models. */
static void test_random(void **state)
{
    (void)state;
    print_message("seed %d\n", RANDOM_SEED);
    static struct models models;
    static struct config configs[RANDOM_CONFIG];
    for (int i = 0; i < RANDOM_CONFIG; i++)
        config_random(&configs[i]);
    assert_int_equal(models_open(&models, &configs[0]), 0);
    uint32_t uses[MODELS_NUMBERS_MAX] = { 0 };
    uint64_t now_ns = 0;
    for (int step = 0; step < RANDOM_STEPS; step++) {
        now_ns += draw(2) * draw(20);
        random_step(&models, configs, uses, now_ns);
        check_uses(&models, uses, now_ns);
    }
    for (int i = 0; i < RANDOM_CONFIG; i++)
        config_end(&configs[i]);
    models_close(&models);
}

/* ---- Threads ----------------------------------------------------------------------------- */

#define THREADS      4
#define THREAD_TURNS 3000

struct shared {
    struct models models;
    struct config configs[2];
    atomic_uint_fast64_t now_ns;
    atomic_int wrong;
};

struct user {
    struct shared *shared;
    uint64_t number;
};

static bool list_is_well_formed(struct models *models, struct text *text, uint64_t now_ns)
{
    text->len = 0;
    if (models_list(models, now_ns, text) != 0)
        return false;
    json_error_t err;
    json_t *list = json_loadb(text->ptr, text->len, 0, &err);
    size_t count = json_array_size(list);
    json_decref(list);
    return count == 2 || count == CONFIG_MODELS_MAX;
}

static void *user_main(void *arg)
{
    const struct user *user = arg;
    struct shared *shared = user->shared;
    struct text text = { 0 };
    for (uint64_t turn = 0; turn < THREAD_TURNS; turn++) {
        uint64_t random = weir_random_u64(RANDOM_SEED, user->number, turn);
        uint64_t now_ns = atomic_fetch_add(&shared->now_ns, random % 7);
        const struct config *config = &shared->configs[random >> 8 & 1];
        int number = models_number(&shared->models, config, (int)((random >> 16) % 3));
        bool used = models_use(&shared->models, number, now_ns).verdict == RESIDENCY_DONE;
        if ((random >> 24) % 2 == 0)
            models_load(&shared->models, number, now_ns, (random >> 32) % 30);
        else
            models_unload(&shared->models, number, now_ns, (random >> 32) % 30);
        if (turn % 16 == user->number && models_reconfigure(&shared->models, config, now_ns) != 0)
            atomic_fetch_add(&shared->wrong, 1);
        if (turn % 8 == 0 && !list_is_well_formed(&shared->models, &text, now_ns))
            atomic_fetch_add(&shared->wrong, 1);
        if (used)
            models_release(&shared->models, number, now_ns);
    }
    text_free(&text);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    static struct shared shared;
    struct user users[THREADS];
    pthread_t threads[THREADS];
    config_two(&shared.configs[0]);
    config_many(&shared.configs[1], 0);
    assert_int_equal(models_open(&shared.models, &shared.configs[0]), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        users[i] = (struct user){ .shared = &shared, .number = i };
        assert_int_equal(pthread_create(&threads[i], NULL, user_main, &users[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&shared.wrong), 0);
    for (int i = 0; i < MODELS_NUMBERS_MAX; i++)
        assert_int_equal(shared.models.entries[i].uses_count, 0);
    config_end(&shared.configs[0]);
    config_end(&shared.configs[1]);
    models_close(&shared.models);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),         cmocka_unit_test(test_list_cached),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_reconfigure),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_numbers_stay), cmocka_unit_test(test_random),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
