/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a client. The first eight bytes choose the calls, the limits, the cuts and the
 * faults; the rest is what the server's connections answer, the first one its part, the second one
 * the rest. The engine, its sockets and the client are the real ones, on the ring of the simulator.
 * The calls are made twice, in a quiet world and in one where chance is at work. Both times:
 *
 *   - each call ends exactly once
 *   - a call that ends well got the answer that a reference found for it in the bytes that its
 *     connection sent; the reference is liberal in all but what says where an answer ends
 *   - a server that answers in the simplest form, and only what it was asked, is understood
 *   - nothing is sent on a connection behind an answer that failed or was the last
 *   - in the end nothing is left: no connection, no memory, no timer
 */
#include "core/engine.h"
#include "tests/sim/ring_sim.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weir/weir.h>

#define CHOICES         8
#define INPUT_BYTES_MAX 4096
#define CALLS_MAX       4
#define CONNS_MAX       16
#define BODY            "hello"
#define HEAD_SMALL      256
#define FIELDS_SMALL    8
#define INTERIMS_MAX    4 /* fewer than the client takes */

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            demand_failed(#x, __LINE__);                                                           \
    } while (0)

enum verdict { INCOMPLETE, WRONG, COMPLETE };

/* What the reference makes of the bytes for one call. */
struct answer {
    enum verdict verdict;
    bool exact; /* the simplest form: it must be understood */
    bool close;
    uint16_t status;
    size_t end; /* bytes of the connection up to its own */
    size_t body_bytes;
    uint8_t body[INPUT_BYTES_MAX];
};

struct world;

struct call {
    struct weir_call call;
    struct world *world;
    bool headed, ended;
    int err;
    size_t body_bytes;
    uint8_t body[INPUT_BYTES_MAX];
    char target[8];
};

/* A connection, as the server sees it. */
struct conn {
    int fd; /* -1: none, or closed */
    struct weir_slice script;
    size_t sent;
    bool shut, over;
    uint8_t in[4096];
    size_t in_bytes, in_taken;
    size_t calls[CALLS_MAX]; /* what was asked on it, in order */
    size_t calls_count;
    struct answer answers[CALLS_MAX];
    size_t allowed; /* bytes that answer what was asked */
};

struct world {
    struct sim_world sim;
    const uint8_t *choice;
    struct weir_slice script;
    struct weir_engine *engine;
    struct weir_client *client;
    struct call calls[CALLS_MAX];
    size_t calls_count, ended_count;
    uint64_t passes;
    int listener;
    struct conn conns[CONNS_MAX];
    size_t conns_count;
    bool noise, released;
};

static struct world quiet, noisy;
static bool running;

static void demand_failed(const char *what, int line)
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

/* ---- What the input chooses -------------------------------------------------------------- */

/* After its last byte the server ends the connection, or resets it, or goes on listening. */
static bool server_ends(const struct world *w)
{
    return (w->choice[0] & 32) != 0;
}

static bool server_resets(const struct world *w)
{
    return (w->choice[0] & 128) != 0;
}

/* It answers what it was asked, when it was asked. */
static bool server_waits(const struct world *w)
{
    return (w->choice[0] & 64) == 0;
}

enum cancel { CANCEL_NONE, CANCEL_PASS, CANCEL_HEAD, CANCEL_BODY };

static enum cancel cancel_of(const struct world *w)
{
    return w->choice[6] < 192 ? CANCEL_NONE : (enum cancel)(w->choice[6] / 16 % 4);
}

static const struct weir_call *cancelled(struct world *w)
{
    return &w->calls[w->choice[6] % CALLS_MAX].call;
}

static struct weir_slice method_of(const struct world *w, size_t index)
{
    static const struct weir_slice methods[] = {
        { (const uint8_t *)"GET", 3 },
        { (const uint8_t *)"HEAD", 4 },
        { (const uint8_t *)"POST", 4 },
        { (const uint8_t *)"CONNECT", 7 },
    };
    return methods[w->choice[1] >> (2 * index) & 3];
}

