/* SPDX-License-Identifier: MIT */
/*
 * Does the simulator notice anything? Each canary breaks one rule in the engine's name and must be
 * caught within some seeds, by those who look into the engine and, again, by those who only see
 * what it does; the same seeds with all rules kept must pass.
 */
#include "ring_sim.h"
#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS     400u
#define SECONDS   30u
#define TAIL_MOST 600u

static const char *const texts[] = { [SIM_CANARY_NONE] = "nothing is broken",
#define XX(name, text) [SIM_CANARY_##name] = text,
                                     SIM_CANARIES(XX)
#undef XX
};

static _Noreturn void child(int canary, bool blind, int out)
{
    alarm(SECONDS);
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
        _exit(0); /* taken for not caught */
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct sim_options options = {
            .seed = seed, .scene = SIM_SCENE_COUNT, .canary = canary, .blind = blind
        };
        (void)sim_run(&options);
    }
    _exit(0);
}

/* The last line but the empty ones of what the child said. */
static void last_line(int in, char line[TAIL_MOST])
{
    FILE *file = fdopen(in, "r");
    char text[TAIL_MOST];
    SIM_CHECK(file != NULL, "no stream");
    line[0] = '\0';
    while (fgets(text, sizeof text, file) != NULL)
        if (strncmp(text, "trace:", 6) != 0 && text[0] != '\n')
            memcpy(line, text, sizeof text);
    line[strcspn(line, "\n")] = '\0';
    fclose(file);
}

static bool run(int canary, bool blind)
{
    int ends[2];
    char line[TAIL_MOST];
    SIM_CHECK(pipe(ends) == 0, "no pipe");
    pid_t pid = fork();
    SIM_CHECK(pid >= 0, "no process");
    if (pid == 0)
        child(canary, blind, ends[1]);
    close(ends[1]);
    last_line(ends[0], line);
    int status = 0;
    SIM_CHECK(waitpid(pid, &status, 0) == pid, "no child");
    bool timeout = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    bool caught = status != 0 && !timeout;
    bool right = caught == (canary != SIM_CANARY_NONE) && !timeout;
    printf("%s  %s%s: %s%s\n", right ? "ok  " : "FAIL", blind ? "from outside: " : "",
           texts[canary], caught ? "noticed: " : "nobody noticed", caught ? line : "");
    fflush(stdout);
    return right;
}

int main(void)
{
    int passed = 0;
    int failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seeds 1 ... %u\n", SEEDS);
    for (int canary = 0; canary < SIM_CANARY_COUNT; canary++) {
        for (int blind = 0; blind < 2; blind++) {
            bool right = run(canary, blind);
            passed += right;
            failed += !right;
        }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
