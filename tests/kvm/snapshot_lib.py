# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of snapshots share: a thaw in the background with a control
socket, and the payload that keeps a chain."""
import ctypes
import os
import platform
import re
import signal
import struct
import subprocess
import sys
import time

SKIP = 77
LINE = re.compile(r"chain: cpu=(\d+) step=(\d+) hash=([0-9a-f]{16})")


PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER, SECCOMP_ERRNO, SECCOMP_ALLOW = 2, 0x50000, 0x7fff0000
# Of each architecture, as in asm/unistd.h.
NUMBERS = {
    "x86_64": {"ioctl": 16, "fdatasync": 75, "inotify_init1": 294,
               "renameat2": 316, "userfaultfd": 323},
    "aarch64": {"ioctl": 29, "fdatasync": 83, "inotify_init1": 26,
                "renameat2": 276, "userfaultfd": 282}}
# linux/userfaultfd.h, linux/seccomp.h
USERFAULTFD_IOC_NEW, SECOND_ARGUMENT = 0xaa00, 24


def die_with_parent():
    """In a child: a test that ends, however it ends, leaves no guest behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def failing(error, *calls):
    """For a child: system calls that fail with an error from there on, as they
    would on a host where they cannot work.  A call is a name, or of ioctl(2)
    the number of the request."""
    numbers = NUMBERS[platform.machine()]
    steps = []
    for call in calls:
        is_ioctl = isinstance(call, int)
        steps.append((0x20, 0, 0, 0))  # load the number of the call
        number = numbers["ioctl" if is_ioctl else call]
        steps.append((0x15, 0, 3 if is_ioctl else 1, number))
        if is_ioctl:
            steps.append((0x20, 0, 0, SECOND_ARGUMENT))
            steps.append((0x15, 0, 1, call))
        steps.append((0x06, 0, 0, SECCOMP_ERRNO | error))
    steps.append((0x06, 0, 0, SECCOMP_ALLOW))
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    filters = ctypes.create_string_buffer(code, len(code))
    libc = ctypes.CDLL(None, use_errno=True)

    def install():
        program = ctypes.create_string_buffer(struct.pack(
            "@HP", len(code) // 8, ctypes.addressof(filters)))
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
                PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")
    return install


class Failure(Exception):
    """What the test found."""


def contents(file):
    """What a file holds.  A child that writes to it shares its position, so
    that must not be moved: the child would write over what is there."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def threads(pid):
    """The threads of a process: {id: (name, state)}; none when it has gone."""
    found = {}
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/stat" % (pid, thread)) as f:
                name, rest = f.read().rsplit(")", 1)
            found[thread] = name.split("(", 1)[1], rest.split()[0]
    except OSError:
        return {}
    return found


def cpu_seconds(pid):
    """The processor time that a process has used."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Patience:
    """How long processes are waited for, in a time that passes only while they
    could do what they should, so that it runs out for one that hangs, and not
    on a machine that is slow or loaded.  It is the time in which all threads
    sleep, and while one is ready to run or waits for a disk, the processor time
    that they get."""

    LIMIT, LOOK = 60, 0.1

    def __init__(self, *pids, limit=LIMIT):
        self.pids, self.limit, self.spent = pids, limit, 0.0
        self.at, self.cpu = time.monotonic(), self.used()

    def used(self):
        return sum(cpu_seconds(pid) for pid in self.pids)

    def spend(self, what):
        """Is called at least every tenth of a second; more does not count, as
        it is the test itself that did not run."""
        now, cpu = time.monotonic(), self.used()
        states = [thread for pid in self.pids
                  for thread in threads(pid).values()]
        if any(state in "RD" for _, state in states):
            self.spent += max(cpu - self.cpu, 0)
        else:
            self.spent += min(now - self.at, self.LOOK)
        self.at, self.cpu = now, cpu
        if self.spent > self.limit:
            raise Failure("%s: nothing for %d s: %s" % (
                what, self.limit, states))


def finish(process, *pids):
    """Waits for a child to end, and for what it writes: (output, errors).
    @pids: what it waits for in turn."""
    patience = Patience(process.pid, *pids)
    while True:
        try:
            return process.communicate(timeout=0.01)
        except subprocess.TimeoutExpired:
            patience.spend(process.args)


class Guest:
    """A thaw in the background, with a control socket.  @prepare runs in the
    child before it."""

    def __init__(self, thaw, work, arguments, prepare=None):
        def before():
            die_with_parent()
            if prepare:
                prepare()

        self.thaw, self.control = thaw, os.path.join(work, "control")
        self.out = open(os.path.join(work, "out"), "w+b")
        self.err = open(os.path.join(work, "err"), "w+b")
        self.process = subprocess.Popen(
            [thaw, *arguments, "--control", self.control],
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
            preexec_fn=before)
        try:
            self.wait_for("start", lambda: os.path.exists(self.control))
        except Failure:
            self.end()
            raise

    def wait_for(self, what, condition):
        """Waits for something that the guest must do while it runs."""
        patience = Patience(self.process.pid)
        while not condition():
            status = self.process.poll()
            if status is not None and not condition():
                raise Failure("%s: ended with status %d: %s%s" % (
                    what, status, self.errors(), self.output()[-600:]))
            patience.spend(what)
            time.sleep(0.01)

    def wait_end(self):
        """Waits for it to end; its exit status."""
        finish(self.process)
        return self.process.returncode

    def ask(self, *words):
        """Asks over the control socket; (status, answer, errors)."""
        asking = subprocess.Popen([self.thaw, "ctl", self.control, *words],
                                  stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        out, errors = finish(asking, self.process.pid)
        return asking.returncode, out.decode(), errors.decode()

    def save(self, path):
        """Saves and ends it; its output."""
        saving = subprocess.Popen(
            [self.thaw, "snapshot", "--stop", self.control, path],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        errors = finish(saving, self.process.pid)[1]
        status = self.wait_end()
        if saving.returncode or status:
            raise Failure("save: %d %s; guest: %d %s" % (
                saving.returncode, errors.decode(), status,
                self.errors() + self.output()[-600:]))
        return self.output()

    def output(self):
        return contents(self.out).decode(errors="replace")

    def errors(self):
        return contents(self.err).decode(errors="replace")

    def quit(self):
        """Ends it as a user does, in order; the lines on standard error."""
        code, _, errors = self.ask("quit")
        status = self.wait_end()
        if code or status:
            raise Failure("quit: %d %s; guest: %d %s %s" % (
                code, errors, status, self.errors(), self.output()[-300:]))
        lines = self.errors().splitlines()
        self.end()
        return lines

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.close()
        self.err.close()


def arguments(usage):
    """THAW, the chain payload, and the rest of the command line as numbers;
    leaves with the skip code where there is no KVM."""
    if len(sys.argv) < 4:
        sys.exit(usage)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: no /dev/kvm, or no permission for it")
        sys.exit(SKIP)
    thaw, guests, suffix = sys.argv[1:4]
    return (thaw, os.path.join(guests, "chain." + suffix),
            [int(n) for n in sys.argv[4:]])


def table_entry(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc


TABLE = [table_entry(byte) for byte in range(256)]


def crc32c(data):
    """The checksum of a snapshot's files."""
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def sections(data):
    """{tag: (offset, length)} of the sections in `state`."""
    at = int.from_bytes(data[12:16], "little")
    found = {}
    while at < len(data):
        size = int.from_bytes(data[at + 16:at + 24], "little")
        found[data[at:at + 16].rstrip(b"\0").decode()] = at, size
        at += 32 + size
    return found


def mend_section(data, at):
    """Makes the checksum of the section at an offset right."""
    size = int.from_bytes(data[at + 16:at + 24], "little")
    body = data[at:at + 28] + data[at + 32:at + 32 + size]
    data[at + 28:at + 32] = crc32c(body).to_bytes(4, "little")


def change_header(path, offset, new):
    """Puts bytes into the header of a `state`, and mends its checksum."""
    with open(path, "r+b") as f:
        data = bytearray(f.read())
        data[offset:offset + len(new)] = new
        end = int.from_bytes(data[12:16], "little") - 4
        data[end:end + 4] = crc32c(data[:end]).to_bytes(4, "little")
        f.seek(0)
        f.write(data)


def run(*words, **more):
    """Runs a program; (status, output, errors)."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, **more)
    return (done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"))


def run_case(name, case):
    """The name of a case that failed, or nothing."""
    began = time.monotonic()
    try:
        case()
    except (Failure, subprocess.SubprocessError, OSError, ValueError) as e:
        print("FAILED: %s: %s" % (name, e), flush=True)
        return name
    print("# %s: right, %.1f s" % (name, time.monotonic() - began), flush=True)
    return None


def expect(what, found, wanted):
    """The two must be equal."""
    if found != wanted:
        raise Failure("%s: %r, not %r" % (what, found, wanted))


def sanitizers(options):
    """The environment with more options for sanitizers, which a program that
    was built without them ignores."""
    env = dict(os.environ)
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
        env[name] = ":".join(filter(None, (env.get(name), options)))
    return env


def refused(done, pattern, status=70):
    """A run must have failed with one line that matches, and said nothing."""
    code, out, errors = done
    lines = errors.splitlines()
    if code != status or out or len(lines) != 1 or \
            not re.search("^thaw: .*(?:%s)" % pattern, lines[0]):
        raise Failure("not refused with status %d and a line like %r: "
                      "%d, %r, %r" % (status, pattern, code, out, errors))
