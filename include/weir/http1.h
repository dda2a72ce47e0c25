/* SPDX-License-Identifier: MIT */
/**
 * The HTTP/1.1 codec (RFC 9112): heads, bodies and a writer over the caller's memory.
 *
 * Usable without an engine. No I/O, no clock, no allocation, no callbacks, no global state: every
 * function may be called from any thread on its own objects.
 */
#ifndef WEIR_HTTP1_H
#define WEIR_HTTP1_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Heads are addressed by 16-bit offsets: no head is longer. */
#define WEIR_HTTP1_HEAD_BYTES_MAX 65535

enum weir_parse {
    WEIR_PARSE_MORE = 0,  /**< valid so far; call again with more bytes */
    WEIR_PARSE_DONE = 1,  /**< complete */
    WEIR_PARSE_ERROR = -1 /**< refused; see struct weir_parse_err */
};

/* name, status a server answers, text */
#define WEIR_HTTP1_ERRORS(XX)                                                                      \
    XX(NONE, 0, "no error")                                                                        \
    XX(START_LINE, 400, "malformed start line")                                                    \
    XX(METHOD, 400, "malformed method")                                                            \
    XX(METHOD_TOO_LONG, 501, "method too long")                                                    \
    XX(TARGET, 400, "malformed request target")                                                    \
    XX(TARGET_TOO_LONG, 414, "request target too long")                                            \
    XX(VERSION, 400, "malformed HTTP version")                                                     \
    XX(VERSION_UNSUPPORTED, 505, "HTTP version not supported")                                     \
    XX(STATUS, 400, "malformed status code")                                                       \
    XX(FIELD_NAME, 400, "malformed field name")                                                    \
    XX(FIELD_VALUE, 400, "forbidden byte in field value")                                          \
    XX(FIELD_SPACE, 400, "whitespace around field name")                                           \
    XX(OBS_FOLD, 400, "folded field line")                                                         \
    XX(BARE_LF, 400, "line feed without carriage return")                                          \
    XX(BARE_CR, 400, "carriage return without line feed")                                          \
    XX(FIELDS_TOO_MANY, 431, "too many fields")                                                    \
    XX(HEAD_TOO_LONG, 431, "head too long")                                                        \
    XX(HOST, 400, "missing, repeated or malformed Host")                                           \
    XX(CONTENT_LENGTH, 400, "malformed or conflicting Content-Length")                             \
    XX(CONTENT_LENGTH_AND_TE, 400, "both Content-Length and Transfer-Encoding")                    \
    XX(TRANSFER_ENCODING, 400, "malformed Transfer-Encoding")                                      \
    XX(TRANSFER_CODING_UNKNOWN, 501, "transfer coding not implemented")                            \
    XX(EXPECT, 417, "unknown expectation")                                                         \
    XX(CHUNK_SIZE, 400, "malformed or too large chunk size")                                       \
    XX(CHUNK_EXT, 400, "malformed or too long chunk extension")                                    \
    XX(CHUNK_END, 400, "chunk data not followed by CRLF")                                          \
    XX(TRAILER, 400, "malformed or too long trailer")

enum weir_http1_error {
#define XX(name, status, text) WEIR_HTTP1_E_##name,
    WEIR_HTTP1_ERRORS(XX)
#undef XX
    WEIR_HTTP1_E_COUNT
};

/** What was refused and where: `offset` counts from the first byte of the head (or of this feed, for bodies). */
struct weir_parse_err {
    enum weir_http1_error code;
    uint32_t offset;
};

/** The text of an error code. Static memory. */
WEIR_API const char *weir_http1_strerror(enum weir_http1_error code);
/** The status a server answers it with. */
WEIR_API uint16_t weir_http1_error_status(enum weir_http1_error code);

/** One field line of a parsed head, as offsets into it: see weir_http1_name(), weir_http1_value(). */
struct weir_http1_field {
    uint16_t name_at, name_len, value_at, value_len;
};

/** How the body is delimited (RFC 9112 section 6.3). */
enum weir_http1_framing {
    WEIR_HTTP1_BODY_NONE,
    WEIR_HTTP1_BODY_LENGTH,
    WEIR_HTTP1_BODY_CHUNKED,
    WEIR_HTTP1_BODY_EOF /**< responses only: until the connection ends */
};

