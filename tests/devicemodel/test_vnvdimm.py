"""A vNVDIMM and its backing: address translation both ways, identity, what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.addr import GIB, KIB, MIB, PAGE, Gpa, Spa, Span
from xlpy.devicemodel.backing import Backing, Vnvdimm, check_backing, serial_number
from xlpy.errors import Constraint

SCATTERED = Vnvdimm(
    1,
    Gpa(20 * GIB),
    Backing("/mnt/pmem0/a", (Span(Spa(0x5000), 0x2000), Span(Spa(0x1000), 0x3000), Span(Spa(0x9000), 0x1000))),
    7,
)
BASE = SCATTERED.gpa


def test_numbers_derive_from_the_slot() -> None:
    assert (SCATTERED.handle, SCATTERED.name, SCATTERED.span) == (2, "NV01", Span(BASE, 0x6000))


@pytest.mark.parametrize(
    ("guest", "host"),
    [
        ((0, 0x6000), [(0x5000, 0x2000), (0x1000, 0x3000), (0x9000, 0x1000)]),
        ((0x1800, 0x1000), [(0x6800, 0x800), (0x1000, 0x800)]),
        ((0x2000, 1), [(0x1000, 1)]),
        ((0x5FFF, 1), [(0x9FFF, 1)]),
    ],
)
def test_guest_to_host(guest: tuple[int, int], host: list[tuple[int, int]]) -> None:
    found = SCATTERED.host_spans(Span(Gpa(BASE + guest[0]), guest[1]))
    assert found == [Span(Spa(start), size) for start, size in host]


@pytest.mark.parametrize(
    ("host", "guest"),
    [
        ([(0, 0x10000)], [(0, 0x6000)]),
        ([(0x5040, 0x40)], [(0x40, 0x40)]),
        ([(0x3FC0, 0x1080)], [(0, 0x40), (0x4FC0, 0x40)]),
        ([(0x4000, 0x1000), (0xA000, 0x1000)], []),
    ],
)
def test_host_to_guest(host: list[tuple[int, int]], guest: list[tuple[int, int]]) -> None:
    found = SCATTERED.guest_spans(Span(Spa(start), size) for start, size in host)
    assert found == [Span(Gpa(BASE + start), size) for start, size in guest]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_there_and_back(data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(6)))
    device = SCATTERED._replace(
        backing=Backing("f", tuple(Span(Spa(slot * 0x4000), 0x1000 * (1 + slot % 3)) for slot in order))
    )
    start = data.draw(st.integers(0, device.backing.size - 1))
    size = data.draw(st.integers(1, device.backing.size - start))
    span = Span(Gpa(BASE + start), size)
    host = device.host_spans(span)
    assert sum(piece.size for piece in host) == size
    assert device.guest_spans(host) == [span]


def test_state_survives_json() -> None:
    device = SCATTERED._replace(
        released=True,
        backing=SCATTERED.backing._replace(
            label_path="/l", label_size=256 * KIB, unarmed=True, uuid=bytes(range(16)), smart=True
        ),
    )
    assert Vnvdimm.from_json(json.loads(json.dumps(device.to_json()))) == device


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spans": ()}, "has no memory"),
        ({"spans": (Span(Spa(0x1000), 0),)}, "has no memory"),
        ({"spans": (Span(Spa(0x1000), 0x1800),)}, "not a number of whole pages"),
        ({"spans": (Span(Spa(0x1200), 0x1000),)}, "not a number of whole pages"),
        ({"label_size": 64 * KIB}, "label area of 65536 bytes"),
        ({"label_size": 128 * KIB + 1}, "label area of 131073 bytes"),
        ({"label_size": 2 * GIB}, "label area of 2147483648 bytes"),
        ({"uuid": b"short"}, "a uuid has 16 bytes"),
    ],
)
def test_refused(change: dict[str, object], message: str) -> None:
    good = Backing("/dev/pmem0", (Span(Spa(0), PAGE),), "/labels")
    check_backing(good)
    with pytest.raises(Constraint, match=message):
        check_backing(good._replace(**change))


def test_serial_numbers_stay_and_never_meet() -> None:
    identity = Backing("/dev/pmem0", ()).identity
    first = serial_number(identity)
    assert first == serial_number(identity, [1, 2, 3])
    assert first != serial_number(Backing("/dev/pmem1", ()).identity)
    assert serial_number(identity, [first]) not in (first, 0, 0xFFFFFFFF)
    assert serial_number(b"", []) != 0  # the checksum of nothing is 0


def test_a_large_device_costs_nothing() -> None:
    device = Vnvdimm(0, BASE, Backing("big", (Span(Spa(0), 6144 * GIB),)), 1)
    assert device.host_spans(device.span) == [Span(Spa(0), 6144 * GIB)]
    assert device.dpa(Gpa(BASE + MIB)) == MIB
