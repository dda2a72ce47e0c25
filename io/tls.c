/* SPDX-License-Identifier: MIT */
#include "io/tls.h"
#include "io/tls_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

/* Forward secret and authenticated; the suites of TLS 1.3 all are. */
#define CIPHERS_DEFAULT   "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_BYTES_MAX 1024u

void weir_tls_config_init_size(struct weir_tls_config *cfg, uint32_t size)
{
    struct weir_tls_config defaults = {
        .size = size,
        .alpn = "http/1.1",
        .resume = true,
        .session_cache_max = 1024,
    };
    weir_fill_sized(cfg, size, &defaults, sizeof defaults);
}

static bool verifies(const struct weir_tls_config *cfg)
{
    return cfg->verify == WEIR_TLS_VERIFY_PEER ||
           (cfg->verify == WEIR_TLS_VERIFY_DEFAULT && cfg->side == WEIR_TLS_CLIENT);
}

static int config_check(const struct weir_tls_config *cfg)
{
    if (cfg->size != sizeof *cfg)
        return weir_fail(-EINVAL, "size is %u, %zu expected: use weir_tls_config_init()", cfg->size,
                         sizeof *cfg);
    const struct weir_range ranges[] = {
        { "side", (uint64_t)cfg->side, WEIR_TLS_CLIENT, WEIR_TLS_SERVER },
        { "verify", (uint64_t)cfg->verify, WEIR_TLS_VERIFY_DEFAULT, WEIR_TLS_VERIFY_PEER },
        { "min_version", (uint64_t)cfg->min_version, WEIR_TLS_1_2, WEIR_TLS_1_3 },
        { "session_cache_max", cfg->session_cache_max, 1, 1u << 20 },
    };
    int rc = weir_range_check(ranges, sizeof ranges / sizeof ranges[0]);
    if (rc < 0)
        return rc;
    if (cfg->side == WEIR_TLS_SERVER && cfg->cert_file == NULL)
        return weir_fail(-EINVAL, "cert_file is required for a server");
    if (cfg->cert_file != NULL && cfg->key_file == NULL)
        return weir_fail(-EINVAL, "key_file is required with cert_file");
    if (cfg->cert_file == NULL && cfg->key_file != NULL)
        return weir_fail(-EINVAL, "cert_file is required with key_file");
    if (cfg->side == WEIR_TLS_SERVER && verifies(cfg) && cfg->ca_file == NULL)
        return weir_fail(-EINVAL, "ca_file is required for a server that verifies its clients");
    if (cfg->ca_file != NULL && !verifies(cfg))
        return weir_fail(-EINVAL, "ca_file is given, but nothing is verified: set verify");
    return 0;
}

/* ---- Files ------------------------------------------------------------------------------- */

/* Why the last call failed, in OpenSSL's words; forgets it. Static memory, mostly. */
static const char *reason(void)
{
    unsigned long err = ERR_peek_last_error();
    ERR_clear_error();
    const char *text = err == 0 ? NULL : ERR_reason_error_string(err);
    return text != NULL ? text : "unknown reason";
}

/* OpenSSL's own words for a file that cannot be opened are hard to read. */
static int file_check(const char *field, const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, &byte, 1);
    int rc = n < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return weir_fail(rc, "%s '%s' cannot be read: %s", field, path, strerror(-rc));
    if (n == 0)
        return weir_fail(-EINVAL, "%s '%s' is empty", field, path);
    return 0;
}

static int ca_load(struct weir_tls *tls, const struct weir_tls_config *cfg)
{
    if (cfg->ca_file == NULL) {
        if (SSL_CTX_set_default_verify_paths(tls->ctx) != 1)
            return weir_fail(-EINVAL, "the system's certificates cannot be loaded: %s", reason());
        return 0;
    }
    int rc = file_check("ca_file", cfg->ca_file);
    if (rc < 0)
        return rc;
    if (SSL_CTX_load_verify_file(tls->ctx, cfg->ca_file) != 1)
        return weir_fail(-EINVAL, "ca_file '%s' holds no certificate in PEM form: %s", cfg->ca_file,
                         reason());
    if (tls->side != WEIR_TLS_SERVER)
        return 0;
    /* Clients are told which authorities count. */
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(cfg->ca_file);
    if (names == NULL)
        return weir_fail(-EINVAL, "ca_file '%s': %s", cfg->ca_file, reason());
    SSL_CTX_set_client_CA_list(tls->ctx, names);
    return 0;
}

