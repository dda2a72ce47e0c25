/* SPDX-License-Identifier: MIT */
/*
 * Resolving references (RFC 3986 section 5).
 *
 * The dot segments are removed from the end of the path towards its beginning: a ".." is then known
 * before the segment that it takes away, so nothing is written that does not stay, the length is
 * known before the first byte is written, and no memory but the caller's is needed. It is the same
 * as section 5.2.4, which goes forwards: both match each ".." with the nearest segment before it
 * that is not matched yet, and drop those that find none.
 */
#include <weir/url.h>

#include "proto/codec/url_check.h"

#include <errno.h>

/* The components of section 3 but the path, with flags for those that may be there and empty. */
struct url_parts {
    struct weir_slice scheme; /* empty when there is none */
    struct weir_slice authority;
    struct weir_slice query;
    struct weir_slice fragment;
    bool has_authority;
    bool has_query;
    bool has_fragment;
};

/*
 * A path that is taken apart from its end: the directory of the base without its last slash, then
 * the path of the reference. Each piece is a name and the slash before it, which only the first
 * piece of a path may lack.
 */
struct url_path {
    struct weir_slice head;
    struct weir_slice tail;
    bool joined;  /* there is a slash between head and tail */
    bool as_is;   /* the tail stays as it is: the base's own path */
    bool drained; /* tail and the slash before it are used up */
};

static bool path_pop(struct url_path *path, struct weir_slice *name, bool *slash)
{
    struct weir_slice *part = path->drained ? &path->head : &path->tail;
    if (path->drained && part->len == 0)
        return false;
    const uint8_t *at = part->len == 0 ? NULL : memrchr(part->ptr, '/', part->len);
    if (at == NULL) {
        WEIR_ASSERT(!path->drained); /* the head begins with a slash */
        *name = *part;
        *slash = path->joined;
        path->drained = true;
        return true;
    }
    size_t before = (size_t)(at - part->ptr);
    *name = url_cut(*part, before + 1, part->len);
    *slash = true;
    part->len = before;
    if (before == 0 && !path->drained) {
        WEIR_ASSERT(!path->joined); /* a path that begins with a slash replaces the base's */
        path->drained = true;
    }
    return true;
}

static bool path_is_dots(struct weir_slice name, size_t dots)
{
    return name.len == dots && memcmp(name.ptr, "..", dots) == 0;
}

/*
 * Returns the bytes of the path without its dot segments. They are written so that they end at
 * `end`, unless that is NULL. *slashes: does the path begin with two?
 */
static size_t path_finish(struct url_path path, uint8_t *end, bool *slashes)
{
    struct weir_slice name;
    bool slash, is_last = true;
    size_t bytes = 0, taken_away = 0;
    *slashes = false;
    for (; path_pop(&path, &name, &slash); is_last = false) {
        bool up = path_is_dots(name, 2), dots = up || path_is_dots(name, 1);
        if (up)
            taken_away++;
        if (!dots && taken_away > 0) {
            taken_away--;
            continue;
        }
        if (dots && !is_last)
            continue;
        if (dots)
            name.len = 0; /* "a/." and "a/b/.." end in a slash, "a/" */
        *slashes = slash && name.len == 0 && bytes > 0;
        bytes += name.len + (slash ? 1 : 0);
        if (end == NULL)
            continue;
        end -= name.len;
        url_put(end, name);
        if (slash)
            *--end = '/';
    }
    return bytes;
}

/* Section 5.2.4, steps A and D: what a path without a slash at its beginning may begin with. */
static struct weir_slice path_strip_dots(struct weir_slice path)
{
    for (;;) {
        size_t dots = 0;
        while (dots < path.len && dots < 3 && path.ptr[dots] == '.')
            dots++;
        bool ends = dots == path.len;
        if (dots == 0 || dots > 2 || (!ends && path.ptr[dots] != '/'))
            return path;
        path = url_cut(path, dots + (ends ? 0 : 1), path.len);
    }
}

static bool url_is_scheme(struct weir_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool fits =
            url_is_alpha(c) || (i > 0 && (url_is_digit(c) || c == '+' || c == '-' || c == '.'));
        if (!fits)
            return false;
    }
    return text.len != 0;
}

/* Take a reference apart (appendix B). */
static struct url_flaw reference_take(struct url_parts *out, struct weir_slice *path,
                                      struct weir_slice text)
{
    if (text.len > WEIR_URL_BYTES_MAX)
        return url_flaw_at(WEIR_URL_BYTES_MAX, "more than 65535 bytes, the first too many");
    struct url_flaw flaw = weir_url_check_bytes(text);
    if (flaw.problem == NULL)
        flaw = weir_url_check_percent(text);
    if (flaw.problem != NULL)
        return flaw;
    size_t at = 0, end = url_find(text, 0, ":/?#");
    if (end < text.len && text.ptr[end] == ':') {
        out->scheme = url_cut(text, 0, end);
        if (!url_is_scheme(out->scheme)) /* section 4.2: no colon in the first segment */
            return url_flaw_at(0, "expected a scheme before ':' (or write ./ before it)");
        at = end + 1;
    }
    out->has_authority = text.len - at >= 2 && memcmp(text.ptr + at, "//", 2) == 0;
    if (out->has_authority) {
        end = url_find(text, at + 2, "/?#");
        out->authority = url_cut(text, at + 2, end);
        at = end;
    }
    end = url_find(text, at, "?#");
    *path = url_cut(text, at, end);
    at = url_find(text, end, "#");
    out->has_query = end < at;
    if (out->has_query)
        out->query = url_cut(text, end + 1, at);
    out->has_fragment = at < text.len;
    if (out->has_fragment)
        out->fragment = url_cut(text, at + 1, text.len);
    return url_flaw_none();
}

