/* SPDX-License-Identifier: MIT */
/*
 * weir-mock: the life of the process.
 *
 * The main thread reads the options, blocks the signals it waits for, starts the engine threads one
 * after the other and from then on only waits. A thread opens its engine and server, reports, and
 * waits at the gate until all of them are open: nothing starts half-configured. The first SIGTERM
 * or SIGINT drains, the second ends the process at once. The thread that finishes last wakes the
 * main thread with SIGUSR1.
 */
#include "mock/app.h"
#include "mock/start.h"

#include <weir/weir.h>

#include <errno.h>
#include <jansson.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define EXIT_BY_SIGNAL 128
#define ERROR_BYTES    600

enum gate { GATE_SHUT, GATE_RUN, GATE_GIVE_UP };

struct life;

struct worker {
    _Alignas(64) struct app app;
    struct life *life;
    pthread_t thread;
    const char *listen;
    bool reported; /* under the lock */
    int err;
    char error_text[ERROR_BYTES];
};

struct life {
    struct mock mock;
    struct options options;
    struct worker *workers;
    struct app **apps;
    uint32_t started_count;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* `reported` of a worker, or `gate` */
    enum gate gate;
    pthread_barrier_t stopped; /* all engines have */
    pthread_t main_thread;
    atomic_uint finished_count;
    sigset_t signals;
};

/* ---- Workers ----------------------------------------------------------------------------- */

static void worker_report(struct worker *worker, int err)
{
    struct life *life = worker->life;
    pthread_mutex_lock(&life->lock);
    worker->err = err;
    /* The library's text is this thread's own, so it is kept for the main thread. */
    if (err < 0 && worker->error_text[0] == '\0') {
        const char *why = weir_error_text();
        snprintf(worker->error_text, sizeof worker->error_text, "%s",
                 why[0] != '\0' ? why : weir_strerror(err));
    }
    worker->reported = true;
    pthread_cond_broadcast(&life->changed);
    pthread_mutex_unlock(&life->lock);
}

static enum gate worker_wait_gate(struct life *life)
{
    pthread_mutex_lock(&life->lock);
    while (life->gate == GATE_SHUT)
        pthread_cond_wait(&life->changed, &life->lock);
    enum gate gate = life->gate;
    pthread_mutex_unlock(&life->lock);
    return gate;
}

/* The main thread posts the drains under the lock: its last post may still ring a doorbell. */
static void worker_wait_drainer(struct life *life)
{
    pthread_mutex_lock(&life->lock);
    pthread_mutex_unlock(&life->lock);
}

static _Noreturn void worker_die(const char *what, int err)
{
    fprintf(stderr, "weir-mock: %s: %s (%s)\n", what, weir_strerror(err), weir_err_name(err));
    _exit(EXIT_FAILURE);
}

/*
 * From here on nothing but threads of higher priority, interrupts and the kernel's own guard
 * against real-time threads that never sleep (sched(7), sched_rt_runtime_us) holds the thread up.
 * The lowest priority is enough: ordinary threads have none. Those of the request log and of the
 * process stay ordinary.
 */
static int worker_go_realtime(struct worker *worker)
{
    const struct sched_param param = { .sched_priority = 1 };
    int rc = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
    if (rc != 0)
        snprintf(worker->error_text, sizeof worker->error_text,
                 "--realtime: SCHED_FIFO: %s: expected CAP_SYS_NICE, or a limit of real-time "
                 "priority (ulimit -r) of at least 1",
                 strerror(rc));
    return -rc;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct life *life = worker->life;
    char name[16];
    snprintf(name, sizeof name, "weir-mock-%u", worker->app.index % 1000);
    pthread_setname_np(pthread_self(), name);
    int err = life->options.realtime ? worker_go_realtime(worker) : 0;
    if (err == 0)
        err = app_open(&worker->app, &life->mock, worker->app.index, worker->listen);
    worker_report(worker, err);
    if (err < 0)
        return NULL;
    if (worker_wait_gate(life) == GATE_RUN) {
        err = weir_engine_run(worker->app.engine);
        if (err < 0)
            worker_die("the ring failed", err);
        /* Others may post to this engine until they have stopped, too. */
        pthread_barrier_wait(&life->stopped);
        worker_wait_drainer(life);
        atomic_store(&life->mock.stopped, true);
    }
    err = app_close(&worker->app);
    if (err < 0)
        worker_die("closing failed", err);
    if (atomic_fetch_add(&life->finished_count, 1) + 1 == life->options.threads)
        pthread_kill(life->main_thread, SIGUSR1);
    return NULL;
}

/* ---- Start ------------------------------------------------------------------------------- */

