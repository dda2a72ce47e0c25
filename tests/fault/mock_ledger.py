#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""Two ledgers agree under every kind of fault: what weir-bench sent and got, and what weir-mock's journal says it gave.

What a correct HTTP/1.1 client must call an error is what breaks the framing of a message (RFC 9112 section 8: it is
incomplete; section 7.1: chunks), what is no message, and what is none within its patience. It calls 2xx whatever is a
complete message with that status. Of these faults it cannot see bad_json, bad_sse, dup_frame, drop_done and
status_in_stream, which are inside of the content; split, coalesce, dribble, bandwidth, stall, delay, slow_close and
accept_delay, which are only slow; empty, which is a complete answer without content unless its head is missing, too; a
fin behind the end; and a Content-Length that says less than was sent, whose rest belongs to no request. In a stream a
wrong length is the size of a chunk, with no CRLF where it ends.
"""
import json
import re

from rulelib import Mock, infer_body

import lib  # rulelib has found it
from lib import at_least, at_most, bench, check, equal, test

CONNECTIONS = 6
REQUESTS = 200
PATIENCE = "100ms"
MS = 1000  # microseconds
OK = None
# name: what happens, what weir-bench calls it, how the journal says it ended; with a fourth, both of a stream.
CASES = {
    "spared": ({"kind": "none"}, OK, "answered"),
    "status-503": ({"kind": "status", "status": 503}, "status_5xx", "answered"),
    "status-429": ({"kind": "status", "status": 429, "retry_after_s": 1}, "status_4xx", "answered"),
    "status-302": ({"kind": "status", "status": 302, "body": "moved"}, "status_3xx", "answered"),
    "status-201": ({"kind": "status", "status": 201, "body": "{}"}, OK, "answered"),
    "reset-before": ({"kind": "reset"}, "reset", "cut"),
    "reset-head": ({"kind": "reset", "at": "after_headers"}, "reset", "cut"),
    "reset-bytes": ({"kind": "reset", "at": "after_bytes:10"}, "reset", "cut"),
    "reset-tokens": ({"kind": "reset", "at": "after_tokens:3"}, "reset", "cut"),
    "reset-half": ({"kind": "reset", "at": "fraction:0.5"}, "reset", "cut"),
    "fin-before": ({"kind": "fin"}, "closed_before_response", "cut"),
    "fin-head": ({"kind": "fin", "at": "after_headers"}, "truncated", "cut"),
    "fin-bytes": ({"kind": "fin", "at": "after_bytes:10"}, "truncated", "cut"),
    "fin-tokens": ({"kind": "fin", "at": "after_tokens:3"}, "truncated", "cut"),
    "fin-end": ({"kind": "fin", "at": "after_bytes:1000000"}, OK, "answered"),
    "empty": ({"kind": "empty"}, OK, "cut"),
    "empty-rst": ({"kind": "empty", "rst": True}, OK, "cut"),
    "nothing": ({"kind": "empty", "no_headers": True}, "closed_before_response", "cut"),
    "nothing-rst": ({"kind": "empty", "no_headers": True, "rst": True}, "reset", "cut"),
    "truncate": ({"kind": "truncate"}, "truncated", "cut"),
    "truncate-end": ({"kind": "truncate", "at": "fraction:1"}, "truncated", "cut"),
    "truncate-rst": ({"kind": "truncate", "rst": True}, "reset", "cut"),
    "garbage": ({"kind": "garbage"}, "protocol", "cut"),
    "garbage-rst": ({"kind": "garbage", "body": "SSH-2.0-OpenSSH_9.2\r\n", "rst": True}, "protocol", "cut"),
    "bad-chunk": ({"kind": "bad_chunk"}, "protocol", "cut"),
    "bad-json": ({"kind": "bad_json"}, OK, "answered"),
    "bad-sse": ({"kind": "bad_sse"}, OK, "answered"),
    "dup-frame": ({"kind": "dup_frame"}, OK, "answered"),
    "drop-done": ({"kind": "drop_done"}, OK, "answered"),
    "split": ({"kind": "split", "bytes": 50}, OK, "answered"),
    "coalesce": ({"kind": "coalesce", "events": 3}, OK, "answered"),
    "shorter": ({"kind": "wrong_length", "delta": -7}, OK, "answered", ("protocol", "cut")),
    "longer": ({"kind": "wrong_length", "delta": 7}, "truncated", "cut", ("protocol", "cut")),
    "partial": ({"kind": "partial_headers"}, "truncated", "cut"),
    "partial-rst": ({"kind": "partial_headers", "rst": True}, "reset", "cut"),
    "stall": ({"kind": "stall", "us": 5 * MS}, OK, "answered"),
    "dribble": ({"kind": "dribble", "chunks": 3, "total_us": 5 * MS}, OK, "answered"),
    "bandwidth": ({"kind": "bandwidth", "bytes_per_s": 1000000}, OK, "answered"),
    "slow-close": ({"kind": "slow_close", "us": 5 * MS}, OK, "answered"),
    "half-close": ({"kind": "half_close", "at": "after_bytes:10", "us": 5 * MS}, "truncated", "cut"),
    "half-close-ever": ({"kind": "half_close"}, "truncated", "cut"),
    "delay": ({"kind": "delay", "delay": "2ms"}, OK, "answered"),
    "error-event": ({"kind": "status_in_stream", "status": 503}, OK, "cut"),
}
STREAM_ONLY = ("bad-sse", "dup-frame", "drop-done", "coalesce", "error-event")
# The connection ends behind a complete message, and no Connection: close has said that it would. A client that sends
# its next request at once has lost it, whatever it does (RFC 9112 section 9.6), and weir-bench repeats none.
UNANNOUNCED = ("fin-end", "shorter")
# What happens to a connection when it is accepted: no request of it is ever seen.
ACCEPTS = {
    "refuse": ({"kind": "refuse"}, ("reset", "connect_other")),
    "accept-reset": ({"kind": "reset", "at": "accept"}, ("reset", "connect_other")),
    "accept-fin": ({"kind": "fin", "at": "accept"}, ("closed_before_response", "reset")),
}


def expected_of(case, stream):
    """What weir-bench calls it, what the journal does."""
    _, error, end, *streamed = CASES[case]
    return streamed[0] if stream and streamed else (error, end)


def status_of(case):
    return CASES[case][0].get("status", 200) if case.startswith("status-") else 200


def load(mock, path, *options, requests=REQUESTS):
    body = ["-b", infer_body(stream=True, max_tokens=8).decode()] if "stream" in path else \
        ["-b", infer_body().decode()] if "infer" in path else []
    return bench("-c", str(CONNECTIONS), "-n", str(requests), *options, *body, mock.url(path))


def check_books(mock, run, path, struck, stream=False, lost=None):
    """All that weir-bench says against all that the mock does. `struck`: {case: count}, `lost`: {error: count}."""
    endpoint = path.split("?")[0]
    errors, statuses, ends = dict(lost or {}), {}, {}
    seen = run["requests"] - sum(errors.values())
    plain = seen - sum(struck.values())
    for case, count in list(struck.items()) + [(None, plain)]:
        error, end = expected_of(case, stream) if case else (OK, "answered")
        status = status_of(case) if case else 200
        if error is not OK:
            errors[error] = errors.get(error, 0) + count
        if error is OK or error.startswith("status_"):
            statuses[str(status)] = statuses.get(str(status), 0) + count
        ends[end] = ends.get(end, 0) + count
    name = f"{list(struck) if len(struck) == 1 else 'all kinds'} at {path}"
    equal(run.kinds(), {kind: count for kind, count in errors.items() if count}, f"errors of {name}")
    equal(run["status"], {status: count for status, count in statuses.items() if count}, f"statuses of {name}")
    mock.await_count(seen, path=endpoint)
    for end in ("answered", "cut", "refused", "disconnect", "given_up"):
        equal(mock.count(path=endpoint, end=end), ends.get(end, 0), f"end={end} in the journal, {name}")
    equal(mock.count(path=endpoint, fault="none"), plain + struck.get("spared", 0), f"records without a fault, {name}")
    for case, count in struck.items():
        if case == "spared":
            continue
        equal(mock.count(path=endpoint, fault=case), count, f"fault={case} in the journal, {name}")
        equal(mock.count(path=endpoint, fault=case, end=expected_of(case, stream)[1]), count, f"ends of {case}, {name}")
    # 2xx at the client: answered so here, or cut and yet complete as a message.
    complete = sum(count for case, count in struck.items() if expected_of(case, stream) == (OK, "cut"))
    got = sum(count for status, count in run["status"].items() if status.startswith("2"))
    equal(got, mock.count(path=endpoint, end="answered", status="2xx") + complete, f"2xx of {name}")
    check_stats(mock, endpoint, struck, ends, name)


def check_stats(mock, endpoint, struck, ends, name):
    stats = mock.stats()
    by_status = {}
    for record in mock.journal():
        if record["endpoint"] == endpoint and record["end"] == "answered":
            by_status[str(record["status"])] = by_status.get(str(record["status"]), 0) + 1
    equal(stats["endpoints"].get(endpoint, {}).get("by_status", {}), by_status, f"statistics and journal of {name}")
    equal(stats["answers_cut"], ends.get("cut", 0), f"answers_cut of {name}")
    equal(stats["faults"]["total"], sum(struck.values()) - struck.get("spared", 0), f"faults of {name}")
    for case, count in struck.items():
        kinds = {CASES[case][0]["kind"]: count} if count and case != "spared" else None
        equal(stats["faults"]["by_rule"].get(case), kinds, f"statistics of {case}, {name}")
        equal(mock.state(case, "struck", "active"), (count, 0), f"state of {case}, {name}")
    equal(stats["journal"]["dropped"], 0, "dropped records")


def each_case(stream):
    mock = Mock({"tokens": 8})
    path = "/api/infer?stream" if stream else "/api/infer"
    for case, (action, *_) in CASES.items():
        if case in STREAM_ONLY and not stream:
            continue
        mock.set_rules({"id": case, "when": {"probability": 0.1, "mode": "even"}, "do": action})
        run = load(mock, path)
        equal(run["requests"], REQUESTS, "sent")
        struck, lost = REQUESTS // 10, {}
        if case in UNANNOUNCED and expected_of(case, stream)[0] is OK:
            lost = {kind: count for kind, count in run.kinds().items() if kind in ("closed_before_response", "reset")}
            struck = mock.state(case, "struck")[0]
            at_most(sum(lost.values()), struck, f"requests lost on connections that {case} has ended")
            seen = REQUESTS - sum(lost.values())
            check(struck in (seen // 10, -(-seen // 10)), f"{struck} of {seen} struck by {case}")
        check_books(mock, run, path, {case: struck}, stream, lost)
        equal(mock.state(case, "matched"), (REQUESTS - sum(lost.values()),), f"requests that {case} was asked about")
    mock.as_before()


@test
def every_kind_of_a_plain_answer():
    each_case(False)


@test
def every_kind_of_a_stream():
    each_case(True)


@test
def all_kinds_at_once():
    """Each rule strikes what those before it have left."""
    for threads in ("1", "2"):
        mock = Mock({"tokens": 8}, "--threads", threads)
        for path in ("/api/models", "/api/infer", "/api/infer?stream"):
            cases = [case for case in CASES
                     if case not in UNANNOUNCED and (case not in STREAM_ONLY or "stream" in path)]
            mock.set_rules(*({"id": case, "when": {"probability": 0.02, "mode": "even"}, "do": CASES[case][0]}
                             for case in cases))
            run = load(mock, path, "-t", threads, requests=1000)
            mock.await_count(1000, path=path.split("?")[0])
            struck = {case: mock.state(case, "struck")[0] for case in cases}
            left = 1000
            for case in cases:
                check(struck[case] in (left * 2 // 100, -(-left * 2 // 100)), f"{struck[case]} of {left} for {case}")
                left -= struck[case]
            check_books(mock, run, path, struck, "stream" in path)
        mock.as_before()


@test
def behind_one_that_is_cut():
    """Pipelined requests behind one whose connection ends are lost with it. The mock has seen some of them, and may
    have handed over their answers: what a client calls 2xx is in the journal so, and not the other way round."""
    mock = Mock({"tokens": 8})
    for case in ("reset-bytes", "truncate", "nothing", "garbage", "bad-chunk", "partial-rst"):
        mock.set_rules({"id": case, "when": {"probability": 0.02, "mode": "even"}, "do": CASES[case][0]})
        run = load(mock, "/api/infer", "-p", "4", requests=400)
        lib.wait_until(mock.settled, "nothing is in progress")
        records, well = mock.count(path="/api/infer"), mock.count(path="/api/infer", end="answered", status="200")
        struck, matched = mock.state(case, "struck", "matched")
        equal(run["requests"], 400, f"sent under {case}")
        equal(run["errors"], sum(run.kinds().values()), f"errors of {case}")
        at_least(run["errors"], struck, f"errors of {case}, those behind included")
        at_most(run["errors"], struck * 4, f"errors of {case}, at most the depth for each that was struck")
        at_most(run["status"]["200"], well, f"2xx under {case}, answered at the mock")
        at_most(records, 400, f"records of {case}")
        at_least(records, run["status"]["200"] + struck, f"records of {case}")
        at_most(matched, records, f"requests that {case} was asked about")
        equal(mock.count(fault=case, end=CASES[case][2]), struck, f"records of {case}")
    mock.as_before()


@test
def a_stall_for_ever():
    """The client gives up: it calls that a timeout, the mock a disconnect of a request that was struck."""
    mock = Mock({"tokens": 8})
    for path in ("/api/infer", "/api/infer?stream"):
        for at in ("before_headers", "after_headers", "after_bytes:10"):
            mock.set_rules({"id": "stall", "when": {"probability": 0.1, "mode": "even"},
                            "do": {"kind": "stall", "at": at}})
            run = load(mock, path, "--timeout", PATIENCE, requests=60)
            equal((run.kinds(), run["status"]), ({"timeout": 6}, {"200": 54}), f"stalled at {at}")
            mock.await_count(60, path="/api/infer")
            equal(mock.count(fault="stall"), 6, "stalls in the journal")
            equal(mock.count(fault="stall", end="disconnect"), 6, "stalls that the client has left")
            stats = mock.stats()
            phase = "streaming" if "stream" in path else "delayed" if at == "before_headers" else "sent"
            equal({name: count for name, count in stats["disconnects"].items() if count}, {phase: 6}, "disconnects")
            equal(stats["faults"]["by_rule"], {"stall": {"stall": 6}}, "faults of the statistics")
            equal(mock.state("stall", "struck", "active"), (6, 0), "the rule")
    mock.as_before()


@test
def connections_that_are_not_taken():
    """sent == records + requests on connections that were struck when they were accepted: nobody has read those."""
    for threads in ("1", "2"):
        mock = Mock({"tokens": 8}, "--threads", threads)
        for case, (action, errors) in ACCEPTS.items():
            # The last rule has each answer end its connection, with a Connection: close.
            mock.set_rules({"id": case, "when": {"probability": 0.1, "mode": "even"}, "do": action},
                           {"id": "once", "do": {"kind": "slow_close", "us": 1}})
            before = mock.stats()["connections"]["total"]
            run = load(mock, "/api/infer")
            lost = sum(run.kinds().values())
            check(set(run.kinds()) <= set(errors), f"errors of {case}: {run.kinds()}")
            struck, matched = mock.state(case, "struck", "matched")
            # A connection that ends before a request was given to it costs none: the request takes the next.
            equal(matched, REQUESTS + struck - lost, f"connections under {case}")
            at_most(lost, struck, f"requests lost by {case}")
            check(struck in (matched // 10, -(-matched // 10)), f"{struck} of {matched} connections struck by {case}")
            seen = REQUESTS - lost
            mock.await_count(seen, path="/api/infer")
            equal(run["status"], {"200": seen}, f"statuses of {case}")
            equal(mock.count(path="/api/infer", status="200", end="answered"), seen, "answered")
            stats = mock.stats()
            equal(stats["faults"]["by_rule"], {case: {action["kind"]: struck}, "once": {"slow_close": seen}},
                  f"statistics of {case}")
            equal(stats["connections"]["total"] - before, matched, "connections that were accepted")
        mock.as_before()


@test
def connections_that_are_taken_late():
    mock = Mock({"tokens": 8})
    mock.set_rules({"id": "late", "when": {"first": 3}, "do": {"kind": "accept_delay", "us": 20 * MS}})
    run = load(mock, "/api/infer")
    equal((run.kinds(), run["status"]), ({}, {"200": REQUESTS}), "an accept delay")
    at_least(run["latency_us"]["max"], 20 * MS - 1, "the slowest")
    equal(mock.state("late", "struck"), (3,), "connections struck")
    mock.await_count(REQUESTS, path="/api/infer", end="answered", status="200")
    mock.as_before()


@test
def every_kind_is_in_the_books():
    """A kind that the mock knows without a case here is found: the error of a misspelt one names them all."""
    mock = Mock()
    status, _, answer = mock.ask("POST", "/admin/faults", '{"do": {"kind": "no_such_kind"}}')
    equal(status, 400, "a rule of a kind that is none")
    message = json.loads(answer)["error"]["message"]
    known = set(re.search("there are ([a-z_, ]+)", message)[1].split(", "))
    cases = {action["kind"] for action, *_ in CASES.values()} | {action["kind"] for action, _ in ACCEPTS.values()}
    equal(known, cases | {"accept_delay"}, f"kinds in {message!r}")
    mock.as_before()


if __name__ == "__main__":
    lib.main()
