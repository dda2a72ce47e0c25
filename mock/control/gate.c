/* SPDX-License-Identifier: MIT */
#include "mock/control/gate.h"

#include <weir/units.h>

#include <string.h>
#include <strings.h>

bool gate_is_foreign(const struct weir_exchange *exchange, enum method method)
{
    struct weir_slice origin = weir_exchange_header(exchange, WEIR_TEXT("Origin"));
    struct weir_slice host = weir_exchange_host(exchange);
    if (origin.ptr == NULL || method == METHOD_GET || method == METHOD_HEAD)
        return false;
    const uint8_t *at = memmem(origin.ptr, origin.len, "://", 3);
    size_t scheme = at != NULL ? (size_t)(at - origin.ptr) + 3 : origin.len;
    return host.len == 0 || origin.len - scheme != host.len ||
           strncasecmp((const char *)origin.ptr + scheme, (const char *)host.ptr, host.len) != 0;
}

uint64_t gate_generation(const struct weir_exchange *exchange)
{
    struct weir_slice value = weir_exchange_header(exchange, WEIR_TEXT("If-Match"));
    char digits[24] = "";
    uint64_t generation;
    if (value.ptr == NULL || (value.len == 1 && value.ptr[0] == '*'))
        return 0;
    if (value.len > 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = (struct weir_slice){ value.ptr + 1, value.len - 2 };
    if (value.len < sizeof digits)
        memcpy(digits, value.ptr, value.len);
    return weir_parse_number(&generation, digits, 1, UINT64_MAX) < 0 ? UINT64_MAX : generation;
}
