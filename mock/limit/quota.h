/* SPDX-License-Identifier: MIT */
/*
 * So much per minute: requests, or tokens. A bucket that holds one minute's worth, is full at first
 * and fills at an even rate, shared by all threads without a lock.
 *
 * It is kept as one number, the theoretical arrival time of the generic cell rate algorithm (ITU-T
 * I.371): the moment at which the bucket will be full again. Time is counted in units of 16 to 32
 * ns of which each request or token costs a whole number, so that nothing adds up to a drift: what
 * was taken between two moments is at most the limit and what has flown in between them and in one
 * unit more. The beginning of a unit is where times are counted from, so that a bucket emptied at
 * once is full within a minute and not some nanoseconds later, which would read as one more
 * millisecond in one field and as one more second in another.
 */
#ifndef MOCK_QUOTA_H
#define MOCK_QUOTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define QUOTA_PER_MINUTE_MAX UINT64_C(3750000000) /* one in 16 ns; more counts as that many */
#define QUOTA_NEVER          UINT64_MAX
#define QUOTA_RESET_BYTES    16 /* of quota_format_reset(), with the NUL */

/* Limits that are told apart while one is being replaced. */
#define QUOTA_SLOTS 4

/* Zeroed: no limit. */
struct quota {
    /* From the highest bit: 8 that count the changes of the limit, 56 of the time at which the
     * bucket is full, in units. */
    atomic_uint_fast64_t word;
    atomic_uint_fast64_t limits[QUOTA_SLOTS]; /* per minute; 0 = no limit */
};

/* What x-ratelimit-* and Retry-After say, as of the call. */
struct quota_view {
    uint64_t limit;     /* per minute; 0 = no limit, and the others say nothing */
    uint64_t remaining; /* could be taken now */
    uint64_t reset_ns;  /* from now until it is full */
    uint64_t retry_ns;  /* from now until what was refused would be taken; 0: it was taken.
                           QUOTA_NEVER: it is more than the limit */
};

/* Set the limit, 0 for none. Another one than before begins with a full bucket. One thread at a
 * time, while any others take. */
void quota_set(struct quota *quota, uint64_t per_minute);

/*
 * Take `amount`, all of it or nothing; 0 only looks. `now_ns` is monotonic, though threads may be
 * apart in it. Any thread. @return taken
 */
bool quota_take(struct quota *quota, uint64_t amount, uint64_t now_ns, struct quota_view *out);

/* Put back what was taken and not used. Any thread. */
void quota_give_back(struct quota *quota, uint64_t amount);

/*
 * A time as OpenAI writes it, "20ms", "1s", "8.64s", "6m0s", "1h0m0s": rounded up to milliseconds,
 * so that who waits for so long has waited long enough. At most 9999 hours.
 */
void quota_format_reset(char out[QUOTA_RESET_BYTES], uint64_t ns);

#endif
