/* SPDX-License-Identifier: MIT */
/*
 * Decoder of message bodies (RFC 9112 sections 6 and 7).
 *
 *   LENGTH   counts down. EOF hands everything on. NONE is over before it begins.
 *   CHUNKED  one state per kind of byte:
 *
 *      SIZE_FIRST -> SIZE -> [SIZE_BLANK] -> [EXT] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF ->
 * SIZE_FIRST
 *                                                        |
 *                    size 0: TRAILER <-------------------+
 *                    TRAILER -> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF -> TRAILER
 *                    TRAILER -> END_LF -> DONE
 *
 * Line ends are CR LF and nothing else, in chunk lines (RFC 9112 errata 7633), after chunk data and
 * in trailers: what a lenient decoder takes for the end of a chunk is where a request is smuggled
 * in. Trailers are checked like fields and dropped, so nothing in them can change how a message is
 * read.
 *
 * Every byte but payload costs one step, and every step is bounded by a limit: digits of a size,
 * bytes of extensions, bytes of trailers.
 */
#include <weir/http1.h>

#include "core/assert.h"
#include "proto/codec/http1_char.h"

#define SIZE_DIGITS_MAX 16

enum state {
    ST_PAYLOAD, /* not chunked */
    ST_DATA,
    ST_DATA_CR,
    ST_DATA_LF,
    ST_SIZE_FIRST,
    ST_SIZE,
    ST_SIZE_BLANK, /* blanks are good only before ';' */
    ST_EXT,
    ST_SIZE_LF,
    ST_TRAILER,
    ST_TRAILER_NAME,
    ST_TRAILER_VALUE,
    ST_TRAILER_LF,
    ST_END_LF,
    ST_DONE,
    ST_FAILED, /* `digits` holds the code */
};

enum ext_state {
    EXT_NAME_FIRST, /* after ';' */
    EXT_NAME,
    EXT_NAME_BLANK,
    EXT_VALUE_FIRST, /* after '=' */
    EXT_VALUE,
    EXT_QUOTED,
    EXT_QUOTED_PAIR,
    EXT_QUOTED_END,
    EXT_VALUE_BLANK,
};

_Static_assert(WEIR_HTTP1_E_COUNT <= UINT8_MAX, "a code fits into `digits`");

void weir_http1_body_init(struct weir_http1_body *body, enum weir_http1_framing framing,
                          uint64_t content_length)
{
    *body = (struct weir_http1_body){ .framing = (uint8_t)framing, .state = ST_PAYLOAD };
    if (framing == WEIR_HTTP1_BODY_CHUNKED)
        body->state = ST_SIZE_FIRST;
    if (framing == WEIR_HTTP1_BODY_LENGTH)
        body->remaining = content_length;
    if (framing == WEIR_HTTP1_BODY_NONE || (framing == WEIR_HTTP1_BODY_LENGTH && !content_length))
        body->state = ST_DONE;
}

/* Where a blank, ';', '=' or CR may stand between the parts of an extension. */
static int ext_separator(uint8_t ext_state, uint8_t c)
{
    bool in_name = ext_state == EXT_NAME || ext_state == EXT_NAME_BLANK;
    if (c == ';')
        return EXT_NAME_FIRST;
    if (c == '=' && in_name)
        return EXT_VALUE_FIRST;
    if (http1_is_blank(c))
        return in_name ? EXT_NAME_BLANK : EXT_VALUE_BLANK;
    return -1;
}

/*
 * *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) from behind the first ';'.
 * The state after `c`, or -1. Line ends are the caller's.
 */
static int ext_step(uint8_t ext_state, uint8_t c)
{
    bool token = http1_is(c, HTTP1_TCHAR);
    switch (ext_state) {
    case EXT_NAME_FIRST:
        if (http1_is_blank(c))
            return EXT_NAME_FIRST;
        return token ? EXT_NAME : -1;
    case EXT_NAME:
        return token ? EXT_NAME : ext_separator(ext_state, c);
    case EXT_VALUE_FIRST:
        if (http1_is_blank(c))
            return EXT_VALUE_FIRST;
        if (c == '"')
            return EXT_QUOTED;
        return token ? EXT_VALUE : -1;
    case EXT_VALUE:
        return token ? EXT_VALUE : ext_separator(ext_state, c);
    case EXT_QUOTED:
        if (c == '"')
            return EXT_QUOTED_END;
        if (c == '\\')
            return EXT_QUOTED_PAIR;
        return http1_is(c, HTTP1_VALUE) ? EXT_QUOTED : -1;
    case EXT_QUOTED_PAIR:
        return http1_is(c, HTTP1_VALUE) ? EXT_QUOTED : -1;
    default:
        return ext_separator(ext_state, c);
    }
}

