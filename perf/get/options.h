/* SPDX-License-Identifier: MIT */
/* What the command line of weir-get asks for. */
#ifndef WEIR_PERF_GET_OPTIONS_H
#define WEIR_PERF_GET_OPTIONS_H

#include "perf/get/status.h"

#include <weir/client.h>
#include <weir/url.h>

#define GET_HEADERS_MAX 64
/* A host of 255 bytes or a socket's path of 107, each of which may be written as three, with
 * scheme and port. */
#define GET_ENDPOINT_BYTES 400

struct get_options {
    const char *url_text; /* NUL-terminated, argv's */
    struct weir_url url;  /* views into url_text */
    struct weir_request request;
    struct weir_header headers[GET_HEADERS_MAX];
    uint8_t *body_owned; /* what a file held; NULL: the body is argv's */
    char *target;        /* request.target */

    uint32_t endpoints_count; /* the first is the URL's */
    char endpoints[WEIR_ENDPOINTS_MAX][GET_ENDPOINT_BYTES];
    char tls_name[256]; /* whom the servers' certificates must be for; "" = the endpoint's host */
    const char *ca_file, *cert_file, *key_file; /* NULL = none */
    bool insecure;

    uint64_t deadline_ns; /* of each call, from its start; 0 = none */
    uint32_t retries;
    uint64_t repeat;
    uint32_t concurrency;
    uint32_t pipeline;
    uint32_t batch;           /* items of a batch at most; 0 = no batches */
    uint32_t conns_max;       /* 0 = as many as the concurrency needs */
    uint64_t idle_timeout_ns; /* idle_timeout_given */
    bool idle_timeout_given;

    const char *output_path; /* NULL, "-" = standard output */
    bool stream, include, verbose, json, stats, fail;
    enum weir_ring_kind ring;
    enum weir_wait wait;
    const char *ring_disable; /* NULL = nothing */
};

enum get_wish { GET_WISH_RUN, GET_WISH_HELP, GET_WISH_VERSION, GET_WISH_ERROR };

#define GET_ERROR_TEXT_BYTES 768

/* Why a command line was not taken. */
struct get_error {
    enum get_status status;
    char text[GET_ERROR_TEXT_BYTES];
};

/*
 * Read a command line (argv may be reordered; the options point into it). Release with
 * get_options_deinit() in every case.
 */
enum get_wish get_options_parse(struct get_options *out, int argc, char **argv,
                                struct get_error *error);
void get_options_deinit(struct get_options *options);

/* The text of --help. Static. */
const char *get_options_help(void);

#endif
