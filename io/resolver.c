/* SPDX-License-Identifier: MIT */
/*
 * Looking up names.
 *
 * c-ares opens sockets of its own. They are registered with an epoll descriptor, and that one is
 * watched by the engine with a poll, armed from the first question on; c-ares' next timeout is a
 * timer. Whatever c-ares says lies on the `done` list until the ready list has its turn, so that no
 * callback of ours runs inside of c-ares, nor inside of weir_lookup_start().
 *
 * A query's life:
 *
 *     free --weir_lookup_start()--> asked --c-ares--> done --told to its lookup--> free
 *                      |                               ^
 *                      +----------numeric--------------+
 *
 * c-ares cannot cancel one question. A cancelled lookup leaves its query behind, which comes to its
 * end untold; when only such are left, all of them are cancelled together.
 */
#include "io/resolver.h"

#include "io/sock.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HOST_BYTES_MAX 255 /* RFC 1035 section 2.3.4 */

/* Sockets that are looked at after one wake-up; the others wake up again. */
#define EVENTS_MAX 16

#define SERVERS_MAX 8

_Static_assert(ARES_VERSION >= 0x011000, "ares_getaddrinfo() with the TTLs of its answers");

struct weir_query {
    struct weir_list link; /* on resolver->done */
    struct weir_resolver *resolver;
    struct weir_lookup *lookup;   /* NULL: cancelled */
    struct ares_addrinfo *answer; /* ours; NULL: none */
    struct weir_addr numeric;     /* bytes 0: it was a name */
    int status;                   /* of c-ares */
    uint16_t port;
    bool starting; /* inside of weir_lookup_start() */
    bool local;    /* answered in there: no server was asked */
};

/* What lies in the slot. */
struct resolver_watch {
    struct weir_slot slot;
    struct weir_resolver *resolver;
};

_Static_assert(sizeof(struct resolver_watch) <= WEIR_SLOT_BYTES, "fits into a slot");

struct weir_resolver {
    struct weir_engine *engine;
    struct resolver_watch *watch;
    ares_channel channel;
    int epoll_fd;
    bool armed; /* the poll is in flight */
    bool closing;
    uint32_t asked; /* queries that c-ares has */
    uint32_t live;  /* of them, those whose lookup was not cancelled */
    struct weir_timer timer;
    struct weir_ready work;
    struct weir_list done; /* struct weir_query */
    struct weir_pool queries;
    struct weir_resolver_counters counters;
    struct weir_addr addrs[WEIR_ADDRS_MAX]; /* what is being told */
    struct weir_arena arena;
};

static void resolver_check(const struct weir_resolver *resolver)
{
    WEIR_DEBUG_ASSERT(resolver->live <= resolver->asked);
    WEIR_DEBUG_ASSERT(resolver->asked <= resolver->queries.used);
    WEIR_DEBUG_ASSERT(weir_list_empty(&resolver->done) || resolver->closing ||
                      weir_list_linked(&resolver->work.link));
    (void)resolver;
}

static void work_push(struct weir_resolver *resolver)
{
    weir_ready_push(&resolver->engine->ready, &resolver->work);
}

/* ---- c-ares' sockets --------------------------------------------------------------------- */

/*
 * The calls that c-ares makes, made by us: its own writev() to a name server that has closed a TCP
 * connection would raise SIGPIPE, which is the process's to decide about, not a library's.
 */

static ares_socket_t sock_open(int family, int type, int protocol, void *user)
{
    (void)user;
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    int on = 1;
    if (fd >= 0 && type == SOCK_STREAM)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
    return fd;
}

static int sock_close(ares_socket_t fd, void *user)
{
    (void)user;
    return close(fd);
}

static int sock_connect(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t bytes,
                        void *user)
{
    (void)user;
    return connect(fd, addr, bytes);
}

static ares_ssize_t sock_recv(ares_socket_t fd, void *data, size_t bytes, int flags,
                              struct sockaddr *from, ares_socklen_t *from_bytes, void *user)
{
    (void)user;
    return recvfrom(fd, data, bytes, flags, from, from_bytes);
}

