/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: URLs. The bytes up to the first newline are a URL and those behind it a reference;
 * all of them are percent-encoded, and decoded as they are.
 */
#include <weir/url.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

/* Memory of its own, so that the sanitizer sees the smallest overrun. */
static uint8_t *take(size_t len)
{
    uint8_t *memory = malloc(len + (len == 0));
    DEMAND(memory != NULL);
    return memory;
}

static bool same(struct weir_slice a, struct weir_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static bool is_inside(struct weir_slice view, struct weir_slice text)
{
    return view.len == 0 || (view.ptr >= text.ptr && view.ptr + view.len <= text.ptr + text.len);
}

static bool has(struct weir_slice text, char c)
{
    return text.len != 0 && memchr(text.ptr, c, text.len) != NULL;
}

static void demand_sound(const struct weir_url *url, struct weir_slice text)
{
    const struct weir_slice *views[] = { &url->scheme_text, &url->authority, &url->host,
                                         &url->path,        &url->query,     &url->fragment };
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
        DEMAND(is_inside(*views[i], text));
    for (size_t i = 0; i < text.len; i++)
        DEMAND(text.ptr[i] > ' ' && text.ptr[i] < 0x7f && text.ptr[i] != '\\');
    DEMAND(text.len <= WEIR_URL_BYTES_MAX);
    DEMAND(url->host.len != 0 && is_inside(url->host, url->authority));
    DEMAND(!has(url->authority, '@') && !has(url->authority, '/') && !has(url->authority, '?'));
    DEMAND((url->port == 0) == (url->scheme == WEIR_URL_HTTP_UNIX));
    DEMAND(url->host_is_ipv6 == (url->authority.ptr[0] == '['));
    DEMAND(url->host_is_ipv6 || !has(url->host, ':'));
    DEMAND(!url->host_is_ipv4 || !url->host_is_ipv6);
    DEMAND(url->path.len == 0 || url->path.ptr[0] == '/');
    DEMAND(!has(url->path, '?') && !has(url->target, '#'));
    size_t target_len = url->path.len + (url->has_query ? 1 + url->query.len : 0);
    if (target_len == 0)
        DEMAND(url->target.len == 1 && url->target.ptr[0] == '/');
    else
        DEMAND(url->target.len == target_len && is_inside(url->target, text));
    DEMAND(weir_url_same_origin(url, url));
    if (url->scheme == WEIR_URL_HTTP_UNIX) {
        uint8_t socket[WEIR_URL_UNIX_PATH_BYTES_MAX];
        int64_t len = weir_url_percent_decode(socket, sizeof socket, url->host);
        DEMAND(len > 0 && socket[0] == '/');
        DEMAND(memchr(socket, '\0', (size_t)len) == NULL);
    }
}

static void demand_written(const struct weir_url *url, struct weir_slice text)
{
    uint8_t *out = take(text.len);
    DEMAND(weir_url_write(out, text.len - 1, url) == -ENOBUFS);
    DEMAND(weir_url_write(out, text.len, url) == (int64_t)text.len);
    DEMAND(memcmp(out, text.ptr, text.len) == 0);

    /* From parts alone: only the port's digits and the case of the scheme may change. */
    struct weir_url parts = *url, back;
    parts.scheme_text = parts.authority = parts.target = (struct weir_slice){ .ptr = NULL };
    int64_t len = weir_url_write(out, text.len, &parts);
    DEMAND(len > 0);
    DEMAND(weir_url_parse(&back, (struct weir_slice){ out, (size_t)len }) == 0);
    DEMAND(same(back.host, url->host) && same(back.path, url->path));
    DEMAND(same(back.query, url->query) && same(back.fragment, url->fragment));
    DEMAND(same(back.target, url->target) && back.port == url->port);
    DEMAND(back.has_query == url->has_query && back.has_fragment == url->has_fragment);
    DEMAND(weir_url_same_origin(&back, url));
    free(out);
}

static bool has_dot_segment(struct weir_slice path)
{
    for (size_t at = 0, end; at < path.len; at = end + 1) {
        for (end = at; end < path.len && path.ptr[end] != '/';)
            end++;
        if (end - at <= 2 && end > at && path.ptr[at] == '.' && path.ptr[end - 1] == '.')
            return true;
    }
    return false;
}

static void demand_resolved(const struct weir_url *base, struct weir_slice reference)
{
    size_t room = base->scheme_text.len + base->authority.len + base->path.len + base->query.len +
                  reference.len + 8;
    uint8_t *out = take(room);
    int64_t len = weir_url_resolve(out, room, base, reference);
    DEMAND(len > 0 || len == WEIR_E_URL);
    struct weir_url url;
    struct weir_slice text = { out, (size_t)(len > 0 ? len : 0) };
    if (len > 0 && weir_url_parse(&url, text) == 0) {
        demand_sound(&url, text);
        bool own_path = reference.len == 0 || reference.ptr[0] == '?' || reference.ptr[0] == '#';
        DEMAND(own_path || !has_dot_segment(url.path));
        DEMAND(url.scheme != WEIR_URL_HTTP_UNIX || base->scheme == WEIR_URL_HTTP_UNIX);
        /* What is absolute resolves to itself, whatever the base, once it has no dot segments. */
        uint8_t *again = take(text.len);
        int64_t len_again = weir_url_resolve(again, text.len, base, text);
        DEMAND(has_dot_segment(url.path) || len_again == len);
        DEMAND(has_dot_segment(url.path) || memcmp(again, out, text.len) == 0);
        free(again);
    }
    free(out);
}

static void demand_percent(struct weir_slice text)
{
    uint8_t *encoded = take(3 * text.len), *decoded = take(text.len);
    for (int set = WEIR_URL_SET_COMPONENT; set <= WEIR_URL_SET_QUERY; set++) {
        int64_t len = weir_url_percent_encode(encoded, 3 * text.len, text, (enum weir_url_set)set);
        DEMAND(len >= (int64_t)text.len);
        struct weir_slice slice = { encoded, (size_t)len };
        DEMAND(weir_url_percent_decode(decoded, text.len, slice) == (int64_t)text.len);
        DEMAND(text.len == 0 || memcmp(decoded, text.ptr, text.len) == 0);
    }
    int64_t len = weir_url_percent_decode(decoded, text.len, text);
    DEMAND(len == WEIR_E_URL || (len >= 0 && len <= (int64_t)text.len));
    free(encoded);
    free(decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size != 0 ? memchr(data, '\n', size) : NULL;
    size_t len = newline != NULL ? (size_t)(newline - data) : size;
    uint8_t *copy = take(len);
    if (len != 0)
        memcpy(copy, data, len);
    struct weir_slice text = { copy, len };
    struct weir_url url;
    int err = weir_url_parse(&url, text);
    DEMAND(err == 0 || (err == WEIR_E_URL && weir_error_text()[0] != '\0'));
    if (err == 0) {
        demand_sound(&url, text);
        demand_written(&url, text);
        size_t rest = newline != NULL ? size - len - 1 : 0;
        uint8_t *reference = take(rest);
        if (rest != 0)
            memcpy(reference, newline + 1, rest);
        demand_resolved(&url, (struct weir_slice){ reference, rest });
        free(reference);
    }
    demand_percent(text);
    free(copy);
    return 0;
}
