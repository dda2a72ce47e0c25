/* SPDX-License-Identifier: MIT */
/** URLs (RFC 3986) as far as an HTTP client needs them. No allocation; any thread. */
#ifndef WEIR_URL_H
#define WEIR_URL_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weir_url_scheme { WEIR_URL_HTTP, WEIR_URL_HTTPS };

/** The parts of a URL, as views into the text that was parsed. */
struct weir_url {
    enum weir_url_scheme scheme;
    struct weir_slice authority; /**< host and port as written (IPv6 with brackets): the value for Host */
    struct weir_slice host;      /**< without brackets */
    uint16_t port;               /**< as written, else 80 or 443 */
    bool host_is_ipv6;
    struct weir_slice target;    /**< path and query as written; "/" when there is none. Not the fragment */
};

/**
 * Parse "http://host[:port][/path][?query][#fragment]" (or https).
 * @return 0, or WEIR_E_URL (weir_error_text() says what is wrong and at which byte): no or another scheme,
 *         user information, empty or malformed host, port not 1 ... 65535, control bytes, spaces or bytes >= 0x80
 */
WEIR_API WEIR_MUST_USE int weir_url_parse(struct weir_url *out, struct weir_slice text);

#ifdef __cplusplus
}
#endif

#endif
