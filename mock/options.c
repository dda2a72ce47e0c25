/* SPDX-License-Identifier: MIT */
#include "mock/options.h"

#include <weir/units.h>

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S          1000000000ULL
#define DURATION_NS_MAX   (3600 * NS_PER_S)
#define CONCURRENCY_MAX   1000000U
#define CONNS_MAX         1000000U
#define BODY_BYTES_MAX    (1ULL << 30)
#define JOURNAL_COUNT_MAX 16777216U

/* Rings, listeners and wake-ups of one thread; standard streams and /proc files of the process. */
#define DESCRIPTORS_PER_THREAD  8U
#define DESCRIPTORS_PER_PROCESS 32U

/* clang-format off */
const char options_help[] =
    "weir-mock: an inference server that is not there, with the latency and errors you ask for\n"
    "\n"
    "usage: weir-mock [options]\n"
    "\n"
    "  --listen ADDR:PORT    where to listen; port 0: the kernel picks      127.0.0.1:8080\n"
    "  --threads N           threads, one ring each, 1 ... 256              1\n"
    "  --cpu LIST            pin the threads to these CPUs, \"0\" or \"0,1\":\n"
    "                        one for all or one for each                    not pinned\n"
    "  --wait HOW            adaptive: spin while the next completion is\n"
    "                        likely to come at once, else sleep; spin;\n"
    "                        sleep                                          adaptive\n"
    "  --ring KIND           uring; epoll; auto: io_uring, or epoll where\n"
    "                        it is forbidden                                auto\n"
    "  --ring-disable LIST   features of io_uring not to use, with commas   none\n"
    "  --ring-info           list the features of the ring and what is used,\n"
    "                        given the options before it\n"
    "\n"
    "  --latency DUR         delay of an answer, 0 ... 1h: times 1 for\n"
    "                        listing and unloading models, 2 for infer,\n"
    "                        10 for loading a model                         0\n"
    "  --error-rate F        share of these requests answered 500, 0 ... 1  0\n"
    "  --seed N              of the errors: what happens to a request\n"
    "                        depends on the seed and its X-Mock-Key, else\n"
    "                        X-Request-Id, else the order of arrival        0\n"
    "  --max-concurrency N   requests served at once; more wait in order.\n"
    "                        0 ... 1000000, 0 = no limit                    100\n"
    "  --strict-models       answer 404 to a model_id that is not listed    any is taken\n"
    "\n"
    "  --max-conns N         connections, shared out evenly to the threads,\n"
    "                        1 ... 1000000; more wait to be accepted        16384\n"
    "  --defer-accept        leave a connection to the kernel until its\n"
    "                        first bytes are there, or for a second         at once\n"
    "  --tls-cert FILE       speak TLS with this certificate and those behind it\n"
    "                        in the file (PEM)                              no TLS\n"
    "  --tls-key FILE        its key (PEM, not encrypted)\n"
    "  --max-body SIZE       longest request body, 1 ... 1GiB               1MiB\n"
    "  --journal N           requests remembered for /admin/requests,\n"
    "                        0 ... 16777216, 0 = none                       65536\n"
    "  --drain-timeout DUR   how long requests may take to end after the\n"
    "                        first SIGTERM or SIGINT, 0 ... 1h              30s\n"
    "  --help, --version\n"
    "\n"
    "GET /api/models   POST /api/models/load   POST /api/models/unload   POST /api/infer\n"
    "POST /api/infer/batch (1 ... 100 infer requests, delayed and failed as one)\n"
    "GET /api/health   GET /metrics   GET /admin/stats   GET /admin/requests?limit=N\n"
    "POST /admin/reset\n"
    "\n"
    "Durations have a unit (750us, 5ms, 30s), sizes may have one (64KiB). Health, metrics and\n"
    "admin requests are never delayed, limited or failed. When ready, one line is printed:\n"
    "listening on ADDR:PORT\n";
/* clang-format on */

enum option_index {
    OPTION_LISTEN,
    OPTION_THREADS,
    OPTION_CPU,
    OPTION_LATENCY,
    OPTION_ERROR_RATE,
    OPTION_SEED,
    OPTION_CONCURRENCY,
    OPTION_STRICT,
    OPTION_CONNS,
    OPTION_DEFER,
    OPTION_TLS_CERT,
    OPTION_TLS_KEY,
    OPTION_BODY,
    OPTION_JOURNAL,
    OPTION_DRAIN,
    OPTION_WAIT,
    OPTION_RING,
    OPTION_RING_DISABLE,
    OPTION_RING_INFO,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_COUNT
};

