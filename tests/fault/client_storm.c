/* SPDX-License-Identifier: MIT */
/*
 * Calls that end before their time, by the hundred thousand: deadlines that no answer meets, calls
 * given up in whatever state they happen to be in, and all outcomes mixed. Every callback comes
 * exactly once, all gauges go back to zero, nothing of the system's is left.
 */
#include "fault/hostile.h"

#define STORM_CALLS (SANITIZED ? 10000 : 100000)
#define AT_ONCE     1000
#define MIXED_CALLS (SANITIZED ? 10000 : 100000)
#define MIXED       200
#define SLACK       (2 * MIB)

static struct hostile server;
static struct ask asks[AT_ONCE];
static struct weir_client *client;
static uint64_t random_state;
static unsigned next_id, ended_count, calls_count;
static unsigned by_err[6]; /* none, deadline, cancelled, connection, connect, other */

static uint64_t below(uint64_t n)
{
    return hostile_random(&random_state) % n;
}

static unsigned err_class(int err)
{
    switch (err) {
    case 0:
        return 0;
    case WEIR_E_DEADLINE:
        return 1;
    case WEIR_E_CANCELLED:
        return 2;
    case WEIR_E_CLOSED:
    case WEIR_E_TRUNCATED:
    case WEIR_E_PROTOCOL:
    case -ECONNRESET:
    case -EPIPE:
        return 3;
    case WEIR_E_CONNECT:
    case WEIR_E_CONNECT_TIMEOUT:
    case WEIR_E_RESOLVE:
    case WEIR_E_TLS:
        return 4;
    default:
        return 5;
    }
}

static void classes_print(const char *what)
{
    print_message("%s: %u well, %u late, %u cancelled, %u broken, %u not connected\n", what,
                  by_err[0], by_err[1], by_err[2], by_err[3], by_err[4]);
    assert_int_equal(by_err[5], 0);
}

static void begin(const struct hostile_script *script, struct weir_client_config *cfg)
{
    next_id = ended_count = 0;
    memset(by_err, 0, sizeof by_err);
    memset(asks, 0, sizeof asks);
    hostile_open(&server, script);
    engine_open(&rig.engine);
    hostile_client_config(cfg, &server);
}

/* ---- Deadlines --------------------------------------------------------------------------- */

static uint64_t answer_after_ns; /* 0: never */
static uint64_t late_ns[STORM_CALLS];

static void slow_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (hostile_request(c, &id)) {
        c->user[0] = id;
        c->due_ns = answer_after_ns == 0 ? 0 : weir_clock_ns() + answer_after_ns;
    }
}

static void slow_step(struct hostile_conn *c)
{
    if (c->due_ns == 0 || weir_clock_ns() < c->due_ns)
        return;
    c->due_ns = 0;
    hostile_answer(c, (unsigned)c->user[0], false);
}

static void storm_ended(struct ask *a)
{
    by_err[err_class(a->err)]++;
    assert_true(a->err == 0 || a->err == WEIR_E_DEADLINE);
    if (a->err == 0)
        ask_right(a);
    else
        assert_true(a->call.timing.end_ns >= a->call.deadline_ns);
    late_ns[ended_count++] = weir_clock_ns() - a->call.deadline_ns;
    if (a->err == 0)
        late_ns[ended_count - 1] = 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void storm(uint64_t after_ns, uint32_t pipeline_max)
{
    static const struct hostile_script script = { .on_bytes = slow_bytes, .on_step = slow_step };
    struct weir_client_config cfg;
    answer_after_ns = after_ns;
    calls_count = STORM_CALLS / 2;
    begin(&script, &cfg);
    cfg.conns_max = 64;
    cfg.pipeline_max = pipeline_max;
    client = hostile_client(&cfg);
    while (ended_count < calls_count) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            ask_init(&asks[i], next_id++);
            asks[i].ended = storm_ended;
            asks[i].call.deadline_ns = weir_clock_ns() + MS;
            ask_send(client, &asks[i]);
        }
        HOSTILE_UNTIL(&server, ended_count == next_id);
    }
    qsort(late_ns, ended_count, sizeof late_ns[0], compare);
    classes_print("1 ms for each call");
    print_message("late by %.3f ms in the middle, %.3f ms at 99 %%, %.3f ms at most\n",
                  (double)late_ns[ended_count / 2] / 1e6,
                  (double)late_ns[ended_count * 99 / 100] / 1e6,
                  (double)late_ns[ended_count - 1] / 1e6);
    /* Wide, for busy machines: what is looked for is time that nobody looked at. */
    assert_true(late_ns[ended_count / 2] < 20 * MS * (SANITIZED ? 10 : 1));
    assert_in_range(server.conns_most, 1, 128); /* those that are just closing included */
    struct weir_client_stats s = client_stats(client);
    print_message("%" PRIu64 " sent, %" PRIu64 " connections, %" PRIu64 " drained\n", s.sent,
                  s.conns, s.drained);
    hostile_end(&server, client, SLACK);
}

