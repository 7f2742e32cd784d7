#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Where both streams go to one place, all that the guest printed comes before
the statistics, also when its reader was slow.

usage: console-order.py THAW GUESTS SUFFIX
"""
import fcntl
import os
import subprocess
import sys
import time

from harness import (LINE, Failure, arguments, die_with_parent, expect,
                     threads, wait, wait_until)

PIPE_BYTES = 4096  # less than the guest prints
STEPS = 200


def wait_for_end_of_guest(process):
    """Waits until the vCPU thread has started and ended."""
    def has_vcpu():
        if process.poll() is not None:
            raise Failure("thaw ended before its output was read")
        return any(name == "vcpu0" for name, _ in threads(process.pid).values())

    wait_until("a vCPU thread", has_vcpu, process.pid)
    wait_until("the end of the guest", lambda: not has_vcpu(), process.pid)


def prints_first(thaw, chain):
    """Reads nothing until the guest has ended, and then all of it."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    process = subprocess.Popen(
        [thaw, "run", "-m", "64M", "--stats", "-k", chain,
         "-p", "steps=%d period=1 pages=1 timer=0" % STEPS],
        stdin=subprocess.DEVNULL, stdout=writer, stderr=writer,
        preexec_fn=die_with_parent)
    os.close(writer)
    try:
        wait_for_end_of_guest(process)
        time.sleep(0.3)  # for what must not be written yet
        with open(reader, "rb") as out:
            lines = out.read().decode(errors="replace").splitlines()
        expect("status", wait(process), 0)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return lines


def main():
    thaw, chain, _ = arguments(__doc__)
    try:
        lines = prints_first(thaw, chain)
        steps = [int(LINE.fullmatch(line).group(2)) for line in lines
                 if LINE.fullmatch(line)]
        expect("steps", steps, list(range(1, STEPS + 1)))
        own = [i for i, line in enumerate(lines) if "pager: eager" in line]
        last = max(i for i, line in enumerate(lines) if "chain:" in line)
        if len(own) != 1 or own[0] < last:
            raise Failure("the statistics are in line %r, the guest's last "
                          "is %d: %r" % (own, last, lines[-8:]))
    except Failure as why:
        print("FAILED: %s" % why)
        return 1
    return 0


sys.exit(main())
