"""The capacity ledger: from the raw bytes of DIMMs to the bytes that a guest gets, each deduction with its reason.

All numbers come from what is on media: the NFIT, info blocks, partition tables, superblocks, extents. They add up
exactly, or it is an error of ours.
"""

from __future__ import annotations

from xlpy.addr import PAGE, Spa, align_up
from xlpy.dom0.nvdimm.btt import BTT1_AT, NFREE, BttBlock, parse_btt
from xlpy.dom0.nvdimm.fsdax import XEN_TABLES
from xlpy.dom0.nvdimm.infoblock import BLOCK, PAGE_STRUCT, RESERVED_HEAD
from xlpy.errors import NotFound
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.files.block import BlockDevice
    from xlpy.dom0.kernel import Mount
    from xlpy.dom0.nvdimm.driver import RegionDesc
    from xlpy.dom0.nvdimm.namespace import Namespace
    from xlpy.host import Host

NFIT = "NFIT, ACPI 6.5 5.2.25.3"
PFN = "PFN info block, Linux pfn_devs.c"
BTT = "BTT info block, UEFI 2.7 6.4"


class LedgerRow(NamedTuple):
    """One line. size: bytes, below zero for a deduction. total: it is the sum of all above it.

    formula: how the bytes come about, in numbers. source: who says so.
    """

    what: str
    size: int
    formula: str = ""
    source: str = ""
    total: bool = False


class Account(NamedTuple):
    """The way to one device or file. path: what a domain can be given, None where it can be given nothing."""

    name: str
    path: str | None
    rows: tuple[LedgerRow, ...]

    @property
    def guest(self) -> int:
        """The bytes that are left at the end."""
        return self.rows[-1].size


def accounts(host: Host, name: str | None = None) -> list[Account]:
    """The accounts of all namespaces, or that of one thing.

    Args:
        host: whose.
        name: a namespace (``namespace0.0``), a device with or without ``/dev/`` (``/dev/pmem0``, ``pmem0p1``,
            ``/dev/dax1.0``), or a file on one.

    Raises:
        NotFound: there is no such thing. Unsafe: its namespace is disabled.
    """
    dom0 = host.dom0
    if name is None:
        return [_namespace(host, one) for one in dom0.namespaces]
    short = name.removeprefix("/dev/")
    for one in dom0.namespaces:
        if short in (one.dev, one.disk, one.char):
            return [_namespace(host, one)]
    device = next((one for one in dom0.devices if one.name == short), None)
    if device is not None:
        return [_partition(host, device)]
    if name.startswith("/"):
        mount, _, inode = dom0.file(name)
        return [_file(host, name, mount, inode)]
    known = ", ".join(one.dev for one in dom0.namespaces) or "none"
    raise NotFound(f"{name}: no namespace, device or file", hint=f"there are: {known}; xlpy pmem list")


def _total(what: str, rows: list[LedgerRow]) -> LedgerRow:
    return LedgerRow(what, sum(row.size for row in rows if not row.total), total=True)


def _namespace(host: Host, one: Namespace) -> Account:
    rows = list(_region(host, host.dom0.bus.region(one.region)))
    region = host.dom0.bus.region(one.region)
    rows.append(_total(f"{region.dev}: host physical addresses", rows))
    outside = region.span.size - one.span.size
    if outside:
        rows.append(
            LedgerRow("other namespaces and free space", -outside, f"{region.span.size} - {one.span.size}", "labels")
        )
        rows.append(_total(one.dev, rows))
    rows += _inside(host, one)
    path = f"/dev/{one.disk or one.char}" if one.disk or one.char else None
    rows.append(_total(path or f"{one.dev}, disabled", rows))
    return Account(one.dev, path, tuple(rows))


def _region(host: Host, region: RegionDesc) -> Iterator[LedgerRow]:
    """From the DIMMs of a region to its addresses."""
    handles = {dimm.dev: dimm.handle for dimm in host.dom0.bus.dimms}
    by_handle = {dimm.handle: dimm for dimm in host.hw.spec.dimms}
    dimms = [by_handle[handles[mapping.dimm]] for mapping in region.mappings]
    for dimm in dimms:
        size = dimm.capacity + dimm.label_size
        yield LedgerRow(f"{dimm.id}: raw", size, f"{dimm.capacity} + {dimm.label_size}", "SPD, machine description")
    labels = sum(dimm.label_size for dimm in dimms)
    if labels:
        terms = " + ".join(str(dimm.label_size) for dimm in dimms)
        yield LedgerRow("label areas", -labels, terms, "UEFI 2.7 13.19: outside of the addresses")
    if not dimms:
        yield LedgerRow("range without DIMMs", region.span.size, str(region.span.size), "E820 type 12")
        return
    elsewhere = sum(dimm.capacity for dimm in dimms) - region.span.size
    if elsewhere:
        yield LedgerRow("capacity in no region or another one", -elsewhere, "capacities - region", NFIT)


def _inside(host: Host, one: Namespace) -> Iterator[LedgerRow]:
    """From a namespace to its device."""
    if one.mode in ("fsdax", "devdax") and not one.problem:
        yield from _pfn(one)
    elif one.mode == "sector" and not one.problem:
        yield from _btt(host, one)


