/* SPDX-License-Identifier: MIT */
/* CPUs: which of them the threads run on, and how much of their time a process has used. */
#ifndef WEIR_PERF_CPU_H
#define WEIR_PERF_CPU_H

#include <stdint.h>
#include <sys/types.h>

#define BENCH_CPUS_MAX 1024

struct bench_cpu_list {
    uint32_t count;
    uint16_t cpus[BENCH_CPUS_MAX];
};

/* "2", "0,2", "0-3,8" -> the CPUs in the order written. @return 0, or -EINVAL (*out is unchanged)
 */
int bench_cpu_list_parse(struct bench_cpu_list *out, const char *text);

/* Let the calling thread, and those it starts, run on the CPUs of the list only. @return 0 or
 * -errno */
int bench_cpu_pin_self(const struct bench_cpu_list *list);

/* CPU time of this process so far, user and system. */
uint64_t bench_cpu_self_ns(void);

/* CPU time of the live threads of another process so far. @return 0 or -errno (-ESRCH: no such
 * process) */
int bench_cpu_process_ns(uint64_t *out, pid_t pid);

#endif
