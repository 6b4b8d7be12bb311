"""Sizes and numbers as ndctl reads and prints them."""

from __future__ import annotations

NONE = 2**64 - 1  # ULLONG_MAX: what its parser returns for a text that is no size
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
UNITS = {"k": KIB, "m": MIB, "g": GIB, "t": TIB}
BLANKS = " \t\n\v\f\r"
DIGITS = "0123456789abcdef"


def number(word: str, binary: bool = False) -> tuple[int, str]:
    """(value, what follows it) of strtoull with base 0: hexadecimal with 0x, octal with 0; (0, the word) for none.

    binary: with 0b it is a binary number, as C23 has it.
    """
    text = word.lstrip(BLANKS)
    negative = text[:1] == "-"
    text = text[1:] if text[:1] in ("+", "-") else text
    base = 10
    if text[:2].lower() == "0x" and text[2:3].lower() in tuple(DIGITS):
        base, text = 16, text[2:]
    elif binary and text[:2].lower() == "0b" and text[2:3] in ("0", "1"):
        base, text = 2, text[2:]
    elif text[:1] == "0":
        base = 8
    end = 0
    while end < len(text) and text[end].lower() in DIGITS[:base]:
        end += 1
    if not end:
        return 0, word
    value, rest = int(text[:end], base), text[end:]
    if value > NONE:
        return NONE, rest
    return (-value & NONE if negative else value), rest


def scanned(word: str) -> tuple[int | None, str]:
    """(value, what follows it) of sscanf's ``%d``; (None, the word) for none."""
    text = word.lstrip(BLANKS)
    start = int(text[:1] in ("+", "-"))
    end = start
    while text[end : end + 1] in tuple(DIGITS[:10]):
        end += 1
    return (int(text[:end]), text[end:]) if end > start else (None, word)


def in_decimal(word: str) -> str:
    """A number that is written in binary, for those who do not read it; any other word as it is."""
    value, rest = number(word, binary=True)
    return str(value) if word[:2].lower() == "0b" and not rest else word


def size(word: str | None, binary: bool = False) -> int:
    """Bytes of a size with a suffix K, M, G or T; NONE when it is none, 0 for no word. ``binary`` as ``number``."""
    return size_and_unit(word, binary)[0]


def size_and_unit(word: str | None, binary: bool = False) -> tuple[int, int]:
    """(bytes, unit of the suffix) as ``size``."""
    if word is None:
        return 0, 1
    value, rest = number(word, binary)
    unit = UNITS.get(rest[:1].lower(), 1)
    if value == NONE:
        return NONE, 1
    scaled = value * unit & NONE
    if rest[unit > 1 :] or scaled < value:
        return NONE, unit
    return scaled, unit


def human(value: int) -> int | str:
    """A size as ``-u`` prints it: ``124.00 MiB (130.02 MB)``; a plain number below 5000 KiB."""
    if value < 5000 * KIB:
        return value
    name, binary, decimal = ("M", MIB, 10**6) if value < 2 * GIB else ("G", GIB, 10**9)
    if value >= 2 * TIB:
        name, binary, decimal = "T", TIB, 10**12
    in_binary = (value * 200 // binary + 1) // 2
    in_decimal = (value // (decimal // 200) + 1) // 2
    return f"{in_binary // 100}.{in_binary % 100:02} {name}iB ({in_decimal // 100}.{in_decimal % 100:02} {name}B)"


def hexadecimal(value: int) -> str:
    """A number as ``-u`` prints flags, handles and cookies; zero has no prefix, as printf's ``%#x`` has it."""
    return hex(value) if value else "0"
