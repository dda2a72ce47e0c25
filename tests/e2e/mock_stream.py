#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""Answers that come token by token: every byte of them, when each was to come, and what happens when nobody listens.

How exact a schedule is kept is a measurement, made elsewhere. Here the mock's own books are checked: what it was asked
for is exact to the microsecond, and no token comes before its time.
"""
import json
import re
import time

import lib
from lib import Mock, Raw, at_least, at_most, check, equal, request, test

INFER, COMPLETIONS, CHAT = "/api/infer", "/v1/completions", "/v1/chat/completions"


def ask(path, headers=(), version="HTTP/1.1", prompt="hi", **more):
    """A request for a stream, in the shape of its API."""
    body = {"stream": True, **more}
    if path == INFER:
        body.update(model_id="llama-13b", prompt=prompt)
    elif path == COMPLETIONS:
        body.update(model="llama-13b", prompt=prompt)
    else:
        body.update(model="llama-13b", messages=[{"role": "user", "content": prompt}])
    return request("POST", path, json.dumps(body).encode(), headers, version)


def events(body):
    """The events of a stream: one line `data: ...` each, nothing else, JSON but for the last."""
    check(re.fullmatch(rb"(?:data: [^\r\n]+\n\n)+", body), f"not server-sent events: {body[:200]!r} ... {body[-200:]!r}")
    lines = [line[len(b"data: "):] for line in body[:-2].split(b"\n\n")]
    equal(lines.pop(), b"[DONE]", "the last event")
    return [json.loads(line) for line in lines]


def check_words(text, tokens):
    """A token is a word, with a blank before it unless it is the first."""
    check(re.fullmatch(r"[a-zA-Z]+(?: [a-zA-Z]+)*", text), f"text {text!r}")
    equal(len(text.split(" ")), tokens, "words")


def check_head(answer, delay_us=None, queue_us=0):
    equal((answer.status, answer.fields["content-type"]), (200, "text/event-stream"), "status and type")
    equal(answer.fields["cache-control"], "no-cache", "Cache-Control")
    if delay_us is not None:
        equal((answer.fields["x-mock-delay-us"], answer.fields["x-mock-queue-us"]), (str(delay_us), str(queue_us)),
              "asked for, to the first token, and the time in the queue")
    return int(answer.fields["x-mock-seq"])


def infer_text(found, tokens, finish):
    equal([list(event) for event in found[:-1]], [["index", "token"]] * tokens, "members of the tokens")
    equal([event["index"] for event in found[:-1]], list(range(tokens)), "indexes")
    equal(found[-1], {"finish_reason": finish, "tokens": tokens}, "the end")
    return "".join(event["token"] for event in found[:-1])


def check_chunk(event, chat, usage):
    equal(list(event), ["id", "object", "created", "model", "system_fingerprint", "choices"] + ["usage"] * usage,
          "members of an event")
    check(re.fullmatch(r"chatcmpl-[0-9a-f]{24}" if chat else r"cmpl-[0-9a-f]{24}", event["id"]), event["id"])
    equal((event["object"], event["model"]), ("chat.completion.chunk" if chat else "text_completion", "llama-13b"), "event")
    at_most(abs(event["created"] - time.time()), lib.DEADLINE_S, "seconds between `created` and now")


def openai_texts(found, chat, choices, usage):
    """The text of each choice and its number of tokens, with a check of everything around them."""
    texts, counts, ended = [""] * choices, [0] * choices, [None] * choices
    equal(len({(event["id"], event["created"]) for event in found}), 1, "ids of one answer")
    told = None
    for i, event in enumerate(found):
        check_chunk(event, chat, usage)
        if usage and not event["choices"]:
            equal(i, len(found) - 1, "the place of the usage")
            told = event["usage"]
            continue
        equal(len(event["choices"]), 1, "choices of an event")
        choice = event["choices"][0]
        at = choice["index"]
        if usage:
            equal(event["usage"], None, "usage before the end")
        if chat and i < choices:
            equal(choice, {"index": i, "delta": {"role": "assistant", "content": ""}, "logprobs": None,
                           "finish_reason": None}, "the first events")
        elif choice["finish_reason"] is not None:
            equal(choice.get("delta", choice.get("text")), {} if chat else "", "what comes with the end")
            equal(ended[at], None, "ends of a choice")
            ended[at] = choice["finish_reason"]
        else:
            equal(ended[at], None, "a token behind the end")
            counts[at] += 1
            texts[at] += choice["delta"]["content"] if chat else choice["text"]
    check(None not in ended, f"ends {ended}")
    return texts, counts, ended, told


def entry_of(mock, seq):
    return next(entry for entry in mock.journal() if entry["seq"] == seq)


# ---- Bytes ----------------------------------------------------------------------------------------------------------

@test
def infer_byte_by_byte():
    for options in ([], ["--itl", "100us"]):
        mock = Mock(*options)
        with Raw(mock.address) as raw:
            for wanted, finish, more in ((100, "stop", {}), (7, "length", {"max_tokens": 7}), (1, "length", {"max_tokens": 1})):
                answer = raw.ask(ask(INFER, ["X-Mock-Key: k"], **more))
                seq = check_head(answer, 0)
                text = infer_text(events(answer.body), wanted, finish)
                check_words(text, wanted)
                whole = raw.ask(ask(INFER, ["X-Mock-Key: k"], **{**more, "stream": False})).json()
                equal(whole, {"text": text, "tokens": wanted, "finish_reason": finish}, "the same without a stream")
                entry = entry_of(mock, seq)
                equal((entry["stream"], entry["output_tokens"], entry["answer_bytes"], entry["end"]),
                      (True, wanted, len(answer.body), "answered"), "journal")
            equal(raw.ask(ask(INFER, max_tokens=-1)).status, 400, "a mistake is no stream")
        mock.stop()


@test
def openai_byte_by_byte():
    for options in ([], ["--itl", "100us", "--threads", "2"]):
        mock = Mock(*options)
        with Raw(mock.address) as raw:
            for path in (COMPLETIONS, CHAT):
                for choices, usage, tokens in ((1, False, 12), (2, True, 5), (8, True, 1)):
                    more = {"max_tokens": tokens, "n": choices}
                    if usage:
                        more["stream_options"] = {"include_usage": True}
                    answer = raw.ask(ask(path, ["X-Mock-Key: k"], prompt="x" * 41, **more))
                    check_head(answer, 0)
                    texts, counts, ended, told = openai_texts(events(answer.body), path == CHAT, choices, usage)
                    equal((counts, ended), ([tokens] * choices, ["length"] * choices), "tokens that were counted")
                    for text in texts:
                        check_words(text, tokens)
                    equal(len(set(texts)), choices, "different choices")
                    del more["stream_options" if usage else "n"]
                    whole = raw.ask(ask(path, ["X-Mock-Key: k"], prompt="x" * 41, **{**more, "stream": False})).json()
                    equal([choice["message"]["content"] if path == CHAT else choice["text"] for choice in whole["choices"]],
                          texts, "the same without a stream")
                    check_usage(whole["usage"], path, choices * tokens)
                    if usage:
                        equal(told, whole["usage"], "usage")
        mock.stop()


def check_usage(usage, path, tokens):
    equal(list(usage), ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"], "usage")
    equal(usage["completion_tokens"], tokens, "tokens of the answer: as many as came")
    equal(usage["total_tokens"], usage["prompt_tokens"] + tokens, "sum")
    # 41 bytes are 11 tokens; a message has its frame besides.
    at_least(usage["prompt_tokens"], 11, "tokens of the prompt")
    at_most(usage["prompt_tokens"], 11 if path == COMPLETIONS else 20, "tokens of the prompt")


@test
def http_1_0_and_head():
    mock = Mock("--itl", "200us")
    for path in (INFER, CHAT):
        with Raw(mock.address) as raw:
            answer = raw.ask(ask(path, version="HTTP/1.0", max_tokens=20))
            check_head(answer, 0)
            equal((answer.fields.get("transfer-encoding"), answer.fields["connection"]), (None, "close"), "framing")
            at_least(len(events(answer.body)), 21, "events up to the end of the connection")
            check(not raw.reset, "a clean end")
        with Raw(mock.address) as raw:
            raw.send(ask(path).replace(b"POST", b"HEAD", 1))
            answer = raw.response(head=True)
            equal((answer.status, answer.fields["allow"]), (405, "POST"), "HEAD")
    mock.stop()


@test
def pipelined():
    """A stream, and whatever else was asked for behind it: in the order asked, each of it whole."""
    mock = Mock("--itl", "300us")
    with Raw(mock.address) as raw:
        raw.send(ask(INFER, max_tokens=15) + request("GET", "/api/health") + ask(CHAT, max_tokens=9) +
                 ask(INFER, stream=False, max_tokens=4) + ask(COMPLETIONS, max_tokens=3) + request("GET", "/nowhere"))
        infer_text(events(raw.response().body), 15, "length")
        equal(raw.response().json()["status"], "healthy", "health")
        equal(openai_texts(events(raw.response().body), True, 1, False)[1], [9], "tokens of chat")
        equal(raw.response().json()["tokens"], 4, "plain tokens")
        equal(openai_texts(events(raw.response().body), False, 1, False)[1], [3], "tokens of completions")
        equal(raw.response().status, 404, "the last")
    equal(mock.stats()["streams"], {"active": 0, "tokens": 15 + 9 + 4 + 3,
                                    "tokens_per_s": mock.stats()["streams"]["tokens_per_s"]}, "streams in the statistics")
    mock.stop()


# ---- Times ----------------------------------------------------------------------------------------------------------

def check_times(mock, raw, bytes_, first_us, all_us):
    """One stream: what was asked for is exact, and nothing comes early."""
    began = time.monotonic_ns()
    answer = raw.ask(bytes_)
    took_us = (time.monotonic_ns() - began) / 1000
    entry = entry_of(mock, check_head(answer, first_us))
    equal(entry["asked_us"], all_us, "us to the last token, asked for")
    at_least(entry["ttft_us"], first_us, "us to the first token")
    at_least(entry["delivered_us"], all_us, "us to the last token")
    at_least(took_us, all_us, "us to the end, as the client saw it")
    # No measurement of speed: only that a delay is not something else altogether.
    at_most(entry["delivered_us"], all_us + 100000 * lib.FACTOR, "us to the last token")
    return answer


@test
def fixed_schedule():
    for threads in ("1", "2"):
        mock = Mock("--ttft", "3ms", "--itl", "750us", "--threads", threads)
        with Raw(mock.address) as raw:
            for path in (INFER, COMPLETIONS, CHAT):
                check_times(mock, raw, ask(path, max_tokens=1), 3000, 3000)
                check_times(mock, raw, ask(path, max_tokens=40, n=2) if path != INFER else ask(path, max_tokens=40),
                            3000, 3000 + 39 * 750)
            check_times(mock, raw, ask(INFER, max_tokens=500), 3000, 3000 + 499 * 750)
            for path in (COMPLETIONS, CHAT):
                answer = raw.ask(ask(path, max_tokens=30, stream=False))
                equal(answer.fields["x-mock-delay-us"], str(3000 + 29 * 750), "to its only byte")
                entry = entry_of(mock, int(answer.fields["x-mock-seq"]))
                equal(entry["asked_us"], 3000 + 29 * 750, "a whole answer takes what its tokens take")
                at_least(entry["delivered_us"], 3000 + 29 * 750, "and no less")
            answer = raw.ask(ask(INFER, max_tokens=30, stream=False))
            equal(answer.fields["x-mock-delay-us"], "0", "a plain infer request has its own delay")
        mock.stop()


@test
def prefill_and_delay():
    config = {"latency": {"delay": "2ms", "itl": "250us", "prefill": "10us"}}
    mock = Mock("--config", lib.config_file(config))
    with Raw(mock.address) as raw:
        # Without a ttft of its own it is the delay of infer, which is twice the delay; 400 bytes are 100 tokens.
        check_times(mock, raw, ask(INFER, prompt="x" * 400, max_tokens=5), 4000 + 1000, 5000 + 4 * 250)
        check_times(mock, raw, ask(COMPLETIONS, prompt="x" * 400, max_tokens=5), 4000 + 1000, 5000 + 4 * 250)
    mock.stop()


@test
def in_the_queue():
    """What was asked for does not change by waiting: the schedule begins when it gets its slot."""
    mock = Mock("--ttft", "2ms", "--itl", "1ms", "--max-concurrency", "1")
    with Raw(mock.address) as raw:
        raw.send(ask(INFER, max_tokens=10) * 2)
        check_head(raw.response(), 2000, 0)
        second = raw.response()
        waited_us = int(second.fields["x-mock-queue-us"])
        at_least(waited_us, 11000 - 1, "us in the queue: as long as the first took")
        entry = entry_of(mock, check_head(second, 2000, waited_us))
        equal((entry["asked_us"], entry["queue_us"]), (2000 + 9 * 1000, waited_us), "journal")
        at_least(entry["delivered_us"], waited_us + 11000, "us, with the queue")
    mock.stop()


@test
def linear_engine():
    config = {"engine": {"kind": "linear", "linear": {"ttft_base_us": 2000, "ttft_per_prompt_token_us": 10.5,
                                                      "itl_base_us": 500, "itl_per_running_us": 100.25}}}
    for threads in ("1", "2"):
        mock = Mock("--config", lib.config_file(config), "--threads", threads)
        with Raw(mock.address) as raw:
            for path in (INFER, COMPLETIONS):
                check_times(mock, raw, ask(path, prompt="x" * 80, max_tokens=21), 2210, 2210 + 20 * 600 + 5)
            # One that finds another running has longer gaps; the other keeps its own.
            raw.send(ask(INFER, prompt="x" * 80, max_tokens=21) * 2)
            asked = [entry_of(mock, check_head(raw.response(), 2210))["asked_us"] for _ in range(2)]
            equal(asked, [2210 + 20 * 600 + 5, 2210 + 20 * 700 + 10], "asked for by two at once")
            check_times(mock, raw, ask(INFER, prompt="x" * 80, max_tokens=21), 2210, 2210 + 20 * 600 + 5)
            entry = entry_of(mock, int(raw.ask(ask(INFER, prompt="x" * 80, max_tokens=21, stream=False))
                                       .fields["x-mock-seq"]))
            equal(entry["asked_us"], 2210 + 20 * 600 + 5, "not streamed: the same")
        mock.stop()


BATCH = {"engine": {"kind": "batch", "batch": {
    "base_us": 1000, "per_seq_us": 100, "per_prefill_token_us": 10, "max_num_seqs": 8, "max_num_batched_tokens": 512,
    "max_model_len": 1024, "blocks": 256, "prefix_cache": False}}}


@test
def batch_engine_alone():
    for threads in ("1", "2"):
        mock = Mock("--config", lib.config_file(BATCH), "--threads", threads)
        with Raw(mock.address) as raw:
            for path in (INFER, COMPLETIONS):
                # The step of the prompt, then one step for each token more.
                check_times(mock, raw, ask(path, prompt="x" * 400, max_tokens=21), 1000 + 100 * 10, 2000 + 20 * 1100)
            entry = entry_of(mock, int(raw.ask(ask(INFER, prompt="x" * 400, max_tokens=21, stream=False))
                                       .fields["x-mock-seq"]))
            equal(entry["asked_us"], 2000 + 20 * 1100, "not streamed: the same")
            answer = raw.ask(ask(COMPLETIONS, prompt="x" * 4000, max_tokens=100))
            equal((answer.status, answer.json()["error"]["code"]), (400, "context_length_exceeded"), "more than fits")
        engine = mock.stats()["batch_engines"]
        equal([sum(one[key] for one in engine) for key in ("submitted", "finished", "running", "waiting", "output_tokens")],
              [3, 3, 0, 0, 63], "engines in the statistics")
        mock.stop()


@test
def batch_engine_together():
    """Those that arrive together are in the same steps, which all of them make longer; their tokens come together."""
    mock = Mock("--config", lib.config_file(BATCH))
    with Raw(mock.address) as raw:
        raw.send(ask(INFER, prompt="x" * 40, max_tokens=21) * 4)
        first_us = 1000 + 4 * 10 * 10
        entries = [entry_of(mock, check_head(raw.response(), first_us)) for _ in range(4)]
        equal([entry["asked_us"] for entry in entries], [first_us + 20 * 1400] * 4, "asked for by four at once")
        equal(len({entry["time"] for entry in entries}), 1, "arrivals")
        # One that is longer than the others is alone in the end.
        raw.send(ask(INFER, prompt="x" * 40, max_tokens=11) + ask(INFER, prompt="x" * 40, max_tokens=21))
        entries = [entry_of(mock, check_head(raw.response(), 1200)) for _ in range(2)]
        equal([entry["asked_us"] for entry in entries], [1200 + 10 * 1200, 1200 + 10 * 1200 + 10 * 1100], "two lengths")
        # More than may run wait for whoever ends: the ninth begins with the step behind the first eight.
        raw.send(ask(INFER, prompt="x" * 40, max_tokens=2) * 9)
        asked = [entry_of(mock, check_head(raw.response()))["asked_us"] for _ in range(9)]
        equal(asked, [1800 + 1800] * 8 + [1800 + 1800 + 1100 + 1100], "nine where eight may run")
    mock.stop()


@test
def same_keys_same_times():
    """Whatever the threads, the connections and the order."""
    options = ["--ttft", "lognormal:median=2ms,p99=9ms", "--itl", "mix:0.9*exponential:mean=200us;0.1*1ms", "--seed", "5"]
    keys = [f"key-{i}" for i in range(60)]
    found = []
    for threads, connections, order in (("1", 3, 1), ("4", 10, -1)):
        mock = Mock(*options, "--threads", threads, "--max-concurrency", "0")
        pool = [Raw(mock.address) for _ in range(connections)]
        mine = {}
        for i, raw in enumerate(pool):
            part = keys[::order][i::connections]
            raw.send(b"".join(ask(CHAT, [f"X-Mock-Key: {key}"], max_tokens=10) for key in part))
        for i, raw in enumerate(pool):
            for key in keys[::order][i::connections]:
                answer = raw.response()
                entry = (answer.fields["x-mock-delay-us"], openai_texts(events(answer.body), True, 1, False)[0])
                mine[key] = (*entry, check_head(answer))
            raw.close()
        asked = {entry["seq"]: entry["asked_us"] for entry in mock.journal()}
        found.append({key: (delay, text, asked[seq]) for key, (delay, text, seq) in mine.items()})
        mock.stop()
    equal(found[1], found[0], "with one thread and with four")
    at_least(len({asked for _, _, asked in found[0].values()}), 50, "different times")
    for delay, _, asked in found[0].values():
        check(0 < int(delay) < asked, (delay, asked))


# ---- Clients that do not listen ---------------------------------------------------------------------------------------

@test
def a_client_that_does_not_read():
    """Its tokens pile up; when it reads again they catch up with a schedule that has not moved."""
    mock = Mock("--itl", "500us")
    tokens, choices = 300, 128
    # Events of 300 bytes, 128 for each token: more than all buffers between here and there take.
    body = {"model": "m" * 90, "prompt": ["p"] * 16, "n": 8, "max_tokens": tokens, "stream": True}
    with Raw(mock.address) as raw:
        raw.send(request("POST", COMPLETIONS, json.dumps(body).encode()))
        lib.wait_until(lambda: mock.stats()["streams"]["active"] == 1, "it has begun")
        began = mock.stats()["uptime_s"]
        lib.wait_until(lambda: mock.stats()["uptime_s"] > began + 0.3, "all its tokens are due")
        given = mock.stats()["streams"]["tokens"]
        check(0 < given < tokens * choices, f"{given} tokens given to a client that does not read")
        answer = raw.response()
        texts = [""] * choices
        for event in events(answer.body):
            texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
        for text in texts:
            check_words(text, tokens)
        entry = entry_of(mock, check_head(answer, 0))
        equal((entry["asked_us"], entry["end"]), ((tokens - 1) * 500, "answered"), "journal")
        equal(entry["output_tokens"], tokens * choices, "tokens")
        at_least(entry["delivered_us"], 300000, "us delivered: the client's time")
        at_most(entry["late_us"], entry["delivered_us"] - entry["asked_us"],
                "us late: what the client did not read is not the mock's fault")
    mock.stop()


def leave(mock, bytes_, count, phase):
    """Ask, read `count` tokens, go by a reset; check that nothing of it is left."""
    cancelled = mock.stats()["timers_cancelled"]
    raw = Raw(mock.address)
    raw.send(bytes_)
    if count == 0:
        lib.wait_until(lambda: mock.stats()["concurrency"]["active"] == 1, "it has its slot")
    for _ in range(count):
        raw.until(b"\n\n")
    raw.abort()
    stats = lib.wait_until(lambda: free(mock.stats()), "its slot is free")
    equal(stats["timers_cancelled"], cancelled + 1, "timers")
    entry = [entry for entry in mock.journal() if entry["endpoint"] == INFER][-1]
    equal((entry["end"], entry["phase"], entry["stream"], entry["fault"]), ("disconnect", phase, True, None), "journal")
    equal(entry["status"], 200 if count > 0 else 0, "status: of a head that was sent")
    at_least(entry["output_tokens"], count, "tokens given")
    at_most(entry["output_tokens"], 9999, "tokens given")


def free(stats):
    """Both: slots are counted by all threads together, streams by each when it is asked."""
    return stats if (stats["concurrency"]["active"], stats["streams"]["active"]) == (0, 0) else None


@test
def clients_that_leave():
    for engine in ("fixed", "batch"):
        config = {"engine": BATCH["engine"]} if engine == "batch" else {}
        if engine == "batch":
            config = json.loads(json.dumps(config))
            config["engine"]["batch"].update(base_us=60000, max_model_len=20000, blocks=2000)
        for threads in ("1", "2"):
            mock = Mock("--config", lib.config_file(config), "--itl", "60ms", "--max-concurrency", "1",
                        "--threads", threads)
            bytes_ = ask(INFER, max_tokens=10000)
            leave(mock, bytes_, 1, "streaming")
            leave(mock, bytes_, 2, "streaming")
            equal(mock.stats()["client_disconnects"]["streaming"], 2, "disconnects")
            with Raw(mock.address) as raw:
                infer_text(events(raw.ask(ask(INFER, max_tokens=3)).body), 3, "length")
            if engine == "batch":
                engines = mock.stats()["batch_engines"]
                equal([sum(one[key] for one in engines) for key in ("submitted", "finished", "cancelled", "kv_blocks_used")],
                      [3, 1, 2, 0], "engines in the statistics")
            mock.stop()
    mock = Mock("--ttft", "1h", "--max-concurrency", "1", "--drain-timeout", "0s")
    leave(mock, ask(INFER), 0, "delayed")
    mock.stop()


@test
def a_drain_lets_streams_end():
    mock = Mock("--itl", "5ms")
    with Raw(mock.address) as raw:
        raw.send(ask(INFER, max_tokens=40))
        lib.wait_until(lambda: mock.stats()["streams"]["active"] == 1, "it has begun")
        equal(mock.ask("POST", "/admin/drain")[0] // 100, 2, "drain")
        infer_text(events(raw.response().body), 40, "length")
    equal((mock.wait(), mock.stderr), (0, ""), "exit status")


if __name__ == "__main__":
    lib.main()
