/* SPDX-License-Identifier: MIT */
/* Lookups on both rings against a name server of the test's own. */
#include "io/resolver.h"

#include "dns_rig.h"

#include <sys/epoll.h>

#define TABLE(dns, ...)                                                                            \
    static const struct dns_entry table_entries[] = { __VA_ARGS__ };                               \
    dns_table(dns, table_entries, sizeof table_entries / sizeof table_entries[0])

static struct weir_engine *engine;
static struct weir_resolver *resolver;
static struct dns_server dns;
static unsigned fds_before;

/* A lookup and what it was told. */
struct asked {
    struct weir_lookup lookup; /* first */
    unsigned told;
    int err;
    struct weir_addr addrs[WEIR_ADDRS_MAX];
    uint32_t count;
    uint64_t ttl_ns;
    void (*then)(struct asked *a);
};

static bool inside_start;

static void on_done(struct weir_lookup *lookup, int err, const struct weir_addr *addrs,
                    uint32_t count, uint64_t ttl_ns)
{
    struct asked *a = (void *)lookup;
    assert_false(inside_start);
    assert_null(lookup->query);
    assert_int_equal(count > 0, err == 0);
    assert_int_equal(ttl_ns > 0, err == 0);
    a->told++;
    a->err = err;
    a->count = count;
    a->ttl_ns = ttl_ns;
    memcpy(a->addrs, addrs, count * sizeof *addrs);
    if (a->then != NULL)
        a->then(a);
}

static void resolver_open_with(uint64_t timeout_ns, uint32_t tries)
{
    const struct weir_resolver_config cfg = {
        .engine = engine, .servers = dns.text, .timeout_ns = timeout_ns, .tries = tries
    };
    int rc = weir_resolver_open(&resolver, &cfg);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
}

static void reopen(uint64_t timeout_ns, uint32_t tries)
{
    assert_int_equal(weir_resolver_close(resolver), 0);
    resolver_open_with(timeout_ns, tries);
}

