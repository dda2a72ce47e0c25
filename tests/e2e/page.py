#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
# No ring concerns this.
"""The status page of weir-mock in headless Chromium, driven by clicks and keys over the DevTools protocol.

First against a server of our own, which tells what the real one tells only in bad hours: saturation, a rule with a
hostile name, a switch that fails, a connection that is lost. Then against weir-mock. Pictures of both are left in
BUILD/tests/page.
"""
import atexit
import base64
import fcntl
import http.client
import http.server
import json
import math
import os
import select
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse

import lib
from lib import DEADLINE_S, MOCK, check, equal, test, wait_until

PICTURES = os.path.join(lib.BUILD, "tests", "page")
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
POLICY = ("default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


# ---- Chromium -------------------------------------------------------------------------------------------------------

class Browser:
    """One Chromium for the whole script. It is told what to do through pipes: when this script is gone, however that
    came about, they are closed, and Chromium ends."""

    def __init__(self):
        command = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
        if command is None:
            lib.skip("chromium is not installed")
        profile = lib.temp_dir()
        # Numbers that cannot be 3 and 4, which they become.
        down, up = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (down[0], up[1])]
        self.log = open(os.path.join(profile, "log"), "wb")
        self.process = subprocess.Popen(
            ["bash", "-c", 'in=$1 out=$2; shift 2; exec "$@" 3<&$in 4>&$out', "bash", *map(str, theirs), command,
             "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
             "--no-proxy-server", "--hide-scrollbars", "--force-color-profile=srgb", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=theirs)
        for fd in (down[0], up[1], *theirs):
            os.close(fd)
        self.down, self.up = down[1], up[0]
        os.set_blocking(self.down, True)
        self.number, self.buffer, self.answers, self.events = 0, b"", {}, []
        atexit.register(self.close)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def read(self, seconds):
        """Take in what has come, after at most so long."""
        if not select.select([self.up], [], [], seconds)[0]:
            return
        piece = os.read(self.up, 1 << 20)
        if not piece:
            with open(self.log.name, encoding="utf-8", errors="replace") as log:
                raise AssertionError(f"chromium has ended: {log.read()[-2000:]}")
        *messages, self.buffer = (self.buffer + piece).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.events.append(message)

    def ask(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self.down, rest):]
        deadline = time.monotonic() + DEADLINE_S
        while self.number not in self.answers:
            left = deadline - time.monotonic()
            check(left > 0, f"chromium did not answer {method}")
            self.read(left)
        answer = self.answers.pop(self.number)
        check("error" not in answer, f"{method}: {answer.get('error')}")
        return answer["result"]


_browser = []


def browser():
    if not _browser:
        _browser.append(Browser())
    return _browser[0]


