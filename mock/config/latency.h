/* SPDX-License-Identifier: MIT */
/*
 * How long something takes, as a configuration says it: a text in the language of
 * weir_dist_parse(), "lognormal:median=5ms,p99=20ms", or an object that says the same,
 * {"dist":"lognormal","median_us":5000,"p99_us":20000}.
 *
 * An object is checked key by key, then translated to that language: what a distribution is, is
 * decided in one place.
 */
#ifndef MOCK_CONFIG_LATENCY_H
#define MOCK_CONFIG_LATENCY_H

#include <weir/dist.h>

#include <jansson.h>

/*
 * Read `json`, as above; the number 0 is no latency. On error `pointer` is where (RFC 6901, below
 * the value; "" is the value itself) and `text` what is wrong, which does not repeat where.
 * @param out  the caller's, for weir_dist_close()
 * @return 0; -EINVAL; -ENOMEM; -errno of a file of percentiles. On error *out is untouched
 */
int latency_parse(struct weir_dist **out, const json_t *json, char *pointer, size_t pointer_bytes,
                  char *text, size_t text_bytes);

/*
 * A number of tokens, as if a token were a nanosecond: an object of whole numbers, {"min","max"},
 * {"mean","stddev"} or {"median","p99"}, the latter two with limits "min" and "max", 1 and
 * LATENCY_TOKENS_MAX if not said. As above otherwise.
 */
int latency_parse_tokens(struct weir_dist **out, const json_t *json, char *pointer,
                         size_t pointer_bytes, char *text, size_t text_bytes);

/* Most tokens that latency_parse_tokens() takes or a draw of it is. */
#define LATENCY_TOKENS_MAX 1000000

#endif
