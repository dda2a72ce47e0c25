/* SPDX-License-Identifier: MIT */
/* weir-bench: a closed loop load generator for HTTP/1.1. This file watches the clock; perf/worker.c
 * makes the load. */
#include "perf/options.h"
#include "perf/report.h"
#include "perf/result.h"
#include "perf/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <weir/engine.h>
#include <weir/units.h>

#define SECOND_NS UINT64_C(1000000000)

enum exit_status { EXIT_OK = 0, EXIT_USAGE = 1, EXIT_NO_RESPONSE = 2, EXIT_SIGNAL = 128 };

/* CPU time of both sides at one moment. */
struct cpu_reading {
    uint64_t at_ns;
    uint64_t client_ns;
    uint64_t server_ns;
    bool server_known;
};

struct bench {
    struct bench_options options;
    struct bench_load *load;
    struct bench_result result;
    struct bench_sample sample;
    uint64_t load_begin_ns, window_begin_ns;
    uint64_t sample_at_ns, sample_done; /* of the progress line before */
    struct cpu_reading cpu_begin, cpu_end;
    FILE *json;
    int event_fd, signal_fd;
    int signal; /* that ended the run; 0 = none */
    bool progress;
    bool begun; /* there was a load */
};

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "weir-bench: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
}

static struct cpu_reading cpu_read(const struct bench *bench)
{
    struct cpu_reading reading = { .at_ns = weir_clock_ns() };
    if (bench->options.server_pid != 0)
        reading.server_known =
            bench_cpu_process_ns(&reading.server_ns, bench->options.server_pid) == 0;
    reading.client_ns = bench_cpu_self_ns();
    return reading;
}

/* ---- The progress line ---- */

static void progress_print(struct bench *bench)
{
    char number[BENCH_NUMBER_TEXT_BYTES];
    char p50[WEIR_DURATION_TEXT_BYTES], p99[WEIR_DURATION_TEXT_BYTES];
    const struct bench_sample *sample = &bench->sample;
    uint64_t now_ns = weir_clock_ns();
    double elapsed_s = (double)(now_ns - bench->load_begin_ns) / 1e9;
    /* A line about the first moments would tell of nothing but chance. */
    bool early = bench->sample_at_ns == 0 && bench->options.warmup_ns != 0 &&
                 now_ns < bench->window_begin_ns + SECOND_NS / 2;
    if (early) {
        fprintf(stderr, "\r\033[K%6.1f s  warming up", elapsed_s);
        return;
    }
    uint64_t since_ns = bench->sample_at_ns;
    if (since_ns < bench->window_begin_ns)
        since_ns = bench->window_begin_ns;
    uint64_t done = sample->done - bench->sample_done;
    uint64_t rate = now_ns == since_ns ? 0 : done * SECOND_NS / (now_ns - since_ns);
    fprintf(stderr, "\r\033[K%6.1f s  %s/s", elapsed_s, bench_format_number(number, rate));
    fprintf(stderr, "  errors %s", bench_format_number(number, sample->errors));
    if (weir_hist_count(sample->latency_us) > 0)
        fprintf(stderr, "  p50 %s  p99 %s",
                weir_format_duration(p50, 1000 * weir_hist_percentile(sample->latency_us, 50)),
                weir_format_duration(p99, 1000 * weir_hist_percentile(sample->latency_us, 99)));
    bench->sample_at_ns = now_ns;
    bench->sample_done = sample->done;
}

static void progress_clear(const struct bench *bench)
{
    if (bench->progress)
        fprintf(stderr, "\r\033[K");
}

/* ---- The run ---- */

