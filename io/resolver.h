/* SPDX-License-Identifier: MIT */
/*
 * Host names to addresses without ever waiting, by c-ares, on an engine.
 *
 * A lookup goes the way of the system's configuration: /etc/hosts, then the name servers and search
 * domains of /etc/resolv.conf, both families at once, sorted as RFC 6724 says. Numeric hosts are
 * answered without any of that.
 *
 * What blocks is local files only: /etc/resolv.conf and its companions when the resolver is opened,
 * /etc/hosts in weir_lookup_start(). c-ares allocates memory for itself, in all calls below; weir
 * does not.
 */
#ifndef WEIR_IO_RESOLVER_H
#define WEIR_IO_RESOLVER_H

#include "core/engine.h"
#include "io/addr.h"

/* Lookups under way at once, cancelled ones included that a server still has to answer. Each asks
 * two questions; bursts of more packets than this makes are lost in the socket buffers of a name
 * server that is busy, and cost a timeout. */
#define WEIR_LOOKUPS_MAX 128u

/* How long an answer may be used: what its records say, between these. */
#define WEIR_RESOLVE_TTL_NS_MIN 1000000000ull
#define WEIR_RESOLVE_TTL_NS_MAX (3600 * 1000000000ull) /* numeric hosts, too */
/* /etc/hosts says nothing about it; so often it is read again. */
#define WEIR_RESOLVE_TTL_NS_HOSTS (60 * 1000000000ull)

#define WEIR_RESOLVE_TIMEOUT_NS 2000000000u
#define WEIR_RESOLVE_TRIES      3u

struct weir_resolver;
struct weir_query;

struct weir_resolver_config {
    struct weir_engine *engine;
    const char *servers; /* "127.0.0.1:5353,[::1]", at most 8; NULL = the system's */
    /* Of the first try of a server, doubled with every round: 1 ms ... 60 s; 0 = 2 s */
    uint64_t timeout_ns;
    uint32_t tries; /* of each server: 1 ... 10; 0 = 3 */
};

/* The caller's memory; on_done is set before a start, the rest is private. */
struct weir_lookup {
    /*
     * The end, exactly once, never from inside weir_lookup_start(). The addresses are valid until
     * it returns, `ttl_ns` is how long they may be used. err < 0: WEIR_E_RESOLVE
     * (weir_lookup_why() tells more), -ENOMEM, or WEIR_E_SHUTDOWN when the resolver was closed;
     * count and ttl_ns are 0. The lookup may be started again, or freed, from in there.
     */
    void (*on_done)(struct weir_lookup *lookup, int err, const struct weir_addr *addrs,
                    uint32_t count, uint64_t ttl_ns);
    const char *why;
    struct weir_query *query; /* NULL: not under way */
};

struct weir_resolver_counters {
    uint64_t started;
    uint64_t answered;
    uint64_t failed;
    uint64_t cancelled;
    uint64_t refused; /* not started: WEIR_LOOKUPS_MAX were under way */
    uint64_t
        unwatched; /* sockets of c-ares that could not be watched: as if the server was silent */
};

/*
 * @return 0; -EINVAL: timeout_ns, tries or servers (weir_error_text() names it); -ENOBUFS: no slot;
 *         -ENOMEM, -EMFILE; WEIR_E_RESOLVE: the system's configuration cannot be read
 */
int weir_resolver_open(struct weir_resolver **out,
                       const struct weir_resolver_config *cfg) WEIR_MUST_USE;

/*
 * End all lookups (on_done with WEIR_E_SHUTDOWN), run engine passes until the kernel has let go of
 * everything, give the memory back. Not from inside a pass.
 * @return 0, or the result of a pass that failed: then the memory is left as it is
 */
int weir_resolver_close(struct weir_resolver *resolver) WEIR_MUST_USE;

void weir_resolver_counters(const struct weir_resolver *resolver,
                            struct weir_resolver_counters *out);

/*
 * Begin to look up a host. The name is copied.
 * @return 0; -EINVAL: no host name (weir_error_text() tells); -ENOBUFS: WEIR_LOOKUPS_MAX are under
 *         way; WEIR_E_SHUTDOWN: the resolver is being closed. On error on_done does not run.
 */
int weir_lookup_start(struct weir_resolver *resolver, struct weir_lookup *lookup,
                      struct weir_slice host, uint16_t port) WEIR_MUST_USE;

/* After it on_done does not run, and the memory is free. No effect on a lookup not under way. */
void weir_lookup_cancel(struct weir_lookup *lookup);

/* Why it failed, for people: "no such name", "the name has no address", "timed out". Static;
 * "" when it did not fail. */
static inline const char *weir_lookup_why(const struct weir_lookup *lookup)
{
    return lookup->why != NULL ? lookup->why : "";
}

#endif
