#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""Models that are loaded and evicted, engines that make tokens in steps, and a mock that says when it is too slow itself."""
import json
import re
import time

import lib
from lib import Mock, Raw, at_least, at_most, check, equal, request, test


def start(config, *options):
    mock = Mock(*options)
    change(mock, config)
    return mock


def change(mock, config):
    status, _, body = mock.ask("PATCH", "/admin/config", json.dumps(config))
    equal(status, 200, f"{config}: {body}")


def ask(mock, path, tree, headers=None):
    """Status, fields and the answer's JSON of a POST."""
    status, fields, body = mock.ask("POST", path, json.dumps(tree), headers)
    return status, fields, json.loads(body)


def load(mock, name, query=""):
    return ask(mock, "/api/models/load" + query, {"model_id": name})


def unload(mock, name, query=""):
    return ask(mock, "/api/models/unload" + query, {"model_id": name})


def infer(mock, name):
    return ask(mock, "/api/infer", {"model_id": name, "prompt": "hi"})


def states(mock):
    return {model["id"]: model["status"] for model in mock.get_json("/api/models")}


def becomes(mock, name, state):
    lib.wait_until(lambda: states(mock)[name] == state, f"{name} is {state}")


# ---- Loading and unloading ------------------------------------------------------------------------------------------

@test
def loading_takes_its_time():
    mock = start({"models": [{"id": "a", "load": "40ms", "unload": {"dist": "fixed", "value_us": 20000}}, {"id": "b"}],
                  "latency": {"delay": "3ms", "multiplier": {"load": 5, "unload": 2, "list": 0}}}, "--threads", "2")
    for model, to_load, to_unload in (("a", 40000, 20000), ("b", 15000, 6000)):
        for action, asked, before, after in ((load, to_load, "unloaded", "loaded"), (unload, to_unload, "loaded", "unloaded")):
            equal(states(mock)[model], before, f"state of {model}")
            began = time.monotonic()
            status, fields, answer = action(mock, model)
            at_least((time.monotonic() - began) * 1e6, asked, "us that it took")
            equal((status, answer["status"], int(fields["X-Mock-Delay-Us"])), (200, after, asked), f"{action.__name__} {model}")
            equal(states(mock)[model], after, f"state of {model} behind it")
            # What is done already is done at once, or with the endpoint's own delay.
            status, fields, answer = action(mock, model)
            equal((status, answer["status"]), (200, after), f"{action.__name__} {model} again")
            equal(int(fields["X-Mock-Delay-Us"]), asked if model == "b" else 0, f"us that {action.__name__} {model} took again")
    memory = mock.stats()["memory"]
    equal((memory["loads"], memory["unloads"], memory["evictions"], memory["refusals"]), (2, 2, 0, 0), "what happened")
    mock.stop()


@test
def a_client_need_not_wait():
    mock = start({"models": [{"id": "a", "load": "1h", "unload": "1h"}], "require_loaded": True}, "--threads", "2")
    equal(infer(mock, "a")[0], 404, "inference on a model that is not loaded")
    status, _, answer = load(mock, "a", "?wait=false")
    equal((status, answer["status"]), (202, "loading"), "a load that nobody waits for")
    check(3590e6 < answer["ready_in_us"] <= 3600e6, answer)
    equal(states(mock), {"a": "loading"}, "its state")
    for query in ("", "?wait=false"):
        status, _, answer = load(mock, "a", query)
        equal((status, answer["status"]), (202, "loading"), "a second load does not wait for the first")
        check(answer["ready_in_us"] <= 3600e6, answer)
    for status, fields, answer in (infer(mock, "a"), unload(mock, "a")):
        equal((status, answer["error"]["type"]), (409, "conflict"), "what a loading model cannot do")
        check(3590 <= int(fields["Retry-After"]) <= 3600, f"s until it is loaded: {fields['Retry-After']}")
    status, _, answer = ask(mock, "/v1/chat/completions", {"model": "a", "messages": [{"role": "user", "content": "hi"}]})
    equal((status, answer["error"]["param"]), (409, "model"), "in OpenAI's shape")
    metrics = mock.metrics()
    equal((metrics["mock_models_loaded"], metrics["mock_model_loads_total"]), (0, 1), "in the metrics")
    adapters = [key for key in metrics if key.startswith("vllm:lora_requests_info")]
    check(len(adapters) == 1 and 'waiting_lora_adapters="a"' in adapters[0], f"vLLM's name for it: {adapters}")
    # Loaded for the sake of the test, then the same with unloading.
    change(mock, {"models": [{"id": "a", "load": "0", "unload": "1h", "loaded": True}]})
    mock.reset()
    equal((states(mock), infer(mock, "a")[0]), ({"a": "loaded"}, 200), "as the configuration says it begins")
    status, _, answer = unload(mock, "a", "?wait=false")
    equal((status, answer["status"]), (202, "unloading"), "an unload that nobody waits for")
    for status, fields, answer in (infer(mock, "a"), load(mock, "a")):
        equal(status, 409, "what a model that is being unloaded cannot do")
        at_least(int(fields["Retry-After"]), 3590, "s until it is gone")
    mock.stop()


