#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# fetch.sh - what the rig runs that is not ours: found through the machine's own
# apt configuration, unpacked under the cache, never committed.
#
#	fetch.sh kernel ARCH VERSION	a Debian kernel; prints its directory
#	fetch.sh busybox ARCH		a static busybox; prints its path
#	fetch.sh applets		prints the names busybox answers to
#	fetch.sh qemu ARCH		QEMU for that architecture; prints its path
#	fetch.sh refresh		forget the above, fetch anew when needed
#
# ARCH is x86 or arm64.  VERSION is a series (6.1, 6.12) for Debian's cloud
# kernel, which is what guests boot; `newest' for the newest of these in any
# suite; or `host' for the generic kernel, which is what the rig boots with
# --stock.  A kernel directory holds
#
#	release		its full version
#	vmlinuz		the image as packaged
#	vmlinux, Image	the same unpacked: ELF (x86) or plain Image (arm64)
#	config		its build configuration
#	modules/	its modules, decompressed
#	package		the suite and the package that it came from
#
# Exits 77 with the reason on standard error when a thing does not download.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

cache=$(rig_cache)

# Say why something is missing, and leave with the skip code.
skip() {
	echo "fetch: $*" >&2
	exit 77
}

# Print Debian's name for architecture $1.
debian_arch() {
	case $1 in
	x86) echo amd64 ;;
	arm64) echo arm64 ;;
	*) echo "fetch: unknown architecture: $1 (x86 or arm64)" >&2; exit 64 ;;
	esac
}

# Print the suites worth asking for version $1, the machine's own first.
suites() {
	case $1 in
	host) set -- "$own" "$own-backports" ;;
	newest)
		set -- "$own-backports" trixie-backports stable-backports \
			testing sid
		;;
	*) set -- "$own" "$own-backports" bookworm-backports trixie stable ;;
	esac
	printf '%s\n' "$@" | awk '!seen[$0]++'
}

# Print "suite package" for kernel version $2 of Debian architecture $1, best
# last.  The package index can name packages that have gone, so several.
kernel_candidates() {
	flavour=-cloud series=$2.
	case $2 in
	host) flavour='' series='' ;;
	newest) series='' ;;
	esac
	pattern="^linux-image-[0-9.]+([+]deb[0-9.]+)?(-[0-9]+)?$flavour-$1(-unsigned)?\$"
	for s in $(suites "$2"); do
		rig_apt_ready "$s" "$1" || continue
		names=$(rig_apt "$s" "$1" apt-cache pkgnames "linux-image-$series" |
			grep -E "$pattern" | sort -V)
		[ -n "$names" ] || continue
		printf '%s\n' "$names" | tail -n 4 | sed "s/^/$s /"
		case $2 in
		host | newest) ;;
		*) return 0 ;;
		esac
	done | case $2 in
	newest) sort -V -s -k 2 ;;
	*) cat ;;
	esac
}

# Unpack kernel package $3 of suite $1, Debian architecture $2, at $4.  Newer
# ones are empty and depend on the parts: linux-base-VERSION (configuration),
# linux-binary-VERSION (image) and linux-modules-VERSION.
unpack_package() {
	parts=$(rig_apt "$1" "$2" apt-cache show --no-all-versions "$3" |
		sed -n 's/^Depends: //p' | tr ',|' '\n\n' |
		sed -n 's/^ *\(linux-\(base\|binary\|modules\)[a-z-]*-[0-9][^ ]*\).*/\1/p')
	rig_deb "$1" "$2" "$(echo "$3" $parts)" "$4"
}

# Decompress the modules under $1 in place, so that they load from anywhere.
decompress_modules() {
	find "$1" -name '*.ko.xz' -exec xz -dq {} + &&
		find "$1" -name '*.ko.zst' \
			-exec "$(rig_tool zstd zstd)" -dq --rm {} + &&
		find "$1" -name '*.ko.gz' -exec gzip -dq {} +
}

# Arrange unpacked package $1 as a kernel directory at $2.  The image and its
# configuration are in boot/, or in newer packages beside the modules.
arrange_kernel() {
	mkdir -p "$2"
	mods=$(echo "$1"/lib/modules/*)
	[ -d "$mods" ] || mods=$(echo "$1"/usr/lib/modules/*)
	release=${mods##*/}
	echo "$release" >"$2/release"
	for f in vmlinuz config; do
		if [ -e "$1/boot/$f-$release" ]; then
			mv "$1/boot/$f-$release" "$2/$f" || return
		else
			mv "$mods/$f" "$2/$f" || return
		fi
	done
	mv "$mods" "$2/modules"
	decompress_modules "$2/modules" || return
	sh "$here/unpack-kernel" "$2/vmlinuz" "$2/unpacked" || return
	case $(od -An -tx1 -N4 "$2/unpacked" | tr -d ' ') in
	7f454c46) mv "$2/unpacked" "$2/vmlinux" ;;
	*) mv "$2/unpacked" "$2/Image" ;;
	esac
}

# Whether kernel directory $2 of version $1 is there, and as new as it should be.
kernel_is_there() {
	case $1 in
	newest) find "$2/release" -mtime -7 2>/dev/null | grep -q . ;;
	*) [ -e "$2/release" ] ;;
	esac
}

