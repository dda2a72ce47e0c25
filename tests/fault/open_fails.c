/* SPDX-License-Identifier: MIT */
/*
 * The n-th call for memory, a descriptor or the ring fails, for n = 1, 2, ... until nothing fails
 * any more: opening an engine, a server and a client either succeeds without what failed, or says
 * why not, and leaves nothing behind: no descriptor, no mapping, no byte of the heap.
 *
 * This program defines the symbols that the library calls; each hands on to the next definition, in
 * the C library or liburing.
 */
#include "fault/rig.h"

#include <dlfcn.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define SLACK (1 * MIB)
/* More than any of the sweeps needs: an end for one that never succeeds. */
#define CALLS_MAX 400

/* The call that fails, counted from 1 while armed; 0 = none. */
static struct {
    unsigned fail_at;
    unsigned calls;
    int error;
    bool armed;
    bool no_name;
    uint64_t libc_keeps; /* bytes that the C library may keep of what it did, for the next time */
    const char *failed;  /* its name */
} plan;

static bool fails(const char *name)
{
    if (!plan.armed || ++plan.calls != plan.fail_at)
        return false;
    plan.failed = name;
    return true;
}

static bool fails_errno(const char *name)
{
    if (!fails(name))
        return false;
    errno = plan.error;
    return true;
}

#define VISIBLE __attribute__((visibility("default")))

/* A function of the C library: -1 and errno, or what the next definition gives. */
#define LIBC(name, parameters, ...)                                                                \
    VISIBLE int name parameters                                                                    \
    {                                                                                              \
        static int(*next) parameters;                                                              \
        if (next == NULL)                                                                          \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        return fails_errno(#name) ? -1 : next(__VA_ARGS__);                                        \
    }

struct io_uring;
struct io_uring_params;
struct io_uring_buf_reg;

/* A function of liburing: -errno. */
#define URING(name, parameters, ...)                                                               \
    int name parameters;                                                                           \
    VISIBLE int name parameters                                                                    \
    {                                                                                              \
        static int(*next) parameters;                                                              \
        if (next == NULL)                                                                          \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        return fails(#name) ? -plan.error : next(__VA_ARGS__);                                     \
    }

LIBC(socket, (int domain, int type, int protocol), domain, type, protocol)
LIBC(bind, (int fd, const struct sockaddr *addr, socklen_t len), fd, addr, len)
LIBC(listen, (int fd, int backlog), fd, backlog)
LIBC(setsockopt, (int fd, int level, int name, const void *value, socklen_t len), fd, level, name,
     value, len)
LIBC(eventfd, (unsigned count, int flags), count, flags)
LIBC(epoll_create1, (int flags), flags)
LIBC(epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event), epfd, op, fd, event)
LIBC(madvise, (void *addr, size_t len, int advice), addr, len, advice)
LIBC(timerfd_create, (clockid_t clock, int flags), clock, flags)
URING(io_uring_setup, (unsigned entries, struct io_uring_params *p), entries, p)
URING(io_uring_queue_mmap, (int fd, struct io_uring_params *p, struct io_uring *ring), fd, p, ring)
URING(io_uring_register, (unsigned fd, unsigned opcode, const void *arg, unsigned count), fd,
      opcode, arg, count)
URING(io_uring_register_buf_ring,
      (struct io_uring * ring, struct io_uring_buf_reg *reg, unsigned flags), ring, reg, flags)
URING(io_uring_register_buffers,
      (struct io_uring * ring, const struct iovec *parts, unsigned count), ring, parts, count)
URING(io_uring_register_ring_fd, (struct io_uring * ring), ring)
URING(io_uring_register_eventfd, (struct io_uring * ring, int fd), ring, fd)
URING(io_uring_enter2,
      (unsigned fd, unsigned submit, unsigned count, unsigned flags, sigset_t *sig, size_t size),
      fd, submit, count, flags, sig, size)

VISIBLE void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    static void *(*next)(void *, size_t, int, int, int, off_t);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "mmap");
    return fails_errno("mmap") ? MAP_FAILED : next(addr, len, prot, flags, fd, offset);
}

