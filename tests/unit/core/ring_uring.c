/* SPDX-License-Identifier: MIT */
/* The contract of core/ring.h, put to the io_uring twin alone: no engine, no slots. */
#include "core/ring_uring.c"

#include "unit/io/rig.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#define CQES_MAX 4096u

/* A ring, its memory, and the completions that were reaped, in order. */
struct bench {
    struct weir_arena arena;
    struct weir_ring *ring;
    struct weir_ring_config cfg;
    struct weir_cqe cqes[CQES_MAX];
    uint32_t count;
};

static struct bench b;

static struct weir_ring_config bench_config(void)
{
    return (struct weir_ring_config){
        .sq_entries = 64,
        .cq_entries = 128,
        .ops_max = 2048,
        .bufs_count = 16,
        .buf_bytes = 1024,
        .buf_stride = 1088,
    };
}

static void bench_open(struct weir_ring_config cfg)
{
    b.count = 0;
    b.cfg = cfg;
    uint64_t bufs_bytes = (uint64_t)cfg.bufs_count * cfg.buf_stride;
    assert_int_equal(weir_arena_open(&b.arena, weir_ring_uring.bytes(&cfg) +
                                                   weir_arena_cost(bufs_bytes, WEIR_PAGE)),
                     0);
    b.cfg.bufs = weir_arena_take(&b.arena, bufs_bytes, WEIR_PAGE);
    int rc = weir_ring_uring.open(&b.ring, &b.arena, &b.cfg);
    if (rc < 0)
        print_error("%s\n", weir_error_text());
    assert_int_equal(rc, 0);
}

static int bench_setup(void **state)
{
    (void)state;
    bench_open(bench_config());
    return 0;
}

static int bench_teardown(void **state)
{
    (void)state;
    b.ring->ops->close(b.ring);
    weir_arena_close(&b.arena);
    return 0;
}

static int bench_wait(uint64_t deadline_ns)
{
    const struct weir_ring_wait wait = { .deadline_ns = deadline_ns, .count = 1 };
    return b.ring->ops->enter(b.ring, &wait);
}

static void reap_all(void)
{
    const struct weir_cqe *cqe;
    uint32_t n;
    while ((n = b.ring->ops->peek(b.ring, &cqe)) > 0) {
        assert_true(b.count + n <= CQES_MAX);
        memcpy(&b.cqes[b.count], cqe, n * sizeof *cqe);
        b.count += n;
        b.ring->ops->advance(b.ring, n);
    }
}

/* Enter and reap until `count` completions are there. */
static void wait_for(uint32_t count)
{
    uint64_t end = weir_clock_ns() + RIG_WAIT;
    while (b.count < count) {
        if (weir_clock_ns() > end)
            fail_msg("%u completions instead of %u", b.count, count);
        assert_int_equal(bench_wait(weir_clock_ns() + 100 * RIG_MS), 0);
        reap_all();
    }
}

/* Enter a few times without waiting: nothing more comes. */
static void settle(void)
{
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(bench_wait(weir_clock_ns() + RIG_MS), 0);
        reap_all();
    }
}

/* The only completion with this user_data. */
static const struct weir_cqe *only(uint64_t user_data)
{
    const struct weir_cqe *found = NULL;
    for (uint32_t i = 0; i < b.count; i++) {
        if (b.cqes[i].user_data != user_data)
            continue;
        assert_null(found);
        found = &b.cqes[i];
    }
    assert_non_null(found);
    return found;
}

static struct weir_slice buffer_of(const struct weir_cqe *cqe)
{
    uint32_t index = cqe->flags >> WEIR_CQE_BUF_SHIFT;
    assert_true(cqe->flags & WEIR_CQE_BUFFER);
    assert_true(index < b.cfg.bufs_count);
    assert_true(cqe->res > 0 && (uint32_t)cqe->res <= b.cfg.buf_bytes);
    return (struct weir_slice){ b.cfg.bufs + (size_t)index * b.cfg.buf_stride, (size_t)cqe->res };
}

/* ---- Accept and connect ------------------------------------------------------------------ */

