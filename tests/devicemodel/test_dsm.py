"""Transcripts of ``_DSM``: what is asked, and what the device model answers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from devicemodel.fakes import FakeMedia
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.addr import GIB, KIB, Gpa, Spa, Span
from xlpy.devicemodel import dsm
from xlpy.devicemodel.ars import Ars, Scan
from xlpy.devicemodel.backing import Backing, Vnvdimm
from xlpy.devicemodel.labels import LabelStore
from xlpy.devicemodel.mailbox import Request
from xlpy.devicemodel.smart import Smart, strictest, worst
from xlpy.hw.health import Thresholds
from xlpy.hw.machine import HealthSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = bytes.fromhex("a4e7102f919ee41189d3123b93f75cba")
DEVICE = bytes.fromhex("30ac0943110de411919108 00200c9a66".replace(" ", ""))
PRIVATE = bytes.fromhex("f29c8b64a1cd12438ad949c4af32bd62")
HPE1 = bytes.fromhex("34c30290f3ac0e4c9642a235f0d53bc6")

BASE = 20 * GIB
SIZE = 128 * KIB


class Guest:
    """One domain's state, and a voice to ask with."""

    def __init__(self, folder: Path, *poison: tuple[int, int]) -> None:
        self.media = FakeMedia(*poison)
        labelled = Backing(
            "/dev/pmem0",
            (Span(Spa(0x8000), 0x2000), Span(Spa(0x1000), 0x2000)),
            str(folder / "labels"),
            SIZE,
            smart=True,
        )
        self.health = HealthSpec(spares=5, media_temperature=25, controller_temperature=-2, unsafe_shutdowns=3)
        self.limits = Thresholds()
        self.health_asked: list[int] = []
        bare = Backing("/dev/pmem1", (Span(Spa(0x10000), 0x1000),))
        self.devices: Sequence[Vnvdimm] = (Vnvdimm(0, Gpa(BASE), labelled, 1), Vnvdimm(1, Gpa(BASE + GIB), bare, 2))
        self.scans: list[Scan] = []
        self.fit = bytes(range(256)) * 20
        self.fit_changed = False
        self.released: list[int] = []
        self.waiting: list[tuple[int, int]] = []

    def labels(self, device: Vnvdimm) -> LabelStore | None:
        backing = device.backing
        return LabelStore(backing.label_path, backing.label_size) if backing.label_path else None

    def smart(self, _device: Vnvdimm) -> Smart:
        return Smart(self.health, self.limits, self.limits.alarms(self.health))

    def set_limits(self, _device: Vnvdimm, limits: Thresholds) -> None:
        self.limits = limits

    def health_begun(self, device: Vnvdimm) -> None:
        self.health_asked.append(device.slot)

    def fit_begun(self) -> None:
        self.fit_changed = False

    @property
    def ars(self) -> Ars:
        return Ars(self.media, self.devices, self.scans[-1] if self.scans else None, self.scans.append)

    def release(self, device: Vnvdimm) -> None:
        self.released.append(device.slot)

    def next_event(self) -> tuple[int, int] | None:
        return self.waiting.pop(0) if self.waiting else None

    def ask(self, uuid: bytes, handle: int, function: int, data: bytes = b"", revision: int = 1) -> bytes:
        return dsm.answer(self, Request(handle, revision, function, uuid, len(data), data))

    def root(self, function: int, *values: int) -> bytes:
        form = {2: "<QQHB5x", 5: "<Q"}.get(function, "<QQ")
        return self.ask(ROOT, 0, function, struct.pack(form, *values) if values else b"")

    def device(self, function: int, *values: int, data: bytes = b"") -> bytes:
        return self.ask(DEVICE, 1, function, struct.pack(f"<{len(values)}I", *values) + data)


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


