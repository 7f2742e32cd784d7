#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How long a restore takes on a host whose KVM has userfault: restore.py's guest
and working sets, in one boot of `tests/rig/rig ARCH`, interleaved.

usage: restore_rig.py ARCH [--rounds N] [--mem MIB]

For every pager and memory: the time to the guest's first entry, by the
program's own clock, and from the command's start to its end, after the guest
has read its working set and answered (in steps of 10 ms: /proc/uptime).  The
snapshot lies in a tmpfs.  Under emulation: only the ratios mean anything.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from restore import SETS, WAYS

HERE = os.path.dirname(os.path.abspath(__file__))

SAVE = """
mkfifo /tmp/in{pages}
thaw run -m 256 -k /guests/answer.{suffix} -p pages={pages} \\
    --control /tmp/control </tmp/in{pages} >/tmp/console{pages} &
exec 3>/tmp/in{pages}
until grep -q ready /tmp/console{pages}; do sleep 0.2; done
thaw snapshot --stop /tmp/control /tmp/s{pages} >/dev/null
exec 3>&-
wait
"""

RESTORE = """
start=$(cut -d' ' -f1 /proc/uptime)
printf q | thaw restore --stats=json --pager={pager} --memory={memory} \\
    /tmp/s{pages} >/tmp/console 2>/tmp/stats
end=$(cut -d' ' -f1 /proc/uptime)
grep -q cycles= /tmp/console || echo "no answer: $(cat /tmp/stats)" >&2
echo "@@@ {pages} {pager} {memory} $start $end"
cat /tmp/stats
"""


def script(args):
    text = ["#!/bin/sh\n"]
    text += [SAVE.format(pages=n, suffix=args.suffix) for _, n in SETS]
    for _ in range(args.rounds):
        for _, pages in SETS:
            text += [RESTORE.format(pages=pages, pager=p, memory=m)
                     for p, m in WAYS]
    text.append('echo "@@@"\n')
    return "".join(text)


def run(args):
    """What the rig prints."""
    with tempfile.TemporaryDirectory(prefix="thaw-bench.") as scratch:
        with open(os.path.join(scratch, "bench.sh"), "w") as out:
            out.write(script(args))
        done = subprocess.run(
            [os.path.join(HERE, "../rig/rig"), args.arch, "--scratch", scratch,
             "--mem", str(args.mem), "--timeout", "3600", "--", "sh",
             "/scratch/bench.sh"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return done.stdout.decode(errors="replace")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("arch", choices=("x86", "arm64"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mem", type=int, default=3072)
    args = parser.parse_args()
    args.suffix = "elf" if args.arch == "x86" else "image"
    results = {}
    for part in run(args).split("@@@ ")[1:]:
        head, _, stats = part.partition("\n")
        words = head.split()
        at = stats.find("{")
        if len(words) != 5 or at < 0:
            continue
        figures, _ = json.JSONDecoder().raw_decode(stats[at:])
        results.setdefault(tuple(words[:3]), []).append(
            (figures["entered_ns"] / 1e6,
             (float(words[4]) - float(words[3])) * 1000))
    print("| working set | pager | memory | first instruction, ms | "
          "to the end, ms |\n|---|---|---|---:|---:|")
    for name, pages in SETS:
        for way in WAYS:
            rows = results.get((str(pages),) + way)
            if rows:
                print("| %s | %s | %s | %.0f | %.0f |" % (
                    name, *way, *(statistics.median(r[i] for r in rows)
                                  for i in range(2))))
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
