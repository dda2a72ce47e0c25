/* SPDX-License-Identifier: MIT */
/* Connections on a real engine against peers that speak plain system calls. */
#include "io/conn.h"

#include "rig.h"

#define BULK 300000u /* more than the socket buffers of a small pair hold */

static struct weir_engine *engine;

static int setup(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    engine = rig_open(&cfg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(engine);
    return 0;
}

static void reopen(const struct weir_engine_config *cfg)
{
    rig_close(engine);
    engine = rig_open(cfg);
}

/* ---- Bytes both ways --------------------------------------------------------------------- */

static void test_echo(void **state)
{
    (void)state;
    for (int buffer = -1; buffer <= 8192; buffer = buffer < 0 ? 0 : buffer + 8192) {
        struct rig_session s = { .echo = true, .close_on_eof = true };
        struct rig_peer peer;
        rig_join(&s, &peer, engine, buffer);
        RIG_RUN_UNTIL(engine,
                      (rig_peer_write(&peer, BULK), rig_peer_read(&peer), peer.read == BULK));
        assert_int_equal(s.received, BULK);
        assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
        RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.eof && s.seen[RIG_CLOSED]));
        rig_check_streams(&s, &peer);
        assert_int_equal(s.err, 0);
        assert_int_equal(peer.err, 0);
        close(peer.fd);
    }
    struct weir_engine_stats stats = rig_stats(engine);
    assert_int_equal(stats.accepted, 3);
    assert_int_equal(stats.closed, 3);
    assert_int_equal(stats.recv_bytes, 3 * BULK);
    assert_int_equal(stats.send_bytes, 3 * BULK);
}

/* The peer ends its direction first; ours goes on for as long as we like. */
static void test_half_close_by_peer(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 8192);
    assert_true(rig_peer_write(&peer, 100));
    assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
    RIG_RUN_UNTIL(engine, s.seen[RIG_EOF] == 1);
    assert_int_equal(s.received, 100);
    rig_settle(engine);
    assert_int_equal(s.seen[RIG_EOF], 1);
    rig_send(&s, BULK);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), s.conn->sent_bytes == BULK));
    assert_int_equal(s.conn->queued_bytes, BULK);
    /* Lingering has nothing to wait for. */
    weir_conn_finish(s.conn, -123, &(struct weir_linger){ RIG_WAIT, 1u << 20 });
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.eof && s.seen[RIG_CLOSED]));
    assert_int_equal(s.err, -123);
    rig_check_streams(&s, &peer);
    close(peer.fd);
}

/* We end our direction first; what the peer still sends is dropped until it ends, too. */
static void test_half_close_by_us(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 0);
    rig_send(&s, 1000);
    weir_conn_finish(s.conn, 0, &(struct weir_linger){ RIG_WAIT, 1u << 20 });
    assert_false(weir_conn_usable(s.conn));
    weir_conn_finish(s.conn, -5, NULL); /* again: no effect */
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.eof));
    assert_int_equal(peer.read, 1000);
    assert_int_equal(s.conn->state, WEIR_CONN_LINGERING);
    for (unsigned i = 1; i <= 10; i++) {
        assert_true(rig_peer_write(&peer, i * 1000));
        rig_settle(engine);
    }
    assert_int_equal(s.received, 0);
    assert_int_equal(s.seen[RIG_CLOSED], 0);
    close(peer.fd);
    rig_run_until_closed(engine, &s);
    assert_int_equal(s.err, 0);
    rig_check_streams(&s, &peer);
}

/* ---- Finishing --------------------------------------------------------------------------- */

