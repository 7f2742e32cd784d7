#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The host side of networks: passt as a child, descriptors of the caller, and what is
said when one is missing, refuses, or does not fit a snapshot.

usage: networks.py THAW GUESTS SUFFIX

The passt here is a program of the test's own, which answers ARP requests.
"""
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile

from harness import (Guest, arguments, change_header, complete, expect, fix_section,
                     refused, require, run, sections, wait_until)

PASST = r'''#!%s
import os, signal, socket, struct, sys
log, how = os.environ["FAKE_LOG"], os.environ.get("FAKE_HOW", "")
with open(log, "a") as f:
    f.write("%%d %%s\n" %% (os.getpid(), " ".join(sys.argv[1:])))
if how == "fails":
    sys.stderr.write("first line\nFailed to bind port 80 (Permission denied)\n"
                     "Failed to send 7 bytes to syslog\n")
    sys.exit(1)
s = socket.socket(fileno=3)
if how == "silent":
    s.recv(1)
    signal.pause()

def take(n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data

while True:
    frame = take(struct.unpack(">I", take(4))[0])
    if frame[12:14] == b"\x08\x06":
        with open(log, "a") as f:
            f.write("arp %%s %%s\n" %% (frame[6:12].hex(), frame[28:32].hex()))
        reply = frame[6:12] + b"\x02" * 6 + frame[12:]
        s.sendall(struct.pack(">I", len(reply)) + reply)
'''


class Host:
    """Where the programs and the files of the test are."""

    def __init__(self, thaw, kernel, work):
        self.thaw, self.kernel, self.work = thaw, kernel, work
        self.log = os.path.join(work, "log")
        bin_dir = os.path.join(work, "bin")
        os.mkdir(bin_dir)
        passt = os.path.join(bin_dir, "passt")
        with open(passt, "w", encoding="ascii") as f:
            f.write(PASST % sys.executable)
        os.chmod(passt, 0o755)
        os.environ["PATH"] = bin_dir + ":" + os.environ["PATH"]
        os.environ["FAKE_LOG"] = self.log

    def started(self):
        """The lines that passt has written; forgets them."""
        with open(self.log, encoding="ascii") as f:
            lines = f.read().splitlines()
        os.unlink(self.log)
        return lines

    def guest(self, *nets, command=None):
        return Guest(self.thaw, self.work, [
            *(command or ["run", "-k", self.kernel, "-m", "32", "-p", "steps=0"]),
            *[word for net in nets for word in ("--net", net)]])

    def refused(self, why, *nets):
        refused(run(self.thaw, "run", *[word for net in nets
                                        for word in ("--net", net)]), why)


def is_there(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def networks_of(guest):
    return json.loads(guest.ask("stats")[1])["networks"]


def check_passt(host):
    """Its options, the request that it is sent, and its end with the guest's."""
    guest = host.guest("user,tcp=8080:80,tcp=192.0.2.1/81,udp=53,loopback,"
                       "mac=02:aa:bb:cc:dd:ee", "user")
    lines = host.started()
    starts = [line.split(" ", 1) for line in lines if not line.startswith("arp")]
    expect("networks", len(starts), 2)
    first = next(words for _, words in starts if "8080" in words)
    other = next(words for _, words in starts if "8080" not in words)
    for words in ("--foreground", "--fd 3", "--tcp-ports 127.0.0.1/8080:80",
                  "--tcp-ports 192.0.2.1/81", "--udp-ports 127.0.0.1/53",
                  "--address 10.0.2.15", "--dns-forward 10.0.2.3",
                  "--address fd74:6861:7700::15", "--gateway fd74:6861:7700::2",
                  "--dns-forward fd74:6861:7700::3"):
        require(words in first, "not among the options: " + words)
    require("--dns " not in first, "passt forwards no queries: " + first)
    require("--no-map-gw" not in first, "loopback is not mapped: " + first)
    require("--no-map-gw" in other, "loopback is mapped: " + other)
    requests = {line.split()[1]: line.split()[2] for line in lines
                if line.startswith("arp")}
    expect("sender", requests.pop("02aabbccddee"), "0a00020f")
    expect("the other sender", len(requests), 1)
    require(int(list(requests)[0][:2], 16) & 3 == 2,
            "not locally administered: %s" % requests)
    expect("up", [n["up"] for n in networks_of(guest)], [True, True])
    require("--mtu 65520" in first, "another MTU: " + first)
    # One is killed: the guest, which has no driver, does not mind.
    pids = [int(pid) for pid, _ in starts]
    os.kill(pids[0], signal.SIGKILL)
    expect("the other lives", is_there(pids[1]), True)
    expect("after that", guest.ask("status")[0], 0)
    guest.quit()
    for pid in pids:
        require(not is_there(pid), "passt %d outlives thaw" % pid)


