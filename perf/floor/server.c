/* SPDX-License-Identifier: MIT */
/*
 * floor-server: how fast this machine can answer HTTP requests at all.
 *
 * One thread, one ring. Every blank line that arrives is a request, every request gets the same
 * bytes, and all answers a connection is owed in one pass are one SEND: the answer is kept in
 * memory many times, back to back. No head is parsed. A request body may follow as long as it holds
 * no blank line of its own.
 *
 * With --close every connection gets one answer and is closed, as a real server does that is asked
 * with `Connection: close`: then a receive takes one buffer, so that nothing is left to cancel.
 *
 * A connection is its descriptor. It is closed only when neither a receive nor a send of it is in
 * flight, so a completion can never meet a descriptor's second life.
 */
#include "floor.h"

#include <getopt.h>
#include <signal.h>

enum { SQ_ENTRIES = 256, CQ_ENTRIES = 4096 };
/* Buffers are used in turn, so what is published is what the cache must hold. */
enum { RECV_BUFS = 256, RECV_BUF_BYTES = 4096 };
enum { ANSWERS_BYTES_AIM = 256 * 1024, ANSWERS_MAX = 1024 };

enum kind { KIND_ACCEPT = 1, KIND_RECV, KIND_SEND, KIND_CLOSE };

struct conn {
    uint32_t owed;   /* requests that have no answer under way */
    uint8_t matched; /* bytes of the blank line seen at the end of the last buffer, 0 ... 3 */
    bool listed;     /* in server.ready */
    bool sending;
    bool receiving;
    bool closing; /* the peer will send no more, or cannot be answered */
};

static struct server {
    struct floor_ring ring;
    struct floor_bufs bufs;
    struct conn *conns; /* by descriptor */
    unsigned conns_max;
    int *ready; /* connections with something to do at the end of the pass */
    unsigned ready_count;
    int listener;
    bool accepting;
    bool spin;
    bool close;
    uint8_t *answers; /* the same answer, answers_count times */
    size_t answer_bytes;
    unsigned answers_count;
} server;

static uint64_t tag(enum kind kind, int fd)
{
    return (uint64_t)kind << 32 | (uint32_t)fd;
}

/* Blank lines in these bytes, a blank line cut in two by the buffer's edge included. */
static unsigned count_requests(struct conn *conn, const uint8_t *p, size_t len)
{
    static const uint8_t blank[4] = { '\r', '\n', '\r', '\n' };
    unsigned found = 0;
    unsigned matched = conn->matched;
    size_t i = 0;

    while (i < len && matched != 0) { /* the rare case: go on where the last buffer ended */
        matched = p[i] == blank[matched] ? matched + 1 : p[i] == '\r' ? 1 : 0;
        i++;
        if (matched == 4) {
            found++;
            matched = 0;
        }
    }
    /* Four bytes in a row cannot hide between every fourth byte, and few bytes are as low as CR. */
    size_t j = i + 3;
    while (j < len) {
        if (floor_likely(p[j] > '\r')) {
            j += 4;
            continue;
        }
        size_t first = j - 3;
        size_t k = first;
        while (k <= j && k + 4 <= len && memcmp(p + k, blank, 4) != 0)
            k++;
        if (k <= j && k + 4 <= len) {
            found++;
            i = k + 4;
            j = i + 3;
        } else {
            j += 4;
        }
    }
    /* What the next buffer needs to know: the longest end of this one that begins a blank line. */
    size_t k = len - i > 3 ? len - 3 : i;
    for (; k < len; k++)
        matched = p[k] == blank[matched] ? matched + 1 : p[k] == '\r' ? 1 : 0;
    conn->matched = (uint8_t)matched;
    return found;
}

static void conn_list(struct conn *conn, int fd)
{
    if (conn->listed)
        return;
    conn->listed = true;
    server.ready[server.ready_count++] = fd;
}