/* The peer is still sending when we answer and end: it must be able to read the answer. */
static void finish_against_sender(uint64_t linger_bytes, bool *read_all, int *err)
{
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 0);
    RIG_RUN_UNTIL(engine, (rig_peer_write(&peer, 100000), s.received > 0));
    weir_conn_pause(s.conn); /* a full request queue: unread input stays in the socket */
    rig_send(&s, 50000);
    weir_conn_finish(s.conn, 0, &(struct weir_linger){ RIG_WAIT, linger_bytes });
    uint64_t end = peer.written;
    RIG_RUN_UNTIL(engine, (rig_peer_write(&peer, end += 10000),
                           s.seen[RIG_CLOSED] || s.conn->state == WEIR_CONN_LINGERING));
    for (unsigned i = 0; i < 30 && peer.err == 0; i++) {
        (void)rig_peer_write(&peer, end += 10000);
        rig_settle(engine);
    }
    peer.err = 0;
    rig_peer_read(&peer);
    *read_all = peer.read == 50000 && peer.eof;
    close(peer.fd);
    rig_run_until_closed(engine, &s);
    *err = s.err;
    rig_check_streams(&s, &peer);
}

static void test_finish_with_linger(void **state)
{
    (void)state;
    bool read_all;
    int err;
    finish_against_sender(100u << 20, &read_all, &err);
    assert_true(read_all);
    /* Whoever sends more than is allowed is cut off, and that is an end in order for us. */
    finish_against_sender(1000, &read_all, &err);
    assert_int_equal(err, 0);
}

static void test_linger_ends_by_time(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 0);
    rig_send(&s, 10);
    uint64_t before = weir_clock_ns();
    weir_conn_finish(s.conn, -7, &(struct weir_linger){ 20 * RIG_MS, 1000 });
    rig_run_until_closed(engine, &s);
    assert_true(weir_clock_ns() - before >= 20 * RIG_MS);
    assert_int_equal(s.err, -7);
    assert_int_equal(s.seen[RIG_TIMEOUT], 0);
    rig_peer_read(&peer);
    assert_int_equal(peer.read, 10);
    assert_true(peer.eof);
    close(peer.fd);
}

/* Nothing queued: at once. Much queued: when it has left, not before. */
static void test_finish_without_linger(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 0);
    weir_conn_finish(s.conn, -9, NULL);
    assert_int_equal(s.seen[RIG_CLOSED], 0); /* never inside the call */
    rig_run_until_closed(engine, &s);
    assert_int_equal(s.err, -9);
    close(peer.fd);

    s = (struct rig_session){ .conn = NULL };
    rig_join(&s, &peer, engine, 8192);
    rig_send(&s, BULK);
    weir_conn_finish(s.conn, 0, NULL);
    rig_settle(engine);
    assert_int_equal(s.seen[RIG_CLOSED], 0);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.eof));
    assert_int_equal(peer.read, BULK);
    rig_run_until_closed(engine, &s);
    assert_int_equal(s.err, 0);
    rig_check_streams(&s, &peer);
    close(peer.fd);
}

/* ---- The peer resets --------------------------------------------------------------------- */

enum phase { IDLE, RECEIVING, SENDING, PAUSED, HALF_CLOSED, FINISHING, LINGERING, PHASE_COUNT };

static void reset_in_phase(enum phase phase)
{
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 8192);
    switch (phase) {
    case RECEIVING:
        (void)rig_peer_write(&peer, BULK);
        break;
    case SENDING:
    case FINISHING:
        rig_send(&s, BULK);
        if (phase == FINISHING)
            weir_conn_finish(s.conn, 0, NULL);
        rig_settle(engine);
        assert_true(s.conn->send_inflight);
        break;
    case PAUSED:
        weir_conn_pause(s.conn);
        rig_settle(engine);
        assert_false(s.conn->recv_armed);
        break;
    case HALF_CLOSED:
        assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
        RIG_RUN_UNTIL(engine, s.seen[RIG_EOF] == 1);
        break;
    case LINGERING:
        weir_conn_finish(s.conn, 0, &(struct weir_linger){ RIG_WAIT, 1000 });
        break;
    default:
        break;
    }
    rig_settle(engine);
    rig_reset(peer.fd);
    rig_settle(engine);
    /* Who does not read learns it by reading again, who was told the end by sending. */
    if (phase == PAUSED)
        weir_conn_resume(s.conn);
    if (phase == HALF_CLOSED)
        rig_send(&s, 1000);
    rig_run_until_closed(engine, &s);
    assert_true(s.err == -ECONNRESET || s.err == -EPIPE);
    assert_false(s.bad);
}

