/* SPDX-License-Identifier: MIT */
/* Helpers every room may use: error texts, sizes, bytes. */
#ifndef WEIR_CORE_BASE_H
#define WEIR_CORE_BASE_H

#include <errno.h>
#include <weir/base.h>

#include <string.h>

/* Set weir_error_text() of this thread (truncated to its 512 bytes) and return `err`. */
int weir_fail(int err, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/*
 * Fill a caller's structure of `size` bytes, the one its code was compiled with: what it has room
 * for of ours, and zeros where it is the newer one.
 */
void weir_fill_sized(void *out, uint32_t size, const void *ours, size_t ours_bytes);

/* A number of a configuration and what it may be. */
struct weir_range {
    const char *name;
    uint64_t value, min, max;
};

/* 0, or -EINVAL for the first that is out of range; weir_error_text() names it and its bounds. */
int weir_range_check(const struct weir_range *ranges, size_t count);

static inline bool weir_is_pow2(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

static inline uint64_t weir_align_up(uint64_t x, uint64_t pow2)
{
    return (x + pow2 - 1) & ~(pow2 - 1);
}

static inline uint64_t weir_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t weir_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Does this process or machine lack something, so that the same would fail with any peer? */
static inline bool weir_is_shortage(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOBUFS || err == -ENOMEM;
}

/* A hint in a loop that waits for another CPU: it saves power and lets a sibling thread run. */
static inline void weir_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline bool weir_slice_eq(struct weir_slice a, struct weir_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#endif
