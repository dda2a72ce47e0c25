/* SPDX-License-Identifier: MIT */
/**
 * One request, one answer, one blocking call: for simple programs and tools. No engine to run, no callbacks.
 */
#ifndef WEIR_FETCH_H
#define WEIR_FETCH_H

#include <weir/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What to ask. Fill with weir_fetch_init(), then set `url` and what else is wanted. */
struct weir_fetch {
    uint32_t size;
    const char *url;                   /**< "https://name:port/path?query"; also http, http+unix. Required */
    const char *method;                /**< default "GET" */
    const struct weir_header *headers; /**< not Host, Content-Length, Transfer-Encoding, Connection */
    size_t headers_count;
    struct weir_slice body;            /**< sent with Content-Length, when not empty */
    uint64_t timeout_ns;               /**< for all of it. 0 = none. Default 30 s */
    uint64_t body_bytes_max;           /**< of the answer, decoded: WEIR_E_LIMIT. Default 64 MiB */
    bool decode;                       /**< ask for gzip or deflate, and decode. Default true */
    struct weir_tls *tls;              /**< for https; NULL: the system's certificates, verified */
    struct weir_retry_policy retry;    /**< default: no retries */
};
/** Fill `fetch` with the defaults. Use the macro, which passes the size your code was compiled with. */
WEIR_API void weir_fetch_init_size(struct weir_fetch *fetch, uint32_t size);
#define weir_fetch_init(fetch) weir_fetch_init_size((fetch), sizeof(*(fetch)))

/** The answer. Everything in it is released by weir_fetch_free(). */
struct weir_fetch_result {
    uint16_t status;
    struct weir_header *headers;       /**< in the order received */
    size_t headers_count;
    struct weir_slice body;            /**< with a NUL behind it that is not counted */
    struct weir_call_timing timing;
    void *memory;                      /**< private */
};

/**
 * Send the request, wait for the whole answer. Blocks the calling thread, on an engine of its own; any thread, any number
 * at a time. Allocates memory for the answer as it comes. What it costs to open an engine each time makes this no way to
 * send many requests.
 *
 * Ownership: on success *out holds memory, to be released by weir_fetch_free(); on failure nothing, zeroed.
 * Errors (weir_error_text() tells): those of weir_engine_open(), weir_client_open(), weir_client_send() and of on_end in
 * struct weir_call_handler; WEIR_E_LIMIT the answer is larger than body_bytes_max; -ENOMEM.
 * @return 0, whatever the status of the answer is
 */
WEIR_API WEIR_MUST_USE int weir_fetch(const struct weir_fetch *fetch, struct weir_fetch_result *out);

/** First field called `name` (any case); {NULL, 0} if there is none. */
WEIR_API struct weir_slice weir_fetch_header(const struct weir_fetch_result *result, const char *name);

/** Release what a result holds, and zero it. Also one that was zeroed. */
WEIR_API void weir_fetch_free(struct weir_fetch_result *result);

#ifdef __cplusplus
}
#endif

#endif
