"""The bank of the kernel's own test module (nfit_test), restated: four DIMMs, two of them in two interleave sets.

Its label images (ndctl's repository, ``test/nmem1.bin`` to ``nmem4.bin``) prove that labels of early kernels are read.
They are made anew here from their layout; ``test_the_images_themselves`` reads them where NDCTL_IMAGES names a folder.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from dom0.nvdimm.nd_bank import AREA, Platform, create, destroy, powered

from xlpy.addr import MIB
from xlpy.dom0.nvdimm.labels import Label, empty_index
from xlpy.dom0.nvdimm.nd.error import NdError
from xlpy.dom0.nvdimm.probe import interpret
from xlpy.firmware.acpi.nfit import Capabilities, ControlRegion, RegionMap, SpaRange

HANDLES = (0x000, 0x001, 0x100, 0x101)
BASES = (0x100000000, 0x110000000)
IMAGE = bytes.fromhex("6830f0397914423ebad622bda8fde8d6")
DIGESTS = [
    "228dbe86d9703436dcb0883d1e239ccb4b15aaa75b38e91a5616f47e36b2336f",
    "ea59f538993218d7d69033bd36b5d0e1098e428c9c464c90a2ac004138c51d81",
    "f0d7dd0ccf48f5487f4ae4279eb505aaf3e89896cc423bbbc80f9242302741fd",
    "f5fd5617a39d584b759afbe3ad6f437644c0b6263eeb75e9e5609ad9d3a822e5",
]
ONE = "11111111-2222-3333-4444-555555555555"
TWO = "22222222-2222-3333-4444-555555555555"


def bus():
    """Set 0: the first 16 MiB of DIMMs 0 and 1. Set 1: what follows, on all four."""
    halves = [RegionMap(HANDLES[n], 1, n + 1, 16 * MIB, 1 << 8 * n, 0, n, 0, interleave_ways=2) for n in (0, 1)]
    quarters = [
        RegionMap(HANDLES[n], 2, n + 1, 16 * MIB, 1 << 16 + 8 * n, 16 * MIB, n, 1, interleave_ways=4) for n in range(4)
    ]
    controls = [
        ControlRegion(
            n + 1, 0xABCD, 0, 1, valid_fields=1, manufacturing_location=0xA, manufacturing_date=0xE007,
            serial_number=~HANDLES[n] & 0xFFFFFFFF,
        )
        for n in range(4)
    ]  # fmt: skip
    ranges = [SpaRange(1, BASES[0], 32 * MIB), SpaRange(2, BASES[1], 64 * MIB)]
    return interpret([*ranges, *halves, *quarters, *controls, Capabilities(1, 2)])


def image(position: int) -> bytes:
    """A label area as in the repository: format 1.1, block 0 with the sequence number 0, 1016 slots."""
    data = bytearray(AREA)
    for block, sequence, free in ((0, 0, (1 << 1016) - 1), (1, 3, (1 << 1016) - 2)):
        index = empty_index(AREA, block, minor=1)._replace(sequence=sequence, slots=1016, free=free)
        raw = index.build()
        data[index.own : index.own + len(raw)] = raw
    label = Label(IMAGE, "", 8, 4, position, 0x0803F6D70100FEFB, 0, 16 * MIB, 16 * MIB, 0)
    data[0x200:0x280] = label.build(1)
    return bytes(data)


def booted(images: list[bytes | None]) -> tuple:
    platform = Platform()
    first = bus()
    for dimm, raw in zip(first.dimms, images, strict=True):
        if raw:
            platform.config(dimm).data[:] = raw
    return powered(first, platform), platform


def test_the_topology():
    nd, _ = booted([None] * 4)
    assert [(one.dev, one.info.handle) for one in nd.dimms] == [
        ("nmem0", 0x000), ("nmem1", 0x001), ("nmem2", 0x100), ("nmem3", 0x101)
    ]  # fmt: skip
    first, second = nd.regions
    assert [(m.dimm.dev, m.start, m.size, m.position) for m in first.mappings] == [
        ("nmem0", 0, 16 * MIB, 0),
        ("nmem1", 0, 16 * MIB, 1),
    ]
    assert [(m.dimm.dev, m.start) for m in second.mappings] == [(f"nmem{n}", 16 * MIB) for n in range(4)]
    assert (second.info.cookie1, second.info.cookie2, second.info.altcookie) == (
        0x0C0FFADB0100FEFB,
        0xA76C6907811FAE57,
        0x0803F6D70100FEFB,
    )
    assert [(one.nstype, [n.size for n in one.namespaces]) for one in nd.regions] == [(4, [32 * MIB]), (4, [64 * MIB])]


def test_labels_of_an_early_kernel_are_read():
    nd, _ = booted([image(n) for n in range(4)])
    first, second = nd.regions
    assert second.set_cookie == 0x0C0FFADB0100FEFB
    assert [(one.dev, one.uuid, one.resource, one.size) for one in second.namespaces if one.size] == [
        ("namespace1.0", "6830f039-7914-423e-bad6-22bda8fde8d6", BASES[1], 64 * MIB)
    ]
    assert (second.available_size, first.available_size) == (0, 32 * MIB)
    assert first.nstype == 5  # two of its DIMMs have labels
    assert [one.size for one in first.namespaces] == [0]


@pytest.mark.skipif("NDCTL_IMAGES" not in os.environ, reason="NDCTL_IMAGES does not name ndctl's test folder")
def test_the_images_themselves():
    folder = Path(os.environ["NDCTL_IMAGES"])
    found = [(folder / f"nmem{n}.bin").read_bytes() for n in range(1, 5)]
    assert [hashlib.sha256(raw).hexdigest() for raw in found] == DIGESTS
    assert [raw[:0x280] for raw in found] == [image(n)[:0x280] for n in range(4)]
    nd, _ = booted(list(found))
    assert [one.size for one in nd.region("region1").namespaces] == [64 * MIB, 0]


@pytest.mark.parametrize("lost", range(4))
def test_a_set_without_the_labels_of_one_dimm(lost):
    """On the first DIMM of the set a loss hides the namespace, on another one the region fails."""
    images = [image(n) for n in range(4)]
    images[lost] = None
    nd, _ = booted(images)
    second = nd.region("region1")
    if lost:
        assert not second.bound
        assert f"nd_region region1: nmem{lost} missing label for 6830f039-7914-423e-bad6-22bda8fde8d6" in nd.messages
    else:
        assert [one.size for one in second.namespaces] == [0]


def test_sets_that_share_dimms_have_labels_side_by_side():
    nd, platform = booted([None] * 4)
    for region in nd.regions:
        region.unbind()
    for dimm in nd.dimms:
        for block in (0, 1):
            made = empty_index(AREA, block)
            dimm.set_config_data(made.own, made.build())
        dimm.unbind()
        dimm.bind()
    for region in nd.regions:
        region.bind()
    first, second = nd.regions
    create(first, ONE, 32 * MIB, mode="raw")
    create(second, TWO, 64 * MIB, mode="raw", name="wide")
    assert [len(one.dpa) for one in nd.dimms] == [2, 2, 1, 1]
    assert [one.available_slots for one in nd.dimms] == [507, 507, 508, 508]
    again = powered(bus(), platform)
    assert [(one.dev, one.uuid, one.size) for one in again.namespaces if one.size] == [
        ("namespace0.0", ONE, 32 * MIB),
        ("namespace1.0", TWO, 64 * MIB),
    ]
    destroy(again.namespace("namespace0.0"))
    after = powered(bus(), platform)
    assert [one.uuid for one in after.namespaces if one.size] == [TWO]
    assert [len(one.dpa) for one in after.dimms] == [1, 1, 1, 1]


def test_a_dimm_that_is_disabled_stops_all_its_sets():
    nd, _ = booted([image(n) for n in range(4)])
    for region in nd.regions:
        region.unbind()
    nd.dimm("nmem1").unbind()
    for region in nd.regions:
        with pytest.raises(NdError) as caught:
            region.bind()
        assert caught.value.errno == 6
    assert nd.messages[-1] == "nd_region region1: nmem1: is disabled, failing probe"
    nd.dimm("nmem1").bind()
    for region in nd.regions:
        region.bind()
