/* SPDX-License-Identifier: MIT */
/*
 * Decoder of message bodies (RFC 9112 sections 6 and 7).
 *
 *   LENGTH   counts down. EOF hands everything on. NONE is over before it begins.
 *   CHUNKED  is read in two ways that give the same answer:
 *
 *     chunk_whole()  takes a chunk that lies in the input from its size to the CR LF behind its
 *                    data, in its plain form: a few digits, no extension. That is nearly every
 *                    chunk there is, and it costs no state at all.
 *     chunk_step()   is an automaton over single bytes for everything else: pieces, extensions,
 *                    the last chunk, trailers, and all that is wrong.
 *
 *      SIZE_FIRST -> SIZE -> [SIZE_BLANK] -> [EXT_*] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -+
 *          ^                                               |                                   |
 *          +-----------------------------------------------|-----------------------------------+
 *                                                          v size 0
 *           DONE <- END_LF <- TRAILER -> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF
 *                                ^                                            |
 *                                +--------------------------------------------+
 *
 * Line ends are CR LF and nothing else, in chunk lines (RFC 9112 errata 7633), after chunk data and
 * in trailers: what a lenient decoder takes for the end of a chunk is where a request is smuggled
 * in. Trailers are checked like fields and dropped, so nothing in them can change how a message is
 * read; whoever wants them stops before them and calls weir_http1_parse_trailers().
 *
 * Every byte but payload costs one step, and every step is bounded by a limit: digits of a size,
 * bytes of extensions, framing against payload, bytes and number of trailers.
 */
#include <weir/http1.h>

#include "core/assert.h"
#include "proto/codec/http1_char.h"

#define SIZE_DIGITS_MAX 16

/*
 * What chunk_whole() takes: sizes of more digits are padded, so nobody waits for them, and 12 keep
 * the framing of a chunk within its allowance whatever its size.
 */
#define PLAIN_DIGITS_MAX 12

/* The CR LF behind the size and the one behind the data. */
#define CHUNK_ENDS_BYTES 4

/* One digit, one byte of data. */
#define PLAIN_BYTES_MIN (1 + CHUNK_ENDS_BYTES + 1)

_Static_assert(PLAIN_DIGITS_MAX + CHUNK_ENDS_BYTES <= WEIR_HTTP1_CHUNK_FRAMING_PER_BYTE,
               "a plain chunk of one byte is within its allowance, so none has to be counted");

enum state {
    ST_LENGTH,
    ST_EOF,
    ST_DATA, /* the last of those that are payload */
    ST_SIZE_FIRST,
    ST_SIZE,
    ST_SIZE_BLANK, /* from here on bytes count as extension; blanks are good only before ';' */
    ST_EXT_FIRST,  /* after ';' */
    ST_EXT_NAME,
    ST_EXT_NAME_BLANK,
    ST_EXT_VALUE_FIRST, /* after '=' */
    ST_EXT_VALUE,
    ST_EXT_QUOTED,
    ST_EXT_QUOTED_PAIR,
    ST_EXT_QUOTED_END,
    ST_EXT_VALUE_BLANK, /* the last of those */
    ST_SIZE_LF,
    ST_DATA_CR,
    ST_DATA_LF,
    ST_TRAILER,
    ST_TRAILER_NAME,
    ST_TRAILER_VALUE,
    ST_TRAILER_LF,
    ST_END_LF,
    ST_DONE,
    ST_FAILED, /* `code` says why */
    ST_COUNT,
};

/* ---- The grammar ------------------------------------------------------------------------- */

/* Kinds of bytes that some state tells apart. */
enum kind {
    KIND_HEX, /* the only one with a value: see `lexemes` */
    KIND_TCHAR,
    KIND_BLANK,
    KIND_SEMICOLON,
    KIND_EQUALS,
    KIND_COLON,
    KIND_QUOTE,
    KIND_BACKSLASH,
    KIND_VALUE, /* what else may stand in a value */
    KIND_CR,
    KIND_LF,
    KIND_BAD,
    KIND_COUNT,
};

