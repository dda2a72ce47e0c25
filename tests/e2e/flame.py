#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""Flame graphs: stacks are read and counted right, the SVG shows them, a browser can zoom and search it, and
perf/flame.sh records the programs and leaves nothing behind."""
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree

import lib
from lib import check, equal, skip, test

FLAME = os.path.join(lib.ROOT, "perf", "flame", "flame.py")
SCRIPT = os.path.join(lib.ROOT, "perf", "flame.sh")
SVG = "{http://www.w3.org/2000/svg}"
LIBRARY = "/usr/lib/libweir.so"


def flame(*arguments, text="", status=0):
    """Output of flame.py, or what it complains of."""
    done = subprocess.run([sys.executable, FLAME, *arguments], input=text.encode("utf-8"), capture_output=True,
                          timeout=lib.DEADLINE_S, check=False)
    equal(done.returncode, status, f"exit status of flame.py {arguments}: {done.stderr}")
    if status == 0:
        equal(done.stderr, b"", "standard error of flame.py")
    return (done.stderr if status else done.stdout).decode("utf-8")


def sample(*frames, thread="weir-mock-0", event="cpu-clock"):
    """As perf script prints it, innermost frame first. A frame: address, symbol, image."""
    lines = [f"{thread} 12/34 {event}: "]
    lines += [f"\t{address:16x} {symbol} ({image})" for address, symbol, image in frames]
    return "\n".join(lines) + "\n\n"


def user(symbol, image=LIBRARY):
    return 0x7f0012345678, symbol, image


def kernel(symbol, image="[kernel.kallsyms]"):
    return 0xffffffff81e2fb7e, symbol, image


def folded(text):
    """The counts by line, and the events, of perf script's text."""
    lines = flame("fold", text=text).splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {stack: int(count) for stack, count in counts.items()}, [line for line in lines if line.startswith("#")]


def draw(folded_lines, *options):
    """The SVG and its elements."""
    text = flame("draw", *options, text=folded_lines)
    return text, xml.etree.ElementTree.fromstring(text)


def frames_of(root):
    """{(name, side): [(depth, start, count)]} and checks of each box on the way."""
    frames = {}
    for node in root.findall(f"{SVG}svg"):
        about = node.find(f"{SVG}title").text
        match = re.fullmatch(r"(.*) \((?:(user|kernel|thread), )?([0-9,]+) samples?, ([0-9.]+)%\)", about, re.S)
        check(match, f"title of a frame: {about!r}")
        equal(int(match[3].replace(",", "")), int(node.get("data-count")), "samples of the title")
        equal(node.get("class"), f"frame {match[2] or 'thread'}", "class of a frame")
        place = int(node.get("data-depth")), int(node.get("data-start")), int(node.get("data-count"))
        frames.setdefault((match[1], match[2]), []).append(place)
    return frames


def texts(root, kind):
    return [node.text for node in root.findall(f"{SVG}text") if node.get("class") == kind]


# ---- Stacks -----------------------------------------------------------------------------------------------------

@test
def counts_equal_stacks():
    sending = sample(kernel("tcp_sendmsg+0x2b"), kernel("io_send+0xd2"), user("enter+0x17"), user("pass+0x32f"))
    parsing = sample(user("weir_http1_parse_request+0x1"), user("pass+0x9"))
    counts, events = folded(sending + parsing + sending + sample(user("pass")) + sending)
    equal(counts, {"weir-mock-0;pass;enter;io_send_[k];tcp_sendmsg_[k]": 3,
                   "weir-mock-0;pass;weir_http1_parse_request": 1, "weir-mock-0;pass": 1}, "stacks")
    equal(events, ["# event cpu-clock 5"], "events")


