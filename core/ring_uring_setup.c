/* SPDX-License-Identifier: MIT */
/*
 * Opening the io_uring twin.
 *
 * Set-up is done with the bare system calls: liburing 2.3, the oldest supported, corrupts a ring
 * without submission array in its own set-up.
 *
 * Required (Linux 6.1): SINGLE_ISSUER, DEFER_TASKRUN, SUBMIT_ALL, CLAMP, CQSIZE, TASKRUN_FLAG,
 * R_DISABLED, EXT_ARG, NODROP, provided-buffer rings, multishot accept and receive. Optional
 * features are found by trial or by the kernel's feature bits, never by version; what the engine
 * lives on is tried out before the ring is given to anybody.
 */
#include "core/ring_uring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Newer than the headers of liburing 2.3; values of the kernel's UAPI. */
#define SETUP_NO_SQARRAY        (1u << 16) /* 6.6 */
#define FEAT_MIN_TIMEOUT        (1u << 15) /* 6.12, came together with ABS_TIMER */
#define FEAT_NO_IOWAIT          (1u << 17) /* 6.15 */
#define REGISTER_BUFFERS_UPDATE 16u
#define REGISTER_NAPI           27u /* 6.9 */

#define SETUP_REQUIRED                                                                             \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |           \
     IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_TASKRUN_FLAG |                        \
     IORING_SETUP_R_DISABLED)
#define FEATURES_REQUIRED (IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE)

static const char *const feature_names[FEATURE_COUNT] = { "no_sqarray",  "ring_fd",  "abs_timer",
                                                          "no_iowait",   "min_wait", "send_zc",
                                                          "restrictions" };
const char weir_ring_uring_features[] =
    "no_sqarray,ring_fd,abs_timer,no_iowait,min_wait,send_zc,restrictions";

/* ---- Buffers ----------------------------------------------------------------------------- */

static int bufs_open(struct weir_uring *u, const struct weir_ring_config *cfg)
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
    (void)madvise(memory, u->buf_ring_bytes, MADV_DONTFORK);
    struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)memory,
                                    .ring_entries = cfg->bufs_count,
                                    .bgid = WEIR_URING_BUF_GROUP };
    int rc = io_uring_register_buf_ring(&u->ring, &reg, 0);
    if (rc < 0)
        return weir_fail(rc == -EINVAL ? WEIR_E_UNSUPPORTED : rc,
                         "registering %u receive buffers failed: %s%s", cfg->bufs_count,
                         weir_err_name(rc),
                         rc == -EINVAL ? " (Linux 5.19 or newer is needed)" : "");
    io_uring_buf_ring_init(u->buf_ring);
    for (uint32_t i = 0; i < cfg->bufs_count; i++)
        u->base.ops->buf_put(&u->base, i);
    u->base.ops->buf_commit(&u->base);
    return 0;
}

/* ---- Features ---------------------------------------------------------------------------- */

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

/* ---- Set-up ------------------------------------------------------------------------------ */

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
    case -EACCES: /* SELinux */
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

static int ring_setup(struct weir_uring *u, const struct weir_ring_config *cfg, uint32_t disabled)
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
    /* The ring is shared memory: a child process that touched it would corrupt the parent's. */
    rc = io_uring_ring_dontfork(&u->ring);
    if (rc < 0)
        return weir_fail(rc, "hiding the ring from child processes failed: %s", weir_err_name(rc));
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
        u->found |= 1u << FEATURE_NO_SQARRAY;
    u->sq_entries = p.sq_entries;
    u->cq_mask = p.cq_entries - 1;
    if (p.features & FEAT_MIN_TIMEOUT)
        u->found |= 1u << FEATURE_ABS_TIMER | 1u << FEATURE_MIN_WAIT;
    if (p.features & FEAT_NO_IOWAIT)
        u->found |= 1u << FEATURE_NO_IOWAIT;
    return 0;
}

