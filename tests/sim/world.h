/* SPDX-License-Identifier: MIT */
/*
 * The simulated world: a clock, a network of stream sockets, chance. Everything in it follows from
 * its seed. Rings (ring_sim.h) and scripted peers live in it side by side, on one thread.
 *
 * A connection is two pipes with a capacity. Bytes are in the receiver's memory from the moment
 * they are sent, as on a real network they are in one or the other's, and become visible when their
 * delivery is due. Descriptors are the world's own numbers, lowest first as a kernel gives them,
 * far above any real one.
 */
#ifndef WEIR_TESTS_SIM_WORLD_H
#define WEIR_TESTS_SIM_WORLD_H

#include "core/base.h"
#include "core/sock.h"
#include "fault.h"

#include <netinet/in.h>

#define SIM_FD_FIRST    1000000
#define SIM_SOCKS_MAX   160
#define SIM_BACKLOG_MAX 64
#define SIM_RINGS_MAX   4
#define SIM_TRACE_MAX   256u

#define SIM_US 1000ull
#define SIM_MS 1000000ull
#define SIM_S  1000000000ull

enum sim_sock_kind {
    SIM_FREE,
    SIM_FRESH,
    SIM_LISTENING,
    SIM_CONNECTING,
    SIM_CONNECTED,
    SIM_FAILED
};

struct sim_sock {
    enum sim_sock_kind kind;
    uint32_t gen;
    int err;         /* what the next operation reports, as -errno */
    int connect_err; /* how connecting will end */
    bool write_shut;
    bool reset_on_close;
    bool dead; /* a reset came or went: nothing moves any more */
    int peer;  /* index; -1 = none */
    uint32_t peer_gen;
    uint64_t latency_ns; /* of what is sent to it */
    /* what it received */
    uint8_t *rx;
    uint32_t rx_cap, rx_head;
    uint32_t rx_len;     /* bytes sent to it and not read */
    uint32_t rx_visible; /* and arrived */
    bool rx_eof;         /* the end arrived */
    uint64_t rx_last_ns; /* when the last packet to it arrives */
    struct sockaddr_in local, remote;
    /* a listener's: connections that wait to be accepted */
    int backlog[SIM_BACKLOG_MAX];
    uint32_t backlog_count, backlog_max;
    /* the books of the ring that uses it */
    int ring;           /* number; -1 = a scripted peer's */
    uint32_t owner;     /* slot that receives or connects on it; UINT32_MAX = none yet */
    uint32_t ops_alive; /* operations whose last completion was not handled, notifications apart */
    uint32_t recvs, sends; /* of these, what may be there only once */
    uint64_t send_told_ns; /* when the last send's completion shows */
};

struct sim_trace_event {
    uint64_t at_ns;
    const char *what;
    int where; /* a descriptor, or an identity */
    int64_t a, b;
};

struct sim_event;
struct sim_ring;

struct sim_world {
    uint64_t seed;
    uint64_t rng;
    uint64_t now_ns;
    struct sim_faults faults;
    uint64_t latency_max_ns;
    uint32_t pipe_bytes_max;
    uint32_t fds_max;     /* sockets that may be open at once */
    uint16_t silent_port; /* what is sent there is lost: connecting never ends; 0 = there is none */
    bool zc;              /* rings can send without copying */
    bool spin;            /* and may be asked in a loop */
    int canary;           /* enum sim_canary: the rule that is broken */
    uint64_t canary_nth;

    struct sim_sock socks[SIM_SOCKS_MAX];
    uint32_t socks_used;
    uint16_t next_port;
    struct sim_event *events; /* a heap, earliest first */
    uint32_t events_count, events_cap;
    uint64_t events_seq;
    uint64_t happened; /* events that were due */
    struct sim_ring *rings[SIM_RINGS_MAX];
    uint32_t idle_enters; /* in a row: waits that nothing can end */
    uint64_t steps, steps_max;
    bool verbose;
    struct sim_trace_event trace[SIM_TRACE_MAX];
    uint64_t trace_next;
    uint64_t digest; /* of the trace */
};

void sim_world_open(struct sim_world *world, uint64_t seed);
/* Everything must be closed. */
void sim_world_close(struct sim_world *world);

/* ---- Chance ------------------------------------------------------------------------------ */

uint64_t sim_random(struct sim_world *world);
/* 0 ... n - 1 */
uint64_t sim_below(struct sim_world *world, uint64_t n);
/* from ... to */
uint64_t sim_between(struct sim_world *world, uint64_t from, uint64_t to);
bool sim_chance(struct sim_world *world, uint32_t per_million);
/* Here is an opportunity for `kind`: does it happen? */
bool sim_fault(struct sim_world *world, enum sim_fault_kind kind);

/* ---- Time -------------------------------------------------------------------------------- */

/* Call `run` at that time, from whatever moves the clock. */
void sim_at(struct sim_world *world, uint64_t at_ns, void (*run)(void *arg), void *arg);
/* Make sure that the clock stops then. */
void sim_wake_at(struct sim_world *world, uint64_t at_ns);
/* When the next event is; UINT64_MAX: there is none. */
uint64_t sim_next_ns(const struct sim_world *world);
/* Move the clock, and let everything happen that is due on the way. */
void sim_advance_to(struct sim_world *world, uint64_t at_ns);

/* ---- Sockets, as system calls give them -------------------------------------------------- */

int sim_socket(struct sim_world *world);
int sim_bind_listen(struct sim_world *world, struct weir_sockaddr addr, uint32_t backlog,
                    bool reuse);
/* It ends when the socket's kind is not SIM_CONNECTING any more. */
void sim_connect(struct sim_world *world, int fd, const struct sockaddr *addr);
int sim_accept(struct sim_world *world, int fd);
int64_t sim_recv(struct sim_world *world, int fd, void *out, size_t bytes);
int64_t sim_send(struct sim_world *world, int fd, struct weir_slice data);
/* Would a receive not block? */
bool sim_readable(const struct sim_world *world, int fd);
/* Would a send not block? */
bool sim_writable(struct sim_world *world, int fd);
int sim_shutdown(struct sim_world *world, int fd);
void sim_close(struct sim_world *world, int fd, bool reset);
/* Break a connection from outside, both ways. */
void sim_break(struct sim_world *world, int fd, int err);
struct sim_sock *sim_sock(struct sim_world *world, int fd);
static inline bool sim_is_ours(int fd)
{
    return fd >= SIM_FD_FIRST;
}

/* ---- What went wrong --------------------------------------------------------------------- */

void sim_trace(struct sim_world *world, const char *what, int where, int64_t a, int64_t b);
/* Tell seed, reason and the last events of the world that lives, and end the process with 1. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same report, for a handler of SIGABRT. */
void sim_report(void);
#define SIM_CHECK(x, ...) ((x) ? (void)0 : sim_fail(__VA_ARGS__))

#endif
