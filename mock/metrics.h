/* SPDX-License-Identifier: MIT */
/* GET /metrics: Prometheus text format 0.0.4. */
#ifndef MOCK_METRICS_H
#define MOCK_METRICS_H

#include "mock/snapshot.h"
#include "mock/text.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_write(struct text *text, const struct snapshot *snapshot);

#endif
