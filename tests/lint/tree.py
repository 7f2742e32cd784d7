# SPDX-License-Identifier: BSD-2-Clause
"""The library of the lints: the files of the checkout, C without comments, and
the exit of a lint."""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = re.compile(r'^(\.git|build.*|__pycache__)$')


def files(*suffixes):
    """The paths of all files with one of the suffixes, from the top."""
    for folder, folders, names in os.walk(TOP):
        folders[:] = sorted(f for f in folders if not SKIPPED.match(f))
        # In a worktree .git is a file.
        for name in sorted(n for n in names if n != '.git'):
            if not suffixes or name.endswith(suffixes):
                yield os.path.relpath(os.path.join(folder, name), TOP)


def read(path):
    """The text of a file; bytes that are not UTF-8 become surrogates."""
    with open(os.path.join(TOP, path), encoding='utf-8',
              errors='surrogateescape') as f:
        return f.read()


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                   re.S)


def code(path, strings=False):
    """A C file with comments, and strings unless @strings, blanked; line
    numbers stay."""
    def blank(match):
        text = match.group()
        if text[0] in '"\'':
            return text if strings else '""'
        return re.sub(r'[^\n]', ' ', text)
    return TOKEN.sub(blank, read(path))


def missing(paths):
    """A complaint for each row of a table whose file or folder is missing."""
    return [f'{path}: a row of the table, but no such file'
            for path in paths if not os.path.exists(os.path.join(TOP, path))]


def finish(what, complaints):
    """Prints the complaints and exits with the status of a test."""
    for line in complaints:
        print(line)
    if complaints:
        print(f'{len(complaints)} complaints: {what}')
    sys.exit(1 if complaints else 0)


def skip(why):
    """Exits as a test that cannot run here."""
    print(f'skipped: {why}')
    sys.exit(77)
