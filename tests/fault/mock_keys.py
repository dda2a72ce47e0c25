#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""Who is struck: by key the same requests whatever the threads and the order; by count, by time, by what is asked."""
import json
import math
import re
import socket
import time

from rulelib import Mock, infer_body

import lib  # rulelib has found it
from lib import Raw, at_least, at_most, check, equal, request, test

KEYS = 10000
CONNECTIONS = 8
BATCH = 100  # requests of one connection that are under way at once
THREADS = ("1", "4")
STRUCK = 503
MS = 1000  # microseconds
HEAD = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)+)\r\n")
DELAY = re.compile(rb"X-Mock-Delay-Us: ([0-9]+)\r\n")


class Fate:
    def __init__(self, match):
        self.status = int(match[1])
        self.delay_us = int(DELAY.search(match[2])[1])


class Pipe:
    """A connection on which many requests are sent at once. Of the answers only the heads are looked at."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=lib.DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.keys, self.buffer = [], b""

    def send(self, keys, make):
        self.keys = keys
        self.socket.sendall(b"".join(make(key) for key in keys))

    def receive(self):
        """The fates of what was sent, in its order."""
        found = []
        while len(found) < len(self.keys):
            piece = self.socket.recv(1 << 18)
            check(piece, f"ended behind {len(found)} of {len(self.keys)} answers: {self.buffer[-200:]!r}")
            self.buffer += piece
            end = 0
            for match in HEAD.finditer(self.buffer):
                found.append(Fate(match))
                end = match.end()
            self.buffer = self.buffer[end:]
        return zip(self.keys, found)


def keyed(field="X-Mock-Key", prefix="", case="any"):
    head = f"GET /api/models HTTP/1.1\r\nHost: test\r\nX-Case: {case}\r\n{field}: {prefix}"
    return lambda key: f"{head}{key}\r\n\r\n".encode()


def nameless(case="any"):
    bytes_ = request("GET", "/api/models", headers=[f"X-Case: {case}"])
    return lambda key: bytes_


def fates(mock, keys, make, connections=CONNECTIONS):
    """{key: fate} of requests in that order, over several connections."""
    pipes = [Pipe(mock.address) for _ in range(connections)]
    found = {}
    for begin in range(0, len(keys), BATCH * connections):
        for i, pipe in enumerate(pipes):
            pipe.send(keys[begin + i * BATCH:begin + (i + 1) * BATCH], make)
        for pipe in pipes:
            found.update(pipe.receive())
    for pipe in pipes:
        pipe.socket.close()
    return found


def struck(mock, keys, make):
    return {key for key, fate in fates(mock, keys, make).items() if fate.status == STRUCK}


def status_rule(rule_id, when, **more):
    return dict({"id": rule_id, "when": when, "do": {"kind": "status", "status": STRUCK}}, **more)


def for_case(case):
    return {"header": {"x-case": case}}


def status_of(mock, method="GET", path="/api/models", body=None, **fields):
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if body is not None:
        headers["Content-Type"] = "application/json"
    return mock.ask(method, path, body, headers)[0]


# ---- By key ---------------------------------------------------------------------------------------------------------

@test
def even_is_exact():
    """1 % of 10,000 keys are 100, the same 100, one of any 100 in a row."""
    random = lib.seeded(6)
    sets = {}
    for threads in THREADS:
        rule = status_rule("even", {"probability": 0.01, "mode": "even"})
        mock = Mock({"seed": 7, "faults": [rule]}, "--threads", threads)
        keys = random.sample(range(KEYS), KEYS)
        sets[threads] = struck(mock, keys, keyed())
        equal(len(sets[threads]), KEYS // 100, f"keys struck with {threads} threads")
        equal(mock.state("even", "matched", "struck", "active"), (KEYS, KEYS // 100, 0), "what the rule says")
        equal(mock.count(fault="even", status=str(STRUCK), path="/api/models"), KEYS // 100, "what the journal says")
        mock.as_before()
    equal(sets["1"], sets["4"], "the same keys with 1 and 4 threads")
    in_order = sorted(sets["1"])
    equal({later - sooner for sooner, later in zip(in_order, in_order[1:])}, {100}, "steps between them")


@test
def chance_is_the_keys():
    random = lib.seeded(8)
    sets = []
    rules = [status_rule("one", {"probability": 0.01}, match=for_case("one")),
             status_rule("two", {"probability": 0.01}, match=for_case("two")),
             status_rule("seed-5", {"probability": 0.01}, match=for_case("seed-5"), seed=5),
             status_rule("also-5", {"probability": 0.01}, match=for_case("also-5"), seed=5)]
    for threads in THREADS:
        mock = Mock({"seed": 7, "faults": rules}, "--threads", threads)
        by_rule = []
        for rule in rules:
            by_rule.append(struck(mock, random.sample(range(KEYS), KEYS), keyed(case=rule["id"])))
            at_most(abs(len(by_rule[-1]) - 100), 4 * math.sqrt(KEYS * 0.01 * 0.99), f"keys of {rule['id']} off 1 %")
            equal(mock.state(rule["id"], "struck"), (len(by_rule[-1]),), "what the rule says")
        sets.append(by_rule)
        check(by_rule[0] != by_rule[1], "two rules without a seed strike different keys")
        equal(by_rule[2], by_rule[3], "two rules of one seed")
        check(by_rule[0] != by_rule[2], "the seed counts")
        # A key is its text, whichever field brings it.
        some = list(range(3000))
        equal(struck(mock, some, keyed("X-Request-Id", case="one")), {key for key in by_rule[0] if key < 3000},
              "keys in X-Request-Id")
        mock.as_before()
    equal(sets[0], sets[1], "the same keys with 1 and 4 threads")


@test
def number_at_the_end():
    """The index of a request is the number that its key ends in, whatever stands before it."""
    mock = Mock({"faults": [status_rule("tenth", {"every": 10, "after": 5})]})
    expected = set(range(14, 100, 10))
    for prefix in ("", "user-", "a00"):
        equal(struck(mock, list(range(100)), keyed(prefix=prefix)), expected, f"every tenth, {prefix!r}")
    mock.as_before()


@test
def delays_are_the_keys():
    """Each key has its own delay, with any number of threads; what is asked is what X-Mock-Delay-Us says."""
    random = lib.seeded(9)
    config = {"seed": 11, "latency": {"delay": "lognormal:median=200us,p99=2ms"},
              "faults": [{"id": "more", "match": for_case("more"),
                          "do": {"kind": "delay", "delay": "lognormal:median=300us,p99=1ms"}}]}
    seen = []
    for threads in THREADS:
        mock = Mock(config, "--threads", threads)
        delays = []
        for case in ("any", "more"):
            found = fates(mock, random.sample(range(2000), 2000), keyed(case=case))
            delays.append({key: fate.delay_us for key, fate in found.items()})
        seen.append(delays)
        mock.as_before()
    equal(seen[0], seen[1], "the delays of the same keys with 1 and 4 threads")
    base, more = seen[0]
    in_order = sorted(base.values())
    check(180 <= in_order[1000] <= 220, f"median {in_order[1000]} us, not 200")
    check(1300 <= in_order[1980] <= 2900, f"99th percentile {in_order[1980]} us, not 2000")
    at_least(len(set(base.values())), 500, "different delays")
    extra = sorted(more[key] - base[key] for key in base)
    at_least(extra[0], 1, "the least that the rule adds")
    check(270 <= extra[1000] <= 330, f"median of what the rule adds {extra[1000]} us, not 300")


# ---- By order of arrival --------------------------------------------------------------------------------------------

@test
def counts_of_arrivals():
    """Without keys the order of arrival is the index: as many are struck with any number of threads."""
    cases = {"every": ({"every": 7}, 800 // 7), "first": ({"first": 3}, 3), "after": ({"after": 790}, 10),
             "window": ({"after": 100, "first": 50, "every": 5}, 10),
             "even": ({"probability": 0.125, "mode": "even"}, 100)}
    for threads in THREADS:
        mock = Mock({"faults": [status_rule(name, when, match=for_case(name)) for name, (when, _) in cases.items()]},
                    "--threads", threads)
        for name, (_, count) in cases.items():
            equal(len(struck(mock, list(range(800)), nameless(name))), count, f"{name} with {threads} threads")
            equal(mock.state(name, "matched", "struck", "active"), (800, count, 0), f"state of {name}")
        mock.reset()
        equal(len(struck(mock, list(range(800)), nameless("first"))), 3, "a reset begins anew")
        mock.as_before()
    with_one = Mock({"faults": [status_rule("f", {"after": 1, "first": 2})]})
    equal([status_of(with_one) for _ in range(5)], [200, STRUCK, STRUCK, 200, 200], "the second and the third")
    with_one.as_before()


@test
def whole_connections():
    """With the scope of a connection all of its requests fare alike, and connections are what is counted."""
    for threads in THREADS:
        rules = [status_rule("few", {"first": 3, "scope": "connection"}, match=for_case("few")),
                 status_rule("half", {"probability": 0.5, "scope": "connection"}, match=for_case("half"))]
        mock = Mock({"faults": rules}, "--threads", threads)
        for name in ("few", "half"):
            by_connection = []
            for _ in range(16):
                found = fates(mock, list(range(5)), nameless(name), connections=1)
                statuses = {fate.status for fate in found.values()}
                equal(len(statuses), 1, f"fates on one connection, {name}")
                by_connection += statuses
            if name == "few":
                equal(by_connection.count(STRUCK), 3, f"connections struck with {threads} threads")
            else:
                check(0 < by_connection.count(STRUCK) < 16, f"connections struck: {by_connection}")
        mock.as_before()


@test
def as_many_at_once():
    """max_active: so many are struck and not over yet, with any number of threads; whose client goes makes room."""
    for threads in THREADS:
        rule = {"id": "hang", "when": {"max_active": 3}, "do": {"kind": "stall", "at": "before_headers"}}
        mock = Mock({"faults": [rule]}, "--threads", threads)
        hanging, served = [], 0
        for _ in range(12):
            raw = Raw(mock.address)
            seen = mock.state("hang", "matched")[0]
            raw.send(request("GET", "/api/models"))
            lib.wait_until(lambda: mock.state("hang", "matched")[0] > seen, "the rule was asked")
            if mock.state("hang", "struck")[0] > len(hanging):
                hanging.append(raw)
            else:
                equal(raw.response().status, 200, "one too many to be struck")
                served += 1
                raw.close()
        equal((len(hanging), served), (3, 9), "struck, served")
        equal(mock.state("hang", "active"), (3,), "active")
        hanging[1].close()
        lib.wait_until(lambda: mock.state("hang", "active") == (2,), "the place is free")
        raw = Raw(mock.address)
        raw.send(request("GET", "/api/models"))
        lib.wait_until(lambda: mock.state("hang", "active") == (3,), "the place is taken")
        for connection in (raw, hanging[0], hanging[2]):
            connection.close()
        mock.as_before()


# ---- By time --------------------------------------------------------------------------------------------------------

class Clock:
    """Asks again and again, and knows of each answer between which times of the rule it was decided."""

    def __init__(self, mock, rule):
        self.mock = mock
        self.before = time.monotonic()
        mock.set_rules(rule)
        self.after = time.monotonic()
        self.looks = []

    def look(self):
        began = time.monotonic()
        hit = status_of(self.mock) == STRUCK
        self.looks.append((began - self.after, time.monotonic() - self.before, hit))
        return self.looks[-1]

    def check(self, strikes_in, until_s):
        """`strikes_in(low, high)`: True or False for the times in which all, or none, are struck; None: between."""
        while self.look()[0] < until_s:
            pass
        seen = set()
        for low, high, hit in self.looks:
            expected = strikes_in(low, high)
            if expected is not None:
                equal(hit, expected, f"struck between {low:.6f} s and {high:.6f} s")
                seen.add(expected)
        equal(seen, {True, False}, "both were seen")


def inside(low, high, begin, end):
    """Are all times from low to high in [begin, end)? None: some."""
    if low >= begin and high < end:
        return True
    return False if high < begin or low >= end else None


@test
def in_its_time():
    mock = Mock()
    unit = 0.1 * lib.FACTOR
    us = int(unit * 1e6)
    Clock(mock, status_rule("outage", {"start_us": us, "end_us": 3 * us})).check(
        lambda low, high: inside(low, high, unit, 3 * unit), 4 * unit)
    Clock(mock, status_rule("ends", {}, ttl_us=2 * us)).check(
        lambda low, high: inside(low, high, -1, 2 * unit), 3 * unit)
    equal(mock.state("ends", "alive"), (False,), "alive")
    matched = mock.state("ends", "matched")
    status_of(mock)
    equal(mock.state("ends", "matched"), matched, "a dead rule counts nothing")

    def on_duty(low, high):
        period = 2 * unit
        turn = low // period
        if high // period != turn:
            return None
        return inside(low - turn * period, high - turn * period, 0, unit)
    Clock(mock, status_rule("duty", {"period_us": 2 * us, "duty": 0.5})).check(on_duty, 5 * unit)
    mock.as_before()


@test
def growing():
    """A ramp: who is struck stays so, the share grows, and in the end it is all of them, or all of `even`."""
    mock = Mock()
    length = 0.6 * lib.FACTOR
    keys = list(range(400))
    for mode, share in (("bernoulli", 1), ("even", 0.5)):
        before = time.monotonic()
        mock.set_rules(status_rule("ramp", {"ramp_us": int(length * 1e6), "probability": share, "mode": mode}))
        after = time.monotonic()
        last, shares = set(), []
        while True:
            low = time.monotonic() - after
            hit = struck(mock, keys, keyed())
            high = time.monotonic() - before
            check(last <= hit, f"struck early and not later: {sorted(last - hit)}")
            last = hit
            part = len(hit) / len(keys)
            at_most(part, share * min(1, high / length) + 0.1, f"share at most {high:.3f} s after the beginning")
            at_least(part, share * min(1, max(0, low) / length) - 0.1, f"share at least {low:.3f} s after it")
            shares.append(part)
            if low > length:
                break
        equal(shares[-1], share, "share at the end")
        check(len(set(shares)) > 1, f"shares grow: {shares}")
    mock.as_before()


# ---- By what it asks ------------------------------------------------------------------------------------------------

@test
def in_their_order():
    mock = Mock()
    mock.set_rules(status_rule("a", {"every": 2}), status_rule("b", {}, do={"kind": "status", "status": 429}))
    equal([status_of(mock) for _ in range(4)], [429, STRUCK, 429, STRUCK], "the first that strikes")
    equal((mock.state("a", "matched", "struck"), mock.state("b", "matched", "struck")), ((4, 2), (2, 2)),
          "those behind are not asked")
    mock.set_rules(dict(status_rule("a", {}), **{"continue": True}),
                   status_rule("b", {}, do={"kind": "status", "status": 429}))
    equal([status_of(mock) for _ in range(3)], [STRUCK] * 3, "the first is what happens")
    equal((mock.state("a", "struck"), mock.state("b", "struck")), ((3,), (3,)), "but both count")
    mock.set_rules({"id": "spare", "match": for_case("vip"), "do": {"kind": "none"}}, status_rule("all", {}))
    equal((status_of(mock, X_Case="vip"), status_of(mock)), (200, STRUCK), "one is spared")
    mock.set_rules({"id": "3ms", "continue": True, "do": {"kind": "delay", "delay": "3ms"}},
                   {"id": "4ms", "continue": True, "do": {"kind": "delay", "delay": "4ms"}}, status_rule("all", {}))
    status, headers, _ = mock.ask("GET", "/api/models")
    equal((status, headers["X-Mock-Delay-Us"]), (STRUCK, "7000"), "delays add up with what follows")
    equal([mock.state(rule, "struck") for rule in ("3ms", "4ms", "all")], [(1,)] * 3, "all count")
    mock.set_rules({"id": "3ms", "do": {"kind": "delay", "delay": "3ms"}}, status_rule("all", {}))
    status, headers, _ = mock.ask("GET", "/api/models")
    equal((status, headers["X-Mock-Delay-Us"]), (200, "3000"), "a delay without `continue` is the end of it")
    mock.set_rules(status_rule("off", {}, enabled=False), status_rule("on", {}, do={"kind": "status", "status": 429}))
    equal((status_of(mock), mock.state("off", "matched", "struck")), (429, (0, 0)), "a rule that is switched off")
    mock.as_before()


def infer(**more):
    return {"method": "POST", "path": "/api/infer", "body": infer_body(**more)}


def chat(**more):
    body = {"model": "llama-13b", "messages": [{"role": "user", "content": "hi"}]}
    return {"method": "POST", "path": "/v1/chat/completions", "body": json.dumps(dict(body, **more))}


# What a rule speaks of: requests that fit, requests that do not.
MATCHES = (
    ({"path": "/api/infer"}, [infer()], [{}, chat(), {"path": "/v1/models"}]),
    ({"path": "/api/infer*"},
     [infer(), {"method": "POST", "path": "/api/infer/batch", "body": b"[%s]" % infer_body()}], [{}, chat()]),
    ({"path": "/api/models"}, [{}, {"path": "/api/models?x=1"}], [infer()]),
    ({"path": "/v1/*"}, [chat(), {"path": "/v1/models"}], [{}, infer()]),
    ({"path": "/api/health"}, [{"path": "/api/health"}], [{}, {"path": "/health"}]),
    ({"method": "POST"}, [infer(), chat()], [{}]),
    ({"method": "HEAD"}, [{"method": "HEAD"}], [{}, infer()]),
    ({"header": {"X-Team": "a"}}, [{"x-team": "a"}], [{}, {"X-Team": "b"}, {"X-Team": "ab"}]),
    ({"header": {"x-team": "a*"}}, [{"X-Team": "a"}, {"X-Team": "abc"}], [{}, {"X-Team": "ba"}]),
    ({"header": {"x-team": None}}, [{"X-Team": "a"}, {"X-Team": ""}], [{}]),
    ({"header": {"x-team": "a", "x-trace": None}}, [{"X-Team": "a", "X-Trace": "1"}],
     [{"X-Team": "a"}, {"X-Trace": "1"}]),
    ({"model": "bitnet-7b"}, [infer()], [chat(), {}, infer(model_id="other")]),
    ({"model": "llama*"}, [chat(), infer(model_id="llama-70b")], [infer(), {}]),
    ({"stream": True}, [infer(stream=True), chat(stream=True)], [infer(), chat(), {}]),
    ({"stream": False}, [infer(), chat(), {}], [infer(stream=True), chat(stream=True)]),
    ({}, [{}, infer(), chat(stream=True), {"method": "HEAD"}],
     [{"path": "/api/health"}, {"path": "/health"}, {"path": "/version"}]),
    ({"path": "/api/infer", "stream": True, "model": "bitnet-7b", "method": "POST", "header": {"x-team": "a"}},
     [dict(infer(stream=True), x_team="a")], [infer(stream=True), dict(infer(), x_team="a")]),
)


@test
def what_it_speaks_of():
    mock = Mock({"tokens": 4})
    for match, fitting, others in MATCHES:
        mock.set_rules(status_rule("it", {}, match=match))
        for what in fitting:
            equal(status_of(mock, **what), STRUCK, f"{match}: {what}")
        for what in others:
            equal(status_of(mock, **what), 200, f"{match}: {what}")
        equal(mock.state("it", "matched", "struck", "active"), (len(fitting), len(fitting), 0), f"state of {match}")
    mock.as_before()


@test
def the_administration_is_spared():
    mock = Mock()
    mock.set_rules(status_rule("all", {}, match={"path": "/*"}))
    equal(status_of(mock), STRUCK, "an endpoint of the API")
    for path in ("/admin/stats", "/admin/faults", "/metrics"):
        equal(status_of(mock, path=path), 200, path)
    mock.as_before()


if __name__ == "__main__":
    lib.main()
