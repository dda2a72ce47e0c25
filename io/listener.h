/* SPDX-License-Identifier: MIT */
/*
 * A listening socket that accepts as long as its owner has room, and waits when descriptors run
 * out.
 */
#ifndef WEIR_IO_LISTENER_H
#define WEIR_IO_LISTENER_H

#include "core/engine.h"
#include "io/addr.h"

struct weir_listener;

struct weir_listener_handler {
    /* A connection was accepted; `fd` is the owner's now. */
    void (*on_accept)(struct weir_listener *listener, int fd);
    /* How many more connections the owner can take. Asked before and after accepting. */
    uint32_t (*capacity)(struct weir_listener *listener);
    /* The end, exactly once after close; invalid after it. */
    void (*on_closed)(struct weir_listener *listener);
};

enum weir_listener_state { WEIR_LISTENER_OPEN = 1, WEIR_LISTENER_CLOSING };

struct weir_listener {
    struct weir_slot slot;
    struct weir_engine *engine;
    const struct weir_listener_handler *handler;
    void *user;
    int fd;
    struct weir_addr addr; /* with the port that the kernel picked */
    uint8_t state;
    bool armed;      /* an accept is in flight */
    bool multi;      /* and goes on by itself */
    bool cancelling; /* and its cancel is in flight */
    uint64_t backoff_ns;
    struct weir_timer retry;
    struct weir_ready end;
};

/*
 * Bind, listen, accept; `how`: enum weir_listen. @return 0, -ENOBUFS no slot, or what the system
 * said (weir_error_text() names `text`)
 */
int weir_listener_open(struct weir_listener **out, struct weir_engine *engine, const char *text,
                       uint32_t backlog, unsigned how) WEIR_MUST_USE;
/* Begin to accept; callbacks may come from now on. */
void weir_listener_start(struct weir_listener *listener,
                         const struct weir_listener_handler *handler, void *user);
/* The owner has room again (or a descriptor became free): accept, if that had paused. */
void weir_listener_resume(struct weir_listener *listener);
/* Is it waiting to be resumed, or for its own next try? */
static inline bool weir_listener_paused(const struct weir_listener *listener)
{
    return listener->state == WEIR_LISTENER_OPEN && !listener->armed;
}
/* Stop accepting for good; on_closed follows, never inside this call. */
void weir_listener_close(struct weir_listener *listener);

#endif
