/* SPDX-License-Identifier: MIT */
/**
 * HTTP/1.1 server on an engine. An exchange is one request and its answer.
 *
 * Order of callbacks for one exchange: on_request, then on_body zero or more times, then (once) on_end.
 * Answers may be given at once or at any later time, in any order; on the wire they go out in the order of
 * the requests (RFC 9112 section 9.3.2).
 */
#ifndef WEIR_SERVER_H
#define WEIR_SERVER_H

#include <weir/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_server;
struct weir_server_group;
struct weir_exchange;
struct weir_tls;

/** Limits and timeouts of a server. 0 as a timeout means none. */
struct weir_server_config {
    uint32_t size;
    /** "127.0.0.1:8080", "[::1]:0", ":8080" (all addresses), "unix:/path"; port 0: the kernel picks. Required */
    const char *listen;
    uint32_t backlog;           /**< listen(2). Default 4096 */
    bool reuse_port;            /**< SO_REUSEPORT: several servers share the port. Default false */
    uint32_t conns_max;         /**< connections; at the limit accepting pauses. Default 16384 */
    uint32_t exchanges_max;     /**< requests in progress; at the limit reading pauses. Default 16384 */
    uint32_t pipeline_max;      /**< requests in progress per connection; at the limit reading it pauses. Default 64 */
    uint32_t head_bytes_max;    /**< more is answered 431. 256 ... 65535. Default 16384 */
    uint32_t target_bytes_max;  /**< more is answered 414. Default 8192 */
    uint32_t fields_max;        /**< more is answered 431. 1 ... 1024. Default 100 */
    uint64_t body_bytes_max;    /**< more is answered 413. Default 1 MiB */
    /** from the first byte of a head to its last: 408; also for a TLS handshake: closed. Default 10 s */
    uint64_t head_timeout_ns;
    uint64_t body_timeout_ns;   /**< without progress of a body: 408. Default 30 s */
    uint64_t idle_timeout_ns;   /**< between requests: closed. Default 75 s */
    /** without progress of an answer, or output memory for the one whose turn it is: reset. Default 60 s */
    uint64_t write_timeout_ns;
    uint64_t linger_timeout_ns; /**< how long unread input is drained after an early close. Default 2 s */
    uint64_t linger_bytes_max;  /**< and how much. Default 64 KiB */
    bool date;                  /**< send Date. Default true */
    struct weir_server_group *group; /**< with reuse_port: level connections with the others of it. Default NULL = none */
    /**
     * Let the kernel keep a TCP connection back until its first bytes are there, or for a second (TCP_DEFER_ACCEPT,
     * tcp(7)). That saves a fifth of the CPU time of a connection that carries one request. In that second an idle
     * connection is not counted, and a drain resets it instead of closing it in order. Default false
     */
    bool defer_accept;
    uint32_t lenient;           /**< enum weir_http1_lenient: what else is taken. Default 0, nothing */
    /** speak TLS, with the same for all servers of one port or group. A reference is taken at open. Default NULL = plaintext */
    struct weir_tls *tls;
};
/** Fill `cfg` with the defaults. Use the macro, which passes the size your code was compiled with. */
WEIR_API void weir_server_config_init_size(struct weir_server_config *cfg, uint32_t size);
#define weir_server_config_init(cfg) weir_server_config_init_size((cfg), sizeof(*(cfg)))

