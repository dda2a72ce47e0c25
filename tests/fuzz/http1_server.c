/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: one connection of a server. The first six bytes choose the limits, how each request
 * is answered, the cuts and the faults; the rest is what the peer sends. The engine, its sockets
 * and the server are the real ones, on the ring of the simulator.
 *
 * The bytes are sent twice: at once into a quiet world, then cut into pieces into one where chance
 * is at work. Both times:
 *
 *   - what comes back is a sequence of valid answers, the right one for each request that ended
 *     well, and nothing is delivered behind a refusal
 *   - the requests are those of the other run, and those that the reference found, a reader that
 *     knows only the simplest form of everything
 *   - in the end nothing is left: no connection, no exchange, no memory, no timer
 */
#include "core/engine.h"
#include "tests/sim/ring_sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weir/weir.h>

#define CHOICES         6
#define INPUT_BYTES_MAX 4096
#define REQUESTS_MAX    512
#define STORE_BYTES     (4 * INPUT_BYTES_MAX)
#define OUTPUT_BYTES    (2u << 20)

#define DEMAND(x) ((x) ? (void)0 : demand_failed(#x, __LINE__))

/* How a request is answered. */
enum how {
    HOW_NOW,         /* before its body */
    HOW_BODY,        /* behind its body */
    HOW_LATE,        /* some time after its head */
    HOW_BODY_LATE,   /* some time after its body */
    HOW_STREAM,      /* in pieces, behind its body */
    HOW_STREAM_LATE, /* begun before its body, the pieces one after the other */
    HOW_BORROW,      /* from memory of ours */
    HOW_COUNT
};

struct plan {
    enum how how;
    uint16_t status;
    size_t body_at, body_bytes;
    bool close;
};

/* A request as it was delivered, or as the reference read it. */
struct request {
    struct weir_slice method, target, body;
    bool whole; /* the end of the body was seen */
    /* of a delivered one */
    struct world *world;
    struct weir_exchange *exchange;
    struct weir_timer timer;
    struct plan plan;
    size_t put_bytes;
    bool begun, answered, retry, ended;
    int err;
};

struct requests {
    struct request at[REQUESTS_MAX];
    size_t count;
    uint8_t store[STORE_BYTES];
    size_t stored;
};

/* One run. */
struct world {
    struct sim_world sim;
    const uint8_t *choice;
    struct weir_engine *engine;
    struct weir_server *server;
    struct requests requests;
    uint64_t refused;
    size_t ended_count;
    int fd; /* the peer's */
    bool output_ended;
    bool torn;   /* by a reset: the end of the output may be missing */
    bool tunnel; /* what follows is no answer any more */
    uint8_t output[OUTPUT_BYTES];
    size_t output_bytes;
    size_t limit; /* requests that do not depend on time: up to an answer that closes */
};

static struct world quiet, noisy;
static struct requests reference;
static uint8_t content[256 + 4096];
static bool running;

static _Noreturn void demand_failed(const char *what, int line)
{
    fprintf(stderr, "line %d: not so: %s\n", line, what);
    abort();
}

/*
 * The simulator ends the process with _exit() when it finds a rule broken; a fuzzer takes that for
 * the wish of the program, and keeps no input. It is a crash.
 */
_Noreturn void _exit(int status)
{
    if (running)
        abort();
    for (;;)
        syscall(SYS_exit_group, status);
}

/* ---- The reference ----------------------------------------------------------------------- */

struct text {
    const uint8_t *at, *end;
};

/* The line up to CR LF, which is taken, too. False: there is none, or it has an odd byte. */
static bool take_line(struct text *text, struct weir_slice *line)
{
    const uint8_t *p = text->at;
    while (p < text->end && *p >= 0x20 && *p < 0x7f)
        p++;
    if (text->end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return false;
    *line = (struct weir_slice){ text->at, (size_t)(p - text->at) };
    text->at = p + 2;
    return true;
}

/* Take the longest beginning of `line` that consists of these bytes. */
static struct weir_slice take_of(struct weir_slice *line, const char *bytes)
{
    struct weir_slice taken = { line->ptr, 0 };
    while (taken.len < line->len && line->ptr[taken.len] != 0 &&
           strchr(bytes, line->ptr[taken.len]) != NULL)
        taken.len++;
    line->ptr += taken.len;
    line->len -= taken.len;
    return taken;
}

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGIT "0123456789"

static bool is_text(struct weir_slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static bool is_name(struct weir_slice s, const char *lower)
{
    if (s.len != strlen(lower))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] + 32 : s.ptr[i]) != (uint8_t)lower[i])
            return false;
    return true;
}

