/* SPDX-License-Identifier: MIT */
/*
 * URLs (RFC 3986). The error texts name the byte and what was expected but never repeat the URL: it
 * may carry a password, and error texts end up in logs.
 */
#include <weir/url.h>

#include "core/assert.h"
#include "core/base.h"

#include <arpa/inet.h>

#define URL_HOST_BYTES_MAX 255 /* RFC 3986 section 3.2.2; DNS has no longer names either */

static int url_fail(size_t offset, const char *problem)
{
    return weir_fail(WEIR_E_URL, "URL: %s at byte %zu", problem, offset);
}

static bool url_is_alpha(uint8_t c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z';
}

static bool url_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/*
 * unreserved and sub-delims of RFC 3986 section 2. A percent sign is left out although the grammar
 * has it: an escaped host must be decoded before it is looked up, and a view into the text cannot
 * be.
 */
static bool url_is_host_byte(uint8_t c)
{
    return url_is_alpha(c) || url_is_digit(c) ||
           (c != '\0' && strchr("-._~!$&'()*+,;=", c) != NULL);
}

/* No byte that ends a line, hides in a terminal or has no place in a URL gets any further. */
static int url_check_bytes(struct weir_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == ' ')
            return url_fail(i, "a space (write %20)");
        if (c < 0x20 || c == 0x7f)
            return url_fail(i, "a control character");
        if (c >= 0x80)
            return url_fail(i, "a byte that is not ASCII (percent-encode it, IDNA-encode a host)");
    }
    return 0;
}

/* Schemes are case-insensitive (RFC 3986 section 3.1). */
static bool url_has_scheme(struct weir_slice text, const char *lowercase, size_t len)
{
    if (text.len < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = text.ptr[i];
        if ((url_is_alpha(c) ? (c | 0x20) : c) != (uint8_t)lowercase[i])
            return false;
    }
    return true;
}

/* @return where the authority begins */
static int url_parse_scheme(struct weir_url *url, struct weir_slice text)
{
    if (url_has_scheme(text, "http://", 7)) {
        url->scheme = WEIR_URL_HTTP;
        url->port = 80;
        return 7;
    }
    if (url_has_scheme(text, "https://", 8)) {
        url->scheme = WEIR_URL_HTTPS;
        url->port = 443;
        return 8;
    }
    return url_fail(0, "expected http:// or https://");
}

/* The bytes from `at` on that are in no `stops`. */
static size_t url_span(struct weir_slice text, size_t at, const char *stops)
{
    size_t end = at;
    while (end < text.len && strchr(stops, text.ptr[end]) == NULL)
        end++;
    return end - at;
}

/* `[` IPv6address `]`. No zone (RFC 6874): it means nothing outside the machine, and Host must not
 * have it. */
static int url_parse_ipv6(struct weir_url *url, size_t offset)
{
    struct weir_slice authority = url->authority;
    size_t len = url_span(authority, 1, "]");
    if (1 + len == authority.len)
        return url_fail(offset, "'[' without ']'");
    char literal[INET6_ADDRSTRLEN] = { 0 };
    struct in6_addr address;
    if (len < sizeof literal)
        memcpy(literal, authority.ptr + 1, len);
    if (len >= sizeof literal || inet_pton(AF_INET6, literal, &address) != 1)
        return url_fail(offset + 1, "expected an IPv6 address (without zone)");
    url->host = (struct weir_slice){ authority.ptr + 1, len };
    url->host_is_ipv6 = true;
    return 0;
}

static int url_parse_name(struct weir_url *url, size_t offset)
{
    struct weir_slice authority = url->authority;
    size_t len = url_span(authority, 0, ":");
    if (len == 0)
        return url_fail(offset, "expected a host");
    for (size_t i = 0; i < len; i++)
        if (!url_is_host_byte(authority.ptr[i]))
            return url_fail(offset + i, "a character that no host name has");
    if (len > URL_HOST_BYTES_MAX)
        return url_fail(offset + URL_HOST_BYTES_MAX, "a host of more than 255 bytes");
    url->host = (struct weir_slice){ authority.ptr, len };
    url->host_is_ipv6 = false;
    return 0;
}

/* What follows the host within the authority: nothing, or `:` and a port. */
static int url_parse_port(struct weir_url *url, struct weir_slice rest, size_t offset)
{
    if (rest.len == 0)
        return 0;
    if (rest.ptr[0] != ':')
        return url_fail(offset, "expected ':', '/' or the end after the host");
    uint32_t port = 0;
    for (size_t i = 1; i < rest.len; i++) {
        if (!url_is_digit(rest.ptr[i]))
            return url_fail(offset + i, "expected a digit of the port");
        port = port * 10 + (uint32_t)(rest.ptr[i] - '0');
        if (port > UINT16_MAX)
            return url_fail(offset + 1, "expected a port of 1 ... 65535");
    }
    if (port == 0)
        return url_fail(offset + 1, "expected a port of 1 ... 65535");
    url->port = (uint16_t)port;
    return 0;
}

static int url_parse_authority(struct weir_url *url, size_t offset)
{
    struct weir_slice authority = url->authority;
    size_t user_len = url_span(authority, 0, "@");
    if (user_len < authority.len) /* RFC 9110 section 4.2.4: never send it; better not to take it */
        return url_fail(offset + user_len, "user information, which is not supported,");
    bool bracket = authority.len > 0 && authority.ptr[0] == '[';
    int err = bracket ? url_parse_ipv6(url, offset) : url_parse_name(url, offset);
    if (err < 0)
        return err;
    size_t host_len = url->host.len + (bracket ? 2 : 0);
    WEIR_ASSERT(host_len <= authority.len);
    struct weir_slice rest = { authority.ptr + host_len, authority.len - host_len };
    return url_parse_port(url, rest, offset + host_len);
}

int weir_url_parse(struct weir_url *out, struct weir_slice text)
{
    WEIR_ASSERT(out != NULL);
    WEIR_ASSERT(text.ptr != NULL || text.len == 0);
    struct weir_url url = { .target = WEIR_TEXT("/") };
    int err = url_check_bytes(text);
    if (err < 0)
        return err;
    int offset = url_parse_scheme(&url, text);
    if (offset < 0)
        return offset;
    size_t begin = (size_t)offset;
    size_t len = url_span(text, begin, "/?#");
    url.authority = (struct weir_slice){ text.ptr + begin, len };
    err = url_parse_authority(&url, begin);
    if (err < 0)
        return err;
    size_t target_len = url_span(text, begin + len, "#");
    if (target_len > 0)
        url.target = (struct weir_slice){ text.ptr + begin + len, target_len };
    *out = url;
    return 0;
}
