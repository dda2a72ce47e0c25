/* SPDX-License-Identifier: MIT */
#include "mock/control/journal.h"

#include "mock/control/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_US 1000U
#define NS_PER_S  1000000000LL
#define S_PER_DAY 86400

int journal_open(struct journal *journal, uint32_t capacity)
{
    *journal = (struct journal){ .capacity = capacity };
    if (capacity == 0)
        return 0;
    journal->records = calloc(capacity, sizeof *journal->records);
    return journal->records == NULL ? -ENOMEM : 0;
}

void journal_close(struct journal *journal)
{
    free(journal->records);
    *journal = (struct journal){ 0 };
}

void journal_reset(struct journal *journal)
{
    journal->next = 0;
    journal->recorded = 0;
}

uint64_t journal_dropped_count(const struct journal *journal)
{
    return journal->recorded > journal->capacity ? journal->recorded - journal->capacity : 0;
}

static uint32_t journal_held(const struct journal *journal)
{
    return journal->recorded < journal->capacity ? (uint32_t)journal->recorded : journal->capacity;
}

/* ---- Reading ----------------------------------------------------------------------------- */

uint32_t journal_copy(const struct journal *journal, struct journal_record *out, uint32_t max)
{
    uint32_t held = journal_held(journal);
    uint32_t count = held < max ? held : max;
    if (count == 0)
        return 0;
    /* The last `count` records end at `next`; they may go around the end of the ring once. */
    uint32_t first = journal->next >= count ? journal->next - count
                                            : journal->capacity - (count - journal->next);
    uint32_t before_end = journal->capacity - first;
    uint32_t head = count < before_end ? count : before_end;
    memcpy(out, &journal->records[first], head * sizeof *out);
    memcpy(out + head, journal->records, (count - head) * sizeof *out);
    return count;
}

/* The record that came `age` records before the last one. */
static const struct journal_record *journal_at(const struct journal *journal, uint32_t age)
{
    uint32_t back = age + 1;
    uint32_t index =
        journal->next >= back ? journal->next - back : journal->capacity - (back - journal->next);
    return &journal->records[index];
}

uint32_t journal_copy_matching(const struct journal *journal, const struct filter *filter,
                               struct journal_record *out, uint32_t max)
{
    if (filter == NULL)
        return journal_copy(journal, out, max);
    uint32_t held = journal_held(journal);
    uint32_t count = 0;
    /* From the last one back, to stop when `max` are found: `out` fills from its end. */
    for (uint32_t age = 0; age < held && count < max; age++) {
        const struct journal_record *record = journal_at(journal, age);
        if (filter_matches(filter, record))
            out[max - ++count] = *record;
    }
    memmove(out, out + (max - count), count * sizeof *out);
    return count;
}

uint64_t journal_count_matching(const struct journal *journal, const struct filter *filter)
{
    uint32_t held = journal_held(journal);
    if (filter == NULL)
        return held;
    /* The ring is full or begins at its first place: either way these are all. */
    uint64_t count = 0;
    for (uint32_t i = 0; i < held; i++)
        count += filter_matches(filter, &journal->records[i]);
    return count;
}

