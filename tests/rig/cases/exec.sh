# SPDX-License-Identifier: BSD-2-Clause
#
# exec.sh - commands in guests, by thaw exec: their streams, their surroundings,
# and each way to end.  The root of the guests is this host's.

# How many bytes go through standard input, output and error, and how many seconds
# a run may take.  100 MB take long, because each byte is emulated twice.
exec_bytes=4000000
exec_limit=400

# Saved guests are kept here: see exec-warm.sh.  On a share each look at a file that
# is mapped takes milliseconds, and there are thousands in a restore.
export XDG_CACHE_HOME=/tmp/cache

# The image of this host's own kernel, if the rig has built it.
host_kernel() {
	for built in /host-kernel/vmlinux /host-kernel/Image; do
		[ ! -e "$built" ] || echo "$built"
	done
}

# The modules of kernel $1, made from what is built in for that of the host.
exec_modules() {
	[ "$1" = host ] || { echo "/kernels/$RIG_ARCH-$1/modules"; return; }
	mkdir -p /tmp/modules-host
	for module in virtio_pci virtio_console virtiofs overlay; do
		echo "kernel/$module.ko"
	done >/tmp/modules-host/modules.builtin
	echo /tmp/modules-host
}

# Put the image of kernel $1 at $image.  The share of the rig caches nothing.
exec_image() {
	image=/tmp/image-$1
	[ ! -e "$image" ] || return 0
	# For any user, whatever the umask here.
	if [ "$1" = host ]; then
		cp "$(host_kernel)" "$image.$$"
	else
		cp "$(kernel_image "$1" plain)" "$image.$$"
	fi
	chmod 644 "$image.$$"
	mv "$image.$$" "$image"
}

# Run thaw exec with kernel $1, of Debian or `host'; the rest are options and the
# command.  With -warm after the kernel's name the guest may come from the cache.
exec_in() {
	series=${1%-warm} snapshot=off
	[ "$series" = "$1" ] || snapshot=auto
	shift
	exec_image "$series"
	timeout -s KILL $exec_limit thaw exec -k "$image" \
		--modules "$(exec_modules "$series")" \
		--snapshot=$snapshot -p "$quirk watchdog_thresh=60" -m 256M --hang-timeout 200 "$@"
}