@test
def reads_every_shape_of_a_line():
    """Also the fields that perf script prints when it is not told which, and a text without its last line's end."""
    counts, events = folded(
        "# ========\n# captured on    : today\n#\n"
        "weir mock: x 19241 12821.175966:     200040 cycles:u: \n"
        "\tffffffff821fdb89 _raw_spin_unlock_irqrestore+0x19 ([kernel.kallsyms])\n"
        "\t            39ba io_uring_enter2+0xa (/usr/lib/liburing.so.2.3 (deleted))\n\n\n"
        "       [one] 5/6 [001] 1.5: cycles:u: \n"
        "\t    7f00 std::function<void (int)>::operator()(int) const+0x8 (/opt/a b (1)/x)\n"
        "\t    7f01 call (anon_inode:[io_uring])\n\n"
        "two 7/7 cpu_core/cycles/: \n\n"
        "three 1/2 cycles:u: \n\t 1 last (inlined)")
    equal(counts, {"weir mock: x;io_uring_enter2;_raw_spin_unlock_irqrestore_[k]": 1,
                   "[one];call;std::function<void (int)>::operator()(int) const": 1, "two": 1, "three;last": 1},
          "stacks")
    equal(events, ["# event cpu_core/cycles/ 1", "# event cycles:u 3"], "events")


@test
def tells_the_kernel_from_the_rest():
    stack = sample((0xffffffffff600000, "gettimeofday", "[vsyscall]"), (0xffff800000000000, "first", "[nf_tables]"),
                   (0xff00000000000000, "five_levels", "/lib/modules/x.ko"), (0x10, "guest", "[guest.kernel.kallsyms]"),
                   (0xffffffffc0000000, "bpf_prog_6deef7357e7b4530", "bpf_prog_6deef7357e7b4530"),
                   (0x7fffffffe000, "__vdso_clock_gettime", "[vdso]"), (0x00ffffffffffffff, "highest", LIBRARY))
    counts, _ = folded(stack)
    equal(list(counts), ["weir-mock-0;highest;__vdso_clock_gettime;bpf_prog_6deef7357e7b4530_[k];guest_[k];"
                         "five_levels_[k];first_[k];gettimeofday"], "sides")


@test
def names_what_has_no_symbol_after_its_image():
    counts, _ = folded(sample(kernel("[unknown]"), user("[unknown]", "/usr/lib/libc.so.6"), user("[unknown]", "[vdso]"),
                              user("[unknown]", "[unknown]"), user("a;b")))
    equal(list(counts), ["weir-mock-0;a:b;[unknown];[vdso];[libc.so.6];[kernel]_[k]"], "names")


@test
def says_what_is_wrong():
    for command in "fold", "draw":
        for text in "", "\n\n", "# only a comment\n":
            check("no samples" in flame(command, text=text, status=1), f"{command} of {text!r}")
    text = flame("fold", text=sample(user("pass")) + "weir-mock 1/1 cycles:\n\tnot a frame\n", status=1)
    check("line 5" in text and "not a frame" in text, text)
    text = flame("fold", text="gibberish\n", status=1)
    check("line 1" in text and "gibberish" in text, text)
    text = flame("draw", text="a;b 3\na;b many\n", status=1)
    check("line 2" in text and "a;b many" in text, text)
    text = flame("draw", "/nonexistent/stacks", status=1)
    check("/nonexistent/stacks: No such file" in text, text)


@test
def refuses_wrong_usage():
    for arguments, named in (([], "''"), (["paint"], "'paint'"), (["fold", "--title", "x"], "'--title'"),
                             (["draw", "--colour"], "'--colour'"), (["draw", "--note"], "--note"),
                             (["fold", "a", "b"], "'b'")):
        text = flame(*arguments, status=2)
        check(named in text, f"{arguments}: {text}")


# ---- The graph --------------------------------------------------------------------------------------------------

STACKS = """# event cycles 100
weir-mock-0;pass;enter;io_send_[k];tcp_sendmsg_[k] 40
weir-mock-0;pass;enter;io_recv_[k] 20
weir-mock-0;pass;enter 5
weir-mock-0;pass;feed;tcp_looks_alike 25
weir-mock-1;pass 10
"""