static size_t number_of(struct weir_slice digits, unsigned base)
{
    size_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned c = digits.ptr[i];
        n = n * base + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return n;
}

struct framing {
    bool host, length, chunked;
    size_t bytes;
    size_t fields;
};

static bool reference_field(struct weir_slice line, struct framing *f)
{
    struct weir_slice name = take_of(&line, UPPER LOWER DIGIT "-");
    if (name.len == 0 || take_of(&line, ":").len != 1)
        return false;
    (void)take_of(&line, " ");
    struct weir_slice value = line;
    f->fields++;
    if (is_name(name, "host")) {
        bool twice = f->host;
        f->host = true;
        return !twice && take_of(&line, LOWER).len == value.len && value.len > 0;
    }
    bool again = f->length || f->chunked;
    if (is_name(name, "content-length")) {
        f->length = true;
        f->bytes = number_of(value, 10);
        return !again && take_of(&line, DIGIT).len == value.len && value.len - 1 < 6;
    }
    if (is_name(name, "transfer-encoding")) {
        f->chunked = true;
        return !again && is_text(value, "chunked");
    }
    return !is_name(name, "connection") && !is_name(name, "expect");
}

static void store(struct requests *r, struct weir_slice *out, struct weir_slice more)
{
    DEMAND(r->stored + more.len <= STORE_BYTES);
    DEMAND(out->len == 0 || out->ptr + out->len == r->store + r->stored);
    if (out->len == 0)
        out->ptr = r->store + r->stored;
    if (more.len > 0)
        memcpy(r->store + r->stored, more.ptr, more.len);
    r->stored += more.len;
    out->len += more.len;
}

static bool reference_chunks(struct requests *r, struct text *text, struct weir_slice *body)
{
    for (;;) {
        struct weir_slice line, none;
        if (!take_line(text, &line))
            return false;
        struct weir_slice digits = take_of(&line, DIGIT "abcdefABCDEF");
        if (digits.len - 1 >= 6 || line.len > 0)
            return false;
        size_t bytes = number_of(digits, 16);
        if ((size_t)(text->end - text->at) < bytes)
            return false;
        store(r, body, (struct weir_slice){ text->at, bytes });
        text->at += bytes;
        if (!take_line(text, &none) || none.len > 0)
            return false;
        if (bytes == 0)
            return true;
    }
}

/* One request at the front of `text`. False: there is none that the reference can read. */
static bool reference_take(struct requests *r, struct text *text,
                           const struct weir_server_config *cfg)
{
    struct request *q = &r->at[r->count];
    struct framing f = { .fields = 0 };
    struct weir_slice line;
    const uint8_t *begin = text->at;
    *q = (struct request){ .whole = true };
    if (!take_line(text, &line))
        return false;
    struct weir_slice method = take_of(&line, UPPER);
    if (method.len - 1 >= 16 || is_text(method, "CONNECT") || take_of(&line, " ").len != 1)
        return false;
    struct weir_slice target = take_of(&line, UPPER LOWER DIGIT "/.?=&");
    if (target.len == 0 || target.ptr[0] != '/' || !is_text(line, " HTTP/1.1"))
        return false;
    do {
        if (!take_line(text, &line) || (line.len > 0 && !reference_field(line, &f)))
            return false;
    } while (line.len > 0);
    if (!f.host || f.fields > cfg->fields_max || target.len > cfg->target_bytes_max ||
        (size_t)(text->at - begin) > cfg->head_bytes_max)
        return false;
    store(r, &q->method, method);
    store(r, &q->target, target);
    if (f.chunked && !reference_chunks(r, text, &q->body))
        return false;
    if (f.length) {
        if ((size_t)(text->end - text->at) < f.bytes)
            return false;
        store(r, &q->body, (struct weir_slice){ text->at, f.bytes });
        text->at += f.bytes;
    }
    return q->body.len <= cfg->body_bytes_max;
}

