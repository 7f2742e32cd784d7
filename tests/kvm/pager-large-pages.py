#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""After the last page is filled, the gates are removed and the kernel merges
guest memory into large pages again; --hugepages=never and always are kept; and
memory that is filled before the start has large pages from the start.

usage: pager-large-pages.py THAW GUESTS SUFFIX
"""
import json
import os
import re

from harness import (Guest, expect, require, require_uffd, run, skip,
                     test_main)

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


def flags(pid):
    """The flags of guest memory (VmFlags of proc(5)); um: with userfaultfd."""
    return {flag for mapping in mappings(pid) for line in
            re.findall(r"^VmFlags:(.*)", mapping, re.M) for flag in line.split()}


def filled(setup, kind, pager):
    """A guest whose memory is filled in the end; what it has of large pages is
    said before it quits."""
    # The guest reads none of its 64 MiB of signatures.
    return Guest(setup.thaw, setup.work, [
        "run", "--pager=" + pager, "--prefault=full" if pager == "uffd" else
        "--stats", "--hugepages=" + kind, "-m", "256M",
        "-k", setup.payload("chain"), "-i", setup.signatures(16384),
        "-p", "steps=0 period=1000000"])


def wait_large(guest):
    try:
        guest.wait_for("large pages",
                       lambda: large_kib(guest.process.pid) > 0)
    except Exception:
        with open("/proc/buddyinfo") as f:
            print(*mappings(guest.process.pid), f.read(), sep="\n")
        raise
    print("# %d KiB of large pages" % large_kib(guest.process.pid))


def all_present(guest):
    guest.wait_for("the last page", lambda: json.loads(
        guest.ask("stats")[1])["absent_bytes"] == 0)


def merged(setup, kind):
    guest = filled(setup, kind, "uffd")
    try:
        all_present(guest)
        if kind == "never":
            # The gates go after the last page: no advice for large pages then.
            guest.wait_for("the end of the gates",
                           lambda: "um" not in flags(guest.process.pid))
            expect("large pages with never", large_kib(guest.process.pid), 0)
            require("hg" not in flags(guest.process.pid), "large pages wanted")
        else:
            wait_large(guest)
        guest.quit()
    finally:
        guest.end()


def restored(setup, kind):
    """By eager, from a snapshot of 64 MiB that no page of zeros interrupts."""
    path = os.path.join(setup.work, "s")
    if not os.path.exists(path):
        guest = filled(setup, "auto", "eager")
        guest.save(path)
        guest.end()
    guest = Guest(setup.thaw, setup.work, ["restore", "--pager=eager",
                                           "--hugepages=" + kind, path])
    try:
        guest.ask("pause")
        large = large_kib(guest.process.pid)
        print("# restored with %s: %d KiB of large pages" % (kind, large))
        require((large > 0) == (kind != "never"), "large pages", kind, large)
        guest.quit()
    finally:
        guest.end()


def refused(setup):
    """What this host cannot give is refused in one line that says why."""
    for words, reason in (
            (["--hugepages=hugetlb=16T"], "--hugepages=hugetlb: "),
            (["--hugepages=hugetlb", "--pager=uffd"],
             "--pager=uffd --memory=anon: hugetlb pages are not filled in parts"),
            (["--hugepages=always", "--memory=guest_memfd"],
             "--hugepages=always: a guest_memfd has no large pages")):
        code, _, errors = run(setup.thaw, "run", "-m", "64", *words)
        expect("status with %s" % words, code, 70)
        require(reason in errors and errors.count("\n") == 1, errors)


def test(setup):
    refused(setup)
    require_large_pages()
    for kind in "auto", "never", "always":
        restored(setup, kind)
    require_uffd(setup.thaw)
    for kind in "auto", "never":
        merged(setup, kind)


test_main(__doc__, test)
