/* SPDX-License-Identifier: MIT */
#include "mock/control/request_log.c"

#include <weir/json.h>

#include <dirent.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DEADLINE_NS (20 * NS_PER_S)
#define THREADS     4

/* ---- Helpers ----------------------------------------------------------------------------- */

static char directory[] = "/tmp/request_log_XXXXXX";
static char path[64];

static int make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/log", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    DIR *entries = opendir(directory);
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;)
        unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    return rmdir(directory);
}

static struct journal_record record_of(uint32_t producer, uint64_t seq)
{
    return (struct journal_record){
        .seq = seq, .thread = (uint16_t)producer, .status = 200, .conn = seq * 3, .model = -1
    };
}

/* Add, and wait for room when there is none, so that nothing is dropped. */
static void add_patiently(struct request_log *log, uint32_t producer, uint64_t seq)
{
    struct request_log_ring *ring = &log->rings[producer];
    uint64_t deadline_ns = log_now_ns() + DEADLINE_NS;
    while (atomic_load(&ring->tail) - atomic_load(&ring->head) > log->mask) {
        request_log_wake(log);
        sched_yield();
        assert_true(log_now_ns() < deadline_ns);
    }
    struct journal_record record = record_of(producer, seq);
    request_log_add(log, producer, &record);
}

static void wait_until_written(struct request_log *log, uint64_t count)
{
    uint64_t deadline_ns = log_now_ns() + DEADLINE_NS;
    while (request_log_stats(log).written < count) {
        request_log_wake(log);
        sched_yield();
        assert_true(log_now_ns() < deadline_ns);
    }
}

static void wait_until_error(struct request_log *log, uint64_t count)
{
    uint64_t deadline_ns = log_now_ns() + DEADLINE_NS;
    while (request_log_stats(log).errors < count) {
        sched_yield();
        assert_true(log_now_ns() < deadline_ns);
    }
}

/* Each line of `text` is one record, and those of each producer follow one another, from next[] on.
 * @return lines */
static uint64_t check_lines(const char *text, size_t len, uint64_t next[THREADS])
{
    uint64_t lines = 0;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        assert_non_null(end);
        size_t line_len = (size_t)(end - text) - at;
        struct weir_slice line = { (const uint8_t *)text + at, line_len };
        assert_int_equal(weir_json_check(line), 0);
        uint64_t seq, thread;
        assert_int_equal(
            sscanf(text + at, "{\"seq\":%" SCNu64 ",\"thread\":%" SCNu64, &seq, &thread), 2);
        assert_true(thread < THREADS);
        assert_int_equal(seq, next[thread]++);
        lines++;
        at += line_len + 1;
    }
    return lines;
}

static uint64_t check_file(const char *name, uint64_t next[THREADS])
{
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    size_t len = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, len, file), len);
    fclose(file);
    text[len] = '\0';
    uint64_t lines = check_lines(text, len, next);
    free(text);
    return lines;
}

/* ---- A file ------------------------------------------------------------------------------ */

static void test_file(void **state)
{
    (void)state;
    struct request_log log;
    const struct request_log_cfg cfg = { .path = path, .producers_count = 2, .ring_records = 8 };
    for (uint64_t round = 0; round < 3; round++) {
        assert_int_equal(request_log_open(&log, &cfg), 0);
        for (uint64_t i = 0; i < 1000; i++)
            add_patiently(&log, i % 2, round * 500 + i / 2);
        struct request_log_stats final;
        request_log_close(&log, &final);
        assert_int_equal(final.written, 1000);
        assert_int_equal(final.dropped, 0);
        assert_int_equal(final.errors, 0);
        assert_true(final.bytes > 1000 * 200);
        uint64_t next[THREADS] = { 0 };
        assert_int_equal(check_file(path, next), (round + 1) * 1000);
    }
    unlink(path);
}

/* What is added is in the file soon, though nobody wakes the thread and no ring is half full. */
static void test_written_soon(void **state)
{
    (void)state;
    struct request_log log;
    const struct request_log_cfg cfg = { .path = path, .producers_count = 1 };
    assert_int_equal(request_log_open(&log, &cfg), 0);
    struct journal_record record = record_of(0, 0);
    request_log_add(&log, 0, &record);
    uint64_t deadline_ns = log_now_ns() + DEADLINE_NS;
    while (request_log_stats(&log).written == 0) {
        sched_yield();
        assert_true(log_now_ns() < deadline_ns);
    }
    uint64_t next[THREADS] = { 0 };
    assert_int_equal(check_file(path, next), 1);
    request_log_close(&log, NULL);
    unlink(path);
}

struct producer {
    struct request_log *log;
    uint32_t index;
    uint64_t count;
};

