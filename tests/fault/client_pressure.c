/* SPDX-License-Identifier: MIT */
/*
 * A client with little of everything - descriptors, connections, buffers, memory - and peers that
 * are slower than the other side: what waits has a bound, what does not wait goes on, and nothing
 * is lost.
 */
#include "fault/hostile.h"

#include "core/engine.h"

#define SLACK     (2 * MIB)
#define BIG_BYTES ((SANITIZED ? 32 : 256) * (uint64_t)MIB)
#define PAUSE_NS  (400 * MS)
#define WAITING   1000
#define QUEUE_CUT 333 /* one of so many is given up while it waits */

static struct hostile server;
static struct weir_client *client;
static struct ask asks[WAITING];

/* Allocation is refused on demand; sanitizers have their own. */
static bool no_memory;
#if !SANITIZED
extern void *__libc_malloc(size_t bytes);

void *malloc(size_t bytes)
{
    if (no_memory) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(bytes);
}
#endif

/* ---- The server -------------------------------------------------------------------------- */

static uint64_t flow_bytes; /* of the answer to request 0 */
static bool mute;           /* it does not read on after the first bytes */

static void server_bytes(struct hostile_conn *c)
{
    unsigned id;
    if (mute && c->in_len > 0 && strncmp(c->in, "POST", 4) == 0) {
        c->in_max = c->in_bytes;
        return;
    }
    while (hostile_request(c, &id)) {
        if (id != 0) {
            hostile_answer(c, id, false);
            continue;
        }
        hostile_say(c, "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n\r\n", flow_bytes);
        c->flow_bytes = flow_bytes;
    }
}

static void begin(uint32_t conns_max)
{
    static const struct hostile_script script = { .on_bytes = server_bytes };
    struct weir_client_config cfg;
    flow_bytes = BIG_BYTES;
    mute = false;
    hostile_open(&server, &script);
    engine_open(&rig.engine);
    hostile_client_config(&cfg, &server);
    cfg.conns_max = conns_max;
    cfg.head_bytes_max = 4096;
    client = hostile_client(&cfg);
}

static void one_right(unsigned id)
{
    ask_init(&asks[id], id);
    ask_send(client, &asks[id]);
    HOSTILE_UNTIL(&server, asks[id].ends > 0);
    ask_right(&asks[id]);
}

/* ---- A consumer that pauses -------------------------------------------------------------- */

static struct {
    struct weir_call call;
    uint64_t bytes;
    uint64_t pause_at; /* 0: never */
    bool equal, paused;
    unsigned ends;
    int err;
} big;

static void big_on_body(struct weir_call *call, struct weir_slice piece)
{
    size_t at = 0;
    assert_false(big.paused);
    while (at < piece.len) {
        size_t from = (big.bytes + at) % PATTERN_BYTES;
        size_t n = piece.len - at < PATTERN_BYTES - from ? piece.len - at : PATTERN_BYTES - from;
        big.equal = big.equal && memcmp(pattern + from, piece.ptr + at, n) == 0;
        at += n;
    }
    big.bytes += piece.len;
    if (big.pause_at != 0 && big.bytes >= big.pause_at) {
        big.pause_at = 0;
        big.paused = true;
        weir_call_pause(call);
    }
}

static void big_on_end(struct weir_call *call, int err)
{
    (void)call;
    assert_false(big.paused && err == 0);
    big.ends++;
    big.err = err;
}

static void big_send(uint64_t pause_at)
{
    static const struct weir_call_handler handler = { .on_body = big_on_body,
                                                      .on_end = big_on_end };
    memset(&big, 0, sizeof big);
    big.equal = true;
    big.pause_at = pause_at;
    big.call.request.method = WEIR_TEXT("GET");
    big.call.request.target = WEIR_TEXT("/0");
    big.call.handler = &handler;
    assert_int_equal(weir_client_send(client, &big.call), 0);
}

static void big_right(void)
{
    assert_int_equal(big.ends, 1);
    assert_int_equal(big.err, 0);
    assert_int_equal(big.bytes, flow_bytes);
    assert_true(big.equal);
}

