# SPDX-License-Identifier: BSD-2-Clause
"""Code in vmm/ is the same for all architectures: no conditional on one, and no
name that belongs to one.  The differences are behind vmm/arch.h."""
import re

import tree

CONDITIONAL = re.compile(
    r'^\s*#\s*(?:el)?if.*(__x86_64__|__i386__|__amd64__|__aarch64__|__arm)', re.M)
NAMES = re.compile(
    r'\b\w*(?:x86|amd64|aarch64|arm64|armv8|cpuid|lapic|ioapic|vgic|gicv|psci|'
    r'kvmclock|acpi|bzimage)\w*|\bMSR_(?:IA32|KVM|CORE|K8)\w*|\bKVM_\w*MSRS?\b|\bfdt_\w+', re.I)

# Files that may name an architecture: the reason.
ALLOWED = {
    'vmm/boot/image.c': 'names the architecture of a file in messages',
}


def main():
    complaints = tree.missing(ALLOWED)
    for path in tree.files('.c', '.h'):
        if not path.startswith('vmm/'):
            continue
        text = tree.code(path)
        for match in CONDITIONAL.finditer(text):
            line = text.count('\n', 0, match.end()) + 1
            complaints.append(f'{path}:{line}: conditional on {match.group(1)}')
        if path in ALLOWED:
            continue
        for match in NAMES.finditer(text):
            line = text.count('\n', 0, match.start()) + 1
            complaints.append(f'{path}:{line}: {match.group()} belongs in arch/')
    tree.finish('architectures named in vmm/', complaints)


main()