static void on_accept(const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        server.accepting = false;
    if (cqe->res < 0) {
        if (cqe->res != -ECONNABORTED && cqe->res != -EINTR)
            floor_die("accept: %s", strerror(-cqe->res));
        return;
    }
    int fd = cqe->res;
    if ((unsigned)fd >= server.conns_max)
        floor_die("descriptor %d is beyond the limit", fd);
    server.conns[fd] = (struct conn){ 0 };
    conn_list(&server.conns[fd], fd);
}

static void on_recv(const struct io_uring_cqe *cqe, int fd)
{
    struct conn *conn = &server.conns[fd];
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        unsigned bid = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0)
            conn->owed += count_requests(conn, floor_buf(&server.bufs, bid), (size_t)cqe->res);
        floor_buf_return(&server.bufs, bid);
    }
    if (floor_unlikely(!(cqe->flags & IORING_CQE_F_MORE))) {
        /* It ends for want of a buffer and of room for a completion too: then it is armed again. */
        conn->receiving = false;
        conn->closing = cqe->res <= 0 && cqe->res != -ENOBUFS;
    }
    if (server.close && conn->owed != 0) {
        conn->owed = 1;
        conn->closing = true;
    }
    conn_list(conn, fd);
}

static void on_send(const struct io_uring_cqe *cqe, int fd)
{
    struct conn *conn = &server.conns[fd];
    conn->sending = false;
    if (floor_unlikely(cqe->res < 0)) {
        conn->owed = 0; /* the receive ends by itself now: the peer has gone */
        if (shutdown(fd, SHUT_RDWR) < 0 && errno != ENOTCONN)
            floor_die("shutdown: %s", strerror(errno));
        conn->closing = true;
    }
    if (conn->owed != 0 || conn->closing)
        conn_list(conn, fd);
}

static void conn_recv(struct conn *conn, int fd)
{
    conn->receiving = true;
    if (!server.close) {
        floor_arm_recv(&server.ring, fd, tag(KIND_RECV, fd));
        return;
    }
    struct io_uring_sqe *sqe = floor_sqe(&server.ring);
    io_uring_prep_recv(sqe, fd, NULL, RECV_BUF_BYTES, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = FLOOR_BUF_GROUP;
    sqe->user_data = tag(KIND_RECV, fd);
}

static void conn_send(struct conn *conn, int fd)
{
    unsigned n = conn->owed < server.answers_count ? conn->owed : server.answers_count;
    conn->owed -= n;
    conn->sending = true;
    floor_send(&server.ring, fd, server.answers, n * server.answer_bytes, tag(KIND_SEND, fd));
}

static void reap(void)
{
    struct io_uring_cqe cqe;
    while (floor_reap(&server.ring, &cqe)) {
        int fd = (int)(uint32_t)cqe.user_data;
        switch ((enum kind)(cqe.user_data >> 32)) {
        case KIND_ACCEPT:
            on_accept(&cqe);
            break;
        case KIND_RECV:
            on_recv(&cqe, fd);
            break;
        case KIND_SEND:
            on_send(&cqe, fd);
            break;
        case KIND_CLOSE:
            floor_die("close: %s", strerror(-cqe.res));
        }
    }
}

static void run_ready(void)
{
    for (unsigned i = 0; i < server.ready_count; i++) {
        int fd = server.ready[i];
        struct conn *conn = &server.conns[fd];
        conn->listed = false;
        if (!conn->receiving && !conn->closing)
            conn_recv(conn, fd);
        if (conn->sending)
            continue;
        if (conn->owed != 0)
            conn_send(conn, fd);
        else if (conn->closing && !conn->receiving)
            floor_close(&server.ring, fd, tag(KIND_CLOSE, fd));
    }
    server.ready_count = 0;
    if (!server.accepting)
        floor_arm_accept(&server.ring, server.listener, tag(KIND_ACCEPT, server.listener));
    server.accepting = true;
}

__attribute__((noreturn)) static void run(void)
{
    for (;;) {
        reap();
        floor_bufs_publish(&server.bufs);
        run_ready();
        if (server.spin) {
            floor_enter(&server.ring, 0);
            floor_spin(&server.ring, UINT64_MAX);
        } else {
            floor_enter(&server.ring, 1);
        }
    }
}

static void on_sigterm(int number)
{
    (void)number;
    _exit(0);
}

/* Take `answer` as the answer, as often as makes long pipelines one send and fits the cache. */
static void answers_set(const char *answer, size_t len)
{
    size_t n = ANSWERS_BYTES_AIM / len;
    server.answer_bytes = len;
    server.answers_count = n < 1 ? 1 : n > ANSWERS_MAX ? ANSWERS_MAX : (unsigned)n;
    server.answers = floor_map(server.answers_count * len);
    for (unsigned i = 0; i < server.answers_count; i++)
        memcpy(server.answers + i * len, answer, len);
}

static void build_answers(const char *body, size_t body_len)
{
    static const char form[] = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n";
    size_t head_max = sizeof(form) + 20;
    char *answer = floor_map(head_max + body_len);
    size_t head_len = (size_t)snprintf(answer, head_max, form, body_len);
    memcpy(answer + head_len, body, body_len);
    answers_set(answer, head_len + body_len);
}

static void build_answers_from_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        floor_die("%s: %s", path, strerror(errno));
    size_t bytes_max = (size_t)64 << 20;
    char *bytes = floor_map(bytes_max);
    size_t len = fread(bytes, 1, bytes_max, file);
    if (ferror(file) || !feof(file) || len == 0)
        floor_die("%s: cannot be read, is empty, or is over 64 MiB", path);
    fclose(file);
    answers_set(bytes, len);
}

