#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Snapshots of a guest that runs: each is of one instant, and the guest that was
saved never notices.

usage: snapshot-live.py THAW GUESTS SUFFIX [ROUNDS [SEED]]
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import (LINE, Failure, Guest, arguments, complete, expect,
                     undisturbed, wait_until)

PERIOD = 500
PAGES = 2000


def chain(steps):
    """The parameters of the guest: it rewrites its pages in an order that its
    hash decides, which is wrong as soon as one of them is not of the instant.  Some
    become zeros, and others again; the table of their versions always changes."""
    return "steps=%d period=%d pages=%d zeros=3 timer=0" % (steps, PERIOD, PAGES)


def compare(guest, known):
    """All lines so far are those of the reference; how many were compared."""
    text = guest.output()
    if "FAIL" in text or "SUMMARY" in text:
        raise Failure("the guest says: " + text[-600:])
    seen = 0
    for cpu, step, value in LINE.findall(text):
        key = int(cpu), int(step)
        if known.get(key, value) != value:
            raise Failure("step %d of cpu %d is %s, not %s" % (
                key[1], key[0], value, known[key]))
        seen += key in known
    return seen


def live(guest, path, *options):
    """Saves a guest that goes on; the reply."""
    done = complete([guest.thaw, "snapshot", *options, guest.control, path],
                    [guest.process.pid])
    if done.returncode:
        raise Failure("live save: %d %s %s" % (
            done.returncode, done.stderr.decode(), guest.errors()))
    return json.loads(done.stdout)


def progress(guest, known, lines):
    """Waits until a guest has printed so many lines, and compares them."""
    guest.wait_for("lines", lambda: len(LINE.findall(guest.output())) >= lines)
    return compare(guest, known)


def pagers(thaw, work, path):
    """The pagers that this host has."""
    found = []
    for pager in ("userfault", "uffd", "map", "eager"):
        try:
            guest = Guest(thaw, work, ["restore", "--pager", pager, path])
        except Failure as refusal:
            print("#", pager, str(refusal).split("\n", 1)[0].strip())
            continue
        guest.quit()
        found.append(pager)
    return found


def cuts(thaw, kernel, work, cpus, rounds, chance):
    """Live snapshots in a row, of a guest and of one restored from the last; each
    is restored by the next pager, and compared."""
    known = undisturbed(thaw, kernel, cpus, chain(500 * PERIOD))
    other = os.path.join(work, "restored")
    os.mkdir(other)
    guest = Guest(thaw, work, ["run", "-k", kernel, "-c", str(cpus), "-m", "64",
                               "-p", chain(0)])
    path = os.path.join(work, "s0")
    pause, seen, held, have = 0, 0, 0, None
    for number in range(rounds):
        time.sleep(chance.random() * 0.05)
        path = os.path.join(work, "s%d" % (number % 2))
        reply = live(guest, path)
        pause = max(pause, reply["pause_us"])
        held += reply["held_pages"]
        have = have or pagers(thaw, other, path)
        restored = Guest(thaw, other, ["restore", "--pager",
                                       have[number % len(have)], path])
        # While it is filled it can be saved, too.
        again = os.path.join(work, "again")
        live(restored, again)
        seen += progress(restored, known, 2 * cpus)
        restored.quit()
        restored = Guest(thaw, other, ["restore", again])
        seen += progress(restored, known, 2 * cpus)
        restored.quit()
    seen += progress(guest, known, 2)
    expect("the end", guest.quit(), [])
    shutil.rmtree(other)
    if not seen:
        raise Failure("no line was compared")
    print("# %d vCPUs: %d snapshots, %d pages held, %d lines as in an undisturbed "
          "run, longest pause %d us" % (cpus, 2 * rounds, held, seen, pause))


