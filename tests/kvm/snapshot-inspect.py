#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`thaw inspect` tells of a snapshot what is in it: compared with how the guest
was started, with the files, and after damage and additions of many kinds.

usage: snapshot-inspect.py THAW GUESTS SUFFIX
"""
import json
import os
import platform
import shutil
import sys
import tempfile
import time

from harness import (Failure, Guest, arguments, change_header, expect,
                     refused, run)

PAGE = 4096
OTHER = {"x86_64": b"aarch64", "aarch64": b"x86_64"}
# What every guest has on either architecture.
FEATURES = {"x86_64": {"fpu", "sse2", "lm", "kvm_clocksource"},
            "aarch64": {"FP", "AdvSIMD"}}


def present(path):
    """How many pages of a file are not zero, read by itself."""
    with open(path, "rb") as f:
        return sum(any(page) for page in iter(lambda: f.read(PAGE), b""))


def look(thaw, *words):
    """The JSON of inspect."""
    code, out, errors = run(thaw, "inspect", "--json", *words)
    if code or errors:
        raise Failure("inspect: status %d, %s" % (code, errors))
    said = json.loads(out)
    for disk in said["machine"]["disks"]:
        expect("a whole path", disk["path"][0], "/")
        disk["path"] = os.path.normpath(disk["path"])
    return said


def check_whole(thaw, path, arch, disks):
    """All fields of a new snapshot."""
    said = look(thaw, "--verify", path)
    expect("arch", said["arch"], arch)
    expect("format", said["format"], 1)
    expect("thaw", "thaw " + said["thaw"], run(thaw, "version")[1].strip())
    if abs(time.time() - said["created_s"]) > 120:
        raise Failure("made at %d" % said["created_s"])
    expect("verified", said["verified"], True)
    expect("working set", said["workingset_pages"], None)
    machine, memory = said["machine"], said["memory"]
    expect("machine", (machine["cpus"], machine["memory_bytes"],
                       machine["console"]), (2, 64 << 20, "virtio"))
    expect("disks", machine["disks"], disks)
    kinds = {d["name"]: d["kind"] for d in machine["devices"]}
    for name, kind in (("disk0", "virtio-blk"), ("disk1", "virtio-blk"),
                       ("console", "virtio-console"), ("rng", "virtio-rng")):
        expect(name, kinds.get(name), kind)
    expect("pages", memory["pages"], (64 << 20) // PAGE)
    expect("present pages", memory["present_pages"],
           present(os.path.join(path, "memory")))
    expect("bytes", memory["present_bytes"], memory["present_pages"] * PAGE)
    expect("fs-verity", memory["fsverity"], False)
    expect("ranges", sum(r["size_bytes"] for r in memory["ranges"]), 64 << 20)
    header = 92 + 24 * len(memory["ranges"])
    expect("sections", header + sum(32 + s["bytes"] for s in said["sections"]),
           os.path.getsize(os.path.join(path, "state")))
    lacks = FEATURES[arch] - {f.split("=")[0] for f in said["cpu"]["features"]}
    if lacks or not said["cpu"]["model"]:
        raise Failure("no %s: %s" % (lacks, said["cpu"]))
    return said


def check_text(thaw, path, said):
    """The text has the same facts as the JSON."""
    code, out, errors = run(thaw, "inspect", "--verify", path)
    expect("inspect", (code, errors), (0, ""))
    flat = " ".join(out.split())
    disk = said["machine"]["disks"][1]
    for words in (
            ": %s guest, saved " % said["arch"], "by thaw " + said["thaw"],
            "2 vCPUs, 64 MiB, virtio console",
            said["cpu"]["model"], ", ".join(said["cpu"]["features"]),
            "%d pages, %d runs" % (said["memory"]["present_pages"],
                                     said["memory"]["runs"]),
            "console: virtio-console",
            "1: %s, %d bytes, read-only" % (disk["path"], disk["size_bytes"]),
            "cpu1 version 1", "all checksums match"):
        if words not in flat:
            raise Failure("not in the text: %r: %s" % (words, out))
    if max(len(line) for line in out.splitlines() if "/" not in line) > 80:
        raise Failure("wider than 80: " + out)


def check_other(thaw, whole, work, arch, said):
    """Of another architecture: all but the features, and no restore."""
    path = os.path.join(work, "other")
    shutil.copytree(whole, path)
    change_header(os.path.join(path, "state"), 16,
                  OTHER[arch].ljust(16, b"\0"))
    other = look(thaw, "--verify", path)
    expect("other arch", other["arch"], OTHER[arch].decode())
    expect("other cpu", other["cpu"], None)
    for key in ("machine", "sections", "thaw", "created_s"):
        expect("other " + key, other[key], said[key])
    code, out, _ = run(thaw, "inspect", path)
    if code or "not shown: run inspect with thaw for" not in out:
        raise Failure("nothing said of the features: " + out)
    refused(run(thaw, "restore", path),
            "snapshot of a guest for %s, this host is %s" % (
                other["arch"], arch))


def check_workingset(thaw, whole, work):
    """It is shown when it is there; a corrupt one is no reason but for
    --verify."""
    path = os.path.join(work, "recorded")
    shutil.copytree(whole, path)
    for pager in ("userfault", "uffd"):
        try:
            guest = Guest(thaw, work, ["restore", "--pager=" + pager,
                                       "--workingset=record",
                                       "--trust-paths", path])
        except Failure:
            continue
        time.sleep(0.2)
        guest.quit()
        pages = look(thaw, "--verify", path)["workingset_pages"]
        if not pages:
            raise Failure("the working set has no pages")
        break
    else:
        print("# no pager that records here")
        return
    with open(os.path.join(path, "workingset"), "r+b") as f:
        f.seek(60)
        f.write(b"\xff")
    refused(run(thaw, "inspect", "--verify", path), "workingset: corrupt")
    code, out, errors = run(thaw, "inspect", path)
    if code or "workingset: corrupt" not in errors or "workingset" in out:
        raise Failure("corrupt working set: %d, %s" % (code, errors))


def check_damage(thaw, whole, work):
    """Pages are verified only with --verify, all other data always."""
    path = os.path.join(work, "damaged")
    shutil.copytree(whole, path)
    memory = os.path.join(path, "memory")
    with open(memory, "r+b") as f:
        page = next(n for n, p in enumerate(iter(lambda: f.read(PAGE), b""))
                    if any(p))
        f.seek(page * PAGE + 7)
        byte = f.read(1)[0]
        f.seek(page * PAGE + 7)
        f.write(bytes([byte ^ 1]))
    look(thaw, path)
    refused(run(thaw, "inspect", "--verify", path),
            "%s: corrupt page at guest address 0x[0-9a-f]+" % memory)
    refused(run(thaw, "inspect", "--json", "--verify", path), "corrupt page")
    with open(os.path.join(path, "state"), "r+b") as f:
        f.seek(-5, os.SEEK_END)
        byte = f.read(1)[0]
        f.seek(-5, os.SEEK_END)
        f.write(bytes([byte ^ 1]))
    refused(run(thaw, "inspect", path), "corrupt section [a-z0-9.]+")


def main():
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-inspect.")
    arch = platform.machine()
    path = os.path.join(work, "s")
    disks = [{"path": os.path.join(work, "disk one"), "read_only": False,
              "size_bytes": 1 << 20, "inside": False, "copied": False},
             {"path": os.path.join(work, "disk2"), "read_only": True,
              "size_bytes": 3 << 20, "inside": False, "copied": False}]
    try:
        for disk in disks:
            with open(disk["path"], "wb") as f:
                f.truncate(disk["size_bytes"])
        guest = Guest(thaw, work, [
            "run", "-k", kernel, "-m", "64", "-c", "2", "--console=virtio",
            "-d", os.path.relpath(disks[0]["path"]), "-d", disks[1]["path"] + ",ro",
            "-p", "steps=0"])
        time.sleep(0.1)
        guest.save(path)
        guest.end()
        said = check_whole(thaw, path, arch, disks)
        check_text(thaw, path, said)
        check_other(thaw, path, work, arch, said)
        check_workingset(thaw, path, work)
        check_damage(thaw, path, work)
        print("# %d features, %d sections" % (
            len(said["cpu"]["features"]), len(said["sections"])))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
