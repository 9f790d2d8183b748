#!/usr/bin/env bash
# The daemon's container endpoint and its IMDSv2 endpoint under the AWS CLI, boto3 and the SDK for
# JavaScript. Run by run.sh, which says where the lab is; $SCRATCH is a directory of its own. The
# credentials live for seconds here: programs outlive some, where their SDK takes the end at its word.
#
# lab options: --token-lifetime 12s
set -euo pipefail

# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"
# shellcheck source=tests/clients/machine.sh
. "${BASH_SOURCE%/*}/machine.sh"

main() {
    start_daemon
    # The lab's own keys would come before ours.
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
    check_container
    check_restart
    check_instance
    ((failures == 0))
}

start_daemon() {
    register_machine <<TOML
[endpoint.container]
listen = "127.0.0.1:0"
[endpoint.imds]
listen = "127.0.0.1:0"
[[consumer]]
name = "web"
users = ["$(id -u)"]
token_file = "$SCRATCH/web.token"
mode = "0600"
TOML
    run_daemon
}

check_container() {
    AWS_CONTAINER_CREDENTIALS_FULL_URI=http://$(address container)/credentials/web
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$SCRATCH/web.token
    export AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
    is "container: the AWS CLI" "$(role)" "$(caller_arn)"
    is "container: boto3 takes it for one" container-role "$(method)"
    is "container: one process of boto3 lives across two expiries" "$(role) 3 keys" \
        "$(lives_on | tail -n 1)"
    is "container: one process of the SDK for JavaScript lives across two expiries" \
        "$(role) 3 keys" "$(lives_on_in_javascript)"
    is "container: a wrong token" 403 "$(status -H 'Authorization: wrong')"
}

# Each start makes a new token; who has read the one before is served for an hour still.
check_restart() {
    local first second
    first=$(cat "$SCRATCH/web.token")
    stop_daemon
    run_daemon
    AWS_CONTAINER_CREDENTIALS_FULL_URI=http://$(address container)/credentials/web
    second=$(cat "$SCRATCH/web.token")
    is "container: a restart makes a new token" different \
        "$([[ $first != "$second" ]] && echo different)"
    is "container: and honours the one before" "200 200" \
        "$(status -H "Authorization: $first") $(status -H "Authorization: $second")"
    is "container: the AWS CLI reads the new one" "$(role)" "$(caller_arn)"
    unset AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
}

check_instance() {
    unset AWS_EC2_METADATA_DISABLED
    AWS_EC2_METADATA_SERVICE_ENDPOINT=http://$(address imds)/
    export AWS_EC2_METADATA_SERVICE_ENDPOINT
    is "instance: the AWS CLI" "$(role)" "$(caller_arn)"
    is "instance: boto3 takes it for one" iam-role "$(method)"
    is "instance: the SDK for JavaScript" "$(role) 1 keys" "$(lives_on_in_javascript 1)"
    is "instance: version 1 is not answered" 401 \
        "$(curl -s -o /dev/null -w '%{http_code}' "${AWS_EC2_METADATA_SERVICE_ENDPOINT}latest/meta-data/")"
}

# Where one of the endpoints listens.
address() {
    sed -n "s/.*listens endpoint=\"$1\" address=//p" "$SCRATCH/daemon.log"
}

method() {
    python3 -c 'import boto3; print(boto3.Session().get_credentials().method)'
}

status() {
    curl -s -o /dev/null -w '%{http_code}' "$@" "$AWS_CONTAINER_CREDENTIALS_FULL_URI"
}

main