static struct weir_client_config client_config(const uint8_t *choice)
{
    static const uint32_t pipelines[] = { 1, 2, 4, 1 };
    struct weir_client_config cfg;
    weir_client_config_init(&cfg);
    cfg.conns_min = 0;
    cfg.retry.no_replay = true; /* the model knows one attempt of each, */
    cfg.drain_bytes_max = 0;    /* which ends with its connection */
    cfg.conns_max = (choice[0] & 16) != 0 ? 2 : 1;
    cfg.pipeline_max = pipelines[choice[0] / 4 % 4];
    cfg.waiting_max = CALLS_MAX;
    cfg.head_bytes_max = (choice[7] & 1) != 0 ? HEAD_SMALL : 4096;
    cfg.fields_max = (choice[7] & 1) != 0 ? FIELDS_SMALL : 100;
    return cfg;
}

/* ---- The reference ----------------------------------------------------------------------- */

struct text {
    const uint8_t *at, *end;
};

struct framing {
    bool length, chunked;
    bool odd;   /* not the simplest form */
    bool wrong; /* nothing can be framed by it */
    uint64_t bytes;
    size_t fields;
};

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

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Up to the next CR LF, which is taken, too. */
static bool take_line(struct text *text, struct weir_slice *line)
{
    const uint8_t *p = memmem(text->at, (size_t)(text->end - text->at), "\r\n", 2);
    if (p == NULL)
        return false;
    *line = (struct weir_slice){ text->at, (size_t)(p - text->at) };
    text->at = p + 2;
    return true;
}

/* Letters, digits and '-', a colon, a space, and text without blanks at its end. */
static bool field_is_plain(struct weir_slice line, size_t colon)
{
    for (size_t i = 0; i < colon; i++)
        if (!is_digit(line.ptr[i]) && (uint8_t)((line.ptr[i] | 32) - 'a') >= 26 &&
            line.ptr[i] != '-')
            return false;
    for (size_t i = colon + 2; i < line.len; i++)
        if (line.ptr[i] <= ' ' || line.ptr[i] >= 0x7f)
            return false;
    return colon > 0 && line.len > colon + 2 && line.ptr[colon + 1] == ' ';
}

static struct weir_slice trimmed(struct weir_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* False: whoever takes this for a number is wrong. */
static bool take_length(struct weir_slice value, struct framing *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.ptr[i]) || n > INT64_MAX / 10)
            return false;
        n = n * 10 + value.ptr[i] - '0';
    }
    bool good = value.len > 0 && (!f->length || f->bytes == n);
    f->odd |= f->length || value.len > 6;
    f->length = true;
    f->bytes = n;
    return good;
}

/* False: no answer can be framed by this. */
static bool reference_field(struct weir_slice line, struct framing *f, struct answer *a)
{
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    f->fields++;
    if (colon == NULL)
        return false;
    struct weir_slice name = { line.ptr, (size_t)(colon - line.ptr) };
    struct weir_slice value = trimmed((struct weir_slice){ colon + 1, line.len - name.len - 1 });
    f->odd |= !field_is_plain(line, name.len);
    if (is_name(name, "content-length"))
        return take_length(value, f);
    if (is_name(name, "transfer-encoding")) {
        f->odd |= f->chunked || !is_text(value, "chunked");
        f->chunked = true;
        return value.len >= 7;
    }
    if (is_name(name, "connection")) {
        a->close |= is_text(value, "close");
        f->odd |= !is_text(value, "close");
    }
    f->odd |= is_name(name, "upgrade");
    return true;
}

