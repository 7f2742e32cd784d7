#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""thaw is killed at random moments of a save: the snapshot that was there
before is whole each time, or the new one is; and the next save leaves nothing
of the dead one behind.

usage: snapshot-kill.py THAW GUESTS SUFFIX [ROUNDS [SEED]]
"""
import os
import random
import shutil
import socket
import sys
import tempfile
import time

from harness import Failure, Guest, arguments, complete


def ask_and_kill(guest, path, delay):
    """Asks for a snapshot, and kills thaw after some time; whether it was
    answered before."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(guest.control)
        s.sendall(b"snapshot " + path.encode() + b"\n")
        s.settimeout(delay)
        try:
            answered = bool(s.recv(4096))
        except socket.timeout:
            answered = False
        guest.process.kill()
        guest.process.wait()
    return answered


def main():
    thaw, kernel, numbers = arguments(__doc__)
    rounds = numbers[0] if numbers else 30
    seed = numbers[1] if len(numbers) > 1 else random.randrange(1 << 32)
    print("# seed", seed, "rounds", rounds)
    chance = random.Random(seed)
    work = tempfile.mkdtemp(prefix="thaw-kill.")
    folder = os.path.join(work, "snapshots")
    os.mkdir(folder)
    path = os.path.join(folder, "s")
    whole = cut_short = 0
    span = 0.08  # finds out how long a save takes here
    try:
        for number in range(rounds):
            existed = os.path.exists(path)
            guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-p",
                                       "steps=0 pages=%d" %
                                       chance.choice([64, 1024])])
            time.sleep(0.02)
            answered = ask_and_kill(guest, path, chance.random() * span)
            span = min(0.08, max(0.001, span * (0.7 if answered else 1.2)))
            guest.end()
            os.unlink(guest.control)
            cut_short += not answered
            if not os.path.exists(path):
                if existed or answered:
                    raise Failure("round %d: the snapshot is gone" % number)
                continue
            done = complete([thaw, "inspect", "--verify", path])
            if done.returncode:
                raise Failure("round %d: not whole: %s" % (
                    number, done.stderr.decode()))
            whole += 1
        guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-p",
                                   "steps=0"])
        guest.save(path)
        guest.end()
        left = sorted(os.listdir(folder))
        if left != ["s"]:
            raise Failure("left behind: %s" % left)
        print("# %d saves cut short, %d times a whole snapshot" % (
            cut_short, whole))
        if not cut_short:
            raise Failure("no save was cut short")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
