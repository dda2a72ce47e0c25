/* SPDX-License-Identifier: MIT */
/*
 * One blocking request: its answer, its limits, what it says of failures, and that nothing is left
 * behind whatever fails. The server runs on a thread of its own, on plain sockets.
 *
 * This program defines malloc() and its kin: they count, and one of them may fail.
 */
#include <weir/fetch.h>

#include "unit/proto/http/rig.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/un.h>
#include <zlib.h>

/* ---- Memory ------------------------------------------------------------------------------ */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_FAIL 0
#endif
#endif
#ifndef CAN_FAIL
#define CAN_FAIL 1
#endif

/* Of the thread that fetches alone. */
static __thread struct {
    bool armed;
    unsigned calls, fail_at;
    int balance; /* allocations that were not freed */
} heap;

#if CAN_FAIL
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *at, size_t bytes);
void __libc_free(void *at);

static bool fails(void)
{
    return heap.armed && ++heap.calls == heap.fail_at;
}

static void *counted(void *at)
{
    heap.balance += heap.armed && at != NULL;
    return at;
}

#define VISIBLE __attribute__((visibility("default")))

VISIBLE void *malloc(size_t bytes)
{
    return fails() ? NULL : counted(__libc_malloc(bytes));
}

VISIBLE void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : counted(__libc_calloc(count, bytes));
}

VISIBLE void *realloc(void *at, size_t bytes)
{
    if (fails())
        return NULL;
    void *to = __libc_realloc(at, bytes);
    heap.balance += heap.armed && at == NULL && to != NULL;
    return to;
}

VISIBLE void free(void *at)
{
    heap.balance -= heap.armed && at != NULL;
    __libc_free(at);
}
#endif

/* ---- The server -------------------------------------------------------------------------- */

/* What it answers to a request for "/NAME". */
struct page {
    const char *name;
    struct rig_buf text;
};
enum { PAGES_MAX = 16 };

static struct {
    struct page pages[PAGES_MAX];
    unsigned pages_count;
    int fd;
    int stop[2];
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock; /* of the pages, and of: */
    struct rig_buf asked; /* the last whole request */
    unsigned fds_before;
} web = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void page(const char *name, const char *head, const void *body, size_t len)
{
    assert_true(web.pages_count < PAGES_MAX);
    struct page p = { .name = name };
    rig_buf_text(&p.text, head);
    rig_buf_add(&p.text, body, len);
    pthread_mutex_lock(&web.lock);
    web.pages[web.pages_count++] = p;
    pthread_mutex_unlock(&web.lock);
}

/* The page that is asked for. What it holds does not change. */
static struct page page_for(const char *request)
{
    const char *path = strchr(request, ' ') + 1;
    size_t len = strcspn(path, " ");
    struct page found = { 0 };
    pthread_mutex_lock(&web.lock);
    for (unsigned i = 0; i < web.pages_count; i++)
        if (strlen(web.pages[i].name) == len && memcmp(path, web.pages[i].name, len) == 0)
            found = web.pages[i];
    web.asked.len = 0;
    rig_buf_text(&web.asked, request);
    pthread_mutex_unlock(&web.lock);
    return found;
}

/* Did the last request hold this? */
static bool asked(const char *text)
{
    pthread_mutex_lock(&web.lock);
    bool found = strstr(rig_buf_str(&web.asked), text) != NULL;
    pthread_mutex_unlock(&web.lock);
    return found;
}

/* A whole request: its head, and as much as that promises. @return false: the peer went */
static bool request_read(int fd, struct rig_buf *request)
{
    char bytes[4096];
    request->len = 0;
    for (;;) {
        const char *end = request->len == 0 ? NULL : strstr(request->ptr, "\r\n\r\n");
        if (end != NULL) {
            const char *length = strstr(request->ptr, "Content-Length: ");
            size_t body = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
            if (request->len >= (size_t)(end - request->ptr) + 4 + body)
                return true;
        }
        struct pollfd wait[2] = { { .fd = fd, .events = POLLIN },
                                  { .fd = web.stop[0], .events = POLLIN } };
        if (poll(wait, 2, -1) < 0 || wait[1].revents != 0)
            return false;
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return false;
        rig_buf_add(request, bytes, (size_t)n);
    }
}

/* Until the peer goes, or the test is over. */
static void hold(int fd)
{
    char bytes[4096];
    struct pollfd wait[2] = { { .fd = fd, .events = POLLIN },
                              { .fd = web.stop[0], .events = POLLIN } };
    while (poll(wait, 2, -1) > 0 && wait[1].revents == 0)
        if (recv(fd, bytes, sizeof bytes, 0) <= 0)
            break;
}

