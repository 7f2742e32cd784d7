# SPDX-License-Identifier: BSD-2-Clause
#
# boot.sh - Debian's kernels from their first instruction to their end.

# The first guest: 6.1, two processors, one disk, ends by power-off.
guest_first() {
	boot first -k "$(kernel_image 6.1 plain)" -i /guest/initrd-6.1 \
		-p "$quirk quiet t=facts" -m 512M -c 2 -d /scratch/big.img
}

# The second: 6.12 in its other form, 5 GiB, a second disk that is read-only,
# and a reset after the first boot.
guest_second() {
	boot second -k "$(kernel_image 6.12 other)" -i /guest/initrd-6.12 \
		-p "$quirk quiet t=restart boots=3" -m 5G -c 2 --on-reboot=restart \
		-d /scratch/big.img -d /scratch/ro.img,ro
}

# Fail if a guest's log has lines at level error or worse.  Emulation on a busy
# machine can starve a guest until it complains of stalls: that says nothing.
log_is_quiet() {
	reached_end "$1"
	# 6.1 says this before it has read the ACPI tables, where it then finds
	# the ECAM; there is no access by ports on this machine.
	sed -n 's/^.*FACT log=//p' "$state/$1.log" |
		grep -v 'No config space access function found' >"$state/$1.bad"
	! grep -q -i -e stall -e lockup -e 'took too long' "$state/$1.bad" ||
		skip "the machine is too busy: $(head -n 1 "$state/$1.bad")"
	same "the kernel's log of errors" "$(head -n 3 "$state/$1.bad")" ""
}

case_boot_6_1() {
	guest_first
	reached_end first
	case $(fact_of first release) in
	6.1.*) ;;
	*) fail "release is '$(fact_of first release)'" ;;
	esac
}

case_boot_6_1_two_cpus() {
	guest_first
	same nproc "$(fact_of first nproc)" 2
}

case_boot_6_1_hwrng() {
	guest_first
	case $(fact_of first rng) in
	virtio_rng*) ;;
	*) fail "the generator is '$(fact_of first rng)'" ;;
	esac
	[ "$(fact_of first rng.bytes)" != "$(fact_of first rng.again)" ] ||
		fail "the same bytes twice"
}

case_boot_6_1_disk() {
	guest_first
	same "the disk" "$(fact_of first disk)" mounted
	same "the hash of 64 MiB" "$(fact_of first disk.md5)" "$(cat /guest/big.md5)"
	same "the cache mode" "$(fact_of first disk.cache)" "write back"
}

# A guest that sets an alarm of arm64's real-time clock is interrupted, once.
case_boot_6_1_alarm() {
	guest_first
	same "interrupts of the alarm" "$(fact_of first alarm)" 1
}

# The generation id is where the driver of arm64 finds it, in memory that it may
# map.
case_boot_6_12_generation() {
	guest_second
	same "the device" "$(fact_of second generation)" \
		/sys/bus/platform/drivers/vmgenid/40000000.rng
}

# A host disk without room: the guest's write fails, the host hears of it in one
# line for each operation, and can ask how often.
case_boot_disk_full() {
	mkdir -p /tmp/small
	mount -t tmpfs -o size=1m none /tmp/small || fail "no tmpfs"
	truncate -s 64M /tmp/small/disk.img
	mkfifo /tmp/full.in
	thaw run -k "$(kernel_image 6.1 plain)" -i /guest/initrd-6.1 \
		-p "$quirk quiet t=fill" -m 256M -d /tmp/small/disk.img \
		--control /tmp/full.sock <>/tmp/full.in \
		>$state/full.raw 2>$state/full.err &
	pid=$!
	wait_line $state/full.raw 'FACT fill=' 200 || kill -KILL $pid
	thaw ctl /tmp/full.sock stats >$state/full.stats
	echo go >/tmp/full.in
	wait $pid
	rc=$?
	umount /tmp/small
	tr -d '\r' <$state/full.raw >$state/full.log
	same "the write" "$(fact_of full fill)" failed
	same "the exit status" "$rc" 0
	same "what thaw said" "$(sed 's/ (.*//' $state/full.err | sort -u)" \
		"thaw: disk /tmp/small/disk.img: write: No space left on device"
	grep -q '"errors":{"read":0,"write":[1-9][0-9]*,' $state/full.stats ||
		fail "statistics: $(cat $state/full.stats)"
}

