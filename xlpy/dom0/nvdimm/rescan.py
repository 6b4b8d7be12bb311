"""Notification 0x80: Dom0 evaluates ``_FIT`` again, and applies the changes (design, section 4.2.6).

Devices that stay keep their numbers; new ones get the lowest that are free. Linux 6.1 refuses a ``_FIT`` that lacks
what was there ("new nfit deletes entries"), until it boots anew; this driver lets such regions go, as the design wants.
"""

from __future__ import annotations

from xlpy.addr import Spa
from xlpy.dom0.nvdimm.probe import interpret
from xlpy.errors import FormatError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.dom0.nvdimm.driver import Bus, Dimm, RegionDesc
    from xlpy.hw.hardware import Hardware

ROOT = r"\_SB.NVDR"


class HostMachine:
    """The machine behind the operation regions of the host's AML: its memory."""

    def __init__(self, hw: Hardware) -> None:
        self._hw = hw

    def read(self, space: int, address: int, width: int) -> int:
        """One unit; all ones where nothing responds."""
        if space:
            return (1 << 8 * width) - 1
        return int.from_bytes(self._hw.read(Spa(address), width), "little")

    def write(self, space: int, address: int, width: int, value: int) -> None:
        """Store one unit."""
        if not space:
            self._hw.write(Spa(address), value.to_bytes(width, "little"))


def evaluate_fit(hw: Hardware) -> bytes:
    """What the host's ``_FIT`` returns. FormatError: it has none, or it fails."""
    from xlpy.firmware.acpi.eval import AmlError, load
    from xlpy.firmware.acpi.walk import find_rsdp, walk

    def read(address: int, length: int) -> bytes:
        return hw.read(Spa(address), length)

    tables = [data for signature, _, data in walk(read, find_rsdp(read)) if signature in ("DSDT", "SSDT")]
    try:
        fit = load(tables, HostMachine(hw)).evaluate(f"{ROOT}._FIT")
    except AmlError as error:
        raise FormatError(f"{ROOT}._FIT: {error}") from error
    if not isinstance(fit, bytes):
        raise FormatError(f"{ROOT}._FIT does not return a buffer")
    return fit


def bus_now(hw: Hardware, known: Bus) -> Bus:
    """The bus as ``_FIT`` describes it; numbering continues from the known devices."""
    from xlpy.firmware.acpi.nfit_format import parse_structures

    found = interpret(parse_structures(evaluate_fit(hw)), known.revision or 1)
    return merge(known, found._replace(regions=(*found.regions, *(one for one in known.regions if one.legacy))))


def merge(known: Bus, found: Bus) -> Bus:
    """``found`` with the numbers of ``known`` where a device is the same: a DIMM in its slot, a range in its place."""
    dimms = {(one.handle, one.unique): one.number for one in known.dimms}
    numbers = _numbers([dimms.get((one.handle, one.unique)) for one in found.dimms])
    names = {one.dev: f"nmem{number}" for one, number in zip(found.dimms, numbers, strict=True)}
    fresh_dimms: list[Dimm] = [one._replace(number=number) for one, number in zip(found.dimms, numbers, strict=True)]
    places = {(one.span, _cookies(one)): one.number for one in known.regions}
    numbers = _numbers([places.get((one.span, _cookies(one))) for one in found.regions])
    fresh_regions: list[RegionDesc] = [
        one._replace(number=number, mappings=tuple(m._replace(dimm=names[m.dimm]) for m in one.mappings))
        for one, number in zip(found.regions, numbers, strict=True)
    ]
    fresh_dimms.sort(key=lambda one: one.number)
    fresh_regions.sort(key=lambda one: one.number)
    return found._replace(dimms=tuple(fresh_dimms), regions=tuple(fresh_regions))


def _cookies(one: RegionDesc) -> tuple[int, int]:
    return one.cookie1, one.cookie2


def _numbers(wanted: Iterable[int | None]) -> list[int]:
    """Numbers for devices: those that they have, and for the others the lowest that is free."""
    given = list(wanted)
    taken = {number for number in given if number is not None}
    found = []
    for number in given:
        if number is None:
            number = next(free for free in range(len(given) + len(taken) + 1) if free not in taken)
            taken.add(number)
        found.append(number)
    return found
