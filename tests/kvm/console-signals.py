#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A signal that kills thaw leaves the terminal as it was: those that are sent
to the process, and faults of each of its threads.  Each keeps its own end.

usage: console-signals.py THAW GUESTS SUFFIX
"""
import ctypes
import os
import platform
import pty
import resource
import select
import signal
import subprocess
import sys
import termios

from harness import (Failure, Patience, arguments, die_with_parent, expect,
                     sanitizers, wait)

TGKILL = {"x86_64": 234, "aarch64": 131}  # system call numbers
SENT = ("SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGXCPU", "SIGXFSZ",
        "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGRTMAX", "SIGSEGV",
        "SIGABRT")
FAULTS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP",
          "SIGSYS")
# A sanitizer's handlers would end the process in their own way.
NO_HANDLERS = ":".join("handle_%s=0" % name for name in (
    "segv", "sigbus", "abort", "sigill", "sigfpe", "sigtrap"))


def prepare():
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for sig in range(1, signal.SIGRTMAX + 1):
        if sig not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(sig, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


class Console:
    """A thaw on a pty, with a guest that does not end."""

    def __init__(self, thaw, chain):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [thaw, "run", "-m", "64M", "-k", chain, "-p", "steps=0 pages=1"],
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
            env=sanitizers(NO_HANDLERS), preexec_fn=prepare)
        self.seen = b""
        self.read_until(b"step=")

    def read_until(self, text):
        patience = Patience(self.process.pid)
        while text not in self.seen:
            if self.process.poll() is not None:
                raise Failure("the guest did not print: %r" % self.seen[-400:])
            if select.select([self.master], [], [], 0.01)[0]:
                self.seen += os.read(self.master, 4096)
            patience.spend("the guest's output")

    def threads(self):
        """{name: id} of its threads."""
        found = {}
        folder = "/proc/%d/task" % self.process.pid
        for tid in os.listdir(folder):
            with open("%s/%s/comm" % (folder, tid)) as f:
                found[f.read().strip()] = int(tid)
        return found

    def check_end(self, what, sig):
        """It must end by the signal, with the terminal as it was."""
        expect(what, wait(self.process), -sig)
        if termios.tcgetattr(self.slave) != self.before:
            raise Failure("%s: the terminal is not as it was" % what)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def dies(thaw, chain, name, thread=None):
    """One thaw, one signal, sent to the process or to a thread by name."""
    sig = getattr(signal, name)
    console = Console(thaw, chain)
    try:
        if termios.tcgetattr(console.slave) == console.before:
            raise Failure("the terminal is not raw")
        if thread is None:
            console.process.send_signal(sig)
        else:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.syscall(TGKILL[platform.machine()], console.process.pid,
                         console.threads()[thread], int(sig))
        console.check_end("%s to %s" % (name, thread or "the process"), sig)
    finally:
        console.close()


def main():
    thaw, chain, _ = arguments(__doc__)
    try:
        for name in SENT:
            dies(thaw, chain, name)
        for thread in ("loop", "vcpu0"):
            for name in FAULTS:
                dies(thaw, chain, name, thread)
    except Failure as why:
        print("FAILED: %s" % why)
        return 1
    return 0


sys.exit(main())
