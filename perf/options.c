/* SPDX-License-Identifier: MIT */
#include "perf/options.h"

#include "perf/words.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/http1.h>
#include <weir/units.h>

#define CONNECTIONS_MAX 1000000U
#define THREADS_MAX     1024U
#define PIPELINE_MAX    1024U
#define REQUESTS_MAX    1000000000000000U
#define HEADERS_MAX     64U

enum {
    OPT_WARMUP = 256,
    OPT_TIMEOUT,
    OPT_CPU,
    OPT_SERVER_PID,
    OPT_JSON,
    OPT_NO_PROGRESS,
    OPT_WAIT,
    OPT_RING,
    OPT_RING_DISABLE,
    OPT_CACERT,
    OPT_INSECURE,
    OPT_HELP,
    OPT_VERSION
};

static const char help[] =
    "Usage: weir-bench [options] URL\n"
    "\n"
    "Load an HTTP/1.1 server from a fixed number of connections, each asking again as soon as it\n"
    "is answered (closed loop), and report throughput, latency, errors and CPU time.\n"
    "URL is http[s]://host[:port][/path][?query], or http+unix://%2Fsocket/path.\n"
    "\n"
    "Load\n"
    "  -c, --connections N    connections, shared out among the threads (default 64)\n"
    "  -t, --threads N        threads, each with an engine of its own (default 1)\n"
    "  -p, --pipeline DEPTH   requests in flight on each connection (default 1)\n"
    "  -d, --duration DUR     how long to measure, as 750ms, 10s, 5m (default 10s)\n"
    "  -n, --requests N       end when N requests are done, answered or failed; with -d also\n"
    "                         given, when the first of the two is reached\n"
    "      --warmup DUR       load before the measurement begins; not counted (default 0)\n"
    "      --timeout DUR      a request that takes longer fails (default 10s)\n"
    "\n"
    "Request\n"
    "  -X, --method METHOD    default GET, or POST when there is a body\n"
    "  -H, --header 'N: V'    add a header field; may be repeated; Host replaces the URL's\n"
    "  -b, --body STR|@FILE   the body, or the file that holds it\n"
    "      --cacert FILE      trust the certificates in it, and no others, for https\n"
    "      --insecure         take whatever certificate the server has\n"
    "\n"
    "Measurement and report\n"
    "      --wait HOW         adaptive (default): spin while the next completion is likely to\n"
    "                         come at once, else sleep; spin; sleep\n"
    "      --ring KIND        auto (default), uring, or epoll\n"
    "      --ring-disable L   features of io_uring not to use, with commas\n"
    "      --cpu LIST         pin the threads to these CPUs in turn, as 1 or 0,2 or 0-3\n"
    "      --server-pid PID   report the CPU time of this process per request, too\n"
    "      --json FILE        write the report as JSON; '-' = to standard output, in place of\n"
    "                         the text\n"
    "      --no-progress      no progress line on a terminal\n"
    "      --help             print this\n"
    "      --version          print the version\n"
    "\n"
    "Throughput counts 2xx answers only, latency is theirs; all else is an error and is listed by\n"
    "its kind. Exit status: 0 ok, 1 usage, 2 no response at all, 130 interrupted.\n";

static const struct option long_options[] = {
    { "connections", required_argument, NULL, 'c' },
    { "threads", required_argument, NULL, 't' },
    { "pipeline", required_argument, NULL, 'p' },
    { "duration", required_argument, NULL, 'd' },
    { "requests", required_argument, NULL, 'n' },
    { "warmup", required_argument, NULL, OPT_WARMUP },
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "method", required_argument, NULL, 'X' },
    { "header", required_argument, NULL, 'H' },
    { "body", required_argument, NULL, 'b' },
    { "cacert", required_argument, NULL, OPT_CACERT },
    { "insecure", no_argument, NULL, OPT_INSECURE },
    { "cpu", required_argument, NULL, OPT_CPU },
    { "server-pid", required_argument, NULL, OPT_SERVER_PID },
    { "json", required_argument, NULL, OPT_JSON },
    { "no-progress", no_argument, NULL, OPT_NO_PROGRESS },
    { "wait", required_argument, NULL, OPT_WAIT },
    { "ring", required_argument, NULL, OPT_RING },
    { "ring-disable", required_argument, NULL, OPT_RING_DISABLE },
    { "help", no_argument, NULL, OPT_HELP },
    { "version", no_argument, NULL, OPT_VERSION },
    { NULL, 0, NULL, 0 },
};

