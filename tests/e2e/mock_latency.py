#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What weir-mock injects: delays that are never short, errors that can be repeated, a queue that is fair."""
import datetime
import math
import time

import lib
from lib import Mock, Raw, at_least, at_most, check, equal, request, test

LOAD = b'{"model_id":"bitnet-7b"}'


def infer(prompt_bytes=2):
    return request("POST", "/api/infer", b'{"model_id":"bitnet-7b","prompt":"%s"}' % (b"x" * prompt_bytes))


MODELS = request("GET", "/api/models")
# What is asked, and how many times the latency it takes.
MULTIPLIERS = [
    ("/api/models", MODELS, 1),
    ("/api/models/load", request("POST", "/api/models/load", LOAD), 10),
    # Not the model that is being loaded meanwhile: that would be a conflict.
    ("/api/models/unload", request("POST", "/api/models/unload", b'{"model_id":"llama-13b"}'), 1),
    ("/api/infer", infer(), 2),
    ("/api/health", request("GET", "/api/health"), 0),
]


def median(values):
    return sorted(values)[len(values) // 2]


# ---- Delays ---------------------------------------------------------------------------------------------------------

def check_delays(latency_us, count, threads):
    mock = Mock("--latency", f"{latency_us}us", "--threads", threads)
    took_us = {path: [] for path, _, _ in MULTIPLIERS}
    for _ in range(count):
        began, open_ = {}, {}
        for path, bytes_, _ in MULTIPLIERS:
            open_[path] = Raw(mock.address)
            began[path] = time.monotonic_ns()
            open_[path].send(bytes_)
        for path, _, _ in sorted(MULTIPLIERS, key=lambda row: row[2]):
            equal(open_[path].response().status, 200, path)
            took_us[path].append((time.monotonic_ns() - began[path]) / 1000)
            open_[path].close()
    entries = mock.journal()
    for path, _, times in MULTIPLIERS:
        asked_us = times * latency_us
        at_least(min(took_us[path]), asked_us, f"us as the client saw it, {path}")
        delivered = [entry["delivered_us"] for entry in entries if entry["endpoint"] == path]
        equal(len(delivered), count, f"entries of {path}")
        equal({entry["asked_us"] for entry in entries if entry["endpoint"] == path}, {asked_us}, path)
        at_least(min(delivered), asked_us, f"us delivered, {path}")
        # No measurement of speed: only that a delay is not something else altogether.
        at_most(median(delivered), asked_us + 50000 * lib.FACTOR, f"median us delivered, {path}")
    schedule = mock.stats()["schedule_error_us"]
    equal(schedule["count"], 4 * count, "delayed answers")
    check(schedule["min"] >= 0, "early answers")
    mock.stop()


@test
def never_early():
    for latency_us, count in ((100, 20), (750, 20), (5000, 10), (20000, 2)):
        for threads in ("1", "2"):
            check_delays(latency_us, count, threads)


@test
def many_at_once_are_not_early():
    """500 requests whose deadlines lie in one moment, pipelined: none takes another's time."""
    mock = Mock("--latency", "20ms", "--max-concurrency", "0")
    connections = [Raw(mock.address) for _ in range(50)]
    for raw in connections:
        raw.send(MODELS * 10)
    for raw in connections:
        equal([raw.response().status for _ in range(10)], [200] * 10, "answers")
        raw.close()
    delivered = [entry["delivered_us"] for entry in mock.journal() if entry["endpoint"] == "/api/models"]
    equal(len(delivered), 500, "entries")
    at_least(min(delivered), 20000, "us delivered")
    mock.stop()


@test
def the_delay_counts_from_the_head():
    mock = Mock("--latency", "25ms")
    bytes_ = infer(40)
    with Raw(mock.address) as raw, Raw(mock.address) as clock:
        raw.send(bytes_[:-10])
        equal(clock.ask(infer()).status, 200, "50 ms later, told by the server itself")
        raw.send(bytes_[-10:])
        equal(raw.response().status, 200, "the body is complete and the time is over")
    entry = [entry for entry in mock.journal() if entry["body_bytes"] == len(bytes_.split(b"\r\n\r\n")[1])][0]
    at_least(entry["delivered_us"], 50000, "us from the head to the answer")
    mock.stop()


@test
def mistakes_are_not_delayed():
    mock = Mock("--latency", "1h", "--drain-timeout", "0s")
    with Raw(mock.address) as raw:
        for bytes_, status in ((request("POST", "/api/infer", b"{"), 400), (request("GET", "/nowhere"), 404),
                               (request("GET", "/api/infer"), 405), (request("GET", "/metrics"), 200),
                               (request("GET", "/admin/stats"), 200), (request("GET", "/api/health"), 200)):
            equal(raw.ask(bytes_).status, status, bytes_)
    mock.stop()


# ---- Errors ---------------------------------------------------------------------------------------------------------

def outcomes(keys, *options, field="X-Mock-Key", connections=8):
    """{key: status}, asked over several connections in the order given."""
    mock = Mock("--error-rate", "0.2", *options)
    found = {}
    pool = [Raw(mock.address) for _ in range(connections)]
    for i, raw in enumerate(pool):
        mine = keys[i::connections]
        raw.send(b"".join(request("GET", "/api/models", headers=[f"{field}: {key}"]) for key in mine))
    for i, raw in enumerate(pool):
        for key in keys[i::connections]:
            answer = raw.response()
            if answer.status == 500:
                equal(sorted(answer.json()["error"]), ["field", "message", "type"], "keys of an injected error")
                equal(answer.json()["error"]["type"], "injected_error", "its type")
            found[key] = answer.status
        raw.close()
    failed = list(found.values()).count(500)
    metrics = mock.metrics()
    equal(metrics['mock_faults_injected_total{rule="error-rate",kind="status"}'], failed, "mock_faults_injected_total")
    equal(lib.answered(metrics).get(("/api/models", "GET", 500), 0), failed, "requests answered 500")
    mock.stop()
    return found


def tail(count, rate, failed):
    """The smaller of P(X <= failed) and P(X >= failed) for a binomial X, summed exactly."""
    def mass(k):
        return math.exp(math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) +
                        k * math.log(rate) + (count - k) * math.log1p(-rate))
    return min(sum(mass(k) for k in range(failed + 1)), sum(mass(k) for k in range(failed, count + 1)))


