"""Host addresses outside persistent memory: RAM and its owners, firmware tables, device registers."""

from __future__ import annotations

from xlpy.addr import LIMIT, LINE, PAGE, PAGE_SHIFT, Spa, Span
from xlpy.errors import Constraint
from xlpy.firmware.e820 import TYPE_NAMES
from xlpy.hw.memmap import BIOS, DEVICES, FLUSH_HINTS, HIGH, IO_APIC, LOCAL_APIC, ONE_MIB, VGA_WINDOW
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.views.where.answer import Hop, Part, Place

if TYPE_CHECKING:
    from xlpy.host import Host

# registers of the host that its firmware's MADT names, by their first address
REGISTERS = (("the I/O APIC", IO_APIC), ("the local APIC", LOCAL_APIC))
NAMES = (("the VGA window", VGA_WINDOW, BIOS), ("the BIOS area", BIOS, ONE_MIB))
MAP = "the host's E820"


def without_bytes(host: Host, spa: Spa) -> Part:
    """An address with no memory behind it.

    Raises:
        Constraint: nothing at all is there.
    """
    for dimm in host.spec.dimms:
        for hint in host.hw.flush_hints(dimm.id):
            if hint <= spa < hint + LINE:
                hop = Hop("silicon", f"flush hint of {dimm.id}: a write drains its queue", "NFIT, flush hint addresses")
                return Part({"spa": spa, "dimm": dimm.id}, [hop], {}, hint + LINE - spa)
    kind, end = _entry(host, spa)
    if DEVICES <= spa < HIGH or spa >> PAGE_SHIFT == FLUSH_HINTS >> PAGE_SHIFT:
        name = next((name for name, base in REGISTERS if base <= spa < base + PAGE), "registers of devices")
        edges = (edge for _, base in REGISTERS for edge in (base, base + PAGE))
        changes = min((edge for edge in edges if edge > spa), default=HIGH)
        hops = [
            Hop("firmware", f"host address {spa:#x}: {kind}", MAP),
            Hop("silicon", f"{name}: no memory, nothing is stored", "the machine's address map"),
        ]
        return Part({"spa": spa}, hops, {}, min(end, changes) - spa)
    raise Constraint(
        f"there is no memory at host address {spa:#x}",
        code="XLPY-HW-NO-MEMORY",
        hint="`xlpy host show` lists where RAM and persistent memory are",
    )


def ram(host: Host, spa: Spa, fields: dict[str, Any], media: Hop) -> Part:
    """Host RAM that no domain has: what firmware has put there, and whose its frame is."""
    kind, end = _entry(host, spa)
    hops = [Hop("firmware", f"host address {spa:#x}: {kind}", MAP)]
    touch: dict[str, Any] = {"poison": bool(host.hw.poison.overlapping(Span(spa, 1)))}
    if kind in ("ACPI", "NVS", "RESERVED"):
        for table in host.acpi_tables():
            if table.address <= spa < table.address + len(table.data):
                what = f"the host's {table.signature}+{spa - table.address:#x}"
                hops.append(Hop("firmware", what, "ACPI tables, from the RSDP on", Place("spa", Spa(table.address))))
                end = table.address + len(table.data)
            elif spa < table.address:
                end = min(end, table.address)
    elif kind == "RAM":
        frame, owner, last = _frame(host, spa)
        hops.append(frame)
        end = min(end, last)
        touch["dom0"] = {"dom0": "its own memory", "free": "not mapped: free"}.get(owner, "not mapped: Xen's")
    return Part(fields, [*hops, media], touch, end - spa)


def _entry(host: Host, spa: Spa) -> tuple[str, int]:
    """The type of an address in the host's E820, and where that ends."""
    rows = host.hw.memory_map()
    entry = next((one for one in rows if one.start <= spa < one.start + one.size), None)
    if entry is not None:
        return TYPE_NAMES.get(entry.type, str(entry.type)), entry.start + entry.size
    end = min((one.start for one in rows if one.start > spa), default=LIMIT)
    name = next((f" ({name})" for name, start, stop in NAMES if start <= spa < stop), "")
    return f"in no entry{name}", end


def _frame(host: Host, spa: Spa) -> tuple[Hop, str, int]:
    """Whose a frame of RAM is, and where that ends."""
    from xlpy.hypervisor.heap import at_boot

    mfn, heap, boot = spa >> PAGE_SHIFT, host.xen.heap, at_boot(host.hw.memory_map())
    place, end = Place("state", name="xen/heap"), mfn + 1
    if heap.offlined(mfn):
        what, owner = "taken out of use by a machine check", "xen"
    elif run := heap.free_run(mfn):
        what, owner, end = "free", "free", run[1]
    else:
        owner, what, end = "xen", "Xen's own, the first MiB", ONE_MIB >> PAGE_SHIFT
        for whose, text, runs in (
            ("dom0", "Dom0's memory", boot.dom0),
            ("xen", "frame table and M2P of RAM", boot.own),
        ):
            for first, count in runs:
                if first <= mfn < first + count:
                    owner, what, end = whose, text, first + count
        if mfn >= end:
            what, end = "given out by Xen", mfn + 1
    return Hop("xen", f"machine frame {mfn:#x}: {what}", "Xen's heap", place), owner, end << PAGE_SHIFT