/* Arrival, then thread and number: a total order, so that equal times print the same way twice. */
static int journal_compare(const void *left, const void *right)
{
    const struct journal_record *a = left, *b = right;
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns ? -1 : 1;
    if (a->thread != b->thread)
        return a->thread < b->thread ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

void journal_sort(struct journal_record *records, size_t count)
{
    if (count > 1)
        qsort(records, count, sizeof *records, journal_compare);
}

/* ---- Writing ----------------------------------------------------------------------------- */

static const char *const journal_end_names[] = {
    [JOURNAL_ANSWERED] = "answered", [JOURNAL_CUT] = "cut",
    [JOURNAL_REFUSED] = "refused",   [JOURNAL_DISCONNECT] = "disconnect",
    [JOURNAL_GIVEN_UP] = "given_up",
};
_Static_assert(sizeof journal_end_names / sizeof journal_end_names[0] == JOURNAL_END_COUNT,
               "one each");

static const char *const journal_phase_names[] = {
    [JOURNAL_BODY] = "body",           [JOURNAL_QUEUED] = "queued", [JOURNAL_DELAYED] = "delayed",
    [JOURNAL_STREAMING] = "streaming", [JOURNAL_SENT] = "sent",
};
_Static_assert(sizeof journal_phase_names / sizeof journal_phase_names[0] == JOURNAL_PHASE_COUNT,
               "one each");

const char *journal_end_name(enum journal_end end)
{
    return journal_end_names[end];
}

const char *journal_phase_name(enum journal_phase phase)
{
    return journal_phase_names[phase];
}

/*
 * The text of a record grows in a line of this size and is added to the answer once: 23 members
 * with names of 400 bytes and at most 20 digits each, and four names. A string that is not plain,
 * or longer than LINE_STRING_MAX, goes another way.
 */
#define LINE_BYTES      1536
#define LINE_STRING_MAX 128

struct line {
    struct text *text;
    char *at;
    char bytes[LINE_BYTES];
};

static void line_add(struct line *line, const char *bytes, size_t len)
{
    memcpy(line->at, bytes, len);
    line->at += len;
}

#define LINE_ADD(line, literal) line_add(line, literal, sizeof(literal) - 1)

static void line_flush(struct line *line)
{
    text_add(line->text, line->bytes, (size_t)(line->at - line->bytes));
    line->at = line->bytes;
}

static void line_number(struct line *line, uint64_t value)
{
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    line_add(line, digits + first, sizeof digits - first);
}

/* Exactly `count` digits. */
static void line_digits(struct line *line, uint64_t value, size_t count)
{
    for (size_t i = count; i-- > 0; value /= 10)
        line->at[i] = (char)('0' + value % 10);
    line->at += count;
}

static void line_hex(struct line *line, uint64_t value)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        *line->at++ = "0123456789abcdef"[value >> shift & 15];
}

/* A name that this program knows: plain and short. */
static void line_name(struct line *line, const char *name)
{
    *line->at++ = '"';
    line_add(line, name, strlen(name));
    *line->at++ = '"';
}

/* A string that somebody configured. */
static void line_string(struct line *line, const char *string)
{
    size_t len = strlen(string);
    bool plain = len <= LINE_STRING_MAX;
    for (size_t i = 0; plain && i < len; i++)
        plain = string[i] >= 0x20 && string[i] < 0x7F && string[i] != '"' && string[i] != '\\';
    if (plain) {
        line_name(line, string);
        return;
    }
    line_flush(line);
    text_json(line->text, (struct weir_slice){ (const uint8_t *)string, len });
}

/* RFC 3339 in UTC with microseconds, as text_time() writes it, in a tenth of the time. */
static void line_time(struct line *line, int64_t unix_ns, struct journal_writer *writer)
{
    int64_t seconds = unix_ns / NS_PER_S - (unix_ns % NS_PER_S < 0);
    int64_t day = seconds / S_PER_DAY - (seconds % S_PER_DAY < 0);
    if (writer->date[0] == '\0' || writer->day != day) {
        time_t midnight = (time_t)(day * S_PER_DAY);
        struct tm utc;
        /* 64 bits of nanoseconds end in the year 2262: the year has four digits. */
        if (gmtime_r(&midnight, &utc) == NULL ||
            strftime(writer->date, sizeof writer->date, "%Y-%m-%d", &utc) != 10) {
            line->text->failed = true;
            return;
        }
        writer->day = day;
    }
    uint64_t of_day = (uint64_t)(seconds - day * S_PER_DAY);
    line_add(line, writer->date, 10);
    *line->at++ = 'T';
    line_digits(line, of_day / 3600, 2);
    *line->at++ = ':';
    line_digits(line, of_day / 60 % 60, 2);
    *line->at++ = ':';
    line_digits(line, of_day % 60, 2);
    *line->at++ = '.';
    line_digits(line, (uint64_t)(unix_ns - seconds * NS_PER_S) / NS_PER_US, 6);
    *line->at++ = 'Z';
}

