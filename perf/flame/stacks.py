# SPDX-License-Identifier: MIT
"""Stacks with their counts: read from the text of `perf script`, and as folded lines in both directions.

A stack is a tuple of frames from the outside in, the thread's name first. A frame is a pair (name, side), where side
is USER or KERNEL. Folded, a stack is one line `thread;outer;inner_[k] COUNT`: the mark stands behind a kernel frame.
What is known of all samples stands above the lines, as `# event NAME COUNT`.
"""
import collections
import os
import re

USER, KERNEL = "user", "kernel"
KERNEL_MARK = "_[k]"

# `name 12/34 [001] 5.678901:  200040 cycles:u: `; which fields are there depends on perf script's -F.
_SAMPLE = re.compile(
    r"""\s*(?P<thread>\S.*?)\s+ \d+(?:/\d+)?\s+ (?:\[\d+\]\s+)? (?:\d+\.\d+:\s+)? (?:\d+\s+)?
        (?P<event>\S+):\s*""", re.X)
# ` 7f00deadbeef name+0x12 (/path/of/library)`; C++ names hold blanks and parentheses, paths ` (deleted)`.
_FRAME = re.compile(
    r"""\s*(?P<address>[0-9a-f]+)\s+ (?P<symbol>.*?)(?:\+0x[0-9a-f]+)?\s+ \((?P<image>[^()]*|/.*|\[.*)\)\s*""", re.X)
_FOLDED = re.compile(r"(?P<stack>.+) (?P<count>[0-9]+)")
_EVENT = re.compile(r"# event (?P<name>\S+) (?P<count>[0-9]+)")


class Malformed(Exception):
    """The text is not what it should be; says where."""


class Stacks:
    def __init__(self):
        self.counts = collections.Counter()  # of samples, by stack
        self.events = collections.Counter()  # of samples, by the event that took them

    def samples(self):
        return sum(self.counts.values())

    def kernel_is_nameless(self):
        """Whether the kernel kept its symbols for itself: some images, as of BPF programs, have names even then."""
        kernel = nameless = 0
        for stack, count in self.counts.items():
            for name, side in stack:
                if side == KERNEL:
                    kernel += count
                    nameless += count * name.startswith("[")
        return nameless * 2 > kernel

    def kernel_was_left_out(self):
        """Whether only the user side was sampled, which is how perf records for those who may not see more."""
        return bool(self.events) and all(_is_user_only(event) for event in self.events)


def _is_user_only(event):
    modifiers = event.rpartition(":")[2] if ":" in event else ""
    return "u" in modifiers and "k" not in modifiers


# ---- From perf script -------------------------------------------------------------------------------------------


def _side(address, image):
    """Every 64-bit machine of Linux gives the upper half of the addresses to the kernel: x86-64 begins at
    0xffff800000000000, or at 0xff00000000000000 with five levels of page tables, arm64 in between. The page of the
    old system calls lies up there and is not of the kernel."""
    if image == "[vsyscall]":
        return USER
    return KERNEL if address >> 63 or image.startswith(("[kernel", "[guest.kernel")) else USER


def _frame(line, number):
    match = _FRAME.fullmatch(line)
    if not match:
        raise Malformed(f"line {number}: not a frame of perf script: {line!r}")
    image, name = match["image"], match["symbol"].strip()
    side = _side(int(match["address"], 16), image)
    if not name or name == "[unknown]":
        # One name for all that is unknown of an image: an address would split it up, and differ from run to run.
        name = "[kernel]" if side == KERNEL else f"[{os.path.basename(image).strip('[]') or 'unknown'}]"
    return name, side


def from_perf_script(lines):
    """@lines: of `perf script -F comm,pid,tid,event,ip,sym,dso` or with more; innermost frame first."""
    stacks, thread, frames = Stacks(), None, []

    def finish():
        if thread is not None:
            stacks.counts[((thread, USER), *reversed(frames))] += 1

    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not line.strip() or line.startswith("#"):
            finish()
            thread, frames = None, []
        elif thread is None:
            match = _SAMPLE.fullmatch(line)
            if not match:
                raise Malformed(f"line {number}: not a sample of perf script: {line!r}")
            thread = match["thread"]
            stacks.events[match["event"]] += 1
        else:
            frames.append(_frame(line, number))
    finish()
    return stacks


# ---- Folded -----------------------------------------------------------------------------------------------------


def _folded_frame(frame):
    name, side = frame
    return name.replace(";", ":") + (KERNEL_MARK if side == KERNEL else "")


def _unfolded_frame(text):
    if text.endswith(KERNEL_MARK):
        return text[:-len(KERNEL_MARK)], KERNEL
    return text, USER


def to_folded(stacks):
    """Lines, in an order that depends on nothing but the counts."""
    for event, count in sorted(stacks.events.items()):
        yield f"# event {event} {count}"
    lines = collections.Counter()
    for stack, count in stacks.counts.items():
        lines[";".join(map(_folded_frame, stack))] += count
    for line, count in sorted(lines.items()):
        yield f"{line} {count}"


def from_folded(lines):
    stacks = Stacks()
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        event, folded = _EVENT.fullmatch(line), _FOLDED.fullmatch(line)
        if event:
            stacks.events[event["name"]] += int(event["count"])
        elif line and not line.startswith("#"):
            if not folded:
                raise Malformed(f"line {number}: not a stack and a count: {line!r}")
            stacks.counts[tuple(map(_unfolded_frame, folded["stack"].split(";")))] += int(folded["count"])
    return stacks
