"""Reporting a pmem device: every check, in the order of the checks, and no residue of a report that fails."""

import pytest
from hypervisor_helpers import Device, Refused, play

from xlpy import abi
from xlpy.addr import PAGE, Mfn, Spa, Span
from xlpy.errors import Constraint, HypercallError
from xlpy.hypervisor.frametable import metadata_pages
from xlpy.hypervisor.regions import PmemRegion
from xlpy.hypervisor.xen import Xen

N = 0x80000  # pages of the 2 GiB device
NEED = 5120  # 32 * N / 4096 + 8 * N / 4096


@pytest.mark.parametrize(
    ("pages", "needed"),
    [
        (1, 2),
        (100, 2),
        (128, 2),
        (129, 3),  # a floor division would say 1
        (512, 5),
        (513, 7),
        (1 << 18, 2560),  # 1 GiB: 10 MiB
        (1 << 25, 327680),  # 128 GiB: 1.25 GiB
        (1 << 28, 2621440),  # 1 TiB: 10 GiB
        (N, NEED),
    ],
)
def test_metadata_size(pages, needed):
    assert metadata_pages(pages) == needed


def report(base: int, region=(0, N), reserved=(0, NEED), data=(NEED, N)) -> tuple:
    """Arguments of a report, each area as (first, end) from ``base``."""
    return tuple(Span.between(Mfn(base + a), Mfn(base + b)) for a, b in (region, reserved, data))