@test
def counts_add_up():
    _, root = draw(STACKS)
    frames = frames_of(root)
    equal(frames, {
        ("all", None): [(0, 0, 100)],
        ("weir-mock-0", "thread"): [(1, 0, 90)], ("weir-mock-1", "thread"): [(1, 90, 10)],
        ("pass", "user"): [(2, 0, 90), (2, 90, 10)],
        ("enter", "user"): [(3, 0, 65)], ("feed", "user"): [(3, 65, 25)],
        ("io_recv", "kernel"): [(4, 5, 20)], ("io_send", "kernel"): [(4, 25, 40)],
        ("tcp_looks_alike", "user"): [(4, 65, 25)],
        ("tcp_sendmsg", "kernel"): [(5, 25, 40)],
    }, "frames")
    equal(texts(root, "note"), ["100 samples of cycles"], "notes")
    equal(texts(root, "warning"), [], "warnings")


@test
def boxes_stay_in_their_callers():
    random = lib.seeded(7)
    stacks = {}
    for _ in range(200):
        names = [f"f{random.randrange(6)}" + random.choice(["", "_[k]"]) for _ in range(random.randrange(1, 60))]
        stacks["thread;" + ";".join(names)] = random.randrange(1, 50)
    lines = [f"{stack} {count}\n" for stack, count in stacks.items()]
    text, root = draw("".join(lines))
    random.shuffle(lines)
    equal(draw("".join(lines))[0], text, "the graph of the same stacks in another order")
    equal(draw("".join(lines))[0], text, "the graph of another run")
    path, bottoms = [], set()
    for node in root.findall(f"{SVG}svg"):
        depth, start, count = (int(node.get(f"data-{key}")) for key in ("depth", "start", "count"))
        del path[depth:]
        equal(len(path), depth, "a caller stands before what it called")
        if path:
            check(path[-1][0] <= start and start + count <= path[-1][1], f"frame {start}+{count} in {path[-1]}")
        path.append((start, start + count))
        bottoms.add(float(node.get("y")) + 16 * depth)
        check(0 < float(node.get("width")) <= 1180 and float(node.get("x")) >= 10, "a box inside the graph")
        at_least_shown = 7.3 * len(node.find(f"{SVG}text").text or "")
        check(at_least_shown <= float(node.get("width")), "a label inside its box")
    equal(len(bottoms), 1, "grounds that the rows stand on")
    equal(path[0][0], 0, "start")
    equal(frames_of(root)["all", None], [(0, 0, sum(stacks.values()))], "all samples")


@test
def says_what_it_leaves_out():
    _, root = draw("t;big 1000000\nt;small 1\n")
    equal(set(frames_of(root)), {("all", None), ("t", "thread"), ("big", "user")}, "frames")
    check(any(note.startswith("1 of 4 frames") for note in texts(root, "note")), texts(root, "note"))


@test
def colours_tell_the_sides_apart():
    _, root = draw(STACKS)
    for node in root.findall(f"{SVG}svg"):
        colour = node.find(f"{SVG}rect").get("fill")
        red, green, blue = (int(colour[at:at + 2], 16) for at in (1, 3, 5))
        shade = "user" if red > blue + 60 else "kernel" if blue > red + 30 else "thread"
        if shade == "thread":
            equal((red, red), (green, blue), "a grey")
        equal(node.get("class"), f"frame {shade}", f"colour {colour}")
    equal(len([rect for rect in root.findall(f"{SVG}rect") if rect.get("class") == "legend"]), 4, "legend")
    for side in "user", "kernel", "thread":
        check(side in texts(root, None), f"{side} in the legend")


@test
def writes_any_name():
    names = ['operator<<', 'a & b', '"quoted" \'too\'', "]]>", "</text><script>alert(1)</script>",
             "naïve 関数", "&amp &#65", "a (b) (c"]
    lines = [f"t;{name} 10\n" for name in names] + ["t;bell\x07\x1b\x00 10\n"]
    title = "<title> & \"it's\""
    text, root = draw("".join(lines), "--title", title, "--note", "x < y ]]> &amp;")
    equal({name for name, side in frames_of(root) if side == "user"}, {*names, "bell\ufffd\ufffd\ufffd"}, "names")
    equal((root.find(f"{SVG}title").text, texts(root, "heading")), (title, [title]), "title")
    equal(texts(root, "note")[0], "x < y ]]> &amp;", "note")
    equal(text.count("<script"), 1, "scripts")


