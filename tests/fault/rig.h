/* SPDX-License-Identifier: MIT */
/*
 * What the fault tests of the library share: an engine of the kind asked for, a server on it whose
 * answers can be foretold byte for byte, calls that check them, and what this process holds of the
 * kernel's things before and after.
 *
 * Everything runs on one thread. Waiting is for a condition, with a deadline.
 */
#ifndef WEIR_TESTS_FAULT_RIG_H
#define WEIR_TESTS_FAULT_RIG_H

#include <weir/weir.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MS  UINT64_C(1000000)
#define KIB 1024
#define MIB (1024 * KIB)

/* Long enough for a machine that is busy with something else; only a failure waits for it. */
#define WAIT_NS (20000 * MS)

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- What the process holds -------------------------------------------------------------- */

struct held {
    unsigned descriptors;
    unsigned threads;
    uint64_t resident_bytes;
};

static inline unsigned entries_of(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static inline uint64_t resident_bytes(void)
{
    unsigned long long size;
    unsigned long long resident;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu %llu", &size, &resident), 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static inline struct held held_now(void)
{
    return (struct held){ .descriptors = entries_of("/proc/self/fd"),
                          .threads = entries_of("/proc/self/task"),
                          .resident_bytes = resident_bytes() };
}

/* The kernel takes a ring apart after its descriptor is closed, helpers included: that is waited
 * for. Sanitizers keep freed memory, so that it is not looked at there. */
static inline void held_as_before(const struct held *before, uint64_t slack_bytes)
{
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    struct held now = held_now();
    while ((now.descriptors != before->descriptors || now.threads != before->threads) &&
           weir_clock_ns() < until_ns) {
        poll(NULL, 0, 1);
        now = held_now();
    }
    assert_int_equal(now.descriptors, before->descriptors);
    assert_int_equal(now.threads, before->threads);
    if (!SANITIZED && now.resident_bytes > before->resident_bytes)
        assert_in_range(now.resident_bytes - before->resident_bytes, 0, slack_bytes);
}

/* No thread of the kernel's works for this process: nothing it asked the ring for had to wait in
 * one. */
static inline void no_kernel_worker(void)
{
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300];
        char name[32] = "";
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue; /* it has ended meanwhile */
        if (fgets(name, sizeof name, file) != NULL && strncmp(name, "iou-wrk", 7) == 0)
            fail_msg("a thread of the kernel's: %s", name);
        fclose(file);
    }
    closedir(dir);
}

/* ---- The engine -------------------------------------------------------------------------- */

/* Which ring the tests are to run on: WEIR_RING, else io_uring; "oldest" is io_uring without any
 * feature that is newer than the oldest kernel supported. */
static inline const char *ring_wanted(void)
{
    const char *name = getenv("WEIR_RING");
    return name == NULL || *name == '\0' ? "uring" : name;
}

static inline bool ring_is_uring(void)
{
    return strcmp(ring_wanted(), "epoll") != 0;
}

/* The defaults, for the ring that is wanted. */
static inline void engine_defaults(struct weir_engine_config *cfg)
{
    bool oldest = strcmp(ring_wanted(), "oldest") == 0;
    weir_engine_config_init(cfg);
    cfg->ring_disable = oldest ? weir_ring_features() : NULL;
    if (weir_parse_ring(&cfg->ring, oldest ? "uring" : ring_wanted()) < 0)
        fail_msg("WEIR_RING: %s", weir_error_text());
}

/* ---- The bytes of bodies ----------------------------------------------------------------- */

#define PATTERN_BYTES (4U * MIB)
#define SUM_START     UINT64_C(0xcbf29ce484222325)

static uint8_t pattern[PATTERN_BYTES];

/* Every page is touched here, so that it does not count as memory that a test used. */
static inline int pattern_fill(void **state)
{
    (void)state;
    uint64_t x = 1;
    for (size_t i = 0; i < sizeof pattern; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        pattern[i] = (uint8_t)('!' + (x >> 33) % 90);
    }
    return 0;
}

