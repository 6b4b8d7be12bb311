"""All table formats by signature."""

from __future__ import annotations

from xlpy.firmware.acpi.facs import FACS
from xlpy.firmware.acpi.fadt import FADT
from xlpy.firmware.acpi.hpet import HPET
from xlpy.firmware.acpi.madt import MADT
from xlpy.firmware.acpi.roots import RSDT, XSDT
from xlpy.firmware.acpi.slit import SLIT
from xlpy.firmware.acpi.srat import SRAT
from xlpy.firmware.acpi.waet import WAET
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.sdt import Plain, TableFormat

FORMATS: dict[str, TableFormat | Plain] = {
    form.signature: form for form in (RSDT, XSDT, FADT, MADT, HPET, WAET, SRAT, SLIT)
} | {"FACS": FACS}
