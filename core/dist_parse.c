/* SPDX-License-Identifier: MIT */
/*
 * Distributions as text.
 *
 *     text   = "mix:" part *( ";" part ) | spec
 *     part   = weight "*" spec
 *     spec   = duration | kind ":" field *( "," field )
 *     field  = [ name "=" ] value | percent "=" duration
 *
 * Of some kinds the first field needs no name; those with a percentage are the points of a table.
 *
 * The fields of a spec are collected first, whatever their order; then what its kind needs, allows
 * and means is looked up in one table.
 */
#include "core/dist.h"
#include "core/assert.h"
#include "core/dist_math.h"

#include <weir/units.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define PARSE_VALUE_BYTES_MAX 64 /* of a duration, with its NUL */
/* A p99 of 10^10 medians: beyond it nothing much is left between 1 ns and the limit. */
#define PARSE_SIGMA_MAX 10
/* 13 places of a percentage are 15 of a share, of which a double holds each exactly. */
#define PARSE_PERCENT_PLACES_MAX 13

enum parse_field {
    FIELD_VALUE,
    FIELD_MIN,
    FIELD_MAX,
    FIELD_MEAN,
    FIELD_STDDEV,
    FIELD_MEDIAN,
    FIELD_PERCENTILE, /* p99, p90, ... */
    FIELD_SIGMA,
    FIELD_SHAPE,
    FIELD_ALPHA,
    FIELD_FILE,
    FIELD_UNIT,
    FIELD_COUNT
};

static const char *const parse_field_names[] = {
    "value", "min",   "max",   "mean",  "stddev", "median",
    "p99",   "sigma", "shape", "alpha", "file",   "unit",
};
_Static_assert(sizeof parse_field_names / sizeof parse_field_names[0] == FIELD_COUNT, "one each");

#define FIELD_BIT(field) (1u << FIELD_##field)
#define FIELDS_LIMITS    (FIELD_BIT(MIN) | FIELD_BIT(MAX))
#define FIELDS_NUMBERS   (FIELD_BIT(SIGMA) | FIELD_BIT(SHAPE) | FIELD_BIT(ALPHA))

/* One spec while it is read. */
struct parse_spec {
    struct weir_dist_draft *draft;
    struct weir_dist_part *part;
    uint32_t part_number; /* in a mixture, from 1 on; else 0 */
    uint32_t seen;        /* FIELD_BITs */
    uint64_t ns[FIELD_COUNT];
    struct weir_dist_decimal number[FIELD_COUNT];
    struct weir_slice file;
};

/* What a kind is made of. `make` fills in the part, when all required and no other fields are
 * there. */
struct parse_kind {
    uint32_t required;
    uint32_t allowed;      /* besides */
    enum parse_field bare; /* the first one needs no name; FIELD_COUNT: none does */
    int (*make)(struct parse_spec *spec);
};

const char *const weir_dist_kind_names[] = {
    "fixed", "uniform", "normal", "lognormal", "exponential", "gamma", "pareto", "table", "hgrm",
};
_Static_assert(sizeof weir_dist_kind_names / sizeof weir_dist_kind_names[0] == WEIR_DIST_KIND_COUNT,
               "one each");

/* Of a slice, for "%.*s": as much as a message has room for. */
#define PARSE_SHOWN(slice) (int)weir_min_u64((slice).len, 60), (const char *)(slice).ptr

/* weir_fail(), with which spec it is. */
__attribute__((format(printf, 3, 4), cold)) static int parse_fail(const struct parse_spec *spec,
                                                                  int err, const char *format, ...)
{
    char said[400];
    va_list args;
    va_start(args, format);
    vsnprintf(said, sizeof said, format, args);
    va_end(args);
    const char *kind = weir_dist_kind_names[spec->part->kind];
    if (spec->part_number == 0)
        return weir_fail(err, "%s: %s", kind, said);
    return weir_fail(err, "mix: part %u: %s: %s", spec->part_number, kind, said);
}

