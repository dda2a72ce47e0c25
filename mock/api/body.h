/* SPDX-License-Identifier: MIT */
/* What a client may send: checks of request bodies, with errors that say what was expected. */
#ifndef MOCK_BODY_H
#define MOCK_BODY_H

#include "mock/api/endpoint.h"
#include "mock/config/config.h"
#include "mock/text.h"

/* Index of a model that is not in the configuration. */
#define MODEL_UNKNOWN (-1)

struct body_error {
    uint16_t status;   /* 400 or 404; 413 of a batch */
    const char *type;  /* "invalid_request", "not_found"; OpenAI's: "invalid_request_error" */
    const char *field; /* which field is meant; "body" for all of it */
    const char *code;  /* OpenAI's: "model_not_found", "context_length_exceeded"; NULL = none */
    char message[320];
};

/*
 * Check the body of a request to ENDPOINT_LOAD, _UNLOAD or _INFER. `*model` is the index of the
 * model it names; MODEL_UNKNOWN for any other name, which is an error only with strict_models.
 * @return 0, or -EINVAL with `err` filled
 */
int body_check(enum endpoint endpoint, struct weir_slice body, const struct config *config,
               int *model, struct body_error *err);

/* Fill `err` with a 400 for `field`; nothing happens when it is NULL. @return -EINVAL */
int body_fail(struct body_error *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same because `body` is no JSON, as jansson says in `at`. */
int body_fail_syntax(struct body_error *err, struct weir_slice body, const json_error_t *at);

/* The same with a 404, because `config` has no model that is called `id`. */
int body_fail_model(struct body_error *err, const char *field, const struct config *config,
                    struct weir_slice id);

/* Add {"error":{"message":…,"type":…,"field":…}}; `field` may be NULL. */
void body_write_error(struct text *text, const char *type, const char *message, const char *field);

#endif
