/* SPDX-License-Identifier: MIT */
/* The answer to a batch: an array of {"status":200,"body":...} or {"status":404,"error":...}. */
#ifndef WEIR_PROTO_CODEC_JSON_ARRAY_H
#define WEIR_PROTO_CODEC_JSON_ARRAY_H

#include <weir/json.h>

/* One element of it. */
struct weir_json_answer {
    uint16_t status;         /* 200 ... 999 */
    struct weir_slice value; /* of "body", or of "error"; {NULL, 0}: it has neither */
};

/*
 * The next answer of a walk begun by weir_json_array_begin(), in one pass over its bytes. Members
 * of other names are skipped; "status" is a must, and a name that means something may stand there
 * once only. With both "body" and "error", the status says which of them counts.
 * @return as weir_json_array_next(); -EINVAL also for an element that is no such answer
 */
int weir_json_answer_next(struct weir_json_walk *walk, struct weir_json_answer *out) WEIR_MUST_USE;

#endif
