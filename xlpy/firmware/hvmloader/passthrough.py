"""What the toolstack passes through in guest memory: ACPI tables (``acpi_firmware``), SMBIOS structures
(``smbios_firmware``).

hvmloader copies ACPI tables as they are, behind its own and before the XSDT, and looks at no checksum.
A length that does not fit stops the boot here, with a reason.
"""

from __future__ import annotations

from xlpy.addr import Gpa, Span
from xlpy.firmware.hvmloader import keys
from xlpy.firmware.hvmloader.stop import stop
from xlpy.firmware.layout import FOUR_GIB
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.errors import FirmwareStopped
    from xlpy.firmware.hvmloader.memory import FirmwareMemory

_HEADER = 36
_LENGTH = 4  # bytes before each SMBIOS structure


def tables(memory: FirmwareMemory) -> Iterator[bytes]:
    """The ACPI tables that were passed, one by one.

    Raises:
        FirmwareStopped: the area is not low RAM, or a table's length is smaller than a header or beyond the area. Less
            than a header left over at the end is ignored, as in hvmloader.
    """
    address, length = _area(memory, "acpi")
    offset = 0
    while length - offset >= _HEADER:
        at = Gpa(address + offset)
        head = memory.platform.read(at, 8)
        size = int.from_bytes(head[4:], "little")
        name = head[:4].decode("latin-1")
        if size < _HEADER:
            raise _refused("acpi", f"table {name!r} at offset {offset:#x} says it has {size} bytes, less than a header")
        if size > length - offset:
            raise _refused(
                "acpi", f"table {name!r} at offset {offset:#x} says it has {size} bytes, {length - offset} are left"
            )
        yield memory.platform.read(at, size)
        offset += size


def structures(memory: FirmwareMemory) -> Iterator[bytes]:
    """The SMBIOS structures that were passed, strings and all; each comes behind its length as 32 bits.

    Raises:
        FirmwareStopped: the area is not low RAM, or a structure reaches beyond it or is not one. A length of less than
            a structure's header is passed over with what it covers, as in hvmloader.
    """
    address, length = _area(memory, "smbios")
    raw = memory.platform.read(Gpa(address), length) if length else b""
    offset = 0
    while length - offset >= _LENGTH:
        size = int.from_bytes(raw[offset : offset + _LENGTH], "little")
        found = raw[offset + _LENGTH :][:size]
        if len(found) < size:
            raise _refused("smbios", f"structure at offset {offset:#x} has {size} bytes, {len(found)} are left")
        if size >= _LENGTH:
            if not (_LENGTH <= found[1] <= size - 2 and found.endswith(b"\0\0")):
                raise _refused("smbios", f"structure at offset {offset:#x}: {size} bytes do not end its strings")
            yield found
        offset += _LENGTH + size


def _area(memory: FirmwareMemory, kind: str) -> tuple[int, int]:
    """Address and length of a module; zeros without one."""
    address, _ = keys.strtoll(keys.text(memory.platform, f"hvmloader/{kind}/address"))
    if not address:
        return 0, 0
    length, _ = keys.strtoll(keys.text(memory.platform, f"hvmloader/{kind}/length"))
    if min(address, length) < 0 or address + length > FOUR_GIB or not memory.holds(Span(Gpa(address), length)):
        raise _refused(kind, f"{length:#x} bytes at {address:#x} do not lie in RAM below 4 GiB")
    return address, length


_CONTENT = {
    "acpi": "acpi_firmware names a file of whole ACPI tables, one after another",
    "smbios": "smbios_firmware names a file of SMBIOS structures, each behind its length as 32 bits, little-endian",
}


def _refused(kind: str, what: str) -> FirmwareStopped:
    return stop(f"{kind}_firmware: {what}", code="XLPY-FIRMWARE-PASSTHROUGH", hint=_CONTENT[kind])
