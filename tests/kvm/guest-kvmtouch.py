#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""KVM's own accesses read the contents of the page source, zeros or an initrd,
and change only the bytes that they write.

usage: guest-kvmtouch.py THAW GUESTS SUFFIX
"""
from harness import test_main


def test(setup):
    initrd = setup.signatures(2048)
    for backing in setup.backings():
        setup.run("--memory=" + backing,
                  "-k", setup.payload("kvmtouch")).expect_checks()
        # On arm64 the payload needs pages of zeros.
        if setup.suffix == "elf":
            setup.run("--memory=" + backing, "-k", setup.payload("kvmtouch"),
                      "-i", initrd,
                      "-p", "base=initrd check=signature").expect_checks()


test_main(__doc__, test)
