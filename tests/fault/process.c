/* SPDX-License-Identifier: MIT */
/*
 * An engine in a process that has other things to do: it starts programs and forks in the middle of
 * traffic. Nothing of the engine reaches its children, and no answer suffers.
 */
#include "fault/flood.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Closes all from `first` on; Linux 5.9, older than anything weir runs on. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* ---- What a program inherits ------------------------------------------------------------- */

#define INHERITED_MAX 64

static char *lister_argv[INHERITED_MAX + 3];
static char lister_numbers[INHERITED_MAX][12];

/* Descriptors that every program is handed: those that are open now, and not by weir. */
static void lister_prepare(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int fd = entry->d_name[0] == '.' ? -1 : (int)strtol(entry->d_name, NULL, 10);
        if (fd < 0 || (fcntl(fd, F_GETFD) & FD_CLOEXEC))
            continue;
        assert_true(count < INHERITED_MAX);
        snprintf(lister_numbers[count], sizeof lister_numbers[count], "%d", fd);
        lister_argv[2 + count] = lister_numbers[count];
        count++;
    }
    closedir(dir);
    static char name[] = "lister";
    static char option[] = "--inherited";
    lister_argv[0] = name;
    lister_argv[1] = option;
    lister_argv[2 + count] = NULL;
}

/* This program, run again: has it got descriptors besides those it is told of? */
static int lister_main(char **allowed)
{
    unsigned more = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 2;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300];
        char target[256] = "";
        bool known = entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == dirfd(dir);
        for (char **number = allowed; *number != NULL && !known; number++)
            known = strcmp(*number, entry->d_name) == 0;
        if (known)
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof target - 1) < 0)
            target[0] = '?';
        fprintf(stderr, "inherited: %s -> %s\n", entry->d_name, target);
        more++;
    }
    closedir(dir);
    return more > 0;
}

static void lister_exec(void)
{
    execv("/proc/self/exe", lister_argv);
    _exit(127);
}

static int lister_spawn(void)
{
    pid_t pid;
    int status;
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, lister_argv, environ) != 0 ||
        waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static pid_t child_start(void (*run)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run();
        _exit(0);
    }
    return pid;
}

static void child_ended_well(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Everything that the library opens, at once. */
static void test_close_on_exec(void **state)
{
    (void)state;
    char path[64];
    lister_prepare();
    int canary = open("/dev/null", O_RDONLY);
    assert_true(canary >= 0);
    assert_int_equal(lister_spawn(), 1); /* it does see what it should */
    close(canary);
    rig_serve();
    struct weir_server *server = unix_server_open(path);
    assert_true(weir_engine_fd(rig.engine) >= 0);
    struct weir_client *client = client_open(rig.engine, 8, 1);
    int dialed = unix_dial(path);
    struct fetch fetches[8];
    for (unsigned i = 0; i < 8; i++) {
        fetch_init(&fetches[i], JOB_HOLD, 0);
        assert_true(fetch_send(client, &fetches[i]));
    }
    RIG_UNTIL(rig.requests == 8 && engine_stats().accepted == 9);
    unsigned checked = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        bool before = entry->d_name[0] == '.';
        for (char **number = lister_argv + 2; *number != NULL; number++)
            before = before || strcmp(*number, entry->d_name) == 0;
        if (before)
            continue;
        int flags = fcntl((int)strtol(entry->d_name, NULL, 10), F_GETFD);
        if (!(flags & FD_CLOEXEC))
            fail_msg("descriptor %s is not close-on-exec", entry->d_name);
        checked++;
    }
    closedir(dir);
    assert_true(checked >= 8 + 9 + 2 + 4); /* connections, listeners, ring, bell, the host's */
    child_ended_well(child_start(lister_exec));
    assert_int_equal(lister_spawn(), 0);
    rig.release = true;
    RIG_UNTIL(rig.ends == 8);
    RIG_UNTIL(fetches[0].ends == 1 && fetches[7].ends == 1);
    close(dialed);
    assert_int_equal(weir_client_close(client), 0);
    assert_int_equal(weir_server_close(server), 0);
    unlink(path);
    rig_end(SLACK);
}

#define SPAWNS (SANITIZED ? 8 : 40)

static volatile bool spawner_done;

