#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Guest time continues where it stopped, after a pause, a snapshot and a
restore, and jumps only with --clock=follow.

The guest says what time it is and checks that no clock goes back and no timer
fires early.  What it has counted from its first line on can never be more than
the host's time since before it was started, less the time that it was stopped:
this holds however slow the machine is.  For --clock=follow it is the other way
round: across a stop the clocks count at least its length.

usage: snapshot-clock.py THAW GUESTS SUFFIX [SECONDS [PAUSES]]
"""
import collections
import os
import re
import shutil
import sys
import tempfile
import time

from harness import Failure, Guest, Patience, arguments, expect

LINE = re.compile(r"^clock: cpu=(\d+) counter_us=(\d+) kvm_us=(\d+) ticks=\d+$",
                  re.M)
CLOCKS = ("counter", "kvmclock")
SHORT_STOPS, SHORT_STOP = 10, 0.3


class Clocks:
    """The clocks of a guest, which may be more than one thaw."""

    def __init__(self, cpus):
        self.cpus = cpus
        self.started = time.monotonic()
        self.stopped = 0.0
        self.first = None
        self.watched = {}

    def read(self, guest):
        """Waits for new lines of each processor; the latest of each clock, in
        seconds."""
        begin = len(guest.output())
        patience = Patience(guest.process.pid)
        while True:
            text = guest.output()
            if "FAIL" in text:
                raise Failure("the guest says: " + text[-400:])
            fresh = LINE.findall(text[begin:].replace("\r", ""))
            counts = collections.Counter(cpu for cpu, _, _ in fresh)
            # The first may have been said before the guest was stopped.
            if len(counts) == self.cpus and min(counts.values()) >= 3:
                break
            if guest.process.poll() is not None:
                raise Failure("the guest ended: %s %s" % (
                    text[-200:], guest.errors()))
            patience.spend("lines of each vCPU")
            time.sleep(0.01)
        return [max(int(line[i]) for line in fresh) / 1e6 for i in (1, 2)]

    def look(self, guest, what):
        """No clock has counted more than the guest may have run."""
        now = self.read(guest)
        limit = time.monotonic() - self.started - self.stopped
        if self.first is None:
            self.first = now
            # A software KVM may give guests the host's TSC, offset or not.
            self.watched = {i: name for i, name in enumerate(CLOCKS)
                            if 0 < now[i] <= limit}
            print("#", self.cpus, "vCPUs, clocks that start with the guest:",
                  ", ".join(self.watched.values()) or "none")
            return now
        for i, name in self.watched.items():
            counted = now[i] - self.first[i]
            print("# %s: %s has counted %.3f s of at most %.3f" % (
                what, name, counted, limit))
            if counted > limit:
                raise Failure("%s: %s has jumped by %.3f s" % (
                    what, name, counted - limit))
        return now

    def stop(self, seconds):
        """Lets wall time pass while the guest is stopped."""
        began = time.monotonic()
        time.sleep(seconds)
        self.stopped += time.monotonic() - began


def ask(guest, verb):
    code, out, errors = guest.ask(verb)
    expect(verb, (code, out, errors), (0, '{"ok":true}\n', ""))


def check_continue(thaw, work, kernel, cpus, seconds, pauses):
    """Pauses, a snapshot without --stop, and restores."""
    path = os.path.join(work, "snap")
    clocks = Clocks(cpus)
    guest = Guest(thaw, work, ["run", "-k", kernel, "-c", str(cpus), "-m",
                               "64"])
    clocks.look(guest, "start")
    for number in range(pauses):
        ask(guest, "pause")
        clocks.stop(seconds)
        ask(guest, "resume")
        clocks.look(guest, "pause %d" % number)
    # Short stops, with hardly any time for the guest in between, add up.
    for number in range(SHORT_STOPS):
        ask(guest, "pause")
        clocks.stop(SHORT_STOP)
        ask(guest, "resume")
    clocks.look(guest, "%d short pauses" % SHORT_STOPS)
    # A snapshot of a paused guest is of when it was paused.
    ask(guest, "pause")
    clocks.stop(seconds)
    guest.save(path)
    for pager in ("eager", "map"):
        guest.end()
        clocks.stop(seconds)
        guest = Guest(thaw, work, ["restore", "--pager=" + pager, path])
        clocks.look(guest, "restore " + pager)
        guest.save(path)
    guest.end()


def check_follow(thaw, work, kernel, seconds):
    """With --clock=follow they jump, with a warning."""
    path = os.path.join(work, "follows")
    warning = "--clock=follow: guest clocks jump"
    clocks = Clocks(1)
    guest = Guest(thaw, work, ["run", "--clock=follow", "-k", kernel, "-m",
                               "64"])
    if warning not in guest.errors():
        raise Failure("run: no warning: " + guest.errors())
    before = clocks.look(guest, "start, follow")
    ask(guest, "pause")
    time.sleep(seconds)
    ask(guest, "resume")
    after = clocks.read(guest)
    for i, name in clocks.watched.items():
        if after[i] - before[i] < seconds:
            raise Failure("pause, follow: %s counted %.3f s" % (
                name, after[i] - before[i]))
    before = after
    guest.save(path)
    guest.end()
    time.sleep(seconds)
    guest = Guest(thaw, work, ["restore", "--clock=follow", path])
    if guest.errors().count(warning) != 1:
        raise Failure("restore: no warning: " + guest.errors())
    after = clocks.read(guest)
    for i, name in clocks.watched.items():
        if after[i] - before[i] < seconds:
            raise Failure("restore, follow: %s counted %.3f s" % (
                name, after[i] - before[i]))
    guest.quit()


def main():
    thaw, kernel, numbers = arguments(__doc__)
    kernel = kernel.replace("chain.", "clock.")
    seconds = numbers[0] if numbers else 2
    pauses = numbers[1] if len(numbers) > 1 else 3
    work = tempfile.mkdtemp(prefix="thaw-clock.")
    try:
        for cpus in (1, 2):
            check_continue(thaw, work, kernel, cpus, seconds, pauses)
        check_follow(thaw, work, kernel, seconds)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
