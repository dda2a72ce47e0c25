/* SPDX-License-Identifier: MIT */
/* Counts what this process takes from the heap, in shared objects too. */
#ifndef WEIR_PERF_CODEC_ALLOC_H
#define WEIR_PERF_CODEC_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

/* Can it be counted? Not with another C library than glibc, nor under a sanitizer with its heap. */
bool codec_alloc_is_counted(void);

/* Calls of malloc and its relatives so far. */
uint64_t codec_alloc_count(void);

#endif
