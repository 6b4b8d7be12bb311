"""The upper half of the translation: from a line of a configuration through the guest's tables to a machine frame."""

from __future__ import annotations

from xlpy.addr import PAGE, PAGE_SHIFT, Gpa, Spa
from xlpy.contexts import suppress
from xlpy.dom0.nvdimm import BTT_SIGNATURE, DAX_SIGNATURE, INDEX_SIGNATURE, PFN_SIGNATURE
from xlpy.firmware.acpi.nfit_places import spa_range_of, spa_ranges
from xlpy.hypervisor.frametable import M2P_SIZE, PAGE_INFO_SIZE, places
from xlpy.hypervisor.p2m import is_broken, is_read_only, order_at
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.views.where.answer import Hop, Part, Place, guest_place

if TYPE_CHECKING:
    from xlpy.host import Host
    from xlpy.hypervisor.linear import LinearPiece
    from xlpy.toolstack.domain.record import VnvdimmRecord
    from xlpy.toolstack.domain.running import Running

ENTRY = {0: "4 KiB", 9: "2 MiB", 18: "1 GiB"}  # by order of the page table entry
INFO_BLOCKS = (PFN_SIGNATURE, DAX_SIGNATURE, BTT_SIGNATURE)


def from_guest(host: Host, running: Running, gpa: Gpa) -> Part:
    """The way of a guest's load down to the machine frame, and for RAM to its file.

    Raises:
        NotFound: nothing is mapped there.
    """
    p2m = running.domain.p2m
    gfn = gpa >> PAGE_SHIFT
    load = {"gpa": gpa, "domain": running.name}
    ram, pmem = p2m.ram.at(gfn), p2m.pmem.at(gfn)
    piece = ram or pmem
    if piece is None:
        from xlpy.views.where.guest_memory import register

        return register(running, gpa, load)
    spa = Spa((piece.base + gfn - piece.start << PAGE_SHIFT) + gpa % PAGE)
    table = "xen.ram" if ram else "xen.pmem"
    mapped = Hop(
        "xen",
        f"guest frame {gfn:#x} -> machine frame {spa >> PAGE_SHIFT:#x}",
        f"p2m of domain {running.domid}, an entry of {ENTRY[order_at(piece, gfn)]}{_rights(piece.tag)}",
        Place("state", name=f"{table}/{running.domid}"),
    )
    run = (piece.end << PAGE_SHIFT) - gpa
    if pmem is None:
        from xlpy.views.where.guest_memory import ram as in_ram

        answer = in_ram(running, gpa, spa, piece.end - gfn, mapped)
        return Part({**load, **answer.fields}, answer.hops, answer.touch, min(run, answer.run))
    device = _vnvdimm(running, gpa)
    hops = [mapped]
    if device is not None:
        run = min(run, device.gpa + device.size - gpa)
        above, fields = _device_hops(host, running, device, gpa)
        hops = [*above, mapped]
        load |= fields
    return Part({**load, "spa": spa}, hops, {"domains": (running.name,)}, run)


def _rights(tag: int) -> str:
    """What a guest can do with a page of this type, where it is not the usual."""
    if is_broken(tag):
        return ", broken: an access is a machine check"
    return ", read-only" if is_read_only(tag) else ""


def _vnvdimm(running: Running, gpa: int) -> VnvdimmRecord | None:
    return next((one for one in running.record.vnvdimms if one.gpa <= gpa < one.gpa + one.size), None)


