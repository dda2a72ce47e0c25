/* SPDX-License-Identifier: MIT */
#include "mock/api/override.h"

#include <weir/random.h>
#include <weir/units.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Longer ones are no duration, and a distribution that long belongs into the configuration. */
#define VALUE_BYTES_MAX 255

#define NS_PER_MS UINT64_C(1000000)

/* Of the draws of a request's key, the one that chooses a status. */
#define DRAW_STATUS UINT64_C(0x7374617475730000)

struct reader {
    struct override *out;
    const struct fault_head *head;
    uint64_t seed, key;
    struct body_error *err;
};

/* A field that is there, as text with a NUL. */
struct value {
    const char *name; /* of the field */
    char text[VALUE_BYTES_MAX + 1];
};

static int fail(struct reader *reader, const struct value *value, const char *expected)
{
    return body_fail(reader->err, value->name, "%s: expected %s, got '%.64s'", value->name,
                     expected, value->text);
}

static int fail_memory(struct reader *reader)
{
    *reader->err = (struct body_error){ .status = 503, .type = "overloaded" };
    snprintf(reader->err->message, sizeof reader->err->message, "out of memory");
    return -ENOMEM;
}

/* @return 1: the field is there; 0: it is not; -EINVAL */
static int get(struct reader *reader, const char *name, struct value *value)
{
    struct weir_slice field = reader->head->header(
        reader->head->ctx, (struct weir_slice){ (const uint8_t *)name, strlen(name) });
    if (field.ptr == NULL)
        return 0;
    value->name = name;
    if (field.len > VALUE_BYTES_MAX || (field.len > 0 && memchr(field.ptr, 0, field.len) != NULL)) {
        body_fail(reader->err, name, "%s: expected at most %d bytes, none of them NUL", name,
                  VALUE_BYTES_MAX);
        return -EINVAL;
    }
    if (field.len > 0)
        memcpy(value->text, field.ptr, field.len);
    value->text[field.len] = '\0';
    return 1;
}

/* All of `text` as a number of digits. */
static bool read_u64(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t number = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9' && i < 18; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    if (i == 0 || text[i] != '\0' || number > max)
        return false;
    *out = number;
    return true;
}

/* ---- Times ------------------------------------------------------------------------------- */

static int read_time(struct reader *reader, const char *name, struct override_time *time)
{
    struct value value;
    int rc = get(reader, name, &value);
    if (rc <= 0)
        return rc;
    *time = (struct override_time){ .given = true };
    if (weir_parse_duration_ns(&time->ns, value.text) == 0 && time->ns <= WEIR_DIST_NS_MAX)
        return 0;
    time->ns = 0;
    if (strstr(value.text, "hgrm") != NULL)
        return fail(reader, &value, "a distribution without a file");
    rc = weir_dist_parse(&time->dist, value.text);
    if (rc == -ENOMEM)
        return fail_memory(reader);
    if (rc < 0)
        return body_fail(reader->err, name, "%s: %s", name, weir_error_text());
    return 0;
}

/* Envoy counts in milliseconds. */
static int read_milliseconds(struct reader *reader, struct override_time *time)
{
    struct value value;
    uint64_t ms;
    int rc = time->given ? 0 : get(reader, "x-envoy-fault-delay-request", &value);
    if (rc <= 0)
        return rc;
    if (!read_u64(value.text, WEIR_DIST_NS_MAX / NS_PER_MS, &ms))
        return fail(reader, &value, "a number of milliseconds");
    *time = (struct override_time){ .given = true, .ns = ms * NS_PER_MS };
    return 0;
}

uint64_t override_draw_ns(const struct override_time *time, uint64_t seed, uint64_t key,
                          uint64_t draw)
{
    return time->dist == NULL ? time->ns : weir_dist_draw_ns(time->dist, seed, key, draw);
}

/* ---- Statuses ---------------------------------------------------------------------------- */

/* Those that end a request and may have a body: 204, 205 and 304 have none (RFC 9110, 15). */
static bool status_is_usable(uint64_t status)
{
    return status >= 200 && status <= 599 && status != 204 && status != 205 && status != 304;
}

static int read_status(struct reader *reader, const char *name)
{
    struct value value;
    uint64_t status;
    int rc = reader->out->status != 0 ? 0 : get(reader, name, &value);
    if (rc <= 0)
        return rc;
    if (!read_u64(value.text, 599, &status) || !status_is_usable(status))
        return fail(reader, &value, "a status of 200 ... 599 that has a body");
    reader->out->status = (uint16_t)status;
    return 0;
}

