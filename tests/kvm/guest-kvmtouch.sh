#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# KVM's own accesses find what the memory source has, whether that is zeros or
# an initrd, and leave the rest of the page alone.
. "$(dirname "$0")/guest-lib.sh"

"$guests/../tests/kvm/guest-signature" 2048 >"$work/initrd" || exit 99

for backing in $(backings); do
	run --memory="$backing" -k "$(guest kvmtouch)"
	expect_checks
	# On arm64 all it does wants pages of zeros.
	[ "$suffix" = elf ] || continue
	run --memory="$backing" -k "$(guest kvmtouch)" -i "$work/initrd" \
		-p "base=initrd check=signature"
	expect_checks
done
finish
