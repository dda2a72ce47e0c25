#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""Every endpoint of weir-mock as clients that were not written for it see it: http.client, curl, raw bytes."""
import datetime
import http.client
import json
import os
import re

import lib
from lib import Mock, Raw, check, equal, request, test

LOAD = b'{"model_id":"bitnet-7b"}'
INFER = b'{"model_id":"llama-13b","prompt":"hi","max_tokens":16,"temperature":0.7,"top_p":0.9}'
CHAT = b'{"model":"llama-13b","messages":[{"role":"user","content":"hi"}],"max_tokens":3}'
GET_ENDPOINTS = ["/api/models", "/api/health", "/metrics", "/admin/stats", "/admin/requests", "/admin/requests/count",
                 "/admin/audit", "/health", "/version", "/admin/", "/admin"]
POST_ENDPOINTS = ["/api/models/load", "/api/models/unload", "/api/infer", "/admin/reset"]
# The members of a journal record, in the order of docs/journal.md.
JOURNAL = ["seq", "thread", "time", "endpoint", "method", "status", "end", "phase", "fault", "asked_us", "delivered_us",
           "ttft_us", "late_us", "queue_us", "body_bytes", "answer_bytes", "prompt_tokens", "output_tokens",
           "retry_after_s", "model", "stream", "key", "conn"]


# ---- The shapes of the answers ------------------------------------------------------------------------------------

def check_models(answer, loaded=()):
    wanted = [("bitnet-7b", "BitNet b1.58 7B"), ("llama-13b", "Llama 13B")]
    equal(len(answer), len(wanted), "number of models")
    for model, (name, text) in zip(answer, wanted):
        equal(sorted(model), sorted(["id", "name", "context_window", "max_output_tokens", "type",
                                     "quantization", "status"]), "keys of a model")
        equal((model["id"], model["name"]), (name, text), "model")
        equal((model["context_window"], model["max_output_tokens"]), (4096, 2048), "its numbers")
        check(isinstance(model["type"], str) and isinstance(model["quantization"], str), model)
        equal(model["status"], "loaded" if name in loaded else "unloaded", f"status of {name}")


def check_load(answer):
    equal(sorted(answer), ["loaded_at", "memory_used", "status"], "keys of load")
    equal((answer["status"], answer["memory_used"]), ("loaded", "2.5GB"), "load")
    # RFC 3339 section 5.6, as a parser that nobody here wrote understands it.
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", answer["loaded_at"]),
          answer["loaded_at"])
    at = datetime.datetime.fromisoformat(answer["loaded_at"].replace("Z", "+00:00"))
    off = abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds())
    check(off < lib.DEADLINE_S, f"loaded_at is {off} s away from now")


def check_unload(answer):
    equal(answer, {"status": "unloaded"}, "unload")


def check_infer(answer, tokens=16, finish="length"):
    """INFER's answer, or one of as many tokens: a token is a word."""
    equal(sorted(answer), ["finish_reason", "text", "tokens"], "keys of infer")
    check(re.fullmatch(r"[a-zA-Z]+( [a-zA-Z]+)*", answer["text"]), f"text {answer['text']!r}")
    equal(len(answer["text"].split(" ")), tokens, "words")
    equal((answer["tokens"], answer["finish_reason"]), (tokens, finish), "infer")


def check_health(answer):
    equal(sorted(answer), ["status", "version"], "keys of health")
    equal(answer["status"], "healthy", "health")
    equal(lib.run([lib.MOCK, "--version"]).stdout, f"weir-mock {answer['version']}\n", "--version")


def check_openai_error(answer, kind, field):
    equal(list(answer), ["error"], "keys of an error")
    equal(sorted(answer["error"]), ["code", "message", "param", "type"], "keys in an error")
    equal((answer["error"]["type"], answer["error"]["param"]), (kind, field), "error")
    check(answer["error"]["message"], "message")


def check_error(answer, kind, field):
    equal(list(answer), ["error"], "keys of an error")
    equal(sorted(answer["error"]), ["field", "message", "type"], "keys in an error")
    equal((answer["error"]["type"], answer["error"]["field"]), (kind, field), "error")
    check(answer["error"]["message"], "message")


