/* SPDX-License-Identifier: MIT */
/*
 * floor-pace: how exactly this machine can give paced pieces to many connections at all. One
 * thread, one ring, and no timer but the clock: it never sleeps while a stream is on.
 *
 * Every blank line that arrives is a request, no head is parsed, and every request is answered with
 * the same bytes: a chunked answer that was captured from a real server. It is cut where that one
 * cut it when it kept the time: a chunk is a piece; the head goes with the first of them, and the
 * empty chunk with the last. When each piece is due is fixed as the request comes, so a late one
 * does not push those behind it.
 *
 * All gaps are alike. So the pieces that follow a piece are due in the order in which those before
 * them were, and first pieces in the order of their requests: two queues that sort themselves, and
 * the earlier of their heads is what is due next. Nothing of it grows with the number of streams.
 *
 * A piece is late by the time from when it was due until the kernel had taken its bytes: the clock
 * is read behind the io_uring_enter that submitted them.
 *
 * A connection is its descriptor. It is closed only when it stands in no queue and neither a
 * receive nor a send of it is in flight, so nothing can meet a descriptor's second life.
 */
#include "floor.h"

#include <getopt.h>
#include <signal.h>

enum { SQ_ENTRIES = 256, CQ_ENTRIES = 4096 };
enum { RECV_BUFS = 256, RECV_BUF_BYTES = 4096 };
/* One clock serves all sends of a kernel entry, and the first of them has to wait for the last. */
enum { BATCH = 64 };
/* Looks at the ring between two looks at the clock: some 0.2 us. */
enum { SPINS = 4 };

enum kind { KIND_ACCEPT = 1, KIND_RECV, KIND_SEND, KIND_CLOSE };

struct conn {
    uint64_t first_due_ns; /* of its stream */
    uint32_t due;          /* pieces that have come due */
    uint32_t given;        /* of these, the ones that were sent; the others wait for a send's end */
    int next;              /* in its queue, the connection behind it; -1: it is the last one */
    unsigned asked;        /* requests that came in this pass */
    uint8_t matched;       /* bytes of the blank line seen at the end of the last buffer, 0 ... 3 */
    bool on;               /* it has a stream, of which not all is given */
    bool queued;
    bool listed; /* in server.ready */
    bool sending;
    bool receiving;
    bool closing; /* the peer will send no more, or cannot be answered: its stream is over */
};

/* Connections in the order in which their next pieces are due. */
struct queue {
    int head; /* -1: there is none */
    int tail;
};

/* Pieces that are one send. */
struct sent {
    uint64_t due_ns; /* the first of them */
    uint32_t count;
};

static struct config {
    uint64_t first_ns;
    uint64_t gap_ns;
    uint64_t warmup_ns;
    uint64_t for_ns;
} config = { .first_ns = 20000000, .gap_ns = 20000000, .for_ns = UINT64_C(86400000000000) };

static struct server {
    struct floor_ring ring;
    struct floor_bufs bufs;
    struct conn *conns; /* by descriptor */
    unsigned conns_max;
    int *ready; /* connections with something to do at the end of the pass */
    unsigned ready_count;
    int listener;
    bool accepting;
    struct queue firsts; /* connections whose first piece is to come, and the others */
    struct queue nexts;
    unsigned streams;        /* that are on */
    uint64_t now_ns;         /* behind what was reaped in this pass */
    uint64_t from_ns;        /* where the counted time begins; 0: nobody has connected yet */
    uint64_t due_count;      /* pieces that came due in it */
    struct sent sent[BATCH]; /* since the last kernel entry */
    unsigned sent_count;
    struct floor_hist late_ns;
    uint8_t *answer;
    size_t *edges; /* piece i is the bytes of the answer from edges[i] to edges[i + 1] */
    uint32_t pieces;
} server;

static volatile sig_atomic_t stop;

static uint64_t tag(enum kind kind, int fd)
{
    return (uint64_t)kind << 32 | (uint32_t)fd;
}

/* ---- what is due ---- */

static uint64_t piece_due_ns(const struct conn *conn, uint32_t piece)
{
    return conn->first_due_ns + piece * config.gap_ns;
}

/* Nothing is due before somebody has connected. */
static bool is_counted(uint64_t due_ns)
{
    return due_ns >= server.from_ns && due_ns - server.from_ns < config.for_ns;
}

static void queue_push(struct queue *queue, int fd)
{
    struct conn *conn = &server.conns[fd];
    conn->next = -1;
    conn->queued = true;
    if (queue->head < 0)
        queue->head = fd;
    else
        server.conns[queue->tail].next = fd;
    queue->tail = fd;
}

static struct conn *queue_pop(struct queue *queue)
{
    struct conn *conn = &server.conns[queue->head];
    conn->queued = false;
    queue->head = conn->next;
    return conn;
}

