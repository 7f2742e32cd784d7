#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# thaw probe: a report for people, the same as JSON for programs, and words for
# a host that has no KVM.
. "$(dirname "$0")/lib.sh"

# Without KVM the report is there all the same, and the status tells.
for device in "$work/none" /dev/null "$work"; do
	run probe --kvm "$device"
	[ "$status" -eq 70 ] || fail "status $status for --kvm $device"
	[ "$(wc -l <"$work/err")" -eq 1 ] || fail "not one line for --kvm $device"
	grep -q '^userfaultfd:' "$work/out" || fail "no report for --kvm $device"
	grep -Eq '^  device +no ' "$work/out" || fail "no word on --kvm $device"
done

# The JSON is JSON, and says what the text says.
run probe --json --kvm "$work/none"
[ "$status" -eq 70 ] || fail "status $status for --json"
python3 - "$work/out" <<'EOT' || fail 'JSON of a host without KVM'
import json, sys
report = json.load(open(sys.argv[1]))
assert report['can_run'] is False
assert report['kvm']['device']['yes'] is False
assert report['kvm']['device']['text']
assert report['host']['memory']['value'] > 0
assert 'pager' not in report
EOT

[ -r /dev/kvm ] && [ -w /dev/kvm ] || finish
shows '^  auto  ' probe
shows '^  integrity  .*userfault and uffd verify' probe
longest=$(awk 'length > n { n = length } END { print n }' "$work/out")
[ "$longest" -le 80 ] || fail "a line of $longest columns"
# Every "no" has a reason.
if grep -Eq '^  [^ ]+ +no *$' "$work/out"; then
	fail 'a no without a reason'
fi
shows '"can_run": true' probe --json
python3 - "$work/out" <<'EOT' || fail 'JSON of a host with KVM'
import json, sys
report = json.load(open(sys.argv[1]))
assert report['kvm']['api_version']['value'] == 12
for section in ('host', 'kvm', 'architecture', 'guest_memory', 'userfaultfd', 'pager'):
    for name, item in report[section].items():
        assert item['text'], (section, name)
# The two ways to ask for userfault agree where both can be asked.
memory, pager = report['guest_memory'], report['pager']
assert not (pager['userfault']['yes'] and not memory['userfault_anonymous']['yes'])
assert pager['eager']['yes'] is True
EOT
finish