/* Places for registered buffers; the engine's output memory is the first. */
static int buffers_open(struct weir_uring *u, const struct weir_ring_config *cfg)
{
    int rc = io_uring_register_buffers_sparse(&u->ring, WEIR_RING_BUFFERS);
    if (rc < 0)
        return weir_fail(rc, "a table of %d registered buffers failed: %s", WEIR_RING_BUFFERS,
                         weir_err_name(rc));
    if (cfg->send_memory == NULL)
        return 0;
    struct weir_slice memory = { cfg->send_memory, cfg->send_bytes };
    rc = u->base.ops->buffer_register(&u->base, 0, memory);
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

static int napi_register(struct weir_uring *u, const struct weir_ring_config *cfg)
{
    struct {
        uint32_t busy_poll_us;
        uint8_t prefer_busy_poll, pad[3];
        uint64_t reserved;
    } napi = { .busy_poll_us = cfg->napi_us, .prefer_busy_poll = 1 };
    if (cfg->napi_us == 0)
        return 0;
    int rc = io_uring_register((unsigned)u->ring.ring_fd, REGISTER_NAPI, &napi, 1);
    if (rc < 0)
        return weir_fail(rc == -EINVAL ? WEIR_E_UNSUPPORTED : rc,
                         "napi_ns: busy polling failed: %s (Linux 6.9 or newer with "
                         "CONFIG_NET_RX_BUSY_POLL is needed)",
                         weir_err_name(rc));
    return 0;
}

static bool op_supported(struct weir_uring *u, unsigned op)
{
    union {
        struct io_uring_probe probe;
        uint8_t
            room[sizeof(struct io_uring_probe) + IORING_OP_LAST * sizeof(struct io_uring_probe_op)];
    } p;
    memset(&p, 0, sizeof p);
    return io_uring_register_probe(&u->ring, &p.probe, IORING_OP_LAST) == 0 &&
           op <= p.probe.last_op && (p.probe.ops[op].flags & IO_URING_OP_SUPPORTED);
}

/*
 * Only what the engine does is allowed from now on: a bug in the process, or whoever takes it over,
 * cannot open files, start programs or reach other hosts' files through this ring (Linux 5.10).
 */
static int restrict_ops(struct weir_uring *u)
{
    static const uint8_t ops[] = { IORING_OP_ACCEPT,  IORING_OP_RECV,     IORING_OP_READ,
                                   IORING_OP_SEND,    IORING_OP_SENDMSG,  IORING_OP_CONNECT,
                                   IORING_OP_SEND_ZC, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL };
    static const uint8_t registers[] = { REGISTER_BUFFERS_UPDATE, IORING_REGISTER_EVENTFD,
                                         IORING_UNREGISTER_RING_FDS };
    enum { OPS = sizeof ops, REGISTERS = sizeof registers };
    struct io_uring_restriction r[OPS + REGISTERS + 1] = { 0 };
    uint32_t n = 0;
    for (uint32_t i = 0; i < OPS; i++)
        r[n++] =
            (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = ops[i] };
    for (uint32_t i = 0; i < REGISTERS; i++)
        r[n++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_REGISTER_OP,
                                                .register_op = registers[i] };
    r[n++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
                                            .sqe_flags = IOSQE_BUFFER_SELECT };
    /* liburing 2.3 declares a wrapper that it does not export. */
    return io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_RESTRICTIONS, r, n);
}

/* Everything is registered while the ring is disabled: it becomes the calling thread's when it is
 * enabled. */
