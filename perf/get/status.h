/* SPDX-License-Identifier: MIT */
/* Exit statuses of weir-get: those of curl where it has one, so that scripts need not learn new
 * ones. */
#ifndef WEIR_PERF_GET_STATUS_H
#define WEIR_PERF_GET_STATUS_H

#include <stdint.h>

enum get_status {
    GET_STATUS_OK = 0,
    GET_STATUS_USAGE = 2, /* or nothing could be set up */
    GET_STATUS_URL = 3,
    GET_STATUS_RESOLVE = 6,
    GET_STATUS_CONNECT = 7,
    GET_STATUS_PROTOCOL = 8,
    GET_STATUS_TRUNCATED = 18,
    GET_STATUS_HTTP = 22,
    GET_STATUS_WRITE = 23,
    GET_STATUS_READ = 26,
    GET_STATUS_MEMORY = 27,
    GET_STATUS_TIMEOUT = 28,
    GET_STATUS_TLS = 35,
    GET_STATUS_EMPTY = 52,
    GET_STATUS_SEND = 55,
    GET_STATUS_RECV = 56,
    GET_STATUS_OWN_CERTIFICATE = 58,
    GET_STATUS_CERTIFICATE = 60,
    GET_STATUS_ENCODING = 61,
    GET_STATUS_LIMIT = 63,
    GET_STATUS_CA_FILE = 77,
    GET_STATUS_SIGNAL = 128 /* + its number */
};

/* What a call that ended with `err` makes of the program's exit status. */
enum get_status get_status_of(int err);

/* ... and an answer whose status was `http`, with --fail. */
enum get_status get_status_of_http(uint16_t http);

#endif
