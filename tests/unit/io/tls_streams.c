/* SPDX-License-Identifier: MIT */
/* TLS on connections: streams, their counts, and their ends. */
#include "io/tls_link.h"

#include "tls_pair.h"

/* ---- Streams ----------------------------------------------------------------------------- */

static void test_streams(void **state)
{
    (void)state;
    configure(NULL, NULL);
    for (int buffer = 0; buffer <= 8192; buffer += 8192) {
        int fds[2];
        rig_tcp_pair(fds, buffer);
        begin(fds[0], fds[1], &localhost);
        rig_send(&client.s, MIB); /* before the handshake: it leaves after it */
        RIG_RUN_UNTIL(engine, server.secured);
        rig_send(&server.s, MIB);
        RIG_RUN_UNTIL(engine, server.s.received == MIB && client.s.received == MIB);
        assert_false(client.s.bad || server.s.bad);
        RIG_RUN_UNTIL(engine, client.s.conn->sent_bytes == MIB && server.s.conn->sent_bytes == MIB);
        assert_int_equal(client.s.conn->out.bytes, 0);
        assert_int_equal(rig_stats(engine).send_chunks_now, 0);
        part();
    }
}

/* The counts of a connection whose peer does not read: plaintext that the kernel took, no more. */
static void test_slow_reader(void **state)
{
    (void)state;
    static uint8_t borrowed[300000];
    static struct weir_seg seg;
    configure(NULL, NULL);
    int fds[2];
    rig_tcp_pair(fds, 8192);
    begin(fds[1], fds[0], &localhost);
    RIG_RUN_UNTIL(engine, client.secured && server.secured);
    weir_conn_pause(client.s.conn);
    rig_settle(engine);
    for (size_t i = 0; i < sizeof borrowed; i += RIG_PIECE)
        memcpy(borrowed + i, rig_stream(i), weir_min_u64(RIG_PIECE, sizeof borrowed - i));
    weir_sendq_borrow(&server.s.conn->out, &seg, (struct weir_slice){ borrowed, sizeof borrowed },
                      NULL);
    weir_conn_queued(server.s.conn, sizeof borrowed);
    rig_settle(engine);
    const struct weir_conn *conn = server.s.conn;
    assert_true(conn->send_inflight);
    assert_true(weir_seg_busy(&seg));
    assert_int_equal(conn->sent_bytes + conn->out.bytes, sizeof borrowed);
    /* Two records ahead of the socket, as chunks. */
    assert_true(rig_stats(engine).send_chunks_now <= 9);
    assert_true(conn->sending_bytes > 0 && conn->sending_bytes <= 2 * 16384);
    weir_conn_resume(client.s.conn);
    RIG_RUN_UNTIL(engine, client.s.received == sizeof borrowed && !weir_seg_busy(&seg));
    assert_int_equal(seg.err, 0);
    assert_int_equal(conn->sent_bytes, sizeof borrowed);
    assert_false(client.s.bad);
    part();
}

/* Small parts leave as few records, and in one send. */
static void test_gathering(void **state)
{
    (void)state;
    static uint8_t borrowed[12000];
    static struct weir_seg seg;
    configure(NULL, NULL);
    join(&localhost);
    rig_send(&server.s, 10); /* what follows is behind the tickets */
    RIG_RUN_UNTIL(engine, client.s.received == 10);
    rig_settle(engine);
    memcpy(borrowed, rig_stream(110), 8192);
    memcpy(borrowed + 8192, rig_stream(110 + 8192), sizeof borrowed - 8192);
    uint64_t before = rig_stats(engine).send_bytes;
    for (unsigned i = 0; i < 10; i++)
        rig_send(&server.s, 20 + 10 * i);
    rig_send(&server.s, 110);
    weir_sendq_borrow(&server.s.conn->out, &seg, (struct weir_slice){ borrowed, sizeof borrowed },
                      NULL);
    weir_conn_queued(server.s.conn, sizeof borrowed);
    RIG_RUN_UNTIL(engine, client.s.received == 110 + sizeof borrowed);
    assert_false(client.s.bad);
    /* One record: 5 of head, 1 of type, 16 of tag. */
    assert_int_equal(rig_stats(engine).send_bytes - before, 100 + sizeof borrowed + 22);
    part();
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    int a[2], b[2];
    configure(NULL, NULL);
    rig_unix_pair(a);
    rig_unix_pair(b);
    begin(a[0], b[0], &localhost);
    client.s.close_on_eof = server.s.close_on_eof = true;
    struct tls_way up = tls_way(a[1], b[1]), down = tls_way(b[1], a[1]);
    up.step = down.step = 1;
    RIG_RUN_UNTIL(engine, (tls_way_pass(&up), tls_way_pass(&down), client.secured));
    rig_send(&client.s, 300);
    RIG_RUN_UNTIL(engine, (tls_way_pass(&up), tls_way_pass(&down), server.s.received == 300));
    rig_send(&server.s, 300);
    RIG_RUN_UNTIL(engine, (tls_way_pass(&up), tls_way_pass(&down), client.s.received == 300));
    assert_false(client.s.bad || server.s.bad);
    weir_conn_finish(client.s.conn, 0, NULL);
    RIG_RUN_UNTIL(engine, (tls_way_pass(&up), tls_way_pass(&down),
                           tls_closed(&client) && tls_closed(&server)));
    assert_int_equal(server.s.seen[RIG_EOF], 1);
    assert_false(server.unclean);
    close(a[1]);
    close(b[1]);
}

