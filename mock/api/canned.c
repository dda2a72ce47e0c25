/* SPDX-License-Identifier: MIT */
#include "mock/api/canned.h"

#include "mock/api/reply.h"
#include "mock/api/words.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* One text: its bytes, and where each event begins. */
struct canned {
    struct text text;
    uint32_t at[CANNED_TOKENS_MAX + 1];
};

static _Atomic(struct canned *) canned_all[WORDS_STARTS];
static pthread_mutex_t canned_lock = PTHREAD_MUTEX_INITIALIZER;

static struct canned *canned_make(uint32_t start)
{
    struct canned *canned = calloc(1, sizeof *canned);
    if (canned == NULL)
        return NULL;
    for (uint32_t i = 0; i < CANNED_TOKENS_MAX; i++) {
        canned->at[i] = (uint32_t)canned->text.len;
        reply_infer_tokens(&canned->text, start, i, 1);
    }
    canned->at[CANNED_TOKENS_MAX] = (uint32_t)canned->text.len;
    if (!canned->text.failed)
        return canned;
    text_free(&canned->text);
    free(canned);
    return NULL;
}

/* Made by whoever needs it first; others wait. */
static struct canned *canned_find(uint32_t start)
{
    _Atomic(struct canned *) *slot = &canned_all[start / WORDS_STRIDE];
    struct canned *canned = atomic_load_explicit(slot, memory_order_acquire);
    if (canned != NULL)
        return canned;
    pthread_mutex_lock(&canned_lock);
    canned = atomic_load_explicit(slot, memory_order_relaxed);
    if (canned == NULL) {
        canned = canned_make(start);
        atomic_store_explicit(slot, canned, memory_order_release);
    }
    pthread_mutex_unlock(&canned_lock);
    return canned;
}

struct weir_slice canned_tokens(uint32_t start, uint32_t first, uint32_t count)
{
    if (first > CANNED_TOKENS_MAX || count > CANNED_TOKENS_MAX - first)
        return (struct weir_slice){ 0 };
    const struct canned *canned = canned_find(start);
    if (canned == NULL)
        return (struct weir_slice){ 0 };
    const uint8_t *bytes = (const uint8_t *)canned->text.ptr;
    uint32_t from = canned->at[first];
    return (struct weir_slice){ bytes + from, canned->at[first + count] - from };
}

void canned_close(void)
{
    for (uint32_t i = 0; i < WORDS_STARTS; i++) {
        struct canned *canned = atomic_exchange(&canned_all[i], NULL);
        if (canned == NULL)
            continue;
        text_free(&canned->text);
        free(canned);
    }
}
