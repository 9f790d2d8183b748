"""The tables in docs/consumers.md, each between two comments."""

import re
from pathlib import Path

from checks import equal

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/consumers.md"

# It comes and goes, and says nothing of what a program does.
VERSION = "version"


def write(tables):
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, table in tables.items():
        first, *others = table
        rows = "".join(line(row) for row in (first, ["---"] * len(first), *others))
        text = between(name).sub(lambda found: found[1] + rows + found[3], text)
    DOCUMENT.write_text(text, encoding="utf-8")


def compare(tables):
    for name, table in tables.items():
        found, written = without_version(table), without_version(read(name))
        heads = [[row[0] for row in rows] for rows in (found, written)]
        equal(f"docs/consumers.md, the rows of {name}", *heads)
        of = {row[0]: row for row in written}
        for row in found:
            equal(f"docs/consumers.md, {row[0]}", row, of.get(row[0]))


def read(name):
    text = DOCUMENT.read_text(encoding="utf-8")
    first, _, *others = between(name).search(text)[2].splitlines()
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in (first, *others)]


def without_version(table):
    kept = [at for at, head in enumerate(table[0]) if head != VERSION]
    return [[row[at] for at in kept] for row in table]


def line(row):
    return f"| {' | '.join(row)} |\n"


def between(name):
    return re.compile(f"(<!-- {name}: [^>]*-->\n)(.*?)(<!-- end -->)", re.DOTALL)
