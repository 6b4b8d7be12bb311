"""End to end: the guest's AML is evaluated, its page accesses trap, the device model answers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from xlpy.addr import GIB, KIB, MIB, Gpa, Span
from xlpy.dom0.nvdimm.labels import empty_index, read_area
from xlpy.firmware.acpi.aml import device, name, package, scope
from xlpy.firmware.acpi.eval import Interpreter, load
from xlpy.firmware.acpi.nfit import ControlRegion
from xlpy.firmware.acpi.nfit_format import parse_structures
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.layout import XEN_HVM, in_ram

if TYPE_CHECKING:
    from devicemodel.conftest import World

    from xlpy.devicemodel.model import DeviceModel
    from xlpy.hypervisor.mmio import IoRequest

ROOT = bytes.fromhex("a4e7102f919ee41189d3123b93f75cba")
DEVICE = bytes.fromhex("30ac0943110de4119191" + "0800200c9a66")
OTHER = bytes.fromhex("34c30290f3ac0e4c9642a235f0d53bc6")
SIZE = 128 * KIB


class GuestMemory:
    """Operation regions go through the domain's memory, trap by trap."""

    def __init__(self, world: World) -> None:
        self._memory = world.domain.memory
        self.traps = 0

    def read(self, space: int, address: int, width: int) -> int:
        assert space == 0
        self.traps += 1
        return int.from_bytes(self._memory.read(Gpa(address), width), "little")

    def write(self, space: int, address: int, width: int, value: int) -> None:
        assert space == 0
        self.traps += 1
        self._memory.write(Gpa(address), value.to_bytes(width, "little"))


def interpret(model: DeviceModel, memory: GuestMemory, revision: int = 2) -> Interpreter:
    """An operating system that has loaded what hvmloader makes of the model's entries."""
    body = model.entries()[1].body
    dsdt = build_table("DSDT", name("\\_S5", package(0, 0, 0, 0)), revision)
    return load([dsdt, build_table("SSDT", scope("\\_SB", device("NVDR", body)), 2)], memory)


@pytest.fixture
def memory(world: World) -> GuestMemory:
    pieces = [(4 * MIB, 64 * KIB), (1 * MIB, 64 * KIB)]
    model = world.model()
    model.attach([world.backing("a", *pieces), world.backing("b", (8 * MIB, MIB), label_path=None, smart=False)])
    model.connect()
    return GuestMemory(world)


@pytest.fixture(params=[2, 1], ids=["64-bit", "32-bit"])
def guest(world: World, memory: GuestMemory, request: pytest.FixtureRequest) -> Interpreter:
    return interpret(world.model(), memory, request.param)


def dsm(guest: Interpreter, path: str, uuid: bytes, function: int, data: bytes | None = None) -> bytes:
    output = guest.evaluate(f"\\_SB.NVDR{path}._DSM", uuid, 1, function, [] if data is None else [data])
    assert isinstance(output, bytes)
    return output


@pytest.mark.parametrize(
    ("path", "uuid", "mask"),
    [
        ("", ROOT, "3f"),
        (".NV00", DEVICE, "77"),
        (".NV01", DEVICE, "00"),
        (".NV02", DEVICE, "00"),
        (".NV00", OTHER, "00"),
    ],
)
def test_function_0_is_a_buffer(guest: Interpreter, path: str, uuid: bytes, mask: str) -> None:
    assert dsm(guest, path, uuid, 0).hex() == mask


def test_a_mask_of_three_bytes(guest: Interpreter) -> None:
    assert guest.evaluate("\\_SB.NVDR.NV00._DSM", DEVICE, 2, 0, []) == bytes.fromhex("770002")


def test_short_results_are_buffers(guest: Interpreter) -> None:
    assert dsm(guest, ".NV02", DEVICE, 4) == struct.pack("<I", 2)
    assert dsm(guest, "", ROOT, 2, struct.pack("<QQHB5x", 20 * GIB, 128 * KIB, 2, 0)) == bytes(8)


def test_labels_through_dsm(guest: Interpreter) -> None:
    assert dsm(guest, ".NV00", DEVICE, 4) == struct.pack("<III", 0, SIZE, 4048)
    data = bytes(range(1, 254)) * 16
    for length in (1, 7, 8, 9, 56, 57, 64, 65, 4048):
        request = struct.pack("<II", 100, length)
        assert dsm(guest, ".NV00", DEVICE, 6, request + data[:length]) == bytes(4)
        assert dsm(guest, ".NV00", DEVICE, 5, request) == bytes(4) + data[:length]
    assert dsm(guest, ".NV00", DEVICE, 5, struct.pack("<II", 0, 4049)) == struct.pack("<I", 3)
    assert dsm(guest, ".NV00", DEVICE, 6, struct.pack("<II", 0, 4049) + bytes(4049)) == struct.pack("<I", 3)
    assert dsm(guest, ".NV00", DEVICE, 6, struct.pack("<II", 0, 8192) + bytes(8192)) == struct.pack("<I", 3)


def test_labels_through_their_own_methods(guest: Interpreter) -> None:
    path = "\\_SB.NVDR.NV00"
    assert guest.evaluate(f"{path}._LSI") == [0, SIZE, 4048]
    assert guest.evaluate(f"{path}._LSW", 16, 5, b"label") == 0
    assert guest.evaluate(f"{path}._LSR", 15, 7) == [0, b"\0label\0"]
    assert guest.evaluate(f"{path}._LSR", SIZE, 1) == [2, b""]
    assert guest.evaluate(f"{path}._LSW", SIZE - 2, 3, b"abc") == 2
    assert guest.evaluate(f"{path}._LSW", 0, 4, b"abc") == 2
    assert guest.evaluate("\\_SB.NVDR.NV01._LSI") == [1, 0, 0]
    assert guest.evaluate("\\_SB.NVDR.NV01._LSR", 0, 1) == [1, b""]


