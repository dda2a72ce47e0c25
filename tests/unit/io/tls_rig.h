/* SPDX-License-Identifier: MIT */
/*
 * What the tests of TLS share: certificates made by the test itself, in a directory that goes away
 * with it; the two ends of a connection on one engine, with a relay between them when the bytes on
 * the wire are to be seen, cut, delayed or spoiled.
 */
#ifndef WEIR_TESTS_UNIT_IO_TLS_RIG_H
#define WEIR_TESTS_UNIT_IO_TLS_RIG_H

#include "io/tls_link.h"

#include "rig.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* ---- Certificates ------------------------------------------------------------------------ */

static char tls_directory[64];

/* Where the file `name` is; the same text each time. */
static inline const char *tls_path(const char *name)
{
    static char paths[32][128];
    char path[128];
    snprintf(path, sizeof path, "%s/%s", tls_directory, name);
    size_t i = 0;
    while (paths[i][0] != '\0' && strcmp(paths[i], path) != 0)
        assert_true(++i < sizeof paths / sizeof paths[0]);
    memcpy(paths[i], path, sizeof path);
    return paths[i];
}

struct tls_identity {
    X509 *cert;
    EVP_PKEY *key;
};

struct tls_wanted {
    const char *name;
    const char *alt; /* subjectAltName; NULL: none */
    int days;        /* from now until it ends */
    bool ca;
    const struct tls_identity *issuer; /* NULL: itself */
};

static inline void tls_extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline struct tls_identity tls_make(const struct tls_wanted *wanted)
{
    static long serial = 1;
    struct tls_identity made = { .cert = X509_new(), .key = EVP_EC_gen("P-256") };
    assert_non_null(made.cert);
    assert_non_null(made.key);
    X509_set_version(made.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.cert), -3600 * 24 * 30);
    X509_gmtime_adj(X509_getm_notAfter(made.cert), (long)wanted->days * 3600 * 24);
    X509_set_pubkey(made.cert, made.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)wanted->name, -1, -1, 0);
    const struct tls_identity *issuer = wanted->issuer != NULL ? wanted->issuer : &made;
    X509_set_issuer_name(made.cert, X509_get_subject_name(issuer->cert));
    tls_extend(made.cert, NID_basic_constraints, wanted->ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (wanted->alt != NULL)
        tls_extend(made.cert, NID_subject_alt_name, wanted->alt);
    assert_true(X509_sign(made.cert, issuer->key, EVP_sha256()) > 0);
    return made;
}

static inline void tls_identity_free(struct tls_identity *identity)
{
    X509_free(identity->cert);
    EVP_PKEY_free(identity->key);
}