/* A fault that the request itself asked for has no rule. */
static void line_fault(struct line *line, const struct journal_record *record)
{
    if (record->rule == 0 && record->fault_kind == FAULT_NONE) {
        LINE_ADD(line, "null");
        return;
    }
    LINE_ADD(line, "{\"rule\":");
    if (record->rule == 0)
        LINE_ADD(line, "null");
    else
        line_string(line, fault_number_id(record->rule));
    LINE_ADD(line, ",\"kind\":");
    line_name(line, fault_kind_name(record->fault_kind));
    LINE_ADD(line, "}");
}

static void line_model(struct line *line, int16_t model, const struct journal_writer *writer)
{
    const char *name =
        model >= 0 && writer->model_name != NULL ? writer->model_name(writer->ctx, model) : NULL;
    if (name == NULL)
        LINE_ADD(line, "null");
    else
        line_string(line, name);
}

#define LINE_NUMBER(line, name, value) (LINE_ADD(line, ",\"" name "\":"), line_number(line, value))

static void line_times_and_sizes(struct line *line, const struct journal_record *record)
{
    LINE_NUMBER(line, "asked_us", record->asked_ns / NS_PER_US);
    LINE_NUMBER(line, "delivered_us", record->delivered_ns / NS_PER_US);
    LINE_NUMBER(line, "ttft_us", record->ttft_ns / NS_PER_US);
    LINE_NUMBER(line, "late_us", record->late_us);
    LINE_NUMBER(line, "queue_us", record->queue_us);
    LINE_NUMBER(line, "body_bytes", record->body_bytes);
    LINE_NUMBER(line, "answer_bytes", record->answer_bytes);
    LINE_NUMBER(line, "prompt_tokens", record->prompt_tokens);
    LINE_NUMBER(line, "output_tokens", record->output_tokens);
    LINE_NUMBER(line, "retry_after_s", record->retry_after_s);
}

void journal_write(struct text *text, const struct journal_record *record,
                   struct journal_writer *writer)
{
    struct line line;
    line.text = text;
    line.at = line.bytes;
    LINE_ADD(&line, "{\"seq\":");
    line_number(&line, record->seq);
    LINE_NUMBER(&line, "thread", record->thread);
    LINE_ADD(&line, ",\"time\":\"");
    line_time(&line, (int64_t)record->start_ns + writer->wall_ns, writer);
    LINE_ADD(&line, "\",\"endpoint\":");
    line_name(&line, endpoint_name(record->endpoint));
    LINE_ADD(&line, ",\"method\":");
    line_name(&line, method_name(record->method));
    LINE_NUMBER(&line, "status", record->status);
    LINE_ADD(&line, ",\"end\":");
    line_name(&line, journal_end_name(record->end));
    LINE_ADD(&line, ",\"phase\":");
    if (record->end == JOURNAL_ANSWERED)
        LINE_ADD(&line, "null");
    else
        line_name(&line, journal_phase_name(record->phase));
    LINE_ADD(&line, ",\"fault\":");
    line_fault(&line, record);
    line_times_and_sizes(&line, record);
    LINE_ADD(&line, ",\"model\":");
    line_model(&line, record->model, writer);
    if (record->stream)
        LINE_ADD(&line, ",\"stream\":true,\"key\":");
    else
        LINE_ADD(&line, ",\"stream\":false,\"key\":");
    if (record->keyed) {
        *line.at++ = '"';
        line_hex(&line, record->key);
        *line.at++ = '"';
    } else {
        LINE_ADD(&line, "null");
    }
    LINE_NUMBER(&line, "conn", record->conn);
    LINE_ADD(&line, "}");
    line_flush(&line);
}
