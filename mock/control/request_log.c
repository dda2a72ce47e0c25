/* SPDX-License-Identifier: MIT */
#include "mock/control/request_log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S  1000000000ULL
#define PERIOD_MS (REQUEST_LOG_PERIOD_NS / 1000000)
/* Room behind a block for the line that makes it full; none is longer: two names of 95 bytes, six
 * bytes each when all must be escaped, and 1200 for the rest. */
#define LINE_BYTES_MAX 4096
/* Places in the ring are given back after so many records, not one by one. */
#define RECORDS_PER_RELEASE 64
/* What poll() says can be written to somebody else's pipe without blocking: pipe(7). */
#define PIPE_BYTES 4096

/* ---- Sleeping ---------------------------------------------------------------------------- */

static void log_futex_wait(atomic_uint *word, uint32_t value, const struct timespec *timeout)
{
    /* Woken, timed out, interrupted or changed before: all mean "look again". */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

void request_log_wake(struct request_log *log)
{
    /* The first look costs nothing while the log's thread is busy with an earlier call. */
    if (atomic_load_explicit(&log->wanted, memory_order_relaxed) == 0 &&
        atomic_exchange_explicit(&log->wanted, 1, memory_order_release) == 0)
        syscall(SYS_futex, &log->wanted, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Until somebody wants something, or a period is over. */
static void log_sleep(struct request_log *log)
{
    const struct timespec period = { .tv_nsec = REQUEST_LOG_PERIOD_NS };
    if (atomic_load_explicit(&log->wanted, memory_order_relaxed) == 0)
        log_futex_wait(&log->wanted, 0, &period);
    atomic_exchange_explicit(&log->wanted, 0, memory_order_acquire);
}

/* A period, whatever is wanted: after an error nothing becomes better by trying at once. */
static void log_pause(void)
{
    const struct timespec period = { .tv_nsec = REQUEST_LOG_PERIOD_NS };
    nanosleep(&period, NULL);
}

static uint64_t log_now_ns(void)
{
    struct timespec now = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- The file ---------------------------------------------------------------------------- */

static void log_tell(struct request_log *log, int err, const char *what)
{
    atomic_fetch_add_explicit(&log->errors, 1, memory_order_relaxed);
    if (log->told)
        return;
    log->told = true;
    fprintf(stderr, "weir-mock: request log %s: %s: %s\n", log->path, weir_strerror(err), what);
}

/* Not blocking, so that a pipe that nobody reads cannot hold the thread when it must end. */
static int log_open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
    if (fd < 0)
        return -errno;
    return fd;
}

/* Standard output is shared with others, who must not find it non-blocking. */
static bool log_may_block(const struct request_log *log)
{
    struct stat file;
    return log->standard_output && (fstat(log->fd, &file) < 0 || !S_ISREG(file.st_mode));
}

/* Write some of the block. @return bytes; 0: the file takes none, a period was waited; -errno */
static ssize_t log_write_some(struct request_log *log)
{
    struct pollfd file = { .fd = log->fd, .events = POLLOUT };
    int ready = poll(&file, 1, PERIOD_MS);
    if (ready == 0 || (ready < 0 && errno == EINTR))
        return 0;
    if (ready < 0)
        return -errno;
    size_t left = log->block.len - log->sent;
    if (left > PIPE_BYTES && log_may_block(log))
        left = PIPE_BYTES;
    ssize_t written = write(log->fd, log->block.ptr + log->sent, left);
    if (written >= 0)
        return written;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* @return true: the block is in the file, and empty */
static bool log_flush(struct request_log *log)
{
    while (log->sent < log->block.len) {
        ssize_t written = log_write_some(log);
        if (written < 0) {
            log_tell(log, (int)written, "trying again; what memory cannot hold is dropped");
            log_pause();
        }
        if (written <= 0)
            return false;
        log->sent += (size_t)written;
        atomic_fetch_add_explicit(&log->bytes, (uint64_t)written, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&log->written, log->block_records, memory_order_relaxed);
    log->block.len = 0;
    log->block_records = 0;
    log->sent = 0;
    return true;
}

/* Count the lines of the block that are whole in the file, and take them out of it. */
static void log_settle(struct request_log *log)
{
    size_t whole = 0;
    uint32_t lines = 0;
    for (size_t i = 0; i < log->sent; i++) {
        if (log->block.ptr[i] == '\n') {
            whole = i + 1;
            lines++;
        }
    }
    memmove(log->block.ptr, log->block.ptr + whole, log->block.len - whole);
    log->block.len -= whole;
    log->block_records -= lines;
    log->sent -= whole;
    atomic_fetch_add_explicit(&log->written, lines, memory_order_relaxed);
}

/* The block goes to the old file if that takes it, else to the new one, which must not begin with
 * half a line: that line is written again. */
static void log_open_anew(struct request_log *log)
{
    if (log->standard_output)
        return;
    int fd = log_open_file(log->path);
    if (fd < 0) {
        log_tell(log, fd, "the file that was open stays");
        return;
    }
    if (!log_flush(log)) {
        log_settle(log);
        log->sent = 0;
    }
    close(log->fd);
    log->fd = fd;
    log->told = false;
}

/* ---- The thread -------------------------------------------------------------------------- */

/* Add a record to the block. @return false: the block is full and the file does not take it */
static bool log_add_line(struct request_log *log, const struct journal_record *record)
{
    if (log->block.len >= REQUEST_LOG_BLOCK_BYTES && !log_flush(log))
        return false;
    size_t before = log->block.len;
    journal_write(&log->block, record, &log->writer);
    text_add(&log->block, "\n", 1);
    if (log->block.failed) {
        /* Only for a line that is longer than any can be. */
        log->block.failed = false;
        log->block.len = before;
        atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
        return true;
    }
    log->block_records++;
    return true;
}

/* Empty one ring into the block. @return false: the file does not take it */
static bool log_take_ring(struct request_log *log, struct request_log_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    bool taken = true;
    while (taken && head != tail) {
        taken = log_add_line(log, &ring->records[head & log->mask]);
        head += taken;
        if (!taken || head == tail || head % RECORDS_PER_RELEASE == 0)
            atomic_store_explicit(&ring->head, head, memory_order_release);
    }
    return taken;
}

/* Everything that is in the rings now into the file. @return false: the file does not take it */
static bool log_pass(struct request_log *log)
{
    for (uint32_t i = 0; i < log->rings_count; i++)
        if (!log_take_ring(log, &log->rings[i]))
            return false;
    return log->block.len == 0 || log_flush(log);
}

/* What could not be written until the end. */
static void log_give_up(struct request_log *log)
{
    log_settle(log);
    uint64_t lost = log->block_records;
    for (uint32_t i = 0; i < log->rings_count; i++) {
        struct request_log_ring *ring = &log->rings[i];
        lost += atomic_load_explicit(&ring->tail, memory_order_acquire) -
                atomic_load_explicit(&ring->head, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&log->lost, lost, memory_order_relaxed);
}

/* A file that takes something, however slowly, is waited for. */
static void log_finish(struct request_log *log)
{
    uint64_t bytes = atomic_load_explicit(&log->bytes, memory_order_relaxed);
    uint64_t since_ns = log_now_ns();
    while (!log_pass(log)) {
        uint64_t now_bytes = atomic_load_explicit(&log->bytes, memory_order_relaxed);
        uint64_t now_ns = log_now_ns();
        if (now_bytes != bytes) {
            bytes = now_bytes;
            since_ns = now_ns;
        } else if (now_ns - since_ns >= log->patience_ns) {
            log_give_up(log);
            return;
        }
    }
}

static void *log_run(void *arg)
{
    struct request_log *log = arg;
    while (!atomic_load_explicit(&log->closing, memory_order_acquire)) {
        if (atomic_exchange_explicit(&log->reopening, false, memory_order_acquire))
            log_open_anew(log);
        if (log_pass(log))
            log_sleep(log);
    }
    log_finish(log);
    return NULL;
}

/* ---- Life -------------------------------------------------------------------------------- */

static void log_free(struct request_log *log)
{
    for (uint32_t i = 0; log->rings != NULL && i < log->rings_count; i++)
        free(log->rings[i].records);
    free(log->rings);
    text_free(&log->block);
    free(log->path);
    if (!log->standard_output && log->fd >= 0)
        close(log->fd);
    *log = (struct request_log){ 0 };
}

/* @return 0 or -ENOMEM. Memory of the rings becomes resident as it is used. */
static int log_open_rings(struct request_log *log)
{
    size_t bytes = log->rings_count * sizeof *log->rings;
    log->rings = aligned_alloc(_Alignof(struct request_log_ring), bytes);
    if (log->rings == NULL)
        return -ENOMEM;
    memset(log->rings, 0, bytes);
    for (uint32_t i = 0; i < log->rings_count; i++) {
        log->rings[i].records = calloc(log->mask + 1, sizeof *log->rings[i].records);
        if (log->rings[i].records == NULL)
            return -ENOMEM;
    }
    /* All of it at once: a block must not fail to grow when there is a line to be kept. */
    log->block.capacity = REQUEST_LOG_BLOCK_BYTES + LINE_BYTES_MAX;
    log->block.ptr = malloc(log->block.capacity);
    return log->block.ptr == NULL ? -ENOMEM : 0;
}

/* Signals are for other threads; a pipe without reader is an error of write() here, not the end of
 * the process. */
static int log_start(struct request_log *log)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&log->thread, NULL, log_run, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err == 0)
        pthread_setname_np(log->thread, "weir-log");
    return -err;
}

static int log_open_parts(struct request_log *log, const char *path)
{
    log->path = strdup(path);
    if (log->path == NULL)
        return -ENOMEM;
    log->standard_output = strcmp(path, "-") == 0;
    log->fd = log->standard_output ? STDOUT_FILENO : log_open_file(path);
    if (log->fd < 0)
        return log->fd;
    int err = log_open_rings(log);
    return err < 0 ? err : log_start(log);
}

int request_log_open(struct request_log *log, const struct request_log_cfg *cfg)
{
    *log = (struct request_log){ 0 };
    uint32_t records = cfg->ring_records == 0 ? REQUEST_LOG_RING_DEFAULT : cfg->ring_records;
    if (records > REQUEST_LOG_RING_MAX || (records & (records - 1)) != 0 ||
        cfg->producers_count == 0)
        return -EINVAL;
    *log = (struct request_log){
        .mask = records - 1,
        .half = records / 2,
        .rings_count = cfg->producers_count,
        .patience_ns = cfg->patience_ns == 0 ? REQUEST_LOG_PATIENCE_NS : cfg->patience_ns,
        .fd = -1,
        .writer = cfg->writer,
    };
    int err = log_open_parts(log, cfg->path);
    if (err < 0)
        log_free(log);
    return err;
}

void request_log_close(struct request_log *log, struct request_log_stats *final)
{
    if (log->rings != NULL) {
        atomic_store_explicit(&log->closing, true, memory_order_release);
        request_log_wake(log);
        pthread_join(log->thread, NULL);
    }
    if (final != NULL)
        *final = request_log_stats(log);
    if (log->rings != NULL)
        log_free(log);
}

void request_log_reopen(struct request_log *log)
{
    if (log->rings == NULL)
        return;
    atomic_store_explicit(&log->reopening, true, memory_order_release);
    request_log_wake(log);
}

struct request_log_stats request_log_stats(struct request_log *log)
{
    uint64_t dropped = atomic_load_explicit(&log->lost, memory_order_relaxed);
    for (uint32_t i = 0; log->rings != NULL && i < log->rings_count; i++)
        dropped += atomic_load_explicit(&log->rings[i].dropped, memory_order_relaxed);
    return (struct request_log_stats){
        .written = atomic_load_explicit(&log->written, memory_order_relaxed),
        .dropped = dropped,
        .errors = atomic_load_explicit(&log->errors, memory_order_relaxed),
        .bytes = atomic_load_explicit(&log->bytes, memory_order_relaxed),
    };
}
