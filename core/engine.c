/* SPDX-License-Identifier: MIT */
/*
 * The loop.
 *
 * One pass:
 *   1. submit and wait in one kernel entry (not waiting when there is work already)
 *   2. read the clock, once
 *   3. reap: dispatch each completion by its kind
 *   4. run the tasks other threads posted, then the timers that are due
 *   5. run the ready list, then flush: one send per connection, gathering everything steps 3 to 5
 * queued
 *   6. give the receive buffers back: one release store
 *
 * Timers come before the flush so that an answer a timer gives leaves in the same pass.
 */
#include "core/engine.h"
#include "core/probe.h"
#include "core/ring.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define GEN_MASK 0xffffffu

uint64_t weir_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t weir_engine_clock_ns(const struct weir_engine *engine)
{
    return engine->ring->ops->now_ns(engine->ring);
}

uint64_t weir_engine_now_ns(const struct weir_engine *engine)
{
    return engine->now_ns;
}

/* ---- Slots ------------------------------------------------------------------------------- */

static struct weir_slot *slot_take(struct weir_engine *engine)
{
    struct weir_slot *slot = weir_pool_get(&engine->slots);
    WEIR_ASSERT(slot != NULL); /* there is one for everything that is counted */
    WEIR_ASSERT(!slot->used);
    WEIR_ASSERT(slot->inflight == 0);
    uint32_t gen = slot->gen;
    memset(slot, 0, WEIR_SLOT_BYTES);
    slot->gen = gen;
    slot->index = weir_pool_index(&engine->slots, slot);
    slot->used = true;
    return slot;
}

struct weir_slot *weir_slot_get(struct weir_engine *engine)
{
    return weir_sockets_used(engine) <= engine->conns_max ? slot_take(engine) : NULL;
}

struct weir_slot *weir_slot_get_zc(struct weir_engine *engine)
{
    if (engine->zc_used == WEIR_ZC_SLOTS)
        return NULL;
    engine->zc_used++;
    return slot_take(engine);
}

void weir_slot_put_zc(struct weir_engine *engine, struct weir_slot *slot)
{
    WEIR_ASSERT(engine->zc_used > 0);
    engine->zc_used--;
    weir_slot_put(engine, slot);
}

struct weir_slot *weir_slot_get_watch(struct weir_engine *engine)
{
    if (engine->watch_used == WEIR_WATCH_SLOTS)
        return NULL;
    engine->watch_used++;
    return slot_take(engine);
}

void weir_slot_put_watch(struct weir_engine *engine, struct weir_slot *slot)
{
    WEIR_ASSERT(engine->watch_used > 0);
    engine->watch_used--;
    weir_slot_put(engine, slot);
}

void weir_slot_put(struct weir_engine *engine, struct weir_slot *slot)
{
    WEIR_ASSERT(slot->used);
    WEIR_ASSERT(slot->inflight == 0);
    slot->used = false;
    slot->gen = (slot->gen + 1) & GEN_MASK;
    weir_pool_put(&engine->slots, slot);
}

uint32_t weir_slots_free(const struct weir_engine *engine)
{
    return engine->conns_max + 1 - weir_sockets_used(engine);
}

void weir_engine_set_handler(struct weir_engine *engine, enum weir_op_kind kind,
                             weir_on_done *handler)
{
    WEIR_ASSERT(kind < WEIR_OP_COUNT);
    WEIR_ASSERT(engine->on_done[kind] == NULL || engine->on_done[kind] == handler);
    engine->on_done[kind] = handler;
}

/* ---- Operations -------------------------------------------------------------------------- */

static uint64_t user_data(const struct weir_slot *slot, enum weir_op_kind kind)
{
    return (uint64_t)kind << 56 | (uint64_t)slot->gen << 32 | slot->index;
}

static uint64_t op_begin(struct weir_engine *engine, struct weir_slot *slot, enum weir_op_kind kind)
{
    WEIR_ASSERT(slot->used);
    WEIR_ASSERT(slot->inflight < WEIR_OPS_PER_SLOT);
    WEIR_DEBUG_ASSERT(engine->on_done[kind] != NULL);
    (void)engine;
    slot->inflight++;
    return user_data(slot, kind);
}

void weir_op_accept(struct weir_engine *engine, struct weir_slot *slot, int fd, bool multi)
{
    engine->ring->ops->accept(engine->ring, fd, multi, op_begin(engine, slot, WEIR_OP_ACCEPT));
}

