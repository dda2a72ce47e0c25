/* SPDX-License-Identifier: MIT */
/* Many infer requests in one: an array of their bodies, answered by an array of their answers. */
#ifndef MOCK_BATCH_H
#define MOCK_BATCH_H

#include "mock/api/body.h"

/* Requests that one batch may have. */
#define BATCH_ITEMS_MAX 100

struct batch {
    const struct config *config;
    uint64_t key;
    /* Made by batch_answer(), of the requests that are right. */
    uint32_t count;
    uint64_t prompt_tokens, output_tokens;
};

/*
 * Add the answer to the batch `body`: an array with {"status":200,"body":…} for each request, or
 * {"status":400,"error":…} with the error that it would have got alone. One that is wrong is its
 * own affair; an array that is none, is empty or too long is the whole batch's. Item i of the batch
 * is answered what a request with the key `batch->key` + i is; it is never streamed.
 * @return how many requests there are, or -EINVAL with `err` filled: its status is 400 or 413
 */
int batch_answer(struct text *out, struct batch *batch, struct weir_slice body,
                 struct body_error *err);

#endif
