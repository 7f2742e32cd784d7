# SPDX-License-Identifier: BSD-2-Clause
"""Every room has unit tests, or a row below that says what tests it instead."""
import os

import includes
import tree

WITHOUT = {
    'vmm/kvm': 'needs /dev/kvm: tests/kvm',
    'vmm/cli': 'needs a process of its own: tests/cli, tests/kvm',
}
# No libraries of code.
NOT_ROOMS = {'vmm/arch.h', 'vmm/main.c'}


def has_tests(room):
    """Whether a folder of tests/unit belongs to the room and holds a test."""
    folder = os.path.join(tree.TOP, 'tests/unit', os.path.basename(room))
    return os.path.isdir(folder) and any(
        name.startswith('test_') for name in os.listdir(folder))


def main():
    rooms = sorted(set(includes.MAY) - NOT_ROOMS)
    without = [room for room in rooms if not has_tests(room)]
    complaints = [f'{room}: no unit tests' for room in without if room not in WITHOUT]
    complaints += [f'{room}: a row of the table, but it has unit tests'
                   for room in WITHOUT if room not in without]
    print(f'{len(rooms) - len(without)} of {len(rooms)} rooms have unit tests')
    for room in without:
        print(f'{room}: none; {WITHOUT.get(room, "?")}')
    tree.finish('rooms without unit tests', complaints)


main()
