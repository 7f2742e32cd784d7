#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of this folder wait by: patience runs out for a process that
sleeps for ever and for one that spins, and not for one that is given no
processor; and a log that is read while a child writes to it is left alone.

usage: lib-patience.py
"""
import os
import subprocess
import sys
import tempfile
import time

from snapshot_lib import Failure, Patience, contents, die_with_parent

LINES = 5000
SPIN = "print(flush=True)\nwhile True: pass"
SLEEP = "print(flush=True)\nimport time\ntime.sleep(10000)"
WRITE = ("import os\n"
         "for i in range(%d): os.write(1, b'line %%06d\\n' %% i)" % LINES)


def child(code, prepare=None):
    """A child that has begun to do what @code says."""
    def before():
        die_with_parent()
        if prepare:
            prepare()

    process = subprocess.Popen([sys.executable, "-c", code],
                               stdout=subprocess.PIPE, preexec_fn=before)
    process.stdout.readline()
    return process


def end(*processes):
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def check_runs_out(code):
    """A process that hangs is not waited for."""
    hangs = child(code)
    patience = Patience(hangs.pid, limit=0.5)
    try:
        while True:
            patience.spend("hangs")
            time.sleep(0.01)
    except Failure:
        pass
    finally:
        end(hangs)


def only_last():
    """Runs where it leaves the others of this test the processor."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.nice(19)


def only_first():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def check_starved():
    """One that hardly gets a processor is waited for."""
    others = [child(SPIN, only_first) for _ in range(2)]
    starved = child(SPIN, only_last)
    patience = Patience(starved.pid)
    begin = time.monotonic()
    while time.monotonic() - begin < 2:
        patience.spend("starved")
        time.sleep(0.01)
    end(starved, *others)
    if patience.spent > 1:
        raise Failure("starved: %.3f of 2 s are spent" % patience.spent)


def check_log():
    """All that a child writes is there, however often it was read."""
    with tempfile.TemporaryFile("w+b") as log:
        writer = subprocess.Popen([sys.executable, "-c", WRITE], stdout=log,
                                  preexec_fn=die_with_parent)
        reads = 0
        while writer.poll() is None:
            contents(log)
            reads += 1
        if contents(log) != b"".join(b"line %06d\n" % i
                                     for i in range(LINES)):
            raise Failure("a log changed as it was read %d times" % reads)


def main():
    for code in (SLEEP, SPIN):
        check_runs_out(code)
    check_starved()
    check_log()
    return 0


if __name__ == "__main__":
    sys.exit(main())
