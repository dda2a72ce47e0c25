/* SPDX-License-Identifier: MIT */
/* A client's configuration, its books, what it refuses to send, its end. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_rig.h"

static struct rig_call calls[16];

/* ---- Opening ----------------------------------------------------------------------------- */

static void refused(const struct weir_client_config *cfg, int err, const char *word)
{
    struct weir_client *client = (void *)&rig;
    int rc = weir_client_open(&client, rig.engine, cfg);
    if (rc != err)
        print_error("%s: %s, %s expected\n", word, weir_err_name(rc), weir_err_name(err));
    assert_int_equal(rc, err);
    assert_null(client);
    if (strstr(weir_error_text(), word) == NULL)
        assert_string_equal(weir_error_text(), word);
}

static void test_configuration(void **state)
{
    (void)state;
    const char *two[] = { "http://127.0.0.1:1", NULL };
    rig_open_engine(&rig);
    struct weir_client_config cfg = rig.client_cfg, good;
    refused(&cfg, -EINVAL, "endpoint is required");
    cfg.endpoint = "http://127.0.0.1:1";
    good = cfg;
    cfg.size = 4;
    refused(&cfg, -EINVAL, "size");
    assert_int_equal(weir_client_memory_bytes(&cfg), -EINVAL);
    cfg = good;
    cfg.conns_max = 1;
    int64_t small = weir_client_memory_bytes(&cfg);
    cfg.conns_max = 100;
    assert_true(small > 0 && weir_client_memory_bytes(&cfg) > small);
    cfg = good;
    cfg.head_bytes_max = rig.engine_cfg.stash_block_bytes + 1;
    refused(&cfg, -EINVAL, "stash_block_bytes");
    cfg = good;
    cfg.endpoints = two;
    cfg.endpoints_count = 1;
    refused(&cfg, -EINVAL, "endpoint is required, or else endpoints");
    cfg.endpoint = NULL;
    cfg.endpoints_count = 0;
    refused(&cfg, -EINVAL, "endpoints_count is 0, expected 1 to 64");
    cfg.endpoints_count = WEIR_ENDPOINTS_MAX + 1;
    refused(&cfg, -EINVAL, "endpoints_count is 65, expected 1 to 64");
    cfg.endpoints_count = 2;
    refused(&cfg, -EINVAL, "endpoints: number 1 is NULL");
    two[1] = "ftp://127.0.0.1";
    refused(&cfg, WEIR_E_URL, "http");
    cfg = good;
    cfg.endpoint = "unix:";
    refused(&cfg, -EINVAL, "path of a unix socket");
    cfg.endpoint = "http://127.0.0.1:99999";
    refused(&cfg, WEIR_E_URL, "port");
    cfg.endpoint = "http+unix://%2Fa%00b";
    refused(&cfg, WEIR_E_URL, "NUL");
}

/* Each field is refused a step below and a step above its range, by its name. */
static void test_ranges(void **state)
{
    (void)state;
#define FIELD(name) #name, offsetof(struct weir_client_config, name), sizeof rig.client_cfg.name
    static const struct {
        const char *name;
        size_t at, bytes;
        uint64_t bad;
    } fields[] = {
        { FIELD(conns_max), 0 },
        { FIELD(conns_max), (1 << 20) + 1 },
        { FIELD(endpoint_conns_max), (1 << 20) + 1 },
        { FIELD(conns_min), (1 << 20) + 1 },
        { FIELD(pipeline_max), 0 },
        { FIELD(pipeline_max), 65537 },
        { FIELD(waiting_max), 0 },
        { FIELD(waiting_timeout_ns), UINT64_MAX },
        { FIELD(connect_timeout_ns), UINT64_MAX },
        { FIELD(idle_timeout_ns), UINT64_MAX },
        { FIELD(age_max_ns), UINT64_MAX },
        { FIELD(timeout_ns), UINT64_MAX },
        { FIELD(head_bytes_max), 255 },
        { FIELD(fields_max), 0 },
        { FIELD(fields_max), 1025 },
        { FIELD(lenient), UINT32_MAX },
        { FIELD(decoded_bytes_max), 0 },
        { FIELD(retry.attempts_max), 0 },
        { FIELD(retry.attempts_max), 17 },
        { FIELD(retry.backoff_ns), 0 },
        { FIELD(retry.backoff_max_ns), 24999999 },
        { FIELD(retry.budget_percent), 101 },
        { FIELD(retry.budget_min), 1001 },
        { FIELD(dns_ttl_max_ns), 0 },
        { FIELD(stagger_ns), 0 },
        { FIELD(eject_failures), (1 << 20) + 1 },
        { FIELD(eject_ns), 0 },
        { FIELD(eject_max_ns), 29999999999 },
        { FIELD(health_interval_ns), 999999 },
        { FIELD(health_timeout_ns), 0 },
    };
#undef FIELD
    rig_open_engine(&rig);
    rig.client_cfg.endpoint = "http://127.0.0.1:1";
    for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct weir_client_config cfg = rig.client_cfg;
        uint32_t bad = (uint32_t)fields[i].bad;
        if (fields[i].bytes == sizeof bad)
            memcpy((char *)&cfg + fields[i].at, &bad, sizeof bad);
        else
            memcpy((char *)&cfg + fields[i].at, &fields[i].bad, sizeof fields[i].bad);
        refused(&cfg, -EINVAL, fields[i].name);
    }
}

