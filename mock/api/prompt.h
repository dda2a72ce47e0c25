/* SPDX-License-Identifier: MIT */
/*
 * Tokens and hash of a prompt, which is a list of texts: counted and hashed one after the other, as
 * they are found. How a text was cut into pieces makes no difference.
 */
#ifndef MOCK_API_PROMPT_H
#define MOCK_API_PROMPT_H

#include "mock/api/node.h"

/* A prompt without a system message begins like another one if this much of its first text does. */
#define PROMPT_PREFIX_BYTES  256
#define PROMPT_PREFIX_TOKENS 64

struct prompt {
    uint64_t hash; /* of all texts so far */
    uint32_t tokens;
    uint32_t prefix_tokens;
    uint64_t prefix_hash;
    bool has_prefix;
    /* Of the text that is being added. */
    uint8_t filled; /* bytes in `word` */
    uint64_t word, text_hash, bytes;
};

void prompt_init(struct prompt *prompt);

/* Add a NODE_STRING. @return its bytes, decoded */
uint64_t prompt_add(struct prompt *prompt, struct node string);

/* Add something that stands for `tokens` of them. */
void prompt_add_tokens(struct prompt *prompt, struct weir_slice name, uint32_t tokens);

/* Add a text that is a list of token numbers, one by one. */
void prompt_begin_ids(struct prompt *prompt);
void prompt_add_id(struct prompt *prompt, uint64_t id);
void prompt_end_ids(struct prompt *prompt);

/* What was added so far is the prefix: it was the system message. */
void prompt_mark_prefix(struct prompt *prompt);

/* One for four bytes or the rest of them. */
static inline uint32_t prompt_tokens_of(uint64_t bytes)
{
    return (uint32_t)((bytes + 3) / 4);
}

#endif
