/* SPDX-License-Identifier: MIT */
/* The kernel's sockets for tests without an engine: core/sock.h with the addresses of io/addr.h. */
#ifndef WEIR_TESTS_SOCK_H
#define WEIR_TESTS_SOCK_H

#include "core/sock.h"
#include "io/addr.h"

static inline int sock_stream(const struct weir_addr *addr)
{
    return weir_sock_kernel.stream(NULL, addr->storage.ss_family);
}

static inline int sock_listen(const struct weir_addr *addr, uint32_t backlog, unsigned how)
{
    struct weir_sockaddr at = { (const void *)&addr->storage, addr->bytes };
    return weir_sock_kernel.listen(NULL, at, backlog, how);
}

static inline int sock_local(int fd, struct weir_addr *out)
{
    return weir_sock_kernel.local(NULL, fd, &out->storage, &out->bytes);
}

static inline int sock_peer(int fd, struct weir_addr *out)
{
    return weir_sock_kernel.peer(NULL, fd, &out->storage, &out->bytes);
}

static inline int sock_shutdown_send(int fd)
{
    return weir_sock_kernel.shutdown_send(NULL, fd);
}

static inline void sock_set_reset(int fd)
{
    weir_sock_kernel.set_reset(NULL, fd);
}

static inline void sock_close(int fd)
{
    weir_sock_kernel.close(NULL, fd);
}

#endif
