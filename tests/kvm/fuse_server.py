#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A file system whose reads fail or do not return: the files of one directory,
served through /dev/fuse (fuse(4), include/uapi/linux/fuse.h).

What a read does is in the file MODE of the state directory, looked at for each:
  ok             it returns the bytes
  hang           it does not return
  interruptible  it does not return before a signal comes
  error=PAGE     it fails if it touches that page of 4096 bytes
and applies to the file that TARGET there names.  Each read that does not return
adds a line to the file HUNG.  A write does the same, but for the bytes: it keeps
none.

Tests use mount() and start(); it needs the rights to mount.

usage: fuse_server.py FD DIRECTORY STATE direct|cached
"""
import ctypes
import errno
import os
import struct
import subprocess
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, STATFS, RELEASE = 1, 2, 3, 14, 15, 16, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT = 25, 26, 27, 28, 29, 36
DESTROY, BATCH_FORGET = 38, 42
FOPEN_DIRECT_IO = 1
# A read of the page cache then waits for a page, which a fatal signal ends.
FUSE_ASYNC_READ = 1
ROOT = 1
CLONE_NEWNS, MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 0x20000, 2, 4, 16384, \
    1 << 18

LIBC = ctypes.CDLL(None, use_errno=True)


class NoMount(Exception):
    """This host or this user cannot mount such a file system."""


def call(function, *arguments):
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise NoMount(os.strerror(number))


def private_mounts():
    """Mounts of this process are visible only to its children from here on."""
    call(LIBC.unshare, CLONE_NEWNS)
    call(LIBC.mount, b"none", b"/", None, MS_REC | MS_PRIVATE, None)


class Mount:
    """DIRECTORY, served at a path under WORK."""

    def __init__(self, directory, work, target, cache):
        self.path = os.path.join(work, "mount")
        self.state = os.path.join(work, "state")
        os.mkdir(self.path)
        os.mkdir(self.state)
        self.set_mode("ok")
        self.write("TARGET", target)
        self.write("HUNG", "")
        try:
            fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as e:
            raise NoMount("/dev/fuse: " + e.strerror) from e
        call(LIBC.mount, b"thaw-test", self.path.encode(), b"fuse",
             MS_NOSUID | MS_NODEV,
             b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fd)
        self.server = subprocess.Popen(
            [sys.executable, "-B", __file__, str(fd), directory, self.state,
             cache], pass_fds=[fd])
        os.close(fd)

    def write(self, name, text):
        path = os.path.join(self.state, name)
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def set_mode(self, mode):
        self.write("MODE", mode)

    def hung(self):
        """How many reads have not returned so far."""
        with open(os.path.join(self.state, "HUNG")) as f:
            return len(f.readlines())

    def end(self):
        """Ends the server; pending reads and writes fail."""
        self.server.kill()
        self.server.wait()
        LIBC.umount2(self.path.encode(), 2)


class Server:
    """The server's side of the descriptor."""

    def __init__(self, fd, directory, state, cache):
        self.fd, self.directory, self.state = fd, directory, state
        self.direct = cache == "direct"
        self.names = sorted(os.listdir(directory))
        self.files = [os.open(os.path.join(directory, n), os.O_RDONLY)
                      for n in self.names]
        self.waiting = set()

    def read_state(self, name):
        with open(os.path.join(self.state, name)) as f:
            return f.read()

    def attributes(self, node):
        if node == ROOT:
            return struct.pack("<6Q10I", ROOT, 0, 0, 0, 0, 0, 0, 0, 0,
                               0o40755, 2, 0, 0, 0, 4096, 0)
        size = os.fstat(self.files[node - 2]).st_size
        return struct.pack("<6Q10I", node, size, (size + 511) // 512, 0, 0, 0,
                           0, 0, 0, 0o100600, 1, 0, 0, 0, 4096, 0)

    def answer(self, unique, data=b"", error=0):
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(data), -error,
                                          unique) + data)
        except OSError as e:
            # The request was interrupted and is gone.
            if e.errno != errno.ENOENT:
                raise

    def lookup(self, unique, name):
        if name not in self.names:
            return self.answer(unique, error=errno.ENOENT)
        node = self.names.index(name) + 2
        return self.answer(unique, struct.pack("<4Q2I", node, 0, 3600, 3600, 0,
                                               0) + self.attributes(node))

    def hangs(self, unique, interruptible):
        if interruptible:
            self.waiting.add(unique)
        with open(os.path.join(self.state, "HUNG"), "a") as f:
            f.write("%d\n" % unique)

    def read(self, unique, node, offset, size):
        mode, _, page = self.read_state("MODE").partition("=")
        if self.names[node - 2] != self.read_state("TARGET"):
            mode = "ok"
        if mode in ("hang", "interruptible"):
            return self.hangs(unique, mode == "interruptible")
        if mode == "error" and offset < (int(page) + 1) * 4096 and \
                offset + size > int(page) * 4096:
            return self.answer(unique, error=errno.EIO)
        return self.answer(unique, os.pread(self.files[node - 2], size,
                                            offset))

    def write(self, unique, node, size):
        mode = self.read_state("MODE")
        if self.names[node - 2] == self.read_state("TARGET") and \
                mode in ("hang", "interruptible"):
            return self.hangs(unique, mode == "interruptible")
        return self.answer(unique, struct.pack("<2I", size, 0))

    def interrupt(self, unique):
        if unique in self.waiting:
            self.waiting.remove(unique)
            self.answer(unique, error=errno.EINTR)

    def serve(self, opcode, unique, node, body):
        if opcode == INIT:
            self.answer(unique, struct.pack("<4I2H2I2H8I", 7, 31, 1 << 17,
                                            FUSE_ASYNC_READ, 16, 12, 1 << 17,
                                            1, 0, 0, *[0] * 8))
        elif opcode == LOOKUP:
            self.lookup(unique, body.rstrip(b"\0").decode())
        elif opcode == GETATTR:
            self.answer(unique, struct.pack("<Q2I", 3600, 0, 0) +
                        self.attributes(node))
        elif opcode in (OPEN, OPENDIR):
            direct = self.direct and opcode == OPEN
            self.answer(unique, struct.pack("<QIi", node, FOPEN_DIRECT_IO if
                                            direct else 0, 0))
        elif opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            self.read(unique, node, offset, size)
        elif opcode == WRITE:
            self.write(unique, node, struct.unpack_from("<QQI", body)[2])
        elif opcode == INTERRUPT:
            self.interrupt(struct.unpack("<Q", body)[0])
        elif opcode in (READDIR, FLUSH, RELEASE, RELEASEDIR):
            self.answer(unique)
        elif opcode not in (FORGET, BATCH_FORGET):
            self.answer(unique, error=errno.ENOSYS)

    def run(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 20)
            except OSError as e:
                # Unmounted, or a request that was interrupted first.
                if e.errno == errno.ENODEV:
                    return
                if e.errno in (errno.ENOENT, errno.EINTR):
                    continue
                raise
            length, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode == DESTROY:
                return
            self.serve(opcode, unique, node, request[40:length])


if __name__ == "__main__":
    Server(int(sys.argv[1]), *sys.argv[2:]).run()
