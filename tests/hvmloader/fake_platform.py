"""A Platform in a dictionary: memory by page, ports, an i440FX's configuration space, xenstore, and a log."""

from __future__ import annotations

from struct import unpack_from
from typing import Any

from xlpy.addr import GIB, MIB, PAGE, Gfn, Gpa
from xlpy.errors import HypercallError
from xlpy.firmware import e820
from xlpy.firmware.e820 import E820Entry
from xlpy.firmware.hvm_info import HvmInfo, build_hvm_info
from xlpy.firmware.hvmloader.main import run
from xlpy.firmware.layout import BIOS_INFO, FOUR_GIB, HOLE_START, HPET, HVM_INFO, XEN_HVM, GuestLayout

XEN_LEAVES = {
    0x40000000: (0x40000005, *unpack_from("<III", b"XenVMMXenVMM")),
    0x40000001: (4 << 16 | 17, 0, 0, 0),
    0x40000003: (0, 0, 2_400_000, 0),
    0x80000000: (0x80000008, 0, 0, 0),
    0x80000008: (46, 0, 0, 0),
    1: (0x000506E3, 0, 0, 0x1783FBFF),
}


class PciFunction:
    """One function: ids, and BARs as {register: (size, low bits)}; 64-bit BARs have bit 2 of the low bits set."""

    def __init__(self, ident: int, klass: int, bars: dict[int, tuple[int, int]] | None = None, pin: int = 0) -> None:
        self.space = bytearray(256)
        self.bars = bars or {}
        self.space[0:4] = ident.to_bytes(4, "little")
        self.space[0x0A:0x0C] = klass.to_bytes(2, "little")
        self.space[0x3D] = pin
        for reg, (_, flags) in self.bars.items():
            self.space[reg] = flags

    def write(self, reg: int, data: bytes) -> None:
        for at, byte in enumerate(data, reg):
            self.space[at] = byte
        base = reg & ~3
        for bar, (size, flags) in self.bars.items():
            wide = flags & 7 == 4
            if base == bar or (wide and base == bar + 4):
                width = 8 if wide else 4
                value = int.from_bytes(self.space[bar : bar + width], "little")
                value = value & -size & (1 << 8 * width) - 1 | flags | (value & 1 if bar == 0x30 else 0)
                self.space[bar : bar + width] = value.to_bytes(width, "little")
                return
        if 0x10 <= base < 0x28 or base == 0x30:
            self.space[base : base + 4] = bytes(4)


def i440fx() -> dict[int, PciFunction]:
    """ISA bridge, IDE, power management, Xen platform device, Cirrus VGA."""
    return {
        0x08: PciFunction(0x70008086, 0x0601),
        0x09: PciFunction(0x70108086, 0x0101, {0x20: (16, 1)}),
        0x0B: PciFunction(0x71138086, 0x0680, pin=1),
        0x10: PciFunction(0x00015853, 0xFF80, {0x10: (0x100, 1), 0x14: (0x1000000, 8)}, pin=1),
        0x18: PciFunction(0x00B81013, 0x0300, {0x10: (0x2000000, 8), 0x14: (0x1000, 0), 0x30: (0x10000, 0)}),
    }


