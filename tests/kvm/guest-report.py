#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The embedded guest finds the machine of the command line (vCPUs, memory,
parameters, devices) and powers off.

usage: guest-report.py THAW GUESTS SUFFIX
"""
from harness import test_main

SIZES = {"64M": r"6[34](\.[0-9])? MiB", "1G": r"1 GiB|1023(\.[0-9])? MiB",
         "5G": "5 GiB"}
END = "Finished in .*; powering off."


def report(setup, size, backing, cpus):
    """One run with so many vCPUs and so much memory."""
    run = setup.run("--memory=" + backing, "-m", size, "-c", str(cpus),
                    "-p", "first=1 second=two")
    run.expect_status(0)
    for line in ("processors +%d of %d online" % (cpus, cpus),
                 "memory +(%s)$" % SIZES[size],
                 "parameters .*first=1 second=two$",
                 "00:00.0 .* host bridge",
                 "first write to a page +[0-9]", END):
        run.expect_out(line)


def test(setup):
    for backing in setup.backings():
        for cpus in 1, 2:
            for size in SIZES:
                report(setup, size, backing, cpus)
    run = setup.run("--console=virtio")
    run.expect_status(0)
    for line in "^  parameters +console=hvc0$", "virtio console", END:
        run.expect_out(line)
    # thaw adds nothing to raw parameters.
    run = setup.run("--raw-params", "-p", "first=1 second=two")
    run.expect_status(0)
    run.expect_out("^  parameters +first=1 second=two$")
    run = setup.run("--raw-params")
    run.expect_status(0)
    run.expect_no_out("^  parameters")


test_main(__doc__, test)
