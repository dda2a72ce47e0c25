/* SPDX-License-Identifier: MIT */
/*
 * The load on an engine and a client that are played here, in virtual time: what a call comes to
 * and when is up to the test, so that every count and every instant can be told in advance.
 */
#include "perf/worker.c"
#include "perf/result.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define US    UINT64_C(1000)
#define MS    UINT64_C(1000000)
#define BEGIN (1000 * MS) /* the window's begin, and the clock's when the threads start */

#define PENDING_MAX 64
#define TASKS_MAX   8

/* What becomes of a call. */
struct outcome {
    uint64_t delay_ns;
    int err, os_err;
    uint16_t status;
};

struct weir_engine {
    pthread_mutex_t lock;
    struct weir_task *tasks[TASKS_MAX];
    uint32_t tasks_count;
    struct weir_timer *timers[PENDING_MAX];
    struct weir_call *calls[PENDING_MAX];
    uint64_t call_end_ns[PENDING_MAX];
    int call_err[PENDING_MAX];
    uint64_t now_ns;
    uint64_t recv_bytes;
    bool stop;
};

struct weir_client {
    struct weir_engine *engine;
};

static struct bench_options options;
static struct outcome (*outcome_of)(uint64_t sent, uint64_t now_ns);
static uint64_t start_ns = BEGIN;
static uint64_t sends[256]; /* when each call was sent, of the one thread */
static _Atomic uint64_t sends_count;
static _Atomic uint64_t in_flight_max;
static int open_engine_err, send_err;
static void (*on_idle_pass)(struct weir_engine *engine);

/* ---- The engine that is played ---- */

void weir_engine_config_init_size(struct weir_engine_config *cfg, uint32_t size)
{
    *cfg = (struct weir_engine_config){ .size = size, .send_bytes_max = 1 << 20, .cpu = -1 };
}

int weir_engine_open(struct weir_engine **out, const struct weir_engine_config *cfg)
{
    if (open_engine_err != 0 || cfg->conns_max < options.connections / options.threads)
        return open_engine_err;
    struct weir_engine *engine = calloc(1, sizeof(*engine));
    pthread_mutex_init(&engine->lock, NULL);
    engine->now_ns = start_ns;
    *out = engine;
    return 0;
}

int weir_engine_run_once(struct weir_engine *engine, uint64_t wait_ns)
{
    return engine == NULL || wait_ns != 0 ? -EINVAL : 0;
}

/* All of one instant is one pass: tasks, then the calls that end, then the timers. */
static void engine_pass(struct weir_engine *engine)
{
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        struct weir_call *call = engine->calls[i];
        if (call == NULL || engine->call_end_ns[i] > engine->now_ns)
            continue;
        engine->calls[i] = NULL;
        call->timing.end_ns = engine->now_ns;
        engine->recv_bytes += 100;
        call->handler->on_end(call, engine->call_err[i]);
    }
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        struct weir_timer *timer = engine->timers[i];
        if (timer == NULL || timer->deadline_ns > engine->now_ns)
            continue;
        engine->timers[i] = NULL;
        timer->engine = NULL;
        timer->on_fire(timer, timer->ctx);
    }
}

static uint64_t engine_next_ns(const struct weir_engine *engine)
{
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        if (engine->calls[i] != NULL && engine->call_end_ns[i] < next_ns)
            next_ns = engine->call_end_ns[i];
        if (engine->timers[i] != NULL && engine->timers[i]->deadline_ns < next_ns)
            next_ns = engine->timers[i]->deadline_ns;
    }
    return next_ns;
}

static void engine_run_tasks(struct weir_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < engine->tasks_count; i++)
        engine->tasks[i]->run(engine->tasks[i]);
    engine->tasks_count = 0;
    pthread_mutex_unlock(&engine->lock);
}

int weir_engine_run(struct weir_engine *engine)
{
    for (engine->stop = false; !engine->stop;) {
        if (on_idle_pass != NULL)
            on_idle_pass(engine);
        engine_run_tasks(engine);
        if (engine->stop)
            break;
        uint64_t next_ns = engine_next_ns(engine);
        if (next_ns == UINT64_MAX)
            return -EDEADLK; /* nothing would ever happen again: the load is stuck */
        if (next_ns > engine->now_ns)
            engine->now_ns = next_ns;
        engine_pass(engine);
    }
    return 0;
}

void weir_engine_stop(struct weir_engine *engine)
{
    engine->stop = true;
}

