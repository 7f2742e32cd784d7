#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Saves of a guest that writes faster than passes can save: what is left is held,
and each snapshot is of one instant all the same, which its file of memory shows.

usage: snapshot-held.py THAW GUESTS SUFFIX [ROUNDS]
"""
import array
import collections
import json
import os
import shutil
import sys
import tempfile

from harness import Failure, Guest, arguments, complete, expect, skip

PAGE = 4096
WORDS = 512  # that guest/writer.c writes to a page: so many, from the start on
PAGES = 20000


def save(guest, path, *options):
    """A live save; its reply."""
    done = complete([guest.thaw, "snapshot", *options, guest.control, path],
                    [guest.process.pid])
    if done.returncode:
        raise Failure("save: %d %s" % (done.returncode, done.stderr.decode()))
    return json.loads(done.stdout)


def pages_of(path):
    """The first words of the guest's pages, None for one that is half written."""
    words = []
    with open(os.path.join(path, "memory"), "rb") as file:
        for page in iter(lambda: file.read(PAGE), b""):
            numbers = array.array("Q", page)
            first = numbers[0]
            words.append(first if all(
                numbers[i] == first + i for i in (1, WORDS // 2, WORDS - 1))
                else None)
    # Page n has the numbers that leave n.
    starts = collections.Counter(
        i - word % PAGES for i, word in enumerate(words) if word)
    start = starts.most_common(1)[0][0]
    return words[start:start + PAGES]


def check_cut(path):
    """The pages are those of one instant: the guest numbers its writes, and a page
    has the last number that belongs to it."""
    words = pages_of(path)
    whole = [word for word in words if word is not None]
    newest, oldest = max(whole), min(whole)
    if newest - oldest > PAGES or len(set(whole)) != len(whole):
        raise Failure("%s: pages of writes %d to %d" % (path, oldest, newest))
    for i, word in enumerate(words):
        # The one that was being written at that instant.
        if word is None and i != (newest + 1) % PAGES:
            raise Failure("%s: page %d is half written, after %d" % (
                path, i, newest))


def run(thaw, guests, suffix, work, rounds, *options):
    """Saves until pages were held in so many saves; each save is of one instant,
    with held pages or without.  A host that saves fast enough holds none."""
    guest = Guest(thaw, work, [
        "run", "-k", os.path.join(guests, "writer." + suffix), "-m", "128M",
        "-p", "rate=0 pages=%d" % PAGES, *options])
    guest.wait_for("pages", lambda: any(
        int(line.split("pages=")[1].split()[0]) > 2 * PAGES
        for line in guest.output().splitlines() if " stall_us=" in line))
    paths = [os.path.join(work, name) for name in ("a", "b", "c", "flat")]
    saves, held, waits = 0, 0, 0
    while saves < 3 or (held < rounds and saves < 6 * rounds):
        # a is complete; b and c contain what was written since.
        at = saves % 3
        if not at:
            for old in paths:
                shutil.rmtree(old, ignore_errors=True)
        path = paths[at]
        words = ["--base", paths[at - 1]] if at else []
        reply = save(guest, path, *words)
        saves += 1
        held += reply["held_pages"] > 0
        waits += reply["held_waits"]
        if at:
            done = complete([thaw, "snapshot", "--flatten", path, paths[3]])
            expect("flatten", done.returncode, 0)
            path = paths[3]
        check_cut(path)
    expect("the end", guest.quit(), [])
    print("# %s: %d saves, pages held in %d, %d waits" % (
        " ".join(options) or "as it is", saves, held, waits))


def main():
    thaw, _, numbers = arguments(__doc__)
    guests, suffix = sys.argv[2:4]
    rounds = numbers[0] if numbers else 4
    work = tempfile.mkdtemp(prefix="thaw-held.")
    try:
        probe = json.loads(complete([thaw, "probe", "--json"]).stdout)
        if not probe["userfaultfd"]["anonymous_wp"]["yes"]:
            skip("userfaultfd does not protect pages from writes")
        run(thaw, guests, suffix, work, rounds)
        run(thaw, guests, suffix, work, rounds, "--hugepages=always")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