EXCHANGES = [
    ("GET", "/api/models", None, check_models),
    ("POST", "/api/models/load", LOAD, check_load),
    ("POST", "/api/models/unload", LOAD, check_unload),
    ("POST", "/api/infer", INFER, check_infer),
    ("GET", "/api/health", None, check_health),
]


@test
def shapes_http_client():
    mock = Mock()
    client = http.client.HTTPConnection(*mock.address, timeout=lib.DEADLINE_S)
    client.connect()
    socket = client.sock
    for _ in range(3):
        for method, path, body, shape in EXCHANGES:
            client.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = client.getresponse()
            text = answer.read()
            equal((answer.status, answer.reason), (200, "OK"), path)
            equal(answer.headers["Content-Type"], "application/json", path)
            equal(int(answer.headers["Content-Length"]), len(text), path)
            check(answer.headers["Date"], "Date")
            shape(json.loads(text))
            check(client.sock is socket, "the connection was kept")
    client.close()
    lib.wait_until(lambda: mock.stats()["connections"]["active"] == 1, "the connection is gone")
    equal(mock.stats()["endpoints"]["/api/infer"]["requests"], 3, "requests to infer")
    mock.stop()


@test
def shapes_curl():
    mock = Mock()
    for method, path, body, shape in EXCHANGES:
        data = ["--data-binary", body.decode()] if body else []
        for version in ("--http1.1", "--http1.0"):
            shape(json.loads(lib.curl(version, "-X", method, *data, mock.url(path))))
    # One connection for all of them.
    urls = [mock.url(path) for path in GET_ENDPOINTS * 4]
    program = lib.run(["curl", "-s", "--noproxy", "*", "-w", "%{stderr}%{http_code} %{num_connects}\n",
                       *sum((["-o", "/dev/null", url] for url in urls), [])])
    equal(program.stderr.split("\n")[:-1], ["200 1"] + ["200 0"] * (len(urls) - 1), "connections made")
    mock.stop()


@test
def model_state():
    mock = Mock()
    for loaded in (["bitnet-7b"], ["bitnet-7b", "llama-13b"]):
        equal(mock.ask("POST", "/api/models/load", json.dumps({"model_id": loaded[-1]}))[0], 200, "load")
        check_models(mock.get_json("/api/models"), loaded)
    equal(mock.ask("POST", "/api/models/unload", LOAD)[0], 200, "unload")
    check_models(mock.get_json("/api/models"), ["llama-13b"])
    equal(mock.ask("POST", "/api/models/load", b'{"model_id":"somebody-else"}')[0], 200, "unlisted model")
    check_models(mock.get_json("/api/models"), ["llama-13b"])
    mock.reset()
    check_models(mock.get_json("/api/models"))
    mock.stop()


@test
def model_transitions():
    """A model on its way: told with 202, in nobody else's way, and there when its time has come."""
    mock = Mock("--latency", "1h", "--drain-timeout", "0s")
    with Raw(mock.address) as raw:
        for _ in range(2):  # again: it is on its way already
            answer = raw.ask(request("POST", "/api/models/load?wait=false", LOAD))
            equal(answer.status, 202, "a load that is not waited for")
            equal(sorted(answer.json()), ["ready_in_us", "status"], "keys of 202")
            equal(answer.json()["status"], "loading", "status in 202")
            check(0 < answer.json()["ready_in_us"] <= 36000000000, answer.json())
        answer = raw.ask(request("POST", "/api/models/unload", LOAD))
        equal(answer.status, 409, "an unload meanwhile")
        check_error(answer.json(), "conflict", "model_id")
        check(0 < int(answer.fields["retry-after"]) <= 36000, answer.fields)
    mock.stop()
    mock = Mock("--latency", "1ms")
    with Raw(mock.address) as raw:
        equal(raw.ask(request("POST", "/api/models/load?wait=false", LOAD)).status, 202, "10 ms of load")
        lib.wait_until(lambda: mock.get_json("/api/models")[0]["status"] == "loaded", "it is loaded")
    mock.stop()


@test
def strict_models():
    mock = Mock("--strict-models")
    for path in POST_ENDPOINTS[:3]:
        status, _, body = mock.ask("POST", path, b'{"model_id":"nobody\\"s","prompt":""}')
        equal(status, 404, path)
        check_error(json.loads(body), "not_found", "model_id")
        check("bitnet-7b" in json.loads(body)["error"]["message"], "the message tells what there is")
        equal(mock.ask("POST", path, INFER)[0], 200, path)
    mock.stop()


