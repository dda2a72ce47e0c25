/* SPDX-License-Identifier: MIT */
#include "perf/get/run.h"

#include "perf/get/call.h"
#include "perf/get/item.h"
#include "perf/get/secure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Failures that are told of one by one; of more it is only told how many they were. */
#define COMPLAINTS_MAX 10

/* Large bodies come in few pieces, and small ones take no more of it. */
#define RECV_BUF_BYTES 16384
/* What an engine has open besides the connections of the pool: attempts that lost the race,
 * look-ups. */
#define DESCRIPTORS_MORE 64
#define WAIT_NS          (UINT64_C(3600) * 1000000000)

/* ---- What is told ---- */

void get_run_tell(struct get_run *run, struct get_output *out)
{
    if (run->scratch.err == 0)
        get_output_write(out, get_text_slice(&run->scratch));
    else if (out->err == 0)
        out->err = run->scratch.err;
    get_text_clear(&run->scratch);
}

static bool is_of_connecting(int err)
{
    return err == WEIR_E_RESOLVE || err == WEIR_E_CONNECT || err == WEIR_E_CONNECT_TIMEOUT ||
           err == WEIR_E_TLS || err == WEIR_E_CERTIFICATE;
}

void get_run_complain(struct get_run *run, uint64_t number, int err, int os_err)
{
    struct get_text *out = &run->scratch;
    if (run->complaints++ >= COMPLAINTS_MAX)
        return;
    get_text_add_string(out, "weir-get: ");
    if (run->repeat > 1)
        get_text_printf(out, "call %" PRIu64 ": ", number);
    get_text_add_string(out, weir_strerror(err));
    /* Of a connection there is more to tell, but only now: see on_end in struct
     * weir_call_handler. */
    if (is_of_connecting(err) && weir_error_text()[0] != '\0')
        get_text_printf(out, ": %s", weir_error_text());
    else if (os_err != 0)
        get_text_printf(out, ": %s", weir_strerror(os_err));
    get_text_printf(out, " (%s)\n", weir_err_name(err));
    get_run_tell(run, &run->log);
}

void get_run_refuse(struct get_run *run, int err)
{
    struct get_text *out = &run->scratch;
    bool told = (err == -EINVAL || err == WEIR_E_LIMIT) && weir_error_text()[0] != '\0';
    run->stopping = true;
    run->tally.failed++;
    get_tally_fail(&run->tally, get_status_of(err));
    get_text_printf(out, "weir-get: the request cannot be sent: %s (%s)\n",
                    told ? weir_error_text() : weir_strerror(err), weir_err_name(err));
    get_run_tell(run, &run->log);
}

static void run_tell_stats(struct get_run *run)
{
    struct get_stats stats = { .endpoints_count = run->options->endpoints_count };
    struct get_text *out = &run->scratch;
    get_stats_read(&stats, run->engine, run->client, run->batcher);
    if (run->options->json) {
        get_text_add_string(out, "{");
        get_tally_json(&run->tally, out);
        get_text_add_string(out, ",");
        get_stats_json(&stats, out);
        get_text_add_string(out, "}\n");
    } else {
        get_tally_text(&run->tally, out);
        get_stats_text(&stats, out);
    }
    get_run_tell(run, &run->log);
}

/* ---- Open ---- */

__attribute__((format(printf, 4, 5))) static int
run_fail(struct get_error *error, int err, enum get_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    error->status = status;
    return err;
}

static uint64_t divide_up(uint64_t number, uint64_t by)
{
    return (number + by - 1) / by;
}

static uint32_t conns_max(const struct get_options *options)
{
    uint64_t requests = options->concurrency;
    if (options->conns_max != 0)
        return options->conns_max;
    if (options->batch > 0)
        requests = divide_up(requests, options->batch);
    return (uint32_t)divide_up(requests, options->pipeline);
}

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static uint64_t pow2_at_least(uint64_t value)
{
    uint64_t pow2 = 1;
    while (pow2 < value)
        pow2 *= 2;
    return pow2;
}

/* What a request takes in output memory, generously. */
static uint64_t request_bytes(const struct weir_request *request)
{
    uint64_t bytes = 512 + request->target.len + request->host.len + request->body.len;
    for (size_t i = 0; i < request->headers_count; i++)
        bytes += request->headers[i].name.len + request->headers[i].value.len + 4;
    return bytes;
}

