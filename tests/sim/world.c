/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <weir/random.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TIME_BEGIN_NS (3600 * SIM_S)

enum event_kind { EVENT_BYTES, EVENT_EOF, EVENT_RESET, EVENT_CONNECT, EVENT_CALL, EVENT_WAKE };

struct sim_event {
    uint64_t at_ns, seq;
    enum event_kind kind;
    int sock;
    uint32_t gen;
    uint32_t bytes;
    void (*run)(void *arg);
    void *arg;
};

const char *const sim_fault_names[] = {
#define XX(name, harmless) #name,
    SIM_FAULTS(XX)
#undef XX
};
const bool sim_fault_harmless[] = {
#define XX(name, harmless) harmless,
    SIM_FAULTS(XX)
#undef XX
};

static struct sim_world *alive;

/* ---- What went wrong --------------------------------------------------------------------- */

void sim_trace(struct sim_world *world, const char *what, int where, int64_t a, int64_t b)
{
    struct sim_trace_event *e = &world->trace[world->trace_next++ % SIM_TRACE_MAX];
    *e = (struct sim_trace_event){ world->now_ns, what, where, a, b };
    uint64_t event = weir_random_u64((uint64_t)where, (uint64_t)a, (uint64_t)b);
    world->digest = weir_random_u64(world->digest, event, world->now_ns);
    if (world->verbose)
        printf("%14.6f %-14s %8d %12lld %12lld\n", (double)(e->at_ns - TIME_BEGIN_NS) / 1e6, what,
               where, (long long)a, (long long)b);
}

void sim_report(void)
{
    const struct sim_world *world = alive;
    if (world == NULL)
        return;
    uint64_t first = world->trace_next > SIM_TRACE_MAX ? world->trace_next - SIM_TRACE_MAX : 0;
    fprintf(stderr, "seed %llu; the last events:\n", (unsigned long long)world->seed);
    for (uint64_t i = first; i < world->trace_next && !world->verbose; i++) {
        const struct sim_trace_event *e = &world->trace[i % SIM_TRACE_MAX];
        fprintf(stderr, "  %14.6f ms  %-14s %8d %12lld %12lld\n",
                (double)(e->at_ns - TIME_BEGIN_NS) / 1e6, e->what, e->where, (long long)e->a,
                (long long)e->b);
    }
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        if (world->faults.hits[i] > 0)
            fprintf(stderr, "  %s %llu times of %llu\n", sim_fault_names[i],
                    (unsigned long long)world->faults.hits[i],
                    (unsigned long long)world->faults.chances[i]);
    fprintf(stderr, "seed %llu failed\n", (unsigned long long)world->seed);
    fflush(stderr);
}

_Noreturn void sim_fail(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    sim_report();
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(stderr);
    _exit(EXIT_FAILURE);
}

/* ---- Chance ------------------------------------------------------------------------------ */

/* SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
uint64_t sim_random(struct sim_world *world)
{
    uint64_t z = world->rng += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t sim_below(struct sim_world *world, uint64_t n)
{
    SIM_CHECK(n > 0, "a choice among nothing");
    return sim_random(world) % n;
}

uint64_t sim_between(struct sim_world *world, uint64_t from, uint64_t to)
{
    return from + sim_below(world, to - from + 1);
}

bool sim_chance(struct sim_world *world, uint32_t per_million)
{
    return per_million > 0 && sim_random(world) % SIM_CERTAIN < per_million;
}

bool sim_fault(struct sim_world *world, enum sim_fault_kind kind)
{
    struct sim_faults *f = &world->faults;
    uint64_t n = ++f->chances[kind];
    bool hit = sim_chance(world, f->per_million[kind]);
    for (unsigned i = 0; i < f->forced_count; i++) {
        const struct sim_forced *forced = &f->forced[i];
        hit |= forced->kind == kind && n >= forced->nth && n - forced->nth < forced->times;
    }
    if (hit) {
        f->hits[kind]++;
        sim_trace(world, sim_fault_names[kind], 0, (int64_t)n, 0);
    }
    return hit;
}

/* ---- Time -------------------------------------------------------------------------------- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void event_add(struct sim_world *world, struct sim_event event)
{
    if (world->events_count == world->events_cap) {
        world->events_cap = world->events_cap == 0 ? 64 : world->events_cap * 2;
        world->events = realloc(world->events, world->events_cap * sizeof *world->events);
        SIM_CHECK(world->events != NULL, "out of memory");
    }
    event.seq = world->events_seq++;
    uint32_t i = world->events_count++;
    for (; i > 0 && before(&event, &world->events[(i - 1) / 2]); i = (i - 1) / 2)
        world->events[i] = world->events[(i - 1) / 2];
    world->events[i] = event;
}

static struct sim_event event_take(struct sim_world *world)
{
    struct sim_event first = world->events[0];
    struct sim_event last = world->events[--world->events_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= world->events_count)
            break;
        if (child + 1 < world->events_count &&
            before(&world->events[child + 1], &world->events[child]))
            child++;
        if (!before(&world->events[child], &last))
            break;
        world->events[i] = world->events[child];
        i = child;
    }
    world->events[i] = last;
    return first;
}

void sim_at(struct sim_world *world, uint64_t at_ns, void (*run)(void *arg), void *arg)
{
    event_add(world,
              (struct sim_event){ .at_ns = at_ns, .kind = EVENT_CALL, .run = run, .arg = arg });
}

void sim_wake_at(struct sim_world *world, uint64_t at_ns)
{
    event_add(world, (struct sim_event){ .at_ns = at_ns, .kind = EVENT_WAKE });
}

uint64_t sim_next_ns(const struct sim_world *world)
{
    return world->events_count > 0 ? world->events[0].at_ns : UINT64_MAX;
}

/* ---- Sockets: the network's side --------------------------------------------------------- */

static int fd_of(const struct sim_world *world, const struct sim_sock *sock)
{
    return SIM_FD_FIRST + (int)(sock - world->socks);
}

struct sim_sock *sim_sock(struct sim_world *world, int fd)
{
    SIM_CHECK(fd >= SIM_FD_FIRST && fd < SIM_FD_FIRST + SIM_SOCKS_MAX, "descriptor %d is not ours",
              fd);
    struct sim_sock *sock = &world->socks[fd - SIM_FD_FIRST];
    SIM_CHECK(sock->kind != SIM_FREE, "descriptor %d is not open", fd);
    return sock;
}

static struct sim_sock *sock_new(struct sim_world *world, enum sim_sock_kind kind)
{
    if (world->socks_used >= world->fds_max)
        return NULL;
    for (uint32_t i = 0; i < SIM_SOCKS_MAX; i++) {
        struct sim_sock *sock = &world->socks[i];
        if (sock->kind != SIM_FREE)
            continue;
        uint32_t gen = sock->gen;
        *sock = (struct sim_sock){ .kind = kind, .gen = gen, .peer = -1, .ring = -1 };
        sock->owner = UINT32_MAX;
        sock->latency_ns = sim_below(world, world->latency_max_ns + 1);
        world->socks_used++;
        return sock;
    }
    return NULL;
}

static void sock_free(struct sim_world *world, struct sim_sock *sock)
{
    free(sock->rx);
    sock->rx = NULL;
    sock->kind = SIM_FREE;
    sock->gen++;
    world->socks_used--;
}

/* The other end; NULL when it is gone. */
static struct sim_sock *peer_of(struct sim_world *world, const struct sim_sock *sock)
{
    if (sock->peer < 0)
        return NULL;
    struct sim_sock *peer = &world->socks[sock->peer];
    return peer->gen == sock->peer_gen && peer->kind == SIM_CONNECTED ? peer : NULL;
}

/* Something is on its way to `sock`, behind what is on its way already. */
static void deliver(struct sim_world *world, struct sim_sock *sock, enum event_kind kind,
                    uint32_t bytes)
{
    uint64_t at = world->now_ns + sock->latency_ns;
    if (sim_fault(world, SIM_NET_SLOW))
        at += sim_below(world, 50 * SIM_MS);
    at = weir_max_u64(at, sock->rx_last_ns);
    sock->rx_last_ns = at;
    event_add(world, (struct sim_event){ .at_ns = at,
                                         .kind = kind,
                                         .sock = (int)(sock - world->socks),
                                         .gen = sock->gen,
                                         .bytes = bytes });
}

