/* SPDX-License-Identifier: MIT */
/*
 * The contract of core/ring.h, put to every twin: a twin is what passes here. These rules are of
 * the ring as such; tests/contract/streams.c has what its operations do.
 */
#include "contract/twins.h"

#include <poll.h>

/* ---- Queuing ----------------------------------------------------------------------------- */

/* Nothing shows before an enter; after one that leaves nothing unsubmitted, addresses and
 * descriptions may be gone. */
static void nothing_before_the_enter(void **state)
{
    (void)state;
    const struct weir_cqe *cqe;
    int fds[2];
    rig_pair(fds, AF_INET);
    assert_false(rig.ops->unsubmitted(rig.ring));
    uint64_t op = rig_send(fds[0], rig_piece(0, 10));
    assert_true(rig.ops->unsubmitted(rig.ring));
    assert_int_equal(rig.ops->peek(rig.ring, &cqe), 0);
    rig_submit();
    assert_false(rig.ops->unsubmitted(rig.ring));
    assert_int_equal(rig_end(op), 10);
}

static void user_data_has_64_bits(void **state)
{
    (void)state;
    static const uint64_t values[] = { UINT64_MAX, 1ull << 63, 0x89abcdef01234567, UINT64_MAX };
    int fds[2];
    rig_pair(fds, AF_INET);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t before = rig.log_count;
        rig.ops->send(rig.ring, fds[0], rig_piece(0, 1), values[i]);
        RIG_UNTIL(rig.log_count > before);
        assert_int_equal(rig.log[before].res, 1);
        assert_true(rig.log[before].user_data == values[i]);
    }
}

/* Many connections busy at once, through queues of 8: everything completes, nothing is lost. */
static void more_than_the_queues_hold(void **state)
{
    (void)state;
    enum { PAIRS = 50 };
    struct weir_ring_config cfg = rig_config();
    cfg.sq_entries = cfg.cq_entries = 8;
    rig_reopen(cfg);
    static struct rig_flow flows[PAIRS];
    struct rig_addr addr;
    int listener = rig_listen(&addr, AF_INET), fds[2];
    for (uint32_t i = 0; i < PAIRS; i++) {
        rig_pair_at(fds, listener, &addr);
        flows[i] =
            (struct rig_flow){ .from = fds[0], .to = fds[1], .end = 5000 + i, .piece = 500 + i };
        flows[i].seen = rig.log_count;
    }
    RIG_UNTIL(({
        bool over = true;
        for (uint32_t i = 0; i < PAIRS; i++)
            over &= rig_flow(&flows[i]);
        over;
    }));
    assert_true(rig.ring->counters.sqes >= rig.ops_begun);
}

/* ops_max operations wait at once, and all of them end when they are cancelled. */
static void ops_max_in_flight(void **state)
{
    (void)state;
    enum { MANY = 500 };
    struct weir_ring_config cfg = rig_config();
    cfg.ops_max = MANY + 1;
    rig_reopen(cfg);
    struct rig_addr addr;
    int listener = rig_listen(&addr, AF_INET);
    uint64_t ops[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        ops[i] = rig_op();
        rig.ops->accept(rig.ring, listener, false, ops[i]);
    }
    rig_submit();
    rig_settle();
    assert_int_equal(rig.log_count, 0);
    assert_true(rig_end(rig_cancel_fd(listener)) >= 0);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(rig_end(ops[i]), -ECANCELED);
}

/* What is peeked lies in one piece, is taken in any portions, and survives the wrap-around. */
static void completions_are_taken_in_portions(void **state)
{
    (void)state;
    struct weir_ring_config cfg = rig_config();
    cfg.cq_entries = cfg.sq_entries = 8;
    rig_reopen(cfg);
    int fds[7][2];
    for (unsigned i = 0; i < 7; i++)
        rig_pair(fds[i], AF_INET);
    const struct weir_cqe *cqe;
    for (unsigned round = 0; round < 20; round++) {
        bool seen[7] = { false };
        for (unsigned i = 0; i < 7; i++)
            rig.ops->send(rig.ring, fds[i][0], rig_piece(0, 1), 100000 + i);
        uint64_t end = weir_clock_ns() + RIG_WAIT;
        for (uint32_t taken = 0; taken < 7;) {
            uint32_t count = rig.ops->peek(rig.ring, &cqe);
            assert_true(count <= 7 - taken);
            if (count == 0)
                rig_enter(100 * RIG_MS);
            assert_true(weir_clock_ns() < end);
            uint32_t portion = count < 3 ? count : round % 3 + 1;
            for (uint32_t i = 0; i < portion; i++) {
                assert_in_range(cqe[i].user_data, 100000, 100006);
                assert_false(seen[cqe[i].user_data - 100000]);
                seen[cqe[i].user_data - 100000] = true;
            }
            rig.ops->advance(rig.ring, portion);
            taken += portion;
        }
    }
    assert_int_equal(rig.ops->peek(rig.ring, &cqe), 0);
}

