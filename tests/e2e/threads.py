#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-mock --threads: connections are level over the threads, and none is lost on its way from one to another."""
import contextlib
import signal
import socket
import struct

import lib
from lib import Mock, Raw, at_most, check, equal, request, test, wait_until

HEALTH = request("GET", "/api/health")


def per_thread(raw):
    """What each thread says of its connections, asked on a connection that counts as one itself."""
    return raw.ask(request("GET", "/admin/stats")).json()["by_thread"]


def level(raw, open_count, what):
    """Wait until all connections that are open are counted; they must be even then."""
    threads = []

    def counted():
        threads[:] = [thread["connections"] for thread in per_thread(raw)]
        return sum(threads) == open_count

    wait_until(counted, f"{what}: {open_count} connections")
    at_most(max(threads) - min(threads), 1, f"{what}: the difference of {threads}")
    return threads


def healthy(raw):
    answer = raw.ask(HEALTH)
    equal(answer.status, 200, "GET /api/health")


# ---- Level ----------------------------------------------------------------------------------------------------------

@test
def few_connections_are_even():
    for threads in (2, 4):
        mock = Mock("--threads", str(threads))
        for count in (2, 4, 8, 10):
            raws = [Raw(mock.address) for _ in range(count)]
            got = level(raws[0], count, f"{count} on {threads} threads")
            equal(len(got), threads, "threads told of")
            for raw in raws:
                healthy(raw)
            after = per_thread(raws[0])
            equal([thread["connections"] for thread in after], got, "they stay where they are")
            equal(sum(thread["handed_over"] for thread in after), sum(thread["taken_over"] for thread in after),
                  "each that was handed over has arrived")
            for raw in raws[1:]:
                raw.close()
            wait_until(lambda: sum(thread["connections"] for thread in per_thread(raws[0])) == 1, "the others end")
            raws[0].close()
            with Raw(mock.address) as asking:
                wait_until(lambda: sum(thread["connections"] for thread in per_thread(asking)) == 1, "all have ended")
            wait_until(lambda: mock.stats()["connections"]["active"] == 1, "nobody is left")
        mock.stop()


@test
def one_thread_has_nobody_to_share_with():
    mock = Mock()
    with Raw(mock.address) as raw, Raw(mock.address) as other:
        healthy(other)
        equal(level(raw, 2, "one thread"), [2], "connections")
        equal(per_thread(raw)[0]["handed_over"], 0, "handed_over")
    mock.stop()


@test
def reset_forgets_the_hand_overs():
    mock = Mock("--threads", "2")
    raws = [Raw(mock.address) for _ in range(12)]
    level(raws[0], 12, "before")
    raws[0].ask(request("POST", "/admin/reset"))
    for thread in per_thread(raws[0]):
        equal((thread["connections"], thread["connections_total"], thread["handed_over"], thread["taken_over"]),
              (6, 0, 0, 0), "a thread after the reset")
    for raw in raws:
        raw.close()
    mock.stop()


@test
def coming_and_going():
    """Seeded: connections open, ask, and end or are reset; what is asked is answered, and the next ones make it even."""
    rng = lib.seeded(20)
    for threads in (2, 4):
        mock = Mock("--threads", str(threads))
        asked = 0
        raws = [Raw(mock.address)]
        for _ in range(600):
            what = rng.random()
            if what < 0.45 and len(raws) < 40:
                raws.append(Raw(mock.address))
            elif what < 0.6 and len(raws) > 1:
                raw = raws.pop(rng.randrange(1, len(raws)))
                raw.close() if rng.random() < 0.5 else raw.abort()
            else:
                raw = rng.choice(raws)
                burst = rng.randint(1, 4)
                raw.send(HEALTH * burst)
                for _ in range(burst):
                    equal(raw.response().status, 200, "a request while others come and go")
                asked += burst
        most = []

        def settled():
            most[:] = [thread["connections"] for thread in per_thread(raws[0])]
            return sum(most) == len(raws)

        wait_until(settled, "those that ended are counted")
        while len(raws) < max(most) * threads:
            raws.append(Raw(mock.address))
        level(raws[0], len(raws), f"{threads} threads, filled up from {most}")
        stats = raws[0].ask(request("GET", "/admin/stats")).json()
        equal(stats["endpoints"]["/api/health"]["requests"], asked, "requests answered")
        for raw in raws:
            healthy(raw)
            raw.close()
        mock.stop()


