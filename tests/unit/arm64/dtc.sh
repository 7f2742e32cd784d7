#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# arm64-fdt-dtc: dtc has no warning for the trees that fdt_dump ($1 and its
# arguments) writes, and compiles its own output to the same tree.
set -eu

if ! command -v dtc >/dev/null; then
	echo "dtc is not there (package device-tree-compiler)" >&2
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Run dtc with the arguments; any output is a failure.
quiet_dtc() {
	if ! dtc "$@" 2>"$dir/said" || [ -s "$dir/said" ]; then
		echo "dtc $*:" >&2
		cat "$dir/said" >&2
		exit 1
	fi
}

for machine in '1' '2' '255' '1 bare'; do
	# shellcheck disable=SC2086 # lists of words; Meson sets the wrapper
	${MESON_EXE_WRAPPER-} "$@" "$dir/a.dtb" $machine
	quiet_dtc -I dtb -O dts -o "$dir/a.dts" "$dir/a.dtb"
	quiet_dtc -I dtb -O dtb -o "$dir/b.dtb" "$dir/a.dtb"
	quiet_dtc -I dtb -O dts -o "$dir/b.dts" "$dir/b.dtb"
	cmp "$dir/a.dts" "$dir/b.dts"
done

# The check itself must be able to fail.
cp "$dir/a.dts" "$dir/c.dts"
echo '/ { bad@1 { }; };' >>"$dir/c.dts"
dtc -q -q -I dts -O dtb -o "$dir/c.dtb" "$dir/c.dts"
dtc -I dtb -O dts -o "$dir/c.dts" "$dir/c.dtb" 2>"$dir/said" || :
if ! [ -s "$dir/said" ]; then
	echo "dtc does not warn of a bad tree" >&2
	exit 1
fi
