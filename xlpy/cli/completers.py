"""Completions: domains, vNVDIMMs and pmem devices, read from the state file alone.

A key press starts a process, so nothing is opened, locked, repaired or made here, and nothing fails: where something is
not as expected, there is nothing to offer.
"""

from __future__ import annotations

import json
import os

from xlpy.cli.show import visible
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click
    from click.shell_completion import CompletionItem


def domains(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of domains."""
    del param
    return sorted(record["name"] for record in _records(ctx) if _fits(record["name"], incomplete))


def vnvdimms(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Slots of the vNVDIMMs of the domain that stands before, and their files."""
    from click.shell_completion import CompletionItem

    del param
    wanted = ctx.params.get("domain")
    return [
        CompletionItem(text, help=visible(device[0]))
        for record in _records(ctx)
        if wanted in (record["name"], str(record["domid"]))
        for device in record["vnvdimms"]
        for text in (str(device[7]), device[0])
        if _fits(text, incomplete)
    ]


def backings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Whole pmem devices; without ``file=``, because bash ends a word at an equals sign."""
    del param
    rows: list[Any] = next(_values(ctx, "dom0", "devices"), [])
    return [text for row in rows if _fits(text := f"/dev/{row[0]}", incomplete)]


def configurations(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Configuration files: the shell knows files best."""
    from click.shell_completion import CompletionItem

    del ctx, param
    return [CompletionItem(incomplete, type="file")]


def triggers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """What `xlpy trigger` presses or pulls."""
    from xlpy.toolstack.domain.power import TRIGGERS

    del ctx, param
    return [name for name in TRIGGERS if name.startswith(incomplete)]


def codes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Error codes."""
    from xlpy.views.explained import explanations

    del ctx, param
    return [code for code in explanations() if code.startswith(incomplete.upper())]


def _fits(text: str, incomplete: str) -> bool:
    return text.startswith(incomplete) and text.isprintable()


def _records(ctx: click.Context) -> Iterator[dict[str, Any]]:
    """The toolstack's records of all domains."""
    return (value for value in _values(ctx, "libxl", "[0-9]*") if isinstance(value, dict))


def _values(ctx: click.Context, room: str, pattern: str) -> Iterator[Any]:
    """Values of one actor whose keys fit a pattern."""
    import sqlite3

    from xlpy.errors import XlpyError
    from xlpy.host import Host
    from xlpy.statedir import STATE

    try:
        path = Host.directory(ctx.find_root().params.get("root")) / STATE
        if not os.access(path, os.R_OK):
            return
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.2) as state:
            sql = "SELECT value FROM records WHERE room = ? AND key GLOB ? ORDER BY key"
            for (value,) in state.execute(sql, (room, pattern)):
                yield json.loads(value)
    except (sqlite3.Error, ValueError, XlpyError):
        return
