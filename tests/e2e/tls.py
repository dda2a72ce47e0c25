#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""weir-mock with --tls-cert and --tls-key against curl, OpenSSL's own client and Python's: what goes over TLS, what is
refused, how sessions are resumed and connections end. The certificates are made here."""
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess

import lib
from lib import DEADLINE_S, Mock, at_most, check, curl, equal, test, wait_until

DIRECTORY = lib.temp_dir()
CERT, KEY, OTHER_KEY = (os.path.join(DIRECTORY, name) for name in ("cert.pem", "key.pem", "other.pem"))


def openssl(*arguments, stdin=b"", status=0):
    done = subprocess.run([lib.need("openssl"), *arguments], input=stdin, capture_output=True, check=False,
                          timeout=DEADLINE_S)
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    if status is not None:
        equal(done.returncode, status, f"openssl {' '.join(arguments)}: {text}")
    return text


def make_certificates():
    if os.path.exists(CERT):
        return
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", KEY, "-out",
            CERT, "-days", "2", "-subj", "/CN=weir", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", OTHER_KEY)


def tls_mock(*options, **how):
    make_certificates()
    return Mock("--tls-cert", CERT, "--tls-key", KEY, *options, **how)


def connect(mock, version=None, session=None, context=None):
    context = context or ssl.create_default_context(cafile=CERT)
    if version:
        context.maximum_version = version
    raw = socket.create_connection(mock.address, timeout=DEADLINE_S)
    return context.wrap_socket(raw, server_hostname="localhost", session=session)


def request(connection, target="/api/health", fields=""):
    """One answer with a Content-Length: status, body."""
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, body = got.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"\r\nContent-Length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


def stats(mock):
    with connect(mock) as connection:
        return json.loads(request(connection, "/admin/stats")[1])


@test
def curl_gets_answers():
    mock = tls_mock()
    url = f"https://{mock.text}"
    check("healthy" in curl("--cacert", CERT, f"{url}/api/health"), "health")
    both = curl("--cacert", CERT, "-w", "%{num_connects} ", f"{url}/api/health", f"{url}/api/models")
    check(both.rstrip().endswith("0"), f"the second request takes the same connection: {both!r}")
    curl(f"{url}/api/health", status=60)  # nobody vouches for it
    curl("--cacert", CERT, "--connect-to", f"::{mock.text}", "https://other.test/api/health", status=60)
    for version in ("1.2", "1.3"):
        curl("--cacert", CERT, f"--tlsv{version}", "--tls-max", version, f"{url}/api/health")
    body = "x" * 500000
    path = os.path.join(DIRECTORY, "body")
    with open(path, "w", encoding="ascii") as out:
        out.write(body)
    answer = curl("--cacert", CERT, "-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "--data-binary", f"@{path}",
                  "-H", "Content-Type: application/json", f"{url}/api/infer")
    equal(answer, "400 500000", "a large body that is no JSON")
    mock.stop()


@test
def weir_bench_speaks_it():
    mock = tls_mock()
    url = f"https://{mock.text}/api/health"
    for trust in (["--cacert", CERT], ["--insecure"]):
        run = lib.run([lib.BENCH, "-c", "4", "-n", "200", *trust, "--json", "-", url])
        equal(run.process.returncode, 0, run.stderr)
        result = json.loads(run.stdout)
        equal((result["requests"], result["errors"]), (200, 0), "answers over TLS")
    run = lib.run([lib.BENCH, "-c", "1", "-n", "3", "--json", "-", url])
    equal(run.process.returncode, 2, "nobody vouches for it")
    check("WEIR_E_CERTIFICATE" in run.stdout, run.stdout)
    mock.stop()


@test
def threads_share_sessions():
    mock = tls_mock("--threads", "2")
    context = ssl.create_default_context(cafile=CERT)
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        session = None
        for round_ in range(12):
            with connect(mock, version, session, context) as connection:
                equal(request(connection)[0], 200, "status")
                equal(connection.session_reused, round_ > 0, f"{version.name}: resumed in round {round_}")
                session = connection.session
    mock.stop()


@test
def openssl_client_reconnects():
    mock = tls_mock()
    shown = openssl("s_client", "-connect", mock.text, "-tls1_2", "-reconnect", "-CAfile", CERT)
    equal(len(re.findall(r"^New, TLSv1.2", shown, re.M)), 1, f"full handshakes: {shown}")
    equal(len(re.findall(r"^Reused, TLSv1.2", shown, re.M)), 5, f"resumed: {shown}")
    mock.stop()


@test
def what_is_refused():
    mock = tls_mock()
    for arguments, why in (
            (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "protocol version"),
            (["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], "handshake failure"),
            (["-alpn", "h2"], "no application protocol")):
        shown = openssl("s_client", "-connect", mock.text, *arguments, status=1)
        check(why in shown, f"{arguments}: {shown}")
    shown = openssl("s_client", "-connect", mock.text, "-alpn", "h2,http/1.1", "-CAfile", CERT)
    check("ALPN protocol: http/1.1" in shown, shown)
    check("Verify return code: 0 (ok)" in shown, shown)
    # A client that wants to negotiate anew.
    shown = openssl("s_client", "-connect", mock.text, "-tls1_2", "-CAfile", CERT, stdin=b"R\n", status=None)
    check("no renegotiation" in shown, shown)
    equal(curl("--cacert", CERT, f"https://{mock.text}/api/health")[:1], "{", "it still answers")
    mock.stop()


@test
def plain_http_to_the_port():
    mock = tls_mock()
    with socket.create_connection(mock.address, timeout=DEADLINE_S) as plain:
        plain.sendall(b"GET /api/health HTTP/1.1\r\nHost: h\r\n\r\n")
        equal(plain.recv(100), bytes((21, 3, 1, 0, 2, 2, 10)), "an alert: unexpected_message")
        equal(plain.recv(100), b"", "and the end")
    for garbage in (b"\0" * 1000, bytes(range(256)) * 40, b"\x16\x03\x01\x40\x00" + b"\x01" * 16384):
        with socket.create_connection(mock.address, timeout=DEADLINE_S) as raw:
            try:
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                at_most(len(raw.recv(100)), 7, "an alert at most")
            except OSError:
                pass  # it was reset, with what the server had not read
    with connect(mock) as connection:
        equal(request(connection)[0], 200, "status")
    mock.stop()


@test
def ends_are_announced():
    mock = tls_mock()
    with connect(mock) as connection:
        equal(request(connection, fields="Connection: close\r\n")[0], 200, "status")
        # suppress_ragged_eofs is off: an end without close_notify would raise.
        connection.suppress_ragged_eofs = False
        equal(connection.recv(10), b"", "the end")
    # A client that goes without a word, in the middle of a body, is no disturbance.
    for linger in (None, struct.pack("ii", 1, 0)):
        connection = connect(mock)
        connection.sendall(b"POST /api/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
        if linger:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    wait_until(lambda: stats(mock)["connections"]["active"] == 1, "they are gone, but for the one that asks")
    mock.stop()


@test
def drains_in_order():
    mock = tls_mock("--latency", "150ms", "--threads", "2")
    idle, busy = connect(mock), connect(mock)
    shaking = socket.create_connection(mock.address, timeout=DEADLINE_S)
    shaking.sendall(b"\x16\x03\x01")
    equal(request(idle)[0], 200, "status")
    busy.sendall(b"GET /api/models HTTP/1.1\r\nHost: h\r\n\r\n")
    wait_until(lambda: stats(mock)["concurrency"]["in_flight"] == 1, "the request is in")
    mock.signal(signal.SIGTERM)
    for connection in (idle, busy):
        connection.suppress_ragged_eofs = False
    got = b""
    while True:
        piece = busy.recv(65536)
        if not piece:
            break
        got += piece
    check(got.startswith(b"HTTP/1.1 200 OK\r\n"), f"what was in progress is answered: {got!r}")
    check(b"\r\nConnection: close\r\n" in got, f"as the last: {got!r}")
    equal(idle.recv(10), b"", "idle connections end, and say so")
    equal(shaking.recv(10), b"", "handshakes end")
    for connection in (busy, idle, shaking):
        connection.close()
    equal(mock.wait(), 0, "exit status")
    equal(mock.stderr, "", "standard error")


@test
def mistakes_are_named():
    make_certificates()
    nowhere = os.path.join(DIRECTORY, "nowhere.pem")
    for options, words in (
            (["--tls-cert", CERT], ["--tls-cert", "--tls-key"]),
            (["--tls-key", KEY], ["--tls-key", "--tls-cert"]),
            (["--tls-cert", nowhere, "--tls-key", KEY], [nowhere, "No such file"]),
            (["--tls-cert", CERT, "--tls-key", nowhere], [nowhere, "No such file"]),
            (["--tls-cert", KEY, "--tls-key", KEY], [KEY, "PEM"]),
            (["--tls-cert", CERT, "--tls-key", CERT], [CERT, "PEM"]),
            (["--tls-cert", CERT, "--tls-key", OTHER_KEY], [OTHER_KEY, CERT, "not the key"])):
        program = lib.run([lib.MOCK, "--listen", "127.0.0.1:0", *options])
        equal(program.process.returncode, 1, f"{options}: exit status")
        for word in words:
            check(word in program.stderr, f"{options}: {word!r} in {program.stderr!r}")
        equal(program.stderr.count("\n"), 1, f"{options}: {program.stderr!r}")


@test
def secrets_are_logged():
    path = os.path.join(DIRECTORY, "keys")
    mock = tls_mock(env={"SSLKEYLOGFILE": path})
    with connect(mock) as connection:
        equal(request(connection)[0], 200, "status")
    mock.stop()
    with open(path, encoding="ascii") as log:
        lines = log.read().splitlines()
    check(all(re.fullmatch(r"[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]+", line) for line in lines), f"lines: {lines}")
    check(any(line.startswith("SERVER_TRAFFIC_SECRET_0 ") for line in lines), f"lines: {lines}")


if __name__ == "__main__":
    lib.main()
