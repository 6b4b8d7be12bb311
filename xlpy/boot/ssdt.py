r"""The board's own table: how an event of the emulator becomes the notifications that wait in the device model.

QEMU's PIIX4 sets bit 3 of its general-purpose events, which raises the SCI, when a memory module is plugged in or asked
to leave. The FADT describes that block already, since hvmloader expects it at the same port. In ASL:

```
Scope (\_GPE) {
  Method (_E03) {
    While (One) {
      Local0 = \_SB.NVDR.ASKM (\_SB.NVDR.UPRV, 1, 3, 0, 0x10000)           // next notification
      If (SizeOf (Local0) != 12) { Break }                                // none: a status alone
      Local1 = \_SB.NVDR.DWRD (Local0, 4)                                  // handle
      Local2 = \_SB.NVDR.DWRD (Local0, 8)                                  // value
      If (Local1 == 0) { Notify (\_SB.NVDR, Local2) }
      If (Local1 == 1) { Notify (\_SB.NVDR.NV00, Local2) }                 // and so on
    }
  }
}
```
"""

from __future__ import annotations

from xlpy.devicemodel import dsm
from xlpy.devicemodel.model import ROOT_PATH
from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.header import build_table
from xlpy.firmware.hvmloader.board import AML_CREATOR

EVENT = 3  # ACPI_MEMORY_HOTPLUG_STATUS (QEMU, include/hw/acpi/acpi_dev_interface.h) is bit 3
_DEVICE, _METHOD, _BUFFER = 6, 8, 3  # ObjectType
_REPLY = 12  # bytes: status, handle, value


def build_ssdt(slots: int) -> bytes:
    """The table, revision 2.

    Args:
        slots: children of the NVDIMM root device.
    """
    names = [(dsm.ROOT_HANDLE, ROOT_PATH), *((slot + 1, f"{ROOT_PATH}.NV{slot:02X}") for slot in range(slots))]
    reply, handle, value = aml.local(0), aml.local(1), aml.local(2)
    ask, word, uuid = (f"{ROOT_PATH}.{name}" for name in ("ASKM", "DWRD", "UPRV"))
    externals = [(ask, _METHOD, 5), (word, _METHOD, 2), (uuid, _BUFFER, 0), *((path, _DEVICE, 0) for _, path in names)]
    body = b"".join(
        (
            aml.if_(0, *(aml.external(*outside) for outside in sorted(externals))),  # for disassemblers, as iasl has it
            aml.scope(
                "\\_GPE",
                aml.method(
                    f"_E{EVENT:02X}",
                    0,
                    aml.while_(
                        1,
                        aml.store(aml.call(ask, aml.ref(uuid), 1, dsm.NEXT_EVENT, 0, dsm.PRIVATE_HANDLE), reply),
                        aml.if_(aml.not_equal(aml.size_of(reply), _REPLY), aml.break_()),
                        aml.store(aml.call(word, reply, 4), handle),
                        aml.store(aml.call(word, reply, 8), value),
                        *(
                            aml.if_(aml.equal(handle, number), aml.notify(aml.ref(path), value))
                            for number, path in names
                        ),
                    ),
                ),
            ),
        )
    )
    return build_table("SSDT", body, 2, **AML_CREATOR)
