/* SPDX-License-Identifier: MIT */
/*
 * A column that another process measures: this program with another SIMD path, or another build of
 * it. The library decides once per process which path it takes, and two builds do not fit into one
 * process at all; between processes their cells can still be interleaved.
 *
 * The child reads questions from its standard input and writes answers to its standard output,
 * one at a time, and ends with its input.
 */
#ifndef WEIR_PERF_CODEC_CHILD_H
#define WEIR_PERF_CODEC_CHILD_H

#include "perf/codec/cell.h"

#include <sys/types.h>

struct codec_child {
    pid_t pid;
    int question_fd, answer_fd;
};

/* Start `path`; `simd`, unless NULL, becomes its WEIR_SIMD. @return 0 or -errno */
int codec_child_open(struct codec_child *out, const char *path, const char *simd);

/* Ends the child. @return 0, or -ECHILD when it did not end well. */
int codec_child_close(struct codec_child *child);

/* @return 0 or -errno; -EPIPE when the child is gone */
int codec_child_ask(struct codec_child *child, const struct codec_question *question,
                    struct codec_answer *out);

/*
 * Be a child: answer with `peer` until the input ends. Where WEIR_SIMD asks for a set of
 * instructions that is not the one the peer uses, nothing is answered. @return the exit status
 */
int codec_child_serve(struct codec_peer *peer);

#endif
