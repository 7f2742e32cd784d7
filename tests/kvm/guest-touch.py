#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Memory without contents reads as zeros and an initrd as its file, in every
order and on all vCPUs; the guest's check detects wrong contents.

usage: guest-touch.py THAW GUESTS SUFFIX
"""
from harness import test_main


def test(setup):
    initrd, kernel = setup.signatures(4096), setup.payload("touch")
    for backing in setup.backings():
        for order in "seq", "rand", "shared":
            machine = ["--memory=" + backing, "-m", "256M", "-c", "2",
                       "-k", kernel]
            run = setup.run(*machine, "-p", "pages=8192 order=%s check=zero "
                            "rounds=2" % order)
            run.expect_checks()
            run.expect_out("^touch: round=1 cpu=all touches=")
            run = setup.run(*machine, "-i", initrd, "-p", "base=initrd "
                            "pages=4096 order=%s check=signature" % order)
            run.expect_checks()
    run = setup.run("-m", "64M", "-k", kernel, "-p", "pages=16 check=signature")
    run.expect_status(0)
    run.expect_out("^FAIL: 16 pages with wrong contents")


test_main(__doc__, test)
