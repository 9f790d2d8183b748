#!/usr/bin/env bash
# The lab and the daemon under clients that nobody here wrote: the AWS CLI and AWS's SDKs against
# `rolekeeper-lab serve` and `rolekeeper run`.
#
#   tests/clients/run.sh [DIRECTORY [SCRIPT...]]
#
# DIRECTORY is that of rolekeeper and rolekeeper-lab, target/debug by default, with the examples
# rust-client and credentials-files in examples/. Without a SCRIPT all are run; one may be given with its
# arguments, as one word.
#
# Python 3 with venv is needed, openssl, curl, node and npm; by sdk_table.py Go, Ruby, libfaketime and
# Debian's packages of AWS's SDKs for them and of the AWS CLI; by chain_fuzz.py Go 1.24, a JDK and Maven
# (.ci/run installs them). Another awscli, boto3 and moto (another stand-in for STS) come from PyPI once,
# the SDK for JavaScript from npm, the current ones for Go and Java from their module proxy and from Maven
# Central, into $XDG_CACHE_HOME/rolekeeper-clients (default ~/.cache); delete that directory to have newer
# ones.
# Each script gets a lab of its own: a fresh one, on a free loopback port, with the options of `serve`
# that the script asks for in a line that begins with "# lab options:" (in JavaScript, "// lab
# options:"), and roles.toml beside it. A machine that it starts is the real daemon. Prints one line per
# check and exits non-zero if one failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

programs=$(realpath "${1:-target/debug}")
readonly programs
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/rolekeeper-clients
readonly VENV=$CACHE/venv
export MOTO=$CACHE/moto
export JAVASCRIPT=$CACHE/javascript
# Programs of chain_fuzz.py.
export CHAIN_CLIENTS=$CACHE/chain
# With which the SDK for Go is built where Go itself is too old.
readonly GO_RELEASE=go1.24.11
readonly PACKAGES=(client-ssm client-sts client-s3 credential-providers)

