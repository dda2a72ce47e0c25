/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void answer(struct sim_served *s);

/* ---- Streams ----------------------------------------------------------------------------- */

static void piece_on_free(struct weir_piece *piece, int err)
{
    struct sim_piece *p = weir_container_of(piece, struct sim_piece, piece);
    struct sim_served *s = p->served;
    SIM_CHECK(p->out, "a piece of exchange %u is freed twice", s->x->id);
    SIM_CHECK(err == 0 || !s->site->run->config.strict, "a piece of exchange %u was lost",
              s->x->id);
    p->out = false;
    s->pieces_out--;
    /* Ours again: whoever still reads it reads this. */
    memset((uint8_t *)(uintptr_t)piece->data.ptr, 0xee, piece->data.len);
    if (s->exchange != NULL && s->begun && !s->given && !s->retry && !weir_timer_is_set(&s->timer))
        answer(s);
}

/* Write the next piece. @return as the library says; 1: wait */
static int stream_once(struct sim_served *s)
{
    struct sim_world *world = s->site->run->world;
    const struct sim_plan *p = &s->x->plan;
    uint64_t left = p->answer_bytes - s->put_bytes;
    size_t n = (size_t)sim_between(world, 1, weir_min_u64(left, 1ull << sim_below(world, 17)));
    if (p->how != SIM_ANSWER_PIECES) {
        n = weir_min_u64(n, 16384); /* what is copied must fit into the output memory */
        struct weir_slice data = { sim_content(s->site->run, s->x->id, SIM_ANSWER) + s->put_bytes,
                                   n };
        int rc = weir_exchange_write(s->exchange, data);
        s->put_bytes += rc == 0 ? n : 0;
        return rc;
    }
    for (uint32_t i = 0; i < SIM_PIECES_MAX; i++) {
        struct sim_piece *piece = &s->pieces[i];
        if (piece->out)
            continue;
        piece->served = s;
        piece->piece = (struct weir_piece){ .data = { s->memory + s->put_bytes, n },
                                            .on_free = piece_on_free };
        int rc = weir_exchange_write_piece(s->exchange, &piece->piece);
        if (rc == 0) {
            piece->out = true;
            s->pieces_out++;
            s->put_bytes += n;
        }
        return rc;
    }
    return 1; /* a piece that is freed goes on */
}

/* Go on later, now and then. */
static bool rests(struct sim_served *s)
{
    struct sim_world *world = s->site->run->world;
    if (!s->x->plan.pauses || sim_below(world, 3) != 0)
        return false;
    uint64_t wait = sim_below(world, 1ull << sim_below(world, 22));
    weir_timer_set(s->site->engine, &s->timer, weir_engine_now_ns(s->site->engine) + wait);
    return true;
}

static int stream(struct sim_served *s)
{
    const struct sim_plan *p = &s->x->plan;
    int rc = 0;
    if (!s->begun) {
        struct weir_response head = { .status = p->status, .close = p->close };
        rc = weir_exchange_begin(s->exchange, &head);
        if (rc < 0)
            return rc;
        s->begun = true;
    }
    while (rc == 0 && s->put_bytes < p->answer_bytes && !rests(s))
        rc = stream_once(s);
    if (rc != 0)
        return rc;
    if (weir_timer_is_set(&s->timer) || rests(s))
        return 1;
    if (p->how == SIM_ANSWER_FIN) {
        s->given = true;
        weir_exchange_abort(s->exchange, WEIR_ABORT_FIN);
        return 1;
    }
    return weir_exchange_finish(s->exchange);
}

/* ---- Answers ----------------------------------------------------------------------------- */

static int respond(struct sim_served *s)
{
    const struct sim_plan *p = &s->x->plan;
    bool borrow = p->how == SIM_ANSWER_BORROW;
    struct weir_response response = {
        .status = p->status,
        .content_type = WEIR_TEXT("application/octet-stream"),
        .body = { borrow ? s->memory : sim_content(s->site->run, s->x->id, SIM_ANSWER),
                  p->answer_bytes },
        .how = borrow ? WEIR_BODY_BORROW : WEIR_BODY_COPY,
        .close = p->close,
    };
    return weir_exchange_respond(s->exchange, &response);
}

