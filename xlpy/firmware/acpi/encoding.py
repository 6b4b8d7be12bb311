"""Names, package lengths and terms: the elements of every AML object (ACPI 6.5, 20.2.2 and 20.2.4)."""

from __future__ import annotations

from xlpy.errors import FormatError

Term = bytes | int  # AML, or an integer to be encoded in the shortest form

NULL = b"\0"  # NullName: as a target, the result is not stored

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_OTHER = _FIRST | frozenset("0123456789")


def name_segment(text: str) -> bytes:
    """One NameSeg: up to four of ``A-Z 0-9 _``, padded with ``_``; FormatError for anything else."""
    if not 1 <= len(text) <= 4 or text[0] not in _FIRST or not _OTHER.issuperset(text):
        raise FormatError(
            f"not an ACPI name: {text!r}", hint="a name has up to four characters of A-Z, 0-9 and _, no digit first"
        )
    return text.ljust(4, "_").encode()


def name_string(path: str) -> bytes:
    """A NameString (20.2.2): ``\\``, ``^``, and one to 255 segments divided by dots.

    An empty path is the NullName; ``\\`` alone the root, ``^`` alone the parent scope.

    Raises:
        FormatError: a segment is not a name, or there are too many.
    """
    rest = path[1:] if path.startswith("\\") else path.lstrip("^")
    prefix = path[: len(path) - len(rest)]
    segments = [name_segment(text) for text in rest.split(".")] if rest else []
    if len(segments) > 255:
        raise FormatError(f"a name path has at most 255 segments, this one has {len(segments)}")
    lead = {0: NULL, 1: b"", 2: b"\x2e"}.get(len(segments), b"\x2f" + bytes([len(segments) & 0xFF]))
    return prefix.encode() + lead + b"".join(segments)


def pkg_length(size: int, *, counts_itself: bool = True) -> bytes:
    """PkgLength (20.2.4) in one to four bytes, as few as fit.

    Args:
        size: how many bytes follow it in the package; or any other number, such as the bits of a field.
        counts_itself: whether the encoded number includes the encoding's own bytes; in a FieldList it does not.

    Raises:
        FormatError: the number needs more than 28 bits.
    """
    for width in range(1, 5):
        total = size + width * counts_itself
        if width == 1 and total <= 0x3F:
            return bytes([total])
        if width > 1 and total < 1 << (4 + 8 * (width - 1)):
            return bytes([(width - 1) << 6 | total & 0xF]) + (total >> 4).to_bytes(width - 1, "little")
    raise FormatError(f"a package of {size} bytes is too long; 28 bits is the limit")


def packaged(opcode: bytes, *parts: bytes) -> bytes:
    """An opcode with PkgLength and what the package holds."""
    body = b"".join(parts)
    return opcode + pkg_length(len(body)) + body


def number(value: int, width: int) -> bytes:
    """``value`` in ``width`` little-endian bytes; FormatError when it does not fit."""
    if not 0 <= value < 1 << 8 * width:
        raise FormatError(f"{value:#x} does not fit in {8 * width} bits")
    return value.to_bytes(width, "little")


def integer(value: int) -> bytes:
    """The shortest constant (20.2.3): ZeroOp, OneOp, or a Byte, Word, DWord or QWord constant."""
    if value in (0, 1):
        return bytes([value])
    for prefix, width in ((0x0A, 1), (0x0B, 2), (0x0C, 4)):
        if 0 <= value < 1 << 8 * width:
            return bytes([prefix]) + value.to_bytes(width, "little")
    return b"\x0e" + number(value, 8)


def term(value: Term) -> bytes:
    """AML of a term: bytes as they are, an integer encoded."""
    return integer(value) if isinstance(value, int) else value


def terms(values: tuple[Term, ...]) -> bytes:
    """AML of several terms in a row."""
    return b"".join(map(term, values))
