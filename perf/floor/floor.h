/* SPDX-License-Identifier: MIT */
/*
 * What the bare programs share: a ring, a provided-buffer ring, addresses, a latency histogram, CPU
 * clocks.
 *
 * These programs are the limit that everything else is measured against, so they use the kernel as
 * directly as liburing's structures allow and nothing of libweir. liburing 2.3 initialises rings
 * with NO_SQARRAY wrongly and does not always run deferred work while waiting, hence the own set-up
 * and the own enter. Whatever goes wrong ends the program with a message: a limit must not be
 * measured on half a machine.
 */
#ifndef WEIR_PERF_FLOOR_H
#define WEIR_PERF_FLOOR_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16) /* Linux 6.6 */
#endif
#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5) /* Linux 6.12 */
#endif
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7) /* Linux 6.15 */
#endif
#define FLOOR_FEAT_MIN_TIMEOUT (1U << 15) /* Linux 6.12: ABS_TIMER came with it */
#define FLOOR_FEAT_NO_IOWAIT   (1U << 17) /* Linux 6.15 */

#define FLOOR_BUF_GROUP 0

#define floor_likely(x)   __builtin_expect(!!(x), 1)
#define floor_unlikely(x) __builtin_expect(!!(x), 0)

static inline uint64_t floor_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

__attribute__((format(printf, 1, 2), noreturn, cold)) static inline void
floor_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("floor: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* Anonymous zeroed memory; 2 MiB and more in huge pages where the system grants them, as the kernel
 * copies through this mapping and small pages would cost it a TLB entry per buffer. */
static inline void *floor_map(size_t bytes)
{
    size_t huge = (size_t)2 << 20;
    size_t slack = bytes >= huge ? huge : 0;
    uint8_t *p =
        mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        floor_die("mmap of %zu bytes: %s", bytes, strerror(errno));
    if (slack == 0)
        return p;
    p = (uint8_t *)(((uintptr_t)p + huge - 1) & ~(huge - 1));
    (void)madvise(p, bytes,
                  MADV_HUGEPAGE); /* a wish: refused where THP is off, and that costs speed only */
    return p;
}

/* ---- ring ---- */

struct floor_ring {
    struct io_uring uring;
    unsigned sq_entries;
    unsigned enter_flags;
};

static inline int floor_ring_setup(unsigned sq_entries, unsigned cq_entries,
                                   struct io_uring_params *p)
{
    unsigned base = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE |
                    IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED;
    *p = (struct io_uring_params){ .flags = base | IORING_SETUP_NO_SQARRAY,
                                   .cq_entries = cq_entries };
    int fd = io_uring_setup(sq_entries, p);
    if (fd != -EINVAL)
        return fd;
    *p = (struct io_uring_params){ .flags = base, .cq_entries = cq_entries };
    return io_uring_setup(sq_entries, p);
}

static inline void floor_ring_open(struct floor_ring *ring, unsigned sq_entries,
                                   unsigned cq_entries)
{
    struct io_uring_params p;
    int fd = floor_ring_setup(sq_entries, cq_entries, &p);
    if (fd < 0)
        floor_die("io_uring_setup: %s (Linux 6.1 or newer is needed, and io_uring allowed)",
                  strerror(-fd));
    *ring = (struct floor_ring){ .sq_entries = p.sq_entries };
    int err = io_uring_queue_mmap(fd, &p, &ring->uring);
    if (err < 0)
        floor_die("mapping the ring: %s", strerror(-err));
    ring->uring.features = p.features; /* io_uring_queue_mmap() zeroes the structure */
    if (!(p.flags & IORING_SETUP_NO_SQARRAY)) {
        for (unsigned i = 0; i < p.sq_entries; i++)
            ring->uring.sq.array[i] = i;
    }
    err = io_uring_register_ring_fd(&ring->uring);
    if (err < 0)
        floor_die("registering the ring's descriptor: %s", strerror(-err));
    ring->enter_flags = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING;
    if (p.features & FLOOR_FEAT_NO_IOWAIT)
        ring->enter_flags |= IORING_ENTER_NO_IOWAIT;
    err = io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (err < 0)
        floor_die("enabling the ring: %s", strerror(-err));
}

/* Submit what is queued and wait for `wait_nr` completions, in one kernel entry. */
static inline void floor_enter(struct floor_ring *ring, unsigned wait_nr)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
    unsigned to_submit = sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
    int rc =
        io_uring_enter2(ring->uring.enter_ring_fd, to_submit, wait_nr, ring->enter_flags, NULL, 0);
    if (floor_unlikely(rc < 0) && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
        floor_die("io_uring_enter: %s", strerror(-rc));
}

/* Wait in user space until there is a completion or deferred work: no entry that would find
 * nothing. */
static inline void floor_spin(struct floor_ring *ring, uint64_t spins_max)
{
    const struct io_uring_cq *cq = &ring->uring.cq;
    for (uint64_t i = 0; i < spins_max; i++) {
        if (__atomic_load_n(ring->uring.sq.kflags, __ATOMIC_RELAXED) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
            return;
        if (__atomic_load_n(cq->ktail, __ATOMIC_RELAXED) != *cq->khead)
            return;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
}

static inline struct io_uring_sqe *floor_sqe(struct floor_ring *ring)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    if (floor_unlikely(sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE) >=
                       ring->sq_entries)) {
        floor_enter(ring, 0);
        if (sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE) >= ring->sq_entries)
            floor_die("the kernel takes no submissions");
    }
    return &sq->sqes[sq->sqe_tail++ & (ring->sq_entries - 1)];
}