/* The same for what a function below has said. */
static int parse_fail_within(const struct parse_spec *spec, int err, const char *field)
{
    char said[400];
    snprintf(said, sizeof said, "%s", weir_error_text());
    return parse_fail(spec, err, "%s: %s", field, said);
}

/* What is before the next `separator`; *rest is what is behind, without ptr if there was none. */
static struct weir_slice parse_cut(struct weir_slice *rest, char separator)
{
    WEIR_ASSERT(rest->ptr != NULL);
    struct weir_slice piece = *rest;
    const uint8_t *at = memchr(rest->ptr, separator, rest->len);
    *rest = (struct weir_slice){ 0 };
    if (at != NULL) {
        size_t len = (size_t)(at - piece.ptr);
        *rest = (struct weir_slice){ .ptr = at + 1, .len = piece.len - len - 1 };
        piece.len = len;
    }
    return piece;
}

static bool parse_is(struct weir_slice text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static bool parse_is_digit(struct weir_slice text)
{
    return text.len > 0 && text.ptr[0] >= '0' && text.ptr[0] <= '9';
}

bool weir_dist_decimal_scan(struct weir_dist_decimal *out, struct weir_slice text, bool *rounds_out)
{
    struct weir_dist_decimal number = { 0 };
    bool has_point = false, rounds = false;
    uint32_t used = 0, zeros = 0; /* zeros: of the fraction, not yet known to be inside of it */
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '.' && !has_point && i > 0 && i + 1 < text.len) {
            has_point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        if (has_point && c == '0') {
            zeros += zeros < WEIR_DIST_DECIMAL_DIGITS;
            continue;
        }
        uint32_t more = zeros + 1;
        if (number.places + more > WEIR_DIST_DECIMAL_DIGITS ||
            used + more > WEIR_DIST_DECIMAL_DIGITS) {
            rounds = true;
            if (!has_point)
                return false;
            continue;
        }
        for (; zeros > 0; zeros--)
            number.digits *= 10;
        number.digits = number.digits * 10 + (uint64_t)(c - '0');
        number.places += has_point ? more : 0;
        used += number.digits > 0 ? more : 0;
    }
    if (text.len == 0 || (rounds && rounds_out == NULL))
        return false;
    if (rounds_out != NULL)
        *rounds_out = rounds;
    *out = number;
    return true;
}

double weir_dist_decimal_value(struct weir_dist_decimal decimal, uint32_t shift)
{
    WEIR_ASSERT(decimal.places + shift <= 22);
    double power = 1;
    for (uint32_t place = 0; place < decimal.places + shift; place++)
        power *= 10;
    return (double)decimal.digits / power;
}

static int parse_duration(const struct parse_spec *spec, uint64_t *out, const char *field,
                          struct weir_slice text)
{
    char copy[PARSE_VALUE_BYTES_MAX];
    if (text.len >= sizeof copy)
        return parse_fail(spec, -EINVAL, "%s: '%.*s...' is no duration", field, PARSE_SHOWN(text));
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    uint64_t ns;
    int err = weir_parse_duration_ns(&ns, copy);
    if (err < 0)
        return parse_fail_within(spec, err, field);
    if (ns > WEIR_DIST_NS_MAX)
        return parse_fail(spec, -ERANGE, "%s: '%s' is too large: a delay is at most 2400h", field,
                          copy);
    *out = ns;
    return 0;
}

