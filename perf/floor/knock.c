/* SPDX-License-Identifier: MIT */
/*
 * floor-knock: one request on each connection. Connects, asks, reads the answer to its declared
 * end, closes, and connects again; a fixed number of connections at a time, one thread, epoll.
 *
 * It closes with a reset: a port that was closed in order would rest for a minute, and a run of
 * some seconds would use up all there are.
 */
#include "floor.h"

#include <getopt.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

enum { ANSWER_BYTES_MAX = 65536, EVENTS = 256 };

static struct config {
    struct sockaddr_in address;
    unsigned conns;
    uint64_t duration_ns;
    const char *path;
    unsigned server_pid;
} config = { .conns = 64, .duration_ns = 1000000000, .path = "/api/health" };

struct knock {
    int fd;
    bool asked;
    size_t len;
    uint8_t answer[ANSWER_BYTES_MAX];
};

static char request[1024];
static size_t request_bytes;
static int epoll_fd;

static void knock_begin(struct knock *k)
{
    const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    k->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    k->asked = false;
    k->len = 0;
    if (k->fd < 0)
        floor_die("socket: %s", strerror(errno));
    if (setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0)
        floor_die("SO_LINGER: %s", strerror(errno));
    if (connect(k->fd, (struct sockaddr *)&config.address, sizeof(config.address)) < 0 &&
        errno != EINPROGRESS)
        floor_die("connect: %s", strerror(errno));
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = k };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, k->fd, &event) < 0)
        floor_die("epoll_ctl: %s", strerror(errno));
}

/* Is the answer there whole? */
static bool knock_answered(struct knock *k)
{
    k->answer[k->len] = '\0';
    char *end = strstr((char *)k->answer, "\r\n\r\n");
    char *length = strcasestr((char *)k->answer, "\r\ncontent-length:");
    if (end == NULL)
        return false;
    if (length == NULL || length > end || !floor_is_2xx(k->answer))
        floor_die("expected a 2xx answer with Content-Length, got '%.40s'", (char *)k->answer);
    size_t body = strtoul(length + 17, NULL, 10);
    return k->len >= (size_t)(end + 4 - (char *)k->answer) + body;
}

/* @return true when it is over */
static bool knock_step(struct knock *k)
{
    if (!k->asked) {
        ssize_t n = send(k->fd, request, request_bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n != (ssize_t)request_bytes)
            floor_die("send: %s", n < 0 ? strerror(errno) : "cut short");
        k->asked = true;
    }
    ssize_t n = recv(k->fd, k->answer + k->len, ANSWER_BYTES_MAX - 1 - k->len, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        floor_die("receive: %s", n < 0 ? strerror(errno) : "the server closed too early");
    k->len += (size_t)n;
    return knock_answered(k);
}

static void run(struct knock *knocks)
{
    uint64_t count = 0;
    uint64_t begin_ns = floor_clock_ns(), cpu_ns = floor_process_cpu_ns(config.server_pid),
             now_ns = begin_ns;
    while (now_ns < begin_ns + config.duration_ns) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll_fd, events, EVENTS, 1000);
        if (n == 0)
            floor_die("no event within a second");
        for (int i = 0; i < n; i++) {
            struct knock *k = events[i].data.ptr;
            if (!knock_step(k))
                continue;
            close(k->fd);
            count++;
            knock_begin(k);
        }
        now_ns = floor_clock_ns();
    }
    double seconds = (double)(now_ns - begin_ns) / 1e9;
    printf("{\"connections\": %llu, \"requests_per_s\": %.1f, \"server_cpu_us_per_connection\": "
           "%.3f}\n",
           (unsigned long long)count, (double)count / seconds,
           (double)(floor_process_cpu_ns(config.server_pid) - cpu_ns) / 1e3 /
               (double)(count > 0 ? count : 1));
    for (unsigned i = 0; i < config.conns; i++)
        close(knocks[i].fd);
}

static const char usage[] =
    "usage: floor-knock --connect ADDR:PORT --server-pid PID [-c N] [-d SECONDS] [--path P]\n"
    "One request on each connection, N connections (64) at a time; prints one JSON object.\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "connect", required_argument, NULL, 'C' },
        { "path", required_argument, NULL, 'P' },
        { "server-pid", required_argument, NULL, 'S' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    for (int c; (c = getopt_long(argc, argv, "c:d:", options, NULL)) != -1;) {
        if (c == 'C') {
            config.address = floor_address(optarg);
        } else if (c == 'P') {
            config.path = optarg;
        } else if (c == 'S') {
            config.server_pid = (unsigned)floor_uint("--server-pid", optarg, 1, INT32_MAX);
        } else if (c == 'c') {
            config.conns = (unsigned)floor_uint("-c", optarg, 1, 10000);
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
    request_bytes = (size_t)snprintf(request, sizeof(request),
                                     "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", config.path);
    if (request_bytes >= sizeof(request))
        floor_die("--path: over %zu bytes", sizeof(request));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        floor_die("epoll_create1: %s", strerror(errno));
    struct knock *knocks = floor_map(config.conns * sizeof(*knocks));
    for (unsigned i = 0; i < config.conns; i++)
        knock_begin(&knocks[i]);
    run(knocks);
    return 0;
}
