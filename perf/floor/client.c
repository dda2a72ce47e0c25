/* SPDX-License-Identifier: MIT */
/*
 * floor-client: how fast this machine can ask at all. A closed loop on one thread and one ring:
 * each connection keeps a fixed number of requests in flight, and what was answered in one pass is
 * asked again in one SEND.
 *
 * With --rate it is an open loop: requests are due at fixed times, whatever the server does, and
 * the latency of one that found no idle connection counts from when it was due.
 *
 * The first response of the run is parsed for its size; after that a response is that many bytes.
 * That the count has not slipped is checked where a response begins in each received buffer: a 2xx
 * status line must stand there.
 *
 * Responses that are not all of one size are read with --varying, each by its own Content-Length,
 * and with --stream, each to its last chunk. Then a connection has one request in flight, so a
 * response begins and ends where a buffer does, and nothing else of it has to be parsed.
 * With --schedule the events of a stream are counted too, and each is compared to when it was due.
 */
#include "floor.h"

#include <getopt.h>

enum { SQ_ENTRIES = 256, CQ_ENTRIES = 4096 };
enum { RECV_BUFS = 256, RECV_BUF_BYTES = 4096, RECV_STREAM_BUF_BYTES = 16384 };
enum { REQUEST_BYTES_MAX = 64 * 1024, PIPELINE_MAX = 1024 };

enum kind { KIND_RECV = 1, KIND_SEND, KIND_TIMEOUT, KIND_DUE };

struct conn {
    int fd;
    uint32_t owed;   /* requests to be sent */
    uint64_t offset; /* bytes of the current response that have arrived */
    uint64_t bytes;  /* with --varying: bytes that it has */
    uint32_t first;  /* in stamps_ns: the oldest request in flight */
    bool listed;
    bool sending;
    bool receiving;
    bool newline;        /* with --schedule: the last byte so far was one */
    uint8_t tail[8];     /* with --stream: the last bytes so far */
    uint32_t events;     /* with --schedule: events so far */
    uint64_t *stamps_ns; /* when each request in flight was handed over; a circle of `pipeline` */
};

enum answers { ANSWERS_ALIKE, ANSWERS_VARYING, ANSWERS_STREAMED };

/* When the events of a stream are due, from its request on: `events` of them, and then the end. */
struct schedule {
    uint64_t first_ns;
    uint64_t gap_ns;
    unsigned events; /* 0: there is no schedule */
};

/* What the options say. */
static struct config {
    struct sockaddr_in address;
    const char *unix_path; /* NULL: the address counts */
    unsigned conns;
    unsigned pipeline;
    uint64_t duration_ns;
    uint64_t warmup_ns;
    uint64_t interval_ns; /* from one request to the next; 0: as soon as there is an answer */
    uint64_t ramp_ns;     /* in which the connections begin, one by one */
    enum answers answers;
    struct schedule schedule;
    const char *method;
    const char *path;
    const char *body;
    char headers[REQUEST_BYTES_MAX / 2];
    unsigned server_pid;
    bool spin;
    bool json;
} config = { .conns = 64,
             .pipeline = 1,
             .duration_ns = 2000000000,
             .warmup_ns = 300000000,
             .method = "GET",
             .path = "/api/health" };

static struct client {
    struct floor_ring ring;
    struct floor_bufs bufs;
    struct conn *conns;
    unsigned *ready;
    unsigned ready_count;
    unsigned *idle; /* with --rate or --ramp: connections with nothing in flight */
    unsigned idle_count;
    uint64_t due_ns;  /* with --rate or --ramp: when the next request is to be sent */
    uint64_t step_ns; /* from there to the one after it; 0: none is due at a time */
    bool due_armed;
    uint8_t *requests; /* the same request, `pipeline` times */
    size_t request_bytes;
    uint64_t response_bytes;
    uint64_t now_ns;
    uint64_t responses;
    uint64_t bytes;
    struct floor_hist latency_ns;
    struct floor_hist event_late_ns;
    struct floor_hist end_late_ns;
    uint64_t early_ns; /* the most that anything came too early */
} client;

/* Clocks and counts at the borders of the measured time. */
struct sample {
    uint64_t wall_ns;
    uint64_t cpu_ns;
    uint64_t server_cpu_ns;
};

static uint64_t tag(enum kind kind, unsigned index)
{
    return (uint64_t)kind << 32 | index;
}

/* ---- the loop ---- */

