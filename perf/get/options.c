/* SPDX-License-Identifier: MIT */
#include "perf/get/options.h"

#include "perf/words.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/http1.h>
#include <weir/units.h>

#define REPEAT_MAX      1000000000000000U
#define CONCURRENCY_MAX 65536U
#define PIPELINE_MAX    1024U
#define CONNS_MAX       65536U
#define RETRIES_MAX     15U
#define BATCH_MAX       65536U
#define RESOLVE_MAX     16U
#define DAY_NS          (UINT64_C(86400) * 1000000000)

enum {
    OPT_RETRY = 256,
    OPT_REPEAT,
    OPT_CONCURRENCY,
    OPT_PIPELINE,
    OPT_BATCH,
    OPT_STREAM,
    OPT_CACERT,
    OPT_CERT,
    OPT_KEY,
    OPT_RESOLVE,
    OPT_ENDPOINT,
    OPT_COMPRESSED,
    OPT_JSON,
    OPT_STATS,
    OPT_CONNS_MAX,
    OPT_IDLE_TIMEOUT,
    OPT_RING,
    OPT_RING_DISABLE,
    OPT_WAIT,
    OPT_HELP,
    OPT_VERSION
};

static const char help[] =
    "Usage: weir-get [options] URL\n"
    "\n"
    "Send an HTTP/1.1 request, once or many times, and write the body of the answer to standard\n"
    "output. URL is http:// or https://host[:port][/path][?query], or http+unix://%2Fsocket/path.\n"
    "\n"
    "Request\n"
    "  -X, --request METHOD     default GET, or POST with a body\n"
    "  -H, --header 'N: V'      add a header field; may be repeated; Host replaces the URL's\n"
    "  -d, --data DATA|@FILE    the body, as it is; @FILE: what FILE holds; @-: standard input\n"
    "      --compressed         ask for gzip or deflate, and decode it\n"
    "\n"
    "How often, and how\n"
    "  -m, --deadline DUR       a call that takes longer fails, as 750ms, 30s (default: none)\n"
    "      --retry N            send a call again, up to N times, 0 ... 15 (default 0)\n"
    "      --repeat N           send it N times (default 1)\n"
    "      --concurrency N      up to N of them at a time (default 1; with --batch: its N)\n"
    "      --http-pipeline N    requests in flight on each connection (default 1)\n"
    "      --batch N            gather the bodies, JSON values, into arrays of at most N that are\n"
    "                           sent to the URL; each is answered by its element of the answer\n"
    "      --conns-max N        connections at most (default: as many as --concurrency needs)\n"
    "      --idle-timeout DUR   close a connection that is not used for so long (default 5m)\n"
    "\n"
    "Where\n"
    "      --endpoint URL       a further server of the same service, as http://host:port; may be\n"
    "                           repeated: the calls are shared out among all of them\n"
    "      --resolve H:P:ADDR   go to ADDR instead of host H, port P; may be repeated\n"
    "      --cacert FILE        trust the certificates in FILE (PEM) instead of the system's\n"
    "      --cert FILE          show this certificate to the server (PEM); with --key\n"
    "      --key FILE           its private key (PEM)\n"
    "  -k, --insecure           take any certificate\n"
    "\n"
    "What is told\n"
    "  -o, --output FILE        write the bodies to FILE instead of standard output\n"
    "  -i, --include            put the head of the answer before its body\n"
    "  -f, --fail               an answer of 400 or more is a failure, and its body not written\n"
    "      --stream             write the body as it comes; of events, the data, a line each\n"
    "      --json               tell of each call as a line of JSON on standard output, and with\n"
    "                           --stream of each event or piece as well; bodies only go to -o\n"
    "      --stats              counters and, with --repeat, latencies at the end, on standard\n"
    "                           error\n"
    "  -v, --verbose            tell on standard error what happened when\n"
    "\n"
    "The engine\n"
    "      --ring KIND          auto (default), uring, or epoll\n"
    "      --ring-disable LIST  features of io_uring not to use, with commas\n"
    "      --wait HOW           adaptive (default), spin, or sleep\n"
    "      --help               print this\n"
    "      --version            print the version\n"
    "\n"
    "Exit status, of the first failure; those that curl has mean the same there:\n"
    "   0 ok                      22 HTTP status 400 or more (-f)  55 not sent\n"
    "   2 usage, or no engine     23 output cannot be written      56 connection failed\n"
    "   3 malformed URL           26 input cannot be read          58 --cert or --key is bad\n"
    "   6 host not resolved       27 out of memory                 60 server's certificate\n"
    "   7 no connection           28 too late                      61 content not decoded\n"
    "   8 not HTTP                35 TLS failed                    63 answer too large\n"
    "  18 answer cut off          52 no answer                     77 --cacert is bad\n"
    " 130 interrupted, 143 terminated\n";