static void test_deadlines_late(void **state)
{
    (void)state;
    storm(5 * MS, 1);
}

static void test_deadlines_never(void **state)
{
    (void)state;
    storm(0, 1);
}

static void test_deadlines_pipelined(void **state)
{
    (void)state;
    storm(5 * MS, 8);
}

/* ---- Cancelling and all the rest --------------------------------------------------------- */

static bool strict; /* the server only answers well, be it late */

static void mixed_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (c->then == HOSTILE_KEEP && !c->shut && hostile_request(c, &id)) {
        uint64_t what = strict ? 0 : below(60);
        bool early = below(4) == 0;
        if (what < 56) {
            hostile_answer(c, id, below(20) == 0);
        } else if (what == 56) { /* half of it */
            hostile_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nanswer");
            c->then = early ? HOSTILE_RESET : HOSTILE_FIN;
        } else if (what == 57) {
            hostile_say(c, "nothing at all\r\n\r\n");
        } else if (what == 58) {
            c->then = early ? HOSTILE_RESET : HOSTILE_CLOSE;
        } else { /* for ever open */
            hostile_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        }
    }
}

static int64_t source_read(struct weir_call *call, uint8_t *out, size_t capacity)
{
    uint64_t what = below(10);
    (void)call;
    if (what == 0)
        return WEIR_SOURCE_END;
    if (what == 1 && !strict)
        return -EIO;
    if (what == 2)
        return 0;
    size_t n = (size_t)below(capacity < 700 ? capacity : 700) + 1;
    memset(out, 'x', n);
    return (int64_t)n;
}

static int source_rewind(struct weir_call *call)
{
    (void)call;
    return below(2) == 0 ? 0 : -ESPIPE;
}

static const struct weir_body_source source = { .read = source_read,
                                                .rewind = source_rewind,
                                                .bytes = WEIR_LENGTH_UNKNOWN };

static void mixed_start(struct ask *a);

static void mixed_ended(struct ask *a)
{
    ended_count++;
    unsigned class = err_class(a->err == -EIO ? 0 : a->err);
    by_err[class]++;
    if (class == 5)
        fail_msg("call %u: %s", a->id, weir_err_name(a->err));
    if (a->err == 0 && a->call.request.source == NULL)
        ask_right(a);
    mixed_start(a);
}

static void mixed_start(struct ask *a)
{
    if (next_id == calls_count)
        return;
    ask_init(a, next_id++);
    a->ended = mixed_ended;
    if (below(8) == 0) {
        a->call.request.method = WEIR_TEXT("POST");
        a->call.request.source = &source;
    } else if (below(8) == 0) {
        a->call.request.method = WEIR_TEXT("POST");
        a->call.request.body = (struct weir_slice){ pattern, 1 + (size_t)below(4000) };
    }
    a->call.deadline_ns = weir_clock_ns() + (1 + below(8)) * MS;
    ask_send(client, a);
}

/* Something happens to a call that is picked at random, whatever it is doing. */
static void poke(void)
{
    struct ask *a = &asks[below(MIXED)];
    if (a->ends > 0)
        return; /* the last ones: it is not sent any more */
    switch (below(6)) {
    case 0:
        weir_call_pause(&a->call);
        break;
    case 1:
    case 2:
        weir_call_resume(&a->call);
        break;
    case 3:
        weir_call_produce(&a->call);
        break;
    default:
        weir_call_cancel(&a->call);
        if (below(4) == 0)
            weir_call_cancel(&a->call);
        break;
    }
}