def _device_hops(host: Host, running: Running, device: VnvdimmRecord, gpa: Gpa) -> tuple[list[Hop], dict[str, Any]]:
    """Configuration line, the guest's NFIT, and what its Linux calls the device."""
    offset = gpa - device.gpa
    tables = running.acpi_tables() if running.domain.p2m.ram else []
    nfit = next((table for table in tables if table.signature == "NFIT"), None)
    found = nfit and spa_range_of(nfit.data, gpa)
    decided, place, number = "guest's _FIT, for what came later", Place("state", name=f"dm/{running.domid}/fit"), None
    if nfit is not None and found:
        decided, place = f"guest's NFIT, SPA range {found[1]}", guest_place(running, nfit.address + found[0])
        number = spa_ranges(nfit.data).index(device.gpa)
    node, at = _linux_name(host, running, device, number, gpa)
    inside = "" if at is None else f"+{at:#x}"
    hops = [
        _configured(running, device),
        Hop("guest", f"{node or 'no device'}{inside}", "guest's labels and info block"),
        Hop("guest", f"vNVDIMM {device.slot}+{offset:#x}", decided, place),
        Hop("guest", f"load from {gpa:#x}", "guest-physical address"),
    ]
    return hops, {"guest_device": node, "guest_device_offset": at}


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
        if settings and isinstance(item, Text) and _file_of(item) == device.path:
            where = Place("text", name=str(settings.source.position(item.offset)))
            return Hop("toolstack", f"vnvdimm entry {str(item)!r}", "configuration", where)
    return Hop("toolstack", f"vNVDIMM {device.slot}, file={device.path}", "nvdimm-attach")


def _file_of(entry: str) -> str | None:
    """The value of ``file`` in an entry of ``vnvdimm``, which may begin with the path alone."""
    if entry.lstrip().startswith("/"):
        return entry.partition(",")[0].strip()
    pairs = (part.partition("=") for part in entry.split(","))
    return next((value.strip() for key, _, value in pairs if key.strip() == "file"), None)


def _linux_name(
    host: Host, running: Running, device: VnvdimmRecord, number: int | None, gpa: Gpa
) -> tuple[str | None, int | None]:
    """The device that Linux makes of a place in a vNVDIMM, and the offset on it; None where it belongs to none.

    Args:
        number: of its region, where the table at boot says so and no label divides it.
    """
    if number is None or _labelled(host, device) or _head(host, device) in INFO_BLOCKS:
        from xlpy.guest.probe import probe

        for one in probe(host.domain(running.domid)).pmem:
            if one.start <= gpa < one.start + one.size:
                inside = None if one.mode == "sector" else gpa - one.start
                return f"/dev/{one.dev}", inside
        return None, None
    return f"/dev/pmem{number}", gpa - device.gpa


def _labelled(host: Host, device: VnvdimmRecord) -> bool:
    """Whether there may be labels in the label area of a vNVDIMM."""
    if not device.label:
        return False
    name = f"{host.lifecycle.labels}/{device.label}"
    with suppress(OSError), open(name, "rb") as area:  # noqa: PTH123 - pathlib is not needed otherwise
        return INDEX_SIGNATURE in area.read(1 << 16)  # the first index block or, where it is damaged, the second
    return False


def _head(host: Host, device: VnvdimmRecord) -> bytes:
    """The signature of an info block in a vNVDIMM: read on the media, where broken pages harm no guest."""
    found = b""
    for spa, length in device.extents:
        if found or length > PAGE:
            return host.hw.read(Spa(spa + (0 if found else PAGE)), 16)
        found = b"the first extent has one page"
    return b""


def frame(host: Host, spa: Spa) -> tuple[list[Hop], str]:
    """What Xen knows of a frame of persistent memory: hops, and whether Dom0 may map it."""
    mfn = spa >> PAGE_SHIFT
    region = host.xen.pmem.region_at(mfn)
    if region is None:
        return [], "mapped"
    record, entry = places(region, mfn)
    records, gfns = places(region, region.region.start)
    run = host.xen.pmem.m2p.at(mfn)  # of its head the bytes are written, and zeros for the others
    state, back = ": no domain's", ": no guest frame"
    if run is not None:
        behind = f"{mfn - run.start} behind the head of its run" if mfn > run.start else "the head of its run"
        state, back = f" of domain {run.tag}, {behind}", f" -> guest frame {run.base + mfn - run.start:#x}"
    hops = [
        Hop("xen", f"machine frame {mfn:#x}{state}", "its page_info", Place("spa", record)),
        Hop("xen", f"machine frame {mfn:#x}{back}", "its M2P entry", Place("spa", entry)),
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


def _gpa(piece: LinearPiece, spa: int) -> Gpa:
    return Gpa((piece.start << PAGE_SHIFT) + spa - (piece.base << PAGE_SHIFT))
