#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# x86-acpi-iasl: iasl disassembles the tables that acpi_dump ($1) writes, and
# compiles them again without an error, a warning or a remark.
set -eu
dump=$1

if ! command -v iasl >/dev/null; then
	echo "iasl is not there (package acpica-tools)" >&2
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

for cpus in 1 2 255 300; do
	rm -f "$dir"/*
	"$dump" "$dir" "$cpus"
	for table in XSDT FACP APIC MCFG DSDT; do
		if ! (cd "$dir" && iasl -d "$table.aml") >"$dir/log" 2>&1 ||
		   grep -Ei 'invalid|error|incorrect|warning' "$dir/log" ||
		   grep -Ei 'incorrect|unknown|invalid' "$dir/$table.dsl"; then
			echo "iasl -d of $table with $cpus vCPUs failed:" >&2
			cat "$dir/log" >&2
			exit 1
		fi
	done
	if ! (cd "$dir" && iasl -oa -p again DSDT.dsl) >"$dir/log" 2>&1 ||
	   ! grep -q '0 Errors, 0 Warnings, 0 Remarks' "$dir/log"; then
		echo "iasl of the DSDT with $cpus vCPUs complains:" >&2
		cat "$dir/log" "$dir/DSDT.dsl" >&2
		exit 1
	fi
	# iasl writes its own name and checksum into the header.
	tail -c +37 "$dir/DSDT.aml" >"$dir/ours"
	tail -c +37 "$dir/again.aml" >"$dir/theirs"
	cmp "$dir/ours" "$dir/theirs" || {
		echo "the DSDT compiles to other bytes than the writer's" >&2
		exit 1
	}
done
