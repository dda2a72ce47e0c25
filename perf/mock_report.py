#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What perf/mock.sh asks of a mock, and its arithmetic.

    mock_report.py capture ADDRESS PATH BODY FILE    a chunked answer to a POST, as it goes over the wire
    mock_report.py mapping FILE PATH                 the same answer as a mapping of WireMock
    mock_report.py report DIR [quick]                DIR/records.tsv and DIR/env.txt -> tables and DIR/results.json
"""

import json
import socket
import sys

from tables import Spread, print_table, report_each, spread_of

RATE = "requests_per_s"
SERVER_US = "server_cpu_us_per_request"
TOKENS = 500
WORST_MS = 2  # the schedule error's 99th percentile that streams may have
BUSY = 97  # per cent of its CPU at which the client may be what is measured


# ---- Asking -----------------------------------------------------------------------------------------------


def capture(address, path, body, file):
    """The answer must be one of chunks; the connection is kept, so its end is looked for."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as conn:
        conn.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            piece = conn.recv(65536)
            if not piece:
                sys.exit(f"POST {path}: the connection ended after {data[:200]!r}")
            data += piece
    if not data.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"POST {path}: expected 200: {data[:200]!r}")
    with open(file, "wb") as out:
        out.write(data)


def mapping(file, path):
    """With all its fields but the two that every server writes itself."""
    head, _, body = open(file, "rb").read().partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return {"request": {"method": "GET", "urlPath": path},
            "response": {"status": 200, "body": body.decode(),
                         "headers": {name: value for name, value in fields.items()
                                     if name not in ("Date", "Content-Length")}}}


# ---- Tables -----------------------------------------------------------------------------------------------


def ratio(over, under, *keys):
    """Of each round, as only runs that were neighbours in time are compared."""
    def value(run):
        for key in keys:
            run = run[key]
        return run
    return Spread(value(a) / value(b) for a, b in zip(over, under))


def warn_busy(name, runs):
    busy = max(run["client_cpu_percent"] for run in runs)
    if busy > BUSY:
        print(f"\n  {name}: the client used {busy:.0f} % of its CPU: it may be what was measured")


def error_row(name, runs):
    """What the server says of itself, and what the client saw."""
    def own(key):
        return Spread(late(run)[key] for run in runs).text("%.0f")
    seen = spread_of(runs, "client", "late_us", "p99").text("%.0f") if "late_us" in runs[0]["client"] else ""
    return [name, own("p50"), own("p99"), own("max"), seen]


def late(run):
    """As the mock's books have it, or the bare sender's."""
    return run["own"].get("schedule_error_us") or run["own"]["late_us"]


def schedule(cells, bars):
    timer = cells["timer"]["machine"]
    rows = [[f"the machine's own timer, {how}"] +
            [spread_of(timer, "late_us", how, key).text("%.0f") for key in ("p50", "p99", "max")] + [""]
            for how in ("asleep", "spun")]
    delay, streams = cells["delay"]["mock"], cells["streams"]["mock"]
    realtime = cells["realtime"]["mock"] if "realtime" in cells else []
    for run in delay + realtime:  # of answers the client knows the whole latency; 5 ms of it were asked for
        run["client"]["late_us"] = {"p99": run["client"]["latency_us"]["p99"] - 5000}
    what = {"5 ms of delay at 10,000 requests/s": delay, "the same, real-time threads": realtime,
            "1,000 streams with gaps of 20 ms": streams}
    what = {name: runs for name, runs in what.items() if runs}
    rows += [error_row(name, runs) for name, runs in what.items()]
    rows.append(error_row("the same streams from the bare sender", cells["streams"]["pace"]))
    print_table("1. Given later than due, us",
                ["", "p50", "p99", "max", "p99 as the client saw it"], rows)
    for name, runs in what.items():
        bars.add(f"schedule error p99, us: {name}", Spread(late(run)["p99"] for run in runs), "%.0f", at_most=100)
    bars.add("requests/s of the 10,000 that were to come", spread_of(delay, "client", RATE), "%.0f", at_least=9900)


