#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The first program of the README, compiled with the command that stands below it, answers. So does examples/."""
import os
import re
import signal
import subprocess

import lib
from lib import Server, check, equal, test


def blocks():
    with open(os.path.join(lib.ROOT, "README.md"), encoding="utf-8") as readme:
        text = readme.read()
    match = re.search(r"```c\n(.*?)```.*?```sh\n(.*?)```", text, re.S)
    return match.groups() if match else lib.skip("the README has no program")


def sanitizer_flags():
    with open(os.path.join(lib.BUILD, ".flags"), encoding="utf-8") as flags:
        return " ".join(re.findall(r"-fsanitize=\S+", flags.read()))


@test
def first_program():
    program, commands = blocks()
    lines = [line for line in commands.splitlines() if "hello.c" in line]
    equal(len(lines), 1, "commands that compile hello.c")
    # The command as it stands, in a directory that looks like the project's root.
    directory = lib.temp_dir()
    os.symlink(os.path.join(lib.ROOT, "include"), os.path.join(directory, "include"))
    os.symlink(lib.BUILD, os.path.join(directory, "build"))
    with open(os.path.join(directory, "hello.c"), "w", encoding="utf-8") as file:
        file.write(program)
    compiled = lib.run(["sh", "-c", f"{lines[0]} {sanitizer_flags()}"], cwd=directory)
    equal((compiled.process.returncode, compiled.stderr), (0, ""), lines[0])
    hello = Server([os.path.join(directory, "hello")])
    for _ in range(3):
        equal(lib.curl("--fail", hello.url("/")), "hello\n", "the answer")
    run = lib.bench("-c", "10", "-n", "1000", hello.url("/"))
    equal((run["requests"], run["errors"]), (1000, 0), "a thousand answers")
    hello.signal(signal.SIGTERM)
    equal(hello.wait(), -signal.SIGTERM, "it has no handler: the signal ends it")


@test
def examples():
    names = sorted(name[:-2] for name in os.listdir(os.path.join(lib.ROOT, "examples")) if name.endswith(".c"))
    check("hello" in names, names)
    for name in names:
        check(os.access(os.path.join(lib.BUILD, "examples", name), os.X_OK), f"examples/{name} was not built")
    hello = Server([os.path.join(lib.BUILD, "examples", "hello"), "127.0.0.1:0"])
    equal(lib.curl("--fail", "-i", hello.url("/anything")).split("\r\n\r\n")[1], "hello\n", "the answer")
    bad = lib.run([os.path.join(lib.BUILD, "examples", "hello"), hello.text])
    equal(bad.process.returncode, 1, "exit status when the port is taken")
    check("in use" in bad.stderr, bad.stderr)
    hello.process.kill()


@test
def codec_alone():
    """examples/parse.c: no engine, no ring, no further library; and the same whatever the pieces."""
    program = os.path.join(lib.BUILD, "examples", "parse")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    check("liburing" not in linked, linked)
    stream = (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
              b"POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    told = ("GET /a HTTP/1.1\n  Host: h\nPOST /b HTTP/1.1\n  Host: h\n  Transfer-Encoding: chunked\n", 0)
    for text, expected in ((stream, (told[0] + "  + 3 bytes\n", 0)),
                           (stream[:-1], (told[0] + "  + 3 bytes\ncut off inside a body\n", 1)),
                           (b"GET /a HTTP/1.1\r\nHost: h\r\n", ("cut off inside a head\n", 1)),
                           (b"GET /a HTTP/1.1\nHost: h\r\n\r\n",
                            ("refused with 400: line feed without carriage return, at byte 15\n", 1))):
        done = subprocess.run([program], input=text, capture_output=True, timeout=lib.DEADLINE_S, check=False)
        equal((done.stdout.decode(), done.returncode), expected, f"of {text}")


if __name__ == "__main__":
    lib.main()
