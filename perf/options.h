/* SPDX-License-Identifier: MIT */
/* What the command line of weir-bench asks for. */
#ifndef WEIR_PERF_OPTIONS_H
#define WEIR_PERF_OPTIONS_H

#include "perf/cpu.h"

#include <weir/client.h>
#include <weir/url.h>

struct bench_options {
    const char *url_text; /* NUL-terminated, argv's */
    struct weir_url url;  /* views into url_text */
    char endpoint[400];   /* for weir_client_config: a host of 255 bytes, or a socket's path of 107,
                             each of which may be written as three */
    uint32_t connections;
    uint32_t threads;
    uint32_t pipeline;
    uint64_t duration_ns; /* 0 = until `requests` are done */
    uint64_t requests;    /* 0 = until `duration_ns` has passed */
    uint64_t warmup_ns;
    uint64_t timeout_ns;
    struct weir_request request; /* headers and, when body_owned, the body belong to the options */
    uint8_t *body_owned;
    struct bench_cpu_list cpus; /* count 0 = not pinned */
    pid_t server_pid;           /* 0 = none */
    const char *json_path;      /* NULL = no JSON, "-" = standard output */
    bool progress;
    bool secure;                /* https */
    const char *ca_file;        /* NULL = the system's */
    bool insecure;              /* any certificate will do */
    enum weir_ring_kind ring;
    enum weir_wait wait;
    const char *ring_disable; /* NULL = nothing */
};

enum bench_wish { BENCH_WISH_RUN, BENCH_WISH_HELP, BENCH_WISH_VERSION, BENCH_WISH_ERROR };

#define BENCH_ERROR_TEXT_BYTES 768

/*
 * Read a command line (argv may be reordered; the options point into it). With BENCH_WISH_ERROR
 * `error` names the option and what was expected. Release with bench_options_deinit() in every
 * case.
 */
enum bench_wish bench_options_parse(struct bench_options *out, int argc, char **argv,
                                    char error[BENCH_ERROR_TEXT_BYTES]);
void bench_options_deinit(struct bench_options *options);

/* The text of --help. Static. */
const char *bench_options_help(void);

#endif