/* @return were there only requests, to the last byte? */
static bool reference_read(struct requests *r, struct weir_slice bytes,
                           const struct weir_server_config *cfg)
{
    struct text text = { bytes.ptr, bytes.ptr + bytes.len };
    r->count = r->stored = 0;
    while (r->count < REQUESTS_MAX - 1) {
        struct text rest = text;
        if (!reference_take(r, &rest, cfg))
            break;
        text = rest;
        r->count++;
    }
    return text.at == text.end;
}

/* ---- The application --------------------------------------------------------------------- */

static uint32_t mix(uint32_t a, uint32_t b)
{
    uint32_t x = a * 0x9e3779b9u ^ (b + 1) * 0x85ebca6bu;
    x ^= x >> 15;
    x *= 0x2c1b3c6du;
    return x ^ x >> 13;
}

static struct plan plan_of(const uint8_t *choice, size_t index)
{
    static const uint16_t statuses[] = { 200, 200, 200, 200, 201, 204, 304, 404 };
    uint32_t random = mix(choice[1], (uint32_t)index);
    return (struct plan){
        .how = (enum how)(random % HOW_COUNT),
        .status = statuses[(random >> 4) % 8],
        .body_at = (random >> 8) % 256,
        .body_bytes = (random >> 16) % ((random >> 7 & 7) == 0 ? 3000 : 40),
        .close = random >> 28 == 0,
    };
}

static bool plan_streams(const struct plan *plan)
{
    return plan->how == HOW_STREAM || plan->how == HOW_STREAM_LATE;
}

/* Is the body read to its end before the answer? */
static bool plan_reads(const struct plan *plan)
{
    return plan->how != HOW_NOW && plan->how != HOW_LATE && plan->how != HOW_STREAM_LATE;
}

static void timer_set(struct request *q)
{
    struct weir_engine *engine = q->world->engine;
    uint64_t wait = sim_below(&q->world->sim, SIM_MS);
    weir_timer_set(engine, &q->timer, weir_engine_now_ns(engine) + wait);
}

/* A piece of a streamed answer, or its end. @return as the library says; 1: the rest comes later */
static int stream(struct request *q)
{
    const struct plan *plan = &q->plan;
    while (q->put_bytes < plan->body_bytes) {
        size_t n = weir_min_u64(plan->body_bytes - q->put_bytes, 1 + plan->body_at * 4);
        int rc = weir_exchange_write(
            q->exchange, (struct weir_slice){ content + plan->body_at + q->put_bytes, n });
        if (rc != 0)
            return rc;
        q->put_bytes += n;
        if (plan->how == HOW_STREAM_LATE) {
            timer_set(q);
            return 1;
        }
    }
    return weir_exchange_finish(q->exchange);
}

static struct weir_server_stats stats_of(const struct world *w)
{
    struct weir_server_stats stats = { .size = sizeof stats };
    weir_server_stats(w->server, &stats);
    return stats;
}

static void answer(struct request *q)
{
    const struct plan *plan = &q->plan;
    struct weir_response response = {
        .status = plan->status,
        .content_type = plan->body_at % 2 == 0 ? WEIR_TEXT("text/plain") : WEIR_TEXT(""),
        .how = plan->how == HOW_BORROW ? WEIR_BODY_BORROW : WEIR_BODY_COPY,
        .close = plan->close,
    };
    int rc = 0;
    if (q->exchange == NULL || q->answered)
        return;
    if (!plan_streams(plan)) {
        response.body = (struct weir_slice){ content + plan->body_at, plan->body_bytes };
        rc = weir_exchange_respond(q->exchange, &response);
    } else if (!q->begun) {
        rc = weir_exchange_begin(q->exchange, &response);
        q->begun = rc == 0;
    }
    if (rc == 0 && plan_streams(plan))
        rc = stream(q);
    q->retry = rc == -ENOBUFS;
    q->answered = rc == 0;
    /* -EALREADY: the server has refused its body in the meantime. */
    DEMAND(rc >= 0 || rc == -ENOBUFS || rc == -EPIPE || rc == -EALREADY || rc == -EINVAL);
    DEMAND((rc != -EALREADY && rc != -EINVAL) || stats_of(q->world).refused > 0);
}

static void on_due(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    answer(ctx);
}

