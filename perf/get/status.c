/* SPDX-License-Identifier: MIT */
#include "perf/get/status.h"

#include <errno.h>
#include <stddef.h>

#include <weir/base.h>

struct status_row {
    int err;
    enum get_status status;
};

static const struct status_row rows[] = {
    { 0, GET_STATUS_OK },
    { -EINVAL, GET_STATUS_USAGE },
    { -ENOMEM, GET_STATUS_MEMORY },
    { -EPIPE, GET_STATUS_SEND },
    { WEIR_E_URL, GET_STATUS_URL },
    { WEIR_E_RESOLVE, GET_STATUS_RESOLVE },
    { WEIR_E_CONNECT, GET_STATUS_CONNECT },
    { WEIR_E_OVERLOAD, GET_STATUS_CONNECT },
    { WEIR_E_QUEUE_FULL, GET_STATUS_CONNECT },
    { WEIR_E_PROTOCOL, GET_STATUS_PROTOCOL },
    { WEIR_E_TRUNCATED, GET_STATUS_TRUNCATED },
    { WEIR_E_CONNECT_TIMEOUT, GET_STATUS_TIMEOUT },
    { WEIR_E_QUEUE_TIMEOUT, GET_STATUS_TIMEOUT },
    { WEIR_E_DEADLINE, GET_STATUS_TIMEOUT },
    { WEIR_E_TIMEOUT, GET_STATUS_TIMEOUT },
    { WEIR_E_TLS, GET_STATUS_TLS },
    { WEIR_E_CLOSED, GET_STATUS_EMPTY },
    { WEIR_E_CERTIFICATE, GET_STATUS_CERTIFICATE },
    { WEIR_E_ENCODING, GET_STATUS_ENCODING },
    { WEIR_E_LIMIT, GET_STATUS_LIMIT },
};

enum get_status get_status_of(int err)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].err == err)
            return rows[i].status;
    }
    return GET_STATUS_RECV;
}

enum get_status get_status_of_http(uint16_t http)
{
    return http >= 400 ? GET_STATUS_HTTP : GET_STATUS_OK;
}
