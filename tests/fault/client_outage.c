/* SPDX-License-Identifier: MIT */
/*
 * Servers that are out of order, and the client that goes on: it does not make an outage worse by
 * its retries, waits for as long as it is told, and is back as soon as the server is. With --long
 * the server is killed every two seconds for a minute.
 */
#include "fault/hostile.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SLACK   (2 * MIB)
#define AT_ONCE 16

static struct hostile server;
static struct ask asks[AT_ONCE];
static struct weir_client *client;
static unsigned next_id, ended_count, calls_count;
static unsigned well_count, busy_count, failed_count;

/* ---- Nothing but refusals ---------------------------------------------------------------- */

static bool hang_up;           /* instead of an answer */
static const char *more = "";  /* fields of the refusal */
static uint64_t refusals_left; /* then it answers */

static void refuse_bytes(struct hostile_conn *c)
{
    unsigned id;
    while (c->then == HOSTILE_KEEP && hostile_request(c, &id)) {
        if (refusals_left == 0) {
            hostile_answer(c, id, false);
            continue;
        }
        refusals_left--;
        if (hang_up)
            c->then = HOSTILE_CLOSE;
        else
            hostile_say(c, "HTTP/1.1 503 Busy\r\n%sContent-Length: 4\r\n\r\nbusy", more);
    }
}

static void refused_ended(struct ask *a)
{
    ended_count++;
    if (a->err != 0)
        failed_count++;
    else if (a->call.status == 503)
        busy_count++;
    else
        well_count += ask_answered(a);
    if (next_id == calls_count)
        return;
    ask_init(a, next_id++);
    a->ended = refused_ended;
    ask_send(client, a);
}

static void begin(struct weir_client_config *cfg)
{
    static const struct hostile_script script = { .on_bytes = refuse_bytes };
    next_id = ended_count = well_count = busy_count = failed_count = 0;
    hang_up = false;
    more = "";
    refusals_left = UINT64_MAX;
    hostile_open(&server, &script);
    engine_open(&rig.engine);
    hostile_client_config(cfg, &server);
    cfg->conns_max = AT_ONCE;
    cfg->retry.attempts_max = 4;
    cfg->retry.backoff_ns = MS / 2;
    cfg->retry.backoff_max_ns = 2 * MS;
    cfg->seed = hostile_seed();
}

static void all_ended(unsigned calls)
{
    calls_count = calls;
    for (size_t i = 0; i < AT_ONCE; i++) {
        ask_init(&asks[i], next_id++);
        asks[i].ended = refused_ended;
        ask_send(client, &asks[i]);
    }
    HOSTILE_UNTIL(&server, ended_count == calls);
}

static void test_busy(void **state)
{
    (void)state;
    struct weir_client_config cfg;
    begin(&cfg);
    client = hostile_client(&cfg);
    all_ended(2000);
    struct weir_client_stats s = client_stats(client);
    print_message("%u calls, %" PRIu64 " requests, %" PRIu64 " retries, %" PRIu64 " not granted\n",
                  calls_count, server.requests, s.retries, s.retries_refused);
    assert_int_equal(busy_count, calls_count);
    assert_in_range(server.requests, calls_count + calls_count / 10,
                    calls_count + calls_count / 5 + cfg.retry.budget_min);
    assert_int_equal(server.requests, s.sent);
    hostile_end(&server, client, SLACK);
}

static void test_hangs_up(void **state)
{
    (void)state;
    struct weir_client_config cfg;
    begin(&cfg);
    hang_up = true;
    client = hostile_client(&cfg);
    all_ended(2000);
    assert_int_equal(failed_count, calls_count);
    assert_in_range(server.requests, calls_count,
                    calls_count + calls_count / 5 + cfg.retry.budget_min);
    hostile_end(&server, client, SLACK);
}

/* Nobody listens, then somebody does. */
static void test_refusing_port(void **state)
{
    (void)state;
    struct weir_client_config cfg;
    begin(&cfg);
    client = hostile_client(&cfg);
    hostile_deaf(&server);
    all_ended(1000);
    struct weir_client_stats s = client_stats(client);
    assert_int_equal(failed_count, calls_count);
    for (size_t i = 0; i < AT_ONCE; i++) {
        assert_int_equal(asks[i].err, WEIR_E_CONNECT);
        assert_int_equal(asks[i].call.timing.os_err, -ECONNREFUSED);
    }
    assert_in_range(s.retries, 3, calls_count / 5 + cfg.retry.budget_min);
    assert_int_equal(s.sent, 0);
    hostile_listen(&server, ntohs(server.addr.sin_port));
    refusals_left = 0;
    uint64_t began_ns = weir_clock_ns();
    ask_init(&asks[0], 1);
    ask_send(client, &asks[0]);
    HOSTILE_UNTIL(&server, asks[0].ends > 0);
    ask_right(&asks[0]);
    assert_in_range(weir_clock_ns() - began_ns, 0, 1000 * MS);
    hostile_end(&server, client, SLACK);
}

