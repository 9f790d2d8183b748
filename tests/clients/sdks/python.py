#!/usr/bin/env python3
"""A long-running program of boto3: a call to STS for each line that it reads, in a new session where the
line says so."""

import json
import os
import re
import sys

import boto3

key = None


def main():
    say(version=boto3.__version__)
    sts = None
    for line in sys.stdin:
        try:
            if sts is None or line == "anew\n":
                sts = client()
            say(arn=sts.get_caller_identity()["Arn"], key=key)
        except Exception as error:  # whatever it is, it is what an operator would see
            say(error=f"{type(error).__name__}: {error}")


def client():
    sts = boto3.Session().client("sts")
    sts.meta.events.register("before-send.sts", remember_key)
    return sts


def remember_key(request, **_):
    """What signed it, as the request says."""
    global key
    authorization = request.headers["Authorization"]
    key = re.search("Credential=([^/]+)", os.fsdecode(authorization))[1]


def say(**what):
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
