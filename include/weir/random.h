/* SPDX-License-Identifier: MIT */
/**
 * Keyed random numbers: a pure function of (seed, key, draw), so that the outcome for a key does not depend on
 * threads, order or what else was drawn. Not for cryptography. Any thread.
 */
#ifndef WEIR_RANDOM_H
#define WEIR_RANDOM_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** 64 random bits for (seed, key, draw). */
WEIR_API uint64_t weir_random_u64(uint64_t seed, uint64_t key, uint64_t draw);

/** A number in [0, 1) with 53 random bits. */
WEIR_API double weir_random_unit(uint64_t seed, uint64_t key, uint64_t draw);

/** A key from bytes (a header value, a request id). */
WEIR_API uint64_t weir_random_key(struct weir_slice bytes);

#ifdef __cplusplus
}
#endif

#endif
