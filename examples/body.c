/* SPDX-License-Identifier: MIT */
/*
 * A server of one large body: answers every GET from memory that is never copied into the library.
 *
 *   body [--listen ADDR:PORT] [--bytes SIZE] [--ring KIND] [--cpu N] [--register] [--stats]
 *
 * --register locks the body and registers it with the ring; --stats prints at the end how many
 * sends were zero-copy, and how many of those the kernel copied all the same. SIGTERM ends it.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/weir.h>

struct options {
    struct weir_engine_config engine;
    struct weir_server_config server;
    uint64_t bytes;
    bool locked, stats;
};

static struct weir_engine *volatile running; /* what the signal stops */
static uint8_t *memory;                      /* the body */

static void on_signal(int number)
{
    (void)number;
    weir_engine_stop(running);
}

static int parse_cpu(int32_t *out, const char *text)
{
    uint64_t cpu;
    int rc = weir_parse_number(&cpu, text, 0, INT32_MAX);
    if (rc == 0)
        *out = (int32_t)cpu;
    return rc;
}

/* @return 0, or < 0: said on standard error */
static int options_parse(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        { "listen", required_argument, NULL, 'l' },
        { "bytes", required_argument, NULL, 'b' },
        { "ring", required_argument, NULL, 'r' },
        { "cpu", required_argument, NULL, 'c' },
        { "register", no_argument, NULL, 'R' },
        { "stats", no_argument, NULL, 's' },
        { NULL, 0, NULL, 0 },
    };
    int option;
    int index = 0;
    int rc = 0;
    while (rc == 0 && (option = getopt_long(argc, argv, "", names, &index)) != -1) {
        if (option == 'l')
            o->server.listen = optarg;
        else if (option == 'b')
            rc = weir_parse_size_bytes(&o->bytes, optarg);
        else if (option == 'r')
            rc = weir_parse_ring(&o->engine.ring, optarg);
        else if (option == 'c')
            rc = parse_cpu(&o->engine.cpu, optarg);
        else if (option == 'R')
            o->locked = true;
        else if (option == 's')
            o->stats = true;
        else
            return -1; /* getopt has said why */
    }
    if (rc < 0)
        fprintf(stderr, "body: --%s: %s\n", names[index].name, weir_error_text());
    else if (optind < argc)
        fprintf(stderr, "body: what is '%s'?\n", argv[optind]);
    return rc < 0 || optind < argc ? -1 : 0;
}

static bool is(struct weir_slice text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static void on_request(struct weir_exchange *x, void *ctx)
{
    const struct weir_slice *body = ctx;
    struct weir_slice method = weir_exchange_method(x);
    struct weir_response r = { .status = 405 };
    if (is(method, "GET") || is(method, "HEAD"))
        r = (struct weir_response){ .status = 200,
                                    .content_type = WEIR_TEXT("application/octet-stream"),
                                    .body = *body,
                                    .how = WEIR_BODY_BORROW };
    if (weir_exchange_respond(x, &r) < 0)
        weir_exchange_abort(x, WEIR_ABORT_RST);
}

/* The alphabet again and again. @return false: no memory */
static bool body_make(uint64_t bytes)
{
    memory = malloc(bytes > 0 ? bytes : 1);
    for (uint64_t i = 0; memory != NULL && i < bytes; i++)
        memory[i] = (uint8_t)('a' + i % 26);
    return memory != NULL;
}

static void stats_print(const struct weir_engine *engine)
{
    struct weir_engine_stats stats = { .size = sizeof stats };
    weir_engine_stats(engine, &stats);
    fprintf(stderr, "zc_sends %" PRIu64 " zc_copied %" PRIu64 "\n", stats.zc_sends,
            stats.zc_copied);
}

/* Serve until the signal. What was registered is so until the engine's end. @return 0, or < 0: said
 * on standard error */
static int serve(struct weir_engine *engine, const struct options *o, struct weir_slice body)
{
    const struct weir_server_handler handler = { .on_request = on_request };
    struct weir_server *server;
    int rc = o->locked ? weir_engine_register(engine, body) : 0;
    if (rc >= 0)
        rc = weir_server_open(&server, engine, &o->server, &handler, &body);
    if (rc < 0) {
        fprintf(stderr, "body: %s\n", weir_error_text());
        return rc;
    }
    if (printf("listening on %s\n", weir_server_address(server)) < 0 || fflush(stdout) != 0)
        rc = -EIO;
    else
        rc = weir_engine_run(engine);
    int closed = weir_server_close(server);
    rc = rc < 0 ? rc : closed;
    if (rc < 0)
        fprintf(stderr, "body: %s\n", weir_strerror(rc));
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = { .bytes = 1u << 20 };
    struct weir_engine *engine;
    weir_engine_config_init(&o.engine);
    weir_server_config_init(&o.server);
    o.server.listen = "127.0.0.1:8080";
    if (options_parse(&o, argc, argv) < 0)
        return 2;
    if (!body_make(o.bytes)) {
        fprintf(stderr, "body: no memory for %" PRIu64 " bytes\n", o.bytes);
        return 1;
    }
    if (weir_engine_open(&engine, &o.engine) < 0) {
        fprintf(stderr, "body: %s\n", weir_error_text());
        free(memory);
        return 1;
    }
    running = engine;
    const struct sigaction stop = { .sa_handler = on_signal };
    int rc = sigaction(SIGTERM, &stop, NULL);
    if (rc < 0)
        perror("body: sigaction");
    else
        rc = serve(engine, &o, (struct weir_slice){ memory, o.bytes });
    if (rc == 0 && o.stats)
        stats_print(engine);
    if (weir_engine_close(engine) < 0)
        return 1; /* the ring broke: what is still open keeps the memory */
    free(memory);
    return rc < 0;
}
