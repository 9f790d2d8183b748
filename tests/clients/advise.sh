#!/usr/bin/env bash
# `rolekeeper advise` about long-running programs of boto3 and the SDK for JavaScript: it must say what
# they do, and what it advises must help. Each program says itself which credentials it got, in many
# situations; that is the truth which advise has to meet. Run by run.sh, which says where the lab is;
# $SCRATCH is a directory of its own.
set -euo pipefail

# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"
# shellcheck source=tests/clients/machine.sh
. "${BASH_SOURCE%/*}/machine.sh"
program=
trap 'stop_program; stop_daemon' EXIT

# What is in the environment of every program: no more than it takes to run.
readonly PLAIN=(PATH="$PATH" HOME="$SCRATCH/home" AWS_EC2_METADATA_DISABLED=true AWS_REGION="$AWS_REGION"
    AWS_ENDPOINT_URL="$AWS_ENDPOINT_URL" NODE_NO_WARNINGS=1)
readonly ENVIRONMENT_KEYS=(AWS_ACCESS_KEY_ID=AKIAEXAMPLE00000ENVI AWS_SECRET_ACCESS_KEY=s)

main() {
    register_machine </dev/null
    run_daemon
    write_programs
    local sdk
    for sdk in boto3 javascript; do
        check_what_is_said "$sdk"
        check_what_is_advised "$sdk"
    done
    ((failures == 0))
}

# Both say the end of the access key that they got, or none, and wait to be ended.
write_programs() {
    mkdir -p "$SCRATCH/home/.aws" "$SCRATCH/app"
    ln -s "$JAVASCRIPT/node_modules" "$SCRATCH/app/node_modules"
    cat >"$SCRATCH/app/program.py" <<'PYTHON'
import time

import boto3

try:
    credentials = boto3.Session().client("sts")._request_signer._credentials
    said = credentials.get_frozen_credentials().access_key[-4:] if credentials else "none"
except Exception:
    said = "none"
print(said, flush=True)
time.sleep(1000)
PYTHON
    cat >"$SCRATCH/app/program.mjs" <<'JAVASCRIPT'
import { STSClient } from "@aws-sdk/client-sts";

const credentials = new STSClient({}).config.credentials();
console.log(await credentials.then((found) => found.accessKeyId.slice(-4), () => "none"));
setTimeout(() => {}, 1_000_000);
JAVASCRIPT
    printf '#!/bin/sh\necho "{\\"Version\\":1,\\"AccessKeyId\\":\\"ASIAEXAMPLE00000PROC\\",%s}"\n' \
        '\"SecretAccessKey\":\"s\"' >"$SCRATCH/process"
    chmod +x "$SCRATCH/process"
}

# run SDK VARIABLE=VALUE...: starts the program, and waits for what it says.
run() {
    local words=(python3 program.py) tries
    [[ $1 == boto3 ]] || words=(node program.mjs)
    shift
    : >"$SCRATCH/said"
    (cd "$SCRATCH/app" && exec env -i "${PLAIN[@]}" "$@" "${words[@]}") >"$SCRATCH/said" 2>/dev/null &
    program=$!
    for ((tries = 0; tries < 300; tries++)); do
        [[ ! -s $SCRATCH/said ]] || break
        sleep 0.1
    done
    said=$(cat "$SCRATCH/said")
}

stop_program() {
    [[ -z $program ]] || { kill "$program" && wait "$program"; } 2>/dev/null || true
    program=
}

# Sets `advice` to the report on the program, and `status` to how advise ended.
advise() {
    status=0
    "${ROLEKEEPER[@]}" advise --pid "$program" --json >"$SCRATCH/advice" 2>/dev/null || status=$?
}

# member PYTHON: an expression over the report `r`.
member() {
    python3 -c "import json, sys; r = json.load(open(sys.argv[1])); print($1)" "$SCRATCH/advice"
}

# The end of the key that advise says is used.
expected() {
    member 'next((__import__("re").sub(r".*(\.\.|/)(\w{4}).*", r"\2", step["detail"]).replace("proc", "PROC")
        for step in r["chain"] if step["verdict"] == "used"), "none")'
}