static void test_pause(void **state)
{
    (void)state;
    configure(NULL, NULL);
    join(&localhost);
    uint64_t end = 0;
    for (unsigned round = 0; round < 20; round++) {
        weir_conn_pause(server.s.conn);
        rig_settle(engine);
        uint64_t received = server.s.received;
        rig_send(&client.s, end += 20000);
        rig_settle(engine);
        assert_int_equal(server.s.received, received);
        weir_conn_resume(server.s.conn);
        RIG_RUN_UNTIL(engine, server.s.received == end);
    }
    assert_false(server.s.bad);
    part();
}

static void pause_once(struct rig_session *s, enum rig_event event)
{
    if (event == RIG_RECV && s->arg++ == 0)
        weir_conn_pause(s->conn);
}

/* Paused inside of what arrived: the rest of that is still handed out, as it is without TLS. */
static void test_pause_inside(void **state)
{
    (void)state;
    configure(NULL, NULL);
    join(&localhost);
    server.s.hook = pause_once;
    for (unsigned i = 1; i <= 200; i++) {
        rig_send(&client.s, 50 * i);
        RIG_RUN_UNTIL(engine, client.s.conn->sent_bytes == 50 * i);
    }
    rig_settle(engine);
    uint64_t received = server.s.received;
    assert_true(received > 0);
    rig_settle(engine);
    assert_int_equal(server.s.received, received);
    weir_conn_resume(server.s.conn);
    RIG_RUN_UNTIL(engine, server.s.received == 10000);
    assert_false(server.s.bad);
    part();
}

/* Other connections have taken all output memory: ciphertext does without, and plaintext waits. */
static void test_no_output_memory(void **state)
{
    (void)state;
    static uint8_t borrowed[200000];
    static struct weir_seg seg;
    struct weir_sendq hog = { 0 };
    struct weir_slice piece = { rig_stream(0), 4096 };
    for (size_t i = 0; i < sizeof borrowed; i += RIG_PIECE)
        memcpy(borrowed + i, rig_stream(i), weir_min_u64(RIG_PIECE, sizeof borrowed - i));
    configure(NULL, NULL);
    for (unsigned cut = 0; cut < 2; cut++) {
        int fds[2];
        while (weir_sendq_copy(engine, &hog, piece) == 0)
            ;
        rig_unix_pair(fds);
        begin(fds[0], fds[1], &localhost);
        RIG_RUN_UNTIL(engine, client.secured && server.secured);
        if (cut)
            weir_conn_pause(client.s.conn);
        rig_settle(engine);
        weir_sendq_borrow(&server.s.conn->out, &seg,
                          (struct weir_slice){ borrowed, sizeof borrowed }, NULL);
        weir_conn_queued(server.s.conn, sizeof borrowed);
        if (!cut) {
            RIG_RUN_UNTIL(engine, client.s.received == sizeof borrowed);
            assert_false(client.s.bad);
        } else {
            rig_settle(engine);
            assert_true(weir_seg_busy(&seg)); /* ciphertext waits that lies in no chunk */
        }
        part();
        weir_sendq_clear(engine, &hog);
    }
}

/* ---- Ends -------------------------------------------------------------------------------- */

