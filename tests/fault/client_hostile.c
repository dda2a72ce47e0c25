/* SPDX-License-Identifier: MIT */
/*
 * Servers that break off at every byte, in every way, or answer what nobody asked: each call ends
 * exactly once, with the right error, and never well with what does not belong to it.
 */
#include "fault/hostile.h"

#define SLACK (2 * MIB)

static struct hostile server;
static struct weir_client *client;
static struct ask asks[2];

/* What the server does to request 0; all others are answered properly. */
static struct {
    const char *bytes;
    size_t len;      /* of them, that are sent */
    uint64_t good;   /* requests of its connection that are answered well before */
    uint64_t in_max; /* of the request, that are read; then it ends */
    bool by_bytes;   /* each in its own segment */
    bool later;      /* the end comes in a turn of its own */
    enum hostile_end end;
} plan;

/* ---- The server -------------------------------------------------------------------------- */

enum { USER_STATE, USER_AT };
enum { STATE_NONE, STATE_SENDING, STATE_ENDING, STATE_DONE };

static void plan_end(struct hostile_conn *c)
{
    c->user[USER_STATE] = STATE_DONE;
    c->then = plan.end;
}

static void server_step(struct hostile_conn *c)
{
    if (c->user[USER_STATE] == STATE_ENDING) {
        plan_end(c);
    } else if (c->user[USER_STATE] == STATE_SENDING && c->out_len == 0) {
        size_t left = plan.len - c->user[USER_AT];
        size_t n = plan.by_bytes && left > 1 ? 1 : left;
        hostile_put(c, plan.bytes + c->user[USER_AT], n);
        c->user[USER_AT] += n;
        if (n < left)
            return;
        c->user[USER_STATE] = STATE_ENDING;
        if (!plan.later)
            plan_end(c);
    }
}

static void server_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (hostile_request(c, &id)) {
        if (id != 0 || c->requests <= plan.good)
            hostile_answer(c, id, false);
        else
            c->user[USER_STATE] = STATE_SENDING;
    }
    if (c->in_max != UINT64_MAX && c->in_bytes == c->in_max)
        c->then = plan.end;
}

static void server_accept(struct hostile_conn *c)
{
    if (c->serial > 0 || plan.in_max == UINT64_MAX)
        return;
    c->in_max = plan.in_max;
    if (plan.in_max == 0)
        c->then = plan.end;
}

static void begin(uint32_t conns_max, uint64_t timeout_ns)
{
    static const struct hostile_script script = { .on_bytes = server_bytes,
                                                  .on_accept = server_accept,
                                                  .on_step = server_step };
    struct weir_client_config cfg;
    memset(&plan, 0, sizeof plan);
    plan.in_max = UINT64_MAX;
    hostile_open(&server, &script);
    engine_open(&rig.engine);
    hostile_client_config(&cfg, &server);
    cfg.conns_max = conns_max;
    cfg.timeout_ns = timeout_ns;
    client = hostile_client(&cfg);
}

/* Whatever connections there are: the next test has its own. */
static void forget(void)
{
    for (size_t i = 0; i < HOSTILE_CONNS; i++)
        if (server.conns[i].fd >= 0)
            hostile_drop(&server.conns[i], false);
    HOSTILE_UNTIL(&server, client_stats(client).conns_now == 0);
    server.accepted = 0;
}

static struct ask *call(unsigned id)
{
    struct ask *a = &asks[id];
    ask_init(a, id);
    ask_send(client, a);
    HOSTILE_UNTIL(&server, a->ends > 0);
    return a;
}

/* It ended with `err`, and what it has is a part of the answer. */
static void ended_with(const struct ask *a, int err, const char *what, size_t at)
{
    assert_int_equal(a->ends, 1);
    if (a->err != err)
        fail_msg("%s, broken at %zu: %s, expected %s", what, at, weir_err_name(a->err),
                 weir_err_name(err));
    if (memcmp(a->got, "answer 0", a->got_bytes < 8 ? a->got_bytes : 8) != 0 || a->got_bytes > 8)
        fail_msg("%s, broken at %zu: got \"%s\"", what, at, a->got);
}

