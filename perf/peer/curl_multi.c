/* SPDX-License-Identifier: MIT */
/*
 * What a careful program does with libcurl: a closed loop over the multi interface, one easy handle
 * for each connection, driven by epoll through curl_multi_socket_action(), the fastest of its ways.
 * The peer that perf/client.sh measures weir's client against.
 */
#include <curl/curl.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S    1000000000ull
#define HANDLES_MAX 4096

static CURLM *multi;
static int epoll;
static long timeout_ms = -1;
static uint64_t done_count, failed_count, body_bytes, end_ns, begin_ns;
static bool counting;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "peer-curl: %s: %s\n", what, why);
    exit(1);
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    (void)ctx;
    body_bytes += size * count;
    return size * count;
}

/*
 * What epoll watches of each descriptor. libcurl stops watching a connection that is unused and
 * begins again for the next request; a careful program does not tell the kernel of it.
 */
#define FDS_MAX 65536
static uint32_t watched[FDS_MAX];

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *mine)
{
    struct epoll_event event = { .data.fd = fd };
    (void)easy;
    (void)ctx;
    (void)mine;
    if (what == CURL_POLL_REMOVE)
        return 0;
    if (fd >= FDS_MAX)
        die("descriptor", "too large");
    if ((what & CURL_POLL_IN) != 0)
        event.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0)
        event.events |= EPOLLOUT;
    if (event.events == watched[fd])
        return 0;
    if (epoll_ctl(epoll, watched[fd] == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) < 0)
        die("epoll_ctl", strerror(errno));
    watched[fd] = event.events;
    return 0;
}

static int on_close(void *ctx, curl_socket_t fd)
{
    (void)ctx;
    if (fd < FDS_MAX)
        watched[fd] = 0;
    return close(fd);
}

static int on_timeout(CURLM *m, long ms, void *ctx)
{
    (void)m;
    (void)ctx;
    timeout_ms = ms;
    return 0;
}

/* Each that is done asks again. */
static void reap(void)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURL *easy = msg->easy_handle;
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (counting) {
            if (msg->data.result == CURLE_OK && status == 200)
                done_count++;
            else
                failed_count++;
        }
        curl_multi_remove_handle(multi, easy);
        curl_multi_add_handle(multi, easy);
    }
}

static void run(uint64_t until_ns)
{
    struct epoll_event events[256];
    int running;
    while (now_ns() < until_ns) {
        int wait_ms = timeout_ms < 0 || timeout_ms > 100 ? 100 : (int)timeout_ms;
        int n = epoll_wait(epoll, events, 256, wait_ms);
        if (n < 0 && errno != EINTR)
            die("epoll_wait", strerror(errno));
        if (n <= 0)
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        for (int i = 0; i < n; i++) {
            int what = 0;
            if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
                what |= CURL_CSELECT_IN;
            if ((events[i].events & EPOLLOUT) != 0)
                what |= CURL_CSELECT_OUT;
            curl_multi_socket_action(multi, events[i].data.fd, what, &running);
        }
        if (timeout_ms == 0)
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        reap();
    }
}

static CURL *handle(const char *url, const char *body, struct curl_slist *headers)
{
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        die("curl_easy_init", "no handle");
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    if (body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    }
    return easy;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) {
        fputs("Usage: peer-curl URL CONNECTIONS WARMUP_S SECONDS [BODY]\n"
              "Asks for URL in a closed loop with libcurl's multi interface, prints JSON.\n",
              stderr);
        return 2;
    }
    long connections = strtol(argv[2], NULL, 10);
    double warmup_s = strtod(argv[3], NULL), seconds = strtod(argv[4], NULL);
    if (connections < 1 || connections > HANDLES_MAX || warmup_s < 0 || seconds <= 0)
        die("usage", "CONNECTIONS 1 ... 4096, WARMUP_S, SECONDS > 0");
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_global_init(CURL_GLOBAL_ALL);
    multi = curl_multi_init();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (multi == NULL || epoll < 0)
        die("open", strerror(errno));
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections);
    static CURL *handles[HANDLES_MAX];
    for (long i = 0; i < connections; i++) {
        handles[i] = handle(argv[1], argc == 6 ? argv[5] : NULL, headers);
        curl_multi_add_handle(multi, handles[i]);
    }
    run(now_ns() + (uint64_t)(warmup_s * (double)NS_PER_S));
    counting = true;
    begin_ns = now_ns();
    uint64_t cpu = cpu_ns();
    run(begin_ns + (uint64_t)(seconds * (double)NS_PER_S));
    end_ns = now_ns();
    cpu = cpu_ns() - cpu;
    double took_s = (double)(end_ns - begin_ns) / (double)NS_PER_S;
    printf("{\"requests\": %llu, \"errors\": %llu, \"duration_s\": %.6f, \"requests_per_s\": %.1f, "
           "\"client_cpu_us_per_request\": %.3f, \"body_bytes\": %llu, \"version\": \"%s\"}\n",
           (unsigned long long)done_count, (unsigned long long)failed_count, took_s,
           (double)done_count / took_s,
           done_count == 0 ? 0.0 : (double)cpu / 1e3 / (double)done_count,
           (unsigned long long)body_bytes, curl_version());
    for (long i = 0; i < connections; i++) {
        curl_multi_remove_handle(multi, handles[i]);
        curl_easy_cleanup(handles[i]);
    }
    curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
    curl_global_cleanup();
    close(epoll);
    return 0;
}