# situation SDK WHAT CREDENTIALS CONFIG VARIABLE=VALUE...
situation() {
    local sdk=$1 what=$2
    printf '%b' "$3" >"$SCRATCH/home/.aws/credentials"
    printf '%b' "$4" >"$SCRATCH/home/.aws/config"
    shift 4
    run "$sdk" "$@"
    advise
    stop_program
    is "$sdk: $what: recognised" "$sdk" "$(member 'r["sdk"]["name"]')"
    is "$sdk: $what: it uses what advise says ($said)" "$said" "$(expected)"
}

check_what_is_said() {
    local sdk=$1
    local file='[default]\naws_access_key_id=ASIAEXAMPLE00000FILE\naws_secret_access_key=s\n'
    local other='[other]\naws_access_key_id=ASIAEXAMPLE00000OTHR\naws_secret_access_key=s\n'
    local config='[default]\naws_access_key_id=ASIAEXAMPLE00000CONF\naws_secret_access_key=s\n'
    local process="[default]\ncredential_process=$SCRATCH/process\n"
    local plain='[profile plain]\nregion=x\n'
    situation "$sdk" "nothing" '' ''
    situation "$sdk" "a file" "$file" ''
    situation "$sdk" "keys in the environment before all" "$file" "$process" "${ENVIRONMENT_KEYS[@]}"
    situation "$sdk" "half a pair of keys" "$file" '' AWS_ACCESS_KEY_ID=AKIAEXAMPLE00000ENVI
    situation "$sdk" "a process" '' "$process"
    situation "$sdk" "a stale default before a process" "$file" "$process"
    situation "$sdk" "a process in the credentials file" "$process" ''
    situation "$sdk" "keys in both files" "$file" "$config"
    situation "$sdk" "keys in the config file" '' "$config"
    situation "$sdk" "keys and a process in the config file" '' "$config${process#*\\n}"
    situation "$sdk" "AWS_PROFILE" "$file$other" '' AWS_PROFILE=other
    situation "$sdk" "AWS_PROFILE and keys in the environment" "$file$other" '' AWS_PROFILE=other \
        "${ENVIRONMENT_KEYS[@]}"
    situation "$sdk" "AWS_PROFILE that no file has" "$file" '' AWS_PROFILE=gone
    situation "$sdk" "AWS_PROFILE that no file has, and keys" "$file" '' AWS_PROFILE=gone \
        "${ENVIRONMENT_KEYS[@]}"
    situation "$sdk" "AWS_PROFILE without a source" "$file" "$plain" AWS_PROFILE=plain
    situation "$sdk" "AWS_DEFAULT_PROFILE" "$file$other" '' AWS_DEFAULT_PROFILE=other
    situation "$sdk" "both variables for the profile" "$file$other" '' AWS_DEFAULT_PROFILE=other \
        AWS_PROFILE=default
    situation "$sdk" "other files" '' '' AWS_SHARED_CREDENTIALS_FILE="$SCRATCH/home/.aws/config" \
        AWS_CONFIG_FILE=/dev/null
}

check_what_is_advised() {
    local sdk=$1 before=() after=()
    printf '[default]\naws_access_key_id=ASIAEXAMPLE00000FILE\naws_secret_access_key=s\n' \
        >"$SCRATCH/home/.aws/credentials"
    printf '[default]\nregion=x\n' >"$SCRATCH/home/.aws/config"
    before=("${ENVIRONMENT_KEYS[@]}" AWS_PROFILE=gone)
    run "$sdk" "${before[@]}"
    advise
    stop_program
    is "$sdk: a stale program is advised" "78 True" "$status $(member '"unset" in r["remedy"]["shell"]')"
    member 'r["remedy"]["file"]["content"]' >"$(member 'r["remedy"]["file"]["path"]')"
    # Nothing of what was there stays but what the advice leaves.
    mapfile -t after < <(env -i "${before[@]}" sh -c "$(member 'r["remedy"]["shell"]')
        env" | grep '^AWS_')
    run "$sdk" "${after[@]}"
    advise
    stop_program
    is "$sdk: the advice is good" "0 renewed" "$status $(member 'r["verdict"]')"
    is "$sdk: with it the program has ours" "$("${ROLEKEEPER[@]}" credential-process |
        sed -E 's/.*"AccessKeyId":"[^"]*(.{4})",.*/\1/')" "$said"
}

main
