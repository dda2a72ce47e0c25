#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
"""weir-bench counts what it gets: against weir-mock, the floor server, nginx and a server that misbehaves to order."""
import json
import os
import pty
import re
import signal
import subprocess

import lib
from lib import BENCH, Mock, Server, at_least, at_most, bench, check, equal, test
from scripted import RESET, SILENCE, Scripted, ok

KEYS = ["requests", "errors", "duration_s", "requests_per_s", "latency_us", "client_cpu_us_per_request"]
PERCENTILES = ["p50", "p90", "p99", "p99_9", "max", "mean"]
INFER = '{"model_id":"bitnet-7b","prompt":"hi"}'


def check_report(report):
    for key in KEYS:
        check(key in report, f"key {key} in the report")
    latency = report["latency_us"]
    equal(list(latency), PERCENTILES, "keys of latency_us")
    ok_count = sum(count for status, count in report["status"].items() if status.startswith("2"))
    equal(report["errors"], report["requests"] - ok_count, "errors are what is not 2xx")
    equal(sum(report["errors_by_kind"].values()), report["errors"], "errors by kind")
    if ok_count:
        order = [latency[key] for key in PERCENTILES[:5]]
        equal(order, sorted(order), "percentiles")
        check(0 < latency["mean"] <= latency["max"], "mean")
        # The window is printed to the microsecond, which is a part of it when it is short.
        low, high = (ok_count / max(report["duration_s"] + rounding, 1e-7) for rounding in (1e-6, -1e-6))
        check(low - 0.01 <= report["requests_per_s"] <= high + 0.01, "requests_per_s is 2xx over the window")
    else:
        equal(set(latency.values()), {None}, "latency without answers")
        equal(report["requests_per_s"], 0, "requests_per_s without answers")


# ---- Exact counts ---------------------------------------------------------------------------------------------------

@test
def counts_against_the_mock():
    for connections, threads, depth, count in ((1, 1, 1, 1), (1, 1, 1, 100), (7, 2, 3, 1000), (16, 1, 16, 5000),
                                               (64, 2, 1, 2000), (50, 1, 1, 3)):
        mock = Mock()
        shape = ["-c", str(connections), "-t", str(threads), "-p", str(depth), "-n", str(count)]
        run = bench(*shape, mock.url("/api/health"))
        equal((run["requests"], run["errors"], run["status"]), (count, 0, {"200": count}), f"report of {shape}")
        equal((run["connections"], run["threads"], run["pipeline"]), (connections, threads, depth), "echo of the shape")
        check_report(run.report)
        stats = mock.stats()
        equal(stats["endpoints"]["/api/health"]["requests"], count, "requests at the mock")
        equal(stats["endpoints"]["/api/health"]["by_status"], {"200": count}, "statuses at the mock")
        at_most(stats["connections"]["total"], connections + 1, "connections, and the one that asks")
        mock.stop()


@test
def counts_by_status():
    mock = Mock("--error-rate", "0.3", "--seed", "5")
    run = bench("-c", "8", "-n", "1000", mock.url("/api/models"))
    at_mock = mock.stats()["endpoints"]["/api/models"]["by_status"]
    equal(run["status"], at_mock, "statuses of report and mock")
    equal(run.kinds(), {"status_5xx": at_mock["500"]}, "errors by kind")
    check_report(run.report)
    run = bench("-n", "100", mock.url("/nowhere"))
    equal((run["status"], run.kinds()), ({"404": 100}, {"status_4xx": 100}), "404")
    check_report(run.report)
    run = bench("-n", "50", "-X", "POST", "-b", "{", mock.url("/api/infer"))
    equal(run["status"], {"400": 50}, "400")
    mock.stop()


@test
def methods_and_bodies():
    mock = Mock()
    path = os.path.join(lib.temp_dir(), "body.json")
    long = '{"model_id":"bitnet-7b","prompt":"%s"}' % ("x" * 300000)
    with open(path, "w", encoding="ascii") as file:
        file.write(long)
    for options, method, size in ((["-b", INFER], "POST", len(INFER)), (["--body", f"@{path}"], "POST", len(long)),
                                  (["-X", "POST", "-b", INFER, "-p", "4"], "POST", len(INFER))):
        mock.reset()
        run = bench("-n", "60", "-c", "4", *options, mock.url("/api/infer"))
        equal(run["status"], {"200": 60}, f"statuses of {options[:1]}")
        entries = [entry for entry in mock.journal() if entry["endpoint"] == "/api/infer"]
        equal({(entry["method"], entry["body_bytes"]) for entry in entries}, {(method, size)}, "what arrived")
    run = bench("-n", "20", "-X", "HEAD", mock.url("/api/models"))
    equal(run["status"], {"200": 20}, "HEAD")
    mock.stop()


