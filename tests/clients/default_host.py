#!/usr/bin/env python3
"""Default Host Management as an agent on EC2 goes through it, signed by botocore and by openssl: the
instance's identity registers a key and proves it. Run by run.sh, which says where the lab is."""

import base64
import json
import os
import subprocess
import urllib.request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from checks import equal, finish

INSTANCE = "i-1234567890abcdef0"
ROLE = "AWSSystemsManagerDefaultEC2InstanceManagementRole"
SETTING = "/ssm/managed-instance/default-ec2-instance-management-role"

endpoint = os.environ["AWS_ENDPOINT_URL"]
key_file = os.path.join(os.environ["SCRATCH"], "host.pem")


def main():
    subprocess.run(
        ["openssl", "genrsa", "-out", key_file, "2048"], check=True, capture_output=True
    )
    identity = from_metadata("identity-credentials/ec2/security-credentials/ec2-instance")
    profile = from_metadata("iam/security-credentials/SSMServiceRole")

    registration = {
        "Fingerprint": INSTANCE,
        "PublicKey": openssl("pkey", "-in", key_file, "-pubout", "-outform", "DER"),
        "PublicKeyType": "Rsa",
    }
    answer = call(identity, "RegisterManagedInstance", registration)
    equal("the instance registers by its identity", answer, {"InstanceId": INSTANCE})
    answer = call(identity, "RegisterManagedInstance", registration)
    equal("once", answer["__type"], "InstanceAlreadyRegistered")
    ping = {
        "InstanceId": INSTANCE,
        "AgentName": "amazon-ssm-agent",
        "AgentVersion": "3.3.987.0",
        "PlatformType": "Linux",
    }
    answer = call(profile, "UpdateInstanceInformation", ping)
    equal("its own role may not report", answer["__type"], "AccessDeniedException")

    wish = {"Fingerprint": INSTANCE}
    answer = call(identity, "RequestManagedInstanceRoleToken", wish, proves=True)
    equal("without the setting there is no token", answer["__type"], "AccessDeniedException")
    boto3.client("ssm").update_service_setting(
        SettingId=SETTING, SettingValue=f"service-role/{ROLE}"
    )
    answer = call(identity, "RequestManagedInstanceRoleToken", wish)
    equal("nor without a proof of the key", answer["__type"], "AccessDeniedException")
    token = call(identity, "RequestManagedInstanceRoleToken", wish, proves=True)
    members = ["AccessKeyId", "SecretAccessKey", "SessionToken", "TokenExpirationDate"]
    equal("with both there is", sorted(token), members + ["UpdateKeyPair"])

    issued = Credentials(token["AccessKeyId"], token["SecretAccessKey"], token["SessionToken"])
    equal("its role may report", call(issued, "UpdateInstanceInformation", ping), {})
    hosts = boto3.client("ssm").describe_instance_information(
        Filters=[{"Key": "ResourceType", "Values": ["EC2Instance"]}]
    )["InstanceInformationList"]
    shown = [(one["InstanceId"], one["PingStatus"], one["SourceType"]) for one in hosts]
    equal("and is seen online", shown, [(INSTANCE, "Online", "AWS::EC2::Instance")])
    sts = boto3.client(
        "sts",
        aws_access_key_id=issued.access_key,
        aws_secret_access_key=issued.secret_key,
        aws_session_token=issued.token,
    )
    arn = f"arn:aws:sts::000000000000:assumed-role/{ROLE}/{INSTANCE}"
    equal("it is the account's role", sts.get_caller_identity()["Arn"], arn)
    finish()


def from_metadata(path):
    """A credentials document of the instance's, by a session of its own."""
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    request = urllib.request.Request(f"{endpoint}/latest/api/token", b"", lifetime, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        session = {"X-aws-ec2-metadata-token": answer.read().decode()}
    request = urllib.request.Request(f"{endpoint}/latest/meta-data/{path}", headers=session)
    with urllib.request.urlopen(request, timeout=10) as answer:
        document = json.load(answer)
    return Credentials(document["AccessKeyId"], document["SecretAccessKey"], document["Token"])


def call(credentials, operation, body, proves=False):
    """An operation that no SDK has: its answer, or the refusal."""
    request = AWSRequest(
        "POST",
        endpoint + "/",
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"AmazonSSM.{operation}",
        },
        data=json.dumps(body),
    )
    SigV4Auth(credentials, "ssm", os.environ["AWS_REGION"]).add_auth(request)
    headers = dict(request.headers)
    if proves:
        padding = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
        proof = openssl("dgst", "-sha256", *padding, "-sign", key_file, text=headers["Authorization"])
        headers["SSM-AsymmetricKeyAuthorization"] = f"Signature={proof}"
    sent = urllib.request.Request(request.url, request.data.encode(), headers)
    try:
        with urllib.request.urlopen(sent, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def openssl(*arguments, text=""):
    """What openssl says to a text, in base64."""
    done = subprocess.run(
        ["openssl", *arguments], check=True, capture_output=True, input=text.encode()
    )
    return base64.b64encode(done.stdout).decode()


if __name__ == "__main__":
    main()
