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
import statistics
import subprocess
import sys

from rig_rounds import (QUIRK, RIG, compile_program, fetch, peers, ratio, run_rounds)

PACKAGES = "qemu-system-x86 virtiofsd e2fsprogs"
WAYS = ("thaw", "virtiofsd")
UNITS = {"write": "MiB", "read": "MiB", "read-again": "MiB", "random": "read",
         "create": "file", "walk": "entry", "walk-again": "entry",
         "stat": "file", "read-files": "file", "delete": "entry",
         "forget": "unmount"}

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


def prepare(work):
    """The guest's program as an initrd in @work; the options of the rig."""
    program = compile_program(work, "share_work")
    subprocess.run(["sh", os.path.join(RIG, "mkinitrd"), "-a", "x86", "-i",
                    program, "-o", os.path.join(work, "initrd")], check=True)
    return ["--scratch", work, "--file", program,
            "--share", peers(PACKAGES) + ":/peers",
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


def show(_args, rounds):
    """Prints the table."""
    print("| phase | us per | host | thaw | virtiofsd | ratio | by time |\n"
          "|---|---|---:|---:|---:|---:|---:|")
    for phase, unit in UNITS.items():
        cells = []
        for way in ("host", *WAYS):
            values = [r[way][phase][0] for r in rounds if way in r]
            cells.append("%.0f" % statistics.median(values) if values else "-")
        print("| %s | %s | %s | %s | %s |" % (
            phase, unit, " | ".join(cells), ratio(rounds, WAYS, phase, 0),
            ratio(rounds, WAYS, phase, 1)))


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
    rounds = run_rounds(args, prepare, script, "forget", show)
    return 0 if any(len(r) == 3 for r in rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
