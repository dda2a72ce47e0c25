/* SPDX-License-Identifier: MIT */
#include "dialer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- What is asked ----------------------------------------------------------------------- */

static void request_print(struct sim_dialer *d, const struct sim_exchange *x)
{
    struct sim_world *world = d->run->world;
    const struct sim_plan *p = &x->plan;
    struct weir_slice body = { sim_content(d->run, x->id, SIM_ASK), p->ask_bytes };
    bool post = p->method.ptr[0] == 'P';
    bool chunked = post && sim_below(world, 3) == 0;
    sim_text_print(&d->out, "%s%.*s /x/%u HTTP/1.1\r\nHost: a\r\n",
                   sim_below(world, 8) == 0 ? "\r\n" : "", (int)p->method.len, p->method.ptr,
                   x->id);
    for (uint64_t i = sim_below(world, 4); i > 0; i--)
        sim_text_print(&d->out, "X-Field-%u: %0*u\r\n", (unsigned)i, (int)sim_below(world, 60), 7);
    if (post && sim_below(world, 6) == 0)
        sim_text_print(&d->out, "Expect: 100-continue\r\n");
    if (chunked)
        sim_text_print(&d->out, "Transfer-Encoding: chunked\r\n\r\n");
    else if (post)
        sim_text_print(&d->out, "Content-Length: %u\r\n\r\n", p->ask_bytes);
    else
        sim_text_print(&d->out, "\r\n");
    if (chunked)
        sim_text_add_chunked(&d->out, world, body);
    else
        sim_text_add(&d->out, body.ptr, body.len);
}

static void garbage_print(struct sim_dialer *d)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "\x01\x02\x03\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"
    };
    uint64_t i = sim_below(d->run->world, sizeof garbage / sizeof garbage[0]);
    sim_text_print(&d->out, "%s", garbage[i]);
}

/* ---- What comes back --------------------------------------------------------------------- */

static void answer_check(struct sim_dialer *d, struct sim_exchange *x, const struct sim_message *m)
{
    const struct sim_plan *p = &x->plan;
    bool strict = d->run->config.strict;
    if (m->status >= 400 && m->status != p->status && !strict) {
        d->refused = true; /* too slow, too much */
        sim_exchange_done(d->run, x, WEIR_E_LIMIT);
        return;
    }
    SIM_CHECK(m->status == p->status, "exchange %u is answered %d", x->id, m->status);
    /* An answer without a body is whole before it is finished. */
    SIM_CHECK(x->answered || p->empty, "exchange %u got what nobody sent", x->id);
    if (!p->empty) {
        SIM_CHECK(m->body.len == p->answer_bytes, "exchange %u got %zu bytes of %u", x->id,
                  m->body.len, p->answer_bytes);
        SIM_CHECK(sim_content_is(d->run, x, SIM_ANSWER, 0, m->body),
                  "exchange %u got a wrong answer", x->id);
    }
    sim_exchange_done(d->run, x, 0);
}

/* Take the answers that are there. @return was there one? */
static bool answers_take(struct sim_dialer *d)
{
    bool any = false;
    while (!d->refused) {
        struct sim_exchange *x =
            d->answered_count < d->ids_count ? &d->run->exchanges[d->ids[d->answered_count]] : NULL;
        struct sim_message m;
        bool head = x != NULL && sim_method_is(&x->plan, "HEAD");
        enum sim_taken taken = sim_message_take(&m, &d->in, head, d->ended);
        SIM_CHECK(taken != SIM_TAKEN_WRONG, "descriptor %d got what is no answer", d->fd);
        if (taken == SIM_TAKEN_NONE)
            break;
        any = true;
        if (m.status < 200)
            continue;
        if (x != NULL) {
            answer_check(d, x, &m);
            d->answered_count++;
            continue;
        }
        SIM_CHECK(m.status >= 400 && (d->garbage || !d->run->config.strict),
                  "descriptor %d got an answer to nothing", d->fd);
        d->refused = true;
    }
    return any;
}

/* The connection is over: so is what was not answered. */
static void finish(struct sim_dialer *d, bool reset)
{
    bool early = d->answered_count < d->ids_count;
    SIM_CHECK(!d->run->config.strict || !early, "descriptor %d ended after %u of %u answers", d->fd,
              d->answered_count, d->ids_count);
    SIM_CHECK(!d->run->config.strict || d->refused == d->garbage,
              "descriptor %d: what is no request was not refused", d->fd);
    for (uint32_t i = d->answered_count; i < d->ids_count; i++)
        if (!d->run->exchanges[d->ids[i]].done)
            sim_exchange_done(d->run, &d->run->exchanges[d->ids[i]], WEIR_E_CLOSED);
    if (d->fd >= 0)
        sim_close(d->run->world, d->fd, reset);
    d->fd = -1;
}