void weir_op_recv(struct weir_engine *engine, struct weir_slot *slot, int fd, bool multi)
{
    engine->ring->ops->recv(engine->ring, fd, multi, op_begin(engine, slot, WEIR_OP_RECV));
}

void weir_op_send(struct weir_engine *engine, struct weir_slot *slot, int fd,
                  struct weir_slice data)
{
    WEIR_ASSERT(data.len > 0);
    engine->ring->ops->send(engine->ring, fd, data, op_begin(engine, slot, WEIR_OP_SEND));
}

void weir_op_sendmsg(struct weir_engine *engine, struct weir_slot *slot, int fd,
                     const struct msghdr *msg)
{
    WEIR_ASSERT(msg->msg_iovlen > 0);
    engine->ring->ops->sendmsg(engine->ring, fd, msg, op_begin(engine, slot, WEIR_OP_SEND));
}

/* The registered buffer that holds all of `data`; -1: none does. */
static int registered_find(const struct weir_engine *engine, struct weir_slice data)
{
    for (int i = 0; i < WEIR_REGISTERED_MAX; i++) {
        struct weir_slice r = engine->registered[i];
        size_t at = (uintptr_t)data.ptr - (uintptr_t)r.ptr; /* huge when it begins before it */
        if (at < r.len && data.len <= r.len - at)
            return i;
    }
    return -1;
}

void weir_op_send_zc(struct weir_engine *engine, struct weir_slot *slot, int fd,
                     struct weir_slice data)
{
    WEIR_ASSERT(data.len > 0 && engine->can_zc);
    engine->ring->ops->send_zc(engine->ring, fd, data, registered_find(engine, data),
                               op_begin(engine, slot, WEIR_OP_SEND_ZC));
}

void weir_op_connect(struct weir_engine *engine, struct weir_slot *slot, int fd,
                     const struct sockaddr *addr, socklen_t bytes)
{
    engine->ring->ops->connect(engine->ring, fd, addr, bytes,
                               op_begin(engine, slot, WEIR_OP_CONNECT));
}

void weir_op_poll(struct weir_engine *engine, struct weir_slot *slot, int fd, uint32_t events)
{
    WEIR_ASSERT(events == POLLIN || events == POLLOUT);
    engine->ring->ops->poll(engine->ring, fd, events, op_begin(engine, slot, WEIR_OP_POLL));
}

void weir_op_cancel(struct weir_engine *engine, struct weir_slot *slot, int fd)
{
    engine->ring->ops->cancel_fd(engine->ring, fd, op_begin(engine, slot, WEIR_OP_CANCEL));
}

void weir_op_cancel_kind(struct weir_engine *engine, struct weir_slot *slot,
                         enum weir_op_kind victim)
{
    enum weir_op_kind kind = victim == WEIR_OP_ACCEPT ? WEIR_OP_ACCEPT_CANCEL
                             : victim == WEIR_OP_POLL ? WEIR_OP_POLL_CANCEL
                                                      : WEIR_OP_CANCEL;
    uint64_t target = user_data(slot, victim);
    engine->ring->ops->cancel(engine->ring, target, op_begin(engine, slot, kind));
}

void weir_unexpected(struct weir_engine *engine, enum weir_op_kind kind,
                     const struct weir_slot *slot, int res)
{
    engine->stats.unexpected++;
    weir_trace_add(&engine->trace, (struct weir_trace_event){ .pass = engine->stats.passes,
                                                              .index = slot->index,
                                                              .res = res,
                                                              .kind = (uint8_t)kind,
                                                              .flags = 0xff });
}

/* ---- The pass ---------------------------------------------------------------------------- */

