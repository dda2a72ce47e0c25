/* SPDX-License-Identifier: MIT */
#include "core/sock.h"

#include "unit/io/rig.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t bytes = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &bytes), 0);
    return value;
}

static void check_flags(int fd)
{
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void test_tcp_listen(void **state)
{
    (void)state;
    struct weir_addr addr, local;
    assert_int_equal(weir_addr_parse_listen(&addr, "127.0.0.1:0"), 0);
    int fd = sock_listen(&addr, 8, 0);
    assert_true(fd >= 0);
    check_flags(fd);
    assert_true(option(fd, SOL_SOCKET, SO_ACCEPTCONN));
    assert_true(option(fd, SOL_SOCKET, SO_REUSEADDR));
    assert_false(option(fd, SOL_SOCKET, SO_REUSEPORT));
    assert_int_equal(sock_local(fd, &local), 0);
    assert_int_equal(local.bytes, sizeof(struct sockaddr_in));
    /* Somebody listens there. */
    assert_int_equal(sock_listen(&local, 8, 0), -EADDRINUSE);
    assert_int_equal(sock_listen(&local, 8, WEIR_LISTEN_REUSE_PORT), -EADDRINUSE);
    int peer = rig_tcp_dial(&local);
    int accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    assert_true(option(accepted, IPPROTO_TCP, TCP_NODELAY));
    struct weir_addr ours, theirs;
    char a[WEIR_ADDR_TEXT_BYTES], b[WEIR_ADDR_TEXT_BYTES];
    assert_int_equal(sock_peer(accepted, &theirs), 0);
    assert_int_equal(sock_local(peer, &ours), 0);
    assert_string_equal(weir_addr_format(&theirs, a, sizeof a),
                        weir_addr_format(&ours, b, sizeof b));
    sock_close(accepted);
    sock_close(peer);
    /* REUSEADDR: connections of the last life do not keep the next one from listening. */
    sock_close(fd);
    fd = sock_listen(&local, 8, 0);
    assert_true(fd >= 0);
    sock_close(fd);
}

static void test_reuse_port(void **state)
{
    (void)state;
    struct weir_addr addr;
    assert_int_equal(weir_addr_parse_listen(&addr, "127.0.0.1:0"), 0);
    int a = sock_listen(&addr, 8, WEIR_LISTEN_REUSE_PORT);
    assert_true(a >= 0);
    assert_int_equal(sock_local(a, &addr), 0);
    int b = sock_listen(&addr, 8, WEIR_LISTEN_REUSE_PORT);
    assert_true(b >= 0);
    sock_close(a);
    sock_close(b);
}

static void test_stream(void **state)
{
    (void)state;
    struct weir_addr addr;
    assert_int_equal(weir_addr_parse_listen(&addr, "127.0.0.1:1"), 0);
    int fd = sock_stream(&addr);
    assert_true(fd >= 0);
    check_flags(fd);
    assert_true(option(fd, IPPROTO_TCP, TCP_NODELAY));
    assert_int_equal(sock_peer(fd, &addr), -ENOTCONN);
    assert_int_equal(sock_shutdown_send(fd), -ENOTCONN);
    sock_close(fd);
    struct weir_addr strange = { .storage.ss_family = 0x7f00, .bytes = 2 };
    assert_int_equal(sock_stream(&strange), -EAFNOSUPPORT);
    assert_int_equal(sock_listen(&strange, 1, 0), -EAFNOSUPPORT);
}

/* A bind or listen that fails leaves no descriptor behind. */
static void test_failures_leave_nothing(void **state)
{
    (void)state;
    unsigned before = rig_fds_count();
    struct weir_addr addr;
    assert_int_equal(weir_addr_parse_listen(&addr, "192.0.2.1:1"), 0);
    assert_int_equal(sock_listen(&addr, 8, 0), -EADDRNOTAVAIL);
    assert_int_equal(weir_addr_unix(&addr, "/nowhere/at/all"), 0);
    assert_int_equal(sock_listen(&addr, 8, 0), -ENOENT);
    assert_int_equal(rig_fds_count(), before);
}

static char path[64];

static int unix_setup(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/weir-test-sock-%d", (int)getpid());
    unlink(path);
    return 0;
}

static int unix_teardown(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static void test_unix_stale_file_is_replaced(void **state)
{
    (void)state;
    struct weir_addr addr;
    assert_int_equal(weir_addr_unix(&addr, path), 0);
    int fd = sock_listen(&addr, 8, 0);
    assert_true(fd >= 0);
    check_flags(fd);
    /* The owner lives: the file stays. */
    assert_int_equal(sock_listen(&addr, 8, 0), -EADDRINUSE);
    sock_close(rig_tcp_dial(&addr));
    /* It is gone: its file is in the way no longer. */
    sock_close(fd);
    fd = sock_listen(&addr, 8, 0);
    assert_true(fd >= 0);
    sock_close(fd);
}

/* The owner is busy and its backlog is full: asking whether it lives must not wait for it. */
static void test_unix_full_backlog_is_alive(void **state)
{
    (void)state;
    struct weir_addr addr;
    int clients[4], count = 0;
    assert_int_equal(weir_addr_unix(&addr, path), 0);
    int fd = sock_listen(&addr, 0, 0);
    assert_true(fd >= 0);
    for (; count < 4; count++) {
        clients[count] = sock_stream(&addr);
        assert_true(clients[count] >= 0);
        if (connect(clients[count], (const void *)&addr.storage, addr.bytes) < 0)
            break;
    }
    assert_true(count < 4);
    assert_int_equal(errno, EAGAIN);
    alarm(2); /* waiting would be for ever */
    assert_int_equal(sock_listen(&addr, 8, 0), -EADDRINUSE);
    alarm(0);
    for (int i = 0; i <= count; i++)
        sock_close(clients[i]);
    sock_close(fd);
}

/* What is no socket is not removed. */
static void test_unix_other_file_stays(void **state)
{
    (void)state;
    struct weir_addr addr;
    struct stat st;
    int file = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(weir_addr_unix(&addr, path), 0);
    assert_int_equal(sock_listen(&addr, 8, 0), -EADDRINUSE);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
}

/* Nobody is accepted before there is something to read. */
static void test_defer_accept(void **state)
{
    (void)state;
    struct weir_addr addr;
    assert_int_equal(weir_addr_parse_listen(&addr, "127.0.0.1:0"), 0);
    int fd = sock_listen(&addr, 8, WEIR_LISTEN_DEFER);
    assert_true(fd >= 0);
    assert_true(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT));
    assert_int_equal(sock_local(fd, &addr), 0);
    int peer = rig_tcp_dial(&addr);
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(write(peer, "x", 1), 1);
    struct pollfd waiting = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&waiting, 1, 5000), 1);
    int accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(peer);
    sock_close(fd);
    /* A unix socket has no such thing, and does without. */
    assert_int_equal(weir_addr_unix(&addr, path), 0);
    fd = sock_listen(&addr, 8, WEIR_LISTEN_DEFER);
    assert_true(fd >= 0);
    sock_close(fd);
}