static ares_ssize_t sock_send(ares_socket_t fd, const struct iovec *parts, int count, void *user)
{
    (void)user;
    const struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)parts,
                                .msg_iovlen = (size_t)count };
    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static const struct ares_socket_functions sock_functions = { .asocket = sock_open,
                                                             .aclose = sock_close,
                                                             .aconnect = sock_connect,
                                                             .arecvfrom = sock_recv,
                                                             .asendv = sock_send };

/* ---- Watching them ----------------------------------------------------------------------- */

/*
 * A socket that cannot be watched (there is a limit, fs.epoll.max_user_watches) tells nothing: the
 * timeout ends its questions, as if the server was silent.
 */
static void on_sock_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct weir_resolver *resolver = data;
    struct epoll_event event = { .data.fd = fd };
    event.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    if (event.events == 0) {
        /* Before it is closed, which would take it away as well. */
        (void)epoll_ctl(resolver->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return;
    }
    int rc = epoll_ctl(resolver->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    if (rc < 0 && errno == ENOENT)
        rc = epoll_ctl(resolver->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    resolver->counters.unwatched += rc < 0;
}

static void watch_arm(struct weir_resolver *resolver)
{
    WEIR_ASSERT(!resolver->armed && !resolver->closing);
    resolver->armed = true;
    weir_op_poll(resolver->engine, &resolver->watch->slot, resolver->epoll_fd, POLLIN);
}

static void events_take(struct weir_resolver *resolver)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(resolver->epoll_fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        /* An error or end shows in reading as well as in writing: whichever c-ares waits for. */
        bool in = events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP);
        bool out = events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP);
        ares_process_fd(resolver->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
    }
}

static void on_poll(struct weir_engine *engine, struct weir_slot *slot,
                    const struct weir_done *done)
{
    struct weir_resolver *resolver = weir_container_of(slot, struct resolver_watch, slot)->resolver;
    WEIR_ASSERT(done->last && resolver->armed);
    resolver->armed = false;
    if (resolver->closing)
        return;
    if (done->res < 0 && done->res != -EINTR && done->res != -EAGAIN) {
        /* Nobody would hear an answer. What is asked next arms it again. */
        weir_unexpected(engine, WEIR_OP_POLL, slot, done->res);
        ares_cancel(resolver->channel);
        return;
    }
    events_take(resolver);
    work_push(resolver);
    watch_arm(resolver);
}

static void on_poll_cancel(struct weir_engine *engine, struct weir_slot *slot,
                           const struct weir_done *done)
{
    /* There was nothing to cancel, or it is completing already: the poll's completion tells. */
    if (done->res < 0 && done->res != -ENOENT && done->res != -EALREADY)
        weir_unexpected(engine, WEIR_OP_POLL_CANCEL, slot, done->res);
}

static void on_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_resolver *resolver = ctx;
    (void)timer;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    work_push(resolver);
}

/* c-ares has a clock of its own: when ours is a little behind, it is asked once more. */
static void timer_update(struct weir_resolver *resolver)
{
    struct timeval room;
    const struct timeval *wait = ares_timeout(resolver->channel, NULL, &room);
    if (wait == NULL) {
        weir_timer_cancel(&resolver->timer);
        return;
    }
    uint64_t ns = (uint64_t)wait->tv_sec * 1000000000u + ((uint64_t)wait->tv_usec + 1) * 1000u;
    weir_timer_set(resolver->engine, &resolver->timer, resolver->engine->now_ns + ns);
}

/* ---- Answers ----------------------------------------------------------------------------- */

static const char *why_text(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
        return "no such name";
    case ARES_ENODATA:
        return "the name has no address";
    case ARES_ESERVFAIL:
        return "the name server failed";
    case ARES_EREFUSED:
        return "the name server refused";
    case ARES_ETIMEOUT:
        return "timed out";
    case ARES_ECONNREFUSED:
        return "no name server answers";
    case ARES_EFORMERR:
    case ARES_EBADRESP:
        return "the answer is malformed";
    case ARES_EBADNAME:
        return "not a host name";
    case ARES_ECANCELLED:
        return "the name servers' sockets cannot be watched";
    default:
        return ares_strerror(status);
    }
}

