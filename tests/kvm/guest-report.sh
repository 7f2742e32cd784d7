#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The embedded guest sees the machine that was asked for: processors, memory,
# parameters, devices; and it powers off.
. "$(dirname "$0")/guest-lib.sh"

# The report of $1 memory as $2 of backing $3 with $4 processors.
report() {
	run --memory="$3" -m "$1" -c "$4" -p "first=1 second=two"
	expect_status 0
	expect_out "processors +$4 of $4 online"
	expect_out "memory +$2\$"
	expect_out 'parameters .*first=1 second=two$'
	expect_out '00:00.0 .* host bridge'
	expect_out 'first write to a page +[0-9]'
	expect_out 'All done in .*; powering off.'
}

for backing in $(backings); do
	for cpus in 1 2; do
		report 64M '6[34](\.[0-9])? MiB' "$backing" "$cpus"
		report 1G '1 GiB|1023(\.[0-9])? MiB' "$backing" "$cpus"
		report 5G '5 GiB' "$backing" "$cpus"
	done
done

# The same by the other console.
run --console=virtio
expect_status 0
expect_out '^  parameters +console=hvc0$'
expect_out 'virtio console'
expect_out 'All done in .*; powering off.'

# The words of the user, with nothing added.
run --raw-params -p "first=1 second=two"
expect_status 0
expect_out '^  parameters +first=1 second=two$'
run --raw-params
expect_status 0
! grep -q '^  parameters' "$work/out" || fail "there are parameters"
finish
