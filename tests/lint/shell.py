# SPDX-License-Identifier: BSD-2-Clause
"""Shell scripts parse, and shellcheck, if installed, finds no error."""
import os
import shutil
import subprocess

import tree


def scripts():
    """The paths of all shell scripts."""
    for path in tree.files():
        head = tree.read(path)[:64]
        if path.endswith('.sh') or head.startswith('#!/bin/sh'):
            yield path


def main():
    complaints = []
    for path in scripts():
        commands = [['sh', '-n', path]]
        if shutil.which('shellcheck'):
            commands.append(['shellcheck', '-s', 'sh', '-S', 'error', path])
        for command in commands:
            done = subprocess.run(command, cwd=tree.TOP, text=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                complaints.append(f'{path}: {done.stdout.strip()}')
        if tree.read(path).startswith('#!') and not os.access(
                os.path.join(tree.TOP, path), os.R_OK):
            complaints.append(f'{path}: cannot be read')
    tree.finish('shell scripts', complaints)


main()
