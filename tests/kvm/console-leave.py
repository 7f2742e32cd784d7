#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Ctrl-A x ends a guest that does not read its input: one that is paused, and
one without a driver for the virtio console's input.

usage: console-leave.py THAW GUESTS SUFFIX
"""
import os
import pty
import subprocess

from harness import (complete, die_with_parent, expect, test_main, wait,
                     wait_until)

LEFT = 83


def leaves(setup, console, pause):
    """One guest on a pty, and the keys."""
    what = "%s, %s" % (console, "paused" if pause else "running")
    control = os.path.join(setup.work, "control")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [setup.thaw, "run", "-m", "64M", "-k", setup.payload("chain"),
         "-p", "steps=0 pages=1 period=100000", "--console=" + console,
         "--control", control],
        stdin=slave, stdout=slave, stderr=slave, preexec_fn=die_with_parent)
    try:
        wait_until("start", lambda: os.path.exists(control), process.pid)
        if pause:
            done = complete([setup.thaw, "ctl", control, "pause"],
                            [process.pid])
            expect("pause", done.returncode, 0)
        os.write(master, b"keys\x01x")
        expect(what, wait(process), LEFT)
        print("#", what)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def test(setup):
    for console in ("serial", "virtio"):
        for pause in (False, True):
            leaves(setup, console, pause)


test_main(__doc__, test)
