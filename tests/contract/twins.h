/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the ring contract share: the table of twins, and a rig around one ring.
 *
 * Both ends of every connection are sockets of the ring's own world, so that one test serves the
 * kernel and a simulator. The rig checks with every completion what holds always: its operation is
 * in flight and ends once, its buffer was the ring's. Its end cancels what is still in flight, and
 * everything must come back.
 *
 * Nothing here sleeps: waiting is entering the ring with a deadline on the ring's own clock.
 */
#ifndef WEIR_TESTS_CONTRACT_TWINS_H
#define WEIR_TESTS_CONTRACT_TWINS_H

#include "core/ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- The twins --------------------------------------------------------------------------- */

struct twin {
    const char *name;
    const struct weir_ring_type *type;
    const char *disable;
    /* The simulated world a ring lives in; NULL for the kernel's. */
    void *(*world_open)(void);
    void (*world_close)(void *world);
    bool inet_only; /* it knows no unix sockets */
};

#include "sim/ring_sim.h"

#define TWINS_SEED 20240624u

static inline void *twin_sim_open(void)
{
    struct sim_world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    sim_world_open(world, TWINS_SEED);
    world->latency_max_ns = 100 * SIM_US;
    world->steps_max = UINT64_MAX;
    world->zc = true;
    return world;
}

static inline void twin_sim_close(void *world)
{
    sim_world_close(world);
    free(world);
}

static const struct twin twins[] = {
    { .name = "uring", .type = &weir_ring_uring },
    { .name = "uring-plain", .type = &weir_ring_uring, .disable = weir_ring_uring_features },
    { .name = "epoll", .type = &weir_ring_epoll },
    { .name = "sim",
      .type = &weir_ring_sim,
      .world_open = twin_sim_open,
      .world_close = twin_sim_close,
      .inet_only = true },
};

#define TWINS_COUNT (sizeof twins / sizeof twins[0])

/* ---- The rig ----------------------------------------------------------------------------- */

#define RIG_MS      1000000ull
#define RIG_WAIT    (5000 * RIG_MS)
#define RIG_LOG_MAX 32768u
#define RIG_OPS_MAX 16384u
#define RIG_FDS_MAX 1024u

/* Every stream of the tests has the same bytes at the same offset, whatever begins where. */
#define RIG_PERIOD    251u
#define RIG_PIECE_MAX (1u << 20)

struct rig {
    const struct twin *twin;
    void *world;
    struct weir_arena arena;
    struct weir_ring *ring;
    struct weir_ring_config cfg;
    const struct weir_ring_ops *ops;
    const struct weir_sock_ops *sock;
    struct weir_cqe log[RIG_LOG_MAX]; /* completions reaped, in order */
    uint32_t log_count;
    bool inflight[RIG_OPS_MAX]; /* by user_data, from rig_op() */
    uint32_t ops_begun, ops_inflight;
    bool ours[32768]; /* buffers that came with completions and were not put */
    int fds[RIG_FDS_MAX];
    uint32_t fds_count;
    char paths[8][64];
    uint32_t paths_count;
    bool abandoned; /* the ring is closed already */
};

static struct rig rig;
static uint8_t rig_pattern[RIG_PIECE_MAX + RIG_PERIOD];

static inline struct weir_ring_config rig_config(void)
{
    return (struct weir_ring_config){
        .sq_entries = 64,
        .cq_entries = 256,
        .ops_max = 2048,
        .bufs_count = 16,
        .buf_bytes = 1024,
        .buf_stride = 1088,
    };
}

static inline void rig_open(struct weir_ring_config cfg)
{
    const struct twin *twin = rig.twin;
    memset(&rig, 0, sizeof rig);
    rig.twin = twin;
    rig.world = twin->world_open != NULL ? twin->world_open() : NULL;
    cfg.disable = twin->disable;
    cfg.arg = rig.world;
    uint64_t bufs_bytes = (uint64_t)cfg.bufs_count * cfg.buf_stride;
    uint64_t bytes = twin->type->bytes(&cfg) + weir_arena_cost(bufs_bytes, WEIR_PAGE);
    assert_int_equal(weir_arena_open(&rig.arena, bytes), 0);
    cfg.bufs = weir_arena_take(&rig.arena, bufs_bytes, WEIR_PAGE);
    rig.cfg = cfg;
    int rc = twin->type->open(&rig.ring, &rig.arena, &rig.cfg);
    if (rc < 0)
        fail_msg("%s: %s", weir_err_name(rc), weir_error_text());
    weir_arena_seal(&rig.arena);
    rig.ops = rig.ring->ops;
    rig.sock = rig.ring->sock;
    for (uint32_t i = 0; i < sizeof rig_pattern; i++)
        rig_pattern[i] = (uint8_t)(i % RIG_PERIOD);
}