def test_a_guest_initialises_its_labels(guest: Interpreter, world: World) -> None:
    for block in (0, 1):
        index = empty_index(SIZE, block).build()
        assert guest.evaluate("\\_SB.NVDR.NV00._LSW", block * 256, 256, index) == 0

    def read(offset: int, length: int) -> bytes:
        return dsm(guest, ".NV00", DEVICE, 5, struct.pack("<II", offset, length))[4:]

    seen = read_area(SIZE, read)
    assert (seen.current, seen.available_slots, seen.problems) == (0, 509, ())
    world.model().destroy()
    (again,) = world.model().attach([world.backing("a", (0, MIB))])  # the next domain with this backing
    labels = world.model().labels(again)
    assert labels is not None
    assert read_area(SIZE, labels.read) == seen


def test_health(guest: Interpreter) -> None:
    assert len(dsm(guest, ".NV00", DEVICE, 1)) == 132
    assert dsm(guest, ".NV01", DEVICE, 1) == struct.pack("<I", 1)


def test_fit(guest: Interpreter, world: World) -> None:
    fit = guest.evaluate("\\_SB.NVDR._FIT")
    assert fit == world.model().fit
    world.model().plug(world.backing("c", (16 * MIB, MIB)))
    world.model().connect()
    fit = guest.evaluate("\\_SB.NVDR._FIT")
    assert isinstance(fit, bytes)
    assert sum(isinstance(item, ControlRegion) for item in parse_structures(fit)) == 3
    assert guest.evaluate("\\_SB.NVDR.NV02._LSI") == [0, SIZE, 4048]


def test_a_fit_of_many_pieces_that_changes_meanwhile(world: World) -> None:
    """60 devices take 11 KB; one is plugged while the guest reads the second piece."""
    model = world.model()
    model.attach([world.backing("d", (n * MIB, 4096), label_path=None) for n in range(60)], slots=61)
    reads = []

    def handle(access: IoRequest) -> int:
        result = model.handle(access)
        if access.write and access.address == XEN_HVM.mailbox:
            reads.append(access)
            if len(reads) == 2:
                model.plug(world.backing("late", (100 * MIB, 4096), label_path=None))
        return result

    world.xen.connect_emulator(world.domid, 0, handle)
    fit = interpret(model, GuestMemory(world)).evaluate("\\_SB.NVDR._FIT")
    assert fit == model.fit
    assert isinstance(fit, bytes)
    assert len(fit) == 61 * 184
    assert len(reads) == 2 + 1 + 4  # two pieces, "changed", three pieces and the end


def test_letting_go(guest: Interpreter, world: World) -> None:
    guest.evaluate("\\_SB.NVDR.NV01._EJ0", 1)
    assert [device.released for device in world.model().devices] == [False, True]
    world.model().unplug(1)


def test_traps_are_few(world: World, memory: GuestMemory) -> None:
    guest = interpret(world.model(), memory)
    assert dsm(guest, ".NV00", DEVICE, 4) == struct.pack("<III", 0, SIZE, 4048)
    assert memory.traps <= 24
    memory.traps = 0
    dsm(guest, ".NV00", DEVICE, 5, struct.pack("<II", 0, 4048))
    assert memory.traps <= 4056 // 8 + 30
    memory.traps = 0
    assert dsm(guest, ".NV00", OTHER, 0) == b"\0"
    assert memory.traps == 0  # foreign interfaces are told by the AML itself


def test_a_dead_device_model_ends_in_a_status(world: World, memory: GuestMemory) -> None:
    guest = interpret(world.model(), memory)
    world.calls.dm_destroy(world.domid, 0)
    assert dsm(guest, ".NV00", DEVICE, 0) == b"\0"
    assert dsm(guest, ".NV00", DEVICE, 4) == struct.pack("<I", 5)
    assert guest.evaluate("\\_SB.NVDR._FIT") == b""
    assert guest.evaluate("\\_SB.NVDR.NV00._LSI") == [1, 0, 0]


def test_a_device_model_that_hangs_ends_in_a_status(world: World) -> None:
    """The page is shared RAM, and nobody watches it: 4000 sleeps of 1 ms."""
    model = world.model(layout=in_ram(Gpa(32 * MIB)))
    model.attach([world.backing("a", (0, MIB))])
    guest = interpret(model, GuestMemory(world))
    assert dsm(guest, ".NV00", DEVICE, 4) == struct.pack("<I", 5)
    assert guest.elapsed == 4_000_000


def test_served_from_outside_while_the_aml_sleeps(world: World) -> None:
    layout = in_ram(Gpa(32 * MIB))
    model = world.model(layout=layout)
    model.attach([world.backing("a", (0, MIB))])
    page = world.domain.memory.view(Span(layout.mailbox, 4096))
    body = model.entries()[1].body
    guest = Interpreter(GuestMemory(world), clock=lambda _microseconds: model.serve(page) and None)
    guest.load(build_table("DSDT", b"", 2))
    guest.load(build_table("SSDT", scope("\\_SB", device("NVDR", body)), 2))
    assert dsm(guest, ".NV00", DEVICE, 4) == struct.pack("<III", 0, SIZE, 4048)
    assert guest.evaluate("\\_SB.NVDR._FIT") == model.fit
