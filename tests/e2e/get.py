#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""weir-get: what it writes is what came, what it tells is what happened, and its exit status says how it went."""
import gzip
import json
import os
import signal
import socket
import subprocess

import lib
from lib import Mock, Program, at_least, at_most, check, equal, test, wait_until
from scripted import RESET, SILENCE, Scripted, ok

GET = [os.path.join(lib.BUILD, "weir-get"), *lib.ring_options()]
INFER = '{"model_id":"bitnet-7b","prompt":"hi"}'
TIMINGS = ["queue", "dns", "connect", "tls", "first_byte", "total"]


class Run:
    """weir-get to its end. `lines`: what --json told, one object for each call; `stats`: what --stats --json told."""

    def __init__(self, *words, status=0, stdin=subprocess.DEVNULL):
        program = Program([*GET, *words], stdin=stdin)
        program.wait(6 * lib.DEADLINE_S)
        self.out = os.pread(program.out.fileno(), 1 << 26, 0)
        self.err = program.stderr
        equal(program.process.returncode, status, f"weir-get {' '.join(words)}: {self.err}")
        self.lines = [json.loads(line) for line in self.out.splitlines()] if "--json" in words else None
        self.stats = json.loads(self.err.splitlines()[-1]) if {"--json", "--stats"} <= set(words) else None


def refused_port():
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def chunked(*pieces):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n")


# ---- Bodies ---------------------------------------------------------------------------------------------------------

@test
def body_is_exact():
    every = bytes(range(256)) * 5000
    with Scripted({"/a": ok(every), "/empty": ok(b""), "/chunks": chunked(b"one", b"two", every), "/eof":
                   (b"HTTP/1.1 200 OK\r\n\r\n" + every, None)}) as server:
        equal(Run(server.url("/a")).out, every, "with a length")
        equal(Run(server.url("/empty")).out, b"", "empty")
        equal(Run(server.url("/chunks")).out, b"onetwo" + every, "in chunks")
        equal(Run(server.url("/eof")).out, every, "until the end of the connection")
        path = os.path.join(lib.temp_dir(), "out")
        equal(Run("-o", path, server.url("/a")).out, b"", "with -o nothing goes to standard output")
        with open(path, "rb") as file:
            equal(file.read(), every, "in a file")
        equal(Run("-o", "-", server.url("/a")).out, every, "-o -")
        run = Run("-i", "-v", server.url("/chunks"))
        head, body = run.out.split(b"\r\n\r\n", 1)
        equal(head, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "head with -i")
        equal(body, b"onetwo" + every, "body with -i")
        check("> GET /chunks HTTP/1.1\n" in run.err and "< Transfer-Encoding: chunked\n" in run.err, run.err)
        check("* complete, 1280006 bytes of body" in run.err, run.err)


@test
def several_bodies_do_not_mix():
    lines = [b"%d " % i * 2000 + b"\n" for i in range(10)]
    with Scripted({"/": [tuple(ok(line)[at:at + 900] for at in range(0, len(ok(line)), 900)) for line in lines]}) as server:
        run = Run("--repeat", "10", "--concurrency", "5", server.url())
        equal(sorted(run.out.splitlines(True)), sorted(lines), "each body in one piece")
        run = Run("--repeat", "10", server.url())
        equal(run.out, b"".join(lines), "one at a time: in order")


@test
def request_on_the_wire():
    with Scripted({"/a?b=c": ok(), "/?x": ok(), "/": ok()}) as server:
        Run("-H", "X-One: 1", "-H", "x-two:\t two ", "-H", "Host: somebody", "-X", "PUT", "-d", "body", server.url("/a?b=c#d"))
        Run("-d", "", server.url("?x"))
        path = os.path.join(lib.temp_dir(), "body")
        binary = bytes(range(256)) * 300
        with open(path, "wb") as file:
            file.write(binary)
        Run("-d", f"@{path}", server.url())
        with open(path, "rb") as file:
            Run("-d", "@-", server.url(), stdin=file)
        heads = [head.decode("latin-1").split("\r\n") for head, _ in server.requests]
        equal([head[0] for head in heads], ["PUT /a?b=c HTTP/1.1", "POST /?x HTTP/1.1", "POST / HTTP/1.1",
                                            "POST / HTTP/1.1"], "request lines")
        equal([body for _, body in server.requests], [b"body", b"", binary, binary], "bodies")
        check({"Host: somebody", "X-One: 1", "x-two: two", "Content-Length: 4"} <= set(heads[0]), heads[0])
        check({"Content-Length: 0", f"Host: 127.0.0.1:{server.address[1]}"} <= set(heads[1]), heads[1])