static void reset_now(struct sim_world *world, struct sim_sock *sock, int err)
{
    if (sock->dead)
        return;
    sim_trace(world, "reset", fd_of(world, sock), err, sock->rx_visible);
    sock->dead = true;
    sock->rx_len = sock->rx_visible; /* what arrived can still be read */
    sock->err = err;
}

static void rx_open(struct sim_world *world, struct sim_sock *sock)
{
    sock->rx_cap = (uint32_t)sim_between(world, world->pipe_bytes_max / 16, world->pipe_bytes_max);
    sock->rx = malloc(sock->rx_cap);
    SIM_CHECK(sock->rx != NULL, "out of memory");
}

static struct sim_sock *listener_find(struct sim_world *world, uint16_t port)
{
    struct sim_sock *found = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < SIM_SOCKS_MAX; i++) {
        struct sim_sock *sock = &world->socks[i];
        if (sock->kind == SIM_LISTENING && sock->local.sin_port == port &&
            sim_below(world, ++count) == 0)
            found = sock;
    }
    return found;
}

/* The connection's packet reached the other side. */
static void connect_arrives(struct sim_world *world, struct sim_sock *sock)
{
    struct sim_sock *listener = listener_find(world, sock->remote.sin_port);
    struct sim_sock *child = NULL;
    if (sock->connect_err == 0 && listener != NULL && !listener->dead &&
        listener->backlog_count < listener->backlog_max)
        child = sock_new(world, SIM_CONNECTED);
    if (child == NULL) {
        sock->kind = SIM_FAILED;
        sock->err = sock->connect_err != 0 ? sock->connect_err : -ECONNREFUSED;
        return;
    }
    listener->backlog[listener->backlog_count++] = (int)(child - world->socks);
    sock->kind = SIM_CONNECTED;
    rx_open(world, sock);
    rx_open(world, child);
    child->local = sock->remote;
    child->remote = sock->local;
    child->peer = (int)(sock - world->socks);
    child->peer_gen = sock->gen;
    sock->peer = (int)(child - world->socks);
    sock->peer_gen = child->gen;
}

static void event_run(struct sim_world *world, const struct sim_event *event)
{
    if (event->kind == EVENT_CALL)
        event->run(event->arg);
    if (event->kind >= EVENT_CALL)
        return;
    struct sim_sock *sock = &world->socks[event->sock];
    if (sock->kind == SIM_FREE || sock->gen != event->gen || sock->dead)
        return;
    switch (event->kind) {
    case EVENT_BYTES:
        sock->rx_visible += event->bytes;
        if (sim_fault(world, SIM_NET_RESET))
            sim_break(world, fd_of(world, sock), -ECONNRESET);
        break;
    case EVENT_EOF:
        sock->rx_eof = true;
        break;
    case EVENT_RESET:
        reset_now(world, sock, -ECONNRESET);
        break;
    default:
        connect_arrives(world, sock);
        break;
    }
}

void sim_advance_to(struct sim_world *world, uint64_t at_ns)
{
    while (sim_next_ns(world) <= at_ns) {
        struct sim_event event = event_take(world);
        world->now_ns = weir_max_u64(world->now_ns, event.at_ns);
        world->happened++;
        event_run(world, &event);
    }
    world->now_ns = weir_max_u64(world->now_ns, at_ns);
}

/* ---- Sockets: the programs' side --------------------------------------------------------- */

int sim_socket(struct sim_world *world)
{
    struct sim_sock *sock = sock_new(world, SIM_FRESH);
    return sock == NULL ? -EMFILE : fd_of(world, sock);
}

int sim_bind_listen(struct sim_world *world, struct weir_sockaddr addr, uint32_t backlog,
                    bool reuse)
{
    struct sockaddr_in in = { 0 };
    if (addr.addr->sa_family != AF_INET)
        return -EAFNOSUPPORT;
    memcpy(&in, addr.addr, sizeof in);
    if (in.sin_port == 0)
        in.sin_port = htons(world->next_port++);
    else if (!reuse && listener_find(world, in.sin_port) != NULL)
        return -EADDRINUSE;
    struct sim_sock *sock = sock_new(world, SIM_LISTENING);
    if (sock == NULL)
        return -EMFILE;
    sock->local = in;
    sock->backlog_max = (uint32_t)weir_min_u64(backlog, SIM_BACKLOG_MAX);
    return fd_of(world, sock);
}