static int error_of(const struct weir_resolver *resolver, int status)
{
    if (status == ARES_SUCCESS)
        return 0;
    if (resolver->closing)
        return WEIR_E_SHUTDOWN;
    return status == ARES_ENOMEM ? -ENOMEM : WEIR_E_RESOLVE;
}

/* Add it unless it is there: several records may say the same. @return how many there are */
static uint32_t addr_add(struct weir_addr *addrs, uint32_t count, const struct weir_addr *addr)
{
    for (uint32_t i = 0; i < count; i++)
        if (weir_addr_eq(&addrs[i], addr))
            return count;
    addrs[count] = *addr;
    return count + 1;
}

static uint32_t answer_addrs(const struct weir_query *query, struct weir_addr *addrs)
{
    uint32_t count = 0;
    if (query->numeric.bytes > 0)
        return addr_add(addrs, count, &query->numeric);
    const struct ares_addrinfo_node *node = query->answer->nodes;
    for (; node != NULL && count < WEIR_ADDRS_MAX; node = node->ai_next) {
        if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
            continue;
        WEIR_ASSERT(node->ai_addrlen <= sizeof addrs->storage);
        struct weir_addr addr = { .bytes = node->ai_addrlen };
        memcpy(&addr.storage, node->ai_addr, node->ai_addrlen);
        weir_addr_set_port(&addr, query->port);
        count = addr_add(addrs, count, &addr);
    }
    return count;
}

/* The smallest of all records that led to the addresses. A negative one means 0 (RFC 2181
 * section 8). */
static uint64_t answer_ttl_ns(const struct weir_query *query)
{
    if (query->numeric.bytes > 0)
        return WEIR_RESOLVE_TTL_NS_MAX;
    if (query->local)
        return WEIR_RESOLVE_TTL_NS_HOSTS;
    int ttl = INT32_MAX;
    for (const struct ares_addrinfo_node *n = query->answer->nodes; n != NULL; n = n->ai_next)
        ttl = n->ai_ttl < ttl ? n->ai_ttl : ttl;
    for (const struct ares_addrinfo_cname *n = query->answer->cnames; n != NULL; n = n->next)
        ttl = n->ttl < ttl ? n->ttl : ttl;
    uint64_t ns = ttl > 0 ? (uint64_t)ttl * 1000000000u : 0;
    return weir_min_u64(weir_max_u64(ns, WEIR_RESOLVE_TTL_NS_MIN), WEIR_RESOLVE_TTL_NS_MAX);
}

/* Tell it to its lookup, unless that was cancelled, and free it. */
static void query_end(struct weir_query *query)
{
    struct weir_resolver *resolver = query->resolver;
    struct weir_lookup *lookup = query->lookup;
    int err = error_of(resolver, query->status);
    uint32_t count = 0;
    uint64_t ttl_ns = 0;
    if (lookup != NULL && err == 0) {
        count = answer_addrs(query, resolver->addrs);
        ttl_ns = answer_ttl_ns(query);
    }
    if (err == 0 && count == 0) {
        query->status = ARES_ENODATA;
        err = WEIR_E_RESOLVE;
        ttl_ns = 0;
    }
    const char *why = err == 0 ? NULL : why_text(query->status);
    if (query->answer != NULL)
        ares_freeaddrinfo(query->answer);
    weir_pool_put(&resolver->queries, query);
    if (lookup == NULL)
        return;
    resolver->counters.answered += err == 0;
    resolver->counters.failed += err != 0;
    lookup->query = NULL;
    lookup->why = why;
    lookup->on_done(lookup, err, resolver->addrs, count, ttl_ns);
}

/* What an on_done starts and what is done by then waits for the next time. */
static void done_tell(struct weir_resolver *resolver)
{
    struct weir_list batch;
    weir_list_init(&batch);
    weir_list_splice_back(&batch, &resolver->done);
    struct weir_list *node;
    while ((node = weir_list_pop_front(&batch)) != NULL)
        query_end(weir_container_of(node, struct weir_query, link));
}