static void *spawner_run(void *arg)
{
    int *found = arg;
    for (unsigned i = 0; i < SPAWNS && *found == 0; i++)
        *found = lister_spawn();
    __atomic_store_n(&spawner_done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Another thread starts programs all the time: there is no moment in which one is not yet
 * close-on-exec. */
static void test_close_on_exec_at_once(void **state)
{
    (void)state;
    pthread_t spawner;
    int found = 0;
    unsigned rounds = 0;
    lister_prepare();
    spawner_done = false;
    assert_int_equal(pthread_create(&spawner, NULL, spawner_run, &found), 0);
    do {
        rig_serve();
        assert_true(weir_engine_fd(rig.engine) >= 0);
        flood_run(FETCHES, NULL);
        assert_int_equal(weir_server_close(rig.server), 0);
        assert_int_equal(weir_engine_close(rig.engine), 0);
        rounds++;
    } while (!__atomic_load_n(&spawner_done, __ATOMIC_ACQUIRE));
    assert_int_equal(pthread_join(spawner, NULL), 0);
    assert_int_equal(found, 0);
    print_message("%u engines opened and closed meanwhile\n", rounds);
    held_as_before(&rig.before, SLACK);
}

/* ---- Fork -------------------------------------------------------------------------------- */

#define CHILDREN_MAX 24

static pid_t children[CHILDREN_MAX];
static unsigned children_count;
static int until_closed[2]; /* children that stay do so until the parent closes [1] */

static void child_exits(void)
{
}

static void child_closes_all(void)
{
    if (syscall(SYS_close_range, 3, ~0U, 0) < 0)
        _exit(1);
}

static int not_held = -1; /* what such a child does not keep */

static void child_stays(void)
{
    char byte;
    close(until_closed[1]);
    if (not_held >= 0)
        close(not_held);
    if (read(until_closed[0], &byte, 1) != 0)
        _exit(1);
}

/* Every few answers another child, each kind in turn. */
static void fork_at_step(unsigned right)
{
    static void (*const kinds[])(void) = { child_exits, lister_exec, child_closes_all,
                                           child_stays };
    if (children_count < CHILDREN_MAX && right >= 16 * (children_count + 1)) {
        unsigned kind = children_count % (sizeof kinds / sizeof kinds[0]);
        children[children_count++] = child_start(kinds[kind]);
    }
}

static void children_open(void)
{
    children_count = 0;
    assert_int_equal(pipe2(until_closed, O_CLOEXEC), 0);
}

static void children_join(void)
{
    close(until_closed[1]);
    for (unsigned i = 0; i < children_count; i++)
        child_ended_well(children[i]);
    close(until_closed[0]);
}

static void test_fork_in_traffic(void **state)
{
    (void)state;
    lister_prepare();
    children_open();
    rig_serve();
    assert_true(weir_engine_fd(rig.engine) >= 0);
    flood_run(20 * CHILDREN_MAX, fork_at_step);
    assert_int_equal(children_count, CHILDREN_MAX);
    /* Those that stay hold the sockets of connections that are closed here, of the client's too,
     * whose ends the server does not see before. The numbers are used again. */
    for (unsigned i = 0; i < 50; i++) {
        struct peer p;
        peer_dial(&p);
        peer_send(&p, GET_SUM);
        RIG_UNTIL(peer_has(&p, SUM_OF_NOTHING));
        peer_close(&p, i % 2 > 0);
    }
    RIG_UNTIL(server_stats().conns_now <= 16);
    uint64_t cqes = engine_stats().cqes;
    for (unsigned i = 0; i < 20; i++)
        turn();
    assert_int_equal(engine_stats().cqes, cqes);
    rig_serves();
    children_join();
    flood_run(100, NULL);
    rig_balanced();
    rig_end(SLACK);
}

/* An engine opened before the fork and closed while the child is there; and the next one. */
static void test_close_beside_child(void **state)
{
    (void)state;
    children_open();
    for (unsigned i = 0; i < 3; i++) {
        rig_serve();
        flood_run(FETCHES, NULL);
        children[children_count++] = child_start(child_stays);
        flood_run(FETCHES, NULL);
        assert_int_equal(weir_server_close(rig.server), 0);
        assert_int_equal(weir_engine_close(rig.engine), 0);
    }
    children_join();
    held_as_before(&rig.before, SLACK);
}

/*
 * A child still holds the socket of a connection that is closed here: what happens to that is not
 * taken for something that happened to the one that has the number now.
 */
static void test_number_of_a_held_socket(void **state)
{
    (void)state;
    struct peer p;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t bytes = sizeof at;
    struct fetch fetches[6];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int dialed[3];
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
    /* Nobody accepts: the rest is never connected. */
    for (unsigned i = 0; i < 3; i++) {
        dialed[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(dialed[i], (struct sockaddr *)&at, sizeof at) < 0)
            assert_int_equal(errno, EINPROGRESS);
    }
    rig_serve();
    peer_dial(&p);
    peer_send(&p, GET_SUM);
    RIG_UNTIL(peer_has(&p, SUM_OF_NOTHING));
    children_open();
    not_held = p.fd;
    pid_t child = child_start(child_stays);
    not_held = -1;
    assert_int_equal(weir_server_close(rig.server), 0);
    snprintf(rig.endpoint, sizeof rig.endpoint, "http://127.0.0.1:%d", ntohs(at.sin_port));
    struct weir_client *client;
    struct weir_client_config cfg;
    weir_client_config_init(&cfg);
    cfg.conns_min = 0;
    cfg.endpoint = rig.endpoint;
    cfg.connect_timeout_ns = 300 * MS;
    assert_int_equal(weir_client_open(&client, rig.engine, &cfg), 0);
    for (unsigned i = 0; i < 6; i++) {
        fetch_init(&fetches[i], JOB_SUM, 0);
        fetches[i].call.deadline_ns = weir_clock_ns() + 3000 * MS;
        assert_true(fetch_send(client, &fetches[i]));
    }
    for (unsigned i = 0; i < 10; i++)
        turn();
    peer_close(&p, true); /* the child's copy of the other end gets a reset */
    for (unsigned i = 0; i < 6; i++)
        RIG_UNTIL(fetches[i].ends > 0);
    for (unsigned i = 0; i < 6; i++)
        assert_string_equal(weir_err_name(fetches[i].err), "WEIR_E_CONNECT_TIMEOUT");
    assert_int_equal(weir_client_close(client), 0);
    assert_int_equal(weir_engine_close(rig.engine), 0);
    close(until_closed[1]);
    child_ended_well(child);
    close(until_closed[0]);
    for (unsigned i = 0; i < 3; i++)
        close(dialed[i]);
    close(listener);
    held_as_before(&rig.before, SLACK);
}

/* ---- Memory ------------------------------------------------------------------------------ */

#define MAPPINGS_MAX 1024

struct mapping {
    unsigned long begin, end;
    bool stays_here; /* MADV_DONTFORK */
    char name[64];
};

static struct mapping mappings[2][MAPPINGS_MAX];

static unsigned mappings_read(struct mapping *out)
{
    char line[512];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/smaps", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        struct mapping m = { 0 };
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %63s", &m.begin, &m.end, m.name) >= 2) {
            assert_true(count < MAPPINGS_MAX);
            out[count++] = m;
        } else if (strncmp(line, "VmFlags:", 8) == 0) {
            assert_true(count > 0);
            out[count - 1].stays_here = strstr(line, " dc") != NULL;
        }
    }
    fclose(file);
    return count;
}