def disk_reads(thaw, guests, suffix, work, rounds):
    """What a device writes to memory is in the snapshot: the guest reads its disk,
    which does not change, over other contents, and compares."""
    image = os.path.join(work, "disk")
    with open(image, "wb") as file:
        file.truncate(4 << 20)
    guest = Guest(thaw, work, [
        "run", "-k", os.path.join(guests, "disk." + suffix), "-m", "64",
        "-d", image, "-p", "mode=check size=%d count=1000000" % (4 << 20)])
    other = os.path.join(work, "restored")
    path = os.path.join(work, "disk-snapshot")
    os.mkdir(other)
    for number in range(rounds):
        passes = guest.output().count("pass")
        guest.wait_for("passes",
                       lambda: guest.output().count("pass") > passes + 1)
        live(guest, path)
        # The same, as the guest does not write any more.
        shutil.copyfile(image, image + ".copy")
        restored = Guest(thaw, other, ["restore", "-d", image + ".copy", path])
        restored.wait_for("passes",
                          lambda: restored.output().count("pass") > 1)
        for one in (guest, restored):
            if "FAIL" in one.output():
                raise Failure("round %d: %s" % (number, one.output()[-300:]))
        restored.quit()
    expect("the end", guest.quit(), [])
    shutil.rmtree(other)


def refused(done, *whys):
    """A command must fail, with these reasons and in one line."""
    errors = done.stderr.decode()
    expect("refused", done.returncode != 0, True)
    expect("lines of " + errors, errors.count("\n"), 1)
    for why in whys:
        if why not in errors:
            raise Failure("no '%s' in: %s" % (why, errors))


def resume(thaw, work, known, path, *options):
    """Restores a snapshot, and compares what the guest prints."""
    guest = Guest(thaw, work, ["restore", *options, path])
    seen = progress(guest, known, 2)
    guest.quit()
    return seen


def grow(thaw, kernel, work, known, at, count):
    """A chain of snapshots of one guest, each restored; the pagers, and the last."""
    other = os.path.join(work, "restored")

    def save(*words):
        return complete([thaw, "snapshot", *words[:-1], guest.control, words[-1]],
                        [guest.process.pid])

    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-p", chain(0)])
    progress(guest, known, 1)
    refused(save("--base", at("none"), at("s0")), "writes are not tracked yet")
    live(guest, at("s0"))
    have = pagers(thaw, other, at("s0"))
    for i in range(1, count):
        live(guest, at("s%d" % i), "--base", at("s%d" % (i - 1)))
        # One of the others, and the one that maps all of these files.
        for pager in sorted({have[i % len(have)], "map"}):
            resume(thaw, other, known, at("s%d" % i), "--pager", pager)
    last = at("s%d" % (count - 1))
    refused(save("--base", at("s0"), at("bad")), "/s0 is not the snapshot")
    refused(save("--base", at("none"), at("bad")), "/none: No such file")
    refused(save("--base", last, last), "depends on it")
    # Nor is another snapshot of the chain replaced, by whatever name.
    os.symlink(last, at("link"))
    refused(save("--base", last, at("s0")), "depends on it")
    refused(save("--base", at("link"), last), "depends on it")
    os.unlink(at("link"))
    refused(complete([thaw, "snapshot", "--flatten", last, at("s1")]),
            "depends on it")
    refused(save("--base", last, os.path.join(work, "elsewhere")),
            "same directory")
    # A save that fails loses nothing of what the next one needs.
    refused(save(at("s0")), "not replaced: it is the base of s1")
    live(guest, at("again"), "--base", last)
    expect("pause", guest.ask("pause")[0], 0)
    live(guest, at("paused"), "--base", at("again"))
    live(guest, at("unchanged"), "--base", at("paused"))
    expect("resume", guest.ask("resume")[0], 0)
    # So that the last one has pages of its own.
    progress(guest, known, len(LINE.findall(guest.output())) + 2)
    done = save("--stop", "--base", at("unchanged"), at("stopped"))
    expect("stop", (done.returncode, done.stderr.decode(), guest.wait_end()),
           (0, "", 0))
    compare(guest, known)
    guest.end()
    return have, at("stopped")


def blocks(path):
    """The size of a snapshot's memory on its disk."""
    return os.stat(os.path.join(path, "memory")).st_blocks