#define KIND(k) (KIND_##k << 4)
#define HEX_MAX 15

/* Kind << 4, or the value of a hexadecimal digit, which is therefore what is below 16. */
static const uint8_t lexemes[256] = {
    [0x00 ... 0x08] = KIND(BAD),
    ['\t'] = KIND(BLANK),
    ['\n'] = KIND(LF),
    [0x0b ... 0x0c] = KIND(BAD),
    ['\r'] = KIND(CR),
    [0x0e ... 0x1f] = KIND(BAD),
    [' '] = KIND(BLANK),
    ['!'] = KIND(TCHAR),
    ['"'] = KIND(QUOTE),
    ['#' ... '\''] = KIND(TCHAR),
    ['(' ... ')'] = KIND(VALUE),
    ['*' ... '+'] = KIND(TCHAR),
    [','] = KIND(VALUE),
    ['-' ... '.'] = KIND(TCHAR),
    ['/'] = KIND(VALUE),
    ['0'] = 0,
    ['1'] = 1,
    ['2'] = 2,
    ['3'] = 3,
    ['4'] = 4,
    ['5'] = 5,
    ['6'] = 6,
    ['7'] = 7,
    ['8'] = 8,
    ['9'] = 9,
    [':'] = KIND(COLON),
    [';'] = KIND(SEMICOLON),
    ['<'] = KIND(VALUE),
    ['='] = KIND(EQUALS),
    ['>' ... '@'] = KIND(VALUE),
    ['A'] = 10,
    ['B'] = 11,
    ['C'] = 12,
    ['D'] = 13,
    ['E'] = 14,
    ['F'] = 15,
    ['G' ... 'Z'] = KIND(TCHAR),
    ['['] = KIND(VALUE),
    ['\\'] = KIND(BACKSLASH),
    [']'] = KIND(VALUE),
    ['^' ... '`'] = KIND(TCHAR),
    ['a'] = 10,
    ['b'] = 11,
    ['c'] = 12,
    ['d'] = 13,
    ['e'] = 14,
    ['f'] = 15,
    ['g' ... 'z'] = KIND(TCHAR),
    ['{'] = KIND(VALUE),
    ['|'] = KIND(TCHAR),
    ['}'] = KIND(VALUE),
    ['~'] = KIND(TCHAR),
    [0x7f] = KIND(BAD),
    [0x80 ... 0xff] = KIND(VALUE),
};

#define REFUSED   0x80u
#define ERR(code) (REFUSED | WEIR_HTTP1_E_##code)

_Static_assert((unsigned)WEIR_HTTP1_E_COUNT <= REFUSED, "a code fits below the mark");
_Static_assert((unsigned)ST_COUNT <= REFUSED, "and so does a state");

/* A row begins with what it refuses and with what; a bare LF is always told apart. */
#define ELSE(code) [0 ... KIND_COUNT - 1] = ERR(code)
#define LINE(code) ELSE(code), [KIND_LF] = ERR(BARE_LF)
#define TOKEN(st)  [KIND_HEX] = (st), [KIND_TCHAR] = (st)
#define TEXT(st)                                                                                   \
    TOKEN(st), [KIND_BLANK] = (st), [KIND_SEMICOLON] = (st), [KIND_EQUALS] = (st),                 \
               [KIND_COLON] = (st), [KIND_QUOTE] = (st), [KIND_BACKSLASH] = (st),                  \
               [KIND_VALUE] = (st)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"

/*
 * The state behind a byte of a kind, or REFUSED | code. The extensions are
 * *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 section 7.1.1.
 */
