/* SPDX-License-Identifier: MIT */
/*
 * Reader of event streams (WHATWG HTML section 9.2.6, "Interpreting an event stream").
 *
 *      BOM_1 -> BOM_2 -> BOM_3 -> LINE          a byte order mark, at the start of a stream only
 *
 *                      +----------- VALUE_FIRST -> VALUE ---+
 *                      |                                    v
 *      LINE -> NAME ---+------------------------------> the line's end -> LINE, or AFTER_CR -> LINE
 *        |             |                                    ^
 *        +-------------+------------> SKIP -----------------+
 *
 * A line ends at LF or CR, and an LF directly behind a CR is a part of that end. The CR is taken at
 * its word at once, so that the last event of a feed does not wait for the next one; AFTER_CR drops
 * the LF whenever it comes.
 *
 * What lies in one feed is not copied: type and data are views into it. When a feed ends within an
 * event, its views are moved into the buffer (sse_stash), and when a feed ends within a value, what
 * follows is appended there, so each byte is copied at most once. Data of a second line is appended
 * to the first there too. SKIP needs no memory, so comments and unknown fields have no limit.
 *
 * IDs outlive their event and live in three slots: one for the last event ID, one for the ID that
 * the next empty line makes the last one, and one for the value that is read, since an ID that
 * turns out to hold a NUL must leave the one before it standing.
 *
 * No byte is searched more than twice for the end of its line, and none is looked at in a later
 * feed again.
 */
#include <weir/sse.h>

#include <errno.h>
#include <string.h>

#include "core/assert.h"
#include "core/base.h"
#include "proto/codec/sse_line.h"

enum state {
    ST_LINE, /* nothing of the line was read */
    ST_AFTER_CR,
    ST_NAME,
    ST_VALUE_FIRST, /* behind the colon: a space may follow that is no part of the value */
    ST_VALUE,
    ST_SKIP,
    ST_BOM_1,
    ST_BOM_2,
    ST_BOM_3,
    ST_FAILED, /* `field` holds the code */
};

enum field {
    FIELD_DATA,
    FIELD_TYPE,
    FIELD_ID,
    FIELD_RETRY,
    FIELD_UNKNOWN,
};

/* What is left of a feed, and what came out of it. */
struct input {
    const uint8_t *at, *end;
    struct weir_sse_event *out;
    bool has_event;
};

static const uint8_t bom[3] = { 0xef, 0xbb, 0xbf };

const char *weir_sse_strerror(enum weir_sse_error code)
{
    static const char *const texts[] = {
#define XX(name, text) text,
        WEIR_SSE_ERRORS(XX)
#undef XX
    };
    _Static_assert(sizeof texts / sizeof *texts == WEIR_SSE_E_COUNT, "a text for each code");
    return (unsigned)code < WEIR_SSE_E_COUNT ? texts[code] : "unknown error";
}

size_t weir_sse_buffer_bytes(const struct weir_sse_limits *limits)
{
    return (size_t)limits->data_bytes_max + limits->type_bytes_max +
           (size_t)3 * limits->id_bytes_max;
}

/* ---- The buffer ------------------------------------------------------------------------------ */

static uint8_t *sse_data_at(const struct weir_sse_reader *reader)
{
    return reader->buffer;
}

static uint8_t *sse_type_at(const struct weir_sse_reader *reader)
{
    return reader->buffer + reader->limits.data_bytes_max;
}

static uint8_t *sse_id_at(const struct weir_sse_reader *reader, unsigned slot)
{
    WEIR_DEBUG_ASSERT(slot < 3);
    return sse_type_at(reader) + reader->limits.type_bytes_max +
           (size_t)slot * reader->limits.id_bytes_max;
}

/* The slot for the ID that is read: one that holds neither the last nor the next one. */
static unsigned sse_id_free(const struct weir_sse_reader *reader)
{
    if (reader->id_now == reader->id_next)
        return (reader->id_now + 1U) % 3;
    return 3U - reader->id_now - reader->id_next;
}

