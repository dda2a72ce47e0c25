#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""What weir-mock remembers: the journal and its filters, the request log, the audit, and the counts beside them."""
import datetime
import json
import os
import signal
import time

import lib
from lib import Mock, Raw, at_least, at_most, check, equal, request, test

INFER = b'{"model_id":"bitnet-7b","prompt":"hi"}'
CHAT = b'{"model":"llama-13b","stream":true,"max_tokens":4,"messages":[{"role":"user","content":"hi"}]}'


def ask(mock, method, path):
    """Status, and the body as JSON."""
    status, _, body = mock.ask(method, path)
    return status, json.loads(body)


def change(mock, tree):
    status, _, body = mock.ask("PATCH", "/admin/config", json.dumps(tree))
    equal(status, 200, f"{tree}: {body}")


# ---- /admin/requests ------------------------------------------------------------------------------------------------

def served():
    """A mock with one request of each sort behind it: it, and all of its journal."""
    faults = [{"id": "busy", "match": {"header": {"x-busy": None}}, "do": {"kind": "status", "status": 429, "retry_after_s": 1}},
              {"id": "reset", "match": {"header": {"x-cut": None}, "stream": True}, "do": {"kind": "fin", "at": "after_tokens:2"}}]
    config = {"faults": faults, "latency": {"delay": "1ms", "multiplier": {"list": 30}}, "strict_models": True}
    mock = Mock("--threads", "2")
    change(mock, config)
    mock.reset()
    for key in ("a", "b", "order 17+"):
        equal(mock.ask("POST", "/api/infer", INFER, {"X-Mock-Key": key})[0], 200, "infer")
        equal(mock.ask("POST", "/api/infer", INFER, {"X-Mock-Key": key, "X-Busy": "1"})[0], 429, "infer, too busy")
    equal(mock.ask("GET", "/api/models")[0], 200, "a list that takes long")
    equal(mock.ask("GET", "/v1/models/llama-13b")[0], 200, "one model")
    equal(mock.ask("GET", "/nowhere")[0], 404, "nothing")
    equal(mock.ask("DELETE", "/api/health")[0], 405, "a wrong method")
    equal(mock.ask("POST", "/api/infer", b'{"model_id":"x","prompt":""}')[0], 404, "no model")
    equal(mock.ask("POST", "/v1/chat/completions", CHAT)[0], 200, "a stream")
    with Raw(mock.address) as raw:
        for path in ("/api/health", "/version", "/health"):
            equal(raw.ask(request("GET", path)).status, 200, path)
        raw.send(request("POST", "/v1/chat/completions", CHAT, ["X-Cut: 1"]))
        check(b"[DONE]" not in raw.rest(), "a stream that is cut")
    with Raw(mock.address) as raw:
        raw.send(request("POST", "/api/infer", INFER)[:-2])
        lib.wait_until(lambda: mock.stats()["concurrency"]["in_flight"] == 1, "half a request")
        raw.abort()
    lib.wait_until(lambda: mock.get_json("/admin/requests?end=disconnect&limit=1")["requests"], "it is in the journal")
    return mock


def unix(entry):
    return datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00"))


def kind(entry):
    return entry["fault"] and entry["fault"]["kind"]


def rule(entry):
    return entry["fault"] and entry["fault"]["rule"]


