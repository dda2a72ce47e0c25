#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
"""The examples of the client do what they say, against weir-mock and servers that answer to order."""
import os
import re
import subprocess

import lib
from lib import Mock, at_most, check, equal, test
from scripted import RESET, Scripted, ok


def example(name, *words, status=0):
    program = lib.run([os.path.join(lib.BUILD, "examples", name), *words])
    equal(program.process.returncode, status, f"examples/{name} {' '.join(words)}: {program.stderr}")
    return program


@test
def get():
    mock = Mock()
    run = example("get", mock.url("/api/health"))
    check("status" in run.stdout, run.stdout)
    check(re.match(r"200, application/json\S*, \d+ bytes, \d+ us\n", run.stderr), run.stderr)
    run = example("get", mock.url("/nowhere"), status=1)
    check(run.stderr.startswith("404, "), run.stderr)
    mock.stop()
    run = example("get", "ftp://x", status=1)
    check("WEIR_E_URL" in run.stderr, run.stderr)
    busy = ok(b"busy", b"Retry-After: 0", status=b"503 Busy")
    with Scripted({"/": [busy, ok(b"at last")], "/reset": (RESET,)}) as server:
        equal(example("get", server.url()).stdout, "at last", "asked again")
        check("get: http://" in example("get", server.url("/reset"), status=1).stderr, "why")


@test
def pool():
    mock = Mock()
    run = example("pool", mock.url("/api/health"), "2000", "50")
    match = re.fullmatch(r"2000 good, 0 bad, (\d+) on (\d+) connections again\n", run.stdout)
    check(match, run.stdout)
    at_most(int(match[2]), 50, "connections")
    lib.at_least(int(match[1]) + int(match[2]), 2000, "all others were used again")
    equal(mock.stats()["endpoints"]["/api/health"]["requests"], 2000, "requests at the mock")
    run = example("pool", mock.url("/nowhere"), "3", "2", status=1)
    check(run.stdout.startswith("0 good, 3 bad, "), run.stdout)
    check("expected" in example("pool", mock.url("/"), "0", status=2).stderr, "a bad number")
    mock.stop()


@test
def sse():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    with Scripted({"/events": (head, b"data: one\n\nevent: token\nda", b"ta: two\n\n", None), "/text": ok(b"no events\n"),
                   "/gone": ok(b"", status=b"410 Gone")}) as server:
        run = example("sse", server.url().rstrip("/"), "/events")
        lines = [line.split("ms  ")[1] for line in run.stdout.splitlines()]
        equal(lines, ["message: one", "token: two"], "events")
        equal(example("sse", server.url().rstrip("/"), "/text").stdout, "no events\n", "another kind")
        example("sse", server.url().rstrip("/"), "/events", '{"prompt":"x"}')
        head, body = server.requests[-1]
        check(head.startswith(b"POST /events ") and body == b'{"prompt":"x"}', server.requests[-1])
        check("410" in example("sse", server.url().rstrip("/"), "/gone", status=1).stderr, "status")
    example("sse", status=2)


@test
def batch():
    mock = Mock()
    run = example("batch", f"http://{mock.text}", "1000")
    match = re.search(r"^1000 good, 0 bad, in (\d+) batches, ([0-9.]+) in each$", run.stdout, re.M)
    check(match, run.stdout)
    at_most(int(match[1]), 500, "batches")
    check(re.match(r"the last answer: \{.*\}\n", run.stdout), run.stdout)
    mock.stop()


@test
def tls():
    openssl = lib.need("openssl")
    directory = lib.temp_dir()
    certificate, key = (os.path.join(directory, name) for name in ("cert.pem", "key.pem"))
    subprocess.run([openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=nobody", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True, timeout=lib.DEADLINE_S)
    mock = Mock("--tls-cert", certificate, "--tls-key", key)
    url = f"https://127.0.0.1:{mock.address[1]}/api/health"
    run = example("tls", certificate, url)
    equal(len(re.findall(r"^200, \d+ bytes, handshake [1-9]\d* us$", run.stdout, re.M)), 2, run.stdout)
    check(run.stdout.endswith("2 handshakes, 1 of them resumed\n"), run.stdout)
    check("WEIR_E_CERTIFICATE" in example("tls", certificate, url.replace("127.0.0.1", "localhost"), status=1).stderr,
          "a name that is not in the certificate")
    check("key.pem" in example("tls", key, url, status=1).stderr, "a file without a certificate")
    example("tls", status=2)
    mock.stop()


if __name__ == "__main__":
    lib.main()