static void test_accept_multi(void **state)
{
    (void)state;
    struct weir_addr addr;
    int listener = rig_tcp_listen(&addr), clients[20];
    b.ring->ops->accept(b.ring, listener, true, 7);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 10; i++)
            clients[round * 10 + i] = rig_tcp_dial(&addr);
        wait_for((round + 1) * 10);
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(b.cqes[i].user_data, 7);
        assert_int_equal(b.cqes[i].flags & WEIR_CQE_MORE, WEIR_CQE_MORE);
        int fd = b.cqes[i].res;
        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        close(fd);
        close(clients[i]);
    }
    b.ring->ops->cancel(b.ring, 7, 8);
    wait_for(22);
    assert_int_equal(only(8)->res, 0);
    const struct weir_cqe *last = &b.cqes[b.cqes[20].user_data == 7 ? 20 : 21];
    assert_int_equal(last->res, -ECANCELED);
    assert_int_equal(last->flags & WEIR_CQE_MORE, 0);
    settle();
    assert_int_equal(b.count, 22);
    close(listener);
}

static void test_accept_single(void **state)
{
    (void)state;
    struct weir_addr addr;
    int listener = rig_tcp_listen(&addr);
    int first = rig_tcp_dial(&addr), second = rig_tcp_dial(&addr);
    b.ring->ops->accept(b.ring, listener, false, 1);
    wait_for(1);
    settle();
    assert_int_equal(b.count, 1);
    assert_int_equal(b.cqes[0].flags & WEIR_CQE_MORE, 0);
    close(b.cqes[0].res);
    b.ring->ops->accept(b.ring, listener, false, 2);
    wait_for(2);
    close(only(2)->res);
    close(first);
    close(second);
    close(listener);
}

static void test_connect(void **state)
{
    (void)state;
    struct weir_addr addr;
    int listener = rig_tcp_listen(&addr);
    int fd = sock_stream(&addr);
    assert_true(fd >= 0);
    {
        /* The address need not outlive the enter. */
        struct weir_addr copy = addr;
        b.ring->ops->connect(b.ring, fd, (const void *)&copy.storage, copy.bytes, 3);
        assert_int_equal(b.ring->ops->enter(b.ring, NULL), 0);
        memset(&copy, 0xff, sizeof copy);
    }
    wait_for(1);
    assert_int_equal(only(3)->res, 0);
    int accepted = accept(listener, NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(fd);
    close(listener);
    /* Nobody listens there now. */
    fd = sock_stream(&addr);
    b.ring->ops->connect(b.ring, fd, (const void *)&addr.storage, addr.bytes, 4);
    wait_for(2);
    assert_int_equal(only(4)->res, -ECONNREFUSED);
    close(fd);
}

/* ---- Receive ----------------------------------------------------------------------------- */

/* Take the completions of a receive from `from` on: check the bytes, give the buffers back. */
static uint32_t take_stream(uint32_t from, uint64_t *offset, bool *more)
{
    for (; from < b.count; from++) {
        *more = b.cqes[from].flags & WEIR_CQE_MORE;
        if (b.cqes[from].res <= 0) {
            assert_int_equal(b.cqes[from].flags & WEIR_CQE_BUFFER, 0);
            continue;
        }
        struct weir_slice data = buffer_of(&b.cqes[from]);
        assert_true(rig_stream_take(offset, data.ptr, data.len));
        b.ring->ops->buf_put(b.ring, b.cqes[from].flags >> WEIR_CQE_BUF_SHIFT);
    }
    b.ring->ops->buf_commit(b.ring);
    return from;
}

/* Far more data than buffers, in many rounds, ended by the end of file. */
static void test_recv_multi(void **state)
{
    (void)state;
    int fds[2];
    const uint64_t end = 400000;
    uint64_t offset = 0;
    bool more = false, eof = false;
    rig_unix_pair(fds);
    struct rig_peer peer = { .fd = fds[1] };
    uint32_t taken = 0;
    while (!eof) {
        if (peer.fd >= 0 && rig_peer_write(&peer, end)) {
            close(peer.fd);
            peer.fd = -1;
        }
        if (!more)
            b.ring->ops->recv(b.ring, fds[0], true, 5);
        more = true;
        wait_for(taken + 1);
        for (uint32_t i = taken; i < b.count; i++) {
            assert_true(b.cqes[i].res >= 0 || b.cqes[i].res == -ENOBUFS);
            eof |= b.cqes[i].res == 0;
        }
        taken = take_stream(taken, &offset, &more);
        if (b.count > CQES_MAX / 2 && !eof)
            b.count = taken = 0;
    }
    const struct weir_cqe *last = &b.cqes[b.count - 1];
    assert_int_equal(last->res, 0);
    assert_int_equal(last->flags & (WEIR_CQE_MORE | WEIR_CQE_BUFFER), 0);
    assert_int_equal(offset, end);
    settle();
    assert_ptr_equal(last, &b.cqes[b.count - 1]);
    close(fds[0]);
}

static void test_recv_without_buffers(void **state)
{
    (void)state;
    int fds[2];
    struct weir_ring_config cfg = bench_config();
    cfg.bufs_count = 2;
    bench_teardown(NULL);
    bench_open(cfg);
    rig_unix_pair(fds);
    struct rig_peer peer = { .fd = fds[1] };
    assert_true(rig_peer_write(&peer, 5000));
    b.ring->ops->recv(b.ring, fds[0], true, 6);
    wait_for(3);
    settle();
    assert_int_equal(b.count, 3);
    uint64_t offset = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct weir_slice data = buffer_of(&b.cqes[i]);
        assert_true(rig_stream_take(&offset, data.ptr, data.len));
    }
    assert_int_equal(offset, 2048);
    assert_int_equal(b.cqes[2].res, -ENOBUFS);
    assert_int_equal(b.cqes[2].flags & (WEIR_CQE_MORE | WEIR_CQE_BUFFER), 0);
    /* A buffer that was put but not committed is not there yet. */
    b.ring->ops->buf_put(b.ring, b.cqes[0].flags >> WEIR_CQE_BUF_SHIFT);
    b.ring->ops->recv(b.ring, fds[0], true, 6);
    wait_for(4);
    assert_int_equal(b.cqes[3].res, -ENOBUFS);
    b.ring->ops->buf_put(b.ring, b.cqes[1].flags >> WEIR_CQE_BUF_SHIFT);
    b.ring->ops->buf_commit(b.ring);
    bool more = false;
    for (uint32_t taken = b.count; offset < 5000;) {
        if (!more)
            b.ring->ops->recv(b.ring, fds[0], true, 6);
        wait_for(taken + 1);
        taken = take_stream(taken, &offset, &more);
    }
    close(fds[0]);
    close(fds[1]);
}

