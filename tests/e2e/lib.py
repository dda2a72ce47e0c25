# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: programs that are started and always ended, raw connections, the count at the end.

Waiting is always for a condition and always has a deadline; nothing sleeps for a guessed time. Whatever a test
started is killed when the script ends, however it ends.
"""
import atexit
import http.client
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("WEIR_BUILD") or os.path.join(ROOT, "build"))
FACTOR = int(os.environ.get("WEIR_TIMEOUT_FACTOR") or 1)
# Long enough for a machine that is busy with something else; only a failure ever waits for it.
DEADLINE_S = 20 * FACTOR
MOCK = os.path.join(BUILD, "weir-mock")
BENCH = os.path.join(BUILD, "weir-bench")


def _sanitized():
    try:
        with open(os.path.join(BUILD, ".flags"), encoding="utf-8") as flags:
            return "-fsanitize=" in flags.read()
    except FileNotFoundError:
        return False


# The ring that weir's programs run on, unless a test says --ring itself: auto, uring, epoll; "oldest" is io_uring
# without any feature that is newer than the oldest kernel supported.
RING = os.environ.get("WEIR_RING") or "auto"


def ring_options():
    if RING != "oldest":
        return ["--ring", RING]
    shown = subprocess.run([MOCK, "--ring", "uring", "--ring-info"], capture_output=True, text=True, check=True).stdout
    return ["--ring", "uring", "--ring-disable", ",".join(re.findall(r"^(\w+) +(?:yes|no|off)$", shown, re.M))]


def uring_works():
    return subprocess.run([MOCK, "--ring", "uring", "--ring-info"], capture_output=True, check=False).returncode == 0


# Sanitizers keep freed memory for a while and shadow the rest: bounds on memory mean nothing there.
SANITIZED = _sanitized()


# ---- Tests and their count -------------------------------------------------------------------------------------

class Skipped(Exception):
    """Raised by a test that cannot run here; the reason is its text."""


_tests = []


def test(function):
    _tests.append(function)
    return function


def skip(why):
    raise Skipped(why)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {got!r}")


def at_most(got, limit, what):
    if got > limit:
        raise AssertionError(f"{what}: expected at most {limit}, got {got}")


def at_least(got, limit, what):
    if got < limit:
        raise AssertionError(f"{what}: expected at least {limit}, got {got}")


def main():
    """Run the tests of the script, in the order they are written; arguments choose some by name."""
    wanted = sys.argv[1:]
    passed = failed = skipped = 0
    for function in _tests:
        if wanted and function.__name__ not in wanted:
            continue
        began = time.monotonic()
        try:
            function()
        except Skipped as why:
            skipped += 1
            print(f"skip {function.__name__}: {why}", flush=True)
            continue
        except Exception:  # whatever went wrong: it is this test that failed, and the others still run
            failed += 1
            print(f"FAIL {function.__name__}", flush=True)
            traceback.print_exc(file=sys.stdout)
            continue
        finally:
            end_programs()
        passed += 1
        print(f"ok   {function.__name__} ({time.monotonic() - began:.2f} s)", flush=True)
    line = f"{passed} passed, {failed} failed"
    print(f"{line}, {skipped} skipped" if skipped else line, flush=True)
    sys.exit(1 if failed else 0)


def seeded(default):
    """A generator whose seed is printed; WEIR_SEED repeats a run."""
    seed = int(os.environ.get("WEIR_SEED") or default)
    print(f"seed {seed}", flush=True)
    return random.Random(seed)


def wait_until(condition, what, seconds=None):
    """Ask again and again until the condition holds; the value that made it hold."""
    deadline = time.monotonic() + (seconds or DEADLINE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain: {what}")
        time.sleep(0.002)  # between two looks, inside the deadline


# ---- Programs -----------------------------------------------------------------------------------------------------

_programs = []
_directories = []


def end_programs():
    for program in _programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()
        program.close()
    _programs.clear()


def _end_all():
    end_programs()
    for directory in _directories:
        shutil.rmtree(directory, ignore_errors=True)


atexit.register(_end_all)
# A runner that ends this script by a signal must not leave its servers behind.
for _number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, lambda number, frame: sys.exit(128 + number))


def temp_dir():
    path = tempfile.mkdtemp(prefix="weir-e2e-")
    _directories.append(path)
    os.chmod(path, 0o755)  # a server may drop its privileges and still has to read it
    return path


def config_file(config, name="mock.json"):
    """A file for --config: text as it is, anything else as JSON."""
    path = os.path.join(temp_dir(), name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(config if isinstance(config, str) else json.dumps(config))
    return path


class Program:
    """A program in the background. Its outputs go to files: nobody has to read them for it to go on."""

    def __init__(self, argv, stdin=subprocess.DEVNULL, nofile=None, env=None, cwd=None):
        if argv[0] in (MOCK, BENCH) and not any(word.startswith("--ring=") or word == "--ring" for word in argv):
            argv = [argv[0], *ring_options(), *argv[1:]]
        self.argv = argv
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, nofile)

        self.process = subprocess.Popen(
            argv, stdin=stdin, stdout=self.out, stderr=self.err, cwd=cwd,
            preexec_fn=limit if nofile else None,
            env=dict(os.environ, **(env or {})))
        self.pid = self.process.pid
        _programs.append(self)

    def close(self):
        self.out.close()
        self.err.close()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _read(self, file):
        return os.pread(file.fileno(), 1 << 24, 0).decode("utf-8", "replace")

    @property
    def stdout(self):
        return self._read(self.out)

    @property
    def stderr(self):
        return self._read(self.err)

    def wait(self, seconds=None):
        try:
            return self.process.wait(seconds or DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end: {' '.join(self.argv)}\n{self.stderr}") from None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, status=0):
        """SIGTERM, and the way a good server ends then: status 0 and not a word, not from a sanitizer either."""
        self.signal(signal.SIGTERM)
        equal(self.wait(), status, f"exit status of {self.argv[0]}, stderr: {self.stderr}")
        equal(self.stderr, "", "standard error")

    # What the kernel says of it.

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        """Threads of the program's own: the ring's helpers come and go as the kernel likes."""
        count = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/comm", encoding="utf-8") as comm:
                    count += not comm.read().startswith("iou-")
            except FileNotFoundError:
                continue
        return count

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def address_of(text):
    """What a socket connects to; None for what has no port."""
    if text is None or text.startswith("unix:"):
        return None
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Server(Program):
    """A program that tells `listening on ADDR:PORT` when it is ready."""

    def __init__(self, argv, **how):
        super().__init__(argv, **how)
        wait_until(lambda: "\n" in self.stdout or self.process.poll() is not None,
                   f"{argv[0]}: listening on")
        match = re.fullmatch(r"listening on (\S+)\n(?:admin on (\S+)\n)?", self.stdout)
        check(match, f"{' '.join(argv)}: {self.stdout!r} {self.stderr!r}")
        self.text, self.admin_text = match[1], match[2]
        self.address = address_of(self.text)
        self.admin_address = address_of(self.admin_text)

    def url(self, path="/"):
        return f"http://{self.text}{path}"


class Mock(Server):
    def __init__(self, *options, listen="127.0.0.1:0", **how):
        super().__init__([MOCK, "--listen", listen, *options], **how)

    def ask(self, method, path, body=None, headers=None):
        """One request on a connection of its own: status, fields, body."""
        admin = path.startswith("/admin") and self.admin_address is not None
        client = http.client.HTTPConnection(*(self.admin_address if admin else self.address), timeout=DEADLINE_S)
        try:
            client.request(method, path, body, headers or {})
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            client.close()

    def get_json(self, path):
        status, _, body = self.ask("GET", path)
        equal(status, 200, f"GET {path}")
        return json.loads(body)

    def stats(self):
        return self.get_json("/admin/stats")

    def journal(self, limit=10000):
        return self.get_json(f"/admin/requests?limit={limit}")["requests"]

    def metrics(self):
        status, headers, body = self.ask("GET", "/metrics")
        equal(status, 200, "GET /metrics")
        check(headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers["Content-Type"])
        return parse_metrics(body.decode("utf-8"))

    def reset(self):
        equal(self.ask("POST", "/admin/reset")[0], 200, "POST /admin/reset")


def run(argv, **how):
    """Run a program to its end: it, with status in process.returncode."""
    program = Program(argv, **how)
    program.wait(6 * DEADLINE_S)
    return program


def need(command):
    path = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return path or skip(f"{command} is not installed")


def curl(*arguments, status=0):
    """curl's output; it must end with the status."""
    program = run([need("curl"), "--silent", "--show-error", "--max-time", str(DEADLINE_S),
                   "--noproxy", "*", *arguments])
    equal(program.process.returncode, status, f"curl {' '.join(arguments)}: {program.stderr}")
    return program.stdout


