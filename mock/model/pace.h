/* SPDX-License-Identifier: MIT */
/*
 * When the tokens of one stream are due whose times do not depend on what else runs: the first
 * after the time to first token, each following one after a gap. Each is due that long after the
 * one before *was due*, not after it was sent: a late token does not push later ones.
 *
 *   fixed    both are drawn by the caller
 *   linear   both follow from the prompt's length and from how many run when the stream begins
 *
 * The third kind of engine, with batches, is model_engine.h.
 */
#ifndef MOCK_PACE_H
#define MOCK_PACE_H

#include <weir/base.h>

struct pace {
    uint64_t due_ns;       /* of the token that comes next */
    uint32_t tokens_count; /* before it */
};

struct pace_linear {
    uint64_t ttft_base_ns;
    uint64_t ttft_per_prompt_token_ns;
    uint64_t itl_base_ns;
    uint64_t itl_per_running_ns;
};

/* All three in nanoseconds; a sum that does not fit stays at UINT64_MAX. */
struct pace pace_begin(uint64_t arrival_ns, uint64_t queue_ns, uint64_t ttft_ns);

/* The token that was due is behind us. `gap_ns`: until the next one is due. */
void pace_next(struct pace *pace, uint64_t gap_ns);

uint64_t pace_linear_ttft(const struct pace_linear *linear, uint32_t prompt_tokens);

/* `running_count`: with the stream itself. */
uint64_t pace_linear_itl(const struct pace_linear *linear, uint32_t running_count);

#endif
