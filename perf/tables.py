#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The arithmetic of perf/bench.sh: reads what the programs said, prints the tables, writes results.json.

    tables.py port                                      a free TCP port of 127.0.0.1
    tables.py get ADDRESS PATH                          the body of a 200 answer
    tables.py answer ADDRESS METHOD PATH BODY FILE      a 200 answer: its bytes to FILE.http, its body to FILE.body
    tables.py metric FILE NAME                          a value of a Prometheus text, as JSON
    tables.py wrk FILE                                  what wrk printed, as the JSON of weir-bench
    tables.py report DIR LATENCY_US [quick]             DIR/records.tsv -> tables and DIR/results.json
"""

import json
import re
import socket
import statistics
import sys

# What the system that weir replaces reported of itself, and the goals that were set for it.
REPLACED_RPS = {1: 200, 5: 950, 10: 1900, 20: 3800}


def fail(text):
    sys.exit("tables.py: " + text)


# ---- Talking to servers -----------------------------------------------------------------------------------


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def exchange(address, method, path, body):
    """The answer as it went over the wire, which must be one with Content-Length and on a kept connection."""
    host, port = address.rsplit(":", 1)
    request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body:
        request += f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as conn:
        conn.sendall((request + "\r\n" + body).encode())
        data = b""
        while True:
            head, blank, rest = data.partition(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
            if blank and not length:
                fail(f"{method} {path}: no Content-Length in the answer: {head!r}")
            if blank and len(rest) >= int(length[1]):
                break
            piece = conn.recv(65536)
            if not piece:
                fail(f"{method} {path}: the connection ended after {data!r}")
            data += piece
    if not re.match(rb"HTTP/1\.1 200 ", data):
        fail(f"{method} {path}: expected 200: {data!r}")
    return data, rest


def save_answer(address, method, path, body, file):
    data, content = exchange(address, method, path, body)
    with open(file + ".http", "wb") as out:
        out.write(data)
    with open(file + ".body", "wb") as out:
        out.write(content)


# ---- Reading what programs print --------------------------------------------------------------------------


def metric(file, name):
    for line in open(file, encoding="utf-8"):
        fields = line.split()
        if fields and fields[0] == name:
            value = float(fields[1])
            return {"value": None if value != value else value}
    return fail(f"{file}: no {name}")


def wrk_number(text, what, pattern, default=None):
    found = re.search(pattern, text, re.MULTILINE)
    if not found and default is None:
        fail(f"wrk: no {what} in: {text}")
    return found.groups() if found else default


def wrk(file):
    text = open(file, encoding="utf-8").read()
    unit_us = {"us": 1, "ms": 1e3, "s": 1e6}

    def latency(percent):
        value, unit = wrk_number(text, f"{percent} %", rf"^ +{percent}% +([\d.]+)(us|ms|s) *$")
        return float(value) * unit_us[unit]

    requests = int(wrk_number(text, "request count", r"^ *(\d+) requests in ")[0])
    rate = float(wrk_number(text, "rate", r"^Requests/sec: +([\d.]+)")[0])
    user, system = wrk_number(text, "CPU time", r"^client_cpu_s ([\d.]+) ([\d.]+)$")
    server_ns = int(wrk_number(text, "server CPU time", r"^server_cpu_ns (\d+)$")[0])
    sockets = wrk_number(text, "", r"^ *Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", ("0",))
    status = wrk_number(text, "", r"^ *Non-2xx or 3xx responses: (\d+)", ("0",))
    return {
        "requests": requests,
        "errors": sum(map(int, sockets)) + int(status[0]),
        "requests_per_s": rate,
        "latency_us": {"p50": latency(50), "p99": latency(99)},
        "client_cpu_us_per_request": (float(user) + float(system)) * 1e6 / max(requests, 1),
        "server_cpu_us_per_request": server_ns / 1e3 / max(requests, 1),
    }


def read_records(file):
    """{table: {cell: {subject: [record of round 0, 1, ...]}}}"""
    records = {}
    for line in open(file, encoding="utf-8"):
        table, cell, subject, _, text = line.rstrip("\n").split("\t", 4)
        records.setdefault(table, {}).setdefault(cell, {}).setdefault(subject, []).append(
            (int(line.split("\t")[3]), json.loads(text))
        )
    for cells in records.values():
        for subjects in cells.values():
            for subject, rounds in subjects.items():
                subjects[subject] = [record for _, record in sorted(rounds, key=lambda pair: pair[0])]
    return records


# ---- Numbers ----------------------------------------------------------------------------------------------


class Spread:
    """The median of the rounds and their range."""

    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)
        self.min = min(self.values)
        self.max = max(self.values)

    def text(self, form):
        return f"{form % self.median} ({form % self.min}..{form % self.max})"

    def json(self):
        return {"median": self.median, "min": self.min, "max": self.max, "rounds": self.values}


def spread_of(records, *keys):
    def value(record):
        for key in keys:
            record = record[key]
        return record

    return Spread(value(record) for record in records)


def ratio_of(records, others):
    """Of each round, as only runs that were neighbours in time are compared."""
    return Spread(a["requests_per_s"] / b["requests_per_s"] for a, b in zip(records, others))


def print_table(title, head, rows):
    widths = [max(len(str(row[i])) for row in [head] + rows) for i in range(len(head))]
    print(f"\n{title}\n")
    for row in [head, ["-" * width for width in widths]] + rows:
        first = str(row[0]).ljust(widths[0])
        print("  " + "  ".join([first] + [str(text).rjust(width) for text, width in zip(row[1:], widths[1:])]))


class Bars:
    """What was to be reached, and whether it was."""

    def __init__(self):
        self.rows = []

    def add(self, name, spread, form, at_least=None, at_most=None):
        value = spread.median
        ok = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
        if at_least is not None and at_most is not None:
            bound = form % at_least + " ... " + form % at_most
        else:
            bound = "at least " + form % at_least if at_least is not None else "at most " + form % at_most
        self.rows.append((name, bound, spread, form, ok))

    def print(self):
        rows = [
            [name, bound, spread.text(form), "ok" if ok else "MISSED"] for name, bound, spread, form, ok in self.rows
        ]
        print_table("Bars (median of the rounds, and their range)", ["what", "bar", "measured", ""], rows)
        missed = sum(not ok for *_, ok in self.rows)
        print(f"\n  {len(rows) - missed} of {len(rows)} bars are met" + (f", {missed} MISSED" if missed else ""))

    def json(self):
        return [
            {"what": name, "bar": bound, "measured": spread.json(), "ok": ok}
            for name, bound, spread, _, ok in self.rows
        ]


# ---- Table 1: the modelled load ---------------------------------------------------------------------------


def success_percent(records):
    return Spread(100 * (1 - r["errors"] / r["requests"]) if r["requests"] else 0.0 for r in records)


def modelled(records, latency_us, bars):
    cells = {int(conns): subjects["weir"] for conns, subjects in records["modelled"].items()}
    single = cells[1]
    rows, result = [], {}
    for conns, runs in sorted(cells.items()):
        rate = spread_of(runs, "requests_per_s")
        p50, p99 = spread_of(runs, "latency_us", "p50"), spread_of(runs, "latency_us", "p99")
        success = success_percent(runs)
        extra = Spread(run["latency_us"]["p50"] - latency_us for run in runs)
        scaling = Spread(r["requests_per_s"] / (conns * s["requests_per_s"]) for r, s in zip(runs, single))
        cpu = spread_of(runs, "server_cpu_us_per_request")
        rows.append(
            [
                conns,
                REPLACED_RPS.get(conns, ""),
                "%.0f" % rate.median,
                "%.3f" % (p50.median / 1e3),
                "%.3f" % (p99.median / 1e3),
                "%.3f" % success.median,
                "%.0f" % extra.median,
                scaling.text("%.3f"),
                "%.1f" % cpu.median,
            ]
        )
        result[conns] = {
            "requests_per_s": rate.json(),
            "p50_us": p50.json(),
            "p99_us": p99.json(),
            "success_percent": success.json(),
            "delivered_less_asked_us": extra.json(),
            "scaling_efficiency": scaling.json(),
            "server_cpu_us_per_request": cpu.json(),
            "replaced_requests_per_s": REPLACED_RPS.get(conns),
            "_spreads": (scaling, extra, success, rate, p50, p99),
        }
    print_table(
        f"1. Modelled load: GET /api/models, {latency_us / 1e3:g} ms of latency asked for",
        ["connections", "replaced RPS", "weir RPS", "p50 ms", "p99 ms", "success %", "p50 - asked us",
         "scaling efficiency", "server CPU us"],
        rows,
    )
    modelled_bars(result, bars)
    return result


def worst(spreads, largest):
    return (max if largest else min)(spreads, key=lambda spread: spread.median)


def worst_delay(spreads):
    """An answer that comes early is worse than any that comes late: the delay was not kept."""
    early = [spread for spread in spreads if spread.median < 0]
    return worst(early, False) if early else worst(spreads, True)


def modelled_bars(result, bars):
    up_to_100 = [result[conns]["_spreads"] for conns in result if conns <= 100]
    bars.add("scaling efficiency, 1 ... 100 connections, the worst",
             worst([s[0] for s in up_to_100], False), "%.3f", 0.99)
    if 500 in result:
        bars.add("scaling efficiency, 500 connections", result[500]["_spreads"][0], "%.3f", 0.95)
    bars.add("median latency less what was asked, us, 1 ... 100 connections, the worst",
             worst_delay([s[1] for s in up_to_100]), "%.0f", at_least=0, at_most=200)
    bars.add("success rate, %, all connections, the worst",
             worst([r["_spreads"][2] for r in result.values()], False), "%.3f", 100)


def replaced_table(result, server, memory):
    """The figures of the system that weir replaces, its goals, and weir's, side by side."""
    by_conns = {conns: cell["_spreads"] for conns, cell in result.items()}
    scaling, _, _, rate, p50, p99 = by_conns[20]
    last = max(by_conns)
    in_flight_kb = memory["in_flight"]["bytes_each"] / 1000
    at_last = by_conns[last]
    rss_mb = server["rss"]["weir"][0]["value"] / 1e6
    success = worst([spreads[2] for spreads in by_conns.values()], False)
    print_table(
        f"   beside what the replaced system reported, and its goals (weir at 20 connections | at {last})",
        ["", "reported", "first goal", "later goal", "weir, 20", f"weir, {last}"],
        [
            ["requests/s", "3800", "> 100", "2500", "%.0f" % rate.median, "%.0f" % at_last[3].median],
            ["p50 ms", "5-7", "", "", "%.3f" % (p50.median / 1e3), "%.3f" % (at_last[4].median / 1e3)],
            ["p99 ms", "12-15", "< 100", "< 10", "%.3f" % (p99.median / 1e3), "%.3f" % (at_last[5].median / 1e3)],
            ["scaling efficiency %", "97", "", "", "%.1f" % (100 * scaling.median), "%.1f" % (100 * at_last[0].median)],
            ["success %, the worst", "99.8", "> 99", "", "", "%.3f" % success.median],
            ["memory per request, KB", "75", "", "< 50", "", "%.2f" % in_flight_kb],
            ["server's memory, MB", "", "< 500", "", "", "%.1f" % rss_mb],
        ],
    )
    error_s = server["schedule_error_s"]["weir"][0]["value"]
    if error_s is not None:
        print(f"\n  the server's own clock: answers were due {error_s * 1e6:.0f} us (median) before it gave them")


