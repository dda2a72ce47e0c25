/* SPDX-License-Identifier: MIT */
/*
 * The reader of heads that only a leniency lets pass. The checker has seen the whole head and found
 * it good, so that this needs to find the parts and nothing else: line by line, byte by byte.
 */
#include "core/assert.h"
#include "proto/codec/http1_read.h"

#include <errno.h>

struct lines {
    const uint8_t *at, *end;
    bool fold; /* lines that begin with a blank belong to the one before */
};

/* The next line without what ends it. The head is complete, so there is one. */
static struct weir_slice lines_next(struct lines *lines)
{
    const uint8_t *begin = lines->at, *from = begin, *lf, *stop;
    for (;; from = lf + 1) {
        lf = memchr(from, '\n', (size_t)(lines->end - from));
        WEIR_ASSERT(lf != NULL);
        stop = lf > begin && lf[-1] == '\r' ? lf - 1 : lf;
        /* Behind the empty line the body begins, perhaps with a blank. */
        bool folded = lines->fold && stop > begin && lf + 1 < lines->end && http1_is_blank(lf[1]);
        if (!folded)
            break;
    }
    lines->at = lf + 1;
    return (struct weir_slice){ .ptr = begin, .len = (size_t)(stop - begin) };
}

/* The part of `line` before its next SP, which is cut off with it. */
static struct weir_slice word_next(struct weir_slice *line)
{
    const uint8_t *sp = line->len != 0 ? memchr(line->ptr, ' ', line->len) : NULL;
    struct weir_slice word = { .ptr = line->ptr,
                               .len = sp != NULL ? (size_t)(sp - line->ptr) : line->len };
    size_t used = word.len + (sp != NULL);
    *line = (struct weir_slice){ .ptr = line->ptr + used, .len = line->len - used };
    return word;
}

static void read_version_of(struct weir_http1_head *head, struct weir_slice version)
{
    WEIR_ASSERT(version.len == 8);
    head->version_minor = version.ptr[7] != '0';
}

static bool read_start_line(struct http1_reader *r, struct weir_slice line)
{
    struct weir_http1_head *head = r->head;
    if (!r->is_request) {
        read_version_of(head, word_next(&line));
        struct weir_slice status = word_next(&line);
        WEIR_ASSERT(status.len == 3);
        head->status = (uint16_t)((status.ptr[0] - '0') * 100 + (status.ptr[1] - '0') * 10 +
                                  (status.ptr[2] - '0'));
        head->reason = line;
        return true;
    }
    head->method = word_next(&line);
    head->target = word_next(&line);
    read_version_of(head, line);
    return (head->target.ptr[0] == '/' && head->method.len != 7) || weir_http1_check_target(r);
}

static bool is_fold(uint8_t c)
{
    return http1_is_blank(c) || c == '\r' || c == '\n';
}

static bool read_field(struct http1_reader *r, struct weir_slice line)
{
    struct weir_http1_head *head = r->head;
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    WEIR_ASSERT(colon != NULL);
    struct weir_slice name = { .ptr = line.ptr, .len = (size_t)(colon - line.ptr) };
    while (http1_is_blank(name.ptr[name.len - 1]))
        name.len--;
    const uint8_t *from = colon + 1, *to = line.ptr + line.len;
    while (from < to && is_fold(*from))
        from++;
    while (to > from && is_fold(to[-1]))
        to--;
    if (head->fields_count == r->limits->fields_max)
        return weir_http1_refuse(r, WEIR_HTTP1_E_FIELDS_TOO_MANY, name.ptr);
    struct weir_slice value = { .ptr = from, .len = (size_t)(to - from) };
    http1_field_set(&head->fields[head->fields_count++], (size_t)(name.ptr - head->base), name.len,
                    (struct http1_range){ .from = (size_t)(from - head->base),
                                          .to = (size_t)(to - head->base) });
    if (!http1_named(name.ptr[0], name.len))
        return true;
    if (name.len == 4)
        return !r->is_request || http1_lower32(name.ptr) != http1_load32("host") ||
               weir_http1_on_host(r, value);
    return weir_http1_on_field(r, name, value);
}

bool weir_http1_read_lenient(struct http1_reader *r)
{
    struct weir_http1_head *head = r->head;
    struct lines lines = { .at = r->in.begin, .end = r->in.end };
    while (r->is_request && (*lines.at == '\r' || *lines.at == '\n'))
        lines.at++;
    *head = (struct weir_http1_head){ .base = lines.at, .fields = head->fields };
    r->seen = 0;
    if (!read_start_line(r, lines_next(&lines)))
        return false;
    lines.fold = (r->limits->lenient & WEIR_HTTP1_LENIENT_OBS_FOLD) != 0;
    for (;;) {
        struct weir_slice line = lines_next(&lines);
        if (line.len == 0)
            break;
        if (!read_field(r, line))
            return false;
    }
    head->bytes = (uint32_t)(lines.at - r->in.begin);
    return r->is_request ? weir_http1_finish_request(r, lines.at) : weir_http1_finish_response(r);
}

int64_t weir_http1_unfold(uint8_t *out, size_t capacity, struct weir_slice value)
{
    const uint8_t *p = value.ptr, *end = value.ptr + value.len;
    size_t len = 0;
    while (p < end) {
        const uint8_t *blank = p;
        bool folded = false;
        for (; p < end && is_fold(*p); p++)
            folded |= *p == '\n';
        if (folded) {
            if (len == capacity)
                return -ENOBUFS;
            out[len++] = ' ';
        }
        size_t run = folded ? 0 : (size_t)(p - blank);
        while (p < end && !is_fold(*p)) {
            p++;
            run++;
        }
        if (run > capacity - len)
            return -ENOBUFS;
        memmove(out + len, p - run, run);
        len += run;
    }
    return (int64_t)len;
}
