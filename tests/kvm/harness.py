# SPDX-License-Identifier: BSD-2-Clause
"""The harness of the tests on /dev/kvm: guests in the foreground and in the
background, limits for what hangs, system calls that fail, the checksums of
snapshot files, skips and results."""
import ctypes
import os
import platform
import re
import signal
import struct
import subprocess
import sys
import tempfile
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
    """For a child: SIGKILL when the test ends, so that no guest is left."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def failing(error, *calls):
    """For a child: makes system calls fail with an errno, as on a host that
    lacks them.  A call is a name, or the number of an ioctl(2) request."""
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
    """A check of the test failed."""


def skip(why):
    """Exits with the status of a test that cannot run here."""
    print("skipped: " + why)
    sys.exit(SKIP)


def contents(file):
    """The bytes of a file.  A child that writes to it shares the file position,
    so the position must not change."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def threads(pid):
    """The threads of a process: {id: (name, state)}; empty after its end."""
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
    """A limit for processes that hang.  It counts only time in which they could
    run, so a slow or loaded machine does not reach it: while all threads sleep,
    that is the time that passes; while a thread is ready to run or waits for a
    disk, it is the processor time used, or a SLOW-th of the time that passes
    where that is more."""

    LIMIT, LOOK, SLOW = 60, 0.1, 20

    def __init__(self, *pids, limit=LIMIT):
        self.pids, self.limit, self.spent = pids, limit, 0.0
        self.at, self.cpu = time.monotonic(), self.used()

    def used(self):
        return sum(cpu_seconds(pid) for pid in self.pids)

    def spend(self, what):
        """Call this at least every LOOK seconds; a longer interval counts as
        LOOK, because then it was the test that did not run."""
        now, cpu = time.monotonic(), self.used()
        states = [thread for pid in self.pids
                  for thread in threads(pid).values()]
        passed = min(now - self.at, self.LOOK)
        if any(state in "RD" for _, state in states):
            self.spent += max(cpu - self.cpu, passed / self.SLOW)
        else:
            self.spent += passed
        self.at, self.cpu = now, cpu
        if self.spent > self.limit:
            raise Failure("%s: no progress for %d s: %s" % (
                what, self.limit, states))


def wait_until(what, condition, *pids):
    """Waits for a condition that processes bring about."""
    patience = Patience(*pids)
    while not condition():
        patience.spend(what)
        time.sleep(0.01)


def wait(process, *pids):
    """Waits for the end of a child; its exit status.  @pids: processes that it
    waits for in turn."""
    wait_until("the end of %s" % process.args,
               lambda: process.poll() is not None, process.pid, *pids)
    return process.returncode


def finish(process, *pids):
    """Waits for the end of a child that writes to pipes: (output, errors).
    @pids: as of wait()."""
    patience = Patience(process.pid, *pids)
    while True:
        try:
            return process.communicate(timeout=0.01)
        except subprocess.TimeoutExpired:
            patience.spend(process.args)


def complete(words, pids=(), **more):
    """Runs a program to its end; a subprocess.CompletedProcess with bytes.
    @more: as of Popen."""
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE, **more}
    with subprocess.Popen(words, **settings) as process:
        try:
            out, errors = finish(process, *pids)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess(words, process.returncode, out,
                                           errors)