/* ---- At every byte of a response --------------------------------------------------------- */

struct answer {
    const char *what;
    const char *bytes;
    bool until_end; /* the body ends with the connection */
};

static const struct answer answers[] = {
    { "length", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nanswer 0", false },
    { "chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nans\r\n5\r\nwer 0\r\n0\r\nT: "
      "x\r\n\r\n",
      false },
    { "until the end", "HTTP/1.1 200 OK\r\n\r\nanswer 0", true },
    { "interim",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nanswer 0", false },
};
#define ANSWERS (sizeof answers / sizeof answers[0])

static int expected(const struct answer *r, size_t at, enum hostile_end end)
{
    size_t len = strlen(r->bytes);
    size_t head = (size_t)(strstr(r->bytes, "\r\n\r\n") - r->bytes) + 4;
    if (!r->until_end && at == len)
        return 0;
    if (r->until_end && at >= head && end == HOSTILE_FIN)
        return 0; /* as much as there was */
    if (end == HOSTILE_RESET)
        return -ECONNRESET;
    return at == 0 ? WEIR_E_CLOSED : WEIR_E_TRUNCATED;
}

static void broken_at(const struct answer *r, size_t at, enum hostile_end end)
{
    plan.bytes = r->bytes;
    plan.len = at;
    plan.end = end;
    plan.good = 0;
    const struct ask *a = call(0);
    ended_with(a, expected(r, at, end), r->what, at);
    assert_false(a->call.timing.replayed);
    if (a->err == 0 && !r->until_end)
        ask_right(a);
    forget();
}

static void every_byte(bool later, bool by_bytes)
{
    begin(1, 0);
    plan.later = later;
    plan.by_bytes = by_bytes;
    for (size_t i = 0; i < ANSWERS; i++)
        for (size_t at = 0; at <= strlen(answers[i].bytes); at++) {
            broken_at(&answers[i], at, HOSTILE_FIN);
            broken_at(&answers[i], at, HOSTILE_RESET);
        }
    hostile_end(&server, client, SLACK);
}

static void test_every_byte(void **state)
{
    (void)state;
    every_byte(false, false);
}

static void test_every_byte_later(void **state)
{
    (void)state;
    every_byte(true, false);
}

static void test_whole_by_bytes(void **state)
{
    (void)state;
    begin(1, 0);
    plan.by_bytes = plan.later = true;
    for (size_t i = 0; i < ANSWERS; i++)
        broken_at(&answers[i], strlen(answers[i].bytes), HOSTILE_FIN);
    hostile_end(&server, client, SLACK);
}

/* On a connection that was used before: sent again when no byte had come, and only when that is
 * safe. */
static void reused(const char *method, bool idempotent)
{
    const struct answer *r = &answers[0];
    begin(2, 0);
    for (size_t at = 0; at < 12; at++)
        for (int end = HOSTILE_FIN; end <= HOSTILE_RESET; end++) {
            plan.bytes = r->bytes;
            plan.len = at;
            plan.end = (enum hostile_end)end;
            plan.later = at % 2 != 0;
            plan.good = UINT64_MAX;
            ask_right(call(0));
            plan.good = 1;
            struct ask *a = &asks[0];
            ask_init(a, 0);
            a->call.request.method = (struct weir_slice){ (const uint8_t *)method, strlen(method) };
            a->call.request.body_always = method[0] == 'P';
            ask_send(client, a);
            HOSTILE_UNTIL(&server, a->ends > 0);
            bool again = at == 0 && idempotent;
            assert_int_equal(a->call.timing.replayed, again);
            assert_int_equal(a->call.timing.reused, !again);
            if (again)
                ask_right(a);
            else if (end == HOSTILE_CLOSE) /* all was read: as FIN */
                ended_with(a, expected(r, at, HOSTILE_FIN), method, at);
            else
                ended_with(a, expected(r, at, (enum hostile_end)end), method, at);
            forget();
        }
    hostile_end(&server, client, SLACK);
}

static void test_reused(void **state)
{
    (void)state;
    reused("GET", true);
    rig_setup(NULL);
    reused("PUT", true);
}

static void test_reused_unsafe(void **state)
{
    (void)state;
    reused("POST", false);
    rig_setup(NULL);
    reused("PATCH", false);
}

/* ---- At every byte of a request ---------------------------------------------------------- */

static bool is_end(int err)
{
    return err == WEIR_E_CLOSED || err == -ECONNRESET || err == -EPIPE;
}

static void request_broken_at(uint64_t at, enum hostile_end end, uint64_t body_bytes)
{
    struct ask *a = &asks[0];
    plan.in_max = at;
    plan.end = end;
    ask_init(a, 0);
    if (body_bytes > 0) {
        a->call.request.method = WEIR_TEXT("POST");
        a->call.request.body = (struct weir_slice){ pattern, body_bytes };
    }
    ask_send(client, a);
    HOSTILE_UNTIL(&server, a->ends > 0);
    assert_int_equal(a->ends, 1);
    if (!is_end(a->err))
        fail_msg("the server ends after %" PRIu64 " bytes: %s", at, weir_err_name(a->err));
    assert_int_equal(a->heads, 0);
    plan.in_max = UINT64_MAX;
    forget();
}

static void test_request(void **state)
{
    (void)state;
    begin(1, 0);
    const uint64_t bytes = strlen("GET /0 HTTP/1.1\r\nHost: 127.0.0.1:12345\r\n\r\n");
    for (uint64_t at = 0; at < bytes; at++)
        for (int end = HOSTILE_FIN; end <= HOSTILE_RESET; end++)
            request_broken_at(at, (enum hostile_end)end, 0);
    hostile_end(&server, client, SLACK);
}

/* A body that no socket takes whole: it is on its way when the end comes. */
static void test_request_body(void **state)
{
    (void)state;
    begin(1, 0);
    for (uint64_t at = 0; at < HOSTILE_IN_BYTES - 2; at += 211)
        for (int end = HOSTILE_FIN; end <= HOSTILE_RESET; end++)
            request_broken_at(at, (enum hostile_end)end, PATTERN_BYTES);
    hostile_end(&server, client, SLACK);
}

/* ---- What is no answer, and what is too much --------------------------------------------- */

#define OK8    "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nanswer 0"
#define WRONG  "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nanswer 9"
#define I10(x) x x x x x x x x x x

struct wrong {
    const char *bytes;
    int err;
    enum hostile_end end;
};

static const struct wrong wrongs[] = {
    { "garbage\r\n\r\n", WEIR_E_PROTOCOL, HOSTILE_KEEP },
    { "HTTP/1.1 20 OK\r\n\r\n", WEIR_E_PROTOCOL, HOSTILE_KEEP },
    { "HTTP/2.0 200 OK\r\n\r\n", WEIR_E_PROTOCOL, HOSTILE_KEEP },
    { "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", WEIR_E_PROTOCOL,
      HOSTILE_KEEP },
    { I10(I10("HTTP/1.1 100 C\r\n\r\n")) OK8, WEIR_E_PROTOCOL, HOSTILE_KEEP },
    { "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Length: 9\r\n\r\nanswer 0", WEIR_E_PROTOCOL,
      HOSTILE_KEEP },
    { "HTTP/1.1 200 OK\r\nContent-Length: -8\r\n\r\nanswer 0", WEIR_E_PROTOCOL, HOSTILE_KEEP },
    { "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\nanswer 0",
      WEIR_E_PROTOCOL, HOSTILE_KEEP },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", WEIR_E_PROTOCOL, HOSTILE_KEEP },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nanswer", WEIR_E_PROTOCOL,
      HOSTILE_KEEP },
    { "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", WEIR_E_PROTOCOL, HOSTILE_KEEP },
    /* shorter and longer than it says */
    { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nanswer 0", WEIR_E_TRUNCATED, HOSTILE_FIN },
    { "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nanswer 0and more", 0, HOSTILE_KEEP },
    { "HTTP/1.1 204 No Content\r\n\r\nanswer 0", 0, HOSTILE_KEEP },
    { "HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\nanswer 0", 0, HOSTILE_KEEP },
    /* twice, and one that is for nobody */
    { OK8 WRONG, 0, HOSTILE_KEEP },
    { OK8 "HTTP/1.1 100 Continue\r\n\r\n", 0, HOSTILE_KEEP },
    { OK8 "\r\n", 0, HOSTILE_KEEP },
    { OK8 "H", 0, HOSTILE_KEEP },
    { "HTTP/1.1 100 Continue\r\n\r\n", WEIR_E_TRUNCATED, HOSTILE_FIN },
    { "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nanswer 0" WRONG, 0,
      HOSTILE_KEEP },
};

/* One after the other on a connection that could be kept: the second must get its own answer,
 * wherever the first one's came in its bits. */
static void wrong_once(const struct wrong *w, bool by_bytes)
{
    plan.bytes = w->bytes;
    plan.len = strlen(w->bytes);
    plan.end = w->end;
    plan.by_bytes = by_bytes;
    for (unsigned id = 0; id < 2; id++) {
        ask_init(&asks[id], id);
        ask_send(client, &asks[id]);
    }
    HOSTILE_UNTIL(&server, asks[0].ends > 0 && asks[1].ends > 0);
    if (asks[0].err != w->err)
        fail_msg("\"%s\": %s, expected %s", w->bytes, weir_err_name(asks[0].err),
                 weir_err_name(w->err));
    if (w->err == 0 && asks[0].call.status == 200)
        ask_right(&asks[0]);
    assert_true(w->err != 0 || asks[0].call.status == 200 || asks[0].got_bytes == 0);
    ask_right(&asks[1]);
    assert_int_equal(server.accepted, 2);
    forget();
}

static void test_wrong(void **state)
{
    (void)state;
    begin(1, 0);
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++)
        wrong_once(&wrongs[i], false);
    hostile_end(&server, client, SLACK);
}

static void test_wrong_by_bytes(void **state)
{
    (void)state;
    begin(1, 0);
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++)
        if (wrongs[i].err != 0) /* else what comes late cannot be told from the next answer */
            wrong_once(&wrongs[i], true);
    hostile_end(&server, client, SLACK);
}