/* NAME.crt and NAME.key */
static inline void tls_write(const char *name, const struct tls_identity *identity)
{
    char file[64];
    snprintf(file, sizeof file, "%s.crt", name);
    FILE *out = fopen(tls_path(file), "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_X509(out, identity->cert), 1);
    fclose(out);
    snprintf(file, sizeof file, "%s.key", name);
    out = fopen(tls_path(file), "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, identity->key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(out);
}

static inline void tls_write_text(const char *name, const char *text)
{
    FILE *out = fopen(tls_path(name), "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

#define TLS_ALT "DNS:localhost,DNS:*.example.test,IP:127.0.0.1,IP:::1"

/* ca, server, client (of ca); expired (of ca), self, stranger (another ca). */
static inline int tls_setup(void **state)
{
    (void)state;
    snprintf(tls_directory, sizeof tls_directory, "/tmp/weir-tls-XXXXXX");
    assert_non_null(mkdtemp(tls_directory));
    struct tls_identity ca =
        tls_make(&(struct tls_wanted){ .name = "Test Authority", .days = 30, .ca = true });
    const struct {
        const char *file;
        struct tls_wanted wanted;
    } all[] = {
        { "server", { "server", TLS_ALT, 30, false, &ca } },
        { "client", { "client", NULL, 30, false, &ca } },
        { "expired", { "expired", TLS_ALT, -1, false, &ca } },
        { "self", { "self", TLS_ALT, 30, false, NULL } },
        { "stranger", { "Another Authority", NULL, 30, true, NULL } },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tls_identity made = tls_make(&all[i].wanted);
        tls_write(all[i].file, &made);
        tls_identity_free(&made);
    }
    tls_write("ca", &ca);
    tls_identity_free(&ca);
    return 0;
}

static inline int tls_teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", tls_directory);
    return system(command);
}

/* ---- Configurations ---------------------------------------------------------------------- */

static inline struct weir_tls_config tls_server_config(void)
{
    struct weir_tls_config cfg;
    weir_tls_config_init(&cfg);
    cfg.side = WEIR_TLS_SERVER;
    cfg.cert_file = tls_path("server.crt");
    cfg.key_file = tls_path("server.key");
    return cfg;
}

static inline struct weir_tls_config tls_client_config(void)
{
    struct weir_tls_config cfg;
    weir_tls_config_init(&cfg);
    cfg.ca_file = tls_path("ca.crt");
    return cfg;
}

static inline struct weir_tls *tls_open(const struct weir_tls_config *cfg)
{
    struct weir_tls *tls;
    int rc = weir_tls_open(&tls, cfg);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
    return tls;
}

static inline struct weir_tls_stats tls_stats(const struct weir_tls *tls)
{
    struct weir_tls_stats stats = { .size = sizeof stats };
    weir_tls_stats(tls, &stats);
    return stats;
}

/* ---- Ends -------------------------------------------------------------------------------- */

struct tls_end {
    struct rig_session s; /* first: the rig's callbacks find it */
    unsigned secured;
    bool resumed, unclean;
    char version[16], alpn[32], error[256];
    void (*on_secure)(struct tls_end *end);
};

static inline void tls_on_secure(struct weir_conn *conn)
{
    struct tls_end *end = conn->user;
    struct weir_tls_info info;
    assert_true(weir_conn_tls_info(conn, &info));
    end->secured++;
    end->resumed = info.resumed;
    snprintf(end->version, sizeof end->version, "%s", info.version);
    snprintf(end->alpn, sizeof end->alpn, "%.*s", (int)info.alpn.len,
             info.alpn.len > 0 ? (const char *)info.alpn.ptr : "");
    if (end->on_secure != NULL)
        end->on_secure(end);
}

static inline void tls_on_eof(struct weir_conn *conn)
{
    struct tls_end *end = conn->user;
    end->unclean = conn->eof_unclean;
    rig_on_eof(conn);
}

static inline void tls_on_closed(struct weir_conn *conn, int err)
{
    struct tls_end *end = conn->user;
    snprintf(end->error, sizeof end->error, "%s", weir_conn_tls_error(conn));
    rig_on_closed(conn, err);
}

static const struct weir_conn_handler tls_handler = {
    .on_open = rig_on_open,
    .on_recv = rig_on_recv,
    .on_secure = tls_on_secure,
    .on_eof = tls_on_eof,
    .on_sent = rig_on_sent,
    .on_timeout = rig_on_timeout,
    .on_closed = tls_on_closed,
};

struct tls_name {
    const char *name, *key;
};

static inline struct weir_slice tls_slice(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, text == NULL ? 0 : strlen(text) };
}

/* `fd` becomes an end's. @return what weir_conn_secure() says */
static inline int tls_end_begin(struct tls_end *end, struct weir_engine *engine, int fd,
                                struct weir_tls *tls, const struct tls_name *name)
{
    end->s.conn = weir_conn_accept(engine, fd, &tls_handler, end);
    assert_non_null(end->s.conn);
    return weir_conn_secure(end->s.conn, tls, tls_slice(name == NULL ? NULL : name->name),
                            tls_slice(name == NULL ? NULL : name->key));
}

static inline bool tls_closed(const struct tls_end *end)
{
    return end->s.seen[RIG_CLOSED] > 0;
}

static inline void tls_close(struct weir_engine *engine, struct tls_end *end)
{
    if (!tls_closed(end))
        weir_conn_close(end->s.conn, 0, false);
    RIG_RUN_UNTIL(engine, tls_closed(end));
}

/* ---- The relay --------------------------------------------------------------------------- */

/* One direction: at most `step` bytes per pass, up to `limit` in all; byte `spoil` is changed. */
struct tls_way {
    int from, to;
    uint64_t passed, limit, spoil;
    size_t step;
    bool ended;
};

static inline struct tls_way tls_way(int from, int to)
{
    return (struct tls_way){
        .from = from, .to = to, .limit = UINT64_MAX, .spoil = UINT64_MAX, .step = 16384
    };
}

static inline void tls_way_pass(struct tls_way *way)
{
    uint8_t bytes[16384];
    size_t want =
        (size_t)weir_min_u64(way->limit - way->passed, weir_min_u64(way->step, sizeof bytes));
    if (want == 0 || way->ended)
        return;
    ssize_t n = recv(way->from, bytes, want, 0);
    if (n == 0) {
        way->ended = true;
        shutdown(way->to, SHUT_WR);
    }
    if (n <= 0)
        return;
    if (way->spoil >= way->passed && way->spoil < way->passed + (uint64_t)n)
        bytes[way->spoil - way->passed] ^= 0x55;
    /* Unix sockets of tests hold more than a pass moves, or the other end is gone. */
    ssize_t sent = send(way->to, bytes, (size_t)n, MSG_NOSIGNAL);
    assert_true(sent == n || (sent < 0 && errno == EPIPE));
    way->passed += (uint64_t)n;
}

#endif
