/* SPDX-License-Identifier: MIT */
#include "mock/snapshot.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void snapshot_reset(struct snapshot *snapshot)
{
    struct stats stats = snapshot->stats;
    stats_reset(&stats);
    memset(snapshot, 0, sizeof *snapshot); /* by its length no literal for the stack */
    snapshot->stats = stats;
}

static uint64_t snapshot_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    unsigned long long total, resident;
    int fields = fscanf(file, "%llu %llu", &total, &resident);
    fclose(file);
    return fields == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void snapshot_read_process(struct snapshot *snapshot)
{
    struct timespec cpu = { 0 };
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        snapshot->cpu_s = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    snapshot->resident_bytes = snapshot_resident_bytes();
}
