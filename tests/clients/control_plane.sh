#!/usr/bin/env bash
# The control plane by the AWS CLI, as its documentation shows it. Run by run.sh, which says where the
# lab is; $SCRATCH is a directory of its own.
set -euo pipefail

readonly DEFAULT_HOST_ROLE=/ssm/managed-instance/default-ec2-instance-management-role
readonly NOBODYS_ROLE="\$None Default"

machine=
# shellcheck source=tests/clients/checks.sh
. "${BASH_SOURCE%/*}/checks.sh"
trap stop_machine EXIT

main() {
    check_activations
    check_a_machine
    check_tags
    check_settings
    check_refusals
    check_deregistration
    ((failures == 0))
}

check_activations() {
    local in_a_week
    in_a_week=$(date -u -d '+7 days' +%Y-%m-%dT%H:%M:%S)
    read -r activation code < <(aws ssm create-activation --iam-role service-role/Web \
        --default-instance-name web --description "for the web" --registration-limit 3 \
        --expiration-date "$in_a_week" --tags Key=OS,Value=Debian Key=Env,Value=test \
        --query '[ActivationId,ActivationCode]' --output text)
    is "the description of an activation shows what was asked for" \
        "service-role/Web web 3 0 False" \
        "$(of_activation 'IamRole,DefaultInstanceName,RegistrationLimit,RegistrationsCount,Expired')"
    is "its tags are there" "Env OS" "$(of_activation 'Tags[].Key|sort(@)')"
    is "it ends when it was asked to" "$in_a_week" "$(of_activation ExpirationDate | cut -c1-19)"
    is "another name's filter does not find it" "None" \
        "$(aws ssm describe-activations --filters FilterKey=DefaultInstanceName,FilterValues=db \
            --query 'ActivationList[0]' --output text)"
}

# The real daemon registers and says that it is alive.
check_a_machine() {
    export ROLEKEEPER_CONFIG=$SCRATCH/rolekeeper.toml
    cat >"$ROLEKEEPER_CONFIG" <<-END
	[service]
	endpoint_url = "$AWS_ENDPOINT_URL"
	[[target]]
	name = "default"
	path = "$SCRATCH/credentials"
	END
    local where=(--state-dir "$SCRATCH/state" --runtime-dir "$SCRATCH/run")
    mkdir "$SCRATCH/run"
    node=$(rolekeeper "${where[@]}" register --region "$AWS_REGION" \
        --endpoint-url "$AWS_ENDPOINT_URL" --activation-id "$activation" \
        --activation-code-file - <<<"$code" 2>"$SCRATCH/register.log")
    is "the activation's filter finds the machine that registered" "$node" \
        "$(aws ssm describe-instance-information --filters "Key=ActivationIds,Values=$activation" \
            --query 'InstanceInformationList[].InstanceId' --output text)"
    is "it has its activation's name and role" "web service-role/Web" \
        "$(of_node Name,IamRole)"
    is "the activation counts it" "1" "$(of_activation RegistrationsCount)"
    is "it is not online before its first ping" "ConnectionLost" "$(of_node PingStatus)"

    rolekeeper "${where[@]}" run >"$SCRATCH/daemon.log" 2>&1 &
    machine=$!
    until_is "the daemon's ping makes it online" "Online" of_node PingStatus
    is "the platform's filter finds it" "$node" \
        "$(aws ssm describe-instance-information --query 'InstanceInformationList[].InstanceId' \
            --instance-information-filter-list key=PlatformTypes,valueSet=Linux --output text)"

    aws ssm update-managed-instance-role --instance-id "$node" --iam-role Other
    rolekeeper "${where[@]}" refresh >"$SCRATCH/refresh.log"
    is "a changed role is the next token's" \
        "arn:aws:sts::000000000000:assumed-role/Other/$node" "$(by_the_machine)"
}

check_tags() {
    local which=(--resource-type ManagedInstance --resource-id "$node")
    is "a machine inherits its activation's tags" "Env=test OS=Debian" "$(tags "${which[@]}")"
    aws ssm add-tags-to-resource "${which[@]}" --tags Key=OS,Value=Ubuntu Key=Owner,Value=me
    aws ssm remove-tags-from-resource "${which[@]}" --tag-keys Env
    is "tags are added, replaced and removed" "OS=Ubuntu Owner=me" "$(tags "${which[@]}")"
    is "a tag finds it" "$node" \
        "$(aws ssm describe-instance-information --filters Key=tag:OS,Values=Ubuntu,Debian \
            --query 'InstanceInformationList[].InstanceId' --output text)"
}

