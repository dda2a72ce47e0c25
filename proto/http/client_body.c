/* SPDX-License-Identifier: MIT */
/*
 * The content of a response on its way to the caller: decoded when that was asked for, read as
 * events when the call has a reader for them, held back while the call is paused.
 *
 *     piece --> kept --> decoder --> rest --> reader of events --> on_event
 *                                       +----------------------> on_body
 *
 * `kept` and `rest` hold something only while the call is paused. Any callback may cancel or pause
 * the call; what follows it looks first whether the call is still there.
 */
#include "proto/http/client_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <weir/sse.h>

/* "text/event-stream", whatever parameters follow. */
static bool event_stream(struct weir_slice type)
{
    const struct weir_slice word = WEIR_TEXT("text/event-stream");
    if (type.len < word.len ||
        strncasecmp((const char *)type.ptr, (const char *)word.ptr, word.len) != 0)
        return false;
    return type.len == word.len || memchr("; \t", type.ptr[word.len], 3) != NULL;
}

/* Bodies up to this may be as uniform as they like: a tensor of zeros is no bomb. */
#define UNIFORM_BYTES_MAX (UINT64_C(16) << 20)

static int decoder_open(struct weir_client_conn *cc, enum weir_inflate_coding coding)
{
    struct weir_inflate_limits limits = { .bytes_max = cc->client->cfg.decoded_bytes_max,
                                          .bytes_free = UNIFORM_BYTES_MAX,
                                          .ratio_max = WEIR_INFLATE_RATIO_MAX };
    struct weir_decoder *d = malloc(sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    d->rest = (struct weir_slice){ 0 };
    d->inside = false;
    int rc = weir_inflate_begin(&d->inflate, coding, &limits);
    if (rc < 0) {
        free(d);
        return rc;
    }
    cc->decoder = d;
    return 0;
}

int weir_client_content_begin(struct weir_client_conn *cc, struct weir_call *call)
{
    const struct weir_http1_head *head = &cc->client->response.head;
    if (call->sse != NULL && head->status == 200 &&
        event_stream(weir_http1_find(head, WEIR_TEXT("Content-Type"))))
        call->flags |= CALL_EVENTS;
    if (!call->request.decode)
        return 0;
    enum weir_inflate_coding coding =
        weir_inflate_coding(weir_http1_find(head, WEIR_TEXT("Content-Encoding")));
    if (coding == WEIR_INFLATE_UNKNOWN)
        return WEIR_E_ENCODING; /* nobody asked for it */
    return coding == WEIR_INFLATE_IDENTITY ? 0 : decoder_open(cc, coding);
}

/* Does the call still take anything? */
static bool takes(const struct weir_client_conn *cc, const struct weir_call *call)
{
    return cc->calls.first == call && !cc->ending && call->err == 0 &&
           (call->flags & CALL_PAUSED) == 0;
}

static void advance(struct weir_slice *in, size_t bytes)
{
    in->ptr += bytes;
    in->len -= bytes;
}

static int events_out(struct weir_client_conn *cc, struct weir_call *call, struct weir_slice *in)
{
    while (in->len > 0 && takes(cc, call)) {
        struct weir_sse_event event;
        struct weir_sse_err err;
        size_t used = 0;
        enum weir_parse r = weir_sse_read(call->sse, *in, &used, &event, &err);
        advance(in, used);
        if (r == WEIR_PARSE_ERROR)
            return WEIR_E_LIMIT;
        if (r == WEIR_PARSE_DONE && call->handler->on_event != NULL)
            call->handler->on_event(call, &event);
    }
    return 0;
}

/* What is not coded, or not any more. */
static int plain_out(struct weir_client_conn *cc, struct weir_call *call, struct weir_slice *in)
{
    if ((call->flags & CALL_EVENTS) != 0)
        return events_out(cc, call, in);
    struct weir_slice piece = *in;
    advance(in, in->len);
    if (piece.len > 0 && call->handler->on_body != NULL)
        call->handler->on_body(call, piece);
    return 0;
}

static int decoded_out(struct weir_client_conn *cc, struct weir_call *call, struct weir_slice *in)
{
    struct weir_decoder *d = cc->decoder;
    for (;;) {
        struct weir_slice rest = d->rest;
        d->inside = true;
        int rc = plain_out(cc, call, &rest);
        d->inside = false;
        if (cc->decoder != d) {
            free(d); /* a callback gave the call up */
            return rc;
        }
        d->rest = rest;
        if (rc < 0 || !takes(cc, call))
            return rc;
        int64_t n = weir_inflate_next(&d->inflate, in, d->out, sizeof d->out);
        if (n <= 0)
            return (int)n;
        d->rest = (struct weir_slice){ d->out, (size_t)n };
    }
}

static int out(struct weir_client_conn *cc, struct weir_call *call, struct weir_slice *in)
{
    return cc->decoder != NULL ? decoded_out(cc, call, in) : plain_out(cc, call, in);
}

int weir_client_content(struct weir_client_conn *cc, struct weir_call *call,
                        struct weir_slice piece)
{
    WEIR_ASSERT(cc->kept.bytes == 0); /* nothing comes while the call is paused */
    int rc = out(cc, call, &piece);
    if (rc < 0 || piece.len == 0 || cc->calls.first != call || cc->ending || call->err != 0)
        return rc;
    return weir_stash_append(cc->client->engine, &cc->kept, piece) < 0 ? WEIR_E_LIMIT : 0;
}

int weir_client_content_resume(struct weir_client_conn *cc, struct weir_call *call)
{
    struct weir_engine *engine = cc->client->engine;
    int rc = 0;
    do {
        struct weir_slice in = weir_stash_front(&cc->kept);
        size_t bytes = in.len;
        rc = out(cc, call, &in);
        if (rc < 0 || cc->calls.first != call || cc->ending || call->err != 0)
            return rc; /* what was kept went with the call */
        weir_stash_consume(engine, &cc->kept, bytes - in.len);
    } while (cc->kept.bytes > 0 && takes(cc, call));
    return rc;
}

int weir_client_content_end(struct weir_client_conn *cc, struct weir_call *call)
{
    int rc = 0;
    (void)call;
    if (cc->decoder != NULL)
        rc = weir_inflate_finish(&cc->decoder->inflate);
    weir_client_content_drop(cc);
    return rc;
}

void weir_client_content_drop(struct weir_client_conn *cc)
{
    weir_stash_clear(cc->client->engine, &cc->kept);
    if (cc->decoder != NULL && !cc->decoder->inside)
        free(cc->decoder); /* else who hands out its bytes does */
    cc->decoder = NULL;
}