static const struct option long_options[] = {
    { "request", required_argument, NULL, 'X' },
    { "header", required_argument, NULL, 'H' },
    { "data", required_argument, NULL, 'd' },
    { "compressed", no_argument, NULL, OPT_COMPRESSED },
    { "deadline", required_argument, NULL, 'm' },
    { "retry", required_argument, NULL, OPT_RETRY },
    { "repeat", required_argument, NULL, OPT_REPEAT },
    { "concurrency", required_argument, NULL, OPT_CONCURRENCY },
    { "http-pipeline", required_argument, NULL, OPT_PIPELINE },
    { "batch", required_argument, NULL, OPT_BATCH },
    { "conns-max", required_argument, NULL, OPT_CONNS_MAX },
    { "idle-timeout", required_argument, NULL, OPT_IDLE_TIMEOUT },
    { "endpoint", required_argument, NULL, OPT_ENDPOINT },
    { "resolve", required_argument, NULL, OPT_RESOLVE },
    { "cacert", required_argument, NULL, OPT_CACERT },
    { "cert", required_argument, NULL, OPT_CERT },
    { "key", required_argument, NULL, OPT_KEY },
    { "insecure", no_argument, NULL, 'k' },
    { "output", required_argument, NULL, 'o' },
    { "include", no_argument, NULL, 'i' },
    { "fail", no_argument, NULL, 'f' },
    { "stream", no_argument, NULL, OPT_STREAM },
    { "json", no_argument, NULL, OPT_JSON },
    { "stats", no_argument, NULL, OPT_STATS },
    { "verbose", no_argument, NULL, 'v' },
    { "ring", required_argument, NULL, OPT_RING },
    { "ring-disable", required_argument, NULL, OPT_RING_DISABLE },
    { "wait", required_argument, NULL, OPT_WAIT },
    { "help", no_argument, NULL, OPT_HELP },
    { "version", no_argument, NULL, OPT_VERSION },
    { NULL, 0, NULL, 0 },
};

/* What is only needed while the command line is read. */
struct options_parser {
    struct get_options *out;
    struct get_error *error;
    const char *endpoint_texts[WEIR_ENDPOINTS_MAX]; /* behind the URL's */
    uint32_t endpoints_count;
    const char *resolves[RESOLVE_MAX];
    uint32_t resolves_count;
    bool body_given;
    bool concurrency_given;
};

const char *get_options_help(void)
{
    return help;
}

__attribute__((format(printf, 3, 4))) static int
options_fail(struct options_parser *parser, enum get_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(parser->error->text, sizeof(parser->error->text), format, args);
    va_end(args);
    parser->error->status = status;
    return -EINVAL;
}

/* ---- Numbers and durations ---- */

static int parse_count(struct options_parser *parser, uint32_t *out, const char *name, uint64_t min,
                       uint64_t max)
{
    uint64_t number = 0;
    if (weir_parse_number(&number, optarg, min, max) < 0)
        return options_fail(parser, GET_STATUS_USAGE, "%s '%s': %s", name, optarg,
                            weir_error_text());
    *out = (uint32_t)number;
    return 0;
}

static int parse_repeat(struct options_parser *parser)
{
    if (weir_parse_number(&parser->out->repeat, optarg, 1, REPEAT_MAX) < 0)
        return options_fail(parser, GET_STATUS_USAGE, "--repeat '%s': %s", optarg,
                            weir_error_text());
    return 0;
}

