/* SPDX-License-Identifier: MIT */
/*
 * The library's HTTP client against a server that nobody here wrote: bodies of every size and
 * framing, compared by checksum, connections that nginx closes when it likes, and an nginx that
 * dies in the middle of an answer.
 *
 * nginx runs as one process with a configuration and a directory of its own, on a port that was
 * free a moment before; when somebody else was faster, another is tried. It dies with this program.
 */
#include <weir/weir.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <dirent.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MS          UINT64_C(1000000)
#define WAIT_NS     (30000 * MS)
#define SEED        UINT64_C(20240621)
#define LARGE_BYTES (16U << 20)
#define TEXT_BYTES  256
#define SUM_START   UINT64_C(0xcbf29ce484222325)

/* ---- nginx -------------------------------------------------------------------------------- */

struct nginx {
    char dir[64];
    char endpoint[64];
    pid_t pid;
};

static const char conf_format[] =
    "daemon off; master_process off; pid nginx.pid; error_log error.log;\n"
    "events { worker_connections 512; }\n"
    "http {\n"
    "access_log off; client_max_body_size 8m; keepalive_requests 1000000;\n"
    "client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;\n"
    "scgi_temp_path t5;\n"
    "server {\n"
    "listen 127.0.0.1:%u; root www;\n"
    "location /empty { return 204; }\n"
    "location /unchanged { return 304; }\n"
    "location /broken { return 500 \"broken\"; }\n"
    "location /method { return 200 \"$request_method $http_x_probe\"; }\n"
    "location /ten { keepalive_requests 10; return 200 \"$connection_requests\"; }\n"
    "location /slow/ { alias www/; limit_rate 64k; }\n"
    "location /page { ssi on; ssi_types *; }\n"
    "location /put { dav_methods PUT DELETE; create_full_put_path on; }\n"
    "location /small/ { client_max_body_size 1k; dav_methods PUT; }\n"
    "} }\n";

static void path_of(char out[256], const char *dir, const char *name)
{
    int len = snprintf(out, 256, "%s/%s", dir, name);
    assert_in_range(len, 1, 255);
}

