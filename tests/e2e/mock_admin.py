#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""weir-mock under /admin/: what is changed is changed for all threads at once, and what is told is what happened."""
import http.client
import json
import os
import re
import signal
import time

import lib
from lib import Mock, Raw, at_least, at_most, check, equal, request, test

INFER = b'{"model_id":"bitnet-7b","prompt":"hi"}'


def ask(mock, method, path, tree=None, headers=None):
    """Status, fields, and the body as JSON."""
    status, fields, body = mock.ask(method, path, None if tree is None else json.dumps(tree), headers)
    return status, fields, json.loads(body)


def ok(mock, method, path, tree=None, status=200):
    got, _, body = ask(mock, method, path, tree)
    equal(got, status, f"{method} {path} {tree}: {body}")
    return body


def error_of(answer, status, field=None):
    """The message of an error that must have this status and field."""
    got, _, body = answer
    equal((got, list(body)), (status, ["error"]), f"an error: {body}")
    equal(body["error"]["field"], field, f"field of {body}")
    return body["error"]["message"]


# ---- /admin/config --------------------------------------------------------------------------------------------------

@test
def config_is_patched():
    mock = Mock()
    status, fields, first = ask(mock, "GET", "/admin/config")
    equal((status, fields["ETag"], fields["Content-Type"]), (200, '"1"', "application/json"), "at the start")
    status, fields, tree = ask(mock, "PATCH", "/admin/config", {"limits": {"max_concurrency": 8, "overflow": 429}, "seed": 7})
    equal((status, fields["ETag"]), (200, '"2"'), "the first change")
    equal((tree["limits"]["max_concurrency"], tree["seed"]), (8, 7), "what it did")
    equal(tree["limits"]["retry_after_s"], first["limits"]["retry_after_s"], "what it did not")
    equal(ask(mock, "GET", "/admin/config")[2], tree, "the answer to a patch is the configuration")
    # null is back to the default, whatever that follows from.
    tree = ok(mock, "PATCH", "/admin/config", {"limits": {"preset": "vllm", "max_concurrency": None, "overflow": None}})
    equal([tree["limits"][key] for key in ("max_concurrency", "queue_depth", "overflow")], [5, 1000, "429"], "the preset's figures")
    tree = ok(mock, "PATCH", "/admin/config", {"limits": None})
    equal((tree["limits"], tree["seed"]), (first["limits"], 7), "limits as they were, the rest as it is")
    tree = ok(mock, "PATCH", "/admin/config", {"models": [{"id": "a"}], "latency": {"delay": {"dist": "fixed", "value_us": 5}}})
    equal([model["id"] for model in tree["models"]], ["a"], "an array is replaced whole")
    tree = ok(mock, "PATCH", "/admin/config", {"seed": None, "models": None, "latency": None})
    equal(tree, first, "all defaults again")
    equal(mock.stats()["generation"], 6, "generation in /admin/stats")
    equal(mock.metrics()["mock_config_generation"], 6, "mock_config_generation")
    status, fields, body = mock.ask("HEAD", "/admin/config")
    equal((status, fields["ETag"], body), (200, '"6"', b""), "HEAD")
    status, fields, _ = mock.ask("POST", "/admin/config", b"{}")
    equal((status, fields["Allow"]), (405, "GET, HEAD, PATCH"), "POST")
    mock.stop()


@test
def if_match():
    mock = Mock()
    patch = {"tokens": 3}
    equal(ask(mock, "PATCH", "/admin/config", patch, {"If-Match": '"1"'})[0], 200, "the generation that is")
    before = ask(mock, "GET", "/admin/config")
    for generation in ('"1"', "1", '"3"', "999999"):
        for method, path, tree in (("PATCH", "/admin/config", {"tokens": 4}), ("POST", "/admin/faults", {"do": {"kind": "reset"}}),
                                   ("PUT", "/admin/faults/x", {"do": {"kind": "reset"}}), ("DELETE", "/admin/faults/x", None)):
            answer = ask(mock, method, path, tree, {"If-Match": generation})
            check("generation 2" in error_of(answer, 412), f"{method} {path} If-Match: {generation}: {answer[2]}")
            equal(answer[2]["error"]["type"], "precondition_failed", "type")
    # What is no generation is no generation that there is: RFC 9110 section 13.1.1.
    for junk in ('"x"', "", '"2', "0", "-1", '"1", "2"', 'W/"2"', "18446744073709551618"):
        error_of(ask(mock, "PATCH", "/admin/config", {"tokens": 4}, {"If-Match": junk}), 412)
    equal(ask(mock, "GET", "/admin/config")[2], before[2], "nothing of that counted")
    for match in ("*", "3", '"4"'):
        equal(ask(mock, "PATCH", "/admin/config", patch, {"If-Match": match})[0], 200, f"If-Match: {match}")
    equal(ask(mock, "GET", "/admin/config")[1]["ETag"], '"5"', "generation")
    mock.stop()


