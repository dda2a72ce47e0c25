/* SPDX-License-Identifier: MIT */
/*
 * The sessions a client may resume, by key: the name of the server and whatever else must not be
 * mixed up. Bounded; the key that was used least recently goes first. Any thread.
 *
 * A ticket of TLS 1.3 is for one use (RFC 8446 appendix C.4), or two connections of a client could
 * be linked by whoever watches; so it is taken out. Of TLS 1.2 a copy is handed out.
 */
#ifndef WEIR_IO_TLS_CACHE_H
#define WEIR_IO_TLS_CACHE_H

#include "core/list.h"
#include "core/pool.h"

#include <openssl/ssl.h>
#include <pthread.h>

/* A host name of the greatest length, twice, and ports. Longer keys are not remembered. */
#define WEIR_TLS_KEY_BYTES_MAX 544u

/* OpenSSL's servers give two tickets with each full handshake. */
#define WEIR_TLS_SESSIONS_PER_KEY 2u

struct weir_tls_cached;

struct weir_tls_cache {
    pthread_mutex_t lock;
    struct weir_pool entries;
    struct weir_list used; /* the most recent first */
    struct weir_tls_cached **buckets;
    uint32_t mask;
    uint32_t sessions_count;
    struct weir_arena arena;
};

/* For at most `max` keys. @return 0 or -ENOMEM */
int weir_tls_cache_open(struct weir_tls_cache *cache, uint32_t max) WEIR_MUST_USE;
void weir_tls_cache_close(struct weir_tls_cache *cache);
/* Remember `session`: the caller's reference is the cache's from now on. */
void weir_tls_cache_put(struct weir_tls_cache *cache, struct weir_slice key, SSL_SESSION *session);
/* The newest session of `key`, to be freed by the caller; NULL: none. */
SSL_SESSION *weir_tls_cache_take(struct weir_tls_cache *cache, struct weir_slice key);
uint32_t weir_tls_cache_count(struct weir_tls_cache *cache);

#endif
