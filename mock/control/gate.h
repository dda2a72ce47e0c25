/* SPDX-License-Identifier: MIT */
/* What the head of an admin request says of whether it may count. */
#ifndef MOCK_GATE_H
#define MOCK_GATE_H

#include "mock/api/endpoint.h"

#include <weir/server.h>

/*
 * Is it a change that a page of somebody else's asks for, in the same browser? It cannot read the
 * answer, but its POST would count: a text body needs no preflight (Fetch, section 3.3.3). Programs
 * send no Origin; that of our own page is this host. In on_request only.
 */
bool gate_is_foreign(const struct weir_exchange *exchange, enum method method);

/*
 * The generation in an If-Match field, 7 or "7"; 0 for any. UINT64_MAX, which none has, for what
 * never matches: a weak or foreign tag, a list (RFC 9110 section 13.1.1). In on_request only.
 */
uint64_t gate_generation(const struct weir_exchange *exchange);

#endif
