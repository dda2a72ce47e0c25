/* SPDX-License-Identifier: MIT */
/**
 * HTTP/1.1 client on an engine: calls to one service, over a bounded pool of connections to its endpoints.
 *
 * A call goes out on the connection that was used last, else on a new one, else it waits its turn, first come first
 * served. It ends exactly once, and every limit it can meet has its own error. An endpoint is one address text; several
 * are servers that are equal: each call goes to the less loaded of two that are picked at random, and one that fails
 * again and again gets none for a while.
 */
#ifndef WEIR_CLIENT_H
#define WEIR_CLIENT_H

#include <weir/engine.h>
#include <weir/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_client;
struct weir_call;
struct weir_hist;
struct weir_sse_event;
struct weir_sse_reader;
struct weir_tls;

/** Endpoints of a client, at most. */
#define WEIR_ENDPOINTS_MAX 64

/** When a call is sent once more after its response said "not now" or its connection broke. */
struct weir_retry_policy {
    /**
     * times a call is sent at most, 1 ... 16. Default 1: no retries. Besides them, a request that met a connection which
     * the server had just closed is sent once more when that is safe: see weir_client_send() */
    uint32_t attempts_max;
    uint64_t backoff_ns;     /**< the wait before retry n is random, up to backoff_ns * 2^(n - 1) ... Default 25 ms */
    uint64_t backoff_max_ns; /**< ... and up to this. Default 250 ms */
    /** retries are at most this share of the calls, so that an outage is not made worse. 0 ... 100. Default 20 */
    uint32_t budget_percent;
    uint32_t budget_min;     /**< and this many are granted at first, whatever the share. 0 ... 1000. Default 3 */
    bool no_replay;          /**< not even what met a connection that had just been closed is sent again. Default false */
};

/** Limits and timeouts of a client. 0 as a timeout means none. */
struct weir_client_config {
    uint32_t size;
    /** "http://127.0.0.1:8080", "https://name", "http://[::1]:80", "http+unix://%2Fpath", "unix:/path". Required, or endpoints */
    const char *endpoint;
    const char *const *endpoints; /**< instead of it: several servers of one service, 1 ... WEIR_ENDPOINTS_MAX */
    uint32_t endpoints_count;
    /* the pool */
    uint32_t conns_max;           /**< connections in total, those that are being made included. Default 100 */
    uint32_t endpoint_conns_max;  /**< and to one endpoint; 0: no limit of its own (default) */
    uint32_t conns_min;           /**< kept for each endpoint from the first call on, within its share of conns_max. Default 10 */
    uint32_t pipeline_max;        /**< requests in flight per connection; 1 = no pipelining (default) */
    uint32_t waiting_max;         /**< calls that may wait for a connection: WEIR_E_QUEUE_FULL. Default 65536 */
    uint64_t waiting_timeout_ns;  /**< and how long: WEIR_E_QUEUE_TIMEOUT. Default 0 */
    uint32_t pending_max;         /**< calls in progress, waiting ones included: WEIR_E_OVERLOAD. 0: no limit (default) */
    uint64_t connect_timeout_ns;  /**< to resolve, and again to connect and agree on TLS. Default 5 s */
    /** unused connections above conns_min are closed; any, a second before the server said that it will. Default 5 min */
    uint64_t idle_timeout_ns;
    uint64_t age_max_ns;          /**< older connections take no more calls; 10 % more or less, at random. Default 10 min */
    uint64_t drain_bytes_max;     /**< rest of an unwanted response that is read to keep its connection. Default 64 KiB */
    /* calls */
    uint64_t timeout_ns;          /**< from weir_client_send(), for calls without a deadline of their own. Default 0 */
    uint32_t head_bytes_max;      /**< response heads over this fail with WEIR_E_LIMIT. Default 16384 */
    uint32_t fields_max;          /**< likewise. Default 100 */
    uint32_t lenient;             /**< enum weir_http1_lenient: what else is taken. Default 0, nothing */
    /** of a body that is decoded (request.decode), which takes 64 KiB of heap meanwhile: WEIR_E_LIMIT. Default 1 GiB */
    uint64_t decoded_bytes_max;
    struct weir_retry_policy retry;
    /* endpoints */
    const char *dns_servers;      /**< "127.0.0.1:53,[::1]:53"; NULL: the system's (default) */
    uint64_t dns_ttl_max_ns;      /**< addresses are asked for again after their TTL, at most after this. Default 5 min */
    uint64_t stagger_ns;          /**< between attempts to the addresses of one name (RFC 8305). Default 250 ms */
    uint32_t eject_failures;      /**< failures in a row that put an endpoint out; 0: never. Default 5 */
    uint64_t eject_ns;            /**< for how long, times how often it happened. Default 30 s */
    uint64_t eject_max_ns;        /**< at most. Default 300 s */
    const char *health_target;    /**< asked of every endpoint by GET; 2xx is healthy. NULL: not (default) */
    uint64_t health_interval_ns;  /**< 10 % more or less, at random. Default 30 s */
    uint64_t health_timeout_ns;   /**< for its answer. Default 2 s */
    struct weir_tls *tls;         /**< for https; NULL: the system's certificates, verified. A reference is taken at open */
    const char *tls_name;         /**< whom the certificates must be for, and SNI; NULL: the endpoint's host (default) */
    uint64_t seed;                /**< of all that is random; 0: one that the system gives (default) */
};
/** Fill `cfg` with the defaults; texts need to stay until weir_client_open() returns. Use the macro, which passes the size
 *  your code was compiled with. */
