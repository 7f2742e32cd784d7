# SPDX-License-Identifier: BSD-2-Clause
"""Starts a program from a known state, whatever this was started from (nohup, a
service manager, a shell with settings): default signal dispositions, no signal
blocked, umask 022, the soft resource limits of a login, an environment of a few
names.  All tests of the suite are started by it.

known.py PROGRAM [ARGUMENT...]"""
import os
import resource
import signal
import sys

KEPT = {'PATH', 'HOME', 'TMPDIR', 'MALLOC_PERTURB_'}
# Meson's own, and the options of the sanitizers.
KEPT_PREFIXES = ('MESON_', 'ASAN_', 'LSAN_', 'MSAN_', 'TSAN_', 'UBSAN_')
FIXED = {'LC_ALL': 'C.UTF-8', 'PYTHONDONTWRITEBYTECODE': '1'}
# Of a login on Debian; where the hard limit is lower, that one.
SOFT_LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 1024,
    resource.RLIMIT_STACK: 8 << 20,
    resource.RLIMIT_MEMLOCK: 8 << 20,
}
UNLIMITED = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA,
             resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_RSS)


def environment(given):
    """What the program gets of a given environment."""
    kept = {name: value for name, value in given.items()
            if name in KEPT or name.startswith(KEPT_PREFIXES)}
    return {'PATH': os.defpath, 'HOME': '/', **kept, **FIXED}


def reset_signals():
    """Every signal ends or stops as it does by default, and none is blocked."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def reset_limits():
    """The soft limits; a hard one is never changed."""
    for which in UNLIMITED:
        hard = resource.getrlimit(which)[1]
        resource.setrlimit(which, (hard, hard))
    for which, wanted in SOFT_LIMITS.items():
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        resource.setrlimit(which, (wanted, hard))


def main():
    reset_signals()
    reset_limits()
    os.umask(0o022)
    # What the shell keeps of the outside is gone with the environment.
    try:
        os.execvpe(sys.argv[1], sys.argv[1:], environment(os.environ))
    except OSError as e:
        sys.exit(f'known.py: {sys.argv[1]}: {e.strerror}')


main()
