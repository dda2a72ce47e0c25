/* SPDX-License-Identifier: MIT */
/* Traffic for the tests of what a process does besides: calls of all kinds, and a unix server. */
#ifndef WEIR_TESTS_FAULT_FLOOD_H
#define WEIR_TESTS_FAULT_FLOOD_H

#include "fault/rig.h"

#include <sys/un.h>

#define SLACK (16 * MIB)

/* ---- Traffic ----------------------------------------------------------------------------- */

#define FETCHES 24

/* Calls of all kinds, always FETCHES of them under way, until `goal` are answered, and right. */
struct flood {
    struct weir_client *client;
    struct fetch fetches[FETCHES];
    bool busy[FETCHES];
    unsigned begun, right, goal;
    struct weir_timer timer;
    void (*at_step)(unsigned right); /* in a callback of the engine, every millisecond */
};

static struct flood flood;

static inline void flood_init(struct weir_client *client, unsigned goal,
                              void (*at_step)(unsigned right))
{
    flood = (struct flood){ .client = client, .goal = goal, .at_step = at_step };
    rig.wait_ns = 2 * MS;
    rig.release = true;
}

/* @return whether all are answered */
static inline bool flood_step(void)
{
    static const struct {
        enum job_kind kind;
        uint64_t bytes;
    } asks[] = { { JOB_SUM, 0 },        { JOB_COPY, 100 }, { JOB_SUM, 30000 },
                 { JOB_STREAM, 60000 }, { JOB_WAIT, 10 },  { JOB_BORROW, 300000 },
                 { JOB_HOLD, 0 },       { JOB_COPY, 9000 } };
    for (unsigned i = 0; i < FETCHES; i++) {
        struct fetch *fetch = &flood.fetches[i];
        if (flood.busy[i] && fetch->ends > 0) {
            fetch_right(fetch);
            flood.busy[i] = false;
            flood.right++;
        }
        if (flood.busy[i] || flood.begun == flood.goal)
            continue;
        unsigned ask = flood.begun % (sizeof asks / sizeof asks[0]);
        fetch_init(fetch, asks[ask].kind, asks[ask].bytes);
        flood.busy[i] = fetch_send(flood.client, fetch);
        flood.begun += flood.busy[i];
    }
    return flood.right == flood.goal;
}

static inline void flood_on_timer(struct weir_timer *timer, void *ctx)
{
    (void)ctx;
    if (flood_step())
        weir_engine_stop(rig.engine);
    else
        weir_timer_set(rig.engine, timer, weir_engine_now_ns(rig.engine) + MS);
    if (flood.at_step != NULL)
        flood.at_step(flood.right);
}

/* On the rig's engine, which runs by itself until the last answer is there. */
static inline void flood_run(unsigned goal, void (*at_step)(unsigned right))
{
    struct weir_client *client = client_open(rig.engine, 16, 4);
    flood_init(client, goal, at_step);
    weir_timer_init(&flood.timer, flood_on_timer, NULL);
    weir_timer_set(rig.engine, &flood.timer, 0);
    assert_int_equal(weir_engine_run(rig.engine), 0);
    assert_int_equal(flood.right, goal);
    RIG_UNTIL(client_settled(client));
    assert_int_equal(weir_client_close(client), 0);
}

/* ---- A unix server ---- */

static inline struct weir_server *unix_server_open(char path[64])
{
    static const struct weir_server_handler handler = {
        .on_request = on_request, .on_body = on_body, .on_writable = on_writable, .on_end = on_end
    };
    struct weir_server *server;
    struct weir_server_config cfg;
    char listen[80];
    snprintf(path, 64, "/tmp/weir-process-%ld.sock", (long)getpid());
    snprintf(listen, sizeof listen, "unix:%s", path);
    weir_server_config_init(&cfg);
    cfg.listen = listen;
    cfg.date = false;
    if (weir_server_open(&server, rig.engine, &cfg, &handler, &rig) < 0)
        fail_msg("%s", weir_error_text());
    return server;
}

static inline int unix_dial(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

#endif
