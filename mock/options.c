/* SPDX-License-Identifier: MIT */
#include "mock/options.h"

#include <weir/dist.h>
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
#define TOKENS_MAX        1000000U
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
    "  --listen ADDR:PORT    where to listen; port 0: the kernel picks;\n"
    "                        or unix:PATH                                   127.0.0.1:8080\n"
    "  --threads N           threads, one ring each, 1 ... 256              1\n"
    "  --cpu LIST            pin the threads to these CPUs, \"0\" or \"0,1\":\n"
    "                        one for all or one for each                    not pinned\n"
    "  --realtime            run them before all ordinary threads (SCHED_FIFO):\n"
    "                        exacter; needs CAP_SYS_NICE, and CPU to spare  as others\n"
    "  --wait HOW            adaptive: spin while the next completion is\n"
    "                        likely to come at once, else sleep; spin;\n"
    "                        sleep                                          adaptive\n"
    "  --ring KIND           uring; epoll; auto: io_uring, or epoll where\n"
    "                        it is forbidden                                auto\n"
    "  --ring-disable LIST   features of io_uring not to use, with commas   none\n"
    "  --ring-info           list the features of the ring and what is used,\n"
    "                        given the options before it\n"
    "\n"
    "  --config FILE         what the mock is to be: YAML or JSON, see docs/config.md;\n"
    "                        the options of this group count before it       none\n"
    "  --check-config        say what is wrong with it, or that nothing is\n"
    "  --latency TIME        delay of an answer: times 1 for listing and\n"
    "                        unloading models, 2 for infer, 10 for loading\n"
    "                        a model                                        0\n"
    "  --ttft TIME           to the first token of a stream                 as infer\n"
    "  --itl TIME            between its tokens                             0\n"
    "  --tokens N            of an answer whose request does not say how\n"
    "                        many, 1 ... 1000000                            100\n"
    "  --preset NAME         be a known model on a known machine\n"
    "  --error-rate F        share of requests answered 500, 0 ... 1        0\n"
    "  --seed N              of all chance: what happens to a request\n"
    "                        depends on the seed and its X-Mock-Key, else\n"
    "                        X-Request-Id, else the order of arrival        0\n"
    "  --max-concurrency N   requests served at once; more wait in order.\n"
    "                        0 ... 1000000, 0 = no limit                    100\n"
    "  --strict-models       answer 404 to a model that is not listed       any is taken\n"
    "\n"
    "  --admin [ADDR:]PORT   a port of its own for /admin/, on 127.0.0.1 if\n"
    "                        no address is said                             the same\n"
    "  --request-log FILE    every request as a line of JSON; - is standard\n"
    "                        output; SIGHUP: open it anew                   none\n"
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
    "GET /v1/models   POST /v1/completions   POST /v1/chat/completions\n"
    "GET /api/health   GET /health   GET /version   GET /metrics\n"
    "GET /admin/ (for browsers)   GET /admin/{stats,requests,requests/count,audit,events}\n"
    "GET, PATCH /admin/config   GET, POST /admin/faults   GET, PUT, PATCH, DELETE\n"
    "/admin/faults/{id}   POST /admin/{reset,drain}\n"
    "\n"
    "TIME is a duration, or how it is distributed: lognormal:median=5ms,p99=20ms and others\n"
    "(docs/latency.md). Durations have a unit (750us, 5ms, 30s), sizes may have one (64KiB).\n"
    "When ready, one line is printed: listening on ADDR:PORT; with --admin a second one:\n"
    "admin on ADDR:PORT\n";
/* clang-format on */