/* Fails on its own only, whatever else does: for a security module may refuse it. */
VISIBLE int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    static int (*next)(int, struct sockaddr *, socklen_t *);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "getsockname");
    if (plan.armed && plan.no_name) {
        plan.failed = "getsockname";
        errno = plan.error;
        return -1;
    }
    return next(fd, addr, len);
}

/* A sanitizer's runtime has these symbols itself; the library does not call them, but what it calls
 * in the C library does. */
#if !SANITIZED
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

VISIBLE void *malloc(size_t bytes)
{
    return fails_errno("malloc") ? NULL : __libc_malloc(bytes);
}

VISIBLE void *calloc(size_t count, size_t bytes)
{
    return fails_errno("calloc") ? NULL : __libc_calloc(count, bytes);
}

VISIBLE void *realloc(void *old, size_t bytes)
{
    return fails_errno("realloc") ? NULL : __libc_realloc(old, bytes);
}
#endif

/* ---- What is left behind ------------------------------------------------------------------ */

struct left {
    unsigned descriptors;
    unsigned mappings;
    uint64_t mapped_bytes;
    uint64_t heap_bytes;
};

/* Mappings that the C library makes for itself, its heap, are told by mallinfo2() instead. */
static struct left left_now(void)
{
    struct left left = { .descriptors = entries_of("/proc/self/fd") };
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long long from;
        unsigned long long to;
        assert_int_equal(sscanf(line, "%llx-%llx", &from, &to), 2);
        if (strstr(line, "[heap]") != NULL || strstr(line, "[stack]") != NULL)
            continue;
        left.mappings++;
        left.mapped_bytes += to - from;
    }
    fclose(maps);
    if (!SANITIZED)
        left.heap_bytes = mallinfo2().uordblks;
    return left;
}

static void nothing_left(const struct left *before)
{
    struct left now = left_now();
    if (now.descriptors != before->descriptors ||
        (!SANITIZED &&
         (now.mappings != before->mappings || now.mapped_bytes != before->mapped_bytes ||
          now.heap_bytes > before->heap_bytes + plan.libc_keeps)))
        fail_msg("after call %u, %s, failed: %u descriptors, %u mappings, %" PRIu64 " bytes in "
                 "them, %" PRIu64 " bytes of heap; before: %u, %u, %" PRIu64 ", %" PRIu64,
                 plan.fail_at, plan.failed, now.descriptors, now.mappings, now.mapped_bytes,
                 now.heap_bytes, before->descriptors, before->mappings, before->mapped_bytes,
                 before->heap_bytes);
}

/* ---- The sweeps --------------------------------------------------------------------------- */

/* What to open, in this order, as far as it goes. */
struct opened {
    struct weir_engine *engine;
    struct weir_server *server;
    struct weir_client *client;
};

static const char *endpoint = "http://127.0.0.1:1";

/* Open all three with the plan's failure. @return the first result that is not 0 */
static int open_all(struct opened *o)
{
    static const struct weir_server_handler handler = { .on_request = on_request };
    struct weir_client_config client_cfg;
    weir_client_config_init(&client_cfg);
    client_cfg.conns_min = 0;
    client_cfg.endpoint = endpoint;
    /* Not NULL, so that it shows whether a failed open sets it. */
    *o = (struct opened){ (void *)o, (void *)o, (void *)o };
    plan.armed = true;
    int rc = weir_engine_open(&o->engine, &rig.engine_cfg);
    if (rc == 0)
        rc = weir_server_open(&o->server, o->engine, &rig.server_cfg, &handler, &rig);
    if (rc == 0)
        rc = weir_client_open(&o->client, o->engine, &client_cfg);
    plan.armed = false;
    return rc;
}

/* After a failure the last handle is NULL, and those before it are good. */
static void close_all(struct opened *o, int rc)
{
    if (rc == 0)
        assert_int_equal(weir_client_close(o->client), 0);
    else if (o->server != NULL && o->engine != NULL)
        assert_null(o->client);
    if (o->engine == NULL)
        return;
    if (o->server != NULL)
        assert_int_equal(weir_server_close(o->server), 0);
    assert_int_equal(weir_engine_close(o->engine), 0);
}

