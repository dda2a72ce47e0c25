/* SPDX-License-Identifier: MIT */
#include "mock/model/kv.h"

#include <weir/random.h>

#include <errno.h>
#include <stdlib.h>

#define KV_NONE UINT32_MAX

/* 2^24 blocks of 16 tokens are more than any machine has; the limit keeps every sum in 32 bits. */
#define KV_BLOCKS_MAX       (1U << 24)
#define KV_BLOCK_TOKENS_MAX (1U << 16)
#define KV_TABLES_MAX       (1U << 16)

/* So that the hashes of the three kinds of blocks lie apart: shared, the sequence's own, chained.
 */
enum kv_draw { KV_DRAW_CHAIN = 1, KV_DRAW_PREFIX, KV_DRAW_OWN };

static bool in_range(uint64_t value, uint64_t max)
{
    return value >= 1 && value <= max;
}

static bool cfg_is_valid(const struct kv_cfg *cfg)
{
    return in_range(cfg->blocks_count, KV_BLOCKS_MAX) &&
           in_range(cfg->block_tokens, KV_BLOCK_TOKENS_MAX) &&
           in_range(cfg->tables_count, KV_TABLES_MAX) &&
           in_range(cfg->table_blocks_max, cfg->blocks_count);
}

int kv_open(struct kv *kv, const struct kv_cfg *cfg)
{
    *kv = (struct kv){ 0 };
    if (!cfg_is_valid(cfg))
        return -EINVAL;
    uint32_t buckets = 1;
    while (buckets < cfg->blocks_count)
        buckets *= 2;
    kv->cfg = *cfg;
    kv->buckets_mask = buckets - 1;
    kv->blocks = calloc(cfg->blocks_count, sizeof(*kv->blocks));
    kv->buckets = calloc(buckets, sizeof(*kv->buckets));
    kv->table_counts = calloc(cfg->tables_count, sizeof(*kv->table_counts));
    kv->table_blocks =
        calloc((size_t)cfg->tables_count * cfg->table_blocks_max, sizeof(*kv->table_blocks));
    if (kv->blocks == NULL || kv->buckets == NULL || kv->table_counts == NULL ||
        kv->table_blocks == NULL) {
        kv_close(kv);
        return -ENOMEM;
    }
    kv_reset(kv);
    return 0;
}

void kv_close(struct kv *kv)
{
    free(kv->blocks);
    free(kv->buckets);
    free(kv->table_counts);
    free(kv->table_blocks);
    *kv = (struct kv){ 0 };
}

void kv_reset(struct kv *kv)
{
    uint32_t count = kv->cfg.blocks_count;
    for (uint32_t i = 0; i < count; i++)
        kv->blocks[i] = (struct kv_block){ .older = i == 0 ? KV_NONE : i - 1,
                                           .newer = i + 1 == count ? KV_NONE : i + 1,
                                           .bucket_follow = KV_NONE };
    for (uint32_t i = 0; i <= kv->buckets_mask; i++)
        kv->buckets[i] = KV_NONE;
    for (uint32_t i = 0; i < kv->cfg.tables_count; i++)
        kv->table_counts[i] = 0;
    kv->oldest = 0;
    kv->newest = count - 1;
    kv->free_count = count;
    kv->cached_count = 0;
}

/* 0 says "not published", so no hash may be it. */
static uint64_t hash_of(uint64_t name, uint64_t index, enum kv_draw draw)
{
    uint64_t hash = weir_random_u64(name, index, draw);
    return hash == 0 ? 1 : hash;
}

uint64_t kv_chain(uint64_t parent, struct weir_slice block)
{
    return hash_of(weir_random_key(block), parent, KV_DRAW_CHAIN);
}

uint64_t kv_hash(const struct kv *kv, const struct kv_prompt *prompt, uint32_t index)
{
    if (prompt->hashes != NULL && index < prompt->hashes_count)
        return prompt->hashes[index] == 0 ? 1 : prompt->hashes[index];
    uint64_t end = ((uint64_t)index + 1) * kv->cfg.block_tokens;
    if (prompt->hashes == NULL && end <= prompt->prefix_tokens)
        return hash_of(prompt->prefix_id, index, KV_DRAW_PREFIX);
    return hash_of(prompt->key, index, KV_DRAW_OWN);
}

uint32_t kv_blocks_for(const struct kv *kv, uint64_t tokens)
{
    uint64_t blocks = tokens / kv->cfg.block_tokens + (tokens % kv->cfg.block_tokens != 0);
    return blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks;
}

static uint32_t find_block(const struct kv *kv, uint64_t hash)
{
    uint32_t block = kv->buckets[hash & kv->buckets_mask];
    while (block != KV_NONE && kv->blocks[block].hash != hash)
        block = kv->blocks[block].bucket_follow;
    return block;
}

struct kv_hits kv_find(const struct kv *kv, const struct kv_prompt *prompt, uint32_t blocks_max)
{
    struct kv_hits hits = { 0 };
    if (!kv->cfg.prefix_cache)
        return hits;
    if (blocks_max > kv->cfg.table_blocks_max)
        blocks_max = kv->cfg.table_blocks_max;
    while (hits.blocks_count < blocks_max) {
        uint32_t block = find_block(kv, kv_hash(kv, prompt, hits.blocks_count));
        if (block == KV_NONE)
            break;
        hits.blocks_count++;
        hits.idle_count += kv->blocks[block].refs_count == 0;
    }
    return hits;
}