/* Move a view to its place in the buffer, if it is not there yet. */
static void sse_stash(struct weir_slice *view, uint8_t *place)
{
    if (view->ptr == place)
        return;
    if (view->len != 0)
        memcpy(place, view->ptr, view->len);
    view->ptr = place;
}

static void sse_forget_event(struct weir_sse_reader *reader)
{
    reader->has_data = false;
    reader->data = (struct weir_slice){ .ptr = sse_data_at(reader) };
    reader->type = (struct weir_slice){ .ptr = sse_type_at(reader) };
}

int weir_sse_init(struct weir_sse_reader *reader, const struct weir_sse_limits *limits,
                  uint8_t *buffer, size_t capacity)
{
    if (limits->data_bytes_max == 0 || limits->data_bytes_max > WEIR_SSE_DATA_BYTES_MAX)
        return -EINVAL;
    if (capacity < weir_sse_buffer_bytes(limits))
        return -ENOBUFS;
    WEIR_ASSERT(buffer != NULL);
    *reader = (struct weir_sse_reader){ .buffer = buffer, .limits = *limits };
    return weir_sse_begin(reader, (struct weir_slice){ .ptr = NULL });
}

int weir_sse_begin(struct weir_sse_reader *reader, struct weir_slice last_event_id)
{
    const struct weir_slice id = last_event_id;
    if (id.len > reader->limits.id_bytes_max)
        return -ENOBUFS;
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] == '\0' || sse_is_line_end(id.ptr[i]))
            return -EINVAL;
    }
    /* The ID may be the reader's own, in a slot that is not free. */
    unsigned slot = sse_id_free(reader);
    if (id.len != 0)
        memcpy(sse_id_at(reader, slot), id.ptr, id.len);
    reader->id_len[slot] = (uint16_t)id.len;
    reader->id_now = reader->id_next = (uint8_t)slot;
    reader->event_id = reader->event_retry = false;
    reader->state = ST_BOM_1;
    sse_forget_event(reader);
    return 0;
}

