/* SPDX-License-Identifier: MIT */
/*
 * Where a body goes: nowhere (it is dropped by the library, and the call has no callback for it);
 * straight to the output, when no other call is in flight or with --stream; else into the call's
 * own memory until it has ended, so that bodies stand one behind the other in the order in which
 * they were complete.
 */
#include "perf/get/call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/http1.h>
#include <weir/units.h>

/* A body that waits for its end, at most. */
#define BODY_BYTES_MAX (UINT64_C(1) << 30)

/* An event: as long as those of an inference server can be, with room. The memory is touched
 * only as it is used. */
#define EVENT_BYTES_MAX    (16U * 1024U * 1024U)
#define EVENT_TYPE_MAX     1024U
#define EVENT_ID_BYTES_MAX 4096U

static void call_send(struct get_call *self);

/* ---- What is written of a call ---- */

static uint64_t us_of(uint64_t ns)
{
    return (ns + 500) / 1000;
}

/* The time between two moments, of which the first may not have been. */
static uint64_t between_ns(uint64_t from_ns, uint64_t to_ns)
{
    return from_ns == 0 || to_ns < from_ns ? 0 : to_ns - from_ns;
}

/* What of the time before it was sent was not spent on its connection. */
static uint64_t queue_ns(const struct weir_call_timing *timing)
{
    uint64_t waited_ns = between_ns(timing->start_ns, timing->sent_ns);
    uint64_t made_ns = timing->dns_ns + timing->connect_ns + timing->tls_ns;
    return waited_ns > made_ns ? waited_ns - made_ns : 0;
}

static void json_field(struct get_text *out, struct weir_header header)
{
    get_text_add_string(out, out->len == 0 ? "[" : ",[");
    get_text_json(out, header.name);
    get_text_add_string(out, ",");
    get_text_json(out, header.value);
    get_text_add_string(out, "]");
}

static void json_timings(struct get_text *out, const struct weir_call_timing *timing)
{
    get_text_printf(out, "\"timings_us\":{\"queue\":%" PRIu64 ",\"dns\":%" PRIu64,
                    us_of(queue_ns(timing)), us_of(timing->dns_ns));
    get_text_printf(out, ",\"connect\":%" PRIu64 ",\"tls\":%" PRIu64, us_of(timing->connect_ns),
                    us_of(timing->tls_ns));
    get_text_printf(out, ",\"first_byte\":%" PRIu64 ",\"total\":%" PRIu64 "}",
                    us_of(between_ns(timing->sent_ns, timing->first_byte_ns)),
                    us_of(between_ns(timing->start_ns, timing->end_ns)));
}

static void json_error(struct get_text *out, int err)
{
    if (err == 0) {
        get_text_add_string(out, "\"error\":null");
        return;
    }
    get_text_printf(out, "\"error\":\"%s\"", weir_err_name(err));
}

static void call_tell_json(struct get_call *self, int err)
{
    struct get_text *out = &self->run->scratch;
    const struct weir_call_timing *timing = &self->call.timing;
    get_text_printf(out, "{\"call\":%" PRIu64 ",\"status\":%u,", self->number, self->call.status);
    json_error(out, err);
    get_text_add_string(out, ",\"headers\":[");
    get_text_add(out, get_text_slice(&self->head));
    if (self->head.err != 0)
        out->err = self->head.err; /* half a line would be none */
    get_text_add_string(out, "],");
    json_timings(out, timing);
    get_text_printf(out, ",\"reused\":%s,\"replayed\":%s,\"retries\":%u,\"endpoint\":%u",
                    timing->reused ? "true" : "false", timing->replayed ? "true" : "false",
                    timing->retries, timing->endpoint);
    get_text_printf(out, ",\"request_bytes\":%" PRIu64 ",\"bytes\":%" PRIu64, timing->request_bytes,
                    timing->body_bytes);
    get_text_printf(out, ",\"body_bytes\":%" PRIu64 ",\"pieces\":%" PRIu64, self->body_bytes,
                    timing->pieces);
    if (self->run->options->stream)
        get_text_printf(out, ",\"events\":%" PRIu64, self->events_count);
    get_text_add_string(out, "}\n");
    get_run_tell(self->run, &self->run->standard);
}

