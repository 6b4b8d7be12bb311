"""Core dumps: an ELF64 core file with one PT_LOAD per stretch of guest RAM or persistent memory.

Physical and virtual address of a segment are its guest-physical address. A note in Xen's own form
(``XEN_ELFNOTE_DUMPCORE_HEADER``, Xen public header ``elfnote.h``) tells vCPUs and pages. What was never written stays a
hole, so a dump costs what the memory holds, not what it could hold; poisoned lines cannot be read and are left out.
"""

from __future__ import annotations

import _struct as struct
import errno
import os

from xlpy.addr import PAGE, PAGE_SHIFT, Spa, Span, align_up
from xlpy.errors import Constraint
from xlpy.outputs import replacing
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xlpy.hypervisor.domain import Domain
    from xlpy.hypervisor.linear import LinearPiece

# ELF-64 object file format: header, program header, note header
EHDR = struct.Struct("<4s5B7xHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
NHDR = struct.Struct("<III4s")
ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ET_CORE, EM_X86_64 = 2, 1, 1, 4, 62
PT_LOAD, PT_NOTE, PF_X, PF_W, PF_R = 1, 4, 1, 2, 4
PN_XNUM = 0xFFFF
DUMPCORE_HEADER = 0x2000001
MAGIC_HVM, MAGIC_PV = 0xF00FEBEE, 0xF00FEBED
NAME_BYTES = 200  # of a domain's name in a file name


class CoreSegment(NamedTuple):
    """A stretch of guest memory: frames ``[start, end)``, whether it is persistent, its parts in the P2M."""

    start: int
    end: int
    pmem: bool
    parts: list[LinearPiece]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start << PAGE_SHIFT


def dump_path(folder: str, name: str) -> Path:
    """Where the core dump of a domain goes: its name may hold what a file name may not."""
    from pathlib import Path

    safe = name.replace("/", "_").encode(errors="surrogateescape")[:NAME_BYTES].decode(errors="ignore")
    return Path(folder, f"{safe}.core")


def segments(domain: Domain) -> list[CoreSegment]:
    """The stretches of a domain's memory in address order."""
    found: list[CoreSegment] = []
    pieces = [(piece, pmem) for pmem, table in ((False, domain.p2m.ram), (True, domain.p2m.pmem)) for piece in table]
    for piece, pmem in sorted(pieces):
        last = found[-1] if found else None
        if last is not None and last.end == piece.start and last.pmem == pmem:
            last.parts.append(piece)
            found[-1] = last._replace(end=piece.end)
        else:
            found.append(CoreSegment(piece.start, piece.end, pmem, [piece]))
    return found


def dump_core(domain: Domain, path: Path) -> None:
    """Write a core dump; an earlier one of that name is replaced when the new one is complete.

    Raises:
        Constraint: more stretches than an ELF file has room for. Others as ``replacing``.
    """
    stretches = segments(domain)
    if len(stretches) + 1 >= PN_XNUM:
        raise Constraint(f"d{domain.domid} has {len(stretches)} stretches of memory, a core dump holds {PN_XNUM - 2}")
    note = _note(domain, stretches)
    start = align_up(EHDR.size + PHDR.size * (len(stretches) + 1) + len(note), PAGE)
    with replacing(path) as core:
        core.write(_headers(stretches, start, note))
        core.truncate(start + sum(stretch.size for stretch in stretches))
        core.flush()
        at = start
        for stretch in stretches:
            _copy(domain, stretch, core.fileno(), at)
            at += stretch.size


def _note(domain: Domain, stretches: list[CoreSegment]) -> bytes:
    magic = MAGIC_HVM if domain.hvm else MAGIC_PV
    pages = sum(stretch.end - stretch.start for stretch in stretches)
    body = struct.pack("<4Q", magic, domain.max_vcpus, pages, PAGE)
    return NHDR.pack(4, len(body), DUMPCORE_HEADER, b"Xen\0") + body


def _headers(stretches: list[CoreSegment], start: int, note: bytes) -> bytes:
    count = len(stretches) + 1
    ident = (b"\x7fELF", ELFCLASS64, ELFDATA2LSB, EV_CURRENT, 0, 0)
    head = EHDR.pack(*ident, ET_CORE, EM_X86_64, EV_CURRENT, 0, EHDR.size, 0, 0, EHDR.size, PHDR.size, count, 0, 0, 0)
    rows = [PHDR.pack(PT_NOTE, PF_R, EHDR.size + PHDR.size * count, 0, 0, len(note), len(note), 4)]
    for stretch in stretches:
        address = stretch.start << PAGE_SHIFT
        flags = PF_R | PF_W | (0 if stretch.pmem else PF_X)
        rows.append(PHDR.pack(PT_LOAD, flags, start, address, address, stretch.size, stretch.size, PAGE))
        start += stretch.size
    return b"".join((head, *rows, note))


def _copy(domain: Domain, stretch: CoreSegment, core: int, at: int) -> None:
    """Copy what a stretch holds to offset ``at`` of the core file."""
    for piece in stretch.parts:
        offset = at + (piece.start - stretch.start << PAGE_SHIFT)
        for path, source, length, skip in files_of(domain, piece, stretch.pmem):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _copy_data(fd, source, length, core, offset + skip)
            finally:
                os.close(fd)


def files_of(domain: Domain, piece: LinearPiece, pmem: bool) -> Iterator[tuple[str, int, int, int]]:
    """Where the bytes of a piece of the P2M are: file, offset, length, and how far into the piece that is."""
    if not pmem:
        for part in domain.files.frames.clip(piece.base, piece.base + piece.size):
            skip = part.start - piece.base << PAGE_SHIFT
            yield domain.files.name(part.tag), part.base << PAGE_SHIFT, part.size << PAGE_SHIFT, skip
        return
    hw = domain.hw
    start = at = piece.base << PAGE_SHIFT
    end = start + (piece.size << PAGE_SHIFT)
    for bad in [*hw.poison.overlapping(Span(Spa(start), end - start)), Span(Spa(end), 0)]:
        while at < bad.start:
            stop = min(bad.start, hw.region_at(Spa(at)).span.end)
            path, offset = hw.locate_file(Spa(at))
            yield path, offset, stop - at, at - start
            at = stop
        at = max(at, bad.end)


def _copy_data(source: int, offset: int, length: int, target: int, at: int) -> None:
    """Copy the data of ``[offset, offset + length)`` of a file; holes stay holes."""
    end, delta = offset + length, at - offset
    while offset < end:
        try:
            offset = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data up to the end of the file
                return
            raise
        stop = min(os.lseek(source, offset, os.SEEK_HOLE), end) if offset < end else end
        os.lseek(target, offset + delta, os.SEEK_SET)
        while offset < stop:
            offset += os.sendfile(target, source, offset, stop - offset)
