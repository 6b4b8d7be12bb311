"""From the text of a machine description to ``MachineSpec``, with every problem in it noted.

Namespaces and file systems are read by ``xlpy.hw.contents``; what no single section can know (addresses that overlap,
things named twice) is checked here. The size of a namespace's reserved area is Dom0's business and not checked.
"""

from __future__ import annotations

import re
from zlib import crc32

from xlpy.addr import GIB, LIMIT, MIB, PAGE, TIB, Dpa, Spa, Span, format_size
from xlpy.errors import ConfigError
from xlpy.hw import memmap
from xlpy.hw.contents import read_namespace, read_uses
from xlpy.hw.cpu import WITHDRAWN
from xlpy.hw.fields import U16, U32, Problems, Section
from xlpy.hw.keys import plain
from xlpy.hw.machine import LABEL_MIN, CpuSpec, DimmSpec, HealthSpec, MachineSpec, NamespaceSpec, SetSpec
from xlpy.hw.strict_yaml import YamlRefused, load
from xlpy.typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

MAX_DIMMS = 256
MAX_CONTROLLERS = 16  # eight sockets with two each
MAX_WAYS = 16
MAX_DOMAIN = 63
CAPACITY_MAX = 1024 * TIB
MAX_HANDLE = 0x0FFFFFFF  # bits 31:28 are reserved
INTERFACES = (0x0101, 0x0301)
PERSISTENCE = ("none", "memory_controller", "cpu_cache")
LABELS = ("1.1", "1.2")  # formats
PMEM_LOWEST = 16 * MIB
U64 = (1 << 64) - 1
DEFAULTS = DimmSpec("", 0, 0, 0)


def default_machine_text() -> str:
    """The description of the machine that is made when none is given."""
    from pathlib import Path

    return Path(__file__).with_name("default.yaml").read_text(encoding="utf-8")


def parse_machine(text: str, source: str = "machine.yaml") -> MachineSpec:
    """Read a machine description.

    Args:
        text: YAML; ``default_machine_text`` is an example.
        source: how to call the text in messages.

    Raises:
        ConfigError: ``details`` lists every problem, each with its line.
    """
    problems = Problems(source)
    spec = None
    try:
        root, faults = load(text)
    except YamlRefused as fault:
        problems.add(fault.line, fault.text)
    else:
        for duplicate in faults:
            problems.add(duplicate.line, duplicate.text)
        spec = _machine(Section(root, "", problems))
    report = problems.report()
    if report or spec is None:
        raise ConfigError(
            f"{source}: {len(report)} problem{'s' * (len(report) != 1)} in the machine description",
            details=report,
            hint="a small one: {dimms: [{id: d0, capacity: 1G}], sets: [{name: s0, dimms: [d0]}]}",
        )
    return spec


