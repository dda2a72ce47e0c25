/* SPDX-License-Identifier: MIT */
/*
 * The KV cache of an inference server: blocks of tokens, shared by sequences that begin alike.
 *
 * A running sequence has a table, the list of its blocks in order. A block that is full can be
 * published under the hash of everything up to its end; a later sequence with the same beginning
 * takes it instead of computing it again. A block that nobody holds stays published until it is
 * taken for something else: the ones that nobody wanted for the longest time go first.
 *
 *   FREE --kv_grow--> HELD --kv_publish--> HELD and CACHED --last kv_release--> IDLE (CACHED)
 *    ^                  \--last kv_release--> FREE              ^--kv_attach--/   |
 *    \----------------------------- kv_grow, when no block is FREE any longer ----/
 *
 * FREE and IDLE blocks are one list, oldest first, so "free" below means both: what could be had.
 * All memory is taken in kv_open(). One thread at a time.
 */
#ifndef MOCK_KV_H
#define MOCK_KV_H

#include <weir/base.h>

struct kv_cfg {
    uint32_t blocks_count; /* at least table_blocks_max, so that one sequence alone always fits */
    uint32_t block_tokens;
    uint32_t tables_count;     /* sequences that can run at once */
    uint32_t table_blocks_max; /* blocks of the longest sequence */
    bool prefix_cache;         /* false: nothing is ever shared */
};

/*
 * What a sequence begins with, in one of two ways. `hashes`: one value for each full block of the
 * prompt, each standing for everything up to the end of its block (kv_chain() makes them); borrowed
 * as long as the sequence lives. Without them: the first `prefix_tokens` are those of everybody
 * with the same `prefix_id`. What follows is the sequence's own, named by its key: only a sequence
 * with the same key has the same.
 */
struct kv_prompt {
    const uint64_t *hashes;
    uint32_t hashes_count;
    uint32_t prefix_tokens;
    uint64_t prefix_id;
    uint64_t key;
};

/* Leading blocks of a prompt that are cached. */
struct kv_hits {
    uint32_t blocks_count;
    uint32_t idle_count; /* of them, held by nobody: taking them makes the free ones fewer */
};

struct kv_block {
    uint64_t hash; /* 0: not published */
    uint32_t refs_count;
    uint32_t older, newer;  /* in the list of free blocks, while refs_count is 0 */
    uint32_t bucket_follow; /* the next published block of the same bucket */
};

struct kv {
    struct kv_cfg cfg;
    struct kv_block *blocks;
    uint32_t *buckets; /* first published block whose hash ends in the index */
    uint32_t buckets_mask;
    uint32_t *table_counts; /* blocks of each table */
    uint32_t *table_blocks; /* table_blocks_max for each table */
    uint32_t oldest, newest, free_count;
    uint32_t cached_count; /* published, held or idle */
};

/* @return 0, -EINVAL for a number that is out of range, or -ENOMEM; on error nothing is left behind
 */
int kv_open(struct kv *kv, const struct kv_cfg *cfg);

/* Accepts one that was zeroed or failed to open. */
void kv_close(struct kv *kv);

/* All blocks free, nothing published. */
void kv_reset(struct kv *kv);

/* The next hash of a chain, from the one of the block before (0 for the first) and this block's
 * bytes. */
uint64_t kv_chain(uint64_t parent, struct weir_slice block);

/* The hash of block `index` of a sequence that begins with `prompt`; never 0. */
uint64_t kv_hash(const struct kv *kv, const struct kv_prompt *prompt, uint32_t index);

/* Blocks that `tokens` need. */
uint32_t kv_blocks_for(const struct kv *kv, uint64_t tokens);

/* How many leading blocks of `prompt`, at most `blocks_max`, are cached. Changes nothing. */
struct kv_hits kv_find(const struct kv *kv, const struct kv_prompt *prompt, uint32_t blocks_max);

/* Begin the empty table with the `blocks_count` cached blocks that kv_find() has just found. */
void kv_attach(struct kv *kv, uint32_t table, const struct kv_prompt *prompt,
               uint32_t blocks_count);

/*
 * Let the table have `blocks_count` blocks if it has fewer. @return 0, -ENOSPC when there are not
 * that many free ones, or -E2BIG for more than table_blocks_max; on error nothing has changed
 */
int kv_grow(struct kv *kv, uint32_t table, uint32_t blocks_count);

/* Block `index` of the table is computed and full: others may share it from here on. */
void kv_publish(struct kv *kv, uint32_t table, uint32_t index, uint64_t hash);

/* The table gives all its blocks back; what is published of them can be found until it is evicted.
 */
void kv_release(struct kv *kv, uint32_t table);

/* Blocks that sequences hold, each counted once. */
uint32_t kv_used_count(const struct kv *kv);

/* Are all counts and lists in agreement? For tests: it walks every block. */
bool kv_check(const struct kv *kv);

#endif
