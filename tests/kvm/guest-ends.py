#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How a guest ends decides how thaw ends: a crash prints the registers, a reset
ends with status 82 or restarts the guest.

usage: guest-ends.py THAW GUESTS SUFFIX
"""
from harness import Guest, test_main


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
        "run", "-k", setup.payload("reset"), "--on-reboot=restart"])
    try:
        guest.wait_for("the guest to start again", lambda:
                       guest.output().count("about to reset\r\n") >= 2)
    finally:
        guest.end()


test_main(__doc__, test)
