/* SPDX-License-Identifier: MIT */
/*
 * The last events of an engine, for crash reports: a ring that is overwritten for ever. Owned and
 * written by the engine's thread; printed by that thread too, from the assertion's context or from
 * a signal handler.
 *
 * All zero is an empty trace.
 */
#ifndef WEIR_CORE_TRACE_H
#define WEIR_CORE_TRACE_H

#include <stdint.h>

#define WEIR_TRACE_EVENTS 64u /* a power of two: two or three passes of a busy engine, 1.5 KiB */

struct weir_trace_event {
    uint64_t pass;  /* of the loop */
    uint32_t index; /* of the object: a slot, a file descriptor */
    int32_t res;    /* a result: bytes or -errno */
    uint16_t extra; /* whatever tells more about this kind: a generation, CQE flags */
    uint8_t kind;   /* an index into the names given to weir_trace_print() */
    uint8_t flags;
};

_Static_assert(sizeof(struct weir_trace_event) <= 24, "a trace must stay cheap to write");
_Static_assert((WEIR_TRACE_EVENTS & (WEIR_TRACE_EVENTS - 1)) == 0, "slots are found by masking");

struct weir_trace {
    uint64_t next; /* how many events were ever added; 64 bits, so that it never wraps to "few" */
    struct weir_trace_event events[WEIR_TRACE_EVENTS];
};

/* Remember `event`, forget the one WEIR_TRACE_EVENTS before it. */
static inline void weir_trace_add(struct weir_trace *trace, struct weir_trace_event event)
{
    trace->events[trace->next++ & (WEIR_TRACE_EVENTS - 1)] = event;
}

/*
 * Write the events to `fd`, oldest first, one line each. `kind_names` has `kinds_count` entries; a
 * kind without a name (beyond the table, or NULL in it) is printed as its number.
 * Async-signal-safe, keeps errno. An error of write(2) ends the output: the process is about to die
 * and there is nobody left to tell.
 */
void weir_trace_print(const struct weir_trace *trace, const char *const *kind_names,
                      unsigned kinds_count, int fd);

#endif
