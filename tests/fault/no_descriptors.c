/* SPDX-License-Identifier: MIT */
/*
 * No descriptor left, with connections waiting to be accepted: the server rests, serves those it
 * has, and takes the others as soon as there is room. A client without descriptors says so and
 * recovers.
 *
 * ENFILE, the same for the whole machine, cannot be had without harm, and a privileged process does
 * not get it. With epoll it is injected into accept4(2); io_uring accepts inside the kernel, and
 * there it is left to the simulator.
 */
#include "fault/rig.h"

#include <dlfcn.h>

#define PEERS   60
#define ROOM    10
#define SLACK   (1 * MIB)
#define LOOK_NS (300 * MS)

static struct peer peers[PEERS];
static struct rlimit usual;

static bool no_file_at_all;

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    static int (*next)(int, struct sockaddr *, socklen_t *, int);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "accept4");
    errno = no_file_at_all ? ENFILE : errno;
    return no_file_at_all ? -1 : next(fd, addr, len, flags);
}

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts), 0);
    return (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
}

/* The kernel gives the lowest free number: with this limit, `room` more can be had. */
static void limit_descriptors(unsigned room)
{
    struct rlimit limit = usual;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    int highest = dup(STDERR_FILENO);
    assert_true(highest >= 0);
    close(highest);
    limit.rlim_cur = (rlim_t)highest + room;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int limit_setup(void **state)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    return rig_setup(state);
}

static int limit_teardown(void **state)
{
    (void)state;
    no_file_at_all = false;
    return setrlimit(RLIMIT_NOFILE, &usual);
}

static unsigned answered_count(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < PEERS; i++)
        count += peers[i].fd >= 0 && peer_has(&peers[i], SUM_OF_NOTHING);
    return count;
}

/* PEERS ask, ROOM of them are accepted and answered, then there is nothing to do but wait. */
static void exhaust(void)
{
    for (size_t i = 0; i < PEERS; i++) {
        peer_dial(&peers[i]);
        peer_send(&peers[i], GET_SUM);
    }
    limit_descriptors(ROOM);
    RIG_UNTIL(answered_count() == ROOM && engine_stats().accept_paused > 0);
}

/* How the server rests: by its own counters and by the CPU time that goes by. */
static void rests(void)
{
    struct weir_engine_stats before = engine_stats();
    uint64_t began_ns = weir_clock_ns();
    uint64_t cpu_began_ns = cpu_ns();
    while (weir_clock_ns() < began_ns + LOOK_NS)
        assert_int_equal(weir_engine_run_once(rig.engine, began_ns + LOOK_NS - weir_clock_ns()), 0);
    uint64_t took_ns = weir_clock_ns() - began_ns;
    uint64_t used_ns = cpu_ns() - cpu_began_ns;
    struct weir_engine_stats after = engine_stats();
    print_message("%.0f ms of CPU time in %.0f ms, %" PRIu64 " passes, %" PRIu64 " pauses\n",
                  (double)used_ns / 1e6, (double)took_ns / 1e6, after.passes - before.passes,
                  after.accept_paused - before.accept_paused);
    /* At 10, 20, 40, ... ms, a try each; some passes more are for being woken in time. */
    assert_in_range(after.accept_paused - before.accept_paused, 0, 10);
    assert_true(used_ns < took_ns / 4);
}

/* Those that were accepted are served as ever. */
static void serves_the_accepted(void)
{
    unsigned served = 0;
    for (size_t i = 0; i < PEERS; i++) {
        if (!peer_has(&peers[i], SUM_OF_NOTHING))
            continue;
        peers[i].at = 0;
        peers[i].text[0] = '\0';
        peer_send(&peers[i], GET_SUM);
        RIG_UNTIL(peer_has(&peers[i], SUM_OF_NOTHING));
        assert_string_equal(peers[i].text, SUM_ANSWER);
        served++;
    }
    assert_int_equal(served, ROOM);
}