static void test_paused(void **state)
{
    (void)state;
    unsigned others = 0;
    begin(4);
    uint64_t bufs_bytes = (uint64_t)rig.engine_cfg.recv_bufs_max * rig.engine_cfg.recv_buf_bytes;
    uint64_t resident = resident_bytes();
    big_send(MIB);
    HOSTILE_UNTIL(&server, big.paused);
    uint64_t at = big.bytes;
    uint64_t until_ns = weir_clock_ns() + PAUSE_NS;
    uint64_t grown = 0;
    while (weir_clock_ns() < until_ns) {
        one_right(1 + others++ % 900);
        uint64_t now = resident_bytes();
        if (now > resident && now - resident > grown)
            grown = now - resident;
    }
    assert_int_equal(big.bytes, at);
    uint64_t kept = (uint64_t)rig.engine->stash.used * rig.engine->stash_block_bytes;
    print_message("%" PRIu64 " KiB of the paused answer are kept\n", kept / KIB);
    assert_in_range(kept, 0, 256 * KIB);
    assert_true(others > 100);
    print_message("%u others meanwhile; %" PRIu64 " KiB of memory, of %" PRIu64
                  " KiB of receive buffers\n",
                  others, grown / KIB, bufs_bytes / KIB);
    if (!SANITIZED)
        assert_in_range(grown, 0, bufs_bytes + 2 * MIB);
    big.paused = false;
    weir_call_resume(&big.call);
    HOSTILE_UNTIL(&server, big.ends > 0);
    big_right();
    hostile_end(&server, client, bufs_bytes + SLACK);
}

/* Stopped and let go on again at every few bytes. */
static void test_paused_often(void **state)
{
    (void)state;
    unsigned pauses = 0;
    begin(2);
    flow_bytes = 8 * MIB;
    big_send(1);
    while (big.ends == 0) {
        HOSTILE_UNTIL(&server, big.paused || big.ends > 0);
        if (big.ends > 0)
            break;
        pauses++;
        one_right(1);
        big.pause_at = big.bytes + (pauses % 7 == 0 ? 1 : 40000);
        big.paused = false;
        weir_call_resume(&big.call);
    }
    big_right();
    assert_true(pauses > 50);
    hostile_end(&server, client, 8 * MIB);
}

/* Given up while it is paused: its connection goes, all of what was kept, too. */
static void test_paused_cancelled(void **state)
{
    (void)state;
    begin(2);
    for (unsigned i = 0; i < 5; i++) {
        big_send(1 + i * 30000);
        HOSTILE_UNTIL(&server, big.paused);
        one_right(1);
        weir_call_cancel(&big.call);
        HOSTILE_UNTIL(&server, big.ends > 0);
        assert_int_equal(big.err, WEIR_E_CANCELLED);
        one_right(2);
    }
    hostile_end(&server, client, 8 * MIB);
}

/* ---- A server that does not read --------------------------------------------------------- */

static size_t piece_bytes;
static uint64_t made_bytes;

static int64_t source_read(struct weir_call *call, uint8_t *out, size_t capacity)
{
    size_t n = capacity < piece_bytes ? capacity : piece_bytes;
    (void)call;
    memset(out, 'x', n);
    made_bytes += n;
    return (int64_t)n;
}

static void upload(size_t bytes)
{
    static const struct weir_body_source source = { .read = source_read,
                                                    .bytes = WEIR_LENGTH_UNKNOWN };
    begin(4);
    mute = true;
    piece_bytes = bytes;
    made_bytes = 0;
    struct ask *a = &asks[WAITING - 1];
    ask_init(a, WAITING - 1);
    a->call.request.method = WEIR_TEXT("POST");
    a->call.request.source = &source;
    ask_send(client, a);
    /* Until it rests: all that the sockets hold is there. */
    uint64_t at = 1;
    for (unsigned still = 0; still < 50; still = at == made_bytes ? still + 1 : 0) {
        at = made_bytes;
        one_right(1);
    }
    uint64_t chunks = engine_stats().send_chunks_now;
    print_message("%" PRIu64 " bytes made in pieces of %zu, %" PRIu64 " units of output memory\n",
                  made_bytes, bytes, chunks);
    assert_in_range(made_bytes, 1, 32 * MIB); /* 64 KiB and the sockets */
    assert_in_range(chunks, 1, 64);
    assert_int_equal(a->ends, 0);
    weir_call_cancel(&a->call);
    HOSTILE_UNTIL(&server, a->ends > 0);
    assert_int_equal(a->err, WEIR_E_CANCELLED);
    one_right(2);
    hostile_end(&server, client, 32 * MIB);
}

static void test_upload(void **state)
{
    (void)state;
    upload(65536);
}

static void test_small_pieces(void **state)
{
    (void)state;
    upload(10);
}

/* ---- Little of everything ---------------------------------------------------------------- */

/* One connection and a long queue: first come, first served, whoever leaves it. */
static unsigned order[WAITING], order_count;

static void order_ended(struct ask *a)
{
    order[order_count++] = a->id;
}

