/* SPDX-License-Identifier: MIT */
/*
 * The scalar reader against a model: the grammar of RFC 9112 sections 2 to 5 and what RFC 9112
 * section 6 makes of the fields, written down once more as plainly as can be, byte by byte. The
 * other readers are compared with the scalar one, so all of them stand on this.
 *
 * The model says when a head is complete and what is in it, and where it is refused: for a wrong
 * byte the place of the first one that no good head could have, for a wrong meaning the code too.
 */
#include "unit/proto/codec/http1_read_rig.h"

#include <strings.h>

#define MODEL_INPUTS (READ_INPUTS < 2000000u ? READ_INPUTS : 2000000u)

enum model_verdict { MODEL_GOOD, MODEL_MORE, MODEL_SYNTAX, MODEL_MEANING };

struct model {
    const struct read_input *input;
    const uint8_t *p;
    size_t len; /* at most head_bytes_max */
    size_t at;  /* of the next byte; of the wrong one once there is one */
    enum model_verdict verdict;
    enum weir_http1_error code; /* of a meaning */
    struct weir_http1_head head;
    struct weir_http1_field fields[READ_FIELDS_MAX];
    unsigned hosts, lengths, codings, unknowns; /* how many of them */
    size_t te_at;                               /* where the first Transfer-Encoding is */
    bool chunked, close, keep_alive, upgrade, upgrade_option;
};

/* ---- Bytes (RFC 9110 section 5.6.2, RFC 3986 section 2) ---------------------------------------
 */

