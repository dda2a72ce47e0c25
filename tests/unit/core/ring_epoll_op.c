/* SPDX-License-Identifier: MIT */
/* Descriptors and operations of the epoll twin: the system calls they cost, odd descriptors. */
#include "core/ring_epoll.h"

#include <errno.h>
#include <unistd.h>

static unsigned ctl_calls, recv_calls, send_calls;

static int counted_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    ctl_calls++;
    return epoll_ctl(epoll_fd, op, fd, event);
}

static ssize_t counted_recv(int fd, void *data, size_t bytes, int flags)
{
    recv_calls++;
    return recv(fd, data, bytes, flags);
}

static ssize_t counted_send(int fd, const void *data, size_t bytes, int flags)
{
    send_calls++;
    return send(fd, data, bytes, flags);
}

#define epoll_ctl counted_epoll_ctl
#define recv      counted_recv
#define send      counted_send
#include "core/ring_epoll_op.c"
#undef epoll_ctl
#undef recv
#undef send

#include "contract/twins.h"

#include <fcntl.h>
#include <sys/eventfd.h>

static const struct twin twin = { .name = "epoll", .type = &weir_ring_epoll };

static void count_anew(void)
{
    ctl_calls = recv_calls = send_calls = 0;
}

/* ---- Costs ------------------------------------------------------------------------------- */

/* One registration for the life of a connection, one call for what a TCP socket holds. */
static void test_calls_of_a_request(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    rig_recv(fds[1]);
    rig_settle();
    count_anew();
    uint32_t before = rig.log_count;
    for (uint32_t i = 1; i <= 10; i++) {
        assert_int_equal(send(fds[0], "request", 7, MSG_NOSIGNAL), 7);
        RIG_UNTIL(rig.log_count - before == i);
    }
    assert_int_equal(recv_calls, 10);
    assert_int_equal(send_calls, 0);
    assert_int_equal(ctl_calls, 0);
    /* A unix socket that reads short may hold more: it is asked. */
    rig_pair(fds, AF_UNIX);
    rig_recv(fds[1]);
    rig_settle();
    count_anew();
    before = rig.log_count;
    assert_int_equal(send(fds[0], "request", 7, MSG_NOSIGNAL), 7);
    RIG_UNTIL(rig.log_count - before == 1);
    assert_int_equal(recv_calls, 2);
}

/* Sends that find room are not registered; from the first that does not on, once. */
static void test_calls_of_a_send(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_UNIX);
    count_anew();
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(rig_end(rig_send(fds[0], rig_piece(0, 10))), 10);
    assert_int_equal(send_calls, 5);
    assert_int_equal(ctl_calls, 0);
    struct rig_flow flow = { .from = fds[0], .to = fds[1], .sent = 50, .end = 3000000 };
    flow.seen = rig.log_count;
    /* The pattern begins anew after the five. */
    static uint8_t sink[50];
    assert_int_equal(recv(fds[1], sink, sizeof sink, 0), sizeof sink);
    flow.received = 50;
    RIG_UNTIL(rig_flow(&flow));
    /* One for the sender that blocked, one for the receiver that waited. */
    assert_int_equal(ctl_calls, 2);
}

/* The parts that a waiting gathered send keeps; the others are left out of its count. */
static void test_parts_of_a_waiting_send(void **state)
{
    (void)state;
    int fds[2];
    struct iovec parts[20];
    rig_pair(fds, AF_UNIX);
    uint64_t sent = 0;
    ssize_t n;
    while ((n = send(fds[0], rig_piece(sent, 10000).ptr, 10000, MSG_DONTWAIT)) > 0)
        sent += (uint64_t)n;
    for (unsigned i = 0; i < 20; i++) {
        struct weir_slice piece = rig_piece(sent + i * 10, 10);
        parts[i] = (struct iovec){ (void *)(uintptr_t)piece.ptr, piece.len };
    }
    const struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 20 };
    uint64_t op = rig_op();
    rig.ops->sendmsg(rig.ring, fds[0], &msg, op);
    rig_submit();
    memset(parts, 0xff, sizeof parts);
    struct rig_flow flow = { .from = fds[0], .to = fds[1], .sent = sent, .end = sent };
    RIG_UNTIL((rig_flow(&flow), !rig.inflight[op]));
    assert_int_equal(rig_end(op), WEIR_EPOLL_PARTS_MAX * 10);
    flow.sent = flow.end = sent + WEIR_EPOLL_PARTS_MAX * 10;
    RIG_UNTIL(rig_flow(&flow));
}