static void dispatch(struct weir_engine *engine, const struct weir_cqe *cqe)
{
    uint32_t kind = (uint32_t)(cqe->user_data >> 56);
    uint32_t gen = (uint32_t)(cqe->user_data >> 32) & GEN_MASK;
    uint32_t index = (uint32_t)cqe->user_data;
    WEIR_ASSERT(kind < WEIR_OP_COUNT);
    WEIR_ASSERT(index < engine->slots.count);
    struct weir_slot *slot = weir_pool_at(&engine->slots, index);
    weir_trace_add(&engine->trace, (struct weir_trace_event){ .pass = engine->stats.passes,
                                                              .index = index,
                                                              .res = cqe->res,
                                                              .extra = (uint16_t)gen,
                                                              .kind = (uint8_t)kind,
                                                              .flags = (uint8_t)cqe->flags });
    WEIR_PROBE4(completion, engine, kind, index, cqe->res);
    uint32_t buf = cqe->flags >> WEIR_CQE_BUF_SHIFT;
    bool has_buf = cqe->flags & WEIR_CQE_BUFFER;
    if (WEIR_UNLIKELY(slot->gen != gen || !slot->used)) {
        engine->stats.stale_cqes++;
    } else {
        struct weir_done done = { .res = cqe->res,
                                  .last = !(cqe->flags & WEIR_CQE_MORE),
                                  .notif = cqe->flags & WEIR_CQE_NOTIF };
        engine->buf_current = has_buf ? buf : UINT32_MAX;
        if (has_buf && cqe->res > 0)
            done.data = (struct weir_slice){ engine->bufs + (size_t)buf * engine->buf_stride,
                                             (size_t)cqe->res };
        if (done.last) {
            WEIR_ASSERT(slot->inflight > 0);
            slot->inflight--;
        }
        engine->on_done[kind](engine, slot, &done);
    }
    engine->buf_current = UINT32_MAX;
    /* Whatever the completion said: a buffer that came with it goes back, unless it is held. */
    if (has_buf && WEIR_LIKELY(engine->holds[buf] == 0))
        engine->ring->ops->buf_put(engine->ring, buf);
}

/*
 * At most a queue full: a full submission queue is handed on in the middle of a pass and may
 * complete at once, and what those completions queue again, and so on; the rest of the pass must
 * have its turn.
 */
static void reap(struct weir_engine *engine)
{
    const struct weir_cqe *cqe;
    uint32_t count;
    uint32_t left = engine->reap_max;
    while (left > 0 && (count = engine->ring->ops->peek(engine->ring, &cqe)) > 0) {
        count = count < left ? count : left;
        left -= count;
        for (uint32_t i = 0; i < count; i++)
            dispatch(engine, &cqe[i]);
        engine->ring->ops->advance(engine->ring, count);
    }
    uint32_t reaped = engine->reap_max - left;
    engine->stats.cqes += reaped;
    WEIR_PROBE3(pass, engine, engine->stats.passes, reaped);
    if (reaped > 0)
        weir_sched_reaped(&engine->sched, reaped);
}

/* Run what is on the list now; what is put on it meanwhile waits for the next time. */
static void run_list(struct weir_list *list)
{
    struct weir_list batch;
    weir_list_init(&batch);
    weir_list_splice_back(&batch, list);
    struct weir_list *node;
    while ((node = weir_list_pop_front(&batch)) != NULL) {
        struct weir_ready *ready = weir_container_of(node, struct weir_ready, link);
        ready->run(ready);
    }
}

static bool has_work(const struct weir_engine *engine)
{
    const struct weir_cqe *cqe;
    return !weir_list_empty(&engine->ready) || !weir_list_empty(&engine->flush) ||
           weir_mailbox_pending(&engine->mailbox) ||
           engine->ring->ops->peek(engine->ring, &cqe) > 0;
}

static int enter(struct weir_engine *engine, const struct weir_ring_wait *wait)
{
    int rc = engine->ring->ops->enter(engine->ring, wait);
    if (!engine->ring->ops->unsubmitted(engine->ring))
        engine->gathers_used = 0;
    return rc;
}

/*
 * Waking a sleeping thread takes the kernel tens of microseconds (50 on the virtual machines
 * measured), which a timer would be late by. So the engine learns how late it is woken, asks to be
 * woken that much earlier, and passes without waiting until the deadline is there. Growing fast and
 * shrinking slowly, the lead covers nearly all wake-ups (by halves and by 256ths: 10,000 answers a
 * second that are 5 ms delayed were 32 us late in the median and 70 at the 90th percentile when it
 * was fourths and 32nds, and are 23 and 49); its bound is the most CPU time that one timer may
 * cost.
 */
#define WAKE_LEAD_NS_MAX 100000u

static void wake_lead_learn(struct weir_engine *engine, uint64_t asked_ns)
{
    const struct weir_cqe *cqe;
    if (engine->now_ns < asked_ns || engine->ring->ops->peek(engine->ring, &cqe) > 0)
        return; /* something else woke us */
    uint64_t late = weir_min_u64(engine->now_ns - asked_ns, WAKE_LEAD_NS_MAX);
    if (late > engine->wake_lead_ns)
        engine->wake_lead_ns += (late - engine->wake_lead_ns) / 2;
    else
        engine->wake_lead_ns -= (engine->wake_lead_ns - late) / 256;
}

