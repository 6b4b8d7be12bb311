"""Compile the AML that is shipped as bytes: ``python -m tools.compile_aml`` writes every file anew."""

from __future__ import annotations

from pathlib import Path

from xlpy.devicemodel import aml, nvdr
from xlpy.firmware.hvmloader import compiled, dsdt, ssdt
from xlpy.firmware.layout import XEN_HVM


def products() -> dict[Path, bytes]:
    """Each file, and what it has to hold."""
    tables = {"dsdt": dsdt.build_dsdt(XEN_HVM.acpi_info, XEN_HVM.pm_base)}
    for make in (ssdt.sleep_s3, ssdt.sleep_s4, ssdt.laptop_slate, ssdt.power, ssdt.tpm12, ssdt.tpm20):
        tables[make.__name__] = make()
    return {
        Path(nvdr.COMPILED): aml.root_body(XEN_HVM.mailbox, nvdr.SLOTS),
        **{Path(compiled.FOLDER, f"{name}.aml"): table for name, table in tables.items()},
    }


if __name__ == "__main__":
    for path, content in products().items():
        path.write_bytes(content)
        print(path)
