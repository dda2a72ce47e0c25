#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""What rules make clients see, by file and administration; what is given back at once; what a request may ask for."""
import http.client
import json
import socket
import time

from rulelib import Mock, infer_body

import lib  # rulelib has found it
from lib import Raw, at_least, at_most, check, equal, request, test

JSON = {"Content-Type": "application/json"}
TOKENS = 8
MS = 1000  # microseconds
HOUR = 3600 * 1000 * MS
BEFORE, HEAD, BODY = "no answer", "head", "some of the body"
PLACES = {"accept": BEFORE, "before_headers": BEFORE, "after_headers": HEAD, "after_bytes:10": BODY,
          "after_tokens:3": BODY, "fraction:0.5": BODY}


def infer(mock, stream=False, headers=None, **more):
    """http.client's own answer: status, fields, body."""
    body = infer_body(stream=True, **more) if stream else infer_body(**more)
    return mock.ask("POST", "/api/infer", body, dict(JSON, **(headers or {})))


def chat(mock, stream=False, headers=None):
    body = {"model": "llama-13b", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    return mock.ask("POST", "/v1/chat/completions", json.dumps(body), dict(JSON, **(headers or {})))


def data_of(body):
    """What a reader of server-sent events gets out of a stream: the data of each event."""
    check(body.endswith(b"\n\n"), f"the last event is not over: {body[-80:]!r}")
    events = []
    for block in body.decode("utf-8", "replace").split("\n\n")[:-1]:
        lines = [line[len("data: "):] for line in block.split("\n") if line.startswith("data: ")]
        if lines:
            events.append("\n".join(lines))
    return events


def tokens_of(events):
    return [json.loads(event)["token"] for event in events if '"token"' in event]


def how_it_ended(mock, stream):
    """What a client's program is told: the error, how much there was before it."""
    client = http.client.HTTPConnection(*mock.address, timeout=lib.DEADLINE_S)
    came = BEFORE
    try:
        client.request("POST", "/api/infer", infer_body(stream=True) if stream else infer_body(), JSON)
        answer = client.getresponse()
        equal(answer.status, 200, "status")
        came = HEAD
        while True:
            if not answer.read(1):
                return "whole", came
            came = BODY
    except http.client.RemoteDisconnected:
        return "closed", came
    except (ConnectionResetError, BrokenPipeError):
        return "reset", came
    except http.client.IncompleteRead:
        return "incomplete", came
    finally:
        client.close()


# ---- The connection -------------------------------------------------------------------------------------------------

def breaks_of(kinds=("reset", "fin")):
    return {f"{kind}-{place.replace(':', '-')}": {"kind": kind, "at": place} for kind in kinds for place in PLACES}


def check_break(mock, name, action):
    for stream in (False, True):
        how, came = how_it_ended(mock, stream)
        expected = PLACES[action["at"]]
        if action["kind"] == "fin" and action["at"] == "accept":
            check(how in ("closed", "reset"), f"{name}: {how}")  # what comes behind the end is answered with a reset
        elif action["kind"] == "reset":
            equal(how, "reset", f"{name}, stream {stream}")
        elif stream:  # http.client says so of a chunk that is cut, and takes the end of the connection for the end else
            check(how in ("incomplete", "whole", "closed"), f"{name} of a stream: {how}")
        else:
            equal(how, "closed" if came == BEFORE else "whole", f"{name}")
        equal(came, expected, f"what came before {name}, stream {stream}")


@test
def broken_by_a_file():
    """All rules in one file, each switched on in its turn."""
    rules = [{"id": name, "enabled": False, "do": action} for name, action in breaks_of().items()]
    mock = Mock({"tokens": TOKENS, "faults": rules})
    for rule in rules:
        name = rule["id"]
        for enabled in (True, False):
            status, _, answer = mock.ask("PATCH", f"/admin/faults/{name}", json.dumps({"enabled": enabled}), JSON)
            equal(status, 200, f"switch of {name}: {answer}")
            if enabled:
                check_break(mock, name, rule["do"])
                equal(mock.state(name, "struck"), (2,), f"struck by {name}")
            else:
                equal(how_it_ended(mock, False)[0], "whole", f"without {name}")
    mock.as_before()


@test
def broken_by_the_administration():
    mock = Mock({"tokens": TOKENS})
    for name, action in breaks_of().items():
        mock.post_rule({"id": name, "when": {"first": 2}, "do": action})
        check_break(mock, name, action)
        lib.wait_until(lambda name=name: mock.state(name, "struck", "active") == (2, 0), f"{name} is over")
        equal(how_it_ended(mock, True), ("whole", BODY), f"behind the first two of {name}")
        equal(mock.ask("DELETE", f"/admin/faults/{name}")[0], 200, f"DELETE of {name}")
    equal(mock.states(), {}, "rules left")
    mock.as_before()


@test
def refused():
    mock = Mock()
    mock.post_rule({"id": "closed", "do": {"kind": "refuse"}})
    for _ in range(3):
        equal(how_it_ended(mock, False), ("reset", BEFORE), "a connection that is refused")
    equal(mock.state("closed", "matched", "struck", "active"), (3, 3, 0), "state of the rule")
    equal(mock.ask("DELETE", "/admin/faults/closed")[0], 200, "DELETE")
    equal(how_it_ended(mock, False)[0], "whole", "without the rule")
    equal(mock.count(path="/api/infer"), 1, "requests that were read")
    mock.as_before()


@test
def accepted_late():
    mock = Mock()
    mock.post_rule({"id": "late", "when": {"first": 1}, "do": {"kind": "accept_delay", "us": 80 * MS}})
    for least in (0.08, 0):
        began = time.monotonic()
        with Raw(mock.address) as raw:
            connected = time.monotonic() - began
            equal(raw.ask(request("GET", "/api/models")).status, 200, "status")
            took = time.monotonic() - began
            at_least(took, least, "seconds to the first answer of a connection")
            check(connected < 0.08 or least == 0, f"the connection itself is made at once, not in {connected:.3f} s")
            equal(raw.ask(request("GET", "/api/models")).status, 200, "the next request")
    slow, quick = [record["delivered_us"] for record in mock.journal() if record["endpoint"] == "/api/models"][::2]
    at_most(max(slow, quick), 80 * MS - 1, "the delay is the connection's, not the request's")
    mock.as_before()


def held_at_the_door(mock):
    """A connection that is not read for an hour."""
    mock.set_rules({"id": "late", "do": {"kind": "accept_delay", "us": HOUR}})
    raw = Raw(mock.address)
    raw.send(request("GET", "/api/models"))
    lib.wait_until(lambda: mock.state("late", "struck") == (1,), "it is struck")
    equal(mock.stats()["connections"]["active"], 1, "connections")
    equal(mock.count(path="/api/models"), 0, "requests that were read")
    return raw


@test
def gone_before_it_was_let_in():
    """A reset is noticed although nothing is read. An end could be that of a client that still wants its answer."""
    mock = Mock()
    held_at_the_door(mock).abort()
    lib.wait_until(mock.settled, "the mock has noticed that its client has gone")
    mock.as_before()


@test
def never_let_in():
    """The end of the mock does not wait for a connection that has no request."""
    mock = Mock()
    raw = held_at_the_door(mock)
    mock.stop()
    raw.close()


@test
def open_the_other_way():
    """half_close: the end, but whoever goes on writing gets no error; slow_close: all of it, the end later."""
    mock = Mock({"tokens": TOKENS})
    mock.set_rules({"id": "half", "do": {"kind": "half_close", "at": "after_bytes:10"}})
    for stream in (False, True):
        with Raw(mock.address) as raw:
            raw.send(request("POST", "/api/infer", infer_body(stream=True) if stream else infer_body()))
            rest = raw.rest()
            check(b"\r\n\r\n" in rest and not raw.reset, f"cut: {rest!r}")
            for _ in range(5):
                raw.socket.sendall(b"x" * 1000)  # raises if there was a reset
            lib.wait_until(lambda: mock.state("half", "active") == (0,), "the request is over")
            equal(mock.stats()["connections"]["active"], 1, "connections open")
            check(not raw.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "no error")
        lib.wait_until(mock.settled, "the client's end ends it")
    mock.set_rules({"id": "slow", "do": {"kind": "slow_close", "us": 80 * MS}})
    for stream in (False, True):
        with Raw(mock.address) as raw:
            began = time.monotonic()
            answer = raw.ask(request("POST", "/api/infer", infer_body(stream=True) if stream else infer_body()))
            equal(answer.fields["connection"], "close", "Connection")
            lib.wait_until(lambda: mock.state("slow", "active") == (0,), "the request is over")
            equal(raw.rest(), b"", "behind the answer")
            at_least(time.monotonic() - began, 0.08, "seconds to the end of the connection")
            check(not raw.reset, "a regular end")
    mock.as_before()


# ---- What is held, and given back -----------------------------------------------------------------------------------

HOLDERS = {
    "stall-before": {"kind": "stall", "at": "before_headers"},
    "stall": {"kind": "stall"},
    "stall-bytes": {"kind": "stall", "at": "after_bytes:10", "us": HOUR},
    "dribble": {"kind": "dribble", "chunks": 2, "total_us": HOUR},
    "split": {"kind": "split", "bytes": 20, "interval_us": HOUR},
    "bandwidth": {"kind": "bandwidth", "bytes_per_s": 1},
    "delay": {"kind": "delay", "delay": "1h"},
    "status": {"kind": "status", "status": 503, "delay": "1h"},
}


@test
def given_back_at_once():
    """One slot, held by a request that will not end; when its client goes the next one has it."""
    mock = Mock({"tokens": TOKENS, "limits": {"max_concurrency": 1}})
    for name, action in HOLDERS.items():
        for stream, way in ((False, "close"), (True, "close"), (True, "abort")):
            mock.set_rules({"id": name, "when": {"first": 1}, "do": action})
            holder = Raw(mock.address)
            holder.send(request("POST", "/api/infer", infer_body(stream=True) if stream else infer_body()))
            lib.wait_until(lambda: mock.state(name, "struck", "active") == (1, 1), f"{name} holds the slot")
            equal(mock.stats()["concurrency"]["active"], 1, "slots that are taken")
            with Raw(mock.address) as waiter:
                waiter.send(request("POST", "/api/infer", infer_body()))
                lib.wait_until(lambda: mock.stats()["queue"]["depth"] == 1, "another one waits")
                getattr(holder, way)()
                equal(waiter.response().status, 200, f"it has the slot of {name}")
            equal(mock.state(name, "struck", "active"), (1, 0), f"state of {name}")
            lib.wait_until(mock.settled, "nothing is in progress")
            equal(mock.count(fault=name, end="disconnect"), 1, f"the journal of {name}, stream {stream}, {way}")
            equal(sum(mock.stats()["disconnects"].values()), 1, "disconnects")
            if action["kind"] in ("delay", "status"):
                at_least(mock.stats()["timers_cancelled"], 1, "timers cancelled")
    mock.as_before()


@test
def a_rule_that_goes():
    """A rule that is deleted while a request of it is in progress still ends that one as it would have."""
    mock = Mock({"tokens": TOKENS})
    mock.set_rules({"id": "gone", "do": {"kind": "stall", "us": 150 * MS}})
    with Raw(mock.address) as raw:
        raw.send(request("POST", "/api/infer", infer_body()))
        lib.wait_until(lambda: mock.state("gone", "active") == (1,), "it is struck")
        equal(mock.ask("DELETE", "/admin/faults/gone")[0], 200, "DELETE")
        equal(infer(mock)[0], 200, "another one meanwhile")
        equal(raw.response().status, 200, "the one that was struck")
    equal(mock.count(fault="gone", end="answered"), 1, "its record still names the rule")
    mock.as_before()


# ---- Statuses and streams -------------------------------------------------------------------------------------------

@test
def statuses():
    mock = Mock({"tokens": TOKENS})
    mock.set_rules({"id": "limit", "do": {"kind": "status", "status": 429, "retry_after_s": 7}})
    for stream in (False, True):
        status, headers, body = infer(mock, stream)
        equal((status, headers["Retry-After"], headers["Content-Type"]), (429, "7", "application/json"), "an error")
        equal(sorted(json.loads(body)["error"]), ["field", "message", "type"], "the API's own shape")
        status, headers, body = chat(mock, stream)
        error = json.loads(body)["error"]
        equal((status, headers["Retry-After"]), (429, "7"), "an error of /v1")
        equal(sorted(error), ["code", "message", "param", "type"], "OpenAI's shape")
        equal(error["type"], "rate_limit_error", "OpenAI's name of it")
    equal({record["retry_after_s"] for record in mock.journal() if record["fault"]}, {7}, "Retry-After in the journal")
    mock.set_rules({"id": "own", "do": {"kind": "status", "status": 503, "body": '{"own":true}', "delay": "5ms"}})
    began = time.monotonic()
    status, headers, body = infer(mock)
    at_least(time.monotonic() - began, 0.005, "seconds, the delay of the error")
    equal((status, headers["Retry-After"], body), (503, None, b'{"own":true}'), "a body of its own")
    equal(headers["X-Mock-Delay-Us"], "5000", "the delay asked for")
    mock.set_rules({"id": "all", "do": {"kind": "status", "status": 500}})
    for method in ("GET", "HEAD"):
        status, headers, body = mock.ask(method, "/api/models")
        equal((status, body == b""), (500, method == "HEAD"), method)
    mock.as_before()


@test
def broken_streams():
    mock = Mock({"tokens": TOKENS})
    rule = {"id": "it", "match": {"header": {"x-case": "it"}}}

    def get(do, ask=infer):
        """The tokens of the same request without and with the fault, and all events with it."""
        mock.set_rules(dict(rule, do=do))
        key = {"X-Mock-Key": "9"}
        well = data_of(ask(mock, True, key)[2])
        status, _, body = ask(mock, True, dict(key, **{"X-Case": "it"}))
        equal(status, 200, f"status with {do}")
        equal(mock.state("it", "struck"), (1,), f"struck with {do}")
        return well, data_of(body), body

    for ask in (infer, chat):
        well, events, _ = get({"kind": "drop_done"}, ask)
        equal((well[-1], events), ("[DONE]", well[:-1]), "a stream without its end")
        well, events, _ = get({"kind": "status_in_stream", "status": 503, "at": "after_tokens:3"}, ask)
        first = 3 if ask is infer else 4  # that one's first event says the role
        equal(events[:-1], well[:first], "what comes before the error")
        error = json.loads(events[-1])["error"]
        equal(sorted(error), ["field", "message", "type"] if ask is infer else ["code", "message", "param", "type"],
              "the error's shape")
        well, events, _ = get({"kind": "dup_frame", "events": 2}, ask)
        at = first - 3 + 1
        equal(events, well[:at + 1] + well[at:], "the second token twice")
        well, events, body = get({"kind": "bad_sse", "events": 2}, ask)
        equal(events, well[:at] + well[at + 1:], "the second token is lost")
        check(b"\xff" in body, "by a byte that is not UTF-8")
        well, events, _ = get({"kind": "bad_json", "events": 2}, ask)
        equal(events[:at] + events[at + 1:], well[:at] + well[at + 1:], "the others are well")
        check(well[at].startswith(events[at]), f"half of the second: {events[at]}")
        try:
            raise AssertionError(f"not broken: {json.loads(events[at])}")
        except json.JSONDecodeError:
            pass
    well, events, _ = get({"kind": "status_in_stream", "at": "fraction:0.5"})
    equal(len(tokens_of(events)), TOKENS // 2, "tokens up to the middle")
    equal([record["end"] for record in mock.journal() if record["fault"]], ["cut"], "end in the journal")
    mock.set_rules({"id": "it", "do": {"kind": "bad_json"}})
    body = infer(mock)[2]
    check(body.startswith(b'{"text"') and not body.endswith(b"}"), f"half an object: {body}")
    kinds = ("drop_done", "dup_frame", "bad_sse", "status_in_stream")
    mock.set_rules(*({"id": kind, "do": {"kind": kind}} for kind in kinds))
    equal(infer(mock)[0], 200, "a plain answer under faults of streams")
    equal([state["matched"] for state in mock.states().values()], [0] * 4, "they do not speak of it")
    mock.as_before()


# ---- What a request asks for ----------------------------------------------------------------------------------------

OVERRIDES = ({"X-Mock-Fault": "status=503"}, {"X-Mock-Fault": "not understood"}, {"X-Mock-Status": "503"},
             {"X-Mock-Delay": "90ms"}, {"X-Mock-TTFT": "90ms"}, {"X-Mock-ITL": "90ms"}, {"X-Mock-Tokens": "3"},
             {"X-Return-Error": "503"}, {"x-envoy-fault-delay-request": "90"}, {"x-envoy-fault-abort-request": "503"})


@test
def not_allowed():
    """Unless the configuration says so these are fields as any other, not even looked at."""
    for config in ({"tokens": TOKENS}, {"tokens": TOKENS, "overrides": False}):
        mock = Mock(config)
        for fields in OVERRIDES:
            status, headers, body = infer(mock, True, fields)
            equal((status, headers["X-Mock-Delay-Us"], len(tokens_of(data_of(body)))), (200, "0", TOKENS), f"{fields}")
        equal({record["asked_us"] for record in mock.journal() if record["endpoint"] == "/api/infer"}, {0}, "asked")
        mock.as_before()


@test
def allowed():
    mock = Mock({"tokens": TOKENS, "overrides": True})

    def last():
        mock.await_count(1, path="/api/infer")
        record = [record for record in mock.journal() if record["endpoint"] == "/api/infer"][-1]
        mock.reset()
        return record

    mock.reset()
    for value, delay_us in (("1500us", 1500), ("2ms", 2000), ("fixed:0.75ms", 750)):
        for stream in (False, True):
            status, headers, _ = infer(mock, stream, {"X-Mock-Delay": value})
            equal((status, headers["X-Mock-Delay-Us"]), (200, str(delay_us)), f"X-Mock-Delay: {value}")
            at_least(last()["delivered_us"], delay_us, "delivered")
    _, headers, body = infer(mock, True, {"X-Mock-TTFT": "3ms", "X-Mock-ITL": "2ms", "X-Mock-Tokens": "5"})
    equal((headers["X-Mock-Delay-Us"], len(tokens_of(data_of(body)))), ("3000", 5), "tokens at a pace")
    record = last()
    equal((record["asked_us"], record["output_tokens"]), (3000 + 4 * 2000, 5), "what was asked")
    at_least(record["ttft_us"], 3000, "the first token")
    at_least(record["delivered_us"], 11000, "the last one")
    for fields, status, retry in (({"X-Mock-Status": "503"}, 503, None), ({"X-Return-Error": "418"}, 418, None),
                                  ({"x-envoy-fault-abort-request": "504"}, 504, None),
                                  ({"X-Mock-Status": "503:0", "X-Return-Error": "418"}, 418, None),
                                  ({"X-Mock-Fault": "status=429,retry_after=2"}, 429, "2")):
        for stream in (False, True):
            got, headers, _ = infer(mock, stream, fields)
            equal((got, headers["Retry-After"]), (status, retry), f"{fields}")
            equal(last()["fault"], {"rule": None, "kind": "status"}, f"the journal of {fields}")
    got, headers, _ = infer(mock, False, {"x-envoy-fault-delay-request": "3"})
    equal((got, headers["X-Mock-Delay-Us"]), (200, "3000"), "Envoy's delay")
    last()
    for fields in ({"X-Mock-Fault": "refuse"}, {"X-Mock-Fault": "reset@accept"}, {"X-Mock-Fault": "stauts=503"},
                   {"X-Mock-Delay": "5"}, {"X-Mock-Tokens": "0"}, {"X-Mock-Status": "429:60,503:60"},
                   {"X-Mock-TTFT": "hgrm:file=/etc/passwd"}):
        got, _, body = infer(mock, False, fields)
        equal((got, json.loads(body)["error"]["field"]), (400, list(fields)[0]), f"{fields}")
        equal(last()["fault"], None, f"the journal of {fields}")
    mock.as_before()


@test
def faults_that_are_asked_for():
    """X-Mock-Fault does what a rule does, when no rule strikes."""
    mock = Mock({"tokens": TOKENS, "overrides": True})
    for word, stream, expected in (("reset", False, (b"", True)), ("fin", True, (b"", False)),
                                   ("empty,no_headers", False, (b"", False)),
                                   ("garbage,body=rubbish, all of it", False, (b"rubbish, all of it", False)),
                                   ("partial_headers=20", True, (b"HTTP/1.1 200 OK\r\nDat", False))):
        with Raw(mock.address) as raw:
            body = infer_body(stream=stream)
            raw.send(request("POST", "/api/infer", body, [f"X-Mock-Fault: {word}"]))
            equal((raw.rest(), raw.reset), expected, word)
    for word, tokens in (("reset@tokens=3", 3), ("truncate@tokens=2,rst", 2), ("stall@tokens=2,duration=20ms", TOKENS)):
        with Raw(mock.address) as raw:
            raw.send(request("POST", "/api/infer", infer_body(stream=True), [f"X-Mock-Fault: {word}"]))
            if "stall" in word:
                equal(len(tokens_of(data_of(raw.response().body))), tokens, word)
            else:
                equal((raw.rest().count(b'"token"'), raw.reset), (tokens, True), word)
    mock.set_rules({"id": "first", "match": {"header": {"x-case": "ruled"}}, "do": {"kind": "status", "status": 503}})
    fields = {"X-Mock-Fault": "status=429"}
    equal(infer(mock, False, fields)[0], 429, "no rule strikes")
    equal(infer(mock, False, dict(fields, **{"X-Case": "ruled"}))[0], 503, "a rule counts more")
    equal(mock.stats()["faults"]["total"], 2, "both are counted")
    began = time.monotonic()
    status, headers, _ = infer(mock, False, {"X-Mock-Fault": "delay=4ms", "X-Mock-Delay": "1ms"})
    equal((status, headers["X-Mock-Delay-Us"]), (200, "5000"), "an extra delay")
    at_least(time.monotonic() - began, 0.005, "seconds of it")
    equal(mock.count(fault="delay"), 1, "it is in the journal")
    equal(mock.stats()["faults"]["total"], 3, "and in the statistics")
    mock.as_before()


@test
def weights():
    """X-Mock-Status: each key has one draw, whatever the threads; the shares are those asked for."""
    seen = []
    for threads in ("1", "4"):
        mock = Mock({"seed": 3, "overrides": True}, "--threads", threads)
        by_key = []
        with Raw(mock.address) as raw:
            for key in range(400):
                fields = [f"X-Mock-Key: {key}", "X-Mock-Status: 429:25,503:12.5"]
                raw.send(request("GET", "/api/models", headers=fields))
                by_key.append(raw.response().status)
        seen.append(by_key)
        mock.as_before()
    equal(seen[0], seen[1], "statuses by key with 1 and 4 threads")
    for status, share in ((429, 0.25), (503, 0.125), (200, 0.625)):
        count = seen[0].count(status)
        at_most(abs(count - 400 * share), 4 * (400 * share * (1 - share)) ** 0.5, f"{count} with {status}")


# ---- The option -----------------------------------------------------------------------------------------------------

@test
def a_rate_of_errors():
    """--error-rate: that share of the API's requests by key; health checks and the administration are spared."""
    seen = []
    for threads in ("1", "4"):
        mock = Mock(None, "--error-rate", "0.2", "--seed", "5", "--threads", threads)
        by_key = []
        with Raw(mock.address) as raw:
            for key in range(400):
                raw.send(request("GET", "/api/models", headers=[f"X-Mock-Key: {key}"]))
                by_key.append(raw.response().status)
            equal({raw.ask(request("GET", "/api/health")).status for _ in range(50)}, {200}, "health checks")
        equal(set(by_key), {200, 500}, "statuses")
        at_most(abs(by_key.count(500) - 80), 4 * (400 * 0.2 * 0.8) ** 0.5, "errors off 20 %")
        mock.await_count(by_key.count(500), path="/api/models", status="500")
        equal(mock.stats()["faults"]["total"], by_key.count(500), "faults of the statistics")
        seen.append(by_key)
        mock.as_before()
    equal(seen[0], seen[1], "errors by key with 1 and 4 threads")
    for rate, statuses in (("0", {200}), ("1", {500})):
        mock = Mock(None, "--error-rate", rate)
        equal({mock.ask("GET", "/api/models")[0] for _ in range(10)}, statuses, f"--error-rate {rate}")
        mock.as_before()


if __name__ == "__main__":
    lib.main()
