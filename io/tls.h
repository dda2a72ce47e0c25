/* SPDX-License-Identifier: MIT */
/*
 * A TLS configuration: one SSL_CTX, its session cache and its counters, behind a count of
 * references. Only io/tls*.c see into OpenSSL; whoever has connections needs get, put and side.
 */
#ifndef WEIR_IO_TLS_H
#define WEIR_IO_TLS_H

#include "core/base.h"

#include <weir/tls.h>

/* One more who uses it. */
struct weir_tls *weir_tls_get(struct weir_tls *tls);
/* One less; the last one frees it. */
void weir_tls_put(struct weir_tls *tls);
enum weir_tls_side weir_tls_side(const struct weir_tls *tls);

#endif