# What changes against a good report, errno, and words of the message.
BAD = {
    "empty device": ({"region": (0, 0)}, abi.EINVAL, "the device is empty"),
    "empty data": ({"data": (NEED, NEED)}, abi.EINVAL, "the data area is empty"),
    "reserve before the device": ({"reserved": (-1, NEED - 1)}, abi.EINVAL, "leaves the device"),
    "reserve after the device": (
        {"reserved": (N, N + NEED), "data": (0, N)},
        abi.EINVAL,
        "the reserved area [0x1c0000, 0x1c1400) leaves the device [0x140000, 0x1c0000)",
    ),
    "reserve over the end": ({"reserved": (N - NEED + 1, N + 1), "data": (0, N - NEED)}, abi.EINVAL, "leaves the"),
    "reserve around the device": ({"reserved": (-1, N + 1)}, abi.EINVAL, "leaves the device"),
    "data before the device": ({"data": (-1, 10)}, abi.EINVAL, "the data area [0x13ffff, 0x14000a) leaves"),
    "data over the end": ({"data": (NEED, N + 1)}, abi.EINVAL, "the data area"),
    "reserve and data share a page": ({"data": (NEED - 1, N)}, abi.EINVAL, "overlap"),
    "reserve inside data": ({"reserved": (100, NEED + 100), "data": (0, N)}, abi.EINVAL, "overlap"),
    "data inside reserve": ({"reserved": (0, N), "data": (100, 101)}, abi.EINVAL, "overlap"),
    "reserve is all": ({"reserved": (0, N), "data": (0, N)}, abi.EINVAL, "overlap"),
    "one page too few": (
        {"reserved": (0, NEED - 1)},
        abi.ENOSPC,
        "has 5119 pages, 5120 are required: 32 + 8 bytes for each of 524288 pages",
    ),
    "no reserve": ({"reserved": (0, 0)}, abi.ENOSPC, "has 0 pages, 5120 are required"),
    "longer than the persistent memory": ({"region": (0, N + 1)}, abi.ENOSPC, "required"),
    "longer, with enough reserve": (
        {"region": (0, N + 1), "reserved": (0, NEED + 2), "data": (NEED + 2, N)},
        abi.EINVAL,
        "covers address 0x1c0000000, where the host's memory map has no persistent memory",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_report_is_ignored(name, xen, hw, calls):
    changes, errno, words = BAD[name]
    base = hw.regions[0].span.start >> 12
    before = hw.read(hw.regions[0].span.start, 8 * PAGE)
    with pytest.raises(HypercallError) as caught:
        calls.platform_pmem_add(*report(base, **changes))
    assert caught.value.errno == errno
    assert words in caught.value.message
    assert xen.pmem.regions == []
    assert hw.read(hw.regions[0].span.start, 8 * PAGE) == before
    assert xen.dom0_may_map(hw.regions[0].span)
    calls.platform_pmem_add(*report(base))  # no residue: a good report of the same range succeeds
    assert len(xen.pmem.regions) == 1


def test_who_may_report_and_with_which_interface(xen, hw, guest):
    arguments = report(hw.regions[0].span.start >> 12)
    play(
        xen,
        [
            (guest, "platform_pmem_add", arguments, Refused(abi.EPERM)),
            (guest, "platform_pmem_add", (*arguments, 1), Refused(abi.EPERM)),  # privilege comes first
            (0, "platform_pmem_add", (*arguments, 0x03000002), Refused(abi.EACCES)),
            (0, "platform_pmem_add", (*arguments, 0x03000001), None),
            (0, "platform_pmem_add", arguments, Refused(abi.EEXIST)),
        ],
    )


def test_the_same_report_again_changes_nothing(xen, device, calls):
    table = xen.pmem.frame_table(xen.pmem.regions[0])
    before = list(table.walk())
    with pytest.raises(HypercallError, match=r"registered already, unchanged \(-EEXIST\)"):
        device.report(calls)
    assert xen.pmem.regions == [PmemRegion(device.region, device.reserved, device.data)]
    assert list(table.walk()) == before


def test_checks_come_in_order(xen, device):
    """A report that is wrong in every way fails by the first check; repaired bit by bit, by the later ones."""
    base = device.region.start
    far = 1 << 34  # frame 2**34 is address 2**46
    play(
        xen,
        [
            (0, "platform_pmem_add", report(far), Refused(abi.EINVAL)),  # physical width
            (0, "platform_pmem_add", report(base, reserved=(-5, 0)), Refused(abi.EINVAL)),  # inside
            (0, "platform_pmem_add", report(base, data=(10, N)), Refused(abi.EINVAL)),  # disjoint
            (0, "platform_pmem_add", report(base, reserved=(0, 5)), Refused(abi.ENOSPC)),  # size before overlap
            (0, "platform_pmem_add", report(base), Refused(abi.EEXIST)),  # overlap before the host's map
            (0, "platform_pmem_add", report(base - 1, region=(0, N)), Refused(abi.EEXIST)),
        ],
    )


def test_overlap_with_registered_devices(xen, hw, calls):
    """Containment counts in both directions; touching does not."""
    base = hw.regions[0].span.start >> 12
    need = metadata_pages(0x1000)

    def part(start: int, end: int) -> tuple:
        return report(base, (start, end), (start, start + metadata_pages(end - start)), (end - 1, end))

    play(
        xen,
        [
            (0, "platform_pmem_add", part(0x2000, 0x3000), None),
            (0, "platform_pmem_add", part(0x2000, 0x3000), Refused(abi.EEXIST)),  # identical
            (0, "platform_pmem_add", part(0x2100, 0x2F00), Refused(abi.EEXIST)),  # inside the old one
            (0, "platform_pmem_add", part(0x1000, 0x4000), Refused(abi.EEXIST)),  # the old one inside
            (0, "platform_pmem_add", part(0x1000, 0x2001), Refused(abi.EEXIST)),  # one page at the start
            (0, "platform_pmem_add", part(0x2FFF, 0x4000), Refused(abi.EEXIST)),  # one page at the end
            (0, "platform_pmem_add", part(0x1000, 0x2000), None),  # touches
            (0, "platform_pmem_add", part(0x3000, 0x4000), None),
        ],
    )
    assert need == 40
    assert [one.region.start - base for one in xen.pmem.regions] == [0x2000, 0x1000, 0x3000]


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (0x80000, "type 1"),
        (0xFEC00, "type 4|type 2|no persistent"),
        (0x9F, "type"),
        (0x1000000, "no persistent memory"),
    ],
)
def test_only_persistent_memory_can_be_reported(start, what, calls, xen):
    with pytest.raises(HypercallError, match=what) as caught:
        calls.platform_pmem_add(*report(start, (0, 512), (0, 5), (5, 512)))
    assert caught.value.errno == abi.EINVAL
    assert xen.pmem.regions == []