class Page:
    """A tab. Whatever the page complains of, and every address that it asks for, is kept."""

    SHIFTS = ("window.shifts = []; new PerformanceObserver(list => { for (const e of list.getEntries()) if (!e.hadRecentInput) "
              "shifts.push([e.value, e.sources.map(s => s.node && (s.node.id || s.node.nodeName)).join()]); })"
              ".observe({ type: 'layout-shift', buffered: true });")

    def __init__(self, url, width=1280, height=900, dark=False):
        self.browser = browser()
        self.target = self.browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.browser.ask("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.shifts = []
        self.resize(width, height)
        self.shade(dark)
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=self.SHIFTS)
        self.ask("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def ask(self, method, **params):
        return self.browser.ask(method, self.session, **params)

    def resize(self, width, height):
        """What moves because the window is another one is no fault of the page."""
        self.keep_shifts()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.forgive_shifts()

    def keep_shifts(self):
        self.shifts += self.eval("window.shifts || []")
        self.eval("window.shifts = []")

    def forgive_shifts(self):
        self.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))")
        self.eval("window.shifts = []")

    def shade(self, dark):
        self.ask("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def eval(self, expression):
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        check("exceptionDetails" not in answer, f"{expression}: {answer.get('exceptionDetails')}")
        return answer["result"].get("value")

    def wait(self, expression, seconds=None):
        try:
            return wait_until(lambda: self.eval(expression), expression, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the page shows: {self.eval('document.body.innerText')[:3000]}") from None

    def text(self, id):
        return self.eval(f"document.getElementById({json.dumps(id)}).textContent")

    def wait_text(self, id, text):
        self.wait(f"document.getElementById({json.dumps(id)}).textContent === {json.dumps(text)}")

    def click(self, selector):
        """With the mouse, in the middle of what the selector finds, which must be what lies on top there."""
        x, y, top = self.eval(
            f"(() => {{ const n = document.querySelector({json.dumps(selector)}); n.scrollIntoView({{ block: 'center' }});"
            "const b = n.getBoundingClientRect(), x = b.x + b.width / 2, y = b.y + b.height / 2;"
            "return [x, y, n.contains(document.elementFromPoint(x, y))]; })()")
        check(top, f"{selector} is covered")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def move(self, x, y):
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def key(self, key, code, number, text=""):
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number, **more)

    def tab(self):
        self.key("Tab", "Tab", 9)

    def space(self):
        self.key(" ", "Space", 32, " ")

    def escape(self):
        self.key("Escape", "Escape", 27)

    def picture(self, name):
        """Into a file, and back into the browser, which says how many colours it has and how much of it is not the
        most frequent one."""
        data = self.ask("Page.captureScreenshot", format="png")["data"]
        os.makedirs(PICTURES, exist_ok=True)
        path = os.path.join(PICTURES, f"{name}.png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
        colours, share = self.eval(
            f"""(async () => {{
                const image = new Image();
                image.src = "data:image/png;base64,{data}";
                await image.decode();
                const canvas = new OffscreenCanvas(image.width, image.height), to = canvas.getContext("2d");
                to.drawImage(image, 0, 0);
                const pixels = new Uint32Array(to.getImageData(0, 0, image.width, image.height).data.buffer), counts = new Map();
                for (const p of pixels) counts.set(p, (counts.get(p) || 0) + 1);
                return [counts.size, 1 - Math.max(...counts.values()) / pixels.length];
            }})()""")
        lib.at_least(os.path.getsize(path), 5000, f"bytes of {path}")
        lib.at_least(colours, 50, f"colours of {path}")
        lib.at_least(share, 0.05, f"share of {path} that is drawn upon")

    def events(self, method):
        self.ask("Runtime.evaluate", expression="0")  # what happened before it is told before its answer
        return [event["params"] for event in self.browser.events
                if event.get("sessionId") == self.session and event["method"] == method]

    def switch(self, id, attribute="aria-checked"):
        return self.eval(f"document.querySelector('[aria-label=' + {json.dumps(json.dumps('Rule ' + id))} + ']')"
                         f".getAttribute({json.dumps(attribute)})")

    def names(self):
        """[(role, name)] of what a screen reader finds."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes
                if not node.get("ignored") and "role" in node]

    def check_quiet(self, origin, network_errors=False):
        """No exception, no breach of the policy, nothing from elsewhere, nothing that jumped."""
        equal(self.events("Runtime.exceptionThrown"), [], "exceptions")
        complaints = [event["entry"]["text"] for event in self.events("Log.entryAdded")
                      if event["entry"]["level"] in ("warning", "error")
                      and not (network_errors and event["entry"]["source"] == "network")]
        equal(complaints, [], "what the browser complains of")
        for event in self.events("Network.requestWillBeSent"):
            address = event["request"]["url"]
            check(address.startswith((origin, "data:", "about:")), f"asked elsewhere: {address}")
        self.keep_shifts()
        shifts = self.shifts
        check(sum(value for value, _ in shifts) < 0.01, f"the layout jumped: {shifts}")

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)


# ---- The server of our own -------------------------------------------------------------------------------------------

def status():
    """What the mock tells in a good hour, for a test to change."""
    return {
        "uptime_s": 8034.5, "version": "0.1.0", "generation": 3, "saturated": False,
        "saturation": {"schedule_error_p99_us": 34, "loop_lag_p99_us": 12, "bound_us": 1000},
        "rates": {"requests_per_s": 9821.4, "tokens_per_s": 48210.0, "errors_per_s": 98.2, "faults_per_s": 99.1},
        "totals": {"requests": 1234567, "faults": 12044, "disconnects": 3},
        "latency": {"asked_us": {"p50": 5000, "p99": 21480}, "delivered_us": {"p50": 5034, "p99": 21533},
                    "schedule_error_us": {"p50": 8, "p99": 34, "max": 210}},
        "concurrency": {"active": 48, "limit": 64, "queued": 2, "streams": 981, "connections": 1024},
        "faults": [
            {"id": "even-429", "kind": "status", "enabled": True, "matched": 1234567, "struck": 12345, "active": 0, "alive": True},
            {"id": "reset-at-token-10", "kind": "reset", "enabled": False, "matched": 4410, "struck": 221, "active": 0, "alive": True},
            {"id": HOSTILE, "kind": "stall", "enabled": True, "matched": 881, "struck": 4, "active": 2, "alive": True},
            {"id": "morning-outage", "kind": "refuse", "enabled": True, "matched": 50, "struck": 50, "active": 0, "alive": False},
        ],
        "models": [
            {"id": "llama-3.1-8b", "state": "loaded", "memory_bytes": 16 << 30},
            {"id": "llama-3.1-70b", "state": "loading", "memory_bytes": 141 << 30},
            {"id": "mistral-nemo-12b-instruct", "state": "unloaded", "memory_bytes": 24 << 30},
        ],
        "requests": [{
            "time": f"2031-04-05T16:24:{59 - i:02}.{123456 - 5003 * i:06}Z",
            "endpoint": ["/v1/chat/completions", "/api/infer", "/v1/models"][i % 3], "method": "GET" if i % 3 == 2 else "POST",
            "status": 429 if i == 4 else 500 if i == 9 else 0 if i == 6 else 200,
            "end": "disconnect" if i == 6 else "cut" if i == 12 else "answered",
            "fault": {"rule": "even-429", "kind": "status"} if i in (4, 9) else
                     {"rule": HOSTILE, "kind": "stall"} if i == 12 else None,
            "asked_us": 5000 + 311 * i, "delivered_us": 5034 + 312 * i, "late_us": 34 - i, "queue_us": 0 if i % 4 else 812,
            "output_tokens": 0 if i % 3 == 2 else 128 + i, "stream": i % 3 == 0,
        } for i in range(20)],
    }


class Fake:
    """Serves the page of the tree, tells `self.status` ten times a second, keeps what it was asked."""

    def __init__(self):
        self.status, self.asked = status(), []
        self.patch = None  # (status, body) instead of doing it
        self.gate = threading.Event()  # a PATCH or POST is answered when it is open
        self.gate.set()
        self.silent, self.refused, self.hung_up, self.ended = False, False, False, False
        self.history = []  # told once, as one, and nothing after it
        self.listeners = 0
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format, *args):
                pass

            def answer(self, code, body, kind="application/json"):
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path in ("/admin", "/admin/"):
                    with open(os.path.join(lib.ROOT, "mock/control/page.html"), "rb") as file:
                        self.answer(200, file.read(), "text/html; charset=utf-8")
                elif self.path == "/admin/events":
                    self.close_connection = True
                    if fake.hung_up:
                        return
                    if fake.refused:
                        self.answer(503, b'{"error":"draining"}')
                        return
                    fake.tell(self)
                else:
                    fake.asked.append(("GET", self.path, None))
                    self.answer(404, b'{"error":"no such path"}')

            def change(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kind = self.headers.get("Content-Type")
                fake.asked.append((self.command, self.path, json.loads(body) if body else None))
                fake.gate.wait(DEADLINE_S)
                if fake.patch:
                    self.answer(*fake.patch)
                elif self.command == "PATCH":
                    name = urllib.parse.unquote(self.path.removeprefix("/admin/faults/"))
                    rule = next(rule for rule in fake.status["faults"] if rule["id"] == name)
                    equal(kind, "application/json", "type of the patch")
                    rule["enabled"] = json.loads(body)["enabled"]
                    self.answer(200, json.dumps(rule).encode())
                else:
                    self.answer(200, b'{"reset":true}')

            do_PATCH = do_POST = change

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], ConnectionError):  # the page need not wait for an answer
                    super().handle_error(request, client_address)

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def tell(self, handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Cache-Control", "no-store")
        handler.end_headers()
        self.listeners += 1
        try:
            handler.wfile.write(b"retry: 200\n\n")
            for event in self.history:
                handler.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            while not (self.ended or self.refused or self.hung_up):
                if not self.silent and not self.history:
                    event = {"t_ms": int(time.time() * 1000), **self.status}
                    handler.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                time.sleep(0.1)  # one report per beat, as the real server gives them
        except OSError:
            pass  # the page was closed
        finally:
            self.listeners -= 1

    def close(self):
        self.ended = True
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


def with_fake(function):
    """A test that is given a server and, by calling, pages of it, which are all looked at in the end."""
    def run():
        browser()
        fake, pages = Fake(), []

        def open_page(path="/admin/", **how):
            pages.append(Page(fake.origin + path, **how))
            pages[-1].wait_text("state", "Live")
            return pages[-1]
        try:
            function(fake, open_page)
            for page in pages:
                page.check_quiet(fake.origin, network_errors=True)
        finally:
            for page in pages:
                page.close()
            fake.close()
    run.__name__ = function.__name__
    return test(run)


# ---- Corner cases ----------------------------------------------------------------------------------------------------

@with_fake
def shows_what_it_is_told(fake, open_page):
    page = open_page()
    for id, text in {
            "t-requests": "9,821", "u-requests": "1,234,567 in all", "t-tokens": "48,210", "u-tokens": "49.1 per stream",
            "t-faults": "99.1", "u-faults": "12,044 in all", "errs": "98.2", "gone": "3 clients gone early, ", "t-active": "48", "t-limit": " / 64",
            "u-active": "2 queued", "t-streams": "981", "u-streams": "1,024 connections", "t-error": "34 µs",
            "a50": "5.000 ms", "d50": "5.034 ms", "x50": "+34 µs", "a99": "21.48 ms", "d99": "21.53 ms", "x99": "+53 µs",
            "emax": "210 µs", "alarm": "", "fine": "Within bounds", "loaded": "1 of 3 loaded",
            "why": "schedule error p99 34 µs, loop lag p99 12 µs, bound 1.000 ms",
            "about": "version 0.1.0 · configuration 3 · up 2 h 13 min"}.items():
        equal(page.text(id), text, id)
    equal(page.eval("[...document.querySelectorAll('#rules tr')].map(r => r.innerText.replace(/\\s+/g, ' ').trim())"),
          ["even-429 status 1,234,567 12,345 1.0 % 0", "reset-at-token-10 reset 4,410 221 5.0 % 0",
           f"{HOSTILE} stall 881 4 0.5 % 2", "morning-outage expired refuse 50 50 100.0 % 0"], "rules")
    rows = page.eval("[...document.querySelectorAll('#rows tr')].map(r => r.innerText.replace(/\\s+/g, ' ').trim())")
    equal(len(rows), 20, "requests")
    equal(rows[0], "16:24:59.123 200 POST /v1/chat/completions stream – 5.000 ms 5.034 ms 34 µs 812 µs 128", "a stream")
    equal(rows[4], "16:24:55.103 429 POST /api/infer even-429: status 6.244 ms 6.282 ms 30 µs 812 µs 132", "a fault")
    equal(rows[6], "16:24:53.093 client gone POST /v1/chat/completions stream – 6.866 ms 6.906 ms 28 µs 0 µs 134", "an abort")
    check(rows[12].split(" ", 1)[1].startswith("cut, 200 POST"), rows[12])
    page.wait("document.getElementById('load').getAttribute('d').split('L').length > 3")
    box = page.eval("(b => [b.right - 2, b.top + 20])(document.getElementById('chart').getBoundingClientRect())")
    page.move(*box)
    page.wait("/^[01] s ago: 9,821, errors 98.2$/.test(document.getElementById('read').textContent)")
    page.move(2, 2)
    page.wait_text("read", "")


@with_fake
def shows_that_there_is_nothing(fake, open_page):
    empty = {"p50": None, "p99": None, "max": None}
    fake.status = {
        "uptime_s": 1, "version": "0.1.0", "generation": 1, "saturated": False,
        "saturation": {"schedule_error_p99_us": None, "loop_lag_p99_us": 0, "bound_us": 1000},
        "rates": {"requests_per_s": 0, "tokens_per_s": 0, "errors_per_s": 0, "faults_per_s": 0},
        "totals": {"requests": 0, "faults": 0, "disconnects": 0},
        "latency": {"asked_us": empty, "delivered_us": empty, "schedule_error_us": empty},
        "concurrency": {"active": 0, "limit": 0, "queued": 0, "streams": 0, "connections": 1},
        "faults": [], "models": [], "requests": []}
    page = open_page()
    for id, text in {"t-requests": "0", "t-limit": "", "u-active": "0 queued, no limit", "u-tokens": "no stream", "t-error": "–",
                     "a50": "–", "x99": "–", "emax": "–", "u-streams": "1 connection", "rules": "No fault rules.",
                     "models": "No models.", "rows": "No requests yet."}.items():
        equal(page.text(id), text, id)
    # Rules come and go; the rest of the page must not be lost to a thing that is missing.
    fake.status = dict(status(), latency={}, models=None)
    page.wait("document.querySelectorAll('#rules [role=switch]').length === 4")
    equal(page.text("rows").count("POST"), 14, "requests by POST")
    fake.status = dict(status(), faults=status()["faults"][1:2], requests=status()["requests"][:3])
    page.wait("document.querySelectorAll('#rules tr').length === 1 && document.querySelectorAll('#rows tr').length === 3")
    fake.status = {"saturated": False}
    page.wait("document.getElementById('rules').textContent === 'No fault rules.'")
    equal(page.text("t-requests"), "–", "requests per second")
    page.forgive_shifts()  # a table that has other rows is another table


@with_fake
def a_saturated_mock_says_so(fake, open_page):
    page = open_page()
    equal(page.eval("document.querySelector('[role=alert]').id"), "alarm", "where the alarm will be")
    widths = (1280, 900, 640, 390, 360)

    def heights():
        found = {}
        for width in widths:
            page.resize(width, 780)
            found[width] = page.eval("document.getElementById('bounds').offsetHeight")
        page.resize(1280, 900)
        return found
    calm = heights()
    fake.status.update(saturated=True, saturation={"schedule_error_p99_us": 4210, "loop_lag_p99_us": 3977, "bound_us": 1000})
    page.wait_text("alarm", "SATURATED: do not trust numbers measured now")
    equal(page.eval("document.title"), "SATURATED – weir-mock", "title")
    check(("alert", "") in page.names() or any(role == "alert" for role, _ in page.names()), "no alert for a screen reader")
    equal(heights(), calm, "height of the banner by width")
    equal(page.eval("getComputedStyle(document.getElementById('bounds')).backgroundColor"), "rgb(179, 33, 27)", "its colour")
    page.wait("document.getElementById('shade').getAttribute('d').length > 20")
    page.picture("saturated")
    page.resize(360, 780)
    page.picture("saturated-360")
    page.resize(1280, 900)
    fake.status["saturated"] = False
    page.wait_text("alarm", "")
    equal(page.eval("document.title"), "weir-mock", "title")


@with_fake
def a_switch_turns_a_rule(fake, open_page):
    page = open_page("/admin")  # without the slash, too
    equal([page.switch(rule["id"]) for rule in fake.status["faults"]], ["true", "false", "true", "true"], "switches")
    fake.gate.clear()
    page.click("#rules tr:nth-child(1) [role=switch]")
    page.wait("document.querySelectorAll('#rules [aria-busy=true]').length === 1")
    equal(page.switch("even-429"), "true", "while it is asked")
    page.click("#rules tr:nth-child(1) [role=switch]")  # does nothing now
    fake.gate.set()
    page.wait_text("said", "Rule even-429 is off.")
    equal(page.switch("even-429"), "false", "switch")
    equal(page.switch("even-429", "aria-busy"), None, "busy")
    equal(fake.asked, [("PATCH", "/admin/faults/even-429", {"enabled": False})], "what was asked")
    # With the keyboard, and what another one turned is seen.
    page.space()
    page.wait_text("said", "Rule even-429 is on.")
    equal(fake.asked[1:], [("PATCH", "/admin/faults/even-429", {"enabled": True})], "what was asked by key")
    fake.status["faults"][1]["enabled"] = True
    page.wait("document.querySelectorAll('#rules [aria-checked=true]').length === 4")
    check(page.eval("document.activeElement.getAttribute('aria-label') === 'Rule even-429'"), "focus was lost")


@with_fake
def a_switch_that_fails_says_why(fake, open_page):
    page = open_page()
    for answer, why in (((412, b'{"error":{"type":"stale","message":"the configuration is another one now"}}'),
                         "the configuration is another one now"),
                        ((404, b'{"error":"no such rule"}'), "no such rule"),
                        ((500, b"<h1>oops</h1>"), "the mock says 500 Internal Server Error")):
        fake.patch = answer
        page.click("#rules tr:nth-child(1) [role=switch]")
        page.wait_text("said", f"Rule even-429 stays on: {why}")
        equal(page.switch("even-429"), "true", "switch")
    check(page.eval("document.getElementById('said').classList.contains('bad')"), "an error must look like one")
    fake.patch = None
    page.click("#rules tr:nth-child(2) [role=switch]")
    page.wait_text("said", "Rule reset-at-token-10 is on.")
    fake.gate.clear()
    page.click("#rules tr:nth-child(2) [role=switch]")
    page.wait_text("said", "Rule reset-at-token-10 stays on: no answer within 5 s")


@with_fake
def a_hostile_name_is_only_text(fake, open_page):
    fake.status["version"] = fake.status["models"][0]["id"] = fake.status["requests"][0]["endpoint"] = HOSTILE
    fake.status["models"][1]["state"] = fake.status["requests"][1]["end"] = fake.status["faults"][0]["kind"] = HOSTILE
    page = open_page()
    equal(page.eval("document.querySelectorAll('main img, main script, dialog img').length"), 0, "elements made of names")
    check(HOSTILE in page.text("rules") and HOSTILE in page.text("rows") and HOSTILE in page.text("about"), "names are shown")
    page.click("#rules tr:nth-child(3) [role=switch]")
    page.wait_text("said", f"Rule {HOSTILE} is off.")
    equal(fake.asked, [("PATCH", "/admin/faults/" + urllib.parse.quote(HOSTILE, safe="!*'()"), {"enabled": False})], "asked")
    fake.patch = (409, json.dumps({"error": HOSTILE}).encode())
    page.click("#rules tr:nth-child(3) [role=switch]")
    page.wait_text("said", f"Rule {HOSTILE} stays off: {HOSTILE}")
    equal(page.eval("document.title"), "weir-mock", "title")


@with_fake
def a_lost_connection_is_seen(fake, open_page):
    page = open_page()
    for how in ("hung_up", "refused"):
        setattr(fake, how, True)
        page.wait_text("state", "Connection lost")
        page.wait("/^ [0-9]+ s ago$/.test(document.getElementById('age').textContent)")
        equal(page.eval("getComputedStyle(document.getElementById('t-requests')).opacity"), "0.45", "opacity")
        equal(page.text("t-requests"), "9,821", "the last number stays")
        if how == "refused":
            page.picture("lost")
        setattr(fake, how, False)
        page.wait_text("state", "Live")
        equal(page.eval("getComputedStyle(document.getElementById('t-requests')).opacity"), "1", "opacity")
        equal(page.text("age"), "", "age")
    fake.silent = True
    page.wait_text("state", "Connection silent")
    fake.silent = False
    page.wait_text("state", "Live")
    equal(fake.listeners, 1, "connections for events")


@with_fake
def reset_asks_first(fake, open_page):
    page = open_page()
    page.click("#reset")
    page.wait("document.getElementById('ask').open")
    equal(page.eval("document.activeElement.id"), "no", "what has the focus")
    page.picture("reset")
    page.click("#no")
    page.wait("!document.getElementById('ask').open")
    page.space()  # the focus has come back to the button
    page.wait("document.getElementById('ask').open")
    page.escape()
    page.wait("!document.getElementById('ask').open")
    equal(fake.asked, [], "what was asked without a yes")
    page.click("#reset")
    fake.patch = (503, b'{"error":{"message":"it is draining"}}')
    page.click("#yes")
    page.wait_text("denied", "Not reset: it is draining")
    fake.patch = None
    page.click("#yes")
    page.wait("!document.getElementById('ask').open")
    equal(fake.asked, [("POST", "/admin/reset", None)] * 2, "what was asked")
    equal(page.text("done"), "The mock was reset.", "what is said")


@with_fake
def fits_and_is_usable_by_keyboard(fake, open_page):
    page = open_page()
    for width in (1920, 1280, 900, 864, 768, 641, 640, 390, 360):
        page.resize(width, 900)
        equal(page.eval("document.documentElement.scrollWidth"), width, f"width at {width}")
        cut = page.eval("[...document.querySelectorAll('#tiles dt, #tiles dd, #latency td, #due dd, #rules .n, #about, #link')]"
                        ".filter(n => n.scrollWidth > n.clientWidth + 1).map(n => n.textContent)")
        equal(cut, [], f"cut off at {width}")
    page.eval("document.activeElement.blur()")
    reached = []
    for _ in range(8):
        page.tab()
        reached.append(page.eval("document.activeElement.getAttribute('aria-label') || document.activeElement.id || "
                                 "document.activeElement.getAttribute('aria-labelledby')"))
    equal(reached[:7], ["reset", *(f"Rule {rule['id']}" for rule in fake.status["faults"]), "h-models", "log"], "order of Tab")
    page.resize(1280, 900)
    names = page.names()
    for role in ("button", "switch", "table", "region", "image", "img", "heading"):
        equal([name for kind, name in names if kind == role and not name], [], f"nameless {role}")
    equal([name for role, name in names if role == "switch"], [f"Rule {rule['id']}" for rule in fake.status["faults"]], "switches")


@with_fake
def looks_its_best(fake, open_page):
    """Pictures in both shades and both sizes, after two minutes of life that are told in one breath."""
    random = lib.seeded(6)
    for i in range(121):
        load = 9800 + 2600 * math.sin(i / 9) + random.uniform(-300, 300)
        fake.history.append({"t_ms": 1_900_000_000_000 + 1000 * i, **status(), "saturated": 62 < i < 71, "rates": {
            "requests_per_s": load * (0.35 if 62 < i < 71 else 1), "tokens_per_s": 48210.0, "faults_per_s": load / 100,
            "errors_per_s": load / 100 + (2400 if 40 < i < 46 else 0)}})
    page = open_page()
    page.wait("(document.getElementById('load').getAttribute('d').match(/L/g) || []).length === 120")
    for dark in (False, True):
        page.shade(dark)
        for width, height in ((1280, 900), (390, 844)):
            page.resize(width, height)
            page.picture(f"{'dark' if dark else 'light'}-{width}")


# ---- The real one ----------------------------------------------------------------------------------------------------

RULES = {"faults": [
    {"id": "teapot", "match": {"path": "/api/infer"}, "do": {"kind": "status", "status": 418}},
    {"id": "never", "enabled": False, "do": {"kind": "reset"}},
]}


INFER = b'{"model_id":"llama-13b","prompt":"hi","max_tokens":16,"temperature":0.7,"top_p":0.9}'


class AdminMock(lib.Program):
    """weir-mock with the control endpoints on a port of their own."""

    def __init__(self, config, *options):
        path = os.path.join(lib.temp_dir(), "config.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        super().__init__([MOCK, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", path, *options])
        wait_until(lambda: self.stdout.count("\n") == 2 or self.process.poll() is not None, "two ports")
        lines = self.stdout.splitlines()
        check(len(lines) == 2 and lines[0].startswith("listening on ") and lines[1].startswith("admin on "),
              f"{self.stdout!r} {self.stderr!r}")
        self.origin, self.admin = ("http://" + line.split(" on ")[1] for line in lines)

    @staticmethod
    def ask(method, url, body=None):
        address = urllib.parse.urlsplit(url)
        client = http.client.HTTPConnection(address.hostname, address.port, timeout=DEADLINE_S)
        try:
            client.request(method, address.path, body, {"Content-Type": "application/json"} if body else {})
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            client.close()

    def infer(self):
        return self.ask("POST", self.origin + "/api/infer", INFER)[0]

    def rule(self, id):
        rules = json.loads(self.ask("GET", self.admin + "/admin/faults")[2])
        return next(rule for rule in (rules["faults"] if isinstance(rules, dict) else rules) if rule["id"] == id)


@test
def weir_mock():
    browser()
    mock = AdminMock(RULES, "--latency", "2ms")
    code, headers, body = mock.ask("GET", mock.admin + "/admin/")
    equal((code, headers["Content-Type"]), (200, "text/html; charset=utf-8"), "the page")
    with open(os.path.join(lib.ROOT, "mock/control/page.html"), "rb") as file:
        equal(body, file.read(), "the page is the file")
    check(headers["Content-Security-Policy"].startswith("default-src 'self';"), headers["Content-Security-Policy"])
    page = Page(mock.admin + "/admin/")
    page.wait_text("state", "Live")
    equal((page.switch("teapot"), page.switch("never")), ("true", "false"), "switches")
    equal([mock.infer() for _ in range(5)], [418] * 5, "struck by the rule")
    page.wait("document.querySelector('#rules tr').children[4].textContent === '5'")
    page.wait("document.getElementById('rows').textContent.split('/api/infer').length === 6")
    page.wait("document.getElementById('u-faults').textContent.startsWith('5 in all')")
    lib.at_least(int(page.text("u-requests").split(" ")[0].replace(",", "")), 5, "requests in all")
    check("teapot: status" in page.text("rows"), page.text("rows"))

    page.click("#rules tr:nth-child(1) [role=switch]")
    page.wait_text("said", "Rule teapot is off.")
    equal(mock.rule("teapot").get("enabled", True), False, "the rule in the mock")
    equal([mock.infer() for _ in range(5)], [200] * 5, "no longer struck")
    newest = "[...document.querySelectorAll('#rows tr')].find(row => row.textContent.includes('/api/infer')).children"
    page.wait(f"{newest}[1].textContent === '200'")
    equal(page.switch("teapot"), "false", "switch, after events that came later")
    # Asked 2 * 2 ms, as for infer, and delivered no earlier.
    equal(page.eval(f"{newest}[4].textContent"), "4.000 ms", "asked")
    check(page.eval(f"parseFloat({newest}[5].textContent) >= 2 || / s$/.test({newest}[5].textContent)"), page.text("rows"))
    page.picture("mock")

    page.click("#reset")
    page.click("#yes")
    page.wait("!document.getElementById('ask').open")
    page.wait("document.getElementById('u-faults').textContent.startsWith('0 in all')")
    page.check_quiet(mock.admin)
    mock.stop()
    page.wait_text("state", "Connection lost")
    page.close()


if __name__ == "__main__":
    lib.main()