/**
 * What else may be taken, a bit set: 0, the default, is the strict side of every choice RFC 9112 leaves. docs/http1.md has
 * the rules and who needs an exception. Where a peer on the way reads a message in another way, each is a way to smuggle.
 */
enum weir_http1_lenient {
    WEIR_HTTP1_LENIENT_LENGTH_AND_TE = 1 << 0,     /**< both: chunked counts, the connection ends (RFC 9112 section 6.3) */
    WEIR_HTTP1_LENIENT_TE_IN_1_0 = 1 << 1,         /**< Transfer-Encoding in HTTP/1.0: it counts, the connection ends */
    WEIR_HTTP1_LENIENT_TE_EMPTY_ELEMENT = 1 << 2,  /**< empty elements in Transfer-Encoding (RFC 9110 section 5.6.1.2) */
    WEIR_HTTP1_LENIENT_REPEATED_LENGTH = 1 << 3,   /**< the same Content-Length twice in a request; responses may always */
    WEIR_HTTP1_LENIENT_CHUNK_BLANKS = 1 << 4,      /**< blanks behind a chunk size, as old servers pad it */
    WEIR_HTTP1_LENIENT_CHUNK_BARE_LF = 1 << 5,     /**< LF alone ends the lines of the chunked coding */
    WEIR_HTTP1_LENIENT_BARE_LF = 1 << 6,           /**< LF alone ends lines of a head (RFC 9112 section 2.2) */
    WEIR_HTTP1_LENIENT_SPACE_BEFORE_COLON = 1 << 7, /**< in responses: it is cut off (RFC 9112 section 5.1) */
    WEIR_HTTP1_LENIENT_OBS_FOLD = 1 << 8,          /**< folded values, as received: weir_http1_unfold() (RFC 9112 section 5.2) */
    WEIR_HTTP1_LENIENT_TARGET_BYTES = 1 << 9,      /**< bytes from 0x80 on in a target */
    WEIR_HTTP1_LENIENT_EMPTY_HOST = 1 << 10,       /**< an empty Host in a request */
};
/** All of them: other bits mean nothing and are refused where a configuration is checked. */
#define WEIR_HTTP1_LENIENT_ALL ((UINT32_C(1) << 11) - 1)

/** Bounds of the head parser. */
struct weir_http1_limits {
    uint32_t head_bytes_max;   /**< 64 ... WEIR_HTTP1_HEAD_BYTES_MAX, start line and final CRLF included */
    uint32_t target_bytes_max; /**< RFC 9112 section 3 asks for at least 8000 */
    uint16_t fields_max;       /**< and the length of the array in struct weir_http1_head */
    uint32_t lenient;          /**< enum weir_http1_lenient */
};

/**
 * A parsed head. The caller sets `fields` (an array of limits.fields_max) once; the parser fills the rest.
 * Everything refers to the bytes that were parsed, so they must stay in place while it is read.
 */
struct weir_http1_head {
    const uint8_t *base;              /**< first byte of the head (leading empty lines skipped) */
    uint32_t bytes;                   /**< bytes consumed, leading empty lines and final CRLF included */
    uint16_t fields_count;
    uint16_t status;                  /**< responses */
    uint8_t version_minor;            /**< 0 or 1 */
    bool keep_alive;                  /**< the connection may be used again after this message */
    bool expect_continue;             /**< requests: Expect: 100-continue (HTTP/1.1 only) */
    bool upgrade;                     /**< an Upgrade field and Connection: upgrade are present */
    enum weir_http1_framing framing;
    uint64_t content_length;          /**< BODY_LENGTH; also what a bodyless answer (HEAD, 304) declared */
    bool has_content_length;
    struct weir_slice method;         /**< requests */
    struct weir_slice target;         /**< requests: as sent */
    struct weir_slice host;           /**< requests: the authority; of an absolute target, else of Host */
    struct weir_slice reason;         /**< responses; may be empty */
    struct weir_http1_field *fields;
};

