/* SPDX-License-Identifier: MIT */
#include "perf/get/secure.h"

#include <errno.h>
#include <stdio.h>

static int secure_try(struct weir_tls **out, const struct weir_tls_config *cfg,
                      enum get_status status, struct get_error *error)
{
    int result = weir_tls_open(out, cfg);
    if (result == 0)
        return 0;
    error->status = result == -ENOMEM ? GET_STATUS_MEMORY : status;
    snprintf(error->text, sizeof(error->text), "%s", weir_error_text());
    return result;
}

int get_secure_open(struct weir_tls **out, const struct get_options *options,
                    struct get_error *error)
{
    struct weir_tls_config cfg;
    *out = NULL;
    if (options->url.scheme != WEIR_URL_HTTPS ||
        (!options->insecure && options->ca_file == NULL && options->cert_file == NULL))
        return 0;
    weir_tls_config_init(&cfg);
    if (options->insecure)
        cfg.verify = WEIR_TLS_VERIFY_NONE;
    else
        cfg.ca_file = options->ca_file;
    int result = secure_try(out, &cfg, GET_STATUS_CA_FILE, error);
    if (result < 0 || options->cert_file == NULL)
        return result;
    /* Once more with the own certificate: so it is known which of the files is to blame. */
    weir_tls_close(*out);
    *out = NULL;
    cfg.cert_file = options->cert_file;
    cfg.key_file = options->key_file;
    return secure_try(out, &cfg, GET_STATUS_OWN_CERTIFICATE, error);
}
