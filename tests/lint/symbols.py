# SPDX-License-Identifier: BSD-2-Clause
"""The functions between the files of a room, by the symbols of the objects: no
files need each other's functions, directly or in a ring, and every function with
external linkage has a user in another file of the program.

symbols.py BUILD"""
import collections
import glob
import os
import re
import shutil
import subprocess
import sys

import includes
import tree

# Functions that only tests call: the reason.
TEST_ONLY = {
    'fs_usage': 'tests count what a session holds',
    'acpi_build': 'tests read the tables, also with iasl, without a guest',
}

MEMBER = re.compile(r'^(?:.*/)?(\S+?)(?:\.c)?\.o:$')


def objects(library):
    """(file, [(type, symbol)]) of each object in a library."""
    text = subprocess.run([shutil.which('nm'), library], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    found = {}
    symbols = found.setdefault('', [])
    for line in text.split('\n'):
        member = MEMBER.match(line)
        if member:
            symbols = found.setdefault(member.group(1), [])
        elif line.strip():
            symbols.append(tuple(line.split()[-2:]))
    return found.items()


def read_rooms(build):
    """({symbol: (room, file)}, {symbol: users as (room, file)}) of all rooms."""
    defined, users = {}, collections.defaultdict(set)
    for top in 'vmm', 'arch':
        for library in glob.glob(os.path.join(build, top, '**', '*.a'), recursive=True):
            room = os.path.relpath(os.path.dirname(library), build)
            for name, symbols in objects(library):
                for kind, symbol in symbols:
                    if kind in 'TDRB':
                        defined[symbol] = room, name
                    elif kind == 'U':
                        users[symbol].add((room, name))
    return defined, users


def rings(defined, users):
    """A complaint for each group of files that need each other."""
    graphs, names = collections.defaultdict(dict), collections.defaultdict(list)
    for symbol, (room, name) in defined.items():
        for there, user in users[symbol]:
            if there == room and user != name:
                graphs[room].setdefault(user, set()).add(name)
                names[room, user, name].append(symbol)
    for room, graph in sorted(graphs.items()):
        for ring in includes.rings(graph):
            yield f'{room}: {", ".join(ring)} need each other'
            for a in ring:
                for b in sorted(graph[a] & set(ring)):
                    yield f'  {a} -> {b}: {", ".join(sorted(names[room, a, b]))}'


def called_elsewhere():
    """{name: paths} of the names in all C files of the program: the objects of
    one build lack the calls of the other architecture."""
    found = collections.defaultdict(set)
    for path in tree.files('.c'):
        if path.startswith(('vmm/', 'arch/', 'guest/')):
            for name in set(re.findall(r'\b[a-z_]\w*', tree.code(path))):
                found[name].add(path)
    return found


def unused(defined, users):
    """A complaint for each function without a user in another file."""
    named = called_elsewhere()
    for symbol, (room, name) in sorted(defined.items()):
        path = f'{room}/{name}.c'
        if not users[symbol] - {(room, name)} and not named[symbol] - {path} \
                and symbol not in TEST_ONLY:
            yield f'{path}: {symbol}: no other file uses it'
    for symbol in sorted(set(TEST_ONLY) - set(defined)):
        yield f'{symbol}: a row of the table, but no such function'


def main():
    if not shutil.which('nm'):
        tree.skip('no nm (binutils)')
    defined, users = read_rooms(sys.argv[1])
    if not defined:
        tree.finish('no libraries', [f'{sys.argv[1]}: nothing is built there'])
    tree.finish('functions between files',
                [*rings(defined, users), *unused(defined, users)])


main()