static void conn_list(struct conn *conn, unsigned index)
{
    if (conn->listed)
        return;
    conn->listed = true;
    client.ready[client.ready_count++] = index;
}

/* The oldest request of the connection has its answer. */
static void conn_answered(struct conn *conn)
{
    floor_hist_record(&client.latency_ns, client.now_ns - conn->stamps_ns[conn->first], 1);
    conn->first = conn->first + 1 == config.pipeline ? 0 : conn->first + 1;
    client.responses++;
    bool surplus =
        config.interval_ns == 0 ? conn->owed == config.pipeline : client.idle_count == config.conns;
    if (floor_unlikely(surplus))
        floor_die("more responses than requests");
    if (config.interval_ns == 0)
        conn->owed++;
    else
        client.idle[client.idle_count++] = (unsigned)(conn - client.conns);
}

static void note_late(struct floor_hist *late_ns, uint64_t due_ns)
{
    uint64_t late = client.now_ns > due_ns ? client.now_ns - due_ns : 0;
    if (floor_unlikely(client.now_ns < due_ns && due_ns - client.now_ns > client.early_ns))
        client.early_ns = due_ns - client.now_ns;
    floor_hist_record(late_ns, late, 1);
}

/* An event ends with an empty line; heads and chunks have none that are of bare newlines. */
static void conn_count_events(struct conn *conn, const uint8_t *p, size_t len)
{
    const struct schedule *schedule = &config.schedule;
    const uint8_t *at = p, *end = p + len;
    uint64_t due_ns = conn->stamps_ns[0] + schedule->first_ns + conn->events * schedule->gap_ns;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        bool second = at == p ? conn->newline : at[-1] == '\n';
        at++;
        if (!second)
            continue;
        /* What ends the stream comes with the last token, and has no time of its own. */
        if (conn->events < schedule->events)
            note_late(&client.event_late_ns, due_ns);
        conn->events++;
        due_ns += schedule->gap_ns;
    }
    conn->newline = end[-1] == '\n';
}

static void conn_end_stream(struct conn *conn)
{
    const struct schedule *schedule = &config.schedule;
    if (schedule->events != 0) {
        if (conn->events < schedule->events)
            floor_die("a stream of %u events, and %u are due", conn->events, schedule->events);
        note_late(&client.end_late_ns, conn->stamps_ns[0] + schedule->first_ns +
                                           (schedule->events - 1) * schedule->gap_ns);
    }
    conn->offset = 0;
    conn->events = 0;
    conn->newline = false;
    conn_answered(conn);
}

/* The last chunk is empty, and stands behind the end of another: 'X-Count: 10' and the blank line
 * behind it do not look like it. */
static void conn_feed_stream(struct conn *conn, const uint8_t *p, size_t len)
{
    static const char last[8] = { '\n', '\r', '\n', '0', '\r', '\n', '\r', '\n' };
    if (floor_likely(len >= sizeof(last))) {
        memcpy(conn->tail, p + len - sizeof(last), sizeof(last));
    } else {
        memmove(conn->tail, conn->tail + len, sizeof(last) - len);
        memcpy(conn->tail + sizeof(last) - len, p, len);
    }
    conn->offset += len;
    if (config.schedule.events != 0)
        conn_count_events(conn, p, len);
    if (memcmp(conn->tail, last, sizeof(last)) == 0)
        conn_end_stream(conn);
}

/* Bytes of the response that begins here. */
static uint64_t read_response_bytes(const uint8_t *p, size_t len)
{
    static const char name[] = "\r\nContent-Length: ";
    const uint8_t *blank = memmem(p, len, "\r\n\r\n", 4);
    const uint8_t *field =
        blank == NULL ? NULL : memmem(p, (size_t)(blank - p), name, sizeof(name) - 1);
    if (floor_unlikely(field == NULL))
        floor_die("the first %zu bytes of a response are no head with a Content-Length", len);
    uint64_t value = 0;
    for (field += sizeof(name) - 1; *field >= '0' && *field <= '9'; field++)
        value = value * 10 + (uint64_t)(*field - '0');
    return (uint64_t)(blank + 4 - p) + value;
}