static int enable(struct weir_uring *u, const struct weir_ring_config *cfg, uint32_t disabled)
{
    int rc = bufs_open(u, cfg);
    if (rc == 0)
        rc = buffers_open(u, cfg);
    if (rc == 0)
        rc = napi_register(u, cfg);
    if (rc < 0)
        return rc;
    if (op_supported(u, IORING_OP_SEND_ZC))
        u->found |= 1u << FEATURE_SEND_ZC;
    if (!(disabled & (1u << FEATURE_RING_FD)) && io_uring_register_ring_fd(&u->ring) == 1) {
        u->found |= 1u << FEATURE_RING_FD;
        u->enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
    if (!(disabled & (1u << FEATURE_RESTRICTIONS)) && restrict_ops(u) == 0)
        u->found |= 1u << FEATURE_RESTRICTIONS;
    u->features = u->found & ~disabled;
    if (weir_uring_has(u, FEATURE_NO_IOWAIT))
        u->enter_flags |= ENTER_NO_IOWAIT;
    if (weir_uring_has(u, FEATURE_MIN_WAIT))
        u->base.abilities |= WEIR_RING_MIN_WAIT;
    rc = io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (rc < 0)
        return weir_fail(rc, "enabling the ring failed: %s", weir_err_name(rc));
    return 0;
}

/* ---- Self-test --------------------------------------------------------------------------- */

enum { TEST_RECV = 1, TEST_SEND, TEST_ZC, TEST_CANCEL };

#define TEST_WAIT_NS 1000000000u

/* Wait for one completion, copy and consume it. @return 0, or -ETIME: none came */
static int test_await(struct weir_uring *u, struct weir_cqe *out)
{
    const struct weir_cqe *cqe;
    const struct weir_ring_wait wait = { .deadline_ns = weir_clock_ns() + TEST_WAIT_NS,
                                         .count = 1 };
    while (u->base.ops->peek(&u->base, &cqe) == 0) {
        int rc = u->base.ops->enter(&u->base, &wait);
        if (rc < 0)
            return rc;
        if (weir_clock_ns() >= wait.deadline_ns)
            return -ETIME;
    }
    *out = *cqe;
    u->base.ops->advance(&u->base, 1);
    if (cqe->flags & WEIR_CQE_BUFFER) {
        u->base.ops->buf_put(&u->base, out->flags >> WEIR_CQE_BUF_SHIFT);
        u->base.ops->buf_commit(&u->base);
    }
    return 0;
}

/* The next completion must be of `user_data`, with the result, and go on or not. */
static int test_expect(struct weir_uring *u, uint64_t user_data, int res, bool more)
{
    struct weir_cqe cqe;
    int rc = test_await(u, &cqe);
    if (rc < 0)
        return rc;
    bool right =
        cqe.user_data == user_data && cqe.res == res && !!(cqe.flags & WEIR_CQE_MORE) == more;
    return right ? 0 : -EPROTO;
}

/* A byte through a multishot receive with provided buffers, announced without a kernel entry. */
static int test_receive(struct weir_uring *u, const struct weir_ring_config *cfg, const int fds[2])
{
    const struct weir_ring_ops *ops = u->base.ops;
    ops->recv(&u->base, fds[0], true, TEST_RECV);
    int rc = ops->enter(&u->base, NULL);
    if (rc < 0)
        return rc;
    if (send(fds[1], "w", 1, MSG_NOSIGNAL) != 1)
        return -errno;
    /* With NAPI the kernel spins while it is waited in, and polls the device. */
    if (ops->ready(&u->base) && cfg->napi_us == 0)
        u->base.abilities |= WEIR_RING_SPIN;
    return test_expect(u, TEST_RECV, 1, true);
}

/*
 * A unix socket cannot send without copying and says so; a kernel that does not know the flag that
 * makes it report copies (before 6.2) calls it invalid.
 */
static int test_zero_copy(struct weir_uring *u, const int fds[2])
{
    struct weir_cqe cqe;
    if (!weir_uring_has(u, FEATURE_SEND_ZC))
        return 0;
    u->base.ops->send_zc(&u->base, fds[0], WEIR_TEXT("w"), -1, TEST_ZC);
    int rc = test_await(u, &cqe);
    if (rc < 0)
        return rc;
    if (cqe.res == -EOPNOTSUPP)
        u->base.abilities |= WEIR_RING_ZC;
    else
        u->features &= ~(1u << FEATURE_SEND_ZC);
    return cqe.flags & WEIR_CQE_MORE ? test_await(u, &cqe) : 0;
}

/* The victim's last completion and the cancel's own come in any order. */
static int test_cancel(struct weir_uring *u, const int fds[2])
{
    struct weir_cqe cqe;
    bool ended = false;
    u->base.ops->cancel_fd(&u->base, fds[0], TEST_CANCEL);
    for (int i = 0; i < 2; i++) {
        int rc = test_await(u, &cqe);
        if (rc < 0)
            return rc;
        ended |=
            cqe.user_data == TEST_RECV && cqe.res == -ECANCELED && !(cqe.flags & WEIR_CQE_MORE);
    }
    return ended ? 0 : -EPROTO;
}

/* What everything above is built on, once, before anybody relies on it. */
static int self_test(struct weir_uring *u, const struct weir_ring_config *cfg)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return weir_fail(-errno, "no sockets for the self-test: %s (ulimit -n)",
                         weir_err_name(-errno));
    const char *what = "receiving into provided buffers";
    int rc = test_receive(u, cfg, fds);
    if (rc == 0) {
        what = "sending without copying";
        rc = test_zero_copy(u, fds);
    }
    if (rc == 0) {
        what = "cancelling";
        rc = test_cancel(u, fds);
    }
    close(fds[0]);
    close(fds[1]);
    u->base.counters = (struct weir_ring_counters){ 0 };
    if (rc < 0)
        return weir_fail(WEIR_E_UNSUPPORTED, "io_uring fails its self-test, %s: %s", what,
                         weir_err_name(rc));
    return 0;
}

/* ---- The whole --------------------------------------------------------------------------- */

/* yes: found and used; off: found, not used since it was asked so; no: not there. */
static void info_write(struct weir_uring *u, const struct weir_ring_config *cfg, uint32_t disabled)
{
    size_t room = sizeof u->base.info;
    int n = snprintf(u->base.info, room, "io_uring sq=%u cq=%u bufs=%ux%u", u->sq_entries,
                     u->cq_mask + 1, cfg->bufs_count, cfg->buf_bytes);
    for (uint32_t i = 0; i < FEATURE_COUNT && n > 0 && (size_t)n < room; i++) {
        const char *state = u->features & (1u << i) ? "yes" : disabled & (1u << i) ? "off" : "no";
        n += snprintf(u->base.info + n, room - (size_t)n, " %s=%s", feature_names[i], state);
    }
}

int weir_uring_setup(struct weir_uring *u, const struct weir_ring_config *cfg)
{
    struct weir_slice bad;
    uint32_t disabled = features_parse(cfg->disable, &bad);
    int rc = ring_setup(u, cfg, disabled);
    if (rc == 0)
        rc = enable(u, cfg, disabled);
    if (rc == 0)
        rc = self_test(u, cfg);
    if (rc == 0)
        info_write(u, cfg, disabled);
    return rc;
}
