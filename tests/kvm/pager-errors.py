#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A page source that fails in every way of --page-inject: the VM ends, waits or
continues as --on-page-error says, with one line that gives the reason, and each
page has the contents of its source.

Times only limit hangs.

usage: pager-errors.py THAW GUESTS SUFFIX [CASE...]
"""
import concurrent.futures
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time

from harness import (Guest, arguments, complete, require,
                     require_uffd, run_case, wait, wait_until, write_signatures)

DONE, HOST, SOURCE = 0, 70, 81
DEADLINE = 1
CPUS = 2
SUMMARY = re.compile(r"^SUMMARY: [1-9][0-9]* checks, 0 failed\s*$", re.M)
REASON = (r"^thaw: guest memory at 0x[0-9a-f]+: read %s \(fault injection\): "
          r"(Input/output error; %s|not completed after [0-9.]+ s; %s)$")
# The first failure of a page that is retried.
RETRIED = re.compile(r"^thaw: guest memory at 0x[0-9a-f]+: read \S+ "
                     r"\((fault injection|snapshot|load plan)\): "
                     r"Input/output error; retrying for [0-9.]+ s\n",
                     re.M)
STOPS = "the guest stops"
WAITS = "the guest waits(?: until `thaw ctl SOCKET retry`)?"


class Bed:
    """The guests, initrds and snapshot of all cases."""

    def __init__(self, thaw, guests, suffix, work):
        self.thaw, self.guests, self.suffix = thaw, guests, suffix
        self.work = work
        self.large = self.make_initrd("large", 2048)
        self.small = self.make_initrd("small", 16)

    def make_initrd(self, name, pages):
        return write_signatures(self.guests, os.path.join(self.work, name),
                                pages)

    def guest(self, name):
        return os.path.join(self.guests, name + "." + self.suffix)

    def run(self, payload, params, *options):
        return ["run", "--pager=uffd", "-m", "128M",
                "--page-deadline=%d" % DEADLINE, "-k", self.guest(payload),
                "-p", params, *options]

    def touch(self, *options, initrd=None, pages=512):
        """The guest that looks at its initrd."""
        return self.run("touch", "base=initrd pages=%d order=rand "
                        "check=signature" % pages, "-c", "2",
                        "-i", initrd or self.large, *options)

    def folder(self):
        return tempfile.mkdtemp(dir=self.work)

    def start(self, *arguments):
        return Guest(self.thaw, self.folder(), arguments)

    def finish(self, arguments, stack=None):
        """Runs to the end, with a limit for stacks: (status, output, errors)."""
        def limit():
            if stack:
                resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))
        done = complete([self.thaw, *arguments], preexec_fn=limit)
        return (done.returncode, done.stdout.decode(errors="replace"),
                done.stderr.decode(errors="replace"))


def expect_right(result):
    """The guest's checks passed, and thaw reported nothing but retries."""
    status, out, err = result
    require(status == DONE and SUMMARY.search(out) and
           not RETRIED.sub("", err),
           "not right", status, out[-500:], err)


def expect_reason(err, where, outcome, count=1):
    """So many lines that name the memory, the source and the reason, and at
    most as many that say that it is retried: for one page if the guest stops,
    else for each that a vCPU waits for."""
    def count_pages(lines):
        pages = [line.split(":")[1] for line in lines]
        return [pages.count(page) for page in set(pages)]
    retried = count_pages(m.group() for m in RETRIED.finditer(err))
    require(all(n <= count for n in retried), "retries", err)
    lines = RETRIED.sub("", err).splitlines()
    wanted = re.compile(REASON % (where, outcome, outcome))
    found = count_pages(lines)
    require(all(map(wanted.match, lines)) and max(found, default=0) == count and
            len(found) <= (1 if outcome == STOPS else CPUS) and
            all(n <= count for n in found),
            "not %d clear lines for a page" % count, err)


def status_of(guest):
    code, out, err = guest.ask("status")
    require(code == 0, "status refused", out, err)
    return json.loads(out)


def failures_of(guest):
    """How often the page that failed most often has."""
    pages = [line.split(":")[1] for line in guest.errors().splitlines()
             if "the guest waits" in line]
    return max(map(pages.count, pages), default=0)


