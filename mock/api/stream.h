/* SPDX-License-Identifier: MIT */
/*
 * Answers that come token by token, as server-sent events: on a schedule of their own (fixed and
 * linear engines), or as a replica makes them (engine batch). An answer that is not streamed but
 * made by a replica waits here for its last token.
 *
 *   stream_begin() --first token due--> head, first events --tokens...--> last events --> over
 *
 * Tokens that are due are given, all of them, however late; when the next is due does not change.
 * While the client does not read, nothing is given and what is due piles up.
 */
#ifndef MOCK_API_STREAM_H
#define MOCK_API_STREAM_H

#include "mock/api/reply.h"
#include "mock/app.h"
#include "mock/model/replica.h"

struct stream {
    bool by_replica;
    bool begun, given;     /* its head was; its last event was */
    bool blocked;          /* waits until the client has read */
    uint32_t available;    /* tokens that a replica has made */
    uint32_t index;        /* the next token */
    uint32_t break_at;     /* the token behind which the stream breaks off; UINT32_MAX = none */
    uint64_t due_ns;       /* of the next token; of a replica: of the last it made */
    uint64_t last_due_ns;  /* of the last that was given */
    uint64_t gap_fixed_ns; /* between tokens, if it is always the same; else UINT64_MAX */
    uint64_t unblocked_ns; /* what was due before was not late by our fault */
    uint64_t bytes;        /* given */
    struct reply reply;
    struct reply_template events;
    struct text pending; /* what found no room */
};

/* What the request is answered, as reply.h wants to know it. */
struct reply stream_reply(const struct request *request);

/*
 * Begin the token schedule of `request`: the first token is due at `due_ns`, or when its replica
 * makes it. @return false: no memory, it was answered with an error
 */
bool stream_begin(struct request *request, uint64_t due_ns);

/* Count the tokens of an answer that is given whole. */
void stream_count_whole(struct request *request);

/* Its exchange takes more. */
void stream_writable(struct request *request);

/* The request is over: release the stream. */
void stream_over(struct request *request);

extern const struct replica_handler stream_replica_handler;

#endif
