/* SPDX-License-Identifier: MIT */
/*
 * HTTPS with certificates of one's own: trusts the CA in CA_FILE and no other, and shows a
 * certificate where the server asks for one.
 *
 *   tls CA_FILE URL [CERT_FILE KEY_FILE]
 *
 * The second request takes up the session of the first: its handshake is shorter. For that both
 * use one struct weir_tls, which may be shared by any number of threads.
 */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

static int ask(struct weir_tls *tls, const char *url)
{
    struct weir_fetch fetch;
    struct weir_fetch_result result;
    weir_fetch_init(&fetch);
    fetch.url = url;
    fetch.tls = tls;
    int rc = weir_fetch(&fetch, &result);
    if (rc < 0) {
        /* WEIR_E_CERTIFICATE: it is not trusted, not valid now, or of another name. */
        fprintf(stderr, "tls: %s: %s (%s)\n", url, weir_error_text(), weir_err_name(rc));
        return rc;
    }
    printf("%u, %zu bytes, handshake %" PRIu64 " us\n", result.status, result.body.len,
           result.timing.tls_ns / 1000);
    weir_fetch_free(&result);
    return 0;
}

int main(int argc, char **argv)
{
    struct weir_tls *tls;
    struct weir_tls_config cfg;
    if (argc != 3 && argc != 5)
        return fprintf(stderr, "usage: tls CA_FILE URL [CERT_FILE KEY_FILE]\n"), 2;
    weir_tls_config_init(&cfg);
    cfg.ca_file = argv[1];
    if (argc == 5) {
        cfg.cert_file = argv[3];
        cfg.key_file = argv[4];
    }
    if (weir_tls_open(&tls, &cfg) < 0) /* the files are read, and checked, here */
        return fprintf(stderr, "tls: %s\n", weir_error_text()), 1;
    int rc = ask(tls, argv[2]);
    if (rc == 0)
        rc = ask(tls, argv[2]);
    struct weir_tls_stats stats = { .size = sizeof stats };
    weir_tls_stats(tls, &stats);
    printf("%" PRIu64 " handshakes, %" PRIu64 " of them resumed\n", stats.handshakes,
           stats.resumed);
    weir_tls_close(tls);
    return rc < 0;
}
