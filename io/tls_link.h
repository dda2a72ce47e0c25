/* SPDX-License-Identifier: MIT */
/*
 * TLS between a connection and its session: what arrives is decrypted before on_recv, what is on
 * conn->out is encrypted into a queue of its own before it is sent. See tls_link.c.
 *
 * weir_conn_secure() and what is told of a connection are for sessions; the rest is for conn.c.
 */
#ifndef WEIR_IO_TLS_LINK_H
#define WEIR_IO_TLS_LINK_H

#include "io/conn.h"
#include "io/tls.h"

struct weir_tls_link;

/*
 * Begin the handshake on an open connection: a server right after accept, a client in on_open.
 * on_secure follows, or on_closed with WEIR_E_TLS or WEIR_E_CERTIFICATE; output that is queued
 * before leaves after it. The deadline is the owner's.
 *
 * `server_name`: a client's: the host name or the IP address (also in brackets) of the server,
 * which is what its certificate must be for. `session_key`: what else must be equal for a session
 * to be resumed: the port. A server passes {0} for both.
 * @return 0; -EINVAL a name that is too long, not one, or none although it is to be verified;
 * -ENOMEM. On error the connection is as it was.
 */
int weir_conn_secure(struct weir_conn *conn, struct weir_tls *tls, struct weir_slice server_name,
                     struct weir_slice session_key) WEIR_MUST_USE;

/* What a handshake came to. Slices and texts are valid as long as the connection. */
struct weir_tls_info {
    const char *version;    /* "TLSv1.3" */
    const char *cipher;     /* "TLS_AES_256_GCM_SHA384" */
    struct weir_slice alpn; /* empty: none was agreed on */
    bool resumed;
};
/* @return false: the connection has no TLS, or its handshake is not complete */
bool weir_conn_tls_info(const struct weir_conn *conn, struct weir_tls_info *out);

/* Why TLS ended the connection, one line; "" when it did not. Also while on_closed runs. */
const char *weir_conn_tls_error(const struct weir_conn *conn);

/* ---- For conn.c, of a connection that has a link ------------------------------------------- */

/* Ciphertext has arrived. */
void weir_tls_link_recv(struct weir_conn *conn, struct weir_slice data);
/* The peer ended the stream. @return shall the session hear of it? */
bool weir_tls_link_eof(struct weir_conn *conn);
/* Encrypt what may be encrypted now. @return what is to be sent */
struct weir_sendq *weir_tls_link_seal(struct weir_conn *conn);
/* `bytes` of that were sent. @return how many bytes of conn->out they were */
uint64_t weir_tls_link_sent(struct weir_conn *conn, uint64_t bytes);
/* TLS has ended the connection, but for an alert that is still being sent. */
bool weir_tls_link_failed(const struct weir_conn *conn);
/* Is the handshake complete? */
bool weir_tls_link_secured(const struct weir_conn *conn);
/* The connection ends. Nothing is in flight. */
void weir_tls_link_free(struct weir_conn *conn);

#endif
