# SPDX-License-Identifier: BSD-2-Clause
"""No variables of file or static scope: reads the writable sections of the
objects, so it finds a `static` within a function as well.

globals.py BUILD"""
import glob
import os
import re
import shutil
import subprocess
import sys

import tree

# (object file, symbol): the reason.
ALLOWED = {
    ('log.c', 'shown_level'): 'the level of the process-wide log',
    ('log.c', 'terminal_is_raw'): 'the line ends of the process-wide log',
    ('raw_mode.c', 'rescue'): 'a signal handler restores the terminal',
    ('sigbus.c', 'guarded'): 'a signal handler finds guest memory',
}
# Files with thread-local variables: for signal handlers, and for where a thread keeps
# the errors that it logs.
ALLOWED_TLS = {'thread.c', 'log.c'}

LINE = re.compile(r'^[0-9a-f]{8,} (.{7}) (\S+)\s+([0-9a-f]+) (?:\.hidden )?(\S+)$')
MEMBER = re.compile(r'(\S+)\.o:\s+file format')


def main():
    objdump = shutil.which('objdump')
    if not objdump:
        tree.skip('no objdump (binutils)')
    build = sys.argv[1]
    libraries = sorted(glob.glob(os.path.join(build, 'vmm', '**', '*.a'), recursive=True)
                       + glob.glob(os.path.join(build, 'arch', '**', '*.a'), recursive=True))
    if not libraries:
        tree.finish('no libraries', [f'{build}: nothing is built there'])
    complaints, unmet = [], set(ALLOWED)
    for library in libraries:
        text = subprocess.run([objdump, '-t', library], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        member = ''
        for line in text.split('\n'):
            found = MEMBER.search(line)
            if found:
                member = os.path.basename(found.group(1))
                continue
            match = LINE.match(line)
            if not match:
                continue
            flags, section, size, name = match.groups()
            if flags.endswith('d ') or int(size, 16) == 0:
                continue
            if section.startswith(('.tbss', '.tdata')):
                if member.split('_')[-1] not in ALLOWED_TLS and member not in ALLOWED_TLS:
                    complaints.append(f'{member}: thread-local {name}')
            elif section == '*COM*' or section.startswith(('.bss', '.data')):
                if section.startswith('.data.rel.ro'):
                    continue
                if (member, name) in ALLOWED:
                    unmet.discard((member, name))
                    continue
                complaints.append(f'{member}: variable {name} in {section}')
    complaints += [f'{member}: {name}: a row of the table, but no such variable'
                   for member, name in sorted(unmet)]
    tree.finish('variables that outlive a function', complaints)


main()
