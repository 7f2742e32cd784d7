# SPDX-License-Identifier: BSD-2-Clause
"""C files are as clang-format makes them.  Versions differ in details, so only
the one that the project uses counts."""
import re
import shutil
import subprocess

import tree

VERSION = 14


def find():
    """A clang-format of the version, or None."""
    for name in (f'clang-format-{VERSION}', 'clang-format'):
        path = shutil.which(name)
        if path:
            text = subprocess.run([path, '--version'], text=True,
                                  stdout=subprocess.PIPE).stdout
            if re.search(rf'version {VERSION}\.', text):
                return path
    return None


def main():
    program = find()
    if not program:
        tree.skip(f'no clang-format {VERSION}')
    paths = list(tree.files('.c', '.h'))
    done = subprocess.run([program, '--dry-run', '--ferror-limit=1', '-Werror'] + paths,
                          cwd=tree.TOP, text=True, stderr=subprocess.PIPE)
    complaints = [line for line in done.stderr.split('\n') if 'error:' in line]
    tree.finish('mend with: clang-format -i FILE', complaints)


main()
