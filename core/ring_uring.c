/* SPDX-License-Identifier: MIT */
/*
 * The io_uring twin of the seam.
 *
 * Set-up is done with the bare system calls: liburing 2.3, the oldest supported, corrupts a ring
 * without submission array in its own set-up, and its submit-and-wait does not always ask for
 * events, so that the deferred work of a DEFER_TASKRUN ring would starve. Its structures, prep
 * helpers and mmap are used.
 *
 * Required (Linux 6.1): SINGLE_ISSUER, DEFER_TASKRUN, SUBMIT_ALL, CLAMP, CQSIZE, TASKRUN_FLAG,
 * R_DISABLED, EXT_ARG, NODROP, provided-buffer rings, multishot accept and receive. Optional
 * features are found by trial or by the kernel's feature bits, never by version.
 */
#include "core/ring.h"
#include "core/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <weir/engine.h>

/* Newer than the headers of liburing 2.3; values of the kernel's UAPI. */
#define SETUP_NO_SQARRAY (1u << 16) /* 6.6 */
#define FEAT_MIN_TIMEOUT (1u << 15) /* 6.12, came together with ABS_TIMER */
#define FEAT_NO_IOWAIT   (1u << 17) /* 6.15 */
#define ENTER_ABS_TIMER  (1u << 5)
#define ENTER_NO_IOWAIT  (1u << 7)

#define SETUP_REQUIRED                                                                             \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |           \
     IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_TASKRUN_FLAG |                        \
     IORING_SETUP_R_DISABLED)
#define FEATURES_REQUIRED (IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE)

#define BUF_GROUP 0

_Static_assert(sizeof(struct weir_cqe) == sizeof(struct io_uring_cqe), "read in place");
_Static_assert(offsetof(struct weir_cqe, res) == offsetof(struct io_uring_cqe, res),
               "read in place");
_Static_assert(offsetof(struct weir_cqe, flags) == offsetof(struct io_uring_cqe, flags),
               "read in place");
_Static_assert(WEIR_CQE_BUFFER == IORING_CQE_F_BUFFER, "kernel's value");
_Static_assert(WEIR_CQE_MORE == IORING_CQE_F_MORE, "kernel's value");
_Static_assert(WEIR_CQE_BUF_SHIFT == IORING_CQE_BUFFER_SHIFT, "kernel's value");

enum feature {
    FEATURE_NO_SQARRAY,
    FEATURE_RING_FD,
    FEATURE_ABS_TIMER,
    FEATURE_NO_IOWAIT,
    FEATURE_COUNT
};
static const char *const feature_names[FEATURE_COUNT] = { "no_sqarray", "ring_fd", "abs_timer",
                                                          "no_iowait" };
const char weir_ring_uring_features[] = "no_sqarray,ring_fd,abs_timer,no_iowait";

struct uring {
    struct weir_ring base;
    struct io_uring ring;
    uint32_t enter_flags;
    uint32_t features; /* bit set of enum feature, used */
    uint32_t sq_entries;
    uint32_t cq_mask;
    bool opened;

    /* provided buffers */
    struct io_uring_buf_ring *buf_ring;
    size_t buf_ring_bytes;
    uint8_t *bufs;
    uint32_t buf_bytes, buf_stride, buf_mask, bufs_count;
    uint32_t bufs_pending;

    /* Operations that found the submission queue full although it had just been handed on: see
     * uring_sqe(). */
    struct io_uring_sqe *backlog;
    uint32_t backlog_max, backlog_head, backlog_count;
};

static struct uring *uring_of(struct weir_ring *ring)
{
    return (struct uring *)(void *)ring;
}

static void uring_buf_commit(struct weir_ring *ring);

/* ---- Submission -------------------------------------------------------------------------- */

static uint32_t sq_used(const struct uring *u)
{
    return u->ring.sq.sqe_tail - __atomic_load_n(u->ring.sq.khead, __ATOMIC_ACQUIRE);
}