/* As many descriptors as this process may have, when it needs so many. */
static void raise_descriptors(uint64_t needed)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
        return;
    limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
    /* Refused, connections beyond the limit will fail, and that is told then. */
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_open_engine(struct get_run *run, struct get_error *error)
{
    const struct get_options *options = run->options;
    uint64_t conns = conns_max(options);
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    /* A connection may be made by several attempts at a time. */
    cfg.conns_max = (uint32_t)(2 * conns + DESCRIPTORS_MORE);
    cfg.recv_bufs_max = (uint32_t)clamp(pow2_at_least(conns), 256, 4096);
    cfg.recv_buf_bytes = RECV_BUF_BYTES;
    cfg.cq_entries = (uint32_t)clamp(pow2_at_least(2 * conns), 4096, 65536);
    cfg.send_bytes_max = clamp(request_bytes(&options->request) * options->concurrency * 2,
                               cfg.send_bytes_max, UINT64_C(1) << 30);
    cfg.ring = options->ring;
    cfg.wait = options->wait;
    cfg.ring_disable = options->ring_disable;
    raise_descriptors(cfg.conns_max + DESCRIPTORS_MORE);
    int result = weir_engine_open(&run->engine, &cfg);
    if (result < 0)
        return run_fail(error, result, GET_STATUS_USAGE, "the engine cannot be opened: %s",
                        weir_error_text());
    if (options->verbose) {
        const char *fallback = weir_engine_ring_fallback(run->engine);
        get_text_printf(&run->scratch, "* %s\n", weir_engine_ring_info(run->engine));
        if (fallback != NULL)
            get_text_printf(&run->scratch, "* epoll instead of io_uring: %s\n", fallback);
        get_run_tell(run, &run->log);
    }
    return 0;
}

static int run_open_client(struct get_run *run, struct get_error *error)
{
    const struct get_options *options = run->options;
    const char *endpoints[WEIR_ENDPOINTS_MAX];
    struct weir_client_config cfg;
    int result = get_secure_open(&run->tls, options, error);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < options->endpoints_count; i++)
        endpoints[i] = options->endpoints[i];
    weir_client_config_init(&cfg);
    cfg.endpoints = endpoints;
    cfg.endpoints_count = options->endpoints_count;
    cfg.conns_max = conns_max(options);
    cfg.conns_min = 0; /* what nobody asked for is not opened */
    cfg.pipeline_max = options->pipeline;
    cfg.waiting_max = options->concurrency;
    if (options->idle_timeout_given)
        cfg.idle_timeout_ns = options->idle_timeout_ns;
    /* Who asks for retries by a number wants that number of them. */
    cfg.retry.attempts_max = options->retries + 1;
    cfg.retry.budget_percent = 100;
    cfg.retry.budget_min = 1000;
    cfg.tls = run->tls;
    cfg.tls_name = options->tls_name[0] == '\0' ? NULL : options->tls_name;
    result = weir_client_open(&run->client, run->engine, &cfg);
    if (result == 0)
        return 0;
    enum get_status status = result == WEIR_E_TLS ? GET_STATUS_CA_FILE : get_status_of(result);
    return run_fail(error, result, status, "%s", weir_error_text());
}

/* Where bodies go, and what else is written to. */
static int run_open_outputs(struct get_run *run, struct get_error *error)
{
    const struct get_options *options = run->options;
    const char *path = options->output_path;
    get_output_init(&run->standard, STDOUT_FILENO, run->interrupted);
    get_output_init(&run->log, STDERR_FILENO, run->interrupted);
    run->bodies = &run->standard;
    if (path == NULL && options->json)
        run->bodies = NULL;
    if (path == NULL || strcmp(path, "-") == 0)
        return 0;
    run->bodies = &run->file;
    int result = get_output_open(&run->file, path, run->interrupted);
    if (result == 0)
        return 0;
    run->bodies = NULL;
    return run_fail(error, result, GET_STATUS_WRITE, "--output '%s': %s", path,
                    weir_strerror(result));
}

