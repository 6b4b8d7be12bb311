"""The upper half of the way: from a line of a configuration through the guest's tables to a machine frame."""

from __future__ import annotations

import os

from xlpy.addr import PAGE_SHIFT, Gpa, Spa
from xlpy.errors import NotFound
from xlpy.firmware.acpi.nfit_places import spa_range_of, spa_ranges
from xlpy.hypervisor.frametable import M2P_SIZE, PAGE_INFO_SIZE, places
from xlpy.hypervisor.p2m import order_at
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.views.where.answer import Answer, Hop, Place

if TYPE_CHECKING:
    from xlpy.host import Host
    from xlpy.hypervisor.linear import Piece
    from xlpy.toolstack.domain.record import VnvdimmRecord
    from xlpy.toolstack.domain.running import Running

ENTRY = {0: "4 KiB", 9: "2 MiB", 18: "1 GiB"}  # by order of the page table entry
SIGNATURES = {b"NVDIMM_PFN_INFO": "", b"BTT_ARENA_INFO\0": "s"}  # info block: what follows the number of /dev/pmemN


def from_guest(running: Running, gpa: Gpa) -> Answer:
    """The way of a guest's load down to the machine frame.

    Raises:
        NotFound: nothing is mapped there.
    """
    p2m = running.domain.p2m
    gfn = gpa >> PAGE_SHIFT
    load = {"gpa": gpa, "domain": running.name}
    ram, pmem = p2m.ram.at(gfn), p2m.pmem.at(gfn)
    piece = ram or pmem
    if piece is None:
        return _device(running, gpa, load)
    spa = Spa((piece.base + gfn - piece.start << PAGE_SHIFT) + gpa % (1 << PAGE_SHIFT))
    order = order_at(piece, gfn)
    table = "xen.ram" if ram else "xen.pmem"
    mapped = Hop(
        "xen",
        f"guest frame {gfn:#x} -> machine frame {spa >> PAGE_SHIFT:#x}",
        f"p2m of domain {running.domid}, an entry of {ENTRY[order]}",
        Place("state", name=f"{table}/{running.domid}"),
    )
    run = (piece.end << PAGE_SHIFT) - gpa
    if pmem is None:
        media, offset, length = running.domain.files.find(spa >> PAGE_SHIFT, 1)
        file, at = os.fspath(media.path), offset + gpa % (1 << PAGE_SHIFT)
        known = {**load, "spa": spa, "mfn": spa >> PAGE_SHIFT, "media": {"file": file, "offset": at}}
        hops = [
            Hop("guest", f"load from {gpa:#x}: RAM", "E820"),
            mapped,
            Hop("silicon", f"byte {at:#x} of the file {file}", "the domain's RAM files", Place("file", at, file)),
        ]
        return Answer(known, hops, {"domains": [running.name], "dom0": "privileged"}, min(run, length - gpa % length))
    device = _vnvdimm(running, gpa)
    hops = [mapped]
    if device is not None:
        run = min(run, device.gpa + device.size - gpa)
        above, name = _device_hops(running, device, gpa)
        hops = [*above, mapped]
        load["guest_device"] = name
    return Answer({**load, "spa": spa}, hops, {"domains": [running.name]}, run)


def _device(running: Running, gpa: Gpa, load: dict[str, Any]) -> Answer:
    """A device register; NotFound where nobody answers."""
    for row in running.domain.memory.spans(extents=False):
        if gpa in row.span and row.kind == "mmio":
            hop = Hop("xen", f"a load from {gpa:#x} traps: {row.what} answers", "ranges of the ioreq servers")
            return Answer(load, [hop], {}, row.span.end - gpa)
    raise NotFound(
        f"domain {running.name} has nothing at {gpa:#x}: a load reads all ones",
        hint=f"xlpy map {running.name} shows what lies where",
    )


def _vnvdimm(running: Running, gpa: int) -> VnvdimmRecord | None:
    return next((one for one in running.record.vnvdimms if one.gpa <= gpa < one.gpa + one.size), None)


