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
import sys
import tempfile
import time

from harness import LINE, Failure, Guest, arguments, undisturbed

PERIOD = 200


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
        try:
            guest = Guest(thaw, work, ["restore", *way, probe])
        except Failure as refusal:
            print("#", *way, str(refusal).split("\n", 1)[0])
            continue
        guest.save(os.path.join(work, "again"))
        guest.end()
        have.append(way)
    return have


def check(text, known, last):
    """All lines are those of the reference, and go on from the last ones.  A
    line that a snapshot has cut goes on in the next guest's output."""
    seen = 0
    text = last.pop("cut", "") + text
    text, _, last["cut"] = text.rpartition("\n")
    if re.search("FAIL|SUMMARY", text):
        raise Failure("the guest says: " + text)
    for cpu, step, value in LINE.findall(text):
        key = int(cpu), int(step)
        if key in known and known[key] != value:
            raise Failure("step %d of cpu %d is %s, not %s" % (
                key[1], key[0], value, known[key]))
        before = last.get(key[0], 0)
        if before and key[1] != before + PERIOD:
            raise Failure("cpu %d: step %d after %d" % (
                key[0], key[1], before))
        last[key[0]] = key[1]
        seen += key in known
    return seen


def main():
    thaw, kernel, numbers = arguments(__doc__)
    rounds = numbers[0] if numbers else 40
    seed = numbers[1] if len(numbers) > 1 else random.randrange(1 << 32)
    print("# seed", seed, "rounds", rounds)
    chance = random.Random(seed)
    work = tempfile.mkdtemp(prefix="thaw-chain.")
    try:
        have = ways(thaw, work, kernel)
        if len(have) < 2:
            raise Failure("fewer than two ways to restore here")
        for cpus in (1, 2):
            known = undisturbed(thaw, kernel, cpus, "steps=%d period=%d timer=0" % (
                2000 * rounds, PERIOD))
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
                raise Failure("only %d lines were compared" % seen)
            print("# %d vCPUs: %d restores, %d lines as in an undisturbed "
                  "run, up to step %d" % (cpus, rounds, seen,
                                          max(s for c, s in last.items() if c != "cut")))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