static uint64_t queue_due_ns(const struct queue *queue)
{
    if (queue->head < 0)
        return UINT64_MAX;
    const struct conn *conn = &server.conns[queue->head];
    return piece_due_ns(conn, conn->due);
}

static void conn_list(struct conn *conn, int fd)
{
    if (conn->listed)
        return;
    conn->listed = true;
    server.ready[server.ready_count++] = fd;
}

/* The connection that has the next piece to be due, if it is by now, or -1. */
static int take_due(uint64_t now_ns)
{
    bool first = queue_due_ns(&server.firsts) <= queue_due_ns(&server.nexts);
    struct queue *queue = first ? &server.firsts : &server.nexts;
    uint64_t due_ns = queue_due_ns(queue);
    if (due_ns > now_ns)
        return -1;
    int fd = queue->head;
    struct conn *conn = queue_pop(queue);
    if (conn->closing) {
        conn_list(conn, fd); /* this was what its end has waited for */
        return fd;
    }
    server.due_count += is_counted(due_ns);
    conn->due++;
    if (conn->due < server.pieces)
        queue_push(&server.nexts, fd);
    return fd;
}

/* ---- sending ---- */

/* To the kernel with what is queued, if anything is or if it has something to tell; then it has the
 * pieces of this entry. */
static void submit(void)
{
    const struct io_uring_sq *sq = &server.ring.uring.sq;
    if (sq->sqe_tail == __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE) &&
        !(__atomic_load_n(sq->kflags, __ATOMIC_RELAXED) &
          (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)))
        return;
    floor_enter(&server.ring, 0);
    if (floor_unlikely(sq->sqe_tail != __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE)))
        floor_die("the kernel takes no submissions");
    uint64_t now_ns = floor_clock_ns();
    for (unsigned i = 0; i < server.sent_count; i++) {
        uint64_t due_ns = server.sent[i].due_ns;
        for (uint32_t left = server.sent[i].count; left != 0; left--, due_ns += config.gap_ns) {
            if (is_counted(due_ns))
                floor_hist_record(&server.late_ns, now_ns - due_ns, 1);
        }
    }
    server.sent_count = 0;
}

static void conn_begin(struct conn *conn, int fd)
{
    conn->asked = 0;
    conn->due = conn->given = 0;
    conn->first_due_ns = server.now_ns + config.first_ns;
    conn->on = true;
    server.streams++;
    queue_push(&server.firsts, fd);
}

static void conn_end(struct conn *conn)
{
    conn->on = false;
    server.streams--;
}

/* All that is due and not given. These pieces lie side by side in the answer. */
static void conn_send(struct conn *conn, int fd)
{
    if (server.sent_count == BATCH)
        submit();
    server.sent[server.sent_count++] = (struct sent){ .due_ns = piece_due_ns(conn, conn->given),
                                                      .count = conn->due - conn->given };
    size_t from = server.edges[conn->given], to = server.edges[conn->due];
    floor_send(&server.ring, fd, server.answer + from, to - from, tag(KIND_SEND, fd));
    conn->sending = true;
    conn->given = conn->due;
    if (conn->given == server.pieces)
        conn_end(conn);
}

/* ---- the loop ---- */

/* Blank lines in these bytes, a blank line cut in two by the buffer's edge included. */
static unsigned count_requests(struct conn *conn, const uint8_t *p, size_t len)
{
    static const uint8_t blank[4] = { '\r', '\n', '\r', '\n' };
    unsigned found = 0;
    unsigned matched = conn->matched;
    for (size_t i = 0; i < len; i++) {
        matched = p[i] == blank[matched] ? matched + 1 : p[i] == '\r' ? 1 : 0;
        if (matched == sizeof(blank)) {
            found++;
            matched = 0;
        }
    }
    conn->matched = (uint8_t)matched;
    return found;
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
    if (server.from_ns == 0)
        server.from_ns = floor_clock_ns() + config.warmup_ns;
    server.conns[fd] = (struct conn){ 0 };
    conn_list(&server.conns[fd], fd);
}

static void on_recv(const struct io_uring_cqe *cqe, int fd)
{
    struct conn *conn = &server.conns[fd];
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        unsigned bid = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0)
            conn->asked += count_requests(conn, floor_buf(&server.bufs, bid), (size_t)cqe->res);
        floor_buf_return(&server.bufs, bid);
    }
    if (floor_unlikely(conn->asked > (conn->on ? 0U : 1U)))
        floor_die("a request while a stream is on");
    if (floor_unlikely(!(cqe->flags & IORING_CQE_F_MORE))) {
        /* It ends for want of a buffer and of room for a completion too: then it is armed again. */
        conn->receiving = false;
        conn->closing = conn->closing || (cqe->res <= 0 && cqe->res != -ENOBUFS);
    }
    conn_list(conn, fd);
}

