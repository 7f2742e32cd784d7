#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# build.sh - the rig's host kernel: Linux with KVM userfault, as small as the
# rig allows.  Prints the path of the image, and nothing else, on standard
# output; progress goes to standard error.
#
#	build.sh x86|arm64 [--config NAME] [--variant NAME] [--cached]
#
#	--config NAME	with the options of config.ARCH-NAME over the others; arm64
#			has 64k, pages of 64 KiB
#	--variant NAME	with broken/NAME.patch applied as well (prove-traps.sh)
#	--cached	only if it was built before
#
# Environment:
#	KERNEL_SRC=	a tarball or a tree of the kernel's source, instead of
#			Debian's; a tree that has userfault already is built as
#			it is, and only what changed in it
#	KEEP_OBJ=1	keep the object tree (a variant's is always kept)
#	JOBS=N		processes of make (default: one a processor)
#	THAW_CACHE=	where results are kept
#
# Exit status: 0; 77 when the source, a tool or a cached result is missing; 64 for a
# usage error; 1 when the build fails.
#
# What is kept, in the cache's folder kernel/:
#	HOST-VERSION-KEY[-NAME]/   a result: image, config, userfault.dis
#	source/NAME_VERSION/       an unpacked package, with its tarball
#	work-HOST-KEY/             sources and objects, while they are useful
# HOST is ARCH or ARCH-CONFIG, KEY is over the patch and the options.  Debian's
# version is in the name, but any version will do: a mirror has a new one every few
# days, which is not worth a build of ten minutes.  A result is renamed into its place when it is
# whole, and one build of a key runs at a time, so callers need not coordinate.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../apt.sh"

# Say something on standard error.
say() {
	echo "kernel: $*" >&2
}

# Say what is wrong and leave with status $1.
die() {
	status=$1
	shift
	say "$@"
	exit "$status"
}

# Say that the source is not available, and what to do.
no_source() {
	die 77 "no source of Linux 7.2 available ($1): set KERNEL_SRC= to a tarball or tree of it"
}

usage() {
	echo "usage: build.sh x86|arm64 [--config NAME] [--variant NAME] [--cached]" >&2
	exit 64
}

arch=${1-} variant='' config='' cached=''
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
	case $1 in
	--config) [ $# -ge 2 ] || usage; config=$2; shift ;;
	--variant) [ $# -ge 2 ] || usage; variant=$2; shift ;;
	--cached) cached=1 ;;
	*) usage ;;
	esac
	shift
done
case $arch in
x86) target=vmlinux image=vmlinux deb=amd64 cross=x86_64-linux-gnu ;;
arm64) target=Image image=arch/arm64/boot/Image deb=arm64 cross=aarch64-linux-gnu ;;
*) usage ;;
esac
host=$arch${config:+-$config}
configs="$here/config.common $here/config.$arch"
if [ -n "$config" ]; then
	configs="$configs $here/config.$host"
	[ -r "$here/config.$host" ] || die 64 "no config.$host"
fi
# Those of every build of this architecture; $patches has the variant's as well.
base_patches=$here/userfault.patch
for p in "$here/$arch"-*.patch; do
	[ ! -e "$p" ] || base_patches="$base_patches $p"
done
patches=$base_patches
if [ -n "$variant" ]; then
	patches="$patches $here/broken/$variant.patch"
	[ -r "$here/broken/$variant.patch" ] || die 64 "no broken/$variant.patch"
fi

native=$(dpkg --print-architecture)
tools='bc bison flex libelf-dev libssl-dev make patch xz-utils'
if [ "$native" = $deb ]; then
	cross='' tools="$tools gcc"
else
	tools="$tools gcc gcc-$(echo $cross | tr _ -)" cross=$cross-
fi

# Print a short hash of what stands on standard input.
hash() {
	sha256sum | cut -c1-12
}

# The number is that of this recipe: raise it when the result changes by it.
# shellcheck disable=SC2086 # a list of files
key=$( (echo recipe 1; cat $base_patches $configs) | hash)
suffix=
[ -z "$variant" ] || suffix=-$variant-$(hash <"$here/broken/$variant.patch")
top=$(rig_cache)/kernel
work=$top/work-$host-$key
mkdir -p "$top"