def wait_standing(guest, failures=1):
    """Waits until it reports that it waits for memory, for a page with so many
    failures (each vCPU has its own); three times, as between a failure and the wait for
    it there may be none that waits, while one that waited before a retry is still
    waking up."""
    seen = []

    def stands():
        require(guest.process.poll() is None, "ended", guest.errors())
        if (status_of(guest)["waits_for_memory"] and
                failures_of(guest) >= failures):
            seen.append(True)
        else:
            seen.clear()
        return len(seen) >= 3
    wait_until("the guest waits for memory", stands, guest.process.pid)


def wait_end(guest, status):
    """Waits for its end; its output and errors."""
    got = wait(guest.process)
    out, err = guest.output(), guest.errors()
    require(got == status, "status %d, not %d" % (got, status), out[-500:], err)
    require(not os.path.exists(guest.control), "the socket is left")
    return out, err


# What passes is not seen, whatever the policy is.

def passes(bed):
    for policy in "stop", "pause":
        for spec in ("delay=20", "jitter=3000", "once@any", "once@initrd",
                     "once@kernel", "short=1@any", "short=3@initrd",
                     "delay=5,jitter=900,once@initrd,short=1@kernel"):
            expect_right(bed.finish(bed.touch(
                "--on-page-error=" + policy, "--page-inject=" + spec)))


def small_stacks(bed):
    """No thread needs the stack that `ulimit -s` gives it."""
    for size in 256 << 10, 1 << 20:
        expect_right(bed.finish(bed.touch("--page-run=256"), stack=size))
    path = saved(bed)
    status, out, err = bed.finish(restore(
        path, "--pager=uffd", "--prefault=full", "--page-inject=always@any"),
        stack=1 << 20)
    require(status == SOURCE, "status %d" % status, out, err)


# What does not pass ends the machine, or has it wait.

def stops(bed, spec, where, payload=None):
    began = time.monotonic()
    status, out, err = bed.finish(
        (payload or bed.touch)("--page-inject=" + spec))
    require(status == SOURCE, "status %d" % status, out[-500:], err)
    require(not SUMMARY.search(out), "the guest went on", out[-500:])
    expect_reason(err, where, STOPS)
    require(time.monotonic() - began < DEADLINE + 30, "long after the deadline")


def stands(bed, spec, where, payload=None):
    """It waits, waits again when retried too early, and can be ended."""
    with_pause = [*(payload or bed.touch)("--page-inject=" + spec),
                  "--on-page-error=pause"]
    hangs = spec.startswith("never")
    for way in "quit", "TERM":
        guest = bed.start(*with_pause)
        try:
            wait_standing(guest)
            require(guest.ask("retry")[0] == 0, "retry refused")
            if not hangs:
                wait_standing(guest, 2)
            for verb in ("pause",), ("snapshot", bed.work + "/none"):
                code, out, err = guest.ask(*verb)
                require(code == HOST and "\n" in err, verb[0] + " was not "
                       "refused while memory is missing", code, out, err)
            require(not os.path.exists(bed.work + "/none"), "half a snapshot")
            require(status_of(guest)["waits_for_memory"], "does not wait")
            if way == "quit":
                require(guest.ask("quit")[0] == 0, "quit refused")
            else:
                guest.process.send_signal(signal.SIGTERM)
            out, err = wait_end(guest, DONE if way == "quit" else
                                128 + signal.SIGTERM)
            require(not SUMMARY.search(out), "the guest went on", out[-500:])
            lines = [l for l in err.splitlines() if "pause: " not in l]
            expect_reason("\n".join(lines), where, WAITS,
                          1 if hangs else 2)
        finally:
            guest.end()


def retries(bed, where, payload=None):
    """An error that passes: after "retry" the guest sees the right contents."""
    broken = os.path.join(bed.folder(), "broken")
    open(broken, "w").close()
    guest = bed.start(*(payload or bed.touch)(
        "--on-page-error=pause", "--page-inject=while=%s@%s" % (broken,
                                                                where)))
    try:
        wait_standing(guest)
        guest.ask("retry")
        wait_standing(guest, 2)
        os.unlink(broken)
        require(guest.process.poll() is None, "ended", guest.errors())
        guest.ask("retry")
        out, err = wait_end(guest, DONE)
        require(SUMMARY.search(out), "not right", out[-500:])
        expect_reason(err, where, WAITS, 2)
    finally:
        guest.end()


