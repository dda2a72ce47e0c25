/* SPDX-License-Identifier: MIT */
/**
 * URLs (RFC 3986) as far as an HTTP client needs them: parse, write, resolve, percent-encoding. No allocation; any thread;
 * everything is linear in its bytes. Nothing is ever normalised or decoded unless a function is named for it.
 */
#ifndef WEIR_URL_H
#define WEIR_URL_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest URL, and the longest reference: as long as the longest head of a request. */
#define WEIR_URL_BYTES_MAX 65535
/** The longest host name (RFC 3986 section 3.2.2; DNS has no longer names either). */
#define WEIR_URL_HOST_BYTES_MAX 255
/** The longest path of a unix socket, decoded: sun_path of Linux without its NUL. */
#define WEIR_URL_UNIX_PATH_BYTES_MAX 107

enum weir_url_scheme {
    WEIR_URL_HTTP,     /**< "http://host[:port]" */
    WEIR_URL_HTTPS,    /**< "https://host[:port]" */
    WEIR_URL_HTTP_UNIX /**< "http+unix://%2Fpath%2Fof%2Fsocket": the host is a percent-encoded absolute path, without port */
};

/** The parts of a URL, as views into the text that was parsed. */
struct weir_url {
    enum weir_url_scheme scheme;
    /** Host and port as written (IPv6 with brackets): the value for Host. Not for http+unix: send "localhost" there */
    struct weir_slice authority;
    struct weir_slice host; /**< without brackets; of http+unix the path, still encoded */
    uint16_t port;          /**< as written, else 80 or 443; 0 for http+unix */
    bool host_is_ipv6;
    /**
     * Path and query as written, without the fragment; "/" when there is neither. "http://h?x" has "?x": RFC 9112 section
     * 3.2.1 wants a '/' put before it.
     */
    struct weir_slice target;
    struct weir_slice scheme_text; /**< as written, without "://" */
    struct weir_slice path;        /**< as written: empty, or begins with '/' */
    struct weir_slice query;       /**< between '?' and '#', neither included */
    struct weir_slice fragment;    /**< behind '#': for the user, never to be sent */
    bool has_query;                /**< there is a '?', the query may be empty */
    bool has_fragment;             /**< there is a '#', the fragment may be empty */
    bool host_is_ipv4;             /**< four numbers: needs no resolver */
};

/**
 * Parse "http://host[:port][/path][?query][#fragment]"; the schemes are those of enum weir_url_scheme, in any case.
 * @return 0, or WEIR_E_URL (weir_error_text() says what is wrong and at which byte, never repeating the URL): another scheme;
 *         user information; empty or malformed host, with zone identifiers, IPvFuture and numbers that are no IPv4 address
 *         (127.1, 0x7f000001) among those; port not 1 ... 65535; '%' without two hexadecimal digits; control bytes, spaces,
 *         backslashes, bytes >= 0x80; more than WEIR_URL_BYTES_MAX bytes. On error *out is untouched
 */
WEIR_API WEIR_MUST_USE int weir_url_parse(struct weir_url *out, struct weir_slice text);

/**
 * Write a URL. What weir_url_parse() has filled becomes the same bytes again. To build one, zero it and set scheme, host
 * (with host_is_ipv6) and what else there is of port, path, query and fragment:
 *   - scheme_text and authority, when not empty, are written as they are and must agree with scheme, host and port; when
 *     empty they are made of these. Port 0 and the port of the scheme are left out then
 *   - '?' and '#' are written if has_query and has_fragment say so, or if there is something behind them
 *   - target and host_is_ipv4 follow from the rest and are not read
 * `out` must not overlap the parts.
 * @return bytes written (at most WEIR_URL_BYTES_MAX; no NUL); -ENOBUFS when `capacity` is too small; -EINVAL when
 *         weir_url_parse() would not take it or take it apart differently (weir_error_text() names the part). On error
 *         nothing was written
 */
WEIR_API WEIR_MUST_USE int64_t weir_url_write(uint8_t *out, size_t capacity,
                                              const struct weir_url *url);

/**
 * Resolve a reference, such as the value of Location, against `base`, which weir_url_parse() has filled: RFC 3986 section 5,
 * strictly, with the dot segments of the path removed. The result is text and may have any scheme ("mailto:x" stays that):
 * parse it before use, and look at weir_url_same_origin() before credentials are sent there.
 * `out` must not overlap the base or the reference. When there is no fragment in the reference there is none in the result.
 * @return bytes written (no NUL); -ENOBUFS when `capacity` is too small; -EINVAL when `base` has no authority; WEIR_E_URL when
 *         the reference has bytes that weir_url_parse() refuses too, no scheme before the colon of its first segment, or
 *         leads from another scheme to http+unix: no peer may send a client to a local socket. On error nothing was written
 */
WEIR_API WEIR_MUST_USE int64_t weir_url_resolve(uint8_t *out, size_t capacity,
                                                const struct weir_url *base,
                                                struct weir_slice reference);

/**
 * Same scheme, host and port, so that a connection to the one serves the other too. Names are compared without case, IPv6
 * addresses by value, sockets by their decoded path. Ports must be set: 0 is not the port of the scheme here.
 */
WEIR_API bool weir_url_same_origin(const struct weir_url *a, const struct weir_url *b);

/** What weir_url_percent_encode() leaves as it is, besides letters, digits and "-._~". */
enum weir_url_set {
    WEIR_URL_SET_COMPONENT, /**< nothing else: fits everywhere, as does the path of a socket as host of http+unix */
    WEIR_URL_SET_SEGMENT, /**< "!$&'()*+,;=:@": one segment of a path, so that a '/' in it is encoded */
    WEIR_URL_SET_PATH, /**< those of SEGMENT and '/': a path */
    WEIR_URL_SET_QUERY /**< "!$'()*,:@/?": a name or a value of a query; '&', '=', '+' and ';' are encoded */
};

/**
 * Percent-encode bytes, '%' too. "." and ".." stay: no encoding keeps a path from being resolved with them as dot segments.
 * `out` must not overlap `text`. 3 * text.len bytes are always enough.
 * @return bytes written; -ENOBUFS when `capacity` is too small (nothing was written)
 */
WEIR_API WEIR_MUST_USE int64_t weir_url_percent_encode(uint8_t *out, size_t capacity,
                                                       struct weir_slice text,
                                                       enum weir_url_set set);

/**
 * Decode each %XX; all other bytes are copied, '+' too. The result may hold any byte, NUL and '/' as well. `out` may be
 * text.ptr, but must not overlap `text` otherwise. text.len bytes are always enough.
 * @return bytes written; WEIR_E_URL for a '%' without two hexadecimal digits (weir_error_text() says where); -ENOBUFS when
 *         `capacity` is too small. On error nothing was written
 */
WEIR_API WEIR_MUST_USE int64_t weir_url_percent_decode(uint8_t *out, size_t capacity,
                                                       struct weir_slice text);

#ifdef __cplusplus
}
#endif

#endif