@test
def only_one_of_two_writers_wins():
    """Readers that change what they have read: none overwrites what it has not seen."""
    mock = Mock("--threads", "2")
    clients = [Raw(mock.address) for _ in range(4)]
    done = 0
    while done < 20:
        answers = [client.ask(request("GET", "/admin/config")) for client in clients]
        for client, answer in zip(clients, answers):
            body = json.dumps({"tokens": answer.json()["tokens"] + 1}).encode()
            client.send(request("PATCH", "/admin/config", body, [f"If-Match: {answer.fields['etag']}"]))
        statuses = sorted(client.response().status for client in clients)
        equal(statuses, [200, 412, 412, 412], "of four that saw the same generation")
        done += 1
    equal(mock.get_json("/admin/config")["tokens"], 100 + done, "tokens: one more for each that was told so")
    for client in clients:
        client.close()
    mock.stop()


@test
def every_thread_follows():
    """Behind the answer to a PATCH no request sees what was before, on whatever thread its connection is."""
    mock = Mock("--threads", "4")
    pool = [Raw(mock.address) for _ in range(16)]
    for raw in pool:
        equal(raw.ask(request("GET", "/api/health")).status, 200, "a connection")
    infer = request("POST", "/api/infer", INFER)
    for tokens in (7, 11, 13, 17, 19):
        ok(mock, "PATCH", "/admin/config", {"tokens": tokens})
        for i in range(200):
            pool[i % len(pool)].send(infer)
        for i in range(200):
            equal(pool[i % len(pool)].response().json()["tokens"], tokens, "tokens of an answer behind the patch")
    busy = {entry["thread"] for entry in mock.journal() if entry["endpoint"] == "/api/infer"}
    at_least(len(busy), 2, "threads that answered")
    for raw in pool:
        raw.close()
    mock.stop()


@test
def wrong_methods_and_paths():
    mock = Mock()
    for method, path, allow in (("PUT", "/admin/config", "GET, HEAD, PATCH"), ("DELETE", "/admin/faults", "GET, HEAD, POST"),
                                ("POST", "/admin/faults/x", "GET, HEAD, PUT, PATCH, DELETE"), ("GET", "/admin/reset", "POST"),
                                ("GET", "/admin/drain", "POST"), ("POST", "/admin/events", "GET"),
                                ("HEAD", "/admin/events", "GET"), ("POST", "/admin/stats", "GET, HEAD")):
        status, fields, _ = mock.ask(method, path)
        equal((status, fields["Allow"]), (405, allow), f"{method} {path}")
    for path in ("/admin/nothing", "/admin/config/", "/admin/faults/a/b", "/admin/requests/counts"):
        equal(mock.ask("GET", path)[0], 404, path)
    for path in ("/admin", "/admin/"):
        status, fields, body = mock.ask("GET", path)
        equal((status, fields["Content-Type"]), (200, "text/html; charset=utf-8"), path)
        check(b"<html" in body, "a page")
    mock.stop()


@test
def pages_of_others_change_nothing():
    """A page in somebody's browser may send what needs no preflight: a POST of text. It says where it is from."""
    mock = Mock()
    own = f"http://{mock.text}"
    foreign = ("http://evil.example", "null", "", own + ".evil.example", f"http://x{mock.text}", "http://127.0.0.1")
    for origin in foreign:
        for method, path in (("POST", "/admin/reset"), ("POST", "/admin/drain"), ("POST", "/admin/faults"),
                             ("PATCH", "/admin/config"), ("DELETE", "/admin/faults/x")):
            error_of(ask(mock, method, path, {}, {"Origin": origin}), 403, "Origin")
        equal(mock.ask("GET", "/admin/stats", headers={"Origin": origin})[0], 200, "reading is for the browser to forbid")
    for origin in (own, own.upper()):
        equal(mock.ask("POST", "/admin/reset", headers={"Origin": origin})[0], 200, f"the mock's own page, {origin}")
    equal(mock.get_json("/admin/faults"), {"generation": 1, "faults": []}, "nothing has changed")
    mock.stop()


