/* SPDX-License-Identifier: MIT */
/*
 * What the tests of sockets on a real engine share: an engine that must be empty when it is closed,
 * socket pairs on loopback with ports chosen by the kernel, byte streams that can be checked at any
 * offset, and a session that counts its callbacks.
 *
 * Nothing here sleeps: waiting is a pass of the engine that ends after a millisecond at the latest.
 */
#ifndef WEIR_TESTS_UNIT_IO_RIG_H
#define WEIR_TESTS_UNIT_IO_RIG_H

#include "io/conn.h"
#include "io/sock.h"
#include "sock.h"

#include <weir/random.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define RIG_SEED  20240619u
#define RIG_MS    1000000ull
#define RIG_WAIT  (5000 * RIG_MS)
#define RIG_PIECE 8192u

/* ---- The engine -------------------------------------------------------------------------- */

static inline struct weir_engine_config rig_config(void)
{
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    cfg.conns_max = 64;
    cfg.send_bytes_max = 1u << 20;
    cfg.stash_bytes_max = 1u << 20;
    return cfg;
}

static inline struct weir_engine *rig_open(const struct weir_engine_config *cfg)
{
    struct weir_engine *engine;
    int rc = weir_engine_open(&engine, cfg);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
    return engine;
}

static inline struct weir_engine_stats rig_stats(const struct weir_engine *engine)
{
    struct weir_engine_stats stats = { .size = sizeof stats };
    weir_engine_stats(engine, &stats);
    return stats;
}

/* Everything was given back, nothing strange was seen, and the engine can be closed. */
static inline void rig_close(struct weir_engine *engine)
{
    struct weir_engine_stats stats = rig_stats(engine);
    assert_int_equal(stats.conns_now, 0);
    assert_int_equal(stats.send_chunks_now, 0);
    assert_int_equal(stats.stash_blocks_now, 0);
    assert_int_equal(stats.unexpected, 0);
    assert_int_equal(engine->wheel.set_count, 0);
    assert_int_equal(weir_engine_close(engine), 0);
}

/* Run passes until `cond`; it may have side effects, it is looked at once per pass. */
#define RIG_RUN_UNTIL(engine, cond)                                                                \
    do {                                                                                           \
        uint64_t rig_end = weir_clock_ns() + RIG_WAIT;                                             \
        while (!(cond)) {                                                                          \
            if (weir_clock_ns() > rig_end)                                                         \
                fail_msg("waited too long for %s", #cond);                                         \
            assert_int_equal(weir_engine_run_once((engine), RIG_MS), 0);                           \
        }                                                                                          \
    } while (0)

static inline void rig_run_for(struct weir_engine *engine, uint64_t ns)
{
    uint64_t end = weir_clock_ns() + ns;
    for (uint64_t now = weir_clock_ns(); now < end; now = weir_clock_ns())
        assert_int_equal(weir_engine_run_once(engine, end - now), 0);
}

/* A few passes in which nothing has to happen. */
static inline void rig_settle(struct weir_engine *engine)
{
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(weir_engine_run_once(engine, RIG_MS), 0);
}

/* ---- Streams ----------------------------------------------------------------------------- */

/* Prime, so that a shift by any number of buffers, blocks or chunks shows. */
#define RIG_PERIOD 16381u

/* Where `bytes` (at most RIG_PIECE) of the stream lie from `offset` on. */
static inline const uint8_t *rig_stream(uint64_t offset)
{
    static uint8_t bytes[RIG_PERIOD + RIG_PIECE];
    static bool filled;
    if (!filled) {
        for (uint32_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)weir_random_u64(RIG_SEED, i % RIG_PERIOD, 0);
        filled = true;
    }
    return bytes + offset % RIG_PERIOD;
}

/* Does `data` continue the stream at *offset? Moves *offset on. */
static inline bool rig_stream_take(uint64_t *offset, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        size_t n = bytes < RIG_PIECE ? bytes : RIG_PIECE;
        if (memcmp(data, rig_stream(*offset), n) != 0)
            return false;
        *offset += n;
        data += n;
        bytes -= n;
    }
    return true;
}

/* ---- Descriptors ------------------------------------------------------------------------- */

static inline void rig_nonblock(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static inline void rig_buffer(int fd, int option, int bytes)
{
    assert_int_equal(setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes), 0);
}

/* A listening TCP socket on loopback; its address. */
static inline int rig_tcp_listen(struct weir_addr *addr)
{
    assert_int_equal(weir_addr_parse_listen(addr, "127.0.0.1:0"), 0);
    int fd = sock_listen(addr, 64, 0);
    assert_true(fd >= 0);
    assert_int_equal(sock_local(fd, addr), 0);
    return fd;
}

static inline int rig_tcp_dial(const struct weir_addr *addr)
{
    int fd = socket(addr->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const void *)&addr->storage, addr->bytes), 0);
    rig_nonblock(fd);
    return fd;
}

/* Two ends of one TCP connection, not blocking. The small buffers make sends stop early. */
static inline void rig_tcp_pair(int fds[2], int buffer_bytes)
{
    struct weir_addr addr;
    int listener = rig_tcp_listen(&addr);
    if (buffer_bytes > 0)
        rig_buffer(listener, SO_SNDBUF, buffer_bytes);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fds[1] >= 0);
    if (buffer_bytes > 0)
        rig_buffer(fds[1], SO_RCVBUF, buffer_bytes);
    assert_int_equal(connect(fds[1], (const void *)&addr.storage, addr.bytes), 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fds[0] >= 0);
    rig_nonblock(fds[1]);
    close(listener);
}

static inline void rig_unix_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

static inline void rig_reset(int fd)
{
    sock_set_reset(fd);
    close(fd);
}

