/* SPDX-License-Identifier: MIT */
/*
 * A call from send to end.
 *
 *     IDLE --submit--> SUBMITTED --on the engine's thread--+
 *       |                                                  v
 *       +---------------------------send-----------> a connection is free? --yes--> IN_FLIGHT
 *                                                          | no                      ^   |
 *                                                          v                         |   |
 *                              +------------------------ WAITING ----its turn--------+   |
 *                              |                           ^  ^                          |
 *                              |                           |  +--replay: stale----------+|
 *                              |                        BACKOFF <-------retry-----------+|
 *                              v                           |                             v
 *     IDLE <---on_end------- ENDED <-----------------------+------------------------ complete,
 *                                 late, cancelled, refused, too often                  broken
 *
 * One timer serves WAITING and BACKOFF; in flight the connection's does, which costs a store. A
 * call in flight whose request is not sent whole stays so until its connection is gone, since the
 * kernel may still read its memory.
 *
 * A failed attempt to connect counts for the first waiting call for which none to that endpoint
 * failed before: every waiting call caused one attempt. It ends the call when there is no endpoint
 * left that it could be sent to, also because those that it has not tried were put out meanwhile.
 */
#include "proto/http/client_impl.h"
#include "core/base.h"

#include <errno.h>
#include <time.h>

/* How long a call that found no output memory waits before it is tried again. */
#define MEMORY_RETRY_NS 1000000u

/* The first replay asks for a new connection. More are for those that could not get one, because
 * the pool is full and busy, and met one that had been closed again. */
#define REPLAYS_MAX 8u

/* ---- Lists ------------------------------------------------------------------------------- */

void weir_calls_push(struct weir_calls *calls, struct weir_call *call)
{
    call->next = NULL;
    call->prev = calls->last;
    if (calls->last != NULL)
        calls->last->next = call;
    else
        calls->first = call;
    calls->last = call;
    calls->count++;
}

static void calls_push_front(struct weir_calls *calls, struct weir_call *call)
{
    call->prev = NULL;
    call->next = calls->first;
    if (calls->first != NULL)
        calls->first->prev = call;
    else
        calls->last = call;
    calls->first = call;
    calls->count++;
}

void weir_calls_remove(struct weir_calls *calls, struct weir_call *call)
{
    WEIR_ASSERT(calls->count > 0);
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        calls->first = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    else
        calls->last = call->prev;
    calls->count--;
}

/* ---- Ending ------------------------------------------------------------------------------ */

/* Did the call fail for want of a connection, so that its endpoint knows more? */
static bool unreached(int err)
{
    return err == WEIR_E_RESOLVE || err == WEIR_E_CONNECT || err == WEIR_E_CONNECT_TIMEOUT ||
           err == WEIR_E_TLS || err == WEIR_E_CERTIFICATE;
}

void weir_call_finish(struct weir_client *client, struct weir_call *call, int err)
{
    call->state = CALL_IDLE;
    call->owner = NULL;
    call->timing.end_ns = client->engine->now_ns;
    if (WEIR_LIKELY((call->flags & CALL_PROBE) == 0)) {
        client->pending_count--;
        if (err == 0)
            client->stats.completed++;
        else
            client->stats.failed++;
    }
    if (WEIR_UNLIKELY(unreached(err)))
        (void)weir_fail(err, "%s", client->endpoints[call->timing.endpoint].reason);
    call->handler->on_end(call, err);
}

void weir_call_end_later(struct weir_client *client, struct weir_call *call, int err)
{
    call->err = err;
    call->state = CALL_ENDED;
    call->owner = client;
    weir_calls_push(&client->ended, call);
    weir_ready_push(&client->engine->ready, &client->end_run);
}

void weir_client_end_run(struct weir_ready *ready)
{
    struct weir_client *client = weir_container_of(ready, struct weir_client, end_run);
    /* What the callbacks end waits for the next pass. */
    for (uint32_t n = client->ended.count; n > 0 && client->ended.first != NULL; n--) {
        struct weir_call *call = client->ended.first;
        weir_calls_remove(&client->ended, call);
        weir_call_finish(client, call, call->err);
    }
    if (client->ended.count > 0)
        weir_ready_push(&client->engine->ready, &client->end_run);
}