/* Nobody is asked for a pass phrase: a server has no one to ask. */
static int on_passphrase(char *out, int capacity, int writing, void *ctx)
{
    (void)out;
    (void)capacity;
    (void)writing;
    *(bool *)ctx = true;
    return 0;
}

static int key_read(EVP_PKEY **out, const char *path)
{
    bool encrypted = false;
    *out = NULL;
    int rc = file_check("key_file", path);
    if (rc < 0)
        return rc;
    BIO *bio = BIO_new_file(path, "r");
    if (bio != NULL)
        *out = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &encrypted);
    BIO_free(bio);
    if (*out == NULL && encrypted)
        rc = weir_fail(-EINVAL, "key_file '%s' is encrypted: decrypt it (openssl pkey)", path);
    else if (*out == NULL)
        rc = weir_fail(-EINVAL, "key_file '%s' holds no private key in PEM form: %s", path,
                       reason());
    ERR_clear_error();
    return rc;
}

static int identity_load(struct weir_tls *tls, const struct weir_tls_config *cfg)
{
    EVP_PKEY *key;
    if (cfg->cert_file == NULL)
        return 0;
    int rc = file_check("cert_file", cfg->cert_file);
    if (rc < 0)
        return rc;
    if (SSL_CTX_use_certificate_chain_file(tls->ctx, cfg->cert_file) != 1)
        return weir_fail(-EINVAL, "cert_file '%s' holds no usable certificate in PEM form: %s",
                         cfg->cert_file, reason());
    rc = key_read(&key, cfg->key_file);
    if (rc < 0)
        return rc;
    if (X509_check_private_key(SSL_CTX_get0_certificate(tls->ctx), key) != 1)
        rc = weir_fail(-EINVAL, "key_file '%s' is not the key of the certificate in '%s'",
                       cfg->key_file, cfg->cert_file);
    else if (SSL_CTX_use_PrivateKey(tls->ctx, key) != 1)
        rc = weir_fail(-EINVAL, "key_file '%s' cannot be used: %s", cfg->key_file, reason());
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

/* ---- Ciphers ----------------------------------------------------------------------------- */

/* One list for us, two for OpenSSL: the suites of TLS 1.3 are set apart. */
static int ciphers_set(struct weir_tls *tls, const char *names)
{
    char suites[2][CIPHERS_BYTES_MAX];
    size_t used[2] = { 0, 0 };
    if (names == NULL)
        names = CIPHERS_DEFAULT;
    if (strlen(names) >= CIPHERS_BYTES_MAX)
        return weir_fail(-EINVAL, "ciphers is longer than %u bytes", CIPHERS_BYTES_MAX - 1);
    for (const char *at = names; *at != '\0';) {
        size_t len = strcspn(at, ":");
        bool is_13 = strncmp(at, "TLS_", 4) == 0;
        if (used[is_13] > 0)
            suites[is_13][used[is_13]++] = ':';
        memcpy(suites[is_13] + used[is_13], at, len);
        used[is_13] += len;
        at += len + (at[len] == ':');
    }
    if (used[0] + used[1] == 0)
        return weir_fail(-EINVAL, "ciphers names none");
    if (used[0] == 0) { /* else OpenSSL's own for TLS 1.2 would come in: RSA key exchange, CBC */
        used[0] = sizeof CIPHERS_DEFAULT - 1;
        memcpy(suites[0], CIPHERS_DEFAULT, used[0]);
    }
    suites[0][used[0]] = suites[1][used[1]] = '\0';
    if ((used[0] > 0 && SSL_CTX_set_cipher_list(tls->ctx, suites[0]) != 1) ||
        (used[1] > 0 && SSL_CTX_set_ciphersuites(tls->ctx, suites[1]) != 1))
        return weir_fail(-EINVAL, "ciphers '%.200s': %s", names, reason());
    return 0;
}

/* ---- ALPN -------------------------------------------------------------------------------- */

/* The server's preference decides. A client that offers only others is refused (RFC 7301 3.2). */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                   const unsigned char *in, unsigned in_bytes, void *ctx)
{
    const struct weir_tls *tls = ctx;
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_bytes, tls->alpn, tls->alpn_bytes, in, in_bytes) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int alpn_set(struct weir_tls *tls, const char *names)
{
    size_t used = 0;
    for (const char *at = names; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, ",");
        if (len == 0 || at[len + (at[len] == ',')] == ',' || (at[len] == ',' && at[len + 1] == 0))
            return weir_fail(-EINVAL, "alpn '%.100s' has an empty name", names);
        if (used + 1 + len > sizeof tls->alpn)
            return weir_fail(-EINVAL, "alpn is longer than %u bytes", WEIR_TLS_ALPN_BYTES_MAX);
        tls->alpn[used] = (uint8_t)len;
        memcpy(tls->alpn + used + 1, at, len);
        used += 1 + len;
        at += len + (at[len] == ',');
    }
    tls->alpn_bytes = (uint8_t)used;
    if (used == 0)
        return 0;
    if (tls->side == WEIR_TLS_SERVER)
        SSL_CTX_set_alpn_select_cb(tls->ctx, on_alpn, tls);
    else if (SSL_CTX_set_alpn_protos(tls->ctx, tls->alpn, tls->alpn_bytes) != 0)
        return weir_fail(-ENOMEM, "alpn: %s", reason());
    return 0;
}

