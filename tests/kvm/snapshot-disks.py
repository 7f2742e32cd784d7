#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A snapshot and the disks of its guest: every writable disk is synced before
the snapshot gets its name, and one that cannot be synced fails the save.

usage: snapshot-disks.py THAW GUESTS SUFFIX
"""
import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile

from snapshot_lib import (Failure, Guest, arguments, expect, failing, refused,
                          run)

SYNC = re.compile(r"fdatasync\(\d+<([^>]*)>\)\s*= (-?\d+)")
RENAME = re.compile(r"renameat2?\(.*\"s\".*\)\s*= 0")


def make_disk(path, size=1 << 20):
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def run_words(kernel, *disks):
    """The arguments for a guest with disks."""
    words = ["run", "-k", kernel, "-m", "32", "-p", "steps=0"]
    for disk in disks:
        words += ["-d", disk]
    return words


def fails_to_save(guest, path, disk):
    """The save must fail because of the disk, and leave nothing."""
    parent = os.path.dirname(path)
    names = sorted(os.listdir(parent))
    before = len(guest.errors().splitlines())
    code, _, errors = run(guest.thaw, "snapshot", guest.control, path)
    refused((code, "", errors), "snapshot %s: Input/output error" % path)
    expect("the machine says", guest.errors().splitlines()[before:],
           ["thaw: snapshot: sync disk %s: Input/output error" % disk])
    expect("folder", sorted(os.listdir(parent)), names)


def sync_fails(thaw, kernel, work):
    """A host whose fdatasync(2) fails, which is called for disks alone."""
    folder = os.path.join(work, "snapshots")
    os.mkdir(folder)
    path = os.path.join(folder, "s")
    disks = [make_disk(os.path.join(work, name)) for name in "ab"]
    guest = Guest(thaw, work, run_words(kernel, disks[0] + ",ro"),
                  failing("fdatasync", errno.EIO))
    code, _, errors = run(thaw, "snapshot", guest.control, path)
    expect("read-only disks are not synced", (code, errors), (0, ""))
    guest.quit()
    guest = Guest(thaw, work, run_words(kernel, disks[0] + ",ro", disks[1]),
                  failing("fdatasync", errno.EIO))
    with open(os.path.join(path, "state"), "rb") as f:
        old = f.read()
    for name in (path, path + "2", path):
        fails_to_save(guest, name, disks[1])
    with open(os.path.join(path, "state"), "rb") as f:
        expect("old one", f.read(), old)
    guest.quit()


def sync_order(thaw, kernel, work):
    """Each writable disk is synced, and then the snapshot gets its name."""
    if not shutil.which("strace"):
        print("# no strace: the order of sync and rename is not looked at")
        return
    disks = [make_disk(os.path.join(work, name)) for name in "abc"]
    trace = os.path.join(work, "trace")
    words = run_words(kernel, disks[0], disks[1] + ",ro", disks[2])
    guest = Guest("strace", work, ["-D", "-f", "-y", "-qq", "-o", trace, "-e",
                                   "trace=fdatasync,renameat,renameat2", thaw,
                                   *words])
    guest.thaw = thaw
    for _ in range(2):
        guest.ask("pause")
        code, _, errors = guest.ask("snapshot", os.path.join(work, "s"))
        expect("save", (code, errors), (0, ""))
        guest.ask("resume")
    guest.quit()
    with open(trace) as f:
        seen = f.read().splitlines()
    order = []
    for line in seen:
        sync = SYNC.search(line)
        if sync:
            expect("sync", sync[2], "0")
            order.append(sync[1])
        elif RENAME.search(line):
            order.append("rename")
    expect("order", order, [disks[0], disks[2], "rename"] * 2)


def on_full_host(thaw, kernel, work):
    """A disk whose writes are lost: a loop device over a file that finds no
    room.  The second save must fail as well: the guest has not flushed, so it
    has not been told yet, and its copies would never be."""
    folder = os.path.join(work, "full")
    os.mkdir(folder)
    device = None
    try:
        done = run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
        if not done[0]:
            image = make_disk(os.path.join(folder, "disk"), 8 << 20)
            done = run("losetup", "--find", "--show", image)
        if done[0]:
            print("# no loop device: " + done[2].strip())
            return
        device = done[1].strip()
        guest = Guest(thaw, work, run_words(kernel, device))
        with open(device, "r+b", buffering=0) as f:
            f.write(b"x" * (4 << 20))
            for _ in range(2):
                fails_to_save(guest, os.path.join(work, "lost"), device)
        guest.quit()
    finally:
        if device:
            subprocess.run(["losetup", "-d", device], check=False)
        subprocess.run(["umount", "-l", folder], check=False,
                       stderr=subprocess.DEVNULL)


def main():
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-disks.")
    try:
        for number, test in enumerate((sync_fails, sync_order, on_full_host)):
            folder = os.path.join(work, str(number))
            os.mkdir(folder)
            test(thaw, kernel, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
