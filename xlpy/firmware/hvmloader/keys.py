"""Reading xenstore keys the way hvmloader does: a key that is missing or empty has its default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.platform import Platform

_NUMBER = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)")


def text(platform: Platform, path: str, default: str = "") -> str:
    """The value of a key relative to the domain's directory."""
    return platform.xenstore(path) or default


def flag(platform: Platform, path: str, default: str) -> bool:
    """A switch: only the first character counts, and must be ``1``."""
    return text(platform, path, default).startswith("1")


def strtoll(value: str) -> tuple[int, str]:
    """C's ``strtoll`` with base 0, except that it does not saturate.

    Returns:
        the number at the start of ``value`` (0 when there is none), and what follows it.
    """
    match = _NUMBER.match(value)
    if match is None:
        return 0, value
    sign, digits = match.groups()
    end = match.end()
    if digits[0] == "0" and digits[1:2] not in ("x", "X"):
        octal = re.match("[0-7]*", digits)
        assert octal is not None
        end -= len(digits) - octal.end()
        number = int(octal.group(), 8)
    else:
        number = int(digits, 0)
    return (-number if sign == "-" else number), value[end:]
