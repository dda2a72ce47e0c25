/* SPDX-License-Identifier: MIT */
/* Connections, continued: output of all kinds, and every shortage. */
#include "io/conn.h"

#include "rig.h"

#include <sys/mman.h>

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

/* ---- Sending ----------------------------------------------------------------------------- */

/* The peer never reads: a blocked send does not keep the connection from being closed. */
static void test_blocked_send_is_closed(void **state)
{
    (void)state;
    static uint8_t borrowed[1000];
    static struct weir_seg seg;
    for (unsigned reset = 0; reset < 2; reset++) {
        struct rig_session s = { .conn = NULL };
        struct rig_peer peer;
        rig_join(&s, &peer, engine, 8192);
        rig_send(&s, BULK);
        weir_sendq_borrow(&s.conn->out, &seg, (struct weir_slice){ borrowed, sizeof borrowed },
                          NULL);
        weir_conn_queued(s.conn, sizeof borrowed);
        rig_settle(engine);
        assert_true(s.conn->send_inflight);
        assert_true(s.conn->sent_bytes < BULK);
        weir_conn_close(s.conn, -8, reset);
        rig_run_until_closed(engine, &s);
        assert_int_equal(s.err, -8);
        assert_int_equal(rig_stats(engine).send_chunks_now, 0);
        close(peer.fd);
    }
}

/* A finish that cannot end its sending is ended by the session's deadline, with a reset. */
static void test_blocked_finish_ends_by_deadline(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 8192);
    rig_send(&s, BULK);
    weir_conn_finish(s.conn, -6, &(struct weir_linger){ RIG_MS, 1000 });
    weir_conn_set_deadline(s.conn, weir_clock_ns() + 10 * RIG_MS);
    RIG_RUN_UNTIL(engine, s.seen[RIG_TIMEOUT] == 1);
    weir_conn_close(s.conn, -7, true);
    rig_run_until_closed(engine, &s);
    assert_int_equal(s.err, -6); /* the first reason stays */
    do
        rig_peer_read(&peer);
    while (peer.err == 0 && !peer.eof);
    assert_int_equal(peer.err, -ECONNRESET);
    close(peer.fd);
}

#define SEGS 256u

struct mixer {
    struct rig_session s;
    struct weir_seg segs[SEGS];
    uint64_t ends[SEGS]; /* a segment is free again when so much was sent */
    uint64_t draws, end, arg;
};

/* Append copies, borrowed bytes and queues that lay aside, as long as there is room. */
static void mix(struct mixer *m)
{
    struct weir_conn *conn = m->s.conn;
    uint64_t before = m->s.queued;
    for (unsigned i = 0; i < 12 && m->s.queued < m->end; i++) {
        uint64_t random = weir_random_u64(RIG_SEED, m->arg, m->draws++);
        size_t n = 1 + (size_t)(random >> 40) % (random & 8 ? 6000 : 80);
        n = (size_t)weir_min_u64(n, m->end - m->s.queued);
        struct weir_slice data = { rig_stream(m->s.queued), n };
        unsigned at = (unsigned)(random >> 8) % SEGS;
        if (random % 3 == 0 && m->ends[at] <= conn->sent_bytes) {
            weir_sendq_borrow(&conn->out, &m->segs[at], data, NULL);
            m->ends[at] = m->s.queued + n;
        } else if (random % 3 == 1) {
            struct weir_sendq aside = { 0 };
            if (weir_sendq_copy(engine, &aside, data) < 0)
                break;
            weir_sendq_splice(&conn->out, &aside);
        } else if (weir_sendq_copy(engine, &conn->out, data) < 0) {
            break;
        }
        m->s.queued += n;
    }
    if (m->s.queued > before)
        weir_conn_queued(conn, m->s.queued - before);
}

/* Twelve at once with a submission queue of 8: more gathered sends than descriptions for them. */
static void test_mixed_output(void **state)
{
    (void)state;
    enum { COUNT = 12 };
    static struct mixer mixers[COUNT];
    struct rig_peer peers[COUNT];
    struct weir_engine_config cfg = rig_config();
    cfg.sq_entries = 8;
    cfg.cq_entries = 8;
    cfg.send_bytes_max = 200000;
    reopen(&cfg);
    memset(mixers, 0, sizeof mixers);
    for (unsigned i = 0; i < COUNT; i++) {
        rig_join(&mixers[i].s, &peers[i], engine, i % 3 == 0 ? -1 : 4096);
        mixers[i].end = 100000 + i;
        mixers[i].arg = i;
    }
    for (unsigned done = 0; done < COUNT;) {
        done = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            mix(&mixers[i]);
            /* At different speeds. */
            if (i % 4 != 3 || mixers[i].draws % 5 == 0 || mixers[i].s.queued == mixers[i].end)
                rig_peer_read(&peers[i]);
            done += peers[i].read == mixers[i].end;
        }
        assert_int_equal(weir_engine_run_once(engine, RIG_MS / 10), 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        rig_check_streams(&mixers[i].s, &peers[i]);
        RIG_RUN_UNTIL(engine, mixers[i].s.conn->sent_bytes == mixers[i].end);
        weir_conn_close(mixers[i].s.conn, 0, false);
        rig_run_until_closed(engine, &mixers[i].s);
        close(peers[i].fd);
    }
    assert_true(rig_stats(engine).send_partial > 0);
}

/* More than the 32 bits of a length that the kernel takes: what it took is sent, the rest follows.
 */
