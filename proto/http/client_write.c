/* SPDX-License-Identifier: MIT */
/* A request as bytes on a connection's output queue: head, body, or what a source makes of it. */
#include "proto/http/client_impl.h"
#include "core/base.h"

#include <errno.h>

_Static_assert(sizeof(struct weir_seg) <= sizeof(((struct weir_call *)0)->space),
               "a call has room for the segment of its borrowed body");

/* Bodies up to this are copied behind their head: cheaper than another part of a gathered send. */
#define BODY_COPY_BYTES_MAX 1024

/* A source is asked for more while less than this waits to be sent. */
#define AHEAD_BYTES_MAX 65536u

/* It is offered at least so much room. */
#define PIECE_BYTES_MIN 1024u

/* "ffff" CR LF in front of a chunk, CR LF behind it, and the last one. */
#define CHUNK_HEAD_BYTES 6u
#define CHUNK_TAIL_BYTES 2u
#define CHUNK_LAST_BYTES 5u

/* What is sent behind the head; a source's bytes follow later. */
static struct weir_slice body_of(const struct weir_call *call)
{
    struct weir_slice body = { 0 };
    if (call->request.source == NULL)
        body = call->request.body;
    return body;
}

static struct weir_http1_request_spec spec_of(struct weir_slice authority,
                                              const struct weir_call *call)
{
    const struct weir_request *r = &call->request;
    struct weir_http1_request_spec spec = {
        .method = r->method,
        .target = r->target,
        .host = r->host.len > 0 ? r->host : authority,
        .framing = WEIR_HTTP1_BODY_NONE,
        .headers = r->headers,
        .headers_count = r->headers_count,
    };
    if (WEIR_UNLIKELY(r->source != NULL)) {
        bool known = r->source->bytes != WEIR_LENGTH_UNKNOWN;
        spec.framing = known ? WEIR_HTTP1_BODY_LENGTH : WEIR_HTTP1_BODY_CHUNKED;
        spec.content_length = known ? r->source->bytes : 0;
    } else if (r->body.len > 0 || r->body_always) {
        spec.framing = WEIR_HTTP1_BODY_LENGTH;
        spec.content_length = r->body.len;
    }
    if (WEIR_UNLIKELY(r->decode))
        spec.accept_encoding = WEIR_TEXT("gzip, deflate");
    return spec;
}

int64_t weir_client_write_head(struct weir_slice authority, const struct weir_call *call,
                               uint8_t *out, size_t capacity)
{
    struct weir_http1_request_spec spec = spec_of(authority, call);
    if (weir_http1_request_bytes_max(&spec) > capacity)
        return weir_fail(-EINVAL, "the request head needs more than %zu bytes", capacity);
    return weir_http1_write_request(out, capacity, &spec);
}

/* A head of any length, and the body: copied if it is small, borrowed if not. */
static int64_t long_write(struct weir_client_conn *cc, struct weir_call *call)
{
    struct weir_client *client = cc->client;
    struct weir_conn *conn = cc->conn;
    struct weir_slice body = body_of(call);
    int64_t n = weir_client_write_head(weir_endpoint_authority(cc->endpoint), call, client->scratch,
                                       client->scratch_bytes);
    if (n < 0)
        return n;
    int rc = weir_sendq_copy(conn->engine, &conn->out,
                             (struct weir_slice){ client->scratch, (size_t)n });
    if (rc < 0)
        return rc;
    if (body.len > 0)
        weir_sendq_borrow(&conn->out, (struct weir_seg *)(void *)call->space, body, NULL);
    return n + (int64_t)body.len;
}

int64_t weir_client_write_request(struct weir_client_conn *cc, struct weir_call *call)
{
    struct weir_conn *conn = cc->conn;
    struct weir_http1_request_spec spec = spec_of(weir_endpoint_authority(cc->endpoint), call);
    struct weir_slice body = body_of(call);
    size_t max = weir_http1_request_bytes_max(&spec) + body.len;
    if (max > WEIR_CHUNK_ROOM || body.len > BODY_COPY_BYTES_MAX)
        return long_write(cc, call);
    uint8_t *at = weir_sendq_reserve(conn->engine, &conn->out, max);
    if (at == NULL)
        return -ENOBUFS;
    int64_t n = weir_http1_write_request(at, max, &spec);
    if (n < 0)
        return n;
    if (body.len > 0)
        memcpy(at + n, body.ptr, body.len);
    n += (int64_t)body.len;
    weir_sendq_commit(&conn->out, (size_t)n);
    return n;
}