static void test_shutdown_and_reset(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    rig_tcp_pair(fds, 0);
    assert_int_equal(sock_shutdown_send(fds[0]), 0);
    struct pollfd pfd = { .fd = fds[1], .events = POLLIN };
    assert_int_equal(poll(&pfd, 1, 2000), 1);
    assert_int_equal(recv(fds[1], &byte, 1, 0), 0);
    sock_close(fds[0]);
    sock_close(fds[1]);
    rig_tcp_pair(fds, 0);
    sock_set_reset(fds[0]);
    sock_close(fds[0]);
    pfd.events = 0; /* POLLERR comes unasked */
    assert_int_equal(poll(&pfd, 1, 2000), 1);
    assert_int_equal(recv(fds[1], &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    sock_close(fds[1]);
    rig_unix_pair(fds);
    sock_set_reset(fds[0]); /* has no meaning there, does no harm */
    sock_close(fds[0]);
    sock_close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_listen),
        cmocka_unit_test(test_reuse_port),
        cmocka_unit_test_setup_teardown(test_defer_accept, unix_setup, unix_teardown),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_failures_leave_nothing),
        cmocka_unit_test_setup_teardown(test_unix_stale_file_is_replaced, unix_setup,
                                        unix_teardown),
        cmocka_unit_test_setup_teardown(test_unix_full_backlog_is_alive, unix_setup, unix_teardown),
        cmocka_unit_test_setup_teardown(test_unix_other_file_stays, unix_setup, unix_teardown),
        cmocka_unit_test(test_shutdown_and_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