static void test_reset_by_peer(void **state)
{
    (void)state;
    int fds[2];
    rig_tcp_pair(fds, 0);
    b.ring->ops->recv(b.ring, fds[0], true, 9);
    assert_int_equal(b.ring->ops->enter(b.ring, NULL), 0);
    rig_reset(fds[1]);
    wait_for(1);
    assert_int_equal(only(9)->res, -ECONNRESET);
    assert_int_equal(only(9)->flags & WEIR_CQE_MORE, 0);
    /* No signal is raised. */
    b.ring->ops->send(b.ring, fds[0], WEIR_TEXT("x"), 10);
    wait_for(2);
    assert_int_equal(only(10)->res, -EPIPE);
    close(fds[0]);
}

/* ---- Send -------------------------------------------------------------------------------- */

static void test_send_and_read(void **state)
{
    (void)state;
    int fds[2];
    char bytes[16] = "", got[16] = "";
    rig_unix_pair(fds);
    b.ring->ops->read(b.ring, fds[1], bytes, 3, 1);
    b.ring->ops->send(b.ring, fds[0], WEIR_TEXT("one"), 2);
    wait_for(2);
    assert_int_equal(only(1)->res, 3);
    assert_int_equal(only(2)->res, 3);
    assert_memory_equal(bytes, "one", 3);
    {
        /* The description of a gathered send need not outlive the enter. */
        struct iovec parts[2] = { { (void *)(uintptr_t) "gath", 4 },
                                  { (void *)(uintptr_t) "er", 2 } };
        struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };
        b.ring->ops->sendmsg(b.ring, fds[0], &msg, 3);
        assert_int_equal(b.ring->ops->enter(b.ring, NULL), 0);
        memset(&msg, 0xff, sizeof msg);
        memset(parts, 0xff, sizeof parts);
    }
    wait_for(3);
    assert_int_equal(only(3)->res, 6);
    assert_int_equal(recv(fds[1], got, sizeof got, 0), 6);
    assert_memory_equal(got, "gather", 6);
    close(fds[0]);
    close(fds[1]);
}

