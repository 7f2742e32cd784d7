# SPDX-License-Identifier: BSD-2-Clause
#
# exec-warm.sh - commands in guests that were saved by an earlier run.

# How many runs follow each other, or are killed, in the long cases.
warm_runs=256
warm_kills=100

# Print member $2 of the result of run $1.
warm_result() {
	sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" \
		"$state/exec-$1.json"
}

# Run a command as $1 with kernel $2, which has -warm; options and command follow.
warm_run() {
	run=$1 kernel=$2
	shift 2
	rm -f "$state/exec-$run.rc"
	exec_run "$run" "$kernel" --result "$state/exec-$run.json" "$@" </dev/null
}

# Fail unless run $1 came from the cache, or booted ($2: true, false).
warm_restored() {
	[ -s "$state/exec-$1.json" ] ||
		fail "no result of $1: $(tail -n 1 "$state/exec-$1.err")"
	same "restored, of $1" "$(warm_result "$1" restored)" "$2"
}

# Have a guest with kernel $1 and one directory of --rw in the cache.
warm_prime() {
	mkdir -p /tmp/exec-prime
	[ ! -e "$state/exec-prime-$1.rc" ] || return 0
	exec_run "prime-$1" "$1-warm" --rw /tmp/exec-prime \
		--result "$state/exec-prime-$1.json" true </dev/null
	exec_status "prime-$1" 0
}

# What the next run must see anew: files, the clock, random numbers.
warm_look() {
	cat <<-END
		cat /tmp/exec-prime/file; ls /tmp/exec-prime
		date +%s; cat /proc/sys/kernel/random/uuid
	END
}

# Two runs from one snapshot: neither knows the other, and both know the host.
warm_fresh() {
	warm_prime "$1"
	thaw cache list >"$state/warm-list" 2>&1
	grep -q "kernel $(cat "/kernels/$RIG_ARCH-$1/release")" \
		"$state/warm-list" || fail "the list: $(cat "$state/warm-list")"
	echo one >/tmp/exec-prime/file
	warm_run "first-$1" "$1-warm" --rw /tmp/exec-prime sh -c "$(warm_look)"
	exec_status "first-$1" 0
	warm_restored "first-$1" true
	echo two more >/tmp/exec-prime/file
	touch /tmp/exec-prime/new
	sleep 3
	warm_run "second-$1" "$1-warm" --rw /tmp/exec-prime sh -c "$(warm_look)"
	exec_status "second-$1" 0
	warm_restored "second-$1" true
	rm /tmp/exec-prime/new
	same "the first run's files" "$(head -n 2 "$state/exec-first-$1.out" |
		tr '\n' ' ')" "one file "
	same "the second run's files" "$(head -n 3 "$state/exec-second-$1.out" |
		tr '\n' ' ')" "two more file new "
	clock=$(tail -n 2 "$state/exec-second-$1.out" | head -n 1)
	now=$(date +%s)
	within "the clock" "$clock" $((now - 300)) "$now"
	[ "$(tail -n 1 "$state/exec-first-$1.out")" != \
		"$(tail -n 1 "$state/exec-second-$1.out")" ] ||
		fail "both runs have the same random numbers"
	info "cold and warm, $1: ready after $(warm_result "prime-$1" ready_us)" \
		"and $(warm_result "second-$1" ready_us) us, in all" \
		"$(warm_result "prime-$1" total_us) and" \
		"$(warm_result "second-$1" total_us) us"
	info "the warm one: entered, ready, started, ended: $(for m in entered \
		ready started ended; do warm_result "second-$1" ${m}_us; done |
		tr '\n' ' ')us"
}

case_exec_warm_6_1() {
	warm_fresh 6.1
}

case_exec_warm_6_12() {
	warm_fresh 6.12
}

# The same as from a guest that booted.
case_exec_warm_streams_6_1() {
	warm_prime 6.1
	exec_streams 6.1-warm
	exec_surroundings 6.1-warm
	grep -q '"restored": true' "$state/exec-all-6.1-warm.json" ||
		fail "it booted"
}

