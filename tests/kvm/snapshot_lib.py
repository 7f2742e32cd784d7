# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of snapshots share: a thaw in the background with a control
socket, and the payload that keeps a chain."""
import os
import re
import subprocess
import sys
import time

SKIP = 77
LINE = re.compile(r"chain: cpu=(\d+) step=(\d+) hash=([0-9a-f]{16})")


class Failure(Exception):
    """What the test found."""


class Guest:
    """A thaw in the background, with a control socket."""

    def __init__(self, thaw, work, arguments):
        self.thaw, self.control = thaw, os.path.join(work, "control")
        self.out = open(os.path.join(work, "out"), "w+b")
        self.err = open(os.path.join(work, "err"), "w+b")
        self.process = subprocess.Popen(
            [thaw, *arguments, "--control", self.control],
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err)
        deadline = time.monotonic() + 60
        while not os.path.exists(self.control):
            if self.process.poll() is not None or time.monotonic() > deadline:
                why = self.errors()
                self.end()
                raise Failure("not started: " + why)
            time.sleep(0.001)

    def ask(self, *words):
        """Asks over the control socket; (status, answer, errors)."""
        done = subprocess.run([self.thaw, "ctl", self.control, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=120)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def save(self, path):
        """Saves and ends it; its output."""
        done = subprocess.run(
            [self.thaw, "snapshot", "--stop", self.control, path],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        status = self.process.wait(timeout=60)
        if done.returncode or status:
            raise Failure("save: %d %s; guest: %d %s" % (
                done.returncode, done.stderr.decode(), status,
                self.errors() + self.output()[-600:]))
        return self.output()

    def output(self):
        self.out.seek(0)
        return self.out.read().decode(errors="replace")

    def errors(self):
        self.err.seek(0)
        return self.err.read().decode(errors="replace")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.close()
        self.err.close()


def arguments(usage):
    """THAW, the chain payload, and the rest of the command line as numbers;
    leaves with the skip code where there is no KVM."""
    if len(sys.argv) < 4:
        sys.exit(usage)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: no /dev/kvm, or no permission for it")
        sys.exit(SKIP)
    thaw, guests, suffix = sys.argv[1:4]
    return (thaw, os.path.join(guests, "chain." + suffix),
            [int(n) for n in sys.argv[4:]])