def free_port():
    """A port that was free a moment ago; whoever uses it must be ready to try another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx(Program):
    """nginx with a configuration of its own in a directory of its own. `server` is the inside of server {}."""

    def __init__(self, server, http=""):
        binary = need("nginx")
        for _ in range(10):
            self.directory = temp_dir()
            port = free_port()
            os.mkdir(os.path.join(self.directory, "www"))
            self._configure(port, server, http)
            super().__init__([binary, "-p", self.directory, "-c", "nginx.conf", "-e", "error.log"])
            self.address = ("127.0.0.1", port)
            self.text = f"127.0.0.1:{port}"
            wait_until(lambda: self.process.poll() is not None or self._is_up(), "nginx listens")
            if self.process.poll() is None:
                return
            check("in use" in self.stderr, f"nginx: {self.stderr}")
        raise AssertionError("nginx found no port")

    def _configure(self, port, server, http):
        user = "user root;" if os.geteuid() == 0 else ""
        temps = "".join(f"{kind}_temp_path tmp_{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(os.path.join(self.directory, "nginx.conf"), "w", encoding="utf-8") as conf:
            conf.write(f"""{user} daemon off; worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{ access_log access.log; {temps} {http}
server {{ listen 127.0.0.1:{port}; root www; {server} }} }}
""")

    def _is_up(self):
        # Its pid file is written after it has bound the port: a connection alone could be to somebody else.
        return os.path.exists(os.path.join(self.directory, "nginx.pid")) and not refused(self.address)

    def url(self, path="/"):
        return f"http://{self.text}{path}"

    def access_log(self):
        with open(os.path.join(self.directory, "access.log"), encoding="utf-8") as log:
            return log.read().splitlines()


def refused(address):
    try:
        socket.create_connection(address, timeout=DEADLINE_S).close()
    except (ConnectionRefusedError, ConnectionResetError):  # the latter: the listener was closed just then
        return True
    return False


def select_readable(connection):
    """Whether there is something to receive, or the end."""
    return bool(select.select([connection], [], [], 0)[0])


# ---- Connections -------------------------------------------------------------------------------------------------

class Response:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def json(self):
        return json.loads(self.body)


class Raw:
    """A connection on which exactly the bytes go out that a test asks for."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.reset = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def abort(self):
        """Close with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def shutdown(self):
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, *pieces):
        """Each piece is one send. A peer that has closed is for the reader to find out."""
        for piece in pieces:
            try:
                self.socket.sendall(piece)
            except (ConnectionResetError, BrokenPipeError):
                return

    def fill(self):
        """Receive something; False at the end."""
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionResetError:
            self.reset = True
            return False
        self.buffer += piece
        return piece != b""

    def until(self, mark):
        while mark not in self.buffer:
            if not self.fill():
                raise EOFError(f"ended before {mark!r}: {self.buffer!r}")
        line, self.buffer = self.buffer.split(mark, 1)
        return line

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise EOFError(f"ended {count - len(self.buffer)} bytes early")
        piece, self.buffer = self.buffer[:count], self.buffer[count:]
        return piece

    def rest(self):
        """Everything up to the end of the connection."""
        while self.fill():
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def _chunked(self):
        body = b""
        while True:
            size = int(self.until(b"\r\n"), 16)
            if size == 0:
                equal(self.until(b"\r\n"), b"", "trailer")
                return body
            body += self.exactly(size)
            equal(self.exactly(2), b"\r\n", "end of a chunk")

    def response(self, head=False):
        """Read one response strictly. `head`: it answers HEAD, and has no body."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 ([1-5][0-9][0-9]) ([ -~]*)", lines[0])
        check(match, f"status line {lines[0]!r}")
        fields = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            check(colon and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), f"field line {line!r}")
            check(name.lower() not in fields, f"field twice: {line!r}")
            fields[name.lower()] = value.strip()
        status = int(match[1])
        if head or status < 200 or status in (204, 304):
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            check("content-length" not in fields, "two framings")
            body = self._chunked()
        elif "content-length" in fields:
            body = self.exactly(int(fields["content-length"]))
        else:
            equal(fields.get("connection"), "close", "Connection of a body that ends with it")
            body = self.rest()
        return Response(status, fields, body)

    def ask(self, *pieces, head=False):
        self.send(*pieces)
        return self.response(head)