static void test_clean_end(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        configure(NULL, NULL);
        join(&localhost);
        if (way == 1)
            rig_send(&server.s, 100000);
        uint64_t before = rig_stats(engine).send_bytes;
        weir_conn_finish(server.s.conn, -9,
                         way == 2 ? &(struct weir_linger){ RIG_WAIT, 1000 } : NULL);
        assert_false(weir_conn_usable(server.s.conn));
        RIG_RUN_UNTIL(engine, client.s.seen[RIG_EOF] == 1);
        assert_false(client.unclean);
        assert_int_equal(client.s.received, way == 1 ? 100000 : 0);
        assert_true(rig_stats(engine).send_bytes > before);
        /* The other direction is the client's still: what it says is dropped. */
        if (way == 2) {
            rig_send(&client.s, 500);
            rig_settle(engine);
            assert_int_equal(server.s.received, 0);
            assert_false(tls_closed(&server));
        }
        weir_conn_finish(client.s.conn, 0, NULL);
        RIG_RUN_UNTIL(engine, tls_closed(&client) && tls_closed(&server));
        assert_int_equal(server.s.err, -9);
        assert_int_equal(client.s.err, 0);
        assert_string_equal(server.error, "");
        assert_int_equal(tls_stats(server_tls).failed, 0);
    }
}

/* After the peer's close_notify we may go on. */
static void test_half_close(void **state)
{
    (void)state;
    configure(NULL, NULL);
    join(&localhost);
    weir_conn_finish(client.s.conn, 0, &(struct weir_linger){ RIG_WAIT, MIB });
    RIG_RUN_UNTIL(engine, server.s.seen[RIG_EOF] == 1);
    assert_false(server.unclean);
    rig_send(&server.s, 50000);
    RIG_RUN_UNTIL(engine, server.s.conn->sent_bytes == 50000);
    rig_settle(engine);
    assert_int_equal(server.s.seen[RIG_EOF], 1); /* the end of TCP is no second one */
    part();
}

static void test_reset(void **state)
{
    (void)state;
    configure(NULL, NULL);
    int fds[2];
    rig_tcp_pair(fds, 0);
    begin(fds[0], fds[1], &localhost);
    RIG_RUN_UNTIL(engine, client.secured && server.secured);
    rig_send(&server.s, 100);
    weir_conn_close(server.s.conn, -3, true);
    RIG_RUN_UNTIL(engine, tls_closed(&client) && tls_closed(&server));
    assert_int_equal(server.s.err, -3);
    assert_int_equal(client.s.err, -ECONNRESET);
}

static void close_secured(struct tls_end *end)
{
    weir_conn_close(end->s.conn, -77, false);
}

static void finish_secured(struct tls_end *end)
{
    weir_conn_finish(end->s.conn, -77, NULL);
}

static void test_close_in_each_callback(void **state)
{
    (void)state;
    configure(NULL, NULL);
    for (enum rig_event event = RIG_RECV; event < RIG_CLOSED; event++) {
        join(&localhost);
        server.s.hook = close_in;
        server.s.arg = event;
        rig_send(&server.s, 100000);
        weir_conn_set_deadline(server.s.conn, weir_engine_now_ns(engine) + 5 * RIG_MS);
        rig_send(&client.s, 100000);
        weir_conn_finish(client.s.conn, 0, &(struct weir_linger){ RIG_WAIT, MIB });
        RIG_RUN_UNTIL(engine, tls_closed(&server));
        assert_int_equal(server.s.err, -77);
        part();
    }
    for (unsigned way = 0; way < 2; way++) {
        int fds[2];
        rig_unix_pair(fds);
        begin(fds[0], fds[1], &localhost);
        client.on_secure = way == 0 ? close_secured : finish_secured;
        RIG_RUN_UNTIL(engine, tls_closed(&client));
        assert_int_equal(client.s.err, -77);
        RIG_RUN_UNTIL(engine, tls_closed(&server) || server.s.seen[RIG_EOF] == 1);
        part();
    }
    /* Before it is secured there is nothing to be finished. */
    int fds[2];
    rig_unix_pair(fds);
    begin(fds[0], fds[1], &localhost);
    rig_send(&client.s, 1000);
    weir_conn_finish(client.s.conn, -5, NULL);
    RIG_RUN_UNTIL(engine, tls_closed(&client) && tls_closed(&server));
    assert_int_equal(client.s.err, -5);
    assert_int_equal(server.s.err, WEIR_E_TLS);
    assert_non_null(strstr(server.error, "ended"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(test_streams),
        LINK_TEST(test_slow_reader),
        LINK_TEST(test_gathering),
        LINK_TEST(test_byte_by_byte),
        LINK_TEST(test_pause),
        LINK_TEST(test_pause_inside),
        LINK_TEST(test_no_output_memory),
        LINK_TEST(test_clean_end),
        LINK_TEST(test_half_close),
        LINK_TEST(test_reset),
        LINK_TEST(test_close_in_each_callback),
    };
    LINK_RUN(tests);
}
