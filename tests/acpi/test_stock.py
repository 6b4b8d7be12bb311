"""The label methods that need no device model: run by our evaluator and by acpiexec, clean in iasl."""

import os
from contextlib import suppress

import pytest
from acpi.judges import acpiexec, compile_asl, disassemble
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.addr import GIB, KIB, Gpa, Spa, Span
from xlpy.devicemodel import stock
from xlpy.devicemodel.backing import Backing, Vnvdimm
from xlpy.devicemodel.stock import MICROSOFT_UUID, StockDevice, ssdt
from xlpy.dom0.nvdimm.labels import TYPE_PMEM, Label, empty_index, read_area
from xlpy.firmware.acpi.eval import ScratchMemory, load
from xlpy.firmware.acpi.guid import guid_bytes
from xlpy.firmware.acpi.sdt import build_table

AREA, SIZE = 21 * GIB, 128 * KIB
OK, INVALID = 0, 2
LONGEST = stock.MAX_TRANSFER
NV00 = "\\_SB.NVDR.NV00"


def dimm(slot=0, labels=True, size=SIZE, unarmed=False, losses=None):
    backing = Backing(f"/mnt/vm{slot}", (Span(Spa(GIB), 64 << 20),), unarmed=unarmed)
    span = Span(Gpa(AREA + slot * GIB), size) if labels else None
    return StockDevice(Vnvdimm(slot, Gpa((20 + slot) * GIB), backing, 0x1234 + slot), span, losses)


DSDT = build_table("DSDT", b"", 2)


class Memory(ScratchMemory):
    """A label area, and a guard: an access outside it, or that is not one of 8 aligned bytes, fails the test."""

    def __init__(self, *areas):
        super().__init__()
        self.areas = {area.labels.start: bytearray(os.urandom(area.labels.size)) for area in areas}
        self.written = []

    def _find(self, space, address, width):
        assert space == 0
        assert (width, address % 8) == (8, 0)
        for start, area in self.areas.items():
            if start <= address and address + width <= start + len(area):
                return area, address - start
        raise AssertionError(f"an access at {address:#x}, outside every label area")

    def read(self, space, address, width):
        area, at = self._find(space, address, width)
        return int.from_bytes(area[at : at + width], "little")

    def write(self, space, address, width, value):
        area, at = self._find(space, address, width)
        area[at : at + width] = value.to_bytes(width, "little")
        self.written.append(at)


def machine(*devices):
    devices = devices or (dimm(),)
    memory = Memory(*(one for one in devices if one.labels))
    return load([DSDT, ssdt(devices)], memory), memory


def test_label_information():
    vm, _ = machine(dimm(size=256 * KIB))
    assert vm.evaluate(f"{NV00}._LSI") == [OK, 256 * KIB, LONGEST]


RANGES = [  # offset, length, status: both sides of every bound
    (0, 1, OK),
    (0, LONGEST, OK),
    (0, LONGEST + 1, INVALID),
    (0, 0, INVALID),
    (3, 256, OK),
    (3, 257, OK),
    (5, LONGEST, OK),
    (SIZE - 1, 1, OK),
    (SIZE - 1, 2, INVALID),
    (SIZE, 1, INVALID),
    (SIZE - LONGEST, LONGEST, OK),
    (SIZE - LONGEST + 1, LONGEST, INVALID),
    (SIZE - 256, 256, OK),
    (SIZE - 257, 256, OK),
    (SIZE + 1, 1, INVALID),
    (2**64 - 1, 1, INVALID),
    (2**64 - 1, 2, INVALID),
    (1, 2**64 - 1, INVALID),
    (2**63, 2**63, INVALID),
]


@pytest.mark.parametrize(("offset", "length", "status"), RANGES)
def test_read(offset, length, status):
    vm, memory = machine()
    content = bytes(memory.areas[AREA])
    got = vm.evaluate(f"{NV00}._LSR", offset, length)
    assert got == [status, content[offset : offset + length] if status == OK else b""]
    assert bytes(memory.areas[AREA]) == content
    assert not memory.written


