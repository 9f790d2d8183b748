# shellcheck shell=bash
# For the scripts beside it that run the daemon, whose process id is in $daemon: programs that use a
# machine's credentials.

# Whose credentials the AWS CLI finds.
caller_arn() {
    aws sts get-caller-identity --query Arn --output text
}

# Whose they must be.
role() {
    echo "arn:aws:sts::000000000000:assumed-role/Web/$(cat "$SCRATCH/id")"
}

stop_daemon() {
    [[ -z $daemon ]] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
    daemon=
}

# One process makes a call with each of three access keys, and says how many it has seen.
lives_on() {
    python3 - <<'PYTHON'
import time
import boto3

session = boto3.Session()
sts = session.client("sts")
keys = []
deadline = time.monotonic() + 120
while len(keys) < 3 and time.monotonic() < deadline:
    arn = sts.get_caller_identity()["Arn"]
    key = session.get_credentials().get_frozen_credentials().access_key
    if key not in keys:
        keys.append(key)
    time.sleep(0.5)
print(arn, len(keys), "keys")
PYTHON
}

# The same in JavaScript, with as many keys as are wanted.
lives_on_in_javascript() {
    node --input-type=module - "${1:-3}" <<'JAVASCRIPT'
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.env.JAVASCRIPT}/package.json`));
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
const sts = new STSClient({});
const keys = new Set();
const deadline = Date.now() + 120_000;
let arn;
while (keys.size < Number(process.argv[2]) && Date.now() < deadline) {
  arn = (await sts.send(new GetCallerIdentityCommand({}))).Arn;
  keys.add((await sts.config.credentials()).accessKeyId);
  await new Promise((done) => setTimeout(done, 500));
}
console.log(arn, keys.size, "keys");
JAVASCRIPT
}
