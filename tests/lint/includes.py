# SPDX-License-Identifier: BSD-2-Clause
"""Who may include whom.  The table is that of doc/design.md; what a room may
include, its users may include too."""
import os
import re

import tree

MAY = {
    'vmm/base': [],
    'vmm/kvm': ['vmm/base'],
    'vmm/snap': ['vmm/base'],
    'vmm/io': ['vmm/base'],
    'vmm/sandbox': ['vmm/base'],
    'vmm/mem': ['vmm/kvm'],
    'vmm/bus': ['vmm/kvm'],
    'vmm/boot': ['vmm/mem'],
    'vmm/pager': ['vmm/mem', 'vmm/snap'],
    'vmm/pci': ['vmm/bus', 'vmm/io', 'vmm/mem', 'vmm/snap'],
    'vmm/dev': ['vmm/bus', 'vmm/io', 'vmm/mem', 'vmm/snap'],
    'vmm/virtio': ['vmm/pci'],
    'vmm/arch.h': ['vmm/bus', 'vmm/kvm', 'vmm/mem'],
    'arch/x86': ['vmm/arch.h', 'vmm/boot', 'vmm/dev', 'vmm/snap'],
    'arch/arm64': ['vmm/arch.h', 'vmm/boot', 'vmm/dev', 'vmm/snap'],
    'vmm/vm': ['vmm/arch.h', 'vmm/boot', 'vmm/pci', 'vmm/virtio', 'vmm/dev',
               'vmm/pager', 'vmm/snap'],
    'vmm/ctl': ['vmm/vm'],
    'vmm/cli': ['vmm/ctl', 'vmm/sandbox', 'vmm/vm'],
    'vmm/main.c': ['vmm/cli'],
    # Guests stand alone: their library, and the numbers of the machine.
    'guest': [],
}


def room_of(path):
    """The room that a path belongs to; None outside the rooms."""
    if path in MAY:
        return path
    parts = path.split('/')
    for depth in (2, 1):
        if '/'.join(parts[:depth]) in MAY:
            return '/'.join(parts[:depth])
    return None


def reach(room):
    """The rooms that @room may include, itself among them."""
    seen, todo = set(), [room]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen.add(at)
            todo += MAY[at]
    return seen


def main():
    complaints = []
    for path in tree.files('.c', '.h', '.S'):
        if not path.startswith(('vmm/', 'arch/', 'guest/')):
            continue
        room = room_of(path)
        if room is None:
            complaints.append(f'{path}: in no room that the table knows')
            continue
        allowed = reach(room)
        for number, line in enumerate(tree.code(path, strings=True).split('\n'), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            target = match.group(1)
            there = room_of(target)
            where = f'{path}:{number}'
            if there is None:
                # Files that the build makes have no room; full paths have.
                if os.path.exists(os.path.join(tree.TOP, os.path.dirname(path), target)):
                    complaints.append(f'{where}: "{target}": not a full path')
            elif there not in allowed:
                complaints.append(f'{where}: {room} must not include {there} ("{target}")')
    tree.finish('include lines against the table of rooms', complaints)


main()