class Guest:
    """A thaw in the background, with a control socket.  @prepare runs in the
    child before the exec."""

    def __init__(self, thaw, work, arguments, prepare=None,
                 stdin=subprocess.DEVNULL):
        def before():
            die_with_parent()
            if prepare:
                prepare()

        self.thaw, self.control = thaw, os.path.join(work, "control")
        self.out = open(os.path.join(work, "out"), "w+b")
        self.err = open(os.path.join(work, "err"), "w+b")
        self.process = subprocess.Popen(
            [thaw, *arguments, "--control", self.control],
            stdin=stdin, stdout=self.out, stderr=self.err,
            preexec_fn=before)
        try:
            self.wait_for("start", lambda: os.path.exists(self.control))
        except Failure:
            self.end()
            raise

    def wait_for(self, what, condition):
        """Waits for a condition; the guest must not end before it is true."""
        def met():
            status = self.process.poll()
            if condition():
                return True
            if status is not None:
                raise Failure("%s: ended with status %d: %s%s" % (
                    what, status, self.errors(), self.output()[-600:]))
            return False
        wait_until(what, met, self.process.pid)

    def wait_end(self):
        """Waits for its end; its exit status."""
        return wait(self.process)

    def ask(self, *words):
        """Sends a verb over the control socket; (status, reply, errors)."""
        done = complete([self.thaw, "ctl", self.control, *words],
                        [self.process.pid])
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def save(self, path):
        """Takes a snapshot that ends the guest; the guest's output."""
        saving = complete(
            [self.thaw, "snapshot", "--stop", self.control, path],
            [self.process.pid])
        errors = saving.stderr
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
        """Ends it by `thaw ctl quit`; the lines on standard error."""
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
    skips the test where there is no KVM."""
    if len(sys.argv) < 4:
        sys.exit(usage)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        skip("no /dev/kvm, or no permission for it")
    thaw, guests, suffix = sys.argv[1:4]
    return (thaw, os.path.join(guests, "chain." + suffix),
            [int(n) for n in sys.argv[4:]])


def undisturbed(thaw, kernel, cpus, parameters):
    """The lines of a chain guest that ends by itself: {(cpu, step): hash}."""
    done = complete([thaw, "run", "-k", kernel, "-c", str(cpus), "-m", "64",
                     "-p", parameters])
    expect("status of the reference", done.returncode, 0)
    return {(int(c), int(s)): h
            for c, s, h in LINE.findall(done.stdout.decode())}


def require_uffd(thaw):
    """Skips the test where this host cannot page by userfaultfd."""
    done = complete([thaw, "run", "--pager=uffd", "-m", "64M"])
    if done.returncode == 70 and b"--pager=uffd" in done.stderr:
        skip(done.stderr.decode().strip())


def write_signatures(guests, path, pages):
    """Writes the pages that guests verify with check=signature."""
    tool = os.path.join(guests, "..", "tests", "kvm", "guest-signature")
    with open(path, "wb") as f:
        subprocess.run([tool, str(pages)], stdout=f, check=True)
    return path


class Run:
    """A `thaw run` that has ended: its status, and the text that the guest and
    thaw wrote.  Each expect method raises Failure with that text."""

    def __init__(self, thaw, *options):
        print("--- thaw run", *options, flush=True)
        done = complete([thaw, "run", *options])
        self.status = done.returncode
        self.out = done.stdout.decode(errors="replace").replace("\r", "")
        self.err = done.stderr.decode(errors="replace")

    def fail(self, what):
        shown = ["  out: " + line for line in self.out.splitlines()]
        shown += ["  err: " + line for line in self.err.splitlines()]
        raise Failure("\n".join([what, *shown]))

    def expect_status(self, status):
        if self.status != status:
            self.fail("status %d, not %d" % (self.status, status))

    def expect_out(self, pattern):
        """A line of standard output matches."""
        if not re.search(pattern, self.out, re.M):
            self.fail("no line of output like: " + pattern)

    def expect_no_out(self, pattern):
        if re.search(pattern, self.out, re.M):
            self.fail("a line of output like: " + pattern)

    def expect_err(self, pattern):
        """A line of standard error matches."""
        if not re.search(pattern, self.err, re.M):
            self.fail("no line on standard error like: " + pattern)

    def expect_checks(self):
        """The guest made checks, and none of them failed."""
        self.expect_status(0)
        self.expect_out(r"^SUMMARY: [1-9][0-9]* checks, 0 failed$")
        self.expect_no_out("^FAIL")


class Setup:
    """The command line of a test, and a directory for its files."""

    def __init__(self, usage, work):
        self.thaw, chain, self.numbers = arguments(usage)
        self.guests, self.suffix = os.path.dirname(chain), sys.argv[3]
        self.work = work

    def payload(self, name):
        return os.path.join(self.guests, name + "." + self.suffix)

    def run(self, *options):
        return Run(self.thaw, *options)

    def signatures(self, pages):
        """An initrd of so many pages for check=signature."""
        return write_signatures(self.guests, os.path.join(
            self.work, "signatures-%d" % pages), pages)

    def backings(self):
        """The values of --memory that work on this host."""
        memfd = self.run("--memory=guest_memfd", "-m", "64M")
        return ["anon", "guest_memfd"] if memfd.status == 0 else ["anon"]


def test_main(usage, test):
    """Runs test(Setup) and exits with its result."""
    with tempfile.TemporaryDirectory(prefix="thaw-test.",
                                     ignore_cleanup_errors=True) as work:
        try:
            test(Setup(usage, work))
        except Failure as why:
            print("FAILED: %s" % why)
            sys.exit(1)
    sys.exit(0)


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


def fix_section(data, at):
    """Recomputes the checksum of the section at an offset."""
    size = int.from_bytes(data[at + 16:at + 24], "little")
    body = data[at:at + 28] + data[at + 32:at + 32 + size]
    data[at + 28:at + 32] = crc32c(body).to_bytes(4, "little")


def change_header(path, offset, new):
    """Writes bytes into the header of a `state`, and recomputes its checksum."""
    with open(path, "r+b") as f:
        data = bytearray(f.read())
        data[offset:offset + len(new)] = new
        end = int.from_bytes(data[12:16], "little") - 4
        data[end:end + 4] = crc32c(data[:end]).to_bytes(4, "little")
        f.seek(0)
        f.write(data)


def run(*words, **more):
    """Runs a program to its end; (status, output, errors)."""
    done = complete(words, **more)
    return (done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"))


def run_case(name, case):
    """Runs a case; its name if it failed, else None."""
    began = time.monotonic()
    try:
        case()
    except (Failure, subprocess.SubprocessError, OSError, ValueError) as e:
        print("FAILED: %s: %s" % (name, e), flush=True)
        return name
    print("# %s: passed, %.1f s" % (name, time.monotonic() - began), flush=True)
    return None


def expect(what, found, wanted):
    """Fails unless the two are equal."""
    if found != wanted:
        raise Failure("%s: %r, not %r" % (what, found, wanted))


def require(condition, what, *more):
    """Fails unless the condition is true."""
    if not condition:
        raise Failure("; ".join([what, *(repr(m) for m in more)]))


def sanitizers(options):
    """The environment with more options for sanitizers; a program built
    without them ignores these."""
    env = dict(os.environ)
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
        env[name] = ":".join(filter(None, (env.get(name), options)))
    return env


def open_files(guest):
    """The files that a guest's thaw has open."""
    folder = "/proc/%d/fd" % guest.process.pid
    return [os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)]


def restore_opens(thaw, work, path, *words):
    """A restore must succeed and open @path, a disk or a directory."""
    guest = Guest(thaw, work, ["restore", *words])
    found = open_files(guest)
    guest.quit()
    require(os.path.realpath(path) in found,
            "%s is not open: %s" % (path, found))


def refused(done, pattern, status=70):
    """Fails unless a run() ended with a status, no output, and one line on
    standard error that matches."""
    code, out, errors = done
    lines = errors.splitlines()
    if code != status or out or len(lines) != 1 or \
            not re.search("^thaw: .*(?:%s)" % pattern, lines[0]):
        raise Failure("not refused with status %d and a line like %r: "
                      "%d, %r, %r" % (status, pattern, code, out, errors))
