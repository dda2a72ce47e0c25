/* SPDX-License-Identifier: MIT */
/**
 * The engine: one thread, one ring, one loop.
 *
 * One pass of the loop: reap completions, run the ready lists, give the receive buffers back, turn the
 * timer wheel, submit and wait in one kernel entry. Callbacks of everything that hangs on an engine run
 * inside weir_engine_run() / weir_engine_run_once(), on the engine's thread, and may start, cancel and
 * close anything except the engine itself.
 */
#ifndef WEIR_ENGINE_H
#define WEIR_ENGINE_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_engine;

/** What completes an engine's operations. */
enum weir_ring_kind {
    WEIR_RING_AUTO, /**< io_uring; where it is forbidden or too old, epoll: weir_engine_ring_fallback() says why */
    WEIR_RING_URING,
    WEIR_RING_EPOLL /**< for containers and hosts that forbid io_uring */
};

/** How an engine waits for the next completion. */
enum weir_wait {
    /** spins, at most 50 us, while the next completion is likely to come within that; else sleeps (default) */
    WEIR_WAIT_ADAPTIVE,
    /** never sleeps: one CPU is the engine's alone. A signal ends no wait then: use weir_engine_stop() in its handler */
    WEIR_WAIT_SPIN,
    WEIR_WAIT_SLEEP /**< never spins */
};

/** What an engine may use. Every limit is fixed for its life: nothing is allocated after open. */
struct weir_engine_config {
    uint32_t size;           /**< sizeof(struct weir_engine_config), set by weir_engine_config_init() */
    uint32_t conns_max;      /**< sockets, listeners included: 1 ... 1048576. Default 16384 */
    uint32_t recv_bufs_max;  /**< receive buffers shared by all connections; power of two, 2 ... 32768. Default 512 */
    uint32_t recv_buf_bytes; /**< bytes of one receive buffer: 256 ... 65536. Default 4096 */
    /** memory for queued output, all connections: 64 KiB ... 1 GiB. Default 48 MiB, touched only as used */
    uint64_t send_bytes_max;
    /**
     * memory for input that waits (partial heads, paused requests): 64 KiB ... 16 GiB. Default 288 MiB, touched only as used:
     * a block for every connection, so that slow peers cannot take it all */
    uint64_t stash_bytes_max;
    uint32_t stash_block_bytes; /**< in pieces of this size; power of two, 4096 ... 65536; no head can be longer. Default 16384 */
    uint32_t sq_entries;     /**< submission queue; power of two, 8 ... 32768. Default 256 */
    uint32_t cq_entries;     /**< completion queue; power of two, 8 ... 65536. Default 4096 */
    int32_t cpu;             /**< CPU to pin the opening thread to; -1 = leave as it is (default) */
    /** lock the output memory and register it with the ring: needs RLIMIT_MEMLOCK >= send_bytes_max. Default false */
    bool send_register;
    const char *ring_disable; /**< comma list of optional ring features not to use, from weir_ring_features(); NULL = none */
    enum weir_ring_kind ring; /**< default WEIR_RING_AUTO */
    enum weir_wait wait;      /**< default WEIR_WAIT_ADAPTIVE */
    /** busy polling of the network device while waiting (NAPI; Linux 6.9, io_uring only): 0 ... 1 ms. Default 0 = none */
    uint64_t napi_ns;
    uint32_t recv_holds_max; /**< receive buffers the application may hold, at most half of recv_bufs_max. Default 256 */
};

/** Fill `cfg` with the defaults. Use the macro, which passes the size your code was compiled with. */
WEIR_API void weir_engine_config_init_size(struct weir_engine_config *cfg, uint32_t size);
#define weir_engine_config_init(cfg) weir_engine_config_init_size((cfg), sizeof(*(cfg)))

/**
 * Bytes weir_engine_open() will reserve for `cfg` (address space; output and stash memory becomes
 * resident only as it is used). Pure function, any thread.
 * @return bytes (> 0), or -EINVAL when a field is out of range (weir_error_text() names it)
 */
WEIR_API int64_t weir_engine_memory_bytes(const struct weir_engine_config *cfg);

/** The optional ring features by name, comma separated ("no_sqarray,min_wait,..."). Static. Any thread. */
WEIR_API const char *weir_ring_features(void);

