#!/usr/bin/env python3
"""How AWS SDKs get fresh credentials from the daemon: each at each outlet, in one process that lives on
when its first credentials have ended; and which of several sources each takes first. Run by run.sh,
which says where the lab is.

    tests/clients/run.sh target/debug sdk_table.py              compares with docs/consumers.md
    tests/clients/run.sh target/debug 'sdk_table.py --write'    writes the tables there

The credentials live for an hour, and all clocks leap through it together: the lab's by its own command,
the programs' by libfaketime. So each SDK's own rules are at work, and nobody waits.
"""
# lab options: --roles roles.toml

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from checks import equal, finish
from sdks.document import compare, write
from sdks.machine import CONTAINER, ENVIRONMENT, FILE, INSTANCE, PROCESS, PROFILE
from sdks.machine import ROLES, SCRATCH, Machine, set_clocks
from sdks.program import ADMINISTRATOR, COMMANDS, SHORT_LIVED, Program, build_go

# Minutes before the end of the first credentials, when each program makes a call; newer ones are there
# from the first of them on. The last is after the end.
MOMENTS = (29, 16, 14, 11, 9, 6, 4, 1, -1)
# What it says of an SDK that it signs with newer ones from then on. One that asks in the background may
# show it a moment late.
ASKS = {
    14: "15 min",
    11: "15 min",
    9: "10 min",
    6: "10 min",
    4: "5 min",
    1: "5 min",
    -1: "at the end",
}

# Debian's cannot be told by the environment.
TOLD = {"Ruby v3, told the port": [INSTANCE]}

# What an operator sees of an error.
CODES = re.compile("ExpiredToken|MissingAuthenticationToken|MissingCredentials")

SOURCES = (ENVIRONMENT, FILE, PROCESS, CONTAINER, INSTANCE)


def main():
    build_go()
    machine = Machine()
    try:
        orders, with_profile = find_orders(machine)
        versions, lives = live(machine)
    finally:
        machine.stop()
    tables = {
        "lives": table_of_lives(versions, lives),
        "orders": table_of_orders(orders, with_profile),
    }
    if sys.argv[1:] == ["--write"]:
        write(tables)
    else:
        compare(tables)
    finish()


def live(machine):
    """The version of each program, and what came of each at each outlet."""
    cells = [(name, outlet) for name in COMMANDS for outlet in TOLD.get(name, ROLES)]
    programs = {
        (name, outlet): Program(name, machine.environment(outlet), machine.before(outlet))
        for name, outlet in cells
    }
    versions = {name: program.version() for (name, _), program in programs.items()}
    end = machine.expiry()
    answers = {cell: [answer] for cell, answer in call_patiently(programs).items()}
    lasting = {cell: program for cell, program in programs.items() if cell[0] not in SHORT_LIVED}
    for moment in MOMENTS:
        set_clocks(end - timedelta(minutes=moment))
        if moment == MOMENTS[0]:
            machine.refresh()
        asked = programs if moment == MOMENTS[-1] else lasting
        # Twice, for those that ask while they sign with what they have.
        call(asked)
        for cell, answer in call(asked).items():
            answers[cell].append(answer)
    readers = {cell: program for cell, program in lasting.items() if cell[1] == FILE}
    anew = call(readers, "anew")
    for program in programs.values():
        program.stop()
    return versions, {cell: outcome(*cell, heard, anew) for cell, heard in answers.items()}


def call(programs, how=""):
    """As many at once as there are processors: some SDKs wait a second for an answer, and no more."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(lambda program: program.call(how), programs.values())
        return dict(zip(programs, answers))


def call_patiently(programs):
    """Whoever has an error is asked again, in case the machine was slow."""
    answers = call(programs)
    failed = {cell: programs[cell] for cell, answer in answers.items() if "error" in answer}
    return answers | call(failed, "anew")


def outcome(name, outlet, answers, anew):
    first, last = answers[0], answers[-1]
    if "error" in first:
        return f"no credentials: {code(first)}"
    equal(f"{name}, {outlet}", role(first), ROLES[outlet])
    if "error" in last:
        session = anew.get((name, outlet), last)
        end = "a new session, too" if "error" in session else "a new session re-reads"
        return f"dies at expiry: {code(last)}; {end}"
    equal(f"{name}, {outlet}, after an expiry", role(last), ROLES[outlet])
    if name in SHORT_LIVED:
        return "new process each time"
    keys = [answer["key"] for answer in answers[1:]]
    newer = [moment for moment, key in zip(MOMENTS, keys) if key != first["key"]]
    if not newer:
        return "signs with what has ended"
    return f"{'re-reads' if outlet == FILE else 'works'}, {ASKS.get(newer[0], f'{newer[0]} min')}"


def code(answer):
    found = CODES.search(answer["error"])
    return f"`{found[0]}`" if found else answer["error"]


def role(answer):
    return answer["arn"].split("/")[1]


def find_orders(machine):
    """Which source each program takes when several are there: all at first, then without the one that
    was taken, and so on. And which of them all when a profile is named."""
    names = [name for name in COMMANDS if name not in TOLD]
    left = {name: list(SOURCES) for name in names}
    orders = {name: [] for name in names}
    while left:
        taken = take(machine, {name: variables(machine, left[name]) for name in left})
        for name, source in taken.items():
            if source:
                orders[name].append(source)
                left[name].remove(source)
            if not source or not left[name]:
                del left[name]
    profile = {"AWS_PROFILE": PROFILE}
    return orders, take(machine, {name: variables(machine, SOURCES) | profile for name in names})


def take(machine, variables_of):
    """The source that each program takes, if any. `rolekeeper advise` says the same."""
    programs = {name: Program(name, variables) for name, variables in variables_of.items()}
    for program in programs.values():
        program.version()
    taken = {name: source(answer) for name, answer in call_patiently(programs).items()}
    for name, program in programs.items():
        # Not of a process that is gone, nor of a release that knows less than others of its SDK.
        if taken[name] and name not in SHORT_LIVED:
            # The endpoint's token is in the environment, and is replaced some day.
            stays = taken[name] in (ENVIRONMENT, FILE, CONTAINER)
            renewed = "not-renewed" if stays else "renewed"
            said = machine.advised(program.process.pid)
            equal(f"{name}: advise on {taken[name]}", said, ([taken[name]], renewed))
        program.stop()
    return taken


def source(answer):
    if "error" in answer:
        return None
    identities = {ENVIRONMENT: "lab-admin"} | ROLES
    return next(source for source in SOURCES if identities[source] == role(answer))


def variables(machine, sources):
    together = {}
    for source in sources:
        if source == ENVIRONMENT:
            together |= {name: os.environ[name] for name in ADMINISTRATOR}
        else:
            together |= machine.environment(source)
    # Not all know the file.
    if together.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", None):
        together["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = (SCRATCH / "token").read_text()
    return together


def table_of_lives(versions, lives):
    table = [["SDK", "version", *ROLES]]
    for name, version in versions.items():
        table.append([name, version, *(lives.get((name, outlet), "") for outlet in ROLES)])
    return table


def table_of_orders(orders, with_profile):
    table = [["SDK", "takes the first of", f"with `AWS_PROFILE={PROFILE}`"]]
    table += [[name, ", ".join(taken), with_profile[name]] for name, taken in orders.items()]
    return table


if __name__ == "__main__":
    main()
