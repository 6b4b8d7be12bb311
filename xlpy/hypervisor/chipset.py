"""The machine around a guest's processors: what QEMU emulates of an i440FX board, as far as firmware and AML touch it.

PCI configuration space through mechanism 1 (PCI 3.0, 3.2.2.3.2), with the functions that ``board`` names; the ACPI
register blocks, hotplug registers, CMOS memory and the reset register. Nothing moves data: the devices exist, can be
placed and configured, and remember it. Video RAM is guest memory, and goes where its BAR is put.
"""

from __future__ import annotations

import time

from xlpy import abi
from xlpy.addr import PAGE_SHIFT, Gfn, Gpa, Span
from xlpy.errors import HypercallError
from xlpy.firmware.layout import ELCR, HVM_INFO
from xlpy.hypervisor.board import DEFAULT, IO, ROM_BAR, SCREENS, WIDE, BoardDevice, board_of
from xlpy.hypervisor.op_memory import MemoryOps
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.hypervisor.board import PciFunction
    from xlpy.hypervisor.domain import Domain

CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
RESET = 0xCF9
APM_CONTROL, ACPI_ENABLE, ACPI_DISABLE = 0xB2, 0xF1, 0xF0
CMOS_INDEX, CMOS_DATA, CMOS_SIZE = 0x70, 0x71, 128
GPE0, GPE0_SIZE = 0xAFE0, 4
PCI_HOTPLUG, PCI_HOTPLUG_SIZE, REMOVABLE = 0xAE00, 0x10, 0xAE0C
CPU_HOTPLUG, CPU_HOTPLUG_SIZE, CPU_HOTPLUG_EVENT = 0xAF00, 0x10, 1 << 2
ONLINE_BITMAP = 32  # offset of vcpu_online in hvm_info_table

PM_SIZE = 0x40
PM_STATUS, PM_ENABLE, PM_CONTROL, PM_TIMER = 0x00, 0x02, 0x04, 0x08
SCI_EN, SLP_EN, SLP_TYP = 1 << 0, 1 << 13, 7 << 10
S5_TYPE, S3_TYPE = 0 << 10, 1 << 10  # what \_S5 and \_S3 say
PWRBTN_STS, SLPBTN_STS = 1 << 8, 1 << 9  # in PM_STATUS (ACPI 6.5, 4.8.3.1.1)
PM_TIMER_HZ = 3_579_545

COMMAND, STATUS, HEADER, BARS, SUBSYSTEM, ROM = 0x04, 0x06, 0x0E, 0x10, 0x2C, 0x30
CAPABILITY, LINE, PIN, LATENCY = 0x34, 0x3C, 0x3D, 0x3E
PM_BASE, PM_MISC = 0x40, 0x80
ISA, PM = 0x08, 0x0B
DECODE_MEMORY = 2  # command register


class DecodedBar(NamedTuple):
    """A memory BAR that is decoded.

    devfn: device << 3 | function. model: QEMU's name of the device. number: of the BAR, -1 the ROM. start: guest
    physical. size: bytes.
    """

    devfn: int
    model: str
    number: int
    start: Gpa
    size: int


