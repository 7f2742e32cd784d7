#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Memory that nobody wrote reads as zeros and an initrd as its file, in every
# order, on all processors; the check itself can fail.
. "$(dirname "$0")/guest-lib.sh"

"$guests/../tests/kvm/guest-signature" 4096 >"$work/initrd" || exit 99

for backing in $(backings); do
	for order in seq rand shared; do
		run --memory="$backing" -m 256M -c 2 -k "$(guest touch)" \
			-p "pages=8192 order=$order check=zero rounds=2"
		expect_checks
		expect_out '^touch: round=1 cpu=all touches='
		run --memory="$backing" -m 256M -c 2 -k "$(guest touch)" \
			-i "$work/initrd" \
			-p "base=initrd pages=4096 order=$order check=signature"
		expect_checks
	done
done

run -m 64M -k "$(guest touch)" -p "pages=16 check=signature"
expect_status 0
expect_out '^FAIL: 16 pages are wrong'
finish