@test
def who_waits_sees_it_loaded():
    """A load in flight, seen from other connections; then everybody may use it."""
    mock = start({"models": [{"id": "a", "load": "150ms"}], "require_loaded": True}, "--threads", "2")
    with Raw(mock.address) as raw:
        raw.send(request("POST", "/api/models/load", b'{"model_id":"a"}'))
        becomes(mock, "a", "loading")
        equal(infer(mock, "a")[0], 409, "inference meanwhile")
        answer = raw.response()
        equal((answer.status, answer.json()["status"]), (200, "loaded"), "the one that waited")
    equal((states(mock), infer(mock, "a")[0]), ({"a": "loaded"}, 200), "and now")
    # A client that does not wait for the end has begun it all the same.
    equal(unload(mock, "a")[0], 200, "unload")
    with Raw(mock.address) as raw:
        raw.send(request("POST", "/api/models/load", b'{"model_id":"a"}'))
        becomes(mock, "a", "loading")
        raw.abort()
    becomes(mock, "a", "loaded")
    mock.stop()


@test
def models_that_are_not_there():
    mock = start({"strict_models": True, "require_loaded": True, "models": [{"id": "org/model 1"}]})
    for answer in (load(mock, "x"), unload(mock, "x"), infer(mock, "x")):
        equal((answer[0], answer[2]["error"]["field"]), (404, "model_id"), "a model that is not listed")
    equal(infer(mock, "org/model 1")[0], 404, "one that is not loaded")
    equal(load(mock, "org/model 1")[0], 200, "load")
    equal(infer(mock, "org/model 1")[0], 200, "one that is")
    for path in ("/v1/models/org/model%201", "/v1/models/org%2Fmodel%201"):
        equal(mock.get_json(path)["id"], "org/model 1", path)
    equal(mock.ask("GET", "/v1/models/x")[0], 404, "one of OpenAI's that is not there")
    # Without strict_models everything goes for a model that nobody knows, and is forgotten.
    change(mock, {"strict_models": False})
    equal((load(mock, "x")[0], infer(mock, "x")[0], unload(mock, "x")[0]), (200, 200, 200), "a model that nobody knows")
    equal(states(mock), {"org/model 1": "loaded"}, "the list")
    mock.stop()


GB = 10 ** 9


@test
def no_memory_is_refused():
    models = [{"id": name, "memory_bytes": size * GB} for name, size in (("a", 6), ("b", 5), ("c", 4))]
    mock = start({"models": models,
                  "memory": {"capacity_bytes": 10 * GB}}, "--threads", "2")
    status, _, answer = load(mock, "a")
    equal((status, answer["memory_used"]), (200, "6.0GB"), "the first")
    status, _, answer = load(mock, "b")
    equal((status, answer["error"]["type"]), (507, "insufficient_storage"), "one that does not fit beside it")
    equal(load(mock, "c")[0], 200, "one that does")
    equal(states(mock), {"a": "loaded", "b": "unloaded", "c": "loaded"}, "states")
    stats, metrics = mock.stats(), mock.metrics()
    equal([stats["memory"][key] for key in ("capacity_bytes", "used_bytes", "loaded", "refusals")], [10 * GB, 10 * GB, 2, 1],
          "memory")
    equal([metrics[f"mock_model_memory_{key}_bytes"] for key in ("used", "capacity")], [10 * GB, 10 * GB], "in the metrics")
    equal((metrics["mock_model_load_refusals_total"], metrics["mock_models_loaded"]), (1, 2), "and the counts")
    equal(unload(mock, "a")[0], 200, "room")
    equal(load(mock, "b")[0], 200, "now it fits")
    # A configuration in which what is there from the start has no room changes nothing.
    too_much = {"models": [{"id": "a", "memory_bytes": 11 * GB, "loaded": True}]}
    status, _, body = mock.ask("PATCH", "/admin/config", json.dumps(too_much))
    equal((status, json.loads(body)["error"]["field"]), (400, "/memory/capacity_bytes"), "a configuration that cannot be")
    equal(states(mock), {"a": "unloaded", "b": "loaded", "c": "loaded"}, "states behind that")
    mock.stop()