/* A head without an end. */
static void test_long_head(void **state)
{
    (void)state;
    static char head[] = "HTTP/1.1 200 OK\r\nX: ";
    begin(1, 0);
    plan.bytes = head;
    plan.len = strlen(head);
    plan.end = HOSTILE_KEEP;
    plan.good = 0;
    ask_init(&asks[0], 0);
    ask_send(client, &asks[0]);
    HOSTILE_UNTIL(&server, server.requests == 1);
    struct hostile_conn *c = &server.conns[0];
    c->flow_bytes = 256U * PATTERN_BYTES; /* printable, and no line among it ends */
    HOSTILE_UNTIL(&server, asks[0].ends > 0);
    assert_int_equal(asks[0].err, WEIR_E_LIMIT);
    assert_in_range(c->flow_at, 1, 8 * PATTERN_BYTES); /* as much as sockets hold */
    forget();
    ask_right(call(1));
    hostile_end(&server, client, SLACK);
}

/* On a connection that is unused nothing is expected: it is dropped, and what came is nobody's. */
static void test_unasked(void **state)
{
    (void)state;
    static const char *const texts[] = { WRONG, "x", "\r\n", "HTTP/1.1 408 Timeout\r\n\r\n",
                                         "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" };
    begin(1, 0);
    plan.good = UINT64_MAX;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ask_right(call(0));
        assert_int_equal(client_stats(client).idle_now, 1);
        hostile_put(&server.conns[0], texts[i], strlen(texts[i]));
        HOSTILE_UNTIL(&server, client_stats(client).conns_now == 0);
        ask_right(call(1));
        forget();
    }
    hostile_end(&server, client, SLACK);
}

