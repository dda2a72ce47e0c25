/* SPDX-License-Identifier: MIT */
/*
 * What the tests of HTTP sessions share: an engine with a server whose handler is scripted, a
 * client whose calls are counted, and raw peers on plain sockets for the other side of either.
 *
 * All of it runs on one thread. Waiting is a pass of the engine of a millisecond at most, followed
 * by a look at what the peers received; nothing sleeps. Closing the rig checks what must hold after
 * every test: each request and each call ended exactly once, the books of the statistics balance,
 * and all memory and descriptors were given back.
 */
#ifndef WEIR_TESTS_UNIT_PROTO_HTTP_RIG_H
#define WEIR_TESTS_UNIT_PROTO_HTTP_RIG_H

#include "core/engine.h"
#include "io/addr.h"
#include "io/sock.h"
#include "sock.h"

#include <weir/client.h>
#include <weir/http1.h>
#include <weir/server.h>
#include <weir/timer.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define RIG_MS        1000000ull
#define RIG_WAIT      (4000 * RIG_MS)
#define RIG_X_MAX     2100u
#define RIG_PEERS_MAX 64u

/* ---- Bytes ------------------------------------------------------------------------------- */

/* Grows as needed; always ends in a NUL that does not count. */
struct rig_buf {
    char *ptr;
    size_t len, capacity;
};

