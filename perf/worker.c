/* SPDX-License-Identifier: MIT */
/*
 * Two sides meet here. The workers own everything of theirs and share nothing while they run; the
 * main thread talks to them by tasks on their engines, which is why no counter is atomic. A task
 * must not be posted to an engine that may be gone: `posting` is true, under the lock, exactly
 * while it is safe.
 */
#include "perf/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <weir/timer.h>
#include <weir/tls.h>

#define BACKOFF_FIRST_NS UINT64_C(10000000)
#define BACKOFF_LAST_NS  UINT64_C(1000000000)

/* A window without an end. Half the range, so that a time before the window's begin is outside,
 * too. */
#define WINDOW_ENDLESS_NS (UINT64_MAX / 2)

/* One request in flight, or asleep until a refused connection is tried again. */
struct bench_slot {
    struct weir_call call;
    struct bench_worker *worker;
    uint64_t backoff_ns; /* 0 = the last connection attempt went well */
    struct weir_timer backoff;
};

struct bench_worker {
    /* what every completion touches */
    struct weir_client *client;
    struct weir_hist *latency_us;
    uint64_t window_begin_ns, window_ns;
    uint64_t timeout_ns;
    uint64_t done, done_max; /* in the window */
    uint64_t last_end_ns;    /* of the last that was done */
    uint32_t in_flight, sleeping;
    bool stopping; /* no call is sent any more */
    bool ended;    /* nothing is waited for any more */
    bool answered;
    struct bench_tally tally;

    struct weir_engine *engine;
    struct bench_slot *slots;
    uint32_t slots_count;
    uint32_t connections;
    struct weir_timer begin_timer, end_timer;
    uint64_t recv_begin_bytes, recv_end_bytes;
    uint64_t interrupted_ns; /* 0 = it was not */

    /* between this thread and the main one */
    struct bench_load *load;
    struct weir_task sample_task, stop_task;
    struct weir_hist
        *spare_us; /* the main thread's, but from the posting of sample_task to `sampled` */
    uint64_t sampled_done, sampled_errors;
    atomic_bool sampled;  /* sample_task has run */
    atomic_bool measured; /* the window is over */
    atomic_bool gone;     /* the thread has nothing left to do */
    bool posting;         /* under the lock */
    bool sample_due;      /* the main thread's: a sample was asked for and not collected */
    bool joinable;        /* the main thread's */
    pthread_t thread;
    int err;
    char error[BENCH_ERROR_TEXT_BYTES];
};

enum load_gate { GATE_SHUT, GATE_OPEN, GATE_ABORTED };

struct bench_load {
    const struct bench_options *options;
    struct weir_tls *tls; /* NULL: not needed */
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t ready_count; /* under the lock */
    enum load_gate gate;  /* under the lock */
    bool stopped;         /* under the lock */
    uint64_t window_begin_ns;
    bool sampling;
    struct weir_hist *total_us; /* what the samples have collected */
    uint32_t workers_count;
    struct bench_worker workers[];
};

static void worker_tell_main(struct bench_worker *worker)
{
    uint64_t one = 1;
    /* The counter cannot overflow in the life of a run; nothing else can go wrong with 8 bytes. */
    if (write(worker->load->event_fd, &one, sizeof(one)) != sizeof(one))
        abort();
}

/* ---- The loop of a call ---- */

static uint64_t worker_recv_bytes(const struct bench_worker *worker)
{
    struct weir_engine_stats stats = { .size = sizeof(stats) };
    weir_engine_stats(worker->engine, &stats);
    return stats.recv_bytes;
}

static void worker_measured(struct bench_worker *worker)
{
    worker->stopping = true;
    if (atomic_load_explicit(&worker->measured, memory_order_relaxed))
        return;
    worker->recv_end_bytes = worker_recv_bytes(worker);
    atomic_store_explicit(&worker->measured, true, memory_order_release);
    worker_tell_main(worker);
}

static void worker_end(struct bench_worker *worker)
{
    worker_measured(worker);
    worker->ended = true;
    weir_engine_stop(worker->engine);
}

__attribute__((cold)) static void worker_fail(struct bench_worker *worker, int err,
                                              const char *what, const char *why)
{
    if (worker->err == 0) {
        worker->err = err;
        snprintf(worker->error, sizeof(worker->error), "%s: %s", what, why);
    }
    worker->stopping = true;
}