def check_restart(host):
    """A guest that boots again has the same passt."""
    kernel = host.kernel.replace("chain.", "reset.")
    guest = Guest(host.thaw, host.work, [
        "run", "-k", kernel, "--on-reboot=restart", "--net", "user"])
    guest.wait_for("three boots", lambda: guest.output().count("reset") >= 3)
    guest.process.terminate()
    guest.wait_end()
    expect("errors", guest.errors(), "")
    guest.end()
    expect("starts", len([line for line in host.started()
                          if not line.startswith("arp")]), 1)


def check_passt_ends_with_thaw(host):
    """Killed, thaw cannot end it; its socket does."""
    guest = host.guest("user")
    pid = int(host.started()[0].split()[0])
    guest.process.kill()
    guest.process.wait()
    wait_until("the end of passt", lambda: not is_there(pid))
    guest.end()
    os.unlink(guest.control)


def check_passt_fails(host):
    os.environ["FAKE_HOW"] = "fails"
    host.refused(r"network user: passt: Failed to bind port 80 "
                 r"\(Permission denied\)", "user,tcp=80")
    os.environ["FAKE_HOW"] = "silent"
    host.refused("network user: passt does not answer", "user")
    for line in host.started():
        require(not is_there(int(line.split()[0])), "passt is left: " + line)
    del os.environ["FAKE_HOW"]
    path = os.environ["PATH"]
    os.environ["PATH"] = "/nowhere"
    host.refused("network user: passt is not installed; install the package passt",
                 "user")
    os.environ["PATH"] = path


def check_refusals(host):
    host.refused("tap nosuch0: no such network device; make it with ip tuntap add "
                 "nosuch0 mode tap", "tap=nosuch0")
    host.refused("tap lo: no tap device", "tap=lo")
    host.refused("a name has 1 to 15 bytes", "tap=0123456789abcdef")
    host.refused("network fd 0: neither a tap device nor a socket", "fd=0")
    for value in ("", "bridge", "tap", "tap=", "fd=", "fd=x", "user=1",
                  "user,mac=", "user,mac=1:2:3:4:5:6", "none,tcp=80", "user,tcp=",
                  "user,mac=01:00:00:00:00:00", "user,mac=00:00:00:00:00:00",
                  "fd=400", "user,mac=02:-1:00:00:00:00", "user,mtu=67", "user,mtu=65536", "user,what", "user,loopback=1", "none,ip=10.0.0.1/8"):
        code, _, errors = run(host.thaw, "run", "--net", value)
        expect("--net " + value, (code, len(errors.splitlines())), (64, 1))
    code, _, errors = run(host.thaw, "run", *["--net", "none"] * 9)
    expect("nine networks", code, 64)
    require("more than 8 networks" in errors, errors)


def check_exec_values(host):
    """Addresses for the init of thaw exec: one of each family at most."""
    for value, why in (
            ("fd=0,ip=10.0.0.1/33", "bad option ip"),
            ("fd=0,ip=fd00::1/129", "bad option ip"),
            ("fd=0,ip=fd00::1", "bad option ip"),
            ("fd=0,ip=fd00:1/64", "bad option ip"),
            ("fd=0,ip=fd00::1/64,ip=fd00::2/64", "bad option ip"),
            ("fd=0,ip=10.0.0.1/8,ip=10.0.0.2/8", "bad option ip"),
            ("fd=0,ip=fd00::1/64,gateway=x", "bad option gateway"),
            ("fd=0,ip=fd00::1/64,gateway=fd00::2,gateway=fd00::3",
             "bad option gateway"),
            ("fd=0,ip=fd00::1/64,dns=fd00::x", "bad option dns"),
            ("fd=0,gateway=10.0.0.1", "needs ip=ADDRESS/BITS"),
            ("fd=0,ip=10.0.0.1/8,gateway=fd00::1", "needs ip=ADDRESS/BITS"),
            ("fd=0,ip=10.0.0.1/8,dns=fd00::3", "needs ip=ADDRESS/BITS"),
            ("fd=0,ip=fd00::1/64,mtu=1000", "IPv6 needs an MTU of 1280"),
            ("user,ip=fd00::1/64", "user has addresses of its own"),
            ("user,gateway=fd00::1", "user has addresses of its own"),
            # Both families are taken: the descriptor is what is missing.
            ("fd=399,ip=fd00::1/64,ip=10.0.0.1/8,gateway=fd00::2,gateway=10.0.0.2,"
             "dns=fd00::3", "--net fd=399: Bad file descriptor")):
        refused(run(host.thaw, "exec", "--net", value, "true"), re.escape(why), 125)