def words(output: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(output) // 4}I", output)


@pytest.mark.parametrize(
    ("uuid", "handle", "revision", "mask"),
    [
        (ROOT, 0, 1, 0x3F),
        (DEVICE, 1, 1, 0x77),  # SMART and labels
        (DEVICE, 1, 2, 0x20077),  # and thresholds that can be set
        (DEVICE, 1, 3, 0x00),
        (DEVICE, 2, 2, 0x00),
        (DEVICE, 2, 1, 0x00),  # neither
        (DEVICE, 3, 1, 0x00),  # no such device
        (PRIVATE, 0x10000, 1, 0x0F),
        (ROOT, 0, 2, 0x00),
        (DEVICE, 1, 0, 0x00),
        (HPE1, 1, 1, 0x00),  # Linux asks for every family
        (bytes(16), 1, 1, 0x00),
        (ROOT, 1, 1, 0x00),
        (DEVICE, 0, 1, 0x00),
        (DEVICE, 0x10000, 1, 0x00),
        (PRIVATE, 0, 1, 0x00),
    ],
)
def test_function_0(guest: Guest, uuid: bytes, handle: int, revision: int, mask: int) -> None:
    assert guest.ask(uuid, handle, 0, revision=revision) == mask.to_bytes(3 if mask >> 8 else 1, "little")


@pytest.mark.parametrize(
    ("uuid", "handle", "function", "revision", "code"),
    [
        (HPE1, 1, 4, 1, 1),  # interface before all else
        (DEVICE, 1, 4, 3, 1),  # then the revision
        (DEVICE, 3, 4, 3, 1),
        (DEVICE, 3, 4, 1, 2),  # then the device
        (DEVICE, 0xFFFFFFFF, 99, 1, 2),
        (DEVICE, 1, 3, 1, 1),  # then the function
        (DEVICE, 1, 17, 1, 1),
        (DEVICE, 1, 0xFFFFFFFF, 1, 1),
        (DEVICE, 2, 4, 1, 1),  # a device without labels
        (DEVICE, 1, 5, 1, 3),  # then the input
        (ROOT, 0, 6, 1, 1),
        (ROOT, 0, 1, 1, 2),
        (PRIVATE, 0x10000, 4, 1, 1),
        (PRIVATE, 0x10000, 1, 1, 3),
    ],
)
def test_what_is_not_there_gets_a_status_and_nothing_else(
    guest: Guest, uuid: bytes, handle: int, function: int, revision: int, code: int
) -> None:
    assert words(guest.ask(uuid, handle, function, revision=revision)) == (code,)


# -- labels --------------------------------------------------------------------------------------------------------


def test_a_label_conversation(guest: Guest) -> None:
    assert words(guest.device(4)) == (0, 131072, 4048)
    assert guest.device(5, 0, 8) == bytes(12)
    assert words(guest.device(6, 4, 4, data=b"ABCD")) == (0,)
    assert guest.device(5, 0, 10) == bytes(4) + b"\0\0\0\0ABCD\0\0"
    assert words(guest.device(6, SIZE - 2, 2, data=b"zz and what follows is not looked at")) == (0,)
    assert guest.device(5, SIZE - 3, 3) == bytes(4) + b"\0zz"


def test_the_longest_transfer_both_ways(guest: Guest) -> None:
    longest = bytes(range(1, 255)) * 16
    longest = longest[:4048]
    assert words(guest.device(6, 1, 4048, data=longest)) == (0,)
    assert guest.device(5, 1, 4048) == bytes(4) + longest


@pytest.mark.parametrize(
    ("offset", "length", "code"),
    [
        (0, 0, 0),
        (SIZE, 0, 0),
        (SIZE, 1, 3),
        (SIZE - 1, 2, 3),
        (0, 4049, 3),
        (0xFFFFFFFF, 1, 3),
        (1, 0xFFFFFFFF, 3),
        (0xFFFFFFFF, 0xFFFFFFFF, 3),
        (0x80000000, 0x80000000, 3),
    ],
)
def test_label_bounds(guest: Guest, offset: int, length: int, code: int) -> None:
    assert words(guest.device(5, offset, length)) == (code,)
    assert words(guest.device(6, offset, length, data=bytes(4048))) == (code,)
    assert not Path(guest.devices[0].backing.label_path or "").exists() or code == 0


@pytest.mark.parametrize("data", [b"", b"\0" * 7, struct.pack("<II", 0, 4) + b"ABC"])
def test_a_label_write_with_less_data_than_it_claims(guest: Guest, data: bytes) -> None:
    assert words(guest.ask(DEVICE, 1, 6, data)) == (3,)


def test_a_request_longer_than_the_page(guest: Guest) -> None:
    data = struct.pack("<II", 0, 4048) + bytes(4048)
    assert words(dsm.answer(guest, Request(1, 1, 6, DEVICE, 4057, data))) == (3,)
    assert words(dsm.answer(guest, Request(1, 1, 6, DEVICE, 4056, data))) == (0,)


def test_storage_that_fails_is_a_hardware_error(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", broken)
    assert words(guest.device(6, 0, 4, data=b"ABCD")) == (4,)


# -- health --------------------------------------------------------------------------------------------------------


def test_smart(guest: Guest) -> None:
    output = guest.device(1)
    assert (len(output), words(output[:4])) == (132, (0,))
    assert output[4:] == bytes.fromhex(
        "3f060000 00000000"  # valid: health to unsafe shutdowns, alarms, last shutdown
        "00 05 00 01"  # ok, 5 % spares, 0 % used, alarm: spares
        "9001 2080 03000000"  # 25 degrees, -2 degrees, 3 unsafe shutdowns
        "00 0000 0000000000000000 00 00000000"
    ) + bytes(92)


def test_thresholds(guest: Guest) -> None:
    assert guest.device(2).hex() == "00000000" + "0700" + "0a" + "0005" + "5005" + "00"
    guest.limits = Thresholds(3, -1, 90.5, ("controller_temperature",))
    assert guest.device(2).hex() == "00000000" + "0400" + "03" + "1080" + "a805" + "00"


def test_thresholds_that_the_guest_sets(guest: Guest) -> None:
    def choose(*fields: int) -> tuple[int, ...]:
        return words(guest.ask(DEVICE, 1, 17, struct.pack("<HBHH", *fields), revision=2))

    assert choose(5, 100, 0x8010, 0x05A8) == (0,)
    assert guest.limits == Thresholds(100, -1, 90.5, ("spares", "controller_temperature"))
    assert guest.device(2).hex() == "00000000" + "0500" + "64" + "1080" + "a805" + "00"
    assert choose(8, 0, 0, 0) == choose(0, 101, 0, 0) == (3,)  # no such alarm; more than all
    assert words(guest.ask(DEVICE, 1, 17, bytes(6), revision=2)) == (3,)
    assert guest.limits.spares == 100


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("non-critical", 1), ("critical", 2), ("fatal", 4)])
def test_health_states(guest: Guest, state: str, code: int) -> None:
    guest.health = HealthSpec(state)
    assert guest.device(1)[12] == code
    assert guest.health_asked == [0]


