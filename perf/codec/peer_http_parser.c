/* SPDX-License-Identifier: MIT */
/*
 * libhttp-parser, from the system's package. It hands out pieces by callbacks and keeps nothing, so
 * its callbacks do here what every program on it must do: put the pieces together and remember
 * where the names and values lie.
 */
#include "perf/codec/peer.h"

#include <http_parser.h>

struct span {
    const char *ptr;
    size_t len;
};

struct message {
    struct span target, reason;
    struct span names[CODEC_FIELDS_MAX], values[CODEC_FIELDS_MAX];
    unsigned fields_count;
    bool in_value;
    uint64_t heads_count, complete_count;
    uint64_t body_bytes;
    struct codec_digest *digest;
};

/* The pieces of one span follow each other in memory, for the bytes of a message stay in place. */
static void span_extend(struct span *span, const char *at, size_t len)
{
    if (span->len == 0)
        span->ptr = at;
    span->len += len;
}

static int on_begin(http_parser *parser)
{
    struct message *message = parser->data;
    message->target.len = 0;
    message->reason.len = 0;
    message->fields_count = 0;
    message->in_value = true;
    return 0;
}

static int on_target(http_parser *parser, const char *at, size_t len)
{
    struct message *message = parser->data;
    span_extend(&message->target, at, len);
    return 0;
}

static int on_reason(http_parser *parser, const char *at, size_t len)
{
    struct message *message = parser->data;
    span_extend(&message->reason, at, len);
    return 0;
}

static int on_name(http_parser *parser, const char *at, size_t len)
{
    struct message *message = parser->data;
    if (message->in_value) {
        if (message->fields_count == CODEC_FIELDS_MAX)
            return 1;
        message->names[message->fields_count].len = 0;
        message->values[message->fields_count].len = 0;
        message->fields_count++;
        message->in_value = false;
    }
    span_extend(&message->names[message->fields_count - 1], at, len);
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct message *message = parser->data;
    message->in_value = true;
    span_extend(&message->values[message->fields_count - 1], at, len);
    return 0;
}

static void digest_span(struct codec_digest *digest, struct span span)
{
    codec_digest_part(digest, span.ptr, span.len);
}

static void digest_head(const http_parser *parser, const struct message *message)
{
    struct codec_digest *digest = message->digest;
    struct span method = { NULL, 0 };
    if (parser->type == HTTP_REQUEST) {
        method.ptr = http_method_str((enum http_method)parser->method);
        while (method.ptr[method.len] != '\0')
            method.len++;
    }
    digest_span(digest, method);
    digest_span(digest, message->target);
    codec_digest_number(digest, parser->http_minor);
    codec_digest_number(digest, parser->type == HTTP_REQUEST ? 0 : parser->status_code);
    digest_span(digest, message->reason);
    for (unsigned i = 0; i < message->fields_count; i++) {
        digest_span(digest, message->names[i]);
        digest_span(digest, message->values[i]);
    }
}

static int on_head(http_parser *parser)
{
    struct message *message = parser->data;
    if (message->digest != NULL)
        digest_head(parser, message);
    message->heads_count++;
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct message *message = parser->data;
    if (message->digest != NULL)
        codec_digest_bytes(message->digest, at, len);
    message->body_bytes += len;
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct message *message = parser->data;
    message->complete_count++;
    return 0;
}

static const http_parser_settings callbacks = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_status = on_reason,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* A row ends with the last head, whatever body was announced: each pass begins a new connection. */
static bool run_heads(struct codec_job *job, enum http_parser_type type)
{
    struct message message = { .digest = job->digest };
    const char *bytes = (const char *)job->bytes;
    const size_t len = job->input->bytes.len;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        http_parser parser = { .data = &message };
        http_parser_init(&parser, type);
        if (http_parser_execute(&parser, &callbacks, bytes, len) != len)
            return false;
    }
    job->sum = message.heads_count + message.fields_count;
    return message.heads_count == job->passes * job->input->units;
}

static bool run_request(const struct codec_peer *peer, struct codec_job *job)
{
    (void)peer;
    return run_heads(job, HTTP_REQUEST);
}

static bool run_response(const struct codec_peer *peer, struct codec_job *job)
{
    (void)peer;
    return run_heads(job, HTTP_RESPONSE);
}

/* It takes no body without a head; a short one does not show beside a body of 1 MiB. */
static bool run_chunked(const struct codec_peer *peer, struct codec_job *job)
{
    static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    const char *bytes = (const char *)job->bytes;
    const size_t len = job->input->bytes.len;
    uint64_t sum = 0;
    (void)peer;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        struct message message = { .fields_count = 0 };
        http_parser parser = { .data = &message };
        http_parser_init(&parser, HTTP_REQUEST);
        if (http_parser_execute(&parser, &callbacks, head, sizeof(head) - 1) != sizeof(head) - 1)
            return false;
        message.digest = job->digest;
        if (http_parser_execute(&parser, &callbacks, bytes, len) != len)
            return false;
        if (message.complete_count != 1)
            return false;
        sum += message.body_bytes;
    }
    job->sum = sum;
    return true;
}

static bool run_request_bytes(const struct codec_peer *peer, struct codec_job *job)
{
    struct message message = { .digest = job->digest };
    const char *bytes = (const char *)job->bytes;
    (void)peer;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        http_parser parser = { .data = &message };
        http_parser_init(&parser, HTTP_REQUEST);
        for (size_t i = 0; i < job->input->bytes.len; i++) {
            if (http_parser_execute(&parser, &callbacks, bytes + i, 1) != 1)
                return false;
        }
    }
    job->sum = message.heads_count + message.fields_count;
    return message.heads_count == job->passes;
}

static struct codec_peer http_parser_peer = {
    .name = "http-parser",
    .run = { [CODEC_REQUEST] = run_request,
             [CODEC_RESPONSE] = run_response,
             [CODEC_CHUNKED] = run_chunked,
             [CODEC_REQUEST_BYTES] = run_request_bytes },
};

struct codec_peer *codec_peer_http_parser(void)
{
    return &http_parser_peer;
}
