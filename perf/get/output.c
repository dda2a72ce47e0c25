/* SPDX-License-Identifier: MIT */
#include "perf/get/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void get_output_init(struct get_output *out, int fd, const volatile sig_atomic_t *interrupted)
{
    struct stat found;
    out->fd = fd;
    out->err = 0;
    out->owned = false;
    out->interrupted = interrupted;
    out->len = 0;
    out->discarded =
        fstat(fd, &found) == 0 && S_ISCHR(found.st_mode) && found.st_rdev == makedev(1, 3);
}

int get_output_open(struct get_output *out, const char *path,
                    const volatile sig_atomic_t *interrupted)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    get_output_init(out, fd, interrupted);
    out->owned = true;
    return 0;
}

/* Whether it is worth another attempt: a terminal or pipe that somebody made non-blocking is
 * waited for. */
static bool output_may_go_on(struct get_output *out, int err)
{
    if (*out->interrupted != 0)
        return false;
    if (err == EINTR)
        return true;
    if (err != EAGAIN)
        return false;
    struct pollfd writable = { .fd = out->fd, .events = POLLOUT };
    return poll(&writable, 1, -1) >= 0 || errno == EINTR;
}

static void output_put(struct get_output *out, struct weir_slice piece)
{
    while (piece.len > 0 && out->err == 0) {
        ssize_t count = write(out->fd, piece.ptr, piece.len);
        if (count < 0) {
            int err = errno;
            if (!output_may_go_on(out, err))
                out->err = -err;
            continue;
        }
        piece.ptr += count;
        piece.len -= (size_t)count;
    }
}

void get_output_flush(struct get_output *out)
{
    output_put(out, (struct weir_slice){ out->bytes, out->len });
    out->len = 0;
}

void get_output_write(struct get_output *out, struct weir_slice piece)
{
    if (out->discarded || out->err != 0 || piece.len == 0)
        return;
    if (piece.len > sizeof(out->bytes) - out->len)
        get_output_flush(out);
    if (piece.len > sizeof(out->bytes)) {
        output_put(out, piece);
        return;
    }
    memcpy(out->bytes + out->len, piece.ptr, piece.len);
    out->len += piece.len;
}

int get_output_close(struct get_output *out)
{
    get_output_flush(out);
    /* A file system may tell only now that there was no room (close(2)). */
    if (out->owned && close(out->fd) < 0 && out->err == 0)
        out->err = -errno;
    out->owned = false;
    return out->err;
}
