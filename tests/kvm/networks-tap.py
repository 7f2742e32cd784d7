#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tap devices of a network namespace of the test's own: one that works, one in use, one
that is removed under a guest, a tun device, and a user without permission; and a guest that
is saved on one and restored with other host sides.

usage: networks-tap.py THAW GUESTS SUFFIX
"""
import json
import os
import shutil
import socket
import sys
import tempfile

from harness import arguments, complete, expect, refused, require, run, skip

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

# A guest moves between host sides: $4 is a directory for its snapshots.
MOVES = """set -e
thaw=$1 kernel=$2 control=$3 dir=$4
ip tuntap add tap0 mode tap
ip tuntap add tap1 mode tap
# Saves the guest that thaw with these words runs as snapshot $1.
save() {
	to=$1
	shift
	"$thaw" "$@" --control "$control" >/dev/null &
	n=0
	until [ -S "$control" ] || [ $n -gt 600 ]; do sleep 0.1; n=$((n + 1)); done
	"$thaw" ctl "$control" stats >"$dir/$to.stats"
	"$thaw" snapshot --stop "$control" "$dir/$to" >/dev/null
	wait $!
}
save tap run -k "$kernel" -m 32 -p steps=0 --net tap=tap0
save other-tap restore "$dir/tap" --net tap=tap1
save none restore "$dir/tap" --net none
save back restore "$dir/none" --net tap=tap0
save plain run -k "$kernel" -m 32 -p steps=0 --net none
save plain-tap restore "$dir/plain" --net tap=tap0
save user restore "$dir/back" --net user
save user-tap restore "$dir/user" --net tap=tap1
"""

OTHER_USER = """set -e
ip tuntap add tap0 mode tap user 0
mount -t tmpfs -o mode=755 tmpfs "$2"
mknod -m 666 "$2/tun" c 10 200
mount --bind "$2/tun" /dev/net/tun
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$1" run -m 64 --net tap=tap0
"""


# Answers a request, as networks.py has it in full.
PASST = r'''#!%s
import socket
s = socket.socket(fileno=3)
s.sendall(b"\0\0\0\x3c" + bytes(60))
while s.recv(4096):
    pass
'''


def hosts_of(work):
    """The host side that each guest had, by the name of its snapshot."""
    found = {}
    for name in os.listdir(work):
        if name.endswith(".stats"):
            with open(os.path.join(work, name), encoding="ascii") as f:
                found[name[:-6]] = [n["up"] for n in json.load(f)["networks"]]
    return found


def check_moves(thaw, kernel, work):
    """A guest that was saved on a tap device, restored with other host sides, and back;
    a socket has not the offloads that it was offered."""
    passt = os.path.join(work, "passt")
    with open(passt, "w", encoding="ascii") as f:
        f.write(PASST % sys.executable)
    os.chmod(passt, 0o755)
    os.environ["PATH"] = work + ":" + os.environ["PATH"]
    done = alone(MOVES, thaw, kernel, os.path.join(work, "control"), work)
    errors = done.stderr.decode()
    expect("moves: " + errors, (done.returncode, errors), (0, ""))
    expect("up", hosts_of(work), {
        "tap": [True], "other-tap": [True], "none": [False], "back": [True],
        "user": [True], "user-tap": [True], "plain": [False], "plain-tap": [True]})
    for name, host, offloads in (("none", "none", True), ("back", "tap tap0", True),
                                 ("user", "user", True), ("plain", "none", False),
                                 ("plain-tap", "tap tap0", False)):
        code, out, errors = run(thaw, "inspect", "--json", os.path.join(work, name))
        expect(name + ": " + errors, code, 0)
        said = json.loads(out)["machine"]["networks"][0]
        expect(name, (said["host"], said["offloads"]), (host, offloads))
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    refused(run(thaw, "restore", "--net", "fd=%d" % theirs.fileno(),
                os.path.join(work, "user"), close_fds=False),
            "network 0 of the snapshot uses the offloads of user, which fd %d does not "
            "have; use a tap device or user" % theirs.fileno())
    ours.close()
    theirs.close()


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
    with tempfile.TemporaryDirectory() as work:
        check_moves(thaw, kernel, work)


if __name__ == "__main__":
    sys.exit(main())
