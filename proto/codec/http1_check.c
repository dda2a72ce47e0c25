/* SPDX-License-Identifier: MIT */
/*
 * The grammar of heads (RFC 9112 sections 3 to 5) as an automaton over single bytes.
 *
 *   request    EMPTY_LINES -> METHOD -> TARGET_FIRST -> TARGET -> VERSION_* -> CR_LINE -+
 *   response   VERSION_* -> STATUS_* -> REASON -> CR_LINE ------------------------------+
 *                                                                                       v
 *              DONE <- CR_END <- FIRST_FIELD, FIELD -> NAME -> VALUE -> CR_VALUE -> FIELD
 *
 * Every error is a function of the bytes up to the one that is refused, so that it does not matter
 * in which pieces they came. Two rules hold in every state and are therefore decided in one place:
 * LF stands only after CR, and CR only before LF.
 */
#include "proto/codec/http1_check.h"

#include "core/assert.h"
#include "proto/codec/http1_char.h"

enum state {
    ST_EMPTY_LINES, /* requests begin here, so that a fresh *resume is 0 */
    ST_METHOD,
    ST_TARGET_FIRST,
    ST_TARGET,
    ST_VERSION_H, /* responses begin here */
    ST_VERSION_T,
    ST_VERSION_T2,
    ST_VERSION_P,
    ST_VERSION_SLASH,
    ST_VERSION_MAJOR,
    ST_VERSION_DOT,
    ST_VERSION_MINOR,
    ST_VERSION_END,
    ST_STATUS_1,
    ST_STATUS_2,
    ST_STATUS_3,
    ST_STATUS_END,
    ST_REASON,
    ST_FIRST_FIELD,
    ST_FIELD,
    ST_NAME,
    ST_NAME_BLANK, /* lenient: blanks before the colon */
    ST_VALUE,
    /* After CR; the only states in which LF is welcome. */
    ST_CR_EMPTY_LINE,
    ST_CR_EARLY, /* the start line ended before it was complete */
    ST_CR_LINE,
    ST_CR_NAME, /* a field line without colon */
    ST_CR_VALUE,
    ST_CR_END,
    ST_DONE,
};

_Static_assert(ST_DONE < 32, "the state has 5 bits in *resume");
_Static_assert(2 * HTTP1_EMPTY_LINES_MAX + HTTP1_METHOD_BYTES_MAX + 1 < 2048,
               "run_at has 11 bits in *resume");
_Static_assert(WEIR_HTTP1_HEAD_BYTES_MAX < 65536, "the position has 16 bits in *resume");

static bool lenient(const struct http1_check *k, enum weir_http1_lenient what)
{
    return (k->limits->lenient & what) != 0;
}

/* The state after byte `c` that follows a CR, or -code. */
static int check_after_cr(const struct http1_check *k, uint8_t c)
{
    if (c != '\n')
        return -WEIR_HTTP1_E_BARE_CR;
    switch (k->state) {
    case ST_CR_EMPTY_LINE:
        return ST_EMPTY_LINES;
    case ST_CR_LINE:
        return ST_FIRST_FIELD;
    case ST_CR_VALUE:
        return ST_FIELD;
    case ST_CR_END:
        return ST_DONE;
    case ST_CR_NAME:
        return -WEIR_HTTP1_E_FIELD_NAME;
    default:
        return -WEIR_HTTP1_E_START_LINE;
    }
}

static int check_on_cr(const struct http1_check *k)
{
    switch (k->state) {
    case ST_EMPTY_LINES:
        return k->at < 2 * HTTP1_EMPTY_LINES_MAX ? ST_CR_EMPTY_LINE : -WEIR_HTTP1_E_START_LINE;
    case ST_VERSION_END:
        return k->is_request ? ST_CR_LINE : ST_CR_EARLY;
    case ST_STATUS_END:
    case ST_REASON:
        return ST_CR_LINE;
    case ST_FIRST_FIELD:
    case ST_FIELD:
        return ST_CR_END;
    case ST_NAME:
    case ST_NAME_BLANK:
        return ST_CR_NAME;
    case ST_VALUE:
        return ST_CR_VALUE;
    default:
        return ST_CR_EARLY;
    }
}

