/* SPDX-License-Identifier: MIT */
/*
 * A concurrent client: N requests to one service, C of them at a time, over connections that are
 * kept and used again.
 *
 *   pool [URL [N [C]]]
 *
 * Each of the C calls is sent again from its own on_end: no memory is taken after the beginning,
 * and the pool decides which connection carries what.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <weir/weir.h>

#define CALLS_MAX   1000
#define DEADLINE_NS UINT64_C(5000000000)

struct pool {
    struct weir_engine *engine;
    struct weir_client *client;
    uint64_t left;      /* requests that were not sent yet */
    uint64_t in_flight; /* ... and that were, and have not ended */
    uint64_t good, bad, reused;
    struct weir_call calls[CALLS_MAX];
};

static void send_next(struct pool *pool, struct weir_call *call)
{
    call->deadline_ns = weir_engine_now_ns(pool->engine) + DEADLINE_NS;
    int rc = weir_client_send(pool->client, call);
    if (rc < 0) {
        /* A request that is refused ends nowhere else: on_end will not run. */
        fprintf(stderr, "pool: not sent: %s\n", weir_strerror(rc));
        pool->bad++;
    } else {
        pool->in_flight++;
    }
    pool->left--;
}

static void on_end(struct weir_call *call, int err)
{
    struct pool *pool = call->ctx;
    pool->in_flight--;
    if (err == 0 && call->status < 400) {
        pool->good++;
        pool->reused += call->timing.reused;
    } else {
        pool->bad++;
        fprintf(stderr, "pool: %s, status %u\n", weir_strerror(err), call->status);
    }
    if (pool->left > 0)
        send_next(pool, call); /* the call is ours again from here on */
    if (pool->in_flight == 0)
        weir_engine_stop(pool->engine);
}

static const struct weir_call_handler handler = { .on_end = on_end };

/* The URL's scheme and host for the client, its path for the requests. */
static int endpoint_of(struct weir_url *url, char *endpoint, size_t capacity, const char *text)
{
    int rc = weir_url_parse(url, (struct weir_slice){ (const uint8_t *)text, strlen(text) });
    if (rc < 0)
        return rc;
    int len = snprintf(endpoint, capacity, "%.*s", (int)(url->path.ptr - url->scheme_text.ptr),
                       (const char *)url->scheme_text.ptr);
    return len < 0 || (size_t)len >= capacity ? WEIR_E_URL : 0;
}

static int run(struct pool *pool, const struct weir_url *url, uint64_t concurrency)
{
    for (uint64_t i = 0; i < concurrency && pool->left > 0; i++) {
        struct weir_call *call = &pool->calls[i];
        call->request.method = WEIR_TEXT("GET");
        call->request.target = url->target;
        call->handler = &handler;
        call->ctx = pool;
        send_next(pool, call);
    }
    return pool->in_flight > 0 ? weir_engine_run(pool->engine) : 0;
}

int main(int argc, char **argv)
{
    static struct pool pool;
    const char *text = argc > 1 ? argv[1] : "http://127.0.0.1:8080/api/health";
    char endpoint[512];
    uint64_t concurrency;
    struct weir_url url;
    struct weir_engine_config ec;
    struct weir_client_config cc;
    weir_engine_config_init(&ec);
    weir_client_config_init(&cc);
    if (weir_parse_number(&pool.left, argc > 2 ? argv[2] : "1000", 1, UINT32_MAX) < 0 ||
        weir_parse_number(&concurrency, argc > 3 ? argv[3] : "16", 1, CALLS_MAX) < 0 ||
        endpoint_of(&url, endpoint, sizeof endpoint, text) < 0)
        return fprintf(stderr, "pool: %s\n", weir_error_text()), 2;
    cc.endpoint = endpoint;
    cc.conns_max = (uint32_t)concurrency;
    cc.conns_min = 1;
    if (weir_engine_open(&pool.engine, &ec) < 0 ||
        weir_client_open(&pool.client, pool.engine, &cc) < 0)
        return fprintf(stderr, "pool: %s\n", weir_error_text()), 1;
    int rc = run(&pool, &url, concurrency);
    struct weir_client_stats stats = { .size = sizeof stats };
    weir_client_stats(pool.client, &stats);
    printf("%" PRIu64 " good, %" PRIu64 " bad, %" PRIu64 " on %" PRIu64 " connections again\n",
           pool.good, pool.bad, pool.reused, stats.conns);
    bool closed = weir_client_close(pool.client) == 0 && weir_engine_close(pool.engine) == 0;
    return rc < 0 || !closed || pool.bad > 0;
}