# ---- /admin/faults --------------------------------------------------------------------------------------------------

RULE = {"id": "slow", "match": {"path": "/api/infer"}, "do": {"kind": "status", "status": 503}}


def state_of(mock, name):
    return ok(mock, "GET", f"/admin/faults/{name}")["state"]


@test
def faults_are_kept():
    mock = Mock("--threads", "2")
    equal(ok(mock, "GET", "/admin/faults"), {"generation": 1, "faults": []}, "none at the start")
    status, fields, body = ask(mock, "POST", "/admin/faults", RULE)
    equal((status, fields["ETag"], body["generation"]), (201, '"2"', 2), "the first")
    equal([rule["id"] for rule in body["faults"]], ["slow"], "the rules, told back")
    check("'slow'" in error_of(ask(mock, "POST", "/admin/faults", RULE), 409), "a second of that name")
    body = ok(mock, "POST", "/admin/faults", {"do": {"kind": "reset"}, "when": {"every": 1000}}, 201)
    equal([rule["id"] for rule in body["faults"]], ["slow", "rule-2"], "one without a name")
    for _ in range(3):
        equal(mock.ask("POST", "/api/infer", INFER)[0], 503, "an answer that the rule decides")
    state = state_of(mock, "slow")
    equal((state["matched"], state["struck"], state["active"], state["alive"]), (3, 3, 0, True), "state of the rule")
    # Switched off and on: its counts stay.
    equal(ok(mock, "PATCH", "/admin/faults/slow", {"enabled": False})["enabled"], False, "switched off")
    equal(mock.ask("POST", "/api/infer", INFER)[0], 200, "an answer while it is off")
    rule = ok(mock, "PATCH", "/admin/faults/slow", {"enabled": None})
    equal((rule["state"]["struck"], "enabled" in rule and not rule["enabled"]), (3, False), "switched on")
    # Changed: it begins anew, in its place.
    rule = ok(mock, "PATCH", "/admin/faults/slow", {"do": {"status": 429, "retry_after_s": 9}})
    equal((rule["do"]["status"], rule["do"]["kind"], rule["state"]["struck"]), (429, "status", 0), "another status")
    status, fields, _ = mock.ask("POST", "/api/infer", INFER)
    equal((status, fields["Retry-After"]), (429, "9"), "an answer by the new rule")
    rule = ok(mock, "PUT", "/admin/faults/slow", {"id": "slow", "do": {"kind": "delay", "delay": "1ms"}})
    equal(rule["do"]["kind"], "delay", "put in the place of the old one")
    equal(ok(mock, "PUT", "/admin/faults/third", {"do": {"kind": "none"}}, 201)["id"], "third", "put where there was none")
    equal([rule["id"] for rule in ok(mock, "GET", "/admin/faults")["faults"]], ["slow", "rule-2", "third"], "the order")
    rules = mock.get_json("/admin/config")["faults"]
    equal([rule["id"] for rule in rules], ["slow", "rule-2", "third"], "and in the configuration")
    equal(ok(mock, "DELETE", "/admin/faults/rule-2"), {"status": "deleted"}, "deleted")
    for method in ("GET", "DELETE", "PATCH"):
        error_of(ask(mock, method, "/admin/faults/rule-2", {} if method == "PATCH" else None), 404)
    equal([rule["id"] for rule in ok(mock, "GET", "/admin/faults")["faults"]], ["slow", "third"], "those that are left")
    equal(ok(mock, "PATCH", "/admin/config", {"faults": None})["faults"], [], "none again")
    mock.stop()


