"""What an operating system would find: tables, memory map, NVDIMMs, labels, and the pmem devices that result.

The walk begins at the RSDP and uses only guest memory and the guest's AML. Everything is checked against everything
else; what does not fit is a problem, in words.
"""

from __future__ import annotations

from xlpy.addr import Gpa, format_size
from xlpy.errors import FormatError
from xlpy.firmware.acpi.eval import AmlError
from xlpy.firmware.e820 import E820_PMEM, TYPE_NAMES
from xlpy.guest.devices import PmemDevice, devices
from xlpy.guest.machine import interpreter
from xlpy.guest.nvdimm import ProbedNvdimm, ask
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.driver import Bus, RegionDesc
    from xlpy.firmware.acpi.eval import Interpreter
    from xlpy.firmware.acpi.walk import Found
    from xlpy.firmware.e820 import E820Entry
    from xlpy.toolstack.domain.running import Running

ROOT_HID = "ACPI0012"
_NO_HEADER = ("RSDP", "FACS")


class ProbeReport(NamedTuple):
    """All findings. nvdimms: by handle. problems: empty when nothing is wrong; warnings: what Linux makes less of."""

    tables: list[Found]
    e820: list[E820Entry]
    bus: Bus | None
    nvdimms: dict[int, ProbedNvdimm]
    pmem: list[PmemDevice]
    problems: list[str]

    @property
    def warnings(self) -> list[str]:
        """Regions of a size that Linux cannot use again."""
        from xlpy.toolstack.backing.usable import odd

        areas = {dimm.dev: self.nvdimms.get(dimm.handle) for dimm in (self.bus.dimms if self.bus else ())}
        found = []
        for region in self.bus.regions if self.bus else ():
            labelled = any((one := areas.get(m.dimm)) is not None and one.label_size for m in region.mappings)
            told = odd(region.span.size, labelled)
            if told:
                found.append(f"{region.dev}: {told[0]}")
        return found

    @property
    def seeds(self) -> dict[int, str]:
        """The namespace that Linux keeps ready for the next one to be made, by region; none in one without labels."""
        labelled = {dimm.path for dimm in self.nvdimms.values() if dimm.area and dimm.area.current is not None}
        dimms = {one.dev: self.nvdimms.get(one.handle) for one in (self.bus.dimms if self.bus else ())}
        found = {}
        for region in self.bus.regions if self.bus else ():
            members = [dimms.get(mapping.dimm) for mapping in region.mappings]
            if any(member and member.path in labelled for member in members):
                count = sum(one.namespace.startswith(f"namespace{region.number}.") for one in self.pmem)
                found[region.number] = f"namespace{region.number}.{count}"
        return found

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "tables": [{"signature": t.signature, "address": t.address, "length": len(t.data)} for t in self.tables],
            "e820": [{"start": e.start, "size": e.size, "type": TYPE_NAMES.get(e.type, e.type)} for e in self.e820],
            "dimms": [
                {
                    "dev": dimm.dev,
                    "id": dimm.unique,
                    "handle": dimm.handle,
                    "flags": list(dimm.flags),
                    **_dimm_json(self.nvdimms.get(dimm.handle)),
                }
                for dimm in (self.bus.dimms if self.bus else ())
            ],
            "regions": [
                {
                    "dev": region.dev,
                    "start": region.span.start,
                    "size": region.span.size,
                    "mappings": [m.dimm for m in region.mappings],
                    "seed": self.seeds.get(region.number),
                }
                for region in (self.bus.regions if self.bus else ())
            ],
            "pmem": [device._asdict() for device in self.pmem],
            "warnings": self.warnings,
            "problems": self.problems,
        }


def _dimm_json(dimm: ProbedNvdimm | None) -> dict[str, Any]:
    if dimm is None:
        return {"path": None}
    labels = (
        None if dimm.area is None else {"initialised": dimm.area.current is not None, "used": len(dimm.area.labels)}
    )
    return {
        "path": dimm.path,
        "functions": dimm.functions,
        "label_size": dimm.label_size,
        "max_transfer": dimm.max_transfer,
        "labels": labels,
        "health": dimm.health,
    }


