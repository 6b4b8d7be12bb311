"""The part of a machine description that describes the initial contents of its persistent memory."""

from __future__ import annotations

import os
import re
import stat

from xlpy.addr import GIB, LIMIT, MIB, PAGE, SECTOR, TIB, format_size
from xlpy.hw.machine import NAME_MAX, SECTOR_SIZES, DmSpec, FileSpec, FilesystemSpec, NamespaceSpec, PartitionSpec
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xlpy.hw.fields import Section
    from xlpy.hw.machine import SetSpec

MODES = ("raw", "fsdax", "devdax", "sector")
FILESYSTEMS = ("ext4", "xfs")
FILE_STATES = ("written", "unwritten", "sparse", "fragmented")
ALIGNS = (4096, 2 * MIB, GIB)
BLOCK_SIZES = (1024, 2048, 4096)
TABLE_FRONT = 34 * SECTOR  # GPT: protective MBR, header, entries
TABLE_BACK = 33 * SECTOR
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def read_namespace(
    section: Section, machine: str, sets: Mapping[str, SetSpec], places: dict[str, int]
) -> NamespaceSpec:
    """One namespace; problems are noted in the section.

    Args:
        section: where to read.
        machine: name of the machine, from which a uuid is derived when none is given.
        sets: the regions that exist, by name.
        places: how many namespaces of each region came before; this one is counted.
    """
    region = section.word("region", choices=tuple(sets))
    place = places[region] = places.get(region, -1) + 1
    whole = sets[region].size if region else 0
    labels = bool(region and sets[region].labels)
    wanted = section.size("size", 0, least=PAGE, most=LIMIT >> 1, unit=PAGE)
    size = wanted or whole
    mode = section.word("mode", "raw", choices=MODES)
    paged = mode in ("fsdax", "devdax")  # with page structs, at the front of the namespace or in RAM
    found = NamespaceSpec(
        region=region,
        mode=mode,
        map=section.word("map", "dev", choices=("dev", "mem")) if paged or "map" in section else None,
        reserve=section.flag("reserve", False),
        uuid=_uuid(section, machine, f"{region}{f'.{place}' * bool(place)}"),
        align=section.size("align", 2 * MIB),
        sector_size=section.size("sector_size", PAGE),
        partitions=_partitions(section.sections("partitions", 128), mode, size),
        filesystem=_filesystem(section.section("filesystem"), mode, size),
        size=wanted if labels else 0,
        name=section.word("name", ""),
    )
    if region and not labels:
        if wanted and wanted != whole:
            section.problem(
                "size",
                f"without labels a region is one namespace of full size, {format_size(whole)}; give the set {region}"
                " labels: 1.2 to divide it",
            )
        if "name" in section:
            section.problem("name", f"a namespace has its name in a label; give the set {region} labels: 1.2")
    if len(found.name.encode()) > NAME_MAX:
        section.problem("name", f"{len(found.name.encode())} bytes, a label has room for {NAME_MAX}")
    if not paged:
        wrong = [key for key in ("map", "align") if key in section] + ["reserve"] * found.reserve
        for key in wrong:
            section.problem(key, f"only an fsdax or devdax namespace has it, this one is in {mode} mode")
    if found.align not in ALIGNS:
        section.problem("align", f"{format_size(found.align)} is not one of 4K, 2M, 1G")
    if found.sector_size not in SECTOR_SIZES or (mode != "sector" and "sector_size" in section):
        section.problem("sector_size", "512 or 4096, and only in sector mode")
    if mode == "devdax":
        for key in ("partitions", "filesystem"):
            if key in section:
                section.problem(key, "a namespace in devdax mode has no block device for it")
    if found.partitions and found.filesystem:
        section.problem("filesystem", "the device has partitions; put the file system into one of them")
    section.done()
    return found


def _uuid(section: Section, machine: str, region: str) -> str:
    if "uuid" in section:
        text = section.word("uuid").lower()
        if text and not _UUID.match(text):
            section.problem("uuid", f"{text[:60]!r} is not a uuid such as 0d50f988-4674-48ee-b4a9-5ee17be61703")
        return text
    from uuid import NAMESPACE_DNS, uuid5

    section.word("uuid", "")
    return str(uuid5(NAMESPACE_DNS, f"{region}.{machine}.xlpy")) if region else ""


def _partitions(sections: list[Section], mode: str, region_size: int) -> tuple[PartitionSpec, ...]:
    found, end = [], 0
    for section in sections:
        partition = _partition(section, mode, region_size)
        if partition.start < end:
            section.problem("start", f"{partition.start:#x} overlaps the partition before it, which ends at {end:#x}")
        end = max(end, partition.start + partition.size)
        found.append(partition)
    return tuple(found)


