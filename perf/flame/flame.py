#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Flame graphs from what perf recorded.

    perf script -F comm,pid,tid,event,ip,sym,dso | flame.py fold [FILE] > FOLDED
    flame.py draw [--title TEXT] [--note TEXT]... [FILE] > SVG

`fold` counts equal stacks; the usual tools for flame graphs read its lines, too. `draw` makes of them one SVG that
needs nothing else; every --note is a line below the title. Without FILE both read standard input. Exit status: 0 done,
1 no samples or malformed input, 2 wrong usage.
"""
import sys

sys.dont_write_bytecode = True  # beside the sources nothing is left behind

import graph  # noqa: E402
import stacks  # noqa: E402


def fail(text, status=1):
    print(f"flame.py: {text}", file=sys.stderr)
    sys.exit(status)


def options(command, arguments):
    """Title, notes and the name of the input, None for standard input."""
    title, notes, source = "Flame graph", [], None
    while arguments:
        argument = arguments.pop(0)
        if command == "draw" and argument in ("--title", "--note"):
            if not arguments:
                fail(f"{argument}: a value is missing", 2)
            value = arguments.pop(0)
            if argument == "--title":
                title = value
            else:
                notes.append(value)
        elif argument.startswith("-"):
            fail(f"'{argument}': no such option of {command} (see --help)", 2)
        elif source is not None:
            fail(f"'{argument}': one FILE only", 2)
        else:
            source = argument
    return title, notes, source


def read(command, source):
    parse = stacks.from_perf_script if command == "fold" else stacks.from_folded
    # Names of threads and symbols are bytes that anybody may have chosen.
    how = {"encoding": "utf-8", "errors": "replace"}
    try:
        if source is None:
            sys.stdin.reconfigure(**how)
            return parse(sys.stdin)
        with open(source, **how) as file:
            return parse(file)
    except OSError as why:
        fail(f"{source or 'standard input'}: {why.strerror}")
    except stacks.Malformed as why:
        fail(str(why))


def thousands(count):
    return f"{count:,} sample{'' if count == 1 else 's'}"


def notes_of(counted):
    """A line on what the samples are, and the warnings that a reader must have seen first."""
    note = ", ".join(f"{thousands(count)} of {event}" for event, count in sorted(counted.events.items()))
    if any(event.split(":")[0] in ("cpu-clock", "task-clock") for event in counted.events):
        note += ": without hardware counters a timer takes them"
        if not counted.kernel_was_left_out():
            note += ", and time with interrupts off shows where they come back on"
    warnings = []
    if counted.kernel_is_nameless():
        warnings.append("Kernel symbols are hidden: its frames have no names (sysctl kernel.kptr_restrict=0 shows "
                        "them, or recording as root).")
    if counted.kernel_was_left_out():
        warnings.append("The kernel was not sampled: only the user side is shown (sysctl kernel.perf_event_paranoid=1 "
                        "allows both).")
    return note or thousands(counted.samples()), warnings


def main(arguments):
    command = arguments.pop(0) if arguments else ""
    if command in ("-h", "--help"):
        print(__doc__.strip())
        return
    if command not in ("fold", "draw"):
        fail(f"'{command}': expected fold or draw (see --help)", 2)
    title, notes, source = options(command, arguments)
    counted = read(command, source)
    if not counted.samples():
        fail("no samples: nothing ran while it was recorded, or perf was not allowed to see it")
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    if command == "fold":
        for line in stacks.to_folded(counted):
            print(line)
        return
    own, warnings = notes_of(counted)
    sys.stdout.write(graph.draw(counted, title, [*notes, own], warnings))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # the interpreter would complain a second time on its way out
        sys.exit(1)
