#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tap devices of a network namespace of the test's own: one that works, one in use, one
that is removed under a guest, a tun device, and a user without permission.

usage: networks-tap.py THAW GUESTS SUFFIX
"""
import os
import shutil
import sys
import tempfile

from harness import arguments, complete, expect, require, skip

SCRIPT = """set -e
thaw=$1 kernel=$2 control=$3
ip tuntap add tap0 mode tap
ip link set tap0 mtu 4000 up
ip tuntap add tun0 mode tun
"$thaw" run -m 64 --net tap=tap0 >/dev/null
! "$thaw" run -m 64 --net tap=tun0 >/dev/null
"$thaw" run -k "$kernel" -m 32 -p steps=0 --net tap=tap0 --control "$control" >/dev/null &
n=0
until [ -S "$control" ] || [ $n -gt 600 ]; do sleep 0.1; n=$((n + 1)); done
! "$thaw" run -m 64 --net tap=tap0 >/dev/null
ip link del tap0
"$thaw" ctl "$control" status >/dev/null
"$thaw" ctl "$control" quit >/dev/null
wait $!
"""

OTHER_USER = """set -e
ip tuntap add tap0 mode tap user 0
mount -t tmpfs -o mode=755 tmpfs "$2"
mknod -m 666 "$2/tun" c 10 200
mount --bind "$2/tun" /dev/net/tun
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$1" run -m 64 --net tap=tap0
"""


def alone(script, *words):
    """Runs a script in a network namespace, and its own names for /dev."""
    return complete(["unshare", "--net", "--mount", "--propagation=private", "sh", "-c",
                     script, "sh", *words])


def main():
    thaw, kernel, _ = arguments(__doc__)
    if not os.path.exists("/dev/net/tun") or not shutil.which("ip"):
        skip("no /dev/net/tun, or no ip(8)")
    if complete(["unshare", "--net", "--mount", "ip", "tuntap", "add", "tap0", "mode",
                 "tap"]).returncode:
        skip("no permission for a network namespace with a tap device")
    with tempfile.TemporaryDirectory() as work:
        done = alone(SCRIPT, thaw, kernel, os.path.join(work, "control"))
    errors = done.stderr.decode()
    expect("status: " + errors, done.returncode, 0)
    expect("lines: " + errors, len(errors.splitlines()), 2)
    require("tap tun0: no tap device" in errors, errors)
    require("tap tap0: in use by another process" in errors, errors)
    with tempfile.TemporaryDirectory() as work:
        done = alone(OTHER_USER, thaw, work)
    require(b"tap tap0: not permitted; make it for this user: ip tuntap add tap0 mode "
            b"tap user 65534" in done.stderr, done.stderr.decode())
    expect("status of another user", done.returncode, 70)


if __name__ == "__main__":
    sys.exit(main())