static void resolver_work(struct weir_ready *ready)
{
    struct weir_resolver *resolver = weir_container_of(ready, struct weir_resolver, work);
    WEIR_ASSERT(!resolver->closing);
    if (resolver->live == 0 && resolver->asked > 0)
        ares_cancel(resolver->channel); /* nobody waits for any of them */
    done_tell(resolver);
    timer_update(resolver);
    resolver_check(resolver);
}

static void query_done(struct weir_query *query, int status)
{
    query->status = status;
    weir_list_push_back(&query->resolver->done, &query->link);
    work_push(query->resolver);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *answer)
{
    struct weir_query *query = arg;
    struct weir_resolver *resolver = query->resolver;
    (void)timeouts;
    WEIR_ASSERT(resolver->asked > 0);
    resolver->asked--;
    if (query->lookup != NULL) {
        WEIR_ASSERT(resolver->live > 0);
        resolver->live--;
    }
    query->answer = answer;
    query->local = query->starting;
    query_done(query, status == ARES_SUCCESS && answer == NULL ? ARES_ENODATA : status);
}

/* ---- Lookups ----------------------------------------------------------------------------- */

static int host_check(struct weir_slice host)
{
    if (host.len == 0 || host.len > HOST_BYTES_MAX)
        return weir_fail(-EINVAL, "a host name of %zu bytes; it must have 1 ... %d", host.len,
                         HOST_BYTES_MAX);
    if (memchr(host.ptr, '\0', host.len) != NULL)
        return weir_fail(-EINVAL, "a host name has no NUL");
    return 0;
}

/* Names are compared without case, but c-ares knows "localhost" in these letters only, which no
 * server must be asked for (RFC 6761 section 6.3). */
static void name_copy(char *out, struct weir_slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = (char)host.ptr[i];
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    out[host.len] = '\0';
}

static void query_ask(struct weir_query *query, struct weir_slice host)
{
    static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
                                                      .ai_socktype = SOCK_STREAM };
    struct weir_resolver *resolver = query->resolver;
    char name[HOST_BYTES_MAX + 1];
    name_copy(name, host);
    resolver->asked++;
    resolver->live++;
    query->starting = true;
    ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_answer, query);
    query->starting = false; /* the query is there: it is told later */
    if (resolver->asked > 0 && !resolver->armed)
        watch_arm(resolver);
    work_push(resolver); /* for the timer */
}

int weir_lookup_start(struct weir_resolver *resolver, struct weir_lookup *lookup,
                      struct weir_slice host, uint16_t port)
{
    WEIR_ASSERT(lookup->query == NULL && lookup->on_done != NULL);
    int rc = host_check(host);
    if (rc < 0)
        return rc;
    if (resolver->closing)
        return WEIR_E_SHUTDOWN;
    struct weir_query *query = weir_pool_get(&resolver->queries);
    if (query == NULL) {
        resolver->counters.refused++;
        return -ENOBUFS;
    }
    *query = (struct weir_query){ .resolver = resolver, .lookup = lookup, .port = port };
    weir_list_init(&query->link);
    resolver->counters.started++;
    lookup->query = query;
    lookup->why = NULL;
    if (weir_addr_numeric(&query->numeric, host, port))
        query_done(query, ARES_SUCCESS);
    else
        query_ask(query, host);
    resolver_check(resolver);
    return 0;
}

void weir_lookup_cancel(struct weir_lookup *lookup)
{
    struct weir_query *query = lookup->query;
    if (query == NULL)
        return;
    struct weir_resolver *resolver = query->resolver;
    WEIR_ASSERT(query->lookup == lookup);
    query->lookup = NULL;
    lookup->query = NULL;
    resolver->counters.cancelled++;
    if (weir_list_linked(&query->link))
        return; /* on its way to be told: c-ares does not have it */
    WEIR_ASSERT(resolver->live > 0);
    if (--resolver->live == 0 && !resolver->closing)
        work_push(resolver);
}

void weir_resolver_counters(const struct weir_resolver *resolver,
                            struct weir_resolver_counters *out)
{
    *out = resolver->counters;
}

