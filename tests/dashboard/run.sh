#!/usr/bin/env bash
# The lab's dashboard in a real browser: `rolekeeper-lab serve`, machines that run the real daemon,
# and Chromium, in which somebody clicks.
#
#   tests/dashboard/run.sh [DIRECTORY]     of rolekeeper and rolekeeper-lab; default: target/debug
#
# Chromium and Node 18 or newer are needed, and nothing else. Pictures of what was seen are left in
# $CARGO_TARGET_DIR/dashboard (default target/dashboard). Prints one line per check and exits
# non-zero if one failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

programs=$(realpath "${1:-target/debug}")
pictures=${CARGO_TARGET_DIR:-target}/dashboard
mkdir -p "$pictures"
pictures=$(realpath "$pictures")
readonly programs pictures

scratch=$(mktemp -d)
readonly scratch
lab=
trap stop_everything EXIT

main() {
    forget_the_callers_account
    start_lab
    # A command that is pasted says sudo; here it only runs the rest.
    mkdir "$scratch/bin"
    printf '#!/bin/sh\nexec "$@"\n' >"$scratch/bin/sudo"
    chmod +x "$scratch/bin/sudo"
    PATH=$scratch/bin:$programs:$PATH SCRATCH=$scratch PICTURES=$pictures \
        DASHBOARD=$(grep -o 'http://[^ ]*?token=.*' "$scratch/lab.log") \
        node tests/dashboard/story.mjs
    echo "pictures: $pictures"
}

forget_the_callers_account() {
    local name
    for name in $(compgen -e | grep -E '^(AWS_|ROLEKEEPER_)'); do
        unset "$name"
    done
}

start_lab() {
    "$programs/rolekeeper-lab" serve --listen 127.0.0.1:0 --env-file "$scratch/lab.env" \
        >"$scratch/lab.log" 2>&1 &
    lab=$!
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if grep -q 'Stop with' "$scratch/lab.log"; then
            return
        fi
        kill -0 "$lab" 2>/dev/null || break
        sleep 0.1
    done
    echo "the lab did not start:" >&2
    cat "$scratch/lab.log" >&2
    return 1
}

stop_everything() {
    if [[ -n $lab ]]; then
        kill "$lab" 2>/dev/null || true
        wait "$lab" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}

main