@test
def decoded():
    text = b"many words, many words, " * 1000
    squeezed = ok(gzip.compress(text), b"Content-Encoding: gzip")
    with Scripted({"/": squeezed, "/bad": ok(b"this is not gzip", b"Content-Encoding: gzip")}) as server:
        equal(Run("--compressed", server.url()).out, text, "decoded")
        equal(gzip.decompress(Run(server.url()).out), text, "as it came")
        line = Run("--compressed", "--json", server.url()).lines[0]
        equal((line["body_bytes"], line["bytes"]), (len(text), len(gzip.compress(text))), "sizes")
        Run("--compressed", server.url("/bad"), status=61)


# ---- What is told -----------------------------------------------------------------------------------------------------

@test
def json_lines():
    with Scripted({"/": ok(b"12345", b"X-Name: a \"quoted\" \xe4", b"X-Name: again", status=b"404 Not Found")}) as server:
        run = Run("--json", "--repeat", "3", server.url())
        equal([line["call"] for line in run.lines], [0, 1, 2], "calls")
        for line in run.lines:
            equal((line["status"], line["error"], line["bytes"], line["body_bytes"]), (404, None, 5, 5), "line")
            equal(line["headers"], [["X-Name", 'a "quoted" \xe4'], ["X-Name", "again"], ["Content-Length", "5"]], "headers")
            equal(list(line["timings_us"]), TIMINGS, "timings")
            times = line["timings_us"]
            at_most(sum(times[key] for key in TIMINGS[:5]), times["total"] + 5, "parts of the total")
            equal((line["retries"], line["endpoint"], line["replayed"]), (0, 0, False), "how it went")
        equal([line["reused"] for line in run.lines], [False, True, True], "one connection")
        check(run.lines[0]["timings_us"]["connect"] > 0, "the first made it")
    line = Run("--json", f"http://127.0.0.1:{refused_port()}/", status=7).lines[0]
    equal((line["status"], line["error"], line["headers"]), (0, "WEIR_E_CONNECT", []), "no answer")


@test
def json_and_a_body():
    with Scripted({"/": ok(b"the body")}) as server:
        path = os.path.join(lib.temp_dir(), "out")
        run = Run("--json", "-o", path, server.url())
        equal(run.lines[0]["body_bytes"], 8, "told")
        with open(path, "rb") as file:
            equal(file.read(), b"the body", "written")


@test
def statistics():
    mock = Mock()
    run = Run("--json", "--stats", "--repeat", "500", "--concurrency", "8", "-o", "/dev/null", mock.url("/api/health"))
    equal(len(run.lines), 500, "lines")
    stats = run.stats
    equal((stats["calls"], stats["answered"], stats["failed"], stats["status"]), (500, 500, 0, {"2xx": 500}), "counts")
    equal((stats["client"]["calls"], stats["client"]["completed"]), (500, 500), "of the client")
    equal(stats["endpoints"][0]["sent"], 500, "of the endpoint")
    at_most(stats["client"]["conns"], 8, "connections")
    latency = stats["latency_us"]
    check(0 < latency["p50"] <= latency["p99"] <= latency["max"], latency)
    text = Run("--stats", "--repeat", "500", "--concurrency", "8", "-o", "/dev/null", mock.url("/api/health")).err
    check("calls     answered 500  failed 0  2xx 500  in " in text and "latency   p50 " in text, text)
    equal(mock.stats()["endpoints"]["/api/health"]["requests"], 1000, "requests at the mock")
    mock.stop()


@test
def limits_of_the_pool():
    mock = Mock("--latency", "2ms")
    run = Run("--json", "--stats", "--repeat", "60", "--concurrency", "12", "--conns-max", "3", mock.url("/api/models"))
    at_most(run.stats["client"]["conns"], 3, "--conns-max")
    run = Run("--json", "--stats", "--repeat", "60", "--concurrency", "12", "--http-pipeline", "4", mock.url("/api/models"))
    at_most(run.stats["client"]["conns"], 3, "--http-pipeline: 12 at a time are 3 connections")
    equal(run.stats["answered"], 60, "answered")
    mock.stop()


# ---- Streams ------------------------------------------------------------------------------------------------------------

EVENTS = b": hello\n\nid: 1\ndata: one\n\nevent: token\ndata: two\ndata: lines\n\nretry: 50\ndata: \xff\n\n"


