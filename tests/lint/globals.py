# SPDX-License-Identifier: BSD-2-Clause
"""No variables of file or static scope: looks at what the objects hold in
writable sections, so a `static` within a function counts as well.

globals.py BUILD"""
import glob
import os
import re
import shutil
import subprocess
import sys

import tree

# Object file, symbol: why it is right.
ALLOWED = {
    ('log.c', 'shown_level'): 'the log is process-wide: how much is shown',
    ('log.c', 'terminal_is_raw'): 'the log is process-wide: how lines end',
    ('raw_mode.c', 'rescue'): 'a fatal signal restores the terminal by it',
    ('sigbus.c', 'guarded'): 'SIGBUS finds guest memory by it',
}
# Thread-local ones, for signal handlers that have no other way to a vCPU.
ALLOWED_TLS = {'thread.c'}

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
    complaints = []
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
                if section.startswith('.data.rel.ro') or (member, name) in ALLOWED:
                    continue
                complaints.append(f'{member}: variable {name} in {section}')
    tree.finish('variables that outlive a function', complaints)


main()
