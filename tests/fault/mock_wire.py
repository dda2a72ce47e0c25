#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""Each fault of the transport as a rule of weir-mock's, and what of the answer arrives, plain and streamed."""
import json
import os
import time

import faultlib
import lib
from lib import Raw, at_least, at_most, check, equal, request, test

TOKENS = 8
MS = 1000  # microseconds
RULES = {
    "reset-before": {"kind": "reset", "at": "before_headers"},
    "reset-head": {"kind": "reset", "at": "after_headers"},
    "reset-bytes": {"kind": "reset", "at": "after_bytes:10"},
    "reset-tokens": {"kind": "reset", "at": "after_tokens:3"},
    "reset-half": {"kind": "reset", "at": "fraction:0.5"},
    "fin-before": {"kind": "fin", "at": "before_headers"},
    "fin-head": {"kind": "fin", "at": "after_headers"},
    "fin-bytes": {"kind": "fin", "at": "after_bytes:10"},
    "fin-tokens": {"kind": "fin", "at": "after_tokens:3"},
    "fin-half": {"kind": "fin", "at": "fraction:0.5"},
    "fin-end": {"kind": "fin", "at": "after_bytes:1000000"},
    "empty": {"kind": "empty"},
    "empty-rst": {"kind": "empty", "rst": True},
    "nothing": {"kind": "empty", "no_headers": True},
    "nothing-rst": {"kind": "empty", "no_headers": True, "rst": True},
    "truncate": {"kind": "truncate"},
    "truncate-rst": {"kind": "truncate", "at": "fraction:1", "rst": True},
    "garbage": {"kind": "garbage", "bytes": 1000},
    "garbage-text": {"kind": "garbage", "body": "SSH-2.0-OpenSSH_9.2\r\n", "rst": True},
    "bad-chunk": {"kind": "bad_chunk"},
    "split": {"kind": "split", "bytes": 7},
    "split-slow": {"kind": "split", "bytes": 100, "interval_us": 2 * MS},
    "coalesce": {"kind": "coalesce", "events": 3},
    "longer": {"kind": "wrong_length", "delta": 7},
    "shorter": {"kind": "wrong_length", "delta": -7},
    "partial": {"kind": "partial_headers", "bytes": 20},
    "partial-rst": {"kind": "partial_headers", "rst": True},
    "stall": {"kind": "stall", "at": "after_bytes:10", "us": 60 * MS},
    "stall-before": {"kind": "stall", "at": "before_headers", "us": 60 * MS},
    "stall-ever": {"kind": "stall", "at": "after_headers", "us": "forever"},
    "dribble": {"kind": "dribble", "chunks": 5, "total_us": 60 * MS},
    "dribble-bytes": {"kind": "dribble", "bytes": 50, "interval_us": 2 * MS},
    "bandwidth": {"kind": "bandwidth", "bytes_per_s": 20000},
    "slow-close": {"kind": "slow_close", "us": 60 * MS},
    "half-close": {"kind": "half_close", "at": "after_bytes:10", "us": 100 * MS},
    "half-close-ever": {"kind": "half_close", "at": "after_bytes:10", "us": "forever"},
}


class Answer:
    """What arrived on a connection up to its end, or to the end of one answer."""

    def __init__(self, bytes_, reset):
        self.bytes, self.reset = bytes_, reset
        head, self.has_head, self.body = bytes_.partition(b"\r\n\r\n")
        self.fields = {}
        if self.has_head:
            lines = head.decode("latin-1").split("\r\n")
            equal(lines[0], "HTTP/1.1 200 OK", "status line")
            fields = (line.partition(":") for line in lines[1:])
            self.fields = {name.lower(): value.strip() for name, _, value in fields}
            check("date" in self.fields and "content-type" in self.fields, f"fields {self.fields}")
            check("x-mock-delay-us" in self.fields, f"the API's fields {self.fields}")

    @property
    def length(self):
        return int(self.fields["content-length"])

    def payload(self):
        """What a client takes out of the chunks: the bytes, and why it came no further ("" for all of it)."""
        equal(self.fields.get("transfer-encoding"), "chunked", "framing")
        rest, payload = self.body, b""
        while True:
            line, end, rest = rest.partition(b"\r\n")
            if not end:
                return payload, "cut"
            try:
                size = int(line, 16)
            except ValueError:
                return payload, "bad size"
            if size == 0:
                return payload, "" if rest == b"\r\n" else "cut"
            payload += rest[:size]
            if len(rest) < size + 2:
                return payload, "cut"
            if rest[size:size + 2] != b"\r\n":
                return payload, "bad end"
            rest = rest[size + 2:]


