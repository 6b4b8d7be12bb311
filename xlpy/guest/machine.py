"""The machine behind a guest's operation regions: its memory and its ports, through the domain's own dispatch."""

from __future__ import annotations

from xlpy.addr import Gpa
from xlpy.firmware.acpi.eval import Interpreter, load
from xlpy.hypervisor.platform import GuestPlatform
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from xlpy.toolstack.domain.running import Running

SYSTEM_MEMORY, SYSTEM_IO, PCI_CONFIG = 0, 1, 2
_CF8, _CFC = 0xCF8, 0xCFC


class GuestMachine:
    """``RegionAccess`` for a running domain. Accesses to emulated devices trap, as a vCPU's would.

    Args:
        running: the domain, with its device model connected.
    """

    def __init__(self, running: Running) -> None:
        self._platform = GuestPlatform(running.domain, lambda _key: None)

    def read(self, space: int, address: int, width: int) -> int:
        """One unit of ``width`` bytes; all ones where nothing responds."""
        if space == SYSTEM_MEMORY:
            return int.from_bytes(self._platform.read(Gpa(address), width), "little")
        if space == PCI_CONFIG:
            self._select(address)
            return self._platform.io_in(_CFC + (address & 3), width)
        return self._platform.io_in(address, width) if space == SYSTEM_IO else (1 << 8 * width) - 1

    def read_run(self, space: int, address: int, width: int, count: int) -> bytes:
        """``count`` units, one behind the other."""
        if space == SYSTEM_MEMORY:
            return self._platform.read_run(Gpa(address), width, count)
        units = range(address, address + width * count, width)
        return b"".join([self.read(space, at, width).to_bytes(width, "little") for at in units])

    def write(self, space: int, address: int, width: int, value: int) -> None:
        """Store one unit; dropped where nothing responds."""
        if space == SYSTEM_MEMORY:
            self._platform.write(Gpa(address), value.to_bytes(width, "little"))
        elif space == PCI_CONFIG:
            self._select(address)
            self._platform.io_out(_CFC + (address & 3), width, value)
        elif space == SYSTEM_IO:
            self._platform.io_out(address, width, value)

    def _select(self, address: int) -> None:
        """Configuration mechanism 1: bus, device and function from the evaluator's ECAM-like address."""
        bus, device = address >> 20 & 0xFF, address >> 15 & 0x1F
        function, register = address >> 12 & 7, address & 0xFC
        self._platform.io_out(_CF8, 4, 1 << 31 | bus << 16 | device << 11 | function << 8 | register)


def interpreter(
    running: Running, strict: bool = True, sound: Collection[bytes] = (), deferred: Collection[bytes] = ()
) -> Interpreter:
    """The guest's own AML, loaded from its memory.

    Args:
        running: the domain.
        strict: raise for a name that exists already; otherwise pass it over, as an operating system does.
        sound, deferred: tables, as for ``Interpreter.load``.

    Raises:
        FormatError: tables or AML are damaged. NotFound: the domain has no ACPI.
    """
    tables = (table.data for table in running.acpi_tables())
    return load(tables, GuestMachine(running), strict=strict, sound=sound, deferred=deferred)
