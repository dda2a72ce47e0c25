/* SPDX-License-Identifier: MIT */
/*
 * Sockets whose buffers hold 4 KiB, so that hardly a send is taken whole: large bodies, given in
 * every way and in both directions, arrive byte for byte. And peers that stop reading: their time
 * runs out, the memory they hold has a bound, the others do not notice.
 */
#include "fault/rig.h"

#include <dlfcn.h>
#include <netinet/tcp.h>

#define BODY_BYTES (600 * KIB + 7)
#define FETCHES    24
#define MUTE       40
#define SLACK      (2 * MIB)

static struct fetch fetches[FETCHES];
static struct peer mute[MUTE];

/*
 * Every socket of this process is made here, those of the library too: a listener hands the sizes
 * of its buffers to what it accepts. Short segments, since a window that is always smaller than one
 * would be waited out with the persist timer, 200 ms for each (RFC 9293 section 3.8.6.1).
 */
int socket(int domain, int type, int protocol)
{
    static int (*next)(int, int, int);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "socket");
    int fd = next(domain, type, protocol);
    int bytes = 4 * KIB;
    int segment = 536;
    if (fd >= 0) {
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment), 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
    }
    return fd;
}

static void fetch_all(struct weir_client *client, size_t count)
{
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    for (size_t i = 0; i < count; i++)
        while (!fetch_send(client, &fetches[i])) {
            assert_true(weir_clock_ns() < until_ns);
            turn();
        }
    for (size_t i = 0; i < count; i++) {
        RIG_UNTIL(fetches[i].ends > 0);
        fetch_right(&fetches[i]);
    }
}

static void bodies(enum job_kind kind, uint64_t bytes)
{
    rig_serve();
    struct weir_client *client = client_open(rig.engine, 6, 1);
    for (size_t i = 0; i < FETCHES; i++)
        fetch_init(&fetches[i], kind, bytes - i * 997);
    fetch_all(client, FETCHES);
    assert_true(engine_stats().send_partial > 0);
    assert_int_equal(weir_client_close(client), 0);
    rig_balanced();
    assert_int_equal(rig.broken, 0);
    rig_end(SLACK);
}

static void test_copied(void **state)
{
    (void)state;
    bodies(JOB_COPY, BODY_BYTES);
}

static void test_borrowed(void **state)
{
    (void)state;
    bodies(JOB_BORROW, BODY_BYTES);
}

static void test_streamed(void **state)
{
    (void)state;
    bodies(JOB_STREAM, BODY_BYTES);
}

static void test_uploaded(void **state)
{
    (void)state;
    bodies(JOB_SUM, BODY_BYTES);
}

/* ---- Peers that do not read --------------------------------------------------------------- */

static bool all_reset(void)
{
    for (size_t i = 0; i < MUTE; i++)
        if (!mute[i].reset) {
            /* What was sent to it stays unread: only the end is looked for. */
            struct pollfd poll_fd = { .fd = mute[i].fd };
            poll(&poll_fd, 1, 0);
            mute[i].reset = (poll_fd.revents & (POLLERR | POLLHUP)) != 0;
            if (!mute[i].reset)
                return false;
        }
    return true;
}

/*
 * They ask and never read. `requests`: what each of them sends. Others are served all the while,
 * and after the write timeout the server is rid of them.
 */
static void mute_peers(const char *requests, uint64_t chunks_max)
{
    rig.server_cfg.write_timeout_ns = 400 * MS;
    rig.server_cfg.pipeline_max = 16;
    rig_serve();
    for (size_t i = 0; i < MUTE; i++) {
        peer_dial(&mute[i]);
        peer_send(&mute[i], requests);
    }
    struct weir_client *client = client_open(rig.engine, 4, 1);
    uint64_t resident = 0;
    uint64_t chunks = 0;
    unsigned served = 0;
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    RIG_UNTIL(rig.requests >= MUTE);
    uint64_t began_ns = weir_clock_ns();
    while (!all_reset()) {
        assert_true(weir_clock_ns() < until_ns);
        fetch_init(&fetches[0], JOB_COPY, 2000);
        fetch_all(client, 1);
        served++;
        uint64_t now = resident_bytes();
        resident = now > resident ? now : resident;
        chunks = engine_stats().send_chunks_now > chunks ? engine_stats().send_chunks_now : chunks;
    }
    /* Others had their turn all the time, and the time was the one configured, give or take. */
    assert_in_range((weir_clock_ns() - began_ns) / MS, 300, WAIT_NS / MS);
    assert_true(served >= 20);
    assert_in_range(chunks, 0, chunks_max);
    if (!SANITIZED && resident > rig.before.resident_bytes)
        assert_in_range(resident - rig.before.resident_bytes, 0, chunks_max * 4 * KIB + 6 * MIB);
    assert_in_range(server_stats().timeouts, MUTE, MUTE);
    for (size_t i = 0; i < MUTE; i++)
        peer_close(&mute[i], false);
    assert_int_equal(weir_client_close(client), 0);
    print_message("%u others served meanwhile, %" PRIu64 " units of output memory at most\n",
                  served, chunks);
    rig_balanced();
    rig_end(SLACK);
}

#define ASK(target) "GET " target " HTTP/1.1\r\nHost: test\r\n\r\n"

static void test_mute_copied(void **state)
{
    (void)state;
    /* Each holds the answer it was given, and no more. */
    mute_peers(ASK("/copy?200000"), MUTE * (200000 / 4000 + 2));
}

static void test_mute_borrowed(void **state)
{
    (void)state;
    mute_peers(ASK("/borrow?4000000"), MUTE * 3);
}

static void test_mute_streamed(void **state)
{
    (void)state;
    /* A stream stops when its peer does: what is written ahead has a bound of its own. */
    mute_peers(ASK("/stream?4000000"), MUTE * 80);
}

static void test_mute_pipelined(void **state)
{
    (void)state;
    mute_peers(ASK("/copy?20000") ASK("/copy?20000") ASK("/copy?20000") ASK("/copy?20000")
                   ASK("/copy?20000") ASK("/copy?20000") ASK("/copy?20000") ASK("/copy?20000"),
               MUTE * (8 * 20000 / 4000 + 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_copied, rig_setup),
        cmocka_unit_test_setup(test_borrowed, rig_setup),
        cmocka_unit_test_setup(test_streamed, rig_setup),
        cmocka_unit_test_setup(test_uploaded, rig_setup),
        cmocka_unit_test_setup(test_mute_copied, rig_setup),
        cmocka_unit_test_setup(test_mute_borrowed, rig_setup),
        cmocka_unit_test_setup(test_mute_streamed, rig_setup),
        cmocka_unit_test_setup(test_mute_pipelined, rig_setup),
    };
    return cmocka_run_group_tests_name("tiny sockets", tests, pattern_fill, NULL);
}