def ask_bytes(case, stream):
    body = {"model_id": "bitnet-7b", "prompt": "tell me", "max_tokens": TOKENS}
    if stream:
        body["stream"] = True
    return request("POST", "/api/infer", json.dumps(body).encode(),
                   [f"X-Case: {case}", "X-Mock-Key: 7"])


class World:
    """One mock with all rules, and the answers without any."""

    def __init__(self):
        path = os.path.join(lib.temp_dir(), "mock.json")
        rules = [{"id": name, "match": {"header": {"x-case": name}}, "do": do} for name, do in RULES.items()]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"seed": 1, "latency": {"delay": "0us"}, "faults": rules}, file)
        self.mock = faultlib.Mock("--config", path)
        with Raw(self.mock.address) as raw:
            self.plain = raw.ask(ask_bytes("none", False)).body
            self.stream = raw.ask(ask_bytes("none", True)).body
        self.events = [event + b"\n\n" for event in self.stream.split(b"\n\n")[:-1]]
        at_least(len(self.plain), 20, "bytes of a plain answer")
        at_least(len(self.events), TOKENS, "events of a stream")

    def get(self, case, stream):
        """The answer on a connection of its own that the mock ends."""
        with Raw(self.mock.address) as raw:
            raw.send(ask_bytes(case, stream))
            got = raw.rest()
            return Answer(got, raw.reset)

    def whole(self, case, stream):
        """Two answers, one after the other on one connection: whole, and how long each took."""
        took = []
        with Raw(self.mock.address) as raw:
            for _ in range(2):
                began = time.monotonic()
                response = raw.ask(ask_bytes(case, stream))
                took.append(time.monotonic() - began)
                equal(response.body, self.stream if stream else self.plain, f"body of {case}")
        return min(took)

    def until(self, payload):
        """How many events the payload of a stream is: it ends behind one of them."""
        for count in range(len(self.events) + 1):
            if b"".join(self.events[:count]) == payload:
                return count
        raise AssertionError(f"not some first events: {payload!r}")


def each(*names):
    """Its case and whether it is a stream, for each of them."""
    return [(name, stream) for name in names for stream in (False, True)]


