#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The arithmetic of perf/client.sh: reads what the programs said, prints the tables, writes results.json.

    client_report.py DIR [quick]     DIR/records.tsv and DIR/env.txt -> tables and DIR/results.json
"""

import sys

from tables import Spread, print_table, report_each, spread_of

RATE = "requests_per_s"
CPU_US = "client_cpu_us_per_request"


def ratio(over, under, *keys):
    """Of each round, as only runs that were neighbours in time are compared."""
    def value(run):
        for key in keys:
            run = run[key]
        return run
    return Spread(value(a) / value(b) for a, b in zip(over, under))


def rows_of(runs, names):
    return [[text, spread_of(runs[name], RATE).text("%.0f"), "%.2f" % spread_of(runs[name], CPU_US).median,
             "" if name == "weir" else ratio(runs["weir"], runs[name], RATE).text("%.2f")]
            for name, text in names.items() if name in runs]


def plain(cells, bars):
    runs = cells["64"]
    print_table("1. Clients against the bare server, 64 connections, a CPU each",
                ["", "requests/s", "CPU us/request", "weir / it"],
                rows_of(runs, {"weir": "weir-bench", "floor": "bare client", "curl": "libcurl multi"}))
    bars.add("requests/s of a core / libcurl multi", ratio(runs["weir"], runs["curl"], RATE), "%.2f", at_least=3.4)
    bars.add("requests/s / bare client", ratio(runs["weir"], runs["floor"], RATE), "%.2f", at_least=0.9)


def tls(cells, bars):
    runs = cells["64"]
    print_table("2. The same over TLS, against weir-mock", ["", "requests/s", "CPU us/request", "weir / it"],
                rows_of(runs, {"weir": "weir-bench", "curl": "libcurl multi"}))
    bars.add("over TLS, requests/s / libcurl multi", ratio(runs["weir"], runs["curl"], RATE), "%.2f", at_least=2)


def batch(cells, bars):
    runs = cells["64"]
    over = ratio(runs["batched"], runs["single"], "calls_per_s")
    print_table("3. Items of 60 bytes to weir-mock, 64 in flight",
                ["", "items/s", "p50 us"],
                [[text, spread_of(runs[name], "calls_per_s").text("%.0f"),
                  spread_of(runs[name], "latency_us", "p50").text("%.0f")]
                 for name, text in (("batched", "in batches of 32"), ("single", "one by one"))])
    bars.add("items/s in batches of 32 / one by one", over, "%.2f", at_least=4)


def single(cells, bars):
    runs = cells["1"]
    print_table("4. One item at a time", ["", "p50 us", "items/s"],
                [[text, spread_of(runs[name], "latency_us", "p50").text("%.0f"),
                  spread_of(runs[name], "calls_per_s").text("%.0f")]
                 for name, text in (("on", "through the batcher"), ("off", "without it"))])
    bars.add("p50 of one item at a time, batcher on / off", ratio(runs["on"], runs["off"], "latency_us", "p50"),
             "%.2f", at_most=1.1)


def memory(cells, bars):
    (few, low), (many, high) = sorted((int(count), runs["weir"][0]["rss_bytes"]) for count, runs in cells.items())
    each = (high - low) / (many - few)
    print_table("5. Resident memory of weir-get", ["calls in flight", "MiB"],
                [[few, "%.1f" % (low / 2**20)], [many, "%.1f" % (high / 2**20)]])
    bars.add("bytes of memory for each call in flight", Spread([each]), "%.0f", at_most=4096)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["quick"]):
        sys.exit(__doc__)
    report_each(sys.argv[1], "quick" if sys.argv[2:] else "full", (plain, tls, batch, single, memory))
