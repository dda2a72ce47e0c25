/* SPDX-License-Identifier: MIT */
/*
 * The text that answers are cut from: some thousand words in a fixed order, again from the first
 * behind the last. A word is a token; it has the blank before it in it. Any thread.
 */
#ifndef MOCK_API_WORDS_H
#define MOCK_API_WORDS_H

#include <weir/base.h>

#define WORDS_COUNT     4096 /* power of two */
#define WORDS_ONE_BYTES 16   /* no word has more, and so many can be read from where it begins */

/* An answer begins at one of so many places, so many words apart. */
#define WORDS_STARTS 64
#define WORDS_STRIDE (WORDS_COUNT / WORDS_STARTS)

/* Where the words of one choice of an answer begin: a multiple of WORDS_STRIDE. */
uint32_t words_start(uint64_t seed, uint64_t key, uint32_t choice);

/* All of them: word `i` is text[at[i]] up to text[at[i + 1]], with its blank. Stays as it is. */
struct words {
    const char *text;
    const uint16_t *at; /* WORDS_COUNT + 1 */
};
struct words words_all(void);

/* Word `index` from `start` on, with its blank. */
struct weir_slice words_one(uint32_t start, uint32_t index);

/* How long the first `count` words from `start` on are, without the blank before the first. */
uint64_t words_bytes(uint32_t start, uint32_t count);

/* Write them. @return behind the last one */
char *words_write(char *at, uint32_t start, uint32_t count);

#endif
