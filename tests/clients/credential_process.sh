#!/usr/bin/env bash
# credential_process and `rolekeeper exec` under the AWS CLI, boto3 and the SDK for JavaScript, which
# fetch new credentials by themselves. Run by run.sh, which says where the lab is; $SCRATCH is a directory of its own. The
# credentials live for seconds here: every program outlives some.
#
# lab options: --token-lifetime 12s
set -euo pipefail

# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"
# shellcheck source=tests/clients/machine.sh
. "${BASH_SOURCE%/*}/machine.sh"

main() {
    register_machine </dev/null
    run_daemon
    use_credential_process
    check_the_aws_cli
    check_boto3
    check_javascript
    check_exec
    check_without_a_daemon
    ((failures == 0))
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
    is "without a daemon the AWS CLI shows our remedy" "try: systemctl restart rolekeeper" \
        "$(aws sts get-caller-identity 2>&1 | grep -o 'try: systemctl restart rolekeeper')"
}

main
