/* SPDX-License-Identifier: MIT */
/* The smallest server: answers every request with a greeting. Usage: hello [ADDR:PORT] */
#include <stdio.h>
#include <weir/weir.h>

static void on_request(struct weir_exchange *x, void *ctx)
{
    (void)ctx;
    struct weir_response r = { .status = 200,
                               .content_type = WEIR_TEXT("text/plain"),
                               .body = WEIR_TEXT("hello\n") };
    if (weir_exchange_respond(x, &r) < 0)
        weir_exchange_abort(x, WEIR_ABORT_RST);
}

int main(int argc, char **argv)
{
    struct weir_engine *engine;
    struct weir_server *server;
    struct weir_engine_config ec;
    struct weir_server_config sc;
    weir_engine_config_init(&ec);
    weir_server_config_init(&sc);
    sc.listen = argc > 1 ? argv[1] : "127.0.0.1:8080";
    const struct weir_server_handler handler = { .on_request = on_request };
    if (weir_engine_open(&engine, &ec) < 0 ||
        weir_server_open(&server, engine, &sc, &handler, NULL) < 0) {
        fprintf(stderr, "hello: %s\n", weir_error_text());
        return 1;
    }
    printf("listening on %s\n", weir_server_address(server));
    fflush(stdout);
    return weir_engine_run(engine) < 0;
}