/** The name of the field number `index` < head->fields_count, as it was sent. */
static inline struct weir_slice weir_http1_name(const struct weir_http1_head *head, unsigned index)
{
    const struct weir_http1_field *f = &head->fields[index];
    struct weir_slice s = { head->base + f->name_at, f->name_len };
    return s;
}

/** The value of that field, without the blanks around it; may be empty. */
static inline struct weir_slice weir_http1_value(const struct weir_http1_head *head, unsigned index)
{
    const struct weir_http1_field *f = &head->fields[index];
    struct weir_slice s = { head->base + f->value_at, f->value_len };
    return s;
}

/**
 * The value of the first field called `name` (compared without case); {NULL, 0} when there is none,
 * {non-NULL, 0} when it is empty.
 */
WEIR_API struct weir_slice weir_http1_find(const struct weir_http1_head *head, struct weir_slice name);

/**
 * Parse a request head at the start of `bytes`.
 *
 * Streaming: on MORE, call again with the same bytes followed by more (they may have moved); `*resume`,
 * 0 at first, remembers what was scanned, so that the total work is linear however the bytes arrive.
 * On DONE head->bytes were consumed; what follows is body or the next request. On ERROR nothing of the
 * connection can be trusted any more: answer weir_http1_error_status(err->code) and close.
 * A head longer than limits->head_bytes_max is an error as soon as that is known.
 * Up to 8 empty lines before the request line are skipped (RFC 9112 section 2.2).
 */
WEIR_API enum weir_parse weir_http1_parse_request(struct weir_http1_head *head,
                                                  const struct weir_http1_limits *limits,
                                                  struct weir_slice bytes, uint32_t *resume,
                                                  struct weir_parse_err *err);

/**
 * The same for a response head. `request_method` is the method that is answered: it decides the framing
 * (HEAD and CONNECT, RFC 9112 section 6.3). Interim (1xx) responses are returned like any other.
 */
WEIR_API enum weir_parse weir_http1_parse_response(struct weir_http1_head *head,
                                                   const struct weir_http1_limits *limits,
                                                   struct weir_slice request_method,
                                                   struct weir_slice bytes, uint32_t *resume,
                                                   struct weir_parse_err *err);

/**
 * The name of the instructions the head parsers use, "avx2", "sse42", "neon" or "scalar": the widest this CPU has, unless
 * the environment variable WEIR_SIMD named another when the first head was parsed. For the records of measurements.
 */
WEIR_API const char *weir_http1_simd(void);

/**
 * The folded value `value` (WEIR_HTTP1_LENIENT_OBS_FOLD) on one line: each line break with the blanks around it becomes
 * one SP. At most value.len bytes are written, also into the value itself. @return bytes written; -ENOBUFS
 */
WEIR_API WEIR_MUST_USE int64_t weir_http1_unfold(uint8_t *out, size_t capacity, struct weir_slice value);

/** Decoder of one body. Private members; weir_http1_body_init() sets it up. */
struct weir_http1_body {
    uint64_t remaining;     /* bytes left of the body or of the current chunk */
    uint64_t decoded_bytes; /* payload handed out so far */
    uint32_t flags;         /* of weir_http1_body_init_with() */
    uint16_t line_bytes;    /* of the current size line so far */
    uint16_t ext_bytes;     /* of the extensions of all chunks so far */
    uint16_t excess_bytes;  /* of framing so far: WEIR_HTTP1_CHUNK_FRAMING_BYTES_MAX */
    uint16_t trailer_bytes; /* so far */
    uint8_t trailers_count; /* so far */
    uint8_t framing;        /* enum weir_http1_framing */
    uint8_t state;
    uint8_t code;           /* enum weir_http1_error, once refused */
};

/** Most bytes of chunk extensions that one body may carry, the blanks around them included; more is CHUNK_EXT. */
#define WEIR_HTTP1_CHUNK_EXT_BYTES_MAX 16384

/**
 * How much framing is too much (CHUNK_SIZE): the framing of a chunk is its size line and the two bytes behind its data,
 * WEIR_HTTP1_CHUNK_FRAMING_PER_BYTE bytes of it are free for each byte of data, and of what exceeds that one body may
 * carry WEIR_HTTP1_CHUNK_FRAMING_BYTES_MAX. So all chunks but the last take never more than 17 times the payload and
 * 16 KiB. The plainest chunk of one byte has 5 bytes of framing, one whose size is padded to 8 digits 12: any number of
 * those passes.
 */
