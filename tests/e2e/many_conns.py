#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""10,000 connections, and more connections than there are descriptors."""
import os
import select
import subprocess
import time

import lib
from lib import BENCH, Mock, Raw, Server, at_least, at_most, bench, equal, request, test

KIB = 1024


def connections():
    """10,000, or what this process is allowed. Both ends have a descriptor, in processes of their own."""
    return min(10000, lib.raise_nofile() - 200)


def rest(mock):
    """Until the mock is as it was: nothing open but the connection that asks."""
    lib.wait_until(lambda: mock.stats()["connections"]["active"] == 1, "all connections are closed")


@test
def ten_thousand_idle():
    count = connections()
    mock = Mock("--max-conns", str(count + 16))
    descriptors, threads = mock.descriptors(), mock.threads()
    mock.metrics()  # what is used for the first time here is no connection's memory
    peaks = []
    for _ in range(2):
        resident = mock.resident_bytes()
        hold = lib.Program([os.path.join(lib.BUILD, "floor-hold"), "--connect", mock.text, "-c", str(count),
                            "--request-path", "/api/health"], stdin=subprocess.PIPE)
        lib.wait_until(lambda: hold.stdout or hold.process.poll() is not None, "all are answered", 3 * lib.DEADLINE_S)
        equal((hold.stdout, hold.stderr), (f"holding {count}\n", ""), "floor-hold")
        equal(mock.stats()["connections"]["active"], count + 1, "open connections")
        at_least(mock.descriptors(), descriptors + count, "descriptors while they are open")
        equal(mock.threads(), threads, "threads")
        peaks.append(mock.resident_bytes())
        # An idle connection holds no buffer. The bound is four times what is published.
        if not lib.SANITIZED:
            at_most(peaks[-1] - resident, count * 4 * KIB, "bytes for idle connections")
        hold.process.stdin.close()
        equal(hold.wait(), 0, "exit status of floor-hold")
        rest(mock)
        lib.wait_until(lambda: mock.descriptors() <= descriptors, "all descriptors are closed")
    if not lib.SANITIZED:
        # How many answers are on their way at once is chance; 200 bytes lost with each connection would be too much.
        at_most(peaks[1], peaks[0] + 2048 * KIB, "bytes the second time")
    print(f"{count} connections")
    mock.stop()


@test
def ten_thousand_busy():
    count = connections()
    mock = Mock("--max-conns", str(count + 16), "--latency", "50ms", "--max-concurrency", "0")
    descriptors = mock.descriptors()
    run = bench("-c", str(count), "-n", str(2 * count), "--timeout", "60s", mock.url("/api/models"))
    equal((run["requests"], run["errors"]), (2 * count, 0), "requests and errors")
    equal(mock.stats()["endpoints"]["/api/models"]["by_status"], {"200": 2 * count}, "the mock's count")
    # How many of them were open at once is the machine's to say: those that are answered early go on meanwhile.
    print(f"{mock.stats()['connections']['total']} connections")
    rest(mock)
    lib.wait_until(lambda: mock.descriptors() <= descriptors, "all descriptors are closed")
    mock.stop()


@test
def churn():
    """Connections that are opened for one request each leave nothing behind."""
    mock = Mock()
    descriptors = mock.descriptors()
    for i in range(3000):
        with Raw(mock.address) as raw:
            raw.send(request("GET", "/api/health", headers=["Connection: close"]))
            equal(raw.response().status, 200, f"request {i}")
    rest(mock)
    equal(mock.stats()["endpoints"]["/api/health"]["requests"], 3000, "requests")
    lib.wait_until(lambda: mock.descriptors() <= descriptors, "all descriptors are closed")
    mock.stop()


def more_clients_than_room(server, descriptors_max):
    """64 and more clients, each with a request; those that get in are answered, and it rests meanwhile."""
    idle = server.descriptors()
    clients = [Raw(server.address) for _ in range(100)]
    for raw in clients:
        raw.send(request("GET", "/api/health"))
    # Answers come until the descriptors are used up: then the answers end, not the server.
    answered = set()

    def served():
        ready, _, _ = select.select([raw.socket for raw in clients if raw not in answered], [], [], 0)
        for raw in clients:
            if raw.socket in ready:
                raw.response()
                answered.add(raw)
        return server.descriptors() >= descriptors_max or len(answered) >= descriptors_max - idle
    lib.wait_until(served, "no descriptor is left")
    began, cpu_s = time.monotonic(), server.cpu_s()
    select.select([], [], [], 1)  # the second that is measured
    used, took = server.cpu_s() - cpu_s, time.monotonic() - began
    served()
    equal(server.process.poll(), None, "the server lives")
    at_most(used, 0.2 * took * lib.FACTOR, f"seconds of CPU time in {took:.1f} s without anything to do")
    at_most(len(answered), 99, "clients answered")
    at_least(len(answered), 1, "clients answered")
    print(f"{len(answered)} of {len(clients)} clients at once, {used:.2f} s of CPU time in a second")
    # One by one they leave, and the others get their turn.
    waiting = [raw for raw in clients if raw not in answered]
    for raw in answered:
        raw.close()
    while waiting:
        ready, _, _ = select.select([raw.socket for raw in waiting], [], [], lib.DEADLINE_S)
        if not ready:
            raise AssertionError(f"{len(waiting)} clients are never served")
        for raw in [raw for raw in waiting if raw.socket in ready]:
            equal(raw.response().status, 200, "an answer after the wait")
            raw.close()
            waiting.remove(raw)
    with Raw(server.address) as raw:
        equal(raw.ask(request("GET", "/api/health")).status, 200, "as if nothing had been")
    lib.wait_until(lambda: server.descriptors() <= idle, "all descriptors are closed")


@test
def mock_at_its_limit():
    """weir-mock refuses to start with a limit it cannot keep; with one that it can, the others wait."""
    refused = lib.run([lib.MOCK, "--listen", "127.0.0.1:0"], nofile=(64, 64))
    equal(refused.process.returncode, 1, "exit status when the descriptors do not suffice")
    lib.check("--max-conns" in refused.stderr and "64" in refused.stderr, refused.stderr)
    mock = Mock("--max-conns", "20", nofile=(64, 64))
    more_clients_than_room(mock, mock.descriptors() + 20)
    mock.stop()


@test
def out_of_descriptors():
    """A server that does not count them runs out: EMFILE at accept(2), with connections waiting to be accepted."""
    hello = Server([os.path.join(lib.BUILD, "examples", "hello"), "127.0.0.1:0"], nofile=(64, 64))
    more_clients_than_room(hello, 64)
    hello.process.kill()


@test
def client_out_of_descriptors():
    mock = Mock()
    program = lib.run([BENCH, "-c", "100", "-n", "100", mock.url("/api/health")], nofile=(64, 64))
    equal(program.process.returncode, 1, "exit status")
    lib.check("--connections" in program.stderr and "64" in program.stderr, program.stderr)
    mock.stop()


if __name__ == "__main__":
    lib.main()