static void on_request(struct weir_exchange *exchange, void *ctx)
{
    struct world *w = ctx;
    struct requests *r = &w->requests;
    DEMAND(stats_of(w).refused == 0 && r->count < REQUESTS_MAX);
    struct request *q = &r->at[r->count];
    *q = (struct request){ .world = w, .exchange = exchange, .plan = plan_of(w->choice, r->count) };
    r->count++;
    store(r, &q->method, weir_exchange_method(exchange));
    store(r, &q->target, weir_exchange_target(exchange));
    weir_timer_init(&q->timer, on_due, q);
    weir_exchange_set_user(exchange, q);
    /* What can be asked must be in order whatever the request is. */
    for (size_t i = 0; i < weir_exchange_headers_count(exchange); i++) {
        struct weir_header h = weir_exchange_header_at(exchange, i);
        DEMAND(weir_http1_is_token(h.name) && weir_http1_is_field_value(h.value));
    }
    DEMAND(weir_http1_is_token(q->method) && weir_exchange_path(exchange).len > 0);
    if (q->plan.how == HOW_NOW || q->plan.how == HOW_STREAM_LATE)
        answer(q);
    else if (q->plan.how == HOW_LATE)
        timer_set(q);
}

static void on_body(struct weir_exchange *exchange, struct weir_slice piece, bool last, void *ctx)
{
    struct request *q = weir_exchange_user(exchange);
    struct world *w = ctx;
    DEMAND(q->exchange == exchange && !q->whole && !q->answered);
    /* The requests of a connection come one after the other, so do their bodies. */
    DEMAND(q == &w->requests.at[w->requests.count - 1]);
    store(&w->requests, &q->body, piece);
    q->whole = last;
    if (last && q->plan.how == HOW_BODY_LATE)
        timer_set(q);
    else if (last && plan_reads(&q->plan))
        answer(q);
}

static void on_writable(struct weir_exchange *exchange, void *ctx)
{
    struct request *q = weir_exchange_user(exchange);
    (void)ctx;
    DEMAND(q->exchange == exchange && q->retry);
    answer(q);
}

static void on_end(struct weir_exchange *exchange, int err, void *ctx)
{
    struct request *q = weir_exchange_user(exchange);
    struct world *w = ctx;
    DEMAND(q->exchange == exchange && !q->ended);
    DEMAND(err != 0 || q->answered);
    q->ended = true;
    q->exchange = NULL;
    q->err = err;
    w->ended_count++;
    weir_timer_cancel(&q->timer);
}

/* ---- The world --------------------------------------------------------------------------- */

static struct weir_server_config server_config(const uint8_t *choice)
{
    static const uint32_t pipelines[] = { 64, 1, 2, 3 };
    struct weir_server_config cfg;
    weir_server_config_init(&cfg);
    cfg.listen = "127.0.0.1:0";
    cfg.backlog = 4;
    cfg.conns_max = 2;
    cfg.pipeline_max = pipelines[choice[0] % 4];
    cfg.exchanges_max = (choice[0] & 4) != 0 ? 2 : 128;
    cfg.body_bytes_max = (choice[0] & 8) != 0 ? 16 : 1u << 20;
    cfg.head_bytes_max = (choice[0] & 16) != 0 ? 256 : 4096;
    cfg.target_bytes_max = (choice[0] & 16) != 0 ? 64 : 2048;
    cfg.fields_max = (choice[0] & 16) != 0 ? 8 : 100;
    cfg.date = (choice[0] & 32) != 0;
    /* The requests shall not depend on the time they take. */
    cfg.head_timeout_ns = cfg.body_timeout_ns = cfg.idle_timeout_ns = cfg.write_timeout_ns = 0;
    return cfg;
}

static void engine_open(struct world *w, bool noise)
{
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    cfg.conns_max = 4;
    cfg.recv_bufs_max = noise ? 2 : 4;
    cfg.recv_buf_bytes = noise && (w->choice[0] & 64) == 0 ? 256 : INPUT_BYTES_MAX;
    /* Room for every answer: one that waits for memory that those behind it have waits for ever. */
    cfg.send_bytes_max = 1u << 20;
    cfg.stash_bytes_max = 1u << 16;
    cfg.stash_block_bytes = 4096;
    cfg.sq_entries = 8;
    cfg.cq_entries = 16;
    cfg.wait = WEIR_WAIT_SLEEP;
    DEMAND(weir_engine_open(&w->engine, &cfg) == 0);
    sim_ring_attach(w->engine);
}