static inline void rig_buf_add(struct rig_buf *b, const void *bytes, size_t len)
{
    if (b->len + len + 1 > b->capacity) {
        b->capacity = (b->len + len + 1) * 2;
        b->ptr = realloc(b->ptr, b->capacity);
        assert_non_null(b->ptr);
    }
    if (len > 0)
        memcpy(b->ptr + b->len, bytes, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

static inline void rig_buf_text(struct rig_buf *b, const char *text)
{
    rig_buf_add(b, text, strlen(text));
}

/* Drop the first `len` bytes. */
static inline void rig_buf_drop(struct rig_buf *b, size_t len)
{
    assert_true(len <= b->len);
    if (b->ptr == NULL)
        return;
    memmove(b->ptr, b->ptr + len, b->len - len + 1);
    b->len -= len;
}

static inline void rig_buf_free(struct rig_buf *b)
{
    free(b->ptr);
    *b = (struct rig_buf){ 0 };
}

static inline const char *rig_buf_str(const struct rig_buf *b)
{
    return b->ptr == NULL ? "" : b->ptr;
}

static inline struct weir_slice rig_slice(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

/* `len` bytes that differ at every offset that a mistake could confuse: the period is prime. */
static inline uint8_t *rig_pattern(size_t len)
{
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i % 16381 * 2654435761u >> 13);
    return bytes;
}

/* ---- The rig ----------------------------------------------------------------------------- */

/* The other side of a connection, by plain system calls. */
struct rig_peer {
    int fd;
    struct rig_buf in; /* received, not yet taken by the test */
    uint64_t received;
    bool eof;
    bool stalled; /* does not read */
    int err;      /* -errno that ended it */
};

/* What the handler saw of one request. */
struct rig_x {
    struct rig *rig;
    struct weir_exchange *x; /* NULL once it has ended */
    unsigned index;
    unsigned pieces, lasts, writables, ended;
    int err;
    char method[16];
    char target[64];
    struct rig_buf body;
    uint64_t step; /* the script's */
};

typedef void rig_hook(struct rig_x *rx);

struct rig {
    struct weir_engine_config engine_cfg;
    struct weir_server_config server_cfg;
    struct weir_client_config client_cfg;
    struct weir_engine *engine;
    struct weir_server *server;
    struct weir_client *client;
    struct rig_peer peers[RIG_PEERS_MAX];
    unsigned peers_count;
    unsigned fds_before;
    /* the server's script; without on_request and on_last each request is answered by rig_echo() */
    rig_hook *on_request, *on_last, *on_writable, *on_peer_end, *on_end;
    uint64_t (*on_accept)(struct rig *r, uint64_t number); /* NULL: served at once */
    struct rig_x xs[RIG_X_MAX];
    unsigned xs_count, xs_ended;
    unsigned drained;
    /* the client's other side, and its books */
    int listen_fd;
    char endpoint[WEIR_ADDR_TEXT_BYTES + 16];
    unsigned inside; /* weir_client_send() or weir_call_cancel() is running */
    unsigned calls_sent, calls_ended;
};

static inline unsigned rig_fds_count(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Configurations with small limits; a test changes what it is about before it opens something. */
static inline void rig_init(struct rig *r)
{
    *r = (struct rig){ .listen_fd = -1, .fds_before = rig_fds_count() };
    weir_engine_config_init(&r->engine_cfg);
    r->engine_cfg.conns_max = 128;
    r->engine_cfg.recv_bufs_max = 64;
    r->engine_cfg.send_bytes_max = 4u << 20;
    r->engine_cfg.stash_bytes_max = 4u << 20;
    weir_server_config_init(&r->server_cfg);
    r->server_cfg.listen = "127.0.0.1:0";
    r->server_cfg.conns_max = 64;
    r->server_cfg.exchanges_max = 1024;
    r->server_cfg.date = false;
    weir_client_config_init(&r->client_cfg);
    r->client_cfg.conns_min = 0;
    r->client_cfg.conns_max = 4;
}

static inline void rig_open_engine(struct rig *r)
{
    if (r->engine != NULL)
        return;
    int rc = weir_engine_open(&r->engine, &r->engine_cfg);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
}

static inline struct weir_engine_stats rig_engine_stats(const struct rig *r)
{
    struct weir_engine_stats stats = { .size = sizeof stats };
    weir_engine_stats(r->engine, &stats);
    return stats;
}

static inline struct weir_server_stats rig_server_stats(const struct rig *r)
{
    struct weir_server_stats stats = { .size = sizeof stats };
    weir_server_stats(r->server, &stats);
    return stats;
}

static inline struct weir_client_stats rig_client_stats(const struct rig *r)
{
    struct weir_client_stats stats = { .size = sizeof stats };
    weir_client_stats(r->client, &stats);
    return stats;
}

/* ---- Peers ------------------------------------------------------------------------------- */

static inline void rig_pump(struct rig_peer *p)
{
    char bytes[16384];
    ssize_t n = 0;
    if (p->fd < 0 || p->stalled || p->eof || p->err != 0)
        return;
    while ((n = recv(p->fd, bytes, sizeof bytes, 0)) > 0) {
        rig_buf_add(&p->in, bytes, (size_t)n);
        p->received += (uint64_t)n;
    }
    if (n == 0)
        p->eof = true;
    else if (errno != EAGAIN && errno != EINTR)
        p->err = -errno;
}

/* One pass of the engine, then the peers read. */
static inline void rig_pass(struct rig *r)
{
    assert_int_equal(weir_engine_run_once(r->engine, RIG_MS), 0);
    for (unsigned i = 0; i < r->peers_count; i++)
        rig_pump(&r->peers[i]);
}

/* Passes until `cond`, which is looked at once before each. */
#define RIG_UNTIL(r, cond)                                                                         \
    do {                                                                                           \
        uint64_t rig_end = weir_clock_ns() + RIG_WAIT;                                             \
        while (!(cond)) {                                                                          \
            if (weir_clock_ns() > rig_end)                                                         \
                fail_msg("waited too long for %s", #cond);                                         \
            rig_pass(r);                                                                           \
        }                                                                                          \
    } while (0)

/* A few passes in which nothing has to happen. */
static inline void rig_settle(struct rig *r)
{
    for (unsigned i = 0; i < 4; i++)
        rig_pass(r);
}

/* Passes for as long, for what must not happen in that time. */
static inline void rig_run_for(struct rig *r, uint64_t ns)
{
    uint64_t end = weir_clock_ns() + ns;
    while (weir_clock_ns() < end)
        rig_pass(r);
}

static inline struct rig_peer *rig_peer_add(struct rig *r, int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
    unsigned at = 0;
    while (at < r->peers_count && r->peers[at].fd >= 0)
        at++;
    assert_true(at < RIG_PEERS_MAX);
    if (at == r->peers_count)
        r->peers_count++;
    rig_buf_free(&r->peers[at].in);
    r->peers[at] = (struct rig_peer){ .fd = fd };
    return &r->peers[at];
}

/* A peer connected to the server; recv_bytes > 0 makes its receive buffer small. */
static inline struct rig_peer *rig_dial_small(struct rig *r, int recv_bytes)
{
    struct weir_addr addr;
    assert_int_equal(weir_addr_parse_listen(&addr, weir_server_address(r->server)), 0);
    int fd = sock_stream(&addr); /* what is written goes out at once */
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    if (recv_bytes > 0)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &recv_bytes, sizeof recv_bytes), 0);
    assert_int_equal(connect(fd, (const void *)&addr.storage, addr.bytes), 0);
    return rig_peer_add(r, fd);
}

static inline struct rig_peer *rig_dial(struct rig *r)
{
    return rig_dial_small(r, 0);
}

/* Write all of it, with passes in between when the socket is full. @return false: it broke */
static inline bool rig_write(struct rig *r, struct rig_peer *p, const void *bytes, size_t len)
{
    uint64_t end = weir_clock_ns() + RIG_WAIT;
    size_t done = 0;
    while (done < len) {
        ssize_t n = send(p->fd, (const char *)bytes + done, len - done, MSG_NOSIGNAL);
        if (n >= 0) {
            done += (size_t)n;
            continue;
        }
        if (errno != EAGAIN)
            return false;
        assert_true(weir_clock_ns() < end);
        rig_pass(r);
    }
    return true;
}

static inline void rig_text(struct rig *r, struct rig_peer *p, const char *text)
{
    assert_true(rig_write(r, p, text, strlen(text)));
}

/* Write it, and run until the engine has received it: what is written next comes alone. */
static inline void rig_write_alone(struct rig *r, struct rig_peer *p, const void *bytes, size_t len)
{
    uint64_t before = rig_engine_stats(r).recv_bytes;
    assert_true(rig_write(r, p, bytes, len));
    RIG_UNTIL(r, rig_engine_stats(r).recv_bytes >= before + len);
}

/* Wait for as much and compare; the bytes are taken. */
static inline void rig_expect(struct rig *r, struct rig_peer *p, const char *text)
{
    size_t len = strlen(text);
    RIG_UNTIL(r, p->in.len >= len || p->eof || p->err != 0);
    if (p->in.len < len || memcmp(p->in.ptr, text, len) != 0)
        assert_string_equal(rig_buf_str(&p->in), text);
    rig_buf_drop(&p->in, len);
}

/* Nothing more came, and the connection ended in order. */
static inline void rig_expect_eof(struct rig *r, struct rig_peer *p)
{
    RIG_UNTIL(r, p->eof || p->err != 0);
    assert_string_equal(rig_buf_str(&p->in), "");
    assert_int_equal(p->err, 0);
    assert_true(p->eof);
}

static inline void rig_expect_nothing(struct rig *r, struct rig_peer *p)
{
    rig_settle(r);
    assert_string_equal(rig_buf_str(&p->in), "");
    assert_false(p->eof);
    assert_int_equal(p->err, 0);
}

static inline void rig_hang_up(struct rig_peer *p)
{
    close(p->fd);
    p->fd = -1;
}

static inline void rig_reset(struct rig_peer *p)
{
    sock_set_reset(p->fd);
    rig_hang_up(p);
}

static inline void rig_half_close(struct rig_peer *p)
{
    assert_int_equal(shutdown(p->fd, SHUT_WR), 0);
}

/* ---- The server -------------------------------------------------------------------------- */

static inline void rig_respond(struct rig_x *rx, uint16_t status, const char *body)
{
    struct weir_response response = { .status = status, .body = rig_slice(body) };
    assert_int_equal(weir_exchange_respond(rx->x, &response), 0);
}

/* The answer of rig_echo() as it is on the wire of a connection that lives on. */
static inline void rig_echo_text(struct rig_buf *out, const char *method, const char *target,
                                 const char *body)
{
    char text[128];
    size_t len = strlen(method) + strlen(target) + strlen(body) + 2;
    (void)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s %s ", len,
                   method, target);
    rig_buf_text(out, text);
    rig_buf_text(out, body);
}

/* Tell the peer what was understood of its request. */
static inline void rig_echo(struct rig_x *rx)
{
    struct rig_buf text = { 0 };
    rig_buf_text(&text, rx->method);
    rig_buf_text(&text, " ");
    rig_buf_text(&text, rx->target);
    rig_buf_text(&text, " ");
    rig_buf_add(&text, rx->body.ptr, rx->body.len);
    struct weir_response response = { .status = 200,
                                      .body = { (const uint8_t *)text.ptr, text.len } };
    assert_int_equal(weir_exchange_respond(rx->x, &response), 0);
    rig_buf_free(&text);
}

static inline void rig_copy_text(char *out, size_t capacity, struct weir_slice s)
{
    size_t n = s.len < capacity - 1 ? s.len : capacity - 1;
    memcpy(out, s.ptr, n);
    out[n] = '\0';
}

static inline void rig_on_request(struct weir_exchange *x, void *ctx)
{
    struct rig *r = ctx;
    assert_true(r->xs_count < RIG_X_MAX);
    struct rig_x *rx = &r->xs[r->xs_count];
    *rx = (struct rig_x){ .rig = r, .x = x, .index = r->xs_count++ };
    rig_copy_text(rx->method, sizeof rx->method, weir_exchange_method(x));
    rig_copy_text(rx->target, sizeof rx->target, weir_exchange_target(x));
    assert_null(weir_exchange_user(x));
    weir_exchange_set_user(x, rx);
    if (r->on_request != NULL)
        r->on_request(rx);
}

static inline void rig_on_body(struct weir_exchange *x, struct weir_slice piece, bool last,
                               void *ctx)
{
    struct rig *r = ctx;
    struct rig_x *rx = weir_exchange_user(x);
    assert_ptr_equal(rx->x, x);
    assert_int_equal(rx->lasts, 0);
    assert_true(piece.len > 0 || last);
    rx->pieces++;
    rx->lasts += last;
    rig_buf_add(&rx->body, piece.ptr, piece.len);
    if (!last)
        return;
    if (r->on_last != NULL)
        r->on_last(rx);
    else if (r->on_request == NULL)
        rig_echo(rx);
}

static inline void rig_on_writable(struct weir_exchange *x, void *ctx)
{
    struct rig *r = ctx;
    struct rig_x *rx = weir_exchange_user(x);
    assert_ptr_equal(rx->x, x);
    rx->writables++;
    if (r->on_writable != NULL)
        r->on_writable(rx);
}

static inline void rig_on_peer_end(struct weir_exchange *x, void *ctx)
{
    struct rig *r = ctx;
    struct rig_x *rx = weir_exchange_user(x);
    assert_ptr_equal(rx->x, x);
    if (r->on_peer_end != NULL)
        r->on_peer_end(rx);
}

static inline void rig_on_end(struct weir_exchange *x, int err, void *ctx)
{
    struct rig *r = ctx;
    struct rig_x *rx = weir_exchange_user(x);
    assert_ptr_equal(rx->x, x);
    assert_int_equal(rx->ended, 0);
    rx->ended++;
    rx->err = err;
    rx->x = NULL;
    r->xs_ended++;
    if (r->on_end != NULL)
        r->on_end(rx);
}

static inline uint64_t rig_on_accept(struct weir_server *server, uint64_t number, void *ctx)
{
    struct rig *r = ctx;
    (void)server;
    return r->on_accept != NULL ? r->on_accept(r, number) : 0;
}

static const struct weir_server_handler rig_handler = {
    .on_request = rig_on_request,
    .on_body = rig_on_body,
    .on_writable = rig_on_writable,
    .on_peer_end = rig_on_peer_end,
    .on_end = rig_on_end,
    .on_accept = rig_on_accept,
};

static inline void rig_serve(struct rig *r)
{
    rig_open_engine(r);
    int rc = weir_server_open(&r->server, r->engine, &r->server_cfg, &rig_handler, r);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
}

static inline void rig_on_drained(struct weir_server *server, void *ctx)
{
    struct rig *r = ctx;
    assert_ptr_equal(server, r->server);
    r->drained++;
}

/* The hook of a handler that answers later, or never. */
static inline void rig_wait(struct rig_x *rx)
{
    (void)rx;
}

/* ---- The client -------------------------------------------------------------------------- */

struct rig_call {
    struct weir_call call;
    struct rig *rig;
    unsigned heads, events, ended, sent;
    unsigned order; /* how many calls ended before it */
    bool paused;
    int err;
    uint16_t status;
    struct rig_buf body;
    void (*on_head)(struct rig_call *rc, const struct weir_response_head *head);
    void (*on_body)(struct rig_call *rc);
    void (*on_event)(struct rig_call *rc, const struct weir_sse_event *event);
    void (*on_end)(struct rig_call *rc);
};

static inline void rig_call_on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct rig_call *rc = call->ctx;
    assert_int_equal(rc->rig->inside, 0);
    assert_int_equal(rc->heads, 0);
    assert_false(rc->paused);
    rc->heads++;
    rc->status = weir_response_status(head);
    assert_int_equal(rc->status, call->status);
    if (rc->on_head != NULL)
        rc->on_head(rc, head);
}

