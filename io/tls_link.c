/* SPDX-License-Identifier: MIT */
/*
 * A connection's TLS.
 *
 *     secure --> HANDSHAKE --complete (on_secure)--> SECURED --finishing, all sealed--> NOTIFIED
 *                    |                                  |
 *                    +-------- error, garbage ----------+--> FAILED: an alert, then the end
 *
 * In:  OpenSSL reads the ciphertext where it was received, through our BIO, and decrypts into
 *      16 KiB of stack that are handed to on_recv. All of a completion is decrypted, also when the
 *      session pauses meanwhile: what a paused session still gets is what was under way, as without
 *      TLS, and no ciphertext is ever kept but the part of a record, by OpenSSL.
 * Out: conn->out keeps the plaintext until its ciphertext was sent, so that what conn.c and the
 *      sessions count is plaintext that the kernel has taken. Encrypted is a batch of records at a
 *      time, and the next when all of it was sent: the ciphertext ahead of the socket is bounded,
 *      and what OpenSSL itself says (handshakes, alerts) gets between.
 * End: finishing sends close_notify with the last records. The peer's close_notify is on_eof; an
 *      end without it too, but conn->eof_unclean is set: somebody may have cut the stream (RFC 8446
 *      section 6.1).
 */
#include "io/tls_link.h"
#include "io/tls_impl.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define RECORD_BYTES_MAX 16384u /* of plaintext: RFC 8446 section 5.1 */

/* Records in a batch: with its overhead a batch of two fits into one gathered send of chunks. */
#define BATCH_RECORDS 2u

/*
 * Ciphertext that waits for the socket. Beyond a batch it is only what OpenSSL says by itself: the
 * longest is a server's flight with its certificates. A peer that makes us say more (requests for
 * new keys, one after the other) without reading is cut off.
 */
#define WIRE_BYTES_MAX (128u * 1024)

/* Records under way: a batch, and what was said before, and after it. */
#define RECORDS_MAX (BATCH_RECORDS + 2u)

/* How long an alert may take to be sent. */
#define ALERT_NS 1000000000u

#define SERVER_NAME_BYTES_MAX 255u
#define ERROR_BYTES_MAX       256u

_Static_assert(BATCH_RECORDS *(RECORD_BYTES_MAX + 29) <= WEIR_SEND_PARTS_MAX * WEIR_CHUNK_ROOM,
               "one send takes a batch (29: the overhead of AES-GCM in TLS 1.2, the largest)");

/* Ciphertext and the bytes of conn->out in it that the kernel does not have yet. */
struct record {
    uint32_t cipher, plain;
};

/* Ciphertext that found no chunk: it cannot wait, since OpenSSL has counted it as said. */
struct spare {
    struct weir_seg seg;
    struct weir_list node; /* link->spares */
};

struct weir_tls_link {
    SSL *ssl;
    struct weir_tls *tls;
    struct weir_conn *conn;
    struct weir_slice in; /* ciphertext that OpenSSL has not read yet; only inside a call */
    struct weir_sendq wire;
    struct weir_list spares;
    struct record records[RECORDS_MAX];
    uint32_t records_count;
    uint32_t sealed; /* bytes at the front of conn->out that are in `records` */
    bool secured;
    bool notified; /* close_notify was said */
    bool failed;
    char *error; /* NULL = none */
    size_t key_bytes;
    uint8_t key[]; /* of the session cache */
};

/*
 * What others left in the thread's queue of errors must not be taken for ours. Looking is cheap,
 * clearing is not: 2 % of a short request.
 */
static void errors_forget(void)
{
    if (WEIR_UNLIKELY(ERR_peek_error() != 0))
        ERR_clear_error();
}