/* One request is in flight: where a buffer begins while nothing is awaited, a response does. */
static void conn_feed_one(struct conn *conn, const uint8_t *p, size_t len)
{
    client.bytes += len;
    if (conn->offset == 0 && (len < 12 || !floor_is_2xx(p)))
        floor_die("expected a 2xx response, got '%.*s'", (int)floor_min(len, 12), (const char *)p);
    if (config.answers == ANSWERS_STREAMED) {
        conn_feed_stream(conn, p, len);
        return;
    }
    if (conn->offset == 0)
        conn->bytes = read_response_bytes(p, len);
    conn->offset += len;
    if (conn->offset > conn->bytes)
        floor_die("more responses than requests");
    if (conn->offset < conn->bytes)
        return;
    conn->offset = 0;
    conn_answered(conn);
}

static void conn_feed(struct conn *conn, const uint8_t *p, size_t len)
{
    uint64_t boundary = conn->offset == 0 ? 0 : client.response_bytes - conn->offset;
    if (floor_likely(boundary + 12 <= len) && floor_unlikely(!floor_is_2xx(p + boundary)))
        floor_die("expected a 2xx response of %llu bytes like the first, got '%.12s'",
                  (unsigned long long)client.response_bytes, (const char *)p + boundary);
    client.bytes += len;
    conn->offset += len;
    while (conn->offset >= client.response_bytes) {
        conn->offset -= client.response_bytes;
        conn_answered(conn);
    }
}

static void on_recv(const struct io_uring_cqe *cqe, unsigned index)
{
    struct conn *conn = &client.conns[index];
    if (floor_unlikely(cqe->res == 0))
        floor_die("the server closed a connection");
    if (floor_unlikely(cqe->res < 0 && cqe->res != -ENOBUFS))
        floor_die("receive: %s", strerror(-cqe->res));
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        unsigned bid = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (config.answers == ANSWERS_ALIKE)
            conn_feed(conn, floor_buf(&client.bufs, bid), (size_t)cqe->res);
        else
            conn_feed_one(conn, floor_buf(&client.bufs, bid), (size_t)cqe->res);
        floor_buf_return(&client.bufs, bid);
    }
    if (floor_unlikely(!(cqe->flags & IORING_CQE_F_MORE)))
        conn->receiving = false;
    conn_list(conn, index);
}

static void on_send(const struct io_uring_cqe *cqe, unsigned index)
{
    struct conn *conn = &client.conns[index];
    if (floor_unlikely(cqe->res < 0))
        floor_die("send: %s", strerror(-cqe->res));
    conn->sending = false;
    if (conn->owed != 0)
        conn_list(conn, index);
}

static void conn_send(struct conn *conn, unsigned index)
{
    /* The slots of the requests to be sent end where the oldest one in flight begins. What was due
     * at a time keeps that time. */
    uint32_t slot = conn->first + config.pipeline - conn->owed;
    for (uint32_t i = 0; i < conn->owed && config.interval_ns == 0; i++, slot++)
        conn->stamps_ns[slot < config.pipeline ? slot : slot - config.pipeline] = client.now_ns;
    floor_send(&client.ring, conn->fd, client.requests, conn->owed * client.request_bytes,
               tag(KIND_SEND, index));
    conn->owed = 0;
    conn->sending = true;
}

static void run_ready(void)
{
    for (unsigned i = 0; i < client.ready_count; i++) {
        unsigned index = client.ready[i];
        struct conn *conn = &client.conns[index];
        conn->listed = false;
        if (!conn->receiving) {
            conn->receiving = true;
            floor_arm_recv(&client.ring, conn->fd, tag(KIND_RECV, index));
        }
        if (conn->owed != 0 && !conn->sending)
            conn_send(conn, index);
    }
    client.ready_count = 0;
}

/* Ask what is due, as far as there are idle connections. */
static void run_due(void)
{
    static struct __kernel_timespec ts; /* the kernel reads it when the timeout is submitted */
    while (client.due_ns <= client.now_ns && client.idle_count != 0) {
        unsigned index = client.idle[--client.idle_count];
        struct conn *conn = &client.conns[index];
        conn->owed = 1;
        conn->stamps_ns[0] = client.due_ns;
        conn_list(conn, index);
        client.due_ns += client.step_ns;
    }
    /* What is overdue waits for a connection, and needs no timeout; nor does the end of a ramp. */
    if (client.due_armed || client.due_ns <= client.now_ns ||
        (config.interval_ns == 0 && client.idle_count == 0))
        return;
    ts = (struct __kernel_timespec){ .tv_sec = (long long)(client.due_ns / 1000000000),
                                     .tv_nsec = (long long)(client.due_ns % 1000000000) };
    struct io_uring_sqe *sqe = floor_sqe(&client.ring);
    io_uring_prep_timeout(sqe, &ts, 0, IORING_TIMEOUT_ABS);
    sqe->user_data = tag(KIND_DUE, 0);
    client.due_armed = true;
}