static void test_reset_by_peer(void **state)
{
    (void)state;
    for (enum phase phase = 0; phase < PHASE_COUNT; phase++)
        reset_in_phase(phase);
}

/* We reset: the peer sees it, whatever was queued. */
static void test_reset_by_us(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 0);
    rig_send(&s, 1000);
    weir_conn_close(s.conn, -3, true);
    weir_conn_close(s.conn, -4, false); /* again: the first error stands */
    rig_run_until_closed(engine, &s);
    assert_int_equal(s.err, -3);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.err != 0));
    assert_int_equal(peer.err, -ECONNRESET);
    close(peer.fd);
}

/* ---- Pause and resume -------------------------------------------------------------------- */

static void test_pause_and_resume(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, -1);
    uint64_t end = 0;
    for (unsigned round = 0; round < 50; round++) {
        assert_true(rig_peer_write(&peer, end += 3000));
        if (round % 3 == 0)
            rig_settle(engine);
        weir_conn_pause(s.conn);
        weir_conn_pause(s.conn);
        rig_settle(engine);
        assert_false(s.conn->recv_armed);
        /* Nothing arrives now. */
        uint64_t received = s.received;
        assert_true(rig_peer_write(&peer, end += 3000));
        rig_settle(engine);
        assert_int_equal(s.received, received);
        weir_conn_resume(s.conn);
        if (round % 4 == 0) { /* in one pass, back and forth */
            weir_conn_pause(s.conn);
            weir_conn_resume(s.conn);
            weir_conn_resume(s.conn);
        }
        RIG_RUN_UNTIL(engine, s.received == end);
        assert_true(s.conn->recv_armed);
    }
    /* The end waits for the resume, too. */
    weir_conn_pause(s.conn);
    rig_settle(engine);
    assert_true(rig_peer_write(&peer, end += 100));
    close(peer.fd);
    rig_settle(engine);
    assert_int_equal(s.seen[RIG_EOF], 0);
    weir_conn_resume(s.conn);
    RIG_RUN_UNTIL(engine, s.seen[RIG_EOF] == 1);
    assert_int_equal(s.received, end);
    rig_check_streams(&s, &peer);
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
}

struct pause_task {
    struct weir_task task; /* first: found again from it */
    struct rig_session *s;
    bool was_over; /* the receive had ended when the task ran */
};

static void resume_and_pause(struct weir_task *task)
{
    struct pause_task *t = (struct pause_task *)task;
    t->was_over = !t->s->conn->recv_armed;
    weir_conn_resume(t->s->conn);
    weir_conn_pause(t->s->conn);
}

static void pause_once(struct rig_session *s, enum rig_event event)
{
    if (event == RIG_RECV && s->arg++ == 0)
        weir_conn_pause(s->conn);
}

/*
 * The receive ends by itself (no buffer left) behind the completion in which it is paused; then it
 * is resumed and paused again, all in one pass. The cancel of the first pause does not stop the
 * second receive.
 */
static void test_pause_of_a_second_receive(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.recv_bufs_max = 2;
    cfg.recv_buf_bytes = 256;
    reopen(&cfg);
    struct rig_session s = { .hook = pause_once };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, -1);
    assert_true(rig_peer_write(&peer, 1000));
    struct pause_task t = { .task.run = resume_and_pause, .s = &s };
    weir_engine_post(engine, &t.task);
    while (s.received == 0)
        assert_int_equal(weir_engine_run_once(engine, RIG_MS), 0);
    rig_settle(engine);
    assert_true(t.was_over);
    assert_true(s.conn->recv_paused);
    assert_false(s.conn->recv_armed);
    uint64_t received = s.received;
    assert_true(rig_peer_write(&peer, 2000));
    rig_settle(engine);
    assert_int_equal(s.received, received);
    weir_conn_resume(s.conn);
    RIG_RUN_UNTIL(engine, s.received == 2000);
    rig_check_streams(&s, &peer);
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
    close(peer.fd);
}

/* ---- Close inside callbacks -------------------------------------------------------------- */

static void close_in(struct rig_session *s, enum rig_event event)
{
    if (event == (enum rig_event)(s->arg & 0xff) && event != RIG_CLOSED)
        weir_conn_close(s->conn, -77, s->arg >> 8);
}

