#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The arithmetic of perf/engine.sh.

    engine_report.py pace ADDRESS RATE SECONDS     RATE requests/s on one connection, by the clock; 0 = only wait
    engine_report.py report DIR [quick]            DIR/records.tsv -> tables and DIR/results.json
"""

import json
import os
import socket
import sys
import time

from tables import Bars, Spread, print_table, read_records, spread_of


def pace(address, rate, seconds):
    begin = time.monotonic()
    if rate == 0:
        time.sleep(seconds)
        return
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as conn:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(int(rate * seconds)):
            time.sleep(max(0.0, begin + i / rate - time.monotonic()))
            conn.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not conn.recv(4096).startswith(b"HTTP/1.1 200 "):
                sys.exit("engine_report.py: expected 200")


def ratio(over, under, key="requests_per_s"):
    """Of each round, as only runs that were neighbours in time are compared."""
    return Spread(a[key] / b[key] for a, b in zip(over, under))


def waiting(cells, bars):
    rows = []
    for cell, how in cells.items():
        best = [
            max(a, b, key=lambda run: run["requests_per_s"]) for a, b in zip(how["spin"], how["sleep"])
        ]
        of_best, of_sleep = ratio(how["adaptive"], best), ratio(how["adaptive"], how["sleep"])
        rows.append(
            [cell]
            + [spread_of(how[name], "requests_per_s").text("%.0f") for name in ("adaptive", "spin", "sleep")]
            + ["%.1f" % spread_of(how[name], "server_cpu_us_per_request").median for name in ("adaptive", "sleep")]
        )
        bars.add(f"adaptive / the better of spin and sleep, {cell} connections", of_best, "%.2f", at_least=0.95)
        least = {"1": 5, "2": 4, "4": 1.1}.get(cell)
        if least:
            bars.add(f"both adaptive / both asleep, {cell} connections", of_sleep, "%.2f", at_least=least)
    print_table(
        "Waiting: requests/s, weir-bench against weir-mock, both with the same --wait",
        ["connections", "adaptive", "spin", "sleep", "server us adaptive", "sleep"],
        rows,
    )


def idle(cells, bars):
    for cell, bound in (("0", 0.5), ("100", 3.0)):
        share = Spread(100 * run["cpu_ns"] / run["wall_ns"] for run in cells[cell]["mock"])
        name = "idle server" if cell == "0" else f"server at {cell} requests/s"
        bars.add(f"CPU of one core, {name}, %", share, "%.2f", at_most=bound)


def floor(cells, bars):
    rows = []
    for cell, runs in cells.items():
        rows.append(
            [f"64 connections, {cell} deep"]
            + [spread_of(runs[name], "requests_per_s").text("%.0f") for name in ("floor", "mock", "epoll")]
            + ["%.3f" % spread_of(runs[name], "server_cpu_us_per_request").median for name in ("floor", "mock", "epoll")]
        )
        bars.add(
            f"weir-mock / floor, {cell} deep", ratio(runs["mock"], runs["floor"]), "%.2f",
            at_least=0.95 if cell == "1" else 0.8,
        )
    bars.add("io_uring / epoll, 1 deep", ratio(cells["1"]["mock"], cells["1"]["epoll"]), "%.2f", at_least=1.15)
    print_table(
        "Servers under the bare client: requests/s, and CPU us/request of the server",
        ["", "floor", "weir-mock", "its epoll twin", "us floor", "us mock", "us epoll"],
        rows,
    )


def connections(cells, bars):
    runs = cells["64"]
    key = "server_cpu_us_per_connection"
    print_table(
        "A connection for each request, 64 at a time: CPU us of the server",
        ["", "us/connection", "connections/s"],
        [[name, spread_of(runs[name], key).text("%.1f"), spread_of(runs[name], "requests_per_s").text("%.0f")]
         for name in ("floor", "mock", "adaptive", "nginx")],
    )
    bars.add("CPU per connection, weir-mock --wait sleep / nginx", ratio(runs["mock"], runs["nginx"], key), "%.2f", at_most=0.8)


def bodies(cells, bars):
    rows = []
    for cell, runs in cells.items():
        size = int(cell)
        rows.append(
            [f"{size // 1024} KiB"]
            + [Spread(run["requests_per_s"] * size / 1e9 for run in runs[name]).text("%.2f")
               for name in ("floor", "body", "nginx")]
        )
        bars.add(
            f"bodies of {size // 1024} KiB / nginx", ratio(runs["body"], runs["nginx"]), "%.2f",
            at_least=1.05 if size < 1 << 20 else 1.5,
        )
        bars.add(f"bodies of {size // 1024} KiB / bare sender", ratio(runs["body"], runs["floor"]), "%.2f", at_least=0.9)
    print_table(
        "Bodies from memory, 16 connections, wrk: GB/s", ["", "bare sender", "examples/body", "nginx, sendfile"], rows
    )


def threads(cells, _):
    runs = cells["64"]
    print_table(
        "Threads (with two, the client shares a CPU with one of them)",
        ["threads", "requests/s", "server CPU us/request", "two / one"],
        [[n, spread_of(runs[n], "requests_per_s").text("%.0f"),
          spread_of(runs[n], "server_cpu_us_per_request").text("%.2f"),
          ratio(runs["2"], runs["1"]).text("%.2f") if n == "2" else ""] for n in ("1", "2")],
    )


def assertions(cells, _):
    key = "server_cpu_us_per_request"
    print_table(
        "The always-on assertions: CPU us/request of the server",
        ["64 connections", "with", "without", "with / without"],
        [[f"{cell} deep", spread_of(runs["with"], key).text("%.3f"), spread_of(runs["without"], key).text("%.3f"),
          ratio(runs["with"], runs["without"], key).text("%.3f")] for cell, runs in cells.items()],
    )


def report(directory, quick):
    records = read_records(os.path.join(directory, "records.tsv"))
    bars = Bars()
    for table in (waiting, idle, floor, connections, bodies, threads, assertions):
        if table.__name__ in records:
            table(records[table.__name__], bars)
    if bars.rows:
        bars.print()
    with open(os.path.join(directory, "results.json"), "w", encoding="utf-8") as out:
        json.dump({"bars": bars.json(), "records": records}, out, indent=1)
    print(f"\n  results: {directory}" + (" (a quick run: a first look only)" if quick else ""))


if __name__ == "__main__":
    if sys.argv[1] == "pace":
        pace(sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
    else:
        report(sys.argv[2], "quick" in sys.argv[3:])
