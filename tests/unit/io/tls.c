/* SPDX-License-Identifier: MIT */
/* TLS configurations: every mistake is named; references; the key log. */
#include "io/tls.h"

#include "tls_rig.h"

#include <sys/stat.h>

static void refused(const struct weir_tls_config *cfg, int err, const char *word,
                    const char *other_word)
{
    struct weir_tls *tls = (void *)(uintptr_t)1;
    assert_int_equal(weir_tls_open(&tls, cfg), err);
    assert_null(tls);
    if (strstr(weir_error_text(), word) == NULL)
        assert_string_equal(weir_error_text(), word);
    if (strstr(weir_error_text(), other_word) == NULL)
        assert_string_equal(weir_error_text(), other_word);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_fields(void **state)
{
    (void)state;
    struct weir_tls_config cfg = tls_client_config();
    cfg.size--;
    refused(&cfg, -EINVAL, "size", "weir_tls_config_init");
    cfg = tls_client_config();
    cfg.side = (enum weir_tls_side)2;
    refused(&cfg, -EINVAL, "side", "2");
    cfg = tls_client_config();
    cfg.verify = (enum weir_tls_verify)3;
    refused(&cfg, -EINVAL, "verify", "3");
    cfg = tls_client_config();
    cfg.min_version = (enum weir_tls_version)9;
    refused(&cfg, -EINVAL, "min_version", "9");
    cfg = tls_client_config();
    cfg.session_cache_max = 0;
    refused(&cfg, -EINVAL, "session_cache_max", "0");
    cfg = tls_server_config();
    cfg.cert_file = NULL;
    refused(&cfg, -EINVAL, "cert_file", "required");
    cfg = tls_server_config();
    cfg.key_file = NULL;
    refused(&cfg, -EINVAL, "key_file", "required");
    cfg = tls_client_config();
    cfg.key_file = tls_path("client.key");
    refused(&cfg, -EINVAL, "cert_file", "required");
    cfg = tls_server_config();
    cfg.verify = WEIR_TLS_VERIFY_PEER;
    refused(&cfg, -EINVAL, "ca_file", "required");
}

static void test_files(void **state)
{
    (void)state;
    struct weir_tls_config cfg = tls_client_config();
    cfg.verify = WEIR_TLS_VERIFY_NONE;
    cfg.ca_file = tls_path("ca.crt");
    refused(&cfg, -EINVAL, "ca_file", "nothing is verified");
    cfg.verify = WEIR_TLS_VERIFY_DEFAULT;
    cfg.ca_file = tls_path("nowhere.crt");
    refused(&cfg, -ENOENT, "ca_file", "nowhere.crt");
    cfg.ca_file = tls_directory;
    refused(&cfg, -EISDIR, "ca_file", tls_directory);
    tls_write_text("empty", "");
    cfg.ca_file = tls_path("empty");
    refused(&cfg, -EINVAL, "ca_file", "empty");
    tls_write_text("text", "This is not a certificate.\n");
    cfg.ca_file = tls_path("text");
    refused(&cfg, -EINVAL, "PEM", "/text");

    cfg = tls_server_config();
    cfg.cert_file = tls_path("nowhere.crt");
    refused(&cfg, -ENOENT, "cert_file", "nowhere.crt");
    cfg = tls_server_config();
    cfg.cert_file = tls_path("text");
    refused(&cfg, -EINVAL, "cert_file", "PEM");
    cfg = tls_server_config();
    cfg.cert_file = tls_path("server.key");
    refused(&cfg, -EINVAL, "cert_file", "PEM");
    cfg = tls_server_config();
    cfg.key_file = tls_path("text");
    refused(&cfg, -EINVAL, "key_file", "PEM");
    cfg = tls_server_config();
    cfg.key_file = tls_path("client.key");
    refused(&cfg, -EINVAL, "client.key", "server.crt");
    cfg = tls_server_config();
    cfg.verify = WEIR_TLS_VERIFY_PEER;
    cfg.ca_file = tls_path("text");
    refused(&cfg, -EINVAL, "ca_file", "PEM");
}

static void test_encrypted_key(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *out = fopen(tls_path("secret.key"), "w");
    assert_int_equal(
        PEM_write_PrivateKey(out, key, EVP_aes_128_cbc(), (unsigned char *)"word", 4, NULL, NULL),
        1);
    fclose(out);
    EVP_PKEY_free(key);
    struct weir_tls_config cfg = tls_server_config();
    cfg.key_file = tls_path("secret.key");
    refused(&cfg, -EINVAL, "key_file", "encrypted");
}

static void test_lists(void **state)
{
    (void)state;
    static const char *const bad[] = { ",", "h2,", ",h2", "h2,,http/1.1" };
    static const char *const good[] = { NULL, "", "h2", "h2,http/1.1" };
    char longest[400];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct weir_tls_config cfg = tls_client_config();
        cfg.alpn = bad[i];
        refused(&cfg, -EINVAL, "alpn", bad[i]);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct weir_tls_config cfg = i % 2 ? tls_client_config() : tls_server_config();
        cfg.alpn = good[i];
        weir_tls_close(tls_open(&cfg));
    }
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct weir_tls_config cfg = tls_client_config();
    cfg.alpn = longest;
    refused(&cfg, -EINVAL, "alpn", "255");
    cfg = tls_client_config();
    cfg.ciphers = "NOTHING-LIKE-THIS";
    refused(&cfg, -EINVAL, "ciphers", "NOTHING-LIKE-THIS");
    cfg.ciphers = "TLS_NO_SUCH";
    refused(&cfg, -EINVAL, "ciphers", "TLS_NO_SUCH");
    cfg.ciphers = ":";
    refused(&cfg, -EINVAL, "ciphers", "none");
    cfg.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256";
    weir_tls_close(tls_open(&cfg));
}