@test
def faults_that_are_wrong():
    mock = Mock()
    ok(mock, "POST", "/admin/faults", RULE, 201)
    before = ok(mock, "GET", "/admin/faults")
    for method, path, tree, status, field, word in (
            ("POST", "/admin/faults", {"id": "x"}, 400, "/faults/1/do", ""),
            ("POST", "/admin/faults", {"do": {"kind": "rest"}}, 400, "/faults/1/do/kind", "reset"),
            ("POST", "/admin/faults", {"do": {"kind": "reset", "evnts": 1}}, 400, "/faults/1/do/evnts", ""),
            ("POST", "/admin/faults", {"id": "a b", "do": {"kind": "reset"}}, 400, "/faults/1/id", ""),
            ("POST", "/admin/faults", {"id": 5, "do": {"kind": "reset"}}, 400, "/faults/1/id", ""),
            ("POST", "/admin/faults", [], 400, "/faults/1", "an object"),
            ("PUT", "/admin/faults/slow", {"do": {"kind": "reset", "at": "nowhere"}}, 400, "/faults/0/do/at", ""),
            ("PUT", "/admin/faults/slow", {"id": "fast", "do": {"kind": "reset"}}, 400, None, "'slow'"),
            ("PUT", "/admin/faults/slow", [], 400, None, "an object"),
            ("PUT", "/admin/faults/a%20b", {"do": {"kind": "reset"}}, 400, "/faults/1/id", ""),
            ("PATCH", "/admin/faults/slow", {"id": "fast"}, 400, None, "'slow'"),
            ("PATCH", "/admin/faults/slow", {"when": {"probability": 2}}, 400, "/faults/0/when/probability", ""),
            ("PATCH", "/admin/faults/slow", {"do": None}, 400, "/faults/0/do", ""),
            ("PUT", f"/admin/faults/{'x' * 48}", {"do": {"kind": "reset"}}, 404, None, "id"),
            ("GET", "/admin/faults/%00", None, 404, None, "id")):
        message = error_of(ask(mock, method, path, tree), status, field)
        check(word in message, f"{word!r} is not in {message!r}")
        equal(ok(mock, "GET", "/admin/faults"), before, f"the rules after {method} {path} {tree}")
    status, _, body = mock.ask("POST", "/admin/faults", b"{")
    check(status == 400 and b"body:" in body, body)
    equal(ok(mock, "GET", "/admin/faults/%73low")["id"], "slow", "an id with a percent sign")
    mock.stop()


# ---- Reset ----------------------------------------------------------------------------------------------------------

@test
def reset_takes_all_back():
    mock = Mock("--threads", "2", "--latency", "100us")
    ok(mock, "POST", "/admin/faults", RULE | {"when": {"every": 2}}, 201)
    with Raw(mock.address) as raw:
        for i in range(1, 7):
            equal(raw.ask(request("POST", "/api/infer", INFER)).status, 200 if i % 2 else 503, f"infer {i}")
        equal(raw.ask(request("POST", "/api/models/load", b'{"model_id":"bitnet-7b"}')).status, 200, "load")
        equal(state_of(mock, "slow")["struck"], 3, "strikes")
        generation = mock.stats()["generation"]
        equal(ok(mock, "POST", "/admin/reset"), {"status": "reset"}, "reset")
        stats = mock.stats()
        equal((stats["endpoints"].get("/api/infer"), stats["faults_injected"], stats["asked_us"]["count"]), (None, 0, 0), "counts")
        equal(stats["memory"]["loads"], 0, "loads")
        equal([model["state"] for model in stats["models"]], ["unloaded", "unloaded"], "models")
        equal([entry["endpoint"] for entry in mock.journal()], ["/admin/reset", "/admin/stats"], "the journal")
        state = state_of(mock, "slow")
        equal((state["matched"], state["struck"]), (0, 0), "the rule is there, and begins anew")
        equal(stats["generation"], generation, "the configuration is as it was")
        equal(raw.ask(request("POST", "/api/infer", INFER)).status, 200, "the first since")
        equal(raw.ask(request("POST", "/api/infer", INFER)).status, 503, "the second")
    metrics = mock.metrics()
    equal(lib.answered(metrics)[("/api/infer", "POST", 503)], 1, "and in the metrics")
    mock.stop()


# ---- Drain ----------------------------------------------------------------------------------------------------------