static int enter_call(struct uring *u, uint32_t wait_nr, uint32_t flags, void *arg,
                      size_t arg_bytes)
{
    /* The kernel must see the entries before the tail. */
    __atomic_store_n(u->ring.sq.ktail, u->ring.sq.sqe_tail, __ATOMIC_RELEASE);
    uint32_t to_submit = sq_used(u);
    u->base.counters.enters++;
    int rc = io_uring_enter2((unsigned)u->ring.enter_ring_fd, to_submit, wait_nr,
                             u->enter_flags | flags, arg, arg_bytes);
    if (rc > 0)
        u->base.counters.sqes += (uint64_t)rc;
    return rc;
}

static struct io_uring_sqe *sqe_next(struct uring *u)
{
    struct io_uring_sqe *sqe = &u->ring.sq.sqes[u->ring.sq.sqe_tail & *u->ring.sq.kring_mask];
    u->ring.sq.sqe_tail++;
    return sqe;
}

/*
 * A free entry. When the queue is full it is handed to the kernel without waiting; when even that
 * makes no room (the kernel is short of memory: -EAGAIN, -EBUSY) the operation is kept in the
 * backlog until an enter succeeds, so that no caller needs an answer for "cannot queue".
 */
static struct io_uring_sqe *uring_sqe(struct uring *u)
{
    if (WEIR_UNLIKELY(u->backlog_count > 0 || sq_used(u) == *u->ring.sq.kring_entries)) {
        if (u->backlog_count == 0) {
            /* Receives that are handed on now must find the buffers that were given back. */
            uring_buf_commit(&u->base);
            (void)enter_call(u, 0, 0, NULL, 0); /* the result shows in sq_used() */
        }
        if (u->backlog_count > 0 || sq_used(u) == *u->ring.sq.kring_entries) {
            WEIR_ASSERT(u->backlog_count < u->backlog_max);
            uint32_t at = (u->backlog_head + u->backlog_count++) % u->backlog_max;
            return &u->backlog[at];
        }
    }
    return sqe_next(u);
}

static void backlog_drain(struct uring *u)
{
    while (u->backlog_count > 0 && sq_used(u) < *u->ring.sq.kring_entries) {
        *sqe_next(u) = u->backlog[u->backlog_head];
        u->backlog_head = (u->backlog_head + 1) % u->backlog_max;
        u->backlog_count--;
    }
}

static void uring_accept(struct weir_ring *ring, int fd, bool multi, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(ring));
    /* No address storage: a multishot accept would overwrite it; getpeername() when somebody asks.
     */
    io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (multi)
        sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
    sqe->user_data = user_data;
}

static void uring_recv_multi(struct weir_ring *ring, int fd, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(ring));
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUF_GROUP;
    sqe->user_data = user_data;
}

static void uring_read(struct weir_ring *ring, int fd, void *data, uint32_t bytes,
                       uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(ring));
    io_uring_prep_read(sqe, fd, data, bytes, 0);
    sqe->user_data = user_data;
}

static void uring_send(struct weir_ring *ring, int fd, struct weir_slice data, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(ring));
    io_uring_prep_send(sqe, fd, data.ptr, data.len, MSG_NOSIGNAL);
    sqe->user_data = user_data;
}

static void uring_sendmsg(struct weir_ring *ring, int fd, const struct msghdr *msg,
                          uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(ring));
    io_uring_prep_sendmsg(sqe, fd, msg, MSG_NOSIGNAL);
    sqe->user_data = user_data;
}

static void uring_connect(struct weir_ring *ring, int fd, const struct sockaddr *addr,
                          socklen_t bytes, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(ring));
    io_uring_prep_connect(sqe, fd, addr, bytes);
    sqe->user_data = user_data;
}

static void uring_cancel_fd(struct weir_ring *ring, int fd, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(ring));
    io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = user_data;
}

