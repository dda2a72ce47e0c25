/* SPDX-License-Identifier: MIT */
#include "mock/control/filter.h"

#include "mock/config/nearest.h"

#include <weir/random.h>
#include <weir/url.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000LL
/* A key is as long as a request field may be; every other value is far shorter. */
#define VALUE_BYTES_MAX 4096
#define NAMES_MAX       64
#define QUOTED_BYTES    64

/* What a parameter is read with. `value` is decoded. */
struct filter_reader {
    struct filter *out;
    const struct filter_context *context;
    struct filter_error *err;
    const char *name; /* of the parameter */
    struct weir_slice value;
};

/* ---- Errors ------------------------------------------------------------------------------ */

/* Bytes of a query for an error message: as they are if they can be printed, else as '?', and not
 * without end. */
static const char *filter_quote(char out[QUOTED_BYTES], struct weir_slice text)
{
    size_t len = text.len < QUOTED_BYTES - 4 ? text.len : QUOTED_BYTES - 4;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(text.ptr[i] >= 0x20 && text.ptr[i] < 0x7F ? text.ptr[i] : '?');
    memcpy(out + len, len < text.len ? "..." : "", len < text.len ? 4 : 1);
    return out;
}

__attribute__((format(printf, 2, 3))) static int filter_fail(struct filter_error *err,
                                                             const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (len < 0)
        err->text[0] = '\0';
    return -EINVAL;
}

static int filter_expected(const struct filter_reader *reader, const char *what)
{
    char quoted[QUOTED_BYTES];
    return filter_fail(reader->err, "%s: expected %s, got \"%s\"", reader->name, what,
                       filter_quote(quoted, reader->value));
}

/* The same for one element of a list, with the nearest name if one is near. */
static int filter_no_name(const struct filter_reader *reader, struct weir_slice element,
                          const char *what, const char *const *names, size_t count)
{
    char quoted[QUOTED_BYTES];
    filter_quote(quoted, element);
    const char *nearest = nearest_name(quoted, names, count);
    return filter_fail(reader->err, "%s: \"%s\" is no %s%s%s%s", reader->name, quoted, what,
                       nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
                       nearest == NULL ? "" : "?");
}

/* ---- Pieces of values -------------------------------------------------------------------- */

static bool slice_is(struct weir_slice slice, const char *text)
{
    return slice.len == strlen(text) && memcmp(slice.ptr, text, slice.len) == 0;
}

/* Take the text before the next `separator`, or all. @return false: nothing is left */
static bool slice_next(struct weir_slice *rest, char separator, struct weir_slice *out)
{
    if (rest->ptr == NULL)
        return false;
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->ptr, separator, rest->len);
    if (end == NULL) {
        *out = *rest;
        *rest = (struct weir_slice){ NULL, 0 };
        return true;
    }
    size_t len = (size_t)(end - rest->ptr);
    *out = (struct weir_slice){ rest->ptr, len };
    *rest = (struct weir_slice){ end + 1, rest->len - len - 1 };
    return true;
}

/* All of `text` as a decimal number. */
static bool slice_number(struct weir_slice text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.ptr[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value) || value > max)
            return false;
    }
    *out = value;
    return true;
}

/* Decimal digits with a fraction of at most nine, in units of 10^-9. */
static bool slice_fixed(struct weir_slice text, int64_t *out)
{
    struct weir_slice whole = { NULL, 0 }, fraction = { NULL, 0 };
    slice_next(&text, '.', &whole);
    uint64_t units, parts = 0;
    if (!slice_number(whole, (uint64_t)(INT64_MAX / NS_PER_S) - 1, &units))
        return false;
    if (text.ptr != NULL) {
        fraction = text;
        if (fraction.len > 9 || !slice_number(fraction, NS_PER_S, &parts))
            return false;
        for (size_t i = fraction.len; i < 9; i++)
            parts *= 10;
    }
    *out = (int64_t)units * NS_PER_S + (int64_t)parts;
    return true;
}

/* ---- Masks of names ---------------------------------------------------------------------- */

struct name_set {
    const char *names[NAMES_MAX];
    size_t count;
    const char *what;
    bool stars; /* a trailing star stands for any rest */
};

/* The bits of the names that `element` means; 0: none. */
static uint32_t name_set_find(const struct name_set *set, struct weir_slice element)
{
    uint32_t mask = 0;
    bool star = set->stars && element.len > 0 && element.ptr[element.len - 1] == '*';
    size_t prefix = star ? element.len - 1 : 0;
    for (size_t i = 0; i < set->count; i++) {
        if (slice_is(element, set->names[i]) || (star && strlen(set->names[i]) >= prefix &&
                                                 memcmp(set->names[i], element.ptr, prefix) == 0))
            mask |= 1U << i;
    }
    return mask;
}

