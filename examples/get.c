/* SPDX-License-Identifier: MIT */
/*
 * The smallest client: asks for a URL, waits for the whole answer, prints its body.
 *
 *   get [URL]
 *
 * Exit status: 0 for an answer below 400, 1 for any other and when there was none.
 */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

int main(int argc, char **argv)
{
    struct weir_fetch fetch;
    struct weir_fetch_result result;
    const struct weir_header headers[] = {
        { .name = WEIR_TEXT("Accept"), .value = WEIR_TEXT("application/json, */*") },
    };
    weir_fetch_init(&fetch);
    fetch.url = argc > 1 ? argv[1] : "http://127.0.0.1:8080/api/models";
    fetch.headers = headers;
    fetch.headers_count = sizeof headers / sizeof headers[0];
    fetch.timeout_ns = UINT64_C(5000000000); /* for all of it; without an answer by then it fails */
    fetch.retry.attempts_max = 3; /* a server that is busy, or restarts, is asked again */

    int rc = weir_fetch(&fetch, &result);
    if (rc < 0) {
        /* The name says what kind of failure it is, the text what it was about. */
        fprintf(stderr, "get: %s: %s (%s)\n", fetch.url, weir_error_text(), weir_err_name(rc));
        return 1;
    }
    struct weir_slice type = weir_fetch_header(&result, "content-type");
    fprintf(stderr, "%u, %.*s, %zu bytes, %" PRIu64 " us\n", result.status, (int)type.len,
            type.len > 0 ? (const char *)type.ptr : "", result.body.len,
            (result.timing.end_ns - result.timing.start_ns) / 1000);
    bool written = fwrite(result.body.ptr, 1, result.body.len, stdout) == result.body.len &&
                   fflush(stdout) == 0;
    int status = result.status < 400 && written ? 0 : 1;
    weir_fetch_free(&result);
    return status;
}