# Fetch a kernel, print its directory.
fetch_kernel() {
	deb=$(debian_arch "$1")
	own=$(rig_codename)
	dir=$cache/kernels/$1-$2
	mkdir -p "$cache/kernels"
	(
		flock 9
		! kernel_is_there "$2" "$dir" || exit 0
		list=$(kernel_candidates "$deb" "$2" | tac)
		while read -r suite pkg && [ -n "$pkg" ]; do
			rm -rf "$dir.pkg" "$dir.new"
			unpack_package "$suite" "$deb" "$pkg" "$dir.pkg" &&
				arrange_kernel "$dir.pkg" "$dir.new" || continue
			echo "$suite $pkg" >"$dir.new/package"
			rm -rf "$dir"
			mv -T "$dir.new" "$dir"
			break
		done <<-EOT
			$list
		EOT
		rm -rf "$dir.pkg" "$dir.new"
		[ -e "$dir/release" ] || skip "no Debian kernel $2 for $deb," \
			"or none that downloads"
	) 9>"$cache/kernels/$1-$2.lock" || exit $?
	echo "$dir"
}

# Fetch a static busybox, print the path of the program.
fetch_busybox() {
	deb=$(debian_arch "$1")
	bb=$cache/busybox/$1/busybox
	mkdir -p "$cache/busybox/$1"
	(
		flock 9
		[ -e "$bb" ] && exit 0
		rig_deb "$(rig_codename)" "$deb" busybox-static "$bb.pkg" ||
			skip "busybox-static ($deb) does not download"
		if [ -e "$bb.pkg/bin/busybox" ]; then
			mv "$bb.pkg/bin/busybox" "$bb"
		else
			mv "$bb.pkg/usr/bin/busybox" "$bb"
		fi
		rm -rf "$bb.pkg"
	) 9>"$bb.lock" || exit $?
	echo "$bb"
}

# Print busybox's applet names.  A foreign busybox cannot be asked here; the
# machine's own, of the same package, has the same ones.
applets() {
	case $(dpkg --print-architecture) in
	amd64) native=x86 ;;
	*) native=arm64 ;;
	esac
	"$(fetch_busybox $native)" --list
}

# Run apt-get ($@) with the machine's own package status but our lists: its own
# suite, the updates, the backports ($extra).
apt_here() {
	apt-get -qq -o Dir::Etc::sourcelist="$q/all.sources" \
		-o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$q/lists" -o Dir::Cache="$q" \
		-o Dir::Cache::archives="$q/archives" -o Debug::NoLocking=1 \
		-o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

# Download QEMU, its firmware and those of its libraries that the machine lacks,
# unpack them at $1.  Newer is better for emulated virtualization, so backports
# first.  What is installed of QEMU itself is downloaded all the same (a library
# may stay the machine's own, but no part of QEMU may).
unpack_qemu() {
	q=$1.apt
	rm -rf "$q" "$1.new"
	mkdir -p "$q/lists/partial" "$q/archives/partial" "$1.new"
	own=$(rig_codename)
	for target in "$own-backports" "$own"; do
		for s in "$own" "$own-updates" "$target"; do
			rig_apt_sources "$s"
		done >"$q/all.sources"
		rm -f "$q"/archives/*.deb
		apt_here update 2>"$q/log" &&
			apt_here -y --no-install-recommends --download-only \
				-t "$target" --reinstall install \
				qemu-system-x86 qemu-system-arm \
				qemu-system-common qemu-system-data seabios \
				>>"$q/log" 2>&1 &&
			break
	done
	set -- "$1" "$q"/archives/*.deb
	if ! [ -e "$2" ]; then
		tail -n 3 "$q/log" >&2
		return 1
	fi
	dest=$1
	shift
	for d; do
		dpkg-deb -x "$d" "$dest.new" || return 1
	done
	rm -rf "$q"
	mv -T "$dest.new" "$dest"
}

# Print the major version of QEMU program $1, 0 if there is none.
qemu_major() {
	"$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p' |
		grep . || echo 0
}

# Write the program $2 that runs $1, out of the QEMU unpacked at $dir: with the
# libraries and the firmware from there too, because QEMU looks for its firmware
# at absolute paths, where an installed one may have some or none.
wrap_qemu() {
	libs=$dir/usr/lib/$(uname -m)-linux-gnu
	cat >"$2.$$" <<-EOT
		#!/bin/sh
		LD_LIBRARY_PATH='$libs:$dir/lib/${libs##*/}' \\
		QEMU_MODULE_DIR='$libs/qemu' \\
		exec '$dir/usr/bin/$1' -L '$dir/usr/share/qemu' \\
			-L '$dir/usr/share/seabios' "\$@"
	EOT
	chmod +x "$2.$$"
	mv "$2.$$" "$2"
}

# Print the path of a QEMU for architecture $1: the machine's own when it is 10
# or newer, else one under the cache, else the machine's own whatever it is.
fetch_qemu() {
	case $1 in
	x86) name=qemu-system-x86_64 ;;
	arm64) name=qemu-system-aarch64 ;;
	*) debian_arch "$1" ;;
	esac
	if [ "$(qemu_major $name)" -ge 10 ]; then
		command -v $name
		return
	fi
	dir=$cache/qemu
	(
		flock 9
		[ -e "$dir" ] || unpack_qemu "$dir"
	) 9>"$dir.lock" || :
	wrapper=$dir.$name
	if [ -e "$dir/usr/bin/$name" ]; then
		wrap_qemu $name "$wrapper"
		[ "$(qemu_major "$wrapper")" -eq 0 ] || { echo "$wrapper"; return; }
	fi
	command -v $name || skip "no $name: install qemu-system-x86 and qemu-system-arm"
}

case ${1-} in
kernel) [ $# -eq 3 ] && fetch_kernel "$2" "$3" ;;
busybox) [ $# -eq 2 ] && fetch_busybox "$2" ;;
applets) applets ;;
qemu) [ $# -eq 2 ] && fetch_qemu "$2" ;;
refresh) rm -rf "$cache/kernels" "$cache/busybox" "$cache/qemu" "$cache/apt" ;;
*) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//p;}' "$0" >&2; exit 64 ;;
esac
