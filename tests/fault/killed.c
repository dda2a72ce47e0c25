/* SPDX-License-Identifier: MIT */
/*
 * The other end dies by SIGKILL, in the middle of everything: the client of a server that is killed
 * and comes again, and the server of a client that held a hundred connections.
 */
#include "fault/rig.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define CONNS   24
#define FETCHES 120
#define HELD    100
#define SLACK   (2 * MIB)

/*
 * Linux 6.18 was seen to leave a multishot receive armed on a socket that a dying process had reset
 * (poll(2) says POLLERR and POLLHUP, no completion ever comes), in one of 25 runs and in one of
 * three when the machine is busy: only a deadline ends such a call. So all calls have one, and only
 * those of a few connections may need it.
 */
#define DEADLINE_NS (5000 * MS)
#define LOST_CONNS  8

static struct fetch fetches[FETCHES];
static struct peer peers[HELD];

/* A process that ends with this one. Forked while no engine is open: what hangs on one is not there
 * in a child. */
static pid_t spawn(void)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed check ends this process, not the function */
    alarm(60);
    if (getppid() != parent)
        _exit(1);
    return 0;
}

static void killed(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void read_all(int fd, void *out, size_t bytes)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&poll_fd, 1, WAIT_NS / MS), 1);
    assert_int_equal(read(fd, out, bytes), bytes);
}

/* ---- The server is killed ----------------------------------------------------------------- */

/* A process, and the pipes from and to it. */
struct other {
    pid_t pid;
    int pipe[2];
};

/* The kernel takes a killed process's ring apart later than the process, and its listener with
 * it. */
static void wait_for_port(uint16_t port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_addr = { htonl(INADDR_LOOPBACK) },
                                .sin_port = htons(port) };
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    for (bool is_free = false; !is_free;) {
        int on = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
        is_free = bind(fd, (const struct sockaddr *)&addr, sizeof addr) == 0 && listen(fd, 1) == 0;
        assert_true(is_free || errno == EADDRINUSE);
        close(fd);
        if (!is_free)
            poll(NULL, 0, 1);
        assert_true(weir_clock_ns() < until_ns);
    }
}

/* A server in a process of its own, at once forked; it opens at the port it is told. */
static void server_spawn(struct other *other)
{
    int orders[2];
    assert_int_equal(pipe(other->pipe), 0);
    assert_int_equal(pipe(orders), 0);
    other->pid = spawn();
    if (other->pid == 0) {
        char listen[64];
        uint16_t port;
        close(orders[1]);
        read_all(orders[0], &port, sizeof port);
        snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
        wait_for_port(port);
        rig_setup(NULL);
        rig.server_cfg.listen = listen;
        rig_serve();
        if (write(other->pipe[1], &rig.addr, sizeof rig.addr) != sizeof rig.addr)
            _exit(1);
        _exit(weir_engine_run(rig.engine) != 0);
    }
    close(other->pipe[1]);
    other->pipe[1] = orders[1];
    close(orders[0]);
}

/* Let it begin at this port, 0: any. Its address becomes the rig's. */
static void server_start(const struct other *other, uint16_t port)
{
    assert_int_equal(write(other->pipe[1], &port, sizeof port), sizeof port);
    read_all(other->pipe[0], &rig.addr, sizeof rig.addr);
    snprintf(rig.endpoint, sizeof rig.endpoint, "http://127.0.0.1:%u", ntohs(rig.addr.sin_port));
}

static void other_end(struct other *other)
{
    killed(other->pid);
    close(other->pipe[0]);
    close(other->pipe[1]);
}

/* What can become of a call whose server dies under it. */
static bool may_be(const struct fetch *f)
{
    int os_err = f->call.timing.os_err;
    switch (f->err) {
    case 0: /* it was complete before */
    case WEIR_E_CLOSED:
    case WEIR_E_TRUNCATED:
    case -ECONNRESET:
    case -EPIPE:
    case WEIR_E_DEADLINE: /* not for many: see DEADLINE_NS */
        return true;
    case WEIR_E_CONNECT:
        return os_err == -ECONNREFUSED || os_err == -ECONNRESET;
    default:
        return false;
    }
}

static void send_mixed(struct weir_client *client)
{
    static const enum job_kind kinds[] = { JOB_HOLD, JOB_BORROW, JOB_STREAM, JOB_SUM };
    for (size_t i = 0; i < FETCHES; i++) {
        fetch_init(&fetches[i], kinds[i % 4], i % 4 == 0 ? 0 : 3000000);
        fetches[i].call.deadline_ns = weir_clock_ns() + DEADLINE_NS;
        while (!fetch_send(client, &fetches[i]))
            turn();
    }
}

static size_t under_way(void)
{
    size_t count = 0;
    for (size_t i = 0; i < FETCHES; i++)
        count += fetches[i].ends == 0 && fetches[i].at > 0;
    return count;
}