static inline void rig_call_on_body(struct weir_call *call, struct weir_slice piece)
{
    struct rig_call *rc = call->ctx;
    assert_int_equal(rc->rig->inside, 0);
    assert_int_equal(rc->heads, 1);
    assert_false(rc->paused);
    assert_true(piece.len > 0);
    rig_buf_add(&rc->body, piece.ptr, piece.len);
    if (rc->on_body != NULL)
        rc->on_body(rc);
}

static inline void rig_call_on_event(struct weir_call *call, const struct weir_sse_event *event)
{
    struct rig_call *rc = call->ctx;
    assert_int_equal(rc->rig->inside, 0);
    assert_int_equal(rc->heads, 1);
    assert_false(rc->paused);
    rc->events++;
    if (rc->on_event != NULL)
        rc->on_event(rc, event);
}

static inline void rig_call_on_end(struct weir_call *call, int err)
{
    struct rig_call *rc = call->ctx;
    assert_int_equal(rc->rig->inside, 0);
    assert_true(err != 0 || !rc->paused);
    rc->ended++;
    assert_int_equal(rc->ended, rc->sent);
    rc->err = err;
    rc->order = rc->rig->calls_ended++;
    assert_true(call->timing.start_ns <= call->timing.end_ns);
    if (rc->on_end != NULL)
        rc->on_end(rc);
}

