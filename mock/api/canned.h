/* SPDX-License-Identifier: MIT */
/*
 * Token events of /api/infer, rendered once for each of the texts that an answer can be, and kept:
 * nothing in them depends on the request. Streams without gaps are sent from here without being
 * rendered or copied. Any thread.
 */
#ifndef MOCK_API_CANNED_H
#define MOCK_API_CANNED_H

#include <weir/base.h>

#define CANNED_TOKENS_MAX 1024U

/*
 * Events `first` ... `first` + `count` - 1 of the text that begins at word `start`, one of
 * words_start(). They stay as they are. Empty when they reach behind CANNED_TOKENS_MAX, or there is
 * no memory.
 */
struct weir_slice canned_tokens(uint32_t start, uint32_t first, uint32_t count);

/* Release all of it; nobody may use it any more. */
void canned_close(void);

#endif