@test
def requests_on_the_wire():
    with Scripted({"/a?b=c": ok(), "/": ok()}) as server:
        run = bench("-n", "3", "-c", "1", "-H", "X-One: 1", "-H", "x-two:\t two ", "-H", "Host: somebody", "-X", "PUT",
                    "-b", "body", server.url("/a?b=c"))
        equal(run["status"], {"200": 3}, "statuses")
        equal(server.connections, 1, "connections")
        for head, body in server.requests:
            lines = head.decode("ascii").split("\r\n")
            equal(lines[0], "PUT /a?b=c HTTP/1.1", "request line")
            fields = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines[1:]}
            equal((fields["host"], fields["x-one"], fields["x-two"]), ("somebody", "1", "two"), "fields")
            equal((fields["content-length"], body), ("4", b"body"), "body")
        server.requests.clear()
        bench("-n", "1", "-c", "1", f"http://localhost:{server.address[1]}")
        head = server.requests[0][0].decode("ascii")
        check(head.startswith("GET / HTTP/1.1\r\n"), head)
        check(f"Host: localhost:{server.address[1]}" in head, head)
        server.requests.clear()
        bench("-n", "1", "-c", "1", "-b", "", server.url())
        check(b"POST / " in server.requests[0][0] and b"Content-Length: 0" in server.requests[0][0], server.requests)


@test
def against_the_floor_server():
    floor = Server([os.path.join(lib.BUILD, "floor-server"), "--listen", "127.0.0.1:0"])
    for connections, depth in ((1, 1), (32, 1), (8, 16)):
        run = bench("-c", str(connections), "-p", str(depth), "-n", "4000", floor.url("/api/health"))
        equal((run["requests"], run["errors"]), (4000, 0), "report")
        check_report(run.report)
    floor.stop()


@test
def against_nginx():
    nginx = lib.Nginx('location = /ok { return 200 "fine"; } location = /gone { return 410; } '
                      'location = /moved { return 302 /ok; } keepalive_requests 10;')
    run = bench("-c", "4", "-n", "400", nginx.url("/ok"))
    equal((run["requests"], run["status"], run["errors"]), (400, {"200": 400}, 0), "keepalive_requests 10")
    check_report(run.report)
    at_most(run["reused_ratio"], 0.91, "reuse when each tenth answer closes")
    equal(bench("-n", "20", nginx.url("/gone")).kinds(), {"status_4xx": 20}, "410")
    equal(bench("-n", "20", nginx.url("/moved")).kinds(), {"status_3xx": 20}, "302 is not followed")
    lib.wait_until(lambda: len(nginx.access_log()) == 440, "nginx has counted the same")
    nginx.stop()


# ---- Errors, each by its kind ------------------------------------------------------------------------------------

