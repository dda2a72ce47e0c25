/* SPDX-License-Identifier: MIT */
/*
 * The few socket calls that are made beside the ring, because they never wait: a table, since the
 * simulator has sockets of its own.
 *
 * shutdown(2) in particular: as a ring operation it always goes to a kernel worker thread.
 */
#ifndef WEIR_CORE_SOCK_H
#define WEIR_CORE_SOCK_H

#include "core/base.h"

#include <sys/socket.h>

struct weir_ring;

/* A socket address with its length. */
struct weir_sockaddr {
    const struct sockaddr *addr;
    socklen_t bytes;
};

/* How to listen, a bit set. */
enum weir_listen {
    WEIR_LISTEN_REUSE_PORT = 1, /* SO_REUSEPORT */
    WEIR_LISTEN_DEFER = 2       /* TCP_DEFER_ACCEPT, of a second; not for unix sockets */
};

struct weir_sock_ops {
    /* A stream socket: close-on-exec, not blocking, without Nagle's delay. Or -errno. */
    int (*stream)(struct weir_ring *ring, int family);
    /* Bind and listen; connections inherit TCP_NODELAY. A dead unix socket's file is replaced. */
    int (*listen)(struct weir_ring *ring, struct weir_sockaddr addr, uint32_t backlog,
                  unsigned how);
    /* 0 or -errno; *bytes is the length of *out after it. */
    int (*local)(struct weir_ring *ring, int fd, struct sockaddr_storage *out, socklen_t *bytes);
    int (*peer)(struct weir_ring *ring, int fd, struct sockaddr_storage *out, socklen_t *bytes);
    /* End our direction: the peer reads an end of file. 0 or -errno. */
    int (*shutdown_send)(struct weir_ring *ring, int fd);
    /* close() will reset the connection. */
    void (*set_reset)(struct weir_ring *ring, int fd);
    /* Nothing may be in flight on fd: closing does not cancel. */
    void (*close)(struct weir_ring *ring, int fd);
};

/* The kernel's sockets; `ring` is not looked at. */
extern const struct weir_sock_ops weir_sock_kernel;

#endif