/* LF without CR: refused, or as good as both. */
static int check_on_lf(const struct http1_check *k)
{
    if (!lenient(k, WEIR_HTTP1_LENIENT_BARE_LF))
        return -WEIR_HTTP1_E_BARE_LF;
    int after_cr = check_on_cr(k);
    if (after_cr < 0)
        return after_cr;
    struct http1_check both = *k;
    both.state = (uint8_t)after_cr;
    return check_after_cr(&both, '\n');
}

static int check_on_method(const struct http1_check *k, uint8_t c)
{
    if (k->state == ST_EMPTY_LINES)
        return http1_is(c, HTTP1_TCHAR) ? ST_METHOD : -WEIR_HTTP1_E_METHOD;
    if (c == ' ')
        return ST_TARGET_FIRST;
    if (!http1_is(c, HTTP1_TCHAR))
        return -WEIR_HTTP1_E_METHOD;
    /* RFC 9112 section 3: longer than any that is implemented. */
    return k->at - k->run_at < HTTP1_METHOD_BYTES_MAX ? ST_METHOD : -WEIR_HTTP1_E_METHOD_TOO_LONG;
}

static int check_on_target(const struct http1_check *k, uint8_t c)
{
    if (c == ' ')
        return k->state == ST_TARGET ? ST_VERSION_H : -WEIR_HTTP1_E_START_LINE;
    if (!http1_is(c, HTTP1_TARGET) && (c < 0x80 || !lenient(k, WEIR_HTTP1_LENIENT_TARGET_BYTES)))
        return -WEIR_HTTP1_E_TARGET;
    uint32_t run = k->state == ST_TARGET ? k->at - k->run_at : 0;
    return run < k->limits->target_bytes_max ? ST_TARGET : -WEIR_HTTP1_E_TARGET_TOO_LONG;
}

static int check_on_version(const struct http1_check *k, uint8_t c)
{
    static const uint8_t literal[] = "HTTP/";
    switch (k->state) {
    case ST_VERSION_MAJOR:
        if (c == '1')
            return ST_VERSION_DOT;
        return http1_is_digit(c) ? -WEIR_HTTP1_E_VERSION_UNSUPPORTED : -WEIR_HTTP1_E_VERSION;
    case ST_VERSION_DOT:
        return c == '.' ? ST_VERSION_MINOR : -WEIR_HTTP1_E_VERSION;
    case ST_VERSION_MINOR:
        return http1_is_digit(c) ? ST_VERSION_END : -WEIR_HTTP1_E_VERSION;
    case ST_VERSION_END:
        return c == ' ' && !k->is_request ? ST_STATUS_1 : -WEIR_HTTP1_E_VERSION;
    default:
        if (k->state == ST_VERSION_H && c == ' ')
            return -WEIR_HTTP1_E_START_LINE; /* two SP, or a line that begins with one */
        return c == literal[k->state - ST_VERSION_H] ? k->state + 1 : -WEIR_HTTP1_E_VERSION;
    }
}

static int check_on_status(const struct http1_check *k, uint8_t c)
{
    switch (k->state) {
    case ST_STATUS_1:
        return http1_is_digit(c) && c != '0' ? ST_STATUS_2 : -WEIR_HTTP1_E_STATUS;
    case ST_STATUS_2:
    case ST_STATUS_3:
        return http1_is_digit(c) ? k->state + 1 : -WEIR_HTTP1_E_STATUS;
    case ST_STATUS_END:
        return c == ' ' ? ST_REASON : -WEIR_HTTP1_E_STATUS;
    default:
        return http1_is(c, HTTP1_VALUE) ? ST_REASON : -WEIR_HTTP1_E_START_LINE;
    }
}

static int check_on_field(const struct http1_check *k, uint8_t c)
{
    switch (k->state) {
    case ST_NAME:
        if (c == ':')
            return ST_VALUE;
        if (http1_is_blank(c))
            return !k->is_request && lenient(k, WEIR_HTTP1_LENIENT_SPACE_BEFORE_COLON)
                       ? ST_NAME_BLANK
                       : -WEIR_HTTP1_E_FIELD_SPACE;
        return http1_is(c, HTTP1_TCHAR) ? ST_NAME : -WEIR_HTTP1_E_FIELD_NAME;
    case ST_NAME_BLANK:
        if (http1_is_blank(c))
            return ST_NAME_BLANK;
        return c == ':' ? ST_VALUE : -WEIR_HTTP1_E_FIELD_SPACE;
    case ST_VALUE:
        return http1_is(c, HTTP1_VALUE) ? ST_VALUE : -WEIR_HTTP1_E_FIELD_VALUE;
    default:
        if (http1_is_blank(c) && k->state == ST_FIELD)
            return lenient(k, WEIR_HTTP1_LENIENT_OBS_FOLD) ? ST_VALUE : -WEIR_HTTP1_E_OBS_FOLD;
        if (http1_is_blank(c))
            return -WEIR_HTTP1_E_FIELD_SPACE;
        return http1_is(c, HTTP1_TCHAR) ? ST_NAME : -WEIR_HTTP1_E_FIELD_NAME;
    }
}