# ---- Table 2: the speed on the wire -----------------------------------------------------------------------


def cell_name(cell):
    kind, conns, pipeline = cell.split(":")
    request = {"health": "GET /api/health", "infer": "POST /api/infer"}[kind]
    return f"{request} {conns}" + (f"x{pipeline}" if pipeline != "1" else "")


def wire(title, cells, subjects):
    """Rates and CPU time of each subject, and the ratios of the first to each of the others."""
    head = ["request, connections"] + [f"{subject}/s" for subject in subjects]
    head += [f"{subjects[0]} / {other}" for other in subjects[1:]]
    head += ["server CPU us", "client CPU us"]
    rows, result = [], {}
    for cell, runs in cells.items():
        rates = {subject: spread_of(runs[subject], "requests_per_s") for subject in subjects}
        ratios = {other: ratio_of(runs[subjects[0]], runs[other]) for other in subjects[1:]}
        cpu = {
            side: {name: spread_of(runs[name], f"{side}_cpu_us_per_request") for name in subjects}
            for side in ("server", "client")
        }
        rows.append(
            [cell_name(cell)]
            + ["%.0f" % rates[subject].median for subject in subjects]
            + [ratio.text("%.2f") for ratio in ratios.values()]
            + [" ".join("%.2f" % cpu[side][s].median for s in subjects) for side in ("server", "client")]
        )
        result[cell] = {
            "subjects": {
                subject: {
                    "requests_per_s": rates[subject].json(),
                    "server_cpu_us_per_request": cpu["server"][subject].json(),
                    "client_cpu_us_per_request": cpu["client"][subject].json(),
                    "p50_us": spread_of(runs[subject], "latency_us", "p50").json(),
                    "p99_us": spread_of(runs[subject], "latency_us", "p99").json(),
                }
                for subject in subjects
            },
            "ratios": {other: ratio.json() for other, ratio in ratios.items()},
            "errors": {s: sum(run.get("errors", 0) for run in runs[s]) for s in subjects},
            "_ratios": ratios,
        }
    print_table(f"{title}; CPU us per request, in the order {', '.join(subjects)}", head, rows)
    for cell, values in result.items():
        for subject, errors in values["errors"].items():
            if errors:
                print(f"\n  {subject}, {cell_name(cell)}: {errors} errors")
    return result