static const uint8_t next_state[ST_COUNT][16] = {
    [ST_SIZE_FIRST] = { LINE(CHUNK_SIZE), [KIND_HEX] = ST_SIZE },
    [ST_SIZE] = { LINE(CHUNK_SIZE), [KIND_HEX] = ST_SIZE, [KIND_BLANK] = ST_SIZE_BLANK,
                  [KIND_SEMICOLON] = ST_EXT_FIRST, [KIND_CR] = ST_SIZE_LF },
    [ST_SIZE_BLANK] = { LINE(CHUNK_SIZE), [KIND_BLANK] = ST_SIZE_BLANK,
                        [KIND_SEMICOLON] = ST_EXT_FIRST },
    [ST_EXT_FIRST] = { LINE(CHUNK_EXT), [KIND_BLANK] = ST_EXT_FIRST, TOKEN(ST_EXT_NAME) },
    [ST_EXT_NAME] = { LINE(CHUNK_EXT), TOKEN(ST_EXT_NAME), [KIND_BLANK] = ST_EXT_NAME_BLANK,
                      [KIND_SEMICOLON] = ST_EXT_FIRST, [KIND_EQUALS] = ST_EXT_VALUE_FIRST,
                      [KIND_CR] = ST_SIZE_LF },
    [ST_EXT_NAME_BLANK] = { LINE(CHUNK_EXT), [KIND_BLANK] = ST_EXT_NAME_BLANK,
                            [KIND_SEMICOLON] = ST_EXT_FIRST, [KIND_EQUALS] = ST_EXT_VALUE_FIRST },
    [ST_EXT_VALUE_FIRST] = { LINE(CHUNK_EXT), [KIND_BLANK] = ST_EXT_VALUE_FIRST,
                             TOKEN(ST_EXT_VALUE), [KIND_QUOTE] = ST_EXT_QUOTED },
    [ST_EXT_VALUE] = { LINE(CHUNK_EXT), TOKEN(ST_EXT_VALUE), [KIND_BLANK] = ST_EXT_VALUE_BLANK,
                       [KIND_SEMICOLON] = ST_EXT_FIRST, [KIND_CR] = ST_SIZE_LF },
    [ST_EXT_QUOTED] = { LINE(CHUNK_EXT), TEXT(ST_EXT_QUOTED), [KIND_QUOTE] = ST_EXT_QUOTED_END,
                        [KIND_BACKSLASH] = ST_EXT_QUOTED_PAIR },
    [ST_EXT_QUOTED_PAIR] = { LINE(CHUNK_EXT), TEXT(ST_EXT_QUOTED) },
    [ST_EXT_QUOTED_END] = { LINE(CHUNK_EXT), [KIND_BLANK] = ST_EXT_VALUE_BLANK,
                            [KIND_SEMICOLON] = ST_EXT_FIRST, [KIND_CR] = ST_SIZE_LF },
    [ST_EXT_VALUE_BLANK] = { LINE(CHUNK_EXT), [KIND_BLANK] = ST_EXT_VALUE_BLANK,
                             [KIND_SEMICOLON] = ST_EXT_FIRST },
    [ST_SIZE_LF] = { ELSE(BARE_CR), [KIND_LF] = ST_DATA },
    [ST_DATA_CR] = { ELSE(CHUNK_END), [KIND_CR] = ST_DATA_LF },
    [ST_DATA_LF] = { ELSE(CHUNK_END), [KIND_LF] = ST_SIZE_FIRST },
    [ST_TRAILER] = { LINE(TRAILER), TOKEN(ST_TRAILER_NAME), [KIND_CR] = ST_END_LF },
    [ST_TRAILER_NAME] = { LINE(TRAILER), TOKEN(ST_TRAILER_NAME), [KIND_COLON] = ST_TRAILER_VALUE },
    [ST_TRAILER_VALUE] = { LINE(TRAILER), TEXT(ST_TRAILER_VALUE), [KIND_CR] = ST_TRAILER_LF },
    [ST_TRAILER_LF] = { ELSE(BARE_CR), [KIND_LF] = ST_TRAILER },
    [ST_END_LF] = { ELSE(BARE_CR), [KIND_LF] = ST_DONE },
};