def _pfn(one: Namespace) -> Iterator[LedgerRow]:
    dataoff, count = one.data.start - one.span.start, (one.span.size - RESERVED_HEAD) // PAGE
    structs = PAGE_STRUCT * count if one.map == "dev" else 0
    yield LedgerRow("first page, info block", -RESERVED_HEAD, f"2 x {PAGE}", PFN)
    if structs:
        yield LedgerRow("Linux' page structs (map=dev)", -structs, f"{PAGE_STRUCT} x {count} pages", PFN)
    reserve = one.reserve.size if one.reserve else 0
    if reserve:
        pages = one.span.size // PAGE
        costs = " + ".join(f"up({cost} x {pages}, {PAGE})" for cost in XEN_TABLES)
        yield LedgerRow("Xen's page_info and M2P (reserve)", -reserve, costs, "vNVDIMM design 4.2.1")
    rest = dataoff - RESERVED_HEAD - structs - reserve
    if rest:
        yield LedgerRow("alignment of the data", -rest, f"data at {dataoff:#x}, on {max(one.align, 1 << 21):#x}", PFN)
    cut = one.span.end - one.data.end
    if cut:
        yield LedgerRow("truncation of the end", -cut, f"{one.span.end:#x} - {one.data.end:#x}", PFN)


def _btt(host: Host, one: Namespace) -> Iterator[LedgerRow]:
    assert one.seal is not None
    start = Spa(one.seal[0])
    if start != one.span.start:
        yield LedgerRow("unused first page (BTT 1.1)", -BTT1_AT, str(BTT1_AT), BTT)
    arenas: list[BttBlock] = []
    at = start
    while True:
        arenas.append(parse_btt(host.hw.read(at, BLOCK), arenas[0].parent if arenas else _parent(host, start)))
        if not arenas[-1].nextoff:
            break
        at = Spa(at + arenas[-1].nextoff)
    number = len(arenas)
    yield LedgerRow("info blocks and their copies", -2 * BLOCK * number, f"2 x {BLOCK} x {number} arenas", BTT)
    logs = sum(arena.info2off - arena.logoff for arena in arenas)
    yield LedgerRow("log", -logs, f"{arenas[0].info2off - arenas[0].logoff} x {number}", BTT)
    maps = sum(arena.logoff - arena.mapoff for arena in arenas)
    yield LedgerRow("map", -maps, f"up(4 x {arenas[0].external_nlba}, {PAGE})" + (", ..." if number > 1 else ""), BTT)
    spare = sum((arena.internal_nlba - arena.external_nlba) * arena.internal_lbasize for arena in arenas)
    yield LedgerRow("free blocks", -spare, f"{NFREE} x {arenas[0].internal_lbasize} x {number}", BTT)
    padding = sum(arena.external_nlba * (arena.internal_lbasize - arena.external_lbasize) for arena in arenas)
    if padding:
        size = f"{arenas[0].internal_lbasize} - {arenas[0].external_lbasize}"
        yield LedgerRow("padding of sectors", -padding, f"({size}) x sectors", BTT)
    whole = one.span.end - start
    rest = whole - 2 * BLOCK * number - logs - maps - spare - padding - one.size
    if rest:
        yield LedgerRow("rounding of arenas", -rest, "what is left", BTT)


def _parent(host: Host, start: Spa) -> bytes:
    """The parent uuid in the first arena's block, which the driver has accepted."""
    return host.hw.read(Spa(start + 32), 16)


def _on(host: Host, device: BlockDevice) -> Namespace:
    return next(one for one in host.dom0.namespaces if one.disk == device.disk)


def _partition(host: Host, device: BlockDevice) -> Account:
    above = _namespace(host, _on(host, host.dom0.device(f"/dev/{device.name}")))
    rest = above.guest - device.size
    rows = [
        *above.rows,
        LedgerRow("partition table, other partitions, gaps", -rest, f"{above.guest} - {device.size}", "GPT"),
    ]
    rows.append(_total(f"/dev/{device.name}", rows))
    return Account(device.name, f"/dev/{device.name}", tuple(rows))


def _file(host: Host, path: str, mount: Mount, inode: Inode) -> Account:
    device = host.dom0.device(mount.device)
    above = _partition(host, device) if device.partition else _namespace(host, _on(host, device))
    image = host.dom0.image(mount)
    block = image.block_size
    allocated = {name: _allocated(host, mount, one, name) for name, one in host.dom0.files(mount)}
    free, mine = image.superblock.free_blocks * block, allocated.pop(path, None)
    if mine is None:  # reached through a symbolic link
        mine = _allocated(host, mount, inode, path)
        allocated = {name: size for name, size in allocated.items() if host.dom0.file(name)[2].number != inode.number}
    others = sum(allocated.values())
    space = image.superblock.blocks * block
    rows = list(above.rows)
    if above.guest != space:
        rows.append(LedgerRow("behind the file system", space - above.guest, f"{above.guest} - {space}", "superblock"))
    metadata = space - free - others - mine
    rows.append(
        LedgerRow("file system: metadata, journal, directories", -metadata, "blocks - free - files", "superblock")
    )
    if others:
        rows.append(LedgerRow(f"{len(allocated)} other files", -others, "their extents", "extent trees"))
    if free:
        rows.append(LedgerRow("free blocks", -free, f"{free // block} x {block}", "superblock"))
    if mine != inode.size:
        what = (
            "end of the last block" if 0 < mine - inode.size < block else "blocks that it lacks or has beyond its end"
        )
        rows.append(LedgerRow(what, inode.size - mine, f"{mine} - {inode.size}", "extent trees"))
    rows.append(_total(path, rows))
    return Account(path, path, tuple(rows))


def _allocated(host: Host, mount: Mount, inode: Inode, path: str) -> int:
    block = host.dom0.image(mount).block_size
    return sum(align_up(extent.length, block) for extent in host.dom0.image(mount).fiemap(inode, path))
