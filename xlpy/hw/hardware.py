"""The powered machine: physical addresses with bytes behind them.

Everything lies in ``<root>/hw``: ``machine.json`` (the description), ``ram``, ``media/<set>`` (one sparse file for each
region, whose offset is the offset in the region), ``labels/<dimm>``, ``poison.json``, and what was injected:
``injected.json`` (errors) and ``health.json``. The directory is made under another name and renamed when it is
complete, and renamed before it is removed, so that it is whole whenever it exists.
"""

from __future__ import annotations

import os

from xlpy.addr import Dpa, Spa, Span
from xlpy.errors import Constraint, NotFound
from xlpy.functions import cached_property
from xlpy.hw import memmap, power
from xlpy.hw.media import Media, exists, trouble
from xlpy.hw.poison import PoisonList
from xlpy.hw.region import Region
from xlpy.jsontext import encode
from xlpy.private import private
from xlpy.rangemap import RangeMap
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xlpy.hw.health import HealthFile, Thresholds
    from xlpy.hw.labels import LabelArea
    from xlpy.hw.machine import DimmSpec, MachineSpec
    from xlpy.hw.undo import Undo


PLUGGED = "plugged"  # there once DIMMs were plugged in or out: machine.json counts, and not machine.yaml


class Hardware:
    """One machine under one root directory. Files are opened and mapped when they are first used.

    Addresses without RAM or persistent memory behind them are an error, with one exception: writes to a flush hint
    address drain a queue that is always empty here.
    """

    def __init__(self, root: str | os.PathLike[str], spec: MachineSpec) -> None:
        """Use ``create`` or ``open``."""
        self._root = os.fspath(root)
        home = os.path.join(root, "hw")
        self.described = spec
        self.spec = spec = self._as_it_is()
        self.regions = tuple(
            Region(one.name, i, Span(one.base, one.size), one, os.path.join(home, "media", one.name))
            for i, one in enumerate(spec.sets)
        )
        self.poison = PoisonList(os.path.join(home, "poison.json"), self._keep)
        self.injected = PoisonList(os.path.join(home, "injected.json"), self._keep)
        self._dimms = {dimm.id: dimm for dimm in spec.dimms}
        ram = Media(os.path.join(home, "ram"), spec.ram)
        self._backings: RangeMap[tuple[Media, int]] = RangeMap()  # value: the file, and what its offset 0 would be
        offset = 0
        for span in memmap.ram_spans(spec):
            self._backings.add(span.start, span.end, (ram, span.start - offset))
            offset += span.size
        for region in self.regions:
            media = Media(region.file, region.span.size)
            self._backings.add(region.span.start, region.span.end, (media, region.span.start))

    @classmethod
    def create(cls, root: Path, spec: MachineSpec) -> Hardware:
        """Build the machine under ``root`` (made when missing), all memory zero, and switch it on.

        Raises:
            Conflict: there is a machine already.
            Constraint: the file system cannot hold the files.
        """
        from xlpy.hw.assembly import assemble

        assemble(root, spec)
        return cls(root, spec)

    @classmethod
    def open(cls, root: str | os.PathLike[str], spec: MachineSpec | None = None) -> Hardware:
        """The machine under ``root``.

        Args:
            root: the host's state directory.
            spec: its description, when the caller has it at hand; otherwise it is read from ``machine.json``.

        Raises:
            NotFound: there is none.
            StateError: its description is damaged.
        """
        if spec is None or not exists(os.path.join(root, "hw")):
            from xlpy.hw.assembly import described

            spec = described(root)
        return cls(root, spec)

    @staticmethod
    def remove(root: Path) -> None:
        """Destroy the machine under ``root`` and all it remembers; no error when there is none."""
        from xlpy.hw.assembly import scrap

        scrap(root)

    @cached_property
    def _labels(self) -> dict[str, LabelArea]:
        from xlpy.hw.labels import LabelArea

        home = self.beside("hw", "labels")
        return {dimm.id: LabelArea(dimm.id, os.path.join(home, dimm.id), dimm.label_size) for dimm in self.spec.dimms}

    @cached_property
    def undo(self) -> Undo:
        """The previous contents of its files, for changes that may be undone later."""
        from xlpy.hw.undo import Undo

        return Undo(self.beside("hw"))

    def _keep(self, name: str) -> None:
        self.undo.keep(name)

    @cached_property
    def root(self) -> Path:
        """The host's state directory, which it lies in."""
        from pathlib import Path

        return Path(self._root)

    def beside(self, *names: str) -> str:
        """The path of another part of the host's state: a name in the same directory."""
        return os.path.join(self._root, *names)

    # bytes by address

    def _pieces(self, spa: Spa, length: int) -> Iterator[tuple[Media, int, int]]:
        """(file, offset, length) of the bytes behind a range."""
        end = spa + length
        while spa < end:
            run = self._backings.at(spa)
            if run is None:
                raise Constraint(
                    f"no memory at host address {spa:#x}",
                    code="XLPY-HW-NO-MEMORY",
                    hint="`xlpy host show` lists where RAM and persistent memory are",
                )
            step = min(end, run.end) - spa
            media, origin = run.value
            yield media, spa - origin, step
            spa = Spa(spa + step)

    def read(self, spa: Spa, length: int) -> bytes:
        """``length`` bytes from ``spa``; Constraint where there is no memory. Poison is the reader's business."""
        parts = [media.read(offset, step) for media, offset, step in list(self._pieces(spa, length))]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, spa: Spa, data: bytes | bytearray | memoryview) -> None:
        """Store ``data`` from ``spa`` on; Constraint where there is no memory, and then nothing is stored."""
        rest = memoryview(data)
        if self._is_hint(spa):
            return
        for media, offset, step in list(self._pieces(spa, len(rest))):
            media.write(offset, rest[:step])
            rest = rest[step:]

    def keep(self, span: Span[Spa]) -> None:
        """What a span holds is about to be overwritten, and comes back when the change does not stay."""
        home = self.beside("hw")
        for media, offset, step in list(self._pieces(span.start, span.size)):
            name = os.path.relpath(media.path, home)
            for at, length, solid in media.runs(offset, step):
                self.undo.keep_range(name, at, media.read(at, length) if solid else length)

    def zero(self, span: Span[Spa]) -> None:
        """Make ``span`` zero and give its blocks back to the file system; costs by extent, not by size."""
        for media, offset, step in list(self._pieces(span.start, span.size)):
            media.zero(offset, step)

    def view(self, span: Span[Spa]) -> memoryview:
        """The bytes of ``span`` themselves, writable; they get blocks on the disk.

        Raises:
            Constraint: not one file holds them all, or no space left on the device.
        """
        media, offset = self._piece(span)
        media.fill(offset, span.size)
        return media.view()[offset : offset + span.size]

    def mapping(self, span: Span[Spa]) -> memoryview:
        """As ``view``, but only what is ``solid`` may be touched."""
        media, offset = self._piece(span)
        return media.view()[offset : offset + span.size]

    def solid(self, spa: Spa, length: int) -> bool:
        """Whether a range in one file has blocks on the disk throughout."""
        media, offset = self._piece(Span(spa, length))
        return media.solid(offset, length)

    def _piece(self, span: Span[Spa]) -> tuple[Media, int]:
        pieces = list(self._pieces(span.start, span.size))
        if len(pieces) != 1:
            raise Constraint(f"{span} is not in one piece, it can be read but not viewed")
        media, offset, _ = pieces[0]
        return media, offset

    def backing(self, spa: Spa) -> tuple[Path, int]:
        """(file, offset) of the byte at ``spa``."""
        from pathlib import Path

        path, offset = self.locate_file(spa)
        return Path(path), offset

    def locate_file(self, spa: Spa) -> tuple[str, int]:
        """As ``backing``, with the path as text."""
        media, offset, _ = next(self._pieces(spa, 1))
        return os.fspath(media.path), offset

    def has_memory(self, span: Span[Spa]) -> bool:
        """Whether RAM or persistent memory is behind every byte of ``span``."""
        return self._backings.covers(span.start, span.end)

    # DIMMs

    def region_at(self, spa: Spa) -> Region:
        """The region that contains ``spa``; NotFound when it is not persistent memory."""
        for region in self.regions:
            if spa in region.span:
                return region
        raise NotFound(f"host address {spa:#x} is not persistent memory")

    def dimm(self, name: str) -> DimmSpec:
        """The DIMM with this id."""
        if name not in self._dimms:
            raise NotFound(f"no DIMM {name!r}", hint=f"there are: {', '.join(self._dimms) or 'none'}")
        return self._dimms[name]

    def dimm_by_handle(self, handle: int) -> DimmSpec:
        """The DIMM with this NFIT device handle; NotFound when there is none."""
        for dimm in self.spec.dimms:
            if dimm.handle == handle:
                return dimm
        raise NotFound(f"no DIMM has the handle {handle:#x}", hint="xlpy host show lists handles")

    def locate(self, spa: Spa) -> tuple[DimmSpec, Dpa]:
        """The DIMM that holds the byte at ``spa``, and where in it; NotFound outside persistent memory."""
        region = self.region_at(spa)
        if not region.set.dimms:
            raise NotFound(f"host address {spa:#x} is on no DIMM that firmware describes")
        way, offset = region.table.to_device(spa - region.span.start)
        name = region.set.dimms[way]
        return self._dimms[name], Dpa(region.set.part(name).start + offset)

    def spa_of(self, dimm: str, dpa: Dpa) -> Spa:
        """The host address of a DIMM's byte.

        Raises:
            NotFound: no such DIMM.
            Constraint: beyond its capacity, or the DIMM belongs to no set.
        """
        spec = self.dimm(dimm)
        if not 0 <= dpa < spec.capacity:
            raise Constraint(f"{dpa:#x} lies beyond the capacity of {dimm}, {spec.capacity:#x} bytes")
        for region in self.regions:
            if dimm in region.set.dimms and dpa in (part := region.set.part(dimm)):
                offset = region.table.to_region(region.set.dimms.index(dimm), dpa - part.start)
                return Spa(region.span.start + offset)
        raise Constraint(f"{dimm}: {dpa:#x} belongs to no interleave set, it has no host address")

    def describe_anew(self, fields: dict[str, Any]) -> None:
        """Something was plugged in or out: keep the description beside the media. It is not ``machine.yaml``'s now."""
        home = self.beside("hw")
        for name, text in (("machine.json", encode(fields)), (PLUGGED, "")):
            self.undo.keep(name)
            try:
                with open(os.path.join(home, f"{name}.new"), "w", encoding="utf-8", opener=private) as file:
                    file.write(text)
                os.replace(os.path.join(home, f"{name}.new"), os.path.join(home, name))
            except OSError as error:
                raise trouble(os.path.join(home, name), error) from error

    def clear_poison(self, span: Span[Spa]) -> int:
        """Clear every bad line that overlaps ``span``, as a write of the whole line does.

        Lines of a set that lacks a DIMM stay bad: there is no memory to write to.

        Returns:
            how many bytes were poisoned and no longer are.
        """
        if any(region.set.out and span.overlaps(region.span) for region in self.regions):
            return 0
        self.injected.clear(span)
        return self.poison.clear(span)

    def inject_health(self, dimm: str, **values: float | str | None) -> None:
        """Make a DIMM report other values than its own.

        Args:
            dimm: its id; NotFound when there is none.
            values: fields of ``HealthSpec``; None ends an injection.
        """
        self._health.inject(self.dimm(dimm).id, **values)
        self.reread_health()

    def thresholds(self, dimm: str) -> Thresholds:
        """The values beyond which a DIMM raises an alarm. NotFound: no such DIMM."""
        return self._health.thresholds(self.dimm(dimm).id)

    def set_thresholds(self, dimm: str, thresholds: Thresholds) -> None:
        """Replace them. NotFound: no such DIMM."""
        self._health.set_thresholds(self.dimm(dimm).id, thresholds)

    @cached_property
    def _health(self) -> HealthFile:
        from xlpy.hw.health import HealthFile

        return HealthFile(self.beside("hw"), self.undo)

    def _as_it_is(self) -> MachineSpec:
        """The description with the health that its DIMMs have by now."""
        spec = power.worn(self._root, self.described)
        return self._health.over(spec) if os.path.exists(self.beside(power.HEALTH)) else spec

    def reread_health(self) -> None:
        """Another command may have changed the health of the DIMMs."""
        self.spec = self._as_it_is()
        self._dimms = {dimm.id: dimm for dimm in self.spec.dimms}

    def reread(self) -> None:
        """Files were restored: read them again."""
        self.poison.reread()
        self.injected.reread()
        self.reread_health()

    def labels_read(self, dimm: str, offset: int, length: int) -> bytes:
        """Bytes of a DIMM's label area; NotFound without one, Constraint when the range leaves it."""
        return self._labels[self.dimm(dimm).id].read(offset, length)

    def labels_write(self, dimm: str, offset: int, data: bytes) -> None:
        """Store into a DIMM's label area, all of it until the change ends; errors as ``labels_read``."""
        self.undo.keep_range(f"labels/{dimm}", offset, self.labels_read(dimm, offset, len(data)))
        self._labels[self.dimm(dimm).id].write(offset, data)

    # the rest of the silicon

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """(EAX, EBX, ECX, EDX) of the CPUID instruction."""
        from xlpy.hw.cpu import cpuid

        return cpuid(self.spec.cpu, leaf, subleaf)

    def memory_map(self) -> list[memmap.MemoryMapEntry]:
        """The host's E820: (start, size, type), sorted."""
        return memmap.host_e820(self.spec)

    def flush_hints(self, dimm: str) -> tuple[Spa, ...]:
        """The flush hint addresses of a DIMM, one cache line each."""
        spec = self.dimm(dimm)
        page = memmap.FLUSH_HINTS + (spec.number - 1) * 4096
        return tuple(Spa(page + i * 64) for i in range(spec.flush_hints))

    def _is_hint(self, spa: Spa) -> bool:
        page, line = divmod(spa - memmap.FLUSH_HINTS, 4096)
        return any(dimm.number == page + 1 and line // 64 < dimm.flush_hints for dimm in self.spec.dimms)

    def sync(self) -> None:
        """Write all memory and labels that were used to the disk."""
        for part in self._files():
            part.sync()

    def close(self) -> None:
        """Let go of all files; the machine may be used again."""
        for part in self._files():
            part.close()

    def _files(self) -> list[Media | LabelArea]:
        labels: dict[str, LabelArea] = self.__dict__.get("_labels", {})
        return [*(run.value[0] for run in self._backings), *labels.values()]