static bool ext_may_end(uint8_t ext_state)
{
    return ext_state == EXT_NAME || ext_state == EXT_VALUE || ext_state == EXT_QUOTED_END;
}

static enum weir_http1_error body_on_ext(struct weir_http1_body *body, uint8_t c)
{
    if (c == '\r' && ext_may_end(body->ext_state)) {
        body->state = ST_SIZE_LF;
        return WEIR_HTTP1_E_NONE;
    }
    int next = ext_step(body->ext_state, c);
    if (next < 0 || body->overhead_bytes >= WEIR_HTTP1_CHUNK_EXT_BYTES_MAX)
        return WEIR_HTTP1_E_CHUNK_EXT;
    body->ext_state = (uint8_t)next;
    body->overhead_bytes++;
    return WEIR_HTTP1_E_NONE;
}

static enum weir_http1_error body_on_size(struct weir_http1_body *body, uint8_t c)
{
    int digit = body->state == ST_SIZE_BLANK ? -1 : http1_hex(c);
    if (digit >= 0) {
        /* At most INT64_MAX: 16 digits of which the first is at most 7. */
        if (body->digits == SIZE_DIGITS_MAX || body->remaining > (uint64_t)INT64_MAX >> 4)
            return WEIR_HTTP1_E_CHUNK_SIZE;
        body->remaining = body->remaining << 4 | (uint64_t)digit;
        body->digits++;
        body->state = ST_SIZE;
        return WEIR_HTTP1_E_NONE;
    }
    if (body->state == ST_SIZE_FIRST)
        return WEIR_HTTP1_E_CHUNK_SIZE;
    if (c == '\r' && body->state == ST_SIZE) {
        body->state = ST_SIZE_LF;
        return WEIR_HTTP1_E_NONE;
    }
    if (c != ';' && !http1_is_blank(c))
        return WEIR_HTTP1_E_CHUNK_SIZE;
    if (body->overhead_bytes >= WEIR_HTTP1_CHUNK_EXT_BYTES_MAX)
        return WEIR_HTTP1_E_CHUNK_EXT;
    body->overhead_bytes++;
    body->state = c == ';' ? ST_EXT : ST_SIZE_BLANK;
    body->ext_state = EXT_NAME_FIRST;
    return WEIR_HTTP1_E_NONE;
}

static enum weir_http1_error body_on_trailer(struct weir_http1_body *body, uint8_t c)
{
    if (c == '\r' && body->state == ST_TRAILER) {
        body->state = ST_END_LF;
        return WEIR_HTTP1_E_NONE;
    }
    bool good = false;
    uint8_t next;
    if (body->state == ST_TRAILER_VALUE) {
        good = c == '\r' || http1_is(c, HTTP1_VALUE);
        next = c == '\r' ? ST_TRAILER_LF : ST_TRAILER_VALUE;
    } else if (c == ':') {
        good = body->state == ST_TRAILER_NAME;
        next = ST_TRAILER_VALUE;
    } else {
        good = http1_is(c, HTTP1_TCHAR);
        next = ST_TRAILER_NAME;
    }
    if (!good || body->overhead_bytes >= WEIR_HTTP1_TRAILER_BYTES_MAX)
        return WEIR_HTTP1_E_TRAILER;
    body->overhead_bytes++;
    body->state = next;
    return WEIR_HTTP1_E_NONE;
}