static void on_signal(struct bench *bench)
{
    struct signalfd_siginfo info;
    if (read(bench->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    bench->signal = (int)info.ssi_signo;
    bench_load_stop(bench->load);
}

/* Wait for a thread, a signal, or `until_ns` (UINT64_MAX = as long as it takes). */
static void bench_wait(struct bench *bench, uint64_t until_ns)
{
    struct pollfd fds[] = {
        { .fd = bench->event_fd, .events = POLLIN },
        { .fd = bench->signal_fd, .events = POLLIN },
    };
    uint64_t now_ns = weir_clock_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = { .tv_sec = (time_t)(wait_ns / SECOND_NS),
                                .tv_nsec = (long)(wait_ns % SECOND_NS) };
    if (ppoll(fds, 2, until_ns == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
        return;
    uint64_t count = 0;
    if ((fds[0].revents & POLLIN) != 0 &&
        read(bench->event_fd, &count, sizeof(count)) != sizeof(count))
        return; /* somebody else emptied it: there is nothing to wait for */
    if ((fds[1].revents & POLLIN) != 0)
        on_signal(bench);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Until all threads have ended; reads the CPU time at both ends of the window on the way. */
static void bench_watch(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    uint64_t window_end_ns =
        options->duration_ns == 0 ? UINT64_MAX : bench->window_begin_ns + options->duration_ns;
    uint64_t tick_ns = bench->progress ? bench->load_begin_ns + SECOND_NS : UINT64_MAX;
    bool begun = bench->cpu_begin.at_ns != 0, finished = false;
    for (;;) {
        uint64_t now_ns = weir_clock_ns();
        if (!begun && now_ns >= bench->window_begin_ns) {
            bench->cpu_begin = cpu_read(bench);
            begun = true;
        }
        if (!finished && (now_ns >= window_end_ns || bench_load_measured(bench->load))) {
            bench->cpu_end = cpu_read(bench);
            finished = true;
        }
        if (bench_load_ended(bench->load))
            break;
        if (now_ns >= tick_ns) {
            bench_load_sample_begin(bench->load);
            tick_ns += SECOND_NS;
        }
        if (bench_load_sample_finish(bench->load, &bench->sample))
            progress_print(bench);
        uint64_t until_ns = tick_ns;
        if (!begun)
            until_ns = min_u64(until_ns, bench->window_begin_ns);
        else if (!finished)
            until_ns = min_u64(until_ns, window_end_ns);
        bench_wait(bench, until_ns);
    }
    progress_clear(bench);
}

/*
 * The readings are taken a moment beside the window's ends, when this thread was woken: their CPU
 * time is scaled to the window.
 */
static void cpu_collect(struct bench *bench)
{
    const struct cpu_reading *begin = &bench->cpu_begin, *end = &bench->cpu_end;
    struct bench_result *result = &bench->result;
    if (begin->at_ns == 0 || end->at_ns <= begin->at_ns)
        return;
    double scale = (double)result->window_ns / (double)(end->at_ns - begin->at_ns);
    result->client_cpu_us = scale * (double)(end->client_ns - begin->client_ns) / 1e3;
    /* Less than before: a thread of the server has ended and taken its time along. */
    result->server_cpu_known =
        begin->server_known && end->server_known && end->server_ns >= begin->server_ns;
    if (result->server_cpu_known)
        result->server_cpu_us = scale * (double)(end->server_ns - begin->server_ns) / 1e3;
}

static int bench_measure(struct bench *bench)
{
    char error[BENCH_ERROR_TEXT_BYTES];
    int err = bench_load_open(&bench->load, &bench->options, bench->event_fd, error);
    if (err < 0) {
        complain("%s", error);
        return err == -EINVAL ? EXIT_USAGE : EXIT_NO_RESPONSE;
    }
    /* Without a warm-up the window begins before the first request, so that -n counts each of them.
     */
    bench->load_begin_ns = weir_clock_ns();
    bench->window_begin_ns = bench->load_begin_ns + bench->options.warmup_ns;
    if (bench->options.warmup_ns == 0)
        bench->cpu_begin = cpu_read(bench);
    bench->begun = true;
    bench_load_start(bench->load, bench->window_begin_ns);
    bench_watch(bench);
    err = bench_load_close(bench->load, &bench->result, error);
    bench->load = NULL;
    cpu_collect(bench);
    if (err < 0)
        complain("%s", error);
    if (err == -EINVAL)
        return EXIT_USAGE;
    if (bench->signal != 0)
        return EXIT_SIGNAL + bench->signal;
    return err < 0 || !bench->result.answered ? EXIT_NO_RESPONSE : EXIT_OK;
}

/* @return whether everything could be written */
static bool bench_report(struct bench *bench)
{
    bool written = true;
    /* A load that never began has said why, and a page of zeros would only hide it; scripts get
     * theirs. */
    if (bench->begun && bench->json != stdout) {
        bench_report_text(stdout, &bench->options, &bench->result);
        written = fflush(stdout) == 0 && !ferror(stdout);
    }
    if (!written)
        complain("the report cannot be written: %s", strerror(errno));
    if (bench->json == NULL)
        return written;
    bench_report_json(bench->json, &bench->options, &bench->result);
    if (fflush(bench->json) != 0 || ferror(bench->json)) {
        complain("--json '%s': %s", bench->options.json_path, strerror(errno));
        return false;
    }
    return written;
}

/* ---- Preparations ---- */

/* Connections, and what engines, terminals and libraries hold besides. */
static int raise_nofile(const struct bench_options *options)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)options->connections + 16 * (rlim_t)options->threads + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -errno;
    if (limit.rlim_cur >= need)
        return 0;
    if (limit.rlim_max < need) {
        complain(
            "--connections %u: needs %llu descriptors, the limit is %llu (raise it: ulimit -Hn)",
            options->connections, (unsigned long long)need, (unsigned long long)limit.rlim_max);
        return -EMFILE;
    }
    limit.rlim_cur = need;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    int err = -errno;
    complain("--connections %u: %s", options->connections, strerror(-err));
    return err;
}

static int open_json(struct bench *bench)
{
    const char *path = bench->options.json_path;
    if (path == NULL)
        return 0;
    bench->json = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (bench->json != NULL)
        return 0;
    complain("--json '%s': %s", path, strerror(errno));
    return -EINVAL;
}

/* Signals come as data, on a descriptor, and to no thread: they are blocked before the first is
 * started. */
static int open_events(struct bench *bench)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    int err = pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (err == 0) {
        bench->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        bench->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        err = bench->signal_fd < 0 || bench->event_fd < 0 ? errno : 0;
    }
    if (err != 0)
        complain("%s", strerror(err));
    return -err;
}

static int bench_prepare(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    int err = raise_nofile(options);
    if (err == 0 && options->cpus.count > 0) {
        err = bench_cpu_pin_self(&options->cpus);
        if (err < 0)
            complain("--cpu: none of these CPUs can be used: %s", strerror(-err));
    }
    if (err == 0)
        err = open_events(bench);
    if (err == 0)
        err = bench_result_init(&bench->result);
    if (err == 0)
        err = bench_latency_open(&bench->sample.latency_us);
    if (err == 0)
        err = open_json(bench);
    bench->progress = options->progress && isatty(STDERR_FILENO) != 0;
    return err;
}

static void bench_deinit(struct bench *bench)
{
    if (bench->json != NULL && bench->json != stdout)
        fclose(bench->json);
    bench_result_deinit(&bench->result);
    weir_hist_close(bench->sample.latency_us);
    if (bench->event_fd >= 0)
        close(bench->event_fd);
    if (bench->signal_fd >= 0)
        close(bench->signal_fd);
    bench_options_deinit(&bench->options);
}

int main(int argc, char **argv)
{
    struct bench bench = { .event_fd = -1, .signal_fd = -1 };
    char error[BENCH_ERROR_TEXT_BYTES];
    int status = EXIT_OK;
    switch (bench_options_parse(&bench.options, argc, argv, error)) {
    case BENCH_WISH_HELP:
        fputs(bench_options_help(), stdout);
        break;
    case BENCH_WISH_VERSION:
        printf("weir-bench %s\n", weir_version());
        break;
    case BENCH_WISH_ERROR:
        complain("%s", error);
        status = EXIT_USAGE;
        break;
    case BENCH_WISH_RUN:
        status = EXIT_USAGE;
        if (bench_prepare(&bench) != 0)
            break;
        status = bench_measure(&bench);
        if (status != EXIT_USAGE && !bench_report(&bench))
            status = EXIT_USAGE;
        break;
    }
    bench_deinit(&bench);
    return status;
}