void weir_engine_post(struct weir_engine *engine, struct weir_task *task)
{
    pthread_mutex_lock(&engine->lock);
    assert_true(engine->tasks_count < TASKS_MAX);
    engine->tasks[engine->tasks_count++] = task;
    pthread_mutex_unlock(&engine->lock);
}

uint64_t weir_engine_now_ns(const struct weir_engine *engine)
{
    return engine->now_ns;
}

void weir_engine_stats(const struct weir_engine *engine, struct weir_engine_stats *out)
{
    *out = (struct weir_engine_stats){ .size = out->size, .recv_bytes = engine->recv_bytes };
}

const char *weir_engine_ring_fallback(const struct weir_engine *engine)
{
    (void)engine;
    return NULL;
}

int weir_engine_close(struct weir_engine *engine)
{
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        if (engine->timers[i] != NULL)
            return -EBUSY;
    }
    pthread_mutex_destroy(&engine->lock);
    free(engine);
    return 0;
}

void weir_timer_init(struct weir_timer *timer, weir_timer_fn *on_fire, void *ctx)
{
    *timer = (struct weir_timer){ .on_fire = on_fire, .ctx = ctx };
}

void weir_timer_cancel(struct weir_timer *timer)
{
    if (timer->engine != NULL)
        timer->engine->timers[timer->slot] = NULL;
    timer->engine = NULL;
}

void weir_timer_set(struct weir_engine *engine, struct weir_timer *timer, uint64_t deadline_ns)
{
    weir_timer_cancel(timer);
    uint16_t slot = 0;
    while (engine->timers[slot] != NULL)
        slot++;
    assert_true(slot < PENDING_MAX);
    engine->timers[slot] = timer;
    timer->slot = slot;
    timer->engine = engine;
    timer->deadline_ns = deadline_ns;
}

/* ---- The client that is played ---- */

void weir_client_config_init_size(struct weir_client_config *cfg, uint32_t size)
{
    *cfg = (struct weir_client_config){ .size = size };
}

void weir_tls_config_init_size(struct weir_tls_config *cfg, uint32_t size)
{
    *cfg = (struct weir_tls_config){ .size = size };
}

int weir_tls_open(struct weir_tls **out, const struct weir_tls_config *cfg)
{
    (void)cfg;
    *out = NULL;
    return -ENOENT;
}

void weir_tls_close(struct weir_tls *tls)
{
    assert_null(tls);
}

int weir_client_open(struct weir_client **out, struct weir_engine *engine,
                     const struct weir_client_config *cfg)
{
    if (cfg->waiting_max < cfg->conns_max * cfg->pipeline_max)
        return -EINVAL;
    *out = calloc(1, sizeof(**out));
    (*out)->engine = engine;
    return 0;
}

int weir_client_send(struct weir_client *client, struct weir_call *call)
{
    struct weir_engine *engine = client->engine;
    if (send_err != 0)
        return send_err;
    uint64_t sent = atomic_fetch_add(&sends_count, 1);
    if (sent < sizeof(sends) / sizeof(sends[0]))
        sends[sent] = engine->now_ns;
    struct outcome outcome = outcome_of(sent, engine->now_ns);
    uint32_t slot = 0, in_flight = 1;
    for (uint32_t i = 0; i < PENDING_MAX; i++)
        in_flight += engine->calls[i] != NULL;
    if (in_flight > in_flight_max)
        in_flight_max = in_flight;
    while (engine->calls[slot] != NULL)
        slot++;
    call->timing = (struct weir_call_timing){ .start_ns = engine->now_ns,
                                              .reused = sent > 0,
                                              .os_err = outcome.os_err };
    call->status = outcome.status;
    engine->calls[slot] = call;
    engine->call_err[slot] = outcome.err;
    engine->call_end_ns[slot] = engine->now_ns + outcome.delay_ns;
    if (engine->call_end_ns[slot] >= call->deadline_ns) {
        engine->call_end_ns[slot] = call->deadline_ns;
        engine->call_err[slot] = WEIR_E_DEADLINE;
    }
    return 0;
}

int weir_client_close(struct weir_client *client)
{
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        struct weir_call *call = client->engine->calls[i];
        client->engine->calls[i] = NULL;
        if (call != NULL)
            call->handler->on_end(call, WEIR_E_SHUTDOWN);
    }
    free(client);
    return 0;
}

/* ---- Outcomes ---- */

static struct outcome ok_after_1ms(uint64_t sent, uint64_t now_ns)
{
    (void)sent;
    (void)now_ns;
    return (struct outcome){ .delay_ns = MS, .status = 200 };
}