static const struct weir_call_handler rig_call_handler = {
    .on_head = rig_call_on_head,
    .on_body = rig_call_on_body,
    .on_event = rig_call_on_event,
    .on_end = rig_call_on_end,
};

static inline void rig_call_init(struct rig_call *rc, struct rig *r, const char *method,
                                 const char *target)
{
    *rc = (struct rig_call){
        .rig = r,
        .call = { .request = { .method = rig_slice(method), .target = rig_slice(target) },
                  .handler = &rig_call_handler,
                  .ctx = rc },
    };
}

static inline int rig_try_send(struct rig_call *rc)
{
    struct rig *r = rc->rig;
    r->inside++;
    int err = weir_client_send(r->client, &rc->call);
    r->inside--;
    if (err == 0) {
        rc->sent++;
        r->calls_sent++;
        rc->heads = rc->events = 0;
        rc->paused = false;
        rig_buf_free(&rc->body);
    }
    return err;
}

static inline void rig_send(struct rig_call *rc)
{
    assert_int_equal(rig_try_send(rc), 0);
}

static inline void rig_get(struct rig_call *rc, struct rig *r, const char *target)
{
    rig_call_init(rc, r, "GET", target);
    rig_send(rc);
}

static inline void rig_cancel(struct rig_call *rc)
{
    rc->rig->inside++;
    weir_call_cancel(&rc->call);
    rc->rig->inside--;
}