@test
def errors_repeat_with_their_seed():
    shuffle = lib.seeded(20240607).shuffle
    keys = [f"key-{i}" for i in range(3000)]
    first = outcomes(keys, "--seed", "7")
    failed = list(first.values()).count(500)
    print(f"{failed} of {len(keys)} failed")
    equal(set(first.values()), {200, 500}, "statuses")
    check(tail(len(keys), 0.2, failed) > 1e-6, f"{failed} of {len(keys)} is no share of 0.2")
    shuffle(keys)
    equal(outcomes(keys, "--seed", "7", "--threads", "1"), first, "same seed, other order")
    shuffle(keys)
    equal(outcomes(keys, "--seed", "7", "--threads", "2"), first, "same seed, two threads")
    equal(outcomes(keys, "--seed", "7", field="x-request-id"), first, "the key as X-Request-Id")
    other = outcomes(keys, "--seed", "8")
    both = sum(first[key] == other[key] == 500 for key in keys)
    check(tail(len(keys), 0.04, both) > 1e-6, f"{both} fail with both seeds: they are not independent")


@test
def errors_without_a_key():
    """The order of arrival decides then: on one connection it can be repeated."""
    def series():
        mock = Mock("--error-rate", "0.2", "--seed", "3")
        with Raw(mock.address) as raw:
            raw.send(MODELS * 500)
            first = [raw.response().status for _ in range(500)]
            equal(raw.ask(request("POST", "/admin/reset")).status, 200, "reset")
            raw.send(MODELS * 500)
            equal([raw.response().status for _ in range(500)], first, "the same again after a reset")
        mock.stop()
        return first
    first = series()
    equal(series(), first, "the same again")
    check(tail(500, 0.2, first.count(500)) > 1e-6, f"{first.count(500)} of 500 is no share of 0.2")