/* One completion out of the queue, or false. */
static inline bool floor_reap(struct floor_ring *ring, struct io_uring_cqe *out)
{
    struct io_uring_cq *cq = &ring->uring.cq;
    unsigned head = *cq->khead;
    if (head == __atomic_load_n(cq->ktail, __ATOMIC_ACQUIRE))
        return false;
    *out = cq->cqes[head & *cq->kring_mask];
    __atomic_store_n(cq->khead, head + 1, __ATOMIC_RELEASE);
    return true;
}

/* ---- provided buffers ---- */

struct floor_bufs {
    struct io_uring_buf_ring *br;
    uint8_t *memory;
    unsigned count;
    unsigned bytes;
    unsigned returned; /* added to the ring, not published yet */
};

static inline uint8_t *floor_buf(const struct floor_bufs *bufs, unsigned bid)
{
    return bufs->memory + (size_t)bid * bufs->bytes;
}

static inline void floor_buf_return(struct floor_bufs *bufs, unsigned bid)
{
    io_uring_buf_ring_add(bufs->br, floor_buf(bufs, bid), bufs->bytes, (unsigned short)bid,
                          (int)bufs->count - 1, (int)bufs->returned++);
}

/* All buffers of a pass with one release store. */
static inline void floor_bufs_publish(struct floor_bufs *bufs)
{
    if (bufs->returned == 0)
        return;
    io_uring_buf_ring_advance(bufs->br, (int)bufs->returned);
    bufs->returned = 0;
}

static inline void floor_bufs_open(struct floor_bufs *bufs, struct floor_ring *ring, unsigned count,
                                   unsigned bytes)
{
    *bufs = (struct floor_bufs){ .count = count, .bytes = bytes };
    bufs->br = floor_map(count * sizeof(struct io_uring_buf));
    bufs->memory = floor_map((size_t)count * bytes);
    struct io_uring_buf_reg reg = { .ring_addr = (uintptr_t)bufs->br,
                                    .ring_entries = count,
                                    .bgid = FLOOR_BUF_GROUP };
    int err = io_uring_register_buf_ring(&ring->uring, &reg, 0);
    if (err < 0)
        floor_die("registering the receive buffers: %s", strerror(-err));
    io_uring_buf_ring_init(bufs->br);
    for (unsigned i = 0; i < count; i++)
        floor_buf_return(bufs, i);
    floor_bufs_publish(bufs);
}

static inline void floor_arm_recv(struct floor_ring *ring, int fd, uint64_t user_data)
{
    struct io_uring_sqe *sqe = floor_sqe(ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = FLOOR_BUF_GROUP;
    sqe->user_data = user_data;
}

/* MSG_WAITALL: the kernel itself goes on after a short send, so a success is always the whole. */
static inline void floor_send(struct floor_ring *ring, int fd, const void *data, size_t len,
                              uint64_t user_data)
{
    struct io_uring_sqe *sqe = floor_sqe(ring);
    io_uring_prep_send(sqe, fd, data, len, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->user_data = user_data;
}

static inline void floor_arm_accept(struct floor_ring *ring, int listener, uint64_t user_data)
{
    struct io_uring_sqe *sqe = floor_sqe(ring);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = user_data;
}

/* Only a failure completes. */
static inline void floor_close(struct floor_ring *ring, int fd, uint64_t user_data)
{
    struct io_uring_sqe *sqe = floor_sqe(ring);
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = user_data;
}

/* ---- sockets ---- */

static inline struct sockaddr_in floor_address(const char *text)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host) || end == colon + 1 ||
        *end != '\0' || port > 65535)
        floor_die("'%s' is not an IPv4 ADDR:PORT", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (inet_pton(AF_INET, host, &addr.sin_addr) != 1)
        floor_die("'%s' is not an IPv4 ADDR:PORT", text);
    addr.sin_port = htons((uint16_t)port);
    return addr;
}

