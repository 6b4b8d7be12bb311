"""The guest kit's archive: what the kernel unpacks is what was put in."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def kit():
    spec = importlib.util.spec_from_file_location("kit", Path(__file__).parents[2] / "guest" / "kit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tools(tmp_path):
    """A folder like the unpacked packages."""
    for name in ("bin/busybox", "usr/bin/ndctl", "usr/share/doc/ndctl/copyright", "lib/x.so.1.2"):
        path = tmp_path / "tools" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "tools/lib/x.so.1").symlink_to("x.so.1.2")
    return tmp_path / "tools"


def unpack(archive):
    """{name: (mode, content)} of a newc archive, read after the format's description."""
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        start = -(-(at + 110 + length) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found[name] = mode, archive[start : start + size]
        at = -(-(start + size) // 4) * 4


def test_the_archive(kit, tools):
    modules = [("libnvdimm", b"first"), ("nfit", b"second")]
    archive = kit.initramfs(tools, modules, b"echo hello")
    assert archive == kit.initramfs(tools, modules, b"echo hello")
    found = unpack(archive)
    assert found["run.sh"] == (stat.S_IFREG | 0o755, b"echo hello")
    assert found["modules/00-libnvdimm.ko"][1] == b"first"
    assert found["usr/bin/busybox"][1] == b"bin/busybox"
    assert found["bin"] == (stat.S_IFLNK | 0o777, b"usr/bin")
    assert found["usr/lib/x.so.1"] == (stat.S_IFLNK | 0o777, b"x.so.1.2")
    assert stat.S_ISDIR(found["usr/lib"][0])
    assert not any(name.startswith("usr/share") for name in found)
    assert list(found).index("usr/lib") < list(found).index("usr/lib/x.so.1")


def test_modules_come_after_what_they_need(kit, tmp_path):
    folder = tmp_path / "lib" / "modules"
    folder.mkdir(parents=True)
    for name, needs in (("nfit", b"libnvdimm"), ("libnvdimm", b""), ("nd-pmem", b"libnvdimm,nd_btt"), ("nd-btt", b"")):
        (folder / f"{name}.ko").write_bytes(b"\0depends=" + needs + b"\0")
    assert [name for name, _ in kit.load_order(tmp_path, ["nfit", "nd_pmem"])] == [
        "libnvdimm",
        "nfit",
        "nd_btt",
        "nd_pmem",
    ]