def given(run, count):
    """Of the tokens that so many streams should have been given in the time, those that were: what has not been read
    yet is not late in anybody's books."""
    if "given_of_due" in run["own"]:
        return run["own"]["given_of_due"]
    return run["own"]["schedule_error_us"]["count"] / (count * 50 * run["watched_ns"] / 1e9)


def holds(run, count):
    return late(run)["p99"] < WORST_MS * 1000 and given(run, count) > 0.95


def most_held(cells, counts, subject):
    """Of each round: up to how many streams it held, every smaller number included."""
    held = []
    for index in range(len(cells[counts[0]][subject])):
        most = 0
        for count in counts:
            if not holds(cells[count][subject][index], int(count)):
                break
            most = int(count)
        held.append(most)
    return Spread(held)


def stream_table(title, how, cells, bars):
    counts = sorted(cells, key=int)
    rows = []
    for count in counts:
        for subject, text in (("mock", "weir-mock"), ("pace", "bare sender")):
            runs = cells[count][subject]
            rows.append(error_row(f"{int(count):,}, {text}", runs) +
                        [Spread(100 * given(run, int(count)) for run in runs).text("%.0f"),
                         f"{sum(holds(run, int(count)) for run in runs)} of {len(runs)}"])
    print_table(title, ["streams", "p50", "p99", "max", "p99 as the client saw it", "tokens given %",
                        f"held, p99 < {WORST_MS} ms"], rows)
    for count in counts:
        warn_busy(f"{count} streams", [run["client"] for run in cells[count]["mock"]])
    print(f"\n  the bare sender held {most_held(cells, counts, 'pace').text('%.0f')}")
    bars.add(f"streams of 20 ms gaps on one core, p99 below {WORST_MS} ms, {how}", most_held(cells, counts, "mock"),
             "%.0f", at_least=4000)


def streams(cells, bars):
    stream_table("2. Streams with gaps of 20 ms on one core, over TCP: given later than due, us", "over TCP", cells, bars)


def streams_unix(cells, bars):
    """TCP on loopback is done on the sender's CPU, the receiver's half too. Without it the rest shows."""
    stream_table("3. The same over a unix socket", "over a unix socket", cells, bars)


def tokens(cells, bars):
    runs = cells[str(TOKENS)]
    print_table("4. Tokens without gaps on one core, 64 connections, 500 tokens an answer",
                ["", "tokens/s", "MB/s", "server CPU us/answer", "client CPU %", "weir-mock / it"],
                [[text, Spread(run[RATE] * TOKENS for run in runs[name]).text("%.0f"),
                  "%.0f" % (spread_of(runs[name], "bytes_per_s").median / 1e6),
                  spread_of(runs[name], SERVER_US).text("%.1f"),
                  "%.0f" % spread_of(runs[name], "client_cpu_percent").median,
                  "" if name == "mock" else ratio(runs["mock"], runs[name], RATE).text("%.2f")]
                 for name, text in (("mock", "weir-mock"), ("floor", "the same bytes from the bare server"))])
    for name in ("mock", "floor"):
        warn_busy(name, runs[name])
    bars.add("tokens/s on one core / bare server", ratio(runs["mock"], runs["floor"], RATE), "%.2f", at_least=0.7)


def infer(cells, bars):
    clients = {"floor": "bare client", "wrk": "wrk"}
    print_table("5. weir-mock, no latency, 64 connections",
                ["client", "POST /api/infer/s", "GET /api/health/s", "ratio", "server CPU us", "its ratio"],
                [[text, spread_of(cells[name]["infer"], RATE).text("%.0f"),
                  spread_of(cells[name]["health"], RATE).text("%.0f"),
                  ratio(cells[name]["infer"], cells[name]["health"], RATE).text("%.2f"),
                  "%.2f / %.2f" % (spread_of(cells[name]["infer"], SERVER_US).median,
                                   spread_of(cells[name]["health"], SERVER_US).median),
                  ratio(cells[name]["health"], cells[name]["infer"], SERVER_US).text("%.2f")]
                 for name, text in clients.items() if name in cells])
    for what in ("infer", "health"):
        warn_busy(what, cells["floor"][what])
    bars.add("POST /api/infer / GET /api/health, requests/s", ratio(cells["floor"]["infer"], cells["floor"]["health"],
                                                                    RATE), "%.2f", at_least=0.8)