static inline void floor_nodelay(int fd)
{
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0)
        floor_die("TCP_NODELAY: %s", strerror(errno));
}

/* Of "unix:PATH" the path, of anything else NULL. */
static inline const char *floor_unix_path(const char *text)
{
    return strncmp(text, "unix:", 5) == 0 ? text + 5 : NULL;
}

/* A socket, and in `addr` what it is to be bound or connected to. */
static inline int floor_unix_socket(const char *path, struct sockaddr_un *addr)
{
    *addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (path[0] == '\0' || strlen(path) >= sizeof(addr->sun_path))
        floor_die("unix:%s: a path of 1 ... %zu bytes was expected", path,
                  sizeof(addr->sun_path) - 1);
    memcpy(addr->sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        floor_die("socket: %s", strerror(errno));
    return fd;
}

static inline void floor_say_listening(const char *host, const char *port)
{
    printf("listening on %s:%s\n", host, port);
    if (fflush(stdout) != 0)
        floor_die("standard output: %s", strerror(errno));
}

static inline int floor_listen_unix(const char *path)
{
    struct sockaddr_un addr;
    int fd = floor_unix_socket(path, &addr);
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 4096) < 0)
        floor_die("listening on unix:%s: %s", path, strerror(errno));
    floor_say_listening("unix", path);
    return fd;
}

static inline int floor_connect_unix(const char *path)
{
    struct sockaddr_un addr;
    int fd = floor_unix_socket(path, &addr);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        floor_die("connect: %s", strerror(errno));
    return fd;
}

/* A socket that listens, and standard output says where. What it accepts is TCP_NODELAY, too. */
static inline int floor_listen(const char *text)
{
    struct sockaddr_in addr = floor_address(text);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        floor_die("socket: %s", strerror(errno));
    floor_nodelay(fd);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0)
        floor_die("SO_REUSEADDR: %s", strerror(errno));
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 4096) < 0)
        floor_die("listening on %s: %s", text, strerror(errno));
    socklen_t len = sizeof(addr);
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        floor_die("getsockname: %s", strerror(errno));
    char host[INET_ADDRSTRLEN];
    if (inet_ntop(AF_INET, &addr.sin_addr, host, sizeof(host)) == NULL)
        floor_die("inet_ntop: %s", strerror(errno));
    char port[sizeof("65535")];
    snprintf(port, sizeof(port), "%u", ntohs(addr.sin_port));
    floor_say_listening(host, port);
    return fd;
}

/* A connected socket. `source` may be 0 (the system chooses) or an address to bind, network byte
 * order. */
static inline int floor_connect(const struct sockaddr_in *to, in_addr_t source)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        floor_die("socket: %s", strerror(errno));
    if (source != 0) {
        struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = source };
        if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int)) < 0 ||
            bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0)
            floor_die("binding a source address: %s", strerror(errno));
    }
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        floor_die("connect: %s", strerror(errno));
    floor_nodelay(fd);
    return fd;
}

/* `p` has 12 bytes or more. */
static inline bool floor_is_2xx(const uint8_t *p)
{
    return memcmp(p, "HTTP/1.1 2", 10) == 0;
}

/* Reads one whole response, blocking; returns its bytes, head and body. It must be 2xx with a
 * Content-Length. */