WEIR_API void weir_client_config_init_size(struct weir_client_config *cfg, uint32_t size);
#define weir_client_config_init(cfg) weir_client_config_init_size((cfg), sizeof(*(cfg)))

/** As the length of a request's body: not known before its end. */
#define WEIR_LENGTH_UNKNOWN UINT64_MAX
/** What a source's `read` returns when there is no more. */
#define WEIR_SOURCE_END (-4999)

/** A request's body that is made piece by piece while it is sent. */
struct weir_body_source {
    /**
     * Write up to `capacity` bytes to `out`. Called when there is room for them, so the peer sets the pace.
     * @return how many; 0: none yet, weir_call_produce() when there are; WEIR_SOURCE_END; another negative result: the
     *         call ends with it and its connection is closed
     */
    int64_t (*read)(struct weir_call *call, uint8_t *out, size_t capacity);
    /** From the start again, for another attempt. @return 0, or negative: it cannot. NULL: it cannot */
    int (*rewind)(struct weir_call *call);
    /** all of it, sent as Content-Length (-EPROTO when it ends before); or WEIR_LENGTH_UNKNOWN: sent in chunks */
    uint64_t bytes;
};

struct weir_request {
    struct weir_slice method;
    struct weir_slice target;          /**< "/path?query" */
    struct weir_slice host;            /**< value of Host; empty: the endpoint's authority */
    const struct weir_header *headers; /**< not Host, Content-Length, Transfer-Encoding, Connection */
    size_t headers_count;
    struct weir_slice body;            /**< sent with Content-Length; empty and no body_always: none is sent */
    bool body_always;                  /**< send Content-Length: 0 for an empty body */
    bool idempotent;                   /**< sending it twice does what once does, whatever its method */
    bool decode;                       /**< ask for gzip or deflate (with an Accept-Encoding of its own), and decode it */
    const struct weir_body_source *source; /**< the body instead of `body`; NULL: none */
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
    /** The final head, not 1xx, and not that of a response that a retry follows. */
    void (*on_head)(struct weir_call *call, const struct weir_response_head *head);
    void (*on_body)(struct weir_call *call, struct weir_slice piece); /**< as it arrives; valid until it returns */
    /** An event of a text/event-stream, when call->sse is set; instead of on_body. Valid until it returns. */
    void (*on_event)(struct weir_call *call, const struct weir_sse_event *event);
    /**
     * Exactly once per weir_client_send() that returned 0 (and per weir_client_submit()); the call is the caller's again
     * and may be sent again from here. err: 0, whatever the status was; WEIR_E_RESOLVE, WEIR_E_CONNECT,
     * WEIR_E_CONNECT_TIMEOUT, WEIR_E_TLS or WEIR_E_CERTIFICATE (no connection, or TLS broke; timing.os_err has the errno where
     * there is one, weir_error_text() the reason while on_end runs); WEIR_E_QUEUE_TIMEOUT; WEIR_E_CLOSED (the connection ended
     * before any byte of the response); WEIR_E_TRUNCATED (after some); WEIR_E_PROTOCOL; WEIR_E_LIMIT; WEIR_E_ENCODING (broken,
     * or a coding that was not asked for); WEIR_E_DEADLINE; WEIR_E_CANCELLED; WEIR_E_SHUTDOWN; what the source returned;
     * -ECONNRESET and other -errno; of weir_client_submit() also what weir_client_send() returns.
     */
    void (*on_end)(struct weir_call *call, int err);
};

