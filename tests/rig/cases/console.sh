# SPDX-License-Identifier: BSD-2-Clause
#
# console.sh - people at the console: a shell on a pty, 100 KB pasted into it,
# and the ways out.  While the shell idles, the cost of idling is measured.

# The steps of a session: a shell that answers, then a paste that is hashed.
# $1 is the log's name; the rest is what else to do, then -- and the command.
session() {
	name=$1
	shift
	[ ! -e "$state/$name.rc" ] || return 0
	rc=0
	start=$(cut -d' ' -f1 /proc/uptime)
	timeout -s KILL 300 ptydrive -t 100 -l "$state/$name.raw" \
		'expect:FACT end=shell' 'expect:guest:' raw \
		'send:echo typed-$((40 + 2))\r' 'expect:typed-42' 'expect:guest:' \
		'send:stty raw -echo; echo re""ady; head -c 100000 | md5sum; stty sane\r' \
		'expect:ready' 'sleep:500' "run:cut -d' ' -f1 /proc/uptime >$state/$name.t0" \
		"file:/guest/paste" 'expect:  -' \
		"run:cut -d' ' -f1 /proc/uptime >$state/$name.t1" \
		"$@" 2>"$state/$name.err" || rc=$?
	end=$(cut -d' ' -f1 /proc/uptime)
	tr -d '\r' <"$state/$name.raw" >"$state/$name.log"
	echo $rc >"$state/$name.rc"
	info "guest $name: $(echo "$end $start" | awk '{ print $1 - $2 }') s in all"
	if [ -e "$state/$name.t1" ]; then
		info "guest $name: 100 KB pasted in" \
			"$(cat "$state/$name.t1" "$state/$name.t0" | tr '\n' ' ' |
				awk '{ print $1 - $2 }') s"
	fi
}

# Print why a session ended as it did.
session_end() {
	echo "status $(status_of "$1"): $(tail -n 4 "$state/$1.err" | tr '\n' '|')"
}

# A guest on virtio-console; looks at the size of the window, idles, is saved,
# then left by the key sequence.
guest_virtio() {
	session virtio 'expect:guest:' \
		'send:echo at-start $(stty size)\r' 'expect:at-start 24 80' \
		'resize:50x132' \
		'send:until [ "$(stty size)" = "50 132" ]; do sleep 1; done; echo re""sized\r' \
		'expect:resized' 'expect:guest:' 'sleep:1000' \
		"run:thaw snapshot $state/virtio.sock $state/virtio.snap" \
		'sleep:1000' \
		"run:sh /src/tests/rig/cases/measure \$CHILD 192 >$state/measured" \
		'send:\x01x' -- \
		thaw run -k "$(kernel_image 6.12 plain)" -i /guest/initrd-6.12 \
		-p "$quirk quiet t=shell" -m 192M --console=virtio \
		--control "$state/virtio.sock"
}

# A guest on the serial port; ended by a signal.
guest_serial() {
	session serial 'signal:15' -- \
		thaw run -k "$(kernel_image 6.1 other)" -i /guest/initrd-6.1 \
		-p "$quirk quiet t=shell" -m 192M --console=serial
}

# Fail unless session $1 got as far as an answer of the shell.
shell_answered() {
	grep -q '^typed-42' "$state/$1.log" || fail "$(session_end "$1")"
}

# Fail unless the paste of session $1 arrived whole.
paste_arrived() {
	shell_answered "$1"
	grep -q "$(cat /guest/paste.md5)" "$state/$1.log" ||
		fail "another hash; $(session_end "$1")"
}

case_virtio_console_shell() {
	guest_virtio
	shell_answered virtio
}

case_virtio_console_paste() {
	guest_virtio
	paste_arrived virtio
}

case_serial_shell() {
	guest_serial
	shell_answered serial
}

case_serial_paste() {
	guest_serial
	paste_arrived serial
}

# The guest's idea of the window is the terminal's, at the start and after a
# change of it.
case_virtio_console_size() {
	guest_virtio
	grep -q '^at-start 24 80' "$state/virtio.log" &&
		grep -q '^resized' "$state/virtio.log" ||
		fail "$(session_end virtio)"
}

# Saved on a terminal, restored on a pipe: it goes on, and the size is not known,
# of which busybox's stty prints nothing but an error.
case_virtio_console_other_terminal() {
	guest_virtio
	[ -e "$state/virtio.snap/state" ] || fail "$(session_end virtio)"
	printf '%s\n' 'while [ "$(stty size)" ]; do sleep 1; done' \
		'echo un""known; poweroff -f' |
		timeout 200 thaw restore "$state/virtio.snap" \
			>"$state/pipe.log" 2>"$state/pipe.err"
	rc=$?
	rm -rf "$state/virtio.snap"
	same status "$rc" 0
	tr -d '\r' <"$state/pipe.log" | grep -q '^unknown' ||
		fail "it says: $(tail -n 4 "$state/pipe.log" | tr '\n' '|')"
}

# The documented key sequence ends thaw with its own status, the terminal as it
# was (ptydrive says 123 when it is not).
case_leave_keys() {
	guest_virtio
	[ "$(status_of virtio)" = 83 ] || fail "$(session_end virtio)"
}

case_sigterm() {
	guest_serial
	[ "$(status_of serial)" = 143 ] || fail "$(session_end serial)"
}

# An idle guest.  One tick is 10 ms; emulation makes each of the guest's few
# timer interrupts some hundred times dearer than hardware does.
case_idle_cpu() {
	guest_virtio
	ticks=$(sed -n 's/^ticks=//p' $state/measured)
	[ -n "$ticks" ] || fail "not measured: $(session_end virtio)"
	info "idle guest: $ticks ticks of 10 ms in 5 s"
	within "ticks in 5 s" "$ticks" 0 50
}

case_own_memory() {
	guest_virtio
	kib=$(sed -n 's/^own_kib=//p' $state/measured)
	[ -n "$kib" ] || fail "not measured: $(session_end virtio)"
	info "thaw's own memory: $kib KiB, $(sed -n 's/^own_private_kib=//p' $state/measured) KiB of it private"
	within "KiB of its own" "$kib" 1 16384
}
