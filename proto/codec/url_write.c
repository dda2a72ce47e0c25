/* SPDX-License-Identifier: MIT */
/* Writing: each part is checked before the first byte is written, so that errors change nothing. */
#include <weir/url.h>

#include "proto/codec/url_check.h"

#include <errno.h>
#include <stdio.h>

static int write_fail(const char *part, struct url_flaw flaw)
{
    return weir_fail(-EINVAL, "URL: %s: %s at byte %zu", part, flaw.problem, flaw.at);
}

/* An authority that came with the URL must say what host and port say. */
static int write_check_authority(const struct weir_url *url)
{
    struct weir_url read = { .scheme = url->scheme };
    struct url_flaw flaw = weir_url_check_authority(&read, url->authority);
    if (flaw.problem != NULL)
        return write_fail("authority", flaw);
    if (!weir_slice_eq(read.host, url->host) || read.port != url->port ||
        read.host_is_ipv6 != url->host_is_ipv6)
        return weir_fail(-EINVAL, "URL: the authority does not say what host, host_is_ipv6 and "
                                  "port say (empty, it is made of these)");
    return 0;
}

static int write_check_host(const struct weir_url *url)
{
    struct weir_url read = { .scheme = url->scheme };
    struct url_flaw flaw;
    uint16_t groups[8];
    if (url->scheme == WEIR_URL_HTTP_UNIX && (url->port != 0 || url->host_is_ipv6))
        return weir_fail(-EINVAL, "URL: a unix socket has no port and no IPv6 address");
    if (url->host_is_ipv6)
        flaw = weir_url_check_ipv6(groups, url->host);
    else
        flaw = weir_url_check_authority(&read, url->host);
    if (flaw.problem == NULL && !url->host_is_ipv6 && read.host.len != url->host.len)
        flaw = url_flaw_at(0, "brackets or a port, which belong elsewhere,");
    return flaw.problem == NULL ? 0 : write_fail("host", flaw);
}

/* A part that ends where one of `stops` begins the next. */
static int write_check_part(const char *name, struct weir_slice part, const char *stops)
{
    struct url_flaw flaw = weir_url_check_bytes(part);
    if (flaw.problem == NULL)
        flaw = weir_url_check_percent(part);
    size_t end = url_find(part, 0, stops);
    if (flaw.problem == NULL && end < part.len)
        flaw = url_flaw_at(end, part.ptr[end] == '?' ? "a '?' (write %3F)" : "a '#' (write %23)");
    return flaw.problem == NULL ? 0 : write_fail(name, flaw);
}

static int write_check(const struct weir_url *url)
{
    struct weir_slice name = weir_url_scheme_name(url->scheme);
    if (name.len == 0)
        return weir_fail(-EINVAL, "URL: scheme: expected one of enum weir_url_scheme");
    if (url->scheme_text.len != 0 && !weir_url_text_eq(url->scheme_text, name))
        return weir_fail(-EINVAL, "URL: scheme_text does not say what scheme says");
    if (url->path.len != 0 && url->path.ptr[0] != '/')
        return write_fail("path", url_flaw_at(0, "expected '/'"));
    int err = url->authority.len != 0 ? write_check_authority(url) : write_check_host(url);
    if (err == 0)
        err = write_check_part("path", url->path, "?#");
    if (err == 0)
        err = write_check_part("query", url->query, "#");
    if (err == 0)
        err = write_check_part("fragment", url->fragment, "");
    return err;
}

/* Cheap, and keeps the sum of the lengths from wrapping. */
static bool write_is_too_long(const struct weir_url *url)
{
    const struct weir_slice *parts[] = { &url->scheme_text, &url->authority, &url->host,
                                         &url->path,        &url->query,     &url->fragment };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i]->len > WEIR_URL_BYTES_MAX)
            return true;
    return false;
}

int64_t weir_url_write(uint8_t *out, size_t capacity, const struct weir_url *url)
{
    WEIR_ASSERT(out != NULL || capacity == 0);
    WEIR_ASSERT(url != NULL);
    if (write_is_too_long(url))
        return weir_fail(-EINVAL, "URL: more than %d bytes", WEIR_URL_BYTES_MAX);
    int err = write_check(url);
    if (err < 0)
        return err;
    bool given = url->authority.len != 0, brackets = !given && url->host_is_ipv6;
    bool mark = url->has_query || url->query.len != 0;
    bool hash = url->has_fragment || url->fragment.len != 0;
    char port[8] = "";
    int port_len = 0;
    if (!given && url->port != 0 && url->port != weir_url_port_default(url->scheme))
        port_len = snprintf(port, sizeof port, ":%u", url->port);
    WEIR_ASSERT(port_len >= 0 && (size_t)port_len < sizeof port);
    const struct weir_slice none = { .ptr = NULL };
    const struct weir_slice parts[] = {
        url->scheme_text.len != 0 ? url->scheme_text : weir_url_scheme_name(url->scheme),
        WEIR_TEXT("://"),
        brackets ? WEIR_TEXT("[") : none,
        given ? url->authority : url->host,
        brackets ? WEIR_TEXT("]") : none,
        { (const uint8_t *)port, (size_t)port_len },
        url->path,
        mark ? WEIR_TEXT("?") : none,
        url->query,
        hash ? WEIR_TEXT("#") : none,
        url->fragment,
    };
    size_t count = sizeof parts / sizeof parts[0], bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].len;
    if (bytes > WEIR_URL_BYTES_MAX)
        return weir_fail(-EINVAL, "URL: more than %d bytes", WEIR_URL_BYTES_MAX);
    if (bytes > capacity)
        return weir_fail(-ENOBUFS, "URL: %zu bytes, but room for %zu", bytes, capacity);
    uint8_t *at = out;
    for (size_t i = 0; i < count; i++) {
        WEIR_ASSERT(url_is_apart(out, bytes, parts[i]));
        at = url_put(at, parts[i]);
    }
    return (int64_t)bytes;
}