static inline unsigned rig_fds_count(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* The other end, by plain system calls. */
struct rig_peer {
    int fd;
    uint64_t written, read;
    bool eof, bad;
    int err;
};

/* Write the stream up to offset `end`, as much as goes. @return is all of it written? */
static inline bool rig_peer_write(struct rig_peer *p, uint64_t end)
{
    while (p->written < end) {
        size_t want = (size_t)weir_min_u64(end - p->written, RIG_PIECE);
        ssize_t n = send(p->fd, rig_stream(p->written), want, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN)
                p->err = -errno;
            return false;
        }
        p->written += (uint64_t)n;
    }
    return true;
}

/* Read what is there and compare it with the stream. */
static inline void rig_peer_read(struct rig_peer *p)
{
    uint8_t bytes[RIG_PIECE];
    ssize_t n = 0;
    while (!p->eof && p->err == 0 && (n = recv(p->fd, bytes, sizeof bytes, 0)) > 0)
        p->bad |= !rig_stream_take(&p->read, bytes, (size_t)n);
    if (p->eof || p->err != 0)
        return;
    if (n == 0)
        p->eof = true;
    else if (errno != EAGAIN)
        p->err = -errno;
}

/* ---- The session ------------------------------------------------------------------------- */

enum rig_event { RIG_OPEN, RIG_RECV, RIG_EOF, RIG_SENT, RIG_TIMEOUT, RIG_CLOSED, RIG_EVENT_COUNT };

struct rig_session {
    struct weir_conn *conn;
    uint32_t seen[RIG_EVENT_COUNT];
    uint64_t received; /* bytes, a stream */
    bool bad;          /* they were not the stream's */
    bool echo;         /* send them back */
    bool close_on_eof;
    int err;         /* given to on_closed */
    uint64_t queued; /* bytes of the stream given to the connection by rig_send() */
    /* Called at the end of each callback, when not NULL. */
    void (*hook)(struct rig_session *s, enum rig_event event);
    uint64_t arg; /* the hook's */
};

static inline void rig_see(struct weir_conn *conn, enum rig_event event)
{
    struct rig_session *s = conn->user;
    assert_int_equal(s->seen[RIG_CLOSED], 0);
    s->seen[event]++;
    if (s->hook != NULL)
        s->hook(s, event);
}

static inline void rig_on_open(struct weir_conn *conn)
{
    rig_see(conn, RIG_OPEN);
}

static inline void rig_on_recv(struct weir_conn *conn, struct weir_slice data)
{
    struct rig_session *s = conn->user;
    assert_true(data.len > 0);
    s->bad |= !rig_stream_take(&s->received, data.ptr, data.len);
    if (s->echo) {
        assert_int_equal(weir_sendq_copy(conn->engine, &conn->out, data), 0);
        weir_conn_queued(conn, data.len);
    }
    rig_see(conn, RIG_RECV);
}

static inline void rig_on_eof(struct weir_conn *conn)
{
    struct rig_session *s = conn->user;
    if (s->close_on_eof)
        weir_conn_finish(conn, 0, NULL);
    rig_see(conn, RIG_EOF);
}

static inline void rig_on_sent(struct weir_conn *conn)
{
    rig_see(conn, RIG_SENT);
}

static inline void rig_on_timeout(struct weir_conn *conn)
{
    assert_true(conn->engine->now_ns > 0 && conn->deadline_ns == 0);
    rig_see(conn, RIG_TIMEOUT);
}

static inline void rig_on_closed(struct weir_conn *conn, int err)
{
    struct rig_session *s = conn->user;
    s->err = err;
    s->conn = NULL;
    assert_int_equal(s->seen[RIG_CLOSED], 0);
    rig_see(conn, RIG_CLOSED);
}

static const struct weir_conn_handler rig_handler = {
    .on_open = rig_on_open,
    .on_recv = rig_on_recv,
    .on_eof = rig_on_eof,
    .on_sent = rig_on_sent,
    .on_timeout = rig_on_timeout,
    .on_closed = rig_on_closed,
};

/* The engine takes `fd`. */
static inline void rig_accept(struct rig_session *s, struct weir_engine *engine, int fd)
{
    s->conn = weir_conn_accept(engine, fd, &rig_handler, s);
    assert_non_null(s->conn);
}

/* Copy the stream up to offset `end` into the output. */
static inline void rig_send(struct rig_session *s, uint64_t end)
{
    while (s->queued < end) {
        size_t n = (size_t)weir_min_u64(end - s->queued, RIG_PIECE);
        struct weir_slice data = { rig_stream(s->queued), n };
        assert_int_equal(weir_sendq_copy(s->conn->engine, &s->conn->out, data), 0);
        weir_conn_queued(s->conn, n);
        s->queued += n;
    }
}

/* A connection and its peer. buffer_bytes < 0: a unix pair. */
static inline void rig_join(struct rig_session *s, struct rig_peer *peer,
                            struct weir_engine *engine, int buffer_bytes)
{
    int fds[2];
    if (buffer_bytes < 0)
        rig_unix_pair(fds);
    else
        rig_tcp_pair(fds, buffer_bytes);
    rig_accept(s, engine, fds[0]);
    *peer = (struct rig_peer){ .fd = fds[1] };
}

static inline void rig_run_until_closed(struct weir_engine *engine, const struct rig_session *s)
{
    RIG_RUN_UNTIL(engine, s->seen[RIG_CLOSED] == 1);
}

/* What both ends received was what was sent, so far. */
static inline void rig_check_streams(const struct rig_session *s, const struct rig_peer *peer)
{
    assert_false(s->bad);
    assert_false(peer->bad);
}

#endif
