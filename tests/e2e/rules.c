/* SPDX-License-Identifier: MIT */
/*
 * The rules of docs/http1.md where a program cannot see how they are kept: payloads to the byte,
 * connections that idle, answers before their request, what is not sent at all.
 *
 * The other side of each connection is a plain socket of this program, which says what a test wants
 * it to, at once and byte by byte. Everything runs on one thread; the kernel delivers over the
 * loopback before send() returns, so the order of events is the test's.
 */
#include <weir/weir.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MS          UINT64_C(1000000)
#define WAIT_NS     (20000 * MS)
#define LARGE_BYTES (8U << 20)

#define GOOD     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
#define HIDDEN   "HTTP/1.1 299 Hidden\r\nContent-Length: 6\r\n\r\nhidden"
#define OBS_TEXT "\xa0\x80\xfe\xff\x85 \xa0"

/* ---- One call ---------------------------------------------------------------------------- */

struct ask {
    struct weir_call call;
    unsigned heads, ends;
    int err;
    char body[256];
    size_t body_len;
    char field[64]; /* the value of X-Text */
    size_t field_len;
};

static void on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct ask *ask = call->ctx;
    ask->heads++;
    struct weir_slice field = weir_response_header(head, WEIR_TEXT("X-Text"));
    assert_true(field.len < sizeof ask->field);
    if (field.len > 0)
        memcpy(ask->field, field.ptr, field.len);
    ask->field_len = field.len;
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    struct ask *ask = call->ctx;
    assert_true(ask->body_len + piece.len < sizeof ask->body);
    memcpy(ask->body + ask->body_len, piece.ptr, piece.len);
    ask->body_len += piece.len;
}

static void on_end(struct weir_call *call, int err)
{
    struct ask *ask = call->ctx;
    ask->ends++;
    ask->err = err;
}

static const struct weir_call_handler call_handler = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
};

/* ---- Both sides -------------------------------------------------------------------------- */

struct rig {
    struct weir_engine *engine;
    struct weir_client *client;
    int listener;
    int peer; /* the connection accepted last, -1 = none */
};

static struct weir_slice text_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static void run(struct rig *rig)
{
    assert_int_equal(weir_engine_run_once(rig->engine, MS), 0);
}

static struct weir_client_stats stats_of(const struct rig *rig)
{
    struct weir_client_stats stats = { .size = sizeof stats };
    weir_client_stats(rig->client, &stats);
    return stats;
}

static void ask_send(struct rig *rig, struct ask *ask, const char *method, const char *target)
{
    *ask =
        (struct ask){ .call = { .request = { .method = text_of(method), .target = text_of(target) },
                                .handler = &call_handler } };
    ask->call.ctx = ask;
    assert_int_equal(weir_client_send(rig->client, &ask->call), 0);
}

static void ask_end(struct rig *rig, const struct ask *ask)
{
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    while (ask->ends == 0) {
        assert_true(weir_clock_ns() < until_ns);
        run(rig);
    }
    assert_int_equal(ask->ends, 1);
}

static void peer_close(struct rig *rig)
{
    if (rig->peer >= 0)
        close(rig->peer);
    rig->peer = -1;
}

