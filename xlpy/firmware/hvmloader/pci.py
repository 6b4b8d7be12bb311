"""PCI set-up: interrupt routes, BAR sizes, and where the BARs go.

hvmloader reaches configuration space through ports 0xCF8 and 0xCFC. Memory BARs go into the hole below 0xFC000000,
largest first; the hole grows downwards in powers of two while RAM leaves room (or may be moved). 64-bit BARs that are
large or do not fit go above all RAM, from ``max(end of high RAM, 4 GiB)`` up.
"""

from __future__ import annotations

from xlpy.addr import GIB, PAGE, Gpa, Span, align_up
from xlpy.firmware.e820 import E820_RESERVED
from xlpy.firmware.hvmloader import keys
from xlpy.firmware.layout import ELCR, FOUR_GIB, HOLE_END, HOLE_START
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.firmware.hvmloader.memory import FirmwareMemory
    from xlpy.firmware.platform import Platform

ISA_DEVFN = 1 << 3
ISA_IRQS = (5, 10, 11, 5)  # links A to D of the PIIX3
IO_BASE, IO_END = 0xC000, 0x10000

_ADDRESS, _DATA = 0xCF8, 0xCFC
_VENDOR, _COMMAND, _CLASS, _HEADER, _LINE, _PIN = 0x00, 0x04, 0x0A, 0x0E, 0x3C, 0x3D
_ROM = 0x30
_BARS = (*range(0x10, 0x28, 4), _ROM)
_IDE_CLASS, _VGA_CLASS = 0x0101, 0x0300
_PIIX4_PM = 0x71138086
_DECODE_IO, _DECODE_MEMORY, _MASTER = 1, 2, 4  # command register
_LARGE = GIB  # 64-bit BARs from this size on never count for the hole


class PciWindows(NamedTuple):
    """Address space of the host bridge: the hole below 4 GiB, and what 64-bit BARs took above RAM (may be empty)."""

    low: Span[Gpa]
    high: Span[Gpa]


class SizedBar(NamedTuple):
    """One BAR: its register and what sizing it found."""

    devfn: int
    reg: int
    size: int
    io: bool
    wide: bool
    flags: int


class Config:
    """Configuration space of bus 0 through mechanism 1 (PCI 3.0, 3.2.2.3.2)."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._address = 0  # what the latch has

    def _select(self, devfn: int, reg: int) -> int:
        """The port of a register."""
        address = 0x80000000 | devfn << 8 | reg & ~3
        if address != self._address:
            self._platform.io_out(_ADDRESS, 4, address)
            self._address = address
        return _DATA + (reg & 3)

    def read(self, devfn: int, reg: int, size: int) -> int:
        """Read 1, 2 or 4 bytes."""
        return self._platform.io_in(self._select(devfn, reg), size)

    def write(self, devfn: int, reg: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes."""
        self._platform.io_out(self._select(devfn, reg), size, value)

    def functions(self) -> Iterator[int]:
        """All functions there are."""
        for slot in range(32):
            if self.read(slot << 3, _VENDOR, 4) != 0xFFFFFFFF:
                several = self.read(slot << 3, _HEADER, 1) & 0x80
                for devfn in range(slot << 3, (slot << 3) + (8 if several else 1)):
                    if self.read(devfn, _VENDOR, 4) != 0xFFFFFFFF:
                        yield devfn


