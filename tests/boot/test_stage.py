"""Staging keeps bytes, order and holes."""

from __future__ import annotations

import os

import pytest

from xlpy.addr import MIB, PAGE
from xlpy.boot.plan import GuestNvdimm, Stretch
from xlpy.boot.stage import copy_back, copy_out


@pytest.fixture
def device(tmp_path):
    media = tmp_path / "media"
    with media.open("wb") as file:
        file.truncate(16 * MIB)
    os.truncate(media, 16 * MIB)
    return GuestNvdimm("v", 0, 5 * MIB, (Stretch(media, 8 * MIB, 2 * MIB), Stretch(media, MIB, 3 * MIB)))


def poke(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def peek(path, offset, length):
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def test_the_stage_has_the_bytes_in_guest_order(device, tmp_path):
    media = device.stretches[0].path
    poke(media, 8 * MIB + 5, b"first")
    poke(media, 4 * MIB - 4, b"last")
    copy_out(device, tmp_path / "stage")
    assert peek(tmp_path / "stage", 5, 5) == b"first"
    assert peek(tmp_path / "stage", 5 * MIB - 4, 4) == b"last"
    assert (tmp_path / "stage").stat().st_blocks * 512 <= 4 * PAGE * 4


def test_a_stage_that_cannot_be_made_leaves_nothing(device, tmp_path):
    broken = device._replace(stretches=(device.stretches[0], Stretch(tmp_path / "none", 0, 3 * MIB)))
    with pytest.raises(FileNotFoundError):
        copy_out(broken, tmp_path / "stage")
    assert [path.name for path in tmp_path.iterdir()] == ["media"]


def test_only_changed_pages_come_back(device, tmp_path):
    media, stage = device.stretches[0].path, tmp_path / "stage"
    poke(media, 8 * MIB, b"\xaa" * 3 * PAGE)
    copy_out(device, stage)
    poke(stage, PAGE + 7, b"guest")
    poke(stage, 2 * MIB, b"second stretch")
    assert copy_back(device, stage) == 2 * PAGE
    assert peek(media, 8 * MIB + PAGE + 7, 5) == b"guest"
    assert peek(media, MIB, 14) == b"second stretch"
    assert copy_back(device, stage) == 0


def test_zeros_written_by_the_guest_come_back(device, tmp_path):
    media, stage = device.stretches[0].path, tmp_path / "stage"
    poke(media, 8 * MIB, b"\xaa" * PAGE)
    copy_out(device, stage)
    poke(stage, 0, bytes(PAGE))
    copy_back(device, stage)
    assert peek(media, 8 * MIB, PAGE) == bytes(PAGE)


def test_a_hole_punched_by_the_guest_comes_back_as_zeros(device, tmp_path):
    media, stage = device.stretches[0].path, tmp_path / "stage"
    poke(media, 8 * MIB, b"\xaa" * PAGE)
    copy_out(device, stage)
    with stage.open("wb") as file:
        file.truncate(device.size)
    copy_back(device, stage)
    assert peek(media, 8 * MIB, PAGE) == bytes(PAGE)
