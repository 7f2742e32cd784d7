#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What files in a share cost: thaw's own file server beside QEMU with virtiofsd, on
one host (tests/rig/rig x86) with one guest kernel and one guest program,
share_work.c, which lists the phases.

usage: share_rig.py [--rounds N] [--mib MIB] [--files N] [--cache MODE]
                    [--virtiofsd OPTIONS] [-v]

A round is one boot of the host, in which each monitor runs one guest, in turns
first and second, and the program works once without a guest ("host").  The shared
directory is in an ext4 file system in the host's memory.

Prints the processor time of the emulator, which other work on the machine changes
less than the time that passes: medians in microseconds per MiB, read or file, and
the median of the rounds' ratios; beside it that ratio by the guest's own clock.
Under emulation: only the ratios mean anything.

QEMU and virtiofsd are those of Debian 13, unpacked into the cache.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RIG = os.path.join(HERE, "../rig")
PACKAGES = "qemu-system-x86 virtiofsd e2fsprogs"
WAYS = ("thaw", "virtiofsd")
UNITS = {"write": "MiB", "read": "MiB", "read-again": "MiB", "random": "read",
         "create": "file", "walk": "entry", "walk-again": "entry",
         "stat": "file", "read-files": "file", "delete": "entry",
         "forget": "unmount"}
BEGIN_LINE = re.compile(r"share: begin ")
LINE = re.compile(r"share: ([\w-]+) us=(\d+) n=(\d+)")

# On the x86 host the emulation now and then loses an interrupt of a guest that
# uses these: see tests/rig/cases/lib.sh.
QUIRK = "nox2apic lapic=notscdeadline"

FETCH = """
. ./apt.sh
suite=trixie
rig_apt_ready $suite amd64 || exit 77
dir=$(rig_cache)/peers/$suite-amd64
mkdir -p "${{dir%/*}}"
(
	flock 9
	[ -e "$dir" ] || rig_tree $suite amd64 '{packages}' "$dir"
) 9>"$dir.lock" && echo "$dir"
"""

# The host's root is an initramfs without libraries: those of Debian appear at
# their places.  Nothing but the guests causes a write to the file system's image.
PREPARE = """#!/bin/sh
ln -s /peers/usr /usr && ln -s usr/lib /lib && ln -s usr/lib64 /lib64 || exit
echo 0 >/proc/sys/vm/dirty_writeback_centisecs
echo 80 >/proc/sys/vm/dirty_background_ratio
echo 90 >/proc/sys/vm/dirty_ratio
mkdir /image /fs
mount -t tmpfs -o size={image}M tmpfs /image
truncate -s {image}M /image/fs
/usr/sbin/mke2fs -q -F -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 \\
	/image/fs || exit
loop=$(losetup -f)
losetup "$loop" /image/fs
mount -t ext4 -o commit=600 "$loop" /fs || exit
"""

# Begins a part of the output, with an empty directory.  -v shows the context
# switches, too.
BEGIN = """
grep ctxt /proc/stat
rm -rf /fs/share; mkdir /fs/share; sync
echo "@@@ {way}"
grep ctxt /proc/stat
"""

THAW = """
timeout -s KILL {limit} thaw run -m {mem}M -k /kernel/vmlinux -i /scratch/initrd \\
	-p '{params}' --share /fs/share:share,cache={cache} </dev/null
echo "thaw: status $?"
"""

VIRTIOFSD = """
/usr/libexec/virtiofsd --socket-path=/tmp/socket --shared-dir=/fs/share \\
	--sandbox=chroot --cache={cache} {options} >/tmp/virtiofsd.log 2>&1 &
server=$!
until [ -e /tmp/socket ] || ! kill -0 $server; do sleep 0.1; done
timeout -s KILL {limit} /usr/bin/qemu-system-x86_64 -M q35,accel=kvm,memory-backend=mem \\
	-object memory-backend-memfd,id=mem,size={mem}M,share=on \\
	-m {mem}M -cpu host -nodefaults -no-user-config -no-reboot -display none \\
	-serial stdio -chardev socket,id=fs,path=/tmp/socket \\
	-device vhost-user-fs-pci,chardev=fs,tag=share,queue-size=1024 \\
	-kernel /kernel/vmlinux -initrd /scratch/initrd \\
	-append 'console=ttyS0 {params}' </dev/null
echo "QEMU: status $?"
kill $server; wait $server
cat /tmp/virtiofsd.log
"""

HOST = """
mib={mib} files={files} timeout -s KILL {limit} share_work /fs/share
"""


def output(command, **options):
    """What a command prints, without the newline at its end."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                          **options).stdout.strip()


def fetch(*what):
    return output(["sh", os.path.join(RIG, "fetch.sh"), *what])


def prepare(work):
    """The guest's program as an initrd in @work; the options of the rig."""
    program = os.path.join(work, "share_work")
    subprocess.run([os.environ.get("CC_X86", "x86_64-linux-gnu-gcc"), "-static",
                    "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-o", program,
                    os.path.join(HERE, "share_work.c")], check=True)
    subprocess.run(["sh", os.path.join(RIG, "mkinitrd"), "-a", "x86", "-i",
                    program, "-o", os.path.join(work, "initrd")], check=True)
    peers = output(["sh", "-eu", "-c", FETCH.format(packages=PACKAGES)], cwd=RIG)
    return ["--scratch", work, "--file", program, "--share", peers + ":/peers",
            "--share", fetch("kernel", "x86", "6.12") + ":/kernel"]


