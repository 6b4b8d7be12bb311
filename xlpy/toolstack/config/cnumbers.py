"""How C reads numbers: xl hands most numbers in device strings to ``strtoul``, ``atoi`` and ``sscanf``.

Each function takes a text and says what C makes of its beginning.
"""

from __future__ import annotations

ULONG_MAX = (1 << 64) - 1
INT_MAX, UINT32_MAX = 0x7FFFFFFF, 0xFFFFFFFF
BLANKS = " \t\n\v\f\r"  # what isspace is true of
HEX_PATTERN = r"[ \t\n\v\f\r]*([+-]?(?:0[xX][0-9a-fA-F]*|[0-9a-fA-F]+))"  # %x of sscanf
_SIGNS = ("+", "-")
_DIGITS = {8: "01234567", 10: "0123456789", 16: "0123456789abcdefABCDEF"}


def _number(text: str, base: int, start: int) -> tuple[str, str, int] | None:
    """The sign, the number with its prefix, and the end of what begins at ``start``; None when it is no number."""
    while text[start : start + 1] and text[start] in BLANKS:
        start += 1
    sign = text[start] if text[start : start + 1] in _SIGNS else ""
    start += len(sign)
    at = start
    if base in (0, 16) and text[at : at + 2] in ("0x", "0X") and text[at + 2 : at + 3] and text[at + 2] in _DIGITS[16]:
        at, base = at + 2, 16
    elif base == 0:
        base = 8 if text[at : at + 1] == "0" else 10
    digits, first = _DIGITS[base], at
    while text[at : at + 1] and text[at] in digits:
        at += 1
    return (sign, text[start:at], at) if at > first else None


def _digits(text: str, base: int) -> int:
    if base == 0:
        base = 16 if text[:2] in ("0x", "0X") else 8 if text[0] == "0" else 10
    if base == 16 and text[:2] in ("0x", "0X"):
        text = text[2:]
    text = text.lstrip("0")
    return int(text, base) if 0 < len(text) < 30 else 1 << 128 if text else 0


def strtoul(text: str, base: int = 10, start: int = 0) -> tuple[int, int]:
    """``strtoul``: (value modulo 2**64, end). Without a number the end is ``start``; overflow gives the maximum."""
    found = _number(text, base, start)
    if not found:
        return 0, start
    sign, digits, end = found
    value = _digits(digits, base)
    return (ULONG_MAX if value > ULONG_MAX else (-value if sign == "-" else value) & ULONG_MAX), end


def atoi(text: str) -> int:
    """``atoi``: a C ``int``, 0 for what is no number."""
    found = _number(text, 10, 0)
    if not found:
        return 0
    sign, digits, _ = found
    value = _digits(digits, 10)
    value = -value if sign == "-" else value
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
