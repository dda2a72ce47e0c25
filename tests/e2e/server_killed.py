#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""A server that is killed under load: the client says so, goes on, ends, and finds a new one."""
import signal

import lib
from lib import BENCH, Mock, at_least, at_most, bench, check, equal, test

CONNECTIONS = 16
# What can become of a request that was under way. One that could not even connect is refused.
CUT_OFF = {"reset", "truncated", "closed_before_response", "connect_other"}  # the last: between the handshake and the look at it


def load(url, *options):
    return lib.Program([BENCH, "--json", "-", "-c", str(CONNECTIONS), *options, url])


def under_load(mock, path, count):
    lib.wait_until(lambda: mock.stats()["endpoints"].get(path, {}).get("requests", 0) >= count, "load")


def report(program, status=0):
    equal(program.wait(), status, f"exit status of weir-bench: {program.stderr}")
    equal(program.stderr, "", "standard error of weir-bench")
    return lib.BenchRun(program)


def start_at(address):
    """A mock there, or None while the kernel still holds the port for the one that was killed."""
    try:
        return Mock(listen=address)
    except AssertionError as failure:
        check("in use" in str(failure), failure)
        return None


@test
def killed():
    for options, path in ((["-t", "2"], "/api/health"), (["-p", "8"], "/api/health"), ([], "/api/models")):
        mock = Mock("--latency", "2ms")
        program = load(mock.url(path), "-d", "1s", *options)
        under_load(mock, path, 300)
        mock.signal(signal.SIGKILL)
        mock.wait()
        run = report(program)
        kinds = run.kinds()
        check(set(kinds) <= CUT_OFF | {"connect_refused"}, f"kinds of errors: {kinds}")
        at_least(kinds.get("connect_refused", 0), 1, "connections refused")
        # Each request that was in flight is one error, and none was made up.
        cut = sum(kinds.get(kind, 0) for kind in CUT_OFF)
        depth = 8 if "-p" in options else 1
        # The kernel takes a killed process apart piece by piece: some connect once more before its listener is gone.
        check(1 <= cut <= 4 * CONNECTIONS * depth, f"{cut} requests cut off on {CONNECTIONS} connections")
        equal(run["errors"], sum(kinds.values()), "errors")
        equal(run["requests"], run["errors"] + run["status"]["200"], "requests")
        at_least(run["status"]["200"], 300, "answers")


@test
def restarted_elsewhere():
    mock = Mock()
    program = load(mock.url("/api/health"), "-d", "300ms")
    under_load(mock, "/api/health", 100)
    mock.signal(signal.SIGKILL)
    mock.wait()
    again = Mock()
    run = bench("-n", "500", "-c", "4", again.url("/api/health"))
    equal((run["requests"], run["errors"]), (500, 0), "the new one")
    report(program)
    again.stop()


@test
def restarted_in_place():
    """The same port again: the client that is still running comes back by itself."""
    mock = Mock()
    program = load(mock.url("/api/health"), "-d", "2500ms")
    under_load(mock, "/api/health", 300)
    mock.signal(signal.SIGKILL)
    mock.wait()
    again = lib.wait_until(lambda: start_at(mock.text), "the port can be used again")
    under_load(again, "/api/health", 300)
    run = report(program)
    at_least(run["status"]["200"], 600, "answers of both lives")
    check(set(run.kinds()) <= CUT_OFF | {"connect_refused"}, f"kinds of errors: {run.kinds()}")
    at_most(sum(run.kinds().get(kind, 0) for kind in CUT_OFF), 4 * CONNECTIONS, "requests cut off")
    again.stop()


@test
def drained_under_load():
    """The gentle way, for comparison: what was accepted is answered, so no request is cut off half-way."""
    mock = Mock("--latency", "2ms")
    program = load(mock.url("/api/models"), "-d", "700ms")
    under_load(mock, "/api/models", 300)
    mock.stop()
    run = report(program)
    kinds = run.kinds()
    equal(kinds.get("truncated", 0), 0, f"answers cut off, of {kinds}")
    at_least(run["status"]["200"], 300, "answers")


@test
def client_killed():
    """The other side: the server forgets a client that was killed, and all it had asked for."""
    mock = Mock("--latency", "5ms")
    before = mock.descriptors()
    for _ in range(3):
        program = load(mock.url("/api/models"), "-d", "1h", "-p", "4")
        under_load(mock, "/api/models", 100)
        program.signal(signal.SIGKILL)
        program.wait()
        lib.wait_until(lambda: mock.stats()["connections"]["active"] == 1, "its connections are gone")
        lib.wait_until(lambda: mock.metrics()["mock_inflight_requests"] == 0, "its requests are gone")
        equal(mock.stats()["concurrency"]["active"], 0, "slots in use")
        lib.wait_until(lambda: mock.descriptors() <= before, "its descriptors are closed")
        mock.reset()
    mock.stop()


if __name__ == "__main__":
    lib.main()