static void server_dies(uint32_t pipeline_max)
{
    struct other first;
    struct other second;
    server_spawn(&first);
    server_spawn(&second);
    server_start(&first, 0);
    engine_open(&rig.engine);
    struct weir_client *client = client_open(rig.engine, CONNS, pipeline_max);
    send_mixed(client);
    /* Some answers have begun, others never will, more wait for a connection. */
    RIG_UNTIL(under_way() > 3);
    killed(first.pid);
    size_t failed = 0, lost = 0;
    for (size_t i = 0; i < FETCHES; i++) {
        RIG_UNTIL(fetches[i].ends > 0);
        assert_int_equal(fetches[i].ends, 1);
        assert_true(fetches[i].equal);
        if (!may_be(&fetches[i]))
            fail_msg("call %zu: %s, %s", i, weir_err_name(fetches[i].err),
                     weir_err_name(fetches[i].call.timing.os_err));
        failed += fetches[i].err != 0;
        lost += fetches[i].err == WEIR_E_DEADLINE;
    }
    assert_true(failed > 3);
    assert_true(lost <= LOST_CONNS * pipeline_max);
    print_message("%zu of %d calls failed\n", failed, FETCHES);
    /* The same client goes on as soon as there is a server again. */
    server_start(&second, ntohs(rig.addr.sin_port));
    for (size_t i = 0; i < 40; i++) {
        fetch_init(&fetches[i], i % 2 == 0 ? JOB_SUM : JOB_COPY, i * 1000);
        assert_true(fetch_send(client, &fetches[i]));
    }
    for (size_t i = 0; i < 40; i++) {
        RIG_UNTIL(fetches[i].ends > 0);
        fetch_right(&fetches[i]);
    }
    /* And again, with idle connections: nobody is told, nothing is left. */
    other_end(&second);
    struct weir_client_stats stats = { .size = sizeof stats };
    RIG_UNTIL((weir_client_stats(client, &stats), stats.conns_now == 0));
    assert_int_equal(stats.in_flight_now, 0);
    assert_int_equal(stats.waiting_now, 0);
    assert_int_equal(stats.completed + stats.failed, stats.calls);
    assert_int_equal(engine_stats().unexpected, 0);
    assert_int_equal(engine_stats().send_chunks_now, 0);
    no_kernel_worker();
    assert_int_equal(weir_client_close(client), 0);
    assert_int_equal(weir_engine_close(rig.engine), 0);
    close(first.pipe[0]);
    close(first.pipe[1]);
    held_as_before(&rig.before, SLACK);
}

static void test_server(void **state)
{
    (void)state;
    server_dies(1);
}

static void test_server_pipelined(void **state)
{
    (void)state;
    server_dies(8);
}

/* ---- The client is killed ----------------------------------------------------------------- */

/* A hundred connections, each in the middle of something else; then it waits for its end. */
static void hold(int from, int to)
{
    static const char *const texts[] = {
        "",
        "GET /su",
        "POST /sum HTTP/1.1\r\nHost: test\r\nContent-Length: 900\r\n\r\n01",
        "GET /hold HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /stream?4000000 HTTP/1.1\r\nHost: test\r\n\r\n",
    };
    read_all(from, &rig.addr, sizeof rig.addr);
    for (size_t i = 0; i < HELD; i++) {
        peer_dial(&peers[i]);
        if (i % 5 > 0)
            peer_send(&peers[i], texts[i % 5]);
    }
    if (write(to, "", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void test_client(void **state)
{
    (void)state;
    struct other clients[3];
    for (size_t i = 0; i < 3; i++) {
        int orders[2];
        assert_int_equal(pipe(orders), 0);
        assert_int_equal(pipe(clients[i].pipe), 0);
        clients[i].pid = spawn();
        if (clients[i].pid == 0)
            hold(orders[0], clients[i].pipe[1]);
        close(orders[0]);
        close(clients[i].pipe[1]);
        clients[i].pipe[1] = orders[1];
    }
    rig_serve();
    for (size_t i = 0; i < 3; i++) {
        char byte;
        uint64_t requests = rig.requests;
        assert_int_equal(write(clients[i].pipe[1], &rig.addr, sizeof rig.addr), sizeof rig.addr);
        read_all(clients[i].pipe[0], &byte, 1);
        RIG_UNTIL(server_stats().conns_now == HELD && rig.requests == requests + HELD / 5 * 3);
        rig_serves();
        other_end(&clients[i]);
        /* What it had asked for and waits is answered into the void. */
        rig.release = true;
        rig_balanced();
        rig.release = false;
        rig_serves();
        rig_balanced();
    }
    rig_end(SLACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_server, rig_setup),
        cmocka_unit_test_setup(test_server_pipelined, rig_setup),
        cmocka_unit_test_setup(test_client, rig_setup),
    };
    return cmocka_run_group_tests_name("killed", tests, pattern_fill, NULL);
}