void sim_connect(struct sim_world *world, int fd, const struct sockaddr *addr)
{
    struct sim_sock *sock = sim_sock(world, fd);
    SIM_CHECK(sock->kind == SIM_FRESH, "connect on descriptor %d, which is not new", fd);
    SIM_CHECK(addr->sa_family == AF_INET, "connect to family %d", addr->sa_family);
    memcpy(&sock->remote, addr, sizeof sock->remote);
    sock->local = sock->remote;
    sock->local.sin_port = htons(world->next_port++);
    sock->kind = SIM_CONNECTING;
    if (sim_fault(world, SIM_CONNECT_NOADDR)) {
        sock->kind = SIM_FAILED;
        sock->err = -EADDRNOTAVAIL;
        return;
    }
    if (sim_fault(world, SIM_CONNECT_REFUSED))
        sock->connect_err = -ECONNREFUSED;
    if (world->silent_port != 0 && sock->remote.sin_port == htons(world->silent_port))
        return;
    uint64_t wait = 0;
    if (sim_fault(world, SIM_CONNECT_TIMEOUT)) {
        sock->connect_err = -ETIMEDOUT;
        wait = sim_below(world, 30 * SIM_S);
    }
    event_add(world, (struct sim_event){ .at_ns = world->now_ns + 2 * sock->latency_ns + wait,
                                         .kind = EVENT_CONNECT,
                                         .sock = (int)(sock - world->socks),
                                         .gen = sock->gen });
}

int sim_accept(struct sim_world *world, int fd)
{
    struct sim_sock *sock = sim_sock(world, fd);
    SIM_CHECK(sock->kind == SIM_LISTENING, "accept on descriptor %d, which does not listen", fd);
    if (sock->backlog_count == 0)
        return -EAGAIN;
    int child = sock->backlog[0];
    sock->backlog_count--;
    memmove(sock->backlog, sock->backlog + 1, sock->backlog_count * sizeof sock->backlog[0]);
    return SIM_FD_FIRST + child;
}

/* What broke is told once; then it is as if it had ended. */
static int err_take(struct sim_sock *sock)
{
    int err = sock->err;
    sock->err = 0;
    return err;
}

bool sim_readable(const struct sim_world *world, int fd)
{
    const struct sim_sock *sock = &world->socks[fd - SIM_FD_FIRST];
    return sock->rx_visible > 0 || sock->err != 0 || sock->rx_eof || sock->dead;
}

int64_t sim_recv(struct sim_world *world, int fd, void *out, size_t bytes)
{
    struct sim_sock *sock = sim_sock(world, fd);
    if (sock->kind != SIM_CONNECTED)
        return sock->err != 0 ? err_take(sock) : -ENOTCONN;
    uint32_t n = (uint32_t)weir_min_u64(sock->rx_visible, bytes);
    if (n == 0) {
        if (sock->err != 0)
            return err_take(sock);
        return sock->rx_eof || sock->dead ? 0 : -EAGAIN;
    }
    uint32_t first = (uint32_t)weir_min_u64(n, sock->rx_cap - sock->rx_head);
    memcpy(out, sock->rx + sock->rx_head, first);
    memcpy((uint8_t *)out + first, sock->rx, n - first);
    sock->rx_head = (sock->rx_head + n) % sock->rx_cap;
    sock->rx_len -= n;
    sock->rx_visible -= n;
    return n;
}

int64_t sim_send(struct sim_world *world, int fd, struct weir_slice data)
{
    struct sim_sock *sock = sim_sock(world, fd);
    if (sock->kind != SIM_CONNECTED)
        return sock->kind == SIM_CONNECTING ? -EAGAIN : -EPIPE;
    if (sock->err != 0 && !sock->write_shut)
        return err_take(sock);
    if (sock->write_shut || sock->dead)
        return -EPIPE;
    struct sim_sock *peer = peer_of(world, sock);
    if (peer == NULL) {
        /* It is taken, and what comes back is a reset. */
        deliver(world, sock, EVENT_RESET, 0);
        return (int64_t)data.len;
    }
    if (peer->dead)
        return (int64_t)data.len; /* its reset is on the way to us */
    uint32_t n = (uint32_t)weir_min_u64(data.len, peer->rx_cap - peer->rx_len);
    if (n == 0)
        return -EAGAIN;
    uint32_t at = (peer->rx_head + peer->rx_len) % peer->rx_cap;
    uint32_t first = (uint32_t)weir_min_u64(n, peer->rx_cap - at);
    memcpy(peer->rx + at, data.ptr, first);
    memcpy(peer->rx, data.ptr + first, n - first);
    peer->rx_len += n;
    deliver(world, peer, EVENT_BYTES, n);
    return n;
}

