"""RAM as a save file takes it: through a mapping, a window at a time."""

from __future__ import annotations

import os

import pytest

from xlpy.errors import Constraint
from xlpy.toolstack.domain import savefile
from xlpy.toolstack.domain.savefile import RamRun

PAGE = 4096
CONTENT = os.urandom(7 * PAGE + 100)


@pytest.fixture
def ram(tmp_path, monkeypatch):
    """The descriptor of a file, looked at two pages at a time."""
    monkeypatch.setattr(savefile, "CHUNK", PAGE)
    monkeypatch.setattr(savefile, "WINDOW", 2 * PAGE)
    (tmp_path / "ram").write_bytes(CONTENT)
    fd = os.open(tmp_path / "ram", os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("length", [1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1, 5 * PAGE])
@pytest.mark.parametrize("offset", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 100])
def test_pieces_are_the_bytes_of_the_run(ram, tmp_path, offset, length):
    savefile.write(str(tmp_path / "saved"), {"record": {}}, [RamRun(0x100000, ram, offset, length)])
    saved = savefile.read(str(tmp_path / "saved"))
    found = [(gpa - 0x100000, bytes(data)) for gpa, data in savefile.pieces(saved)]
    assert b"".join(data for _, data in found) == CONTENT[offset : offset + length]
    assert all(data == CONTENT[offset + at : offset + at + len(data)] for at, data in found)
    assert len(found) <= length // PAGE + 3


def test_ram_that_is_shorter_than_it_was_leaves_no_file(ram, tmp_path):
    with pytest.raises(Constraint):
        savefile.write(str(tmp_path / "saved"), {"record": {}}, [RamRun(0, ram, 0, len(CONTENT) + 1)])
    assert [file.name for file in tmp_path.iterdir()] == ["ram"]


def test_ram_is_not_copied(ram, tmp_path, monkeypatch):
    for name in ("read", "pread", "preadv", "readv"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("a copy of the RAM"))
    savefile.write(str(tmp_path / "saved"), {"record": {}}, [RamRun(0, ram, 0, len(CONTENT))])