def wire_bars(servers, clients, bars):
    def add(name, result, cell, other, at_least):
        if cell in result:
            bars.add(name, result[cell]["_ratios"][other], "%.2f", at_least)

    add("weir-mock / bare server, GET /api/health, 64 connections", servers, "health:64:1", "floor", 0.90)
    add("weir-mock / nginx, the same", servers, "health:64:1", "nginx", 1.3)
    add("weir-mock / bare server, the same, 16 pipelined", servers, "health:64:16", "floor", 0.6)
    add("weir-bench / bare client, 64 connections, bare server", clients, "health:64:1", "floor_client", 0.90)
    add("weir-bench / wrk, the same", clients, "health:64:1", "wrk", 1.3)


# ---- Table 3: memory --------------------------------------------------------------------------------------


def memory_result(records):
    result = {}
    for cell, subjects in records["memory"].items():
        run = subjects["weir"][0]
        grown = run["many_rss_bytes"] - run["few_rss_bytes"]
        result[cell] = {**run, "bytes_each": grown / (run["many"] - run["few"])}
    return result


def memory_table(result, bars):
    names = {"idle": "idle connection", "in_flight": "request in flight (with its connection)"}
    limits = {"idle": 1024, "in_flight": 8192}
    rows = []
    for cell, run in result.items():
        rows.append(
            [
                names[cell],
                "%.1f" % (run["few_rss_bytes"] / 2**20),
                "%.1f" % (run["many_rss_bytes"] / 2**20),
                "%.0f" % run["bytes_each"],
            ]
        )
        bars.add(f"bytes per {names[cell]}", Spread([run["bytes_each"]]), "%.0f", at_most=limits[cell])
    first = next(iter(result.values()))
    head = ["weir-mock, resident memory", f"MiB at {first['few']:,}", f"MiB at {first['many']:,}", "bytes each"]
    print_table("3. Memory", head, rows)