/* What is only needed while the command line is read. */
struct options_parser {
    struct bench_options *out;
    char *error;
    bool method_given;
    bool body_given;
    bool duration_given;
};

const char *bench_options_help(void)
{
    return help;
}

__attribute__((format(printf, 2, 3))) static int options_fail(struct options_parser *parser,
                                                              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(parser->error, BENCH_ERROR_TEXT_BYTES, format, args);
    va_end(args);
    return -EINVAL;
}

static int parse_count(struct options_parser *parser, uint32_t *out, const char *name, uint32_t max)
{
    uint64_t number = 0;
    if (weir_parse_number(&number, optarg, 1, max) < 0)
        return options_fail(parser, "%s '%s': %s", name, optarg, weir_error_text());
    *out = (uint32_t)number;
    return 0;
}

static int parse_requests(struct options_parser *parser)
{
    if (weir_parse_number(&parser->out->requests, optarg, 1, REQUESTS_MAX) < 0)
        return options_fail(parser, "--requests '%s': %s", optarg, weir_error_text());
    return 0;
}

/* At least `min`, at most a day: more is a slip of the hand, and the sums below must not overflow.
 */
static int parse_duration(struct options_parser *parser, uint64_t *out, const char *name,
                          uint64_t min)
{
    uint64_t ns = 0;
    if (weir_parse_duration_ns(&ns, optarg) < 0)
        return options_fail(parser, "%s '%s': %s", name, optarg, weir_error_text());
    if (ns < min || ns > UINT64_C(86400) * 1000000000)
        return options_fail(parser, "%s '%s': expected %s ... 24h", name, optarg,
                            min == 0 ? "0" : "1ms");
    *out = ns;
    return 0;
}

static int parse_header(struct options_parser *parser)
{
    struct weir_request *request = &parser->out->request;
    struct weir_header header;
    char error[WORDS_ERROR_BYTES];
    if (words_header(&header, "weir-bench", optarg, error) < 0)
        return options_fail(parser, "%s", error);
    if (words_is(header.name, "Host")) {
        request->host = header.value;
        return 0;
    }
    if (request->headers_count == HEADERS_MAX)
        return options_fail(parser, "--header '%s': more than %u header fields", optarg,
                            HEADERS_MAX);
    struct weir_header *headers = (struct weir_header *)request->headers;
    headers[request->headers_count++] = header;
    return 0;
}

/* All of `file`, into memory that the options own. */
static int read_body(struct options_parser *parser, FILE *file, const char *path)
{
    struct bench_options *out = parser->out;
    size_t len;
    free(out->body_owned);
    int result = words_read(&out->body_owned, &len, file);
    if (result == -EFBIG)
        return options_fail(parser, "--body '@%s': expected at most 256 MiB", path);
    if (result < 0)
        return options_fail(parser, "--body '@%s': %s", path, strerror(-result));
    out->request.body = (struct weir_slice){ out->body_owned, len };
    return 0;
}

static int parse_body(struct options_parser *parser)
{
    parser->body_given = true;
    if (optarg[0] != '@') {
        parser->out->request.body = words_slice(optarg);
        return 0;
    }
    const char *path = optarg + 1;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return options_fail(parser, "--body '%s': %s", optarg, strerror(errno));
    int result = read_body(parser, file, path);
    fclose(file);
    return result;
}

