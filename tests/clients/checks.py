"""For the scripts beside it: what is checked, and how many of the checks failed."""

import sys

failures = 0


def equal(what, found, expected):
    global failures
    if found == expected:
        print(f"ok   {what}")
    else:
        print(f"FAIL {what}: expected {expected!r}, found {found!r}", file=sys.stderr)
        failures += 1


def finish():
    sys.exit(1 if failures else 0)
