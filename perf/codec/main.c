/* SPDX-License-Identifier: MIT */
/*
 * codec-bench: how fast the codecs of libweir are beside other parsers.
 *
 * Each row is first parsed by every column once more carefully: what they found must be the same,
 * or nothing is measured. Then, row by row, the columns take turns in rounds, forwards and
 * backwards (a b c, c b a, a b c, ...), so that a machine that becomes faster or slower does so for
 * all of them.
 */
#include "perf/codec/alloc.h"
#include "perf/codec/child.h"
#include "perf/codec/table.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_FAILED = 1 };

/* Who answers for a column: a parser in this process, or a child. */
struct column {
    struct codec_peer *peer; /* NULL: the child */
    struct codec_child child;
};

static struct bench {
    struct column columns[CODEC_COLUMNS_MAX]; /* as many as table.columns_count */
    struct codec_table table;
    const char *only;
    bool json;
} bench = { .table = { .rounds = 7, .cell_ms = 20, .cpu = -1 } };

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "codec-bench: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
}

/* ---- columns ---- */

static bool column_add(const char *name, const struct column *column)
{
    unsigned at = bench.table.columns_count;
    if (at == CODEC_COLUMNS_MAX) {
        complain("more than %d columns", CODEC_COLUMNS_MAX);
        return false;
    }
    for (unsigned i = 0; i < at; i++) {
        if (strcmp(bench.table.columns[i], name) == 0) {
            complain("two columns '%s'", name);
            return false;
        }
    }
    bench.table.columns[at] = name;
    bench.columns[at] = *column;
    bench.table.columns_count++;
    return true;
}

static bool column_add_peer(struct codec_peer *peer)
{
    return peer != NULL && column_add(peer->name, &(struct column){ .peer = peer });
}

static bool column_add_child(const char *name, const char *path, const char *simd)
{
    struct column column = { .peer = NULL };
    int err = codec_child_open(&column.child, path, simd);
    if (err != 0) {
        complain("%s: %s", path, strerror(-err));
        return false;
    }
    if (column_add(name, &column))
        return true;
    if (codec_child_close(&column.child) != 0)
        complain("%s: did not end well", path);
    return false;
}

/* "scalar,avx2": a child of this program for each. */
static bool columns_add_simd(char *list)
{
    for (char *name = list, *next; name != NULL; name = next) {
        next = strchr(name, ',');
        if (next != NULL)
            *next++ = '\0';
        if (!column_add_child(name, "/proc/self/exe", name))
            return false;
    }
    return true;
}

/* "NAME=FILE" */
static bool column_add_build(char *text)
{
    char *path = strchr(text, '=');
    bool good = path != NULL && path != text;
    for (const char *p = text; good && p < path; p++)
        good = isalnum((unsigned char)*p) || strchr("-._", *p) != NULL;
    if (!good) {
        complain("--build: expected NAME=FILE, got '%s'", text);
        return false;
    }
    *path++ = '\0';
    return column_add_child(text, path, NULL);
}

static bool columns_close(void)
{
    bool good = true;
    for (unsigned i = 0; i < bench.table.columns_count; i++) {
        struct column *column = &bench.columns[i];
        if (column->peer != NULL || codec_child_close(&column->child) == 0)
            continue;
        complain("%s: its process did not end well", bench.table.columns[i]);
        good = false;
    }
    return good;
}

static bool column_ask(unsigned index, const struct codec_question *question,
                       struct codec_answer *out)
{
    struct column *column = &bench.columns[index];
    int err = 0;
    if (column->peer != NULL)
        codec_cell_answer(column->peer, question, out);
    else
        err = codec_child_ask(&column->child, question, out);
    if (err != 0)
        complain("%s: its process: %s", bench.table.columns[index], strerror(-err));
    return err == 0;
}

/* ---- rows ---- */

static struct codec_question question_of(const struct codec_input *input, unsigned cell_ms)
{
    struct codec_question question = { .budget_ns = cell_ms * UINT64_C(1000000) };
    snprintf(question.row, sizeof(question.row), "%s", input->name);
    return question;
}

