#!/usr/bin/env bash
# Faults as the AWS CLI sees them: what it tries again, what it calls an error, what it believes. Run by
# run.sh, which says where the lab is; $SCRATCH is a directory of its own.
#
# lab options: --roles roles.toml
set -euo pipefail

# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"

main() {
    aws ssm create-activation --iam-role Web >"$SCRATCH/activation.json"
    check_retries
    check_errors
    check_answers
    check_an_outage
    check_a_clock
    ((failures == 0))
}

check_retries() {
    local mode
    for mode in legacy standard adaptive; do
        fault --code ThrottlingException --count 2
        is "throttling is tried again ($mode)" "Web" "$(AWS_MAX_ATTEMPTS=3 AWS_RETRY_MODE=$mode role)"
        is "until it was over" "" "$(standing)"
    done
    fault --status 503 --count 1
    is "and so is a service that fails" "Web" "$(AWS_MAX_ATTEMPTS=2 role)"
    fault --reset --count 1
    is "and a connection that is reset" "Web" "$(AWS_MAX_ATTEMPTS=2 role)"
    fault --code ThrottlingException --count 1
    fails "throttling without another attempt" "(ThrottlingException)"
}

check_errors() {
    fault --torn-body --count 1
    fails "half of an answer" "Connection was closed"
    fault --reset --count 1
    fails "a reset" "Connection was closed"
    fault --html --count 1
    fails "a web page" "(502)"
    fault --signature-refusal --count 1
    fails "a refused signature" "(InvalidSignatureException)"
}

check_answers() {
    fault --missing-member ActivationList --count 1
    is "a list that is left out is not there" "None" "$(role)"
    fault --wrong-json --count 1
    is "neither is anything of an answer that is no JSON: botocore takes it" "None" "$(role)"
    local before=$SECONDS
    fault --latency 2s --count 1
    is "a late answer is an answer" "Web" "$(role)"
    is "that was late" "yes" "$( ((SECONDS - before >= 2)) && echo yes)"
    fault --skewed-expiry -2h --count 1
    is "an expiry can lie in the past" "yes" "$(aws sts assume-role --role-session-name one \
        --role-arn arn:aws:iam::000000000000:role/Reader --query Credentials.Expiration --output text |
        { read -r end && (($(date -d "$end" +%s) < $(date +%s))) && echo yes; })"
    fault --skewed-date -2h --count 1
    is "the CLI does not ask what time it is" "Web Web" "$(role) $(role)"
}

check_an_outage() {
    # Longer than the CLI takes to start, on a busy machine too.
    fault --refused-connection --for 10s
    fails "a lab that is away" "Could not connect to the endpoint"
    local tries seen=
    for ((tries = 0; tries < 300; tries++)); do
        seen=$(role 2>/dev/null) && break
        sleep 0.1
    done
    is "is back by itself" "Web" "$seen"
}

# The lab's time is set forward, so that the CLI's clock is late.
check_a_clock() {
    curl -sS --fail --aws-sigv4 "aws:amz:$AWS_REGION:lab" \
        --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        --data '{"Forward":"2h"}' "$AWS_ENDPOINT_URL/_lab/clock" >"$SCRATCH/clock.json"
    fails "a clock two hours late" "Signature expired"
}

# The role of the one activation.
role() {
    aws ssm describe-activations --query 'ActivationList[0].IamRole' --output text
}

fault() {
    rolekeeper-lab fault add "$@" >"$SCRATCH/fault.log"
}

standing() {
    rolekeeper-lab fault list | tail -n +2
}

# fails WHAT TEXT: `role` must not succeed, and say this.
fails() {
    local said
    if said=$(role 2>&1); then
        said="it succeeded: $said"
    elif [[ $said == *"$2"* ]]; then
        said=$2
    fi
    is "$1 is an error" "$2" "$said"
}

main
