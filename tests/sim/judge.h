/* SPDX-License-Identifier: MIT */
/*
 * Is it right what weir-mock answers? The judge knows the configuration, makes the same draws as
 * the mock does, and reads its journal, where the mock says what it thinks it did.
 */
#ifndef WEIR_TESTS_SIM_JUDGE_H
#define WEIR_TESTS_SIM_JUDGE_H

#include "visit.h"

/* A piece of a stream of events. */
void sim_judge_piece(struct sim_visit *visit, struct weir_slice piece);
/* The call is over. */
void sim_judge_end(struct sim_visit *visit, int err);
/* Is there a reason in the configuration for this error? */
bool sim_judge_excuses(const struct sim_visit *visit, int err);

#endif