static void build_answers_of_size(size_t body_len)
{
    char *body = floor_map(body_len + 1);
    memset(body, 'x', body_len);
    build_answers(body, body_len);
}

/* As a JSON health answer looks: the bytes on the wire are those of a real server. */
static const char healthy[] = "{\"status\":\"healthy\",\"version\":\"0.1.0\"}";

static const char usage[] =
    "usage: floor-server [--listen ADDR:PORT] [--body-bytes N | --response-bytes-file FILE] "
    "[--close] [--spin]\n"
    "Answers every blank line it receives with the same bytes, as fast as this machine can.\n"
    "  --listen ADDR:PORT           IPv4; port 0 picks a free one (127.0.0.1:0)\n"
    "  --body-bytes N               a body of N bytes instead of a small JSON one\n"
    "  --response-bytes-file FILE   the whole answer, head and body, as it goes over the wire\n"
    "  --close                      close each connection after one answer\n"
    "  --spin                       never sleep\n"
    "Prints 'listening on ADDR:PORT' when ready. SIGTERM ends it with status 0.\n";

int main(int argc, char **argv)
{
    static const struct option options[] = { { "listen", required_argument, NULL, 'l' },
                                             { "body-bytes", required_argument, NULL, 'b' },
                                             { "response-bytes-file", required_argument, NULL,
                                               'f' },
                                             { "close", no_argument, NULL, 'c' },
                                             { "spin", no_argument, NULL, 's' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    const char *address = "127.0.0.1:0";

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'l') {
            address = optarg;
        } else if (c == 'b') {
            build_answers_of_size(floor_uint("--body-bytes", optarg, 0, 64 << 20));
        } else if (c == 'f') {
            build_answers_from_file(optarg);
        } else if (c == 'c') {
            server.close = true;
        } else if (c == 's') {
            server.spin = true;
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 1;
        }
    }
    if (optind < argc)
        floor_die("unexpected argument '%s'", argv[optind]);
    if (server.answers == NULL)
        build_answers(healthy, sizeof(healthy) - 1);
    if (signal(SIGTERM, on_sigterm) == SIG_ERR)
        floor_die("SIGTERM: %s", strerror(errno));
    server.conns_max = floor_raise_nofile();
    server.conns = floor_map(server.conns_max * sizeof(*server.conns));
    server.ready = floor_map(server.conns_max * sizeof(*server.ready));
    floor_ring_open(&server.ring, SQ_ENTRIES, CQ_ENTRIES);
    floor_bufs_open(&server.bufs, &server.ring, RECV_BUFS, RECV_BUF_BYTES);
    server.listener = floor_listen(address);
    run();
}
