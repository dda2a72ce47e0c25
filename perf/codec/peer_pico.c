/* SPDX-License-Identifier: MIT */
/*
 * picohttpparser, from a shared object that the user built of it, with or without SSE 4.2:
 *
 *     cc -O3 -msse4.2 -shared -fPIC -o pico.so picohttpparser.c
 *
 * It is measured as it is: it finds names and values and looks at none of them. What weir does
 * besides (framing, Host) is not asked of it, which makes it the harder bar.
 */
#include "perf/codec/peer.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* Its binary interface: the layouts and prototypes that its shared object was compiled with. */
struct pico_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

struct pico_chunked {
    size_t chunk_remaining;
    char consume_trailer;
    char hex_count;
    char state;
    /* Later versions also count what they read. Older ones do not touch these. */
    uint64_t counters[2];
};

struct pico {
    int (*parse_request)(const char *bytes, size_t len, const char **method, size_t *method_len,
                         const char **target, size_t *target_len, int *version_minor,
                         struct pico_header *headers, size_t *headers_count, size_t last_len);
    int (*parse_response)(const char *bytes, size_t len, int *version_minor, int *status,
                          const char **reason, size_t *reason_len, struct pico_header *headers,
                          size_t *headers_count, size_t last_len);
    ssize_t (*decode_chunked)(struct pico_chunked *decoder, char *bytes, size_t *len);
    struct codec_peer peer;
};

enum { PICO_PARTIAL = -2 };

/* One head, as it is found. */
struct pico_head {
    const char *method, *target, *reason;
    size_t method_len, target_len, reason_len;
    int version_minor, status;
    size_t headers_count;
    struct pico_header headers[CODEC_FIELDS_MAX];
};

static void digest_head(struct codec_digest *digest, const struct pico_head *head)
{
    codec_digest_part(digest, head->method, head->method_len);
    codec_digest_part(digest, head->target, head->target_len);
    codec_digest_number(digest, (uint64_t)head->version_minor);
    codec_digest_number(digest, (uint64_t)head->status);
    codec_digest_part(digest, head->reason, head->reason_len);
    for (size_t i = 0; i < head->headers_count; i++) {
        codec_digest_part(digest, head->headers[i].name, head->headers[i].name_len);
        codec_digest_part(digest, head->headers[i].value, head->headers[i].value_len);
    }
}

static inline int pico_request(const struct pico *pico, struct pico_head *head, const char *bytes,
                               size_t len, size_t last_len)
{
    head->headers_count = CODEC_FIELDS_MAX;
    return pico->parse_request(bytes, len, &head->method, &head->method_len, &head->target,
                               &head->target_len, &head->version_minor, head->headers,
                               &head->headers_count, last_len);
}

static inline int pico_response(const struct pico *pico, struct pico_head *head, const char *bytes,
                                size_t len)
{
    head->headers_count = CODEC_FIELDS_MAX;
    return pico->parse_response(bytes, len, &head->version_minor, &head->status, &head->reason,
                                &head->reason_len, head->headers, &head->headers_count, 0);
}

static bool run_request(const struct codec_peer *peer, struct codec_job *job)
{
    const struct pico *pico = peer->ctx;
    struct pico_head head = { .status = 0 };
    uint64_t sum = 0;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        const char *at = (const char *)job->bytes;
        const char *end = at + job->input->bytes.len;
        while (at < end) {
            int used = pico_request(pico, &head, at, (size_t)(end - at), 0);
            if (used <= 0)
                return false;
            if (job->digest != NULL)
                digest_head(job->digest, &head);
            sum += head.headers_count + head.target_len;
            at += used;
        }
    }
    job->sum = sum;
    return true;
}

static bool run_response(const struct codec_peer *peer, struct codec_job *job)
{
    const struct pico *pico = peer->ctx;
    struct pico_head head = { .status = 0 };
    uint64_t sum = 0;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        const char *at = (const char *)job->bytes;
        const char *end = at + job->input->bytes.len;
        while (at < end) {
            int used = pico_response(pico, &head, at, (size_t)(end - at));
            if (used <= 0)
                return false;
            if (job->digest != NULL)
                digest_head(job->digest, &head);
            sum += head.headers_count + (uint64_t)head.status;
            at += used;
        }
    }
    job->sum = sum;
    return true;
}

/*
 * It decodes in place, so the bytes must be put back before the next pass. That is not its work:
 * the time it takes is measured by itself and left out, and since a pass is a body of 1 MiB, the
 * two readings of the clock do not show. Putting back also leaves the bytes in the cache, where a
 * pass that changed nothing leaves them too. The moving of the payload stays in: whoever uses this
 * decoder pays for it, and gets a body in one piece for it.
 */
static bool run_chunked(const struct codec_peer *peer, struct codec_job *job)
{
    const struct pico *pico = peer->ctx;
    uint64_t sum = 0;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        struct pico_chunked decoder = { .consume_trailer = 1 };
        size_t len = job->input->bytes.len;
        ssize_t left = pico->decode_chunked(&decoder, (char *)job->bytes, &len);
        if (left != 0)
            return false;
        if (job->digest != NULL)
            codec_digest_bytes(job->digest, job->bytes, len);
        sum += len;
        uint64_t begin_ns = codec_clock_ns();
        memcpy(job->bytes, job->input->bytes.ptr, job->input->bytes.len);
        job->unmeasured_ns += codec_clock_ns() - begin_ns;
    }
    job->sum = sum;
    return true;
}

static bool run_request_bytes(const struct codec_peer *peer, struct codec_job *job)
{
    const struct pico *pico = peer->ctx;
    struct pico_head head = { .status = 0 };
    const size_t len = job->input->bytes.len;
    uint64_t sum = 0;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        int used = PICO_PARTIAL;
        for (size_t had = 0; used == PICO_PARTIAL && had < len; had++)
            used = pico_request(pico, &head, (const char *)job->bytes, had + 1, had);
        if (used < 0 || (size_t)used != len)
            return false;
        if (job->digest != NULL)
            digest_head(job->digest, &head);
        sum += head.headers_count + head.target_len;
    }
    job->sum = sum;
    return true;
}

/* ISO C has no cast from an object's address to a function's; POSIX says that they are alike. */
static bool pico_symbol(void *library, const char *name, void *function_out)
{
    void *address = dlsym(library, name);
    if (address == NULL)
        fprintf(stderr, "codec-bench: %s\n", dlerror());
    memcpy(function_out, &address, sizeof(address));
    return address != NULL;
}

struct codec_peer *codec_peer_pico(const char *name, const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "codec-bench: %s\n", dlerror());
        return NULL;
    }
    struct pico *pico = calloc(1, sizeof(*pico));
    if (pico == NULL) {
        fprintf(stderr, "codec-bench: out of memory\n");
        dlclose(library);
        return NULL;
    }
    if (!pico_symbol(library, "phr_parse_request", &pico->parse_request) ||
        !pico_symbol(library, "phr_parse_response", &pico->parse_response) ||
        !pico_symbol(library, "phr_decode_chunked", &pico->decode_chunked)) {
        free(pico);
        dlclose(library);
        return NULL;
    }
    pico->peer = (struct codec_peer){
        .name = name,
        .ctx = pico,
        .run = { [CODEC_REQUEST] = run_request,
                 [CODEC_RESPONSE] = run_response,
                 [CODEC_CHUNKED] = run_chunked,
                 [CODEC_REQUEST_BYTES] = run_request_bytes },
    };
    return &pico->peer;
}