/* One timeout in the ring wakes the loop at `end_ns`; a timeout of each wait would cost a timer per
 * pass. */
static void run_until(uint64_t end_ns)
{
    struct __kernel_timespec ts = { .tv_sec = (long long)(end_ns / 1000000000),
                                    .tv_nsec = (long long)(end_ns % 1000000000) };
    struct io_uring_sqe *sqe = floor_sqe(&client.ring);
    io_uring_prep_timeout(sqe, &ts, 0, IORING_TIMEOUT_ABS);
    sqe->user_data = tag(KIND_TIMEOUT, 0);
    bool expired = false;
    while (!expired) {
        struct io_uring_cqe cqe;
        client.now_ns = floor_clock_ns();
        while (floor_reap(&client.ring, &cqe)) {
            unsigned index = (unsigned)cqe.user_data;
            enum kind kind = (enum kind)(cqe.user_data >> 32);
            if (kind == KIND_RECV)
                on_recv(&cqe, index);
            else if (kind == KIND_SEND)
                on_send(&cqe, index);
            else if (kind == KIND_DUE)
                client.due_armed = false;
            else
                expired = true;
        }
        floor_bufs_publish(&client.bufs);
        if (client.step_ns != 0)
            run_due();
        run_ready();
        if (config.spin) {
            floor_enter(&client.ring, 0);
            floor_spin(&client.ring, UINT64_MAX);
        } else {
            floor_enter(&client.ring, 1);
        }
    }
}

/* ---- before and after ---- */

static uint64_t own_cpu_ns(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) < 0)
        floor_die("getrusage: %s", strerror(errno));
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000U +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000U;
}

static struct sample sample_take(void)
{
    return (struct sample){ .wall_ns = floor_clock_ns(),
                            .cpu_ns = own_cpu_ns(),
                            .server_cpu_ns = config.server_pid == 0
                                                 ? 0
                                                 : floor_process_cpu_ns(config.server_pid) };
}

static void build_requests(void)
{
    static char one[REQUEST_BYTES_MAX];
    const char *body = config.body != NULL ? config.body : "";
    char length[64] = "";
    if (config.body != NULL)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
    int len = snprintf(one, sizeof(one), "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n%s",
                       config.method, config.path, config.headers, length, body);
    if (len < 0 || (size_t)len >= sizeof(one))
        floor_die("the request is over %d bytes", REQUEST_BYTES_MAX);
    client.request_bytes = (size_t)len;
    client.requests = floor_map(config.pipeline * client.request_bytes);
    for (unsigned i = 0; i < config.pipeline; i++)
        memcpy(client.requests + i * client.request_bytes, one, client.request_bytes);
}

static int connect_one(void)
{
    return config.unix_path != NULL ? floor_connect_unix(config.unix_path)
                                    : floor_connect(&config.address, 0);
}

/* One exchange on a connection of its own tells how many bytes a response has. */
static void learn_response_bytes(void)
{
    int fd = connect_one();
    for (size_t sent = 0; sent < client.request_bytes;) {
        ssize_t n = send(fd, client.requests + sent, client.request_bytes - sent, MSG_NOSIGNAL);
        if (n < 0)
            floor_die("send: %s", strerror(errno));
        sent += (size_t)n;
    }
    client.response_bytes = floor_recv_response(fd);
    close(fd);
}

static void open_conns(void)
{
    client.conns = floor_map(config.conns * sizeof(*client.conns));
    client.ready = floor_map(config.conns * sizeof(*client.ready));
    client.idle = floor_map(config.conns * sizeof(*client.idle));
    uint64_t *stamps = floor_map((size_t)config.conns * config.pipeline * sizeof(*stamps));
    client.step_ns = config.interval_ns != 0 ? config.interval_ns : config.ramp_ns / config.conns;
    for (unsigned i = 0; i < config.conns; i++) {
        client.conns[i] = (struct conn){ .fd = connect_one(),
                                         .owed = client.step_ns == 0 ? config.pipeline : 0,
                                         .stamps_ns = stamps + (size_t)i * config.pipeline };
        conn_list(&client.conns[i], i);
        if (client.step_ns != 0)
            client.idle[client.idle_count++] = i;
    }
    client.due_ns = floor_clock_ns();
}