# ---- Ways to ask ----------------------------------------------------------------------------------------------------

@test
def http_1_0():
    mock = Mock()
    with Raw(mock.address) as raw:
        answer = raw.ask(b"GET /api/health HTTP/1.0\r\n\r\n")
        equal((answer.status, answer.fields.get("connection")), (200, "close"), "plain HTTP/1.0")
        equal(raw.rest(), b"", "after the answer")
        check(not raw.reset, "a clean end")
    with Raw(mock.address) as raw:
        for _ in range(3):
            answer = raw.ask(request("POST", "/api/infer", INFER, ["Connection: keep-alive"], "HTTP/1.0"))
            equal((answer.status, answer.fields.get("connection")), (200, "keep-alive"), "keep-alive")
    mock.stop()


@test
def connection_close():
    mock = Mock()
    with Raw(mock.address) as raw:
        raw.send(request("GET", "/api/health", headers=["Connection: close"]), request("GET", "/api/models"))
        answer = raw.response()
        equal((answer.status, answer.fields.get("connection")), (200, "close"), "Connection: close")
        equal(raw.rest(), b"", "nothing is read after Connection: close")
    with Raw(mock.address) as raw:  # the client is done sending, not reading
        raw.send(request("POST", "/api/infer", INFER))
        raw.shutdown()
        equal(raw.response().status, 200, "answer after a half-close")
        equal(raw.rest(), b"", "end")
    equal(mock.stats()["endpoints"].get("/api/models"), None, "requests after Connection: close")
    mock.stop()


@test
def head():
    mock = Mock()
    with Raw(mock.address) as raw:
        for path in ("/api/models", "/api/health"):
            whole = raw.ask(request("GET", path))
            only_head = raw.ask(request("HEAD", path), head=True)
            equal(only_head.status, 200, path)
            equal(only_head.fields["content-length"], str(len(whole.body)), f"Content-Length of {path}")
        for path in GET_ENDPOINTS[2:]:
            equal(raw.ask(request("HEAD", path), head=True).status, 200, path)
        equal(raw.ask(request("HEAD", "/nowhere"), head=True).status, 404, "HEAD of nothing")
        equal(raw.ask(request("HEAD", "/api/infer"), head=True).status, 405, "HEAD of infer")
        equal(raw.ask(request("GET", "/api/health")).status, 200, "the connection is still in step")
    out = lib.curl("--head", mock.url("/api/models"))
    check(out.startswith("HTTP/1.1 200 OK\r\n") and out.endswith("\r\n\r\n"), out)
    mock.stop()


def mixed(count):
    """(bytes, status, word in the body) of requests that are easy to tell apart."""
    kinds = [
        (request("GET", "/api/models"), 200, b"context_window"),
        (request("POST", "/api/infer", INFER), 200, b"finish_reason"),
        (request("GET", "/nowhere"), 404, b"/nowhere"),
        (request("POST", "/api/models/unload", LOAD), 200, b"unloaded"),
        (request("POST", "/api/infer", b"{"), 400, b"body"),
        (request("GET", "/api/health"), 200, b"healthy"),
        (request("DELETE", "/api/health"), 405, b"/api/health"),
    ]
    return [kinds[i % len(kinds)] for i in range(count)]


@test
def pipelining():
    mock = Mock()
    wanted = mixed(300)
    stream = b"".join(bytes_ for bytes_, _, _ in wanted)
    for size in (len(stream), 4096, 1000, 61, 7):
        with Raw(mock.address) as raw:
            raw.send(*(stream[at:at + size] for at in range(0, len(stream), size)))
            for _, status, word in wanted:
                answer = raw.response()
                equal(answer.status, status, f"status, cut into {size} bytes")
                check(word in answer.body, f"{word!r} in {answer.body!r}")
    with Raw(mock.address) as raw:
        short = wanted[:14]
        raw.send(*(bytes([byte]) for bytes_, _, _ in short for byte in bytes_))
        equal([raw.response().status for _ in short], [status for _, status, _ in short], "byte by byte")
    mock.stop()