/** What happened when, engine clock; 0 = did not happen. Of the last attempt, but for start_ns, retries and replayed. */
struct weir_call_timing {
    uint64_t start_ns;      /**< weir_client_send() */
    uint64_t sent_ns;       /**< given to a connection: the pass that hands it to the kernel. Before it, it waited */
    uint64_t first_byte_ns; /**< first byte of the response */
    uint64_t last_byte_ns;  /**< last piece of the body */
    uint64_t end_ns;        /**< on_end */
    uint64_t dns_ns;        /**< how long it took to resolve, when the call was the first of its connection */
    uint64_t connect_ns;    /**< ... to connect */
    uint64_t tls_ns;        /**< ... to agree on TLS */
    uint64_t gap_max_ns;    /**< longest time between two pieces of the body */
    uint64_t pieces;        /**< of the body, as they arrived */
    uint64_t body_bytes;    /**< payload received, as it was coded */
    uint64_t request_bytes; /**< of the request, with its head */
    int os_err;             /**< -errno behind a connection failure, or 0 */
    uint16_t retries;       /**< times it was sent again by the rules of weir_retry_policy */
    uint8_t endpoint;       /**< number of the endpoint that answered */
    bool replayed;          /**< sent again because its connection turned out to be closed */
    bool reused;            /**< went out on a connection that had carried a request before */
};

/**
 * One request and its response. The caller's memory: zero it, set `request`, `handler`, `ctx` (and deadline_ns), send it,
 * leave it in place until on_end. What `request` points to must stay valid and unchanged until then.
 */
struct weir_call {
    struct weir_request request;
    uint64_t deadline_ns; /**< engine clock, absolute, for all of it; 0 = the client's timeout_ns */
    const struct weir_call_handler *handler;
    void *ctx;
    struct weir_sse_reader *sse;  /**< set up with weir_sse_init(): a text/event-stream is read by it; NULL: not */
    struct weir_hist *gaps;       /**< times between the pieces of the body are recorded there, ns; NULL: not */
    struct weir_call_timing timing;
    uint16_t status;              /**< of the response, from on_head on */
    /* private */
    uint8_t state, attempts, replays;
    uint16_t flags;
    int err;
    uint64_t until_ns, limit_ns, end_at, fed, failed_at;
    struct weir_call *next, *prev;
    void *owner;
    struct weir_client *client;
    struct weir_timer timer;
    struct weir_task task;
    void *space[8];
};

/** Bytes weir_client_open() will reserve; -EINVAL for a bad field. Pure function, any thread. */
WEIR_API int64_t weir_client_memory_bytes(const struct weir_client_config *cfg);

/**
 * Open a client. No callbacks, no connections, no look-ups yet; the system's resolver configuration is read when an
 * endpoint has a name.
 * Errors (weir_error_text() tells): -EINVAL a field; WEIR_E_URL; WEIR_E_TLS the certificates of the system;
 * WEIR_E_RESOLVE its resolver configuration; -ENOMEM.
 */
WEIR_API WEIR_MUST_USE int weir_client_open(struct weir_client **out, struct weir_engine *engine,
                                            const struct weir_client_config *cfg);

/**
 * Start a call on the engine's thread: on a free connection, a new one, or in the wait queue (first come first served).
 *
 * Sent once more, without being asked and on a new connection if one can be made, is a call that met a connection which
 * carried a request before and ended before any byte of the response, when nothing of it was given to the kernel or it is
 * idempotent (RFC 9110 section 9.2.2: GET, HEAD, OPTIONS, TRACE, PUT, DELETE, or a field Idempotency-Key, or
 * request.idempotent), and its body can be sent again.
 *
 * Errors: -EINVAL the request cannot be sent (bad method, target, header; weir_error_text() tells) or has no handler;
 *         -ENOBUFS no output memory (engine's send_bytes_max): send it later; WEIR_E_QUEUE_FULL; WEIR_E_OVERLOAD;
 *         WEIR_E_SHUTDOWN. On error on_end does not run.
 */
