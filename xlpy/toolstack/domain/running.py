"""A running domain as its users see it: memory by guest address, ACPI tables, and the memory map."""

from __future__ import annotations

from _bisect import bisect_left, bisect_right

from xlpy.addr import Gpa, Spa, Span
from xlpy.errors import Constraint, FirmwareStopped, NotFound
from xlpy.firmware.e820 import TYPE_NAMES
from xlpy.firmware.handover import Handover, read_handover
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.walk import Found
    from xlpy.hw.hardware import Hardware
    from xlpy.hypervisor.chipset import Chipset
    from xlpy.hypervisor.domain import Domain
    from xlpy.hypervisor.memory import GuestMemory
    from xlpy.toolstack.domain.record import DomainRecord, VnvdimmRecord

    # where each extent begins, and its guest address, host address, length and device
    _Pieces = tuple[list[int], list[tuple[int, int, int, VnvdimmRecord]]]


class MapRow(NamedTuple):
    """One stretch of guest-physical space.

    start, end: half-open. kind: ``ram``, ``pmem``, ``broken``, ``mmio``, ``acpi``. spa: host address behind it, or
    None. dimms: ids of the DIMMs that hold it. what: file and offset, E820 type, or who answers. read_only: the guest
    cannot write there.
    """

    start: int
    end: int
    kind: str
    spa: int | None
    dimms: tuple[str, ...]
    what: str
    read_only: bool = False


ACPI = "ACPI tables"


