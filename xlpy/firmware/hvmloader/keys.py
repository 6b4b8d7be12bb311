"""Reading xenstore keys the way hvmloader does: a key that is missing or empty has its default."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.platform import Platform

_HEXADECIMAL = "0123456789abcdefABCDEF"


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
    rest = value.lstrip()
    sign = rest[:1] if rest[:1] in ("+", "-") else ""
    rest = rest[len(sign) :]
    if rest[:2] in ("0x", "0X") and rest[2:3] and rest[2] in _HEXADECIMAL:
        base, digits, rest = 16, _HEXADECIMAL, rest[2:]
    else:
        base, digits = (8, "01234567") if rest[:1] == "0" else (10, "0123456789")
    behind = rest.lstrip(digits)
    if behind == rest:
        return 0, value
    number = int(rest[: len(rest) - len(behind)], base)
    return (-number if sign == "-" else number), behind
