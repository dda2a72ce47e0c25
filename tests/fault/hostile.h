/* SPDX-License-Identifier: MIT */
/*
 * A server on plain sockets that does what its script says, right or wrong, and calls of the
 * library's client whose answers cannot be taken for each other's. All on one thread: the server's
 * turn, the engine's turn.
 */
#ifndef WEIR_TESTS_FAULT_HOSTILE_H
#define WEIR_TESTS_FAULT_HOSTILE_H

#include "fault/rig.h"

#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/epoll.h>

#define HOSTILE_CONNS     512
#define HOSTILE_IN_BYTES  8192
#define HOSTILE_OUT_BYTES 8192

/* What follows when all that is to be written was. */
enum hostile_end {
    HOSTILE_KEEP,
    HOSTILE_FIN,   /* the end of our direction; what comes is read on */
    HOSTILE_CLOSE, /* both directions: a reset, too, when something was not read */
    HOSTILE_RESET
};

struct hostile;

struct hostile_conn {
    struct hostile *server;
    int fd; /* -1: free */
    uint64_t serial;
    uint64_t requests; /* taken, on this connection */
    uint64_t in_bytes; /* received, ever */
    uint64_t in_max;   /* received at most */
    char in[HOSTILE_IN_BYTES];
    size_t in_len;
    char out[HOSTILE_OUT_BYTES];
    size_t out_len, out_at;
    uint64_t flow_bytes; /* of the pattern, to be written behind it */
    uint64_t flow_at;
    enum hostile_end then;
    bool shut, eof;
    bool watched;     /* its input is waited for */
    uint64_t due_ns;  /* for the script */
    uint64_t user[2]; /* its own */
};

/* Each of them may be NULL. */
struct hostile_script {
    void (*on_accept)(struct hostile_conn *c);
    void (*on_bytes)(struct hostile_conn *c); /* some came, or the end */
    void (*on_step)(struct hostile_conn *c);  /* its turn, whether something came or not */
};

struct hostile {
    struct hostile_script script;
    int fd, epoll_fd;
    char endpoint[64];
    struct sockaddr_in addr;
    uint64_t accepted, requests;
    uint32_t conns_now, conns_most;
    struct hostile_conn conns[HOSTILE_CONNS];
};

