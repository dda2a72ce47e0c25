/* SPDX-License-Identifier: MIT */
/* TLS on connections: wires that are cut, stalled or spoilt, peers that break or use all of it. */
#include "io/tls_link.h"

#include "tls_pair.h"

/* ---- The wire is cut, spoilt, stalled ---------------------------------------------------- */

/*
 * Bytes of each direction of a handshake and 100 bytes of answer, both ends of it closed by us: cut
 * at any of them it is no end in order.
 */
static void wire_cut(uint64_t up_limit, uint64_t down_limit)
{
    int a[2], b[2];
    rig_unix_pair(a);
    rig_unix_pair(b);
    begin(a[0], b[0], &localhost);
    struct tls_way up = tls_way(a[1], b[1]), down = tls_way(b[1], a[1]);
    up.limit = up_limit;
    down.limit = down_limit;
    bool cut = false;
    uint64_t end = weir_clock_ns() + RIG_WAIT;
    while (!cut) {
        tls_way_pass(&up);
        tls_way_pass(&down);
        if (server.secured && server.s.queued == 0)
            rig_send(&server.s, 100);
        assert_int_equal(weir_engine_run_once(engine, 0), 0);
        cut = up.passed == up_limit || down.passed == down_limit || client.s.received == 100;
        assert_true(weir_clock_ns() < end);
    }
    for (unsigned i = 0; i < 3; i++) /* what was passed is looked at */
        assert_int_equal(weir_engine_run_once(engine, 0), 0);
    bool client_secured = client.secured, server_secured = server.secured;
    close(a[1]);
    close(b[1]);
    RIG_RUN_UNTIL(engine, (tls_closed(&client) || client.s.seen[RIG_EOF]) &&
                              (tls_closed(&server) || server.s.seen[RIG_EOF]));
    /* A unix socket that is closed with unread input resets its peer: that is no EOF. */
    assert_true(client_secured ? client.unclean || tls_closed(&client) : tls_closed(&client));
    assert_true(server_secured ? server.unclean || tls_closed(&server) : tls_closed(&server));
    if (tls_closed(&client))
        assert_true(client.s.err == WEIR_E_TLS || client.s.err == -ECONNRESET ||
                    client.s.err == -EPIPE);
    part();
}

static void test_cut(void **state)
{
    (void)state;
    configure(NULL, NULL);
    for (uint64_t at = 1; at < 500; at += 23)
        wire_cut(at, UINT64_MAX);
    for (uint64_t at = 1; at < 1500; at += 41)
        wire_cut(UINT64_MAX, at);
}

/* The peer stops in the middle of a flight and says nothing more: the owner's deadline ends it. */
static void test_stalled(void **state)
{
    (void)state;
    const uint64_t limits[] = { 0, 1, 200, 700 };
    configure(NULL, NULL);
    for (size_t i = 0; i < 2 * sizeof limits / sizeof limits[0]; i++) {
        int a[2], b[2];
        rig_unix_pair(a);
        rig_unix_pair(b);
        begin(a[0], b[0], &localhost);
        struct tls_way up = tls_way(a[1], b[1]), down = tls_way(b[1], a[1]);
        *(i % 2 ? &up.limit : &down.limit) = limits[i / 2] < 700 || !(i % 2) ? limits[i / 2] : 300;
        client.s.hook = server.s.hook = close_in;
        client.s.arg = server.s.arg = RIG_TIMEOUT;
        uint64_t soon = weir_clock_ns() + 3 * RIG_MS;
        weir_conn_set_deadline(client.s.conn, soon);
        weir_conn_set_deadline(server.s.conn, soon);
        RIG_RUN_UNTIL(engine, (tls_way_pass(&up), tls_way_pass(&down),
                               tls_closed(&client) && tls_closed(&server)));
        assert_int_equal(client.s.err, -77);
        assert_int_equal(server.s.err, -77);
        assert_int_equal(server.secured, 0);
        close(a[1]);
        close(b[1]);
    }
}