static void test_huge_borrow(void **state)
{
    (void)state;
    const size_t bytes = 1ull << 32;
    static struct weir_seg seg;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    uint8_t got[RIG_PIECE];
    void *zeros = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(zeros != MAP_FAILED);
    rig_join(&s, &peer, engine, 8192);
    weir_sendq_borrow(&s.conn->out, &seg, (struct weir_slice){ zeros, bytes }, NULL);
    weir_conn_queued(s.conn, bytes);
    uint64_t read = 0;
    for (ssize_t n = 0; read < 1u << 20; n = recv(peer.fd, got, sizeof got, 0)) {
        read += n > 0 ? (uint64_t)n : 0;
        assert_int_equal(s.seen[RIG_CLOSED], 0);
        assert_int_equal(weir_engine_run_once(engine, n > 0 ? 0 : RIG_MS), 0);
    }
    weir_conn_close(s.conn, 0, true);
    rig_run_until_closed(engine, &s);
    munmap(zeros, bytes);
    close(peer.fd);
}

/* Bytes put into the output behind a send in flight, into the same chunk, leave later and once. */
static void test_append_during_send(void **state)
{
    (void)state;
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 4096);
    for (uint64_t end = 7; end < 200000; end += 7) {
        if (!weir_sendq_has_room(engine, &s.conn->out, 7))
            break;
        rig_send(&s, end);
        if (end % 3 == 0)
            assert_int_equal(weir_engine_run_once(engine, 0), 0);
        if (end > 100000)
            rig_peer_read(&peer);
    }
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.read == s.queued));
    rig_check_streams(&s, &peer);
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
    close(peer.fd);
}

/* ---- Shortages --------------------------------------------------------------------------- */

static void test_send_memory_exhausted(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.send_bytes_max = 1u << 16;
    reopen(&cfg);
    struct rig_session s = { .conn = NULL };
    struct rig_peer peer;
    rig_join(&s, &peer, engine, 4096);
    weir_conn_pause(s.conn);
    int rc = 0;
    while (rc == 0) {
        rc = weir_sendq_copy(engine, &s.conn->out,
                             (struct weir_slice){ rig_stream(s.queued), 1000 });
        if (rc == 0) {
            weir_conn_queued(s.conn, 1000);
            s.queued += 1000;
        }
    }
    assert_int_equal(rc, -ENOBUFS);
    assert_int_equal(rig_stats(engine).send_memory_short, 1);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), s.conn->sent_bytes == s.queued));
    assert_int_equal(rig_stats(engine).send_chunks_now, 0);
    rig_send(&s, s.queued + 1000);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.read == s.queued));
    rig_check_streams(&s, &peer);
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
    close(peer.fd);
}

static void test_slots_and_descriptors_exhausted(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_addr addr;
    struct rlimit limit, none;
    cfg.conns_max = 2;
    reopen(&cfg);
    int listener = rig_tcp_listen(&addr), fds[2];
    unsigned before = rig_fds_count();
    struct rig_session a = { .conn = NULL }, c = { .conn = NULL }, d = { .conn = NULL };
    struct rig_peer peer, last;
    rig_join(&a, &peer, engine, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){ 0, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = weir_conn_connect(&d.conn, engine, &addr, &rig_handler, &d);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, -EMFILE);
    assert_null(d.conn);
    assert_int_equal(weir_conn_connect(&c.conn, engine, &addr, &rig_handler, &c), 0);
    assert_int_equal(weir_conn_connect(&d.conn, engine, &addr, &rig_handler, &d), -ENOBUFS);
    assert_null(d.conn);
    rig_unix_pair(fds);
    assert_null(weir_conn_accept(engine, fds[0], &rig_handler, &d));
    assert_true(fcntl(fds[0], F_GETFD) >= 0); /* still the caller's */
    close(fds[0]);
    close(fds[1]);
    weir_conn_close(c.conn, 0, false);
    rig_run_until_closed(engine, &c);
    rig_join(&d, &last, engine, -1);
    weir_conn_close(a.conn, 0, false);
    weir_conn_close(d.conn, 0, false);
    rig_run_until_closed(engine, &a);
    rig_run_until_closed(engine, &d);
    close(peer.fd);
    close(last.fd);
    assert_int_equal(rig_fds_count(), before);
    close(listener);
}

/* Thirty connections share two receive buffers: all starve, none loses a byte. */
static void test_receive_buffers_exhausted(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    static struct rig_session s[COUNT];
    struct rig_peer peers[COUNT];
    struct weir_engine_config cfg = rig_config();
    cfg.recv_bufs_max = 2;
    cfg.recv_buf_bytes = 1000;
    reopen(&cfg);
    memset(s, 0, sizeof s);
    for (unsigned i = 0; i < COUNT; i++)
        rig_join(&s[i], &peers[i], engine, -1);
    for (unsigned done = 0; done < COUNT;) {
        done = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            if (rig_peer_write(&peers[i], 30000 + i) && peers[i].fd >= 0 && !peers[i].eof) {
                assert_int_equal(shutdown(peers[i].fd, SHUT_WR), 0);
                peers[i].eof = true;
            }
            done += s[i].seen[RIG_EOF];
        }
        assert_int_equal(weir_engine_run_once(engine, RIG_MS), 0);
    }
    assert_true(rig_stats(engine).recv_starved > 0);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(s[i].received, 30000 + i);
        assert_false(s[i].bad);
        weir_conn_close(s[i].conn, 0, false);
        rig_run_until_closed(engine, &s[i]);
        close(peers[i].fd);
    }
}

#define CONN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_TEST(test_blocked_send_is_closed),
        CONN_TEST(test_blocked_finish_ends_by_deadline),
        CONN_TEST(test_mixed_output),
        CONN_TEST(test_huge_borrow),
        CONN_TEST(test_append_during_send),
        CONN_TEST(test_send_memory_exhausted),
        CONN_TEST(test_slots_and_descriptors_exhausted),
        CONN_TEST(test_receive_buffers_exhausted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