static inline void rig_finish(struct rig_call *rc)
{
    RIG_UNTIL(rc->rig, rc->ended == rc->sent);
}

/* The call ended well, with this answer. */
static inline void rig_expect_answer(struct rig_call *rc, uint16_t status, const char *body)
{
    rig_finish(rc);
    assert_int_equal(rc->err, 0);
    assert_int_equal(rc->status, status);
    assert_string_equal(rig_buf_str(&rc->body), body);
    assert_int_equal(rc->call.timing.body_bytes, strlen(body));
    rig_buf_free(&rc->body);
}

/* The call ended badly. */
static inline void rig_expect_err(struct rig_call *rc, int err)
{
    rig_finish(rc);
    if (rc->err != err)
        print_error("got %s, expected %s\n", weir_err_name(rc->err), weir_err_name(err));
    assert_int_equal(rc->err, err);
    rig_buf_free(&rc->body);
}

/* A socket that listens for the client; its peers come from rig_accept(). */
static inline void rig_listen(struct rig *r, int backlog)
{
    struct weir_addr addr;
    char text[WEIR_ADDR_TEXT_BYTES];
    assert_int_equal(weir_addr_parse_listen(&addr, "127.0.0.1:0"), 0);
    r->listen_fd = sock_listen(&addr, (uint32_t)backlog, 0);
    assert_true(r->listen_fd >= 0);
    assert_int_equal(sock_local(r->listen_fd, &addr), 0);
    weir_addr_format(&addr, text, sizeof text);
    (void)snprintf(r->endpoint, sizeof r->endpoint, "http://%s", text);
    r->client_cfg.endpoint = r->endpoint;
}