/** What the application does with requests. on_request is required; the others may be NULL. */
struct weir_server_handler {
    /** The head is complete. Head accessors are valid until this returns (slices too). */
    void (*on_request)(struct weir_exchange *exchange, void *ctx);
    /**
     * A piece of the body, valid until this returns. Called with last = true exactly once for each request
     * (also for one without a body: then with an empty slice, right after on_request), unless the exchange
     * was answered or ended before; the rest of the body of an answered request is discarded.
     */
    void (*on_body)(struct weir_exchange *exchange, struct weir_slice piece, bool last, void *ctx);
    /** After weir_exchange_respond(), _begin() or a write returned -ENOBUFS: there may be room again. */
    void (*on_writable)(struct weir_exchange *exchange, void *ctx);
    /**
     * The exchange is over and invalid after this returns. Exactly once per on_request. `err` is 0 when the
     * whole answer was handed to the kernel; else why not: WEIR_E_CLOSED, WEIR_E_TRUNCATED, WEIR_E_PROTOCOL,
     * WEIR_E_TIMEOUT, WEIR_E_LIMIT, WEIR_E_SHUTDOWN, WEIR_E_CANCELLED (aborted by the application), or -errno.
     */
    void (*on_end)(struct weir_exchange *exchange, int err, void *ctx);
    /**
     * The client has ended its direction of the connection before it has the whole answer: it is gone, or it only has
     * nothing more to ask (RFC 9112 section 9.6); nobody can tell until bytes are sent to it. The answer may be given all
     * the same, or the exchange aborted. At most once for each exchange.
     */
    void (*on_peer_end)(struct weir_exchange *exchange, void *ctx);
    /**
     * A connection was accepted and nothing of it is read yet; `number` is its own, from 1, on this server or in its
     * group. Return 0 to serve it; how many ns to wait before its requests are looked at (a drain resets it meanwhile);
     * WEIR_ACCEPT_RESET; or WEIR_ACCEPT_CLOSE.
     */
    uint64_t (*on_accept)(struct weir_server *server, uint64_t number, void *ctx);
};
#define WEIR_ACCEPT_RESET UINT64_MAX       /**< from on_accept: reset it */
#define WEIR_ACCEPT_CLOSE (UINT64_MAX - 1) /**< from on_accept: end it in order, without a word */

/** Bytes weir_server_open() will reserve; -EINVAL for a bad field. Pure function, any thread. */
WEIR_API int64_t weir_server_memory_bytes(const struct weir_server_config *cfg);

/**
 * Open the listener and start serving when the engine runs. `cfg`, `handler` are copied; no callbacks run.
 * Errors (weir_error_text() names the cause): -EINVAL a field; -EADDRINUSE, -EACCES, -EADDRNOTAVAIL and other
 * results of bind(2); -ENOMEM; -EMFILE; -ENOBUFS the group is full. On error *out is NULL and nothing is left behind.
 */
WEIR_API WEIR_MUST_USE int weir_server_open(struct weir_server **out, struct weir_engine *engine,
                                            const struct weir_server_config *cfg,
                                            const struct weir_server_handler *handler, void *ctx);

/** The address that is listened on, as text with the real port; valid as long as the server. */
WEIR_API const char *weir_server_address(const struct weir_server *server);

/**
 * Stop accepting; close idle connections; answer what is in progress with Connection: close. At `deadline_ns`
 * (0 = none) what is left is reset. `on_drained` runs once, when no connection is left, never inside this call.
 */
WEIR_API void weir_server_drain(struct weir_server *server, uint64_t deadline_ns,
                                void (*on_drained)(struct weir_server *server, void *ctx));

/**
 * Reset all connections (their exchanges get on_end with WEIR_E_SHUTDOWN), run engine passes until the kernel
 * has let go of everything, release the server. Not from a callback. @return 0 or the ring's error
 */
WEIR_API WEIR_MUST_USE int weir_server_close(struct weir_server *server);

/** Counters since open; `_now` are gauges. */
struct weir_server_stats {
    uint32_t size;
    uint32_t conns_now, exchanges_now;
    uint64_t conns;            /**< accepted and kept, or taken over */
    uint64_t requests;         /**< on_request calls */
    uint64_t responses;        /**< answered completely */
    uint64_t refused;          /**< answered by the server itself: bad requests, limits, timeouts */
    uint64_t aborted;          /**< exchanges that ended with an error */
    uint64_t timeouts;
    uint64_t handed_over;      /**< connections handed to other servers of the group */
    uint64_t taken_over;       /**< connections that others of the group handed over, and that are served here */
    uint64_t turned_away;      /**< connections reset since no server of the group could take them */
};
/** Fill `out` (set out->size = sizeof *out first). Engine's thread. */
WEIR_API void weir_server_stats(const struct weir_server *server, struct weir_server_stats *out);

