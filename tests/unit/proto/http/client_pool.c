/* SPDX-License-Identifier: MIT */
/* A client's connections: which call gets which, how many there are, how old they grow. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_rig.h"

#include <sys/resource.h>

enum { CALLS_MAX = 1000 };
static struct rig_call calls[CALLS_MAX];

static struct weir_client_stats stats(void)
{
    return rig_client_stats(&rig);
}

/* ---- Which call gets which --------------------------------------------------------------- */

static void test_last_used_first(void **state)
{
    (void)state;
    struct rig_peer *p[3];
    rig_open_raw(&rig, 3);
    for (unsigned i = 0; i < 3; i++) {
        rig_get(&calls[i], &rig, "/");
        p[i] = rig_accept_request(&rig);
    }
    assert_int_equal(stats().conns_now, 3);
    assert_int_equal(stats().in_flight_now, 3);
    const unsigned order[] = { 1, 2, 0 };
    for (unsigned i = 0; i < 3; i++)
        rig_answer(&rig, p[order[i]], &calls[order[i]], OK_TEXT("1", "x"));
    for (unsigned i = 3; i-- > 0;) {
        rig_send(&calls[i]);
        rig_expect_requests(&rig, p[order[i]], 1);
        assert_true(calls[i].call.timing.reused);
    }
    for (unsigned i = 0; i < 3; i++)
        rig_answer(&rig, p[order[i]], &calls[i], OK_TEXT("1", "y"));
    assert_int_equal(stats().conns, 3);
    assert_int_equal(stats().reused, 3);
    assert_int_equal(stats().completed, 6);
}

/* One connection or a few, first come first served. */
static void wait_in_order(uint32_t conns_max, unsigned count)
{
    rig.client_cfg.conns_max = conns_max;
    rig_serve(&rig);
    rig_open_client(&rig);
    for (unsigned i = 0; i < count; i++)
        rig_get(&calls[i], &rig, "/");
    assert_int_equal(stats().waiting_now, count);
    RIG_UNTIL(&rig, rig.calls_ended == count);
    for (unsigned i = 0; i < count; i++) {
        assert_in_range(calls[i].order + conns_max, i + 1, i + 2 * conns_max - 1);
        rig_expect_answer(&calls[i], 200, "GET / ");
    }
    assert_int_equal(stats().conns, conns_max);
}

static void test_a_thousand_wait_for_one(void **state)
{
    (void)state;
    wait_in_order(1, CALLS_MAX);
    for (unsigned i = 0; i < CALLS_MAX; i++)
        assert_int_equal(calls[i].order, i);
}

static void test_wait_for_some(void **state)
{
    (void)state;
    wait_in_order(4, 100);
}

static void test_pipelining(void **state)
{
    (void)state;
    rig.client_cfg.pipeline_max = 4;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < 7; i++)
        rig_get(&calls[i], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 4);
    rig_expect_nothing(&rig, p);
    assert_int_equal(stats().waiting_now, 3);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "0"));
    rig_expect_requests(&rig, p, 1);
    rig_expect_nothing(&rig, p);
    rig_text(&rig, p, OK_TEXT("1", "1") OK_TEXT("1", "2") OK_TEXT("1", "3") OK_TEXT("1", "4"));
    rig_expect_requests(&rig, p, 2);
    rig_text(&rig, p, OK_TEXT("1", "5") OK_TEXT("1", "6"));
    for (unsigned i = 1; i < 7; i++) {
        const char body[] = { (char)('0' + (int)i), '\0' };
        rig_expect_answer(&calls[i], 200, body);
        assert_int_equal(calls[i].order, i);
    }
    assert_int_equal(stats().conns, 1);
}

/* A pipeline is used when no other connection may be made, not before. */
static void test_connections_before_pipelines(void **state)
{
    (void)state;
    rig.client_cfg.pipeline_max = 4;
    rig_open_raw(&rig, 2);
    struct rig_peer *p[2];
    for (unsigned i = 0; i < 2; i++) {
        rig_get(&calls[i], &rig, "/");
        p[i] = rig_accept_request(&rig);
    }
    for (unsigned i = 2; i < 4; i++)
        rig_get(&calls[i], &rig, "/");
    assert_int_equal(stats().waiting_now, 0);
    assert_int_equal(stats().conns_now, 2);
    rig_expect_requests(&rig, p[1], 2); /* the last used first, here too */
    rig_expect_nothing(&rig, p[0]);
    rig_text(&rig, p[0], OK_EMPTY);
    rig_text(&rig, p[1], OK_EMPTY OK_EMPTY OK_EMPTY);
    for (unsigned i = 0; i < 4; i++)
        rig_expect_answer(&calls[i], 200, "");
}

