/* SPDX-License-Identifier: MIT */
/**
 * What every part of weir shares: bytes, errors, versions.
 *
 * Conventions of the whole API:
 *   - Results are `int`: 0 or a count on success, negative on failure: -errno (-1 ... -4095) from the
 *     system, WEIR_E_* (-5000 ... -5999) from weir. On error nothing has changed.
 *   - Times are nanoseconds of the engine's monotonic clock, deadlines absolute, 0 = no deadline.
 *     Names end in their unit: _ns, _bytes, _count, _max.
 *   - Configurations begin with `size` and are filled by their weir_x_config_init(), so fields can be
 *     appended later without breaking callers that were compiled against an older header.
 *   - A handle and everything that hangs on it belongs to one thread, the one that opened the engine.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

#define WEIR_API __attribute__((visibility("default")))
#define WEIR_MUST_USE __attribute__((warn_unused_result))

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes somebody else owns. Not NUL-terminated. `ptr` may be NULL when `len` is 0. */
struct weir_slice {
    const uint8_t *ptr;
    size_t len;
};

/** A slice of a string literal, without its terminating NUL. */
#ifdef __cplusplus
#define WEIR_TEXT(literal) (weir_slice{ reinterpret_cast<const uint8_t *>(literal), sizeof(literal) - 1 })
#else
#define WEIR_TEXT(literal) ((struct weir_slice){ (const uint8_t *)(literal), sizeof(literal) - 1 })
#endif

/** A header field to be sent: `name: value`. Both are checked for CR, LF, NUL when they are used. */
struct weir_header {
    struct weir_slice name;
    struct weir_slice value;
};

/* name, value, text. The values are part of the ABI: append, never renumber. */
#define WEIR_ERRORS(XX)                                                                            \
    XX(CLOSED, -5000, "the connection was closed by the peer")                                     \
    XX(TRUNCATED, -5001, "the connection ended before the message was complete")                   \
    XX(PROTOCOL, -5002, "the peer broke the protocol")                                             \
    XX(LIMIT, -5003, "a configured limit was reached")                                             \
    XX(DEADLINE, -5004, "the deadline passed")                                                     \
    XX(CANCELLED, -5005, "cancelled by the caller")                                                \
    XX(CONNECT, -5006, "no connection could be made")                                              \
    XX(CONNECT_TIMEOUT, -5007, "the connection was not made in time")                              \
    XX(SHUTDOWN, -5008, "the object is being closed")                                              \
    XX(QUEUE_FULL, -5009, "the wait queue is full")                                                \
    XX(UNSUPPORTED, -5010, "the kernel lacks a required feature")                                  \
    XX(TIMEOUT, -5011, "the peer was too slow")                                                    \
    XX(URL, -5012, "not a URL that weir understands")                                              \
    XX(RESOLVE, -5013, "the host name could not be resolved")                                      \
    XX(TLS, -5014, "TLS failed")                                                                   \
    XX(CERTIFICATE, -5015, "the peer's certificate was not accepted")                              \
    XX(QUEUE_TIMEOUT, -5016, "no connection became free in time")                                  \
    XX(OVERLOAD, -5017, "too much work is pending")                                                \
    XX(ENCODING, -5018, "the content could not be decoded")

enum weir_error {
#define XX(name, value, text) WEIR_E_##name = (value),
    WEIR_ERRORS(XX)
#undef XX
};

/** One English sentence fragment for a result; for any value, never NULL, static memory. Any thread. */
WEIR_API const char *weir_strerror(int err);

/** The symbol of a result ("ECONNRESET", "WEIR_E_DEADLINE"); "UNKNOWN" for others. Static. Any thread. */
WEIR_API const char *weir_err_name(int err);

/**
 * Why the last weir_*_open() or weir_*_parse_*() call of this thread failed: the field or resource by
 * name, what was expected, and the cure where there is one. Valid until the next such call of this
 * thread; "" when nothing failed yet.
 */
WEIR_API const char *weir_error_text(void);

/** "MAJOR.MINOR.PATCH" of the library that is linked. Static. Any thread. */
WEIR_API const char *weir_version(void);

#ifdef __cplusplus
}
#endif

#endif