@test
def error_rates_at_the_ends():
    for rate, status in (("0", 200), ("1", 500)):
        mock = Mock("--error-rate", rate)
        with Raw(mock.address) as raw:
            for path, bytes_, times in MULTIPLIERS:
                equal(raw.ask(bytes_).status, status if times else 200, f"{path} at {rate}")
            equal(raw.ask(request("POST", "/api/infer", b"{")).status, 400, "a mistake stays the client's")
        mock.stop()


# ---- The limit ------------------------------------------------------------------------------------------------------

def spans_us(entries):
    """When each request had its slot, (from, to, entry). One microsecond is lost at each end to rounding."""
    found = []
    for entry in entries:
        arrived = datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00"))
        at = round(arrived.timestamp() * 1e6)
        found.append((at + entry["queue_us"] + 2, at + entry["delivered_us"] - 2, entry))
    return found


def peak(spans):
    """How many there were at once, at most."""
    edges = sorted([(begin, 1) for begin, _, _ in spans] + [(end, -1) for _, end, _ in spans])
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


@test
def at_most_n_at_once():
    for threads in ("1", "2"):
        mock = Mock("--max-concurrency", "3", "--latency", "10ms", "--threads", threads)
        connections = [Raw(mock.address) for _ in range(15)]
        began = time.monotonic()
        for raw in connections:
            raw.send(MODELS + infer())
        sampled, left = [], list(connections)
        while left:
            state = mock.stats()
            sampled.append((state["concurrency"]["active"], state["queue"]["depth"]))
            equal(mock.get_json("/api/health")["status"], "healthy", "health does not wait")
            raw = left.pop()
            equal([raw.response().status for _ in range(2)], [200, 200], "answers")
        for raw in connections:
            raw.close()
        # 15 of 10 ms and 15 of 20 ms, three at a time: less time than that means more at once.
        at_least(time.monotonic() - began, (15 * 0.01 + 15 * 0.02) / 3, "seconds")
        at_most(max(active for active, _ in sampled), 3, "active at once")
        at_least(max(depth for _, depth in sampled), 1, "waiting at once")
        spans = spans_us([entry for entry in mock.journal() if entry["asked_us"] > 0])
        equal(len(spans), 30, "entries")
        equal(peak(spans), 3, "slots used at once, told by the journal")
        stats = mock.stats()
        equal((stats["concurrency"]["active"], stats["queue"]["depth"]), (0, 0), "afterwards")
        equal(stats["queue"]["wait_us"]["count"], 30, "waits")
        mock.stop()


def queue_depth(mock, depth):
    lib.wait_until(lambda: mock.stats()["queue"]["depth"] == depth, f"{depth} in the queue")


@test
def first_come_first_served():
    for threads in ("1", "2"):
        mock = Mock("--max-concurrency", "1", "--latency", "5ms", "--threads", threads)
        # The first one holds the slot until all others have arrived, however long that takes here.
        holder = Raw(mock.address)
        holder.send(request("POST", "/api/models/load", LOAD) + infer(1) * 40)
        lib.wait_until(lambda: mock.stats()["concurrency"]["active"] == 1, "the slot is taken")
        waiters = []
        for i in range(12):
            raw = Raw(mock.address)
            raw.send(infer(100 + i))  # its length tells it apart in the journal
            waiters.append(raw)
            queue_depth_at_least(mock, raw, i)
        for raw in waiters:
            equal(raw.response().status, 200, "a waiter's answer")
            raw.close()
        spans = [span for span in spans_us(mock.journal()) if span[2]["body_bytes"] >= 136]
        equal(len(spans), 12, "entries of the waiters")
        order = [span[2]["body_bytes"] for span in sorted(spans, key=lambda span: span[0])]
        equal(order, sorted(order), "bodies in the order served")
        holder.close()
        mock.stop()