/* ---- Open and close ---------------------------------------------------------------------- */

static int library_status;

static void library_init(void)
{
    library_status = ares_library_init(ARES_LIB_INIT_ALL);
}

/* Once for the process and never undone: other parts of it may use c-ares, and its count is not
 * safe among threads. */
static int library_open(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, library_init);
    if (library_status != ARES_SUCCESS)
        return weir_fail(WEIR_E_RESOLVE, "c-ares: %s", ares_strerror(library_status));
    return 0;
}

static int config_check(const struct weir_resolver_config *cfg)
{
    const struct weir_range ranges[] = {
        { "timeout_ns", cfg->timeout_ns != 0 ? cfg->timeout_ns : WEIR_RESOLVE_TIMEOUT_NS, 1000000,
          60000000000ull },
        { "tries", cfg->tries != 0 ? cfg->tries : WEIR_RESOLVE_TRIES, 1, 10 },
    };
    return weir_range_check(ranges, sizeof ranges / sizeof ranges[0]);
}

static int channel_failed(int status)
{
    return weir_fail(status == ARES_ENOMEM ? -ENOMEM : WEIR_E_RESOLVE,
                     "the configuration of name servers cannot be used: %s", ares_strerror(status));
}

static bool server_parse(struct ares_addr_port_node *out, const char *piece, size_t len)
{
    char text[WEIR_ADDR_TEXT_BYTES];
    struct weir_addr addr;
    if (len == 0 || len + sizeof ":53" > sizeof text || piece[0] == ':')
        return false;
    bool bare = piece[len - 1] == ']' || memchr(piece, ':', len) == NULL;
    memcpy(text, piece, len);
    memcpy(text + len, bare ? ":53" : "", bare ? sizeof ":53" : 1);
    if (weir_addr_parse_listen(&addr, text) < 0)
        return false;
    out->family = addr.storage.ss_family;
    if (out->family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&addr.storage;
        memcpy(&out->addr.addr4, &in->sin_addr, sizeof in->sin_addr);
        out->udp_port = out->tcp_port = ntohs(in->sin_port);
    } else if (out->family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)&addr.storage;
        memcpy(&out->addr.addr6, &in6->sin6_addr, sizeof in6->sin6_addr);
        out->udp_port = out->tcp_port = ntohs(in6->sin6_port);
    }
    return out->udp_port != 0; /* a unix socket has none */
}

/* c-ares' own reader of such lists passes over much that is wrong in them. */
static bool servers_parse(struct ares_addr_port_node *out, const char *list)
{
    for (uint32_t n = 0; n < SERVERS_MAX; n++) {
        size_t len = strcspn(list, ",");
        if (!server_parse(&out[n], list, len))
            return false;
        if (list[len] == '\0')
            return true;
        list += len + 1;
        out[n].next = n + 1 < SERVERS_MAX ? &out[n + 1] : NULL;
    }
    return false;
}

static int channel_open(struct weir_resolver *resolver, const struct weir_resolver_config *cfg)
{
    uint64_t timeout_ns = cfg->timeout_ns != 0 ? cfg->timeout_ns : WEIR_RESOLVE_TIMEOUT_NS;
    struct ares_options options = {
        /* No aliases by the environment: a file of the user's choice would be read each time. */
        .flags = ARES_FLAG_NOALIASES,
        .timeout = (int)(timeout_ns / 1000000u),
        .tries = (int)(cfg->tries != 0 ? cfg->tries : WEIR_RESOLVE_TRIES),
        .sock_state_cb = on_sock_state,
        .sock_state_cb_data = resolver,
    };
    int status = ares_init_options(&resolver->channel, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                       ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        resolver->channel = NULL;
        return channel_failed(status);
    }
    ares_set_socket_functions(resolver->channel, &sock_functions, NULL);
    if (cfg->servers == NULL)
        return 0;
    struct ares_addr_port_node nodes[SERVERS_MAX] = { 0 };
    if (!servers_parse(nodes, cfg->servers))
        return weir_fail(-EINVAL,
                         "servers is '%.100s'; expected 1 ... %d addresses, as in "
                         "127.0.0.1:53,[::1]:53",
                         cfg->servers, SERVERS_MAX);
    status = ares_set_servers_ports(resolver->channel, nodes);
    return status == ARES_SUCCESS ? 0 : channel_failed(status);
}

