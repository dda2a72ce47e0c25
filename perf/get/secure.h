/* SPDX-License-Identifier: MIT */
/* The certificates of a run. */
#ifndef WEIR_PERF_GET_SECURE_H
#define WEIR_PERF_GET_SECURE_H

#include "perf/get/options.h"

#include <weir/tls.h>

/*
 * Read what --cacert, --cert and --key name. *out is NULL when the library's default is what is
 * asked for. @return 0; or < 0 and `error` says which file, with the exit status for that one
 */
int get_secure_open(struct weir_tls **out, const struct get_options *options,
                    struct get_error *error);

#endif
