/* SPDX-License-Identifier: MIT */
/* TLS on connections: handshakes, what is verified, what is resumed. */
#include "io/tls_link.h"

#include "tls_pair.h"

/* ---- Handshakes -------------------------------------------------------------------------- */

static void test_facts(void **state)
{
    (void)state;
    struct weir_tls_config cfg = tls_server_config();
    struct weir_tls_info info;
    cfg.alpn = "h2,http/1.1";
    configure(NULL, &cfg);
    int fds[2];
    rig_tcp_pair(fds, 0);
    begin(fds[0], fds[1], &localhost);
    assert_false(weir_conn_tls_info(client.s.conn, &info));
    RIG_RUN_UNTIL(engine, client.secured && server.secured);
    assert_string_equal(client.version, "TLSv1.3");
    assert_string_equal(client.alpn, "http/1.1");
    assert_string_equal(server.alpn, "http/1.1");
    assert_false(client.resumed || server.resumed);
    assert_true(weir_conn_tls_info(server.s.conn, &info));
    assert_memory_equal(info.cipher, "TLS_", 4);
    assert_string_equal(weir_conn_tls_error(server.s.conn), "");
    assert_int_equal(tls_stats(server_tls).handshakes, 1);
    assert_int_equal(tls_stats(client_tls).handshakes, 1);
    part();
    assert_string_equal(client.error, "");
    /* The configuration outlives its owner for those who use it. */
    join(&localhost);
    weir_tls_close(client_tls);
    weir_tls_close(server_tls);
    client_tls = server_tls = NULL;
    rig_send(&client.s, 1000);
    RIG_RUN_UNTIL(engine, server.s.received == 1000);
    part();
}

static void test_versions(void **state)
{
    (void)state;
    struct weir_tls_config strict = tls_server_config(), old = tls_client_config();
    strict.min_version = WEIR_TLS_1_3;
    configure(NULL, &strict);
    join(&localhost);
    part();
    configure(&old, &strict);
    /* One that speaks no more than 1.2 to a server that wants 1.3. */
    int fds[2];
    rig_unix_pair(fds);
    assert_int_equal(tls_end_begin(&server, engine, fds[0], server_tls, NULL), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[1]);
    server = (struct tls_end){ .s.conn = server.s.conn };
    int rc = -1;
    RIG_RUN_UNTIL(engine,
                  ((rc = SSL_connect(ssl)) == 1 || SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ));
    assert_int_not_equal(rc, 1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[1]);
    RIG_RUN_UNTIL(engine, tls_closed(&server));
    assert_int_equal(server.s.err, WEIR_E_TLS);
    assert_non_null(strstr(server.error, "protocol"));
}

