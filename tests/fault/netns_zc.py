#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Large borrowed bodies over a pair of virtual network devices between two network namespaces.

There the kernel behaves as on a real card as far as it can: segments, acknowledgements, a link that goes down. Needs
the right to make namespaces. Everything made is removed at the end, however the test ends.
"""
import atexit
import os
import subprocess

import faultlib
import lib
from lib import check, equal, test

BODY = os.path.join(lib.BUILD, "examples", "body")
BYTES = 1024 * faultlib.KIB
EXPECTED = (b"abcdefghijklmnopqrstuvwxyz" * (BYTES // 26 + 1))[:BYTES]
SERVER, CLIENT = (f"weir-{os.getpid()}-{side}" for side in ("server", "client"))
ADDRESS = "192.0.2.1"  # RFC 5737; seen by nobody but the two


def ip(*words, may_fail=False):
    done = subprocess.run([lib.need("ip"), *words], capture_output=True, text=True, check=False)
    check(may_fail or done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}")
    return done


def unmake():
    lib.end_programs()
    for name in (SERVER, CLIENT):
        ip("netns", "del", name, may_fail=True)  # takes its devices away, too


_made = []


def networks():
    """Two namespaces with a device in each, joined to the other: made once, at the first test that needs them."""
    if _made:
        return
    done = ip("netns", "add", SERVER, may_fail=True)
    if done.returncode != 0:
        lib.skip(f"no network namespaces here: {done.stderr.strip()}")
    atexit.register(unmake)
    ip("netns", "add", CLIENT)
    done = ip("link", "add", "weir0", "netns", SERVER, "type", "veth", "peer", "name", "weir0", "netns", CLIENT,
              may_fail=True)
    if done.returncode != 0:
        lib.skip(f"no virtual network devices here: {done.stderr.strip()}")
    for name, address in ((SERVER, ADDRESS), (CLIENT, "192.0.2.2")):
        ip("-netns", name, "address", "add", f"{address}/30", "dev", "weir0")
    link("up")
    _made.append(True)


def link(state):
    for name in (SERVER, CLIENT):
        ip("-netns", name, "link", "set", "weir0", state)


def inside(name, *words):
    return [lib.need("ip"), "netns", "exec", name, *words]


def serve(*options):
    networks()
    return lib.Server(inside(SERVER, BODY, "--listen", f"{ADDRESS}:0", "--bytes", str(BYTES), "--stats",
                             *faultlib.ring_options(), *options))


def fetch(server, count, *options):
    """`count` bodies over one connection of curl's; all of them must be right."""
    directory = lib.temp_dir()
    done = lib.run(inside(CLIENT, lib.need("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*",
                          "--max-time", str(lib.DEADLINE_S), *options, "--output", os.path.join(directory, "#1"),
                          server.url(f"/[1-{count}]")))
    equal(done.process.returncode, 0, f"curl: {done.stderr}")
    for number in range(1, count + 1):
        with open(os.path.join(directory, str(number)), "rb") as file:
            check(file.read() == EXPECTED, f"body {number} is not what was sent")


def stop(server):
    """@return the zero-copy sends, and how many of them the kernel copied"""
    server.signal(lib.signal.SIGTERM)
    equal(server.wait(), 0, f"exit status: {server.stderr}")
    words = server.stderr.split()
    equal(words[::2], ["zc_sends", "zc_copied"], "standard error")
    sends, copied = int(words[1]), int(words[3])
    print(f"{faultlib.RING}: {sends} zero-copy sends, {copied} of them copied by the kernel", flush=True)
    check(copied <= sends, "more copied than sent")
    equal(sends > 0, faultlib.RING != "epoll", "were zero-copy sends tried?")
    return sends, copied


@test
def bodies():
    server = serve()
    fetch(server, 40)
    fetch(server, 1, "--limit-rate", "4M")  # the sender waits for the reader
    stop(server)


@test
def registered():
    if faultlib.RING == "epoll":
        networks()
        refused = lib.run([BODY, "--listen", "127.0.0.1:0", "--register", *faultlib.ring_options()])
        equal(refused.process.returncode, 1, "exit status of --register without zero copy")
        check("cannot send without copying" in refused.stderr, refused.stderr)
        return
    server = serve("--register")
    fetch(server, 40)
    stop(server)


@test
def link_down():
    """What was sent is never acknowledged: the server ends all the same."""
    server = serve("--bytes", "64MiB")  # more than all socket buffers hold
    reader = lib.Program(inside(CLIENT, lib.need("curl"), "--silent", "--noproxy", "*", "--limit-rate", "100K",
                                "--output", "/dev/null", "--write-out", "%{size_download}", server.url("/")))
    lib.wait_until(lambda: unacknowledged() > 0, "bytes are under way")
    link("down")
    try:
        stop(server)
    finally:
        link("up")
    reader.process.kill()


def unacknowledged():
    """Connections of the server with bytes that were not acknowledged."""
    shown = subprocess.run(inside(SERVER, "cat", "/proc/net/tcp"), capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in shown.splitlines()[1:]]
    return sum(row[3] == "01" and int(row[4].split(":")[0], 16) > 0 for row in rows)


if __name__ == "__main__":
    lib.main()
