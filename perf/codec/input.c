/* SPDX-License-Identifier: MIT */
/*
 * The messages are of the size and shape that are seen on real connections, and they are plain: no
 * parser is asked for what another one does not know (folded lines, blanks behind values, bare line
 * feeds), so that all of them must find the same names, values and bodies.
 *
 * No NUL is in any row: the floor `memchr` looks for one and must read to the end.
 */
#include "perf/codec/input.h"

#include <string.h>

enum {
    BODY_BYTES = 1024 * 1024,
    CHUNK_SMALL_BYTES = 64,
    CHUNK_LARGE_BYTES = 4096,
    CHUNKS_SMALL = BODY_BYTES / CHUNK_SMALL_BYTES,
    CHUNKS_LARGE = BODY_BYTES / CHUNK_LARGE_BYTES,
    EVENTS = 1024, /* 64 KiB: what one receive can bring */
    PIPELINE = 16,
};

#define SIZE_LINE_SMALL "40\r\n"
#define SIZE_LINE_LARGE "1000\r\n"
#define LAST_CHUNK      "0\r\n\r\n"

static const char browser_request[] =
    "GET /articles/2024/rivers-and-weirs/?utm_source=newsletter&page=2 HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;"
    "q=0.8\r\n"
    "Referer: https://www.example.com/articles/\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: sid=5f0c9ad81b7e4c22a6e1; theme=dark; consent=necessary%2Cstatistics; "
    "_visit=1701432000.4.1.1701432871.60.0.0; cart=3a91e7; ab=header-b; tz=Europe%2FVienna; "
    "seen=41%7C97%7C112\r\n"
    "\r\n";
static const char short_request[] = "GET /api/v1/users/1042 HTTP/1.1\r\n"
                                    "Host: api.example.com\r\n"
                                    "Accept: */*\r\n"
                                    "X-Id: 77\r\n"
                                    "\r\n";
static const char post_request[] = "POST /v1/chat/completions HTTP/1.1\r\n"
                                   "Host: inference.example.com:8080\r\n"
                                   "User-Agent: example-client/1.14.2\r\n"
                                   "Accept: application/json\r\n"
                                   "Accept-Encoding: gzip, deflate\r\n"
                                   "Authorization: Bearer sk-4f9a7c1e0b2d4863a5e7f1c9\r\n"
                                   "Content-Type: application/json\r\n"
                                   "Content-Length: 412\r\n"
                                   "X-Request-Id: 6b1f2f0e-8a3c-4d57-9d0e-2f6c1b7a9e35\r\n"
                                   "\r\n";
static const char response_8[] = "HTTP/1.1 200 OK\r\n"
                                 "Date: Tue, 12 Dec 2023 09:21:37 GMT\r\n"
                                 "Server: example/2.4\r\n"
                                 "Content-Type: application/json; charset=utf-8\r\n"
                                 "Content-Length: 1532\r\n"
                                 "Connection: keep-alive\r\n"
                                 "Cache-Control: no-store\r\n"
                                 "Vary: Accept-Encoding\r\n"
                                 "X-Request-Id: 6b1f2f0e-8a3c-4d57-9d0e-2f6c1b7a9e35\r\n"
                                 "\r\n";
static const char response_20[] =
    "HTTP/1.1 200 OK\r\n"
    "Date: Tue, 12 Dec 2023 09:21:37 GMT\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "Content-Length: 48211\r\n"
    "Connection: keep-alive\r\n"
    "Last-Modified: Mon, 11 Dec 2023 17:02:10 GMT\r\n"
    "ETag: \"bc53-60c3f1a7d2e80\"\r\n"
    "Cache-Control: public, max-age=300, stale-while-revalidate=60\r\n"
    "Expires: Tue, 12 Dec 2023 09:26:37 GMT\r\n"
    "Vary: Accept-Encoding, Accept-Language\r\n"
    "Age: 17\r\n"
    "Accept-Ranges: bytes\r\n"
    "Content-Language: en\r\n"
    "Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: SAMEORIGIN\r\n"
    "Referrer-Policy: strict-origin-when-cross-origin\r\n"
    "Content-Security-Policy: default-src 'self'; img-src 'self' https://img.example.com; "
    "script-src 'self'\r\n"
    "Set-Cookie: sid=5f0c9ad81b7e4c22a6e1; Path=/; Secure; HttpOnly; SameSite=Lax\r\n"
    "Via: 1.1 cache-vie-3.example.net\r\n"
    "X-Cache: HIT\r\n"
    "\r\n";
static const char event[] = "event: token\n"
                            "data: {\"index\":417,\"delta\":\" of the river banks\"}\n"
                            "\n";
_Static_assert(sizeof(event) - 1 == 64, "events of 64 bytes");

static uint8_t chunked_small[CHUNKS_SMALL * (sizeof(SIZE_LINE_SMALL) + CHUNK_SMALL_BYTES + 1) +
                             sizeof(LAST_CHUNK) - 1];
static uint8_t chunked_large[CHUNKS_LARGE * (sizeof(SIZE_LINE_LARGE) + CHUNK_LARGE_BYTES + 1) +
                             sizeof(LAST_CHUNK) - 1];