/* Section 5.2.3, for a base that always has an authority. */
static void path_merge(struct url_path *out, const struct weir_url *base, struct weir_slice path)
{
    const uint8_t *slash = NULL;
    if (base->path.len != 0)
        slash = memrchr(base->path.ptr, '/', base->path.len);
    *out = (struct url_path){ .tail = path, .joined = true };
    if (slash != NULL)
        out->head = url_cut(base->path, 0, (size_t)(slash - base->path.ptr));
}

/* Section 5.2.2: `parts` and `path` are those of the reference, and become the target's. */
static void url_transform(struct url_parts *parts, struct url_path *out,
                          const struct weir_url *base, struct weir_slice path)
{
    *out = (struct url_path){ .tail = path, .drained = path.len == 0 };
    if (parts->scheme.len != 0) {
        if (!parts->has_authority && path.len != 0 && path.ptr[0] != '/') {
            out->tail = path_strip_dots(path);
            out->drained = out->tail.len == 0;
        }
        return;
    }
    parts->scheme = base->scheme_text;
    if (parts->scheme.len == 0)
        parts->scheme = weir_url_scheme_name(base->scheme);
    if (parts->has_authority)
        return;
    parts->authority = base->authority;
    parts->has_authority = true;
    if (path.len == 0) {
        *out = (struct url_path){ .tail = base->path, .as_is = true };
        if (!parts->has_query) {
            parts->query = base->query;
            parts->has_query = base->has_query;
        }
    } else if (path.ptr[0] != '/') {
        path_merge(out, base, path);
    }
}

static size_t url_compose(uint8_t *out, const struct url_parts *parts, const struct url_path *path,
                          size_t path_bytes)
{
    bool slashes;
    uint8_t *at = url_put(out, parts->scheme);
    at = url_put(at, WEIR_TEXT(":"));
    if (parts->has_authority)
        at = url_put(url_put(at, WEIR_TEXT("//")), parts->authority);
    at += path_bytes;
    if (path->as_is)
        url_put(at - path_bytes, path->tail);
    else
        path_finish(*path, at, &slashes);
    if (parts->has_query)
        at = url_put(url_put(at, WEIR_TEXT("?")), parts->query);
    if (parts->has_fragment)
        at = url_put(url_put(at, WEIR_TEXT("#")), parts->fragment);
    return (size_t)(at - out);
}

int64_t weir_url_resolve(uint8_t *out, size_t capacity, const struct weir_url *base,
                         struct weir_slice reference)
{
    WEIR_ASSERT(out != NULL || capacity == 0);
    WEIR_ASSERT(base != NULL);
    WEIR_ASSERT(reference.ptr != NULL || reference.len == 0);
    if (base->authority.len == 0 || (base->path.len != 0 && base->path.ptr[0] != '/'))
        return weir_fail(-EINVAL, "URL reference: the base is not one that weir_url_parse() made");
    struct url_parts parts = { .has_query = false };
    struct url_path path;
    struct weir_slice own_path = { .ptr = NULL };
    struct url_flaw flaw = reference_take(&parts, &own_path, reference);
    if (flaw.problem == NULL && base->scheme != WEIR_URL_HTTP_UNIX &&
        weir_url_text_eq(parts.scheme, weir_url_scheme_name(WEIR_URL_HTTP_UNIX)))
        flaw = url_flaw_at(0, "a unix socket, to which no other scheme may lead,");
    if (flaw.problem != NULL)
        return weir_fail(WEIR_E_URL, "URL reference: %s at byte %zu", flaw.problem, flaw.at);
    url_transform(&parts, &path, base, own_path);
    bool slashes = false;
    size_t path_bytes = path.as_is ? path.tail.len : path_finish(path, NULL, &slashes);
    /* Section 3.3: "x:/.//y" would become "x://y", and y the authority. */
    if (slashes && !parts.has_authority)
        return weir_fail(WEIR_E_URL,
                         "URL reference: no authority, and a path that begins with // "
                         "at byte %zu",
                         parts.scheme.len + 1);
    size_t bytes = parts.scheme.len + 1 + path_bytes;
    bytes += parts.has_authority ? 2 + parts.authority.len : 0;
    bytes += parts.has_query ? 1 + parts.query.len : 0;
    bytes += parts.has_fragment ? 1 + parts.fragment.len : 0;
    if (bytes > capacity)
        return weir_fail(-ENOBUFS, "URL reference: %zu bytes, but room for %zu", bytes, capacity);
    WEIR_ASSERT(url_is_apart(out, bytes, reference));
    WEIR_ASSERT(url_is_apart(out, bytes, base->authority));
    WEIR_ASSERT(url_is_apart(out, bytes, base->path));
    WEIR_ASSERT(url_is_apart(out, bytes, base->query));
    size_t written = url_compose(out, &parts, &path, path_bytes);
    WEIR_ASSERT(written == bytes);
    return (int64_t)bytes;
}
