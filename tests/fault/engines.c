/* SPDX-License-Identifier: MIT */
/*
 * Several engines in one process: each on a thread of its own, with tasks and calls from each to
 * the next all around; and two on one thread, by turns.
 */
#include "fault/flood.h"

#include <pthread.h>
#include <sched.h>

#define NODES_MAX 8
#define TOKENS    4 /* of each node */
#define HOPS      400
#define CALLS     50

/* In a thread that is not the test's own: an assertion of cmocka's would jump out of it. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s; error text: %s\n", __FILE__, __LINE__, #x,                 \
                    weir_error_text());                                                            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- Nodes ------------------------------------------------------------------------------- */

struct node;

/* A task that goes from thread to thread. */
struct token {
    struct weir_task task; /* first: found again from it */
    struct node *at;
    unsigned hops;
};

struct node {
    pthread_t thread;
    int cpu; /* -1: not pinned */
    struct weir_engine *engine;
    struct weir_server *server;
    char endpoint[64];
    struct token tokens[TOKENS];
    struct weir_call call;
    unsigned visits, calls, asked;
    char answer[16];
    size_t answer_bytes;
};

static struct node nodes[NODES_MAX];
static unsigned nodes_count, unfinished;
static pthread_barrier_t barrier;

static struct node *next_of(const struct node *node)
{
    return &nodes[(size_t)(node - nodes + 1) % nodes_count];
}

/* Something is over; when everything is, all engines stop, and from then on nobody posts. */
static void finish_one(void)
{
    if (__atomic_sub_fetch(&unfinished, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (unsigned i = 0; i < nodes_count; i++)
        weir_engine_stop(nodes[i].engine);
}

static bool is_where_it_belongs(const struct node *node)
{
    return pthread_equal(pthread_self(), node->thread) &&
           (node->cpu < 0 || sched_getcpu() == node->cpu);
}

static void token_run(struct weir_task *task)
{
    struct token *token = (struct token *)(void *)task;
    CHECK(is_where_it_belongs(token->at));
    token->at->visits++;
    if (--token->hops == 0) {
        finish_one();
        return;
    }
    token->at = next_of(token->at);
    weir_engine_post(token->at->engine, task);
}

/* Each server answers with its own number. */
static void node_on_request(struct weir_exchange *exchange, void *ctx)
{
    struct node *node = ctx;
    char text[16];
    int len = snprintf(text, sizeof text, "%d", (int)(node - nodes));
    struct weir_response response = { .status = 200,
                                      .body = { (const uint8_t *)text, (size_t)len } };
    CHECK(is_where_it_belongs(node));
    node->asked++;
    CHECK(weir_exchange_respond(exchange, &response) == 0);
}

static void node_on_body(struct weir_call *call, struct weir_slice piece)
{
    struct node *node = call->ctx;
    CHECK(node->answer_bytes + piece.len < sizeof node->answer);
    memcpy(node->answer + node->answer_bytes, piece.ptr, piece.len);
    node->answer_bytes += piece.len;
}

static void node_call(struct node *node, struct weir_client *client);
static __thread struct weir_client *node_client;

static void node_on_end(struct weir_call *call, int err)
{
    struct node *node = call->ctx;
    CHECK(is_where_it_belongs(node));
    CHECK(err == 0 && call->status == 200);
    node->answer[node->answer_bytes] = '\0';
    CHECK(strtol(node->answer, NULL, 10) == next_of(node) - nodes);
    if (++node->calls == CALLS)
        finish_one();
    else
        node_call(node, node_client);
}

static void node_call(struct node *node, struct weir_client *client)
{
    static const struct weir_call_handler handler = { .on_body = node_on_body,
                                                      .on_end = node_on_end };
    node->answer_bytes = 0;
    node->call =
        (struct weir_call){ .request = { .method = WEIR_TEXT("GET"), .target = WEIR_TEXT("/") },
                            .handler = &handler,
                            .ctx = node };
    CHECK(weir_client_send(client, &node->call) == 0);
}

static void node_open(struct node *node)
{
    struct weir_engine_config cfg = rig.engine_cfg;
    struct weir_server_config server_cfg = rig.server_cfg;
    const struct weir_server_handler handler = { .on_request = node_on_request };
    cpu_set_t before;
    cpu_set_t now;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    cfg.cpu = node->cpu;
    CHECK(weir_engine_open(&node->engine, &cfg) == 0);
    CHECK(sched_getaffinity(0, sizeof now, &now) == 0);
    if (node->cpu < 0)
        CHECK(CPU_EQUAL(&before, &now));
    else
        CHECK(CPU_COUNT(&now) == 1 && CPU_ISSET((unsigned)node->cpu, &now));
    CHECK(weir_server_open(&node->server, node->engine, &server_cfg, &handler, node) == 0);
    snprintf(node->endpoint, sizeof node->endpoint, "http://%s", weir_server_address(node->server));
}

static void meet(void)
{
    int rc = pthread_barrier_wait(&barrier);
    CHECK(rc == 0 || rc == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void *node_main(void *arg)
{
    struct node *node = arg;
    struct weir_client_config cfg;
    node->thread = pthread_self();
    node_open(node);
    meet(); /* all are open */
    weir_client_config_init(&cfg);
    cfg.conns_min = 0;
    cfg.endpoint = next_of(node)->endpoint;
    cfg.head_bytes_max = 4096;
    CHECK(weir_client_open(&node_client, node->engine, &cfg) == 0);
    for (unsigned i = 0; i < TOKENS; i++) {
        struct token *token = &node->tokens[i];
        *token = (struct token){ .task = { .run = token_run }, .at = next_of(node), .hops = HOPS };
        weir_engine_post(token->at->engine, &token->task);
    }
    node_call(node, node_client);
    CHECK(weir_engine_run(node->engine) == 0);
    meet(); /* nobody posts any more */
    CHECK(weir_client_close(node_client) == 0);
    CHECK(weir_server_close(node->server) == 0);
    CHECK(weir_engine_close(node->engine) == 0);
    return NULL;
}

/* CPUs that this process may use. */
static unsigned cpus_allowed(int cpus[NODES_MAX])
{
    cpu_set_t set;
    unsigned count = 0;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && count < NODES_MAX; cpu++)
        if (CPU_ISSET(cpu, &set))
            cpus[count++] = (int)cpu;
    return count;
}

static void run_nodes(unsigned count, bool pinned)
{
    pthread_t threads[NODES_MAX];
    int cpus[NODES_MAX];
    unsigned cpus_count = cpus_allowed(cpus);
    unsigned visits = 0;
    memset(nodes, 0, sizeof nodes);
    nodes_count = count;
    unfinished = count * (TOKENS + 1);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, count), 0);
    for (unsigned i = 0; i < count; i++) {
        nodes[i].cpu = pinned ? cpus[i % cpus_count] : -1;
        assert_int_equal(pthread_create(&threads[i], NULL, node_main, &nodes[i]), 0);
    }
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
    for (unsigned i = 0; i < count; i++) {
        visits += nodes[i].visits;
        assert_int_equal(nodes[i].calls, CALLS);
        assert_int_equal(nodes[i].asked, CALLS);
    }
    assert_int_equal(visits, count * TOKENS * HOPS);
    assert_int_equal(unfinished, 0);
}

static void *thread_ends(void *arg)
{
    return arg;
}

static void test_threads(void **state)
{
    (void)state;
    static const unsigned counts[] = { 2, 3, 5, 8 };
    cpu_set_t before;
    cpu_set_t after;
    pthread_t first;
    /* A sanitizer adds a thread of its own to the first, and it stays. */
    assert_int_equal(pthread_create(&first, NULL, thread_ends, NULL), 0);
    assert_int_equal(pthread_join(first, NULL), 0);
    rig.before = held_now();
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    rig.engine_cfg.conns_max = 64;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        run_nodes(counts[i], false);
        run_nodes(counts[i], true);
    }
    /* The pinning is the thread's that opened, nobody else's. */
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
    held_as_before(&rig.before, SLACK);
}