@test
def drain_completes_what_is_in_flight():
    for options in (("--threads", "1"), ("--threads", "4"), ("--threads", "2", "--admin", "0")):
        mock = Mock("--latency", "75ms", *options)
        waiting = [Raw(mock.address) for _ in range(6)]
        for raw in waiting[:3]:
            raw.send(request("POST", "/api/infer", INFER))
        for raw in waiting[3:]:
            raw.send(request("POST", "/api/infer", b'{"model_id":"bitnet-7b","prompt":"hi","stream":true}'))
        lib.wait_until(lambda: mock.stats()["concurrency"]["in_flight"] == 6, "all are in flight")
        status, fields, body = mock.ask("POST", "/admin/drain")
        equal((status, json.loads(body), fields["Content-Type"]), (202, {"status": "draining"}, "application/json"), "the answer")
        for raw in waiting:
            answer = raw.response()
            equal(answer.status, 200, "an answer that was in flight")
            check(b"finish_reason" in answer.body, answer.body)
            equal(raw.rest(), b"", "and the end")
            raw.close()
        equal((mock.wait(), mock.stderr), (0, ""), "exit status and words")


@test
def drain_twice_is_harmless():
    mock = Mock("--latency", "100ms", "--threads", "2")
    drains = [Raw(mock.address) for _ in range(3)]
    for raw in drains:
        equal(raw.ask(request("GET", "/api/health")).status, 200, "a connection")
    with Raw(mock.address) as raw:
        raw.send(request("POST", "/api/infer", INFER))
        lib.wait_until(lambda: mock.stats()["concurrency"]["in_flight"] == 1, "it is in flight")
        for other in drains:
            other.send(request("POST", "/admin/drain") * 2)
        # One is answered. The others either, or their connections were closed before they were read.
        answered = 0
        for other in drains:
            for piece in other.rest().split(b"HTTP/1.1 ")[1:]:
                check(piece.startswith(b"202 "), piece)
                answered += 1
        at_least(answered, 1, "drains that were answered")
        equal(raw.response().status, 200, "what was in flight")
    equal((mock.wait(), mock.stderr), (0, ""), "exit status and words")


@test
def draining_says_so():
    mock = Mock("--latency", "150ms", "--admin", "0")
    with Raw(mock.address) as raw, Raw(mock.address) as health:
        equal(health.ask(request("GET", "/health")).json(), {"status": "ok"}, "/health before")
        health.send(request("POST", "/api/infer", INFER))
        raw.send(request("POST", "/api/infer", INFER))
        lib.wait_until(lambda: mock.stats()["concurrency"]["in_flight"] == 2, "in flight")
        equal(mock.ask("POST", "/admin/drain")[0], 202, "drain")
        lib.wait_until(lambda: lib.refused(mock.address), "nothing listens any more")
        health.send(request("GET", "/health"))
        answer = raw.response()
        equal((answer.status, answer.fields.get("connection")), (200, "close"), "what was in flight")
        equal(raw.rest(), b"", "and the end")
        equal(health.response().status, 200, "what was in flight, with more behind it")
        answer = health.response()
        equal((answer.status, answer.json(), answer.fields.get("connection")), (503, {"status": "draining"}, "close"), "/health")
        equal(health.rest(), b"", "and the end")
    equal((mock.wait(), mock.stderr), (0, ""), "exit status and words")


@test
def a_signal_behind_a_drain_ends_it():
    mock = Mock("--latency", "1h")
    with Raw(mock.address) as raw:
        raw.send(request("POST", "/api/infer", INFER))
        lib.wait_until(lambda: mock.stats()["concurrency"]["in_flight"] == 1, "it is in flight")
        equal(mock.ask("POST", "/admin/drain")[0], 202, "drain")
        lib.wait_until(lambda: lib.refused(mock.address), "it drains")
        mock.signal(signal.SIGTERM)
        equal((mock.wait(), mock.stderr), (128 + signal.SIGTERM, ""), "exit status and words")


# ---- A port of its own ----------------------------------------------------------------------------------------------

def ask_at(address, method, path, body=None):
    """Mock.ask() chooses the port by the path: this one does as it is told."""
    client = http.client.HTTPConnection(*address, timeout=lib.DEADLINE_S)
    try:
        client.request(method, path, body)
        answer = client.getresponse()
        answer.read()
        return answer.status
    finally:
        client.close()


