/* SPDX-License-Identifier: MIT */
/*
 * One answer on its way to the client byte by byte, with a fault of the transport in it. The answer
 * is written here as it would be without the fault: its head, then the body in pieces when they are
 * due. What arrives is what the fault makes of it.
 *
 *   BEGUN --wire_write()...--> --wire_finish()--> the fault's own end, or the regular one --> OVER
 *      \---- the fault ends the answer, or the connection, before ----------------------> OVER
 *
 * Bytes that wait (for a stall, a bandwidth, a client that reads slowly) are kept here, as many as
 * the answer has. `on_over` runs once, as the last thing of one of the calls below or of a timer:
 * nothing more will be sent, and what is written from then on is dropped. Only wire_abandon() never
 * calls it. The connection may outlive it (SLOW_CLOSE, HALF_CLOSE): a wire is done with only after
 * wire_abandon().
 *
 * Where a fault happens:
 *   - A point behind the end of the answer is its end: all of it is sent, then the fault strikes. A
 *     truncated one lacks its last byte, or the end of its chunks, at least.
 *   - A stall there has nothing to keep back, and does not happen.
 *   - A plain answer has no tokens to count: its middle stands for any number of them.
 *   - What cannot say where it is wrong is left out: chunks towards HTTP/1.0, the body of an answer
 *     to HEAD.
 *
 * The head says Connection: close where the connection ends in order (EMPTY, SLOW_CLOSE, or the
 * client wants it so), not where it is to come as a surprise.
 */
#ifndef MOCK_FAULT_WIRE_H
#define MOCK_FAULT_WIRE_H

#include "mock/fault/rule.h"
#include "mock/fault/trickle.h"
#include "mock/text.h"

#include <weir/server.h>
#include <weir/timer.h>

/* The kinds that the wire makes; all others are made of the content, before. */
bool wire_does(enum fault_kind kind);

struct wire;

struct wire_start {
    struct weir_exchange *exchange;
    const struct fault_action *action;
    uint64_t seed, key; /* of random bytes */
    uint16_t status;
    bool head; /* the request is HEAD: wire_write() sends nothing */
    struct weir_slice content_type;
    const struct weir_header *headers; /* copied, like all of these */
    size_t headers_count;
    int64_t body_bytes;    /* of the whole body; -1: streamed in chunks */
    uint32_t tokens_count; /* of the whole stream, for a fraction of it; 0: not a stream */
    void (*on_over)(struct wire *wire, void *ctx);
    void *ctx;
};

struct wire {
    /* Readable. */
    uint64_t sent_bytes;  /* of the body, given to the server */
    uint32_t sent_tokens; /* of them, complete */
    bool cut;             /* ended before its end: what the client has is not the whole answer */
    bool over;
    /* The rest is the wire's own. Offsets count from the first byte of the head. */
    bool sealed;   /* the fault has struck: nothing is added any more */
    bool finished; /* wire_finish() was called */
    bool whole;    /* all of the answer was added, and as it should be */
    bool blocked;  /* waits for wire_writable() */
    bool stalled;  /* the stall is over, or will not be */
    bool bodyless; /* HEAD, 204, 304 */
    bool closing;  /* from the beginning the connection was to end */
    uint8_t state;
    uint8_t framing; /* enum weir_http1_framing */
    struct wire_start start;
    struct fault_action action; /* what start.action points to: the rule may go before the wire */
    struct weir_timer timer;
    struct trickle trickle;
    struct text pending; /* what waits to be sent; bytes before `done` are gone */
    struct text spans;   /* its pieces, struct wire_span; those before `spans_done` are gone */
    size_t done, spans_done;
    uint64_t added, sent;               /* bytes ever added, and given to the server */
    uint64_t head_end;                  /* where the head ends */
    uint64_t release;                   /* COALESCE: bytes before it may leave */
    uint64_t stall_at;                  /* STALL: bytes behind it wait */
    uint64_t credit;                    /* bytes that may leave at once */
    uint64_t garbage_left;              /* random bytes to come, */
    uint64_t garbage_made;              /* and those that were */
    uint64_t point_bytes, point_tokens; /* where in the body the fault strikes; UINT64_MAX = no */
    uint64_t body_added;                /* bytes of the body that wire_write() was given */
    uint64_t tokens_added;
    uint32_t events_held; /* COALESCE */
};

/* Takes the exchange over: only weir_exchange_abort() may be called on it besides. */
void wire_begin(struct wire *wire, const struct wire_start *start);

/* The next piece of the body; of a stream one event, with so many tokens in it (0: none, as the
 * last event). */
void wire_write(struct wire *wire, struct weir_slice piece, uint32_t tokens);

/* That was the whole answer. */
void wire_finish(struct wire *wire);

/* From on_writable of the exchange. */
void wire_writable(struct wire *wire);

/* From on_end of the exchange, always, or instead of going on: no timer is left, memory is free.
 * `cut` and what was sent can still be read. May be called twice. */
void wire_abandon(struct wire *wire);

#endif
