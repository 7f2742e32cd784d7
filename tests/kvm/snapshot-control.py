#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The control socket: every verb, with its reply and exit status; the progress of
a save; and clients that send nothing, half a line, too much or nonsense, or do not
read: none delays another client.

usage: snapshot-control.py THAW GUESTS SUFFIX
"""
import json
import os
import re
import pty
import resource
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time

from harness import (LINE, Failure, Guest, arguments, expect, finish,
                     refused, run)

VERBS = ("status", "stats", "pause", "resume", "snapshot", "power-button",
         "retry", "quit")
LONG = 8192


def say(guest, *words):
    """Sends a verb that must succeed; the reply without "ok"."""
    code, out, errors = guest.ask(*words)
    if code or errors or len(out.splitlines()) != 1:
        raise Failure("%s: %d, %r, %r" % (words, code, out, errors))
    answer = json.loads(out)
    expect(words, answer.pop("ok"), True)
    return answer


def refuse(guest, pattern, *words):
    """Sends a verb that must fail, with an error in the reply and in one line."""
    code, out, errors = guest.ask(*words)
    answer = json.loads(out)
    expect(words, answer["ok"], False)
    expect("line", errors, "thaw: %s\n" % answer["error"])
    refused((code, "", errors), pattern)


def steps(guest):
    """The last step in its output."""
    found = LINE.findall(guest.output())
    return int(found[-1][1]) if found else 0


def goes_on(guest, what):
    """The guest must print another step."""
    before = steps(guest)
    guest.wait_for("a step, " + what, lambda: steps(guest) != before)


def connect(guest):
    client = socket.socket(socket.AF_UNIX)
    client.connect(guest.control)
    return client


def receive(guest, client):
    """The next bytes from the VM; b"" at the end of the connection."""
    guest.wait_for("an answer",
                   lambda: select.select([client], [], [], 0)[0])
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


def lines(guest, client, count):
    """So many lines, as objects."""
    data = b""
    while data.count(b"\n") < count:
        more = receive(guest, client)
        if not more:
            raise Failure("%d lines, not %d: %r" % (
                data.count(b"\n"), count, data[-200:]))
        data += more
    return [json.loads(line) for line in data.splitlines()]


def let_go(guest, client):
    """Reads to the end of the connection; all bytes before it."""
    data = b""
    while True:
        more = receive(guest, client)
        if not more:
            client.close()
            return data
        data += more


def check_verbs(guest, work):
    """Each verb has its effect, or none in the state that it asks for."""
    mode = os.stat(guest.control).st_mode
    expect("socket", (stat.S_ISSOCK(mode), mode & 0o777), (True, 0o600))
    status = say(guest, "status")
    expect("status", [status[k] for k in ("state", "waits_for_memory", "cpus",
                                          "memory_bytes", "pager")],
           ["running", False, 2, 64 << 20, "eager"])
    expect("thaw", "thaw " + status["thaw"],
           run(guest.thaw, "version")[1].strip())
    stats = say(guest, "stats")
    expect("stats", set(stats["faults"]),
           {"vcpu", "uffd", "device", "background"})
    expect("disks", stats["disks"],
           [{"path": os.path.join(work, "disk"),
             "errors": {"read": 0, "write": 0, "flush": 0, "discard": 0}}])
    goes_on(guest, "at first")
    for _ in range(2):
        say(guest, "pause")
        expect("paused", say(guest, "status")["state"], "paused")
    before = steps(guest)
    say(guest, "snapshot", os.path.join(work, "while paused"))
    time.sleep(0.1)
    expect("steps while paused", steps(guest), before)
    expect("paused", say(guest, "status")["state"], "paused")
    for _ in range(2):
        say(guest, "resume")
        expect("running", say(guest, "status")["state"], "running")
    goes_on(guest, "after resume")
    say(guest, "snapshot", "--accept-stale",
        os.path.join(work, "while running"))
    expect("running", say(guest, "status")["state"], "running")
    goes_on(guest, "after a snapshot")
    for verb in ("power-button", "retry"):
        expect(verb, say(guest, verb), {})
        goes_on(guest, verb)
    for number in range(20):
        say(guest, "pause")
        say(guest, "resume")
    goes_on(guest, "after many pauses")
    for words in (("frob",), ("",), ("statusx",), ("Status",)):
        refuse(guest, "%s: unknown verb; use %s or %s" % (
            words[0] or '""', ", ".join(VERBS[:-1]), VERBS[-1]), *words)
    for verb in [v for v in VERBS if v != "snapshot"]:
        refuse(guest, verb + ": takes no arguments", verb, "now")
    for words in (("snapshot",), ("snapshot", "--stop"),
                  ("snapshot", "--progress", "--stop"),
                  ("snapshot", "--accept-stale"),
                  ("snapshot", "--fsverity")):
        refuse(guest, "snapshot: no directory given", *words)
    refuse(guest, "snapshot --now: unknown option", "snapshot", "--stop",
           "--now", os.path.join(work, "now"))
    refuse(guest, 'snapshot .*/no"ne/s: No such file', "snapshot",
           os.path.join(work, 'no"ne', "s"))
    goes_on(guest, "after refusals")


def saved(reply):
    """A reply to a save: how long the guest stood still, and why."""
    expect("ok", reply.pop("ok"), True)
    expect("reply", sorted(reply), ["held_pages", "held_waits", "passes",
                                    "pause_us", "paused_pages"])
    if not 0 < reply["pause_us"] < 60 * 1000 * 1000 or not reply["passes"]:
        raise Failure("of a live save: %s" % reply)


def check_progress(thaw, kernel, work):
    """A save reports its progress to a client that requests it, and to a terminal."""
    guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "448", "-p",
                               "steps=0 pages=98304 period=10"])
    goes_on(guest, "large")
    path = os.path.join(work, "large")
    client = connect(guest)
    # Into a folder that is there already the second time.
    for number in range(2):
        client.sendall(b"snapshot --progress %s\n" % path.encode())
        replies = []
        while not replies or "ok" not in replies[-1]:
            replies += lines(guest, client, 1)
        saved(replies.pop())
        if not replies:
            raise Failure("no progress reports for a save of 384 MiB")
        done = [line["progress"]["pages"] for line in replies]
        expect("of", {line["progress"]["of"] for line in replies},
               {(448 << 20) // 4096})
        if done != sorted(done) or done[-1] > (448 << 20) // 4096:
            raise Failure("progress: %s" % replies)
    client.close()
    # No progress for a client that did not request it.
    saved({"ok": True, **say(guest, "snapshot", path)})
    code, out, errors = run(thaw, "snapshot", guest.control, path)
    expect("no terminal", (code, errors), (0, ""))
    saved(json.loads(out))
    main, terminal = pty.openpty()
    saving = subprocess.Popen([thaw, "snapshot", guest.control, path],
                              stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main, 4096)
        except OSError:
            break
    out = saving.communicate()[0]
    os.close(main)
    expect("at a terminal", saving.returncode, 0)
    saved(json.loads(out))
    if b"% of 448 MiB" not in shown or not shown.endswith(b"\r\033[K"):
        raise Failure("at a terminal: %r" % shown)
    # One that requests progress and does not read it: the save succeeds.  One that has
    # gone: it is cancelled, and nothing is left of it.
    deaf, gone = connect(guest), connect(guest)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    deaf.sendall(b"snapshot --progress %s\n" % path.encode())
    gone.sendall(b"snapshot --progress %s.gone\n" % path.encode())
    gone.close()
    say(guest, "status")
    deaf.close()
    goes_on(guest, "after saves")
    expect("cancelled", guest.quit(), ["thaw: snapshot: cancelled"])
    expect("left", os.path.exists(path + ".gone"), False)
    code, _, errors = run(thaw, "inspect", "--verify", path)
    expect("inspect", (code, errors), (0, ""))


def check_held_up(guest, what, clients):
    """Serves another client before it closes the connections of these."""
    for _ in range(20):
        made = [make(guest) for make in clients]
        say(guest, "status")
        there = True
        for client in made:
            client.setblocking(False)
            try:
                while client.recv(65536):
                    pass
                there = False
            except BlockingIOError:
                pass
            except ConnectionResetError:
                there = False
            client.setblocking(True)
        if there:
            return made
        for client in made:
            client.close()
    raise Failure("%s: another client was served only after these were closed" % what)


def check_bad(guest):
    """Bad clients delay no other, and their connections are closed in the end."""
    def silent(g):
        return connect(g)

    def half(g):
        client = connect(g)
        client.sendall(b"stat")
        return client

    def deaf(g):
        client = connect(g)
        client.setblocking(False)
        try:
            while True:
                client.send(b"stats\n" * 100)
        except BlockingIOError:
            pass
        return client

    made = check_held_up(guest, "silent", [silent] * 12)
    made += check_held_up(guest, "half a line", [half] * 4)
    for client in made:
        expect("said to it", let_go(guest, client), b"")
    # It reads nothing for so long that its answers do not fit.
    client = deaf(guest)
    say(guest, "status")
    client.setblocking(True)
    data = let_go(guest, client)
    if b'{"ok":true,"pager"' not in data:
        raise Failure("no answers: %r" % data[:100])
    # More than there is room for: the others come in their turn.
    crowd = [connect(guest) for _ in range(30)]
    say(guest, "status")
    for client in crowd:
        client.close()
    # A line a byte at a time, in time; two at once; then half of one.
    client = connect(guest)
    for byte in b"status\n":
        client.sendall(bytes([byte]))
    expect("bytewise", lines(guest, client, 1)[0]["ok"], True)
    client.sendall(b"status\nfrob\nstat")
    expect("two", [a["ok"] for a in lines(guest, client, 2)], [True, False])
    client.shutdown(socket.SHUT_WR)
    expect("half", let_go(guest, client), b"")
    # Too long, binary, with a zero byte.
    for data, says in ((b"x" * (2 * LONG), b"request too long"),
                       (bytes(range(10, 256)) + b"\n", b"unknown verb"),
                       (b"\0status\n", b"request contains a NUL byte"),
                       (b"GET / HTTP/1.1\r\n", b"unknown verb")):
        client = connect(guest)
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, OSError):
            pass
        answer = let_go(guest, client)
        if says not in answer:
            raise Failure("%r: %r" % (data[:20], answer))
    for _ in range(300):
        connect(guest).close()
    say(guest, "status")
    goes_on(guest, "after bad clients")


def check_fsverity(guest, work):
    """The file of a snapshot is protected, or the save refused with what to do;
    then nothing is left, and the guest continues."""
    path = os.path.join(work, "sealed")
    code, _, errors = run(guest.thaw, "snapshot", "--fsverity", guest.control,
                          path)
    if code:
        print("# no fs-verity in " + work)
        refused((code, "", errors),
                "snapshot %s: no fs-verity: .*tune2fs -O verity" % path)
        if not re.search("/sealed/memory: no fs-verity: .*mke2fs -O verity",
                         guest.errors()):
            raise Failure("not logged: " + guest.errors())
        expect("left", [n for n in os.listdir(work) if "sealed" in n], [])
    else:
        code, out, _ = run(guest.thaw, "inspect", "--json", "--verify", path)
        expect("protected", (code, json.loads(out)["memory"]["fsverity"]),
               (0, True))
        try:
            open(os.path.join(path, "memory"), "r+b").close()
            raise Failure("the memory file can be changed")
        except PermissionError:
            pass
    goes_on(guest, "after --fsverity")


def check_descriptors(guest):
    """Without free descriptors no connection is accepted and no thread spins;
    afterwards the waiting clients are served."""
    pid = guest.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    logged = len(guest.errors().splitlines())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    client = connect(guest)
    client.sendall(b"status\n")
    guest.wait_for("accept fails",
                   lambda: len(guest.errors().splitlines()) > logged)
    time.sleep(0.5)
    said = guest.errors().splitlines()[logged:]
    # One that spins says all it may, ten, at once.
    if len(said) > 9 or "accept: Too many open files" not in said[0]:
        raise Failure("said: %s" % said)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    expect("after", lines(guest, client, 1)[0]["ok"], True)
    client.close()


def check_name(thaw, kernel, work):
    """thaw removes its socket, but not another file at that path."""
    guest = Guest(thaw, work, ["run", "-k", kernel, "-p", "steps=0"])
    name = guest.control
    # A second one finds it in use.
    refused(run(thaw, "run", "-k", kernel, "-p", "steps=1", "--control", name),
            "--control %s: in use by another process" % name)
    os.rename(name, name + ".moved")
    with open(name, "w") as f:
        f.write("mine")
    guest.control += ".moved"
    guest.quit()
    with open(name) as f:
        expect("file", f.read(), "mine")
    os.unlink(name)
    os.unlink(name + ".moved")
    guest = Guest(thaw, work, ["run", "-k", kernel, "-p", "steps=0"])
    # Two clients quit at once: both may be answered, or the later not.
    clients = [connect(guest) for _ in range(2)]
    for client in clients:
        try:
            client.sendall(b"quit\n")
        except BrokenPipeError:
            pass
    answers = [let_go(guest, client) for client in clients]
    if b'{"ok":true}\n' not in answers:
        raise Failure("quit: %s" % answers)
    expect("quit", guest.wait_end(), 0)
    if os.path.exists(name):
        raise Failure("the socket is still there")
    refused(guest.ask("status"), "control socket .*: No such file")
    guest.end()


def check_answers(thaw, work):
    """thaw ctl and malformed replies of another server."""
    name = os.path.join(work, "other")
    for words, out, says in (
            (b'{"ok":false,"error":"a \\"b\\" \\\\ c"}\n', True,
             r'a "b" \\ c$'),
            (b'{"error":"\\"ok\\":true","ok":false}\n', True, '"ok":true$'),
            (b'{"ok":false}\n', True, "request refused"),
            (b'{"x":"\\"ok\\":true"}\n', True, "malformed reply"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "malformed reply"),
            (b'{"ok":true', True, "malformed reply"),
            (b"", False, "closed before a reply")):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
            listener.listen()
            asking = subprocess.Popen(
                [thaw, "ctl", name, "status"], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
            client = listener.accept()[0]
            expect("asked", client.recv(100), b"status\n")
            client.sendall(words)
            client.close()
            said, errors = finish(asking)
        os.unlink(name)
        expect("copied", bool(said), out)
        refused((asking.returncode, "", errors.decode()), says)


def main():
    thaw, kernel, _ = arguments(__doc__)
    work = tempfile.mkdtemp(prefix="thaw-control.")
    try:
        disk = os.path.join(work, "disk")
        with open(disk, "wb") as f:
            f.truncate(1 << 20)
        guest = Guest(thaw, work, ["run", "-k", kernel, "-m", "64", "-c", "2",
                                   "-p", "steps=0 period=50", "-d", disk])
        check_verbs(guest, work)
        check_fsverity(guest, work)
        check_bad(guest)
        check_descriptors(guest)
        guest.quit()
        check_progress(thaw, kernel, work)
        check_name(thaw, kernel, work)
        check_answers(thaw, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
