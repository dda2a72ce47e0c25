/* SPDX-License-Identifier: MIT */
/*
 * Assertions are for our own mistakes, never for what a peer, the clock or a shortage can cause.
 *
 *   WEIR_ASSERT        always on: a crash is cheaper than an answer on the wrong socket
 *   WEIR_DEBUG_ASSERT  on in debug and sanitizer builds: for measured hot loops
 *   WEIR_NEVER(x)      believed impossible: fails in debug builds, takes the safe branch in release
 * builds
 */
#ifndef WEIR_CORE_ASSERT_H
#define WEIR_CORE_ASSERT_H

#include <stdbool.h>

#define WEIR_LIKELY(x)   __builtin_expect(!!(x), 1)
#define WEIR_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Print what failed, the context registered by weir_assert_set_context(), and abort. */
_Noreturn void weir_assert_failed(const char *expression, const char *file, int line);

/* `print` is called once before the abort, on the failing thread. Per thread, the last one set. */
void weir_assert_set_context(void (*print)(void *arg), void *arg);

/* Forget the context if it is the one of `arg`. */
void weir_assert_clear_context(const void *arg);

#ifdef WEIR_NO_ASSERT
/* For measuring what the assertions cost, nothing else: see README. */
#define WEIR_ASSERT(x) ((void)sizeof(x))
#else
#define WEIR_ASSERT(x) (WEIR_LIKELY(x) ? (void)0 : weir_assert_failed(#x, __FILE__, __LINE__))
#endif

#ifdef WEIR_DEBUG
#define WEIR_DEBUG_ASSERT(x) WEIR_ASSERT(x)
#define WEIR_NEVER(x)                                                                              \
    (WEIR_UNLIKELY(x) ? (weir_assert_failed("NEVER: " #x, __FILE__, __LINE__), true) : false)
#else
#define WEIR_DEBUG_ASSERT(x) ((void)sizeof(x))
#define WEIR_NEVER(x)        WEIR_UNLIKELY(x)
#endif

#endif
