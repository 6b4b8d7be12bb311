"""Addresses, spans and sizes: the types with which every layer describes memory.

Five address spaces exist and are never mixed: host physical (``Spa``) and its page number (``Mfn``), guest physical
(``Gpa``) and its page number (``Gfn``), and the address inside one DIMM (``Dpa``). They are distinct types to the type
checker and plain integers at run time.
"""

from __future__ import annotations

from xlpy.errors import UsageError
from xlpy.typing import Generic, NewType, TypeVar

Spa = NewType("Spa", int)
Gpa = NewType("Gpa", int)
Dpa = NewType("Dpa", int)
Mfn = NewType("Mfn", int)
Gfn = NewType("Gfn", int)

A = TypeVar("A", bound=int)

PAGE_SHIFT = 12
PAGE = 1 << PAGE_SHIFT
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
SECTOR = 512  # the unit in which Linux counts block devices
LINE = 64  # bytes of a cache line, which is also what a memory controller poisons at once
REGION_ALIGN = 16 << 20  # Linux' MEMREMAP_COMPAT_ALIGN_MAX: the alignment of a region that can hold namespaces
LIMIT = 1 << 64

_UNITS = {"": 1, "B": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB, "P": 1 << 50}


class Span(Generic[A]):
    """A half-open range ``[start, start + size)`` in one address space. Immutable, comparable, hashable.

    Args:
        start: first address (or page number) of the range.
        size: length in the unit of ``start`` (bytes for addresses, pages for page numbers); 0 is an empty span.

    Raises:
        ValueError: a negative start or size, or an end beyond 2**64 (the sum would wrap in hardware).
    """

    __slots__ = ("size", "start")

    start: A
    size: int

    def __init__(self, start: A, size: int) -> None:
        if start < 0 or size < 0 or start + size > LIMIT:
            raise ValueError(f"span [{start:#x}, +{size:#x}) does not fit in 64 bits")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "size", size)

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"a span does not change: {name}")

    @classmethod
    def between(cls, start: A, end: A) -> Span[A]:
        """The span ``[start, end)``; ValueError when ``end`` lies before ``start``."""
        return cls(start, end - start)

    @property
    def end(self) -> A:
        """The first address after the span."""
        return self.start + self.size  # type: ignore[return-value]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span) and (self.start, self.size) == (other.start, other.size)

    def __lt__(self, other: Span[A]) -> bool:
        return (self.start, self.size) < (other.start, other.size)

    def __hash__(self) -> int:
        return hash((self.start, self.size))

    def __repr__(self) -> str:
        return f"Span({self.start:#x}, {self.size:#x})"

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.start <= address < self.end

    def covers(self, other: Span[A]) -> bool:
        """Whether every address of ``other`` lies in this span."""
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Span[A]) -> bool:
        """Whether the two share an address. Touching spans do not; an empty span overlaps nothing."""
        return max(self.start, other.start) < min(self.end, other.end)

    def intersect(self, other: Span[A]) -> Span[A] | None:
        """What the two have in common, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Span(start, end - start) if start < end else None

    def aligned(self, unit: int = PAGE) -> bool:
        """Whether both ends are multiples of ``unit``."""
        return self.start % unit == 0 and self.size % unit == 0

    def __str__(self) -> str:
        return f"[{self.start:#x}, {self.end:#x})"


def align_up(value: int, unit: int) -> int:
    """The smallest multiple of ``unit`` that is at least ``value``."""
    return -(-value // unit) * unit


def align_down(value: int, unit: int) -> int:
    """The largest multiple of ``unit`` that is at most ``value``."""
    return value // unit * unit


def pages(size: int) -> int:
    """How many 4 KiB pages hold ``size`` bytes."""
    return -(-size // PAGE)


def mfn_of(spa: Spa) -> Mfn:
    """The page number of a host physical address."""
    return Mfn(spa >> PAGE_SHIFT)


def spa_of(mfn: Mfn) -> Spa:
    """The first byte of a host page."""
    return Spa(mfn << PAGE_SHIFT)


def gfn_of(gpa: Gpa) -> Gfn:
    """The page number of a guest physical address."""
    return Gfn(gpa >> PAGE_SHIFT)


def gpa_of(gfn: Gfn) -> Gpa:
    """The first byte of a guest page."""
    return Gpa(gfn << PAGE_SHIFT)


def parse_size(text: str | int) -> int:
    """Read a size or address: ``64M``, ``1GiB``, ``0x1000``, ``4096``; binary units, any case.

    Returns:
        bytes.

    Raises:
        UsageError: not a size, negative, or 2**64 and more.
    """
    raw = str(text).strip()
    body = raw.replace("_", "").upper()
    number, unit = body, ""
    if not body.startswith("0X"):
        number = body.rstrip("BIKMGTP")
        unit = body[len(number) :]
        if unit.endswith("IB") and len(unit) == 3:
            unit = unit[0]
    try:
        value = int(number, 16 if number.startswith("0X") else 10) * _UNITS[unit]
    except (ValueError, KeyError):
        raise UsageError(
            f"not a size: {raw!r}", hint="write bytes (4096, 0x1000) or a binary unit (4K, 64M, 1G, 6T)"
        ) from None
    if not 0 <= value < LIMIT:
        raise UsageError(f"size out of range: {raw!r}", hint="a size is between 0 and 2**64 - 1")
    return value


def format_size(size: int) -> str:
    """The shortest exact text: ``64M``, ``1G``, ``4100K``, else plain bytes."""
    for unit in ("P", "T", "G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)
