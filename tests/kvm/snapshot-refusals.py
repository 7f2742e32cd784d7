#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A save or restore that is impossible fails with status 70 and one line that names
the object and the reason.  After a failed save the old snapshot is intact, no
temporary file is left, and the guest runs on and can be saved elsewhere.

usage: snapshot-refusals.py THAW GUESTS SUFFIX

With root or user namespaces it runs in a mount namespace of its own, so that
file systems can be full and read-only; without, that part is left out.
"""
import errno
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile

from harness import (LINE, Failure, Guest, arguments, change_header,
                          crc32c, expect, failing, fix_section, refused, run,
                     sections)

OTHER = {"x86_64": b"aarch64", "aarch64": b"x86_64"}
MARK = "THAW_TEST_NAMESPACE"
NOBODY = 65534


def enter_namespace():
    """Restarts the test in a mount namespace of its own, if the host permits;
    True inside it."""
    if MARK in os.environ:
        return os.environ[MARK] == "1"
    how = ["unshare", "--mount", "--propagation=private"]
    if os.geteuid():
        how.append("--map-root-user")
    try:
        there = subprocess.run(how + ["true"], stderr=subprocess.DEVNULL,
                               check=False).returncode == 0
    except OSError:
        there = False
    os.environ[MARK] = "1" if there else "0"
    if not there:
        return False
    os.execvp(how[0], how + [sys.executable, "-B"] + sys.argv)


def mount(path, options):
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path],
                   check=True)
    return path


class Saver:
    """A guest that survives saves which fail."""

    def __init__(self, thaw, kernel, work):
        self.thaw, self.work = thaw, work
        self.guest = Guest(thaw, work, [
            "run", "-k", kernel, "-m", "64", "-p",
            "steps=0 pages=1024 period=50"])
        self.elsewhere = os.path.join(work, "elsewhere")
        self.goes_on()

    def goes_on(self):
        before = len(LINE.findall(self.guest.output()))
        self.guest.wait_for("a step", lambda: len(
            LINE.findall(self.guest.output())) > before)

    def refuse(self, path, pattern, status=70):
        """The save must fail with one line of the client and one of the VM,
        change no file, and leave the guest running."""
        parent = os.path.dirname(path)
        names = os.path.isdir(parent) and sorted(os.listdir(parent))
        said = len(self.guest.errors().splitlines())
        code, out, errors = run(self.thaw, "snapshot", "--stop",
                                self.guest.control, path)
        refused((code, "", errors), "snapshot %s: (?:%s)" % (
            re.escape(path), pattern), status)
        answer = json.loads(out)
        expect("answer", (answer["ok"], "thaw: %s\n" % answer["error"]),
               (False, errors))
        said = self.guest.errors().splitlines()[said:]
        if len(said) != 1 or not said[0].startswith("thaw: ") or \
                path not in said[0]:
            raise Failure("the machine says: %s" % said)
        if names is not False:
            expect("folder", sorted(os.listdir(parent)), names)
        self.goes_on()
        self.save(self.elsewhere)

    def save(self, path):
        code, out, errors = self.guest.ask("snapshot", path)
        expect("save " + path, (code, json.loads(out)["ok"], errors),
               (0, True, ""))
        self.whole(path)

    def whole(self, path):
        code, _, errors = run(self.thaw, "inspect", "--verify", path)
        expect("whole", (code, errors), (0, ""))


def identity(path):
    """The identity of a snapshot."""
    with open(os.path.join(path, "state"), "rb") as f:
        return f.read(48)[32:]


def save_full(saver, work):
    """A full disk, with and without an old snapshot."""
    path = os.path.join(mount(os.path.join(work, "full"), "size=6m"), "s")
    saver.save(path)
    old = identity(path)
    saver.refuse(path, "No space left on device")
    expect("old one", identity(path), old)
    saver.whole(path)
    saver.refuse(path + "2", "No space left on device")
    shutil.rmtree(path)
    saver.save(path + "2")
    # All sizes, so that each of the files is the one that does not fit.
    folder = mount(os.path.join(work, "sizes"), "size=4096k")
    failed = 0
    for kib in list(range(4096, 4500, 24)) + [5000]:
        subprocess.run(["mount", "-o", "remount,size=%dk" % kib, folder],
                       check=True)
        path = os.path.join(folder, "s")
        code, _, errors = saver.guest.ask("snapshot", path)
        if code == 0:
            saver.whole(path)
            shutil.rmtree(path)
            continue
        refused((code, "", errors), "No space left on device")
        expect("left behind", os.listdir(folder), [])
        failed += 1
    if not failed or code:
        raise Failure("%d saves failed, the last %d" % (failed, code))
    # No room for even a name.
    path = os.path.join(mount(os.path.join(work, "names"),
                              "size=1m,nr_inodes=1"), "s")
    saver.refuse(path, "No space left on device")


def save_read_only(saver, work):
    """A folder that cannot be written, the old snapshot in it."""
    folder = mount(os.path.join(work, "ro"), "size=64m")
    path = os.path.join(folder, "s")
    saver.save(path)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    saver.refuse(path, "Read-only file system")
    saver.refuse(path + "2", "Read-only file system")
    saver.whole(path)


def save_limited(saver, work):
    """Files may not be as large as the guest: `memory` has holes, but its
    length counts."""
    pid = saver.guest.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    # Far more than the guest has printed.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (32 << 20, before[1]))
    path = os.path.join(work, "limited")
    code, _, errors = run(saver.thaw, "snapshot", saver.guest.control, path)
    refused((code, "", errors), "File too large")
    saver.goes_on()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    expect("left", [n for n in os.listdir(work) if "limited" in n], [])
    saver.save(path)


def save_cannot_replace(thaw, kernel, work):
    """A snapshot that cannot be replaced, as the file system has no exchange,
    is refused before any of the guest's memory is written: here none could be,
    as no file may be as long as it."""
    work = os.path.join(work, "unreplaceable")
    os.mkdir(work)
    path = os.path.join(work, "s")
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-p",
                               "steps=0"], failing(errno.EINVAL, "renameat2"))
    # Where nothing is, nothing has to be exchanged.
    for name in (path, path + "2"):
        code, _, errors = run(thaw, "snapshot", guest.control, name)
        expect("save", (code, errors), (0, ""))
    old = identity(path)
    resource.prlimit(guest.process.pid, resource.RLIMIT_FSIZE, (16 << 20,) * 2)
    names = sorted(os.listdir(work))
    code, _, errors = run(thaw, "snapshot", guest.control, path)
    refused((code, "", errors),
            "snapshot %s: this file system does not support atomic "
            "exchange; remove the old snapshot first" % path)
    expect("folder", sorted(os.listdir(work)), names)
    expect("old one", identity(path), old)
    guest.quit()


def save_exists(saver, work):
    """A save replaces a snapshot or an empty folder, and nothing else."""
    at = os.path.join(work, "exists")
    os.mkdir(at)
    kept = {"folder": "x/file", "file": None, "almost": "state"}
    for name, inside in kept.items():
        path = os.path.join(at, name)
        if inside:
            os.makedirs(os.path.dirname(os.path.join(path, inside)))
        with open(os.path.join(path, inside) if inside else path, "w") as f:
            f.write("mine")
        saver.refuse(path, "exists and is not a snapshot; not replaced")
        with open(os.path.join(path, inside) if inside else path) as f:
            expect(path, f.read(), "mine")
    path = os.path.join(at, "empty")
    os.mkdir(path)
    saver.save(path)
    old = identity(path)
    link = os.path.join(at, "link")
    os.symlink("empty", link)
    saver.refuse(link, "exists and is not a snapshot")
    expect("behind the link", identity(path), old)
    saver.save(path)
    if identity(path) == old:
        raise Failure("not replaced")
    expect("names", sorted(os.listdir(at)),
           ["almost", "empty", "file", "folder", "link"])
    saver.refuse(os.path.join(work, "none", "s"), "No such file")
    saver.refuse(os.path.join(at, "file", "s"), "Not a directory")
    saver.refuse(os.path.join(at, "n" * 250), "File name too long")
    for name in (".", "..", "empty/.."):
        saver.refuse(os.path.join(at, name), "not a valid directory name")


def copies(whole, work):
    """Copies of the snapshot, each thrown away when the next is made."""
    path = os.path.join(work, "copy")

    def fresh():
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(whole, path)
        return path
    return fresh


def change_section(path, tag, offset, new):
    """Puts bytes into the header of a section, and recomputes its checksum."""
    with open(path, "r+b") as f:
        data = bytearray(f.read())
        at = sections(data)[tag][0]
        data[at + offset:at + offset + len(new)] = new
        fix_section(data, at)
        f.seek(0)
        f.write(data)


def restore_headers(thaw, fresh):
    """Another architecture, a newer format, unknown sections."""
    arch = platform.machine()
    path = fresh()
    state = os.path.join(path, "state")
    change_header(state, 16, OTHER[arch].ljust(16, b"\0"))
    for command in (("restore",), ("restore", "--verify"),
                    ("restore", "--pager=map")):
        refused(run(thaw, *command, path),
                "%s: snapshot of a guest for %s, this host is %s" % (
                    state, OTHER[arch].decode(), arch))
    state = os.path.join(fresh(), "state")
    change_header(state, 8, (3).to_bytes(4, "little"))
    for command in ("restore", "inspect"):
        refused(run(thaw, command, path),
                r"%s: made by a newer thaw \(format version 3, maximum "
                r"supported: 2\)" % state)
    pages = os.path.join(fresh(), "pages")
    with open(pages, "r+b") as f:
        head = bytearray(f.read(88))
        head[8] = 3
        head[84:88] = crc32c(head[:84]).to_bytes(4, "little")
        f.seek(0)
        f.write(head)
    refused(run(thaw, "restore", path), "%s: .*newer" % pages)
    state = os.path.join(fresh(), "state")
    change_section(state, "cpu0", 24, (9).to_bytes(4, "little"))
    refused(run(thaw, "restore", path),
            "%s: section cpu0 has version 9, maximum supported: 1" % state)
    state = os.path.join(fresh(), "state")
    change_section(state, "dev.rng", 0, b"dev.other".ljust(16, b"\0"))
    refused(run(thaw, "restore", path),
            "%s: section dev.other is not supported by this version of thaw" % state)


def restore_files(thaw, fresh, work):
    """Files that are missing, cut short or unreadable."""
    for name in ("state", "memory", "pages"):
        path = fresh()
        file = os.path.join(path, name)
        os.unlink(file)
        for command in (("restore",), ("inspect",), ("inspect", "--json")):
            refused(run(thaw, *command, path), file + ": No such file")
        os.mkdir(file)
        refused(run(thaw, "restore", path), file + ": not a regular file")
        file = os.path.join(fresh(), name)
        os.truncate(file, os.path.getsize(file) - 1)
        refused(run(thaw, "restore", path), file + ": truncated")
        file = os.path.join(fresh(), name)
        with open(file, "ab") as f:
            f.write(b"\0")
        refused(run(thaw, "restore", path), file + ": larger than")
    os.mkdir(os.path.join(work, "nothing"))
    refused(run(thaw, "restore", os.path.join(work, "nothing")),
            "nothing/state: No such file")
    refused(run(thaw, "restore", os.path.join(work, "none")),
            "none: No such file")
    refused(run(thaw, "restore", os.path.join(path, "state")),
            "state: not a snapshot: not a directory")


def restore_unreadable(thaw, fresh):
    """Files and folders that the user may not read."""
    user = {}
    if os.geteuid() == 0:
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        if run(thaw, "version", **user)[0]:
            raise OSError("no")
    except (OSError, subprocess.SubprocessError):
        print("# another user cannot run this thaw: unreadable files are not tested")
        return
    for name in ("state", "memory", "pages", ""):
        path = fresh()
        for folder, _, files in os.walk(path):
            os.chmod(folder, 0o755)
            for file in files:
                os.chmod(os.path.join(folder, file), 0o644)
        file = os.path.join(path, name).rstrip("/")
        os.chmod(file, 0)
        refused(run(thaw, "restore", path, **user), file +
                ": Permission denied")
        os.chmod(path, 0o755)


def restore_disks(thaw, fresh, kernel, work):
    """The disks must exist, with the saved size, and be writable if they were."""
    disk, other = os.path.join(work, "disk"), os.path.join(work, "other")
    for name, size in ((disk, 2 << 20), (other, 1 << 20)):
        with open(name, "wb") as f:
            f.truncate(size)
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "32", "-d", disk,
                               "-p", "steps=0"])
    path = os.path.join(work, "with a disk")
    guest.save(path)
    guest.end()
    sizes = "size is 1048576 bytes; the snapshot's disk has 2097152"
    refused(run(thaw, "restore", "-d", other, path), other + ": " + sizes)
    refused(run(thaw, "restore", "-d", disk, "-d", other, path),
            "--disk: 2 disks given, the snapshot has 1$")
    refused(run(thaw, "restore", "-d", disk + ",ro", path),
            disk + ": read-only, but the snapshot's disk is writable")
    refused(run(thaw, "restore", "-d", work + "/none", path),
            "disk %s/none .*No such file" % work)
    refused(run(thaw, "restore", "-d", disk, fresh()),
            "--disk: 1 disk given, the snapshot has 0$")
    as_it_was = ["restore", "--trust-paths", path]
    guest = Guest(thaw, work, as_it_was)
    refused(run(thaw, *as_it_was), disk + ": .*(in use|lock)")
    guest.quit()
    os.truncate(disk, 1 << 20)
    refused(run(thaw, *as_it_was), disk + ": " + sizes)
    os.unlink(disk)
    refused(run(thaw, *as_it_was), "disk %s .*No such file" % disk)
    os.truncate(other, 2 << 20)
    guest = Guest(thaw, work, ["restore", "-d", other, path])
    guest.quit()


def main():
    mounts = enter_namespace()
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-refusals.")
    os.chmod(work, 0o755)
    try:
        saver = Saver(thaw, kernel, work)
        if mounts:
            save_full(saver, work)
            save_read_only(saver, work)
        else:
            print("# no mount namespace: nothing is full or read-only")
        save_limited(saver, work)
        save_cannot_replace(thaw, kernel, work)
        save_exists(saver, work)
        saver.guest.quit()
        fresh = copies(saver.elsewhere, work)
        restore_headers(thaw, fresh)
        restore_files(thaw, fresh, work)
        restore_unreadable(thaw, fresh)
        restore_disks(thaw, fresh, kernel, work)
        # What was refused was so for its own reason.
        Guest(thaw, work, ["restore", fresh()]).quit()
    finally:
        for name in ("full", "sizes", "names", "ro"):
            if mounts and os.path.ismount(os.path.join(work, name)):
                subprocess.run(["umount", "-l", os.path.join(work, name)],
                               check=False)
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
