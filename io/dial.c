/* SPDX-License-Identifier: MIT */
/*
 * A dial's life:
 *
 *     idle --weir_dial_start()--> running --on_open: the winner--> idle
 *                                    |----on_failed: all failed, or the deadline--> idle
 *                                    +----weir_dial_cancel()--> idle
 *
 * running: an attempt is under way, or `again` is linked because not even one could be queued in
 * this pass. The timer is set whenever something is due: the next attempt while there are addresses
 * and places left, the deadline if there is one.
 *
 * Attempts are connections whose handler is ours. Losing one's handler is being given up: the
 * connection closes by itself and knows the dial no more.
 */
#include "io/dial.h"

#include "core/assert.h"

#include <errno.h>

_Static_assert(WEIR_ADDRS_MAX <= UINT8_MAX, "places in the list fit into a byte");
_Static_assert(sizeof(struct weir_addr) <= sizeof(struct weir_gather), "an address fits into one");

static void dial_check(const struct weir_dial *dial)
{
    WEIR_DEBUG_ASSERT(dial->running);
    WEIR_DEBUG_ASSERT(dial->next <= dial->cfg.count);
    WEIR_DEBUG_ASSERT(dial->attempts_count <= WEIR_DIAL_ATTEMPTS_MAX);
    WEIR_DEBUG_ASSERT(dial->attempts_count > 0 || weir_list_linked(&dial->again.link));
    (void)dial;
}

/* ---- Attempts ---------------------------------------------------------------------------- */

static void given_up_on_closed(struct weir_conn *conn, int err)
{
    uint32_t *count = conn->user;
    (void)err;
    if (count == NULL)
        return;
    WEIR_ASSERT(*count > 0);
    --*count;
}

/* A connection that is closing calls nothing else. */
static const struct weir_conn_handler given_up_handler = { .on_closed = given_up_on_closed };

static void attempts_give_up(struct weir_dial *dial)
{
    uint32_t *count = dial->cfg.given_up;
    while (dial->attempts_count > 0) {
        struct weir_conn *conn = dial->attempts[--dial->attempts_count].conn;
        conn->handler = &given_up_handler;
        conn->user = count;
        if (count != NULL)
            ++*count;
        /* With RST: a connection that is being made by now was never wanted. */
        weir_conn_close(conn, WEIR_E_CANCELLED, true);
    }
}

/* The attempt that is `conn`, taken out; its place among the addresses. */
static uint32_t attempt_take(struct weir_dial *dial, const struct weir_conn *conn)
{
    uint32_t i = 0;
    while (i < dial->attempts_count && dial->attempts[i].conn != conn)
        i++;
    WEIR_ASSERT(i < dial->attempts_count);
    uint32_t index = dial->attempts[i].index;
    dial->attempts[i] = dial->attempts[--dial->attempts_count];
    return index;
}

/*
 * A copy of an address that lives until the enter that starts what refers to it: the memory of a
 * gathered send is exactly that. So the owner's may go away before. NULL: none is left in this
 * pass.
 */
static const struct weir_addr *addr_keep(struct weir_engine *engine, const struct weir_addr *addr)
{
    if (engine->gathers_used == engine->gathers_max)
        return NULL;
    struct weir_addr *kept = (void *)&engine->gathers[engine->gathers_used++];
    *kept = *addr;
    return kept;
}

static const struct weir_conn_handler attempt_handler;

/* Begin the next attempt that can be begun. */
static void attempt_begin(struct weir_dial *dial)
{
    struct weir_engine *engine = dial->engine;
    WEIR_ASSERT(dial->attempts_count < WEIR_DIAL_ATTEMPTS_MAX);
    weir_list_remove(&dial->again.link); /* or it would begin another without a head start */
    while (dial->next < dial->cfg.count) {
        uint8_t index = dial->order[dial->next];
        const struct weir_addr *addr = addr_keep(engine, &dial->cfg.addrs[index]);
        if (addr == NULL) {
            weir_ready_push(&engine->ready, &dial->again);
            return;
        }
        struct weir_conn *conn;
        int rc = weir_conn_connect(&conn, engine, addr, &attempt_handler, dial);
        if (rc == 0) {
            dial->next++;
            dial->attempts_sum++;
            dial->attempts[dial->attempts_count++] = (struct weir_dial_attempt){ conn, index };
            return;
        }
        /* Another address would fare no better now. */
        if (weir_is_shortage(rc) && dial->attempts_count > 0)
            return; /* others are under way; it is tried again when the next is due */
        dial->err = rc;
        dial->next = weir_is_shortage(rc) ? dial->cfg.count : dial->next + 1;
    }
}

/* ---- Going on ---------------------------------------------------------------------------- */