def setup(memory: FirmwareMemory, physical_bits: int) -> PciWindows:
    """Route interrupts, place all BARs and switch decoding on.

    Args:
        memory: RAM may be relocated to let the hole grow; device model data that was passed in RAM is never moved.
        physical_bits: width of the CPU's physical addresses.

    Returns:
        the windows, for the DSDT.
    """
    platform = memory.platform
    relocate = keys.flag(platform, "hvmloader/allow-memory-relocate", "1")
    hole = keys.strtoll(keys.text(platform, "platform/mmio_hole_size"))[0]
    platform.log(f"Relocating guest memory for lowmem MMIO space {'enabled' if relocate else 'disabled'}")
    if relocate and memory.protected.size:
        relocate = False
        platform.log("Guest memory holds tables of the device model and is not relocated")
    config = Config(platform)
    _route_links(config, platform)
    bars = []
    for devfn in config.functions():
        _fixed_devices(config, devfn, memory.layout.pm_base)
        bars += _size_bars(config, devfn)
        _route_interrupt(config, platform, devfn)
        # the VGA's legacy ports need no BAR
        use = _MASTER | _DECODE_IO * (config.read(devfn, _CLASS, 2) == _VGA_CLASS)
        config.write(devfn, _COMMAND, 2, config.read(devfn, _COMMAND, 2) | use)
    bars.sort(key=lambda bar: -bar.size)
    needed = sum(bar.size for bar in bars if not bar.io and not (bar.wide and bar.size >= _LARGE))
    start = _hole_start(memory, needed, hole, relocate=relocate)
    if start < memory.low_end:
        platform.log(f"Relocating {memory.low_end - start >> 12:#x} pages from {_wide(start)} for lowmem MMIO hole")
        memory.relocate(start)
    windows = _Windows(memory, start, physical_bits)
    _place(config, memory, bars, needed, windows)
    return PciWindows(Span.between(start, HOLE_END), windows.high_used())


def _route_links(config: Config, platform: Platform) -> None:
    levels = 0
    for link, line in enumerate(ISA_IRQS):
        config.write(ISA_DEVFN, 0x60 + link, 1, line)
        levels |= 1 << line
        platform.log(f"PCI-ISA link {link} routed to IRQ{line}")
    platform.io_out(ELCR, 1, levels & 0xFF)
    platform.io_out(ELCR + 1, 1, levels >> 8)


def _fixed_devices(config: Config, devfn: int, pm_base: int) -> None:
    if config.read(devfn, _VENDOR, 4) == _PIIX4_PM:
        config.write(devfn, _LINE, 1, 9)
        config.write(devfn, 0x40, 4, pm_base | 1)
        config.write(devfn, 0x80, 1, 1)
    elif config.read(devfn, _CLASS, 2) == _IDE_CLASS:
        config.write(devfn, 0x40, 2, 0x8000)  # decode both legacy channels
        config.write(devfn, 0x42, 2, 0x8000)


def _size_bars(config: Config, devfn: int) -> list[SizedBar]:
    if config.read(devfn, _HEADER, 1) & 0x7F:
        return []
    found, registers = [], iter(_BARS)
    for reg in registers:
        old = config.read(devfn, reg, 4)
        config.write(devfn, reg, 4, 0xFFFFF800 if reg == _ROM else 0xFFFFFFFF)
        mask = config.read(devfn, reg, 4)
        config.write(devfn, reg, 4, old)
        io = reg != _ROM and bool(mask & 1)
        flags = mask & (0 if reg == _ROM else 3 if io else 0xF)
        wide = reg != _ROM and flags & 7 == 4
        mask &= 0xFFFFF800 if reg == _ROM else 0xFFFC if io else 0xFFFFFFF0
        if wide:
            upper = next(registers)
            old = config.read(devfn, upper, 4)
            config.write(devfn, upper, 4, 0xFFFFFFFF)
            mask |= config.read(devfn, upper, 4) << 32
            config.write(devfn, upper, 4, old)
        if mask:
            found.append(SizedBar(devfn, reg, mask & -mask, io, wide, flags))
    return found


def _route_interrupt(config: Config, platform: Platform, devfn: int) -> None:
    pin = config.read(devfn, _PIN, 1)
    if 1 <= pin <= 4:
        line = ISA_IRQS[(pin - 1 + (devfn >> 3)) & 3]
        config.write(devfn, _LINE, 1, line)
        platform.log(f"pci dev {_slot(devfn)} INT{'ABCD'[pin - 1]}->IRQ{line}")


