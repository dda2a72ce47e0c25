/* SPDX-License-Identifier: MIT */
/*
 * Writer of event streams.
 *
 * A space follows each colon, so that a value that begins with a space keeps it. Lines end with LF.
 * The data comes last: who reads a stream by eye sees first what it is.
 */
#include <weir/sse.h>

#include <errno.h>
#include <string.h>

#include "core/assert.h"
#include "core/base.h"
#include "proto/codec/sse_line.h"

#define RETRY_DIGITS_MAX 20

/* Where a writer is. `left` < 0: it did not fit, and nothing more is written. */
struct sink {
    uint8_t *at;
    ptrdiff_t left;
};

static void sink_put(struct sink *sink, struct weir_slice bytes)
{
    if (sink->left < 0 || (size_t)sink->left < bytes.len) {
        sink->left = -1;
        return;
    }
    if (bytes.len != 0)
        memcpy(sink->at, bytes.ptr, bytes.len);
    sink->at += bytes.len;
    sink->left -= (ptrdiff_t)bytes.len;
}

static void sink_put_field(struct sink *sink, struct weir_slice name, struct weir_slice value)
{
    sink_put(sink, name);
    sink_put(sink, WEIR_TEXT(": "));
    sink_put(sink, value);
    sink_put(sink, WEIR_TEXT("\n"));
}

static struct sink sink_of(uint8_t *out, size_t capacity)
{
    return (struct sink){ .at = out, .left = (ptrdiff_t)weir_min_u64(capacity, PTRDIFF_MAX) };
}

static int64_t sink_result(const struct sink *sink, const uint8_t *out)
{
    return sink->left < 0 ? -ENOBUFS : sink->at - out;
}

/* Take the first line off `text`, without its end; false when it was the last one. */
static bool sse_next_line(struct weir_slice *text, struct weir_slice *line)
{
    *line = *text;
    if (text->len == 0)
        return false;
    const uint8_t *begin = text->ptr, *end = begin + text->len;
    const uint8_t *at = sse_line_end(begin, end);
    if (at == end)
        return false;
    line->len = (size_t)(at - begin);
    at += *at == '\r' && at + 1 < end && at[1] == '\n' ? 2 : 1;
    *text = (struct weir_slice){ .ptr = at, .len = (size_t)(end - at) };
    return true;
}

static bool sse_is_one_line(struct weir_slice text)
{
    return text.len == 0 || sse_line_end(text.ptr, text.ptr + text.len) == text.ptr + text.len;
}

/* The decimal digits of `value` at the end of `digits`. */
static struct weir_slice sse_digits(uint8_t digits[RETRY_DIGITS_MAX], uint64_t value)
{
    size_t at = RETRY_DIGITS_MAX;
    do {
        WEIR_DEBUG_ASSERT(at > 0);
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return (struct weir_slice){ .ptr = digits + at, .len = RETRY_DIGITS_MAX - at };
}

size_t weir_sse_event_bytes_max(const struct weir_sse_event_spec *spec)
{
    uint8_t digits[RETRY_DIGITS_MAX];
    size_t bytes = sizeof "\n" - 1;
    if (spec->type.len != 0)
        bytes += sizeof "event: \n" - 1 + spec->type.len;
    if (spec->last_event_id.ptr != NULL)
        bytes += sizeof "id: \n" - 1 + spec->last_event_id.len;
    if (spec->has_retry)
        bytes += sizeof "retry: \n" - 1 + sse_digits(digits, spec->retry_ms).len;
    if (spec->data.ptr == NULL)
        return bytes;
    struct weir_slice text = spec->data, line;
    bool more;
    do {
        more = sse_next_line(&text, &line);
        bytes += sizeof "data: \n" - 1 + line.len;
    } while (more);
    return bytes;
}

static bool sse_is_writable(const struct weir_sse_event_spec *spec)
{
    const struct weir_slice id = spec->last_event_id;
    if (!sse_is_one_line(spec->type) || !sse_is_one_line(id))
        return false;
    if (id.len != 0 && memchr(id.ptr, '\0', id.len) != NULL)
        return false;
    if (spec->data.ptr != NULL)
        return true;
    return spec->type.len == 0 && (id.ptr != NULL || spec->has_retry);
}

int64_t weir_sse_write_event(uint8_t *out, size_t capacity, const struct weir_sse_event_spec *spec)
{
    uint8_t digits[RETRY_DIGITS_MAX];
    if (!sse_is_writable(spec))
        return -EINVAL;
    struct sink sink = sink_of(out, capacity);
    if (spec->type.len != 0)
        sink_put_field(&sink, WEIR_TEXT("event"), spec->type);
    if (spec->last_event_id.ptr != NULL)
        sink_put_field(&sink, WEIR_TEXT("id"), spec->last_event_id);
    if (spec->has_retry)
        sink_put_field(&sink, WEIR_TEXT("retry"), sse_digits(digits, spec->retry_ms));
    struct weir_slice text = spec->data, line;
    for (bool more = text.ptr != NULL; more && sink.left >= 0;) {
        more = sse_next_line(&text, &line);
        sink_put_field(&sink, WEIR_TEXT("data"), line);
    }
    sink_put(&sink, WEIR_TEXT("\n"));
    return sink_result(&sink, out);
}

int64_t weir_sse_write_comment(uint8_t *out, size_t capacity, struct weir_slice text)
{
    if (!sse_is_one_line(text))
        return -EINVAL;
    struct sink sink = sink_of(out, capacity);
    sink_put(&sink, WEIR_TEXT(": "));
    sink_put(&sink, text);
    sink_put(&sink, WEIR_TEXT("\n\n"));
    return sink_result(&sink, out);
}