case_exec_warm_streams_6_12() {
	warm_prime 6.12
	exec_streams 6.12-warm
	exec_surroundings 6.12-warm
	grep -q '"restored": true' "$state/exec-all-6.12-warm.json" ||
		fail "it booted"
}

# Each way to populate the memory of a saved guest.  The working set is there after
# the first run that could record it.
case_exec_warm_pagers() {
	warm_prime 6.12
	modes='map eager uffd'
	[ -n "$RIG_STOCK" ] || modes="$modes userfault"
	for pager in $modes uffd; do
		warm_run "pager-$pager" 6.12-warm --rw /tmp/exec-prime \
			--pager=$pager --stats -- sh -c 'echo out; exit 9'
		same "the status with $pager" "$(cat "$state/exec-pager-$pager.rc")" 9
		same "the output" "$(cat "$state/exec-pager-$pager.out")" out
		warm_restored "pager-$pager" true
	done
	[ -n "$(find "$XDG_CACHE_HOME" -name workingset)" ] ||
		fail "no working set was recorded"
	[ -z "$RIG_STOCK" ] || return 0
	for how in boots restored; do
		warm_run memfd-$how 6.12-warm --memory=guest_memfd \
			sh -c 'exit 11'
		exec_status memfd-$how 11
	done
	warm_restored memfd-boots false
	warm_restored memfd-restored true
}

# The outcomes of a saved guest that does not get to the end of its command.
case_exec_warm_ends() {
	warm_prime 6.12
	warm_run warm-panic 6.12-warm --rw /tmp/exec-prime -- \
		sh -c 'echo c >/proc/sysrq-trigger; sleep 1000'
	exec_ended warm-panic 122 'panicked: sysrq triggered crash' panicked
	warm_run warm-timeout 6.12-warm --rw /tmp/exec-prime --timeout 20 \
		sleep 1000
	exec_ended warm-timeout 124 'timed out' timed-out
	warm_run warm-missing 6.12-warm --rw /tmp/exec-prime no-such-command
	exec_ended warm-missing 127 'no-such-command: .*No such file' not-started
	for name in warm-panic warm-timeout warm-missing; do
		warm_restored $name true
	done
	# None of them is the saved guest's fault.
	warm_run warm-again 6.12-warm --rw /tmp/exec-prime true
	warm_restored warm-again true
}

# A command that ruins its guest.
case_exec_warm_misbehave() {
	warm_prime 6.12
	# Each page is slow here: a small guest, which boots.
	warm_run memory 6.12 -m 128M /guest/misbehave memory
	exec_status memory 137
	same "the kind" "$(warm_result memory kind):$(warm_result memory signal)" \
		killed:9
	warm_run init 6.12-warm --rw /tmp/exec-prime /guest/misbehave init
	exec_ended init 122 'panicked: Attempted to kill init' panicked
	# Since 6.12 the kernel's fair server leaves the init a twentieth.
	warm_prime 6.1
	warm_run starve 6.1-warm --rw /tmp/exec-prime --hang-timeout 30 \
		/guest/misbehave starve
	exec_ended starve 123 'guest hung' hung
}

# An ordinary user without rights to userfaultfd, whose files are the user's.
case_exec_warm_user() {
	chmod 666 /dev/kvm
	mkdir -p /tmp/exec-user /tmp/user-cache
	chown 1000:1000 /tmp/exec-user /tmp/user-cache
	for how in boots restored; do
		rm -f /tmp/exec-user/mine
		/guest/asuser 1000 sh -c ". /src/tests/rig/cases/lib.sh
			. /src/tests/rig/cases/exec.sh
			export XDG_CACHE_HOME=/tmp/user-cache
			cd /tmp/exec-user && exec_in 6.12-warm --rw . \
				--result /tmp/exec-user/$how.json -- sh -c \
				'id -u; touch mine; cat /proc/self/status'" \
			>"$state/exec-$how.out" 2>"$state/exec-$how.err" </dev/null ||
			fail "$how: $(tail -n 1 "$state/exec-$how.err")"
		same "the user" "$(head -n 1 "$state/exec-$how.out")" 1000
		same "the owner" "$(stat -c %u:%g /tmp/exec-user/mine)" 1000:1000
		cp "/tmp/exec-user/$how.json" "$state/exec-$how.json"
	done
	warm_restored boots false
	warm_restored restored true
}

