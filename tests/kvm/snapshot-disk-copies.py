#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Snapshots that contain their guest's disks: saved while the guest writes to them,
each is of one instant with the memory; its restores, any number at a time, each have
a disk of their own; and what cannot be saved or restored is named.

usage: snapshot-disk-copies.py THAW GUESTS SUFFIX [ROUNDS]
"""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import (Failure, Guest, arguments, change_header, complete, expect,
                     fix_section, open_files, refused, require, restore_opens,
                     run, sections, wait_until)

MIB = 1 << 20
SIZE = 6 * MIB
CLONES = 10


def make_disk(path, size=SIZE):
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def run_words(kernel, *disks, size=SIZE):
    """The arguments of a guest that writes its first disk whole, pass by pass, and
    after each pass compares all of it."""
    words = ["run", "-k", kernel, "-m", "64", "-p",
             "mode=verify count=1000000 depth=16 size=%d" % size]
    for disk in disks:
        words += ["-d", disk]
    return words


def passes(guest):
    text = guest.output()
    if "FAIL" in text or "SUMMARY" in text:
        raise Failure("the guest says: " + text[-300:] + guest.errors())
    return text.count("pass ")


def progress(guest, count=2):
    """Waits for passes of a guest: the first one compares what was written before
    it was saved."""
    before = passes(guest)
    guest.wait_for("passes", lambda: passes(guest) >= before + count)


def save(guest, path, *options):
    """Saves a guest; the reply."""
    done = complete([guest.thaw, "snapshot", *options, guest.control, path],
                    [guest.process.pid])
    if done.returncode:
        raise Failure("save %s: %d %s %s" % (
            options, done.returncode, done.stderr.decode(), guest.errors()))
    return json.loads(done.stdout)


def copy(guest, path, *options):
    return save(guest, path, "--disks=copy", *options)


def folder(work, name):
    path = os.path.join(work, name)
    os.mkdir(path)
    return path


def resume(thaw, work, path, count=2):
    """Restores a snapshot; the guest must find its disk as it left it."""
    guest = Guest(thaw, work, ["restore", path])
    progress(guest, count)
    return guest


def digests(path):
    """What is in the files of a snapshot, and when they were changed."""
    found = {}
    for name in sorted(os.listdir(path)):
        with open(os.path.join(path, name), "rb") as f:
            found[name] = (hashlib.sha256(f.read()).hexdigest(),
                           os.fstat(f.fileno()).st_mtime_ns)
    return found


def live(thaw, kernel, work, rounds):
    """Saves of a guest that writes to its disk by each engine, and of one that was
    restored, at different moments."""
    other = folder(work, "restored")
    for option in ("", ",aio=threads", ",direct"):
        disk = make_disk(os.path.join(work, "disk"))
        try:
            guest = Guest(thaw, work, run_words(kernel, disk + option))
        except Failure as why:
            print("# not tried:", option, str(why)[-200:])
            continue
        progress(guest)
        pauses = []
        for number in range(rounds):
            path = os.path.join(work, "s%d" % (number % 2))
            pauses.append(copy(guest, path)["pause_us"])
            restored = resume(thaw, other, path)
            again = os.path.join(work, "again")
            pauses.append(copy(restored, again)["pause_us"])
            expect("the end", restored.quit(), [])
            resume(thaw, other, again).quit()
            progress(guest, 1)
        expect("the end", guest.quit(), [])
        print("# disk%s: %d saves of a guest that wrote, the longest pause %d us" %
              (option, len(pauses), max(pauses)), flush=True)


def clones(thaw, kernel, work):
    """Ten guests of one snapshot at a time, without an option; it does not change."""
    disk = make_disk(os.path.join(work, "disk"))
    path = os.path.join(work, "s")
    guest = Guest(thaw, work, run_words(kernel, disk))
    progress(guest)
    copy(guest, path)
    guest.quit()
    os.unlink(disk)
    before = digests(path)
    expect("files", sorted(before), ["disk-0", "memory", "pages", "state"])
    guests = [Guest(thaw, folder(work, "clone%d" % n), ["restore", path])
              for n in range(CLONES)]
    for one in guests:
        progress(one)
    for one in guests:
        writable = [name for name in open_files(one)
                    if name.startswith(path) and "deleted" not in name]
        for name in set(writable):
            for fd in os.listdir("/proc/%d/fd" % one.process.pid):
                link = "/proc/%d/fd/%s" % (one.process.pid, fd)
                if os.readlink(link) == name:
                    with open("/proc/%d/fdinfo/%s" % (one.process.pid, fd)) as f:
                        flags = int(f.read().split("flags:")[1].split()[0], 8)
                    expect("%s is open for reading" % name, flags & 3, 0)
        expect("the end", one.quit(), [])
    expect("the snapshot", digests(path), before)


def again(thaw, kernel, work):
    """A guest with a private disk is only saved with it; its path stays."""
    disk = make_disk(os.path.join(work, "disk.img"))
    path, second = os.path.join(work, "s"), os.path.join(work, "t")
    guest = Guest(thaw, work, run_words(kernel, disk))
    progress(guest)
    copy(guest, path, "--stop")
    expect("status", guest.wait_end(), 0)
    guest.end()
    for options in ((), ("--pause",), ("--stop",)):
        guest = resume(thaw, work, path)
        code, _, errors = run(thaw, "snapshot", *options, guest.control, second)
        refused((code, "", errors), "snapshot %s: a disk is private to this VM "
                "and ends with it; use --disks=copy" % second)
        require("disk %s/disk-0 is private" % path in guest.errors(),
                "not named", guest.errors())
        expect("files", os.path.exists(second), False)
        progress(guest, 1)
        copy(guest, second, *options)
        if "--stop" in options:
            expect("status", guest.wait_end(), 0)
            guest.end()
        else:
            progress(guest, 1)
            guest.quit()
        resume(thaw, work, second, 1).quit()
        code, out, _ = run(thaw, "inspect", "--json", "--verify", second)
        found = json.loads(out)["machine"]["disks"][0]
        expect("disk", (code, found["path"], found["copied"]), (0, disk, True))
        shutil.rmtree(second)
    # Where the user wants to have it.
    shutil.copyfile(os.path.join(path, "disk-0"), disk)
    restore_opens(thaw, work, disk, "-d", disk, path)


def increments(thaw, kernel, work):
    """Each has a whole copy, of its own instant."""
    disk = make_disk(os.path.join(work, "disk"))
    guest = Guest(thaw, work, run_words(kernel, disk))
    other = folder(work, "restored")
    paths = [os.path.join(work, "s%d" % n) for n in range(3)]
    progress(guest)
    copy(guest, paths[0])
    for base, path in zip(paths, paths[1:]):
        progress(guest, 1)
        copy(guest, path, "--base", base)
        resume(thaw, other, path).quit()
    guest.quit()
    flat = os.path.join(work, "flat")
    done = complete([thaw, "snapshot", "--flatten", paths[2], flat])
    expect("flatten", (done.returncode, done.stderr), (0, b""))
    for path in paths:
        shutil.rmtree(path)
    resume(thaw, other, flat).quit()
    done = complete([thaw, "snapshot", "--flatten", "--disks=copy", flat, flat])
    expect("status", done.returncode, 64)


def limited(thaw, kernel, work):
    """The first copy of a disk is limited, and what its guest changes meanwhile is
    not: the whole disk, each time."""
    disk = os.path.join(work, "disk")
    with open(disk, "wb") as f:
        f.write(os.urandom(SIZE))
    path = os.path.join(work, "s")
    guest = Guest(thaw, work, run_words(kernel, disk))
    progress(guest)
    since = time.monotonic()
    copy(guest, path, "--rate=1M")
    took, least = time.monotonic() - since, SIZE / MIB
    require(0.9 * least < took, "%.1f s" % took, "")
    expect("the end", guest.quit(), [])
    resume(thaw, work, path).quit()


def live_disk(thaw, kernel, work):
    """A copy that a guest uses as its own disk is not removed with its snapshot."""
    path = small(thaw, kernel, work, "s", make_disk(os.path.join(work, "disk"), MIB))
    own = os.path.join(path, "disk-0")
    refused(run(thaw, "restore", "-d", own, path),
            "the snapshot's copy of a disk, which a guest must not write to")
    guest = Guest(thaw, work, run_words(kernel, own, size=MIB))
    for options in ((), ("--disks=copy",)):
        code, _, errors = run(thaw, "snapshot", *options, guest.control, path)
        refused((code, "", errors), "a VM uses the copy of a disk in it")
    progress(guest, 1)
    copy(guest, os.path.join(work, "t"))
    expect("the disk", os.path.exists(own), True)
    guest.quit()


def small(thaw, kernel, work, name, *disks):
    """A snapshot with copies of a guest that has just begun."""
    path = os.path.join(work, name)
    guest = Guest(thaw, work, run_words(kernel, *disks, size=MIB))
    progress(guest)
    copy(guest, path)
    guest.quit()
    return path


def others(thaw, kernel, work):
    """Read-only disks stay where they are; a block device is copied; a snapshot is
    replaced together with its copies."""
    disk = make_disk(os.path.join(work, "disk"), 2 * MIB)
    fixed = make_disk(os.path.join(work, "fixed"), MIB)
    third = make_disk(os.path.join(work, "third"), MIB)
    path = small(thaw, kernel, work, "s", disk, fixed + ",ro", third)
    expect("files", sorted(os.listdir(path)),
           ["disk-0", "disk-2", "memory", "pages", "state"])
    refused(run(thaw, "restore", path), "--trust-paths .*: " + fixed)
    restore_opens(thaw, work, fixed, "--trust-paths", path)
    restore_opens(thaw, work, fixed, "-d", fixed + ",ro", path)
    refused(run(thaw, "restore", "-d", disk, "-d", third, path),
            "--disk: 2 disks given, the snapshot has 3, 1 without a copy")
    path = small(thaw, kernel, work, "s", disk)
    expect("files", sorted(os.listdir(path)),
           ["disk-0", "memory", "pages", "state"])
    # One with a disk of the user in it, whose name is that of a copy.
    mine = make_disk(os.path.join(path, "disk-1"), MIB)
    guest = Guest(thaw, work, ["restore", path])
    code, _, errors = run(thaw, "snapshot", "--disks=copy", guest.control, path)
    refused((code, "", errors), "files that are not part of a snapshot")
    guest.quit()
    expect("there", os.path.exists(mine), True)
    code, device, errors = run("losetup", "--find", "--show", disk)
    if code:
        print("# no loop device: " + errors.strip())
        return
    try:
        path = small(thaw, kernel, work, "t", device.strip())
        expect("size", os.path.getsize(os.path.join(path, "disk-0")), 2 * MIB)
        resume(thaw, work, path).quit()
    finally:
        subprocess.run(["losetup", "-d", device.strip()], check=True)


def damaged(thaw, kernel, work):
    """A copy that is missing or of another size, and a list that is forged."""
    disk = make_disk(os.path.join(work, "disk"), 2 * MIB)
    path = small(thaw, kernel, work, "s", disk)
    file, good = os.path.join(path, "disk-0"), os.path.join(work, "good")
    shutil.copyfile(file, good)

    def named(why):
        shutil.copyfile(good, disk)
        for words in (("restore", path), ("inspect", "--verify", path)):
            refused(run(thaw, *words), file + ": " + why)
        restore_opens(thaw, work, disk, "-d", disk, path)

    os.truncate(file, 2 * MIB - 512)
    named("truncated")
    os.truncate(file, 2 * MIB + 512)
    named("larger than the disk")
    os.rename(file, file + ".x")
    named("No such file")
    os.symlink("disk-0.x", file)
    named("not a regular file")
    os.unlink(file)
    os.rename(file + ".x", file)
    os.truncate(file, 2 * MIB)
    resume(thaw, work, path).quit()
    name = os.path.join(path, "state")
    with open(name, "rb") as f:
        whole = f.read()
    at, size = sections(whole)["disks"]
    # The number of the disk, and its size: those that the machine does not have.
    for offset, new in ((4, (1).to_bytes(4, "little")),
                        (8, MIB.to_bytes(8, "little"))):
        data = bytearray(whole)
        data[at + 32 + offset:at + 32 + offset + len(new)] = new
        fix_section(data, at)
        with open(name, "wb") as f:
            f.write(data)
        for words in (("restore", path), ("inspect", path)):
            refused(run(thaw, *words), "malformed section disks")
    data = bytearray(whole[:at])
    with open(name, "wb") as f:
        f.write(data)
    change_header(name, 56, len(data).to_bytes(8, "little"))
    count = int.from_bytes(whole[76:80], "little")
    change_header(name, 76, (count - 1).to_bytes(4, "little"))
    # Without the list the file is a file like any other.
    refused(run(thaw, "restore", path), "--trust-paths .*: " + disk)


def cancelled(thaw, kernel, work):
    """A client that ends has cancelled its save; nothing is left of it."""
    place = folder(work, "snapshots")
    disk = os.path.join(work, "disk")
    with open(disk, "wb") as f:
        for _ in range(256):
            f.write(os.urandom(1 << 16) * 16)
    guest = Guest(thaw, work, run_words(kernel, disk))
    progress(guest, 1)
    client = subprocess.Popen(
        [thaw, "snapshot", "--disks=copy", guest.control,
         os.path.join(place, "s")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def copying():
        for name in os.listdir(place):
            try:
                with os.scandir(os.path.join(place, name)) as entries:
                    return any(e.name == "disk-0" and e.stat().st_blocks > 2048
                               for e in entries)
            except FileNotFoundError:
                pass
        return client.poll() is not None

    wait_until("the copy", copying, guest.process.pid)
    client.send_signal(signal.SIGINT)
    client.wait()
    wait_until("the end of the save",
               lambda: not [n for n in os.listdir(place) if n != "s"],
               guest.process.pid)
    if os.listdir(place):
        print("# not tried: a save is over before it is cancelled")
    else:
        expect("the machine says", guest.errors(),
               "thaw: snapshot: cancelled\n")
    progress(guest, 1)
    copy(guest, os.path.join(place, "s"))
    expect("files", os.listdir(place), ["s"])
    guest.quit()


def overlay_full(thaw, work, path, place):
    """An overlay without space is a disk without space: its guest gets an error.
    Where the disk is a clone there is no overlay."""
    guest = Guest(thaw, work, ["restore", path],
                  lambda: os.environ.update(TMPDIR=place))
    if [name for name in open_files(guest) if name.startswith(place)]:
        guest.wait_for("an error", lambda: "FAIL: requests" in guest.output())
        expect("the machine says", guest.errors(),
               "thaw: disk %s/disk-0: overlay: write: No space left on device\n"
               % path)
        guest.wait_end()
    else:
        progress(guest)
    guest.end()
    expect("left", os.listdir(place), [])


def full(thaw, kernel, work):
    """A directory without space for the copy: the guest goes on."""
    place = folder(work, "full")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none",
                              place], capture_output=True, check=False)
    if mounted.returncode:
        print("# not tried: a full file system, as mount(8) is refused")
        return
    try:
        disk = make_disk(os.path.join(work, "disk"))
        guest = Guest(thaw, work, run_words(kernel, disk))
        progress(guest)
        for options in ((), ("--pause",)):
            path = os.path.join(place, "s")
            code, _, errors = run(thaw, "snapshot", "--disks=copy", *options,
                                  guest.control, path)
            refused((code, "", errors), "snapshot %s: No space left" % path)
            expect("left", os.listdir(place), [])
            progress(guest, 1)
        expect("the machine says", guest.errors().splitlines(),
               ["thaw: snapshot: copy of disk %s: No space left on device" %
                disk] * 2)
        # As good as if there had been none before.
        copy(guest, os.path.join(work, "s"))
        guest.quit()
        resume(thaw, work, os.path.join(work, "s")).quit()
        overlay_full(thaw, work, os.path.join(work, "s"), place)
    finally:
        subprocess.run(["umount", place], check=True)


def main():
    thaw, chain, numbers = arguments(__doc__)
    kernel = os.path.join(os.path.dirname(chain), "disk." + sys.argv[3])
    rounds = numbers[0] if numbers else 3
    work = tempfile.mkdtemp(prefix="thaw-copies.")
    try:
        live(thaw, kernel, folder(work, "live"), rounds)
        for test in (clones, again, increments, limited, live_disk, others, damaged, cancelled,
                     full):
            test(thaw, kernel, folder(work, test.__name__))
            shutil.rmtree(os.path.join(work, test.__name__))
            print("#", test.__name__, flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
