"""The one place through which output goes: text for people with control characters made visible, the rest as it is.

Names, labels, xenstore values and paths come from guests and from untrusted files; a terminal would act on what is
hidden in them. Exact values are what JSON is for.
"""

from __future__ import annotations

import sys

from xlpy.contexts import suppress
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BREAKS = "\u2028\u2029"  # the only blanks from U+00A0 on that begin a new line
_BYTES = range(0xDC80, 0xDD00)  # bytes that are not UTF-8, as Python spells them; a terminal takes the lowest for C1


def visible(text: str) -> str:
    """One line of text in which nothing is hidden and nothing acts.

    Control characters (C0, DEL, C1), directional marks and whatever else has no shape become escapes as Python writes
    them. Bytes that are not UTF-8 stay, so that they come out as they went in, unless a terminal takes them for C1.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    number = ord(letter)
    if letter.isprintable() or (number >= 0xA0 and letter.isspace() and letter not in _BREAKS):
        return letter
    if number in _BYTES:
        if number & 0xFF >= 0xA0:
            return letter
        number &= 0xFF
    if letter in _SHORT:
        return _SHORT[letter]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def out(*lines: object) -> None:
    """Print lines on standard output, each of them one line whatever it holds."""
    sys.stdout.write("".join([f"{visible(str(line))}\n" for line in lines]))


def err(*lines: object) -> None:
    """Print lines on standard error, as ``out``; a closed standard error stops nothing."""
    with suppress(OSError):
        sys.stderr.write("".join([f"{visible(str(line))}\n" for line in lines]))
        sys.stderr.flush()


def exact(texts: Iterable[str | bytes]) -> None:
    """Print text for programs on standard output as it is: JSON, generated files. Bytes are ASCII."""
    for text in texts:
        if isinstance(text, str):
            sys.stdout.write(text)
        else:
            binary().write(text)


def flush() -> None:
    """Flush standard output."""
    sys.stdout.flush()


def binary() -> BinaryIO:
    """Standard output for bytes."""
    flush()
    return sys.stdout.buffer
