/* SPDX-License-Identifier: MIT */
/* A client's server by its name: what a name server says of it, or does not. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_nodes.h"

#include <weir/random.h>

/* The name server asks for the rig that lies beside it; what it needs of it is this. */
#define WEIR_TESTS_UNIT_IO_RIG_H
#define RIG_SEED  20240619u
#define rig_reset dns_stream_reset
static inline void dns_stream_reset(int fd)
{
    sock_set_reset(fd);
    close(fd);
}
#include "unit/io/dns_rig.h"
#undef rig_reset

static struct dns_server dns;
static struct dns_entry entry;

static void pump_all(void)
{
    dns_pump(&dns);
    pump();
}

#define NAMED_UNTIL(cond) RIG_UNTIL(&rig, (pump_all(), (cond)))

/* A server on all of 127.0.0.0/8, called name.test. */
static void open_named(void)
{
    static char endpoint[64];
    memset(nodes, 0, sizeof nodes);
    memset(node_of, 0, sizeof node_of);
    rig_clock_hook(&rig);
    nodes[0].answer = OK_EMPTY;
    node_bind(&nodes[0], INADDR_ANY);
    node_listen(&nodes[0]);
    dns_open(&dns); /* closed by named_teardown() */
    entry = (struct dns_entry){ .name = "name.test", .a = "127.0.0.1", .ttl = 10 };
    dns_table(&dns, &entry, 1);
    (void)snprintf(endpoint, sizeof endpoint, "http://Name.Test:%u", nodes[0].port);
    rig.client_cfg.endpoint = endpoint;
    rig.client_cfg.dns_servers = dns.text;
    rig_open_client(&rig);
}

static int named_teardown(void **state)
{
    dns_close(&dns);
    return teardown(state);
}

#define NAMED_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, named_teardown)

/* The address that the newest connection was made to. */
static uint32_t newest_address(void)
{
    struct sockaddr_in in;
    socklen_t bytes = sizeof in;
    for (unsigned i = rig.peers_count; i-- > 0;) {
        if (rig.peers[i].fd < 0)
            continue;
        assert_int_equal(getsockname(rig.peers[i].fd, (void *)&in, &bytes), 0);
        return ntohl(in.sin_addr.s_addr);
    }
    return 0;
}

static void named_call(int err)
{
    rig_call_init(&calls[0], &rig, "GET", "/");
    calls[0].on_end = err == 0 ? NULL : note_text;
    rig_send(&calls[0]);
    NAMED_UNTIL(calls[0].ended == 1);
    if (calls[0].err != err)
        print_error("%s, %s expected\n", weir_err_name(calls[0].err), weir_err_name(err));
    assert_int_equal(calls[0].err, err);
}

/* All connections end, so that the next call needs a new one. */
static void hang_up_all(void)
{
    for (unsigned i = 0; i < rig.peers_count; i++)
        if (rig.peers[i].fd >= 0)
            rig_hang_up(&rig.peers[i]);
    NAMED_UNTIL(stats().conns_now == 0);
}