/* The window is over: nothing is sent any more, those asleep are woken no more. */
static void worker_drain(struct bench_worker *worker)
{
    worker_measured(worker);
    for (uint32_t i = 0; worker->sleeping > 0 && i < worker->slots_count; i++) {
        if (!weir_timer_is_set(&worker->slots[i].backoff))
            continue;
        weir_timer_cancel(&worker->slots[i].backoff);
        worker->sleeping--;
    }
    if (worker->in_flight == 0)
        worker_end(worker);
}

static bool worker_may_send(const struct bench_worker *worker)
{
    return !worker->stopping &&
           worker->done + worker->in_flight + worker->sleeping < worker->done_max;
}

static void slot_send(struct bench_slot *slot, uint64_t now_ns)
{
    struct bench_worker *worker = slot->worker;
    slot->call.deadline_ns = now_ns + worker->timeout_ns;
    int result = weir_client_send(worker->client, &slot->call);
    if (__builtin_expect(result < 0, 0)) {
        bool told = result == -EINVAL && weir_error_text()[0] != '\0';
        worker_fail(worker, result, "the request cannot be sent",
                    told ? weir_error_text() : weir_strerror(result));
        return;
    }
    worker->in_flight++;
}

static bool worker_in_window(const struct bench_worker *worker, uint64_t now_ns)
{
    return now_ns - worker->window_begin_ns < worker->window_ns;
}

static bool worker_past_window(const struct bench_worker *worker, uint64_t now_ns)
{
    return now_ns >= worker->window_begin_ns && !worker_in_window(worker, now_ns);
}

static void slot_on_backoff(struct weir_timer *timer, void *ctx)
{
    struct bench_slot *slot = ctx;
    struct bench_worker *worker = slot->worker;
    (void)timer;
    worker->sleeping--;
    if (worker_may_send(worker))
        slot_send(slot, weir_engine_now_ns(worker->engine));
    if (worker->in_flight + worker->sleeping == 0)
        worker_end(worker);
}

/* A port that refuses would otherwise be tried as fast as the kernel can say no. */
static void slot_sleep(struct bench_slot *slot, uint64_t now_ns)
{
    uint64_t backoff_ns = slot->backoff_ns == 0 ? BACKOFF_FIRST_NS : 2 * slot->backoff_ns;
    slot->backoff_ns = backoff_ns < BACKOFF_LAST_NS ? backoff_ns : BACKOFF_LAST_NS;
    slot->worker->sleeping++;
    weir_timer_set(slot->worker->engine, &slot->backoff, now_ns + slot->backoff_ns);
}

__attribute__((cold, noinline)) static void slot_on_failure(struct bench_slot *slot, int err)
{
    struct bench_worker *worker = slot->worker;
    uint64_t end_ns = slot->call.timing.end_ns;
    /* A call that was sent in the window and fails after it is a failure all the same. */
    if (worker_in_window(worker, end_ns)) {
        worker->done++;
        worker->last_end_ns = end_ns;
    }
    if (end_ns >= worker->window_begin_ns)
        bench_tally_failure(&worker->tally, err, slot->call.timing.os_err);
}

static void call_on_end(struct weir_call *call, int err)
{
    struct bench_slot *slot = call->ctx;
    struct bench_worker *worker = slot->worker;
    uint64_t end_ns = call->timing.end_ns;
    worker->in_flight--;
    if (worker->ended)
        return;
    if (__builtin_expect(err != 0, 0)) {
        slot_on_failure(slot, err);
    } else {
        worker->answered = true;
        slot->backoff_ns = 0;
        if (worker_in_window(worker, end_ns)) {
            worker->done++;
            worker->last_end_ns = end_ns;
            bench_tally_response(&worker->tally, call->status, call->timing.reused);
            if (bench_status_is_ok(call->status))
                weir_hist_record(worker->latency_us, (end_ns - call->timing.start_ns + 500) / 1000);
        }
    }
    if (__builtin_expect(worker_past_window(worker, end_ns), 0))
        worker->stopping = true;
    if (worker_may_send(worker)) {
        if (__builtin_expect(err == WEIR_E_CONNECT || err == WEIR_E_CONNECT_TIMEOUT, 0))
            slot_sleep(slot, end_ns);
        else
            slot_send(slot, end_ns);
    }
    if (__builtin_expect(worker->in_flight + worker->sleeping == 0, 0))
        worker_end(worker);
}