static int setup(void **state)
{
    struct weir_engine_config cfg = rig_config();
    fds_before = rig_fds_count();
    cfg.ring = *(const enum weir_ring_kind *)*state;
    engine = rig_open(&cfg);
    dns_open(&dns);
    resolver_open_with(0, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (resolver != NULL)
        assert_int_equal(weir_resolver_close(resolver), 0);
    rig_close(engine);
    dns_close(&dns);
    assert_int_equal(rig_fds_count(), fds_before);
    return 0;
}

static void start_slice(struct asked *a, struct weir_slice host, uint16_t port)
{
    a->lookup.on_done = on_done;
    inside_start = true;
    assert_int_equal(weir_lookup_start(resolver, &a->lookup, host, port), 0);
    inside_start = false;
}

static void start(struct asked *a, const char *host)
{
    start_slice(a, (struct weir_slice){ (const uint8_t *)host, strlen(host) }, 80);
}

static void ask(struct asked *a, const char *host)
{
    *a = (struct asked){ .told = 0 };
    start(a, host);
    RIG_RUN_UNTIL(engine, (dns_pump(&dns), a->told > 0));
    rig_settle(engine);
    assert_int_equal(a->told, 1);
}

static bool has(const struct asked *a, const char *text)
{
    char room[WEIR_ADDR_TEXT_BYTES];
    for (uint32_t i = 0; i < a->count; i++)
        if (strcmp(weir_addr_format(&a->addrs[i], room, sizeof room), text) == 0)
            return true;
    return false;
}

static void expect_failure(struct asked *a, const char *host, const char *why)
{
    ask(a, host);
    assert_int_equal(a->err, WEIR_E_RESOLVE);
    assert_string_equal(weir_lookup_why(&a->lookup), why);
}

/* ---- Answers ----------------------------------------------------------------------------- */

static void test_both_families(void **state)
{
    (void)state;
    struct asked a;
    TABLE(&dns, { .name = "two.test", .a = "127.0.0.1 127.0.0.2", .aaaa = "::1", .ttl = 300 },
          { .name = "four.test", .a = "127.0.0.4 127.0.0.4", .ttl = 1 },
          { .name = "six.test", .aaaa = "::1 fe80::1", .ttl = 0 },
          { .name = "alias.test",
            .a = "127.0.0.5",
            .alias = "real.test",
            .ttl = 500,
            .alias_ttl = 20 });
    ask(&a, "two.test");
    assert_int_equal(a.err, 0);
    assert_int_equal(a.count, 3);
    assert_true(has(&a, "127.0.0.1:80") && has(&a, "127.0.0.2:80") && has(&a, "[::1]:80"));
    assert_int_equal(a.ttl_ns, 300 * 1000000000ull);
    assert_string_equal(weir_lookup_why(&a.lookup), "");
    /* One record twice is one address; less than the least is the least. */
    ask(&a, "FOUR.test");
    assert_int_equal(a.count, 1);
    assert_true(has(&a, "127.0.0.4:80"));
    assert_int_equal(a.ttl_ns, WEIR_RESOLVE_TTL_NS_MIN);
    ask(&a, "six.test");
    assert_int_equal(a.count, 2);
    assert_true(has(&a, "[::1]:80"));
    assert_int_equal(a.ttl_ns, WEIR_RESOLVE_TTL_NS_MIN);
    /* The name that leads there counts, too. */
    ask(&a, "alias.test");
    assert_true(has(&a, "127.0.0.5:80"));
    assert_int_equal(a.ttl_ns, 20 * 1000000000ull);
}

/* Sixteen are enough; more than an hour is an hour. */
static void test_many_addresses(void **state)
{
    (void)state;
    struct asked a;
    TABLE(&dns, { .name = "many.test",
                  .a = "127.0.1.1 127.0.1.2 127.0.1.3 127.0.1.4 127.0.1.5 127.0.1.6 127.0.1.7 "
                       "127.0.1.8 127.0.1.9 127.0.1.10 127.0.1.11 127.0.1.12 127.0.1.13 127.0.1.14 "
                       "127.0.1.15 127.0.1.16 127.0.1.17 127.0.1.18 127.0.1.19 127.0.1.20",
                  .ttl = 1000000 });
    ask(&a, "many.test");
    assert_int_equal(a.count, WEIR_ADDRS_MAX);
    assert_int_equal(a.ttl_ns, WEIR_RESOLVE_TTL_NS_MAX);
}

static void test_answer_changes(void **state)
{
    (void)state;
    struct asked a;
    struct dns_entry entry = { .name = "moves.test", .a = "127.0.0.1", .ttl = 60 };
    dns_table(&dns, &entry, 1);
    ask(&a, "moves.test");
    assert_true(a.count == 1 && has(&a, "127.0.0.1:80"));
    entry.a = "127.0.0.9";
    ask(&a, "moves.test");
    assert_true(a.count == 1 && has(&a, "127.0.0.9:80"));
    entry.rcode = 3;
    expect_failure(&a, "moves.test", "no such name");
    entry.rcode = 0;
    ask(&a, "moves.test");
    assert_int_equal(a.err, 0);
}

/* Too long for a packet: asked again over TCP. */
static void test_truncated(void **state)
{
    (void)state;
    struct asked a;
    TABLE(&dns, { .name = "long.test",
                  .a = "127.0.0.7",
                  .aaaa = "::1",
                  .ttl = 60,
                  .manner = DNS_TRUNCATES });
    ask(&a, "long.test");
    assert_int_equal(a.err, 0);
    assert_int_equal(a.count, 2);
    assert_true(dns.questions_tcp >= 2);
    /* c-ares closes what it does not need any more, and the server notices. */
    RIG_RUN_UNTIL(engine, (dns_pump(&dns), dns.streams_count == 0));
}

/* The server ends every TCP connection: no answer, and no SIGPIPE, which would end the test. */
static void test_tcp_reset(void **state)
{
    (void)state;
    struct asked asks[8] = { { .told = 0 } };
    TABLE(&dns, { .name = "long.test", .a = "127.0.0.7", .manner = DNS_TRUNCATES });
    reopen(20 * RIG_MS, 2);
    dns.resets = true;
    for (unsigned i = 0; i < 8; i++)
        start(&asks[i], "long.test");
    RIG_RUN_UNTIL(engine, ({
                      unsigned told = 0;
                      dns_pump(&dns);
                      for (unsigned i = 0; i < 8; i++)
                          told += asks[i].told;
                      told == 8;
                  }));
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(asks[i].err, WEIR_E_RESOLVE);
    dns.resets = false;
    struct asked a;
    ask(&a, "long.test");
    assert_int_equal(a.err, 0);
}

/* ---- Without a server -------------------------------------------------------------------- */

static void test_numeric(void **state)
{
    (void)state;
    struct asked a = { .told = 0 };
    ask(&a, "127.0.0.1");
    assert_true(a.count == 1 && has(&a, "127.0.0.1:80"));
    assert_int_equal(a.ttl_ns, WEIR_RESOLVE_TTL_NS_MAX);
    ask(&a, "::1");
    assert_true(a.count == 1 && has(&a, "[::1]:80"));
    ask(&a, "::ffff:1.2.3.4");
    assert_int_equal(a.count, 1);
    /* Cancelled before it is told. */
    a = (struct asked){ .told = 0 };
    start(&a, "127.0.0.1");
    weir_lookup_cancel(&a.lookup);
    rig_settle(engine);
    assert_int_equal(a.told, 0);
    assert_int_equal(dns.questions, 0);
}

/* Neither the hosts file nor its absence asks a server for it, however it is written. */
static void test_localhost(void **state)
{
    (void)state;
    struct asked a;
    static const char *const names[] = { "localhost", "LocalHost" };
    for (unsigned i = 0; i < 2; i++) {
        ask(&a, names[i]);
        assert_int_equal(a.err, 0);
        assert_true(has(&a, "127.0.0.1:80") || has(&a, "[::1]:80"));
        assert_int_equal(a.ttl_ns, WEIR_RESOLVE_TTL_NS_HOSTS);
    }
    assert_int_equal(dns.questions, 0);
}

static void test_not_a_host(void **state)
{
    (void)state;
    struct asked a = { .lookup.on_done = on_done };
    uint8_t longest[256];
    memset(longest, 'n', sizeof longest);
    const struct weir_slice bad[] = { { NULL, 0 }, WEIR_TEXT("a\0b"), { longest, 256 } };
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(weir_lookup_start(resolver, &a.lookup, bad[i], 1), -EINVAL);
    assert_null(a.lookup.query);
    /* What the syntax of DNS does not allow is found out by c-ares. */
    start_slice(&a, (struct weir_slice){ longest, 255 }, 1);
    RIG_RUN_UNTIL(engine, (dns_pump(&dns), a.told > 0));
    assert_int_equal(a.err, WEIR_E_RESOLVE);
    expect_failure(&a, "two..dots.test", "not a host name");
    weir_lookup_cancel(&a.lookup); /* no effect */
}

/* ---- Failures ---------------------------------------------------------------------------- */

static void test_failures(void **state)
{
    (void)state;
    struct asked a;
    TABLE(&dns, { .name = "none.test", .ttl = 60 }, { .name = "broken.test", .rcode = 2 },
          { .name = "refused.test", .rcode = 5 });
    expect_failure(&a, "nobody.test", "no such name");
    expect_failure(&a, "none.test", "the name has no address");
    ask(&a, "broken.test");
    assert_int_equal(a.err, WEIR_E_RESOLVE);
    assert_true(strlen(weir_lookup_why(&a.lookup)) > 0);
    ask(&a, "refused.test");
    assert_int_equal(a.err, WEIR_E_RESOLVE);
    struct weir_resolver_counters counters;
    weir_resolver_counters(resolver, &counters);
    assert_int_equal(counters.started, 4);
    assert_int_equal(counters.failed, 4);
    assert_int_equal(counters.unwatched, 0);
}

static void test_silence(void **state)
{
    (void)state;
    struct asked a;
    TABLE(&dns, { .name = "hangs.test", .manner = DNS_SILENT },
          { .name = "other.test", .a = "127.0.0.1", .manner = DNS_OTHER_ID });
    reopen(20 * RIG_MS, 2);
    uint64_t began = weir_clock_ns();
    expect_failure(&a, "hangs.test", "timed out");
    assert_true(weir_clock_ns() - began >= 40 * RIG_MS); /* both tries had their time */
    assert_true(dns.questions >= 4);
    /* An answer to somebody else's question is none. */
    expect_failure(&a, "other.test", "timed out");
}

/* The server is not there: the port is closed. */
static void test_nobody(void **state)
{
    (void)state;
    struct asked a;
    struct dns_server gone;
    dns_open(&gone);
    dns_close(&gone);
    assert_int_equal(weir_resolver_close(resolver), 0);
    const struct weir_resolver_config cfg = {
        .engine = engine, .servers = gone.text, .timeout_ns = 20 * RIG_MS, .tries = 2
    };
    assert_int_equal(weir_resolver_open(&resolver, &cfg), 0);
    ask(&a, "any.test");
    assert_int_equal(a.err, WEIR_E_RESOLVE);
}

static void test_malformed(void **state)
{
    (void)state;
    reopen(20 * RIG_MS, 1);
    for (int manner = DNS_HALF; manner < DNS_MANNER_COUNT; manner++) {
        const struct dns_entry entry = { .name = "odd.test",
                                         .a = "127.0.0.1",
                                         .alias = manner == DNS_LOOP ? "loop.test" : NULL,
                                         .ttl = 60,
                                         .manner = (enum dns_manner)manner };
        dns_table(&dns, &entry, 1);
        for (unsigned i = 0; i < (manner == DNS_NOISE ? 50u : 1u); i++) {
            struct asked a;
            ask(&a, "odd.test");
            /* A reader that forgives may take what it understood; noise may mean anything. */
            assert_true(a.err == WEIR_E_RESOLVE || a.count > 0);
            if (manner == DNS_WRONG_LENGTH)
                assert_int_equal(a.err, WEIR_E_RESOLVE);
        }
    }
    /* And after all that it works. */
    struct asked a;
    const struct dns_entry entry = { .name = "fine.test", .a = "127.0.0.1", .ttl = 60 };
    dns_table(&dns, &entry, 1);
    ask(&a, "fine.test");
    assert_int_equal(a.err, 0);
}

/* ---- Many, cancelled, closed ------------------------------------------------------------- */

static void test_thousand(void **state)
{
    (void)state;
    enum { WAVE = 50, WAVES = 20 };
    static struct asked wave[WAVE];
    static char names[WAVE][32];
    static struct dns_entry entries[WAVE];
    for (unsigned i = 0; i < WAVE; i++) {
        snprintf(names[i], sizeof names[i], "host%u.test", i);
        entries[i] = (struct dns_entry){ .name = names[i], .a = "127.0.0.1", .ttl = 60 };
    }
    dns_table(&dns, entries, WAVE);
    for (unsigned w = 0; w < WAVES; w++) {
        for (unsigned i = 0; i < WAVE; i++) {
            wave[i] = (struct asked){ .told = 0 };
            start(&wave[i], names[i]);
        }
        RIG_RUN_UNTIL(engine, ({
                          unsigned told = 0;
                          dns_pump(&dns);
                          for (unsigned i = 0; i < WAVE; i++)
                              told += wave[i].told;
                          told == WAVE;
                      }));
        for (unsigned i = 0; i < WAVE; i++)
            assert_true(wave[i].told == 1 && wave[i].err == 0 && wave[i].count == 1);
    }
    struct weir_resolver_counters counters;
    weir_resolver_counters(resolver, &counters);
    assert_int_equal(counters.answered, WAVE * WAVES);
}

/* One too many is refused; those that were cancelled make room without waiting for the server. */
static void test_limit_and_cancel(void **state)
{
    (void)state;
    static struct asked many[WEIR_LOOKUPS_MAX + 1];
    struct asked a;
    TABLE(&dns, { .name = "hangs.test", .manner = DNS_SILENT },
          { .name = "fine.test", .a = "127.0.0.1", .ttl = 60 });
    reopen(30000 * RIG_MS, 1);
    for (unsigned i = 0; i < WEIR_LOOKUPS_MAX; i++) {
        many[i] = (struct asked){ .told = 0 };
        start(&many[i], "hangs.test");
        dns_pump(&dns); /* or the server's buffer is full, and what is asked later is lost */
    }
    struct asked *more = &many[WEIR_LOOKUPS_MAX];
    *more = (struct asked){ .lookup.on_done = on_done };
    assert_int_equal(weir_lookup_start(resolver, &more->lookup, WEIR_TEXT("fine.test"), 1),
                     -ENOBUFS);
    rig_settle(engine);
    for (unsigned i = 0; i < WEIR_LOOKUPS_MAX; i++)
        weir_lookup_cancel(&many[i].lookup);
    weir_lookup_cancel(&many[0].lookup); /* again: no effect */
    rig_settle(engine);
    ask(&a, "fine.test");
    assert_int_equal(a.err, 0);
    for (unsigned i = 0; i <= WEIR_LOOKUPS_MAX; i++)
        assert_int_equal(many[i].told, 0);
    struct weir_resolver_counters counters;
    weir_resolver_counters(resolver, &counters);
    assert_int_equal(counters.refused, 1);
    assert_int_equal(counters.cancelled, WEIR_LOOKUPS_MAX);
}

/* One of two; its memory is somebody else's at once, whatever the server says later. */
static void test_cancel_one(void **state)
{
    (void)state;
    struct asked kept = { .told = 0 }, *gone = calloc(1, sizeof *gone);
    assert_non_null(gone);
    TABLE(&dns, { .name = "one.test", .a = "127.0.0.1", .ttl = 60 });
    start(gone, "one.test");
    start(&kept, "one.test");
    rig_settle(engine);
    weir_lookup_cancel(&gone->lookup);
    free(gone);
    RIG_RUN_UNTIL(engine, (dns_pump(&dns), kept.told > 0));
    assert_int_equal(kept.err, 0);
}

static struct asked chain_next;
static struct asked *chain_cancels;

static void chain_then(struct asked *a)
{
    (void)a;
    if (chain_cancels != NULL)
        weir_lookup_cancel(&chain_cancels->lookup);
    start(&chain_next, "127.0.0.1");
}

/* From inside on_done: cancel one that is to be told next, and start another. */
static void test_from_inside(void **state)
{
    (void)state;
    struct asked a = { .then = chain_then }, b = { .told = 0 };
    chain_next = (struct asked){ .told = 0 };
    chain_cancels = &b;
    start(&a, "127.0.0.2");
    start(&b, "127.0.0.3");
    RIG_RUN_UNTIL(engine, chain_next.told > 0);
    chain_cancels = NULL;
    assert_int_equal(a.told, 1);
    assert_int_equal(b.told, 0);
    /* The same again and again, in its own memory. */
    a = (struct asked){ .told = 0 };
    for (unsigned i = 0; i < 5; i++)
        start(&a, "::1"), weir_lookup_cancel(&a.lookup), ask(&a, "::1");
}

static void restart_then(struct asked *a)
{
    int rc = weir_lookup_start(resolver, &a->lookup, WEIR_TEXT("127.0.0.1"), 1);
    assert_int_equal(rc, WEIR_E_SHUTDOWN);
}

/* Asked, answered but not told, numeric, cancelled: all but the last are told. */
static void test_close_in_flight(void **state)
{
    (void)state;
    struct asked asks[3] = { { .then = restart_then } }, numeric = { .told = 0 }, gone = numeric;
    TABLE(&dns, { .name = "hangs.test", .manner = DNS_SILENT });
    for (unsigned i = 0; i < 3; i++)
        start(&asks[i], "hangs.test");
    start(&gone, "hangs.test");
    rig_settle(engine);
    weir_lookup_cancel(&gone.lookup);
    start(&numeric, "127.0.0.1");
    struct weir_resolver *closing = resolver;
    assert_int_equal(weir_resolver_close(closing), 0);
    resolver = NULL;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(asks[i].told, 1);
        assert_int_equal(asks[i].err, WEIR_E_SHUTDOWN);
    }
    assert_int_equal(numeric.told, 1);
    assert_int_equal(numeric.err, 0);
    assert_int_equal(gone.told, 0);
    resolver_open_with(0, 0); /* the numbers of descriptors come again */
    static const struct dns_entry later = { .name = "later.test", .a = "127.0.0.1", .ttl = 60 };
    dns_table(&dns, &later, 1);
    struct asked a;
    ask(&a, "later.test");
    assert_int_equal(a.err, 0);
}

