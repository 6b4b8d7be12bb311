"""What is wrong with a path has one status and one wording in every command that takes one."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from stat import S_IMODE, S_ISDIR

import programs
import pytest
from campaign.full import fill, mounted
from copying import copy_tree
from rights import bound_by_permissions
from traces import GPA, write_trace

from xlpy import limits
from xlpy.addr import format_size
from xlpy.cli.main import run
from xlpy.cli.plain import find
from xlpy.cli.tree import TREE
from xlpy.cli.types import FilePath
from xlpy.powercut.events import TraceEvent

GUEST = 'name = "other"\ntype = "hvm"\nmemory = 256\n'
CONFIG = 'name = "vm"\ntype = "hvm"\nmemory = 256\nvnvdimm = ["file=/mnt/pmem0/vm1.img"]\n'
IMAGE = "/mnt/pmem0/vm1.img"

# a file that is read, by command and parameter: a command line with {} for its path, the limit of its size if it has
# one, and whether an empty file is refused as such
READ = {
    ("create", "words"): (["create", "-n", "{}"], limits.CONFIG, False),
    ("create", "config"): (["create", "-n", "-f", "{}"], limits.CONFIG, False),
    ("config check", "files"): (["config", "check", "{}"], limits.CONFIG, False),
    ("config-update", "words"): (["config-update", "vm", "{}"], limits.CONFIG, False),
    ("config-update", "config"): (["config-update", "vm", "-f", "{}"], limits.CONFIG, False),
    ("save", "config"): (["save", "vm", "new", "{}"], limits.CONFIG, False),
    ("restore", "words"): (["restore", "{}"], None, True),
    ("restore", "words, CONFIG"): (["restore", "{}", "saved"], limits.CONFIG, False),
    ("export", "config"): (["export", "{}", "-o", "new", "--dom0", "emulated"], limits.CONFIG, False),
    ("import", "config"): (["import", "{}", "--dom0", "emulated"], limits.CONFIG, False),
    ("export check", "records"): (["export", "check", "{}"], limits.RECORD, True),
    ("export release", "records"): (["export", "release", "{}"], limits.RECORD, True),
    ("host init", "machine"): (["host", "init", "--machine", "{}"], limits.MACHINE, False),
    ("host reset", "machine"): (["host", "reset", "--machine", "{}"], limits.MACHINE, False),
    ("host plug", "file"): (["host", "plug", "{}"], limits.MACHINE, False),
    ("mem write", "source"): (["mem", "write", "vm", "0x500000", "--file", "{}"], limits.MEMORY, False),
    ("pmem write", "source"): (["pmem", "write", IMAGE, "0", "--file", "{}"], limits.PMEM_IO, False),
    ("acpi check", "what"): (["acpi", "check", "./{}"], limits.TABLES, True),
    ("acpi diff", "old"): (["acpi", "diff", "./{}", "vm"], limits.TABLES, True),
    ("acpi diff", "new"): (["acpi", "diff", "vm", "./{}"], limits.TABLES, True),
    ("acpi dump", "domain"): (["acpi", "dump", "./{}"], limits.TABLES, True),
    ("boot", "kernel"): (["boot", "vm", "--kernel", "{}"], None, True),
    ("boot", "initrd"): (["boot", "vm", "--kernel", "kernel", "--initrd", "{}"], None, True),
    ("run", "script"): (["run", "{}"], limits.SCRIPT, False),
    ("replay", "file"): (["replay", "{}"], None, True),
    ("trace replay", "failure"): (["trace", "replay", "{}", "-o", "new"], limits.COUNTEREXAMPLE, True),
    ("trace cut", "script"): (["trace", "cut", "trace", *("--kernel", "kernel", "--initrd", "kernel"), "--boot", "{}"],
                              limits.RECOVERY_SCRIPT, False),
    ("trace cut", "initrd"): (["trace", "cut", "trace", *("--kernel", "kernel", "--boot", "kernel"), "--initrd", "{}"],
                              None, True),
    ("trace cut", "kernel"): (["trace", "cut", "trace", *("--initrd", "kernel", "--boot", "kernel"), "--kernel", "{}"],
                              None, True),
}  # fmt: skip
TABLES = {name for name in READ if name[0].startswith("acpi")}  # they take a folder as well
WRONG = {
    "nowhere": (4, "No such file or directory"),
    "none/file": (4, "No such file or directory"),
    "saved/file": (4, "Not a directory"),
    "dangling": (4, "No such file or directory"),
    "loop": (6, "Too many levels of symbolic links"),
    "folder": (6, "Is a directory"),
    "secret": (6, "Permission denied"),
    "fifo": (6, "Is a FIFO, not a file"),
    "socket": (6, "Is a socket, not a file"),
    "device": (6, "Is a character device, not a file"),
}
NOT_A_FOLDER = dict.fromkeys(("saved", "fifo"), (6, "Not a directory"))


def picked(*paths):
    """What is wrong with these is the same whatever is done with them."""
    return {path: WRONG[path] for path in paths}


FOLDERS = {  # a folder that is read
    ("trace show", "trace"): ["trace", "show", "{}"],
    ("trace check", "trace"): ["trace", "check", "{}"],
    ("trace cut", "trace"): ["trace", "cut", "{}", "--", "true"],
}
NO_FOLDER = picked("nowhere", "dangling", "loop") | NOT_A_FOLDER

# a file that is written; those that may be a FIFO or a device as well
WRITTEN = {
    ("dump-core", "path"): ["dump-core", "vm", "{}"],
    ("save", "path"): ["save", "-c", "vm", "{}"],
    ("record", "file"): ["record", "{}", "--", "true"],
    ("trace replay", "output"): ["trace", "replay", "failure.json", "-o", "{}"],
    ("trace cut", "keep"): ["trace", "cut", "trace", "--keep", "{}", "--", "false"],
}
STREAMS = {
    ("mem read", "output"): ["mem", "read", "vm", "1M", "64K", "-o", "{}"],
    ("pmem read", "output"): ["pmem", "read", IMAGE, "0", "64K", "-o", "{}"],
    ("map", "svg_file"): ["map", "vm", "--svg", "{}"],
    ("map", "html_file"): ["map", "vm", "--html", "{}"],
    ("trace cut", "page"): ["trace", "cut", "trace", "--html", "{}", "--", "true"],
}
OUTPUTS = WRITTEN | STREAMS
LOCKED = {"locked/file": (6, "Permission denied")}
NO_STREAM = picked("none/file", "saved/file", "loop", "folder", "socket") | LOCKED
CANNOT_BE_WRITTEN = dict.fromkeys(WRITTEN, NO_STREAM | picked("fifo", "device")) | dict.fromkeys(STREAMS, NO_STREAM)
FILLED = {
    ("acpi dump", "folder"): ["acpi", "dump", "vm", "--format", "bin", "-o", "{}"],
    ("export", "folder"): ["export", "other.cfg", 'vnvdimm=["file=/dev/pmem1"]', "-o", "{}", "--dom0", "emulated"],
    ("host unplug", "to"): ["host", "unplug", "set1", "--to", "{}"],
    ("boot", "folder"): ["boot", "-n", "vm", "--kernel", "kernel", "--memory-file-dir", "{}"],
    ("boot", "record"): ["boot", "-n", "vm", "--kernel", "kernel", "--record", "{}"],
    ("trace cut", "work"): ["trace", "cut", "trace", "--work-dir", "{}", "--", "true"],
}
CANNOT_BE_FILLED = picked("saved/file", "loop") | NOT_A_FOLDER


@pytest.fixture(scope="module")
def place(made_host, tmp_path_factory):
    """A folder with a host, a domain on it, and things of all kinds. No command here changes any of them."""
    where = tmp_path_factory.mktemp("p")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        patch.setenv("XLPY_ROOT", str(where / "host"))
        copy_tree(made_host, where / "host")
        make_kinds(where)
        for words in (["create", "-q", "vm.cfg"], ["save", "-c", "vm", "saved"], ["record", "recorded", "--", "true"]):
            assert run(words) == 0
        assert run(["trace", "cut", "trace", "--keep", "failure.json", "--", "false"]) == 10
        assert run(["trace", "cut", "trace", "--", "true"]) == 0  # its results are kept beside the trace
        yield where


def make_kinds(where):
    """What the words of the tables stand for."""
    (where / "vm.cfg").write_text(CONFIG)
    (where / "other.cfg").write_text(GUEST)
    head = bytearray(1024)
    head[0x202:0x208], head[0x211] = b"HdrS\x0f\x02", 1
    (where / "kernel").write_bytes(head)
    store = TraceEvent("store", 0, GPA, b"12345678")
    write_trace(where / "trace", [store, TraceEvent("clwb", 0, GPA), TraceEvent("sfence", 0)])
    (where / "empty").touch()
    (where / "folder").mkdir()
    (where / "locked").mkdir(mode=0o500)
    (where / "secret").write_text("kept")
    (where / "secret").chmod(0)
    os.mkfifo(where / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    for name, target in (("dangling", "gone"), ("loop", "loop"), ("device", "/dev/full")):
        (where / name).symlink_to(target)


@pytest.fixture
def here(place, monkeypatch):
    """That folder, in which commands are run, and on its host."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("XLPY_ROOT", str(place / "host"))
    return place


