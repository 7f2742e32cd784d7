# SPDX-License-Identifier: BSD-2-Clause
"""QEMU as a peer on this machine's /dev/kvm: where it is, and how it starts a guest
of ours."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def find_qemu():
    """The machine's QEMU if it is 10 or newer, else the one of Debian's backports,
    which is downloaded; None: there is none."""
    if os.uname().machine != "x86_64":
        return None
    done = subprocess.run(
        ["sh", os.path.join(HERE, "../rig/fetch.sh"), "qemu", "x86"],
        stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip() or None


def qemu_command(qemu, machine, mib, kernel, params, cpus=1):
    """The serial port is standard input and output.  MSR 0x10a (arch-capabilities)
    cannot be set everywhere that KVM runs."""
    return [qemu, "-M", machine + ",accel=kvm", "-cpu", "host,-arch-capabilities",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-m", str(mib), "-smp", str(cpus), "-serial", "stdio", "-kernel",
            kernel, "-append", params]
