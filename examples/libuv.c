/* SPDX-License-Identifier: MIT */
/*
 * A libuv loop that hosts an engine with an HTTP server: GET /ticks tells how often the loop's own
 * timer has fired, everything else is greeted. The first SIGTERM drains, the second ends the
 * process at once. Usage: libuv [ADDR:PORT [auto|uring|epoll]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>
#include <weir/weir.h>

#define TICK_MS  100
#define DRAIN_NS UINT64_C(5000000000)

struct host {
    uv_loop_t loop;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_signal_t sigterm;
    struct weir_engine *engine;
    struct weir_server *server;
    uint64_t ticks;
    bool drained, failed;
};

static void on_request(struct weir_exchange *x, void *ctx)
{
    const struct host *host = ctx;
    struct weir_slice path = weir_exchange_path(x);
    struct weir_response r = { .status = 200, .body = WEIR_TEXT("hello\n") };
    char text[32];
    if (path.len == 6 && memcmp(path.ptr, "/ticks", 6) == 0) {
        int len = snprintf(text, sizeof text, "%" PRIu64 "\n", host->ticks);
        r.body = (struct weir_slice){ (const uint8_t *)text, (size_t)len };
    }
    if (weir_exchange_respond(x, &r) < 0)
        weir_exchange_abort(x, WEIR_ABORT_RST);
}

static void on_drained(struct weir_server *server, void *ctx)
{
    (void)server;
    ((struct host *)ctx)->drained = true;
}

/* One pass of the engine. The callbacks of the server run in here. */
static void pump(struct host *host)
{
    host->failed |= weir_engine_run_once(host->engine, 0) < 0;
    if (host->drained || host->failed)
        uv_stop(&host->loop);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct host *host = poll->data;
    (void)events;
    host->failed |= status < 0;
    pump(host);
}

static void on_tick(uv_timer_t *timer)
{
    ((struct host *)timer->data)->ticks++;
}

/* Whatever is asked of the engine's objects outside of a pass wants a pass after it. */
static void on_sigterm(uv_signal_t *sigterm, int number)
{
    struct host *host = sigterm->data;
    (void)number;
    weir_server_drain(host->server, weir_clock_ns() + DRAIN_NS, on_drained);
    pump(host);
}

static int watch(struct host *host, int fd)
{
    int rc = uv_loop_init(&host->loop);
    host->poll.data = host->timer.data = host->sigterm.data = host;
    if (rc == 0 && (rc = uv_poll_init(&host->loop, &host->poll, fd)) == 0 &&
        (rc = uv_poll_start(&host->poll, UV_READABLE, on_readable)) == 0 &&
        (rc = uv_timer_init(&host->loop, &host->timer)) == 0 &&
        (rc = uv_timer_start(&host->timer, on_tick, TICK_MS, TICK_MS)) == 0 &&
        (rc = uv_signal_init(&host->loop, &host->sigterm)) == 0)
        rc = uv_signal_start_oneshot(&host->sigterm, on_sigterm, SIGTERM);
    return rc;
}

int main(int argc, char **argv)
{
    static struct host host;
    struct weir_engine_config ec;
    struct weir_server_config sc;
    const struct weir_server_handler handler = { .on_request = on_request };
    int fd, rc;
    weir_engine_config_init(&ec);
    weir_server_config_init(&sc);
    sc.listen = argc > 1 ? argv[1] : "127.0.0.1:8080";
    if (weir_parse_ring(&ec.ring, argc > 2 ? argv[2] : "auto") < 0 ||
        weir_engine_open(&host.engine, &ec) < 0 ||
        weir_server_open(&host.server, host.engine, &sc, &handler, &host) < 0 ||
        (fd = weir_engine_fd(host.engine)) < 0)
        return fprintf(stderr, "libuv: %s\n", weir_error_text()), 1;
    if ((rc = watch(&host, fd)) < 0)
        return fprintf(stderr, "libuv: %s\n", uv_strerror(rc)), 1;
    printf("listening on %s\n", weir_server_address(host.server));
    fflush(stdout);
    uv_run(&host.loop, UV_RUN_DEFAULT);        /* until pump() stops it */
    uv_close((uv_handle_t *)&host.poll, NULL); /* before the engine closes what it watches */
    uv_close((uv_handle_t *)&host.timer, NULL);
    uv_close((uv_handle_t *)&host.sigterm, NULL);
    uv_run(&host.loop, UV_RUN_DEFAULT);
    host.failed |= weir_server_close(host.server) < 0 || weir_engine_close(host.engine) < 0;
    return host.failed || uv_loop_close(&host.loop) < 0;
}