/* ---- How many there are ------------------------------------------------------------------ */

static void test_least(void **state)
{
    (void)state;
    struct rig_peer *p[3];
    rig.client_cfg.conns_min = 3;
    rig_open_raw(&rig, 5);
    rig_expect_nobody(&rig); /* not before the first call */
    rig_get(&calls[0], &rig, "/");
    for (unsigned i = 0; i < 3; i++)
        p[i] = rig_accept(&rig);
    RIG_UNTIL(&rig, stats().idle_now == 2);
    rig_expect_nobody(&rig);
    unsigned at = 0;
    while (p[at]->in.len == 0)
        at++;
    rig_expect_requests(&rig, p[at], 1);
    rig_answer(&rig, p[at], &calls[0], OK_TEXT("1", "x"));
    /* The server closes two, in either way: they are restored. */
    rig_half_close(p[0]);
    rig_expect_end(&rig, p[0]);
    rig_reset(p[1]);
    rig_skip(&rig, RIG_S);
    (void)rig_accept(&rig);
    (void)rig_accept(&rig);
    RIG_UNTIL(&rig, stats().idle_now == 3);
    rig_expect_nobody(&rig);
    assert_int_equal(stats().conns_now, 3);
    assert_int_equal(stats().conns, 5);
    assert_int_equal(stats().closed_by_peer, 2);
}

static void test_least_is_within_the_most(void **state)
{
    (void)state;
    rig.client_cfg.conns_min = 10;
    rig_open_raw(&rig, 2);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p[] = { rig_accept(&rig), rig_accept(&rig) };
    RIG_UNTIL(&rig, p[0]->in.len + p[1]->in.len > 0);
    rig_expect_nobody(&rig);
    unsigned at = p[0]->in.len == 0;
    rig_expect_requests(&rig, p[at], 1);
    rig_answer(&rig, p[at], &calls[0], OK_TEXT("1", "x"));
    assert_int_equal(stats().conns_now, 2);
}

/* A server that closes whatever is opened is not asked again and again without a pause. */
static void test_least_against_a_server_that_closes(void **state)
{
    (void)state;
    rig.client_cfg.conns_min = 1;
    rig_open_raw(&rig, 2);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    unsigned accepted = 0;
    rig_half_close(p);
    for (unsigned i = 0; i < 200; i++) { /* two seconds */
        int fd = rig_try_accept(&rig);
        if (fd >= 0)
            close(fd);
        accepted += fd >= 0;
        rig_clock.now_ns += 10 * RIG_MS;
        rig_pass(&rig);
    }
    assert_in_range(accepted, 3, 10);
}

/* Never more, whatever happens to those there are. */
static void never_more(uint32_t most)
{
    struct rig_peer *p[4];
    for (unsigned i = 0; i < 12; i++)
        rig_get(&calls[i], &rig, "/");
    for (unsigned i = 0; i < most; i++)
        p[i] = rig_accept_request(&rig);
    rig_expect_nobody(&rig);
    for (unsigned i = 0; i < 12;) {
        assert_true(stats().conns_now <= most);
        struct rig_peer *one = p[i % most];
        rig_text(&rig, one,
                 i % 3 == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                            : OK_EMPTY);
        i++;
        RIG_UNTIL(&rig, rig.calls_ended == i);
        if (i + most > 12)
            continue;
        if (one->eof || (i - 1) % 3 == 0) {
            rig_expect_end(&rig, one);
            p[(i - 1) % most] = rig_accept_request(&rig);
        } else {
            rig_expect_requests(&rig, one, 1);
        }
    }
    assert_true(stats().conns_now <= most);
    assert_int_equal(stats().completed, 12);
}

static void test_most(void **state)
{
    (void)state;
    rig_open_raw(&rig, 3);
    never_more(3);
}

static void test_most_per_endpoint(void **state)
{
    (void)state;
    rig.client_cfg.endpoint_conns_max = 2;
    rig_open_raw(&rig, 100);
    never_more(2);
}