/* At most a day: more is a slip of the hand, and sums of times must not overflow. */
static int parse_duration(struct options_parser *parser, uint64_t *out, const char *name)
{
    uint64_t ns = 0;
    if (weir_parse_duration_ns(&ns, optarg) < 0)
        return options_fail(parser, GET_STATUS_USAGE, "%s '%s': %s", name, optarg,
                            weir_error_text());
    if (ns > DAY_NS)
        return options_fail(parser, GET_STATUS_USAGE, "%s '%s': expected 0 ... 24h", name, optarg);
    *out = ns;
    return 0;
}

/* ---- The request ---- */

static int parse_method(struct options_parser *parser)
{
    struct weir_slice method = words_slice(optarg);
    if (!weir_http1_is_token(method))
        return options_fail(parser, GET_STATUS_USAGE,
                            "--request '%.*s': expected a method as GET or POST",
                            words_printable(optarg), optarg);
    parser->out->request.method = method;
    return 0;
}

static int parse_header(struct options_parser *parser)
{
    struct get_options *out = parser->out;
    struct weir_header header;
    char error[WORDS_ERROR_BYTES];
    if (words_header(&header, "weir-get", optarg, error) < 0)
        return options_fail(parser, GET_STATUS_USAGE, "%s", error);
    if (words_is(header.name, "Host")) {
        out->request.host = header.value;
        return 0;
    }
    if (out->request.headers_count == GET_HEADERS_MAX)
        return options_fail(parser, GET_STATUS_USAGE, "--header '%.*s': more than %d header fields",
                            words_printable(optarg), optarg, GET_HEADERS_MAX);
    out->headers[out->request.headers_count++] = header;
    return 0;
}

/* All of `file`, into memory that the options own. */
static int read_body(struct options_parser *parser, FILE *file)
{
    struct get_options *out = parser->out;
    size_t len;
    free(out->body_owned);
    int result = words_read(&out->body_owned, &len, file);
    if (result == -EFBIG)
        return options_fail(parser, GET_STATUS_READ, "--data '%s': expected at most 256 MiB",
                            optarg);
    if (result < 0)
        return options_fail(parser, result == -ENOMEM ? GET_STATUS_MEMORY : GET_STATUS_READ,
                            "--data '%s': %s", optarg, strerror(-result));
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
    if (strcmp(optarg, "@-") == 0)
        return read_body(parser, stdin);
    FILE *file = fopen(optarg + 1, "rbe");
    if (file == NULL)
        return options_fail(parser, GET_STATUS_READ, "--data '%s': %s", optarg, strerror(errno));
    int result = read_body(parser, file);
    fclose(file);
    return result;
}

/* ---- The other options ---- */

static int parse_ring(struct options_parser *parser, int opt)
{
    struct get_options *out = parser->out;
    const char *name = opt == OPT_WAIT ? "wait" : opt == OPT_RING ? "ring" : "ring-disable";
    int rc;
    if (opt == OPT_WAIT)
        rc = weir_parse_wait(&out->wait, optarg);
    else if (opt == OPT_RING)
        rc = weir_parse_ring(&out->ring, optarg);
    else
        rc = weir_parse_ring_features(&out->ring_disable, optarg);
    return rc < 0 ? options_fail(parser, GET_STATUS_USAGE, "--%s: %s", name, weir_error_text()) : 0;
}

static int parse_place(struct options_parser *parser, int opt)
{
    bool endpoint = opt == OPT_ENDPOINT;
    const char **texts = endpoint ? parser->endpoint_texts : parser->resolves;
    uint32_t *count = endpoint ? &parser->endpoints_count : &parser->resolves_count;
    uint32_t max = endpoint ? WEIR_ENDPOINTS_MAX - 1 : RESOLVE_MAX;
    if (*count == max)
        return options_fail(parser, GET_STATUS_USAGE, "--%s '%s': more than %u of them",
                            endpoint ? "endpoint" : "resolve", optarg, max);
    texts[(*count)++] = optarg;
    return 0;
}

static int parse_flag(struct get_options *out, int opt)
{
    bool *const flag = opt == OPT_COMPRESSED ? &out->request.decode
                       : opt == OPT_STREAM   ? &out->stream
                       : opt == OPT_JSON     ? &out->json
                       : opt == OPT_STATS    ? &out->stats
                       : opt == 'k'          ? &out->insecure
                       : opt == 'i'          ? &out->include
                       : opt == 'f'          ? &out->fail
                                             : &out->verbose;
    *flag = true;
    return 0;
}