/* ---- Key log ----------------------------------------------------------------------------- */

/* One write per line: in a file opened for appending they do not mix, whoever writes. */
static void on_keylog(const SSL *ssl, const char *line)
{
    const struct weir_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct iovec parts[2] = { { (void *)(uintptr_t)line, strlen(line) },
                              { (void *)(uintptr_t) "\n", 1 } };
    /* A disk that is full must not end connections: only the log is incomplete then. */
    if (writev(tls->keylog_fd, parts, 2) < 0)
        return;
}

static int keylog_open(struct weir_tls *tls)
{
    const char *path = secure_getenv("SSLKEYLOGFILE");
    if (path == NULL || path[0] == '\0')
        return 0;
    tls->keylog_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (tls->keylog_fd < 0) {
        int rc = -errno;
        return weir_fail(rc, "SSLKEYLOGFILE '%s' cannot be opened: %s", path, strerror(-rc));
    }
    SSL_CTX_set_keylog_callback(tls->ctx, on_keylog);
    return 0;
}

/* ---- Open and close ---------------------------------------------------------------------- */

/*
 * Released buffers: 33 KiB less for a connection that is idle, for two allocations per use.
 * Renegotiation lets a client make the server compute at no cost of its own, and nobody needs it.
 */
static int context_open(struct weir_tls *tls, const struct weir_tls_config *cfg)
{
    bool server = cfg->side == WEIR_TLS_SERVER;
    tls->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    tls->bio = weir_tls_link_bio();
    if (tls->ctx == NULL || tls->bio == NULL)
        return weir_fail(-ENOMEM, "no memory for a TLS context: %s", reason());
    int version = cfg->min_version == WEIR_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (SSL_CTX_set_min_proto_version(tls->ctx, version) != 1)
        return weir_fail(-EINVAL, "min_version: %s", reason());
    SSL_CTX_set_app_data(tls->ctx, tls);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
    if (server) /* the client's preference only says whether it has instructions for AES */
        options |= SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;
    if (!cfg->resume)
        options |= SSL_OP_NO_TICKET;
    SSL_CTX_set_options(tls->ctx, options);
    int verify = SSL_VERIFY_NONE;
    if (tls->verify)
        verify = SSL_VERIFY_PEER | (server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    SSL_CTX_set_verify(tls->ctx, verify, NULL);
    return 0;
}

/*
 * A server's sessions are in the tickets that its clients keep: nothing is stored here. Sessions of
 * clients that were verified may be resumed only where the same is verified.
 */
static int sessions_open(struct weir_tls *tls, const struct weir_tls_config *cfg)
{
    static const unsigned char scope[] = "weir";
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
    if (tls->side == WEIR_TLS_SERVER) {
        if (SSL_CTX_set_session_id_context(tls->ctx, scope, sizeof scope - 1) != 1)
            return weir_fail(-ENOMEM, "sessions: %s", reason());
        if (!cfg->resume && SSL_CTX_set_num_tickets(tls->ctx, 0) != 1)
            return weir_fail(-EINVAL, "resume: %s", reason());
        return 0;
    }
    if (!cfg->resume)
        return 0;
    int rc = weir_tls_cache_open(&tls->cache, cfg->session_cache_max);
    if (rc < 0)
        return rc;
    tls->cached = true;
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls->ctx, weir_tls_link_on_session);
    return 0;
}

