/* SPDX-License-Identifier: MIT */
/* Reader of HTTP dates: fields from fixed columns, then their meaning in one place. */
#include "proto/codec/date.h"

#include "core/base.h"

#define DAY_SECONDS 86400
#define EPOCH_DAYS  719468 /* from 0000-03-01 to 1970-01-01 */
#define ERA_YEARS   400
#define ERA_DAYS    146097
/* 50 years, RFC 9110 section 5.6.7, of the mean length: a day more or less decides nothing. */
#define AHEAD_SECONDS (INT64_C(50) * ERA_DAYS * DAY_SECONDS / ERA_YEARS)
#define TEXT_FIXED    29 /* IMF-fixdate */
#define TEXT_ASCTIME  24

/* A date as it is written, before anybody has looked whether it exists. */
struct date_parts {
    unsigned year, month, day; /* month: 1 ... 12 */
    unsigned hour, minute, second;
};

static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char day_names[7][10] = { "Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday" };

static bool has_text(const uint8_t *at, const char *text, size_t len)
{
    return memcmp(at, text, len) == 0;
}

/* `count` digits at `at`. */
static bool read_digits(unsigned *out, const uint8_t *at, unsigned count)
{
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++) {
        if ((uint8_t)(at[i] - '0') > 9)
            return false;
        value = value * 10 + (unsigned)(at[i] - '0');
    }
    *out = value;
    return true;
}

static bool read_month(unsigned *out, const uint8_t *at)
{
    for (unsigned i = 0; i < 12; i++) {
        if (has_text(at, month_names[i], 3)) {
            *out = i + 1;
            return true;
        }
    }
    return false;
}

static bool is_day_name(const uint8_t *at)
{
    for (unsigned i = 0; i < 7; i++) {
        if (has_text(at, day_names[i], 3))
            return true;
    }
    return false;
}

/* "08:49:37" */
static bool read_time(struct date_parts *out, const uint8_t *at)
{
    return read_digits(&out->hour, at, 2) && at[2] == ':' && read_digits(&out->minute, at + 3, 2) &&
           at[5] == ':' && read_digits(&out->second, at + 6, 2);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool read_fixed(struct date_parts *out, const uint8_t *at)
{
    return is_day_name(at) && has_text(at + 3, ", ", 2) && read_digits(&out->day, at + 5, 2) &&
           at[7] == ' ' && read_month(&out->month, at + 8) && at[11] == ' ' &&
           read_digits(&out->year, at + 12, 4) && at[16] == ' ' && read_time(out, at + 17) &&
           has_text(at + 25, " GMT", 4);
}

/* "Sun Nov  6 08:49:37 1994": a day below 10 has a blank in front. */
static bool read_asctime(struct date_parts *out, const uint8_t *at)
{
    bool padded = at[8] == ' ';
    return is_day_name(at) && at[3] == ' ' && read_month(&out->month, at + 4) && at[7] == ' ' &&
           read_digits(&out->day, at + 8 + padded, 2 - padded) && at[10] == ' ' &&
           read_time(out, at + 11) && at[19] == ' ' && read_digits(&out->year, at + 20, 4);
}

static unsigned days_of_month(unsigned year, unsigned month)
{
    static const uint8_t days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

static bool parts_to_seconds(int64_t *out, const struct date_parts *p)
{
    if (p->day == 0 || p->day > days_of_month(p->year, p->month))
        return false;
    bool leap_second = p->hour == 23 && p->minute == 59 && p->second == 60;
    if (p->hour > 23 || p->minute > 59 || (p->second > 59 && !leap_second))
        return false;
    /* Years from March on, so that the leap day ends one; 400 more keep all of it above zero. */
    unsigned years = p->year + ERA_YEARS - (p->month <= 2);
    unsigned in_era = years % ERA_YEARS;
    unsigned month = (p->month + 9) % 12;
    int64_t days = (int64_t)(years / ERA_YEARS) * ERA_DAYS + in_era * 365 + in_era / 4 -
                   in_era / 100 + (153 * month + 2) / 5 + p->day - 1;
    days -= EPOCH_DAYS + ERA_DAYS;
    *out = days * DAY_SECONDS + p->hour * 3600 + p->minute * 60 + p->second;
    return true;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool read_rfc850(int64_t *out, struct weir_slice text, int64_t now_s)
{
    size_t name = 0;
    for (unsigned i = 0; i < 7 && name == 0; i++) {
        size_t len = strlen(day_names[i]);
        if (text.len > len && has_text(text.ptr, day_names[i], len))
            name = len;
    }
    if (name == 0 || text.len != name + 24)
        return false;
    const uint8_t *at = text.ptr + name;
    struct date_parts p;
    bool good = has_text(at, ", ", 2) && read_digits(&p.day, at + 2, 2) && at[4] == '-' &&
                read_month(&p.month, at + 5) && at[8] == '-' && read_digits(&p.year, at + 9, 2) &&
                at[11] == ' ' && read_time(&p, at + 12) && has_text(at + 20, " GMT", 4);
    if (!good)
        return false;
    /* From 9900 downwards: the first that is not too late. A day that one century lacks, 29 Feb 00,
     * is of another. */
    const int64_t latest = now_s + AHEAD_SECONDS;
    const unsigned short_year = p.year;
    for (unsigned century = 100; century-- > 0;) {
        int64_t seconds;
        p.year = century * 100 + short_year;
        if (parts_to_seconds(&seconds, &p) && seconds <= latest) {
            *out = seconds;
            return true;
        }
    }
    return false;
}

bool weir_date_read(int64_t *out, struct weir_slice text, int64_t now_s)
{
    struct date_parts parts;
    if (text.len == TEXT_FIXED && text.ptr[3] == ',')
        return read_fixed(&parts, text.ptr) && parts_to_seconds(out, &parts);
    if (text.len == TEXT_ASCTIME)
        return read_asctime(&parts, text.ptr) && parts_to_seconds(out, &parts);
    return read_rfc850(out, text, now_s);
}
