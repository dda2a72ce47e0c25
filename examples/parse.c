/* SPDX-License-Identifier: MIT */
/*
 * The codec alone: reads a stream of HTTP/1.1 requests from standard input, however it is cut, and
 * prints what is in it. Needs no engine, no ring, and of the libraries only libweir.a.
 *
 *   printf 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n' | parse
 *
 * The exit status is 0 when the stream ends between two requests, 1 when it is refused or cut off.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weir/http1.h>

enum { HEAD_BYTES_MAX = 16384, FIELDS_MAX = 100, BUFFER_BYTES = 65536 };

static uint8_t buffer[BUFFER_BYTES]; /* what was read and not used yet, from its beginning on */
static size_t buffered;

/* Read more. @return false at the end of the stream */
static bool fill(void)
{
    ssize_t n = read(STDIN_FILENO, buffer + buffered, sizeof(buffer) - buffered);
    buffered += n > 0 ? (size_t)n : 0;
    return n > 0;
}

static void use(size_t bytes)
{
    buffered -= bytes;
    memmove(buffer, buffer + bytes, buffered);
}

static int refuse(const struct weir_parse_err *err)
{
    printf("refused with %u: %s, at byte %" PRIu32 "\n", weir_http1_error_status(err->code),
           weir_http1_strerror(err->code), err->offset);
    return 1;
}

static void print_head(const struct weir_http1_head *head)
{
    printf("%.*s %.*s HTTP/1.%u\n", (int)head->method.len, (const char *)head->method.ptr,
           (int)head->target.len, (const char *)head->target.ptr, head->version_minor);
    for (unsigned i = 0; i < head->fields_count; i++) {
        struct weir_slice name = weir_http1_name(head, i), value = weir_http1_value(head, i);
        printf("  %.*s: %.*s\n", (int)name.len, (const char *)name.ptr, (int)value.len,
               (const char *)value.ptr);
    }
}

/* @return 0, or 1 when the body is bad or cut off */
static int read_body(enum weir_http1_framing framing, uint64_t content_length)
{
    struct weir_http1_body body;
    weir_http1_body_init(&body, framing, content_length);
    for (;;) {
        struct weir_slice payload;
        struct weir_parse_err err;
        size_t consumed;
        enum weir_parse result = weir_http1_body_feed(
            &body, (struct weir_slice){ buffer, buffered }, &consumed, &payload, &err);
        if (result == WEIR_PARSE_ERROR)
            return refuse(&err);
        if (payload.len > 0)
            printf("  + %zu bytes\n", payload.len);
        use(consumed);
        if (result == WEIR_PARSE_DONE)
            return 0;
        if (buffered == 0 && !fill()) {
            printf("cut off inside a body\n");
            return 1;
        }
    }
}

int main(void)
{
    struct weir_http1_field fields[FIELDS_MAX];
    struct weir_http1_head head = { .fields = fields };
    const struct weir_http1_limits limits = { .head_bytes_max = HEAD_BYTES_MAX,
                                              .target_bytes_max = 8192,
                                              .fields_max = FIELDS_MAX };
    uint32_t resume = 0;
    for (;;) {
        struct weir_parse_err err;
        enum weir_parse result = weir_http1_parse_request(
            &head, &limits, (struct weir_slice){ buffer, buffered }, &resume, &err);
        if (result == WEIR_PARSE_ERROR)
            return refuse(&err);
        if (result == WEIR_PARSE_MORE) {
            if (fill())
                continue;
            if (buffered > 0)
                printf("cut off inside a head\n");
            return buffered > 0;
        }
        print_head(&head);
        enum weir_http1_framing framing = head.framing;
        uint64_t content_length = head.content_length;
        use(head.bytes);
        if (framing != WEIR_HTTP1_BODY_NONE && read_body(framing, content_length) != 0)
            return 1;
    }
}
