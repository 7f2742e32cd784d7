# SPDX-License-Identifier: BSD-2-Clause
#
# The clocks of guests: small ones that tell every clock, and Debian guests that
# are saved and restored a day and 400 days later, by the host's wall clock, with
# every watchdog set to panic.
#
# What a guest's clock may count at most is what the host's has counted while the
# guest ran, however slow the host is.

day=86400

# The host's uptime in whole seconds.
host_uptime() {
	cut -d. -f1 /proc/uptime
}

# Move the host's wall clock by $1 seconds.
move_clock() {
	date -s "@$(($(date +%s) + $1))" >/dev/null
}

# Print value $3 of the last whole line of processor $2 in file $1.
last_value() {
	tr -d '\r' <"$1" | sed -n "\$!s/^clock: cpu=$2 .*$3=\([0-9]*\) .*/\1/p" | tail -n 1
}

# Print the largest $2 that any processor has printed in file $1.
latest() {
	for cpu in 0 1; do
		last_value "$1" $cpu "$2"
	done | sort -n | tail -n 1
}

# Wait until both processors have printed more in file $1.
more_lines() {
	for cpu in 0 1; do
		want=$(($(grep -c "cpu=$cpu " "$1") + 3))
		for i in $(seq 300); do
			! grep -q FAIL "$1" || fail "$(grep FAIL "$1" | head -n 1)"
			[ "$(grep -c "cpu=$cpu " "$1")" -lt $want ] || break
			sleep 0.1
		done
		[ "$(grep -c "cpu=$cpu " "$1")" -ge $want ] ||
			fail "processor $cpu says nothing more: $(tail -n 3 "$1")"
	done
}

# Each clock in file $1 has counted, since the first line in file $2, at most
# what the host has since $started, less $stopped seconds.
counted() {
	limit=$(($(host_uptime) + 1 - started - stopped))
	for clock in counter_us kvm_us; do
		was=$(latest "$2" $clock) now=$(latest "$1" $clock)
		[ "$was" -ne 0 ] || continue
		within "what $clock has counted, in us" $((now - was)) 0 \
			$((limit * 1000000))
	done
}

# Stop for $1 seconds.
stand_still() {
	sleep "$1"
	# The host's uptime is cut to whole seconds.
	stopped=$((stopped + $1 - 1))
}

# The counter, kvmclock and timers of two vCPUs, over a pause and a restore.
case_clock_counters() {
	out=$state/counters sock=/tmp/counters.sock snap=/scratch/counters
	image=/guests/clock.elf
	[ "$RIG_ARCH" = x86 ] || image=/guests/clock.image
	started=$(host_uptime) stopped=0
	thaw run -k $image -c 2 -m 64 --control $sock </dev/null \
		>$out.raw 2>$out.err &
	pid=$!
	wait_line $out.raw 'cpu=1' 60 || fail "no line: $(cat $out.err)"
	more_lines $out.raw
	cp $out.raw $out.first
	thaw ctl $sock pause >/dev/null || fail "not paused"
	stand_still 10
	thaw ctl $sock resume >/dev/null || fail "not resumed"
	more_lines $out.raw
	counted $out.raw $out.first
	thaw snapshot --stop $sock $snap >/dev/null || fail "not saved"
	wait $pid || fail "status $?: $(cat $out.err)"
	cp $out.raw $out.saved
	move_clock $day
	stand_still 4
	thaw restore --control $sock $snap </dev/null \
		>$out.raw 2>$out.err &
	pid=$!
	wait_line $out.raw 'cpu=1' 60 || fail "no line: $(cat $out.err)"
	more_lines $out.raw
	counted $out.raw $out.first
	thaw ctl $sock quit >/dev/null
	wait $pid || fail "status $?: $(cat $out.err)"
	# With --clock=follow they jump by a day, and that is said.
	thaw restore --clock=follow --control $sock $snap </dev/null \
		>$out.raw 2>$out.follow &
	pid=$!
	wait_line $out.raw 'cpu=1' 60 || fail "no line: $(cat $out.follow)"
	more_lines $out.raw
	move_clock -$day
	thaw ctl $sock quit >/dev/null
	wait $pid
	grep -q 'clock=follow: .* jump' $out.follow || fail "no warning"
	was=$(latest $out.saved counter_us) now=$(latest $out.raw counter_us)
	[ $((now - was)) -ge $((day * 1000000)) ] ||
		fail "--clock=follow: counted $((now - was)) us in a day"
}

