/* SPDX-License-Identifier: MIT */
/*
 * Servers that level their connections.
 *
 *     accepted --> even, or no hand-over free -----------------------------> served here
 *        |
 *        +-- another has fewer --> reserved there --> posted --> arrived --> served there
 *        |                              ^                           |
 *        |                              +--- draining, no slot -----+
 *        |                                                          |
 *        +-- no room anywhere --> held (one) --> placed             |
 *                   |                                               |
 *                   +--> turned away (reset) <-- nobody takes it ---+
 *
 * What a decision depends on is one word for each member, its load: is it open to hand-overs, how
 * many connections it has (those on their way to it included), how many it may have, and how many
 * threads are posting to its engine this moment. Only atomic operations change it, so the order of
 * its changes is the whole protocol: a compare-and-swap that succeeds proves that what was decided
 * on still holds, and looking around may be relaxed. Connections only go where, by that proof, no
 * fewer could be found; so while none end, the counts differ by one at most.
 *
 * Stronger than relaxed, and why:
 *   start    release, reserve acquire: who reserved reads the member's server and engine
 *   posted   release, busy acquire: the engine that was posted to is freed after all posts to it
 * The count carries no other data: the descriptor itself travels with the task, in the mailbox's
 * order. All but the first and the last store of a member's life are read-modify-writes, so that
 * each acquire sees every release before it.
 *
 * A reservation keeps its member's server and engine alive until the connection has arrived, and
 * the count of posting threads until weir_engine_post() has returned, whose last act, ringing the
 * doorbell, may come after the connection has arrived.
 */
#include "proto/http/server_impl.h"
#include "core/base.h"

#include <weir/group.h>
#include <weir/timer.h>

#include <errno.h>
#include <pthread.h>

#define MEMBERS_MAX 1024u

/* Connections one member may have on their way at a time. A burst beyond it is kept, not queued. */
#define HANDOVERS_MAX 64u

/* How soon a held connection is tried again when none of ours ends: other members do not tell. */
#define HELD_RETRY_NS 20000000u

/* How long a closing server waits between two looks at who is still posting: that is somebody in
 * the middle of one system call, and nobody would wake it. */
#define POSTING_WAIT_NS 100000u

/* The parts of a load. */
#define LOAD_CONNS_BITS 21 /* conns_max may be 2^20 */
#define LOAD_CONNS_MASK ((1u << LOAD_CONNS_BITS) - 1)
#define LOAD_POST_SHIFT (2 * LOAD_CONNS_BITS)
#define LOAD_POST_ONE   (1ull << LOAD_POST_SHIFT)
#define LOAD_POST_MASK  0xffffull
#define LOAD_OPEN       (1ull << 63)

_Static_assert(MEMBERS_MAX <= LOAD_POST_MASK, "each thread posts to a member once at a time");
_Static_assert(LOAD_POST_SHIFT + 16 <= 63, "the parts of a load do not overlap");

struct weir_handover {
    struct weir_task task;
    struct weir_handover *next;     /* while it is free */
    struct weir_group_member *from; /* whose it is, always */
    struct weir_server *to;
    int fd;
    uint32_t hops; /* members that had to hand it on */
};

struct weir_group_member {
    /* What all members look at: alone in its line, so that nothing else makes it move. */
    _Alignas(WEIR_CACHE_LINE) uint64_t load;
    /* What a member that hands over to this one uses. */
    _Alignas(WEIR_CACHE_LINE) struct weir_server_group *group;
    struct weir_server *server; /* NULL: the place is free; written under the group's lock */
    struct weir_engine *engine;
    struct weir_handover *returned; /* atomic: hand-overs that have arrived */
    /* Its own thread's. */
    _Alignas(WEIR_CACHE_LINE) struct weir_handover *free;
    uint32_t sessions; /* of the connections in `load`, those that have arrived */
    uint32_t cursor;   /* the member that was handed the last one */
    int held_fd;       /* accepted when no member had room; -1 = none */
    struct weir_timer held_timer;
};