/* ---- How old they grow ------------------------------------------------------------------- */

/* Many at once, each with one answered request. */
static void open_many(unsigned count, const char *text)
{
    struct rig_peer *p[16];
    for (unsigned i = 0; i < count; i++) {
        rig_get(&calls[i], &rig, "/");
        p[i] = rig_accept_request(&rig);
    }
    for (unsigned i = 0; i < count; i++)
        rig_answer(&rig, p[i], &calls[i], text);
}

/* Those above the least are closed when they were not used for as long; the others stay. */
static void test_idle_timeout(void **state)
{
    (void)state;
    rig.client_cfg.idle_timeout_ns = 10 * RIG_S;
    rig.client_cfg.conns_min = 1;
    rig_open_raw(&rig, 3);
    struct rig_peer *p[3];
    for (unsigned i = 0; i < 3; i++)
        rig_get(&calls[i], &rig, "/");
    for (unsigned i = 0; i < 3; i++)
        p[i] = rig_accept_request(&rig);
    rig_skip(&rig, 11 * RIG_S); /* not while something is in flight */
    for (unsigned i = 0; i < 3; i++)
        rig_text(&rig, p[i], OK_EMPTY);
    for (unsigned i = 0; i < 3; i++)
        rig_finish(&calls[i]);
    rig_skip(&rig, 9 * RIG_S);
    assert_int_equal(stats().conns_now, 3);
    rig_skip(&rig, 1100 * RIG_MS);
    RIG_UNTIL(&rig, stats().conns_now == 1);
    for (unsigned i = 0; i < 3; i++)
        rig_skip(&rig, 11 * RIG_S);
    assert_int_equal(stats().conns_now, 1);
    assert_int_equal(stats().closed_idle, 2);
    rig_expect_nobody(&rig);
}

/* The deadline of a call that is over is nothing to the connection it was on. */
static void test_no_idle_timeout(void **state)
{
    (void)state;
    rig.client_cfg.idle_timeout_ns = 0;
    rig.client_cfg.age_max_ns = 0;
    rig_open_raw(&rig, 1);
    rig_call_init(&calls[0], &rig, "GET", "/");
    calls[0].call.deadline_ns = rig_now(&rig) + 10 * RIG_S;
    rig_send(&calls[0]);
    struct rig_peer *p = rig_accept_request(&rig);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    for (unsigned i = 0; i < 4; i++)
        rig_skip(&rig, 3600 * RIG_S);
    rig_expect_nothing(&rig, p);
    assert_int_equal(stats().conns_now, 1);
}

/* A server that says when it closes is believed, a second less; the least does not count then. */
static void test_server_says_for_how_long(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        uint64_t until_ms; /* 0: it says nothing */
    } rows[] = {
        { "Keep-Alive: timeout=5\r\n", 4000 },
        { "keep-alive: max=100, Timeout=3\r\n", 2000 },
        { "Keep-Alive: timeout=2, max=9\r\n", 1000 },
        { "Keep-Alive: timeout=1\r\n", 500 },
        { "Keep-Alive: max=100\r\n", 0 },
        { "Keep-Alive: timeout=\r\n", 0 },
        { "Keep-Alive: timeout=99999999999999999999\r\n", 0 },
        { "X-Keep-Alive: timeout=2\r\n", 0 },
    };
    rig.client_cfg.conns_min = 1;
    rig_open_raw(&rig, 1);
    unsigned closed = 0;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n%s\r\nx",
                       rows[i].field);
        rig_get(&calls[0], &rig, "/");
        struct rig_peer *p =
            rig.peers_count > 0 && rig.peers[0].fd >= 0 ? &rig.peers[0] : rig_accept(&rig);
        rig_expect_requests(&rig, p, 1);
        rig_answer(&rig, p, &calls[0], text);
        uint64_t until = rows[i].until_ms == 0 ? 20 * RIG_S : rows[i].until_ms * RIG_MS;
        rig_skip(&rig, until - 100 * RIG_MS);
        assert_int_equal(stats().closed_idle, closed);
        rig_skip(&rig, 200 * RIG_MS);
        if (rows[i].until_ms == 0) {
            rig_expect_nothing(&rig, p);
            continue;
        }
        rig_expect_eof(&rig, p);
        assert_int_equal(stats().closed_idle, ++closed);
        rig_hang_up(p);
        rig_skip(&rig, RIG_S);
        (void)rig_accept(&rig); /* the least is kept */
    }
}