static void mixed(uint32_t pipeline_max, unsigned calls, uint32_t attempts)
{
    static const struct hostile_script script = { .on_bytes = mixed_bytes };
    struct weir_client_config cfg;
    calls_count = calls;
    random_state = hostile_seed();
    begin(&script, &cfg);
    cfg.conns_max = 40;
    cfg.conns_min = 4;
    cfg.pipeline_max = pipeline_max;
    cfg.retry.attempts_max = attempts;
    cfg.retry.backoff_ns = MS;
    cfg.retry.backoff_max_ns = 4 * MS;
    cfg.seed = random_state;
    client = hostile_client(&cfg);
    for (size_t i = 0; i < MIXED; i++)
        mixed_start(&asks[i]);
    uint64_t until_ns = weir_clock_ns() + 3 * WAIT_NS;
    while (ended_count < calls_count) {
        assert_true(weir_clock_ns() < until_ns);
        for (unsigned i = 0; i < 8; i++)
            poke();
        hostile_turn(&server);
    }
    classes_print("mixed");
    struct weir_client_stats s = client_stats(client);
    print_message("%" PRIu64 " sent, %" PRIu64 " connections, %" PRIu64 " drained, %" PRIu64
                  " replays, %" PRIu64 " retries\n",
                  s.sent, s.conns, s.drained, s.replays, s.retries);
    assert_true(s.calls == calls_count);
    /* It serves on, and well. */
    strict = true;
    for (unsigned i = 0; i < 20; i++) {
        ask_init(&asks[0], i);
        ask_send(client, &asks[0]);
        HOSTILE_UNTIL(&server, asks[0].ends > 0);
        ask_right(&asks[0]);
    }
    strict = false;
    hostile_end(&server, client, SLACK);
}

static void test_mixed(void **state)
{
    (void)state;
    mixed(1, MIXED_CALLS / 2, 1);
}

static void test_mixed_retries(void **state)
{
    (void)state;
    mixed(1, MIXED_CALLS / 4, 3);
}

static void test_mixed_pipelined(void **state)
{
    (void)state;
    mixed(6, MIXED_CALLS / 4, 1);
}

/* ---- Given up while there is no connection yet ------------------------------------------- */

static void no_connection(const char *endpoint, const char *dns_servers, uint64_t slack_bytes)
{
    static const struct hostile_script script = { .on_bytes = NULL };
    struct weir_client_config cfg;
    random_state = hostile_seed();
    calls_count = 400;
    begin(&script, &cfg);
    cfg.endpoint = endpoint == NULL ? server.endpoint : endpoint;
    cfg.dns_servers = dns_servers;
    cfg.connect_timeout_ns = 30 * MS;
    cfg.conns_max = 8;
    client = hostile_client(&cfg);
    for (size_t i = 0; i < MIXED; i++)
        mixed_start(&asks[i]);
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    while (ended_count < calls_count) {
        assert_true(weir_clock_ns() < until_ns);
        for (unsigned i = 0; i < 4; i++)
            if (below(2) == 0)
                poke();
        hostile_turn(&server);
    }
    classes_print(cfg.endpoint);
    assert_int_equal(by_err[0] + by_err[3], 0);
    hostile_end(&server, client, slack_bytes);
}

/* The servers of names do not answer. */
static void test_resolving(void **state)
{
    (void)state;
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t bytes = sizeof addr;
    char text[40];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &bytes), 0);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(addr.sin_port));
    no_connection("http://nobody.test", text, SLACK);
    close(fd);
}

/* The server takes the connection and says nothing of TLS. */
static void test_tls(void **state)
{
    (void)state;
    static char endpoint[64];
    static struct hostile mute;
    const struct hostile_script script = { .on_bytes = NULL };
    hostile_open(&mute, &script);
    snprintf(endpoint, sizeof endpoint, "https://127.0.0.1:%u", ntohs(mute.addr.sin_port));
    no_connection(endpoint, NULL, 16 * MIB); /* with the certificates of the system */
    hostile_close(&mute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_deadlines_late, rig_setup),
        cmocka_unit_test_setup(test_deadlines_never, rig_setup),
        cmocka_unit_test_setup(test_deadlines_pipelined, rig_setup),
        cmocka_unit_test_setup(test_mixed, rig_setup),
        cmocka_unit_test_setup(test_mixed_retries, rig_setup),
        cmocka_unit_test_setup(test_mixed_pipelined, rig_setup),
        cmocka_unit_test_setup(test_resolving, rig_setup),
        cmocka_unit_test_setup(test_tls, rig_setup),
    };
    return cmocka_run_group_tests_name("client storm", tests, pattern_fill, NULL);
}