check_settings() {
    local arn=arn:aws:ssm:$AWS_REGION:000000000000:servicesetting$DEFAULT_HOST_ROLE
    is "no role is every EC2 instance's at first" "$NOBODYS_ROLE" "$(setting "$arn")"
    aws ssm update-service-setting --setting-id "$arn" --setting-value service-role/Host
    is "a role can be set" "service-role/Host Customized" "$(setting "$DEFAULT_HOST_ROLE")"
    aws ssm reset-service-setting --setting-id "$arn" >"$SCRATCH/reset.json"
    is "and reset" "$NOBODYS_ROLE" "$(setting "$arn")"
}

check_refusals() {
    refused "an activation for more than 30 days" ValidationException \
        create-activation --iam-role Role --expiration-date "$(date -u -d '+31 days' +%FT%T)"
    refused "more than 1000 machines" ValidationException \
        create-activation --iam-role Role --registration-limit 1001
    refused "an activation that is none" InvalidActivation \
        delete-activation --activation-id 01234567-89ab-cdef-0123-456789abcdef
    refused "an id that is none" ValidationException delete-activation --activation-id nonsense
    refused "a filter that is none" InvalidFilterKey \
        describe-instance-information --filters Key=Colour,Values=red
    refused "two resource types" InvalidInstanceInformationFilterValue \
        describe-instance-information --filters Key=ResourceType,Values=EC2Instance,ManagedInstance
    refused "tags and more in one filter" ValidationException describe-instance-information \
        --filters Key=tag:OS,Values=Ubuntu Key=PingStatus,Values=Online
    refused "a page's token that is none" InvalidNextToken \
        describe-activations --starting-token "$(page_token nonsense)"
    refused "tags for an activation that exists" ValidationException add-tags-to-resource \
        --resource-type Activation --resource-id "$activation" --tags Key=a,Value=b
    refused "tags of a node that is none" InvalidResourceId list-tags-for-resource \
        --resource-type ManagedInstance --resource-id mi-00000000000000000
    refused "a setting that is none" ServiceSettingNotFound \
        get-service-setting --setting-id /ssm/none
}

check_deregistration() {
    aws ssm deregister-managed-instance --instance-id "$node"
    is "a node that was deregistered is gone" "0" \
        "$(aws ssm describe-instance-information --query 'length(InstanceInformationList)')"
    refused "to deregister it again" InvalidInstanceId deregister-managed-instance --instance-id "$node"
    aws ssm delete-activation --activation-id "$activation"
    is "an activation that was deleted is gone" "0" \
        "$(aws ssm describe-activations --query 'length(ActivationList)')"
}

of_activation() {
    aws ssm describe-activations --filters "FilterKey=ActivationIds,FilterValues=$activation" \
        --query "ActivationList[0].[$1]" --output text | tr '\t\n' '  ' | sed 's/ *$//'
}

of_node() {
    aws ssm describe-instance-information --filters "Key=InstanceIds,Values=$node" \
        --query "InstanceInformationList[0].[$1]" --output text | tr '\t' ' '
}

tags() {
    aws ssm list-tags-for-resource "$@" --query 'TagList[].[Key,Value]' --output text \
        | tr '\t' '=' | sort | paste -sd ' '
}

setting() {
    aws ssm get-service-setting --setting-id "$1" \
        --query 'ServiceSetting.[SettingValue,Status]' --output text | tr '\t' ' '
}

# Who the machine's own credentials say it is.
by_the_machine() {
    env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY \
        AWS_SHARED_CREDENTIALS_FILE="$SCRATCH/credentials" \
        aws sts get-caller-identity --query Arn --output text
}

# The AWS CLI wraps the service's token in one of its own.
page_token() {
    printf '{"NextToken": "%s"}' "$1" | base64 -w 0
}

refused() {
    local what=$1 code=$2 said
    shift 2
    if said=$(aws ssm "$@" 2>&1); then
        is "$what: refused" "$code" "done"
    else
        is "$what: refused" "$code" "$(sed -n 's/^.*An error occurred (\([A-Za-z]*\)).*$/\1/p' <<<"$said")"
    fi
}

stop_machine() {
    if [[ -n $machine ]]; then
        kill "$machine" 2>/dev/null || true
    fi
}

main