@test
def pipelining_in_order_with_latency():
    """Answers that are ready in another order than asked go out in the order asked."""
    mock = Mock("--latency", "5ms")
    with Raw(mock.address) as raw:
        raw.send(request("POST", "/api/models/load", LOAD) + request("GET", "/api/models") +
                 request("GET", "/api/health") + request("POST", "/api/infer", INFER) + request("GET", "/x"))
        for shape in (check_load, lambda _: None, check_health, check_infer):
            shape(raw.response().json())
        equal(raw.response().status, 404, "the last")
    mock.stop()


@test
def chunked_bodies():
    mock = Mock()
    head = request("POST", "/api/infer", headers=["Transfer-Encoding: chunked"])
    one_by_one = b"".join(b"1\r\n%c\r\n" % byte for byte in INFER) + b"0\r\n\r\n"
    extended = b'%x;name=value;quoted="a;\\"b" ; c\r\n%s\r\n000;last\r\n\r\n' % (len(INFER), INFER)
    with Raw(mock.address) as raw:
        for body in (one_by_one, extended, b"%X\r\n%s\r\n0\r\n\r\n" % (len(INFER), INFER)):
            check_infer(raw.ask(head + body).json())
            raw.send(head, *(body[at:at + 5] for at in range(0, len(body), 5)))
            check_infer(raw.response().json())
        equal(raw.ask(head + b"0\r\n\r\n").status, 400, "an empty body is no JSON")
    check_infer(json.loads(lib.curl("-H", "Transfer-Encoding: chunked", "-d", INFER.decode(),
                                    mock.url("/api/infer"))))
    client = http.client.HTTPConnection(*mock.address, timeout=lib.DEADLINE_S)
    client.request("POST", "/api/infer", iter([INFER[:9], INFER[9:]]), encode_chunked=True,
                   headers={"Transfer-Encoding": "chunked"})
    check_infer(json.loads(client.getresponse().read()))
    client.close()
    equal(mock.journal()[0]["body_bytes"], len(INFER), "payload bytes in the journal")
    mock.stop()


@test
def expect_100_continue():
    mock = Mock()
    with Raw(mock.address) as raw:
        for _ in range(2):
            head, body = request("POST", "/api/infer", INFER, ["Expect: 100-continue"]).split(b"\r\n\r\n", 1)
            equal(raw.ask(head + b"\r\n\r\n").status, 100, "before the body")
            check_infer(raw.ask(body).json())
        # Who sends the body at once needs no 100, but must survive one.
        answer = raw.ask(request("POST", "/api/infer", INFER, ["Expect: 100-continue"]))
        answer = raw.response() if answer.status == 100 else answer
        check_infer(answer.json())
    with Raw(mock.address) as raw:
        answer = raw.ask(b"POST /api/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n"
                         b"Expect: 100-continue\r\n\r\n")
        equal(answer.status, 413, "too much is refused before it is sent")
        equal(raw.rest(), b"", "and the connection closed")
    path = f"{lib.temp_dir()}/body"
    with open(path, "wb") as file:
        file.write(b'{"model_id":"bitnet-7b","prompt":"%s"}' % (b"x" * 1000000))
    program = lib.run(["curl", "-sv", "--noproxy", "*", "--max-time", str(lib.DEADLINE_S), "--expect100-timeout",
                       "600", "-H", "Expect: 100-continue", "-d", f"@{path}", mock.url("/api/infer")])
    check_infer(json.loads(program.stdout), 100, "stop")
    check("HTTP/1.1 100 Continue" in program.stderr, program.stderr)
    equal(mock.journal()[-1]["body_bytes"], 1000036, "payload bytes")
    equal(mock.journal()[-2]["prompt_tokens"], 250000, "its tokens: four bytes each")
    mock.stop()


# ---- Mistakes -------------------------------------------------------------------------------------------------------