# Before run $1 is killed, keep what its threads wait for.
exec_watch() {
	sleep $((exec_limit - 100))
	for task in "/proc/$(pidof thaw | cut -d ' ' -f 1)/task"/*; do
		echo "$(cat "$task/comm"): $(cat "$task/wchan")" \
			"$(cat "$task/syscall")"
	done >"$state/$1.threads" 2>&1
}

# The same for run $1, whose output and status are kept; one that the emulator
# spoils is run once more.
exec_run() {
	name=exec-$1
	shift
	[ ! -e "$state/$name.rc" ] || return 0
	start=$(cut -d' ' -f1 /proc/uptime)
	for try in 1 2; do
		rc=0
		exec_watch "$name" &
		watch=$!
		exec_in "$@" >"$state/$name.out" 2>"$state/$name.err" || rc=$?
		kill $watch 2>/dev/null
		if [ $rc -eq 137 ] && [ -e "$state/$name.threads" ] &&
			[ $try -eq 1 ]; then
			info "$name: no end after $exec_limit s, try $try:" \
				"$(tr '\n' ';' <"$state/$name.threads")" \
				"$(tail -n 3 "$state/$name.err" | tr '\n' ';')"
		elif grep -q 'exit during event delivery' "$state/$name.err"; then
			info "$name: false exit of the emulator, try $try"
		else
			break
		fi
	done
	end=$(cut -d' ' -f1 /proc/uptime)
	echo $rc >"$state/$name.rc"
	info "$name: $(echo "$end $start" | awk '{ print $1 - $2 }') s in all"
}

# Fail unless run $1 ended with status $2.
exec_status() {
	same "the status of $1" "$(cat "$state/exec-$1.rc"):$(tail -n 3 \
		"$state/exec-$1.err" | tr '\n' '|')" "$2:${3-}"
}

# Fail unless run $1 ended with status $2, said $3 last on standard error, which
# is a pattern of grep, and has the kind $4 in its result.
exec_ended() {
	same "the status of $1" "$(cat "$state/exec-$1.rc")" "$2"
	tail -n 1 "$state/exec-$1.err" | grep -q "^thaw: .*$3" ||
		fail "$1 said '$(tail -n 1 "$state/exec-$1.err")', not '$3'"
	grep -q "\"kind\": \"$4\"" "$state/exec-$1.json" ||
		fail "the result of $1 is $(tr -d '\n' <"$state/exec-$1.json")"
	grep -q "\"code\": $2," "$state/exec-$1.json" ||
		fail "the code of $1: $(grep code "$state/exec-$1.json")"
}

# The hash of the names, modes, sizes and times of this host's files that a guest
# could change: not those of other file systems, whose directories are skipped too.
exec_tree() {
	find / -xdev \( -path /tmp -o -path /proc -o -path /sys -o -path /dev \
		-o -path /run -o -path /scratch \) -prune -o -exec ls -ldn {} + \
		2>/dev/null | md5sum | cut -d' ' -f1
}

# Everything that one guest can show, with kernel $1.
exec_all() {
	name=all-$1
	[ ! -e "$state/exec-$name.rc" ] || return 0
	dir=/tmp/exec-$1
	rm -rf "$dir"
	mkdir -p "$dir"
	exec_tree >"$state/exec-$name.before"
	head -c $exec_bytes /guest/big.img >/tmp/exec-input
	(
		cd "$dir" && umask 027 &&
			PASSED=yes LANG=C exec_run "$name" "$1" --rw . \
				-e GIVEN='a b=c' -e PASSED -e MISSING \
				--result "$state/exec-$name.json" -- \
				sh /src/tests/rig/cases/exec-guest all "$dir" \
				"one
two" "it's \"quoted\" \$HOME \\" '' </tmp/exec-input
	)
	exec_tree >"$state/exec-$name.after"
	for stream in out err; do
		md5sum <"$state/exec-$name.$stream" >"$state/exec-$name.$stream.md5"
		# Not into the logs.
		tail -c 300 "$state/exec-$name.$stream" >"$state/exec-$name.tail"
		mv "$state/exec-$name.tail" "$state/exec-$name.$stream"
	done
	md5sum </tmp/exec-input >"$state/exec-$name.in.md5"
	rm /tmp/exec-input
}

# Print fact $2 of the guest with kernel $1.
exec_fact() {
	sed -n "s/^$2=//p" "/tmp/exec-$1/facts"
}

# Print the hash of an argument, as the guest does.
exec_hash() {
	printf %s "$1" | md5sum | cut -d' ' -f1
}

# The streams of a command, byte for byte, and its status.
exec_streams() {
	exec_all "$1"
	same "the status" "$(cat "$state/exec-all-$1.rc")" 7
	for stream in out err; do
		same "standard $stream" "$(cat "$state/exec-all-$1.$stream.md5")" \
			"$(cat "$state/exec-all-$1.in.md5")"
	done
}

case_exec_streams_large() {
	exec_bytes=100000000 exec_limit=3000
	exec_streams 6.12
}

# What a command finds, and that nothing but --rw has changed.
exec_surroundings() {
	exec_all "$1"
	[ -e "/tmp/exec-$1/facts" ] ||
		fail "no facts; status $(cat "$state/exec-all-$1.rc"):" \
			"$(tail -n 2 "$state/exec-all-$1.err" | tr '\n' '|')"
	same "the arguments" "$(exec_fact "$1" arg | tr '\n' ' ')" \
		"$(exec_hash "one
two") $(exec_hash "it's \"quoted\" \$HOME \\") $(exec_hash '') "
	same "the environment" "$(exec_fact "$1" given)" \
		"a b=c, passed=yes, path=$PATH, home=/"
	same "the directory" "$(exec_fact "$1" cwd)" "/tmp/exec-$1"
	same "the user" "$(exec_fact "$1" id)" "0:0 0"
	same "the umask" "$(exec_fact "$1" umask)" 0027
	same "the root" "$(exec_fact "$1" root)" overlay
	same "a file in the root" "$(exec_fact "$1" written)" layer
	same "a file in /tmp" "$(exec_fact "$1" tmp)" tmp
	same "/dev/null" "$(exec_fact "$1" null)" ""
	same "the kernel" "$(exec_fact "$1" release)" \
		"$(cat "/kernels/$RIG_ARCH-${1%-warm}/release")"
	same "the host name" "$(exec_fact "$1" hostname)" thaw
	same "open descriptors" "$(exec_fact "$1" fds)" "0 1 2 3 "
	same "zombies" "$(exec_fact "$1" zombies)" 0
	now=$(date +%s)
	within "the clock" "$(exec_fact "$1" clock)" $((now - 400)) "$now"
	same "the mode of a new file" "$(stat -c '%a %u' "/tmp/exec-$1/facts")" \
		"640 0"
	same "the host's files" "$(cat "$state/exec-all-$1.after")" \
		"$(cat "$state/exec-all-$1.before")"
	[ ! -e /exec-written ] || fail "the host has the guest's file"
	grep -q "\"kernel\": \"$(exec_fact "$1" release)\"" \
		"$state/exec-all-$1.json" || fail "no kernel in the result"
	info "exec $1: $(grep -E '(ready|started|ended)_us' \
		"$state/exec-all-$1.json" | tr -d '\n')"
}

case_exec_streams_6_1() {
	exec_streams 6.1
}

case_exec_surroundings_6_1() {
	exec_surroundings 6.1
}

case_exec_streams_6_12() {
	exec_streams 6.12
}

# A root whose own links name the directories that the kernel's file systems go to.
case_exec_root_links() {
	root=/tmp/exec-links
	rm -rf $root
	mkdir -p $root/bin $root/proc $root/sys $root/devices $root/var/tmp $root/var/run
	cp "$(readlink -f /bin/busybox)" $root/bin/busybox
	ln -s /devices $root/dev
	ln -s ../var/tmp $root/tmp
	ln -s var/run $root/run
	for layer in '' ,ro; do
		exec_run "links$layer" 6.12-warm --root $root$layer -w / \
			/bin/busybox sh -c 'busybox echo x >/tmp/new
			busybox mount | while read -r what on where rest; do
				busybox echo -n "$where "
			done
			busybox cat /var/tmp/new /dev/null; busybox ls -d /dev/fd'
		exec_status "links$layer" 0
		for where in /proc /sys /devices /devices/pts /devices/shm /var/run \
			/var/tmp; do
			grep -q "$where " "$state/exec-links$layer.out" ||
				fail "nothing at $where: $(cat "$state/exec-links$layer.out")"
		done
		grep -q 'x$' "$state/exec-links$layer.out" || fail "no file in /tmp"
		grep -q '^/dev/fd$' "$state/exec-links$layer.out" || fail "no /dev/fd"
	done
	[ ! -e $root/var/tmp/new ] || fail "the host has the guest's file"
	rm -rf $root
}

case_exec_surroundings_6_12() {
	exec_surroundings 6.12
}

# Success is silent, and standard input may be nothing.
case_exec_codes() {
	exec_run true 6.12 true </dev/null
	exec_status true 0
	same "what it said" "$(cat "$state/exec-true.out")" ""
	# Most of the others are restored: a boot takes longest here.
	exec_run null 6.12-warm -- sh -c 'cat; exit 255' </dev/null
	exec_status null 255
	exec_run closed 6.12-warm -- sh -c '[ -e /proc/self/fd/0 ] && exit 1; exit 64' <&-
	exec_status closed 64
	exec_run killed 6.1 --result "$state/exec-killed.json" -- \
		sh -c 'kill -KILL $$' </dev/null
	exec_status killed 137
	grep -q '"signal": 9' "$state/exec-killed.json" || fail "no signal 9"
}

# Commands that are not there, or none.
case_exec_not_started() {
	exec_run missing 6.12-warm --result "$state/exec-missing.json" \
		no-such-command </dev/null
	exec_ended missing 127 'no-such-command: .*No such file' not-started
	exec_run plain 6.12-warm --result "$state/exec-plain.json" \
		/src/README.md </dev/null
	exec_ended plain 126 '/src/README.md: .*Permission denied' not-started
}

# The guest ends before the command does.
case_exec_panic() {
	exec_run panic 6.1 --result "$state/exec-panic.json" -- \
		sh -c 'echo c >/proc/sysrq-trigger; sleep 1000' </dev/null
	exec_ended panic 122 'panicked: sysrq triggered crash' panicked
	grep -q 'Call [Tt]race' "$state/exec-panic.err" ||
		fail "no lines of the kernel: $(tail -n 3 "$state/exec-panic.err")"
	grep -q 'Kernel panic - not syncing' "$state/exec-panic.json" ||
		fail "no lines of the kernel in the result"
}

case_exec_reset() {
	exec_run reset 6.12 --result "$state/exec-reset.json" -- \
		sh -c 'echo b >/proc/sysrq-trigger; sleep 1000' </dev/null
	exec_ended reset 121 'guest reset' reset
	exec_run off 6.12-warm --result "$state/exec-off.json" -- \
		sh -c 'echo o >/proc/sysrq-trigger; sleep 1000' </dev/null
	exec_ended off 120 'guest powered off' ended
}

# A guest that is paused is silent, as one that hangs is.
case_exec_hung() {
	rm -f /tmp/exec-hung.sock
	(
		for i in $(seq 200); do
			[ ! -e /tmp/exec-hung ] || break
			sleep 1
		done
		thaw ctl /tmp/exec-hung.sock pause
	) >/dev/null 2>&1 &
	rm -f /tmp/exec-hung
	exec_run hung 6.12-warm --result "$state/exec-hung.json" --rw /tmp \
		--hang-timeout 25 --control /tmp/exec-hung.sock -- \
		sh -c 'touch /tmp/exec-hung; sleep 1000' </dev/null
	exec_ended hung 123 'guest hung' hung
}

# The guest's processor with its interrupts off.  No kernel of Debian can be asked
# for that; this one is the host's, which has LKDTM.
case_exec_interrupts_off() {
	[ -n "$(host_kernel)" ] || skip "this host's kernel has no LKDTM"
	exec_run interrupts host --result "$state/exec-interrupts.json" \
		--hang-timeout 25 -- sh -c 'mount -t debugfs none /sys/kernel/debug
			echo HARDLOCKUP >/sys/kernel/debug/provoke-crash/DIRECT
			echo it goes on' </dev/null
	exec_ended interrupts 123 'guest hung' hung
	same "its output" "$(cat "$state/exec-interrupts.out")" ''
}

# A busy host may not come to the command before that.
case_exec_timeout() {
	exec_run timeout 6.12-warm --result "$state/exec-timeout.json" \
		--timeout 20 -- sh -c 'echo started; sleep 1000' </dev/null
	exec_ended timeout 124 'timed out' timed-out
}

# SIGINT is the command's, SIGTERM is thaw's.
case_exec_signals() {
	for number in 2 15; do
		rm -f /tmp/exec-signal
		(
			for i in $(seq 200); do
				[ ! -e /tmp/exec-signal ] || break
				sleep 1
			done
			pid=$(pidof thaw) && kill -$number $pid
		) &
		exec_run signal-$number 6.12-warm --rw /tmp -- sh -c \
			'trap "echo trapped; exit 9" INT; touch /tmp/exec-signal
			while :; do sleep 1; done' </dev/null
	done
	exec_status signal-2 9
	same "what it said" "$(cat "$state/exec-signal-2.out")" trapped
	exec_status signal-15 143
}

# A terminal: its size, raw mode, Ctrl-C, and the way out.
case_exec_terminal() {
	rc=0
	timeout -s KILL 300 ptydrive -t 200 -l "$state/exec-tty.raw" \
		'expect:size 24 80' raw 'resize:50x132' 'expect:resized' \
		'send:\x03' 'expect:interrupted' -- \
		sh -c ". /src/tests/rig/cases/lib.sh
			. /src/tests/rig/cases/exec.sh
			exec_in 6.12-warm sh /src/tests/rig/cases/exec-guest tty" \
		2>"$state/exec-tty.err" || rc=$?
	same "the status" "$rc:$(tail -n 2 "$state/exec-tty.err" | tr '\n' '|')" "5:"
	rc=0
	timeout -s KILL 300 ptydrive -t 200 -l "$state/exec-leave.raw" \
		'expect:size 24 80' 'send:\x01x' -- \
		sh -c ". /src/tests/rig/cases/lib.sh
			. /src/tests/rig/cases/exec.sh
			exec_in 6.12-warm sh /src/tests/rig/cases/exec-guest tty" \
		2>"$state/exec-leave.err" || rc=$?
	same "the status" "$rc:$(tail -n 2 "$state/exec-leave.err" | tr '\n' '|')" "120:"
}