/* Which columns parse this row, and do they find the same? The first, weir, sets what is found. */
static bool row_verify(struct codec_row *row)
{
    const struct codec_question question = question_of(row->input, 0);
    uint64_t input_digest = 0;
    for (unsigned c = 0; c < bench.table.columns_count; c++) {
        const char *name = bench.table.columns[c];
        struct codec_answer answer;
        if (!column_ask(c, &question, &answer))
            return false;
        row->cells[c].present = answer.outcome == CODEC_DONE;
        if (answer.outcome == CODEC_NOT_OFFERED)
            continue;
        if (answer.outcome != CODEC_DONE) {
            complain("%s: %s refused the bytes, or found others at another place", row->input->name,
                     name);
            return false;
        }
        if (c == 0) {
            input_digest = answer.input_digest;
            row->digest = answer.digest;
        }
        if (answer.input_digest != input_digest) {
            complain("%s: %s was built with other bytes", row->input->name, name);
            return false;
        }
        bool floor = bench.columns[c].peer != NULL && bench.columns[c].peer->floor;
        if (!floor && answer.digest != row->digest) {
            complain("%s: %s found something else than weir", row->input->name, name);
            return false;
        }
    }
    return true;
}

static bool cell_measure(struct codec_row *row, unsigned column, unsigned round)
{
    const struct codec_question question = question_of(row->input, bench.table.cell_ms);
    struct codec_measured *cell = &row->cells[column];
    struct codec_answer answer;
    if (!cell->present)
        return true;
    if (!column_ask(column, &question, &answer))
        return false;
    if (answer.outcome != CODEC_DONE || answer.passes == 0 || answer.ns == 0) {
        complain("%s: %s could not be measured", row->input->name, bench.table.columns[column]);
        return false;
    }
    double units = (double)answer.passes * row->input->units;
    cell->unit_ns[round] = (double)answer.ns / units;
    cell->alloc_count += answer.alloc_count;
    return true;
}

static bool row_measure(struct codec_row *row)
{
    const unsigned columns = bench.table.columns_count;
    for (unsigned round = 0; round < bench.table.rounds; round++) {
        for (unsigned i = 0; i < columns; i++) {
            unsigned column = round % 2 == 0 ? i : columns - 1 - i;
            if (!cell_measure(row, column, round))
                return false;
        }
    }
    return true;
}

/* A row that weir has no parser for in this build is left out. */
static bool rows_run(void)
{
    const struct codec_input *inputs = codec_inputs();
    for (unsigned i = 0; i < CODEC_INPUTS_COUNT; i++) {
        if (bench.only != NULL && strcmp(bench.only, inputs[i].name) != 0)
            continue;
        if (bench.columns[0].peer->run[inputs[i].kind] == NULL)
            continue;
        struct codec_row *row = &bench.table.rows[bench.table.rows_count];
        row->input = &inputs[i];
        if (!row_verify(row) || !row_measure(row))
            return false;
        bench.table.rows_count++;
    }
    if (bench.table.rows_count == 0)
        complain("no row '%s' that weir can parse in this build", bench.only);
    return bench.table.rows_count != 0;
}

/* ---- options ---- */

static const char usage[] =
    "usage: codec-bench [--pico FILE.so] [--pico-scalar FILE.so] [--simd LIST]\n"
    "                   [--build NAME=FILE]... [--only ROW] [--rounds N] [--ms N] [--cpu N]\n"
    "                   [--json]\n"
    "Measures the codecs of libweir beside other parsers, memcpy and memchr.\n"
    "  --pico FILE.so         picohttpparser, built by you:\n"
    "                         cc -O3 -msse4.2 -shared -fPIC -o FILE.so picohttpparser.c\n"
    "  --pico-scalar FILE.so  the same built without -msse4.2\n"
    "  --simd LIST            weir in a process of its own for each WEIR_SIMD of the list, such "
    "as\n"
    "                         scalar,sse42,avx2; one that this CPU lacks is an error\n"
    "  --build NAME=FILE      weir as another build of this program has it, as column NAME;\n"
    "                         a column 'scalar' is compared with pico-scalar\n"
    "  --only ROW             this row alone\n"
    "  --rounds N             rounds (7)\n"
    "  --ms N                 milliseconds per cell and round (20)\n"
    "  --cpu N                stay on this CPU\n"
    "  --json                 print one JSON object with all rounds\n"
    "Exit status: 0, whatever bars were missed; 1 when a parser refused a row or found something\n"
    "else than weir, and when the options are wrong.\n";