static int parse_unknown(struct options_parser *parser, int opt, char **argv)
{
    char error[WORDS_ERROR_BYTES];
    words_unknown(opt, argv, error);
    return options_fail(parser, GET_STATUS_USAGE, "%s", error);
}

static int parse_limit(struct options_parser *parser, int opt)
{
    struct get_options *out = parser->out;
    switch (opt) {
    case OPT_RETRY:
        return parse_count(parser, &out->retries, "--retry", 0, RETRIES_MAX);
    case OPT_REPEAT:
        return parse_repeat(parser);
    case OPT_CONCURRENCY:
        parser->concurrency_given = true;
        return parse_count(parser, &out->concurrency, "--concurrency", 1, CONCURRENCY_MAX);
    case OPT_PIPELINE:
        return parse_count(parser, &out->pipeline, "--http-pipeline", 1, PIPELINE_MAX);
    case OPT_BATCH:
        return parse_count(parser, &out->batch, "--batch", 1, BATCH_MAX);
    case OPT_CONNS_MAX:
        return parse_count(parser, &out->conns_max, "--conns-max", 1, CONNS_MAX);
    case OPT_IDLE_TIMEOUT:
        out->idle_timeout_given = true;
        return parse_duration(parser, &out->idle_timeout_ns, "--idle-timeout");
    default: /* 'm' */
        return parse_duration(parser, &out->deadline_ns, "--deadline");
    }
}

static int parse_option(struct options_parser *parser, int opt, char **argv)
{
    struct get_options *out = parser->out;
    switch (opt) {
    case 'X':
        return parse_method(parser);
    case 'H':
        return parse_header(parser);
    case 'd':
        return parse_body(parser);
    case 'm':
    case OPT_RETRY:
    case OPT_REPEAT:
    case OPT_CONCURRENCY:
    case OPT_PIPELINE:
    case OPT_BATCH:
    case OPT_CONNS_MAX:
    case OPT_IDLE_TIMEOUT:
        return parse_limit(parser, opt);
    case OPT_ENDPOINT:
    case OPT_RESOLVE:
        return parse_place(parser, opt);
    case OPT_CACERT:
        out->ca_file = optarg;
        return 0;
    case OPT_CERT:
        out->cert_file = optarg;
        return 0;
    case OPT_KEY:
        out->key_file = optarg;
        return 0;
    case 'o':
        out->output_path = optarg;
        return 0;
    case OPT_RING:
    case OPT_RING_DISABLE:
    case OPT_WAIT:
        return parse_ring(parser, opt);
    case '?':
    case ':':
        return parse_unknown(parser, opt, argv);
    default:
        return parse_flag(out, opt);
    }
}

/* ---- Where to ---- */

/* HOST:PORT:ADDR, HOST and ADDR perhaps an IPv6 address in brackets. @return where ADDR begins,
 * NULL: not such a text */
static const char *resolve_split(const char *text, struct weir_slice *host, uint64_t *port)
{
    char digits[8];
    const char *host_end = text[0] == '[' ? strchr(text, ']') : text + strcspn(text, ":");
    if (host_end == NULL || host_end == text)
        return NULL;
    bool bracket = text[0] == '[';
    *host =
        (struct weir_slice){ (const uint8_t *)text + bracket, (size_t)(host_end - text) - bracket };
    const char *port_text = host_end + bracket;
    if (*port_text != ':')
        return NULL;
    size_t len = strcspn(++port_text, ":");
    if (port_text[len] != ':' || len >= sizeof(digits) || port_text[len + 1] == '\0')
        return NULL;
    memcpy(digits, port_text, len);
    digits[len] = '\0';
    return weir_parse_number(port, digits, 1, 65535) < 0 ? NULL : port_text + len + 1;
}

/* The address that --resolve gives for the host of `url`. @return 0; *out is NULL when none is
 * for it */
static int resolve_find(struct options_parser *parser, const struct weir_url *url, const char **out)
{
    *out = NULL;
    for (uint32_t i = 0; i < parser->resolves_count; i++) {
        struct weir_slice host;
        uint64_t port;
        const char *address = resolve_split(parser->resolves[i], &host, &port);
        if (address == NULL)
            return options_fail(parser, GET_STATUS_USAGE,
                                "--resolve '%s': expected HOST:PORT:ADDRESS", parser->resolves[i]);
        if (port == url->port && host.len == url->host.len &&
            strncasecmp((const char *)host.ptr, (const char *)url->host.ptr, host.len) == 0)
            *out = address;
    }
    return 0;
}

