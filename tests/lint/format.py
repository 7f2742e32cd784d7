# SPDX-License-Identifier: BSD-2-Clause
"""clang-format changes no C file.  Versions differ in details, so this needs the
version that the project uses."""
import re
import shutil
import subprocess

import tree

VERSION = 14


def find():
    """The path of a clang-format of VERSION, or None."""
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
    tree.finish('fix with: clang-format -i FILE', complaints)


main()