@pytest.fixture
def refused(here, capsys):
    """A command line with a path in it ends with a status and a text, and changes nothing."""

    def check(line, path, status, reason):
        before = listing(here)
        capsys.readouterr()
        with bound_by_permissions():
            got = run([word.replace("{}", path) for word in line])
        told = capsys.readouterr()
        where = f"{line} {path}"
        assert got == status, f"{where}: {told.err}"
        assert f"{path}: {reason}" in told.err, where
        assert told.err.count("error: ") <= 1, where
        assert listing(here) == before, where

    return check


def listing(place):
    """Modes, and of files times and sizes, of all that is there, but for the host's own."""
    found = {}
    for entry in place.rglob("*"):
        if entry.relative_to(place).parts[0] != "host":
            status = entry.lstat()
            found[str(entry)] = (status.st_mode, not S_ISDIR(status.st_mode) and (status.st_mtime_ns, status.st_size))
    return found


def need_emulator(name):
    if name[0] == "boot":
        programs.need("qemu-system-x86_64")


def test_every_path_is_in_a_table():
    """Of all commands; names of configurations and the like have no type of their own."""
    paths = {
        (f"{group} {name}".strip(), one.name)
        for group, commands in TREE.items()
        for name, (where, _) in commands.items()
        if where
        for one in find(where).parameters
        if isinstance(one.type, FilePath)
    }
    assert paths - READ.keys() - FOLDERS.keys() - OUTPUTS.keys() - FILLED.keys() == set()


