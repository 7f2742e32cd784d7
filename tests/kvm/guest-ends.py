#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How a guest ends decides how thaw ends: a crash prints the registers, a reset
ends with status 82 or restarts the guest, which still ends when it is asked to.

usage: guest-ends.py THAW GUESTS SUFFIX
"""
import signal
import time

from harness import Guest, require, test_main

RESETS = "--on-reboot=restart"
# At this many moments between two resets.
MOMENTS, MOMENT_SECONDS = 16, 0.003


def check_asked(setup, ask, *statuses):
    """A guest that resets all the time ends when it is asked to, at any moment."""
    for n in range(MOMENTS):
        guest = Guest(setup.thaw, setup.work, [
            "run", "-k", setup.payload("reset"), RESETS])
        try:
            guest.wait_for("a reset", lambda: "about to reset" in guest.output())
            time.sleep(n * MOMENT_SECONDS)
            ask(guest)
            status = guest.wait_end()
            require(status in statuses, "asked at moment %d: status %d" % (n, status))
        finally:
            guest.end()


def quit_at_once(guest):
    """Between two boots there is no socket."""
    guest.wait_for("quit", lambda: guest.ask("quit")[0] == 0)


def test(setup):
    for how in "fault", "trap", "jump":
        run = setup.run("-k", setup.payload("crash"), "-p", "how=" + how)
        run.expect_status(80)
        run.expect_out("^about to crash$")
        run.expect_err("(rip|pc) +[0-9a-f]+")
    run = setup.run("-k", setup.payload("reset"))
    run.expect_status(82)
    run.expect_out("^about to reset$")
    guest = Guest(setup.thaw, setup.work, [
        "run", "-k", setup.payload("reset"), RESETS])
    try:
        guest.wait_for("the guest to start again", lambda:
                       guest.output().count("about to reset\r\n") >= 2)
    finally:
        guest.end()
    # The signal itself ends thaw while it loads.
    check_asked(setup, lambda guest: guest.process.terminate(),
                128 + signal.SIGTERM, -signal.SIGTERM)
    check_asked(setup, quit_at_once, 0)


test_main(__doc__, test)