/* The next connection of the client. */
static void peer_accept(struct rig *rig)
{
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    int on = 1;
    peer_close(rig);
    while ((rig->peer = accept4(rig->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
        assert_int_equal(errno, EAGAIN);
        assert_true(weir_clock_ns() < until_ns);
        run(rig);
    }
    assert_int_equal(setsockopt(rig->peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

/* Is another connection waiting to be accepted? */
static bool peer_waits(const struct rig *rig)
{
    struct pollfd at = { .fd = rig->listener, .events = POLLIN };
    return poll(&at, 1, 0) == 1;
}

/* Receive one head. */
static void peer_request(struct rig *rig, char *out, size_t capacity)
{
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    size_t len = 0;
    for (out[0] = '\0'; strstr(out, "\r\n\r\n") == NULL; out[len] = '\0') {
        ssize_t n = recv(rig->peer, out + len, capacity - 1 - len, 0);
        if (n > 0) {
            len += (size_t)n;
            continue;
        }
        assert_true(n < 0 && errno == EAGAIN);
        assert_true(weir_clock_ns() < until_ns);
        run(rig);
    }
}

static void peer_say(const struct rig *rig, struct weir_slice text)
{
    assert_int_equal(send(rig->peer, text.ptr, text.len, MSG_NOSIGNAL), text.len);
}

/* Byte by byte, each of which the client gets to see on its own. */
static void peer_say_slowly(struct rig *rig, struct weir_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        peer_say(rig, (struct weir_slice){ text.ptr + i, 1 });
        run(rig);
    }
}

/* Until the client has ended its connection: with a FIN, or a reset if it was still sent to. */
static void peer_ended(struct rig *rig)
{
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    static char dropped[65536];
    for (;;) {
        ssize_t n = recv(rig->peer, dropped, sizeof dropped, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            break;
        assert_true(n > 0 || errno == EAGAIN);
        assert_true(weir_clock_ns() < until_ns);
        run(rig);
    }
    while (stats_of(rig).conns_now > 0) {
        assert_true(weir_clock_ns() < until_ns);
        run(rig);
    }
    peer_close(rig);
}

static int setup(void **state)
{
    static struct rig rig;
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof addr;
    rig = (struct rig){ .peer = -1 };
    rig.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(rig.listener >= 0);
    assert_int_equal(bind(rig.listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(rig.listener, 16), 0);
    assert_int_equal(getsockname(rig.listener, (struct sockaddr *)&addr, &len), 0);

    const char *ring = getenv("WEIR_RING");
    bool oldest = ring != NULL && strcmp(ring, "oldest") == 0;
    struct weir_engine_config engine_cfg;
    weir_engine_config_init(&engine_cfg);
    engine_cfg.conns_max = 64;
    engine_cfg.ring_disable = oldest ? weir_ring_features() : NULL;
    if (ring != NULL && *ring != '\0')
        assert_int_equal(weir_parse_ring(&engine_cfg.ring, oldest ? "uring" : ring), 0);
    assert_int_equal(weir_engine_open(&rig.engine, &engine_cfg), 0);

    struct weir_client_config cfg;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", ntohs(addr.sin_port));
    weir_client_config_init(&cfg);
    cfg.conns_min = 0;
    cfg.retry.no_replay = true; /* what a broken rule does to a call is to be seen */
    cfg.endpoint = endpoint;
    cfg.conns_max = 1;
    assert_int_equal(weir_client_open(&rig.client, rig.engine, &cfg), 0);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(weir_client_close(rig->client), 0);
    assert_int_equal(weir_engine_close(rig->engine), 0);
    peer_close(rig);
    close(rig->listener);
    return 0;
}

/* ---- What an answer carries -------------------------------------------------------------- */

static const struct {
    const char *method;
    struct weir_slice text;
    unsigned status;
    const char *body;
    const char *field;
} answers[] = {
    /* 10: the same length again is one length. 11: and it is decimal. */
    { "GET", WEIR_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
      200, "abcde", "" },
    { "GET", WEIR_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 010\r\n\r\nabcdefghij"), 200,
      "abcdefghij", "" },
    /* 17, 19: extensions and trailers are no payload, and nothing in a trailer counts. */
    { "GET",
      WEIR_TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3;a=\"5\\\"\"\r\nabc\r\n2 ;b\r\nde\r\n0;c\r\n"
                "Content-Length: 99\r\nX-Text: t\r\nConnection: close\r\n\r\n"),
      200, "abcde", "" },
    /* A payload that looks like answers is payload. */
    { "GET", WEIR_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 48\r\n\r\n" HIDDEN), 200, HIDDEN, "" },
    { "GET",
      WEIR_TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30\r\n" HIDDEN
                "\r\n0\r\n\r\n"),
      200, HIDDEN, "" },
    /* 24: obs-text to the byte; 0xa0 and 0x85 are no blanks. */
    { "GET", WEIR_TEXT("HTTP/1.1 200 OK\r\nX-Text: \t" OBS_TEXT " \r\nContent-Length: 0\r\n\r\n"),
      200, "", OBS_TEXT },
    /* 29: no field of framing is spelled like these. */
    { "GET",
      WEIR_TEXT("HTTP/1.1 200 OK\r\nX_Text: no\r\nContent_Length: 9\r\nX-Text: yes\r\n"
                "Content-Length: 2\r\n\r\nab"),
      200, "ab", "yes" },
    /* 39: whatever comes before the final answer is not it. */
    { "GET",
      WEIR_TEXT("HTTP/1.1 100 Continue\r\nX-Text: a\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
                "Content-Length: 4\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx"),
      201, "x", "" },
    /* 40: no body, whatever the fields say. */
    { "HEAD", WEIR_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), 200, "", "" },
    { "HEAD",
      WEIR_TEXT("HTTP/1.1 404 No\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), 404,
      "", "" },
    { "GET", WEIR_TEXT("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), 204, "",
      "" },
    { "GET", WEIR_TEXT("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"), 304, "", "" },
};

static void check_answer(const struct ask *ask, size_t i)
{
    assert_int_equal(ask->err, 0);
    assert_int_equal(ask->heads, 1);
    assert_int_equal(ask->call.status, answers[i].status);
    assert_int_equal(ask->body_len, strlen(answers[i].body));
    assert_memory_equal(ask->body, answers[i].body, ask->body_len);
    assert_int_equal(ask->field_len, strlen(answers[i].field));
    assert_memory_equal(ask->field, answers[i].field, ask->field_len);
}

static void test_rules_10_to_40_payload(void **state)
{
    struct rig *rig = *state;
    struct ask ask;
    char request[512];
    for (size_t i = 0; i < 2 * (sizeof answers / sizeof answers[0]); i++) {
        ask_send(rig, &ask, answers[i / 2].method, "/");
        if (i == 0)
            peer_accept(rig);
        peer_request(rig, request, sizeof request);
        if (i % 2 == 0)
            peer_say(rig, answers[i / 2].text);
        else
            peer_say_slowly(rig, answers[i / 2].text);
        ask_end(rig, &ask);
        check_answer(&ask, i / 2);
    }
    assert_int_equal(stats_of(rig).conns, 1); /* all over the same: nothing was left over */
}

/* What follows the answer to CONNECT is the tunnel's, not HTTP (RFC 9110 section 9.3.6). */
static void test_rule_40_connect(void **state)
{
    struct rig *rig = *state;
    struct ask ask;
    char request[512];
    ask_send(rig, &ask, "CONNECT", "example.com:80");
    peer_accept(rig);
    peer_request(rig, request, sizeof request);
    peer_say(rig, WEIR_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"));
    ask_end(rig, &ask);
    assert_int_equal(ask.err, 0);
    assert_int_equal(ask.body_len, 0);
    peer_ended(rig);
}

/* ---- Answers to nothing ------------------------------------------------------------------ */

static void good_answer(struct rig *rig, bool fresh)
{
    struct ask ask;
    char request[512];
    ask_send(rig, &ask, "GET", "/");
    if (fresh)
        peer_accept(rig);
    peer_request(rig, request, sizeof request);
    peer_say(rig, WEIR_TEXT(GOOD));
    ask_end(rig, &ask);
    assert_int_equal(ask.err, 0);
    assert_int_equal(ask.call.status, 200);
    assert_memory_equal(ask.body, "good", 4);
}

static void test_rule_47_bytes_on_an_idle_connection(void **state)
{
    static const struct weir_slice texts[] = { WEIR_TEXT(HIDDEN), WEIR_TEXT("x"), WEIR_TEXT("\r\n"),
                                               WEIR_TEXT("HTTP/1.1 408 Late\r\n\r\n"),
                                               WEIR_TEXT("HTTP/1.1 100 Continue\r\n\r\n") };
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        good_answer(rig, true);
        peer_say(rig, texts[i]);
        peer_ended(rig);
    }
    good_answer(rig, true);
    good_answer(rig, false);
    assert_int_equal(stats_of(rig).conns, sizeof texts / sizeof texts[0] + 1);
}

/* What was there before the request is not its answer, though it looks like one. */
static void test_rule_47_answer_before_the_request(void **state)
{
    struct rig *rig = *state;
    struct ask ask;
    good_answer(rig, true);
    for (unsigned i = 0; i < 20; i++) {
        peer_say(rig, WEIR_TEXT(HIDDEN));
        ask_send(rig, &ask, "GET", "/");
        ask_end(rig, &ask);
        assert_int_not_equal(ask.err, 0);
        assert_int_equal(ask.heads, 0);
        peer_ended(rig);
        good_answer(rig, true);
    }
}

/* Two answers for one request, the second in the same packet: it is nobody's. */
static void test_rule_47_two_answers(void **state)
{
    struct rig *rig = *state;
    struct ask first, second;
    char request[512];
    ask_send(rig, &first, "GET", "/1");
    ask_send(rig, &second, "GET", "/2");
    peer_accept(rig);
    peer_request(rig, request, sizeof request);
    peer_say(rig, WEIR_TEXT(GOOD HIDDEN));
    ask_end(rig, &first);
    ask_end(rig, &second);
    assert_int_equal(first.err, 0);
    assert_int_equal(first.call.status, 200);
    assert_int_not_equal(second.err, 0);
    assert_int_equal(second.heads, 0);
    peer_ended(rig);
    good_answer(rig, true);
}

/* An answer while the body still goes out ends the call, and the connection with it. */
static void test_rule_43_early_answer(void **state)
{
    struct rig *rig = *state;
    struct ask ask = { .call = { .handler = &call_handler } };
    char request[512];
    uint8_t *body = calloc(1, LARGE_BYTES);
    assert_non_null(body);
    ask.call.ctx = &ask;
    ask.call.request = (struct weir_request){ .method = WEIR_TEXT("PUT"),
                                              .target = WEIR_TEXT("/"),
                                              .body = { body, LARGE_BYTES } };
    assert_int_equal(weir_client_send(rig->client, &ask.call), 0);
    peer_accept(rig);
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    /* It answers at the first byte, of which it reads none. */
    while (recv(rig->peer, request, sizeof request, MSG_PEEK) <= 0) {
        assert_true(weir_clock_ns() < until_ns);
        run(rig);
    }
    peer_say(rig, WEIR_TEXT("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"));
    ask_end(rig, &ask);
    assert_int_equal(ask.err, 0);
    assert_int_equal(ask.call.status, 413);
    assert_memory_equal(ask.body, "no", 2);
    free(body);
    peer_ended(rig);
    good_answer(rig, true);
}

/* ---- What is not sent -------------------------------------------------------------------- */

static void test_rule_46_no_pipelining_by_default(void **state)
{
    struct rig *rig = *state;
    struct ask first, second;
    char request[512];
    ask_send(rig, &first, "GET", "/1");
    ask_send(rig, &second, "GET", "/2");
    peer_accept(rig);
    peer_request(rig, request, sizeof request);
    for (unsigned i = 0; i < 10; i++)
        run(rig);
    assert_null(strstr(request, "/2"));
    assert_int_equal(recv(rig->peer, request, sizeof request, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_false(peer_waits(rig)); /* it may have one connection */
    peer_say(rig, WEIR_TEXT(GOOD));
    ask_end(rig, &first);
    peer_request(rig, request, sizeof request);
    assert_non_null(strstr(request, "/2"));
    peer_say(rig, WEIR_TEXT(GOOD));
    ask_end(rig, &second);
    assert_int_equal(second.err, 0);
}

static void unsendable(struct rig *rig, const struct weir_request *request)
{
    struct ask ask = { .call = { .request = *request, .handler = &call_handler } };
    ask.call.ctx = &ask;
    assert_int_equal(weir_client_send(rig->client, &ask.call), -EINVAL);
    run(rig);
    assert_int_equal(ask.ends, 0);
    assert_int_equal(stats_of(rig).calls, 0);
}

/* Nothing of a request leaves that could be read as two (RFC 9112 section 11.1). */
static void test_rules_20_to_33_not_sent(void **state)
{
    static const struct weir_slice bad[] = { WEIR_TEXT("a\rb"), WEIR_TEXT("a\nb"),
                                             WEIR_TEXT("a\0b"), WEIR_TEXT("a\x7f") };
    static const struct weir_slice owned[] = { WEIR_TEXT("Content-Length"),
                                               WEIR_TEXT("transfer-encoding"), WEIR_TEXT("HOST"),
                                               WEIR_TEXT("Connection") };
    struct rig *rig = *state;
    const struct weir_slice get = WEIR_TEXT("GET"), root = WEIR_TEXT("/");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct weir_header name = { bad[i], root }, value = { WEIR_TEXT("A"), bad[i] };
        unsendable(rig, &(struct weir_request){ .method = bad[i], .target = root });
        unsendable(rig, &(struct weir_request){ .method = get, .target = bad[i] });
        unsendable(rig, &(struct weir_request){ .method = get, .target = root, .host = bad[i] });
        unsendable(rig, &(struct weir_request){
                            .method = get, .target = root, .headers = &name, .headers_count = 1 });
        unsendable(rig, &(struct weir_request){
                            .method = get, .target = root, .headers = &value, .headers_count = 1 });
    }
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        const struct weir_header header = { owned[i], WEIR_TEXT("5") };
        unsendable(rig,
                   &(struct weir_request){
                       .method = get, .target = root, .headers = &header, .headers_count = 1 });
    }
    unsendable(rig, &(struct weir_request){ .method = get, .target = WEIR_TEXT("/a b") });
    unsendable(rig, &(struct weir_request){ .method = get, .target = WEIR_TEXT("/a#b") });
    assert_false(peer_waits(rig));
}

/* ---- The server's side ------------------------------------------------------------------- */

/* The path says which status, and the value of X-Text comes back as it was understood. */
static void on_request(struct weir_exchange *exchange, void *ctx)
{
    struct weir_slice path = weir_exchange_path(exchange);
    const struct weir_header text = { WEIR_TEXT("X-Text"),
                                      weir_exchange_header(exchange, WEIR_TEXT("x-text")) };
    uint16_t status = 0;
    (void)ctx;
    for (size_t i = 1; i < path.len; i++)
        status = (uint16_t)(status * 10 + (path.ptr[i] - '0'));
    assert_int_equal(
        weir_exchange_respond(exchange, &(struct weir_response){ .status = status,
                                                                 .headers = &text,
                                                                 .headers_count = 1,
                                                                 .body = WEIR_TEXT("body") }),
        0);
}

/* What `request` is answered, all of it: its last line says that the connection ends. */
static void serve(struct rig *rig, const char *address, const char *request, char out[1024])
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    size_t len = 0;
    addr.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (;;) {
        ssize_t n = recv(fd, out + len, 1023 - len, 0);
        if (n == 0)
            break;
        assert_true(n > 0 || errno == EAGAIN);
        assert_true(weir_clock_ns() < until_ns);
        len += n > 0 ? (size_t)n : 0;
        run(rig);
    }
    out[len] = '\0';
    close(fd);
}

static void test_rules_24_and_40_of_a_server(void **state)
{
    static const struct {
        const char *line;
        const char *answer; /* but for the Date, which is left out */
    } cases[] = {
        { "GET /200", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n"
                      "X-Text: " OBS_TEXT "\r\n\r\nbody" },
        { "HEAD /200", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n"
                       "X-Text: " OBS_TEXT "\r\n\r\n" },
        { "GET /204",
          "HTTP/1.1 204 No Content\r\nConnection: close\r\nX-Text: " OBS_TEXT "\r\n\r\n" },
        { "GET /304",
          "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nX-Text: " OBS_TEXT "\r\n\r\n" },
        { "HEAD /404", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n"
                       "X-Text: " OBS_TEXT "\r\n\r\n" },
    };
    static const struct weir_server_handler handler = { .on_request = on_request };
    struct rig *rig = *state;
    struct weir_server *server;
    struct weir_server_config cfg;
    weir_server_config_init(&cfg);
    cfg.listen = "127.0.0.1:0";
    cfg.conns_max = 4;
    cfg.date = false;
    assert_int_equal(weir_server_open(&server, rig->engine, &cfg, &handler, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char request[256], answer[1024];
        int n = snprintf(request, sizeof request,
                         "%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX_Text: no\r\n"
                         "X-Text:\t " OBS_TEXT "\t\r\n\r\n",
                         cases[i].line);
        assert_in_range(n, 1, sizeof request - 1);
        serve(rig, weir_server_address(server), request, answer);
        assert_string_equal(answer, cases[i].answer);
    }
    assert_int_equal(weir_server_close(server), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rules_10_to_40_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rule_40_connect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rule_47_bytes_on_an_idle_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rule_47_answer_before_the_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rule_47_two_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rule_43_early_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rule_46_no_pipelining_by_default, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rules_20_to_33_not_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rules_24_and_40_of_a_server, setup, teardown),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