/* ---- The queue --------------------------------------------------------------------------- */

static void on_call_timer(struct weir_timer *timer, void *ctx);

static void timer_set(struct weir_client *client, struct weir_call *call)
{
    uint64_t at = call->until_ns;
    if (at == 0 || (call->limit_ns != 0 && call->limit_ns < at))
        at = call->limit_ns;
    weir_timer_init(&call->timer, on_call_timer, call);
    if (at != 0)
        weir_timer_set(client->engine, &call->timer, at);
}

/* `limit_ns`: the end of its time in the queue, if that has begun before; else 0. */
static void queue_in(struct weir_client *client, struct weir_call *call, bool front,
                     uint64_t limit_ns)
{
    uint64_t most = client->cfg.waiting_timeout_ns;
    call->state = CALL_WAITING;
    call->owner = client;
    if (front)
        calls_push_front(&client->waiting, call);
    else
        weir_calls_push(&client->waiting, call);
    call->limit_ns = most == 0 || limit_ns != 0 ? limit_ns : client->engine->now_ns + most;
    timer_set(client, call);
}

static void queue_out(struct weir_client *client, struct weir_call *call)
{
    WEIR_ASSERT(call->state == CALL_WAITING);
    weir_timer_cancel(&call->timer);
    weir_calls_remove(&client->waiting, call);
}

/* A call that is replayed would fail if it met a second connection that the server has closed: only
 * a new one will do, unless none can be made. */
static bool suits(const struct weir_client_conn *cc, const struct weir_call *call)
{
    return WEIR_LIKELY((call->flags & CALL_FRESH) == 0) || cc->requests == 0 ||
           (cc->client->connecting_count == 0 && !weir_endpoint_may_connect(cc->endpoint));
}

struct weir_call *weir_client_next(struct weir_client *client, const struct weir_client_conn *cc)
{
    struct weir_call *call = client->waiting.first;
    while (cc != NULL && call != NULL && !suits(cc, call))
        call = call->next;
    if (call != NULL)
        queue_out(client, call);
    return call;
}

void weir_client_put_back(struct weir_client *client, struct weir_call *call, uint64_t limit_ns)
{
    queue_in(client, call, true, limit_ns);
}

static void on_call_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_call *call = ctx;
    struct weir_client *client = call->client;
    bool late = call->until_ns != 0 && call->until_ns <= client->engine->now_ns;
    (void)timer;
    if (call->state == CALL_WAITING) {
        queue_out(client, call);
        client->stats.queue_timeouts += !late;
        weir_call_end_later(client, call, late ? WEIR_E_DEADLINE : WEIR_E_QUEUE_TIMEOUT);
        return;
    }
    WEIR_ASSERT(call->state == CALL_BACKOFF);
    weir_calls_remove(&client->backoff, call);
    if (late) {
        weir_call_end_later(client, call, WEIR_E_DEADLINE);
        return;
    }
    queue_in(client, call, false, 0);
    weir_ready_push(&client->engine->ready, &client->retry_run);
}

void weir_client_memory_short(struct weir_client *client)
{
    /* Not moved: calls that find none again and again must not keep the sources waiting. */
    if (!weir_timer_is_set(&client->memory_timer))
        weir_timer_set(client->engine, &client->memory_timer,
                       client->engine->now_ns + MEMORY_RETRY_NS);
}

static void pump_all(struct weir_client *client)
{
    for (uint32_t i = 0; i < client->endpoints_count; i++) {
        struct weir_list *all = &client->endpoints[i].all;
        struct weir_list *next;
        for (struct weir_list *n = all->next; n != all; n = next) {
            struct weir_client_conn *cc = weir_container_of(n, struct weir_client_conn, all_link);
            next = n->next;
            if (cc->conn != NULL && !cc->connecting)
                weir_client_pump(cc);
        }
    }
}