def script(args, number):
    """What the host does in one round."""
    values = {
        "mib": args.mib, "files": args.files, "cache": args.cache,
        "limit": args.limit,
        "options": args.virtiofsd,
        "mem": 192 + args.mib + args.files // 100,
        "image": 256 + 2 * args.mib + args.files // 50,
        "params": "%s quiet mib=%d files=%d" % (QUIRK, args.mib, args.files),
    }
    parts = [("thaw", THAW), ("virtiofsd", VIRTIOFSD)]
    if number % 2:
        parts.reverse()
    text = PREPARE + "".join(BEGIN.replace("{way}", way) + part
                             for way, part in [*parts, ("host", HOST)])
    return text.format(**values)


def emulator_of(rig):
    """The process of the rig's emulator, None if there is none."""
    tree, names = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                head, _, rest = f.read().rpartition(")")
        except OSError:
            continue
        names[int(pid)] = head.partition("(")[2]
        tree.setdefault(int(rest.split()[1]), []).append(int(pid))
    below = [rig]
    for pid in below:
        if names.get(pid, "").startswith("qemu-system"):
            return pid
        below += tree.get(pid, [])
    return None


def processor_us(pid):
    """The processor time of a process so far; what waits is not counted."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
            total += int(f.read().split()[0])
    return total / 1000


class Guest:
    """What one guest prints, and the processor time when it prints it."""

    def __init__(self):
        self.text, self.figures = "", {}
        self.begun, self.ended, self.between = None, None, 0

    def take(self, line, used):
        self.text += line
        if BEGIN_LINE.search(line):
            self.between += used - self.ended if self.ended else 0
            self.begun = used
        match = LINE.search(line)
        if not match:
            return
        name, us, n = match[1], int(match[2]), max(1, int(match[3]))
        if name == "forget":
            cost = self.between + used - (self.ended or used)
        else:
            cost = used - (self.begun or used)
        self.figures[name] = (cost / n, us / n)
        self.ended = used


def run_round(args, number, work, options):
    """One boot of the host; {way: {phase: (processor us each, us each)}} of the
    guests that ended."""
    with open(os.path.join(work, "bench.sh"), "w") as out:
        out.write(script(args, number))
    rig = subprocess.Popen(
        [os.path.join(RIG, "rig"), "x86", "--mem", str(args.mem), "--timeout",
         str(3 * args.limit + 120), *options, "--", "sh", "/scratch/bench.sh"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    guests, guest, emulator = {}, Guest(), None
    for line in rig.stdout:
        emulator = emulator or emulator_of(rig.pid)
        used = processor_us(emulator)
        line = line.decode(errors="replace").replace("\r", "")
        if args.verbose:
            print(line, end="", file=sys.stderr, flush=True)
        if line.startswith("@@@ "):
            guest = guests[line[4:].strip()] = Guest()
        guest.take(line, used)
    rig.wait()
    for way, guest in guests.items():
        if "forget" not in guest.figures:
            print("# round %d: %s did not end: %s" % (
                number, way, guest.text.strip()[-200:]), file=sys.stderr)
    return {way: guest.figures for way, guest in guests.items()
            if "forget" in guest.figures}


def ratio(rounds, phase, which):
    """The median of thaw's figure to virtiofsd's in each round."""
    ratios = [r["thaw"][phase][which] / r["virtiofsd"][phase][which]
              for r in rounds if all(way in r for way in WAYS)]
    return "%.2f" % statistics.median(ratios) if ratios else "-"


def show(rounds):
    """Prints the table."""
    print("| phase | us per | host | thaw | virtiofsd | ratio | by time |\n"
          "|---|---|---:|---:|---:|---:|---:|")
    for phase, unit in UNITS.items():
        cells = []
        for way in ("host", *WAYS):
            values = [r[way][phase][0] for r in rounds if way in r]
            cells.append("%.0f" % statistics.median(values) if values else "-")
        print("| %s | %s | %s | %s | %s |" % (
            phase, unit, " | ".join(cells), ratio(rounds, phase, 0),
            ratio(rounds, phase, 1)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=128)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--cache", choices=("auto", "always", "never"),
                        default="auto")
    parser.add_argument("--virtiofsd", metavar="OPTIONS", default="",
                        help="for virtiofsd, such as --writeback")
    parser.add_argument("--mem", type=int, default=3072,
                        help="memory of the host, MiB")
    parser.add_argument("--limit", type=int, default=900,
                        help="seconds for a guest")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="thaw-bench.") as work:
        options = prepare(work)
        for number in range(args.rounds):
            rounds.append(run_round(args, number, work, options))
            print("# after round %d of %d" % (number + 1, args.rounds))
            show(rounds)
            sys.stdout.flush()
    return 0 if any(len(r) == 3 for r in rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
