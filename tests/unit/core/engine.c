/* SPDX-License-Identifier: MIT */
/* The engine as a whole: open and close under every shortage, the loop, its clock, its doorbell. */
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
static void check_opens(const struct weir_engine_config *cfg)
{
    struct weir_engine *engine = rig_open(cfg);
    int64_t bytes = weir_engine_memory_bytes(cfg);
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
    for (unsigned room = 0; room < 2; room++) {
        struct weir_engine *engine;
        small = (struct rlimit){ (rlim_t)lowest + room, limit.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
        int rc = weir_engine_open(&engine, &cfg);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(rc, -EMFILE);
        assert_null(engine);
        assert_true(text_has(room == 0 ? "for the ring" : "doorbell"));
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

/* ---- The loop ---------------------------------------------------------------------------- */

static void test_run_once(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    assert_int_equal(weir_engine_run_once(engine, 0), 0);
    uint64_t before = weir_clock_ns();
    assert_int_equal(weir_engine_run_once(engine, 20 * RIG_MS), 0);
    assert_true(weir_clock_ns() - before >= 20 * RIG_MS);
    assert_true(weir_engine_now_ns(engine) >= before + 20 * RIG_MS);
    assert_true(weir_engine_now_ns(engine) <= weir_clock_ns());
    /* Stats are cut to what the caller knows. */
    struct weir_engine_stats stats;
    memset(&stats, 0xff, sizeof stats);
    stats.size = offsetof(struct weir_engine_stats, enters);
    weir_engine_stats(engine, &stats);
    assert_int_equal(stats.size, offsetof(struct weir_engine_stats, enters));
    assert_int_equal(stats.passes, 2);
    assert_true(stats.enters == UINT64_MAX);
    /* An idle engine sleeps. */
    rig_run_for(engine, 50 * RIG_MS);
    assert_true(rig_stats(engine).passes < 10);
    rig_close(engine);
}

static void *stop_from_thread(void *arg)
{
    weir_engine_stop(arg);
    return NULL;
}

static struct weir_engine *signalled;
static volatile sig_atomic_t signals;

static void stop_from_signal(int signal)
{
    (void)signal;
    if (++signals == 3)
        weir_engine_stop(signalled);
}

static void test_stop(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    pthread_t thread;
    /* Before the run: it returns at once. */
    weir_engine_stop(engine);
    assert_int_equal(weir_engine_run(engine), 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(pthread_create(&thread, NULL, stop_from_thread, engine), 0);
        assert_int_equal(weir_engine_run(engine), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    /* Signals interrupt the wait; the third one stops. */
    struct sigaction action = { .sa_handler = stop_from_signal }, old;
    struct itimerval timer = { { .tv_usec = 5000 }, { .tv_usec = 5000 } }, off = { { 0 }, { 0 } };
    signalled = engine;
    signals = 0;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    assert_int_equal(weir_engine_run(engine), 0);
    assert_true(signals >= 3);
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    rig_close(engine);
}

#define POSTERS 4u
#define POSTS   2000u

struct posted {
    struct weir_task task; /* first: found again from it */
    uint32_t poster, number;
};

static struct posted posted[POSTERS][POSTS];
static uint32_t posted_next[POSTERS], posted_count;
static struct weir_engine *posted_engine;
static pthread_t engine_thread;

static void run_posted(struct weir_task *task)
{
    struct posted *p = (struct posted *)task;
    assert_true(pthread_equal(pthread_self(), engine_thread));
    assert_int_equal(p->number, posted_next[p->poster]);
    posted_next[p->poster]++;
    if (++posted_count == POSTERS * POSTS)
        weir_engine_stop(posted_engine);
}

static void *post_all(void *arg)
{
    struct posted *tasks = arg;
    for (uint32_t i = 0; i < POSTS; i++)
        weir_engine_post(posted_engine, &tasks[i].task);
    return NULL;
}

static void test_post(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    pthread_t threads[POSTERS];
    posted_engine = rig_open(&cfg);
    engine_thread = pthread_self();
    posted_count = 0;
    for (uint32_t p = 0; p < POSTERS; p++) {
        posted_next[p] = 0;
        for (uint32_t i = 0; i < POSTS; i++)
            posted[p][i] = (struct posted){ { .run = run_posted }, p, i };
        assert_int_equal(pthread_create(&threads[p], NULL, post_all, posted[p]), 0);
    }
    assert_int_equal(weir_engine_run(posted_engine), 0);
    for (uint32_t p = 0; p < POSTERS; p++)
        assert_int_equal(pthread_join(threads[p], NULL), 0);
    assert_int_equal(posted_count, POSTERS * POSTS);
    /* A post before the run is work: no wait. */
    posted_count = 0;
    posted_next[0] = 0;
    weir_engine_post(posted_engine, &posted[0][0].task);
    uint64_t before = weir_clock_ns();
    assert_int_equal(weir_engine_run_once(posted_engine, RIG_WAIT), 0);
    assert_true(weir_clock_ns() - before < RIG_WAIT);
    assert_int_equal(posted_count, 1);
    rig_close(posted_engine);
}

/* ---- Timers ------------------------------------------------------------------------------ */

#define TIMERS 64u

struct timed {
    struct weir_timer timer; /* first: found again from it */
    struct weir_engine *engine;
    uint64_t deadline_ns, fired_ns;
    unsigned runs;
};

static void on_timed(struct weir_timer *timer, void *ctx)
{
    struct timed *t = ctx;
    assert_ptr_equal(&t->timer, timer);
    assert_false(weir_timer_is_set(timer));
    assert_true(weir_engine_now_ns(t->engine) >= t->deadline_ns);
    assert_true(weir_clock_ns() >= t->deadline_ns);
    t->fired_ns = weir_engine_now_ns(t->engine);
    t->runs++;
}

static void test_timers(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    static struct timed timers[TIMERS];
    uint64_t now = weir_clock_ns();
    for (unsigned i = 0; i < TIMERS; i++) {
        timers[i] = (struct timed){ .engine = engine, .deadline_ns = now + i * i * 12345 };
        weir_timer_init(&timers[i].timer, on_timed, &timers[i]);
        weir_timer_set(engine, &timers[i].timer, timers[i].deadline_ns);
    }
    weir_timer_cancel(&timers[5].timer);
    for (uint64_t end = now + RIG_WAIT; timers[TIMERS - 1].runs == 0;) {
        assert_int_equal(weir_engine_run_once(engine, RIG_WAIT), 0);
        assert_true(weir_clock_ns() < end);
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        assert_int_equal(timers[i].runs, i != 5);
        assert_true(i == 5 || timers[i].fired_ns - timers[i].deadline_ns < 500 * RIG_MS);
    }
    struct weir_engine_stats stats = rig_stats(engine);
    assert_int_equal(stats.timers_fired, TIMERS - 1);
    /* It sleeps between them, and looks at the clock without sleeping for a bounded time before
     * each. */
    assert_true(engine->wake_lead_ns <= 100000);
    assert_true(stats.passes < 400 * TIMERS);
    /* The farthest deadline there is neither fires nor keeps the loop from sleeping. */
    timers[0].runs = 0;
    weir_timer_set(engine, &timers[0].timer, UINT64_MAX);
    weir_timer_set(engine, &timers[1].timer, UINT64_MAX - 1);
    rig_run_for(engine, 5 * RIG_MS);
    assert_int_equal(timers[0].runs, 0);
    weir_timer_cancel(&timers[0].timer);
    weir_timer_cancel(&timers[1].timer);
    rig_close(engine);
}

static void set_again(struct weir_timer *timer, void *ctx)
{
    struct timed *t = ctx;
    t->runs++;
    weir_timer_set(t->engine, timer, 1);
}

/* A timer that is always due runs once a pass, and the passes do not wait. */
static void test_timer_in_the_past(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct timed t = { .engine = engine };
    weir_timer_init(&t.timer, set_again, &t);
    weir_timer_set(engine, &t.timer, 0);
    for (unsigned i = 1; i <= 10; i++) {
        assert_int_equal(weir_engine_run_once(engine, RIG_WAIT), 0);
        assert_int_equal(t.runs, i);
    }
    weir_timer_cancel(&t.timer);
    rig_close(engine);
}

/* ---- Completions ------------------------------------------------------------------------- */

/* Completions of an earlier life are dropped and counted; the buffers that came with them are not
 * lost. */
static void test_stale_completions(void **state)
{
    (void)state;
    struct weir_engine_config cfg = smallest_config();
    struct weir_engine *engine = rig_open(&cfg);
    struct weir_slot *slot = weir_slot_get(engine);
    assert_non_null(slot);
    uint64_t stale = (uint64_t)WEIR_OP_RECV << 56 | (uint64_t)slot->gen << 32 | slot->index;
    weir_slot_put(engine, slot);
    int fds[2];
    rig_unix_pair(fds);
    struct rig_peer peer = { .fd = fds[1] };
    for (unsigned i = 1; i <= 10; i++) { /* with two buffers */
        assert_true(rig_peer_write(&peer, peer.written + 256));
        engine->ring->ops->recv_multi(engine->ring, fds[0], stale);
        uint64_t seen = rig_stats(engine).stale_cqes;
        RIG_RUN_UNTIL(engine, rig_stats(engine).stale_cqes > seen);
        engine->ring->ops->cancel(engine->ring, stale, stale);
        RIG_RUN_UNTIL(engine, rig_stats(engine).stale_cqes >= 3 * i);
    }
    int unread = 1;
    assert_int_equal(recv(fds[0], &unread, sizeof unread, 0), -1);
    close(fds[0]);
    close(fds[1]);
    rig_close(engine);
}

/* ---- Features ---------------------------------------------------------------------------- */

static void echo_without(const char *features)
{
    struct weir_engine_config cfg = rig_config();
    struct rig_session s = { .echo = true, .close_on_eof = true };
    int fds[2];
    cfg.ring_disable = features;
    struct weir_engine *engine = rig_open(&cfg);
    rig_tcp_pair(fds, 0);
    struct rig_peer peer = { .fd = fds[1] };
    rig_accept(&s, engine, fds[0]);
    for (uint64_t end = 1; end <= 65536; end *= 4)
        RIG_RUN_UNTIL(engine, (rig_peer_write(&peer, end), rig_peer_read(&peer), peer.read == end));
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    RIG_RUN_UNTIL(engine, (rig_peer_read(&peer), s.seen[RIG_CLOSED] && peer.eof));
    assert_false(peer.bad || s.bad);
    assert_int_equal(s.err, 0);
    close(fds[1]);
    /* A timer needs a wait that ends by itself. */
    struct timed t = { .engine = engine, .deadline_ns = weir_clock_ns() + 3 * RIG_MS };
    weir_timer_init(&t.timer, on_timed, &t);
    weir_timer_set(engine, &t.timer, t.deadline_ns);
    RIG_RUN_UNTIL(engine, t.runs == 1);
    rig_close(engine);
}

static void test_features(void **state)
{
    (void)state;
    const char *all = weir_ring_features();
    unsigned count = 0;
    echo_without(NULL);
    echo_without(all);
    for (const char *at = all; *at != '\0'; count++) {
        char name[64], used[80];
        size_t len = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)len, at);
        echo_without(name);
        struct weir_engine_config cfg = rig_config();
        cfg.ring_disable = name;
        struct weir_engine *engine = rig_open(&cfg);
        snprintf(used, sizeof used, "%s=no", name);
        assert_non_null(strstr(weir_engine_ring_info(engine), used));
        rig_close(engine);
        at += len + (at[len] == ',');
    }
    assert_true(count >= 4);
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
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_nothing_is_left_behind),
        cmocka_unit_test(test_many_engines_of_one_thread),
        cmocka_unit_test(test_close_while_used),
        cmocka_unit_test(test_run_once),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_post),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_timer_in_the_past),
        cmocka_unit_test(test_stale_completions),
        cmocka_unit_test(test_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
