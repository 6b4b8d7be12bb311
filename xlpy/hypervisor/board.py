"""Which PCI functions a guest's board has: a slot for each device, and the functions as they come out of reset.

Identities, BARs and registers are those of QEMU 7.2, read from its devices through ports 0xCF8 and 0xCFC. Slots are
given as QEMU gives them: a device without a place of its own takes the first free one, in the order of its command
line.
"""

from __future__ import annotations

from xlpy.addr import KIB, MIB
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

IO, PREFETCH, WIDE = 1, 8, 4  # low bits of a BAR
ROM_BAR = -1
QEMU_SUBSYSTEM = 0x11001AF4
NIC_ROM = 256 * KIB  # of Debian's ipxe-qemu
SLOTS = 32


class BoardDevice(NamedTuple):
    """One device on the board, as the device model's command line names it.

    model: QEMU's name. memory: KiB of memory of its own (video RAM). devfn: device << 3 | function, where it has a
    fixed place; None takes the first free slot.
    """

    model: str
    memory: int = 0
    devfn: int | None = None


class PciFunction(NamedTuple):
    """A PCI function as it comes out of reset.

    id: device << 16 | vendor. kind: class << 16 | sub-class << 8 | programming interface. bars: (register index, -1 the
    ROM; size; flags). private: (register, 32-bit value) from 0x40 on. pin: 1 to 4, INTA to INTD. latency: MIN_GNT and
    MAX_LAT. pages: frames of guest memory that it brings besides the first BAR's ``screen`` frames.
    """

    id: int
    kind: int
    revision: int = 0
    header: int = 0
    pin: int = 0
    subsystem: int = QEMU_SUBSYSTEM
    bars: tuple[tuple[int, int, int], ...] = ()
    private: tuple[tuple[int, int], ...] = ()
    status: int = 0
    capability: int = 0
    latency: int = 0

    @property
    def rom_pages(self) -> int:
        """Frames that hold its option ROM: QEMU keeps it in guest memory."""
        return sum(size >> 12 for index, size, _ in self.bars if index == ROM_BAR)


_FIXED = {
    0x00: PciFunction(0x12378086, 0x060000, revision=2),
    0x08: PciFunction(0x70008086, 0x060100, header=0x80, private=((0x60, 0x80808080),)),
    0x09: PciFunction(0x70108086, 0x010180, bars=((4, 16, IO),)),
    0x0B: PciFunction(0x71138086, 0x068000, revision=3, pin=1, private=((0x40, 1),)),
}
PLATFORM, UHCI = "xen-platform", "piix3-usb-uhci"
UHCI_DEVFN = 0x0A  # of the PIIX3's own USB controller
DEFAULT = (BoardDevice(PLATFORM), BoardDevice("cirrus-vga", 8 << 10))  # an HVM guest's board when nothing is said

_ROM = (ROM_BAR, 64 * KIB, 0)
_NIC = (ROM_BAR, NIC_ROM, 0)
_UHCI_REGISTERS = ((0x60, 0x10), (0x68, 0x10000))
_VIRTIO = (
    *((0x40, 0x01100009), (0x44, 4), (0x4C, 0x1000), (0x50, 0x03104009), (0x54, 4), (0x58, 0x1000), (0x5C, 0x1000)),
    *((0x60, 0x04105009), (0x64, 4), (0x68, 0x2000), (0x6C, 0x1000), (0x70, 0x02146009), (0x74, 4), (0x78, 0x3000)),
    *((0x7C, 0x1000), (0x80, 4), (0x84, 0x05147009), (0x9C, 1), (0xA0, 0x801)),
)
_VIRTIO_BARS = ((1, 4 * KIB, 0), (4, 16 * KIB, WIDE | PREFETCH))


def _e1000(device: int) -> PciFunction:
    return PciFunction(device << 16 | 0x8086, 0x020000, 3, pin=1, bars=((0, 128 * KIB, 0), (1, 64, IO), _NIC))


def _i8255x(device: int, revision: int) -> PciFunction:
    bars = ((0, 4 * KIB, PREFETCH), (1, 64, IO), (2, 128 * KIB, 0), (ROM_BAR, 128 * KIB, 0))
    return PciFunction(device << 16 | 0x8086, 0x020000, revision, pin=1, bars=bars, status=0x280, latency=0x1808)


def _ich9_uhci(number: int) -> PciFunction:
    bars = ((4, 32, IO),)
    return PciFunction(0x29338086 + (number << 16), 0x0C0300, 3, 0x80, pin=number, bars=bars, private=_UHCI_REGISTERS)