def test_frame_table_limit(tmp_path):
    """A device that ends beyond 16 TiB cannot be described by the frame table."""
    from xlpy.hw.describe import parse_machine
    from xlpy.hw.hardware import Hardware
    from xlpy.store import Store

    text = """
    {name: wide, ram: 1G, cpu: {count: 1, physical_bits: 52, line: 64}, namespaces: [],
     dimms: [{id: a, capacity: 1G, handle: 1}], sets: [{name: s, dimms: [a], base: 0xfffe0000000}]}
    """
    hw = Hardware.create(tmp_path / "wide", parse_machine(text, "wide"))
    xen = Xen(hw, Store(None))
    xen.boot()
    with pytest.raises(HypercallError, match="ends beyond the frame table, frame 0x100000000") as caught:
        Device(hw, 0).report(xen.hypercalls(0))
    assert caught.value.errno == abi.EINVAL
    hw.close()


@pytest.mark.parametrize("method", ["zero", "write"])
def test_metadata_that_cannot_be_written(method, xen, hw, calls, monkeypatch):
    def full(*_):
        raise Constraint("media: No space left on device")

    monkeypatch.setattr(hw, method, full)
    with pytest.raises(HypercallError, match="No space left") as caught:
        Device(hw, 0).report(calls)
    assert caught.value.errno == abi.ENOMEM
    assert xen.pmem.regions == []
    assert xen.dom0_may_map(hw.regions[0].span)
    monkeypatch.undo()
    Device(hw, 0).report(calls)


def test_reserve_may_lie_anywhere(xen, hw, calls):
    base = hw.regions[0].span.start >> 12
    calls.platform_pmem_add(*report(base, reserved=(N - NEED, N), data=(0, N - NEED)))
    assert [run.start - base for run in xen.pmem.frame_table(xen.pmem.regions[0]).walk()] == [0, N - NEED]
    base = hw.regions[1].span.start >> 12
    half = N // 4
    calls.platform_pmem_add(
        *report(base, (0, N // 2), (half, half + NEED // 2), (0, half))  # the part behind the reserve stays Dom0's
    )
    runs = list(xen.pmem.frame_table(xen.pmem.regions[1]).walk())
    assert [(run.start - base, run.info.owner) for run in runs] == [
        (0, None),
        (half, abi.DOMID_XEN),
        (half + NEED // 2, abi.DOMID_IO),
    ]


def test_dom0_loses_the_reserve_and_nothing_else(xen, device):
    start, end = device.reserved.start << 12, device.reserved.end << 12
    for first, last, allowed in [
        (start, end, False),
        (start, start + 1, False),
        (end - 1, end, False),
        (end, end + PAGE, True),  # not one page too many
        (start - PAGE, start, True),
        (start - 1, start + 1, False),
        (device.span.start, device.span.end, False),
        (0, PAGE, True),
    ]:
        assert xen.dom0_may_map(Span.between(Spa(first), Spa(last))) is allowed, (hex(first), hex(last))


def test_registry_is_remembered(xen, hw, store, device):
    again = Xen(hw, store)
    span = Span(Spa(device.first << 12), PAGE)
    inside, beside = again.registered(span), again.registered(Span(Spa(device.reserved.start << 12), PAGE))
    assert "pmem" not in again.__dict__  # what a listing would have to load otherwise
    assert again.pmem.regions == [PmemRegion(device.region, device.reserved, device.data)]
    assert not again.pmem.unclean
    assert again.registered(span) is inside is True
    assert again.registered(Span(Spa(device.reserved.start << 12), PAGE)) is beside is False
    assert again.pmem.owner_of(span) is None


def test_content_outside_the_reserve_is_untouched(hw, calls):
    span = hw.regions[0].span
    device = Device(hw, 0)
    marks = [span.start, (device.reserved.start << 12) - 8, device.reserved.end << 12, span.end - 8]
    for mark in marks:
        hw.write(Spa(mark), b"keep me!")
    hw.write(Spa(device.reserved.start << 12), b"old data" * 100)
    device.report(calls)
    assert [hw.read(Spa(mark), 8) for mark in marks] == [b"keep me!"] * 4


def test_six_tebibytes_are_reported_by_extent(hw, calls, xen):
    device = Device(hw, 2).report(calls)
    table = xen.pmem.frame_table(xen.pmem.regions[0])
    assert [(run.end - run.start, run.info.free) for run in table.walk()] == [
        (16, False),
        (metadata_pages(6 << 28), False),
        (device.data.size, True),
    ]
    assert hw.regions[2].path.stat().st_blocks * 512 < 1 << 20
