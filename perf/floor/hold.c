/* SPDX-License-Identifier: MIT */
/*
 * floor-hold: opens many connections and holds them, so that somebody else can look at what they
 * cost the server: its memory per idle connection, or, with --no-wait and a server that answers
 * late, per request in flight. It uses plain blocking calls: nothing is measured here.
 */
#include "floor.h"

#include <getopt.h>

/* Connections that one source address can have to one destination: the default range of local
 * ports. */
enum { CONNS_PER_SOURCE = 28000 };
/* Requests written before their answers are read: fits any socket buffer, keeps the server busy. */
enum { BATCH = 256 };

static struct config {
    struct sockaddr_in address;
    unsigned conns;
    const char *path; /* NULL: no request */
    bool wait;
} config = { .conns = 1000, .wait = true };

static void open_batch(int *fds, unsigned first, unsigned count)
{
    bool one_source = config.conns <= CONNS_PER_SOURCE;
    for (unsigned i = first; i < first + count; i++) {
        in_addr_t source = one_source ? 0 : htonl(INADDR_LOOPBACK + 1 + i / CONNS_PER_SOURCE);
        fds[i] = floor_connect(&config.address, source);
    }
}

static void send_request(int fd)
{
    char text[1024];
    int len =
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", config.path);
    if (len < 0 || (size_t)len >= sizeof(text))
        floor_die("--request-path: too long");
    ssize_t sent = send(fd, text, (size_t)len, MSG_NOSIGNAL);
    if (sent != len)
        floor_die("send: %s", sent < 0 ? strerror(errno) : "cut short");
}

int main(int argc, char **argv)
{
    static const char usage[] =
        "usage: floor-hold --connect ADDR:PORT [-c N] [--request-path PATH [--no-wait]]\n"
        "Opens N connections, prints 'holding N' and holds them until standard input ends.\n"
        "  -c N                  connections (1000)\n"
        "  --request-path PATH   send one GET on each and wait for the complete answers\n"
        "  --no-wait             do not wait for the answers\n";
    static const struct option options[] = { { "connect", required_argument, NULL, 'C' },
                                             { "request-path", required_argument, NULL, 'P' },
                                             { "no-wait", no_argument, NULL, 'n' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    for (int c; (c = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (c == 'C') {
            config.address = floor_address(optarg);
        } else if (c == 'c') {
            config.conns = (unsigned)floor_uint("-c", optarg, 1, 1000000);
        } else if (c == 'P') {
            config.path = optarg;
        } else if (c == 'n') {
            config.wait = false;
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 1;
        }
    }
    if (optind < argc)
        floor_die("unexpected argument '%s'", argv[optind]);
    if (config.address.sin_family == 0)
        floor_die("--connect ADDR:PORT is missing (--help tells more)");
    if (config.conns > CONNS_PER_SOURCE &&
        ntohl(config.address.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
        floor_die("more than %d connections only to 127.0.0.0/8", CONNS_PER_SOURCE);
    if (floor_raise_nofile() < config.conns + 16)
        floor_die("-c %u is more than the limit of descriptors allows", config.conns);

    int *fds = floor_map(config.conns * sizeof(*fds));
    for (unsigned first = 0; first < config.conns; first += BATCH) {
        unsigned count = (unsigned)floor_min(BATCH, config.conns - first);
        open_batch(fds, first, count);
        for (unsigned i = first; config.path != NULL && i < first + count; i++)
            send_request(fds[i]);
        for (unsigned i = first; config.path != NULL && config.wait && i < first + count; i++)
            floor_recv_response(fds[i]);
    }
    printf("holding %u\n", config.conns);
    if (fflush(stdout) != 0)
        floor_die("standard output: %s", strerror(errno));
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    return 0; /* the kernel closes them all */
}
