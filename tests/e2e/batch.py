#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""Batches: the mock's endpoint as any client sees it, and the program of docs/batching.md in front of it."""
import json
import os
import re

import lib
from lib import Mock, Raw, check, equal, request, test

PATH = "/api/infer/batch"
GOOD = {"model_id": "bitnet-7b", "prompt": "hi", "max_tokens": 16}
BAD = [7, None, "text", [], {}, {"prompt": "x"}, {"model_id": 1, "prompt": "x"}, {"model_id": "a"},
       {**GOOD, "max_tokens": -1}, {**GOOD, "max_tokens": 1.5}, {**GOOD, "top_p": "x"}, {**GOOD, "temperature": []}]


def batch(items):
    return request("POST", PATH, json.dumps(items).encode())


def check_good(element):
    equal(sorted(element), ["body", "status"], "keys of an element")
    equal(element["status"], 200, "its status")
    body = element["body"]
    equal(sorted(body), ["finish_reason", "text", "tokens"], "keys of infer")
    equal((body["tokens"], body["finish_reason"]), (16, "length"), "infer")
    equal(len(body["text"].split(" ")), 16, "words")


@test
def each_as_it_would_be_alone():
    for options in ([], ["--strict-models"]):
        mock = Mock(*options)
        with Raw(mock.address) as raw:
            items = [item for bad in [*BAD, {**GOOD, "model_id": "none"}] for item in (GOOD, bad)]
            answer = raw.ask(batch(items))
            equal((answer.status, answer.fields["content-type"]), (200, "application/json"), "the whole")
            elements = answer.json()
            equal(len(elements), len(items), "elements")
            for item, element in zip(items, elements):
                alone = raw.ask(request("POST", "/api/infer", json.dumps(item).encode()))
                equal(element["status"], alone.status, f"status of {item}")
                if alone.status == 200:
                    check_good(element)
                    # Which words they are depends on the key, which this one had none of.
                    check_good({"status": 200, "body": alone.json()})
                else:
                    equal({"error": element["error"]}, alone.json(), f"error of {item}")
                    equal(sorted(element), ["error", "status"], "keys")
        mock.stop()


@test
def the_key_chooses_the_words():
    mock = Mock()
    with Raw(mock.address) as raw:
        def ask(path, body, key):
            answer = raw.ask(request("POST", path, json.dumps(body).encode(), [f"X-Mock-Key: {key}"]))
            equal(answer.status, 200, path)
            return answer.json()

        alone = {key: ask("/api/infer", GOOD, key) for key in ("a", "b")}
        check(alone["a"] != alone["b"], alone)
        for key in ("a", "b"):
            elements = ask(PATH, [GOOD] * 5, key)
            equal(elements[0]["body"], alone[key], "the first has the key of the batch")
            equal(len({element["body"]["text"] for element in elements}), 5, "different texts")
            equal(ask(PATH, [GOOD] * 5, key), elements, "the same again")
    mock.stop()


@test
def the_whole_is_wrong():
    mock = Mock()
    with Raw(mock.address) as raw:
        for body in (b"", b"[]", b"{}", b"null", b"[", b"[{}", b"[{},]", b"[{}]]", b"[{}] 1", b"[1 2]", b"[nul]",
                     b"[\"\xff\"]", b"[" * 100000, json.dumps(GOOD).encode()):
            answer = raw.ask(request("POST", PATH, body))
            equal(answer.status, 400, body[:20])
            error = answer.json()["error"]
            equal((error["type"], error["field"]), ("invalid_request", "body"), body[:20])
            check(error["message"].startswith("body: expected "), error)
        equal(raw.ask(batch([GOOD] * 101)).status, 413, "too many")
        equal(len(raw.ask(batch([GOOD] * 100)).json()), 100, "as many as there may be")
        answer = raw.ask(request("GET", PATH))
        equal((answer.status, answer.fields["allow"]), (405, "POST"), "another method")
    mock.stop()


@test
def cut_anyhow():
    mock = Mock()
    items = [{**GOOD, "prompt": "x" * i} for i in range(50)]
    stream = batch(items) + batch([GOOD]) + request("POST", "/api/infer", json.dumps(GOOD).encode())
    with Raw(mock.address) as raw:
        for size in (len(stream), 1000, 61):
            raw.send(*(stream[at:at + size] for at in range(0, len(stream), size)))
            for element in raw.response().json() + raw.response().json():
                check_good(element)
            equal(raw.response().status, 200, "the request behind")
        body = json.dumps(items).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[at:at + 99]), body[at:at + 99]) for at in range(0, len(body), 99))
        answer = raw.ask(request("POST", PATH, headers=["Transfer-Encoding: chunked"]) + chunks + b"0\r\n\r\n")
        equal(len(answer.json()), 50, "in chunks")
    mock.stop()


@test
def one_error_for_all():
    mock = Mock("--error-rate", "1")
    with Raw(mock.address) as raw:
        answer = raw.ask(batch([GOOD] * 3))
        equal((answer.status, answer.json()["error"]["type"]), (500, "injected_error"), "the whole")
    equal(mock.stats()["faults_injected"], 1, "one fault")
    mock.stop()