static void *produce(void *arg)
{
    struct producer *producer = arg;
    for (uint64_t i = 0; i < producer->count; i++)
        add_patiently(producer->log, producer->index, i);
    return NULL;
}

/* Several producers, rings that go around several times: every line, in order, once. */
static void test_threads(void **state)
{
    (void)state;
    struct request_log log;
    const struct request_log_cfg cfg = { .path = path,
                                         .producers_count = THREADS,
                                         .ring_records = 64 };
    assert_int_equal(request_log_open(&log, &cfg), 0);
    pthread_t threads[THREADS];
    struct producer producers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        producers[i] = (struct producer){ .log = &log, .index = i, .count = 2000 };
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct request_log_stats final;
    request_log_close(&log, &final);
    assert_int_equal(final.written, THREADS * 2000);
    assert_int_equal(final.dropped, 0);
    uint64_t next[THREADS] = { 0 };
    assert_int_equal(check_file(path, next), THREADS * 2000);
    unlink(path);
}

/* The positions in a ring go around 2^32 without harm. Without the thread, so that they can be set.
 */
static void test_positions_wrap(void **state)
{
    (void)state;
    struct request_log log = {
        .mask = 3, .half = 2, .rings_count = 1, .path = strdup(path), .fd = log_open_file(path)
    };
    assert_true(log.fd >= 0);
    assert_int_equal(log_open_rings(&log), 0);
    struct request_log_ring *ring = &log.rings[0];
    atomic_store(&ring->head, UINT32_MAX - 5);
    atomic_store(&ring->tail, UINT32_MAX - 5);
    ring->head_seen = UINT32_MAX - 5;
    uint64_t seq = 0;
    for (uint64_t round = 0; round < 6; round++) {
        for (uint64_t i = 0; i < 6; i++) {
            /* Four fit, two are dropped, each time. */
            struct journal_record record = record_of(0, i < 4 ? seq++ : 9999);
            request_log_add(&log, 0, &record);
        }
        assert_true(log_pass(&log));
        assert_int_equal(atomic_load(&ring->head), atomic_load(&ring->tail));
    }
    struct request_log_stats stats = request_log_stats(&log);
    assert_int_equal(stats.written, 24);
    assert_int_equal(stats.dropped, 12);
    uint64_t next[THREADS] = { 0 };
    assert_int_equal(check_file(path, next), 24);
    log_free(&log);
    unlink(path);
}

/* ---- Files that do not take it ----------------------------------------------------------- */

/* A pipe that nobody reads: adding does not block, what has no room is dropped and counted; and
 * when somebody reads at last, everything that was kept comes, whole and in order. */
static void test_slow_reader(void **state)
{
    (void)state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", pipe_fds[1]);
    struct request_log log;
    const struct request_log_cfg cfg = { .path = name, .producers_count = 1, .ring_records = 256 };
    assert_int_equal(request_log_open(&log, &cfg), 0);
    close(pipe_fds[1]);
    /* Far more than pipe, block and ring hold together. */
    const uint64_t added = 20000;
    for (uint64_t i = 0; i < added; i++) {
        struct journal_record record = record_of(0, i);
        request_log_add(&log, 0, &record);
    }
    struct request_log_stats now = request_log_stats(&log);
    assert_true(now.dropped > 0);
    assert_int_equal(now.errors, 0);
    /* Reading begins; what follows must be the records that were not dropped. */
    uint64_t kept = added - now.dropped, lines = 0;
    char bytes[4096];
    while (lines < kept) {
        ssize_t got = read(pipe_fds[0], bytes, sizeof bytes);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            lines += bytes[i] == '\n';
    }
    struct request_log_stats final;
    request_log_close(&log, &final);
    assert_int_equal(final.written, kept);
    assert_int_equal(final.dropped, now.dropped);
    assert_int_equal(read(pipe_fds[0], bytes, sizeof bytes), 0);
    close(pipe_fds[0]);
}

/* Nobody ever reads: closing gives up after its patience, and every record is accounted for. */
static void test_close_gives_up(void **state)
{
    (void)state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", pipe_fds[1]);
    struct request_log log;
    const struct request_log_cfg cfg = {
        .path = name, .producers_count = 1, .ring_records = 1024, .patience_ns = 50000000
    };
    assert_int_equal(request_log_open(&log, &cfg), 0);
    for (uint64_t i = 0; i < 5000; i++) {
        struct journal_record record = record_of(0, i);
        request_log_add(&log, 0, &record);
    }
    struct request_log_stats final;
    request_log_close(&log, &final);
    assert_int_equal(final.written + final.dropped, 5000);
    assert_true(final.written > 0 && final.dropped > 0);
    /* In the pipe are the lines that were counted, and at most a part of another. */
    static char text[1 << 20];
    size_t len = 0;
    close(pipe_fds[1]);
    for (ssize_t got; (got = read(pipe_fds[0], text + len, sizeof text - len)) > 0;)
        len += (size_t)got;
    assert_int_equal(len, final.bytes);
    const char *last = memrchr(text, '\n', len);
    assert_non_null(last);
    uint64_t next[THREADS] = { 0 };
    assert_int_equal(check_lines(text, (size_t)(last - text) + 1, next), final.written);
    close(pipe_fds[0]);
}