#pragma GCC diagnostic pop

/* ---- The automaton ----------------------------------------------------------------------- */

/* What the table refuses and a flag of the caller allows, or what it refuses. */
__attribute__((noinline, cold)) static uint8_t step_lenient(const struct weir_http1_body *body,
                                                            unsigned kind)
{
    const uint8_t refused = next_state[body->state][kind];
    uint8_t after_cr = next_state[body->state][KIND_CR];
    if (body->state == ST_SIZE_BLANK && (body->flags & WEIR_HTTP1_LENIENT_CHUNK_BLANKS) != 0)
        after_cr = ST_SIZE_LF;
    if (kind == KIND_CR)
        return after_cr;
    if (kind == KIND_LF && (body->flags & WEIR_HTTP1_LENIENT_CHUNK_BARE_LF) != 0 &&
        (after_cr & REFUSED) == 0)
        return next_state[after_cr][KIND_LF];
    return refused;
}

static enum weir_http1_error enter_size(struct weir_http1_body *body, uint8_t digit)
{
    /* At most INT64_MAX: 16 digits of which the first is at most 7. */
    if (body->line_bytes == SIZE_DIGITS_MAX || body->remaining > (uint64_t)INT64_MAX >> 4)
        return WEIR_HTTP1_E_CHUNK_SIZE;
    body->remaining = body->remaining << 4 | digit;
    body->line_bytes++;
    body->state = ST_SIZE;
    return WEIR_HTTP1_E_NONE;
}

static enum weir_http1_error enter_ext(struct weir_http1_body *body, uint8_t state)
{
    if (body->ext_bytes >= WEIR_HTTP1_CHUNK_EXT_BYTES_MAX)
        return WEIR_HTTP1_E_CHUNK_EXT;
    body->ext_bytes++;
    body->line_bytes++;
    body->state = state;
    return WEIR_HTTP1_E_NONE;
}

/* The line of a size has ended. */
static enum weir_http1_error enter_data(struct weir_http1_body *body)
{
    if (body->remaining == 0) {
        bool stop = (body->flags & WEIR_HTTP1_BODY_STOP_AT_TRAILERS) != 0;
        body->state = stop ? ST_DONE : ST_TRAILER;
        return WEIR_HTTP1_E_NONE;
    }
    const uint32_t framing = body->line_bytes + CHUNK_ENDS_BYTES;
    const uint64_t allowed =
        weir_min_u64(body->remaining, framing) * WEIR_HTTP1_CHUNK_FRAMING_PER_BYTE;
    if (framing > allowed) {
        const uint32_t excess = body->excess_bytes + framing - (uint32_t)allowed;
        if (excess > WEIR_HTTP1_CHUNK_FRAMING_BYTES_MAX)
            return WEIR_HTTP1_E_CHUNK_SIZE;
        body->excess_bytes = (uint16_t)excess;
    }
    body->state = ST_DATA;
    return WEIR_HTTP1_E_NONE;
}

static enum weir_http1_error enter_trailer(struct weir_http1_body *body, uint8_t state)
{
    bool begins = body->state == ST_TRAILER;
    if (body->trailer_bytes >= WEIR_HTTP1_TRAILER_BYTES_MAX ||
        (begins && body->trailers_count >= WEIR_HTTP1_TRAILERS_MAX))
        return WEIR_HTTP1_E_TRAILER;
    body->trailers_count = (uint8_t)(body->trailers_count + begins);
    body->trailer_bytes++;
    body->state = state;
    return WEIR_HTTP1_E_NONE;
}

