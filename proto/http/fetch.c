/* SPDX-License-Identifier: MIT */
/* One request on an engine of its own, waited for. */
#include "core/base.h"
#include "core/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <weir/fetch.h>
#include <weir/url.h>

/* The answer's memory grows by doubling from here. */
#define BODY_BYTES_MIN 16384u

/* Small: it serves a single connection, and those that race with it to be made. */
#define CONNS_MAX      32
#define RECV_BUFS      64
#define RECV_BUF_BYTES 16384
#define SEND_BYTES     (1u << 20)
#define STASH_BYTES    (4u << 20)

/* Everything a result points to lies here: released by one function. */
struct memory {
    uint8_t *body;
    size_t body_bytes, body_capacity;
    uint8_t *text; /* of the headers */
    struct weir_header *headers;
    size_t headers_count;
};

struct fetching {
    struct weir_call call;
    const struct weir_fetch *fetch;
    struct memory *memory;
    int err; /* of our own: why the call was cancelled */
    int end;
    bool done;
    char reason[256];
};

void weir_fetch_init_size(struct weir_fetch *fetch, uint32_t size)
{
    struct weir_client_config client;
    weir_client_config_init(&client);
    struct weir_fetch defaults = { .size = size,
                                   .method = "GET",
                                   .timeout_ns = 30000000000u,
                                   .body_bytes_max = 64u << 20,
                                   .decode = true,
                                   .retry = client.retry };
    weir_fill_sized(fetch, size, &defaults, sizeof defaults);
}

/* ---- The answer -------------------------------------------------------------------------- */

static void give_up(struct fetching *f, int err)
{
    if (f->err == 0)
        f->err = err;
    weir_call_cancel(&f->call);
}

static uint8_t *put(uint8_t *at, struct weir_slice *out, struct weir_slice text)
{
    if (text.len > 0)
        memcpy(at, text.ptr, text.len);
    *out = (struct weir_slice){ at, text.len };
    return at + text.len;
}

static void on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct fetching *f = weir_container_of(call, struct fetching, call);
    struct memory *m = f->memory;
    size_t count = weir_response_headers_count(head);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct weir_header h = weir_response_header_at(head, i);
        bytes += h.name.len + h.value.len;
    }
    m->headers = calloc(count + 1, sizeof *m->headers);
    m->text = malloc(bytes + 1);
    if (m->headers == NULL || m->text == NULL) {
        give_up(f, -ENOMEM);
        return;
    }
    uint8_t *at = m->text;
    for (size_t i = 0; i < count; i++) {
        struct weir_header h = weir_response_header_at(head, i);
        at = put(at, &m->headers[i].name, h.name);
        at = put(at, &m->headers[i].value, h.value);
    }
    m->headers_count = count;
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    struct fetching *f = weir_container_of(call, struct fetching, call);
    struct memory *m = f->memory;
    if (piece.len > f->fetch->body_bytes_max - m->body_bytes) {
        give_up(f, WEIR_E_LIMIT);
        return;
    }
    size_t need = m->body_bytes + piece.len + 1;
    if (need > m->body_capacity) {
        size_t capacity = m->body_capacity == 0 ? BODY_BYTES_MIN : 2 * m->body_capacity;
        if (capacity < need)
            capacity = need;
        uint8_t *body = realloc(m->body, capacity);
        if (body == NULL) {
            give_up(f, -ENOMEM);
            return;
        }
        m->body = body;
        m->body_capacity = capacity;
    }
    memcpy(m->body + m->body_bytes, piece.ptr, piece.len);
    m->body_bytes += piece.len;
    m->body[m->body_bytes] = '\0';
}

static void on_end(struct weir_call *call, int err)
{
    struct fetching *f = weir_container_of(call, struct fetching, call);
    f->end = f->err != 0 ? f->err : err;
    f->done = true;
    snprintf(f->reason, sizeof f->reason, "%s", weir_error_text());
}

static const struct weir_call_handler handler = { .on_head = on_head,
                                                  .on_body = on_body,
                                                  .on_end = on_end };

static void memory_free(struct memory *m)
{
    if (m == NULL)
        return;
    free(m->body);
    free(m->text);
    free(m->headers);
    free(m);
}

/* ---- The call ---------------------------------------------------------------------------- */

static int run(struct weir_engine *engine, struct weir_client *client, struct fetching *f)
{
    f->call.deadline_ns =
        f->fetch->timeout_ns == 0 ? 0 : weir_engine_clock_ns(engine) + f->fetch->timeout_ns;
    int rc = weir_client_send(client, &f->call);
    while (rc == 0 && !f->done)
        rc = weir_engine_run_once(engine, UINT64_MAX);
    return rc;
}

/* The text of what went wrong in the call, where there is more to tell than its name. */
static int outcome(const struct fetching *f)
{
    switch (f->end) {
    case 0:
        return 0;
    case WEIR_E_RESOLVE:
    case WEIR_E_CONNECT:
    case WEIR_E_CONNECT_TIMEOUT:
    case WEIR_E_TLS:
    case WEIR_E_CERTIFICATE:
        return weir_fail(f->end, "%s", f->reason);
    case WEIR_E_LIMIT:
        if (f->call.timing.pieces == 0)
            return weir_fail(f->end, "%s: the head of the answer is too large", f->fetch->url);
        return weir_fail(f->end, "the answer is larger than body_bytes_max, %llu",
                         (unsigned long long)f->fetch->body_bytes_max);
    default:
        return weir_fail(f->end, "%s: %s", f->fetch->url, weir_strerror(f->end));
    }
}

