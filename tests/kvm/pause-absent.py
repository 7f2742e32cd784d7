#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A device needs a page that cannot be read, and the guest waits for "retry": the
VM answers every verb in the meantime, and the guest continues when the page can be
read again.

Times only limit hangs.

usage: pause-absent.py THAW GUESTS SUFFIX [ROUNDS]
"""
import json
import os
import re
import shutil
import sys
import tempfile
import time

from harness import Failure, Guest, arguments, complete, require_uffd

HOST, CRASHED = 70, 80
PAGES = 8192
FILLED = re.compile(r"entropy: page \d+ filled")


class Machine:
    """A guest whose entropy device needs pages of the initrd, which cannot be
    read while a file is there."""

    def __init__(self, thaw, kernel, work, params, inject):
        self.broken = os.path.join(work, "broken")
        initrd = os.path.join(work, "initrd")
        with open(initrd, "wb") as f:
            f.truncate(PAGES * 4096)
        self.guest = Guest(thaw, work, [
            "run", "--pager=uffd", "-m", "128M", "--page-run=1",
            "--page-deadline=1", "--on-page-error=pause", "-k", kernel, "-i",
            initrd, "-p", params, "--page-inject=" +
            inject.format(self.broken)])

    def ask(self, *words):
        """Sends a verb; (status, reply), which may be a refusal."""
        done = complete([self.guest.thaw, "ctl", self.guest.control, *words],
                        [self.guest.process.pid])
        if done.returncode not in (0, HOST):
            raise Failure("%s: %d %s" % (words, done.returncode,
                                         done.stderr.decode()))
        return done.returncode, json.loads(done.stdout)

    def must(self, status, *words):
        """Sends a verb that must end with this status; the reply."""
        got, answer = self.ask(*words)
        if got != status:
            raise Failure("%s: status %d, not %d: %s; %s" % (
                words, got, status, answer, self.guest.errors()))
        return answer

    def make_broken(self):
        open(self.broken, "w").close()

    def mend(self):
        if os.path.exists(self.broken):
            os.unlink(self.broken)
        self.must(0, "retry")

    def filled(self):
        return len(FILLED.findall(self.guest.output()))

    def wait_for(self, what, condition):
        self.guest.wait_for(what, condition)

    def wait_standing(self):
        self.wait_for("waits for memory",
                      lambda: self.must(0, "status")["waits_for_memory"])

    def wait_progress(self):
        """Sends "retry" until the guest continues."""
        before = self.filled()

        def progress():
            self.must(0, "retry")
            return self.filled() > before
        self.wait_for("goes on", progress)


def request_at_resume(machine, work):
    """The guest makes the request without a kick, so the device handles it at the
    next resume; a snapshot that pauses the guest resumes it as well."""
    path = os.path.join(work, "snapshot")
    machine.make_broken()
    machine.wait_for("a request", lambda: "page 0 offered" in
                     machine.guest.output())
    machine.must(0, "pause")
    machine.must(HOST, "snapshot", path)
    machine.must(0, "resume")
    machine.wait_standing()
    machine.must(HOST, "pause")
    machine.must(HOST, "snapshot", path)
    machine.mend()
    machine.wait_for("the page", lambda: machine.filled() == 1)
    # The next is there now, and so is its end with the snapshot's.
    machine.make_broken()
    machine.wait_for("a request", lambda: "page 1 offered" in
                     machine.guest.output())
    machine.must(HOST, "snapshot", "--pause", path)
    machine.wait_standing()
    machine.must(HOST, "snapshot", path)
    if os.path.exists(path):
        raise Failure("half a snapshot")
    machine.mend()
    machine.wait_for("the page", lambda: machine.filled() == 2)
    machine.must(0, "snapshot", path)
    machine.must(0, "quit")


def requests_all_the_time(machine, work, rounds):
    """The guest makes requests during pauses, saves and resumes, while pages
    fail at any moment."""
    path = os.path.join(work, "snapshot")
    for number in range(rounds):
        # A snapshot that succeeds would leave no page absent: so it is only
        # asked for while it cannot.
        steps = [["pause"], ["resume"], ["pause"], ["snapshot", path],
                 ["resume"], ["pause"], ["snapshot", path]]
        broken_at = number % 4
        for step, words in enumerate(steps):
            if step == broken_at:
                machine.make_broken()
            machine.ask(*words)
        machine.mend()
        machine.must(0, "resume")
        machine.wait_progress()
    if machine.filled() >= PAGES:
        raise Failure("no page was absent at the end")
    machine.must(0, "quit")


def crash_meanwhile(machine):
    """The guest crashes while a device waits for its page: it ends."""
    status = machine.guest.wait_end()
    if status != CRASHED or machine.filled():
        raise Failure("status %d, %d filled: %s" % (
            status, machine.filled(), machine.guest.errors()))


def main():
    thaw, kernel, numbers = arguments(__doc__)
    kernel = os.path.join(os.path.dirname(kernel), "entropy." + sys.argv[3])
    rounds = numbers[0] if numbers else 8
    work = tempfile.mkdtemp(prefix="thaw-pause-absent.")
    cases = (
        ("request_at_resume", "kick=0", "while={}@initrd",
         lambda m: request_at_resume(m, work)),
        ("requests_all_the_time", "kick=1",
         "delay=3@initrd,while={}@initrd",
         lambda m: requests_all_the_time(m, work, rounds)),
        ("crash_meanwhile", "crash=1", "never@initrd", crash_meanwhile))
    try:
        require_uffd(thaw)
        for name, params, inject, case in cases:
            machine = Machine(thaw, kernel, work, params, inject)
            began = time.monotonic()
            try:
                case(machine)
                machine.guest.wait_end()
            finally:
                machine.guest.end()
            print("# %s: right, %.1f s" % (name, time.monotonic() - began),
                  flush=True)
    except Failure as e:
        print("FAILED: %s: %s" % (name, e))
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