def slow(bed):
    """A read slower than the deadline: under "pause" the guest continues."""
    options = ["--page-inject=delay=2500@initrd"]
    few = {"initrd": bed.small, "pages": 16}
    status, out, err = bed.finish(bed.touch(*options, **few))
    require(status == SOURCE, "status %d" % status, out[-500:], err)
    expect_reason(err, "initrd", STOPS)
    status, out, err = bed.finish(bed.touch("--on-page-error=pause", *options,
                                            **few))
    require(status == DONE and SUMMARY.search(out), "not right", status, err)
    expect_reason(err, "initrd", WAITS)


# KVM itself needs the page.

def kvmtouch(bed):
    return lambda *options: bed.run("kvmtouch", "base=initrd check=signature",
                                    "-i", bed.large, *options)


def chain(bed, *options):
    """A guest that never looks at its initrd."""
    return bed.run("chain", "steps=0 period=100", "-i", bed.large, *options)


# Only a snapshot or the background fill needs the page.

def snapshot_fails(bed, spec, policy):
    guest = bed.start(*chain(bed, "--on-page-error=" + policy,
                             "--page-inject=" + spec))
    path = os.path.join(bed.folder(), "snapshot")
    try:
        for _ in range(2):
            code, out, err = guest.ask("snapshot", path)
            require(code == HOST and not json.loads(out)["ok"],
                   "the snapshot did not fail", code, out, err)
            require(os.listdir(os.path.dirname(path)) == [], "left behind")
            state = status_of(guest)
            require(state["state"] == "running" and
                   not state["waits_for_memory"], "does not run", state)
        seen = len(guest.output())
        wait_until("the guest goes on", lambda: len(guest.output()) > seen)
        guest.ask("quit")
        wait_end(guest, DONE)
        require(STOPS not in guest.errors(), "ends", guest.errors())
    finally:
        guest.end()


def snapshot_works_again(bed):
    broken = os.path.join(bed.folder(), "broken")
    open(broken, "w").close()
    guest = bed.start(*chain(bed, "--page-inject=while=%s@initrd" % broken))
    path = os.path.join(bed.folder(), "snapshot")
    try:
        require(guest.ask("snapshot", path)[0] == HOST, "did not fail")
        os.unlink(broken)
        require(guest.ask("snapshot", path)[0] == 0, "fails", guest.errors())
        guest.ask("quit")
        wait_end(guest, DONE)
    finally:
        guest.end()
    done = complete([bed.thaw, "inspect", "--verify", path])
    require(done.returncode == 0, "the snapshot is bad", done.stderr)


def ahead_hangs(bed):
    """The background fill hangs or fails, and the guest runs on."""
    for spec in "never@initrd", "always@initrd":
        guest = bed.start(*chain(bed, "--prefault=full",
                                 "--page-inject=" + spec))
        try:
            time.sleep(DEADLINE + 2)
            seen = len(guest.output())
            wait_until("the guest goes on",
                       lambda: len(guest.output()) > seen)
            state = status_of(guest)
            require(not state["waits_for_memory"], "waits", state)
            guest.ask("quit")
            wait_end(guest, DONE)
        finally:
            guest.end()


# Restores: the loader, everything at once, the queue of a device.

def saved(bed):
    """A snapshot of a guest with a virtio console."""
    path = os.path.join(bed.folder(), "snapshot")
    guest = bed.start("run", "-m", "64M", "--console=virtio", "-k",
                      bed.guest("chain"), "-p", "steps=0 period=50")
    try:
        wait_until("output", lambda: len(guest.output()) > 200)
        guest.save(path)
    finally:
        guest.end()
    return path


def restore(path, *options):
    return ["restore", "--page-deadline=%d" % DEADLINE, *options, path]


