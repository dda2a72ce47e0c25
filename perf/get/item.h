/* SPDX-License-Identifier: MIT */
/* One of the items of a run with --batch. */
#ifndef WEIR_PERF_GET_ITEM_H
#define WEIR_PERF_GET_ITEM_H

#include "perf/get/run.h"

struct get_item {
    struct weir_batch_item item;
    struct get_run *run;
    uint64_t number; /* of the item in the run, from 0 */
    uint64_t start_ns;
};

/* Open the batcher. @return 0; -ENOMEM or the batcher's error (weir_error_text() tells) */
int get_items_open(struct get_run *run);
/* Close the batcher: what is in flight ends first. @return 0 or the ring's error */
int get_items_close(struct get_run *run);
void get_items_fill(struct get_run *run);
void get_items_cancel(struct get_run *run);

#endif
