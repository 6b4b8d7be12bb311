"""``xlpy doctor``: the facts for a bug report."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.declare import command, leave
from xlpy.cli.options import json_option
from xlpy.cli.render import json_document, table
from xlpy.cli.show import out
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.cli.env import Env

FOUND = 10


@command("""
xlpy doctor
xlpy doctor --json > doctor.json
""")
@json_option
def doctor(env: Env, as_json: bool) -> None:
    """Tell what a maintainer would ask first: versions, programs, the state directory, the last failure.

    Nothing is changed, and nothing secret is told: values of passwords are left out, of the environment only what xlpy
    reads is shown. Exit status 10 when something is wrong with the host.
    """
    from xlpy.cli.failures import last
    from xlpy.statedir import locate
    from xlpy.views.doctor import examine

    where = locate(env.root)
    answers = examine(where, last(where))
    if as_json:
        json_document("xlpy.doctor/1", **answers)
    else:
        out(*_lines(answers))
        out("", "programs")
        rows = [
            (
                one["name"],
                one["version"] or ("found" if one["path"] else f"not found (package {one['package']})"),
                one["purpose"],
            )
            for one in answers["programs"]
        ]
        table(env, ("PROGRAM", "VERSION", "FOR"), rows)
        out("", *_failure(answers["last_failure"]))
        out("", *(f"finding: {text}" for text in answers["findings"] or ()))
    leave(FOUND if answers["findings"] else 0)


def _found(program: dict[str, Any]) -> str:
    if program["path"] is None:
        return f"not found (package {program['package']})"
    return program["version"] or "found"


def _lines(answers: dict[str, Any]) -> Iterator[str]:
    for section in ("xlpy", "python", "system", "environment", "root", "host"):
        yield section
        for key, value in answers[section].items():
            if isinstance(value, dict):
                value = ", ".join(f"{name} {found or 'absent'}" for name, found in value.items())
            elif isinstance(value, list):
                value = ", ".join(map(str, value)) or "none"
            elif key in ("free", "used"):
                value = format_size(value >> 20 << 20) if value >= 1 << 20 else f"{value} bytes"
            elif isinstance(value, bool):
                value = "yes" if value else "no"
            if key == "description":
                lines = value.splitlines()
                yield f"  {key}:"
                yield from (f"    | {line}" for line in lines)
            else:
                yield f"  {key}: {'-' if value is None else value}"


def _failure(found: dict[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "last failure: none is known"
        return
    from datetime import UTC, datetime

    when = datetime.fromtimestamp(min(max(found["when"], 0), 1 << 37), UTC).isoformat()
    yield f"last failure: {when}: xlpy {found['command']}"
    yield f"  {found['code']} (exit status {found['exit']}): {found['message']}"
    yield from (f"    {line}" for line in found["details"])
    if found.get("hint"):
        yield f"  hint: {found['hint']}"
