/* SPDX-License-Identifier: MIT */
/* Zero-copy sends on real sockets: what arrives, who learns what, and when memory is free again. */
#include "io/zc.c"

#include "unit/io/rig.h"

#define BODY_BYTES (1u << 20)

/* On a page: how much of it a small socket buffer takes at once depends on that. */
static _Alignas(4096) uint8_t body[BODY_BYTES];

struct owner {
    struct weir_seg seg; /* first: found again from it */
    unsigned freed;
    int err;
};

static void on_free(struct weir_engine *engine, struct weir_seg *seg)
{
    struct owner *owner = (struct owner *)seg;
    assert_non_null(engine);
    assert_false(weir_seg_busy(seg));
    owner->freed++;
    owner->err = seg->err;
}

static void body_fill(void)
{
    for (size_t at = 0; at < BODY_BYTES; at += RIG_PIECE)
        memcpy(body + at, rig_stream(at), RIG_PIECE);
}

static void borrow(struct rig_session *s, struct owner *owner, size_t bytes)
{
    *owner = (struct owner){ .freed = 0 };
    weir_sendq_borrow(&s->conn->out, &owner->seg, (struct weir_slice){ body, bytes }, on_free);
    weir_conn_queued(s->conn, bytes);
}

static void test_policy(void **state)
{
    (void)state;
    struct weir_zc_policy policy = { 0 };
    assert_true(weir_zc_policy_try(&policy)); /* nothing is known: a try */
    uint32_t wait = 16;
    for (unsigned i = 0; i < 20; i++) {
        weir_zc_policy_report(&policy, true);
        for (uint32_t k = 0; k < wait; k++)
            assert_false(weir_zc_policy_try(&policy));
        assert_true(weir_zc_policy_try(&policy));
        wait = wait * 2 < WEIR_ZC_SKIP_MAX ? wait * 2 : WEIR_ZC_SKIP_MAX;
    }
    weir_zc_policy_report(&policy, false); /* a peer elsewhere: from now on always */
    for (unsigned i = 0; i < 100; i++)
        assert_true(weir_zc_policy_try(&policy));
    weir_zc_policy_report(&policy, true);
    assert_false(weir_zc_policy_try(&policy));
    assert_int_equal(policy.skip, 15);
}

/* Loopback copies, says so, and is believed; the bytes are right, and are free exactly once. */
static void test_loopback(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct rig_session s = { 0 };
    struct rig_peer peer;
    struct weir_zc_policy policy = { 0 };
    struct owner owners[20];
    rig_join(&s, &peer, engine, 0);
    s.conn->zc = &policy;
    int number = weir_engine_register(engine, (struct weir_slice){ body, BODY_BYTES });
    assert_true(number > 0);
    for (unsigned i = 0; i < 20; i++) {
        peer.read = 0;
        borrow(&s, &owners[i], BODY_BYTES);
        RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.read == BODY_BYTES));
        RIG_RUN_UNTIL(engine, owners[i].freed > 0);
        assert_int_equal(owners[i].freed, 1);
        assert_int_equal(owners[i].err, 0);
    }
    assert_false(peer.bad);
    struct weir_engine_stats stats = rig_stats(engine);
    assert_true(stats.zc_sends >= 1 && stats.zc_sends < 20);
    assert_int_equal(stats.zc_copied, stats.zc_sends);
    assert_int_equal(stats.zc_pending_now, 0);
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
    weir_engine_unregister(engine, number);
    close(peer.fd);
    rig_close(engine);
}

/* A unix socket refuses: the same bytes go plainly, the connection lives. */
static void test_refused(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct rig_session s = { 0 };
    struct rig_peer peer;
    struct weir_zc_policy policy = { 0 };
    struct owner owner;
    rig_join(&s, &peer, engine, -1);
    s.conn->zc = &policy;
    borrow(&s, &owner, BODY_BYTES);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.read == BODY_BYTES));
    RIG_RUN_UNTIL(engine, owner.freed == 1);
    assert_false(peer.bad);
    assert_int_equal(rig_stats(engine).zc_sends, 1);
    assert_true(policy.skip > 0);
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
    close(peer.fd);
    rig_close(engine);
}

/* What is in front of a large part leaves first, and in order. */
static void test_behind_a_head(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct rig_session s = { 0 };
    struct rig_peer peer;
    struct weir_zc_policy policy = { 0 };
    struct owner owner = { .freed = 0 };
    rig_join(&s, &peer, engine, 0);
    s.conn->zc = &policy;
    rig_send(&s, 100);
    struct weir_slice rest = { body + 100, BODY_BYTES - 200 };
    weir_sendq_borrow(&s.conn->out, &owner.seg, rest, on_free);
    weir_conn_queued(s.conn, rest.len);
    struct weir_slice tail = { body + BODY_BYTES - 100, 100 };
    assert_int_equal(weir_sendq_copy(engine, &s.conn->out, tail), 0);
    weir_conn_queued(s.conn, tail.len);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), peer.read == BODY_BYTES));
    assert_false(peer.bad);
    assert_true(rig_stats(engine).zc_sends >= 1);
    RIG_RUN_UNTIL(engine, owner.freed == 1);
    weir_conn_close(s.conn, 0, false);
    rig_run_until_closed(engine, &s);
    close(peer.fd);
    rig_close(engine);
}

/* The peer does not read: the connection's end does not wait for the memory, nor it for that. */
static void test_closed_meanwhile(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    for (unsigned i = 0; i < 10; i++) {
        struct rig_session s = { 0 };
        struct rig_peer peer;
        struct weir_zc_policy policy = { 0 };
        struct owner owner;
        rig_join(&s, &peer, engine, i % 2 == 0 ? 4096 : 0);
        s.conn->zc = &policy;
        borrow(&s, &owner, BODY_BYTES);
        for (unsigned k = 0; k < i; k++)
            assert_int_equal(weir_engine_run_once(engine, 0), 0);
        if (s.conn != NULL)
            weir_conn_close(s.conn, -ECANCELED, true);
        rig_run_until_closed(engine, &s);
        rig_reset(peer.fd);
        RIG_RUN_UNTIL(engine, owner.freed == 1);
        assert_int_equal(rig_stats(engine).zc_pending_now, 0);
    }
    rig_close(engine);
}

/* An end in order waits for the peer to read, but not for ever. */
static void test_held_too_long(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct rig_session s = { 0 };
    struct rig_peer peer;
    struct weir_zc_policy policy = { 0 };
    struct owner owner;
    rig_join(&s, &peer, engine, 4096);
    s.conn->zc = &policy;
    borrow(&s, &owner, WEIR_ZC_BYTES_MIN);
    RIG_RUN_UNTIL(engine, s.conn->out.bytes == 0 || s.seen[RIG_SENT] > 0);
    struct weir_conn *conn = s.conn;
    weir_conn_close(conn, 0, false);
    RIG_RUN_UNTIL(engine, s.seen[RIG_CLOSED] > 0 || conn->deadline_ns > 0);
    assert_int_equal(s.seen[RIG_CLOSED], 0); /* the peer has not read it */
    assert_true(conn->deadline_ns > engine->now_ns + WEIR_ZC_HELD_NS / 2);
    weir_conn_set_deadline(conn, engine->now_ns + RIG_MS);
    rig_run_until_closed(engine, &s);
    RIG_RUN_UNTIL(engine, owner.freed == 1);
    close(peer.fd);
    rig_close(engine);
}

int main(void)
{
    body_fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy),           cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_behind_a_head),
        cmocka_unit_test(test_closed_meanwhile), cmocka_unit_test(test_held_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