static const volatile char *touched;

static void child_touches(void)
{
    const struct rlimit none = { 0 };
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(SIGSEGV, SIG_DFL);
    (void)*touched;
    _exit(1);
}

static void check_not_there(const void *memory)
{
    int status;
    touched = memory;
    pid_t pid = child_start(child_touches);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

/* Nothing that the library mapped is there in a child: neither its own nor the ring's. */
static void test_memory(void **state)
{
    (void)state;
    unsigned before = mappings_read(mappings[0]);
    rig_serve();
    struct weir_client *client = client_open(rig.engine, 4, 1);
    struct fetch fetch;
    fetch_init(&fetch, JOB_SUM, 100);
    assert_true(fetch_send(client, &fetch));
    RIG_UNTIL(fetch.ends == 1);
    unsigned after = mappings_read(mappings[1]);
    unsigned of_ring = 0;
    for (unsigned i = 0; i < after; i++) {
        const struct mapping *m = &mappings[1][i];
        bool ring = strstr(m->name, "io_uring") != NULL;
        bool known = strcmp(m->name, "[heap]") == 0;
        for (unsigned k = 0; k < before && !known; k++)
            known = mappings[0][k].begin <= m->begin && m->end <= mappings[0][k].end;
        of_ring += ring;
        /* A sanitizer maps memory of its own all the time. */
        if ((ring || (!SANITIZED && !known)) && !m->stays_here)
            fail_msg("a child gets %lx-%lx %s", m->begin, m->end, m->name);
    }
    assert_int_equal(of_ring > 0, ring_is_uring());
    check_not_there(rig.engine);
    check_not_there(rig.server);
    check_not_there(client);
    assert_int_equal(weir_client_close(client), 0);
    rig_serves();
    rig_end(SLACK);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--inherited") == 0)
        return lister_main(argv + 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_close_on_exec, rig_setup),
        cmocka_unit_test_setup(test_close_on_exec_at_once, rig_setup),
        cmocka_unit_test_setup(test_fork_in_traffic, rig_setup),
        cmocka_unit_test_setup(test_close_beside_child, rig_setup),
        cmocka_unit_test_setup(test_number_of_a_held_socket, rig_setup),
        cmocka_unit_test_setup(test_memory, rig_setup),
    };
    return cmocka_run_group_tests(tests, pattern_fill, NULL);
}