case_boot_6_1_power_off() {
	guest_first
	reached_end first
	same "the exit status" "$(status_of first)" 0
	same "what thaw said" "$(cat $state/first.err)" ""
}

case_boot_6_1_quiet_log() {
	guest_first
	log_is_quiet first
}

case_boot_6_12_other_form() {
	guest_second
	reached_end second
	case $(fact_of second release) in
	6.12.*) ;;
	*) fail "release is '$(fact_of second release)'" ;;
	esac
}

case_boot_6_12_five_gib() {
	guest_second
	within "memory seen, in KiB" "$(fact_of second mem_kib)" 5000000 5242880
}

case_boot_6_12_restart() {
	guest_second
	same "how often it booted" "$(grep -c 'FACT end=restart' $state/second.log)" 2
	same "the exit status" "$(status_of second)" 0
}

case_boot_6_12_disk_keeps() {
	guest_first
	guest_second
	same "what the first guest left" \
		"$(sed -n 's/^.*FACT disk.kept=//p' $state/second.log | head -n 1)" \
		"$(fact_of first release)"
	same "the hash of 64 MiB" "$(fact_of second disk.md5)" "$(cat /guest/big.md5)"
}

case_boot_6_12_read_only_disk() {
	guest_second
	same "the read-only flag" "$(fact_of second ro.flag)" 1
	same "a write" "$(fact_of second ro.write)" refused
	cmp /guest/ro.img /scratch/ro.img || fail "the file has changed"
}

case_boot_6_12_quiet_log() {
	guest_second
	log_is_quiet second
}

# The newest kernel in any of Debian's suites, whichever that is today.
case_boot_newest() {
	[ -e "/kernels/$RIG_ARCH-newest/release" ] || skip "the newest kernel was not fetched"
	[ -e /guest/initrd-newest ] || fail "mkinitrd failed for the newest kernel"
	boot newest -k "$(kernel_image newest plain)" -i /guest/initrd-newest \
		-p "$quirk quiet t=facts" -m 512M -c 2
	reached_end newest
	same "the exit status" "$(status_of newest)" 0
	same "the release" "$(fact_of newest release)" \
		"$(cat "/kernels/$RIG_ARCH-newest/release")"
	same processors "$(fact_of newest nproc)" 2
	log_is_quiet newest
	info "the newest kernel is $(fact_of newest release)"
}

case_reset_exit() {
	boot reset -k "$(kernel_image 6.12 other)" -i /guest/initrd-6.12 \
		-p "$quirk quiet t=reset" -m 128M
	reached_end reset
	same "the exit status" "$(status_of reset)" 82
}

# On arm64 a crashed kernel asks for a reset; on x86 reboot=t makes it
# triple fault, which counts as a crash.
case_crash() {
	boot crash -k "$(kernel_image 6.12 plain)" -i /guest/initrd-6.12 \
		-p "$quirk quiet t=crash panic=-1 reboot=t" -m 128M
	reached_end crash
	if [ "$RIG_ARCH" = x86 ]; then
		same "the exit status" "$(status_of crash)" 80
		grep -q rip $state/crash.err || grep -q RIP $state/crash.err ||
			fail "no registers shown"
	else
		same "the exit status" "$(status_of crash)" 82
	fi
}

# The power button is an input event in the guest (KEY_POWER is 116).  Debian's
# arm64 kernel has no driver for keys on a board, so no process could read it.
case_power_button() {
	thaw run -k "$(kernel_image 6.12 plain)" -i /guest/initrd-6.12 \
		-p "$quirk quiet t=button" -m 192M --control /tmp/button.sock \
		</dev/null >$state/button.raw 2>$state/button.err &
	pid=$!
	wait_line $state/button.raw 'FACT button.waits' 200 ||
		{ kill $pid; fail "no guest that waits"; }
	sleep 2
	rc=0
	thaw ctl /tmp/button.sock power-button >/dev/null || rc=$?
	[ $rc -eq 0 ] || { kill $pid; fail "ctl: status $rc"; }
	wait $pid || rc=$?
	tr -d '\r' <$state/button.raw >$state/button.log
	same "the exit status" $rc 0
	same "the event" "$(fact_of button button.event)" " 1 116"
}