/* Between two looks of a spinning engine: about 100 ns, so that the other thread of a core that is
 * shared gets on. */
#define SPIN_RELAX 4

/* Until a completion is there, or the clock is past `end_ns`. @return did one come? */
static bool spin(struct weir_engine *engine, uint64_t end_ns)
{
    struct weir_ring *ring = engine->ring;
    do {
        if (ring->ops->ready(ring) || weir_mailbox_pending(&engine->mailbox))
            return true;
        for (unsigned i = 0; i < SPIN_RELAX; i++)
            weir_cpu_relax();
    } while (ring->ops->now_ns(ring) < end_ns);
    return false;
}

/*
 * Spin first, if that is likely to pay, then sleep. A spinning engine submits at once and looks at
 * shared memory until the kernel has something; a sleeping one submits and waits in one entry.
 */
static int wait_for_work(struct weir_engine *engine, uint64_t deadline_ns)
{
    struct weir_ring *ring = engine->ring;
    const struct weir_cqe *cqe;
    uint64_t begin_ns = ring->ops->now_ns(ring);
    uint64_t until_ns = deadline_ns > begin_ns ? deadline_ns - begin_ns : 0;
    uint64_t spin_ns =
        ring->abilities & WEIR_RING_SPIN ? weir_sched_spin_ns(&engine->sched, until_ns) : 0;
    if (spin_ns > 0) {
        int rc = ring->ops->unsubmitted(ring) ? enter(engine, NULL) : 0;
        /* What the kernel did not take is what the wait would be for: the next pass tries again. */
        if (rc < 0 || ring->ops->peek(ring, &cqe) > 0 || ring->ops->unsubmitted(ring))
            return rc;
        engine->stats.spins++;
        bool hit = spin(engine, begin_ns + spin_ns);
        uint64_t end_ns = ring->ops->now_ns(ring);
        WEIR_PROBE3(spin, engine, end_ns - begin_ns, hit);
        if (hit)
            weir_sched_waited(&engine->sched, end_ns - begin_ns, false);
        else if (end_ns < deadline_ns)
            weir_sched_missed(&engine->sched);
        if (hit || end_ns >= deadline_ns) {
            engine->stats.spin_hits += hit;
            return enter(engine, NULL);
        }
    }
    engine->stats.sleeps++;
    const struct weir_ring_wait wait = { .deadline_ns = deadline_ns, .count = 1 };
    int rc = enter(engine, &wait);
    uint64_t end_ns = ring->ops->now_ns(ring);
    WEIR_PROBE2(sleep, engine, end_ns - begin_ns);
    if (spin_ns == 0 && ring->ops->peek(ring, &cqe) > 0)
        weir_sched_waited(&engine->sched, end_ns - begin_ns, true);
    return rc;
}

static int pass(struct weir_engine *engine, uint64_t until_ns)
{
    uint64_t timer = weir_wheel_next_ns(&engine->wheel);
    uint64_t early = timer == WEIR_NO_DEADLINE || timer < engine->wake_lead_ns
                         ? timer
                         : timer - engine->wake_lead_ns;
    uint64_t deadline = weir_min_u64(until_ns, early);
    bool wait = deadline > engine->now_ns && !has_work(engine);
    int rc = wait ? wait_for_work(engine, deadline) : enter(engine, NULL);
    engine->now_ns = engine->ring->ops->now_ns(engine->ring);
    if (wait && deadline == early && timer != WEIR_NO_DEADLINE)
        wake_lead_learn(engine, early);
    engine->stats.passes++;
    engine->depth++;
    reap(engine);
    weir_mailbox_run(&engine->mailbox);
    engine->stats.timers_fired += weir_wheel_advance(&engine->wheel, engine->now_ns);
    if (!weir_list_empty(&engine->ready))
        run_list(&engine->ready);
    run_list(&engine->flush);
    engine->depth--;
    engine->ring->ops->buf_commit(engine->ring);
    return rc;
}

/*
 * The timer of weir_engine_fd() follows the wheel; work that a pass left behind is due at once. Set
 * only when it changes: a system call. Readable it stays until it is set again.
 */