def request(method, path, body=None, headers=(), version="HTTP/1.1"):
    """The bytes of a request as a tidy client writes it."""
    lines = [f"{method} {path} {version}", "Host: test", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


# ---- Prometheus' text format ----------------------------------------------------------------------------------------

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? "
                     r"([+-]?(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|Inf|NaN))")


def _check_histogram(family, samples):
    """Buckets only grow up to +Inf, which is the count."""
    series = {}
    for key, value in samples.items():
        if key.startswith(f"{family}_bucket{{"):
            labels = re.findall(_LABEL, key)
            bound = [label[4:-1] for label in labels if label.startswith("le=")]
            equal(len(bound), 1, f"le of {key}")
            rest = ",".join(label for label in labels if not label.startswith("le="))
            series.setdefault(rest, []).append((float(bound[0].replace("+Inf", "inf")), value))
    check(series, f"{family} has no buckets")
    for labels, buckets in series.items():
        equal(buckets, sorted(buckets), f"buckets of {family}{{{labels}}}")
        equal(buckets[-1][0], float("inf"), f"last bucket of {family}")
        suffix = f"{{{labels}}}" if labels else ""
        equal(samples[f"{family}_count{suffix}"], buckets[-1][1], f"count of {family}{suffix}")
        check(samples[f"{family}_sum{suffix}"] >= 0, f"sum of {family}{suffix}")