/* ---- The BIO ----------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *out, size_t capacity, size_t *bytes)
{
    struct weir_tls_link *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *bytes = weir_min_u64(capacity, link->in.len);
    if (*bytes == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, link->in.ptr, *bytes);
    link->in.ptr += *bytes;
    link->in.len -= *bytes;
    return 1;
}

static void spare_on_free(struct weir_engine *engine, struct weir_seg *seg)
{
    struct spare *spare = weir_container_of(seg, struct spare, seg);
    (void)engine;
    weir_list_remove(&spare->node);
    OPENSSL_free(spare);
}

/* Output memory is short: other connections hold it, and may hold it for long. */
static bool spare_add(struct weir_tls_link *link, struct weir_slice data)
{
    struct spare *spare = OPENSSL_malloc(sizeof *spare + data.len);
    if (spare == NULL)
        return false;
    memcpy(spare + 1, data.ptr, data.len);
    weir_list_init(&spare->node);
    weir_list_push_back(&link->spares, &spare->node);
    weir_sendq_borrow(&link->wire, &spare->seg,
                      (struct weir_slice){ (const uint8_t *)(spare + 1), data.len }, spare_on_free);
    return true;
}

static int bio_write(BIO *bio, const char *data, size_t bytes, size_t *written)
{
    struct weir_tls_link *link = BIO_get_data(bio);
    struct weir_engine *engine = link->conn->engine;
    struct weir_slice slice = { (const uint8_t *)data, bytes };
    BIO_clear_retry_flags(bio);
    *written = 0;
    if (link->wire.bytes + bytes > WIRE_BYTES_MAX)
        return 0;
    if (bytes > 0) {
        bool room = weir_sendq_has_room(engine, &link->wire, bytes);
        if (room ? weir_sendq_copy(engine, &link->wire, slice) < 0 : !spare_add(link, slice))
            return 0;
    }
    *written = bytes;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
    (void)bio;
    (void)number;
    (void)ptr;
    return command == BIO_CTRL_FLUSH; /* all else: kernel TLS, positions, ends: not here */
}