static void write_file(const struct nginx *nginx, const char *name, const void *bytes, size_t len)
{
    char path[256];
    path_of(path, nginx->dir, name);
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static unsigned free_port(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    close(fd);
    return ntohs(addr.sin_port);
}

/* NULL: not installed. */
static const char *nginx_binary(void)
{
    static const char *const paths[] = { "/usr/sbin/nginx", "/usr/bin/nginx", "/sbin/nginx",
                                         "/usr/local/sbin/nginx", "/usr/local/bin/nginx" };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

static pid_t nginx_spawn(const struct nginx *nginx)
{
    const char *binary = nginx_binary();
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char log[256];
    path_of(log, nginx->dir, "stderr.log");
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (getppid() != parent || fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(127);
    execl(binary, binary, "-p", nginx->dir, "-c", "nginx.conf", "-e", "error.log", (char *)NULL);
    _exit(127);
}

/* Its pid file appears when it has bound the port. @return false: it ended instead */
static bool nginx_is_up(struct nginx *nginx)
{
    char path[256];
    path_of(path, nginx->dir, "nginx.pid");
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    while (access(path, F_OK) != 0) {
        assert_true(weir_clock_ns() < until_ns);
        if (waitpid(nginx->pid, NULL, WNOHANG) == nginx->pid) {
            nginx->pid = 0;
            return false;
        }
        poll(NULL, 0, 1);
    }
    return true;
}

static void nginx_kill(struct nginx *nginx)
{
    if (nginx->pid > 0) {
        assert_int_equal(kill(nginx->pid, SIGKILL), 0);
        assert_int_equal(waitpid(nginx->pid, NULL, 0), nginx->pid);
    }
    nginx->pid = 0;
}

static void nginx_stop(struct nginx *nginx)
{
    nginx_kill(nginx);
    assert_int_equal(nftw(nginx->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void nginx_start(struct nginx *nginx)
{
    *nginx = (struct nginx){ .dir = "/tmp/weir-e2e-XXXXXX" };
    assert_non_null(mkdtemp(nginx->dir));
    char path[256];
    path_of(path, nginx->dir, "www");
    assert_int_equal(mkdir(path, 0755), 0);
    for (int attempt = 0; attempt < 10; attempt++) {
        unsigned port = free_port();
        char conf[sizeof conf_format + 16];
        int len = snprintf(conf, sizeof conf, conf_format, port);
        assert_in_range(len, 1, sizeof conf - 1);
        write_file(nginx, "nginx.conf", conf, (size_t)len);
        snprintf(nginx->endpoint, sizeof nginx->endpoint, "http://127.0.0.1:%u", port);
        nginx->pid = nginx_spawn(nginx);
        if (nginx_is_up(nginx))
            return;
    }
    char log[512] = "";
    path_of(path, nginx->dir, "stderr.log");
    FILE *file = fopen(path, "rbe");
    if (file != NULL && fread(log, 1, sizeof log - 1, file) > 0)
        print_error("%s\n", log);
    fail_msg("nginx does not start");
}

/* ---- Calls -------------------------------------------------------------------------------- */

/* FNV-1a, 64 bits. */
static uint64_t sum_add(uint64_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* One request, and all that came of it. */
struct transfer {
    struct weir_call call;
    uint64_t sum;
    uint64_t bytes;
    unsigned heads, ends;
    int err;
    bool chunked;
    bool cancel_at_body; /* give up as soon as something of the body is there */
    int64_t length;      /* Content-Length, -1 = none */
    char text[TEXT_BYTES];
};

static void on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct transfer *t = call->ctx;
    t->heads++;
    assert_int_equal(weir_response_status(head), call->status);
    struct weir_slice te = weir_response_header(head, WEIR_TEXT("transfer-encoding"));
    t->chunked = te.len == 7 && memcmp(te.ptr, "chunked", 7) == 0;
    struct weir_slice length = weir_response_header(head, WEIR_TEXT("CONTENT-LENGTH"));
    t->length = length.ptr == NULL ? -1 : 0;
    for (size_t i = 0; i < length.len; i++)
        t->length = t->length * 10 + (length.ptr[i] - '0');
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    struct transfer *t = call->ctx;
    assert_int_equal(t->heads, 1);
    assert_true(piece.len > 0);
    t->sum = sum_add(t->sum, piece.ptr, piece.len);
    for (size_t i = 0; i < piece.len && t->bytes + i < TEXT_BYTES - 1; i++)
        t->text[t->bytes + i] = (char)piece.ptr[i];
    t->bytes += piece.len;
    if (t->cancel_at_body)
        weir_call_cancel(call);
}

static void on_end(struct weir_call *call, int err)
{
    struct transfer *t = call->ctx;
    t->ends++;
    t->err = err;
    assert_int_equal(call->timing.body_bytes, t->bytes);
}

static const struct weir_call_handler handler = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
};

struct peer {
    struct nginx nginx;
    struct weir_engine *engine;
    struct weir_client *client;
    uint8_t *large; /* what www/large.bin holds */
    unsigned descriptors;
};

static struct weir_slice text_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static void transfer_init(struct transfer *t, const char *method, const char *target)
{
    *t = (struct transfer){
        .call = { .request = { .method = text_of(method), .target = text_of(target) },
                  .handler = &handler },
        .sum = SUM_START,
    };
    t->call.ctx = t;
}

static void transfer_send(struct peer *peer, struct transfer *t)
{
    assert_int_equal(weir_client_send(peer->client, &t->call), 0);
    assert_int_equal(t->ends, 0);
}

static void run_until_ended(struct peer *peer, const struct transfer *transfers, size_t count)
{
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    for (size_t i = 0; i < count; i++) {
        while (transfers[i].ends == 0) {
            assert_true(weir_clock_ns() < until_ns);
            assert_int_equal(weir_engine_run_once(peer->engine, 10 * MS), 0);
        }
        assert_int_equal(transfers[i].ends, 1);
    }
}

static void perform(struct peer *peer, struct transfer *t, const char *method, const char *target)
{
    transfer_init(t, method, target);
    transfer_send(peer, t);
    run_until_ended(peer, t, 1);
}

/* Perform, and expect an answer with this status. */
static void fetch(struct peer *peer, struct transfer *t, const char *target, unsigned status)
{
    perform(peer, t, "GET", target);
    assert_int_equal(t->err, 0);
    assert_int_equal(t->call.status, status);
    assert_int_equal(t->heads, 1);
}

static void client_open(struct peer *peer, uint32_t conns_max, uint32_t pipeline_max)
{
    struct weir_client_config cfg;
    weir_client_config_init(&cfg);
    cfg.conns_min = 0;
    cfg.endpoint = peer->nginx.endpoint;
    cfg.conns_max = conns_max;
    cfg.pipeline_max = pipeline_max;
    int rc = weir_client_open(&peer->client, peer->engine, &cfg);
    if (rc < 0)
        print_error("%s\n", weir_error_text());
    assert_int_equal(rc, 0);
}

static struct weir_client_stats client_stats(const struct peer *peer)
{
    struct weir_client_stats stats = { .size = sizeof stats };
    weir_client_stats(peer->client, &stats);
    return stats;
}

static void client_close(struct peer *peer)
{
    struct weir_client_stats stats = client_stats(peer);
    assert_int_equal(stats.in_flight_now, 0);
    assert_int_equal(stats.waiting_now, 0);
    assert_int_equal(stats.calls, stats.completed + stats.failed);
    assert_int_equal(weir_client_close(peer->client), 0);
    peer->client = NULL;
}

/* ---- Set-up --------------------------------------------------------------------------------- */

static unsigned descriptors_count(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void bytes_fill(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = weir_random_u64(SEED, i, 0);
        memcpy(out + i, &word, len - i < 8 ? len - i : 8);
    }
}

static int group_setup(void **state)
{
    static struct peer peer;
    print_message("seed %" PRIu64 "\n", SEED);
    peer.descriptors = descriptors_count();
    peer.large = malloc(LARGE_BYTES);
    assert_non_null(peer.large);
    bytes_fill(peer.large, LARGE_BYTES);
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    cfg.conns_max = 64;
    assert_int_equal(weir_engine_open(&peer.engine, &cfg), 0);
    *state = &peer;
    if (nginx_binary() == NULL)
        return 0;
    nginx_start(&peer.nginx);
    write_file(&peer.nginx, "www/large.bin", peer.large, LARGE_BYTES);
    write_file(&peer.nginx, "www/page", peer.large, 300000);
    return 0;
}

static int group_teardown(void **state)
{
    struct peer *peer = *state;
    assert_int_equal(weir_engine_close(peer->engine), 0);
    free(peer->large);
    if (nginx_binary() != NULL)
        nginx_stop(&peer->nginx);
    assert_int_equal(descriptors_count(), peer->descriptors);
    return 0;
}

/* Begin a test, or skip it. */
static struct peer *begin(void **state, uint32_t conns_max, uint32_t pipeline_max)
{
    struct peer *peer = *state;
    if (nginx_binary() == NULL)
        skip();
    client_open(peer, conns_max, pipeline_max);
    return peer;
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void test_bodies_of_every_size(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 4000, 4095, 4096, 4097, 16383, 16384, 65537, 1000003 };
    struct peer *peer = begin(state, 4, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct transfer t;
        write_file(&peer->nginx, "www/file", peer->large, sizes[i]);
        fetch(peer, &t, "/file", 200);
        assert_int_equal(t.length, sizes[i]);
        assert_int_equal(t.bytes, sizes[i]);
        assert_int_equal(t.sum, sum_add(SUM_START, peer->large, sizes[i]));
    }
    assert_int_equal(client_stats(peer).conns, 1);
    client_close(peer);
}

static void test_answers_without_a_body(void **state)
{
    struct peer *peer = begin(state, 1, 1);
    struct transfer t;
    perform(peer, &t, "HEAD", "/large.bin");
    assert_int_equal(t.err, 0);
    assert_int_equal(t.call.status, 200);
    assert_int_equal(t.length, LARGE_BYTES);
    assert_int_equal(t.bytes, 0);
    fetch(peer, &t, "/empty", 204);
    assert_int_equal(t.bytes, 0);
    fetch(peer, &t, "/unchanged", 304);
    assert_int_equal(t.bytes, 0);
    perform(peer, &t, "HEAD", "/page");
    assert_int_equal(t.err, 0);
    assert_int_equal(t.bytes, 0);
    fetch(peer, &t, "/method", 200); /* still in step */
    assert_string_equal(t.text, "GET ");
    assert_int_equal(client_stats(peer).conns, 1);
    client_close(peer);
}

static void test_errors_have_bodies(void **state)
{
    struct peer *peer = begin(state, 1, 1);
    struct transfer t;
    fetch(peer, &t, "/nowhere", 404);
    assert_non_null(strstr(t.text, "404 Not Found"));
    fetch(peer, &t, "/broken", 500);
    assert_string_equal(t.text, "broken");
    client_close(peer);
}

static void test_methods_and_headers(void **state)
{
    static const char *const methods[] = { "GET", "POST", "OPTIONS", "PATCH", "MADE-UP" };
    struct peer *peer = begin(state, 2, 1);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        const struct weir_header probe = { WEIR_TEXT("X-Probe"), WEIR_TEXT("a b\t\xc3\xa4") };
        struct transfer t;
        char wanted[64];
        transfer_init(&t, methods[i], "/method?with=query");
        t.call.request.headers = &probe;
        t.call.request.headers_count = 1;
        transfer_send(peer, &t);
        run_until_ended(peer, &t, 1);
        assert_int_equal(t.err, 0);
        assert_int_equal(t.call.status, 200);
        snprintf(wanted, sizeof wanted, "%s a b\t\xc3\xa4", methods[i]);
        assert_string_equal(t.text, wanted);
    }
    client_close(peer);
}

static void test_chunked(void **state)
{
    struct peer *peer = begin(state, 3, 1);
    struct transfer t[6];
    for (size_t i = 0; i < 6; i++) {
        transfer_init(&t[i], "GET", "/page");
        transfer_send(peer, &t[i]);
    }
    run_until_ended(peer, t, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(t[i].err, 0);
        assert_true(t[i].chunked);
        assert_int_equal(t[i].length, -1);
        assert_int_equal(t[i].bytes, 300000);
        assert_int_equal(t[i].sum, sum_add(SUM_START, peer->large, 300000));
    }
    client_close(peer);
}

static void test_large_files_side_by_side(void **state)
{
    struct peer *peer = begin(state, 4, 1);
    uint64_t sum = sum_add(SUM_START, peer->large, LARGE_BYTES);
    struct transfer t[8];
    for (size_t i = 0; i < 8; i++) {
        transfer_init(&t[i], "GET", "/large.bin");
        transfer_send(peer, &t[i]);
    }
    run_until_ended(peer, t, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(t[i].err, 0);
        assert_int_equal(t[i].bytes, LARGE_BYTES);
        assert_true(t[i].sum == sum);
    }
    assert_int_equal(client_stats(peer).conns, 4);
    client_close(peer);
}

/* The tenth answer says Connection: close, and the next call has to have a new connection. */
static void test_server_closes_every_ten(void **state)
{
    struct peer *peer = begin(state, 1, 1);
    for (unsigned i = 0; i < 100; i++) {
        struct transfer t;
        char wanted[16];
        fetch(peer, &t, "/ten", 200);
        snprintf(wanted, sizeof wanted, "%u", i % 10 + 1);
        assert_string_equal(t.text, wanted);
        assert_int_equal(t.call.timing.reused, i % 10 != 0);
    }
    struct weir_client_stats stats = client_stats(peer);
    assert_int_equal(stats.conns, 10);
    assert_int_equal(stats.reused, 90);
    client_close(peer);

    peer = begin(state, 5, 1);
    struct transfer t[200];
    for (size_t i = 0; i < 200; i++) {
        transfer_init(&t[i], "GET", "/ten");
        transfer_send(peer, &t[i]);
    }
    run_until_ended(peer, t, 200);
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(t[i].err, 0);
        assert_int_equal(t[i].call.status, 200);
    }
    assert_in_range(client_stats(peer).conns, 20, 25);
    client_close(peer);
}

static void test_pipelining(void **state)
{
    struct peer *peer = begin(state, 2, 16);
    static struct transfer t[400];
    for (size_t i = 0; i < 400; i++) {
        transfer_init(&t[i], i % 5 == 4 ? "HEAD" : "GET", i % 2 == 0 ? "/method" : "/page");
        transfer_send(peer, &t[i]);
    }
    run_until_ended(peer, t, 400);
    for (size_t i = 0; i < 400; i++) {
        assert_int_equal(t[i].err, 0);
        assert_int_equal(t[i].call.status, 200);
        if (i % 5 == 4)
            assert_int_equal(t[i].bytes, 0);
        else if (i % 2 == 0)
            assert_string_equal(t[i].text, "GET ");
        else
            assert_int_equal(t[i].bytes, 300000);
    }
    assert_int_equal(client_stats(peer).conns, 2);
    client_close(peer);
}

/* What is in flight behind the answer that closes was not answered: closed, and told once. */
static void test_pipelining_into_a_close(void **state)
{
    struct peer *peer = begin(state, 1, 16);
    struct transfer t[64];
    unsigned good = 0;
    for (size_t i = 0; i < 64; i++) {
        transfer_init(&t[i], "GET", "/ten");
        transfer_send(peer, &t[i]);
    }
    run_until_ended(peer, t, 64);
    for (size_t i = 0; i < 64; i++) {
        good += t[i].err == 0;
        if (t[i].err == 0)
            assert_int_equal(t[i].call.status, 200);
        else if (t[i].err != WEIR_E_CLOSED && t[i].err != -ECONNRESET && t[i].err != -EPIPE)
            fail_msg("call %zu ended with %s", i, weir_err_name(t[i].err));
    }
    print_message("%u of 64 answered\n", good);
    assert_in_range(good, 10, 64);
    client_close(peer);
}

static void test_uploads(void **state)
{
    static const size_t sizes[] = { 0, 1, 1000, 4096, 70000, 2000000 };
    struct peer *peer = begin(state, 2, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct transfer t;
        transfer_init(&t, "PUT", "/put/file");
        t.call.request.body = (struct weir_slice){ peer->large + 1000, sizes[i] };
        t.call.request.body_always = true;
        transfer_send(peer, &t);
        run_until_ended(peer, &t, 1);
        assert_int_equal(t.err, 0);
        assert_in_range(t.call.status, 201, 204);
        fetch(peer, &t, "/put/file", 200);
        assert_int_equal(t.bytes, sizes[i]);
        assert_true(t.sum == sum_add(SUM_START, peer->large + 1000, sizes[i]));
        perform(peer, &t, "DELETE", "/put/file");
        assert_int_equal(t.call.status, 204);
    }
    assert_int_equal(client_stats(peer).conns, 1);
    client_close(peer);
}

/* Refused before it was sent: either the answer is seen or the reset, and the next call is fine. */
static void test_upload_refused_early(void **state)
{
    struct peer *peer = begin(state, 1, 1);
    for (unsigned i = 0; i < 10; i++) {
        struct transfer t;
        transfer_init(&t, "PUT", "/small/file");
        t.call.request.body = (struct weir_slice){ peer->large, 8000000 };
        transfer_send(peer, &t);
        run_until_ended(peer, &t, 1);
        if (t.err == 0)
            assert_int_equal(t.call.status, 413);
        else if (t.err != -ECONNRESET && t.err != -EPIPE)
            fail_msg("ended with %s", weir_err_name(t.err));
        fetch(peer, &t, "/method", 200);
    }
    client_close(peer);
}

static void test_deadline_and_cancel(void **state)
{
    struct peer *peer = begin(state, 2, 1);
    struct transfer t;
    transfer_init(&t, "GET", "/slow/large.bin");
    t.call.deadline_ns = weir_clock_ns() + 100 * MS;
    transfer_send(peer, &t);
    run_until_ended(peer, &t, 1);
    assert_int_equal(t.err, WEIR_E_DEADLINE);
    assert_true(t.call.timing.end_ns >= t.call.deadline_ns);
    assert_true(t.bytes < LARGE_BYTES);

    transfer_init(&t, "GET", "/slow/large.bin");
    t.cancel_at_body = true;
    transfer_send(peer, &t);
    run_until_ended(peer, &t, 1);
    assert_int_equal(t.err, WEIR_E_CANCELLED);
    assert_int_equal(t.call.status, 200);

    transfer_init(&t, "GET", "/method"); /* before it went anywhere */
    transfer_send(peer, &t);
    weir_call_cancel(&t.call);
    assert_int_equal(t.ends, 0);
    run_until_ended(peer, &t, 1);
    assert_int_equal(t.err, WEIR_E_CANCELLED);
    fetch(peer, &t, "/method", 200);
    client_close(peer);
}

static void test_close_with_calls_in_flight(void **state)
{
    struct peer *peer = begin(state, 3, 1);
    struct transfer t[9];
    for (size_t i = 0; i < 9; i++) {
        transfer_init(&t[i], "GET", "/slow/large.bin");
        transfer_send(peer, &t[i]);
    }
    while (t[0].bytes == 0 || t[1].bytes == 0 || t[2].bytes == 0)
        assert_int_equal(weir_engine_run_once(peer->engine, 10 * MS), 0);
    assert_int_equal(weir_client_close(peer->client), 0);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(t[i].ends, 1);
        assert_int_equal(t[i].err, WEIR_E_SHUTDOWN);
    }
}

static void test_server_killed_in_an_answer(void **state)
{
    struct peer *outer = *state;
    if (nginx_binary() == NULL)
        skip();
    struct peer peer = { .engine = outer->engine };
    nginx_start(&peer.nginx);
    write_file(&peer.nginx, "www/large.bin", outer->large, LARGE_BYTES);
    client_open(&peer, 1, 1);
    struct transfer t;
    transfer_init(&t, "GET", "/slow/large.bin");
    transfer_send(&peer, &t);
    while (t.bytes == 0)
        assert_int_equal(weir_engine_run_once(peer.engine, 10 * MS), 0);
    nginx_kill(&peer.nginx);
    run_until_ended(&peer, &t, 1);
    if (t.err != WEIR_E_TRUNCATED && t.err != -ECONNRESET)
        fail_msg("ended with %s", weir_err_name(t.err));
    assert_int_equal(t.call.status, 200);
    perform(&peer, &t, "GET", "/method");
    assert_int_equal(t.err, WEIR_E_CONNECT);
    assert_int_equal(t.call.timing.os_err, -ECONNREFUSED);
    assert_int_equal(t.heads, 0);
    client_close(&peer);
    nginx_stop(&peer.nginx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_of_every_size),
        cmocka_unit_test(test_answers_without_a_body),
        cmocka_unit_test(test_errors_have_bodies),
        cmocka_unit_test(test_methods_and_headers),
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_large_files_side_by_side),
        cmocka_unit_test(test_server_closes_every_ten),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_pipelining_into_a_close),
        cmocka_unit_test(test_uploads),
        cmocka_unit_test(test_upload_refused_early),
        cmocka_unit_test(test_deadline_and_cancel),
        cmocka_unit_test(test_close_with_calls_in_flight),
        cmocka_unit_test(test_server_killed_in_an_answer),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