/** Parse "auto", "uring" or "epoll". @return 0, or -EINVAL: weir_error_text() tells what was expected. Any thread */
WEIR_API WEIR_MUST_USE int weir_parse_ring(enum weir_ring_kind *out, const char *text);
/** Parse "adaptive", "spin" or "sleep". @return as weir_parse_ring() */
WEIR_API WEIR_MUST_USE int weir_parse_wait(enum weir_wait *out, const char *text);
/** Check a comma list for ring_disable; *out is `text`. @return 0, or -EINVAL: weir_error_text() names what there is not */
WEIR_API WEIR_MUST_USE int weir_parse_ring_features(const char **out, const char *text);

/**
 * Open an engine bound to the calling thread. No callbacks run.
 *
 * Ownership: *out belongs to the caller, released by weir_engine_close().
 * Errors (weir_error_text() names cause and cure; *out is NULL, nothing is left behind):
 *   -EINVAL              a field of cfg
 *   -ENOSYS              no io_uring in this kernel, or hidden by seccomp (not with WEIR_RING_AUTO)
 *   -EPERM, -EACCES      io_uring forbidden: sysctl kernel.io_uring_disabled, or a container's seccomp profile (nor this)
 *   -ENOMEM              memory, cgroup or locked-memory limit (the ring itself counts for unprivileged users)
 *   -EMFILE, -ENFILE     no descriptor
 *   WEIR_E_UNSUPPORTED   the kernel is older than 6.1 (nor this), or has no NAPI busy polling
 *
 * Fork: the memory of an engine is not there in a child process (MADV_DONTFORK), since a ring shared by two processes
 * would be corrupted; a child may only exec or _exit, and soon: until then it has copies of all sockets, so that a peer may
 * hear of a close only when the child's copy is gone. All descriptors are close-on-exec. Signals: none is blocked, handled
 * or sent; a signal that interrupts a wait only makes a pass happen.
 */
WEIR_API WEIR_MUST_USE int weir_engine_open(struct weir_engine **out,
                                            const struct weir_engine_config *cfg);

/** Run passes until weir_engine_stop(). @return 0, or the ring's error when it became unusable */
WEIR_API WEIR_MUST_USE int weir_engine_run(struct weir_engine *engine);

/**
 * One pass. Waits for the first completion or timer, at most `wait_ns` (0 = do not wait). It may return a little before
 * a timer is due without having done anything: the engine wakes early to be on time.
 * @return 0, or the ring's error when it became unusable
 */
WEIR_API WEIR_MUST_USE int weir_engine_run_once(struct weir_engine *engine, uint64_t wait_ns);

/**
 * A descriptor that polls readable when a pass is due, for a program that has a loop of its own (poll, epoll, libuv):
 * watch it, level-triggered, and call weir_engine_run_once(engine, 0) whenever it is readable, and once after whatever
 * else made the engine's objects do something. From the first call on every pass costs a little more. The engine's; it
 * lives as long. Engine's thread, not from a callback.
 * @return the descriptor; -EMFILE, -ENFILE or -ENOMEM
 */
WEIR_API WEIR_MUST_USE int weir_engine_fd(struct weir_engine *engine);

/** Make weir_engine_run() return after its current pass. Any thread; async-signal-safe. */
WEIR_API void weir_engine_stop(struct weir_engine *engine);

/** A function to run on an engine's thread. Caller's memory; may be freed or posted again from `run` on. */
struct weir_task {
    void (*run)(struct weir_task *task);
    struct weir_task *next; /* private */
};

/**
 * Hand `task` to the engine's thread; tasks of one thread run in the order posted. Any thread.
 * A task still queued when the engine is closed is never run. A thread that may post must be joined before that.
 * Async-signal-safe.
 */
WEIR_API void weir_engine_post(struct weir_engine *engine, struct weir_task *task);

/**
 * Keep the receive buffer that `piece` lies in: for a callback that was just given `piece` (on_body) and wants to use the
 * bytes later, without copying them. They stay as they are until weir_slice_release() with the same piece. At most
 * recv_holds_max buffers are held at once; a buffer counts once however often it is held. Engine's thread.
 * @return 0; -ENOBUFS the bound is reached: copy, or stop reading; -EINVAL `piece` does not lie in a receive buffer
 *         (input that had to wait is handed out from a copy of the engine's, which cannot be held)
 */
WEIR_API WEIR_MUST_USE int weir_slice_hold(struct weir_engine *engine, struct weir_slice piece);
/** Give back what weir_slice_hold() took, once for each hold. Engine's thread. */
WEIR_API void weir_slice_release(struct weir_engine *engine, struct weir_slice piece);