/* What the server asks for is waited; who has no time for it gets the refusal itself. */
static void test_retry_after(void **state)
{
    (void)state;
    struct weir_client_config cfg;
    begin(&cfg);
    more = "Retry-After: 1\r\n";
    refusals_left = 2;
    client = hostile_client(&cfg);
    ask_init(&asks[0], 0);
    ask_init(&asks[1], 1);
    asks[1].call.deadline_ns = weir_clock_ns() + 500 * MS;
    for (size_t i = 0; i < 2; i++)
        ask_send(client, &asks[i]);
    HOSTILE_UNTIL(&server, asks[1].ends > 0);
    assert_int_equal(asks[1].err, 0);
    assert_int_equal(asks[1].call.status, 503);
    assert_int_equal(asks[1].call.timing.retries, 0);
    HOSTILE_UNTIL(&server, asks[0].ends > 0);
    ask_right(&asks[0]);
    assert_int_equal(asks[0].call.timing.retries, 1);
    uint64_t took_ns = asks[0].call.timing.end_ns - asks[0].call.timing.start_ns;
    assert_in_range(took_ns, 1000 * MS, 1300 * MS * (SANITIZED ? 3 : 1));
    hostile_end(&server, client, SLACK);
}

/* ---- Killed and started again ------------------------------------------------------------ */

static uint64_t kill_every_ns = 200 * MS;
static uint64_t kill_for_ns = 2000 * MS;

static struct fetch fetches[AT_ONCE];
static uint64_t resend_ns[AT_ONCE];
static uint64_t ready_ns, last_well_ns, recovered_most_ns;
static unsigned err_counts[4]; /* broken, refused */

/* In the process that serves: its ready descriptor and its port are its arguments. */
static int serve(const char *ready, const char *port)
{
    char listen_text[64];
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    alarm(120);
    pattern_fill(NULL);
    rig_setup(NULL);
    snprintf(listen_text, sizeof listen_text, "127.0.0.1:%s", port);
    rig.server_cfg.listen = listen_text;
    engine_open(&rig.engine);
    static const struct weir_server_handler handler = {
        .on_request = on_request, .on_body = on_body, .on_writable = on_writable, .on_end = on_end
    };
    /* The kernel takes the ring of a killed process apart after it, and its listener with it. */
    while (weir_server_open(&rig.server, rig.engine, &rig.server_cfg, &handler, &rig) < 0) {
        if (weir_clock_ns() > until_ns)
            return 1;
        poll(NULL, 0, 1);
    }
    if (write((int)strtol(ready, NULL, 10), "", 1) != 1)
        return 1;
    return weir_engine_run(rig.engine) != 0;
}

struct served {
    pid_t pid;
    int ready; /* gets a byte when it listens */
};