/* Some of the faults that the engine must hide, as often as the input wants them. */
static void faults_choose(struct world *w)
{
    static const uint32_t rates[] = { 0, 20000, 100000, 300000 };
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        if (sim_fault_harmless[i] && mix(w->choice[4], (uint32_t)i) % 4 < w->choice[4] / 4 % 4)
            w->sim.faults.per_million[i] = rates[w->choice[4] % 4];
}

static void peer_open(struct world *w)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    const char *colon = strrchr(weir_server_address(w->server), ':');
    DEMAND(colon != NULL);
    addr.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    w->fd = sim_socket(&w->sim);
    DEMAND(w->fd >= 0);
    sim_connect(&w->sim, w->fd, (const struct sockaddr *)(const void *)&addr);
}

static void world_open(struct world *w, const uint8_t *choice, bool noise)
{
    static const struct weir_server_handler handler = {
        .on_request = on_request,
        .on_body = on_body,
        .on_writable = on_writable,
        .on_end = on_end,
    };
    struct weir_server_config cfg = server_config(choice);
    sim_world_open(&w->sim, choice[3] + (noise ? 256u : 0u));
    w->choice = choice;
    w->requests.count = w->requests.stored = 0;
    w->refused = 0;
    w->ended_count = w->output_bytes = 0;
    w->output_ended = w->torn = w->tunnel = false;
    w->limit = SIZE_MAX;
    if (noise)
        faults_choose(w);
    weir_ring_override = &weir_ring_sim;
    weir_ring_override_arg = &w->sim;
    engine_open(w, noise);
    DEMAND(weir_server_open(&w->server, w->engine, &cfg, &handler, w) == 0);
    peer_open(w);
}

/* @return did it read anything? */
static bool peer_read(struct world *w)
{
    const struct sim_sock *sock = sim_sock(&w->sim, w->fd);
    if (sock->kind == SIM_CONNECTING || w->output_ended)
        return false;
    DEMAND(w->output_bytes < OUTPUT_BYTES);
    size_t most = (w->choice[5] & 1) != 0 ? 100 : OUTPUT_BYTES;
    int64_t n = sim_recv(&w->sim, w->fd, w->output + w->output_bytes,
                         weir_min_u64(most, OUTPUT_BYTES - w->output_bytes));
    if (n == -EAGAIN)
        return false;
    DEMAND(n >= 0 || n == -ECONNRESET);
    w->torn |= n < 0;
    w->output_bytes += n > 0 ? (size_t)n : 0;
    w->output_ended = n <= 0;
    return true;
}

/* A pass of the engine. @return did anything happen? */
static bool pass(struct world *w)
{
    struct weir_engine *engine = w->engine;
    uint64_t before = engine->stats.cqes + engine->stats.timers_fired + w->sim.happened +
                      engine->ring->counters.sqes;
    DEMAND(weir_engine_run_once(engine, 0) == 0);
    sim_ring_check(engine);
    bool read = peer_read(w);
    uint64_t after = engine->stats.cqes + engine->stats.timers_fired + w->sim.happened +
                     engine->ring->counters.sqes;
    return read || before != after || !weir_list_empty(&engine->ready) ||
           !weir_list_empty(&engine->flush) || sim_ring_busy(sim_ring_of(engine->ring));
}

/* Let happen whatever happens by itself. */
static void settle(struct world *w)
{
    for (;;) {
        while (pass(w))
            ;
        uint64_t next = weir_min_u64(sim_next_ns(&w->sim), weir_wheel_next_ns(&w->engine->wheel));
        if (next == UINT64_MAX)
            return;
        sim_advance_to(&w->sim, next);
    }
}

/* Send `piece`. False: nobody takes it any more. */
static bool peer_send(struct world *w, struct weir_slice piece)
{
    while (piece.len > 0) {
        int64_t n = sim_send(&w->sim, w->fd, piece);
        if (n == -EAGAIN) {
            (void)pass(w);
            continue;
        }
        if (n < 0)
            return false;
        piece.ptr += n;
        piece.len -= (size_t)n;
    }
    return true;
}