#define WEIR_HTTP1_CHUNK_FRAMING_PER_BYTE  16
#define WEIR_HTTP1_CHUNK_FRAMING_BYTES_MAX 16384

/** Most bytes of trailers, line ends included, and most trailers that one body may carry; more is TRAILER. */
#define WEIR_HTTP1_TRAILER_BYTES_MAX 16384
#define WEIR_HTTP1_TRAILERS_MAX      128

/** Begin a body; the framing and length are those of its head. Strict: see enum weir_http1_lenient. */
WEIR_API void weir_http1_body_init(struct weir_http1_body *body, enum weir_http1_framing framing,
                                   uint64_t content_length);

/**
 * A chunked body is DONE right behind the line of its last chunk; its trailers, at the least the empty line that ends
 * them, are left for weir_http1_parse_trailers(). Other bodies have none.
 */
#define WEIR_HTTP1_BODY_STOP_AT_TRAILERS (UINT32_C(1) << 31)

/**
 * The same with flags: any of enum weir_http1_lenient, of which only CHUNK_BLANKS and CHUNK_BARE_LF mean something to a
 * body, and WEIR_HTTP1_BODY_STOP_AT_TRAILERS.
 */
WEIR_API void weir_http1_body_init_with(struct weir_http1_body *body, enum weir_http1_framing framing,
                                        uint64_t content_length, uint32_t flags);

/**
 * Decode the next piece of a body.
 *
 * Consumes `*consumed` bytes of `in` and yields at most one slice of payload in `*out` (a view into
 * `in`, possibly empty). MORE: call again with what follows the consumed bytes; when *consumed equals
 * in.len, more input is needed. DONE: the body is complete; bytes after *consumed belong to the next
 * message. `*out` can hold payload on DONE too, and does when the end of the body lies in `in` with its
 * last payload, in the form of WEIR_HTTP1_LAST_CHUNK. BODY_EOF never becomes DONE: the end is the connection's.
 *
 * What is decoded and refused does not depend on how the bytes were cut; which slices it comes in does. Payload before
 * a wrong byte is handed out first. ERROR is final: *consumed bytes were good, err->offset says the same.
 *
 * Chunk extensions and trailers are checked and dropped, whatever they say: no Content-Length, Transfer-Encoding, Host
 * or Connection of a trailer is ever used.
 */
WEIR_API enum weir_parse weir_http1_body_feed(struct weir_http1_body *body, struct weir_slice in,
                                              size_t *consumed, struct weir_slice *out,
                                              struct weir_parse_err *err);

/**
 * Parse the trailers behind the last chunk of a body with WEIR_HTTP1_BODY_STOP_AT_TRAILERS, into head->fields: read them
 * with weir_http1_name(), weir_http1_value(), weir_http1_find(). The rest of *head is cleared, so use one of its own.
 *
 * Streaming as weir_http1_parse_request(): on MORE, call again with the same bytes followed by more; `*resume` is 0 at
 * first. On DONE head->bytes were consumed, the empty line included; what follows is the next message. Of `limits`,
 * head_bytes_max (HEAD_TOO_LONG) and fields_max (FIELDS_TOO_MANY) bound the trailers, and of its `lenient` only
 * CHUNK_BARE_LF counts.
 *
 * Content-Length, Transfer-Encoding, Host and Trailer are refused (TRAILER): they would change how a message is framed
 * or routed, and a peer that merges trailers into its head would act on them. All others are handed over as they came.
 * RFC 9110 section 6.5.1 forbids more of them, which are therefore not to be acted on: those that modify requests (Expect,
 * Range, If-Match and its like, Max-Forwards, Cache-Control, TE), that authenticate (Authorization, Proxy-Authorization,
 * WWW-Authenticate, Proxy-Authenticate, Cookie, Set-Cookie), that control responses (Age, Date, Expires, Location,
 * Retry-After, Vary) and connections (Connection, Upgrade), and that say how content is processed (Content-Encoding,
 * Content-Type, Content-Range).
 */