/* @return false: the connection is over */
static bool page_send(int fd, const struct page *p)
{
    ssize_t n = 1;
    for (size_t done = 0; n > 0 && done<p->text.len; done += n> 0 ? (size_t)n : 0)
        n = send(fd, p->text.ptr + done, p->text.len - done, MSG_NOSIGNAL);
    return n > 0 && strstr(p->text.ptr, "Content-Length") != NULL;
}

static void *serve(void *arg)
{
    (void)arg;
    struct rig_buf request = { 0 };
    struct pollfd wait[2] = { { .fd = web.fd, .events = POLLIN },
                              { .fd = web.stop[0], .events = POLLIN } };
    while (poll(wait, 2, -1) > 0 && wait[1].revents == 0) {
        int fd = accept4(web.fd, NULL, NULL, SOCK_CLOEXEC);
        bool open = fd >= 0;
        while (open && request_read(fd, &request)) {
            struct page p = page_for(request.ptr);
            if (p.name == NULL)
                hold(fd); /* it says nothing */
            open = p.name != NULL && page_send(fd, &p);
        }
        if (fd >= 0)
            close(fd);
    }
    rig_buf_free(&request);
    return NULL;
}

static void web_start(int family_fd)
{
    web.fd = family_fd;
    assert_int_equal(listen(web.fd, 64), 0);
    assert_int_equal(pipe(web.stop), 0);
    assert_int_equal(pthread_create(&web.thread, NULL, serve, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t bytes = sizeof in;
    web.pages_count = 0;
    web.fds_before = rig_fds_count();
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const void *)&in, sizeof in), 0);
    assert_int_equal(getsockname(fd, (void *)&in, &bytes), 0);
    web.port = ntohs(in.sin_port);
    page("/", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\nx-two:  a b \r\n\r\n", "hello",
         5);
    page("/empty", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "", 0);
    page("/none", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n", "no", 2);
    page("/moved", "HTTP/1.1 301 \r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "", 0);
    page("/cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", "abc", 3);
    page("/bad", "what\r\n\r\n", "", 0);
    page("/?a=b", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "query", 5);
    web_start(fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(write(web.stop[1], "x", 1), 1);
    assert_int_equal(pthread_join(web.thread, NULL), 0);
    close(web.fd);
    close(web.stop[0]);
    close(web.stop[1]);
    for (unsigned i = 0; i < web.pages_count; i++)
        rig_buf_free(&web.pages[i].text);
    rig_buf_free(&web.asked);
    assert_int_equal(rig_fds_count(), web.fds_before);
    return 0;
}

/* ---- Fetching ---------------------------------------------------------------------------- */

static char url[256];
static struct weir_fetch fetch;
static struct weir_fetch_result result;

static void fetch_init(const char *target)
{
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", web.port, target);
    weir_fetch_init(&fetch);
    fetch.url = url;
}

static void expect_result(uint16_t status, const char *body)
{
    int rc = weir_fetch(&fetch, &result);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
    assert_int_equal(result.status, status);
    assert_int_equal(result.body.len, strlen(body));
    assert_string_equal((const char *)result.body.ptr, body); /* a NUL is behind it */
}

static void release(void)
{
    weir_fetch_free(&result);
    assert_null(result.memory);
    assert_null(result.headers);
    assert_int_equal(result.status, 0);
    weir_fetch_free(&result); /* twice is once */
}

/* It fails, says why, and leaves a result that holds nothing. */
static void expect_failure(int err, const char *word)
{
    memset(&result, 0xee, sizeof result);
    int rc = weir_fetch(&fetch, &result);
    if (rc != err)
        print_error("%s (%s), %s expected\n", weir_err_name(rc), weir_error_text(),
                    weir_err_name(err));
    assert_int_equal(rc, err);
    if (strstr(weir_error_text(), word) == NULL)
        assert_string_equal(weir_error_text(), word);
    const struct weir_fetch_result nothing = { 0 };
    assert_int_equal(result.status, 0);
    assert_null(result.headers);
    assert_null(result.memory);
    assert_null(result.body.ptr);
    assert_int_equal(result.body.len, nothing.body.len);
}

static void test_answers(void **state)
{
    (void)state;
    fetch_init("/");
    expect_result(200, "hello");
    assert_int_equal(result.headers_count, 3);
    assert_int_equal(result.headers[0].name.len, 14);
    struct weir_slice two = weir_fetch_header(&result, "X-TWO");
    assert_int_equal(two.len, 3);
    assert_memory_equal(two.ptr, "a b", 3);
    assert_null(weir_fetch_header(&result, "x-three").ptr);
    assert_int_equal(result.timing.body_bytes, 5);
    assert_true(result.timing.end_ns > result.timing.start_ns);
    release();
    fetch_init("/empty");
    expect_result(204, "");
    release();
    fetch_init("/none");
    expect_result(404, "no");
    release();
    fetch_init("/moved"); /* where to is the caller's business */
    expect_result(301, "");
    struct weir_slice to = weir_fetch_header(&result, "location");
    assert_int_equal(to.len, 1);
    release();
    fetch_init("");
    expect_result(200, "hello");
    release();
    fetch_init("?a=b#fragment");
    expect_result(200, "query");
    release();
}

static void test_request(void **state)
{
    (void)state;
    static const struct weir_header headers[] = { { WEIR_TEXT("X"), WEIR_TEXT("1") } };
    char expected[256];
    fetch_init("/");
    fetch.method = "POST";
    fetch.headers = headers;
    fetch.headers_count = 1;
    fetch.body = WEIR_TEXT("body");
    expect_result(200, "hello");
    release();
    (void)snprintf(expected, sizeof expected, "POST / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n",
                   web.port);
    assert_true(asked(expected));
    assert_true(asked("\r\nX: 1\r\n"));
    assert_true(asked("\r\nAccept-Encoding: gzip"));
    assert_true(asked("\r\n\r\nbody"));
    fetch_init("/");
    fetch.decode = false;
    expect_result(200, "hello");
    release();
    assert_false(asked("Accept-Encoding"));
}

/* Larger than the memory that an answer begins with, coded and not. */
static void test_large(void **state)
{
    (void)state;
    enum { BYTES = 3000000 };
    uint8_t *bytes = rig_pattern(BYTES);
    uLongf coded = compressBound(BYTES);
    uint8_t *zipped = malloc(coded);
    assert_non_null(zipped);
    assert_int_equal(compress(zipped, &coded, bytes, BYTES), Z_OK);
    char head[128];
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BYTES);
    page("/large", head, bytes, BYTES);
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %lu\r\n\r\n",
                   coded);
    page("/coded", head, zipped, coded);
    page("/until-the-end", "HTTP/1.1 200 OK\r\n\r\n", bytes, BYTES);
    static const char *const targets[] = { "/large", "/coded", "/until-the-end" };
    for (unsigned i = 0; i < 3; i++) {
        fetch_init(targets[i]);
        fetch.body_bytes_max = BYTES;
        assert_int_equal(weir_fetch(&fetch, &result), 0);
        assert_int_equal(result.body.len, BYTES);
        assert_memory_equal(result.body.ptr, bytes, BYTES);
        assert_int_equal(result.body.ptr[BYTES], 0);
        release();
        fetch.body_bytes_max = BYTES - 1;
        expect_failure(WEIR_E_LIMIT, "body_bytes_max, 2999999");
    }
    free(zipped);
    free(bytes);
}

