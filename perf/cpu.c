/* SPDX-License-Identifier: MIT */
#include "perf/cpu.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Digits at *text, moved behind them. @return the number, or -1 */
static int cpu_number(const char **text)
{
    int number = 0;
    if (!isdigit((unsigned char)**text))
        return -1;
    while (isdigit((unsigned char)**text)) {
        number = number * 10 + (**text - '0');
        if (number >= BENCH_CPUS_MAX)
            return -1;
        (*text)++;
    }
    return number;
}

int bench_cpu_list_parse(struct bench_cpu_list *out, const char *text)
{
    struct bench_cpu_list list = { .count = 0 };
    for (;;) {
        int first = cpu_number(&text);
        int last = first;
        if (*text == '-') {
            text++;
            last = cpu_number(&text);
        }
        if (first < 0 || last < first)
            return -EINVAL;
        for (int cpu = first; cpu <= last; cpu++) {
            if (list.count == BENCH_CPUS_MAX)
                return -EINVAL;
            list.cpus[list.count++] = (uint16_t)cpu;
        }
        if (*text == '\0')
            break;
        if (*text++ != ',')
            return -EINVAL;
    }
    *out = list;
    return 0;
}

int bench_cpu_pin_self(const struct bench_cpu_list *list)
{
    cpu_set_t set;
    _Static_assert(CPU_SETSIZE >= BENCH_CPUS_MAX, "a CPU of the list must fit the kernel's set");
    CPU_ZERO(&set);
    for (uint32_t i = 0; i < list->count; i++)
        CPU_SET(list->cpus[i], &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

static uint64_t timeval_ns(struct timeval value)
{
    return (uint64_t)value.tv_sec * 1000000000U + (uint64_t)value.tv_usec * 1000U;
}

uint64_t bench_cpu_self_ns(void)
{
    struct rusage usage = { 0 };
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        abort(); /* EFAULT and EINVAL only: a mistake in this function */
    return timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}

/* A thread may end between the listing and the reading: it is left out. */
static bool thread_cpu_ns(uint64_t *out, pid_t pid, const char *tid)
{
    char path[64 + NAME_MAX];
    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    unsigned long long ns = 0;
    bool found = fscanf(file, "%llu", &ns) == 1;
    fclose(file);
    *out = ns;
    return found;
}

int bench_cpu_process_ns(uint64_t *out, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT ? -ESRCH : -errno;
    /* The first field of schedstat is exact to the nanosecond; the ticks of /proc/PID/stat are 10
     * ms. */
    uint64_t total = 0;
    bool found = false;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        uint64_t ns = 0;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        if (!thread_cpu_ns(&ns, pid, entry->d_name))
            continue;
        total += ns;
        found = true;
    }
    closedir(dir);
    if (!found)
        return -ESRCH;
    *out = total;
    return 0;
}