static void report_hist(const char *name, const struct floor_hist *hist)
{
    double p50 = (double)floor_hist_percentile(hist, 0.50) / 1e3;
    double p99 = (double)floor_hist_percentile(hist, 0.99) / 1e3;
    double max = (double)hist->max / 1e3;
    if (config.json)
        printf(", \"%s_us\": {\"count\": %llu, \"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f}", name,
               (unsigned long long)hist->count, p50, p99, max);
    else
        printf("%s us: p50 %.1f, p99 %.1f, max %.1f\n", name, p50, p99, max);
}

static void report(const struct sample *from, const struct sample *to)
{
    uint64_t responses = client.responses;
    if (responses == 0)
        floor_die("no response in the measured time");
    double n = (double)responses;
    double seconds = (double)(to->wall_ns - from->wall_ns) / 1e9;
    double client_us = (double)(to->cpu_ns - from->cpu_ns) / 1e3 / n;
    double server_us = (double)(to->server_cpu_ns - from->server_cpu_ns) / 1e3 / n;
    char server_text[32] = "null";
    if (config.server_pid != 0)
        snprintf(server_text, sizeof(server_text), "%.3f", server_us);
    if (config.json)
        printf("{\"requests\": %llu, \"duration_s\": %.4f, \"requests_per_s\": %.1f, "
               "\"bytes_per_s\": %.0f, \"client_cpu_us_per_request\": %.3f, "
               "\"server_cpu_us_per_request\": %s, \"client_cpu_percent\": %.1f",
               (unsigned long long)responses, seconds, n / seconds, (double)client.bytes / seconds,
               client_us, server_text, client_us * n / seconds / 1e4);
    else
        printf("%llu requests in %.2f s: %.0f requests/s\n"
               "CPU us/request: client %.2f, server %s\n",
               (unsigned long long)responses, seconds, n / seconds, client_us, server_text);
    report_hist("latency", &client.latency_ns);
    if (config.schedule.events != 0) {
        report_hist("late", &client.event_late_ns);
        report_hist("end_late", &client.end_late_ns);
        printf(config.json ? ", \"early_us\": %.1f" : "too early us: at most %.1f\n",
               (double)client.early_ns / 1e3);
    }
    if (config.json)
        puts("}");
}

/* ---- options ---- */

static void header_add(const char *line)
{
    size_t used = strlen(config.headers);
    int n = snprintf(config.headers + used, sizeof(config.headers) - used, "%s\r\n", line);
    if (n < 0 || (size_t)n >= sizeof(config.headers) - used)
        floor_die("--header: too many bytes");
}

static const char usage[] =
    "usage: floor-client --connect ADDR:PORT|unix:PATH [options]\n"
    "Asks in a closed loop, as fast as this machine can; all responses must have the same size.\n"
    "  -c N                connections (64)\n"
    "  -p N                requests in flight on each (1)\n"
    "  -d SECONDS          measured time (2)\n"
    "  --warmup SECONDS    time before it (0.3)\n"
    "  --rate N            N requests a second by the clock, instead of as fast as possible\n"
    "  --ramp SECONDS      time in which the connections begin, one after the other (0)\n"
    "  --varying           responses have sizes of their own: read the Content-Length of each\n"
    "  --stream            responses end with their last chunk\n"
    "  --schedule FIRST_US,GAP_US,EVENTS\n"
    "                      with --stream: when the events of a response are due; reports how late\n"
    "                      they are, and the last one of each response\n"
    "  --method M --path P --header 'Name: value' --body TEXT\n"
    "                      the request (GET /api/health); --header may be repeated\n"
    "  --server-pid PID    measure the server's CPU time too\n"
    "  --spin              never sleep\n"
    "  --json              print one JSON object\n";

static struct schedule parse_schedule(const char *text)
{
    unsigned first_us = 0, gap_us = 0, events = 0;
    int end = 0;
    if (sscanf(text, "%9u,%9u,%9u%n", &first_us, &gap_us, &events, &end) != 3 ||
        text[end] != '\0' || events == 0)
        floor_die("--schedule: '%s' is not FIRST_US,GAP_US,EVENTS", text);
    return (struct schedule){ .first_ns = first_us * UINT64_C(1000),
                              .gap_ns = gap_us * UINT64_C(1000),
                              .events = events };
}

static bool answers_take(enum answers answers)
{
    if (config.answers != ANSWERS_ALIKE)
        floor_die("--varying and --stream do not go together");
    config.answers = answers;
    return true;
}