/* "429:10" or "503", at the beginning of `*at`, and behind it a comma or the end. */
static bool read_weight(const char **at, uint64_t *status, double *percent)
{
    char *end;
    const char *p = *at;
    *status = 0;
    for (; *p >= '0' && *p <= '9' && p - *at < 3; p++)
        *status = *status * 10 + (uint64_t)(*p - '0');
    if (!status_is_usable(*status))
        return false;
    *percent = 100;
    if (*p == ':') {
        /* strtod() would take blanks, signs, hexadecimal numbers and infinity, too. */
        if (strspn(p + 1, "0123456789.") == 0)
            return false;
        *percent = strtod(p + 1, &end);
        if (end == p + 1 || strspn(p + 1, "0123456789.") != (size_t)(end - (p + 1)))
            return false;
        p = end;
    }
    if (*p != ',' && *p != '\0')
        return false;
    *at = *p == ',' ? p + 1 : p;
    return *p == '\0' || **at != '\0';
}

static int read_weights(struct reader *reader)
{
    struct value value;
    int rc = get(reader, "X-Mock-Status", &value);
    if (rc <= 0)
        return rc;
    double drawn = 100 * weir_random_unit(reader->seed, reader->key, DRAW_STATUS), sum = 0;
    const char *at = value.text;
    do {
        uint64_t status;
        double percent;
        if (!read_weight(&at, &status, &percent))
            return fail(reader, &value, "STATUS:PERCENT,... with statuses of 200 ... 599");
        if (reader->out->status == 0 && drawn < sum + percent)
            reader->out->status = (uint16_t)status;
        sum += percent;
    } while (*at != '\0');
    /* Decimals do not add up to exactly 100. */
    if (sum > 100 + 1e-9)
        return fail(reader, &value, "percents that add up to at most 100");
    return 0;
}

/* ---- The rest ---------------------------------------------------------------------------- */

static int read_tokens(struct reader *reader)
{
    struct value value;
    uint64_t tokens;
    int rc = get(reader, "X-Mock-Tokens", &value);
    if (rc <= 0)
        return rc;
    if (!read_u64(value.text, CONFIG_TOKENS_MAX, &tokens) || tokens == 0)
        return body_fail(reader->err, value.name, "X-Mock-Tokens: expected 1 ... %u, got '%.64s'",
                         CONFIG_TOKENS_MAX, value.text);
    reader->out->tokens = (uint32_t)tokens;
    return 0;
}

static int read_fault(struct reader *reader)
{
    struct value value;
    struct fault_error error;
    int rc = get(reader, "X-Mock-Fault", &value);
    if (rc <= 0)
        return rc;
    rc = fault_action_parse(&reader->out->fault,
                            (struct weir_slice){ (const uint8_t *)value.text, strlen(value.text) },
                            &error);
    if (rc == -ENOMEM)
        return fail_memory(reader);
    if (rc < 0)
        return body_fail(reader->err, value.name, "X-Mock-Fault: %.250s", error.text);
    reader->out->has_fault = true;
    return 0;
}

int override_read(struct override *out, const struct fault_head *head, uint64_t seed, uint64_t key,
                  struct body_error *err)
{
    struct reader reader = { .out = out, .head = head, .seed = seed, .key = key, .err = err };
    *out = (struct override){ .tokens = 0 };
    int rc = read_time(&reader, "X-Mock-Delay", &out->delay);
    if (rc >= 0)
        rc = read_milliseconds(&reader, &out->delay);
    if (rc >= 0)
        rc = read_time(&reader, "X-Mock-TTFT", &out->ttft);
    if (rc >= 0)
        rc = read_time(&reader, "X-Mock-ITL", &out->itl);
    if (rc >= 0)
        rc = read_tokens(&reader);
    if (rc >= 0)
        rc = read_weights(&reader);
    if (rc >= 0)
        rc = read_status(&reader, "X-Return-Error");
    if (rc >= 0)
        rc = read_status(&reader, "x-envoy-fault-abort-request");
    if (rc >= 0)
        rc = read_fault(&reader);
    if (rc < 0)
        override_close(out);
    return rc;
}

void override_close(struct override *override)
{
    weir_dist_close(override->delay.dist);
    weir_dist_close(override->ttft.dist);
    weir_dist_close(override->itl.dist);
    if (override->has_fault)
        fault_action_close(&override->fault);
    *override = (struct override){ .tokens = 0 };
}