@pytest.mark.parametrize(("offset", "length", "status"), RANGES)
def test_write(offset, length, status):
    vm, memory = machine()
    before = bytes(memory.areas[AREA])
    data = os.urandom(min(length, LONGEST + 1))
    assert vm.evaluate(f"{NV00}._LSW", offset, length, data) == status
    wanted = before[:offset] + data + before[offset + length :] if status == OK else before
    assert bytes(memory.areas[AREA]) == wanted
    assert bool(memory.written) == (status == OK)


@pytest.mark.parametrize("data", [b"", b"x" * 255, 5, "text", [b"x" * 256]])
def test_a_write_whose_data_is_short_or_no_buffer(data):
    vm, memory = machine()
    assert vm.evaluate(f"{NV00}._LSW", 0, 256, data) == INVALID
    assert not memory.written


def test_data_that_is_longer_than_the_range_is_cut():
    vm, memory = machine()
    before = bytes(memory.areas[AREA])
    assert vm.evaluate(f"{NV00}._LSW", 8, 8, b"\1" * 4096) == OK
    assert bytes(memory.areas[AREA]) == before[:8] + b"\1" * 8 + before[16:]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, LONGEST), st.binary(min_size=1)), max_size=6))
def test_any_sequence_of_writes_is_what_reads_find(writes):
    vm, memory = machine()
    model = bytearray(memory.areas[AREA])
    for offset, length, seed in writes:
        length = min(length, SIZE - offset)
        data = (seed * (length // len(seed) + 1))[:length]
        assert vm.evaluate(f"{NV00}._LSW", offset, length, data) == OK
        model[offset : offset + length] = data
        assert vm.evaluate(f"{NV00}._LSR", offset, length) == [OK, data]
    assert memory.areas[AREA] == model


def test_a_short_write_stores_little():
    """A power failure in the middle can only hit what is being stored."""
    vm, memory = machine()
    vm.evaluate(f"{NV00}._LSW", 4096, 256, bytes(256))
    assert len(memory.written) <= stock.SMALL_WINDOW // 8
    assert memory.written == sorted(memory.written)


def test_two_dimms_have_areas_of_their_own():
    one, other = dimm(0), dimm(1)
    vm, memory = machine(one, other, dimm(2, labels=False))
    vm.evaluate("\\_SB.NVDR.NV01._LSW", 0, 4, b"abcd")
    assert memory.areas[other.labels.start][:4] == b"abcd"
    assert memory.areas[one.labels.start][:4] != b"abcd"
    assert not vm.exists("\\_SB.NVDR.NV02._LSI")
    assert not vm.exists("\\_SB.NVDR.NV02._DSM")


@pytest.mark.parametrize(
    ("uuid", "function", "answer"),
    [
        (MICROSOFT_UUID, 0, b"\1"),
        (MICROSOFT_UUID, 1, b"\1\0\0\0"),
        (MICROSOFT_UUID, 11, b"\1\0\0\0"),
        ("4309ac30-0d11-11e4-9191-0800200c9a66", 0, b"\0"),
        ("4309ac30-0d11-11e4-9191-0800200c9a66", 4, b"\0"),
    ],
)
def test_dsm_offers_function_0_of_microsofts_family_and_nothing_else(uuid, function, answer):
    vm, _ = machine()
    assert vm.evaluate(f"{NV00}._DSM", guid_bytes(uuid), 1, function, []) == answer


@pytest.mark.parametrize(
    ("unarmed", "losses", "flags", "valid", "count"),
    [(False, None, 0, 0, 0), (True, None, 1 << 8, 0, 0), (False, 0, 0, 1, 0), (False, 7, 0, 1, 7)],
)
def test_health_and_boot_status(unarmed, losses, flags, valid, count):
    vm, _ = machine(dimm(unarmed=unarmed, losses=losses))
    health, boot = vm.evaluate(f"{NV00}._NCH"), vm.evaluate(f"{NV00}._NBS")
    assert len(health) == len(boot) == 64
    numbers = [int.from_bytes(health[at:end], "little") for at, end in ((0, 2), (2, 4), (4, 6), (6, 10), (10, 14))]
    assert numbers == [0, 0, 3, flags, 0]
    assert [int.from_bytes(boot[at:end], "little") for at, end in ((0, 4), (4, 6), (6, 10))] == [0, valid, count]


def test_iasl_reads_it_and_compiles_it_again(tmp_path):
    bad, texts = disassemble(tmp_path, {"stock.aml": ssdt([dimm(0), dimm(1, labels=False)])})
    assert not bad
    body = texts[0][texts[0].index("{") + 1 : texts[0].rindex("}")]
    compile_asl(tmp_path, [body])


def test_acpiexec_runs_it_alike(tmp_path):
    """acpiexec's memory is zeros, and every session's own; each window is a piece of memory by itself there."""
    tables = [DSDT, ssdt([dimm(losses=3)])]
    vm = load(tables, ScratchMemory())
    commands = [f"{NV00}.{name}" for name in ("_LSI", "_NCH", "_NBS")]
    ours = [vm.evaluate(command) for command in commands]
    data = bytes(range(48))
    calls = [
        ("_LSW", 256, 48, data),
        ("_LSR", 256, 48),
        ("_LSR", 0, 4096),
        ("_LSR", SIZE - 64, 64),
        ("_LSR", SIZE, 1),
        ("_LSR", 0, 4097),
        ("_LSR", 0, 0),
        ("_LSW", SIZE - 48, 48, data),
        ("_LSW", SIZE - 47, 48, data),
        ("_LSW", 0, 49, data),
        ("_DSM", guid_bytes(MICROSOFT_UUID), 1, 0, []),
        ("_DSM", guid_bytes(MICROSOFT_UUID), 1, 11, []),
        ("_DSM", bytes(16), 1, 0, []),
    ]
    for name, *args in calls:
        ours.append(vm.evaluate(f"{NV00}.{name}", *args))
        spelt = " ".join(f"({a.hex(' ')})" if isinstance(a, bytes) else "[0]" if a == [] else f"{a:#x}" for a in args)
        commands.append(f"{NV00}.{name} {spelt}")
    assert acpiexec(tmp_path, tables, commands) == ours


class PowerFailure(Exception):
    """The machine is off."""


def test_labels_survive_a_power_failure_at_any_store():
    """Linux writes a label into a free slot, then the index block that is not current: old labels, or old and new."""

    def label(slot):
        return Label(bytes([slot + 1]) * 16, "", 0, 1, 0, 1, 512, slot << 24, 1 << 24, slot, 0, TYPE_PMEM)

    first, second = (empty_index(SIZE, block) for block in (0, 1))
    slots = first.labels
    old = first._replace(sequence=1, free=first.free & ~1)
    new = second._replace(sequence=2, free=first.free & ~3)
    writes = [(slots + 256, label(1).build()), (new.own, new.build())]
    outcomes = set()
    for stores in range(2 * stock.SMALL_WINDOW // 8 + 1):
        vm, memory = machine()
        area = memory.areas[AREA]
        area[:] = bytes(SIZE)
        area[: len(old.build())] = old.build()
        area[new.own : new.own + 256] = empty_index(SIZE, 1)._replace(sequence=3).build()
        area[slots : slots + 256] = label(0).build()
        real = memory.write

        def write(space, address, width, value, real=real, memory=memory, stores=stores):
            if len(memory.written) == stores:
                raise PowerFailure
            real(space, address, width, value)

        memory.write = write
        with suppress(PowerFailure):
            for offset, data in writes:
                vm.evaluate(f"{NV00}._LSW", offset, len(data), data)
        found = read_area(SIZE, lambda at, length, area=area: bytes(area[at : at + length]))
        outcomes.add(tuple(one.slot for one in found.labels))
    assert outcomes == {(0,), (0, 1)}
