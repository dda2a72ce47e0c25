/* SPDX-License-Identifier: MIT */
/* Socket addresses as text and back: "127.0.0.1:80", "[::1]:80", ":80", "unix:/path". */
#ifndef WEIR_IO_ADDR_H
#define WEIR_IO_ADDR_H

#include "core/base.h"

#include <sys/socket.h>

struct weir_addr {
    struct sockaddr_storage storage;
    socklen_t bytes;
};

/* Longest text, with NUL: "unix:" and sun_path. */
#define WEIR_ADDR_TEXT_BYTES 128

/*
 * Parse an address to listen on. ":PORT" means all addresses of both families. Numeric only.
 * @return 0, or -EINVAL (weir_error_text() names the text and what was expected)
 */
int weir_addr_parse_listen(struct weir_addr *out, const char *text) WEIR_MUST_USE;

/* Address of a unix socket. @return 0 or -EINVAL: empty, or longer than the system allows (107
 * bytes) */
int weir_addr_unix(struct weir_addr *out, const char *path) WEIR_MUST_USE;

/*
 * Resolve host and port; may block in the system's resolver unless `host` is numeric.
 * @return 0, or WEIR_E_CONNECT when there is no such name (weir_error_text() tells)
 */
int weir_addr_resolve(struct weir_addr *out, struct weir_slice host, uint16_t port) WEIR_MUST_USE;

/* Write the text of an address, at most `capacity` bytes with NUL. @return out */
const char *weir_addr_format(const struct weir_addr *addr, char *out, size_t capacity);

#endif