def parse_metrics(text):
    """{"name{labels}": value}, after a check of every line."""
    check(text.endswith("\n"), "the last line must end")
    families, helped, samples, current = {}, set(), {}, None
    for line in text[:-1].split("\n"):
        kind = re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge|histogram)", line)
        comment = re.fullmatch(rf"# HELP ({_NAME}) .+", line)
        if comment:
            check(comment[1] not in helped, f"HELP twice: {line}")
            helped.add(comment[1])
        elif kind:
            check(kind[1] not in families, f"TYPE twice: {line}")
            check(kind[1] in helped, f"TYPE without HELP: {line}")
            families[kind[1]] = kind[2]
            current = kind[1]
        else:
            match = _SAMPLE.fullmatch(line)
            check(match, f"not a line of the text format: {line!r}")
            name = match[1]
            if families.get(current) == "histogram":
                name = re.sub(r"_(bucket|sum|count)$", "", name)
            equal(name, current, f"family of {line!r}")
            key = f"{match[1]}{{{match[2]}}}" if match[2] else match[1]
            check(key not in samples, f"series twice: {line}")
            samples[key] = float(match[3])
    for family, kind in families.items():
        if kind == "histogram":
            _check_histogram(family, samples)
        if kind == "counter":
            check(all(value >= 0 for key, value in samples.items()
                      if re.match(rf"{family}(\{{|$)", key)), f"negative counter {family}")
    return samples


def answered(metrics):
    """{(endpoint, method, code): count} of mock_http_requests_total."""
    pattern = re.compile(r'mock_http_requests_total\{endpoint="([^"]*)",method="([^"]*)",code="([0-9]+)"\}')
    found = {}
    for key, value in metrics.items():
        match = pattern.fullmatch(key)
        if match:
            found[match[1], match[2], int(match[3])] = int(value)
    return found


# ---- weir-bench ------------------------------------------------------------------------------------------------------

class BenchRun:
    def __init__(self, program):
        self.program = program
        self.status = program.process.returncode
        self.stdout, self.stderr = program.stdout, program.stderr
        self.report = json.loads(self.stdout) if self.stdout.startswith("{") else None

    def __getitem__(self, key):
        return self.report[key]

    def kinds(self):
        """The errors that happened."""
        return {kind: count for kind, count in self.report["errors_by_kind"].items() if count}


def bench(*options, status=0):
    """weir-bench to its end, with its report as JSON."""
    result = BenchRun(run([BENCH, "--json", "-", *options]))
    equal(result.status, status, f"exit status of weir-bench {' '.join(options)}: {result.stderr}")
    return result


def raise_nofile():
    """As many descriptors as this process may have. @return how many that is"""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
