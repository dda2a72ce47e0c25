/* SPDX-License-Identifier: MIT */
/* The servers of a client: which one gets a call, which are fit. Their names: client_names.c. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_nodes.h"

/* So many calls, `together` of them at once; all end well. @return how many had another status */
static unsigned ask(unsigned count, unsigned together)
{
    unsigned others = 0;
    for (unsigned i = 0; i < count; i += together) {
        unsigned ended = rig.calls_ended;
        for (unsigned k = 0; k < together; k++)
            rig_get(&calls[k], &rig, "/");
        UNTIL(rig.calls_ended == ended + together);
        for (unsigned k = 0; k < together; k++) {
            if (calls[k].err != 0)
                print_error("call %u of %u: %s\n", i + k, count, weir_err_name(calls[k].err));
            assert_int_equal(calls[k].err, 0);
            others += calls[k].status != 200;
        }
    }
    return others;
}

/* ---- Which one --------------------------------------------------------------------------- */

static void test_spread(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 30;
    open_listening(3);
    assert_int_equal(ask(300, 1), 0); /* equal loads: by chance */
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(nodes[i].requests, 60, 140);
    for (unsigned i = 0; i < 3; i++)
        nodes[i].requests = 0;
    assert_int_equal(ask(300, 10), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_in_range(nodes[i].requests, 60, 140);
        assert_true(endpoint_stats(i).sent >= nodes[i].requests);
    }
}

/* The one with less in flight, if both are looked at. */
static void test_less_loaded(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 30;
    open_listening(2);
    nodes[0].answer = SILENCE;
    unsigned sent = 0;
    while (nodes[0].requests < 1) { /* until the silent one has a call */
        rig_get(&calls[sent++], &rig, "/");
        UNTIL(nodes[0].requests + nodes[1].requests == sent);
        settle();
    }
    unsigned before = nodes[1].requests;
    for (unsigned i = 0; i < 20; i++) {
        rig_get(&calls[100], &rig, "/");
        UNTIL(calls[100].ended == 1);
        assert_int_equal(calls[100].call.timing.endpoint, 1);
    }
    assert_int_equal(nodes[0].requests, 1);
    assert_int_equal(nodes[1].requests, before + 20);
    assert_int_equal(endpoint_stats(0).in_flight_now, 1);
    rig_close_client(&rig);
}

/* One refuses: nobody notices, and soon it is not asked any more. */
static void test_failover(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 30;
    open_nodes(2);
    node_listen(&nodes[1]);
    assert_int_equal(ask(80, 8), 0);
    assert_int_equal(nodes[1].requests, 80);
    assert_true(stats().connect_failures > 0);
    assert_int_equal(endpoint_stats(0).failures, stats().connect_failures);
    assert_int_equal(stats().failed, 0);
    for (unsigned i = 0; i < 10; i++) {
        rig_hang_up(&rig.peers[0]); /* so that connections are made */
        pass_time(RIG_S);
        assert_int_equal(ask(20, 20), 0);
    }
    assert_int_equal(stats().ejected_now, 1);
    assert_true(endpoint_stats(0).ejected);
    uint64_t failures = stats().connect_failures;
    assert_int_equal(ask(40, 20), 0);
    assert_int_equal(stats().connect_failures, failures);
}

/* All of them refuse: each call fails when it has failed everywhere. */
static void test_all_refuse(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 30;
    open_nodes(2);
    for (unsigned i = 0; i < 5; i++) {
        rig_call_init(&calls[i], &rig, "GET", "/");
        calls[i].on_end = note_text;
        rig_send(&calls[i]);
    }
    for (unsigned i = 0; i < 20 && rig.calls_ended < 5; i++)
        pass_time(RIG_S);
    for (unsigned i = 0; i < 5; i++) {
        UNTIL(calls[i].ended == 1);
        assert_int_equal(calls[i].err, WEIR_E_CONNECT);
        assert_int_equal(calls[i].call.timing.os_err, -ECONNREFUSED);
        expect_text(&calls[i], "127.0.0.1:", "refused");
    }
    assert_true(endpoint_stats(0).failures > 0);
    assert_true(endpoint_stats(1).failures > 0);
    node_listen(&nodes[0]);
    node_listen(&nodes[1]);
    pass_time(2 * RIG_S);
    assert_int_equal(ask(5, 5), 0);
}

