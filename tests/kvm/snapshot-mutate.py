#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Damaged snapshots: bits flipped, files cut, swapped, emptied, numbers made
absurd.  Each is refused with one line and the status of a bad file, or the
guest runs to the same end as from the whole snapshot; nothing crashes or hangs.
And forged ones: a section is changed and its checksum made right.  The guest
may then come to any end or to none, but thaw itself does not crash.

usage: snapshot-mutate.py THAW GUESTS SUFFIX [ROUNDS [SEED]]
"""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

from harness import (Failure, Guest, arguments, complete, fix_section, run,
                     sections)

HOST, CRASHED, SOURCE, RESET = 70, 80, 81, 82
# How long a guest from a forged snapshot may run on.
FORGED_S = 3
STEPS = 3000


def flip(chance, data):
    """One to eight bits."""
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def cut(chance, data):
    del data[chance.randrange(len(data)):]


def absurd(chance, data):
    """A large number at an offset that may hold one."""
    at = chance.randrange(max(1, len(data) - 8)) & ~3
    value = chance.choice([b"\xff" * 8, b"\x00" * 8, b"\xff" * 4,
                           (1 << 40).to_bytes(8, "little"),
                           (1 << 63).to_bytes(8, "little")])
    data[at:at + len(value)] = value


def grow(chance, data):
    data += bytes(chance.randrange(256) for _ in range(chance.randint(1, 64)))


def swap(chance, data):
    """Swaps two parts of the data."""
    n = chance.randint(1, max(1, len(data) // 4))
    a = chance.randrange(max(1, len(data) - 2 * n))
    b = chance.randrange(a + n, max(a + n + 1, len(data) - n + 1))
    data[a:a + n], data[b:b + n] = data[b:b + n], data[a:a + n]


MUTATIONS = (flip, flip, cut, absurd, absurd, grow, swap)


def forge(chance, path):
    """Changes a section and recomputes its checksum; a description."""
    file = os.path.join(path, "state")
    with open(file, "rb") as f:
        data = bytearray(f.read())
    tag = chance.choice(sorted(sections(data)))
    at, size = sections(data)[tag]
    body = data[at + 32:at + 32 + size]
    change = chance.choice((flip, flip, absurd, absurd, swap))
    change(chance, body)
    # A number beyond the end makes it longer.
    data[at + 32:at + 32 + size] = body[:size]
    fix_section(data, at)
    with open(file, "wb") as f:
        f.write(data)
    return "forged: %s in section %s" % (change.__name__, tag)


def mutate(chance, whole, path):
    """Makes a damaged copy; a description of the damage."""
    shutil.rmtree(path, ignore_errors=True)
    # Holes stay holes.
    subprocess.run(["cp", "-r", "--sparse=always", whole, path], check=True)
    names = sorted(os.listdir(path))
    kind = chance.randrange(15)
    if kind > 11:
        return forge(chance, path)
    if kind == 0:
        gone = chance.choice(names)
        os.unlink(os.path.join(path, gone))
        return "without " + gone
    if kind == 1:
        a, b = chance.sample(names, 2)
        os.rename(os.path.join(path, a), os.path.join(path, "x"))
        os.rename(os.path.join(path, b), os.path.join(path, a))
        os.rename(os.path.join(path, "x"), os.path.join(path, b))
        return "%s and %s swapped" % (a, b)
    name = chance.choice(["state", "state", "state", "pages", "memory"])
    change = chance.choice(MUTATIONS)
    file = os.path.join(path, name)
    with open(file, "rb") as f:
        data = bytearray(f.read())
    change(chance, data)
    with open(file, "wb") as f:
        f.write(data)
    return "%s in %s" % (change.__name__, name)


def last_line(output):
    """The end of the chain, which does not depend on how long it took."""
    ends = re.findall(r"^PASS: cpu 0: \d+ steps, .*(hash [0-9a-f]{16})", output,
                      re.MULTILINE)
    return ends[-1] if ends else ""


def command(thaw, path, pager):
    """Such a restore; under map nothing but --verify finds a corrupt page."""
    return [thaw, "restore", "--pager=" + pager,
            *(["--verify"] if pager == "map" else []), path]


def restore(thaw, path, pager):
    return complete(command(thaw, path, pager))


def check_sane(errors, what):
    """No sanitizer has found anything."""
    if "Sanitizer" in errors or "runtime error" in errors:
        raise Failure("%s: %s" % (what, errors))


def judge_forged(thaw, path, pager, what):
    """Restores and judges a forged snapshot."""
    try:
        done = subprocess.run(
            command(thaw, path, pager),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=FORGED_S)
    except subprocess.TimeoutExpired as late:
        check_sane((late.stderr or b"").decode(errors="replace"), what)
        return "forged"
    errors = done.stderr.decode(errors="replace")
    check_sane(errors, what)
    if done.returncode not in (0, HOST, CRASHED, SOURCE, RESET):
        raise Failure("%s: status %d: %s" % (what, done.returncode, errors))
    lines = [l for l in errors.splitlines() if l.startswith("thaw: ")]
    if done.returncode == HOST and len(lines) != 1:
        raise Failure("%s: %d lines: %s" % (what, len(lines), errors))
    return "forged"


def check_inspect(thaw, path, what):
    """It is inspected, or refused with one line."""
    code, out, errors = run(thaw, "inspect", "--verify", path)
    check_sane(errors, what)
    if not (code == 0 and out and not errors) and \
            not (code == HOST and not out and len(errors.splitlines()) == 1):
        raise Failure("%s: inspect: %d, %s%s" % (what, code, out, errors))


def judge(done, want, what):
    """Judges the restore of a damaged snapshot."""
    errors = done.stderr.decode(errors="replace")
    check_sane(errors, what)
    if done.returncode == 0:
        if last_line(done.stdout.decode(errors="replace")) != want:
            raise Failure("%s: another end: %s" % (what, done.stdout))
        return "same"
    if done.returncode not in (HOST, SOURCE):
        raise Failure("%s: status %d: %s" % (what, done.returncode, errors))
    lines = [l for l in errors.splitlines() if l.startswith("thaw: ")]
    if len(lines) != 1:
        raise Failure("%s: %d lines: %s" % (what, len(lines), errors))
    return "refused"


def save_first(thaw, work, kernel, path):
    """Makes the undamaged snapshot, of a guest that will end.  If it ends before
    the save, the next guest takes more steps."""
    for steps in (STEPS, 4 * STEPS, 16 * STEPS):
        guest = None
        try:
            guest = Guest(thaw, work, [
                "run", "-k", kernel, "-m", "32",
                "-p", "steps=%d pages=16 period=100 timer=0" % steps])
            guest.save(path)
            return
        except Failure as late:
            if steps == 16 * STEPS or "SUMMARY" not in str(late):
                raise late
        finally:
            if guest:
                guest.end()


def main():
    thaw, kernel, numbers = arguments(__doc__)
    rounds = numbers[0] if numbers else 100
    seed = numbers[1] if len(numbers) > 1 else random.randrange(1 << 32)
    print("# seed", seed, "rounds", rounds)
    chance = random.Random(seed)
    work = tempfile.mkdtemp(prefix="thaw-mutate.")
    whole, bad = os.path.join(work, "whole"), os.path.join(work, "bad")
    counts = {"same": 0, "refused": 0, "forged": 0}
    try:
        save_first(thaw, work, kernel, whole)
        want = last_line(restore(thaw, whole, "eager").stdout.decode())
        if not want:
            raise Failure("the whole snapshot does not come to its end")
        for number in range(rounds):
            what = mutate(chance, whole, bad)
            pager = chance.choice(["eager", "uffd", "map"])
            name = "round %d, %s, %s" % (number, what, pager)
            check_inspect(thaw, bad, name)
            if what.startswith("forged"):
                counts[judge_forged(thaw, bad, pager, name)] += 1
                continue
            done = restore(thaw, bad, pager)
            counts[judge(done, want, name)] += 1
        print("# %(refused)d refused, %(same)d to the same end, %(forged)d "
              "forged" % counts)
        if not counts["refused"]:
            raise Failure("nothing was refused")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