static int parse_server_pid(struct options_parser *parser)
{
    uint64_t pid = 0, ns = 0;
    if (weir_parse_number(&pid, optarg, 1, INT_MAX) < 0)
        return options_fail(parser, "--server-pid '%s': %s", optarg, weir_error_text());
    int result = bench_cpu_process_ns(&ns, (pid_t)pid);
    if (result < 0)
        return options_fail(parser, "--server-pid '%s': %s", optarg, strerror(-result));
    parser->out->server_pid = (pid_t)pid;
    return 0;
}

static int parse_method(struct options_parser *parser)
{
    struct weir_slice method = words_slice(optarg);
    if (!weir_http1_is_token(method))
        return options_fail(parser, "--method '%.*s': expected a method as GET or POST",
                            words_printable(optarg), optarg);
    parser->method_given = true;
    parser->out->request.method = method;
    return 0;
}

static int parse_ring(struct options_parser *parser, int opt)
{
    struct bench_options *out = parser->out;
    const char *name = opt == OPT_WAIT ? "wait" : opt == OPT_RING ? "ring" : "ring-disable";
    int rc;
    if (opt == OPT_WAIT)
        rc = weir_parse_wait(&out->wait, optarg);
    else if (opt == OPT_RING)
        rc = weir_parse_ring(&out->ring, optarg);
    else
        rc = weir_parse_ring_features(&out->ring_disable, optarg);
    return rc < 0 ? options_fail(parser, "--%s: %s", name, weir_error_text()) : 0;
}

static int parse_unknown(struct options_parser *parser, int opt, char **argv)
{
    char error[WORDS_ERROR_BYTES];
    words_unknown(opt, argv, error);
    return options_fail(parser, "%s", error);
}

static int parse_option(struct options_parser *parser, int opt, char **argv)
{
    struct bench_options *out = parser->out;
    switch (opt) {
    case 'c':
        return parse_count(parser, &out->connections, "--connections", CONNECTIONS_MAX);
    case 't':
        return parse_count(parser, &out->threads, "--threads", THREADS_MAX);
    case 'p':
        return parse_count(parser, &out->pipeline, "--pipeline", PIPELINE_MAX);
    case 'd':
        parser->duration_given = true;
        return parse_duration(parser, &out->duration_ns, "--duration", 1000000);
    case 'n':
        return parse_requests(parser);
    case OPT_WARMUP:
        return parse_duration(parser, &out->warmup_ns, "--warmup", 0);
    case OPT_TIMEOUT:
        return parse_duration(parser, &out->timeout_ns, "--timeout", 1000000);
    case 'X':
        return parse_method(parser);
    case 'H':
        return parse_header(parser);
    case 'b':
        return parse_body(parser);
    case OPT_CPU:
        if (bench_cpu_list_parse(&out->cpus, optarg) < 0)
            return options_fail(parser, "--cpu '%s': expected CPU numbers as 1 or 0,2 or 0-3",
                                optarg);
        return 0;
    case OPT_WAIT:
    case OPT_RING:
    case OPT_RING_DISABLE:
        return parse_ring(parser, opt);
    case OPT_SERVER_PID:
        return parse_server_pid(parser);
    case OPT_JSON:
        out->json_path = optarg;
        return 0;
    case OPT_NO_PROGRESS:
        out->progress = false;
        return 0;
    case OPT_CACERT:
        out->ca_file = optarg;
        return 0;
    case OPT_INSECURE:
        out->insecure = true;
        return 0;
    default:
        return parse_unknown(parser, opt, argv);
    }
}