/* ---- Operations and completions ---------------------------------------------------------- */

/* The user_data of an operation that is queued now. */
static inline uint64_t rig_op(void)
{
    assert_true(rig.ops_begun < RIG_OPS_MAX);
    rig.inflight[rig.ops_begun] = true;
    rig.ops_inflight++;
    return rig.ops_begun++;
}

static inline void rig_log(const struct weir_cqe *cqe)
{
    assert_true(rig.log_count < RIG_LOG_MAX);
    rig.log[rig.log_count++] = *cqe;
    if (cqe->flags & WEIR_CQE_BUFFER) {
        uint32_t index = cqe->flags >> WEIR_CQE_BUF_SHIFT;
        assert_true(index < rig.cfg.bufs_count);
        assert_false(rig.ours[index]);
        assert_true(cqe->res <= (int32_t)rig.cfg.buf_bytes);
        rig.ours[index] = true;
    }
    if (cqe->user_data < RIG_OPS_MAX) {
        assert_true(rig.inflight[cqe->user_data]);
        if (!(cqe->flags & WEIR_CQE_MORE)) {
            rig.inflight[cqe->user_data] = false;
            rig.ops_inflight--;
        }
    }
}

static inline uint32_t rig_reap(void)
{
    const struct weir_cqe *cqe;
    uint32_t count, sum = 0;
    while ((count = rig.ops->peek(rig.ring, &cqe)) > 0) {
        for (uint32_t i = 0; i < count; i++)
            rig_log(&cqe[i]);
        rig.ops->advance(rig.ring, count);
        sum += count;
    }
    return sum;
}

static inline void rig_enter(uint64_t wait_ns)
{
    struct weir_ring_wait wait = { .count = 1 };
    wait.deadline_ns = rig.ops->now_ns(rig.ring) + wait_ns;
    assert_int_equal(rig.ops->enter(rig.ring, wait_ns > 0 ? &wait : NULL), 0);
}

/* Pass after pass until `cond`, which may have side effects. */
#define RIG_UNTIL(cond)                                                                            \
    do {                                                                                           \
        uint64_t rig_end = weir_clock_ns() + RIG_WAIT;                                             \
        while (!(cond)) {                                                                          \
            if (weir_clock_ns() > rig_end)                                                         \
                fail_msg("in vain: %s (%u completions, %u operations in flight)", #cond,           \
                         rig.log_count, rig.ops_inflight);                                         \
            rig_enter(100 * RIG_MS);                                                               \
            rig_reap();                                                                            \
        }                                                                                          \
    } while (0)

/* Start everything, without waiting. */
static inline void rig_submit(void)
{
    do {
        rig_enter(0);
        rig_reap();
    } while (rig.ops->unsubmitted(rig.ring));
}

/* What does not come within a few short waits does not come. */
static inline void rig_settle(void)
{
    for (unsigned i = 0; i < 4; i++) {
        rig_enter(RIG_MS);
        rig_reap();
    }
}

static inline uint32_t rig_seen(uint64_t op)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig.log_count; i++)
        count += rig.log[i].user_data == op;
    return count;
}

/* The nth completion of an operation, from 0. */
static inline const struct weir_cqe *rig_nth(uint64_t op, uint32_t nth)
{
    for (uint32_t i = 0; i < rig.log_count; i++) {
        if (rig.log[i].user_data == op && nth-- == 0)
            return &rig.log[i];
    }
    fail_msg("operation %llu has no such completion", (unsigned long long)op);
    return NULL;
}

/* Wait for the end of an operation. @return the last result */
static inline int rig_end(uint64_t op)
{
    RIG_UNTIL(!rig.inflight[op]);
    return rig_nth(op, rig_seen(op) - 1)->res;
}

static inline void rig_put(uint32_t index)
{
    assert_true(rig.ours[index]);
    rig.ours[index] = false;
    rig.ops->buf_put(rig.ring, index);
}

static inline void rig_put_all(void)
{
    for (uint32_t i = 0; i < rig.cfg.bufs_count; i++) {
        if (rig.ours[i])
            rig_put(i);
    }
    rig.ops->buf_commit(rig.ring);
}

/* ---- Sockets ----------------------------------------------------------------------------- */

static inline bool rig_has(int family)
{
    return family != AF_UNIX || !rig.twin->inet_only;
}

struct rig_addr {
    struct sockaddr_storage storage;
    socklen_t bytes;
};

static inline struct weir_sockaddr rig_at(const struct rig_addr *addr)
{
    return (struct weir_sockaddr){ (const void *)&addr->storage, addr->bytes };
}

static inline int rig_fd(int fd)
{
    assert_true(fd >= 0);
    assert_true(rig.fds_count < RIG_FDS_MAX);
    rig.fds[rig.fds_count++] = fd;
    return fd;
}