MODELS = {
    PLATFORM: PciFunction(
        0x00015853, 0xFF8000, 1, pin=1, subsystem=0x00015853, bars=((0, 256, IO), (1, 16 * MIB, PREFETCH))
    ),
    "cirrus-vga": PciFunction(0x00B81013, 0x030000, bars=((0, 32 * MIB, PREFETCH), (1, 4 * KIB, 0), _ROM)),
    "VGA": PciFunction(0x11111234, 0x030000, 2, bars=((0, 16 * MIB, PREFETCH), (2, 4 * KIB, 0), _ROM)),
    "qxl-vga": PciFunction(
        0x01001B36, 0x030000, 5, pin=1, bars=((0, 64 * MIB, 0), (1, 64 * MIB, 0), (2, 8 * KIB, 0), (3, 32, IO), _ROM)
    ),
    UHCI: PciFunction(0x70208086, 0x0C0300, 1, pin=4, bars=((4, 32, IO),), private=_UHCI_REGISTERS),
    "ich9-usb-ehci1": PciFunction(
        0x293A8086, 0x0C0320, 3, 0x80, pin=4, bars=((0, 4 * KIB, 0),), private=((0x60, 0x2020), (0x68, 1))
    ),
    "ich9-usb-uhci1": _ich9_uhci(1),
    "ich9-usb-uhci2": _ich9_uhci(2),
    "ich9-usb-uhci3": _ich9_uhci(3),
    "nec-usb-xhci": PciFunction(
        0x01941033, 0x0C0330, 3, pin=1, bars=((0, 16 * KIB, WIDE),), status=0x10, capability=0x90,
        private=((0x60, 0x30), (0x70, 0x00880005), (0x90, 0x000F7011), (0x94, 0x3000), (0x98, 0x3800)),
    ),
    "AC97": PciFunction(0x24158086, 0x040100, 1, pin=1, bars=((0, 1 * KIB, IO), (1, 256, IO)), status=0x280),
    "ES1370": PciFunction(
        0x50001274, 0x040100, pin=1, subsystem=0x4C4C4942, bars=((0, 256, IO),), status=0x400, latency=0x800C
    ),
    "intel-hda": PciFunction(
        0x26688086, 0x040300, 1, pin=1, bars=((0, 16 * KIB, 0),), status=0x10, capability=0x60,
        private=((0x40, 1), (0x60, 0x00800005)),
    ),
    "lsi53c895a": PciFunction(
        0x00121000, 0x010000, pin=1, subsystem=0x10000000, bars=((0, 256, IO), (1, 1 * KIB, 0), (2, 8 * KIB, 0))
    ),
    "ahci": PciFunction(
        0x29228086, 0x010601, 2, pin=1, bars=((4, 32, IO), (5, 4 * KIB, 0)), status=0x10, capability=0x80,
        private=((0x80, 0x0080A805), (0x90, 0x40), (0xA8, 0x00100012), (0xAC, 0x48)),
    ),
    "rtl8139": PciFunction(
        0x813910EC, 0x020000, 0x20, pin=1, bars=((0, 256, IO), (1, 256, 0), _NIC), capability=0xDC
    ),
    "e1000": _e1000(0x100E),
    "e1000-82544gc": _e1000(0x100C),
    "e1000-82545em": _e1000(0x100F),
    "ne2k_pci": PciFunction(0x802910EC, 0x020000, pin=1, bars=((0, 256, IO), _NIC)),
    "pcnet": PciFunction(
        0x20001022, 0x020000, 0x10, pin=1, subsystem=0, bars=((0, 32, IO), (1, 32, 0), _NIC), status=0x280,
        latency=0xFF06,
    ),
    "virtio-net": PciFunction(
        0x10001AF4, 0x020000, pin=1, subsystem=0x00011AF4, bars=((0, 32, IO), *_VIRTIO_BARS, _NIC), status=0x10,
        capability=0x98, private=(*_VIRTIO, (0x98, 0x00038411)),
    ),
    "virtio-serial": PciFunction(
        0x10031AF4, 0x078000, pin=1, subsystem=0x00031AF4, bars=((0, 64, IO), *_VIRTIO_BARS), status=0x10,
        capability=0x98, private=(*_VIRTIO, (0x98, 0x00018411)),
    ),
    "i82551": _i8255x(0x1209, 0x0F),
    "i82557b": _i8255x(0x1229, 0x02),
    "i82559er": _i8255x(0x1209, 0x09),
    "vmxnet3": PciFunction(
        0x07B015AD, 0x020000, 1, pin=1, subsystem=0x07B015AD, status=0x10, capability=0x9C,
        bars=((0, 4 * KIB, 0), (1, 4 * KIB, 0), (2, 8 * KIB, 0), _NIC),
        private=((0x84, 0x00800005), (0x9C, 0x00188411), (0xA0, 2), (0xA4, 0x1002)),
    ),
    "e1000e": PciFunction(
        0x10D38086, 0x020000, pin=1, subsystem=0x00008086, status=0x10, capability=0xC8,
        bars=((0, 128 * KIB, 0), (1, 128 * KIB, 0), (2, 32, IO), (3, 16 * KIB, 0), _NIC),
        private=(
            *((0xA0, 0x00040011), (0xA4, 3), (0xA8, 0x2003), (0xC8, 0x0022D001), (0xD0, 0x0080E005)),
            *((0xE0, 0x0001A010), (0xE4, 0x8000), (0xEC, 0x411), (0xF0, 0x00110000)),
        ),
    ),
}  # fmt: skip
MODELS["virtio-net-pci"] = MODELS["virtio-net"]
SCREENS = ("cirrus-vga", "VGA", "qxl-vga")


def function_of(device: BoardDevice) -> PciFunction:
    """The function that a device is. A screen's first BAR is as large as its memory, rounded up to a power of two."""
    found = MODELS[device.model]
    if device.model not in SCREENS or device.model == "cirrus-vga":
        return found
    regions = 2 if device.model == "qxl-vga" else 1  # QXL splits its memory in two
    size = 1 << max(device.memory // regions * KIB - 1, 0).bit_length()
    bars = tuple(
        (index, size, flags) if index in range(regions) else (index, old, flags) for index, old, flags in found.bars
    )
    return found._replace(bars=bars)


def board_of(devices: Iterable[BoardDevice]) -> dict[int, tuple[str, PciFunction, int]]:
    """What is where on bus 0: (model, function, KiB of its own memory) by devfn.

    Devices beyond the 32 slots are not there.
    """
    board = {devfn: ("", function, 0) for devfn, function in _FIXED.items()}
    for device in devices:
        devfn = device.devfn
        if devfn is None:
            taken = {place >> 3 for place in board}
            devfn = next((slot << 3 for slot in range(SLOTS) if slot not in taken), None)
            if devfn is None:
                continue
        board[devfn] = (device.model, function_of(device), device.memory)
    return dict(sorted(board.items()))
