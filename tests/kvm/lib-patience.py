#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The harness: Patience runs out for a process that sleeps for ever and for one
that spins, but not for one that gets no processor; contents() reads a log without
disturbing the child that writes it.

usage: lib-patience.py
"""
import os
import subprocess
import sys
import tempfile
import time

from harness import Failure, Patience, contents, die_with_parent

LINES = 5000
SPIN = "print(flush=True)\nwhile True: pass"
SLEEP = "print(flush=True)\nimport time\ntime.sleep(10000)"
WRITE = ("import os\n"
         "for i in range(%d): os.write(1, b'line %%06d\\n' %% i)" % LINES)


def child(code, prepare=None):
    """A child that has started to run @code."""
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
    """Patience runs out for a process that hangs."""
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
    """Runs on the processor of the other children, at the lowest priority."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.nice(19)


def only_first():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def check_starved():
    """Patience does not run out for a process that hardly gets a processor."""
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
    """A log holds all that a child wrote, however often it was read."""
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