/* FNV-1a, 64 bits. */
static inline uint64_t sum_add(uint64_t sum, struct weir_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        sum = (sum ^ bytes.ptr[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* ---- The server -------------------------------------------------------------------------- */

#define JOBS_MAX 8192

/*
 * What it serves:
 *   /sum           the length of the request's body and its sum
 *   /wait          the same, at rig.wait_ns
 *   /hold          the same, when rig.release says so
 *   /copy?N /borrow?N /stream?N   the first N bytes of the pattern, given in that way
 */
enum job_kind { JOB_SUM, JOB_WAIT, JOB_HOLD, JOB_COPY, JOB_BORROW, JOB_STREAM };

struct job {
    struct weir_exchange *exchange;
    struct rig *rig;
    struct job *next_free;
    struct weir_timer timer; /* to answer, or to try it again */
    enum job_kind kind;
    uint64_t in_bytes, in_sum;
    uint64_t out_bytes, out_at;
    bool begun, complete;
};

struct rig {
    struct weir_engine *engine;
    struct weir_server *server;
    struct weir_engine_config engine_cfg;
    struct weir_server_config server_cfg;
    struct sockaddr_in addr;
    char endpoint[64];
    uint64_t wait_ns;
    bool release;
    uint64_t requests, ends, broken; /* broken: ended with an error */
    struct held before;
    struct job *free_jobs;
    struct job jobs[JOBS_MAX];
};

static struct rig rig;

static inline void job_answer(struct job *job);

static inline void job_again(struct job *job)
{
    struct weir_engine *engine = job->rig->engine;
    weir_timer_set(engine, &job->timer, weir_engine_now_ns(engine) + MS);
}

static inline void job_on_timer(struct weir_timer *timer, void *ctx)
{
    struct job *job = ctx;
    (void)timer;
    if (job->kind == JOB_HOLD && !job->rig->release)
        job_again(job);
    else
        job_answer(job);
}

static inline void job_stream(struct job *job)
{
    int rc = 0;
    if (!job->begun) {
        rc = weir_exchange_begin(job->exchange, &(struct weir_response){ .status = 200 });
        job->begun = rc == 0;
    }
    while (rc == 0 && job->out_at < job->out_bytes) {
        /* Pieces of all lengths, also longer than one unit of output memory. */
        uint64_t piece = 1 + job->out_at * 31 % 9000;
        piece = piece < job->out_bytes - job->out_at ? piece : job->out_bytes - job->out_at;
        rc =
            weir_exchange_write(job->exchange, (struct weir_slice){ pattern + job->out_at, piece });
        if (rc == 0)
            job->out_at += piece;
    }
    if (rc == 0 && job->out_at == job->out_bytes) {
        rc = weir_exchange_finish(job->exchange);
        job->complete = rc == 0;
    }
    if (rc == -ENOBUFS && !job->begun)
        job_again(job); /* begun, on_writable comes */
    else if (rc != -ENOBUFS && rc != -EPIPE)
        assert_int_equal(rc, 0);
}

static inline void job_answer(struct job *job)
{
    char text[64];
    weir_timer_cancel(&job->timer);
    if (job->complete)
        return;
    if (job->kind == JOB_STREAM) {
        job_stream(job);
        return;
    }
    struct weir_response response = { .status = 200 };
    if (job->kind <= JOB_HOLD) {
        int len =
            snprintf(text, sizeof text, "%" PRIu64 " %016" PRIx64 "\n", job->in_bytes, job->in_sum);
        response.body = (struct weir_slice){ (const uint8_t *)text, (size_t)len };
    } else {
        response.body = (struct weir_slice){ pattern, job->out_bytes };
        response.how = job->kind == JOB_BORROW ? WEIR_BODY_BORROW : WEIR_BODY_COPY;
    }
    int rc = weir_exchange_respond(job->exchange, &response);
    job->complete = rc == 0;
    if (rc == -ENOBUFS)
        job_again(job);
    else if (rc != -EPIPE)
        assert_int_equal(rc, 0);
}

static inline enum job_kind job_kind_of(struct weir_slice path)
{
    static const char *const paths[] = {
        [JOB_SUM] = "/sum",   [JOB_WAIT] = "/wait",     [JOB_HOLD] = "/hold",
        [JOB_COPY] = "/copy", [JOB_BORROW] = "/borrow", [JOB_STREAM] = "/stream"
    };
    for (int kind = JOB_SUM; kind <= JOB_STREAM; kind++)
        if (path.len == strlen(paths[kind]) && memcmp(path.ptr, paths[kind], path.len) == 0)
            return (enum job_kind)kind;
    fail_msg("a request for '%.*s'", (int)path.len, (const char *)path.ptr);
    return JOB_SUM;
}

static inline void on_request(struct weir_exchange *exchange, void *ctx)
{
    struct rig *r = ctx;
    struct job *job = r->free_jobs;
    assert_non_null(job);
    r->free_jobs = job->next_free;
    r->requests++;
    *job = (struct job){ .exchange = exchange,
                         .rig = r,
                         .kind = job_kind_of(weir_exchange_path(exchange)),
                         .in_sum = SUM_START };
    weir_timer_init(&job->timer, job_on_timer, job);
    struct weir_slice query = weir_exchange_query(exchange);
    for (size_t i = 0; i < query.len; i++)
        job->out_bytes = job->out_bytes * 10 + (uint64_t)(query.ptr[i] - '0');
    assert_in_range(job->out_bytes, 0, PATTERN_BYTES);
    weir_exchange_set_user(exchange, job);
}

static inline void on_body(struct weir_exchange *exchange, struct weir_slice piece, bool last,
                           void *ctx)
{
    struct rig *r = ctx;
    struct job *job = weir_exchange_user(exchange);
    job->in_bytes += piece.len;
    job->in_sum = sum_add(job->in_sum, piece);
    if (!last)
        return;
    if (job->kind == JOB_WAIT)
        weir_timer_set(r->engine, &job->timer, weir_engine_now_ns(r->engine) + r->wait_ns);
    else if (job->kind == JOB_HOLD)
        job_again(job);
    else
        job_answer(job);
}

static inline void on_writable(struct weir_exchange *exchange, void *ctx)
{
    (void)ctx;
    job_answer(weir_exchange_user(exchange));
}

static inline void on_end(struct weir_exchange *exchange, int err, void *ctx)
{
    struct rig *r = ctx;
    struct job *job = weir_exchange_user(exchange);
    assert_ptr_equal(job->exchange, exchange);
    assert_true(err != 0 || job->complete);
    weir_timer_cancel(&job->timer);
    job->exchange = NULL;
    job->next_free = r->free_jobs;
    r->free_jobs = job;
    r->ends++;
    r->broken += err != 0;
}

/* ---- Life -------------------------------------------------------------------------------- */

static inline struct weir_engine_stats engine_stats(void)
{
    struct weir_engine_stats stats = { .size = sizeof stats };
    weir_engine_stats(rig.engine, &stats);
    return stats;
}

static inline struct weir_server_stats server_stats(void)
{
    struct weir_server_stats stats = { .size = sizeof stats };
    weir_server_stats(rig.server, &stats);
    return stats;
}

static inline void turn(void)
{
    assert_int_equal(weir_engine_run_once(rig.engine, MS), 0);
}

/* Run the engine until the condition holds. */
#define RIG_UNTIL(condition)                                                                       \
    do {                                                                                           \
        uint64_t until_ns_ = weir_clock_ns() + WAIT_NS;                                            \
        while (!(condition)) {                                                                     \
            if (weir_clock_ns() > until_ns_)                                                       \
                fail_msg("%s:%d: waited in vain: %s", __FILE__, __LINE__, #condition);             \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static inline int rig_setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    for (size_t i = 0; i < JOBS_MAX; i++) {
        rig.jobs[i].next_free = rig.free_jobs;
        rig.free_jobs = &rig.jobs[i];
    }
    engine_defaults(&rig.engine_cfg);
    weir_server_config_init(&rig.server_cfg);
    rig.server_cfg.listen = "127.0.0.1:0";
    rig.server_cfg.date = false;
    rig.server_cfg.body_bytes_max = PATTERN_BYTES;
    rig.before = held_now();
    return 0;
}

static inline void engine_open(struct weir_engine **out)
{
    if (weir_engine_open(out, &rig.engine_cfg) < 0)
        fail_msg("%s", weir_error_text());
}

/* Start serving with the configurations of the rig. */
static inline void rig_serve(void)
{
    static const struct weir_server_handler handler = {
        .on_request = on_request, .on_body = on_body, .on_writable = on_writable, .on_end = on_end
    };
    engine_open(&rig.engine);
    if (weir_server_open(&rig.server, rig.engine, &rig.server_cfg, &handler, &rig) < 0)
        fail_msg("%s", weir_error_text());
    const char *address = weir_server_address(rig.server);
    snprintf(rig.endpoint, sizeof rig.endpoint, "http://%s", address);
    rig.addr = (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_addr = { htonl(INADDR_LOOPBACK) },
                                     .sin_port = htons(
                                         (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10)) };
}

/* No attempt to connect is under way: closing the client would give it up, and it would count as
 * closed and never have counted as connected. */
static inline bool client_settled(const struct weir_client *client)
{
    struct weir_client_stats stats = { .size = sizeof stats };
    weir_client_stats(client, &stats);
    return stats.connecting_now == 0;
}

/* Nothing is open or in progress, and the books balance. */
static inline void rig_balanced(void)
{
    RIG_UNTIL(server_stats().conns_now == 0 && server_stats().exchanges_now == 0 &&
              engine_stats().zc_pending_now == 0);
    struct weir_server_stats s = server_stats();
    struct weir_engine_stats e = engine_stats();
    assert_int_equal(rig.ends, rig.requests);
    assert_int_equal(s.requests, rig.requests);
    assert_int_equal(s.responses, rig.requests - rig.broken);
    assert_int_equal(s.aborted, rig.broken);
    assert_int_equal(s.conns, e.accepted);
    assert_int_equal(e.closed, e.accepted + e.connected);
    assert_int_equal(e.send_chunks_now, 0);
    assert_int_equal(e.stash_blocks_now, 0);
    assert_int_equal(e.unexpected, 0);
    no_kernel_worker();
}

static inline void rig_end(uint64_t slack_bytes)
{
    assert_int_equal(weir_server_close(rig.server), 0);
    assert_int_equal(rig.ends, rig.requests);
    assert_int_equal(weir_engine_close(rig.engine), 0);
    held_as_before(&rig.before, slack_bytes);
}

/* ---- Calls of the library's client -------------------------------------------------------- */

/* One request, with or without a body of the pattern, and what came of it. */
struct fetch {
    struct weir_call call;
    char target[32];
    enum job_kind kind;
    uint64_t body_bytes; /* sent */
    uint64_t want_bytes; /* to come, for the kinds that give the pattern */
    uint64_t at;
    char text[64];
    bool equal; /* so far */
    unsigned ends;
    int err;
};

static inline void fetch_on_body(struct weir_call *call, struct weir_slice piece)
{
    struct fetch *f = call->ctx;
    if (f->kind >= JOB_COPY) {
        f->equal = f->equal && f->at + piece.len <= f->want_bytes &&
                   memcmp(pattern + f->at, piece.ptr, piece.len) == 0;
    } else {
        f->equal = f->equal && f->at + piece.len < sizeof f->text;
        if (f->equal)
            memcpy(f->text + f->at, piece.ptr, piece.len);
    }
    f->at += piece.len;
}

static inline void fetch_on_end(struct weir_call *call, int err)
{
    struct fetch *f = call->ctx;
    f->ends++;
    f->err = err;
}

static inline void fetch_init(struct fetch *f, enum job_kind kind, uint64_t bytes)
{
    static const char *const names[] = { "sum", "wait", "hold", "copy", "borrow", "stream" };
    static const struct weir_call_handler handler = { .on_body = fetch_on_body,
                                                      .on_end = fetch_on_end };
    *f = (struct fetch){ .kind = kind, .equal = true };
    if (kind >= JOB_COPY)
        f->want_bytes = bytes;
    else
        f->body_bytes = bytes;
    int len = snprintf(f->target, sizeof f->target, kind >= JOB_COPY ? "/%s?%" PRIu64 : "/%s",
                       names[kind], bytes);
    f->call.request.target = (struct weir_slice){ (const uint8_t *)f->target, (size_t)len };
    f->call.request.method = f->body_bytes > 0 ? WEIR_TEXT("POST") : WEIR_TEXT("GET");
    f->call.request.body = (struct weir_slice){ pattern, f->body_bytes };
    f->call.handler = &handler;
    f->call.ctx = f;
}

/* It ended once, well, and with exactly the right bytes. */
static inline void fetch_right(const struct fetch *f)
{
    char text[64];
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->err, 0);
    assert_int_equal(f->call.status, 200);
    assert_true(f->equal);
    if (f->kind >= JOB_COPY) {
        assert_int_equal(f->at, f->want_bytes);
        return;
    }
    snprintf(text, sizeof text, "%" PRIu64 " %016" PRIx64 "\n", f->body_bytes,
             sum_add(SUM_START, f->call.request.body));
    assert_string_equal(f->text, text);
}

/* Send; when output memory is short, another time. @return whether it is on its way */
static inline bool fetch_send(struct weir_client *client, struct fetch *f)
{
    int rc = weir_client_send(client, &f->call);
    if (rc == -ENOBUFS)
        return false;
    if (rc < 0)
        fail_msg("%s: %s", weir_err_name(rc), weir_error_text());
    return true;
}

/* A client of the rig's server. */
static inline struct weir_client *client_open(struct weir_engine *engine, uint32_t conns_max,
                                              uint32_t pipeline_max)
{
    struct weir_client *client;
    struct weir_client_config cfg;
    weir_client_config_init(&cfg);
    cfg.conns_min = 0;
    cfg.endpoint = rig.endpoint;
    cfg.head_bytes_max = 4096; /* the smallest block of stash memory holds it */
    cfg.conns_max = conns_max;
    cfg.pipeline_max = pipeline_max;
    if (weir_client_open(&client, engine, &cfg) < 0)
        fail_msg("%s", weir_error_text());
    return client;
}

/* ---- Raw peers --------------------------------------------------------------------------- */

#define PEER_TEXT_BYTES 1024

/* A socket of the test's own, not blocking. What it receives is kept up to PEER_TEXT_BYTES. */
struct peer {
    int fd;
    size_t at;
    char text[PEER_TEXT_BYTES + 1];
    bool eof, reset;
};

static inline void peer_dial(struct peer *p)
{
    p->at = 0;
    p->text[0] = '\0';
    p->eof = p->reset = false;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(p->fd >= 0);
    /* Little room, so that what it does not read stays with the server. */
    int bytes = 4 * KIB;
    assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
    /* On the loopback the kernel connects it, whether the server accepts or not. */
    assert_int_equal(connect(p->fd, (const struct sockaddr *)&rig.addr, sizeof rig.addr), 0);
}

static inline void peer_send(struct peer *p, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(send(p->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT), len);
}

/* Take what is there. @return whether the connection is over */
static inline bool peer_take(struct peer *p)
{
    while (!p->eof && !p->reset && p->at < PEER_TEXT_BYTES) {
        ssize_t n = recv(p->fd, p->text + p->at, PEER_TEXT_BYTES - p->at, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            assert_int_equal(errno, ECONNRESET);
        p->reset = n < 0;
        p->eof = n == 0;
        p->at += n > 0 ? (size_t)n : 0;
        p->text[p->at] = '\0';
    }
    return p->eof || p->reset;
}

static inline bool peer_has(struct peer *p, const char *text)
{
    peer_take(p);
    return strstr(p->text, text) != NULL;
}

/* Close: with a reset, or with what the kernel makes of it. */
static inline void peer_close(struct peer *p, bool reset)
{
    struct linger linger = { .l_onoff = reset };
    assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(p->fd);
    p->fd = -1;
}

#define SUM_OF_NOTHING "0 cbf29ce484222325\n"
#define SUM_ANSWER     "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n" SUM_OF_NOTHING
#define GET_SUM        "GET /sum HTTP/1.1\r\nHost: test\r\n\r\n"

/* The server still serves: a fresh connection, one request, its whole answer. */
static inline void rig_serves(void)
{
    struct peer p;
    peer_dial(&p);
    peer_send(&p, GET_SUM);
    RIG_UNTIL(peer_has(&p, SUM_OF_NOTHING));
    assert_string_equal(p.text, SUM_ANSWER);
    peer_close(&p, false);
}

#endif