static void uring_cancel(struct weir_ring *ring, uint64_t target, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(ring));
    io_uring_prep_cancel64(sqe, target, 0);
    sqe->user_data = user_data;
}

static bool uring_unsubmitted(const struct weir_ring *ring)
{
    const struct uring *u = (const struct uring *)(const void *)ring;
    return u->backlog_count > 0 || sq_used(u) > 0;
}

/* ---- Enter and reap ---------------------------------------------------------------------- */

static uint64_t uring_now_ns(const struct weir_ring *ring)
{
    (void)ring;
    return weir_clock_ns();
}

/* What io_uring_enter(2) may answer, and what it means here. */
static int enter_result(int rc)
{
    switch (rc) {
    case -ETIME:  /* the deadline came first */
    case -EINTR:  /* a signal came first */
    case -EAGAIN: /* no memory for requests now: what was not taken stays queued */
    case -EBUSY:  /* completions overflowed and must be reaped first */
        return 0;
    default:
        return rc < 0 ? rc : 0;
    }
}

static int uring_enter(struct weir_ring *ring, bool wait, uint64_t deadline_ns)
{
    struct uring *u = uring_of(ring);
    uint32_t flags = IORING_ENTER_GETEVENTS;
    if (WEIR_UNLIKELY(u->backlog_count > 0)) {
        backlog_drain(u);
        /* What is still in the backlog may be what the wait would be for. */
        wait = wait && u->backlog_count == 0;
    }
    if (WEIR_UNLIKELY(__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW))
        u->base.counters.cq_overflows++;
    if (!wait)
        return enter_result(enter_call(u, 0, flags, NULL, 0));

    flags |= IORING_ENTER_EXT_ARG;
    struct __kernel_timespec ts;
    struct io_uring_getevents_arg arg = { .ts = 0 };
    if (deadline_ns != WEIR_NO_DEADLINE) {
        uint64_t t = deadline_ns;
        if (u->features & (1u << FEATURE_ABS_TIMER)) {
            flags |= ENTER_ABS_TIMER;
        } else {
            uint64_t now = weir_clock_ns();
            t = deadline_ns > now ? deadline_ns - now : 0;
        }
        ts.tv_sec = (int64_t)(t / 1000000000u);
        ts.tv_nsec = (int64_t)(t % 1000000000u);
        arg.ts = (uint64_t)(uintptr_t)&ts;
    }
    return enter_result(enter_call(u, 1, flags, &arg, sizeof arg));
}

static uint32_t uring_peek(struct weir_ring *ring, const struct weir_cqe **first)
{
    struct uring *u = uring_of(ring);
    uint32_t head = *u->ring.cq.khead;
    uint32_t ready = __atomic_load_n(u->ring.cq.ktail, __ATOMIC_ACQUIRE) - head;
    uint32_t at = head & u->cq_mask;
    uint32_t to_end = u->cq_mask + 1 - at;
    *first = (const struct weir_cqe *)(const void *)&u->ring.cq.cqes[at];
    return ready < to_end ? ready : to_end;
}

static void uring_advance(struct weir_ring *ring, uint32_t count)
{
    struct uring *u = uring_of(ring);
    /* The kernel may overwrite the entries once it sees this. */
    __atomic_store_n(u->ring.cq.khead, *u->ring.cq.khead + count, __ATOMIC_RELEASE);
}

/* ---- Provided buffers -------------------------------------------------------------------- */

static void uring_buf_put(struct weir_ring *ring, uint32_t index)
{
    struct uring *u = uring_of(ring);
    WEIR_ASSERT(index < u->bufs_count);
    io_uring_buf_ring_add(u->buf_ring, u->bufs + (size_t)index * u->buf_stride, u->buf_bytes,
                          (unsigned short)index, (int)u->buf_mask, (int)u->bufs_pending);
    u->bufs_pending++;
    WEIR_DEBUG_ASSERT(u->bufs_pending <= u->bufs_count);
}

