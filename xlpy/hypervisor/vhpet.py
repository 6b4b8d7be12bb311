"""The HPET that Xen emulates itself: enough of it for firmware to see one (IA-PC HPET specification, 2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.firmware.layout import HPET
from xlpy.hypervisor.abi import HVM_PARAM_HPET_ENABLED

if TYPE_CHECKING:
    from xlpy.hypervisor.mmio import Access, Ioreq

SIZE = 0x400
PERIOD = 16_000_000  # femtoseconds per tick: 62.5 MHz
CAPABILITIES = 0x8086A201 | PERIOD << 32  # Intel, 64-bit counter, legacy routing, 3 timers, revision 1

_REGISTERS = 8


def attach_hpet(ioreq: Ioreq, params: dict[int, int]) -> None:
    """Let the HPET answer for its range while HVM_PARAM_HPET_ENABLED is set.

    Registers keep what is written; the counter stands still.
    """
    registers = bytearray(SIZE)
    registers[:_REGISTERS] = CAPABILITIES.to_bytes(8, "little")

    def access(request: Access) -> int:
        if not params.get(HVM_PARAM_HPET_ENABLED):
            return -1
        at = request.address - HPET
        there = slice(at, at + request.size)
        if not request.write:
            return int.from_bytes(registers[there], "little")
        if at >= _REGISTERS:
            registers[there] = request.value.to_bytes(request.size, "little")
        return 0

    ioreq.inside.append((HPET, HPET + SIZE, access))
