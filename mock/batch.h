/* SPDX-License-Identifier: MIT */
/* Many infer requests in one: an array of their bodies, answered by an array of their answers. */
#ifndef MOCK_BATCH_H
#define MOCK_BATCH_H

#include "mock/body.h"

/* Requests that one batch may have. */
#define BATCH_ITEMS_MAX 100

/* What an infer request is answered, alone or in a batch. */
#define BATCH_INFER_BODY                                                                           \
    "{\"text\":\"This is a response of weir-mock. No model was asked.\",\"tokens\":100,"           \
    "\"finish_reason\":\"stop\"}"

/*
 * Add the answer to the batch `body`: an array with {"status":200,"body":…} for each request, or
 * {"status":400,"error":…} with the error that it would have got alone. One that is wrong is its
 * own affair; an array that is none, is empty or too long is the whole batch's.
 * @return how many requests there are, or -EINVAL with `err` filled: its status is 400 or 413
 */
int batch_answer(struct text *out, struct weir_slice body, bool strict, struct body_error *err);

#endif