static bool option_take(int c)
{
    switch (c) {
    case 'C':
        config.unix_path = floor_unix_path(optarg);
        if (config.unix_path == NULL)
            config.address = floor_address(optarg);
        return true;
    case 'c':
        config.conns = (unsigned)floor_uint("-c", optarg, 1, 1000000);
        return true;
    case 'p':
        config.pipeline = (unsigned)floor_uint("-p", optarg, 1, PIPELINE_MAX);
        return true;
    case 'd':
        config.duration_ns = floor_seconds_ns("-d", optarg);
        return true;
    case 'w':
        config.warmup_ns = floor_seconds_ns("--warmup", optarg);
        return true;
    case 'r':
        config.interval_ns = 1000000000 / floor_uint("--rate", optarg, 1, 1000000);
        return true;
    case 'R':
        config.ramp_ns = floor_seconds_ns("--ramp", optarg);
        return true;
    case 'v':
        return answers_take(ANSWERS_VARYING);
    case 't':
        return answers_take(ANSWERS_STREAMED);
    case 'D':
        config.schedule = parse_schedule(optarg);
        return true;
    case 'm':
        config.method = optarg;
        return true;
    case 'P':
        config.path = optarg;
        return true;
    case 'H':
        header_add(optarg);
        return true;
    case 'b':
        config.body = optarg;
        return true;
    case 'S':
        config.server_pid = (unsigned)floor_uint("--server-pid", optarg, 1, INT32_MAX);
        return true;
    case 's':
        config.spin = true;
        return true;
    case 'j':
        config.json = true;
        return true;
    default:
        return false;
    }
}

static void options_check(void)
{
    if (config.address.sin_family == 0 && config.unix_path == NULL)
        floor_die("--connect ADDR:PORT is missing (--help tells more)");
    if (config.interval_ns != 0 && (config.pipeline != 1 || config.spin))
        floor_die("--rate goes with neither -p nor --spin");
    if (config.pipeline != 1 && (config.answers != ANSWERS_ALIKE || config.ramp_ns != 0))
        floor_die("-p goes with none of --varying, --stream and --ramp");
    if (config.interval_ns != 0 && config.ramp_ns != 0)
        floor_die("--rate and --ramp do not go together");
    if (config.schedule.events != 0 && config.answers != ANSWERS_STREAMED)
        floor_die("--schedule goes with --stream only");
    if (floor_raise_nofile() < config.conns + 64)
        floor_die("-c %u is more than the limit of descriptors allows", config.conns);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "connect", required_argument, NULL, 'C' },
        { "warmup", required_argument, NULL, 'w' },
        { "rate", required_argument, NULL, 'r' },
        { "ramp", required_argument, NULL, 'R' },
        { "varying", no_argument, NULL, 'v' },
        { "stream", no_argument, NULL, 't' },
        { "schedule", required_argument, NULL, 'D' },
        { "method", required_argument, NULL, 'm' },
        { "path", required_argument, NULL, 'P' },
        { "header", required_argument, NULL, 'H' },
        { "body", required_argument, NULL, 'b' },
        { "server-pid", required_argument, NULL, 'S' },
        { "spin", no_argument, NULL, 's' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    for (int c; (c = getopt_long(argc, argv, "c:p:d:", options, NULL)) != -1;) {
        if (!option_take(c)) {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 1;
        }
    }
    if (optind < argc)
        floor_die("unexpected argument '%s'", argv[optind]);
    options_check();
    build_requests();
    if (config.answers == ANSWERS_ALIKE)
        learn_response_bytes();
    floor_ring_open(&client.ring, SQ_ENTRIES, CQ_ENTRIES);
    floor_bufs_open(&client.bufs, &client.ring, RECV_BUFS,
                    config.answers == ANSWERS_STREAMED ? RECV_STREAM_BUF_BYTES : RECV_BUF_BYTES);
    open_conns();
    run_until(floor_clock_ns() + config.ramp_ns + config.warmup_ns);
    client.responses = client.bytes = client.early_ns = 0;
    memset(&client.latency_ns, 0, sizeof(client.latency_ns));
    memset(&client.event_late_ns, 0, sizeof(client.event_late_ns));
    memset(&client.end_late_ns, 0, sizeof(client.end_late_ns));
    struct sample from = sample_take();
    run_until(from.wall_ns + config.duration_ns);
    struct sample to = sample_take();
    report(&from, &to);
    return 0;
}
