/* SPDX-License-Identifier: MIT */
/*
 * What an inference request asks for, whichever API it came by: POST /api/infer,
 * /v1/completions, /v1/chat/completions.
 *
 * Reading one is on the path of every request: a body that is plain (no escape in a name that
 * matters, no member twice, no number that a double or an int64_t might not hold) is read where it
 * lies by <weir/json.h>, without allocating. Any other is read from jansson's tree, by the same
 * rules and with the same result; that is also where the errors are made.
 */
#ifndef MOCK_API_ASK_H
#define MOCK_API_ASK_H

#include "mock/api/body.h"
#include "mock/config/config.h"

#define ASK_STOPS_MAX   4
#define ASK_N_MAX       8   /* `n` of a request */
#define ASK_CHOICES_MAX 128 /* n times the prompts of a request */

struct ask {
    char model_name[CONFIG_NAME_BYTES]; /* as the client named it, cut if it is too long */
    int16_t model;                      /* index in the configuration, MODEL_UNKNOWN */
    bool stream;
    bool include_usage;     /* stream_options.include_usage */
    bool chat;              /* /v1/chat/completions */
    uint8_t choices_count;  /* n for each prompt: 1 ... ASK_CHOICES_MAX */
    uint32_t prompt_tokens; /* of all prompts, at least 1 */
    uint32_t output_tokens; /* of each choice, asked for by max_tokens, max_completion_tokens; 0 =
                               the server's default */
    uint64_t prompt_hash;   /* of the whole prompt, for the text that is made */
    uint64_t prefix_hash;   /* of the system message, or of the first text's first 256 bytes */
    uint32_t prefix_tokens; /* tokens that prefix_hash stands for */
};

/*
 * @param body  complete, and need not stay
 * @return 0, or -EINVAL with `err` filled: its status 400 or 404, its type and field as the API of
 *         `endpoint` calls them (invalid_request_error, "messages")
 */
int ask_read(struct ask *out, enum endpoint endpoint, struct weir_slice body,
             const struct config *config, struct body_error *err);

/*
 * How many tokens a text has: one for four bytes or the rest of them, which is what a real
 * tokenizer says of prose, within a third. A word and its blank are two bytes, so it is never less
 * than one for two words. 0 for an empty text. `text` is decoded: an escape of its JSON counts as
 * the bytes that it stands for.
 */
uint32_t ask_count_tokens(struct weir_slice text);

#endif
