"""JSON as the standard library reads and writes it, by its compiled half alone.

The ``json`` package compiles regular expressions for the case that it has no compiled half, for which it imports ``re``
and ``enum``: a tenth of a short command. It is asked where the compiled half is not as expected, and for errors.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_CONSTANTS = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}


class _Reading:
    """What the scanner asks of its decoder."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float, parse_int, parse_constant = float, int, _CONSTANTS.__getitem__


def _refuse(value: object) -> str:
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _compiled(key_separator: str, item_separator: str) -> Callable[[object], str]:
    from _json import encode_basestring_ascii, make_encoder

    encode = make_encoder(
        None, _refuse, encode_basestring_ascii, None, key_separator, item_separator, False, False, True
    )

    def text(value: object) -> str:
        return encode_basestring_ascii(value) if type(value) is str else "".join(encode(value, 0))

    text({"": [0, None]})
    return text


def _encoder(key_separator: str, item_separator: str) -> Callable[[object], str]:
    try:
        return _compiled(key_separator, item_separator)
    except (ImportError, TypeError, ValueError):
        import json

        return json.JSONEncoder(separators=(item_separator, key_separator)).encode


def _scanner() -> Callable[[str, int], tuple[Any, int]]:
    try:
        from _json import make_scanner

        scan: Callable[[str, int], tuple[Any, int]] = make_scanner(_Reading())  # type: ignore[arg-type]
        scan("[0]", 0)
    except (ImportError, AttributeError, TypeError, ValueError):
        import json

        scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
    return scan


encode = _encoder(": ", ", ")
"""The text of a value, as ``json.dumps`` writes it."""

encode_compact = _encoder(":", ",")
"""The same without blanks."""

_scan = _scanner()


def decode(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a text, as ``json.loads`` reads it. ValueError: it is none."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    if end != len(text):  # something around it, or no JSON at all
        import json

        return json.loads(text)
    return value
