/* SPDX-License-Identifier: MIT */
/*
 * Servers that level their connections. One thread drives all nodes, in turns, and gives a node the
 * descriptor of a fresh connection as its listener would, so that it is known who accepts what and
 * when it arrives. group_threads.c has a thread for each node.
 */
#include "proto/http/group.c"

#include "unit/proto/http/group_nodes.h"

static int node_open(unsigned i)
{
    struct node *n = &nodes.at[i];
    if (n->engine == NULL)
        assert_int_equal(weir_engine_open(&n->engine, &n->engine_cfg), 0);
    return weir_server_open(&n->server, n->engine, &n->server_cfg, &handler, n);
}

static void check_open(unsigned i)
{
    int rc = node_open(i);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
}

static void open_group(unsigned count)
{
    nodes.count = count;
    assert_int_equal(weir_server_group_open(&nodes.group, count), 0);
    for (unsigned i = 0; i < count; i++) {
        nodes.at[i].server_cfg.group = nodes.group;
        if (i > 0)
            nodes.at[i].server_cfg.listen = weir_server_address(nodes.at[0].server);
        check_open(i);
    }
}

/* ---- Driving ----------------------------------------------------------------------------- */

static void run(unsigned i)
{
    assert_int_equal(weir_engine_run_once(nodes.at[i].engine, 0), 0);
}

static void turn(void)
{
    for (unsigned i = 0; i < nodes.count; i++)
        if (nodes.at[i].engine != NULL)
            run(i);
    for (unsigned i = 0; i < nodes.peers_count; i++)
        rig_pump(&nodes.peers[i]);
}