static int with_client(struct weir_engine *engine, struct fetching *f, const char *endpoint)
{
    struct weir_client_config cfg;
    struct weir_client *client;
    weir_client_config_init(&cfg);
    cfg.endpoint = endpoint;
    cfg.conns_max = 1;
    cfg.conns_min = 0;
    cfg.decoded_bytes_max = f->fetch->body_bytes_max == 0 ? 1 : f->fetch->body_bytes_max;
    cfg.tls = f->fetch->tls;
    cfg.retry = f->fetch->retry;
    int rc = weir_client_open(&client, engine, &cfg);
    if (rc < 0)
        return rc;
    rc = run(engine, client, f);
    if (rc == 0)
        rc = outcome(f);
    int closed = weir_client_close(client);
    return rc < 0 ? rc : closed;
}

static int with_engine(struct fetching *f, const char *endpoint)
{
    struct weir_engine_config cfg;
    struct weir_engine *engine;
    weir_engine_config_init(&cfg);
    cfg.conns_max = CONNS_MAX;
    cfg.recv_bufs_max = RECV_BUFS;
    cfg.recv_buf_bytes = RECV_BUF_BYTES;
    cfg.recv_holds_max = 0;
    cfg.send_bytes_max = SEND_BYTES;
    cfg.stash_bytes_max = STASH_BYTES;
    cfg.sq_entries = 64;
    cfg.cq_entries = 256;
    cfg.wait = WEIR_WAIT_SLEEP;
    int rc = weir_engine_open(&engine, &cfg);
    if (rc < 0)
        return rc;
    rc = with_client(engine, f, endpoint);
    int closed = weir_engine_close(engine);
    return rc < 0 ? rc : closed;
}

/* Where to connect: the URL up to its path. What to ask for: the rest of it, from a '/' on. */
static int places(const struct weir_url *url, const char *text, char **endpoint, char **target)
{
    size_t head = (size_t)(url->authority.ptr + url->authority.len - (const uint8_t *)text);
    bool slash = url->target.len == 0 || url->target.ptr[0] != '/';
    if (url->scheme == WEIR_URL_HTTP_UNIX)
        head = (size_t)(url->host.ptr + url->host.len - (const uint8_t *)text);
    *endpoint = strndup(text, head);
    *target = malloc(url->target.len + 2);
    if (*endpoint == NULL || *target == NULL)
        return -ENOMEM;
    snprintf(*target, url->target.len + 2, "%s%.*s", slash ? "/" : "", (int)url->target.len,
             (const char *)url->target.ptr);
    return 0;
}

static int check(const struct weir_fetch *fetch)
{
    if (fetch->size != sizeof *fetch)
        return weir_fail(-EINVAL, "size is %u, %zu expected: use weir_fetch_init()", fetch->size,
                         sizeof *fetch);
    if (fetch->url == NULL || fetch->method == NULL)
        return weir_fail(-EINVAL, "%s is required", fetch->url == NULL ? "url" : "method");
    return 0;
}

static void result_fill(struct weir_fetch_result *out, const struct fetching *f)
{
    struct memory *m = f->memory;
    *out = (struct weir_fetch_result){ .status = f->call.status,
                                       .headers = m->headers,
                                       .headers_count = m->headers_count,
                                       .body = { m->body, m->body_bytes },
                                       .timing = f->call.timing,
                                       .memory = m };
    if (m->body == NULL)
        out->body.ptr = (const uint8_t *)"";
}

int weir_fetch(const struct weir_fetch *fetch, struct weir_fetch_result *out)
{
    struct weir_url url = { 0 };
    char *endpoint = NULL, *target = NULL;
    *out = (struct weir_fetch_result){ 0 };
    int rc = check(fetch);
    if (rc == 0)
        rc = weir_url_parse(&url,
                            (struct weir_slice){ (const uint8_t *)fetch->url, strlen(fetch->url) });
    if (rc < 0)
        return rc;
    struct fetching f = { .fetch = fetch, .memory = calloc(1, sizeof(struct memory)) };
    rc = f.memory == NULL ? -ENOMEM : places(&url, fetch->url, &endpoint, &target);
    if (rc == 0) {
        f.call.request = (struct weir_request){
            .method = { (const uint8_t *)fetch->method, strlen(fetch->method) },
            .target = { (const uint8_t *)target, strlen(target) },
            .headers = fetch->headers,
            .headers_count = fetch->headers_count,
            .body = fetch->body,
            .decode = fetch->decode,
        };
        f.call.handler = &handler;
        rc = with_engine(&f, endpoint);
    }
    free(endpoint);
    free(target);
    if (rc == 0)
        result_fill(out, &f);
    else
        memory_free(f.memory);
    return rc;
}

struct weir_slice weir_fetch_header(const struct weir_fetch_result *result, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < result->headers_count; i++)
        if (result->headers[i].name.len == len &&
            strncasecmp((const char *)result->headers[i].name.ptr, name, len) == 0)
            return result->headers[i].value;
    return (struct weir_slice){ 0 };
}

void weir_fetch_free(struct weir_fetch_result *result)
{
    memory_free(result->memory);
    *result = (struct weir_fetch_result){ 0 };
}
