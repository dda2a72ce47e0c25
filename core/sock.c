/* SPDX-License-Identifier: MIT */
#include "core/sock.h"
#include "core/assert.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int set_flag(int fd, int level, int option)
{
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof on) < 0 ? -errno : 0;
}

static int sock_stream(struct weir_ring *ring, int family)
{
    (void)ring;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (family != AF_UNIX) {
        int rc = set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
        if (rc < 0) {
            close(fd);
            return rc;
        }
    }
    return fd;
}

/* A socket file that nobody listens on any more is in the way; one that somebody does listen on is
 * not ours. */
static void remove_stale_unix(struct weir_sockaddr addr)
{
    const struct sockaddr_un *un = (const void *)addr.addr;
    struct stat st;
    if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    /* Not blocking: the owner lives also when its backlog is full, where connect() would wait for
     * it. */
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return;
    bool dead = connect(probe, addr.addr, addr.bytes) < 0 && errno == ECONNREFUSED;
    close(probe);
    if (dead)
        unlink(un->sun_path);
}

static int sock_listen(struct weir_ring *ring, struct weir_sockaddr addr, uint32_t backlog,
                       unsigned how)
{
    int fd = sock_stream(ring, addr.addr->sa_family);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (addr.addr->sa_family == AF_UNIX)
        remove_stale_unix(addr);
    else
        rc = set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
    if (rc == 0 && (how & WEIR_LISTEN_REUSE_PORT) != 0)
        rc = set_flag(fd, SOL_SOCKET, SO_REUSEPORT);
    if (rc == 0 && (how & WEIR_LISTEN_DEFER) != 0 && addr.addr->sa_family != AF_UNIX)
        rc = set_flag(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    if (rc == 0 && bind(fd, addr.addr, addr.bytes) < 0)
        rc = -errno;
    if (rc == 0 && listen(fd, (int)backlog) < 0)
        rc = -errno;
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

static int sock_local(struct weir_ring *ring, int fd, struct sockaddr_storage *out,
                      socklen_t *bytes)
{
    (void)ring;
    *bytes = sizeof *out;
    return getsockname(fd, (void *)out, bytes) < 0 ? -errno : 0;
}

static int sock_peer(struct weir_ring *ring, int fd, struct sockaddr_storage *out, socklen_t *bytes)
{
    (void)ring;
    *bytes = sizeof *out;
    return getpeername(fd, (void *)out, bytes) < 0 ? -errno : 0;
}

static int sock_shutdown_send(struct weir_ring *ring, int fd)
{
    (void)ring;
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

static void sock_set_reset(struct weir_ring *ring, int fd)
{
    (void)ring;
    /* Fails only for sockets that have no such thing (unix), where close is as good. */
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static void sock_close(struct weir_ring *ring, int fd)
{
    (void)ring;
    WEIR_ASSERT(fd >= 0);
    /* Linux frees the descriptor whatever close() returns; repeating it could close somebody
     * else's. */
    int rc = close(fd);
    WEIR_ASSERT(rc == 0 || errno != EBADF);
}

const struct weir_sock_ops weir_sock_kernel = {
    .stream = sock_stream,
    .listen = sock_listen,
    .local = sock_local,
    .peer = sock_peer,
    .shutdown_send = sock_shutdown_send,
    .set_reset = sock_set_reset,
    .close = sock_close,
};
