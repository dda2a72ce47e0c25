#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An engine in a libuv loop, examples/libuv.c: both live, neither keeps the other up, idle costs nothing."""
import os
import select
import signal
import time

import lib
from lib import Raw, Server, at_least, at_most, check, equal, request, test, wait_until

PROGRAM = os.path.join(lib.BUILD, "examples", "libuv")
# The example takes the rings by name; "oldest", a set of features, is not one.
RING = lib.RING if lib.RING in ("uring", "epoll") else "auto"
TICKS_PER_S = 10
CONNS = 500
HELLO, TICKS = request("GET", "/"), request("GET", "/ticks")


def start(*words):
    if not os.access(PROGRAM, os.X_OK):
        lib.skip("examples/libuv was not built: libuv1-dev is not installed")
    return Server([PROGRAM, "127.0.0.1:0", RING, *words])


def ticks(connection):
    return int(connection.ask(TICKS).body)


def cpu_ns(program):
    """CPU time of all its threads, the ring's helpers too, finer than the ticks of stat."""
    total = 0
    for task in os.listdir(f"/proc/{program.pid}/task"):
        try:
            with open(f"/proc/{program.pid}/task/{task}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[0])
        except FileNotFoundError:
            continue  # a helper that has ended since
    return total


def wakeups(program):
    with open(f"/proc/{program.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))


@test
def answers():
    server = start()
    with Raw(server.address) as connection:
        for _ in range(100):
            answer = connection.ask(HELLO)
            equal((answer.status, answer.body), (200, b"hello\n"), "GET /")
        before = ticks(connection)
        wait_until(lambda: ticks(connection) >= before + 5, "the loop's own timer")
    server.stop()


@test
def pipelined():
    server = start()
    with Raw(server.address) as connection:
        # More than the server takes of one connection at a time; each third asks for something else.
        kinds = [TICKS if i % 3 == 0 else HELLO for i in range(900)]
        connection.send(b"".join(kinds))
        last = 0
        for kind in kinds:
            body = connection.response().body
            if kind is HELLO:
                equal(body, b"hello\n", "GET / in a pipeline")
            else:
                at_least(int(body), last, "ticks only grow")
                last = int(body)
        # Byte by byte: many readable moments, few answers.
        equal(connection.ask(*(bytes([byte]) for byte in HELLO)).body, b"hello\n", "in single bytes")
    server.stop()


@test
def many_connections():
    lib.raise_nofile()
    server = start()
    before = server.descriptors()
    for how in (Raw.close, Raw.abort):
        connections = [Raw(server.address) for _ in range(CONNS)]
        for _ in range(3):
            for connection in connections:
                connection.send(HELLO, TICKS)
            for connection in connections:
                equal(connection.response().body, b"hello\n", "GET /")
                connection.response()
        equal(server.descriptors(), before + CONNS, "descriptors while all are connected")
        for connection in connections:
            how(connection)
        wait_until(lambda: server.descriptors() == before, "every connection's descriptor is closed")
    with Raw(server.address) as connection:
        equal(connection.ask(HELLO).body, b"hello\n", "afterwards")
    server.stop()


@test
def timer_under_load():
    server = start()
    with Raw(server.address) as connection:
        first, began = ticks(connection), time.monotonic()
        run = lib.bench("-c", "64", "-p", "8", "-d", "1500ms", server.url("/"))
        counted, took = ticks(connection) - first, time.monotonic() - began
    equal(run["errors"], 0, "errors")
    at_least(run["requests"], 1000, "answers")
    # Half of them leaves room for a machine that has other things to do.
    at_least(counted, took * TICKS_PER_S / 2, f"ticks of the loop's timer in {took:.1f} s of load")
    at_most(counted, took * TICKS_PER_S + 2, f"ticks of the loop's timer in {took:.1f} s")
    server.stop()


@test
def idle():
    server = start()
    with Raw(server.address) as connection:
        # It spins for a moment after work, and is done with that by now.
        before = ticks(connection)
        wait_until(lambda: ticks(connection) > before, "a tick")
        cpu, woken, began = cpu_ns(server), wakeups(server), time.monotonic()
        # Nothing comes unasked: the wait ends by its deadline.
        equal(select.select([connection.socket], [], [], 3)[0], [], "unasked")
        took = time.monotonic() - began
        used, woken = (cpu_ns(server) - cpu) / 1e9, wakeups(server) - woken
        equal(connection.ask(HELLO).body, b"hello\n", "afterwards")
    print(f"idle: {100 * used / took:.3f} % of a CPU, {woken / took:.1f} wake-ups/s for {TICKS_PER_S} ticks/s")
    at_most(used, 0.01 * took * lib.FACTOR, f"seconds of CPU time in {took:.1f} s without anything to do")
    at_most(woken, 2 * TICKS_PER_S * took + 10, f"wake-ups in {took:.1f} s")
    server.stop()


@test
def terminated():
    server = start()
    server.stop()  # nobody ever asked
    server = start()
    idle_ones = [Raw(server.address) for _ in range(20)]
    for connection in idle_ones:
        equal(connection.ask(HELLO).body, b"hello\n", "GET /")
    # Inside a head: begun, but not a request yet.
    begun = Raw(server.address)
    begun.send(HELLO[:-2])
    equal(idle_ones[0].ask(HELLO).body, b"hello\n", "after the half head")
    server.signal(signal.SIGTERM)
    for connection in idle_ones:
        equal(connection.rest(), b"", "an idle connection is closed")
        connection.close()
    begun.send(HELLO[-2:])
    rest = begun.rest()
    check(rest == b"" or rest.endswith(b"hello\n"), f"the request that was begun: {rest!r}")
    begun.close()
    equal(server.wait(), 0, f"exit status, stderr: {server.stderr}")
    equal(server.stderr, "", "standard error")
    check(lib.refused(server.address), "the port is closed")


@test
def terminated_under_load():
    server = start()
    load = lib.Program([lib.BENCH, "-c", "16", "-d", "30s", "--json", "-", server.url("/")])
    wait_until(lambda: server.descriptors() > 20, "the connections of the load")
    server.stop()
    load.process.kill()
    load.wait()


@test
def twice_terminated():
    """The second SIGTERM does not wait for whoever keeps the drain waiting."""
    server = start()
    with Raw(server.address) as begun, Raw(server.address) as idle_one:
        begun.send(request("POST", "/", headers=("Content-Length: 10",))[:-1])
        equal(idle_one.ask(HELLO).body, b"hello\n", "after the half head")
        server.signal(signal.SIGTERM)
        equal(idle_one.rest(), b"", "the drain has begun")
        if server.process.poll() is None:
            server.signal(signal.SIGTERM)
        check(server.wait() in (0, -signal.SIGTERM), f"exit status {server.process.returncode}")


@test
def refused_words():
    server = start()
    for words, text in ((["nonsense", RING], "no address to listen on"),
                        (["127.0.0.1:0", "select"], "expected auto, uring or epoll"),
                        ([server.text, RING], "in use")):
        bad = lib.run([PROGRAM, *words])
        equal(bad.process.returncode, 1, f"exit status for {words}")
        check(text in bad.stderr, bad.stderr)
    server.stop()


if __name__ == "__main__":
    lib.main()