static void tls_free(struct weir_tls *tls)
{
    if (tls->cached)
        weir_tls_cache_close(&tls->cache);
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->bio);
    if (tls->keylog_fd >= 0)
        close(tls->keylog_fd);
    OPENSSL_free(tls);
}

int weir_tls_open(struct weir_tls **out, const struct weir_tls_config *cfg)
{
    *out = NULL;
    int rc = config_check(cfg);
    if (rc < 0)
        return rc;
    ERR_clear_error(); /* what others of this thread left there says nothing about us */
    struct weir_tls *tls = OPENSSL_zalloc(sizeof *tls);
    if (tls == NULL)
        return weir_fail(-ENOMEM, "no memory for a TLS configuration");
    atomic_init(&tls->refs, 1);
    tls->side = cfg->side;
    tls->verify = verifies(cfg);
    tls->resume = cfg->resume;
    tls->keylog_fd = -1;
    if ((rc = context_open(tls, cfg)) < 0 || (rc = ciphers_set(tls, cfg->ciphers)) < 0 ||
        (rc = alpn_set(tls, cfg->alpn)) < 0 || (rc = identity_load(tls, cfg)) < 0 ||
        (tls->verify && (rc = ca_load(tls, cfg)) < 0) || (rc = sessions_open(tls, cfg)) < 0 ||
        (rc = keylog_open(tls)) < 0) {
        tls_free(tls);
        return rc;
    }
    *out = tls;
    return 0;
}

struct weir_tls *weir_tls_get(struct weir_tls *tls)
{
    unsigned before = atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    WEIR_ASSERT(before > 0);
    return tls;
}

void weir_tls_put(struct weir_tls *tls)
{
    unsigned before = atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel);
    WEIR_ASSERT(before > 0);
    if (before == 1)
        tls_free(tls);
}

void weir_tls_close(struct weir_tls *tls)
{
    if (tls != NULL)
        weir_tls_put(tls);
}

enum weir_tls_side weir_tls_side(const struct weir_tls *tls)
{
    return tls->side;
}

void weir_tls_stats(const struct weir_tls *tls, struct weir_tls_stats *out)
{
    struct weir_tls *shared = (struct weir_tls *)(uintptr_t)tls; /* the lock is not part of it */
    struct weir_tls_stats stats = {
        .size = out->size,
        .sessions_now = tls->cached ? weir_tls_cache_count(&shared->cache) : 0,
        .handshakes = atomic_load_explicit(&tls->handshakes, memory_order_relaxed),
        .resumed = atomic_load_explicit(&tls->resumed, memory_order_relaxed),
        .failed = atomic_load_explicit(&tls->failed, memory_order_relaxed),
        .plaintext = atomic_load_explicit(&tls->plaintext, memory_order_relaxed),
    };
    weir_fill_sized(out, out->size, &stats, sizeof stats);
}