/* There may be output memory again for the calls that found none, and for the sources. */
void weir_client_on_memory_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_client *client = ctx;
    (void)timer;
    pump_all(client);
    weir_ready_push(&client->engine->ready, &client->retry_run);
}

/* ---- Again ------------------------------------------------------------------------------- */

/* Can the body be sent from its start? What it takes is done. */
static bool rewound(struct weir_call *call)
{
    const struct weir_body_source *source = call->request.source;
    if (source == NULL || (call->flags & CALL_WROTE) == 0)
        return true;
    if (source->rewind == NULL || call->err != 0)
        return false;
    call->flags |= CALL_REWINDING;
    int rc = source->rewind(call);
    call->flags &= (uint16_t)~CALL_REWINDING;
    return rc == 0 && call->err == 0; /* or it was cancelled from in there */
}

static void attempt_reset(struct weir_call *call)
{
    struct weir_call_timing *t = &call->timing;
    *t = (struct weir_call_timing){ .start_ns = t->start_ns,
                                    .retries = t->retries,
                                    .replayed = t->replayed,
                                    .endpoint = t->endpoint };
    call->status = 0;
    call->err = 0;
    call->flags &= CALL_PROBE | CALL_PAUSED;
}

/* What is known of an attempt that has ended. */
static struct weir_retry_attempt attempt_of(const struct weir_client_conn *cc,
                                            const struct weir_call *call)
{
    const struct weir_body_source *source = call->request.source;
    const struct weir_conn *conn = cc->conn;
    uint64_t given = conn->sent_bytes + (conn->send_inflight ? conn->sending_bytes : 0);
    return (struct weir_retry_attempt){
        .idempotent = weir_retry_idempotent(&call->request),
        .repeatable = source == NULL || (call->flags & CALL_WROTE) == 0 || source->rewind != NULL,
        .reused = call->timing.reused,
        .exposed = given > call->end_at - call->timing.request_bytes,
        .answered = call->timing.first_byte_ns != 0,
        .delivered = (call->flags & CALL_HEADED) != 0,
        .replayed = call->replays >= REPLAYS_MAX,
        .sent = call->attempts,
    };
}

/* Is it sent once more, when it may be? `after_ns`: what the server asked for, 0: nothing; becomes
 * the pause to make. */
static bool retry_granted(struct weir_client *client, struct weir_call *call, uint64_t *after_ns)
{
    uint64_t now = client->engine->now_ns;
    uint64_t at;
    struct weir_retry_moment moment = { .now_ns = now,
                                        .deadline_ns = call->until_ns,
                                        .after_ns = *after_ns,
                                        .random = weir_client_random(client),
                                        .number = call->timing.retries + 1u };
    if (client->closing || (call->flags & CALL_PROBE) != 0 ||
        !weir_retry_at(&at, &client->cfg.retry, &moment))
        return false;
    if (!weir_retry_budget_take(&client->budget, now)) {
        client->stats.retries_refused++;
        return false;
    }
    *after_ns = at - now;
    if (rewound(call))
        return true;
    weir_retry_budget_give_back(&client->budget, now);
    return false;
}

void weir_call_retry(struct weir_client *client, struct weir_call *call, uint64_t wait_ns)
{
    attempt_reset(call);
    call->timing.retries++;
    client->stats.retries++;
    call->state = CALL_BACKOFF;
    call->owner = client;
    call->limit_ns = client->engine->now_ns + wait_ns;
    weir_calls_push(&client->backoff, call);
    timer_set(client, call);
}

void weir_call_give_up_retry(struct weir_call *call)
{
    struct weir_client *client = call->client;
    WEIR_ASSERT(call->state == CALL_BACKOFF);
    weir_timer_cancel(&call->timer);
    weir_calls_remove(&client->backoff, call);
    weir_retry_budget_give_back(&client->budget, client->engine->now_ns);
}

