/* SPDX-License-Identifier: MIT */
/*
 * The bytes stay in one place for a block of passes, hot in the cache, as they are when a receive
 * has just brought them and as other benchmarks of parsers have them. 64 blocks make a cell, one
 * for each place of the first byte in a cache line: no parser wins or loses by where a row happens
 * to begin. Bringing the bytes to their place is not measured, nor is a first block that fills the
 * caches and teaches the branch predictor.
 *
 * What this cannot show: real messages differ from one to the next, so the branches of all parsers
 * are predicted better here than there.
 */
#include "perf/codec/cell.h"
#include "perf/codec/alloc.h"

#include <string.h>
#include <time.h>

enum { PLACES = 64, PAGE_BYTES = 4096 };

static _Alignas(PAGE_BYTES) uint8_t place[CODEC_INPUT_BYTES_MAX + PLACES];
static volatile uint64_t sum_of_all; /* what was found is used: it cannot be left out */

uint64_t codec_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock is there and so is `now` */
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* A number of passes at one place. */
struct block {
    uint64_t passes;
    unsigned offset;
    struct codec_digest *digest;
};

/* Run it and add to the answer; false when the peer refused the bytes. */
static bool block_run(const struct codec_peer *peer, const struct codec_input *input,
                      const struct block *block, struct codec_answer *answer)
{
    struct codec_job job = {
        .input = input,
        .bytes = place + block->offset,
        .passes = block->passes,
        .digest = block->digest,
    };
    memcpy(job.bytes, input->bytes.ptr, input->bytes.len);
    uint64_t alloc_count = codec_alloc_count();
    uint64_t begin_ns = codec_clock_ns();
    bool good = peer->run[input->kind](peer, &job);
    answer->ns += codec_clock_ns() - begin_ns - job.unmeasured_ns;
    answer->alloc_count += codec_alloc_count() - alloc_count;
    answer->passes += block->passes;
    sum_of_all += job.sum;
    return good;
}

/* How many passes make a block of `block_ns`; 0 when the peer refused the bytes. */
static uint64_t passes_find(const struct codec_peer *peer, const struct codec_input *input,
                            uint64_t block_ns)
{
    for (uint64_t passes = 1;; passes *= 2) {
        struct codec_answer trial = { .ns = 0 };
        struct block block = { .passes = passes };
        if (!block_run(peer, input, &block, &trial))
            return 0;
        if (trial.ns >= block_ns / 2) {
            uint64_t fitting = (passes * block_ns + trial.ns / 2) / trial.ns;
            return fitting != 0 ? fitting : 1;
        }
    }
}

/* All places once, and again while there is budget left: once, unless the passes were too few. */
static bool cell_measure(struct codec_peer *peer, const struct codec_input *input,
                         uint64_t budget_ns, struct codec_answer *out)
{
    uint64_t *passes = &peer->passes[input - codec_inputs()];
    if (*passes == 0)
        *passes = passes_find(peer, input, (budget_ns + budget_ns / 8) / PLACES);
    if (*passes == 0)
        return false;
    struct codec_answer warm_up = { .ns = 0 };
    struct block block = { .passes = *passes };
    bool good = block_run(peer, input, &block, &warm_up);
    while (good && out->ns < budget_ns) {
        for (block.offset = 0; good && block.offset < PLACES; block.offset++)
            good = block_run(peer, input, &block, out);
    }
    /* The machine was busy elsewhere when the passes were counted. */
    if (out->passes != block.passes * PLACES)
        *passes = 0;
    return good;
}

/* At each place, for a parser may go wrong at one place alone: all must find the same. */
static bool cell_verify(struct codec_peer *peer, const struct codec_input *input,
                        struct codec_answer *out)
{
    struct codec_digest first = CODEC_DIGEST_START, bytes = CODEC_DIGEST_START;
    unsigned places = input->bytes.len > PAGE_BYTES ? 2 : PLACES;
    for (unsigned i = 0; i < places; i++) {
        struct codec_digest digest = CODEC_DIGEST_START;
        struct block block = { .passes = 1, .offset = i, .digest = &digest };
        if (peer->floor)
            block.digest = NULL;
        if (!block_run(peer, input, &block, out))
            return false;
        if (i != 0 && digest.hash != first.hash)
            return false;
        first = digest;
    }
    codec_digest_bytes(&bytes, input->bytes.ptr, input->bytes.len);
    out->input_digest = bytes.hash;
    out->digest = first.hash;
    return true;
}

void codec_cell_answer(struct codec_peer *peer, const struct codec_question *question,
                       struct codec_answer *out)
{
    const struct codec_input *input = codec_input_find(question->row);
    *out = (struct codec_answer){ .outcome = CODEC_NOT_OFFERED };
    if (input == NULL || peer->run[input->kind] == NULL)
        return;
    bool good = question->budget_ns == 0 ? cell_verify(peer, input, out)
                                         : cell_measure(peer, input, question->budget_ns, out);
    out->outcome = good ? CODEC_DONE : CODEC_REFUSED;
}
