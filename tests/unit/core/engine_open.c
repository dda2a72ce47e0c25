/* SPDX-License-Identifier: MIT */
/* The beginning and end of an engine: configuration, every shortage, what is left behind. */
#include "core/engine.h"
#include "core/ring.h"

#include "unit/io/rig.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifndef ASAN
#define ASAN 0
#endif

/* ---- Children: for limits and filters that cannot be taken back -------------------------- */

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s; error text: %s\n", __FILE__, __LINE__, #x,                 \
                    weir_error_text());                                                            \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void in_child(void (*run)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool text_has(const char *part)
{
    return strstr(weir_error_text(), part) != NULL;
}

static struct weir_engine_config smallest_config(void)
{
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    cfg.conns_max = 1;
    cfg.recv_bufs_max = 2;
    cfg.recv_buf_bytes = 256;
    cfg.send_bytes_max = 1u << 16;
    cfg.stash_bytes_max = 1u << 16;
    cfg.stash_block_bytes = 4096;
    cfg.sq_entries = 8;
    cfg.cq_entries = 8;
    return cfg;
}

/* ---- Configuration ----------------------------------------------------------------------- */

static void check_refused(const struct weir_engine_config *cfg, const char *name)
{
    struct weir_engine *engine = (void *)1;
    assert_int_equal(weir_engine_memory_bytes(cfg), -EINVAL);
    if (!text_has(name))
        fail_msg("'%s' does not name %s", weir_error_text(), name);
    assert_int_equal(weir_engine_open(&engine, cfg), -EINVAL);
    assert_null(engine);
    assert_true(text_has(name));
}

#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        struct weir_engine_config cfg = rig_config();                                              \
        cfg.field = (value);                                                                       \
        check_refused(&cfg, #field);                                                               \
    } while (0)

static void test_config_errors(void **state)
{
    (void)state;
    REFUSED(conns_max, 0);
    REFUSED(conns_max, (1u << 20) + 1);
    REFUSED(recv_bufs_max, 0);
    REFUSED(recv_bufs_max, 1);
    REFUSED(recv_bufs_max, 3);
    REFUSED(recv_bufs_max, 65536);
    REFUSED(recv_buf_bytes, 255);
    REFUSED(recv_buf_bytes, 65537);
    REFUSED(send_bytes_max, (1u << 16) - 1);
    REFUSED(send_bytes_max, (1u << 30) + 1);
    REFUSED(stash_bytes_max, (1u << 16) - 1);
    REFUSED(stash_bytes_max, (1ull << 34) + 1);
    REFUSED(stash_block_bytes, 2048);
    REFUSED(stash_block_bytes, 5000);
    REFUSED(stash_block_bytes, 131072);
    REFUSED(sq_entries, 4);
    REFUSED(sq_entries, 100);
    REFUSED(sq_entries, 65536);
    REFUSED(cq_entries, 4);
    REFUSED(cq_entries, 300);
    REFUSED(cq_entries, 131072);
    REFUSED(cq_entries, 128); /* less than sq_entries */
    REFUSED(cpu, -2);
    REFUSED(cpu, CPU_SETSIZE);
    REFUSED(ring_disable, "no_sqarray,nonsense");
    assert_true(text_has("'nonsense'"));
    assert_true(text_has(weir_ring_features()));
    REFUSED(size, sizeof(struct weir_engine_config) - 1);
}

static void test_config_init(void **state)
{
    (void)state;
    struct weir_engine_config cfg;
    memset(&cfg, 0xff, sizeof cfg);
    weir_engine_config_init(&cfg);
    assert_int_equal(cfg.size, sizeof cfg);
    assert_int_equal(cfg.conns_max, 16384);
    assert_int_equal(cfg.cpu, -1);
    assert_null(cfg.ring_disable);
    assert_true(weir_engine_memory_bytes(&cfg) > 0);
    /* A caller that knows less gets less. */
    memset(&cfg, 0xff, sizeof cfg);
    weir_engine_config_init_size(&cfg, 8);
    assert_int_equal(cfg.conns_max, 16384);
    assert_int_equal(cfg.recv_bufs_max, UINT32_MAX);
}

/* The sum is what is taken, but for the alignment of a few objects; the borders of all fields open.
 */