/* A list of names as a mask by their place in `set`. */
static int filter_read_names(const struct filter_reader *reader, const struct name_set *set,
                             uint32_t *out)
{
    struct weir_slice rest = reader->value, element;
    uint32_t mask = 0;
    while (slice_next(&rest, ',', &element)) {
        uint32_t found = name_set_find(set, element);
        if (found == 0)
            return filter_no_name(reader, element, set->what, set->names, set->count);
        mask |= found;
    }
    *out = mask;
    return 0;
}

static int filter_read_path(const struct filter_reader *reader)
{
    struct name_set set = { .count = ENDPOINT_COUNT, .what = "endpoint", .stars = true };
    for (int e = 0; e < ENDPOINT_COUNT; e++)
        set.names[e] = endpoint_name((enum endpoint)e);
    return filter_read_names(reader, &set, &reader->out->endpoints);
}

static int filter_read_method(const struct filter_reader *reader)
{
    struct name_set set = { .count = METHOD_COUNT, .what = "method" };
    for (int m = 0; m < METHOD_COUNT; m++)
        set.names[m] = method_name((enum method)m);
    uint32_t mask = 0;
    int err = filter_read_names(reader, &set, &mask);
    reader->out->methods = (uint16_t)mask;
    return err;
}

static int filter_read_end(const struct filter_reader *reader)
{
    struct name_set set = { .count = JOURNAL_END_COUNT, .what = "end" };
    for (int e = 0; e < JOURNAL_END_COUNT; e++)
        set.names[e] = journal_end_name((enum journal_end)e);
    uint32_t mask = 0;
    int err = filter_read_names(reader, &set, &mask);
    reader->out->ends = (uint16_t)mask;
    return err;
}

/* Who names phases does not want those that were answered whole. */
static int filter_read_phase(const struct filter_reader *reader)
{
    struct name_set set = { .count = JOURNAL_PHASE_COUNT, .what = "phase" };
    for (int p = 0; p < JOURNAL_PHASE_COUNT; p++)
        set.names[p] = journal_phase_name((enum journal_phase)p);
    uint32_t mask = 0;
    int err = filter_read_names(reader, &set, &mask);
    reader->out->phases = (uint16_t)mask;
    return err;
}

/* ---- Other values ------------------------------------------------------------------------ */

/* "429", "4xx", or 0 for what was not answered. */
static int filter_read_status(const struct filter_reader *reader)
{
    static const char expected[] =
        "a status as 429, a class as 4xx, 0 for none, or a list of these";
    struct weir_slice rest = reader->value, element;
    while (slice_next(&rest, ',', &element)) {
        uint64_t first, count = 1;
        bool class = element.len == 3 && memcmp(element.ptr + 1, "xx", 2) == 0;
        if (class)
            element.len = 1;
        if (!slice_number(element, 599, &first))
            return filter_expected(reader, expected);
        if (class) {
            first *= 100;
            count = 100;
        }
        if ((first != 0 || class) && (first < 100 || first > 599))
            return filter_expected(reader, expected);
        for (uint64_t status = first; status < first + count; status++)
            reader->out->statuses[status / 64] |= 1ULL << status % 64;
    }
    reader->out->has_status = true;
    return 0;
}

/* An id comes first: somebody who calls a rule "reset" means that rule. */
static bool filter_add_fault(struct filter *out, struct weir_slice name)
{
    for (uint32_t number = 1; number < FAULT_NUMBERS_MAX; number++) {
        const char *id = fault_number_id((uint16_t)number);
        if (id != NULL && id[0] != '\0' && slice_is(name, id)) {
            out->fault_rules[number / 64] |= 1ULL << number % 64;
            return true;
        }
    }
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (slice_is(name, fault_kind_name((enum fault_kind)kind))) {
            out->fault_kinds |= 1U << kind;
            return true;
        }
    }
    if (!slice_is(name, "any"))
        return false;
    out->fault_kinds |= ((1U << FAULT_KIND_COUNT) - 1) & ~(1U << FAULT_NONE);
    return true;
}

