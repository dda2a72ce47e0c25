/* SPDX-License-Identifier: MIT */
/*
 * Bodies at random: whole, byte by byte and in random pieces they must come to the same. Byte by
 * byte no chunk is ever whole, so that run is the automaton alone and judges the other two.
 */
#include "unit/proto/codec/parse_rig.h"

#define SEED         0x5eed0b0d1e5ULL
#define BODIES_COUNT 20000
#define CUTS_COUNT   4

struct generator {
    uint64_t state;
};

/* xorshift64*: the same numbers on every machine. */
static uint32_t draw(struct generator *g, uint32_t below)
{
    g->state ^= g->state >> 12;
    g->state ^= g->state << 25;
    g->state ^= g->state >> 27;
    return (uint32_t)((g->state * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

struct text {
    uint8_t bytes[8192];
    size_t len;
};

static void put(struct text *t, const char *bytes)
{
    size_t len = strlen(bytes);
    assert_true(len <= sizeof t->bytes - t->len);
    memcpy(t->bytes + t->len, bytes, len);
    t->len += len;
}

static void put_chunk(struct text *t, struct generator *g)
{
    static const char *const extensions[] = { ";a", ";a=b", " ; a=\"\\\"\"", ";x=y;z" };
    static const char *const formats[] = { "%x", "%X", "%04x", "%013x", "%016x" };
    const unsigned size = draw(g, 4) != 0 ? 1 + draw(g, 20) : 1 + draw(g, 400);
    const char *format = formats[draw(g, 4) != 0 ? 0 : draw(g, 5)];
    char line[32];
    snprintf(line, sizeof line, format, size);
    put(t, line);
    if (draw(g, 8) == 0)
        put(t, extensions[draw(g, 4)]);
    put(t, draw(g, 64) == 0 ? "\n" : "\r\n");
    for (unsigned i = 0; i < size; i++)
        t->bytes[t->len++] = (uint8_t)("\r\n0123456789abcdef;"[draw(g, 19)]);
    put(t, draw(g, 64) == 0 ? "\n" : "\r\n");
}

/* A few chunks, mostly good ones; one byte in every other body is changed, lost or doubled. */
static void compose(struct text *t, struct generator *g)
{
    static const char alphabet[] = "\r\n 0af9gx;=\":,\t\x80\x7f";
    t->len = 0;
    for (unsigned chunks = draw(g, 12); chunks != 0; chunks--)
        put_chunk(t, g);
    put(t, draw(g, 4) != 0 ? "0\r\n" : "00;a=b\r\n");
    for (unsigned trailers = draw(g, 3); trailers != 0; trailers--)
        put(t, "Name: value\r\n");
    put(t, "\r\nGET / HTTP/1.1\r\n");
    if (draw(g, 2) == 0)
        return;
    const size_t at = draw(g, (uint32_t)t->len);
    switch (draw(g, 3)) {
    case 0:
        t->bytes[at] = (uint8_t)alphabet[draw(g, sizeof alphabet - 1)];
        break;
    case 1:
        memmove(t->bytes + at, t->bytes + at + 1, t->len - at - 1);
        t->len--;
        break;
    default:
        memmove(t->bytes + at + 1, t->bytes + at, t->len - at);
        t->len++;
        break;
    }
}

static void run_random_cuts(struct rig_body_outcome *out, const struct rig_body_input *input,
                            struct generator *g)
{
    struct weir_http1_body body;
    const uint32_t longest = draw(g, 2) != 0 ? 12 : 300;
    size_t at = 0;
    rig_body_begin(out, &body, input);
    while (at < input->bytes.len && out->result == WEIR_PARSE_MORE) {
        size_t len = draw(g, longest + 1);
        if (len > input->bytes.len - at)
            len = input->bytes.len - at;
        rig_body_piece(out, &body, (struct weir_slice){ .ptr = input->bytes.ptr + at, .len = len });
        at += len;
    }
}

static void test_random_cuts(void **state)
{
    static const uint32_t flags[] = { 0,
                                      0,
                                      0,
                                      WEIR_HTTP1_LENIENT_CHUNK_BLANKS,
                                      WEIR_HTTP1_LENIENT_CHUNK_BARE_LF,
                                      WEIR_HTTP1_LENIENT_ALL,
                                      WEIR_HTTP1_BODY_STOP_AT_TRAILERS };
    static struct rig_body_outcome bytes, part;
    static struct text text;
    struct generator g = { .state = SEED };
    unsigned done = 0, refused = 0;
    (void)state;
    printf("seed 0x%llx, %d bodies\n", (unsigned long long)SEED, BODIES_COUNT);
    for (unsigned i = 0; i < BODIES_COUNT; i++) {
        compose(&text, &g);
        const struct rig_body_input input = {
            .bytes = { text.bytes, text.len },
            .framing = WEIR_HTTP1_BODY_CHUNKED,
            .flags = flags[draw(&g, sizeof flags / sizeof *flags)],
        };
        rig_body_pieces(&bytes, &input, 1, 1);
        rig_body_pieces(&part, &input, text.len, text.len);
        rig_body_demand(&bytes, &part, &input, text.len);
        for (unsigned cut = 0; cut < CUTS_COUNT; cut++) {
            run_random_cuts(&part, &input, &g);
            rig_body_demand(&bytes, &part, &input, cut);
        }
        done += bytes.result == WEIR_PARSE_DONE;
        refused += bytes.result == WEIR_PARSE_ERROR;
    }
    /* Both kinds must be there in numbers, or the test would say little. */
    printf("%u ended, %u refused\n", done, refused);
    assert_in_range(done, BODIES_COUNT / 5, BODIES_COUNT);
    assert_in_range(refused, BODIES_COUNT / 5, BODIES_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_cuts) };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