/* ---- Sources ----------------------------------------------------------------------------- */

/* Four digits, whatever the size (RFC 9112 section 7.1 allows leading zeros): so that it can be
 * written after the bytes it counts. */
static void chunk_close(uint8_t *at, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    WEIR_ASSERT(bytes > 0 && bytes <= 0xffff);
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)digits[bytes >> (12 - 4 * i) & 15];
    at[4] = '\r';
    at[5] = '\n';
    memcpy(at + CHUNK_HEAD_BYTES + bytes, "\r\n", CHUNK_TAIL_BYTES);
}

static void queued(struct weir_client_conn *cc, struct weir_call *call, size_t bytes)
{
    weir_sendq_commit(&cc->conn->out, bytes);
    weir_conn_queued(cc->conn, bytes);
    call->timing.request_bytes += bytes;
    call->end_at = cc->conn->queued_bytes;
}

/* The source has come to its end: was it what the head promised? */
static int source_end(struct weir_client_conn *cc, struct weir_call *call, uint8_t *at)
{
    uint64_t promised = call->request.source->bytes;
    if (promised == WEIR_LENGTH_UNKNOWN) {
        memcpy(at, "0\r\n\r\n", CHUNK_LAST_BYTES);
        queued(cc, call, CHUNK_LAST_BYTES);
    } else if (call->fed != promised) {
        return -EPROTO;
    }
    call->flags &= (uint16_t)~CALL_PRODUCING;
    if (cc->client->cfg.pipeline_max > 1) {
        weir_client_feed(cc, cc->client->cfg.pipeline_max); /* others may follow now */
        weir_client_offer(cc);
    }
    return 0;
}

/* One read of the source. @return bytes; 0: none now, or it has ended; negative: the call ends */
static int64_t source_read(struct weir_client_conn *cc, struct weir_call *call)
{
    const struct weir_body_source *source = call->request.source;
    bool chunked = source->bytes == WEIR_LENGTH_UNKNOWN;
    size_t around = chunked ? CHUNK_HEAD_BYTES + CHUNK_TAIL_BYTES : 0;
    const struct weir_seg *last = cc->conn->out.last;
    size_t left = last == NULL ? 0 : last->room;
    /* Small pieces share a chunk of output memory: it is the engine's, and others need it, too. */
    size_t bytes = left >= PIECE_BYTES_MIN ? left : WEIR_CHUNK_ROOM;
    size_t room = bytes - around;
    if (!chunked && source->bytes - call->fed < room)
        room = source->bytes - call->fed;
    uint8_t *at = weir_sendq_reserve(cc->conn->engine, &cc->conn->out, bytes);
    if (at == NULL) {
        weir_client_memory_short(cc->client);
        return 0;
    }
    call->flags |= CALL_WROTE;
    int64_t n = room == 0 ? WEIR_SOURCE_END
                          : source->read(call, at + (chunked ? CHUNK_HEAD_BYTES : 0), room);
    if (n == WEIR_SOURCE_END)
        return source_end(cc, call, at);
    if (n <= 0)
        return n;
    WEIR_ASSERT((uint64_t)n <= room);
    if (chunked)
        chunk_close(at, (size_t)n);
    call->fed += (uint64_t)n;
    queued(cc, call, (size_t)n + around);
    return n;
}

void weir_client_pump(struct weir_client_conn *cc)
{
    struct weir_call *call = cc->calls.last;
    if (call == NULL || cc->ending || !weir_conn_usable(cc->conn) ||
        (call->flags & CALL_PRODUCING) == 0 || call->err != 0 || (call->flags & CALL_PUMPED) != 0)
        return;
    call->flags |= CALL_PUMPED; /* the source may call what brings us here again */
    int64_t n = 1;
    while (n > 0 && cc->conn->out.bytes < AHEAD_BYTES_MAX && !cc->ending)
        n = source_read(cc, call);
    call->flags &= (uint16_t)~CALL_PUMPED;
    if (n < 0) {
        if (call->err == 0)
            call->err = (int)n;
        weir_client_conn_end(cc, WEIR_E_CANCELLED);
    }
}