static int filter_read_fault(const struct filter_reader *reader)
{
    struct filter *out = reader->out;
    out->has_fault = true;
    struct weir_slice rest = reader->value, element;
    while (slice_next(&rest, ',', &element)) {
        if (filter_add_fault(out, element))
            continue;
        const char *names[FAULT_KIND_COUNT + 1 + FAULT_NUMBERS_MAX];
        size_t count = 0;
        for (int kind = 0; kind < FAULT_KIND_COUNT; kind++)
            names[count++] = fault_kind_name((enum fault_kind)kind);
        names[count++] = "any";
        for (uint32_t number = 1; number < FAULT_NUMBERS_MAX; number++) {
            const char *id = fault_number_id((uint16_t)number);
            if (id != NULL && id[0] != '\0')
                names[count++] = id;
        }
        return filter_no_name(reader, element, "rule or kind of fault", names, count);
    }
    return 0;
}

static int filter_read_model(const struct filter_reader *reader)
{
    const struct filter_context *context = reader->context;
    if (reader->value.len == 0)
        return filter_expected(reader, "the id of a model, or none");
    reader->out->has_model = true;
    for (uint32_t i = 0; i < context->models_count; i++) {
        if (slice_is(reader->value, context->models[i])) {
            reader->out->model = (int16_t)i;
            return 0;
        }
    }
    reader->out->model = FILTER_MODEL_NONE;
    if (slice_is(reader->value, "none"))
        return 0;
    return filter_no_name(reader, reader->value, "model", context->models, context->models_count);
}

static int filter_read_stream(const struct filter_reader *reader)
{
    bool yes = slice_is(reader->value, "true");
    if (!yes && !slice_is(reader->value, "false"))
        return filter_expected(reader, "true or false");
    reader->out->stream = yes;
    return 0;
}

static int filter_read_key(const struct filter_reader *reader)
{
    if (reader->value.len == 0)
        return filter_expected(reader, "the text of a key");
    reader->out->has_key = true;
    reader->out->key = weir_random_key(reader->value);
    return 0;
}

static int filter_read_u64(const struct filter_reader *reader, uint64_t *out, const char *what)
{
    return slice_number(reader->value, UINT64_MAX, out) ? 0 : filter_expected(reader, what);
}

static int filter_read_conn(const struct filter_reader *reader)
{
    reader->out->has_conn = true;
    return filter_read_u64(reader, &reader->out->conn, "the number of a connection");
}

static int filter_read_min_delivered(const struct filter_reader *reader)
{
    uint64_t us;
    if (!slice_number(reader->value, UINT64_MAX / 1000, &us))
        return filter_expected(reader, "a number of microseconds");
    reader->out->delivered_ns_min = us * 1000;
    return 0;
}

static int filter_read_min(const struct filter_reader *reader)
{
    reader->out->verifies = true;
    return filter_read_u64(reader, &reader->out->min, "a number of requests");
}

static int filter_read_max(const struct filter_reader *reader)
{
    reader->out->verifies = true;
    return filter_read_u64(reader, &reader->out->max, "a number of requests");
}

static int filter_read_limit(const struct filter_reader *reader)
{
    uint64_t limit;
    if (!slice_number(reader->value, FILTER_LIMIT_MAX, &limit) || limit == 0)
        return filter_expected(reader, "a number of 1 ... 10000");
    reader->out->limit = (uint32_t)limit;
    return 0;
}

/* ---- Times ------------------------------------------------------------------------------- */

/* "-5s": a number, then its unit. */
static bool time_read_ago(struct weir_slice text, int64_t *ago_ns)
{
    static const struct {
        const char *name;
        int64_t per_s, s; /* so many make a second, or it is so many seconds */
    } units[] = { { "s", 1, 1 },           { "ms", 1000, 1 }, { "us", 1000000, 1 },
                  { "ns", 1000000000, 1 }, { "m", 1, 60 },    { "h", 1, 3600 } };
    size_t digits = 0;
    while (digits < text.len &&
           ((text.ptr[digits] >= '0' && text.ptr[digits] <= '9') || text.ptr[digits] == '.'))
        digits++;
    struct weir_slice unit = { text.ptr + digits, text.len - digits };
    int64_t value;
    if (!slice_fixed((struct weir_slice){ text.ptr, digits }, &value))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (slice_is(unit, units[i].name))
            return !__builtin_mul_overflow(value / units[i].per_s, units[i].s, ago_ns);
    }
    return false;
}

/* `count` digits at `at`, a number of [low, high]. */
static bool time_read_digits(struct weir_slice text, size_t at, size_t count, uint64_t high,
                             uint64_t *out)
{
    return text.len >= at + count &&
           slice_number((struct weir_slice){ text.ptr + at, count }, high, out);
}

