"""A guest's physical memory: RAM, persistent memory and MMIO under one address space.

RAM is in the domain's files, persistent memory is the media itself, and what neither backs goes to the emulators. An
access that stays inside the stretch used last is one copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.addr import LIMIT, PAGE, PAGE_SHIFT, Gpa, Spa, Span
from xlpy.errors import Constraint, HypercallError
from xlpy.hypervisor import abi
from xlpy.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.hypervisor.domain import Domain
    from xlpy.hypervisor.linear import Piece


class GuestCrashed(HypercallError):
    """The guest touched memory that a machine check had poisoned; Xen crashed the domain."""

    code = "XLPY-GUEST-BROKEN"


class MemorySpan(NamedTuple):
    """One stretch of a guest's address space.

    kind: ``ram``, ``pmem``, ``broken`` (a machine check poisoned it) or ``mmio``.
    spa: host address of the first byte; None for MMIO.
    what: who answers MMIO.
    """

    span: Span[Gpa]
    kind: str
    spa: Spa | None
    what: str = ""


class GuestMemory:
    """Memory by guest physical address.

    Args:
        domain: whose memory it is.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._start = self._end = 0  # the stretch used last, in bytes
        self._view = memoryview(b"")
        self._regions: dict[int, memoryview] = {}
        self._over_poison = False  # the current stretch is poisoned, and may be used for one write only

    def read(self, gpa: Gpa, length: int) -> bytes:
        """``length`` bytes; all ones where there is nothing.

        Raises:
            GuestCrashed: a page is broken, or poison was consumed and the domain did not survive it.
            Constraint: the range leaves the 64-bit address space.
        """
        at = gpa - self._start
        if at >= 0 and length >= 0 and gpa + length <= self._end:
            return self._view[at : at + length].tobytes()
        parts = []
        for start, size in self._pieces(gpa, length):
            if self._select(start):
                at = start - self._start
                parts.append(self._view[at : at + size].tobytes())
            else:
                parts.append(self._domain.ioreq.read(start, size))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, gpa: Gpa, data: bytes | bytearray | memoryview) -> None:
        """Store ``data``; dropped where there is nothing. Errors as ``read``."""
        length = len(data)
        at = gpa - self._start
        if at >= 0 and gpa + length <= self._end:
            self._view[at : at + length] = data
            return
        rest = memoryview(data)
        for start, size in self._pieces(gpa, length, write=True):
            offset = start - gpa
            if self._select(start, write=True):
                at = start - self._start
                self._view[at : at + size] = rest[offset : offset + size]
            else:
                self._domain.ioreq.write(start, rest[offset : offset + size])
        if self._over_poison:
            self.forget()

    def view(self, span: Span[Gpa]) -> memoryview:
        """The bytes of ``span`` themselves, writable; Constraint unless they lie together in one file."""
        if not self._select(span.start) or span.end > self._end:
            raise Constraint(
                f"guest memory {span} of d{self._domain.domid} is not in one piece: read it, do not view it"
            )
        at = span.start - self._start
        return self._view[at : at + span.size]

    def forget(self) -> None:
        """What is mapped where has changed."""
        self._start = self._end = 0
        self._view = memoryview(b"")
        self._over_poison = False

    def spans(self) -> list[MemorySpan]:
        """The whole address space in order, without holes."""
        p2m = self._domain.p2m
        found = [
            MemorySpan(
                Span.between(Gpa(piece.start << PAGE_SHIFT), Gpa(piece.end << PAGE_SHIFT)),
                "broken" if piece.tag == abi.P2M_RAM_BROKEN else kind,
                Spa(piece.base << PAGE_SHIFT),
            )
            for kind, table in (("ram", p2m.ram), ("pmem", p2m.pmem))
            for piece in table
        ]
        for server in self._domain.ioreq.servers.values():
            for start, last in server.ranges[abi.XEN_DMOP_IO_RANGE_MEMORY]:
                what = f"ioreq server {server.id}" + ("" if server.enabled else " (disabled)")
                found.append(MemorySpan(Span.between(Gpa(start), Gpa(last + 1)), "mmio", None, what))
        return sorted(found, key=lambda one: one.span.start)

    def _pieces(self, gpa: int, length: int, *, write: bool = False) -> Iterator[tuple[int, int]]:
        """Cut ``[gpa, gpa + length)`` where mappings begin and end."""
        if gpa < 0 or length < 0 or gpa + length > LIMIT:
            raise Constraint(f"guest addresses [{gpa:#x}, +{length:#x}) leave the 64-bit address space")
        end = gpa + length
        while gpa < end:
            stop = self._end if self._select(gpa, write=write) else self._next_mapped(gpa, end)
            size = min(end, stop) - gpa
            yield gpa, size
            gpa += size

    def _next_mapped(self, gpa: int, end: int) -> int:
        """Where the hole at ``gpa`` ends, ``end`` at most."""
        first, last = gpa >> PAGE_SHIFT, -(-end // PAGE)
        for table in (self._domain.p2m.ram, self._domain.p2m.pmem):
            if table.overlaps(first, last):
                end = min(end, table.starts[table.window(first, last)[0]] << PAGE_SHIFT)
        return end

    def _select(self, gpa: int, *, write: bool = False) -> bool:
        """Make the stretch around ``gpa`` the current one; False when no memory is there."""
        if self._start <= gpa < self._end:
            return True
        gfn = gpa >> PAGE_SHIFT
        p2m = self._domain.p2m
        piece = p2m.ram.at(gfn) or p2m.pmem.at(gfn)
        if piece is None:
            return False
        if piece.tag == abi.P2M_RAM_BROKEN:
            self._domain.crash(f"access to the broken page {gpa:#x}")
            raise GuestCrashed(
                f"d{self._domain.domid}: guest address {gpa:#x} is in a page that a machine check poisoned",
                abi.EIO,
                hint="the domain was crashed; clear the error on the host before the next start",
            )
        if p2m.ram.at(gfn):
            mfn = piece.base + gfn - piece.start
            self._view = self._domain.files.view(mfn, piece.end - gfn)
            self._start = gfn << PAGE_SHIFT
            self._end = self._start + len(self._view)
        else:
            self._select_pmem(piece, gpa, write=write)
        return True

    def _select_pmem(self, piece: Piece, gpa: int, *, write: bool) -> None:
        """The stretch of media around ``gpa`` that is free of poison.

        Reading poison is a machine check, of the kind that must be handled at once. A write replaces the line without
        looking at it; the poison stays recorded until it is cleared.
        """
        hw = self._domain.xen.hw
        self._over_poison = False
        start, end = piece.start << PAGE_SHIFT, piece.end << PAGE_SHIFT
        spa = piece.base << PAGE_SHIFT
        if len(hw.poison):
            for bad in hw.poison.overlapping(Span(Spa(spa), end - start)):
                first, last = start + bad.start - spa, start + bad.end - spa
                if last <= gpa:
                    start = last
                elif gpa < first:
                    end = first
                    break
                elif write:
                    start, end = first, last
                    self._over_poison = True
                    break
                else:
                    self._domain.xen.mca.report(Spa(bad.start + gpa - first), action_required=True)
                    raise GuestCrashed(
                        f"d{self._domain.domid}: the guest read poison at {gpa:#x} (host address {bad.start:#x})",
                        abi.EIO,
                        hint="the guest got a machine check; `xlpy dmesg` shows it",
                    )
        spa += start - (piece.start << PAGE_SHIFT)
        region = hw.region_at(Spa(spa))
        if region.index not in self._regions:
            self._regions[region.index] = hw.view(region.span)
        end = min(end, start + region.span.end - spa)
        offset = spa - region.span.start
        self._view = self._regions[region.index][offset : offset + end - start]
        self._start, self._end = start, end
