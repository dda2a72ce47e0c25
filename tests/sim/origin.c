/* SPDX-License-Identifier: MIT */
#include "origin.h"

#include <errno.h>
#include <stdio.h>

/* ---- Answers ----------------------------------------------------------------------------- */

/* What ends the connection instead of a proper answer. @return was it that? */
static bool answer_badly(struct sim_origin *o, struct sim_origin_conn *c, struct sim_exchange *x)
{
    static const char *const bad[] = {
        "HTTP/1.1 2000 Long\r\n\r\n",
        "nothing\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    };
    struct sim_world *world = o->run->world;
    switch (x->plan.how) {
    case SIM_ANSWER_RST:
        c->reset = c->closing = true;
        return true;
    case SIM_ANSWER_FIN:
        if (sim_below(world, 2) == 0)
            sim_text_print(&c->out, "%s", bad[sim_below(world, sizeof bad / sizeof bad[0])]);
        c->closing = true;
        return true;
    default:
        c->mute = x->plan.how == SIM_ANSWER_NEVER;
        return c->mute;
    }
}

/* Not now, perhaps later. */
static void refuse(struct sim_origin *o, struct sim_origin_conn *c, struct sim_exchange *x)
{
    struct sim_world *world = o->run->world;
    uint32_t bytes = sim_method_is(&x->plan, "HEAD") ? 0 : (uint32_t)sim_below(world, 2000);
    x->refused++;
    x->ended++;
    sim_text_print(&c->out, "HTTP/1.1 503 Not Now\r\n");
    if (sim_below(world, 8) == 0)
        sim_text_print(&c->out, "Retry-After: %u\r\n", (unsigned)sim_below(world, 3));
    if (sim_below(world, 4) == 0) {
        sim_text_print(&c->out, "Connection: close\r\n");
        c->closing = true;
    }
    sim_text_print(&c->out, "Content-Length: %u\r\n\r\n", bytes);
    sim_text_add(&c->out, sim_content(o->run, x->id, SIM_ANSWER), bytes);
}

static void health_answer(struct sim_origin *o, struct sim_origin_conn *c)
{
    bool well = sim_below(o->run->world, 4) != 0;
    sim_text_print(&c->out, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n",
                   well ? "200 OK" : "500 Not Well");
}

static void answer(struct sim_origin *o, struct sim_origin_conn *c, struct sim_exchange *x)
{
    struct sim_world *world = o->run->world;
    const struct sim_plan *p = &x->plan;
    struct weir_slice body = { sim_content(o->run, x->id, SIM_ANSWER), p->answer_bytes };
    if (x->refused < p->refusals) {
        refuse(o, c, x);
        return;
    }
    if (answer_badly(o, c, x))
        return;
    x->answered = true;
    x->ended++;
    for (uint64_t i = sim_below(world, 4) == 0 ? sim_below(world, 4) : 0; i > 0; i--)
        sim_text_print(&c->out, "HTTP/1.1 10%c Wait\r\n\r\n", sim_below(world, 2) ? '0' : '3');
    sim_text_print(&c->out, "HTTP/1.1 %u %s\r\n", p->status, sim_below(world, 2) ? "OK" : "");
    for (uint64_t i = sim_below(world, 4); i > 0; i--)
        sim_text_print(&c->out, "X-Field-%u:%*s%u \r\n", (unsigned)i, (int)sim_below(world, 300),
                       "", 7);
    /* What waits behind an answer that ends the connection would be lost. */
    bool alone = o->run->config.client.pipeline_max == 1 || !o->run->config.strict;
    bool until_end = alone && sim_below(world, 6) == 0;
    if (until_end || (alone && (p->close || sim_below(world, 12) == 0))) {
        c->closing = true;
        sim_text_print(&c->out, "Connection: close\r\n");
    }
    if (p->status == 204) {
        sim_text_print(&c->out, "\r\n");
    } else if (until_end) {
        sim_text_print(&c->out, "\r\n");
        sim_text_add(&c->out, body.ptr, p->empty ? 0 : body.len);
    } else if (p->how == SIM_ANSWER_STREAM || p->how == SIM_ANSWER_PIECES) {
        sim_text_print(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
        if (!p->empty)
            sim_text_add_chunked(&c->out, world, body);
    } else {
        sim_text_print(&c->out, "Content-Length: %zu\r\n\r\n", body.len);
        sim_text_add(&c->out, body.ptr, p->empty ? 0 : body.len);
    }
    if (!o->run->config.strict && !c->closing && sim_below(world, 40) == 0) {
        /* An answer to nothing, or to whatever is asked next. */
        sim_text_print(&c->out, "HTTP/1.1 599 To Nothing\r\nContent-Length: 0\r\n\r\n");
        c->closing = true;
    }
}

static void requests_take(struct sim_origin *o, struct sim_origin_conn *c)
{
    struct sim_run *run = o->run;
    struct sim_message m;
    while (!c->closing && !c->mute) {
        enum sim_taken taken = sim_message_take(&m, &c->in, false, c->read_end);
        SIM_CHECK(taken != SIM_TAKEN_WRONG, "descriptor %d got what is no request", c->fd);
        if (taken == SIM_TAKEN_NONE)
            return;
        c->requests++;
        if (run->config.health && weir_slice_eq(m.target, WEIR_TEXT(SIM_HEALTH_TARGET))) {
            health_answer(o, c);
            continue;
        }
        int id = sim_target_id(m.target);
        SIM_CHECK(id >= 0 && (uint32_t)id < run->config.exchanges_count,
                  "a request that nobody sent");
        struct sim_exchange *x = &run->exchanges[id];
        SIM_CHECK(x->started, "request %d was never sent", id);
        SIM_CHECK(x->asked == 0 || x->plan.idempotent, "request %d was sent twice", id);
        SIM_CHECK(x->asked < run->config.client.retry.attempts_max + SIM_REPLAYS_MAX,
                  "request %d was sent %u times before", id, x->asked);
        SIM_CHECK(weir_slice_eq(m.method, x->plan.method), "request %d has another method", id);
        SIM_CHECK(m.body.len == x->plan.ask_bytes && sim_content_is(run, x, SIM_ASK, 0, m.body),
                  "request %d has a wrong body", id);
        x->asked++;
        sim_trace(run->world, "request", id, 0, 0);
        answer(o, c, x);
    }
}

/* ---- Steps ------------------------------------------------------------------------------- */

static void conn_close(struct sim_origin *o, struct sim_origin_conn *c)
{
    sim_close(o->run->world, c->fd, c->reset);
    sim_text_free(&c->in);
    sim_text_free(&c->out);
    c->fd = -1;
}

static bool conn_rests(struct sim_origin *o, struct sim_origin_conn *c)
{
    struct sim_world *world = o->run->world;
    if (c->next_ns > world->now_ns)
        return true;
    if (sim_below(world, c->slow) != 0)
        return false;
    c->next_ns = world->now_ns + sim_below(world, 1ull << sim_below(world, 24));
    sim_wake_at(world, c->next_ns);
    return true;
}

static bool conn_read(struct sim_origin *o, struct sim_origin_conn *c)
{
    uint8_t piece[8192];
    struct sim_world *world = o->run->world;
    if (c->read_end)
        return false;
    int64_t n = sim_recv(world, c->fd, piece, (size_t)sim_between(world, 1, sizeof piece));
    if (n == -EAGAIN)
        return false;
    if (n <= 0)
        c->read_end = true;
    else if (!c->closing && !c->mute)
        sim_text_add(&c->in, piece, (size_t)n);
    requests_take(o, c);
    return true;
}

static bool conn_write(struct sim_origin *o, struct sim_origin_conn *c)
{
    struct sim_world *world = o->run->world;
    struct weir_slice rest = sim_text_rest(&c->out);
    if (rest.len == 0 || c->shut)
        return false;
    rest.len = (size_t)sim_between(world, 1, rest.len);
    int64_t n = sim_send(world, c->fd, rest);
    if (n == -EAGAIN)
        return false;
    if (n < 0)
        c->shut = true;
    else
        c->out.taken += (size_t)n;
    return true;
}

/* It is unused, as far as can be seen from here. */
static void close_unused(struct sim_origin *o, struct sim_origin_conn *c)
{
    if (!o->run->config.closes_unused || c->requests == 0 || c->closing || c->read_end ||
        sim_text_rest(&c->in).len > 0 || sim_text_rest(&c->out).len > 0 ||
        sim_below(o->run->world, 20) != 0)
        return;
    c->closing = true;
    /* A reset may overtake the last answer. */
    c->reset = !o->run->config.strict && sim_below(o->run->world, 4) == 0;
}

static bool conn_step(struct sim_origin *o, struct sim_origin_conn *c)
{
    if (conn_rests(o, c))
        return false;
    close_unused(o, c);
    bool moved = conn_read(o, c);
    moved |= conn_write(o, c);
    bool written = c->shut || sim_text_rest(&c->out).len == 0;
    if (written && c->closing && !c->shut) {
        /* Reading on until the other side ends, too, keeps what was sent from being reset away. */
        c->shut = true;
        (void)sim_shutdown(o->run->world, c->fd);
        moved = true;
    }
    if (written && (c->read_end || c->reset)) {
        conn_close(o, c);
        moved = true;
    }
    return moved;
}

static bool step(struct sim_actor *actor)
{
    struct sim_origin *o = weir_container_of(actor, struct sim_origin, actor);
    struct sim_world *world = o->run->world;
    bool moved = false;
    for (uint32_t i = 0; i < SIM_ORIGIN_CONNS; i++) {
        struct sim_origin_conn *c = &o->conns[i];
        if (c->fd >= 0) {
            moved |= conn_step(o, c);
            continue;
        }
        int fd = sim_accept(world, o->fd);
        if (fd < 0)
            continue;
        *c = (struct sim_origin_conn){ .fd = fd, .slow = (uint32_t)sim_between(world, 2, 100) };
        moved = true;
    }
    return moved;
}

static bool done(const struct sim_actor *actor)
{
    (void)actor; /* it serves whoever comes */
    return true;
}

/* ---- Life -------------------------------------------------------------------------------- */

void sim_origin_open(struct sim_origin *o, struct sim_run *run)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    struct weir_sockaddr view = { (const struct sockaddr *)(const void *)&addr, sizeof addr };
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *o = (struct sim_origin){ .actor = { .step = step, .done = done }, .run = run };
    for (uint32_t i = 0; i < SIM_ORIGIN_CONNS; i++)
        o->conns[i].fd = -1;
    o->fd = sim_bind_listen(run->world, view, SIM_BACKLOG_MAX, false);
    SIM_CHECK(o->fd >= 0, "a listener cannot be opened");
    snprintf(o->endpoint, sizeof o->endpoint, "http://127.0.0.1:%u",
             ntohs(sim_sock(run->world, o->fd)->local.sin_port));
    run->actors[run->actors_count++] = &o->actor;
}

void sim_origin_close(struct sim_origin *o)
{
    for (uint32_t i = 0; i < SIM_ORIGIN_CONNS; i++)
        if (o->conns[i].fd >= 0)
            conn_close(o, &o->conns[i]);
    sim_close(o->run->world, o->fd, false);
}
