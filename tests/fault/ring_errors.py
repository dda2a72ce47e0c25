#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""weir-mock and weir-bench when the ring fails them: now and then, for good, or from the beginning."""
import os
import shutil
import sys

import faultlib
import lib
from faultlib import HERE, RING, Mock
from lib import BENCH, MOCK, check, equal, refused, test

# What the ring waits in, and the errors of it that pass.
CALLS, PASSING = {
    "uring": ("io_uring_enter", ["EINTR", "EAGAIN", "EBUSY"]),
    "epoll": ("epoll_wait,epoll_pwait2", ["EINTR"]),
}[RING]


def inject(error, when):
    """strace as a prefix of a command; with -D the traced program is the child, strace a bystander."""
    if shutil.which("strace") is None:
        lib.skip("strace is not installed")
    probe = lib.run(["strace", "-D", "-f", "-qq", "-o", "/dev/null", "true"])
    if probe.process.returncode != 0:
        lib.skip(f"strace may not trace here: {probe.stderr.strip()}")
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}",
            "-e", f"inject={CALLS}:error={error}:when={when}"]


# LeakSanitizer cannot look into a program that is traced.
ENV = {"ASAN_OPTIONS": ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "detect_leaks=0"]))}


class Traced(lib.Mock):
    """A mock whose ring fails."""

    def __init__(self, error, when, *options):
        lib.Server.__init__(self, [*inject(error, when), MOCK, "--listen", "127.0.0.1:0",
                                   *faultlib.ring_options(), *options], env=ENV)


def loaded(mock, *options):
    run = lib.bench(*faultlib.ring_options(), "-n", "1500", "-c", "24", *options, mock.url("/api/models"))
    equal((run["requests"], run["errors"], run["status"]), (1500, 0, {"200": 1500}), "requests, errors, answers")


@test
def mock_with_passing_errors():
    for error in PASSING:
        for when, options in (("5+7", ["--latency", "1ms"]), ("3+2", ["--threads", "2"])):
            mock = Traced(error, when, *options)
            loaded(mock)
            loaded(mock, "-p", "4")
            equal(mock.stats()["endpoints"]["/api/models"]["by_status"], {"200": 3000}, "the mock's count")
            mock.stop()


@test
def bench_with_passing_errors():
    mock = Mock()
    for error in PASSING:
        for when, options in (("5+7", ["-c", "16"]), ("3+2", ["-c", "16", "-t", "2", "-p", "8"])):
            program = lib.run([*inject(error, when), BENCH, *faultlib.ring_options(), "--json", "-", "-n", "1500",
                               *options, mock.url("/api/health")], env=ENV)
            equal(program.process.returncode, 0, f"exit status with {error}: {program.stderr}")
            run = lib.BenchRun(program)
            equal((run["requests"], run["errors"], run["status"]), (1500, 0, {"200": 1500}), f"with {error}")
    mock.as_before()


@test
def mock_with_a_fatal_error():
    """It says what happened and ends; it does not hang, and nobody waits for it."""
    for error, text in (("EBADF", "Bad file descriptor"), ("EFAULT", "Bad address")):
        for threads in ("1", "2"):
            mock = Traced(error, "40", "--threads", threads)
            lib.run([BENCH, *faultlib.ring_options(), "-d", "300ms", "-c", "8", "--timeout", "1s",
                     mock.url("/api/health")])
            equal(mock.wait(), 1, f"exit status after {error}")
            # Each thread whose ring failed may say so.
            check(mock.stderr.startswith("weir-mock: ") and mock.stderr.count("\n") <= int(threads), mock.stderr)
            check(error in mock.stderr and text in mock.stderr, mock.stderr)
            check(refused(mock.address), "somebody still listens")


@test
def bench_with_a_fatal_error():
    mock = Mock()
    for error, text in (("EBADF", "Bad file descriptor"), ("EFAULT", "Bad address")):
        for threads in ("1", "2"):
            program = lib.run([*inject(error, "40"), BENCH, *faultlib.ring_options(), "-d", "1h", "-c", "8",
                               "-t", threads, mock.url("/api/health")], env=ENV)
            check(program.process.returncode > 0, f"exit status {program.process.returncode}")
            check(program.stderr.startswith("weir-bench: ") and text in program.stderr, program.stderr)
    mock.as_before()


# ---- io_uring is forbidden ---------------------------------------------------------------------------------------

def forbidden(error, *argv):
    return [sys.executable, os.path.join(HERE, "forbid.py"), error, *argv]


def explained(program, name, status, error):
    """It ended because of that, in one line that tells the cause and the cure, without another word."""
    equal(program.process.returncode, status, f"exit status of {name} with {error}: {program.stderr}")
    equal(program.stdout, "", "standard output")
    check(program.stderr.startswith(f"{name}: ") and program.stderr.count("\n") == 1, program.stderr)
    for word in ("io_uring", "seccomp", "io_uring_setup"):
        check(word in program.stderr, f"{word!r} is not in: {program.stderr}")


@test
def forbidden_and_wanted():
    mock = lib.Mock("--ring", "epoll")
    for error in ("EPERM", "ENOSYS"):
        for threads in ("1", "2"):
            port = lib.free_port()
            program = lib.run(forbidden(error, MOCK, "--listen", f"127.0.0.1:{port}", "--ring", "uring",
                                        "--threads", threads))
            explained(program, "weir-mock", 1, error)
            check(refused(("127.0.0.1", port)), "somebody listens")
        program = lib.run(forbidden(error, BENCH, "--ring", "uring", "-n", "10", "-c", "1", mock.url("/api/health")))
        explained(program, "weir-bench", 2, error)
    equal(mock.stats()["connections"]["total"], 1, "connections made by a client that could not start")
    mock.stop()


@test
def forbidden_and_done_without():
    """Left to choose, the programs take epoll and say so once; all else is as ever."""
    for error in ("EPERM", "ENOSYS"):
        for threads in ("1", "2"):
            mock = lib.Server(forbidden(error, MOCK, "--listen", "127.0.0.1:0", "--threads", threads))
            program = lib.run(forbidden(error, BENCH, "--json", "-", "-n", "300", "-c", "8", mock.url("/api/health")))
            equal(program.process.returncode, 0, f"exit status of weir-bench: {program.stderr}")
            run = lib.BenchRun(program)
            equal((run["requests"], run["errors"]), (300, 0), "requests and errors")
            for name, other in (("weir-mock", mock), ("weir-bench", program)):
                check(other.stderr.count("\n") == 1 and other.stderr.startswith(f"{name}: "), other.stderr)
                check("epoll" in other.stderr and "io_uring" in other.stderr, other.stderr)
            mock.signal(15)
            equal(mock.wait(), 0, f"exit status of weir-mock: {mock.stderr}")


if __name__ == "__main__":
    lib.main()
