/* SPDX-License-Identifier: MIT */
/*
 * Peers that go in every phase of an exchange: with a reset, with a half-close, with a full close.
 * After each the books balance, nothing is open or in progress, and the next one is served as if
 * nothing had been. Between them others ask and are answered.
 */
#include "fault/rig.h"

#define PEERS 24
#define SLACK (1 * MIB)

#define POST_HEAD    "POST /sum HTTP/1.1\r\nHost: test\r\nContent-Length: 5000\r\n\r\n"
#define POST_CHUNKED "POST /sum HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ASK(target)  "GET " target " HTTP/1.1\r\nHost: test\r\n\r\n"

static struct peer peers[PEERS];

/*
 * A way to be under way: what is sent, and what the peer waits for before it goes. `requests`: what
 * the server's application sees of each. `answered`: how many of them it answers completely, that
 * is, hands to the kernel, before the peer goes.
 */
struct phase {
    const char *name;
    const char *text;
    const char *wait_for; /* to be received first; NULL = nothing */
    unsigned requests;
    unsigned answered;
    unsigned late;
};

static const struct phase phases[] = {
    { .name = "before the head", .text = "" },
    { .name = "after one byte of the head", .text = "G" },
    { .name = "inside the head", .text = "GET /sum HTTP/1.1\r\nHost: te" },
    { .name = "before the end of the head", .text = "GET /sum HTTP/1.1\r\nHost: test\r\n\r" },
    { .name = "after the head of a body", .text = POST_HEAD, .requests = 1 },
    { .name = "inside the body", .text = POST_HEAD "0123456789", .requests = 1 },
    { .name = "before the first chunk", .text = POST_CHUNKED, .requests = 1 },
    { .name = "inside a chunk's size", .text = POST_CHUNKED "1", .requests = 1 },
    { .name = "inside a chunk", .text = POST_CHUNKED "1000\r\n0123", .requests = 1 },
    { .name = "between two chunks", .text = POST_CHUNKED "4\r\n0123\r\n", .requests = 1 },
    { .name = "waiting for the answer", .text = ASK("/hold"), .requests = 1, .late = 1 },
    { .name = "inside a copied answer",
      .text = ASK("/copy?4000000"),
      .wait_for = "\r\n\r\n",
      .requests = 1 },
    { .name = "inside a borrowed answer",
      .text = ASK("/borrow?4000000"),
      .wait_for = "\r\n\r\n",
      .requests = 1 },
    { .name = "inside a streamed answer",
      .text = ASK("/stream?4000000"),
      .wait_for = "\r\n\r\n",
      .requests = 1 },
    { .name = "between two requests",
      .text = GET_SUM,
      .wait_for = SUM_OF_NOTHING,
      .requests = 1,
      .answered = 1 },
    { .name = "inside the second head",
      .text = GET_SUM "GET /s",
      .wait_for = SUM_OF_NOTHING,
      .requests = 1,
      .answered = 1 },
    { .name = "inside a pipeline",
      .text = GET_SUM ASK("/hold") GET_SUM GET_SUM,
      .wait_for = SUM_OF_NOTHING,
      .requests = 4,
      .answered = 1,
      .late = 3 },
    { .name = "inside a pipeline, before its first answer",
      .text = ASK("/hold") GET_SUM POST_HEAD "012",
      .requests = 3,
      .late = 2 },
};
#define PHASES (sizeof phases / sizeof phases[0])

enum way { RESET, FULL_CLOSE };

/* All peers come to where the phase wants them. */
static void come(const struct phase *phase, size_t count)
{
    uint64_t conns = server_stats().conns + count;
    uint64_t requests = rig.requests + count * phase->requests;
    uint64_t bytes = engine_stats().recv_bytes + count * strlen(phase->text);
    for (size_t i = 0; i < count; i++) {
        peer_dial(&peers[i]);
        if (phase->text[0] != '\0')
            peer_send(&peers[i], phase->text);
    }
    RIG_UNTIL(server_stats().conns == conns && rig.requests == requests &&
              engine_stats().recv_bytes == bytes);
    for (size_t i = 0; phase->wait_for != NULL && i < count; i++)
        RIG_UNTIL(peer_has(&peers[i], phase->wait_for));
}

static void go_in_every_phase(enum way way)
{
    rig_serve();
    for (size_t i = 0; i < PHASES; i++) {
        const struct phase *phase = &phases[i];
        struct weir_server_stats before = server_stats();
        uint64_t broken = rig.broken;
        come(phase, PEERS);
        /* One after the other, with somebody else in between. */
        for (size_t k = 0; k < PEERS; k++) {
            peer_close(&peers[k], way == RESET);
            if (k % 8 == 0)
                rig_serves();
        }
        rig.release = way == FULL_CLOSE;
        rig_balanced();
        rig.release = false;
        struct weir_server_stats after = server_stats();
        unsigned others = (PEERS + 7) / 8;
        unsigned answered = phase->answered + (way == FULL_CLOSE ? phase->late : 0);
        if (rig.broken - broken != PEERS * (phase->requests - answered) ||
            after.responses - before.responses != PEERS * answered + others)
            fail_msg("%s: %" PRIu64 " ended with an error, %" PRIu64 " were answered", phase->name,
                     rig.broken - broken, after.responses - before.responses);
    }
    rig_end(SLACK);
}

