# SPDX-License-Identifier: BSD-2-Clause
"""Meson's record of a test run, in the vocabulary of tests/run.sh: a line `ok
NAME`, `not ok NAME: REASON` or `skip NAME: REASON` for each test.  The output
of those that failed goes to standard error.

results.py STAGE BUILD/meson-logs/testlog.json"""
import json
import sys

SHOWN_LINES = 60
WORDS = {
    'FAIL': 'failed',
    'TIMEOUT': 'no end in time',
    'ERROR': 'could not run',
    'INTERRUPT': 'interrupted',
    'UNEXPECTEDPASS': 'passed, which it should not',
}


def last_line(test):
    """The last words of a test."""
    text = (test.get('stdout') or '') + (test.get('stderr') or '')
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else 'no reason given'


def main():
    stage, path = sys.argv[1:]
    with open(path, encoding='utf-8', errors='replace') as log:
        tests = [json.loads(line) for line in log if line.strip()]
    for test in tests:
        name = f"{stage} {test['name'].split(' / ')[-1].split(':')[-1]}"
        result = test['result']
        if result in ('OK', 'EXPECTEDFAIL'):
            print(f'ok {name}')
        elif result == 'SKIP':
            print(f'skip {name}: {last_line(test)}')
        else:
            print(f"not ok {name}: {WORDS.get(result, result)}, "
                  f"status {test['returncode']}: {last_line(test)}")
            text = (test.get('stdout') or '') + (test.get('stderr') or '')
            print(f'---- {name}', file=sys.stderr)
            print('\n'.join(text.splitlines()[-SHOWN_LINES:]), file=sys.stderr)
    if not tests:
        print(f'not ok {stage} tests: none ran')


main()