/* The server that a call waits for is put out: it is not left to wait for one that it has tried. */
static void test_put_out_meanwhile(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 30;
    open_nodes(2);
    struct weir_client *client = rig.client;
    client->endpoints[1].retry_at_ns = UINT64_MAX; /* it rests */
    rig_get(&calls[0], &rig, "/");
    UNTIL(calls[0].call.failed_at == 1);
    assert_int_equal(stats().waiting_now, 1);
    for (unsigned i = 0; i < 5; i++)
        weir_endpoint_unreached(&client->endpoints[1], WEIR_E_CONNECT);
    assert_int_equal(stats().ejected_now, 1);
    for (unsigned i = 0; i < 5 && rig.calls_ended == 0; i++)
        pass_time(RIG_S); /* the first is tried again, and refuses again */
    rig_expect_err(&calls[0], WEIR_E_CONNECT);
}

/* ---- Fitness ----------------------------------------------------------------------------- */

/* Five failures in a row; then one call decides, and the next time is longer. */
static void test_ejection(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 30;
    open_listening(2);
    nodes[0].answer = BUSY;
    unsigned others = ask(100, 1);
    assert_int_equal(others, 5);
    assert_int_equal(nodes[0].requests, 5);
    assert_int_equal(stats().ejections, 1);
    assert_int_equal(stats().ejected_now, 1);
    assert_int_equal(endpoint_stats(0).ejections, 1);
    assert_int_equal(endpoint_stats(0).failures, 5);
    assert_int_equal(endpoint_stats(0).conns_now, 0); /* nothing is to be sent on it */
    pass_time(29 * RIG_S);
    assert_int_equal(ask(40, 10), 0);
    pass_time(2 * RIG_S);
    others = 0;
    for (unsigned i = 0; i < 10 && others == 0; i++)
        others += ask(10, 10);
    assert_int_equal(others, 1); /* its time is over: one call, and it is out again */
    assert_int_equal(nodes[0].requests, 6);
    assert_int_equal(stats().ejections, 2);
    pass_time(59 * RIG_S);
    assert_int_equal(ask(40, 10), 0);
    nodes[0].answer = OK_EMPTY;
    pass_time(2 * RIG_S);
    unsigned before = nodes[0].requests;
    assert_int_equal(ask(100, 10), 0);
    assert_true(nodes[0].requests > before + 10);
    assert_int_equal(stats().ejected_now, 0);
}

/* While one call decides, others go elsewhere, although connections to it are there. */
static void test_half_open(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 60;
    open_listening(2);
    nodes[0].answer = BUSY;
    assert_int_equal(ask(100, 1), 5);
    nodes[0].answer = SILENCE;
    pass_time(31 * RIG_S);
    unsigned ended = rig.calls_ended;
    for (unsigned i = 0; i < 20; i++)
        rig_get(&calls[i], &rig, "/");
    UNTIL(rig.calls_ended == ended + 19);
    settle();
    assert_int_equal(nodes[0].requests, 6);
    assert_int_equal(endpoint_stats(0).in_flight_now, 1);
    for (unsigned i = 0; i < rig.peers_count; i++)
        if (rig.peers[i].fd >= 0 && node_of[i] == &nodes[0])
            rig_hang_up(&rig.peers[i]); /* the one that decides is told nothing */
    settle();
    UNTIL(rig.calls_ended == ended + 20);
    assert_int_equal(stats().failed, 1);
    assert_int_equal(stats().ejections, 2);
}

static void test_never_ejected(void **state)
{
    (void)state;
    rig.client_cfg.eject_failures = 0;
    open_listening(2);
    nodes[0].answer = BUSY;
    assert_true(ask(100, 1) > 20);
    assert_int_equal(stats().ejections, 0);
    rig_close_client(&rig);
    rig.calls_sent = rig.calls_ended = 0;
    close_nodes();
    for (unsigned i = 0; i < rig.peers_count; i++)
        if (rig.peers[i].fd >= 0)
            rig_hang_up(&rig.peers[i]);
    /* There is nowhere else to go. */
    rig.client_cfg.eject_failures = 5;
    open_listening(1);
    nodes[0].answer = BUSY;
    assert_int_equal(ask(20, 1), 20);
    assert_int_equal(stats().ejections, 0);
}

/* What is busy when it is put out brings its answer, takes no more, and leaves its place. */
static void test_ejected_while_it_is_busy(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 3;
    open_listening(2);
    nodes[0].answer = nodes[1].answer = SILENCE;
    unsigned sent = 0;
    while (nodes[0].requests == 0 && sent < 3) {
        rig_get(&calls[sent++], &rig, "/");
        UNTIL(nodes[0].requests + nodes[1].requests == sent);
    }
    for (unsigned i = 0; i < 5; i++)
        weir_endpoint_unreached(&rig.client->endpoints[0], WEIR_E_CONNECT);
    assert_true(endpoint_stats(0).ejected);
    while (sent < 3) {
        rig_get(&calls[sent++], &rig, "/");
        UNTIL(nodes[0].requests + nodes[1].requests == sent);
    }
    assert_int_equal(nodes[0].requests, 1);
    for (unsigned i = 0; i < 2; i++) /* all places are taken */
        rig_get(&calls[sent++], &rig, "/");
    settle();
    assert_int_equal(stats().waiting_now, 2);
    nodes[1].answer = OK_EMPTY;
    for (unsigned i = 0; i < rig.peers_count; i++)
        if (node_of[i] == &nodes[0])
            rig_text(&rig, &rig.peers[i], OK_EMPTY);
    UNTIL(rig.calls_ended == 3);
    assert_int_equal(nodes[0].requests, 1);
    assert_int_equal(nodes[1].requests, 4);
    assert_int_equal(endpoint_stats(0).conns_now, 0);
    rig_close_client(&rig);
    for (unsigned i = 0; i < sent; i++)
        assert_true(calls[i].err == 0 || calls[i].err == WEIR_E_SHUTDOWN);
}