static int watch_open(struct weir_resolver *resolver)
{
    struct weir_engine *engine = resolver->engine;
    resolver->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (resolver->epoll_fd < 0)
        return weir_fail(-errno, "no epoll descriptor for name lookups: %s", weir_err_name(-errno));
    struct weir_slot *slot = weir_slot_get_watch(engine);
    if (slot == NULL)
        return weir_fail(-ENOBUFS, "more than %u resolvers on one engine", WEIR_WATCH_SLOTS);
    resolver->watch = weir_container_of(slot, struct resolver_watch, slot);
    resolver->watch->resolver = resolver;
    weir_engine_set_handler(engine, WEIR_OP_POLL, on_poll);
    weir_engine_set_handler(engine, WEIR_OP_POLL_CANCEL, on_poll_cancel);
    return 0;
}

/* Nothing is under way any more, or was yet. */
static void resolver_free(struct weir_resolver *resolver)
{
    WEIR_ASSERT(!resolver->armed && resolver->queries.used == 0);
    if (resolver->channel != NULL)
        ares_destroy(resolver->channel);
    if (resolver->watch != NULL)
        weir_slot_put_watch(resolver->engine, &resolver->watch->slot);
    if (resolver->epoll_fd >= 0)
        weir_sock_close(resolver->engine, resolver->epoll_fd);
    struct weir_arena arena = resolver->arena; /* the resolver itself lies in it */
    weir_arena_close(&arena);
}

int weir_resolver_open(struct weir_resolver **out, const struct weir_resolver_config *cfg)
{
    struct weir_arena arena;
    *out = NULL;
    int rc = config_check(cfg);
    if (rc == 0)
        rc = library_open();
    if (rc == 0)
        rc = weir_arena_open(&arena,
                             weir_arena_cost(sizeof(struct weir_resolver), WEIR_CACHE_LINE) +
                                 weir_pool_bytes(sizeof(struct weir_query), WEIR_LOOKUPS_MAX));
    if (rc < 0)
        return rc;
    struct weir_resolver *resolver = weir_arena_take(&arena, sizeof *resolver, WEIR_CACHE_LINE);
    *resolver =
        (struct weir_resolver){ .engine = cfg->engine, .epoll_fd = -1, .work.run = resolver_work };
    weir_pool_open(&resolver->queries, &arena, sizeof(struct weir_query), WEIR_LOOKUPS_MAX);
    weir_arena_seal(&arena);
    resolver->arena = arena;
    weir_list_init(&resolver->done);
    weir_list_init(&resolver->work.link);
    weir_timer_init(&resolver->timer, on_timer, resolver);
    rc = channel_open(resolver, cfg);
    if (rc == 0)
        rc = watch_open(resolver);
    if (rc < 0) {
        resolver_free(resolver);
        return rc;
    }
    cfg->engine->owners++;
    *out = resolver;
    return 0;
}

int weir_resolver_close(struct weir_resolver *resolver)
{
    struct weir_engine *engine = resolver->engine;
    int rc = 0;
    WEIR_ASSERT(engine->depth == 0);
    resolver->closing = true;
    weir_timer_cancel(&resolver->timer);
    ares_destroy(resolver->channel); /* ends all queries, and closes its sockets */
    resolver->channel = NULL;
    WEIR_ASSERT(resolver->asked == 0);
    weir_list_remove(&resolver->work.link);
    done_tell(resolver);
    WEIR_ASSERT(weir_list_empty(&resolver->done));
    if (resolver->armed)
        weir_op_cancel_kind(engine, &resolver->watch->slot, WEIR_OP_POLL);
    while (rc == 0 && resolver->watch->slot.inflight > 0)
        rc = weir_engine_run_once(engine, UINT64_MAX);
    if (rc < 0)
        return rc; /* the kernel may still hold what hangs on it: it is left as it is */
    engine->owners--;
    resolver_free(resolver);
    return 0;
}