/* A send that finds no room waits in the kernel; one that was gathered, too, with its description
 * gone. */
static void test_blocked_send(void **state)
{
    (void)state;
    int fds[2];
    rig_tcp_pair(fds, 4096);
    uint8_t filler[RIG_PIECE] = { 0 };
    while (send(fds[0], filler, sizeof filler, 0) > 0)
        ;
    struct iovec part = { (void *)(uintptr_t)rig_stream(0), RIG_PIECE };
    struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
    b.ring->ops->sendmsg(b.ring, fds[0], &msg, 1);
    settle();
    assert_int_equal(b.count, 0);
    memset(&msg, 0xff, sizeof msg);
    memset(&part, 0xff, sizeof part);
    uint64_t end = weir_clock_ns() + RIG_WAIT;
    while (b.count == 0 && weir_clock_ns() < end) {
        (void)recv(fds[1], filler, sizeof filler, 0);
        settle();
    }
    assert_true(only(1)->res > 0);
    /* And one that is cancelled ends. */
    while (send(fds[0], filler, sizeof filler, 0) > 0)
        ;
    b.ring->ops->send(b.ring, fds[0], WEIR_TEXT("blocked"), 2);
    settle();
    assert_int_equal(b.count, 1);
    b.ring->ops->cancel_fd(b.ring, fds[0], 3);
    wait_for(3);
    assert_int_equal(only(2)->res, -ECANCELED);
    assert_true(only(3)->res >= 0);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Cancel ------------------------------------------------------------------------------ */

static void test_cancel(void **state)
{
    (void)state;
    int a[2], c[2];
    char byte;
    rig_unix_pair(a);
    rig_unix_pair(c);
    b.ring->ops->recv(b.ring, a[0], true, 1);
    b.ring->ops->read(b.ring, a[0], &byte, 1, 2);
    b.ring->ops->recv(b.ring, c[0], true, 3);
    settle();
    assert_int_equal(b.count, 0);
    /* By user_data: that one alone. */
    b.ring->ops->cancel(b.ring, 2, 10);
    wait_for(2);
    settle();
    assert_int_equal(only(2)->res, -ECANCELED);
    assert_int_equal(only(10)->res, 0);
    /* By descriptor: whatever is in flight on it, nothing else. */
    b.ring->ops->read(b.ring, a[0], &byte, 1, 4);
    b.ring->ops->cancel_fd(b.ring, a[0], 11);
    wait_for(5);
    settle();
    assert_int_equal(b.count, 5);
    assert_int_equal(only(1)->res, -ECANCELED);
    assert_int_equal(only(4)->res, -ECANCELED);
    assert_true(only(11)->res >= 0);
    /* What is not there. */
    b.ring->ops->cancel(b.ring, 2, 12);
    b.ring->ops->cancel(b.ring, 0xffffffffffffffff, 13);
    b.ring->ops->cancel_fd(b.ring, a[0], 14);
    wait_for(8);
    assert_int_equal(only(12)->res, -ENOENT);
    assert_int_equal(only(13)->res, -ENOENT);
    assert_true(only(14)->res == -ENOENT || only(14)->res == 0);
    /* The other one lives. */
    assert_int_equal(send(c[1], rig_stream(0), 10, 0), 10);
    wait_for(9);
    assert_int_equal(only(3)->res, 10);
    close(a[0]);
    close(a[1]);
    close(c[0]);
    close(c[1]);
}

/* user_data comes back as it was given, all 64 bits, also when it was used before. */
static void test_user_data(void **state)
{
    (void)state;
    const uint64_t values[] = { 0, UINT64_MAX, 1ull << 63, 0x0123456789abcdef, 0 };
    int fds[2];
    rig_unix_pair(fds);
    for (uint32_t i = 0; i < 5; i++)
        b.ring->ops->send(b.ring, fds[0], WEIR_TEXT("x"), values[i]);
    wait_for(5);
    for (uint32_t i = 0; i < 5; i++)
        assert_true(b.cqes[i].user_data == values[i]);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Queues ------------------------------------------------------------------------------ */

static struct weir_ring_config smallest(void)
{
    struct weir_ring_config cfg = bench_config();
    cfg.sq_entries = 8;
    cfg.cq_entries = 8;
    return cfg;
}

/* 1000 operations at once through a submission queue of 8 and a completion queue of 8: each
 * completes once. */
static void thousand_operations(void)
{
    static uint8_t seen[1000];
    static uint8_t byte;
    int fds[2];
    memset(seen, 0, sizeof seen);
    rig_unix_pair(fds);
    for (uint32_t i = 0; i < 1000; i++)
        b.ring->ops->read(b.ring, fds[0], &byte, 1, i);
    for (unsigned sent = 0; sent < 1000;) {
        static const uint8_t ones[100] = { 1 };
        ssize_t n = send(fds[1], ones, 1000 - sent < 100 ? 1000 - sent : 100, 0);
        assert_true(n > 0);
        sent += (unsigned)n;
    }
    wait_for(1000);
    settle();
    assert_int_equal(b.count, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(b.cqes[i].res, 1);
        assert_int_equal(seen[b.cqes[i].user_data]++, 0);
    }
    assert_false(b.ring->ops->unsubmitted(b.ring));
    close(fds[0]);
    close(fds[1]);
}

static void test_small_queues(void **state)
{
    (void)state;
    bench_teardown(NULL);
    bench_open(smallest());
    thousand_operations();
    assert_true(b.ring->counters.cq_overflows > 0);
    assert_int_equal(b.ring->counters.sqes, 1000);
}

/* A multiple receive that overflows the completion queue ends, says so, and no byte is lost. */
static void test_overflow_of_recv_multi(void **state)
{
    (void)state;
    struct weir_ring_config cfg = smallest();
    cfg.bufs_count = 64;
    bench_teardown(NULL);
    bench_open(cfg);
    int fds[2];
    rig_unix_pair(fds);
    struct rig_peer peer = { .fd = fds[1] };
    assert_true(rig_peer_write(&peer, 40 * 1024));
    uint64_t offset = 0;
    bool more = false;
    for (uint32_t taken = 0; offset < 40 * 1024;) {
        if (!more)
            b.ring->ops->recv(b.ring, fds[0], true, 1);
        wait_for(taken + 1);
        taken = take_stream(taken, &offset, &more);
    }
    assert_int_equal(offset, 40 * 1024);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Waiting ----------------------------------------------------------------------------- */

static void check_deadlines(void)
{
    static const uint64_t waits[] = { 0, 1000, 50000, 1000000, 5000000 };
    for (unsigned i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        uint64_t deadline = weir_clock_ns() + waits[i];
        assert_int_equal(bench_wait(deadline), 0);
        uint64_t late = weir_clock_ns() - deadline;
        /* Never early (which would be a huge number); how late depends on the machine's other work.
         */
        assert_true(late < 500 * RIG_MS);
    }
    /* One that has passed, long ago. */
    uint64_t before = weir_clock_ns();
    assert_int_equal(bench_wait(1), 0);
    assert_int_equal(b.ring->ops->enter(b.ring, NULL), 0);
    assert_true(weir_clock_ns() - before < 500 * RIG_MS);
    reap_all();
    assert_int_equal(b.count, 0);
}

static void test_deadline(void **state)
{
    (void)state;
    check_deadlines();
    struct weir_ring_config cfg = bench_config();
    cfg.disable = "abs_timer";
    bench_teardown(NULL);
    bench_open(cfg);
    check_deadlines();
}

static void on_alarm(int signal)
{
    (void)signal;
}

/* A signal ends the wait; what is in flight stays. */
static void test_signal(void **state)
{
    (void)state;
    int fds[2];
    rig_unix_pair(fds);
    struct sigaction action = { .sa_handler = on_alarm }, old;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    b.ring->ops->recv(b.ring, fds[0], true, 1);
    struct itimerval soon = { .it_value.tv_usec = 20000 };
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    uint64_t before = weir_clock_ns();
    assert_int_equal(bench_wait(before + RIG_WAIT), 0);
    assert_true(weir_clock_ns() - before < RIG_WAIT);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_int_equal(send(fds[1], rig_stream(0), 5, 0), 5);
    wait_for(1);
    assert_int_equal(only(1)->res, 5);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Backlog ----------------------------------------------------------------------------- */

/* Make every io_uring_enter() that only hands a full queue on fail like a kernel short of memory.
 */
static void refuse_handing_on(void)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IORING_ENTER_GETEVENTS, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof code / sizeof code[0],
                                  .filter = (struct sock_filter *)(uintptr_t)code };
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* In a child of its own, for the filter cannot be taken away again. */
static void in_child(void (*run)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        refuse_handing_on();
        run();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void backlog_thousand(void)
{
    bench_open(smallest());
    thousand_operations();
    bench_teardown(NULL);
}

/* Eight operations fill the queue and complete never; the ninth, in the backlog, would at once. */
static void backlog_does_not_sleep(void)
{
    int fds[2];
    bench_open(smallest());
    rig_unix_pair(fds);
    for (uint32_t i = 0; i < 8; i++)
        b.ring->ops->recv(b.ring, fds[0], true, 100);
    b.ring->ops->send(b.ring, fds[0], WEIR_TEXT("x"), 1);
    assert_true(b.ring->ops->unsubmitted(b.ring));
    uint64_t before = weir_clock_ns();
    while (b.count == 0) {
        assert_int_equal(bench_wait(before + RIG_WAIT), 0);
        reap_all();
        assert_true(weir_clock_ns() - before < RIG_WAIT);
    }
    assert_int_equal(only(1)->res, 1);
    assert_false(b.ring->ops->unsubmitted(b.ring));
    bench_teardown(NULL);
}

static void test_backlog(void **state)
{
    (void)state;
    in_child(backlog_thousand);
    in_child(backlog_does_not_sleep);
}

/* ---- Features ---------------------------------------------------------------------------- */

static void test_features(void **state)
{
    (void)state;
    struct weir_slice bad;
    assert_true(weir_ring_uring_features_valid(NULL, &bad));
    assert_true(weir_ring_uring_features_valid("", &bad));
    assert_true(weir_ring_uring_features_valid(weir_ring_uring_features, &bad));
    assert_true(weir_ring_uring_features_valid("ring_fd", &bad));
    assert_true(weir_ring_uring_features_valid("ring_fd,ring_fd,", &bad));
    static const char *const wrong[] = { "ring", "ring_fdx", "no_sqarray, ring_fd",
                                         "ring_fd,,abs_timer", "x" };
    static const char *const named[] = { "ring", "ring_fdx", " ring_fd", "", "x" };
    for (unsigned i = 0; i < 5; i++) {
        assert_false(weir_ring_uring_features_valid(wrong[i], &bad));
        assert_int_equal(bad.len, strlen(named[i]));
        assert_memory_equal(bad.ptr, named[i], bad.len);
    }
    /* Those that are disabled are not used, and the line for people says so. */
    struct weir_ring_config cfg = bench_config();
    cfg.disable = weir_ring_uring_features;
    bench_teardown(NULL);
    bench_open(cfg);
    assert_non_null(strstr(b.ring->info, "sq=64 cq=128 bufs=16x1024"));
    assert_non_null(strstr(b.ring->info, "no_sqarray=off ring_fd=off abs_timer=off no_iowait=off"));
    assert_int_equal(weir_uring_of(b.ring)->features, 0);
    thousand_operations();
}

#define BENCH_TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_accept_multi),
        BENCH_TEST(test_accept_single),
        BENCH_TEST(test_connect),
        BENCH_TEST(test_recv_multi),
        BENCH_TEST(test_recv_without_buffers),
        BENCH_TEST(test_reset_by_peer),
        BENCH_TEST(test_send_and_read),
        BENCH_TEST(test_blocked_send),
        BENCH_TEST(test_cancel),
        BENCH_TEST(test_user_data),
        BENCH_TEST(test_small_queues),
        BENCH_TEST(test_overflow_of_recv_multi),
        BENCH_TEST(test_deadline),
        BENCH_TEST(test_signal),
        cmocka_unit_test(test_backlog),
        BENCH_TEST(test_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