def damaged(thaw, at, last):
    """A base that is missing, another one, or corrupt, is named."""
    os.rename(at("s1"), at("x"))
    refused(complete([thaw, "restore", last]), ": base s1: No such file")
    os.rename(at("s0"), at("s1"))
    refused(complete([thaw, "restore", last]), "replaced by another")
    os.rename(at("s1"), at("s0"))
    os.rename(at("x"), at("s1"))
    with open(os.path.join(at("s0"), "memory"), "r+b") as file:
        for page in range(0, os.fstat(file.fileno()).st_size, 4096):
            data = os.pread(file.fileno(), 1, page)
            os.pwrite(file.fileno(), bytes([data[0] ^ 1]), page)
    refused(complete([thaw, "inspect", "--verify", last]),
            ": base s0/memory: corrupt page")


def maps_all(thaw, work, path, bases):
    """A mapped guest has mappings of the files of these bases."""
    guest = Guest(thaw, work, ["restore", "--pager=map", path])
    with open("/proc/%d/maps" % guest.process.pid) as f:
        mapped = {line.split()[-1] for line in f if "/memory" in line}
    expect("mapped", [b for b in bases if os.path.join(b, "memory") not in mapped],
           [])
    guest.quit()


def increments(thaw, kernel, work, count):
    """Snapshots with what was written since the one before."""
    folder, other = os.path.join(work, "chain"), os.path.join(work, "restored")
    os.mkdir(folder)
    os.mkdir(other)
    known = undisturbed(thaw, kernel, 1, chain(500 * PERIOD))

    def at(name):
        return os.path.join(folder, name)

    have, last = grow(thaw, kernel, work, known, at, count)
    if blocks(at("unchanged")) > blocks(at("s0")) / 10:
        raise Failure("nothing changed, and takes %d of %d blocks" % (
            blocks(at("unchanged")), blocks(at("s0"))))
    resume(thaw, other, known, last)
    resume(thaw, other, known, last, "--pager=map", "--verify")
    # What is in between may have been written since.
    maps_all(thaw, other, last, [at("s0"), last])
    # From a restored guest, tracked from its start on.
    for pager in have:
        guest = Guest(thaw, work, ["restore", "--track", "--pager", pager, last])
        progress(guest, known, 1)
        live(guest, at("tracked"), "--base", last)
        guest.quit()
        resume(thaw, other, known, at("tracked"))
    done = complete([thaw, "snapshot", "--flatten", at("tracked"), at("flat")])
    expect("flatten", (done.returncode, done.stderr), (0, b""))
    resume(thaw, other, known, at("flat"), "--pager=map", "--verify")
    # It is the same snapshot to what depends on it, and to the guest.
    guest = Guest(thaw, other, ["restore", "--track", at("flat")])
    live(guest, at("next"), "--base", at("flat"))
    guest.quit()
    shutil.rmtree(at("flat"))
    refused(complete([thaw, "inspect", at("next")]), ": base flat: No such file")
    done = complete([thaw, "snapshot", "--flatten", at("tracked"), at("flat")])
    expect("again", (done.returncode, done.stderr), (0, b""))
    resume(thaw, other, known, at("next"))
    done = complete([thaw, "inspect", at("tracked")])
    if b"stopped, in a" not in done.stdout or \
            b"in a chain of %d snapshots" % (count + 5) not in done.stdout:
        raise Failure("inspect does not describe the chain: %s" % done.stdout)
    done = complete([thaw, "inspect", "--json", at("tracked")])
    expect("bases", json.loads(done.stdout)["bases"],
           ["stopped", "unchanged", "paused", "again"] +
           ["s%d" % i for i in reversed(range(count))])
    damaged(thaw, at, at("tracked"))
    print("# a chain of %d, with %s" % (count + 4, ", ".join(have)))


def only_reads(thaw, guests, suffix, work):
    """A page that the guest only reads is not in the next snapshot, by any pager."""
    folder, other = os.path.join(work, "reads"), os.path.join(work, "readers")
    os.mkdir(folder)
    os.mkdir(other)
    initrd = os.path.join(work, "initrd")
    with open(initrd, "wb") as file:
        file.write(os.urandom(16 << 20))

    def start(words, work):
        guest = Guest(thaw, work, words)
        guest.wait_for("rounds", lambda: guest.output().count("round") > 3)
        return guest

    guest = start(["run", "-k", os.path.join(guests, "touch." + suffix), "-m", "64",
                   "-i", initrd, "-p", "base=initrd write=0 rounds=1000000"], work)
    base = os.path.join(folder, "s0")
    live(guest, base)
    guest.quit()
    for pager in pagers(thaw, other, base):
        guest = start(["restore", "--track", "--pager", pager, base], other)
        new = os.path.join(folder, pager)
        live(guest, new, "--base", base)
        guest.quit()
        if blocks(new) > blocks(base) / 10:
            raise Failure("%s: reads take %d of %d blocks" % (
                pager, blocks(new), blocks(base)))


