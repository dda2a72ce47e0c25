/* SPDX-License-Identifier: MIT */
/**
 * TLS 1.2 and 1.3 (by OpenSSL) for clients and servers.
 *
 * A struct weir_tls is one configuration with its certificates, and what is remembered of earlier connections. Any
 * number of clients, servers, engines and threads use one at the same time; for threads that serve one port that is
 * what makes a session of one thread resumable by the others.
 */
#ifndef WEIR_TLS_H
#define WEIR_TLS_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_tls;

/** Who of the two one is. */
enum weir_tls_side { WEIR_TLS_CLIENT, WEIR_TLS_SERVER };

/** Whether the peer must have a certificate that is trusted. */
enum weir_tls_verify {
    WEIR_TLS_VERIFY_DEFAULT, /**< a client verifies the server, a server asks clients for nothing */
    WEIR_TLS_VERIFY_NONE,    /**< a client takes any server: whoever is on the path reads and changes everything */
    WEIR_TLS_VERIFY_PEER     /**< a server refuses clients without a certificate of ca_file */
};

/** The least version of the protocol that is spoken. */
enum weir_tls_version { WEIR_TLS_1_2, WEIR_TLS_1_3 };

/** One configuration. Texts need to stay only until weir_tls_open() returns; files are read by it, once. */
struct weir_tls_config {
    uint32_t size;
    enum weir_tls_side side;     /**< default WEIR_TLS_CLIENT */
    enum weir_tls_verify verify; /**< default WEIR_TLS_VERIFY_DEFAULT */
    /** certificates (PEM) that others are trusted by, and no others; NULL: the system's. Required where a server verifies */
    const char *ca_file;
    const char *cert_file;       /**< the own certificate, then those between it and the root (PEM). Required for a server */
    const char *key_file;        /**< its key (PEM, not encrypted). Required with cert_file */
    enum weir_tls_version min_version; /**< default WEIR_TLS_1_2 */
    /** names of application protocols with commas, the preferred first (RFC 7301); NULL: none. Default "http/1.1" */
    const char *alpn;
    /** names with colons, as openssl-ciphers(1); of a version that none is of, all stay. NULL: forward secret and AEAD only */
    const char *ciphers;
    bool resume;                 /**< remember sessions, or as a server let clients resume theirs. Default true */
    uint32_t session_cache_max;  /**< servers that a client remembers sessions of, 1 ... 1048576. Default 1024 */
};
/** Fill `cfg` with the defaults. Use the macro, which passes the size your code was compiled with. */
WEIR_API void weir_tls_config_init_size(struct weir_tls_config *cfg, uint32_t size);
#define weir_tls_config_init(cfg) weir_tls_config_init_size((cfg), sizeof(*(cfg)))

/**
 * Read the files, check them and open the configuration. Allocates. Any thread.
 *
 * Where the environment has SSLKEYLOGFILE (and the program is not set-user-ID), the secrets of all connections are
 * appended to that file, for Wireshark and the like.
 * Errors (weir_error_text() names the file and what is wrong with it): -EINVAL a field, or what a file holds; -ENOENT,
 * -EACCES and other results of open(2); -ENOMEM. On error *out is NULL and nothing is left behind.
 */
WEIR_API WEIR_MUST_USE int weir_tls_open(struct weir_tls **out, const struct weir_tls_config *cfg);

/** Counters since open. All only grow, except those named `_now`. */
struct weir_tls_stats {
    uint32_t size;
    uint32_t sessions_now;   /**< that a client remembers */
    uint64_t handshakes;     /**< completed */
    uint64_t resumed;        /**< and those of them that resumed a session */
    uint64_t failed;         /**< handshakes and connections that TLS ended with an error */
    uint64_t plaintext;      /**< and those of them where the peer spoke HTTP without TLS */
};
/** Fill `out` (set out->size = sizeof *out first). Any thread. */
WEIR_API void weir_tls_stats(const struct weir_tls *tls, struct weir_tls_stats *out);

/** The caller is done with it; clients, servers and connections that use it keep it until they end. NULL is allowed. */
WEIR_API void weir_tls_close(struct weir_tls *tls);

#ifdef __cplusplus
}
#endif

#endif
