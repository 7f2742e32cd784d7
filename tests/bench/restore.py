#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How long a restore takes: from the start of the command to the guest's first
instruction, and to its answer over the console, for every pager, with a small
and a large working set, from a warm and a cold page cache; guests of several
sizes with the same working set; clones; beside QEMU's restore of the same guest
(from a stream, and from a file with mapped-ram), and beside the floor.  All in
one run, interleaved; medians in milliseconds.

usage: restore.py [--thaw T] [--guests DIR] [--bench DIR] [--rounds N]
                  [--sizes 256,1024,4096,8192] [--clones 1,10,50,200]
                  [--work DIR] [--qemu PROGRAM]
"""
import argparse
import json
import os
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from peer import find_qemu, qemu_command

HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY_MIB = 256
SETS = (("64 KiB", 16), ("64 MiB", 16384))
WAYS = [("userfault", "anon"), ("userfault", "guest_memfd"), ("uffd", "anon"),
        ("map", "anon"), ("eager", "anon"), ("eager", "guest_memfd")]
# The same with a recorded working set.
RECORDED = [("uffd", "anon"), ("map", "anon")]


class Process:
    """A guest in a process, whose console is our pipe."""

    def __init__(self, command):
        self.start = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.text = b""
        self.errors = ""

    def send(self, byte):
        self.process.stdin.write(byte)
        self.process.stdin.flush()

    def milliseconds(self):
        return (time.perf_counter() - self.start) * 1000

    def read_for(self, seconds):
        """Takes what the guest says within some time, if it says anything."""
        out = self.process.stdout
        if not select.select([out], [], [], max(0, seconds))[0]:
            return
        piece = os.read(out.fileno(), 65536)
        if not piece:
            self.errors = self.process.stderr.read().decode()
            raise EOFError(self.errors)
        self.text += piece

    def wait_for(self, words, seconds=60):
        """Milliseconds from the start until the guest has said it."""
        end = time.monotonic() + seconds
        while words not in self.text:
            if time.monotonic() > end:
                raise TimeoutError(words.decode())
            self.read_for(end - time.monotonic())
        return self.milliseconds()

    def pss_kib(self):
        with open("/proc/%d/smaps_rollup" % self.process.pid) as f:
            for line in f:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
        return 0

    def finish(self):
        """Ends it; what it said on standard error."""
        try:
            _, err = self.process.communicate(timeout=30)
        except BrokenPipeError:
            _, err = None, self.process.stderr.read()
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, err = self.process.communicate()
        return self.errors + err.decode()


def thaw_restore(args, path, pager, memory, workingset="off"):
    return [args.thaw, "restore", "--stats=json", "--pager=" + pager,
            "--memory=" + memory, "--workingset=" + workingset, path]


def make_snapshot(args, path, pages, mib=MEMORY_MIB):
    """Boots the guest, and saves it when it is ready."""
    control = path + ".control"
    guest = Process([args.thaw, "run", "-m", str(mib), "-k",
                     os.path.join(args.guests, "answer." + args.suffix),
                     "-p", "pages=%d" % pages, "--control", control])
    guest.wait_for(b"ready", 300)
    subprocess.run([args.thaw, "snapshot", "--stop", control, path],
                   check=True, stdout=subprocess.DEVNULL)
    guest.finish()


def record_workingset(args, path):
    """Adds the working set of one answer.  Not to a copy: the page cache of a file
    that was copied can have smaller pieces, which take longer to map."""
    one_restore(thaw_restore(args, path, "map", "anon", "record"))


# How QEMU saves and restores: the name, its options, to which address, from which.
QEMU_WAYS = (("QEMU, stream", [], "exec:cat > %s", "exec:cat %s"),
             ("QEMU, mapped-ram", ["-global", "migration.mapped-ram=on"],
              "file:%s", "file:%s"))


def qemu_guest(args, pages, mib):
    """Without ACPI no firmware of a PC runs, which a software KVM interprets."""
    return qemu_command(args.qemu,
                        "microvm,acpi=off,isa-serial=on,pic=off,pit=off,"
                        "rtc=off", mib, os.path.join(args.guests, "answer.elf"),
                        "pages=%d" % pages)


def make_qemu_snapshot(args, way, path, pages, mib):
    """The same guest saved by QEMU; False where QEMU cannot."""
    monitor = path + ".monitor"
    name, options, to, _ = way
    guest = Process(qemu_guest(args, pages, mib) + options + [
        "-monitor", "unix:%s,server=on,wait=off" % monitor])
    try:
        guest.wait_for(b"ready", 300)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(monitor)
            s.sendall(b'migrate "%s"\n' % (to % path).encode())
            for _ in range(600):
                time.sleep(0.1)
                s.sendall(b"info migrate\n")
                if b"completed" in s.recv(65536):
                    break
            s.sendall(b"quit\n")
        return os.path.getsize(path) > 0
    except (OSError, EOFError, TimeoutError) as why:
        print("# no %s: %s" % (name, str(why).strip().split("\n")[0]))
        return False
    finally:
        guest.process.kill()
        guest.finish()


def qemu_jobs(args, path, pages, mib):
    """(way, command, file) of each way in which QEMU could save the guest."""
    jobs = []
    for number, way in enumerate(QEMU_WAYS if args.qemu else ()):
        name, options, _, source = way
        file = "%s.%d" % (path, number)
        if make_qemu_snapshot(args, way, file, pages, mib):
            jobs.append(((name, "anon"), qemu_guest(args, pages, mib) +
                         options + ["-incoming", source % file], file))
    return jobs


def evict(path):
    """Drops a snapshot's files from the page cache."""
    files = [path] if os.path.isfile(path) else [
        os.path.join(path, n) for n in os.listdir(path)]
    for name in files:
        fd = os.open(name, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def one_restore(command):
    """(ms to the guest's entry or None, ms to its answer)."""
    guest = Process(command)
    try:
        # QEMU drops what comes before it has loaded the serial port's state,
        # so the question is put again each millisecond.
        while b"cycles=" not in guest.text:
            if guest.milliseconds() > 20000:
                guest.process.kill()
                raise RuntimeError("no answer")
            try:
                guest.send(b"q")
            except BrokenPipeError:
                pass # it has answered and gone
            guest.read_for(0.001)
        answer = guest.milliseconds()
    except EOFError:
        raise RuntimeError(guest.finish().strip().split("\n")[0])
    err = guest.finish()
    at = err.find("{")
    entered = json.loads(err[at:])["entered_ns"] / 1e6 if at >= 0 else None
    return entered, answer


def read_all(path):
    """Milliseconds to read the bytes that a snapshot holds."""
    start = time.perf_counter()
    fd = os.open(os.path.join(path, "memory"), os.O_RDONLY)
    buffer, end, at = bytearray(1 << 20), os.fstat(fd).st_size, 0
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        while at < hole:
            at += os.preadv(fd, [memoryview(buffer)[:min(
                len(buffer), hole - at)]], at)
    os.close(fd)
    return (time.perf_counter() - start) * 1000


def bench_restores(args, work):
    """The table of restores."""
    results, refused = {}, {}
    for name, pages in SETS:
        path = os.path.join(work, "s%d" % pages)
        make_snapshot(args, path, pages)
        record_workingset(args, path)
        peers = qemu_jobs(args, os.path.join(work, "q%d" % pages), pages,
                          MEMORY_MIB)
        for cache in ("warm", "cold"):
            for _ in range(args.rounds):
                jobs = [(w, thaw_restore(args, path, *w), path) for w in WAYS]
                jobs += [((pager, memory + ", working set"),
                          thaw_restore(args, path, pager, memory, "use"),
                          path) for pager, memory in RECORDED]
                for way, command, files in jobs + peers:
                    if way in refused:
                        continue
                    if cache == "cold":
                        evict(files)
                    row = results.setdefault((name, cache) + way, [])
                    try:
                        row.append(one_restore(command))
                    except RuntimeError as why:
                        refused[way] = str(why)
                if cache == "cold":
                    evict(path)
                results.setdefault((name, cache, "read", "the bytes"),
                                   []).append((None, read_all(path)))
    print("| working set | cache | pager | memory | first instruction, ms | "
          "answer, ms |")
    print("|---|---|---|---|---:|---:|")
    for key, rows in results.items():
        if not rows:
            continue
        entered = [r[0] for r in rows if r[0] is not None]
        print("| %s | %s | %s | %s | %s | %.2f |" % (
            *key, "%.2f" % statistics.median(entered) if entered else "",
            statistics.median(r[1] for r in rows)))
    for way, why in refused.items():
        print("# not %s over %s: %s" % (*way, why))
    return refused


def bench_sizes(args, work, refused):
    """The large working set in guests of several sizes, from a warm cache."""
    name, pages = SETS[-1]
    print("\n%s touched, warm cache\n" % name)
    print("| guest, MiB | pager | memory | first instruction, ms | answer, ms "
          "|\n|---:|---|---|---:|---:|")
    for mib in args.sizes:
        path = os.path.join(work, "size%d" % mib)
        make_snapshot(args, path, pages, mib)
        jobs = [(way, thaw_restore(args, path, *way), path)
                for way in (("userfault", "anon"), ("uffd", "anon"),
                            ("map", "anon"), ("eager", "anon"))
                if way not in refused]
        jobs += qemu_jobs(args, os.path.join(work, "qsize%d" % mib), pages,
                          mib)
        rows = {way: [] for way, _, _ in jobs}
        for _ in range(args.rounds):
            for way, command, _ in jobs:
                rows[way].append(one_restore(command))
        for way, figures in rows.items():
            entered = [f[0] for f in figures if f[0] is not None]
            print("| %d | %s | %s | %s | %.2f |" % (
                mib, *way,
                "%.2f" % statistics.median(entered) if entered else "",
                statistics.median(f[1] for f in figures)))
        shutil.rmtree(path)
        for _, _, file in jobs:
            if os.path.isfile(file):
                os.unlink(file)


def available_bytes():
    """Memory that is free, or can be without swapping."""
    with open("/proc/meminfo") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def bench_clones(args, work, refused):
    """Many guests from one snapshot at once."""
    path = os.path.join(work, "s16384")
    print("\n| pager | clones | all have answered, ms | PSS of a clone, KiB |")
    print("|---|---:|---:|---:|")
    for pager in ("userfault", "uffd", "map", "eager"):
        if (pager, "anon") in refused:
            continue
        for count in args.clones:
            # Each of the others has the pages for itself.
            needed = 0 if pager == "map" else count * SETS[-1][1] * 4096
            if needed > available_bytes() / 2:
                print("# not %d clones with %s: too little memory" % (
                    count, pager))
                continue
            start = time.perf_counter()
            guests = [Process(thaw_restore(args, path, pager, "anon"))
                      for _ in range(count)]
            for guest in guests:
                guest.send(b"a")
            for guest in guests:
                guest.wait_for(b"cycles=", 300)
                # It would poll its serial port for the next question.
                guest.process.send_signal(signal.SIGSTOP)
            took = (time.perf_counter() - start) * 1000
            pss = sum(g.pss_kib() for g in guests) / count
            for guest in guests:
                guest.process.kill()
                guest.finish()
            print("| %s | %d | %.0f | %.0f |" % (pager, count, took, pss))


def main():
    parser = argparse.ArgumentParser()
    build = os.path.join(HERE, "../../build")
    parser.add_argument("--thaw", default=os.path.join(build, "thaw"))
    parser.add_argument("--guests", default=os.path.join(build, "guest"))
    parser.add_argument("--bench", default=os.path.join(build, "tests/bench"))
    parser.add_argument("--suffix", default="elf")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sizes", default="256,1024,4096,8192",
                        type=lambda s: [int(n) for n in s.split(",") if n])
    parser.add_argument("--clones", default="1,10,50,200",
                        type=lambda s: [int(n) for n in s.split(",") if n])
    parser.add_argument("--qemu", default=find_qemu())
    parser.add_argument("--work")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thaw-bench.",
                                     dir=args.work) as work:
        floor = subprocess.run([os.path.join(args.bench, "bench-floor")],
                               stdout=subprocess.PIPE, check=True)
        print("floor: a bare machine is made in %s us\n" %
              floor.stdout.decode().strip())
        refused = bench_restores(args, work)
        bench_sizes(args, work, refused)
        bench_clones(args, work, refused)
    return 0


if __name__ == "__main__":
    sys.exit(main())
