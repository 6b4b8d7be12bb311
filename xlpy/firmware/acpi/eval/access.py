"""The machine behind operation regions (ACPI 6.5, 5.5.2.4 and table 19.38)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import NoReturn

SYSTEM_MEMORY, SYSTEM_IO, PCI_CONFIG = 0, 1, 2
SMBUS, IPMI, GPIO, SERIAL_BUS, PCC, PRM, FIXED_HARDWARE = 4, 7, 8, 9, 0xA, 0xB, 0x7F
BUSES = {
    SMBUS: "SMBus",
    IPMI: "IPMI",
    GPIO: "GeneralPurposeIo",
    SERIAL_BUS: "GenericSerialBus",
    PCC: "PCC",
    PRM: "PlatformRtMechanism",
    FIXED_HARDWARE: "FFixedHW",
}


class BusTransaction(NamedTuple):
    """One access to a field whose region is no memory.

    Args:
        space: of the region, one of ``BUSES``.
        base: where the region begins: a bus address, or the number of a PCC subspace.
        offset: of the field in bytes, which a bus takes as its command; of GeneralPurposeIo the number of the pin, of
            those that the connection lists.
        write: whether AML stores to the field.
        protocol, length: of AccessAs, such as 6 for AttribByte (19.6.46).
        connection: the resource descriptor of Connection; empty where there is none.
        bits: of the field.
    """

    space: int
    base: int
    offset: int
    write: bool
    protocol: int
    length: int
    connection: bytes
    bits: int


class RegionAccess(Protocol):
    """The machine behind operation regions.

    ``space`` is the region space (0 SystemMemory, 1 SystemIO, 2 PCI_Config, ...), ``width`` the number of bytes: 1, 2,
    4 or 8. Addresses are in bytes; for PCI_Config they are laid out as in ECAM: segment << 28, bus << 20, device << 15,
    function << 12, register.
    """

    def read(self, space: int, address: int, width: int) -> int:
        """Read one unit."""
        ...

    def write(self, space: int, address: int, width: int, value: int) -> None:
        """Write one unit."""
        ...


class RunAccess(RegionAccess, Protocol):
    """A machine that reads many units at a time, such as the output of a ``_DSM``."""

    def read_run(self, space: int, address: int, width: int, count: int, /) -> bytes:
        """Read ``count`` units, one behind the other; the same as so many reads."""
        ...


class BusAccess(RegionAccess, Protocol):
    """A machine that has buses as well: regions that are no memory are accessed in whole transactions.

    A machine without this method answers as an operating system does that has no driver for a bus: AE_NOT_EXIST.
    """

    def transact(self, transaction: BusTransaction, data: bytearray, /) -> None:
        """Carry out an access to a bus, and put what it answers into ``data``, which keeps its length.

        ``data`` begins with a status byte (0 is success) and the number of bytes that follow, for SMBus, IPMI and
        GenericSerialBus; it is the whole message of a PCC subspace, the pins of GeneralPurposeIo from bit 0 on, and
        what the vendor defines for others. ``absent`` raises what is to be said of a bus that is not there.
        """
        ...


def absent(transaction: BusTransaction, _data: bytearray) -> NoReturn:
    """An operating system has no driver for this bus.

    Raises:
        AmlError: AE_NOT_EXIST, as ACPICA for a region without handler.
    """
    raise AmlError("AE_NOT_EXIST", f"region space {BUSES[transaction.space]} has no handler")


class TableBytes:
    """The machine behind a DataTableRegion."""

    def __init__(self, data: bytearray) -> None:
        self.data = data

    def read(self, _space: int, address: int, width: int) -> int:
        """Read ``width`` bytes, little-endian."""
        return int.from_bytes(self.data[address : address + width], "little")

    def write(self, _space: int, address: int, width: int, value: int) -> None:
        """Write ``width`` bytes, little-endian; what lies behind the table is lost."""
        fitting = value.to_bytes(width, "little")[: max(len(self.data) - address, 0)]
        self.data[address : address + len(fitting)] = fitting


class ScratchMemory:
    """Memory that remembers what was written and is zero elsewhere, for tables without their machine."""

    def __init__(self) -> None:
        self.bytes: dict[tuple[int, int], int] = {}

    def read(self, space: int, address: int, width: int) -> int:
        """Read ``width`` bytes, little-endian."""
        return sum(self.bytes.get((space, address + at), 0) << 8 * at for at in range(width))

    def write(self, space: int, address: int, width: int, value: int) -> None:
        """Write ``width`` bytes, little-endian."""
        for at in range(width):
            self.bytes[space, address + at] = value >> 8 * at & 0xFF