def _device_hops(running: Running, device: VnvdimmRecord, gpa: Gpa) -> tuple[list[Hop], str]:
    """Configuration line, the guest's NFIT, and what its Linux calls the device."""
    hops = [_configured(running, device)]
    offset = gpa - device.gpa
    tables = running.acpi_tables() if running.domain.p2m.ram else []
    nfit = next((table for table in tables if table.signature == "NFIT"), None)
    name = "-"
    if nfit is not None and (found := spa_range_of(nfit.data, gpa)):
        at, index = found
        name = _linux_name(running, device, spa_ranges(nfit.data).index(device.gpa))
        place = Place("gpa", nfit.address + at)
        hops.append(
            Hop("guest", f"{name}, vNVDIMM {device.slot}+{offset:#x}", f"guest's NFIT, SPA range {index}", place)
        )
    hops.append(Hop("guest", f"load from {gpa:#x}", "guest-physical address"))
    return hops, name


def _configured(running: Running, device: VnvdimmRecord) -> Hop:
    """The entry of the configuration that the device came from."""
    from xlpy.errors import ConfigError
    from xlpy.toolstack.config.xlcfg import Items, Text, parse

    record = running.record
    try:
        settings = parse(record.text, record.source, record.extra)
    except ConfigError:  # read in another way since, by a newer version
        settings = None
    value = settings["vnvdimm"] if settings and "vnvdimm" in settings else None
    for item in value if isinstance(value, Items) else ():
        if settings and isinstance(item, Text) and device.path in item:
            where = Place("text", name=str(settings.source.position(item.offset)))
            return Hop("toolstack", f"vnvdimm entry {str(item)!r}", "configuration", where)
    return Hop("toolstack", f"vNVDIMM {device.slot}, file={device.path}", "nvdimm-attach")


def _linux_name(running: Running, device: VnvdimmRecord, number: int) -> str:
    """The name of the block device that Linux makes of a vNVDIMM, by the info block at its start."""
    head = running.memory.read(Gpa(device.gpa + 4096), 15)
    if head == b"NVDIMM_DAX_INFO":
        return f"/dev/dax{number}.0"
    return f"/dev/pmem{number}{SIGNATURES.get(head, '')}"


def frame(host: Host, spa: Spa) -> tuple[list[Hop], str]:
    """What Xen knows of a frame of persistent memory: hops, and whether Dom0 may map it."""
    mfn = spa >> PAGE_SHIFT
    region = host.xen.pmem.region_at(mfn)
    if region is None:
        return [], "mapped"
    record, entry = places(region, mfn)
    records, gfns = places(region, region.region.start)
    hops = [
        Hop("xen", f"machine frame {mfn:#x}", "its page_info", Place("spa", record)),
        Hop("xen", f"machine frame {mfn:#x} back to its guest frame", "its M2P entry", Place("spa", entry)),
    ]
    if mfn not in region.reserved:
        return hops, "mapped"
    for what, first, size in (("page_info", records, PAGE_INFO_SIZE), ("M2P entry", gfns, M2P_SIZE)):
        if 0 <= spa - first < size * region.region.size:
            of = region.region.start + (spa - first) // size
            hops.append(Hop("xen", f"byte {(spa - first) % size} of the {what} of frame {of:#x}", "Xen's reserve"))
    return hops, "not mapped: Xen's reserve"


def owner(host: Host, spa: Spa) -> tuple[int, Gpa] | None:
    """(domid, guest address) of the domain that has a host address mapped, or None."""
    mfn = spa >> PAGE_SHIFT
    found = host.xen.pmem.m2p.lookup(mfn)
    if found:
        gfn, domid = found
        return domid, Gpa((gfn << PAGE_SHIFT) + spa % (1 << PAGE_SHIFT))
    for domain in host.xen.domains():
        for piece in domain.p2m.ram:
            if piece.base <= mfn < piece.base + piece.size:
                return domain.domid, _gpa(piece, spa)
    return None


def _gpa(piece: Piece, spa: int) -> Gpa:
    return Gpa((piece.start << PAGE_SHIFT) + spa - (piece.base << PAGE_SHIFT))
