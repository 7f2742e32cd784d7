#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A working set is kept also when a newer save has replaced the snapshot while
its guest ran; and where it cannot be, one line says why.

usage: snapshot-workingset.py THAW GUESTS SUFFIX
"""
import json
import os
import shutil
import sys
import tempfile

from harness import Failure, Guest, arguments, expect, run, skip


def save_new(thaw, kernel, work, path, mib="32"):
    """A snapshot of a guest that has just started."""
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", mib, "-p",
                               "steps=0"])
    guest.save(path)
    guest.end()


def record(thaw, work, path):
    """A guest that records, or None if no pager of this host can."""
    for pager in "userfault", "uffd":
        try:
            return Guest(thaw, work, ["restore", "--pager=" + pager,
                                      "--workingset=record", path])
        except Failure as failure:
            if "--pager" not in str(failure):
                raise
    return None


def recorded(thaw, path):
    """How many pages the working set of a snapshot has."""
    code, out, errors = run(thaw, "inspect", "--verify", "--json", path)
    expect("inspect", (code, errors), (0, ""))
    return json.loads(out)["workingset_pages"]


def main():
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-workingset.")
    path, other = os.path.join(work, "s"), os.path.join(work, "other")
    os.mkdir(other)
    try:
        save_new(thaw, kernel, work, path)
        guest = record(thaw, work, path)
        if not guest:
            skip("no pager of this host records the working set")
        expect("plain", (guest.quit(), bool(recorded(thaw, path))), ([], True))
        # The guest itself is saved over what it runs from.
        guest = record(thaw, work, path)
        code, _, errors = guest.ask("snapshot", path)
        expect("save", (code, errors), (0, ""))
        expect("before", recorded(thaw, path), None)
        expect("replaced", (guest.quit(), bool(recorded(thaw, path))), ([], True))
        code, _, errors = run(thaw, "inspect", path)
        expect("inspect", (code, errors), (0, ""))
        # Another machine's, of which the page numbers would be wrong; none.
        guest = record(thaw, work, path)
        save_new(thaw, kernel, other, path, "48")
        expect("another's", (guest.quit(), recorded(thaw, path)), ([
            "thaw: %s: snapshot was replaced by one with another memory "
            "layout while the guest ran; working set not saved" % path], None))
        guest = record(thaw, work, path)
        shutil.rmtree(path)
        expect("removed", guest.quit(), [
            "thaw: %s: snapshot was removed while the guest ran; working "
            "set not saved" % path])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
