/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a request whose body is complete: is it right, is there a quota, which faults
 * strike it, how long does it take? Then it waits until it is due.
 */
#ifndef MOCK_API_PLAN_H
#define MOCK_API_PLAN_H

#include "mock/app.h"

/* The path of GET /v1/models/{id}, while it can be read. */
void plan_take_model_id(struct request *request, struct weir_slice path);

/* The query of a load or unload: "wait=false" asks for an answer before it is done. */
void plan_take_wait(struct request *request, struct weir_slice query);

/* Answer a request whose time has come: it is due, or a replica has made all its tokens. */
void plan_answer(struct request *request);

/* The body is complete; it is gone when this returns. */
void plan_body(struct request *request, struct weir_slice body);

/* It got its slot, or its body: if it has both now, its time begins. */
void plan_advance(struct request *request);

/* The sum of two times, or as good as never if it is longer than any clock. */
uint64_t plan_add_ns(uint64_t a, uint64_t b);

/* One draw of the gap before token `index`, from 1, of a stream that is paced by itself. */
uint64_t plan_gap_ns(const struct request *request, uint32_t index);

#endif