static void test_references(void **state)
{
    (void)state;
    struct weir_tls_config cfg = tls_client_config();
    struct weir_tls *tls = tls_open(&cfg);
    assert_ptr_equal(weir_tls_get(tls), tls);
    weir_tls_close(tls);
    assert_int_equal(weir_tls_side(tls), WEIR_TLS_CLIENT);
    struct weir_tls_stats shorter = { .size = 8, .handshakes = 77 };
    weir_tls_stats(tls, &shorter);
    assert_int_equal(shorter.sessions_now, 0);
    assert_int_equal(shorter.handshakes, 77);
    weir_tls_put(tls);
    weir_tls_close(NULL);
}

static void test_key_log(void **state)
{
    (void)state;
    char path[128], line[512];
    struct weir_engine_config engine_cfg = rig_config();
    struct weir_engine *engine = rig_open(&engine_cfg);
    struct weir_tls_config cfg = tls_client_config(), server_cfg = tls_server_config();
    snprintf(path, sizeof path, "%s/no/such/directory", tls_directory);
    setenv("SSLKEYLOGFILE", path, 1);
    refused(&cfg, -ENOENT, "SSLKEYLOGFILE", path);
    snprintf(path, sizeof path, "%s/keys", tls_directory);
    setenv("SSLKEYLOGFILE", path, 1);
    struct weir_tls *client_tls = tls_open(&cfg);
    unsetenv("SSLKEYLOGFILE");
    struct weir_tls *server_tls = tls_open(&server_cfg);
    int fds[2];
    rig_unix_pair(fds);
    struct tls_end client = { .secured = 0 }, server = { .secured = 0 };
    assert_int_equal(tls_end_begin(&server, engine, fds[0], server_tls, NULL), 0);
    assert_int_equal(
        tls_end_begin(&client, engine, fds[1], client_tls, &(struct tls_name){ "localhost", "1" }),
        0);
    RIG_RUN_UNTIL(engine, client.secured && server.secured);
    tls_close(engine, &client);
    tls_close(engine, &server);
    weir_tls_close(client_tls);
    weir_tls_close(server_tls);
    rig_close(engine);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    unsigned lines = 0, traffic = 0;
    while (fgets(line, sizeof line, in) != NULL) {
        lines++;
        traffic += strstr(line, "CLIENT_TRAFFIC_SECRET_0 ") == line;
    }
    fclose(in);
    assert_true(lines >= 4);
    assert_int_equal(traffic, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),     cmocka_unit_test(test_files),
        cmocka_unit_test(test_lists),      cmocka_unit_test(test_encrypted_key),
        cmocka_unit_test(test_references), cmocka_unit_test(test_key_log),
    };
    return cmocka_run_group_tests(tests, tls_setup, tls_teardown);
}