/* One open, closed again. @return whether anything failed in it */
static bool step(const struct left *before)
{
    struct opened o;
    plan.calls = 0;
    plan.failed = NULL;
    int rc = open_all(&o);
    if (rc < 0) {
        if (plan.failed == NULL)
            fail_msg("nothing failed, but open did: %s", weir_error_text());
        if (weir_error_text()[0] == '\0' || strcmp(weir_err_name(rc), "UNKNOWN") == 0)
            fail_msg("%s failed, the result is %d, the text '%s'", plan.failed, rc,
                     weir_error_text());
        if (plan.error == ENOMEM)
            print_message("    %-28s %s\n", plan.failed, weir_error_text());
    }
    assert_true(rc <= 0);
    close_all(&o, rc);
    if (before != NULL)
        nothing_left(before);
    return plan.failed != NULL;
}

static void sweep(int error)
{
    plan.error = error;
    /* What the C library allocates once and for ever, it allocates here. */
    plan.fail_at = 0;
    for (unsigned i = 0; i < 2; i++)
        assert_false(step(NULL));
    for (plan.fail_at = 1; plan.fail_at < 3; plan.fail_at++)
        step(NULL);
    struct left before = left_now();
    unsigned failures = 0;
    for (plan.fail_at = 1; step(&before); plan.fail_at++) {
        failures++;
        assert_true(plan.fail_at < CALLS_MAX);
    }
    print_message("  %s: %u calls failed, one at a time\n", weir_err_name(-error), failures);
    /* mmap of the memory, three for the ring, the doorbell, the listener's: fewer would mean that
     * the calls do not come by here. */
    assert_true(failures >= 10);
    held_as_before(&rig.before, SLACK);
}

static void test_no_memory(void **state)
{
    (void)state;
    sweep(ENOMEM);
}

static void test_no_descriptor(void **state)
{
    (void)state;
    sweep(EMFILE);
}

static void test_no_descriptor_at_all(void **state)
{
    (void)state;
    sweep(ENFILE);
}

static void test_not_permitted(void **state)
{
    (void)state;
    sweep(EPERM);
}

static void test_not_known(void **state)
{
    (void)state;
    sweep(ENOSYS);
}

static void test_invalid(void **state)
{
    (void)state;
    sweep(EINVAL);
}

/* With the optional things: locked output memory, a CPU, a name to be resolved. */
static void test_no_memory_for_more(void **state)
{
    (void)state;
    rig.engine_cfg.send_register = true;
    rig.engine_cfg.send_bytes_max = 1 * MIB;
    rig.engine_cfg.cpu = 0;
    rig.server_cfg.reuse_port = true;
    endpoint = "http://localhost:1";
    plan.libc_keeps = 8 * KIB; /* what it has read of its resolver's configuration */
    sweep(ENOMEM);
    plan.libc_keeps = 0;
    endpoint = "http://127.0.0.1:1";
}

/* In a process of its own: what is checked is also that it does not die of it. */
static void test_no_name(void **state)
{
    int status;
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1);
        plan.fail_at = 0;
        plan.error = EACCES;
        step(NULL);
        struct left before = left_now();
        plan.no_name = true;
        _exit(step(&before) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_no_memory, rig_setup),
        cmocka_unit_test_setup(test_no_descriptor, rig_setup),
        cmocka_unit_test_setup(test_no_descriptor_at_all, rig_setup),
        cmocka_unit_test_setup(test_not_permitted, rig_setup),
        cmocka_unit_test_setup(test_not_known, rig_setup),
        cmocka_unit_test_setup(test_invalid, rig_setup),
        cmocka_unit_test_setup(test_no_memory_for_more, rig_setup),
        cmocka_unit_test_setup(test_no_name, rig_setup),
    };
    return cmocka_run_group_tests_name("open fails", tests, pattern_fill, NULL);
}
