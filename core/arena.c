/* SPDX-License-Identifier: MIT */
#include "core/arena.h"
#include "core/assert.h"

#include <errno.h>
#include <sys/mman.h>

int weir_arena_open(struct weir_arena *arena, uint64_t bytes)
{
    WEIR_ASSERT(bytes > 0);
    bytes = weir_align_up(bytes, WEIR_PAGE);
    /* NORESERVE: most of it is never touched, and the overcommit accounting must not refuse it for
     * that. */
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return weir_fail(-ENOMEM, "cannot reserve %llu bytes of address space (ulimit -v, cgroup)",
                         (unsigned long long)bytes);
    /* A child process must not get copies of what the kernel reads and writes for the parent; and
     * its fork is cheaper. Advice: kernels without it copy. */
    (void)madvise(base, bytes, MADV_DONTFORK);
    *arena = (struct weir_arena){ .base = base, .bytes = bytes };
    return 0;
}

void weir_arena_close(struct weir_arena *arena)
{
    if (arena->base != NULL)
        munmap(arena->base, arena->bytes);
    *arena = (struct weir_arena){ 0 };
}

void *weir_arena_take(struct weir_arena *arena, uint64_t bytes, uint64_t align)
{
    WEIR_ASSERT(weir_is_pow2(align) && align <= WEIR_PAGE);
    WEIR_ASSERT(!arena->sealed);
    uint64_t at = weir_align_up(arena->used, align);
    WEIR_ASSERT(at + bytes <= arena->bytes);
    arena->used = at + bytes;
    return arena->base + at;
}

void weir_arena_seal(struct weir_arena *arena)
{
    WEIR_ASSERT(!arena->sealed);
    arena->sealed = true;
}
