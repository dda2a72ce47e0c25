/* SPDX-License-Identifier: MIT */
/*
 * sim [--seed N] [--count N] [--scene weir|dialer|origin|mock] [--verbose]
 *
 * Runs from `seed` on, one after the other; the first that goes wrong ends the program with its
 * seed, the reason and its last events. WEIR_SIM_SEED and WEIR_SIM_COUNT are the defaults.
 */
#include "run.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define COUNT_DEFAULT "10000"

/* One seed in so many is run twice, and must run the same way. */
#define AGAIN_EVERY 64

static const char *const scene_names[] = { "weir", "dialer", "origin", "mock" };
_Static_assert(sizeof scene_names / sizeof scene_names[0] == SIM_SCENE_COUNT, "one each");

static void on_abort(int signal_number)
{
    (void)signal_number;
    sim_report();
    _exit(EXIT_FAILURE);
}

#if defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_SANITIZER 1
#endif
#endif
#ifdef WITH_SANITIZER
void __sanitizer_set_death_callback(void (*callback)(void));
#endif

static uint64_t number(const char *text, const char *what)
{
    uint64_t value;
    if (weir_parse_number(&value, text, 0, UINT64_MAX) < 0) {
        fprintf(stderr, "sim: %s: %s\n", what, weir_error_text());
        exit(2);
    }
    return value;
}

static enum sim_scene scene_of(const char *text)
{
    for (int i = 0; i < SIM_SCENE_COUNT; i++)
        if (strcmp(text, scene_names[i]) == 0)
            return (enum sim_scene)i;
    fprintf(stderr, "sim: --scene: expected weir, dialer, origin or mock, got '%s'\n", text);
    exit(2);
}

static void add(struct sim_outcome *sum, const struct sim_outcome *one)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        sum->hits[i] += one->hits[i];
    sum->steps += one->steps;
    sum->virtual_ns += one->virtual_ns;
    sum->exchanges += one->exchanges;
    sum->failed += one->failed;
    sum->recv_starved += one->recv_starved;
    sum->send_partial += one->send_partial;
    sum->cq_overflows += one->cq_overflows;
    sum->stale_cqes += one->stale_cqes;
    sum->accept_paused += one->accept_paused;
    sum->zc_sends += one->zc_sends;
    sum->tally.answers += one->tally.answers;
    sum->tally.streams += one->tally.streams;
    sum->tally.timed += one->tally.timed;
    sum->tally.struck += one->tally.struck;
    sum->tally.excused += one->tally.excused;
    sum->tally.changes += one->tally.changes;
}

static void print(const struct sim_outcome *sum, double seconds)
{
    printf("%u exchanges, %u ended with an error; %" PRIu64 " steps, %.0f s of virtual time, "
           "%.1f s\n",
           sum->exchanges, sum->failed, sum->steps, (double)sum->virtual_ns / 1e9, seconds);
    printf("engines: %" PRIu64 " starved receives, %" PRIu64 " partial sends, %" PRIu64
           " overflows, %" PRIu64 " stale, %" PRIu64 " times accepting paused, %" PRIu64
           " zero-copy sends\n",
           sum->recv_starved, sum->send_partial, sum->cq_overflows, sum->stale_cqes,
           sum->accept_paused, sum->zc_sends);
    printf("mock: %" PRIu64 " answers right, %" PRIu64 " of them streams, %" PRIu64
           " with their times, %" PRIu64 " struck by faults, %" PRIu64
           " errors for a reason, %" PRIu64 " changes\n",
           sum->tally.answers, sum->tally.streams, sum->tally.timed, sum->tally.struck,
           sum->tally.excused, sum->tally.changes);
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        printf("%s%s %" PRIu64, i == 0 ? "faults: " : ", ", sim_fault_names[i], sum->hits[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    static const struct option longs[] = { { "seed", required_argument, NULL, 's' },
                                           { "count", required_argument, NULL, 'n' },
                                           { "scene", required_argument, NULL, 'c' },
                                           { "verbose", no_argument, NULL, 'v' },
                                           { 0 } };
    const char *seed = getenv("WEIR_SIM_SEED");
    const char *count = getenv("WEIR_SIM_COUNT");
    struct sim_options options = { .scene = SIM_SCENE_COUNT };
    struct sim_outcome sum = { .steps = 0 };
    int c;
    while ((c = getopt_long(argc, argv, "s:n:c:v", longs, NULL)) != -1) {
        if (c == 's')
            seed = optarg;
        else if (c == 'n')
            count = optarg;
        else if (c == 'c')
            options.scene = scene_of(optarg);
        else if (c == 'v')
            options.verbose = true;
        else
            return 2;
    }
    uint64_t first = number(seed != NULL ? seed : "1", "--seed");
    uint64_t total = number(count != NULL ? count : COUNT_DEFAULT, "--count");
    signal(SIGABRT, on_abort);
#ifdef WITH_SANITIZER
    __sanitizer_set_death_callback(sim_report);
#endif
    printf("seeds %" PRIu64 " ... %" PRIu64 "\n", first, first + total - 1);
    fflush(stdout);
    clock_t begin = clock();
    for (uint64_t i = 0; i < total; i++) {
        options.seed = first + i;
        struct sim_outcome one = sim_run(&options);
        add(&sum, &one);
        if (options.seed % AGAIN_EVERY != 0)
            continue;
        struct sim_outcome again = sim_run(&options);
        if (again.digest != one.digest) {
            fprintf(stderr, "seed %" PRIu64 " failed\nit ran otherwise the second time\n",
                    options.seed);
            return EXIT_FAILURE;
        }
    }
    print(&sum, (double)(clock() - begin) / CLOCKS_PER_SEC);
    printf("1 passed, 0 failed\n"); /* one test, of so many seeds */
    return EXIT_SUCCESS;
}
