"""Guest addresses outside vNVDIMMs: RAM, with the structures of firmware and toolstack in it, and device registers."""

from __future__ import annotations

import os

from xlpy import abi
from xlpy.addr import PAGE, PAGE_SHIFT, Gpa, Span
from xlpy.errors import FirmwareStopped, NotFound
from xlpy.firmware.e820 import ENTRY_SIZE, TYPE_NAMES
from xlpy.firmware.hvm_info import SIZE
from xlpy.firmware.layout import BIOS_INFO, HPET, HVM_INFO, IOAPIC, LAPIC
from xlpy.hypervisor.tables import RECORDS
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.views.where.answer import Hop, OnFile, Part, Place, guest_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.addr import Spa
    from xlpy.toolstack.domain.running import Running

PAGES = {  # of the toolstack and the device model, by the HVM parameter that names the frame
    abi.HVM_PARAM_STORE_PFN: "xenstore ring",
    abi.HVM_PARAM_CONSOLE_PFN: "console ring",
    abi.HVM_PARAM_IOREQ_PFN: "ioreq page",
    abi.HVM_PARAM_BUFIOREQ_PFN: "buffered ioreq page",
}
REGISTERS = (("the I/O APIC", IOAPIC, PAGE), ("the HPET", HPET, 1024), ("the local APIC", LAPIC, PAGE))


def ram(running: Running, gpa: Gpa, spa: Spa, pages: int, mapped: Hop) -> Part:
    """A byte of RAM: what the memory map and what tables say of it, and the file that has it.

    Args:
        pages: from it on that lie together in host memory. mapped: the hop that says so.
    """
    media, offset, length = running.domain.files.find(spa >> PAGE_SHIFT, pages)
    file, at = os.fspath(media.path), offset + gpa % PAGE
    hops, end = [], gpa + length - gpa % PAGE
    for what, span, decided, place in _named(running):
        if gpa in span:
            hops.append(Hop("guest", f"{what}+{gpa - span.start:#x}", decided, place))
            end = min(end, span.end)
        elif gpa < span.start:
            end = min(end, span.start)
    kind, place = _kind(running, gpa)
    hops += [
        Hop("guest", f"load from {gpa:#x}: {kind}", "E820 that hvmloader left" if place else "no E820 names it", place),
        mapped,
        Hop("silicon", f"RAM file, byte {at:#x}", "the domain's RAM files", Place("file", at, file)),
    ]
    fields = {"spa": spa, "media": OnFile(file, at)}
    return Part(fields, hops, {"domains": (running.name,), "dom0": "may map it (privileged)"}, end - gpa)


def _kind(running: Running, gpa: Gpa) -> tuple[str, Place | None]:
    """What the guest's memory map says of an address, and where its row is."""
    try:
        left = running.handover()
    except FirmwareStopped:
        return "RAM", None
    for number, row in enumerate(left.e820):
        if gpa in row.span:
            return TYPE_NAMES.get(row.type, str(row.type)), guest_place(running, left.rows + number * ENTRY_SIZE)
    return "RAM", None


def _named(running: Running) -> Iterator[tuple[str, Span[Gpa], str, Place | None]]:
    """Ranges of RAM with a known use: the use, the range, what defines it, and the location of that definition."""
    try:
        left = running.handover()
    except FirmwareStopped:
        left = None
    if left is not None:
        info = guest_place(running, BIOS_INFO)
        yield "the BIOS info block", Span(BIOS_INFO, PAGE), "hvmloader's layout", None
        yield "the memory map", Span(left.rows, len(left.e820) * ENTRY_SIZE), "the BIOS info block", info
        for table in running.acpi_tables() if left.rsdp is not None else ():
            place = guest_place(running, table.address)
            span = Span(Gpa(table.address), len(table.data))
            yield f"the guest's {table.signature}", span, "ACPI tables, from the RSDP on", place
    yield "hvm_info_table", Span(HVM_INFO, SIZE), "the domain builder's layout", None
    for number, what in PAGES.items():
        if frame := running.domain.params.get(number):
            place = Place("state", name=f"{RECORDS}/{running.domid}")
            yield f"the {what}", Span(Gpa(frame << PAGE_SHIFT), PAGE), f"HVM parameter {number}", place
    if running.domain.part("xen.chipset"):
        from xlpy.hypervisor.chipset import Chipset

        for span, what in Chipset(running.domain).memory:
            yield what, span, "the board of the device model", None


def register(running: Running, gpa: Gpa, load: dict[str, Any]) -> Part:
    """A register of a device. NotFound: nothing responds there."""
    for row in running.map(extents=False):
        if row.start <= gpa < row.end and row.kind == "mmio":
            decided = (
                "ranges of the ioreq servers" if row.what.startswith("ioreq") else "its BAR, as firmware has set it"
            )
            hop = Hop("xen", f"a load from {gpa:#x} traps: {row.what} answers", decided)
            return Part(load, [hop], {"domains": (running.name,)}, row.end - gpa)
    for what, start, size in REGISTERS:
        if start <= gpa < start + size and (start != HPET or running.domain.params.get(abi.HVM_PARAM_HPET_ENABLED)):
            hop = Hop("xen", f"a load from {gpa:#x} traps: {what}, which Xen emulates", "Xen's address map for HVM")
            return Part(load, [hop], {"domains": (running.name,)}, start + size - gpa)
    raise NotFound(
        f"domain {running.name} has nothing at {gpa:#x}: a load reads all ones",
        hint=f"xlpy map {running.name} shows the memory map",
    )