def probe(running: Running) -> ProbeReport:
    """Inspect a domain as its operating system would.

    Raises:
        XlpyError: there is nothing to look at: no firmware has run, or it left no RSDP.
    """
    from xlpy.firmware.acpi.walk import walk

    handover = running.handover()
    if handover.rsdp is None:
        return ProbeReport([], handover.e820, None, {}, [], [])
    faults: list[FormatError] = []

    def read(address: int, length: int) -> bytes:
        return running.memory.read(Gpa(address), length)

    tables = walk(read, handover.rsdp, problems=faults)
    problems = [str(fault) for fault in faults]
    problems += [
        f"{table.signature} at {table.address:#x}: bytes sum to {sum(table.data) & 0xFF:#04x}, 0 is required"
        for table in tables
        if table.signature not in _NO_HEADER and sum(table.data) & 0xFF
    ]
    aml = _load(running, tables, problems)
    bus, structures, root = _nfit(tables, aml, problems)
    nvdimms = _nvdimms(aml, root, bus, problems) if aml and bus else {}
    nodes = _nodes(tables, structures)
    pmem: list[PmemDevice] = []
    for region in bus.regions if bus else ():
        problems += _misplaced(running, region, handover.e820)
        found = devices(running, region, bus, nvdimms, structures, problems)
        pmem += [one._replace(target_node=nodes.get(region.number)) for one in found]
    return ProbeReport(tables, handover.e820, bus, nvdimms, pmem, problems)


def _load(running: Running, tables: list[Found], problems: list[str]) -> Interpreter | None:
    """The guest's AML, every method of which can be compiled.

    The tables that hvmloader and the device model carry are known to be sound: tests compile them, with iasl too. That
    holds while nothing but the device model, whose names lie below a device of its own, adds a table from which names
    could be taken.
    """
    from xlpy.devicemodel.nvdr import shipped
    from xlpy.firmware.hvmloader.compiled import carried

    given = {table.data for table in tables if table.signature in ("DSDT", "SSDT")}
    known = set(filter(carried, given))
    others = given - known
    sound = known | set(filter(shipped, others))
    if len(others) > 1:
        known, sound = set(), set()
    try:
        aml = interpreter(running, sound=sound, deferred=known)
        problems += [str(error) for error in aml.compile_all()]
    except AmlError as error:
        problems.append(str(error))
        return None
    return aml


def _nfit(
    tables: list[Found], aml: Interpreter | None, problems: list[str]
) -> tuple[Bus | None, list[Any], str | None]:
    """The NFIT, or what ``_FIT`` says instead if it says anything, as Linux takes it; and the root device."""
    from xlpy.dom0.nvdimm.probe import interpret
    from xlpy.firmware.acpi.nfit_format import parse_nfit, parse_structures

    try:
        structures, revision = [], 1
        for table in tables:
            if table.signature == "NFIT":
                structures, revision = parse_nfit(table.data), table.data[8]
        root = _root(aml) if aml else None
        if aml and root and aml.exists(f"{root}._FIT"):
            fit = aml.evaluate(f"{root}._FIT")
            if isinstance(fit, bytes) and fit:
                renewed = parse_structures(fit)
                if [s for s in structures if s not in renewed]:
                    problems.append(f"{root}._FIT lacks structures of the NFIT: Linux refuses that")
                structures = renewed
        if not structures:
            return None, [], root
        bus = interpret(structures, revision)
    except (FormatError, AmlError) as error:
        problems.append(f"NFIT: {error}")
        return None, [], None
    problems += bus.problems
    return bus, structures, root