bool weir_call_retries_status(struct weir_client_conn *cc, struct weir_call *call,
                              uint64_t *wait_ns)
{
    struct weir_client *client = cc->client;
    const struct weir_http1_head *head = &client->response.head;
    WEIR_ASSERT(client->cfg.retry.attempts_max > 1);
    if (head->status < 400 || call->err != 0)
        return false;
    struct weir_retry_attempt attempt = attempt_of(cc, call);
    if (!weir_retry_allowed(&client->cfg.retry, &attempt, 0, head->status))
        return false;
    struct weir_slice after = weir_http1_find(head, WEIR_TEXT("Retry-After"));
    struct weir_slice date = weir_http1_find(head, WEIR_TEXT("Date"));
    if (!weir_retry_after(wait_ns, after, date, (int64_t)time(NULL)))
        *wait_ns = 0;
    return retry_granted(client, call, wait_ns);
}

/* What a connection's end means for a call that was on it. */
static int call_error(const struct weir_call *call, int err)
{
    if (err == 0 || err == WEIR_E_PROTOCOL || err == WEIR_E_LIMIT || err == WEIR_E_TRUNCATED ||
        err == WEIR_E_CANCELLED)
        err = WEIR_E_CLOSED; /* it was another call that was broken */
    return err == WEIR_E_CLOSED && call->timing.first_byte_ns != 0 ? WEIR_E_TRUNCATED : err;
}

/* Nobody has asked for its end: the connection broke under it. */
static bool lost(struct weir_client_conn *cc, struct weir_call *call, int err)
{
    struct weir_client *client = cc->client;
    struct weir_retry_attempt attempt = attempt_of(cc, call);
    uint64_t wait_ns = 0;
    bool own = err == WEIR_E_CANCELLED; /* we ended it, for the sake of another call on it */
    err = call_error(call, err);
    if ((call->flags & CALL_PROBE) == 0 && !client->closing && !client->cfg.retry.no_replay &&
        weir_retry_replay(&attempt, err) && rewound(call)) {
        weir_endpoint_result(cc->endpoint, call, WEIR_E_CANCELLED);
        attempt_reset(call);
        call->timing.replayed = true;
        call->replays++;
        call->flags |= CALL_FRESH;
        call->attempts--;
        client->stats.replays++;
        return true;
    }
    weir_endpoint_result(cc->endpoint, call, own ? WEIR_E_CANCELLED : err);
    if (weir_retry_allowed(&client->cfg.retry, &attempt, err, 0) &&
        retry_granted(client, call, &wait_ns)) {
        weir_call_retry(client, call, wait_ns);
        return false;
    }
    if (call->err != 0)
        err = call->err; /* cancelled while its source was asked */
    if (err > -4096)
        call->timing.os_err = err;
    weir_call_end_later(client, call, err);
    return false;
}

bool weir_call_broken(struct weir_client_conn *cc, struct weir_call *call, int err)
{
    struct weir_client *client = cc->client;
    if ((call->flags & CALL_ANSWERED) != 0) {
        weir_call_end_later(client, call, 0);
    } else if ((call->flags & CALL_AGAIN) != 0 && call->err == 0 && !client->closing) {
        weir_call_retry(client, call, call->limit_ns);
    } else if ((call->flags & CALL_AGAIN) != 0) {
        weir_retry_budget_give_back(&client->budget, client->engine->now_ns);
        weir_call_end_later(client, call, call->err != 0 ? call->err : WEIR_E_SHUTDOWN);
    } else if (call->err != 0) {
        weir_endpoint_result(cc->endpoint, call, call->err);
        if (call->err > -4096)
            call->timing.os_err = call->err;
        weir_call_end_later(client, call, call->err);
    } else {
        return lost(cc, call, err);
    }
    return false;
}

/* Has the call failed to reach every server that there is hope for? */
static bool tried_everywhere(const struct weir_client *client, const struct weir_call *call)
{
    for (uint32_t i = 0; i < client->endpoints_count; i++)
        if ((call->failed_at >> i & 1) == 0 && weir_endpoint_fit(&client->endpoints[i]))
            return false;
    return true;
}

