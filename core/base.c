/* SPDX-License-Identifier: MIT */
#include "core/base.h"
#include "core/assert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define ERROR_TEXT_BYTES 512

static _Thread_local char error_text[ERROR_TEXT_BYTES];

int weir_fail(int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error_text, sizeof error_text, format, args);
    va_end(args);
    return err;
}

void weir_fill_sized(void *out, uint32_t size, const void *ours, size_t ours_bytes)
{
    WEIR_ASSERT(size >= sizeof(uint32_t));
    memset(out, 0, size);
    memcpy(out, ours, size < ours_bytes ? size : ours_bytes);
}

int weir_range_check(const struct weir_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct weir_range *r = &ranges[i];
        if (r->value < r->min || r->value > r->max)
            return weir_fail(-EINVAL, "%s is %llu; it must be %llu ... %llu", r->name,
                             (unsigned long long)r->value, (unsigned long long)r->min,
                             (unsigned long long)r->max);
    }
    return 0;
}

const char *weir_error_text(void)
{
    return error_text;
}

const char *weir_strerror(int err)
{
    switch (err) {
#define XX(name, value, text)                                                                      \
    case value:                                                                                    \
        return text;
        WEIR_ERRORS(XX)
#undef XX
    case 0:
        return "success";
    default:
        break;
    }
    if (err < 0 && err >= -4095) {
        /* GNU: static for known codes, and unlike strerror() the same for every thread. */
        const char *text = strerrordesc_np(-err);
        if (text != NULL)
            return text;
    }
    return "unknown error";
}

const char *weir_err_name(int err)
{
    switch (err) {
#define XX(name, value, text)                                                                      \
    case value:                                                                                    \
        return "WEIR_E_" #name;
        WEIR_ERRORS(XX)
#undef XX
    case 0:
        return "OK";
    default:
        break;
    }
    if (err < 0 && err >= -4095) {
        const char *name = strerrorname_np(-err);
        if (name != NULL)
            return name;
    }
    return "UNKNOWN";
}

#define STR2(x) #x
#define STR(x)  STR2(x)

const char *weir_version(void)
{
    return STR(WEIR_VERSION_MAJOR) "." STR(WEIR_VERSION_MINOR) "." STR(WEIR_VERSION_PATCH);
}
