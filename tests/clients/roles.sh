#!/usr/bin/env bash
# Targets with roles of their own, from an STS that nobody here wrote: moto's. What they are assumed from
# comes of the lab. Run by run.sh, which says where the lab and moto are; $SCRATCH is a directory of its
# own.
set -euo pipefail

readonly HUB=arn:aws:iam::111122223333:role/hub
readonly LEAF=arn:aws:iam::444455556666:role/leaf

machine=
moto=
# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"
trap stop_both EXIT

main() {
    start_moto
    start_machine
    check_a_role
    check_a_chain
    check_the_registered_role
    check_an_outage
    ((failures == 0))
}

start_moto() {
    "$MOTO/bin/moto_server" -H 127.0.0.1 -p 0 >"$SCRATCH/moto.log" 2>&1 &
    moto=$!
    wait_for "moto" grep -q 'Running on' "$SCRATCH/moto.log"
    sts=$(sed -n 's/.*Running on \(http:[^ ]*\).*/\1/p' "$SCRATCH/moto.log" | head -n 1)
}

start_machine() {
    export ROLEKEEPER_CONFIG=$SCRATCH/rolekeeper.toml
    export STATE_DIRECTORY=$SCRATCH/state RUNTIME_DIRECTORY=$SCRATCH/run
    cat >"$ROLEKEEPER_CONFIG" <<-END
	[service]
	endpoint_url = "$AWS_ENDPOINT_URL"
	sts_endpoint_url = "$sts"
	[[target]]
	name = "default"
	path = "$SCRATCH/default"
	[[target]]
	name = "hub"
	path = "$SCRATCH/hub"
	role_arn = "$HUB"
	session_name = "nightly"
	external_id = "ours/7"
	source_identity = "alice"
	tags = { Team = "a b", Job = "c" }
	transitive_tags = ["Team"]
	duration = "15m"
	session_policy = '{ "Statement": { "Effect": "Allow", "Action": "s3:*", "Resource": "*" } }'
	session_policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
	[[target]]
	name = "leaf"
	path = "$SCRATCH/leaf"
	role_chain = ["$HUB", "$LEAF"]
	END
    local activation code
    read -r activation code < <(aws ssm create-activation --iam-role Web \
        --query '[ActivationId,ActivationCode]' --output text)
    node=$(rolekeeper register --region "$AWS_REGION" --endpoint-url "$AWS_ENDPOINT_URL" \
        --activation-id "$activation" --activation-code-file - <<<"$code" 2>"$SCRATCH/register.log")
    rolekeeper run 2>"$SCRATCH/daemon.log" &
    machine=$!
    wait_for "the daemon" rolekeeper refresh
}

check_a_role() {
    is "a role's file is its session's" \
        "arn:aws:sts::111122223333:assumed-role/hub/nightly" "$(identity hub "$sts")"
    is "it lives as long as it was asked to" "900" "$(life hub)"
}

check_a_chain() {
    is "a chain ends in its last role" \
        "arn:aws:sts::444455556666:assumed-role/leaf/$node" "$(identity leaf "$sts")"
    is "for an hour" "3600" "$(life leaf)"
}

check_the_registered_role() {
    is "a target without a role has the registered one" \
        "arn:aws:sts::000000000000:assumed-role/Web/$node" "$(identity default "$AWS_ENDPOINT_URL")"
}

check_an_outage() {
    local before
    before=$(<"$SCRATCH/hub")
    kill "$moto"
    wait "$moto" || true
    moto=
    is "without STS, a refresh says so" "69" "$(rolekeeper refresh &>/dev/null || echo $?)"
    is "and the file is what it was" "$before" "$(<"$SCRATCH/hub")"
    is "as is the registered role" "fresh unreachable" \
        "$(rolekeeper status --json | python3 -c 'import json, sys
status = json.load(sys.stdin)
hub, = (target for target in status["targets"] if target["name"] == "hub")
print(status["state"], hub["failure"]["class"])')"
}

identity() {
    env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY AWS_SHARED_CREDENTIALS_FILE="$SCRATCH/$1" \
        aws sts get-caller-identity --endpoint-url "$2" --query Arn --output text
}

# Seconds, to the minute: an answer takes a while.
life() {
    rolekeeper status --json | python3 -c 'import datetime, json, sys
target, = (one for one in json.load(sys.stdin)["targets"] if one["name"] == sys.argv[1])
of = lambda name: datetime.datetime.fromisoformat(target["credentials"][name].replace("Z", "+00:00"))
print(60 * round((of("expires_at") - of("issued_at")).total_seconds() / 60))' "$1"
}

# wait_for NAME COMMAND...
wait_for() {
    local name=$1 tries
    shift
    for ((tries = 0; tries < 100; tries++)); do
        "$@" &>/dev/null && return
        sleep 0.2
    done
    echo "no $name:" >&2
    cat "$SCRATCH"/*.log >&2
    return 1
}

stop_both() {
    local process
    for process in $machine $moto; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
}

main
