/* SPDX-License-Identifier: MIT */
/*
 * The request log: every record of the journal as a line of JSON in a file, without the threads
 * that serve ever waiting for it.
 *
 *   thread 0 --add--> ring \
 *   thread 1 --add--> ring  >-- the log's own thread: text --write()--> file
 *   thread n --add--> ring /
 *
 * Each ring has one producer and one consumer. A full ring drops the record and counts it. The
 * log's thread looks every REQUEST_LOG_PERIOD_NS, and at once when a ring is half full; so a record
 * is in the file that long after it was added, or later if the file is slow. While the file cannot
 * be written (no space, a pipe that nobody reads) what is in memory stays there, no line is torn,
 * and writing goes on where it stopped. Lines of one ring are in the order of their adding; those
 * of several are not sorted.
 *
 * A log that is all zero is off: adding does nothing.
 */
#ifndef MOCK_REQUEST_LOG_H
#define MOCK_REQUEST_LOG_H

#include "mock/control/journal.h"

#include <pthread.h>
#include <stdatomic.h>

#define REQUEST_LOG_RING_DEFAULT 16384
#define REQUEST_LOG_RING_MAX     (1U << 24)
#define REQUEST_LOG_PERIOD_NS    20000000
#define REQUEST_LOG_PATIENCE_NS  2000000000
#define REQUEST_LOG_BLOCK_BYTES  65536

/* The producer's line, the consumer's line, and what both only read. */
struct request_log_ring {
    _Alignas(64) atomic_uint tail; /* records ever added, modulo 2^32 */
    uint32_t head_seen;            /* the producer's last look at `head` */
    atomic_uint_fast64_t dropped;
    _Alignas(64) atomic_uint head; /* records ever taken */
    _Alignas(64) struct journal_record *records;
};

struct request_log_cfg {
    const char *path;         /* "-" = standard output */
    uint32_t producers_count; /* threads that add, numbered from 0 */
    uint32_t ring_records;    /* of each, a power of two; 0 = REQUEST_LOG_RING_DEFAULT */
    uint64_t patience_ns;     /* closing gives up when nothing could be written for so long; 0 =
                                REQUEST_LOG_PATIENCE_NS */
    /* Its model_name() is called on the log's thread. */
    struct journal_writer writer;
};

struct request_log_stats {
    uint64_t written; /* records whose lines are in the file */
    uint64_t dropped; /* records that found their ring full, or could not be written at the end */
    uint64_t errors;  /* of writing and of opening the file again */
    uint64_t bytes;   /* written */
};

struct request_log {
    struct request_log_ring *rings; /* NULL = off */
    uint32_t mask, half;            /* of a ring */
    uint32_t rings_count;
    atomic_uint wanted; /* futex: 1 = the log's thread has something to do */
    atomic_bool closing, reopening;
    atomic_uint_fast64_t written, lost, errors, bytes;
    pthread_t thread;
    uint64_t patience_ns;
    char *path;
    int fd;
    bool standard_output;
    /* The log's thread only. */
    struct journal_writer writer;
    struct text block;      /* lines to be written */
    size_t sent;            /* bytes of `block` that are in the file */
    uint32_t block_records; /* lines in `block` */
    bool told;              /* the trouble with this file was printed */
};

/*
 * Open the file, to append, and start the thread. A named pipe must have a reader.
 * @return 0; -errno of open(); -EINVAL for a ring that is no power of two; -ENOMEM, -EAGAIN. On
 *         error the log is off
 */
int request_log_open(struct request_log *log, const struct request_log_cfg *cfg);

/*
 * Write what was added, stop the thread. No producer may add any more. It takes no longer than the
 * file does, and `patience_ns` when the file takes nothing.
 * @param final  NULL, or the counts at the end
 */
void request_log_close(struct request_log *log, struct request_log_stats *final);

/* Close the file and open its path anew (after it was renamed), soon, on the log's thread, between
 * two lines. Not for standard output. Any thread. */
void request_log_reopen(struct request_log *log);

/* Any thread. */
struct request_log_stats request_log_stats(struct request_log *log);

/* Wake the log's thread, if nobody did yet. Any thread. */
void request_log_wake(struct request_log *log);

/* Add a record, on the thread that `producer` stands for. Never blocks. */
static inline void request_log_add(struct request_log *log, uint32_t producer,
                                   const struct journal_record *record)
{
    if (log->rings == NULL)
        return;
    struct request_log_ring *ring = &log->rings[producer];
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen >= log->half) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen >= log->half)
            request_log_wake(log);
        if (tail - ring->head_seen > log->mask) {
            /* One thread writes it: no locked instruction is needed. */
            uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
            atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
            return;
        }
    }
    ring->records[tail & log->mask] = *record;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

#endif
