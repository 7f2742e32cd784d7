#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The chain of hashes is complete, and the same in every memory layout.

usage: guest-chain.py THAW GUESTS SUFFIX
"""
from harness import expect, test_main


def chain(setup, *options):
    """The lines of the chain, sorted, as the vCPUs print in any order."""
    run = setup.run(*options, "-c", "2", "-k", setup.payload("chain"),
                    "-p", "steps=2000 period=500 pages=64")
    run.expect_checks()
    lines = sorted(line for line in run.out.splitlines()
                   if line.startswith("chain: cpu="))
    expect("number of lines", len(lines), 8)
    return lines


def test(setup):
    first = None
    for backing in setup.backings():
        for size in "64M", "512M":
            lines = chain(setup, "--memory=" + backing, "-m", size)
            first = first or lines
            expect("chain with %s of %s" % (size, backing), lines, first)


test_main(__doc__, test)