/* The certificate of a host that is found by --resolve is still to be the host's. */
static int name_set(struct options_parser *parser, const struct weir_url *url, const char *text)
{
    struct get_options *out = parser->out;
    if (url->host.len >= sizeof(out->tls_name))
        return options_fail(parser, GET_STATUS_URL, "'%s': the host is too long", text);
    if (out->endpoints_count > 0 && !words_is(url->host, out->tls_name))
        return options_fail(parser, GET_STATUS_USAGE,
                            "--resolve: the certificates of all servers are verified for one host, "
                            "the URL's, and '%s' has another",
                            text);
    memcpy(out->tls_name, url->host.ptr, url->host.len);
    out->tls_name[url->host.len] = '\0';
    return 0;
}

/* Append the endpoint of `url`: its scheme, host and port. */
static int add_endpoint(struct options_parser *parser, const struct weir_url *url, const char *text)
{
    static const char *const schemes[] = {
        [WEIR_URL_HTTP] = "http", [WEIR_URL_HTTPS] = "https", [WEIR_URL_HTTP_UNIX] = "http+unix"
    };
    struct get_options *out = parser->out;
    char *endpoint = out->endpoints[out->endpoints_count];
    const char *address;
    int host_len = (int)url->host.len, len;
    const char *host = (const char *)url->host.ptr;
    if (resolve_find(parser, url, &address) < 0)
        return -EINVAL;
    if (address != NULL && url->scheme == WEIR_URL_HTTPS && name_set(parser, url, text) < 0)
        return -EINVAL;
    bool bare_ipv6 = address != NULL && address[0] != '[' && strchr(address, ':') != NULL;
    if (address != NULL)
        len = snprintf(endpoint, GET_ENDPOINT_BYTES, bare_ipv6 ? "%s://[%s]:%u" : "%s://%s:%u",
                       schemes[url->scheme], address, url->port);
    else if (url->scheme == WEIR_URL_HTTP_UNIX)
        len = snprintf(endpoint, GET_ENDPOINT_BYTES, "http+unix://%.*s", host_len, host);
    else
        len = snprintf(endpoint, GET_ENDPOINT_BYTES,
                       url->host_is_ipv6 ? "%s://[%.*s]:%u" : "%s://%.*s:%u", schemes[url->scheme],
                       host_len, host, url->port);
    if (len < 0 || len >= GET_ENDPOINT_BYTES)
        return options_fail(parser, GET_STATUS_URL, "'%s': the host is too long", text);
    out->endpoints_count++;
    return 0;
}

static int parse_url(struct options_parser *parser, const char *text)
{
    struct get_options *out = parser->out;
    out->url_text = text;
    if (weir_url_parse(&out->url, words_slice(text)) < 0)
        return options_fail(parser, GET_STATUS_URL, "URL '%.*s': %s", words_printable(text), text,
                            weir_error_text());
    /* RFC 9112 section 3.2.1: a request target begins with the path. */
    size_t slash = out->url.target.ptr[0] == '?', len = slash + out->url.target.len;
    out->target = malloc(len + 1);
    if (out->target == NULL)
        return options_fail(parser, GET_STATUS_MEMORY, "URL: %s", strerror(ENOMEM));
    out->target[0] = '/';
    memcpy(out->target + slash, out->url.target.ptr, out->url.target.len);
    out->target[len] = '\0';
    out->request.target = words_slice(out->target);
    if (out->request.host.len == 0)
        out->request.host =
            out->url.scheme == WEIR_URL_HTTP_UNIX ? WEIR_TEXT("localhost") : out->url.authority;
    if (add_endpoint(parser, &out->url, text) < 0)
        return -EINVAL;
    for (uint32_t i = 0; i < parser->endpoints_count; i++) {
        struct weir_url url;
        const char *further = parser->endpoint_texts[i];
        if (weir_url_parse(&url, words_slice(further)) < 0)
            return options_fail(parser, GET_STATUS_URL, "--endpoint '%.*s': %s",
                                words_printable(further), further, weir_error_text());
        if (url.path.len > 1 || url.has_query || url.has_fragment)
            return options_fail(parser, GET_STATUS_URL,
                                "--endpoint '%s': expected nothing behind host and port", further);
        if ((url.scheme == WEIR_URL_HTTPS) != (out->url.scheme == WEIR_URL_HTTPS))
            return options_fail(parser, GET_STATUS_USAGE,
                                "--endpoint '%s': expected https or not, as the URL", further);
        if (add_endpoint(parser, &url, further) < 0)
            return -EINVAL;
    }
    return 0;
}