@test
def tells_how_it_was_sampled():
    def about(stack, events):
        lines = "".join(f"# event {event} 1\n" for event in events) + f"{stack} {len(events)}\n"
        _, root = draw(lines, "--note", "first")
        note, warnings = texts(root, "note"), texts(root, "warning")
        equal((note[0], len(note)), ("first", 2), "notes")
        return note[1], warnings

    note, warnings = about("t;main;tcp_sendmsg_[k]", ["cycles", "cpu-clock"])
    check("1 sample of cpu-clock, 1 sample of cycles" in note and "timer" in note, note)
    equal(warnings, [], "warnings")
    note, warnings = about("t;main;[kernel]_[k];[kernel]_[k];bpf_prog_1_[k]", ["cycles"])
    check("timer" not in note, note)
    check(len(warnings) == 1 and "kptr_restrict" in warnings[0], warnings)
    for event in "cycles:u", "cpu-clock:uH":
        _, warnings = about("t;main", [event])
        check(len(warnings) == 1 and "perf_event_paranoid" in warnings[0], warnings)
    equal(about("t;main", ["cycles:uk"])[1], [], "warnings of a stack that never was in the kernel")


@test
def needs_nothing_else():
    text, _ = draw(STACKS)
    addresses = set(re.findall(r"[a-z]+://[^\"'\s<]+", text))
    equal(addresses, {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}, "addresses, all mere names")
    check("@import" not in text and "url(" not in text and " src=" not in text and "href" not in text, "loads nothing")


# ---- In a browser -----------------------------------------------------------------------------------------------

# Does in the browser what a reader does, and writes down what he sees: an event is handled before its dispatch returns.
DRIVER = """
const graph = document.querySelector("svg.flame"), field = graph.querySelector(".search"), seen = {};
const frames = Array.from(graph.querySelectorAll(".frame"));
const name = (node) => node.querySelector("title").textContent.replace(/ \\(.*/s, "");
const named = (wanted) => frames.find((node) => name(node) === wanted);
const fire = (node, event) => node.dispatchEvent(event);
const click = (node) => fire(node, new MouseEvent("click", { bubbles: true }));
const key = (node, key, more) =>
    fire(node, new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
const type = (text) => { field.value = text; fire(field, new Event("input", { bubbles: true })); };
const look = (step) => {
    const shown = frames.filter((node) => getComputedStyle(node).display !== "none");
    seen[step] = {
        shown: shown.map((node) => [name(node), Number(node.getAttribute("x")), Number(node.getAttribute("width")),
            node.querySelector("text").textContent]),
        match: frames.filter((node) => node.classList.contains("match")).map(name),
        matched: graph.querySelector(".matched").textContent,
        reset: getComputedStyle(graph.querySelector(".reset")).display !== "none",
        details: graph.querySelector(".details").textContent,
        focus: document.activeElement === field,
    };
};
look("plain");
click(named("io_recv").querySelector("rect")); look("zoomed");
key(document.documentElement, "Escape"); look("escaped");
click(named("feed")); click(named("feed")); look("clicked twice");
click(named("feed")); click(graph.querySelector(".reset rect")); look("reset");
seen.taken = !key(document.documentElement, "f", { ctrlKey: true }); look("ctrl-f");
seen.left = key(field, "f", { ctrlKey: true });
type("^TCP_|enter"); look("searched");
click(named("feed")); look("searched and zoomed");
type("("); look("wrong"); type("nowhere"); look("nothing"); key(field, "Escape"); look("cleared");
key(field, "Escape"); fire(named("feed"), new MouseEvent("mouseover", { bubbles: true })); look("over feed");
document.getElementById("seen").textContent = JSON.stringify(seen);
"""