/* One byte is changed on its way. */
static void test_spoilt(void **state)
{
    (void)state;
    configure(NULL, NULL);
    unsigned failed = 0, rounds = 0;
    for (uint64_t at = 0; at < 1500; at += 97, rounds++) {
        int a[2], b[2];
        rig_unix_pair(a);
        rig_unix_pair(b);
        begin(a[0], b[0], &localhost);
        client.s.close_on_eof = server.s.close_on_eof = true;
        client.s.hook = server.s.hook = close_in;
        client.s.arg = server.s.arg = RIG_TIMEOUT;
        struct tls_way up = tls_way(a[1], b[1]), down = tls_way(b[1], a[1]);
        down.spoil = at;
        /* A length that was changed makes one wait. */
        weir_conn_set_deadline(client.s.conn, weir_clock_ns() + 50 * RIG_MS);
        RIG_RUN_UNTIL(engine, (tls_way_pass(&up), tls_way_pass(&down),
                               server.secured && server.s.queued == 0 && !tls_closed(&server)
                                   ? rig_send(&server.s, 2000)
                                   : (void)0,
                               tls_closed(&client) || client.s.received == 2000));
        assert_false(client.s.bad);
        assert_int_not_equal(client.s.received, 2000);
        assert_true(client.s.err == WEIR_E_TLS || client.s.err == WEIR_E_CERTIFICATE ||
                    client.s.err == -77);
        if (client.s.err != -77)
            assert_true(client.error[0] != '\0');
        failed += client.s.err != -77;
        part();
        close(a[1]);
        close(b[1]);
    }
    assert_true(failed > rounds / 2);
}

/* What a peer says that does not speak TLS at all, and what it is told. */
static void speak(const void *bytes, size_t count, bool to_server, struct rig_peer *peer)
{
    struct tls_end *end = to_server ? &server : &client;
    int fds[2];
    rig_unix_pair(fds);
    client = server = (struct tls_end){ .secured = 0 };
    assert_int_equal(tls_end_begin(end, engine, fds[0], to_server ? server_tls : client_tls,
                                   to_server ? NULL : &localhost),
                     0);
    *peer = (struct rig_peer){ .fd = fds[1] };
    assert_int_equal(send(fds[1], bytes, count, MSG_NOSIGNAL), count);
    shutdown(fds[1], SHUT_WR);
    RIG_RUN_UNTIL(engine, tls_closed(end));
    assert_int_equal(end->s.err, WEIR_E_TLS);
    assert_int_equal(end->secured, 0);
    assert_int_equal(end->s.received, 0);
}

static void test_plain_http(void **state)
{
    (void)state;
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    static const uint8_t alert[] = { 21, 3, 1, 0, 2, 2, 10 };
    uint8_t got[64];
    struct rig_peer peer;
    configure(NULL, NULL);
    speak(request, sizeof request - 1, true, &peer);
    assert_non_null(strstr(server.error, "HTTP without TLS"));
    assert_int_equal(recv(peer.fd, got, sizeof got, 0), sizeof alert);
    assert_memory_equal(got, alert, sizeof alert);
    assert_int_equal(recv(peer.fd, got, sizeof got, 0), 0);
    assert_int_equal(tls_stats(server_tls).plaintext, 1);
    assert_int_equal(tls_stats(server_tls).failed, 1);
    close(peer.fd);
    /* And a server that answers so to a client. */
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    speak(answer, sizeof answer - 1, false, &peer);
    assert_true(client.error[0] != '\0');
    close(peer.fd);
}

static void test_garbage(void **state)
{
    (void)state;
    uint8_t bytes[2000];
    struct rig_peer peer;
    configure(NULL, NULL);
    print_message("seed %u\n", RIG_SEED);
    for (unsigned round = 0; round < 60; round++) {
        size_t count = 1 + weir_random_u64(RIG_SEED, round, 0) % sizeof bytes;
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)weir_random_u64(RIG_SEED, round, i + 1);
        if (round % 3 > 0) { /* what looks like a record, and like a handshake message */
            const uint8_t head[] = { 22, 3, 1, (uint8_t)(count >> 8 & 7), (uint8_t)count, 1, 0 };
            memcpy(bytes, head, weir_min_u64(count, round % 3 == 1 ? 5 : sizeof head));
        }
        speak(bytes, count, round % 2, &peer);
        close(peer.fd);
    }
}

/* ---- Peers that use all of TLS ------------------------------------------------------------ */

static SSL *peer_ssl(SSL_CTX **ctx, int fd)
{
    *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(*ctx);
    assert_non_null(ssl);
    SSL_set_fd(ssl, fd);
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ssl;
}

/* Is it done? Else it has to wait. */
static bool peer_done(SSL *ssl, int rc)
{
    if (rc > 0)
        return true;
    int kind = SSL_get_error(ssl, rc);
    assert_true(kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE);
    return false;
}