static struct outcome refused(uint64_t sent, uint64_t now_ns)
{
    (void)sent;
    (void)now_ns;
    return (struct outcome){ .err = WEIR_E_CONNECT, .os_err = -ECONNREFUSED };
}

/* The server comes back after the third try, and goes again. */
static struct outcome refused_thrice(uint64_t sent, uint64_t now_ns)
{
    return sent == 3 ? ok_after_1ms(sent, now_ns) : refused(sent, now_ns);
}

static struct outcome every_kind(uint64_t sent, uint64_t now_ns)
{
    static const struct outcome outcomes[] = {
        { .status = 200 },           { .status = 503 },      { .err = WEIR_E_CLOSED },
        { .err = WEIR_E_TRUNCATED }, { .err = -ECONNRESET }, { .status = 204 },
        { .err = WEIR_E_PROTOCOL },  { .status = 302 },
    };
    (void)now_ns;
    struct outcome outcome = outcomes[sent % (sizeof(outcomes) / sizeof(outcomes[0]))];
    outcome.delay_ns = MS;
    return outcome;
}

static struct outcome never(uint64_t sent, uint64_t now_ns)
{
    (void)sent;
    (void)now_ns;
    return (struct outcome){ .delay_ns = 1000000 * MS };
}

/* ---- One run ---- */

static struct bench_result result;
static char error[BENCH_ERROR_TEXT_BYTES];

static int setup(void **state)
{
    (void)state;
    options = (struct bench_options){ .url_text = "http://h/",
                                      .connections = 1,
                                      .threads = 1,
                                      .pipeline = 1,
                                      .timeout_ns = 100 * MS };
    outcome_of = ok_after_1ms;
    start_ns = BEGIN;
    sends_count = 0;
    in_flight_max = 0;
    open_engine_err = send_err = 0;
    on_idle_pass = NULL;
    return bench_result_init(&result);
}

static int teardown(void **state)
{
    (void)state;
    bench_result_deinit(&result);
    return 0;
}

static int run(void)
{
    struct bench_load *load = NULL;
    int event_fd = eventfd(0, EFD_CLOEXEC);
    int err = bench_load_open(&load, &options, event_fd, error);
    if (err == 0) {
        bench_load_start(load, BEGIN);
        while (!bench_load_ended(load)) {
            uint64_t count;
            assert_int_equal(read(event_fd, &count, sizeof(count)), sizeof(count));
        }
        assert_true(bench_load_measured(load));
        err = bench_load_close(load, &result, error);
    }
    close(event_fd);
    return err;
}

static void test_the_window_is_exact(void **state)
{
    (void)state;
    /* Ends at 1, 2, ... 9 ms; the one at 10 ms lies outside. */
    options.duration_ns = 10 * MS;
    assert_int_equal(run(), 0);
    assert_int_equal(result.tally.ok, 9);
    assert_int_equal(result.tally.responses, 9);
    assert_int_equal(result.window_ns, 10 * MS);
    assert_int_equal(weir_hist_count(result.latency_us), 9);
    assert_int_equal(weir_hist_max(result.latency_us), 1000);
    assert_int_equal(result.tally.reused, 8);
    assert_true(result.answered);
    /* One nanosecond later it lies inside. */
    teardown(NULL);
    setup(NULL);
    options.duration_ns = 10 * MS + 1;
    assert_int_equal(run(), 0);
    assert_int_equal(result.tally.ok, 10);
}

static void test_the_warm_up_is_not_counted(void **state)
{
    (void)state;
    start_ns = BEGIN - 5 * MS - MS / 2;
    options.duration_ns = 3 * MS;
    outcome_of = ok_after_1ms;
    assert_int_equal(run(), 0);
    /* Ends at -4.5 ... -0.5 | 0.5, 1.5, 2.5 | 3.5 ms. */
    assert_int_equal(result.tally.ok, 3);
    assert_int_equal(weir_hist_count(result.latency_us), 3);
    assert_int_equal(sends_count, 9);
    assert_int_equal(result.window_ns, 3 * MS);
    assert_int_equal(result.bytes_received, 300);
}

static void test_requests_are_exactly_as_many_as_asked(void **state)
{
    static const uint64_t counts[] = { 1, 2, 7, 8, 9, 100 };
    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        teardown(NULL);
        setup(NULL);
        options.connections = 4;
        options.pipeline = 2;
        options.requests = counts[i];
        assert_int_equal(run(), 0);
        assert_int_equal(sends_count, counts[i]);
        assert_int_equal(result.tally.ok, counts[i]);
        assert_int_equal(in_flight_max, counts[i] < 8 ? counts[i] : 8);
        assert_int_equal(result.window_ns, (counts[i] + 7) / 8 * MS);
    }
}