static void host_timer_set(struct weir_engine *engine)
{
    bool now = has_work(engine) || engine->ring->ops->unsubmitted(engine->ring);
    uint64_t due = now ? 1 : weir_wheel_next_ns(&engine->wheel);
    if (due == WEIR_NO_DEADLINE)
        due = 0;
    if (due == engine->host_timer_ns && due > engine->now_ns)
        return;
    engine->host_timer_ns = due;
    struct itimerspec spec = { .it_value = { .tv_sec = (time_t)(due / 1000000000u),
                                             .tv_nsec = (long)(due % 1000000000u) } };
    int rc = timerfd_settime(engine->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    WEIR_ASSERT(rc == 0);
}

/* What a last pass queued must be under way before the caller goes elsewhere. */
static int submit_rest(struct weir_engine *engine)
{
    int rc = engine->ring->ops->unsubmitted(engine->ring) ? enter(engine, NULL) : 0;
    if (engine->host_fd >= 0)
        host_timer_set(engine);
    return rc;
}

void weir_engine_refresh_clock(struct weir_engine *engine)
{
    if (engine->depth == 0)
        engine->now_ns = engine->ring->ops->now_ns(engine->ring);
}

int weir_engine_run(struct weir_engine *engine)
{
    int rc = 0;
    WEIR_ASSERT(engine->depth == 0);
    weir_engine_refresh_clock(engine);
    while (rc == 0 && !weir_mailbox_stop_take(&engine->mailbox))
        rc = pass(engine, WEIR_NO_DEADLINE);
    return rc < 0 ? rc : submit_rest(engine);
}

int weir_engine_run_once(struct weir_engine *engine, uint64_t wait_ns)
{
    WEIR_ASSERT(engine->depth == 0);
    weir_engine_refresh_clock(engine);
    uint64_t until =
        wait_ns > WEIR_NO_DEADLINE - engine->now_ns ? WEIR_NO_DEADLINE : engine->now_ns + wait_ns;
    int rc = pass(engine, until);
    return rc < 0 ? rc : submit_rest(engine);
}

void weir_engine_stop(struct weir_engine *engine)
{
    weir_mailbox_stop(&engine->mailbox);
}

void weir_engine_post(struct weir_engine *engine, struct weir_task *task)
{
    weir_mailbox_post(&engine->mailbox, task);
}

/* ---- Timers ------------------------------------------------------------------------------ */

void weir_timer_init(struct weir_timer *timer, weir_timer_fn *on_fire, void *ctx)
{
    *timer = (struct weir_timer){ .on_fire = on_fire, .ctx = ctx };
}

void weir_timer_set(struct weir_engine *engine, struct weir_timer *timer, uint64_t deadline_ns)
{
    WEIR_ASSERT(timer->on_fire != NULL);
    WEIR_ASSERT(timer->engine == NULL || timer->engine == engine);
    if (timer->engine != NULL)
        weir_wheel_remove(&engine->wheel, timer);
    timer->engine = engine;
    timer->deadline_ns = deadline_ns;
    weir_wheel_insert(&engine->wheel, timer);
}

void weir_timer_cancel(struct weir_timer *timer)
{
    if (timer->engine == NULL)
        return;
    weir_wheel_remove(&timer->engine->wheel, timer);
    timer->engine = NULL;
}

/* ---- Held receive buffers ---------------------------------------------------------------- */

/* The receive buffer that all of `piece` lies in; -1: it does not. */
static int64_t buf_of(const struct weir_engine *engine, struct weir_slice piece)
{
    uint64_t all = (uint64_t)engine->bufs_count * engine->buf_stride;
    if (piece.ptr < engine->bufs || piece.ptr >= engine->bufs + all)
        return -1;
    uint64_t at = (uint64_t)(piece.ptr - engine->bufs);
    return at % engine->buf_stride + piece.len <= engine->buf_stride
               ? (int64_t)(at / engine->buf_stride)
               : -1;
}

int weir_slice_hold(struct weir_engine *engine, struct weir_slice piece)
{
    int64_t buf = buf_of(engine, piece);
    if (buf < 0 || (buf != engine->buf_current && engine->holds[buf] == 0))
        return -EINVAL;
    bool first = engine->holds[buf] == 0;
    if ((first && engine->holds_used == engine->holds_max) || engine->holds[buf] == UINT16_MAX) {
        engine->stats.recv_hold_refused++;
        return -ENOBUFS;
    }
    engine->holds[buf]++;
    engine->holds_used += first;
    return 0;
}

void weir_slice_release(struct weir_engine *engine, struct weir_slice piece)
{
    int64_t buf = buf_of(engine, piece);
    WEIR_ASSERT(buf >= 0 && engine->holds[buf] > 0);
    if (--engine->holds[buf] > 0)
        return;
    engine->holds_used--;
    if (buf == engine->buf_current)
        return; /* it goes back at the end of its completion */
    engine->ring->ops->buf_put(engine->ring, (uint32_t)buf);
    if (engine->depth == 0)
        engine->ring->ops->buf_commit(engine->ring);
}

/* ---- Registered memory ------------------------------------------------------------------- */

int weir_engine_register(struct weir_engine *engine, struct weir_slice memory)
{
    if (memory.len == 0 || memory.len > 1u << 30)
        return weir_fail(-EINVAL, "%zu bytes to be registered; it must be 1 ... 1073741824",
                         memory.len);
    if (!engine->can_zc)
        return weir_fail(WEIR_E_UNSUPPORTED, "this ring (%s) cannot send without copying",
                         engine->ring->ops->name);
    for (int i = 1; i < WEIR_REGISTERED_MAX; i++) {
        if (engine->registered[i].len > 0)
            continue;
        int rc = engine->ring->ops->buffer_register(engine->ring, i, memory);
        if (rc < 0)
            return weir_fail(rc, "registering %zu bytes failed: %s (locked memory: ulimit -l)",
                             memory.len, weir_err_name(rc));
        engine->registered[i] = memory;
        return i;
    }
    return weir_fail(-ENOBUFS, "%d pieces of memory are registered already",
                     WEIR_REGISTERED_MAX - 1);
}

void weir_engine_unregister(struct weir_engine *engine, int number)
{
    WEIR_ASSERT(number > 0 && number < WEIR_REGISTERED_MAX && engine->registered[number].len > 0);
    engine->registered[number] = (struct weir_slice){ 0 };
    int rc = engine->ring->ops->buffer_register(engine->ring, number, (struct weir_slice){ 0 });
    WEIR_ASSERT(rc == 0); /* taking away needs no memory */
}

/* ---- In a foreign loop ------------------------------------------------------------------- */

/* What a host's loop waits for: completions, and the next timer. */
int weir_engine_fd(struct weir_engine *engine)
{
    WEIR_ASSERT(engine->depth == 0);
    if (engine->host_fd >= 0)
        return engine->host_fd;
    int ring_fd = engine->ring->ops->pollable(engine->ring);
    if (ring_fd < 0)
        return ring_fd;
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int host_fd = timer_fd < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    if (host_fd < 0 || epoll_ctl(host_fd, EPOLL_CTL_ADD, ring_fd, &event) < 0 ||
        epoll_ctl(host_fd, EPOLL_CTL_ADD, timer_fd, &event) < 0) {
        int rc = -errno;
        if (host_fd >= 0)
            close(host_fd);
        if (timer_fd >= 0)
            close(timer_fd);
        return weir_fail(rc, "no descriptor for a host's loop: %s", weir_err_name(rc));
    }
    engine->host_fd = host_fd;
    engine->timer_fd = timer_fd;
    host_timer_set(engine);
    return host_fd;
}

/* ---- Doorbell ---------------------------------------------------------------------------- */

static void doorbell_arm(struct weir_engine *engine)
{
    engine->ring->ops->read(engine->ring, engine->mailbox.doorbell_fd, &engine->doorbell_value,
                            sizeof engine->doorbell_value,
                            op_begin(engine, engine->doorbell, WEIR_OP_DOORBELL));
}

/* The ring's work is done by waking the loop: the mailbox is looked at in every pass. */
static void doorbell_on_done(struct weir_engine *engine, struct weir_slot *slot,
                             const struct weir_done *done)
{
    WEIR_ASSERT(done->last);
    if (done->res < 0 && done->res != -EAGAIN && done->res != -EINTR) {
        if (done->res != -ECANCELED)
            weir_unexpected(engine, WEIR_OP_DOORBELL, slot, done->res);
        return;
    }
    doorbell_arm(engine);
}

void weir_engine_doorbell_open(struct weir_engine *engine)
{
    weir_engine_set_handler(engine, WEIR_OP_DOORBELL, doorbell_on_done);
    engine->doorbell = weir_slot_get(engine);
    doorbell_arm(engine);
}