struct weir_server_group {
    struct weir_arena arena;
    struct weir_group_member *members;
    uint32_t members_max;
    pthread_mutex_t lock; /* joining and leaving: what follows, and members' `server` */
    uint32_t members_count;
    char address[WEIR_ADDR_TEXT_BYTES]; /* of the members there are */
    uint64_t conns;                     /* ever, of all members: atomic */
};

uint64_t weir_group_number(struct weir_server *server)
{
    return __atomic_add_fetch(&server->cfg.group->conns, 1, __ATOMIC_RELAXED);
}

/* ---- The load ---------------------------------------------------------------------------- */

static uint32_t load_conns(uint64_t load)
{
    return (uint32_t)load & LOAD_CONNS_MASK;
}

static uint32_t load_limit(uint64_t load)
{
    return (uint32_t)(load >> LOAD_CONNS_BITS) & LOAD_CONNS_MASK;
}

static bool load_takes(uint64_t load)
{
    return (load & LOAD_OPEN) != 0 && load_conns(load) < load_limit(load);
}

static uint64_t load_look(const struct weir_group_member *m)
{
    return __atomic_load_n(&m->load, __ATOMIC_RELAXED);
}

/* One more connection, if nothing has changed since `seen`. */
static bool load_take(struct weir_group_member *m, uint64_t seen)
{
    return __atomic_compare_exchange_n(&m->load, &seen, seen + 1, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/* The same for another's: it stays as long as we post to it. */
static bool load_reserve(struct weir_group_member *m, uint64_t seen)
{
    return __atomic_compare_exchange_n(&m->load, &seen, seen + 1 + LOAD_POST_ONE, false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void load_posted(struct weir_group_member *m)
{
    uint64_t before = __atomic_fetch_sub(&m->load, LOAD_POST_ONE, __ATOMIC_RELEASE);
    WEIR_ASSERT((before >> LOAD_POST_SHIFT & LOAD_POST_MASK) > 0);
}

static void load_drop(struct weir_group_member *m, uint32_t count)
{
    uint64_t before = __atomic_fetch_sub(&m->load, count, __ATOMIC_RELAXED);
    WEIR_ASSERT(load_conns(before) >= count);
}

/* ---- Hand-overs -------------------------------------------------------------------------- */

/* Is one free? Those that have arrived come back all at once, so that no other thread's pop can
 * meet ours. */
static bool handover_ready(struct weir_group_member *own)
{
    if (own->free == NULL && __atomic_load_n(&own->returned, __ATOMIC_RELAXED) != NULL)
        own->free = __atomic_exchange_n(&own->returned, NULL, __ATOMIC_ACQUIRE);
    return own->free != NULL;
}

/* On any thread. Not to be touched after this: its owner may post it again at once. */
static void handover_return(struct weir_handover *h)
{
    struct weir_group_member *from = h->from;
    struct weir_handover *top = __atomic_load_n(&from->returned, __ATOMIC_RELAXED);
    do {
        h->next = top;
    } while (!__atomic_compare_exchange_n(&from->returned, &top, h, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
}

static void on_arrival(struct weir_task *task);

/* Send `fd` to a member that has a place reserved for it. */
static void handover_post(struct weir_group_member *own, struct weir_group_member *to, int fd,
                          uint32_t hops)
{
    struct weir_handover *h = own->free;
    own->free = h->next;
    h->task.run = on_arrival;
    h->to = to->server;
    h->fd = fd;
    h->hops = hops;
    own->cursor = (uint32_t)(to - own->group->members);
    own->server->stats.handed_over++;
    weir_engine_post(to->engine, &h->task);
    load_posted(to);
}

/* ---- Where a connection goes ------------------------------------------------------------- */

/*
 * Of the other members that take one, the one with the fewest connections, and the load it was seen
 * with; of several, the first after the one that was handed the last. O(members).
 */
static struct weir_group_member *fewest(const struct weir_group_member *own, uint64_t *seen)
{
    const struct weir_server_group *group = own->group;
    struct weir_group_member *best = NULL;
    uint32_t at = own->cursor;
    for (uint32_t i = 0; i < group->members_max; i++) {
        at = at + 1 < group->members_max ? at + 1 : 0;
        struct weir_group_member *m = &group->members[at];
        uint64_t load = load_look(m);
        if (m == own || !load_takes(load))
            continue;
        if (best == NULL || load_conns(load) < load_conns(*seen)) {
            best = m;
            *seen = load;
        }
    }
    return best;
}

/* How many more connections can begin here. Those on their way will need a slot, too. */
static uint32_t room_here(const struct weir_group_member *own, uint64_t load)
{
    uint32_t slots = weir_slots_free(own->engine);
    uint32_t coming = load_conns(load) - own->sessions;
    if (!load_takes(load) || slots <= coming)
        return 0;
    uint32_t conns = load_limit(load) - load_conns(load);
    return conns < slots - coming ? conns : slots - coming;
}

/* Begin a connection that is counted in our load. @return false: no slot for it after all */
static bool serve(struct weir_group_member *own, int fd)
{
    if (weir_session_open(own->server, fd) == NULL)
        return false;
    own->sessions++;
    return true;
}

/* @return false: there is no room, not anywhere */
static bool place(struct weir_group_member *own, int fd, uint32_t hops)
{
    for (;;) {
        uint64_t mine = load_look(own), theirs = 0;
        bool here = room_here(own, mine) > 0;
        struct weir_group_member *to = fewest(own, &theirs);
        bool there = to != NULL && (!here || load_conns(theirs) < load_conns(mine)) &&
                     hops < own->group->members_max && handover_ready(own);
        if (there) {
            if (!load_reserve(to, theirs))
                continue; /* somebody else went on: look again */
            handover_post(own, to, fd, hops);
            return true;
        }
        if (!here)
            return false;
        if (!load_take(own, mine))
            continue;
        if (serve(own, fd))
            return true;
        load_drop(own, 1);
        return false;
    }
}

static void turn_away(struct weir_group_member *own, int fd)
{
    own->server->stats.turned_away++;
    weir_sock_set_reset(own->engine, fd);
    weir_sock_close(own->engine, fd);
}

/*
 * Place it, or hold it. More than one to hold are only there when a full server was handed its last
 * place while the kernel was accepting for it many at a time.
 */
static void settle(struct weir_group_member *own, int fd, uint32_t hops)
{
    if (place(own, fd, hops))
        return;
    if (own->server->draining || own->held_fd >= 0) {
        turn_away(own, fd);
        return;
    }
    own->held_fd = fd;
    weir_timer_set(own->engine, &own->held_timer, own->engine->now_ns + HELD_RETRY_NS);
}

/* On the receiver's thread. */
static void on_arrival(struct weir_task *task)
{
    struct weir_handover *h = weir_container_of(task, struct weir_handover, task);
    struct weir_server *server = h->to;
    struct weir_group_member *own = server->member;
    int fd = h->fd;
    uint32_t hops = h->hops;
    handover_return(h);
    if (!server->draining && serve(own, fd)) {
        server->stats.taken_over++;
        return;
    }
    load_drop(own, 1);
    settle(own, fd, hops + 1);
    weir_server_check_drained(server);
}

/* ---- For the server ---------------------------------------------------------------------- */

void weir_group_accept(struct weir_server *server, int fd)
{
    settle(server->member, fd, 0);
}

uint32_t weir_group_capacity(struct weir_server *server)
{
    struct weir_group_member *own = server->member;
    uint64_t theirs = 0;
    if (own->held_fd >= 0)
        return 0;
    uint32_t room = room_here(own, load_look(own));
    if (room > 0)
        return room;
    return fewest(own, &theirs) != NULL && handover_ready(own) ? 1 : 0;
}

void weir_group_retry(struct weir_server *server)
{
    struct weir_group_member *own = server->member;
    int fd = own->held_fd;
    if (fd < 0)
        return;
    own->held_fd = -1;
    weir_timer_cancel(&own->held_timer);
    settle(own, fd, 0);
}

static void on_held_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_group_member *own = ctx;
    (void)timer;
    weir_ready_push(&own->engine->ready, &own->server->unpark);
}

void weir_group_conns_ended(struct weir_server *server)
{
    struct weir_group_member *own = server->member;
    WEIR_ASSERT(own->sessions >= server->stats.conns_now);
    uint32_t ended = own->sessions - server->stats.conns_now;
    if (ended == 0)
        return;
    own->sessions -= ended;
    load_drop(own, ended);
    if (own->held_fd >= 0)
        weir_ready_push(&own->engine->ready, &server->unpark); /* its slot is free only then */
}

void weir_group_drain(struct weir_server *server)
{
    struct weir_group_member *own = server->member;
    __atomic_fetch_and(&own->load, ~LOAD_OPEN, __ATOMIC_RELAXED);
    weir_group_retry(server); /* cannot be held again: the server is draining */
    WEIR_ASSERT(own->held_fd < 0);
}

bool weir_group_expects(const struct weir_server *server)
{
    return load_conns(load_look(server->member)) > 0;
}

uint64_t weir_group_wait_ns(const struct weir_server *server)
{
    uint64_t load = __atomic_load_n(&server->member->load, __ATOMIC_ACQUIRE);
    WEIR_ASSERT((load & LOAD_OPEN) == 0);
    if (load_conns(load) > 0)
        return UINT64_MAX; /* its arrival wakes us */
    return (load >> LOAD_POST_SHIFT & LOAD_POST_MASK) > 0 ? POSTING_WAIT_NS : 0;
}

/* ---- Joining and leaving ----------------------------------------------------------------- */

static bool ends_in_port_0(const char *address)
{
    const char *port = strrchr(address, ':');
    return port != NULL && strcmp(port, ":0") == 0;
}

/* The group's lock is held. */
static int join_check(const struct weir_server_group *group, const struct weir_server *server,
                      const char *address)
{
    if (group->members_count == 0)
        return 0;
    if (group->members_count == group->members_max)
        return weir_fail(-ENOBUFS, "group: all of its %u places are taken", group->members_max);
    if (ends_in_port_0(address))
        return weir_fail(-EINVAL,
                         "listen is %s: the first server of a group may have its port "
                         "picked, the others join it on weir_server_address()",
                         address);
    if (strcmp(address, group->address) != 0)
        return weir_fail(-EINVAL, "listen is %s, but the servers of the group listen on %s",
                         address, group->address);
    for (uint32_t i = 0; i < group->members_max; i++) {
        const struct weir_group_member *m = &group->members[i];
        if (m->server != NULL && m->engine->sock->close != server->engine->sock->close)
            return weir_fail(-EINVAL, "group: the engines' sockets are of different worlds");
        if (m->server != NULL && m->engine == server->engine)
            return weir_fail(-EINVAL, "group: each of its servers needs an engine of its own");
    }
    return 0;
}

/* The group's lock is held, and there is a free place. */
static void join(struct weir_server_group *group, struct weir_server *server, const char *address)
{
    struct weir_group_member *m = group->members;
    while (m->server != NULL)
        m++;
    WEIR_ASSERT(m < group->members + group->members_max);
    WEIR_ASSERT(load_look(m) == 0);
    m->server = server;
    m->engine = server->engine;
    m->sessions = 0;
    m->cursor = (uint32_t)(m - group->members);
    m->held_fd = -1;
    weir_timer_init(&m->held_timer, on_held_timer, m);
    server->member = m;
    if (group->members_count++ == 0)
        memcpy(group->address, address, WEIR_ADDR_TEXT_BYTES);
}

int weir_group_join(struct weir_server *server)
{
    struct weir_server_group *group = server->cfg.group;
    char address[WEIR_ADDR_TEXT_BYTES] = "";
    struct weir_addr addr;
    int rc = weir_addr_parse_listen(&addr, server->cfg.listen);
    if (rc < 0)
        return rc;
    if (addr.storage.ss_family == AF_UNIX)
        return weir_fail(-EINVAL,
                         "listen is %s: servers of a group share a port, and a unix "
                         "socket cannot be shared",
                         server->cfg.listen);
    if (!server->cfg.reuse_port)
        return weir_fail(-EINVAL, "reuse_port is off: servers of a group share a port");
    weir_addr_format(&addr, address, sizeof address);
    pthread_mutex_lock(&group->lock);
    rc = join_check(group, server, address);
    if (rc == 0)
        join(group, server, address);
    pthread_mutex_unlock(&group->lock);
    return rc;
}

void weir_group_start(struct weir_server *server)
{
    struct weir_group_member *own = server->member;
    struct weir_server_group *group = own->group;
    uint32_t slots = own->engine->conns_max - 1; /* the listener has one */
    uint64_t limit = server->cfg.conns_max < slots ? server->cfg.conns_max : slots;
    pthread_mutex_lock(&group->lock);
    if (ends_in_port_0(group->address))
        memcpy(group->address, server->address, sizeof group->address);
    pthread_mutex_unlock(&group->lock);
    __atomic_store_n(&own->load, LOAD_OPEN | limit << LOAD_CONNS_BITS, __ATOMIC_RELEASE);
}

void weir_group_leave(struct weir_server *server)
{
    struct weir_group_member *own = server->member;
    struct weir_server_group *group = own->group;
    WEIR_ASSERT(own->held_fd < 0 && own->sessions == 0);
    __atomic_store_n(&own->load, 0, __ATOMIC_RELAXED);
    pthread_mutex_lock(&group->lock);
    own->server = NULL;
    own->engine = NULL;
    group->members_count--;
    pthread_mutex_unlock(&group->lock);
    server->member = NULL;
}

/* ---- The group --------------------------------------------------------------------------- */

static void members_open(struct weir_server_group *group)
{
    for (uint32_t i = 0; i < group->members_max; i++) {
        struct weir_group_member *m = &group->members[i];
        struct weir_handover *handovers =
            weir_arena_take(&group->arena, HANDOVERS_MAX * sizeof *handovers, WEIR_CACHE_LINE);
        m->group = group;
        m->held_fd = -1;
        for (uint32_t k = 0; k < HANDOVERS_MAX; k++) {
            handovers[k] = (struct weir_handover){ .from = m, .next = m->free };
            m->free = &handovers[k];
        }
    }
}

int weir_server_group_open(struct weir_server_group **out, uint32_t members_max)
{
    struct weir_arena arena;
    const struct weir_range range = { "members_max", members_max, 1, MEMBERS_MAX };
    *out = NULL;
    int rc = weir_range_check(&range, 1);
    if (rc < 0)
        return rc;
    const uint64_t members_bytes = (uint64_t)members_max * sizeof(struct weir_group_member);
    uint64_t bytes = 0;
    bytes += weir_arena_cost(sizeof(struct weir_server_group), WEIR_CACHE_LINE);
    bytes += weir_arena_cost(members_bytes, WEIR_CACHE_LINE);
    /* what each member may have on its way */
    bytes += members_max *
             weir_arena_cost(HANDOVERS_MAX * sizeof(struct weir_handover), WEIR_CACHE_LINE);
    rc = weir_arena_open(&arena, bytes);
    if (rc < 0)
        return rc;
    struct weir_server_group *group = weir_arena_take(&arena, sizeof *group, WEIR_CACHE_LINE);
    group->arena = arena;
    group->members_max = members_max;
    group->members = weir_arena_take(&group->arena, members_bytes, WEIR_CACHE_LINE);
    members_open(group);
    weir_arena_seal(&group->arena);
    rc = -pthread_mutex_init(&group->lock, NULL);
    if (rc < 0) {
        arena = group->arena; /* the group itself lies in it */
        weir_arena_close(&arena);
        return weir_fail(rc, "no memory for the group's lock");
    }
    *out = group;
    return 0;
}

int weir_server_group_close(struct weir_server_group *group)
{
    pthread_mutex_lock(&group->lock);
    bool busy = group->members_count > 0;
    pthread_mutex_unlock(&group->lock);
    if (busy)
        return -EBUSY;
    pthread_mutex_destroy(&group->lock);
    struct weir_arena arena = group->arena;
    weir_arena_close(&arena);
    return 0;
}
