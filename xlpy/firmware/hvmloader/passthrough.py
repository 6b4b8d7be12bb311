"""Tables that the toolstack passes through (``acpi_firmware``): a plain row of ACPI tables in guest memory.

hvmloader copies them as they are, behind its own tables and before the XSDT; checksums are neither checked nor
mended. It also trusts their lengths: 0 makes it crash, too much makes it copy what lies behind. Here those stop the
boot with a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.addr import Gpa, Span
from xlpy.firmware.hvmloader import keys
from xlpy.firmware.hvmloader.stop import stop
from xlpy.firmware.layout import FOUR_GIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.errors import FirmwareStopped
    from xlpy.firmware.hvmloader.memory import Memory

_HEADER = 36
_ADDRESS, _LENGTH = "hvmloader/acpi/address", "hvmloader/acpi/length"


def tables(memory: Memory) -> Iterator[bytes]:
    """The tables that were passed, one by one.

    Raises:
        FirmwareStopped: the area is not low RAM, or a table's length is smaller than a header or beyond the area. Less
            than a header left over at the end is ignored, as in hvmloader.
    """
    address, _ = keys.strtoll(keys.text(memory.platform, _ADDRESS))
    if not address:
        return
    length, _ = keys.strtoll(keys.text(memory.platform, _LENGTH))
    if min(address, length) < 0 or address + length > FOUR_GIB or not memory.holds(Span(Gpa(address), length)):
        raise _refused(f"{length:#x} bytes at {address:#x} do not lie in RAM below 4 GiB")
    offset = 0
    while length - offset >= _HEADER:
        at = Gpa(address + offset)
        head = memory.platform.read(at, 8)
        size = int.from_bytes(head[4:], "little")
        name = head[:4].decode("latin-1")
        if size < _HEADER:
            raise _refused(f"table {name!r} at offset {offset:#x} says it has {size} bytes, less than a header")
        if size > length - offset:
            raise _refused(f"table {name!r} at offset {offset:#x} says it has {size} bytes, {length - offset} are left")
        yield memory.platform.read(at, size)
        offset += size


def _refused(what: str) -> FirmwareStopped:
    return stop(
        f"acpi_firmware: {what}",
        code="XLPY-FIRMWARE-PASSTHROUGH",
        hint="acpi_firmware names a file of whole ACPI tables, one after another",
    )
