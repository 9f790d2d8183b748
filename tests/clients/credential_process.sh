#!/usr/bin/env bash
# credential_process and `rolekeeper exec` under the AWS CLI, boto3 and the SDK for JavaScript, which
# fetch new credentials by themselves. Run by run.sh, which says where the lab is; $SCRATCH is a directory of its own. The
# credentials live for seconds here: every program outlives some.
#
# lab options: --token-lifetime 12s
set -euo pipefail

readonly ROLEKEEPER=(rolekeeper --config "$SCRATCH/rolekeeper.toml" --state-dir "$SCRATCH/state"
    --runtime-dir "$SCRATCH/run")

# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"
daemon=
trap stop_daemon EXIT

main() {
    start_daemon
    use_credential_process
    check_the_aws_cli
    check_boto3
    check_javascript
    check_exec
    check_without_a_daemon
    ((failures == 0))
}

start_daemon() {
    local id code
    read -r id code < <(aws ssm create-activation --iam-role Web \
        --query '[ActivationId,ActivationCode]' --output text)
    printf '[service]\nendpoint_url = "%s"\n[health]\nenabled = false\n' "$AWS_ENDPOINT_URL" \
        >"$SCRATCH/rolekeeper.toml"
    "${ROLEKEEPER[@]}" register --region "$AWS_REGION" --activation-id "$id" --activation-code-file - \
        <<<"$code" >"$SCRATCH/id" 2>"$SCRATCH/register.log"
    "${ROLEKEEPER[@]}" run 2>"$SCRATCH/daemon.log" &
    daemon=$!
    "${ROLEKEEPER[@]}" refresh >/dev/null 2>&1 || true
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        "${ROLEKEEPER[@]}" credential-process >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$SCRATCH/daemon.log" >&2
    return 1
}

# The one line that an operator writes. The lab's own keys would come before it.
use_credential_process() {
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
    local process="$(type -P rolekeeper) --runtime-dir $SCRATCH/run credential-process"
    printf '[default]\ncredential_process = %s\n' "$process" >"$SCRATCH/config"
    export AWS_CONFIG_FILE=$SCRATCH/config
}

check_the_aws_cli() {
    is "the AWS CLI works by one line in its config" "$(role)" "$(caller_arn)"
}

check_boto3() {
    is "one process of boto3 lives across two expiries" "$(role) 3 keys" "$(lives_on | tail -n 1)"
}

check_javascript() {
    is "one process of the SDK for JavaScript lives across two expiries" "$(role) 3 keys" \
        "$(lives_on_in_javascript)"
}

check_exec() {
    export AWS_CONFIG_FILE=/dev/null
    is "exec: the AWS CLI" "$(role)" "$("${ROLEKEEPER[@]}" exec -- aws sts get-caller-identity \
        --query Arn --output text)"
    printf '[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n' \
        >"$SCRATCH/stale"
    is "exec: keys of a profile do not come first" "$(role)" \
        "$(AWS_PROFILE=default AWS_SHARED_CREDENTIALS_FILE=$SCRATCH/stale \
            "${ROLEKEEPER[@]}" exec -- aws sts get-caller-identity --query Arn --output text)"
    is "exec --container-endpoint: the AWS CLI" "$(role)" \
        "$(AWS_SHARED_CREDENTIALS_FILE=$SCRATCH/stale "${ROLEKEEPER[@]}" exec --container-endpoint -- \
            aws sts get-caller-identity --query Arn --output text)"
    is "exec --container-endpoint: one process of boto3 lives across two expiries" "$(role) 3 keys" \
        "$("${ROLEKEEPER[@]}" exec --container-endpoint -- bash -c "$(declare -f lives_on); lives_on" |
            tail -n 1)"
    is "export: the environment of a script" "$(role)" "$(
        eval "$("${ROLEKEEPER[@]}" export --format env)"
        caller_arn
    )"
}

check_without_a_daemon() {
    stop_daemon
    export AWS_CONFIG_FILE=$SCRATCH/config
    is "without a daemon the AWS CLI shows our remedy" "try: systemctl start rolekeeper" \
        "$(aws sts get-caller-identity 2>&1 | grep -o 'try: systemctl start rolekeeper')"
}

# One process makes a call with each of three access keys, and says how many it has seen.
lives_on() {
    python3 - <<'PYTHON'
import time
import boto3

session = boto3.Session()
sts = session.client("sts")
keys = []
deadline = time.monotonic() + 120
while len(keys) < 3 and time.monotonic() < deadline:
    arn = sts.get_caller_identity()["Arn"]
    key = session.get_credentials().get_frozen_credentials().access_key
    if key not in keys:
        keys.append(key)
    time.sleep(0.5)
print(arn, len(keys), "keys")
PYTHON
}

lives_on_in_javascript() {
    node --input-type=module - <<'JAVASCRIPT'
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.env.JAVASCRIPT}/package.json`));
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
const sts = new STSClient({});
const keys = new Set();
const deadline = Date.now() + 120_000;
let arn;
while (keys.size < 3 && Date.now() < deadline) {
  arn = (await sts.send(new GetCallerIdentityCommand({}))).Arn;
  keys.add((await sts.config.credentials()).accessKeyId);
  await new Promise((done) => setTimeout(done, 500));
}
console.log(arn, keys.size, "keys");
JAVASCRIPT
}

caller_arn() {
    aws sts get-caller-identity --query Arn --output text
}

role() {
    echo "arn:aws:sts::000000000000:assumed-role/Web/$(cat "$SCRATCH/id")"
}

stop_daemon() {
    [[ -z $daemon ]] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
    daemon=
}

main
