/* SPDX-License-Identifier: MIT */
/*
 * Sockets of an engine: the calls made beside the ring. All return 0, a descriptor, or -errno.
 * core/sock.h tells what each does.
 */
#ifndef WEIR_IO_SOCK_H
#define WEIR_IO_SOCK_H

#include "core/engine.h"
#include "io/addr.h"

static inline struct weir_sockaddr weir_addr_view(const struct weir_addr *addr)
{
    return (struct weir_sockaddr){ (const void *)&addr->storage, addr->bytes };
}

static inline int weir_sock_stream(struct weir_engine *engine, const struct weir_addr *addr)
{
    return engine->sock->stream(engine->ring, addr->storage.ss_family);
}

static inline int weir_sock_listen(struct weir_engine *engine, const struct weir_addr *addr,
                                   uint32_t backlog, unsigned how)
{
    return engine->sock->listen(engine->ring, weir_addr_view(addr), backlog, how);
}

static inline int weir_sock_local(struct weir_engine *engine, int fd, struct weir_addr *out)
{
    return engine->sock->local(engine->ring, fd, &out->storage, &out->bytes);
}

static inline int weir_sock_peer(struct weir_engine *engine, int fd, struct weir_addr *out)
{
    return engine->sock->peer(engine->ring, fd, &out->storage, &out->bytes);
}

/* -ENOTCONN when the connection is gone already. */
static inline int weir_sock_shutdown_send(struct weir_engine *engine, int fd)
{
    return engine->sock->shutdown_send(engine->ring, fd);
}

static inline void weir_sock_set_reset(struct weir_engine *engine, int fd)
{
    engine->sock->set_reset(engine->ring, fd);
}

static inline void weir_sock_close(struct weir_engine *engine, int fd)
{
    engine->sock->close(engine->ring, fd);
}

#endif
