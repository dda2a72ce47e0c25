/* SPDX-License-Identifier: MIT */
/* A server that speaks TLS, against OpenSSL's client: answers, time, ends. */
#include "unit/io/tls_rig.h"

#include <weir/server.h>

#define GET_TEXT   "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define LAST_TEXT  "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
#define BODY_BYTES (1u << 20)

static struct weir_engine *engine;
static struct weir_server *server;
static struct weir_tls *tls;
static SSL_CTX *ctx;
static uint8_t *body;
static size_t body_bytes;
static bool drained;

static void on_request(struct weir_exchange *exchange, void *arg)
{
    (void)arg;
    const struct weir_response response = {
        .status = 200,
        .body = { body, body_bytes },
        .how = WEIR_BODY_BORROW,
    };
    assert_int_equal(weir_exchange_respond(exchange, &response), 0);
}

static void on_end(struct weir_exchange *exchange, int err, void *arg)
{
    (void)exchange;
    (void)err;
    (void)arg;
}

static const struct weir_server_handler handler = { .on_request = on_request, .on_end = on_end };

static struct weir_server_config server_config(void)
{
    struct weir_server_config cfg;
    weir_server_config_init(&cfg);
    cfg.listen = "127.0.0.1:0";
    cfg.date = false;
    cfg.conns_max = 16;
    cfg.exchanges_max = 16;
    cfg.tls = tls;
    return cfg;
}

static void serve(const struct weir_server_config *cfg)
{
    int rc = weir_server_open(&server, engine, cfg, &handler, NULL);
    if (rc < 0)
        print_error("%s\n", weir_error_text());
    assert_int_equal(rc, 0);
}

static int setup(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_tls_config tls_cfg = tls_server_config();
    engine = rig_open(&cfg);
    tls = tls_open(&tls_cfg);
    ctx = SSL_CTX_new(TLS_client_method());
    body = calloc(1, BODY_BYTES);
    assert_true(ctx != NULL && body != NULL);
    body_bytes = 5;
    drained = false;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(weir_server_close(server), 0);
    weir_tls_close(tls);
    rig_close(engine);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    free(body);
    return 0;
}

static struct weir_server_stats stats(void)
{
    struct weir_server_stats got = { .size = sizeof got };
    weir_server_stats(server, &got);
    return got;
}

static int dial(void)
{
    struct weir_addr addr;
    assert_int_equal(weir_addr_parse_listen(&addr, weir_server_address(server)), 0);
    return rig_tcp_dial(&addr);
}

static SSL *dial_tls(void)
{
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_set_fd(ssl, dial());
    RIG_RUN_UNTIL(engine, SSL_connect(ssl) == 1);
    return ssl;
}