static void on_send(const struct io_uring_cqe *cqe, int fd)
{
    struct conn *conn = &server.conns[fd];
    conn->sending = false;
    if (floor_unlikely(cqe->res < 0)) {
        /* The receive ends by itself now: the peer has gone. */
        if (shutdown(fd, SHUT_RDWR) < 0 && errno != ENOTCONN)
            floor_die("shutdown: %s", strerror(errno));
        conn->closing = true;
    }
    if (conn->given < conn->due || conn->closing)
        conn_list(conn, fd);
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

static void run_due(void)
{
    for (int fd; server.sent_count < BATCH && (fd = take_due(server.now_ns)) >= 0;) {
        struct conn *conn = &server.conns[fd];
        if (!conn->sending && !conn->closing)
            conn_send(conn, fd);
    }
}

static void conn_run(struct conn *conn, int fd)
{
    conn->listed = false;
    if (conn->closing) {
        if (conn->queued || conn->sending)
            return;
        if (conn->on)
            conn_end(conn);
        if (!conn->receiving)
            floor_close(&server.ring, fd, tag(KIND_CLOSE, fd));
        return;
    }
    if (!conn->receiving) {
        conn->receiving = true;
        floor_arm_recv(&server.ring, fd, tag(KIND_RECV, fd));
    }
    if (conn->asked != 0)
        conn_begin(conn, fd);
    if (conn->given < conn->due && !conn->sending)
        conn_send(conn, fd);
}

static void run_ready(void)
{
    for (unsigned i = 0; i < server.ready_count; i++)
        conn_run(&server.conns[server.ready[i]], server.ready[i]);
    server.ready_count = 0;
    if (!server.accepting)
        floor_arm_accept(&server.ring, server.listener, tag(KIND_ACCEPT, server.listener));
    server.accepting = true;
}

/* A signal that came between the look at the flag and the wait would be slept through: it is let in
 * by the wait alone. */
static void wait_idle(void)
{
    sigset_t term, usual;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &term, &usual) < 0)
        floor_die("sigprocmask: %s", strerror(errno));
    if (!stop) {
        int rc = io_uring_enter2(server.ring.uring.enter_ring_fd, 0, 1, server.ring.enter_flags,
                                 &usual, _NSIG / 8);
        if (rc < 0 && rc != -EINTR)
            floor_die("io_uring_enter: %s", strerror(-rc));
    }
    if (sigprocmask(SIG_SETMASK, &usual, NULL) < 0)
        floor_die("sigprocmask: %s", strerror(errno));
}

static void run(void)
{
    while (!stop) {
        reap();
        floor_bufs_publish(&server.bufs);
        server.now_ns = floor_clock_ns();
        run_due();
        run_ready();
        submit();
        if (server.streams == 0)
            wait_idle();
        else
            floor_spin(&server.ring, SPINS);
    }
}

/* ---- before and after ---- */

static void on_sigterm(int number)
{
    (void)number;
    stop = 1;
}

/* The answer stands in memory with a zero behind it. @return its bytes */
static size_t read_answer(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        floor_die("%s: %s", path, strerror(errno));
    size_t bytes_max = (size_t)64 << 20;
    server.answer = floor_map(bytes_max);
    size_t len = fread(server.answer, 1, bytes_max - 1, file);
    if (ferror(file) || !feof(file) || len == 0)
        floor_die("%s: cannot be read, is empty, or is over 64 MiB", path);
    fclose(file);
    return len;
}

/* Bytes of the chunk that begins here, and `*data` and how many of them are data. */
static size_t chunk_read(const uint8_t *p, size_t len, const uint8_t **data, size_t *data_bytes)
{
    char *line_end = NULL;
    *data_bytes = strtoul((const char *)p, &line_end, 16);
    size_t around = (size_t)(line_end - (const char *)p) + 4; /* and two ends of lines */
    *data = p + around - 2;
    if (around == 4 || around > len || *data_bytes > len - around ||
        memcmp(*data - 2, "\r\n", 2) != 0 || memcmp(*data + *data_bytes, "\r\n", 2) != 0)
        floor_die("the answer has no chunk where one should begin: '%.20s'", (const char *)p);
    return around + *data_bytes;
}

/* Events end with an empty line. */
static unsigned count_events(const uint8_t *p, size_t len)
{
    const uint8_t *end = p + len;
    unsigned count = 0;
    while ((p = memmem(p, (size_t)(end - p), "\n\n", 2)) != NULL) {
        p += 2;
        count++;
    }
    return count;
}

