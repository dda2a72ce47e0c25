/* SPDX-License-Identifier: MIT */
/* Answers in OpenAI's shape: chat.completion, chat.completion.chunk, text_completion. The functions
 * are those of reply.h for these endpoints. */
#ifndef MOCK_API_REPLY_OPENAI_H
#define MOCK_API_REPLY_OPENAI_H

#include "mock/api/reply.h"

void openai_write(struct text *out, const struct reply *reply);
uint64_t openai_bytes(const struct reply *reply);

/* events->prefix_bytes stays 0 when they do not fit. */
void openai_prepare(const struct reply *reply, struct reply_template *events);

void openai_begin_stream(struct text *out, const struct reply *reply);
void openai_tokens(struct text *out, const struct reply *reply, uint32_t first, uint32_t count);
void openai_end_stream(struct text *out, const struct reply *reply);

const char *reply_finish_name(enum reply_finish finish);

#endif
