#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A snapshot and the disks of its guest: every writable disk is synced before
the snapshot gets its name, and one that cannot be synced fails the save; a
restore opens no file outside of the snapshot's directory by the snapshot's word.

usage: snapshot-disks.py THAW GUESTS SUFFIX
"""
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from harness import (Failure, Guest, arguments, change_header, expect,
                     failing, fix_section, refused, restore_opens, run,
                     sanitizers, sections)

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


def save_new(thaw, work, words, path):
    """A snapshot of a guest that has just started."""
    guest = Guest(thaw, work, words)
    guest.save(path)
    guest.end()


def fails_to_save(guest, path, disk):
    """The save must fail because of the disk, and leave nothing."""
    parent = os.path.dirname(path)
    names = sorted(os.listdir(parent))
    before = len(guest.errors().splitlines())
    code, _, errors = run(guest.thaw, "snapshot", guest.control, path)
    refused((code, "", errors),
            "snapshot %s: sync disk %s: Input/output error" % (path, disk))
    expect("the machine says", guest.errors().splitlines()[before:],
           ["thaw: snapshot: sync disk %s: Input/output error" % disk])
    expect("folder", sorted(os.listdir(parent)), names)


def sync_fails(thaw, kernel, work):
    """A host whose fdatasync(2) fails; thaw calls it for disks only."""
    folder = os.path.join(work, "snapshots")
    os.mkdir(folder)
    path = os.path.join(folder, "s")
    disks = [make_disk(os.path.join(work, name)) for name in "ab"]
    guest = Guest(thaw, work, run_words(kernel, disks[0] + ",ro"),
                  failing(errno.EIO, "fdatasync"))
    code, _, errors = run(thaw, "snapshot", guest.control, path)
    expect("read-only disks are not synced", (code, errors), (0, ""))
    guest.quit()
    guest = Guest(thaw, work, run_words(kernel, disks[0] + ",ro", disks[1]),
                  failing(errno.EIO, "fdatasync"))
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
    # A leak checker does not work in a program that is traced.
    asan = sanitizers("detect_leaks=0")["ASAN_OPTIONS"]
    guest = Guest("strace", work, ["-D", "-f", "-y", "-qq", "-o", trace,
                                   "-E", "ASAN_OPTIONS=" + asan, "-e",
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
    does not know yet, and its copies would never know."""
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


def set_path(path, old, new):
    """Changes the path of the snapshot's only disk."""
    name = os.path.join(path, "state")
    with open(name, "rb") as f:
        data = bytearray(f.read())
    at, size = sections(data)["machine"]
    start = at + 32 + size - len(old)
    expect("path", bytes(data[start:at + 32 + size]), old.encode())
    data[start - 4:at + 32 + size] = len(new).to_bytes(4, "little") + \
        new.encode()
    grown = len(new) - len(old)
    data[at + 16:at + 24] = (size + grown).to_bytes(8, "little")
    fix_section(data, at)
    with open(name, "wb") as f:
        f.write(data)
    change_header(name, 56, len(data).to_bytes(8, "little"))


def before_queues(path):
    """Makes a snapshot of a guest with one vCPU what it was before its section
    `machine' had the queues of disks."""
    name = os.path.join(path, "state")
    with open(name, "rb") as f:
        data = bytearray(f.read())
    at, size = sections(data)["machine"]
    expect("version", data[at + 24], 2)
    # Memory, vCPUs, console, disks; then the queues.
    queues = at + 32 + 8 + 3 * 4
    expect("queues", data[queues:queues + 4], bytes((1, 0, 0, 0)))
    del data[queues:queues + 4]
    data[at + 16:at + 24] = (size - 4).to_bytes(8, "little")
    data[at + 24] = 1
    fix_section(data, at)
    with open(name, "wb") as f:
        f.write(data)
    change_header(name, 56, len(data).to_bytes(8, "little"))


def old_version(thaw, kernel, work):
    """A snapshot of a thaw without several queues, and one with four."""
    disk = make_disk(os.path.join(work, "disk"))
    path = os.path.join(work, "s")
    save_new(thaw, work, run_words(kernel, disk), path)
    before_queues(path)
    restore_opens(thaw, work, disk, "-d", disk, path)
    save_new(thaw, work, run_words(kernel, disk) + ["-c", "5"], path)
    restore_opens(thaw, work, disk, "-d", disk, path)


def inside(thaw, path):
    """The disk paths that inspect reports, in JSON and as text."""
    code, out, errors = run(thaw, "inspect", "--json", path)
    expect("inspect", (code, errors), (0, ""))
    disks = json.loads(out)["machine"]["disks"]
    _, text, _ = run(thaw, "inspect", path)
    for disk in disks:
        says = "inside the snapshot" if disk["inside"] else \
            "restore needs -d or --trust-paths"
        if not re.search(re.escape(disk["path"]) + r", \d+ bytes.*" + says,
                         text):
            raise Failure("not in the text: %s: %s" % (disk, text))
    return [disk["inside"] for disk in disks]


