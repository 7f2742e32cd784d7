#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A snapshot and the shares of its guest: inspect lists them; a restore opens no
directory because the snapshot names it, and the user can name another one.

usage: snapshot-shares.py THAW GUESTS SUFFIX
"""
import json
import os
import re
import shutil
import sys
import tempfile

from harness import (Guest, arguments, expect, refused, require,
                     restore_opens, run)


def make_directory(path):
    os.mkdir(path)
    with open(os.path.join(path, "file"), "w", encoding="ascii") as f:
        f.write("contents\n")
    return os.path.realpath(path)


def check_inspect(thaw, path, shares):
    """What inspect lists, in JSON and as text."""
    code, out, errors = run(thaw, "inspect", "--json", path)
    expect("inspect", (code, errors), (0, ""))
    said = json.loads(out)["machine"]
    expect("shares", said["shares"], shares)
    kinds = {d["name"]: d["kind"] for d in said["devices"]}
    expect("devices", (kinds["share0"], kinds["share1"]), ("virtio-fs",) * 2)
    _, text, _ = run(thaw, "inspect", path)
    for share in shares:
        line = "%s: %s%s: restore needs --share or --trust-paths" % (
            share["tag"], share["path"],
            ", read-only" if share["read_only"] else "")
        require(line in text, "not in the text: %s: %s" % (line, text))


def shares(thaw, kernel, work):
    first = make_directory(os.path.join(work, "first"))
    second = make_directory(os.path.join(work, "second"))
    path = os.path.join(work, "s")
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "32", "-p", "steps=0",
                               "--share", first, "--share", second + ":two,ro"])
    none = {"requests": 0, "errors": 0, "inodes": 1, "handles": 0,
            "descriptors": 1}
    expect("stats", json.loads(guest.ask("stats")[1])["shares"],
           [{"tag": "share", "path": first, **none},
            {"tag": "two", "path": second, **none}])
    expect("--accept-stale", run(thaw, "snapshot", "--accept-stale",
                                 guest.control, path)[0], 0)
    guest.save(path)
    guest.end()
    check_inspect(thaw, path, [
        {"tag": "share", "path": first, "read_only": False},
        {"tag": "two", "path": second, "read_only": True}])
    refused(run(thaw, "restore", path),
            "%s: has a share: pass its directory with --share DIR:share, or "
            "add --trust-paths to open the recorded path: %s$" % (
                re.escape(path), re.escape(first)))
    refused(run(thaw, "restore", "--share", first, path), "--share DIR:two")
    refused(run(thaw, "restore", "--share", first + ":other", path),
            "has no share with tag other")
    restore_opens(thaw, work, second, "--trust-paths", path)
    restore_opens(thaw, work, second, "--share", first, "--share", second + ":two", path)
    copy = os.path.realpath(shutil.copytree(second, os.path.join(work, "co,py")))
    restore_opens(thaw, work, copy, "--trust-paths", "--share",
                  copy.replace(",", ",,") + ":two,cache=never", path)
    # Another directory at the recorded path is not taken for the same.
    os.rename(second, os.path.join(work, "away"))
    os.rename(copy, second)
    refused(run(thaw, "restore", "--trust-paths", path), "share %s: " % second)
    os.rename(second, copy)
    refused(run(thaw, "restore", "--trust-paths", path),
            "share %s: No such file or directory" % second)


def main():
    thaw, kernel, _ = arguments(__doc__)
    with tempfile.TemporaryDirectory() as work:
        shares(thaw, kernel, work)


if __name__ == "__main__":
    sys.exit(main())