/* ---- Two on one thread ------------------------------------------------------------------- */

#define ANSWERS 300

/* An answer that flood_step() has not looked at yet: there is something to do. */
static bool flood_has_ended(void)
{
    for (unsigned i = 0; i < FETCHES; i++)
        if (flood.busy[i] && flood.fetches[i].ends > 0)
            return true;
    return false;
}

/* One serves, the other asks; `fds`: sleep for both at once, as a host's loop does. */
static void run_by_turns(const struct pollfd fds[2], struct weir_engine *other)
{
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    bool sleeps = fds != NULL;
    while (!flood_step()) {
        assert_true(weir_clock_ns() < until_ns);
        /* What a step asked of its engine leaves in a pass. */
        assert_int_equal(weir_engine_run_once(other, 0), 0);
        assert_int_equal(weir_engine_run_once(rig.engine, 0), 0);
        struct pollfd watched[2];
        if (!sleeps || flood_has_ended())
            continue;
        memcpy(watched, fds, sizeof watched);
        if (poll(watched, 2, 20000) < 1)
            fail_msg("asleep with %u answers of %u", flood.right, flood.goal);
        if (watched[0].revents)
            assert_int_equal(weir_engine_run_once(rig.engine, 0), 0);
        if (watched[1].revents)
            assert_int_equal(weir_engine_run_once(other, 0), 0);
    }
    assert_int_equal(flood.right, ANSWERS);
}

static void two_engines(bool sleeps)
{
    struct weir_engine *other;
    rig_serve();
    engine_open(&other);
    struct weir_client *client = client_open(other, 16, 4);
    flood_init(client, ANSWERS, NULL);
    if (sleeps) {
        const struct pollfd fds[2] = {
            { .fd = weir_engine_fd(rig.engine), .events = POLLIN },
            { .fd = weir_engine_fd(other), .events = POLLIN },
        };
        run_by_turns(fds, other);
    } else {
        run_by_turns(NULL, other);
    }
    assert_int_equal(weir_client_close(client), 0);
    assert_int_equal(weir_engine_close(other), 0);
    rig_balanced();
    rig_end(SLACK);
}

static void test_two_by_turns(void **state)
{
    (void)state;
    two_engines(false);
}

static void test_two_in_a_loop(void **state)
{
    (void)state;
    two_engines(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_threads, rig_setup),
        cmocka_unit_test_setup(test_two_by_turns, rig_setup),
        cmocka_unit_test_setup(test_two_in_a_loop, rig_setup),
    };
    return cmocka_run_group_tests(tests, pattern_fill, NULL);
}