def events(*pieces):
    return (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", *pieces, None)


@test
def events_as_they_come():
    with Scripted({"/": events(*(EVENTS[at:at + 1] for at in range(len(EVENTS)))), "/plain": chunked(b"a", b"b")}) as server:
        equal(Run("--stream", server.url()).out, b"one\ntwo\nlines\n\xff\n", "data, a line each")
        run = Run("--stream", "--json", server.url())
        told = [{key: value for key, value in line.items() if key not in ("call", "at_us")} for line in run.lines[:-1]]
        equal(told, [{"event": "message", "id": "1", "data": "one"},
                     {"event": "token", "id": "1", "data": "two\nlines"},
                     {"event": "message", "id": "1", "retry_ms": 50, "data_base64": "/w=="}], "events")
        equal((run.lines[-1]["events"], run.lines[-1]["body_bytes"], run.lines[-1]["bytes"]), (3, 13, len(EVENTS)), "the end")
        times = [line["at_us"] for line in run.lines[:-1]]
        equal(times, sorted(times), "in time")
        run = Run("--stream", "--json", server.url("/plain"))
        equal("".join(line["piece"] for line in run.lines[:-1]), "ab", "pieces of another kind of body")


@test
def a_stream_is_written_while_it_lasts():
    listener = socket.create_server(("127.0.0.1", 0))
    program = Program([*GET, "--stream", f"http://127.0.0.1:{listener.getsockname()[1]}/"])
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(events(b"data: first\n\n")[0] + b"data: first\n\n")
    wait_until(lambda: program.stdout == "first\n", "the first event, before there is a second")
    connection.sendall(b"data: second\n\n")
    connection.close()
    equal(program.wait(), 0, program.stderr)
    equal(program.stdout, "first\nsecond\n", "both")
    listener.close()


# ---- Failures -------------------------------------------------------------------------------------------------------------

@test
def exit_statuses():
    long = ok(b"x" * 100)
    with Scripted({"/500": ok(b"oops", status=b"500 No"), "/cut": (long[:-50], None), "/nothing": (None,), "/junk":
                   (b"SMTP ready\r\n\r\n", None), "/silence": (SILENCE,), "/reset": (long[:-50], RESET)}) as server:
        equal(Run(server.url("/500")).out, b"oops", "an error of the server is an answer")
        equal(Run("-f", server.url("/500"), status=22).out, b"", "-f: no body")
        equal(Run(server.url("/cut"), status=18).out, b"x" * 50, "what came before the cut")
        check("weir-get: " in Run(server.url("/nothing"), status=52).err, "why")
        Run(server.url("/junk"), status=8)
        check("WEIR_E_DEADLINE" in Run("-m", "50ms", server.url("/silence"), status=28).err, "why")
        check(Run(server.url("/reset"), status=56).err, "why")
    check("refused" in Run(f"http://127.0.0.1:{refused_port()}/", status=7).err.lower(), "why")
    check("WEIR_E_RESOLVE" in Run("http://no-such-name.invalid/", status=6).err, "why")
    check("URL" in Run("nonsense", status=3).err, "why")
    check("--nope" in Run("--nope", "http://h/", status=2).err, "why")
    check("No such file" in Run("-d", "@/no/such/file", "http://h/", status=26).err, "why")
    check("No such file" in Run("-o", "/no/such/file", "http://127.0.0.1:1/", status=23).err, "why")


@test
def what_cannot_be_written():
    with Scripted({"/": ok(b"x" * 100000)}) as server:
        check("No space left" in Run("-o", "/dev/full", server.url(), status=23).err, "a full disk")
        run = Run("-o", "/dev/full", "--repeat", "1000", "--concurrency", "4", server.url(), status=23)
        at_most(len(server.requests), 100, "it does not go on for nothing")
        equal(run.err.count("\n"), 1, f"told once: {run.err}")
        # A reader that goes away.
        program = subprocess.run(f"{' '.join(GET)} --repeat 1000 {server.url()} | head -c 10", shell=True, check=False,
                                 capture_output=True, timeout=lib.DEADLINE_S)
        equal(program.stdout, b"x" * 10, "what the reader took")
        check(b"Broken pipe" in program.stderr, program.stderr)


@test
def many_failures_are_few_words():
    run = Run("--repeat", "200", "--concurrency", "4", "--stats", "--json", f"http://127.0.0.1:{refused_port()}/", status=7)
    equal((run.stats["failed"], run.stats["answered"]), (200, 0), "counts")
    at_most(run.err.count("\n"), 12, "lines")
    check("190 more failures" in run.err, run.err)


@test
def retries():
    busy = ok(b"busy", b"Retry-After: 0", status=b"503 Busy")
    with Scripted({"/": [busy, busy, ok(b"done")], "/never": busy}) as server:
        line = Run("--json", "--retry", "2", server.url()).lines[0]
        equal((line["status"], line["retries"], line["body_bytes"]), (200, 2, 4), "the third answer")
        line = Run("--json", "--retry", "1", server.url("/never")).lines[0]
        equal((line["status"], line["retries"]), (503, 1), "enough is enough")
        equal(Run("--retry", "3", server.url("/never")).out, b"busy", "the last answer, and no other")


@test
def whatever_the_server_does():
    """Good and bad answers by turns, with all that a client may do about them: each call ends once and is told of."""
    rng = lib.seeded(7)
    long = ok(b"x" * 5000)
    kinds = [ok(), ok(b""), long, (long[:900], long[900:]), (long[:2000], None), (None,), (RESET,), (long[:70], RESET),
             (b"junk\r\n\r\n",), ok(b"busy", b"Retry-After: 0", status=b"503 Busy"), ok(b"bye", b"Connection: close"),
             events(EVENTS), chunked(b"a", b"b" * 3000), ok(gzip.compress(b"y" * 50000), b"Content-Encoding: gzip")]
    for how in (["--concurrency", "1"], ["--concurrency", "8"], ["--concurrency", "12", "--http-pipeline", "4"],
                ["--concurrency", "8", "--retry", "3"], ["--concurrency", "4", "--stream", "--compressed"],
                ["--concurrency", "8", "--http-pipeline", "8", "--retry", "2", "--compressed", "--conns-max", "3"]):
        with Scripted({"/": [rng.choice(kinds) for _ in range(150)]}) as server:
            program = lib.run([*GET, "--json", "--stats", "--repeat", "300", "-m", "5s", *how, server.url()])
            check(program.process.returncode in (0, 8, 18, 52, 56), f"{how}: {program.process.returncode} {program.stderr}")
            lines = [json.loads(line) for line in program.stdout.splitlines()]
            ends = [line for line in lines if "timings_us" in line]
            equal(sorted(line["call"] for line in ends), list(range(300)), f"{how}: each call ends once")
            stats = json.loads(program.stderr.splitlines()[-1])
            failed = sum(line["error"] is not None for line in ends)
            equal((stats["calls"], stats["failed"], stats["client"]["failed"]), (300, failed, failed), f"{how}: counts")
            equal(stats["client"]["retries"], sum(line["retries"] for line in ends), f"{how}: retries")
            equal({line["error"] for line in ends} - {None, "WEIR_E_CLOSED", "WEIR_E_TRUNCATED", "WEIR_E_PROTOCOL",
                                                      "ECONNRESET"}, set(), f"{how}: errors")
            for line in ends:
                check(line["error"] is not None or line["status"] in (200, 503), f"{how}: {line}")


@test
def a_signal_ends_it():
    for number, how in ((signal.SIGINT, []), (signal.SIGTERM, ["--wait", "spin"]),
                        (signal.SIGINT, ["--repeat", "100000000", "--concurrency", "4"])):
        mock = Mock("--latency", "1ms" if "--repeat" in how else "1h")
        program = Program([*GET, *how, "--json", mock.url("/api/models")])
        # The connection that asks is one of them.
        wait_until(lambda: mock.stats()["connections"]["active"] > 1, "it is under way")
        program.signal(number)
        equal(program.wait(), 128 + number, f"exit status, {program.stderr}")
        equal(program.stderr, "", "no complaints")
        last = json.loads(program.stdout.splitlines()[-1])
        if "--repeat" not in how:
            equal(last["error"], "WEIR_E_CANCELLED", "what became of the call")
        mock.process.kill()


# ---- Where to -------------------------------------------------------------------------------------------------------------

@test
def endpoints_share_the_calls():
    mocks = [Mock() for _ in range(3)]
    further = [word for mock in mocks[1:] for word in ("--endpoint", mock.url("/"))]
    run = Run("--json", "--stats", "--repeat", "300", "--concurrency", "6", *further, mocks[0].url("/api/health"))
    at_mocks = [mock.stats()["endpoints"]["/api/health"]["requests"] for mock in mocks]
    equal(sum(at_mocks), 300, "all of them")
    at_least(min(at_mocks), 1, f"shared out, by who answers fast: {at_mocks}")
    equal([endpoint["sent"] for endpoint in run.stats["endpoints"]], at_mocks, "as it is told")
    equal(sorted({line["endpoint"] for line in run.lines}), [0, 1, 2], "and for each call")
    for mock in mocks:
        mock.stop()


@test
def names_and_addresses():
    with Scripted({"/": ok()}) as server:
        port = server.address[1]
        Run("--resolve", f"some.name:{port}:127.0.0.1", f"http://some.name:{port}/")
        Run(f"http://localhost:{port}/")
        hosts = [line for head, _ in server.requests for line in head.decode().split("\r\n") if line.startswith("Host")]
        equal(hosts, [f"Host: some.name:{port}", f"Host: localhost:{port}"], "Host is the URL's")
    mock = Mock(listen="unix:" + os.path.join(lib.temp_dir(), "sock"))
    url = "http+unix://" + mock.text[len("unix:"):].replace("/", "%2F") + "/api/health"
    check(b"healthy" in Run(url).out or b"ok" in Run(url).out, "unix socket")
    mock.stop()


def certificates():
    """A CA and a server's certificate of it, and another CA: the paths."""
    openssl = lib.need("openssl")
    directory = lib.temp_dir()

    def make(*words):
        subprocess.run([openssl, *words], cwd=directory, check=True, capture_output=True, timeout=lib.DEADLINE_S)

    for name in ("ca", "other"):
        make("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    make("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server", "-keyout",
         "server.key", "-out", "server.csr")
    with open(os.path.join(directory, "names"), "w", encoding="ascii") as names:
        names.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    make("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-extfile", "names",
         "-out", "server.pem")
    return {name: os.path.join(directory, name) for name in ("ca.pem", "other.pem", "server.pem", "server.key", "ca.key")}


@test
def https():
    files = certificates()
    mock = Mock("--tls-cert", files["server.pem"], "--tls-key", files["server.key"])
    url = f"https://127.0.0.1:{mock.address[1]}/api/health"
    named = f"https://localhost:{mock.address[1]}/api/health"
    for target in (url, named):
        line = Run("--json", "--cacert", files["ca.pem"], target).lines[0]
        equal(line["status"], 200, "status")
        check(line["timings_us"]["tls"] > 0, f"the handshake took a time: {line}")
    check("WEIR_E_CERTIFICATE" in Run("--cacert", files["other.pem"], url, status=60).err, "another CA")
    check("WEIR_E_CERTIFICATE" in Run(url, status=60).err, "the system's CAs")
    equal(Run("--insecure", "--json", url).lines[0]["status"], 200, "--insecure")
    equal(Run("--insecure", "--json", "--cert", files["server.pem"], "--key", files["server.key"], url).lines[0]["status"],
          200, "a certificate that nobody asks for")
    check(files["server.key"] in Run("--cacert", files["server.key"], url, status=77).err, "no certificate in it")
    check("nowhere" in Run("--cacert", "/nowhere", url, status=77).err, "no such file")
    Run("--cert", files["server.pem"], "--key", files["ca.key"], url, status=58)
    run = Run("--cacert", files["ca.pem"], "--json", "--stats", "--repeat", "200", "--concurrency", "4", url)
    equal(run.stats["answered"], 200, "many over few connections")
    mock.stop()
    plain = Mock()
    Run("--insecure", "-m", "5s", f"https://127.0.0.1:{plain.address[1]}/", status=35)
    plain.stop()


# ---- Batches ---------------------------------------------------------------------------------------------------------------

@test
def batches():
    mock = Mock()
    run = Run("--json", "--stats", "--batch", "16", "--repeat", "500", "--concurrency", "64", "-d", INFER,
              mock.url("/api/infer/batch"))
    equal((run.stats["answered"], run.stats["failed"], run.stats["status"]), (500, 0, {"2xx": 500}), "items")
    equal({line["item"] for line in run.lines}, set(range(500)), "each once")
    batcher = run.stats["batcher"]
    equal((batcher["items"], batcher["items_sent"]), (500, 500), "of the batcher")
    at_most(batcher["batches"], 250, "they were gathered")
    answers = Run("--batch", "4", "--repeat", "10", "-d", INFER, mock.url("/api/infer/batch")).out.splitlines()
    equal(len(answers), 10, "one line for each")
    for answer in answers:
        json.loads(answer)
    bad = Run("-f", "--batch", "4", "--repeat", "10", "-d", "{}", mock.url("/api/infer/batch"), status=22)
    equal(bad.out, b"", "-f")
    check("JSON" in Run("--batch", "4", "-d", "{", mock.url("/api/infer/batch"), status=2).err, "not JSON")
    mock.stop()


@test
def help_and_version():
    check(Run("--help").out.startswith(b"Usage: weir-get"), "help")
    check(Run("--version").out.startswith(b"weir-get "), "version")


if __name__ == "__main__":
    lib.main()
