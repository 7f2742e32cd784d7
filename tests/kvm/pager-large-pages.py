#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""After the last page is filled, the gates are removed and the kernel merges
guest memory into large pages again.

usage: pager-large-pages.py THAW GUESTS SUFFIX
"""
import json
import re

from harness import Guest, require_uffd, skip, test_main

THP = "/sys/kernel/mm/transparent_hugepage/enabled"
# Only guest memory has mappings of this size.
MAPPING_KIB = 32768


def require_large_pages():
    try:
        with open(THP) as f:
            if "[never]" in f.read():
                skip("transparent huge pages are switched off")
    except OSError:
        skip("this kernel has no transparent huge pages")


def mappings(pid):
    """The smaps text of each mapping that is as large as guest memory."""
    with open("/proc/%d/smaps" % pid) as f:
        text = f.read()
    for mapping in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)[1:]:
        if int(re.search(r"^Size: +(\d+)", mapping, re.M).group(1)) >= \
                MAPPING_KIB:
            yield mapping


def large_kib(pid):
    """KiB of guest memory in large pages."""
    return sum(int(n) for mapping in mappings(pid) for n in
               re.findall(r"^AnonHugePages: +(\d+)", mapping, re.M))


def test(setup):
    require_large_pages()
    require_uffd(setup.thaw)
    # The guest reads none of its 64 MiB of signatures.
    guest = Guest(setup.thaw, setup.work, [
        "run", "--pager=uffd", "--prefault=full", "-m", "256M",
        "-k", setup.payload("chain"), "-i", setup.signatures(16384),
        "-p", "steps=0 period=1000000"])
    pid = guest.process.pid
    try:
        guest.wait_for("the last page", lambda: json.loads(
            guest.ask("stats")[1])["absent_bytes"] == 0)
        try:
            guest.wait_for("large pages", lambda: large_kib(pid) > 0)
        except Exception:
            with open("/proc/buddyinfo") as f:
                print(*mappings(pid), f.read(), sep="\n")
            raise
        print("# %d KiB of large pages" % large_kib(pid))
        guest.quit()
    finally:
        guest.end()


test_main(__doc__, test)