/* A CR has passed: only LF may follow. */
static enum weir_http1_error body_on_lf(struct weir_http1_body *body, uint8_t c)
{
    if (c != '\n')
        return body->state == ST_DATA_LF ? WEIR_HTTP1_E_CHUNK_END : WEIR_HTTP1_E_BARE_CR;
    switch (body->state) {
    case ST_SIZE_LF:
        body->state = body->remaining != 0 ? ST_DATA : ST_TRAILER;
        if (body->state == ST_TRAILER)
            body->overhead_bytes = 0; /* from here on it counts trailers */
        break;
    case ST_DATA_LF:
        body->state = ST_SIZE_FIRST;
        body->digits = 0;
        break;
    case ST_TRAILER_LF:
        if (body->overhead_bytes >= WEIR_HTTP1_TRAILER_BYTES_MAX)
            return WEIR_HTTP1_E_TRAILER;
        body->state = ST_TRAILER;
        body->overhead_bytes++;
        break;
    default:
        body->state = ST_DONE;
        break;
    }
    return WEIR_HTTP1_E_NONE;
}

/* One byte that is not payload. On an error nothing has changed. */
static enum weir_http1_error body_step(struct weir_http1_body *body, uint8_t c)
{
    switch (body->state) {
    case ST_DATA_CR:
        if (c != '\r')
            return WEIR_HTTP1_E_CHUNK_END;
        body->state = ST_DATA_LF;
        return WEIR_HTTP1_E_NONE;
    case ST_DATA_LF:
    case ST_SIZE_LF:
    case ST_TRAILER_LF:
    case ST_END_LF:
        return body_on_lf(body, c);
    default:
        break;
    }
    if (c == '\n')
        return WEIR_HTTP1_E_BARE_LF;
    switch (body->state) {
    case ST_SIZE_FIRST:
    case ST_SIZE:
    case ST_SIZE_BLANK:
        return body_on_size(body, c);
    case ST_EXT:
        return body_on_ext(body, c);
    default:
        return body_on_trailer(body, c);
    }
}

/* Hand out what of the body or the chunk is there. */
static size_t body_take(struct weir_http1_body *body, struct weir_slice in, struct weir_slice *out)
{
    size_t len = in.len;
    if (body->framing != WEIR_HTTP1_BODY_EOF) {
        len = (size_t)weir_min_u64(len, body->remaining);
        body->remaining -= len;
        if (body->remaining == 0)
            body->state = body->framing == WEIR_HTTP1_BODY_CHUNKED ? ST_DATA_CR : ST_DONE;
    }
    body->decoded_bytes += len;
    *out = (struct weir_slice){ .ptr = in.ptr, .len = len };
    return len;
}

static enum weir_parse body_refuse(struct weir_http1_body *body, enum weir_http1_error code,
                                   size_t at, struct weir_parse_err *err)
{
    *err =
        (struct weir_parse_err){ .code = code, .offset = (uint32_t)weir_min_u64(at, UINT32_MAX) };
    body->state = ST_FAILED;
    body->digits = (uint8_t)code;
    return WEIR_PARSE_ERROR;
}

/*
 * After a slice of payload the framing behind it is consumed too, up to the next payload, so that a
 * body usually ends in the call that returns its last bytes. Payload that came before a wrong byte
 * is handed out first: the error is left to the next call.
 */
enum weir_parse weir_http1_body_feed(struct weir_http1_body *body, struct weir_slice in,
                                     size_t *consumed, struct weir_slice *out,
                                     struct weir_parse_err *err)
{
    size_t at = 0;
    *out = (struct weir_slice){ .ptr = in.ptr, .len = 0 };
    *consumed = 0;
    if (body->state == ST_FAILED)
        return body_refuse(body, (enum weir_http1_error)body->digits, 0, err);

    while (at < in.len && body->state != ST_DONE) {
        if (body->state <= ST_DATA) {
            if (out->len != 0)
                break;
            at +=
                body_take(body, (struct weir_slice){ .ptr = in.ptr + at, .len = in.len - at }, out);
            continue;
        }
        enum weir_http1_error code = body_step(body, in.ptr[at]);
        if (code != WEIR_HTTP1_E_NONE) {
            *consumed = at;
            return out->len != 0 ? WEIR_PARSE_MORE : body_refuse(body, code, at, err);
        }
        at++;
    }
    *consumed = at;
    return body->state == ST_DONE ? WEIR_PARSE_DONE : WEIR_PARSE_MORE;
}
