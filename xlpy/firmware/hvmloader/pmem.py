"""What firmware wants to know of an NFIT (ACPI 6.5, 5.2.25): where persistent memory is."""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING

from xlpy.addr import LIMIT, Gpa, Span
from xlpy.firmware.acpi.guid import guid_bytes
from xlpy.firmware.acpi.header import HEADER_SIZE
from xlpy.firmware.acpi.nfit_codes import PERSISTENT_MEMORY
from xlpy.firmware.hvmloader.stop import stop

if TYPE_CHECKING:
    from xlpy.errors import FirmwareStopped

_STRUCTURES = HEADER_SIZE + 4
_SPA_RANGE, _SPA_RANGE_SIZE = 0, 56


def ranges(nfit: bytes) -> list[Span[Gpa]]:
    """The persistent memory ranges of a table whose length and checksum are good.

    Raises:
        FirmwareStopped: a structure that does not fit into the table, or a range that is empty or ends beyond 2**64.
    """
    found, at, pmem = [], _STRUCTURES, guid_bytes(PERSISTENT_MEMORY)
    while at < len(nfit):
        left = len(nfit) - at
        kind, size = unpack_from("<HH", nfit, at) if left >= 4 else (-1, 0)
        if not 4 <= size <= left or (kind == _SPA_RANGE and size < _SPA_RANGE_SIZE):
            raise _bad(f"the structure at offset {at:#x} has {size} bytes, {left} are left")
        if kind == _SPA_RANGE and nfit[at + 16 : at + 32] == pmem:
            start, length = unpack_from("<QQ", nfit, at + 32)
            if not length or start + length > LIMIT:
                raise _bad(f"persistent memory of {length:#x} bytes at {start:#x}")
            found.append(Span(Gpa(start), length))
        at += size
    return found


def _bad(what: str) -> FirmwareStopped:
    return stop(
        f"dm-acpi: the NFIT is malformed: {what}",
        code="XLPY-DMACPI-NFIT",
        hint="structures fill the table exactly; a range has at least one byte and ends within 64 bits",
    )