#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        uint64_t until_end = weir_clock_ns() + RIG_WAIT;                                           \
        while (!(cond)) {                                                                          \
            if (weir_clock_ns() > until_end)                                                       \
                fail_msg("waited too long for %s", #cond);                                         \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static void turns(unsigned count)
{
    while (count-- > 0)
        turn();
}

static struct weir_server_stats stats_of(unsigned i)
{
    struct weir_server_stats stats = { .size = sizeof stats };
    weir_server_stats(nodes.at[i].server, &stats);
    return stats;
}

static unsigned conns(unsigned i)
{
    return stats_of(i).conns_now;
}

static unsigned conns_sum(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < nodes.count; i++)
        sum += nodes.at[i].server != NULL ? conns(i) : 0;
    return sum;
}

static struct rig_peer *peer_add(int fd)
{
    assert_true(nodes.peers_count < CONNS_MAX);
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
    struct rig_peer *p = &nodes.peers[nodes.peers_count++];
    *p = (struct rig_peer){ .fd = fd };
    return p;
}

/* A connection; *fd is the end that a server gets. */
static struct rig_peer *pair(int *fd)
{
    int mine = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(mine >= 0);
    assert_int_equal(connect(mine, (const void *)&nodes.addr.storage, nodes.addr.bytes), 0);
    *fd = accept4(nodes.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(*fd >= 0);
    return peer_add(mine);
}

/* Node `i` accepts a connection. */
static struct rig_peer *accept_at(unsigned i)
{
    int fd;
    struct rig_peer *p = pair(&fd);
    weir_group_accept(nodes.at[i].server, fd);
    return p;
}

/* Ask who serves it. */
static unsigned served_by(struct rig_peer *p)
{
    const size_t len = strlen(OK_TEXT) + 1;
    assert_int_equal(send(p->fd, GET_TEXT, strlen(GET_TEXT), MSG_NOSIGNAL), strlen(GET_TEXT));
    UNTIL(p->in.len >= len || p->eof || p->err != 0);
    assert_int_equal(p->err, 0);
    assert_int_equal(p->in.len, len);
    assert_memory_equal(p->in.ptr, OK_TEXT, len - 1);
    unsigned name = (unsigned)(p->in.ptr[len - 1] - '0');
    rig_buf_drop(&p->in, len);
    return name;
}

static void drain(unsigned i)
{
    struct node *n = &nodes.at[i];
    unsigned before = n->drained;
    weir_server_drain(n->server, 0, on_drained);
    assert_int_equal(n->drained, before);
}

/* ---- The group itself -------------------------------------------------------------------- */

static void test_group(void **state)
{
    (void)state;
    struct weir_server_group *group = (void *)&nodes;
    assert_int_equal(weir_server_group_open(&group, 0), -EINVAL);
    assert_null(group);
    assert_non_null(strstr(weir_error_text(), "members_max"));
    assert_int_equal(weir_server_group_open(&group, 1025), -EINVAL);
    assert_int_equal(weir_server_group_open(&group, 1024), 0);
    assert_int_equal(weir_server_group_close(group), 0);
    open_group(2);
    assert_int_equal(weir_server_group_close(nodes.group), -EBUSY);
    close_server(0);
    assert_int_equal(weir_server_group_close(nodes.group), -EBUSY);
    close_server(1);
}

static void refused(unsigned i, int err, const char *word)
{
    nodes.at[i].server = (void *)&nodes;
    assert_int_equal(node_open(i), err);
    assert_null(nodes.at[i].server);
    if (strstr(weir_error_text(), word) == NULL)
        assert_string_equal(weir_error_text(), word);
}

static void test_refusals(void **state)
{
    (void)state;
    struct weir_server_config *cfg = &nodes.at[2].server_cfg;
    open_group(2);
    cfg->group = nodes.group;
    cfg->listen = weir_server_address(nodes.at[0].server);
    refused(2, -ENOBUFS, "2 places");
    close_server(1);
    cfg->reuse_port = false;
    refused(2, -EINVAL, "reuse_port");
    cfg->reuse_port = true;
    cfg->listen = "unix:group.sock";
    refused(2, -EINVAL, "unix");
    assert_int_equal(access("group.sock", F_OK), -1);
    cfg->listen = "127.0.0.1:0";
    refused(2, -EINVAL, "picked");
    cfg->listen = "127.0.0.2:9";
    refused(2, -EINVAL, weir_server_address(nodes.at[0].server));
    cfg->listen = "nowhere";
    refused(2, -EINVAL, "nowhere");
    cfg->listen = weir_server_address(nodes.at[0].server);
    struct weir_server *second;
    assert_int_equal(weir_server_open(&second, nodes.at[0].engine, cfg, &handler, NULL), -EINVAL);
    assert_non_null(strstr(weir_error_text(), "engine"));
    /* None of these took a place. */
    check_open(2);
}

/* A place that could not be listened for is free again, and with nobody left so is the address. */
static void test_place_of_a_failure(void **state)
{
    (void)state;
    struct node *n = &nodes.at[1];
    check_open(0); /* of no group */
    assert_int_equal(weir_server_group_open(&nodes.group, 1), 0);
    n->server_cfg.group = nodes.group;
    n->server_cfg.listen = "192.0.2.1:9";
    refused(1, -EADDRNOTAVAIL, "192.0.2.1");
    n->server_cfg.listen = "127.0.0.1:0";
    nodes.count = 2;
    check_open(1);
    assert_int_equal(served_by(accept_at(1)), 1); /* alone in its group */
}

/* ---- Even -------------------------------------------------------------------------------- */

static void check_even(unsigned sum)
{
    unsigned least = UINT_MAX, most = 0;
    UNTIL(conns_sum() == sum);
    for (unsigned i = 0; i < nodes.count; i++) {
        least = conns(i) < least ? conns(i) : least;
        most = conns(i) > most ? conns(i) : most;
    }
    assert_true(most - least <= 1);
}

/* One member accepts all: each that is handed over goes to the next in turn. */
static void test_all_at_one(void **state)
{
    (void)state;
    static const unsigned order[] = { 0, 1, 2, 3 };
    open_group(4);
    for (unsigned i = 0; i < 40; i++) {
        struct rig_peer *p = accept_at(0);
        check_even(i + 1);
        assert_int_equal(served_by(p), order[i % 4]);
    }
    assert_int_equal(stats_of(0).handed_over, 30);
    assert_int_equal(stats_of(0).taken_over, 0);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(stats_of(i).handed_over, 0);
        assert_int_equal(stats_of(i).taken_over, 10);
        assert_int_equal(stats_of(i).conns, 10);
    }
    assert_int_equal(stats_of(0).conns, 10);
}

/* Of those with equally few nobody is favoured, also when connections are short. */
static void test_ties_in_turn(void **state)
{
    (void)state;
    static const unsigned order[] = { 1, 2, 3, 1, 2, 3, 1 };
    open_group(4);
    assert_int_equal(served_by(accept_at(0)), 0);
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++) {
        struct rig_peer *p = accept_at(0);
        assert_int_equal(served_by(p), order[i]);
        rig_hang_up(p);
        UNTIL(conns_sum() == 1);
    }
}