/* Start a worker and wait until its server is open. @return 0, or -1 when an error was printed */
static int life_start_worker(struct life *life, uint32_t index, const char *listen)
{
    struct worker *worker = &life->workers[index];
    worker->life = life;
    worker->listen = listen;
    worker->app.index = index;
    life->apps[index] = &worker->app;
    int rc = pthread_create(&worker->thread, NULL, worker_main, worker);
    if (rc != 0) {
        fprintf(stderr, "weir-mock: thread %u cannot be created: %s\n", index, strerror(rc));
        return -1;
    }
    life->started_count++;
    pthread_mutex_lock(&life->lock);
    while (!worker->reported)
        pthread_cond_wait(&life->changed, &life->lock);
    pthread_mutex_unlock(&life->lock);
    if (worker->err == 0)
        return 0;
    fprintf(stderr, "weir-mock: %s\n", worker->error_text);
    return -1;
}

static void life_open_gate(struct life *life, enum gate gate)
{
    pthread_mutex_lock(&life->lock);
    life->gate = gate;
    pthread_cond_broadcast(&life->changed);
    pthread_mutex_unlock(&life->lock);
}

static void life_join(struct life *life)
{
    for (uint32_t i = 0; i < life->started_count; i++)
        pthread_join(life->workers[i].thread, NULL);
}

/* With port 0 the kernel picks for the first server, and the others join it there. */
static int life_start_workers(struct life *life)
{
    int err = life_start_worker(life, 0, life->options.listen);
    for (uint32_t i = 1; i < life->options.threads && err == 0; i++)
        err = life_start_worker(life, i, weir_server_address(life->apps[0]->server));
    const char *why = err == 0 ? weir_engine_ring_fallback(life->apps[0]->engine) : NULL;
    if (why != NULL)
        fprintf(stderr, "weir-mock: epoll instead of io_uring: %s\n", why);
    if (err == 0) {
        printf("listening on %s\n", weir_server_address(life->apps[0]->server));
        if (life->apps[0]->admin_server != NULL)
            printf("admin on %s\n", weir_server_address(life->apps[0]->admin_server));
        if (fflush(stdout) != 0) {
            fprintf(stderr, "weir-mock: standard output cannot be written: %s\n", strerror(errno));
            err = -1;
        }
    }
    life_open_gate(life, err == 0 ? GATE_RUN : GATE_GIVE_UP);
    if (err != 0)
        life_join(life);
    return err;
}

/* Every connection is a descriptor: ask for as many as we may have, and refuse what cannot be. */
static int life_raise_descriptors(const struct options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        fprintf(stderr, "weir-mock: RLIMIT_NOFILE cannot be read: %s\n", strerror(errno));
        return -1;
    }
    uint64_t need = options_descriptors_max(options);
    if (limit.rlim_max != RLIM_INFINITY && need > limit.rlim_max) {
        uint64_t beside = need - options->conns_max;
        uint64_t fits = limit.rlim_max > beside ? limit.rlim_max - beside : 0;
        fprintf(stderr,
                "weir-mock: --max-conns: %u connections need %" PRIu64 " descriptors, but the hard "
                "limit (ulimit -Hn) is %" PRIu64 ": expected at most %" PRIu64 ", or raise the "
                "limit\n",
                options->conns_max, need, (uint64_t)limit.rlim_max, fits);
        return -1;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        fprintf(stderr, "weir-mock: RLIMIT_NOFILE cannot be raised: %s\n", strerror(errno));
        return -1;
    }
    return 0;
}