# ---- The report -------------------------------------------------------------------------------------------


def read_env(file):
    env = {}
    for line in open(file, encoding="utf-8"):
        key, _, value = line.rstrip("\n").partition(": ")
        if key == "package":
            env.setdefault("packages", []).append(value)
        else:
            env[key] = value
    return env


def without_private(value):
    if isinstance(value, dict):
        return {str(key): without_private(item) for key, item in value.items() if not str(key).startswith("_")}
    return value


def report(directory, latency_us, mode):
    env = read_env(directory + "/env.txt")
    records = read_records(directory + "/records.tsv")
    bars = Bars()
    print(f"weir {env['commit']}\n{env['cpu']}; {env['kernel']}; {env['pinned']}")
    if mode == "quick":
        print("a quick run: two short rounds; good for a first look only")
    memory = memory_result(records)
    load = modelled(records, latency_us, bars)
    replaced_table(load, records["modelled_server"], memory)
    servers = wire(
        "2a. Servers on the wire, under the bare client (floor = bare server)",
        records["servers"], ["mock", "floor", "nginx"],
    )
    clients = wire(
        "2b. Clients on the wire, against the bare server",
        records["clients"], ["weir_bench", "floor_client", "wrk"],
    )
    wire_bars(servers, clients, bars)
    memory_table(memory, bars)
    bars.print()
    results = {
        "env": env,
        "mode": mode,
        "modelled": {"latency_us": latency_us, "connections": load,
                     "server": {key: cell["weir"][0]["value"] for key, cell in records["modelled_server"].items()}},
        "servers": servers,
        "clients": clients,
        "memory": memory,
        "bars": bars.json(),
    }
    with open(directory + "/results.json", "w", encoding="utf-8") as out:
        json.dump(without_private(results), out, indent=2, allow_nan=False)
        out.write("\n")
    print(f"\nresults, environment and logs: {directory}")