static void bad_descriptors_complete_with_ebadf(void **state)
{
    (void)state;
    if (rig.world != NULL)
        skip(); /* a judge: it ends the process for that */
    int fd = rig.sock->stream(rig.ring, AF_INET);
    assert_true(fd >= 0);
    rig.sock->close(rig.ring, fd);
    assert_int_equal(rig_end(rig_send(fd, rig_piece(0, 1))), -EBADF);
    assert_int_equal(rig_end(rig_recv(fd)), -EBADF);
    assert_int_equal(rig_end(rig_recv(-1)), -EBADF);
}

/* ---- Cancel ------------------------------------------------------------------------------ */

static void cancel_by_user_data(void **state)
{
    (void)state;
    int a[2], b[2];
    rig_pair(a, AF_INET);
    rig_pair(b, AF_INET);
    uint64_t victim = rig_recv(a[1]), other = rig_recv(b[1]), cancel = rig_op();
    /* Queued together, or when it waits already. */
    for (unsigned i = 0; i < 2; i++) {
        rig.ops->cancel(rig.ring, victim, cancel);
        assert_true(rig_end(cancel) >= 0);
        assert_int_equal(rig_end(victim), -ECANCELED);
        assert_int_equal(rig_seen(victim), 1);
        assert_true(rig.inflight[other]);
        victim = rig_recv(a[1]);
        cancel = rig_op();
        rig_submit();
    }
    /* Its sibling lives, and so does the connection. */
    assert_int_equal(rig_end(rig_send(b[0], rig_piece(0, 7))), 7);
    RIG_UNTIL(rig_seen(other) == 1);
    assert_int_equal(rig_end(rig_send(a[0], rig_piece(0, 8))), 8);
    RIG_UNTIL(rig_seen(victim) == 1);
    assert_int_equal(rig_nth(victim, 0)->res, 8);
    rig.ops->cancel(rig.ring, victim, cancel);
    assert_true(rig_end(cancel) >= 0);
    assert_int_equal(rig_end(victim), -ECANCELED);
}

/* Everything on the descriptor, both directions, and nothing else. */
static void cancel_by_descriptor(void **state)
{
    (void)state;
    int a[2], b[2];
    uint64_t sent;
    rig_pair(a, AF_INET);
    rig_pair(b, AF_INET);
    uint64_t sending = rig_fill(a[0], &sent), receiving = rig_recv(a[0]), other = rig_recv(b[0]);
    rig_submit();
    int rc = rig_end(rig_cancel_fd(a[0]));
    assert_true(rc == 0 || rc == 2);
    assert_int_equal(rig_end(receiving), -ECANCELED);
    rc = rig_end(sending);
    assert_true(rc == -ECANCELED || rc > 0);
    assert_true(rig.inflight[other]);
    assert_int_equal(rig_end(rig_send(b[1], rig_piece(0, 7))), 7);
    RIG_UNTIL(rig_seen(other) == 1);
}

/* Nobody accepts and the backlog is full: a connect hangs until it is cancelled. */
static void cancel_of_a_connect(void **state)
{
    (void)state;
    struct rig_addr addr = rig_addr(AF_INET);
    int listener = rig_fd(rig.sock->listen(rig.ring, rig_at(&addr), 1, false));
    assert_int_equal(rig.sock->local(rig.ring, listener, &addr.storage, &addr.bytes), 0);
    for (unsigned i = 0; i < 8; i++) {
        int fd = rig_stream(&addr);
        uint64_t op = rig_connect(fd, &addr);
        rig_settle();
        if (!rig.inflight[op])
            continue;
        uint64_t cancel = rig_op();
        rig.ops->cancel(rig.ring, op, cancel);
        assert_int_equal(rig_end(op), -ECANCELED);
        assert_true(rig_end(cancel) >= 0);
        rig_close_fd(fd);
        return;
    }
    skip(); /* a world that takes them all, or refuses them */
}