static bool parse_uint(unsigned *out, const char *option, const char *text, unsigned max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0 || value > max) {
        complain("%s: expected a number up to %u, got '%s'", option, max, text);
        return false;
    }
    *out = (unsigned)value;
    return true;
}

static bool pin(const char *text)
{
    unsigned cpu;
    cpu_set_t set;
    if (!parse_uint(&cpu, "--cpu", text, CPU_SETSIZE - 1))
        return false;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        complain("--cpu %u: %s", cpu, strerror(errno));
        return false;
    }
    bench.table.cpu = (int)cpu;
    return true;
}

static bool parse_counts(int option, const char *text)
{
    unsigned *out = option == 'r' ? &bench.table.rounds : &bench.table.cell_ms;
    const char *name = option == 'r' ? "--rounds" : "--ms";
    if (!parse_uint(out, name, text, option == 'r' ? CODEC_ROUNDS_MAX : 10000))
        return false;
    if (*out == 0)
        complain("%s: expected at least 1", name);
    return *out != 0;
}

static bool parse_only(const char *text)
{
    bench.only = text;
    if (codec_input_find(text) != NULL)
        return true;
    const struct codec_input *inputs = codec_inputs();
    complain("--only: no row '%s'; there are:", text);
    for (unsigned i = 0; i < CODEC_INPUTS_COUNT; i++)
        fprintf(stderr, "    %s\n", inputs[i].name);
    return false;
}

static bool option_apply(int option)
{
    switch (option) {
    case 'p':
        return column_add_peer(codec_peer_pico("pico", optarg));
    case 'q':
        return column_add_peer(codec_peer_pico("pico-scalar", optarg));
    case 's':
        return columns_add_simd(optarg);
    case 'b':
        return column_add_build(optarg);
    case 'o':
        return parse_only(optarg);
    case 'r':
    case 'm':
        return parse_counts(option, optarg);
    case 'j':
        bench.json = true;
        return true;
    default:
        fputs(usage, stderr);
        return false;
    }
}

static bool options_apply(int argc, char **argv)
{
    static const struct option options[] = {
        { "pico", required_argument, NULL, 'p' }, { "pico-scalar", required_argument, NULL, 'q' },
        { "simd", required_argument, NULL, 's' }, { "build", required_argument, NULL, 'b' },
        { "only", required_argument, NULL, 'o' }, { "rounds", required_argument, NULL, 'r' },
        { "ms", required_argument, NULL, 'm' },   { "cpu", required_argument, NULL, 'c' },
        { "json", no_argument, NULL, 'j' },       { "serve", no_argument, NULL, 'S' },
        { "help", no_argument, NULL, 'h' },       { NULL, 0, NULL, 0 }
    };
    /* Twice: a child stays on the CPU that its parent was on when it was started. */
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'c' && !pin(optarg))
            return false;
        if (c == 'h') {
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        }
        if (c == 'S')
            exit(codec_child_serve(codec_peer_weir()));
        if (c == '?') {
            fputs(usage, stderr);
            return false;
        }
    }
    if (optind < argc) {
        complain("unexpected argument '%s'", argv[optind]);
        return false;
    }
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c != 'c' && !option_apply(c))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    bench.table.alloc_counted = codec_alloc_is_counted();
    bench.table.simd = codec_peer_weir()->simd;
    bool good = column_add_peer(codec_peer_weir()) && options_apply(argc, argv);
#if __has_include(<http_parser.h>)
    good = good && column_add_peer(codec_peer_http_parser());
#endif
    good = good && column_add_peer(codec_peer_memcpy()) && column_add_peer(codec_peer_memchr());
    good = good && rows_run();
    if (good && bench.json)
        codec_table_print_json(&bench.table);
    else if (good)
        codec_table_print(&bench.table);
    good = columns_close() && good;
    return good ? EXIT_SUCCESS : EXIT_FAILED;
}