static void test_body_limit(void **state)
{
    (void)state;
    fetch_init("/");
    fetch.body_bytes_max = 5;
    expect_result(200, "hello");
    release();
    fetch.body_bytes_max = 4;
    expect_failure(WEIR_E_LIMIT, "body_bytes_max, 4");
    fetch.body_bytes_max = 0;
    expect_failure(WEIR_E_LIMIT, "body_bytes_max, 0");
    fetch_init("/empty");
    fetch.body_bytes_max = 0;
    expect_result(204, "");
    release();
}

/* A port that nobody listens at. */
static uint16_t refused_port(int *fd)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t bytes = sizeof in;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*fd, (const void *)&in, sizeof in), 0);
    assert_int_equal(getsockname(*fd, (void *)&in, &bytes), 0);
    return ntohs(in.sin_port);
}

static void test_failures(void **state)
{
    (void)state;
    int fd;
    uint16_t port = refused_port(&fd);
    char word[64];
    fetch_init("/");
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    (void)snprintf(word, sizeof word, "127.0.0.1:%u: ", port);
    expect_failure(WEIR_E_CONNECT, word);
    assert_non_null(strstr(weir_error_text(), "refused"));
    fetch.retry.attempts_max = 3;
    fetch.retry.backoff_ns = fetch.retry.backoff_max_ns = 1000000;
    expect_failure(WEIR_E_CONNECT, word);
    close(fd);
    fetch_init("/bad");
    expect_failure(WEIR_E_PROTOCOL, url);
    fetch_init("/cut");
    expect_failure(WEIR_E_TRUNCATED, url);
    fetch_init("/silent");
    fetch.timeout_ns = 20 * RIG_MS;
    uint64_t began = weir_clock_ns();
    expect_failure(WEIR_E_DEADLINE, "/silent");
    assert_true(weir_clock_ns() - began >= 20 * RIG_MS);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    fetch_init("/");
    fetch.url = NULL;
    expect_failure(-EINVAL, "url");
    fetch_init("/");
    fetch.method = NULL;
    expect_failure(-EINVAL, "method");
    fetch_init("/");
    fetch.size = 8;
    expect_failure(-EINVAL, "size");
    fetch_init("/");
    fetch.url = "ftp://host/";
    expect_failure(WEIR_E_URL, "http://");
    fetch.url = "";
    expect_failure(WEIR_E_URL, "");
    fetch_init("/");
    fetch.method = "G E T";
    expect_failure(-EINVAL, "");
    fetch_init("/");
    fetch.retry.attempts_max = 0;
    expect_failure(-EINVAL, "attempts_max");
    fetch_init("/\x01");
    assert_true(weir_fetch(&fetch, &result) < 0);
    weir_fetch_free(&result);
}

