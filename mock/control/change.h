/* SPDX-License-Identifier: MIT */
/*
 * Changes of the configuration that come as requests: PATCH /admin/config, and the fault rules one
 * by one. Whatever comes, it becomes a whole new configuration, checked as a file is; an If-Match
 * field makes it count only for the generation that the client has seen.
 */
#ifndef MOCK_CHANGE_H
#define MOCK_CHANGE_H

#include "mock/app.h"

struct change {
    enum endpoint endpoint; /* ENDPOINT_CONFIG, _FAULTS, _FAULT */
    enum method method;
    struct weir_slice body;
    const char *id;      /* of the rule */
    uint64_t generation; /* that If-Match names; 0 = any */
};

struct change_result {
    uint16_t status;     /* 200, 201; or an error's */
    struct config *made; /* what it is now, held for the caller; NULL: nothing has changed */
    char pointer[160];
    char message[CONFIG_ERROR_BYTES];
};

/* Make the change in the mock; telling its threads of it is the caller's. */
void change_make(struct change_result *out, struct app *app, const struct change *change);

#endif