@test
def the_least_recently_used_is_evicted():
    models = [{"id": name, "memory_bytes": 4 * GB, "load": "10ms", "unload": "30ms"} for name in "abc"]
    models += [{"id": "big", "memory_bytes": 8 * GB, "load": "10ms"}, {"id": "huge", "memory_bytes": 11 * GB},
               {"id": "pin", "memory_bytes": 2 * GB, "loaded": True, "pinned": True}]
    mock = start({"models": models, "memory": {"capacity_bytes": 10 * GB, "overflow": "evict"}}, "--threads", "2")
    mock.reset()
    equal((load(mock, "a")[0], load(mock, "b")[0]), (200, 200), "two beside the one that stays")
    equal(infer(mock, "a")[0], 200, "the first is used")
    status, fields, _ = load(mock, "c")
    equal((status, int(fields["X-Mock-Delay-Us"])), (200, 40000), "the third: unloading another, then loading")
    equal(states(mock), {"a": "loaded", "b": "unloaded", "c": "loaded", "big": "unloaded", "huge": "unloaded", "pin": "loaded"},
          "who had to go")
    equal(load(mock, "huge")[0], 507, "what never fits")
    equal(mock.stats()["memory"]["evictions"], 1, "evictions: none for nothing")
    # One in use is not taken away.
    with Raw(mock.address) as raw:
        change(mock, {"latency": {"delay": "1h", "multiplier": {"list": 0}}})
        raw.send(request("POST", "/api/infer", b'{"model_id":"a","prompt":"hi"}'))
        lib.wait_until(lambda: [one["uses"] for one in mock.stats()["models"] if one["id"] == "a"] == [1], "a is in use")
        equal(load(mock, "big")[0], 507, "both would have to go")
        status, _, answer = unload(mock, "a")
        equal((status, answer["error"]["type"]), (409, "conflict"), "nor is it unloaded")
        raw.abort()
        lib.wait_until(lambda: [one["uses"] for one in mock.stats()["models"] if one["id"] == "a"] == [0], "nobody uses it")
    equal(load(mock, "big")[0], 200, "both go")
    equal(states(mock), {"a": "unloaded", "b": "unloaded", "c": "unloaded", "big": "loaded", "huge": "unloaded", "pin": "loaded"},
          "who is there then")
    equal(mock.metrics()["mock_model_evictions_total"], 3, "evictions")
    mock.stop()


# ---- Engines --------------------------------------------------------------------------------------------------------

COST = {"base_us": 2000, "per_seq_us": 100, "per_ctx_token_us": 0.5, "per_prefill_token_us": 10, "enqueue_us": 500,
        "enqueue_per_token_us": 3}


def complete(mock, prompt, tokens):
    """An answer that is given whole: the us that were asked for it, the tokens of its prompt."""
    status, fields, body = ask(mock, "/v1/completions", {"model": "bitnet-7b", "prompt": prompt, "max_tokens": tokens})
    equal((status, body["usage"]["completion_tokens"]), (200, tokens), "an answer")
    return int(fields["X-Mock-Delay-Us"]), body["usage"]["prompt_tokens"]


