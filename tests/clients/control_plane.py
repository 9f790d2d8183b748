#!/usr/bin/env python3
"""The control plane by boto3: paginators, modelled errors, parsed times. Run by run.sh, which says
where the lab is. Machines register here without a daemon, so that there are enough for pages."""

import base64
import datetime
import json
import os
import subprocess
import urllib.request

import boto3
import botocore
from botocore.exceptions import ClientError

from checks import equal, finish

MACHINES = 12
ACTIVATIONS = 7
DEFAULT_HOST_ROLE = "/ssm/managed-instance/default-ec2-instance-management-role"

ssm = boto3.client("ssm")


def main():
    check_activations()
    check_pages_of_nodes()
    check_tags()
    check_setting()
    check_validation()
    finish()


def check_activations():
    now = datetime.datetime.now(datetime.timezone.utc)
    ids = [
        ssm.create_activation(IamRole=f"Role{number % 2}")["ActivationId"]
        for number in range(ACTIVATIONS)
    ]
    pages = list(
        ssm.get_paginator("describe_activations").paginate(PaginationConfig={"PageSize": 3})
    )
    equal("activations come in pages", [len(page["ActivationList"]) for page in pages], [3, 3, 1])
    listed = [one for page in pages for one in page["ActivationList"]]
    equal("each once", sorted(one["ActivationId"] for one in listed), sorted(ids))
    life = listed[0]["ExpirationDate"] - listed[0]["CreatedDate"]
    equal("an activation lasts a day", life, datetime.timedelta(days=1))
    equal("and was created now", abs(listed[0]["CreatedDate"] - now).total_seconds() < 60, True)
    found = ssm.describe_activations(
        Filters=[{"FilterKey": "IamRole", "FilterValues": ["Role1", "Role9"]}]
    )
    equal("a filter takes any of its values", len(found["ActivationList"]), ACTIVATIONS // 2)
    for one in ids:
        ssm.delete_activation(ActivationId=one)
    raises(
        "a deleted one",
        ssm.exceptions.InvalidActivation,
        lambda: ssm.delete_activation(ActivationId=ids[0]),
    )


def check_pages_of_nodes():
    activation = ssm.create_activation(
        IamRole="Role", RegistrationLimit=MACHINES, Tags=[{"Key": "Fleet", "Value": "Größe 1"}]
    )
    ids = [register(activation) for _ in range(MACHINES)]
    equal("one more is refused", register(activation), "RegistrationLimitExceeded")
    paginator = ssm.get_paginator("describe_instance_information")
    pages = list(paginator.paginate())
    sizes = [len(page["InstanceInformationList"]) for page in pages]
    equal("a page of nodes holds ten unless asked", sizes, [10, 2])
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 5}))
    listed = [one["InstanceId"] for page in pages for one in page["InstanceInformationList"]]
    equal("nodes come in pages, each once", sorted(listed), sorted(ids))
    tagged = paginator.paginate(Filters=[{"Key": "tag:Fleet", "Values": ["Größe 1"]}])
    count = sum(len(page["InstanceInformationList"]) for page in tagged)
    equal("all have their activation's tag", count, MACHINES)
    first = ssm.describe_instance_information(MaxResults=5)
    ssm.deregister_managed_instance(InstanceId=ids[0])
    rest = ssm.describe_instance_information(MaxResults=50, NextToken=first["NextToken"])
    shown = [one["InstanceId"] for one in rest["InstanceInformationList"]]
    equal("a node that goes meanwhile costs no other", shown, listed[5:])
    raises(
        "another list's token",
        ssm.exceptions.InvalidNextToken,
        lambda: ssm.describe_activations(NextToken=first["NextToken"]),
    )


def check_tags():
    node = ssm.describe_instance_information()["InstanceInformationList"][0]["InstanceId"]
    resource = {"ResourceType": "ManagedInstance", "ResourceId": node}
    fifty = [{"Key": f"key{number}", "Value": ""} for number in range(50)]
    raises(
        "51 tags",
        ssm.exceptions.TooManyTagsError,
        lambda: ssm.add_tags_to_resource(**resource, Tags=fifty),
    )
    ssm.add_tags_to_resource(**resource, Tags=fifty[:49])
    equal("50 fit", len(ssm.list_tags_for_resource(**resource)["TagList"]), 50)
    ssm.remove_tags_from_resource(**resource, TagKeys=[tag["Key"] for tag in fifty])
    left = ssm.list_tags_for_resource(**resource)["TagList"]
    equal("the one that was not named stays", left, [{"Key": "Fleet", "Value": "Größe 1"}])


def check_setting():
    ssm.update_service_setting(SettingId=DEFAULT_HOST_ROLE, SettingValue="Host")
    setting = ssm.get_service_setting(SettingId=DEFAULT_HOST_ROLE)["ServiceSetting"]
    equal("who set the role is shown", setting["LastModifiedUser"].split("/")[-1], "lab-admin")
    reset = ssm.reset_service_setting(SettingId=DEFAULT_HOST_ROLE)["ServiceSetting"]
    equal("a reset answers with the default", reset["Status"], "Default")


def check_validation():
    """What botocore would refuse itself is sent all the same: the service must say it too."""
    careless = boto3.client("ssm", config=botocore.config.Config(parameter_validation=False))
    for call, arguments, said in [
        ("create_activation", {}, "Value null at 'iamRole'"),
        ("create_activation", {"IamRole": "R" * 65}, "less than or equal to 64"),
        ("create_activation", {"IamRole": "R", "RegistrationLimit": 0}, "equal to 1"),
        ("describe_activations", {"MaxResults": 51}, "less than or equal to 50"),
        ("describe_instance_information", {"MaxResults": 4}, "equal to 5"),
        ("update_managed_instance_role", {}, "2 validation errors detected"),
        ("deregister_managed_instance", {"InstanceId": "i-1"}, "regular expression pattern"),
        ("get_service_setting", {}, "Value null at 'settingId'"),
    ]:
        try:
            getattr(careless, call)(**arguments)
            equal(f"{call} {arguments}: refused", "done", said)
        except ClientError as error:
            error = error.response["Error"]
            equal(f"{call} {arguments}: refused", error["Code"], "ValidationException")
            equal(f"{call} {arguments}: says why", said in error["Message"], True)


def register(activation):
    """RegisterManagedInstance, which no SDK has: the new node's id, or the error's code."""
    key = subprocess.run(
        ["openssl", "genrsa", "2048"], check=True, capture_output=True
    ).stdout
    public = subprocess.run(
        ["openssl", "pkey", "-pubout", "-outform", "DER"],
        check=True,
        capture_output=True,
        input=key,
    ).stdout
    body = {
        "ActivationId": activation["ActivationId"],
        "ActivationCode": activation["ActivationCode"],
        "Fingerprint": "f6699b39-9f9a-4a34-8cea-d81c17d5fa4d",
        "PublicKey": base64.b64encode(public).decode(),
        "PublicKeyType": "Rsa",
    }
    request = urllib.request.Request(
        os.environ["AWS_ENDPOINT_URL"],
        json.dumps(body).encode(),
        {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "AmazonSSM.RegisterManagedInstance",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["InstanceId"]
    except urllib.error.HTTPError as error:
        return json.load(error)["__type"]


def raises(what, expected, call):
    try:
        call()
        equal(f"{what}: refused", "done", expected.__name__)
    except ClientError as error:
        equal(f"{what}: refused", type(error), expected)


if __name__ == "__main__":
    main()
