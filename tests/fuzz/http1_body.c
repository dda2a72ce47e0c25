/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: bodies. The first three bytes choose framing and length, cuts, and flags; the rest
 * is the body. The outcome and the payload must be the same whole, byte by byte and in pieces, and
 * trailers that are read must end where trailers that are dropped do.
 */
#include <weir/http1.h>

#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 160

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

struct input {
    struct weir_slice bytes;
    enum weir_http1_framing framing;
    uint64_t length;
    uint32_t flags;
    uint32_t seed;
};

struct run {
    enum weir_parse result;
    enum weir_http1_error code;
    size_t at, payload_bytes;
    uint8_t *payload;
};

enum cuts { CUTS_NONE, CUTS_BYTES, CUTS_RANDOM };

/* The length of the next piece, at least 1. */
static size_t cut(enum cuts cuts, uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    if (cuts == CUTS_NONE)
        return SIZE_MAX;
    return cuts == CUTS_BYTES ? 1 : 1 + (*seed >> 24) % 48;
}

/* Memory of its own, so that the sanitizer sees the smallest overrun and every stale view. */
static uint8_t *copy_of(struct weir_slice s)
{
    uint8_t *copy = malloc(s.len + (s.len == 0));
    DEMAND(copy != NULL);
    if (s.len != 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

/* Feed a piece once; false when the body is over. */
static void feed(struct run *run, struct weir_http1_body *body, struct weir_slice piece)
{
    uint8_t *copy = copy_of(piece);
    struct weir_slice out;
    struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
    size_t consumed;
    run->result =
        weir_http1_body_feed(body, (struct weir_slice){ copy, piece.len }, &consumed, &out, &err);
    DEMAND(consumed <= piece.len && out.len <= consumed);
    DEMAND(consumed != 0 || piece.len == 0 || run->result != WEIR_PARSE_MORE);
    DEMAND(run->result != WEIR_PARSE_ERROR || (err.offset == consumed && out.len == 0));
    if (out.len != 0)
        memcpy(run->payload + run->payload_bytes, out.ptr, out.len);
    run->payload_bytes += out.len;
    run->code = err.code;
    run->at += consumed;
    free(copy);
}

static void run_body(struct run *run, const struct input *input, enum cuts cuts)
{
    struct weir_http1_body body;
    uint32_t seed = input->seed;
    const size_t len = input->bytes.len;
    *run = (struct run){ .payload = malloc(len + 1) };
    DEMAND(run->payload != NULL);
    weir_http1_body_init_with(&body, input->framing, input->length, input->flags);
    do {
        const size_t step = cut(cuts, &seed), left = len - run->at;
        feed(run, &body,
             (struct weir_slice){ input->bytes.ptr + run->at, left < step ? left : step });
    } while (run->result == WEIR_PARSE_MORE && run->at < len);
    DEMAND(body.decoded_bytes == run->payload_bytes);
    DEMAND(run->result != WEIR_PARSE_ERROR || weir_http1_error_status(run->code) == 400);
    /* It stays how it ended. */
    const struct run ended = *run;
    if (ended.result == WEIR_PARSE_MORE)
        return;
    feed(run, &body, (struct weir_slice){ (const uint8_t *)"1\r\nx\r\n", 6 });
    DEMAND(run->result == ended.result && run->code == ended.code && run->at == ended.at);
    DEMAND(run->payload_bytes == ended.payload_bytes);
}

static void demand_same(const struct run *a, const struct run *b)
{
    DEMAND(a->result == b->result && a->code == b->code && a->at == b->at);
    DEMAND(a->payload_bytes == b->payload_bytes);
    DEMAND(memcmp(a->payload, b->payload, a->payload_bytes) == 0);
}

struct trailers {
    enum weir_parse result;
    struct weir_parse_err err;
    uint32_t bytes, resume;
    struct weir_http1_field fields[FIELDS_MAX];
    unsigned count;
};

static void read_trailers(struct trailers *t, struct weir_slice bytes, uint32_t lenient)
{
    const struct weir_http1_limits limits = { .head_bytes_max = WEIR_HTTP1_TRAILER_BYTES_MAX,
                                              .fields_max = FIELDS_MAX,
                                              .lenient = lenient };
    uint8_t *copy = copy_of(bytes);
    struct weir_http1_head head = { .fields = t->fields };
    t->result = weir_http1_parse_trailers(&head, &limits, (struct weir_slice){ copy, bytes.len },
                                          &t->resume, &t->err);
    if (t->result == WEIR_PARSE_DONE) {
        DEMAND(head.bytes <= bytes.len && copy[head.bytes - 1] == '\n');
        t->bytes = head.bytes;
        t->count = head.fields_count;
        for (unsigned i = 0; i < t->count; i++) {
            const struct weir_slice name = weir_http1_name(&head, i);
            DEMAND(weir_http1_is_token(name));
            DEMAND(weir_http1_is_field_value(weir_http1_value(&head, i)));
            DEMAND(name.len != 4 || memcmp(name.ptr, "Host", 4) != 0);
        }
    }
    free(copy);
}

/* `stopped` ended before its trailers: the same body without stopping must agree with them. */
static void check_trailers(const struct input *input, const struct run *stopped)
{
    static struct trailers whole, part;
    const struct weir_slice rest = { input->bytes.ptr + stopped->at,
                                     input->bytes.len - stopped->at };
    struct input dropping = *input;
    struct run dropped;
    whole.resume = part.resume = 0;
    read_trailers(&whole, rest, input->flags);
    uint32_t seed = input->seed;
    for (size_t len = 0;;) {
        read_trailers(&part, (struct weir_slice){ rest.ptr, len }, input->flags);
        if (part.result != WEIR_PARSE_MORE || len == rest.len)
            break;
        const size_t step = cut(CUTS_RANDOM, &seed);
        len = rest.len - len < step ? rest.len : len + step;
    }
    DEMAND(whole.result == part.result);
    if (whole.result == WEIR_PARSE_ERROR)
        DEMAND(whole.err.code == part.err.code && whole.err.offset == part.err.offset);
    if (whole.result == WEIR_PARSE_DONE) {
        DEMAND(whole.bytes == part.bytes && whole.count == part.count);
        DEMAND(memcmp(whole.fields, part.fields, whole.count * sizeof *whole.fields) == 0);
    }

    dropping.flags &= ~WEIR_HTTP1_BODY_STOP_AT_TRAILERS;
    run_body(&dropped, &dropping, CUTS_NONE);
    if (whole.result == WEIR_PARSE_DONE && whole.count <= WEIR_HTTP1_TRAILERS_MAX) {
        DEMAND(dropped.result == WEIR_PARSE_DONE);
        DEMAND(dropped.at == stopped->at + whole.bytes);
    }
    /* The other way round only what must not be in trailers makes a difference. */
    if (dropped.result == WEIR_PARSE_DONE && whole.result == WEIR_PARSE_ERROR)
        DEMAND(whole.err.code == WEIR_HTTP1_E_TRAILER ||
               whole.err.code == WEIR_HTTP1_E_HEAD_TOO_LONG);
    free(dropped.payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const struct input input = {
        .bytes = { data + 3, size - 3 },
        .framing = (enum weir_http1_framing)(data[0] % 4),
        .length = data[0] / 4,
        .flags = ((data[2] & 1) != 0 ? WEIR_HTTP1_LENIENT_CHUNK_BLANKS : 0) |
                 ((data[2] & 2) != 0 ? WEIR_HTTP1_LENIENT_CHUNK_BARE_LF : 0) |
                 ((data[2] & 4) != 0 ? WEIR_HTTP1_BODY_STOP_AT_TRAILERS : 0),
        .seed = data[1] * 0x9e3779b9u,
    };
    struct run whole, bytes, pieces;
    run_body(&whole, &input, CUTS_NONE);
    run_body(&bytes, &input, CUTS_BYTES);
    run_body(&pieces, &input, CUTS_RANDOM);
    demand_same(&whole, &bytes);
    demand_same(&whole, &pieces);
    if ((data[2] & 4) != 0 && input.framing == WEIR_HTTP1_BODY_CHUNKED &&
        whole.result == WEIR_PARSE_DONE)
        check_trailers(&input, &whole);
    free(whole.payload);
    free(bytes.payload);
    free(pieces.payload);
    return 0;
}