static const struct weir_call_handler call_handler = { .on_end = call_on_end };

/* ---- A worker's thread ---- */

static void worker_on_begin(struct weir_timer *timer, void *ctx)
{
    struct bench_worker *worker = ctx;
    (void)timer;
    worker->recv_begin_bytes = worker_recv_bytes(worker);
}

static void worker_on_window_end(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    worker_drain(ctx);
}

static void worker_on_sample(struct weir_task *task)
{
    struct bench_worker *worker =
        (void *)((char *)task - offsetof(struct bench_worker, sample_task));
    struct weir_hist *full_us = worker->latency_us;
    worker->latency_us = worker->spare_us;
    worker->spare_us = full_us;
    worker->sampled_done = bench_tally_done(&worker->tally);
    worker->sampled_errors = bench_tally_error_count(&worker->tally);
    atomic_store_explicit(&worker->sampled, true, memory_order_release);
    worker_tell_main(worker);
}

static void worker_on_stop(struct weir_task *task)
{
    struct bench_worker *worker = (void *)((char *)task - offsetof(struct bench_worker, stop_task));
    if (worker->ended)
        return;
    if (!worker->stopping)
        worker->interrupted_ns = weir_engine_now_ns(worker->engine);
    worker_end(worker);
}

static uint64_t pow2_at_least(uint64_t value)
{
    uint64_t pow2 = 1;
    while (pow2 < value)
        pow2 *= 2;
    return pow2;
}

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
    if (value < min)
        return min;
    return value > max ? max : value;
}

/* What a request takes in output memory, generously. */
static uint64_t request_bytes(const struct weir_request *request)
{
    uint64_t bytes = 512 + request->target.len + request->host.len + request->body.len;
    for (size_t i = 0; i < request->headers_count; i++)
        bytes += request->headers[i].name.len + request->headers[i].value.len + 4;
    return bytes;
}

static int worker_open_engine(struct bench_worker *worker)
{
    const struct bench_options *options = worker->load->options;
    const struct bench_cpu_list *cpus = &options->cpus;
    uint32_t index = (uint32_t)(worker - worker->load->workers);
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    cfg.conns_max = worker->connections + 8;
    cfg.recv_bufs_max = (uint32_t)clamp(pow2_at_least(worker->connections), 512, 4096);
    cfg.cq_entries = (uint32_t)clamp(pow2_at_least(2 * (uint64_t)worker->connections), 4096, 65536);
    cfg.send_bytes_max = clamp(request_bytes(&options->request) * worker->slots_count * 2,
                               cfg.send_bytes_max, UINT64_C(1) << 30);
    if (cpus->count > 0)
        cfg.cpu = cpus->cpus[index % cpus->count];
    cfg.ring = options->ring;
    cfg.wait = options->wait;
    cfg.ring_disable = options->ring_disable;
    int result = weir_engine_open(&worker->engine, &cfg);
    if (result < 0)
        worker_fail(worker, result, "the engine cannot be opened", weir_error_text());
    else if (index == 0 && weir_engine_ring_fallback(worker->engine) != NULL)
        fprintf(stderr, "weir-bench: epoll instead of io_uring: %s\n",
                weir_engine_ring_fallback(worker->engine));
    return result;
}

static int worker_open_client(struct bench_worker *worker)
{
    const struct bench_options *options = worker->load->options;
    struct weir_client_config cfg;
    weir_client_config_init(&cfg);
    cfg.conns_min = 0;
    cfg.endpoint = options->endpoint;
    cfg.conns_max = worker->connections;
    cfg.pipeline_max = options->pipeline;
    cfg.waiting_max = worker->slots_count;
    cfg.tls = worker->load->tls;
    /* What a server does to its connections is to be seen as it is. */
    cfg.age_max_ns = 0;
    cfg.retry.no_replay = true;
    int result = weir_client_open(&worker->client, worker->engine, &cfg);
    if (result < 0)
        worker_fail(worker, result, options->url_text, weir_error_text());
    return result;
}

