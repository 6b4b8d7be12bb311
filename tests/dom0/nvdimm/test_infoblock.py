"""PFN, DAX and BTT info blocks against blocks of a real Linux."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.addr import KIB, MIB
from xlpy.dom0.nvdimm import DAX_SIGNATURE
from xlpy.dom0.nvdimm.btt import btt_block, parse_btt
from xlpy.dom0.nvdimm.fletcher import seal, sealed
from xlpy.dom0.nvdimm.infoblock import CHECKSUM, InfoBlockError, PfnBlock, parse_pfn, validate_pfn


def uuid(text):
    return bytes.fromhex(text.replace("-", ""))


FSDAX_DEV = PfnBlock(
    uuid=uuid("0d50f988-4674-48ee-b4a9-5ee17be61703"),
    parent=uuid("11111111-2222-3333-4444-555555555555"),
    dataoff=0x400000,
    npfns=0x7C00,
)
FSDAX_MEM = PfnBlock(
    uuid=uuid("412136de-06db-4f7a-809c-3166c85ad6c2"),
    parent=uuid("24d2c49d-08e8-42b9-9920-041da7d00eb4"),
    dataoff=0x200000,
    npfns=0x3E00,
    mode=1,
    align=4 * KIB,
)
DEVDAX = PfnBlock(
    uuid=uuid("4f66fe9a-d6f3-4d1a-aec2-3f8bf33a9cb3"),
    parent=uuid("3065ec5e-ead5-40e3-883a-11c938f993e1"),
    dataoff=0x200000,
    npfns=0x2E00,
    signature=DAX_SIGNATURE,
)


def checksum(block):
    stored, computed = sealed(block, CHECKSUM)
    assert stored == computed
    return stored


@pytest.mark.parametrize(
    ("block", "expected"),
    [(FSDAX_DEV, 0x0EAB3F1C2E5DE5C0), (FSDAX_MEM, 0xB11474358D1F356C), (DEVDAX, 0xCB81E6C1B891470D)],
    ids=["fsdax dev", "fsdax mem", "devdax dev"],
)
def test_pfn_checksums_of_real_blocks(block, expected):
    data = block.build()
    assert checksum(data) == expected
    assert parse_pfn(data) == block


def test_pfn_field_places():
    data = FSDAX_DEV._replace(start_pad=0x11111000, end_trunc=0x22222000, page_struct_size=104, flags=7).build()
    assert data[:16] == b"NVDIMM_PFN_INFO\0"
    assert data[16:32].hex() == "0d50f988467448eeb4a95ee17be61703"
    assert data[32:48].hex() == "11111111222233334444555555555555"
    assert data[48:72].hex() == "07000000010004000000400000000000007c000000000000"
    assert data[72:94].hex() == "02000000001011110020222200002000001000006800"
    assert data[94:4088] == bytes(3994)


@pytest.mark.parametrize(
    ("minor", "expected"),
    [
        (0, {"start_pad": 0, "end_trunc": 0, "align": 0x400000, "page_size": 4096, "page_struct_size": 64}),
        (1, {"start_pad": 4096, "end_trunc": 8192, "align": 0x400000, "page_size": 4096, "page_struct_size": 64}),
        (2, {"start_pad": 4096, "end_trunc": 8192, "align": 0x10000, "page_size": 4096, "page_struct_size": 64}),
        (3, {"start_pad": 4096, "end_trunc": 8192, "align": 0x10000, "page_size": 4096, "page_struct_size": 64}),
        (4, {"start_pad": 4096, "end_trunc": 8192, "align": 0x10000, "page_size": 16384, "page_struct_size": 128}),
    ],
)
def test_what_older_versions_leave_out(minor, expected):
    block = FSDAX_DEV._replace(
        minor=minor,
        dataoff=0x600000,
        start_pad=4096,
        end_trunc=8192,
        align=0x10000,
        page_size=16384,
        page_struct_size=128,
    )
    read = parse_pfn(block.build())
    assert {key: getattr(read, key) for key in expected} == expected


START, SIZE = 0x1_0000_0000, 128 * MIB


@pytest.mark.parametrize(
    ("change", "number", "text"),
    [
        ({"parent": bytes(16)}, errno.ENODEV, "parent uuid 0000"),
        ({"mode": 0}, errno.ENXIO, "mode 0 found"),
        ({"mode": 3}, errno.ENXIO, "mode 3 found"),
        ({"page_size": 16384}, errno.EOPNOTSUPP, "page size 16384"),
        ({"align": 4096, "start_pad": 4096}, errno.EOPNOTSUPP, "resource start misaligned"),
        ({"align": 64 * 1024, "signature": DAX_SIGNATURE}, errno.EOPNOTSUPP, "one of 4K, 2M and 1G"),
        ({"page_struct_size": 56}, errno.EOPNOTSUPP, "page struct size 56"),
        ({"align": 256 * MIB}, errno.EOPNOTSUPP, "alignment 0x10000000"),
        ({"align": 0x300000}, errno.EOPNOTSUPP, "alignment 0x300000"),
        ({"align": 2048}, errno.EOPNOTSUPP, "alignment 0x800"),
        ({"start_pad": 0x200000, "end_trunc": 4096}, errno.EOPNOTSUPP, "resource end misaligned"),
        ({"dataoff": SIZE}, errno.EOPNOTSUPP, "leaves no data"),
        ({"dataoff": 2**64 - 4096}, errno.EOPNOTSUPP, "leaves no data"),
        ({"end_trunc": SIZE - 0x400000}, errno.EOPNOTSUPP, "leaves no data"),
        ({"dataoff": 0x401000}, errno.EOPNOTSUPP, "data start 0x100401000"),
        ({"start_pad": 4096}, errno.EOPNOTSUPP, "data start 0x100401000"),
    ],
)
def test_refused_pfn_blocks(change, number, text):
    block = parse_pfn(FSDAX_DEV._replace(**change).build())
    with pytest.raises(InfoBlockError, match=text) as caught:
        validate_pfn(block, START, SIZE, FSDAX_DEV.parent)
    assert caught.value.errno == number


@pytest.mark.parametrize(("times", "fits"), [(1, True), (2, False)])
def test_the_alignment_may_be_the_size_of_the_namespace(times, fits):
    """The data begins on a multiple of it, a little above the start."""
    block, start = FSDAX_DEV._replace(align=times * SIZE), 32 * SIZE - FSDAX_DEV.dataoff
    if fits:
        validate_pfn(block, start, SIZE, FSDAX_DEV.parent)
    else:
        with pytest.raises(InfoBlockError, match="alignment 0x10000000 found"):
            validate_pfn(block, start, SIZE, FSDAX_DEV.parent)


def test_accepted_pfn_blocks():
    validate_pfn(FSDAX_DEV, START, SIZE, FSDAX_DEV.parent)
    validate_pfn(FSDAX_MEM, 0x10E000000, 64 * MIB, FSDAX_MEM.parent)
    # More room per page than Linux needs is welcome; in RAM mode the sizes say nothing.
    validate_pfn(FSDAX_DEV._replace(page_struct_size=104), START, SIZE, FSDAX_DEV.parent)
    validate_pfn(FSDAX_MEM._replace(page_size=16384, page_struct_size=8), START, SIZE, FSDAX_MEM.parent)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4095), st.integers(1, 255))
def test_any_damaged_byte_is_noticed(at, flip):
    for data, parse in ((FSDAX_DEV.build(), parse_pfn), (BTT_64M.build(), lambda d: parse_btt(d, BTT_64M.parent))):
        damaged = bytearray(data)
        damaged[at] ^= flip
        with pytest.raises(InfoBlockError) as caught:
            parse(damaged)
        assert caught.value.errno == errno.ENODEV


def test_a_short_or_empty_block():
    for data in (b"", bytes(4095), bytes(4096)):
        with pytest.raises(InfoBlockError):
            parse_pfn(data)
        with pytest.raises(InfoBlockError):
            parse_btt(data)


BTT_64M = btt_block(
    64 * MIB,
    4096,
    uuid("64e1e50d-5e48-4c0e-9a35-9e47fe688938"),
    parent=uuid("0a4c5ca7-3cee-47f5-aa62-a1817c39d950"),
    version=(2, 0),
)
BTT_32M = btt_block(
    32 * MIB,
    512,
    uuid("34da539e-f0ee-4262-a462-7f40344e6985"),
    parent=uuid("9a5a647a-01d9-473a-bb48-98cd33f61528"),
    version=(2, 0),
)


@pytest.mark.parametrize(
    ("block", "fields", "expected"),
    [
        (BTT_64M, (16105, 16361, 0x3FEB000, 0x3FFB000, 0x3FFF000), 0x2CB95DD9135B03A4),
        (BTT_32M, (0xFCCC, 0xFDCC, 0x1FBB000, 0x1FFB000, 0x1FFF000), 0x363114B572BAB129),
    ],
    ids=["64 MiB of 4096", "32 MiB of 512"],
)
def test_btt_blocks_of_a_real_linux(block, fields, expected):
    assert (block.external_nlba, block.internal_nlba, block.mapoff, block.logoff, block.info2off) == fields
    assert checksum(block.build()) == expected
    assert parse_btt(block.build(), block.parent) == block


def test_btt_log_lanes():
    log = BTT_64M.log()
    assert len(log) == 256 * 64
    assert log[:64].hex() == "00000000e93e0000e93e000001000000" + "00" * 48
    assert log[64:80].hex() == "01000000ea3e0000ea3e000001000000"


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"parent": bytes(15) + b"1"}, errno.ENODEV),
        ({"external_nlba": 0}, errno.ENXIO),
        ({"external_lbasize": 0}, errno.ENXIO),
        ({"mapoff": 0}, errno.ENXIO),
        ({"info2off": 0x1000}, errno.ENXIO),
    ],
)
def test_refused_btt_blocks(change, number):
    with pytest.raises(InfoBlockError) as caught:
        parse_btt(BTT_64M._replace(**change).build(), BTT_64M.parent)
    assert caught.value.errno == number


def test_reserved_bytes_count_in_the_checksum():
    block = bytearray(FSDAX_DEV.build())
    block[100] = 1
    assert parse_pfn(seal(block, CHECKSUM)) == FSDAX_DEV
