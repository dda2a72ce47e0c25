/* SPDX-License-Identifier: MIT */
/* weir-get: HTTP requests from the command line, once or many times. */
#include "perf/get/options.h"
#include "perf/get/run.h"

#include <signal.h>
#include <stdio.h>

static struct get_run run;
static volatile sig_atomic_t interrupted; /* number of the signal that ended the run; 0 = none */

static void on_wake(struct weir_task *task)
{
    (void)task; /* what matters is the pass: behind it `interrupted` is looked at */
}

static struct weir_task wake = { .run = on_wake };

/* The second of its kind ends the process at once (SA_RESETHAND). */
static void on_signal(int number)
{
    if (interrupted != 0)
        return;
    interrupted = number;
    weir_engine_post(run.engine, &wake);
}

static void handle_signals(void (*handler)(int))
{
    static const int numbers[] = { SIGINT, SIGTERM };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction action = { .sa_handler = handler, .sa_flags = (int)SA_RESETHAND };
        sigemptyset(&action.sa_mask);
        /* Cannot fail: the numbers are those of signals that may be handled. */
        (void)sigaction(numbers[i], &action, NULL);
    }
}

static int print(const char *format, const char *text)
{
    return printf(format, text) < 0 || fflush(stdout) != 0 ? GET_STATUS_WRITE : GET_STATUS_OK;
}

/* @return whether there was a run; else `error` says why not */
static bool run_all(const struct get_options *options, int *status, struct get_error *error)
{
    signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error of writing, which is told */
    bool opened = get_run_open(&run, options, &interrupted, error) == 0;
    if (opened) {
        handle_signals(on_signal);
        get_run_go(&run);
        handle_signals(SIG_DFL);
    }
    *status = (int)get_run_close(&run);
    return opened;
}

int main(int argc, char **argv)
{
    static struct get_options options;
    static struct get_error error;
    int status = GET_STATUS_OK;
    enum get_wish wish = get_options_parse(&options, argc, argv, &error);
    if (wish == GET_WISH_HELP)
        status = print("%s", get_options_help());
    else if (wish == GET_WISH_VERSION)
        status = print("weir-get %s\n", weir_version());
    else if (wish == GET_WISH_ERROR || !run_all(&options, &status, &error)) {
        fprintf(stderr, "weir-get: %s\n", error.text);
        status = (int)error.status;
    }
    get_options_deinit(&options);
    return status;
}