/* No space: told once, tried again, nothing written is claimed. */
static void test_no_space(void **state)
{
    (void)state;
    fflush(stderr);
    int stderr_fd = dup(STDERR_FILENO);
    FILE *told = tmpfile();
    assert_non_null(told);
    dup2(fileno(told), STDERR_FILENO);
    struct request_log log;
    const struct request_log_cfg cfg = {
        .path = "/dev/full", .producers_count = 1, .ring_records = 16, .patience_ns = 1000000
    };
    int err = request_log_open(&log, &cfg);
    struct journal_record record = record_of(0, 1);
    request_log_add(&log, 0, &record);
    wait_until_error(&log, 3);
    request_log_add(&log, 0, &record);
    struct request_log_stats final;
    request_log_close(&log, &final);
    fflush(stderr);
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    assert_int_equal(err, 0);
    assert_int_equal(final.written, 0);
    assert_int_equal(final.bytes, 0);
    assert_int_equal(final.dropped, 2);
    assert_true(final.errors >= 3);
    char line[512];
    rewind(told);
    assert_non_null(fgets(line, sizeof line, told));
    assert_non_null(strstr(line, "request log /dev/full: "));
    assert_null(fgets(line, sizeof line, told));
    fclose(told);
}

/* The reader goes away: an error like any other, not the end of the process. */
static void test_reader_gone(void **state)
{
    (void)state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", pipe_fds[1]);
    struct request_log log;
    const struct request_log_cfg cfg = { .path = name,
                                         .producers_count = 1,
                                         .patience_ns = 1000000 };
    assert_int_equal(request_log_open(&log, &cfg), 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    struct journal_record record = record_of(0, 1);
    request_log_add(&log, 0, &record);
    wait_until_error(&log, 2);
    struct request_log_stats final;
    request_log_close(&log, &final);
    assert_int_equal(final.dropped, 1);
}

/* ---- Rotation ---------------------------------------------------------------------------- */

static void wait_until_there(const char *name)
{
    uint64_t deadline_ns = log_now_ns() + DEADLINE_NS;
    while (access(name, F_OK) != 0) {
        sched_yield();
        assert_true(log_now_ns() < deadline_ns);
    }
}

/* Renamed and opened anew, over and over, while records come: no line is lost, torn or twice. */
static void test_reopen(void **state)
{
    (void)state;
    struct request_log log;
    const struct request_log_cfg cfg = { .path = path, .producers_count = 1, .ring_records = 64 };
    assert_int_equal(request_log_open(&log, &cfg), 0);
    uint64_t seq = 0;
    for (int i = 0; i < 10; i++) {
        char old[80];
        for (int j = 0; j < 100; j++)
            add_patiently(&log, 0, seq++);
        snprintf(old, sizeof old, "%s.%d", path, i);
        assert_int_equal(rename(path, old), 0);
        request_log_reopen(&log);
        for (int j = 0; j < 100; j++)
            add_patiently(&log, 0, seq++);
        wait_until_there(path);
    }
    struct request_log_stats final;
    request_log_close(&log, &final);
    assert_int_equal(final.written, seq);
    uint64_t next[THREADS] = { 0 }, lines = 0;
    for (int i = 0; i < 10; i++) {
        char old[80];
        snprintf(old, sizeof old, "%s.%d", path, i);
        lines += check_file(old, next);
    }
    lines += check_file(path, next);
    assert_int_equal(lines, seq);
}

/* Not by its bytes: a pipe's pages can all be in use earlier, as a write that does not fit into the
 * rest of the last one begins another. */
static void wait_until_full(int fd)
{
    struct pollfd file = { .fd = fd, .events = POLLOUT };
    uint64_t deadline_ns = log_now_ns() + DEADLINE_NS;
    while (poll(&file, 1, 0) != 0) {
        sched_yield();
        assert_true(log_now_ns() < deadline_ns);
    }
}

/* The old file took half of a line when the path became another: the new one has it whole. */
static void test_reopen_when_stuck(void **state)
{
    (void)state;
    char fifo[80];
    snprintf(fifo, sizeof fifo, "%s.fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int reader = open(fifo, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    struct request_log log;
    const struct request_log_cfg cfg = { .path = fifo, .producers_count = 1 };
    assert_int_equal(request_log_open(&log, &cfg), 0);
    /* More than the pipe holds, less than ring and block do. */
    for (uint64_t i = 0; i < 1000; i++)
        add_patiently(&log, 0, i);
    wait_until_full(log.fd);
    assert_int_equal(unlink(fifo), 0);
    request_log_reopen(&log);
    wait_until_there(fifo);
    struct request_log_stats final;
    request_log_close(&log, &final);
    assert_int_equal(final.written, 1000);
    assert_int_equal(final.dropped, 0);
    static char text[1 << 20];
    size_t len = 0;
    for (ssize_t got; (got = read(reader, text + len, sizeof text - len)) > 0;)
        len += (size_t)got;
    close(reader);
    const char *last = memrchr(text, '\n', len);
    assert_non_null(last);
    uint64_t next[THREADS] = { 0 };
    uint64_t lines = check_lines(text, (size_t)(last - text) + 1, next);
    assert_true(lines > 0);
    assert_int_equal(lines + check_file(fifo, next), 1000);
}

/* The path cannot be opened: the old file goes on. */
static void test_reopen_fails(void **state)
{
    (void)state;
    char sub[80], file[96], moved[80];
    snprintf(sub, sizeof sub, "%s/sub", directory);
    snprintf(file, sizeof file, "%s/log", sub);
    snprintf(moved, sizeof moved, "%s/moved", directory);
    assert_int_equal(mkdir(sub, 0700), 0);
    struct request_log log;
    const struct request_log_cfg cfg = { .path = file, .producers_count = 1 };
    assert_int_equal(request_log_open(&log, &cfg), 0);
    assert_int_equal(rename(file, moved), 0);
    assert_int_equal(rmdir(sub), 0);
    request_log_reopen(&log);
    wait_until_error(&log, 1);
    add_patiently(&log, 0, 0);
    wait_until_written(&log, 1);
    request_log_close(&log, NULL);
    uint64_t next[THREADS] = { 0 };
    assert_int_equal(check_file(moved, next), 1);
}

/* ---- The rest ---------------------------------------------------------------------------- */

static void test_open_refuses(void **state)
{
    (void)state;
    struct request_log log;
    assert_int_equal(request_log_open(&log, &(struct request_log_cfg){ .path = "/nowhere/log",
                                                                       .producers_count = 1 }),
                     -ENOENT);
    assert_null(log.rings);
    assert_int_equal(request_log_open(&log, &(struct request_log_cfg){ .path = path }), -EINVAL);
    assert_int_equal(request_log_open(&log, &(struct request_log_cfg){ .path = path,
                                                                       .producers_count = 1,
                                                                       .ring_records = 100 }),
                     -EINVAL);
    /* A log that could not be opened is off, as one that nobody opened. */
    struct journal_record record = record_of(0, 1);
    request_log_add(&log, 0, &record);
    request_log_reopen(&log);
    struct request_log_stats stats = request_log_stats(&log);
    assert_int_equal(stats.written + stats.dropped + stats.errors, 0);
    request_log_close(&log, &stats);
    assert_int_equal(access(path, F_OK), -1);
}

/* "-" is standard output, which stays open, and blocking, for others. */
static void test_standard_output(void **state)
{
    (void)state;
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    dup2(pipe_fds[1], STDOUT_FILENO);
    close(pipe_fds[1]);
    struct request_log log;
    const struct request_log_cfg cfg = { .path = "-", .producers_count = 1 };
    int err = request_log_open(&log, &cfg);
    for (uint64_t i = 0; err == 0 && i < 100; i++)
        add_patiently(&log, 0, i);
    request_log_reopen(&log);
    request_log_close(&log, NULL);
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    assert_int_equal(err, 0);
    assert_true(flags >= 0 && (flags & O_NONBLOCK) == 0);
    static char text[1 << 17];
    size_t len = 0;
    for (ssize_t got; (got = read(pipe_fds[0], text + len, sizeof text - len)) > 0;)
        len += (size_t)got;
    uint64_t next[THREADS] = { 0 };
    assert_int_equal(check_lines(text, len, next), 100);
    close(pipe_fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_refuses),   cmocka_unit_test(test_file),
        cmocka_unit_test(test_written_soon),   cmocka_unit_test(test_threads),
        cmocka_unit_test(test_positions_wrap), cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_close_gives_up), cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_reader_gone),    cmocka_unit_test(test_standard_output),
        cmocka_unit_test(test_reopen),         cmocka_unit_test(test_reopen_when_stuck),
        cmocka_unit_test(test_reopen_fails),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
