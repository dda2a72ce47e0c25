/* SPDX-License-Identifier: MIT */
/*
 * Streaming: sends a request and prints the events of the answer (text/event-stream) as they come.
 *
 *   sse ENDPOINT TARGET [BODY]      as: sse http://127.0.0.1:8080 /events
 *
 * With BODY it is a POST of that JSON. An answer of another kind is printed as it is.
 */
#include <stdio.h>
#include <string.h>
#include <weir/weir.h>

/* The longest event that is taken; a longer one ends the call with WEIR_E_LIMIT. */
static const struct weir_sse_limits limits = { .data_bytes_max = 65536,
                                               .type_bytes_max = 128,
                                               .id_bytes_max = 128 };

struct stream {
    struct weir_engine *engine;
    struct weir_call call;
    struct weir_sse_reader reader;
    uint8_t memory[65536 + 128 + 3 * 128]; /* weir_sse_buffer_bytes(&limits) */
    bool failed;
};

static struct weir_slice slice_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static void print(struct stream *stream, struct weir_slice text)
{
    /* An event is of use at once: it does not wait in a buffer for the next one. */
    if (fwrite(text.ptr, 1, text.len, stdout) != text.len || fflush(stdout) != 0) {
        stream->failed = true;
        weir_call_cancel(&stream->call); /* nobody reads: on_end follows */
    }
}

static void on_event(struct weir_call *call, const struct weir_sse_event *event)
{
    struct stream *stream = call->ctx;
    uint64_t since_ns = weir_engine_now_ns(stream->engine) - call->timing.start_ns;
    printf("%7.1f ms  %.*s: ", (double)since_ns / 1e6, (int)event->type.len, event->type.ptr);
    print(stream, event->data);
    print(stream, WEIR_TEXT("\n"));
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    print(call->ctx, piece);
}

static void on_end(struct weir_call *call, int err)
{
    struct stream *stream = call->ctx;
    if (err < 0 || call->status >= 400) {
        fprintf(stderr, "sse: status %u, %s\n", call->status, weir_strerror(err));
        stream->failed = true;
    }
    weir_engine_stop(stream->engine);
}

static const struct weir_call_handler handler = { .on_body = on_body,
                                                  .on_event = on_event,
                                                  .on_end = on_end };

int main(int argc, char **argv)
{
    static struct stream stream;
    struct weir_client *client;
    struct weir_engine_config ec;
    struct weir_client_config cc;
    struct weir_call *call = &stream.call;
    const struct weir_header json[] = {
        { .name = WEIR_TEXT("Accept"), .value = WEIR_TEXT("text/event-stream") },
        { .name = WEIR_TEXT("Content-Type"), .value = WEIR_TEXT("application/json") },
    };
    if (argc < 3)
        return fprintf(stderr, "usage: sse ENDPOINT TARGET [BODY]\n"), 2;
    weir_engine_config_init(&ec);
    weir_client_config_init(&cc);
    cc.endpoint = argv[1];
    cc.conns_min = 0; /* one stream needs one connection, and none after it */
    if (weir_engine_open(&stream.engine, &ec) < 0 ||
        weir_client_open(&client, stream.engine, &cc) < 0)
        return fprintf(stderr, "sse: %s\n", weir_error_text()), 1;
    call->request.method = argc > 3 ? WEIR_TEXT("POST") : WEIR_TEXT("GET");
    call->request.target = slice_of(argv[2]);
    call->request.body = slice_of(argc > 3 ? argv[3] : "");
    call->request.headers = json;
    call->request.headers_count = argc > 3 ? 2 : 1;
    call->handler = &handler;
    call->ctx = &stream;
    call->sse = &stream.reader;
    int rc = weir_sse_init(&stream.reader, &limits, stream.memory, sizeof stream.memory);
    if (rc == 0)
        rc = weir_client_send(client, call);
    if (rc == 0)
        rc = weir_engine_run(stream.engine); /* until on_end */
    if (rc < 0)
        fprintf(stderr, "sse: %s\n", weir_strerror(rc));
    bool closed = weir_client_close(client) == 0 && weir_engine_close(stream.engine) == 0;
    return rc < 0 || stream.failed || !closed;
}
