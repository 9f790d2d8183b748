"""A process of an SDK's program: it makes a call for each line that it is given, and answers with the
caller's ARN and the key that signed, or with an error."""

import glob
import json
import os
import shutil
import subprocess
from pathlib import Path

from sdks.machine import CLOCK, SCRATCH

HERE = Path(__file__).resolve().parent
GO = SCRATCH / "go-client"

# By its path, as in a unit: it says where boto3 is, to `advise` as well.
PYTHON = shutil.which("python3")

COMMANDS = {
    "AWS CLI v1": [PYTHON, HERE / "cli.py", "aws"],
    "AWS CLI v2": [PYTHON, HERE / "cli.py", "/usr/bin/aws"],
    "boto3": [PYTHON, HERE / "python.py"],
    "JavaScript v3": ["node", HERE / "javascript.mjs"],
    "Ruby v3": ["ruby", HERE / "ruby.rb"],
    "Ruby v3, told the port": ["ruby", HERE / "ruby.rb", "port"],
    "Go v2": [GO],
    "Rust": ["rust-client"],
}

# Whose processes end with each call.
SHORT_LIVED = ("AWS CLI v1", "AWS CLI v2")

ADMINISTRATOR = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Program:
    """With the credentials of the given variables alone."""

    def __init__(self, name, variables, before=()):
        own = {name: value for name, value in os.environ.items() if name not in ADMINISTRATOR}
        # The clock is the program's, not that of the command before it.
        words = [*before, "env", *clock(), *COMMANDS[name]]
        self.process = subprocess.Popen(
            [str(word) for word in words],
            env=own | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def version(self):
        """What it says first."""
        return self.hear()["version"]

    def call(self, how=""):
        self.process.stdin.write(f"{how}\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "the program has ended"}

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def clock():
    """The variables for a clock that is ahead by what the file says, whenever it is looked at."""
    (library,) = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    timestamp = f"FAKETIME_TIMESTAMP_FILE={CLOCK}"
    return [f"LD_PRELOAD={library}", timestamp, "FAKETIME_NO_CACHE=1", "NO_FAKE_STAT=1"]


def build_go():
    """With Debian's packages of Go's libraries, which lie in a GOPATH."""
    debian = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "CGO_ENABLED": "0"}
    go = ["go", "build", "-o", str(GO), "."]
    subprocess.run(go, check=True, cwd=HERE / "go", env=os.environ | debian)