@test
def wrong_method():
    mock = Mock()
    with Raw(mock.address) as raw:
        for paths, wrong, allow in ((GET_ENDPOINTS, ["POST", "PUT", "DELETE", "OPTIONS", "get"], ["GET", "HEAD"]),
                                    (POST_ENDPOINTS, ["GET", "PUT", "PATCH", "post"], ["POST"]),
                                    (["/admin/drain", "/api/infer/batch"], ["GET", "HEAD", "DELETE"], ["POST"]),
                                    (["/admin/events"], ["POST"], ["GET"]),
                                    (["/admin/config"], ["POST", "PUT", "DELETE"], ["GET", "HEAD", "PATCH"]),
                                    (["/admin/faults"], ["PATCH", "DELETE"], ["GET", "HEAD", "POST"]),
                                    (["/admin/faults/x"], ["POST"], ["GET", "HEAD", "PUT", "PATCH", "DELETE"])):
            for path in paths:
                for method in wrong:
                    head = method == "HEAD"
                    answer = raw.ask(request(method, path, b"{}" if method == "PUT" else None), head=head)
                    equal(answer.status, 405, f"{method} {path}")
                    equal(re.split(r"\s*,\s*", answer.fields["allow"]), allow, f"Allow of {path}")
                    if not head:
                        check_error(answer.json(), "method_not_allowed", None)
        for path, wrong, allow in (("/v1/models", "POST", "GET, HEAD"), ("/v1/models/llama-13b", "DELETE", "GET, HEAD"),
                                   ("/v1/completions", "GET", "POST"), ("/v1/chat/completions", "PUT", "POST")):
            answer = raw.ask(request(wrong, path))
            equal((answer.status, answer.fields["allow"]), (405, allow), f"{wrong} {path}")
            check_openai_error(answer.json(), "invalid_request_error", None)
    mock.stop()


@test
def not_found():
    mock = Mock()
    with Raw(mock.address) as raw:
        for path in ("/", "/api", "/api/", "/api/modelz", "/api/models/", "/API/health", "/api/health/x",
                     "/%2fapi/health", "//api/health", "/admin/nowhere", "/admin/faults/a/b", "/admins", "/v1",
                     "/healthz", "/" + "a" * 7000):
            answer = raw.ask(request("GET", path))
            equal(answer.status, 404, path)
            check_error(answer.json(), "not_found", None)
        for path in ("/v1/models/", "/v1/chat", "/v1/embeddings"):
            answer = raw.ask(request("GET", path))
            equal(answer.status, 404, path)
            check_openai_error(answer.json(), "invalid_request_error", None)
        check('"quoted\\' in raw.ask(request("GET", '/"quoted\\')).json()["error"]["message"], "escapes")
        for path in ("/api/health?", "/api/models?a=b&c", "/api/health?x=/nowhere"):
            equal(raw.ask(request("GET", path)).status, 200, path)
    mock.stop()


BAD_JSON = [
    b"", b" ", b"{", b"}", b"[", b'{"model_id"', b'{"model_id":', b'{"model_id":"a"', b'{"model_id":"a",}', b"{'a':1}",
    b'{"model_id":"a"} x', b'{"model_id":"a"}{}', b"nul", b"NaN", b'{"model_id":"a","temperature":NaN}', b"01",
    b'{"model_id":"\xff"}', b'{"model_id":"\xc0\xaf"}', b'{"model_id":"\\ud800"}', b'{"model_id":"a\nb"}',
    b'{"model_id":"\\x"}', b"\xef\xbb\xbf{}", b"\0", b"[" * 100000, b'{"a":' * 100000, b"1e999999",
    b"[]", b"1", b'"text"', b"null", b"true", b'["model_id","a"]',
]


@test
def bad_json():
    mock = Mock()
    with Raw(mock.address) as raw:
        for path in POST_ENDPOINTS[:3]:
            for body in BAD_JSON:
                answer = raw.ask(request("POST", path, body))
                equal(answer.status, 400, f"{path} {body[:40]!r}")
                check_error(answer.json(), "invalid_request", "body")
        check_infer(raw.ask(request("POST", "/api/infer", INFER)).json())
    mock.stop()