static void timer_update(struct weir_dial *dial)
{
    uint64_t due = dial->cfg.deadline_ns;
    bool more = dial->next < dial->cfg.count && dial->attempts_count < WEIR_DIAL_ATTEMPTS_MAX;
    if (more && (due == 0 || dial->next_ns < due))
        due = dial->next_ns;
    if (due != 0)
        weir_timer_set(dial->engine, &dial->timer, due);
    else
        weir_timer_cancel(&dial->timer);
}

static void dial_stop(struct weir_dial *dial)
{
    attempts_give_up(dial);
    weir_timer_cancel(&dial->timer);
    weir_list_remove(&dial->again.link);
    dial->running = false;
}

/* Try the next address, if there is one. @return 0, or the error when that was the end */
static int dial_go(struct weir_dial *dial)
{
    if (dial->attempts_count < WEIR_DIAL_ATTEMPTS_MAX)
        attempt_begin(dial);
    if (dial->attempts_count == 0 && !weir_list_linked(&dial->again.link)) {
        WEIR_ASSERT(dial->err < 0);
        dial_stop(dial);
        return dial->err;
    }
    dial->next_ns = dial->engine->now_ns + dial->cfg.stagger_ns;
    timer_update(dial);
    dial_check(dial);
    return 0;
}

/* The same, when the owner is to be told. The dial may be gone afterwards. */
static void dial_go_on(struct weir_dial *dial)
{
    int rc = dial_go(dial);
    if (rc < 0)
        dial->cfg.on_failed(dial, rc);
}

static void dial_on_again(struct weir_ready *ready)
{
    dial_go_on(weir_container_of(ready, struct weir_dial, again));
}

static void dial_on_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_dial *dial = ctx;
    (void)timer;
    dial_check(dial);
    if (dial->cfg.deadline_ns == 0 || dial->cfg.deadline_ns > dial->engine->now_ns) {
        dial_go_on(dial);
        return;
    }
    dial_stop(dial);
    dial->cfg.on_failed(dial, WEIR_E_CONNECT_TIMEOUT);
}

static void attempt_on_open(struct weir_conn *conn)
{
    struct weir_dial *dial = conn->user;
    dial_check(dial);
    dial->winner = attempt_take(dial, conn);
    dial->family = dial->cfg.addrs[dial->winner].storage.ss_family;
    dial_stop(dial);
    dial->conn = conn;
    conn->handler = dial->cfg.handler;
    conn->user = dial->cfg.user;
    conn->handler->on_open(conn);
}

static void attempt_on_closed(struct weir_conn *conn, int err)
{
    struct weir_dial *dial = conn->user;
    dial_check(dial);
    (void)attempt_take(dial, conn);
    WEIR_ASSERT(err < 0);
    dial->err = err;
    dial_go_on(dial);
}

static const struct weir_conn_handler attempt_handler = { .on_open = attempt_on_open,
                                                          .on_closed = attempt_on_closed };

/* ---- Start and cancel -------------------------------------------------------------------- */

/* RFC 8305 section 4, with a First Address Family Count of 1: the families take turns as long as
 * both have addresses. */
static void order_fill(struct weir_dial *dial)
{
    const struct weir_addr *addrs = dial->cfg.addrs;
    uint32_t count = dial->cfg.count, used = 0;
    int last = 0;
    for (uint32_t n = 0; n < count; n++) {
        uint32_t pick = count;
        for (uint32_t i = 0; i < count; i++) {
            if (used & (1u << i))
                continue;
            if (pick == count)
                pick = i;
            if (n > 0 && addrs[i].storage.ss_family == last)
                continue;
            pick = i;
            break;
        }
        WEIR_ASSERT(pick < count);
        used |= 1u << pick;
        last = addrs[pick].storage.ss_family;
        dial->order[n] = (uint8_t)pick;
    }
}

int weir_dial_start(struct weir_dial *dial, struct weir_engine *engine,
                    const struct weir_dial_config *cfg)
{
    WEIR_ASSERT(!dial->running);
    WEIR_ASSERT(cfg->count > 0 && cfg->count <= WEIR_ADDRS_MAX);
    WEIR_ASSERT(cfg->handler != NULL && cfg->on_failed != NULL);
    *dial = (struct weir_dial){ .engine = engine, .cfg = *cfg, .running = true };
    dial->cfg.stagger_ns = cfg->stagger_ns == 0
                               ? WEIR_DIAL_STAGGER_NS
                               : weir_max_u64(cfg->stagger_ns, WEIR_DIAL_STAGGER_NS_MIN);
    dial->again.run = dial_on_again;
    weir_list_init(&dial->again.link);
    weir_timer_init(&dial->timer, dial_on_timer, dial);
    weir_engine_refresh_clock(engine);
    order_fill(dial);
    return dial_go(dial);
}

void weir_dial_cancel(struct weir_dial *dial)
{
    if (!dial->running)
        return;
    dial_stop(dial);
}
