/* SPDX-License-Identifier: MIT */
/*
 * Tasks from any thread to the engine's. Lock-free: posters push onto a stack, the engine takes the
 * whole stack at once and turns it round, so that tasks of one thread run in the order posted.
 *
 * The doorbell is an eventfd: rung only when the stack was empty, so a burst costs one system call.
 */
#ifndef WEIR_CORE_MAILBOX_H
#define WEIR_CORE_MAILBOX_H

#include "core/base.h"

#include <weir/engine.h>

struct weir_mailbox {
    struct weir_task *stack; /* atomic */
    bool stop;               /* atomic */
    int doorbell_fd;
};

int weir_mailbox_open(struct weir_mailbox *mailbox) WEIR_MUST_USE;
void weir_mailbox_close(struct weir_mailbox *mailbox);
void weir_mailbox_post(struct weir_mailbox *mailbox, struct weir_task *task);
void weir_mailbox_stop(struct weir_mailbox *mailbox);
/* Has somebody posted? */
bool weir_mailbox_pending(const struct weir_mailbox *mailbox);
/* Was stop asked for? Asking forgets it. */
bool weir_mailbox_stop_take(struct weir_mailbox *mailbox);
/* Run what was posted. @return how many */
uint32_t weir_mailbox_run(struct weir_mailbox *mailbox);

#endif
