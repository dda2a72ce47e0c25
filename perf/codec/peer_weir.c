/* SPDX-License-Identifier: MIT */
/*
 * libweir. It does what its contract says in every pass: besides finding the names and values it
 * checks Host, Content-Length and Transfer-Encoding and derives the framing.
 */
#include "perf/codec/peer.h"

#include <weir/http1.h>
#include <weir/sse.h>

static const struct weir_http1_limits limits = {
    .head_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
    .target_bytes_max = 8192,
    .fields_max = CODEC_FIELDS_MAX,
};

static void digest_slice(struct codec_digest *digest, struct weir_slice slice)
{
    codec_digest_part(digest, slice.ptr, slice.len);
}

static void digest_head(struct codec_digest *digest, const struct weir_http1_head *head)
{
    digest_slice(digest, head->method);
    digest_slice(digest, head->target);
    codec_digest_number(digest, head->version_minor);
    codec_digest_number(digest, head->status);
    digest_slice(digest, head->reason);
    for (unsigned i = 0; i < head->fields_count; i++) {
        digest_slice(digest, weir_http1_name(head, i));
        digest_slice(digest, weir_http1_value(head, i));
    }
}

static bool run_request(const struct codec_peer *peer, struct codec_job *job)
{
    struct weir_http1_field fields[CODEC_FIELDS_MAX];
    struct weir_http1_head head = { .fields = fields };
    struct weir_parse_err err;
    uint64_t sum = 0;
    (void)peer;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        struct weir_slice rest = { job->bytes, job->input->bytes.len };
        while (rest.len != 0) {
            uint32_t resume = 0;
            if (weir_http1_parse_request(&head, &limits, rest, &resume, &err) != WEIR_PARSE_DONE)
                return false;
            if (job->digest != NULL)
                digest_head(job->digest, &head);
            sum += head.fields_count + head.target.len;
            rest.ptr += head.bytes;
            rest.len -= head.bytes;
        }
    }
    job->sum = sum;
    return true;
}

static bool run_response(const struct codec_peer *peer, struct codec_job *job)
{
    struct weir_http1_field fields[CODEC_FIELDS_MAX];
    struct weir_http1_head head = { .fields = fields };
    struct weir_parse_err err;
    const struct weir_slice method = WEIR_TEXT("GET");
    uint64_t sum = 0;
    (void)peer;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        struct weir_slice rest = { job->bytes, job->input->bytes.len };
        while (rest.len != 0) {
            uint32_t resume = 0;
            if (weir_http1_parse_response(&head, &limits, method, rest, &resume, &err) !=
                WEIR_PARSE_DONE)
                return false;
            if (job->digest != NULL)
                digest_head(job->digest, &head);
            sum += head.fields_count + head.status;
            rest.ptr += head.bytes;
            rest.len -= head.bytes;
        }
    }
    job->sum = sum;
    return true;
}

/* Each slice of payload is a view: weir does not read it, as little as its users must copy it. */
static bool run_chunked(const struct codec_peer *peer, struct codec_job *job)
{
    struct weir_parse_err err;
    uint64_t sum = 0;
    (void)peer;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        struct weir_slice rest = { job->bytes, job->input->bytes.len };
        struct weir_http1_body body;
        enum weir_parse parsed;
        weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
        do {
            struct weir_slice out;
            size_t consumed;
            parsed = weir_http1_body_feed(&body, rest, &consumed, &out, &err);
            if (parsed == WEIR_PARSE_ERROR || (parsed == WEIR_PARSE_MORE && consumed == 0))
                return false;
            if (job->digest != NULL)
                codec_digest_bytes(job->digest, out.ptr, out.len);
            sum += out.len;
            rest.ptr += consumed;
            rest.len -= consumed;
        } while (parsed != WEIR_PARSE_DONE);
        if (rest.len != 0)
            return false;
    }
    job->sum = sum;
    return true;
}

/* A pass is a stream of its own with one whole event behind the other: MORE is its end. */
static bool run_events(const struct codec_peer *peer, struct codec_job *job)
{
    static const struct weir_sse_limits events_limits = {
        .data_bytes_max = 4096,
        .type_bytes_max = 64,
        .id_bytes_max = 64,
    };
    static uint8_t buffer[4096 + 64 + 3 * 64]; /* weir_sse_buffer_bytes() */
    struct weir_sse_reader reader;
    uint64_t sum = 0;
    (void)peer;
    if (weir_sse_init(&reader, &events_limits, buffer, sizeof(buffer)) != 0)
        return false;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        struct weir_slice rest = { job->bytes, job->input->bytes.len };
        struct weir_sse_event event;
        struct weir_sse_err err;
        uint32_t events_count = 0;
        size_t consumed;
        if (weir_sse_begin(&reader, (struct weir_slice){ .ptr = NULL }) != 0)
            return false;
        while (weir_sse_read(&reader, rest, &consumed, &event, &err) == WEIR_PARSE_DONE) {
            if (job->digest != NULL) {
                digest_slice(job->digest, event.type);
                digest_slice(job->digest, event.data);
            }
            sum += event.data.len;
            events_count++;
            rest.ptr += consumed;
            rest.len -= consumed;
        }
        if (rest.len != 0 || events_count != job->input->units)
            return false;
    }
    job->sum = sum;
    return true;
}

static bool run_request_bytes(const struct codec_peer *peer, struct codec_job *job)
{
    struct weir_http1_field fields[CODEC_FIELDS_MAX];
    struct weir_http1_head head = { .fields = fields };
    struct weir_parse_err err;
    const size_t len = job->input->bytes.len;
    uint64_t sum = 0;
    (void)peer;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        enum weir_parse parsed = WEIR_PARSE_MORE;
        uint32_t resume = 0;
        size_t had = 0;
        while (parsed == WEIR_PARSE_MORE && had < len) {
            struct weir_slice bytes = { job->bytes, ++had };
            parsed = weir_http1_parse_request(&head, &limits, bytes, &resume, &err);
        }
        if (parsed != WEIR_PARSE_DONE || had != len)
            return false;
        if (job->digest != NULL)
            digest_head(job->digest, &head);
        sum += head.fields_count + head.target.len;
    }
    job->sum = sum;
    return true;
}

static struct codec_peer weir = {
    .name = "weir",
    .run = { [CODEC_REQUEST] = run_request,
             [CODEC_RESPONSE] = run_response,
             [CODEC_CHUNKED] = run_chunked,
             [CODEC_EVENTS] = run_events,
             [CODEC_REQUEST_BYTES] = run_request_bytes },
};

struct codec_peer *codec_peer_weir(void)
{
    weir.simd = weir_http1_simd();
    return &weir;
}