@test
def wrong_types():
    mock = Mock()
    not_string = [1, 1.5, True, None, [], {}, ["a"]]
    wrong = {
        "model_id": not_string,
        "prompt": not_string,
        "max_tokens": ["16", 1.5, True, False, [], {}, -1],
        "temperature": ["hot", True, [], {}],
        "top_p": ["0.9", False, [1], {"a": 1}],
    }
    good = json.loads(INFER)
    with Raw(mock.address) as raw:
        def ask(path, value):
            return raw.ask(request("POST", path, json.dumps(value).encode()))

        for field, values in wrong.items():
            paths = POST_ENDPOINTS[:3] if field == "model_id" else ["/api/infer"]
            for path in paths:
                for value in values:
                    answer = ask(path, {**good, field: value})
                    equal(answer.status, 400, f"{path} {field}: {value!r}")
                    check_error(answer.json(), "invalid_request", field)
                    check(answer.json()["error"]["message"].startswith(f"{field}: expected "), answer.body)
        for field in ("model_id", "prompt"):
            answer = ask("/api/infer", {key: value for key, value in good.items() if key != field})
            equal(answer.status, 400, f"without {field}")
            check_error(answer.json(), "invalid_request", field)
        for extra in ({}, {"max_tokens": None}, {"temperature": 1}, {"top_p": None}, {"max_tokens": 0},
                      {"stream": False, "unknown": [{}]}, {"model_id": "\u00fcn\u00efc\u00f6d\u00e9 \U0001f600"}):
            equal(ask("/api/infer", {"model_id": "bitnet-7b", "prompt": "", **extra}).status, 200, extra)
    mock.stop()


@test
def body_limit():
    mock = Mock("--max-body", "1KiB")
    fits = b'{"model_id":"bitnet-7b","prompt":"%s"}' % (b"x" * (1024 - 36))
    equal(len(fits), 1024, "the body of exactly the limit")
    chunks = request("POST", "/api/infer", headers=["Transfer-Encoding: chunked"]) + \
        b"".join(b"40\r\n%s\r\n" % fits[at:at + 64] for at in range(0, 1024, 64))
    with Raw(mock.address) as raw:
        equal(raw.ask(request("POST", "/api/infer", fits)).status, 200, "exactly the limit")
        equal(raw.ask(chunks + b"0\r\n\r\n").status, 200, "exactly the limit, in chunks")
        equal(raw.ask(request("POST", "/api/infer", fits + b" ")).status, 413, "one more")
        equal(raw.rest(), b"", "the connection is closed after it")
    with Raw(mock.address) as raw:
        equal(raw.ask(chunks + b"1\r\n \r\n0\r\n\r\n").status, 413, "one more, in chunks")
        equal(raw.rest(), b"", "the connection is closed after it")
    with Raw(mock.address) as raw:
        equal(raw.ask(b"PUT /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n").status,
              413, "the largest length there is")
    mock.stop()


# ---- Counting -------------------------------------------------------------------------------------------------------

@test
def metrics_and_stats():
    for threads in ("1", "2"):
        mock = Mock("--threads", threads, "--latency", "1ms")
        equal(lib.answered(mock.metrics()), {}, "requests at first")
        mock.reset()
        sent = {}
        for i in range(12):
            with Raw(mock.address) as raw:  # a connection each, so that every thread gets some
                for bytes_, status, _ in mixed(7 + i):
                    line = bytes_.split(b" ", 2)
                    path = line[1].decode() if line[1] != b"/nowhere" else "other"
                    method = line[0].decode()
                    sent[path, method, status] = sent.get((path, method, status), 0) + 1
                    equal(raw.ask(bytes_).status, status, bytes_)
        metrics = mock.metrics()
        stats = mock.stats()
        found = lib.answered(metrics)
        equal(found.pop(("/admin/reset", "POST", 200), 0), 1, "the reset itself is counted")
        equal(found, sent, f"mock_http_requests_total with {threads} threads")
        total = sum(sent.values())
        for (path, _, _) in sent:
            count = sum(value for key, value in sent.items() if key[0] == path)
            equal(metrics[f'mock_http_request_duration_seconds_count{{endpoint="{path}"}}'], count, path)
            equal(stats["endpoints"][path]["requests"], count, path)
            latency = stats["endpoints"][path]["latency_us"]
            order = [latency[key] for key in ("min", "p50", "p90", "p99", "p99_9", "max")]
            equal(order, sorted(order), f"percentiles of {path}")
            equal(latency["count"], count, path)
        equal(stats["requests_total"], total + 2, "requests_total: the reset and the metrics, too")
        equal(stats["errors_by_status"],
              {code: sum(v for k, v in sent.items() if k[2] == int(code)) for code in ("400", "404", "405")},
              "errors_by_status")
        delayed = sum(value for key, value in sent.items() if key[2] == 200 and key[0] != "/api/health")
        equal(metrics["mock_schedule_error_seconds_count"], delayed, "delayed answers")
        check(0 <= metrics["mock_schedule_error_seconds_median"] < 1, "median of the timing error")
        equal((metrics["mock_inflight_requests"], metrics["mock_queue_depth"]), (0, 0), "gauges")
        check(metrics["process_resident_memory_bytes"] > 0, "resident memory")
        equal(stats["threads"], int(threads), "threads")
        equal(len(mock.journal()), total + 3, "journal")
        mock.stop()


