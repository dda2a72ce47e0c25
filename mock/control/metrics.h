/* SPDX-License-Identifier: MIT */
/* GET /metrics: what Prometheus scrapes, ours (mock_*) and what vLLM would show (vllm:*). */
#ifndef MOCK_METRICS_H
#define MOCK_METRICS_H

#include "mock/control/exposition.h"
#include "mock/control/snapshot.h"

#define METRICS_CONTENT_TYPE      "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_OPEN_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Does this value of an Accept field name OpenMetrics? Empty for a request without one. */
bool metrics_accepts_open(struct weir_slice accept);

/* `open_metrics`: in OpenMetrics 1.0, else in text format 0.0.4. */
void metrics_write(struct text *text, const struct snapshot *snapshot, bool open_metrics);

/* The part of it in vLLM's names: metrics_vllm.c. */
void metrics_write_vllm(const struct exposition *out, const struct snapshot *snapshot);

#endif