def check_descriptor(host):
    """A socket that another program has opened, of both kinds; not one twice."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        os.set_inheritable(theirs.fileno(), True)
        words = [host.thaw, "run", "-m", "64", "--net",
                 "fd=%d" % theirs.fileno()]
        done = complete(words, close_fds=False)
        expect("fd", (done.returncode, done.stderr), (0, b""))
        twice = complete([*words, "--net", words[-1]], close_fds=False)
        expect("fd twice", (twice.returncode, b"given twice" in twice.stderr),
               (64, True))
        ours.close()
        theirs.close()


def check_snapshot(host):
    """A restore names the networks again; the addresses are the snapshot's."""
    path = os.path.join(host.work, "s")
    guest = host.guest("user,mac=02:aa:bb:cc:dd:ee,mtu=4000", "none")
    guest.save(path)
    guest.end()
    code, out, _ = run(host.thaw, "inspect", "--json", path)
    expect("inspect", code, 0)
    said = json.loads(out)["machine"]["networks"]
    expect("the first", said[0], {"host": "user", "mac": "02:aa:bb:cc:dd:ee",
                                  "mtu": 4000, "offloads": False})
    expect("the second", said[1]["host"], "none")
    text = run(host.thaw, "inspect", path)[1]
    require("02:aa:bb:cc:dd:ee, mtu 4000, host side user: restore needs --net"
            in text, text)
    refused(run(host.thaw, "restore", path),
            "has 2 networks: pass --net for each, such as --net user or --net none; "
            "the first was user")
    refused(run(host.thaw, "restore", "--net", "user", path),
            "--net: 1 network given, the snapshot has 2")
    refused(run(host.thaw, "restore", "--net", "user,mtu=1500", "--net", "none",
                path), "mac= and mtu= are those of the snapshot")
    host.started()
    guest = host.guest("user,tcp=8081", "none", command=["restore", path])
    lines = host.started()
    require("127.0.0.1/8081" in lines[0], "the forward: %s" % lines)
    require("--mtu 4000" in lines[0], "the MTU: %s" % lines)
    expect("sender", lines[1].split()[1], "02aabbccddee")
    expect("up", [n["up"] for n in networks_of(guest)], [True, False])
    guest.quit()
    check_forged(host, path)


# What a section with one network may not be.  A network is: the length of a name
# and the name, the address, the MTU, a byte that says whether it has offloads.
ONE = (1).to_bytes(4, "little")
NAME = (4).to_bytes(4, "little") + b"user"
MAC = bytes.fromhex("02aabbccddee")
REST = (4000).to_bytes(2, "little") + b"\0"
FORGED = {
    "empty": b"",
    "no entry": ONE,
    "more than there can be": (9).to_bytes(4, "little") + 9 * (NAME + MAC + REST),
    "a number of all ones": b"\xff" * 4 + NAME + MAC + REST,
    "a name longer than the section": ONE + b"\xff" * 4 + b"user" + MAC + REST,
    "a name too long": ONE + (64).to_bytes(4, "little") + b"x" * 64 + MAC + REST,
    "a name with a zero": ONE + (4).to_bytes(4, "little") + b"us\0r" + MAC + REST,
    "a cut address": ONE + NAME + MAC[:5],
    "an address of a group": ONE + NAME + b"\x03" + MAC[1:] + REST,
    "an address of zeros": ONE + NAME + bytes(6) + REST,
    "an MTU of zero": ONE + NAME + MAC + bytes(2) + REST[2:],
    "an MTU of 67": ONE + NAME + MAC + b"\x43\0" + REST[2:],
    "offloads of 2": ONE + NAME + MAC + REST[:2] + b"\2",
    "bytes behind the last": ONE + NAME + MAC + REST + b"\0",
}


def forge(path, body):
    """Gives the snapshot such a section of networks, with a right checksum."""
    file = os.path.join(path, "state")
    with open(file, "rb") as f:
        data = bytearray(f.read())
    at, size = sections(data)["nets"]
    data[at + 16:at + 24] = len(body).to_bytes(8, "little")
    data[at + 32:at + 32 + size] = body
    fix_section(data, at)
    with open(file, "wb") as f:
        f.write(data)
    # The header has the length of the file.
    change_header(file, 56, len(data).to_bytes(8, "little"))


def check_forged(host, whole):
    """A section of networks with bad contents is refused by its name."""
    path = os.path.join(host.work, "forged")
    for name, body in FORGED.items():
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(whole, path)
        forge(path, body)
        for words in (["restore", "--net", "none"], ["inspect"]):
            print("---", name, *words, flush=True)
            refused(run(host.thaw, *words, path), "malformed section nets")
    # One that is well-formed, of a guest that has two networks.
    forge(path, ONE + NAME + MAC + REST)
    code, _, errors = run(host.thaw, "inspect", path)
    expect("inspect: " + errors, code, 0)
    refused(run(host.thaw, "restore", "--net", "none", path), "dev.net1")


def main():
    thaw, kernel, _ = arguments(__doc__)
    with tempfile.TemporaryDirectory() as work:
        host = Host(thaw, kernel, work)
        check_passt(host)
        check_restart(host)
        check_passt_ends_with_thaw(host)
        check_passt_fails(host)
        check_refusals(host)
        check_exec_values(host)
        check_descriptor(host)
        check_snapshot(host)


if __name__ == "__main__":
    sys.exit(main())
