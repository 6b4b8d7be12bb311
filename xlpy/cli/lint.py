"""``xlpy acpi check`` and ``diff``: checking and comparing tables of any origin."""

from __future__ import annotations

from xlpy.cli.acpi import read
from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import json_option
from xlpy.cli.render import json_items, table
from xlpy.cli.show import out
from xlpy.cli.types import Choice
from xlpy.errors import Exit, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from xlpy.cli.env import Env
    from xlpy.firmware.acpi.diff import Difference
    from xlpy.firmware.acpi.lint import TableSource


@command("""
xlpy acpi check quickstart
xlpy acpi dump quickstart --format bin -o tables && xlpy acpi check tables --fail-on warning
xlpy acpi dump --host > acpidump.out && xlpy acpi check acpidump.out --ignore reserved-bits,aml-* --json
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
    is not read, or what the input lacks. What --fail-on names, or worse, makes the exit status 10.
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
        leave(Exit.FINDINGS)


def _host(env: Env) -> list[TableSource]:
    from xlpy.firmware.acpi.lint import TableSource

    return [TableSource(env.host.acpi_tables(), walked=True)]


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
            raise UsageError(
                f"no finding has the code {pattern!r}",
                hint="xlpy acpi check --codes lists them; nfit-* are all that begin so",
            )
        found |= named
    return found


@command("""
xlpy acpi dump quickstart > before.out
xlpy reboot quickstart
xlpy acpi diff before.out quickstart --ignore derived
xlpy acpi diff before.out quickstart --json
""")
@argument("old", metavar="A")
@argument("new", metavar="B")
@option(
    "--ignore",
    type=Choice(["derived"]),
    help="derived: no lengths, checksums and addresses that follow from other differences.",
)
@json_option
def diff(env: Env, old: str, new: str, ignore: str | None, as_json: bool) -> None:
    """Compare ACPI tables: of domains, in folders of .dat files, in dumps, or single tables, in any mixture.

    Known tables are compared field by field, AML object by object (methods as statements of ASL), others by bytes. The
    exit status is 10 when something differs.
    """
    from xlpy.firmware.acpi.diff import compare

    sides = [read(env, what) for what in (old, new)]
    if len(sides[0]) != len(sides[1]):
        counts = " and ".join(_count(len(side), "machine") for side in sides)
        raise UsageError(f"{old} and {new} hold the tables of {counts}", hint="compare files of one machine each")
    found = []
    for one, other in zip(*sides, strict=True):
        found += [item for item in compare(one.tables, other.tables) if not (ignore and item.derived)]
    if as_json:
        json_items("xlpy.acpi-diff/1", [item._asdict() for item in found])
    else:
        out(*(line for item in found for line in _difference(item)))
        env.note(_count(len(found), "difference"))
    if found:
        leave(Exit.FINDINGS)


def _difference(item: Difference) -> Iterator[str]:
    """One difference as text: a line, or a head and the lines of ASL that differ."""
    head = f"{item.table}: {item.where}" if item.where else item.table
    old, new = item.old, item.new
    if isinstance(old, list) or isinstance(new, list):
        from difflib import unified_diff

        yield f"{head}: {item.change}"
        lines = unified_diff(
            old if isinstance(old, list) else [], new if isinstance(new, list) else [], n=2, lineterm=""
        )
        yield from (f"  {line}" for line in list(lines)[2:] if not line.startswith("@@"))
    elif item.change == "changed":
        yield f"{head}: {_shown(old)} -> {_shown(new)}"
    else:
        yield f"{head}: {item.change}: {_shown(old if new is None else new)}"


def _shown(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) else str(value)