static void served_start(struct served *s, uint16_t port)
{
    int ends[2];
    char fd_text[16];
    char port_text[16];
    assert_int_equal(pipe(ends), 0);
    snprintf(fd_text, sizeof fd_text, "%d", ends[1]);
    snprintf(port_text, sizeof port_text, "%u", port);
    pid_t parent = getpid();
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            execl("/proc/self/exe", "client_outage", "--serve", fd_text, port_text, (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    s->ready = ends[0];
}

static void served_kill(struct served *s)
{
    int status;
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    close(s->ready);
    s->pid = 0;
}

static bool served_ready(const struct served *s)
{
    char byte;
    struct pollfd poll_fd = { .fd = s->ready, .events = POLLIN };
    if (poll(&poll_fd, 1, 0) != 1)
        return false;
    assert_int_equal(read(s->ready, &byte, 1), 1);
    return true;
}

static void fetch_check(size_t i)
{
    const struct fetch *f = &fetches[i];
    uint64_t now = weir_clock_ns();
    assert_int_equal(f->ends, 1);
    assert_true(f->equal);
    switch (f->err) {
    case 0:
        fetch_right(f);
        last_well_ns = now;
        well_count++;
        break;
    case WEIR_E_CLOSED:
    case WEIR_E_TRUNCATED:
    case -ECONNRESET:
    case -EPIPE:
        err_counts[0]++;
        break;
    case WEIR_E_CONNECT:
        assert_true(f->call.timing.os_err == -ECONNREFUSED || f->call.timing.os_err == -ECONNRESET);
        err_counts[1]++;
        break;
    default:
        fail_msg("%s", weir_err_name(f->err));
    }
    resend_ns[i] = now + MS;
}

static void fetches_step(void)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (fetches[i].ends > 0 && resend_ns[i] == 0)
            fetch_check(i);
        if (resend_ns[i] == 0 || resend_ns[i] > weir_clock_ns())
            continue;
        fetch_init(&fetches[i], i % 2 == 0 ? JOB_COPY : JOB_STREAM, i % 2 == 0 ? 2000 : 300000);
        if (fetch_send(client, &fetches[i]))
            resend_ns[i] = 0;
    }
    if (ready_ns != 0 && last_well_ns > ready_ns) {
        uint64_t took_ns = last_well_ns - ready_ns;
        recovered_most_ns = took_ns > recovered_most_ns ? took_ns : recovered_most_ns;
        ready_ns = 0;
    }
}

static uint16_t free_port(void)
{
    struct hostile *h = &server;
    const struct hostile_script script = { .on_bytes = NULL };
    hostile_open(h, &script);
    hostile_close(h);
    return ntohs(h->addr.sin_port);
}

static void test_killed(void **state)
{
    (void)state;
    struct served s = { .pid = 0 };
    struct weir_client_config cfg;
    unsigned kills = 0;
    uint16_t port = free_port();
    engine_open(&rig.engine);
    hostile_client_config(&cfg, &server);
    cfg.head_bytes_max = 4096;
    cfg.conns_max = 8;
    cfg.conns_min = 2;
    client = hostile_client(&cfg);
    ready_ns = last_well_ns = recovered_most_ns = 0;
    memset(err_counts, 0, sizeof err_counts);
    well_count = 0;
    for (size_t i = 0; i < AT_ONCE; i++)
        resend_ns[i] = 1;
    uint64_t until_ns = weir_clock_ns() + kill_for_ns;
    while (weir_clock_ns() < until_ns) {
        served_start(&s, port);
        while (!served_ready(&s)) {
            fetches_step();
            turn();
        }
        ready_ns = weir_clock_ns();
        uint64_t kill_ns = ready_ns + kill_every_ns;
        while (weir_clock_ns() < kill_ns || ready_ns != 0) {
            assert_true(weir_clock_ns() < kill_ns + WAIT_NS);
            fetches_step();
            turn();
        }
        served_kill(&s);
        kills++;
    }
    print_message("killed %u times: %u well, %u broken, %u refused; back after %.0f ms at most\n",
                  kills, well_count, err_counts[0], err_counts[1], (double)recovered_most_ns / 1e6);
    /* Broken are at most those that were under way. */
    assert_in_range(err_counts[0], 0, kills * AT_ONCE);
    assert_in_range(recovered_most_ns, 1, 1000 * MS * (SANITIZED ? 3 : 1));
    for (size_t i = 0; i < AT_ONCE; i++)
        RIG_UNTIL(fetches[i].ends > 0 || resend_ns[i] != 0);
    RIG_UNTIL(client_stats(client).conns_now == 0);
    client_quiet(client);
    assert_int_equal(weir_client_close(client), 0);
    assert_int_equal(engine_stats().send_chunks_now, 0);
    assert_int_equal(weir_engine_close(rig.engine), 0);
    held_as_before(&rig.before, SLACK);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--serve") == 0)
        return serve(argv[2], argv[3]);
    if (argc == 2 && strcmp(argv[1], "--long") == 0) {
        kill_every_ns = 2000 * MS;
        kill_for_ns = 60000 * MS;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_busy, rig_setup),
        cmocka_unit_test_setup(test_hangs_up, rig_setup),
        cmocka_unit_test_setup(test_refusing_port, rig_setup),
        cmocka_unit_test_setup(test_retry_after, rig_setup),
        cmocka_unit_test_setup(test_killed, rig_setup),
    };
    return cmocka_run_group_tests_name("client outage", tests, pattern_fill, NULL);
}