/* Out of the list of free blocks. */
static void take_block(struct kv *kv, uint32_t index)
{
    struct kv_block *block = &kv->blocks[index];
    if (block->older != KV_NONE)
        kv->blocks[block->older].newer = block->newer;
    else
        kv->oldest = block->newer;
    if (block->newer != KV_NONE)
        kv->blocks[block->newer].older = block->older;
    else
        kv->newest = block->older;
    block->older = block->newer = KV_NONE;
    kv->free_count--;
}

/* To the end of the list of free blocks: it will be taken last. */
static void give_block(struct kv *kv, uint32_t index)
{
    struct kv_block *block = &kv->blocks[index];
    block->older = kv->newest;
    block->newer = KV_NONE;
    if (kv->newest != KV_NONE)
        kv->blocks[kv->newest].newer = index;
    else
        kv->oldest = index;
    kv->newest = index;
    kv->free_count++;
}

/* What was cached in the block is gone. */
static void evict_block(struct kv *kv, uint32_t index)
{
    struct kv_block *block = &kv->blocks[index];
    if (block->hash == 0)
        return;
    uint32_t *link = &kv->buckets[block->hash & kv->buckets_mask];
    while (*link != index)
        link = &kv->blocks[*link].bucket_follow;
    *link = block->bucket_follow;
    block->bucket_follow = KV_NONE;
    block->hash = 0;
    kv->cached_count--;
}

static uint32_t *table_of(const struct kv *kv, uint32_t table)
{
    return &kv->table_blocks[(size_t)table * kv->cfg.table_blocks_max];
}

void kv_attach(struct kv *kv, uint32_t table, const struct kv_prompt *prompt, uint32_t blocks_count)
{
    uint32_t *ids = table_of(kv, table);
    for (uint32_t i = 0; i < blocks_count; i++) {
        uint32_t index = find_block(kv, kv_hash(kv, prompt, i));
        if (kv->blocks[index].refs_count++ == 0)
            take_block(kv, index);
        ids[i] = index;
    }
    kv->table_counts[table] = blocks_count;
}

int kv_grow(struct kv *kv, uint32_t table, uint32_t blocks_count)
{
    uint32_t have = kv->table_counts[table];
    if (blocks_count <= have)
        return 0;
    if (blocks_count > kv->cfg.table_blocks_max)
        return -E2BIG;
    if (blocks_count - have > kv->free_count)
        return -ENOSPC;
    uint32_t *ids = table_of(kv, table);
    for (uint32_t i = have; i < blocks_count; i++) {
        uint32_t index = kv->oldest;
        take_block(kv, index);
        evict_block(kv, index);
        kv->blocks[index].refs_count = 1;
        ids[i] = index;
    }
    kv->table_counts[table] = blocks_count;
    return 0;
}

void kv_publish(struct kv *kv, uint32_t table, uint32_t index, uint64_t hash)
{
    struct kv_block *block = &kv->blocks[table_of(kv, table)[index]];
    /* Two sequences that began alike before either was computed have the same twice: one of them is
     * enough, and the other block stays its sequence's own. */
    if (!kv->cfg.prefix_cache || block->hash != 0 || find_block(kv, hash) != KV_NONE)
        return;
    uint32_t *bucket = &kv->buckets[hash & kv->buckets_mask];
    block->hash = hash;
    block->bucket_follow = *bucket;
    *bucket = table_of(kv, table)[index];
    kv->cached_count++;
}

void kv_release(struct kv *kv, uint32_t table)
{
    const uint32_t *ids = table_of(kv, table);
    /* From the end: of a beginning that was cached, the end is of use to the fewest. */
    for (uint32_t i = kv->table_counts[table]; i-- > 0;) {
        if (--kv->blocks[ids[i]].refs_count == 0)
            give_block(kv, ids[i]);
    }
    kv->table_counts[table] = 0;
}

uint32_t kv_used_count(const struct kv *kv)
{
    return kv->cfg.blocks_count - kv->free_count;
}

/* Is the list of free blocks well linked, and does it hold exactly those that nobody has? */
static bool check_free(const struct kv *kv)
{
    uint32_t count = 0, older = KV_NONE;
    for (uint32_t i = kv->oldest; i != KV_NONE; i = kv->blocks[i].newer) {
        if (kv->blocks[i].refs_count != 0 || kv->blocks[i].older != older ||
            ++count > kv->free_count)
            return false;
        older = i;
    }
    return count == kv->free_count && kv->newest == older;
}

bool kv_check(const struct kv *kv)
{
    uint64_t refs = 0, tables = 0;
    uint32_t idle = 0, cached = 0, found = 0;
    for (uint32_t i = 0; i < kv->cfg.blocks_count; i++) {
        const struct kv_block *block = &kv->blocks[i];
        refs += block->refs_count;
        idle += block->refs_count == 0;
        cached += block->hash != 0;
        found += block->hash != 0 && find_block(kv, block->hash) == i;
    }
    for (uint32_t i = 0; i < kv->cfg.tables_count; i++) {
        if (kv->table_counts[i] > kv->cfg.table_blocks_max)
            return false;
        tables += kv->table_counts[i];
    }
    return refs == tables && idle == kv->free_count && cached == kv->cached_count &&
           found == cached && check_free(kv);
}