static void uring_buf_commit(struct weir_ring *ring)
{
    struct uring *u = uring_of(ring);
    if (u->bufs_pending == 0)
        return;
    io_uring_buf_ring_advance(u->buf_ring, (int)u->bufs_pending);
    u->bufs_pending = 0;
}

static int bufs_open(struct uring *u, const struct weir_ring_config *cfg)
{
    u->bufs = cfg->bufs;
    u->buf_bytes = cfg->buf_bytes;
    u->buf_stride = cfg->buf_stride;
    u->bufs_count = cfg->bufs_count;
    u->buf_mask = cfg->bufs_count - 1;
    u->buf_ring_bytes = weir_align_up(cfg->bufs_count * sizeof(struct io_uring_buf), WEIR_PAGE);
    void *memory = mmap(NULL, u->buf_ring_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return weir_fail(-ENOMEM, "no memory for a ring of %u receive buffers", cfg->bufs_count);
    u->buf_ring = memory;
    struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)memory,
                                    .ring_entries = cfg->bufs_count,
                                    .bgid = BUF_GROUP };
    int rc = io_uring_register_buf_ring(&u->ring, &reg, 0);
    if (rc < 0)
        return weir_fail(
            rc == -EINVAL ? WEIR_E_UNSUPPORTED : rc,
            "registering %u receive buffers failed: %s (Linux 5.19 or newer is needed)",
            cfg->bufs_count, weir_err_name(rc));
    io_uring_buf_ring_init(u->buf_ring);
    for (uint32_t i = 0; i < cfg->bufs_count; i++)
        uring_buf_put(&u->base, i);
    uring_buf_commit(&u->base);
    return 0;
}

/* ---- Open and close ---------------------------------------------------------------------- */

static uint32_t feature_bit(struct weir_slice name)
{
    for (uint32_t i = 0; i < FEATURE_COUNT; i++)
        if (name.len == strlen(feature_names[i]) &&
            memcmp(name.ptr, feature_names[i], name.len) == 0)
            return 1u << i;
    return 0;
}

/* The bit set of a comma list; *bad is the first unknown name, or empty. */
static uint32_t features_parse(const char *list, struct weir_slice *bad)
{
    uint32_t set = 0;
    *bad = (struct weir_slice){ 0 };
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        struct weir_slice name = { (const uint8_t *)list, len };
        uint32_t bit = feature_bit(name);
        if (bit == 0 && bad->ptr == NULL) /* NOLINT(clang-analyzer-core.*): set above */
            *bad = name;
        set |= bit;
        list += len + (list[len] == ',');
    }
    return set;
}

bool weir_ring_uring_features_valid(const char *disable, struct weir_slice *bad)
{
    features_parse(disable, bad);
    return bad->ptr == NULL;
}

uint64_t weir_ring_uring_bytes(const struct weir_ring_config *cfg)
{
    return weir_arena_cost(sizeof(struct uring), WEIR_CACHE_LINE) +
           weir_arena_cost((uint64_t)cfg->ops_max * sizeof(struct io_uring_sqe), WEIR_CACHE_LINE);
}

static int sysctl_io_uring_disabled(void)
{
    char text[16] = { 0 };
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? text[0] - '0' : -1;
}