static bool is_alpha(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_one_of(uint8_t c, const char *list)
{
    return c != 0 && strchr(list, c) != NULL;
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || is_one_of(c, "abcdefABCDEF");
}

static bool is_tchar(uint8_t c)
{
    return is_alpha(c) || is_digit(c) || is_one_of(c, "!#$%&'*+-.^_`|~");
}

static bool is_target(uint8_t c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

static bool is_value(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* unreserved and sub-delims but ',' */
static bool is_reg_name(uint8_t c)
{
    return is_alpha(c) || is_digit(c) || is_one_of(c, "-._~!$&'()*+;=");
}

/* ---- Syntax ------------------------------------------------------------------------------ */

/*
 * Stop at a byte that is not what must be here. At a CR the parser waits for one byte more, which
 * decides what the error is called.
 */
static bool stop(struct model *m)
{
    bool waits = m->at == m->len || (m->p[m->at] == '\r' && m->at + 1 == m->len);
    m->verdict = waits ? MODEL_MORE : MODEL_SYNTAX;
    return false;
}

static bool take(struct model *m, uint8_t c)
{
    if (m->at == m->len || m->p[m->at] != c)
        return stop(m);
    m->at++;
    return true;
}

static bool take_text(struct model *m, const char *text)
{
    for (; *text != '\0'; text++)
        if (!take(m, (uint8_t)*text))
            return false;
    return true;
}

static bool take_one(struct model *m, bool (*is)(uint8_t))
{
    if (m->at == m->len || !is(m->p[m->at]))
        return stop(m);
    m->at++;
    return true;
}

/* As many as there are, at most `most`. */
static size_t take_run(struct model *m, bool (*is)(uint8_t), size_t most)
{
    size_t begin = m->at;
    while (m->at < m->len && m->at - begin < most && is(m->p[m->at]))
        m->at++;
    return m->at - begin;
}

/* CR LF. A CR with something else behind it is wrong itself. */
static bool take_line_end(struct model *m)
{
    if (!take(m, '\r'))
        return false;
    if (m->at < m->len && m->p[m->at] == '\n') {
        m->at++;
        return true;
    }
    m->at--;
    return stop(m);
}

static struct weir_slice model_slice(const struct model *m, size_t from, size_t to)
{
    return (struct weir_slice){ m->p + from, to - from };
}

/* "HTTP/1." DIGIT */
static bool take_version(struct model *m)
{
    if (!take_text(m, "HTTP/1.") || !take_one(m, is_digit))
        return false;
    m->head.version_minor = m->p[m->at - 1] == '0' ? 0 : 1;
    return true;
}

/* method SP request-target SP HTTP-version CRLF, empty lines before it (sections 2.2 and 3) */
static bool take_request_line(struct model *m)
{
    unsigned empty_lines = 0;
    while (m->at < m->len && m->p[m->at] == '\r') {
        if (empty_lines++ == 8) {
            m->verdict = MODEL_SYNTAX;
            return false;
        }
        if (!take_line_end(m))
            return false;
    }
    m->head.base = m->p + m->at;
    size_t method = m->at;
    if (take_run(m, is_tchar, 64) == 0)
        return stop(m);
    m->head.method = model_slice(m, method, m->at);
    if (!take(m, ' '))
        return false;
    size_t target = m->at;
    if (take_run(m, is_target, m->input->limits.target_bytes_max) == 0)
        return stop(m);
    m->head.target = model_slice(m, target, m->at);
    return take(m, ' ') && take_version(m) && take_line_end(m);
}

/* HTTP-version SP status-code [ SP reason-phrase ] CRLF (section 4) */
static bool take_status_line(struct model *m)
{
    m->head.base = m->p;
    if (!take_version(m) || !take(m, ' '))
        return false;
    if (m->at < m->len && m->p[m->at] == '0')
        return stop(m);
    for (unsigned i = 0; i < 3; i++) {
        if (!take_one(m, is_digit))
            return false;
        m->head.status = (uint16_t)(m->head.status * 10 + m->p[m->at - 1] - '0');
    }
    size_t reason = m->at;
    if (m->at < m->len && m->p[m->at] == ' ') {
        reason = ++m->at;
        take_run(m, is_value, SIZE_MAX);
    }
    m->head.reason = model_slice(m, reason, m->at);
    return take_line_end(m);
}

static struct weir_slice trim(struct weir_slice s)
{
    while (s.len != 0 && is_one_of(s.ptr[0], " \t")) {
        s.ptr++;
        s.len--;
    }
    while (s.len != 0 && is_one_of(s.ptr[s.len - 1], " \t"))
        s.len--;
    return s;
}

/* field-name ":" OWS field-value OWS CRLF (section 5) */
static bool take_field(struct model *m, struct weir_slice *name, struct weir_slice *value)
{
    size_t begin = m->at;
    if (take_run(m, is_tchar, SIZE_MAX) == 0)
        return stop(m);
    *name = model_slice(m, begin, m->at);
    if (!take(m, ':'))
        return false;
    begin = m->at;
    take_run(m, is_value, SIZE_MAX);
    *value = trim(model_slice(m, begin, m->at));
    return take_line_end(m);
}

/* ---- Meaning ----------------------------------------------------------------------------- */

/* The first one counts, and only when the syntax of the whole head is good. */
static void refuse(struct model *m, enum weir_http1_error code, const uint8_t *at)
{
    if (m->code != WEIR_HTTP1_E_NONE)
        return;
    m->code = code;
    m->head.bytes = (uint32_t)(at - m->head.base); /* the offset, until the head is complete */
}

static bool is_word(struct weir_slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp((const char *)s.ptr, word, s.len) == 0;
}

static bool is_exactly(struct weir_slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

/* "[" IPv6 "]" or a name, and perhaps a port. 0: malformed, 1: without a port, 2: with one. */
static unsigned authority(struct weir_slice s)
{
    size_t at = 0, port = 0;
    if (s.len != 0 && s.ptr[0] == '[') {
        at = 1;
        while (at < s.len && (is_hex(s.ptr[at]) || is_one_of(s.ptr[at], ":.")))
            at++;
        if (at < 3 || at == s.len || s.ptr[at] != ']')
            return 0;
        at++;
    } else {
        while (at < s.len) {
            if (s.ptr[at] == '%' && s.len - at > 2 && is_hex(s.ptr[at + 1]) &&
                is_hex(s.ptr[at + 2]))
                at += 3;
            else if (is_reg_name(s.ptr[at]))
                at++;
            else
                break;
        }
    }
    if (at == 0)
        return 0;
    if (at == s.len)
        return 1;
    if (s.ptr[at++] != ':' || s.len - at > 5)
        return 0;
    if (at == s.len)
        return 1;
    for (; at < s.len; at++) {
        if (!is_digit(s.ptr[at]))
            return 0;
        port = port * 10 + s.ptr[at] - '0';
    }
    return port <= 65535 ? 2 : 0;
}

/* Section 3.2: origin-form, absolute-form, authority-form, asterisk-form. */
static void mean_target(struct model *m)
{
    struct weir_slice target = m->head.target;
    const uint8_t *end = target.ptr + target.len, *p = target.ptr;
    bool good;
    if (is_exactly(m->head.method, "CONNECT")) {
        good = authority(target) == 2;
    } else if (*p == '*') {
        good = target.len == 1 && is_exactly(m->head.method, "OPTIONS");
    } else if (*p == '/') {
        good = true;
    } else {
        good = is_alpha(*p);
        while (p < end && (is_alpha(*p) || is_digit(*p) || is_one_of(*p, "+-.")))
            p++;
        good = good && end - p >= 3 && memcmp(p, "://", 3) == 0;
        const uint8_t *host = good ? p + 3 : end;
        for (p = host; p < end && !is_one_of(*p, "/?");)
            p++;
        m->head.host = (struct weir_slice){ host, (size_t)(p - host) };
        good = good && authority(m->head.host) != 0;
    }
    if (!good)
        refuse(m, WEIR_HTTP1_E_TARGET, target.ptr);
}

static void mean_host(struct model *m, struct weir_slice value)
{
    if (++m->hosts > 1 || authority(value) == 0)
        refuse(m, WEIR_HTTP1_E_HOST, value.ptr);
    if (m->head.host.ptr == NULL)
        m->head.host = value;
}

static void mean_length(struct model *m, struct weir_slice value)
{
    bool good = value.len != 0;
    uint64_t length = 0;
    for (size_t i = 0; good && i < value.len; i++) {
        uint8_t digit = (uint8_t)(value.ptr[i] - '0');
        good = digit <= 9 && !__builtin_mul_overflow(length, 10, &length) &&
               !__builtin_add_overflow(length, digit, &length) && length <= INT64_MAX;
    }
    if (m->lengths++ != 0)
        good = good && !m->input->is_request && length == m->head.content_length;
    if (!good)
        refuse(m, WEIR_HTTP1_E_CONTENT_LENGTH, value.ptr);
    m->head.content_length = length;
    m->head.has_content_length = true;
}

/* Each element of a comma separated list, the empty ones too. */
static void mean_list(struct model *m, struct weir_slice value,
                      void (*mean)(struct model *m, struct weir_slice element,
                                   struct weir_slice value))
{
    size_t begin = 0;
    for (size_t at = 0; at <= value.len; at++) {
        if (at < value.len && value.ptr[at] != ',')
            continue;
        mean(m, trim((struct weir_slice){ value.ptr + begin, at - begin }), value);
        begin = at + 1;
    }
}

static void mean_coding(struct model *m, struct weir_slice coding, struct weir_slice value)
{
    bool good = coding.len != 0 && !m->chunked;
    for (size_t i = 0; i < coding.len; i++)
        good = good && is_tchar(coding.ptr[i]);
    if (!good)
        refuse(m, WEIR_HTTP1_E_TRANSFER_ENCODING, value.ptr);
    m->chunked = is_word(coding, "chunked");
    m->unknowns += !m->chunked;
}

static void mean_option(struct model *m, struct weir_slice option, struct weir_slice value)
{
    (void)value;
    m->close |= is_word(option, "close");
    m->keep_alive |= is_word(option, "keep-alive");
    m->upgrade_option |= is_word(option, "upgrade");
}

static void mean_field(struct model *m, struct weir_slice name, struct weir_slice value)
{
    if (is_word(name, "host") && m->input->is_request)
        mean_host(m, value);
    if (is_word(name, "content-length"))
        mean_length(m, value);
    if (is_word(name, "transfer-encoding")) {
        if (m->codings++ == 0)
            m->te_at = (size_t)(value.ptr - m->p);
        mean_list(m, value, mean_coding);
    }
    if (is_word(name, "connection"))
        mean_list(m, value, mean_option);
    if (is_word(name, "upgrade"))
        m->upgrade = true;
    if (is_word(name, "expect") && m->input->is_request) {
        if (!is_word(value, "100-continue"))
            refuse(m, WEIR_HTTP1_E_EXPECT, value.ptr);
        m->head.expect_continue = m->head.version_minor != 0;
    }
}

/* Section 6.3. */
static void mean_framing(struct model *m, bool no_body)
{
    struct weir_http1_head *head = &m->head;
    const uint8_t *te = m->p + m->te_at;
    if (no_body) {
        head->framing = WEIR_HTTP1_BODY_NONE;
    } else if (m->codings != 0) {
        head->framing = WEIR_HTTP1_BODY_CHUNKED;
        if (head->version_minor == 0)
            refuse(m, WEIR_HTTP1_E_TRANSFER_ENCODING, te);
        else if (m->lengths != 0)
            refuse(m, WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE, te);
        else if (m->unknowns != 0)
            refuse(m, WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN, te);
    } else if (m->lengths != 0) {
        head->framing = WEIR_HTTP1_BODY_LENGTH;
    } else {
        head->framing = m->input->is_request ? WEIR_HTTP1_BODY_NONE : WEIR_HTTP1_BODY_EOF;
    }
}

static void mean_head(struct model *m)
{
    struct weir_http1_head *head = &m->head;
    const struct weir_slice method = m->input->request_method;
    const unsigned status = head->status;
    bool no_body = false, tunnel = false;
    if (m->input->is_request) {
        if (m->hosts == 0 && head->version_minor != 0)
            refuse(m, WEIR_HTTP1_E_HOST, m->p + m->at - 2);
    } else {
        tunnel = status == 101 || (status / 100 == 2 && is_exactly(method, "CONNECT"));
        no_body =
            tunnel || status < 200 || status == 204 || status == 304 || is_exactly(method, "HEAD");
    }
    head->keep_alive = !m->close && (head->version_minor != 0 || m->keep_alive) && !tunnel;
    head->upgrade = m->upgrade && m->upgrade_option && head->version_minor != 0;
    mean_framing(m, no_body);
    if (head->framing == WEIR_HTTP1_BODY_EOF)
        head->keep_alive = false;
}

static void model_fields(struct model *m)
{
    const uint8_t *base = m->head.base;
    struct weir_slice name, value;
    while (m->at == m->len || m->p[m->at] != '\r') {
        size_t begin = m->at;
        if (!take_field(m, &name, &value))
            return;
        if (m->head.fields_count == m->input->limits.fields_max) {
            refuse(m, WEIR_HTTP1_E_FIELDS_TOO_MANY, m->p + begin);
            continue;
        }
        m->fields[m->head.fields_count++] = (struct weir_http1_field){
            .name_at = (uint16_t)(name.ptr - base),
            .name_len = (uint16_t)name.len,
            .value_at = (uint16_t)(value.ptr - base),
            .value_len = (uint16_t)value.len,
        };
        mean_field(m, name, value);
    }
    if (!take_line_end(m))
        return;
    mean_head(m);
    m->verdict = m->code == WEIR_HTTP1_E_NONE ? MODEL_GOOD : MODEL_MEANING;
    if (m->verdict == MODEL_GOOD)
        m->head.bytes = (uint32_t)m->at;
}

static void model_run(struct model *m, const struct read_input *input)
{
    const size_t most = input->limits.head_bytes_max;
    memset(m, 0, sizeof *m);
    m->input = input;
    m->p = input->bytes.ptr;
    m->len = input->bytes.len < most ? input->bytes.len : most;
    m->head.fields = m->fields;
    if (input->is_request ? take_request_line(m) : take_status_line(m)) {
        if (input->is_request)
            mean_target(m);
        model_fields(m);
    }
    /* Its end would lie behind the limit. */
    if (m->verdict == MODEL_MORE && m->len == most) {
        m->verdict = MODEL_SYNTAX;
        m->at = most;
    }
}

/* ---- Tests ------------------------------------------------------------------------------- */

/* Offsets count from the head; while there is none, from behind the empty lines that are there. */
static uint32_t model_offset(const struct model *m)
{
    size_t leading = 0;
    while (m->input->is_request && leading < 16 && leading + 2 <= m->input->bytes.len &&
           memcmp(m->p + leading, "\r\n", 2) == 0)
        leading += 2;
    return m->verdict == MODEL_MEANING ? m->head.bytes : (uint32_t)(m->at - leading);
}

static bool model_agrees(const struct model *m, const struct read_result *got)
{
    switch (m->verdict) {
    case MODEL_MORE:
        return got->parse == WEIR_PARSE_MORE;
    case MODEL_GOOD:
        return got->parse == WEIR_PARSE_DONE && read_same_head(&m->head, &got->head);
    default:
        return got->parse == WEIR_PARSE_ERROR && got->err.offset == model_offset(m) &&
               (m->verdict == MODEL_SYNTAX || got->err.code == m->code);
    }
}

static bool check_model(const struct read_input *input)
{
    static struct read_result got;
    static struct model model;
    got.resume = 0;
    read_step(&got, input, input->bytes.len);
    read_count(&got);
    model_run(&model, input);
    if (model_agrees(&model, &got))
        return true;
    read_print("scalar", &got);
    fprintf(stderr, "model: verdict %d, code %d, at %u, head of %u bytes, %u fields, framing %d\n",
            (int)model.verdict, (int)model.code, (unsigned)model_offset(&model),
            (unsigned)model.head.bytes, (unsigned)model.head.fields_count, (int)model.head.framing);
    return false;
}

/* The answer to pieces is the answer to all at once, and it does not come later than it must. */
static bool check_pieces(const struct read_input *input)
{
    static struct read_result whole, part;
    const size_t stride = 1 + read_random(read_one_in(2) ? 1 : 100);
    const size_t all = input->bytes.len;
    whole.resume = part.resume = 0;
    read_step(&whole, input, all);
    read_count(&whole);
    for (size_t len = read_random(2) * read_random(all + 1);;
         len = len + stride < all ? len + stride : all) {
        read_step(&part, input, len);
        if (part.parse != WEIR_PARSE_MORE || len == all)
            break;
    }
    if (read_same(&whole, &part))
        return true;
    fprintf(stderr, "in steps of %zu\n", stride);
    read_print("whole", &whole);
    read_print("pieces", &part);
    return false;
}

static void test_model(void **state)
{
    (void)state;
    weir_http1_use(WEIR_SIMD_SCALAR);
    read_each(check_model, true, 3, MODEL_INPUTS);
    weir_http1_use(weir_simd_used());
}

static void test_pieces(void **state)
{
    (void)state;
    weir_http1_use(WEIR_SIMD_SCALAR);
    read_each(check_pieces, false, 4, MODEL_INPUTS / 8);
    weir_http1_use(weir_simd_used());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, read_setup, read_teardown);
}
