#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""--pager=map, which `auto` takes here: --stats says what is verified; and a file
that becomes shorter, or is written to, ends the guest with status 81 and a reason,
whatever discovers it first.  So does the file of a base, by its own name.

usage: snapshot-map.py THAW GUESTS SUFFIX
"""
import errno
import json
import os
import shutil
import sys
import tempfile

from harness import (LINE, USERFAULTFD_IOC_NEW, Failure, Guest, arguments,
                     expect, failing, run)

SHORTER = ("thaw: %s/memory: was truncated while a guest was running from it "
           "(--pager=map), so guest memory is lost")
WRITTEN = ("thaw: %s/memory: was written to while a guest was running from it "
           "(--pager=map), so guest memory cannot be trusted")
UNCHECKED = "pages are not verified"
VERIFIED = "all pages were verified before the guest started"
EACH = "each page is verified before a vCPU sees it"
ROUNDS = 5


def says_so(thaw, work, path):
    """The mode, what is verified, and nothing else on standard error."""
    none = failing(errno.EPERM, "userfaultfd", USERFAULTFD_IOC_NEW)
    for prepare, words, pager, says in (
            (None, [], "map", UNCHECKED),
            (none, [], "map", UNCHECKED),
            (None, ["--pager=map"], "map", UNCHECKED),
            (none, ["--verify"], "map", VERIFIED),
            (None, ["--pager=map", "--verify"], "map", VERIFIED),
            (None, ["--pager=uffd"], "uffd", EACH),
            (None, ["--pager=uffd", "--verify"], "uffd", VERIFIED),
            (none, ["--pager=eager"], "eager", VERIFIED)):
        guest = Guest(thaw, work, ["restore", *words, path], prepare)
        figures = json.loads(guest.ask("stats")[1])
        expect("with %s" % words, (figures["pager"], figures["integrity"]),
               (pager, says))
        expect("said with %s" % words, guest.quit(), [])


def lost(guest, path, reasons):
    """It must end with status 81 and a reason, in one line."""
    status = guest.wait_end()
    lines = [line for line in guest.errors().splitlines()
             if not line.startswith("thaw: snapshot")]
    if len(lines) != 1 or lines[0] not in [why % path for why in reasons]:
        raise Failure("status %d, said: %s" % (status, lines))
    expect("status", status, 81)
    guest.end()


def runs(guest):
    """Waits for a step of the guest."""
    guest.wait_for("a step", lambda: LINE.search(guest.output()))


def changes(thaw, work, path, prepare, paused, change, *reasons):
    """Changes the file under a guest that runs, or one that is paused."""
    copy = os.path.join(work, "copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy)
    guest = Guest(thaw, work, ["restore", "--pager=map", copy], prepare)
    runs(guest)
    if paused:
        expect("pause", guest.ask("pause")[0], 0)
    change(os.path.join(copy, "memory"))
    if paused and prepare:
        # Nothing runs and nothing watches: the next access is a save's.
        code, _, _ = run(thaw, "snapshot", guest.control,
                         os.path.join(work, "never"))
        expect("save", code, 70)
        expect("a snapshot of what was lost",
               os.path.exists(os.path.join(work, "never")), False)
    lost(guest, copy, reasons)


def base_changes(thaw, work, folder, prepare, change, reason):
    """Changes the file of the first of three snapshots under a guest of the last:
    that file is named."""
    copy = os.path.join(work, "copies")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    top = os.path.join(copy, "s2")
    guest = Guest(thaw, work, ["restore", "--pager=map", top], prepare)
    runs(guest)
    change(os.path.join(copy, "s0", "memory"))
    # As it was opened: from the snapshot that was asked for.
    lost(guest, top + ": base s0", [reason])


def save_chain(thaw, work, kernel, folder):
    """Three snapshots of a guest that runs, each on the one before."""
    os.mkdir(folder)
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-p",
                               "steps=0 pages=2048 period=200"])
    for n in range(3):
        runs(guest)
        base = ["--base", os.path.join(folder, "s%d" % (n - 1))] if n else []
        code, _, errors = run(thaw, "snapshot", *base, guest.control,
                              os.path.join(folder, "s%d" % n))
        expect("save", (code, errors), (0, ""))
    guest.end()


def cut(size):
    return lambda name: os.truncate(name, size)


def cut_and_grow(name):
    """The length is right again: the guest's memory is not."""
    size = os.path.getsize(name)
    os.truncate(name, 0)
    os.truncate(name, size)


def overwrite(name):
    with open(name, "r+b") as f:
        f.seek(1 << 20)
        f.write(b"x" * 100)


def main():
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-map.")
    path, folder = os.path.join(work, "s"), os.path.join(work, "chain")
    try:
        guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-c", "2",
                                   "-p", "steps=0 pages=2048 period=200"])
        runs(guest)
        guest.save(path)
        guest.end()
        says_so(thaw, work, path)
        # With the watch, and on a host that has none left.
        for prepare in None, failing(errno.EMFILE, "inotify_init1"):
            for _ in range(ROUNDS):
                for size in 0, 5000, (64 << 20) - 4096:
                    # Without the watch only what is touched is missed.
                    if size < 1 << 20 or not prepare:
                        changes(thaw, work, path, prepare, False, cut(size),
                           SHORTER)
            changes(thaw, work, path, prepare, True, cut(4096), SHORTER)
        for paused in False, True:
            changes(thaw, work, path, None, paused, overwrite, WRITTEN)
            # It may be seen in between.
            changes(thaw, work, path, None, paused, cut_and_grow, WRITTEN,
                    SHORTER)
        save_chain(thaw, work, kernel, folder)
        base_changes(thaw, work, folder, None, overwrite, WRITTEN)
        for prepare in None, failing(errno.EMFILE, "inotify_init1"):
            base_changes(thaw, work, folder, prepare, cut(5000), SHORTER)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