@test
def one_request_in_the_books():
    mock = Mock()
    with Raw(mock.address) as raw:
        raw.ask(batch([GOOD] * 5))
        raw.ask(batch([GOOD, 1]))
        raw.ask(batch([]))
    equal(mock.stats()["endpoints"][PATH]["by_status"], {"200": 2, "400": 1}, "by_status")
    entries = [entry for entry in mock.journal() if entry["endpoint"] == PATH]
    equal([entry["status"] for entry in entries], [200, 200, 400], "journal")
    equal(entries[0]["body_bytes"], len(json.dumps([GOOD] * 5)), "body_bytes")
    equal(mock.stats()["batch_items"], 7, "items in the statistics")
    equal(mock.metrics()["mock_batch_items_total"], 7, "items in the metrics")
    mock.reset()
    equal(mock.stats()["batch_items"], 0, "items after a reset")
    mock.stop()


@test
def one_delay_for_all():
    mock = Mock("--latency", "20ms")
    with Raw(mock.address) as raw:
        for count in (1, 50):
            equal(len(raw.ask(batch([GOOD] * count)).json()), count, "answers")
        raw.ask(batch([]))
    entries = [entry for entry in mock.journal() if entry["endpoint"] == PATH]
    equal([entry["asked_us"] for entry in entries], [40000, 40000, 0], "asked for")
    check(all(40000 <= entry["delivered_us"] for entry in entries[:2]), entries)
    check(entries[1]["delivered_us"] < 50 * 40000, entries)
    mock.stop()


# ---- The program of the documentation -----------------------------------------------------------------------------

_program = []


def program():
    if _program:
        return _program[0]
    with open(os.path.join(lib.ROOT, "docs", "batching.md"), encoding="utf-8") as file:
        source, command = re.search(r"```c\n(.*?)```.*?```sh\n(.*?)\n```", file.read(), re.S).groups()
    directory = lib.temp_dir()
    os.symlink(os.path.join(lib.ROOT, "include"), os.path.join(directory, "include"))
    os.symlink(lib.BUILD, os.path.join(directory, "build"))
    with open(os.path.join(directory, "batch.c"), "w", encoding="utf-8") as file:
        file.write(source)
    with open(os.path.join(lib.BUILD, ".flags"), encoding="utf-8") as flags:
        flags = flags.read()
    compiler = flags.split()[0] if "-fsanitize=" in flags else "cc"
    sanitizers = " ".join(re.findall(r"-fsanitize=\S+", flags))
    if sanitizers:
        # The sanitizers of clang are linked into programs only: with its shared library they would be missing.
        command = command.replace("build/libweir.so.0", f"build/libweir.a {sanitizers} {link_flags()}")
    command = command.replace("cc ", f"{compiler} -Wall -Wextra -Werror ", 1)
    compiled = lib.run(["sh", "-c", command], cwd=directory)
    equal((compiled.process.returncode, compiled.stderr), (0, ""), command)
    _program.append(os.path.join(directory, "batch"))
    return _program[0]


def link_flags():
    """The libraries that the static library needs, from the Makefile, which is where they are listed."""
    with open(os.path.join(lib.ROOT, "Makefile"), encoding="utf-8") as makefile:
        libs = re.search(r"^LIB_LIBS := (.*)$", makefile.read(), re.M)[1]
    return f"{libs} -pthread"


def ask_all(endpoint, lines):
    directory = lib.temp_dir()
    path = os.path.join(directory, "lines")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    with open(path, encoding="utf-8") as file:
        done = lib.run([program(), endpoint], stdin=file)
    equal((done.process.returncode, done.stderr), (0, ""), "the program")
    return done.stdout.splitlines()


@test
def program_of_the_documentation():
    mock = Mock("--strict-models")
    items = [{"model_id": "bitnet-7b" if i % 7 else f"none{i}", "prompt": f"{i}"} for i in range(3000)]
    answers = ask_all(f"http://{mock.text}", [json.dumps(item) for item in items])
    equal(len(answers), len(items), "results")
    for i, answer in enumerate(answers):
        status, value = answer.split(" ", 1)
        if i % 7:
            equal((status, sorted(json.loads(value))), ("200", ["finish_reason", "text", "tokens"]), f"item {i}")
        else:
            equal(status, "404", f"item {i}")
            check(f"'none{i}'" in json.loads(value)["message"], f"in order: {value}")
    books = mock.stats()["endpoints"][PATH]
    check(list(books["by_status"]) == ["200"], books)
    check(books["requests"] < len(items) / 2, f"batches: {books['requests']}")
    mock.stop()


@test
def nobody_there():
    answers = ask_all(f"http://127.0.0.1:{lib.free_port()}", ["1", "{\"a\":", "2"])
    equal(sorted(answers), ["EINVAL", "WEIR_E_CONNECT", "WEIR_E_CONNECT"], "results")


if __name__ == "__main__":
    lib.main()