struct weir_slice weir_sse_last_event_id(const struct weir_sse_reader *reader)
{
    return (struct weir_slice){ .ptr = sse_id_at(reader, reader->id_now),
                                .len = reader->id_len[reader->id_now] };
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* The name of a field is complete. On an error the byte behind the name is the one at fault. */
static enum weir_sse_error sse_value_begin(struct weir_sse_reader *reader, enum field field)
{
    reader->field = (uint8_t)field;
    switch (field) {
    case FIELD_DATA:
        if (!reader->has_data)
            break;
        if (reader->data.len == reader->limits.data_bytes_max)
            return WEIR_SSE_E_DATA_TOO_LONG;
        sse_stash(&reader->data, sse_data_at(reader));
        sse_data_at(reader)[reader->data.len++] = '\n';
        break;
    case FIELD_TYPE:
        reader->type = (struct weir_slice){ .ptr = sse_type_at(reader) };
        break;
    case FIELD_ID:
        reader->id_len[sse_id_free(reader)] = 0;
        break;
    default:
        reader->number = 0;
        reader->digits = 0;
        break;
    }
    return WEIR_SSE_E_NONE;
}

/* Append what fits of [in->at, end), for which there is `room` behind `to`. */
static enum weir_sse_error sse_append(struct input *in, const uint8_t *end, uint8_t *to,
                                      size_t room, enum weir_sse_error too_long)
{
    size_t len = (size_t)(end - in->at);
    if (len > room) {
        in->at += room;
        return too_long;
    }
    if (len != 0)
        memcpy(to, in->at, len);
    in->at = end;
    return WEIR_SSE_E_NONE;
}

static enum weir_sse_error sse_append_id(struct weir_sse_reader *reader, struct input *in,
                                         const uint8_t *end)
{
    unsigned slot = sse_id_free(reader);
    uint16_t have = reader->id_len[slot];
    size_t room = (size_t)(reader->limits.id_bytes_max - have);
    size_t len = (size_t)weir_min_u64((uint64_t)(end - in->at), room);
    if (len != 0 && memchr(in->at, '\0', len) != NULL) {
        reader->state = ST_SKIP;
        in->at = end;
        return WEIR_SSE_E_NONE;
    }
    reader->id_len[slot] = (uint16_t)(have + len);
    return sse_append(in, end, sse_id_at(reader, slot) + have, room, WEIR_SSE_E_ID_TOO_LONG);
}

/* A value that holds anything but digits, or more than 64 bits of them, is ignored. */
static void sse_append_retry(struct weir_sse_reader *reader, struct input *in, const uint8_t *end)
{
    for (; in->at < end; in->at++) {
        unsigned digit = (unsigned)*in->at - '0';
        if (digit > 9 || __builtin_mul_overflow(reader->number, 10, &reader->number) ||
            __builtin_add_overflow(reader->number, digit, &reader->number)) {
            reader->state = ST_SKIP;
            in->at = end;
            return;
        }
        reader->digits = 1;
    }
}

/* A value goes on up to `end`. On an error in->at is the first byte that does not fit. */
static enum weir_sse_error sse_value_append(struct weir_sse_reader *reader, struct input *in,
                                            const uint8_t *end)
{
    const uint8_t *begin = in->at;
    enum weir_sse_error code = WEIR_SSE_E_NONE;
    switch (reader->field) {
    case FIELD_DATA:
        code =
            sse_append(in, end, sse_data_at(reader) + reader->data.len,
                       reader->limits.data_bytes_max - reader->data.len, WEIR_SSE_E_DATA_TOO_LONG);
        reader->data.len += (size_t)(in->at - begin);
        break;
    case FIELD_TYPE:
        code =
            sse_append(in, end, sse_type_at(reader) + reader->type.len,
                       reader->limits.type_bytes_max - reader->type.len, WEIR_SSE_E_TYPE_TOO_LONG);
        reader->type.len += (size_t)(in->at - begin);
        break;
    case FIELD_ID:
        code = sse_append_id(reader, in, end);
        break;
    default:
        sse_append_retry(reader, in, end);
        break;
    }
    return code;
}

/* A whole value lies in this feed and can stay there. */
static enum weir_sse_error sse_value_view(struct input *in, const uint8_t *end,
                                          struct weir_slice *view, size_t room,
                                          enum weir_sse_error too_long)
{
    size_t len = (size_t)(end - in->at);
    if (WEIR_UNLIKELY(len > room)) {
        in->at += room;
        return too_long;
    }
    *view = (struct weir_slice){ .ptr = in->at, .len = len };
    in->at = end;
    return WEIR_SSE_E_NONE;
}

static void sse_value_finish(struct weir_sse_reader *reader)
{
    switch (reader->field) {
    case FIELD_DATA:
        reader->has_data = true;
        break;
    case FIELD_ID:
        reader->id_next = (uint8_t)sse_id_free(reader);
        reader->event_id = true;
        break;
    case FIELD_RETRY:
        /* An empty value is no number: it sets nothing. */
        if (reader->digits == 0)
            break;
        reader->retry_ms = reader->number;
        reader->has_retry = reader->event_retry = true;
        break;
    default:
        break;
    }
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static inline void sse_line_finish(struct weir_sse_reader *reader, struct input *in)
{
    reader->state = *in->at++ == '\r' ? ST_AFTER_CR : ST_LINE;
}

/* `is_begin`: nothing of the value was read before this feed. */
static inline enum weir_sse_error sse_on_value(struct weir_sse_reader *reader, struct input *in,
                                               bool is_begin)
{
    const uint8_t *end = sse_line_end(in->at, in->end);
    enum weir_sse_error code;
    reader->state = ST_VALUE;
    if (is_begin && end != in->end && reader->field == FIELD_DATA && !reader->has_data)
        code = sse_value_view(in, end, &reader->data, reader->limits.data_bytes_max,
                              WEIR_SSE_E_DATA_TOO_LONG);
    else if (is_begin && end != in->end && reader->field == FIELD_TYPE)
        code = sse_value_view(in, end, &reader->type, reader->limits.type_bytes_max,
                              WEIR_SSE_E_TYPE_TOO_LONG);
    else
        code = sse_value_append(reader, in, end);
    if (code != WEIR_SSE_E_NONE || reader->state != ST_VALUE || end == in->end)
        return code;
    sse_value_finish(reader);
    sse_line_finish(reader, in);
    return WEIR_SSE_E_NONE;
}

static inline enum weir_sse_error sse_on_value_first(struct weir_sse_reader *reader,
                                                     struct input *in)
{
    in->at += *in->at == ' ';
    return sse_on_value(reader, in, true);
}

static void sse_on_skip(struct weir_sse_reader *reader, struct input *in)
{
    reader->state = ST_SKIP;
    in->at = sse_line_end(in->at, in->end);
    if (in->at != in->end)
        sse_line_finish(reader, in);
}

static bool sse_starts(const struct input *in, const char *text, size_t len)
{
    return (size_t)(in->end - in->at) >= len && memcmp(in->at, text, len) == 0;
}

#define STARTS(in, literal) sse_starts((in), (literal), sizeof(literal) - 1)

static enum field sse_field_of(const uint8_t *name, size_t len)
{
    if (len == 4 && memcmp(name, "data", 4) == 0)
        return FIELD_DATA;
    if (len == 5 && memcmp(name, "event", 5) == 0)
        return FIELD_TYPE;
    if (len == 2 && memcmp(name, "id", 2) == 0)
        return FIELD_ID;
    if (len == 5 && memcmp(name, "retry", 5) == 0)
        return FIELD_RETRY;
    return FIELD_UNKNOWN;
}

/* A name that the feed cuts, that no colon follows, or that is unknown. */
static enum weir_sse_error sse_on_name(struct weir_sse_reader *reader, struct input *in)
{
    reader->state = ST_NAME;
    while (in->at < in->end && *in->at != ':' && !sse_is_line_end(*in->at)) {
        if (reader->name_len == sizeof reader->name) {
            sse_on_skip(reader, in);
            return WEIR_SSE_E_NONE;
        }
        reader->name[reader->name_len++] = *in->at++;
    }
    if (in->at == in->end)
        return WEIR_SSE_E_NONE;
    enum field field = sse_field_of(reader->name, reader->name_len);
    if (field == FIELD_UNKNOWN) {
        sse_on_skip(reader, in);
        return WEIR_SSE_E_NONE;
    }
    enum weir_sse_error code = sse_value_begin(reader, field);
    if (code != WEIR_SSE_E_NONE)
        return code;
    if (*in->at != ':')
        return sse_on_value(reader, in, true); /* the empty value before the line's end */
    in->at++;
    reader->state = ST_VALUE_FIRST;
    return WEIR_SSE_E_NONE;
}

/* An event, and a new one begins. */
static inline void sse_event_finish(struct weir_sse_reader *reader, struct input *in,
                                    struct weir_slice data)
{
    bool has_type = reader->type.len != 0;
    *in->out = (struct weir_sse_event){
        .type = has_type ? reader->type : WEIR_TEXT("message"),
        .data = data,
        .last_event_id = { .ptr = sse_id_at(reader, reader->id_next),
                           .len = reader->id_len[reader->id_next] },
        .retry_ms = reader->event_retry ? reader->retry_ms : 0,
        .has_retry = reader->event_retry,
        .has_id = reader->event_id,
    };
    in->has_event = true;
    reader->id_now = reader->id_next;
    reader->event_retry = reader->event_id = false;
    sse_forget_event(reader);
}

/* An empty line makes an event only of data. What it was to be called is forgotten either way. */
static void sse_on_empty_line(struct weir_sse_reader *reader, struct input *in)
{
    sse_line_finish(reader, in);
    if (reader->has_data) {
        sse_event_finish(reader, in, reader->data);
        return;
    }
    reader->id_now = reader->id_next;
    sse_forget_event(reader);
}

/*
 * The value of the first "data:" of an event. Nearly all of a stream passes here: one line that
 * lies in the feed as a whole, with the empty line behind it, goes out without a detour by the
 * reader's members.
 */
static inline enum weir_sse_error sse_on_data(struct weir_sse_reader *reader, struct input *in)
{
    in->at += *in->at == ' ';
    const uint8_t *end = sse_line_end(in->at, in->end);
    struct weir_slice data = { .ptr = in->at, .len = (size_t)(end - in->at) };
    if (WEIR_UNLIKELY(end == in->end || data.len > reader->limits.data_bytes_max)) {
        reader->state = ST_VALUE;
        return sse_value_append(reader, in, end);
    }
    in->at = end;
    sse_line_finish(reader, in);
    const uint8_t *next = in->at;
    next += reader->state == ST_AFTER_CR && next < in->end && *next == '\n';
    if (WEIR_LIKELY(next < in->end && sse_is_line_end(*next))) {
        in->at = next;
        sse_line_finish(reader, in);
        sse_event_finish(reader, in, data);
        return WEIR_SSE_E_NONE;
    }
    reader->data = data;
    reader->has_data = true;
    return WEIR_SSE_E_NONE;
}

/* A line that is not empty. */
static enum weir_sse_error sse_on_line(struct weir_sse_reader *reader, struct input *in)
{
    enum field field;
    if (WEIR_LIKELY(STARTS(in, "data:"))) {
        field = FIELD_DATA;
        in->at += 4;
    } else if (STARTS(in, "event:")) {
        field = FIELD_TYPE;
        in->at += 5;
    } else if (STARTS(in, "id:")) {
        field = FIELD_ID;
        in->at += 2;
    } else if (*in->at == ':') {
        reader->comments_count++;
        sse_on_skip(reader, in);
        return WEIR_SSE_E_NONE;
    } else {
        reader->name_len = 0;
        return sse_on_name(reader, in);
    }
    enum weir_sse_error code = sse_value_begin(reader, field);
    if (code != WEIR_SSE_E_NONE)
        return code;
    in->at++;
    if (in->at == in->end) {
        reader->state = ST_VALUE_FIRST;
        return WEIR_SSE_E_NONE;
    }
    if (field == FIELD_DATA && !reader->has_data)
        return sse_on_data(reader, in);
    return sse_on_value_first(reader, in);
}

/* The rest of a mark that did not come is the name of a field that nobody knows. */
static void sse_on_bom(struct weir_sse_reader *reader, struct input *in)
{
    unsigned index = reader->state - (unsigned)ST_BOM_1;
    if (*in->at != bom[index]) {
        reader->state = index == 0 ? ST_LINE : ST_SKIP;
        return;
    }
    in->at++;
    reader->state = reader->state == ST_BOM_3 ? ST_LINE : reader->state + 1;
}

/* One step in any state but ST_LINE: at least one byte, or into another state. */
static enum weir_sse_error sse_step(struct weir_sse_reader *reader, struct input *in)
{
    switch (reader->state) {
    case ST_AFTER_CR:
        in->at += *in->at == '\n';
        reader->state = ST_LINE;
        return WEIR_SSE_E_NONE;
    case ST_NAME:
        return sse_on_name(reader, in);
    case ST_VALUE_FIRST:
        return sse_on_value_first(reader, in);
    case ST_VALUE:
        return sse_on_value(reader, in, false);
    case ST_SKIP:
        sse_on_skip(reader, in);
        return WEIR_SSE_E_NONE;
    default:
        sse_on_bom(reader, in);
        return WEIR_SSE_E_NONE;
    }
}

/*
 * Take a line that begins with `name` and ends in LF off [*at, end): its value. NULL: it is not
 * there as a whole. Two bytes behind the line can be read.
 */
static inline const uint8_t *sse_plain_line(const uint8_t **at, const uint8_t *end,
                                            struct weir_slice name, size_t *len)
{
    if ((size_t)(end - *at) <= name.len || memcmp(*at, name.ptr, name.len) != 0)
        return NULL;
    const uint8_t *value = *at + name.len;
    const uint8_t *line_end = sse_line_end(value, end);
    if (end - line_end < 2 || *line_end != '\n')
        return NULL;
    *len = (size_t)(line_end - value);
    *at = line_end + 1;
    return value;
}

/*
 * What nearly all of a stream is: perhaps a line of type, one line of data and the empty line, all
 * in this feed, while nothing else is known of the event. It goes out without a detour by the
 * reader's state, in 15 ns instead of 25 for 64 bytes. Anything else is left as it was.
 */
static inline bool sse_plain(const struct weir_sse_reader *reader, struct weir_slice in,
                             size_t *consumed, struct weir_sse_event *out)
{
    if (in.len < 8 || reader->state != ST_LINE || reader->has_data || reader->type.len != 0 ||
        reader->event_id || reader->event_retry)
        return false;
    const uint8_t *at = in.ptr, *const end = in.ptr + in.len;
    out->type = WEIR_TEXT("message");
    if (*at == 'e') {
        out->type.ptr = sse_plain_line(&at, end, WEIR_TEXT("event: "), &out->type.len);
        if (out->type.ptr == NULL || out->type.len - 1 >= reader->limits.type_bytes_max)
            return false;
    }
    out->data.ptr = sse_plain_line(&at, end, WEIR_TEXT("data: "), &out->data.len);
    if (out->data.ptr == NULL || *at != '\n' || out->data.len > reader->limits.data_bytes_max)
        return false;
    out->last_event_id = weir_sse_last_event_id(reader);
    out->retry_ms = 0;
    out->has_retry = out->has_id = false;
    *consumed = (size_t)(at + 1 - in.ptr);
    return true;
}

static enum weir_parse sse_refuse(struct weir_sse_reader *reader, enum weir_sse_error code,
                                  size_t offset, struct weir_sse_err *err)
{
    *err = (struct weir_sse_err){ .code = code, .offset = offset };
    reader->state = ST_FAILED;
    reader->field = (uint8_t)code;
    return WEIR_PARSE_ERROR;
}

enum weir_parse weir_sse_read(struct weir_sse_reader *reader, struct weir_slice in,
                              size_t *consumed, struct weir_sse_event *out,
                              struct weir_sse_err *err)
{
    *consumed = 0;
    if (WEIR_UNLIKELY(reader->state == ST_FAILED))
        return sse_refuse(reader, (enum weir_sse_error)reader->field, 0, err);
    if (WEIR_LIKELY(sse_plain(reader, in, consumed, out)))
        return WEIR_PARSE_DONE;
    if (in.len == 0)
        return WEIR_PARSE_MORE;

    struct input rest = { .at = in.ptr, .end = in.ptr + in.len, .out = out };
    while (rest.at < rest.end && !rest.has_event) {
        enum weir_sse_error code = WEIR_SSE_E_NONE;
        if (WEIR_UNLIKELY(reader->state != ST_LINE))
            code = sse_step(reader, &rest);
        else if (sse_is_line_end(*rest.at))
            sse_on_empty_line(reader, &rest);
        else
            code = sse_on_line(reader, &rest);
        if (WEIR_UNLIKELY(code != WEIR_SSE_E_NONE)) {
            *consumed = (size_t)(rest.at - in.ptr);
            return sse_refuse(reader, code, *consumed, err);
        }
    }
    *consumed = (size_t)(rest.at - in.ptr);
    if (rest.has_event)
        return WEIR_PARSE_DONE;
    sse_stash(&reader->data, sse_data_at(reader));
    sse_stash(&reader->type, sse_type_at(reader));
    return WEIR_PARSE_MORE;
}