/* The head up to and with its empty line. */
static enum verdict reference_head(struct answer *a, struct framing *f, struct text *text)
{
    struct weir_slice line;
    if (!take_line(text, &line))
        return INCOMPLETE;
    if (line.len < 12 || memcmp(line.ptr, "HTTP/1.", 7) != 0 || line.ptr[8] != ' ' ||
        !is_digit(line.ptr[7]) || !is_digit(line.ptr[9]) || !is_digit(line.ptr[10]) ||
        !is_digit(line.ptr[11]))
        return WRONG;
    a->status =
        (uint16_t)((line.ptr[9] - '0') * 100 + (line.ptr[10] - '0') * 10 + (line.ptr[11] - '0'));
    a->close |= line.ptr[7] == '0';
    f->odd |= line.ptr[7] != '1' || line.len < 13 || line.ptr[12] != ' ' || a->status < 100 ||
              a->status > 599;
    for (size_t i = 13; i < line.len; i++)
        f->odd |= line.ptr[i] < ' ' || line.ptr[i] >= 0x7f;
    do {
        if (!take_line(text, &line))
            return INCOMPLETE;
        if (line.len > 0)
            f->wrong |= !reference_field(line, f, a);
    } while (line.len > 0);
    f->odd |= f->wrong;
    return COMPLETE;
}

static enum verdict body_add(struct answer *a, struct text *text, uint64_t bytes)
{
    size_t there = (size_t)(text->end - text->at);
    size_t n = bytes < there ? (size_t)bytes : there;
    memcpy(a->body + a->body_bytes, text->at, n);
    a->body_bytes += n;
    text->at += n;
    return n == bytes ? COMPLETE : INCOMPLETE;
}

static enum verdict reference_chunks(struct answer *a, struct framing *f, struct text *text)
{
    for (;;) {
        struct weir_slice line;
        uint64_t bytes = 0;
        size_t i = 0;
        if (!take_line(text, &line))
            return INCOMPLETE;
        for (; i < line.len && (is_digit(line.ptr[i]) || (uint8_t)((line.ptr[i] | 32) - 'a') < 6);
             i++) {
            if (bytes >> 58 != 0)
                return WRONG;
            unsigned c = line.ptr[i];
            bytes = bytes * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        }
        if (i == 0)
            return WRONG;
        f->odd |= i < line.len || i > 6;
        if (bytes == 0)
            break;
        if (body_add(a, text, bytes) != COMPLETE || text->end - text->at < 2)
            return INCOMPLETE;
        if (memcmp(text->at, "\r\n", 2) != 0)
            return WRONG;
        text->at += 2;
    }
    for (;;) {
        struct weir_slice line;
        if (!take_line(text, &line))
            return INCOMPLETE;
        if (line.len == 0)
            return COMPLETE;
        f->odd = true;
    }
}

/* Behind the head. `ends`: no more will come. */
static enum verdict reference_body(struct answer *a, struct framing *f, struct text *text,
                                   struct weir_slice method, bool ends)
{
    bool tunnel = is_text(method, "CONNECT") && a->status / 100 == 2;
    a->close |= tunnel;
    if (is_text(method, "HEAD") || a->status == 204 || a->status == 304 || tunnel) {
        f->odd |= f->length && f->chunked;
        return COMPLETE;
    }
    if (f->wrong || (f->length && f->chunked))
        return WRONG;
    if (f->chunked)
        return reference_chunks(a, f, text);
    if (f->length)
        return body_add(a, text, f->bytes);
    a->close = true;
    (void)body_add(a, text, (uint64_t)(text->end - text->at));
    return ends ? COMPLETE : INCOMPLETE;
}

static void reference_take(struct answer *a, struct text *text, struct weir_slice method, bool ends,
                           const struct weir_client_config *cfg)
{
    struct framing f = { .fields = 0 };
    *a = (struct answer){ .exact = true };
    for (unsigned interims = 0;; interims++) {
        const uint8_t *begin = text->at;
        f = (struct framing){ .fields = 0 };
        a->close = false;
        a->verdict = reference_head(a, &f, text);
        f.odd |= f.fields > cfg->fields_max || (size_t)(text->at - begin) > cfg->head_bytes_max;
        f.odd |= interims > INTERIMS_MAX;
        a->exact &= !f.odd;
        if (a->verdict != COMPLETE || a->status >= 200)
            break;
        if (a->status == 101 || a->status < 100)
            a->verdict = WRONG; /* nobody asked for that */
        if (a->verdict == WRONG)
            break;
        a->exact &= !a->close && !f.length && !f.chunked;
    }
    if (a->verdict == COMPLETE)
        a->verdict = reference_body(a, &f, text, method, ends);
    a->exact &= !f.odd;
}