# Boot kernel $1, and restore it.
warm_kernel() {
	[ -e "/kernels/$RIG_ARCH-$1/release" ] || skip "no such kernel here"
	for how in boots restored; do
		warm_run "$how-$1" "$1-warm" sh -c 'uname -r; exit 5'
		exec_status "$how-$1" 5
		same "the kernel" "$(cat "$state/exec-$how-$1.out")" \
			"$(cat "/kernels/$RIG_ARCH-$1/release")"
	done
	warm_restored "boots-$1" false
	warm_restored "restored-$1" true
	info "$1: ready after $(warm_result "boots-$1" ready_us) and" \
		"$(warm_result "restored-$1" ready_us) us"
}

# Debian's newest cloud kernel.
case_exec_newest() {
	warm_kernel newest
}

# Debian's newest kernel for all machines.
case_exec_generic() {
	warm_kernel host
}

# Modules that the guest's kernel decompresses.
case_exec_compressed() {
	[ -e "$(find /guest/modules-xz -name 'overlay.ko.xz')" ] ||
		fail "no compressed module"
	warm_run compressed 6.12 --modules /guest/modules-xz sh -c 'exit 8'
	exec_status compressed 8
}

# A saved guest that is damaged is replaced, and the command runs.
case_exec_warm_damaged() {
	warm_prime 6.12
	for file in $(find "$XDG_CACHE_HOME" -name state); do
		echo >"$file"
	done
	warm_run damaged 6.12-warm --rw /tmp/exec-prime sh -c 'exit 4'
	same "the status" "$(cat "$state/exec-damaged.rc")" 4
	warm_restored damaged false
	warm_run replaced 6.12-warm --rw /tmp/exec-prime sh -c 'exit 4'
	exec_status replaced 4
	warm_restored replaced true
}

# Run commands at once from one saved guest; print what each has of its own memory.
case_exec_warm_ten_at_once() {
	warm_prime 6.12
	for i in 0 1 2 3 4 5 6 7 8 9; do
		(
			rc=0
			exec_in 6.12-warm --rw /tmp/exec-prime -- \
				sh -c "sleep 20; exit $i" </dev/null \
				>/dev/null 2>"$state/ten-$i.err" || rc=$?
			echo $rc >"$state/ten-$i"
		) &
	done
	sleep 15
	info "ten guests at once, PSS in KiB: $(cat /proc/[0-9]*/smaps_rollup \
		2>/dev/null | awk '/^Pss:/ { s += $2 } END { print s }')"
	wait
	for i in 0 1 2 3 4 5 6 7 8 9; do
		same "status $i" "$(cat "$state/ten-$i"):$(cat \
			"$state/ten-$i.err")" "$i:"
	done
}

# Print the time in ms, to 10 ms.
warm_ms() {
	echo "$(cut -d ' ' -f 1 /proc/uptime | tr -d .)0"
}

# Times of runs that boot and that are restored, and of a bare restore of the same
# guest, until its first vCPU runs; in ms.
case_exec_figures() {
	warm_prime 6.12
	for i in 1 2 3 4 5; do
		for how in cold warm; do
			series=6.12
			[ $how = cold ] || series=6.12-warm
			from=$(warm_ms)
			exec_in $series --rw /tmp/exec-prime -- \
				sh -c 'echo; sleep 2' </dev/null | {
				head -c 1 >/dev/null
				echo $(($(warm_ms) - from)) \
					>>"$state/figures-byte-$how"
				cat >/dev/null
			}
			from=$(warm_ms)
			exec_in $series --rw /tmp/exec-prime true </dev/null
			echo $(($(warm_ms) - from)) \
				>>"$state/figures-true-$how"
		done
		snapshot=$(find "$XDG_CACHE_HOME" -name snapshot)
		timeout -s KILL 100 thaw restore --pager=map --stats=json \
			--share "/:root" --share "/tmp/exec-prime:rw" \
			--control /tmp/figures.sock "$snapshot" </dev/null \
			>"$state/figures-restore" 2>&1 &
		until thaw ctl /tmp/figures.sock quit >/dev/null 2>&1; do :; done
		wait
		grep -o "\"entered_ns\": *[0-9]*" "$state/figures-restore" \
			>>"$state/figures-bare" || :
	done
	for what in byte-cold byte-warm true-cold true-warm bare; do
		info "$what: $(sort -n "$state/figures-$what" | tr '\n' ' ')"
	done
	info "$(tail -n 3 "$state/figures-restore" | tr '\n' ' ' | cut -c 1-600)"
}