static void answer(struct sim_served *s)
{
    const struct sim_plan *p = &s->x->plan;
    int rc = 1;
    if (s->given)
        return;
    switch (p->how) {
    case SIM_ANSWER_COPY:
    case SIM_ANSWER_BORROW:
        rc = respond(s);
        break;
    case SIM_ANSWER_RST:
        s->given = true;
        weir_exchange_abort(s->exchange, WEIR_ABORT_RST);
        break;
    case SIM_ANSWER_NEVER:
        break;
    default:
        rc = stream(s);
        break;
    }
    if (rc == 0) {
        s->given = true;
        s->x->answered = true;
    }
    s->retry = rc == -ENOBUFS;
    bool gone = rc == -EPIPE || rc == -EALREADY; /* the end is known, and not told yet */
    SIM_CHECK(rc >= 0 || rc == -ENOBUFS || (gone && !s->site->run->config.strict),
              "exchange %u cannot be answered: %s, %s", s->x->id, weir_err_name(rc),
              weir_error_text());
}

static void on_due(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    answer(ctx);
}

/* The request has been read as far as the plan wants it. */
static void ready(struct sim_served *s)
{
    const struct sim_plan *p = &s->x->plan;
    if (p->delay_ns == 0)
        on_due(&s->timer, s);
    else
        weir_timer_set(s->site->engine, &s->timer,
                       weir_engine_now_ns(s->site->engine) + p->delay_ns);
}

/* ---- Callbacks --------------------------------------------------------------------------- */

static void request_check(const struct sim_exchange *x, const struct weir_exchange *exchange)
{
    struct weir_slice method = weir_exchange_method(exchange);
    int64_t bytes = weir_exchange_body_bytes(exchange);
    SIM_CHECK(weir_slice_eq(method, x->plan.method), "request %u has another method", x->id);
    SIM_CHECK(bytes == -1 || bytes == x->plan.ask_bytes, "request %u declares %lld bytes", x->id,
              (long long)bytes);
}

static void on_request(struct weir_exchange *exchange, void *ctx)
{
    struct sim_site *site = ctx;
    struct sim_run *run = site->run;
    int id = sim_target_id(weir_exchange_path(exchange));
    SIM_CHECK(id >= 0 && (uint32_t)id < run->config.exchanges_count, "a request that nobody sent");
    struct sim_exchange *x = &run->exchanges[id];
    SIM_CHECK(x->asked == 0 || (x->plan.idempotent && run->config.scene == SIM_SCENE_WEIR),
              "request %d was served twice", id);
    SIM_CHECK(x->asked < SIM_SERVED_MAX, "request %d was served %u times before", id, x->asked);
    struct sim_served *s = &site->served[id][x->asked];
    SIM_CHECK(x->started, "request %d was served before it was sent", id);
    request_check(x, exchange);
    x->asked++;
    site->now_count++;
    *s = (struct sim_served){ .site = site, .x = x, .exchange = exchange };
    weir_timer_init(&s->timer, on_due, s);
    weir_exchange_set_user(exchange, s);
    sim_trace(run->world, "request", id, 0, 0);
    if ((x->plan.how == SIM_ANSWER_BORROW || x->plan.how == SIM_ANSWER_PIECES) &&
        x->plan.answer_bytes > 0) {
        s->memory = malloc(x->plan.answer_bytes);
        SIM_CHECK(s->memory != NULL, "out of memory");
        memcpy(s->memory, sim_content(run, x->id, SIM_ANSWER), x->plan.answer_bytes);
    }
    if (x->plan.early)
        ready(s);
}

static void on_body(struct weir_exchange *exchange, struct weir_slice piece, bool last, void *ctx)
{
    struct sim_served *s = weir_exchange_user(exchange);
    struct sim_site *site = ctx;
    SIM_CHECK(s->exchange == exchange, "a body for an exchange that is over");
    SIM_CHECK(!s->given, "exchange %u was answered, and its body goes on", s->x->id);
    SIM_CHECK(sim_content_is(site->run, s->x, SIM_ASK, s->got_bytes, piece),
              "request %u is wrong at byte %llu", s->x->id, (unsigned long long)s->got_bytes);
    sim_holds_take(&site->holds, piece);
    s->got_bytes += piece.len;
    if (!last)
        return;
    SIM_CHECK(s->got_bytes == s->x->plan.ask_bytes, "request %u ends after %llu bytes", s->x->id,
              (unsigned long long)s->got_bytes);
    if (!s->x->plan.early)
        ready(s);
}

