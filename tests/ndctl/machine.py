"""The machine of the recordings: six NVDIMMs, each a region of its own, for QEMU and for xlpy.

QEMU's NFIT has the devices in the order in which its object tree lists them, that of a hash of their ids; the sets of
machine.yaml stand in that order, so that region N is the same memory on both. Ids, serial numbers and addresses are
what QEMU's NFIT says, so that interleave-set cookies are the same too.
"""

from __future__ import annotations

from typing import NamedTuple

KIB, MIB = 1 << 10, 1 << 20
VENDOR, SERIAL = 0x8086, 0x123456  # of QEMU's slot 0; the serial number goes up by slot
LEGACY = (512 * MIB, 64 * MIB)  # what memmap= makes a region without DIMMs of


class Dimm(NamedTuple):
    """One NVDIMM: base address, bytes of persistent memory, bytes of the label area behind them."""

    base: int
    size: int
    label: int


DIMMS = (
    Dimm(0x1_1000_0000, 256 * MIB, 128 * KIB),
    Dimm(0x1_3000_0000, 128 * MIB, 256 * KIB),
    Dimm(0x1_4000_0000, 64 * MIB, 128 * KIB),
    Dimm(0x1_5000_0000, 64 * MIB, 0),
    Dimm(0x1_6000_0000, 50 * MIB, 128 * KIB),  # not a multiple of 16 MiB
    Dimm(0x1_7FFE_0000, 32 * MIB, 128 * KIB),  # does not begin at a multiple of 2 MiB
)


REGIONS = (5, 0, 2, 4, 1, 3)  # the DIMM of each region


def region_of(dimm: int) -> int:
    """The region that a DIMM makes."""
    return REGIONS.index(dimm)


def machine_yaml(legacy: bool = False) -> str:
    """The machine for `xlpy host init`; with ``legacy``, with the region that no NFIT describes."""
    dimms = "".join(
        f"  - {{id: dimm{slot}, capacity: {one.size}, label_size: {one.label}, handle: {slot + 1}, phys_id: {slot}, "
        f"vendor: {VENDOR:#x}, device: 1, revision: 1, serial: {SERIAL + slot:#x}}}\n"
        for slot, one in enumerate(DIMMS)
    )
    sets = "".join(
        f"  - {{name: set{region_of(slot)}, dimms: [dimm{slot}], base: {one.base:#x}}}\n"
        for slot, one in ((slot, DIMMS[slot]) for slot in REGIONS)
    )
    if legacy:
        sets += f"  - {{name: legacy, base: {LEGACY[0]:#x}, size: {LEGACY[1]}}}\n"
    cpu = "cpu: {count: 1, physical_bits: 40}\n"
    return f"name: ndctl\nram: 1G\n{cpu}persistence: memory_controller\ndimms:\n{dimms}sets:\n{sets}"
