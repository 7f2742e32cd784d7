# SPDX-License-Identifier: BSD-2-Clause
"""Tests start from a known state: this one was started by known.py, and known.py
gives the same state when it is itself started from a bad one.

usage: known-state.py KNOWN"""
import json
import os
import resource
import signal
import subprocess
import sys

LIMITS = ('AS', 'CORE', 'CPU', 'DATA', 'FSIZE', 'MEMLOCK', 'NOFILE', 'NPROC', 'RSS', 'STACK')
BAD_ENVIRONMENT = {'THAW': '/nowhere', 'CDPATH': '/', 'LC_ALL': 'C', 'PYTHONOPTIMIZE': '2',
                   'POSIXLY_CORRECT': '1'}
BAD_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD,
               signal.SIGWINCH)


def status_mask(name):
    """A mask of signals out of /proc, those that Python ignores aside."""
    with open('/proc/self/status', encoding='ascii') as f:
        fields = dict(line.split(':', 1) for line in f)
    mask = int(fields[name].strip(), 16)
    for number in signal.SIGPIPE, signal.SIGXFSZ:
        mask &= ~(1 << (number - 1))
    return mask


def state():
    """What this process was started with."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        'ignored': status_mask('SigIgn'),
        'blocked': status_mask('SigBlk'),
        'umask': umask,
        'limits': {n: resource.getrlimit(getattr(resource, 'RLIMIT_' + n))[0] for n in LIMITS},
        'environment': {n: os.environ.get(n) for n in BAD_ENVIRONMENT},
    }


def spoil():
    """Puts the process into a state that tests would fail in."""
    for number in BAD_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, BAD_SIGNALS)
    os.umask(0o077)
    for limit, value in (('NOFILE', 64), ('STACK', 1 << 20), ('FSIZE', 1 << 20), ('CORE', 1 << 20)):
        which = getattr(resource, 'RLIMIT_' + limit)
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(which, (value, hard))


def main():
    if sys.argv[1] == '--tell':
        print(json.dumps(state()))
        return 0
    done = subprocess.run(
        [sys.executable, '-B', sys.argv[1], sys.executable, '-B', __file__, '--tell'],
        env={**os.environ, **BAD_ENVIRONMENT}, preexec_fn=spoil, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True)
    given, here = json.loads(done.stdout), state()
    failed = 0
    for name, value in here.items():
        if given[name] != value:
            print(f'{name}: {given[name]} after a bad start, {value} here')
            failed = 1
    wanted = {**dict.fromkeys(BAD_ENVIRONMENT), 'LC_ALL': 'C.UTF-8'}
    for name, value in (('ignored', 0), ('blocked', 0), ('umask', 0o022),
                        ('environment', wanted)):
        if here[name] != value:
            print(f'{name}: {here[name]} here, not {value}: was this started by known.py?')
            failed = 1
    return failed


sys.exit(main())