/* What `c` has sent, or is going to, for all that it was asked. */
static void reference_read(const struct world *w, struct conn *c, size_t bytes, bool ends)
{
    struct weir_client_config cfg = client_config(w->choice);
    struct text text = { c->script.ptr, c->script.ptr + bytes };
    bool over = false;
    c->allowed = 0;
    for (size_t i = 0; i < c->calls_count; i++) {
        struct answer *a = &c->answers[i];
        *a = (struct answer){ .verdict = INCOMPLETE };
        if (!over)
            reference_take(a, &text, method_of(w, c->calls[i]), ends, &cfg);
        over |= a->verdict != COMPLETE || a->close;
        a->end = (size_t)(text.at - c->script.ptr);
        /* What is not understood, or never ends, is sent to its end. */
        c->allowed = a->verdict == COMPLETE ? a->end : bytes;
    }
}

/* ---- The server -------------------------------------------------------------------------- */

/* Take the requests that are there: "METHOD /N ...", "CONNECT a:N ...". */
static void requests_take(struct world *w, struct conn *c)
{
    size_t before = c->calls_count;
    for (;;) {
        const uint8_t *at = c->in + c->in_taken;
        size_t left = c->in_bytes - c->in_taken;
        const uint8_t *end = left > 0 ? memmem(at, left, "\r\n\r\n", 4) : NULL;
        if (end == NULL)
            break;
        const uint8_t *blank = memchr(at, ' ', left);
        DEMAND(blank != NULL && blank + 4 < end);
        unsigned index = blank[1] == '/' ? blank[2] - '0' : blank[3] - '0';
        DEMAND(index < w->calls_count);
        DEMAND(weir_slice_eq((struct weir_slice){ at, (size_t)(blank - at) }, method_of(w, index)));
        size_t bytes = (size_t)(end + 4 - at);
        if (*at == 'P') {
            if (left - bytes < sizeof BODY - 1)
                break;
            DEMAND(memcmp(at + bytes, BODY, sizeof BODY - 1) == 0);
            bytes += sizeof BODY - 1;
        }
        DEMAND(c->calls_count < CALLS_MAX);
        c->calls[c->calls_count++] = index;
        c->in_taken += bytes;
    }
    if (c->calls_count > before)
        reference_read(w, c, c->script.len, server_ends(w) || server_resets(w));
}

static bool conn_read(struct world *w, struct conn *c)
{
    if (c->over)
        return false;
    DEMAND(c->in_bytes < sizeof c->in);
    int64_t n = sim_recv(&w->sim, c->fd, c->in + c->in_bytes, sizeof c->in - c->in_bytes);
    if (n == -EAGAIN)
        return false;
    if (n > 0)
        c->in_bytes += (size_t)n;
    else
        c->over = true;
    requests_take(w, c);
    return true;
}

static size_t piece_bytes(struct world *w)
{
    static const uint32_t most[] = { 1, 4, 40, 600 };
    return w->noise ? sim_between(&w->sim, 1, most[w->choice[2] % 4]) : INPUT_BYTES_MAX;
}

static bool conn_write(struct world *w, struct conn *c)
{
    size_t allowed = server_waits(w) && !w->released ? c->allowed : c->script.len;
    if (c->shut)
        return false;
    if (c->sent < allowed) {
        if (w->noise && sim_below(&w->sim, 1 + w->choice[2] / 4 % 4) != 0)
            return true; /* it rests for a turn */
        size_t n = weir_min_u64(piece_bytes(w), allowed - c->sent);
        int64_t sent = sim_send(&w->sim, c->fd, (struct weir_slice){ c->script.ptr + c->sent, n });
        if (sent == -EAGAIN)
            return false;
        if (sent < 0)
            c->shut = true;
        else
            c->sent += (size_t)sent;
        return true;
    }
    if (c->sent < c->script.len || (server_waits(w) && c->calls_count == 0 && !w->released))
        return false;
    c->shut = server_ends(w) || server_resets(w);
    if (c->shut && !server_resets(w))
        (void)sim_shutdown(&w->sim, c->fd);
    return c->shut;
}

