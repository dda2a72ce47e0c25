/* SPDX-License-Identifier: MIT */
/*
 * No local port is left: in a network of its own, which has a hundred of them. What connections
 * there are serve all calls; when there is none, the calls are told why, and the next ones find the
 * ports that came back.
 */
#include "fault/hostile.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#define PORTS 100
#define CALLS 200
#define SLACK (2 * MIB)

static struct hostile server;
static struct ask asks[CALLS];
static struct weir_client *client;
static bool hold;  /* the server answers nothing */
static bool alone; /* in a network of our own */

/* ---- The network ------------------------------------------------------------------------- */

static bool file_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

static bool loopback_up(void)
{
    struct ifreq request = { .ifr_flags = IFF_UP | IFF_RUNNING };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(request.ifr_name, "lo", sizeof "lo");
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        close(fd);
    return up;
}

/* As root a network is enough; others need a world where they are root. */
static void network_make(void)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return;
    alone = loopback_up() && file_write("/proc/sys/net/ipv4/ip_local_port_range", "20000 20099");
}

static int setup(void **state)
{
    rig_setup(state);
    if (!alone)
        print_message("no network of our own, or no say in it\n");
    return 0;
}

/* ---- The server -------------------------------------------------------------------------- */

static void server_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (!hold && hostile_request(c, &id))
        hostile_answer(c, id, false);
}

/* `port`: none of the hundred, and not the one before, whose connections the kernel remembers. */
static void begin(uint32_t conns_max, uint16_t port)
{
    /* What was held is looked at again in every turn. */
    static const struct hostile_script script = { .on_bytes = server_bytes,
                                                  .on_step = server_bytes };
    struct weir_client_config cfg;
    hold = false;
    hostile_open_at(&server, &script, port);
    engine_open(&rig.engine);
    hostile_client_config(&cfg, &server);
    cfg.conns_max = conns_max;
    client = hostile_client(&cfg);
}

static void send_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ask_init(&asks[i], i);
        ask_send(client, &asks[i]);
    }
}

static bool ended_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (asks[i].ends == 0)
            return false;
    return true;
}

/* ---- Tests ------------------------------------------------------------------------------- */

static void test_serves_with_what_there_is(void **state)
{
    (void)state;
    if (!alone)
        skip();
    begin(CALLS, 30000);
    /* Where there is a connection, there is hope. */
    send_all(1);
    HOSTILE_UNTIL(&server, ended_all(1));
    hold = true;
    send_all(CALLS);
    HOSTILE_UNTIL(&server, server.conns_now == PORTS && client_stats(client).connect_failures > 0);
    hold = false;
    HOSTILE_UNTIL(&server, ended_all(CALLS));
    for (unsigned i = 0; i < CALLS; i++)
        ask_right(&asks[i]);
    struct weir_client_stats s = client_stats(client);
    print_message("%u calls over %" PRIu64 " connections, %" PRIu64 " could not be made\n", CALLS,
                  s.conns, s.connect_failures);
    assert_int_equal(s.conns, PORTS);
    hostile_end(&server, client, SLACK);
}

static void test_none_left(void **state)
{
    (void)state;
    static int fds[PORTS];
    if (!alone)
        skip();
    begin(8, 30001);
    for (size_t i = 0; i < PORTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
        assert_int_equal(connect(fds[i], (const struct sockaddr *)&server.addr, sizeof server.addr),
                         0);
        hostile_step(&server);
    }
    send_all(20);
    HOSTILE_UNTIL(&server, ended_all(20));
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(asks[i].err, WEIR_E_CONNECT);
        assert_int_equal(asks[i].call.timing.os_err, -EADDRNOTAVAIL);
    }
    for (size_t i = 0; i < PORTS; i++) {
        struct linger linger = { .l_onoff = 1 }; /* no port rests in TIME-WAIT */
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
        close(fds[i]);
    }
    uint64_t began_ns = weir_clock_ns();
    send_all(20);
    HOSTILE_UNTIL(&server, ended_all(20));
    for (unsigned i = 0; i < 20; i++)
        ask_right(&asks[i]);
    assert_in_range(weir_clock_ns() - began_ns, 0, 1000 * MS);
    hostile_end(&server, client, SLACK);
}

int main(void)
{
    network_make();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_serves_with_what_there_is, setup),
        cmocka_unit_test_setup(test_none_left, setup),
    };
    return cmocka_run_group_tests_name("client ports", tests, pattern_fill, NULL);
}
