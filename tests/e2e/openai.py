#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
# No ring concerns this.
"""The npm packages openai and eventsource-parser, unmodified, against weir-mock: see openai.mjs.

They are installed into the build directory, as npm/package-lock.json has them, once. Where there is no node or no
registry, this is skipped.
"""
import os
import re
import shutil
import subprocess

import lib
from lib import Mock, equal, test

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.join(lib.BUILD, "npm")
FILES = ("package.json", "package-lock.json")
INSTALL = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=10000"]

UNREACHABLE = ("ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ERR_SOCKET_TIMEOUT", "ENETUNREACH",
               "EHOSTUNREACH", "E403", "E407", "E429", "E500", "E502", "E503", "E504")


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def install():
    """Everything that is locked, beside a copy of the script: modules are looked for where that lies."""
    lock = read(os.path.join(HERE, "npm", "package-lock.json"))
    done = os.path.join(HOME, "installed")  # the lock that what is there came from
    os.makedirs(HOME, exist_ok=True)
    shutil.copy(os.path.join(HERE, "openai.mjs"), HOME)
    if read(done) == lock:
        return
    for name in FILES:
        shutil.copy(os.path.join(HERE, "npm", name), HOME)
    try:
        npm = subprocess.run([lib.need("npm"), *INSTALL], cwd=HOME, capture_output=True, text=True,
                             timeout=lib.DEADLINE_S * 2, check=False)
    except subprocess.TimeoutExpired:
        lib.skip("the registry of npm does not answer")
    if npm.returncode != 0:
        code = re.search(r"^npm (?:error|ERR!) code (\S+)$", npm.stderr, re.M)
        if code and code[1] in UNREACHABLE:
            lib.skip(f"the registry of npm does not answer: {code[1]}")
        raise AssertionError(f"npm ci: {npm.stderr}")
    with open(done, "wb") as file:
        file.write(lock)


def node(mock, scenario):
    """Run a scenario to its end, which must be a good one."""
    binary = lib.need("node")
    install()
    program = lib.run([binary, os.path.join(HOME, "openai.mjs"), scenario, f"http://{mock.text}"], cwd=HOME,
                      env={"NO_PROXY": "*", "NODE_OPTIONS": "", "OPENAI_LOG": "off"})
    equal((program.process.returncode, program.stdout), (0, f"{scenario} ok\n"), f"{scenario}: {program.stderr}")


def want(value, do, **when):
    """A rule for requests that ask for it by a field."""
    return {"id": f"want-{value}", "match": {"header": {"x-want": value}}, "when": when, "do": do}


@test
def models():
    mock = Mock()
    node(mock, "models")
    mock.stop()


@test
def plain():
    mock = Mock("--ttft", "1ms")
    node(mock, "plain")
    mock.stop()


@test
def streamed():
    mock = Mock("--itl", "200us", "--threads", "2")
    node(mock, "streamed")
    mock.stop()


@test
def leaves():
    mock = Mock("--itl", "100ms")
    node(mock, "leaves")
    lib.wait_until(lambda: mock.stats()["streams"]["active"] == 0, "the stream is over")
    entry = mock.journal()[0]
    equal((entry["end"], entry["phase"]), ("disconnect", "streaming"), "journal")
    equal(mock.stats()["timers_cancelled"], 1, "timers")
    mock.stop()


@test
def errors():
    rules = [want("429", {"kind": "status", "status": 429, "retry_after_s": 7}),
             want("500", {"kind": "status", "status": 500}), want("401", {"kind": "status", "status": 401}),
             want("reset", {"kind": "reset"}), want("event", {"kind": "status_in_stream", "at": "after_tokens:3"})]
    mock = Mock("--strict-models", "--config", lib.config_file({"faults": rules}))
    node(mock, "errors")
    equal(mock.metrics()['mock_faults_injected_total{rule="want-event",kind="status_in_stream"}'], 1, "error events")
    mock.stop()


@test
def retries():
    rules = [want("429", {"kind": "status", "status": 429, "retry_after_s": 1}, first=1),
             want("500", {"kind": "status", "status": 500}, first=1)]
    mock = Mock("--config", lib.config_file({"faults": rules}))
    node(mock, "retries")
    audit = mock.get_json("/admin/audit")
    equal((audit["keys"], audit["attempts"]["max"], audit["amplification"]), (2, 2, 2), "attempts")
    equal(audit["failed"], {"attempts": 2, "keys": 2, "recovered": 2}, "failures")
    told = audit["retry_after"]
    equal((told["told"], told["honoured"], told["early"], told["not_retried"]), (1, 1, 0, 0), "Retry-After")
    equal(audit["violations_total"], 0, "violations")
    mock.stop()


@test
def events():
    mock = Mock("--itl", "100us")
    node(mock, "events")
    mock.stop()


if __name__ == "__main__":
    lib.main()