/* Nothing is handed over that would not make it more even. */
static void test_even_already(void **state)
{
    (void)state;
    open_group(3);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(served_by(accept_at(i % 3)), i % 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(stats_of(i).handed_over + stats_of(i).taken_over, 0);
}

/* The decision counts what is on its way: nobody else runs meanwhile. */
static void test_on_the_way_counts(void **state)
{
    (void)state;
    open_group(4);
    for (unsigned i = 0; i < 22; i++)
        accept_at(0);
    assert_int_equal(conns(0), 6);
    assert_int_equal(conns_sum(), 6);
    accept_at(3); /* has 5, all on their way, and may keep one more */
    assert_int_equal(conns(3), 1);
    check_even(23);
    assert_int_equal(stats_of(0).handed_over, 16);
}

/* Whoever accepts, whoever ends: what comes goes where there are the fewest. */
static void test_random(void **state)
{
    (void)state;
    random_begin(1);
    for (unsigned count = 2; count <= 4; count++) {
        unsigned open = 0;
        open_group(count);
        for (unsigned i = 0; i < 120; i++) {
            if (random_below(3) > 0) {
                accept_at(random_below(count));
                open++;
            } else if (open > 0) {
                struct rig_peer *p = &nodes.peers[0];
                while (p->fd < 0)
                    p++;
                assert_true(served_by(p) < count);
                rig_hang_up(p);
                open--;
                UNTIL(conns_sum() == open);
            }
        }
        UNTIL(conns_sum() == open);
        unsigned most = 0;
        for (unsigned i = 0; i < count; i++)
            most = conns(i) > most ? conns(i) : most;
        while (open < most * count) {
            accept_at(random_below(count));
            open++;
        }
        check_even(open);
        close_all();
        assert_int_equal(weir_server_group_close(nodes.group), 0);
        nodes.group = NULL;
        nodes.at[0].server_cfg.listen = "127.0.0.1:0";
    }
}

/* The kernel accepts, on whatever listener; in turns that is one thread's work, too. */
static void test_by_the_port(void **state)
{
    (void)state;
    open_group(3);
    for (unsigned i = 0; i < 32; i++) {
        struct rig_peer *p = peer_add(dial(weir_server_address(nodes.at[0].server)));
        assert_true(served_by(p) < 3);
        check_even(i + 1);
    }
}

/* ---- Limits ------------------------------------------------------------------------------ */

/* What is on its way counts towards the receiver's limit, before it has run at all. */
static void test_limit_of_the_receiver(void **state)
{
    (void)state;
    nodes.at[1].server_cfg.conns_max = 2;
    open_group(2);
    for (unsigned i = 0; i < 10; i++)
        accept_at(0);
    assert_int_equal(stats_of(0).handed_over, 2);
    assert_int_equal(conns(0), 8);
    UNTIL(conns(1) == 2);
    turns(4);
    assert_int_equal(conns(0) + conns(1), 10);
    assert_int_equal(stats_of(0).turned_away + stats_of(1).turned_away, 0);
    accept_at(1); /* full itself: then to the one that has more */
    UNTIL(conns(0) == 9);
}

/* All are full: one connection waits, without a slot, and is served when there is room. */
static void test_all_full(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        nodes.at[i].server_cfg.conns_max = 1;
    open_group(3);
    struct rig_peer *p[3], *held;
    for (unsigned i = 0; i < 3; i++)
        p[i] = accept_at(0);
    UNTIL(conns_sum() == 3);
    for (unsigned i = 0; i < 6; i++) {
        held = accept_at(0);
        turns(4);
        assert_int_equal(conns_sum(), 3);
        assert_false(held->eof);
        /* The first frees its own place and the others make it look again: both end the wait. */
        unsigned free = i % 3;
        assert_int_equal(served_by(p[free]), free);
        rig_hang_up(p[free]);
        assert_int_equal(served_by(held), free);
        p[free] = held;
    }
    assert_int_equal(stats_of(0).turned_away, 0);
    /* A second that waits is one too many, and learns it. */
    held = accept_at(0);
    struct rig_peer *late = accept_at(0);
    UNTIL(late->err != 0);
    assert_int_equal(late->err, -ECONNRESET);
    assert_int_equal(stats_of(0).turned_away, 1);
    rig_hang_up(p[2]);
    assert_int_equal(served_by(held), 2);
}

/* One that waits when its server ends is reset; before that it is handed on, if there is room. */
static void test_held_at_the_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        nodes.at[i].server_cfg.conns_max = 1;
    open_group(2);
    struct rig_peer *first = accept_at(0), *second = accept_at(0), *held = accept_at(0);
    UNTIL(conns_sum() == 2);
    drain(0);
    UNTIL(nodes.at[0].drained == 1 && held->err != 0 && first->eof);
    assert_int_equal(held->err, -ECONNRESET);
    assert_int_equal(stats_of(0).turned_away, 1);
    held = accept_at(1);
    turns(2);
    rig_hang_up(second);
    assert_int_equal(served_by(held), 1);
    struct rig_peer *last = accept_at(1);
    close_server(1);
    UNTIL(last->err != 0 && held->err != 0);
}

