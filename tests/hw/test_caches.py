"""The host's caches between commands: what may be lost is kept in a file, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xlpy.errors import StateError
from xlpy.hw.caches import Caches


class Machine:
    """Memory with caches in front of it, opened anew for each step, as each command does."""

    def __init__(self, folder, persistence="memory_controller"):
        self.memory = bytearray(4096)
        self.path = os.fspath(folder / "caches.json")
        self.persistence = persistence

    def caches(self):
        return Caches(self.path, lambda spa, length: bytes(self.memory[spa : spa + length]), self.persistence)

    def store(self, spa, data):
        self.caches().store(spa, data)
        self.memory[spa : spa + len(data)] = data

    def after_failure(self, keep):
        """Memory when of each line `keep(line)` stores are left."""
        image = bytearray(self.memory)
        for spa, data in self.caches().contents(lambda _address, line: keep(line)):
            image[spa : spa + 64] = data
        return bytes(image)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def lowest(line):
    return line.durable


def test_a_store_without_flush_may_be_lost_or_kept(machine):
    machine.store(0x40, b"new")
    assert machine.after_failure(lowest)[0x40:0x43] == bytes(3)
    assert machine.after_failure(lambda line: len(line.stores))[0x40:0x43] == b"new"


def test_each_line_is_left_with_a_prefix(machine):
    machine.store(0x40, b"1")
    machine.store(0x48, b"2")
    assert machine.after_failure(lambda _line: 1)[0x40:0x49] == b"1" + bytes(8)


@pytest.mark.parametrize(
    ("steps", "safe"),
    [
        ([], False),
        (["clwb"], False),
        (["fence"], False),
        (["clwb", "fence"], True),
        (["clflushopt", "fence"], True),
        (["clflush"], True),
        (["fence", "clwb"], False),
    ],
)
def test_flush_and_fence(machine, steps, safe):
    machine.store(0x40, b"new")
    for step in steps:
        if step == "fence":
            machine.caches().fence()
        else:
            machine.caches().write_back(0x40, 3, step)
    assert (machine.after_failure(lowest)[0x40:0x43] == b"new") == safe
    assert Path(machine.path).exists() != safe


def test_a_fence_does_not_cover_a_store_after_the_flush(machine):
    machine.store(0x40, b"1")
    machine.caches().write_back(0x40, 1)
    machine.store(0x41, b"2")
    machine.caches().fence()
    assert machine.after_failure(lowest)[0x40:0x42] == b"1\0"


@pytest.mark.parametrize(("start", "length", "count"), [(0x40, 64, 1), (0x3F, 2, 1), (0x40, 65, 2), (0x80, 64, 1)])
def test_a_flush_covers_each_line_that_it_touches(machine, start, length, count):
    machine.store(0x40, bytes([1]) * 128)
    assert machine.caches().write_back(start, length) == count


def test_with_eadr_nothing_is_lost(tmp_path):
    machine = Machine(tmp_path, "cpu_cache")
    machine.store(0x40, b"new")
    assert not Path(machine.path).exists()


def test_without_adr_the_queue_must_be_drained(tmp_path):
    machine = Machine(tmp_path, "none")
    machine.store(0x40, b"new")
    machine.caches().write_back(0x40, 3)
    machine.caches().fence()
    assert machine.after_failure(lowest)[0x40:0x43] == bytes(3)
    machine.caches().fence(drain=True)
    assert not Path(machine.path).exists()


def test_nothing_modelled_leaves_no_file(machine):
    machine.caches().fence()
    machine.caches().write_back(0, 64)
    assert not Path(machine.path).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"lines": {"zz": []}}', '{"lines": {"40": ["00", [], 0]}}'])
def test_a_damaged_file(machine, text):
    Path(machine.path).write_text(text)
    with pytest.raises(StateError, match="cannot be read"):
        machine.caches()