/* Nothing may be in flight on it. */
static inline void rig_close_fd(int fd)
{
    uint32_t i = 0;
    while (i < rig.fds_count && rig.fds[i] != fd)
        i++;
    assert_true(i < rig.fds_count);
    rig.fds[i] = rig.fds[--rig.fds_count];
    rig.sock->close(rig.ring, fd);
}

static inline int rig_stream(const struct rig_addr *addr)
{
    return rig_fd(rig.sock->stream(rig.ring, addr->storage.ss_family));
}

/* A fresh address of the family: a port to be chosen, or a path. */
static inline struct rig_addr rig_addr(int family)
{
    struct rig_addr addr = { .bytes = sizeof(struct sockaddr_in) };
    if (family == AF_INET) {
        struct sockaddr_in *in = (void *)&addr.storage;
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return addr;
    }
    struct sockaddr_un *un = (void *)&addr.storage;
    assert_true(rig.paths_count < 8);
    char *path = rig.paths[rig.paths_count];
    const char *dir = getenv("TMPDIR");
    int n =
        snprintf(path, sizeof rig.paths[0], "%s/weir-contract-%d-%u",
                 dir != NULL && strlen(dir) < 24 ? dir : "/tmp", (int)getpid(), rig.paths_count++);
    assert_true(n > 0 && (size_t)n < sizeof rig.paths[0]);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, (size_t)n + 1);
    addr.bytes = (socklen_t)sizeof *un;
    return addr;
}

/* A listener; *addr becomes the one to connect to. */
static inline int rig_listen(struct rig_addr *addr, int family)
{
    *addr = rig_addr(family);
    int fd = rig_fd(rig.sock->listen(rig.ring, rig_at(addr), 128, false));
    if (family == AF_INET)
        assert_int_equal(rig.sock->local(rig.ring, fd, &addr->storage, &addr->bytes), 0);
    return fd;
}

static inline uint64_t rig_connect(int fd, const struct rig_addr *addr)
{
    uint64_t op = rig_op();
    rig.ops->connect(rig.ring, fd, (const void *)&addr->storage, addr->bytes, op);
    return op;
}

/* A connection: [0] connected, [1] was accepted. */
static inline void rig_pair_at(int fds[2], int listener, const struct rig_addr *addr)
{
    uint64_t accepting = rig_op();
    rig.ops->accept(rig.ring, listener, false, accepting);
    fds[0] = rig_stream(addr);
    assert_int_equal(rig_end(rig_connect(fds[0], addr)), 0);
    fds[1] = rig_fd(rig_end(accepting));
}

static inline void rig_pair(int fds[2], int family)
{
    struct rig_addr addr;
    int listener = rig_listen(&addr, family);
    rig_pair_at(fds, listener, &addr);
    rig_close_fd(listener);
}

static inline uint64_t rig_cancel_fd(int fd)
{
    uint64_t op = rig_op();
    rig.ops->cancel_fd(rig.ring, fd, op);
    return op;
}

/* ---- Streams ----------------------------------------------------------------------------- */

/* `bytes` of the pattern from an offset on. */
static inline struct weir_slice rig_piece(uint64_t offset, size_t bytes)
{
    assert_true(bytes <= RIG_PIECE_MAX);
    return (struct weir_slice){ rig_pattern + offset % RIG_PERIOD, bytes };
}

static inline uint64_t rig_send(int fd, struct weir_slice data)
{
    uint64_t op = rig_op();
    rig.ops->send(rig.ring, fd, data, op);
    return op;
}

static inline uint64_t rig_recv(int fd)
{
    uint64_t op = rig_op();
    rig.ops->recv(rig.ring, fd, true, op);
    return op;
}

/* Receive once. */
static inline uint64_t rig_recv_once(int fd)
{
    uint64_t op = rig_op();
    rig.ops->recv(rig.ring, fd, false, op);
    return op;
}

/* One direction of a connection. Zeroed but for the descriptors and `end` it is ready for use. */
struct rig_flow {
    int from, to;
    uint64_t end; /* bytes to be sent */
    size_t piece; /* at most so many at once; 0 = as many as there are */
    uint64_t sent, received;
    uint64_t send_op, recv_op;
    uint32_t seen; /* of the log */
    bool sending, receiving, deaf;
    int send_error, recv_error; /* EOF: 1 */
};

static inline void rig_flow_received(struct rig_flow *flow, const struct weir_cqe *cqe)
{
    flow->receiving = cqe->flags & WEIR_CQE_MORE;
    if (cqe->res <= 0) {
        assert_false(flow->receiving);
        if (cqe->res != -ENOBUFS)
            flow->recv_error = cqe->res == 0 ? 1 : cqe->res;
        return;
    }
    uint32_t index = cqe->flags >> WEIR_CQE_BUF_SHIFT;
    size_t bytes = (size_t)cqe->res;
    const uint8_t *data = rig.cfg.bufs + (size_t)index * rig.cfg.buf_stride;
    assert_true(cqe->flags & WEIR_CQE_BUFFER);
    assert_memory_equal(data, rig_piece(flow->received, bytes).ptr, bytes);
    flow->received += bytes;
    rig_put(index);
}

