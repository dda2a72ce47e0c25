/* SPDX-License-Identifier: MIT */
/*
 * Request fields that change what the mock does with this one request:
 *
 *   X-Mock-Delay, X-Mock-TTFT, X-Mock-ITL  a duration or another distribution of <weir/dist.h>, but
 *                                          no file: whoever sends it has no business with our disk
 *   X-Mock-Tokens: 128                     so many tokens of output
 *   X-Mock-Status: 429:10,503:5            percent of the requests that get a status; "503" is all
 *   X-Mock-Fault: reset@tokens=10          see fault_action_parse()
 *
 * and the names that they have elsewhere: X-Return-Error: 503; x-envoy-fault-delay-request: 20 (in
 * ms); x-envoy-fault-abort-request: 503. A field of the first kind counts before its other name.
 */
#ifndef MOCK_API_OVERRIDE_H
#define MOCK_API_OVERRIDE_H

#include "mock/api/body.h"
#include "mock/fault/rule.h"

/* A time that was asked for: `dist`, or without one `ns`. */
struct override_time {
    bool given;
    uint64_t ns;
    struct weir_dist *dist;
};

struct override {
    struct override_time delay, ttft, itl;
    uint32_t tokens; /* 0 = not given */
    uint16_t status; /* drawn for this request; 0 = none */
    bool has_fault;
    struct fault_action fault;
};

/*
 * Look for the fields in `head`. What is drawn follows from seed and key.
 * @return 0: none or all well; -EINVAL with `err`, a 400 that names the field; -ENOMEM with `err`,
 *         a 503. override_close() releases what it holds; on error there is nothing
 */
int override_read(struct override *out, const struct fault_head *head, uint64_t seed, uint64_t key,
                  struct body_error *err);
void override_close(struct override *override);

/* One draw of a time that is given. */
uint64_t override_draw_ns(const struct override_time *time, uint64_t seed, uint64_t key,
                          uint64_t draw);

#endif