# Install the tools that are missing.
need_tools() {
	missing=
	for p in $tools; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null |
			grep -q 'ok installed' || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || die 77 "missing packages, to be installed first:$missing"
	say "installing$missing"
	# shellcheck disable=SC2086 # a list of words
	{
		DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
			--no-install-recommends install $missing || {
			apt-get -qq update
			DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
				--no-install-recommends install $missing
		}
	} >"$top/tools.log" 2>&1 || {
		tail -n 3 "$top/tools.log" >&2
		die 77 "cannot install$missing"
	}
}

# Whether the patches apply to the source in folder $1.
applies() {
	for fix in $base_patches; do
		patch -p1 -s -f --dry-run -d "$1" <"$fix" >/dev/null 2>&1 || return
	done
}

# Unpack tarball $1 into the new folder $2.
unpack() {
	rm -rf "$2" && mkdir -p "$2" && tar -xf "$1" --strip-components=1 -C "$2"
}

# Put Debian's source into $work/src, patched, and its version into $version:
# Linux 7.2 by preference, else the newest 7.x that the patches apply to.
debian_source() {
	why='no suite can be reached'
	for suite in sid testing stable-backports; do
		rig_apt_ready $suite "$native" || continue
		why='no package linux-source-7.* fits the patch'
		for p in linux-source-7.2 $(rig_apt $suite "$native" apt-cache \
			search --names-only '^linux-source-7\.[0-9]+$' |
			cut -d' ' -f1 | sort -rV); do
			version=$(rig_apt $suite "$native" apt-cache show \
				--no-all-versions "$p" 2>/dev/null |
				sed -n 's/^Version: //p')
			[ -n "$version" ] || continue
			deb=$top/source/${p}_$version
			if ! [ -d "$deb" ]; then
				say "fetching $p $version of $suite"
				rig_deb $suite "$native" "$p" "$deb" || continue
			fi
			say "unpacking $p $version"
			unpack "$deb/usr/src/$p.tar.xz" "$work/src" || continue
			applies "$work/src" && return
			say "the patch does not fit $p $version"
		done
	done
	rm -rf "$work"
	no_source "$why"
}

# Print what tells one KERNEL_SRC= from another, and one state of it.
given_version() {
	if [ -d "$KERNEL_SRC" ]; then
		printf 'tree-'
		(cd "$KERNEL_SRC" && pwd && find . -path ./.git -prune -o \
			-type f -printf '%p %s %T@\n' | sort) | hash
	elif [ -r "$KERNEL_SRC" ]; then
		printf 'file-'
		hash <"$KERNEL_SRC"
	else
		die 77 "KERNEL_SRC=$KERNEL_SRC: cannot be read"
	fi
}

# The same as debian_source for KERNEL_SRC=.
given_source() {
	say "taking the source from $KERNEL_SRC"
	if ! [ -d "$KERNEL_SRC" ]; then
		unpack "$KERNEL_SRC" "$work/src" || die 1 "$KERNEL_SRC: no tarball"
	elif grep -q KVM_MEM_USERFAULT "$KERNEL_SRC/include/uapi/linux/kvm.h"; then
		rm -rf "$work/src"
		ln -s "$(cd "$KERNEL_SRC" && pwd)" "$work/src"
		return
	else
		rm -rf "$work/src" && mkdir -p "$work/src"
		tar -C "$KERNEL_SRC" --exclude=./.git -cf - . |
			tar -C "$work/src" -xf -
	fi
	applies "$work/src" || die 1 "the patch does not fit $KERNEL_SRC"
}

# Have a patched source in $work/src, that of an earlier run if there is one,
# and $version.
source_tree() {
	if [ -e "$work/version" ]; then
		version=$(cat "$work/version")
		return
	fi
	rm -rf "$work"
	mkdir -p "$work"
	if [ -n "${KERNEL_SRC-}" ]; then
		given_source
	else
		debian_source
	fi
	if ! [ -L "$work/src" ]; then
		for p in $base_patches; do
			patch -p1 -s -d "$work/src" <"$p" >&2
		done
	fi
	echo "$version" >"$work/version"
}

# Undo a variant, and apply this run's.  What a variant changes is kept aside
# first, and put back by the next run, so an interrupted one does no harm.
vary() {
	(cd "$work/base" 2>/dev/null && find . -type f) | while read -r f; do
		cmp -s "$work/base/$f" "$work/src/$f" ||
			cp "$work/base/$f" "$work/src/$f"
	done
	[ -n "$variant" ] || return 0
	[ ! -L "$work/src" ] || die 64 "a variant needs a tree without userfault"
	sed -n 's:^+++ b/::p' "$here/broken/$variant.patch" | while read -r f; do
		mkdir -p "$work/base/${f%/*}"
		cp "$work/src/$f" "$work/base/$f"
	done
	patch -p1 -s -F0 -d "$work/src" <"$here/broken/$variant.patch" >&2
}

