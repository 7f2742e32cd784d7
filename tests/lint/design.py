# SPDX-License-Identifier: BSD-2-Clause
"""Every file and function that doc/design.md names exists."""
import os
import re

import tree

DOCUMENT = 'doc/design.md'
TOPS = ('', 'vmm/', 'tests/', 'doc/')
QUOTED = re.compile(r'`([^`\n]+)`')
FILE = re.compile(r'[\w./*-]+\.(?:c|h|S|py|sh|md|build)|[\w-]+(?:/[\w*-]+)+/?')
FUNCTION = re.compile(r'([a-z]\w+)\((?:\d?)\)')
# Patterns, and what does not exist yet.
EXAMPLE = re.compile(r'^/|\*|NAME|^vmm/sandbox$')
# Functions of the system.
SYSTEM = {'ioctl', 'mmap', 'thaw'}


def main():
    text = tree.read(DOCUMENT)
    paths = list(tree.files())
    folders = {os.path.dirname(p) for p in paths}
    folders |= {os.path.dirname(f) for f in folders}
    names = {os.path.basename(p) for p in paths}
    words = set()
    for path in paths:
        if path.endswith(('.c', '.h')):
            words.update(re.findall(r'\w+', tree.code(path)))
    complaints = []
    for match in QUOTED.finditer(text):
        quoted, line = match.group(1), text.count('\n', 0, match.start()) + 1
        if FILE.fullmatch(quoted) and not EXAMPLE.search(quoted):
            there = quoted.rstrip('/')
            if not any(t + there in folders or t + there in paths for t in TOPS) \
                    and not ('/' not in there and there in names):
                complaints.append(f'{DOCUMENT}:{line}: no file {quoted}')
        function = FUNCTION.fullmatch(quoted)
        if function and function.group(1) not in words | SYSTEM:
            complaints.append(f'{DOCUMENT}:{line}: no function {quoted}')
    tree.finish('names in the design document', complaints)


main()
