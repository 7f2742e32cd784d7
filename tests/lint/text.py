# SPDX-License-Identifier: BSD-2-Clause
"""Every text file has its licence line, no path of one machine, no blanks at the
ends of lines, no long lines in C, and an end of its last line."""
import re

import tree

NO_LICENCE = {'LICENSE', '.gitignore', '.clang-format', '.clang-tidy'}
NO_LICENCE_SUFFIX = ('.md', '.patch', '.json', '.txt', '.bin', '.svg')
HOME = re.compile(r'/(?:home|Users)/\w+|/root/\w|/work/\w')
SOURCE = ('.c', '.h', '.S', '.py', '.sh', '.build', '.ini', '.lds', '.1', '.yml')


def complain(path, text):
    """The complaints about one file."""
    name = path.split('/')[-1]
    if (name not in NO_LICENCE and not name.endswith(NO_LICENCE_SUFFIX)
            and 'SPDX-License-Identifier: BSD-2-Clause' not in text[:500]):
        yield f'{path}: no SPDX line in its head'
    for number, line in enumerate(text.split('\n'), 1):
        if HOME.search(line) and path != 'tests/lint/text.py':
            yield f'{path}:{number}: a path of one machine'
        if name.endswith(SOURCE) and line != line.rstrip():
            yield f'{path}:{number}: blanks at the end of the line'
        if name.endswith(('.c', '.h')) and len(line.expandtabs(8)) > 100:
            yield f'{path}:{number}: longer than 100 columns'
    if text and not text.endswith('\n'):
        yield f'{path}: the last line has no newline'


def main():
    complaints = []
    for path in tree.files():
        text = tree.read(path)
        if '\0' not in text:
            complaints += complain(path, text)
    tree.finish('text files', complaints)


main()