/* Blocked before any thread exists, so that all inherit it and sigwait() gets every signal. */
static void life_block_signals(struct life *life)
{
    sigemptyset(&life->signals);
    sigaddset(&life->signals, SIGTERM);
    sigaddset(&life->signals, SIGINT);
    sigaddset(&life->signals, SIGHUP);
    sigaddset(&life->signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &life->signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void life_close(struct life *life)
{
    int err = mock_close(&life->mock);
    if (err < 0)
        worker_die("closing failed", err);
    free(life->workers);
    free(life->apps);
    pthread_barrier_destroy(&life->stopped);
    pthread_cond_destroy(&life->changed);
    pthread_mutex_destroy(&life->lock);
}

static int life_open(struct life *life)
{
    struct options_error error;
    struct config *config = NULL;
    life->main_thread = pthread_self();
    pthread_mutex_init(&life->lock, NULL);
    pthread_cond_init(&life->changed, NULL);
    pthread_barrier_init(&life->stopped, NULL, life->options.threads);
    json_object_seed(0); /* before there are threads: the first hash table would race for it */
    if (start_config(&config, &life->options, &error) < 0) {
        fprintf(stderr, "weir-mock: %s\n", error.text);
        return -1;
    }
    size_t count = life->options.threads;
    life->workers = aligned_alloc(_Alignof(struct worker), count * sizeof *life->workers);
    life->apps = calloc(count, sizeof(struct app *));
    int err = life->workers == NULL || life->apps == NULL
                  ? -ENOMEM
                  : mock_open(&life->mock, &life->options, config);
    if (err < 0) {
        /* What the library says names the file that it did not like. */
        const char *why = weir_error_text();
        fprintf(stderr, "weir-mock: %s\n", why[0] != '\0' ? why : weir_strerror(err));
        config_drop(config);
        free(life->workers);
        free(life->apps);
        return -1;
    }
    memset(life->workers, 0, count * sizeof *life->workers);
    life->mock.apps = life->apps;
    err = mock_open_log(&life->mock);
    if (err < 0) {
        fprintf(stderr, "weir-mock: --request-log %s: %s\n", life->options.request_log,
                weir_strerror(err));
        life_close(life);
        return -1;
    }
    return 0;
}

/* ---- End --------------------------------------------------------------------------------- */

static void life_wait(struct life *life)
{
    bool draining = false;
    while (atomic_load(&life->finished_count) < life->options.threads) {
        int signal_number = 0;
        if (sigwait(&life->signals, &signal_number) != 0 || signal_number == SIGUSR1)
            continue;
        if (signal_number == SIGHUP) { /* the file was renamed */
            request_log_reopen(&life->mock.log);
            continue;
        }
        if (draining)
            _exit(EXIT_BY_SIGNAL + signal_number);
        draining = true;
        pthread_mutex_lock(&life->lock);
        for (uint32_t i = 0; i < life->options.threads; i++)
            app_drain(life->apps[i]);
        pthread_mutex_unlock(&life->lock);
    }
    life_join(life);
}

/* For the crash handler, which has nothing else to go by. */
static struct life *crash_life;

/* What the engines did last; then the crash takes its course, with the handler gone. */
static void life_on_crash(int signal_number)
{
    static const char text[] = "weir-mock: crashed; last completions of each thread:\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) > 0)
        for (uint32_t i = 0; crash_life != NULL && i < crash_life->started_count; i++)
            if (crash_life->apps[i]->engine != NULL)
                weir_engine_trace(crash_life->apps[i]->engine, STDERR_FILENO);
    raise(signal_number);
}

static void life_catch_crashes(struct life *life)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
    struct sigaction action = { .sa_handler = life_on_crash,
                                .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
    crash_life = life;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction before;
        /* A sanitizer's own handler tells more. */
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
    }
}

static int life_run(struct life *life)
{
    if (life_raise_descriptors(&life->options) < 0)
        return EXIT_FAILURE;
    life_block_signals(life);
    if (life_open(life) < 0)
        return EXIT_FAILURE;
    life_catch_crashes(life);
    int err = life_start_workers(life);
    if (err == 0)
        life_wait(life);
    crash_life = NULL;
    life_close(life);
    return err == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A feature a line: its name, and yes, no, or off when it is there and not used. */
static int ring_info(const struct options *options)
{
    struct weir_engine_config cfg;
    struct weir_engine *engine;
    weir_engine_config_init(&cfg);
    cfg.ring = options->ring;
    cfg.ring_disable = options->ring_disable;
    if (weir_engine_open(&engine, &cfg) < 0) {
        fprintf(stderr, "weir-mock: %s\n", weir_error_text());
        return EXIT_FAILURE;
    }
    const char *why = weir_engine_ring_fallback(engine);
    if (why != NULL)
        printf("io_uring: %s\n", why);
    for (const char *at = weir_engine_ring_info(engine); *at != '\0';) {
        size_t len = strcspn(at, " ");
        size_t name = strcspn(at, "= ");
        if (name < len)
            printf("%-14.*s %.*s\n", (int)name, at, (int)(len - name - 1), at + name + 1);
        else
            printf("%-14s %.*s\n", "ring", (int)len, at);
        at += len + (at[len] == ' ');
    }
    return weir_engine_close(engine) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Is the configuration, with what the options say, one that the mock would start with? */
static int check_config(const struct options *options)
{
    struct options_error error;
    struct config *config = NULL;
    if (start_config(&config, options, &error) < 0) {
        fprintf(stderr, "weir-mock: %s\n", error.text);
        return EXIT_FAILURE;
    }
    printf("%s: ok\n", options->config != NULL ? options->config : "configuration");
    config_drop(config);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct life life;
    struct options_error err = { .text = "" };
    switch (options_parse(&life.options, argc, argv, &err)) {
    case OPTIONS_RUN:
        return life_run(&life);
    case OPTIONS_CHECK_CONFIG:
        if (check_config(&life.options) != EXIT_SUCCESS)
            return EXIT_FAILURE;
        break;
    case OPTIONS_RING_INFO:
        if (ring_info(&life.options) != EXIT_SUCCESS)
            return EXIT_FAILURE;
        break;
    case OPTIONS_HELP:
        fputs(options_help, stdout);
        break;
    case OPTIONS_VERSION:
        printf("weir-mock %s\n", weir_version());
        break;
    default:
        fprintf(stderr, "weir-mock: %s\n", err.text);
        return EXIT_FAILURE;
    }
    if (fflush(stdout) != 0) {
        fprintf(stderr, "weir-mock: standard output cannot be written: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
