# SPDX-License-Identifier: BSD-2-Clause
"""Rounds of benchmarks in which monitors run one guest each, in one emulated host
(tests/rig/rig x86), with programs that print `NAME: begin PHASE' and
`NAME: PHASE us=TIME n=COUNT', and perhaps further counts after it.

The cost of a phase is the processor time of the emulator, which other work on the
machine changes less than the time that passes.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RIG = os.path.join(HERE, "../rig")
BEGIN_LINE = re.compile(r"\w+: begin ")
LINE = re.compile(r"\w+: ([\w-]+) us=(\d+) n=(\d+)(.*)")
MORE = re.compile(r" \w+=(\d+)")

# On the x86 host the emulation now and then loses an interrupt of a guest that
# uses these: see tests/rig/cases/lib.sh.
QUIRK = "nox2apic lapic=notscdeadline"

FETCH = """
. ./apt.sh
suite=trixie
rig_apt_ready $suite amd64 || exit 77
dir=$(rig_cache)/peers/$suite-amd64-$(echo '{packages}' | cksum | cut -d ' ' -f 1)
mkdir -p "${{dir%/*}}"
(
	flock 9
	[ -e "$dir" ] || rig_tree $suite amd64 '{packages}' "$dir"
) 9>"$dir.lock" && echo "$dir"
"""


def output(command, **options):
    """What a command prints, without the newline at its end."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                          **options).stdout.strip()


def fetch(*what):
    return output(["sh", os.path.join(RIG, "fetch.sh"), *what])


def peers(packages):
    """The directory of a Debian 13 with these packages, in the cache."""
    return output(["sh", "-eu", "-c", FETCH.format(packages=packages)], cwd=RIG)


def compile_program(work, name):
    """A static program of tests/bench for the guests and the host."""
    program = os.path.join(work, name)
    subprocess.run([os.environ.get("CC_X86", "x86_64-linux-gnu-gcc"), "-static",
                    "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-o", program,
                    os.path.join(HERE, name + ".c")], check=True)
    return program


def emulator_of(rig):
    """The process of the rig's emulator, None if there is none."""
    tree, names = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                head, _, rest = f.read().rpartition(")")
        except OSError:
            continue
        names[int(pid)] = head.partition("(")[2]
        tree.setdefault(int(rest.split()[1]), []).append(int(pid))
    below = [rig]
    for pid in below:
        if names.get(pid, "").startswith("qemu-system"):
            return pid
        below += tree.get(pid, [])
    return None


def processor_us(pid):
    """The processor time of a process so far; what waits is not counted."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
            total += int(f.read().split()[0])
    return total / 1000


class Guest:
    """What one guest prints, and the processor time when it prints it."""

    def __init__(self):
        self.text, self.figures = "", {}
        self.begun, self.ended, self.between = None, None, 0

    def take(self, line, used):
        self.text += line
        if BEGIN_LINE.search(line):
            self.between += used - self.ended if self.ended else 0
            self.begun = used
        match = LINE.search(line)
        if not match:
            return
        name, us, n = match[1], int(match[2]), max(1, int(match[3]))
        if name == "forget":
            cost = self.between + used - (self.ended or used)
        else:
            cost = used - (self.begun or used)
        more = [int(count) / n for count in MORE.findall(match[4])]
        self.figures[name] = (cost / n, us / n, *more)
        self.ended = used


def run_round(args, number, text, work, options, last):
    """One boot of the host, which runs the script @text; {way: {phase: (processor us
    each, us each, further counts each)}} of the guests that ended, with phase @last."""
    with open(os.path.join(work, "bench.sh"), "w") as out:
        out.write(text)
    rig = subprocess.Popen(
        [os.path.join(RIG, "rig"), "x86", "--mem", str(args.mem), "--timeout",
         str(3 * args.limit + 120), *options, "--", "sh", "/scratch/bench.sh"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    guests, guest, emulator = {}, Guest(), None
    for line in rig.stdout:
        emulator = emulator or emulator_of(rig.pid)
        used = processor_us(emulator)
        line = line.decode(errors="replace").replace("\r", "")
        if args.verbose:
            print(line, end="", file=sys.stderr, flush=True)
        if line.startswith("@@@ "):
            guest = guests[line[4:].strip()] = Guest()
        guest.take(line, used)
    rig.wait()
    for way, guest in guests.items():
        if last not in guest.figures:
            print("# round %d: %s did not end: %s" % (
                number, way, guest.text.strip()[-200:]), file=sys.stderr)
    return {way: guest.figures for way, guest in guests.items()
            if last in guest.figures}


def ratio(rounds, ways, phase, which):
    """The median of the first way's figure to the second's in each round."""
    ratios = [r[ways[0]][phase][which] / r[ways[1]][phase][which]
              for r in rounds if all(way in r for way in ways)]
    return "%.2f" % statistics.median(ratios) if ratios else "-"


def run_rounds(args, prepare, script, last, show):
    """Runs args.rounds rounds of script(args, number) with what prepare(directory) has
    made, and shows the table after each; the rounds."""
    rounds = []
    with tempfile.TemporaryDirectory(prefix="thaw-bench.") as work:
        options = prepare(work)
        for number in range(args.rounds):
            rounds.append(run_round(args, number, script(args, number), work,
                                    options, last))
            print("# after round %d of %d" % (number + 1, args.rounds))
            show(args, rounds)
            sys.stdout.flush()
    return rounds
