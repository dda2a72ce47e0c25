/* SPDX-License-Identifier: MIT */
/* The delayed endpoints: list, load and unload models, infer. */
#ifndef MOCK_API_H
#define MOCK_API_H

#include "mock/request.h"

/* on_request of a delayed endpoint: takes a slot or waits for one. */
void api_begin(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
               enum method method);

/* on_body of a request begun by api_begin(). */
void api_body(struct request *request, struct weir_slice piece, bool last);

/* on_end of a request that was begun and not answered. */
void api_abandon(struct request *request, int err);

#endif