static void test_threads_share_connections_and_requests(void **state)
{
    (void)state;
    options.threads = 3;
    options.connections = 8;
    options.requests = 100;
    assert_int_equal(run(), 0);
    assert_int_equal(sends_count, 100);
    assert_int_equal(result.tally.ok, 100);
    assert_int_equal(weir_hist_count(result.latency_us), 100);
    /* Fewer requests than threads: those without work end at once. */
    teardown(NULL);
    setup(NULL);
    options.threads = options.connections = 3;
    options.requests = 2;
    assert_int_equal(run(), 0);
    assert_int_equal(sends_count, 2);
    assert_int_equal(result.tally.ok, 2);
}

static void test_requests_or_duration_whichever_is_first(void **state)
{
    (void)state;
    options.requests = 5;
    options.duration_ns = 100 * MS;
    assert_int_equal(run(), 0);
    assert_int_equal(result.tally.ok, 5);
    assert_int_equal(result.window_ns, 5 * MS);
    teardown(NULL);
    setup(NULL);
    options.requests = 500;
    options.duration_ns = 10 * MS;
    assert_int_equal(run(), 0);
    assert_int_equal(result.tally.ok, 9);
    assert_int_equal(result.window_ns, 10 * MS);
}

static void test_requests_after_a_warm_up(void **state)
{
    (void)state;
    start_ns = BEGIN - 10 * MS;
    options.requests = 4;
    options.connections = 2;
    assert_int_equal(run(), 0);
    assert_int_equal(result.tally.ok, 4);
    /* The answers of the instant at which the window begins count. */
    assert_int_equal(result.window_ns, MS);
}

static void test_a_refused_connection_is_tried_again_ever_more_slowly(void **state)
{
    static const uint64_t waits_ms[] = { 10, 20, 40, 80, 160, 320, 640, 1000, 1000 };
    (void)state;
    outcome_of = refused;
    options.requests = 10;
    assert_int_equal(run(), 0);
    assert_int_equal(sends_count, 10);
    for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++)
        assert_int_equal(sends[i + 1] - sends[i], waits_ms[i] * MS);
    assert_int_equal(result.tally.failures, 10);
    assert_int_equal(result.tally.errors[BENCH_ERROR_CONNECT_REFUSED], 10);
    assert_int_equal(result.tally.ok, 0);
    assert_false(result.answered);
}

static void test_a_success_resets_the_wait(void **state)
{
    (void)state;
    outcome_of = refused_thrice;
    options.requests = 6;
    assert_int_equal(run(), 0);
    assert_int_equal(sends[3] - sends[2], 40 * MS);
    assert_int_equal(sends[4] - sends[3], MS);
    assert_int_equal(sends[5] - sends[4], 10 * MS);
    assert_int_equal(result.tally.ok, 1);
    assert_int_equal(result.tally.failures, 5);
}

static void test_sleepers_do_not_outlast_the_window(void **state)
{
    (void)state;
    outcome_of = refused;
    options.connections = 3;
    options.duration_ns = 100 * MS;
    assert_int_equal(run(), 0);
    /* Each tries at 0, 10, 30, 70 ms; the next would be at 150. */
    assert_int_equal(sends_count, 12);
    assert_int_equal(result.tally.failures, 12);
}

static void test_every_kind_of_end_is_counted(void **state)
{
    (void)state;
    outcome_of = every_kind;
    options.requests = 80;
    assert_int_equal(run(), 0);
    assert_int_equal(result.tally.ok, 20);
    assert_int_equal(weir_hist_count(result.latency_us), 20);
    assert_int_equal(bench_tally_done(&result.tally), 80);
    assert_int_equal(bench_tally_error_count(&result.tally), 60);
    assert_int_equal(result.tally.errors[BENCH_ERROR_CLOSED], 10);
    assert_int_equal(result.tally.errors[BENCH_ERROR_TRUNCATED], 10);
    assert_int_equal(result.tally.errors[BENCH_ERROR_RESET], 10);
    assert_int_equal(result.tally.errors[BENCH_ERROR_PROTOCOL], 10);
    assert_int_equal(result.tally.errors[BENCH_ERROR_STATUS_3XX], 10);
    assert_int_equal(result.tally.errors[BENCH_ERROR_STATUS_5XX], 10);
    assert_int_equal(result.tally.status[204], 10);
}