/* ---- Steps ------------------------------------------------------------------------------- */

/* Rest until later, now and then. */
static bool rests(struct sim_dialer *d, uint64_t *next_ns)
{
    struct sim_world *world = d->run->world;
    if (*next_ns > world->now_ns)
        return true;
    if (sim_below(world, d->slow) != 0)
        return false;
    *next_ns = world->now_ns + sim_below(world, 1ull << sim_below(world, 24));
    sim_wake_at(world, *next_ns);
    return true;
}

static bool step_write(struct sim_dialer *d)
{
    struct sim_world *world = d->run->world;
    struct weir_slice rest = sim_text_rest(&d->out);
    if (d->shut || d->ended || rests(d, &d->next_write_ns))
        return false;
    if (d->out.taken >= d->reset_after) {
        finish(d, true);
        return true;
    }
    if (rest.len == 0) {
        if (!d->half_close)
            return false;
        d->shut = true;
        (void)sim_shutdown(world, d->fd);
        return true;
    }
    rest.len = (size_t)sim_between(world, 1, rest.len);
    int64_t n = sim_send(world, d->fd, rest);
    if (n == -EAGAIN)
        return false;
    if (n < 0)
        d->shut = true; /* what there is to read may still be there */
    else
        d->out.taken += (size_t)n;
    return true;
}

static bool step_read(struct sim_dialer *d)
{
    uint8_t piece[8192];
    struct sim_world *world = d->run->world;
    if (d->ended || rests(d, &d->next_read_ns))
        return false;
    int64_t n = sim_recv(world, d->fd, piece, (size_t)sim_between(world, 1, sizeof piece));
    if (n == -EAGAIN)
        return false;
    if (n > 0)
        sim_text_add(&d->in, piece, (size_t)n);
    else
        d->ended = true;
    (void)answers_take(d);
    return true;
}

static bool step(struct sim_actor *actor)
{
    struct sim_dialer *d = weir_container_of(actor, struct sim_dialer, actor);
    if (d->fd < 0)
        return false;
    const struct sim_sock *sock = sim_sock(d->run->world, d->fd);
    if (sock->kind == SIM_CONNECTING)
        return false;
    if (sock->kind == SIM_FAILED) {
        finish(d, false);
        return true;
    }
    bool moved = step_read(d);
    if (d->fd >= 0)
        moved |= step_write(d);
    bool all = d->answered_count == d->ids_count && (d->refused || !d->garbage);
    bool over = d->ended || (d->refused && !d->garbage) || (all && !d->half_close);
    if (d->fd >= 0 && over) {
        finish(d, false);
        moved = true;
    }
    return moved;
}

static bool done(const struct sim_actor *actor)
{
    return weir_container_of(actor, const struct sim_dialer, actor)->fd < 0;
}

/* ---- Life -------------------------------------------------------------------------------- */

void sim_dialer_open(struct sim_dialer *d, struct sim_run *run, uint32_t index, uint16_t port)
{
    struct sim_world *world = run->world;
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = port };
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *d = (struct sim_dialer){ .actor = { .step = step, .done = done },
                              .run = run,
                              .reset_after = UINT64_MAX,
                              .slow = (uint32_t)sim_between(world, 2, 100) };
    for (uint32_t i = index; i < run->config.exchanges_count; i += run->config.dialers_count) {
        d->ids[d->ids_count++] = i;
        run->exchanges[i].started = true;
        request_print(d, &run->exchanges[i]);
    }
    d->garbage = sim_below(world, 4) == 0;
    d->half_close = !d->garbage && sim_below(world, 3) == 0;
    if (d->garbage)
        garbage_print(d);
    if (sim_chance(world, run->config.dialer_resets_per_million))
        d->reset_after = sim_below(world, d->out.len + 1);
    d->fd = sim_socket(world);
    run->actors[run->actors_count++] = &d->actor;
    if (d->fd >= 0)
        sim_connect(world, d->fd, (const struct sockaddr *)(const void *)&addr);
    else
        finish(d, false);
}

void sim_dialer_close(struct sim_dialer *d)
{
    if (d->fd >= 0) {
        SIM_CHECK(d->run->config.end_early, "descriptor %d was not done", d->fd);
        finish(d, false);
    }
    sim_text_free(&d->in);
    sim_text_free(&d->out);
}
