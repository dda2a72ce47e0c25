/* SPDX-License-Identifier: MIT */
#include "core/trace.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

/* The fixed words and five numbers of at most 20 digits need less than 160 bytes: the rest is for
 * the kind's name. */
#define TRACE_LINE_BYTES 256

/* A line being made by hand: stdio locks and allocates, which a signal handler must not. */
struct trace_line {
    size_t len;
    char text[TRACE_LINE_BYTES];
};

/* What does not fit is cut off; the last byte is kept for the newline. */
static void line_char(struct trace_line *line, char c)
{
    if (line->len < TRACE_LINE_BYTES - 1)
        line->text[line->len++] = c;
}

static void line_text(struct trace_line *line, const char *text)
{
    for (; *text != '\0'; text++)
        line_char(line, *text);
}

static void line_number(struct trace_line *line, uint64_t number, unsigned base)
{
    char digits[20]; /* of 2^64 - 1 in decimal */
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    while (count > 0)
        line_char(line, digits[--count]);
}

static void line_signed(struct trace_line *line, int64_t number)
{
    if (number < 0)
        line_char(line, '-');
    line_number(line, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10);
}

static bool line_write(const struct trace_line *line, int fd)
{
    size_t done = 0;
    while (done < line->len) {
        ssize_t count = write(fd, line->text + done, line->len - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

static void line_event(struct trace_line *line, const struct weir_trace_event *event,
                       const char *kind_name)
{
    line_text(line, "trace: pass ");
    line_number(line, event->pass, 10);
    line_char(line, ' ');
    if (kind_name != NULL) {
        line_text(line, kind_name);
    } else {
        line_text(line, "kind ");
        line_number(line, event->kind, 10);
    }
    line_text(line, " index ");
    line_number(line, event->index, 10);
    line_text(line, " res ");
    line_signed(line, event->res);
    line_text(line, " flags 0x");
    line_number(line, event->flags, 16);
    line_text(line, " extra ");
    line_number(line, event->extra, 10);
    line->text[line->len++] = '\n';
}

void weir_trace_print(const struct weir_trace *trace, const char *const *kind_names,
                      unsigned kinds_count, int fd)
{
    int saved_errno = errno;
    uint64_t end = trace->next;
    uint64_t i = end > WEIR_TRACE_EVENTS ? end - WEIR_TRACE_EVENTS : 0;
    for (; i < end; i++) {
        const struct weir_trace_event *event = &trace->events[i & (WEIR_TRACE_EVENTS - 1)];
        const char *name = event->kind < kinds_count ? kind_names[event->kind] : NULL;
        struct trace_line line = { .len = 0 };
        line_event(&line, event, name);
        if (!line_write(&line, fd))
            break;
    }
    errno = saved_errno;
}