static void test_held_is_handed_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        nodes.at[i].server_cfg.conns_max = 1;
    open_group(2);
    accept_at(0);
    struct rig_peer *second = accept_at(0), *held = accept_at(0);
    UNTIL(conns_sum() == 2);
    rig_hang_up(second);
    for (uint64_t end = weir_clock_ns() + RIG_WAIT; conns(1) > 0;) {
        assert_true(weir_clock_ns() < end);
        run(1); /* and 0, which would place it, does not run */
    }
    drain(0);
    assert_int_equal(served_by(held), 1);
}

/* Of the hand-overs one may have on their way; what is beyond is kept. */
static void test_hand_overs_run_out(void **state)
{
    (void)state;
    open_group(2);
    for (unsigned i = 0; i < 150; i++)
        accept_at(0);
    assert_int_equal(stats_of(0).handed_over, 64);
    assert_int_equal(conns(0), 150 - 64);
    UNTIL(conns_sum() == 150);
    assert_int_equal(conns(1), 64);
    for (unsigned i = 0; i < 22; i++)
        accept_at(0); /* they are there again */
    UNTIL(conns_sum() == 172);
    assert_int_equal(conns(1), 86);
    check_even(172);
}

/* Others have taken the slots of the receiver's engine: what arrives goes on, to where it fits. */
static void test_no_slot_there(void **state)
{
    (void)state;
    struct weir_server_config plain = nodes.at[1].server_cfg;
    struct weir_server *other;
    nodes.at[1].engine_cfg.conns_max = 4;
    plain.reuse_port = false;
    open_group(2);
    assert_int_equal(weir_server_open(&other, nodes.at[1].engine, &plain, &handler, &nodes.at[1]),
                     0);
    struct rig_peer *p[2];
    for (unsigned i = 0; i < 2; i++) {
        p[i] = peer_add(dial(weir_server_address(other)));
        assert_int_equal(served_by(p[i]), 1);
    }
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(served_by(accept_at(0)), 0);
    assert_true(stats_of(1).handed_over > 0);
    assert_int_equal(stats_of(1).taken_over + stats_of(1).turned_away, 0);
    rig_hang_up(p[0]);
    UNTIL(weir_slots_free(nodes.at[1].engine) == 1);
    assert_int_equal(served_by(accept_at(0)), 1);
    assert_int_equal(weir_server_close(other), 0);
}

/* ---- Ending with connections on their way ------------------------------------------------ */

/* They arrive at a server that drains, which is not drained before, and go on to the next. */
static void test_drain_on_the_way(void **state)
{
    (void)state;
    open_group(3);
    struct rig_peer *p[6];
    for (unsigned i = 0; i < 6; i++)
        p[i] = accept_at(0);
    drain(1);
    assert_int_equal(conns_sum(), 2);
    for (unsigned i = 0; i < 8; i++)
        run(0);
    assert_int_equal(nodes.at[1].drained, 0);
    UNTIL(nodes.at[1].drained == 1);
    UNTIL(conns_sum() == 6);
    for (unsigned i = 0; i < 6; i++)
        assert_int_not_equal(served_by(p[i]), 1);
    assert_true(conns(0) == 3 && conns(2) == 3);
    assert_int_equal(stats_of(1).handed_over, 2);
    assert_int_equal(stats_of(1).taken_over, 0);
    accept_at(0);
    accept_at(0);
    UNTIL(conns(0) == 4 && conns(2) == 4); /* nothing more goes to the one that drains */
}

