/* SPDX-License-Identifier: MIT */
/*
 * One cell of the table: a peer parses a row for a while.
 *
 * Questions and answers are plain data of fixed layout, so that a cell can be measured in another
 * process too (perf/codec/child.h).
 */
#ifndef WEIR_PERF_CODEC_CELL_H
#define WEIR_PERF_CODEC_CELL_H

#include "perf/codec/peer.h"

struct codec_question {
    char row[24];
    uint64_t budget_ns; /* 0: verify */
};

enum codec_outcome {
    CODEC_DONE = 1, /* not 0: an empty answer is none */
    CODEC_NOT_OFFERED,
    CODEC_REFUSED, /* the peer did not take the bytes */
};

struct codec_answer {
    uint64_t outcome;      /* enum codec_outcome */
    uint64_t input_digest; /* when verified: of the bytes of the row */
    uint64_t digest;       /* when verified: of what was found in them */
    uint64_t ns, passes;   /* when measured */
    uint64_t alloc_count;  /* when measured */
};
_Static_assert(sizeof(struct codec_question) == 32, "the same in every build");
_Static_assert(sizeof(struct codec_answer) == 48, "the same in every build");

/* Answer by parsing in this process. */
void codec_cell_answer(struct codec_peer *peer, const struct codec_question *question,
                       struct codec_answer *out);

#endif