void weir_client_attempt_failed(struct weir_client *client, struct weir_endpoint *endpoint, int err,
                                int os_err, uint32_t most)
{
    struct weir_call *next;
    for (struct weir_call *call = client->waiting.first; call != NULL && most > 0; call = next) {
        uint64_t wait_ns = 0;
        uint64_t bit = UINT64_C(1) << endpoint->index;
        bool again = (call->failed_at & bit) != 0;
        next = call->next;
        call->failed_at |= bit;
        if (!tried_everywhere(client, call)) {
            most -= !again; /* else it waits for another endpoint */
            continue;
        }
        most--;
        queue_out(client, call);
        call->failed_at = 0;
        call->attempts++;
        call->timing.endpoint = (uint8_t)endpoint->index;
        /* Nothing was sent, so that it is safe for every method. */
        struct weir_retry_attempt attempt = { .repeatable = true, .sent = call->attempts };
        if (weir_retry_allowed(&client->cfg.retry, &attempt, err, 0) &&
            retry_granted(client, call, &wait_ns)) {
            weir_call_retry(client, call, wait_ns);
            continue;
        }
        call->timing.os_err = os_err;
        weir_call_end_later(client, call, err);
    }
}

/* ---- The caller's side ------------------------------------------------------------------- */

static int wait_for_conn(struct weir_client *client, struct weir_call *call)
{
    if (client->waiting.count >= client->cfg.waiting_max) {
        client->stats.refused++;
        return weir_fail(WEIR_E_QUEUE_FULL, "%u calls wait already (waiting_max)",
                         client->waiting.count);
    }
    /* Refused now, not when its turn comes. */
    int64_t n = weir_client_write_head(weir_endpoint_authority(&client->endpoints[0]), call,
                                       client->scratch, client->scratch_bytes);
    if (n < 0)
        return (int)n;
    queue_in(client, call, false, 0);
    if (WEIR_UNLIKELY((client->waiting.first->flags & CALL_FRESH) != 0))
        weir_ready_push(&client->engine->ready,
                        &client->retry_run); /* others need not wait for it */
    else
        weir_client_connect_more(client);
    return 0;
}

/* The first call of all: from here on the pool keeps its least. */
static void use(struct weir_client *client)
{
    client->used = true;
    for (uint32_t i = 0; i < client->endpoints_count; i++)
        weir_endpoint_begin(&client->endpoints[i]);
}

static int dispatch(struct weir_client *client, struct weir_call *call)
{
    if (WEIR_UNLIKELY(call->until_ns != 0 && call->until_ns <= client->engine->now_ns)) {
        weir_call_end_later(client, call, WEIR_E_DEADLINE); /* no connection is spent on it */
        return 0;
    }
    /* Nobody overtakes the queue. */
    struct weir_client_conn *cc = client->waiting.count > 0 ? NULL : weir_client_take(client);
    if (WEIR_UNLIKELY(cc == NULL))
        return wait_for_conn(client, call);
    int rc = weir_client_conn_send(cc, call);
    weir_client_offer(cc);
    return rc;
}

int weir_client_send(struct weir_client *client, struct weir_call *call)
{
    WEIR_ASSERT(call->state == CALL_IDLE);
    if (WEIR_UNLIKELY(client->closing))
        return WEIR_E_SHUTDOWN;
    if (WEIR_UNLIKELY(call->handler == NULL || call->handler->on_end == NULL))
        return weir_fail(-EINVAL, "a call needs a handler with on_end");
    if (WEIR_UNLIKELY(client->cfg.pending_max != 0 &&
                      client->pending_count >= client->cfg.pending_max)) {
        client->stats.refused++;
        return weir_fail(WEIR_E_OVERLOAD, "%u calls are in progress already (pending_max)",
                         client->pending_count);
    }
    weir_engine_refresh_clock(client->engine);
    uint64_t now = client->engine->now_ns;
    call->client = client;
    call->timing = (struct weir_call_timing){ .start_ns = now };
    call->status = 0;
    call->err = 0;
    call->flags = 0;
    call->attempts = 0;
    call->replays = 0;
    call->failed_at = 0;
    call->until_ns = call->deadline_ns;
    if (call->until_ns == 0 && client->cfg.timeout_ns != 0)
        call->until_ns = now + client->cfg.timeout_ns;
    int rc = dispatch(client, call);
    if (WEIR_UNLIKELY(rc < 0))
        return rc;
    client->stats.calls++;
    client->pending_count++;
    if (client->cfg.retry.attempts_max > 1)
        weir_retry_budget_call(&client->budget, now);
    if (WEIR_UNLIKELY(!client->used))
        use(client);
    return 0;
}