static void cut_answer(size_t len)
{
    const uint8_t *data = memmem(server.answer, len, "\r\n\r\n", 4);
    if (data == NULL || len < 12 || !floor_is_2xx(server.answer))
        floor_die("expected a 2xx answer, got '%.12s'", (const char *)server.answer);
    size_t at = (size_t)(data + 4 - server.answer);
    size_t *edges = floor_map((len / strlen("1\r\nx\r\n") + 1) * sizeof(*edges));
    unsigned events = 0;
    for (size_t data_bytes;;) {
        at += chunk_read(server.answer + at, len - at, &data, &data_bytes);
        if (data_bytes == 0)
            break;
        /* What ends the stream comes with the last token; of others two are never due at a time. */
        if (events > 1)
            floor_die("a chunk of %u events: the answer was captured where they have no gaps",
                      events);
        events = count_events(data, data_bytes);
        edges[++server.pieces] = at;
    }
    if (server.pieces == 0 || at != len)
        floor_die("the answer is empty, or is more than one");
    edges[server.pieces] = len;
    server.edges = edges;
}

static void report(void)
{
    uint64_t now_ns = floor_clock_ns();
    while (take_due(now_ns) >= 0) /* what it has not got to is due as well */
        continue;
    const struct floor_hist *late_ns = &server.late_ns;
    if (server.due_count == 0)
        floor_die("no piece was due in the counted time");
    printf("{\"late_us\": {\"count\": %llu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, "
           "\"max\": %.1f}, \"given_of_due\": %.6f}\n",
           (unsigned long long)late_ns->count, (double)floor_hist_percentile(late_ns, 0.50) / 1e3,
           (double)floor_hist_percentile(late_ns, 0.90) / 1e3,
           (double)floor_hist_percentile(late_ns, 0.99) / 1e3, (double)late_ns->max / 1e3,
           (double)late_ns->count / (double)server.due_count);
    if (fflush(stdout) != 0)
        floor_die("standard output: %s", strerror(errno));
}

static const char usage[] =
    "usage: floor-pace --response-bytes-file FILE [options]\n"
    "Answers every blank line it receives with the chunks of FILE, each at its time, as exactly\n"
    "as this machine can.\n"
    "  --response-bytes-file FILE   a chunked answer, head and body, as it went over the wire\n"
    "  --listen ADDR:PORT           IPv4; port 0 picks a free one (127.0.0.1:0); or unix:PATH\n"
    "  --first-us N                 from a request to its first chunk, which has the head (20000)\n"
    "  --gap-us N                   from a chunk to the next one (20000)\n"
    "  --warmup-s SECONDS           what is due so long from the first connection on is not\n"
    "                               counted (0)\n"
    "  --for-s SECONDS              nor is what is due after so long behind that (86400)\n"
    "Prints 'listening on ADDR:PORT' or unix:PATH when ready. SIGTERM ends it: then it prints one "
    "JSON object,\n"
    "how late the chunks were that it gave, and what part they are of those that came due.\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "listen", required_argument, NULL, 'l' },
        { "first-us", required_argument, NULL, 'f' },
        { "gap-us", required_argument, NULL, 'g' },
        { "warmup-s", required_argument, NULL, 'w' },
        { "for-s", required_argument, NULL, 'd' },
        { "response-bytes-file", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const char *address = "127.0.0.1:0";
    const char *path = NULL;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'l') {
            address = optarg;
        } else if (c == 'r') {
            path = optarg;
        } else if (c == 'f') {
            config.first_ns = floor_uint("--first-us", optarg, 1, 1000000000) * 1000;
        } else if (c == 'g') {
            config.gap_ns = floor_uint("--gap-us", optarg, 1, 1000000000) * 1000;
        } else if (c == 'w') {
            config.warmup_ns = floor_seconds_ns("--warmup-s", optarg);
        } else if (c == 'd') {
            config.for_ns = floor_seconds_ns("--for-s", optarg);
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 1;
        }
    }
    if (optind < argc)
        floor_die("unexpected argument '%s'", argv[optind]);
    if (path == NULL)
        floor_die("--response-bytes-file FILE is missing (--help tells more)");
    cut_answer(read_answer(path));
    if (sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_sigterm }, NULL) < 0)
        floor_die("SIGTERM: %s", strerror(errno));
    server.conns_max = floor_raise_nofile();
    server.conns = floor_map(server.conns_max * sizeof(*server.conns));
    server.ready = floor_map(server.conns_max * sizeof(*server.ready));
    server.firsts.head = server.nexts.head = -1;
    floor_ring_open(&server.ring, SQ_ENTRIES, CQ_ENTRIES);
    floor_bufs_open(&server.bufs, &server.ring, RECV_BUFS, RECV_BUF_BYTES);
    const char *unix_path = floor_unix_path(address);
    server.listener = unix_path != NULL ? floor_listen_unix(unix_path) : floor_listen(address);
    run();
    report();
    return 0;
}
