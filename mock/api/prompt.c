/* SPDX-License-Identifier: MIT */
#include "mock/api/prompt.h"

#include <string.h>

/* The fraction of the golden ratio, and an odd number with half of its bits set. */
#define HASH_SEED   UINT64_C(0x9e3779b97f4a7c15)
#define HASH_FACTOR UINT64_C(0xd6e8feb86659fd93)

/* A token number is hashed as eight bytes. */
#define ID_BYTES 8

/* One multiplication for eight bytes: a prompt can be long, and nobody attacks these hashes but
 * himself. */
static uint64_t hash_word(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * HASH_FACTOR;
    return hash ^ hash >> 32;
}

void prompt_init(struct prompt *prompt)
{
    *prompt = (struct prompt){ .hash = HASH_SEED };
}

static void text_begin(struct prompt *prompt)
{
    prompt->text_hash = HASH_SEED;
    prompt->bytes = 0;
    prompt->word = 0;
    prompt->filled = 0;
}

/* The hash of the text so far. Its length tells it from the same with zeros behind. */
static uint64_t text_hash(const struct prompt *prompt)
{
    uint64_t hash = hash_word(prompt->text_hash, prompt->word);
    return hash_word(hash, prompt->bytes);
}

/* Eight bytes, the first lowest on every machine. */
static uint64_t load_word(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static void text_byte(struct prompt *prompt, uint8_t byte)
{
    prompt->word |= (uint64_t)byte << (8 * prompt->filled);
    if (++prompt->filled == 8) {
        prompt->text_hash = hash_word(prompt->text_hash, prompt->word);
        prompt->word = 0;
        prompt->filled = 0;
    }
}

static void text_hash_bytes(struct prompt *prompt, struct weir_slice piece)
{
    const uint8_t *p = piece.ptr, *end = piece.ptr + piece.len;
    for (; p < end && prompt->filled != 0; p++)
        text_byte(prompt, *p);
    uint64_t hash = prompt->text_hash;
    for (; end - p >= 8; p += 8)
        hash = hash_word(hash, load_word(p));
    prompt->text_hash = hash;
    for (; p < end; p++)
        text_byte(prompt, *p);
    prompt->bytes += piece.len;
}

/* The first text up to here is the prefix, unless a system message turns out to be. */
static void text_mark(struct prompt *prompt, uint32_t tokens)
{
    prompt->has_prefix = true;
    prompt->prefix_hash = hash_word(HASH_SEED, text_hash(prompt));
    prompt->prefix_tokens = tokens;
}

static void text_piece(struct prompt *prompt, struct weir_slice piece)
{
    if (!prompt->has_prefix && prompt->bytes + piece.len >= PROMPT_PREFIX_BYTES) {
        size_t bytes = PROMPT_PREFIX_BYTES - (size_t)prompt->bytes;
        text_hash_bytes(prompt, (struct weir_slice){ piece.ptr, bytes });
        text_mark(prompt, PROMPT_PREFIX_TOKENS);
        piece = (struct weir_slice){ piece.ptr + bytes, piece.len - bytes };
    }
    if (piece.len > 0)
        text_hash_bytes(prompt, piece);
}

static void text_end(struct prompt *prompt, uint32_t tokens)
{
    if (!prompt->has_prefix && prompt->bytes > 0)
        text_mark(prompt, tokens);
    prompt->hash = hash_word(prompt->hash, text_hash(prompt));
    prompt->tokens += tokens;
}

uint64_t prompt_add(struct prompt *prompt, struct node string)
{
    struct weir_slice text = node_text(string);
    text_begin(prompt);
    if (!string.escapes) {
        text_piece(prompt, text);
    } else {
        uint8_t decoded[4];
        while (text.len > 0)
            text_piece(prompt, node_piece(&text, decoded));
    }
    text_end(prompt, prompt_tokens_of(prompt->bytes));
    return prompt->bytes;
}

void prompt_add_tokens(struct prompt *prompt, struct weir_slice name, uint32_t tokens)
{
    text_begin(prompt);
    text_hash_bytes(prompt, name);
    prompt->hash = hash_word(prompt->hash, text_hash(prompt));
    prompt->tokens += tokens;
}

void prompt_begin_ids(struct prompt *prompt)
{
    text_begin(prompt);
}

void prompt_add_id(struct prompt *prompt, uint64_t id)
{
    prompt->text_hash = hash_word(prompt->text_hash, id);
    prompt->bytes += ID_BYTES;
    if (!prompt->has_prefix && prompt->bytes == (uint64_t)PROMPT_PREFIX_TOKENS * ID_BYTES)
        text_mark(prompt, PROMPT_PREFIX_TOKENS);
}

void prompt_end_ids(struct prompt *prompt)
{
    text_end(prompt, (uint32_t)(prompt->bytes / ID_BYTES));
}

void prompt_mark_prefix(struct prompt *prompt)
{
    prompt->has_prefix = true;
    prompt->prefix_hash = prompt->hash;
    prompt->prefix_tokens = prompt->tokens;
}
