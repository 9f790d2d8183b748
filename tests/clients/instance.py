#!/usr/bin/env python3
"""The EC2 instance that the lab plays, and its container, by boto3: what it gets its credentials
from, when it asks again, and what it does without. Run by run.sh, which says where the lab is."""

import datetime
import os
import re
import urllib.request

import boto3
from botocore.utils import InstanceMetadataRegionFetcher

from checks import equal, finish

ROLE = "arn:aws:sts::000000000000:assumed-role/SSMServiceRole/"


def main():
    given = commented(os.path.join(os.environ["SCRATCH"], "lab.env"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    check_instance(given)
    check_container(given)
    check_nobody()
    finish()


def check_instance(given):
    endpoint = given["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    variables = {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint,
        "AWS_EC2_METADATA_DISABLED": "false",
    }
    with environment(variables):
        session = boto3.Session()
        credentials = session.get_credentials()
        equal("boto3 asks the instance", credentials.method, "iam-role")
        equal("and is it", arn(session), ROLE + "i-1234567890abcdef0")
        equal("its buckets", buckets(session), ["rolekeeper-lab"])
        # Inside its last 15 minutes boto3 asks for each call; young credentials save it that.
        left = credentials._expiry_time - datetime.datetime.now(datetime.timezone.utc)
        equal("half an hour is left at least", left > datetime.timedelta(minutes=29), True)
        fetcher = InstanceMetadataRegionFetcher(base_url=endpoint)
        equal("the instance tells its region", fetcher.retrieve_region(), os.environ["AWS_REGION"])


def check_container(given):
    uri = given["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    token = given["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    variables = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
    }
    with environment(variables):
        session = boto3.Session()
        equal("boto3 asks the container", session.get_credentials().method, "container-role")
        equal("and is it", arn(session), ROLE + "1234567890abcdef1234567890abcdef")
        equal("its buckets", buckets(session), ["rolekeeper-lab"])
    path = os.path.join(os.environ["SCRATCH"], "container-token")
    with open(path, "w", encoding="ascii") as file:
        file.write(token)
    from_file = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": path,
    }
    with environment(from_file):
        session = boto3.Session()
        equal("the token may come from a file", buckets(session), ["rolekeeper-lab"])
    for wrong, status in (("", 401), ("wrong", 403)):
        request = urllib.request.Request(uri, headers={"Authorization": wrong} if wrong else {})
        try:
            urllib.request.urlopen(request, timeout=10)
            equal(f"token {wrong!r}", 200, status)
        except urllib.error.HTTPError as error:
            equal(f"token {wrong!r}", error.code, status)
            equal("its refusal is JSON", error.headers["content-type"], "application/json")


def check_nobody():
    equal("without either there are none", boto3.Session().get_credentials(), None)


def arn(session):
    return session.client("sts").get_caller_identity()["Arn"]


def buckets(session):
    return [one["Name"] for one in session.client("s3").list_buckets()["Buckets"]]


def commented(path):
    """The variables that the lab prints as comments."""
    with open(path, encoding="ascii") as file:
        return dict(re.findall(r"^# export (\w+)=(.*)$", file.read(), re.MULTILINE))


class environment:
    """Variables, for as long as a block lasts."""

    def __init__(self, variables):
        self.variables = variables

    def __enter__(self):
        self.before = {name: os.environ.get(name) for name in self.variables}
        os.environ.update(self.variables)

    def __exit__(self, *_):
        for name, value in self.before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


if __name__ == "__main__":
    main()
