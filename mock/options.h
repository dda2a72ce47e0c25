/* SPDX-License-Identifier: MIT */
/* The command line of weir-mock. */
#ifndef MOCK_OPTIONS_H
#define MOCK_OPTIONS_H

#include <weir/engine.h>

#define OPTIONS_THREADS_MAX     256
#define OPTIONS_ADMIN_CONNS_MAX 1024U /* of a port of its own, which never needs as many */

struct options {
    const char *listen; /* points into argv */
    uint32_t threads;
    uint32_t cpus_count; /* 0: not pinned */
    uint16_t cpus[OPTIONS_THREADS_MAX];
    bool realtime;
    const char *config;      /* file; NULL = none. All files and texts point into argv */
    const char *admin;       /* where the admin endpoints are; NULL: where all others are */
    const char *request_log; /* file; NULL = none */
    /* What goes on top of the configuration; NULL: what that says. */
    const char *latency, *ttft, *itl, *tokens, *preset, *seed, *concurrency_max;
    double error_rate;  /* 0 = no such rule */
    uint32_t conns_max; /* over all threads */
    uint64_t body_bytes_max;
    uint32_t journal_count; /* over all threads; 0 = off */
    uint64_t drain_timeout_ns;
    bool strict_models;
    bool defer_accept;
    const char *tls_cert, *tls_key; /* files; NULL both: plaintext. Point into argv */
    enum weir_ring_kind ring;
    enum weir_wait wait;
    const char *ring_disable; /* NULL = nothing */
    char admin_text[32];      /* where `admin` is a port alone */
};

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK_CONFIG,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_RING_INFO
};

struct options_error {
    char text[5120]; /* the name of a file, and what is wrong in it */
};

/*
 * @return what to do, or -EINVAL with `err` naming the argument and what was expected. Uses
 * getopt's global state: one thread at a time.
 */
int options_parse(struct options *out, int argc, char **argv, struct options_error *err);

/* Descriptors that a run with these options may have open at once. */
uint64_t options_descriptors_max(const struct options *options);

/* The text of --help. */
extern const char options_help[];

#endif
