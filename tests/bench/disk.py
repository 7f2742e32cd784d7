#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How fast a guest of ours drives a disk: random reads and writes of 4 KiB, sequential
reads of 1 MiB, and how long a byte takes to the guest and back over the console while
the disk is saturated.  Several programs beside each other, with the same options of
the disk: each boots once, and they take turns, the others stopped (SIGSTOP).

A variant is LABEL=PROGRAM[,OPTIONS of --disk]; a PROGRAM with qemu in its name is
QEMU, with an iothread and the same aio and cache mode.  Those with the same options
are measured together, the last of them is what the others are compared with.  Without
a variant: --thaw and --qemu with each engine, with the page cache and with O_DIRECT.

Shown are the medians, the median of the ratios in each round (above 1: better than
the last variant), and the processor time outside the vCPUs for a request or MiB,
which other work on the machine changes less.

usage: disk.py [--thaw T] [--qemu Q] [--guests DIR] [--work DIR] [--rounds N]
               [--echo-rounds N] [--mib N] [VARIANT...]
"""
import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from peer import find_qemu, qemu_command

HERE = os.path.dirname(os.path.abspath(__file__))
LINE = re.compile(rb"disk: requests=(\d+) bytes=(\d+) us=(\d+)")
LOADS = (("random reads, depth 1, IOPS", "mode=read depth=1", 4096, 3000),
         ("random reads, depth 32, IOPS", "mode=read depth=32", 4096, 20000),
         ("random writes, depth 32, IOPS", "mode=write depth=32", 4096, 10000),
         ("sequential reads, depth 8, MiB/s", "mode=seq depth=8", 1 << 20, 500))
# Saturates the disk until the guest gets a q.
SATURATE = (("4 KiB", "mode=read depth=32"),
            ("1 MiB", "mode=seq depth=8 bytes=1048576"))
BYTES = 100
OPTIONS = ("aio=io_uring", "aio=threads", "direct,aio=io_uring",
           "direct,aio=threads")


class Variant:
    """A program with options of its disk."""

    def __init__(self, text):
        self.label, _, rest = text.partition("=")
        self.program, _, self.options = rest.partition(",")

    def command(self, args, image):
        kernel = os.path.join(args.guests, "disk." + args.suffix)
        if "qemu" in os.path.basename(self.program):
            return self.qemu(kernel, image)
        disk = image + ("," + self.options if self.options else "")
        return [self.program, "run", "-m", "64", "-c", "2", "-k", kernel, "-d",
                disk, "-p", "ask=1"]

    def qemu(self, kernel, image):
        """q35, because its firmware gives PCI devices their addresses."""
        words = self.options.split(",")
        aio = "io_uring" if "aio=io_uring" in words else "threads"
        direct = "on" if "direct" in words else "off"
        return qemu_command(self.program, "q35", 64, kernel, "ask=1", 2) + [
            "-name", "disk,debug-threads=on", "-object", "iothread,id=io",
            "-blockdev", "driver=raw,node-name=disk,cache.direct=%s,"
            "file.driver=file,file.filename=%s,file.aio=%s,"
            "file.cache.direct=%s" % (direct, image, aio, direct),
            "-device",
            "virtio-blk-pci,drive=disk,iothread=io,disable-legacy=on"]


class Guest:
    """A guest that asks for loads, and is stopped while it does."""

    def __init__(self, args, variant, image):
        self.label, self.size = variant.label, args.mib << 20
        self.process = subprocess.Popen(
            variant.command(args, image), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, bufsize=0)
        self.wait_for(b"ask")
        self.process.send_signal(signal.SIGSTOP)

    def wait_for(self, word):
        """What it prints until the end of a line with that word."""
        text = b""
        while word not in text or not text.endswith(b"\n"):
            byte = self.process.stdout.read(1)
            if not byte:
                raise RuntimeError(self.label + ": " + text.decode())
            text += byte
        return text

    def begin(self, params):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(b"%s size=%d\n" % (params.encode(), self.size))
        self.wait_for(b"ready")

    def end(self):
        """(requests, microseconds) of the load."""
        found = LINE.search(self.wait_for(b"ask"))
        self.process.send_signal(signal.SIGSTOP)
        if not found:
            raise RuntimeError(self.label + ": the load failed")
        return int(found[1]), int(found[3])

    def processor_us(self):
        """The processor time so far outside the vCPUs."""
        where = "/proc/%d" % self.process.pid
        with open(where + "/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        total = sum(map(int, fields[11:13])) * 1e6 / os.sysconf("SC_CLK_TCK")
        for task in os.listdir(where + "/task"):
            try:
                with open("%s/task/%s/comm" % (where, task)) as f:
                    name = f.read().lower()
                with open("%s/task/%s/schedstat" % (where, task)) as f:
                    used = int(f.read().split()[0])
            except FileNotFoundError:
                continue
            if name.startswith(("vcpu", "cpu ")):
                total -= used / 1000
        return total

    def load(self, params, size, count):
        """(requests or MiB a second, processor us for each)."""
        before = self.processor_us()
        self.begin("%s bytes=%d count=%d" % (params, size, count))
        requests, us = self.end()
        used = self.processor_us() - before
        return requests * 1e6 / us, used / requests

    def echo(self, params):
        """Sorted microseconds for a byte and its echo."""
        self.begin(params + " count=1000000000 echo=1")
        time.sleep(0.2)
        times = []
        for _ in range(BYTES):
            start = time.perf_counter()
            self.process.stdin.write(b"x")
            self.process.stdout.read(1)
            times.append((time.perf_counter() - start) * 1e6)
            time.sleep(0.002)
        self.process.stdin.write(b"q")
        self.end()
        return sorted(times)

    def kill(self):
        self.process.kill()
        self.process.communicate()


def measure(args, variants):
    """{load: {variant: [(figure, processor us)]}}."""
    figures, guests = {}, {}

    def add(name, variant, *figure):
        figures.setdefault(name, {}).setdefault(variant, []).append(figure)

    try:
        for i, variant in enumerate(variants):
            guests[variant] = Guest(args, variant, args.images[i])
        for _ in range(args.rounds):
            for name, params, size, count in LOADS:
                for variant, guest in guests.items():
                    add(name, variant, *guest.load(params, size, count))
        # The second processor of the guests runs from here on.
        for _ in range(args.echo_rounds):
            for name, params in SATURATE:
                for variant, guest in guests.items():
                    times = guest.echo(params)
                    for what, at in (("median", 0.5), ("95 %", 0.95)):
                        add("echo beside %s, %s, us" % (name, what), variant,
                            times[int(at * len(times))], None)
    finally:
        for guest in guests.values():
            guest.kill()
    return figures


def show(figures):
    for name, row in figures.items():
        less_is_better = name.startswith("echo")
        peer = list(row.values())[-1]
        for variant, values in row.items():
            rates = [v[0] for v in values]
            used = "" if values[0][1] is None else "%.1f" % statistics.median(
                v[1] for v in values)
            ratio = statistics.median(
                p[0] / r if less_is_better else r / p[0]
                for r, p in zip(rates, peer))
            print("| %s | %s | %s | %.0f | %.0f to %.0f | %.2f | %s |" % (
                name, variant.options, variant.label, statistics.median(rates),
                min(rates), max(rates), ratio, used))
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    build = os.path.join(HERE, "..", "..", "build")
    parser.add_argument("--thaw", default=os.path.join(build, "thaw"))
    parser.add_argument("--qemu")
    parser.add_argument("--guests", default=os.path.join(build, "guest"))
    parser.add_argument("--work")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--echo-rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("variants", nargs="*")
    args = parser.parse_args()
    args.suffix = "image" if os.uname().machine == "aarch64" else "elf"
    if not args.variants:
        programs = (("thaw", args.thaw), ("QEMU", args.qemu or find_qemu()))
        args.variants = ["%s=%s,%s" % (label, program, options)
                         for options in OPTIONS
                         for label, program in programs if program]
    groups = {}
    for text in args.variants:
        variant = Variant(text)
        groups.setdefault(variant.options, []).append(variant)
    with tempfile.TemporaryDirectory(prefix="thaw-bench.",
                                     dir=args.work) as work:
        # One for each guest: an image is locked.
        args.images = [os.path.join(work, str(i))
                       for i in range(max(map(len, groups.values())))]
        for image in args.images:
            with open(image, "wb") as f:
                for _ in range(args.mib):
                    f.write(os.urandom(1 << 20))
                os.fsync(f.fileno())
        print("| load | options | program | median | least to most | ratio | "
              "processor us |\n|---|---|---|---:|---:|---:|---:|")
        for variants in groups.values():
            show(measure(args, variants))
    return 0


if __name__ == "__main__":
    sys.exit(main())