@test
def limit_of_all_is_reached():
    """--max-conns is shared out, and wherever the kernel puts a connection, it is served while one thread has room."""
    for threads, limit in ((2, 2), (2, 10), (4, 8)):
        mock = Mock("--threads", str(threads), "--max-conns", str(limit))
        raws = [Raw(mock.address) for _ in range(limit)]
        for raw in raws:
            raw.send(HEALTH)
        for raw in raws:
            equal(raw.response().status, 200, f"{limit} on {threads} threads")
        equal(level(raws[0], limit, "at the limit"), [limit // threads] * threads, "all are full")
        waiting = [Raw(mock.address) for _ in range(2)]
        for raw in waiting:
            raw.send(HEALTH)
        raws.pop().close()
        raws.pop().close()
        for raw in waiting:
            equal(raw.response().status, 200, "served when others have left")
        for raw in raws + waiting:
            raw.close()
        mock.stop()


# ---- The end --------------------------------------------------------------------------------------------------------

@test
def drain_answers_all():
    for threads in (2, 4):
        mock = Mock("--threads", str(threads), "--latency", "200ms")
        raws = [Raw(mock.address) for _ in range(10)]
        level(raws[0], len(raws), "before the drain")
        for raw in raws:
            raw.send(request("GET", "/api/models"))
        with Raw(mock.address) as asking:
            wait_until(lambda: asking.ask(request("GET", "/admin/stats")).json()["concurrency"]["in_flight"] == len(raws),
                       "all are in flight")
            mock.signal(signal.SIGTERM)
            for raw in raws:
                answer = raw.response()
                equal((answer.status, answer.fields.get("connection")), (200, "close"), "in flight at SIGTERM")
                equal(raw.rest(), b"", "the end after it")
                check(not raw.reset, "a clean end")
                raw.close()
            equal(asking.rest(), b"", "idle at SIGTERM")
        equal((mock.wait(), mock.stderr), (0, ""), "exit status and standard error")


def connect_burst(address, count):
    """Connections that are begun and not waited for: some are in the handshake, some in a backlog, some on their way."""
    burst = []
    for _ in range(count):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(address)
        burst.append(connection)
    return burst


def outcome(connection):
    """The bytes that came until the end, or what ended it; every connection must end."""
    connection.settimeout(lib.DEADLINE_S)
    got = b""
    try:
        while piece := connection.recv(1 << 16):
            got += piece
    except (ConnectionResetError, ConnectionRefusedError, BrokenPipeError, OSError) as why:
        check(not isinstance(why, TimeoutError), f"a connection that never ends, after {got!r}")
    connection.close()
    return got


@test
def sigterm_in_a_burst():
    """Whatever moment the end comes at: each connection is answered or ends, and nothing is left behind."""
    rng = lib.seeded(21)
    answered = 0
    for threads in (2, 4):
        for _ in range(6):
            mock = Mock("--threads", str(threads))
            with Raw(mock.address) as raw:
                healthy(raw)
            burst = connect_burst(mock.address, rng.randint(20, 200))
            silent = []
            for connection in burst:
                try:
                    connection.send(request("GET", "/api/health"))
                except OSError:
                    silent.append(connection)  # not connected yet, or not any more: the end is what matters
            late = rng.choice((0, 50))
            mock.signal(signal.SIGTERM)
            silent += connect_burst(mock.address, late)
            mock.wait()
            for connection in silent:
                # The kernel may forget a handshake whose listener goes away without a word: who says nothing himself
                # never learns of it.
                with contextlib.suppress(OSError):
                    connection.send(b"GET")
            for connection in burst + [connection for connection in silent if connection not in burst]:
                got = outcome(connection)
                check(got == b"" or got.startswith(b"HTTP/1.1 200 "), f"neither an answer nor nothing: {got!r}")
                answered += got != b""
            equal((mock.wait(), mock.stderr), (0, ""), "exit status and standard error")
    check(answered > 0, "a burst of which nothing was answered tests nothing")


@test
def descriptors_come_back():
    mock = Mock("--threads", "4")
    with Raw(mock.address) as raw:
        healthy(raw)
        before = mock.descriptors()
        for _ in range(5):
            burst = connect_burst(mock.address, 100)
            for i, connection in enumerate(burst):
                if i % 3 == 0:  # with a reset
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
        wait_until(lambda: sum(thread["connections"] for thread in per_thread(raw)) == 1, "all have ended")
        wait_until(lambda: mock.descriptors() == before, f"{before} descriptors, as before")
        healthy(raw)
    mock.stop()


if __name__ == "__main__":
    lib.main()