/* One byte that is not payload. On an error it has not been taken. */
static inline enum weir_http1_error chunk_step(struct weir_http1_body *body, uint8_t c)
{
    const unsigned kind = lexemes[c] >> 4;
    uint8_t state = next_state[body->state][kind];
    if (WEIR_UNLIKELY((state & REFUSED) != 0)) {
        state = step_lenient(body, kind);
        if ((state & REFUSED) != 0)
            return (enum weir_http1_error)(state & ~REFUSED);
    }
    switch (state) {
    case ST_SIZE_FIRST:
        body->line_bytes = 0;
        break;
    case ST_SIZE:
        return enter_size(body, lexemes[c]);
    case ST_SIZE_BLANK ... ST_EXT_VALUE_BLANK:
        return enter_ext(body, state);
    case ST_DATA:
        return enter_data(body);
    case ST_TRAILER ... ST_TRAILER_LF:
        return enter_trailer(body, state);
    default:
        break;
    }
    body->state = state;
    return WEIR_HTTP1_E_NONE;
}

/* ---- Whole chunks ------------------------------------------------------------------------ */

/*
 * The size that begins `in`, of at least PLAIN_BYTES_MIN bytes, and how much framing goes with it;
 * 0 when there are no digits. Of more than PLAIN_DIGITS_MAX no CR follows those that are counted.
 *
 * The look-ups of the first four do not wait for one another, and how many count is a guess of the
 * branch predictor: where the next chunk begins depends on no more than a sum of table entries.
 */
static inline size_t plain_size(uint64_t *out, struct weir_slice in)
{
    const uint8_t *const p = in.ptr;
    const uint64_t a = lexemes[p[0]], b = lexemes[p[1]], c = lexemes[p[2]], d = lexemes[p[3]];
    *out = 0;
    if (a > HEX_MAX)
        return CHUNK_ENDS_BYTES;
    *out = a;
    if (b > HEX_MAX)
        return 1 + CHUNK_ENDS_BYTES;
    *out = a << 4 | b;
    if (c > HEX_MAX)
        return 2 + CHUNK_ENDS_BYTES;
    *out = a << 8 | b << 4 | c;
    if (d > HEX_MAX)
        return 3 + CHUNK_ENDS_BYTES;
    uint64_t size = (a << 12 | b << 8) | (c << 4 | d);
    const size_t digits_max = in.len < PLAIN_DIGITS_MAX ? in.len : PLAIN_DIGITS_MAX;
    size_t digits = 4;
    for (; digits < digits_max && lexemes[p[digits]] <= HEX_MAX; digits++)
        size = size << 4 | lexemes[p[digits]];
    *out = size;
    return digits + CHUNK_ENDS_BYTES;
}

/* The chunk that begins `in`, when it is all there and plain: the bytes it takes, else 0. */
static inline size_t chunk_whole(struct weir_http1_body *body, struct weir_slice in,
                                 struct weir_slice *out)
{
    if (in.len < PLAIN_BYTES_MIN)
        return 0;
    uint64_t size = 0;
    const size_t framing = plain_size(&size, in);
    /* A size of 0 wraps around: the last chunk is not for here. */
    if (in.len < framing || size - 1 >= in.len - framing)
        return 0;
    const struct weir_slice data = { .ptr = in.ptr + framing - 2, .len = (size_t)size };
    if (http1_load16(data.ptr - 2) != http1_load16("\r\n") ||
        http1_load16(data.ptr + data.len) != http1_load16("\r\n"))
        return 0;
    body->decoded_bytes += data.len;
    *out = data;
    return framing + data.len;
}

/* ---- Bodies ------------------------------------------------------------------------------ */

void weir_http1_body_init_with(struct weir_http1_body *body, enum weir_http1_framing framing,
                               uint64_t content_length, uint32_t flags)
{
    *body =
        (struct weir_http1_body){ .flags = flags, .framing = (uint8_t)framing, .state = ST_DONE };
    switch (framing) {
    case WEIR_HTTP1_BODY_NONE:
        break;
    case WEIR_HTTP1_BODY_LENGTH:
        body->remaining = content_length;
        body->state = content_length != 0 ? ST_LENGTH : ST_DONE;
        break;
    case WEIR_HTTP1_BODY_CHUNKED:
        body->state = ST_SIZE_FIRST;
        break;
    case WEIR_HTTP1_BODY_EOF:
        body->state = ST_EOF;
        break;
    }
}