class Running:
    """One domain.

    Args:
        domain: the hypervisor's side.
        record: the toolstack's side.
        hw: the machine, to name DIMMs.
    """

    def __init__(self, domain: Domain, record: DomainRecord, hw: Hardware) -> None:
        self.domain = domain
        self.record = record
        self._hw = hw
        self._last = Span(Spa(0), 0)  # the region that was asked for last: the extents of a file lie in one
        self._set: tuple[tuple[str, ...], int] = (), 0

    @property
    def domid(self) -> int:
        """Its id."""
        return self.domain.domid

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def memory(self) -> GuestMemory:
        """Its memory by guest-physical address."""
        return self.domain.memory

    def handover(self) -> Handover:
        """What its firmware left: RSDP and E820."""
        return read_handover(self.memory.read)

    def acpi_tables(self) -> list[Found]:
        """Every ACPI table, found from the RSDP on, as an operating system would.

        Raises:
            NotFound: the domain has no ACPI. FirmwareStopped: its firmware did not finish.
        """
        from xlpy.firmware.acpi.walk import walk

        rsdp = self.handover().rsdp
        if rsdp is None:
            raise NotFound(f"domain {self.name} has no ACPI tables", hint="set acpi = 1 in its configuration")
        return walk(lambda address, length: self.memory.read(Gpa(address), length), rsdp)

    def require_mapped(self, gpa: Gpa, length: int) -> None:
        """Constraint unless something answers at every byte of a range: a write elsewhere would be lost silently."""
        at = gpa
        for piece in self.domain.memory.spans(extents=False):
            if piece.span.start <= at < piece.span.end:
                at = piece.span.end
        if at < gpa + length:
            raise Constraint(
                f"domain {self.name} has nothing at {at:#x}, and {length} bytes at {gpa:#x} are to be written",
                hint=f"xlpy map {self.name} shows the memory map",
            )

    def map(self, *, extents: bool = True) -> list[MapRow]:
        """Its guest-physical map in address order.

        Args:
            extents: each extent of a vNVDIMM is a row; else each vNVDIMM is one, without host addresses and DIMMs.
        """
        rows = []
        firmware, board, backing = self._firmware_rows(), self._board(), self._pieces() if extents else None
        for piece in self.domain.memory.spans(extents=extents):
            start, end = piece.span.start, piece.span.end
            if piece.kind == "pmem" and backing is None:
                rows += self._whole(start, end)
            elif piece.kind == "pmem" and backing is not None and piece.spa is not None:
                rows += self._pmem(start, end, piece.spa, backing)
            elif piece.kind == "ram":
                rows += self._ram(start, end, piece.spa, [*firmware, *(board.memory if board else ())])
            else:
                rows.append(MapRow(start, end, piece.kind, piece.spa, (), piece.what))
        taken = [Span.between(row.start, row.end) for row in rows]
        for bar in board.bars if board else ():
            name = f"{board.name(bar.devfn)} {'ROM' if bar.number < 0 else f'BAR{bar.number}'}" if board else ""
            for left in _without(Span(bar.start, bar.size), taken):
                rows.append(MapRow(left.start, left.end, "mmio", None, (), name))
        return _joined(sorted(rows, key=lambda row: row.start))

    def _board(self) -> Chipset | None:
        """The board of a domain that has one."""
        from xlpy.hypervisor.chipset import Chipset

        return Chipset(self.domain) if self.domain.part("xen.chipset") else None

    def _firmware_rows(self) -> list[tuple[Span[Gpa], str]]:
        try:
            entries = self.handover().e820
        except FirmwareStopped:
            return []
        return [(entry.span, f"{ACPI} ({TYPE_NAMES[entry.type]})") for entry in entries if entry.type in (3, 4)]

    def _ram(self, start: int, end: int, spa: Spa | None, named: list[tuple[Span[Gpa], str]]) -> list[MapRow]:
        """A stretch of RAM, cut where firmware has put ACPI tables, and where it belongs to a device."""
        rows, at = [], start
        for span, name in sorted(named):
            first, last = max(span.start, at), min(span.end, end)
            if first >= last:
                continue
            if at < first:
                rows.append(self._row(at, first, "ram", start, spa, "RAM"))
            rows.append(self._row(first, last, "acpi" if name.startswith(ACPI) else "ram", start, spa, name))
            at = last
        if at < end:
            rows.append(self._row(at, end, "ram", start, spa, "RAM"))
        return rows

    @staticmethod
    def _row(start: int, end: int, kind: str, base: int, spa: Spa | None, what: str) -> MapRow:
        return MapRow(start, end, kind, None if spa is None else spa + start - base, (), what)

    def _pmem(self, start: int, end: int, spa: Spa, backing: _Pieces) -> list[MapRow]:
        """A stretch of persistent memory, cut at the ends of vNVDIMMs and of their extents."""
        rows = []
        starts, pieces = backing
        for gpa, host, length, device in pieces[max(bisect_right(starts, start) - 1, 0) : bisect_left(starts, end)]:
            first, last = max(gpa, start), min(gpa + length, end)
            if first < last:
                behind = host + first - gpa
                dimms, place = self._dimms(behind, last - first), _place(device, first)
                rows.append(MapRow(first, last, "pmem", behind, dimms, place, device.read_only))
        return rows or [MapRow(start, end, "pmem", spa, self._dimms(spa, end - start), "vNVDIMM")]

    def _whole(self, start: int, end: int) -> list[MapRow]:
        """A stretch of persistent memory, cut at the ends of vNVDIMMs only."""
        rows = []
        for device in sorted(self.record.vnvdimms, key=lambda device: device.gpa):
            first, last = max(device.gpa, start), min(device.gpa + device.size, end)
            if first < last:
                rows.append(MapRow(first, last, "pmem", None, (), device.path, device.read_only))
        return rows or [MapRow(start, end, "pmem", None, (), "vNVDIMM")]

    def _pieces(self) -> _Pieces:
        """The extents of all vNVDIMMs by guest address."""
        found = []
        for device in self.record.vnvdimms:
            gpa = device.gpa
            for host, length in device.extents:
                found.append((gpa, host, length, device))
                gpa += length
        found.sort(key=lambda piece: piece[0])
        return [piece[0] for piece in found], found

    def _dimms(self, spa: int, length: int) -> tuple[str, ...]:
        """The DIMMs of the interleave set, or the one DIMM when the stretch is within one line."""
        dimms, line = self._sets(spa)
        if length > line or len(dimms) < 2:
            return dimms
        return (self._hw.locate(Spa(spa))[0].id,)

    def _sets(self, spa: int) -> tuple[tuple[str, ...], int]:
        """The DIMMs of the interleave set at a host address, and the bytes of its line."""
        if spa not in self._last:
            region = self._hw.region_at(Spa(spa))
            self._last, self._set = region.span, (region.set.dimms, region.set.line)
        return self._set


def _without(span: Span[Gpa], taken: list[Span[int]]) -> list[Span[Gpa]]:
    """What is left of a stretch beside others."""
    left, at = [], span.start
    for other in sorted(taken):
        if other.end <= at or other.start >= span.end:
            continue
        if at < other.start:
            left.append(Span.between(at, Gpa(other.start)))
        at = Gpa(max(at, other.end))
    return [*left, Span.between(at, span.end)] if at < span.end else left


def _joined(rows: list[MapRow]) -> list[MapRow]:
    """Neighbours that say the same become one row, where the host memory behind them goes on too."""
    joined: list[MapRow] = []
    for row in rows:
        last = joined[-1] if joined else None
        if last and last.end == row.start and (last.kind, last.what, last.dimms) == (row.kind, row.what, row.dimms):
            goes_on = (last.spa is None) == (row.spa is None) and (
                last.spa is None or row.spa is None or last.spa + last.end - last.start == row.spa
            )
            if goes_on:
                joined[-1] = last._replace(end=row.end)
                continue
        joined.append(row)
    return joined


def _place(device: VnvdimmRecord, gpa: int) -> str:
    offset = gpa - device.gpa
    return f"{device.path}+{offset:#x}" if offset else device.path
