#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""The life of a weir-mock process: options, start-up failures, draining, signals."""
import os
import re
import signal
import socket
import subprocess
import urllib.parse

import lib
from lib import MOCK, Mock, Raw, check, equal, request, test

# A value for each option of --help. None: it takes none.
VALUES = {
    "listen": "127.0.0.1:0", "threads": "2", "cpu": "0", "latency": "100us", "error-rate": "0.5", "seed": "7",
    "max-concurrency": "10", "strict-models": None, "defer-accept": None, "max-conns": "100", "max-body": "64KiB",
    "journal": "10", "drain-timeout": "1s", "wait": "sleep", "ring": "auto",
    "ring-disable": "send_zc,min_wait", "ring-info": None,
    "help": None, "version": None, "tls-cert": None, "tls-key": None, "config": None, "check-config": None,
    "ttft": "lognormal:median=2ms,p99=9ms", "itl": "750us", "tokens": "12", "preset": "gpt4o", "admin": "0",
    "request-log": "/dev/null", "realtime": None,
}
# Those that say something and end.
TELLING = ("help", "version", "ring-info", "check-config")


def certificate():
    """A server's certificate, which names nobody, and its key: the paths."""
    cert, key = (os.path.join(lib.temp_dir(), name) for name in ("cert.pem", "key.pem"))
    subprocess.run([lib.need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=nobody", "-out", cert, "-keyout", key],
                   check=True, capture_output=True, timeout=lib.DEADLINE_S)
    return {"tls-cert": cert, "tls-key": key}


def may_be_realtime():
    return lib.run([lib.need("chrt"), "--fifo", "1", "true"]).process.returncode == 0


def start(*options):
    """Start-up that is expected to fail or to end by itself: it."""
    return lib.run([MOCK, *options])


# ---- Options --------------------------------------------------------------------------------------------------------

@test
def help_lists_what_works():
    program = start("--help")
    equal((program.process.returncode, program.stderr), (0, ""), "--help")
    listed = re.findall(r"^ +--([a-z-]+)", program.stdout, re.M) + re.findall(r", --([a-z-]+)$", program.stdout, re.M)
    equal(sorted(listed), sorted(VALUES), "options of --help")
    serving = {name: value for name, value in VALUES.items() if name not in TELLING}
    serving.update(certificate(), config=lib.config_file("seed: 7\n"))
    if not may_be_realtime():
        del serving["realtime"]
    for name, value in serving.items():
        if name.startswith("tls-"):
            continue  # one needs the other
        for form in ([f"--{name}", value], [f"--{name}={value}"]) if value is not None else ([f"--{name}"],):
            Mock(*form).stop()
    Mock(*(word for name, value in serving.items() for word in ([f"--{name}", value] if value else [f"--{name}"])))
    equal(start("--help", "--nonsense").process.returncode, 0, "--help comes first")


@test
def ring_info():
    program = start("--ring", "epoll", "--ring-info")
    equal((program.process.returncode, program.stderr), (0, ""), "--ring-info")
    check(re.match(r"ring +epoll\n", program.stdout), program.stdout)
    if not lib.uring_works():
        lib.skip("no io_uring here")
    states = {}
    for options in ([], ["--ring-disable", "ring_fd,send_zc"]):
        program = start("--ring", "uring", *options, "--ring-info")
        equal((program.process.returncode, program.stderr), (0, ""), "--ring-info")
        check(re.match(r"ring +io_uring\n", program.stdout), program.stdout)
        states[len(options)] = dict(re.findall(r"^(\w+) +(yes|no|off)$", program.stdout, re.M))
    for name in ("ring_fd", "send_zc"):
        check(states[0][name] in ("yes", "no"), states)
        equal(states[2][name], "off", name)
    equal(set(states[0]), set(states[2]), "the features listed")


@test
def crash_tells_the_last_completions():
    if lib.SANITIZED:
        lib.skip("the sanitizer has a handler of its own")
    mock = Mock("--threads", "2")
    for _ in range(3):
        mock.ask("GET", "/api/health")
    mock.signal(signal.SIGSEGV)
    equal(mock.wait(), -signal.SIGSEGV, "exit status")
    check("last completions" in mock.stderr and re.search(r"pass \d+ +recv", mock.stderr), mock.stderr)


@test
def version():
    program = start("--version")
    equal(program.process.returncode, 0, "--version")
    check(re.fullmatch(r"weir-mock \d+\.\d+\.\d+\n", program.stdout), program.stdout)


@test
def realtime_is_the_loops_alone():
    if not may_be_realtime():
        lib.skip("threads may not be real-time here")
    mock = Mock("--realtime", "--threads", "2", "--request-log", "/dev/null")
    policies = {}
    for thread in os.listdir(f"/proc/{mock.process.pid}/task"):
        with open(f"/proc/{mock.process.pid}/task/{thread}/comm", encoding="ascii") as name:
            policies[name.read().strip()] = os.sched_getscheduler(int(thread))
    loops = {name: policy for name, policy in policies.items() if name.startswith("weir-mock-")}
    equal(loops, {"weir-mock-0": os.SCHED_FIFO, "weir-mock-1": os.SCHED_FIFO}, "policies of the loops")
    # A kernel's worker for a ring has the policy of the thread whose ring it is.
    others = {policy for name, policy in policies.items() if name not in loops and not name.startswith("iou-")}
    equal(others, {os.SCHED_OTHER}, f"those of the other threads in {policies}")
    equal(mock.ask("GET", "/api/health")[0], 200, "it serves")


@test
def realtime_is_refused_without_the_right():
    if os.geteuid() == 0:
        deprived = [lib.need("setpriv"), "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"]
    else:
        deprived = []
    if lib.run([*deprived, lib.need("chrt"), "--fifo", "1", "true"]).process.returncode == 0:
        lib.skip("any thread may be real-time here")
    program = lib.run([*deprived, MOCK, "--listen", "127.0.0.1:0", "--realtime"])
    equal((program.process.returncode, program.stdout), (1, ""), "status, and that nothing is served")
    check("--realtime" in program.stderr and "CAP_SYS_NICE" in program.stderr, program.stderr)


BAD_OPTIONS = [
    (["--nonsense"], ["--nonsense"]),
    (["--nonsense=1"], ["--nonsense"]),
    (["--lat", "5ms"], ["--lat"]),
    (["-l"], ["-l"]),
    (["stray"], ["stray"]),
    (["--latency", "5ms", "stray", "--seed", "1"], ["stray"]),
    (["--latency"], ["--latency", "value"]),
    (["--latency", "5"], ["--latency", "5", "unit"]),
    (["--latency", "5parsecs"], ["--latency", "5parsecs"]),
    (["--latency", "-5ms"], ["--latency", "-5ms"]),
    (["--latency", ""], ["--latency"]),
    (["--latency", "2401h"], ["--latency", "2400h", "2401h"]),
    (["--latency", "lognormal:median=5ms"], ["--latency", "sigma"]),
    (["--latency", "zipf:a=1"], ["--latency", "zipf"]),
    (["--ttft", "5"], ["--ttft", "unit"]),
    (["--itl", "mix:0.5*1ms;0.6*2ms"], ["--itl", "add up to more than 1"]),
    (["--tokens", "0"], ["--tokens", "1000000"]),
    (["--tokens", "1000001"], ["--tokens", "1000000"]),
    (["--preset", "gpt-9000"], ["engine.preset", "gpt-9000"]),
    (["--config", "/nonexistent/mock.yaml"], ["/nonexistent/mock.yaml"]),
    (["--request-log", "/nonexistent/log"], ["--request-log", "/nonexistent/log"]),
    (["--admin", "65536"], ["--admin", "65535"]),
    (["--admin", "nonsense"], ["nonsense"]),
    (["--drain-timeout", "2h"], ["--drain-timeout", "1h"]),
    (["--threads", "0"], ["--threads", "1", "256"]),
    (["--threads", "257"], ["--threads", "256"]),
    (["--threads", "two"], ["--threads", "two"]),
    (["--threads", "1.5"], ["--threads", "1.5"]),
    (["--error-rate", "1.01"], ["--error-rate", "1.01"]),
    (["--error-rate", "-0.1"], ["--error-rate"]),
    (["--error-rate", "nan"], ["--error-rate", "nan"]),
    (["--error-rate", "20%"], ["--error-rate", "20%"]),
    (["--seed", "-1"], ["--seed", "-1"]),
    (["--seed", "9223372036854775808"], ["--seed", "9223372036854775808"]),
    (["--max-concurrency", "1000001"], ["--max-concurrency", "1000000"]),
    (["--max-conns", "0"], ["--max-conns", "1"]),
    (["--max-conns", "2", "--threads", "3"], ["--max-conns", "3"]),
    (["--max-conns", "1000000"], ["--max-conns", "descriptors"]),
    (["--max-body", "0"], ["--max-body"]),
    (["--max-body", "2GiB"], ["--max-body", "1GiB"]),
    (["--max-body", "1Zorkmid"], ["--max-body", "1Zorkmid"]),
    (["--journal", "16777217"], ["--journal", "16777216"]),
    (["--cpu", "0,"], ["--cpu"]),
    (["--cpu", "x"], ["--cpu", "x"]),
    (["--cpu", "1023"], ["1023"]),
    (["--cpu", "0,0", "--threads", "3"], ["--cpu", "3"]),
    (["--realtime", "--wait", "spin"], ["--wait", "--realtime"]),
    (["--strict-models=yes"], ["--strict-models"]),
    (["--listen", "nonsense"], ["nonsense"]),
    (["--listen", "127.0.0.1:65536"], ["65536"]),
    (["--listen", "127.0.0.1:"], ["127.0.0.1:"]),
    (["--listen", "192.0.2.1:0"], ["192.0.2.1"]),
    (["--listen", "unix:/nonexistent/socket"], ["/nonexistent/socket"]),
    (["--listen", "unix:" + "x" * 200], ["unix"]),
    (["--listen", "unix:/tmp/x", "--threads", "2"], ["--threads", "unix"]),
]


@test
def bad_options():
    for options, words in BAD_OPTIONS:
        if options[0] == "--max-conns" and options[1] == "1000000" and lib.raise_nofile() > 1000100:
            continue  # somebody raised the limit that far
        # One that does work by mistake must still end: it finds standard output unwritable or is killed.
        if "--listen" not in options:
            options = ["--listen", "127.0.0.1:0", *options]
        program = lib.Program([MOCK, *options])
        lib.wait_until(lambda: program.process.poll() is not None or program.stdout, f"{options} is refused")
        equal(program.process.poll(), 1, f"exit status of {options}, {program.stdout!r} {program.stderr!r}")
        equal(program.stdout, "", f"standard output of {options}")
        check(re.fullmatch(r"weir-mock: [^\n]+\n", program.stderr), f"{options}: {program.stderr!r}")
        for word in words:
            check(word in program.stderr, f"{options}: no {word!r} in {program.stderr!r}")


@test
def check_config():
    good = lib.config_file("limits: { max_concurrency: 5 }\n")
    program = start("--config", good, "--check-config")
    equal((program.process.returncode, program.stdout, program.stderr), (0, f"{good}: ok\n", ""), "a good file")
    program = start("--latency", "5ms", "--check-config")
    equal((program.process.returncode, program.stdout), (0, "configuration: ok\n"), "without a file")
    for text, words in (("limits: { max_concurency: 5 }\n", ["limits.max_concurency", "max_concurrency"]),
                        ("seed: -1\n", ["seed"]), ("seed: [\n", []), ("faults: [ { do: { kind: statsu } } ]\n", ["statsu"])):
        bad = lib.config_file(text)
        for options in (["--check-config"], ["--listen", "127.0.0.1:0"]):
            program = start("--config", bad, *options)
            equal((program.process.returncode, program.stdout), (1, ""), f"{text!r} with {options}")
            check(re.fullmatch(r"weir-mock: [^\n]+\n", program.stderr), program.stderr)
            for word in [bad, *words]:
                check(word in program.stderr, f"{text!r}: no {word!r} in {program.stderr!r}")


@test
def config_under_the_options():
    path = lib.config_file("tokens: 3\nlimits: { max_concurrency: 7, queue_depth: 9 }\n")
    mock = Mock("--config", path, "--max-concurrency", "5", "--error-rate", "0.25", "--seed", "11")
    config = mock.get_json("/admin/config")
    equal((config["tokens"], config["seed"]), (3, 11), "the file's, and the option's")
    equal((config["limits"]["max_concurrency"], config["limits"]["queue_depth"]), (5, 9), "limits")
    equal([(rule["id"], rule["when"]["probability"]) for rule in config["faults"]], [("error-rate", 0.25)], "rules")
    mock.stop()


@test
def a_port_for_the_admin():
    mock = Mock("--admin", "0", "--threads", "2")
    equal(mock.admin_address[0], "127.0.0.1", "where it is")
    with Raw(mock.address) as raw, Raw(mock.admin_address) as admin:
        for path, here, there in (("/api/health", 200, 200), ("/metrics", 200, 200), ("/admin/stats", 404, 200),
                                  ("/admin/", 404, 200), ("/api/models", 200, 404), ("/v1/models", 200, 404),
                                  ("/health", 200, 200), ("/version", 200, 200)):
            equal(raw.ask(request("GET", path)).status, here, f"{path} on the port for all")
            equal(admin.ask(request("GET", path)).status, there, f"{path} on the admin port")
    equal(mock.stats()["endpoints"]["/api/models"]["requests"], 1, "the counts, by way of the admin port")
    mock.stop()


@test
def port_in_use():
    mock = Mock()
    for threads in ("1", "2"):
        program = start("--listen", mock.text, "--threads", threads)
        equal(program.process.returncode, 1, f"exit status with {threads} threads")
        check(mock.text in program.stderr and "in use" in program.stderr, program.stderr)
    equal(mock.get_json("/api/health")["status"], "healthy", "the first is not hurt")
    mock.stop()


@test
def addresses():
    for listen, family in (("127.0.0.1:0", socket.AF_INET), (":0", None), ("[::1]:0", socket.AF_INET6)):
        if family == socket.AF_INET6 and not os.path.exists("/proc/net/if_inet6"):
            continue
        mock = Mock(listen=listen)
        host = mock.address[0] if family else "127.0.0.1"
        with Raw((host, mock.address[1])) as raw:
            equal(raw.ask(request("GET", "/api/health")).status, 200, listen)
        mock.stop()


@test
def unix_socket():
    path = os.path.join(lib.temp_dir(), "socket")
    for _ in range(2):  # a socket that was left or removed by the first is no obstacle to the second
        mock = Mock(listen=f"unix:{path}")
        equal(mock.text, f"unix:{path}", "what is listened on")
        check('"healthy"' in lib.curl("--unix-socket", path, "http://anything/api/health"), "the answer")
        run = lib.bench("-n", "20", "-c", "2", f"http+unix://{urllib.parse.quote(path, safe='')}/api/health")
        equal((run["requests"], run["errors"]), (20, 0), "weir-bench over the socket")
        mock.stop()


@test
def options_do_what_they_say():
    mock = Mock("--threads", "3", "--cpu", "0", "--error-rate", "1", "--max-conns", "300")
    threads = [task for task in os.listdir(f"/proc/{mock.pid}/task") if engine_thread(mock.pid, task)]
    equal(len(threads), 3, "engine threads")
    for thread in threads:
        equal(os.sched_getaffinity(int(thread)), {0}, "CPUs of a thread")
    status, _, body = mock.ask("GET", "/api/models")
    equal((status, b"injected_error" in body), (500, True), "--error-rate 1")
    equal(mock.stats()["faults_injected"], 1, "faults_injected")
    mock.stop()


def engine_thread(pid, task):
    with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as comm:
        return re.fullmatch(r"weir-mock-\d+\n", comm.read())


@test
def max_conns_wait_their_turn():
    mock = Mock("--max-conns", "2")
    first, second, third = Raw(mock.address), Raw(mock.address), Raw(mock.address)
    for raw in (first, second):
        equal(raw.ask(request("GET", "/api/health")).status, 200, "within the limit")
    third.send(request("GET", "/api/health"))
    third.socket.settimeout(0.2)
    try:
        third.fill()
        raise AssertionError(f"answered over the limit: {third.buffer!r}")
    except TimeoutError:
        third.socket.settimeout(lib.DEADLINE_S)
    first.close()
    equal(third.response().status, 200, "served when another has left")
    second.close()
    third.close()
    mock.stop()


# ---- The end --------------------------------------------------------------------------------------------------------

def in_flight(mock, count):
    lib.wait_until(lambda: mock.metrics()["mock_inflight_requests"] == count, f"{count} requests in flight")


def stopped_listening(mock):
    lib.wait_until(lambda: lib.refused(mock.address), "no new connections")


@test
def sigterm_drains():
    for threads, number in (("1", signal.SIGTERM), ("2", signal.SIGINT)):
        mock = Mock("--latency", "300ms", "--threads", threads)
        asked = [Raw(mock.address) for _ in range(8)]
        idle = [Raw(mock.address) for _ in range(4)]
        for raw in idle[:2]:
            raw.ask(request("GET", "/api/health"))
        for raw in asked:
            raw.send(request("GET", "/api/models"))
        in_flight(mock, len(asked))
        mock.signal(number)
        for raw in asked:
            answer = raw.response()
            equal((answer.status, answer.fields.get("connection")), (200, "close"), "in flight at SIGTERM")
            equal(raw.rest(), b"", "the end after it")
            check(not raw.reset, "a clean end")
            raw.close()
        for raw in idle:
            equal(raw.rest(), b"", "idle at SIGTERM")
            raw.close()
        equal((mock.wait(), mock.stderr), (0, ""), "exit status and standard error")


@test
def deferred_accept():
    """With --defer-accept a silent connection is the kernel's, until it speaks."""
    mock = Mock("--defer-accept")
    with Raw(mock.address) as silent, Raw(mock.address) as raw:
        equal(raw.ask(request("GET", "/api/health")).status, 200, "of one that speaks")
        equal(mock.stats()["connections"]["active"], 2, "connections: without the silent one")
        equal(silent.ask(request("GET", "/api/health")).status, 200, "of one that spoke late")
        equal(mock.stats()["connections"]["active"], 3, "connections: with it")
    mock.stop()


@test
def draining_refuses_new_connections():
    mock = Mock("--latency", "400ms")
    with Raw(mock.address) as raw:
        raw.send(request("GET", "/api/models"))
        in_flight(mock, 1)
        mock.signal(signal.SIGTERM)
        stopped_listening(mock)
        equal(raw.response().status, 200, "the one in flight")
    equal(mock.wait(), 0, "exit status")


@test
def second_signal_ends_at_once():
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
                          (signal.SIGTERM, signal.SIGINT)):
        mock = Mock("--latency", "1h")
        with Raw(mock.address) as raw:
            raw.send(request("GET", "/api/models"))
            in_flight(mock, 1)
            mock.signal(first)
            stopped_listening(mock)
            mock.signal(second)
            equal(mock.wait(), 128 + second, "exit status after the second signal")


@test
def drain_timeout():
    for timeout in ("0s", "50ms"):
        mock = Mock("--latency", "1h", "--drain-timeout", timeout)
        with Raw(mock.address) as raw:
            raw.send(request("GET", "/api/models"))
            in_flight(mock, 1)
            mock.signal(signal.SIGTERM)
            equal(raw.rest(), b"", "no answer")
            equal((mock.wait(), mock.stderr), (0, ""), f"exit status with --drain-timeout {timeout}")


@test
def stop_with_nothing_to_do():
    for threads in ("1", "4"):
        mock = Mock("--threads", threads)
        mock.stop()


@test
def stdout_gone():
    """A server nobody can hear say where it listens does not start."""
    program = lib.run(["sh", "-c", 'exec "$0" --listen 127.0.0.1:0 >/dev/full', MOCK])
    equal(program.process.returncode, 1, "exit status")
    check("standard output" in program.stderr, program.stderr)


if __name__ == "__main__":
    lib.main()