static bool conn_step(struct world *w, struct conn *c)
{
    bool moved = conn_read(w, c);
    moved |= conn_write(w, c);
    if (c->over || (c->shut && server_resets(w))) {
        sim_close(&w->sim, c->fd, server_resets(w));
        c->fd = -1;
    }
    return moved;
}

static bool server_step(struct world *w)
{
    bool moved = false;
    int fd = sim_accept(&w->sim, w->listener);
    if (fd >= 0) {
        DEMAND(w->conns_count < CONNS_MAX);
        size_t first = w->script.len * w->choice[5] / 255;
        struct conn *c = &w->conns[w->conns_count];
        c->fd = fd;
        c->script = w->script;
        if (w->conns_count % 2 == 0) {
            c->script.len = first;
        } else {
            c->script.ptr += first;
            c->script.len -= first;
        }
        c->sent = c->in_bytes = c->in_taken = c->calls_count = c->allowed = 0;
        c->shut = c->over = false;
        w->conns_count++;
        moved = true;
    }
    for (size_t i = 0; i < w->conns_count; i++)
        if (w->conns[i].fd >= 0)
            moved |= conn_step(w, &w->conns[i]);
    return moved;
}

/* ---- The calls --------------------------------------------------------------------------- */

static void on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct call *c = call->ctx;
    DEMAND(!c->headed && !c->ended);
    DEMAND(weir_response_status(head) >= 200 && weir_response_status(head) == call->status);
    for (size_t i = 0; i < weir_response_headers_count(head); i++) {
        struct weir_header h = weir_response_header_at(head, i);
        DEMAND(weir_http1_is_token(h.name) && weir_http1_is_field_value(h.value));
    }
    c->headed = true;
    if (cancel_of(c->world) == CANCEL_HEAD && cancelled(c->world) == call)
        weir_call_cancel(call);
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    struct call *c = call->ctx;
    DEMAND(c->headed && !c->ended);
    DEMAND(piece.len > 0 && c->body_bytes + piece.len <= sizeof c->body);
    memcpy(c->body + c->body_bytes, piece.ptr, piece.len);
    c->body_bytes += piece.len;
    if (cancel_of(c->world) == CANCEL_BODY && cancelled(c->world) == call)
        weir_call_cancel(call);
}

static void on_end(struct weir_call *call, int err)
{
    struct call *c = call->ctx;
    DEMAND(!c->ended);
    DEMAND(err != 0 || c->headed);
    DEMAND(call->timing.body_bytes == c->body_bytes || err != 0);
    c->ended = true;
    c->err = err;
    c->world->ended_count++;
}

static void call_send(struct world *w, size_t index)
{
    static const struct weir_call_handler handler = { on_head, on_body, NULL, on_end };
    struct call *c = &w->calls[index];
    struct weir_slice method = method_of(w, index);
    bool connect = is_text(method, "CONNECT");
    snprintf(c->target, sizeof c->target, connect ? "a:%u" : "/%u", (unsigned)index);
    c->world = w;
    c->headed = c->ended = false;
    c->err = 0;
    c->body_bytes = 0;
    c->call = (struct weir_call){
        .request = { .method = method,
                     .target = { (const uint8_t *)c->target, strlen(c->target) },
                     .body = is_text(method, "POST") ? WEIR_TEXT(BODY) : WEIR_TEXT("") },
        .deadline_ns = w->sim.now_ns + SIM_S,
        .handler = &handler,
        .ctx = c,
    };
    DEMAND(weir_client_send(w->client, &c->call) == 0);
}

