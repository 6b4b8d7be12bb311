"""From the text of a machine description to ``MachineSpec``, with every problem in it noted.

Namespaces and file systems are read by ``xlpy.hw.contents``; what no single section can know (addresses that overlap,
things named twice) is checked here. The size of a namespace's reserved area is Dom0's business and not checked.
"""

from __future__ import annotations

import re
from zlib import crc32

from xlpy.addr import GIB, LIMIT, MIB, PAGE, TIB, Spa, format_size
from xlpy.errors import ConfigError
from xlpy.hw import memmap
from xlpy.hw.contents import read_namespace, read_uses
from xlpy.hw.cpu import OPTIONAL, WITHDRAWN
from xlpy.hw.fields import U16, U32, Problems, Section
from xlpy.hw.machine import LABEL_MIN, CpuSpec, DimmSpec, HealthSpec, MachineSpec, SetSpec
from xlpy.hw.strict_yaml import Refused, load
from xlpy.typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

MAX_DIMMS = 256
MAX_WAYS = 16
MAX_DOMAIN = 63
MAX_CPUS = 255  # local APIC ids are one byte
LABEL_MAX = 64 * MIB
CAPACITY_MAX = 1024 * TIB
MAX_HANDLE = 0x0FFFFFFF  # bits 31:28 are reserved
INTERFACES = (0x0101, 0x0301)
PERSISTENCE = ("none", "memory_controller", "cpu_cache")
STATE_FLAGS = ("save_fail", "restore_fail", "flush_fail", "not_armed", "smart_event", "smart_notify", "map_fail")
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
    except Refused as fault:
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
    by_id = {dimm.id: dimm for dimm in dimms if dimm.id}
    set_sections = top.sections("sets")
    drafts = [_set(section, by_id) for section in set_sections]
    _unique(dimm_sections, dimms, lambda dimm: dimm.id, "id", "id {}")
    _unique(dimm_sections, dimms, lambda dimm: dimm.handle, "handle", "handle {:#x}")
    _unique(dimm_sections, dimms, lambda dimm: dimm.phys_id, "phys_id", "SMBIOS handle {:#x}")
    _unique(dimm_sections, dimms, lambda dimm: dimm.serial, "serial", "serial number {:#x}")
    _unique(set_sections, drafts, lambda one: one[0].name, "name", "set {}")
    _once_each(set_sections, [one for one, _ in drafts])
    given = [base for _, base in drafts]
    bases = memmap.place(ram, [one.size for one, _ in drafts], given)
    sets = [one._replace(base=base) for (one, _), base in zip(drafts, bases, strict=True)]
    _addresses(set_sections, sets, ram, cpu.physical_bits)
    if memmap.pmem_floor(ram) > 1 << cpu.physical_bits:
        top.problem("ram", f"{format_size(ram)} of RAM do not fit into {cpu.physical_bits} physical address bits")
    named = {one.name: one for one in sets if one.name}
    sections = top.sections("namespaces")
    namespaces = [read_namespace(section, name, named) for section in sections]
    _unique(
        sections,
        namespaces,
        lambda one: one.region,
        "region",
        "region {}",
        "; without labels a region holds one namespace",
    )
    _unique(sections, namespaces, lambda one: one.uuid, "uuid", "uuid {}")
    _mounts(
        sections, [[fs.mount for fs in (n.filesystem, *(p.filesystem for p in n.partitions)) if fs] for n in namespaces]
    )
    uses = read_uses(top)
    top.done()
    return MachineSpec(name, ram, cpu, tuple(dimms), tuple(sets), tuple(namespaces), persistence, *uses)