class Chipset:
    """The board of one domain.

    Args:
        domain: whose it is; its state is kept with the domain's.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        saved: dict[str, Any] = domain.part("xen.chipset") or {}
        self.devices = [BoardDevice(*one) for one in saved["devices"]] if saved else list(DEFAULT)
        self._screen: list[int] = saved.get("screen", [])  # devfn, first frame, frames of video RAM
        self._roms: list[list[int]] = saved.get("roms", [])  # likewise, of option ROMs
        self._build()
        for key, text in saved.get("pci", {}).items():
            self._config[int(key)][:] = bytes.fromhex(text)
        self._cmos = bytearray.fromhex(saved["cmos"]) if saved else bytearray(CMOS_SIZE)
        self._ports: dict[int, int] = {int(port): value for port, value in saved.get("ports", {}).items()}
        self._cpus = bytes.fromhex(saved.get("cpus", ""))
        self._address = 0
        self._dirty = False

    def _build(self) -> None:
        self.board = board_of(self.devices)
        self._config = {devfn: _reset(function) for devfn, (_, function, _) in self.board.items()}
        self._mask = {devfn: _writable(devfn, function) for devfn, (_, function, _) in self.board.items()}

    def equip(self, devices: Sequence[BoardDevice], ram_end: Gfn) -> None:
        """Put devices on the board, before the guest runs; their memory is populated behind the guest's RAM.

        As in QEMU, video RAM comes before the ROM, device by device; a ROM for which nothing is left is not there.

        Args:
            devices: in the order of the device model's command line.
            ram_end: the first frame after the guest's RAM.

        Raises:
            HypercallError: ENOMEM: no memory is left for the video RAM.
        """
        self.devices, self._screen, self._roms = list(devices), [], []
        self._build()
        at, calls, domid = ram_end, MemoryOps(self._domain.xen, 0), self._domain.domid
        for devfn, (model, function, memory) in self.board.items():
            video = memory >> PAGE_SHIFT - 10 if model in SCREENS else 0
            if video:
                if not calls.memory_populate_physmap(domid, [Span(at, video)]):
                    raise HypercallError(f"d{domid}: no {memory >> 10} MiB of memory for the video RAM", abi.ENOMEM)
                first = next(size for index, size, _ in function.bars if index == 0)
                self._screen = [devfn, at, min(video, first >> PAGE_SHIFT)]  # what its first BAR shows
                at = Gfn(at + video)
            if function.rom_pages and calls.memory_populate_physmap(domid, [Span(at, function.rom_pages)]):
                self._roms.append([devfn, at, function.rom_pages])
                at = Gfn(at + function.rom_pages)
        self._dirty = True
        self.save()

    @property
    def memory(self) -> list[tuple[Span[Gpa], str]]:
        """Guest memory that belongs to devices, and what it is."""
        found = [("video RAM", self._screen)] if self._screen else []
        found += [("option ROM", rom) for rom in self._roms]
        return [
            (Span(Gpa(at << PAGE_SHIFT), pages << PAGE_SHIFT), f"{what} of {self.name(devfn)}")
            for what, (devfn, at, pages) in found
        ]

    def name(self, devfn: int) -> str:
        """A device as people write it: its model and where it is."""
        return f"{self.board[devfn][0]} {devfn >> 3:02x}:{devfn & 7:x}"

    @property
    def bars(self) -> list[DecodedBar]:
        """The memory BARs that are decoded now, by address."""
        return sorted((bar for devfn in self.board for bar in self._bars(devfn)), key=lambda bar: bar.start)

    def _bars(self, devfn: int) -> list[DecodedBar]:
        model, function, _ = self.board[devfn]
        config = self._config[devfn]
        if not config[COMMAND] & DECODE_MEMORY:
            return []
        found = []
        for index, size, flags in function.bars:
            if flags & IO:
                continue
            at = ROM if index == ROM_BAR else BARS + 4 * index
            raw = int.from_bytes(config[at : at + (8 if flags & WIDE else 4)], "little")
            if index != ROM_BAR or raw & 1:
                found.append(DecodedBar(devfn, model, index, Gpa(raw & -16 if index != ROM_BAR else raw & -2048), size))
        return [bar for bar in found if bar.start]

    def _move_screen(self) -> None:
        """Video RAM follows the first BAR of its device, as QEMU has Xen move it."""
        devfn, at, pages = self._screen
        bar = next((bar for bar in self._bars(devfn) if bar.number == 0), None)
        if bar is None or bar.start >> PAGE_SHIFT == at:
            return
        to, domain = bar.start >> PAGE_SHIFT, self._domain
        if domain.p2m.overlaps(to, to + pages):
            return  # the guest has put the BAR over its own memory
        calls = MemoryOps(domain.xen, 0)
        for done in range(0, pages, abi.GMFN_RANGE_MAX):
            count = min(pages - done, abi.GMFN_RANGE_MAX)
            space = abi.XENMAPSPACE_GMFN_RANGE
            calls.memory_add_to_physmap(domain.domid, space, Gfn(at + done), Gfn(to + done), count)
        self._screen[1] = to
        domain.memory.forget()

    def save(self) -> None:
        """Keep the state, when it has changed."""
        if self._dirty:
            self._domain.keep("xen.chipset", self._state)
            self._dirty = False

    def _state(self) -> dict[str, Any]:
        return {
            "devices": self.devices,
            "screen": self._screen,
            "roms": self._roms,
            "pci": {str(devfn): bytes(config).hex() for devfn, config in self._config.items()},
            "cmos": bytes(self._cmos).hex(),
            "ports": self._ports,
            "cpus": self._cpus.hex(),
        }

    def io_in(self, port: int, size: int) -> int | None:
        """Read a port; None when no device of the board has it."""
        if port == CONFIG_ADDRESS and size == 4:
            return self._address
        if CONFIG_DATA <= port < CONFIG_DATA + 4:
            return self.config_read(self._address >> 8 & 0xFFFF, (self._address & 0xFC) + port - CONFIG_DATA, size)
        if port == CMOS_DATA:
            return self._cmos[self._ports.get(CMOS_INDEX, 0) % CMOS_SIZE]
        if (base := self._pm_base) <= port and port + size <= base + PM_SIZE:
            return self._pm_read(port - base, size)
        if PCI_HOTPLUG <= port < PCI_HOTPLUG + PCI_HOTPLUG_SIZE:
            return ~self._fixed_slots & 0xFFFFFFFF if port == REMOVABLE else 0
        if CPU_HOTPLUG <= port < CPU_HOTPLUG + CPU_HOTPLUG_SIZE:
            bitmap = self._cpus or self._domain.memory.read(Gpa(HVM_INFO + ONLINE_BITMAP), CPU_HOTPLUG_SIZE)
            at = port - CPU_HOTPLUG
            return int.from_bytes(bitmap[at : at + size], "little")
        if self._plain(port):
            return sum(self._ports.get(port + i, 0) << 8 * i for i in range(size))
        return None

    def io_out(self, port: int, size: int, value: int) -> bool:
        """Write a port; False when no device of the board has it."""
        if port == CONFIG_ADDRESS and size == 4:
            self._address = value
        elif CONFIG_DATA <= port < CONFIG_DATA + 4:
            register = (self._address & 0xFC) + port - CONFIG_DATA
            self.config_write(self._address >> 8 & 0xFFFF, register, size, value)
        elif port == RESET and size == 1:
            if value & 4:
                self._domain.shutdown(abi.SHUTDOWN_REBOOT)
        elif port == CMOS_DATA:
            self._cmos[self._ports.get(CMOS_INDEX, 0) % CMOS_SIZE] = value & 0xFF
            self._dirty = True
        elif (base := self._pm_base) <= port and port + size <= base + PM_SIZE:
            self._pm_write(port - base, size, value)
        elif port == APM_CONTROL:
            if value in (ACPI_ENABLE, ACPI_DISABLE):
                self._set(PM_KEY + PM_CONTROL, 1, int(value == ACPI_ENABLE))
        elif self._plain(port):
            self._set(port, size, value)
        else:
            return PCI_HOTPLUG <= port < PCI_HOTPLUG + PCI_HOTPLUG_SIZE or CPU_HOTPLUG <= port < CPU_HOTPLUG + 0x10
        return True

    def config_read(self, bdf: int, register: int, size: int) -> int:
        """Configuration space: bus << 8 | device << 3 | function, register, 1 to 4 bytes. All ones where nothing is."""
        config = self._config.get(bdf) if self._address >> 31 else None
        if config is None:
            return (1 << 8 * size) - 1
        return int.from_bytes(config[register : register + size], "little")

    def config_write(self, bdf: int, register: int, size: int, value: int) -> None:
        """Write configuration space; only the bits that the register has."""
        config = self._config.get(bdf) if self._address >> 31 else None
        if config is None:
            return
        end = min(register + size, len(config))
        mask = int.from_bytes(self._mask[bdf][register:end], "little")
        old = int.from_bytes(config[register:end], "little")
        config[register:end] = (old & ~mask | value & mask).to_bytes(end - register, "little")
        self._dirty = True
        if self._screen and bdf == self._screen[0]:
            self._move_screen()

    @property
    def _fixed_slots(self) -> int:
        """Slots that cannot be unplugged: the bridges' and the screen's."""
        return 3 | sum(1 << (devfn >> 3) for devfn, (model, *_) in self.board.items() if model in SCREENS)

    @property
    def _pm_base(self) -> int:
        """Where the power management block decodes; far outside the port space while it does not."""
        config = self._config[PM]
        return config[PM_BASE] & 0xC0 | config[PM_BASE + 1] << 8 if config[PM_MISC] & 1 else 1 << 20

    def _pm_read(self, offset: int, size: int) -> int:
        if offset == PM_TIMER:
            return time.monotonic_ns() * PM_TIMER_HZ // 1_000_000_000 & (1 << 8 * min(size, 4)) - 1
        return sum(self._ports.get(PM_KEY + offset + i, 0) << 8 * i for i in range(size))

    def _pm_write(self, offset: int, size: int, value: int) -> None:
        if offset == PM_STATUS:
            value = self._pm_read(offset, size) & ~value  # status bits are cleared by writing 1
        elif offset == PM_CONTROL:
            if value & SLP_EN:
                self._sleep(value & SLP_TYP)
            value = value & ~(SLP_EN | SCI_EN) | self._pm_read(offset, 2) & SCI_EN
        self._set(PM_KEY + offset, size, value)

    @property
    def plugged(self) -> list[int]:
        """The vCPUs that were plugged in."""
        bits = int.from_bytes(self._cpus, "little")
        return [cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1]

    def plug_cpus(self, count: int) -> None:
        """Plug in the vCPUs below ``count``, and notify the guest (GPE 2); none is ever removed."""
        old = self._cpus or self._domain.memory.read(Gpa(HVM_INFO + ONLINE_BITMAP), CPU_HOTPLUG_SIZE)
        bits = int.from_bytes(old, "little")
        new = bits | (1 << count) - 1
        if new != bits:
            self._cpus = new.to_bytes(CPU_HOTPLUG_SIZE, "little")
            self._set(GPE0, 1, self._ports.get(GPE0, 0) | CPU_HOTPLUG_EVENT)

    def press(self, button: int) -> None:
        """Somebody presses PWRBTN_STS or SLPBTN_STS: the bit stays until the guest clears it."""
        self._set(PM_KEY + PM_STATUS, 2, self._pm_read(PM_STATUS, 2) | button)

    def _sleep(self, kind: int) -> None:
        if kind == S5_TYPE:
            self._domain.shutdown(abi.SHUTDOWN_POWEROFF)
        elif kind == S3_TYPE:
            self._domain.params[abi.HVM_PARAM_ACPI_S_STATE] = 3
            self._domain.save()

    @staticmethod
    def _plain(port: int) -> bool:
        """Registers that only keep what is written."""
        return port in (CMOS_INDEX, ELCR, ELCR + 1) or GPE0 <= port < GPE0 + GPE0_SIZE

    def _set(self, port: int, size: int, value: int) -> None:
        for i in range(size):
            self._ports[port + i] = value >> 8 * i & 0xFF
        self._dirty = True


PM_KEY = 1 << 16  # power management registers are kept behind the port space, wherever they decode


def _reset(function: PciFunction) -> bytearray:
    config = bytearray(256)
    config[0:4] = function.id.to_bytes(4, "little")
    config[STATUS : STATUS + 2] = function.status.to_bytes(2, "little")
    config[8:12] = (function.kind << 8 | function.revision).to_bytes(4, "little")
    config[HEADER] = function.header
    config[SUBSYSTEM : SUBSYSTEM + 4] = function.subsystem.to_bytes(4, "little")
    config[CAPABILITY] = function.capability
    config[PIN] = function.pin
    config[LATENCY : LATENCY + 2] = function.latency.to_bytes(2, "little")
    for index, _, flags in function.bars:
        config[ROM if index == ROM_BAR else BARS + 4 * index] = flags
    for register, value in function.private:
        config[register : register + 4] = value.to_bytes(4, "little")
    return config


def _writable(devfn: int, function: PciFunction) -> bytearray:
    mask = bytearray(256)
    mask[COMMAND : COMMAND + 2] = b"\x07\x05"
    mask[LINE] = 0xFF
    for index, size, flags in function.bars:
        at, width = (ROM, 4) if index == ROM_BAR else (BARS + 4 * index, 8 if flags & WIDE else 4)
        bits = -size & (1 << 8 * width) - 1 | (1 if index == ROM_BAR else 0)
        mask[at : at + width] = (bits & ~3 if flags & IO else bits).to_bytes(width, "little")
    mask[0x40:] = b"\xff" * 0xC0
    if devfn == PM:
        mask[PM_BASE : PM_BASE + 4] = b"\xc0\xff\0\0"
    return mask
