/* SPDX-License-Identifier: MIT */
/*
 * Percentiles of a measured system, as HdrHistogram prints them:
 *
 *        Value     Percentile TotalCount 1/(1-Percentile)
 *
 *        0.921 0.000000000000          1           1.00
 *        ...
 *      143.359 1.000000000000      99999          inf
 *     #[Mean    =        1.234, StdDeviation   =        5.678]
 *
 * What is before the heading and from the first '#' behind the rows on is not looked at, so the
 * output of wrk2 can be given as it is. A row says which value its share of all counts is at or
 * below; only its first two columns are read. The unit is nowhere said.
 */
#include "core/dist.h"
#include "core/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* 4096 rows take 300 KB; the rest is room for what a tool prints around them. */
#define HGRM_FILE_BYTES_MAX (4 << 20)

/* Of a slice, for "%.*s": as much as a message has room for. */
#define HGRM_SHOWN(slice) (int)weir_min_u64((slice).len, 60), (const char *)(slice).ptr

/* The line that begins *rest, without its end (CR LF or LF); *rest is moved behind it. */
static struct weir_slice hgrm_line(struct weir_slice *rest)
{
    struct weir_slice line = *rest;
    const uint8_t *end = memchr(rest->ptr, '\n', rest->len);
    if (end != NULL)
        line.len = (size_t)(end - line.ptr);
    size_t taken = line.len + (end != NULL);
    *rest = (struct weir_slice){ .ptr = rest->ptr + taken, .len = rest->len - taken };
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool hgrm_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* The next word of *line, which is moved behind it; empty at the end. */
static struct weir_slice hgrm_word(struct weir_slice *line)
{
    size_t begin = 0;
    while (begin < line->len && hgrm_is_blank(line->ptr[begin]))
        begin++;
    size_t end = begin;
    while (end < line->len && !hgrm_is_blank(line->ptr[end]))
        end++;
    struct weir_slice word = { .ptr = line->ptr + begin, .len = end - begin };
    *line = (struct weir_slice){ .ptr = line->ptr + end, .len = line->len - end };
    return word;
}

static bool hgrm_is_heading(struct weir_slice line)
{
    return weir_slice_eq(hgrm_word(&line), WEIR_TEXT("Value")) &&
           weir_slice_eq(hgrm_word(&line), WEIR_TEXT("Percentile"));
}

/* Push the point of a row. */
static int hgrm_row(struct weir_dist_draft *draft, struct weir_slice line, uint64_t unit_ns)
{
    struct weir_slice rest = line;
    struct weir_dist_decimal value, share;
    bool rounds;
    if (!weir_dist_decimal_scan(&value, hgrm_word(&rest), &rounds) ||
        !weir_dist_decimal_scan(&share, hgrm_word(&rest), &rounds))
        return weir_fail(-EINVAL, "expected a value and a percentile, found '%.*s'",
                         HGRM_SHOWN(line));
    double u = weir_dist_decimal_value(share, 0);
    double ns = weir_dist_decimal_value(value, 0) * (double)unit_ns;
    if (u > 1)
        return weir_fail(-ERANGE, "the percentile is above 1");
    if (ns > (double)WEIR_DIST_NS_MAX)
        return weir_fail(-ERANGE, "the value is above 2400h: is the unit right?");
    const struct weir_dist_part *part = &draft->parts[draft->parts_count - 1];
    if (part->points_count == 0 && u > 0) {
        int err = weir_dist_table_push(draft, 0, ns);
        if (err < 0)
            return err;
    }
    if (part->points_count > 0) {
        const struct weir_dist_point *last = &part->points[part->points_count - 1];
        if (u < last->u || ns < last->ns)
            return weir_fail(-EINVAL, "the %s is less than in the row before",
                             u < last->u ? "percentile" : "value");
    }
    return weir_dist_table_push(draft, u, ns);
}

/* Of a mistake in a line: where it is. */
static int hgrm_fail_line(int err, uint32_t line_number)
{
    char said[256];
    snprintf(said, sizeof said, "%s", weir_error_text());
    return weir_fail(err, "line %u: %s", line_number, said);
}

static int hgrm_scan(struct weir_dist_draft *draft, struct weir_slice rest, uint64_t unit_ns)
{
    const struct weir_dist_part *part = &draft->parts[draft->parts_count - 1];
    bool in_rows = false;
    for (uint32_t number = 1; rest.len > 0; number++) {
        struct weir_slice line = hgrm_line(&rest);
        struct weir_slice words = line;
        struct weir_slice word = hgrm_word(&words);
        if (!in_rows) {
            in_rows = hgrm_is_heading(line);
            continue;
        }
        if (word.len == 0)
            continue;
        if (word.ptr[0] == '#')
            break;
        int err = hgrm_row(draft, line, unit_ns);
        if (err < 0)
            return hgrm_fail_line(err, number);
    }
    if (!in_rows)
        return weir_fail(-EINVAL, "has no line 'Value Percentile ...': "
                                  "expected the percentiles that HdrHistogram prints");
    if (part->points_count == 0 || part->points[part->points_count - 1].u < 1)
        return weir_fail(-EINVAL, "the last row is not at percentile 1: was it cut off?");
    return 0;
}

/* All of a file, which is *bytes_out long, into an arena that the caller closes whatever is
 * returned. */
static int hgrm_load(struct weir_arena *arena, size_t *bytes_out, int fd)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return weir_fail(-errno, "cannot be examined: %s", weir_strerror(-errno));
    if (!S_ISREG(status.st_mode))
        return weir_fail(-EINVAL, "is not a file");
    if (status.st_size > HGRM_FILE_BYTES_MAX)
        return weir_fail(-ERANGE, "is longer than 4 MiB");
    size_t capacity = (size_t)status.st_size, bytes = 0;
    if (capacity == 0) {
        *bytes_out = 0;
        return 0;
    }
    int err = weir_arena_open(arena, capacity);
    if (err < 0)
        return err;
    uint8_t *content = weir_arena_take(arena, capacity, 1);
    while (bytes < capacity) {
        ssize_t n = read(fd, content + bytes, capacity - bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return weir_fail(-errno, "cannot be read: %s", weir_strerror(-errno));
        if (n == 0)
            break; /* shorter than it was: the last row shows what that means */
        bytes += (size_t)n;
    }
    *bytes_out = bytes;
    return 0;
}

/* What was said about a file, with its name: the end of a long one. */
static int hgrm_fail_path(int err, const char *path)
{
    char said[256];
    snprintf(said, sizeof said, "%s", weir_error_text());
    size_t len = strlen(path);
    return weir_fail(err, "%s: %s", len > 120 ? path + len - 120 : path, said);
}

int weir_dist_hgrm_read(struct weir_dist_draft *draft, const char *path, uint64_t unit_ns)
{
    WEIR_ASSERT(draft->parts_count > 0);
    WEIR_ASSERT(unit_ns > 0);
    /* NONBLOCK: opening a pipe must not wait for its other end. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int err = -errno;
        return hgrm_fail_path(weir_fail(err, "cannot be opened: %s", weir_strerror(err)), path);
    }
    struct weir_arena arena = { 0 };
    size_t bytes = 0;
    int err = hgrm_load(&arena, &bytes, fd);
    close(fd);
    if (err == 0) {
        struct weir_slice content = { .ptr = arena.base, .len = bytes };
        err = hgrm_scan(draft, content, unit_ns);
    }
    weir_arena_close(&arena);
    return err < 0 ? hgrm_fail_path(err, path) : 0;
}
