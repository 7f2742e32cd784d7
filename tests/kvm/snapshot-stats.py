#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""--stats of memory that is filled before the guest runs: a reason, what was
filled, and how long it took.

usage: snapshot-stats.py THAW GUESTS SUFFIX
"""
import json
import os
import re
import shutil
import sys
import tempfile

from harness import Failure, Guest, arguments, expect

WHY = "all memory is populated before the guest runs"


def check_json(errors, least):
    """The figures, which are all that is on standard error."""
    figures = json.loads(errors)
    expect("pager", (figures["pager"], figures["why"]), ("eager", WHY))
    if figures["source_bytes"] < least or figures["read_ns"] <= 0:
        raise Failure("figures: %s" % figures)
    expect("filled", (figures["filled_bytes"], figures["absent_bytes"]),
           (figures["source_bytes"], 0))
    return figures


def check_unused(thaw, work, command, mode, unused):
    """Options without an effect get a warning each."""
    record = ["--workingset=record"] if command[0] == "restore" else []
    guest = Guest(thaw, work, [command[0], "--prefault=full",
                               "--on-page-error=pause", "--page-deadline=20",
                               "--page-run=16", *record, *command[1:]])
    expect("warnings of %s" % command, guest.quit(),
           ["thaw: --%s has no effect with pager %s" % (name, mode) if name
            else "thaw: --workingset=record: with --pager=map it records what "
            "--prefault loads, too" for name in unused])


def main():
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-stats.")
    path = os.path.join(work, "s")
    try:
        guest = Guest(thaw, work, ["run", "--stats=json", "-k", kernel, "-m",
                                   "64", "-p", "steps=0"])
        guest.save(path)
        check_json(guest.errors(), os.path.getsize(kernel) // 4)
        guest.end()
        guest = Guest(thaw, work, ["restore", "--pager=eager", "--stats=json",
                                   path])
        live = json.loads(guest.ask("stats")[1])
        guest.quit()
        with open(os.path.join(work, "err")) as f:
            figures = check_json(f.read(), 1 << 16)
        for key in ("source_bytes", "absent_bytes"):
            expect("live " + key, live[key], figures[key])
        guest = Guest(thaw, work, ["restore", "--pager=eager", "--stats",
                                   path])
        guest.quit()
        with open(os.path.join(work, "err")) as f:
            errors = f.read()
        for line in (r"^pager: eager \(%s\)$" % WHY,
                     r"^  source: [1-9]\d* KiB, 0 KiB not yet loaded",
                     r"^  read time: (?!0\.000)\d+\.\d{3} ms;"):
            if not re.search(line, errors, re.M):
                raise Failure("no line like %r: %s" % (line, errors))
        guest = Guest(thaw, work, ["restore", "--pager=map", "--verify",
                                   "--stats", path])
        guest.quit()
        with open(os.path.join(work, "err")) as f:
            lines = f.read().splitlines()
        expect("map", lines[1:], [
            "pager: map (requested)",
            "  integrity: all pages were verified before the guest started",
            "  no statistics: the host kernel pages guest memory"])
        for command, mode, idle in (
                (["run", "-k", kernel, "-m", "64", "-p", "steps=0"], "eager",
                 ("prefault", "on-page-error", "page-deadline", "page-run")),
                (["restore", "--pager=eager", path], "eager",
                 ("workingset=record", "prefault", "on-page-error",
                  "page-run")),
                (["restore", "--pager=map", "--verify", path], "map",
                 (None, "on-page-error", "page-deadline", "page-run")),
                (["restore", "--pager=uffd", path], "uffd", ())):
            check_unused(thaw, work, command, mode, idle)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