def test_the_worst_of_several() -> None:
    one = HealthSpec("ok", 90, 10, 40, 50, 0, "dirty")
    two = HealthSpec("critical", 100, 20, 30, 55, 2, "clean")
    assert worst([one, two]) == HealthSpec("critical", 90, 20, 40, 55, 2, "dirty")
    limits = [Thresholds(10, 80, 85, ("spares",)), Thresholds(20, 90, 70, ("controller_temperature",))]
    assert strictest(limits) == Thresholds(20, 80, 70, ("spares", "controller_temperature"))


# -- scrub and clear -----------------------------------------------------------------------------------------------


def test_a_scrub_conversation(tmp_path: Path) -> None:
    guest = Guest(tmp_path, (0x1F80, 0x100), (0x9FC0, 0x40), (0x100000, 0x1000))
    assert struct.unpack("<IIIHH", guest.root(1, BASE, 0x4000)) == (0x20000, 4056, 64, 0, 0)
    assert words(guest.root(3))[:2] == (0x20000, 48)  # no data yet
    assert words(guest.root(2, BASE, 0x4000, 2, 0)) == (0, 0)
    assert guest.scans == [(BASE, 0x4000, 2)]
    output = guest.root(3)
    assert struct.unpack_from("<IIQQQQHHI", output) == (0, 96, BASE, 0x4000, 0, 0, 2, 0, 2)
    records = list(struct.iter_unpack("<IIQQ", output[48:]))
    assert records == [(1, 0, BASE + 0x1FC0, 0x40), (1, 0, BASE + 0x2F80, 0x100)]
    assert struct.unpack("<IIQ", guest.root(4, BASE + 0x3000, 0x40)) == (0, 0, 0x40)
    assert guest.media.cleared == [Span(Spa(0x2000), 0x40)]
    assert [record[2:] for record in struct.iter_unpack("<IIQQ", guest.root(3)[48:])] == [
        (BASE + 0x1FC0, 0x40),
        (BASE + 0x2F80, 0x80),
        (BASE + 0x3040, 0x40),
    ]


def test_clearing_a_range_touches_bad_lines_only(tmp_path: Path) -> None:
    guest = Guest(tmp_path, (0x0, 0x1040), (0x9FC0, 0x40))
    assert struct.unpack("<IIQ", guest.root(4, BASE, 0x4000)) == (0, 0, 0x4000)
    assert guest.media.cleared == [Span(Spa(0x9FC0), 0x40), Span(Spa(0x1000), 0x40)]
    assert guest.media.bad == [Span(Spa(0), 0x1000)]


def test_more_errors_than_fit_go_on_from_the_restart_address(tmp_path: Path) -> None:
    bad = [(0x8000 + 0x10 * n, 8) for n in range(200)]
    guest = Guest(tmp_path, *bad)
    found = []
    start, length = BASE, 0x4000
    for turn in range(2):
        guest.root(2, start, length, 2, 0)
        output = guest.root(3)
        status, size, at, scanned, restart, rest, kind, flags, count = struct.unpack_from("<IIQQQQHHI", output)
        assert (len(output), at, kind) == (size, start, 2)
        found += [record[2] for record in struct.iter_unpack("<IIQQ", output[48:])]
        assert (status, flags, count) == ((0x30000, 1, 167) if turn == 0 else (0, 0, 33))
        assert (restart, rest) == ((at + scanned, start + length - restart) if turn == 0 else (0, 0))
        start, length = restart, rest
    assert found == [BASE + 0x10 * n for n in range(200)]