def summary(records):
    """Of each table, cell and subject, the numbers that its programs said, over the rounds."""
    return {
        table: {
            cell: {
                subject: {key: spread_of(runs, key).json() for key, value in runs[0].items()
                          if isinstance(value, (int, float))}
                for subject, runs in subjects.items()
            }
            for cell, subjects in cells.items()
        }
        for table, cells in records.items()
    }


def report_each(directory, mode, tables):
    """The report of a script that has a function for each of its tables, called as the table is."""
    env = read_env(directory + "/env.txt")
    records = read_records(directory + "/records.tsv")
    bars = Bars()
    print(f"weir {env['commit']}\n{env['cpu']}; {env['kernel']}; {env['pinned']}")
    if mode == "quick":
        print("a quick run: short rounds; good for a first look only")
    for table in tables:
        if table.__name__ in records:
            table(records[table.__name__], bars)
    if bars.rows:
        bars.print()
    with open(directory + "/results.json", "w", encoding="utf-8") as out:
        json.dump({"env": env, "mode": mode, "tables": summary(records), "bars": bars.json()}, out, indent=2,
                  allow_nan=False)
        out.write("\n")
    print(f"\nresults, environment and logs: {directory}")


def main(argv):
    if argv == ["port"]:
        print(free_port())
    elif len(argv) == 3 and argv[0] == "get":
        sys.stdout.buffer.write(exchange(argv[1], "GET", argv[2], "")[1])
    elif len(argv) == 6 and argv[0] == "answer":
        save_answer(*argv[1:])
    elif len(argv) == 3 and argv[0] == "metric":
        print(json.dumps(metric(argv[1], argv[2])))
    elif len(argv) == 2 and argv[0] == "wrk":
        print(json.dumps(wrk(argv[1])))
    elif len(argv) in (3, 4) and argv[0] == "report":
        report(argv[1], int(argv[2]), "quick" if argv[3:] == ["quick"] else "full")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