static void test_reset(void **state)
{
    (void)state;
    go_in_every_phase(RESET);
}

static void test_full_close(void **state)
{
    (void)state;
    go_in_every_phase(FULL_CLOSE);
}

/* All phases at once, and all peers go in the same pass of the engine. */
static void test_all_at_once(void **state)
{
    (void)state;
    static struct peer crowd[PHASES * PEERS];
    rig_serve();
    for (unsigned round = 0; round < 3; round++) {
        uint64_t requests = rig.requests;
        for (size_t i = 0; i < PHASES * PEERS; i++) {
            const struct phase *phase = &phases[i % PHASES];
            requests += phase->requests;
            peer_dial(&crowd[i]);
            if (phase->text[0] != '\0')
                peer_send(&crowd[i], phase->text);
        }
        /* In one round they are all seen, in one some of them, in one none. */
        RIG_UNTIL(rig.requests >= requests * round / 2);
        for (size_t i = 0; i < PHASES * PEERS; i++)
            peer_close(&crowd[i], (i + round) % 3 != 0);
        rig_serves();
        rig.release = true;
        rig_balanced();
        rig.release = false;
    }
    rig_end(SLACK);
}

/* ---- Half-close --------------------------------------------------------------------------- */

/* The last answer says that it is the last, when the end was seen before it was given. */
static void without_close(char *text)
{
    static const char field[] = "Connection: close\r\n";
    char *at = strstr(text, field);
    if (at == NULL)
        return;
    char *rest = at + strlen(field);
    assert_null(strstr(rest, "HTTP/1.1"));
    memmove(at, rest, strlen(rest) + 1);
}

/* A request, and the end: it is answered, then the server closes, too. */
static void half_close(const char *text, const char *answer)
{
    for (size_t i = 0; i < PEERS; i++) {
        peer_dial(&peers[i]);
        if (text[0] != '\0')
            peer_send(&peers[i], text);
        assert_int_equal(shutdown(peers[i].fd, SHUT_WR), 0);
    }
    for (size_t i = 0; i < PEERS; i++) {
        RIG_UNTIL(peer_take(&peers[i]));
        assert_false(peers[i].reset);
        without_close(peers[i].text);
        assert_string_equal(peers[i].text, answer);
        peer_close(&peers[i], false);
    }
    rig_balanced();
    rig_serves();
}

static void test_half_close(void **state)
{
    (void)state;
    rig.wait_ns = 20 * MS;
    rig_serve();
    half_close(GET_SUM, SUM_ANSWER);
    half_close(GET_SUM GET_SUM, SUM_ANSWER SUM_ANSWER);
    /* Answered after the end was seen. */
    half_close(ASK("/wait"), SUM_ANSWER);
    half_close(ASK("/wait") GET_SUM, SUM_ANSWER SUM_ANSWER);
    half_close("POST /sum HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n", SUM_ANSWER);
    assert_int_equal(rig.broken, 0);
    half_close("", "");
    assert_int_equal(rig.broken, 0);
    rig_end(SLACK);
}

/* The end inside a head or a body: what is complete is answered, and the rest never can be. */
static void test_half_close_too_early(void **state)
{
    (void)state;
    static const char *const texts[] = { "G",
                                         "GET /sum HTTP/1.1\r\nHost: te",
                                         POST_HEAD,
                                         POST_HEAD "0123",
                                         POST_CHUNKED,
                                         POST_CHUNKED "4\r\n0123\r\n",
                                         POST_CHUNKED "4\r\n01" };
    rig_serve();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct peer *p = &peers[0];
        uint64_t requests = rig.requests;
        uint64_t broken = rig.broken;
        peer_dial(p);
        peer_send(p, texts[i]);
        assert_int_equal(shutdown(p->fd, SHUT_WR), 0);
        RIG_UNTIL(peer_take(p));
        /* Nothing, or that it was a bad request; never an answer of the application. */
        assert_null(strstr(p->text, "200"));
        peer_close(p, false);
        rig_balanced();
        /* A request that was begun has ended, with an error. */
        assert_int_equal(rig.broken - broken, rig.requests - requests);
        assert_int_equal(rig.requests - requests, i >= 2);
        rig_serves();
    }
    rig_balanced();
    rig_end(SLACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reset, rig_setup),
        cmocka_unit_test_setup(test_full_close, rig_setup),
        cmocka_unit_test_setup(test_all_at_once, rig_setup),
        cmocka_unit_test_setup(test_half_close, rig_setup),
        cmocka_unit_test_setup(test_half_close_too_early, rig_setup),
    };
    return cmocka_run_group_tests_name("peers gone", tests, pattern_fill, NULL);
}