static void test_name(void **state)
{
    (void)state;
    open_named();
    assert_int_equal(dns.questions, 0);
    for (unsigned i = 0; i < 4; i++) /* one question for all that wait */
        rig_get(&calls[i], &rig, "/");
    NAMED_UNTIL(rig.calls_ended == 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(calls[i].err, 0);
    assert_int_equal(stats().lookups, 1);
    assert_int_equal(endpoint_stats(0).addresses_now, 1);
    unsigned with_dns = 0;
    for (unsigned i = 0; i < 4; i++)
        with_dns += calls[i].call.timing.dns_ns > 0;
    assert_int_equal(with_dns, 1);
    hang_up_all();
    pass_time(8 * RIG_S);
    named_call(0);
    assert_int_equal(stats().lookups, 1); /* its time to live is not over */
    assert_int_equal(calls[0].call.timing.dns_ns, 0);
    hang_up_all();
    pass_time(3 * RIG_S);
    entry.a = "127.0.0.2";
    named_call(0);
    assert_int_equal(stats().lookups, 2);
    assert_int_equal(newest_address(), INADDR_LOOPBACK + 1);
}

/* At most for as long as it was set, at least for a third of the time to connect. */
static void test_time_to_live(void **state)
{
    (void)state;
    rig.client_cfg.dns_ttl_max_ns = 20 * RIG_S;
    rig.client_cfg.connect_timeout_ns = 3 * RIG_S;
    open_named();
    entry.ttl = 3600;
    named_call(0);
    hang_up_all();
    pass_time(19 * RIG_S);
    named_call(0);
    assert_int_equal(stats().lookups, 1);
    hang_up_all();
    entry.ttl = 0;
    pass_time(2 * RIG_S);
    named_call(0);
    assert_int_equal(stats().lookups, 2);
    hang_up_all();
    pass_time(500 * RIG_MS);
    named_call(0);
    assert_int_equal(stats().lookups, 2);
    hang_up_all();
    pass_time(600 * RIG_MS);
    named_call(0);
    assert_int_equal(stats().lookups, 3);
}

static void test_no_such_name(void **state)
{
    (void)state;
    open_named();
    entry.rcode = 3;
    named_call(WEIR_E_RESOLVE);
    expect_text(&calls[0], "Name.Test", "no such");
    assert_int_equal(stats().connect_failures, 1);
    assert_int_equal(endpoint_stats(0).addresses_now, 0);
    assert_int_equal(nodes[0].accepted, 0);
    entry.rcode = 0; /* the next call asks again */
    named_call(0);
}

/* When there is no answer any more, that of last time is better than none. */
static void test_name_that_went_away(void **state)
{
    (void)state;
    open_named();
    named_call(0);
    hang_up_all();
    entry.rcode = 2;
    pass_time(11 * RIG_S);
    named_call(0);
    assert_int_equal(stats().lookups, 2);
    assert_int_equal(newest_address(), INADDR_LOOPBACK);
}

static void test_silent_name_server(void **state)
{
    (void)state;
    rig.client_cfg.connect_timeout_ns = RIG_S;
    open_named();
    entry.manner = DNS_SILENT;
    rig_call_init(&calls[0], &rig, "GET", "/");
    calls[0].on_end = note_text;
    rig_send(&calls[0]);
    NAMED_UNTIL(dns.questions > 0);
    pass_time(500 * RIG_MS);
    assert_int_equal(calls[0].ended, 0);
    pass_time(600 * RIG_MS);
    NAMED_UNTIL(calls[0].ended == 1);
    assert_int_equal(calls[0].err, WEIR_E_CONNECT_TIMEOUT);
    expect_text(&calls[0], "Name.Test", "in time");
    /* A deadline, a cancel and the client's end meanwhile. */
    rig_call_init(&calls[0], &rig, "GET", "/");
    calls[0].call.deadline_ns = rig_now(&rig) + 500 * RIG_MS;
    rig_send(&calls[0]);
    rig_get(&calls[1], &rig, "/");
    rig_get(&calls[2], &rig, "/");
    rig_cancel(&calls[1]);
    pass_time(600 * RIG_MS);
    rig_expect_err(&calls[0], WEIR_E_DEADLINE);
    rig_expect_err(&calls[1], WEIR_E_CANCELLED);
    rig_close_client(&rig);
    rig_expect_err(&calls[2], WEIR_E_SHUTDOWN);
}

/* The first of several addresses that answers, and that one first the next time. */
static void test_several_addresses(void **state)
{
    (void)state;
    open_named();
    entry.a = "127.0.0.3 127.0.0.4";
    close(nodes[0].fd);
    node_bind(&nodes[0], INADDR_LOOPBACK + 3);
    node_listen(&nodes[0]);
    named_call(0);
    assert_int_equal(newest_address(), INADDR_LOOPBACK + 3);
    assert_int_equal(endpoint_stats(0).addresses_now, 2);
    assert_int_equal(stats().connect_failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMED_TEST(test_name),
        NAMED_TEST(test_time_to_live),
        NAMED_TEST(test_no_such_name),
        NAMED_TEST(test_name_that_went_away),
        NAMED_TEST(test_silent_name_server),
        NAMED_TEST(test_several_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