static void check_opens(const struct weir_engine_config *asked)
{
    struct weir_engine_config cfg = *asked;
    cfg.ring = WEIR_RING_URING; /* automatic: there is room for both twins */
    struct weir_engine *engine = rig_open(&cfg);
    int64_t bytes = weir_engine_memory_bytes(&cfg);
    assert_int_equal(engine->arena.bytes, bytes);
    assert_true(engine->arena.used <= (uint64_t)bytes);
    assert_true((uint64_t)bytes - engine->arena.used < 5 * WEIR_PAGE);
    assert_int_equal(weir_engine_run_once(engine, 0), 0);
    rig_close(engine);
}

static void test_memory_bytes(void **state)
{
    (void)state;
    struct weir_engine_config cfg = smallest_config();
    check_opens(&cfg);
    cfg.ring = WEIR_RING_URING;
    assert_true(weir_engine_memory_bytes(&cfg) < 1 << 20);
    cfg.stash_block_bytes =
        65536; /* one block does not fit into the least stash: there is one all the same */
    check_opens(&cfg);
    weir_engine_config_init(&cfg);
    check_opens(&cfg);
    cfg.conns_max = 1u << 20;
    cfg.recv_bufs_max = 32768;
    cfg.recv_buf_bytes = 65536;
    cfg.stash_bytes_max = 1ull << 34;
    cfg.send_bytes_max = 1u << 30;
    assert_true(weir_engine_memory_bytes(&cfg) > 19ll << 30);
    cfg = rig_config();
    cfg.sq_entries = 32768;
    cfg.cq_entries = 65536;
    cfg.recv_bufs_max = 32768;
    cfg.recv_buf_bytes = 257; /* no multiple of a cache line */
    check_opens(&cfg);
}

/* ---- Shortages --------------------------------------------------------------------------- */

