/* SPDX-License-Identifier: MIT */
#include "io/addr.h"
#include "core/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

int weir_addr_unix(struct weir_addr *out, const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof un.sun_path)
        return weir_fail(-EINVAL, "'%s': the path of a unix socket has 1 ... %zu bytes", path,
                         sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, len + 1);
    *out = (struct weir_addr){ .bytes =
                                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1) };
    memcpy(&out->storage, &un, sizeof un);
    return 0;
}

static bool parse_port(uint16_t *out, const char *text)
{
    unsigned value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > UINT16_MAX)
            return false;
    }
    *out = (uint16_t)value;
    return true;
}

static void set_v4(struct weir_addr *out, struct in_addr addr, uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = addr, .sin_port = htons(port) };
    *out = (struct weir_addr){ .bytes = sizeof in };
    memcpy(&out->storage, &in, sizeof in);
}

static void set_v6(struct weir_addr *out, struct in6_addr addr, uint16_t port)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
                                .sin6_addr = addr,
                                .sin6_port = htons(port) };
    *out = (struct weir_addr){ .bytes = sizeof in6 };
    memcpy(&out->storage, &in6, sizeof in6);
}

int weir_addr_parse_listen(struct weir_addr *out, const char *text)
{
    static const char expected[] = "expected ADDR:PORT, [V6ADDR]:PORT, :PORT or unix:PATH";
    if (strncmp(text, "unix:", 5) == 0)
        return weir_addr_unix(out, text + 5);
    const char *colon = strrchr(text, ':');
    uint16_t port;
    if (colon == NULL || !parse_port(&port, colon + 1))
        return weir_fail(-EINVAL, "'%s' is no address to listen on: %s", text, expected);
    char host[INET6_ADDRSTRLEN + 2];
    size_t len = (size_t)(colon - text);
    if (len >= sizeof host)
        return weir_fail(-EINVAL, "'%s' is no address to listen on: %s", text, expected);
    memcpy(host, text, len);
    host[len] = '\0';
    struct in_addr v4;
    struct in6_addr v6;
    if (len == 0) {
        /* The any address of IPv6 also takes IPv4 unless net.ipv6.bindv6only says otherwise. */
        set_v6(out, in6addr_any, port);
    } else if (inet_pton(AF_INET, host, &v4) == 1) {
        set_v4(out, v4, port);
    } else {
        bool brackets = host[0] == '[' && host[len - 1] == ']';
        host[len - 1] = brackets ? '\0' : host[len - 1];
        if (!brackets || inet_pton(AF_INET6, host + 1, &v6) != 1)
            return weir_fail(-EINVAL, "'%s' is no address to listen on: %s", text, expected);
        set_v6(out, v6, port);
    }
    return 0;
}

/* The part behind '%' of an IPv6 address: an interface by its name or number (RFC 4007 section 11).
 * @return 0: there is no such interface */
static uint32_t zone_of(const char *text)
{
    uint32_t index = if_nametoindex(text);
    if (index == 0 && strspn(text, "0123456789") == strlen(text))
        index = (uint32_t)strtoul(text, NULL, 10);
    return index;
}

/* Nothing is allocated and nobody is asked, as getaddrinfo() would: running out of memory does not
 * make an address a name. */
bool weir_addr_numeric(struct weir_addr *out, struct weir_slice host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    if (host.len == 0 || host.len >= sizeof text || memchr(host.ptr, '\0', host.len) != NULL)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    struct weir_addr addr = { 0 };
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        addr.bytes = sizeof in;
        memcpy(&addr.storage, &in, sizeof in);
    } else {
        char *zone = strchr(text, '%');
        if (zone != NULL)
            *zone = '\0';
        if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
            return false;
        if (zone != NULL && (in6.sin6_scope_id = zone_of(zone + 1)) == 0)
            return false;
        addr.bytes = sizeof in6;
        memcpy(&addr.storage, &in6, sizeof in6);
    }
    *out = addr;
    weir_addr_set_port(out, port);
    return true;
}

void weir_addr_set_port(struct weir_addr *addr, uint16_t port)
{
    WEIR_ASSERT(addr->storage.ss_family == AF_INET || addr->storage.ss_family == AF_INET6);
    if (addr->storage.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&addr->storage)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)&addr->storage)->sin6_port = htons(port);
}

bool weir_addr_eq(const struct weir_addr *a, const struct weir_addr *b)
{
    return a->bytes == b->bytes && memcmp(&a->storage, &b->storage, a->bytes) == 0;
}

void weir_addr_prefer(struct weir_addr *addrs, uint32_t count, uint32_t index)
{
    WEIR_ASSERT(index < count);
    struct weir_addr first = addrs[index];
    memmove(addrs + 1, addrs, index * sizeof *addrs);
    addrs[0] = first;
}

const char *weir_addr_format(const struct weir_addr *addr, char *out, size_t capacity)
{
    char host[INET6_ADDRSTRLEN] = "?";
    WEIR_ASSERT(capacity > 0);
    switch (addr->storage.ss_family) {
    case AF_INET: {
        const struct sockaddr_in *in = (const void *)&addr->storage;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(out, capacity, "%s:%u", host, ntohs(in->sin_port));
        break;
    }
    case AF_INET6: {
        const struct sockaddr_in6 *in6 = (const void *)&addr->storage;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(out, capacity, "[%s]:%u", host, ntohs(in6->sin6_port));
        break;
    }
    case AF_UNIX: {
        const struct sockaddr_un *un = (const void *)&addr->storage;
        bool named = addr->bytes > offsetof(struct sockaddr_un, sun_path);
        snprintf(out, capacity, "unix%s%s", named ? ":" : "", named ? un->sun_path : "");
        break;
    }
    default:
        snprintf(out, capacity, "?");
        break;
    }
    return out;
}