ADMIN_PATHS = ["/admin/", "/admin/stats", "/admin/requests", "/admin/requests/count", "/admin/audit", "/admin/config",
               "/admin/faults"]


@test
def admin_port():
    for option, host in (("0", "127.0.0.1"), ("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")):
        if host == "::1" and not os.path.exists("/proc/net/if_inet6"):
            continue
        mock = Mock("--admin", option, "--threads", "2")
        address = mock.admin_address
        equal(address[0], host, f"--admin {option}")
        check(address[1] != mock.address[1], "another port")
        for path in ADMIN_PATHS + ["/admin/events", "/admin/faults/x"]:
            equal(ask_at(mock.address, "GET", path), 404, f"{path} on the main port")
        for path in ("/admin/reset", "/admin/drain"):
            equal(ask_at(mock.address, "POST", path), 404, f"{path} on the main port")
        for path in ADMIN_PATHS + ["/metrics", "/health", "/version", "/api/health"]:
            equal(ask_at(address, "GET", path), 200, f"{path} on the admin port")
        for path in ("/metrics", "/health", "/version", "/api/health"):
            equal(ask_at(mock.address, "GET", path), 200, f"{path} on the main port")
        equal(ask_at(address, "POST", "/api/infer", INFER), 404, "infer on the admin port")
        equal(ask_at(address, "PATCH", "/admin/config", b'{"tokens": 3}'), 200, "a patch")
        equal(json.loads(mock.ask("POST", "/api/infer", INFER)[2])["tokens"], 3, "what it did")
        with Raw(address) as raw:
            raw.send(request("GET", "/admin/events"))
            equal(next_event(Events(raw))["totals"]["faults"], 0, "an event")
        mock.stop()


@test
def admin_port_that_is_taken():
    mock = Mock("--admin", "0")
    port = str(mock.admin_address[1])
    program = lib.run([lib.MOCK, "--listen", "127.0.0.1:0", "--admin", port])
    equal((program.process.returncode, program.stdout), (1, ""), "a second one")
    check(port in program.stderr and "in use" in program.stderr, program.stderr)
    for wrong in ("x", "70000", "1.2.3.4", ""):
        program = lib.run([lib.MOCK, "--listen", "127.0.0.1:0", "--admin", wrong])
        equal((program.process.returncode, program.stdout), (1, ""), f"--admin {wrong!r}")
        check("--admin" in program.stderr or wrong in program.stderr, program.stderr)
    mock.stop()


# ---- Events ---------------------------------------------------------------------------------------------------------

class Events:
    """The stream of /admin/events, chunk by chunk, behind its head."""

    def __init__(self, raw):
        head = raw.until(b"\r\n\r\n").decode("latin-1")
        check(head.startswith("HTTP/1.1 200 ") and "text/event-stream" in head and "no-cache" in head, head)
        self.raw, self.text, self.ended = raw, "", False

    def fill(self):
        size = int(self.raw.until(b"\r\n"), 16)
        if size == 0:
            self.raw.until(b"\r\n")
            self.ended = True
            return False
        self.text += self.raw.exactly(size).decode("utf-8")
        self.raw.exactly(2)
        return True

    def next(self):
        """The next block of the stream; None at its end."""
        while "\n\n" not in self.text:
            if not self.fill():
                equal(self.text, "", "half an event at the end")
                return None
        block, self.text = self.text.split("\n\n", 1)
        return block


def next_event(events):
    while True:
        block = events.next()
        if block is None or block.startswith("data: "):
            return block and json.loads(block[len("data: "):])
        equal(block, "retry: 1000", "what is no event")