/* Everything that is written as an endpoint opens, and asks for nothing yet. */
static void test_endpoint_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "http://127.0.0.1:8080", "http://[::1]:80",           "http://name.test",
        "https://name.test",     "https://127.0.0.1:1",       "http+unix://%2Fnowhere%2Fsocket",
        "unix:/nowhere/socket",  "http://name.test:81/path?", "unix:@abstract",
    };
    rig_open_engine(&rig);
    rig.client_cfg.dns_servers = "127.0.0.1:1";
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        rig.client_cfg.endpoint = texts[i];
        rig_open_client(&rig);
        rig_settle(&rig);
        assert_int_equal(rig_client_stats(&rig).conns_now, 0);
        assert_int_equal(rig_client_stats(&rig).lookups, 0);
        rig_close_client(&rig);
    }
    rig.client_cfg.dns_servers = "what";
    rig.client_cfg.endpoint = "http://name.test";
    struct weir_client *client;
    assert_true(weir_client_open(&client, rig.engine, &rig.client_cfg) < 0);
    assert_null(client);
    assert_true(strlen(weir_error_text()) > 0);
}

/* ---- The books --------------------------------------------------------------------------- */

static void test_statistics(void **state)
{
    (void)state;
    rig_open_raw(&rig, 2);
    for (unsigned i = 0; i < 4; i++)
        rig_get(&calls[i], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    struct rig_peer *q = rig_accept_request(&rig);
    struct weir_client_stats s = rig_client_stats(&rig);
    assert_int_equal(s.conns_now, 2);
    assert_int_equal(s.in_flight_now, 2);
    assert_int_equal(s.waiting_now, 2);
    assert_int_equal(s.idle_now + s.connecting_now + s.ejected_now, 0);
    assert_int_equal(s.conns, 2);
    assert_int_equal(s.sent, 2);
    assert_int_equal(s.reused, 0);
    rig_cancel(&calls[3]);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "a"));
    rig_answer(&rig, q, &calls[1], OK_TEXT("1", "b"));
    rig_answer(&rig, p, &calls[2], OK_TEXT("1", "c"));
    rig_expect_err(&calls[3], WEIR_E_CANCELLED);
    s = rig_client_stats(&rig);
    assert_int_equal(s.calls, 4);
    assert_int_equal(s.completed, 3);
    assert_int_equal(s.failed, 1);
    assert_int_equal(s.sent, 3);
    assert_int_equal(s.reused, 1);
    assert_int_equal(s.idle_now, 2);
    assert_int_equal(s.waiting_now + s.in_flight_now, 0);
    struct weir_endpoint_stats e = { .size = sizeof e };
    weir_client_endpoint_stats(rig.client, 0, &e);
    assert_int_equal(e.conns_now, 2);
    assert_int_equal(e.in_flight_now, 0);
    assert_int_equal(e.addresses_now, 1);
    assert_int_equal(e.sent, 3);
    assert_int_equal(e.failures, 0);
    assert_true(e.healthy && !e.ejected);
    /* A caller that knows fewer fields gets those. */
    memset(&s, 0xee, sizeof s);
    s.size = offsetof(struct weir_client_stats, sent);
    weir_client_stats(rig.client, &s);
    assert_int_equal(s.completed, 3);
    assert_int_equal(s.sent, 0xeeeeeeeeeeeeeeee);
}

/* ---- What cannot be sent ----------------------------------------------------------------- */

static void invalid(struct weir_request request)
{
    rig_call_init(&calls[9], &rig, "GET", "/");
    calls[9].call.request = request;
    assert_int_equal(rig_try_send(&calls[9]), -EINVAL);
}