def _hole_start(memory: FirmwareMemory, needed: int, fixed: int, *, relocate: bool) -> Gpa:
    if fixed:
        start = FOUR_GIB - fixed
        if 0 < start <= HOLE_START and start % PAGE == 0 and (relocate or start >= memory.low_end):
            memory.platform.log(f"pci_mem_start={start:#x} (was {HOLE_START:#x}) for mmio_hole_size={fixed:#x}")
            return Gpa(start)
        memory.platform.log(f"MMIO hole of {fixed:#x} bytes is not usable, ignored")
    start = int(HOLE_START)
    while HOLE_END - start < needed:
        wider = start << 1 & 0xFFFFFFFF
        if not wider or wider < FOUR_GIB // 2 or (wider < memory.low_end and not relocate):
            break
        start = wider
    return Gpa(start)


class _Windows:
    """What is left of the resources while BARs are placed."""

    def __init__(self, memory: FirmwareMemory, low: Gpa, physical_bits: int) -> None:
        self.io, self.low = IO_BASE, int(low)
        self.reserved = [row.span for row in memory.others if row.type == E820_RESERVED and row.end <= FOUR_GIB]
        self.high = self.high_start = int(memory.high_end or FOUR_GIB)
        self.high_limit = 1 << physical_bits

    def take(self, bar: SizedBar, *, above: bool) -> int | None:
        """An address for the BAR, or None when there is no room."""
        if bar.io:
            base = align_up(self.io, bar.size)
            if base + bar.size > IO_END:
                return None
            self.io = base + bar.size
        elif above:
            base = align_up(self.high, bar.size)
            if base + bar.size > self.high_limit:
                return None
            if self.high == self.high_start:
                self.high_start = base
            self.high = base + bar.size
        else:
            base = self._avoid_reserved(bar.size)
            if base + bar.size > HOLE_END:
                return None
            self.low = base + bar.size
        return base

    def _avoid_reserved(self, size: int) -> int:
        base = align_up(self.low, size)
        while hit := next((r for r in self.reserved if r.overlaps(Span(Gpa(base), size))), None):
            base = align_up(hit.end, size)
        return base

    def high_used(self) -> Span[Gpa]:
        """What BARs took above RAM."""
        used = self.high - self.high_start
        return Span(Gpa(self.high_start), used) if used else Span(Gpa(0), 0)


def _place(config: Config, memory: FirmwareMemory, bars: list[SizedBar], needed: int, windows: _Windows) -> None:
    platform = memory.platform
    ram = "RAM" if memory.high_end else "No RAM"
    platform.log(f"{ram} in high memory; setting high_mem resource base to {_wide(windows.high)}")
    for bar in bars:
        above = bar.wide and (bar.size >= _LARGE or needed > HOLE_END - windows.low)
        base = windows.take(bar, above=above)
        if not bar.io and not (bar.wide and bar.size >= _LARGE):
            needed -= bar.size
        where = f"pci dev {_slot(bar.devfn)} bar {bar.reg:02x} size {_wide(bar.size)}"
        if base is None:
            platform.log(f"{where}: no space for resource!")
            continue
        config.write(bar.devfn, bar.reg, 4, base & 0xFFFFFFFF | bar.flags)
        if bar.wide:
            config.write(bar.devfn, bar.reg + 4, 4, base >> 32)
        platform.log(f"{where}: {_wide(base | bar.flags)}")
        if bar.reg != _ROM:
            command = config.read(bar.devfn, _COMMAND, 2)
            config.write(bar.devfn, _COMMAND, 2, command | (_DECODE_IO if bar.io else _DECODE_MEMORY))


def _slot(devfn: int) -> str:
    return f"{devfn >> 3:02x}:{devfn & 7:x}"


def _wide(value: int) -> str:
    return f"{value >> 32:x}{value & 0xFFFFFFFF:08x}"
