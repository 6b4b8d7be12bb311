"""Namespaces of every size from 0 to 64 MiB in odd steps: made, or refused with the kernel's errno, without a trace."""

from __future__ import annotations

from errno import EINVAL, ENODEV, ENXIO, EOPNOTSUPP

import pytest
from dom0.nvdimm.nd_bank import Platform, create, init_labels, powered, single

from xlpy.addr import MIB, PAGE
from xlpy.dom0.nvdimm.infoblock import parse_pfn
from xlpy.dom0.nvdimm.nd.error import NdError

UUID = "11111111-2222-3333-4444-555555555555"
STEP = 3 * MIB + 3 * PAGE + 1
SIZES = [*range(0, 64 * MIB + 1, STEP), *(n * 16 * MIB for n in range(5)), 16 * MIB - PAGE, 16 * MIB + PAGE, 64 * MIB]


def bank(align=None):
    platform = Platform()
    nd = powered(single(64 * MIB), platform)
    init_labels(nd)
    if align:
        nd.region("region0").store_align(align)
    return nd, platform


def sizes_after_boot(platform):
    return [one.size for one in powered(single(64 * MIB), platform).namespaces if one.size]


@pytest.mark.parametrize("align", [None, PAGE])
@pytest.mark.parametrize("size", SIZES)
def test_sizes(size, align):
    nd, platform = bank(align)
    region = nd.region("region0")
    seed = region.namespace_seed
    seed.store_uuid(UUID)
    if size % (align or 16 * MIB):
        with pytest.raises(NdError) as caught:
            seed.store_size(size)
        assert caught.value.errno == EINVAL
        assert sizes_after_boot(platform) == []
        assert region.available_size == 64 * MIB
        return
    seed.store_size(size)
    assert region.available_size == 64 * MIB - size
    assert sizes_after_boot(platform) == [size] * bool(size)


@pytest.mark.parametrize("mode", ["fsdax", "devdax", "sector", "raw"])
@pytest.mark.parametrize("size", list(range(0, 64 * MIB + 1, 1301 * PAGE)))
def test_modes(size, mode):
    """On a grid of 4 KiB; what claims a namespace needs 16 MiB of it, and fsdax a start on 2 MiB."""
    nd, platform = bank(PAGE)
    region = nd.region("region0")
    if size < (PAGE if mode == "raw" else 16 * MIB):
        with pytest.raises(NdError) as caught:
            create(region, UUID, size, mode=mode)
        assert caught.value.errno == (ENODEV if mode == "raw" else ENXIO)
    else:
        made = create(region, UUID, size, mode=mode)
        assert made.enabled
        if mode in ("fsdax", "devdax"):
            block = parse_pfn(platform.memory.read(made.resource + PAGE, 4096))
            data = made.claim.data
            assert data.aligned(2 * MIB)
            assert (block.npfns * PAGE, block.dataoff + data.size + block.end_trunc) == (data.size, size)
    assert sizes_after_boot(platform) == [size] * bool(size)


def test_a_namespace_that_does_not_start_on_2_mib_is_raw_or_sector():
    nd, _ = bank(PAGE)
    region = nd.region("region0")
    create(region, UUID, 5 * PAGE, mode="raw")
    with pytest.raises(NdError) as caught:
        create(region, UUID[:-1] + "6", 32 * MIB)
    assert (caught.value.errno, region.pfn_seed.namespace_name) == (EINVAL, "namespace0.1")
    assert nd.messages[-1].endswith("namespace0.1: start 0x0000000100005000 misaligned to 0x200000")
    region.pfn_seed.store_namespace("")
    region.namespace_seed.store_holder_class("")
    region.namespace_seed.bind()
    assert region.namespaces[1].block_device == "pmem0.1"


def test_an_info_block_of_other_settings_is_refused():
    nd, _ = bank()
    region = nd.region("region0")
    made = create(region, UUID, 32 * MIB)
    pfn = made.claim
    pfn.unbind()
    pfn.store_align(PAGE)
    with pytest.raises(NdError) as caught:
        pfn.bind()
    assert caught.value.errno == EOPNOTSUPP
    pfn.store_align(2 * MIB)
    pfn.bind()