/* Name the cause of a refused io_uring_setup() and what cures it. */
static int setup_failed(int rc, const struct weir_ring_config *cfg)
{
    switch (rc) {
    case -ENOSYS:
        return weir_fail(rc, "io_uring is not there: the kernel was built without it, or a seccomp "
                             "profile hides it (containers: run with a profile that allows "
                             "io_uring_setup, io_uring_enter and io_uring_register)");
    case -EPERM:
        switch (sysctl_io_uring_disabled()) {
        case 2:
            return weir_fail(
                rc, "io_uring is forbidden for everybody: sysctl "
                    "kernel.io_uring_disabled is 2 (sysctl -w kernel.io_uring_disabled=0)");
        case 1:
            return weir_fail(rc, "io_uring is forbidden for this user: sysctl "
                                 "kernel.io_uring_disabled is 1 (join the group of sysctl "
                                 "kernel.io_uring_group, or set kernel.io_uring_disabled=0)");
        default:
            return weir_fail(rc, "io_uring is forbidden by a seccomp profile or security module "
                                 "(Docker's default profile does: run with one that allows "
                                 "io_uring_setup, io_uring_enter and io_uring_register)");
        }
    case -EINVAL:
        return weir_fail(WEIR_E_UNSUPPORTED,
                         "this kernel's io_uring is too old: Linux 6.1 or newer is "
                         "needed (IORING_SETUP_DEFER_TASKRUN)");
    case -ENOMEM:
        return weir_fail(rc,
                         "no memory for a ring of %u + %u entries: raise the locked-memory limit "
                         "(ulimit -l) or the memory limit of the cgroup",
                         cfg->sq_entries, cfg->cq_entries);
    case -EMFILE:
    case -ENFILE:
        return weir_fail(rc, "no file descriptor for the ring: raise the limit (ulimit -n)");
    default:
        return weir_fail(rc, "io_uring_setup failed: %s", weir_err_name(rc));
    }
}

static int setup(struct uring *u, const struct weir_ring_config *cfg, uint32_t disabled)
{
    struct io_uring_params p;
    uint32_t optional = disabled & (1u << FEATURE_NO_SQARRAY) ? 0 : SETUP_NO_SQARRAY;
    int fd;
    for (;;) {
        p = (struct io_uring_params){ .flags = SETUP_REQUIRED | optional,
                                      .cq_entries = cfg->cq_entries };
        fd = io_uring_setup(cfg->sq_entries, &p);
        if (fd != -EINVAL || optional == 0)
            break;
        optional = 0;
    }
    if (fd < 0)
        return setup_failed(fd, cfg);
    int rc = io_uring_queue_mmap(fd, &p, &u->ring);
    if (rc < 0) {
        close(fd);
        return weir_fail(rc, "mapping the ring failed: %s", weir_err_name(rc));
    }
    u->opened = true;
    u->ring.flags = p.flags;
    u->ring.features = p.features; /* queue_mmap of 2.3 clears it */
    if ((p.features & FEATURES_REQUIRED) != FEATURES_REQUIRED)
        return weir_fail(WEIR_E_UNSUPPORTED,
                         "this kernel's io_uring lacks required features (has 0x%x, "
                         "needs 0x%x): Linux 6.1 or newer is needed",
                         p.features, (unsigned)FEATURES_REQUIRED);
    if (optional == 0)
        for (uint32_t i = 0; i < p.sq_entries; i++)
            u->ring.sq.array[i] = i;
    else
        u->features |= 1u << FEATURE_NO_SQARRAY;
    u->sq_entries = p.sq_entries;
    u->cq_mask = p.cq_entries - 1;
    if (p.features & FEAT_MIN_TIMEOUT)
        u->features |= 1u << FEATURE_ABS_TIMER;
    if (p.features & FEAT_NO_IOWAIT)
        u->features |= 1u << FEATURE_NO_IOWAIT;
    u->features &= ~disabled;
    return 0;
}

static int send_memory_register(struct uring *u, const struct weir_ring_config *cfg)
{
    if (cfg->send_memory == NULL)
        return 0;
    struct iovec iov = { .iov_base = cfg->send_memory, .iov_len = cfg->send_bytes };
    int rc = io_uring_register_buffers(&u->ring, &iov, 1);
    if (rc == 0)
        return 0;
    struct rlimit limit = { 0 };
    getrlimit(RLIMIT_MEMLOCK, &limit);
    return weir_fail(
        rc,
        "send_register: locking %llu bytes of output memory failed: %s; the locked-memory "
        "limit is %llu bytes (ulimit -l)",
        (unsigned long long)cfg->send_bytes, weir_err_name(rc), (unsigned long long)limit.rlim_cur);
}