BIO_METHOD *weir_tls_link_bio(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weir connection");
    if (method == NULL || BIO_meth_set_read_ex(method, bio_read) != 1 ||
        BIO_meth_set_write_ex(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* ---- Records under way ------------------------------------------------------------------- */

/* What OpenSSL has said since the wire held `before` bytes has `plain` bytes of conn->out in it. */
static void record_add(struct weir_tls_link *link, uint64_t before, uint32_t plain)
{
    uint32_t cipher = (uint32_t)(link->wire.bytes - before);
    if (cipher == 0)
        return;
    WEIR_ASSERT(plain < cipher);
    if (plain == 0 && link->records_count > 0 &&
        link->records[link->records_count - 1].plain == 0) {
        link->records[link->records_count - 1].cipher += cipher;
        return;
    }
    WEIR_ASSERT(link->records_count < RECORDS_MAX);
    link->records[link->records_count++] = (struct record){ cipher, plain };
    link->sealed += plain;
}

/* ---- Failing ----------------------------------------------------------------------------- */

static void error_set(struct weir_tls_link *link, const char *what, const char *why)
{
    char text[ERROR_BYTES_MAX];
    snprintf(text, sizeof text, "%s%s%s", what, why[0] != '\0' ? ": " : "", why);
    link->error = OPENSSL_strdup(text); /* without memory there is no reason */
}

/*
 * The end, by our decision or the peer's alert. OpenSSL has put the alert for it on the wire; it is
 * sent, and then the connection is closed with `err`. Output that was not sent is lost, as it is
 * when a connection breaks.
 */
static void link_fail(struct weir_tls_link *link, int err, const char *what, const char *why)
{
    struct weir_conn *conn = link->conn;
    WEIR_ASSERT(!link->failed);
    WEIR_ASSERT(err < 0);
    error_set(link, what, why);
    weir_tls_count(&link->tls->failed);
    link->failed = true;
    weir_sendq_clear(conn->engine,
                     &conn->out); /* what was sealed of it still counts when it is sent */
    conn->finishing = true;
    conn->linger = false;
    if (conn->err == 0)
        conn->err = err;
    if (link->wire.bytes == 0) {
        weir_conn_close(conn, err, false);
        return;
    }
    conn->ended = true;
    weir_conn_set_deadline(conn, conn->engine->now_ns + ALERT_NS);
    weir_conn_flush(conn);
}

/* RFC 8446 section 6: OpenSSL says nothing to those who speak HTTP, but they may know alerts. */
static void alert_plaintext(struct weir_tls_link *link)
{
    static const uint8_t unexpected_message[] = { 21, 3, 1, 0, 2, 2, 10 };
    const struct weir_slice alert = { unexpected_message, sizeof unexpected_message };
    uint64_t before = link->wire.bytes;
    weir_tls_count(&link->tls->plaintext);
    if (weir_sendq_has_room(link->conn->engine, &link->wire, alert.len) &&
        weir_sendq_copy(link->conn->engine, &link->wire, alert) < 0)
        return; /* it would only have been polite */
    record_add(link, before, 0);
}

/* A call of OpenSSL's failed for good: why? */
static void link_failed_ssl(struct weir_tls_link *link, int kind)
{
    unsigned long err = ERR_peek_error();
    int code = ERR_GET_LIB(err) == ERR_LIB_SSL ? ERR_GET_REASON(err) : 0;
    long verified = SSL_get_verify_result(link->ssl);
    const char *reason = err == 0 ? NULL : ERR_reason_error_string(err);
    const char *what = link->secured ? "TLS" : "TLS handshake";
    bool flood = link->wire.bytes + RECORD_BYTES_MAX > WIRE_BYTES_MAX;
    if (flood)
        reason = "the peer asks for more than it reads";
    else if (reason == NULL)
        reason = kind == SSL_ERROR_SYSCALL ? "no memory" : "unknown reason";
    if (code == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        link_fail(link, WEIR_E_CERTIFICATE, "certificate", X509_verify_cert_error_string(verified));
    } else if (code == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        link_fail(link, WEIR_E_CERTIFICATE, "certificate", "the peer has none");
    } else if (!link->secured &&
               (code == SSL_R_HTTP_REQUEST || code == SSL_R_HTTPS_PROXY_REQUEST)) {
        alert_plaintext(link);
        link_fail(link, WEIR_E_TLS, what, "the peer speaks HTTP without TLS");
    } else {
        link_fail(link, WEIR_E_TLS, what, reason);
        if (flood)
            weir_conn_close(link->conn, WEIR_E_TLS, true); /* it would not read an alert either */
    }
    errors_forget();
}

/* ---- Sent -------------------------------------------------------------------------------- */

/* The overhead of a record counts first, so that all of it is sent only with its last byte. */
uint64_t weir_tls_link_sent(struct weir_conn *conn, uint64_t bytes)
{
    struct weir_tls_link *link = conn->tls;
    uint64_t plain = 0;
    weir_sendq_consume(conn->engine, &link->wire, bytes);
    while (bytes > 0) {
        struct record *r = &link->records[0];
        WEIR_ASSERT(link->records_count > 0);
        uint32_t n = (uint32_t)weir_min_u64(bytes, r->cipher);
        r->cipher -= n;
        bytes -= n;
        if (r->plain > r->cipher) {
            plain += r->plain - r->cipher;
            r->plain = r->cipher;
        }
        if (r->cipher > 0)
            break;
        link->records_count--;
        memmove(&link->records[0], &link->records[1],
                link->records_count * sizeof link->records[0]);
    }
    WEIR_ASSERT(plain <= link->sealed);
    link->sealed -= (uint32_t)plain;
    conn->sending_bytes = link->sealed;
    return plain;
}

/* ---- Receiving --------------------------------------------------------------------------- */

/* @return is the handshake complete? Else it waits for more, or the connection has failed. */
static bool handshake(struct weir_tls_link *link)
{
    uint64_t before = link->wire.bytes;
    int rc = SSL_do_handshake(link->ssl);
    record_add(link, before, 0);
    if (rc != 1) {
        int kind = SSL_get_error(link->ssl, rc);
        if (kind != SSL_ERROR_WANT_READ)
            link_failed_ssl(link, kind);
        return false;
    }
    link->secured = true;
    weir_tls_count(&link->tls->handshakes);
    if (SSL_session_reused(link->ssl))
        weir_tls_count(&link->tls->resumed);
    weir_conn_flush(link->conn); /* what was queued early */
    return true;
}

/* May what arrives still reach the session? */
static bool receiving(const struct weir_tls_link *link)
{
    return !link->failed && link->conn->state == WEIR_CONN_OPEN && !link->conn->eof;
}

/* No record is left, or an end. */
static void read_ended(struct weir_tls_link *link, int rc)
{
    struct weir_conn *conn = link->conn;
    int kind = SSL_get_error(link->ssl, rc);
    if (kind == SSL_ERROR_WANT_READ)
        return;
    if (kind != SSL_ERROR_ZERO_RETURN) {
        link_failed_ssl(link, kind);
        return;
    }
    conn->eof = true;
    conn->handler->on_eof(conn);
}

void weir_tls_link_recv(struct weir_conn *conn, struct weir_slice data)
{
    struct weir_tls_link *link = conn->tls;
    uint8_t plain[RECORD_BYTES_MAX];
    WEIR_ASSERT(data.len > 0);
    if (conn->eof)
        weir_conn_stop_recv(conn); /* nothing may follow a close_notify: it is not read any more */
    if (!receiving(link))
        return;
    errors_forget();
    link->in = data;
    if (WEIR_UNLIKELY(!link->secured) && handshake(link) && conn->handler->on_secure != NULL)
        conn->handler->on_secure(conn);
    while (link->secured && receiving(link) && link->in.len > 0) {
        size_t n;
        uint64_t before = link->wire.bytes;
        errors_forget(); /* those of a callback's that used OpenSSL for something else */
        int rc = SSL_read_ex(link->ssl, plain, sizeof plain, &n);
        record_add(link, before, 0); /* an answer to a request for new keys, an alert */
        if (rc != 1)
            read_ended(link, rc);
        else
            conn->handler->on_recv(conn, (struct weir_slice){ plain, n });
    }
    link->in = (struct weir_slice){ 0 };
    if (link->wire.bytes + conn->out.bytes > 0 && conn->state == WEIR_CONN_OPEN)
        weir_conn_flush(conn);
}

bool weir_tls_link_eof(struct weir_conn *conn)
{
    struct weir_tls_link *link = conn->tls;
    if (conn->eof || link->failed)
        return false; /* close_notify has said it */
    if (!link->secured) {
        link_fail(link, WEIR_E_TLS, "TLS handshake", "the peer ended the connection");
        return false;
    }
    conn->eof_unclean = true;
    return true;
}

/* ---- Sending ----------------------------------------------------------------------------- */

/* A place in conn->out. */
struct cursor {
    const struct weir_seg *seg;
    size_t at;
};

/* On to where there are bytes. */
static void cursor_settle(struct cursor *cursor)
{
    while (cursor->at == cursor->seg->len && cursor->seg->next != NULL)
        *cursor = (struct cursor){ cursor->seg->next, 0 };
}

static void cursor_move(struct cursor *cursor, size_t bytes)
{
    while (bytes > 0) {
        size_t n = weir_min_u64(bytes, cursor->seg->len - cursor->at);
        bytes -= n;
        cursor->at += n;
        if (cursor->at == cursor->seg->len) {
            cursor->seg = cursor->seg->next;
            cursor->at = 0;
        }
    }
}

/*
 * The plaintext of the next record: where it lies, or gathered in `space` when small parts are in
 * line, since a record costs more than copying it.
 */
static struct weir_slice record_plain(struct cursor *cursor, uint64_t left, uint8_t *space)
{
    size_t want = weir_min_u64(left, RECORD_BYTES_MAX);
    cursor_settle(cursor);
    const uint8_t *here = cursor->seg->ptr + cursor->at;
    if (cursor->seg->len - cursor->at >= want) {
        cursor_move(cursor, want);
        return (struct weir_slice){ here, want };
    }
    for (size_t used = 0; used < want;) {
        cursor_settle(cursor);
        size_t n = weir_min_u64(want - used, cursor->seg->len - cursor->at);
        memcpy(space + used, cursor->seg->ptr + cursor->at, n);
        used += n;
        cursor_move(cursor, n);
    }
    return (struct weir_slice){ space, want };
}

static void seal_batch(struct weir_tls_link *link)
{
    struct weir_conn *conn = link->conn;
    uint8_t space[RECORD_BYTES_MAX];
    struct cursor cursor = { conn->out.first, 0 };
    WEIR_ASSERT(link->sealed == 0);
    for (uint32_t i = 0; i < BATCH_RECORDS && link->sealed < conn->out.bytes; i++) {
        struct weir_slice plain = record_plain(&cursor, conn->out.bytes - link->sealed, space);
        uint64_t before = link->wire.bytes;
        size_t n = 0;
        int rc = SSL_write_ex(link->ssl, plain.ptr, plain.len, &n);
        if (rc != 1) {
            int kind = SSL_get_error(link->ssl, rc);
            record_add(link, before, 0);
            /* Half of a handshake message has come, a new ticket say: first the rest of it. */
            if (kind == SSL_ERROR_WANT_READ)
                break;
            link_failed_ssl(link, kind);
            return;
        }
        WEIR_ASSERT(n == plain.len);
        record_add(link, before, (uint32_t)n);
    }
    conn->sending_bytes = link->sealed;
}

/* Is all said, and the end to be announced? */
static bool notify_due(const struct weir_tls_link *link)
{
    return link->conn->finishing && !link->notified && link->sealed == link->conn->out.bytes;
}

struct weir_sendq *weir_tls_link_seal(struct weir_conn *conn)
{
    struct weir_tls_link *link = conn->tls;
    WEIR_ASSERT(!conn->send_inflight);
    if (!link->secured || link->failed)
        return &link->wire;
    errors_forget();
    if (link->sealed == 0 && conn->out.bytes > 0)
        seal_batch(link);
    if (!link->failed && notify_due(link)) {
        uint64_t before = link->wire.bytes;
        link->notified = true;
        if (SSL_shutdown(link->ssl) < 0)
            errors_forget(); /* the stream ends without it: the peer sees that it was cut */
        record_add(link, before, 0);
    }
    return &link->wire;
}

/* ---- Beginning and end ------------------------------------------------------------------- */

static struct weir_tls_link *link_new(struct weir_conn *conn, struct weir_tls *tls,
                                      struct weir_slice name, struct weir_slice key)
{
    size_t key_bytes = tls->cached ? name.len + 1 + key.len : 0;
    if (key_bytes > WEIR_TLS_KEY_BYTES_MAX)
        key_bytes = 0;
    struct weir_tls_link *link = OPENSSL_zalloc(sizeof *link + key_bytes);
    if (link == NULL)
        return NULL;
    BIO *bio = BIO_new(tls->bio);
    link->ssl = SSL_new(tls->ctx);
    if (bio == NULL || link->ssl == NULL) {
        BIO_free(bio);
        SSL_free(link->ssl);
        OPENSSL_free(link);
        return NULL;
    }
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(link->ssl, bio, bio);
    SSL_set_app_data(link->ssl, link);
    link->tls = weir_tls_get(tls);
    link->conn = conn;
    weir_list_init(&link->spares);
    link->key_bytes = key_bytes;
    if (key_bytes > 0) {
        /* A session is as good as the name that was verified when it began: that is in the key. */
        if (name.len > 0)
            memcpy(link->key, name.ptr, name.len);
        if (key.len > 0)
            memcpy(link->key + name.len + 1, key.ptr, key.len);
    }
    return link;
}

static void link_free(struct weir_tls_link *link)
{
    /* OpenSSL would spoil the session of a connection that ended without close_notify. */
    if (!link->failed)
        SSL_set_shutdown(link->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(link->ssl);
    OPENSSL_free(link->error);
    weir_tls_put(link->tls);
    OPENSSL_free(link);
}

/*
 * Whom a client wants to speak to: SNI for names only (RFC 6066 section 3), without the dot at the
 * end, which certificates do not have either.
 */
static int name_set(struct weir_tls_link *link, struct weir_slice name)
{
    char text[SERVER_NAME_BYTES_MAX + 1];
    X509_VERIFY_PARAM *param = SSL_get0_param(link->ssl);
    if (name.len == 0)
        return link->tls->verify ? -EINVAL : 0;
    if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = (struct weir_slice){ name.ptr + 1, name.len - 2 };
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > SERVER_NAME_BYTES_MAX || memchr(name.ptr, 0, name.len) != NULL)
        return -EINVAL;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    char *zone = strchr(text, '%');
    if (text[0] == '.' || (zone != NULL && memchr(text, ':', (size_t)(zone - text)) == NULL))
        return -EINVAL; /* to OpenSSL a dot in front means any host below */
    if (zone != NULL)
        *zone = '\0'; /* of a link-local address; nobody else's matter */
    if (X509_VERIFY_PARAM_set1_ip_asc(param, text) == 1)
        return 0;
    errors_forget();
    /* The subject's common name is no host's any more (RFC 9525 section 2). */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_host(param, text, 0) != 1 ||
        SSL_set_tlsext_host_name(link->ssl, text) != 1)
        return -EINVAL;
    return 0;
}

static int client_begin(struct weir_tls_link *link, struct weir_slice name)
{
    int rc = name_set(link, name);
    if (rc < 0)
        return rc;
    SSL_set_connect_state(link->ssl);
    SSL_SESSION *session = NULL;
    if (link->key_bytes > 0)
        session = weir_tls_cache_take(&link->tls->cache,
                                      (struct weir_slice){ link->key, link->key_bytes });
    if (session != NULL) {
        if (SSL_set_session(link->ssl, session) != 1)
            errors_forget(); /* of a version that is not spoken any more: a full handshake */
        SSL_SESSION_free(session);
    }
    return 0;
}

int weir_conn_secure(struct weir_conn *conn, struct weir_tls *tls, struct weir_slice server_name,
                     struct weir_slice session_key)
{
    WEIR_ASSERT(conn->state == WEIR_CONN_OPEN && !conn->finishing);
    WEIR_ASSERT(conn->tls == NULL && !conn->send_inflight && conn->sent_bytes == 0);
    errors_forget();
    struct weir_tls_link *link = link_new(conn, tls, server_name, session_key);
    if (link == NULL) {
        errors_forget();
        return -ENOMEM;
    }
    int rc = 0;
    if (tls->side == WEIR_TLS_SERVER)
        SSL_set_accept_state(link->ssl);
    else
        rc = client_begin(link, server_name);
    if (rc < 0) {
        errors_forget();
        link_free(link);
        return rc;
    }
    conn->tls = link;
    if (tls->side == WEIR_TLS_CLIENT) {
        (void)handshake(link); /* the first flight; it cannot be complete with it */
        weir_conn_flush(conn);
    }
    return 0;
}

void weir_tls_link_free(struct weir_conn *conn)
{
    struct weir_tls_link *link = conn->tls;
    struct weir_list unsent;
    struct weir_list *node;
    WEIR_ASSERT(conn->slot.inflight == 0);
    weir_list_init(&unsent);
    while ((node = weir_list_pop_front(&link->spares)) != NULL) {
        struct spare *spare = weir_container_of(node, struct spare, node);
        if (spare->seg.done)
            continue; /* its on_free comes */
        /* This one's would come in a later pass, which there may not be. */
        spare->seg.on_free = NULL;
        weir_list_push_back(&unsent, node);
    }
    weir_sendq_clear(conn->engine, &link->wire);
    while ((node = weir_list_pop_front(&unsent)) != NULL)
        OPENSSL_free(weir_container_of(node, struct spare, node));
    conn->tls = NULL;
    link_free(link);
}

int weir_tls_link_on_session(SSL *ssl, SSL_SESSION *session)
{
    struct weir_tls_link *link = SSL_get_app_data(ssl);
    if (link->key_bytes == 0 || !SSL_SESSION_is_resumable(session))
        return 0;
    weir_tls_cache_put(&link->tls->cache, (struct weir_slice){ link->key, link->key_bytes },
                       session);
    return 1; /* the reference is taken */
}

/* ---- What is told ------------------------------------------------------------------------ */

bool weir_tls_link_failed(const struct weir_conn *conn)
{
    return conn->tls->failed;
}

bool weir_tls_link_secured(const struct weir_conn *conn)
{
    return conn->tls->secured;
}

bool weir_conn_tls_info(const struct weir_conn *conn, struct weir_tls_info *out)
{
    *out = (struct weir_tls_info){ 0 };
    if (conn->tls == NULL || !conn->tls->secured)
        return false;
    SSL *ssl = conn->tls->ssl;
    const unsigned char *alpn;
    unsigned alpn_bytes;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_bytes);
    *out = (struct weir_tls_info){ .version = SSL_get_version(ssl),
                                   .cipher = SSL_get_cipher_name(ssl),
                                   .alpn = { alpn, alpn_bytes },
                                   .resumed = SSL_session_reused(ssl) };
    return true;
}

const char *weir_conn_tls_error(const struct weir_conn *conn)
{
    return conn->tls != NULL && conn->tls->error != NULL ? conn->tls->error : "";
}