static void test_close_in_each_callback(void **state)
{
    (void)state;
    struct weir_addr addr;
    int listener = rig_tcp_listen(&addr);
    for (uint64_t reset = 0; reset < 2; reset++) {
        for (enum rig_event event = RIG_OPEN; event < RIG_CLOSED; event++) {
            struct rig_session s = { .hook = close_in, .arg = reset << 8 | event };
            assert_int_equal(weir_conn_connect(&s.conn, engine, &addr, &rig_handler, &s), 0);
            RIG_RUN_UNTIL(engine, s.seen[RIG_OPEN] == 1);
            struct rig_peer peer = { .fd = accept(listener, NULL, NULL) };
            assert_true(peer.fd >= 0);
            if (event != RIG_OPEN) {
                rig_send(&s, 10000);
                weir_conn_set_deadline(s.conn, weir_engine_now_ns(engine) + 5 * RIG_MS);
                assert_true(rig_peer_write(&peer, 10000));
                assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
            }
            rig_run_until_closed(engine, &s);
            assert_int_equal(s.err, -77);
            assert_true(s.seen[event] >= 1);
            close(peer.fd);
        }
    }
    close(listener);
    assert_int_equal(rig_stats(engine).connected, 10);
}

/* In on_closed a new one may be begun. */
static struct rig_session *successor;
static int successor_fd;

static void begin_successor(struct rig_session *s, enum rig_event event)
{
    (void)s;
    if (event == RIG_CLOSED)
        rig_accept(successor, engine, successor_fd);
}

static void test_begin_in_on_closed(void **state)
{
    (void)state;
    struct rig_session first = { .hook = begin_successor }, second = { .echo = true };
    struct rig_peer peer;
    int fds[2];
    rig_join(&first, &peer, engine, 0);
    rig_unix_pair(fds);
    successor = &second;
    successor_fd = fds[0];
    weir_conn_close(first.conn, 0, false);
    rig_run_until_closed(engine, &first);
    close(peer.fd);
    peer = (struct rig_peer){ .fd = fds[1] };
    RIG_RUN_UNTIL(engine, (rig_peer_write(&peer, 1000), rig_peer_read(&peer), peer.read == 1000));
    weir_conn_close(second.conn, 0, false);
    rig_run_until_closed(engine, &second);
    close(peer.fd);
}

/* ---- Deadlines --------------------------------------------------------------------------- */

static void test_deadline(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 0);
    uint64_t now = weir_clock_ns();
    /* Set far, nearer, later: the last one counts. */
    weir_conn_set_deadline(s.conn, now + 1000 * RIG_MS);
    weir_conn_set_deadline(s.conn, now + 5 * RIG_MS);
    weir_conn_set_deadline(s.conn, now + 30 * RIG_MS);
    RIG_RUN_UNTIL(engine, s.seen[RIG_TIMEOUT] == 1);
    assert_true(weir_clock_ns() >= now + 30 * RIG_MS);
    rig_settle(engine);
    assert_int_equal(s.seen[RIG_TIMEOUT], 1);
    /* None: never. */
    weir_conn_set_deadline(s.conn, weir_clock_ns() + 2 * RIG_MS);
    weir_conn_set_deadline(s.conn, 0);
    rig_run_for(engine, 10 * RIG_MS);
    assert_int_equal(s.seen[RIG_TIMEOUT], 1);
    /* One that has passed. */
    weir_conn_set_deadline(s.conn, 1);
    assert_int_equal(s.seen[RIG_TIMEOUT], 1);
    RIG_RUN_UNTIL(engine, s.seen[RIG_TIMEOUT] == 2);
    /* Closing forgets it. */
    weir_conn_set_deadline(s.conn, weir_clock_ns() + RIG_MS);
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
    assert_int_equal(s.seen[RIG_TIMEOUT], 2);
    close(peer.fd);
}

/* ---- Connecting -------------------------------------------------------------------------- */