static void cancel_of_nothing(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    uint64_t over = rig_send(fds[0], rig_piece(0, 1)), never = rig_op(), cancel[3];
    rig_end(over);
    const uint64_t targets[] = { over, never, UINT64_MAX };
    for (unsigned i = 0; i < 3; i++) {
        cancel[i] = rig_op();
        rig.ops->cancel(rig.ring, targets[i], cancel[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rig_end(cancel[i]), -ENOENT);
    int rc = rig_end(rig_cancel_fd(fds[0]));
    assert_true(rc == 0 || rc == -ENOENT);
    rig.inflight[never] = false;
    rig.ops_inflight--;
}

/* ---- Waiting ----------------------------------------------------------------------------- */

/* Never before the deadline, at once when it has passed. */
static void wait_until_the_deadline(void **state)
{
    (void)state;
    static const uint64_t waits[] = { 0, 1000, 50000, 1000000, 5000000 };
    int fds[2];
    rig_pair(fds, AF_INET);
    uint64_t op = rig_recv(fds[0]);
    rig_settle();
    for (unsigned i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        struct weir_ring_wait wait = { .count = 1 };
        wait.deadline_ns = rig.ops->now_ns(rig.ring) + waits[i];
        assert_int_equal(rig.ops->enter(rig.ring, &wait), 0);
        assert_true(rig.ops->now_ns(rig.ring) >= wait.deadline_ns);
        assert_true(rig.ops->now_ns(rig.ring) < wait.deadline_ns + RIG_WAIT);
    }
    struct weir_ring_wait past = { .count = 1, .deadline_ns = 1 };
    assert_int_equal(rig.ops->enter(rig.ring, &past), 0);
    assert_true(rig.inflight[op]);
}

/* Without a deadline, and without a wait at all, what is visible is not waited for. */
static void wait_for_what_is_there(void **state)
{
    (void)state;
    const struct weir_ring_wait wait = { .count = 1, .deadline_ns = WEIR_NO_DEADLINE };
    int fds[2];
    const struct weir_cqe *cqe;
    rig_pair(fds, AF_INET);
    uint64_t op = rig_recv(fds[1]);
    rig_submit();
    uint64_t send = rig_send(fds[0], rig_piece(0, 5));
    assert_int_equal(rig.ops->enter(rig.ring, &wait), 0);
    assert_true(rig.ops->peek(rig.ring, &cqe) > 0);
    assert_int_equal(rig.ops->enter(rig.ring, &wait), 0);
    rig_end(send);
    RIG_UNTIL(rig_seen(op) == 1);
}

/* With a count: until so many are there. Only the time may cut it short. */
static void wait_for_a_count(void **state)
{
    (void)state;
    int fds[3][2];
    for (unsigned i = 0; i < 3; i++)
        rig_pair(fds[i], AF_INET);
    rig_settle();
    struct weir_ring_wait wait = { .count = 3 };
    for (unsigned i = 0; i < 3; i++)
        rig_send(fds[i][0], rig_piece(0, 1));
    wait.deadline_ns = rig.ops->now_ns(rig.ring) + RIG_WAIT;
    assert_int_equal(rig.ops->enter(rig.ring, &wait), 0);
    assert_int_equal(rig_reap(), 3);
    /* Two of the three: the deadline comes first. */
    rig_send(fds[0][0], rig_piece(0, 1));
    rig_send(fds[1][0], rig_piece(0, 1));
    wait.deadline_ns = rig.ops->now_ns(rig.ring) + 2 * RIG_MS;
    assert_int_equal(rig.ops->enter(rig.ring, &wait), 0);
    assert_true(rig.ops->now_ns(rig.ring) >= wait.deadline_ns);
    assert_int_equal(rig_reap(), 2);
    if (!(rig.ring->abilities & WEIR_RING_MIN_WAIT))
        return;
    /* For three for a while, then one is enough. */
    wait.min_wait_us = 2000;
    uint64_t began = rig.ops->now_ns(rig.ring);
    wait.deadline_ns = began + RIG_WAIT;
    rig_send(fds[0][0], rig_piece(0, 1));
    assert_int_equal(rig.ops->enter(rig.ring, &wait), 0);
    uint64_t took = rig.ops->now_ns(rig.ring) - began;
    assert_true(took >= 2 * RIG_MS && took < RIG_WAIT);
    assert_int_equal(rig_reap(), 1);
}

/* True while completions are visible, false when there is nothing, and once bytes are there it
 * becomes true without an enter, which then shows them. */
static void ready_tells(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    uint64_t op = rig_recv(fds[1]);
    rig_settle();
    assert_false(rig.ops->ready(rig.ring));
    for (uint32_t round = 1; round <= 10; round++) {
        const struct weir_cqe *cqe;
        uint64_t send = rig_send(fds[0], rig_piece(0, 5));
        while (rig.ops->peek(rig.ring, &cqe) == 0)
            rig_enter(round % 2 * RIG_MS);
        assert_true(rig.ops->ready(rig.ring));
        rig_reap();
        rig_end(send);
        /* The receive's may be reaped already. Where time stands still it has to be entered. */
        uint64_t end = weir_clock_ns() + RIG_WAIT, spin = weir_clock_ns() + 50 * RIG_MS;
        while (rig_seen(op) < round && weir_clock_ns() < end) {
            if (rig.ops->ready(rig.ring))
                rig_enter(0);
            else if (rig.world != NULL || weir_clock_ns() > spin)
                rig_enter(RIG_MS);
            rig_reap();
        }
        assert_int_equal(rig_seen(op), round);
        rig_put_all();
    }
    rig_settle();
    assert_false(rig.ops->ready(rig.ring));
}

static bool readable(int fd, int wait_ms)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    return poll(&poller, 1, wait_ms) == 1;
}

/* Readable when bytes came for a receive, and while completions are not reaped; not when there is
 * nothing. */
static void pollable_wakes(void **state)
{
    (void)state;
    int fds[2];
    int fd = rig.ops->pollable(rig.ring);
    if (fd < 0) {
        assert_non_null(rig.world); /* only a simulated one has no descriptor */
        skip();
    }
    assert_int_equal(rig.ops->pollable(rig.ring), fd);
    rig_pair(fds, AF_INET);
    uint64_t op = rig_recv(fds[1]);
    for (uint32_t round = 1; round <= 5; round++) {
        rig_settle();
        assert_false(readable(fd, 0));
        const struct weir_cqe *cqe;
        (void)rig_send(fds[0], rig_piece(0, 5));
        rig_enter(0);
        /* The send's completion is there or comes, the receive's too: nobody has reaped. */
        assert_true(readable(fd, 5000));
        rig_enter(0);
        if (rig.ops->peek(rig.ring, &cqe) > 0)
            assert_true(readable(fd, 0));
        uint64_t end = weir_clock_ns() + RIG_WAIT;
        while (rig_seen(op) < round && weir_clock_ns() < end) {
            rig_reap();
            if (rig_seen(op) < round && readable(fd, 1000))
                rig_enter(0);
        }
        assert_int_equal(rig_seen(op), round);
        rig_put_all();
    }
}

/* ---- Close ------------------------------------------------------------------------------- */

/* Whatever is in flight, queued or not reaped is forgotten, and no memory is touched any more. */
static void close_while_in_flight(void **state)
{
    (void)state;
    if (rig.world != NULL)
        skip(); /* as for bad descriptors */
    struct rig_addr addr;
    uint64_t sent;
    int listener = rig_listen(&addr, AF_INET), fds[2];
    rig_pair_at(fds, listener, &addr);
    (void)rig_fill(fds[0], &sent);
    (void)rig_recv(fds[0]);
    rig.ops->accept(rig.ring, listener, true, rig_op());
    rig_submit();
    (void)rig_send(fds[1], rig_piece(0, 5));
    rig_enter(RIG_MS);
    (void)rig_recv(fds[1]);
    rig.ops->close(rig.ring);
    rig.abandoned = true;
    /* The kernel's sockets outlive the ring; a simulated world takes its own with it. */
    for (uint32_t i = 0; i < rig.fds_count && rig.world == NULL; i++)
        weir_sock_kernel.close(NULL, rig.fds[i]);
}

static const struct rule rules[] = {
    RULE(nothing_before_the_enter),
    RULE(user_data_has_64_bits),
    RULE(more_than_the_queues_hold),
    RULE(ops_max_in_flight),
    RULE(completions_are_taken_in_portions),
    RULE(bad_descriptors_complete_with_ebadf),
    RULE(cancel_by_user_data),
    RULE(cancel_by_descriptor),
    RULE(cancel_of_nothing),
    RULE(cancel_of_a_connect),
    RULE(wait_until_the_deadline),
    RULE(wait_for_what_is_there),
    RULE(wait_for_a_count),
    RULE(ready_tells),
    RULE(pollable_wakes),
    RULE(close_while_in_flight),
};

int main(void)
{
    return rules_run(rules, sizeof rules / sizeof rules[0]);
}
