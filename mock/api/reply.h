/* SPDX-License-Identifier: MIT */
/*
 * The text of an answer to an inference request, whole or in events, in the shape of the API that
 * it came by. The same (seed, key) gives the same text.
 *
 * The words of an answer are consecutive ones of a fixed long text, from a place that seed and key
 * choose: a whole answer is copied, not put together.
 */
#ifndef MOCK_API_REPLY_H
#define MOCK_API_REPLY_H

#include "mock/api/ask.h"

enum reply_finish { REPLY_STOP, REPLY_LENGTH };

/* What all token events of a stream have in common. Made by reply_prepare(). */
#define REPLY_TEMPLATE_BYTES 500
struct reply_template {
    uint16_t prefix_bytes; /* up to the word; 0: does not fit, events are made one by one */
    uint16_t suffix_bytes; /* behind it, with the empty line */
    uint16_t index_at;     /* where the digit of the choice is; 0: this API has none */
    uint16_t start;        /* of the words of the first choice */
    char bytes[REPLY_TEMPLATE_BYTES];
};
_Static_assert(sizeof(struct reply_template) <= 512, "one for each stream");

struct reply {
    enum endpoint endpoint; /* ENDPOINT_INFER, _COMPLETIONS, _CHAT */
    uint64_t seed, key;
    int64_t created_s;                                    /* Unix time */
    const char *model;                                    /* as the client named it */
    uint32_t prompt_tokens, output_tokens, cached_tokens; /* output_tokens: of each choice */
    uint8_t choices_count;                                /* at least 1 */
    bool include_usage;
    enum reply_finish finish;
    const struct reply_template *events; /* NULL: token events are made one by one */
};

/* "chatcmpl-…", "cmpl-…": 24 characters of [0-9a-f] made of seed and key behind it. */
#define REPLY_ID_BYTES 40

/* How many tokens the answer to `ask` has (each choice), and why it ends there. Each key has its
 * own draw of config->output_tokens. */
uint32_t reply_plan(const struct ask *ask, const struct config *config, uint64_t key,
                    enum reply_finish *finish);

/* The whole answer, with usage. */
void reply_write(struct text *out, const struct reply *reply);
/* Exactly the bytes reply_write() would add. */
uint64_t reply_bytes(const struct reply *reply);

/*
 * Fill `events`, which stays the caller's, and hang it into `reply`: a token event is then three
 * copies. It depends on everything in `reply` but the counts of tokens and `finish`, and can be
 * hung into a copy.
 */
void reply_prepare(struct reply *reply, struct reply_template *events);

/*
 * Events of the stream, each with its empty line: those before the first token (the role, for
 * chat), token `index` (of every choice), those behind the last token with finish_reason and, if it
 * was asked for, usage; and the last, "data: [DONE]".
 */
void reply_begin_stream(struct text *out, const struct reply *reply);
void reply_token(struct text *out, const struct reply *reply, uint32_t index);
void reply_end_stream(struct text *out, const struct reply *reply);
void reply_done(struct text *out, const struct reply *reply);

/* Tokens `first` ... `first` + `count` - 1, as reply_token() one after the other. @return bytes
 * added */
size_t reply_tokens(struct text *out, const struct reply *reply, uint32_t first, uint32_t count);

/* The same for /api/infer alone, of the text that begins at word `start`. */
void reply_infer_tokens(struct text *out, uint32_t start, uint32_t first, uint32_t count);

/* An event that says that it went wrong, as the API's streams do. */
void reply_error_event(struct text *out, const struct reply *reply, uint16_t status,
                       const char *message);

/* The text of one token: a word of a fixed list, with a blank before it unless it is the first.
 * Letters only: it can stand in a JSON string as it is. */
struct weir_slice reply_word(uint64_t seed, uint64_t key, uint32_t index);

struct reply_problem {
    uint16_t status;
    const char *type;    /* ours: "invalid_request"; OpenAI's follows from the status */
    const char *message; /* for people */
    const char *field;   /* of the request; NULL = none */
    const char *code;    /* OpenAI's: "model_not_found"; NULL: what the status says, or none */
};

/* An error in the shape of `endpoint`'s API: {"error":{"message","type","param","code"}} for
 * OpenAI's, {"error":{"message","type","field"}} for ours. */
void reply_error(struct text *out, enum endpoint endpoint, const struct reply_problem *problem);

/* "invalid_request_error", "rate_limit_error", …: what OpenAI calls a status. */
const char *reply_error_type(uint16_t status);

/* Is `endpoint` one of OpenAI's: /v1/...? */
bool reply_is_openai(enum endpoint endpoint);

/* Body of GET /v1/models, and of /v1/models/{id}; @return false: no model is called so. */
void reply_models(struct text *out, const struct config *config, int64_t created_s);
bool reply_model(struct text *out, const struct config *config, struct weir_slice id,
                 int64_t created_s);

#endif