static void on_writable(struct weir_exchange *exchange, void *ctx)
{
    struct sim_served *s = weir_exchange_user(exchange);
    (void)ctx;
    SIM_CHECK(s->retry, "exchange %u did not wait for room", s->x->id);
    s->retry = false;
    answer(s);
}

static void on_end(struct weir_exchange *exchange, int err, void *ctx)
{
    struct sim_served *s = weir_exchange_user(exchange);
    struct sim_site *site = ctx;
    struct sim_exchange *x = s->x;
    SIM_CHECK(s->exchange == exchange && x->ended < x->asked, "exchange %u ends twice", x->id);
    SIM_CHECK(err != 0 || x->answered, "exchange %u ended well without an answer", x->id);
    SIM_CHECK(err == 0 || !site->run->config.strict, "serving exchange %u ended with %s", x->id,
              weir_err_name(err));
    x->ended++;
    x->end_err = err;
    s->exchange = NULL;
    s->given = true;
    site->now_count--;
    weir_timer_cancel(&s->timer);
    sim_trace(site->run->world, "end", (int)x->id, err, 0);
    if (x->plan.how != SIM_ANSWER_BORROW || s->memory == NULL)
        return;
    SIM_CHECK(memcmp(s->memory, sim_content(site->run, x->id, SIM_ANSWER), x->plan.answer_bytes) ==
                  0,
              "the borrowed answer of exchange %u was written to", x->id);
    memset(s->memory, 0xee, x->plan.answer_bytes);
}

static void on_drained(struct weir_server *server, void *ctx)
{
    struct sim_site *site = ctx;
    SIM_CHECK(server == site->server && !site->drained, "drained twice");
    SIM_CHECK(site->now_count == 0, "drained with %u exchanges", site->now_count);
    site->drained = true;
}

static const struct weir_server_handler handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_writable = on_writable,
    .on_end = on_end,
};

/* ---- Life -------------------------------------------------------------------------------- */

static bool step(struct sim_actor *actor)
{
    struct sim_site *site = weir_container_of(actor, struct sim_site, actor);
    return sim_holds_step(&site->holds, false);
}

static bool done(const struct sim_actor *actor)
{
    const struct sim_site *site = weir_container_of(actor, const struct sim_site, actor);
    return site->now_count == 0 && site->holds.count == 0 && (!site->draining || site->drained);
}

void sim_site_open(struct sim_site *site, struct sim_run *run)
{
    *site = (struct sim_site){ .actor = { .step = step, .done = done },
                               .run = run,
                               .engine = run->engines[1],
                               .holds = { .run = run, .engine = run->engines[1] } };
    int rc = weir_server_open(&site->server, site->engine, &run->config.server, &handler, site);
    SIM_CHECK(rc == 0, "a server cannot be opened: %s", weir_error_text());
    run->actors[run->actors_count++] = &site->actor;
}

void sim_site_drain(struct sim_site *site)
{
    struct sim_world *world = site->run->world;
    uint64_t deadline = world->now_ns + 1 + sim_below(world, SIM_S);
    site->draining = true;
    sim_trace(world, "drain", 0, 0, 0);
    weir_server_drain(site->server, deadline, on_drained);
}

void sim_site_close(struct sim_site *site)
{
    int rc = weir_server_close(site->server);
    SIM_CHECK(rc == 0, "closing the server: %s", weir_err_name(rc));
    SIM_CHECK(site->now_count == 0, "%u exchanges outlive their server", site->now_count);
    (void)sim_holds_step(&site->holds, true);
    for (uint32_t i = 0; i < site->run->config.exchanges_count; i++) {
        for (uint32_t k = 0; k < SIM_SERVED_MAX; k++) {
            const struct sim_served *s = &site->served[i][k];
            SIM_CHECK(s->pieces_out == 0, "a piece of exchange %u was never freed", i);
            free(s->memory);
        }
    }
}