/* In a host's loop, which may itself be watched by another: as deep as epoll descriptors may lie in
 * each other (five, Linux: EP_MAX_NESTS). */
static void test_in_a_hosts_loop(void **state)
{
    (void)state;
    TABLE(&dns, { .name = "host.test", .a = "127.0.0.1", .ttl = 60 });
    int host = epoll_create1(EPOLL_CLOEXEC), fd = weir_engine_fd(engine);
    struct epoll_event event = { .events = EPOLLIN };
    assert_true(host >= 0 && fd >= 0);
    assert_int_equal(epoll_ctl(host, EPOLL_CTL_ADD, fd, &event), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct asked a = { .told = 0 };
        uint64_t end = weir_clock_ns() + RIG_WAIT;
        start(&a, "host.test");
        assert_int_equal(weir_engine_run_once(engine, 0), 0);
        while (a.told == 0) {
            assert_true(weir_clock_ns() < end);
            dns_pump(&dns);
            if (epoll_wait(host, &event, 1, 100) == 1)
                assert_int_equal(weir_engine_run_once(engine, 0), 0);
        }
        assert_int_equal(a.err, 0);
        assert_int_equal(rig_stats(engine).unexpected, 0);
    }
    close(host);
}

static void test_config(void **state)
{
    (void)state;
    struct weir_resolver *r;
    const struct weir_resolver_config bad[] = {
        { .engine = engine, .timeout_ns = 999999 },
        { .engine = engine, .timeout_ns = 60000000001ull },
        { .engine = engine, .tries = 11 },
        { .engine = engine, .servers = "" },
        { .engine = engine, .servers = "not.an.address" },
        { .engine = engine, .servers = "127.0.0.1:53,[::1" },
        { .engine = engine, .servers = "127.0.0.1:53," },
        { .engine = engine, .servers = ":53" },
        { .engine = engine, .servers = "127.0.0.1:0" },
        { .engine = engine, .servers = "127.0.0.1:65536" },
        { .engine = engine, .servers = "unix:/run/dns" },
        { .engine = engine,
          .servers = "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,"
                     "1.1.1.8,1.1.1.9" },
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(weir_resolver_open(&r, &bad[i]), -EINVAL);
        assert_null(r);
        assert_true(strlen(weir_error_text()) > 0);
    }
    /* The system's own configuration; and as many as an engine has room for. */
    struct weir_resolver *all[WEIR_WATCH_SLOTS];
    struct weir_resolver_config cfg = { .engine = engine };
    const char *good[] = { "127.0.0.1", "[::1]", "127.0.0.1:1,[::1]:65535,1.1.1.1" };
    for (unsigned i = 0; i < 3; i++) {
        cfg.servers = good[i];
        assert_int_equal(weir_resolver_open(&r, &cfg), 0);
        assert_int_equal(weir_resolver_close(r), 0);
    }
    cfg.servers = NULL;
    for (unsigned i = 0; i + 1 < WEIR_WATCH_SLOTS; i++)
        assert_int_equal(weir_resolver_open(&all[i], &cfg), 0);
    assert_int_equal(weir_resolver_open(&r, &cfg), -ENOBUFS);
    assert_int_equal(weir_engine_close(engine), -EBUSY);
    for (unsigned i = 0; i + 1 < WEIR_WATCH_SLOTS; i++)
        assert_int_equal(weir_resolver_close(all[i]), 0);
}

#define EACH_RING(test)                                                                            \
    { #test "[uring]", test, setup, teardown, (void *)&rings[0] },                                 \
    {                                                                                              \
#test "[epoll]", test, setup, teardown, (void *)&rings[1]                                  \
    }

int main(void)
{
    static enum weir_ring_kind rings[] = { WEIR_RING_URING, WEIR_RING_EPOLL };
    const struct CMUnitTest tests[] = {
        EACH_RING(test_both_families),    EACH_RING(test_many_addresses),
        EACH_RING(test_answer_changes),   EACH_RING(test_truncated),
        EACH_RING(test_numeric),          EACH_RING(test_localhost),
        EACH_RING(test_not_a_host),       EACH_RING(test_failures),
        EACH_RING(test_silence),          EACH_RING(test_nobody),
        EACH_RING(test_malformed),        EACH_RING(test_thousand),
        EACH_RING(test_limit_and_cancel), EACH_RING(test_cancel_one),
        EACH_RING(test_from_inside),      EACH_RING(test_close_in_flight),
        EACH_RING(test_tcp_reset),        EACH_RING(test_in_a_hosts_loop),
        EACH_RING(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