static void test_descriptors_exhausted(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct rlimit limit, small;
    unsigned before = rig_fds_count();
    int lowest = dup(STDERR_FILENO);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (unsigned room = 0; room < 3; room++) {
        struct weir_engine *engine;
        small = (struct rlimit){ (rlim_t)lowest + room, limit.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
        int rc = weir_engine_open(&engine, &cfg);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(rc, -EMFILE);
        assert_null(engine);
        assert_true(text_has(room == 0 ? "for the ring" : "self-test"));
        assert_true(text_has("ulimit -n"));
        assert_int_equal(rig_fds_count(), before);
    }
    rig_close(rig_open(&cfg));
}

/* A number from /proc/self/statm or the count of threads; they tell what was left behind. */
static unsigned long vm_pages(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        if (fscanf(f, "%lu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages;
}

static unsigned threads_count(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* From too little for the first mapping to enough for all: every error on the way is the same and
 * clean. */
static void address_space_sweep(void)
{
    struct weir_engine_config cfg = smallest_config();
    struct weir_engine *engine;
    struct rlimit unlimited;
    CHECK(weir_engine_open(&engine, &cfg) == 0);
    CHECK(weir_engine_close(engine) == 0);
    CHECK(getrlimit(RLIMIT_AS, &unlimited) == 0);
    unsigned long before = vm_pages();
    unsigned failures = 0;
    for (unsigned long pages = 0;; pages++) {
        struct rlimit limit = { (before + pages) * WEIR_PAGE, unlimited.rlim_max };
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        int rc = weir_engine_open(&engine, &cfg);
        CHECK(setrlimit(RLIMIT_AS, &unlimited) == 0);
        if (rc == 0)
            break;
        CHECK(rc == -ENOMEM);
        CHECK(engine == NULL);
        CHECK(weir_error_text()[0] != '\0');
        CHECK(vm_pages() == before);
        failures++;
    }
    CHECK(failures > 20);
    CHECK(weir_engine_close(engine) == 0);
    CHECK(vm_pages() == before);
}

static void test_address_space_exhausted(void **state)
{
    (void)state;
    if (ASAN)
        skip(); /* its shadow is larger than any limit */
    in_child(address_space_sweep);
}

static void locked_memory(void)
{
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine;
    struct rlimit tiny = { 1u << 19, 1u << 19 }; /* the ring counts too since Linux 6.14 */
    unsigned before = rig_fds_count();
    CHECK(setrlimit(RLIMIT_MEMLOCK, &tiny) == 0);
    if (geteuid() == 0)
        CHECK(setresuid(65534, 65534, 65534) == 0);
    cfg.send_register = true;
    CHECK(weir_engine_open(&engine, &cfg) == -ENOMEM);
    CHECK(engine == NULL);
    CHECK(text_has("send_register"));
    CHECK(text_has("524288 bytes"));
    CHECK(text_has("ulimit -l"));
    CHECK(rig_fds_count() == before);
    /* Without it the limit does not matter. */
    cfg.send_register = false;
    CHECK(weir_engine_open(&engine, &cfg) == 0);
    CHECK(weir_engine_close(engine) == 0);
}

static void test_locked_memory_limit(void **state)
{
    (void)state;
    in_child(locked_memory);
}

static void test_send_register(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.send_bytes_max = 1u << 16;
    cfg.send_register = true;
    struct weir_engine *engine = rig_open(&cfg);
    assert_int_equal((uintptr_t)engine->chunks.base % WEIR_PAGE, 0);
    rig_close(engine);
}

/* From now on io_uring_setup() answers `err`. */
static void filter_setup(int err)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof code / sizeof code[0],
                                  .filter = (struct sock_filter *)(uintptr_t)code };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void check_setup_error(int err, int result, const char *text)
{
    struct weir_engine_config cfg = rig_config();
    cfg.ring = WEIR_RING_URING;
    struct weir_engine *engine;
    unsigned before = rig_fds_count();
    unsigned long pages = vm_pages();
    filter_setup(err);
    CHECK(weir_engine_open(&engine, &cfg) == result);
    CHECK(engine == NULL);
    CHECK(text_has(text));
    CHECK(rig_fds_count() == before);
    if (!ASAN)
        CHECK(vm_pages() == pages);
}

/* An engine that may choose takes epoll, says why, and works. */
static void check_fallback(int err, const char *text)
{
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine;
    filter_setup(err);
    CHECK(weir_engine_open(&engine, &cfg) == 0);
    CHECK(strncmp(weir_engine_ring_info(engine), "epoll", 5) == 0);
    CHECK(weir_engine_ring_fallback(engine) != NULL);
    CHECK(strstr(weir_engine_ring_fallback(engine), text) != NULL);
    CHECK(weir_engine_run_once(engine, 0) == 0);
    CHECK(weir_engine_close(engine) == 0);
}

static void fallback_eperm(void)
{
    check_fallback(EPERM, "forbidden");
}

static void fallback_enosys(void)
{
    check_fallback(ENOSYS, "not there");
}

static void fallback_einval(void)
{
    check_fallback(EINVAL, "6.1");
}

static void test_fallback(void **state)
{
    (void)state;
    in_child(fallback_eperm);
    in_child(fallback_enosys);
    in_child(fallback_einval);
    struct weir_engine_config cfg = rig_config();
    cfg.ring = WEIR_RING_EPOLL;
    struct weir_engine *engine = rig_open(&cfg);
    assert_null(weir_engine_ring_fallback(engine)); /* it was asked for */
    rig_close(engine);
}

static void test_parse(void **state)
{
    (void)state;
    enum weir_ring_kind ring;
    enum weir_wait wait;
    const char *list;
    assert_int_equal(weir_parse_ring(&ring, "epoll"), 0);
    assert_int_equal(ring, WEIR_RING_EPOLL);
    assert_int_equal(weir_parse_ring(&ring, "Epoll"), -EINVAL);
    assert_true(text_has("auto, uring or epoll") && text_has("'Epoll'"));
    assert_int_equal(weir_parse_wait(&wait, "spin"), 0);
    assert_int_equal(wait, WEIR_WAIT_SPIN);
    assert_int_equal(weir_parse_wait(&wait, ""), -EINVAL);
    assert_true(text_has("adaptive, spin or sleep"));
    assert_int_equal(weir_parse_ring_features(&list, "send_zc,ring_fd"), 0);
    assert_string_equal(list, "send_zc,ring_fd");
    assert_int_equal(weir_parse_ring_features(&list, "ring_fd,teleport"), -EINVAL);
    assert_true(text_has("'teleport'") && text_has("send_zc"));
}

static void setup_eperm(void)
{
    check_setup_error(EPERM, -EPERM, "seccomp profile");
}

static void setup_enosys(void)
{
    check_setup_error(ENOSYS, -ENOSYS, "seccomp profile");
}

static void setup_einval(void)
{
    check_setup_error(EINVAL, WEIR_E_UNSUPPORTED, "Linux 6.1");
}

static void setup_enomem(void)
{
    check_setup_error(ENOMEM, -ENOMEM, "locked-memory limit");
}

static void test_setup_refused(void **state)
{
    (void)state;
    in_child(setup_eperm);
    in_child(setup_enosys);
    in_child(setup_einval);
    in_child(setup_enomem);
}

/* A failed open leaves the thread where it was. */
static void test_cpu(void **state)
{
    (void)state;
    cpu_set_t before, after;
    struct weir_engine *engine;
    struct weir_engine_config cfg = rig_config();
    struct rlimit limit, small;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int first = 0;
    while (!CPU_ISSET((unsigned)first, &before))
        first++;
    if (!CPU_ISSET(CPU_SETSIZE - 1, &before)) {
        cfg.cpu = CPU_SETSIZE - 1;
        assert_int_equal(weir_engine_open(&engine, &cfg), -EINVAL);
        assert_true(text_has("cpu: cannot pin"));
    }
    cfg.cpu = first;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    small = (struct rlimit){ 0, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    int rc = weir_engine_open(&engine, &cfg);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, -EMFILE);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
    engine = rig_open(&cfg);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_int_equal(CPU_COUNT(&after), 1);
    assert_true(CPU_ISSET((unsigned)first, &after));
    rig_close(engine);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

/* ---- Open and close ---------------------------------------------------------------------- */

static void test_nothing_is_left_behind(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.recv_bufs_max = 16;
    rig_close(rig_open(&cfg)); /* what the kernel and libc make once per thread */
    unsigned fds = rig_fds_count(), threads = threads_count();
    unsigned long pages = vm_pages();
    for (unsigned i = 0; i < 100; i++) {
        struct weir_engine *engine = rig_open(&cfg);
        assert_int_equal(weir_engine_run_once(engine, 0), 0);
        rig_close(engine);
    }
    assert_int_equal(rig_fds_count(), fds);
    assert_int_equal(threads_count(), threads);
    if (!ASAN)
        assert_int_equal(vm_pages(), pages);
}

/* The kernel registers at most 16 rings of one thread; further ones do without. */
static void test_many_engines_of_one_thread(void **state)
{
    (void)state;
    struct weir_engine_config cfg = smallest_config();
    struct weir_engine *engines[20];
    for (unsigned i = 0; i < 20; i++)
        engines[i] = rig_open(&cfg);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(weir_engine_run_once(engines[i], 100000), 0);
    assert_non_null(strstr(weir_engine_ring_info(engines[19]), "ring_fd="));
    for (unsigned i = 0; i < 20; i++)
        rig_close(engines[i]);
}

static void test_close_while_used(void **state)
{
    (void)state;
    struct weir_engine_config cfg = smallest_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct weir_slot *slot = weir_slot_get(engine);
    assert_non_null(slot);
    assert_int_equal(weir_slots_free(engine), 0);
    assert_null(weir_slot_get(engine));
    assert_int_equal(weir_engine_close(engine), -EBUSY);
    assert_int_equal(rig_stats(engine).conns_now, 1);
    assert_int_equal(weir_engine_run_once(engine, 0), 0);
    uint32_t gen = slot->gen;
    weir_slot_put(engine, slot);
    assert_ptr_equal(weir_slot_get(engine), slot);
    assert_int_not_equal(slot->gen, gen);
    weir_slot_put(engine, slot);
    engine->owners++;
    assert_int_equal(weir_engine_close(engine), -EBUSY);
    engine->owners--;
    rig_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_errors),
        cmocka_unit_test(test_config_init),
        cmocka_unit_test(test_memory_bytes),
        cmocka_unit_test(test_descriptors_exhausted),
        cmocka_unit_test(test_address_space_exhausted),
        cmocka_unit_test(test_locked_memory_limit),
        cmocka_unit_test(test_send_register),
        cmocka_unit_test(test_setup_refused),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_nothing_is_left_behind),
        cmocka_unit_test(test_many_engines_of_one_thread),
        cmocka_unit_test(test_close_while_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