/* ---- Health checks ----------------------------------------------------------------------- */

static void open_checked(unsigned count)
{
    rig.client_cfg.health_target = "/health";
    rig.client_cfg.health_interval_ns = 10 * RIG_S;
    open_listening(count);
}

/* From the first call on, at a time that is a little random; not counted as calls. */
static void test_health_checks(void **state)
{
    (void)state;
    open_checked(2);
    pass_time(30 * RIG_S);
    assert_int_equal(stats().health_checks, 0);
    assert_int_equal(ask(1, 1), 0);
    uint64_t now = rig_now(&rig);
    for (unsigned i = 0; i < 2; i++)
        assert_in_range(rig.client->endpoints[i].health_timer.deadline_ns, now + 8900 * RIG_MS,
                        now + 11 * RIG_S);
    assert_int_not_equal(rig.client->endpoints[0].health_timer.deadline_ns,
                         rig.client->endpoints[1].health_timer.deadline_ns);
    pass_time(8 * RIG_S);
    assert_int_equal(nodes[0].checks + nodes[1].checks, 0);
    for (unsigned i = 1; i < 4; i++) {
        pass_time(3200 * RIG_MS);
        UNTIL(stats().health_checks == 2 * i);
        assert_int_equal(nodes[0].checks, i);
        assert_int_equal(nodes[1].checks, i);
        pass_time(8 * RIG_S);
    }
    assert_int_equal(stats().health_failures, 0);
    assert_int_equal(stats().calls, 1);
    assert_int_equal(stats().completed, 1);
}

/* Two bad answers in a row put it out, a good one brings it back. */
static void test_health_decides(void **state)
{
    (void)state;
    static const char *const bad[] = { "HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n",
                                       "HTTP/1.1 302 \r\nContent-Length: 0\r\n\r\n", "what",
                                       SILENCE };
    rig.client_cfg.conns_max = 30;
    open_checked(2);
    assert_int_equal(ask(10, 1), 0);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (unsigned k = 1; k <= 2; k++) {
            uint64_t checks = stats().health_checks;
            nodes[0].health = bad[i];
            pass_time(11100 * RIG_MS);
            UNTIL(nodes[0].checks > 0);
            if (bad[i] == SILENCE)
                pass_time(2100 * RIG_MS);
            UNTIL(stats().health_checks >= checks + 2);
            assert_false(endpoint_stats(0).healthy);
            assert_int_equal(endpoint_stats(0).ejected, k == 2);
            assert_true(endpoint_stats(1).healthy);
        }
        unsigned before = nodes[0].requests;
        pass_time(100 * RIG_MS);
        assert_int_equal(ask(10, 5), 0);
        assert_int_equal(nodes[0].requests, before);
        nodes[0].health = "HTTP/1.1 204 \r\n\r\n";
        for (unsigned k = 0; k < 5 && endpoint_stats(0).ejected; k++)
            pass_time(11100 * RIG_MS);
        assert_true(endpoint_stats(0).healthy);
        assert_false(endpoint_stats(0).ejected);
        assert_int_equal(ask(40, 1), 0);
        assert_true(nodes[0].requests > before);
    }
    assert_true(stats().health_failures >= 8);
    assert_int_equal(stats().failed, 0);
}

/* One that is out comes back although the connections of the others, unused, are all there may be.
 */
static void test_health_with_a_full_pool(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 4;
    open_checked(2);
    nodes[0].health = BUSY;
    assert_int_equal(ask(20, 4), 0);
    for (unsigned i = 0; i < 5 && !endpoint_stats(0).ejected; i++)
        pass_time(11100 * RIG_MS);
    assert_true(endpoint_stats(0).ejected);
    assert_int_equal(ask(20, 4), 0);
    assert_int_equal(stats().idle_now, 4);
    assert_int_equal(endpoint_stats(1).conns_now, 4);
    nodes[0].health = OK_EMPTY;
    for (unsigned i = 0; i < 5 && endpoint_stats(0).ejected; i++) {
        pass_time(11100 * RIG_MS);
        pass_time(RIG_S); /* a place is made first */
    }
    assert_false(endpoint_stats(0).ejected);
    assert_true(endpoint_stats(0).healthy);
    assert_true(stats().conns_now <= 4);
}

