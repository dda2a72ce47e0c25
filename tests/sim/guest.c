/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include "office.h"

#include <errno.h>
#include <stdlib.h>

static struct sim_world *world_of(const struct sim_guest *g)
{
    return g->office->run->world;
}

static bool one_in(struct sim_world *w, uint64_t n)
{
    return sim_below(w, n) == 0;
}

static void request_print(struct sim_guest *g, struct sim_world *w, uint32_t index)
{
    static const char *const targets[] = { "/api/infer", "/v1/completions", "/v1/models" };
    uint64_t choice = sim_below(w, 3);
    bool post = choice < 2;
    struct sim_text body = { 0 };
    if (post) {
        sim_text_print(&body, "{\"%s\":\"x\",\"prompt\":\"a b c\",\"max_tokens\":%u",
                       choice == 0 ? "model_id" : "model", (unsigned)sim_between(w, 1, 20));
        sim_text_print(&body, ",\"stream\":%s}", one_in(w, 2) ? "true" : "false");
    }
    sim_text_print(&g->out, "%s %s HTTP/1.%d\r\nHost: guest\r\n", post ? "POST" : "GET",
                   targets[choice], g->old ? 0 : 1);
    sim_text_print(&g->out, "X-Mock-Key: guest-%u\r\n", index);
    if (post)
        sim_text_print(&g->out, "Content-Length: %zu\r\n", body.len);
    sim_text_print(&g->out, "\r\n");
    sim_text_add(&g->out, sim_text_rest(&body).ptr, body.len);
    sim_text_free(&body);
}

/* Must this guest have been served? */
static bool is_owed(const struct sim_guest *g)
{
    const struct sim_settings *s = &g->office->settings;
    bool hears = !g->half_close || g->office->configs[0]->half_close;
    return g->patient && hears && g->begun && g->office->run->config.strict && !s->changes &&
           !s->faults && !s->limits && !s->batch && !s->models;
}

static void leave(struct sim_guest *g, bool reset)
{
    if (g->fd >= 0)
        sim_close(world_of(g), g->fd, reset);
    g->fd = -1;
}

static void serve_check(struct sim_guest *g)
{
    struct sim_message m = { .status = 0 };
    enum sim_taken taken = sim_message_take(&m, &g->in, false, g->ended);
    SIM_CHECK(taken != SIM_TAKEN_WRONG || g->office->settings.faults,
              "a guest got what is no answer");
    if (taken == SIM_TAKEN_NONE && !g->ended)
        return;
    SIM_CHECK(!is_owed(g) || (taken != SIM_TAKEN_NONE && m.status == 200),
              "a guest got %zu bytes, status %d", g->in.len, m.status);
    leave(g, false);
}

static bool guest_write(struct sim_guest *g)
{
    struct weir_slice rest = sim_text_rest(&g->out);
    if (g->shut)
        return false;
    if (rest.len == 0) {
        g->shut = true;
        if (g->half_close)
            (void)sim_shutdown(world_of(g), g->fd);
        return true;
    }
    rest.len = (size_t)sim_between(world_of(g), 1, rest.len);
    int64_t n = sim_send(world_of(g), g->fd, rest);
    if (n > 0)
        g->out.taken += (size_t)n;
    g->shut = n < 0 && n != -EAGAIN;
    return n > 0 || g->shut;
}

static bool guest_read(struct sim_guest *g)
{
    uint8_t piece[4096];
    int64_t n = sim_recv(world_of(g), g->fd, piece, sizeof piece);
    if (n == -EAGAIN)
        return false;
    if (n > 0)
        sim_text_add(&g->in, piece, (size_t)n);
    g->ended = n <= 0;
    serve_check(g);
    return true;
}

static bool guest_begin(struct sim_guest *g)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    const char *colon = strrchr(g->office->endpoint, ':');
    addr.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g->begun = true;
    g->fd = sim_socket(world_of(g));
    if (g->fd >= 0)
        sim_connect(world_of(g), g->fd, (const struct sockaddr *)(const void *)&addr);
    return true;
}

static bool step(struct sim_actor *actor)
{
    struct sim_guest *g = weir_container_of(actor, struct sim_guest, actor);
    uint64_t now_ns = world_of(g)->now_ns;
    if (!g->begun)
        return g->start_ns <= now_ns && guest_begin(g);
    if (g->fd < 0)
        return false;
    const struct sim_sock *sock = sim_sock(world_of(g), g->fd);
    if (sock->kind == SIM_FAILED || g->leave_ns <= now_ns) {
        leave(g, one_in(world_of(g), 2));
        return true;
    }
    if (sock->kind == SIM_CONNECTING)
        return false;
    bool moved = guest_read(g);
    if (g->fd >= 0)
        moved |= guest_write(g);
    return moved;
}

static bool done(const struct sim_actor *actor)
{
    const struct sim_guest *g = weir_container_of(actor, const struct sim_guest, actor);
    return g->begun && g->fd < 0;
}

void sim_guest_open(struct sim_guest *g, struct sim_office *office, uint32_t index)
{
    struct sim_run *run = office->run;
    struct sim_world *w = run->world;
    *g = (struct sim_guest){ .actor = { .step = step, .done = done }, .office = office, .fd = -1 };
    g->old = one_in(w, 4);
    g->half_close = one_in(w, 2);
    g->patient = !one_in(w, 3);
    g->start_ns = run->begin_ns + sim_below(w, 1ull << sim_below(w, 28));
    g->leave_ns = g->start_ns + (g->patient ? 100 * SIM_S : sim_below(w, 1ull << sim_below(w, 28)));
    sim_wake_at(w, g->start_ns);
    sim_wake_at(w, g->leave_ns);
    request_print(g, w, index);
    run->actors[run->actors_count++] = &g->actor;
}

void sim_guest_close(struct sim_guest *g)
{
    leave(g, false);
    sim_text_free(&g->in);
    sim_text_free(&g->out);
}