def _machine(top: Section) -> MachineSpec:
    name = top.name("name", "machine")
    ram = top.size("ram", 16 * GIB, least=memmap.RAM_MIN, unit=PAGE)
    cpu = _cpu(top.section("cpu"))
    persistence = top.word("persistence", "memory_controller", choices=PERSISTENCE)
    dimm_sections = top.sections("dimms", MAX_DIMMS)
    dimms = [_dimm(section, name, i) for i, section in enumerate(dimm_sections)]
    dimms = _numbered(dimm_sections, dimms)
    by_id = {dimm.id: dimm for dimm in dimms if dimm.id}
    set_sections = top.sections("sets")
    rest = {dimm.id: Span(Dpa(0), dimm.capacity) for dimm in dimms}
    drafts = [_set(section, by_id, rest) for section in set_sections]
    _unique(dimm_sections, dimms, lambda dimm: dimm.id, "id", "id {}")
    _unique(dimm_sections, dimms, lambda dimm: dimm.handle, "handle", "handle {:#x}")
    _unique(dimm_sections, dimms, lambda dimm: dimm.phys_id, "phys_id", "SMBIOS handle {:#x}")
    _unique(dimm_sections, dimms, lambda dimm: dimm.serial, "serial", "serial number {:#x}")
    _unique(set_sections, drafts, lambda one: one[0].name, "name", "set {}")
    _label_formats(set_sections, [one for one, _ in drafts])
    given = [base for _, base in drafts]
    bases = memmap.place(ram, [one.size for one, _ in drafts], given)
    sets = [one._replace(base=base) for (one, _), base in zip(drafts, bases, strict=True)]
    _addresses(set_sections, sets, ram, cpu.physical_bits)
    if memmap.pmem_floor(ram) > 1 << cpu.physical_bits:
        top.problem("ram", f"{format_size(ram)} of RAM do not fit into {cpu.physical_bits} physical address bits")
    named = {one.name: one for one in sets if one.name}
    sections = top.sections("namespaces")
    places: dict[str, int] = {}
    namespaces = [read_namespace(section, name, named, places) for section in sections]
    _unique(
        sections,
        namespaces,
        lambda one: "" if one.region in named and named[one.region].labels else one.region,
        "region",
        "region {}",
        "; without labels a region holds one namespace, give the set labels: 1.2",
    )
    _unique(sections, namespaces, lambda one: one.uuid, "uuid", "uuid {}")
    _rooms(sections, namespaces, named)
    _mounts(
        sections, [[fs.mount for fs in (n.filesystem, *(p.filesystem for p in n.partitions)) if fs] for n in namespaces]
    )
    uses = read_uses(top)
    top.done()
    sets.sort(key=lambda one: not one.dimms)  # as Linux numbers regions: those of the NFIT first
    sets = [one._replace(number=number) for number, one in enumerate(sets, 1)]
    return MachineSpec(
        name, ram, cpu, tuple(dimms), tuple(sets), tuple(namespaces), persistence, *uses, _controllers(top, dimms)
    )


