#!/usr/bin/env python3
"""What `rolekeeper advise` says that an SDK takes, against what it takes: in random environments and files
(chain/cases.py), boto3 and the SDKs for JavaScript, Go, Rust and Java are asked for their credentials, and
`pure::chain` is asked for its judgement. Run by run.sh.

    tests/clients/run.sh target/debug chain_fuzz.py                        a few, as the gate does
    tests/clients/run.sh target/debug 'chain_fuzz.py 500'                  more
    tests/clients/run.sh target/debug 'chain_fuzz.py 500 another-seed go'  others, of one SDK

Of the answers 99 % must be the same, and each that is not must be in chain/allowed.txt, with its reason.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chain.cases import SCRIPTS, Case
from chain.server import start

HERE = Path(__file__).resolve().parent / "chain"
SCRATCH = Path(os.environ["SCRATCH"])
CACHE = Path(os.environ["CHAIN_CLIENTS"])
AGREEMENT = 0.99
CASES = 120

COMMANDS = {
    "boto3": [sys.executable, HERE / "python.py"],
    "go": [CACHE / "chain-go"],
    "java": ["java", "-XX:TieredStopAtLevel=1", "--add-opens", "java.base/java.lang=ALL-UNNAMED", "-cp"],
    "javascript": ["node", HERE / "javascript.mjs"],
    "rust": ["chain-client"],
}
# The AWS CLI is botocore.
KEY = re.compile(r"(?:AKIA|ASIA)(EXAMPLE|ROLE)0+([A-Z][A-Z0-9]{3})")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    seed = sys.argv[2] if len(sys.argv) > 2 else "rolekeeper"
    sdks = sys.argv[3:] or list(COMMANDS)
    make_scripts()
    server = start()
    cases = [Case(seed, number, SCRATCH, server) for number in range(count)]
    for case in cases:
        case.write()
    with ThreadPoolExecutor(len(sdks) + 1) as pool:
        judged = pool.submit(judge, cases, sdks)
        taken = {sdk: pool.submit(take, sdk, cases) for sdk in sdks}
        taken = {sdk: answers.result() for sdk, answers in taken.items()}
        judged = judged.result()
    compare(seed, cases, taken, judged)


def make_scripts():
    """For credential_process."""
    for directory in (SCRATCH / "bin", SCRATCH / "with space"):
        directory.mkdir()
        for number in range(SCRIPTS):
            script = directory / f"P{number:03}"
            key = f"ASIAEXAMPLE00000P{number:03}"
            document = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": "t"}
            script.write_text(f"#!/bin/sh\necho '{json.dumps(document)}'\n")
            script.chmod(0o755)


def take(sdk, cases):
    """What the SDK takes in each case."""
    words = [str(word) for word in COMMANDS[sdk]]
    if sdk == "java":
        classpath = (CACHE / "java.classpath").read_text(encoding="utf-8").strip()
        words += [f"{CACHE / 'java'}:{classpath}", "Chain"]
    if sdk in ("go", "rust"):
        path = {"PATH": os.environ["PATH"]}
        return [json.loads(run(words, case.environment | path)) for case in cases]
    return converse(words, [json.dumps(case.environment) for case in cases])


def run(words, environment):
    sts = {"CHAIN_STS": environment["AWS_ENDPOINT_URL"]}
    ran = subprocess.run(words, env=environment | sts, capture_output=True, text=True, check=False)
    return ran.stdout or json.dumps({"error": ran.stderr})


def converse(words, lines):
    """A process's answer to each line. What Java starts has the environment of its own start."""
    pipe = subprocess.PIPE
    answers = []
    home = os.environ | {"HOME": str(SCRATCH)}
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=home, text=True
    ) as process:
        for line in lines:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            answers.append(json.loads(answer) if answer else {"error": "the program has ended"})
        process.stdin.close()
    return answers


def judge(cases, sdks):
    """What `advise` says of each SDK in each case."""
    asked = [(sdk, case) for sdk in sdks for case in cases]
    lines = [json.dumps({"sdk": sdk, "environment": case.environment}) for sdk, case in asked]
    answers = iter(converse(["chain-judge"], lines))
    return {sdk: [next(answers) for _ in cases] for sdk in sdks}


def end_of(answer):
    """Of the key that was taken; of one with more in it than a key a question mark."""
    key = answer.get("key")
    if not key:
        return "none"
    found = KEY.fullmatch(key)
    if not found:
        return "role ?" if key.startswith("ASIAROLE") else "?"
    return f"role {found[2]}" if found[1] == "ROLE" else found[2]


def compare(seed, cases, taken, judged):
    allowed = read_allowed()
    differing, failures = 0, 0
    for sdk, answers in taken.items():
        own = 0
        for case, answer, said in zip(cases, answers, judged[sdk]):
            real, told = end_of(answer), said.get("key", "none")
            if real == told:
                continue
            own += 1
            name = f"{seed} {case.number} {sdk}"
            reason = allowed.pop(name, None)
            if reason:
                print(f"ok   {sdk}, case {case.number} differs: {reason}")
                continue
            failures += 1
            print(f"FAIL {name}: it takes {real}, and advise says {told}")
            print(f"     it says {answer}\n     advise says {said}\n{case.describe()}")
        print(f"{sdk}: {own} of {len(cases)} differ")
        differing += own
    answers = sum(len(answers) for answers in taken.values())
    share = 1 - differing / answers
    print(f"{share:.2%} of {answers} answers agree")
    if share < AGREEMENT or failures:
        sys.exit(1)


def read_allowed():
    """The reason of each difference that is known, by seed, case and SDK."""
    lines = (HERE / "allowed.txt").read_text(encoding="utf-8").splitlines()
    entries = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return dict(entries)


if __name__ == "__main__":
    main()