class FakePlatform:
    """A guest of ``memory`` bytes.

    Args:
        memory: RAM, split at ``hole`` like libxl does.
        vcpus: all online.
        keys: xenstore, relative to the domain.
        allowance: pages that `populate` still grants.
    """

    def __init__(
        self,
        memory: int = 512 * MIB,
        vcpus: int = 1,
        keys: dict[str, str] | None = None,
        *,
        apic: bool = True,
        hpet: bool = True,
        hole: int = HOLE_START,
        allowance: int = 1 << 20,
        vnuma: Any = None,
    ) -> None:
        low = min(memory, hole)
        high = FOUR_GIB + memory - low if memory > low else 0
        self.low_end, self.high_end = low, high
        self.pages: dict[int, bytearray] = {}
        self.moved: list[tuple[int, int, int]] = []
        self.populated: list[int] = []
        self.allowance = allowance
        self.keys = {"hvmloader/bios": "seabios", "hvmloader/allow-memory-relocate": "0"} | (keys or {})
        self.asked: list[str] = []
        self.params: dict[int, int] = {1: 0xFEFFC, 2: 1}
        self.lines: list[str] = []
        self.stopped: int | None = None
        self.pci = i440fx()
        self.pci[0x08].space[0x0E] = 0x80
        self.address = 0
        self.ports: dict[int, int] = {0xB004: 1}
        self.leaves = dict(XEN_LEAVES)
        self.topology = vnuma
        self.rows = [E820Entry.between(MIB, low, e820.E820_RAM)]
        if high:
            self.rows.append(E820Entry.between(FOUR_GIB, high, e820.E820_RAM))
        if hpet:
            self.poke(HPET, 0x8086A201.to_bytes(4, "little"))
        info = HvmInfo(vcpus, low >> 12, high >> 12, apic, (1 << vcpus) - 1)
        self.write(HVM_INFO, build_hvm_info(info))

    def has_ram(self, page: int) -> bool:
        if page in self.populated:
            return True
        return page < self.low_end >> 12 or FOUR_GIB >> 12 <= page < self.high_end >> 12

    def poke(self, gpa: int, data: bytes) -> None:
        for at, byte in enumerate(data, gpa):
            self.pages.setdefault(at // PAGE, bytearray(PAGE))[at % PAGE] = byte

    def read(self, gpa: Gpa, length: int, /) -> bytes:
        found = bytearray()
        at = int(gpa)
        while len(found) < length:
            part = min(length - len(found), PAGE - at % PAGE)
            page = self.pages.get(at // PAGE)
            default = b"\0" if self.has_ram(at // PAGE) else b"\xff"
            found += default * part if page is None else page[at % PAGE : at % PAGE + part]
            at += part
        return bytes(found)

    def write(self, gpa: Gpa, data: bytes, /) -> None:
        at = int(gpa)
        for page in range(at // PAGE, -(-(at + len(data)) // PAGE)):
            assert self.has_ram(page), f"firmware writes where it has no RAM: page {page:#x}"
        offset = 0
        while offset < len(data):
            part = min(len(data) - offset, PAGE - at % PAGE)
            page = self.pages.setdefault(at // PAGE, bytearray(PAGE))
            page[at % PAGE : at % PAGE + part] = data[offset : offset + part]
            at, offset = at + part, offset + part

    def cpuid(self, leaf: int, subleaf: int, /) -> tuple[int, int, int, int]:
        return self.leaves.get(leaf, (0, 0, 0, 0))

    def io_in(self, port: int, size: int, /) -> int:
        if 0xCFC <= port < 0xD00:
            function = self.pci.get(self.address >> 8 & 0xFF)
            if function is None:
                return (1 << 8 * size) - 1
            reg = (self.address & 0xFC) + port - 0xCFC
            return int.from_bytes(function.space[reg : reg + size], "little")
        return self.ports.get(port, (1 << 8 * size) - 1)

    def io_out(self, port: int, size: int, value: int, /) -> None:
        assert 0 <= value < 1 << 8 * size
        if port == 0xCF8:
            self.address = value
        elif 0xCFC <= port < 0xD00:
            function = self.pci.get(self.address >> 8 & 0xFF)
            if function is not None:
                function.write((self.address & 0xFC) + port - 0xCFC, value.to_bytes(size, "little"))
        elif port in self.ports:
            self.ports[port] = value

    def memory_map(self) -> list[E820Entry]:
        return list(self.rows)

    def populate(self, gfn: Gfn, count: int, /) -> bool:
        if count > self.allowance:
            return False
        self.allowance -= count
        assert not any(self.has_ram(page) for page in range(gfn, gfn + count))
        self.populated += range(gfn, gfn + count)
        return True

    def move_page(self, src: Gfn, dst: Gfn, count: int = 1, /) -> None:
        if not self.has_ram(src):
            raise HypercallError(f"no page at gfn {src:#x}", 22)
        self.moved.append((src, dst, count))
        for page in range(count):
            if src + page in self.pages:
                self.pages[dst + page] = self.pages.pop(src + page)
        self.populated += range(dst, dst + count)

    def xenstore(self, path: str, /) -> str | None:
        self.asked.append(path)
        return self.keys.get(path)

    def set_param(self, index: int, value: int, /) -> None:
        self.params[index] = value

    def get_param(self, index: int, /) -> int:
        return self.params.get(index, 0)

    def vnuma(self) -> Any:
        return self.topology

    def log(self, line: str, /) -> None:
        self.lines.append(line)

    def shutdown(self, reason: int, /) -> None:
        self.stopped = reason


def case(name: str, **more: Any) -> FakePlatform:
    """The guests of which the real hvmloader's output is known: A, B and C."""
    memory, vcpus = {"A": (512 * MIB, 1), "B": (1024 * MIB, 4), "C": (6 * GIB, 2)}[name]
    return FakePlatform(memory, vcpus, **more)


def boot(platform: FakePlatform, layout: GuestLayout = XEN_HVM) -> Boot:
    """Run the firmware and look at what it left."""
    run(platform, layout)
    return Boot(platform)


class Boot:
    """What firmware left in memory, found as a BIOS finds it: from the info block on."""

    def __init__(self, platform: FakePlatform) -> None:
        self.platform = platform
        signature, _, _, tables, count, rows, entries = unpack_from("<14sBBIIII", platform.read(BIOS_INFO, 32))
        assert signature == b"XenHVMSeaBIOS\0"
        self.handed = [Gpa(self.u32(tables + 4 * n)) for n in range(count)]
        self.e820 = e820.unpack(platform.read(Gpa(rows), e820.ENTRY_SIZE * entries))
        self.rows_at = rows

    def u32(self, at: int) -> int:
        return int.from_bytes(self.platform.read(Gpa(at), 4), "little")

    @property
    def rsdp(self) -> int:
        return self.handed[-1]

    def table(self, at: int) -> bytes:
        return self.platform.read(Gpa(at), self.u32(at + 4))

    def listed(self, root: int, width: int) -> list[int]:
        """The addresses in an XSDT (width 8) or RSDT (4)."""
        body = self.table(root)[36:]
        return [int.from_bytes(body[n : n + width], "little") for n in range(0, len(body), width)]

    @property
    def xsdt(self) -> int:
        return self.u32(self.rsdp + 24)

    @property
    def rsdt(self) -> int:
        return self.u32(self.rsdp + 16)

    def tables(self) -> list[tuple[str, int, bytes]]:
        """Signature, address and bytes of everything, by address."""
        found = {}
        for root, width in ((self.xsdt, 8), (self.rsdt, 4)):
            for at in (root, *self.listed(root, width)):
                found[at] = self.table(at)
        fadt = self.listed(self.xsdt, 8)[0]
        for at in (self.u32(fadt + 36), self.u32(fadt + 40)):
            found[at] = self.table(at)
        return [(found[at][:4].decode(), at, found[at]) for at in sorted(found)]

    def one(self, signature: str) -> bytes:
        (table,) = (body for name, _, body in self.tables() if name == signature)
        return table