/* The length of the next piece: bytes, some bytes, or many. */
static size_t piece_bytes(struct world *w)
{
    static const uint32_t most[] = { 1, 4, 40, 600 };
    return sim_between(&w->sim, 1, most[w->choice[2] % 4]);
}

static void play(struct world *w, struct weir_slice bytes, bool noise)
{
    settle(w); /* until it is connected */
    while (bytes.len > 0) {
        size_t n = noise ? weir_min_u64(piece_bytes(w), bytes.len) : bytes.len;
        if (!peer_send(w, (struct weir_slice){ bytes.ptr, n }))
            break;
        bytes.ptr += n;
        bytes.len -= n;
        /* Pieces meet in one pass, or are far apart. */
        for (uint64_t i = noise ? sim_below(&w->sim, 1 + w->choice[2] / 4 % 4) : 0; i > 0; i--)
            (void)pass(w);
        if (noise && sim_below(&w->sim, 16) == 0)
            sim_advance_to(&w->sim, w->sim.now_ns + sim_below(&w->sim, 2 * SIM_MS));
    }
    (void)sim_shutdown(&w->sim, w->fd);
    settle(w);
}

static void world_close(struct world *w)
{
    struct weir_server_stats stats = stats_of(w);
    DEMAND(stats.conns_now == 0 && stats.exchanges_now == 0);
    DEMAND(stats.requests == w->requests.count && w->ended_count == w->requests.count);
    DEMAND(stats.refused <= 1 && stats.timeouts == 0 && w->output_ended);
    w->refused = stats.refused;
    DEMAND(weir_server_close(w->server) == 0);
    sim_ring_check_empty(w->engine);
    DEMAND(weir_engine_close(w->engine) == 0);
    sim_close(&w->sim, w->fd, false);
    sim_world_close(&w->sim);
    weir_ring_override = NULL;
}

/* ---- The answers ------------------------------------------------------------------------- */

/* A body at the front of `text`. @return is it whole? */
static bool body_take(struct text *text, const struct weir_http1_head *head, uint8_t *out,
                      size_t *out_bytes)
{
    struct weir_http1_body body;
    enum weir_parse r = WEIR_PARSE_MORE;
    *out_bytes = 0;
    if (head->framing == WEIR_HTTP1_BODY_NONE)
        return true;
    weir_http1_body_init(&body, head->framing, head->content_length);
    do {
        struct weir_parse_err err;
        struct weir_slice piece, in = { text->at, (size_t)(text->end - text->at) };
        size_t used;
        r = weir_http1_body_feed(&body, in, &used, &piece, &err);
        DEMAND(r != WEIR_PARSE_ERROR && *out_bytes + piece.len <= 4096);
        if (piece.len > 0)
            memcpy(out + *out_bytes, piece.ptr, piece.len);
        *out_bytes += piece.len;
        text->at += used;
    } while (r == WEIR_PARSE_MORE && text->at < text->end);
    return r == WEIR_PARSE_DONE || head->framing == WEIR_HTTP1_BODY_EOF;
}

/* Is that the answer of the plan? */
static bool answer_is(const struct request *q, const struct weir_http1_head *head,
                      const uint8_t *body, size_t body_bytes)
{
    struct weir_slice want = { content + q->plan.body_at, q->plan.body_bytes };
    /* A tunnel has no body; whoever answers CONNECT with one is on his own. */
    if (is_text(q->method, "CONNECT") && q->plan.status / 100 == 2)
        return head->status == q->plan.status;
    if (is_text(q->method, "HEAD") || q->plan.status == 204 || q->plan.status == 304)
        want.len = 0;
    return head->status == q->plan.status && body_bytes == want.len &&
           (want.len == 0 || memcmp(body, want.ptr, want.len) == 0);
}

