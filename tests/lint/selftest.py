# SPDX-License-Identifier: BSD-2-Clause
"""Each lint fails on a bad example: runs copies of them in a checkout that has
nothing but the example."""
import os
import shutil
import subprocess
import sys
import tempfile

import tree

# Lint, the files of the example, a line of the complaint.
EXAMPLES = [
    ('includes', {'vmm/base/a.c': '#include "vmm/vm/vm.h"\n'},
     'vmm/base must not include vmm/vm'),
    ('includes', {'vmm/base/a.h': '#include "vmm/base/b.h"\n',
                  'vmm/base/b.h': '#include "vmm/base/a.h"\n'},
     'vmm/base/a.h vmm/base/b.h: include each other'),
    ('includes', {'vmm/new/a.c': ''}, 'vmm/new/a.c: its room is not in the table'),
    ('includes', {}, 'vmm/base: a row of the table, but no such file'),
    ('rooms', {}, 'vmm/base: no unit tests'),
    ('seam', {'vmm/a.c': '#ifdef __aarch64__\n'}, 'vmm/a.c:1: conditional on'),
    ('seam', {'vmm/a.c': 'int cpuid;\n'}, 'vmm/a.c:1: cpuid belongs in arch/'),
    ('ioctl', {'vmm/a.c': 'int a = ioctl(1, 2);\n'}, 'vmm/a.c:1: calls ioctl(2)'),
    ('text', {'a.c': 'int a; \n'}, 'a.c: no SPDX line'),
    ('text', {'a.c': 'int a; \n'}, 'a.c:1: blanks at the end'),
    ('shell', {'a.sh': 'if true\n'}, 'a.sh: '),
    ('comments', {'vmm/a.h': '/* Opens the file. */\nint file_open(void);\n'},
     'vmm/a.h:1: file_open()'),
    ('comments', {'vmm/a.c': '/* Opens\n * it. */\nstatic int\nopen_it(void)\n{\n'},
     'open_it()'),
    ('words', {'vmm/a.c': '/* Wakes who\n * waits. */\n'}, 'vmm/a.c:1: "Wakes who"'),
    ('words', {'vmm/a.c': 'char a[] = "that cannot be "\n\t"had";\n'},
     'vmm/a.c:1: "cannot be had"'),
    ('words', {'a.md': 'So\nit comes of that.\n'}, 'a.md:2: "comes of"'),
    ('design', {'doc/design.md': 'In `vmm/a.c`, by\n`open_it()`.\n'},
     'doc/design.md:1: no file vmm/a.c'),
    ('design', {'doc/design.md': 'In `vmm/a.c`, by\n`open_it()`.\n'},
     'doc/design.md:2: no function open_it()'),
]
RING = {'vmm/base/a.c': 'void b(void);\nvoid a(void)\n{\n\tb();\n}\n',
        'vmm/base/b.c': 'void a(void);\nvoid b(void)\n{\n\ta();\n}\n'
                        'int kept;\nvoid c(void)\n{\n}\n'}
BUILT = [('symbols', RING, 'vmm/base: a, b need each other'),
         ('symbols', RING, 'vmm/base/b.c: c: no other file uses it'),
         ('globals', RING, ': variable kept in .bss')]


def write(top, files):
    for path, text in files.items():
        path = os.path.join(top, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)


def build(top, files):
    """A library of the example's files, where the build has a room's."""
    room = os.path.join(top, 'build', 'vmm', 'base')
    os.makedirs(room)
    for path in files:
        subprocess.run(['cc', '-c', os.path.join(top, path)], cwd=room, check=True)
    subprocess.run(['ar', 'rc', 'libbase.a', *sorted(os.listdir(room))], cwd=room,
                   check=True)


def check(lint, files, wanted, built):
    """A complaint unless the lint reports the example."""
    with tempfile.TemporaryDirectory(prefix='thaw-lint.') as top:
        shutil.copytree(os.path.join(tree.TOP, 'tests/lint'),
                        os.path.join(top, 'tests/lint'))
        write(top, files)
        if built:
            build(top, files)
        done = subprocess.run(
            [sys.executable, '-B', os.path.join(top, 'tests/lint', lint + '.py'),
             os.path.join(top, 'build')], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 1 or wanted not in done.stdout:
        yield f'{lint}: no complaint like "{wanted}": {done.returncode}, {done.stdout}'


def main():
    complaints = []
    for example in EXAMPLES:
        complaints += check(*example, False)
    if all(map(shutil.which, ('cc', 'ar', 'nm', 'objdump'))):
        for example in BUILT:
            complaints += check(*example, True)
    tree.finish('lints that miss their examples', complaints)


main()