def untrusted(thaw, path, disk):
    """A restore must refuse the disk and name the option to use."""
    expect("inside " + disk, inside(thaw, path), [False])
    refused(run(thaw, "restore", path),
            "%s: a disk is outside the snapshot: pass the disks with -d, or "
            "add --trust-paths to open the recorded path: %s$" % (
                re.escape(path), re.escape(disk)))


def paths(thaw, kernel, work):
    """The disk paths that a snapshot may name, and which are opened."""
    disk = make_disk(os.path.join(work, "disk"))
    path = os.path.join(work, "s")
    save_new(thaw, work, run_words(kernel, disk), path)
    untrusted(thaw, path, disk)
    restore_opens(thaw, work, disk, "--trust-paths", path)
    restore_opens(thaw, work, disk, "-d", disk, path)
    # A copy in the directory is the one that is used.
    copy = make_disk(os.path.join(path, "disk"))
    expect("inside", inside(thaw, path), [True])
    restore_opens(thaw, work, copy, path)
    restore_opens(thaw, work, copy, "--trust-paths", path)
    moved = os.path.join(work, "moved")
    os.rename(path, moved)
    restore_opens(thaw, work, os.path.join(moved, "disk"), moved)
    # Saving over it would take the disk away.
    guest = Guest(thaw, work, ["restore", moved])
    code, _, errors = run(thaw, "snapshot", guest.control, moved)
    refused((code, "", errors), "snapshot %s: its directory contains "
            "files that are not part of a snapshot; remove it first" % moved)
    guest.quit()
    expect("files", sorted(os.listdir(moved)),
           ["disk", "memory", "pages", "state"])
    os.rename(moved, path)
    os.unlink(copy)
    # Links and special files of that name.
    for name in (disk, "../disk", "/proc/self/root" + disk):
        os.symlink(name, copy)
        untrusted(thaw, path, disk)
        os.unlink(copy)
    make_disk(os.path.join(path, "other"))
    os.symlink("other", copy)
    restore_opens(thaw, work, os.path.join(path, "other"), path)
    os.unlink(copy)
    os.mkfifo(copy)
    untrusted(thaw, path, disk)
    os.unlink(copy)
    # What else it may say: in the directory, and out of it again.
    os.mkdir(os.path.join(path, "sub"))
    os.symlink("memory", os.path.join(path, "link"))
    os.link(os.path.join(path, "pages"), os.path.join(path, "hard"))
    old = disk
    for new, where in (("other", "other"), ("sub/../other", "other"),
                       (path + "/other", "other"),
                       (path + "/sub/../other", "other"),
                       ("../disk", None), ("sub/../../disk", None),
                       (path + "/../disk", None), ("/etc/shadow", None),
                       ("memory", None), ("./memory", None),
                       ("sub/../state", None), (path + "/./pages", None),
                       ("link", None), ("hard", None),
                       ("sub", None), ("none", None),
                       ("", None)):
        set_path(path, old, new)
        old = new
        if where:
            expect("inside " + new, inside(thaw, path), [True])
            restore_opens(thaw, work, os.path.join(path, where), path)
        else:
            untrusted(thaw, path, new)


def pair(thaw, kernel, work):
    """A snapshot and a copy of the disk of a guest that goes on, as the README
    has it: the guest stays paused until both are made, and the copy is used
    beside it."""
    disk = make_disk(os.path.join(work, "disk.img"))
    path, beside = os.path.join(work, "s"), os.path.join(work, "beside")
    os.mkdir(beside)
    guest = Guest(thaw, work, run_words(kernel, disk))
    for words in (("pause",), ("snapshot", path)):
        expect(words[0], guest.ask(*words)[::2], (0, ""))
        expect("state", json.loads(guest.ask("status")[1])["state"], "paused")
    shutil.copy(disk, path)
    expect("resume", guest.ask("resume")[::2], (0, ""))
    restore_opens(thaw, beside, os.path.join(path, "disk.img"), path)
    expect("state", json.loads(guest.ask("status")[1])["state"], "running")
    guest.quit()


def same_names(thaw, kernel, work):
    """Disks whose file names are the same are not mistaken for another."""
    disks = []
    for name in "ab":
        os.mkdir(os.path.join(work, name))
        disks.append(make_disk(os.path.join(work, name, "disk")))
    path = os.path.join(work, "s")
    save_new(thaw, work, run_words(kernel, *[d + ",ro" for d in disks]), path)
    make_disk(os.path.join(path, "disk"))
    expect("inside", inside(thaw, path), [False, False])
    refused(run(thaw, "restore", path), "--trust-paths .*: " + disks[0])
    restore_opens(thaw, work, disks[1], "--trust-paths", path)


def main():
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-disks.")
    try:
        for number, test in enumerate((
                sync_fails, sync_order, on_full_host, paths, pair,
                same_names, old_version)):
            folder = os.path.join(work, str(number))
            os.mkdir(folder)
            test(thaw, kernel, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