/* The final answer to request number `index`, or to none. False: there is none, or not all of it */
static bool answer_take(struct world *w, struct text *text, size_t index)
{
    static uint8_t payload[4096];
    static struct weir_http1_field fields[64];
    const struct weir_http1_limits limits = { .head_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
                                              .fields_max = 64 };
    struct request *q = index < w->requests.count ? &w->requests.at[index] : NULL;
    struct weir_http1_head head = { .fields = fields };
    do {
        struct weir_parse_err err;
        uint32_t resume = 0;
        struct weir_slice in = { text->at, (size_t)(text->end - text->at) };
        enum weir_parse r = weir_http1_parse_response(
            &head, &limits, q != NULL ? q->method : WEIR_TEXT("GET"), in, &resume, &err);
        DEMAND(r != WEIR_PARSE_ERROR);
        /* An exchange that is given up in the middle ends where it is; never in a head. */
        DEMAND(r == WEIR_PARSE_DONE || in.len == 0 || w->torn);
        if (r == WEIR_PARSE_MORE)
            return false;
        text->at += head.bytes;
        DEMAND(head.status >= 200 || head.status == 100);
    } while (head.status < 200);
    size_t bytes;
    bool whole = body_take(text, &head, payload, &bytes);
    w->tunnel = q != NULL && is_text(q->method, "CONNECT") && head.status / 100 == 2;
    if (w->tunnel)
        text->at = text->end; /* nobody can tell where it ends */
    if (!head.keep_alive && index < w->limit)
        w->limit = index + 1;
    if (w->torn && !whole)
        return false;
    if (q != NULL && q->err == 0) {
        DEMAND(whole && answer_is(q, &head, payload, bytes));
        return true;
    }
    /* Refused, or torn. */
    DEMAND(w->refused == 1 && (q == NULL || q->begun || head.status >= 400));
    return whole;
}

static void answers_check(struct world *w)
{
    struct text text = { w->output, w->output + w->output_bytes };
    size_t count = 0;
    while (!w->tunnel && answer_take(w, &text, count)) {
        count++;
        DEMAND(count <= w->requests.count + w->refused);
    }
    DEMAND(text.at == text.end);
    /* Who was told that all went well has an answer. */
    for (size_t i = count; i < w->requests.count; i++)
        DEMAND(w->requests.at[i].err != 0 || w->tunnel || w->torn);
}

/* ---- The comparison ---------------------------------------------------------------------- */

/* Do these name the same request? Of the bodies, those that were read to their end. */
static void demand_same(const struct request *a, const struct request *b, bool reads)
{
    DEMAND(weir_slice_eq(a->method, b->method) && weir_slice_eq(a->target, b->target));
    DEMAND(!reads || a->whole == b->whole);
    DEMAND(!reads || !a->whole || weir_slice_eq(a->body, b->body));
}

static void compare(const struct world *a, const struct world *b)
{
    size_t least = weir_min_u64(a->requests.count, b->requests.count);
    size_t limit = weir_min_u64(a->limit, b->limit);
    for (size_t i = 0; i < least && i < limit; i++)
        demand_same(&a->requests.at[i], &b->requests.at[i],
                    plan_reads(&a->requests.at[i].plan) && i + 1 < limit);
    /* What comes behind an answer that closes depends on who is faster. */
    DEMAND(a->requests.count == b->requests.count || limit <= least);
    DEMAND(a->refused == b->refused || limit <= least);
}

static void compare_reference(const struct world *w, bool all)
{
    const struct requests *r = &w->requests;
    for (size_t i = 0; i < reference.count && i < r->count && i < w->limit; i++)
        demand_same(&reference.at[i], &r->at[i], plan_reads(&r->at[i].plan) && i + 1 < w->limit);
    DEMAND(r->count >= reference.count || w->limit <= r->count);
    DEMAND(!all || (r->count <= reference.count && w->refused == 0));
    /* Only who sends more behind his last request is reset. */
    DEMAND(!all || !w->torn || w->limit != SIZE_MAX);
}

static void run(struct world *w, const uint8_t *choice, struct weir_slice bytes, bool noise)
{
    world_open(w, choice, noise);
    play(w, bytes, noise);
    world_close(w);
    answers_check(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CHOICES || size - CHOICES > INPUT_BYTES_MAX)
        return 0;
    const struct weir_slice bytes = { data + CHOICES, size - CHOICES };
    struct weir_server_config cfg = server_config(data);
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)('a' + i * 7 % 26);
    running = true;
    bool all = reference_read(&reference, bytes, &cfg);
    run(&quiet, data, bytes, false);
    run(&noisy, data, bytes, true);
    compare(&quiet, &noisy);
    compare_reference(&quiet, all);
    compare_reference(&noisy, all);
    running = false;
    return 0;
}