/* What the client says of servers, and how the server hears of it. */
static void test_verification(void **state)
{
    (void)state;
    const struct {
        const char *cert, *name, *reason; /* no reason: it is accepted */
    } cases[] = {
        { "server", "localhost", NULL },
        { "server", "localhost.", NULL },
        { "server", "LOCALHOST", NULL },
        { "server", "a.example.test", NULL },
        { "server", "127.0.0.1", NULL },
        { "server", "::1", NULL },
        { "server", "[::1]", NULL },
        { "server", "::1%lo", NULL },
        { "server", "127.0.0.2", "IP address mismatch" },
        { "server", "example.test", "hostname mismatch" },
        { "server", "a.b.example.test", "hostname mismatch" },
        { "server", "server", "hostname mismatch" }, /* its CN, which names do not lie in */
        { "expired", "localhost", "expired" },
        { "self", "localhost", "self-signed" },
        { "stranger", "localhost", "self-signed" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char cert[128], key[128];
        struct weir_tls_config cfg = tls_server_config();
        snprintf(cert, sizeof cert, "%s/%s.crt", tls_directory, cases[i].cert);
        snprintf(key, sizeof key, "%s/%s.key", tls_directory, cases[i].cert);
        cfg.cert_file = cert;
        cfg.key_file = key;
        configure(NULL, &cfg);
        shake(&(struct tls_name){ cases[i].name, "1" });
        if (cases[i].reason == NULL) {
            assert_int_equal(client.secured, 1);
            part();
            continue;
        }
        assert_int_equal(client.secured, 0);
        assert_int_equal(client.s.err, WEIR_E_CERTIFICATE);
        if (strstr(client.error, cases[i].reason) == NULL)
            assert_string_equal(client.error, cases[i].reason);
        RIG_RUN_UNTIL(engine, tls_closed(&server));
        assert_int_equal(server.s.err, WEIR_E_TLS);
        assert_non_null(strstr(server.error, "alert")); /* the client said why */
        assert_int_equal(tls_stats(client_tls).failed, 1);
        assert_int_equal(tls_stats(server_tls).failed, 1);
        part();
    }
}

static void test_unknown_authority(void **state)
{
    (void)state;
    struct weir_tls_config cfg = tls_client_config();
    cfg.ca_file = tls_path("stranger.crt");
    configure(&cfg, NULL);
    shake(&localhost);
    assert_int_equal(client.s.err, WEIR_E_CERTIFICATE);
    assert_non_null(strstr(client.error, "unable to get local issuer"));
    part();
    /* Whoever does not want to know. */
    cfg.verify = WEIR_TLS_VERIFY_NONE;
    cfg.ca_file = NULL;
    configure(&cfg, NULL);
    join(&(struct tls_name){ "no.such.name", "1" });
    part();
    join(NULL); /* then not even a name is needed */
    part();
}

static void test_names(void **state)
{
    (void)state;
    char longest[300];
    int fds[2];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    configure(NULL, NULL);
    const char *const bad[] = { "", longest, "[]" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        client = (struct tls_end){ .secured = 0 };
        rig_unix_pair(fds);
        assert_int_equal(
            tls_end_begin(&client, engine, fds[0], client_tls, &(struct tls_name){ bad[i], "1" }),
            -EINVAL);
        assert_null(client.s.conn->tls); /* as it was */
        rig_send(&client.s, 10);
        RIG_RUN_UNTIL(engine, client.s.conn->sent_bytes == 10);
        tls_close(engine, &client);
        close(fds[1]);
    }
}

static void test_client_certificate(void **state)
{
    (void)state;
    for (unsigned version = 0; version < 2; version++) {
        struct weir_tls_config s = tls_server_config(), c = tls_client_config();
        s.verify = WEIR_TLS_VERIFY_PEER;
        s.ca_file = tls_path("ca.crt");
        s.min_version = version == 0 ? WEIR_TLS_1_2 : WEIR_TLS_1_3;
        configure(NULL, &s);
        shake(&localhost);
        /* Of TLS 1.3 the client's handshake is complete before it is refused. */
        RIG_RUN_UNTIL(engine, tls_closed(&client) && tls_closed(&server));
        assert_int_equal(server.s.err, WEIR_E_CERTIFICATE);
        assert_non_null(strstr(server.error, "has none"));
        assert_int_equal(client.s.err, WEIR_E_TLS);
        assert_non_null(strstr(client.error, "alert"));
        c.cert_file = tls_path("self.crt");
        c.key_file = tls_path("self.key");
        configure(&c, &s);
        shake(&localhost);
        RIG_RUN_UNTIL(engine, tls_closed(&client) && tls_closed(&server));
        assert_int_equal(server.s.err, WEIR_E_CERTIFICATE);
        assert_non_null(strstr(server.error, "self-signed"));
        c.cert_file = tls_path("client.crt");
        c.key_file = tls_path("client.key");
        configure(&c, &s);
        for (unsigned i = 0; i < 2; i++) {
            join(&localhost);
            rig_send(&server.s, 100);
            RIG_RUN_UNTIL(engine, client.s.received == 100);
            assert_int_equal(client.resumed, i == 1); /* the certificate is in the session */
            part();
        }
    }
}

static void test_alpn(void **state)
{
    (void)state;
    struct weir_tls_config c = tls_client_config(), s = tls_server_config();
    c.alpn = "h2";
    configure(&c, NULL);
    shake(&localhost);
    RIG_RUN_UNTIL(engine, tls_closed(&client) && tls_closed(&server));
    assert_int_equal(client.s.err, WEIR_E_TLS);
    assert_non_null(strstr(client.error, "no application protocol"));
    assert_int_equal(server.s.err, WEIR_E_TLS);
    /* One side that does not care. */
    c.alpn = NULL;
    configure(&c, NULL);
    join(&localhost);
    assert_string_equal(client.alpn, "");
    part();
    s.alpn = "";
    configure(NULL, &s);
    join(&localhost);
    assert_string_equal(client.alpn, "");
    part();
}

/* ---- Resumption -------------------------------------------------------------------------- */

/* Connect once more, and let the tickets arrive. */
static bool resumes(const char *name, const char *key)
{
    join(&(struct tls_name){ name, key });
    rig_send(&server.s, 10); /* behind the tickets */
    RIG_RUN_UNTIL(engine, client.s.received == 10);
    assert_int_equal(client.resumed, server.resumed);
    part();
    return client.resumed;
}

static void test_resumption(void **state)
{
    (void)state;
    struct weir_tls_config cfg = tls_server_config();
    for (unsigned round = 0; round < 2; round++) {
        struct weir_tls_config c = tls_client_config();
        if (round == 1)
            c.ciphers = "ECDHE+AESGCM"; /* the suites of 1.3 stay as they are */
        configure(&c, &cfg);
        assert_false(resumes("localhost", "1"));
        assert_int_equal(tls_stats(client_tls).sessions_now, 2);
        assert_true(resumes("localhost", "1"));
        assert_true(resumes("localhost", "1"));
        assert_false(resumes("localhost", "2"));
        /* A name that was not verified when the session began. */
        assert_false(resumes("a.example.test", "1"));
        assert_true(resumes("a.example.test", "1"));
        assert_int_equal(tls_stats(client_tls).resumed, 3);
        assert_int_equal(tls_stats(server_tls).resumed, 3);
        assert_int_equal(tls_stats(server_tls).handshakes, 6);
    }
    /* Another configuration knows nothing. */
    configure(NULL, &cfg);
    assert_false(resumes("localhost", "1"));
    weir_tls_close(server_tls);
    server_tls = tls_open(&cfg); /* a server that was started again: its keys are new */
    assert_false(resumes("localhost", "1"));
    cfg.resume = false;
    configure(NULL, &cfg);
    assert_false(resumes("localhost", "1"));
    assert_int_equal(tls_stats(client_tls).sessions_now, 0);
    assert_false(resumes("localhost", "1"));
}

static void test_no_resumption(void **state)
{
    (void)state;
    struct weir_tls_config cfg = tls_client_config();
    cfg.resume = false;
    configure(&cfg, NULL);
    assert_false(resumes("localhost", "1"));
    assert_false(resumes("localhost", "1"));
    assert_int_equal(tls_stats(client_tls).sessions_now, 0);
}

/* Of TLS 1.2, by a peer that speaks no more. */
static void test_resumption_1_2(void **state)
{
    (void)state;
    configure(NULL, NULL);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, tls_path("server.crt")), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, tls_path("server.key"), SSL_FILETYPE_PEM), 1);
    for (unsigned i = 0; i < 3; i++) {
        int fds[2];
        rig_unix_pair(fds);
        client = (struct tls_end){ .secured = 0 };
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fds[1]);
        assert_int_equal(tls_end_begin(&client, engine, fds[0], client_tls, &localhost), 0);
        RIG_RUN_UNTIL(engine, SSL_accept(ssl) == 1 && client.secured);
        assert_string_equal(client.version, "TLSv1.2");
        assert_int_equal(client.resumed, i > 0);
        assert_int_equal(tls_stats(client_tls).sessions_now, 1); /* used as often as liked */
        /* No session is spoilt by an end that nobody announced. */
        SSL_set_quiet_shutdown(ssl, 1);
        SSL_free(ssl);
        close(fds[1]);
        RIG_RUN_UNTIL(engine, client.s.seen[RIG_EOF] == 1);
        assert_true(client.unclean);
        tls_close(engine, &client);
    }
    SSL_CTX_free(ctx);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(test_facts),         LINK_TEST(test_versions),
        LINK_TEST(test_verification),  LINK_TEST(test_unknown_authority),
        LINK_TEST(test_names),         LINK_TEST(test_client_certificate),
        LINK_TEST(test_alpn),          LINK_TEST(test_resumption),
        LINK_TEST(test_no_resumption), LINK_TEST(test_resumption_1_2),
    };
    LINK_RUN(tests);
}
