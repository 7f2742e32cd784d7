# SPDX-License-Identifier: BSD-2-Clause
"""Each room includes only the rooms below it.  The table is that of
doc/design.md; what a room may include, its users may include too.  And no header
includes itself through others."""
import os
import re

import tree

MAY = {
    'vmm/base': [],
    'vmm/kvm': ['vmm/base'],
    'vmm/snap': ['vmm/base'],
    'vmm/io': ['vmm/base'],
    'vmm/fs': ['vmm/snap'],
    'vmm/mem': ['vmm/kvm'],
    'vmm/bus': ['vmm/kvm'],
    'vmm/boot': ['vmm/mem'],
    'vmm/pager': ['vmm/mem', 'vmm/snap'],
    'vmm/pci': ['vmm/bus', 'vmm/io', 'vmm/mem', 'vmm/snap'],
    'vmm/dev': ['vmm/bus', 'vmm/io', 'vmm/mem', 'vmm/snap'],
    'vmm/virtio': ['vmm/pci', 'vmm/fs'],
    'vmm/arch.h': ['vmm/boot', 'vmm/bus', 'vmm/kvm', 'vmm/mem'],
    'arch/x86': ['vmm/arch.h', 'vmm/boot', 'vmm/dev', 'vmm/snap'],
    'arch/arm64': ['vmm/arch.h', 'vmm/boot', 'vmm/dev', 'vmm/snap'],
    'vmm/vm': ['vmm/arch.h', 'vmm/boot', 'vmm/pci', 'vmm/virtio', 'vmm/dev',
               'vmm/pager', 'vmm/snap'],
    'vmm/ctl': ['vmm/vm'],
    'vmm/exec': ['vmm/vm', 'vmm/boot', 'guest/init'],
    'vmm/cli': ['vmm/ctl', 'vmm/exec', 'vmm/vm'],
    'vmm/main.c': ['vmm/cli'],
    # Payloads use their own library and the numbers of the machine.
    'guest': [],
    # A Linux program; base without its library: headers only.
    'guest/init': ['vmm/base'],
}


def room_of(path):
    """The room of a path; None outside the rooms."""
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


INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')


def rings(graph):
    """The groups of nodes that reach each other (strongly connected components
    of more than one node)."""
    def reachable(node):
        seen, todo = set(), [node]
        while todo:
            for to in graph.get(todo.pop(), ()):
                if to not in seen:
                    seen.add(to)
                    todo.append(to)
        return seen

    reached = {node: reachable(node) for node in graph}
    return sorted({tuple(sorted({node} | {to for to in reached[node]
                                         if node in reached.get(to, ())}))
                   for node in graph if node in reached[node]})


def main():
    complaints, headers = tree.missing(MAY), {}
    for path in tree.files('.c', '.h', '.S'):
        if not path.startswith(('vmm/', 'arch/', 'guest/')):
            continue
        room = room_of(path)
        if room is None:
            complaints.append(f'{path}: its room is not in the table')
            continue
        allowed = reach(room)
        for number, line in enumerate(tree.code(path, strings=True).split('\n'), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(1)
            if path.endswith('.h'):
                headers.setdefault(path, set()).add(target)
            there = room_of(target)
            where = f'{path}:{number}'
            if there is None:
                # Files that the build makes have no room; full paths have.
                if os.path.exists(os.path.join(tree.TOP, os.path.dirname(path), target)):
                    complaints.append(f'{where}: "{target}": not a full path')
            elif there not in allowed:
                complaints.append(f'{where}: {room} must not include {there} ("{target}")')
    complaints += [f'{" ".join(ring)}: include each other' for ring in rings(headers)]
    tree.finish('include lines against the table of rooms', complaints)


if __name__ == '__main__':
    main()
