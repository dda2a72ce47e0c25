/* SPDX-License-Identifier: MIT */
/*
 * Keyed random numbers. Each argument is folded into the state and the state is mixed before the
 * next one comes, so (1, 2, 3) and (3, 2, 1) have nothing in common and consecutive keys or draws
 * are as good as random ones. For a fixed seed and key every draw is different (each step is a
 * bijection of its argument).
 */
#include <weir/random.h>

#include "core/assert.h"

/*
 * Odd, with about half of their bits set: the golden ratio's fraction, and the multipliers of
 * MurmurHash3's finalizer, which were searched for their avalanche.
 */
#define RANDOM_GOLDEN UINT64_C(0x9e3779b97f4a7c15)
#define RANDOM_FIRST  UINT64_C(0xff51afd7ed558ccd)
#define RANDOM_SECOND UINT64_C(0xc4ceb9fe1a85ec53)

/* A bijection in which each bit of the argument flips each bit of the result with probability 1/2.
 */
static inline uint64_t random_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= RANDOM_FIRST;
    x ^= x >> 33;
    x *= RANDOM_SECOND;
    x ^= x >> 33;
    return x;
}

uint64_t weir_random_u64(uint64_t seed, uint64_t key, uint64_t draw)
{
    /* The offsets and odd factors keep 0 from being mixed to 0, and small numbers from lying close
     * together. */
    uint64_t state = random_mix(seed + RANDOM_GOLDEN);
    state = random_mix(state + (key + 1) * RANDOM_SECOND);
    return random_mix(state + (draw + 1) * RANDOM_GOLDEN);
}

double weir_random_unit(uint64_t seed, uint64_t key, uint64_t draw)
{
    return (double)(weir_random_u64(seed, key, draw) >> 11) * 0x1p-53;
}

/* Up to 8 bytes, the first lowest on every machine. */
static inline uint64_t random_word(const uint8_t *ptr, size_t len)
{
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)ptr[i] << (8 * i);
    return word;
}

uint64_t weir_random_key(struct weir_slice bytes)
{
    WEIR_ASSERT(bytes.ptr != NULL || bytes.len == 0);
    /* The length goes first: without it a text and the same text with a NUL appended would have one
     * key. */
    uint64_t state = random_mix(bytes.len + RANDOM_GOLDEN);
    size_t i = 0;
    for (; bytes.len - i >= 8; i += 8)
        state = random_mix((state ^ random_word(bytes.ptr + i, 8)) + RANDOM_GOLDEN);
    if (i < bytes.len)
        state = random_mix((state ^ random_word(bytes.ptr + i, bytes.len - i)) + RANDOM_GOLDEN);
    return state;
}
