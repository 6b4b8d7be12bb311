r"""128 processors, whatever the guest has, and their hot plug.

Each reads its own local APIC entry in the MADT: firmware leaves the entries' address in ``MAPA``. A processor that the
guest does not have, or that is not online, answers ``_STA`` with 0. On event 2 the bitmap of online processors at port
0xAF00 is compared with the entries; what changed is written there, and the MADT's checksum is kept right.

The 128 are stamped out of a few templates, one for each size that their constants have: building each on its own would
take most of the time of a boot. Constants are as short as iasl makes them.
"""

from __future__ import annotations

from xlpy.firmware.acpi import aml
from xlpy.firmware.hvm_info import MAX_VCPUS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK, _BLOCK_LENGTH = 0x10, 6  # behind the start of the power management block
_BITMAP_PORT = 0xAF00
_EJECT_MS = 200
_INSERTED, _EJECT_REQUEST = 1, 3

# What a template has in place of name, number and entry offset; the offset's size is that of its constant
_NAME, _NUMBER, _OFFSETS = "PRXX", aml.byte(0xA5), {2: aml.byte(0x5A), 3: aml.word(0x5A5A)}
_ENTRY = 8  # bytes of a local APIC entry


def processors(pm_base: int) -> bytes:
    r"""For ``\_SB``: ``MSUM``, ``PMAT``, ``PR00`` to ``PR7F``, ``PRST`` and ``PRSC``."""
    return b"".join(
        (
            aml.op_region("MSUM", aml.RegionSpace.SYSTEM_MEMORY, aml.ref("\\_SB.MSUA"), 1),
            aml.field("MSUM", (("MSU", 8),), aml.AccessType.BYTE),
            _pmat(),
            *(aml.processor(_name(n), n, pm_base + _BLOCK, _BLOCK_LENGTH, body) for n, body in enumerate(_bodies())),
            aml.op_region("PRST", aml.RegionSpace.SYSTEM_IO, _BITMAP_PORT, MAX_VCPUS // 8),
            aml.field("PRST", (("PRS", MAX_VCPUS),), aml.AccessType.BYTE),
            _prsc(),
        )
    )


def _name(number: int) -> str:
    return f"PR{number:02X}"


def _bodies() -> Iterator[bytes]:
    """What is in each processor. The first is always there and needs no guard; 0 and 1 are constants of one byte."""
    yield _processor(aml.integer(0), aml.integer(0), guarded=False)
    yield _processor(aml.integer(1), aml.integer(_ENTRY), guarded=True)
    templates = {size: _processor(_NUMBER, offset, guarded=True) for size, offset in _OFFSETS.items()}
    for n in range(2, MAX_VCPUS):
        offset = aml.integer(_ENTRY * n)
        size = len(offset)
        yield templates[size].replace(_NUMBER, aml.integer(n)).replace(_OFFSETS[size], offset)


def _pmat() -> bytes:
    """``PMAT (number, entry)``: the entry, or one that says "not there" for a number beyond the guest's."""
    absent = bytes((0, 8, 0xFF, 0xFF, 0, 0, 0, 0))
    return aml.method(
        "PMAT",
        2,
        aml.if_(aml.less(aml.arg(0), aml.ref("\\_SB.NCPU")), aml.return_(aml.to_buffer(aml.arg(1)))),
        aml.return_(aml.buffer(absent)),
    )


def _processor(number: bytes, offset: bytes, *, guarded: bool) -> bytes:
    entry = aml.call("PMAT", number, aml.ref("MAT")) if guarded else aml.to_buffer(aml.ref("MAT"))
    online = aml.land(aml.less(number, aml.ref("\\_SB.NCPU")), aml.ref("FLG")) if guarded else aml.ref("FLG")
    return b"".join(
        (
            aml.name("_HID", aml.string("ACPI0007")),
            aml.name("_UID", number),
            aml.op_region("MATR", aml.RegionSpace.SYSTEM_MEMORY, aml.add(aml.ref("\\_SB.MAPA"), offset), 8),
            aml.field("MATR", (("MAT", 64),), aml.AccessType.BYTE),
            aml.field("MATR", ((None, 32), ("FLG", 1)), aml.AccessType.BYTE),
            aml.method("_MAT", 0, aml.return_(entry)),
            aml.method("_STA", 0, aml.if_(online, aml.return_(0x0F)), aml.return_(0)),
            aml.method("_EJ0", 1, aml.sleep(_EJECT_MS)),
        )
    )


def _prsc() -> bytes:
    """Compare the bitmap with the entries, eight at a time.

    FLG is a bit of the MADT, so each one that is set takes one off the checksum byte. The last eight may reach beyond
    the guest's processors, into room that the MADT keeps and that is zero.
    """
    bits, octet, bit, more = aml.local(0), aml.local(1), aml.local(2), aml.local(3)
    name, flag, checksum = aml.ref(_NAME), aml.ref(f"^{_NAME}.FLG"), aml.ref("MSU")
    compare = b"".join(
        (
            aml.and_(octet, 1, bit),
            aml.shift_right(octet, 1, octet),
            aml.if_(
                aml.not_equal(bit, flag),
                aml.store(bit, flag),
                aml.if_(bit, aml.notify(name, _INSERTED), aml.increment(more)),
                aml.else_(aml.notify(name, _EJECT_REQUEST), aml.decrement(more)),
            ),
        )
    )
    return aml.method(
        "PRSC",
        0,
        aml.store(aml.to_buffer(aml.ref("PRS")), bits),
        aml.store(0, more),
        *(
            aml.if_(
                aml.less(first, aml.ref("NCPU")),
                aml.store(aml.deref_of(aml.index(bits, first // 8)), octet),
                *(compare.replace(_NAME.encode(), _name(n).encode()) for n in range(first, first + 8)),
            )
            for first in range(0, MAX_VCPUS, 8)
        ),
        aml.subtract(checksum, more, checksum),
        aml.return_(0),
    )