def _partition(section: Section, mode: str, region_size: int) -> PartitionSpec:
    most = LIMIT >> 1
    start = section.size("start", MIB, least=TABLE_FRONT, most=most, unit=SECTOR)
    size = section.size("size", least=SECTOR, most=most, unit=SECTOR)
    found = PartitionSpec(start, size, _filesystem(section.section("filesystem"), mode, size))
    if region_size and start + size > region_size - TABLE_BACK:
        section.problem("size", f"it ends at {start + size:#x}, beyond the region of {region_size:#x} bytes")
    section.done()
    return found


def _filesystem(section: Section | None, mode: str, room: int) -> FilesystemSpec | None:
    if section is None:
        return None
    dax = section.flag("dax", mode == "fsdax")
    if dax and mode != "fsdax":
        section.problem("dax", f"a device in {mode} mode has no DAX")
    mount = section.word("mount")
    if mount and not _is_clean(mount):
        section.problem("mount", f"{mount[:60]!r} is not an absolute path without . and ..")
    files = [_file(one, mount) for one in section.sections("files", 4096)]
    found = FilesystemSpec(
        type=section.word("type", "ext4", choices=FILESYSTEMS),
        mount=mount,
        files=tuple(files),
        dax=dax,
        block_size=section.size("block_size", PAGE),
        read_only=section.flag("read_only", False),
    )
    if found.block_size not in BLOCK_SIZES:
        section.problem("block_size", f"{found.block_size} is not one of {', '.join(map(str, BLOCK_SIZES))}")
    paths: set[str] = set()
    for path in (file.path for file in files if file.path):
        if path in paths:
            section.problem("files", f"{path} is given twice")
        paths.add(path)
    if room and (need := sum(file.size for file in files if file.state != "sparse")) > room:
        section.problem("files", f"{format_size(need)} of files do not fit into {format_size(room)}")
    section.done()
    return found


def _file(section: Section, mount: str) -> FileSpec:
    path = section.word("path")
    full = path if path.startswith("/") else f"{mount}/{path}"
    if path and mount and not (_is_clean(full) and full.startswith(mount + "/")):
        section.problem("path", f"{path[:60]!r} is not a path below {mount}")
    content, length = _content(section)
    found = FileSpec(
        path=full if path else "",
        size=section.size("size", length or ("content" in section or None), least=1, most=16 * TIB),
        state=section.word("state", "written", choices=FILE_STATES),
        content=content,
        align=section.size("align", PAGE),
    )
    if content and found.state != "written":
        section.problem("content", f"for files that are written, this one is {found.state}")
    if length > found.size and "size" not in section.wrong:
        section.problem("size", f"{format_size(found.size)}, and the content has {length} bytes")
    if found.align not in ALIGNS:
        section.problem("align", f"{format_size(found.align)} is not one of 4K, 2M, 1G")
    elif found.align > PAGE and found.state in ("sparse", "fragmented"):
        section.problem("align", f"a {found.state} file has no place of its own")
    section.done()
    return found


def _content(section: Section) -> tuple[str, int]:
    """The absolute path of the file that another one is filled with, and its length; empty and 0 for none."""
    path = section.word("content", "")
    if not path:
        return "", 0
    whole = os.path.abspath(os.path.join(section.folder, path))
    try:
        found = os.stat(whole)
    except (OSError, ValueError) as error:
        section.problem("content", f"{whole[:200]!r}: {getattr(error, 'strerror', None) or error}")
        return "", 0
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        section.problem("content", f"{whole[:200]!r} is {'empty' if stat.S_ISREG(found.st_mode) else 'not a file'}")
        return "", 0
    return whole, found.st_size


def read_uses(top: Section) -> tuple[tuple[DmSpec, ...], tuple[str, ...], tuple[str, ...]]:
    """``dm``, ``swap`` and ``loop``: what Dom0 uses devices and files for; problems are noted in the section."""
    mapped = []
    for section in top.sections("dm"):
        mapped.append(DmSpec(section.name("name"), _paths(section, "devices")))
        if "devices" in section and not mapped[-1].devices:
            section.problem("devices", "at least one device is required")
        section.done()
    return tuple(mapped), _paths(top, "swap", ()), _paths(top, "loop", ())


def _paths(section: Section, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
    paths = section.words(key, default)
    for path in paths:
        if not _is_clean(path):
            section.problem(key, f"{path[:60]!r} is not an absolute path without . and ..")
    return paths


def _is_clean(path: str) -> bool:
    parts = path.split("/")[1:]
    named = all(part not in ("", ".", "..") and len(part.encode(errors="replace")) < 256 for part in parts)
    return path.startswith("/") and bool(parts) and named and path.isprintable()
