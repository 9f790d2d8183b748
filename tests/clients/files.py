#!/usr/bin/env python3
"""Credentials files under the parsers that read them: whatever Rolekeeper edits, every AWS SDK here reads
before and after, with everybody else's keys as they were and ours exact; and when Rolekeeper says that an
SDK refuses a file, it does.

    files.py [--number 600] [--seed 1] [--directory PROGRAMS]

The files are made at random from lines that people, editors and programs write. Rolekeeper's own part is
the example `credentials-files`. The parsers come from PyPI, npm, Go's module proxy and Maven Central once,
into $XDG_CACHE_HOME/rolekeeper-clients/parsers (default ~/.cache); one that is not to be had is skipped,
by name. The one for Ruby is Debian's, older than the one that Rolekeeper knows: what it fails at is not
compared. The one for C shows no keys but those of an access key. Run by run.sh."""

import argparse
import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import equal, finish

HERE = Path(__file__).resolve().parent / "parsers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rolekeeper-clients" / "parsers"
MAVEN = "software.amazon.awssdk:profiles:2.57.8"

OURS = {
    "aws_access_key_id": "ASIAEXAMPLE000000001",
    "aws_secret_access_key": "se/cr+et=",
    "aws_session_token": "to/k+en==",
}
# Stands behind every file that is read, so that it shows whether a parser came that far.
PROBE = "\n[probe]\naws_access_key_id = A\naws_secret_access_key = S\naws_session_token = T\n"
KEYS = ["region", "output", "s3", "empty", "a", "b", "c", "description", "list", "role_arn", *OURS]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--number", type=int, default=600)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--directory", type=Path, default=None)
    arguments = arguments.parse_args()
    example = "credentials-files"
    if arguments.directory:
        example = str(arguments.directory.resolve() / "examples" / example)
    chance = random.Random(arguments.seed)
    texts = [text(chance) for _ in range(arguments.number)]
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        said = run([example, "edit"], written(directory / "plain", texts, ""))
        sets = [each.get("set", "") for each in said]
        before = written(directory / "before", texts, PROBE)
        after = written(directory / "after", sets, PROBE)
        for parser, command in parsers(example, directory).items():
            compare(parser, texts, said, run(command, before), run(command, after))
    compare_withdrawals(texts, said)
    finish()


def parsers(example, directory):
    """Those that are here, and how each is called."""
    found = {"Rust": [example, "read", *KEYS]}
    CACHE.mkdir(parents=True, exist_ok=True)
    # One run at a time installs what is missing.
    lock = open(CACHE / "lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    for name, install in {
        "Botocore": botocore,
        "C": crt,
        "JavaScript": javascript,
        "Ruby": ruby,
        "Go": go,
        "Java": java,
    }.items():
        try:
            found[name] = install(directory)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"SKIPPED: the parser of {name}: {error}")
    lock.close()
    return found


def botocore(_):
    return python("botocore", "sdk_python.py")


def crt(_):
    return python("awscrt", "sdk_c.py")


def python(package, script):
    program = CACHE / "venv/bin/python3"
    if not program.exists():
        quietly([sys.executable, "-m", "venv", str(CACHE / "venv")])
    if subprocess.run([program, "-c", f"import {package}"], capture_output=True).returncode:
        quietly([program, "-m", "pip", "install", "--quiet", package])
    return [str(program), str(HERE / script)]


def javascript(_):
    if not (CACHE / "node_modules/@smithy/shared-ini-file-loader").exists():
        quietly(["npm", "install", "--silent", "--prefix", str(CACHE), "@smithy/shared-ini-file-loader"])
    return ["node", str(HERE / "javascript.mjs"), str(CACHE)]


def ruby(_):
    quietly(["ruby", "-e", 'require "aws-sdk-core"'])
    return ["ruby", str(HERE / "ruby.rb")]


