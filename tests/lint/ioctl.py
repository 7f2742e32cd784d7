# SPDX-License-Identifier: BSD-2-Clause
"""One place for each kernel interface: only the files below call ioctl(2); only
vmm/kvm and arch/ issue KVM requests, and one that both architectures issue is a
function of vmm/kvm."""
import collections
import re

import tree

ALLOWED = {
    'vmm/kvm/kvm.c': 'every KVM request',
    'vmm/mem/protect.c': 'userfaultfd: write protection',
    'vmm/mem/uffd_probe.c': 'userfaultfd: what it can do here',
    'vmm/pager/uffd.c': 'userfaultfd: serving faults',
    'vmm/base/sparse.c': 'files that share blocks',
    'vmm/io/disk.c': 'sizes and discards of block devices',
    'vmm/io/net_tap.c': 'tap devices',
    'vmm/io/stream.c': 'the kind of a terminal',
    'vmm/io/terminal.c': 'the size of a terminal',
    'vmm/snap/verity.c': 'fs-verity of a snapshot',
}

# Issued by both architectures, with a struct that differs.
PER_ARCHITECTURE = {'KVM_GET_VCPU_EVENTS', 'KVM_SET_VCPU_EVENTS'}

CALL = re.compile(r'(?<![\w.>])(?:kvm_call|kvm_ioctl|kvm_ioctl_named)\s*\(')
REQUEST = re.compile(r'\bKVM_(?:GET|SET|CREATE|ENABLE|HAS|CHECK|RUN|IRQ_LINE|IRQFD'
                     r'|IOEVENTFD|SIGNAL|ARM_VCPU_INIT|KVMCLOCK_CTRL)\w*')


def check_kvm(path, text, users):
    """The complaints about one file; adds the requests of an architecture to @users."""
    room = path.split('/')
    if path.startswith('vmm/kvm/'):
        return
    if room[0] == 'arch':
        for request in REQUEST.findall(text):
            users[request].add(room[1])
        return
    for match in CALL.finditer(text):
        line = text.count('\n', 0, match.start()) + 1
        yield f'{path}:{line}: issues a KVM request'


def main():
    complaints, users = tree.missing(ALLOWED), collections.defaultdict(set)
    for path in tree.files('.c', '.h'):
        if not path.startswith(('vmm/', 'arch/')):
            continue
        text = tree.code(path)
        complaints += check_kvm(path, text, users)
        if path in ALLOWED:
            continue
        for match in re.finditer(r'(?<![\w.>])ioctl\s*\(', text):
            line = text.count('\n', 0, match.start()) + 1
            complaints.append(f'{path}:{line}: calls ioctl(2)')
    for request in sorted(users):
        if len(users[request]) > 1 and request not in PER_ARCHITECTURE:
            complaints.append(f'arch: {request} is issued by '
                              + ' and '.join(sorted(users[request]))
                              + ': make it a function of vmm/kvm')
    tree.finish('ioctl(2) outside its places', complaints)


main()