def drift(cells, bars):
    runs = cells[str(TOKENS)]["mock"]
    print_table("6. The end of 5 s streams: 10 ms to the first token, then 499 gaps of 10 ms; us later than asked for",
                ["", "streams", "p50", "max", "too early"],
                [["seen by the client", sum(run["end_late_us"]["count"] for run in runs),
                  spread_of(runs, "end_late_us", "p50").text("%.0f"),
                  spread_of(runs, "end_late_us", "max").text("%.0f"),
                  spread_of(runs, "early_us").text("%.0f")]])
    bars.add("drift of a 500-token stream, us (the median of its round)", spread_of(runs, "end_late_us", "p50"), "%.0f",
             at_most=1000)
    bars.add("the same, the worst of its round", spread_of(runs, "end_late_us", "max"), "%.0f", at_most=1000)
    bars.add("tokens too early, us", spread_of(runs, "early_us"), "%.0f", at_most=0)


def wiremock(cells, bars):
    def wrk_percent(run):
        return run["client_cpu_us_per_request"] * run[RATE] / 1e4

    def latency(cell, runs, key):  # of pipelined requests wrk's are wrong
        return "%.0f" % spread_of(runs, "latency_us", key).median if cell == "64" else ""

    print_table("7. GET /api/models under wrk, 64 connections, a core each",
                ["", "requests/s", "p50 us", "p99 us", "server CPU us", "wrk CPU %", "errors"],
                [[text, spread_of(runs, RATE).text("%.0f"), latency(cell, runs, "p50"), latency(cell, runs, "p99"),
                  "%.2f" % spread_of(runs, SERVER_US).median, "%.0f" % Spread(map(wrk_percent, runs)).median,
                  sum(run["errors"] for run in runs)]
                 for cell, name, text in (("64", "mock", "weir-mock"), ("64", "wiremock", "WireMock"),
                                          ("pipelined", "mock", "weir-mock, 16 requests pipelined"),
                                          ("pipelined", "wiremock", "WireMock, the same"))
                 for runs in [cells[cell][name]]])
    for cell, how in (("64", ""), ("pipelined", ", 16 requests pipelined")):
        runs = cells[cell]
        bars.add("requests/s on one core / WireMock" + how, ratio(runs["mock"], runs["wiremock"], RATE), "%.1f",
                 at_least=25)
        bars.add("server CPU time of a request, WireMock / weir-mock" + how,
                 ratio(runs["wiremock"], runs["mock"], SERVER_US), "%.1f", at_least=25)


def memory(cells, bars):
    (few, low), (many, high) = sorted((int(count), runs["mock"][0]["rss_bytes"]) for count, runs in cells.items())
    print_table("8. Resident memory of weir-mock after that many requests", ["requests", "MiB"],
                [[f"{few:,}", "%.2f" % (low / 2**20)], [f"{many:,}", "%.2f" % (high / 2**20)]])
    # A page more is not growth: 1.00 as it is printed.
    bars.add(f"resident memory after {many:,} requests / after {few:,}", Spread([high / low]), "%.2f", at_most=1.005)


def main(argv):
    if len(argv) == 5 and argv[0] == "capture":
        capture(*argv[1:])
    elif len(argv) == 3 and argv[0] == "mapping":
        json.dump(mapping(*argv[1:]), sys.stdout, indent=2)
    elif argv[:1] == ["report"] and len(argv) in (2, 3) and argv[2:] in ([], ["quick"]):
        report_each(argv[1], "quick" if argv[2:] else "full",
                    (schedule, streams, streams_unix, tokens, infer, drift, wiremock, memory))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
