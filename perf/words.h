/* SPDX-License-Identifier: MIT */
/* What the programs here read from their command lines in the same way. */
#ifndef WEIR_PERF_WORDS_H
#define WEIR_PERF_WORDS_H

#include <weir/http1.h>

#include <stdio.h>

struct weir_slice words_slice(const char *text);
/* The same, whatever the case? */
bool words_is(struct weir_slice slice, const char *name);
/* How much of `text` fits into a message of one line. */
int words_printable(const char *text);

#define WORDS_ERROR_BYTES 512

/*
 * Take "Name: value" apart; the slices point into it. `program` is who writes the fields that frame
 * the message itself. @return 0, or -EINVAL: `error` says what was expected
 */
int words_header(struct weir_header *out, const char *program, const char *text,
                 char error[WORDS_ERROR_BYTES]);

#define WORDS_FILE_BYTES_MAX (UINT32_C(256) << 20)

/*
 * All of `file`, in memory that is the caller's to free.
 * @return 0; -ENOMEM; -EFBIG more than WORDS_FILE_BYTES_MAX; what reading failed with
 */
int words_read(uint8_t **out, size_t *len, FILE *file);

/* What getopt_long() did not take: `opt` is what it returned, ':' or '?'. */
void words_unknown(int opt, char **argv, char error[WORDS_ERROR_BYTES]);

#endif
