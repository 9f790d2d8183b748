#!/usr/bin/env bash
# The EC2 instance that the lab plays, and its container, by curl as AWS's documentation has it and
# by the AWS CLI. Run by run.sh, which says where the lab is.
#
# lab options: --container-token-file container.token
set -euo pipefail

readonly ENDPOINT=$AWS_ENDPOINT_URL
readonly METADATA=$ENDPOINT/latest/meta-data
readonly INSTANCE=arn:aws:sts::000000000000:assumed-role/SSMServiceRole/i-1234567890abcdef0
# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"

main() {
    # The variables that the lab prints as comments, as if they had been pasted.
    instance=$(commented AWS_EC2_METADATA_SERVICE_ENDPOINT)
    uri=$(commented AWS_CONTAINER_CREDENTIALS_FULL_URI)
    token=$(commented AWS_CONTAINER_AUTHORIZATION_TOKEN)
    is "the endpoint is the lab's" "$ENDPOINT/" "$instance"

    check_the_documentations_session
    check_refusals
    check_container
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    check_the_cli_on_the_instance
    check_the_cli_in_the_container
    [[ $failures == 0 ]]
}

# EC2 User Guide, "Access instance metadata for an EC2 instance", with the endpoint's address in
# place of 169.254.169.254.
check_the_documentations_session() {
    TOKEN=$(curl -s -X PUT "$ENDPOINT/latest/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 21600")
    is "the instance's id" i-1234567890abcdef0 \
        "$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" "$METADATA/instance-id")"
    is "its region" "$AWS_REGION" \
        "$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" "$METADATA/placement/region")"
    is "the region in its identity document" "$AWS_REGION" \
        "$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" \
            "$ENDPOINT/latest/dynamic/instance-identity/document" \
            | grep region | cut -d '"' -f 4)"
    role=$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" "$METADATA/iam/security-credentials/")
    is "its role" SSMServiceRole "$role"
    is "the beginning of its access key, cut out as scripts do" ASIA \
        "$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" \
            "$METADATA/iam/security-credentials/$role" \
            | grep AccessKeyId | sed 's/.*: "\(.*\)",/\1/' | cut -c 1-4)"
}

check_refusals() {
    is "no token" 401 "$(status "$METADATA/instance-id")"
    is "an invalid token" 401 \
        "$(status -H 'X-aws-ec2-metadata-token: INVALID' "$METADATA/instance-id")"
    is "a token without a lifetime" 400 "$(status -X PUT "$ENDPOINT/latest/api/token")"
    is "a lifetime that is too long" 400 \
        "$(status -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21601' "$ENDPOINT/latest/api/token")"
    is "a request that a proxy passed on" 403 \
        "$(status -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
            -H 'X-Forwarded-For: 192.0.2.1' "$ENDPOINT/latest/api/token")"
    is "a foreign name" 403 \
        "$(status -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
            -H 'Host: evil.example' "$ENDPOINT/latest/api/token")"
    local short
    short=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 1' "$ENDPOINT/latest/api/token")
    until_is "a token that has ended" 401 \
        status -H "X-aws-ec2-metadata-token: $short" "$METADATA/instance-id"
}

check_container() {
    is "the container's credentials" 200 "$(status -H "Authorization: $token" "$uri")"
    is "no token" 401 "$(status "$uri")"
    is "a wrong token" 403 "$(status -H 'Authorization: wrong' "$uri")"
    is "a path that is none" 404 "$(status -H "Authorization: $token" "$uri/other")"
    is "another method" 405 "$(status -X POST -H "Authorization: $token" "$uri")"
    is "the refusal's code" MissingAuthenticationToken \
        "$(curl -s "$uri" | sed 's/.*"Code":"\([A-Za-z]*\)".*/\1/')"
}

check_the_cli_on_the_instance() {
    export AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=$instance
    export AWS_METADATA_SERVICE_NUM_ATTEMPTS=1
    is "the CLI is the instance" "$INSTANCE" "$(whoami_by_the_cli)"
    is "which may list buckets" rolekeeper-lab "$(buckets)"
    export AWS_EC2_METADATA_DISABLED=true
    unset AWS_EC2_METADATA_SERVICE_ENDPOINT
    is "and is nobody without it" "" "$(whoami_by_the_cli 2>/dev/null || true)"
}

check_the_cli_in_the_container() {
    export AWS_CONTAINER_CREDENTIALS_FULL_URI=$uri
    export AWS_CONTAINER_AUTHORIZATION_TOKEN=$token
    is "the CLI is the container" \
        arn:aws:sts::000000000000:assumed-role/SSMServiceRole/1234567890abcdef1234567890abcdef \
        "$(whoami_by_the_cli)"
    is "which may list buckets" rolekeeper-lab "$(buckets)"
    export AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$SCRATCH/container.token
    export AWS_CONTAINER_AUTHORIZATION_TOKEN=wrong
    is "a token from a file comes first" rolekeeper-lab "$(buckets)"
    unset AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
    is "a wrong token makes it nobody" "" "$(whoami_by_the_cli 2>/dev/null || true)"
    unset AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN
}

whoami_by_the_cli() {
    aws sts get-caller-identity --query Arn --output text
}

buckets() {
    aws s3 ls | cut -d ' ' -f 3
}

# The value of a variable that stands in a comment of the lab's.
commented() {
    sed -n "s/^# export $1=//p" "$SCRATCH/lab.env"
}

status() {
    curl -s -o /dev/null -w '%{http_code}' "$@"
}

main
