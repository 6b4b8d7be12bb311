"""Recording: the plugin compiles without a warning, and a real guest's stores are what the media hold afterwards."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from xlpy.errors import Conflict, Constraint, MissingTool
from xlpy.powercut import record
from xlpy.powercut.record import Recorder, plugin, require_version
from xlpy.powercut.trace import TraceHeader, Window

ROOT = Path(__file__).parents[2]
WINDOW = Window("vnvdimm0", 1 << 32, 8192, 0, "/dev/pmem0", [[1 << 33, 8192]], 1, label_size=256, labels=8192)
HEADER = TraceHeader("vm1", [WINDOW], [], cpu_features=["clflushopt"])
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (package gcc)")


@needs_cc
def test_the_plugin_compiles_without_a_warning(tmp_path):
    words = ["cc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", tmp_path / "x.so", record.SOURCE]
    subprocess.run(words, check=True)


@needs_cc
def test_the_plugin_is_compiled_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = plugin()
    made = first.stat().st_mtime_ns
    assert plugin() == first
    assert first.stat().st_mtime_ns == made
    assert list(first.parent.iterdir()) == [first]


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool) as raised:
        plugin()
    assert "gcc" in raised.value.hint


def test_a_compiler_that_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "false")
    with pytest.raises(Constraint, match="could not compile"):
        plugin()


@pytest.mark.parametrize(("version", "enough"), [((7, 2), False), ((9, 1), False), ((9, 2), True), ((10, 0), True)])
def test_versions_of_qemu(version, enough):
    if enough:
        require_version(version)
    else:
        with pytest.raises(Constraint, match=r"9\.2 or newer is required"):
            require_version(version)


@needs_cc
def test_a_folder_with_something_in_it(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(Conflict):
        Recorder(tmp_path, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@needs_cc
def test_base_holds_the_pieces_in_order(tmp_path):
    media = tmp_path / "media"
    media.write_bytes(b"a" * 4096 + b"b" * 4096)
    recorder = Recorder(tmp_path / "trace", HEADER._replace(caches_survive=True))
    recorder.begin([(media, 4096, 4096), (media, 0, 4096)], [b"label" * 3])
    made = recorder.end("", [])
    assert made.base.read_bytes() == b"b" * 4096 + b"a" * 4096 + b"label" * 3 + bytes(241)
    assert (made.header.caches_survive, made.header.complete) == (True, False)


@needs_cc
def test_commas_in_a_path_are_doubled_for_qemu(tmp_path):
    recorder = Recorder(tmp_path / "a,b", HEADER)
    word, text = recorder.words(tmp_path / "ram", 1 << 20, 0xFF000)
    assert word == "-plugin"
    assert "a,,b/events.gz,ram=" in text
    assert text.endswith(
        "low=0x100000,port=0x504,mailbox=0xff000,stride=2,range=0x100000000:0x100002000,labels=0x1:0x100,absent=clwb"
    )