/* A server whose connections are all busy is judged by what they carry. */
static void test_health_of_a_busy_endpoint(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 1;
    open_checked(1);
    nodes[0].answer = SILENCE;
    rig_get(&calls[0], &rig, "/");
    UNTIL(nodes[0].requests == 1);
    for (unsigned i = 0; i < 4; i++)
        pass_time(11100 * RIG_MS);
    assert_int_equal(nodes[0].checks, 0);
    assert_int_equal(stats().health_checks, 0);
    for (unsigned i = 0; i < rig.peers_count; i++)
        if (node_of[i] == &nodes[0])
            rig_text(&rig, &rig.peers[i], OK_EMPTY);
    UNTIL(calls[0].ended == 1);
    pass_time(11100 * RIG_MS);
    UNTIL(nodes[0].checks == 1);
    assert_int_equal(nodes[0].accepted, 1); /* on the connection that is there */
    /* Alone it is never put out, but it is said of it. */
    nodes[0].health = BUSY;
    pass_time(11100 * RIG_MS);
    pass_time(11100 * RIG_MS);
    UNTIL(stats().health_failures >= 2);
    assert_false(endpoint_stats(0).healthy);
    assert_false(endpoint_stats(0).ejected);
}

/* Without a connection one is made for it; where none can be made that is the answer. */
static void test_health_connects(void **state)
{
    (void)state;
    open_checked(1);
    nodes[0].answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(ask(1, 1), 0);
    UNTIL(stats().conns_now == 0);
    pass_time(11100 * RIG_MS);
    UNTIL(stats().health_checks == 1);
    assert_int_equal(nodes[0].accepted, 2);
    assert_int_equal(stats().health_failures, 0);
    for (unsigned i = 0; i < rig.peers_count; i++)
        if (rig.peers[i].fd >= 0)
            rig_hang_up(&rig.peers[i]);
    UNTIL(stats().conns_now == 0);
    close(nodes[0].fd);
    node_bind(&nodes[0], INADDR_LOOPBACK);
    pass_time(11100 * RIG_MS);
    UNTIL(stats().health_checks == 2);
    assert_int_equal(stats().health_failures, 1);
    assert_int_equal(stats().failed, 0);
    /* And the client is closed while it is under way. */
    node_listen(&nodes[0]);
    nodes[0].health = SILENCE;
    pass_time(11100 * RIG_MS);
    UNTIL(nodes[0].checks == 2);
    rig_close_client(&rig);
}

/* ---- Other endpoints --------------------------------------------------------------------- */

static void test_unix_socket(void **state)
{
    (void)state;
    char directory[] = "/tmp/weir-client-XXXXXX";
    char listen[64], ways[2][80];
    assert_non_null(mkdtemp(directory));
    (void)snprintf(listen, sizeof listen, "unix:%s/s", directory);
    (void)snprintf(ways[0], sizeof ways[0], "%s", listen);
    (void)snprintf(ways[1], sizeof ways[1], "http+unix://%%2Ftmp%%2F%s%%2fs", directory + 5);
    rig.server_cfg.listen = listen;
    rig_serve(&rig);
    for (unsigned i = 0; i < 2; i++) {
        rig.client_cfg.endpoint = ways[i];
        rig.calls_sent = rig.calls_ended = 0;
        rig_open_client(&rig);
        rig_get(&calls[0], &rig, "/");
        rig_expect_answer(&calls[0], 200, "GET / ");
        if (i == 0)
            rig_close_client(&rig);
    }
    rig_close_server(&rig);
    (void)unlink(listen + 5);
    rig_get(&calls[0], &rig, "/");
    rig_expect_err(&calls[0], WEIR_E_CONNECT);
    assert_int_equal(calls[0].call.timing.os_err, -ENOENT);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODES_TEST(test_spread),
        NODES_TEST(test_less_loaded),
        NODES_TEST(test_failover),
        NODES_TEST(test_all_refuse),
        NODES_TEST(test_put_out_meanwhile),
        NODES_TEST(test_ejection),
        NODES_TEST(test_half_open),
        NODES_TEST(test_never_ejected),
        NODES_TEST(test_ejected_while_it_is_busy),
        NODES_TEST(test_health_checks),
        NODES_TEST(test_health_decides),
        NODES_TEST(test_health_with_a_full_pool),
        NODES_TEST(test_health_of_a_busy_endpoint),
        NODES_TEST(test_health_connects),
        RIG_TEST(test_unix_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
