/* SPDX-License-Identifier: MIT */
/*
 * 5,000 peers that never finish the head of their request, half of them sending it byte by byte,
 * beside 100 that behave: these are answered all the while, and those are answered 408 and closed
 * when their time is up.
 */
#include "fault/rig.h"

#define SLOW    5000
#define GOOD    100
#define SLACK   (2 * MIB)
#define HEAD_NS ((SANITIZED ? 3000 : 1000) * MS)

static struct peer slow[SLOW];
static struct fetch fetches[GOOD];

static const char head[] = "GET /sum HTTP/1.1\r\nHost: test\r\nX-Filler: "
                           "0123456789012345678901234567890123456789012345678901234567890123456789"
                           "0123456789012345678901234567890123456789012345678901234567890123456789"
                           "0123456789012345678901234567890123456789012345678901234567890123456789";

/* One byte more from each of them that dribbles. @return how many are not over */
static unsigned dribble(size_t round)
{
    unsigned open = 0;
    for (size_t i = 0; i < SLOW; i++) {
        struct peer *p = &slow[i];
        if (p->fd < 0)
            continue;
        if (peer_take(p)) {
            assert_false(p->reset);
            assert_memory_equal(p->text, "HTTP/1.1 408 ", 13);
            peer_close(p, false);
            continue;
        }
        open++;
        /* A byte that crosses the answer could make the kernel reset the connection, and so lose
         * it: who has something to read does not send. */
        if (i % 2 == 0 && p->at == 0 && round < sizeof head - 1)
            (void)send(p->fd, &head[round], 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    return open;
}

/* Each good one that was answered asks again. @return how many answers there were */
static unsigned serve_good(struct weir_client *client)
{
    unsigned answered = 0;
    for (size_t i = 0; i < GOOD; i++) {
        if (fetches[i].ends == 0)
            continue;
        fetch_right(&fetches[i]);
        answered++;
        fetch_init(&fetches[i], i % 2 == 0 ? JOB_COPY : JOB_SUM, 300 + i);
        assert_true(fetch_send(client, &fetches[i]));
    }
    return answered;
}

static void test_slow_heads(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2 * (SLOW + GOOD) + 100) {
        print_message("skip: the hard limit of descriptors, %llu, is less than %u\n",
                      (unsigned long long)limit.rlim_max, 2 * (SLOW + GOOD) + 100);
        skip();
    }
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    memset(slow, 0xff, sizeof slow); /* its pages are no memory of the server's */
    rig.before = held_now();
    rig.server_cfg.head_timeout_ns = HEAD_NS;
    rig_serve();
    struct weir_client *client = client_open(rig.engine, GOOD, 1);
    for (size_t i = 0; i < GOOD; i++) {
        fetch_init(&fetches[i], JOB_SUM, i);
        assert_true(fetch_send(client, &fetches[i]));
    }
    for (size_t i = 0; i < SLOW; i++) {
        peer_dial(&slow[i]);
        assert_int_equal(send(slow[i].fd, head, i % 2 == 0 ? 1 : 30, MSG_NOSIGNAL),
                         i % 2 == 0 ? 1 : 30);
        if (i % 16 == 0)
            assert_int_equal(weir_engine_run_once(rig.engine, 0), 0);
    }
    RIG_UNTIL(server_stats().conns == SLOW + GOOD);
    uint64_t held = server_stats().conns_now;
    uint64_t answered = 0;
    for (size_t round = 1; dribble(round) > 0; round++) {
        /* As many answers as there are good ones, between every two bytes of the slow ones. */
        uint64_t wanted = answered + GOOD;
        RIG_UNTIL((answered += serve_good(client)) >= wanted);
    }
    print_message("%" PRIu64 " connections at once, %" PRIu64 " good answers beside them\n", held,
                  answered);
    assert_true(held >= GOOD + SLOW / 2);
    assert_true(answered >= 10 * GOOD);
    /* A last one each: nobody was forgotten. */
    for (size_t i = 0; i < GOOD; i++) {
        RIG_UNTIL(fetches[i].ends == 1);
        fetch_right(&fetches[i]);
    }
    assert_int_equal(server_stats().timeouts, SLOW);
    assert_int_equal(server_stats().refused, SLOW);
    assert_int_equal(rig.broken, 0);
    assert_int_equal(weir_client_close(client), 0);
    rig_balanced();
    rig_end(SLACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_slow_heads, rig_setup),
    };
    return cmocka_run_group_tests_name("slow heads", tests, pattern_fill, NULL);
}