/* A caller that was compiled against an older header gets the defaults of what it does not know. */
static void test_defaults(void **state)
{
    (void)state;
    memset(&fetch, 0xee, sizeof fetch);
    weir_fetch_init(&fetch);
    assert_null(fetch.url);
    assert_string_equal(fetch.method, "GET");
    assert_int_equal(fetch.timeout_ns, 30000000000);
    assert_int_equal(fetch.body_bytes_max, 64 << 20);
    assert_true(fetch.decode);
    assert_int_equal(fetch.retry.attempts_max, 1);
    assert_null(fetch.tls);
}

static void test_unix_socket(void **state)
{
    (void)state;
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char directory[] = "/tmp/weir-fetch-XXXXXX";
    assert_non_null(mkdtemp(directory));
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s/s", directory);
    teardown(NULL);
    setup(NULL);
    int stop = web.stop[1];
    assert_int_equal(write(stop, "x", 1), 1);
    assert_int_equal(pthread_join(web.thread, NULL), 0);
    close(web.fd);
    close(web.stop[0]);
    close(stop);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const void *)&un, sizeof un), 0);
    web_start(fd);
    weir_fetch_init(&fetch);
    (void)snprintf(url, sizeof url, "http+unix://%%2Ftmp%%2F%s%%2Fs/", directory + 5);
    fetch.url = url;
    expect_result(200, "hello");
    release();
    assert_true(asked("\r\nHost: localhost\r\n"));
    assert_int_equal(unlink(un.sun_path), 0);
    expect_failure(WEIR_E_CONNECT, "No such file");
    assert_int_equal(rmdir(directory), 0);
}

/* ---- Without memory ---------------------------------------------------------------------- */

/* The n-th allocation fails, for each n there is: an error that says so, and nothing is left. */
static void test_each_allocation_fails(void **state)
{
    (void)state;
    if (!CAN_FAIL)
        skip();
    static const char *const targets[] = { "/", "/coded" };
    uint8_t body[20000] = { 0 }, zipped[1000];
    uLongf coded = sizeof zipped;
    char head[128];
    assert_int_equal(compress(zipped, &coded, body, sizeof body), Z_OK);
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %lu\r\n\r\n",
                   coded);
    page("/coded", head, zipped, coded);
    for (unsigned t = 0; t < 2; t++) {
        fetch_init(targets[t]);
        assert_int_equal(weir_fetch(&fetch, &result), 0); /* what is kept for ever is there now */
        weir_fetch_free(&result);
        unsigned n = 0;
        int rc;
        do {
            unsigned fds = rig_fds_count();
            n++;
            heap.calls = 0;
            heap.balance = 0;
            heap.fail_at = n;
            heap.armed = true;
            rc = weir_fetch(&fetch, &result);
            if (rc == 0)
                weir_fetch_free(&result);
            heap.armed = false;
            if (heap.balance != 0 || (rc != 0 && rc != -ENOMEM))
                print_error("allocation %u of %s: %s, %d left\n", n, targets[t], weir_err_name(rc),
                            heap.balance);
            assert_int_equal(heap.balance, 0);
            assert_true(rc == 0 || rc == -ENOMEM);
            assert_null(result.memory);
            assert_true(rig_fds_count() <= fds + 1); /* the server's side may linger */
        } while (heap.calls >= n && n < 1000);
        assert_in_range(n, 5, 999);
        assert_int_equal(rc, 0);
    }
}

#define FETCH_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FETCH_TEST(test_answers),
        FETCH_TEST(test_request),
        FETCH_TEST(test_large),
        FETCH_TEST(test_body_limit),
        FETCH_TEST(test_failures),
        FETCH_TEST(test_bad_arguments),
        FETCH_TEST(test_defaults),
        FETCH_TEST(test_unix_socket),
        FETCH_TEST(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