# Boot Debian $2 with $3 processors, save it as /scratch/$1, once.
save_clock() {
	[ ! -e "$state/$1.rc" ] || return 0
	mkfifo "/tmp/$1.in"
	thaw run -k "$(kernel_image "$2" plain)" -i "/guest/initrd-$2" -c "$3" \
		-p "$quirk quiet panic=-1 t=clock" -m 256M --control "/tmp/$1.sock" \
		<>"/tmp/$1.in" >"$state/$1.raw" 2>"$state/$1.err" &
	pid=$!
	rc=0
	wait_line "$state/$1.raw" 'FACT tick=4' 200 || rc=1
	if [ $rc -eq 0 ]; then
		thaw snapshot --stop "/tmp/$1.sock" "/scratch/$1" \
			>"$state/$1.said" 2>&1 || rc=2
		wait $pid || rc=3
	else
		kill -KILL $pid
	fi
	tr -d '\r' <"$state/$1.raw" >"$state/$1.log"
	echo $rc >"$state/$1.rc"
	same "how saving went" $rc 0
	same "the watchdogs that panic" "$(fact_of "$1" panics)" "1 1 1"
}

# Print the uptime that is printed first or last (head, tail) in guest $2's log.
uptime_of() {
	sed -n 's/^.*FACT tick=[0-9]* \([0-9]*\)\..*/\1/p' "$state/$2.log" |
		"$1" -n 1
}

# Restore /scratch/$2 as guest $1, $3 seconds later, and look at its clocks.
restore_clock() {
	name=$1 from=$2 gap=$3
	rm -f "/tmp/$name.in"
	mkfifo "/tmp/$name.in"
	move_clock "$gap"
	before=$(host_uptime)
	timeout -s KILL 240 thaw restore "/scratch/$from" <>"/tmp/$name.in" \
		>"$state/$name.raw" 2>"$state/$name.err" &
	pid=$!
	for i in $(seq 120); do
		[ "$(grep -c 'FACT tick=' "$state/$name.raw")" -lt 4 ] || break
		kill -0 $pid 2>/dev/null || break
		sleep 1
	done
	host=$(date +%s)
	echo "word-$name" >"/tmp/$name.in"
	rc=0
	wait $pid || rc=$?
	after=$(date +%s) ran=$(($(host_uptime) - before + 1))
	move_clock -"$gap"
	tr -d '\r' <"$state/$name.raw" >"$state/$name.log"
	echo $rc >"$state/$name.rc"
	reached_end "$name"
	same "the exit status" $rc 0
	! grep -i -E 'stall|lockup|hung|blocked for|BUG' "$state/$name.log" ||
		fail "$(grep -i -E 'stall|lockup|hung|blocked for|BUG' \
			"$state/$name.log" | head -n 1)"
	# The guest prints a tick each second.
	was=$(uptime_of tail "$from")
	set -- $(fact_of "$name" now) $(fact_of "$name" log)
	within "the uptime" "${1%.*}" "$was" $((was + ran + 2))
	# It was asked between the two uptimes; the two start at boot.
	within "the kernel log's clock" "$3" $((${1%.*} - 5)) $(($4 + 5))
	# The wall clock is behind, and /dev/ptp0 has the host's.
	[ "$2" -lt $((host - gap + 60)) ] || fail "the wall clock jumped to $2"
	set -- $(fact_of "$name" ptp)
	within "the time of /dev/ptp0" "${1:-0}" $((host - 1)) $((after + 1))
	within "the wall clock, once set" "$(fact_of "$name" set)" \
		$((host - 1)) $((after + 1))
}

# Restore snapshot $1 so often as asked, with both gaps.
restore_clocks() {
	for i in $(seq "$repeat"); do
		restore_clock "$1-day" "$1" $day
		restore_clock "$1-400-days" "$1" $((400 * day))
	done
	info "$1: $((2 * repeat)) restores without a stall"
}

case_clock_one_cpu() {
	save_clock clock-one 6.1 1
	restore_clocks clock-one
}

case_clock_two_cpus() {
	save_clock clock-two 6.12 2
	restore_clocks clock-two
}
