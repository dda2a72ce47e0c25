#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-mock when descriptors run out, clients are killed or reset in every phase; it ends as it began."""
import os
import resource
import signal
import sys

import faultlib
import lib
from faultlib import KIB, Mock
from lib import Raw, at_least, at_most, check, equal, request, test

INFER = b'{"model_id":"bitnet-7b","prompt":"hi"}'
LONG = '{"model_id":"bitnet-7b","prompt":"%s"}' % ("x" * 60000)
HEALTH = request("GET", "/api/health")
# Each way to be under way, as far as a client gets.
PHASES = [
    b"",
    b"G",
    HEALTH[:-1],
    request("POST", "/api/infer", INFER)[:-len(INFER)],
    request("POST", "/api/infer", INFER)[:-3],
    request("POST", "/api/infer", headers=["Transfer-Encoding: chunked"]) + b"10\r\n0123",
    request("GET", "/api/models"),
    HEALTH + request("GET", "/api/models") * 5 + HEALTH[:7],
    request("POST", "/api/infer", INFER) * 8,
    HEALTH,
    request("POST", "/api/infer", b'{"model_id":"bitnet-7b","prompt":"hi","max_tokens":50,"stream":true}') * 2,
]


def limit_descriptors(mock, count):
    _, hard = resource.prlimit(mock.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(mock.pid, resource.RLIMIT_NOFILE, (count, hard))


def descriptors_run_out(threads):
    # So near its limit of connections it accepts one at a time, and the kernel looks at the limit of descriptors
    # each time; an accept that goes on by itself keeps the limit it began with.
    mock = Mock("--threads", str(threads), "--max-conns", "1000")
    usual = resource.prlimit(mock.pid, resource.RLIMIT_NOFILE)[0]
    # The kernel gives the lowest free number: with this limit ten more connections can be had.
    highest = max(int(name) for name in os.listdir(f"/proc/{mock.pid}/fd"))
    limit_descriptors(mock, highest + 1 + 10)
    clients = [Raw(mock.address) for _ in range(80)]
    for raw in clients:
        raw.send(HEALTH)
    full = highest + 1 + 10
    lib.wait_until(lambda: mock.descriptors() >= full, "no descriptor is left")
    lib.wait_until(lambda: sum(map(readable, clients)) >= 10, "those that got in are answered")
    share = mock.rests(0.5)
    answered = [raw for raw in clients if readable(raw)]
    at_most(len(answered), 10 + threads, "clients that got in")
    for raw in answered:
        equal(raw.response().status, 200, "the first answer")
        for _ in range(3):
            equal(raw.ask(HEALTH).status, 200, "an answer while others wait")
    limit_descriptors(mock, usual)
    for raw in clients:
        if raw not in answered:
            equal(raw.response().status, 200, "an answer after the wait")
        raw.close()
    print(f"{len(answered)} of {len(clients)} at once, {100 * share:.1f} % of a CPU meanwhile")
    mock.as_before()


def readable(raw):
    return lib.select_readable(raw.socket)


@test
def out_of_descriptors():
    descriptors_run_out(1)


@test
def out_of_descriptors_two_threads():
    descriptors_run_out(2)


# Says `holding` when all its connections are where they are to be; ends by a signal only.
HOLDER = """
import signal, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
phases = eval(sys.argv[4])
held = []
for i in range(count):
    s = socket.create_connection((host, port))
    s.sendall(phases[i % len(phases)])
    held.append(s)
print("holding", flush=True)
signal.pause()
"""


@test
def clients_killed():
    """A process with 100 connections, each in the middle of something else, is gone from one moment to the next."""
    mock = Mock("--latency", "60ms", "--itl", "5ms", "--max-concurrency", "20")
    for turn in range(3):
        total = mock.stats()["connections"]["total"]
        holder = lib.Program([sys.executable, "-c", HOLDER, mock.address[0], str(mock.address[1]), "100",
                              repr(PHASES)])
        lib.wait_until(lambda: holder.stdout == "holding\n" or holder.process.poll() is not None, "it holds them")
        lib.wait_until(lambda: mock.stats()["connections"]["total"] >= total + 100, "they are accepted")
        lib.wait_until(lambda: mock.stats()["queue"]["depth"] > 0, "the queue is in use")
        holder.signal(signal.SIGKILL)
        equal(holder.wait(), -signal.SIGKILL, f"end of the holder: {holder.stderr}")
        equal(mock.ask("GET", "/api/health")[0], 200, f"status after kill {turn}")
        lib.wait_until(mock.settled, "all it had asked for is gone")
    mock.as_before()


def storm(mock, rng, rounds):
    """Clients that go in every phase, by a reset, a half-close or a close; others are answered meanwhile."""
    for _ in range(rounds):
        crowd = []
        for phase in PHASES * 3:
            raw = Raw(mock.address)
            raw.send(phase)
            crowd.append(raw)
        rng.shuffle(crowd)
        for raw in crowd:
            way = rng.randrange(3)
            if way == 0:
                raw.abort()
            elif way == 1:
                raw.shutdown()
                raw.close()
            else:
                raw.close()
        equal(mock.ask("GET", "/api/health")[0], 200, "status in the storm")
        workers = [name for name in mock.names() if name.startswith("iou-wrk")]
        equal(workers, [], "threads of the kernel's")


@test
def resets_in_every_phase():
    for threads in (1, 2):
        rng = lib.seeded(5 + threads)
        mock = Mock("--threads", str(threads), "--latency", "2ms", "--itl", "1ms", "--journal", "1000")
        storm(mock, rng, 40)  # what is used for the first time is used here
        lib.wait_until(mock.settled, "the first part has ended")
        resident = mock.resident_bytes()
        storm(mock, rng, 40)
        lib.wait_until(mock.settled, "the second part has ended")
        if not lib.SANITIZED:
            at_most(mock.resident_bytes() - resident, 1024 * KIB, "bytes that stayed")
        mock.as_before()


@test
def no_worker_of_the_kernel():
    """Heavy traffic of every kind, and the process has exactly the threads that it started."""
    for threads in (1, 2):
        mock = Mock("--threads", str(threads), "--latency", "1ms", "--max-concurrency", "0")
        seen = set()
        for options, path in ((["-c", "64", "-p", "16"], "/api/health"), (["-c", "200"], "/api/models"),
                              (["-c", "32", "-X", "POST", "--body", LONG], "/api/infer")):
            program = lib.Program([lib.BENCH, *faultlib.ring_options(), "--json", "-", "-d", "400ms", *options,
                                   mock.url(path)])
            while program.process.poll() is None:
                seen.update(mock.names())
            run = lib.BenchRun(program)
            equal(program.process.returncode, 0, f"exit status of weir-bench: {run.stderr}")
            equal(run["errors"], 0, f"errors of {path}: {run.kinds()}")
            at_least(run["requests"], 100, "requests")
        check(not any(name.startswith("iou-wrk") for name in seen), f"threads: {sorted(seen)}")
        equal(len(mock.names()), len(mock.before[1]), f"threads: {mock.names()}")
        mock.as_before()


@test
def bodies_beyond_the_buffers():
    """More bodies at once than there are receive buffers: some wait, all are answered."""
    mock = Mock("--max-body", "4MiB")
    run = lib.bench(*faultlib.ring_options(), "-c", "400", "-n", "1200", "-X", "POST", "--body", LONG,
                    mock.url("/api/infer"))
    equal((run["requests"], run["errors"]), (1200, 0), "requests and errors")
    mock.as_before()


if __name__ == "__main__":
    lib.main()
