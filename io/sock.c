/* SPDX-License-Identifier: MIT */
#include "io/sock.h"
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

int weir_sock_stream(const struct weir_addr *addr)
{
    int fd = socket(addr->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (addr->storage.ss_family != AF_UNIX) {
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
static void remove_stale_unix(const struct weir_addr *addr)
{
    const struct sockaddr_un *un = (const void *)&addr->storage;
    struct stat st;
    if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    /* Not blocking: the owner lives also when its backlog is full, where connect() would wait for
     * it. */
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return;
    bool dead =
        connect(probe, (const void *)&addr->storage, addr->bytes) < 0 && errno == ECONNREFUSED;
    close(probe);
    if (dead)
        unlink(un->sun_path);
}

int weir_sock_listen(const struct weir_addr *addr, uint32_t backlog, bool reuse_port)
{
    int fd = weir_sock_stream(addr);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (addr->storage.ss_family == AF_UNIX)
        remove_stale_unix(addr);
    else
        rc = set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
    if (rc == 0 && reuse_port)
        rc = set_flag(fd, SOL_SOCKET, SO_REUSEPORT);
    if (rc == 0 && bind(fd, (const void *)&addr->storage, addr->bytes) < 0)
        rc = -errno;
    if (rc == 0 && listen(fd, (int)backlog) < 0)
        rc = -errno;
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

int weir_sock_local(int fd, struct weir_addr *out)
{
    *out = (struct weir_addr){ .bytes = sizeof out->storage };
    return getsockname(fd, (void *)&out->storage, &out->bytes) < 0 ? -errno : 0;
}

int weir_sock_peer(int fd, struct weir_addr *out)
{
    *out = (struct weir_addr){ .bytes = sizeof out->storage };
    return getpeername(fd, (void *)&out->storage, &out->bytes) < 0 ? -errno : 0;
}

int weir_sock_shutdown_send(int fd)
{
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

void weir_sock_set_reset(int fd)
{
    /* Fails only for sockets that have no such thing (unix), where close is as good. */
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void weir_sock_close(int fd)
{
    WEIR_ASSERT(fd >= 0);
    /* Linux frees the descriptor whatever close() returns; repeating it could close somebody
     * else's. */
    int rc = close(fd);
    WEIR_ASSERT(rc == 0 || errno != EBADF);
}