def _cpu(section: Section | None) -> CpuSpec:
    if section is None:
        return CpuSpec()
    cpu = CpuSpec(
        count=section.number("count", CpuSpec().count, least=1, most=MAX_CPUS),
        physical_bits=section.number("physical_bits", CpuSpec().physical_bits, least=36, most=52),
        line=section.size("line", CpuSpec().line, least=16, most=1024),
        features=section.words("features", CpuSpec().features, choices=(*OPTIONAL, *WITHDRAWN)),
    )
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
        handle=section.number("handle", index + 1, least=1, most=MAX_HANDLE),
        phys_id=section.number("phys_id", 0x1100 + index, most=U16),
        capacity=section.size("capacity", least=PAGE, most=CAPACITY_MAX, unit=PAGE),
        label_size=section.size("label_size", LABEL_MIN, most=LABEL_MAX, unit=PAGE),
        vendor=section.number("vendor", DEFAULTS.vendor, most=U16),
        device=section.number("device", DEFAULTS.device, most=U16),
        revision=section.number("revision", DEFAULTS.revision, most=U16),
        subsystem_vendor=section.number("subsystem_vendor", 0, most=U16),
        subsystem_device=section.number("subsystem_device", 0, most=U16),
        subsystem_revision=section.number("subsystem_revision", 0, most=U16),
        serial=section.number("serial", crc32(f"{machine}/{index}/{name}".encode()), most=U32),
        interface=section.number("interface", DEFAULTS.interface, most=U16),
        manufactured=_manufactured(section.section("manufactured")),
        health=_health(section.section("health")),
        flags=section.words("flags", (), choices=STATE_FLAGS),
        flush_hints=section.number("flush_hints", 0, most=PAGE // 64),
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
    health = HealthSpec(
        state=section.word("state", default.state, choices=("ok", "non-critical", "critical", "fatal")),
        spares=section.number("spares", default.spares, most=100),
        used=section.number("used", default.used, most=255),
        media_temperature=section.number("media_temperature", int(default.media_temperature), least=-200, most=200),
        controller_temperature=section.number(
            "controller_temperature", int(default.controller_temperature), least=-200, most=200
        ),
        unsafe_shutdowns=section.number("unsafe_shutdowns", 0, most=U32),
        last_shutdown=section.word("last_shutdown", default.last_shutdown, choices=("clean", "dirty")),
    )
    section.done()
    return health


def _set(section: Section, by_id: dict[str, DimmSpec]) -> tuple[SetSpec, int | None]:
    """One set, and its base address if the description gives one."""
    name = section.name("name")
    ids = section.words("dimms", choices=tuple(by_id))
    dimms = [by_id[one] for one in ids]
    line = section.size("line", PAGE, least=256, most=GIB)
    if "dimms" in section and not 1 <= len(ids) <= MAX_WAYS:
        section.problem("dimms", f"{len(ids)} DIMMs: a set interleaves 1 to {MAX_WAYS} ways")
    if line & (line - 1):
        section.problem("line", f"{line} is not a power of two")
    capacities = {dimm.capacity for dimm in dimms if dimm.capacity}
    if len(capacities) > 1:
        told = ", ".join(f"{dimm.id} {format_size(dimm.capacity)}" for dimm in dimms)
        section.problem("dimms", f"the DIMMs of a set have the same capacity, not {told}")
    if line and len(ids) > 1 and any(capacity % line for capacity in capacities):
        section.problem("line", f"the capacity of the DIMMs is not a multiple of {format_size(line)}")
    base = section.size("base", 0, least=PAGE, most=LIMIT - 1, unit=PAGE)
    size = len(dimms) * max(capacities, default=0)
    draft = SetSpec(name, ids, line, Spa(0), size, section.number("proximity", 0, most=MAX_DOMAIN))
    draft = draft._replace(poison=tuple(_poison(one, size) for one in section.sections("poison")))
    section.done()
    return draft, base or None


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
        if (found := value(item)) == "":
            continue
        other = first.setdefault(found, section)
        if other is not section:
            section.problem(key, f"{what.format(found)} is taken by {other.path} in line {other.line}{why}")


def _once_each(sections: list[Section], sets: list[SetSpec]) -> None:
    owner: dict[str, SetSpec] = {}
    for section, one in zip(sections, sets, strict=True):
        for dimm in one.dimms:
            if owner.setdefault(dimm, one) is not one:
                section.problem("dimms", f"{dimm} already belongs to the set {owner[dimm].name}")


def _addresses(sections: list[Section], sets: list[SetSpec], ram: int, physical_bits: int) -> None:
    floor, top = memmap.pmem_floor(ram), 1 << physical_bits
    placed: list[tuple[int, int, str]] = []
    for section, one in zip(sections, sets, strict=True):
        start, end = int(one.base), one.base + one.size
        if start < floor:
            section.problem("base", f"{start:#x} lies below the end of RAM and devices, {floor:#x}")
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
