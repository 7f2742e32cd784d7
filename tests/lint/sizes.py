# SPDX-License-Identifier: BSD-2-Clause
"""Lists large functions and files; never fails."""
import re

import tree

FUNCTION_LINES = 45
FILE_LINES = 500


def functions(text):
    """(name, lines) of each function: from a line that is `{` to a line that
    starts with `}`."""
    lines = text.split('\n')
    start = None
    for number, line in enumerate(lines):
        if line == '{':
            start = number
        elif line.startswith('}') and start is not None:
            head = ' '.join(lines[max(0, start - 6):start])
            names = re.findall(r'(\w+)\s*\(', head)
            yield (names[-1] if names else '?'), number - start - 1
            start = None


def main():
    total = 0
    for path in tree.files('.c', '.h', '.S'):
        text = tree.code(path)
        lines = text.count('\n')
        total += lines
        if lines > FILE_LINES:
            print(f'{path}: {lines} lines')
        for name, length in functions(text):
            if length > FUNCTION_LINES:
                print(f'{path}: {name}() has {length} lines')
    print(f'{total} lines in all')


main()
