/* SPDX-License-Identifier: MIT */
/* The inside of a TLS configuration, for io/tls.c and io/tls_link.c. */
#ifndef WEIR_IO_TLS_IMPL_H
#define WEIR_IO_TLS_IMPL_H

#include "io/tls.h"
#include "io/tls_cache.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

#define WEIR_TLS_ALPN_BYTES_MAX 255u

struct weir_tls {
    SSL_CTX *ctx;
    BIO_METHOD *bio; /* between OpenSSL and a connection: io/tls_link.c */
    atomic_uint refs;
    enum weir_tls_side side;
    bool verify;
    bool resume;
    bool cached; /* `cache` is open */
    uint8_t alpn_bytes;
    uint8_t alpn[WEIR_TLS_ALPN_BYTES_MAX]; /* each name behind its length, as on the wire */
    int keylog_fd;                         /* -1 = none */
    struct weir_tls_cache cache;
    atomic_uint_fast64_t handshakes, resumed, failed, plaintext;
};

static inline void weir_tls_count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* io/tls_link.c: how OpenSSL reads and writes. NULL: no memory */
BIO_METHOD *weir_tls_link_bio(void);
/* A session that can be resumed has come: SSL_CTX_sess_set_new_cb(3). */
int weir_tls_link_on_session(SSL *ssl, SSL_SESSION *session);

#endif