static void test_queue(void **state)
{
    (void)state;
    begin(1);
    for (unsigned i = 1; i < WAITING; i++) {
        ask_init(&asks[i], i);
        asks[i].ended = order_ended;
        ask_send(client, &asks[i]);
    }
    order_count = 0;
    for (unsigned i = QUEUE_CUT; i < WAITING; i += QUEUE_CUT)
        weir_call_cancel(&asks[i].call);
    HOSTILE_UNTIL(&server, order_count == WAITING - 1);
    unsigned last = 0;
    for (unsigned i = 0; i < order_count; i++) {
        const struct ask *a = &asks[order[i]];
        if (a->id % QUEUE_CUT == 0) {
            assert_int_equal(a->err, WEIR_E_CANCELLED);
            continue;
        }
        ask_right(a);
        assert_true(a->id > last);
        last = a->id;
    }
    assert_int_equal(client_stats(client).conns, 1);
    hostile_end(&server, client, SLACK);
}

/* No descriptor for another connection: those there are serve. */
static void test_few_descriptors(void **state)
{
    (void)state;
    struct rlimit usual;
    begin(20);
    for (unsigned i = 1; i <= 3; i++) {
        ask_init(&asks[i], i);
        ask_send(client, &asks[i]);
    }
    HOSTILE_UNTIL(&server, asks[1].ends + asks[2].ends + asks[3].ends == 3);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    int highest = dup(0);
    assert_true(highest >= 0);
    close(highest);
    struct rlimit few = { .rlim_cur = (rlim_t)highest, .rlim_max = usual.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (unsigned i = 1; i < 200; i++) {
        ask_init(&asks[i], i);
        ask_send(client, &asks[i]);
    }
    for (unsigned i = 1; i < 200; i++) {
        HOSTILE_UNTIL(&server, asks[i].ends > 0);
        ask_right(&asks[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    struct weir_client_stats s = client_stats(client);
    assert_true(s.connect_failures > 0);
    assert_in_range(s.conns, 1, 3);
    hostile_end(&server, client, SLACK);
}

/* Bodies in both directions with the least of receive buffers or of output memory. */
static void little(uint32_t recv_bufs, uint64_t send_bytes)
{
    static struct fetch fetches[60];
    if (recv_bufs != 0)
        rig.engine_cfg.recv_bufs_max = recv_bufs;
    if (send_bytes != 0)
        rig.engine_cfg.send_bytes_max = send_bytes;
    rig_serve();
    client = client_open(rig.engine, 8, 1);
    for (size_t i = 0; i < 60; i++) {
        fetch_init(&fetches[i], i % 2 == 0 ? JOB_BORROW : JOB_SUM, 1000 * i + 1);
        uint64_t until_ns = weir_clock_ns() + WAIT_NS;
        while (!fetch_send(client, &fetches[i])) {
            assert_true(weir_clock_ns() < until_ns);
            turn();
        }
    }
    for (size_t i = 0; i < 60; i++) {
        RIG_UNTIL(fetches[i].ends > 0);
        fetch_right(&fetches[i]);
    }
    assert_int_equal(weir_client_close(client), 0);
    rig_balanced();
    rig_end(SLACK);
}

static void test_two_buffers(void **state)
{
    (void)state;
    little(2, 0);
}

static void test_little_output(void **state)
{
    (void)state;
    little(0, 65536);
}

/* Nothing for the decoder of an answer: that call alone ends. */
static void coded_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (hostile_request(c, &id)) {
        if (id == 0)
            hostile_say(
                c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd");
        else
            hostile_answer(c, id, false);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    begin(2);
    server.script.on_bytes = coded_bytes;
    ask_init(&asks[0], 0);
    asks[0].call.request.decode = true;
    ask_send(client, &asks[0]);
    no_memory = true;
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    while (asks[0].ends == 0 && weir_clock_ns() < until_ns)
        hostile_turn(&server);
    no_memory = false;
    assert_int_equal(asks[0].ends, 1);
    assert_int_equal(asks[0].err, -ENOMEM);
    one_right(1);
    hostile_end(&server, client, SLACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_paused, rig_setup),
        cmocka_unit_test_setup(test_paused_often, rig_setup),
        cmocka_unit_test_setup(test_paused_cancelled, rig_setup),
        cmocka_unit_test_setup(test_upload, rig_setup),
        cmocka_unit_test_setup(test_small_pieces, rig_setup),
        cmocka_unit_test_setup(test_queue, rig_setup),
        cmocka_unit_test_setup(test_few_descriptors, rig_setup),
        cmocka_unit_test_setup(test_two_buffers, rig_setup),
        cmocka_unit_test_setup(test_little_output, rig_setup),
        cmocka_unit_test_setup(test_no_memory, rig_setup),
    };
    return cmocka_run_group_tests_name("client pressure", tests, pattern_fill, NULL);
}
