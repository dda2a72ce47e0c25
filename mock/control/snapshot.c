/* SPDX-License-Identifier: MIT */
#include "mock/control/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REPLICAS_FIRST 8

int snapshot_open(struct snapshot *snapshot)
{
    memset(snapshot, 0, sizeof *snapshot); /* by its length no literal for the stack */
    return stats_open(&snapshot->stats);
}

void snapshot_close(struct snapshot *snapshot)
{
    stats_close(&snapshot->stats);
    free(snapshot->replicas);
    memset(snapshot, 0, sizeof *snapshot);
}

void snapshot_reset(struct snapshot *snapshot)
{
    struct stats stats = snapshot->stats;
    struct snapshot_replica *replicas = snapshot->replicas;
    uint32_t capacity = snapshot->replicas_capacity;
    stats_clear(&stats);
    memset(snapshot, 0, sizeof *snapshot);
    snapshot->stats = stats;
    snapshot->replicas = replicas;
    snapshot->replicas_capacity = capacity;
}

static struct snapshot_replica *snapshot_add_replica(struct snapshot *snapshot, uint32_t thread,
                                                     uint32_t model)
{
    if (snapshot->replicas_count == snapshot->replicas_capacity) {
        uint32_t capacity =
            snapshot->replicas_capacity == 0 ? REPLICAS_FIRST : snapshot->replicas_capacity * 2;
        struct snapshot_replica *grown =
            realloc(snapshot->replicas, capacity * sizeof *snapshot->replicas);
        if (grown == NULL) {
            snapshot->failed = true;
            return NULL;
        }
        snapshot->replicas = grown;
        snapshot->replicas_capacity = capacity;
    }
    struct snapshot_replica *replica = &snapshot->replicas[snapshot->replicas_count++];
    memset(replica, 0, sizeof *replica);
    replica->thread = thread;
    replica->model = model;
    return replica;
}

static struct snapshot_replica *snapshot_find_replica(const struct snapshot *snapshot,
                                                      uint32_t thread, uint32_t model)
{
    for (uint32_t i = 0; i < snapshot->replicas_count; i++) {
        struct snapshot_replica *replica = &snapshot->replicas[i];
        if (replica->thread == thread && replica->model == model)
            return replica;
    }
    return NULL;
}

void snapshot_add(struct snapshot *snapshot, uint32_t thread, const struct stats *stats)
{
    stats_merge(&snapshot->stats, stats);
    for (uint32_t model = 0; model < STATS_MODELS; model++) {
        if (!stats->models[model].used)
            continue;
        struct snapshot_replica *replica = snapshot_add_replica(snapshot, thread, model);
        if (replica == NULL)
            return;
        replica->counts = stats->models[model];
    }
}

void snapshot_add_batch(struct snapshot *snapshot, uint32_t thread, uint32_t model,
                        const struct model_engine_stats *stats)
{
    struct snapshot_replica *replica = snapshot_find_replica(snapshot, thread, model);
    if (replica == NULL)
        replica = snapshot_add_replica(snapshot, thread, model);
    if (replica != NULL)
        replica->batch = *stats;
}

const struct snapshot_replica *snapshot_replica(const struct snapshot *snapshot, uint32_t thread,
                                                uint32_t model)
{
    static const struct snapshot_replica unused;
    const struct snapshot_replica *replica = snapshot_find_replica(snapshot, thread, model);
    return replica == NULL ? &unused : replica;
}

struct saturation_view snapshot_saturation(const struct snapshot *snapshot)
{
    struct saturation_view view = { 0 };
    for (uint32_t i = 0; i < snapshot->threads; i++)
        saturation_merge(&view, &snapshot->by_thread[i].saturation);
    return view;
}

uint32_t snapshot_models_count(const struct snapshot *snapshot)
{
    return snapshot->config == NULL ? 0 : snapshot->config->models_count;
}

uint32_t snapshot_loaded_count(const struct snapshot *snapshot)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < snapshot->residency.models_count; i++)
        count += residency_state(&snapshot->residency, i) == RESIDENCY_LOADED;
    return count;
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
