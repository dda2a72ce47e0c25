/* SPDX-License-Identifier: MIT */
#include "proto/codec/simd.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[WEIR_SIMD_COUNT] = {
    [WEIR_SIMD_SCALAR] = "scalar",
    [WEIR_SIMD_SSE42] = "sse42",
    [WEIR_SIMD_AVX2] = "avx2",
    [WEIR_SIMD_NEON] = "neon",
};

const char *weir_simd_name(enum weir_simd simd)
{
    return names[simd];
}

bool weir_simd_has(enum weir_simd simd)
{
    switch (simd) {
    case WEIR_SIMD_SCALAR:
        return true;
#if defined(__x86_64__)
    case WEIR_SIMD_SSE42:
        return __builtin_cpu_supports("sse4.2") != 0;
    case WEIR_SIMD_AVX2:
        return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi") != 0 &&
               __builtin_cpu_supports("bmi2") != 0;
#elif defined(__aarch64__)
    case WEIR_SIMD_NEON:
        return true;
#endif
    default:
        return false;
    }
}

enum weir_simd weir_simd_used(void)
{
    enum weir_simd best = WEIR_SIMD_SCALAR;
    const char *wanted = secure_getenv("WEIR_SIMD");
    for (int i = 0; i < WEIR_SIMD_COUNT; i++) {
        enum weir_simd simd = (enum weir_simd)i;
        if (!weir_simd_has(simd))
            continue;
        if (wanted != NULL && strcmp(wanted, names[i]) == 0)
            return simd;
        best = simd;
    }
    return best;
}