/* The state after byte `c`, or -code. */
static int check_step(const struct http1_check *k, uint8_t c)
{
    if (k->state >= ST_CR_EMPTY_LINE)
        return check_after_cr(k, c);
    if (c == '\n')
        return check_on_lf(k);
    if (c == '\r')
        return check_on_cr(k);
    if (k->state >= ST_FIRST_FIELD)
        return check_on_field(k, c);
    if (k->state >= ST_STATUS_1)
        return check_on_status(k, c);
    if (k->state >= ST_VERSION_H)
        return check_on_version(k, c);
    if (k->state >= ST_TARGET_FIRST)
        return check_on_target(k, c);
    return check_on_method(k, c);
}

uint32_t weir_http1_leading_bytes(struct weir_slice bytes)
{
    uint32_t at = 0;
    while (at < 2 * HTTP1_EMPTY_LINES_MAX && bytes.len - at >= 2 && bytes.ptr[at] == '\r' &&
           bytes.ptr[at + 1] == '\n')
        at += 2;
    return at;
}

static enum weir_parse check_refuse(const struct http1_check *k, struct weir_slice bytes,
                                    const struct weir_parse_err *refusal,
                                    struct weir_parse_err *err)
{
    /* Offsets count from the head, not from the empty lines before it. */
    uint32_t leading = k->is_request ? weir_http1_leading_bytes(bytes) : 0;
    *err = (struct weir_parse_err){ .code = refusal->code, .offset = refusal->offset - leading };
    return WEIR_PARSE_ERROR;
}

static void check_load(struct http1_check *k, uint32_t resume)
{
    k->at = resume & 0xffff;
    k->state = (uint8_t)(resume >> 16 & 31);
    k->run_at = resume >> 21;
    if (resume == 0 && !k->is_request)
        k->state = k->is_trailers ? ST_FIRST_FIELD : ST_VERSION_H;
}

static uint32_t check_save(const struct http1_check *k)
{
    bool in_run = k->state == ST_METHOD || k->state == ST_TARGET;
    return k->at | (uint32_t)k->state << 16 | (in_run ? k->run_at << 21 : 0);
}

enum weir_parse weir_http1_check(struct http1_check *k, struct weir_slice bytes, uint32_t *resume,
                                 struct weir_parse_err *err)
{
    const size_t bytes_max = k->limits->head_bytes_max;
    const size_t len = bytes.len < bytes_max ? bytes.len : bytes_max;
    const struct http1_span in = { .begin = bytes.ptr, .end = bytes.ptr + len };

    check_load(k, *resume);
    WEIR_ASSERT(k->at <= len);
    while (k->at < len) {
        if (k->state == ST_VALUE) {
            k->at = (uint32_t)(http1_skip_value(bytes.ptr + k->at, in) - bytes.ptr);
            if (k->at == len)
                break;
        }
        int next = check_step(k, bytes.ptr[k->at]);
        if (next < 0) {
            /* After a CR, the CR is what is wrong: a good head has none here. */
            bool after_cr = k->state >= ST_CR_EMPTY_LINE;
            return check_refuse(k, bytes,
                                &(struct weir_parse_err){ .code = (enum weir_http1_error) - next,
                                                          .offset = k->at - after_cr },
                                err);
        }
        if (next == ST_DONE)
            return WEIR_PARSE_DONE;
        if (next != k->state) {
            k->state = (uint8_t)next;
            k->run_at = k->at;
        }
        k->at++;
    }
    /* At the limit the head is already too long: its end would lie behind it. */
    if (len == bytes_max)
        return check_refuse(
            k, bytes,
            &(struct weir_parse_err){ .code = WEIR_HTTP1_E_HEAD_TOO_LONG, .offset = k->at }, err);
    *resume = check_save(k);
    return WEIR_PARSE_MORE;
}
