"""The host's NFIT (ACPI 6.5, 5.2.25): how the machine's DIMMs form ranges of host physical addresses.

A structure stays as it is as long as its set or DIMM is there, whatever comes and goes beside it: Linux knows what it
has by comparing bytes. So indices are not places in a list. A range has its set's number and a control region its
DIMM's; the index of an interleave structure is the binary logarithm of its line. In an interleaved set a device's skew
is its region offset, so every device of the set has the same interleave structure: one line, at offset 0.
"""

from __future__ import annotations

from xlpy.firmware.acpi import nfit, nfit_format
from xlpy.firmware.bios_tables import IDENTITY
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import DimmSpec, MachineSpec, SetSpec

STATE_BITS = {
    "save_fail": nfit.SAVE_FAILED,
    "restore_fail": nfit.RESTORE_FAILED,
    "flush_fail": nfit.FLUSH_FAILED,
    "not_armed": nfit.NOT_ARMED,
    "smart_event": nfit.HEALTH_OBSERVED,
    "smart_notify": nfit.HEALTH_ENABLED,
    "map_fail": nfit.MAP_FAILED,
}
CAPABILITIES = {
    "none": 0,
    "memory_controller": nfit.CONTROLLER_FLUSH,
    "cpu_cache": nfit.CACHE_FLUSH | nfit.CONTROLLER_FLUSH,
}


def host_nfit(hw: Hardware) -> bytes:
    """The whole table, from the machine's description."""
    spec = hw.spec
    lines = sorted({one.line for one in spec.sets if len(one.dimms) > 1})
    hints = [nfit.FlushHints(dimm.handle, hw.flush_hints(dimm.id)) for dimm in spec.dimms if dimm.flush_hints]
    structures: list[nfit.Structure] = [
        *(_range(one) for one in spec.sets if one.dimms),
        *_maps(spec),
        *(nfit.InterleaveStructure(_interleave(line), line, (0,)) for line in lines),
        *(_control(dimm) for dimm in spec.dimms),
        *hints,
        nfit.Capabilities(1, CAPABILITIES[spec.persistence]),
    ]  # fmt: skip
    return nfit_format.build_nfit(structures, **IDENTITY)


def _range(one: SetSpec) -> nfit.SpaRange:
    cookie = one.location_cookie
    return nfit.SpaRange(
        one.number,
        one.base,
        one.size,
        flags=nfit.PROXIMITY_VALID | (0 if cookie is None else nfit.COOKIE_VALID),
        proximity_domain=one.proximity,
        location_cookie=cookie or 0,
    )


def _interleave(line: int) -> int:
    """The index of the interleave structure for lines of so many bytes."""
    return line.bit_length() - 1


def _maps(spec: MachineSpec) -> list[nfit.RegionMap]:
    """One for each DIMM of each set, in interleave order; then the DIMMs that no set uses."""
    dimms, found, mapped = {dimm.id: dimm for dimm in spec.dimms}, [], set()
    for place, one in enumerate(spec.sets):
        ways = len(one.dimms)
        for turn, name in enumerate(one.dimms):
            mapped.add(name)
            found.append(
                _map(dimms[name])._replace(
                    spa_index=one.number,
                    region_size=one.part(name).size,
                    dpa_base=one.part(name).start,
                    region_id=sum(name in other.dimms for other in spec.sets[:place]),
                    region_offset=turn * one.line if ways > 1 else 0,
                    interleave_index=_interleave(one.line) if ways > 1 else 0,
                    interleave_ways=ways,
                )
            )
    return found + [_map(dimm) for dimm in spec.dimms if dimm.id not in mapped]


def _map(dimm: DimmSpec) -> nfit.RegionMap:
    """A device that is known and not mapped."""
    return nfit.RegionMap(
        handle=dimm.handle,
        spa_index=0,
        control_index=dimm.number,
        region_size=0,
        physical_id=dimm.phys_id,
        flags=sum(STATE_BITS[flag] for flag in dimm.flags),
    )


def _control(dimm: DimmSpec) -> nfit.ControlRegion:
    location, date = dimm.manufactured or (0, 0)
    return nfit.ControlRegion(
        control_index=dimm.number,
        vendor_id=dimm.vendor,
        device_id=dimm.device,
        revision_id=dimm.revision,
        subsystem_vendor_id=dimm.subsystem_vendor,
        subsystem_device_id=dimm.subsystem_device,
        subsystem_revision_id=dimm.subsystem_revision,
        valid_fields=1 if dimm.manufactured else 0,
        manufacturing_location=location,
        manufacturing_date=date,
        serial_number=dimm.serial,
        interface_code=dimm.interface,
    )
