"""A stock configuration read back: which iomem entries are vNVDIMMs, their backings, and whether these still exist.

The NFIT in ``acpi_firmware`` says where the guest finds persistent memory; the iomem entries say which host frames are
there. Label areas are found by running the guest's own ``_LSR`` and looking which address it reads.
"""

from __future__ import annotations

from xlpy.addr import Gpa, Spa, Span
from xlpy.errors import FormatError, NotFound, XlpyError
from xlpy.rangemap import RangeMap
from xlpy.records import NamedTuple
from xlpy.toolstack.export.firmware import tables
from xlpy.toolstack.export.plan import own_iomem
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.export.machine import ExportMachine
    from xlpy.toolstack.export.plan import IoMemory

_PROBE = 8  # bytes of a label area that are asked for


class ImportedMemory(NamedTuple):
    """One piece of memory of a stock configuration.

    gpa, size: where the guest finds it. spans: host memory in guest order; empty where iomem leaves a gap.
    path, kind: the file or device behind it, None when none was found. exported: the manifest that holds it, or None.
    problems: why it is not as it must be.
    """

    gpa: Gpa
    size: int
    spans: tuple[Span[Spa], ...]
    path: str | None
    kind: str | None
    exported: str | None
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As ``import --json`` shows it."""
        return {**self._asdict(), "spans": [[span.start, span.size] for span in self.spans]}


class Imported(NamedTuple):
    """One vNVDIMM. handle, serial: of the NFIT. unarmed: writes may not last. labels: its label area, if it has one."""

    handle: int
    serial: int
    unarmed: bool
    data: ImportedMemory
    labels: ImportedMemory | None

    @property
    def problems(self) -> tuple[str, ...]:
        """Of both."""
        return self.data.problems + (self.labels.problems if self.labels else ())

    def to_json(self) -> dict[str, Any]:
        """As ``import --json`` shows it."""
        labels = None if self.labels is None else self.labels.to_json()
        return {**self._asdict(), "data": self.data.to_json(), "labels": labels, "valid": not self.problems}

    def entry(self) -> str | None:
        """The vnvdimm entry that it came from, as far as that can be told."""
        if self.data.path is None or (self.labels and self.labels.path is None):
            return None
        parts = [f"file={self.data.path}"]
        parts += [f"label_file={self.labels.path}"] if self.labels else []
        return ",".join([*parts, "unarmed=1"] if self.unarmed else parts)


def import_config(config: DomainConfig, machine: ExportMachine) -> list[Imported]:
    """The vNVDIMMs of a stock configuration.

    Raises:
        NotFound: it passes no NFIT, or its tables are not there. FormatError: tables or NFIT are malformed.
    """
    passed = tables(config)
    nfit = next((table for table in passed if table[:4] == b"NFIT"), None)
    if nfit is None:
        raise NotFound(
            f"{config.source}: no NFIT in acpi_firmware, so the guest has no vNVDIMM that it could find",
            code="XLPY-IMPORT-NFIT",
            hint="xlpy export makes such a configuration",
        )
    frames = guest_map(own_iomem(config))
    areas = label_areas([table for table in passed if table[:4] == b"SSDT"])
    return [_imported(machine, frames, *row, areas.get(row[0])) for row in dimms(nfit)]


def dimms(nfit: bytes) -> Iterator[tuple[int, int, bool, Span[Gpa]]]:
    """Handle, serial, unarmed and range of each persistent range with a DIMM; FormatError: malformed."""
    from xlpy.firmware.acpi.nfit import NOT_ARMED, PERSISTENT_MEMORY, ControlRegion, RegionMap, SpaRange
    from xlpy.firmware.acpi.nfit_format import parse_nfit

    structures = parse_nfit(nfit)
    ranges = {one.spa_index: one for one in structures if isinstance(one, SpaRange)}
    controls = {one.control_index: one for one in structures if isinstance(one, ControlRegion)}
    for one in structures:
        if not isinstance(one, RegionMap):
            continue
        found = ranges.get(one.spa_index)
        if found is None or found.range_type != PERSISTENT_MEMORY:
            continue
        control = controls.get(one.control_index)
        try:
            span: Span[Gpa] = Span(Gpa(found.base), found.length)
        except ValueError as error:
            raise FormatError(f"NFIT: {error}") from None
        yield one.handle, control.serial_number if control else 0, bool(one.flags & NOT_ARMED), span


class _Recorder:
    """Region access that remembers the lowest address of memory that was read."""

    def __init__(self) -> None:
        self.lowest: int | None = None

    def read(self, space: int, address: int, width: int) -> int:
        del width
        if space == 0:
            self.lowest = address if self.lowest is None else min(address, self.lowest)
        return 0

    def write(self, space: int, address: int, width: int, value: int) -> None:
        """Nothing is there."""


def label_areas(ssdts: Sequence[bytes]) -> dict[int, Span[Gpa]]:
    """Guest memory of the label area of each DIMM, by handle, as the AML reads it. What fails has none."""
    from xlpy.firmware.acpi.eval import AmlError, load
    from xlpy.firmware.acpi.header import build_table

    found: dict[int, Span[Gpa]] = {}
    recorder = _Recorder()
    try:
        vm = load([build_table("DSDT", b"", 2), *ssdts], recorder, strict=False)
        names = [entry.path for entry in _devices(vm.namespace())]
    except (AmlError, XlpyError):
        return found
    for path in names:
        recorder.lowest = None
        try:
            handle, information = vm.evaluate(f"{path}._ADR"), vm.evaluate(f"{path}._LSI")
            vm.evaluate(f"{path}._LSR", 0, _PROBE)
            if recorder.lowest is not None and isinstance(information, list) and isinstance(handle, int):
                found[handle] = Span(Gpa(recorder.lowest), int(information[1]))
        except (AmlError, XlpyError, ValueError, IndexError, TypeError):
            continue
    return found


def _devices(entry: Any) -> Iterator[Any]:  # noqa: ANN401 - an Entry
    for child in entry.children:
        if any(one.path.endswith("._LSI") for one in child.children):
            yield child
        yield from _devices(child)


def _imported(
    machine: ExportMachine,
    frames: RangeMap[int],
    handle: int,
    serial: int,
    unarmed: bool,
    span: Span[Gpa],
    labels: Span[Gpa] | None,
) -> Imported:
    area = None if labels is None else _found(machine, frames, labels)
    return Imported(handle, serial, unarmed, _found(machine, frames, span), area)


def _found(machine: ExportMachine, frames: RangeMap[int], span: Span[Gpa]) -> ImportedMemory:
    gaps = frames.gaps(span.start, span.end)
    if gaps:
        text = f"no iomem entry maps guest address {gaps[0][0]:#x}: the guest finds nothing there"
        return ImportedMemory(span.start, span.size, (), None, None, None, (text,))
    spans = behind(frames, span)
    exported, path, kind = _exported(machine, spans)
    problems: list[str] = []
    if path is None:
        found = machine.locate(spans)
        path, kind = found or (None, None)
        if path is None:
            problems.append("no file or device of this machine lies there: it moved, or belongs to another machine")
        elif exported is None:
            risk = "the file system may move it" if kind == "file" else "anything in Dom0 may use it"
            problems.append(f"no export holds it: {risk} at any time")
    else:
        problems += _validity(machine, path, spans)
    return ImportedMemory(span.start, span.size, spans, path, kind, exported, tuple(problems))


def _exported(machine: ExportMachine, spans: Sequence[Span[Spa]]) -> tuple[str | None, str | None, str | None]:
    """The manifest, path and kind of the exported area that is exactly this memory."""
    from xlpy.toolstack.export.manifest import Manifest

    for path, record in machine.register.items():
        for area in Manifest.from_json(record, path).areas:
            if area.spans == tuple(spans):
                return path, area.path, area.kind
    return None, None, None


def _validity(machine: ExportMachine, path: str, spans: Sequence[Span[Spa]]) -> Iterator[str]:
    try:
        found = machine.resolve([path])[0]
    except XlpyError as error:
        yield str(error)
        return
    if found.spans != tuple(spans):
        yield f"{path} is not there any more: do not start the domain"


def guest_map(iomem: Iterable[IoMemory]) -> RangeMap[int]:
    """Which host address less guest address lies behind each guest address. Later entries win, as in Xen."""
    found: RangeMap[int] = RangeMap()
    for one in iomem:
        if one.guest.size:
            found.remove(one.guest.start, one.guest.end)
            found.add(one.guest.start, one.guest.end, one.host.start - one.guest.start)
    return found


def behind(frames: RangeMap[int], span: Span[Gpa]) -> tuple[Span[Spa], ...]:
    """The host memory behind a guest range that is mapped without a gap; neighbours are joined."""
    pieces: list[list[int]] = []
    for run in frames.overlapping(span.start, span.end):
        first, end = max(run.start, span.start), min(run.end, span.end)
        start = first + run.value
        if pieces and sum(pieces[-1]) == start:
            pieces[-1][1] += end - first
        else:
            pieces.append([start, end - first])
    return tuple(Span(Spa(start), size) for start, size in pieces)


def design_config(config: DomainConfig, found: Sequence[Imported]) -> str:
    """The configuration with ``vnvdimm`` again, in place of the entries that make its vNVDIMMs.

    Raises:
        NotFound: what is behind a vNVDIMM is not known.
    """
    from xlpy.toolstack.config.xlcfg.rewrite import comment_out
    from xlpy.toolstack.export.text import quoted

    entries = [one.entry() for one in found]
    if None in entries:
        raise NotFound(
            f"{config.source}: the file behind a vNVDIMM is not known on this machine",
            code="XLPY-IMPORT-FILE",
            hint="run it where the export was made, as root",
        )
    guest = [Span(area.gpa, area.size) for one in found for area in (one.data, one.labels) if area]
    own = [
        item
        for item, entry in zip(config.settings.strings("iomem"), own_iomem(config), strict=True)
        if not any(span.overlaps(entry.guest) for span in guest)
    ]
    text = comment_out(config.text, {"vnvdimm", "iomem", "acpi_firmware"})
    lines = ["vnvdimm = [\n", *(f"    {quoted(str(entry))},\n" for entry in entries), "]\n"]
    if own:
        lines += ["iomem = [\n", *(f"    {quoted(item)},\n" for item in own), "]\n"]
    others = [table[:4].decode("latin-1") for table in tables(config) if not _ours(table)]
    if others:
        lines.append(f"# acpi_firmware had {', '.join(others)} as well: {quoted(config.acpi_firmware or '')}\n")
    return text + "".join(lines)


def _ours(table: bytes) -> bool:
    return table[:4] == b"NFIT" or (table[:4] == b"SSDT" and b"ACPI0012" in table)
