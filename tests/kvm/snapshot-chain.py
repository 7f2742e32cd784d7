#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A guest that keeps a hash chain is saved and restored at random moments, with
every pager in turn, and never sees a difference: every line that it prints is
the line of a run that was never disturbed.

usage: snapshot-chain.py THAW GUESTS SUFFIX [ROUNDS [SEED]]
"""
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

LINE = re.compile(r"chain: cpu=(\d+) step=(\d+) hash=([0-9a-f]{16})")
SKIP = 77
PERIOD = 200


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
                self.end()
                raise SystemExit("not started: " + self.errors())
            time.sleep(0.001)

    def save(self, path):
        """Saves and ends it; its output."""
        done = subprocess.run(
            [self.thaw, "snapshot", "--stop", self.control, path],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        status = self.process.wait(timeout=60)
        if done.returncode or status:
            raise SystemExit("save: %d %s; guest: %d %s" % (
                done.returncode, done.stderr.decode(), status, self.errors()))
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


def reference(thaw, kernel, cpus, steps):
    """The lines of an undisturbed run: {(cpu, step): hash}."""
    run = subprocess.run(
        [thaw, "run", "-k", kernel, "-c", str(cpus), "-m", "64",
         "-p", "steps=%d period=%d timer=0" % (steps, PERIOD)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=600,
        check=True)
    return {(int(c), int(s)): h
            for c, s, h in LINE.findall(run.stdout.decode())}


def ways(thaw, work, kernel):
    """The pagers and backings that this host has, as options."""
    found = []
    for memory in ("anon", "guest_memfd"):
        for pager in ("userfault", "uffd", "map", "eager"):
            found.append(["--pager=" + pager, "--memory=" + memory])
    probe = os.path.join(work, "probe")
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64",
                               "-p", "steps=0"])
    guest.save(probe)
    guest.end()
    have = []
    for way in found:
        # Ends at once, for the snapshot asks for more than a second to pass.
        try:
            guest = Guest(thaw, work, ["restore", *way, probe])
        except SystemExit as refusal:
            print("#", *way, str(refusal).split("\n", 1)[0])
            continue
        guest.save(os.path.join(work, "again"))
        guest.end()
        have.append(way)
    return have


def check(text, known, last):
    """All lines are those of the reference, and go on from the last ones."""
    seen = 0
    if re.search("FAIL|SUMMARY", text):
        raise SystemExit("the guest says: " + text)
    for cpu, step, value in LINE.findall(text):
        key = int(cpu), int(step)
        if key in known and known[key] != value:
            raise SystemExit("step %d of cpu %d is %s, not %s" % (
                key[1], key[0], value, known[key]))
        before = last.get(key[0], 0)
        if before and key[1] != before + PERIOD:
            raise SystemExit("cpu %d: step %d after %d" % (
                key[0], key[1], before))
        last[key[0]] = key[1]
        seen += key in known
    return seen


def main():
    thaw, guests, suffix = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 40
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1 << 32)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("no /dev/kvm")
        return SKIP
    print("# seed", seed, "rounds", rounds)
    chance = random.Random(seed)
    kernel = os.path.join(guests, "chain." + suffix)
    work = tempfile.mkdtemp(prefix="thaw-chain.")
    try:
        have = ways(thaw, work, kernel)
        if len(have) < 2:
            raise SystemExit("fewer than two ways to restore here")
        for cpus in (1, 2):
            known = reference(thaw, kernel, cpus, 2000 * rounds)
            last, seen = {}, 0
            guest = Guest(thaw, work, [
                "run", "-k", kernel, "-c", str(cpus), "-m", "64", "-p",
                "steps=0 period=%d" % PERIOD])
            turns = itertools.cycle(have)
            for number in range(rounds):
                time.sleep(chance.random() * 0.03)
                path = os.path.join(work, "s%d" % (number % 2))
                seen += check(guest.save(path), known, last)
                guest.end()
                way = next(turns)
                guest = Guest(thaw, work, ["restore", *way, path])
            time.sleep(0.2)
            seen += check(guest.save(os.path.join(work, "end")), known, last)
            guest.end()
            if seen < rounds:
                raise SystemExit("only %d lines were compared" % seen)
            print("# %d vCPUs: %d restores, %d lines as in an undisturbed "
                  "run, up to step %d" % (cpus, rounds, seen,
                                          max(last.values())))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
