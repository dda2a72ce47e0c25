#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
# No ring concerns this.
"""The configuration of weir-mock: what is wrong is told, on the command line and by PATCH; the manuals' examples hold."""
import glob
import json
import os
import re
import shutil

import lib
from lib import MOCK, Mock, check, equal, test

# A configuration that is wrong, the key as the command line names it, the pointer of the admin API, words of the message.
WRONG = [
    ({"limits": {"que_depth": 3}}, "limits.que_depth", "/limits/que_depth", ["no such key", "did you mean queue_depth?"]),
    ({"latencies": {}}, "latencies", "/latencies", ["no such key", "did you mean latency?"]),
    ({"zzz": 1}, "zzz", "/zzz", ["no such key", "there are seed, "]),
    ({"a/b~c": 1}, "a/b~c", "/a~1b~0c", ["no such key"]),
    ({"seed": "much"}, "seed", "/seed", ["an integer", '"much"']),
    ({"seed": -1}, "seed", "/seed", ["an integer from 0", "-1"]),
    ({"tokens": 1000001}, "tokens", "/tokens", ["from 1 to 1000000", "1000001"]),
    ({"tokens": 1.5}, "tokens", "/tokens", ["an integer", "1.5"]),
    ({"strict_models": 1}, "strict_models", "/strict_models", ["true or false", "1"]),
    ({"limits": []}, "limits", "/limits", ["an object", "array"]),
    ({"limits": {"overflow": "drop"}}, "limits.overflow", "/limits/overflow", ['"wait", "429" or "503"', '"drop"']),
    ({"limits": {"order": "lif"}}, "limits.order", "/limits/order", ['did you mean "lifo"?']),
    ({"limits": {"queue_depth": -2}}, "limits.queue_depth", "/limits/queue_depth", ["from -1", "-2"]),
    ({"latency": {"delay": "5"}}, "latency.delay", "/latency/delay", ["unit"]),
    ({"latency": {"delay": {"dist": "fixed", "value": 5}}}, "latency.delay.value", "/latency/delay/value", ["value_us"]),
    ({"latency": {"itl": {"dist": "gama", "mean_us": 5, "shape": 2}}}, "latency.itl.dist", "/latency/itl/dist", ["gamma"]),
    ({"latency": {"multiplier": {"infer": 1001}}}, "latency.multiplier.infer", "/latency/multiplier/infer", ["from 0 to 1000"]),
    ({"models": []}, "models", "/models", ["at least one"]),
    ({"models": [{"id": "a"}, {"id": "a"}]}, "models[1].id", "/models/1/id", ['another model has the id "a"']),
    ({"models": [{"name": "a"}]}, "models[0].id", "/models/0/id", ["missing"]),
    ({"models": [{"id": "a", "memory_bytes": 5, "loaded": True}], "memory": {"capacity_bytes": 4}},
     "memory.capacity_bytes", "/memory/capacity_bytes", ["which is 5", "4"]),
    ({"engine": {"preset": "gpt5o"}}, "engine.preset", "/engine/preset", ['"gpt5"']),
    ({"engine": {"batch": {"max_num_seqs": 9, "max_num_batched_tokens": 8}}}, "engine.batch.max_num_batched_tokens",
     "/engine/batch/max_num_batched_tokens", ["no less than max_num_seqs, which is 9"]),
    ({"engine": {"batch": {"blocks": 1}}}, "engine.batch.max_model_len", "/engine/batch/max_model_len", ["= 16"]),
    ({"output_tokens": {"mean": 5, "p99": 9}}, "output_tokens.p99", "/output_tokens/p99", []),
    ({"faults": {}}, "faults", "/faults", ["an array"]),
    ({"faults": [{"id": "x"}]}, "faults[0].do", "/faults/0/do", []),
    ({"faults": [{"do": {"kind": "reset"}}, {"when": {"evry": 2}, "do": {"kind": "reset"}}]},
     "faults[1].when.evry", "/faults/1/when/evry", ["every"]),
    ({"faults": [{"do": {"kind": "status"}}]}, "faults[0].do.status", "/faults/0/do/status", []),
    ({"faults": [{"id": "x", "do": {"kind": "reset"}}, {"id": "x", "do": {"kind": "fin"}}]},
     "faults[1].id", "/faults/1/id", ["x"]),
]