/* What is sent is the batcher's: an array, as JSON, by POST. */
static int finish_batch(struct options_parser *parser)
{
    struct get_options *out = parser->out;
    const struct weir_request *request = &out->request;
    if (!parser->body_given)
        return options_fail(parser, GET_STATUS_USAGE, "--batch: expected --data, the items' body");
    if (out->stream || out->include || out->retries > 0 || request->decode)
        return options_fail(parser, GET_STATUS_USAGE,
                            "--batch: does not go with --stream, --include, --retry, --compressed");
    if (request->method.len != 0 && !words_is(request->method, "POST"))
        return options_fail(parser, GET_STATUS_USAGE, "--batch: expected POST as --request");
    for (size_t i = 0; i < request->headers_count; i++) {
        if (words_is(out->headers[i].name, "Content-Type"))
            return options_fail(parser, GET_STATUS_USAGE,
                                "--batch: Content-Type is application/json, not a --header");
    }
    if (!parser->concurrency_given)
        out->concurrency = out->batch;
    return 0;
}

/* The rules that need more than one option. */
static int finish(struct options_parser *parser)
{
    struct get_options *out = parser->out;
    struct weir_request *request = &out->request;
    if (out->batch > 0 && finish_batch(parser) < 0)
        return -EINVAL;
    if ((out->cert_file == NULL) != (out->key_file == NULL))
        return options_fail(parser, GET_STATUS_USAGE, "--cert and --key: expected both");
    if (out->concurrency > out->repeat)
        out->concurrency = (uint32_t)out->repeat;
    if (request->method.len == 0)
        request->method = parser->body_given ? WEIR_TEXT("POST") : WEIR_TEXT("GET");
    /* RFC 9110 section 8.6: Content-Length even when it is 0, where the method anticipates
     * content. */
    request->body_always = parser->body_given || words_is(request->method, "POST") ||
                           words_is(request->method, "PUT") || words_is(request->method, "PATCH");
    request->headers = out->headers;
    return 0;
}

enum get_wish get_options_parse(struct get_options *out, int argc, char **argv,
                                struct get_error *error)
{
    struct options_parser parser = { .out = out, .error = error };
    *out = (struct get_options){ .repeat = 1, .concurrency = 1, .pipeline = 1 };
    *error = (struct get_error){ .status = GET_STATUS_OK };
    optind = 0; /* glibc: begin anew, whatever was parsed before */
    opterr = 0;
    for (;;) {
        int opt = getopt_long(argc, argv, ":X:H:d:m:kifo:v", long_options, NULL);
        if (opt == -1)
            break;
        if (opt == OPT_HELP)
            return GET_WISH_HELP;
        if (opt == OPT_VERSION)
            return GET_WISH_VERSION;
        if (parse_option(&parser, opt, argv) < 0)
            return GET_WISH_ERROR;
    }
    if (optind == argc) {
        options_fail(&parser, GET_STATUS_USAGE,
                     "URL: one is missing, as http://127.0.0.1:8080/api/health");
        return GET_WISH_ERROR;
    }
    if (optind + 1 != argc) {
        options_fail(&parser, GET_STATUS_USAGE, "'%s': expected one URL and nothing after it",
                     argv[optind + 1]);
        return GET_WISH_ERROR;
    }
    if (parse_url(&parser, argv[optind]) < 0 || finish(&parser) < 0)
        return GET_WISH_ERROR;
    return GET_WISH_RUN;
}

void get_options_deinit(struct get_options *options)
{
    free(options->body_owned);
    free(options->target);
    options->body_owned = NULL;
    options->target = NULL;
}
