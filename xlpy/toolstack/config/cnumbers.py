"""How C reads numbers: xl hands most numbers in device strings to ``strtoul``, ``atoi`` and ``sscanf``.

Each function takes a text and says what C makes of its beginning.
"""

from __future__ import annotations

import re
from functools import cache

ULONG_MAX = (1 << 64) - 1


@cache
def _number(base: int) -> re.Pattern[str]:
    digits = {
        0: r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*",
        10: r"[0-9]+",
        16: r"(?:0[xX](?=[0-9a-fA-F]))?[0-9a-fA-F]+",
    }[base]
    return re.compile(rf"[ \t\n\v\f\r]*([+-]?)({digits})")


def _digits(text: str, base: int) -> int:
    if base == 0:
        base = 16 if text[:2] in ("0x", "0X") else 8 if text[0] == "0" else 10
    if base == 16 and text[:2] in ("0x", "0X"):
        text = text[2:]
    text = text.lstrip("0")
    return int(text, base) if 0 < len(text) < 30 else 1 << 128 if text else 0


def strtoul(text: str, base: int = 10, start: int = 0) -> tuple[int, int]:
    """``strtoul``: (value modulo 2**64, end). Without a number the end is ``start``; overflow gives the maximum."""
    found = _number(base).match(text, start)
    if not found:
        return 0, start
    value = _digits(found[2], base)
    if value > ULONG_MAX:
        return ULONG_MAX, found.end()
    return (-value if found[1] == "-" else value) & ULONG_MAX, found.end()


def atoi(text: str) -> int:
    """``atoi``: a C ``int``, 0 for what is no number."""
    found = _number(10).match(text)
    if not found:
        return 0
    value = _digits(found[2], 10)
    value = -value if found[1] == "-" else value
    return i32(max(-(1 << 63), min(value, (1 << 63) - 1)))


def i32(value: int) -> int:
    """The value as a C ``int`` keeps it."""
    return (value + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def u32(value: int) -> int:
    """The value as a C ``uint32_t`` keeps it."""
    return value & 0xFFFFFFFF


def u64(value: int) -> int:
    """The value as a C ``uint64_t`` keeps it."""
    return value & ULONG_MAX