/* "us" or "100ns": what a value of 1 in a file of HdrHistogram means. */
static int parse_unit(struct parse_spec *spec, struct weir_slice text)
{
    char copy[PARSE_VALUE_BYTES_MAX];
    if (text.len + 1 >= sizeof copy)
        return parse_fail(spec, -EINVAL, "unit: '%.*s...' is no unit", PARSE_SHOWN(text));
    snprintf(copy, sizeof copy, "%s%.*s", parse_is_digit(text) ? "" : "1", (int)text.len,
             (const char *)text.ptr);
    uint64_t *ns = &spec->ns[FIELD_UNIT];
    if (weir_parse_duration_ns(ns, copy) < 0 || *ns == 0 || *ns > WEIR_DIST_NS_MAX)
        return parse_fail(
            spec, -EINVAL,
            "unit: '%.*s' is no unit: expected ns, us, ms, s or a duration as in 100ns",
            PARSE_SHOWN(text));
    return 0;
}

static int parse_number(struct parse_spec *spec, enum parse_field field, struct weir_slice text)
{
    static const struct {
        double min, max;
        const char *range;
    } ranges[FIELD_COUNT] = {
        [FIELD_SIGMA] = { 0, PARSE_SIGMA_MAX, "0 ... 10" },
        [FIELD_SHAPE] = { 0.05, 10000, "0.05 ... 10000" },
        [FIELD_ALPHA] = { 0.01, 1000, "0.01 ... 1000" },
    };
    const char *name = parse_field_names[field];
    if (!weir_dist_decimal_scan(&spec->number[field], text, NULL))
        return parse_fail(spec, -EINVAL, "%s: '%.*s' is not a decimal number of at most 15 digits",
                          name, PARSE_SHOWN(text));
    double value = weir_dist_decimal_value(spec->number[field], 0);
    if (value < ranges[field].min || value > ranges[field].max)
        return parse_fail(spec, -ERANGE, "%s: '%.*s' is out of range: expected %s", name,
                          PARSE_SHOWN(text), ranges[field].range);
    return 0;
}

/* FIELD_COUNT when there is none of that name. */
static enum parse_field parse_field_find(struct parse_spec *spec, struct weir_slice name)
{
    struct weir_dist_decimal percent;
    struct weir_slice digits = { .ptr = name.ptr + 1, .len = name.len - 1 };
    if (name.len > 1 && name.ptr[0] == 'p' && weir_dist_decimal_scan(&percent, digits, NULL)) {
        if (percent.digits == 50 && percent.places == 0)
            return FIELD_MEDIAN;
        /* With two of them the second is found to be too many before this is read. */
        spec->number[FIELD_PERCENTILE] = percent;
        return FIELD_PERCENTILE;
    }
    for (int i = 0; i < FIELD_COUNT; i++)
        if (i != FIELD_PERCENTILE && parse_is(name, parse_field_names[i]))
            return (enum parse_field)i;
    return FIELD_COUNT;
}

/* 0.5% in a table: a point. */
static int parse_point(struct parse_spec *spec, struct weir_slice name, struct weir_slice value)
{
    struct weir_dist_decimal percent;
    bool is_number = weir_dist_decimal_scan(&percent, name, NULL);
    double u = is_number ? weir_dist_decimal_value(percent, 2) : 2;
    if (u > 1 || percent.places > PARSE_PERCENT_PLACES_MAX)
        return parse_fail(spec, is_number ? -ERANGE : -EINVAL,
                          "'%.*s' is not a percentage: expected 0 ... 100 with at most %d places",
                          PARSE_SHOWN(name), PARSE_PERCENT_PLACES_MAX);
    char label[PARSE_VALUE_BYTES_MAX];
    snprintf(label, sizeof label, "%.*s%%", PARSE_SHOWN(name));
    uint64_t ns = 0;
    int err = parse_duration(spec, &ns, label, value);
    if (err < 0)
        return err;
    struct weir_dist_part *part = spec->part;
    if (part->points_count > 0) {
        const struct weir_dist_point *last = &part->points[part->points_count - 1];
        if (u <= last->u)
            return parse_fail(spec, -EINVAL, "%s: percentages must increase", label);
        if ((double)ns < last->ns)
            return parse_fail(spec, -EINVAL, "%s: '%.*s' is less than at the percentage before",
                              label, PARSE_SHOWN(value));
    } else if (u > 0) {
        err = weir_dist_table_push(spec->draft, 0, (double)ns);
    }
    if (err == 0)
        err = weir_dist_table_push(spec->draft, u, (double)ns);
    return err < 0 ? parse_fail_within(spec, err, label) : 0;
}