def write(text, name="mock.yaml"):
    path = os.path.join(lib.temp_dir(), name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def run(*options):
    """A start that must end by itself: status, output, error."""
    program = lib.run([MOCK, *options], cwd=lib.ROOT)
    return program.process.returncode, program.stdout, program.stderr


def check_refused(path, words, *options):
    """Exit status 1, nothing on standard output, and one line that begins with the file's name."""
    status, out, err = run(*options, "--config", path)
    equal((status, out), (1, ""), f"status and output with {path}: {err}")
    check(re.fullmatch(rf"weir-mock: {re.escape(path)}[^\n]+\n", err), f"one line that names {path}: {err!r}")
    for word in words:
        check(word in err, f"{word!r} is not in {err!r}")


def shown(mock):
    """The configuration and its generation."""
    status, headers, body = mock.ask("GET", "/admin/config")
    equal(status, 200, "GET /admin/config")
    return json.loads(body), headers["ETag"]


# ---- What is wrong --------------------------------------------------------------------------------------------------

@test
def wrong_on_the_command_line():
    for tree, key, _, words in WRONG:
        check_refused(write(json.dumps(tree)), [f": {key}: ", *words], "--check-config")


@test
def wrong_by_patch():
    mock = Mock()
    before = shown(mock)
    for tree, key, pointer, words in WRONG:
        # The rest of the patch is well: nothing of it may count.
        status, _, body = mock.ask("PATCH", "/admin/config", json.dumps({"seed": 99, **tree}))
        equal(status, 400, f"status of {tree}: {body}")
        error = json.loads(body)["error"]
        equal((error["type"], error["field"]), ("invalid_request", pointer), f"error of {tree}: {error}")
        for word in (f"{key}: ", *words):
            check(word in error["message"], f"{word!r} is not in {error['message']!r}")
        equal(shown(mock), before, f"the configuration after {tree}")
    mock.stop()


BAD_TEXTS = [
    ("latency:\n  delay: 5ms\nlatency:\n  itl: 1ms\n", ":3:1: ", ['the key "latency" is there already']),
    ("seed: 1\nlimits: { overflow: 429\n", ":3:1: ", []),
    ("a: &x 1\nb: 2\n", ":1:", ["anchor"]),
    ("a: 1\nb: *x\n", ":2:", []),
    ("a: !!int 1\n", ":1:", ["tag"]),
    ("seed: 1\n---\nseed: 2\n", ":2:", ["document"]),
    ("seed:\t1\n  x: 2\n", ":2:", []),
    ('{"seed": 1,\n "seed": 2}', ":2:", ["seed"]),
    ("[" * 40 + "]" * 40, ":1:", ["32"]),
    ("\x01: 1\n", ":1:", []),
]


@test
def bad_texts():
    mock = Mock()
    before = shown(mock)
    for text, place, words in BAD_TEXTS:
        path = write(text)
        check_refused(path, [f"{path}{place}", *words], "--check-config")
        status, _, body = mock.ask("PATCH", "/admin/config", text.encode())
        equal(status, 400, f"status of {text!r}")
        message = json.loads(body)["error"]["message"]
        for word in (f"body{place}", *words):
            check(word in message, f"{word!r} is not in {message!r}")
    for text in ("null", "[]", "7", '"seed"'):
        status, _, body = mock.ask("PATCH", "/admin/config", text.encode())
        equal(status, 400, f"status of {text!r}: {body}")
        check("an object" in json.loads(body)["error"]["message"], body)
    equal(shown(mock), before, "the configuration behind all that")
    # YAML is as good as JSON.
    equal(mock.ask("PATCH", "/admin/config", b"seed: 5\nlimits: { max_concurrency: 7 }\n")[0], 200, "a patch in YAML")
    tree, tag = shown(mock)
    equal((tree["seed"], tree["limits"]["max_concurrency"], tag), (5, 7, '"2"'), "what it did")
    mock.stop()


@test
def files_that_are_none():
    check_refused(os.path.join(lib.temp_dir(), "nowhere.yaml"), ["No such file"], "--check-config")
    check_refused(lib.temp_dir(), ["directory"], "--check-config")
    check_refused(write("#" * (4 << 20) + "\n"), ["4 MiB"], "--check-config")
    check_refused(write('latency: { delay: { dist: hgrm, file: /nowhere.hgrm } }'), ["latency.delay: ", "/nowhere.hgrm"],
                  "--check-config")
    for text in ("", "# nothing\n", "{}", "null", "limits: null\n"):
        path = write(text)
        equal(run("--check-config", "--config", path), (0, f"{path}: ok\n", ""), f"a file of {text!r}")
    equal(run("--check-config"), (0, "configuration: ok\n", ""), "no file at all")


@test
def a_bad_file_starts_nothing():
    log = os.path.join(lib.temp_dir(), "requests.ndjson")
    path = write("limits: { que_depth: 1 }\n")
    check_refused(path, ["queue_depth"], "--listen", "127.0.0.1:0", "--request-log", log)
    check(not os.path.exists(log), "nothing was opened")


# ---- The command line counts before the file ------------------------------------------------------------------------

@test
def options_count_before_the_file():
    path = write("""
seed: 1
tokens: 11
strict_models: false
latency: { delay: 3ms, ttft: 4ms, itl: 5ms, prefill: 6ms }
limits: { max_concurrency: 7, queue_depth: 8 }
engine: { preset: gpt4 }
faults:
  - id: first
    enabled: false
    do: { kind: reset }
""")
    mock = Mock("--config", path)
    tree, tag = shown(mock)
    equal(tag, '"1"', "generation at the start")
    equal((tree["seed"], tree["tokens"], tree["strict_models"]), (1, 11, False), "of the file")
    equal(tree["latency"]["delay"], "3ms", "delay of the file")
    mock.stop()
    options = ["--seed", "2", "--tokens", "12", "--strict-models", "--latency", "30us", "--ttft", "40us", "--itl", "50us",
               "--max-concurrency", "70", "--preset", "8b-h100", "--error-rate", "0.25"]
    mock = Mock(*options, "--config", path)
    tree, _ = shown(mock)
    equal((tree["seed"], tree["tokens"], tree["strict_models"]), (2, 12, True), "of the options")
    equal({key: tree["latency"][key] for key in ("delay", "ttft", "itl", "prefill")},
          {"delay": "30us", "ttft": "40us", "itl": "50us", "prefill": "6ms"}, "latencies")
    equal((tree["limits"]["max_concurrency"], tree["limits"]["queue_depth"]), (70, 8), "limits")
    equal((tree["engine"]["preset"], tree["engine"]["kind"]), ("8b-h100", "linear"), "engine")
    equal([rule["id"] for rule in tree["faults"]], ["first", "error-rate"], "--error-rate is the last of the rules")
    equal((tree["faults"][1]["when"]["probability"], tree["faults"][1]["do"]["status"]), (0.25, 500), "what it is")
    mock.stop()
    # What the options make of the file is what is checked.
    bad = write("latency: { delay: nonsense }\n")
    check_refused(bad, ["latency.delay"], "--check-config")
    equal(run("--check-config", "--config", bad, "--latency", "1ms"), (0, f"{bad}: ok\n", ""), "the bad key does not count")
    status, _, err = run("--check-config", "--preset", "gpt9000")
    equal(status, 1, "a preset that is none")
    check("engine.preset" in err and "gpt9000" in err, err)


@test
def what_is_shown_is_a_configuration():
    """GET /admin/config, written to a file, starts a mock that shows the same."""
    path = os.path.join(lib.ROOT, "examples", "mock.yaml")
    mock = Mock("--config", path)
    tree, _ = shown(mock)
    equal((tree["seed"], tree["limits"]["overflow"], tree["faults"][1]["do"]["at"]), (42, "429", "after_tokens:10"), "the example")
    mock.stop()
    again = Mock("--config", write(json.dumps(tree)))
    equal(shown(again)[0], tree, "the same again")
    equal(again.ask("PATCH", "/admin/config", json.dumps(tree))[0], 200, "and as a patch")
    equal(shown(again), (tree, '"2"'), "what it did")
    again.stop()


@test
def startup():
    mock = Mock("--config", write("startup_us: 3600000000\n"))
    status, fields, body = mock.ask("GET", "/health")
    equal((status, json.loads(body)), (503, {"status": "starting"}), "/health of one that starts")
    check(3590 <= int(fields["Retry-After"]) <= 3600, fields["Retry-After"])
    for method, path, body in (("GET", "/api/health", None), ("POST", "/api/infer", b'{"model_id":"bitnet-7b","prompt":"hi"}')):
        equal(mock.ask(method, path, body)[0], 200, f"{path} meanwhile")
    equal(mock.ask("PATCH", "/admin/config", b"startup_us: 0")[0], 200, "it has started")
    status, _, body = mock.ask("GET", "/health")
    equal((status, json.loads(body)), (200, {"status": "ok"}), "/health")
    mock.stop()


# ---- The manuals ----------------------------------------------------------------------------------------------------

def blocks(language, name):
    with open(os.path.join(lib.ROOT, "docs", name), encoding="utf-8") as file:
        return re.findall(rf"^```{language}\n(.*?)^```$", file.read(), re.S | re.M)


@test
def configurations_of_the_manuals():
    path = os.path.join(lib.ROOT, "examples", "mock.yaml")
    equal(run("--check-config", "--config", path), (0, f"{path}: ok\n", ""), "examples/mock.yaml")
    mock = Mock()
    count = 0
    for name in ("config.md", "faults.md", "mock.md", "admin.md"):
        for language in ("yaml", "json"):
            for block in blocks(language, name):
                if language == "json" and not block.lstrip().startswith('{"') and "latency" not in block:
                    continue
                path = write(block)
                status, _, err = run("--check-config", "--config", path)
                equal((status, err), (0, ""), f"{name}:\n{block}")
                equal(mock.ask("PATCH", "/admin/config", block.encode())[0], 200, f"{name} as a patch:\n{block}")
                count += 1
    lib.at_least(count, 7, "examples in the manuals")
    mock.stop()


@test
def commands_of_the_manuals():
    """Every ```sh block of docs/mock.md and docs/admin.md, as a reader types it, block after block in a shell of its own."""
    lib.need("curl")
    for name in ("mock.md", "admin.md"):
        directory = lib.temp_dir()
        shutil.copytree(os.path.join(lib.ROOT, "examples"), os.path.join(directory, "examples"),
                        ignore=shutil.ignore_patterns("*.c"))
        mock = Mock("--config", write("overrides: true\n"), cwd=directory)
        found = blocks("sh", name)
        lib.at_least(len(found), 3, f"blocks of commands in {name}")
        for block in found:
            done = lib.run(["sh", "-eu", "-c", block], cwd=directory,
                           env={"PATH": f"{lib.BUILD}:{os.environ['PATH']}", "MOCK": mock.url("").rstrip("/"), "no_proxy": "*"})
            equal((done.process.returncode, done.stderr), (0, ""), f"{name}:\n{block}\n{done.stdout}")
        mock.stop()


@test
def starts_of_the_manuals():
    """Every `$ weir-mock ...` is a start that would succeed."""
    count = 0
    for block in blocks("console", "mock.md"):
        for line in re.findall(r"^\$ weir-mock (.*)$", block, re.M):
            equal(run(*line.split(), "--check-config")[0::2], (0, ""), line)
            count += 1
    lib.at_least(count, 3, "starts")


@test
def links_of_the_manuals():
    for path in glob.glob(os.path.join(lib.ROOT, "docs", "*.md")):
        with open(path, encoding="utf-8") as file:
            for target in re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", file.read()):
                check(os.path.exists(os.path.join(os.path.dirname(path), target)), f"{path}: there is no {target}")


if __name__ == "__main__":
    lib.main()