# Our own unit tests, a tenth in each of ten guests at once, whose root is a Debian.
case_exec_project() {
	[ -e /scratch/project ] || skip "no unit tests here"
	mount_debian
	cp -r /scratch/project $debian/srv/project
	exec_image 6.12
	for i in 0 1 2 3 4 5 6 7 8 9; do
		(
			rc=0
			exec_limit=3000
			exec_in 6.12-warm --root $debian -w /tmp \
				--hang-timeout 2000 \
				-e LD_LIBRARY_PATH=/srv/project sh -c "
				for t in /srv/project/test_*; do
					n=\$((\${n:--1} + 1))
					[ \$((n % 10)) -eq $i ] && [ -x \$t ] || continue
					rc=0
					\$t >/tmp/said 2>&1 || rc=\$?
					case \$rc in
					0) echo ok \${t##*/} ;;
					77) echo skip \${t##*/}; cat /tmp/said ;;
					*) echo not ok \${t##*/}; cat /tmp/said ;;
					esac
				done" </dev/null >"$state/project-$i.out" \
				2>"$state/project-$i.err" || rc=$?
			echo $rc >"$state/project-$i"
		) &
	done
	wait
	info "unit tests in ten guests: $(cat "$state"/project-?.out |
		grep -c '^ok ') ok, $(cat "$state"/project-?.out |
		grep -c '^not ok ') not"
	for i in 0 1 2 3 4 5 6 7 8 9; do
		same "status $i" "$(cat "$state/project-$i"):$(cat \
			"$state/project-$i.err")" "0:"
		! grep '^not ok' "$state/project-$i.out" || fail "in guest $i"
		grep -q '^ok' "$state/project-$i.out" || fail "no test in guest $i"
	done
}

# What runs may leave: nothing but complete entries of the cache.
warm_left() {
	left=$(find "$XDG_CACHE_HOME" -name '*.tmp' -o -name '.*' \
		-o -name '*.old' -o -name '*.new' ! -name hashes.new | head -n 3)
	[ -z "$left" ] || fail "left in the cache: $left"
	! pidof thaw >/dev/null || fail "a process is left"
}

# Every exit status, from one saved guest.
case_exec_warm_codes() {
	warm_prime 6.12
	code=0
	while [ $code -lt $warm_runs ]; do
		rc=0
		exec_in 6.12-warm --rw /tmp/exec-prime sh -c "exit $code" \
			</dev/null >"$state/warm-code" 2>&1 || rc=$?
		same "the status" "$rc:$(cat "$state/warm-code")" "$code:"
		code=$((code + 1))
	done
	warm_left
}

# Runs of a saved guest that are killed at any moment.
case_exec_warm_kills() {
	warm_prime 6.12
	count=0
	while [ $count -lt $warm_kills ]; do
		thaw exec -k "$(kernel_image 6.12 plain)" \
			--modules "/kernels/$RIG_ARCH-6.12/modules" \
			-p "$quirk watchdog_thresh=60" -m 256M \
			--rw /tmp/exec-prime sleep 1000 </dev/null \
			>/dev/null 2>&1 &
		pid=$!
		# Up to 4 seconds.
		usleep $((($(head -c 2 /dev/urandom | od -A n -t u2) % 400) * 10000))
		kill -KILL $pid
		wait $pid 2>/dev/null || :
		count=$((count + 1))
	done
	warm_run after-kills 6.12-warm --rw /tmp/exec-prime sh -c 'exit 6'
	exec_status after-kills 6
	warm_restored after-kills true
	warm_left
}