static void hang_up(SSL *ssl)
{
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

static void say(SSL *ssl, const char *text)
{
    RIG_RUN_UNTIL(engine, SSL_write(ssl, text, (int)strlen(text)) > 0);
}

/* Read until the answer ends. @return its bytes */
static size_t hear(SSL *ssl, size_t expected)
{
    static char bytes[BODY_BYTES + 1000];
    size_t used = 0;
    int n;
    RIG_RUN_UNTIL(
        engine,
        ((n = SSL_read(ssl, bytes + used, (int)(sizeof bytes - used))) > 0 ? used += (size_t)n : 0,
         used >= expected));
    assert_memory_equal(bytes, "HTTP/1.1 200 OK\r\n", 17);
    return used;
}

/* The end was announced. */
static void expect_notified(SSL *ssl)
{
    char byte;
    int rc = 1;
    RIG_RUN_UNTIL(engine, SSL_get_error(ssl, rc = SSL_read(ssl, &byte, 1)) != SSL_ERROR_WANT_READ);
    assert_int_equal(SSL_get_error(ssl, rc), SSL_ERROR_ZERO_RETURN);
}

/* The server ends it without a byte. */
static void expect_silence(int fd)
{
    char byte;
    ssize_t n;
    RIG_RUN_UNTIL(engine, (n = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
    assert_true(n <= 0);
    close(fd);
}

static void test_configuration(void **state)
{
    (void)state;
    struct weir_tls_config client_cfg = tls_client_config();
    struct weir_tls *client = tls_open(&client_cfg);
    struct weir_server_config cfg = server_config();
    cfg.tls = client;
    assert_int_equal(weir_server_open(&server, engine, &cfg, &handler, NULL), -EINVAL);
    assert_non_null(strstr(weir_error_text(), "WEIR_TLS_SERVER"));
    weir_tls_close(client);
    cfg.tls = tls;
    serve(&cfg);
    weir_tls_close(tls); /* the server has its own reference */
    tls = NULL;
    SSL *ssl = dial_tls();
    say(ssl, GET_TEXT);
    hear(ssl, 1);
    hang_up(ssl);
}

static void test_answers(void **state)
{
    (void)state;
    struct weir_server_config cfg = server_config();
    serve(&cfg);
    const size_t head = sizeof "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" - 1;
    SSL *ssl = dial_tls();
    for (unsigned i = 0; i < 3; i++) {
        say(ssl, GET_TEXT);
        assert_int_equal(hear(ssl, head + 5), head + 5);
    }
    body_bytes = BODY_BYTES;
    say(ssl, GET_TEXT);
    assert_int_equal(hear(ssl, head + 6 + BODY_BYTES), head + 6 + BODY_BYTES);
    body_bytes = 5;
    say(ssl, GET_TEXT GET_TEXT GET_TEXT); /* one record in, one record out */
    assert_int_equal(hear(ssl, 3 * (head + 5)), 3 * (head + 5));
    say(ssl, LAST_TEXT);
    hear(ssl, head + 5);
    expect_notified(ssl);
    hang_up(ssl);
    RIG_RUN_UNTIL(engine, stats().conns_now == 0);
    assert_int_equal(stats().responses, 8);
    assert_int_equal(stats().aborted, 0);
}

/* A handshake has the time of a head, and its end is silent. */
static void test_stalled_handshake(void **state)
{
    (void)state;
    static const uint8_t half_a_hello[] = { 22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3 };
    struct weir_server_config cfg = server_config();
    cfg.head_timeout_ns = 10 * RIG_MS;
    cfg.idle_timeout_ns = 0;
    serve(&cfg);
    for (unsigned way = 0; way < 2; way++) {
        int fd = dial();
        if (way == 1)
            assert_int_equal(send(fd, half_a_hello, sizeof half_a_hello, 0), sizeof half_a_hello);
        expect_silence(fd);
        RIG_RUN_UNTIL(engine, stats().conns_now == 0);
        assert_int_equal(stats().timeouts, way + 1);
    }
    assert_int_equal(stats().refused, 0);
    /* After it the connection waits for a request as any other does. */
    SSL *ssl = dial_tls();
    rig_run_for(engine, 30 * RIG_MS);
    assert_int_equal(stats().conns_now, 1);
    say(ssl, GET_TEXT);
    hear(ssl, 1);
    assert_int_equal(stats().timeouts, 2);
    hang_up(ssl);
}

/* Of a head that does not come whole the client is told, under TLS. */
static void test_slow_head(void **state)
{
    (void)state;
    char bytes[400];
    struct weir_server_config cfg = server_config();
    cfg.head_timeout_ns = 20 * RIG_MS;
    serve(&cfg);
    SSL *ssl = dial_tls();
    say(ssl, "GET / HTT");
    int n;
    RIG_RUN_UNTIL(engine, (n = SSL_read(ssl, bytes, sizeof bytes)) > 0);
    assert_memory_equal(bytes, "HTTP/1.1 408 ", 13);
    expect_notified(ssl);
    hang_up(ssl);
}

static void test_plain_http(void **state)
{
    (void)state;
    struct weir_server_config cfg = server_config();
    uint8_t got[64];
    ssize_t n;
    serve(&cfg);
    int fd = dial();
    assert_true(send(fd, GET_TEXT, sizeof GET_TEXT - 1, 0) > 0);
    RIG_RUN_UNTIL(engine, (n = recv(fd, got, sizeof got, 0)) > 0);
    assert_int_equal(n, 7);
    assert_int_equal(got[0], 21);
    close(fd);
    RIG_RUN_UNTIL(engine, stats().conns_now == 0);
    assert_int_equal(stats().requests, 0);
    assert_int_equal(tls_stats(tls).plaintext, 1);
}

static void on_drained(struct weir_server *s, void *arg)
{
    (void)s;
    (void)arg;
    drained = true;
}

static void test_drain(void **state)
{
    (void)state;
    struct weir_server_config cfg = server_config();
    serve(&cfg);
    SSL *idle = dial_tls();
    int shaking = dial();
    RIG_RUN_UNTIL(engine, stats().conns_now == 2);
    weir_server_drain(server, 0, on_drained);
    expect_notified(idle);
    expect_silence(shaking);
    RIG_RUN_UNTIL(engine, drained);
    hang_up(idle);
}

/* Closed in every state, with output that nobody reads. */
static void test_close(void **state)
{
    (void)state;
    struct weir_server_config cfg = server_config();
    serve(&cfg);
    body_bytes = BODY_BYTES;
    SSL *busy = dial_tls();
    for (unsigned i = 0; i < 8; i++)
        say(busy, GET_TEXT);
    int shaking = dial();
    rig_settle(engine);
    assert_int_equal(weir_server_close(server), 0);
    assert_int_equal(rig_stats(engine).conns_now, 0);
    hang_up(busy);
    close(shaking);
    serve(&cfg);
}

#define TLS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS_TEST(test_configuration), TLS_TEST(test_answers),    TLS_TEST(test_stalled_handshake),
        TLS_TEST(test_slow_head),     TLS_TEST(test_plain_http), TLS_TEST(test_drain),
        TLS_TEST(test_close),
    };
    return cmocka_run_group_tests(tests, tls_setup, tls_teardown);
}