/* A place is reserved and the connection not even posted yet: it is not drained before. */
static void test_drain_with_a_reservation(void **state)
{
    (void)state;
    int fd;
    open_group(2);
    struct weir_group_member *from = nodes.at[0].server->member, *to = nodes.at[1].server->member;
    assert_true(handover_ready(from));
    assert_true(load_reserve(to, load_look(to)));
    drain(1);
    turns(20);
    assert_int_equal(nodes.at[1].drained, 0);
    assert_false(load_reserve(to, load_look(to) | LOAD_OPEN)); /* and no other is taken */
    struct rig_peer *p = pair(&fd);
    handover_post(from, to, fd, 0);
    UNTIL(nodes.at[1].drained == 1);
    assert_int_equal(served_by(p), 0);
}

/* Closed at once: it waits for what is on its way. */
static void test_close_on_the_way(void **state)
{
    (void)state;
    open_group(3);
    struct rig_peer *p[6];
    for (unsigned i = 0; i < 6; i++)
        p[i] = accept_at(0);
    close_server(1);
    close_engine(&nodes.at[1]);
    for (unsigned i = 0; i < 6; i++)
        assert_int_not_equal(served_by(p[i]), 1);
    assert_int_equal(conns(0) + conns(2), 6);
    /* Its place can be taken again. */
    check_open(1);
    assert_int_equal(served_by(accept_at(0)), 1);
    assert_int_equal(served_by(accept_at(2)), 1);
}

/* The giver goes first: what it gave is not its any more. */
static void test_giver_closes(void **state)
{
    (void)state;
    open_group(2);
    struct rig_peer *p[4];
    for (unsigned i = 0; i < 4; i++)
        p[i] = accept_at(0);
    close_server(0);
    close_engine(&nodes.at[0]);
    UNTIL(conns(1) == 2);
    assert_int_equal(served_by(p[1]), 1);
    assert_int_equal(served_by(p[3]), 1);
    UNTIL(p[0]->err == -ECONNRESET && p[2]->err == -ECONNRESET);
}

/* All of them drain: what is on its way is reset, as it would be in a backlog. */
static void test_all_drain_on_the_way(void **state)
{
    (void)state;
    open_group(3);
    struct rig_peer *p[6];
    for (unsigned i = 0; i < 6; i++)
        p[i] = accept_at(0);
    for (unsigned i = 0; i < 3; i++)
        drain(i);
    UNTIL(nodes.at[0].drained == 1 && nodes.at[1].drained == 1 && nodes.at[2].drained == 1);
    for (unsigned i = 0; i < 6; i++) {
        UNTIL(p[i]->eof || p[i]->err != 0);
        assert_int_equal(p[i]->err, i % 3 == 0 ? 0 : -ECONNRESET);
    }
    assert_int_equal(stats_of(1).turned_away, 2);
    assert_int_equal(stats_of(2).turned_away, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(test_group),
        GROUP_TEST(test_refusals),
        GROUP_TEST(test_place_of_a_failure),
        GROUP_TEST(test_all_at_one),
        GROUP_TEST(test_ties_in_turn),
        GROUP_TEST(test_even_already),
        GROUP_TEST(test_on_the_way_counts),
        GROUP_TEST(test_random),
        GROUP_TEST(test_by_the_port),
        GROUP_TEST(test_limit_of_the_receiver),
        GROUP_TEST(test_all_full),
        GROUP_TEST(test_held_at_the_end),
        GROUP_TEST(test_held_is_handed_on),
        GROUP_TEST(test_hand_overs_run_out),
        GROUP_TEST(test_no_slot_there),
        GROUP_TEST(test_drain_on_the_way),
        GROUP_TEST(test_drain_with_a_reservation),
        GROUP_TEST(test_close_on_the_way),
        GROUP_TEST(test_giver_closes),
        GROUP_TEST(test_all_drain_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