@pytest.mark.parametrize(
    ("start", "length"),
    [
        (BASE, 0),
        (BASE - 1, 2),
        (BASE, 0x4001),
        (BASE + 0x4000, 1),
        (0, 0xFFFFFFFFFFFFFFFF),
        (0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF),
        (BASE, GIB + 0x1000),  # over both devices
        (0x8000, 0x40),  # a host address
    ],
)
def test_ranges_that_are_not_the_guests(guest: Guest, start: int, length: int) -> None:
    assert words(guest.root(1, start, length))[0] == 2
    assert words(guest.root(2, start, length, 2, 0))[0] == 2
    assert words(guest.root(4, start, length))[0] == 2
    assert words(guest.root(3))[0] == 0x20000
    assert not guest.media.cleared


@pytest.mark.parametrize("kind", [0, 1, 3, 0xFFFF])
def test_only_persistent_memory_is_scrubbed(guest: Guest, kind: int) -> None:
    assert words(guest.root(2, BASE, 0x1000, kind, 0))[0] == 2


@pytest.mark.parametrize(("start", "length"), [(BASE + 32, 64), (BASE, 32)])
def test_errors_are_cleared_by_lines(guest: Guest, start: int, length: int) -> None:
    assert struct.unpack("<IIQ", guest.root(4, start, length)) == (2, 0, 0)


def test_translate(guest: Guest) -> None:
    assert struct.unpack("<IB3xQIIIQ", guest.root(5, BASE + 0x1234)) == (0, 0, 0x2DCC, 1, 1, 0, 0x1234)
    assert struct.unpack("<IB3xQIIIQ", guest.root(5, BASE + GIB)) == (0, 0, 0x1000, 1, 2, 0, 0)
    assert struct.unpack("<IB3xQI", guest.root(5, BASE + 0x4000)) == (2, 0, 0, 0)


# -- Read FIT and release ------------------------------------------------------------------------------------------


def read_fit(guest: Guest, offset: int) -> bytes:
    return guest.ask(PRIVATE, 0x10000, 1, struct.pack("<I", offset))


def test_the_fit_comes_in_pieces(guest: Guest) -> None:
    first = read_fit(guest, 0)
    assert (len(first), words(first[:4])) == (4056, (0,))
    second = read_fit(guest, 4052)
    assert first[4:] + second[4:] == guest.fit
    assert words(read_fit(guest, len(guest.fit))) == (0,)
    assert words(read_fit(guest, len(guest.fit) + 1)) == (3,)
    assert words(read_fit(guest, 0xFFFFFFFF)) == (3,)


def test_a_fit_that_changes_meanwhile_is_begun_anew(guest: Guest) -> None:
    read_fit(guest, 0)
    guest.fit_changed = True
    assert words(read_fit(guest, 4052)) == (0x100,)
    assert words(read_fit(guest, 4052)) == (0x100,)
    assert words(read_fit(guest, 0)[:4]) == (0,)
    assert words(read_fit(guest, 4052)[:4]) == (0,)


def test_a_guest_lets_go_of_its_own_devices_only(guest: Guest) -> None:
    assert words(guest.ask(PRIVATE, 0x10000, 2, struct.pack("<I", 2))) == (0,)
    assert words(guest.ask(PRIVATE, 0x10000, 2, struct.pack("<I", 3))) == (2,)
    assert words(guest.ask(PRIVATE, 0x10000, 2, struct.pack("<I", 0))) == (2,)
    assert guest.released == [1]


@settings(max_examples=100, deadline=None)
@given(
    uuid=st.sampled_from([ROOT, DEVICE, PRIVATE, HPE1]),
    handle=st.sampled_from([0, 1, 2, 3, 0x10000, 0xFFFFFFFF]),
    function=st.integers(0, 12),
    revision=st.integers(0, 2),
    data=st.binary(max_size=40),
    claim=st.integers(0, 0xFFFFFFFF),
)
def test_any_request_gets_an_answer_that_fits(
    tmp_path_factory: pytest.TempPathFactory,
    uuid: bytes,
    handle: int,
    function: int,
    revision: int,
    data: bytes,
    claim: int,
) -> None:
    guest = Guest(tmp_path_factory.getbasetemp())
    output = dsm.answer(guest, Request(handle, revision, function, uuid, claim, data[:claim]))
    assert 1 <= len(output) <= 4056
    assert function == 0 or len(output) >= 4


# -- notifications ---------------------------------------------------------------------------------------------------


def test_notifications_come_one_by_one(guest: Guest) -> None:
    guest.waiting = [(0, 0x80), (2, 0x81)]
    assert [words(guest.ask(PRIVATE, 0x10000, 3)) for _ in range(3)] == [(0, 0, 0x80), (0, 2, 0x81), (0x101,)]
