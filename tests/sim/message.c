/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- Text -------------------------------------------------------------------------------- */

void sim_text_add(struct sim_text *text, const void *data, size_t bytes)
{
    if (text->len + bytes > text->cap) {
        text->cap = (text->len + bytes) * 2;
        text->at = realloc(text->at, text->cap);
        SIM_CHECK(text->at != NULL, "out of memory");
    }
    if (bytes > 0)
        memcpy(text->at + text->len, data, bytes);
    text->len += bytes;
}

void sim_text_print(struct sim_text *text, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    SIM_CHECK(n >= 0 && (size_t)n < sizeof line, "a line of %d bytes", n);
    sim_text_add(text, line, (size_t)n);
}

void sim_text_free(struct sim_text *text)
{
    free(text->at);
    *text = (struct sim_text){ 0 };
}

void sim_text_add_chunked(struct sim_text *text, struct sim_world *world, struct weir_slice body)
{
    while (body.len > 0) {
        size_t n = (size_t)sim_between(world, 1, body.len);
        const char *extension = sim_below(world, 4) == 0 ? ";a=\"b\"" : "";
        sim_text_print(text, sim_below(world, 2) == 0 ? "%zx%s\r\n" : "0%zX%s\r\n", n, extension);
        sim_text_add(text, body.ptr, n);
        sim_text_print(text, "\r\n");
        body.ptr += n;
        body.len -= n;
    }
    sim_text_print(text, "0\r\n%s\r\n", sim_below(world, 4) == 0 ? "Trailer-Field: x\r\n" : "");
}

/* ---- Messages ---------------------------------------------------------------------------- */

struct head {
    struct weir_slice first;
    bool chunked;
    size_t bytes;
};

/* The line at `from`, without its end; false: it is not there whole. */
static bool line_take(struct weir_slice in, size_t *from, struct weir_slice *line)
{
    const uint8_t *end = memmem(in.ptr + *from, in.len - *from, "\r\n", 2);
    if (end == NULL)
        return false;
    *line = (struct weir_slice){ in.ptr + *from, (size_t)(end - in.ptr) - *from };
    *from += line->len + 2;
    return true;
}

/* The value of a field called `name`; NULL: it is another. */
static const char *value_of(struct weir_slice line, const char *name)
{
    size_t n = strlen(name);
    if (line.len <= n || strncasecmp((const char *)line.ptr, name, n) != 0 || line.ptr[n] != ':')
        return NULL;
    const char *at = (const char *)line.ptr + n + 1;
    while (*at == ' ')
        at++;
    return at;
}

static enum sim_taken head_take(struct sim_message *m, struct head *head, struct weir_slice in)
{
    struct weir_slice line;
    const char *value;
    *head = (struct head){ .bytes = 0 };
    *m = (struct sim_message){ .length = -1 };
    if (in.len == 0 || memmem(in.ptr, in.len, "\r\n\r\n", 4) == NULL)
        return SIM_TAKEN_NONE;
    if (!line_take(in, &head->bytes, &head->first))
        return SIM_TAKEN_WRONG;
    while (line_take(in, &head->bytes, &line) && line.len > 0) {
        if ((value = value_of(line, "content-length")) != NULL)
            m->length = strtoll(value, NULL, 10);
        else if ((value = value_of(line, "transfer-encoding")) != NULL)
            head->chunked = strncasecmp(value, "chunked\r\n", 9) == 0;
        else if ((value = value_of(line, "connection")) != NULL)
            m->close = strncasecmp(value, "close\r\n", 7) == 0;
    }
    return SIM_TAKEN_ONE;
}

/* Decode chunks in place. @return bytes of the encoded body; 0: more is needed; SIZE_MAX: wrong */
static size_t chunks_take(struct sim_message *m, uint8_t *at, size_t len)
{
    struct weir_slice in = { at, len };
    struct weir_slice line;
    size_t from = 0;
    size_t decoded = 0;
    /* First see whether all of it is there: nothing may be moved before. */
    for (unsigned turn = 0; turn < 2; turn++) {
        from = decoded = 0;
        for (;;) {
            if (!line_take(in, &from, &line))
                return 0;
            char *end = NULL;
            size_t n = strtoull((const char *)line.ptr, &end, 16);
            if (line.len == 0 || end == (const char *)line.ptr)
                return SIZE_MAX;
            if (n == 0)
                break;
            if (len - from < n + 2)
                return 0;
            if (at[from + n] != '\r' || at[from + n + 1] != '\n')
                return SIZE_MAX;
            if (turn == 1)
                memmove(at + decoded, at + from, n);
            decoded += n;
            from += n + 2;
        }
        do {
            if (!line_take(in, &from, &line))
                return 0;
        } while (line.len > 0);
        if (turn == 0)
            continue;
    }
    m->body = (struct weir_slice){ at, decoded };
    return from;
}

static enum sim_taken first_take(struct sim_message *m, struct weir_slice first)
{
    if (first.len >= 12 && memcmp(first.ptr, "HTTP/1.1 ", 9) == 0) {
        m->status = (int)strtol((const char *)first.ptr + 9, NULL, 10);
        return m->status >= 100 && m->status < 600 ? SIM_TAKEN_ONE : SIM_TAKEN_WRONG;
    }
    const uint8_t *space = memchr(first.ptr, ' ', first.len);
    if (space == NULL)
        return SIM_TAKEN_WRONG;
    m->method = (struct weir_slice){ first.ptr, (size_t)(space - first.ptr) };
    m->target = (struct weir_slice){ space + 1, first.len - m->method.len - 1 };
    space = memchr(m->target.ptr, ' ', m->target.len);
    if (space == NULL)
        return SIM_TAKEN_WRONG;
    m->target.len = (size_t)(space - m->target.ptr);
    return SIM_TAKEN_ONE;
}

enum sim_taken sim_message_take(struct sim_message *out, struct sim_text *text, bool bodyless,
                                bool ended)
{
    struct weir_slice in = sim_text_rest(text);
    struct head head;
    enum sim_taken rc = head_take(out, &head, in);
    if (rc == SIM_TAKEN_ONE)
        rc = first_take(out, head.first);
    if (rc != SIM_TAKEN_ONE)
        return rc;
    bool none = bodyless || (out->status >= 100 && out->status < 200) || out->status == 204;
    size_t left = in.len - head.bytes;
    uint8_t *body = text->at + text->taken + head.bytes;
    size_t bytes = 0;
    if (none) {
        bytes = 0;
    } else if (head.chunked) {
        bytes = chunks_take(out, body, left);
        if (bytes == 0 || bytes == SIZE_MAX)
            return bytes == 0 ? SIM_TAKEN_NONE : SIM_TAKEN_WRONG;
    } else if (out->length >= 0 || out->status == 0) {
        bytes = out->length > 0 ? (size_t)out->length : 0;
        if (left < bytes)
            return SIM_TAKEN_NONE;
        out->body = (struct weir_slice){ body, bytes };
    } else {
        if (!ended)
            return SIM_TAKEN_NONE;
        bytes = left;
        out->body = (struct weir_slice){ body, bytes };
    }
    text->taken += head.bytes + bytes;
    return SIM_TAKEN_ONE;
}
