"""Files that commands read: regular ones only, and no more of them than the documented limit."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from xlpy import limits
from xlpy.errors import HostTrouble
from xlpy.inputs import read_file, read_stream

GUEST = 'name = "vm"\ntype = "hvm"\nmemory = 256\n'


def test_a_folder_of_tables_is_limited_as_a_whole(xlpy, tmp_path):
    for name in ("a.dat", "b.dat"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(limits.TABLES // 2 + 1)
    assert "b.dat: Is longer than" in xlpy("acpi", "check", tmp_path, status=6).err


def test_standard_input_has_a_limit_too(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "xlpy", "acpi", "check", "-"],
        stdin=open("/dev/zero", "rb"),  # noqa: SIM115, PTH123 - closed with the process
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 6
    assert "standard input: Is longer than 256M" in done.stderr


def test_no_configuration_at_all(xlpy):
    assert xlpy("create", "-n", "/dev/null", 'name="a"', 'type="hvm"', "memory=64").status == 0


def test_both_sides_of_the_limit(tmp_path):
    path = tmp_path / "file"
    for length in (0, 9, 10):
        path.write_bytes(b"x" * length)
        assert read_file(path, 10) == b"x" * length
        assert read_stream(io.BytesIO(b"x" * length), "it", 10) == b"x" * length
    path.write_bytes(b"x" * 11)
    with pytest.raises(HostTrouble, match="file: Is longer than 10"):
        read_file(path, 10)
    with pytest.raises(HostTrouble, match="it: Is longer than 10"):
        read_stream(io.BytesIO(b"x" * 11), "it", 10)


def test_a_file_that_grows_while_it_is_read():
    class Growing(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            self.given += size
            return b"x" * size

    growing = Growing()
    with pytest.raises(HostTrouble):
        read_stream(growing, "it", 5 << 20)
    assert growing.given == (5 << 20) + 1


@pytest.mark.parametrize("key", ["acpi_firmware", "smbios_firmware"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [("none", "No such file or directory"), ("folder", "Is a directory"), ("fifo", "Is a FIFO, not a file")],
)
def test_what_a_configuration_names_is_a_matter_of_the_configuration(xlpy, tmp_path, key, path, reason):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    found = xlpy("create", "/dev/null", 'name="a"', 'type="hvm"', "memory=64", f'{key}="{tmp_path / path}"', status=3)
    assert f"{key}: {tmp_path / path}: {reason}" in found.err


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("words", "file", "status"),
    [
        (["trace", "show", "{}"], "header.json", 6),
        (["trace", "replay", "{}/x.json", "-o", "{}/image"], "x.json", 6),
        (["export", "check", "{}/x.json"], "x.json", 6),
        (["restore", "{}/x.json"], "x.json", 3),
        (["host", "init", "--machine", "{}/x.json"], "x.json", 3),
        (["create", "-n", "{}/x.json"], "x.json", 3),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, list) else None,
)
def test_files_that_are_nested_deeply(xlpy, tmp_path, words, file, status):
    (tmp_path / file).write_text(DEEP)
    assert xlpy(*[word.replace("{}", str(tmp_path)) for word in words], status=status).err.count("error: ") == 1


@pytest.mark.parametrize("words", [("dump-core", "quickstart"), ("mem", "read", "quickstart", "1M", "1", "-o")])
def test_the_word_for_a_path_is_empty(xlpy, configs, words):
    xlpy("create", "-q", configs / "quickstart.cfg")
    assert "the word is empty" in xlpy(*words, "", status=2).err


def test_a_counterexample_that_is_a_program(xlpy):
    found = xlpy("trace", "replay", sys.executable, "-o", "image", status=6)
    assert "is no counterexample: it is not JSON" in found.err
