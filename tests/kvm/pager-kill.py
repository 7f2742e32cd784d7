#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""thaw is killed at random moments of demand paging, of a restore and of a save:
it leaves no process and no file.  After SIGKILL, which cannot be caught, a stale
socket or the staging directory of a save may stay; the next thaw at the same path
replaces them.

usage: pager-kill.py THAW GUESTS SUFFIX [ROUNDS [SEED]]
"""
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from harness import (Failure, arguments, complete, contents, require_uffd, wait,
                     wait_until)

SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL
SNAPSHOT = {"state", "memory", "pages"}


def in_session(session):
    """The processes of a session, without zombies."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % name) as f:
                fields = f.read().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if name.isdigit() and int(fields[3]) == session and fields[0] != "Z":
            found.append(int(name))
    return found


class Process:
    """A thaw in a session and a directory of its own."""

    def __init__(self, thaw, work, log, arguments):
        self.work, self.thaw = work, thaw
        self.control = os.path.join(work, "control")
        self.log = open(log, "w+b")
        self.process = subprocess.Popen(
            [thaw, *arguments], cwd=work, env={**os.environ, "TMPDIR": work},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.log, start_new_session=True)

    def errors(self):
        return contents(self.log).decode(errors="replace")

    def wait_for(self, what, condition):
        def met():
            if condition():
                return True
            if self.process.poll() is not None:
                raise Failure("%s: %s %s" % (what, self.process.poll(),
                                             self.errors()))
            return False
        wait_until(what, met, self.process.pid)

    def ask(self, *words):
        return complete([self.thaw, "ctl", self.control, *words],
                        [self.process.pid])

    def answers(self):
        self.wait_for("no answer", lambda: self.ask("status").returncode == 0)

    def kill(self, number):
        """Ends it by a signal; none of its processes may remain."""
        self.process.send_signal(number)
        status = wait(self.process)
        # While it loads nothing is to be put in order yet.
        if status not in (128 + number, -number):
            raise Failure("%s: status %d: %s" % (number.name, status,
                                                 self.errors()))
        self.gone()
        return status

    def gone(self):
        left = in_session(self.process.pid)
        if left:
            raise Failure("processes are left: %s" % left)
        self.log.close()

    def quit(self):
        done = self.ask("quit")
        status = wait(self.process)
        if done.returncode or status:
            raise Failure("quit: %d %s; status %d: %s" % (
                done.returncode, done.stderr, status, self.errors()))
        self.gone()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Rounds:
    """The files and counters of all rounds."""

    def __init__(self, thaw, kernel, work, chance):
        # They run in another directory.
        self.thaw, self.kernel = map(os.path.abspath, (thaw, kernel))
        self.work = work
        self.chance = chance
        self.counts = {}
        self.initrd = os.path.join(work, "initrd")
        self.disk = os.path.join(work, "disk")
        self.log = os.path.join(work, "log")
        with open(self.initrd, "wb") as f:
            f.write(os.urandom(16 << 20))
        with open(self.disk, "wb") as f:
            f.truncate(1 << 20)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def folder(self):
        return tempfile.mkdtemp(dir=self.work)

    def start(self, work, arguments):
        return Process(self.thaw, work, self.log, arguments)

    def pick(self):
        return self.chance.choice(SIGNALS)

    def boot(self, work):
        """The arguments of a guest that boots from absent memory."""
        options = ["run", "--pager=uffd", "-m", "128M", "-k", self.kernel,
                   "-i", self.initrd, "-d", self.disk, "-p",
                   "steps=0 period=500", "--control",
                   os.path.join(work, "control"), "--fault-trace",
                   os.path.join(work, "trace"), "--prefault=" +
                   self.chance.choice(["full", "off", "16M", "1G"])]
        inject = self.chance.choice([None, "delay=3", "jitter=20000",
                                     "never@initrd", "always@kernel",
                                     "never@kernel"])
        if inject:
            options += ["--page-inject=" + inject, "--on-page-error=" +
                        self.chance.choice(["stop", "pause"])]
        return options

    def check_left(self, work, number, allowed):
        """Only the allowed files are left, and after SIGKILL a socket."""
        # The thread sanitizer's own, which it makes as it starts.
        left = {n for n in os.listdir(work)
                if n not in allowed and not n.startswith("tsan.")}
        if number == signal.SIGKILL:
            left = {n for n in left if n.split(".")[0] != "control"}
        if left:
            raise Failure("%s leaves %s" % (number.name, sorted(left)))

    def start_again(self, work, arguments):
        """The next thaw at the same path starts, and leaves no files."""
        process = self.start(work, arguments)
        try:
            process.answers()
            process.quit()
        finally:
            process.end()

    def leave_first_name(self, process):
        """Leaves the socket's temporary name, as a kill before the rename does."""
        name = "%s.%d" % (process.control, process.process.pid)
        if not os.path.exists(name):
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(name)

    def kill_boot(self):
        work, number = self.folder(), self.pick()
        process = self.start(work, self.boot(work))
        try:
            if self.chance.random() < 0.4:
                process.wait_for("no socket", lambda: os.path.exists(
                    process.control))
            time.sleep(self.chance.random() ** 3 * 0.06)
            status = process.kill(number)
        finally:
            process.end()
        self.count("boots while loading" if status == -number and
                   number != signal.SIGKILL else "boots")
        self.check_left(work, number, ["trace"])
        if number == signal.SIGKILL:
            self.count("sockets taken over" if os.path.exists(
                process.control) else "no socket yet")
            self.leave_first_name(process)
            self.start_again(work, [
                "run", "-m", "64M", "-k", self.kernel, "-p", "steps=0",
                "--pager=uffd", "--control", process.control])
            self.check_left(work, signal.SIGTERM, ["trace"])

    def save(self, path):
        """A snapshot to restore from."""
        work = self.folder()
        process = self.start(work, [
            "run", "-m", "64M", "-c", "2", "-k", self.kernel, "-p",
            "steps=0 pages=1024", "--control", os.path.join(work, "control")])
        try:
            process.answers()
            time.sleep(0.1)
            if process.ask("snapshot", path).returncode:
                raise Failure("snapshot: " + process.errors())
            process.quit()
        finally:
            process.end()

    def verify(self, path):
        done = complete([self.thaw, "inspect", "--verify", path])
        if done.returncode:
            raise Failure("not whole: " + done.stderr.decode())

    def restore(self, work, path, *more):
        return ["restore", "--pager=uffd", "--control",
                os.path.join(work, "control"), *more, path]

    def kill_restore(self, path):
        work, number = self.folder(), self.pick()
        more = ["--prefault=" + self.chance.choice(["full", "off", "8M"]),
                "--workingset=" + self.chance.choice(["record", "use", "off"])]
        if self.chance.random() < 0.3:
            more.append("--page-inject=" + self.chance.choice(
                ["jitter=9000", "delay=2"]))
        process = self.start(work, self.restore(work, path, *more))
        try:
            if self.chance.random() < 0.4:
                process.wait_for("no socket", lambda: os.path.exists(
                    process.control))
            time.sleep(self.chance.random() ** 2 * 0.05)
            process.kill(number)
        finally:
            process.end()
        self.count("restores")
        self.check_left(work, number, [])
        left = set(os.listdir(path)) - SNAPSHOT - {"workingset"}
        if left and number != signal.SIGKILL:
            raise Failure("%s leaves %s in the snapshot" % (number.name,
                                                            sorted(left)))
        if number == signal.SIGKILL:
            self.start_again(work, self.restore(work, path,
                                                "--workingset=record"))
            self.check_left(work, signal.SIGTERM, [])

    def kill_save(self):
        """The VM, or the client, is killed in the middle of a save."""
        work, folder, number = self.folder(), self.folder(), self.pick()
        path = os.path.join(folder, "s")
        start = ["run", "-m", "64M", "-k", self.kernel, "-i", self.initrd,
                 "--pager=uffd", "-p", "steps=0 pages=1024", "--control",
                 os.path.join(work, "control")]
        process = self.start(work, start)
        try:
            process.answers()
            asks = subprocess.Popen(
                [self.thaw, "snapshot", process.control, path],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(self.chance.random() * 0.08)
            if self.chance.random() < 0.3:
                asks.send_signal(number)
                wait(asks, process.process.pid)
                number = signal.SIGTERM
                # The VM serves the next client.
                process.answers()
                process.quit()
                self.count("savers without their client")
            else:
                process.kill(number)
                wait(asks, process.process.pid)
                self.count("savers")
        finally:
            process.end()
        self.check_left(work, number, [])
        if os.path.exists(path):
            self.verify(path)
            self.count("saves that were whole")
        left = set(os.listdir(folder)) - {"s"}
        if left and number != signal.SIGKILL:
            raise Failure("%s leaves %s" % (number.name, sorted(left)))
        if left:
            self.count("staging directories removed")
            self.save(path)
            self.verify(path)
            left = set(os.listdir(folder)) - {"s"}
            if left:
                raise Failure("the next save leaves %s" % sorted(left))


def main():
    thaw, kernel, numbers = arguments(__doc__)
    rounds = numbers[0] if numbers else 40
    seed = numbers[1] if len(numbers) > 1 else random.randrange(1 << 32)
    print("# seed", seed, "rounds", rounds, flush=True)
    work = tempfile.mkdtemp(prefix="thaw-pager-kill.")
    number = -1
    try:
        require_uffd(thaw)
        all_rounds = Rounds(thaw, kernel, work, random.Random(seed))
        path = os.path.join(work, "snapshot")
        all_rounds.save(path)
        for number in range(rounds):
            all_rounds.kill_boot()
            if number % 2:
                all_rounds.kill_restore(path)
            else:
                all_rounds.kill_save()
        all_rounds.start_again(work, all_rounds.restore(
            work, path, "--workingset=record"))
        all_rounds.verify(path)
        left = set(os.listdir(path)) - SNAPSHOT - {"workingset"}
        if left:
            raise Failure("in the snapshot is left: %s" % sorted(left))
        print("# " + ", ".join("%d %s" % (n, w) for w, n in
                               sorted(all_rounds.counts.items())))
    except Failure as e:
        print("FAILED: round %d: %s" % (number, e))
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