def _controllers(top: Section, dimms: list[DimmSpec]) -> tuple[int, ...]:
    """The memory controllers of the board: the first one, and those that the DIMMs are on."""
    found = {0, *(dimm.handle // memmap.SLOTS for dimm in dimms)}
    if len(found) > MAX_CONTROLLERS:
        top.problem("dimms", f"handles name {len(found)} memory controllers, the board has up to {MAX_CONTROLLERS}")
    return tuple(sorted(found))


def _numbered(sections: list[Section], dimms: list[DimmSpec]) -> list[DimmSpec]:
    """Handles and SMBIOS handles for DIMMs that give none: the next that is free."""
    handles = {dimm.handle for section, dimm in zip(sections, dimms, strict=True) if "handle" in section}
    physical = {dimm.phys_id for section, dimm in zip(sections, dimms, strict=True) if "phys_id" in section}
    found = []
    for section, dimm in zip(sections, dimms, strict=True):
        if "handle" not in section:
            dimm = dimm._replace(handle=_free(dimm.handle, handles))
        if "phys_id" not in section:
            dimm = dimm._replace(phys_id=_free(dimm.phys_id, physical))
        found.append(dimm)
    return found


def _free(number: int, taken: set[int]) -> int:
    while number in taken:
        number += 1
    taken.add(number)
    return number


def _cpu(section: Section | None) -> CpuSpec:
    if section is None:
        return CpuSpec()
    cpu = CpuSpec(**plain(section, "cpu", CpuSpec()))
    if cpu.line & (cpu.line - 1):
        section.problem("line", f"{cpu.line} is not a power of two")
    for feature in cpu.features:
        if feature in WITHDRAWN:
            section.problem("features", f"{feature} was withdrawn before any processor had it; use clwb and a fence")
    section.done()
    return cpu


def _dimm(section: Section, machine: str, index: int) -> DimmSpec:
    name = section.name("id")
    dimm = DimmSpec(
        id=name,
        handle=section.number("handle", index + 1, most=MAX_HANDLE),
        phys_id=section.number("phys_id", 0x1100 + index, most=U16),
        capacity=section.size("capacity", least=PAGE, most=CAPACITY_MAX, unit=PAGE),
        **plain(section, "dimms[]", DEFAULTS),
        serial=section.number("serial", crc32(f"{machine}/{index}/{name}".encode()), most=U32),
        manufactured=_manufactured(section.section("manufactured")),
        health=_health(section.section("health")),
        number=index + 1,
    )
    if 0 < dimm.label_size < LABEL_MIN:
        section.problem(
            "label_size", f"{dimm.label_size} bytes are too few, it is 0 or at least {format_size(LABEL_MIN)}"
        )
    if dimm.interface not in INTERFACES:
        section.problem("interface", f"{dimm.interface:#06x} is not byte-addressable, use 0x0101 or 0x0301")
    section.done()
    return dimm


def _manufactured(section: Section | None) -> tuple[int, int] | None:
    if section is None:
        return None
    location = section.number("location", most=0xFF)
    date = section.word("date")
    section.done()
    match = re.fullmatch(r"20([0-9]{2})-([0-9]{2})", date)
    if date and (not match or not 1 <= int(match[2]) <= 53):
        section.problem("date", f"{date[:60]!r} is not a year and week such as 2017-49")
    return (location, int(match[2], 16) << 8 | int(match[1], 16)) if match else None


def _health(section: Section | None) -> HealthSpec:
    default = HealthSpec()
    if section is None:
        return default
    health = HealthSpec(**plain(section, "dimms[].health", default))
    section.done()
    return health


def _set(section: Section, by_id: dict[str, DimmSpec], rest: dict[str, Span[Dpa]]) -> tuple[SetSpec, int | None]:
    """One set, and its base address if the description gives one; what it has of its DIMMs is taken from ``rest``."""
    name = section.name("name")
    ids = section.words("dimms", (), choices=tuple(by_id))
    line = section.size("line", PAGE, least=256, most=GIB)
    if len(ids) > MAX_WAYS:
        section.problem("dimms", f"{len(ids)} DIMMs: a set interleaves 1 to {MAX_WAYS} ways")
    if line & (line - 1):
        section.problem("line", f"{line} is not a power of two")
    base = section.size("base", 0, least=PAGE, most=LIMIT - 1, unit=PAGE)
    wanted = section.size("size", 0, least=PAGE, most=CAPACITY_MAX, unit=PAGE)
    draft = SetSpec(name, ids, line, Spa(0), 0, section.number("proximity", 0, most=MAX_DOMAIN))
    draft = draft._replace(
        labels=section.word("labels", "", choices=("", *LABELS)),
        location_cookie=section.number("location_cookie", most=U64) if "location_cookie" in section else None,
    )
    if not ids and not wanted and not section.wrong & {"dimms", "size"}:
        section.problem("dimms", f"1 to {MAX_WAYS} DIMMs are required; a set without DIMMs (memmap=) has a size")
    if not ids:
        size = wanted
        for key in ("labels", "location_cookie", "line"):
            if key in section:
                section.problem(key, "a set without DIMMs has none: only the memory map knows it")
    else:
        size = _share(section, [by_id[one] for one in ids], rest, wanted, line) * len(ids)
        draft = draft._replace(starts=tuple(rest[one].start for one in ids))
        for one in ids:
            rest[one] = Span(Dpa(rest[one].start + size // len(ids)), rest[one].size - size // len(ids))
        bare = [one for one in ids if not by_id[one].label_size]
        if draft.labels and bare:
            section.problem("labels", f"{', '.join(bare)}: no label area, label_size is 0")
    draft = draft._replace(size=size, poison=tuple(_poison(one, size) for one in section.sections("poison")))
    section.done()
    return draft, base or None


def _share(section: Section, dimms: list[DimmSpec], rest: dict[str, Span[Dpa]], wanted: int, line: int) -> int:
    """Bytes that a set has of each of its DIMMs: what is asked for, or all that is left; 0 when that cannot be."""
    left = {dimm.id: rest[dimm.id].size for dimm in dimms if dimm.capacity}
    if len(left) < len(dimms):
        return 0
    empty = [name for name, size in left.items() if not size]
    if empty:
        section.problem("dimms", f"nothing is left of {', '.join(empty)}: give the set that has it a smaller size")
        return 0
    if wanted:
        share, odd = divmod(wanted, len(dimms))
        short = [f"{name} {format_size(size)}" for name, size in left.items() if size < share]
        if odd or share % (line if len(dimms) > 1 else PAGE):
            unit = format_size((line if len(dimms) > 1 else PAGE) * len(dimms))
            section.problem("size", f"{format_size(wanted)} is not a multiple of {unit}, lines of {len(dimms)} DIMMs")
            return 0
        if short:
            section.problem("size", f"{format_size(share)} of each DIMM are wanted, there are {', '.join(short)}")
            return 0
        return share
    if len(set(left.values())) > 1:
        told = ", ".join(f"{name} {format_size(size)}" for name, size in left.items())
        section.problem("dimms", f"the DIMMs of a set have the same capacity, not {told}")
        return 0
    share = min(left.values())
    if line and len(dimms) > 1 and share % line:
        section.problem("line", f"the capacity of the DIMMs is not a multiple of {format_size(line)}")
    return share


def _poison(section: Section, size: int) -> tuple[int, int]:
    offset, length = section.size("offset"), section.size("size", 64, least=1)
    if size and offset + length > size:
        section.problem("offset", f"[{offset:#x}, {offset + length:#x}) ends beyond the region of {format_size(size)}")
    section.done()
    return offset, length


def _unique(
    sections: list[Section], items: list[T], value: Callable[[T], Hashable], key: str, what: str, why: str = ""
) -> None:
    first: dict[Hashable, Section] = {}
    for section, item in zip(sections, items, strict=True):
        if (found := value(item)) == "" or key in section.wrong:  # what follows from another error is none
            continue
        other = first.setdefault(found, section)
        if other is not section:
            section.problem(key, f"{what.format(found)} is taken by {other.path} in line {other.line}{why}")


def _label_formats(sections: list[Section], sets: list[SetSpec]) -> None:
    """A DIMM has one label area, so all its sets have labels of one format."""
    first: dict[str, SetSpec] = {}
    for section, one in zip(sections, sets, strict=True):
        for dimm in one.dimms:
            other = first.setdefault(dimm, one)
            if other.labels != one.labels:
                says = f"labels: {other.labels}" if other.labels else "no labels"
                section.problem("labels", f"{dimm} is in the set {other.name} too, which has {says}")
                break


def _rooms(sections: list[Section], namespaces: list[NamespaceSpec], sets: dict[str, SetSpec]) -> None:
    """Whether the namespaces of each region with labels fit into it."""
    for name, one in sets.items():
        mine = [(s, n) for s, n in zip(sections, namespaces, strict=True) if n.region == name and one.labels]
        left = one.size
        for section, namespace in mine:
            if not namespace.size and len(mine) > 1:
                section.problem("size", f"required, the set {name} has {len(mine)} namespaces")
            if namespace.size > left:
                told = f"{format_size(namespace.size)} do not fit, {format_size(left)} are left of {name}"
                section.problem("size", told)
                break
            left -= namespace.size


def _addresses(sections: list[Section], sets: list[SetSpec], ram: int, physical_bits: int) -> None:
    top = 1 << physical_bits
    placed: list[tuple[int, int, str]] = []
    low_top = min(ram, memmap.LOW_TOP)
    for section, one in zip(sections, sets, strict=True):
        start, end = int(one.base), one.base + one.size
        if start < memmap.HIGH and end > memmap.LOW_TOP:
            where = f"from {memmap.LOW_TOP:#x} to {memmap.HIGH:#x}"
            section.problem("base", f"[{start:#x}, {end:#x}) overlaps devices, which lie {where}")
        elif start < PMEM_LOWEST or (start < memmap.LOW_TOP and end > low_top - memmap.ACPI_SIZE):
            section.problem(
                "base",
                f"[{start:#x}, {end:#x}) leaves firmware no room: below 4G from {PMEM_LOWEST:#x} to"
                f" {low_top - memmap.ACPI_SIZE:#x}",
            )
        if end > top:
            section.problem(
                "base",
                f"[{start:#x}, {end:#x}) does not fit into {physical_bits} physical address bits, up to {top:#x}",
            )
        for other_start, other_end, other in placed:
            if max(start, other_start) < min(end, other_end):
                section.problem(
                    "base", f"[{start:#x}, {end:#x}) overlaps the set {other} at [{other_start:#x}, {other_end:#x})"
                )
        placed.append((start, end, one.name))


def _mounts(sections: list[Section], mounts: list[list[str]]) -> None:
    seen: set[str] = set()
    for section, points in zip(sections, mounts, strict=True):
        for point in points:
            if point in seen:
                section.problem("", f"two file systems are mounted at {point}")
            seen.add(point)
