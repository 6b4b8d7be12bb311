"""Media and label areas carried from xlpy's host to the real machine, and back, byte for byte."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ndctl import media
from ndctl.machine import DIMMS

from xlpy.addr import Spa

if TYPE_CHECKING:
    from ndctl.real import Machine

    from xlpy.host import Host

STEP = 1 << 20


def to_machine(host: Host, machine: Machine) -> None:
    """Let the real machine's NVDIMMs hold what xlpy's hold; nothing may be bound to them meanwhile."""
    machine.clear()
    for slot, one in enumerate(DIMMS):
        file, start = host.hw.locate_file(Spa(one.base))
        for at, length in media.written(file, start, start + one.size):
            for offset in range(at - start, at - start + length, STEP):
                size = min(STEP, at - start + length - offset)
                machine.put(slot, offset, host.hw.read(Spa(one.base + offset), size))
        if one.label:
            machine.put(slot, one.size, host.hw.labels_read(f"dimm{slot}", 0, one.label))


def from_machine(machine: Machine, host: Host) -> None:
    """Let xlpy's NVDIMMs hold what the real machine's hold, and its driver look at them anew."""
    for slot, one in enumerate(DIMMS):
        for at, length in machine.extents(slot, one.size):
            for offset in range(at, at + length, STEP):
                size = min(STEP, at + length - offset)
                host.hw.write(Spa(one.base + offset), machine.read(slot, offset, size))
        if one.label:
            host.hw.labels_write(f"dimm{slot}", 0, machine.read(slot, one.size, one.label))
    probe(host)


def probe(host: Host) -> None:
    """All drivers of the nd bus unbound and bound again, as at boot."""
    with host.manage("probe") as nd:
        for region in nd.regions:
            region.unbind()
        for dimm in nd.dimms:
            dimm.unbind()
        for device in (*nd.dimms, *nd.regions):
            with suppress(OSError):
                device.bind()
