#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""--pager=map: it says what it does not verify, also where `auto` falls back to
it; and a file that becomes shorter, or is written to, ends the guest with status
81 and a reason, whatever discovers it first.

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
UNCHECKED = ("thaw: pager map: pages of %s/memory are not verified, so a "
             "corrupt page reaches the guest; use --verify to check them "
             "before the start%s")
ROUNDS = 5


def says_so(thaw, work, path):
    """One line names the mode and what it does not verify."""
    says = UNCHECKED % (path, "")
    none = failing(errno.EPERM, "userfaultfd", USERFAULTFD_IOC_NEW)
    for prepare, words, lines in (
            (None, ["--pager=map"], [says]),
            (none, ["--pager=map"], [says]),
            (none, [], [UNCHECKED % (
                path, " (see thaw probe for why uffd is unavailable)")]),
            (none, ["--verify"], []),
            (None, ["--pager=map", "--verify"], []),
            (none, ["--pager=eager"], [])):
        guest = Guest(thaw, work, ["restore", *words, path], prepare)
        expect("pager", json.loads(guest.ask("status")[1])["pager"],
               "eager" if "--pager=eager" in words else "map")
        expect("said with %s" % words, guest.quit(), lines)


def lost(guest, path, reasons):
    """It must end with status 81 and a reason, in one line."""
    status = guest.wait_end()
    lines = [line for line in guest.errors().splitlines()
             if not line.startswith("thaw: snapshot")]
    if len(lines) != 2 or lines[1] not in [why % path for why in reasons]:
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
    path = os.path.join(work, "s")
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
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
