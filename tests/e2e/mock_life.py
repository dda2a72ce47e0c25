#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The life of a weir-mock process: options, start-up failures, draining, signals."""
import os
import re
import signal
import socket
import subprocess
import urllib.parse

import lib
from lib import MOCK, Mock, Raw, check, equal, request, test

# A value for each option of --help. None: it takes none.
VALUES = {
    "listen": "127.0.0.1:0", "threads": "2", "cpu": "0", "latency": "100us", "error-rate": "0.5", "seed": "7",
    "max-concurrency": "10", "strict-models": None, "defer-accept": None, "max-conns": "100", "max-body": "64KiB", "journal": "10",
    "drain-timeout": "1s", "wait": "sleep", "ring": "auto", "ring-disable": "send_zc,min_wait", "ring-info": None,
    "help": None, "version": None, "tls-cert": None, "tls-key": None,
}


def certificate():
    """A server's certificate, which names nobody, and its key: the paths."""
    cert, key = (os.path.join(lib.temp_dir(), name) for name in ("cert.pem", "key.pem"))
    subprocess.run([lib.need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=nobody", "-out", cert, "-keyout", key],
                   check=True, capture_output=True, timeout=lib.DEADLINE_S)
    return {"tls-cert": cert, "tls-key": key}


def start(*options):
    """Start-up that is expected to fail or to end by itself: it."""
    return lib.run([MOCK, *options])


# ---- Options --------------------------------------------------------------------------------------------------------

@test
def help_lists_what_works():
    program = start("--help")
    equal((program.process.returncode, program.stderr), (0, ""), "--help")
    listed = re.findall(r"^ +--([a-z-]+)", program.stdout, re.M) + re.findall(r", --([a-z-]+)$", program.stdout, re.M)
    equal(sorted(listed), sorted(VALUES), "options of --help")
    serving = {name: value for name, value in VALUES.items() if name not in ("help", "version", "ring-info")}
    serving.update(certificate())
    for name, value in serving.items():
        if name.startswith("tls-"):
            continue  # one needs the other
        for form in ([f"--{name}", value], [f"--{name}={value}"]) if value is not None else ([f"--{name}"],):
            Mock(*form).stop()
    Mock(*(word for name, value in serving.items() for word in ([f"--{name}", value] if value else [f"--{name}"])))
    equal(start("--help", "--nonsense").process.returncode, 0, "--help comes first")


@test
def ring_info():
    program = start("--ring", "epoll", "--ring-info")
    equal((program.process.returncode, program.stderr), (0, ""), "--ring-info")
    check(re.match(r"ring +epoll\n", program.stdout), program.stdout)
    if not lib.uring_works():
        lib.skip("no io_uring here")
    states = {}
    for options in ([], ["--ring-disable", "ring_fd,send_zc"]):
        program = start("--ring", "uring", *options, "--ring-info")
        equal((program.process.returncode, program.stderr), (0, ""), "--ring-info")
        check(re.match(r"ring +io_uring\n", program.stdout), program.stdout)
        states[len(options)] = dict(re.findall(r"^(\w+) +(yes|no|off)$", program.stdout, re.M))
    for name in ("ring_fd", "send_zc"):
        check(states[0][name] in ("yes", "no"), states)
        equal(states[2][name], "off", name)
    equal(set(states[0]), set(states[2]), "the features listed")


@test
def crash_tells_the_last_completions():
    if lib.SANITIZED:
        lib.skip("the sanitizer has a handler of its own")
    mock = Mock("--threads", "2")
    for _ in range(3):
        mock.ask("GET", "/api/health")
    mock.signal(signal.SIGSEGV)
    equal(mock.wait(), -signal.SIGSEGV, "exit status")
    check("last completions" in mock.stderr and re.search(r"pass \d+ +recv", mock.stderr), mock.stderr)


@test
def version():
    program = start("--version")
    equal(program.process.returncode, 0, "--version")
    check(re.fullmatch(r"weir-mock \d+\.\d+\.\d+\n", program.stdout), program.stdout)


BAD_OPTIONS = [
    (["--nonsense"], ["--nonsense"]),
    (["--nonsense=1"], ["--nonsense"]),
    (["--lat", "5ms"], ["--lat"]),
    (["-l"], ["-l"]),
    (["stray"], ["stray"]),
    (["--latency", "5ms", "stray", "--seed", "1"], ["stray"]),
    (["--latency"], ["--latency", "value"]),
    (["--latency", "5"], ["--latency", "5", "unit"]),
    (["--latency", "5parsecs"], ["--latency", "5parsecs"]),
    (["--latency", "-5ms"], ["--latency", "-5ms"]),
    (["--latency", ""], ["--latency"]),
    (["--latency", "61m"], ["--latency", "1h", "61m"]),
    (["--drain-timeout", "2h"], ["--drain-timeout", "1h"]),
    (["--threads", "0"], ["--threads", "1", "256"]),
    (["--threads", "257"], ["--threads", "256"]),
    (["--threads", "two"], ["--threads", "two"]),
    (["--threads", "1.5"], ["--threads", "1.5"]),
    (["--error-rate", "1.01"], ["--error-rate", "1.01"]),
    (["--error-rate", "-0.1"], ["--error-rate"]),
    (["--error-rate", "nan"], ["--error-rate", "nan"]),
    (["--error-rate", "20%"], ["--error-rate", "20%"]),
    (["--seed", "-1"], ["--seed", "-1"]),
    (["--seed", "18446744073709551616"], ["--seed", "18446744073709551616"]),
    (["--max-concurrency", "1000001"], ["--max-concurrency", "1000000"]),
    (["--max-conns", "0"], ["--max-conns", "1"]),
    (["--max-conns", "2", "--threads", "3"], ["--max-conns", "3"]),
    (["--max-conns", "1000000"], ["--max-conns", "descriptors"]),
    (["--max-body", "0"], ["--max-body"]),
    (["--max-body", "2GiB"], ["--max-body", "1GiB"]),
    (["--max-body", "1Zorkmid"], ["--max-body", "1Zorkmid"]),
    (["--journal", "16777217"], ["--journal", "16777216"]),
    (["--cpu", "0,"], ["--cpu"]),
    (["--cpu", "x"], ["--cpu", "x"]),
    (["--cpu", "1023"], ["1023"]),
    (["--cpu", "0,0", "--threads", "3"], ["--cpu", "3"]),
    (["--strict-models=yes"], ["--strict-models"]),
    (["--listen", "nonsense"], ["nonsense"]),
    (["--listen", "127.0.0.1:65536"], ["65536"]),
    (["--listen", "127.0.0.1:"], ["127.0.0.1:"]),
    (["--listen", "192.0.2.1:0"], ["192.0.2.1"]),
    (["--listen", "unix:/nonexistent/socket"], ["/nonexistent/socket"]),
    (["--listen", "unix:" + "x" * 200], ["unix"]),
    (["--listen", "unix:/tmp/x", "--threads", "2"], ["--threads", "unix"]),
]


@test
def bad_options():
    for options, words in BAD_OPTIONS:
        if options[0] == "--max-conns" and options[1] == "1000000" and lib.raise_nofile() > 1000100:
            continue  # somebody raised the limit that far
        # One that does work by mistake must still end: it finds standard output unwritable or is killed.
        if "--listen" not in options:
            options = ["--listen", "127.0.0.1:0", *options]
        program = lib.Program([MOCK, *options])
        lib.wait_until(lambda: program.process.poll() is not None or program.stdout, f"{options} is refused")
        equal(program.process.poll(), 1, f"exit status of {options}, {program.stdout!r} {program.stderr!r}")
        equal(program.stdout, "", f"standard output of {options}")
        check(re.fullmatch(r"weir-mock: [^\n]+\n", program.stderr), f"{options}: {program.stderr!r}")
        for word in words:
            check(word in program.stderr, f"{options}: no {word!r} in {program.stderr!r}")


@test
def port_in_use():
    mock = Mock()
    for threads in ("1", "2"):
        program = start("--listen", mock.text, "--threads", threads)
        equal(program.process.returncode, 1, f"exit status with {threads} threads")
        check(mock.text in program.stderr and "in use" in program.stderr, program.stderr)
    equal(mock.get_json("/api/health")["status"], "healthy", "the first is not hurt")
    mock.stop()


@test
def addresses():
    for listen, family in (("127.0.0.1:0", socket.AF_INET), (":0", None), ("[::1]:0", socket.AF_INET6)):
        if family == socket.AF_INET6 and not os.path.exists("/proc/net/if_inet6"):
            continue
        mock = Mock(listen=listen)
        host = mock.address[0] if family else "127.0.0.1"
        with Raw((host, mock.address[1])) as raw:
            equal(raw.ask(request("GET", "/api/health")).status, 200, listen)
        mock.stop()


@test
def unix_socket():
    path = os.path.join(lib.temp_dir(), "socket")
    for _ in range(2):  # a socket that was left or removed by the first is no obstacle to the second
        mock = Mock(listen=f"unix:{path}")
        equal(mock.text, f"unix:{path}", "what is listened on")
        check('"healthy"' in lib.curl("--unix-socket", path, "http://anything/api/health"), "the answer")
        run = lib.bench("-n", "20", "-c", "2", f"http+unix://{urllib.parse.quote(path, safe='')}/api/health")
        equal((run["requests"], run["errors"]), (20, 0), "weir-bench over the socket")
        mock.stop()


@test
def options_do_what_they_say():
    mock = Mock("--threads", "3", "--cpu", "0", "--error-rate", "1", "--max-conns", "300")
    threads = [task for task in os.listdir(f"/proc/{mock.pid}/task") if engine_thread(mock.pid, task)]
    equal(len(threads), 3, "engine threads")
    for thread in threads:
        equal(os.sched_getaffinity(int(thread)), {0}, "CPUs of a thread")
    status, _, body = mock.ask("GET", "/api/models")
    equal((status, b"injected_error" in body), (500, True), "--error-rate 1")
    equal(mock.stats()["faults_injected"], 1, "faults_injected")
    mock.stop()


def engine_thread(pid, task):
    with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as comm:
        return re.fullmatch(r"weir-mock-\d+\n", comm.read())


@test
def max_conns_wait_their_turn():
    mock = Mock("--max-conns", "2")
    first, second, third = Raw(mock.address), Raw(mock.address), Raw(mock.address)
    for raw in (first, second):
        equal(raw.ask(request("GET", "/api/health")).status, 200, "within the limit")
    third.send(request("GET", "/api/health"))
    third.socket.settimeout(0.2)
    try:
        third.fill()
        raise AssertionError(f"answered over the limit: {third.buffer!r}")
    except TimeoutError:
        third.socket.settimeout(lib.DEADLINE_S)
    first.close()
    equal(third.response().status, 200, "served when another has left")
    second.close()
    third.close()
    mock.stop()


# ---- The end --------------------------------------------------------------------------------------------------------

def in_flight(mock, count):
    lib.wait_until(lambda: mock.metrics()["mock_inflight_requests"] == count, f"{count} requests in flight")


def stopped_listening(mock):
    lib.wait_until(lambda: lib.refused(mock.address), "no new connections")


@test
def sigterm_drains():
    for threads, number in (("1", signal.SIGTERM), ("2", signal.SIGINT)):
        mock = Mock("--latency", "300ms", "--threads", threads)
        asked = [Raw(mock.address) for _ in range(8)]
        idle = [Raw(mock.address) for _ in range(4)]
        for raw in idle[:2]:
            raw.ask(request("GET", "/api/health"))
        for raw in asked:
            raw.send(request("GET", "/api/models"))
        in_flight(mock, len(asked))
        mock.signal(number)
        for raw in asked:
            answer = raw.response()
            equal((answer.status, answer.fields.get("connection")), (200, "close"), "in flight at SIGTERM")
            equal(raw.rest(), b"", "the end after it")
            check(not raw.reset, "a clean end")
            raw.close()
        for raw in idle:
            equal(raw.rest(), b"", "idle at SIGTERM")
            raw.close()
        equal((mock.wait(), mock.stderr), (0, ""), "exit status and standard error")


@test
def deferred_accept():
    """With --defer-accept a silent connection is the kernel's, until it speaks."""
    mock = Mock("--defer-accept")
    with Raw(mock.address) as silent, Raw(mock.address) as raw:
        equal(raw.ask(request("GET", "/api/health")).status, 200, "of one that speaks")
        equal(mock.stats()["connections"]["active"], 2, "connections: without the silent one")
        equal(silent.ask(request("GET", "/api/health")).status, 200, "of one that spoke late")
        equal(mock.stats()["connections"]["active"], 3, "connections: with it")
    mock.stop()


@test
def draining_refuses_new_connections():
    mock = Mock("--latency", "400ms")
    with Raw(mock.address) as raw:
        raw.send(request("GET", "/api/models"))
        in_flight(mock, 1)
        mock.signal(signal.SIGTERM)
        stopped_listening(mock)
        equal(raw.response().status, 200, "the one in flight")
    equal(mock.wait(), 0, "exit status")


@test
def second_signal_ends_at_once():
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
                          (signal.SIGTERM, signal.SIGINT)):
        mock = Mock("--latency", "1h")
        with Raw(mock.address) as raw:
            raw.send(request("GET", "/api/models"))
            in_flight(mock, 1)
            mock.signal(first)
            stopped_listening(mock)
            mock.signal(second)
            equal(mock.wait(), 128 + second, "exit status after the second signal")


@test
def drain_timeout():
    for timeout in ("0s", "50ms"):
        mock = Mock("--latency", "1h", "--drain-timeout", timeout)
        with Raw(mock.address) as raw:
            raw.send(request("GET", "/api/models"))
            in_flight(mock, 1)
            mock.signal(signal.SIGTERM)
            equal(raw.rest(), b"", "no answer")
            equal((mock.wait(), mock.stderr), (0, ""), f"exit status with --drain-timeout {timeout}")


@test
def stop_with_nothing_to_do():
    for threads in ("1", "4"):
        mock = Mock("--threads", threads)
        mock.stop()


@test
def stdout_gone():
    """A server nobody can hear say where it listens does not start."""
    program = lib.run(["sh", "-c", 'exec "$0" --listen 127.0.0.1:0 >/dev/full', MOCK])
    equal(program.process.returncode, 1, "exit status")
    check("standard output" in program.stderr, program.stderr)


if __name__ == "__main__":
    lib.main()
