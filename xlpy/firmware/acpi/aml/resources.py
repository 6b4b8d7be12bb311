"""Resource descriptors, as ``_CRS`` and ``_PRS`` hold them (ACPI 6.5, 6.4).

Addresses and lengths are in bytes (or bus numbers). ``length`` defaults to the whole range.
"""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.firmware.acpi.aml.data import buffer
from xlpy.firmware.acpi.encoding import number

NON_CACHEABLE, CACHEABLE, WRITE_COMBINING, PREFETCHABLE = range(4)

_MEMORY, _IO, _BUS = range(3)
_TAGS = {2: 0x88, 4: 0x87, 8: 0x8A}  # width of the numbers -> large descriptor


def resource_template(*descriptors: bytes) -> bytes:
    """A Buffer with the descriptors and an end tag, whose checksum byte is 0: not used (6.4.2.9)."""
    return buffer(b"".join(descriptors) + b"\x79\0")


def io(minimum: int, maximum: int, alignment: int, length: int, *, decode16: bool = True) -> bytes:
    """I/O ports (6.4.2.5)."""
    return bytes([0x47, decode16]) + number(minimum, 2) + number(maximum, 2) + number(alignment, 1) + number(length, 1)


def irq(*lines: int, level: bool = False, low: bool = False, shared: bool = False) -> bytes:
    """Interrupt lines 0 to 15, with trigger mode and polarity (6.4.2.1); by default edge, active high, exclusive."""
    return b"\x23" + _mask(lines, 16) + bytes([(not level) | low << 3 | shared << 4])


def irq_noflags(*lines: int) -> bytes:
    """Interrupt lines 0 to 15, edge triggered and active high (6.4.2.1)."""
    return b"\x22" + _mask(lines, 16)


def dma(*channels: int, speed: int = 0, bus_master: bool = False, transfer: int = 0) -> bytes:
    """DMA channels 0 to 7 (6.4.2.2).

    Args:
        channels: their numbers.
        speed: 0 compatible, 1 to 3 types A, B and F.
        bus_master: whether the device is one.
        transfer: 0 8-bit, 1 8- and 16-bit, 2 16-bit.
    """
    return b"\x2a" + _mask(channels, 8) + bytes([speed << 5 | bus_master << 2 | transfer])


def memory32fixed(base: int, length: int, *, writable: bool = True) -> bytes:
    """A fixed 32-bit memory range (6.4.3.4)."""
    return b"\x86\x09\x00" + bytes([writable]) + number(base, 4) + number(length, 4)


def word_bus_number(minimum: int, maximum: int, length: int | None = None, *, producer: bool = True) -> bytes:
    """Bus numbers, a 16-bit address space descriptor (6.4.3.5.3)."""
    return _address_space(2, _BUS, 0, minimum, maximum, length, producer=producer)


def word_io(minimum: int, maximum: int, length: int | None = None, *, producer: bool = True) -> bytes:
    """I/O ports of the entire range, a 16-bit address space descriptor (6.4.3.5.3)."""
    return _address_space(2, _IO, 3, minimum, maximum, length, producer=producer)


def dword_memory(
    minimum: int,
    maximum: int,
    length: int | None = None,
    *,
    cache: int = NON_CACHEABLE,
    writable: bool = True,
    producer: bool = True,
) -> bytes:
    """Memory, a 32-bit address space descriptor (6.4.3.5.2)."""
    return _address_space(4, _MEMORY, writable | cache << 1, minimum, maximum, length, producer=producer)


def qword_memory(
    minimum: int,
    maximum: int,
    length: int | None = None,
    *,
    cache: int = NON_CACHEABLE,
    writable: bool = True,
    producer: bool = True,
) -> bytes:
    """Memory, a 64-bit address space descriptor (6.4.3.5.1)."""
    return _address_space(8, _MEMORY, writable | cache << 1, minimum, maximum, length, producer=producer)


def _address_space(
    width: int, kind: int, flags: int, minimum: int, maximum: int, length: int | None, *, producer: bool
) -> bytes:
    """Granularity and translation are 0; minimum and maximum are fixed, decoding is positive."""
    size = maximum - minimum + 1 if length is None else length
    numbers = b"".join(number(n, width) for n in (0, minimum, maximum, 0, size))
    return bytes([_TAGS[width]]) + number(3 + len(numbers), 2) + bytes([kind, 0x0C | (not producer), flags]) + numbers


def _mask(numbers: tuple[int, ...], limit: int) -> bytes:
    mask = 0
    for n in numbers:
        if not 0 <= n < limit:
            raise FormatError(f"line or channel {n} is out of range, there are {limit}")
        mask |= 1 << n
    return mask.to_bytes(limit // 8, "little")
