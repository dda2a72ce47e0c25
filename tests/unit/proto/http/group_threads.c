/* SPDX-License-Identifier: MIT */
/* Servers that level their connections, each on its own thread; the kernel decides who accepts. */
#include "unit/proto/http/group_nodes.h"

/* ---- Threads ----------------------------------------------------------------------------- */

/* Open, serve until stopped, close; no check leaves a thread but by `err`. */
static void *thread_main(void *arg)
{
    struct node *n = arg;
    n->err = weir_engine_open(&n->engine, &n->engine_cfg);
    if (n->err == 0)
        n->err = weir_server_open(&n->server, n->engine, &n->server_cfg, &handler, n);
    sem_post(&n->opened);
    if (n->err == 0) {
        n->err = weir_engine_run(n->engine);
        while (sem_wait(&n->told) != 0)
            ;
    }
    if (n->server != NULL) {
        n->stats.size = sizeof n->stats;
        weir_server_stats(n->server, &n->stats);
        int err = weir_server_close(n->server);
        n->err = n->err == 0 ? err : n->err;
    }
    /* At once: the other members must be done with this engine. */
    if (n->engine != NULL) {
        int err = weir_engine_close(n->engine);
        n->err = n->err == 0 ? err : n->err;
    }
    return NULL;
}

static void thread_start(unsigned i)
{
    struct node *n = &nodes.at[i];
    assert_int_equal(sem_init(&n->opened, 0, 0) + sem_init(&n->told, 0, 0), 0);
    assert_int_equal(pthread_create(&n->thread, NULL, thread_main, n), 0);
    n->running = true;
    while (sem_wait(&n->opened) != 0)
        ;
    assert_int_equal(n->err, 0);
}

static void thread_drain_run(struct weir_task *task)
{
    struct node *n = weir_container_of(task, struct node, drain_task);
    weir_server_drain(n->server, 0, on_drained);
}

/* In order, or with whatever is in progress. */
static void thread_stop(unsigned i, bool drained)
{
    struct node *n = &nodes.at[i];
    n->drain_task.run = thread_drain_run;
    if (drained)
        weir_engine_post(n->engine, &n->drain_task);
    else
        weir_engine_stop(n->engine);
    sem_post(&n->told);
}

static void thread_join(unsigned i)
{
    struct node *n = &nodes.at[i];
    assert_int_equal(pthread_join(n->thread, NULL), 0);
    assert_int_equal(sem_destroy(&n->opened) + sem_destroy(&n->told), 0);
    n->running = false;
    n->engine = NULL;
    n->server = NULL;
    assert_int_equal(n->err, 0);
}

static char thread_address[WEIR_ADDR_TEXT_BYTES];

static void threads_start(unsigned count)
{
    nodes.count = 0; /* none for turn() */
    assert_int_equal(weir_server_group_open(&nodes.group, count), 0);
    for (unsigned i = 0; i < count; i++) {
        nodes.at[i].server_cfg.group = nodes.group;
        if (i > 0)
            nodes.at[i].server_cfg.listen = thread_address;
        thread_start(i);
        if (i == 0)
            (void)snprintf(thread_address, sizeof thread_address, "%s",
                           weir_server_address(nodes.at[0].server));
    }
    nodes.at[0].server_cfg.listen = thread_address; /* should it come back */
}

/* Who answered; NODES_MAX: the connection ended instead. */
static unsigned outcome(int fd)
{
    const size_t len = strlen(OK_TEXT) + 1;
    const struct timeval patience = { .tv_sec = 4 };
    char got[128];
    size_t have = 0;
    ssize_t n = 0;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    /* With a timeout the call is not restarted when the kernel has something to tidy up of a ring
     * that this thread had. */
    while (have < len &&
           ((n = recv(fd, got + have, len - have, 0)) > 0 || (n < 0 && errno == EINTR)))
        have += n > 0 ? (size_t)n : 0;
    if (n < 0) /* not that nothing came */
        assert_true(errno != EAGAIN);
    if (have == 0)
        return NODES_MAX;
    assert_int_equal(have, len);
    assert_memory_equal(got, OK_TEXT, len - 1);
    return (unsigned)(got[len - 1] - '0');
}

static bool ask(int fd)
{
    return send(fd, GET_TEXT, strlen(GET_TEXT), MSG_NOSIGNAL) == (ssize_t)strlen(GET_TEXT);
}

static void test_threads_even(void **state)
{
    (void)state;
    for (unsigned count = 2; count <= NODES_MAX; count++) {
        enum { CONNS = 60 };
        int fds[CONNS];
        unsigned served[NODES_MAX + 1] = { 0 }, least = UINT_MAX, most = 0;
        uint64_t handed = 0, taken = 0;
        nodes.at[0].server_cfg.listen = "127.0.0.1:0";
        threads_start(count);
        for (unsigned i = 0; i < CONNS; i++) {
            fds[i] = dial(thread_address);
            assert_true(ask(fds[i]));
        }
        for (unsigned i = 0; i < CONNS; i++)
            served[outcome(fds[i])]++;
        for (unsigned i = 0; i < count; i++) {
            least = served[i] < least ? served[i] : least;
            most = served[i] > most ? served[i] : most;
        }
        assert_true(most - least <= 1);
        assert_int_equal(served[NODES_MAX], 0);
        for (unsigned i = 0; i < CONNS; i++)
            close(fds[i]);
        for (unsigned i = 0; i < count; i++)
            thread_stop(i, true);
        for (unsigned i = 0; i < count; i++) {
            thread_join(i);
            handed += nodes.at[i].stats.handed_over;
            taken += nodes.at[i].stats.taken_over;
            assert_int_equal(nodes.at[i].stats.turned_away, 0);
        }
        assert_int_equal(handed, taken);
        assert_int_equal(weir_server_group_close(nodes.group), 0);
        nodes.group = NULL;
    }
}

/*
 * Members come and go, in order and abruptly, while connections arrive: each is answered or ended,
 * and nobody is posted to who is not there any more.
 */
static void test_threads_come_and_go(void **state)
{
    (void)state;
    enum { ROUNDS = 24, BURST = 48 };
    unsigned answered = 0;
    random_begin(2);
    threads_start(NODES_MAX);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned leaving = random_below(NODES_MAX), at = random_below(BURST);
        int fds[BURST];
        for (unsigned i = 0; i < BURST; i++) {
            if (i == at)
                thread_stop(leaving, random_below(2) == 0);
            fds[i] = try_dial(thread_address);
            if (fds[i] >= 0)
                (void)ask(fds[i]); /* whether it could be asked, its outcome tells */
        }
        for (unsigned i = 0; i < BURST; i++) {
            if (fds[i] < 0)
                continue;
            answered += outcome(fds[i]) < NODES_MAX;
            close(fds[i]);
        }
        thread_join(leaving);
        thread_start(leaving);
    }
    assert_true(answered > ROUNDS * BURST / 2);
    for (unsigned i = 0; i < NODES_MAX; i++)
        thread_stop(i, i % 2 == 0);
    for (unsigned i = 0; i < NODES_MAX; i++)
        thread_join(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(test_threads_even),
        GROUP_TEST(test_threads_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
