"""The host's BIOS: at power-on it leaves the ACPI tables in host memory, where an operating system looks for them.

RSDP   0xF0000, in the area that is searched for it (ACPI 6.5, 5.2.5.1)
FACS   start of the NVS area at the top of low RAM
others in the ACPI area below it: DSDT, FADT, MADT, SRAT, SLIT (with two proximity domains or more), NFIT, XSDT
"""

from __future__ import annotations

from xlpy.addr import Spa, Span, align_up
from xlpy.errors import Constraint
from xlpy.firmware import bios_tables as tables
from xlpy.firmware.acpi.facs import FACS
from xlpy.firmware.acpi.roots import Rsdp, build_rsdp, build_xsdt
from xlpy.firmware.bios_nfit import host_nfit
from xlpy.hw import memmap
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hw.hardware import Hardware

RSDP_ADDRESS = Spa(0xF0000)
NFIT_HEADER = 40  # bytes in front of the structures


def power_on(hw: Hardware) -> None:
    """Write all tables of the machine into its memory, in place of those of an earlier power-on.

    Raises:
        Constraint: the tables do not fit, or the disk is full.
    """
    spec = hw.spec
    area = memmap.acpi_span(spec)
    facs = memmap.nvs_span(spec)
    place = _Allocator(area)
    dsdt = place(tables.dsdt(spec))
    entries = [place(tables.fadt(facs.start, dsdt)), place(tables.madt(spec)), place(tables.srat(spec))]
    if tables.domains(spec) > 1:
        entries.append(place(tables.slit(spec)))
    entries.append(place(host_nfit(hw)))
    xsdt = place(build_xsdt(entries, **tables.IDENTITY))
    rsdp = build_rsdp(Rsdp(0, xsdt, tables.IDENTITY["oem_id"]))
    stores = [(facs.start, FACS.build({"version": 2})), *place.tables, (RSDP_ADDRESS, rsdp)]
    fit = _fit(hw)
    if 4 + len(fit) <= memmap.fit_span(spec).size:  # else _FIT is empty, and the table says it all
        stores.append((memmap.fit_span(spec).start, len(fit).to_bytes(4, "little") + fit))
    if _differs(hw, stores, area, facs):  # else a kill would break what is whole
        hw.zero(area)
        hw.zero(facs)
        for where, table in stores:
            hw.write(where, table)


def refit(hw: Hardware) -> None:
    """DIMMs have come or gone: change what ``_FIT`` returns. The tables stay as they are until the next power-on.

    Raises:
        Constraint: it does not fit, or the disk is full.
    """
    area, fit = memmap.fit_span(hw.spec), _fit(hw)
    if 4 + len(fit) > area.size:
        raise Constraint(
            f"_FIT would have {len(fit)} bytes, firmware has room for {area.size - 4}",
            hint="plug in fewer DIMMs, or DIMMs with fewer flush hints",
        )
    hw.keep(area)
    hw.zero(area)
    hw.write(area.start, len(fit).to_bytes(4, "little") + fit)


def _fit(hw: Hardware) -> bytes:
    return host_nfit(hw)[NFIT_HEADER:]


def _differs(hw: Hardware, stores: list[tuple[Spa, bytes]], *areas: Span[Spa]) -> bool:
    """Whether memory holds anything but these stores, or anything else in areas that are zero beside them."""
    for area in areas:
        wanted = bytearray(area.size)
        for where, table in stores:
            if where in area:
                wanted[where - area.start : where - area.start + len(table)] = table
        if hw.read(area.start, area.size) != wanted:
            return True
    return any(hw.read(where, len(table)) != table for where, table in stores)


class _Allocator:
    """Puts one table behind the other, each on 16 bytes."""

    def __init__(self, area: Span[Spa]) -> None:
        self.tables: list[tuple[Spa, bytes]] = []
        self._area, self._next = area, area.start

    def __call__(self, table: bytes) -> Spa:
        where = Spa(align_up(self._next, 16))
        if where + len(table) > self._area.end:
            raise Constraint(f"the ACPI tables do not fit into the {self._area.size:#x} bytes at {self._area.start:#x}")
        self.tables.append((where, table))
        self._next = Spa(where + len(table))
        return where
