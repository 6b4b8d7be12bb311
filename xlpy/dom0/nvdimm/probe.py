"""Dom0's NVDIMM driver at boot: what the host's NFIT says about DIMMs and regions.

The driver knows the machine only through bytes in host memory: it looks for the RSDP where a BIOS puts it, walks to the
NFIT and reads its structures, as an operating system does (ACPI 6.5, 5.2.25; rules and names are those of Linux).
"""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.dom0.nvdimm.driver import FLAGS, Bus, Dimm, MappingDesc, RegionDesc
from xlpy.dom0.nvdimm.labelset import Member, cookies
from xlpy.errors import FormatError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xlpy.firmware.acpi.nfit import ControlRegion, RegionMap, SpaRange, Structure

MAX_MAPPINGS = 32
E820_LEGACY = 12  # persistent memory, as firmware said it before ACPI 6


def probe(read: Callable[[int, int], bytes], memory_map: Iterable[tuple[Spa, int, int]] = ()) -> Bus:
    """Find the NFIT in host memory and take it apart.

    Args:
        read: gives ``length`` bytes of host physical memory at an address.
        memory_map: (start, size, type) of the host's E820; ranges of type 12 are persistent memory without an NFIT.

    Returns:
        the bus; without an NFIT, one without DIMMs.

    Raises:
        FormatError: tables that cannot be read, or an NFIT whose structures do not belong together.
    """
    from xlpy.firmware.acpi.nfit_format import parse_nfit
    from xlpy.firmware.acpi.walk import find_rsdp, walk

    for signature, _address, table in walk(read, find_rsdp(read)):
        if signature == "NFIT":
            bus = interpret(parse_nfit(table), revision=table[8])
            break
    else:
        bus = Bus(0, None, (), (), ())
    legacy = [Span(start, size) for start, size, kind in memory_map if kind == E820_LEGACY]
    more = (
        RegionDesc(number, span, (), 0, 0, 0, False, legacy=True)
        for number, span in enumerate(legacy, len(bus.regions))
    )
    return bus._replace(regions=(*bus.regions, *more))


def interpret(structures: Iterable[Structure], revision: int = 1) -> Bus:
    """Link the structures of an NFIT.

    Raises:
        FormatError: a mapping without its range or control region (Linux: ENODEV), or more than 32 in one range.
    """
    from xlpy.firmware.acpi import nfit

    everything = list(structures)
    ranges = [s for s in everything if isinstance(s, nfit.SpaRange)]
    maps = [s for s in everything if isinstance(s, nfit.RegionMap)]
    controls = {s.control_index: s for s in everything if isinstance(s, nfit.ControlRegion)}
    caps = [s for s in everything if isinstance(s, nfit.Capabilities)]
    indices = {s.spa_index for s in ranges}
    for one in maps:
        if one.spa_index and one.spa_index not in indices:
            raise FormatError(f"NFIT: device {one.handle:#x} is mapped to SPA range {one.spa_index}, which is missing")
        if one.control_index and one.control_index not in controls:
            raise FormatError(f"NFIT: SPA {one.spa_index} missing DCR {one.control_index}")
    hints = {s.handle: len(s.addresses) for s in everything if isinstance(s, nfit.FlushHints)}
    dimms = _dimms(maps, controls, hints)
    names = {dimm.handle: dimm.dev for dimm in dimms}
    pmem = [s for s in ranges if s.range_type == nfit.PERSISTENT_MEMORY]
    regions = tuple(
        _region(number, one, [m for m in maps if m.spa_index == one.spa_index], controls, names)
        for number, one in enumerate(pmem)
    )
    problems = [text for region, one in zip(regions, pmem, strict=True) for text in _odd(region, one, maps)]
    persistence = _persistence(caps[0].highest, caps[0].capabilities) if caps else None
    return Bus(revision, persistence, dimms, regions, tuple(problems))


def _dimms(maps: list[RegionMap], controls: dict[int, ControlRegion], hints: dict[int, int]) -> tuple[Dimm, ...]:
    """One per handle, in the order of handles; flags of all its mappings together."""
    from xlpy.firmware.acpi.nfit import device_id

    found: list[Dimm] = []
    for handle in sorted({one.handle for one in maps}):
        mine = [one for one in maps if one.handle == handle]
        bits = 0
        for one in mine:
            bits |= one.flags
        control = next((controls[one.control_index] for one in mine if one.control_index), None)
        if control is None:
            raise FormatError(f"NFIT: device {handle:#x} has no control region")
        made = (control.manufacturing_location, control.manufacturing_date) if control.valid_fields & 1 else None
        found.append(
            Dimm(
                len(found),
                handle,
                mine[0].physical_id,
                device_id(control),
                control.vendor_id,
                control.device_id,
                control.revision_id,
                control.subsystem_vendor_id,
                control.subsystem_device_id,
                control.subsystem_revision_id,
                control.serial_number,
                control.interface_code,
                made,
                tuple(name for bit, name in enumerate(FLAGS) if bits >> bit & 1),
                hints.get(handle, 0),
            )
        )
    return tuple(found)


def _region(
    number: int, one: SpaRange, maps: list[RegionMap], controls: dict[int, ControlRegion], names: dict[int, str]
) -> RegionDesc:
    from xlpy.firmware.acpi.nfit import NOT_ARMED, PROXIMITY_VALID

    if len(maps) > MAX_MAPPINGS:
        raise FormatError(f"NFIT: SPA range {one.spa_index} has {len(maps)} mappings, at most {MAX_MAPPINGS} fit")
    order = sorted(m.region_offset for m in maps)
    mappings = tuple(
        MappingDesc(names[m.handle], m.dpa_base, one.length // len(maps), order.index(m.region_offset)) for m in maps
    )
    known = cookies([_member(m, controls[m.control_index]) for m in maps if m.control_index])
    return RegionDesc(
        number,
        Span(Spa(one.base), one.length),
        mappings,
        known.v1_1,
        known.v1_2,
        one.proximity_domain if one.flags & PROXIMITY_VALID else 0,
        any(m.flags & NOT_ARMED for m in maps),
        known.alt,
    )


def _member(mapping: RegionMap, control: ControlRegion) -> Member:
    return Member(
        mapping.region_offset,
        control.serial_number,
        control.vendor_id,
        control.manufacturing_date,
        control.manufacturing_location,
    )


def _odd(region: RegionDesc, one: SpaRange, maps: list[RegionMap]) -> list[str]:
    """What the NFIT says twice and differently; Linux does not look."""
    mine = [m for m in maps if m.spa_index == one.spa_index]
    found = [
        f"{region.dev}: device {m.handle:#x} is one of {m.interleave_ways} ways, but there are {len(mine)}"
        for m in mine
        if m.interleave_ways != len(mine)
    ]
    total = sum(m.region_size for m in mine)
    if mine and total != one.length:
        found.append(f"{region.dev}: its devices have {total:#x} bytes together, the range has {one.length:#x}")
    return found


def _persistence(highest: int, capabilities: int) -> str | None:
    valid = capabilities & ((2 << highest) - 1)
    return "cpu_cache" if valid & 1 else "memory_controller" if valid & 2 else None
