/* SPDX-License-Identifier: MIT */
/* GET /admin/stats: the counts as JSON. */
#ifndef MOCK_REPORT_H
#define MOCK_REPORT_H

#include "mock/control/snapshot.h"
#include "mock/text.h"

void report_write(struct text *text, const struct snapshot *snapshot);

#endif
