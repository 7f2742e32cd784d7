# SPDX-License-Identifier: BSD-2-Clause
"""clang-tidy reports nothing, with the checks of .clang-tidy.

tidy.py BUILD"""
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import tree

# Options of gcc that clang does not have.
UNKNOWN = re.compile(r"'clang-diagnostic-(unknown-warning-option|unused-command-line-argument)")


def shorten(line, build):
    """A complaint with its path relative to the top of the checkout."""
    path, rest = line.split(':', 1)
    path = os.path.normpath(os.path.join(build, path))
    return f'{os.path.relpath(path, tree.TOP)}:{rest}'


def check(program, build, path):
    """The complaints about one file."""
    done = subprocess.run(
        [program, '--quiet', '-p', build, '--warnings-as-errors=*', path],
        cwd=build, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found = [line for line in done.stdout.split('\n')
             if re.search(r': (warning|error): ', line) and not UNKNOWN.search(line)]
    return [shorten(line, build) for line in found]


def main():
    program = shutil.which('clang-tidy-14') or shutil.which('clang-tidy')
    if not program:
        tree.skip('no clang-tidy')
    build = os.path.abspath(sys.argv[1])
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as f:
        commands = json.load(f)
    paths = sorted({os.path.normpath(os.path.join(c['directory'], c['file']))
                    for c in commands})
    paths = [p for p in paths if p.endswith('.c') and
             os.path.relpath(p, tree.TOP).startswith(('vmm/', 'arch/'))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda p: check(program, build, p), paths)
    complaints = sorted({line for result in results for line in result})
    tree.finish('clang-tidy', complaints)


main()