static void test_a_silent_server_fails_by_the_timeout_even_after_the_window(void **state)
{
    (void)state;
    outcome_of = never;
    options.connections = 4;
    options.duration_ns = 10 * MS;
    assert_int_equal(run(), 0);
    assert_int_equal(sends_count, 4);
    assert_int_equal(result.tally.errors[BENCH_ERROR_TIMEOUT], 4);
    assert_int_equal(result.window_ns, 10 * MS);
    assert_false(result.answered);
}

static void test_what_cannot_be_opened_or_sent_is_told(void **state)
{
    (void)state;
    open_engine_err = -EPERM;
    options.requests = 1;
    options.threads = options.connections = 2;
    assert_int_equal(run(), -EPERM);
    assert_non_null(strstr(error, "engine"));
    open_engine_err = 0;
    send_err = -EINVAL;
    assert_int_equal(run(), -EINVAL);
    assert_non_null(strstr(error, "request"));
    assert_int_equal(result.tally.responses, 0);
}

/* ---- What the main thread asks for while it runs ---- */

static struct bench_load *running;
static struct bench_sample sample;
static uint64_t sampled_done;

/* As the main thread would: ask at one pass, collect at another. */
static void sample_in_passing(struct weir_engine *engine)
{
    if (engine->now_ns == BEGIN + 5 * MS)
        bench_load_sample_begin(running);
    if (engine->now_ns == BEGIN + 6 * MS && bench_load_sample_finish(running, &sample))
        sampled_done = weir_hist_count(sample.latency_us);
}

static void stop_in_passing(struct weir_engine *engine)
{
    if (engine->now_ns == BEGIN + 5 * MS)
        bench_load_stop(running);
}

static int run_with(void (*in_passing)(struct weir_engine *engine))
{
    int event_fd = eventfd(0, EFD_CLOEXEC);
    on_idle_pass = in_passing;
    assert_int_equal(bench_load_open(&running, &options, event_fd, error), 0);
    bench_load_start(running, BEGIN);
    while (!bench_load_ended(running)) {
        uint64_t count;
        assert_int_equal(read(event_fd, &count, sizeof(count)), sizeof(count));
    }
    int err = bench_load_close(running, &result, error);
    close(event_fd);
    return err;
}

static void test_a_sample_takes_nothing_away_from_the_result(void **state)
{
    (void)state;
    options.requests = 20;
    sampled_done = 0;
    assert_int_equal(bench_latency_open(&sample.latency_us), 0);
    assert_int_equal(run_with(sample_in_passing), 0);
    assert_int_equal(sampled_done, 5);
    assert_int_equal(sample.done, 5);
    assert_int_equal(sample.errors, 0);
    assert_int_equal(result.tally.ok, 20);
    assert_int_equal(weir_hist_count(result.latency_us), 20);
    weir_hist_close(sample.latency_us);
}

static void test_stopping_ends_the_window_there(void **state)
{
    (void)state;
    options.duration_ns = 1000 * MS;
    options.connections = 2;
    assert_int_equal(run_with(stop_in_passing), 0);
    assert_int_equal(result.window_ns, 5 * MS);
    assert_int_equal(result.tally.ok, 10);
    /* What was in flight is not held against the server. */
    assert_int_equal(result.tally.failures, 0);
}

static void test_stopping_before_the_start(void **state)
{
    (void)state;
    int event_fd = eventfd(0, EFD_CLOEXEC);
    options.requests = 5;
    options.threads = options.connections = 2;
    assert_int_equal(bench_load_open(&running, &options, event_fd, error), 0);
    bench_load_stop(running);
    bench_load_start(running, BEGIN);
    bench_load_stop(running);
    assert_int_equal(bench_load_close(running, &result, error), 0);
    assert_int_equal(sends_count, 0);
    assert_int_equal(bench_tally_done(&result.tally), 0);
    close(event_fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_window_is_exact),
        TEST(test_the_warm_up_is_not_counted),
        TEST(test_requests_are_exactly_as_many_as_asked),
        TEST(test_threads_share_connections_and_requests),
        TEST(test_requests_or_duration_whichever_is_first),
        TEST(test_requests_after_a_warm_up),
        TEST(test_a_refused_connection_is_tried_again_ever_more_slowly),
        TEST(test_a_success_resets_the_wait),
        TEST(test_sleepers_do_not_outlast_the_window),
        TEST(test_every_kind_of_end_is_counted),
        TEST(test_a_silent_server_fails_by_the_timeout_even_after_the_window),
        TEST(test_what_cannot_be_opened_or_sent_is_told),
        TEST(test_a_sample_takes_nothing_away_from_the_result),
        TEST(test_stopping_ends_the_window_there),
        TEST(test_stopping_before_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