def stream(mock, prompt, tokens):
    """The same as a stream, of which the us are those to its first token."""
    status, fields, body = mock.ask("POST", "/v1/completions", json.dumps({
        "model": "bitnet-7b", "prompt": prompt, "max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True}}))
    usage = json.loads(body.split(b"data: ")[-2])["usage"]
    equal((status, usage["completion_tokens"]), (200, tokens), "a stream")
    return int(fields["X-Mock-Delay-Us"]), usage["prompt_tokens"]


def step_us(prefill=0, seqs=0, context=0):
    return COST["base_us"] + COST["per_prefill_token_us"] * prefill + COST["per_seq_us"] * seqs + COST["per_ctx_token_us"] * context


def last_entry(mock):
    return mock.get_json("/admin/requests?path=/v1/completions&limit=1")["requests"][0]


@test
def steps_take_what_the_model_says():
    mock = start({"engine": {"kind": "batch", "batch": COST}})
    for prompt, tokens, streams in (("hi", 5, False), ("word " * 80, 7, False), ("hi ho", 6, True), ("other " * 200, 1, True)):
        asked_us, count = stream(mock, prompt, tokens) if streams else complete(mock, prompt, tokens)
        ttft = 500 + 3 * count + step_us(prefill=count)
        # Each further step attends to the prompt and to what there is of the answer.
        rest = sum(step_us(seqs=1, context=count + i) for i in range(tokens - 1))
        equal(asked_us, int(ttft if streams else ttft + rest), f"us to the first byte, {count} + {tokens} tokens, stream: {streams}")
        entry = last_entry(mock)
        equal((entry["asked_us"], entry["output_tokens"]), (int(ttft + rest), tokens), "us to the last one")
        at_least(entry["delivered_us"], entry["asked_us"], "us that it took")
        at_least(entry["ttft_us"], int(ttft), "us to the first")
    # The same again: all full blocks of 16 tokens but for the last token are in the cache.
    equal(stream(mock, "word " * 80, 2), (500 + 300 + step_us(prefill=4, context=96), 100), "us to the first token, prompt tokens")
    mock.stop()


@test
def prompts_that_begin_alike_share_blocks():
    mock = Mock()
    system = {"role": "system", "content": "You are a test. " * 40}
    for on in (True, False):
        change(mock, {"engine": {"kind": "batch", "batch": {"base_us": 100, "prefix_cache": on}}})
        mock.reset()
        cached = []
        for question in ("one?", "two?", "three?"):
            body = ask(mock, "/v1/chat/completions", {"model": "bitnet-7b", "max_tokens": 2, "messages": [
                system, {"role": "user", "content": question}]})[2]
            cached.append(body["usage"]["prompt_tokens_details"]["cached_tokens"])
        metrics = mock.metrics()
        hits, queries = (metrics[f'vllm:prefix_cache_{name}_total{{model_name="bitnet-7b",engine="0"}}']
                         for name in ("hits", "queries"))
        equal(cached, [0, 160, 160] if on else [0, 0, 0], f"tokens of the system's message, prefix_cache {on}")
        equal((hits, queries > 0), (sum(cached), on), "in the metrics")
        infos = [key for key in metrics if key.startswith("vllm:cache_config_info")]
        check(len(infos) == 1 and f'enable_prefix_caching="{on}"' in infos[0], f"its configuration: {infos}")
    mock.stop()


@test
def without_blocks_the_last_is_preempted():
    # Room for 80 tokens: two answers of 60 tokens do not fit beside each other.
    mock = start({"engine": {"kind": "batch", "batch": {"base_us": 5000, "blocks": 5, "block_size": 16, "max_model_len": 80,
                                                         "prefix_cache": False}}})
    body = json.dumps({"model": "bitnet-7b", "prompt": "hi", "max_tokens": 60}).encode()
    pool = [Raw(mock.address) for _ in range(3)]
    for raw in pool:
        raw.send(request("POST", "/v1/completions", body))

    def figures():
        metrics = mock.metrics()
        return {name: metrics[f'vllm:{name}{{model_name="bitnet-7b",engine="0"}}'] for name in
                ("kv_cache_usage_perc", "num_requests_running", "num_preemptions_total", "num_requests_waiting")}
    now = lib.wait_until(lambda: (lambda now: now if now["kv_cache_usage_perc"] > 0 else None)(figures()), "the cache is in use")
    check(now["kv_cache_usage_perc"] <= 1 and now["num_requests_running"] + now["num_requests_waiting"] == 3, f"meanwhile: {now}")
    for raw in pool:
        answer = raw.response()
        equal((answer.status, answer.json()["usage"]["completion_tokens"]), (200, 60), "an answer, whole")
        raw.close()
    end = figures()
    left = [end[name] for name in ("kv_cache_usage_perc", "num_requests_running", "num_requests_waiting")]
    equal(left, [0, 0, 0], "nothing is left")
    at_least(end["num_preemptions_total"], 1, "preemptions")
    stats = mock.stats()["batch_engines"][0]
    equal([stats[name] for name in ("submitted", "finished", "cancelled", "preemptions")],
          [3, 3, 0, end["num_preemptions_total"]], "in /admin/stats")
    equal(stats["output_tokens"], 180, "tokens, each once")
    # Too long for it, alone: told at once.
    status, _, answer = ask(mock, "/v1/completions", {"model": "bitnet-7b", "prompt": "word " * 200, "max_tokens": 1})
    equal((status, answer["error"]["code"]), (400, "context_length_exceeded"), "a prompt that is too long")
    mock.stop()


@test
def a_stream_that_leaves_gives_its_blocks_back():
    mock = start({"engine": {"kind": "batch", "batch": {"base_us": 2000, "max_num_seqs": 1}}})
    body = json.dumps({"model": "bitnet-7b", "prompt": "hi", "max_tokens": 100000, "stream": True}).encode()
    change(mock, {"engine": {"batch": {"max_model_len": 131072}}})
    first, second = Raw(mock.address), Raw(mock.address)
    first.send(request("POST", "/v1/completions", body))
    first.until(b"data: ")
    second.send(request("POST", "/v1/completions", body))
    lib.wait_until(lambda: mock.stats()["batch_engines"][0]["waiting"] == 1, "the second waits")
    first.abort()
    second.until(b"data: ")
    stats = mock.stats()
    equal((stats["batch_engines"][0]["cancelled"], stats["disconnects"]["streaming"]), (1, 1), "the first is cancelled")
    second.abort()
    lib.wait_until(lambda: mock.stats()["batch_engines"][0]["kv_blocks_used"] == 0, "all blocks are back")
    equal(mock.metrics()['vllm:request_success_total{model_name="bitnet-7b",engine="0",finished_reason="abort"}'], 2, "aborted")
    mock.stop()


@test
def all_of_a_step_come_together():
    """Eight streams: each step gives each of them a token, and they come in the same moment."""
    mock = start({"engine": {"kind": "batch", "batch": {"base_us": 5000}}})
    body = json.dumps({"model": "bitnet-7b", "prompt": "hi", "max_tokens": 12, "stream": True}).encode()
    pool = [Raw(mock.address) for _ in range(8)]
    for raw in pool:
        raw.send(request("POST", "/v1/completions", body))
    for raw in pool:
        equal(raw.response().body.count(b"data: "), 12 + 2, "events: tokens, the end, [DONE]")
        raw.close()
    steps = mock.stats()["batch_engines"][0]["steps"]
    # 96 tokens; those that came a step later than the first end a step later.
    check(12 <= steps <= 30, f"steps: {steps}")
    mock.stop()


@test
def presets():
    with open(f"{lib.ROOT}/docs/config.md", encoding="utf-8") as file:
        lists = re.findall(r"^\| (fixed|linear|batch) \| ([^|]+) \|$", file.read(), re.M)
    equal([kind for kind, _ in lists], ["fixed", "linear", "batch"], "kinds in docs/config.md")
    mock = Mock()
    change(mock, {"tokens": 1})
    for kind, names in lists:
        for name in names.split(", "):
            change(mock, {"engine": {"preset": name}})
            engine = mock.get_json("/admin/config")["engine"]
            equal((engine["preset"], engine["kind"]), (name, kind), "what it is")
            if kind != "batch":
                continue
            equal((engine["batch"]["max_num_seqs"], engine["batch"]["block_size"]), (256, 16), f"vLLM's defaults in {name}")
            asked_us, _ = complete(mock, "hi", 1)
            batch = engine["batch"]
            wanted = sum(batch[key] for key in ("enqueue_us", "enqueue_per_token_us", "base_us", "per_prefill_token_us"))
            at_most(abs(asked_us - wanted), 1, f"us to the first token of {name}")
    message = json.loads(mock.ask("PATCH", "/admin/config", b'{"engine":{"preset":"llama-3.1-8b-h200"}}')[2])["error"]["message"]
    check("llama-3.1-8b-h100" in message, message)
    mock.stop()


@test
def linear_grows_with_what_runs():
    mock = start({"engine": {"kind": "linear", "linear": {"ttft_base_us": 3000, "ttft_per_prompt_token_us": 10, "itl_base_us": 1000,
                                                          "itl_per_running_us": 500}}})
    equal(stream(mock, "word " * 80, 5), (4000, 100), "us to the first token, prompt tokens")
    equal(last_entry(mock)["asked_us"], 4000 + 4 * 1500, "us to the last one, alone")
    with Raw(mock.address) as raw:
        change(mock, {"engine": {"linear": {"ttft_base_us": 3600000000}}})
        raw.send(request("POST", "/v1/completions", b'{"model":"bitnet-7b","prompt":"hi"}'))
        lib.wait_until(lambda: mock.stats()["concurrency"]["in_flight"] == 1, "one that runs")
        change(mock, {"engine": {"linear": {"ttft_base_us": 3000}}})
        equal(complete(mock, "word " * 80, 5)[0], 4000 + 4 * 2000, "beside another")
        raw.abort()
    lib.wait_until(lambda: mock.stats()["concurrency"]["in_flight"] == 0, "it is gone")
    equal(complete(mock, "word " * 80, 5)[0], 4000 + 4 * 1500, "alone again")
    mock.stop()


# ---- Too slow itself ------------------------------------------------------------------------------------------------

def saturated(mock, raw):
    """Requests that are delayed, until an answer says one thing or the other: what the last one says."""
    raw.send(request("POST", "/api/infer", b'{"model_id":"bitnet-7b","prompt":"hi"}') * 10)
    return [raw.response().fields.get("x-mock-saturated") for _ in range(10)][-1]


def says(mock):
    return mock.metrics()["mock_saturated"], mock.stats()["saturated"]


@test
def saturation_shows_and_goes():
    """Three mocks that are too slow at once, so that the seconds in which each is judged are the same."""
    mocks = [Mock("--latency", "500us", "--threads", threads) for threads in ("2", "1", "1")]
    pool = [Raw(mock.address) for mock in mocks]
    for mock, raw in zip(mocks, pool):
        equal((saturated(mock, raw), says(mock)), (None, (0, False)), "at the start")
        # No answer is given within a microsecond of its time.
        change(mock, {"saturation": {"schedule_error_us": 1, "loop_lag_us": 86400000000}})
    lib.wait_until(lambda: all([saturated(mock, raw) == "1" for mock, raw in zip(mocks, pool)]), "X-Mock-Saturated")
    equal([says(mock) for mock in mocks], [(1, True)] * 3, "metrics and stats")
    by_patch, by_reset, _ = mocks
    stats = by_patch.stats()
    at_least(stats["saturation"]["windows_saturated"], 1, "windows in which it was")
    at_least(by_patch.metrics()["mock_saturated_windows_total"], 1, "in the metrics")
    figures = stats["saturation"]["schedule_error"]
    equal(figures["bound_us"], 1, "its bound")
    at_least(figures["p99_us"], 1, "us late")
    equal(sorted(thread["saturated"] for thread in stats["saturation"]["by_thread"]), [False, True], "one of two threads")
    for _ in range(8):
        fields = by_patch.ask("POST", "/api/infer", b'{"model_id":"bitnet-7b","prompt":"hi"}')[1]
        equal(fields["X-Mock-Saturated"], "1", "an answer of whatever thread")
    # A reset ends it at once; other bounds, or nothing to do, with the next second.
    by_reset.reset()
    equal(says(by_reset), (0, False), "after a reset")
    change(by_patch, {"saturation": {"schedule_error_us": 86400000000}})
    lib.wait_until(lambda: saturated(by_patch, pool[0]) is None, "it is over")
    for mock in mocks:
        lib.wait_until(lambda mock=mock: says(mock) == (0, False), "all of them say that it is over")
    for mock, raw in zip(mocks, pool):
        raw.close()
        mock.stop()


if __name__ == "__main__":
    lib.main()
