/* SPDX-License-Identifier: MIT */
/*
 * Receive buffers that the application holds beyond the callback they came with.
 */
#include "body.h"

/* ---- Held receive buffers ---------------------------------------------------------------- */

#define HELD_MAX 64u

/* What the handler of uploads keeps. */
static struct {
    struct weir_slice pieces[HELD_MAX];
    uint64_t at[HELD_MAX]; /* in the pattern */
    unsigned count;
    unsigned refused, foreign;
    uint64_t got;
} held;

static void hold_on_body(struct weir_exchange *x, struct weir_slice piece, bool last, void *ctx)
{
    struct rig *r = ctx;
    struct rig_x *rx = weir_exchange_user(x);
    int rc = piece.len > 0 ? weir_slice_hold(r->engine, piece) : -EINVAL;
    if (piece.len > 0)
        pattern_check(piece.ptr, held.got, piece.len);
    if (rc == 0) {
        /* More than once, and a part of it: one buffer. */
        struct weir_slice part = { piece.ptr + piece.len / 2, piece.len - piece.len / 2 };
        assert_int_equal(weir_slice_hold(r->engine, part), 0);
        weir_slice_release(r->engine, part);
        assert_true(held.count < HELD_MAX);
        held.at[held.count] = held.got;
        held.pieces[held.count++] = piece;
    }
    held.refused += rc == -ENOBUFS;
    held.foreign += rc == -EINVAL && piece.len > 0;
    held.got += piece.len;
    if (last)
        rig_respond(rx, 200, "kept");
}

static void serve_holding(void)
{
    struct weir_server_handler handler = rig_handler;
    handler.on_body = hold_on_body;
    memset(&held, 0, sizeof held);
    rig.on_request = rig_wait;
    open_engine();
    assert_int_equal(weir_server_open(&rig.server, rig.engine, &rig.server_cfg, &handler, &rig), 0);
}

/* An upload of the pattern, in writes that the server sees one by one. */
static void upload(struct rig_peer *p, size_t bytes, size_t step)
{
    char head[96];
    uint8_t *body = malloc(bytes);
    assert_non_null(body);
    pattern_fill(body, 0, bytes);
    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                   bytes);
    rig_write_alone(&rig, p, head, strlen(head));
    for (size_t at = 0; at < bytes; at += step)
        rig_write_alone(&rig, p, body + at, bytes - at < step ? bytes - at : step);
    rig_expect(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept");
    free(body);
}

static void held_release(unsigned i)
{
    pattern_check(held.pieces[i].ptr, held.at[i], held.pieces[i].len);
    weir_slice_release(rig.engine, held.pieces[i]);
}

static void test_hold(void **state)
{
    (void)state;
    rig.engine_cfg.recv_holds_max = 8;
    serve_holding();
    struct rig_peer *p = rig_dial(&rig);
    upload(p, 64 * 1000, 1000);
    assert_int_equal(held.count, 8);
    assert_int_equal(held.refused, 64 - 8);
    assert_int_equal(held.got, 64 * 1000);
    struct weir_engine_stats stats = rig_engine_stats(&rig);
    assert_int_equal(stats.recv_holds_now, 8);
    assert_int_equal(stats.recv_hold_refused, 64 - 8);
    /* Its exchange and connection are gone; others have received in the meantime. */
    rig_hang_up(p);
    RIG_UNTIL(&rig, rig_server_stats(&rig).conns_now == 0);
    held.got = 0;
    p = rig_dial(&rig);
    upload(p, 300 * KIB, 3000);
    assert_int_equal(held.count, 8);
    /* Not in a buffer at all, and in one that nobody holds and that is nobody's at the moment. */
    assert_int_equal(weir_slice_hold(rig.engine, WEIR_TEXT("foreign")), -EINVAL);
    struct weir_slice first = held.pieces[0];
    for (unsigned i = 0; i < 8; i++)
        held_release(i);
    assert_int_equal(weir_slice_hold(rig.engine, first), -EINVAL);
    assert_int_equal(rig_engine_stats(&rig).recv_holds_now, 0);
    held.count = 0;
    held.got = 0;
    upload(p, 64 * 1000, 1000);
    assert_int_equal(held.count, 8);
    for (unsigned i = 8; i-- > 0;)
        held_release(i);
}

/* Half of the buffers stay with the kernel, whatever the configuration says: reading goes on. */
static void test_hold_all(void **state)
{
    (void)state;
    rig.engine_cfg.recv_bufs_max = 8;
    rig.engine_cfg.recv_holds_max = 4096;
    serve_holding();
    struct rig_peer *p = rig_dial(&rig);
    upload(p, 512 * KIB, 64 * KIB);
    assert_int_equal(held.count, 4);
    assert_int_equal(held.got, 512 * KIB);
    assert_int_equal(rig_engine_stats(&rig).recv_holds_now, 4);
    for (unsigned i = 0; i < 4; i++)
        held_release(i);
    /* All of them are with the kernel again: as many can be held once more. */
    held.count = 0;
    held.got = 0;
    upload(p, 512 * KIB, 64 * KIB);
    assert_int_equal(held.count, 4);
    for (unsigned i = 0; i < 4; i++)
        held_release(i);
}

/* Input that waited is handed out from memory that cannot be held. */
static void test_hold_stashed(void **state)
{
    (void)state;
    serve_holding();
    struct rig_peer *p = rig_dial(&rig);
    rig_write_alone(&rig, p, "POST / HTTP/1.1\r\nHost", 21);
    uint8_t body[10];
    pattern_fill(body, 0, sizeof body);
    char text[64];
    int n = snprintf(text, sizeof text, ": h\r\nContent-Length: 10\r\n\r\n");
    memcpy(text + n, body, sizeof body);
    assert_true(rig_write(&rig, p, text, (size_t)n + sizeof body));
    rig_expect(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept");
    assert_int_equal(held.count, 0);
    assert_int_equal(held.foreign, 1);
    assert_int_equal(rig_engine_stats(&rig).recv_holds_now, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_hold),
        BOTH(test_hold_all),
        BOTH(test_hold_stashed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