/* ---- Early, late, half, never ------------------------------------------------------------ */

/* Before anything was asked: taken for the answer to the first request or refused, but never for
 * the answer to another. */
static void early_accept(struct hostile_conn *c)
{
    if (c->serial == 0)
        hostile_put(c, OK8, strlen(OK8));
}

static void early_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (hostile_request(c, &id))
        if (id != 0)
            hostile_answer(c, id, false);
}

static void test_early(void **state)
{
    (void)state;
    unsigned good = 0;
    for (unsigned turn_count = 0; turn_count < 50; turn_count++) {
        rig_setup(NULL);
        begin(1, 0);
        server.script =
            (struct hostile_script){ .on_accept = early_accept, .on_bytes = early_bytes };
        for (unsigned id = 0; id < 2; id++) {
            ask_init(&asks[id], id);
            ask_send(client, &asks[id]);
        }
        if (turn_count % 2 == 0) /* the answer is there before the client has a look */
            for (unsigned i = 0; i < turn_count; i++)
                hostile_step(&server);
        HOSTILE_UNTIL(&server, asks[0].ends > 0 && asks[1].ends > 0);
        if (asks[0].err == 0)
            ask_right(&asks[0]);
        else
            assert_true(asks[0].err == WEIR_E_PROTOCOL || asks[0].err == WEIR_E_CLOSED);
        good += asks[0].err == 0;
        ask_right(&asks[1]);
        hostile_end(&server, client, SLACK);
    }
    print_message("%u of 50 answers that came before their request were taken\n", good);
}