/* With several calls in flight, whose line it is. */
static struct get_text *verbose_begin(struct get_call *self, char mark)
{
    struct get_text *out = &self->run->scratch;
    if (self->run->options->concurrency > 1)
        get_text_printf(out, "[%" PRIu64 "] ", self->number);
    get_text_printf(out, "%c ", mark);
    return out;
}

static void verbose_text(struct get_call *self, char mark, const char *what, struct weir_slice text)
{
    struct get_text *out = verbose_begin(self, mark);
    get_text_add_string(out, what);
    get_text_add(out, text);
    get_text_add_string(out, "\n");
}

static void verbose_field(struct get_call *self, char mark, struct weir_header header)
{
    struct get_text *out = verbose_begin(self, mark);
    get_text_add(out, header.name);
    get_text_add_string(out, ": ");
    get_text_add(out, header.value);
    get_text_add_string(out, "\n");
}

static void call_tell_request(struct get_call *self)
{
    const struct weir_request *request = &self->call.request;
    struct get_text *out = verbose_begin(self, '>');
    get_text_add(out, request->method);
    get_text_add_string(out, " ");
    get_text_add(out, request->target);
    get_text_add_string(out, " HTTP/1.1\n");
    verbose_text(self, '>', "Host: ", request->host);
    for (size_t i = 0; i < request->headers_count; i++)
        verbose_field(self, '>', request->headers[i]);
    if (request->body.len > 0)
        get_text_printf(verbose_begin(self, '>'), "(%zu bytes of body)\n", request->body.len);
    get_run_tell(self->run, &self->run->log);
}

static void verbose_duration(struct get_call *self, const char *what, uint64_t ns)
{
    char text[WEIR_DURATION_TEXT_BYTES];
    if (ns > 0)
        get_text_printf(verbose_begin(self, '*'), "%s %s\n", what, weir_format_duration(text, ns));
}

static void call_tell_end(struct get_call *self, int err)
{
    const struct weir_call_timing *timing = &self->call.timing;
    verbose_duration(self, "resolved in", timing->dns_ns);
    verbose_duration(self, "connected in", timing->connect_ns);
    verbose_duration(self, "agreed on TLS in", timing->tls_ns);
    if (timing->reused)
        verbose_text(self, '*', "on a connection that was used before", (struct weir_slice){ 0 });
    if (timing->replayed)
        verbose_text(self, '*', "sent again: its connection was closed", (struct weir_slice){ 0 });
    if (timing->retries > 0)
        get_text_printf(verbose_begin(self, '*'), "sent again after failures: %u times\n",
                        timing->retries);
    verbose_duration(self, "waited", queue_ns(timing));
    verbose_duration(self, "first byte", between_ns(timing->sent_ns, timing->first_byte_ns));
    verbose_duration(self, "longest pause between pieces", timing->gap_max_ns);
    struct get_text *out = verbose_begin(self, '*');
    get_text_printf(out, "%s, %" PRIu64 " bytes of body in %" PRIu64 " pieces\n",
                    err == 0 ? "complete" : weir_err_name(err), timing->body_bytes, timing->pieces);
    verbose_duration(self, "all of it", between_ns(timing->start_ns, timing->end_ns));
    get_run_tell(self->run, &self->run->log);
}

/* ---- Its body ---- */

static void call_give_up(struct get_call *self, int err)
{
    if (self->err != 0)
        return;
    self->err = err;
    weir_call_cancel(&self->call);
}

/* Bytes for the output of bodies. */
static void call_put(struct get_call *self, struct weir_slice piece)
{
    struct get_run *run = self->run;
    if (run->bodies == NULL || self->refused || run->bodies->discarded)
        return;
    if (run->options->concurrency == 1 || run->options->stream) {
        get_output_write(run->bodies, piece);
        return;
    }
    get_text_add(&self->body, piece);
    if (self->body.err != 0)
        call_give_up(self, self->body.err);
}

static void call_put_text(struct get_call *self, const char *text)
{
    call_put(self, (struct weir_slice){ (const uint8_t *)text, strlen(text) });
}

