#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""The limits of weir-mock: slots, the queue for them, and requests and tokens per minute.

A request takes its slot with its head and gives it back with its answer: one whose body is not complete holds a slot for
as long as a test likes.
"""
import json
import re

import lib
from lib import Mock, Raw, at_least, at_most, check, equal, request, test

INFER = b'{"model_id":"bitnet-7b","prompt":"hi"}'


def start(limits, *options, **more):
    mock = Mock(*options)
    change(mock, limits, **more)
    return mock


def change(mock, limits, **more):
    status, _, body = mock.ask("PATCH", "/admin/config", json.dumps({"limits": limits, **more}))
    equal(status, 200, f"{limits}: {body}")


def busy(mock, active, depth):
    """Wait until so many requests have a slot, and so many wait for one."""
    def told():
        stats = mock.stats()
        return (stats["concurrency"]["active"], stats["queue"]["depth"]) == (active, depth)
    lib.wait_until(told, f"{active} active and {depth} waiting")


class Held:
    """A request that is complete but for its last byte."""

    def __init__(self, mock, key=None, path="/api/infer", body=INFER):
        self.raw = Raw(mock.address)
        self.bytes = request("POST", path, body, [f"X-Mock-Key: {key}"] if key else [])
        self.raw.send(self.bytes[:-1])

    def finish(self):
        self.raw.send(self.bytes[-1:])
        return self.answer()

    def answer(self):
        answer = self.raw.response()
        self.raw.close()
        return answer


def hold(mock, count):
    """So many, each in its place of the queue before the next one comes."""
    before = mock.stats()
    limit, taken = before["concurrency"]["limit"], before["concurrency"]["active"] + before["queue"]["depth"]
    held = []
    for i in range(taken + 1, taken + count + 1):
        held.append(Held(mock))
        busy(mock, min(i, limit) if limit else i, max(i - limit, 0) if limit else 0)
    return held


def queue_us(answer):
    return int(answer.fields["x-mock-queue-us"])


# ---- Slots and the queue --------------------------------------------------------------------------------------------

@test
def queue_depth_and_overflow():
    mock = Mock("--threads", "2")
    for overflow, status in (("wait", 503), ("429", 429), ("503", 503)):
        change(mock, {"max_concurrency": 1, "queue_depth": 2, "overflow": overflow, "retry_after_s": 3})
        held = hold(mock, 3)
        for path, body, kinds in (("/api/infer", INFER, ["message", "type", "field"]),
                                  ("/v1/completions", b'{"model":"bitnet-7b","prompt":"hi"}', ["message", "type", "param", "code"]),
                                  ("/api/models/load", b'{"model_id":"bitnet-7b"}', ["message", "type", "field"])):
            with Raw(mock.address) as raw:
                answer = raw.ask(request("POST", path, body))
                equal((answer.status, answer.fields["retry-after"]), (status, "3"), f"one too many, {path}, {overflow}")
                equal(sorted(answer.json()["error"]), sorted(kinds), f"the shape of its error, {path}")
        # Whoever looks after it is always let in.
        for path in ("/api/health", "/health", "/metrics", "/version", "/admin/stats"):
            equal(mock.ask("GET", path)[0], 200, f"{path} of a mock that is full")
        metrics = mock.metrics()
        equal((metrics["mock_queue_depth"], metrics["mock_inflight_requests"]), (2, 3), "mock_queue_depth, mock_inflight_requests")
        change(mock, {"retry_after_s": 0})
        equal(mock.ask("POST", "/api/infer", INFER)[1].get("Retry-After"), None, "Retry-After that nobody wants")
        answers = [one.finish() for one in held]
        equal([answer.status for answer in answers], [200] * 3, "those that were let in")
        equal(queue_us(answers[0]), 0, "us in the queue of the first")
        at_least(min(queue_us(answers[1]), queue_us(answers[2])), 1, "us of those that waited")
        busy(mock, 0, 0)
    refused = [entry for entry in mock.journal() if entry["status"] in (429, 503)]
    equal({entry["queue_us"] < 1000000 and entry["end"] for entry in refused}, {"answered"}, "what the journal says of the others")
    mock.stop()


@test
def nobody_waits_when_the_queue_has_no_room():
    mock = start({"max_concurrency": 2, "queue_depth": 0, "overflow": 429})
    held = hold(mock, 2)
    equal(mock.ask("POST", "/api/infer", INFER)[0], 429, "a third")
    equal([one.finish().status for one in held], [200, 200], "the two")
    equal(mock.ask("POST", "/api/infer", INFER)[0], 200, "and now")
    mock.stop()


@test
def queue_timeout():
    mock = Mock("--threads", "2")
    for overflow, status in (("wait", 503), ("429", 429), ("503", 503)):
        change(mock, {"max_concurrency": 1, "queue_timeout_us": 30000, "overflow": overflow, "retry_after_s": 2})
        held = hold(mock, 1)
        with Raw(mock.address) as raw:
            answer = raw.ask(request("POST", "/api/infer", INFER, ["X-Mock-Key: patient"]))
            equal((answer.status, answer.fields["retry-after"]), (status, "2"), f"who waited too long, {overflow}")
            at_least(queue_us(answer), 30000, "us in the queue")
        busy(mock, 1, 0)
        equal(held[0].finish().status, 200, "who had the slot")
        busy(mock, 0, 0)
        equal(mock.ask("POST", "/api/infer", INFER)[0], 200, "the slot is not lost")
    entries = [entry for entry in mock.journal() if entry["key"]]
    equal(len(entries), 3, "in the journal")
    at_least(min(min(entry["queue_us"], entry["delivered_us"]) for entry in entries), 30000, "us that it says they waited")
    mock.stop()


def order_of(mock, count):
    """The keys of waiters in the order in which they got the slot."""
    held = hold(mock, 1)
    waiting = []
    for i in range(count):
        waiting.append(Raw(mock.address))
        waiting[-1].send(request("POST", "/api/infer", INFER, [f"X-Mock-Key: w{i}"]))
        busy(mock, 1, i + 1)
    equal(held[0].finish().status, 200, "who had the slot")
    answers = [raw.response() for raw in waiting]
    equal({answer.status for answer in answers}, {200}, "those that waited")
    seqs = {int(answer.fields["x-mock-seq"]): i for i, answer in enumerate(answers)}
    entries = [entry for entry in mock.journal() if entry["seq"] in seqs and entry["key"]]
    equal(len(entries), count, "entries")
    # Who came later and waited as long got the slot later; between two of them is a whole delay.
    granted = sorted((at_us(entry), seqs[entry["seq"]]) for entry in entries)
    gaps = [after[0] - before[0] for before, after in zip(granted, granted[1:])]
    at_least(min(gaps), 3000, "us from one grant to the next")
    for raw in waiting:
        raw.close()
    return [i for _, i in granted]


def at_us(entry):
    hours, minutes, seconds = re.search(r"T(\d\d):(\d\d):([\d.]+)Z", entry["time"]).groups()
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000000) + entry["queue_us"]


@test
def order():
    for threads in ("1", "4"):
        mock = Mock("--threads", threads, "--latency", "1500us")
        for name, wanted in (("fifo", [0, 1, 2, 3, 4, 5]), ("lifo", [5, 4, 3, 2, 1, 0])):
            change(mock, {"max_concurrency": 1, "order": name})
            equal(order_of(mock, 6), wanted, f"{name}, {threads} threads")
        mock.stop()


@test
def a_higher_limit_lets_waiters_in():
    for threads in ("1", "4"):
        mock = start({"max_concurrency": 1}, "--threads", threads)
        held = hold(mock, 5)
        change(mock, {"max_concurrency": 3})
        busy(mock, 3, 2)
        change(mock, {"max_concurrency": 0})
        busy(mock, 5, 0)
        # Lower again: nobody loses his slot, and no new one is given before there is room.
        change(mock, {"max_concurrency": 2})
        with Raw(mock.address) as raw:
            raw.send(request("POST", "/api/infer", INFER))
            busy(mock, 5, 1)
            for left in (4, 3, 2):
                equal(held.pop().finish().status, 200, "an answer")
                busy(mock, left, 1)
            equal(held.pop().finish().status, 200, "one more: there is room")
            answer = raw.response()
            equal(answer.status, 200, "who waited")
            at_least(queue_us(answer), 1, "us in the queue")
        equal(held.pop().finish().status, 200, "the first")
        busy(mock, 0, 0)
        mock.stop()


@test
def who_leaves_the_queue_leaves_it():
    mock = start({"max_concurrency": 1, "queue_timeout_us": 3600000000}, "--threads", "2")
    held = hold(mock, 5)
    for leaver, left in ((held.pop(2), 3), (held.pop(-1), 2)):
        leaver.raw.abort()
        busy(mock, 1, left)
    metrics = mock.metrics()
    equal(sum(metrics[f'mock_client_disconnects_total{{phase="{phase}"}}'] for phase in ("body", "queued")), 2, "disconnects")
    equal(mock.stats()["timers_cancelled"], 2, "timers of their patience")
    # One that is complete, and waits for nothing but a slot.
    raw = Raw(mock.address)
    raw.send(request("POST", "/api/infer", INFER, ["X-Mock-Key: gone"]))
    busy(mock, 1, 3)
    equal(mock.metrics()['vllm:num_requests_waiting{model_name="bitnet-7b",engine="0"}']
          + mock.metrics().get('vllm:num_requests_waiting{model_name="bitnet-7b",engine="1"}', 0), 1, "vllm:num_requests_waiting")
    raw.close()
    busy(mock, 1, 2)
    equal(mock.metrics()['mock_client_disconnects_total{phase="queued"}'], 1, "a client that left the queue")
    entry = mock.get_json("/admin/requests?key=gone")["requests"][0]
    equal((entry["end"], entry["phase"], entry["status"]), ("disconnect", "queued", 0), "in the journal")
    # Also the one that has the slot: the next gets it.
    held.pop(0).raw.abort()
    busy(mock, 1, 1)
    equal([one.finish().status for one in held], [200, 200], "those that stayed")
    busy(mock, 0, 0)
    mock.stop()


@test
def preset_vllm():
    mock = start({"preset": "vllm"}, "--threads", "2")
    limits = mock.get_json("/admin/config")["limits"]
    equal([limits[key] for key in ("max_concurrency", "queue_depth", "overflow")], [5, 1000, "429"], "what the preset says")
    held = hold(mock, 5)
    waiting = [Raw(mock.address) for _ in range(50)]
    for raw in waiting:
        raw.send(request("POST", "/api/infer", INFER) * 20)
    busy(mock, 5, 1000)
    status, fields, _ = mock.ask("POST", "/api/infer", INFER)
    equal((status, fields["Retry-After"]), (429, "1"), "one too many")
    equal([one.finish().status for one in held], [200] * 5, "those that had a slot")
    for raw in waiting:
        equal({raw.response().status for _ in range(20)}, {200}, "those that waited")
        raw.close()
    busy(mock, 0, 0)
    waited = mock.stats()["queue"]["wait_us"]
    equal(waited["count"], 1005, "waits")
    equal(mock.metrics()["mock_queue_wait_seconds_count"], 1005, "mock_queue_wait_seconds")
    mock.stop()


# ---- Per minute -----------------------------------------------------------------------------------------------------

def seconds(text):
    """A duration as x-ratelimit-reset-* has it: 1h2m3.5s, 6m0s, 20ms."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", text)
    check(match and text, f"a duration: {text!r}")
    hours, minutes, whole, ms = (float(group or 0) for group in match.groups())
    return hours * 3600 + minutes * 60 + whole + ms / 1000


