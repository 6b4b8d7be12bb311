#!/usr/bin/env python3
"""AML of real machines, in xlpy's evaluator and in acpiexec: the namespace, and the values of objects.

    python tests/campaign/aml_dumps.py FOLDER [--values 40] [--seed 1]

FOLDER holds texts that acpidump made, such as those of the public repositories linux-surface/acpidumps and
linuxhw/ACPI. For each the names that both have are counted, and a sample of constants and of methods without arguments
is evaluated by both (memory and ports read as zero; no _INI or _STA runs before). Values that acpiexec has no room for
are not counted. Exit status 1 when anything differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from acpi.judges import SESSION, UNSEEN, acpiexec, acpiexec_namespace  # noqa: E402

from xlpy.errors import XlpyError  # noqa: E402
from xlpy.firmware.acpi.acpidump import from_hex  # noqa: E402
from xlpy.firmware.acpi.eval import AmlError, Entry, Interpreter, ObjectPath, ObjectType, load  # noqa: E402

CONSTANT = (ObjectType.INTEGER, ObjectType.STRING, ObjectType.BUFFER, ObjectType.PACKAGE)
METHODS = {"_ADR", "_BBN", "_CID", "_CRS", "_DDN", "_DSD", "_HID", "_PRS", "_PRT", "_PRW", "_STA", "_STR", "_UID"}
OPTIONS = ("-l", "-dr", "-to", "2")  # no method runs at the start, nothing that is returned is repaired, loops of 2 s
OWN = ("_T_", "_TI", "_T9")  # names that iasl and acpiexec make for themselves
AML = ("DSDT", "SSDT", "PSDT")


def flat(entry: Entry) -> list[Entry]:
    """All entries below one."""
    return [*entry.children, *(inner for child in entry.children for inner in flat(child))]


def tables_of(dump: Path) -> list[bytes]:
    """The definition blocks of a dump, the DSDT first."""
    with dump.open(encoding="latin-1") as lines:
        found = [table.data for table in from_hex(lines, {}) if table.signature in AML]
    return sorted(found, key=lambda table: table[:4] != b"DSDT")


def value(interpreter: Interpreter, path: str) -> object:
    """What an object evaluates to, or the status of the failure."""
    try:
        found = interpreter.evaluate(path)
    except AmlError as error:
        return error.status
    return plain(found)


def plain(found: object) -> object:
    """A value without what acpiexec shows otherwise: references."""
    if isinstance(found, list):
        return [plain(item) for item in found]
    return None if isinstance(found, ObjectPath) else found


def shown(found: object) -> object:
    """acpiexec's value likewise."""
    if isinstance(found, list):
        return [shown(item) for item in found]
    return found


def alike(mine: object, theirs: object) -> bool:
    """Whether two values agree; a reference agrees with whatever acpiexec shows in its place."""
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(alike, mine, theirs))
    return mine is None or mine == theirs


def examine(dump: Path, values: int, seed: int) -> tuple[int, int, int, int, list[str]]:
    """Names in both, names in one only, values that agree, values that do not, and what differs."""
    blocks = tables_of(dump)
    interpreter = load(blocks, strict=False)
    entries = flat(interpreter.namespace())
    mine = {entry.path for entry in entries}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = acpiexec_namespace(folder, blocks)
        different = [path for path in sorted(mine ^ theirs) if path.lstrip("\\").rpartition(".")[2][:3] not in OWN]
        asked = [
            entry.path
            for entry in entries
            if entry.path in theirs
            and (
                entry.type in CONSTANT or (entry.type == ObjectType.METHOD and not entry.args and entry.name in METHODS)
            )
        ]
        asked = random.Random(seed).sample(asked, min(values, len(asked)))
        answers = acpiexec(folder, blocks, asked, OPTIONS)
    notes = [f"only {'here' if path in mine else 'in acpiexec'}: {path}" for path in different]
    wrong = unseen = 0
    for number, (path, answer) in enumerate(zip(asked, answers, strict=True)):
        if number % SESSION == 0:  # as acpiexec, which is asked so many in one process
            interpreter = load(blocks, strict=False)
        own = value(interpreter, path)
        if answer == UNSEEN:
            unseen += 1
        elif not alike(own, answer):
            wrong += 1
            notes.append(f"{path}: {own!r}, acpiexec {answer!r}"[:300])
    return len(mine & theirs), len(different), len(asked) - wrong - unseen, wrong, notes


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--values", type=int, default=40, help="how many objects of each dump (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="every difference, not the first three of a dump")
    options = parser.parse_args()
    totals = [0, 0, 0, 0]
    dumps = clean = 0
    for dump in sorted(path for path in options.folder.rglob("*") if path.is_file()):
        try:
            *counts, notes = examine(dump, options.values, options.seed)
        except (XlpyError, RuntimeError) as error:
            print(f"{dump.name}: not compared: {error}")
            continue
        dumps, clean = dumps + 1, clean + (not notes)
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        names, odd, right, wrong = counts
        print(
            f"{dump.name}: {names} names in both, {odd} in one only; {right} of {right + wrong} values agree",
            flush=True,
        )
        for note in notes if options.verbose else notes[:3]:
            print(f"    {note}")
    names, odd, right, wrong = totals
    print(f"{dumps} dumps, {clean} without a difference: {names} names in both, {odd} in one only; "
          f"{right} of {right + wrong} values agree")  # fmt: skip
    return bool(odd or wrong)


if __name__ == "__main__":
    sys.exit(main())