/* A burst is cut, and gone on with in the next enter without an event. */
static void test_bursts(void **state)
{
    (void)state;
    struct weir_ring_config cfg = rig_config();
    cfg.bufs_count = 64;
    rig_reopen(cfg);
    int fds[2];
    rig_pair(fds, AF_INET);
    assert_int_equal(rig_end(rig_send(fds[0], rig_piece(0, 40 * 1024))), 40 * 1024);
    rig_settle();
    uint64_t op = rig_recv(fds[1]);
    rig_enter(0);
    rig_reap();
    assert_int_equal(rig_seen(op), RECV_BURST);
    assert_true(rig.ops->ready(rig.ring));
    rig_enter(0);
    rig_reap();
    assert_int_equal(rig_seen(op), 2 * RECV_BURST);
    RIG_UNTIL(rig_seen(op) == 40);
}

/* ---- Odd descriptors --------------------------------------------------------------------- */

/* What epoll cannot watch is read at once; an eventfd waits, also one that would block. */
static void test_reads(void **state)
{
    (void)state;
    char bytes[8] = "";
    uint64_t count = 0, one = 1, op = rig_op();
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(write(fileno(file), "content", 7), 7);
    assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
    rig.ops->read(rig.ring, fileno(file), bytes, sizeof bytes, op);
    assert_int_equal(rig_end(op), 7);
    assert_string_equal(bytes, "content");
    assert_int_equal(fclose(file), 0);
    int fd = rig_fd(eventfd(0, EFD_CLOEXEC));
    for (unsigned i = 0; i < 3; i++) {
        op = rig_op();
        rig.ops->read(rig.ring, fd, &count, sizeof count, op);
        rig_settle();
        assert_true(rig.inflight[op]);
        assert_int_equal(write(fd, &one, sizeof one), sizeof one);
        assert_int_equal(rig_end(op), sizeof count);
        assert_int_equal(count, 1);
    }
    /* No read at all. */
    op = rig_op();
    rig.ops->read(rig.ring, WEIR_EPOLL_FDS_MAX, &count, sizeof count, op);
    assert_int_equal(rig_end(op), -EBADF);
    op = rig_op();
    rig.ops->accept(rig.ring, fd, true, op);
    assert_int_equal(rig_end(op), -ENOTSOCK);
}

/* Operations of one direction go one after the other, and a cancel takes any of them out. */
static void test_order_of_waiting(void **state)
{
    (void)state;
    uint64_t count[4], one = 1, ops[4];
    int fd = rig_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
    for (unsigned i = 0; i < 4; i++) {
        ops[i] = rig_op();
        rig.ops->read(rig.ring, fd, &count[i], sizeof count[i], ops[i]);
    }
    static const unsigned order[] = { 1, 3, 0, 2 };
    for (unsigned i = 0; i < 2; i++) {
        uint64_t cancel = rig_op();
        rig.ops->cancel(rig.ring, ops[order[i]], cancel);
        assert_int_equal(rig_end(cancel), 0);
        assert_int_equal(rig_end(ops[order[i]]), -ECANCELED);
    }
    for (unsigned i = 2; i < 4; i++) {
        assert_int_equal(write(fd, &one, sizeof one), sizeof one);
        assert_int_equal(rig_end(ops[order[i]]), sizeof one);
        assert_int_equal(rig.ops_inflight, 3 - i);
    }
}

/* The registration of a descriptor that was duplicated outlives it; its number comes back for the
 * same file, then for another one that was opened elsewhere. */
