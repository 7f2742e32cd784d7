#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A working set is recorded by every pager that pages, and used; kept also when a
newer save has replaced the snapshot while its guest ran; and where it cannot be,
one line says why.

usage: snapshot-workingset.py THAW GUESTS SUFFIX
"""
import json
import os
import resource
import shutil
import signal
import sys
import tempfile

from harness import Failure, Guest, arguments, complete, expect, run, skip


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


def by_map(thaw, work, path, *bases):
    """What a mapped guest accesses is recorded; the next one has it loaded before
    it runs, and with a background fill everything else."""
    words = ["restore", "--pager=map", path]
    guest = Guest(thaw, work, [*words, "--workingset=record"])
    expect("said", guest.quit(), [])
    pages = recorded(thaw, path)
    _, out, _ = run(thaw, "inspect", "--json", path)
    held = json.loads(out)["memory"]["present_pages"]
    if not 0 < pages < held:
        raise Failure("%s of %d pages recorded" % (pages, held))
    os.remove(os.path.join(path, "workingset"))
    # The page tables of the process are the proof: all of the files' pages.
    guest = Guest(thaw, work, [*words, "--prefault=full"])
    guest.wait_for("all pages",
                   lambda: mapped_kib(guest, path, *bases) >= held * 4)
    expect("said", guest.quit(), [])


def map_fails(thaw, work, path):
    """A VM that cannot be created has no working set.  A save reads all of memory,
    which does not count."""
    words = ["restore", "--pager=map", "--workingset=record", path]
    few = 24 << 20
    done = complete([thaw, *words], preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_AS, (few, few)))
    # A sanitizer needs more than that itself, and says so.
    if done.returncode == -signal.SIGSEGV:
        raise Failure("it crashes without space")
    guest = Guest(thaw, work, words)
    guest.save(os.path.join(work, "again"))
    guest.end()
    before = recorded(thaw, path)
    _, out, _ = run(thaw, "inspect", "--json", path)
    if not before < json.loads(out)["memory"]["present_pages"]:
        raise Failure("%d pages recorded with a save" % before)
    os.remove(os.path.join(path, "workingset"))


def by_chain(thaw, work, base):
    """The same where the pages are in two files."""
    path = os.path.join(work, "next")
    guest = Guest(thaw, work, ["restore", "--track", base])
    done = complete([thaw, "snapshot", "--base", base, guest.control, path])
    expect("save", (done.returncode, done.stderr), (0, b""))
    guest.quit()
    by_map(thaw, work, path, base)
    shutil.rmtree(path)


def mapped_kib(guest, *paths):
    """How much of these snapshots' memory files a process has in its page tables."""
    names = tuple(os.path.join(path, "memory") for path in paths)
    with open("/proc/%d/smaps" % guest.process.pid) as f:
        lines, inside, kib = f.read().splitlines(), False, 0
    for line in lines:
        if not line[0].isupper():
            inside = line.endswith(names)
        elif inside and line.startswith("Rss:"):
            kib += int(line.split()[1])
    return kib


def main():
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-workingset.")
    path, other = os.path.join(work, "s"), os.path.join(work, "other")
    os.mkdir(other)
    try:
        save_new(thaw, kernel, work, path)
        by_map(thaw, work, path)
        by_chain(thaw, work, path)
        map_fails(thaw, work, path)
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
