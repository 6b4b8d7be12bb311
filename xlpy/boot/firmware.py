"""Running hvmloader again in the emulator's memory, and the BIOS's part after it.

The emulator has no RAM at the addresses that hvmloader is used to, so a layout inside low RAM is used; everything else
is the same code on the same domain: its xenstore keys, CPUID, memory map and ``hvm_info_table``. The board is the
emulator's: its PCI devices are set up by its own BIOS, so hvmloader finds an empty bus.
"""

from __future__ import annotations

from xlpy.addr import MIB, Gpa, align_down
from xlpy.boot.qemu import PM_BASE, WAKE_PORT
from xlpy.boot.smbios import structures
from xlpy.boot.ssdt import build_ssdt
from xlpy.devicemodel.dmacpi import area_for
from xlpy.errors import Constraint
from xlpy.firmware.acpi.roots import RSDP_SIZE
from xlpy.firmware.dm_acpi import build_stream, table_entry
from xlpy.firmware.handover import read_handover
from xlpy.firmware.hvmloader import main as hvmloader
from xlpy.firmware.hvmloader.dm_acpi import ADDRESS_KEY, LENGTH_KEY
from xlpy.firmware.layout import HPET, IN_RAM_SIZE, in_ram
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xlpy.addr import Gfn
    from xlpy.boot.memory import EmulatorMemory
    from xlpy.firmware.dm_acpi import DmAcpiEntry
    from xlpy.firmware.e820 import E820Entry
    from xlpy.firmware.layout import GuestLayout
    from xlpy.firmware.platform import Platform, Vnuma

BASE_ALIGN = 2 * MIB
LOWEST_BASE = 96 * MIB  # below it a kernel unpacks itself

_COM1_ENABLE = 0x3F9
_SCI_EN = 1
_HPET_ID = 0x8086A201.to_bytes(4, "little")


class Handed(NamedTuple):
    """What the kernel gets: address of the RSDP (None: the domain has no ACPI), the memory map, SMBIOS structures."""

    rsdp: Gpa | None
    e820: list[E820Entry]
    smbios: tuple[bytes, ...]


class Tables(Protocol):
    """The device model, as far as it describes itself."""

    @property
    def slots(self) -> int:
        """How many vNVDIMMs the domain may come to have."""

    def entries(self, mailbox: Gpa, wake: int, /) -> Sequence[DmAcpiEntry]:
        """Tables and devices for hvmloader, with the mailbox at that address, and the port that signals a request."""