/* The status is there before the body was sent: it is told, then the connection goes. */
static enum hostile_end early_end;

static void early_status_bytes(struct hostile_conn *c)
{
    if (c->requests++ > 0) {
        c->in_len = 0;
        return;
    }
    hostile_say(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    c->then = early_end;
    c->in_len = 0;
}

static void early_status(enum hostile_end end)
{
    unsigned told = 0;
    begin(1, 0);
    early_end = end;
    server.script = (struct hostile_script){ .on_bytes = early_status_bytes };
    for (unsigned i = 0; i < 20; i++) {
        struct ask *a = &asks[0];
        ask_init(a, 0);
        a->call.request.method = WEIR_TEXT("POST");
        a->call.request.body = (struct weir_slice){ pattern, PATTERN_BYTES };
        ask_send(client, a);
        HOSTILE_UNTIL(&server, a->ends > 0);
        assert_int_equal(a->ends, 1);
        told += a->err == 0;
        if (a->err == 0)
            assert_int_equal(a->call.status, 413);
        else
            assert_true(is_end(a->err) || a->err == WEIR_E_TRUNCATED);
        forget();
    }
    print_message("%u of 20 early answers told\n", told);
    /* A reset may overtake the answer; who reads on until we have ended does not send one. */
    assert_true(end != HOSTILE_FIN || told == 20);
    hostile_end(&server, client, SLACK);
}

static void test_early_status(void **state)
{
    (void)state;
    early_status(HOSTILE_FIN);
    rig_setup(NULL);
    early_status(HOSTILE_CLOSE);
}

#define LATE_MS 30

static bool late_whole;

static void late_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (hostile_request(c, &id)) {
        if (id != 0) {
            hostile_answer(c, id, false);
            continue;
        }
        if (!late_whole)
            hostile_put(c, OK8, strlen(OK8) - 4);
        c->due_ns = weir_clock_ns() + 2 * LATE_MS * MS;
    }
}