def browse(name, text):
    """What the driver saw in a real browser, in a file of that name."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        skip("chromium is not installed")
    directory = lib.temp_dir()
    page = os.path.join(directory, name)
    with open(page, "w", encoding="utf-8") as file:
        file.write(text)
    done = lib.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                    f"--user-data-dir={directory}/profile", "--dump-dom", f"file://{page}"], env={"HOME": directory})
    if done.process.returncode != 0 and not done.stdout:
        skip(f"{browser} does not run here: {done.stderr[-500:]}")
    match = re.search(r'id="seen">(.+?)</', done.stdout, re.S)
    check(match, f"the driver came to its end: {done.stderr[-2000:]}")
    return json.loads(html.unescape(match[1]))


@test
def zooms_and_searches_in_a_browser():
    svg, root = draw(STACKS)
    driver = f'<text id="seen"></text><script><![CDATA[{DRIVER}]]></script>'
    check_seen(browse("graph.svg", f'{svg.rpartition("</svg>")[0]}{driver}</svg>'), root)


@test
def zooms_and_searches_inside_a_page():
    svg, root = draw(STACKS)
    inside = svg.partition("?>")[2]  # without the declaration, which is for files of its own
    check_seen(browse("page.html", f'<!doctype html><meta charset="utf-8">{inside}<pre id="seen"></pre>'
                      f"<script>{DRIVER}</script>"), root)


def check_seen(seen, root):
    plain = seen["plain"]
    equal(len(plain["shown"]), len(root.findall(f"{SVG}svg")), "frames that are shown")
    equal((plain["match"], plain["matched"], plain["reset"]), ([], "", False), "nothing is found at first")
    # Zoomed: the target and its callers have the whole width, all else is away.
    shown = {name: (x, width, text) for name, x, width, text in seen["zoomed"]["shown"]}
    equal(set(shown), {"all", "weir-mock-0", "pass", "enter", "io_recv"}, "frames of the zoom")
    for name, place in shown.items():
        equal(place, (10, 1179.5, name), f"place of {name}")
    check(seen["zoomed"]["reset"], "the reset shows")
    for step in "escaped", "clicked twice", "reset":
        for now, then in zip(seen[step]["shown"], plain["shown"]):
            equal((now[0], now[3]), (then[0], then[3]), f"name and label after: {step}")
            check(abs(now[1] - then[1]) < 0.02 and abs(now[2] - then[2]) < 0.02, f"place after: {step}: {now}, {then}")
        equal((len(seen[step]["shown"]), seen[step]["reset"]), (len(plain["shown"]), False), step)
    equal((seen["taken"], seen["ctrl-f"]["focus"], seen["left"]), (True, True, True),
          "Ctrl-F goes to the field, and from there to the browser")
    # `enter` covers tcp_sendmsg: its samples count once.
    found = seen["searched"]
    equal(sorted(found["match"]), ["enter", "tcp_looks_alike", "tcp_sendmsg"], "frames that were found")
    equal(found["matched"], "matched: 90.00% of all samples, 3 frames", "sum of what was found")
    equal(seen["searched and zoomed"]["matched"], found["matched"], "the sum after a zoom")
    equal((seen["wrong"]["match"], seen["wrong"]["matched"]), ([], "not a regular expression"), "a wrong expression")
    equal(seen["nothing"]["matched"], "matched: 0.00% of all samples, 0 frames", "an expression that finds nothing")
    equal((seen["cleared"]["matched"], seen["cleared"]["reset"]), ("", True),
          "the first Escape clears the search alone")
    equal(seen["over feed"]["details"], "feed (user, 25 samples, 25.00%)", "details")
    equal(seen["over feed"]["reset"], False, "the second Escape resets the zoom")


# ---- Recording --------------------------------------------------------------------------------------------------

def script(*arguments, status=0):
    """What perf/flame.sh says, and how much it leaves behind: nothing."""
    directory = lib.temp_dir()
    done = lib.run([SCRIPT, *arguments], env={"TMPDIR": directory})
    equal(done.process.returncode, status, f"exit status of flame.sh {arguments}: {done.stderr}")
    equal(os.listdir(directory), [], "temporary files")
    return done.stdout if status == 0 else done.stderr


def cpus():
    """Two that may be used, or one twice."""
    usable = sorted(os.sched_getaffinity(0))
    return f"{usable[0]},{usable[min(1, len(usable) - 1)]}"


def need_perf():
    if lib.SANITIZED:
        skip("the sanitizers' own functions would be what is seen")
    perf = lib.need("perf")
    data = os.path.join(lib.temp_dir(), "data")
    trial = lib.run([perf, "record", "-e", "cpu-clock", "-g", "--no-buildid-cache", "-o", data, "--", "true"])
    if trial.process.returncode != 0:
        skip(f"perf cannot record here: {trial.stderr.strip()[-300:]}")


@test
def script_refuses_wrong_usage():
    for arguments, named in (
            ([], "server or client"), (["both"], "'both'"), (["server", "client"], "'client'"),
            (["server", "--wat"], "'--wat'"),
            (["server", "--seconds"], "--seconds"), (["server", "--seconds", "0"], "--seconds '0'"),
            (["client", "--connections", "9" * 30], "--connections"), (["client", "--pipeline", ""], "--pipeline"),
            (["client", "--freq", "often"], "--freq 'often'"), (["server", "--cpus", "0"], "--cpus '0'"),
            (["server", "--cpus", "0,9999"], "9999"), (["server", "--build", "/nonexistent"], "--build '/nonexistent'"),
            (["server", "--out", lib.BUILD], "--out"), (["server", "--folded", "/proc/x/y"], "--folded '/proc/x/y'")):
        text = script("--cpus", cpus(), *arguments, status=2)
        check(named in text, f"{arguments}: {text}")


def record(side, function):
    need_perf()
    directory = lib.temp_dir()
    svg, lines = os.path.join(directory, "new", "graph.svg"), os.path.join(directory, "stacks")
    script(side, "--seconds", "1", "--connections", "4", "--freq", "999", "--cpus", cpus(), "--build", lib.BUILD,
           "--out", svg, "--folded", lines)
    root = xml.etree.ElementTree.parse(svg).getroot()
    frames = frames_of(root)
    check((function, "user") in frames, f"{function} in {sorted(frames)}")
    with open(lines, encoding="utf-8") as file:
        counts = [int(line.rsplit(" ", 1)[1]) for line in file if not line.startswith("#")]
    equal(frames["all", None], [(0, 0, sum(counts))], "samples")
    check("samples of" in " ".join(texts(root, "note")), texts(root, "note"))


@test
def records_the_server():
    record("server", "weir_engine_run")


@test
def records_the_client():
    record("client", "weir_engine_run")


def session_of(pid):
    """The living processes of the session."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(entry))
    return found


@test
def ends_what_it_started_when_it_is_ended():
    need_perf()
    for number in signal.SIGTERM, signal.SIGINT:
        directory = lib.temp_dir()
        svg = os.path.join(directory, "graph.svg")
        temporary = os.path.join(directory, "temporary")
        os.mkdir(temporary)
        program = lib.Program(["setsid", SCRIPT, "server", "--seconds", "600", "--cpus", cpus(), "--build", lib.BUILD,
                               "--out", svg], env={"TMPDIR": temporary})
        lib.wait_until(lambda: "recording" in program.stderr, "recording")
        lib.wait_until(lambda: len(session_of(program.pid)) >= 4, "weir-mock, weir-bench and perf beside the script")
        program.signal(number)
        equal(program.wait(), 128 + number, "exit status")
        # What was told to end may take a moment to.
        lib.wait_until(lambda pid=program.pid: not session_of(pid), "nobody is left of its session")
        equal((os.listdir(temporary), os.path.exists(svg)), ([], False), "what is left behind")


if __name__ == "__main__":
    lib.main()