void weir_http1_body_init(struct weir_http1_body *body, enum weir_http1_framing framing,
                          uint64_t content_length)
{
    weir_http1_body_init_with(body, framing, content_length, 0);
}

/* Hand out what of the body or the chunk is there. */
static size_t body_take(struct weir_http1_body *body, struct weir_slice in, struct weir_slice *out)
{
    size_t len = in.len;
    if (body->state != ST_EOF) {
        len = (size_t)weir_min_u64(len, body->remaining);
        body->remaining -= len;
        if (body->remaining == 0)
            body->state = body->state == ST_DATA ? ST_DATA_CR : ST_DONE;
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
    body->code = (uint8_t)code;
    return WEIR_PARSE_ERROR;
}

/* Is this the size line of a last chunk, as everybody writes it? */
static inline bool is_last_chunk(struct weir_slice in, size_t at)
{
    return in.ptr[at] == '0' && in.len - at >= 2 && lexemes[in.ptr[at + 1]] > HEX_MAX;
}

/* Is a slice handed out and the chunk it came from over, and does no last chunk follow? */
static inline bool body_may_rest(const struct weir_http1_body *body, struct weir_slice in,
                                 size_t at, const struct weir_slice *out)
{
    if (out->len == 0)
        return false;
    return body->state <= ST_DATA || (body->state == ST_SIZE_FIRST && !is_last_chunk(in, at));
}

/* Go on behind *consumed, byte by byte but for payload; *out may already hold some. */
__attribute__((noinline)) static enum weir_parse body_go_on(struct weir_http1_body *body,
                                                            struct weir_slice in, size_t *consumed,
                                                            struct weir_slice *out,
                                                            struct weir_parse_err *err)
{
    size_t at = *consumed;
    if (body->state == ST_FAILED)
        return body_refuse(body, (enum weir_http1_error)body->code, 0, err);

    while (at < in.len && body->state != ST_DONE && !body_may_rest(body, in, at, out)) {
        if (body->state <= ST_DATA) {
            at +=
                body_take(body, (struct weir_slice){ .ptr = in.ptr + at, .len = in.len - at }, out);
            continue;
        }
        enum weir_http1_error code = chunk_step(body, in.ptr[at]);
        if (code != WEIR_HTTP1_E_NONE) {
            *consumed = at;
            return out->len != 0 ? WEIR_PARSE_MORE : body_refuse(body, code, at, err);
        }
        at++;
    }
    *consumed = at;
    return body->state == ST_DONE ? WEIR_PARSE_DONE : WEIR_PARSE_MORE;
}

/*
 * After a slice of payload the framing behind it is consumed too, and the last chunk behind that,
 * so that a body usually ends in the call that returns its last bytes. Payload that came before a
 * wrong byte is handed out first: the error is left to the next call.
 */
enum weir_parse weir_http1_body_feed(struct weir_http1_body *body, struct weir_slice in,
                                     size_t *consumed, struct weir_slice *out,
                                     struct weir_parse_err *err)
{
    if (WEIR_LIKELY(body->state == ST_SIZE_FIRST)) {
        const size_t used = chunk_whole(body, in, out);
        if (WEIR_LIKELY(used != 0)) {
            *consumed = used;
            if (used == in.len || WEIR_LIKELY(!is_last_chunk(in, used)))
                return WEIR_PARSE_MORE;
            return body_go_on(body, in, consumed, out, err);
        }
    }
    *consumed = 0;
    *out = (struct weir_slice){ .ptr = in.ptr, .len = 0 };
    return body_go_on(body, in, consumed, out, err);
}
