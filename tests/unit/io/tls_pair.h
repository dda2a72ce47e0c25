/* SPDX-License-Identifier: MIT */
/* Two ends of one TLS connection on an engine, for the tests of io/tls_link.c: on each ring. */
#ifndef WEIR_TESTS_UNIT_IO_TLS_PAIR_H
#define WEIR_TESTS_UNIT_IO_TLS_PAIR_H

#include "tls_rig.h"

#define MIB (1u << 20)

static const char *ring; /* of the tests that run now */
static struct weir_engine *engine;
static struct weir_tls *client_tls, *server_tls;
static struct tls_end client, server;
static const struct tls_name localhost = { "localhost", "1" };

static inline struct weir_engine_config link_config(void)
{
    struct weir_engine_config cfg = rig_config();
    cfg.send_bytes_max = 4 * MIB;
    assert_int_equal(weir_parse_ring(&cfg.ring, ring), 0);
    return cfg;
}

static inline int setup(void **state)
{
    (void)state;
    struct weir_engine_config cfg = link_config();
    engine = rig_open(&cfg);
    client = server = (struct tls_end){ .secured = 0 };
    client_tls = server_tls = NULL;
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    weir_tls_close(client_tls);
    weir_tls_close(server_tls);
    rig_close(engine);
    assert_int_equal(ERR_peek_error(), 0);
    return 0;
}

/* Open both configurations; NULL: the usual one. */
static inline void configure(const struct weir_tls_config *client_cfg,
                             const struct weir_tls_config *server_cfg)
{
    struct weir_tls_config c = tls_client_config(), s = tls_server_config();
    weir_tls_close(client_tls);
    weir_tls_close(server_tls);
    client_tls = tls_open(client_cfg != NULL ? client_cfg : &c);
    server_tls = tls_open(server_cfg != NULL ? server_cfg : &s);
}

static inline void begin(int client_fd, int server_fd, const struct tls_name *name)
{
    client = server = (struct tls_end){ .secured = 0 };
    assert_int_equal(tls_end_begin(&server, engine, server_fd, server_tls, NULL), 0);
    assert_int_equal(tls_end_begin(&client, engine, client_fd, client_tls, name), 0);
}

/* A handshake over a socket pair, to the end, whatever it is. */
static inline void shake(const struct tls_name *name)
{
    int fds[2];
    rig_unix_pair(fds);
    begin(fds[0], fds[1], name);
    RIG_RUN_UNTIL(engine, (client.secured && server.secured) || tls_closed(&client));
}

static inline void part(void)
{
    tls_close(engine, &client);
    tls_close(engine, &server);
}

static inline void join(const struct tls_name *name)
{
    shake(name);
    assert_int_equal(client.secured, 1);
    assert_int_equal(server.secured, 1);
}

static inline void close_in(struct rig_session *s, enum rig_event event)
{
    if (event == (enum rig_event)s->arg && event != RIG_CLOSED)
        weir_conn_close(s->conn, -77, false);
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The tests of a program, on each ring. */
#define LINK_RUN(tests)                                                                            \
    do {                                                                                           \
        static const char *const rings[] = { "auto", "epoll" };                                    \
        int failed = tls_setup(NULL);                                                              \
        for (size_t i = 0; i < sizeof rings / sizeof rings[0]; i++) {                              \
            ring = rings[i];                                                                       \
            failed += cmocka_run_group_tests_name(ring, tests, NULL, NULL);                        \
        }                                                                                          \
        return failed + tls_teardown(NULL);                                                        \
    } while (0)

#endif