/**
 * Register memory that large borrowed bodies are sent from, so that zero-copy sends need not look it up and pin it each
 * time: at most 15 pieces of at most 1 GiB. It is locked (RLIMIT_MEMLOCK). Engine's thread.
 * @return a number to take it away with (> 0); -ENOBUFS all are taken; -ENOMEM beyond the locked-memory limit;
 *         -EINVAL empty or too long; WEIR_E_UNSUPPORTED nothing is gained: this ring cannot send without copying
 */
WEIR_API WEIR_MUST_USE int weir_engine_register(struct weir_engine *engine, struct weir_slice memory);
/** Take it away again. No answer that borrows from it may be under way. Engine's thread. */
WEIR_API void weir_engine_unregister(struct weir_engine *engine, int number);

/** The clock of the current pass, CLOCK_MONOTONIC in ns: read once per pass, after the wait. */
WEIR_API uint64_t weir_engine_now_ns(const struct weir_engine *engine);

/** Read the engine's clock now (a vDSO call, ~25 ns); for measuring inside one pass. */
WEIR_API uint64_t weir_engine_clock_ns(const struct weir_engine *engine);

/** Read the clock now (a vDSO call, ~25 ns); for measuring inside one pass. Any thread. */
WEIR_API uint64_t weir_clock_ns(void);

/** Counters since open. All only grow, except those named `_now`. */
struct weir_engine_stats {
    uint32_t size;
    uint32_t conns_now;            /**< sockets open: connections and listeners */
    uint64_t passes;               /**< passes of the loop */
    uint64_t enters;               /**< kernel entries */
    uint64_t sqes;                 /**< operations submitted */
    uint64_t cqes;                 /**< completions reaped */
    uint64_t recv_bytes, send_bytes;
    uint64_t accepted, connected, closed;
    uint64_t accept_paused;        /**< times accepting paused: no descriptor, memory or slot */
    uint64_t recv_starved;         /**< receives that found no buffer (-ENOBUFS), parked and armed again */
    uint64_t send_partial;         /**< sends the kernel cut short */
    uint64_t send_memory_short;    /**< requests for output memory refused */
    uint64_t stash_short;          /**< requests for stash memory refused */
    uint64_t cq_overflows;         /**< system calls that found the completion queue overflowed */
    uint64_t stale_cqes;           /**< completions of an earlier life of their slot */
    uint64_t unexpected;           /**< results no rule covers; their connection was closed */
    uint64_t timers_fired;
    uint32_t send_chunks_now, stash_blocks_now; /**< memory units in use */
    uint64_t spins;                /**< waits that began by spinning */
    uint64_t spin_hits;            /**< and were over before the spin was */
    uint64_t sleeps;               /**< waits that slept in the kernel */
    uint64_t zc_sends;             /**< zero-copy sends */
    uint64_t zc_copied;            /**< and those of them that the kernel copied all the same */
    uint64_t recv_hold_refused;    /**< holds beyond recv_holds_max */
    uint32_t recv_holds_now;       /**< receive buffers the application holds */
    uint32_t zc_pending_now;       /**< zero-copy sends whose memory the kernel still uses */
};

/** Fill `out` (set out->size = sizeof *out first). Engine's thread. */
WEIR_API void weir_engine_stats(const struct weir_engine *engine, struct weir_engine_stats *out);

/** Why WEIR_RING_AUTO took epoll, one line; NULL when it did not. Valid as long as the engine. */
WEIR_API const char *weir_engine_ring_fallback(const struct weir_engine *engine);

/**
 * Write the engine's last 64 completions to `fd`, oldest first, one line each: pass, kind, slot, result, flags. For crash
 * handlers: async-signal-safe, and callable from any thread when the process is going to die (else: the engine's thread).
 * A failed assertion of the library does this by itself, on standard error.
 */
WEIR_API void weir_engine_trace(const struct weir_engine *engine, int fd);

/** One line that tells the ring features found and used, for people. Valid as long as the engine. */
WEIR_API const char *weir_engine_ring_info(const struct weir_engine *engine);

/**
 * Release the engine and its memory. Everything that hangs on it must be closed before. Not from a callback.
 * @return 0, or -EBUSY: a server, client or connection is still open (nothing was done)
 */
WEIR_API WEIR_MUST_USE int weir_engine_close(struct weir_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
