/* SPDX-License-Identifier: MIT */
/*
 * What can go wrong: each fault happens by chance, at a rate, and on demand, at its n-th
 * opportunity.
 */
#ifndef WEIR_TESTS_SIM_FAULT_H
#define WEIR_TESTS_SIM_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * name, harmless. A harmless fault is one that the engine must hide from the application: whatever
 * the rate, every exchange ends as it would without it. SEND_TOLD_LATE is what no twin does, as far
 * as is known; the contract does not forbid it.
 */
#define SIM_FAULTS(XX)                                                                             \
    /* receiving */                                                                                \
    XX(RECV_SHORT, true)      /* less than is there */                                             \
    XX(RECV_ONE, true)        /* one byte */                                                       \
    XX(RECV_NOBUFS, true)     /* -ENOBUFS although there are buffers */                            \
    XX(RECV_NOBUFS_BUF, true) /* -ENOBUFS that brings a buffer */                                  \
    XX(RECV_END_DATA, true)   /* the last completion has data */                                   \
    XX(RECV_END_EINTR, true)  /* ends with -EINTR or -EAGAIN */                                    \
    XX(RECV_END_BUF, true)    /* end of file brings a buffer */                                    \
    XX(RECV_BROKEN, false)    /* -ETIMEDOUT, -EHOSTUNREACH, ... */                                 \
    /* sending */                                                                                  \
    XX(SEND_SHORT, true)                                                                           \
    XX(SEND_ONE, true)                                                                             \
    XX(SEND_TOLD_LATE, false) /* the answer is told before the send of the question */             \
    XX(SEND_EINTR, true)      /* -EINTR or -EAGAIN */                                              \
    XX(SEND_NOMEM, false)     /* -ENOBUFS or -ENOMEM */                                            \
    XX(SEND_BROKEN, false)    /* -EPIPE or -ECONNRESET while input is queued */                    \
    /* sending without copying */                                                                  \
    XX(ZC_NOTIF_LATE, true)   /* up to a second later */                                           \
    XX(ZC_ERROR_MORE, true)   /* refused, but a notification follows */                            \
    XX(ZC_ERROR_LAST, true)   /* refused, and that was all */                                      \
    XX(ZC_COPIED, true)       /* copied after all */                                               \
    XX(ZC_BROKEN_MORE, false) /* -EPIPE, and a notification follows */                             \
    /* accepting and connecting */                                                                 \
    XX(ACCEPT_END, true)     /* a multiple accept ends with a connection */                        \
    XX(ACCEPT_LIMIT, true)   /* -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS */                             \
    XX(ACCEPT_ABORTED, true) /* -ECONNABORTED and the like */                                      \
    XX(CONNECT_REFUSED, false)                                                                     \
    XX(CONNECT_TIMEOUT, false)                                                                     \
    XX(CONNECT_NOADDR, false) /* -EADDRNOTAVAIL, at once */                                        \
    XX(SOCKET_EMFILE, false)                                                                       \
    /* cancelling */                                                                               \
    XX(CANCEL_FIRST, true)   /* its completion comes before the victim's */                        \
    XX(CANCEL_LATE, true)    /* the victim takes data on its way out */                            \
    XX(CANCEL_ALREADY, true) /* -EALREADY, the victim ends by itself */                            \
    /* the queues */                                                                               \
    XX(CQE_DELAY, true)  /* a completion shows in a later enter */                                 \
    XX(CQE_STALE, true)  /* a completion of an earlier life of the slot */                         \
    XX(OP_STALL, true)   /* an operation that could go on does so later */                         \
    XX(ENTER_INTR, true) /* an enter is interrupted before it starts anything */                   \
    XX(ENTER_PART, true) /* an enter starts only some of what is queued */                         \
    /* the world */                                                                                \
    XX(CLOCK_JUMP, true) /* up to two seconds pass at once */                                      \
    XX(NET_SLOW, true)   /* a packet takes long */                                                 \
    XX(NET_RESET, false) /* the network breaks a connection */

enum sim_fault_kind {
#define XX(name, harmless) SIM_##name,
    SIM_FAULTS(XX)
#undef XX
        SIM_FAULT_COUNT
};

#define SIM_FORCED_MAX 8
#define SIM_CERTAIN    1000000u

/* Let `kind` happen at its opportunities number nth ... nth + times - 1, counted from 1. */
struct sim_forced {
    enum sim_fault_kind kind;
    uint64_t nth;
    uint64_t times;
};

struct sim_faults {
    uint32_t per_million[SIM_FAULT_COUNT];
    uint64_t chances[SIM_FAULT_COUNT];
    uint64_t hits[SIM_FAULT_COUNT];
    struct sim_forced forced[SIM_FORCED_MAX];
    unsigned forced_count;
};

extern const char *const sim_fault_names[SIM_FAULT_COUNT];
extern const bool sim_fault_harmless[SIM_FAULT_COUNT];

#endif