/* 10 % more or less, so that those which were made together do not end together. */
static void test_age(void **state)
{
    (void)state;
    rig.client_cfg.age_max_ns = 100 * RIG_S;
    rig.client_cfg.idle_timeout_ns = 0;
    rig_open_raw(&rig, 16);
    open_many(16, OK_TEXT("1", "x"));
    uint64_t now = rig_now(&rig), least = UINT64_MAX, most = 0;
    struct weir_list *all = &rig.client->endpoints[0].all;
    for (struct weir_list *n = all->next; n != all; n = n->next) {
        uint64_t at = weir_container_of(n, struct weir_client_conn, all_link)->expires_ns;
        assert_in_range(at, now + 89 * RIG_S, now + 110 * RIG_S);
        least = weir_min_u64(least, at);
        most = weir_max_u64(most, at);
    }
    assert_true(most - least > 5 * RIG_S);
    rig_skip(&rig, 89 * RIG_S);
    assert_int_equal(stats().conns_now, 16);
    rig_skip(&rig, 12 * RIG_S);
    assert_in_range(stats().closed_aged, 1, 15);
    rig_skip(&rig, 12 * RIG_S);
    RIG_UNTIL(&rig, stats().conns_now == 0);
    assert_int_equal(stats().closed_aged, 16);
    assert_int_equal(stats().closed_idle, 0);
}

/* What is in flight on an old connection is not cut, whatever is behind it in the pipeline. */
static void test_age_cuts_nothing(void **state)
{
    (void)state;
    rig.client_cfg.age_max_ns = 10 * RIG_S;
    rig.client_cfg.pipeline_max = 2;
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    rig_get(&calls[1], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 2);
    rig_skip(&rig, 60 * RIG_S);
    rig_get(&calls[2], &rig, "/"); /* waits: the connection is too old */
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "0"));
    rig_expect_nothing(&rig, p);
    rig_answer(&rig, p, &calls[1], OK_TEXT("1", "1"));
    rig_expect_eof(&rig, p);
    assert_int_equal(stats().closed_aged, 1);
    struct rig_peer *q = rig_accept_request(&rig);
    rig_answer(&rig, q, &calls[2], OK_TEXT("1", "2"));
}

/* A queue that is never empty keeps no connection for ever. */
static void test_age_under_load(void **state)
{
    (void)state;
    rig.client_cfg.age_max_ns = 10 * RIG_S;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < 4; i++)
        rig_get(&calls[i], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "0"));
    rig_expect_requests(&rig, p, 1);
    rig_skip(&rig, 12 * RIG_S);
    rig_answer(&rig, p, &calls[1], OK_TEXT("1", "1"));
    rig_expect_eof(&rig, p);
    struct rig_peer *q = rig_accept_request(&rig);
    rig_answer(&rig, q, &calls[2], OK_TEXT("1", "2"));
    rig_expect_requests(&rig, q, 1);
    rig_answer(&rig, q, &calls[3], OK_TEXT("1", "3"));
    assert_int_equal(stats().closed_aged, 1);
}

/* The other side ended what lay idle: noticed at once, and nobody else notices. */
static void test_idle_closed_by_the_server(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < 3; i++) {
        rig_get(&calls[i], &rig, "/");
        struct rig_peer *p = rig_accept_request(&rig);
        rig_answer(&rig, p, &calls[i], OK_TEXT("1", "x"));
        if (i == 0)
            rig_half_close(p);
        else
            rig_reset(p);
        RIG_UNTIL(&rig, stats().conns_now == 0);
        assert_int_equal(stats().closed_by_peer, i + 1);
    }
    assert_int_equal(stats().replays, 0);
    assert_int_equal(stats().closed_idle + stats().closed_aged, 0);
}

/* ---- No connection ----------------------------------------------------------------------- */

/* The n-th failure is the n-th call's. */
static void test_refused(void **state)
{
    (void)state;
    rig_open_raw(&rig, 2);
    rig_refuse(&rig);
    for (unsigned i = 0; i < 10; i++)
        rig_get(&calls[i], &rig, "/");
    for (unsigned i = 0; i < 10; i++) {
        rig_expect_err(&calls[i], WEIR_E_CONNECT);
        assert_int_equal(calls[i].call.timing.os_err, -ECONNREFUSED);
        assert_int_equal(calls[i].order, i);
    }
    assert_int_equal(stats().connect_failures, 10);
    assert_int_equal(stats().conns_now, 0);
}