/* Everything is registered while the ring is disabled: it becomes the calling thread's when it is
 * enabled. */
static int enable(struct uring *u, const struct weir_ring_config *cfg, uint32_t disabled)
{
    int rc = bufs_open(u, cfg);
    if (rc == 0)
        rc = send_memory_register(u, cfg);
    if (rc < 0)
        return rc;
    if (!(disabled & (1u << FEATURE_RING_FD)) && io_uring_register_ring_fd(&u->ring) == 1) {
        u->features |= 1u << FEATURE_RING_FD;
        u->enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
    if (u->features & (1u << FEATURE_NO_IOWAIT))
        u->enter_flags |= ENTER_NO_IOWAIT;
    rc = io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (rc < 0)
        return weir_fail(rc, "enabling the ring failed: %s", weir_err_name(rc));
    return 0;
}

static void info_write(struct uring *u, const struct weir_ring_config *cfg)
{
    int n = snprintf(u->base.info, sizeof u->base.info, "io_uring sq=%u cq=%u bufs=%ux%u",
                     u->sq_entries,
                     u->cq_mask + 1, cfg->bufs_count, cfg->buf_bytes);
    for (uint32_t i = 0; i < FEATURE_COUNT && n > 0 && (size_t)n < sizeof u->base.info; i++)
        n += snprintf(u->base.info + n, sizeof u->base.info - (size_t)n, " %s=%s", feature_names[i],
                      u->features & (1u << i) ? "yes" : "no");
}

static void uring_close(struct weir_ring *ring)
{
    struct uring *u = uring_of(ring);
    if (u->opened) {
        if (u->features & (1u << FEATURE_RING_FD))
            io_uring_unregister_ring_fd(&u->ring);
        io_uring_queue_exit(&u->ring);
    }
    if (u->buf_ring != NULL)
        munmap(u->buf_ring, u->buf_ring_bytes);
    u->opened = false;
    u->buf_ring = NULL;
}

static const struct weir_ring_ops uring_ops = {
    .name = "io_uring",
    .close = uring_close,
    .accept = uring_accept,
    .recv_multi = uring_recv_multi,
    .read = uring_read,
    .send = uring_send,
    .sendmsg = uring_sendmsg,
    .connect = uring_connect,
    .cancel_fd = uring_cancel_fd,
    .cancel = uring_cancel,
    .enter = uring_enter,
    .peek = uring_peek,
    .advance = uring_advance,
    .unsubmitted = uring_unsubmitted,
    .buf_put = uring_buf_put,
    .buf_commit = uring_buf_commit,
    .now_ns = uring_now_ns,
};

int weir_ring_uring_open(struct weir_ring **out, struct weir_arena *arena,
                         const struct weir_ring_config *cfg)
{
    WEIR_ASSERT(weir_is_pow2(cfg->bufs_count) && cfg->ops_max > 0);
    struct weir_slice bad;
    uint32_t disabled = features_parse(cfg->disable, &bad);
    struct uring *u = weir_arena_take(arena, sizeof *u, WEIR_CACHE_LINE);
    *u = (struct uring){ .base.ops = &uring_ops, .backlog_max = cfg->ops_max };
    u->backlog =
        weir_arena_take(arena, (uint64_t)cfg->ops_max * sizeof *u->backlog, WEIR_CACHE_LINE);
    *out = &u->base;
    int rc = setup(u, cfg, disabled);
    if (rc == 0)
        rc = enable(u, cfg, disabled);
    if (rc < 0) {
        uring_close(&u->base);
        *out = NULL;
        return rc;
    }
    info_write(u, cfg);
    return 0;
}