static inline uint64_t floor_recv_response(int fd)
{
    static char bytes[64 * 1024];
    uint64_t len = 0;
    uint64_t total = UINT64_MAX;
    while (len < total) {
        /* The head is kept from the beginning; of the body only the length matters. */
        size_t at = total == UINT64_MAX ? (size_t)len : 0;
        ssize_t n = recv(fd, bytes + at, sizeof(bytes) - 1 - at, 0);
        if (n <= 0)
            floor_die("no complete response: %s",
                      n < 0 ? strerror(errno) : "connection closed or head too large");
        len += (uint64_t)n;
        if (total != UINT64_MAX)
            continue;
        bytes[len] = '\0';
        const char *blank = strstr(bytes, "\r\n\r\n");
        if (blank == NULL)
            continue;
        if (blank - bytes < 12 || !floor_is_2xx((const uint8_t *)bytes))
            floor_die("expected a 2xx response, got '%.12s'", bytes);
        const char *field = strcasestr(bytes, "\r\nContent-Length:");
        if (field == NULL || field > blank)
            floor_die("the response has no Content-Length");
        total = (uint64_t)(blank + 4 - bytes) +
                strtoull(field + strlen("\r\nContent-Length:"), NULL, 10);
    }
    if (len != total)
        floor_die("more bytes than one response");
    return total;
}

/* As many descriptors as the hard limit allows; returns that number. */
static inline unsigned floor_raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        floor_die("RLIMIT_NOFILE: %s", strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        floor_die("RLIMIT_NOFILE: %s", strerror(errno));
    return (unsigned)floor_min(limit.rlim_cur, 1U << 20);
}

/* ---- numbers from the command line ---- */

static inline uint64_t floor_uint(const char *name, const char *text, uint64_t min, uint64_t max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value < min || value > max)
        floor_die("%s: '%s' is not a number from %llu to %llu", name, text, (unsigned long long)min,
                  (unsigned long long)max);
    return value;
}

static inline uint64_t floor_seconds_ns(const char *name, const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0.0 && value <= 86400.0))
        floor_die("%s: '%s' is not a number of seconds from 0 to 86400", name, text);
    return (uint64_t)(value * 1e9);
}

/* ---- clocks and latencies ---- */

static inline uint64_t floor_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* Log-linear counts: 128 steps per power of two, so a value is known to better than 0.8 %. */
#define FLOOR_HIST_STEP_BITS 7
#define FLOOR_HIST_STEPS     (1U << FLOOR_HIST_STEP_BITS)

/* The CPU time of a process: the sum over its threads of the scheduler's own count. */
static inline uint64_t floor_process_cpu_ns(unsigned pid)
{
    char path[300];
    snprintf(path, sizeof(path), "/proc/%u/task", pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        floor_die("%s: %s", path, strerror(errno));
    uint64_t total = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%u/task/%.20s/schedstat", pid, entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue; /* the thread ended since */
        unsigned long long ns = 0;
        if (fscanf(file, "%llu", &ns) != 1)
            floor_die("%s: no number", path);
        fclose(file);
        total += ns;
    }
    closedir(dir);
    return total;
}

struct floor_hist {
    uint64_t count;
    uint64_t max;
    uint64_t counts[(65 - FLOOR_HIST_STEP_BITS) * FLOOR_HIST_STEPS];
};

static inline unsigned floor_hist_index(uint64_t value)
{
    if (value < 2 * FLOOR_HIST_STEPS)
        return (unsigned)value;
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - FLOOR_HIST_STEP_BITS;
    return shift * FLOOR_HIST_STEPS + (unsigned)(value >> shift);
}

static inline void floor_hist_record(struct floor_hist *hist, uint64_t value, uint64_t times)
{
    hist->count += times;
    hist->counts[floor_hist_index(value)] += times;
    if (value > hist->max)
        hist->max = value;
}

/* The upper edge of the step in which the value of this rank lies. `fraction` from 0 to 1. */
static inline uint64_t floor_hist_percentile(const struct floor_hist *hist, double fraction)
{
    uint64_t rank = (uint64_t)(fraction * (double)hist->count);
    uint64_t seen = 0;
    for (unsigned i = 0; i < sizeof(hist->counts) / sizeof(hist->counts[0]); i++) {
        seen += hist->counts[i];
        if (seen > rank || (seen == hist->count && seen != 0)) {
            if (i < 2 * FLOOR_HIST_STEPS)
                return i;
            unsigned shift = i / FLOOR_HIST_STEPS - 1;
            uint64_t low = (uint64_t)(i % FLOOR_HIST_STEPS + FLOOR_HIST_STEPS) << shift;
            return floor_min(low + ((uint64_t)1 << shift) - 1, hist->max);
        }
    }
    return 0;
}

#endif