readonly SCRIPTS=(
    control_plane.sh
    control_plane.py
    advise.sh
    credential_process.sh
    endpoints.sh
    instance.sh
    instance.py
    instance.mjs
    default_host.py
    faults.sh
    files.py
    javascript.mjs
    tls.sh
    roles.sh
    sdk_table.py
    chain_fuzz.py
)
# What is asked for, or all of them.
scripts=("${@:2}")
((${#scripts[@]})) || scripts=("${SCRIPTS[@]}")
readonly scripts

scratch=$(mktemp -d)
readonly scratch
lab=
trap stop_everything EXIT

main() {
    install_clients
    forget_the_callers_account
    local script words failed=0
    for script in "${scripts[@]}"; do
        echo "-- $script"
        read -ra words <<<"$script"
        start_lab "${words[0]}"
        "tests/clients/${words[0]}" "${words[@]:1}" || { echo "-- $script: FAILED" >&2; failed=1; }
        stop_lab
    done
    return "$failed"
}

# Only what is missing, or broken since; one run at a time.
install_clients() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    flock 9
    if ! has_clients &>/dev/null; then
        rm -rf "$VENV"
        python3 -m venv "$VENV"
        "$VENV/bin/pip" install --quiet --disable-pip-version-check awscli boto3
    fi
    # Its own Python packages are not the clients'.
    if ! has_moto &>/dev/null; then
        rm -rf "$MOTO"
        python3 -m venv "$MOTO"
        "$MOTO/bin/pip" install --quiet --disable-pip-version-check 'moto[server]'
    fi
    if ! has_javascript &>/dev/null; then
        rm -rf "$JAVASCRIPT"
        mkdir "$JAVASCRIPT"
        npm install --silent --no-fund --no-audit --prefix "$JAVASCRIPT" "${PACKAGES[@]/#/@aws-sdk/}"
    fi
    # The other scripts need none of it.
    if [[ " ${scripts[*]} " == *" chain_fuzz.py"* ]] && ! has_chain_clients; then
        build_chain_clients
    fi
    exec 9>&-
    has_clients
    has_moto
    has_javascript
    PATH=$VENV/bin:$programs:$programs/examples:$PATH
    export PATH
}

has_clients() {
    "$VENV/bin/aws" --version && "$VENV/bin/python3" -c 'import boto3; print("boto3", boto3.__version__)'
}

# Built from these very sources.
has_chain_clients() {
    [[ -e $CHAIN_CLIENTS/built ]] \
        && [[ -z $(find tests/clients/chain/go tests/clients/chain/java -newer "$CHAIN_CLIENTS/built") ]]
}

build_chain_clients() {
    mkdir -p "$CHAIN_CLIENTS"
    local go
    go=$(modern_go)
    (cd tests/clients/chain/go && CGO_ENABLED=0 GOFLAGS=-mod=readonly GO111MODULE=on \
        "$go" build -o "$CHAIN_CLIENTS/chain-go" .)
    local classpath=$CHAIN_CLIENTS/java.classpath
    (cd tests/clients/chain/java && mvn --quiet --batch-mode dependency:build-classpath \
        "-Dmdep.outputFile=$classpath")
    javac -cp "$(<"$classpath")" -d "$CHAIN_CLIENTS/java" tests/clients/chain/java/src/main/java/*.java
    touch "$CHAIN_CLIENTS/built"
}

# One that the SDK can be built with. From 1.21 on Go fetches what it needs by itself; for Debian 12's the
# same archive is fetched as a module, whose files are not executable.
modern_go() {
    local version archive directory
    version=$(go env GOVERSION)
    if [[ $(printf '%s\n' go1.21 "$version" | sort --version-sort | head -n 1) == go1.21 ]]; then
        echo go
        return
    fi
    archive=golang.org/toolchain@v0.0.1-$GO_RELEASE.linux-$(go env GOARCH)
    (cd "$CHAIN_CLIENTS" && GO111MODULE=on go mod download "$archive")
    directory=$(go env GOMODCACHE)/$archive
    chmod u+x "$directory"/bin/* "$directory"/pkg/tool/*/*
    echo "$directory/bin/go"
}

has_moto() {
    "$MOTO/bin/python3" -c 'import moto.server; print("moto", moto.__version__)'
}

has_javascript() {
    (cd "$JAVASCRIPT" && node --print '"AWS SDK for JavaScript " + process.argv.slice(1).map((name) =>
        require(`@aws-sdk/${name}`) && require(`@aws-sdk/${name}/package.json`).version).join(" ")' \
        "${PACKAGES[@]}")
}

# Nothing of the caller's own account is read, used or printed.
forget_the_callers_account() {
    local name
    for name in $(compgen -e | grep '^AWS_'); do
        unset "$name"
    done
    # Both generations of the AWS CLI write a time alike when they are told how.
    printf '[default]\ncli_timestamp_format = iso8601\n' >"$scratch/config"
    export AWS_CONFIG_FILE=$scratch/config AWS_SHARED_CREDENTIALS_FILE=/dev/null
    # Nothing is written beside the scripts.
    export PYTHONDONTWRITEBYTECODE=1
    export AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1 AWS_PAGER=
    # The SDK warns months before it gives a version of Node.js up.
    export NODE_NO_WARNINGS=1
}

start_lab() {
    local options
    read -ra options < <(sed -En 's,^(#|//) lab options: ,,p' "tests/clients/$1") || true
    export SCRATCH=$scratch/lab
    rm -rf "$SCRATCH"
    mkdir "$SCRATCH"
    cp tests/clients/roles.toml "$SCRATCH"
    # What it keeps by default goes there, too.
    unset AWS_CA_BUNDLE
    (cd "$SCRATCH" && exec rolekeeper-lab serve --listen 127.0.0.1:0 --env-file lab.env "${options[@]}") \
        >"$SCRATCH/lab.log" 2>&1 &
    lab=$!
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if [[ -s $SCRATCH/lab.env ]]; then
            # shellcheck disable=SC1091
            . "$SCRATCH/lab.env"
            return
        fi
        kill -0 "$lab" 2>/dev/null || break
        sleep 0.1
    done
    echo "the lab did not start:" >&2
    cat "$SCRATCH/lab.log" >&2
    return 1
}

stop_lab() {
    kill "$lab"
    wait "$lab"
    lab=
}

stop_everything() {
    if [[ -n $lab ]]; then
        kill "$lab" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}

main