static inline void rig_flow_sent(struct rig_flow *flow, const struct weir_cqe *cqe)
{
    flow->sending = false;
    if (cqe->res < 0)
        flow->send_error = cqe->res;
    else
        flow->sent += (uint64_t)cqe->res;
}

/* Take in what was reaped, and queue what comes next. @return is it over? */
static inline bool rig_flow(struct rig_flow *flow)
{
    for (; flow->seen < rig.log_count; flow->seen++) {
        const struct weir_cqe *cqe = &rig.log[flow->seen];
        if (flow->receiving && cqe->user_data == flow->recv_op)
            rig_flow_received(flow, cqe);
        else if (flow->sending && cqe->user_data == flow->send_op)
            rig_flow_sent(flow, cqe);
    }
    rig.ops->buf_commit(rig.ring);
    if (!flow->sending && flow->sent < flow->end && flow->send_error == 0) {
        size_t most = flow->piece > 0 ? flow->piece : RIG_PIECE_MAX;
        flow->send_op =
            rig_send(flow->from, rig_piece(flow->sent, weir_min_u64(flow->end - flow->sent, most)));
        flow->sending = true;
    }
    if (!flow->receiving && !flow->deaf && flow->recv_error == 0) {
        flow->recv_op = rig_recv(flow->to);
        flow->receiving = true;
    }
    return flow->sent == flow->end && (flow->deaf || flow->received == flow->end);
}

/* Fill the connection until a send waits. @return that send; *sent: bytes before it */
static inline uint64_t rig_fill(int fd, uint64_t *sent)
{
    for (*sent = 0; *sent < 256u << 20;) {
        uint64_t op = rig_send(fd, rig_piece(*sent, RIG_PIECE_MAX));
        rig_settle();
        if (rig.inflight[op])
            return op;
        assert_true(rig_end(op) > 0);
        *sent += (uint64_t)rig_end(op);
    }
    fail_msg("a peer that does not read takes everything");
    return 0;
}

/* ---- Beginning and end of a test --------------------------------------------------------- */

static inline int rig_setup(void **state)
{
    rig.twin = *state;
    rig_open(rig_config());
    return 0;
}

/* Cancel what is in flight: all of it ends, and every buffer can be given back. */
static inline void rig_finish(void)
{
    for (uint32_t i = 0; i < rig.fds_count; i++)
        (void)rig_cancel_fd(rig.fds[i]);
    RIG_UNTIL(rig.ops_inflight == 0);
    assert_false(rig.ops->unsubmitted(rig.ring));
    rig_put_all();
    while (rig.fds_count > 0)
        rig_close_fd(rig.fds[0]);
    rig.ops->close(rig.ring);
}

static inline int rig_teardown(void **state)
{
    (void)state;
    if (!rig.abandoned)
        rig_finish();
    if (rig.twin->world_close != NULL)
        rig.twin->world_close(rig.world);
    for (uint32_t i = 0; i < rig.paths_count; i++)
        (void)unlink(rig.paths[i]);
    weir_arena_close(&rig.arena);
    return 0;
}

/* Another configuration for the rest of the test. */
static inline void rig_reopen(struct weir_ring_config cfg)
{
    rig_teardown(NULL);
    rig_open(cfg);
}

/* ---- Rules ------------------------------------------------------------------------------- */

struct rule {
    const char *name;
    CMUnitTestFunction check;
};

#define RULE(f)                                                                                    \
    {                                                                                              \
#f, f                                                                                      \
    }
#define RULES_MAX 64

/* One test for each rule and twin, named rule[twin]. */
static inline int rules_run(const struct rule *rules, size_t rules_count)
{
    static char names[RULES_MAX * TWINS_COUNT][64];
    static struct CMUnitTest tests[RULES_MAX * TWINS_COUNT];
    size_t count = 0;
    if (rules_count > RULES_MAX)
        return 1;
    for (size_t twin = 0; twin < TWINS_COUNT; twin++) {
        for (size_t i = 0; i < rules_count; i++, count++) {
            snprintf(names[count], sizeof names[count], "%s[%s]", rules[i].name, twins[twin].name);
            tests[count] = (struct CMUnitTest){ .name = names[count],
                                                .test_func = rules[i].check,
                                                .setup_func = rig_setup,
                                                .teardown_func = rig_teardown,
                                                .initial_state = (void *)(uintptr_t)&twins[twin] };
        }
    }
    return _cmocka_run_group_tests("ring contract", tests, count, NULL, NULL);
}

#endif
