"""Address range scrubs, and clearing what they found (ACPI 6.5, 9.20.7): the driver's part, and what Xen learns."""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.firmware.bios_errors import ErrorFunctions
from xlpy.rangemap import RangeMap
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.badrange import BadRanges
    from xlpy.dom0.nvdimm.driver import Bus
    from xlpy.dom0.nvdimm.pmemreport import PmemHypercalls
    from xlpy.hw.hardware import Hardware


def scrub(hw: Hardware, bus: Bus, bad: BadRanges, xen: PmemHypercalls) -> list[Span[Spa]]:
    """Scrub all persistent memory, as at boot and on notification 0x81; what is found is reported to Xen.

    Args:
        hw: the machine.
        bus: of which the regions are scrubbed.
        bad: what is known; holds afterwards what was found.
        xen: hypercalls on behalf of Dom0.

    Returns:
        the errors that were not known before.
    """
    platform = ErrorFunctions(hw)
    found = [one for region in bus.regions for one in platform.scrub(region.span)]
    known = RangeMap((span.start, span.end, None) for span in bad)
    gaps = [gap for one in found for gap in known.gaps(one.start, one.end)]
    bad.scrubbed(found)
    if found:
        xen.platform_pmem_bad(found)
    return [Span.between(Spa(start), Spa(end)) for start, end in gaps]


def clear(hw: Hardware, bad: BadRanges, span: Span[Spa], xen: PmemHypercalls) -> int:
    """Clear the errors of a range; what its bad lines held is lost, and Xen may map its pages again.

    Returns:
        bytes that were bad and are not any more.

    Raises:
        Constraint: not persistent memory of one region, or not in the platform's units.
    """
    cleared = ErrorFunctions(hw).clear(span)
    xen.platform_pmem_clear(span)
    bad.forget(span)
    return cleared