static inline uint64_t hostile_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Of WEIR_SEED, or of the clock; printed. */
static inline uint64_t hostile_seed(void)
{
    const char *text = getenv("WEIR_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : weir_clock_ns() & 0xffffffff;
    print_message("WEIR_SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* ---- Life -------------------------------------------------------------------------------- */

static inline void hostile_watch(struct hostile *h, int fd, void *what, bool on)
{
    struct epoll_event event = { .events = on ? EPOLLIN : 0, .data.ptr = what };
    int op = what == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(h->epoll_fd, op, fd, &event) < 0)
        assert_int_equal(epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
}

/* `port`: 0: any. */
static inline void hostile_listen(struct hostile *h, uint16_t port)
{
    socklen_t bytes = sizeof h->addr;
    int on = 1;
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(h->fd >= 0);
    h->addr = (struct sockaddr_in){ .sin_family = AF_INET,
                                    .sin_addr = { htonl(INADDR_LOOPBACK) },
                                    .sin_port = htons(port) };
    assert_int_equal(setsockopt(h->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(h->fd, (const struct sockaddr *)&h->addr, sizeof h->addr), 0);
    assert_int_equal(listen(h->fd, HOSTILE_CONNS), 0);
    assert_int_equal(getsockname(h->fd, (struct sockaddr *)&h->addr, &bytes), 0);
    hostile_watch(h, h->fd, NULL, true);
    snprintf(h->endpoint, sizeof h->endpoint, "http://127.0.0.1:%u", ntohs(h->addr.sin_port));
}

static inline void hostile_open_at(struct hostile *h, const struct hostile_script *script,
                                   uint16_t port)
{
    memset(h, 0, sizeof *h);
    rig.before = held_now(); /* our own memory does not count */
    h->script = *script;
    for (size_t i = 0; i < HOSTILE_CONNS; i++)
        h->conns[i].fd = -1;
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    assert_true(h->epoll_fd >= 0);
    hostile_listen(h, port);
}

static inline void hostile_open(struct hostile *h, const struct hostile_script *script)
{
    hostile_open_at(h, script, 0);
}

static inline void hostile_drop(struct hostile_conn *c, bool reset)
{
    struct linger linger = { .l_onoff = 1 };
    if (reset)
        assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(c->fd);
    c->fd = -1;
    c->server->conns_now--;
}

/* No more connections: whoever tries is refused. */
static inline void hostile_deaf(struct hostile *h)
{
    close(h->fd);
    h->fd = -1;
}

static inline void hostile_close(struct hostile *h)
{
    for (size_t i = 0; i < HOSTILE_CONNS; i++)
        if (h->conns[i].fd >= 0)
            hostile_drop(&h->conns[i], false);
    if (h->fd >= 0)
        close(h->fd);
    close(h->epoll_fd);
}

/* ---- Out --------------------------------------------------------------------------------- */

static inline void hostile_put(struct hostile_conn *c, const char *text, size_t len)
{
    assert_true(len <= sizeof c->out - c->out_len);
    memcpy(c->out + c->out_len, text, len);
    c->out_len += len;
}

__attribute__((format(printf, 2, 3))) static inline void hostile_say(struct hostile_conn *c,
                                                                     const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_in_range(len, 0, sizeof text - 1);
    hostile_put(c, text, (size_t)len);
}

/* What belongs to the request of this number, and to no other. */
static inline void hostile_answer(struct hostile_conn *c, unsigned id, bool close)
{
    char body[32];
    int len = snprintf(body, sizeof body, "answer %u", id);
    hostile_say(c, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s",
                close ? "Connection: close\r\n" : "", len, body);
    if (close)
        c->then = HOSTILE_FIN;
}

/* As much as the socket takes. @return whether something was written */
static inline bool hostile_write(struct hostile_conn *c)
{
    bool moved = false;
    while (c->fd >= 0 && !c->shut && (c->out_at < c->out_len || c->flow_bytes > 0)) {
        const char *at = c->out + c->out_at;
        size_t len = c->out_len - c->out_at;
        bool flow = len == 0;
        if (flow) {
            at = (const char *)pattern + c->flow_at % PATTERN_BYTES;
            len = PATTERN_BYTES - c->flow_at % PATTERN_BYTES;
            len = len < c->flow_bytes ? len : c->flow_bytes;
        }
        ssize_t n = send(c->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            c->shut = true; /* the client is gone */
        if (n <= 0)
            break;
        moved = true;
        c->out_at += flow ? 0 : (size_t)n;
        c->flow_at += flow ? (uint64_t)n : 0;
        c->flow_bytes -= flow ? (uint64_t)n : 0;
    }
    if (c->out_at == c->out_len)
        c->out_at = c->out_len = 0;
    return moved;
}

static inline void hostile_finish(struct hostile_conn *c)
{
    if (c->then == HOSTILE_KEEP || (!c->shut && (c->out_len > 0 || c->flow_bytes > 0)))
        return;
    if (c->then != HOSTILE_FIN || c->shut) {
        hostile_drop(c, c->then == HOSTILE_RESET);
        return;
    }
    c->then = HOSTILE_KEEP;
    c->shut = true;
    (void)shutdown(c->fd, SHUT_WR); /* -ENOTCONN: the client has reset it */
}

/* ---- In ---------------------------------------------------------------------------------- */

/* Where a body in chunks ends, in which no line is empty; NULL: it has not come whole. */
static inline const char *hostile_chunks_end(const char *body)
{
    if (strncmp(body, "0\r\n\r\n", 5) == 0)
        return body + 5;
    const char *last = strstr(body, "\r\n0\r\n\r\n");
    return last == NULL ? NULL : last + 7;
}

/* Take a whole request with its number: "/N", with its body. */
static inline bool hostile_request(struct hostile_conn *c, unsigned *id)
{
    c->in[c->in_len] = '\0';
    const char *end = strstr(c->in, "\r\n\r\n");
    if (end == NULL)
        return false;
    const char *slash = strchr(c->in, '/');
    const char *length = strstr(c->in, "Content-Length: ");
    size_t bytes = (size_t)(end + 4 - c->in);
    const char *chunked = strstr(c->in, "Transfer-Encoding: chunked");
    if (chunked != NULL && chunked < end) {
        end = hostile_chunks_end(end + 4);
        if (end == NULL)
            return false;
        bytes = (size_t)(end - c->in);
    } else if (length != NULL && length < end) {
        bytes += strtoul(length + strlen("Content-Length: "), NULL, 10);
    }
    if (c->in_len < bytes)
        return false;
    assert_true(slash != NULL && slash < end);
    *id = (unsigned)strtoul(slash + 1, NULL, 10);
    memmove(c->in, c->in + bytes, c->in_len - bytes);
    c->in_len -= bytes;
    c->requests++;
    c->server->requests++;
    return true;
}

static inline void hostile_read(struct hostile_conn *c)
{
    size_t room = sizeof c->in - 1 - c->in_len;
    if (c->in_max - c->in_bytes < room)
        room = c->in_max - c->in_bytes;
    if (room == 0)
        return;
    ssize_t n = recv(c->fd, c->in + c->in_len, room, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0) {
        c->in_len += (size_t)n;
        c->in_bytes += (size_t)n;
    } else {
        c->eof = true;
    }
    if (c->server->script.on_bytes != NULL)
        c->server->script.on_bytes(c);
}

static inline void hostile_accept(struct hostile *h)
{
    size_t at = 0;
    for (;;) {
        int fd = accept4(h->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        while (at < HOSTILE_CONNS && h->conns[at].fd >= 0)
            at++;
        assert_true(at < HOSTILE_CONNS);
        struct hostile_conn *c = &h->conns[at];
        int on = 1;
        *c = (struct hostile_conn){
            .server = h, .fd = fd, .serial = h->accepted++, .in_max = UINT64_MAX
        };
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        h->conns_now++;
        if (h->conns_now > h->conns_most)
            h->conns_most = h->conns_now;
        hostile_watch(h, fd, c, true);
        c->watched = true;
        if (h->script.on_accept != NULL)
            h->script.on_accept(c);
    }
}

static inline bool hostile_conn_step(struct hostile_conn *c)
{
    if (c->server->script.on_step != NULL)
        c->server->script.on_step(c);
    if (c->fd < 0)
        return true;
    bool moved = hostile_write(c);
    hostile_finish(c);
    if (c->fd >= 0 && c->eof && c->then == HOSTILE_KEEP && c->out_len == 0) {
        hostile_drop(c, false);
        return true;
    }
    bool more = c->fd >= 0 && c->in_bytes < c->in_max && c->in_len < sizeof c->in - 1;
    if (c->fd >= 0 && more != c->watched)
        hostile_watch(c->server, c->fd, c, c->watched = more);
    return moved;
}

/* @return did anything happen? */
static inline bool hostile_step(struct hostile *h)
{
    struct epoll_event events[64];
    bool moved = false;
    int count = epoll_wait(h->epoll_fd, events, 64, 0);
    for (int i = 0; i < count; i++) {
        struct hostile_conn *c = events[i].data.ptr;
        moved = true;
        if (c == NULL)
            hostile_accept(h);
        else if (c->fd >= 0)
            hostile_read(c);
    }
    for (size_t i = 0, left = h->conns_now; i < HOSTILE_CONNS && left > 0; i++) {
        if (h->conns[i].fd < 0)
            continue;
        left--;
        moved |= hostile_conn_step(&h->conns[i]);
    }
    return moved;
}

/* One turn of the server and of the engine, which rests for a moment when nothing happens. */
static inline void hostile_turn(struct hostile *h)
{
    bool moved = hostile_step(h);
    assert_int_equal(weir_engine_run_once(rig.engine, moved ? 0 : MS / 10), 0);
}

#define HOSTILE_UNTIL(h, condition)                                                                \
    do {                                                                                           \
        uint64_t until_ns_ = weir_clock_ns() + WAIT_NS;                                            \
        while (!(condition)) {                                                                     \
            if (weir_clock_ns() > until_ns_)                                                       \
                fail_msg("%s:%d: waited in vain: %s", __FILE__, __LINE__, #condition);             \
            hostile_turn(h);                                                                       \
        }                                                                                          \
    } while (0)

/* ---- Calls ------------------------------------------------------------------------------- */

/* One call and what came of it. */
struct ask {
    struct weir_call call;
    unsigned id;
    char target[16];
    char got[64];
    uint64_t got_bytes;
    unsigned heads, ends;
    int err;
    void (*ended)(struct ask *a);
};

static inline void ask_on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct ask *a = call->ctx;
    (void)head;
    a->heads++;
    assert_int_equal(a->ends, 0);
}

static inline void ask_on_body(struct weir_call *call, struct weir_slice piece)
{
    struct ask *a = call->ctx;
    assert_int_equal(a->ends, 0);
    assert_int_equal(a->heads, 1);
    for (size_t i = 0; i < piece.len && a->got_bytes + i < sizeof a->got - 1; i++)
        a->got[a->got_bytes + i] = (char)piece.ptr[i];
    a->got_bytes += piece.len;
}

static inline void ask_on_end(struct weir_call *call, int err)
{
    struct ask *a = call->ctx;
    assert_int_equal(a->ends, 0);
    a->ends++;
    a->err = err;
    if (a->ended != NULL)
        a->ended(a);
}

static inline void ask_init(struct ask *a, unsigned id)
{
    static const struct weir_call_handler handler = { .on_head = ask_on_head,
                                                      .on_body = ask_on_body,
                                                      .on_end = ask_on_end };
    *a = (struct ask){ .id = id };
    int len = snprintf(a->target, sizeof a->target, "/%u", id);
    a->call.request.method = WEIR_TEXT("GET");
    a->call.request.target = (struct weir_slice){ (const uint8_t *)a->target, (size_t)len };
    a->call.handler = &handler;
    a->call.ctx = a;
}

/* Did it get exactly what belongs to it? */
static inline bool ask_answered(const struct ask *a)
{
    char want[32];
    int len = snprintf(want, sizeof want, "answer %u", a->id);
    return a->call.status == 200 && a->heads == 1 && a->got_bytes == (uint64_t)len &&
           memcmp(a->got, want, (size_t)len) == 0;
}

static inline void ask_right(const struct ask *a)
{
    assert_int_equal(a->ends, 1);
    if (a->err != 0)
        fail_msg("call %u: %s, %s", a->id, weir_err_name(a->err),
                 weir_err_name(a->call.timing.os_err));
    if (!ask_answered(a))
        fail_msg("call %u got \"%s\"", a->id, a->got);
}

static inline void ask_send(struct weir_client *client, struct ask *a)
{
    int rc = weir_client_send(client, &a->call);
    if (rc < 0)
        fail_msg("%s: %s", weir_err_name(rc), weir_error_text());
}

/* The configuration of a client of that server, without anything that happens by itself. */
static inline void hostile_client_config(struct weir_client_config *cfg, const struct hostile *h)
{
    weir_client_config_init(cfg);
    cfg->endpoint = h->endpoint;
    cfg->conns_min = 0;
}

static inline struct weir_client *hostile_client(const struct weir_client_config *cfg)
{
    struct weir_client *client;
    if (weir_client_open(&client, rig.engine, cfg) < 0)
        fail_msg("%s", weir_error_text());
    return client;
}

static inline struct weir_client_stats client_stats(const struct weir_client *client)
{
    struct weir_client_stats stats = { .size = sizeof stats };
    weir_client_stats(client, &stats);
    return stats;
}

/* All its books are balanced, and nothing is in progress. */
static inline void client_quiet(const struct weir_client *client)
{
    struct weir_client_stats s = client_stats(client);
    assert_int_equal(s.waiting_now, 0);
    assert_int_equal(s.in_flight_now, 0);
    assert_int_equal(s.completed + s.failed, s.calls);
    assert_true(s.sent <= s.calls + s.replays + s.retries);
    assert_int_equal(engine_stats().unexpected, 0);
}

/* Close the client and the engine: nothing is left. */
static inline void hostile_end(struct hostile *h, struct weir_client *client, uint64_t slack_bytes)
{
    client_quiet(client);
    assert_int_equal(weir_client_close(client), 0);
    assert_int_equal(engine_stats().send_chunks_now, 0);
    assert_int_equal(engine_stats().stash_blocks_now, 0);
    assert_int_equal(weir_engine_close(rig.engine), 0);
    hostile_close(h);
    held_as_before(&rig.before, slack_bytes);
}

#endif