def queue_depth_at_least(mock, raw, index):
    """Until the server has seen the request of `raw`: it is in flight, or was answered already."""
    def seen():
        stats = mock.stats()
        waited = stats["queue"]["depth"] + stats["queue"]["wait_us"]["count"]
        return waited >= index + 42 or lib.select_readable(raw.socket)
    lib.wait_until(seen, "the request has arrived")


@test
def waiters_that_leave():
    for threads in ("1", "2"):
        mock = Mock("--max-concurrency", "1", "--latency", "1h", "--drain-timeout", "0s", "--threads", threads)
        waiting = []
        for i in range(5):
            waiting.append(Raw(mock.address))
            waiting[i].send(MODELS)
            queue_depth(mock, i)
        waiting.pop(2).abort()  # in the middle
        queue_depth(mock, 3)
        waiting.pop(3).abort()  # the last
        queue_depth(mock, 2)
        equal(mock.stats()["client_disconnects"]["queued"], 2, "disconnects in the queue")
        waiting.pop(0).abort()  # the one that has the slot: it goes to the next
        queue_depth(mock, 1)
        stats = mock.stats()
        equal(stats["concurrency"]["active"], 1, "slots in use")
        equal(stats["client_disconnects"]["delayed"], 1, "disconnects while delayed")
        left = [entry for entry in mock.journal() if entry["endpoint"] == "/api/models"]
        equal([(entry["end"], entry["phase"], entry["status"], entry["fault"]) for entry in left],
              [("disconnect", phase, 0, None) for phase in ("delayed", "queued", "queued")], "journal, by arrival")
        equal(stats["timers_cancelled"], 1, "timers that were cancelled")
        for raw in waiting:
            raw.abort()
        lib.wait_until(lambda: mock.stats()["concurrency"]["active"] == 0, "the slots are free")
        equal(mock.metrics()["mock_inflight_requests"], 0, "in flight")
        mock.stop()


@test
def a_waiter_that_only_stops_sending_is_answered():
    mock = Mock("--max-concurrency", "1", "--latency", "20ms", "--config", lib.config_file({"half_close": True}))
    waiting = [Raw(mock.address) for _ in range(4)]
    for raw in waiting:
        raw.send(MODELS)
        raw.shutdown()
    for raw in waiting:
        equal(raw.response().status, 200, "answer after a half-close")
        equal(raw.rest(), b"", "the end after it")
        raw.close()
    mock.stop()


@test
def a_waiter_that_stops_sending_has_left():
    """That is what it means, unless the configuration knows better: slot and timer are free before any byte is sent."""
    mock = Mock("--max-concurrency", "1", "--latency", "1h", "--drain-timeout", "0s")
    waiting = [Raw(mock.address) for _ in range(4)]
    for i, raw in enumerate(waiting):
        raw.send(MODELS)
        queue_depth(mock, i)
    for left in (3, 2, 1, 0):
        raw = waiting[3 - left]
        raw.shutdown()
        equal(raw.rest(), b"", "no answer")
        raw.close()
        queue_depth(mock, max(left - 1, 0))  # the next has the slot
    lib.wait_until(lambda: mock.stats()["concurrency"]["active"] == 0, "no slot is in use")
    equal(mock.stats()["timers_cancelled"], 4, "timers: each had the slot in its turn")
    equal([(entry["end"], entry["phase"]) for entry in mock.journal() if entry["endpoint"] == "/api/models"],
          [("disconnect", "delayed")] * 4, "journal")
    mock.stop()


if __name__ == "__main__":
    lib.main()