def rate(fields, of):
    return (int(fields[f"x-ratelimit-limit-{of}"]), int(fields[f"x-ratelimit-remaining-{of}"]),
            seconds(fields[f"x-ratelimit-reset-{of}"]))


@test
def requests_per_minute():
    mock = start({"rpm": 6})
    for i in range(1, 7):
        status, fields, _ = mock.ask("POST", "/api/infer", INFER)
        limit, remaining, reset = rate(fields, "requests")
        equal((status, limit, remaining), (200, 6, 6 - i), f"request {i}")
        check(i * 10 - 5 <= reset <= i * 10, f"s until all six are there again: {reset}")
        check("x-ratelimit-limit-tokens" not in fields, "nothing limits tokens")
    for path, body, code in (("/api/infer", INFER, None),
                             ("/v1/completions", b'{"model":"bitnet-7b","prompt":"hi"}', "rate_limit_exceeded")):
        status, fields, answer = mock.ask("POST", path, body)
        equal((status, rate(fields, "requests")[:2]), (429, (6, 0)), f"the seventh, {path}")
        check(5 <= int(fields["Retry-After"]) <= 10, f"s until the next: {fields['Retry-After']}")
        equal(json.loads(answer)["error"].get("code"), code, f"code, {path}")
    for method, path, body in (("GET", "/api/models", None), ("GET", "/v1/models", None), ("GET", "/api/health", None),
                               ("POST", "/api/models/load", b'{"model_id":"bitnet-7b"}')):
        status, fields, _ = mock.ask(method, path, body)
        equal((status, fields.get("x-ratelimit-limit-requests")), (200, None), f"{path} is no inference")
    equal(mock.ask("POST", "/api/infer/batch", b"[%s]" % INFER)[0], 429, "a batch is one")
    change(mock, {"rpm": 0})
    status, fields, _ = mock.ask("POST", "/api/infer", INFER)
    equal((status, fields.get("x-ratelimit-limit-requests")), (200, None), "without a limit")
    change(mock, {"rpm": 12})
    equal(rate(mock.ask("POST", "/api/infer", INFER)[1], "requests")[:2], (12, 11), "another limit begins full")
    mock.stop()


