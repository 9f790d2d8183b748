"""The daemon with every outlet, what an operator sets to use one, and the clocks of all."""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

SCRATCH = Path(os.environ["SCRATCH"])
# By how many seconds the programs' clocks are ahead of this machine's: libfaketime reads it.
CLOCK = SCRATCH / "clock"

FILE = "file"
PROCESS = "`credential_process`"
CONTAINER = "container endpoint"
EXEC = "`exec --container-endpoint`"
INSTANCE = "IMDSv2 endpoint"

# No outlet of the daemon's.
ENVIRONMENT = "environment"

# As `advise` names them.
ADVISED = {
    ("keys", "environment"): ENVIRONMENT,
    ("keys", "credentials-file"): FILE,
    ("keys", "profile"): FILE,
    ("process", "profile"): PROCESS,
    ("container", "environment"): CONTAINER,
    ("instance-metadata", "environment"): INSTANCE,
}

# A profile with nothing but credential_process, beside the default one that has it too.
PROFILE = "rolekeeper"

# Each has a role of its own, so that a program's ARN says which it used.
ROLES = {
    FILE: "File",
    PROCESS: "Process",
    CONTAINER: "Container",
    EXEC: "Container",
    INSTANCE: "Instance",
}

# A free port.
ANY = "127.0.0.1:0"

# Who asks at the IMDSv2 endpoint gets the first that may be theirs: the first target.
SETTINGS = """\
[service]
endpoint_url = "{endpoint_url}"
[health]
enabled = false
[endpoint.container]
listen = "{container}"
[endpoint.imds]
listen = "{imds}"
[targets]
default = false
[[target]]
name = "instance"
path = "{scratch}/instance"
role_arn = "arn:aws:iam::000000000000:role/Instance"
[[target]]
name = "file"
path = "{scratch}/credentials"
role_arn = "arn:aws:iam::000000000000:role/File"
[[consumer]]
name = "process"
users = ["{user}"]
role_arn = "arn:aws:iam::000000000000:role/Process"
[[consumer]]
name = "container"
users = ["{user}"]
token_file = "{scratch}/token"
mode = "0600"
role_arn = "arn:aws:iam::000000000000:role/Container"
"""


class Machine:
    def __init__(self):
        places = ["--state-dir", str(SCRATCH / "state"), "--runtime-dir", str(SCRATCH / "run")]
        settings = SCRATCH / "rolekeeper.toml"
        self.rolekeeper = [shutil.which("rolekeeper"), "--config", str(settings), *places]
        settings.write_text(self.settings(container=ANY, imds=ANY))
        CLOCK.write_text("+0")
        self.register()
        self.log = SCRATCH / "daemon.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.daemon = subprocess.Popen([*self.rolekeeper, "run"], stderr=log)
        self.wait_for_credentials()
        line = f"credential_process = {self.process()}\n"
        config = f"[default]\n{line}[profile {PROFILE}]\n{line}"
        (SCRATCH / "config").write_text(config)
        # As an operator would have written them.
        addresses = {endpoint: self.address(endpoint) for endpoint in ("container", "imds")}
        settings.write_text(self.settings(**addresses))

    def settings(self, **addresses):
        url = os.environ["AWS_ENDPOINT_URL"]
        return SETTINGS.format(endpoint_url=url, scratch=SCRATCH, user=os.getuid(), **addresses)

    def register(self):
        made = output("aws", "ssm", "create-activation", "--iam-role", "Web", "--output", "json")
        activation = json.loads(made)
        words = ["--activation-id", activation["ActivationId"], "--activation-code-file", "-"]
        region = ["--region", os.environ["AWS_REGION"]]
        output(*self.rolekeeper, "register", *region, *words, input=activation["ActivationCode"])

    def wait_for_credentials(self):
        missing = ["instance", "file", "process", "container"]
        for _ in range(100):
            missing = [name for name in missing if not self.vends(name)]
            if not missing:
                return
            time.sleep(0.1)
        self.stop()
        sys.exit(f"no credentials for {missing}:\n{self.log.read_text()}")

    def vends(self, name):
        asked = [*self.rolekeeper, "credential-process", "--target", name]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def process(self):
        return " ".join([*self.rolekeeper, "credential-process", "--target", "process"])

    def environment(self, outlet):
        """What makes a program use it."""
        if outlet == FILE:
            return {"AWS_SHARED_CREDENTIALS_FILE": str(SCRATCH / "credentials")}
        if outlet == PROCESS:
            return {"AWS_CONFIG_FILE": str(SCRATCH / "config")}
        if outlet == CONTAINER:
            uri = f"http://{self.address('container')}/credentials/container"
            return {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri,
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(SCRATCH / "token"),
            }
        if outlet == INSTANCE:
            return {
                "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{self.address('imds')}/",
            }
        return {}

    def before(self, outlet):
        """The command that a program is an argument of."""
        if outlet == EXEC:
            return [*self.rolekeeper, "exec", "--target", "container", "--container-endpoint", "--"]
        return []

    def address(self, endpoint):
        """Where one of the endpoints listens."""
        listens = rf'listens endpoint="{endpoint}" address=(\S+)'
        return re.search(listens, self.log.read_text(encoding="utf-8"))[1]

    def advised(self, pid):
        """What `advise` says that a process takes, and whether it will see it renewed."""
        words = [*self.rolekeeper, "advise", "--json", "--pid", str(pid)]
        said = json.loads(subprocess.run(words, capture_output=True, check=False).stdout)
        used = [step for step in said["chain"] if step["verdict"] == "used"]
        return [ADVISED[step["source"], step["place"]] for step in used], said["verdict"]

    def expiry(self):
        """When the first of the credentials that are handed out now come to their end."""
        ends = []
        for name in ("instance", "file", "process", "container"):
            asked = output(*self.rolekeeper, "credential-process", "--target", name)
            ends.append(json.loads(asked)["Expiration"].replace("Z", "+00:00"))
        return datetime.datetime.fromisoformat(min(ends))

    def refresh(self):
        output(*self.rolekeeper, "refresh")

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()


def set_clocks(moment):
    """The lab's and the programs'. The daemon goes by the lab's, which it hears of in each answer."""
    output("rolekeeper-lab", "clock", "set", "--to", f"{moment:%Y-%m-%dT%H:%M:%SZ}")
    ahead = moment - datetime.datetime.now(datetime.timezone.utc)
    following = SCRATCH / "clock.following"
    following.write_text(f"+{round(ahead.total_seconds())}")
    following.rename(CLOCK)


def output(*words, **options):
    ran = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if ran.returncode != 0:
        sys.exit(f"{' '.join(words)}: {ran.stderr}")
    return ran.stdout
