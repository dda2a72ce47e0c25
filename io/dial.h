/* SPDX-License-Identifier: MIT */
/*
 * Connecting to the first that answers of several addresses: Happy Eyeballs (RFC 8305 sections 4
 * and 5).
 *
 * The addresses are tried in their order, but one family after the other, beginning with the
 * first's. Each attempt has a head start of `stagger_ns`, or until it fails; all of them have one
 * deadline. The first connection that is made wins, the others are given up.
 *
 * An attempt that is given up is on its own from then on: the memory of the dial is the owner's
 * again at once, although the kernel may still hold the socket for a moment.
 */
#ifndef WEIR_IO_DIAL_H
#define WEIR_IO_DIAL_H

#include "io/conn.h"

/* The delay of RFC 8305 section 8, and the least it allows: attempts that follow each other faster
 * would all be made before any could answer. */
#define WEIR_DIAL_STAGGER_NS     250000000u
#define WEIR_DIAL_STAGGER_NS_MIN 10000000u

/* Attempts at once. When all of them are silent the others wait until one fails. */
#define WEIR_DIAL_ATTEMPTS_MAX 8

struct weir_dial;

struct weir_dial_config {
    /* 1 ... WEIR_ADDRS_MAX; must stay until the dial is idle. */
    const struct weir_addr *addrs;
    uint32_t count;
    uint64_t stagger_ns;  /* 0 = WEIR_DIAL_STAGGER_NS */
    uint64_t deadline_ns; /* 0 = none but those of the attempts themselves */
    /* The winner's: its on_open is what tells of success. */
    const struct weir_conn_handler *handler;
    void *user;
    /* All attempts failed: the error of the last, or WEIR_E_CONNECT_TIMEOUT at the deadline. The
     * dial is idle then and may be started again or freed from in there. */
    void (*on_failed)(struct weir_dial *dial, int err);
    /* When not NULL: a count that outlives the engine's connections, of sockets that were given up
     * and are not closed yet. Whoever closes the engine next wants it to be 0. */
    uint32_t *given_up;
};

struct weir_dial_attempt {
    struct weir_conn *conn;
    uint8_t index; /* of its address */
};

/* The owner's memory, zeroed before its first use. */
struct weir_dial {
    /* When on_open runs, and until the next start: */
    struct weir_conn *conn; /* the winner; whether it still lives is its handler's business */
    uint32_t winner;        /* its place in cfg.addrs */
    int family;             /* its address family */
    uint32_t attempts_sum;  /* attempts made by this dial */
    /* private */
    struct weir_engine *engine;
    struct weir_dial_config cfg;
    bool running;
    uint8_t order[WEIR_ADDRS_MAX];
    uint32_t next; /* in `order` */
    struct weir_dial_attempt attempts[WEIR_DIAL_ATTEMPTS_MAX];
    uint32_t attempts_count;
    int err;                 /* of the last that failed */
    uint64_t next_ns;        /* when the next attempt is due */
    struct weir_timer timer; /* for that or the deadline, whichever is first */
    struct weir_ready again; /* to go on in the next pass */
};

/*
 * Begin. No callback runs from inside. @return 0; or, when no attempt can even be begun, why the
 * last one cannot (see weir_conn_connect()): then no callback follows
 */
int weir_dial_start(struct weir_dial *dial, struct weir_engine *engine,
                    const struct weir_dial_config *cfg) WEIR_MUST_USE;

/* Give up all attempts: no callback follows. No effect on an idle dial, nor on the winner. */
void weir_dial_cancel(struct weir_dial *dial);

/* Neither callback is to come: the memory may be freed or used for another. */
static inline bool weir_dial_idle(const struct weir_dial *dial)
{
    return !dial->running;
}

#endif