static int parse_value(struct parse_spec *spec, enum parse_field field, struct weir_slice value)
{
    spec->seen |= 1u << field;
    if (field == FIELD_FILE) {
        if (value.len == 0 || value.len >= PATH_MAX)
            return parse_fail(spec, -EINVAL, "file: expected the name of a file");
        spec->file = value;
        return 0;
    }
    if (field == FIELD_UNIT)
        return parse_unit(spec, value);
    if (FIELDS_NUMBERS & (1u << field))
        return parse_number(spec, field, value);
    return parse_duration(spec, &spec->ns[field], parse_field_names[field], value);
}

static int parse_make_fixed(struct parse_spec *spec)
{
    spec->part->center_ns = spec->ns[FIELD_VALUE];
    spec->part->a = (double)spec->ns[FIELD_VALUE];
    return 0;
}

static int parse_make_uniform(struct parse_spec *spec)
{
    spec->part->a = (double)spec->part->min_ns;
    spec->part->b = (double)(spec->part->max_ns - spec->part->min_ns);
    return 0;
}

static int parse_make_normal(struct parse_spec *spec)
{
    struct weir_dist_part *part = spec->part;
    part->center_ns = spec->ns[FIELD_MEAN];
    part->spread_ns = spec->ns[FIELD_STDDEV];
    part->a = (double)part->center_ns;
    part->b = (double)part->spread_ns;
    return 0;
}

/* sigma from the median and a percentile: ln(p99 / median) / 2.3263. */
static int parse_percentile(struct parse_spec *spec)
{
    struct weir_dist_part *part = spec->part;
    part->number = spec->number[FIELD_PERCENTILE];
    part->number_is_percent = true;
    part->spread_ns = spec->ns[FIELD_PERCENTILE];
    bool fits = part->number.places <= PARSE_PERCENT_PLACES_MAX;
    double u = fits ? weir_dist_decimal_value(part->number, 2) : 0;
    if (u <= 0.5 || u >= 1)
        return parse_fail(spec, -ERANGE, "the second percentile must lie between p50 and p100");
    if (part->spread_ns < part->center_ns)
        return parse_fail(spec, -EINVAL, "the higher percentile is less than the median");
    part->b = log((double)part->spread_ns / (double)part->center_ns) / weir_dist_normal_quantile(u);
    if (part->b > PARSE_SIGMA_MAX)
        return parse_fail(spec, -ERANGE, "the percentiles make a sigma of %.3g: at most %d",
                          part->b, PARSE_SIGMA_MAX);
    return 0;
}

static int parse_make_lognormal(struct parse_spec *spec)
{
    struct weir_dist_part *part = spec->part;
    part->center_ns = spec->ns[FIELD_MEDIAN];
    part->a = (double)part->center_ns;
    if (part->center_ns == 0)
        return parse_fail(spec, -ERANGE, "median: must be more than 0");
    bool has_sigma = spec->seen & FIELD_BIT(SIGMA),
         has_percentile = spec->seen & FIELD_BIT(PERCENTILE);
    if (has_sigma == has_percentile)
        return parse_fail(spec, -EINVAL,
                          "expected either sigma or a higher percentile, as in p99=20ms");
    if (has_percentile)
        return parse_percentile(spec);
    part->number = spec->number[FIELD_SIGMA];
    part->b = weir_dist_decimal_value(part->number, 0);
    return 0;
}

static int parse_make_exponential(struct parse_spec *spec)
{
    spec->part->center_ns = spec->ns[FIELD_MEAN];
    spec->part->a = (double)spec->ns[FIELD_MEAN];
    if (spec->ns[FIELD_MEAN] == 0)
        return parse_fail(spec, -ERANGE, "mean: must be more than 0");
    return 0;
}

