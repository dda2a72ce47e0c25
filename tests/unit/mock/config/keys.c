/* SPDX-License-Identifier: MIT */
#include "mock/config/keys.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "unit/mock/config/rig.h"

static void test_defaults(void **state)
{
    (void)state;
    struct config *config = rig_open("{}");
    assert_int_equal(config->seed, 0);
    assert_false(config->strict_models || config->require_loaded || config->overrides);
    assert_int_equal(config->startup_ns, 0);
    assert_int_equal(config->tokens, 100);
    assert_null(config->output_tokens);
    assert_int_equal(config->models_count, 2);
    assert_string_equal(config->models[0].id, "bitnet-7b");
    assert_string_equal(config->models[1].name, "Llama 13B");
    assert_int_equal(weir_dist_quantile_ns(config->latency.delay, 1), 0);
    assert_int_equal(weir_dist_quantile_ns(config->latency.itl, 1), 0);
    assert_null(config->latency.ttft);
    assert_null(config->latency.prefill);
    assert_true(config->latency.multiplier[CONFIG_LOAD] == 10);
    assert_true(config->latency.multiplier[CONFIG_HEALTH] == 0);
    const struct limiter_limits *limits = &config->limits.concurrency;
    assert_int_equal(limits->max, 100);
    assert_int_equal(limits->queue_depth, -1);
    assert_int_equal(limits->overflow, LIMITER_WAIT);
    assert_int_equal(config->limits.retry_after_s, 1);
    assert_int_equal(config->saturation.loop_lag_ns, 1000000);
    assert_int_equal(config->faults_count, 0);
    rig_tree(config, "models",
             "[{'id':'bitnet-7b','name':'BitNet b1.58 7B','memory_bytes':0,'load':null,"
             "'unload':null,'loaded':false,'pinned':false},"
             "{'id':'llama-13b','name':'Llama 13B','memory_bytes':0,'load':null,'unload':null,"
             "'loaded':false,'pinned':false}]");
    rig_tree(config, "memory", "{'capacity_bytes':0,'overflow':'refuse'}");
    rig_tree(config, "latency",
             "{'delay':'0','multiplier':{'list':1,'load':10,'unload':1,'infer':2,'health':0},"
             "'ttft':null,'itl':'0','prefill':null}");
    rig_tree(config, "limits",
             "{'preset':null,'max_concurrency':100,'queue_depth':-1,'queue_timeout_us':0,"
             "'overflow':'wait','order':'fifo','retry_after_s':1,'rpm':0,'tpm':0}");
    rig_tree(config, "faults", "[]");
    rig_tree(config, "saturation", "{'schedule_error_us':1000,'loop_lag_us':1000}");
    rig_tree(config, "output_tokens", "null");
    config_drop(config);
}

