/* SPDX-License-Identifier: MIT */
#include "mock/model/pace.h"

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t multiply(uint64_t a, uint32_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

uint64_t pace_linear_ttft(const struct pace_linear *linear, uint32_t prompt_tokens)
{
    return add(linear->ttft_base_ns, multiply(linear->ttft_per_prompt_token_ns, prompt_tokens));
}

uint64_t pace_linear_itl(const struct pace_linear *linear, uint32_t running_count)
{
    return add(linear->itl_base_ns, multiply(linear->itl_per_running_ns, running_count));
}
