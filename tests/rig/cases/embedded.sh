# SPDX-License-Identifier: BSD-2-Clause
#
# embedded.sh - what thaw can do without any file.

case_probe() {
	thaw probe >$state/probe || fail "thaw probe: status $?"
	thaw probe --json >$state/probe.json || fail "thaw probe --json: status $?"
	grep -q '^{' $state/probe.json || fail "--json gives no object"
}

# What probe says of userfault must be so: Debian's kernel has none, and the
# reason is given; ours has it for both kinds of slot.
case_probe_userfault() {
	want=yes
	[ -z "$RIG_STOCK" ] || want=no
	for kind in anonymous guest_memfd; do
		line=$(thaw probe | grep "^ *userfault_$kind ") ||
			fail "no word on userfault of $kind memory"
		info "probe: $(echo "$line" | tr -s ' ')"
		case $line in
		*" $want "*[a-z]*) ;;
		*) fail "not '$want': $line" ;;
		esac
	done
}

# Run the guest that is part of thaw, with these arguments.
embedded() {
	rc=0
	timeout -s KILL 25 thaw run "$@" </dev/null >$state/embedded \
		2>$state/embedded.err || rc=$?
	[ $rc -eq 0 ] || fail "status $rc: $(tail -n 1 $state/embedded.err)"
	[ -s $state/embedded ] || fail "no report"
}

case_embedded_anon() {
	embedded --memory=anon
}

case_embedded_two_cpus() {
	embedded -c 2
	grep -i -E '(cpu|processor)' $state/embedded | grep -q 2 ||
		fail "it does not say 2 processors"
}

case_embedded_guest_memfd() {
	if [ -n "$RIG_STOCK" ]; then
		refuses 70 thaw run --memory=guest_memfd
		skip "Debian's kernel has no guest_memfd that can be mapped; thaw says so"
	fi
	embedded --memory=guest_memfd
}

# Words that the guest is given are its own; and an ELF file that is linked at 0
# runs, which on arm64 is what the report is before it becomes an Image.
case_embedded_elf() {
	embedded -k /guests/report.elf --raw-params -p 'one=1 two=2'
	same "the parameters" "$(sed -n 's/^  parameters *//p' $state/embedded |
		tr -d '\r')" "one=1 two=2"
	embedded -k /guests/report.elf -p one=1
	same "the parameters" "$(sed -n 's/^  parameters *//p' $state/embedded |
		tr -d '\r')" "console=ttyS0 one=1"
}
