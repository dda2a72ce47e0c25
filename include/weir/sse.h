/* SPDX-License-Identifier: MIT */
/**
 * The codec of server-sent events (WHATWG HTML section 9.2, media type text/event-stream): a reader and a writer over
 * the caller's memory.
 *
 * Usable without an engine. No I/O, no clock, no allocation, no callbacks, no global state: every function may be
 * called from any thread on its own objects.
 */
#ifndef WEIR_SSE_H
#define WEIR_SSE_H

#include <weir/base.h>
#include <weir/http1.h>

#ifdef __cplusplus
extern "C" {
#endif

/* name, text */
#define WEIR_SSE_ERRORS(XX)                                                                        \
    XX(NONE, "no error")                                                                           \
    XX(DATA_TOO_LONG, "data of an event too long")                                                 \
    XX(TYPE_TOO_LONG, "type of an event too long")                                                 \
    XX(ID_TOO_LONG, "ID of an event too long")

enum weir_sse_error {
#define XX(name, text) WEIR_SSE_E_##name,
    WEIR_SSE_ERRORS(XX)
#undef XX
        WEIR_SSE_E_COUNT
};

/** What did not fit and where: `offset` counts from the first byte of this feed. */
struct weir_sse_err {
    enum weir_sse_error code;
    size_t offset;
};

/** The text of an error code. Static memory. */
WEIR_API const char *weir_sse_strerror(enum weir_sse_error code);

/* ---- Reader ------------------------------------------------------------------------------------- */

/** Most that weir_sse_limits.data_bytes_max may be. */
#define WEIR_SSE_DATA_BYTES_MAX (1U << 30)

/** The longest event that is taken. Whether it is too long never depends on how the stream was cut. */
struct weir_sse_limits {
    uint32_t data_bytes_max; /**< 1 ... WEIR_SSE_DATA_BYTES_MAX: all data lines, with the LF between them */
    uint16_t type_bytes_max;
    uint16_t id_bytes_max;
};

/** An event. The slices are valid until the next call with the reader, and as long as the input stays in place. */
struct weir_sse_event {
    struct weir_slice type;          /**< "message" when the stream named none; never empty */
    struct weir_slice data;          /**< the lines joined by LF, otherwise byte for byte as sent; may be empty */
    struct weir_slice last_event_id; /**< what Last-Event-ID would be now; empty: none */
    uint64_t retry_ms;               /**< has_retry: the time until a reconnection that the stream asks for */
    bool has_retry;                  /**< the stream set the time since the event before this one */
    bool has_id;                     /**< the stream set the last event ID since the event before this one */
};

/** Reader of one stream. The first three members may be read, the others are private. */
struct weir_sse_reader {
    uint64_t comments_count; /**< comment lines so far: what servers send to keep a connection alive */
    uint64_t retry_ms;       /**< has_retry: the last time until a reconnection that was set */
    bool has_retry;

    bool has_data;    /* the event has a line of data */
    bool event_retry; /* what the next event says of itself */
    bool event_id;
    uint8_t state;
    uint8_t field;    /* the one whose value is read; the error's code after an error */
    uint8_t name_len; /* of a field that is cut within its name */
    uint8_t digits;   /* the value of retry has one */
    uint8_t name[5];
    uint8_t id_now;   /* the slot of the last event ID */
    uint8_t id_next;  /* ... and of the one that the event will set */
    uint16_t id_len[3];
    struct weir_slice data, type; /* so far: in the input of this call, or at their place in `buffer` */
    uint64_t number;  /* of retry so far */
    uint8_t *buffer;  /* data, type, three slots for IDs */
    struct weir_sse_limits limits;
};

/** Bytes of memory a reader with these limits needs: data_bytes_max + type_bytes_max + 3 * id_bytes_max. */
WEIR_API size_t weir_sse_buffer_bytes(const struct weir_sse_limits *limits);

/**
 * Set a reader up and begin a stream with an empty last event ID.
 *
 * @param buffer  kept and used by the reader alone as long as it lives: what does not lie in one feed is put together
 *                there, and the last event ID stays there
 * @return 0; -EINVAL: data_bytes_max is out of range; -ENOBUFS: `capacity` is less than weir_sse_buffer_bytes()
 */
WEIR_API WEIR_MUST_USE int weir_sse_init(struct weir_sse_reader *reader,
                                         const struct weir_sse_limits *limits, uint8_t *buffer,
                                         size_t capacity);

/**
 * Begin another stream with the same reader: the one after a reconnection, or the first one with an ID from earlier.
 * What was incomplete is dropped; comments_count and the retry time stay.
 *
 * @param last_event_id  weir_sse_last_event_id() to go on with it, {NULL, 0} for none
 * @return 0; -EINVAL: the ID holds CR, LF or NUL; -ENOBUFS: it is longer than id_bytes_max. On error nothing has changed.
 */
WEIR_API WEIR_MUST_USE int weir_sse_begin(struct weir_sse_reader *reader,
                                          struct weir_slice last_event_id);

/**
 * What to send as Last-Event-ID when reconnecting (empty: no such field): set by the last complete event or empty
 * block that had an ID. Valid until the next call with the reader.
 */
WEIR_API struct weir_slice weir_sse_last_event_id(const struct weir_sse_reader *reader);

/**
 * Read the next piece of a stream, up to the end of an event.
 *
 * DONE: *out is an event; call again with what follows the `*consumed` bytes. MORE: all was consumed, there is no
 * event; call with more input. ERROR: a limit was reached at err->offset, which is *consumed; it is final until
 * weir_sse_begin(). *out is written on DONE alone, *err on ERROR alone.
 *
 * There is no finish: when the stream ends, an event without an empty line behind it never happened.
 *
 * `in` may lie anywhere but in the reader's buffer. Time is linear in *consumed, however the stream is cut. What lies
 * in one feed is not copied, but for IDs and for data of several lines.
 */
WEIR_API enum weir_parse weir_sse_read(struct weir_sse_reader *reader, struct weir_slice in,
                                       size_t *consumed, struct weir_sse_event *out,
                                       struct weir_sse_err *err);

/* ---- Writer ------------------------------------------------------------------------------------- */

/** What weir_sse_write_event() turns into a block of lines. Where {NULL, 0} is told from empty, use WEIR_TEXT(""). */
struct weir_sse_event_spec {
    struct weir_slice type;          /**< no CR, no LF; empty: no such field, which is read as "message" */
    struct weir_slice data;          /**< any bytes; {NULL, 0}: no data, so no event, only what goes with it */
    struct weir_slice last_event_id; /**< no CR, LF, NUL; {NULL, 0}: no such field; empty: there is none from here on */
    uint64_t retry_ms;
    bool has_retry;                  /**< write retry_ms */
};

/** Exactly the bytes that the writer needs for this event, if it takes it. Linear in the length of the data. */
WEIR_API size_t weir_sse_event_bytes_max(const struct weir_sse_event_spec *spec);

/**
 * Write an event and the empty line behind it.
 *
 * Data is written as one field for each of its lines, which end at CR, LF and CR LF: a reader gets it back with LF in
 * place of each of them, and otherwise byte for byte, the empty line after a final line end included. Type and ID come
 * back as they are.
 *
 * @return bytes written; -ENOBUFS when `capacity` is too small (nothing was written that counts);
 *         -EINVAL: a forbidden byte in type or ID, a type without data, or nothing at all
 */
WEIR_API WEIR_MUST_USE int64_t weir_sse_write_event(uint8_t *out, size_t capacity,
                                                    const struct weir_sse_event_spec *spec);

/** The bytes of a comment around its text: ": " and two LF. */
#define WEIR_SSE_COMMENT_BYTES 4

/**
 * Write a comment and an empty line: what readers ignore and what keeps a connection alive. Belongs between events.
 *
 * @return text.len + WEIR_SSE_COMMENT_BYTES; -ENOBUFS when `capacity` is less; -EINVAL: CR or LF in the text
 */
WEIR_API WEIR_MUST_USE int64_t weir_sse_write_comment(uint8_t *out, size_t capacity,
                                                      struct weir_slice text);

#ifdef __cplusplus
}
#endif

#endif