static int worker_open(struct bench_worker *worker)
{
    const struct bench_options *options = worker->load->options;
    int result = worker_open_engine(worker);
    if (result == 0)
        result = worker_open_client(worker);
    if (result < 0)
        return result;
    worker->slots = calloc(worker->slots_count, sizeof(*worker->slots));
    if (worker->slots == NULL) {
        worker_fail(worker, -ENOMEM, "the requests in flight", strerror(ENOMEM));
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < worker->slots_count; i++) {
        struct bench_slot *slot = &worker->slots[i];
        slot->worker = worker;
        slot->call.request = options->request;
        slot->call.handler = &call_handler;
        slot->call.ctx = slot;
        weir_timer_init(&slot->backoff, slot_on_backoff, slot);
    }
    weir_timer_init(&worker->begin_timer, worker_on_begin, worker);
    weir_timer_init(&worker->end_timer, worker_on_window_end, worker);
    worker->timeout_ns = options->timeout_ns;
    worker->window_ns = options->duration_ns != 0 ? options->duration_ns : WINDOW_ENDLESS_NS;
    return 0;
}

/* @return whether the load shall begin */
static bool worker_await_start(struct bench_worker *worker)
{
    struct bench_load *load = worker->load;
    pthread_mutex_lock(&load->lock);
    load->ready_count++;
    pthread_cond_broadcast(&load->changed);
    while (load->gate == GATE_SHUT)
        pthread_cond_wait(&load->changed, &load->lock);
    bool go = load->gate == GATE_OPEN && !load->stopped && worker->err == 0;
    worker->posting = go;
    worker->window_begin_ns = load->window_begin_ns;
    pthread_mutex_unlock(&load->lock);
    return go;
}

static void worker_run(struct bench_worker *worker)
{
    /* A pass that waits for nothing: the clock of the engine is as old as its last pass. */
    int result = weir_engine_run_once(worker->engine, 0);
    uint64_t now_ns = weir_engine_now_ns(worker->engine);
    if (worker->window_begin_ns > now_ns)
        weir_timer_set(worker->engine, &worker->begin_timer, worker->window_begin_ns);
    if (worker->window_ns != WINDOW_ENDLESS_NS)
        weir_timer_set(worker->engine, &worker->end_timer,
                       worker->window_begin_ns + worker->window_ns);
    for (uint32_t i = 0; i < worker->slots_count && worker_may_send(worker); i++)
        slot_send(&worker->slots[i], now_ns);
    if (worker->in_flight == 0)
        worker_end(worker);
    while (result == 0 && !worker->ended)
        result = weir_engine_run(worker->engine);
    if (result < 0)
        worker_fail(worker, result, "the engine ended", weir_strerror(result));
    worker_measured(worker);
    worker->ended = true;
}

static void worker_close(struct bench_worker *worker)
{
    int result = 0;
    if (worker->client != NULL)
        result = weir_client_close(worker->client);
    if (result < 0)
        worker_fail(worker, result, "the client cannot be closed", weir_strerror(result));
    for (uint32_t i = 0; worker->slots != NULL && i < worker->slots_count; i++)
        weir_timer_cancel(&worker->slots[i].backoff);
    if (worker->slots != NULL) {
        weir_timer_cancel(&worker->begin_timer);
        weir_timer_cancel(&worker->end_timer);
    }
    free(worker->slots);
    worker->slots = NULL;
    if (worker->engine != NULL)
        result = weir_engine_close(worker->engine);
    if (result < 0)
        worker_fail(worker, result, "the engine cannot be closed", weir_strerror(result));
}

static void *worker_main(void *arg)
{
    struct bench_worker *worker = arg;
    struct bench_load *load = worker->load;
    (void)worker_open(
        worker); /* an error is in worker->err, which the main thread reads at the gate */
    if (worker_await_start(worker))
        worker_run(worker);
    pthread_mutex_lock(&load->lock);
    worker->posting = false;
    pthread_mutex_unlock(&load->lock);
    atomic_store_explicit(&worker->measured, true, memory_order_release);
    worker_close(worker);
    atomic_store_explicit(&worker->gone, true, memory_order_release);
    worker_tell_main(worker);
    return NULL;
}

/* ---- The main thread's side ---- */

/* The part of `total` that falls to `index` of `count`, the first ones taking the remainder. */
static uint64_t share_of(uint64_t total, uint32_t index, uint32_t count)
{
    return total / count + (index < total % count);
}