@test
def ended_before_the_end():
    world = World()
    for kind, reset in (("reset", True), ("fin", False)):
        for case, stream in each(f"{kind}-before", f"{kind}-head", f"{kind}-bytes", f"{kind}-half"):
            answer = world.get(case, stream)
            equal(answer.reset, reset, f"reset in {case}")
            if case.endswith("before"):
                equal(answer.bytes, b"", f"bytes of {case}")
                continue
            check(answer.has_head, f"head of {case}: {answer.bytes!r}")
            check("connection" not in answer.fields, f"{case} is not announced: {answer.fields}")
            if not stream:
                equal(answer.length, len(world.plain), f"length that {case} says")
            count = {"head": 0, "bytes": 10, "half": len(world.plain) // 2}[case.split("-")[1]]
            if not stream:
                equal(answer.body, world.plain[:count], f"body of {case}")
            elif case.endswith("half"):
                payload, why = answer.payload()
                equal((world.until(payload) >= TOKENS // 2, why), (True, "cut"), f"stream of {case}")
            else:
                equal(answer.payload(), (world.stream[:count], "cut"), f"stream of {case}")
        answer = world.get(f"{kind}-tokens", True)
        payload, why = answer.payload()
        equal((why, answer.reset), ("cut", reset), f"end of {kind} behind tokens")
        at_least(world.until(payload), 3, "events")
        at_most(world.until(payload), 4, "events")
    world.mock.as_before()


@test
def ended_behind_the_end():
    world = World()
    answer = world.get("fin-end", False)
    equal((answer.body, answer.reset), (world.plain, False), "a FIN behind the end")
    equal(world.get("fin-end", True).payload(), (world.stream, ""), "a FIN behind the end of a stream")
    world.mock.as_before()


@test
def no_answer_or_another():
    world = World()
    for case, stream in each("empty", "empty-rst"):
        answer = world.get(case, stream)
        equal((answer.length, answer.body, answer.reset), (0, b"", case == "empty-rst"), case)
        equal(answer.fields["connection"], "close", f"Connection of {case}")
    for case, stream in each("nothing", "nothing-rst"):
        answer = world.get(case, stream)
        equal((answer.bytes, answer.reset), (b"", case == "nothing-rst"), case)
    for stream in (False, True):
        garbage = world.get("garbage", stream)
        equal((len(garbage.bytes), garbage.reset), (1000, False), "garbage")
        equal(world.get("garbage", stream).bytes, garbage.bytes, "the same key gives the same garbage")
        at_least(len(set(garbage.bytes)), 200, "different bytes")
        text = world.get("garbage-text", stream)
        equal((text.bytes, text.reset), (b"SSH-2.0-OpenSSH_9.2\r\n", True), "garbage that is text")
        partial = world.get("partial", stream)
        equal((partial.bytes, partial.reset), (b"HTTP/1.1 200 OK\r\nDat", False), "a part of the head")
        partial = world.get("partial-rst", stream)
        check(partial.reset and not partial.has_head, f"half of the head: {partial.bytes!r}")
        at_least(len(partial.bytes), 50, "bytes of half a head")
    world.mock.as_before()


@test
def wrong_framing():
    world = World()
    for case, left, reset in (("truncate", len(world.plain) // 2, False), ("truncate-rst", len(world.plain) - 1, True)):
        answer = world.get(case, False)
        equal((answer.length, answer.body, answer.reset), (len(world.plain), world.plain[:left], reset), case)
        answer = world.get(case, True)
        payload, why = answer.payload()
        equal((why, answer.reset), ("cut", reset), f"{case} of a stream")
        check(world.stream.startswith(payload) and payload, f"{case} of a stream: {payload!r}")
    answer = world.get("bad-chunk", False)
    equal(answer.payload(), (world.plain[:len(world.plain) // 2], "bad size"), "a bad chunk")
    payload, why = world.get("bad-chunk", True).payload()
    equal(why, "bad size", "a bad chunk of a stream")
    at_least(world.until(payload), TOKENS // 2, "events before the bad chunk")
    for case, delta in (("longer", 7), ("shorter", -7)):
        answer = world.get(case, False)
        equal((answer.length, answer.body), (len(world.plain) + delta, world.plain), case)
        payload, why = world.get(case, True).payload()
        check(why.startswith("bad"), f"{case} of a stream: {why}")
    world.mock.as_before()


@test
def whole_but_odd():
    """The answer is what it always is, and the connection goes on; only time and segments differ."""
    world = World()
    for case, stream in each("split"):
        world.whole(case, stream)
    world.whole("coalesce", True)
    sends = {True: len(world.stream) // 100, False: len(world.plain) // 100}
    for stream in (False, True):
        at_least(world.whole("split-slow", stream), sends[stream] * 0.002, "seconds of pieces 2 ms apart")
        at_least(world.whole("stall", stream), 0.06, "seconds with a stall")
        at_least(world.whole("stall-before", stream), 0.06, "seconds with a stall before the head")
        at_least(world.whole("dribble", stream), 0.06, "seconds of a dribble")
        bytes_ = len(world.stream if stream else world.plain)
        at_least(world.whole("dribble-bytes", stream), (bytes_ / 50 - 1) * 0.002, "seconds of 50 bytes each 2 ms")
        at_least(world.whole("bandwidth", stream), bytes_ / 20000, "seconds at 20 kB/s")
    world.mock.as_before()


@test
def stops_in_the_middle():
    world = World()
    for stream in (False, True):
        with Raw(world.mock.address) as raw:
            began = time.monotonic()
            raw.send(ask_bytes("stall", stream))
            raw.until(b"\r\n\r\n")
            first = raw.exactly(10)
            lib.wait_until(lambda: lib.select_readable(raw.socket), "the rest")
            at_least(time.monotonic() - began, 0.06, "seconds to the end of the stall")
            check(stream or world.plain.startswith(first), "the first bytes")
    world.mock.as_before()


@test
def stalls_for_ever():
    """Each way that a client can go ends it, and gives everything back."""
    world = World()
    for way in ("close", "abort", "shutdown"):
        for stream in (False, True):
            raw = Raw(world.mock.address)
            raw.send(ask_bytes("stall-ever", stream))
            raw.until(b"\r\n\r\n")
            check(not lib.select_readable(raw.socket), "nothing follows the head")
            getattr(raw, way)()
            if way == "shutdown":
                equal(raw.rest(), b"", "what follows")
                raw.close()
            lib.wait_until(world.mock.settled, f"the mock has noticed: {way}")
    world.mock.as_before()


@test
def ends_late():
    world = World()
    for stream in (False, True):
        began = time.monotonic()
        answer = world.get("slow-close", stream)
        at_least(time.monotonic() - began, 0.06, "seconds to the end")
        equal(answer.fields["connection"], "close", "Connection")
        equal(answer.payload() if stream else (answer.body, ""),
              (world.stream if stream else world.plain, ""), "all of it")
        for case in ("half-close", "half-close-ever"):
            with Raw(world.mock.address) as raw:
                began = time.monotonic()
                raw.send(ask_bytes(case, stream))
                answer = Answer(raw.rest(), raw.reset)
                equal((answer.payload()[0] if stream else answer.body, answer.reset),
                      ((world.stream if stream else world.plain)[:10], False), f"up to the {case}")
                if case == "half-close":
                    lib.wait_until(lambda: world.mock.stats()["connections"]["active"] == 1, "it ends by itself")
                    at_least(time.monotonic() - began, 0.1, "seconds to its end")
                else:  # the other half is open: there is a connection besides the one that asks
                    equal(world.mock.stats()["connections"]["active"], 2, "connections")
            lib.wait_until(world.mock.settled, f"nothing is left of a {case}")
    world.mock.as_before()


# Answers that are all there, whatever else is wrong with them.
WHOLE = ("fin-end", "split", "split-slow", "coalesce", "stall", "stall-before", "dribble", "dribble-bytes",
         "bandwidth", "slow-close")
# Sent, but not as what they are: a client cannot take the bytes out.
UNREADABLE = ("bad-chunk", "longer", "shorter")


@test
def the_journal_says_so():
    """Each is in the journal with its rule, whether it was cut, and the bytes of the body that were sent."""
    world = World()
    seen = len(world.mock.journal())
    for case, stream in each(*RULES):
        if case.endswith("-ever") or (not stream and ("tokens" in case or case == "coalesce")):
            continue
        status = 200
        if case in WHOLE and case not in ("fin-end", "slow-close"):
            world.whole(case, stream)
            sent = world.stream if stream else world.plain
        else:
            answer = world.get(case, stream)
            status = 200 if answer.has_head else 0  # it got none
            streamed = answer.fields.get("transfer-encoding") == "chunked"
            sent = b"" if "garbage" in case else answer.payload()[0] if streamed else answer.body
        lib.wait_until(lambda: world.mock.stats()["connections"]["active"] == 1, "it has ended")
        record = [record for record in world.mock.journal()[seen:] if record["fault"]][-1]
        equal((record["fault"]["rule"], record["stream"], record["status"]), (case, stream, status), "the record")
        whole = case in WHOLE or (case == "shorter" and not stream)
        equal(record["end"], "answered" if whole else "cut", f"end of {case}, stream {stream}")
        if case not in UNREADABLE or whole:
            equal(record["answer_bytes"], len(sent), f"bytes of {case}, stream {stream}")
    world.mock.as_before()


if __name__ == "__main__":
    lib.main()