static void test_key_update(void **state)
{
    (void)state;
    uint8_t bytes[1000];
    SSL_CTX *ctx;
    int fds[2];
    configure(NULL, NULL);
    rig_unix_pair(fds);
    SSL *ssl = peer_ssl(&ctx, fds[1]);
    server.s.echo = true;
    assert_int_equal(tls_end_begin(&server, engine, fds[0], server_tls, NULL), 0);
    RIG_RUN_UNTIL(engine, peer_done(ssl, SSL_connect(ssl)));
    for (unsigned round = 0; round < 10; round++) {
        assert_int_equal(SSL_key_update(ssl, round % 2 ? SSL_KEY_UPDATE_REQUESTED
                                                       : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
        RIG_RUN_UNTIL(
            engine, peer_done(ssl, SSL_write(ssl, rig_stream(round * sizeof bytes), sizeof bytes)));
        RIG_RUN_UNTIL(engine, peer_done(ssl, SSL_read(ssl, bytes, sizeof bytes)));
        assert_memory_equal(bytes, rig_stream(round * sizeof bytes), sizeof bytes);
    }
    assert_false(server.s.bad);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[1]);
    tls_close(engine, &server);
    ERR_clear_error();
}

/* Requests for new keys one after the other, whose answers nobody reads. */
static void test_key_update_flood(void **state)
{
    (void)state;
    SSL_CTX *ctx;
    int fds[2];
    configure(NULL, NULL);
    rig_unix_pair(fds);
    rig_buffer(fds[0], SO_SNDBUF, 4096);
    SSL *ssl = peer_ssl(&ctx, fds[1]);
    assert_int_equal(tls_end_begin(&server, engine, fds[0], server_tls, NULL), 0);
    RIG_RUN_UNTIL(engine, peer_done(ssl, SSL_connect(ssl)));
    uint64_t asked = 0;
    uint64_t end = weir_clock_ns() + RIG_WAIT;
    while (!tls_closed(&server)) {
        assert_true(weir_clock_ns() < end);
        for (unsigned i = 0; i < 100; i++) {
            (void)SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
            asked += SSL_do_handshake(ssl) == 1;
        }
        ERR_clear_error();
        assert_int_equal(weir_engine_run_once(engine, 0), 0);
    }
    assert_int_equal(server.s.err, WEIR_E_TLS);
    assert_non_null(strstr(server.error, "more than it reads"));
    assert_true(asked > 100);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[1]);
    ERR_clear_error();
}

/* It has said its end and goes on: that is neither delivered nor read for long. */
static void test_bytes_after_end(void **state)
{
    (void)state;
    static const uint8_t bytes[4096];
    SSL_CTX *ctx;
    int fds[2];
    configure(NULL, NULL);
    rig_unix_pair(fds);
    SSL *ssl = peer_ssl(&ctx, fds[1]);
    assert_int_equal(tls_end_begin(&server, engine, fds[0], server_tls, NULL), 0);
    RIG_RUN_UNTIL(engine, peer_done(ssl, SSL_connect(ssl)));
    RIG_RUN_UNTIL(engine, server.secured);
    assert_int_equal(SSL_shutdown(ssl), 0);
    RIG_RUN_UNTIL(engine, server.s.seen[RIG_EOF] == 1);
    uint64_t before = rig_stats(engine).recv_bytes;
    for (unsigned i = 0; i < 20; i++) {
        (void)!send(fds[1], bytes, sizeof bytes, MSG_NOSIGNAL);
        rig_settle(engine);
    }
    assert_true(rig_stats(engine).recv_bytes - before <= 3 * sizeof bytes);
    assert_false(server.s.conn->recv_armed);
    assert_int_equal(server.s.received, 0);
    rig_send(&server.s, 100);
    weir_conn_finish(server.s.conn, 0, NULL);
    RIG_RUN_UNTIL(engine, tls_closed(&server));
    assert_int_equal(server.s.err, 0);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[1]);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(test_cut),
        LINK_TEST(test_stalled),
        LINK_TEST(test_spoilt),
        LINK_TEST(test_plain_http),
        LINK_TEST(test_garbage),
        LINK_TEST(test_key_update),
        LINK_TEST(test_key_update_flood),
        LINK_TEST(test_bytes_after_end),
    };
    LINK_RUN(tests);
}
