/* SPDX-License-Identifier: MIT */
/*
 * Times of tokens that follow from the load: of the first from the prompt's length, of the gaps
 * from how many requests run when this one begins. All in nanoseconds; what does not fit is
 * UINT64_MAX.
 */
#ifndef MOCK_PACE_H
#define MOCK_PACE_H

#include <weir/base.h>

struct pace_linear {
    uint64_t ttft_base_ns;
    uint64_t ttft_per_prompt_token_ns;
    uint64_t itl_base_ns;
    uint64_t itl_per_running_ns;
};

uint64_t pace_linear_ttft(const struct pace_linear *linear, uint32_t prompt_tokens);

/* `running_count`: with the stream itself. */
uint64_t pace_linear_itl(const struct pace_linear *linear, uint32_t running_count);

#endif
