/* SPDX-License-Identifier: MIT */
/*
 * Operations and the slots that own them.
 *
 * A slot is a place for one socket: a connection, a listener, the engine's doorbell; or for a
 * descriptor that is only watched. user_data
 * names an operation as kind 8 | generation 24 | slot index 32. The generation changes whenever a
 * slot is given back, so a completion of an earlier life is recognised and dropped (its buffer is
 * still given back).
 *
 * slot->inflight counts operations from the moment they are queued until their last completion is
 * being handled. Close is a join: stop queuing, cancel, wait until inflight is 0, only then give
 * the slot back.
 *
 * A completion handler may queue operations, set timers and call the application; it never enters
 * the kernel, never reaps, never recurses into the loop.
 */
#ifndef WEIR_CORE_OP_H
#define WEIR_CORE_OP_H

#include "core/base.h"

#include <sys/socket.h>
#include <weir/engine.h>

/* recv, send, cancel and one of accept or connect may be in flight for a slot at once. One that
 * watches a descriptor has a poll and its cancel. */
#define WEIR_OPS_PER_SLOT 4

enum weir_op_kind {
    WEIR_OP_ACCEPT,
    WEIR_OP_RECV,
    WEIR_OP_SEND,
    WEIR_OP_CONNECT,
    WEIR_OP_CANCEL,        /* of a connection's operations */
    WEIR_OP_ACCEPT_CANCEL, /* of a listener's */
    WEIR_OP_DOORBELL,
    WEIR_OP_SEND_ZC, /* a record of io/zc.c: first the result, later the notification */
    WEIR_OP_POLL,    /* of a descriptor that is watched */
    WEIR_OP_POLL_CANCEL,
    WEIR_OP_COUNT
};

/* Bytes of one slot: what the largest owner in io/ needs, asserted there. */
#define WEIR_SLOT_BYTES 320

/* Common head of everything that lives in a slot. */
struct weir_slot {
    void *free_link; /* the pool's while the slot is free */
    uint32_t index;
    uint32_t gen;
    uint32_t inflight;
    bool used;
};

/* A completion as its handler sees it. */
struct weir_done {
    int32_t res;            /* count or -errno */
    bool last;              /* the operation is over */
    bool notif;             /* zero-copy send: the memory is free */
    struct weir_slice data; /* receive: the bytes, valid until the handler returns */
};

typedef void weir_on_done(struct weir_engine *engine, struct weir_slot *slot,
                          const struct weir_done *done);

/* The handler of a kind; set once when the first owner of that kind is opened. */
void weir_engine_set_handler(struct weir_engine *engine, enum weir_op_kind kind,
                             weir_on_done *handler);

/* A slot, zeroed behind its head; NULL when conns_max are in use. */
struct weir_slot *weir_slot_get(struct weir_engine *engine);
void weir_slot_put(struct weir_engine *engine, struct weir_slot *slot);
uint32_t weir_slots_free(const struct weir_engine *engine);

/* Slots of zero-copy sends under way: a number of their own, besides conns_max. */
#define WEIR_ZC_SLOTS 256u
struct weir_slot *weir_slot_get_zc(struct weir_engine *engine);
void weir_slot_put_zc(struct weir_engine *engine, struct weir_slot *slot);

/* Slots of watched descriptors: a number of their own, too, so that whoever looks up names does not
 * take the place of a connection. */
#define WEIR_WATCH_SLOTS 16u
struct weir_slot *weir_slot_get_watch(struct weir_engine *engine);
void weir_slot_put_watch(struct weir_engine *engine, struct weir_slot *slot);

/* In the result of a notification: the bytes were copied after all. */
#define WEIR_ZC_COPIED_FLAG (1u << 31)

void weir_op_accept(struct weir_engine *engine, struct weir_slot *slot, int fd, bool multi);
void weir_op_recv(struct weir_engine *engine, struct weir_slot *slot, int fd, bool multi);
void weir_op_send(struct weir_engine *engine, struct weir_slot *slot, int fd,
                  struct weir_slice data);
void weir_op_sendmsg(struct weir_engine *engine, struct weir_slot *slot, int fd,
                     const struct msghdr *msg);
/* Only on an engine with can_zc. A registered buffer that holds `data` is used. */
void weir_op_send_zc(struct weir_engine *engine, struct weir_slot *slot, int fd,
                     struct weir_slice data);
void weir_op_connect(struct weir_engine *engine, struct weir_slot *slot, int fd,
                     const struct sockaddr *addr, socklen_t bytes);
/* events: POLLIN or POLLOUT. See core/ring.h for what may be watched, and how it is closed. */
void weir_op_poll(struct weir_engine *engine, struct weir_slot *slot, int fd, uint32_t events);
/* Cancel all operations on fd. */
void weir_op_cancel(struct weir_engine *engine, struct weir_slot *slot, int fd);
/* Cancel the slot's operation of kind `victim` only: its receive, a listener's accept, a poll. */
void weir_op_cancel_kind(struct weir_engine *engine, struct weir_slot *slot,
                         enum weir_op_kind victim);

#endif