/* One leaves, one comes: nobody in the backlog is lost. */
static void test_room_by_leaving(void **state)
{
    (void)state;
    rig_serve();
    exhaust();
    rests();
    serves_the_accepted();
    unsigned left = 0;
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    while (left < PEERS) {
        assert_true(weir_clock_ns() < until_ns);
        for (size_t i = 0; i < PEERS; i++) {
            if (peers[i].fd < 0 || !peer_has(&peers[i], SUM_OF_NOTHING))
                continue;
            assert_string_equal(peers[i].text, SUM_ANSWER);
            /* Two numbers become free, the peer's and the server's: one is taken away again. */
            peer_close(&peers[i], left % 2 == 0);
            left++;
        }
        turn();
    }
    assert_int_equal(rig.requests, PEERS + ROOM);
    limit_teardown(NULL);
    rig_serves();
    rig_balanced();
    rig_end(SLACK);
}

static void test_room_by_limit(void **state)
{
    (void)state;
    rig_serve();
    exhaust();
    rests();
    /* Ten at a time: each time it stops again, and goes on again. */
    for (unsigned answered = ROOM; answered < PEERS;) {
        uint64_t pauses = engine_stats().accept_paused;
        limit_descriptors(ROOM);
        answered += ROOM;
        RIG_UNTIL(answered_count() == answered);
        RIG_UNTIL(answered == PEERS || engine_stats().accept_paused > pauses);
    }
    limit_teardown(NULL);
    for (size_t i = 0; i < PEERS; i++) {
        assert_string_equal(peers[i].text, SUM_ANSWER);
        peer_close(&peers[i], false);
    }
    rig_serves();
    rig_balanced();
    rig_end(SLACK);
}

/* The server is closed while it waits for a descriptor. */
static void test_closed_meanwhile(void **state)
{
    (void)state;
    rig_serve();
    exhaust();
    assert_int_equal(weir_server_close(rig.server), 0);
    assert_int_equal(rig.ends, rig.requests);
    assert_int_equal(weir_engine_close(rig.engine), 0);
    limit_teardown(NULL);
    for (size_t i = 0; i < PEERS; i++)
        peer_close(&peers[i], false);
    held_as_before(&rig.before, SLACK);
}

static void test_no_file_at_all(void **state)
{
    (void)state;
    if (ring_is_uring())
        skip();
    rig_serve();
    rig_serves();
    no_file_at_all = true;
    for (size_t i = 0; i < PEERS; i++) {
        peer_dial(&peers[i]);
        peer_send(&peers[i], GET_SUM);
    }
    RIG_UNTIL(engine_stats().accept_paused > 0);
    rests();
    assert_int_equal(answered_count(), 0);
    no_file_at_all = false;
    RIG_UNTIL(answered_count() == PEERS);
    for (size_t i = 0; i < PEERS; i++)
        peer_close(&peers[i], false);
    rig_balanced();
    rig_end(SLACK);
}

static void test_client(void **state)
{
    (void)state;
    static struct fetch fetches[20];
    rig_serve();
    struct weir_client *client = client_open(rig.engine, 20, 1);
    limit_descriptors(0);
    for (size_t i = 0; i < 20; i++) {
        fetch_init(&fetches[i], JOB_SUM, 100);
        assert_true(fetch_send(client, &fetches[i]));
    }
    for (size_t i = 0; i < 20; i++) {
        RIG_UNTIL(fetches[i].ends == 1);
        assert_int_equal(fetches[i].err, WEIR_E_CONNECT);
        assert_int_equal(fetches[i].call.timing.os_err, -EMFILE);
    }
    limit_teardown(NULL);
    for (size_t i = 0; i < 20; i++) {
        fetch_init(&fetches[i], JOB_SUM, 100);
        assert_true(fetch_send(client, &fetches[i]));
    }
    for (size_t i = 0; i < 20; i++) {
        RIG_UNTIL(fetches[i].ends == 1);
        fetch_right(&fetches[i]);
    }
    assert_int_equal(weir_client_close(client), 0);
    rig_balanced();
    rig_end(SLACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_room_by_leaving, limit_setup, limit_teardown),
        cmocka_unit_test_setup_teardown(test_room_by_limit, limit_setup, limit_teardown),
        cmocka_unit_test_setup_teardown(test_closed_meanwhile, limit_setup, limit_teardown),
        cmocka_unit_test_setup_teardown(test_no_file_at_all, limit_setup, limit_teardown),
        cmocka_unit_test_setup_teardown(test_client, limit_setup, limit_teardown),
    };
    return cmocka_run_group_tests_name("no descriptors", tests, pattern_fill, NULL);
}
