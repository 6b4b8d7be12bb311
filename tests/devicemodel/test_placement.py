"""Where vNVDIMMs go in guest space."""

from __future__ import annotations

import pytest

from xlpy.addr import GIB, MIB, TIB, Gpa, Spa, Span
from xlpy.devicemodel.backing import Backing
from xlpy.devicemodel.placement import GuestRam, place, superpage_skew
from xlpy.errors import Constraint

SMALL = GuestRam(Gpa(512 * MIB), Gpa(0), 46)
HIGH = GuestRam(Gpa(0xF0000000), Gpa(0x190000000), 46)  # 6 GiB


def backing(*spans: tuple[int, int]) -> Backing:
    return Backing("/dev/pmem0", tuple(Span(Spa(start), size) for start, size in spans))


@pytest.mark.parametrize(
    ("ram", "host", "start"),
    [
        pytest.param(SMALL, (0x200000000, 64 * MIB), 20 * GIB, id="4 GiB and the BAR window"),
        pytest.param(HIGH, (0x200000000, 64 * MIB), 23 * GIB, id="end of high RAM, the window, rounded up"),
        pytest.param(SMALL, (0x200200000, 64 * MIB), 20 * GIB, id="too small for a 1 GiB page"),
        pytest.param(SMALL, (0x201000000, 2 * GIB), 20 * GIB + 0x1000000, id="moved up by 16 MiB for a 1 GiB page"),
        pytest.param(SMALL, (0x200200000, 6 * TIB), 20 * GIB, id="2 MiB would spoil the guest's region alignment"),
        pytest.param(SMALL, (0x201001000, 6 * TIB), 20 * GIB, id="so would 4 KiB"),
    ],
)
def test_start(ram: GuestRam, host: tuple[int, int], start: int) -> None:
    assert place(backing(host), ram) == start


@pytest.mark.parametrize(
    ("spans", "skew"),
    [
        ([], 0),
        ([(0, 4 * GIB)], 0),
        ([(512 * MIB, 4 * GIB)], 512 * MIB),
        ([(512 * MIB, GIB)], 0),  # no whole page
        ([(512 * MIB, 4 * GIB), (16 * GIB, 8 * GIB)], 0),  # more to gain with the second
        ([(512 * MIB, 8 * GIB), (16 * GIB, 4 * GIB)], 512 * MIB),
        ([(512 * MIB, 2 * GIB), (16 * GIB, 2 * GIB)], 0),  # 1 page there, 2 here
        ([(512 * MIB, 2 * GIB), (16 * GIB + 256 * MIB, 2 * GIB)], 256 * MIB),  # 1 page each: the lower one
        ([(256 * MIB, 2 * GIB), (16 * GIB + 512 * MIB, 2 * GIB)], 256 * MIB),
    ],
)
def test_the_skew_wins_most_1_gib_pages(spans: list[tuple[int, int]], skew: int) -> None:
    assert superpage_skew([Span(Spa(start), size) for start, size in spans]) == skew


def test_devices_follow_each_other_and_fill_gaps() -> None:
    taken: list[Span[Gpa]] = []
    for size in (64 * MIB, GIB, 3 * GIB, 4096):
        device = backing((0x200000000, size))
        taken.append(Span(place(device, SMALL, taken), size))
    assert [span.start // GIB for span in taken] == [20, 21, 22, 25]
    del taken[1]
    assert place(backing((0x200000000, GIB)), SMALL, taken) == 21 * GIB
    assert place(backing((0x200000000, GIB + 4096)), SMALL, taken) == 26 * GIB


def test_the_last_address_is_usable_and_the_next_is_not() -> None:
    narrow = SMALL._replace(physical_bits=36)
    assert place(backing((0, 44 * GIB)), narrow) == 20 * GIB
    with pytest.raises(Constraint) as caught:
        place(backing((0, 44 * GIB + 4096)), narrow)
    assert caught.value.code == "XLPY-GUEST-WIDTH"
    assert "0x500000000" in caught.value.message
    assert "36 physical address bits and ends at 0x1000000000" in caught.value.message
    assert caught.value.hint == (
        "16G from 0x100000000 on are kept for 64-bit BARs of PCI devices; give the domain less memory, or fewer or"
        " smaller vNVDIMMs, or the machine 37 physical address bits (cpu: {physical_bits: 37})"
    )
    with pytest.raises(Constraint) as caught:
        place(backing((0, 61 * GIB)), narrow)  # nor without the window
    assert caught.value.hint == "give the domain less memory, or fewer or smaller vNVDIMMs"


def test_a_device_beyond_64_bits_is_a_constraint_too() -> None:
    with pytest.raises(Constraint):
        place(backing((0, (1 << 64) - 4096), (0, (1 << 64) - 4096)), SMALL._replace(physical_bits=64))