/* ---- The world --------------------------------------------------------------------------- */

static uint32_t mix(uint32_t a, uint32_t b)
{
    uint32_t x = a * 0x9e3779b9u ^ (b + 1) * 0x85ebca6bu;
    x ^= x >> 15;
    x *= 0x2c1b3c6du;
    return x ^ x >> 13;
}

/* Some of the faults that the engine must hide, as often as the input wants them. */
static void faults_choose(struct world *w)
{
    static const uint32_t rates[] = { 0, 20000, 100000, 300000 };
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        if (sim_fault_harmless[i] && mix(w->choice[4], (uint32_t)i) % 4 < w->choice[4] / 4 % 4)
            w->sim.faults.per_million[i] = rates[w->choice[4] % 4];
}

static void engine_open(struct world *w)
{
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    cfg.conns_max = 4;
    cfg.recv_bufs_max = w->noise ? 2 : 4;
    cfg.recv_buf_bytes = w->noise ? 256 : INPUT_BYTES_MAX;
    cfg.send_bytes_max = 1u << 18;
    cfg.stash_bytes_max = 1u << 16;
    cfg.stash_block_bytes = 4096;
    cfg.sq_entries = 8;
    cfg.cq_entries = 16;
    cfg.wait = WEIR_WAIT_SLEEP;
    DEMAND(weir_engine_open(&w->engine, &cfg) == 0);
    sim_ring_attach(w->engine);
}

static void listener_open(struct world *w, char *endpoint, size_t capacity)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    struct weir_sockaddr view = { (const struct sockaddr *)(const void *)&addr, sizeof addr };
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    w->listener = sim_bind_listen(&w->sim, view, CONNS_MAX, false);
    DEMAND(w->listener >= 0);
    snprintf(endpoint, capacity, "http://127.0.0.1:%u",
             ntohs(sim_sock(&w->sim, w->listener)->local.sin_port));
}

static void world_open(struct world *w, const uint8_t *choice, struct weir_slice script, bool noise)
{
    struct weir_client_config cfg = client_config(choice);
    char endpoint[64];
    sim_world_open(&w->sim, choice[3] + (noise ? 256u : 0u));
    w->choice = choice;
    w->script = script;
    w->noise = noise;
    w->released = false;
    w->calls_count = 1 + choice[0] % 4;
    w->ended_count = w->conns_count = 0;
    w->passes = 0;
    if (noise)
        faults_choose(w);
    weir_ring_override = &weir_ring_sim;
    weir_ring_override_arg = &w->sim;
    engine_open(w);
    listener_open(w, endpoint, sizeof endpoint);
    cfg.endpoint = endpoint;
    DEMAND(weir_client_open(&w->client, w->engine, &cfg) == 0);
}

/* A pass of the engine, and the server's turn. @return did anything happen? */
static bool pass(struct world *w)
{
    struct weir_engine *engine = w->engine;
    uint64_t before = engine->stats.cqes + engine->stats.timers_fired + w->sim.happened +
                      engine->ring->counters.sqes;
    if (++w->passes == w->choice[6] % 64 / 4 && cancel_of(w) == CANCEL_PASS) {
        struct call *c = &w->calls[w->choice[6] % CALLS_MAX];
        if (c->world == w && c < w->calls + w->calls_count && !c->ended)
            weir_call_cancel(&c->call);
    }
    DEMAND(weir_engine_run_once(engine, 0) == 0);
    sim_ring_check(engine);
    bool moved = server_step(w);
    uint64_t after = engine->stats.cqes + engine->stats.timers_fired + w->sim.happened +
                     engine->ring->counters.sqes;
    return moved || before != after || !weir_list_empty(&engine->ready) ||
           !weir_list_empty(&engine->flush) || sim_ring_busy(sim_ring_of(engine->ring));
}