static void copy_error_text(struct rig_call *rc)
{
    rig_buf_text(&rc->body, weir_error_text());
}

/* Why, by name, while on_end runs. */
static void test_refused_tells(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    rig_refuse(&rig);
    rig_call_init(&calls[0], &rig, "GET", "/");
    calls[0].on_end = copy_error_text;
    rig_send(&calls[0]);
    rig_finish(&calls[0]);
    assert_int_equal(calls[0].err, WEIR_E_CONNECT);
    const char *text = rig_buf_str(&calls[0].body);
    if (strstr(text, rig.endpoint + 7) == NULL || strstr(text, "refused") == NULL)
        assert_string_equal(text, "the endpoint's address, and that it refused");
    rig_buf_free(&calls[0].body);
}

/* Nobody asks a server that fails without a pause, unless a call waits for nothing but that. */
static void test_pauses(void **state)
{
    (void)state;
    rig.client_cfg.conns_min = 1;
    rig_open_raw(&rig, 2);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    rig_refuse(&rig);
    rig_half_close(p);
    uint64_t pause = 50 * RIG_MS;
    struct weir_endpoint *e = &rig.client->endpoints[0];
    for (unsigned i = 1; i < 8; i++) {
        uint64_t before = rig_now(&rig);
        RIG_UNTIL(&rig, stats().connect_failures == i);
        uint64_t now = rig_now(&rig);
        assert_in_range(e->retry_at_ns, before + pause * 9 / 10, now + pause * 11 / 10);
        assert_int_equal(e->retry_ns, pause);
        rig_settle(&rig);
        rig_skip(&rig, e->retry_at_ns - weir_min_u64(rig_now(&rig), e->retry_at_ns));
        pause = weir_min_u64(2 * pause, RIG_S);
    }
    /* A call asks at once. */
    RIG_UNTIL(&rig, stats().connect_failures == 8);
    rig_get(&calls[0], &rig, "/");
    rig_expect_err(&calls[0], WEIR_E_CONNECT);
    assert_int_equal(stats().connect_failures, 9);
}

/* The least is asked for all at once, but only one at a time while the server is not there. */
static void test_pauses_for_the_least(void **state)
{
    (void)state;
    rig.client_cfg.conns_min = 10;
    rig_open_raw(&rig, 20);
    rig_refuse(&rig);
    rig_get(&calls[0], &rig, "/");
    rig_expect_err(&calls[0], WEIR_E_CONNECT);
    RIG_UNTIL(&rig, stats().connecting_now == 0);
    uint64_t failures = stats().connect_failures;
    assert_in_range(failures, 1, 10);
    for (unsigned i = 0; i < 5; i++) {
        struct weir_endpoint *e = &rig.client->endpoints[0];
        rig_skip(&rig, e->retry_at_ns - weir_min_u64(rig_now(&rig), e->retry_at_ns));
        RIG_UNTIL(&rig, stats().connect_failures > failures);
        rig_settle(&rig);
        assert_int_equal(stats().connect_failures, ++failures);
    }
}

/* A failed attempt is no loss to calls that a connection in use will serve. */
static void test_served_by_others(void **state)
{
    (void)state;
    rig_open_raw(&rig, 2);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_refuse(&rig);
    for (unsigned i = 1; i < 4; i++)
        rig_get(&calls[i], &rig, "/");
    RIG_UNTIL(&rig, stats().connect_failures == 1);
    rig_settle(&rig);
    assert_int_equal(stats().waiting_now, 3);
    assert_int_equal(stats().connect_failures, 1);
    for (unsigned i = 0; i < 4; i++) {
        rig_answer(&rig, p, &calls[i], OK_TEXT("1", "x"));
        if (i < 3)
            rig_expect_requests(&rig, p, 1);
    }
    /* When it ends, the next attempt decides. */
    rig_get(&calls[0], &rig, "/");
    rig_expect_requests(&rig, p, 1);
    rig_get(&calls[1], &rig, "/");
    rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    rig_expect_answer(&calls[0], 200, "");
    rig_expect_err(&calls[1], WEIR_E_CONNECT);
}