/* ---- One exchange: reading the request (valid during on_request only) ---------------------------- */

/** The method, case as sent. */
WEIR_API struct weir_slice weir_exchange_method(const struct weir_exchange *exchange);
WEIR_API struct weir_slice weir_exchange_target(const struct weir_exchange *exchange); /**< as sent */
WEIR_API struct weir_slice weir_exchange_path(const struct weir_exchange *exchange);   /**< of the target, without query */
WEIR_API struct weir_slice weir_exchange_query(const struct weir_exchange *exchange);  /**< after '?', empty if none */
/** The authority: of an absolute target, else of Host; empty when HTTP/1.0 sent none. */
WEIR_API struct weir_slice weir_exchange_host(const struct weir_exchange *exchange);
/** First field called `name` (any case); {NULL, 0} if there is none. */
WEIR_API struct weir_slice weir_exchange_header(const struct weir_exchange *exchange, struct weir_slice name);
/** How many fields the head has. */
WEIR_API size_t weir_exchange_headers_count(const struct weir_exchange *exchange);
/** The field number `index` < count, in the order received. */
WEIR_API struct weir_header weir_exchange_header_at(const struct weir_exchange *exchange, size_t index);
/** Declared body bytes; -1 when chunked, 0 when there is none. */
WEIR_API int64_t weir_exchange_body_bytes(const struct weir_exchange *exchange);

/* ---- One exchange: at any time until on_end -------------------------------------------------------- */

WEIR_API void weir_exchange_set_user(struct weir_exchange *exchange, void *user); /**< NULL at first */
/** What weir_exchange_set_user() set. */
WEIR_API void *weir_exchange_user(const struct weir_exchange *exchange);
/** When its head was complete, engine clock. */
WEIR_API uint64_t weir_exchange_start_ns(const struct weir_exchange *exchange);
/** The engine it runs on. */
WEIR_API struct weir_engine *weir_exchange_engine(const struct weir_exchange *exchange);
/**
 * A hint: this exchange is written to soon. With thousands of streams nothing of one is in the cache when its next piece is due;
 * what a write looks at is then fetched while the piece is made. No effect but on speed.
 */
WEIR_API void weir_exchange_prefetch(const struct weir_exchange *exchange);
/** The peer's address as text ("127.0.0.1:4711", "unix"; "?": not known any more), at most `capacity` bytes with NUL.
 * @return out */
WEIR_API const char *weir_exchange_peer(const struct weir_exchange *exchange, char *out, size_t capacity);

/** The number of its connection, as on_accept got it; 0 when the connection is gone. */
WEIR_API uint64_t weir_exchange_conn(const struct weir_exchange *exchange);
/** The 0 or 1 of the request's HTTP/1.0 or HTTP/1.1. */
WEIR_API int weir_exchange_version_minor(const struct weir_exchange *exchange);
/**
 * Does the connection end with this answer whatever the answer says? The client asked for it, HTTP/1.0 without keep-alive,
 * a drain, or a body too long to be read to its end. May become true until the answer is begun.
 */
WEIR_API bool weir_exchange_closes(const struct weir_exchange *exchange);

enum weir_body {
    WEIR_BODY_COPY,  /**< copied before the call returns */
    /** must stay valid and unchanged until on_end; a large one leaves without being copied where the kernel can */
    WEIR_BODY_BORROW
};

struct weir_response {
    uint16_t status;                /**< 200 ... 599 */
    struct weir_slice content_type; /**< empty: no such field */
    const struct weir_header *headers; /**< further fields; not Content-Length, Transfer-Encoding, Connection, Date */
    size_t headers_count;
    struct weir_slice body;
    enum weir_body how;             /**< default (0): copied */
    bool close;                     /**< close the connection after this answer */
};

/**
 * Give the whole answer. Content-Length, Date and Connection are added; for HEAD, 204 and 304 the body is not sent.
 * May be called from on_request or any later callback of the engine. on_end follows later, never inside this call.
 * Errors: -EINVAL a bad status or header, or a copied body beyond send_bytes_max (nothing was sent, answer again);
 *         -EALREADY it is answered or begun;
 *         -ENOBUFS no output memory (engine's send_bytes_max): answer at on_writable; -EPIPE the connection is going away:
 *         on_end follows.
 */