static int load_init_worker(struct bench_load *load, uint32_t index)
{
    const struct bench_options *options = load->options;
    struct bench_worker *worker = &load->workers[index];
    worker->load = load;
    worker->connections = (uint32_t)share_of(options->connections, index, options->threads);
    worker->slots_count = worker->connections * options->pipeline;
    worker->done_max =
        options->requests == 0 ? UINT64_MAX : share_of(options->requests, index, options->threads);
    worker->sample_task.run = worker_on_sample;
    worker->stop_task.run = worker_on_stop;
    atomic_init(&worker->sampled, false);
    atomic_init(&worker->measured, false);
    atomic_init(&worker->gone, false);
    int result = bench_latency_open(&worker->latency_us);
    return result < 0 ? result : bench_latency_open(&worker->spare_us);
}

static int load_start_threads(struct bench_load *load)
{
    for (uint32_t i = 0; i < load->workers_count; i++) {
        struct bench_worker *worker = &load->workers[i];
        int err = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (err != 0)
            return -err;
        worker->joinable = true;
    }
    pthread_mutex_lock(&load->lock);
    while (load->ready_count < load->workers_count)
        pthread_cond_wait(&load->changed, &load->lock);
    pthread_mutex_unlock(&load->lock);
    return 0;
}

static int load_open_tls(struct bench_load *load, char error[BENCH_ERROR_TEXT_BYTES])
{
    struct weir_tls_config cfg;
    if (!load->options->secure)
        return 0;
    weir_tls_config_init(&cfg);
    if (load->options->insecure)
        cfg.verify = WEIR_TLS_VERIFY_NONE;
    else
        cfg.ca_file = load->options->ca_file;
    if (weir_tls_open(&load->tls, &cfg) == 0)
        return 0;
    snprintf(error, BENCH_ERROR_TEXT_BYTES, "TLS: %s", weir_error_text());
    return -EINVAL;
}