static void test_connect(void **state)
{
    (void)state;
    struct weir_addr addr;
    char text[WEIR_ADDR_TEXT_BYTES], expected[WEIR_ADDR_TEXT_BYTES];
    int listener = rig_tcp_listen(&addr);
    struct rig_session s = { .echo = true };
    assert_int_equal(weir_conn_connect(&s.conn, engine, &addr, &rig_handler, &s), 0);
    assert_int_equal(s.conn->state, WEIR_CONN_CONNECTING);
    RIG_RUN_UNTIL(engine, s.seen[RIG_OPEN] == 1);
    assert_true(weir_conn_usable(s.conn));
    assert_string_equal(weir_conn_peer(s.conn, text, sizeof text),
                        weir_addr_format(&addr, expected, sizeof expected));
    struct rig_peer peer = { .fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK) };
    assert_true(peer.fd >= 0);
    RIG_RUN_UNTIL(engine, (rig_peer_write(&peer, 1000), rig_peer_read(&peer), peer.read == 1000));
    rig_reset(peer.fd);
    rig_run_until_closed(engine, &s);
    assert_int_equal(s.err, -ECONNRESET);
    close(listener);
    /* Refused: the end without a beginning. */
    s = (struct rig_session){ .conn = NULL };
    assert_int_equal(weir_conn_connect(&s.conn, engine, &addr, &rig_handler, &s), 0);
    rig_run_until_closed(engine, &s);
    assert_int_equal(s.err, -ECONNREFUSED);
    assert_int_equal(s.seen[RIG_OPEN], 0);
}

static void close_on_timeout(struct rig_session *s, enum rig_event event)
{
    if (event == RIG_TIMEOUT)
        weir_conn_close(s->conn, WEIR_E_CONNECT_TIMEOUT, false);
}

/* The other side's backlog is full, so that the connection is neither made nor refused. */
static void test_end_while_connecting(void **state)
{
    (void)state;
    struct weir_addr addr;
    int fillers[2];
    assert_int_equal(weir_addr_parse_listen(&addr, "127.0.0.1:0"), 0);
    int listener = sock_listen(&addr, 0, 0);
    assert_true(listener >= 0);
    assert_int_equal(sock_local(listener, &addr), 0);
    fillers[0] = rig_tcp_dial(&addr);
    for (unsigned way = 0; way < 3; way++) {
        struct rig_session s = { .hook = close_on_timeout };
        fillers[1] = sock_stream(&addr);
        (void)connect(fillers[1], (const void *)&addr.storage, addr.bytes);
        assert_int_equal(weir_conn_connect(&s.conn, engine, &addr, &rig_handler, &s), 0);
        weir_conn_pause(s.conn); /* no meaning yet */
        rig_settle(engine);
        assert_int_equal(s.conn->state, WEIR_CONN_CONNECTING);
        assert_false(weir_conn_usable(s.conn));
        if (way == 0)
            weir_conn_close(s.conn, WEIR_E_CONNECT_TIMEOUT, false);
        else if (way == 1)
            weir_conn_finish(s.conn, WEIR_E_CONNECT_TIMEOUT, NULL);
        else
            weir_conn_set_deadline(s.conn, weir_clock_ns() + 5 * RIG_MS);
        rig_run_until_closed(engine, &s);
        assert_int_equal(s.err, WEIR_E_CONNECT_TIMEOUT);
        assert_int_equal(s.seen[RIG_OPEN], 0);
        close(fillers[1]);
    }
    close(fillers[0]);
    close(listener);
}

#define CONN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_TEST(test_echo),
        CONN_TEST(test_half_close_by_peer),
        CONN_TEST(test_half_close_by_us),
        CONN_TEST(test_finish_with_linger),
        CONN_TEST(test_linger_ends_by_time),
        CONN_TEST(test_finish_without_linger),
        CONN_TEST(test_reset_by_peer),
        CONN_TEST(test_reset_by_us),
        CONN_TEST(test_pause_and_resume),
        CONN_TEST(test_pause_of_a_second_receive),
        CONN_TEST(test_close_in_each_callback),
        CONN_TEST(test_begin_in_on_closed),
        CONN_TEST(test_deadline),
        CONN_TEST(test_connect),
        CONN_TEST(test_end_while_connecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
