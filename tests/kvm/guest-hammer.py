#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A guest that writes random values to configuration space and BARs: thaw
survives, the functions keep their ids, and the log stays short.

usage: guest-hammer.py THAW GUESTS SUFFIX
"""
from harness import test_main

LOG_LINES = 100


def test(setup):
    for seed in 1, 2, 3:
        run = setup.run("-c", "2", "-k", setup.payload("hammer"),
                        "-p", "seed=%d rounds=10000" % seed)
        run.expect_checks()
        if len(run.err.splitlines()) > LOG_LINES:
            run.fail("more than %d lines in the log" % LOG_LINES)


test_main(__doc__, test)
