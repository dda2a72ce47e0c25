/* SPDX-License-Identifier: MIT */
/*
 * Defines malloc() and its relatives over glibc's own. A definition in the program comes before
 * the C library's for everything that is loaded, so the parsers in shared objects are counted like
 * the linked ones. free() is left alone: the memory is from glibc's heap as ever.
 */
#include "perf/codec/alloc.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_HEAP 1
#elif defined(__has_feature)
#define OWN_HEAP                                                                                   \
    (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                        \
     __has_feature(memory_sanitizer))
#else
#define OWN_HEAP 0
#endif

static uint64_t alloc_count;

#if defined(__GLIBC__) && !OWN_HEAP
#define COUNTED 1

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

#define EXPORTED __attribute__((visibility("default"), used))

EXPORTED void *malloc(size_t bytes)
{
    alloc_count++;
    return __libc_malloc(bytes);
}

EXPORTED void *calloc(size_t count, size_t bytes)
{
    alloc_count++;
    return __libc_calloc(count, bytes);
}

EXPORTED void *realloc(void *old, size_t bytes)
{
    alloc_count++;
    return __libc_realloc(old, bytes);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t bytes)
{
    alloc_count++;
    return __libc_memalign(alignment, bytes);
}

EXPORTED int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    alloc_count++;
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
        return EINVAL;
    void *memory = __libc_memalign(alignment, bytes);
    if (memory == NULL)
        return ENOMEM;
    *out = memory;
    return 0;
}
#else
#define COUNTED 0
#endif

bool codec_alloc_is_counted(void)
{
    return COUNTED;
}

uint64_t codec_alloc_count(void)
{
    return alloc_count;
}
