# shellcheck shell=bash
# For the scripts beside it that run the daemon, whose process id is in $daemon: a machine in $SCRATCH,
# and programs that use its credentials.

readonly ROLEKEEPER=(rolekeeper --config "$SCRATCH/rolekeeper.toml" --state-dir "$SCRATCH/state"
    --runtime-dir "$SCRATCH/run")

daemon=
trap stop_daemon EXIT

# With the lab for its service, and more settings on standard input.
register_machine() {
    local id code
    {
        printf '[service]\nendpoint_url = "%s"\n[health]\nenabled = false\n' "$AWS_ENDPOINT_URL"
        cat
    } >"$SCRATCH/rolekeeper.toml"
    read -r id code < <(aws ssm create-activation --iam-role Web \
        --query '[ActivationId,ActivationCode]' --output text)
    "${ROLEKEEPER[@]}" register --region "$AWS_REGION" --activation-id "$id" --activation-code-file - \
        <<<"$code" >"$SCRATCH/id" 2>"$SCRATCH/register.log"
}

# Waits for credentials; fails when there are none.
run_daemon() {
    "${ROLEKEEPER[@]}" run 2>"$SCRATCH/daemon.log" &
    daemon=$!
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        "${ROLEKEEPER[@]}" credential-process >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$SCRATCH/daemon.log" >&2
    return 1
}

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
