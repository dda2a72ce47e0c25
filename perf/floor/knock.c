/* SPDX-License-Identifier: MIT */
/*
 * floor-knock: one request on each connection. Connects, asks with `Connection: close`, reads the
 * answer and the end that the server makes, closes, and connects again; a fixed number of
 * connections at a time, one thread, one ring.
 *
 * Connecting, asking and reading are one chain of submissions: a connection costs this side little
 * more than what the network's own code takes, so that it is the server that is measured.
 *
 * After the end it closes with a reset, which ends the server's half at once. A server's half that
 * was closed in order would rest in TIME_WAIT for a minute, and a run of some seconds would leave
 * tens of thousands of them for the next one to step over.
 */
#include "floor.h"

#include <getopt.h>

/* All links of a chain must fit one submission queue: a chain ends with the enter that takes it. */
enum { CONNS_MAX = 1024, LINKS = 3, ANSWER_BYTES_MAX = 4096 };

static struct config {
    struct sockaddr_in address;
    unsigned conns;
    uint64_t duration_ns;
    uint64_t warmup_ns;
    const char *path;
    unsigned server_pid;
} config = {
    .conns = 64, .duration_ns = 1000000000, .warmup_ns = 100000000, .path = "/api/health"
};

enum step { STEP_CONNECT, STEP_SEND, STEP_RECV };

struct knock {
    int fd;
    uint8_t answer[ANSWER_BYTES_MAX];
};

static struct floor_ring ring;
static struct knock *knocks;
static char request[1024];
static size_t request_bytes;

/* Next link of a connection's chain; only the last one and one that failed tell of themselves. */
static void link_add(struct io_uring_sqe *sqe, unsigned index, enum step step)
{
    sqe->user_data = (uint64_t)index << 2 | step;
    if (step != STEP_RECV)
        sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
}

static void knock_begin(unsigned index)
{
    const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    struct knock *k = &knocks[index];
    k->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (k->fd < 0)
        floor_die("socket: %s", strerror(errno));
    if (setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0)
        floor_die("SO_LINGER: %s", strerror(errno));
    struct io_uring_sqe *sqe = floor_sqe(&ring);
    io_uring_prep_connect(sqe, k->fd, (struct sockaddr *)&config.address, sizeof(config.address));
    link_add(sqe, index, STEP_CONNECT);
    sqe = floor_sqe(&ring);
    io_uring_prep_send(sqe, k->fd, request, request_bytes, MSG_NOSIGNAL | MSG_WAITALL);
    link_add(sqe, index, STEP_SEND);
    sqe = floor_sqe(&ring);
    /* MSG_WAITALL: until the end that the server makes. */
    io_uring_prep_recv(sqe, k->fd, k->answer, ANSWER_BYTES_MAX - 1, MSG_WAITALL);
    link_add(sqe, index, STEP_RECV);
}

/* The server has closed: is the answer there, whole and alone? */
static void knock_check(struct knock *k, size_t len)
{
    k->answer[len] = '\0';
    const char *answer = (const char *)k->answer;
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = strcasestr(answer, "\r\nContent-Length:");
    if (end == NULL || length == NULL || length > end || !floor_is_2xx(k->answer))
        floor_die("expected a 2xx answer with Content-Length, got '%.40s'", answer);
    size_t head = (size_t)(end + 4 - answer);
    if (len != head + strtoull(length + strlen("\r\nContent-Length:"), NULL, 10))
        floor_die("the server closed after %zu bytes, which are not one answer", len);
}

static void knock_end(const struct io_uring_cqe *cqe)
{
    static const char *const names[] = { "connect", "send", "receive" };
    struct knock *k = &knocks[cqe->user_data >> 2];
    enum step step = (enum step)(cqe->user_data & 3);
    if (cqe->res < 0 || step != STEP_RECV)
        floor_die("%s: %s", names[step], cqe->res < 0 ? strerror(-cqe->res) : "cut short");
    knock_check(k, (size_t)cqe->res);
    close(k->fd);
}

/* @return connections that were answered and closed */
static uint64_t run_until(uint64_t end_ns)
{
    uint64_t count = 0;
    while (floor_clock_ns() < end_ns) {
        struct io_uring_cqe cqe;
        floor_enter(&ring, 1);
        for (; floor_reap(&ring, &cqe); count++) {
            knock_end(&cqe);
            knock_begin((unsigned)(cqe.user_data >> 2));
        }
    }
    return count;
}

static void measure(void)
{
    run_until(floor_clock_ns() + config.warmup_ns);
    uint64_t begin_ns = floor_clock_ns();
    uint64_t begin_cpu_ns = floor_process_cpu_ns(config.server_pid);
    uint64_t count = run_until(begin_ns + config.duration_ns);
    double seconds = (double)(floor_clock_ns() - begin_ns) / 1e9;
    double cpu_us = (double)(floor_process_cpu_ns(config.server_pid) - begin_cpu_ns) / 1e3;
    if (count == 0)
        floor_die("no connection was answered in the measured time");
    printf("{\"connections\": %llu, \"requests_per_s\": %.1f, "
           "\"server_cpu_us_per_request\": %.3f}\n",
           (unsigned long long)count, (double)count / seconds, cpu_us / (double)count);
}

static const char usage[] =
    "usage: floor-knock --connect ADDR:PORT --server-pid PID [options]\n"
    "One request on each connection, N connections at a time; prints one JSON object.\n"
    "  -c N                connections at a time (64)\n"
    "  -d SECONDS          measured time (1)\n"
    "  --warmup SECONDS    time before it (0.1)\n"
    "  --path P            what is asked for (/api/health)\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "connect", required_argument, NULL, 'C' }, { "path", required_argument, NULL, 'P' },
        { "warmup", required_argument, NULL, 'w' },  { "server-pid", required_argument, NULL, 'S' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
    };
    for (int c; (c = getopt_long(argc, argv, "c:d:", options, NULL)) != -1;) {
        if (c == 'C') {
            config.address = floor_address(optarg);
        } else if (c == 'P') {
            config.path = optarg;
        } else if (c == 'w') {
            config.warmup_ns = floor_seconds_ns("--warmup", optarg);
        } else if (c == 'S') {
            config.server_pid = (unsigned)floor_uint("--server-pid", optarg, 1, INT32_MAX);
        } else if (c == 'c') {
            config.conns = (unsigned)floor_uint("-c", optarg, 1, CONNS_MAX);
        } else if (c == 'd') {
            config.duration_ns = floor_seconds_ns("-d", optarg);
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 1;
        }
    }
    if (optind < argc)
        floor_die("unexpected argument '%s'", argv[optind]);
    if (config.address.sin_family == 0 || config.server_pid == 0)
        floor_die("--connect and --server-pid are required (--help tells more)");
    request_bytes = (size_t)snprintf(
        request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        config.path);
    if (request_bytes >= sizeof(request))
        floor_die("--path: over %zu bytes", sizeof(request));
    knocks = floor_map(config.conns * sizeof(*knocks));
    floor_ring_open(&ring, LINKS * CONNS_MAX, LINKS * CONNS_MAX);
    for (unsigned i = 0; i < config.conns; i++)
        knock_begin(i);
    measure();
    return 0;
}
