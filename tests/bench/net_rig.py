#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a network costs: thaw beside QEMU on the same tap device, and beside QEMU on
passt, in one host (tests/rig/rig x86) with one guest kernel and one program, net_work.c,
which lists the phases and is the server on the host as well.

usage: net_rig.py [--rounds N] [--mib MIB] [--requests N] [--conns N] [--stock]
                  [-v]

A round is one boot of the host, in which each monitor runs one guest on each backend,
in turns first and second.  Without vhost-net, which would access guest memory behind
the pager's back.

Prints the processor time of the emulator: medians in microseconds per MiB, request or
connection, and the median of the rounds' ratios; beside it that ratio by the guest's
own clock, and the frames and the interrupts of the guest, of thaw and QEMU.  Under
emulation: only the ratios and these counts mean anything.

QEMU and passt are those of Debian 13, unpacked into the cache.
"""
import argparse
import os
import statistics
import subprocess
import sys

from rig_rounds import (QUIRK, RIG, compile_program, fetch, peers, ratio, run_rounds)

PACKAGES = "qemu-system-x86 passt"
BACKENDS = ("tap", "passt")
UNITS = {"send": "MiB", "receive": "MiB", "request": "request",
         "connect": "connection"}

# The host's root is an initramfs without libraries: those of Debian appear at
# their places.  passt takes its addresses from an interface with a default route.
PREPARE = """#!/bin/sh
ln -s /peers/usr /usr && ln -s usr/lib /lib && ln -s usr/lib64 /lib64 || exit
PATH=$PATH:/usr/bin
ifconfig lo 127.0.0.1 up
tunctl -t outside && ifconfig outside 192.0.2.2 netmask 255.255.255.0 up
route add default gw 192.0.2.1
mkdir -p /etc
echo 'nameserver 192.0.2.1' >/etc/resolv.conf
echo 'nobody:x:65534:65534::/:/bin/false' >>/etc/passwd
tunctl -t inside && ifconfig inside 10.7.0.1 netmask 255.255.255.0 up
net_work server &
# It leaves its root by pivot_root(2), which an initramfs does not permit, nor a
# namespace for a user below chroot(2).
mkdir /tmp/bin /tmp/root
echo '#!/bin/sh
exec unshare -m sh -c "mount --rbind / /tmp/root && cd /tmp/root && mount -o move . / && exec chroot . /usr/bin/passt \\"\\$@\\"" passt "$@"
' >/tmp/bin/passt
chmod +x /tmp/bin/passt
PATH=/tmp/bin:$PATH
"""

BEGIN = """
echo "@@@ {way}"
"""

THAW = """
timeout -s KILL {limit} thaw run -m 256M -k /kernel/vmlinux -i /scratch/initrd \\
	-p '{params}' --net {net} </dev/null
echo "thaw: status $?"
"""

QEMU = """
{before}timeout -s KILL {limit} /usr/bin/qemu-system-x86_64 -M q35,accel=kvm -m 256M \\
	-cpu host -nodefaults -no-user-config -no-reboot -display none -serial stdio \\
	-netdev {netdev} -device virtio-net-pci,netdev=n0,host_mtu={mtu} \\
	-kernel /kernel/vmlinux -initrd /scratch/initrd \\
	-append 'console=ttyS0 {params}' </dev/null
echo "QEMU: status $?"
"""

PASST = """rm -f /tmp/passt.socket
passt --foreground --quiet --socket /tmp/passt.socket --address 10.0.2.15 \\
	--netmask 24 --gateway 10.0.2.2 &
until [ -e /tmp/passt.socket ]; do sleep 0.1; done
"""


def prepare(work, stock):
    """The guest's program as an initrd in @work; the options of the rig."""
    program = compile_program(work, "net_work")
    kernel = fetch("kernel", "x86", "6.12")
    subprocess.run(["sh", os.path.join(RIG, "mkinitrd"), "-a", "x86", "-i", program,
                    "-k", kernel, "-m", "virtio_pci virtio_net", "-o",
                    os.path.join(work, "initrd")], check=True)
    return [*(["--stock"] if stock else []), "--scratch", work, "--file", program,
            "--share", peers(PACKAGES) + ":/peers", "--share", kernel + ":/kernel"]


def parts(args, backend):
    """The scripts of the monitors on one backend: (way, script)."""
    tap = backend == "tap"
    values = {
        "limit": args.limit,
        "params": "%s quiet mib=%d requests=%d conns=%d HOST=%s ADDRESS=%s" % (
            QUIRK, args.mib, args.requests, args.conns,
            *(("10.7.0.1", "10.7.0.2") if tap else ("10.0.2.2", "10.0.2.15"))),
        "net": "tap=inside" if tap else "user,loopback",
        "before": "" if tap else PASST,
        "mtu": 1500 if tap else 65520,
        "netdev": "tap,id=n0,ifname=inside,script=no,downscript=no,vhost=off" if tap
                  else "stream,id=n0,server=off,addr.type=unix,"
                       "addr.path=/tmp/passt.socket",
    }
    return [("thaw-" + backend, THAW.format(**values)),
            ("QEMU-" + backend, QEMU.format(**values))]


def script(args, number):
    """What the host does in one round."""
    text = PREPARE
    for backend in args.backends:
        both = parts(args, backend)
        if number % 2:
            both.reverse()
        text += "".join(BEGIN.format(way=way) + part for way, part in both)
    return text


def medians(rounds, ways, phase, which, form):
    """The medians of a figure, of each way."""
    cells = []
    for way in ways:
        values = [r[way][phase][which] for r in rounds if way in r]
        cells.append(form % statistics.median(values) if values else "-")
    return cells


def show(args, rounds):
    """Prints the table."""
    print("| backend | phase | us per | thaw | QEMU | ratio | by time | frames | "
          "interrupts |\n|---|---|---|---:|---:|---:|---:|---:|---:|")
    for backend in args.backends:
        ways = ("thaw-" + backend, "QEMU-" + backend)
        for phase, unit in UNITS.items():
            print("| %s | %s | %s | %s | %s | %s | %s | %s |" % (
                backend, phase, unit,
                " | ".join(medians(rounds, ways, phase, 0, "%.0f")),
                ratio(rounds, ways, phase, 0), ratio(rounds, ways, phase, 1),
                ", ".join(medians(rounds, ways, phase, 2, "%.1f")),
                ", ".join(medians(rounds, ways, phase, 3, "%.1f"))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--conns", type=int, default=200)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--stock", action="store_true",
                        help="on Debian's kernel instead of the rig's own")
    parser.add_argument("--mem", type=int, default=2048,
                        help="memory of the host, MiB")
    parser.add_argument("--limit", type=int, default=600,
                        help="seconds for a guest")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    rounds = run_rounds(args, lambda work: prepare(work, args.stock), script,
                        "connect", show)
    return 0 if any(rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
