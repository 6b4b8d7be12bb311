"""What each key of a configuration means for the domain: its value or default, and the source of it."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.toolstack.config.options import OPTIONS
from xlpy.toolstack.config.xlcfg import Items, Text
from xlpy.toolstack.config.xlcfg.source import printable
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.config.xlcfg import Value

DEFAULT = "default"


class ExplainRow(NamedTuple):
    """One key.

    Args:
        key: its name.
        value: what was read, written as in a configuration; None when the key is not there.
        default: what holds without it.
        origin: ``file:line:column``, or ``default``.
        note: empty, or why the value does not count.
    """

    key: str
    value: str | None
    default: str
    origin: str
    note: str = ""


def explain(config: DomainConfig) -> list[ExplainRow]:
    """A row for every key that the kind of guest can have, and for every other key that was given.

    Keys that were given come first, in the order of the file.
    """
    notes = _notes(config)
    rows = []
    for key in config.settings:
        option = OPTIONS.get(key)
        rows.append(
            ExplainRow(
                key,
                written(config.settings[key]),
                option.default if option else "-",
                str(config.settings.where(key)),
                notes.get(key, ""),
            )
        )
    rows += [
        ExplainRow(option.key, None, option.default, DEFAULT)
        for option in OPTIONS.values()
        if option.key not in config.settings and option.known_to(config.xen) and config.type in option.guests
    ]
    return rows


def _notes(config: DomainConfig) -> dict[str, str]:
    """What was warned of, by key: a warning belongs to the setting in which it stands."""
    starts = sorted((config.settings.where_key(key)[:3], key) for key in config.settings)
    notes: dict[str, str] = {}
    for warning in config.warnings:
        if warning.where is None:
            continue
        place = warning.where[:3]
        before = [key for start, key in starts if start[0] == place[0] and start <= place]
        if before:
            notes.setdefault(before[-1], warning.message)
    return notes


def written(value: Value) -> str:
    """A value as a configuration would have it."""
    # A list may be nested as deep as the parser allows, so there is no recursion here.
    out: list[str] = []
    work: list[Value | str] = [value]
    while work:
        item = work.pop()
        if isinstance(item, Items):
            work.append("]")
            for number, inner in enumerate(reversed(item)):
                if number:
                    work.append(", ")
                work.append(inner)
            out.append("[")
        elif isinstance(item, Text):
            out.append(quoted(item))
        else:
            out.append(item)
    return "".join(out)


def quoted(text: str) -> str:
    """The text as a number or a quoted string of the configuration language."""
    if text.isdigit() and text.isascii():
        return str(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{printable(escaped)}"'
