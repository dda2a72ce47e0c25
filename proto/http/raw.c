/* SPDX-License-Identifier: MIT */
/*
 * Answers that are not as they should be: given up, ended by half, or written by the application
 * byte by byte.
 */
#include "proto/http/server_impl.h"

#include <errno.h>

int weir_exchange_begin_raw(struct weir_exchange *x)
{
    if (!weir_conn_usable(x->session->conn))
        return -EPIPE;
    if (x->finished || x->begun)
        return -EALREADY;
    x->close = weir_exchange_last(x);
    x->begun = true;
    x->raw = true;
    weir_session_update_deadline(x->session);
    return 0;
}

void weir_exchange_end_conn(struct weir_exchange *x)
{
    struct weir_session *s = x->session;
    /* Until the client says so itself. */
    static const struct weir_linger forever = { .timeout_ns = 0, .bytes_max = UINT64_MAX };
    const struct weir_linger *linger = NULL;
    if (x->ending == ENDING_FIN)
        linger = &s->server->linger;
    else if (x->ending == ENDING_SHUTDOWN)
        linger = &forever;
    else
        s->conn->reset = true; /* for the close that follows what is queued */
    s->state = SESSION_STOPPED;
    if (s->conn->finishing) {
        /* By half, and not all of that has left: it no longer waits for the client behind it. */
        s->conn->linger = linger != NULL;
        s->conn->linger_bytes = linger != NULL ? linger->bytes_max : 0;
        s->conn->linger_ns = linger != NULL ? linger->timeout_ns : 0;
        return;
    }
    weir_conn_finish(s->conn, WEIR_E_CANCELLED, linger);
    weir_session_update_deadline(s);
}

/* Now, or for a raw answer when those before it have been given. */
static void end_in_turn(struct weir_exchange *x, enum weir_exchange_ending how)
{
    x->ending = (uint8_t)how;
    if (!x->raw || x->session->turn == x) {
        weir_exchange_end_conn(x);
        return;
    }
    x->finished = true;
    x->session->state = SESSION_STOPPED; /* what is asked behind it will not be answered */
}

void weir_exchange_abort(struct weir_exchange *x, enum weir_abort how)
{
    struct weir_session *s = x->session;
    if (s == NULL)
        return; /* answered and sent whole */
    if (x->err == 0)
        x->err = WEIR_E_CANCELLED;
    /* Behind a half close there is nothing to be waited for. */
    if (how == WEIR_ABORT_RST || s->conn->state == WEIR_CONN_LINGERING) {
        s->state = SESSION_STOPPED;
        weir_conn_close(s->conn, WEIR_E_CANCELLED, how != WEIR_ABORT_FIN);
        return;
    }
    end_in_turn(x, how == WEIR_ABORT_FIN ? ENDING_FIN : ENDING_RST);
}

void weir_exchange_shutdown(struct weir_exchange *x)
{
    if (x->session == NULL)
        return;
    if (x->err == 0)
        x->err = WEIR_E_CANCELLED;
    end_in_turn(x, ENDING_SHUTDOWN);
}

uint64_t weir_exchange_conn(const struct weir_exchange *x)
{
    return x->session != NULL ? x->session->number : 0;
}

int weir_exchange_version_minor(const struct weir_exchange *x)
{
    return x->version_minor;
}

bool weir_exchange_closes(const struct weir_exchange *x)
{
    return x->session == NULL || weir_exchange_last(x);
}
