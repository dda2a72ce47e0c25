/* SPDX-License-Identifier: MIT */
/*
 * floor-timer: how late this machine wakes a thread that waits in io_uring_enter for an absolute
 * time. Once asleep to the end, and once asleep until shortly before it and spinning for the rest.
 *
 * No timer of libweir can be better than this; what it is worse by is its own.
 */
#include "floor.h"

#include <getopt.h>

enum { SPIN_NS = 50000 };

static struct config {
    unsigned count;
    uint64_t interval_ns;
    bool json;
} config = { .count = 400, .interval_ns = 5000000 };

/* Wait in the kernel until `deadline_ns`. The wait of io_uring has no timer slack, unlike poll and
 * futex. */
static void wait_until(struct floor_ring *ring, uint64_t deadline_ns)
{
    for (uint64_t now_ns; (now_ns = floor_clock_ns()) < deadline_ns;) {
        bool absolute = (ring->uring.features & FLOOR_FEAT_MIN_TIMEOUT) != 0;
        uint64_t ns = absolute ? deadline_ns : deadline_ns - now_ns;
        struct __kernel_timespec ts = { .tv_sec = (long long)(ns / 1000000000),
                                        .tv_nsec = (long long)(ns % 1000000000) };
        struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&ts };
        unsigned flags =
            ring->enter_flags | IORING_ENTER_EXT_ARG | (absolute ? IORING_ENTER_ABS_TIMER : 0);
        int rc = io_uring_enter2(ring->uring.enter_ring_fd, 0, 1, flags, (void *)&arg, sizeof(arg));
        if (rc < 0 && rc != -ETIME && rc != -EINTR)
            floor_die("io_uring_enter: %s", strerror(-rc));
    }
}

static void measure(struct floor_hist *late_ns, struct floor_ring *ring, uint64_t spin_ns)
{
    for (unsigned i = 0; i < config.count; i++) {
        uint64_t deadline_ns = floor_clock_ns() + config.interval_ns;
        wait_until(ring, deadline_ns - spin_ns);
        uint64_t now_ns;
        while ((now_ns = floor_clock_ns()) < deadline_ns)
            continue;
        floor_hist_record(late_ns, now_ns - deadline_ns, 1);
    }
}

static double percentile_us(const struct floor_hist *late_ns, double fraction)
{
    return (double)floor_hist_percentile(late_ns, fraction) / 1e3;
}

static void report(const char *name, const struct floor_hist *late_ns)
{
    double p50 = percentile_us(late_ns, 0.50);
    double p90 = percentile_us(late_ns, 0.90);
    double p99 = percentile_us(late_ns, 0.99);
    double max = (double)late_ns->max / 1e3;
    if (config.json)
        printf("\"%s\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}", name, p50,
               p90, p99, max);
    else
        printf("%-6s late us: p50 %.1f, p90 %.1f, p99 %.1f, max %.1f\n", name, p50, p90, p99, max);
}

int main(int argc, char **argv)
{
    static const char usage[] =
        "usage: floor-timer [-n COUNT] [--interval-us N] [--json]\n"
        "Measures how late absolute deadlines are met: asleep, and with the last "
        "50 us spun.\n"
        "  -n COUNT           deadlines (400)\n"
        "  --interval-us N    from one to the next (5000)\n"
        "  --json             print one JSON object\n";
    static const struct option options[] = { { "interval-us", required_argument, NULL, 'i' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    static struct floor_hist asleep_ns, spun_ns;
    struct floor_ring ring;
    for (int c; (c = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
        if (c == 'n') {
            config.count = (unsigned)floor_uint("-n", optarg, 1, 1000000);
        } else if (c == 'i') {
            config.interval_ns = floor_uint("--interval-us", optarg, 100, 1000000) * 1000;
        } else if (c == 'j') {
            config.json = true;
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 1;
        }
    }
    if (optind < argc)
        floor_die("unexpected argument '%s'", argv[optind]);
    floor_ring_open(&ring, 8, 16);
    measure(&asleep_ns, &ring, 0);
    measure(&spun_ns, &ring, SPIN_NS);
    fputs(config.json ? "{\"late_us\": {" : "", stdout);
    report("asleep", &asleep_ns);
    fputs(config.json ? ", " : "", stdout);
    report("spun", &spun_ns);
    fputs(config.json ? "}}\n" : "", stdout);
    return 0;
}