/* No descriptor is to be had: as if the connection had been refused, with its own errno. */
static void test_no_descriptors(void **state)
{
    (void)state;
    struct rlimit before, few;
    rig_open_raw(&rig, 2);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int rc[3];
    for (unsigned i = 0; i < 3; i++) {
        rig_call_init(&calls[i], &rig, "GET", "/");
        rc[i] = rig_try_send(&calls[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rc[i], 0);
        rig_expect_err(&calls[i], WEIR_E_CONNECT);
        assert_int_equal(calls[i].call.timing.os_err, -EMFILE);
    }
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
}

/* A listener whose backlog is full: connections to it are neither made nor refused. */
static void open_stuck(void)
{
    struct weir_addr addr;
    rig.client_cfg.conns_max = 2;
    rig_clock_hook(&rig);
    rig_listen(&rig, 1);
    rig_open_client(&rig);
    assert_int_equal(sock_local(rig.listen_fd, &addr), 0);
    for (unsigned i = 0; i < 4; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fd, (const void *)&addr.storage, addr.bytes);
        rig_peer_add(&rig, fd)->stalled = true;
    }
}

static void test_connect_timeout(void **state)
{
    (void)state;
    rig.client_cfg.connect_timeout_ns = 10 * RIG_S;
    open_stuck();
    for (unsigned i = 0; i < 3; i++)
        rig_get(&calls[i], &rig, "/");
    rig_skip(&rig, 9 * RIG_S);
    assert_int_equal(rig.calls_ended, 0);
    assert_int_equal(stats().connecting_now, 2);
    rig_skip(&rig, 2 * RIG_S);
    RIG_UNTIL(&rig, rig.calls_ended == 2); /* two at a time */
    assert_int_equal(stats().waiting_now, 1);
    rig_skip(&rig, 11 * RIG_S);
    for (unsigned i = 0; i < 3; i++) {
        rig_expect_err(&calls[i], WEIR_E_CONNECT_TIMEOUT);
        assert_int_equal(calls[i].call.timing.os_err, 0);
    }
}

static void test_end_while_connecting(void **state)
{
    (void)state;
    open_stuck();
    for (unsigned i = 0; i < 4; i++)
        rig_call_init(&calls[i], &rig, "GET", "/");
    calls[0].call.deadline_ns = rig_now(&rig) + 2 * RIG_S;
    for (unsigned i = 0; i < 4; i++)
        rig_send(&calls[i]);
    rig_settle(&rig);
    rig_cancel(&calls[1]);
    rig_cancel(&calls[1]);
    assert_int_equal(calls[1].ended, 0);
    rig_expect_err(&calls[1], WEIR_E_CANCELLED);
    assert_int_equal(calls[0].ended, 0);
    rig_skip(&rig, 2 * RIG_S);
    rig_expect_err(&calls[0], WEIR_E_DEADLINE);
    assert_true(calls[0].call.timing.end_ns >= calls[0].call.deadline_ns);
    rig_close_client(&rig);
    rig_expect_err(&calls[2], WEIR_E_SHUTDOWN);
    rig_expect_err(&calls[3], WEIR_E_SHUTDOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_last_used_first),
        RIG_TEST(test_a_thousand_wait_for_one),
        RIG_TEST(test_wait_for_some),
        RIG_TEST(test_pipelining),
        RIG_TEST(test_connections_before_pipelines),
        RIG_TEST(test_least),
        RIG_TEST(test_least_is_within_the_most),
        RIG_TEST(test_least_against_a_server_that_closes),
        RIG_TEST(test_most),
        RIG_TEST(test_most_per_endpoint),
        RIG_TEST(test_idle_timeout),
        RIG_TEST(test_no_idle_timeout),
        RIG_TEST(test_server_says_for_how_long),
        RIG_TEST(test_age),
        RIG_TEST(test_age_cuts_nothing),
        RIG_TEST(test_age_under_load),
        RIG_TEST(test_idle_closed_by_the_server),
        RIG_TEST(test_refused),
        RIG_TEST(test_refused_tells),
        RIG_TEST(test_pauses),
        RIG_TEST(test_pauses_for_the_least),
        RIG_TEST(test_served_by_others),
        RIG_TEST(test_no_descriptors),
        RIG_TEST(test_connect_timeout),
        RIG_TEST(test_end_while_connecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