BAD_ANSWERS = {
    "/garbage": ((b"complete rubbish\r\n\r\n", None), "protocol"),
    "/version": ((b"HTTP/2.0 200 OK\r\n\r\n", None), "protocol"),
    "/two-lengths": ((b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", None), "protocol"),
    "/bad-chunk": ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", None), "protocol"),
    "/closed": ((None,), "closed_before_response"),
    "/cut-head": ((b"HTTP/1.1 200 OK\r\nContent-Le", None), "truncated"),
    "/cut-body": ((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxxxx", None), "truncated"),
    "/cut-chunks": ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n", None), "truncated"),
    "/reset": ((RESET,), "reset"),
    "/long-head": ((b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000 + b"\r\n\r\n", None), "limit"),
    "/silent": ((SILENCE,), "timeout"),
    "/stalled": ((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxxxx", SILENCE), "timeout"),
    "/moved": (ok(status=b"301 Moved"), "status_3xx"),
    "/teapot": (ok(status=b"418 I'm a teapot"), "status_4xx"),
    "/broken": (ok(status=b"503 Busy"), "status_5xx"),
}


@test
def errors_by_kind():
    with Scripted({path: script for path, (script, _) in BAD_ANSWERS.items()}) as server:
        for path, (_, kind) in BAD_ANSWERS.items():
            count = 6
            run = lib.BenchRun(lib.run([BENCH, "--json", "-", "-c", "2", "-n", str(count), "--timeout", "150ms",
                                        server.url(path)]))
            equal((run["requests"], run["errors"]), (count, count), f"requests and errors of {path}")
            equal(run.kinds(), {kind: count}, f"errors of {path}")
            # A head that came whole is a response, whatever became of the rest of its message.
            equal(run.status, 0 if kind.startswith("status_") else 2, f"exit status of {path}")
            equal(run["reused_ratio"] if kind.startswith("status_") else 0, 0.666667 if
                  kind.startswith("status_") else 0, f"reuse of {path}")
            check_report(run.report)


@test
def errors_among_answers():
    mix = [ok(), (RESET,), ok(), (None,), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", None), ok(),
           ok(status=b"500 Oops"), (b"rubbish\r\n\r\n", None)]
    with Scripted({"/": mix}) as server:
        run = bench("-c", "1", "-n", "80", server.url())
        equal(run["status"], {"200": 30, "500": 10}, "statuses")
        equal(run.kinds(), {"reset": 10, "closed_before_response": 10, "truncated": 10, "status_5xx": 10,
                            "protocol": 10}, "errors")
        check_report(run.report)
        equal(len(server.requests), 80, "requests at the server: none was repeated in secret")


@test
def refused_connections():
    port = lib.free_port()
    run = bench("-c", "3", "-n", "9", f"http://127.0.0.1:{port}/", status=2)
    equal((run["requests"], run.kinds()), (9, {"connect_refused": 9}), "a closed port")
    check_report(run.report)
    run = bench("-c", "3", "-d", "200ms", f"http://127.0.0.1:{port}/", status=2)
    at_least(run["requests"], 3, "attempts")
    # Attempts are spaced: a port that says no is not hammered.
    at_most(run["requests"], 3 * 20, "attempts in 200 ms")


@test
def odd_but_good_answers():
    scripts = {
        "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\n",
        "/eof": (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", None),
        "/close": (ok(b"x", b"Connection: close"), None),
        "/close-late": ok(b"x", b"Connection: close"),
        "/hints": b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" * 3 + ok(),
        "/no-content": b"HTTP/1.1 204 No Content\r\n\r\n",
        "/bytes": tuple(bytes([byte]) for byte in ok(b"byte by byte")),
        "/empty": ok(b""),
        "/large": ok(b"x" * 1000000),
        "/no-reason": b"HTTP/1.1 200 \r\ncontent-length:0\r\n\r\n",
    }
    with Scripted(scripts) as server:
        for path in scripts:
            run = bench("-c", "2", "-n", "20", server.url(path))
            equal((run["requests"], run["errors"]), (20, 0), f"requests and errors of {path}")
            check_report(run.report)
        equal(len(server.requests), 20 * len(scripts), "requests at the server")


# ---- Time and signals -----------------------------------------------------------------------------------------------

@test
def duration():
    mock = Mock("--latency", "1ms")
    run = bench("-c", "4", "-d", "300ms", mock.url("/api/models"))
    lib.check(abs(run["duration_s"] - 0.3) < 0.001, f"duration_s {run['duration_s']}")
    at_least(run["requests"], 1, "requests")
    at_least(run["latency_us"]["p50"], 1000, "latency in us")
    check_report(run.report)
    run = bench("-c", "4", "-d", "1h", "-n", "20", mock.url("/api/models"))
    equal(run["requests"], 20, "whichever comes first: the count")
    run = bench("-c", "1", "-d", "50ms", "-n", "1000000000", mock.url("/api/models"))
    at_most(run["requests"], 50, "whichever comes first: the time")
    mock.stop()


@test
def warmup_is_not_counted():
    mock = Mock("--latency", "1ms")
    run = bench("-c", "2", "--warmup", "200ms", "-n", "30", mock.url("/api/models"))
    equal((run["requests"], run["warmup_s"]), (30, 0.2), "counted after the warm-up")
    at_least(mock.stats()["endpoints"]["/api/models"]["requests"], 31, "requests at the mock, warm-up included")
    mock.stop()


@test
def interrupted():
    mock = Mock()
    for number in (signal.SIGINT, signal.SIGTERM):
        mock.reset()
        program = lib.Program([BENCH, "-c", "8", "-t", "2", "-d", "1h", "--json", "-", mock.url("/api/health")])
        lib.wait_until(lambda: mock.stats()["endpoints"].get("/api/health", {}).get("requests", 0) > 100, "load")
        program.signal(number)
        equal(program.wait(), 128 + number, "exit status")
        run = lib.BenchRun(program)
        at_least(run["requests"], 100, "requests")
        equal(run["errors"], 0, "what was given up is no error")
        check(run["duration_s"] < 3600, "the window ends with the signal")
        check_report(run.report)
    mock.stop()


@test
def interrupted_while_nobody_answers():
    with Scripted({"/": (SILENCE,)}) as server:
        program = lib.Program([BENCH, "-c", "4", "-d", "1h", "--timeout", "1h", "--json", "-", server.url()])
        lib.wait_until(lambda: len(server.requests) == 4, "requests")
        program.signal(signal.SIGINT)
        equal(program.wait(), 130, "exit status")
        equal(lib.BenchRun(program)["requests"], 0, "requests done")


# ---- The command line -----------------------------------------------------------------------------------------------

@test
def json_file_and_text():
    mock = Mock()
    path = os.path.join(lib.temp_dir(), "report.json")
    program = lib.run([BENCH, "-c", "2", "-n", "40", "--json", path, "--server-pid", str(mock.pid),
                       mock.url("/api/health")])
    equal((program.process.returncode, program.stderr), (0, ""), "exit status and standard error")
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    check_report(report)
    equal(report["requests"], 40, "requests")
    check(report["client_cpu_us_per_request"] > 0, "CPU time of the client")
    check(report["server_cpu_us_per_request"] is not None, "CPU time of the server")
    check(re.search(r"^requests +40, of them 2xx 40, errors 0$", program.stdout, re.M), program.stdout)
    check(re.search(r"^throughput +[0-9,]+ requests/s", program.stdout, re.M), program.stdout)
    mock.stop()


@test
def progress_on_a_terminal_only():
    mock = Mock()
    for extra, shown in (([], True), (["--no-progress"], False)):
        master, slave = pty.openpty()
        process = subprocess.Popen([BENCH, "-c", "1", "-d", "1100ms", *extra, mock.url("/api/health")],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        seen = b""
        try:
            while piece := os.read(master, 4096):
                seen += piece
        except OSError:  # the terminal's other end is closed: the program has ended
            pass
        out = process.communicate(timeout=lib.DEADLINE_S)[0]
        os.close(master)
        equal(process.returncode, 0, "exit status")
        equal(b"/s" in seen, shown, f"progress {seen!r}")
        check(b"requests/s" in out, out)
    mock.stop()


@test
def help_and_version():
    program = lib.run([BENCH, "--help"])
    equal((program.process.returncode, program.stderr), (0, ""), "--help")
    listed = re.findall(r"^  (?:-(\w), |    )--([a-z-]+)", program.stdout, re.M)
    equal(sorted(name for _, name in listed),
          sorted(["connections", "threads", "pipeline", "duration", "requests", "warmup", "timeout", "method", "header",
                  "body", "wait", "ring", "ring-disable", "cpu", "server-pid", "json", "no-progress", "help",
                  "version", "cacert", "insecure"]), "options of --help")
    equal({short for short, _ in listed if short}, set("ctpdnXHb"), "short options of --help")
    mock = Mock()
    every = ["-c", "2", "-t", "1", "-p", "2", "-d", "10s", "-n", "10", "--warmup", "1ms", "--timeout", "5s", "-X", "POST",
             "-H", "A: b", "-b", INFER, "--wait", "spin", "--ring-disable", "no_iowait", "--cpu", "0", "--server-pid", str(mock.pid), "--no-progress"]
    equal(bench(*every, mock.url("/api/infer"))["status"], {"200": 10}, "all of them at once")
    spelled = [{"-c": "--connections", "-t": "--threads", "-p": "--pipeline", "-d": "--duration", "-n": "--requests",
                "-X": "--method", "-H": "--header", "-b": "--body"}.get(word, word) for word in every]
    equal(bench(*spelled, mock.url("/api/infer"))["status"], {"200": 10}, "the same spelled out")
    mock.stop()
    program = lib.run([BENCH, "--version"])
    equal(program.process.returncode, 0, "--version")
    check(re.fullmatch(r"weir-bench \d+\.\d+\.\d+\n", program.stdout), program.stdout)


URL = "http://127.0.0.1:9/"
BAD_COMMAND_LINES = [
    ([], ["URL"]),
    ([URL, "stray"], ["stray"]),
    (["--nonsense", URL], ["--nonsense"]),
    (["-Q", URL], ["-Q"]),
    (["-c", "0", URL], ["--connections", "0"]),
    (["-c", "x", URL], ["--connections", "x"]),
    (["-c", "1000001", URL], ["--connections", "1000000"]),
    (["-c", "1000000", URL], ["--connections", "descriptors"]),
    (["-c"], ["-c"]),
    (["-t", "0", URL], ["--threads"]),
    (["-t", "3", "-c", "2", URL], ["--threads", "2"]),
    (["-p", "1025", URL], ["--pipeline", "1024"]),
    (["-d", "10", URL], ["--duration", "10"]),
    (["-d", "0s", URL], ["--duration", "1ms"]),
    (["-d", "25h", URL], ["--duration", "24h"]),
    (["-n", "0", URL], ["--requests"]),
    (["-n", "-1", URL], ["--requests", "-1"]),
    (["--warmup", "5", URL], ["--warmup"]),
    (["--timeout", "0s", URL], ["--timeout"]),
    (["-X", "", URL], ["--method"]),
    (["-X", "GE T", URL], ["--method", "GE T"]),
    (["-H", "nocolon", URL], ["nocolon"]),
    (["-H", ": a", URL], ["--header"]),
    (["-H", "A b: c", URL], ["--header", "A b: c"]),
    (["-H", "A: b\x01", URL], ["--header", "A: b"]),
    (["-H", "Host: a/b", URL], ["--header", "a/b"]),
    (["-H", "Content-Length: 1", URL], ["Content-Length"]),
    (["-H", "transfer-encoding: chunked", URL], ["Transfer-Encoding"]),
    (["-H", "Connection: close", URL], ["Connection"]),
    (["-H", "A: b\nc", URL], ["--header", "A: b"]),
    (["-H", "Host:", URL], ["Host"]),
    (["-b", "@/nonexistent/file", URL], ["/nonexistent/file"]),
    (["-b", "@/", URL], ["@/"]),
    (["--cpu", "x", URL], ["--cpu", "x"]),
    (["--server-pid", "999999999", URL], ["--server-pid", "999999999"]),
    (["--json", "/nonexistent/dir/file", URL], ["/nonexistent/dir/file"]),
    (["nonsense"], ["nonsense"]),
    (["--cacert", "/nonexistent/file", "https://127.0.0.1/"], ["/nonexistent/file"]),
    (["ftp://127.0.0.1/"], ["ftp"]),
    (["http://"], ["http://"]),
    (["http://127.0.0.1:65536/"], ["65536"]),
    (["http://127.0.0.1:x/"], ["127.0.0.1:x"]),
    (["http://127.0.0.1/a b"], ["a b"]),
]


@test
def bad_command_lines():
    for options, words in BAD_COMMAND_LINES:
        if options[:2] == ["-c", "1000000"] and lib.raise_nofile() > 1001000:
            continue  # somebody raised the limit that far
        program = lib.run([BENCH, *options])
        equal(program.process.returncode, 1, f"exit status of {options}: {program.stdout} {program.stderr}")
        equal(program.stdout, "", f"standard output of {options}")
        check(re.fullmatch(r"weir-bench: [^\n]+\n", program.stderr), f"{options}: {program.stderr!r}")
        for word in words:
            check(word.lower() in program.stderr.lower(), f"{options}: no {word!r} in {program.stderr!r}")


@test
def no_leak_at_the_end():
    """Whatever way a run ends, the report comes and the program goes: nothing is left for a sanitizer to find."""
    with Scripted({"/": [ok(), (RESET,), (SILENCE,)]}) as server:
        for shape in (["-c", "1"], ["-c", "9", "-t", "3", "-p", "5"]):
            program = lib.run([BENCH, *shape, "-d", "150ms", "--timeout", "20ms", server.url()])
            equal((program.process.returncode, program.stderr), (0, ""), "exit status and standard error")


if __name__ == "__main__":
    lib.main()