def place(low_end: int, kernel_end: int) -> GuestLayout:
    """Where firmware works in the domain's RAM: in the middle, clear of the kernel below and the initrd at the top.

    Args:
        low_end: first address after RAM below 4 GiB.
        kernel_end: first address after what the kernel needs to unpack itself.

    Raises:
        Constraint: not enough RAM.
    """
    base = align_down(low_end // 2, BASE_ALIGN)
    if base < max(LOWEST_BASE, kernel_end):
        raise Constraint(
            f"{low_end // MIB} MiB of RAM below 4 GiB: a kernel and its firmware need "
            f"{2 * max(LOWEST_BASE, kernel_end) // MIB}",
            code="XLPY-BOOT-MEMORY",
            hint="give the domain more memory: memory = 256",
        )
    return in_ram(Gpa(base), PM_BASE)


def check_initrd_fits(size: int, low_end: int, layout: GuestLayout) -> None:
    """Refuse an initrd that would reach down into firmware's memory; the emulator loads it at the top of low RAM."""
    room = low_end - MIB - layout.acpi_info - IN_RAM_SIZE
    if size > room:
        raise Constraint(
            f"the initrd has {size / MIB:.0f} MiB, {max(room, 0) // MIB} fit at the top of the domain's RAM",
            code="XLPY-BOOT-MEMORY",
            hint="give the domain more memory",
        )


def run_firmware(
    guest: Platform,
    memory: EmulatorMemory,
    layout: GuestLayout,
    low_end: int,
    tables: Tables | None,
    log: Callable[[str], None],
) -> Handed:
    """Hand over the device model's tables, run hvmloader, and do what a BIOS does with its result.

    Args:
        guest: the domain's platform, for what does not depend on the board.
        memory: its RAM as the emulator will have it.
        layout: from ``place``.
        low_end: first address after RAM below 4 GiB.
        tables: the device model; None when the domain has no vNVDIMM.
        log: called with hvmloader's lines.

    Raises:
        FirmwareStopped: as ``hvmloader.run``. Constraint: no room for the tables.
    """
    keys: dict[str, str | None] = {ADDRESS_KEY: None, LENGTH_KEY: None}
    if tables is not None:
        events = table_entry(build_ssdt(tables.slots))
        stream = build_stream((*tables.entries(layout.mailbox, WAKE_PORT), events))
        area = area_for(len(stream), Gpa(low_end), Gpa(layout.acpi_info + IN_RAM_SIZE))
        memory.write(area.start, stream)
        keys = {ADDRESS_KEY: f"{area.start:#x}", LENGTH_KEY: f"{len(stream):#x}"}
    hvmloader.run(Board(guest, memory, keys, log), layout)
    handover = read_handover(memory.read)
    smbios = tuple(structures(memory.read, handover.tables))
    if handover.rsdp is None:
        return Handed(None, handover.e820, smbios)
    # The emulator's loader works in low memory, so the RSDP moves to the page that the layout keeps for it.
    memory.write(layout.mem_end, memory.read(handover.rsdp, RSDP_SIZE))
    return Handed(layout.mem_end, handover.e820, smbios)


class Board:
    """``Platform`` on an emulator's board: COM1, an HPET, power management at its own port, no PCI device to set up.

    Args:
        guest: answers for processor, xenstore and Xen.
        memory: RAM.
        keys: xenstore keys that differ in this boot.
        log: called with the lines.
    """

    def __init__(
        self, guest: Platform, memory: EmulatorMemory, keys: dict[str, str | None], log: Callable[[str], None]
    ) -> None:
        self._guest, self._memory, self._keys, self.log = guest, memory, keys, log
        self._enable = 0
        self._params: dict[int, int] = {}
        self.cpuid = guest.cpuid
        self.memory_map = guest.memory_map

    def read(self, gpa: Gpa, length: int, /) -> bytes:
        """RAM, or the HPET's id."""
        if gpa == HPET:
            return _HPET_ID[:length]
        return self._memory.read(gpa, length)

    def write(self, gpa: Gpa, data: bytes, /) -> None:
        """RAM."""
        self._memory.write(gpa, data)

    def io_in(self, port: int, size: int, /) -> int:
        """COM1's interrupt enable register, SCI_EN; all ones elsewhere."""
        if port == _COM1_ENABLE:
            return self._enable
        if port == PM_BASE + 4:
            return _SCI_EN
        return (1 << 8 * size) - 1

    def io_out(self, port: int, size: int, value: int, /) -> None:
        """COM1's interrupt enable register has four bits; everything else is dropped."""
        del size
        if port == _COM1_ENABLE:
            self._enable = value & 0x0F

    def populate(self, gfn: Gfn, count: int, /) -> bool:
        """Everything is RAM already."""
        del gfn, count
        return True

    def move_page(self, src: Gfn, dst: Gfn, count: int = 1, /) -> None:
        """Firmware moves pages only where it had to populate some, or to make room for PCI memory: never here."""
        raise Constraint(f"{count} pages cannot move from frame {src:#x} to {dst:#x}: an emulator's RAM stays in place")

    def xenstore(self, path: str, /) -> str | None:
        """The domain's keys."""
        return self._keys[path] if path in self._keys else self._guest.xenstore(path)

    def set_param(self, index: int, value: int, /) -> None:
        """Known to this boot only."""
        self._params[index] = value

    def get_param(self, index: int, /) -> int:
        """What was set, or the domain's."""
        return self._params[index] if index in self._params else self._guest.get_param(index)

    def vnuma(self) -> Vnuma | None:
        """The domain's topology."""
        return self._guest.vnuma()

    def shutdown(self, reason: int, /) -> None:
        """Nothing runs yet, so nothing ends."""
