# shellcheck shell=bash
# For the scripts beside it: what is checked, and how many of the checks failed.

failures=0

# is WHAT EXPECTED FOUND
is() {
    if [[ $3 == "$2" ]]; then
        echo "ok   $1"
    else
        echo "FAIL $1: expected '$2', found '$3'" >&2
        failures=$((failures + 1))
    fi
}

# until_is WHAT EXPECTED COMMAND...: within 10 s.
until_is() {
    local found='' tries what=$1 expected=$2
    shift 2
    for ((tries = 0; tries < 20; tries++)); do
        found=$("$@")
        [[ $found != "$expected" ]] || break
        sleep 0.5
    done
    is "$what" "$expected" "$found"
}