static int parse_make_gamma(struct parse_spec *spec)
{
    int err = parse_make_exponential(spec);
    if (err < 0)
        return err;
    struct weir_dist_part *part = spec->part;
    part->number = spec->number[FIELD_SHAPE];
    part->b = weir_dist_decimal_value(part->number, 0);
    part->a = part->a / part->b; /* mean = shape * scale */
    return 0;
}

static int parse_make_pareto(struct parse_spec *spec)
{
    struct weir_dist_part *part = spec->part;
    if (part->min_ns == 0)
        return parse_fail(spec, -ERANGE, "min: must be more than 0");
    part->number = spec->number[FIELD_ALPHA];
    part->a = (double)part->min_ns;
    part->b = -1 / weir_dist_decimal_value(part->number, 0);
    return 0;
}

static int parse_make_table(struct parse_spec *spec)
{
    const struct weir_dist_part *part = spec->part;
    if (part->points_count == 0)
        return parse_fail(spec, -EINVAL, "expected percentages, as in 0=1ms,50=2ms,100=9ms");
    if (part->points[part->points_count - 1].u < 1)
        return parse_fail(spec, -EINVAL, "the last percentage must be 100");
    return 0;
}

static int parse_make_hgrm(struct parse_spec *spec)
{
    struct weir_dist_part *part = spec->part;
    char path[PATH_MAX];
    WEIR_ASSERT(spec->file.len < sizeof path);
    memcpy(path, spec->file.ptr, spec->file.len);
    path[spec->file.len] = '\0';
    part->file = spec->file;
    part->center_ns = spec->seen & FIELD_BIT(UNIT) ? spec->ns[FIELD_UNIT] : 1000;
    int err = weir_dist_hgrm_read(spec->draft, path, part->center_ns);
    return err < 0 ? parse_fail_within(spec, err, "file") : 0;
}

static const struct parse_kind parse_kinds[] = {
    [WEIR_DIST_FIXED] = { FIELD_BIT(VALUE), 0, FIELD_VALUE, parse_make_fixed },
    [WEIR_DIST_UNIFORM] = { FIELDS_LIMITS, 0, FIELD_COUNT, parse_make_uniform },
    [WEIR_DIST_NORMAL] = { FIELD_BIT(MEAN) | FIELD_BIT(STDDEV), FIELDS_LIMITS, FIELD_COUNT,
                           parse_make_normal },
    [WEIR_DIST_LOGNORMAL] = { FIELD_BIT(MEDIAN),
                              FIELD_BIT(SIGMA) | FIELD_BIT(PERCENTILE) | FIELDS_LIMITS, FIELD_COUNT,
                              parse_make_lognormal },
    [WEIR_DIST_EXPONENTIAL] = { FIELD_BIT(MEAN), FIELDS_LIMITS, FIELD_COUNT,
                                parse_make_exponential },
    [WEIR_DIST_GAMMA] = { FIELD_BIT(MEAN) | FIELD_BIT(SHAPE), FIELDS_LIMITS, FIELD_COUNT,
                          parse_make_gamma },
    [WEIR_DIST_PARETO] = { FIELD_BIT(MIN) | FIELD_BIT(ALPHA), FIELD_BIT(MAX), FIELD_COUNT,
                           parse_make_pareto },
    [WEIR_DIST_TABLE] = { 0, FIELDS_LIMITS, FIELD_COUNT, parse_make_table },
    [WEIR_DIST_HGRM] = { FIELD_BIT(FILE), FIELD_BIT(UNIT) | FIELDS_LIMITS, FIELD_FILE,
                         parse_make_hgrm },
};
_Static_assert(sizeof parse_kinds / sizeof parse_kinds[0] == WEIR_DIST_KIND_COUNT, "one each");