@test
def requests_per_minute_come_back():
    mock = start({"rpm": 600})
    with Raw(mock.address) as raw:
        raw.send(request("POST", "/api/infer", INFER) * 800)
        answers = [raw.response() for _ in range(800)]
        good = [answer for answer in answers if answer.status == 200]
        # One each 100 ms comes back while they are sent.
        check(600 <= len(good) < 700, f"answers within the limit: {len(good)}")
        refused = [answer for answer in answers if answer.status != 200]
        equal({(answer.status, answer.fields["retry-after"]) for answer in refused}, {(429, "1")}, "the others")
        equal({answer.fields["x-ratelimit-limit-requests"] for answer in answers}, {"600"}, "the limit")
        lib.wait_until(lambda: raw.ask(request("POST", "/api/infer", INFER)).status == 200, "one comes back")
    mock.stop()


@test
def limits_per_minute_hold_over_all_threads():
    mock = start({"rpm": 50}, "--threads", "4")
    pool = [Raw(mock.address) for _ in range(16)]
    for raw in pool:
        raw.send(request("POST", "/api/infer", INFER) * 10)
    answers = [raw.response() for raw in pool for _ in range(10)]
    statuses = [answer.status for answer in answers]
    equal(set(statuses), {200, 429}, "statuses")
    check(50 <= statuses.count(200) <= 52, f"answers within the limit of 50: {statuses.count(200)}")
    left = sorted({int(answer.fields["x-ratelimit-remaining-requests"]) for answer in answers if answer.status == 200})
    equal(left, list(range(50)), "each saw another rest")
    equal(len(mock.get_json("/admin/requests?status=429&limit=1000")["requests"]), statuses.count(429), "429 in the journal")
    for raw in pool:
        raw.close()
    mock.stop()


