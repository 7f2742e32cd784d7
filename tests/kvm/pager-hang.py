#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Reads and writes that block in the host kernel, as when a file server is gone:
thaw still exits, with the right status, and restores the terminal.  The files are
on a FUSE file system of this test.

A read that a signal interrupts ends at once; thaw exits without waiting for any
other after the grace period.

usage: pager-hang.py THAW GUESTS SUFFIX [CASE...]
"""
import concurrent.futures
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios

from fuse_server import Mount, NoMount, private_mounts
from harness import (Guest, arguments, complete, contents,
                     die_with_parent, require, require_uffd, run_case,
                     sanitizers, skip, wait, wait_until, write_signatures)

DONE, SOURCE, LEFT = 0, 81, 83
LEFT_BEHIND = re.compile(r"^thaw: a system call did not return within 10 s after "
                         r"the guest's end \(.*\); exiting without waiting for "
                         r"it\s*$", re.M)


class Bed:
    """The guests, initrd and snapshot of all cases."""

    def __init__(self, thaw, guests, suffix, work):
        self.thaw, self.guests, self.suffix = thaw, guests, suffix
        self.work = work
        self.files = os.path.join(work, "files")
        os.mkdir(self.files)
        write_signatures(guests, os.path.join(self.files, "initrd"), 2048)
        self.snapshot = os.path.join(work, "snapshot")
        guest = Guest(thaw, self.folder(), self.chain("pages=4096"))
        try:
            wait_until("output", lambda: len(guest.output()) > 200)
            guest.save(self.snapshot)
        finally:
            guest.end()

    def folder(self):
        return tempfile.mkdtemp(dir=self.work)

    def kernel(self, name):
        return os.path.join(self.guests, name + "." + self.suffix)

    def chain(self, params):
        return ["run", "-m", "64M", "-k", self.kernel("chain"), "-p",
                "steps=0 period=50 " + params]

    def touch(self, mount, *options, pages=512):
        """A guest that looks at so many pages of its initrd."""
        return ["run", "--pager=uffd", "-m", "128M", "-k", self.kernel("touch"),
                "-p", "base=initrd pages=%d order=rand check=signature" %
                pages, "-i", os.path.join(mount.path, "initrd"), *options]


class Thaw:
    """A thaw on a terminal of its own."""

    def __init__(self, bed, options):
        self.master, self.slave = pty.openpty()
        self.control = os.path.join(bed.folder(), "control")
        self.err = tempfile.TemporaryFile(dir=bed.work)
        self.found = termios.tcgetattr(self.slave)
        self.thaw = bed.thaw
        self.process = subprocess.Popen(
            [bed.thaw, *options, "--control", self.control], stdin=self.slave,
            stdout=self.slave, stderr=self.err, preexec_fn=die_with_parent)

    def read_output(self):
        """Empties the terminal, so that thaw never waits for it."""
        while select.select([self.master], [], [], 0)[0]:
            os.read(self.master, 65536)

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def wait_raw(self):
        def raw():
            self.read_output()
            require(self.process.poll() is None, "ended", self.errors())
            return self.is_raw()
        wait_until("the terminal is raw", raw)

    def wait_end(self, status):
        got = wait(self.process)
        require(got == status, "status %d, not %d" % (got, status),
               self.errors())
        require(termios.tcgetattr(self.slave) == self.found,
               "the terminal is not as it was")
        require(not os.path.exists(self.control), "the socket is left")

    def errors(self):
        return contents(self.err).decode(errors="replace")

    def leave(self):
        os.write(self.master, b"\x01x")

    def term(self):
        self.process.send_signal(signal.SIGTERM)

    def quit(self):
        done = complete([self.thaw, "ctl", self.control, "quit"],
                        [self.process.pid])
        require(done.returncode == 0, "quit is refused", done)

    def end(self):
        self.process.kill()
        os.close(self.master)
        os.close(self.slave)
        self.process.wait()
        self.err.close()


ENDS = {"term": (Thaw.term, 128 + signal.SIGTERM), "leave": (Thaw.leave, LEFT),
        "quit": (Thaw.quit, DONE)}


def with_hang(bed, directory, target, mode, cache, options, check):
    """Runs thaw on a mount until a read hangs, then calls check()."""
    mount = Mount(directory, bed.folder(), target, cache)
    thaw = None
    try:
        if target == "initrd":
            mount.set_mode(mode)
        thaw = Thaw(bed, options(mount))
        thaw.wait_raw()
        mount.set_mode(mode)
        wait_until("a read hangs", mount.hung)
        check(thaw, mount)
    finally:
        # First, as it ends the reads that hang.
        mount.end()
        if thaw:
            thaw.end()


def boot(bed, mode, cache, check, *options):
    with_hang(bed, bed.files, "initrd", mode, cache,
              lambda mount: bed.touch(mount, *options), check)


def restore(bed, mode, cache, check):
    """A background fill, slow enough to last for the whole case."""
    with_hang(bed, bed.snapshot, "memory", mode, cache,
              lambda mount: ["restore", "--pager=uffd", "--prefault=1M",
                             mount.path], check)


def device(bed, check):
    """The event loop reads, for a device."""
    with_hang(bed, bed.files, "initrd", "interruptible", "direct",
              lambda mount: ["run", "--pager=uffd", "--page-deadline=600", "-m",
                             "64M", "-k", bed.kernel("entropy"), "-i",
                             os.path.join(mount.path, "initrd")], check)


def ends_at_once(how):
    """A signal ends the read, so thaw exits normally."""
    act, status = ENDS[how]

    def check(thaw, _):
        act(thaw)
        thaw.wait_end(status)
        require(not thaw.errors(), "not in silence", thaw.errors())
    return check


def is_left_behind(how):
    """Only the end of the process ends the read."""
    act, status = ENDS[how]

    def check(thaw, _):
        act(thaw)
        thaw.wait_end(status)
        require(LEFT_BEHIND.fullmatch(thaw.errors()), "not one clear line",
               thaw.errors())
    return check


def stays_as_a_process(thaw, mount):
    """Only the file server can end the read; everything else is cleaned up."""
    thaw.term()
    wait_until("the message", lambda: LEFT_BEHIND.search(thaw.errors()))
    require(not thaw.is_raw(), "the terminal is raw")
    require(not os.path.exists(thaw.control), "the socket is left")
    mount.end()
    thaw.wait_end(128 + signal.SIGTERM)


def ends_by_policy(thaw, _):
    """Exits after the deadline and the grace period."""
    thaw.wait_end(SOURCE)
    require(re.match(r"thaw: guest memory at 0x[0-9a-f]+: read \S+ \(load plan\): "
                     r"not completed after [0-9.]+ s; the guest stops\s+",
                     thaw.errors()) and LEFT_BEHIND.search(thaw.errors()),
            "not clear", thaw.errors())


def output_hangs(bed):
    """The loop blocks in write(2) and there is no pager: the usual grace period
    applies, not the longer one of a slow reader of the output."""
    files = bed.folder()
    open(os.path.join(files, "out"), "w").close()
    mount = Mount(files, bed.folder(), "out", "direct")
    thaw = None
    try:
        with tempfile.TemporaryFile(dir=bed.work) as err:
            # Not a file object: its close() seeks, which waits for the write.
            out = os.open(os.path.join(mount.path, "out"), os.O_RDWR)
            mount.set_mode("hang")
            thaw = subprocess.Popen(
                [bed.thaw, *bed.chain("pages=16")], stdout=out, stderr=err,
                stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
            os.close(out)
            wait_until("a write hangs", mount.hung)
            thaw.terminate()
            wait_until("the message", lambda: LEFT_BEHIND.fullmatch(
                contents(err).decode()))
        # Nothing but its file server ends the write.
        mount.end()
        require(wait(thaw) == 128 + signal.SIGTERM, "status",
               thaw.returncode)
    finally:
        mount.end()
        if thaw:
            thaw.kill()
            thaw.wait()


def errors_not_read(bed):
    """The reader of standard error does not read: thaw exits without its line."""
    mount = Mount(bed.files, bed.folder(), "initrd", "cached")
    reader, writer = os.pipe()
    thaw = None
    try:
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, bytes(4096))
        except BlockingIOError:
            os.set_blocking(writer, True)
        mount.set_mode("hang")
        thaw = subprocess.Popen([bed.thaw, *bed.touch(mount)], stderr=writer,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL,
                                preexec_fn=die_with_parent)
        wait_until("a read hangs", mount.hung)
        thaw.terminate()
        require(wait(thaw) == 128 + signal.SIGTERM, "status",
               thaw.returncode)
    finally:
        mount.end()
        if thaw:
            thaw.kill()
            thaw.wait()
        os.close(reader)
        os.close(writer)


def real_errors(bed):
    """The kernel fails to read one page: a guest that needs others runs."""
    mount = Mount(bed.files, bed.folder(), "initrd", "direct")
    try:
        # In the block of the last pages that it looks at.
        mount.set_mode("error=505")
        done = complete([bed.thaw, *bed.touch(mount, pages=500)])
        require(done.returncode == 0 and b"0 failed" in done.stdout and
               not done.stderr, "not right", done)
        mount.set_mode("error=200")
        done = complete([bed.thaw, *bed.touch(mount, "--page-deadline=1")])
        lines = done.stderr.decode().splitlines()
        require(done.returncode == SOURCE and len(lines) == 2 and
               "retrying for" in lines[0] and "guest stops" in lines[1] and
               lines[0].split(":")[1] == lines[1].split(":")[1],
               "not the first failure and the last", lines)
    finally:
        mount.end()


def cases(bed):
    """{name: function} of all cases."""
    found = {
        "boot-process": lambda: boot(bed, "hang", "direct",
                                     stays_as_a_process),
        "boot-policy": lambda: boot(bed, "hang", "cached", ends_by_policy,
                                    "--page-deadline=1"),
        "output": lambda: output_hangs(bed),
        "errors-not-read": lambda: errors_not_read(bed),
        "errors": lambda: real_errors(bed)}
    for how in ENDS:
        found["device-signal-" + how] = lambda h=how: device(
            bed, ends_at_once(h))
        for name, run in ("boot", boot), ("restore", restore):
            found["%s-signal-%s" % (name, how)] = lambda r=run, h=how: r(
                bed, "interruptible", "direct", ends_at_once(h))
            found["%s-grace-%s" % (name, how)] = lambda r=run, h=how: r(
                bed, "hang", "cached", is_left_behind(h))
    return found


def main():
    # A process that exits without its hung threads has not joined them.
    os.environ["TSAN_OPTIONS"] = \
        sanitizers("report_thread_leaks=0")["TSAN_OPTIONS"]
    chosen, sys.argv[4:] = sys.argv[4:], []
    thaw, kernel, _ = arguments(__doc__)
    guests, suffix = os.path.dirname(kernel), sys.argv[3]
    work = tempfile.mkdtemp(prefix="thaw-hang.")
    try:
        private_mounts()
        bed = Bed(thaw, guests, suffix, work)
        Mount(bed.files, bed.folder(), "none", "direct").end()
        require_uffd(thaw)
        todo = {n: c for n, c in cases(bed).items()
                if not chosen or any(w in n for w in chosen)}
        # They mostly wait.
        with concurrent.futures.ThreadPoolExecutor(len(todo) or 1) as pool:
            failed = [f for f in pool.map(run_case, todo, todo.values()) if f]
        print("# %d cases, %d failed" % (len(todo), len(failed)))
        return 1 if failed or not todo else 0
    except NoMount as e:
        skip("this test cannot mount FUSE: %s" % e)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
