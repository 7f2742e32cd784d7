# SPDX-License-Identifier: BSD-2-Clause
#
# bad-input.sh - what thaw is given by mistake or malice: one clear line and the
# documented status, always.  64 is a command line that makes no sense, 70 a
# file or a host that will not do.

# A guest that would boot, but for what a case adds or overrides.
good() {
	kernel_image 6.12 plain
}

case_bad_kvm() {
	refuses 70 thaw run --kvm /dev/no-kvm
	refuses 70 thaw run --kvm /dev/null
	mv /dev/kvm /dev/kvm.away
	refuses 70 thaw run
	mv /dev/kvm.away /dev/kvm
	chmod 600 /dev/kvm
	mkdir -p /etc
	echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd
	refuses 70 su nobody -s /bin/sh -c 'exec /rig/bin/thaw run'
	grep -qi -e permission -e denied $state/err || fail "no word on permission: $(cat $state/err)"
}

case_bad_kernel_file() {
	refuses 70 thaw run -k /no/such/kernel
	: >/tmp/empty
	refuses 70 thaw run -k /tmp/empty
	refuses 70 thaw run -k /tmp
	refuses 70 thaw run -k /src/tests/rig/rig
	head -c 100000 /dev/urandom >/tmp/noise
	refuses 70 thaw run -k /tmp/noise
	head -c 1000000 /dev/zero >/tmp/zeros
	refuses 70 thaw run -k /tmp/zeros
}

# Sizes that end within each part of the file: headers, tables, payload.  (What
# follows an ELF file's last segment is not needed to boot.)
case_bad_kernel_truncated() {
	for form in plain other; do
		image=$(kernel_image 6.12 $form)
		size=$(wc -c <"$image")
		for n in 1 15 63 64 100 496 512 600 700 1000 4096 17000 \
			$((size / 2)) $((size - 1)); do
			[ "$form$n" != "other$((size - 1))" ] ||
				[ "$RIG_ARCH" != x86 ] || continue
			head -c "$n" "$image" >/tmp/cut
			refuses 70 thaw run -m 512M -k /tmp/cut
		done
	done
	rm -f /tmp/cut
}

# A kernel for another architecture, and compressions that thaw does not read.
case_bad_kernel_other() {
	case $RIG_ARCH in
	x86) other=/kernels/arm64-6.12/Image ;;
	arm64) other=/kernels/x86-6.12/vmlinuz ;;
	esac
	[ -e $other ] || skip "the kernel of the other architecture is not in the cache"
	refuses 70 thaw run -m 512M -k $other
	[ "$RIG_ARCH" = x86 ] || refuses 70 thaw run -m 512M -k /kernels/x86-6.12/vmlinux
	for f in /guest/odd/*; do
		refuses 70 thaw run -m 512M -k "$f"
	done
}

case_bad_initrd() {
	refuses 70 thaw run -k "$(good)" -i /no/such/initrd
	refuses 70 thaw run -k "$(good)" -i /tmp
	truncate -s 300M /tmp/huge
	refuses 70 thaw run -k "$(good)" -m 256M -i /tmp/huge
	rm -f /tmp/huge
}

case_bad_memory() {
	for m in abc -5 1x '' 0 16M 99999999999999999999; do
		refuses 64 thaw run -m "$m"
	done
	refuses '64|70' thaw run -m 8000000T
	refuses '64|70' thaw run -m 1000T
	refuses 70 thaw run -k "$(good)" -m 32M
	# It has to be whole pages of the host.
	refuses 70 thaw run -k "$(good)" -m 262145K
	[ "$(host_pages)" -eq 1 ] || refuses 70 thaw run -k "$(good)" -m 262148K
}

case_bad_cpus() {
	for c in 0 -1 two 1.5; do
		refuses 64 thaw run -c "$c"
	done
	refuses '64|70' thaw run -c 100000
	refuses '64|70' thaw run -c 99999999999
}

case_bad_disk() {
	refuses 70 thaw run -k "$(good)" -d /tmp
	refuses 70 thaw run -k "$(good)" -d /no/such/disk
	refuses 70 thaw run -k "$(good)" -d /no/such/disk,ro
	refuses 70 thaw run -k "$(good)" -d /dev/null
	refuses 70 thaw run -k "$(good)" -d /guest/ro.img
}

case_bad_usage() {
	refuses 64 thaw run --no-such-option
	refuses 64 thaw run --console=paper
	refuses 64 thaw run --memory=paper
	refuses 64 thaw run -k
	refuses 64 thaw no-such-command
}
