# SPDX-License-Identifier: BSD-2-Clause
#
# lib.sh - the library of the cases.  Runs in the rig, in busybox sh.
#
# A case is a function case_NAME in a file here, listed in `list'.  It ends with
# status 0 (ok), through fail (not ok) or through skip.  Cases share guests: the
# first that needs one boots it, the rest read its log.
#
#	/guest		what run-cases prepared: initrds, disks, odd kernels
#	/kernels	the cache of fetch.sh: kernels/ARCH-SERIES/...
#	/scratch	writable, outside the rig's memory

state=/tmp/cases
mkdir -p $state

# Parameters for Linux guests.  On the x86 host with userfault KVM handles the
# writes of a guest's timer and IPI registers without leaving its inner loop, and
# there the emulation now and then delivers an interrupt twice, so that the guest
# loses another and hangs, or the host itself does (one of some hundred guests);
# with these it uses the registers of the xAPIC, which take the long way.  Debian's
# kernel, on which guests get nothing but a console, does not show it.
quirk=
[ "$RIG_ARCH$RIG_STOCK" != x86 ] || quirk='nox2apic lapic=notscdeadline'

# How many pages of 4096 bytes make up one of the host.
host_pages() {
	case $RIG_CONFIG in
	64k) echo 16 ;;
	*) echo 1 ;;
	esac
}

# The images of kernel series $1 in their forms: `plain' is the usual one of
# the architecture, `other' the second form that thaw reads.
kernel_image() {
	dir=/kernels/$RIG_ARCH-$1
	case $RIG_ARCH-$2 in
	x86-plain) echo "$dir/vmlinuz" ;;
	x86-other) echo "$dir/vmlinux" ;;
	arm64-plain) echo "$dir/Image" ;;
	arm64-other) echo "/guest/Image-$1.gz" ;;
	esac
}

# End the case: it failed, for this reason.
fail() {
	echo "$*"
	exit 1
}

# End the case: it cannot run here, for this reason.
skip() {
	echo "$*"
	exit 77
}

# Fail unless $2 is $3, naming $1.
same() {
	[ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

# Fail unless number $2 is within $3..$4.
within() {
	[ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || fail "$1 is '$2', not in $3..$4"
}

# Add a figure to the report; it does not decide the result.
info() {
	echo "info $*" >>$state/info
}

# Boot guest $1 once: thaw run with the remaining arguments, its output in a log.
# A second call only looks at the log.  One that hangs, or that KVM ends because
# the emulator reports an event that is not being delivered, is tried once more,
# and the report says so: nested virtualization in an emulator is not always
# faithful (see README.md).  Both tries fit into the limit of every case that boots.
boot() {
	name=$1
	shift
	[ ! -e "$state/$name.rc" ] || return 0
	echo "$*" >"$state/$name.args"
	start=$(cut -d' ' -f1 /proc/uptime)
	for try in 1 2; do
		rc=0
		timeout -s KILL ${limit:-400} thaw run "$@" </dev/null \
			>"$state/$name.raw" 2>"$state/$name.err" || rc=$?
		if [ $rc -eq 137 ]; then
			info "guest $name: no end after ${limit:-400} s, try $try"
		elif grep -q 'exit during event delivery' "$state/$name.err"; then
			info "guest $name: false exit of the emulator, try $try"
		else
			break
		fi
	done
	tr -d '\r' <"$state/$name.raw" >"$state/$name.log"
	end=$(cut -d' ' -f1 /proc/uptime)
	echo "$rc" >"$state/$name.rc"
	info "guest $name: $(echo "$end $start" | awk '{ print $1 - $2 }') s in all"
}

# Print the exit status of guest $1.
status_of() {
	cat "$state/$1.rc"
}

# Print fact $2 of guest $1 (of its last boot), or nothing.
fact_of() {
	sed -n "s/^.*FACT $2=//p" "$state/$1.log" | tail -n 1
}

# Fail, with the end of its output, unless guest $1 came to the end of its init.
reached_end() {
	[ -n "$(fact_of "$1" end)" ] ||
		fail "no end of init; status $(status_of "$1");" \
			"$(tail -n 2 "$state/$1.err" | tr '\n' '|')" \
			"console: $(tail -c 300 "$state/$1.log" | tr '\n' '|')"
}

# Wait up to $3 seconds for a line that matches $2 in file $1.
wait_line() {
	for i in $(seq "$3"); do
		! grep -q -e "$2" "$1" || return 0
		sleep 1
	done
	return 1
}

# Run thaw with bad input: it must end with status $1 (or one of several, a|b),
# within seconds, and write one line to standard error.
refuses() {
	want=$1
	shift
	rc=0
	timeout -s KILL 40 "$@" </dev/null >$state/out 2>$state/err || rc=$?
	case "|$want|" in
	*"|$rc|"*) ;;
	*) fail "status $rc, not $want, for $*: $(tail -n 1 $state/err)" ;;
	esac
	lines=$(wc -l <$state/err)
	[ "$lines" -eq 1 ] || fail "$lines lines, not 1, for $*: $(tr '\n' '|' <$state/err)"
	echo "$rc: $*: $(cat $state/err)" >>$state/refusals
}
