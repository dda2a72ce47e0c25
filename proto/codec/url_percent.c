/* SPDX-License-Identifier: MIT */
#include <weir/url.h>

#include "proto/codec/url_check.h"

#include <errno.h>

/* The bytes besides the unreserved ones that stay as they are. */
static const char *const percent_kept[] = {
    [WEIR_URL_SET_COMPONENT] = "",
    [WEIR_URL_SET_SEGMENT] = "!$&'()*+,;=:@",
    [WEIR_URL_SET_PATH] = "!$&'()*+,;=:@/",
    [WEIR_URL_SET_QUERY] = "!$'()*,:@/?",
};

static bool percent_keeps(const char *kept, uint8_t c)
{
    return url_is_unreserved(c) || (c != '\0' && strchr(kept, c) != NULL);
}

int64_t weir_url_percent_encode(uint8_t *out, size_t capacity, struct weir_slice text,
                                enum weir_url_set set)
{
    WEIR_ASSERT(out != NULL || capacity == 0);
    WEIR_ASSERT(text.ptr != NULL || text.len == 0);
    WEIR_ASSERT((size_t)set < sizeof percent_kept / sizeof percent_kept[0]);
    static const char digits[] = "0123456789ABCDEF"; /* RFC 3986 section 2.1: in upper case */
    const char *kept = percent_kept[set];
    size_t bytes = 0;
    for (size_t i = 0; i < text.len; i++) {
        size_t more = percent_keeps(kept, text.ptr[i]) ? 1 : 3;
        if (more > capacity - bytes)
            return weir_fail(-ENOBUFS, "percent-encoding: more than %zu bytes", capacity);
        bytes += more;
    }
    WEIR_ASSERT(url_is_apart(out, bytes, text));
    for (size_t i = 0, at = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (percent_keeps(kept, c)) {
            out[at++] = c;
        } else {
            out[at++] = '%';
            out[at++] = (uint8_t)digits[c >> 4];
            out[at++] = (uint8_t)digits[c & 15];
        }
    }
    return (int64_t)bytes;
}

int64_t weir_url_percent_decode(uint8_t *out, size_t capacity, struct weir_slice text)
{
    WEIR_ASSERT(out != NULL || capacity == 0);
    WEIR_ASSERT(text.ptr != NULL || text.len == 0);
    struct url_flaw flaw = weir_url_check_percent(text);
    if (flaw.problem != NULL)
        return weir_fail(WEIR_E_URL, "percent-encoding: %s at byte %zu", flaw.problem, flaw.at);
    size_t bytes = text.len;
    for (size_t i = 0; i < text.len; i++)
        bytes -= text.ptr[i] == '%' ? 2 : 0; /* none is inside another's digits */
    if (bytes > capacity)
        return weir_fail(-ENOBUFS, "percent-encoding: %zu bytes, but room for %zu", bytes,
                         capacity);
    /* Writing never overtakes reading: in place is fine. */
    WEIR_ASSERT(out == text.ptr || url_is_apart(out, bytes, text));
    size_t at = 0, to = 0;
    while (at < text.len)
        out[to++] = url_decode_next(text, &at);
    WEIR_ASSERT(to == bytes);
    return (int64_t)bytes;
}
