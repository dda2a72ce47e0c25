/* SPDX-License-Identifier: MIT */
#include "core/mailbox.h"
#include "core/assert.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int weir_mailbox_open(struct weir_mailbox *mailbox)
{
    *mailbox = (struct weir_mailbox){ .doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    if (mailbox->doorbell_fd < 0)
        return weir_fail(-errno, "the engine's doorbell, an eventfd: %s%s", weir_err_name(-errno),
                         errno == EMFILE ? " (ulimit -n)" : "");
    return 0;
}

void weir_mailbox_close(struct weir_mailbox *mailbox)
{
    if (mailbox->doorbell_fd >= 0)
        close(mailbox->doorbell_fd);
    mailbox->doorbell_fd = -1;
}

/* Async-signal-safe. The counter of an eventfd cannot overflow here: one ring per emptied stack. */
static void ring_doorbell(struct weir_mailbox *mailbox)
{
    uint64_t one = 1;
    int saved = errno;
    while (write(mailbox->doorbell_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void weir_mailbox_post(struct weir_mailbox *mailbox, struct weir_task *task)
{
    WEIR_ASSERT(task->run != NULL);
    struct weir_task *top = __atomic_load_n(&mailbox->stack, __ATOMIC_RELAXED);
    do {
        task->next = top;
    } while (!__atomic_compare_exchange_n(&mailbox->stack, &top, task, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    if (top == NULL)
        ring_doorbell(mailbox);
}

void weir_mailbox_stop(struct weir_mailbox *mailbox)
{
    __atomic_store_n(&mailbox->stop, true, __ATOMIC_RELEASE);
    ring_doorbell(mailbox);
}

bool weir_mailbox_pending(const struct weir_mailbox *mailbox)
{
    return __atomic_load_n(&mailbox->stack, __ATOMIC_RELAXED) != NULL;
}

bool weir_mailbox_stop_take(struct weir_mailbox *mailbox)
{
    if (!__atomic_load_n(&mailbox->stop, __ATOMIC_RELAXED))
        return false;
    return __atomic_exchange_n(&mailbox->stop, false, __ATOMIC_ACQUIRE);
}

uint32_t weir_mailbox_run(struct weir_mailbox *mailbox)
{
    if (!weir_mailbox_pending(mailbox))
        return 0;
    struct weir_task *task = __atomic_exchange_n(&mailbox->stack, NULL, __ATOMIC_ACQUIRE);
    struct weir_task *ordered = NULL;
    while (task != NULL) {
        struct weir_task *next = task->next;
        task->next = ordered;
        ordered = task;
        task = next;
    }
    uint32_t count = 0;
    while (ordered != NULL) {
        struct weir_task *next = ordered->next; /* the task may be freed by running it */
        ordered->run(ordered);
        ordered = next;
        count++;
    }
    return count;
}