/* Let happen whatever happens by itself, until all calls have ended. */
static void settle(struct world *w)
{
    for (;;) {
        while (pass(w))
            ;
        uint64_t now = w->sim.now_ns;
        uint64_t next = weir_min_u64(sim_next_ns(&w->sim), weir_wheel_next_ns(&w->engine->wheel));
        if (!w->released && next - now > SIM_S / 2) {
            w->released = true; /* nobody asks any more: now for what nobody asked for */
            continue;
        }
        if (w->ended_count == w->calls_count && w->released)
            break;
        DEMAND(next != UINT64_MAX);
        sim_advance_to(&w->sim, next);
    }
    while (pass(w))
        ;
}

static void world_close(struct world *w)
{
    struct weir_client_stats stats = { .size = sizeof stats };
    weir_client_stats(w->client, &stats);
    DEMAND(stats.waiting_now == 0 && stats.in_flight_now == 0);
    DEMAND(stats.completed + stats.failed == w->calls_count && stats.calls == w->calls_count);
    DEMAND(weir_client_close(w->client) == 0);
    sim_ring_check_empty(w->engine);
    DEMAND(weir_engine_close(w->engine) == 0);
    for (size_t i = 0; i < w->conns_count; i++) {
        struct conn *c = &w->conns[i];
        if (c->fd < 0)
            continue;
        /* What it was asked it may not have read yet. */
        sim_advance_to(&w->sim, w->sim.now_ns + SIM_S);
        while (conn_read(w, c))
            ;
        sim_close(&w->sim, c->fd, false);
        c->fd = -1;
    }
    sim_close(&w->sim, w->listener, false);
    sim_world_close(&w->sim);
    weir_ring_override = NULL;
}

/* ---- The outcome ------------------------------------------------------------------------- */

static void demand_answer(const struct call *c, const struct answer *a)
{
    DEMAND(a->verdict == COMPLETE);
    DEMAND(c->call.status == a->status && c->body_bytes == a->body_bytes);
    DEMAND(memcmp(c->body, a->body, c->body_bytes) == 0);
}

/* Must it have ended well? Not when it was too late, or somebody ended the connection. */
static bool must_be_good(const struct world *w, const struct call *c)
{
    return server_waits(w) && !server_resets(w) && cancel_of(w) == CANCEL_NONE &&
           c->err != WEIR_E_DEADLINE;
}

static void conn_check(struct world *w, struct conn *c)
{
    bool good = true, exact = true;
    uint64_t last_ns = 0;
    reference_read(w, c, c->sent, c->shut);
    for (size_t i = 0; i < c->calls_count; i++) {
        const struct call *call = &w->calls[c->calls[i]];
        const struct answer *a = &c->answers[i];
        DEMAND(call->ended && call->call.timing.sent_ns != 0);
        if (call->err == 0)
            demand_answer(call, a);
        exact &= a->verdict == COMPLETE && a->exact;
        if (exact && call->err == WEIR_E_DEADLINE)
            exact = false; /* and with it all behind it */
        if (exact && must_be_good(w, call))
            DEMAND(call->err == 0);
        /* Behind what failed nothing ends well, and nothing is asked any more. */
        DEMAND(good || call->err != 0);
        DEMAND(good || call->call.timing.sent_ns <= last_ns);
        if (good && (call->err != 0 || a->close)) {
            good = false;
            last_ns = call->call.timing.end_ns;
        }
        exact &= !a->close;
    }
}

static void run(struct world *w, const uint8_t *choice, struct weir_slice script, bool noise)
{
    world_open(w, choice, script, noise);
    for (size_t i = 0; i < w->calls_count; i++)
        call_send(w, i);
    settle(w);
    world_close(w);
    for (size_t i = 0; i < w->conns_count; i++)
        conn_check(w, &w->conns[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CHOICES || size - CHOICES > INPUT_BYTES_MAX)
        return 0;
    const struct weir_slice script = { data + CHOICES, size - CHOICES };
    running = true;
    run(&quiet, data, script, false);
    run(&noisy, data, script, true);
    running = false;
    return 0;
}
