/* SPDX-License-Identifier: MIT */
/*
 * What the bytes of a row cost without a parser: to copy them once, and to read them once. memchr
 * looks for a NUL, which is in no row, so it always reads to the end.
 */
#include "perf/codec/peer.h"

#include <string.h>

static bool run_memcpy(const struct codec_peer *peer, struct codec_job *job)
{
    const size_t len = job->input->bytes.len;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        memcpy(peer->ctx, job->bytes, len);
        /* The copy is looked at by nobody: without this it would not be made at all. */
        __asm__ volatile("" : : "r"(peer->ctx) : "memory");
    }
    job->sum = len;
    return true;
}

static bool run_memchr(const struct codec_peer *peer, struct codec_job *job)
{
    const size_t len = job->input->bytes.len;
    (void)peer;
    for (uint64_t pass = 0; pass < job->passes; pass++) {
        if (memchr(job->bytes, '\0', len) != NULL)
            return false;
        __asm__ volatile("" : : "r"(job->bytes) : "memory"); /* no pass is the same as another */
    }
    job->sum = len;
    return true;
}

enum { PAGE_BYTES = 4096 };

/*
 * Half a page away from where the bytes of a row begin in theirs: a load whose address differs from
 * that of a store before it by whole pages waits for it, and a floor waits for nothing.
 */
static _Alignas(PAGE_BYTES) uint8_t copy[PAGE_BYTES / 2 + CODEC_INPUT_BYTES_MAX];

static struct codec_peer floor_memcpy = {
    .name = "memcpy",
    .floor = true,
    .ctx = copy + PAGE_BYTES / 2,
    .run = { [CODEC_REQUEST] = run_memcpy,
             [CODEC_RESPONSE] = run_memcpy,
             [CODEC_CHUNKED] = run_memcpy,
             [CODEC_EVENTS] = run_memcpy },
};

static struct codec_peer floor_memchr = {
    .name = "memchr",
    .floor = true,
    .run = { [CODEC_REQUEST] = run_memchr,
             [CODEC_RESPONSE] = run_memchr,
             [CODEC_CHUNKED] = run_memchr,
             [CODEC_EVENTS] = run_memchr },
};

struct codec_peer *codec_peer_memcpy(void)
{
    return &floor_memcpy;
}

struct codec_peer *codec_peer_memchr(void)
{
    return &floor_memchr;
}