static int parse_url(struct options_parser *parser, const char *text)
{
    struct bench_options *out = parser->out;
    out->url_text = text;
    if (weir_url_parse(&out->url, words_slice(text)) < 0)
        return options_fail(parser, "URL '%s': %s", text, weir_error_text());
    out->secure = out->url.scheme == WEIR_URL_HTTPS;
    bool is_socket = out->url.scheme == WEIR_URL_HTTP_UNIX;
    int host_len = (int)out->url.host.len;
    const char *host = (const char *)out->url.host.ptr;
    int len = is_socket ? snprintf(out->endpoint, sizeof(out->endpoint), "http+unix://%.*s",
                                   host_len, host)
                        : snprintf(out->endpoint, sizeof(out->endpoint),
                                   out->url.host_is_ipv6 ? "%s://[%.*s]:%u" : "%s://%.*s:%u",
                                   out->secure ? "https" : "http", host_len, host, out->url.port);
    if (len < 0 || (size_t)len >= sizeof(out->endpoint))
        return options_fail(parser, "URL '%s': the host is too long", text);
    /* RFC 9112 section 3.2.1: a request target begins with the path. */
    if (out->url.target.ptr[0] == '?')
        return options_fail(parser, "URL '%s': expected '/' before the '?'", text);
    out->request.target = out->url.target;
    if (out->request.host.len == 0)
        out->request.host = is_socket ? WEIR_TEXT("localhost") : out->url.authority;
    return 0;
}

/* The rules that need more than one option. */
static int finish(struct options_parser *parser)
{
    struct bench_options *out = parser->out;
    if (out->threads > out->connections)
        return options_fail(parser, "--threads %u: expected at most one per connection (%u)",
                            out->threads, out->connections);
    if (out->requests != 0 && !parser->duration_given)
        out->duration_ns = 0;
    if (!parser->method_given)
        out->request.method = parser->body_given ? WEIR_TEXT("POST") : WEIR_TEXT("GET");
    /* RFC 9110 section 8.6: Content-Length even when it is 0, where the method anticipates content.
     */
    out->request.body_always = parser->body_given || words_is(out->request.method, "POST") ||
                               words_is(out->request.method, "PUT") ||
                               words_is(out->request.method, "PATCH");
    return 0;
}

enum bench_wish bench_options_parse(struct bench_options *out, int argc, char **argv,
                                    char error[BENCH_ERROR_TEXT_BYTES])
{
    struct options_parser parser = { .out = out, .error = error };
    *out = (struct bench_options){
        .connections = 64,
        .threads = 1,
        .pipeline = 1,
        .duration_ns = UINT64_C(10) * 1000000000,
        .timeout_ns = UINT64_C(10) * 1000000000,
        .progress = true,
    };
    error[0] = '\0';
    out->request.headers = calloc(HEADERS_MAX, sizeof(struct weir_header));
    if (out->request.headers == NULL) {
        options_fail(&parser, "%s", strerror(ENOMEM));
        return BENCH_WISH_ERROR;
    }
    optind = 0; /* glibc: begin anew, whatever was parsed before */
    opterr = 0;
    for (;;) {
        int opt = getopt_long(argc, argv, ":c:t:p:d:n:X:H:b:", long_options, NULL);
        if (opt == -1)
            break;
        if (opt == OPT_HELP)
            return BENCH_WISH_HELP;
        if (opt == OPT_VERSION)
            return BENCH_WISH_VERSION;
        if (parse_option(&parser, opt, argv) < 0)
            return BENCH_WISH_ERROR;
    }
    if (optind == argc) {
        options_fail(&parser, "URL: one is missing, as http://127.0.0.1:8080/api/health");
        return BENCH_WISH_ERROR;
    }
    if (optind + 1 != argc) {
        options_fail(&parser, "'%s': expected one URL and nothing after it", argv[optind + 1]);
        return BENCH_WISH_ERROR;
    }
    if (parse_url(&parser, argv[optind]) < 0 || finish(&parser) < 0)
        return BENCH_WISH_ERROR;
    return BENCH_WISH_RUN;
}

void bench_options_deinit(struct bench_options *options)
{
    free((void *)options->request.headers);
    free(options->body_owned);
    *options = (struct bench_options){ .url_text = NULL };
}