def cancelled(thaw, kernel, work):
    """A client that ends has cancelled its save: nothing is left of it, and the
    guest goes on."""
    folder = os.path.join(work, "cancelled")
    os.mkdir(folder)
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "1024", "-p",
                               "steps=0 period=%d pages=200000 timer=0" % PERIOD])
    guest.wait_for("lines", lambda: LINE.search(guest.output()))
    client = subprocess.Popen(
        [thaw, "snapshot", guest.control, os.path.join(folder, "s")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_until("the save's files", lambda: os.listdir(folder),
               guest.process.pid)
    client.send_signal(signal.SIGINT)
    client.wait()
    wait_until("the end of the save", lambda: not os.listdir(folder),
               guest.process.pid)
    before = len(guest.output())
    guest.wait_for("more lines", lambda: len(guest.output()) > before)
    expect("the machine says", guest.errors(), "thaw: snapshot: cancelled\n")
    live(guest, os.path.join(folder, "s"))
    expect("files", os.listdir(folder), ["s"])
    guest.end()


def limited(thaw, kernel, work):
    """A save at a limited rate takes at least as long as the limit says."""
    path = os.path.join(work, "limited")
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-p",
                               "steps=0 pages=%d timer=0" % PAGES])
    progress(guest, {}, 1)
    refused(complete([thaw, "snapshot", "--rate=100K", guest.control, path]), "rate")
    refused(complete([thaw, "snapshot", "--rate=4M", "--pause", guest.control, path]),
            "guest that runs")
    code, _, errors = guest.ask("snapshot", "--rate=some", path)
    expect("refused", (code != 0, "--rate some: not a size" in errors), (True, True))
    since = time.monotonic()
    live(guest, path, "--rate=4M")
    least = PAGES * 4096 / (4 << 20)
    if time.monotonic() - since < least * 0.9:
        raise Failure("%d pages at 4 MiB/s in less than %.1f s" % (PAGES, least))
    expect("the end", guest.quit(), [])
    resume(thaw, work, {}, path)


def full(thaw, kernel, work):
    """A directory without space for the memory: the guest goes on."""
    folder = os.path.join(work, "full")
    os.mkdir(folder)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none",
                              folder], capture_output=True, check=False)
    if mounted.returncode:
        print("# not tried: a full file system, as mount(8) is refused")
        return
    try:
        guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-p", chain(0)])
        progress(guest, {}, 1)
        code, _, errors = guest.ask("snapshot", os.path.join(folder, "s"))
        expect("status", code != 0, True)
        if "No space left" not in errors:
            raise Failure("a full file system: " + errors)
        expect("left", os.listdir(folder), [])
        before = len(LINE.findall(guest.output()))
        progress(guest, {}, before + 2)
        live(guest, os.path.join(work, "s"))
        guest.end()
    finally:
        subprocess.run(["umount", folder], check=True)


def main():
    thaw, kernel, numbers = arguments(__doc__)
    guests, suffix = sys.argv[2:4]
    rounds = numbers[0] if numbers else 5
    seed = numbers[1] if len(numbers) > 1 else random.randrange(1 << 32)
    print("# seed", seed, "rounds", rounds)
    chance = random.Random(seed)
    work = tempfile.mkdtemp(prefix="thaw-live.")
    try:
        for cpus in (1, 2):
            cuts(thaw, kernel, work, cpus, rounds, chance)
        disk_reads(thaw, guests, suffix, work, 2 * rounds)
        increments(thaw, kernel, work, 16 if rounds > 2 else 4)
        only_reads(thaw, guests, suffix, work)
        cancelled(thaw, kernel, work)
        limited(thaw, kernel, work)
        full(thaw, kernel, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