/* The names of a set of fields: "mean, stddev, min, max". */
static const char *parse_names(char out[128], uint32_t fields)
{
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < FIELD_COUNT; i++)
        if (fields & (1u << i))
            len += (size_t)snprintf(out + len, 128 - len, "%s%s", len > 0 ? ", " : "",
                                    parse_field_names[i]);
    WEIR_ASSERT(len < 128);
    return out;
}

static int parse_field(struct parse_spec *spec, struct weir_slice text, bool is_first)
{
    const struct parse_kind *kind = &parse_kinds[spec->part->kind];
    struct weir_slice value = text;
    struct weir_slice name = parse_cut(&value, '=');
    if (value.ptr == NULL) {
        if (is_first && kind->bare != FIELD_COUNT && text.len > 0)
            return parse_value(spec, kind->bare, text);
        return parse_fail(spec, -EINVAL, "'%.*s' is no field: expected NAME=VALUE",
                          PARSE_SHOWN(text));
    }
    if (spec->part->kind == WEIR_DIST_TABLE && parse_is_digit(name))
        return parse_point(spec, name, value);
    enum parse_field field = parse_field_find(spec, name);
    uint32_t known = kind->required | kind->allowed;
    char names[128];
    if (field == FIELD_COUNT || !(known & (1u << field)))
        return parse_fail(
            spec, -EINVAL, "'%.*s' is none of its fields: expected %s%s", PARSE_SHOWN(name),
            spec->part->kind == WEIR_DIST_TABLE ? "percentages, " : "", parse_names(names, known));
    if (spec->seen & (1u << field))
        return parse_fail(spec, -EINVAL, "'%.*s' is given twice", PARSE_SHOWN(name));
    return parse_value(spec, field, value);
}

static int parse_limits(struct parse_spec *spec)
{
    struct weir_dist_part *part = spec->part;
    part->min_ns = spec->seen & FIELD_BIT(MIN) ? spec->ns[FIELD_MIN] : 0;
    part->max_ns = spec->seen & FIELD_BIT(MAX) ? spec->ns[FIELD_MAX] : WEIR_DIST_NS_MAX;
    if (part->min_ns > part->max_ns)
        return parse_fail(spec, -EINVAL, "min is more than max");
    part->min = (double)part->min_ns;
    part->max = (double)part->max_ns;
    return 0;
}

static int parse_fields(struct parse_spec *spec, struct weir_slice rest)
{
    int err = 0;
    for (bool is_first = true; rest.ptr != NULL && err == 0; is_first = false)
        err = parse_field(spec, parse_cut(&rest, ','), is_first);
    if (err < 0)
        return err;
    const struct parse_kind *kind = &parse_kinds[spec->part->kind];
    char names[128];
    uint32_t missing = kind->required & ~spec->seen;
    if (missing != 0)
        return parse_fail(spec, -EINVAL, "missing: %s", parse_names(names, missing));
    err = parse_limits(spec);
    return err < 0 ? err : kind->make(spec);
}

/* False when there is no such kind. */
static bool parse_kind_find(enum weir_dist_kind *out, struct weir_slice name)
{
    for (int i = 0; i < WEIR_DIST_KIND_COUNT; i++) {
        if (!parse_is(name, weir_dist_kind_names[i]))
            continue;
        *out = (enum weir_dist_kind)i;
        return true;
    }
    return false;
}

