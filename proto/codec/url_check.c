/* SPDX-License-Identifier: MIT */
#include "proto/codec/url_check.h"

/* No byte that ends a line, hides in a terminal or has no place in a URL gets any further. */
struct url_flaw weir_url_check_bytes(struct weir_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c > ' ' && c < 0x7f && c != '\\')
            continue;
        if (c == ' ')
            return url_flaw_at(i, "a space (write %20)");
        if (c >= 0x80)
            return url_flaw_at(i,
                               "a byte that is not ASCII (percent-encode it, IDNA-encode a host)");
        /* Browsers read it as '/', others do not: no text may mean two hosts. */
        if (c == '\\')
            return url_flaw_at(i, "a backslash (write / or %5C)");
        return url_flaw_at(i, "a control character");
    }
    return url_flaw_none();
}

struct url_flaw weir_url_check_percent(struct weir_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%')
            continue;
        if (text.len - i < 3 || url_hex(text.ptr[i + 1]) < 0 || url_hex(text.ptr[i + 2]) < 0)
            return url_flaw_at(i, "a '%' without two hexadecimal digits (write %25)");
        i += 2;
    }
    return url_flaw_none();
}

struct weir_slice weir_url_scheme_name(enum weir_url_scheme scheme)
{
    switch (scheme) {
    case WEIR_URL_HTTP:
        return WEIR_TEXT("http");
    case WEIR_URL_HTTPS:
        return WEIR_TEXT("https");
    case WEIR_URL_HTTP_UNIX:
        return WEIR_TEXT("http+unix");
    }
    return (struct weir_slice){ .ptr = NULL }; /* a number that is no scheme has no name */
}

uint16_t weir_url_port_default(enum weir_url_scheme scheme)
{
    if (scheme == WEIR_URL_HTTP_UNIX)
        return 0;
    return scheme == WEIR_URL_HTTPS ? 443 : 80;
}

bool weir_url_text_eq(struct weir_slice a, struct weir_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (url_lower(a.ptr[i]) != url_lower(b.ptr[i]))
            return false;
    return true;
}

/*
 * Four numbers 0 ... 255, without leading zeros (IPv4address of RFC 3986): some would read those as
 * octal.
 */
static struct url_flaw url_check_ipv4(uint8_t octets[4], struct weir_slice text)
{
    static const char expected[] = "expected an IPv4 address, four numbers 0 ... 255,";
    size_t at = 0;
    for (unsigned i = 0; i < 4; i++) {
        size_t begin = at;
        unsigned value = 0;
        while (at < text.len && at - begin < 3 && url_is_digit(text.ptr[at]))
            value = value * 10 + (unsigned)(text.ptr[at++] - '0');
        bool padded = at - begin > 1 && text.ptr[begin] == '0';
        if (at == begin || padded || value > 255)
            return url_flaw_at(begin, expected);
        octets[i] = (uint8_t)value;
        bool ends = at == text.len;
        if (i == 3 ? !ends : ends || text.ptr[at] != '.')
            return url_flaw_at(at, expected);
        at++;
    }
    return url_flaw_none();
}

struct ipv6_reader {
    struct weir_slice text;
    size_t at;
    uint16_t *groups;
    unsigned count;
    unsigned gap; /* the groups before "::", 8 while there was none */
};

/* One group of four digits, or the IPv4 address that the last two groups may be written as. */
static struct url_flaw ipv6_group(struct ipv6_reader *r)
{
    size_t begin = r->at, end = begin;
    unsigned room = r->gap < 8 ? 7 : 8, value = 0; /* "::" is one group at least */
    for (; end < r->text.len && end - begin < 5 && url_hex(r->text.ptr[end]) >= 0; end++)
        value = value * 16 + (unsigned)url_hex(r->text.ptr[end]);
    if (end > begin && end < r->text.len && r->text.ptr[end] == '.') {
        uint8_t octets[4];
        struct url_flaw flaw = url_check_ipv4(octets, url_cut(r->text, begin, r->text.len));
        if (flaw.problem != NULL)
            return url_flaw_at(begin + flaw.at, flaw.problem);
        if (r->count + 2 > room)
            return url_flaw_at(begin, "an IPv6 address of more than eight groups");
        r->groups[r->count++] = (uint16_t)(octets[0] << 8 | octets[1]);
        r->groups[r->count++] = (uint16_t)(octets[2] << 8 | octets[3]);
        r->at = r->text.len;
        return url_flaw_none();
    }
    if (end == begin || end - begin > 4)
        return url_flaw_at(begin, "expected one to four hexadecimal digits of an IPv6 address");
    if (r->count == room)
        return url_flaw_at(begin, "an IPv6 address of more than eight groups");
    r->groups[r->count++] = (uint16_t)value;
    r->at = end;
    return url_flaw_none();
}