bool sim_writable(struct sim_world *world, int fd)
{
    const struct sim_sock *sock = sim_sock(world, fd);
    const struct sim_sock *peer = peer_of(world, sock);
    if (sock->kind == SIM_CONNECTING)
        return false;
    return peer == NULL || peer->dead || sock->dead || sock->err != 0 || sock->write_shut ||
           peer->rx_len < peer->rx_cap;
}

int sim_shutdown(struct sim_world *world, int fd)
{
    struct sim_sock *sock = sim_sock(world, fd);
    if (sock->kind != SIM_CONNECTED || sock->dead)
        return -ENOTCONN;
    struct sim_sock *peer = peer_of(world, sock);
    if (!sock->write_shut && peer != NULL)
        deliver(world, peer, EVENT_EOF, 0);
    sock->write_shut = true;
    return 0;
}

void sim_break(struct sim_world *world, int fd, int err)
{
    struct sim_sock *sock = sim_sock(world, fd);
    struct sim_sock *peer = peer_of(world, sock);
    reset_now(world, sock, err);
    if (peer != NULL)
        reset_now(world, peer, err);
}

/* What a connection's end means for the other side. */
static void close_connected(struct sim_world *world, struct sim_sock *sock, bool reset)
{
    struct sim_sock *peer = peer_of(world, sock);
    if (peer == NULL || sock->dead)
        return;
    /* Closing with input unread resets, too: RFC 1122 section 4.2.2.13. */
    if (!reset && sock->rx_visible == 0) {
        if (!sock->write_shut)
            deliver(world, peer, EVENT_EOF, 0);
        if (sock->rx_len > 0) /* what is on its way finds nobody */
            deliver(world, peer, EVENT_RESET, 0);
        return;
    }
    /* A reset overtakes what is still to be sent, but not what was. */
    if (sim_below(world, 2) == 0)
        deliver(world, peer, EVENT_RESET, 0);
    else
        reset_now(world, peer, -ECONNRESET);
}

void sim_close(struct sim_world *world, int fd, bool reset)
{
    struct sim_sock *sock = sim_sock(world, fd);
    SIM_CHECK(sock->ops_alive == 0, "descriptor %d is closed with %u operations in flight", fd,
              sock->ops_alive);
    sim_trace(world, "close", fd, reset || sock->reset_on_close, sock->rx_visible);
    if (sock->kind == SIM_LISTENING) {
        sock->dead = true;
        while (sock->backlog_count > 0)
            sim_close(world, sim_accept(world, fd), true);
    } else if (sock->kind == SIM_CONNECTED) {
        close_connected(world, sock, reset || sock->reset_on_close);
    }
    sock_free(world, sock);
}

/* ---- Life -------------------------------------------------------------------------------- */

void sim_world_open(struct sim_world *world, uint64_t seed)
{
    *world = (struct sim_world){ .seed = seed,
                                 .rng = seed * 0xd1342543de82ef95u + 1,
                                 .now_ns = TIME_BEGIN_NS,
                                 .fds_max = SIM_SOCKS_MAX,
                                 .pipe_bytes_max = 65536,
                                 .next_port = 20000,
                                 .steps_max = 400000 };
    alive = world;
}

void sim_world_close(struct sim_world *world)
{
    for (uint32_t i = 0; i < SIM_SOCKS_MAX; i++)
        SIM_CHECK(world->socks[i].kind == SIM_FREE, "descriptor %d was never closed",
                  SIM_FD_FIRST + (int)i);
    for (uint32_t i = 0; i < SIM_RINGS_MAX; i++)
        SIM_CHECK(world->rings[i] == NULL, "ring %u was never closed", i);
    free(world->events);
    world->events = NULL;
    alive = NULL;
}