static const struct option option_table[] = {
    [OPTION_LISTEN] = { "listen", required_argument, NULL, 0 },
    [OPTION_THREADS] = { "threads", required_argument, NULL, 0 },
    [OPTION_CPU] = { "cpu", required_argument, NULL, 0 },
    [OPTION_LATENCY] = { "latency", required_argument, NULL, 0 },
    [OPTION_ERROR_RATE] = { "error-rate", required_argument, NULL, 0 },
    [OPTION_SEED] = { "seed", required_argument, NULL, 0 },
    [OPTION_CONCURRENCY] = { "max-concurrency", required_argument, NULL, 0 },
    [OPTION_STRICT] = { "strict-models", no_argument, NULL, 0 },
    [OPTION_CONNS] = { "max-conns", required_argument, NULL, 0 },
    [OPTION_DEFER] = { "defer-accept", no_argument, NULL, 0 },
    [OPTION_TLS_CERT] = { "tls-cert", required_argument, NULL, 0 },
    [OPTION_TLS_KEY] = { "tls-key", required_argument, NULL, 0 },
    [OPTION_BODY] = { "max-body", required_argument, NULL, 0 },
    [OPTION_JOURNAL] = { "journal", required_argument, NULL, 0 },
    [OPTION_DRAIN] = { "drain-timeout", required_argument, NULL, 0 },
    [OPTION_WAIT] = { "wait", required_argument, NULL, 0 },
    [OPTION_RING] = { "ring", required_argument, NULL, 0 },
    [OPTION_RING_DISABLE] = { "ring-disable", required_argument, NULL, 0 },
    [OPTION_RING_INFO] = { "ring-info", no_argument, NULL, 0 },
    [OPTION_HELP] = { "help", no_argument, NULL, 0 },
    [OPTION_VERSION] = { "version", no_argument, NULL, 0 },
    [OPTION_COUNT] = { NULL, 0, NULL, 0 },
};

