#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What `thaw run` is given by mistake or malice: one clear line each, and the
# documented status.  64 is a command line that makes no sense, 70 a file or a
# host that will not do.
. "$(dirname "$0")/lib.sh"
: "${guest:?}"

# Numbers that are none, and ones out of range.
for m in 12Q abc -5 1x '' 1.5.5G 0x100; do
	refuses 64 'not a size' run -m "$m"
done
for m in 0 16M 1k; do
	refuses 64 'too small: at least 32M' run -m "$m"
done
refuses 64 'too large' run -m 99999999999999999999
for c in two -1 1.5 ''; do
	refuses 64 'not a number' run -c "$c"
done
refuses 64 'out of range' run -c 0
refuses 64 '--cpus: 256 is out of range' run -c 256
refuses 64 'unknown value paper .expected serial or virtio' run --console=paper
refuses 64 'unknown value paper .expected anon or guest_memfd' run --memory=paper
refuses 64 'unknown value' run --on-reboot=paper

# No KVM.
refuses 70 "open $work/none: no such device" run --kvm "$work/none"
refuses 70 'not a KVM device' run --kvm /dev/null

# Files that are not there, or are of another kind.
refuses 70 "kernel.*$work/none: No such file" run -k "$work/none"
refuses 70 "$work.*directory" run -k "$work"
refuses 70 "$work/none: No such file" run -i "$work/none"
refuses 70 "$work.*directory" run -i "$work"
refuses 70 "$work/none.*No such file" run -d "$work/none"
refuses 70 "$work/none.*No such file" run -d "$work/none,ro"
refuses 70 "$work.*directory" run -d "$work"
refuses 70 '/dev/null' run -d /dev/null
: >"$work/empty"
refuses 70 "$work/empty.*empty" run -k "$work/empty"
refuses 70 "$work/empty.*empty" run -d "$work/empty"
if [ "$(id -u)" != 0 ]; then
	echo x >"$work/secret"
	chmod 0 "$work/secret"
	refuses 70 'Permission denied' run -k "$work/secret"
fi

need_kvm

# More than this KVM, or this host, takes.
refuses 70 'memory|RAM|range|address' run -m 8000000T

# Files that are no kernel.
seq 1 100000 >"$work/text"
refuses 70 "$work/text.*text file" run -k "$work/text"
head -c 1000000 /dev/zero >"$work/zeros"
refuses 70 "$work/zeros.*an all-zero file" run -k "$work/zeros"
head -c 100000 /dev/urandom | tr '\0-\37' '\200' >"$work/noise"
refuses 70 "$work/noise" run -k "$work/noise"
printf x >"$work/one"
refuses 70 "$work/one" run -k "$work/one"

# A kernel that boots, cut at each part: headers, tables, contents.
size=$(wc -c <"$guest")
for n in 1 4 15 16 17 40 63 64 65 100 119 120 200 511 512 1024 4096 \
	$((size / 4)) $((size / 2)); do
	[ "$n" -lt "$size" ] || continue
	head -c "$n" "$guest" >"$work/cut"
	refuses 70 "$work/cut" run -k "$work/cut"
done

# Compression formats that have a signature.
for tool in xz bzip2 zstd lz4; do
	command -v "$tool" >/dev/null || continue
	"$tool" -c "$work/text" >"$work/packed" 2>/dev/null
	refuses 70 "$work/packed.*($tool|compress)" run -k "$work/packed"
done

# Kernels of other machines, as far as their heads tell.
case $(uname -m) in
x86_64)
	# An arm64 Image: its magic "ARM\x64" is at 56.
	head -c 56 /dev/zero >"$work/other"
	printf 'ARM\144' >>"$work/other"
	head -c 100000 /dev/zero >>"$work/other"
	refuses 70 "$work/other.*arm64" run -k "$work/other"
	# An ELF file for AArch64 (183).
	printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\267\0\1\0\0\0' >"$work/other"
	head -c 100000 /dev/zero >>"$work/other"
	refuses 70 "$work/other.*AArch64" run -k "$work/other"
	;;
aarch64)
	# An ELF file for x86-64 (62).
	printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\076\0\1\0\0\0' >"$work/other"
	head -c 100000 /dev/zero >>"$work/other"
	refuses 70 "$work/other.*x86-64" run -k "$work/other"
	;;
esac
# A 32-bit ELF file of a machine long gone (m68k).
printf '\177ELF\1\2\1\0\0\0\0\0\0\0\0\0\0\2\0\4\0\0\0\1' >"$work/other"
head -c 100000 /dev/zero >>"$work/other"
refuses 70 "$work/other.*ELF" run -k "$work/other"

# An initrd larger than memory.
truncate -s 300M "$work/huge"
refuses 70 "$work/huge.*do not fit" \
	run -k "$guest" -m 256M -i "$work/huge"

# A disk that another machine writes is not written by two.
truncate -s 1M "$work/disk"
exec 9<"$work/disk"
flock 9
refuses 70 "$work/disk" run -k "$guest" -d "$work/disk"
# Options are taken from the end, each once; the rest is the path.
for options in ,ro ,direct ,aio=threads ,aio=io_uring,direct,ro \
	,direct,aio=auto; do
	refuses 70 "disk $work/disk: in use" \
		run -k "$guest" -d "$work/disk$options"
done
exec 9<&-
for name in 'a,b' ',ro' 'x,ro' 'x,direct,y' 'x,aio=threads'; do
	truncate -s 1M "$work/$name"
	exec 9<"$work/$name"
	flock 9
	refuses 70 "disk $work/$name: in use" \
		run -k "$guest" -d "$work/$name,direct,ro,aio=threads"
	exec 9<&-
done
refuses 70 "open disk $work/disk,aio=fast for writing: No such file" \
	run -k "$guest" -d "$work/disk,aio=fast"

finish
