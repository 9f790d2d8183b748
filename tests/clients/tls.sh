#!/usr/bin/env bash
# The lab over TLS by clients that check certificates: openssl, the AWS CLI and boto3. Run by run.sh,
# which says where the lab is and what it is to be trusted by; $SCRATCH is a directory of its own.
#
# lab options: --tls
set -euo pipefail

readonly BUNDLE=$AWS_CA_BUNDLE
readonly ADDRESS=${AWS_ENDPOINT_URL#https://}
readonly PORT=${ADDRESS##*:}

# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"

main() {
    check_the_chain
    check_the_aws_cli
    check_boto3
    check_a_machine
    ((failures == 0))
}

check_the_chain() {
    local extensions leaf=$SCRATCH/leaf.pem
    handshake -showcerts | openssl x509 >"$leaf"
    is "the authority vouches for the certificate" "$leaf: OK" \
        "$(openssl verify -x509_strict -purpose sslserver -CAfile "$BUNDLE" "$leaf" 2>&1)"
    is "it names loopback" \
        "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1" \
        "$(openssl x509 -in "$leaf" -noout -ext subjectAltName | sed -n '2s/^ *//p')"
    extensions=$(openssl x509 -in "$BUNDLE" -noout -ext basicConstraints,nameConstraints | tr -s ' \n' ' ')
    is "the authority signs no others, and for loopback alone" \
        "X509v3 Name Constraints: critical Permitted: DNS:localhost IP:127.0.0.0/255.0.0.0\
 IP:0:0:0:0:0:0:0:1/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF\
 X509v3 Basic Constraints: critical CA:TRUE, pathlen:0 " "$extensions"
    is "its name says what it is" "subject=CN=Rolekeeper lab CA (rehearsal only)" \
        "$(openssl x509 -in "$BUNDLE" -noout -subject -nameopt RFC2253)"
    local version
    for version in tls1_2 tls1_3; do
        is "openssl trusts it over $version" "Verification: OK" \
            "$(handshake -"$version" -verify_ip 127.0.0.1 | grep ^Verification)"
    done
    is "HTTP/1.1 is agreed on" "ALPN protocol: http/1.1" \
        "$(handshake -alpn h2,http/1.1 | grep ^ALPN)"
    is "TLS 1.1 is not spoken" "Cipher is (NONE)" "$(handshake -tls1_1 | grep -o 'Cipher is .*')"
    is "the authority's key is for its owner alone" "600" \
        "$(stat -c %a "${BUNDLE%/*}/ca.key")"
}

check_the_aws_cli() {
    is "the AWS CLI works with AWS_CA_BUNDLE" "000000000000" \
        "$(aws sts get-caller-identity --query Account --output text)"
    is "and by the name of localhost" "000000000000" \
        "$(aws sts get-caller-identity --endpoint-url "https://localhost:$PORT" \
            --query Account --output text)"
    is "without AWS_CA_BUNDLE it refuses" "CERTIFICATE_VERIFY_FAILED" \
        "$(said env -u AWS_CA_BUNDLE aws sts get-caller-identity)"
    is "plain HTTP is told that this is TLS" "this lab speaks TLS: $AWS_ENDPOINT_URL" \
        "$(python3 -c 'import sys, urllib.request, urllib.error
try: urllib.request.urlopen(sys.argv[1], b"a body")
except urllib.error.HTTPError as error: print(error.read().decode().strip())' "http://$ADDRESS")"
}

check_boto3() {
    is "boto3 works with AWS_CA_BUNDLE" "000000000000" "$(by_boto3)"
    is "without AWS_CA_BUNDLE it refuses" "CERTIFICATE_VERIFY_FAILED" \
        "$(unset AWS_CA_BUNDLE; said by_boto3)"
}

by_boto3() {
    python3 -c 'import boto3; print(boto3.client("sts").get_caller_identity()["Account"])'
}

# The lab's own commands, and the real daemon's first one.
check_a_machine() {
    local id code where=(--state-dir "$SCRATCH/state" --runtime-dir "$SCRATCH/run")
    read -r id code < <(aws ssm create-activation --iam-role Web \
        --query '[ActivationId,ActivationCode]' --output text)
    : >"$SCRATCH/rolekeeper.toml"
    local register=(rolekeeper --config "$SCRATCH/rolekeeper.toml" "${where[@]}" register
        --region "$AWS_REGION" --endpoint-url "$AWS_ENDPOINT_URL" --activation-id "$id"
        --activation-code-file -)
    is "without AWS_CA_BUNDLE a machine does not register" "UnknownIssuer" \
        "$(env -u AWS_CA_BUNDLE "${register[@]}" <<<"$code" 2>&1 | grep -o UnknownIssuer)"
    local node
    node=$("${register[@]}" <<<"$code" 2>"$SCRATCH/register.log")
    is "with it it does" "$node" \
        "$(rolekeeper-lab node list --json | python3 -c \
            'import json, sys; print(json.load(sys.stdin)["InstanceInformationList"][0]["InstanceId"])')"
}

handshake() {
    openssl s_client -connect "$ADDRESS" -CAfile "$BUNDLE" "$@" </dev/null 2>/dev/null || true
}

# said COMMAND...: what a command that fails says about certificates.
said() {
    "$@" 2>&1 | grep -o CERTIFICATE_VERIFY_FAILED | head -n 1
}

main