static void submit_run(struct weir_task *task)
{
    struct weir_call *call = weir_container_of(task, struct weir_call, task);
    struct weir_client *client = call->client;
    bool cancelled = (call->flags & CALL_CANCELLED) != 0;
    call->state = CALL_IDLE;
    int rc = cancelled ? WEIR_E_CANCELLED : weir_client_send(client, call);
    if (rc == 0)
        return;
    call->timing = (struct weir_call_timing){ .start_ns = client->engine->now_ns,
                                              .end_ns = client->engine->now_ns };
    call->handler->on_end(call, rc);
}

void weir_client_submit(struct weir_client *client, struct weir_call *call)
{
    WEIR_ASSERT(call->state == CALL_IDLE);
    WEIR_ASSERT(call->handler != NULL && call->handler->on_end != NULL);
    call->client = client;
    call->flags = 0;
    call->state = CALL_SUBMITTED;
    call->task.run = submit_run;
    weir_engine_post(client->engine, &call->task);
}

static void cancel_in_flight(struct weir_call *call)
{
    struct weir_client_conn *cc = call->owner;
    if (call->err != 0 || (call->flags & CALL_ANSWERED) != 0)
        return; /* its end is decided */
    call->err = WEIR_E_CANCELLED;
    if ((call->flags & CALL_REWINDING) != 0)
        return; /* who asks its source ends it */
    if (cc->calls.first == call && weir_client_conn_leave(cc)) {
        weir_endpoint_result(cc->endpoint, call, WEIR_E_CANCELLED);
        weir_call_end_later(cc->client, call, WEIR_E_CANCELLED);
        return;
    }
    weir_client_conn_end(cc, WEIR_E_CANCELLED);
}

void weir_call_cancel(struct weir_call *call)
{
    switch ((enum weir_call_state)call->state) {
    case CALL_SUBMITTED:
        call->flags |= CALL_CANCELLED;
        break;
    case CALL_WAITING:
        queue_out(call->client, call);
        weir_call_end_later(call->client, call, WEIR_E_CANCELLED);
        break;
    case CALL_BACKOFF:
        weir_call_give_up_retry(call);
        weir_call_end_later(call->client, call, WEIR_E_CANCELLED);
        break;
    case CALL_IN_FLIGHT:
        cancel_in_flight(call);
        break;
    case CALL_IDLE:
    case CALL_ENDED:
        break; /* its end is on the way, or was */
    }
}

static bool in_progress(const struct weir_call *call)
{
    return call->state == CALL_WAITING || call->state == CALL_BACKOFF ||
           call->state == CALL_IN_FLIGHT;
}

void weir_call_pause(struct weir_call *call)
{
    if (!in_progress(call) || (call->flags & CALL_PAUSED) != 0)
        return;
    struct weir_client_conn *cc = call->owner;
    call->flags |= CALL_PAUSED;
    if (call->state == CALL_IN_FLIGHT && cc->calls.first == call)
        weir_conn_pause(cc->conn);
}

void weir_call_resume(struct weir_call *call)
{
    if (!in_progress(call) || (call->flags & CALL_PAUSED) == 0)
        return;
    struct weir_client_conn *cc = call->owner;
    call->flags &= (uint16_t)~CALL_PAUSED;
    if (call->state == CALL_IN_FLIGHT && cc->calls.first == call)
        weir_client_conn_resume(cc);
}

void weir_call_produce(struct weir_call *call)
{
    if (call->state == CALL_IN_FLIGHT)
        weir_client_pump(call->owner);
}
