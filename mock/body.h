/* SPDX-License-Identifier: MIT */
/* What a client may send: checks of request bodies, with errors that say what was expected. */
#ifndef MOCK_BODY_H
#define MOCK_BODY_H

#include "mock/endpoint.h"
#include "mock/text.h"

struct body_error {
    uint16_t status;   /* 400 or 404 */
    const char *type;  /* "invalid_request", "not_found" */
    const char *field; /* which field is meant; "body" for all of it */
    char message[320];
};

/*
 * Check the body of a request to ENDPOINT_LOAD, _UNLOAD or _INFER. `*model` is the index of the
 * model it names; MODEL_UNKNOWN for any other name, which is an error only when `strict`.
 * @return 0, or -EINVAL with `err` filled
 */
int body_check(enum endpoint endpoint, struct weir_slice body, bool strict, int *model,
               struct body_error *err);

/* Add {"error":{"message":…,"type":…,"field":…}}; `field` may be NULL. */
void body_write_error(struct text *text, const char *type, const char *message, const char *field);

#endif