static void test_duplicated_descriptors(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    uint64_t op = rig_recv(fds[1]);
    rig_submit();
    rig_end(rig_cancel_fd(fds[1]));
    int copy = dup(fds[1]);
    assert_true(copy >= 0);
    rig_close_fd(fds[1]);
    assert_int_equal(dup2(copy, fds[1]), fds[1]);
    rig_fd(fds[1]);
    op = rig_recv(fds[1]);
    rig_settle();
    assert_int_equal(rig_end(rig_send(fds[0], rig_piece(0, 5))), 5);
    RIG_UNTIL(rig_seen(op) == 1);
    rig_end(rig_cancel_fd(fds[1]));
    rig_close_fd(fds[1]);
    /* Another file: the events of the first one's registration mean nothing to it. */
    int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t count = 0, one = 1;
    if (other != fds[1]) {
        assert_int_equal(dup2(other, fds[1]), fds[1]);
        close(other);
    }
    rig_fd(fds[1]);
    op = rig_op();
    rig.ops->read(rig.ring, fds[1], &count, sizeof count, op);
    rig_submit();
    assert_int_equal(rig_end(rig_send(fds[0], rig_piece(0, 5))), 5);
    rig_settle();
    assert_true(rig.inflight[op]);
    assert_int_equal(write(fds[1], &one, sizeof one), sizeof one);
    assert_int_equal(rig_end(op), sizeof count);
    close(copy);
}

/* Closed by somebody else while the table says "registered" for reading only: noticed when more is
 * to be registered. */
static void test_registration_that_is_gone(void **state)
{
    (void)state;
    struct weir_epoll *e = weir_epoll_of(rig.ring);
    int fd = rig_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    e->fds[fd].watched = BIT_OUT;
    uint64_t count = 0, one = 1, op = rig_op();
    rig.ops->read(rig.ring, fd, &count, sizeof count, op);
    rig_submit();
    assert_int_equal(write(fd, &one, sizeof one), sizeof one);
    assert_int_equal(rig_end(op), sizeof count);
}

/* ---- Short reads that are not the end ---------------------------------------------------- */

/* A TCP socket reads short in front of urgent data. */
static void test_urgent_data(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        int fds[2];
        rig_pair(fds, AF_INET);
        uint64_t op = 0;
        if (!late) {
            op = rig_recv(fds[1]);
            rig_settle();
        }
        assert_int_equal(send(fds[0], "before", 6, 0), 6);
        assert_int_equal(send(fds[0], "!", 1, MSG_OOB), 1);
        assert_int_equal(send(fds[0], "behind", 6, 0), 6);
        if (late)
            op = rig_recv(fds[1]);
        int sum = 0;
        uint32_t taken = 0;
        RIG_UNTIL(({
            for (; taken < rig_seen(op); taken++)
                sum += rig_nth(op, taken)->res;
            sum == 12;
        }));
        rig_end(rig_cancel_fd(fds[1]));
        rig_put_all();
    }
}

/* A unix socket reads short in front of descriptors that are passed. */
static void test_passed_descriptors(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_UNIX);
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS } };
    memcpy(CMSG_DATA(&control.head), &fds[0], sizeof fds[0]);
    struct iovec part = { (void *)(uintptr_t) "passed", 6 };
    const struct msghdr msg = { .msg_iov = &part,
                                .msg_iovlen = 1,
                                .msg_control = control.bytes,
                                .msg_controllen = sizeof control.bytes };
    assert_int_equal(send(fds[0], "before", 6, 0), 6);
    assert_int_equal(sendmsg(fds[0], &msg, 0), 6);
    assert_int_equal(send(fds[0], "behind", 6, 0), 6);
    uint64_t op = rig_recv(fds[1]);
    int sum = 0;
    uint32_t taken = 0;
    RIG_UNTIL(({
        for (; taken < rig_seen(op); taken++)
            sum += rig_nth(op, taken)->res;
        sum == 18;
    }));
}

#define TWIN_TEST(f)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(f, rig_setup, rig_teardown, (void *)(uintptr_t)&twin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TWIN_TEST(test_calls_of_a_request),
        TWIN_TEST(test_calls_of_a_send),
        TWIN_TEST(test_parts_of_a_waiting_send),
        TWIN_TEST(test_bursts),
        TWIN_TEST(test_reads),
        TWIN_TEST(test_order_of_waiting),
        TWIN_TEST(test_duplicated_descriptors),
        TWIN_TEST(test_registration_that_is_gone),
        TWIN_TEST(test_urgent_data),
        TWIN_TEST(test_passed_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