def go(directory):
    """Go keeps the parser to the SDK itself, so its source is compiled into a module of ours."""
    module = CACHE / "go"
    if not (module / "go.sum").exists():
        module.mkdir(exist_ok=True)
        (module / "go.mod").write_text("module parsers\n\ngo 1.22\n")
        quietly(["go", "get", "github.com/aws/aws-sdk-go-v2/config"], cwd=module)
    source = quietly(["go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/config"], cwd=module)
    build = directory / "go"
    build.mkdir()
    (build / "go.mod").write_text("module parsers\n\ngo 1.22\n")
    shutil.copy(HERE / "go/main.go", build)
    shutil.copytree(Path(source.strip()) / "internal/ini", build / "ini")
    quietly(["go", "build", "-o", "parser", "."], cwd=build)
    return [str(build / "parser")]


def java(directory):
    libraries = CACHE / "java"
    if not list(libraries.glob("profiles-*.jar")):
        libraries.mkdir(exist_ok=True)
        group, artifact, version = MAVEN.split(":")
        (libraries / "pom.xml").write_text(
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
            "<groupId>x</groupId><artifactId>x</artifactId><version>1</version><dependencies><dependency>"
            f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
            "</dependency></dependencies></project>"
        )
        quietly(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=."], cwd=libraries)
    classes = directory / "java"
    quietly(["javac", "-cp", f"{libraries}/*", "-d", str(classes), str(HERE / "java/Parser.java")])
    return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{classes}:{libraries}/*", "Parser"]


def quietly(command, cwd=None):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=cwd).stdout


def written(directory, texts, more):
    """The names of files of these texts."""
    directory.mkdir()
    names = [directory / str(number) for number in range(len(texts))]
    for name, content in zip(names, texts):
        name.write_bytes((content + more).encode())
    return "".join(f"{name}\n" for name in names)


def run(command, names):
    """An answer for each name."""
    answers = subprocess.run(
        command, input=names, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout
    answers = [json.loads(answer) for answer in answers.split("\n") if answer]
    assert len(answers) == names.count("\n"), f"{command}: {len(answers)} answers"
    return answers


def compare(parser, texts, said, before, after):
    """What a parser read, against what Rolekeeper said of it."""
    wrong, accepted, refused = [], 0, 0
    for content, verdict, old, new in zip(texts, said, before, after):
        reads = old is not None and "probe" in old
        refusal = dict(map(tuple, verdict["refusals"])).get(parser)
        # Rolekeeper reads no more than botocore does, and may read less; Debian's Ruby fails elsewhere.
        comparable = parser != "Ruby" and not (parser == "Botocore" and refusal is None)
        if comparable and reads == (refusal is not None):
            wrong.append(("reads" if reads else "refuses", verdict["refusals"], content))
        refused += not reads
        if "set" not in verdict:
            continue
        accepted += 1
        if not reads:
            wrong.append(("refuses, and it was edited", verdict["refusals"], content))
        elif new is None or "probe" not in new:
            wrong.append(("refuses what was written", None, verdict["set"]))
        elif parser == "C" and "role_arn" in content:
            pass  # Its provider assumes the role and does not show the keys.
        elif ours(new) != OURS:
            wrong.append(("reads other keys than ours", new, verdict["set"]))
        elif parser != "C" and foreign(old) != foreign(new):
            wrong.append((f"reads {foreign(new)}, before {foreign(old)}", None, verdict["set"]))
    equal(f"{parser}: {len(texts)} files, {refused} refused, {accepted} edited", wrong[:5], [])


def ours(read):
    return {key: read.get("default", {}).get(key) for key in OURS}


def foreign(read):
    """All but what is in our keys' place."""
    read = {name: dict(values) for name, values in read.items() if name != "probe"}
    for key in [key for key in read.get("default", {}) if key.lower() in OURS]:
        del read["default"][key]
    return {name: values for name, values in read.items() if values or name != "default"}


def compare_withdrawals(texts, said):
    added = [
        (content, verdict["set"], verdict["withdrawn"])
        for content, verdict in zip(texts, said)
        if "set" in verdict and not any(key in content.lower() for key in OURS) and "rolekeeper" not in content
    ]
    wrong = [(content, edited) for content, edited, withdrawn in added if withdrawn != content]
    equal(f"withdrawn: {len(added)} files are byte for byte what they were", wrong[:5], [])


def text(chance):
    """A file. Most of them are well-formed, and each has one oddity or two at most."""
    lines = []
    if chance.random() < 0.2:
        lines += comment(chance, "")
    for name in chance.sample(["default", "a", "b-1", "Team/x.y@z", "other"], chance.randint(0, 3)):
        lines += [f"[{name}]"] + (chance.random() < 0.2) * [""]
        for key in chance.sample(["region", "output", "a", "B", "c", "empty", "s3"], chance.randint(0, 4)):
            lines += setting(chance, key)
        if chance.random() < 0.3:
            lines += chance.sample([f"{key} = old" for key in OURS], chance.randint(1, 3))
        lines += (chance.random() < 0.5) * [""]
    for _ in range(chance.choice([0, 0, 1, 1, 1, 2])):
        lines.insert(chance.randint(0, len(lines)), oddity(chance))
    end = "\r\n" if chance.random() < 0.15 else "\n"
    content = "".join(line + end for line in "\n".join(lines).split("\n")) if lines else ""
    return content[: -len(end)] if content and chance.random() < 0.1 else content


def setting(chance, key):
    blank = chance.choice(["", " ", "  "])
    if key == "s3":
        return [f"s3{blank}="] + [
            f"{chance.choice(['  ', chr(9), '    '])}{nested} = {value(chance)}"
            for nested in chance.sample(["a", "max_queue_size", "b"], chance.randint(0, 2))
        ]
    return [f"{key}{blank}={blank}{'' if key == 'empty' else value(chance)}"] + (
        comment(chance, "") if chance.random() < 0.1 else []
    )


def value(chance):
    return chance.choice(["x", "us-east-1", "a b", "a=b", "http://h:1/p", "'q'", "x # c", "x;y", "a#b", "%(x)s"])


def comment(chance, indent):
    return [f"{indent}{chance.choice('#;')}{chance.choice([' c', 'c = d', ' [x]', ''])}"]


def oddity(chance):
    return chance.choice([
        lambda: f"  {chance.choice(['region', 'd', 'aws_session_token'])} = {value(chance)}",
        lambda: f"d{chance.choice([':', ' :', ': ', ' : '])}x",
        lambda: "d:e = x",
        lambda: "nested =\n  = v",
        lambda: "nested =\n  word",
        lambda: "nested =\n  # c\n  e = f",
        lambda: "nested =\n  # c = d\n  e = f",
        lambda: "description = long\n  and more",
        lambda: "description = long\n\n  e = f",
        lambda: "description = long\n  e = f",
        lambda: "description = long\n# c\n  e = f\n  word",
        lambda: f"[x{chance.choice(['y', ' y', ''])}]{chance.choice(['; c', '#c', ' #', ' # c', ' ; [c]'])}",
        lambda: f"{chance.choice([' ', chr(9)])}[{chance.choice(['x', 'default'])}]",
        lambda: f"[{chance.choice([' x ', 'profile x', 'sso-session x', 'services x', 'x y', 'DEFAULT', '__proto__'])}]",
        lambda: "[profile x]\ns3 =\n  a = b",
        lambda: "[x y]\nword = x\n  a = b",
        lambda: f"[{chance.choice(['ä', 'x+y', 'x:y', 'x*y', '[x', 'x]y', ''])}]",
        lambda: f"{chance.choice(['list', 'e'])} = [{chance.choice(['x', 'default', ''])}]",
        lambda: "  [x]",
        lambda: "  list = [x]",
        lambda: chance.choice(["word", "two words", "= x", "[x", "x]", "d e = f", "ä = ö", "d\\e = f", "x"]),
        lambda: chance.choice(["\u00a0", "\x0b", "\x0c", "\t", "   ", "\u2003x = y", "d = x\u2028y"]),
        lambda: comment(chance, chance.choice([" ", "\t", "    "]))[0],
        lambda: f"{chance.choice(list(OURS))} = old\n  more",
        lambda: f"{chance.choice(list(OURS)).upper()}=old",
        lambda: f"role_arn = r\n{chance.choice(['', '  '])}source_profile = a",
        lambda: "# rolekeeper: expires 2026-01-01T00:00:00Z",
        lambda: "region = again",
        lambda: "[default]",
    ])()


if __name__ == "__main__":
    main()