# Run make on the object tree.
kmake() {
	make -C "$work/src" O="$work/obj" ARCH="$arch" ${cross:+CROSS_COMPILE=$cross} \
		KBUILD_BUILD_USER=thaw KBUILD_BUILD_HOST=rig \
		KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' \
		LOCALVERSION= -s "$@"
}

# Print the options that are wanted; of two lines about one the last counts.
wanted() {
	# shellcheck disable=SC2086 # a list of files
	cat $configs | awk -F= '/^CONFIG_/ {
		if (!($1 in line)) names[n++] = $1
		line[$1] = $0
	} END { for (i = 0; i < n; i++) print line[names[i]] }'
}

# Configure the object tree, and check that every option became what it should:
# one whose dependencies are missing is dropped by the kernel without a word.
configure() {
	mkdir -p "$work/obj"
	wanted >"$work/wanted"
	if [ -e "$work/obj/.config" ] && cmp -s "$work/wanted" "$work/configured"; then
		return
	fi
	kmake KCONFIG_ALLCONFIG="$work/wanted" allnoconfig
	lost=
	while IFS='=' read -r name value; do
		case $value in
		n) ! grep -q "^$name=" "$work/obj/.config" ;;
		*) grep -qx "$name=$value" "$work/obj/.config" ;;
		esac || lost="$lost $name=$value"
	done <"$work/wanted"
	[ -z "$lost" ] || die 1 "options that this kernel does not take:$lost"
	cp "$work/wanted" "$work/configured"
}

# Build, and put the result in its place.
build() {
	need_tools
	source_tree
	out=$top/$host-$version-$key$suffix
	vary
	(configure) >"$work/log" 2>&1 || {
		tail -n 5 "$work/log" >&2
		die 1 "cannot configure Linux $version"
	}
	say "building Linux $version for $host${variant:+, $variant}"
	say "(a whole build takes 5 to 10 minutes; log: $work/log)"
	start=$(date +%s)
	kmake -j"${JOBS:-$(nproc)}" $target >"$work/log" 2>&1 || {
		tail -n 15 "$work/log" >&2
		die 1 "the build failed: see $work/log"
	}
	new=$out.tmp.$$
	rm -rf "$new" && mkdir "$new"
	case $arch in
	x86) "${cross}strip" -s -o "$new/vmlinux" "$work/obj/$image" ;;
	*) cp "$work/obj/$image" "$new/" ;;
	esac
	cp "$work/obj/.config" "$new/config"
	"${cross}objdump" -d --no-show-raw-insn \
		--disassemble=kvm_vcpu_check_userfault "$work/obj/vmlinux" \
		>"$new/userfault.dis"
	rm -rf "$out" && mv -T "$new" "$out"
	say "built in $(($(date +%s) - start)) s"
	vary_back=$variant variant=
	vary
	variant=$vary_back
	if [ -n "$variant${KEEP_OBJ-}" ] || [ -L "$work/src" ]; then
		: >"$work/keep"
	fi
	[ -e "$work/keep" ] || rm -rf "$work"
}

# Print the image of the newest result with this key; fails without one.
result() {
	# shellcheck disable=SC2045,SC2086 # names of ours, by age
	for d in $(ls -dt "$top/$host"-${version:-[0-9]*}-"$key$suffix" 2>/dev/null); do
		if [ -e "$d/${image##*/}" ]; then
			echo "$d/${image##*/}"
			return
		fi
	done
	return 1
}

version=
if [ -n "${KERNEL_SRC-}" ]; then
	version=$(given_version)
	work=$work-$(printf '%s' "$KERNEL_SRC" | hash)
fi
result && exit
[ -z "$cached" ] || die 77 "not built yet"
exec 9>"$top/lock-$host-$key"
if ! flock -n 9; then
	say "waiting for another build of the same kernel"
	flock 9
fi
# In the meantime another one may have built it.
result && exit
if [ -n "$version" ] && [ -e "$work/version" ]; then
	# Another state of the same place: a linked tree is built on, a copy not.
	if [ -L "$work/src" ]; then
		echo "$version" >"$work/version"
	elif [ "$(cat "$work/version")" != "$version" ]; then
		rm -rf "$work"
	fi
fi
build
result || die 1 "the build left no image"
