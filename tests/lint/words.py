# SPDX-License-Identifier: BSD-2-Clause
"""No phrase of the list below in messages, comments, names or documents: each
hides the subject of its sentence."""
import re

import tree

BANNED = [
    # Name the thread, the process or the person.
    r'whom', r'whoever', r'somebody', r'(?-i:[Nn]obody)(?!:)(?<!su nobody)',
    r'(?:to|of|for|by|from|than|with|only|beside|wakes?|stops?|tells?|lets) who',
    r'who (?:walks|waits|needs|asks|jumps|listens|reads|touches|stands|faults)',
    # Name the action: reports, exits, releases, removes, returns, waits.
    r'(?:is|are|was|were|be|been|until|when|it|machine|guest|kernel) told',
    r'told (?:of|by|to|that|apart)',
    r'(?:can|cannot|could|to|not) be had',
    r'lets? go', r'takes? away', r'taken away', r'comes? of',
    r'on the way', r'own accord', r'go-on', r'waited in vain',
    r'stands? still for', r'the kernel has (?:it|them) not',
]
PHRASE = re.compile(r'(?<![\w/-])(?:' + '|'.join(BANNED) + r')(?![\w-])', re.I)
# Between the lines of a comment or a string.
BREAK = re.compile(r'[ \t]*"?\n[ \t]*(?:\*(?!/)|//|#|\.\\"|")?[ \t]*')
TEXT = ('.c', '.h', '.S', '.py', '.sh', '.md', '.1', 'meson.build', 'meson.options')
EXCEPT = {
    'tests/lint/words.py': 'the list',
    'tests/lint/selftest.py': 'bad examples',
}


def is_text(path):
    """Whether the project wrote the file for people to read."""
    return path not in EXCEPT and (
        path.endswith(TEXT) or tree.read(path)[:2] == '#!')


def phrases(text):
    """(line, phrase) of each banned phrase, also across the end of a line."""
    starts, joined, at = [], [], 0
    for match in [*BREAK.finditer(text), None]:
        piece = text[at:match.start() if match else len(text)]
        starts.append((sum(map(len, joined)), at))
        joined += [piece, ' ']
        at = match.end() if match else len(text)
    flat = ''.join(joined)
    for match in PHRASE.finditer(flat):
        place, source = max(s for s in starts if s[0] <= match.start())
        line = text.count('\n', 0, source + match.start() - place) + 1
        yield line, match.group()


def main():
    complaints = []
    for path in tree.files():
        if is_text(path):
            complaints += [f'{path}:{line}: "{phrase}"'
                           for line, phrase in phrases(tree.read(path))]
    tree.finish('phrases without a subject: name it', complaints)


main()
