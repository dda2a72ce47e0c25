/* SPDX-License-Identifier: MIT */
/*
 * Servers that answer by themselves, for a client of several endpoints or of one with a name: each
 * has a port that it may listen at or not, and says the same to everybody.
 */
#ifndef WEIR_TESTS_UNIT_PROTO_HTTP_CLIENT_NODES_H
#define WEIR_TESTS_UNIT_PROTO_HTTP_CLIENT_NODES_H

#include "unit/proto/http/client_rig.h"

#include <netinet/in.h>

enum { CALLS_MAX = 200 };
static struct rig_call calls[CALLS_MAX];

static inline struct weir_client_stats stats(void)
{
    return rig_client_stats(&rig);
}

#define SILENCE ((const char *)NULL)
#define BUSY    "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

struct node {
    int fd;
    uint16_t port;
    const char *answer, *health; /* to requests, and to those for /health */
    unsigned requests, checks, accepted;
    char text[64];
};
enum { NODES_MAX = 3 };
static struct node nodes[NODES_MAX];
static const char *texts[NODES_MAX];
static struct node *node_of[RIG_PEERS_MAX];

/* A socket at the node's port, or at any; those that connect are refused until it listens. */
static inline void node_bind(struct node *n, uint32_t address)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(n->port) };
    socklen_t bytes = sizeof in;
    const int on = 1;
    in.sin_addr.s_addr = htonl(address);
    n->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(n->fd >= 0);
    assert_int_equal(setsockopt(n->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(n->fd, (const void *)&in, sizeof in), 0);
    assert_int_equal(getsockname(n->fd, (void *)&in, &bytes), 0);
    n->port = ntohs(in.sin_port);
    (void)snprintf(n->text, sizeof n->text, "http://127.0.0.1:%u", n->port);
}

static inline void node_listen(struct node *n)
{
    assert_int_equal(listen(n->fd, 64), 0);
}

/* So many servers, and a client of them. */
static inline void open_nodes(unsigned count)
{
    memset(nodes, 0, sizeof nodes);
    memset(node_of, 0, sizeof node_of);
    rig_clock_hook(&rig);
    for (unsigned i = 0; i < count; i++) {
        nodes[i].answer = nodes[i].health = OK_EMPTY;
        node_bind(&nodes[i], INADDR_LOOPBACK);
        texts[i] = nodes[i].text;
    }
    rig.client_cfg.seed = 7;
    rig.client_cfg.endpoints = texts;
    rig.client_cfg.endpoints_count = count;
    int rc = weir_client_open(&rig.client, rig.engine, &rig.client_cfg);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
}

static inline void open_listening(unsigned count)
{
    open_nodes(count);
    for (unsigned i = 0; i < count; i++)
        node_listen(&nodes[i]);
}

static inline void close_nodes(void)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (nodes[i].text[0] != '\0')
            close(nodes[i].fd);
    memset(nodes, 0, sizeof nodes);
}

static inline void node_answer(struct rig_peer *p, struct node *n)
{
    char *end;
    while (p->fd >= 0 && (end = strstr(rig_buf_str(&p->in), "\r\n\r\n")) != NULL) {
        bool check = strncmp(p->in.ptr, "GET /health ", 12) == 0;
        const char *text = check ? n->health : n->answer;
        n->checks += check;
        n->requests += !check;
        rig_buf_drop(&p->in, (size_t)(end - p->in.ptr) + 4);
        if (text != SILENCE)
            rig_text(&rig, p, text);
    }
    if (p->eof || p->err != 0)
        rig_hang_up(p);
}

static inline void pump(void)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        int fd;
        while (nodes[i].text[0] != '\0' &&
               (fd = accept4(nodes[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
            struct rig_peer *p = rig_peer_add(&rig, fd);
            node_of[p - rig.peers] = &nodes[i];
            nodes[i].accepted++;
        }
    }
    for (unsigned i = 0; i < rig.peers_count; i++)
        if (rig.peers[i].fd >= 0 && node_of[i] != NULL)
            node_answer(&rig.peers[i], node_of[i]);
}

#define UNTIL(cond) RIG_UNTIL(&rig, (pump(), (cond)))

static inline void settle(void)
{
    for (unsigned i = 0; i < 6; i++) {
        rig_pass(&rig);
        pump();
    }
}

static inline void pass_time(uint64_t ns)
{
    rig_clock.now_ns += ns;
    settle();
}

static inline struct weir_endpoint_stats endpoint_stats(uint32_t index)
{
    struct weir_endpoint_stats s = { .size = sizeof s };
    weir_client_endpoint_stats(rig.client, index, &s);
    return s;
}

static inline int teardown(void **state)
{
    if (rig.engine != NULL && rig.engine->depth > 0)
        return -1;
    close_nodes();
    return rig_teardown(state);
}

#define NODES_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, teardown)

static inline void note_text(struct rig_call *rc)
{
    rig_buf_text(&rc->body, weir_error_text());
}

static inline void expect_text(struct rig_call *rc, const char *one, const char *two)
{
    const char *text = rig_buf_str(&rc->body);
    if (strstr(text, one) == NULL || strstr(text, two) == NULL) {
        print_error("\"%s\" lacks \"%s\" or \"%s\"\n", text, one, two);
        fail();
    }
    rig_buf_free(&rc->body);
}

#endif