/* "Z", "+02:00", "-08:00" (RFC 3339 section 5.6), as seconds to subtract. */
static bool time_read_zone(struct weir_slice zone, int64_t *out)
{
    if (zone.len == 1 && (zone.ptr[0] == 'Z' || zone.ptr[0] == 'z')) {
        *out = 0;
        return true;
    }
    uint64_t hours, minutes;
    if (zone.len != 6 || (zone.ptr[0] != '+' && zone.ptr[0] != '-') || zone.ptr[3] != ':' ||
        !time_read_digits(zone, 1, 2, 23, &hours) || !time_read_digits(zone, 4, 2, 59, &minutes))
        return false;
    int64_t seconds = (int64_t)(hours * 3600 + minutes * 60);
    *out = zone.ptr[0] == '-' ? -seconds : seconds;
    return true;
}

/* RFC 3339: "2024-05-01T12:00:00.25Z". */
static bool time_read_date(struct weir_slice text, int64_t *unix_ns)
{
    uint64_t year, month, day, hour, minute;
    if (text.len < 20 || !time_read_digits(text, 0, 4, 2261, &year) || text.ptr[4] != '-' ||
        !time_read_digits(text, 5, 2, 12, &month) || text.ptr[7] != '-' ||
        !time_read_digits(text, 8, 2, 31, &day) || (text.ptr[10] != 'T' && text.ptr[10] != 't') ||
        !time_read_digits(text, 11, 2, 23, &hour) || text.ptr[13] != ':' ||
        !time_read_digits(text, 14, 2, 59, &minute) || text.ptr[16] != ':')
        return false;
    size_t end = 17;
    while (end < text.len &&
           ((text.ptr[end] >= '0' && text.ptr[end] <= '9') || text.ptr[end] == '.'))
        end++;
    int64_t seconds_ns, zone_s;
    /* A leap second, 60, is the first moment of the next minute, as Unix time has it. */
    if (end < 19 || (end > 19 && text.ptr[19] != '.') ||
        !slice_fixed((struct weir_slice){ text.ptr + 17, end - 17 }, &seconds_ns) ||
        seconds_ns >= 61 * NS_PER_S ||
        !time_read_zone((struct weir_slice){ text.ptr + end, text.len - end }, &zone_s))
        return false;
    struct tm utc = { .tm_year = (int)year - 1900,
                      .tm_mon = (int)month - 1,
                      .tm_mday = (int)day,
                      .tm_hour = (int)hour,
                      .tm_min = (int)minute };
    int64_t seconds = timegm(&utc);
    /* timegm() makes March of the 30th of February, and month 0 the December before. */
    if (year < 1970 || utc.tm_mon != (int)month - 1 || utc.tm_mday != (int)day)
        return false;
    *unix_ns = (seconds - zone_s) * NS_PER_S + seconds_ns;
    return true;
}

/* A moment of the engine's clock. */
static int filter_read_time(const struct filter_reader *reader, int64_t *out)
{
    const struct filter_context *context = reader->context;
    struct weir_slice text = reader->value;
    int64_t ns;
    if (text.len > 1 && text.ptr[0] == '-') {
        if (time_read_ago((struct weir_slice){ text.ptr + 1, text.len - 1 }, &ns)) {
            *out = context->now_ns - ns;
            return 0;
        }
    } else if (slice_fixed(text, &ns) || time_read_date(text, &ns)) {
        *out = ns - context->wall_ns;
        return 0;
    }
    return filter_expected(reader, "seconds of Unix time (1714564800.25), RFC 3339 "
                                   "(2024-05-01T12:00:00.25Z) or a time ago (-5s)");
}

static int filter_read_since(const struct filter_reader *reader)
{
    return filter_read_time(reader, &reader->out->since_ns);
}

static int filter_read_until(const struct filter_reader *reader)
{
    return filter_read_time(reader, &reader->out->until_ns);
}

/* ---- The query --------------------------------------------------------------------------- */

enum filter_where { FILTER_BOTH, FILTER_LISTS, FILTER_COUNTS };