WEIR_API enum weir_parse weir_http1_parse_trailers(struct weir_http1_head *head,
                                                   const struct weir_http1_limits *limits,
                                                   struct weir_slice bytes, uint32_t *resume,
                                                   struct weir_parse_err *err);

/* ---- Writer ------------------------------------------------------------------------------------- */

/** Is `s` a token (RFC 9110 section 5.6.2), so usable as a method or field name? */
WEIR_API bool weir_http1_is_token(struct weir_slice s);

/** May `s` be sent as a field value: no CR, LF, NUL or other control byte but HTAB? */
WEIR_API bool weir_http1_is_field_value(struct weir_slice s);

/** The standard reason phrase of a status code, "" for unknown ones. Static memory. */
WEIR_API const char *weir_http1_reason(uint16_t status);

/** Length of weir_http1_date()'s result. */
#define WEIR_HTTP1_DATE_BYTES 29

/** Write an IMF-fixdate (RFC 9110 section 5.6.7), 29 bytes without NUL, for `unix_seconds` >= 0. */
WEIR_API void weir_http1_date(uint8_t out[WEIR_HTTP1_DATE_BYTES], int64_t unix_seconds);

/** What weir_http1_write_response() turns into a head. */
struct weir_http1_response_spec {
    uint16_t status;                  /**< 100 ... 999 */
    enum weir_http1_framing framing;  /**< LENGTH and CHUNKED write their field; NONE and EOF write neither */
    uint64_t content_length;          /**< LENGTH */
    bool close;                       /**< write Connection: close */
    bool keep_alive;                  /**< write Connection: keep-alive (towards HTTP/1.0) */
    struct weir_slice date;           /**< 29 bytes, or empty for no Date field */
    struct weir_slice content_type;   /**< empty: no such field */
    const struct weir_header *headers;
    size_t headers_count;
};

/** Upper bound of what the writer may need for this head. */
WEIR_API size_t weir_http1_response_bytes_max(const struct weir_http1_response_spec *spec);

/**
 * Serialise a response head into `out`.
 * @return bytes written; -ENOBUFS when `capacity` is too small (nothing was written that counts);
 *         -EINVAL: a name that is no token, a value with a forbidden byte, a status out of range, or one of
 *         Content-Length, Transfer-Encoding, Connection, Date among `headers` (the writer owns those),
 *         or Content-Length/Transfer-Encoding where none may be sent (1xx, 204)
 */
WEIR_API WEIR_MUST_USE int64_t weir_http1_write_response(uint8_t *out, size_t capacity,
                                                         const struct weir_http1_response_spec *spec);

/** What weir_http1_write_request() turns into a head. */
struct weir_http1_request_spec {
    struct weir_slice method; /**< a token */
    struct weir_slice target; /**< printable ASCII without space and '#' */
    struct weir_slice host;   /**< value of Host; may be empty only for CONNECT-less odd cases: then "Host:" is sent empty */
    enum weir_http1_framing framing; /**< NONE, LENGTH, CHUNKED */
    uint64_t content_length;
    bool close;               /**< write Connection: close */
    const struct weir_header *headers;
    size_t headers_count;
    struct weir_slice accept_encoding; /**< written as Accept-Encoding, unless empty */
};

/** Upper bound of what the writer may need for this head. */
WEIR_API size_t weir_http1_request_bytes_max(const struct weir_http1_request_spec *spec);

/** As weir_http1_write_response(); `headers` must not hold Host, Content-Length, Transfer-Encoding, Connection. */
WEIR_API WEIR_MUST_USE int64_t weir_http1_write_request(uint8_t *out, size_t capacity,
                                                        const struct weir_http1_request_spec *spec);

/** Most bytes weir_http1_write_chunk_head() writes. */
#define WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX 18

/** Write "<hex size>\r\n" for a chunk of `len` > 0 bytes; data and "\r\n" follow. @return bytes written */
WEIR_API size_t weir_http1_write_chunk_head(uint8_t out[WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX], uint64_t len);

/** The end of a chunked body without trailers: "0\r\n\r\n". */
#define WEIR_HTTP1_LAST_CHUNK "0\r\n\r\n"

#ifdef __cplusplus
}
#endif

#endif
