"""The ISA bridge at 00:01.0 and what sits on its bus: legacy devices with their ports and interrupts."""

from __future__ import annotations

from xlpy.firmware.acpi import aml
from xlpy.records import NamedTuple

_PRESENT = 0x0F


class Legacy(NamedTuple):
    """An ISA device with fixed resources.

    ports: (base, alignment, length) of each range.
    sta: None for none; ``""`` for always present; else the bit of the ``BIOS`` region that says so.
    """

    name: str
    hid: str
    ports: tuple[tuple[int, int, int], ...] = ()
    irqs: tuple[int, ...] = ()
    dma: tuple[int, ...] = ()
    uid: int | None = None
    cid: str | None = None
    sta: str | None = None


_DEVICES = (
    Legacy("PIC", "PNP0000", ((0x20, 1, 2), (0xA0, 1, 2)), (2,)),
    Legacy("TMR", "PNP0100", ((0x40, 0, 4),), (0,)),
    Legacy("RTC", "PNP0B00", ((0x70, 0, 2),), (8,)),
    Legacy("SPKR", "PNP0800", ((0x61, 0, 1),)),
    Legacy("PS2M", "PNP0F13", (), (12,), cid="PNP0F13", sta=""),
    Legacy("PS2K", "PNP0303", ((0x60, 0, 1), (0x64, 0, 1)), (1,), cid="PNP030B", sta=""),
    Legacy("FDC0", "PNP0700", ((0x3F0, 1, 6), (0x3F7, 1, 1)), (6,), (2,), sta=""),
    Legacy("UAR1", "PNP0501", ((0x3F8, 8, 8),), (4,), uid=1, sta="UAR1"),
    Legacy("UAR2", "PNP0501", ((0x2F8, 8, 8),), (3,), uid=2, sta="UAR2"),
    Legacy("LTP1", "PNP0400", ((0x378, 8, 8),), (7,), uid=2, sta="LTP1"),
)

# Ports of the board that no device claims: base and length.
_BOARD_PORTS = (
    *((0x10, 0x10), (0x22, 0x0C), (0x30, 0x10), (0x44, 0x1C), (0x62, 2), (0x65, 0x0B), (0x72, 0x0E), (0x80, 1)),
    *((0x84, 3), (0x88, 1), (0x8C, 3), (0x90, 0x10), (0xA2, 0x1C), (0xE0, 0x10), (0x8A0, 4), (0xCC0, 0x10)),
    (0x4D0, 2),
)
_DMA_PORTS = ((0x00, 0x10), (0x81, 3), (0x87, 1), (0x89, 3), (0x8F, 1), (0xC0, 0x20), (0x480, 0x10))


def isa_bridge() -> bytes:
    """The bridge, its interrupt routing registers ``PIRA`` to ``PIRD``, and all devices."""
    return aml.device(
        "ISA",
        aml.name("_ADR", 0x00010000),
        aml.op_region("PIRQ", aml.RegionSpace.PCI_CONFIG, 0x60, 4),
        # The registers are used from outside the bridge, so their names go to the root.
        aml.scope("\\", aml.field("\\_SB.PCI0.ISA.PIRQ", [(f"PIR{link}", 8) for link in "ABCD"], aml.AccessType.BYTE)),
        _board(),
        _dma_controller(),
        *map(_legacy, _DEVICES),
        _generation_id(),
    )


def _ports(*ranges: tuple[int, int, int]) -> list[bytes]:
    return [aml.io(base, base, alignment, length) for base, alignment, length in ranges]


def _board() -> bytes:
    ports = aml.resource_template(*_ports(*((base, 0, length) for base, length in _BOARD_PORTS)))
    return aml.device(
        "SYSR",
        aml.name("_HID", aml.eisaid("PNP0C02")),
        aml.name("_UID", 1),
        aml.name("CRS", ports),
        aml.method("_CRS", 0, aml.return_(aml.ref("CRS"))),
    )


def _dma_controller() -> bytes:
    ports = _ports(*((base, 0, length) for base, length in _DMA_PORTS))
    return aml.device(
        "DMA0",
        aml.name("_HID", aml.eisaid("PNP0200")),
        aml.name("_CRS", aml.resource_template(aml.dma(4, bus_master=True), *ports)),
    )


def _legacy(spec: Legacy) -> bytes:
    resources = _ports(*spec.ports)
    if spec.irqs:
        resources.append(aml.irq_noflags(*spec.irqs))
    if spec.dma:
        resources.append(aml.dma(*spec.dma))
    return aml.device(
        spec.name,
        aml.name("_HID", aml.eisaid(spec.hid)),
        *([aml.name("_CID", aml.eisaid(spec.cid))] if spec.cid else []),
        *([aml.name("_UID", spec.uid)] if spec.uid is not None else []),
        *([] if spec.sta is None else [present_if(spec.sta)]),
        aml.name("_CRS", aml.resource_template(*resources)),
    )


def present_if(field: str) -> bytes:
    r"""``_STA``: present when a field of ``\_SB`` is not 0, or always when none is named."""
    answer = aml.return_(_PRESENT)
    if not field:
        return aml.method("_STA", 0, answer)
    return aml.method("_STA", 0, aml.if_(aml.ref(f"\\_SB.{field}"), answer), aml.return_(0))


def _generation_id() -> bytes:
    return aml.device(
        "VGID",
        aml.name("_HID", aml.eisaid("XEN0000")),
        aml.name("_UID", 0),
        aml.name("_CID", aml.string("VM_Gen_Counter")),
        aml.name("_DDN", aml.string("VM_Gen_Counter")),
        present_if("VGIA"),
        aml.name("PKG", aml.package(0, 0)),
        aml.method(
            "ADDR",
            0,
            aml.store(aml.ref("\\_SB.VGIA"), aml.index(aml.ref("PKG"), 0)),
            aml.return_(aml.ref("PKG")),
        ),
    )