static const struct filter_parameter {
    const char *name;
    enum filter_where where;
    int (*read)(const struct filter_reader *reader);
} filter_parameters[] = {
    { "limit", FILTER_LISTS, filter_read_limit },
    { "path", FILTER_BOTH, filter_read_path },
    { "method", FILTER_BOTH, filter_read_method },
    { "status", FILTER_BOTH, filter_read_status },
    { "end", FILTER_BOTH, filter_read_end },
    { "phase", FILTER_BOTH, filter_read_phase },
    { "fault", FILTER_BOTH, filter_read_fault },
    { "model", FILTER_BOTH, filter_read_model },
    { "stream", FILTER_BOTH, filter_read_stream },
    { "key", FILTER_BOTH, filter_read_key },
    { "conn", FILTER_BOTH, filter_read_conn },
    { "since", FILTER_BOTH, filter_read_since },
    { "until", FILTER_BOTH, filter_read_until },
    { "min_delivered_us", FILTER_BOTH, filter_read_min_delivered },
    { "min", FILTER_COUNTS, filter_read_min },
    { "max", FILTER_COUNTS, filter_read_max },
};
#define PARAMETERS_COUNT (sizeof filter_parameters / sizeof filter_parameters[0])

static bool filter_parameter_is_known(size_t i, bool counts)
{
    return filter_parameters[i].where != (counts ? FILTER_LISTS : FILTER_COUNTS);
}

/* @return the place of the parameter in the table, or -EINVAL */
static int filter_find_parameter(struct weir_slice name, bool counts, struct filter_error *err)
{
    const char *names[PARAMETERS_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < PARAMETERS_COUNT; i++) {
        bool known = filter_parameter_is_known(i, counts);
        if (known)
            names[count++] = filter_parameters[i].name;
        if (!slice_is(name, filter_parameters[i].name))
            continue;
        return known ? (int)i
                     : filter_fail(err, "%s: only /admin/requests%s knows it",
                                   filter_parameters[i].name, counts ? "" : "/count");
    }
    char quoted[QUOTED_BYTES];
    filter_quote(quoted, name);
    const char *nearest = nearest_name(quoted, names, count);
    if (nearest != NULL)
        return filter_fail(err, "%s: no such parameter; did you mean %s?", quoted, nearest);
    size_t len = 0;
    char all[200];
    for (size_t i = 0; i < count; i++) {
        int added = snprintf(all + len, sizeof all - len, "%s%s", i == 0 ? "" : ", ", names[i]);
        len += added > 0 && (size_t)added < sizeof all - len ? (size_t)added : 0;
    }
    return filter_fail(err, "%s: no such parameter; there are %s", quoted, all);
}

/* Read "name=value", of which `seen` tells which names were there before. */
static int filter_read_pair(struct filter_reader *reader, struct weir_slice pair, uint32_t *seen)
{
    uint8_t name_bytes[QUOTED_BYTES], value_bytes[VALUE_BYTES_MAX];
    struct weir_slice name, value = pair;
    slice_next(&value, '=', &name);
    int64_t name_len = weir_url_percent_decode(name_bytes, sizeof name_bytes, name);
    char quoted[QUOTED_BYTES];
    if (name_len < 0)
        return filter_fail(reader->err, "%s: no such parameter", filter_quote(quoted, name));
    name = (struct weir_slice){ name_bytes, (size_t)name_len };
    int place = filter_find_parameter(name, reader->context->counts, reader->err);
    if (place < 0)
        return place;
    reader->name = filter_parameters[place].name;
    if ((*seen >> place & 1U) != 0)
        return filter_fail(reader->err, "%s: given twice", reader->name);
    *seen |= 1U << place;
    int64_t len = weir_url_percent_decode(value_bytes, sizeof value_bytes, value);
    if (len == -ENOBUFS)
        return filter_fail(reader->err, "%s: longer than %d bytes", reader->name, VALUE_BYTES_MAX);
    if (len < 0)
        return filter_fail(reader->err, "%s: a '%%' without two hexadecimal digits", reader->name);
    reader->value = (struct weir_slice){ value_bytes, (size_t)len };
    return filter_parameters[place].read(reader);
}

int filter_parse(struct filter *out, struct weir_slice query, const struct filter_context *context,
                 struct filter_error *err)
{
    *out = (struct filter){
        .limit = FILTER_LIMIT_DEFAULT,
        .max = UINT64_MAX,
        .stream = -1,
        .endpoints = UINT32_MAX,
        .methods = UINT16_MAX,
        .ends = UINT16_MAX,
        .phases = UINT16_MAX,
        .since_ns = INT64_MIN,
        .until_ns = INT64_MAX,
    };
    struct filter_reader reader = { .out = out, .context = context, .err = err };
    struct weir_slice pair;
    uint32_t seen = 0;
    while (query.len > 0 && slice_next(&query, '&', &pair)) {
        if (pair.len == 0)
            continue;
        int failed = filter_read_pair(&reader, pair, &seen);
        if (failed < 0)
            return failed;
    }
    if (out->min > out->max)
        return filter_fail(err, "min: %" PRIu64 " is more than max", out->min);
    return 0;
}
