/* SPDX-License-Identifier: MIT */
#include <weir/url.h>

#include "proto/codec/url_check.h"

static const enum weir_url_scheme url_schemes[] = { WEIR_URL_HTTP, WEIR_URL_HTTPS,
                                                    WEIR_URL_HTTP_UNIX };

/* Set the scheme; *authority is where that part begins, behind "://". */
static struct url_flaw url_take_scheme(struct weir_url *url, struct weir_slice text,
                                       size_t *authority)
{
    size_t colon = url_find(text, 0, ":/?#");
    struct weir_slice name = url_cut(text, 0, colon);
    bool slashes = text.len - colon >= 3 && memcmp(text.ptr + colon, "://", 3) == 0;
    for (size_t i = 0; slashes && i < sizeof url_schemes / sizeof url_schemes[0]; i++) {
        if (!weir_url_text_eq(name, weir_url_scheme_name(url_schemes[i])))
            continue;
        url->scheme = url_schemes[i];
        url->scheme_text = name;
        *authority = colon + 3;
        return url_flaw_none();
    }
    if (weir_url_text_eq(name, WEIR_TEXT("unix")))
        return url_flaw_at(0, "expected http://, https:// or http+unix:// (a unix socket as a URL "
                              "is http+unix://%2Fpath%2Fof%2Fsocket)");
    return url_flaw_at(0, "expected http://, https:// or http+unix://");
}

/* Path, query, fragment: what follows the authority, from `begin` on. */
static struct url_flaw url_take_rest(struct weir_url *url, struct weir_slice text, size_t begin)
{
    struct url_flaw flaw = weir_url_check_percent(url_cut(text, begin, text.len));
    if (flaw.problem != NULL)
        return url_flaw_at(begin + flaw.at, flaw.problem);
    size_t path_end = url_find(text, begin, "?#");
    size_t query_end = url_find(text, path_end, "#");
    url->path = url_cut(text, begin, path_end);
    url->has_query = path_end < query_end;
    if (url->has_query)
        url->query = url_cut(text, path_end + 1, query_end);
    url->has_fragment = query_end < text.len;
    if (url->has_fragment)
        url->fragment = url_cut(text, query_end + 1, text.len);
    url->target = query_end > begin ? url_cut(text, begin, query_end) : WEIR_TEXT("/");
    return url_flaw_none();
}

static struct url_flaw url_take(struct weir_url *url, struct weir_slice text)
{
    if (text.len > WEIR_URL_BYTES_MAX)
        return url_flaw_at(WEIR_URL_BYTES_MAX, "more than 65535 bytes, the first too many");
    struct url_flaw flaw = weir_url_check_bytes(text);
    if (flaw.problem != NULL)
        return flaw;
    size_t begin = 0;
    flaw = url_take_scheme(url, text, &begin);
    if (flaw.problem != NULL)
        return flaw;
    size_t end = url_find(text, begin, "/?#");
    flaw = weir_url_check_authority(url, url_cut(text, begin, end));
    if (flaw.problem != NULL)
        return url_flaw_at(begin + flaw.at, flaw.problem);
    return url_take_rest(url, text, end);
}

int weir_url_parse(struct weir_url *out, struct weir_slice text)
{
    WEIR_ASSERT(out != NULL);
    WEIR_ASSERT(text.ptr != NULL || text.len == 0);
    struct weir_url url = { .port = 0 };
    struct url_flaw flaw = url_take(&url, text);
    if (flaw.problem != NULL)
        return weir_fail(WEIR_E_URL, "URL: %s at byte %zu", flaw.problem, flaw.at);
    WEIR_ASSERT(url.host.len != 0);
    *out = url;
    return 0;
}

/* The paths of two sockets, decoded: the names of files, so with case. */
static bool url_same_socket(struct weir_slice a, struct weir_slice b)
{
    size_t at_a = 0, at_b = 0;
    if (weir_url_check_percent(a).problem != NULL || weir_url_check_percent(b).problem != NULL)
        return weir_slice_eq(a, b);
    while (at_a < a.len && at_b < b.len)
        if (url_decode_next(a, &at_a) != url_decode_next(b, &at_b))
            return false;
    return at_a == a.len && at_b == b.len;
}

bool weir_url_same_origin(const struct weir_url *a, const struct weir_url *b)
{
    WEIR_ASSERT(a != NULL);
    WEIR_ASSERT(b != NULL);
    if (a->scheme != b->scheme || a->port != b->port || a->host_is_ipv6 != b->host_is_ipv6)
        return false;
    if (a->scheme == WEIR_URL_HTTP_UNIX)
        return url_same_socket(a->host, b->host);
    uint16_t groups_a[8], groups_b[8];
    if (a->host_is_ipv6 && weir_url_check_ipv6(groups_a, a->host).problem == NULL &&
        weir_url_check_ipv6(groups_b, b->host).problem == NULL)
        return memcmp(groups_a, groups_b, sizeof groups_a) == 0;
    return weir_url_text_eq(a->host, b->host);
}