@test
def events_tell_all():
    mock = Mock("--threads", "2", "--latency", "1ms", "--error-rate", "0.5")
    with Raw(mock.address) as raw:
        raw.send(request("GET", "/admin/events"))
        events = Events(raw)
        first = next_event(events)
        equal(sorted(first), sorted(["t_ms", "uptime_s", "version", "generation", "saturated", "saturation", "rates", "totals",
                                     "concurrency", "latency", "faults", "models", "requests"]), "members")
        equal((first["generation"], first["saturated"], first["concurrency"]["limit"]), (1, False, 100), "figures")
        equal([model["state"] for model in first["models"]], ["unloaded", "unloaded"], "models")
        equal([(rule["id"], rule["kind"], rule["enabled"]) for rule in first["faults"]], [("error-rate", "status", True)], "rules")
        at_most(abs(first["t_ms"] / 1000 - time.time()), 5, "s between its clock and this one")
        for i in range(20):
            mock.ask("POST", "/api/infer", INFER, {"X-Mock-Key": f"k{i}"})
        ok(mock, "PATCH", "/admin/faults/error-rate", {"enabled": False})

        def told():
            event = next_event(events)
            return event if event["generation"] == 2 and event["totals"]["requests"] >= 21 else None
        event = lib.wait_until(told, "an event behind all that")
        equal(event["faults"][0]["matched"], 20, "requests that the rule matched")
        equal((event["faults"][0]["struck"], event["faults"][0]["enabled"]), (event["totals"]["faults"], False), "and struck")
        seqs = [entry["seq"] for entry in event["requests"]]
        equal(seqs, sorted(seqs, reverse=True), "the newest request first")
        check("/api/infer" in [entry["endpoint"] for entry in event["requests"]], "the last requests")
        equal(ok(mock, "POST", "/admin/reset"), {"status": "reset"}, "reset")
        event = next_event(events)
        while event["totals"]["faults"] != 0:
            event = next_event(events)
        check(all(value >= 0 for value in event["rates"].values()), event["rates"])
        # It ends well when the mock does.
        equal(mock.ask("POST", "/admin/drain")[0], 202, "drain")
        while next_event(events) is not None:
            pass
        check(events.ended, "the last chunk")
        equal(raw.rest(), b"", "and the end of the connection")
        check(not raw.reset, "a clean one")
    equal((mock.wait(), mock.stderr), (0, ""), "exit status and words")


@test
def events_have_many_watchers():
    mock = Mock()
    watchers = []
    while len(watchers) < 64:
        raw = Raw(mock.address)
        raw.send(request("GET", "/admin/events"))
        raw.fill()
        if raw.buffer.startswith(b"HTTP/1.1 503 "):
            equal(raw.response().fields["retry-after"], "1", "one too many is told to come back")
            raw.close()
            break
        watchers.append(raw)
    at_least(len(watchers), 4, "watchers at once")
    at_most(len(watchers), 63, "watchers before one is too many")
    streams = [Events(raw) for raw in watchers]
    for stream in streams:
        check(next_event(stream), "an event for each")
    for raw in watchers[1:]:
        raw.close()
    lib.wait_until(lambda: mock.stats()["connections"]["active"] == 2, "those that left are gone")
    check(next_event(streams[0]), "the one that stays sees more")
    equal(mock.stats()["disconnects"]["delayed"], 0, "nobody gave up waiting for an answer")
    mock.stop()


# ---- Figures --------------------------------------------------------------------------------------------------------

@test
def open_metrics():
    mock = Mock()
    mock.ask("POST", "/api/infer", INFER)
    plain = mock.ask("GET", "/metrics")
    check(plain[1]["Content-Type"].startswith("text/plain; version=0.0.4"), plain[1]["Content-Type"])
    for accept in ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0, text/plain;q=0.5",
                   "text/html, Application/OpenMetrics-Text;version=1.0.0;q=0.9"):
        status, fields, body = mock.ask("GET", "/metrics", headers={"Accept": accept})
        equal((status, fields["Content-Type"]), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"), accept)
        text = body.decode("utf-8")
        check(text.endswith("\n# EOF\n") and text.count("# EOF") == 1, "the end mark")
        check("# TYPE mock_http_requests counter\n" in text, "a counter's family has no suffix")
        check(re.search(r'^mock_http_requests_total\{endpoint="/api/infer",method="POST",code="200"\} 1(\.0)?$', text, re.M), text)
        families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
        equal(len(set(families)), len(families), "families, each once")
        equal([name for name, kind in families if kind == "counter" and name.endswith("_total")], [], "counters that end so")
    for accept in ("text/plain", "*/*", "application/openmetrics", "x-application/openmetrics-text"):
        fields = mock.ask("GET", "/metrics", headers={"Accept": accept})[1]
        check(fields["Content-Type"].startswith("text/plain; version=0.0.4"), accept)
    mock.stop()


if __name__ == "__main__":
    lib.main()
