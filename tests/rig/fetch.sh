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
# kernel, which is what guests boot, or `host' for the generic kernel, which is
# what the rig boots with --stock.  A kernel directory holds
#
#	release		its full version
#	vmlinuz		the image as packaged
#	vmlinux, Image	the same unpacked: ELF (x86) or plain Image (arm64)
#	config		its build configuration
#	modules/	its modules, decompressed
#
# Exits 77 with the reason on standard error when a thing cannot be had.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

cache=$(rig_cache)

# Say why something cannot be had, and leave with the skip code.
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

# Print the suites worth asking, the machine's own first.
suites() {
	own=$(rig_codename)
	echo "$own $own-backports"
	for s in bookworm-backports trixie stable; do
		case " $own $own-backports " in
		*" $s "*) ;;
		*) echo "$s" ;;
		esac
	done
}

# Print "suite package" for kernel series $2 of Debian architecture $1, best
# last.  The package index can name packages that have gone, so several.
kernel_candidates() {
	if [ "$2" = host ]; then
		pattern="^linux-image-[0-9.]+([+]deb[0-9.]+)?(-[0-9]+)?-$1(-unsigned)?\$"
		series=linux-image-
		where="$own $own-backports"
	else
		series=linux-image-$2.
		pattern="^linux-image-[0-9.]+([+]deb[0-9.]+)?(-[0-9]+)?-cloud-$1(-unsigned)?\$"
		where=$(suites)
	fi
	for s in $where; do
		rig_apt_ready "$s" "$1" || continue
		names=$(rig_apt "$s" "$1" apt-cache pkgnames "$series" |
			grep -E "$pattern" | sort -V)
		[ -n "$names" ] || continue
		printf '%s\n' "$names" | tail -n 4 | sed "s/^/$s /"
		[ "$2" = host ] || return 0
	done
}

# Decompress the modules under $1 in place, so that they load from anywhere.
decompress_modules() {
	find "$1" -name '*.ko.xz' -exec xz -dq {} +
	find "$1" -name '*.ko.zst' -exec "$(rig_tool zstd zstd)" -dq --rm {} +
	find "$1" -name '*.ko.gz' -exec gzip -dq {} +
}

# Arrange unpacked package $1 as a kernel directory at $2.
arrange_kernel() {
	mkdir -p "$2"
	release=$(cd "$1"/lib/modules 2>/dev/null || cd "$1"/usr/lib/modules; ls)
	mods=$1/lib/modules/$release
	[ -d "$mods" ] || mods=$1/usr/lib/modules/$release
	echo "$release" >"$2/release"
	mv "$1/boot/vmlinuz-$release" "$2/vmlinuz"
	mv "$1/boot/config-$release" "$2/config"
	mv "$mods" "$2/modules"
	decompress_modules "$2/modules"
	sh "$here/unpack-kernel" "$2/vmlinuz" "$2/unpacked"
	case $(od -An -tx1 -N4 "$2/unpacked" | tr -d ' ') in
	7f454c46) mv "$2/unpacked" "$2/vmlinux" ;;
	*) mv "$2/unpacked" "$2/Image" ;;
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
		[ -e "$dir/release" ] && exit 0
		list=$(kernel_candidates "$deb" "$2" | tac)
		[ -n "$list" ] || skip "no Debian kernel $2 for $deb can be had"
		rm -rf "$dir" "$dir".new
		while read -r suite pkg; do
			rig_deb "$suite" "$deb" "$pkg" "$dir.pkg" || continue
			arrange_kernel "$dir.pkg" "$dir.new"
			echo "$suite $pkg" >"$dir.new/package"
			mv -T "$dir.new" "$dir"
			rm -rf "$dir.pkg"
			break
		done <<-EOT
			$list
		EOT
		[ -e "$dir/release" ] || skip "no package of kernel $2 ($deb) downloads"
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
			skip "busybox-static ($deb) cannot be had"
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

# Download QEMU and those of its libraries that the machine lacks, unpack them
# at $1.  Newer is better for emulated virtualization, so backports first.
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
				-t "$target" install qemu-system-x86 \
				qemu-system-arm >>"$q/log" 2>&1 &&
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
		libs=$dir/usr/lib/$(uname -m)-linux-gnu:$dir/lib/$(uname -m)-linux-gnu
		printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' \
			"$libs" "$dir/usr/bin/$name" >"$wrapper.$$"
		chmod +x "$wrapper.$$"
		mv "$wrapper.$$" "$wrapper"
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
