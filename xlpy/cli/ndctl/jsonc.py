"""JSON as json-c lays it out for ndctl: two blanks deeper each time, ``"key":value``, slashes escaped."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.cli.ndctl.session import NdctlRelease

_ESCAPES = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}


class JsonOutput(Protocol):
    """Where JSON goes: standard output, or a file."""

    release: NdctlRelease

    def out(self, *texts: str) -> None:
        """Print text as it is."""
        ...

    def warning(self, text: str) -> None:
        """Warn on standard error."""
        ...


def dumps(value: Any, compact: bool = False) -> str:  # noqa: ANN401 - any JSON value
    """The text of a value, with a line end; ``compact``: an array without elements has one line."""
    parts: list[str] = []
    _value(value, "", parts, "[]" if compact else "[\n")
    return "".join(parts) + "\n"


def _value(value: Any, indent: str, parts: list[str], empty: str) -> None:  # noqa: ANN401
    if isinstance(value, dict):
        _group(((f"{_string(key)}:", item) for key, item in value.items()), "{}", indent, parts, empty)
    elif isinstance(value, list) and value:
        _group((("", item) for item in value), "[]", indent, parts, empty)
    elif isinstance(value, list):
        parts.append(empty if empty == "[]" else f"{empty}{indent}]")
    elif isinstance(value, str):
        parts.append(_string(value))
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    else:
        parts.append(repr(value))


def _group(items: Iterable[tuple[str, Any]], marks: str, indent: str, parts: list[str], empty: str) -> None:
    deeper = indent + "  "
    start = len(parts)
    for head, item in items:
        parts.append(f",\n{deeper}{head}" if len(parts) > start else f"{marks[0]}\n{deeper}{head}")
        _value(item, deeper, parts, empty)
    parts.append(f"\n{indent}{marks[1]}" if len(parts) > start else marks)


def _string(text: str) -> str:
    if text.isascii() and text.isprintable() and not {'"', "\\", "/"} & set(text):
        return f'"{text}"'
    return '"' + "".join(_ESCAPES.get(c) or (c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def show(target: JsonOutput, value: Any) -> None:  # noqa: ANN401
    """Print one value."""
    target.out(dumps(value, target.release.compact))


def show_array(target: JsonOutput, array: list[Any], human: bool) -> None:
    """Print an array; its only element without brackets when it is for people."""
    if len(array) == 1 and human:
        show(target, array[0])
        return
    if not array:
        target.warning("no matching devices found\n")
    if array or not human:
        show(target, array)
