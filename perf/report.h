/* SPDX-License-Identifier: MIT */
/* A finished run as text for people and as JSON for scripts. */
#ifndef WEIR_PERF_REPORT_H
#define WEIR_PERF_REPORT_H

#include "perf/options.h"
#include "perf/result.h"

#include <stdio.h>

/* Write to `out`; its error indicator tells whether that went well. */
void bench_report_text(FILE *out, const struct bench_options *options,
                       const struct bench_result *result);
void bench_report_json(FILE *out, const struct bench_options *options,
                       const struct bench_result *result);

/* "1234567" -> "1,234,567". @return out */
#define BENCH_NUMBER_TEXT_BYTES 32
const char *bench_format_number(char out[BENCH_NUMBER_TEXT_BYTES], uint64_t number);

#endif
