# SPDX-License-Identifier: BSD-2-Clause
"""A comment above a function is a contract: four words or fewer only repeat the
name, unless they are notation, a number or a file."""
import re

import tree

FEWEST_WORDS = 5
COMMENT = re.compile(r'^/\*((?:(?!\*/).)*)\*/\n(?=[a-z_])([^;{}=]*\([^;{}=]*[;{])',
                     re.M | re.S)
NOTATION = re.compile(r'[0-9(){}=/"<>|]|\w\.\w')
NAME = re.compile(r'(?!__attribute__)\b(\w+)\s*\(')


def short_comments(text):
    """(line, function, comment) of each comment that is too short."""
    for match in COMMENT.finditer(text):
        words = match.group(1).replace('*', ' ').split()
        if len(words) < FEWEST_WORDS and not NOTATION.search(match.group(1)):
            line = text.count('\n', 0, match.start()) + 1
            yield line, NAME.search(match.group(2)).group(1), ' '.join(words)


def main():
    complaints = []
    for path in tree.files('.c', '.h'):
        if path.startswith(('vmm/', 'arch/', 'guest/')):
            complaints += [f'{path}:{line}: {name}(): "{comment}"'
                           for line, name, comment in short_comments(tree.read(path))]
    tree.finish('comments above functions: write the contract, or delete', complaints)


main()
