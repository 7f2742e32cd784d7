# SPDX-License-Identifier: BSD-2-Clause
"""One place for each kernel interface: ioctl(2) is called only in the files
below."""
import re

import tree

ALLOWED = {
    'vmm/kvm/kvm.c': 'every KVM request',
    'vmm/mem/uffd_probe.c': 'userfaultfd: what it can do here',
    'vmm/pager/uffd.c': 'userfaultfd: serving faults',
    'vmm/io/disk.c': 'sizes and discards of block devices',
    'vmm/io/terminal.c': 'the size of a terminal',
    'vmm/io/tap.c': 'tap interfaces',
}


def main():
    complaints = []
    for path in tree.files('.c', '.h'):
        if not path.startswith(('vmm/', 'arch/')) or path in ALLOWED:
            continue
        text = tree.code(path)
        for match in re.finditer(r'(?<![\w.>])ioctl\s*\(', text):
            line = text.count('\n', 0, match.start()) + 1
            complaints.append(f'{path}:{line}: calls ioctl(2)')
    tree.finish('ioctl(2) outside its places', complaints)


main()
