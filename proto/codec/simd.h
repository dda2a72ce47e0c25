/* SPDX-License-Identifier: MIT */
/* Which set of instructions the codecs use: the best one the CPU has, found out once. */
#ifndef WEIR_PROTO_CODEC_SIMD_H
#define WEIR_PROTO_CODEC_SIMD_H

#include <stdbool.h>

enum weir_simd {
    WEIR_SIMD_SCALAR,
    WEIR_SIMD_SSE42, /* x86-64-v2 */
    WEIR_SIMD_AVX2,  /* x86-64-v3 */
    WEIR_SIMD_NEON,  /* arm64 */
    WEIR_SIMD_COUNT
};

/* "scalar", "sse42", "avx2", "neon". Static memory. */
const char *weir_simd_name(enum weir_simd simd);

/* Does this CPU have it, and was it compiled? */
bool weir_simd_has(enum weir_simd simd);

/*
 * The one in use. The environment variable WEIR_SIMD, read once, names another one that the CPU
 * has, for tests and measurements; a name that is none is ignored.
 */
enum weir_simd weir_simd_used(void);

#endif
