#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a touched page costs: the touch guest over every pager, backing, order,
number of vCPUs and kind of access, interleaved in one run.

usage: pager.py [--thaw T] [--guests DIR] [--suffix elf|image] [--pairs N]
                [--pages N] [--run-pages 1,4,16,64] [--rig ARCH] [--markdown]

The guest's memory that is touched is its initrd, so every page comes from the
page source.  Each run touches it twice: the second time is the floor, a guest
that is already populated.  With --rig all runs are made in one boot of
`tests/rig/rig ARCH`, whose KVM has userfault; figures from there are ratios.
"""
import argparse
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROUND = re.compile(
    r"touch: round=(\d) cpu=all touches=(\d+) elapsed=(\d+) total=(\d+)")
HZ = re.compile(r"touch: .*\bhz=(\d+)")
READ = re.compile(r'"read_ns":\s*(\d+)')
FILLED = re.compile(r'"filled_bytes":\s*(\d+)')


def cases(args):
    """Every combination, as (name, options, guest parameters)."""
    orders = ("seq", "rand", "shared")
    for memory, pager in itertools.product(args.memory, args.pagers):
        for cpus, order, write in itertools.product((1, 2), orders, (0, 1)):
            if order == "shared" and cpus == 1:
                continue
            for length in args.run_pages:
                yield ((memory, pager, length, cpus, order, write),
                       ["--memory=" + memory, "--pager=" + pager,
                        "-c", str(cpus), "--page-run", str(length)],
                       "pages=%d base=initrd order=%s write=%d rounds=2" % (
                           args.pages, order, write))


def command(args, options, params, initrd, thaw, guests):
    return [thaw, "run", "-m", str(64 + 2 * args.pages // 256),
            "-k", os.path.join(guests, "touch." + args.suffix),
            "-i", initrd, "-p", params, "--stats=json", *options]


def quote(words):
    return " ".join("'" + w.replace("'", "'\\''") + "'" for w in words)


def run_here(plan, args, initrd):
    """Runs all; yields (key, output)."""
    for key, options, params in plan:
        done = subprocess.run(
            command(args, options, params, initrd, args.thaw, args.guests),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=300)
        yield key, done.stdout.decode(errors="replace")


def run_rig(plan, args, initrd):
    """The same in one boot of the rig."""
    lines = ["#!/bin/sh"]
    scratch = os.path.dirname(initrd)
    for number, (_, options, params) in enumerate(plan):
        lines.append("echo @@@ %d" % number)
        lines.append(quote(command(
            args, options, params, "/scratch/initrd", "thaw",
            "/scratch/guests")) + " </dev/null 2>&1")
    lines.append("echo @@@ end")
    subprocess.run(["cp", "-r", args.guests, os.path.join(scratch, "guests")],
                   check=True)
    script = os.path.join(scratch, "bench.sh")
    with open(script, "w") as out:
        out.write("\n".join(lines) + "\n")
    done = subprocess.run(
        [os.path.join(HERE, "../rig/rig"), args.rig, "--scratch", scratch,
         "--timeout", "3600", "--", "sh", "/scratch/bench.sh"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    parts = done.stdout.decode(errors="replace").split("@@@ ")
    for part in parts[1:]:
        number, _, text = part.partition("\n")
        if number.strip().isdigit():
            yield plan[int(number)][0], text


def measure(text):
    """(ns a page cold, ns a page warm, ns a page in the source) or None."""
    hz, rounds = HZ.search(text), ROUND.findall(text)
    if not hz or len(rounds) < 2 or int(hz.group(1)) == 0:
        return None
    ns = [int(elapsed) / int(hz.group(1)) * 1e9 / int(touches)
          for _, touches, elapsed, _ in rounds]
    read, filled = READ.search(text), FILLED.search(text)
    source = 0.0
    if read and filled and int(filled.group(1)):
        source = int(read.group(1)) / (int(filled.group(1)) / 4096)
    return ns[0], ns[1], source


def show(results, refusals, args):
    """Prints the table: medians, and the ratio to the first pager."""
    bar = "|" if args.markdown else " "
    head = ("memory", "pager", "run", "vCPUs", "order", "access", "n",
            "us/page", "floor", "source", "ratio")
    widths = (11, 9, 3, 5, 6, 6, 3, 8, 7, 7, 6)
    print(bar + bar.join(h.rjust(w) for h, w in zip(head, widths)) + bar)
    if args.markdown:
        print("|" + "|".join("-" * (w - 1) + ":" for w in widths) + "|")
    for key in sorted(results, key=lambda k: (k[0], k[3], k[4], k[5], k[2],
                                              args.pagers.index(k[1]))):
        memory, pager, length, cpus, order, write = key
        rows = results[key]
        cold, warm, source = (statistics.median(r[i] for r in rows) / 1000
                              for i in range(3))
        base = results.get((memory, args.pagers[0], length, cpus, order,
                            write))
        ratio = cold / (statistics.median(r[0] for r in base) / 1000) \
            if base else 0
        cells = (memory, pager, str(length), str(cpus), order,
                 "write" if write else "read", str(len(rows)),
                 "%.3f" % cold, "%.3f" % warm, "%.3f" % source,
                 "%.2f" % ratio if ratio else "-")
        print(bar + bar.join(c.rjust(w) for c, w in zip(cells, widths)) + bar)
    for key, why in sorted(refusals.items()):
        print("# no %s over %s: %s" % (key[1], key[0], why))


def main():
    parser = argparse.ArgumentParser()
    build = os.path.join(HERE, "../../build")
    parser.add_argument("--thaw", default=os.path.join(build, "thaw"))
    parser.add_argument("--guests", default=os.path.join(build, "guest"))
    parser.add_argument("--suffix", default="elf")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--pages", type=int, default=4096)
    parser.add_argument("--run-pages", default="16",
                        type=lambda s: [int(n) for n in s.split(",")])
    parser.add_argument("--pagers", default="uffd,eager",
                        type=lambda s: s.split(","))
    parser.add_argument("--memory", default="anon,guest_memfd",
                        type=lambda s: s.split(","))
    parser.add_argument("--rig")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()

    plan = list(cases(args)) * args.pairs
    results, refusals = {}, {}
    with tempfile.TemporaryDirectory(prefix="thaw-bench.") as work:
        initrd = os.path.join(work, "initrd")
        with open(initrd, "wb") as out:
            for _ in range(args.pages):
                out.write(os.urandom(4096))
        run = run_rig if args.rig else run_here
        for key, text in run(plan, args, initrd):
            figures = measure(text)
            if figures:
                results.setdefault(key, []).append(figures)
            else:
                refusals[key[:2]] = text.strip().split("\n")[0]
    show(results, refusals, args)
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
