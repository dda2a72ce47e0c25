# SPDX-License-Identifier: MIT
"""What the fault tests of the programs share, on top of what the end-to-end tests do."""
import os
import select
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

import lib  # noqa: E402  (it lies there)

HERE = os.path.dirname(os.path.abspath(__file__))
# The kind of ring the programs are to use; these tests do not leave it to them.
RING = "epoll" if lib.RING == "epoll" else "uring"
KIB = 1024


def ring_options():
    return ["--ring", "uring"] if lib.RING == "auto" else lib.ring_options()


class Mock(lib.Mock):
    """A mock on the ring that is wanted, which must end as it began."""

    def __init__(self, *options, **how):
        super().__init__(*ring_options(), *options, **how)
        self.metrics()  # what is used for the first time here is nobody's leak
        self.before = (self.descriptors(), self.names())

    def names(self):
        """The names of all its threads, those of the kernel's that work for it too."""
        names = []
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/comm", encoding="utf-8") as comm:
                    names.append(comm.read().strip())
            except FileNotFoundError:
                continue
        return sorted(names)

    def settled(self):
        """Nothing is open but the connection that asks, and nothing is in progress."""
        stats = self.stats()
        return (stats["connections"]["active"] == 1 and stats["queue"]["depth"] == 0 and
                stats["concurrency"]["active"] == 0 and self.metrics()["mock_inflight_requests"] == 0)

    def as_before(self):
        """Wait until it holds what it held at first, then end it. No thread of the kernel's is there."""
        lib.wait_until(self.settled, "everything has ended")
        lib.wait_until(lambda: self.descriptors() <= self.before[0], "its descriptors are closed")
        lib.equal((self.descriptors(), self.names()), self.before, "descriptors and threads")
        lib.check(not any(name.startswith("iou-wrk") for name in self.names()), f"threads: {self.names()}")
        self.stop()

    def rests(self, seconds):
        """It has nothing to do: the share of the CPU it takes meanwhile."""
        began, cpu_s = time.monotonic(), self.cpu_s()
        select.select([], [], [], seconds)  # the time that is measured
        share = (self.cpu_s() - cpu_s) / (time.monotonic() - began)
        lib.at_most(share, 0.25 * lib.FACTOR, "share of a CPU without anything to do")
        return share