WEIR_API WEIR_MUST_USE int weir_exchange_respond(struct weir_exchange *exchange,
                                                 const struct weir_response *response);

/**
 * Begin a streamed answer: chunked towards HTTP/1.1, until close towards HTTP/1.0. `response->body` must be
 * empty. Errors as weir_exchange_respond().
 */
WEIR_API WEIR_MUST_USE int weir_exchange_begin(struct weir_exchange *exchange,
                                               const struct weir_response *response);
/**
 * Send a piece (copied). Pieces written in one pass leave in one send. Empty pieces are allowed and send nothing.
 * Errors: -EINVAL not begun, finished, or more than the engine's send_bytes_max;
 *         -ENOBUFS the peer reads too slowly or output memory is short: nothing taken, wait for on_writable;
 *         -EPIPE on_end follows.
 */
WEIR_API WEIR_MUST_USE int weir_exchange_write(struct weir_exchange *exchange, struct weir_slice piece);
#define WEIR_PIECE_SPACE 12
/** A part of a streamed answer in the caller's memory. */
struct weir_piece {
    struct weir_slice data; /**< not empty; valid and unchanged until on_free */
    /**
     * The memory, and the piece, are the caller's again: from a later step of the engine, exactly once, maybe after
     * on_end. `err` is 0 when the kernel has taken (and, where it did not copy, the peer acknowledged) all of it, else
     * WEIR_E_CLOSED. May write the next piece. Required */
    void (*on_free)(struct weir_piece *piece, int err);
    void *user;                       /**< the caller's */
    uint64_t space[WEIR_PIECE_SPACE]; /* private */
};
/**
 * Send a piece without copying it: of any length, so that a body of any size is sent from the caller's memory. Large ones
 * leave by zero-copy sends where the kernel really does not copy (it reports); see weir_engine_register().
 * Errors as weir_exchange_write(): then on_free does not run; -EINVAL also for an empty piece, one without on_free, and
 * in an answer that has no body (HEAD, 204, 304).
 */
WEIR_API WEIR_MUST_USE int weir_exchange_write_piece(struct weir_exchange *exchange, struct weir_piece *piece);
/** End a streamed answer. Errors as weir_exchange_write(). */
WEIR_API WEIR_MUST_USE int weir_exchange_finish(struct weir_exchange *exchange);

/**
 * Begin an answer whose bytes are the caller's own, head and framing included: what weir_exchange_write() takes from now on
 * is sent as it is, when it is this exchange's turn. For servers that test clients: nothing is checked. After
 * weir_exchange_finish() the connection goes on unless weir_exchange_closes(); weir_exchange_abort() but for WEIR_ABORT_RST,
 * and weir_exchange_shutdown(), wait for the exchange's turn. Errors: -EALREADY; -EPIPE: on_end follows.
 */
WEIR_API WEIR_MUST_USE int weir_exchange_begin_raw(struct weir_exchange *exchange);

enum weir_abort {
    WEIR_ABORT_FIN, /**< what was queued is sent, then the connection ends: a truncated answer */
    WEIR_ABORT_RST, /**< reset at once */
    /** what was queued is given to the kernel, then reset: what the kernel has not transmitted by then is lost */
    WEIR_ABORT_RST_SENT
};
/** Give up the exchange and its connection. on_end (WEIR_E_CANCELLED) follows, never inside this call. */
WEIR_API void weir_exchange_abort(struct weir_exchange *exchange, enum weir_abort how);
/**
 * Give it up by half: what was queued is sent, then the server's direction ends (shutdown(2), SHUT_WR), and the connection
 * stays until the client ends it, a drain's deadline, or weir_exchange_abort(), which then ends it at once. on_end
 * (WEIR_E_CANCELLED) follows when it is gone.
 */
WEIR_API void weir_exchange_shutdown(struct weir_exchange *exchange);

#ifdef __cplusplus
}
#endif

#endif