/* Between two groups: ':' with a group to follow, or "::". */
static struct url_flaw ipv6_colon(struct ipv6_reader *r)
{
    size_t at = r->at;
    if (r->text.ptr[at] != ':')
        return url_flaw_at(at, "expected ':' or the end of an IPv6 address");
    r->at = at + 1;
    if (r->at == r->text.len)
        return url_flaw_at(r->at, "expected one to four hexadecimal digits of an IPv6 address");
    if (r->text.ptr[r->at] != ':')
        return url_flaw_none();
    if (r->gap < 8)
        return url_flaw_at(at, "a second '::' in an IPv6 address");
    if (r->count == 8)
        return url_flaw_at(at, "an IPv6 address of more than eight groups");
    r->gap = r->count;
    r->at++;
    return url_flaw_none();
}

struct url_flaw weir_url_check_ipv6(uint16_t groups[8], struct weir_slice text)
{
    struct ipv6_reader r = { .text = text, .groups = groups, .gap = 8 };
    if (text.len >= 2 && text.ptr[0] == ':' && text.ptr[1] == ':') {
        r.gap = 0;
        r.at = 2;
    }
    if (text.len == 0)
        return url_flaw_at(0, "expected an IPv6 address");
    while (r.at < text.len) {
        struct url_flaw flaw = ipv6_group(&r);
        if (flaw.problem == NULL && r.at < text.len)
            flaw = ipv6_colon(&r);
        if (flaw.problem != NULL)
            return flaw;
    }
    if (r.gap == 8 && r.count < 8)
        return url_flaw_at(text.len, "an IPv6 address of less than eight groups ends");
    if (r.gap < 8) {
        unsigned behind = r.count - r.gap;
        memmove(groups + 8 - behind, groups + r.gap, behind * sizeof *groups);
        memset(groups + r.gap, 0, (8 - r.count) * sizeof *groups);
    }
    return url_flaw_none();
}

/* `[` IPv6address `]`; the authority begins with the bracket. */
static struct url_flaw url_check_literal(struct weir_url *url)
{
    struct weir_slice authority = url->authority;
    size_t end = url_find(authority, 1, "]");
    if (end == authority.len)
        return url_flaw_at(0, "'[' without ']'");
    struct weir_slice host = url_cut(authority, 1, end);
    if (host.len > 0 && (host.ptr[0] | 0x20) == 'v')
        return url_flaw_at(1, "an IPvFuture address, which is not supported,");
    /* RFC 6874: it means nothing outside the machine, and Host must not have it. */
    size_t zone = url_find(host, 0, "%");
    if (zone < host.len)
        return url_flaw_at(1 + zone, "a zone identifier, which is not supported,");
    uint16_t groups[8];
    struct url_flaw flaw = weir_url_check_ipv6(groups, host);
    if (flaw.problem != NULL)
        return url_flaw_at(1 + flaw.at, flaw.problem);
    url->host = host;
    url->host_is_ipv6 = true;
    return url_flaw_none();
}

/*
 * Is the last label a number, decimal or hexadecimal? No name in DNS ends so (RFC 3696 section 2),
 * but the resolvers of C libraries read "127.1", "0x7f.1" and "2130706433" as addresses, and an
 * application that checks hosts would not.
 */
static bool url_ends_in_number(struct weir_slice host)
{
    size_t end = host.len;
    if (end > 0 && host.ptr[end - 1] == '.')
        end--;
    size_t begin = end;
    while (begin > 0 && host.ptr[begin - 1] != '.')
        begin--;
    if (begin == end)
        return false;
    bool hex = end - begin >= 2 && host.ptr[begin] == '0' && (host.ptr[begin + 1] | 0x20) == 'x';
    for (size_t i = begin + (hex ? 2 : 0); i < end; i++)
        if (hex ? url_hex(host.ptr[i]) < 0 : !url_is_digit(host.ptr[i]))
            return false;
    return true;
}

/* Two colons or more, and nothing that IPv6 addresses do not have. */
static bool url_is_bare_ipv6(struct weir_slice authority)
{
    size_t colons = 0;
    for (size_t i = 0; i < authority.len; i++) {
        uint8_t c = authority.ptr[i];
        colons += c == ':' ? 1 : 0;
        if (c != ':' && c != '.' && url_hex(c) < 0)
            return false;
    }
    return colons >= 2;
}

/* unreserved and sub-delims of RFC 3986 section 2. */
static bool url_is_host_byte(uint8_t c)
{
    return url_is_unreserved(c) || (c != '\0' && strchr("!$&'()*+,;=", c) != NULL);
}

/*
 * A name or an IPv4 address. A percent sign is left out although the grammar has it: an escaped
 * host must be decoded before it is looked up, and a view into the text cannot be.
 */
