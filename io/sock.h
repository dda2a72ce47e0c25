/* SPDX-License-Identifier: MIT */
/*
 * Sockets: the system calls made beside the ring. All return 0, a descriptor, or -errno.
 *
 * Creating, binding and closing are rare or cheap enough to be plain calls; shutdown is one because
 * IORING_OP_SHUTDOWN is always handed to a kernel worker thread.
 */
#ifndef WEIR_IO_SOCK_H
#define WEIR_IO_SOCK_H

#include "io/addr.h"

/* A listening socket: CLOEXEC, NONBLOCK, REUSEADDR, and TCP_NODELAY, which accepted sockets
 * inherit. */
int weir_sock_listen(const struct weir_addr *addr, uint32_t backlog, bool reuse_port) WEIR_MUST_USE;
/* An unconnected stream socket for `addr`: CLOEXEC, NONBLOCK, TCP_NODELAY. */
int weir_sock_stream(const struct weir_addr *addr) WEIR_MUST_USE;
int weir_sock_local(int fd, struct weir_addr *out) WEIR_MUST_USE;
int weir_sock_peer(int fd, struct weir_addr *out) WEIR_MUST_USE;
/* End our direction: the peer reads the end after what was sent. -ENOTCONN when it is gone already.
 */
int weir_sock_shutdown_send(int fd);
/* From now on close() resets the connection instead of ending it. */
void weir_sock_set_reset(int fd);
void weir_sock_close(int fd);

#endif
