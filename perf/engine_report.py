#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The arithmetic of perf/engine.sh: reads what the programs said, prints the tables, writes results.json.

    engine_report.py DIR [quick]     DIR/records.tsv and DIR/env.txt -> tables and DIR/results.json
"""

import sys

from tables import Spread, print_table, report_each, spread_of

RATE = "requests_per_s"
SERVER_US = "server_cpu_us_per_request"


def ratio(over, under, key=RATE):
    """Of each round, as only runs that were neighbours in time are compared."""
    return Spread(a[key] / b[key] for a, b in zip(over, under))


def spreads(runs, names, key, form):
    return [spread_of(runs[name], key).text(form) for name in names]


def medians(runs, names, key, form):
    return [form % spread_of(runs[name], key).median for name in names]


# ---- Tables -----------------------------------------------------------------------------------------------

WAYS = ("adaptive", "spin", "sleep")
WAIT_HEAD = ["connections"] + [f"{way}/s" for way in WAYS] + [f"server us, {way}" for way in WAYS]


def wait(cells, bars):
    rows = []
    for cell, runs in cells.items():
        better = [max(pair, key=lambda run: run[RATE]) for pair in zip(runs["spin"], runs["sleep"])]
        rows.append([cell] + spreads(runs, WAYS, RATE, "%.0f") + medians(runs, WAYS, SERVER_US, "%.1f"))
        bars.add(f"adaptive / the better of spin and sleep, {cell} connections",
                 ratio(runs["adaptive"], better), "%.2f", at_least=0.95)
        least = {"1": 5, "2": 4, "4": 1.1}.get(cell)
        if least:
            bars.add(f"adaptive / sleep, {cell} connections",
                     ratio(runs["adaptive"], runs["sleep"]), "%.2f", at_least=least)
    print_table("1a. Waiting: weir-bench against weir-mock, both with the same --wait; requests/s, CPU us/request",
                WAIT_HEAD, rows)


def wait_server(cells, _):
    rows = [
        [cell] + spreads(runs, WAYS, RATE, "%.0f") + medians(runs, WAYS, SERVER_US, "%.1f")
        for cell, runs in cells.items()
    ]
    print_table("1b. The server alone: weir-mock with each --wait under the bare client, which sleeps", WAIT_HEAD, rows)


def idle(cells, bars):
    still = Spread(100 * run["cpu_ns"] / run["wall_ns"] for run in cells["0"]["mock"])
    paced = cells["100"]["mock"]
    share = Spread(run[RATE] * run[SERVER_US] / 1e4 for run in paced)
    print_table(
        "2. Idle: weir-mock with 100 connections on which nothing happens",
        ["asked, by the clock", "requests/s", "% of a core", "CPU us/request", "p99 us"],
        [["nothing", "", still.text("%.2f"), "", ""],
         ["100 requests/s", spread_of(paced, RATE).text("%.1f"), share.text("%.2f"),
          "%.1f" % spread_of(paced, SERVER_US).median, "%.0f" % spread_of(paced, "latency_us", "p99").median]],
    )
    bars.add("CPU of an idle server, % of a core", still, "%.2f", at_most=0.5)
    bars.add("CPU at 100 requests/s, % of a core", share, "%.2f", at_most=3.0)


def floor(cells, bars):
    names, rows = ("mock", "floor"), []
    for cell, runs in cells.items():
        over = ratio(runs["mock"], runs["floor"])
        rows.append([depth(cell)] + spreads(runs, names, RATE, "%.0f") + [over.text("%.2f")]
                    + medians(runs, names, SERVER_US, "%.3f"))
        bars.add(f"weir-mock / bare server, {depth(cell)}", over, "%.2f", at_least=0.95 if cell == "1" else 0.8)
    print_table("3. The bare server under the bare client; requests/s, CPU us/request",
                ["", "mock/s", "floor/s", "mock / floor", "us, mock", "us, floor"], rows)


def depth(cell):
    return "64 connections" + (f", {cell} pipelined" if cell != "1" else "")


def twins(cells, bars):
    names, runs = ("uring", "epoll"), cells["1"]
    over = ratio(runs["uring"], runs["epoll"])
    print_table("4. Twins: weir-mock on io_uring and on epoll under the bare client; requests/s, CPU us/request",
                ["", "uring/s", "epoll/s", "uring / epoll", "us, uring", "us, epoll"],
                [[depth("1")] + spreads(runs, names, RATE, "%.0f") + [over.text("%.2f")]
                 + medians(runs, names, SERVER_US, "%.3f")])
    bars.add("weir-mock on io_uring / on epoll, 64 connections", over, "%.2f", at_least=1.15)


def connections(cells, bars):
    runs = cells["64"]
    names = {"mock": "weir-mock", "asleep": "weir-mock --wait sleep",
             "deferred": "--wait sleep --defer-accept", "floor": "bare server", "nginx": "nginx"}
    print_table(
        "5. A connection for each request, 64 at a time",
        ["", "server CPU us/connection", "connections/s", "CPU / nginx's"],
        [[text] + spreads(runs, [name], SERVER_US, "%.1f") + spreads(runs, [name], RATE, "%.0f")
         + [ratio(runs[name], runs["nginx"], SERVER_US).text("%.2f") if name != "nginx" else ""]
         for name, text in names.items()],
    )
    print("\n  the adaptive server spins while it waits for the slower client, and that is CPU time, too: asleep, only\n"
          "  the connections' own is counted")
    for name in ("mock", "asleep", "deferred"):
        bars.add(f"CPU per connection, {names[name]} / nginx",
                 ratio(runs[name], runs["nginx"], SERVER_US), "%.2f", at_most=0.8)


def bodies(cells, bars):
    names, rows = ("body", "floor", "nginx"), []
    for cell, runs in cells.items():
        size = int(cell)
        text = f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"
        nginx, bare = ratio(runs["body"], runs["nginx"]), ratio(runs["body"], runs["floor"])
        rows.append(
            [text]
            + [Spread(run[RATE] * size / 1e9 for run in runs[name]).text("%.2f") for name in names]
            + [nginx.text("%.2f"), bare.text("%.2f")]
            + medians(runs, names, SERVER_US, "%.0f")
        )
        bars.add(f"bodies of {text}, examples/body / nginx", nginx, "%.2f", at_least=1.05 if size < 1 << 20 else 1.5)
        bars.add(f"bodies of {text}, examples/body / bare sender", bare, "%.2f", at_least=0.9)
        for name in names:
            errors = sum(run["errors"] for run in runs[name])
            if errors:
                print(f"\n  {name}, {text}: {errors} errors")
    print_table(
        "6. Bodies: GB/s to wrk, 16 connections; examples/body and the bare sender from memory, nginx with sendfile",
        ["", "body", "bare sender", "nginx", "body / nginx", "body / bare", "us, body", "us, bare", "us, nginx"],
        rows,
    )


def threads(cells, _):
    runs = cells["64"]
    print_table(
        "7. Threads: weir-bench against weir-mock, 64 connections",
        ["threads", "requests/s", "two / one", "server CPU us/request"],
        [[n] + spreads(runs, [n], RATE, "%.0f") + [ratio(runs["2"], runs["1"]).text("%.2f") if n == "2" else ""]
         + spreads(runs, [n], SERVER_US, "%.2f") for n in ("1", "2")],
    )
    print("\n  one thread has a CPU and the client another; the second of two threads shares the client's, so that the\n"
          "  rates say what two CPUs allow and not how threads scale: that would need one more CPU")


def assertions(cells, _):
    names = ("with", "without")
    print_table(
        "8. The always-on assertions: server CPU us/request of weir-mock under the bare client",
        ["", "with", "without", "with / without", "with/s", "without/s"],
        [[depth(cell)] + spreads(runs, names, SERVER_US, "%.3f")
         + [ratio(runs["with"], runs["without"], SERVER_US).text("%.3f")] + medians(runs, names, RATE, "%.0f")
         for cell, runs in cells.items()],
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["quick"]):
        sys.exit(__doc__)
    report_each(sys.argv[1], "quick" if sys.argv[2:] else "full",
                (wait, wait_server, idle, floor, twins, connections, bodies, threads, assertions))