def loader(bed):
    path = saved(bed)
    for pager in "uffd", "eager":
        for policy in "stop", "pause":
            for spec in "always@any", "never@any", "short@any":
                status, out, err = bed.finish(restore(
                    path, "--pager=" + pager, "--on-page-error=" + policy,
                    "--page-inject=" + spec))
                require(status == SOURCE and not out, "status %d" % status,
                       out, err)
                expect_reason(err, re.escape(path), STOPS)
        for spec in "once@any", "short=2@any", "delay=1,jitter=300":
            guest = bed.start(*restore(path, "--pager=" + pager,
                                       "--page-inject=" + spec))
            try:
                wait_until("output", lambda: len(guest.output()) > 200)
                guest.ask("quit")
                out, err = wait_end(guest, DONE)
                require(not RETRIED.sub("", err) and "FAIL" not in out,
                       "not right", out, err)
            finally:
                guest.end()


def device_pages(bed, path):
    """The addresses that thaw itself needs for a restore."""
    trace = os.path.join(bed.folder(), "trace")
    guest = bed.start(*restore(path, "--pager=uffd", "--page-run=1",
                               "--fault-trace=" + trace))
    try:
        wait_until("output", lambda: len(guest.output()) > 200)
        guest.ask("quit")
        wait_end(guest, DONE)
    finally:
        guest.end()
    with open(trace) as f:
        fields = [l.split() for l in f if not l.startswith("#")]
    return [int(f[2], 16) for f in fields if f[4] == "device"]


def device(bed):
    path = saved(bed)
    # The first is the loader's: the generation id.
    gpas = device_pages(bed, path)[1:]
    require(gpas, "no device faults")
    ram = 0x40000000 if bed.suffix == "image" else 0
    page = (gpas[0] - ram) // 4096
    # Before the guest runs, no client can send "retry".
    for kind in "always", "never", "short":
        for policy in "stop", "pause":
            status, out, err = bed.finish(restore(
                path, "--pager=uffd", "--page-run=1",
                "--on-page-error=" + policy,
                "--page-inject=%s@%d" % (kind, page)))
            require(status == SOURCE and not out, "status %d" % status,
                   out[-500:], err)
            expect_reason(err, re.escape(path), STOPS)


def cases(bed):
    """{name: function} of all cases."""
    found = {"passes": lambda: passes(bed),
             "stacks": lambda: small_stacks(bed), "slow": lambda: slow(bed),
             "ahead": lambda: ahead_hangs(bed),
             "snapshot-again": lambda: snapshot_works_again(bed),
             "loader": lambda: loader(bed), "device": lambda: device(bed)}
    for where in "initrd", "kernel":
        for kind in "always", "never", "short":
            spec = "%s@%s" % (kind, where)
            found["stop-" + spec] = lambda s=spec, w=where: stops(bed, s, w)
            found["pause-" + spec] = lambda s=spec, w=where: stands(bed, s, w)
        found["retry-" + where] = lambda w=where: retries(bed, w)
    if bed.suffix != "image":
        for kind in "always", "never":
            spec = "%s@initrd" % kind
            found["stop-kvm-" + spec] = lambda s=spec: stops(
                bed, s, "initrd", kvmtouch(bed))
            found["pause-kvm-" + spec] = lambda s=spec: stands(
                bed, s, "initrd", kvmtouch(bed))
        found["retry-kvm"] = lambda: retries(bed, "initrd", kvmtouch(bed))
    for policy in "stop", "pause":
        for kind in "always", "never":
            found["snapshot-%s-%s" % (kind, policy)] = (
                lambda k=kind, p=policy: snapshot_fails(bed, k + "@initrd",
                                                        p))
    return found


def main():
    chosen, sys.argv[4:] = sys.argv[4:], []
    thaw, kernel, _ = arguments(__doc__)
    guests, suffix = os.path.dirname(kernel), sys.argv[3]
    require_uffd(thaw)
    work = tempfile.mkdtemp(prefix="thaw-errors.")
    try:
        bed = Bed(thaw, guests, suffix, work)
        expect_right(bed.finish(bed.touch()))
        todo = {n: c for n, c in cases(bed).items()
                if not chosen or any(w in n for w in chosen)}
        # They mostly wait.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            failed = [f for f in pool.map(run_case, todo, todo.values()) if f]
        print("# %d cases, %d failed" % (len(todo), len(failed)))
        return 1 if failed or not todo else 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