@test
def journal():
    mock = Mock("--journal", "64")
    with Raw(mock.address) as raw:
        def listed(query=""):
            return raw.ask(request("GET", f"/admin/requests{query}")).json()["requests"]

        wanted = mixed(7)
        for bytes_, _, _ in wanted:
            raw.send(bytes_)
            raw.response()
        entries = listed()
        equal([entry["status"] for entry in entries], [status for _, status, _ in wanted], "in order")
        for entry in entries:
            equal(list(entry), JOURNAL, "members, in their order")
            equal((entry["end"], entry["phase"], entry["fault"], entry["key"]), ("answered", None, None, None), "end")
            equal((entry["thread"], entry["conn"], entry["stream"]), (0, 1, False), "where from")
            datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00"))
        equal(entries[1]["body_bytes"], len(INFER), "body_bytes")
        equal((entries[1]["model"], entries[1]["prompt_tokens"], entries[1]["output_tokens"]), ("llama-13b", 1, 16),
              "tokens")
        equal([entry["model"] for entry in entries], [None, "llama-13b", None, "bitnet-7b", None, None, None], "models")
        for _ in range(300):
            raw.ask(request("GET", "/api/health"))
        equal(len(listed()), 64, "bounded")
        equal(len(listed("?limit=10000")), 64, "bounded whatever is asked for")
        equal(len(listed("?limit=5")), 5, "limit")
        seqs = [entry["seq"] for entry in listed("?limit=64")]
        equal(seqs, list(range(seqs[0], seqs[0] + 64)), "the last ones, none missing")
        state = raw.ask(request("GET", "/admin/stats")).json()["journal"]
        equal((state["capacity"], state["recorded"] - state["dropped"]), (64, 64), "journal in the stats")
        for query in ("?limit=0", "?limit=10001", "?limit=", "?limit=a", "?limit=-1", "?limits=3", "?limit=99999999"):
            answer = raw.ask(request("GET", f"/admin/requests{query}"))
            equal(answer.status, 400, query)
            check_error(answer.json(), "invalid_request", "query")
            told = "limits: no such parameter; did you mean limit?" if "limits" in query else "limit: expected a number of"
            check(answer.json()["error"]["message"].startswith(told), answer.body)
    mock.stop()
    mock = Mock("--journal", "0")
    mock.get_json("/api/models")
    equal(mock.journal(), [], "no journal")
    mock.stop()


@test
def the_bare_client_reads_answers():
    """As perf/bench.sh asks: no two answers are alike."""
    mock = Mock()
    client = [os.path.join(lib.BUILD, "floor-client"), "--connect", "%s:%d" % mock.address, "-c", "4", "-d", "0.1",
              "--method", "POST", "--path", "/api/infer", "--body", '{"model_id":"bitnet-7b","prompt":"hi","max_tokens":100}',
              "--varying"]
    program = lib.run(client)
    equal((program.process.returncode, program.stderr), (0, ""), "answers of any size")
    mock.stop()


@test
def reset():
    mock = Mock("--threads", "2")
    for i in range(8):
        mock.ask("POST", "/api/models/load", LOAD)
        mock.ask("POST", "/api/infer", b"{")
    mock.reset()
    stats = mock.stats()
    equal(stats["requests_total"], 1, "only the reset, which was answered after it")
    equal((stats["errors_by_status"], stats["faults_injected"]), ({}, 0), "errors")
    equal(list(stats["endpoints"]), ["/admin/reset"], "endpoints")
    equal(stats["journal"]["recorded"], 1, "journal")
    check(stats["connections"]["total"] <= 2, "connections")
    equal(stats["queue"]["wait_us"]["count"], 0, "waits")
    check_models(mock.get_json("/api/models"))
    mock.stop()


if __name__ == "__main__":
    lib.main()
