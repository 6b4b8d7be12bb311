"""Files that commands read: regular ones only, and no more of them than the documented limit."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest

from xlpy import limits
from xlpy.errors import ConfigError, Constraint
from xlpy.inputs import read_file, read_stream

GUEST = 'name = "vm"\ntype = "hvm"\nmemory = 256\n'
COMMANDS = {  # a command that reads a file, and its status when that is none
    "configuration": (["create", "-n", "{}"], 3),
    "configuration, checked": (["config", "check", "{}"], 3),
    "new configuration": (["config-update", "vm", "{}"], 3),
    "description": (["host", "init", "--machine", "{}"], 3),
    "acpi_firmware": (["create", "other.cfg", 'acpi_firmware="{}"'], 3),
    "smbios_firmware": (["create", "other.cfg", 'smbios_firmware="{}"'], 3),
    "memory": (["mem", "write", "vm", "0x500000", "--file", "{}"], 6),
    "tables": (["acpi", "check", "{}"], 6),
    "kernel": (["boot", "vm", "--kernel", "{}"], 6),
    "initrd": (["boot", "vm", "--kernel", "kernel", "--initrd", "{}"], 6),
}


@pytest.fixture
def here(xlpy, tmp_path, monkeypatch):
    """A domain, a FIFO that nobody writes into, and files that the commands need besides."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vm.cfg").write_text(GUEST)
    (tmp_path / "other.cfg").write_text(GUEST.replace('"vm"', '"other"'))
    head = bytearray(1024)
    head[0x202:0x208] = b"HdrS\x0f\x02"
    head[0x211] = 1
    (tmp_path / "kernel").write_bytes(head)
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.fixture
def refused(xlpy, here):
    """Run one of the commands with a path; what it says."""

    def run(name, path):
        words, status = COMMANDS[name]
        if "vm" in words:
            xlpy("create", "-q", "vm.cfg")
        found = xlpy(*[word.replace("{}", path) for word in words], status=status)
        return found.out + found.err

    return run


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("path", ["/dev/zero", "fifo"])
def test_what_has_no_end(refused, name, path):
    assert re.search("is not a (plain )?file", refused(name, path))


LIMITS = {
    "configuration": limits.CONFIG,
    "configuration, checked": limits.CONFIG,
    "new configuration": limits.CONFIG,
    "description": limits.MACHINE,
    "acpi_firmware": limits.FIRMWARE,
    "smbios_firmware": limits.FIRMWARE,
    "memory": limits.MEMORY,
    "tables": limits.TABLES,
}


@pytest.mark.parametrize("name", LIMITS)
def test_what_is_too_long(refused, here, name):
    """Refused by its size, which costs nothing: the file is a hole."""
    with (here / "large").open("wb") as file:
        file.truncate(LIMITS[name] + 1)
    assert "large is longer than" in refused(name, "large")


def test_a_folder_of_tables_is_limited_as_a_whole(xlpy, tmp_path):
    for name in ("a.dat", "b.dat"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(limits.TABLES // 2 + 1)
    assert "b.dat is longer than" in xlpy("acpi", "check", tmp_path, status=6).err


def test_standard_input_has_a_limit_too(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "xlpy", "acpi", "check", "-"],
        stdin=open("/dev/zero", "rb"),  # noqa: SIM115, PTH123 - closed with the process
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 6
    assert "standard input is longer than 256M" in done.stderr


def test_no_configuration_at_all(xlpy):
    assert xlpy("create", "-n", "/dev/null", 'name="a"', 'type="hvm"', "memory=64").status == 0


def test_both_sides_of_the_limit(tmp_path):
    path = tmp_path / "file"
    for length in (0, 9, 10):
        path.write_bytes(b"x" * length)
        assert read_file(path, 10) == b"x" * length
        assert read_stream(io.BytesIO(b"x" * length), "it", 10) == b"x" * length
    path.write_bytes(b"x" * 11)
    with pytest.raises(Constraint, match="longer than 10"):
        read_file(path, 10)
    with pytest.raises(ConfigError, match="it is longer than 10"):
        read_stream(io.BytesIO(b"x" * 11), "it", 10, ConfigError)


def test_a_file_that_grows_while_it_is_read():
    class Growing(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            self.given += size
            return b"x" * size

    growing = Growing()
    with pytest.raises(Constraint):
        read_stream(growing, "it", 5 << 20)
    assert growing.given == (5 << 20) + 1


@pytest.mark.parametrize("path", ["none", "folder", "loop"])
def test_what_cannot_be_opened(tmp_path, path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((OSError, Constraint)):
        read_file(tmp_path / path, 10)


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


def test_a_core_dump_replaces_plain_files_only(xlpy, configs, tmp_path):
    """Whoever is root would have no /dev/null any more."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("fifo", "link"):
        assert "not a plain file" in xlpy("dump-core", "quickstart", tmp_path / name, status=6).err
    assert (tmp_path / "fifo").is_fifo()
    assert (tmp_path / "link").is_symlink()


MORE = {
    "fragment": ["host", "plug", "{}"],
    "saved domain": ["restore", "{}"],
    "recording": ["replay", "{}"],
    "script": ["run", "{}"],
    "counterexample": ["trace", "replay", "{}", "-o", "image"],
    "trace": ["trace", "show", "{}"],
    "stock configuration": ["import", "{}"],
    "exported configuration": ["export", "{}", "-o", "folder"],
    "manifest": ["export", "check", "{}"],
    "content": ["pmem", "write", "/mnt/pmem0/vm1.img", "0", "--file", "{}"],
    "backing": ["pmem", "lint", "{}"],
}


GIVEN = {name: words for name, (words, _) in COMMANDS.items() if "other.cfg" not in words}


@pytest.mark.parametrize("words", [*GIVEN.values(), *MORE.values()], ids=[*GIVEN, *MORE])
def test_a_file_that_is_not_there(xlpy, here, words):
    """The same status everywhere; what a configuration names is a matter of the configuration."""
    if "vm" in words:
        xlpy("create", "-q", "vm.cfg")
    found = xlpy(*[word.replace("{}", "nowhere/file") for word in words], status=4)
    assert "nowhere/file" in found.out + found.err


def test_a_counterexample_that_is_a_program(xlpy):
    found = xlpy("trace", "replay", sys.executable, "-o", "image", status=6)
    assert "is no counterexample: it is not JSON" in found.err
