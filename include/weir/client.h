/* SPDX-License-Identifier: MIT */
/**
 * HTTP/1.1 client on an engine: a bounded pool of connections to one endpoint, calls that wait for them in order.
 */
#ifndef WEIR_CLIENT_H
#define WEIR_CLIENT_H

#include <weir/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_client;
struct weir_call;

/** Limits and timeouts of a client. 0 as a timeout means none. */
struct weir_client_config {
    uint32_t size;
    /** "http://127.0.0.1:8080", "http://[::1]:80", "http://name:80" (resolved once, at open),
     *  "http+unix://%2Fpath", "unix:/path". Required */
    const char *endpoint;
    uint32_t conns_max;          /**< connections. Default 100 */
    uint32_t pipeline_max;       /**< requests in flight per connection; 1 = no pipelining (default) */
    uint32_t waiting_max;        /**< calls that may wait, also for a connection that is being made. Default 65536 */
    uint32_t head_bytes_max;     /**< response heads over this fail with WEIR_E_LIMIT. Default 16384 */
    uint32_t fields_max;         /**< likewise. Default 100 */
    uint64_t connect_timeout_ns; /**< Default 5 s */
    uint64_t idle_timeout_ns;    /**< unused connections are closed. Default 5 min */
    uint32_t lenient;            /**< enum weir_http1_lenient: what else is taken. Default 0, nothing */
};
/** Fill `cfg` with the defaults. Use the macro, which passes the size your code was compiled with. */
WEIR_API void weir_client_config_init_size(struct weir_client_config *cfg, uint32_t size);
#define weir_client_config_init(cfg) weir_client_config_init_size((cfg), sizeof(*(cfg)))

struct weir_request {
    struct weir_slice method;
    struct weir_slice target;          /**< "/path?query" */
    struct weir_slice host;            /**< value of Host; empty: the endpoint's authority */
    const struct weir_header *headers; /**< not Host, Content-Length, Transfer-Encoding, Connection */
    size_t headers_count;
    struct weir_slice body;            /**< sent with Content-Length; empty and no body_always: none is sent */
    bool body_always;                  /**< send Content-Length: 0 for an empty body */
};

/** The head of a response; valid during on_head only. */
struct weir_response_head;
/** 200 ... 999. */
WEIR_API uint16_t weir_response_status(const struct weir_response_head *head);
/** First field called `name` (any case); {NULL, 0} if there is none. */
WEIR_API struct weir_slice weir_response_header(const struct weir_response_head *head, struct weir_slice name);
/** How many fields the head has. */
WEIR_API size_t weir_response_headers_count(const struct weir_response_head *head);
/** The field number `index` < count, in the order received. */
WEIR_API struct weir_header weir_response_header_at(const struct weir_response_head *head, size_t index);

/** Any of them may be NULL but on_end. All run on the engine's thread, never inside weir_client_send(). */
struct weir_call_handler {
    void (*on_head)(struct weir_call *call, const struct weir_response_head *head); /**< the final head, not 1xx */
    void (*on_body)(struct weir_call *call, struct weir_slice piece);               /**< valid until it returns */
    /**
     * Exactly once per weir_client_send() that returned 0; the call is the caller's again and may be sent again
     * from here. err: 0; WEIR_E_CONNECT or WEIR_E_CONNECT_TIMEOUT (no connection; timing.os_err has the errno);
     * WEIR_E_CLOSED (the connection ended before any byte of the response); WEIR_E_TRUNCATED (after some);
     * WEIR_E_PROTOCOL; WEIR_E_LIMIT; WEIR_E_DEADLINE; WEIR_E_CANCELLED; WEIR_E_SHUTDOWN; -ECONNRESET and other -errno.
     */
    void (*on_end)(struct weir_call *call, int err);
};

/** What happened when, engine clock; 0 = did not happen. Filled by the client. */
struct weir_call_timing {
    uint64_t start_ns;      /**< weir_client_send() */
    uint64_t sent_ns;       /**< given to a connection: the pass that hands it to the kernel */
    uint64_t first_byte_ns; /**< first byte of the response */
    uint64_t end_ns;        /**< on_end */
    uint64_t body_bytes;    /**< payload received */
    int os_err;             /**< -errno behind a connection failure, or 0 */
    bool reused;            /**< went out on a connection that had carried a request before */
};

/**
 * One request and its response. The caller's memory: zero it, set `request`, `handler`, `ctx` (and deadline_ns),
 * send it, leave it in place until on_end. What `request` points to must stay valid and unchanged until then.
 */
struct weir_call {
    struct weir_request request;
    uint64_t deadline_ns; /**< engine clock, absolute; 0 = none */
    const struct weir_call_handler *handler;
    void *ctx;
    struct weir_call_timing timing;
    uint16_t status;      /**< of the response, from on_head on */
    /* private */
    uint8_t state;
    bool answered;
    int err;
    uint64_t end_at;
    struct weir_call *next, *prev;
    void *owner;
    void *space[8];
};

/** Bytes weir_client_open() will reserve; -EINVAL for a bad field. Pure function, any thread. */
WEIR_API int64_t weir_client_memory_bytes(const struct weir_client_config *cfg);

/**
 * Open a client. Resolves a host name with the system's resolver and may block for that. No callbacks, no connections yet.
 * Errors (weir_error_text() tells): -EINVAL a field; WEIR_E_URL; WEIR_E_UNSUPPORTED https; WEIR_E_CONNECT the name does not
 * resolve; -ENOMEM.
 */
WEIR_API WEIR_MUST_USE int weir_client_open(struct weir_client **out, struct weir_engine *engine,
                                            const struct weir_client_config *cfg);

/**
 * Start a call on the engine's thread: on a free connection, a new one, or in the wait queue (first come first served).
 * Errors: -EINVAL the request cannot be sent (bad method, target, header; weir_error_text() tells) or has no handler;
 *         -ENOBUFS no output memory (engine's send_bytes_max): send it later; WEIR_E_QUEUE_FULL; WEIR_E_SHUTDOWN.
 *         On error on_end does not run.
 */
WEIR_API WEIR_MUST_USE int weir_client_send(struct weir_client *client, struct weir_call *call);

/**
 * End a call that was sent; on_end (WEIR_E_CANCELLED) follows, never inside this function. Its connection is closed
 * when the request is already on it.
 */
WEIR_API void weir_call_cancel(struct weir_call *call);

/** Counters since open; `_now` are gauges. */
struct weir_client_stats {
    uint32_t size;
    uint32_t conns_now, waiting_now, in_flight_now;
    uint64_t conns;            /**< connections made */
    uint64_t connect_failures;
    uint64_t calls;            /**< accepted by weir_client_send() */
    uint64_t completed;        /**< ended with 0 */
    uint64_t failed;
    uint64_t reused;           /**< calls that went out on a connection that had carried one before */
};
/** Fill `out` (set out->size = sizeof *out first). Engine's thread. */
WEIR_API void weir_client_stats(const struct weir_client *client, struct weir_client_stats *out);

/**
 * End all calls (WEIR_E_SHUTDOWN), close all connections, run engine passes until the kernel has let go of everything,
 * release the client. Not from a callback. @return 0 or the ring's error
 */
WEIR_API WEIR_MUST_USE int weir_client_close(struct weir_client *client);

#ifdef __cplusplus
}
#endif

#endif
