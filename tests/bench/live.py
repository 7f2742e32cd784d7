#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a guest notices of its save: a guest that writes memory at a given rate logs
its longest stall and how much it has written, while thaw saves it running, paused,
and with --base, and while QEMU saves it (background-snapshot, and mapped-ram).  The
ways take turns, one guest each; medians, the worst stall of all rounds, and the
median of the pauses that thaw reports.

usage: live.py [--thaw T] [--guests DIR] [--rounds N] [--mib N] [--rates 200,0]
               [--work DIR] [--qemu PROGRAM]
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from peer import find_qemu, qemu_command

HERE = os.path.dirname(os.path.abspath(__file__))
LINE = re.compile(rb"writer: us=(\d+) pages=(\d+) stall_us=(\d+)")
# The guest's memory that is not written: its image, and what is below it.
REST_MIB = 64
# How long a save may take.
SAVE_S = 120


class Writer:
    """A guest that writes; its lines with the time they came."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            found = LINE.search(line)
            if found:
                self.lines.append((time.monotonic(),
                                   *(int(n) for n in found.groups())))

    def wait(self, seconds, pages=0):
        """Waits so long, and until so many pages were written."""
        end = time.monotonic() + seconds
        limit = end + 120
        while time.monotonic() < end or not self.lines or \
                self.lines[-1][2] < pages:
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(self.process.stderr.read().decode().strip()
                                   or "the guest does not write")
            time.sleep(0.02)

    def figures(self, start, end):
        """(MiB/s, longest stall in ms) of the lines of that time, and the one
        after it."""
        before = [line for line in self.lines if line[0] < start]
        during = [line for line in self.lines if line[0] >= start]
        count = sum(line[0] < end for line in during) + 1
        first, *rest = before[-1:] + during[:count]
        return ((rest[-1][2] - first[2]) / 256 / (rest[-1][1] - first[1]) * 1e6,
                max(line[3] for line in rest) / 1000)

    def finish(self):
        self.process.kill()
        self.reader.join()
        self.process.communicate()


class Monitor:
    """QEMU's monitor for humans."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.ask("")

    def ask(self, command):
        """What it says to a command, before it asks for the next one."""
        if command:
            self.socket.sendall(command.encode() + b"\n")
        said = b""
        while not said.rstrip().endswith(b"(qemu)"):
            piece = self.socket.recv(65536)
            if not piece:
                raise RuntimeError("QEMU has ended")
            said += piece
        return said.decode()

    def save(self, path):
        """Saves the guest; it runs again afterwards."""
        limit = time.monotonic() + SAVE_S
        said = self.ask('migrate -d "file:%s"' % path)
        while "status: completed" not in (status := self.ask("info migrate")):
            if "status: failed" in status or "rror" in said or \
                    time.monotonic() > limit:
                raise RuntimeError((said + status).strip())
            time.sleep(0.005)
        self.ask("cont")
        return 0


def thaw_guest(args, control, rate):
    return [args.thaw, "run", "-m", str(args.mib), "-k",
            os.path.join(args.guests, "writer." + args.suffix), "-p",
            parameters(args, rate), "--control", control]


def parameters(args, rate):
    return "pages=%d rate=%d" % ((args.mib - REST_MIB) * 256, rate)


def thaw_save(*options):
    def one(args, work, rate):
        control = os.path.join(work, "control")
        guest = Writer(thaw_guest(args, control, rate))

        def save(path, *more):
            done = subprocess.run([args.thaw, "snapshot", *more, control,
                                   os.path.join(work, path)], check=True,
                                  stdout=subprocess.PIPE)
            return json.loads(done.stdout)["pause_us"] / 1000

        if "--base" in options:
            before = lambda: save("base")
            options_here = ("--base", os.path.join(work, "base"))
        else:
            before, options_here = (lambda: None), options
        return guest, before, lambda: save("new", *options_here)
    return one


def qemu_save(capability):
    def one(args, work, rate):
        if not args.qemu:
            raise RuntimeError("no QEMU")
        path = os.path.join(work, "monitor")
        guest = Writer(qemu_command(
            args.qemu, "microvm,acpi=off,isa-serial=on,pic=off,pit=off,rtc=off",
            args.mib, os.path.join(args.guests, "writer.elf"),
            parameters(args, rate)) + [
                "-monitor", "unix:%s,server=on,wait=off" % path])
        while not os.path.exists(path) and guest.process.poll() is None:
            time.sleep(0.01)
        monitor = Monitor(path)
        monitor.ask("migrate_set_parameter max-bandwidth 0")
        said = monitor.ask("migrate_set_capability %s on" % capability)
        if "rror" in said:
            guest.finish()
            raise RuntimeError(said.split("\n")[-2].strip())
        return guest, lambda: None, lambda: monitor.save(
            os.path.join(work, "new"))
    return one


WAYS = (("thaw", thaw_save()), ("thaw --base", thaw_save("--base")),
        ("thaw --pause", thaw_save("--pause")),
        ("QEMU, background-snapshot", qemu_save("background-snapshot")),
        ("QEMU, mapped-ram", qemu_save("mapped-ram")))


def one_save(args, way, rate):
    """(seconds of the save, MiB/s before, during, stall before, during, pause)."""
    work = tempfile.mkdtemp(prefix="live.", dir=args.work)
    guest = None
    try:
        guest, before, save = way(args, work, rate)
        # All pages are present, and have been written.
        guest.wait(1, (args.mib - REST_MIB) * 256)
        before()
        guest.wait(2)
        start = time.monotonic()
        pause = save()
        end = time.monotonic()
        guest.wait(1)
        rate_before, stall_before = guest.figures(start - 1.5, start - 0.3)
        rate_during, stall_during = guest.figures(start, end)
        return (end - start, rate_before, rate_during, stall_before,
                stall_during, pause)
    finally:
        if guest:
            guest.finish()
        shutil.rmtree(work)


def main():
    parser = argparse.ArgumentParser()
    build = os.path.join(HERE, "../../build")
    parser.add_argument("--thaw", default=os.path.join(build, "thaw"))
    parser.add_argument("--guests", default=os.path.join(build, "guest"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--rates", default="200,0")
    parser.add_argument("--work", default=None)
    parser.add_argument("--qemu", default=None)
    args = parser.parse_args()
    args.suffix = "elf" if os.uname().machine == "x86_64" else "image"
    args.qemu = args.qemu or find_qemu()
    print("%d MiB; %d processors, load %.1f\n" % (
        args.mib, os.cpu_count(), os.getloadavg()[0]))
    print("| rate, MiB/s | way | save, s | written before, MiB/s | during | "
          "longest stall before, ms | during, median | during, worst | pause |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    for rate in (int(r) for r in args.rates.split(",")):
        rows = {}
        for _ in range(args.rounds):
            for name, way in WAYS:
                try:
                    rows.setdefault(name, []).append(one_save(args, way, rate))
                except (RuntimeError, OSError) as why:
                    print("# not %s: %s" % (name, str(why).split("\n")[0]))
        for name, figures in rows.items():
            if not figures:
                continue
            columns = list(zip(*figures))
            medians = [statistics.median(c) for c in columns]
            print("| %s | %s | %.2f | %.0f | %.0f | %.1f | %.1f | %.1f | %s |" % (
                rate or "as fast as it can", name, *medians[:5],
                max(columns[4]), "%.1f" % medians[5] if medians[5] else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