WEIR_API WEIR_MUST_USE int weir_client_send(struct weir_client *client, struct weir_call *call);

/**
 * The same from any thread: the call is sent on the engine's thread, and what weir_client_send() would return there is
 * given to on_end. Calls of one thread are sent in the order submitted. The client must be open until on_end.
 */
WEIR_API void weir_client_submit(struct weir_client *client, struct weir_call *call);

/**
 * End a call that was sent; on_end (WEIR_E_CANCELLED) follows, never inside this function. A connection that its request
 * is on is kept if the request was sent whole, nothing else is in flight on it and the rest of the response is short
 * (drain_bytes_max) and comes soon; else it is closed. Engine's thread; no effect on a call that is not in progress.
 */
WEIR_API void weir_call_cancel(struct weir_call *call);

/**
 * Hand out no more of the response until weir_call_resume(): the peer is held up, in the end. What was on its way is kept:
 * at most 64 receive buffers of the engine, 256 KiB by default. Others behind it on the same connection (pipeline_max)
 * wait too, its deadline goes on. From its callbacks, too; also before it is in flight. Engine's thread.
 */
WEIR_API void weir_call_pause(struct weir_call *call);
/** Go on handing out the response; no effect on a call that is not paused. Engine's thread. */
WEIR_API void weir_call_resume(struct weir_call *call);
/** The source of the call's request body has bytes again, after its `read` returned 0. Engine's thread. */
WEIR_API void weir_call_produce(struct weir_call *call);

/** Counters since open; `_now` are gauges. The reuse rate is reused / sent. */
struct weir_client_stats {
    uint32_t size;
    uint32_t conns_now, waiting_now, in_flight_now;
    uint64_t conns;            /**< connections made */
    uint64_t connect_failures;
    uint64_t calls;            /**< accepted by weir_client_send() */
    uint64_t completed;        /**< ended with 0 */
    uint64_t failed;
    uint64_t reused;           /**< requests that went out on a connection that had carried one before */
    uint64_t sent;             /**< requests given to connections, retries and replays included */
    uint64_t retries;          /**< by the rules of weir_retry_policy */
    uint64_t retries_refused;  /**< because the budget was spent */
    uint64_t replays;          /**< because the connection turned out to be closed */
    uint64_t closed_idle;      /**< connections that were unused too long */
    uint64_t closed_aged;      /**< that were too old */
    uint64_t closed_by_peer;   /**< that the server closed while nothing was in flight */
    uint64_t drained;          /**< kept although their call was given up */
    uint64_t lookups;          /**< names resolved */
    uint64_t tls_resumed;      /**< TLS sessions taken up again */
    uint64_t health_checks, health_failures;
    uint64_t ejections;        /**< endpoints put out */
    uint64_t queue_timeouts;   /**< calls ended with WEIR_E_QUEUE_TIMEOUT */
    uint64_t refused;          /**< calls not accepted: WEIR_E_QUEUE_FULL, WEIR_E_OVERLOAD */
    uint32_t connecting_now, idle_now;
    uint32_t ejected_now;      /**< endpoints out of service */
};
/** Fill `out` (set out->size = sizeof *out first). Engine's thread. */
WEIR_API void weir_client_stats(const struct weir_client *client, struct weir_client_stats *out);

/** One endpoint, since open; `_now` are gauges. */
struct weir_endpoint_stats {
    uint32_t size;
    uint32_t conns_now, in_flight_now, addresses_now;
    uint64_t sent, failures, ejections;
    bool ejected;              /**< gets no calls now */
    bool healthy;              /**< as the last health check says; true when there was none */
};
/** Fill `out` (set out->size first) for the endpoint number `index` < endpoints_count. Engine's thread. */
WEIR_API void weir_client_endpoint_stats(const struct weir_client *client, uint32_t index,
                                         struct weir_endpoint_stats *out);

/**
 * End all calls (WEIR_E_SHUTDOWN), close all connections, run engine passes until the kernel has let go of everything,
 * release the client. Not from a callback. @return 0 or the ring's error
 */
WEIR_API WEIR_MUST_USE int weir_client_close(struct weir_client *client);

#ifdef __cplusplus
}
#endif

#endif