static int options_fail(struct options_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int options_fail(struct options_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -EINVAL;
}

/* The library's text says what is wrong with the value; which option it was, only we know. */
static int options_fail_value(struct options_error *err, enum option_index option)
{
    return options_fail(err, "--%s: %s", option_table[option].name, weir_error_text());
}

static int options_number(uint32_t *out, enum option_index option, uint32_t min, uint32_t max,
                          struct options_error *err)
{
    uint64_t value;
    if (weir_parse_number(&value, optarg, min, max) < 0)
        return options_fail_value(err, option);
    *out = (uint32_t)value;
    return 0;
}

static int options_duration(uint64_t *out, enum option_index option, struct options_error *err)
{
    uint64_t value;
    if (weir_parse_duration_ns(&value, optarg) < 0)
        return options_fail_value(err, option);
    if (value > DURATION_NS_MAX)
        return options_fail(err, "--%s: expected a duration of 0 ... 1h, got '%s'",
                            option_table[option].name, optarg);
    *out = value;
    return 0;
}

static int options_size(uint64_t *out, enum option_index option, struct options_error *err)
{
    uint64_t value;
    if (weir_parse_size_bytes(&value, optarg) < 0)
        return options_fail_value(err, option);
    if (value < 1 || value > BODY_BYTES_MAX)
        return options_fail(err, "--%s: expected a size of 1 ... 1GiB, got '%s'",
                            option_table[option].name, optarg);
    *out = value;
    return 0;
}

static int options_ring(struct options *out, enum option_index option, struct options_error *err)
{
    int rc;
    if (option == OPTION_WAIT)
        rc = weir_parse_wait(&out->wait, optarg);
    else if (option == OPTION_RING)
        rc = weir_parse_ring(&out->ring, optarg);
    else
        rc = weir_parse_ring_features(&out->ring_disable, optarg);
    return rc < 0 ? options_fail_value(err, option) : 0;
}

static int options_cpus(struct options *out, struct options_error *err)
{
    out->cpus_count = 0;
    const char *at = optarg;
    for (;;) {
        size_t len = strcspn(at, ",");
        char number[16];
        uint64_t cpu;
        if (len == 0 || len >= sizeof number)
            return options_fail(err, "--cpu: expected CPU numbers with commas between, got '%s'",
                                optarg);
        memcpy(number, at, len);
        number[len] = '\0';
        if (weir_parse_number(&cpu, number, 0, CPU_SETSIZE - 1) < 0)
            return options_fail_value(err, OPTION_CPU);
        if (out->cpus_count == OPTIONS_THREADS_MAX)
            return options_fail(err, "--cpu: expected at most %d CPUs", OPTIONS_THREADS_MAX);
        out->cpus[out->cpus_count++] = (uint16_t)cpu;
        if (at[len] == '\0')
            return 0;
        at += len + 1;
    }
}

static int options_take(struct options *out, enum option_index option, struct options_error *err)
{
    switch (option) {
    case OPTION_LISTEN:
        out->listen = optarg;
        return 0;
    case OPTION_THREADS:
        return options_number(&out->threads, option, 1, OPTIONS_THREADS_MAX, err);
    case OPTION_CPU:
        return options_cpus(out, err);
    case OPTION_LATENCY:
        return options_duration(&out->latency_ns, option, err);
    case OPTION_ERROR_RATE:
        if (weir_parse_fraction(&out->error_rate, optarg) < 0)
            return options_fail_value(err, option);
        return 0;
    case OPTION_SEED:
        if (weir_parse_number(&out->seed, optarg, 0, UINT64_MAX) < 0)
            return options_fail_value(err, option);
        return 0;
    case OPTION_CONCURRENCY:
        return options_number(&out->concurrency_max, option, 0, CONCURRENCY_MAX, err);
    case OPTION_STRICT:
        out->strict_models = true;
        return 0;
    case OPTION_DEFER:
        out->defer_accept = true;
        return 0;
    case OPTION_TLS_CERT:
        out->tls_cert = optarg;
        return 0;
    case OPTION_TLS_KEY:
        out->tls_key = optarg;
        return 0;
    case OPTION_CONNS:
        return options_number(&out->conns_max, option, 1, CONNS_MAX, err);
    case OPTION_BODY:
        return options_size(&out->body_bytes_max, option, err);
    case OPTION_JOURNAL:
        return options_number(&out->journal_count, option, 0, JOURNAL_COUNT_MAX, err);
    case OPTION_WAIT:
    case OPTION_RING:
    case OPTION_RING_DISABLE:
        return options_ring(out, option, err);
    case OPTION_DRAIN:
        return options_duration(&out->drain_timeout_ns, option, err);
    default:
        return 0;
    }
}

/* What fits each alone may not fit together. */
static int options_check(const struct options *out, struct options_error *err)
{
    if (out->cpus_count > 1 && out->cpus_count != out->threads)
        return options_fail(err, "--cpu: expected 1 CPU, or one for each of %u threads, got %u",
                            out->threads, out->cpus_count);
    if ((out->tls_cert == NULL) != (out->tls_key == NULL))
        return options_fail(err, "--tls-%s: expected --tls-%s too",
                            out->tls_cert == NULL ? "key" : "cert",
                            out->tls_cert == NULL ? "cert" : "key");
    if (out->conns_max < out->threads)
        return options_fail(err,
                            "--max-conns: expected at least one for each of %u threads, got %u",
                            out->threads, out->conns_max);
    if (out->threads > 1 && strncmp(out->listen, "unix:", 5) == 0)
        return options_fail(err,
                            "--threads: a unix socket cannot be shared by several threads: "
                            "expected 1, got %u",
                            out->threads);
    return 0;
}

/*
 * getopt_long() takes "--lat" for "--latency". A script that relies on it breaks when an option is
 * added, so only whole names count. `argument` is the element of argv that the option was read
 * from.
 */
static bool options_spelled_out(const char *argument, const char *name)
{
    size_t len = strlen(name);
    return strncmp(argument, "--", 2) == 0 && strncmp(argument + 2, name, len) == 0 &&
           (argument[2 + len] == '\0' || argument[2 + len] == '=');
}

int options_parse(struct options *out, int argc, char **argv, struct options_error *err)
{
    *out = (struct options){
        .listen = "127.0.0.1:8080",
        .threads = 1,
        .concurrency_max = 100,
        .conns_max = 16384,
        .body_bytes_max = 1U << 20,
        .journal_count = 65536,
        .drain_timeout_ns = 30 * NS_PER_S,
    };
    opterr = 0;
    optind = 0; /* GNU: start over, also after an earlier parse that ended early */
    for (;;) {
        int option = OPTION_COUNT;
        const char *argument = argv[optind == 0 ? 1 : optind];
        /* '+': stop at the first argument that is no option; ':': tell a missing value apart. */
        int got = getopt_long(argc, argv, "+:", option_table, &option);
        if (got == -1)
            break;
        if (got == ':')
            return options_fail(err, "%s: expected a value; see --help", argument);
        if (got == '?' && optopt == 0 && strchr(argument, '=') != NULL)
            return options_fail(err, "%s: no such option, or one without a value; see --help",
                                argument);
        if (got == '?' || !options_spelled_out(argument, option_table[option].name))
            return options_fail(err, "%s: no such option; see --help", argument);
        if (option == OPTION_HELP)
            return OPTIONS_HELP;
        if (option == OPTION_VERSION)
            return OPTIONS_VERSION;
        if (option == OPTION_RING_INFO)
            return OPTIONS_RING_INFO;
        int rc = options_take(out, (enum option_index)option, err);
        if (rc < 0)
            return rc;
    }
    if (optind < argc)
        return options_fail(err, "%s: expected options only; see --help", argv[optind]);
    return options_check(out, err);
}

uint64_t options_descriptors_max(const struct options *options)
{
    return (uint64_t)options->conns_max + (uint64_t)options->threads * DESCRIPTORS_PER_THREAD +
           DESCRIPTORS_PER_PROCESS;
}