static struct url_flaw url_check_name(struct weir_url *url)
{
    size_t len = url_find(url->authority, 0, ":");
    struct weir_slice host = url_cut(url->authority, 0, len);
    if (url_is_bare_ipv6(url->authority))
        return url_flaw_at(0, "an IPv6 address without brackets");
    if (len == 0)
        return url_flaw_at(0, "expected a host");
    for (size_t i = 0; i < len; i++)
        if (!url_is_host_byte(host.ptr[i]))
            return url_flaw_at(i, "a character that no host name has");
    if (len > WEIR_URL_HOST_BYTES_MAX)
        return url_flaw_at(WEIR_URL_HOST_BYTES_MAX, "a host of more than 255 bytes");
    if (url_ends_in_number(host)) {
        uint8_t octets[4];
        struct url_flaw flaw = url_check_ipv4(octets, host);
        if (flaw.problem != NULL)
            return flaw;
        url->host_is_ipv4 = true;
    }
    url->host = host;
    return url_flaw_none();
}

/*
 * What follows the host within the authority, from `at` on: nothing, or `:` and a port. Digits
 * without end are refused at the first that makes the port too large.
 */
static struct url_flaw url_check_port(struct weir_url *url, size_t at)
{
    static const char expected[] = "expected a port of 1 ... 65535";
    struct weir_slice text = url->authority;
    if (at == text.len)
        return url_flaw_none();
    if (text.ptr[at] != ':')
        return url_flaw_at(at, "expected ':', '/' or the end after the host");
    size_t begin = at + 1;
    uint32_t port = 0;
    for (size_t i = begin; i < text.len; i++) {
        if (!url_is_digit(text.ptr[i]))
            return url_flaw_at(i, "expected a digit of the port");
        port = port * 10 + (uint32_t)(text.ptr[i] - '0');
        if (port > UINT16_MAX)
            return url_flaw_at(begin, expected);
    }
    /* "http://unix:/path:/target" of some proxies' configuration: to RFC 3986 unix is a host. */
    if (begin == text.len && weir_url_text_eq(url->host, WEIR_TEXT("unix")))
        return url_flaw_at(begin, "expected a port of 1 ... 65535, or for a unix socket "
                                  "http+unix://%2Fpath%2Fof%2Fsocket instead,");
    if (port == 0)
        return url_flaw_at(begin, expected);
    url->port = (uint16_t)port;
    return url_flaw_none();
}

/*
 * The percent-encoded path of a unix socket. Absolute, so that it does not depend on the working
 * directory and "http+unix://localhost/" is no file; NUL would end it for the kernel.
 */
static struct url_flaw url_check_socket(struct weir_url *url)
{
    struct weir_slice path = url->authority;
    if (path.len == 0)
        return url_flaw_at(0, "expected the path of a unix socket, which begins with %2F,");
    struct url_flaw flaw = weir_url_check_percent(path);
    if (flaw.problem != NULL)
        return flaw;
    size_t decoded = 0;
    for (size_t at = 0; at < path.len; decoded++) {
        size_t begin = at;
        if (path.ptr[at] == ':')
            return url_flaw_at(at, "a ':' where a unix socket has no port (write %3A)");
        if (path.ptr[at] != '%' && !url_is_host_byte(path.ptr[at]))
            return url_flaw_at(at, "a character that must be percent-encoded");
        uint8_t c = url_decode_next(path, &at);
        if (begin == 0 && c != '/')
            return url_flaw_at(0, "expected the path of a unix socket, which begins with %2F,");
        if (c == '\0')
            return url_flaw_at(begin, "a NUL in the path of a unix socket");
        if (decoded == WEIR_URL_UNIX_PATH_BYTES_MAX)
            return url_flaw_at(begin, "a path of a unix socket of more than 107 bytes");
    }
    url->host = path;
    url->port = 0;
    return url_flaw_none();
}

struct url_flaw weir_url_check_authority(struct weir_url *url, struct weir_slice authority)
{
    WEIR_ASSERT(weir_url_scheme_name(url->scheme).len != 0);
    url->authority = authority;
    url->port = weir_url_port_default(url->scheme);
    url->host_is_ipv4 = url->host_is_ipv6 = false;
    /* RFC 9110 section 4.2.4: never to be sent, and to be distrusted when received. */
    size_t user = url_find(authority, 0, "@");
    if (user < authority.len)
        return url_flaw_at(user, "user information, which is not supported,");
    if (url->scheme == WEIR_URL_HTTP_UNIX)
        return url_check_socket(url);
    bool bracket = authority.len > 0 && authority.ptr[0] == '[';
    struct url_flaw flaw = bracket ? url_check_literal(url) : url_check_name(url);
    if (flaw.problem != NULL)
        return flaw;
    size_t host_len = url->host.len + (bracket ? 2 : 0);
    WEIR_ASSERT(host_len <= authority.len);
    return url_check_port(url, host_len);
}