/* Add a part to the draft: `part_number` in a mixture, 0 alone. */
static int parse_spec(struct weir_dist_draft *draft, struct weir_slice text,
                      struct weir_dist_decimal weight, uint32_t part_number)
{
    WEIR_ASSERT(draft->parts_count < WEIR_DIST_PARTS_MAX);
    struct weir_slice rest = text;
    struct weir_slice name = parse_cut(&rest, ':');
    enum weir_dist_kind kind = WEIR_DIST_FIXED;
    if (rest.ptr == NULL && parse_is_digit(text)) {
        rest = text;
    } else if (!parse_kind_find(&kind, name)) {
        char where[24] = "";
        if (part_number > 0)
            snprintf(where, sizeof where, "mix: part %u: ", part_number);
        if (parse_is(name, "mix") && part_number > 0)
            return weir_fail(-EINVAL, "%sa mixture holds no mixture: multiply their weights",
                             where);
        return weir_fail(-EINVAL,
                         "%s'%.*s' is no kind of distribution: expected a duration, fixed, "
                         "uniform, normal, lognormal, exponential, gamma, pareto, table, hgrm%s",
                         where, PARSE_SHOWN(name), part_number > 0 ? "" : ", mix");
    }
    struct parse_spec spec = {
        .draft = draft,
        .part = &draft->parts[draft->parts_count++],
        .part_number = part_number,
    };
    *spec.part = (struct weir_dist_part){ .kind = kind, .weight = weight };
    return parse_fields(&spec, rest);
}

/* The weight before a '*', which is added to *sum in units of 10^-15. */
static int parse_weight(struct weir_dist_decimal *out, uint64_t *sum, struct weir_slice text,
                        uint32_t part_number)
{
    static const uint64_t one = UINT64_C(1000000000000000);
    uint64_t weight = 0;
    if (weir_dist_decimal_scan(out, text, NULL) && weir_dist_decimal_value(*out, 0) <= 1) {
        weight = out->digits;
        for (uint32_t place = out->places; place < WEIR_DIST_DECIMAL_DIGITS; place++)
            weight *= 10;
    }
    if (weight == 0)
        return weir_fail(-EINVAL,
                         "mix: part %u: weight: '%.*s' is not a decimal above 0, at most 1, with "
                         "at most 15 places",
                         part_number, PARSE_SHOWN(text));
    *sum += weight;
    if (*sum > one)
        return weir_fail(-ERANGE, "mix: part %u: the weights add up to more than 1", part_number);
    return 0;
}

static int parse_mix(struct weir_dist_draft *draft, struct weir_slice rest)
{
    uint64_t sum = 0;
    for (uint32_t number = 1; rest.ptr != NULL; number++) {
        if (number > WEIR_DIST_PARTS_MAX)
            return weir_fail(-ERANGE, "mix: there are more than %d parts", WEIR_DIST_PARTS_MAX);
        struct weir_slice text = parse_cut(&rest, ';');
        struct weir_slice weight_text = parse_cut(&text, '*');
        if (text.ptr == NULL)
            return weir_fail(-EINVAL,
                             "mix: part %u: expected WEIGHT*DISTRIBUTION, as in 0.95*fixed:5ms",
                             number);
        struct weir_dist_decimal weight;
        int err = parse_weight(&weight, &sum, weight_text, number);
        if (err == 0)
            err = parse_spec(draft, text, weight, number);
        if (err < 0)
            return err;
    }
    if (sum != UINT64_C(1000000000000000))
        return weir_fail(-EINVAL, "mix: the weights add up to %.15g: expected 1",
                         (double)sum / 1e15);
    return 0;
}

int weir_dist_parse(struct weir_dist **out, const char *text)
{
    WEIR_ASSERT(out != NULL);
    WEIR_ASSERT(text != NULL);
    struct weir_dist_draft draft = { 0 };
    struct weir_slice all = { .ptr = (const uint8_t *)text, .len = strlen(text) };
    struct weir_slice rest = all;
    int err;
    if (parse_is(parse_cut(&rest, ':'), "mix"))
        err = parse_mix(&draft, rest.ptr != NULL ? rest : WEIR_TEXT(""));
    else
        err = parse_spec(&draft, all, (struct weir_dist_decimal){ .digits = 1 }, 0);
    if (err == 0)
        err = weir_dist_build(out, &draft);
    weir_arena_close(&draft.scratch);
    return err;
}