static void test_values(void **state)
{
    (void)state;
    struct config *config = rig_open(
        "{'seed':9223372036854775807,'strict_models':true,'require_loaded':true,'overrides':true,"
        "'startup_us':5,'tokens':1000000,'output_tokens':{'min':3,'max':3},"
        "'models':[{'id':'a','load':'1ms','unload':{'dist':'fixed','value_us':2},'loaded':true,"
        "'pinned':true,'memory_bytes':72057594037927936}],"
        "'memory':{'capacity_bytes':72057594037927936,'overflow':'evict'},"
        "'latency':{'delay':'5ms','multiplier':{'infer':0.5},'ttft':'1ms','itl':'2ms',"
        "'prefill':'3us'},'limits':{'max_concurrency':0,'queue_depth':7,'queue_timeout_us':8,"
        "'overflow':503,'order':'lifo','retry_after_s':0,'rpm':60,'tpm':90000},"
        "'saturation':{'schedule_error_us':5,'loop_lag_us':6}}");
    assert_int_equal(config->seed, INT64_MAX);
    assert_true(config->strict_models && config->require_loaded && config->overrides);
    assert_int_equal(config->startup_ns, 5000);
    assert_int_equal(config->tokens, 1000000);
    assert_int_equal(weir_dist_draw_ns(config->output_tokens, 0, 0, 0), 3);
    assert_int_equal(config->models_count, 1);
    const struct config_model *model = &config->models[0];
    assert_string_equal(model->name, "a");
    assert_int_equal(weir_dist_draw_ns(model->load, 0, 0, 0), 1000000);
    assert_int_equal(weir_dist_draw_ns(model->unload, 0, 0, 0), 2000);
    assert_true(model->loaded && model->pinned);
    assert_int_equal(model->memory_bytes, RESIDENCY_BYTES_MAX);
    assert_int_equal(config->memory.overflow, RESIDENCY_EVICT);
    assert_int_equal(weir_dist_draw_ns(config->latency.prefill, 0, 0, 0), 3000);
    assert_true(config->latency.multiplier[CONFIG_INFER] == 0.5);
    const struct limiter_limits *limits = &config->limits.concurrency;
    assert_int_equal(limits->max, 0);
    assert_int_equal(limits->queue_depth, 7);
    assert_int_equal(limits->queue_timeout_ns, 8000);
    assert_int_equal(limits->overflow, LIMITER_503);
    assert_int_equal(limits->order, LIMITER_LIFO);
    assert_int_equal(config->limits.retry_after_s, 0);
    assert_int_equal(config->limits.requests_per_minute, 60);
    assert_int_equal(config->limits.tokens_per_minute, 90000);
    assert_int_equal(config->saturation.schedule_error_ns, 5000);
    assert_int_equal(config->saturation.loop_lag_ns, 6000);
    rig_tree(config, "models.0.unload", "{'dist':'fixed','value_us':2}");
    rig_tree(config, "limits.overflow", "503");
    config_drop(config);
    config = rig_open("{'limits':{'preset':'vllm','queue_depth':3}}");
    assert_int_equal(config->limits.concurrency.max, 5);
    assert_int_equal(config->limits.concurrency.queue_depth, 3);
    assert_int_equal(config->limits.concurrency.overflow, LIMITER_429);
    config_drop(config);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        { "5", "", "configuration: expected an object, got 5" },
        { "{'sead':1}", "/sead", "sead: no such key; did you mean seed?" },
        { "{'seed':-1}", "/seed",
          "seed: expected an integer from 0 to 9223372036854775807, got -1" },
        { "{'zebra':1}", "/zebra",
          "zebra: no such key; there are seed, strict_models, require_loaded, overrides, "
          "half_close, startup_us, tokens, output_tokens, models, memory, engine, latency, "
          "limits, faults, "
          "saturation" },
        { "{'limits':{'que_depth':1}}", "/limits/que_depth",
          "limits.que_depth: no such key; did you mean queue_depth?" },
        { "{'limits':{'queue_timeout':1}}", "/limits/queue_timeout",
          "limits.queue_timeout: no such key; did you mean queue_timeout_us?" },
        { "{'limits':{'overflow':'drop'}}", "/limits/overflow",
          "limits.overflow: expected 'wait', '429' or '503', got 'drop'" },
        { "{'limits':{'overflow':500}}", "/limits/overflow",
          "limits.overflow: expected 'wait', '429' or '503', got 500" },
        { "{'limits':{'preset':'vlm'}}", "/limits/preset",
          "limits.preset: expected 'vllm', got 'vlm'; did you mean 'vllm'?" },
        { "{'limits':{'queue_depth':-2}}", "/limits/queue_depth",
          "limits.queue_depth: expected an integer from -1 to 1000000000, got -2" },
        { "{'tokens':0}", "/tokens", "tokens: expected an integer from 1 to 1000000, got 0" },
        { "{'output_tokens':5}", "/output_tokens",
          "output_tokens: expected {'min','max'}, {'mean','stddev'} or {'median','p99'}, got 5" },
        { "{'models':[]}", "/models", "models: expected at least one model, got none" },
        { "{'models':{}}", "/models", "models: expected an array, got an object" },
        { "{'models':['a']}", "/models/0", "models[0]: expected an object, got 'a'" },
        { "{'models':[{}]}", "/models/0/id", "models[0].id: missing" },
        { "{'models':[{'id':''}]}", "/models/0/id",
          "models[0].id: expected a text of 1 to 95 bytes without control characters, got ''" },
        { "{'models':[{'id':'a'},{'id':'a'}]}", "/models/1/id",
          "models[1].id: another model has the id 'a'" },
        { "{'models':[{'id':'a','load':7}]}", "/models/0/load",
          "models[0].load: expected a latency such as '5ms' or {'dist':'fixed','value_us':5000}, "
          "got 7" },
        { "{'models':[{'id':'a','memory_bytes':9,'loaded':true}],'memory':{'capacity_bytes':8}}",
          "/memory/capacity_bytes",
          "memory.capacity_bytes: expected no less than what the models take that are loaded "
          "from the beginning, which is 9, got 8" },
        { "{'latency':{'delay':{'dist':'table','points':[[0,1],[50]]}}}", "/latency/delay/points/1",
          "latency.delay.points[1]: expected [percentage, microseconds], got an array" },
        { "{'latency':{'delay':'lognormal:median=5ms,p99=1ms'}}", "/latency/delay",
          "latency.delay: lognormal: the higher percentile is less than the median" },
        { "{'latency':{'multiplier':{'infer':1001}}}", "/latency/multiplier/infer",
          "latency.multiplier.infer: expected a number from 0 to 1000, got 1001" },
        { "{'overrides':'yes'}", "/overrides", "overrides: expected true or false, got 'yes'" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        rig_refused(cases[i][0], cases[i][1], cases[i][2]);
}

static void test_most_models(void **state)
{
    (void)state;
    json_t *models = json_array(), *tree = json_pack("{s:o}", "models", models);
    for (int i = 0; i < CONFIG_MODELS_MAX; i++)
        json_array_append_new(models, json_pack("{s:s++}", "id", "model", "/", i < 10 ? "x" : "y"));
    struct config *config = NULL;
    struct config_error err;
    assert_int_equal(config_open(&config, tree, NULL, &err), -EINVAL);
    assert_string_equal(err.pointer, "/models/1/id");
    json_array_clear(models);
    for (int i = 0; i < CONFIG_MODELS_MAX; i++) {
        char id[CONFIG_NAME_BYTES];
        snprintf(id, sizeof id, "%0*d", CONFIG_NAME_BYTES - 1, i);
        json_array_append_new(models, json_pack("{s:s}", "id", id));
    }
    assert_int_equal(config_open(&config, tree, NULL, &err), 0);
    assert_int_equal(config->models_count, CONFIG_MODELS_MAX);
    config_drop(config);
    json_array_append_new(models, json_pack("{s:s}", "id", "one more"));
    assert_int_equal(config_open(&config, tree, NULL, &err), -EINVAL);
    assert_string_equal(err.text, "models: expected at most 64 elements, got 65");
    json_decref(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_most_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
