/* SPDX-License-Identifier: MIT */
/*
 * Giving answers, and keeping the books of them: statistics, journal, request log.
 *
 * An answer is given at once (health, a path that is not there, admin requests: by exchange), or
 * for a request whose time has come, with the fields that tell what was asked and, if a fault is to
 * strike it, by way of the wire.
 */
#ifndef MOCK_API_ANSWER_H
#define MOCK_API_ANSWER_H

#include "mock/app.h"

#define ANSWER_JSON WEIR_TEXT("application/json")

struct answer {
    uint16_t status;
    uint32_t retry_after_s; /* 0 = no such field */
    struct weir_slice content_type, body;
    const struct weir_header *header; /* one more field, or NULL */
    enum weir_body how;
    bool close; /* the connection ends with it */
};

struct answer_error {
    uint16_t status;
    uint32_t retry_after_s;
    const char *type; /* as reply_problem has it */
    const char *message, *field, *code;
    bool close;
    bool openai; /* in the shape of OpenAI's, whatever the endpoint */
    const struct weir_header *header;
};

/* What is known of a request the moment its head has arrived. */
struct journal_record answer_record(struct app *app, const struct weir_exchange *exchange,
                                    enum endpoint endpoint, enum method method);

/*
 * A request from the pool for `exchange`, whose user it becomes.
 * @return NULL: there is none left; it has been answered with 503
 */
struct request *answer_begin(struct app *app, struct weir_exchange *exchange,
                             enum endpoint endpoint, enum method method);

/* The record of a request from the pool, as of `now_ns`. */
struct journal_record answer_request_record(const struct request *request, uint64_t now_ns);

/* It is over: count it as record->end says, remember it, log it. */
void answer_count(struct app *app, const struct journal_record *record);

/*
 * Answer `exchange` and count it. `record` has everything filled in that is known of the request.
 * @return false: it cannot be answered; its on_end follows
 */
bool answer_now(struct app *app, struct weir_exchange *exchange, struct journal_record *record,
                const struct answer *answer);
bool answer_error_now(struct app *app, struct weir_exchange *exchange,
                      struct journal_record *record, const struct answer_error *error);

/*
 * The fields of a delayed answer: X-Mock-Delay-Us, X-Mock-Queue-Us, X-Mock-Seq; X-Mock-Saturated,
 * Retry-After, x-ratelimit-* where there is something to tell.
 */
#define ANSWER_FIELDS_MAX 12
struct answer_fields {
    struct weir_header fields[ANSWER_FIELDS_MAX];
    uint32_t count;
    uint32_t used;
    char text[256];
};
void answer_fields_fill(struct answer_fields *out, const struct request *request,
                        uint32_t retry_after_s, const struct weir_header *more);

/*
 * Give the whole answer of a request whose time has come, with the fault that strikes it, and end
 * the request (api_over()), now or when the wire is done with it.
 */
void answer_give(struct request *request, const struct answer *answer);

/* The same with an error in the shape of the request's API. */
void answer_give_error(struct request *request, const struct answer_error *error);

/* Of an answer on the wire: has the client got its head, as it should be? */
bool answer_head_is_sent(const struct request *request);

/* Give the request's exchange to a wire. `tokens` and `body_bytes` as wire_start has them.
 * @return false: no memory; the connection was reset */
bool answer_begin_wire(struct request *request, const struct answer *answer, int64_t body_bytes,
                       uint32_t tokens);

#endif