@pytest.mark.parametrize("name", READ, ids=" ".join)
def test_a_file_that_cannot_be_read(refused, place, name):
    need_emulator(name)
    line, limit, nonempty = READ[name]
    for path, (status, reason) in WRONG.items():
        if not (path == "folder" and name in TABLES):
            refused(line, path, status, reason)
    if nonempty:
        refused(line, "empty", 6, "Is empty")
    if limit:
        large = place / "large"
        with large.open("wb") as file:
            file.truncate(limit + 1)
        refused(line, "large", 6, f"Is longer than {format_size(limit)}, the most that is read of such a file")
        large.unlink()


@pytest.mark.parametrize("name", FOLDERS, ids=" ".join)
def test_a_folder_that_cannot_be_read(refused, name):
    for path, (status, reason) in NO_FOLDER.items():
        refused(FOLDERS[name], path, status, reason)


@pytest.mark.parametrize("name", OUTPUTS, ids=" ".join)
def test_a_file_that_cannot_be_written(refused, name):
    for path, (status, reason) in CANNOT_BE_WRITTEN[name].items():
        refused(OUTPUTS[name], path, status, reason)


@pytest.mark.parametrize("name", FILLED, ids=" ".join)
def test_a_folder_that_cannot_be_filled(refused, name):
    need_emulator(name)
    for path, (status, reason) in CANNOT_BE_FILLED.items():
        refused(FILLED[name], path, status, reason)


def test_a_new_folder_that_exists(refused):
    for path in ("folder", "saved", "fifo", "loop"):
        refused(["replay", "recorded", "--keep", "{}"], path, 5, "File exists")
    refused(["replay", "recorded", "--keep", "{}"], "saved/file", 4, "Not a directory")


@pytest.fixture
def disk(place):
    """A small file system of its own below the folder."""
    (place / "disk").mkdir(exist_ok=True)
    try:
        with mounted(place / "disk", 64 << 10):
            yield place / "disk"
    except PermissionError as error:
        pytest.skip(f"nothing can be mounted here: {error}")


def test_a_full_disk(refused, disk):
    """What was there stays, and nothing is half there."""
    (disk / "there").write_text("kept")
    (disk / "folder").mkdir()
    fill(disk)
    for line in OUTPUTS.values():
        for path in ("disk/new", "disk/there"):
            refused(line, path, 6, "No space left on device")
    assert (disk / "there").read_text() == "kept"


def test_a_disk_that_may_only_be_read(refused, disk):
    (disk / "there").write_text("kept")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for line in OUTPUTS.values():
        for path in ("disk/new", "disk/there"):
            refused(line, path, 6, "Read-only file system")


@pytest.mark.parametrize("name", OUTPUTS, ids=" ".join)
def test_what_was_there_is_replaced_behind_links(here, name):
    """It keeps its rights; what is new is its owner's alone."""
    (here / "there").write_text("old")
    (here / "there").chmod(0o640)
    (here / "link").symlink_to("there")
    (here / "to nothing").symlink_to("new")
    for path in ("link", "to nothing"):
        run([word.replace("{}", path) for word in OUTPUTS[name]])
        assert (here / path).is_symlink()
    assert (here / "there").read_bytes() not in (b"old", b"")
    assert S_IMODE((here / "there").stat().st_mode) == 0o640
    assert S_IMODE((here / "new").stat().st_mode) == 0o600
    for made in ("there", "link", "to nothing", "new"):
        (here / made).unlink()


@pytest.mark.parametrize("name", STREAMS, ids=" ".join)
@pytest.mark.usefixtures("here")
def test_a_stream_may_be_a_device(name):
    assert run([word.replace("{}", "/dev/null") for word in STREAMS[name]]) == 0
    assert Path("/dev/null").is_char_device()