static void call_put_head(struct get_call *self, const struct weir_response_head *head)
{
    char line[64];
    uint16_t status = weir_response_status(head);
    snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", status, weir_http1_reason(status));
    call_put_text(self, line);
    for (size_t i = 0; i < weir_response_headers_count(head); i++) {
        struct weir_header header = weir_response_header_at(head, i);
        call_put(self, header.name);
        call_put_text(self, ": ");
        call_put(self, header.value);
        call_put_text(self, "\r\n");
    }
    call_put_text(self, "\r\n");
}

static void call_tell_head(struct get_call *self, const struct weir_response_head *head)
{
    uint16_t status = weir_response_status(head);
    get_text_printf(verbose_begin(self, '<'), "HTTP/1.1 %u %s\n", status,
                    weir_http1_reason(status));
    for (size_t i = 0; i < weir_response_headers_count(head); i++)
        verbose_field(self, '<', weir_response_header_at(head, i));
    get_run_tell(self->run, &self->run->log);
}

static void call_on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct get_call *self = call->ctx;
    const struct get_options *options = self->run->options;
    self->refused = options->fail && weir_response_status(head) >= 400;
    if (options->json) {
        for (size_t i = 0; i < weir_response_headers_count(head); i++)
            json_field(&self->head, weir_response_header_at(head, i));
    }
    if (options->verbose)
        call_tell_head(self, head);
    if (options->include)
        call_put_head(self, head);
}

/* The beginning of a line of JSON about a part of a body. */
static struct get_text *part_begin(struct get_call *self)
{
    struct get_run *run = self->run;
    uint64_t at_ns = weir_engine_now_ns(run->engine);
    get_text_printf(&run->scratch, "{\"call\":%" PRIu64 ",\"at_us\":%" PRIu64 ",", self->number,
                    us_of(between_ns(self->call.timing.start_ns, at_ns)));
    return &run->scratch;
}

static void part_end(struct get_call *self)
{
    get_text_add_string(&self->run->scratch, "}\n");
    get_run_tell(self->run, &self->run->standard);
}

static void call_on_body(struct weir_call *call, struct weir_slice piece)
{
    struct get_call *self = call->ctx;
    const struct get_options *options = self->run->options;
    self->body_bytes += piece.len;
    if (options->stream && options->json) {
        get_text_json_bytes(part_begin(self), "piece", piece);
        part_end(self);
    }
    call_put(self, piece);
}

static void call_on_event(struct weir_call *call, const struct weir_sse_event *event)
{
    struct get_call *self = call->ctx;
    self->body_bytes += event->data.len;
    self->events_count++;
    if (self->run->options->json) {
        struct get_text *out = part_begin(self);
        get_text_json_bytes(out, "event", event->type);
        get_text_add_string(out, ",");
        if (event->last_event_id.len > 0) {
            get_text_json_bytes(out, "id", event->last_event_id);
            get_text_add_string(out, ",");
        }
        if (event->has_retry)
            get_text_printf(out, "\"retry_ms\":%" PRIu64 ",", event->retry_ms);
        get_text_json_bytes(out, "data", event->data);
        part_end(self);
    }
    call_put(self, event->data);
    call_put_text(self, "\n");
}

/* ---- Its end ---- */

/* All but the counting, when something is to be written. */
static void call_write_end(struct get_call *self, int err)
{
    struct get_run *run = self->run;
    if (run->bodies != NULL && self->body.len > 0)
        get_output_write(run->bodies, get_text_slice(&self->body));
    if (run->options->json)
        call_tell_json(self, err);
    if (run->options->verbose)
        call_tell_end(self, err);
}

__attribute__((cold, noinline)) static void call_fail(struct get_call *self, int err)
{
    struct get_run *run = self->run;
    run->tally.failed++;
    /* Those that were given up for another reason have been told of, or will be, by that reason. */
    if (err == WEIR_E_CANCELLED && run->cancelled)
        return;
    get_run_complain(run, self->number, err, self->call.timing.os_err);
    get_tally_fail(&run->tally, get_status_of(err));
}

static void call_unpark(struct get_run *run)
{
    struct get_call *self = run->parked;
    run->parked = self->next_parked;
    self->next_parked = NULL;
    call_send(self);
}