int get_run_open(struct get_run *run, const struct get_options *options,
                 const volatile sig_atomic_t *interrupted, struct get_error *error)
{
    run->options = options;
    run->interrupted = interrupted;
    run->repeat = options->repeat;
    run->deadline_ns = options->deadline_ns;
    int result = run_open_outputs(run, error);
    if (result < 0)
        return result;
    result = get_tally_open(&run->tally);
    if (result < 0)
        return run_fail(error, result, GET_STATUS_MEMORY, "%s", weir_strerror(result));
    result = run_open_engine(run, error);
    if (result == 0)
        result = run_open_client(run, error);
    if (result < 0)
        return result;
    result = options->batch > 0 ? get_items_open(run) : get_calls_open(run);
    if (result == -ENOMEM)
        return run_fail(error, result, GET_STATUS_MEMORY, "%s", weir_strerror(result));
    if (result < 0)
        return run_fail(error, result, GET_STATUS_USAGE, "%s", weir_error_text());
    return 0;
}

/* ---- Run ---- */

static bool run_must_end(const struct get_run *run)
{
    return *run->interrupted != 0 || run->standard.err != 0 ||
           (run->bodies != NULL && run->bodies->err != 0);
}

static void run_cancel(struct get_run *run)
{
    run->stopping = true;
    run->cancelled = true;
    if (run->options->batch > 0)
        get_items_cancel(run);
    else
        get_calls_cancel(run);
}

static void run_flush(struct get_run *run)
{
    if (run->standard.len > 0)
        get_output_flush(&run->standard);
    if (run->log.len > 0)
        get_output_flush(&run->log);
    if (run->bodies == &run->file && run->file.len > 0)
        get_output_flush(&run->file);
}

void get_run_go(struct get_run *run)
{
    /* A pass that waits for nothing: the clock of the engine is as old as its last pass. */
    int result = weir_engine_run_once(run->engine, 0);
    run->tally.begin_ns = weir_engine_now_ns(run->engine);
    if (run->options->batch > 0)
        get_items_fill(run);
    else
        get_calls_fill(run);
    while (result == 0 && run->in_flight > 0) {
        result = weir_engine_run_once(run->engine, WAIT_NS);
        run_flush(run);
        if (run_must_end(run) && !run->cancelled)
            run_cancel(run);
    }
    run->tally.end_ns = weir_engine_now_ns(run->engine);
    if (result < 0) {
        get_text_printf(&run->scratch, "weir-get: the engine ended: %s\n", weir_strerror(result));
        get_run_tell(run, &run->log);
        get_tally_fail(&run->tally, GET_STATUS_USAGE);
    }
    if (run->complaints > COMPLAINTS_MAX) {
        get_text_printf(&run->scratch, "weir-get: and %" PRIu64 " more failures\n",
                        run->complaints - COMPLAINTS_MAX);
        get_run_tell(run, &run->log);
    }
    if (run->options->stats)
        run_tell_stats(run);
}

/* ---- Close ---- */

/* What could not be written, unless it was a signal that ended the writing. */
static void run_close_output(struct get_run *run, struct get_output *out, const char *name)
{
    int result = get_output_close(out);
    if (result == 0 || (result == -EINTR && *run->interrupted != 0))
        return;
    get_tally_fail(&run->tally, GET_STATUS_WRITE);
    if (out == &run->log)
        return; /* there is nobody left to tell */
    get_text_printf(&run->scratch, "weir-get: %s: %s\n", name, weir_strerror(result));
    get_run_tell(run, &run->log);
}

static int run_close_objects(struct get_run *run)
{
    int result = get_items_close(run);
    if (result == 0 && run->client != NULL)
        result = weir_client_close(run->client);
    if (result == 0 && run->engine != NULL)
        result = weir_engine_close(run->engine);
    weir_tls_close(run->tls);
    return result;
}

enum get_status get_run_close(struct get_run *run)
{
    int result = run_close_objects(run);
    if (result < 0)
        get_tally_fail(&run->tally, GET_STATUS_USAGE);
    else
        get_calls_close(run);
    if (run->file.owned)
        run_close_output(run, &run->file, run->options->output_path);
    run_close_output(run, &run->standard, "standard output");
    run_close_output(run, &run->log, "standard error");
    get_text_deinit(&run->scratch);
    if (run->tally.latency_us != NULL)
        get_tally_close(&run->tally);
    if (*run->interrupted != 0)
        return GET_STATUS_SIGNAL + (enum get_status) * run->interrupted;
    return run->tally.status;
}
