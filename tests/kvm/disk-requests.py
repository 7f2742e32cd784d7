#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A guest that drives a disk, many requests at a time, with each engine and with
O_DIRECT: the contents are right, also after pauses, and in a restored copy of a guest
that was saved in the middle.  A disk that does not answer stops neither the console nor
the end of the guest.

usage: disk-requests.py THAW GUESTS SUFFIX
"""
import errno
import os
import platform
import re
import shutil
import tempfile
import time

from fuse_server import Mount, NoMount, private_mounts
from harness import (NUMBERS, Failure, Guest, expect, failing, refused, require, run,
                     run_case, sanitizers, test_main, wait_until)

BYTES = 1 << 20
ENGINES = ("aio=auto", "aio=threads", "direct,aio=auto", "direct,aio=threads")
# How the file system has its files cached, and the disk.
HUNG = (("direct", "aio=auto"), ("direct", "aio=threads"),
        ("cached", "direct,aio=auto"), ("cached", "direct,aio=threads"))
LEFT_BEHIND = re.compile(r"thaw: a system call did not return within 10 s after .*\n")
IO_URING_SETUP = 425  # of each architecture


def make_disk(path):
    with open(path, "wb") as f:
        f.truncate(BYTES)
    return path


def words(setup, disk, passes, **more):
    args = {"mode": "verify", "depth": 32, "count": passes, "size": BYTES}
    args.update(more)
    return ["run", "-m", "32", "-k", setup.payload("disk"), "-p",
            " ".join("%s=%s" % pair for pair in args.items()), "-d", disk]


def supported(setup, disk, options):
    """Whether this file system has O_DIRECT."""
    done = setup.run(*words(setup, disk + "," + options, 1)[1:])
    if "direct" in options and done.status == 70 and "O_DIRECT" in done.err:
        print("# no O_DIRECT in " + setup.work)
        return False
    done.expect_checks()
    return True


# Of a guest that is paused and saved in the first five: a pause takes as long as some
# ten on a busy host, and the guest must not end before.
PAUSED_PASSES = 250


def passes(guest):
    return guest.output().count("pass ")


def ends_well(guest, what):
    """The guest ends by itself, and its checks have passed."""
    wait_until(what, lambda: guest.process.poll() is not None,
               guest.process.pid)
    expect(what, (guest.process.returncode, "SUMMARY: " in guest.output(),
                  "FAIL" in guest.output(), guest.errors()),
           (0, True, False, ""))
    guest.end()


def saved_in_the_middle(setup, disk, options):
    """Pauses, a snapshot with a copy of the disk, and both go on to the end."""
    folder = os.path.join(setup.work, "copy")
    path = os.path.join(folder, "s")
    os.makedirs(folder)
    guest = Guest(setup.thaw, setup.work,
                  words(setup, disk + "," + options, PAUSED_PASSES, queue=3) +
                  ["-c", "4"])
    for n in range(5):
        wait_until("passes", lambda: passes(guest) > n, guest.process.pid)
        expect("pause", guest.ask("pause")[::2], (0, ""))
        if n == 2:
            expect("save", guest.ask("snapshot", path)[::2], (0, ""))
            copy = shutil.copy(disk, folder)
        expect("resume", guest.ask("resume")[::2], (0, ""))
    ends_well(guest, "the saved guest")
    copy += "," + options
    ends_well(Guest(setup.thaw, folder, ["restore", "-d", copy, path]),
              "the restored guest")
    with open(disk, "rb") as f, open(copy.split(",")[0], "rb") as g:
        if f.read() != g.read():
            raise Failure("the disks differ")
    shutil.rmtree(folder)


def without_io_uring(setup, disk):
    """Where the host does not allow it, threads are used, unless io_uring is asked
    for by name."""
    NUMBERS[platform.machine()]["io_uring_setup"] = IO_URING_SETUP
    forbid = failing(errno.EPERM, "io_uring_setup")
    code, out, errors = run(setup.thaw, *words(setup, disk, 2),
                            preexec_fn=forbid)
    expect("fallback", (code, "SUMMARY: 3 checks, 0 failed" in out,
                        errors), (0, True, ""))
    refused(run(setup.thaw, *words(setup, disk + ",aio=io_uring", 2),
                preexec_fn=forbid),
            "disk %s: aio=io_uring is unavailable .use aio=threads.: " % disk)


class HungDisk:
    """A guest whose disk is on a FUSE file system, and has stopped to answer.  What
    comes from its console is sent back."""

    def __init__(self, setup, cache, mode, options):
        folder = tempfile.mkdtemp(dir=setup.work)
        files = os.path.join(folder, "files")
        os.mkdir(files)
        make_disk(os.path.join(files, "disk"))
        self.mount = Mount(files, folder, "disk", cache)
        reader, self.keys = os.pipe()
        try:
            self.guest = Guest(
                setup.thaw, folder,
                words(setup, "%s/disk,ro,%s" % (self.mount.path, options),
                      1 << 40, mode="read", depth=4, echo=1) + ["-c", "2"],
                stdin=reader)
            os.close(reader)
            self.guest.wait_for("ready",
                                lambda: "ready" in self.guest.output())
            self.mount.set_mode(mode)
            self.guest.wait_for("a read hangs", self.mount.hung)
        except BaseException:
            self.end()
            raise

    def echoes(self):
        for key in "abc":
            os.write(self.keys, key.encode())
            self.guest.wait_for("an echo", lambda k=key: self.guest.output()
                                .rstrip().endswith(k))

    def end(self):
        # First, as it ends the reads that hang.
        self.mount.end()
        if hasattr(self, "guest"):
            self.guest.end()
        os.close(self.keys)


def hung_disk(setup, cache, mode, options):
    """The console works, and the guest ends: at once if a signal ends the read, after
    the grace period of 10 seconds otherwise."""
    disk = HungDisk(setup, cache, mode, options)
    try:
        disk.echoes()
        require(disk.guest.ask("quit")[0] == 0, "quit is refused")
        if mode == "hang":
            began = time.monotonic()
            disk.guest.wait_for("the message", lambda: LEFT_BEHIND.fullmatch(
                disk.guest.errors()))
            # A slow reader of the output gets 60 seconds more, a disk does not.
            require(time.monotonic() - began < 60, "not the grace period")
            disk.mount.end()
        expect("end", (disk.guest.wait_end(), mode != "hang" and
                       disk.guest.errors()), (0, mode != "hang" and ""))
    finally:
        disk.end()


def hung_cases(setup):
    """{name: function}"""
    try:
        private_mounts()
        folder = tempfile.mkdtemp(dir=setup.work)
        Mount(folder, tempfile.mkdtemp(dir=setup.work), "none", "direct").end()
    except NoMount as why:
        print("# no FUSE: %s" % why)
        return {}
    return {"%s-%s-%s" % (mode, cache, options):
            lambda m=mode, c=cache, o=options: hung_disk(setup, c, m, o)
            for mode in ("interruptible", "hang") for cache, options in HUNG}


def test(setup):
    # A process that exits without its hung threads has not joined them.
    os.environ["TSAN_OPTIONS"] = \
        sanitizers("report_thread_leaks=0")["TSAN_OPTIONS"]
    disk = make_disk(os.path.join(setup.work, "disk"))
    failed = []
    for options in ENGINES:
        if supported(setup, disk, options):
            failed += [run_case(options, lambda o=options: saved_in_the_middle(
                setup, disk, o))]
    for name, case in hung_cases(setup).items():
        failed += [run_case(name, case)]
    failed += [run_case("fallback", lambda: without_io_uring(setup, disk))]
    if any(failed):
        raise Failure(", ".join(filter(None, failed)))


test_main(__doc__, test)