enum option_index {
    OPTION_LISTEN,
    OPTION_THREADS,
    OPTION_CPU,
    OPTION_REALTIME,
    OPTION_CONFIG,
    OPTION_CHECK_CONFIG,
    OPTION_LATENCY,
    OPTION_TTFT,
    OPTION_ITL,
    OPTION_TOKENS,
    OPTION_PRESET,
    OPTION_ADMIN,
    OPTION_REQUEST_LOG,
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
    [OPTION_REALTIME] = { "realtime", no_argument, NULL, 0 },
    [OPTION_CONFIG] = { "config", required_argument, NULL, 0 },
    [OPTION_CHECK_CONFIG] = { "check-config", no_argument, NULL, 0 },
    [OPTION_LATENCY] = { "latency", required_argument, NULL, 0 },
    [OPTION_TTFT] = { "ttft", required_argument, NULL, 0 },
    [OPTION_ITL] = { "itl", required_argument, NULL, 0 },
    [OPTION_TOKENS] = { "tokens", required_argument, NULL, 0 },
    [OPTION_PRESET] = { "preset", required_argument, NULL, 0 },
    [OPTION_ADMIN] = { "admin", required_argument, NULL, 0 },
    [OPTION_REQUEST_LOG] = { "request-log", required_argument, NULL, 0 },
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

/* A number that is checked here, so that the error names the option, and handed on as it is. */
static int options_number_text(const char **out, enum option_index option, uint64_t min,
                               uint64_t max, struct options_error *err)
{
    uint64_t value;
    if (weir_parse_number(&value, optarg, min, max) < 0)
        return options_fail_value(err, option);
    *out = optarg;
    return 0;
}

/* The same for how long something takes. */
static int options_time(const char **out, enum option_index option, struct options_error *err)
{
    struct weir_dist *dist = NULL;
    if (weir_dist_parse(&dist, optarg) < 0)
        return options_fail_value(err, option);
    weir_dist_close(dist);
    *out = optarg;
    return 0;
}

/* "9090", "127.0.0.1:9090": the first one is nobody else's business. */
static int options_admin(struct options *out, struct options_error *err)
{
    uint64_t port;
    out->admin = optarg;
    if (optarg[strspn(optarg, "0123456789")] != '\0')
        return 0;
    if (weir_parse_number(&port, optarg, 0, UINT16_MAX) < 0)
        return options_fail_value(err, OPTION_ADMIN);
    snprintf(out->admin_text, sizeof out->admin_text, "127.0.0.1:%u", (unsigned)port);
    out->admin = out->admin_text;
    return 0;
}

/* What goes on top of the configuration. */
static int options_take_config(struct options *out, enum option_index option,
                               struct options_error *err)
{
    switch (option) {
    case OPTION_CONFIG:
        out->config = optarg;
        return 0;
    case OPTION_LATENCY:
        return options_time(&out->latency, option, err);
    case OPTION_TTFT:
        return options_time(&out->ttft, option, err);
    case OPTION_ITL:
        return options_time(&out->itl, option, err);
    case OPTION_TOKENS:
        return options_number_text(&out->tokens, option, 1, TOKENS_MAX, err);
    case OPTION_PRESET:
        out->preset = optarg;
        return 0;
    case OPTION_ERROR_RATE:
        if (weir_parse_fraction(&out->error_rate, optarg) < 0)
            return options_fail_value(err, option);
        return 0;
    case OPTION_SEED:
        return options_number_text(&out->seed, option, 0, INT64_MAX, err);
    case OPTION_CONCURRENCY:
        return options_number_text(&out->concurrency_max, option, 0, CONCURRENCY_MAX, err);
    default:
        out->strict_models = true;
        return 0;
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
    case OPTION_REALTIME:
        out->realtime = true;
        return 0;
    case OPTION_CONFIG:
    case OPTION_LATENCY:
    case OPTION_TTFT:
    case OPTION_ITL:
    case OPTION_TOKENS:
    case OPTION_PRESET:
    case OPTION_ERROR_RATE:
    case OPTION_SEED:
    case OPTION_CONCURRENCY:
    case OPTION_STRICT:
        return options_take_config(out, option, err);
    case OPTION_ADMIN:
        return options_admin(out, err);
    case OPTION_REQUEST_LOG:
        out->request_log = optarg;
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
    /* sched_rt_runtime_us, by default: 950 ms of each second. */
    if (out->realtime && out->wait == WEIR_WAIT_SPIN)
        return options_fail(err, "--wait: expected adaptive or sleep with --realtime: the kernel "
                                 "stops a real-time thread that never sleeps");
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
        .conns_max = 16384,
        .body_bytes_max = 1U << 20,
        .journal_count = 65536,
        .drain_timeout_ns = 30 * NS_PER_S,
    };
    bool check = false;
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
        check |= option == OPTION_CHECK_CONFIG;
        int rc = options_take(out, (enum option_index)option, err);
        if (rc < 0)
            return rc;
    }
    if (optind < argc)
        return options_fail(err, "%s: expected options only; see --help", argv[optind]);
    int rc = options_check(out, err);
    return rc == 0 && check ? OPTIONS_CHECK_CONFIG : rc;
}

uint64_t options_descriptors_max(const struct options *options)
{
    return (uint64_t)options->conns_max + (uint64_t)options->threads * DESCRIPTORS_PER_THREAD +
           DESCRIPTORS_PER_PROCESS + (options->admin != NULL ? OPTIONS_ADMIN_CONNS_MAX : 0);
}
