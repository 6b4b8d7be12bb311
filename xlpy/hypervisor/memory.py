"""A guest's physical memory: RAM, persistent memory and MMIO under one address space.

RAM is in the domain's files, persistent memory is the media itself, and what neither backs goes to the emulators. An
access that stays inside the stretch used last is one copy.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.addr import LIMIT, PAGE, PAGE_SHIFT, Gpa, Spa, Span
from xlpy.errors import Constraint, HypercallError
from xlpy.hw.media import Media
from xlpy.hypervisor.p2m import is_broken, is_read_only
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.hw.hardware import Hardware
    from xlpy.hypervisor.linear import LinearPiece
    from xlpy.hypervisor.protocol import MemoryDomain


SMALL = 64 << 10  # bytes: less goes by system call
MANY = 64  # small reads of one stretch after which it is mapped


class GuestCrashed(HypercallError):
    """The guest touched memory that a machine check had poisoned; Xen crashed the domain."""

    code = "XLPY-GUEST-BROKEN"


class ReadOnlyMemory(HypercallError):
    """The guest stored to memory that it may only read; nothing of the store was done."""

    code = "XLPY-GUEST-READ-ONLY"


class MemorySpan(NamedTuple):
    """One stretch of a guest's address space.

    kind: ``ram``, ``pmem``, ``broken`` (a machine check poisoned it) or ``mmio``.
    spa: host address of the first byte; None for MMIO.
    what: who answers MMIO.
    read_only: the guest may only read it.
    """

    span: Span[Gpa]
    kind: str
    spa: Spa | None
    what: str = ""
    read_only: bool = False


class _Stretch:
    """Guest memory ``[start, end)`` that lies together in one file.

    Bulk goes through a mapping, and so do small reads once they are many. In a full file system, touching a hole
    through a mapping kills the process instead of failing: what has no blocks goes by ``read`` and ``write``.
    """

    __slots__ = ("_base", "_file", "_solid", "_view", "end", "once", "read_only", "reads", "start")

    def __init__(
        self, start: int, end: int, file: Media | Hardware, base: int, *, once: bool = False, read_only: bool = False
    ) -> None:
        self.start, self.end = start, end
        self.read_only = read_only
        self.once = once  # poisoned: may be used for one write only
        self.reads = 0
        self._file, self._base = file, base
        self._view: memoryview | None = None
        self._solid: dict[int, bool] = {}  # pages that have been looked at: whether they have blocks

    def read(self, gpa: int, length: int) -> bytes:
        at = gpa - self.start
        self.reads += 1
        if length >= SMALL:
            solid = self._file.solid(Spa(self._base + at), length)
        elif self.reads < MANY or at // PAGE != (at + length - 1) // PAGE:
            solid = False
        else:
            page = at // PAGE
            known = self._solid.get(page)
            if known is None:
                known = self._solid[page] = self._file.solid(Spa(self._base + page * PAGE), PAGE)
            solid = known
        if solid:
            return self._mapped()[at : at + length].tobytes()
        return self._file.read(Spa(self._base + at), length)

    def write(self, gpa: int, data: bytes | bytearray | memoryview) -> None:
        at, length = gpa - self.start, len(data)
        if length >= SMALL and self._file.solid(Spa(self._base + at), length):
            self._mapped()[at : at + length] = data
            return
        self._file.write(Spa(self._base + at), memoryview(data))

    def view(self, gpa: int, length: int) -> memoryview:
        at = gpa - self.start
        if isinstance(self._file, Media):
            self._file.fill(self._base + at, length)
        else:
            self._file.view(Span(Spa(self._base + at), length)).release()
        return self._mapped()[at : at + length]

    def _mapped(self) -> memoryview:
        if self._view is None:
            size = self.end - self.start
            if isinstance(self._file, Media):
                self._view = self._file.view()[self._base : self._base + size]
            else:
                self._view = self._file.mapping(Span(Spa(self._base), size))
            if self.read_only:
                self._view = self._view.toreadonly()
        return self._view


class _Nowhere(_Stretch):
    """No stretch: contains no address."""

    __slots__ = ()

    def __init__(self) -> None:
        self.start = self.end = -1
        self.once = self.read_only = False


_NOWHERE = _Nowhere()


class GuestMemory:
    """Memory by guest physical address.

    Args:
        domain: whose memory it is.
    """

    def __init__(self, domain: MemoryDomain) -> None:
        self._domain = domain
        self._here: _Stretch = _NOWHERE
        self._known: dict[int, _Stretch] = {}  # by start
        self._hole = -1  # a page without memory: device registers are read one after the other

    def read(self, gpa: Gpa, length: int) -> bytes:
        """``length`` bytes; all ones where there is nothing.

        Raises:
            GuestCrashed: a page is broken, or poison was consumed and the domain did not survive it.
            Constraint: the range leaves the 64-bit address space.
        """
        here = self._here
        if here.start <= gpa and length >= 0 and gpa + length <= here.end:
            return here.read(gpa, length)
        if gpa >> PAGE_SHIFT == self._hole == gpa + length - 1 >> PAGE_SHIFT:
            return self._domain.ioreq.read(gpa, length)
        parts = []
        for start, size in self._pieces(gpa, length):
            if self._select(start):
                parts.append(self._here.read(start, size))
            else:
                parts.append(self._domain.ioreq.read(start, size))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_run(self, gpa: Gpa, width: int, count: int) -> bytes:
        """``count`` units of ``width`` bytes, as one string instruction reads them. Errors as ``read``."""
        first = self.read(gpa, width)  # and it is known what is there
        start, rest = Gpa(gpa + width), count - 1
        if not rest:
            return first
        if start >> PAGE_SHIFT == self._hole == start + width * rest - 1 >> PAGE_SHIFT:
            return first + self._domain.ioreq.read_run(start, width, rest)
        if self._here.start <= start and start + width * rest <= self._here.end:
            return first + self.read(start, width * rest)
        return first + b"".join([self.read(Gpa(start + at * width), width) for at in range(rest)])

    def write(self, gpa: Gpa, data: bytes | bytearray | memoryview) -> None:
        """Store ``data``; dropped where there is nothing. Errors as ``read``; Constraint also for a full disk.

        Raises:
            ReadOnlyMemory: a page of the range may only be read; nothing is stored then.
        """
        here = self._here
        if here.start <= gpa and gpa + len(data) <= here.end and not here.read_only:
            here.write(gpa, data)
            return
        self._refuse_read_only(gpa, len(data))
        rest = memoryview(data)
        for start, size in self._pieces(gpa, len(data), write=True):
            part = rest[start - gpa : start - gpa + size]
            if self._select(start, write=True):
                self._here.write(start, part)
            else:
                self._domain.ioreq.write(start, part)
        if self._here.once:
            self.forget()

    def _refuse_read_only(self, gpa: int, length: int) -> None:
        """Before a store is begun: all of it must be allowed."""
        for piece in self._domain.p2m.pmem.clip(gpa >> PAGE_SHIFT, -(-(gpa + length) // PAGE)):
            if is_read_only(piece.tag) and not is_broken(piece.tag):
                self._domain.denied(piece.start, piece.base)
                raise ReadOnlyMemory(
                    f"d{self._domain.domid}: the guest stored to {max(gpa, piece.start << PAGE_SHIFT):#x}, memory that "
                    "it may only read",
                    abi.EACCES,
                    hint="its vnvdimm entry says mode=ro; nothing was stored",
                )

    def view(self, span: Span[Gpa]) -> memoryview:
        """The bytes of ``span`` themselves, writable unless the guest may only read them.

        Raises:
            Constraint: they do not lie together in one file, or no space left on the device for their blocks.
        """
        if not self._select(span.start) or span.end > self._here.end:
            raise Constraint(
                f"guest memory {span} of d{self._domain.domid} is not in one piece: read it, do not view it"
            )
        return self._here.view(span.start, span.size)

    def forget(self) -> None:
        """What is mapped where has changed."""
        self._here = _NOWHERE
        self._known.clear()
        self._hole = -1

    def spans(self, *, extents: bool = True) -> list[MemorySpan]:
        """The whole address space in order, without holes.

        Args:
            extents: each extent of persistent memory is a stretch; else those that follow each other are one, whose
                host address says only where its first byte is. A file may have tens of thousands.
        """
        p2m = self._domain.p2m
        found = [
            MemorySpan(
                Span.between(Gpa(piece.start << PAGE_SHIFT), Gpa(piece.end << PAGE_SHIFT)),
                "broken" if is_broken(piece.tag) else kind,
                Spa(piece.base << PAGE_SHIFT),
                read_only=is_read_only(piece.tag),
            )
            for kind, pieces in (("ram", p2m.ram), ("pmem", p2m.pmem if extents else p2m.pmem.stretches()))
            for piece in pieces
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
            stop = self._here.end if self._select(gpa, write=write) else self._next_mapped(gpa, end)
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
        if self._here.start <= gpa < self._here.end:
            return True
        gfn = gpa >> PAGE_SHIFT
        p2m = self._domain.p2m
        ram = p2m.ram.at(gfn)
        piece = ram or p2m.pmem.at(gfn)
        if piece is None:
            self._hole = gfn
            return False
        if is_broken(piece.tag):
            self._domain.crash(f"access to the broken page {gpa:#x}")
            raise GuestCrashed(
                f"d{self._domain.domid}: guest address {gpa:#x} is in a page that a machine check poisoned",
                abi.EIO,
                hint="the domain was crashed; clear the error on the host before the next start",
            )
        start = piece.start << PAGE_SHIFT
        known = self._known.get(start)
        if known is not None and gpa < known.end:
            self._here = known
            return True
        if ram:
            media, offset, size = self._domain.files.find(ram.base, ram.size)
            if start + size <= gpa:  # the run lies in several places of the file
                start = gfn << PAGE_SHIFT
                media, offset, size = self._domain.files.find(ram.base + gfn - ram.start, ram.end - gfn)
            self._here = _Stretch(start, start + size, media, offset)
        else:
            self._here = self._clean_pmem(piece, gpa, write=write)
        if not self._here.once:
            self._known[self._here.start] = self._here
        return True

    def _clean_pmem(self, piece: LinearPiece, gpa: int, *, write: bool) -> _Stretch:
        """The stretch of media around ``gpa`` that is free of poison.

        Reading poison is a machine check, of the kind that must be handled at once. A write replaces the line without
        looking at it; the poison stays recorded until it is cleared.
        """
        hw, once = self._domain.hw, False
        start, end = piece.start << PAGE_SHIFT, piece.end << PAGE_SHIFT
        distance = (piece.base << PAGE_SHIFT) - start
        if len(hw.poison):
            for bad in hw.poison.overlapping(Span(Spa(start + distance), end - start)):
                first, last = bad.start - distance, bad.end - distance
                if last <= gpa:
                    start = last
                elif gpa < first:
                    end = first
                    break
                elif write:
                    start, end, once = first, last, True
                    break
                else:
                    self._domain.consumed(Spa(gpa + distance))
                    raise GuestCrashed(
                        f"d{self._domain.domid}: the guest read poison at {gpa:#x} (host address {gpa + distance:#x})",
                        abi.EIO,
                        hint="the guest got a machine check; `xlpy dmesg` shows it",
                    )
        region = hw.region_at(Spa(gpa + distance))  # a registered device may span several
        start, end = max(start, region.span.start - distance), min(end, region.span.end - distance)
        return _Stretch(start, end, hw, start + distance, once=once, read_only=is_read_only(piece.tag))
