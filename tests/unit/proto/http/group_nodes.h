/* SPDX-License-Identifier: MIT */
/*
 * What the tests of a server group share: nodes, each an engine with a server of the group, and
 * connections to them. A server answers with the name of its node. Ending a test checks that all
 * memory and descriptors were given back.
 */
#ifndef WEIR_TESTS_UNIT_PROTO_HTTP_GROUP_NODES_H
#define WEIR_TESTS_UNIT_PROTO_HTTP_GROUP_NODES_H

#include "proto/http/server_impl.h"
#include "unit/proto/http/rig.h"

#include <weir/group.h>
#include <weir/random.h>

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>

#define NODES_MAX 4u
#define CONNS_MAX 200u
#define GET_TEXT  "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_TEXT   "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"

struct node {
    struct weir_engine_config engine_cfg;
    struct weir_server_config server_cfg;
    struct weir_engine *engine;
    struct weir_server *server;
    uint8_t name; /* what it answers */
    unsigned drained;
    /* with a thread of its own */
    pthread_t thread;
    bool running;
    sem_t opened, told; /* told to stop: the teller is done with the engine */
    int err;
    struct weir_task drain_task;
    struct weir_server_stats stats; /* at its end */
};

struct nodes {
    struct node at[NODES_MAX];
    unsigned count;
    struct weir_server_group *group;
    unsigned fds_before;
    int listen_fd; /* makes connections that no node's listener sees */
    struct weir_addr addr;
    struct rig_peer peers[CONNS_MAX];
    unsigned peers_count;
};

static struct nodes nodes;

/* ---- Opening and closing ----------------------------------------------------------------- */

static inline void on_request(struct weir_exchange *x, void *ctx)
{
    const struct node *n = ctx;
    struct weir_response response = { .status = 200, .body = { &n->name, 1 } };
    assert_int_equal(weir_exchange_respond(x, &response), 0);
}

static const struct weir_server_handler handler = { .on_request = on_request };

static inline void on_drained(struct weir_server *server, void *ctx)
{
    struct node *n = ctx;
    assert_ptr_equal(server, n->server);
    n->drained++;
    weir_engine_stop(n->engine);
}

static inline int setup(void **state)
{
    (void)state;
    memset(&nodes, 0, sizeof nodes);
    nodes.fds_before = rig_fds_count();
    assert_int_equal(weir_addr_parse_listen(&nodes.addr, "127.0.0.1:0"), 0);
    nodes.listen_fd = sock_listen(&nodes.addr, 64, 0);
    assert_true(nodes.listen_fd >= 0);
    assert_int_equal(sock_local(nodes.listen_fd, &nodes.addr), 0);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct node *n = &nodes.at[i];
        n->name = (uint8_t)('0' + i);
        weir_engine_config_init(&n->engine_cfg);
        n->engine_cfg.conns_max = 256;
        n->engine_cfg.recv_bufs_max = 64;
        n->engine_cfg.send_bytes_max = 1u << 20;
        n->engine_cfg.stash_bytes_max = 1u << 20;
        weir_server_config_init(&n->server_cfg);
        n->server_cfg.listen = "127.0.0.1:0";
        n->server_cfg.reuse_port = true;
        n->server_cfg.conns_max = 200;
        n->server_cfg.exchanges_max = 256;
        n->server_cfg.date = false;
    }
    return 0;
}

static inline void close_server(unsigned i)
{
    struct node *n = &nodes.at[i];
    assert_int_equal(weir_server_close(n->server), 0);
    n->server = NULL;
}

static inline void close_engine(struct node *n)
{
    struct weir_engine_stats stats = { .size = sizeof stats };
    weir_engine_stats(n->engine, &stats);
    assert_int_equal(stats.conns_now, 0);
    assert_int_equal(stats.unexpected, 0);
    assert_int_equal(n->engine->wheel.set_count, 0);
    assert_int_equal(weir_engine_close(n->engine), 0);
    n->engine = NULL;
}

static inline void close_all(void)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        if (nodes.at[i].server != NULL)
            close_server(i);
        if (nodes.at[i].engine != NULL)
            close_engine(&nodes.at[i]);
    }
    for (unsigned i = 0; i < nodes.peers_count; i++) {
        if (nodes.peers[i].fd >= 0)
            rig_hang_up(&nodes.peers[i]);
        rig_buf_free(&nodes.peers[i].in);
    }
    nodes.peers_count = 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (nodes.at[i].running || (nodes.at[i].engine != NULL && nodes.at[i].engine->depth > 0))
            return -1; /* it failed in the middle of something: nothing can be closed */
    close_all();
    if (nodes.group != NULL)
        assert_int_equal(weir_server_group_close(nodes.group), 0);
    close(nodes.listen_fd);
    assert_int_equal(rig_fds_count(), nodes.fds_before);
    return 0;
}

/* ---- Connections ------------------------------------------------------------------------- */

/* A socket connected to a port, by the kernel's choice of listener; -1: it has just closed. */
static inline int try_dial(const char *address)
{
    struct weir_addr addr;
    assert_int_equal(weir_addr_parse_listen(&addr, address), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const void *)&addr.storage, addr.bytes) == 0)
        return fd;
    assert_true(errno == ECONNRESET || errno == ECONNREFUSED);
    close(fd);
    return -1;
}

static inline int dial(const char *address)
{
    int fd = try_dial(address);
    assert_true(fd >= 0);
    return fd;
}

/* ---- Chance ------------------------------------------------------------------------------ */

static uint64_t random_seed, random_draw;

static inline void random_begin(uint64_t seed)
{
    print_message("seed %llu\n", (unsigned long long)seed);
    random_seed = seed;
    random_draw = 0;
}

static inline unsigned random_below(unsigned bound)
{
    return (unsigned)(weir_random_u64(random_seed, 0, random_draw++) % bound);
}

#define GROUP_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
