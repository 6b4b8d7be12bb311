"""``xlpy acpi check`` and ``diff``: judging tables, wherever they come from."""

from __future__ import annotations

import sys

from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import json_option
from xlpy.cli.render import json_items, table
from xlpy.cli.show import out
from xlpy.cli.types import Choice
from xlpy.errors import NotFound, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from xlpy.cli.env import Env
    from xlpy.firmware.acpi.lint import Source

FINDINGS = 10


def read(env: Env, what: str) -> list[Source]:
    """The tables that a word on the command line stands for: of each machine in a folder or file, or of a domain.

    Raises:
        NotFound: it is neither. FormatError: the file holds no table.
    """
    from pathlib import Path

    from xlpy.firmware.acpi.lint import Source, read_tables
    from xlpy.firmware.acpi.lint.sources import from_stream

    if what == "-":
        return from_stream(sys.stdin.buffer, "standard input")
    path = Path(what)
    if path.exists():
        return read_tables(path)
    host = env.existing_host
    if host is None or "/" in what:
        there = "" if host is not None else " (there is no host yet)"
        raise NotFound(
            f"there is no file or folder {what}, and no such domain{there}",
            hint="give a folder of .dat files, a table, a dump made by acpidump, or a domain (xlpy list)",
        )
    return [Source(host.domain(what).acpi_tables(), walked=True)]


@command("""
xlpy acpi check quickstart
xlpy acpi check tables/ --fail-on warning
xlpy acpi check acpidump.out --ignore reserved-bits,aml-* --json
xlpy acpi check --codes
""")
@argument("what", required=False, metavar="FOLDER|FILE|DOMAIN|-")
@option("--host", "of_host", is_flag=True, help="The host's own tables, as its BIOS left them.")
@option(
    "--fail-on",
    type=Choice(["error", "warning", "note"]),
    default="error",
    help="The least severity that makes the exit status 10 (default: error).",
)
@option("--only", metavar="CODE,...", help="Only findings with these codes; * stands for any characters.")
@option("--ignore", metavar="CODE,...", help="No findings with these codes.")
@option("--codes", is_flag=True, help="List all codes, and check nothing.")
@json_option
def check(
    env: Env,
    what: str | None,
    of_host: bool,
    fail_on: str,
    only: str | None,
    ignore: str | None,
    codes: bool,
    as_json: bool,
) -> None:
    """Lint ACPI tables: of a domain, in a folder of .dat files, in a dump made elsewhere, or on standard input.

    Each finding has a severity, a code, and the place in the table and in the specification. An error is what an
    operating system drops or misreads; a warning is what some do, or what does not fit its neighbours; a note is what
    nobody reads, or what the input lacks. What --fail-on names, or worse, makes the exit status 10.
    """
    from xlpy.firmware.acpi.lint import RULES, SEVERITIES
    from xlpy.firmware.acpi.lint import check as lint

    if codes:
        _codes(env, as_json)
        return
    if of_host == (what is not None):
        raise UsageError("acpi check needs a folder, a file or a domain, or --host", hint="xlpy acpi check DOMAIN")
    chosen = _codes_like(only, RULES) - (_codes_like(ignore, RULES) if ignore is not None else set())
    sources = _host(env) if what is None else read(env, what)
    several = len(sources) > 1
    items, bad = [], 0
    for number, source in enumerate(sources, 1):
        for finding in lint(source):
            if finding.code not in chosen:
                continue
            bad += SEVERITIES.index(finding.severity) >= SEVERITIES.index(fail_on)
            items.append(finding._asdict() | ({"machine": number} if several else {}))
            if not as_json:
                out(f"machine {number}: {finding}" if several else finding)
    if as_json:
        json_items("xlpy.acpi-check/1", items)
    else:
        tables = sum(len(source.tables) for source in sources)
        machines = f" of {len(sources)} machines" if several else ""
        env.note(f"{_count(tables, 'table')}{machines}, {_count(len(items), 'finding')}")
    if bad:
        leave(FINDINGS)


def _host(env: Env) -> list[Source]:
    from xlpy.firmware.acpi.lint import Source

    return [Source(env.host.acpi_tables(), walked=True)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _codes(env: Env, as_json: bool) -> None:
    from xlpy.firmware.acpi.lint import RULES

    if as_json:
        json_items("xlpy.acpi-codes/1", [{"code": code, **rule._asdict()} for code, rule in RULES.items()])
    else:
        rows = [(code, rule.severity, rule.section, rule.meaning) for code, rule in RULES.items()]
        table(env, ("CODE", "SEVERITY", "ACPI 6.5", "MEANING"), rows)


def _codes_like(patterns: str | None, known: Collection[str]) -> set[str]:
    """The codes that a list of patterns names; all of them without a list. UsageError: one names none."""
    from fnmatch import fnmatchcase

    if patterns is None:
        return set(known)
    found: set[str] = set()
    for pattern in patterns.split(","):
        named = {code for code in known if fnmatchcase(code, pattern.strip())}
        if not named:
            raise UsageError(f"no finding has the code {pattern!r}", hint="xlpy acpi check --codes lists them")
        found |= named
    return found
