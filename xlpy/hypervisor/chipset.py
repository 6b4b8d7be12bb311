"""The machine around a guest's processors: what QEMU emulates of an i440FX board, as far as firmware and AML touch it.

PCI configuration space through mechanism 1 (PCI 3.0, 3.2.2.3.2), the PIIX3 and PIIX4 bridges, an IDE controller, Xen's
platform device, a Cirrus VGA; the ACPI register blocks, hotplug registers, CMOS memory and the reset register. Nothing
moves data: the devices exist, can be placed and configured, and remember it.
"""

from __future__ import annotations

import time

from xlpy.addr import KIB, MIB, Gpa
from xlpy.firmware.layout import HVM_INFO
from xlpy.hypervisor import abi
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.hypervisor.domain import Domain

CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
RESET = 0xCF9
APM_CONTROL, ACPI_ENABLE, ACPI_DISABLE = 0xB2, 0xF1, 0xF0
CMOS_INDEX, CMOS_DATA, CMOS_SIZE = 0x70, 0x71, 128
ELCR = 0x4D0
GPE0, GPE0_SIZE = 0xAFE0, 4
PCI_HOTPLUG, PCI_HOTPLUG_SIZE, REMOVABLE = 0xAE00, 0x10, 0xAE0C
CPU_HOTPLUG, CPU_HOTPLUG_SIZE = 0xAF00, 0x10
ONLINE_BITMAP = 32  # offset of vcpu_online in hvm_info_table

PM_SIZE = 0x40
PM_STATUS, PM_ENABLE, PM_CONTROL, PM_TIMER = 0x00, 0x02, 0x04, 0x08
SCI_EN, SLP_EN, SLP_TYP = 1 << 0, 1 << 13, 7 << 10
S5_TYPE, S3_TYPE = 0 << 10, 1 << 10  # what \_S5 and \_S3 say
PWRBTN_STS, SLPBTN_STS = 1 << 8, 1 << 9  # in PM_STATUS (ACPI 6.5, 4.8.3.1.1)
PM_TIMER_HZ = 3_579_545

COMMAND, HEADER, BARS, SUBSYSTEM, ROM, LINE, PIN = 0x04, 0x0E, 0x10, 0x2C, 0x30, 0x3C, 0x3D
PM_BASE, PM_MISC = 0x40, 0x80
_IO, _PREFETCH = 1, 8
_ROM_BAR = -1


class Function(NamedTuple):
    """A PCI function as it comes out of reset.

    id: device << 16 | vendor. kind: class << 16 | sub-class << 8 | programming interface. bars: register index (-1 the
    ROM) to (size, flags). private: whether the registers from 0x40 on can be written.
    """

    id: int
    kind: int
    revision: int = 0
    header: int = 0
    pin: int = 0
    subsystem: int = 0x11001AF4
    bars: tuple[tuple[int, int, int], ...] = ()
    private: tuple[tuple[int, int], ...] = ()  # register, value


# By device << 3 | function, on bus 0.
BOARD = {
    0x00: Function(0x12378086, 0x060000, revision=2),
    0x08: Function(0x70008086, 0x060100, header=0x80, private=((0x60, 0x80), (0x61, 0x80), (0x62, 0x80), (0x63, 0x80))),
    0x09: Function(0x70108086, 0x010180, bars=((4, 16, _IO),)),
    0x0B: Function(0x71138086, 0x068000, revision=3, pin=1, private=((PM_BASE, 1),)),
    0x10: Function(
        0x00015853, 0xFF8000, revision=1, pin=1, subsystem=0x00015853, bars=((0, 256, _IO), (1, 16 * MIB, _PREFETCH))
    ),
    0x18: Function(0x00B81013, 0x030000, bars=((0, 32 * MIB, _PREFETCH), (1, 4 * KIB, 0), (_ROM_BAR, 64 * KIB, 0))),
}
ISA, PM = 0x08, 0x0B
FIXED_SLOTS = 1 << 0 | 1 << 1 | 1 << 3  # bridges and VGA cannot be unplugged


class Chipset:
    """The board of one domain.

    Args:
        domain: whose it is; its state is kept with the domain's.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        saved: dict[str, Any] = domain.part("xen.chipset") or {}
        self._config = {devfn: _reset(function) for devfn, function in BOARD.items()}
        self._mask = {devfn: _writable(function) for devfn, function in BOARD.items()}
        for key, text in saved.get("pci", {}).items():
            self._config[int(key)][:] = bytes.fromhex(text)
        self._cmos = bytearray.fromhex(saved["cmos"]) if saved else bytearray(CMOS_SIZE)
        self._ports: dict[int, int] = {int(port): value for port, value in saved.get("ports", {}).items()}
        self._address = 0
        self._dirty = False

    def save(self) -> None:
        """Keep the state, when it has changed."""
        if self._dirty:
            self._domain.keep("xen.chipset", self._state)
            self._dirty = False

    def _state(self) -> dict[str, Any]:
        return {
            "pci": {str(devfn): bytes(config).hex() for devfn, config in self._config.items()},
            "cmos": bytes(self._cmos).hex(),
            "ports": self._ports,
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
            return ~FIXED_SLOTS & 0xFFFFFFFF if port == REMOVABLE else 0
        if CPU_HOTPLUG <= port < CPU_HOTPLUG + CPU_HOTPLUG_SIZE:
            online = self._domain.memory.read(Gpa(HVM_INFO + ONLINE_BITMAP + port - CPU_HOTPLUG), size)
            return int.from_bytes(online, "little")
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
        mask = self._mask[bdf]
        for at in range(register, min(register + size, len(config))):
            config[at] = config[at] & ~mask[at] | value & mask[at]
            value >>= 8
        self._dirty = True

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


def _reset(function: Function) -> bytearray:
    config = bytearray(256)
    config[0:4] = function.id.to_bytes(4, "little")
    config[8:12] = (function.kind << 8 | function.revision).to_bytes(4, "little")
    config[HEADER] = function.header
    config[SUBSYSTEM : SUBSYSTEM + 4] = function.subsystem.to_bytes(4, "little")
    config[PIN] = function.pin
    for index, _, flags in function.bars:
        config[ROM if index < 0 else BARS + 4 * index] = flags
    for register, value in function.private:
        config[register] = value
    return config


def _writable(function: Function) -> bytearray:
    mask = bytearray(256)
    mask[COMMAND : COMMAND + 2] = b"\x07\x05"
    mask[LINE] = 0xFF
    for index, size, flags in function.bars:
        bits = -size & 0xFFFFFFFF | (1 if index < 0 else 0)
        at = ROM if index < 0 else BARS + 4 * index
        mask[at : at + 4] = (bits & (0xFFFFFFFC if flags & _IO else 0xFFFFFFFF)).to_bytes(4, "little")
    mask[0x40:] = b"\xff" * 0xC0
    if function is BOARD[PM]:
        mask[PM_BASE : PM_BASE + 4] = b"\xc0\xff\0\0"
    return mask