static void late_step(struct hostile_conn *c)
{
    if (c->due_ns == 0 || weir_clock_ns() < c->due_ns)
        return;
    c->due_ns = 0;
    if (late_whole)
        hostile_put(c, OK8, strlen(OK8));
    else
        hostile_put(c, "er 0", 4);
}

/* What comes after the deadline is nobody's, and its connection serves on. */
static void late(bool whole)
{
    begin(1, LATE_MS * MS);
    late_whole = whole;
    server.script = (struct hostile_script){ .on_bytes = late_bytes, .on_step = late_step };
    for (unsigned i = 0; i < 5; i++) {
        const struct ask *a = call(0);
        assert_int_equal(a->err, WEIR_E_DEADLINE);
        uint64_t took_ns = a->call.timing.end_ns - a->call.timing.start_ns;
        assert_in_range(took_ns, LATE_MS * MS, (LATE_MS + 20) * MS * (SANITIZED ? 10 : 1));
        HOSTILE_UNTIL(&server, client_stats(client).drained == i + 1);
        ask_right(call(1));
    }
    assert_int_equal(client_stats(client).drained, 5);
    assert_int_equal(client_stats(client).conns, 1);
    hostile_end(&server, client, SLACK);
}

static void test_late(void **state)
{
    (void)state;
    late(true);
}

static void test_half(void **state)
{
    (void)state;
    late(false);
}

static void never_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (hostile_request(c, &id))
        if (id != 0)
            hostile_answer(c, id, false);
}

/* The connection is not waited for: not at all by a call that needs its place, else a second. */
static void test_never(void **state)
{
    (void)state;
    begin(1, LATE_MS * MS);
    server.script = (struct hostile_script){ .on_bytes = never_bytes };
    assert_int_equal(call(0)->err, WEIR_E_DEADLINE);
    uint64_t began_ns = weir_clock_ns();
    ask_init(&asks[1], 1);
    asks[1].call.deadline_ns = began_ns + 10000 * MS;
    ask_send(client, &asks[1]);
    HOSTILE_UNTIL(&server, asks[1].ends > 0);
    ask_right(&asks[1]);
    assert_in_range(weir_clock_ns() - began_ns, 0, 500 * MS * (SANITIZED ? 4 : 1));
    assert_int_equal(call(0)->err, WEIR_E_DEADLINE);
    began_ns = weir_clock_ns();
    HOSTILE_UNTIL(&server, client_stats(client).conns_now == 0);
    assert_in_range(weir_clock_ns() - began_ns, 700 * MS, 1500 * MS * (SANITIZED ? 4 : 1));
    assert_int_equal(client_stats(client).conns, 2);
    assert_int_equal(client_stats(client).drained, 0);
    hostile_end(&server, client, SLACK);
}

static int fill(void **state)
{
    pattern_fill(state);
    for (size_t i = 0; i < sizeof pattern; i++)
        assert_in_range(pattern[i], ' ', '~');
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_byte, rig_setup),
        cmocka_unit_test_setup(test_every_byte_later, rig_setup),
        cmocka_unit_test_setup(test_whole_by_bytes, rig_setup),
        cmocka_unit_test_setup(test_reused, rig_setup),
        cmocka_unit_test_setup(test_reused_unsafe, rig_setup),
        cmocka_unit_test_setup(test_request, rig_setup),
        cmocka_unit_test_setup(test_request_body, rig_setup),
        cmocka_unit_test_setup(test_wrong, rig_setup),
        cmocka_unit_test_setup(test_wrong_by_bytes, rig_setup),
        cmocka_unit_test_setup(test_long_head, rig_setup),
        cmocka_unit_test_setup(test_unasked, rig_setup),
        cmocka_unit_test(test_early),
        cmocka_unit_test_setup(test_early_status, rig_setup),
        cmocka_unit_test_setup(test_late, rig_setup),
        cmocka_unit_test_setup(test_half, rig_setup),
        cmocka_unit_test_setup(test_never, rig_setup),
    };
    return cmocka_run_group_tests_name("client hostile", tests, fill, NULL);
}
