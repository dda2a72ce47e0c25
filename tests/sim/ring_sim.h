/* SPDX-License-Identifier: MIT */
/*
 * The simulator's twin of the seam: operations on the sockets of a sim_world, and every liberty
 * that core/ring.h gives a twin, taken at random. weir_ring_config.arg is the world.
 *
 * The twin is also the judge: it keeps sums of the memory that operations were given, the owner of
 * every buffer, and who is in flight; what the engine may not do ends the process with sim_fail().
 */
#ifndef WEIR_TESTS_SIM_RING_SIM_H
#define WEIR_TESTS_SIM_RING_SIM_H

#include "core/engine.h"
#include "core/ring.h"
#include "world.h"

extern const struct weir_ring_type weir_ring_sim;

/*
 * Rules that an engine could break, broken for it: something between engine and twin errs in the
 * engine's name. Each must be noticed.
 */
#define SIM_CANARIES(XX)                                                                           \
    XX(LOST_RECV, "a receive is not armed")                                                        \
    XX(TWO_RECVS, "a receive is armed twice")                                                      \
    XX(SEND_REUSED, "memory is written to while it is being sent")                                 \
    XX(SHORT_IGNORED, "a short send is taken for a whole one")                                     \
    XX(BUF_TWICE, "a buffer is given back twice")                                                  \
    XX(BUF_NEVER, "a buffer is not given back")                                                    \
    XX(MORE_IGNORED, "a receive that goes on is taken for ended")                                  \
    XX(LAST_IGNORED, "a receive that ended is taken for going on")                                 \
    XX(NOBUFS_IGNORED, "a receive without buffers is taken for going on")                          \
    XX(CANCEL_LOST, "a cancel is not queued")                                                      \
    XX(CQE_TWICE, "a completion is handled twice")                                                 \
    XX(NOTIF_EARLY, "memory of a zero-copy send is given back before the notification")

enum sim_canary {
    SIM_CANARY_NONE,
#define XX(name, text) SIM_CANARY_##name,
    SIM_CANARIES(XX)
#undef XX
        SIM_CANARY_COUNT
};

#define SIM_PARTS_MAX 8

enum sim_op_state { SIM_OP_QUEUED, SIM_OP_RUNNING, SIM_OP_NOTIF, SIM_OP_ENDED };
enum sim_op_kind {
    SIM_OP_ACCEPT,
    SIM_OP_RECV,
    SIM_OP_READ,
    SIM_OP_SEND,
    SIM_OP_SENDMSG,
    SIM_OP_SEND_ZC,
    SIM_OP_CONNECT,
    SIM_OP_POLL,
    SIM_OP_CANCEL_FD,
    SIM_OP_CANCEL
};

struct sim_op {
    enum sim_op_kind kind;
    enum sim_op_state state;
    uint64_t user_data;
    int fd;
    bool multi;
    bool counted;           /* in the socket's ops_alive */
    bool first_done;        /* zero copy: its first completion was handled */
    bool watch;             /* canary: nobody's operation, it only looks after the memory */
    uint32_t shown;         /* completions made and not yet handled */
    uint32_t late;          /* of them, those in limbo */
    uint64_t not_before_ns; /* stalled until then; ends by itself then if `doomed` */
    bool doomed;
    uint64_t last_release_ns;
    struct iovec parts[SIM_PARTS_MAX]; /* data to send */
    uint32_t parts_count;
    const struct msghdr *msg;
    const struct sockaddr *addr;
    void *out; /* read */
    uint32_t bytes;
    uint32_t events;   /* poll */
    uint64_t sum;      /* of the data, when it was queued */
    uint64_t head_sum; /* of the message header and vectors, or of the address */
    uint64_t target;
    int32_t notif_res;
};

struct sim_cqe {
    struct weir_cqe cqe;
    struct sim_op *op; /* NULL: forged */
    bool last;
    uint64_t release_ns;
};

/* Completions in the order they come out. */
struct sim_cqes {
    struct sim_cqe *at;
    uint32_t count, cap;
};

enum sim_buf { SIM_BUF_RING, SIM_BUF_SHOWN, SIM_BUF_OUT, SIM_BUF_PUT };

struct sim_ring {
    struct weir_ring base;
    struct sim_world *world;
    struct weir_ring_config cfg;
    int number;
    struct weir_engine *engine; /* of sim_ring_attach() */
    struct sim_op **ops;        /* all that are alive, in the order queued */
    uint32_t ops_count, ops_cap, queued_count;
    struct weir_cqe *cqes; /* the visible queue, and what belongs to each */
    struct sim_cqe *cqes_of;
    uint32_t cq_head, cq_tail;
    struct sim_cqes limbo;    /* late */
    struct sim_cqes overflow; /* found no place */
    uint8_t *bufs;            /* enum sim_buf */
    uint32_t *bufs_free;      /* a queue */
    uint32_t bufs_head, bufs_count;
    uint64_t ended_user_data; /* of some operation that is over */
    struct weir_slice registered[WEIR_RING_BUFFERS];
    uint64_t completions; /* ever shown */
};

static inline struct sim_ring *sim_ring_of(struct weir_ring *ring)
{
    return (struct sim_ring *)(void *)ring;
}

/* For the checks, and for completions of slots that others live in by now. */
void sim_ring_attach(struct weir_engine *engine);

/* Is something queued, visible, or about to be without the clock? */
bool sim_ring_busy(const struct sim_ring *ring);

/* What must hold between two passes. */
void sim_ring_check(struct weir_engine *engine);
/* And before an engine is closed: nothing is in use. */
void sim_ring_check_empty(struct weir_engine *engine);

/* ---- Between ring_sim.c and its operations, ring_sim_op.c ----------------------------------- */

/* A completion of `op`; `last`: no other follows. */
void sim_ring_complete(struct sim_ring *ring, struct sim_op *op, int32_t res, uint32_t flags,
                       bool last);
bool sim_ring_full(const struct sim_ring *ring);
/* A buffer for data, or UINT32_MAX. */
uint32_t sim_ring_buf_take(struct sim_ring *ring);
/* Add to the operations that are alive. */
struct sim_op *sim_ring_op_add(struct sim_ring *ring, const struct sim_op *init);
/* It is over, and its completions were handled. */
void sim_ring_op_free(struct sim_ring *ring, struct sim_op *op);
/* Is this the moment to break the rule? */
bool sim_canary(struct sim_ring *ring, enum sim_canary canary);

uint64_t sim_sum(uint64_t sum, const void *data, size_t bytes);
uint64_t sim_op_data_sum(const struct sim_op *op);
uint64_t sim_op_head_sum(const struct sim_op *op);
/* The operation begins. */
void sim_op_start(struct sim_ring *ring, struct sim_op *op);
/* Go on as far as it can. */
void sim_op_run(struct sim_ring *ring, struct sim_op *op);
/* Could it? */
bool sim_op_ready(const struct sim_ring *ring, const struct sim_op *op);

#endif
