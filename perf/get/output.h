/* SPDX-License-Identifier: MIT */
/* A file that weir-get writes to: gathered until the end of an engine pass, then written whole,
 * whatever it takes. */
#ifndef WEIR_PERF_GET_OUTPUT_H
#define WEIR_PERF_GET_OUTPUT_H

#include <weir/base.h>

#include <signal.h>

#define GET_OUTPUT_BYTES 65536

struct get_output {
    int fd;
    int err;        /* -errno of the first write that failed: nothing is written any more */
    bool owned;     /* get_output_close() closes the descriptor */
    bool discarded; /* it is /dev/null: nothing has to be written */
    const volatile sig_atomic_t *interrupted; /* not 0: a write that blocks is given up */
    size_t len;
    uint8_t bytes[GET_OUTPUT_BYTES];
};

/* Write to `fd`, which stays the caller's. */
void get_output_init(struct get_output *out, int fd, const volatile sig_atomic_t *interrupted);
/* Create or truncate the file at `path`. @return 0 or -errno */
int get_output_open(struct get_output *out, const char *path,
                    const volatile sig_atomic_t *interrupted);
/* Write what is left, close what was opened. @return 0 or the first error */
int get_output_close(struct get_output *out);

void get_output_write(struct get_output *out, struct weir_slice piece);
void get_output_flush(struct get_output *out);

#endif