def _nodes(tables: list[Found], structures: list[Any]) -> dict[int, int | None]:
    """The node of each region, by its number: regions are numbered as their ranges stand in the table."""
    from xlpy.firmware.acpi.nfit import PERSISTENT_MEMORY, SpaRange
    from xlpy.guest.numa import Nodes

    nodes = Nodes(next((table.data for table in tables if table.signature == "SRAT"), b""))
    ranges = [one for one in structures if isinstance(one, SpaRange) and one.range_type == PERSISTENT_MEMORY]
    return {number: nodes.of(one) for number, one in enumerate(ranges)}


def _root(aml: Interpreter) -> str | None:
    """The NVDIMM root device, by its hardware id."""
    for path in aml.devices(ROOT_HID):
        if aml.exists(f"{path}._HID") and aml.evaluate(f"{path}._HID") == ROOT_HID:
            return path
    return None


def _nvdimms(aml: Interpreter, root: str | None, bus: Bus, problems: list[str]) -> dict[int, ProbedNvdimm]:
    """Each DIMM of the NFIT, through the child of the root device whose ``_ADR`` is its handle."""
    if root is None:
        problems.append(f"no ACPI device has _HID {ROOT_HID}, so no NVDIMM driver will load")
        return {}
    by_handle = {
        aml.evaluate(f"{path}._ADR"): path
        for path in aml.devices(root.rpartition(".")[2])
        if path.startswith(f"{root}.") and aml.exists(f"{path}._ADR")
    }
    found = {}
    for dimm in bus.dimms:
        path = by_handle.get(dimm.handle)
        if path is None:
            problems.append(f"{dimm.dev}: no device below {root} has _ADR {dimm.handle:#x}")
            continue
        found[dimm.handle] = ask(aml, path)
        problems += found[dimm.handle].problems
    return found


def _misplaced(running: Running, region: RegionDesc, e820: list[E820Entry]) -> list[str]:
    """What is wrong with a region's place: it must be persistent memory in the E820, and really be there."""
    start, end = int(region.span.start), int(region.span.end)
    found = []
    for entry in e820:
        if max(entry.start, start) < min(entry.end, end) and entry.type != E820_PMEM:
            kind = TYPE_NAMES.get(entry.type, str(entry.type))
            found.append(f"{region.dev} {region.span}: the E820 has {kind} at {entry.start:#x}")
    backed = sum(
        min(piece.span.end, end) - max(piece.span.start, start)
        for piece in running.domain.memory.spans(extents=False)
        if piece.kind in ("pmem", "broken") and max(piece.span.start, start) < min(piece.span.end, end)
    )
    if backed != end - start:
        found.append(f"{region.dev} {region.span}: only {format_size(backed)} of it is mapped")
    return found


def summary(report: ProbeReport) -> list[str]:
    """The report for a person, line by line."""
    lines = [f"{len(report.tables)} ACPI tables, {len(report.e820)} memory map entries"]
    for dimm in report.bus.dimms if report.bus else ():
        seen = report.nvdimms.get(dimm.handle)
        if seen is None:
            lines.append(f"{dimm.dev}: handle {dimm.handle:#x}, id {dimm.unique}, no _DSM")
            continue
        labels = "no labels"
        if seen.label_size:
            state = (
                f"{len(seen.area.labels)} labels" if seen.area and seen.area.current is not None else "not initialised"
            )
            labels = f"{format_size(seen.label_size)} label area, {state}"
        health = seen.health or "not told"
        lines.append(f"{dimm.dev}: handle {dimm.handle:#x}, id {dimm.unique}, {seen.path}, {labels}, health {health}")
    for region in report.bus.regions if report.bus else ():
        mapped = "+".join(m.dimm for m in region.mappings)
        lines.append(f"{region.dev}: {format_size(region.span.size)} at {region.span.start:#x} on {mapped}")
    for device in report.pmem:
        named = f", named {device.name}" if device.name else ""
        node = "" if device.target_node is None else f", node {device.target_node}"
        lines.append(f"/dev/{device.dev}: {device.mode}, {format_size(device.size)} at {device.start:#x}{node}{named}")
    lines += [f"warning: {warning}" for warning in report.warnings]
    return lines + [f"problem: {problem}" for problem in report.problems]
