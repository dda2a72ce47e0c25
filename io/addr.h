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

/* Addresses of one name that are used; more are left out. */
#define WEIR_ADDRS_MAX 16

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
 * The address of a numeric host: IPv4, or IPv6 without brackets, also with a zone. Never blocks and
 * never asks anybody. @return false: it is a name, *out is untouched
 */
bool weir_addr_numeric(struct weir_addr *out, struct weir_slice host, uint16_t port) WEIR_MUST_USE;

void weir_addr_set_port(struct weir_addr *addr, uint16_t port);

bool weir_addr_eq(const struct weir_addr *a, const struct weir_addr *b);

/* Put addrs[index] first, in front of those that were before it: what worked last is tried first
 * next time. */
void weir_addr_prefer(struct weir_addr *addrs, uint32_t count, uint32_t index);

/* Write the text of an address, at most `capacity` bytes with NUL. @return out */
const char *weir_addr_format(const struct weir_addr *addr, char *out, size_t capacity);

#endif