static uint8_t events[EVENTS * (sizeof(event) - 1)];
static uint8_t pipeline[PIPELINE * (sizeof(short_request) - 1)];

_Static_assert(sizeof(chunked_small) <= CODEC_INPUT_BYTES_MAX, "the longest row");

#define HEAD_BARS                                                                                  \
    {                                                                                              \
        .pico = 1.3, .http_parser = 3, .scalar = 1                                                 \
    }

static const struct codec_input inputs[] = {
    {
        .name = "browser",
        .unit = "request",
        .units = 1,
        .kind = CODEC_REQUEST,
        .bytes = WEIR_TEXT(browser_request),
        .bars = HEAD_BARS,
    },
    {
        .name = "short",
        .unit = "request",
        .units = 1,
        .kind = CODEC_REQUEST,
        .bytes = WEIR_TEXT(short_request),
        .bars = HEAD_BARS,
    },
    {
        .name = "post",
        .unit = "request",
        .units = 1,
        .kind = CODEC_REQUEST,
        .bytes = WEIR_TEXT(post_request),
        .bars = HEAD_BARS,
    },
    {
        .name = "response-8",
        .unit = "response",
        .units = 1,
        .kind = CODEC_RESPONSE,
        .bytes = WEIR_TEXT(response_8),
        .bars = HEAD_BARS,
    },
    {
        .name = "response-20",
        .unit = "response",
        .units = 1,
        .kind = CODEC_RESPONSE,
        .bytes = WEIR_TEXT(response_20),
        .bars = HEAD_BARS,
    },
    {
        .name = "chunked-64",
        .unit = "chunk",
        .units = CHUNKS_SMALL,
        .kind = CODEC_CHUNKED,
        .bytes = { chunked_small, sizeof(chunked_small) },
        .bars = HEAD_BARS,
    },
    {
        .name = "chunked-4k",
        .unit = "chunk",
        .units = CHUNKS_LARGE,
        .kind = CODEC_CHUNKED,
        .bytes = { chunked_large, sizeof(chunked_large) },
        .bars = { .pico = 1.3, .http_parser = 3, .scalar = 1, .gbs = 20 },
    },
    {
        .name = "events-64",
        .unit = "event",
        .units = EVENTS,
        .kind = CODEC_EVENTS,
        .bytes = { events, sizeof(events) },
        .bars = { .gbs = 3 },
    },
    {
        .name = "pipeline-16",
        .unit = "request",
        .units = PIPELINE,
        .kind = CODEC_REQUEST,
        .bytes = { pipeline, sizeof(pipeline) },
        .bars = HEAD_BARS,
    },
    /*
     * No bars: here picohttpparser looks for the empty line alone and judges nothing until it is
     * there, while the other two refuse a wrong byte when it comes.
     */
    {
        .name = "short-bytes",
        .unit = "byte",
        .units = sizeof(short_request) - 1,
        .kind = CODEC_REQUEST_BYTES,
        .bytes = WEIR_TEXT(short_request),
    },
    {
        .name = "browser-bytes",
        .unit = "byte",
        .units = sizeof(browser_request) - 1,
        .kind = CODEC_REQUEST_BYTES,
        .bytes = WEIR_TEXT(browser_request),
    },
};
_Static_assert(sizeof(inputs) / sizeof(inputs[0]) == CODEC_INPUTS_COUNT, "every row is counted");

static uint8_t *append(uint8_t *out, const void *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

/* The same body, letters from a fixed generator, in chunks of `chunk_bytes`. */
static void compose_chunked(uint8_t *out, struct weir_slice size_line, size_t chunk_bytes)
{
    uint64_t random = 0x9e3779b97f4a7c15;
    for (size_t at = 0; at < BODY_BYTES; at += chunk_bytes) {
        out = append(out, size_line.ptr, size_line.len);
        for (size_t i = 0; i < chunk_bytes; i++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            *out++ = (uint8_t)('a' + (random >> 60));
        }
        out = append(out, "\r\n", 2);
    }
    append(out, LAST_CHUNK, sizeof(LAST_CHUNK) - 1);
}

static void compose_repeated(uint8_t *out, struct weir_slice message, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        out = append(out, message.ptr, message.len);
}

const struct codec_input *codec_inputs(void)
{
    static bool composed;
    if (!composed) {
        compose_chunked(chunked_small, WEIR_TEXT(SIZE_LINE_SMALL), CHUNK_SMALL_BYTES);
        compose_chunked(chunked_large, WEIR_TEXT(SIZE_LINE_LARGE), CHUNK_LARGE_BYTES);
        compose_repeated(events, WEIR_TEXT(event), EVENTS);
        compose_repeated(pipeline, WEIR_TEXT(short_request), PIPELINE);
        composed = true;
    }
    return inputs;
}

const struct codec_input *codec_input_find(const char *name)
{
    const struct codec_input *all = codec_inputs();
    for (unsigned i = 0; i < CODEC_INPUTS_COUNT; i++) {
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    }
    return NULL;
}