@test
def tokens_per_minute():
    mock = start({"tpm": 1002}, tokens=110)
    for i in range(1, 10):
        status, fields, _ = mock.ask("POST", "/api/infer", INFER)
        limit, remaining, _ = rate(fields, "tokens")
        equal((status, limit), (200, 1002), f"request {i}")
        # One for the prompt, 110 for the answer; 17 of them come back each second.
        check(1002 - 111 * i <= remaining <= 1002 - 111 * i + 50, f"tokens that are left: {remaining}")
    status, fields, _ = mock.ask("POST", "/api/infer", INFER)
    equal(status, 429, "one too many")
    check(4 <= int(fields["Retry-After"]) <= 7, f"s until 111 tokens are there: {fields['Retry-After']}")
    at_least(rate(fields, "tokens")[2], 50, "s until all are there")
    equal(mock.ask("POST", "/api/infer", b'{"model_id":"bitnet-7b","prompt":"","max_tokens":1}')[0], 200, "a small one still fits")
    status, fields, _ = mock.ask("POST", "/api/infer", b'{"model_id":"bitnet-7b","prompt":"hi","max_tokens":1002}')
    equal((status, fields.get("Retry-After")), (429, None), "what never fits has no time")
    # A batch counts the tokens of all that is in it.
    change(mock, {"tpm": 2000})
    status, fields, _ = mock.ask("POST", "/api/infer/batch", b"[%s]" % b",".join([INFER] * 10))
    equal(status, 200, "a batch of ten")
    check(2000 - 1110 <= rate(fields, "tokens")[1] <= 2000 - 1110 + 50, f"tokens that it leaves: {fields}")
    equal(mock.ask("POST", "/api/infer/batch", b"[%s]" % b",".join([INFER] * 10))[0], 429, "another one")
    # Both limits: a request that finds no tokens is not counted.
    change(mock, {"rpm": 5, "tpm": 111})
    first = mock.ask("POST", "/api/infer", INFER)
    equal((first[0], rate(first[1], "requests")[1], rate(first[1], "tokens")[1]), (200, 4, 0), "it takes all tokens")
    for _ in range(2):
        status, fields, _ = mock.ask("POST", "/api/infer", INFER)
        equal((status, fields["x-ratelimit-limit-requests"]), (429, "5"), "no tokens")
    change(mock, {"tpm": 0})
    at_most(rate(mock.ask("POST", "/api/infer", INFER)[1], "requests")[1], 3, "requests left")
    at_least(rate(mock.ask("POST", "/api/infer", INFER)[1], "requests")[1], 2, "those without tokens were given back")
    mock.stop()


if __name__ == "__main__":
    lib.main()