static void call_on_end(struct weir_call *call, int err)
{
    struct get_call *self = call->ctx;
    struct get_run *run = self->run;
    run->in_flight--;
    if (__builtin_expect(self->err != 0, 0))
        err = self->err;
    if (__builtin_expect(err == 0, 1)) {
        const struct weir_call_timing *timing = &call->timing;
        get_tally_answer(&run->tally, call->status, timing->end_ns - timing->start_ns);
        if (__builtin_expect(call->status >= 400, 0) && run->options->fail)
            get_tally_fail(&run->tally, get_status_of_http(call->status));
    } else {
        call_fail(self, err);
    }
    run->tally.bytes += call->timing.body_bytes;
    if (call->handler->on_head != NULL)
        call_write_end(self, err);
    if (__builtin_expect(run->parked != NULL, 0) && !run->stopping)
        call_unpark(run);
    if (get_run_wants_more(run)) {
        self->number = run->started++;
        call_send(self);
    }
}

/* With nothing to write nothing but the end concerns this program. */
static const struct weir_call_handler counting_handler = { .on_end = call_on_end };
static const struct weir_call_handler writing_handler = {
    .on_head = call_on_head,
    .on_body = call_on_body,
    .on_event = call_on_event,
    .on_end = call_on_end,
};

/* ---- Its beginning ---- */

/* What the call before left. */
static void call_clear(struct get_call *self)
{
    self->body_bytes = self->events_count = 0;
    self->refused = false;
    self->err = 0;
    self->call.status = 0;
    get_text_clear(&self->head);
    get_text_clear(&self->body);
    /* Without an ID there is nothing that the reader could refuse. */
    if (self->call.sse != NULL && weir_sse_begin(self->call.sse, (struct weir_slice){ 0 }) < 0)
        abort();
}

static void call_send(struct get_call *self)
{
    struct get_run *run = self->run;
    if (self->call.handler->on_head != NULL)
        call_clear(self);
    if (run->deadline_ns != 0)
        self->call.deadline_ns = weir_engine_now_ns(run->engine) + run->deadline_ns;
    int result = weir_client_send(run->client, &self->call);
    if (__builtin_expect(result == 0, 1)) {
        run->in_flight++;
        if (__builtin_expect(run->options->verbose, 0))
            call_tell_request(self);
    } else if (result == -ENOBUFS && run->in_flight > 0) {
        self->next_parked = run->parked;
        run->parked = self;
    } else {
        get_run_refuse(run, result);
    }
}

void get_calls_fill(struct get_run *run)
{
    for (uint32_t i = 0; i < run->options->concurrency && get_run_wants_more(run); i++) {
        run->calls[i].number = run->started++;
        call_send(&run->calls[i]);
    }
}

void get_calls_cancel(struct get_run *run)
{
    for (uint32_t i = 0; i < run->options->concurrency; i++)
        weir_call_cancel(&run->calls[i].call);
}

static int call_open_reader(struct get_call *self)
{
    const struct weir_sse_limits limits = {
        .data_bytes_max = EVENT_BYTES_MAX,
        .type_bytes_max = EVENT_TYPE_MAX,
        .id_bytes_max = EVENT_ID_BYTES_MAX,
    };
    size_t bytes = weir_sse_buffer_bytes(&limits);
    self->reader_memory = malloc(bytes);
    if (self->reader_memory == NULL)
        return -ENOMEM;
    self->call.sse = &self->reader;
    return weir_sse_init(&self->reader, &limits, self->reader_memory, bytes);
}

int get_calls_open(struct get_run *run)
{
    const struct get_options *options = run->options;
    bool writes =
        options->json || options->verbose || (run->bodies != NULL && !run->bodies->discarded);
    int result = 0;
    run->calls = calloc(options->concurrency, sizeof(*run->calls));
    if (run->calls == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; result == 0 && i < options->concurrency; i++) {
        struct get_call *self = &run->calls[i];
        self->run = run;
        self->body.max = BODY_BYTES_MAX;
        self->call.request = options->request;
        self->call.handler = writes ? &writing_handler : &counting_handler;
        self->call.ctx = self;
        if (options->stream)
            result = call_open_reader(self);
    }
    return result;
}

void get_calls_close(struct get_run *run)
{
    if (run->calls == NULL)
        return;
    for (uint32_t i = 0; i < run->options->concurrency; i++) {
        get_text_deinit(&run->calls[i].head);
        get_text_deinit(&run->calls[i].body);
        free(run->calls[i].reader_memory);
    }
    free(run->calls);
    run->calls = NULL;
}