static void invalid_all(void)
{
    static const struct weir_header split = { WEIR_TEXT("X"), WEIR_TEXT("a\r\nb: c") };
    static const struct weir_header name = { WEIR_TEXT("X y"), WEIR_TEXT("a") };
    static const struct weir_header owned = { WEIR_TEXT("Transfer-encoding"),
                                              WEIR_TEXT("chunked") };
    struct weir_request good = { .method = WEIR_TEXT("GET"), .target = WEIR_TEXT("/") }, bad = good;
    bad.method = WEIR_TEXT("GET / HTTP/1.1\r\n");
    invalid(bad);
    bad.method = WEIR_TEXT("");
    invalid(bad);
    bad = good;
    bad.target = WEIR_TEXT("/ HTTP/1.1\r\nX: y");
    invalid(bad);
    bad.target = WEIR_TEXT("");
    invalid(bad);
    bad = good;
    bad.host = WEIR_TEXT("h\r\nX: y");
    invalid(bad);
    bad = good;
    bad.headers_count = 1;
    bad.headers = &split;
    invalid(bad);
    bad.headers = &name;
    invalid(bad);
    bad.headers = &owned;
    invalid(bad);
    rig_call_init(&calls[9], &rig, "GET", "/");
    calls[9].call.handler = NULL;
    assert_int_equal(rig_try_send(&calls[9]), -EINVAL);
}

static void test_invalid_requests(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    invalid_all(); /* with no connection yet */
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    invalid_all(); /* with all of them busy */
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    invalid_all(); /* with one that is free */
    rig_expect_nothing(&rig, p);
    rig_send(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
}

/* Without output memory a call on a free connection is refused; one that waits goes on waiting. */
static void test_output_memory_exhausted(void **state)
{
    (void)state;
    void *chunks = NULL, *chunk;
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    while ((chunk = weir_pool_get(&rig.engine->chunks)) != NULL) {
        memcpy(chunk, &chunks, sizeof chunks);
        chunks = chunk;
    }
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_nothing(&rig, p);
    assert_int_equal(calls[0].ended, 0);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(&chunk, chunks, sizeof chunk);
        weir_pool_put(&rig.engine->chunks, chunks);
        chunks = chunk;
    }
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    while ((chunk = weir_pool_get(&rig.engine->chunks)) != NULL) {
        memcpy(chunk, &chunks, sizeof chunks);
        chunks = chunk;
    }
    assert_int_equal(rig_try_send(&calls[0]), -ENOBUFS);
    while (chunks != NULL) {
        memcpy(&chunk, chunks, sizeof chunk);
        weir_pool_put(&rig.engine->chunks, chunks);
        chunks = chunk;
    }
    rig_send(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "y"));
}

/* ---- Closing ----------------------------------------------------------------------------- */

static void send_into_the_end(struct rig_call *rc)
{
    if (rig.client != NULL && rc->err == WEIR_E_SHUTDOWN) {
        rig_cancel(&calls[0]);
        assert_int_equal(rig_try_send(rc), WEIR_E_SHUTDOWN);
    }
}

static void test_close_with_everything_in_progress(void **state)
{
    (void)state;
    enum { BYTES = 6 << 20 };
    uint8_t *bytes = rig_pattern(BYTES);
    rig.client_cfg.pipeline_max = 2;
    rig_open_raw(&rig, 4);
    struct rig_peer *p[4];
    for (unsigned i = 0; i < 4; i++) {
        rig_call_init(&calls[i], &rig, "PUT", "/");
        if (i == 3)
            calls[i].call.request.body = (struct weir_slice){ bytes, BYTES };
        rig_send(&calls[i]);
        p[i] = rig_accept(&rig);
        p[i]->stalled = i == 3;
        rig_settle(&rig);
    }
    /* 0: idle again. 1: waits for a head. 2: in the body. 3: still being sent. */
    rig_expect_requests(&rig, p[0], 1);
    rig_answer(&rig, p[0], &calls[0], OK_TEXT("1", "x"));
    rig_text(&rig, p[2], "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    RIG_UNTIL(&rig, calls[2].body.len == 4);
    for (unsigned i = 4; i < 12; i++) { /* fill the pipelines, then the queue */
        rig_get(&calls[i], &rig, "/");
        calls[i].on_end = send_into_the_end;
    }
    assert_true(rig_client_stats(&rig).waiting_now > 0);
    rig_cancel(&calls[11]); /* its end is owed */
    rig_close_client(&rig);
    rig_expect_err(&calls[11], WEIR_E_CANCELLED);
    for (unsigned i = 1; i < 11; i++)
        rig_expect_err(&calls[i], WEIR_E_SHUTDOWN);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_configuration),
        RIG_TEST(test_ranges),
        RIG_TEST(test_endpoint_texts),
        RIG_TEST(test_statistics),
        RIG_TEST(test_invalid_requests),
        RIG_TEST(test_output_memory_exhausted),
        RIG_TEST(test_close_with_everything_in_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