static inline void rig_open_client(struct rig *r)
{
    rig_open_engine(r);
    if (r->client_cfg.endpoint == NULL) {
        (void)snprintf(r->endpoint, sizeof r->endpoint, "http://%s",
                       weir_server_address(r->server));
        r->client_cfg.endpoint = r->endpoint;
    }
    int rc = weir_client_open(&r->client, r->engine, &r->client_cfg);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
}

static inline int rig_try_accept(const struct rig *r)
{
    return accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static inline struct rig_peer *rig_accept(struct rig *r)
{
    int fd = -1;
    RIG_UNTIL(r, (fd = rig_try_accept(r)) >= 0);
    return rig_peer_add(r, fd);
}

/* Wait for `count` heads of requests without bodies, and take them. */
static inline void rig_expect_requests(struct rig *r, struct rig_peer *p, unsigned count)
{
    while (count-- > 0) {
        char *end = NULL;
        RIG_UNTIL(r, (end = strstr(rig_buf_str(&p->in), "\r\n\r\n")) != NULL || p->eof);
        assert_non_null(end);
        rig_buf_drop(&p->in, (size_t)(end - p->in.ptr) + 4);
    }
}

/* ---- The end ----------------------------------------------------------------------------- */

static inline void rig_close_client(struct rig *r)
{
    assert_int_equal(weir_client_close(r->client), 0);
    r->client = NULL;
    assert_int_equal(r->calls_ended, r->calls_sent);
}

static inline void rig_close_server(struct rig *r)
{
    assert_int_equal(weir_server_close(r->server), 0);
    r->server = NULL;
    assert_int_equal(r->xs_ended, r->xs_count);
}

/* With nothing left in progress the gauges are 0 and the counters add up. */
static inline void rig_check_books(struct rig *r)
{
    if (r->client != NULL) {
        struct weir_client_stats c = rig_client_stats(r);
        assert_int_equal(c.calls, r->calls_sent);
        if (r->calls_ended == r->calls_sent) {
            assert_int_equal(c.completed + c.failed, c.calls);
            assert_int_equal(c.waiting_now + c.in_flight_now, 0);
        }
    }
    if (r->server != NULL) {
        struct weir_server_stats s = rig_server_stats(r);
        assert_int_equal(s.requests, r->xs_count);
        assert_int_equal(s.responses + s.aborted, r->xs_ended);
    }
}

static inline void rig_close(struct rig *r)
{
    rig_check_books(r);
    if (r->client != NULL)
        rig_close_client(r);
    if (r->server != NULL)
        rig_close_server(r);
    for (unsigned i = 0; i < r->peers_count; i++) {
        if (r->peers[i].fd >= 0)
            rig_hang_up(&r->peers[i]);
        rig_buf_free(&r->peers[i].in);
    }
    if (r->listen_fd >= 0)
        close(r->listen_fd);
    for (unsigned i = 0; i < r->xs_count; i++)
        rig_buf_free(&r->xs[i].body);
    if (r->engine != NULL) {
        struct weir_engine_stats stats = rig_engine_stats(r);
        assert_int_equal(stats.conns_now, 0);
        assert_int_equal(stats.send_chunks_now, 0);
        assert_int_equal(stats.stash_blocks_now, 0);
        assert_int_equal(stats.unexpected, 0);
        assert_int_equal(r->engine->wheel.set_count, 0);
        assert_int_equal(weir_engine_close(r->engine), 0);
    }
    assert_int_equal(rig_fds_count(), r->fds_before);
}

/* Setup and teardown of every test here. */
static struct rig rig;

static inline int rig_setup(void **state)
{
    (void)state;
    rig_init(&rig);
    return 0;
}

static inline int rig_teardown(void **state)
{
    (void)state;
    if (rig.engine != NULL && rig.engine->depth > 0)
        return -1; /* a callback failed: the test left through the engine, nothing can be closed */
    rig_close(&rig);
    return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

#endif