int bench_load_open(struct bench_load **out, const struct bench_options *options, int event_fd,
                    char error[BENCH_ERROR_TEXT_BYTES])
{
    *out = NULL;
    error[0] = '\0';
    struct bench_load *load =
        calloc(1, sizeof(*load) + options->threads * sizeof(struct bench_worker));
    if (load == NULL) {
        snprintf(error, BENCH_ERROR_TEXT_BYTES, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    load->options = options;
    load->event_fd = event_fd;
    int result = load_open_tls(load, error);
    if (result < 0) {
        free(load);
        return result;
    }
    load->workers_count = options->threads;
    pthread_mutex_init(&load->lock, NULL);
    pthread_cond_init(&load->changed, NULL);
    result = bench_latency_open(&load->total_us);
    for (uint32_t i = 0; result == 0 && i < load->workers_count; i++)
        result = load_init_worker(load, i);
    if (result == 0)
        result = load_start_threads(load);
    if (result < 0)
        snprintf(error, BENCH_ERROR_TEXT_BYTES, "the threads cannot be started: %s",
                 weir_strerror(result));
    for (uint32_t i = 0; result == 0 && i < load->workers_count; i++) {
        result = load->workers[i].err;
        if (result < 0)
            memcpy(error, load->workers[i].error, BENCH_ERROR_TEXT_BYTES);
    }
    if (result < 0) {
        char ignored[BENCH_ERROR_TEXT_BYTES];
        bench_load_stop(load);
        (void)bench_load_close(load, NULL, ignored); /* the first error is the one to tell */
        return result;
    }
    *out = load;
    return 0;
}

static void load_open_gate(struct bench_load *load, enum load_gate gate)
{
    if (load->gate == GATE_SHUT)
        load->gate = gate;
    pthread_cond_broadcast(&load->changed);
}

void bench_load_start(struct bench_load *load, uint64_t window_begin_ns)
{
    pthread_mutex_lock(&load->lock);
    load->window_begin_ns = window_begin_ns;
    load_open_gate(load, GATE_OPEN);
    pthread_mutex_unlock(&load->lock);
}

void bench_load_stop(struct bench_load *load)
{
    pthread_mutex_lock(&load->lock);
    load->stopped = true;
    load_open_gate(load, GATE_ABORTED);
    for (uint32_t i = 0; i < load->workers_count; i++) {
        struct bench_worker *worker = &load->workers[i];
        if (!worker->posting)
            continue;
        weir_engine_post(worker->engine, &worker->stop_task);
        worker->posting = false; /* a task is queued once, and no other matters after it */
    }
    pthread_mutex_unlock(&load->lock);
}

bool bench_load_measured(struct bench_load *load)
{
    for (uint32_t i = 0; i < load->workers_count; i++) {
        if (!atomic_load_explicit(&load->workers[i].measured, memory_order_acquire))
            return false;
    }
    return true;
}

bool bench_load_ended(struct bench_load *load)
{
    for (uint32_t i = 0; i < load->workers_count; i++) {
        if (!atomic_load_explicit(&load->workers[i].gone, memory_order_acquire))
            return false;
    }
    return true;
}

void bench_load_sample_begin(struct bench_load *load)
{
    if (load->sampling)
        return;
    load->sampling = true;
    pthread_mutex_lock(&load->lock);
    for (uint32_t i = 0; i < load->workers_count; i++) {
        struct bench_worker *worker = &load->workers[i];
        if (!worker->posting)
            continue;
        worker->sample_due = true;
        weir_engine_post(worker->engine, &worker->sample_task);
    }
    pthread_mutex_unlock(&load->lock);
}

/* Shapes are equal by construction: all come from bench_latency_open(). */
static void latency_merge(struct weir_hist *into, const struct weir_hist *from)
{
    if (weir_hist_merge(into, from) != 0)
        abort();
}

bool bench_load_sample_finish(struct bench_load *load, struct bench_sample *out)
{
    if (!load->sampling)
        return false;
    for (uint32_t i = 0; i < load->workers_count; i++) {
        struct bench_worker *worker = &load->workers[i];
        bool answered = atomic_load_explicit(&worker->sampled, memory_order_acquire);
        bool gone = atomic_load_explicit(&worker->gone, memory_order_acquire);
        if (worker->sample_due && !answered && !gone)
            return false;
    }
    weir_hist_reset(out->latency_us);
    out->done = out->errors = 0;
    for (uint32_t i = 0; i < load->workers_count; i++) {
        struct bench_worker *worker = &load->workers[i];
        worker->sample_due = false;
        if (atomic_exchange_explicit(&worker->sampled, false, memory_order_acquire)) {
            latency_merge(out->latency_us, worker->spare_us);
            weir_hist_reset(worker->spare_us);
        }
        out->done += worker->sampled_done;
        out->errors += worker->sampled_errors;
    }
    latency_merge(load->total_us, out->latency_us);
    load->sampling = false;
    return true;
}

static uint64_t worker_window_ns(const struct bench_worker *worker)
{
    if (worker->interrupted_ns != 0)
        return worker->interrupted_ns > worker->window_begin_ns
                   ? worker->interrupted_ns - worker->window_begin_ns
                   : 0;
    if (worker->done >= worker->done_max || worker->window_ns == WINDOW_ENDLESS_NS)
        return worker->done == 0 ? 0 : worker->last_end_ns - worker->window_begin_ns;
    return worker->window_ns;
}

static void worker_collect(const struct bench_worker *worker, struct bench_result *result)
{
    uint64_t window_ns = worker_window_ns(worker);
    bench_tally_merge(&result->tally, &worker->tally);
    latency_merge(result->latency_us, worker->latency_us);
    latency_merge(result->latency_us, worker->spare_us);
    result->bytes_received += worker->recv_end_bytes - worker->recv_begin_bytes;
    result->answered = result->answered || worker->answered;
    if (window_ns > result->window_ns)
        result->window_ns = window_ns;
}

int bench_load_close(struct bench_load *load, struct bench_result *result,
                     char error[BENCH_ERROR_TEXT_BYTES])
{
    int err = 0;
    error[0] = '\0';
    for (uint32_t i = 0; i < load->workers_count; i++) {
        struct bench_worker *worker = &load->workers[i];
        if (worker->joinable)
            pthread_join(worker->thread, NULL);
        if (err == 0 && worker->err != 0) {
            err = worker->err;
            memcpy(error, worker->error, BENCH_ERROR_TEXT_BYTES);
        }
        if (result != NULL)
            worker_collect(worker, result);
        weir_hist_close(worker->latency_us);
        weir_hist_close(worker->spare_us);
    }
    if (result != NULL)
        latency_merge(result->latency_us, load->total_us);
    if (result != NULL)
        bench_tally_finish(&result->tally);
    weir_hist_close(load->total_us);
    weir_tls_close(load->tls);
    pthread_cond_destroy(&load->changed);
    pthread_mutex_destroy(&load->lock);
    free(load);
    return err;
}