@test
def requests_are_filtered():
    mock = served()
    # What the questions themselves leave behind is outside of it: they are told apart by their time.
    everything = mock.journal()
    last = max(unix(entry) for entry in everything)
    until = "until=" + (last + datetime.timedelta(microseconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    middle = sorted(unix(entry) for entry in everything)[len(everything) // 2]
    conn = next(entry["conn"] for entry in everything if entry["endpoint"] == "/version")
    key_a = {entry["key"] for entry in everything if entry["key"]}
    equal(len(key_a), 3, "keys")
    filters = [
        ("limit=10000", lambda entry: True),
        ("path=/api/infer", lambda entry: entry["endpoint"] == "/api/infer"),
        ("path=/v1/*", lambda entry: entry["endpoint"].startswith("/v1/")),
        ("path=/v1/models/%7Bid%7D,other", lambda entry: entry["endpoint"] in ("/v1/models/{id}", "other")),
        ("method=DELETE", lambda entry: entry["method"] == "DELETE"),
        ("method=POST,DELETE", lambda entry: entry["method"] in ("POST", "DELETE")),
        ("status=429", lambda entry: entry["status"] == 429),
        ("status=4xx", lambda entry: 400 <= entry["status"] < 500),
        ("status=2xx,405,0", lambda entry: entry["status"] < 300 or entry["status"] == 405),
        ("end=cut", lambda entry: entry["end"] == "cut"),
        ("end=cut,disconnect", lambda entry: entry["end"] in ("cut", "disconnect")),
        ("phase=streaming", lambda entry: entry["phase"] == "streaming"),
        ("phase=body", lambda entry: entry["phase"] == "body"),
        ("fault=busy", lambda entry: rule(entry) == "busy"),
        ("fault=reset", lambda entry: rule(entry) == "reset"),
        ("fault=fin", lambda entry: kind(entry) == "fin"),
        ("fault=any", lambda entry: entry["fault"]),
        ("fault=none", lambda entry: not entry["fault"]),
        ("fault=status,fin", lambda entry: kind(entry) in ("status", "fin")),
        ("model=bitnet-7b", lambda entry: entry["model"] == "bitnet-7b"),
        ("model=none", lambda entry: entry["model"] is None),
        ("stream=true", lambda entry: entry["stream"]),
        ("stream=false", lambda entry: not entry["stream"]),
        (f"conn={conn}", lambda entry: entry["conn"] == conn),
        ("since=" + middle.isoformat().replace("+00:00", "Z"), lambda entry: unix(entry) >= middle),
        ("since=-1h", lambda entry: True),
        ("until=-1h", lambda entry: False),
        ("min_delivered_us=30000", lambda entry: entry["delivered_us"] >= 30000),
        ("path=/api/infer&status=429&fault=busy", lambda entry: rule(entry) == "busy"),
        ("path=/api/infer&status=405", lambda entry: False),
    ]
    for query, wanted in filters:
        limits = [query] + ([until] if "until" not in query else []) + (["limit=1000"] if "limit" not in query else [])
        found = [entry for entry in mock.get_json("/admin/requests?" + "&".join(limits))["requests"] if unix(entry) <= last]
        expected = [entry for entry in everything if wanted(entry)]
        if not query.startswith("until") and query != "path=/api/infer&status=405":
            check(expected, f"nothing is like {query}")
        equal([entry["seq"] for entry in found], [entry["seq"] for entry in expected], f"those that match {query}")
        equal(found, expected, query)
        count = mock.get_json("/admin/requests/count?" + "&".join(part for part in limits if "limit" not in part))
        equal(count, {"count": len(expected), "dropped": 0}, f"their count, {query}")
    for key, times in (("a", 2), ("order%2017+", 2), ("c", 0)):
        found = mock.get_json(f"/admin/requests?key={key}")["requests"]
        equal(len(found), times, f"requests with the key {key}")
        equal(len({entry["key"] for entry in found}), min(times, 1), "one hash")
    last_two = mock.get_json(f"/admin/requests?limit=2&path=/api/infer&{until}")["requests"]
    equal(last_two, [entry for entry in everything if entry["endpoint"] == "/api/infer"][-2:], "limit: the last ones")
    mock.stop()


def refused(mock, path):
    """What is wrong with the query."""
    status, body = ask(mock, "GET", path)
    equal((status, body["error"]["type"], body["error"]["field"]), (400, "invalid_request", "query"), f"{path}: {body}")
    return body["error"]["message"]


@test
def filters_that_are_wrong():
    mock = Mock()
    for query, words in (("stauts=200", ["stauts", "did you mean status?"]), ("status=700", ["status", "700"]),
                         ("path=/api/infr", ["/api/infer"]), ("method=post", ["method", "post"]), ("limit=0", ["limit", "10000"]),
                         ("limit=1&limit=2", ["limit", "twice"]), ("fault=nothing", ["fault"]), ("stream=yes", ["true or false"]),
                         ("since=yesterday", ["since", "RFC 3339"]), ("min=1", ["min", "/admin/requests/count"]),
                         ("model=gpt", ["model"]), ("conn=x", ["conn"]), ("key=%zz", ["key", "%"]), ("end=cut,,", ["end"])):
        message = refused(mock, f"/admin/requests?{query}")
        for word in words:
            check(word in message, f"{word!r} is not in {message!r} for {query}")
    for query, words in (("limit=1", ["limit", "/admin/requests"]), ("min=3&max=2", ["min"]), ("max=x", ["max"])):
        message = refused(mock, f"/admin/requests/count?{query}")
        for word in words:
            check(word in message, f"{word!r} is not in {message!r} for {query}")
    mock.stop()


@test
def counts_are_verified():
    mock = Mock("--threads", "2")
    for _ in range(5):
        equal(mock.ask("POST", "/api/infer", INFER, {"X-Mock-Key": "order-17"})[0], 200, "infer")
    for query, status, verified in (("", 200, None), ("&min=5", 200, True), ("&max=5", 200, True), ("&min=5&max=5", 200, True),
                                    ("&min=6", 417, False), ("&max=4", 417, False), ("&min=0", 200, True)):
        expected = {"count": 5, "dropped": 0}
        if verified is not None:
            expected = {"count": 5, "verified": verified, "dropped": 0}
        equal(ask(mock, "GET", f"/admin/requests/count?key=order-17{query}"), (status, expected), f"count{query}")
    equal(ask(mock, "GET", "/admin/requests/count?key=order-17&status=4xx,5xx&max=0")[0], 200, "none was refused")
    mock.stop()


# ---- Journal and log ------------------------------------------------------------------------------------------------

@test
def journal_is_bounded():
    mock = Mock("--journal", "10", "--threads", "2")
    with Raw(mock.address) as raw:
        for _ in range(50):
            raw.ask(request("GET", "/api/health"))
    stats = mock.stats()
    equal(stats["journal"]["recorded"] - stats["journal"]["dropped"] <= 10, True, f"kept: {stats['journal']}")
    at_most(len(mock.journal()), 10, "records")
    check(mock.get_json("/admin/requests/count?path=/api/health")["dropped"] >= 40, "dropped")
    check(mock.metrics()["mock_journal_dropped_total"] >= 40, "mock_journal_dropped_total")
    mock.stop()


@test
def journal_off():
    path = os.path.join(lib.temp_dir(), "log")
    mock = Mock("--journal", "0", "--request-log", path)
    equal(mock.ask("POST", "/api/infer", INFER)[0], 200, "infer")
    equal(mock.journal(), [], "no records")
    equal(mock.get_json("/admin/requests/count")["count"], 0, "none to count")
    equal(mock.get_json("/admin/audit")["requests"], 0, "none to judge")
    stats = mock.stats()
    equal((stats["journal"]["capacity"], stats["endpoints"]["/api/infer"]["requests"]), (0, 1), "counts go on")
    mock.stop()
    with open(path, encoding="utf-8") as log:
        equal([json.loads(line)["endpoint"] for line in log][0], "/api/infer", "the request log goes on")


@test
def request_log_is_the_journal():
    path = os.path.join(lib.temp_dir(), "requests.ndjson")
    mock = Mock("--threads", "2", "--request-log", path, "--error-rate", "0.3", "--latency", "200us")
    pool = [Raw(mock.address) for _ in range(8)]
    for i in range(400):
        pool[i % 8].send(request("POST", "/api/infer", INFER, [f"X-Mock-Key: k-{i}"]))
    for i in range(400):
        check(pool[i % 8].response().status in (200, 500), "an answer")
    for raw in pool:
        raw.close()
    entries = mock.journal()
    equal(mock.stats()["request_log"]["on"], True, "it is on")
    lib.wait_until(lambda: mock.stats()["request_log"]["written"] >= len(entries), "what is in the journal is in the file")
    mock.stop()
    with open(path, encoding="utf-8") as log:
        lines = [json.loads(line) for line in log]
    by_seq = {line["seq"]: line for line in lines}
    equal(len(by_seq), len(lines), "numbers that are different")
    for entry in entries:
        equal(by_seq[entry["seq"]], entry, "a line and its record")
    equal(sum(line["status"] == 500 for line in lines), sum(entry["status"] == 500 for entry in entries), "errors")
    infers = [line for line in lines if line["endpoint"] == "/api/infer"]
    equal(len(infers), 400, "lines of infer")
    # Appended to, not begun again.
    mock = Mock("--request-log", path)
    mock.ask("GET", "/api/health")
    mock.stop()
    with open(path, encoding="utf-8") as log:
        equal([json.loads(line)["endpoint"] for line in log][len(lines):], ["/api/health"], "behind the former lines")


@test
def request_log_is_rotated():
    directory = lib.temp_dir()
    path, old = os.path.join(directory, "log"), os.path.join(directory, "log.1")
    mock = Mock("--request-log", path)
    equal(mock.ask("GET", "/api/health")[0], 200, "before")
    lib.wait_until(lambda: os.path.getsize(path) > 0, "its line")
    os.rename(path, old)
    mock.signal(signal.SIGHUP)
    lib.wait_until(lambda: os.path.exists(path) or mock.process.poll() is not None, "the new file")
    equal(mock.process.poll(), None, "it lives")
    equal(mock.ask("GET", "/version")[0], 200, "behind")
    lib.wait_until(lambda: os.path.getsize(path) > 0, "its line")
    mock.stop()
    for name, endpoint in ((old, "/api/health"), (path, "/version")):
        with open(name, encoding="utf-8") as log:
            equal([json.loads(line)["endpoint"] for line in log], [endpoint], name)


# ---- Audit ----------------------------------------------------------------------------------------------------------

def audited():
    mock = Mock("--threads", "2")
    change(mock, {"overrides": True, "faults": [
        {"id": "busy", "match": {"header": {"x-busy": None}}, "do": {"kind": "status", "status": 429, "retry_after_s": 1}}]})
    mock.reset()
    return mock


def keyed(key, *more, body=INFER):
    return request("POST", "/api/infer" if body is INFER else "/v1/chat/completions", body, [f"X-Mock-Key: {key}", *more])


@test
def audit_tells_violations():
    mock = audited()
    with Raw(mock.address) as raw:
        # Told to wait for a second, back at once.
        equal(raw.ask(keyed("early", "X-Busy: 1")).fields["retry-after"], "1", "told to wait")
        equal(raw.ask(keyed("early")).status, 200, "the next attempt")
        # Again, although it was answered.
        equal([raw.ask(keyed("again")).status for _ in range(2)], [200, 200], "a POST that is sent twice")
        # Never tried again.
        equal(raw.ask(keyed("given-up", "X-Busy: 1")).status, 429, "and left alone")
    # Again, behind a half of a stream.
    with Raw(mock.address) as raw:
        raw.send(keyed("half", "X-Mock-Fault: fin@tokens=2", body=CHAT))
        raw.rest()
    with Raw(mock.address) as raw:
        equal(raw.ask(keyed("half", body=CHAT)).status, 200, "replayed")
    report = mock.get_json("/admin/audit")
    equal(report["retry_after"] | {"worst_early_us": 0},
          {"told": 2, "honoured": 0, "early": 1, "not_retried": 1, "worst_early_us": 0}, "Retry-After")
    check(0 < report["retry_after"]["worst_early_us"] <= 1000000, report["retry_after"])
    equal((report["keyed"], report["keys"], report["attempts"]["max"]), (7, 4, 2), "attempts")
    equal(report["failed"], {"attempts": 3, "keys": 3, "recovered": 2}, "failures")
    equal(report["replayed"], {"post_after_bytes": 2}, "replays")
    equal(round(report["amplification"], 3), round(5 / 3, 3), "amplification")
    found = [(violation["kind"], violation["key"]) for violation in report["violations"]]
    keys = [next(entry["key"] for entry in mock.get_json(f"/admin/requests?key={key}")["requests"])
            for key in ("early", "again", "half")]
    equal(found, [("early_retry", keys[0]), ("replayed_post", keys[1]), ("replayed_post", keys[2])], "violations, in order of time")
    equal(report["violations_total"], 3, "their number")
    check("Retry-After: 1" in report["violations"][0]["detail"], report["violations"][0])
    mock.stop()


@test
def audit_clears_who_behaves():
    """Waits as told, retries what may be retried, leaves what was cut."""
    mock = audited()
    with Raw(mock.address) as raw:
        equal(raw.ask(keyed("patient", "X-Busy: 1")).status, 429, "told to wait")
        told = time.monotonic()
        # An error inside of a stream that is well framed: the connection may be used again.
        raw.send(keyed("in-stream", "X-Mock-Fault: status_in_stream@tokens=2,status=500", body=CHAT))
        check(b"error" in raw.response().body, "an error event")
        equal(raw.ask(keyed("other")).status, 200, "another request on the same connection")
        with Raw(mock.address) as other:
            other.send(keyed("cut", "X-Mock-Fault: reset"))
            other.rest()
        equal(raw.ask(keyed("cut")).status, 200, "the one that was reset, on another connection")
        lib.wait_until(lambda: time.monotonic() - told >= 1.001, "a second is over")
        equal(raw.ask(keyed("patient")).status, 200, "the next attempt")
    report = mock.get_json("/admin/audit")
    equal((report["violations_total"], report["violations"]), (0, []), "violations")
    equal((report["retry_after"]["told"], report["retry_after"]["honoured"]), (1, 1), "Retry-After")
    equal(report["failed"]["recovered"], 2, "keys that recovered")
    at_least(report["retry_gaps_us"]["max"], 1000000, "the longest gap")
    mock.stop()


# ---- Counts ---------------------------------------------------------------------------------------------------------

STATS = ["answers_cut", "answers_given_up", "answers_refused", "asked_us", "batch_engines", "batch_items", "by_thread",
         "client_disconnects", "concurrency", "connections", "delivered_us", "disconnects", "endpoints", "engine",
         "errors_by_status", "faults", "faults_injected", "generation", "journal", "loop_lag_us", "memory", "models", "process",
         "queue", "request_log", "requests_per_s", "requests_total", "saturated", "saturation", "schedule_error_us", "streams",
         "threads", "timers_cancelled", "uptime_s", "uring", "version"]


@test
def stats_and_metrics_agree():
    mock = served()
    stats, metrics = mock.stats(), mock.metrics()
    equal(sorted(stats), STATS, "members of /admin/stats")
    equal((stats["threads"], len(stats["by_thread"]), len(stats["saturation"]["by_thread"])), (2, 2, 2), "threads")
    counts = lib.answered(metrics)
    for endpoint, figures in stats["endpoints"].items():
        if endpoint.startswith("/admin/") or endpoint == "/metrics":
            continue  # they count each other
        equal(figures["requests"], sum(count for key, count in counts.items() if key[0] == endpoint), endpoint)
    equal(stats["errors_by_status"], {"404": 2, "405": 1, "429": 3}, "errors")
    equal(stats["answers_cut"], metrics["mock_http_requests_cut_total"], "answers that were cut")
    equal(metrics['mock_faults_injected_total{rule="busy",kind="status"}'], 3, "faults of one rule")
    equal(metrics['mock_faults_injected_total{rule="reset",kind="fin"}'], 1, "of the other")
    equal(metrics['mock_client_disconnects_total{phase="body"}'], 1, "a client that went away")
    equal(stats["disconnects"]["body"], 1, "and here")
    # Two ledgers: what the journal holds is what was counted.
    entries = [entry for entry in mock.journal() if not entry["endpoint"].startswith("/admin/") and entry["endpoint"] != "/metrics"]
    told = {}
    for entry in entries:
        if entry["end"] == "answered":
            key = (entry["endpoint"], entry["method"], entry["status"])
            told[key] = told.get(key, 0) + 1
    equal(told, {key: count for key, count in counts.items() if not key[0].startswith("/admin/") and key[0] != "/metrics"},
          "the journal and the metrics")
    mock.stop()


if __name__ == "__main__":
    lib.main()
