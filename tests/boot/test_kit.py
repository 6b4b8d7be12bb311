"""The guest kit's archive: what the kernel unpacks is what was put in."""

from __future__ import annotations

import gzip
import importlib.util
import lzma
import shutil
import stat
import subprocess
import sys
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


def test_modules_as_distributions_pack_them(kit, tmp_path):
    """xz (Debian, Fedora), gz, plain; a module that is not there is built in."""
    body = b"\0depends=\0"
    for name, pack in (("a.ko.xz", lzma.compress), ("b.ko.gz", gzip.compress), ("c.ko", bytes)):
        (tmp_path / name).write_bytes(pack(body))
    (tmp_path / "d.ko.sig").write_bytes(b"no module")
    assert kit.load_order(tmp_path, ["a", "b", "c", "d", "e"]) == [("a", body), ("b", body), ("c", body)]


def test_zst_modules(kit, tmp_path):
    """Arch and Ubuntu; Python has no zstd before 3.14."""
    (tmp_path / "a.ko").write_bytes(b"\0depends=\0")
    if shutil.which("zstd") is None:
        (tmp_path / "a.ko.zst").write_bytes(b"packed")
        (tmp_path / "a.ko").unlink()
        with pytest.raises(SystemExit, match="package zstd"):
            kit.load_order(tmp_path, ["a"])
        return
    subprocess.run(["zstd", "-q", "--rm", tmp_path / "a.ko"], check=True)
    assert kit.load_order(tmp_path, ["a"]) == [("a", b"\0depends=\0")]


class Packages:
    """Stands in for apt: what packages there are, on what they depend, which files they have."""

    name = "made-up"

    def __init__(self, **packages):
        self.packages = {name.replace("_", "-"): value for name, value in packages.items()}

    def versions(self, package):
        return ["1"] if package in self.packages else []

    def depends(self, package):
        return self.packages.get(package, ([], []))[0]

    def unpack(self, packages, into):
        for package in packages:
            for name in self.packages[package][1]:
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                (into / name).write_bytes(package.encode())


WHOLE = {
    "linux-image-amd64": (["linux-image-6.12.1-amd64"], []),
    "linux-image-6.12.1-amd64": (["kmod", "initramfs-tools"], ["boot/vmlinuz-6.12.1-amd64", "usr/lib/modules/x.ko"]),
}
SPLIT = {
    "linux-image-amd64": (["linux-image-7.2.1-amd64"], []),
    "linux-image-7.2.1-amd64": (["linux-binary-7.2.1-amd64", "linux-modules-7.2.1-amd64", "kmod"], []),
    "linux-binary-7.2.1-amd64": ([], ["usr/lib/modules/7.2.1-amd64/vmlinuz"]),
    "linux-modules-7.2.1-amd64": ([], ["usr/lib/modules/7.2.1-amd64/kernel/x.ko.xz"]),
}


@pytest.mark.parametrize(
    ("packages", "version", "kernel"),
    [
        (WHOLE, "", "linux-image-6.12.1-amd64/boot/vmlinuz-6.12.1-amd64"),
        (WHOLE, "6.12.1-amd64", "linux-image-6.12.1-amd64/boot/vmlinuz-6.12.1-amd64"),
        (WHOLE, "6.12.1", "linux-image-6.12.1-amd64/boot/vmlinuz-6.12.1-amd64"),
        (SPLIT, "", "linux-image-7.2.1-amd64/usr/lib/modules/7.2.1-amd64/vmlinuz"),
    ],
    ids=["newest", "by version", "short", "split"],
)
def test_kernels_in_packages(kit, tmp_path, packages, version, kernel):
    found, tree = kit.packaged_kernel(Packages(**packages), tmp_path, version)
    assert found == tmp_path / kernel
    assert any(tree.rglob("x.ko*"))


@pytest.mark.parametrize(
    ("packages", "version", "said"),
    [
        (WHOLE, "5.4.0", "made-up has no kernel 5.4.0"),
        ({}, "", "not known to apt"),
        ({**SPLIT, "linux-binary-7.2.1-amd64": ([], [])}, "", "no vmlinuz in there"),
    ],
)
def test_no_such_kernel(kit, tmp_path, packages, version, said):
    with pytest.raises(SystemExit, match=said):
        kit.packaged_kernel(Packages(**packages), tmp_path, version)


def test_a_kernel_of_ones_own(kit, tmp_path):
    (tmp_path / "bzImage").touch()
    (tmp_path / "modules").mkdir()
    assert kit.named_kernel(tmp_path / "bzImage", tmp_path / "modules") == (tmp_path / "bzImage", tmp_path / "modules")
    for kernel, modules, said in (
        ("none", "modules", "no such kernel"),
        ("bzImage", "none", "no such folder; name the kernel's modules with --modules DIR"),
    ):
        with pytest.raises(SystemExit, match=said):
            kit.named_kernel(tmp_path / kernel, tmp_path / modules)
    with pytest.raises(SystemExit, match="--modules DIR"):
        kit.named_kernel(tmp_path / "bzImage", None)


def test_the_mirror_is_the_machines_own(kit, monkeypatch):
    monkeypatch.setattr(sys.modules["packages"], "run", lambda *words, **_: TARGETS)
    assert sys.modules["packages"].mirror() == (
        "http://mirror.example/debian/",
        "[signed-by=/usr/share/keyrings/mine.gpg] ",
    )
    monkeypatch.setattr(sys.modules["packages"], "run", lambda *words, **_: TARGETS.replace("Debian", "Other"))
    with pytest.raises(SystemExit, match="apt knows no mirror of Debian"):
        sys.modules["packages"].mirror()


TARGETS = """\
MetaKey: contrib/binary-amd64/Packages
Origin: Debian
Component: contrib
Repo-URI: http://wrong.example/debian/

MetaKey: main/binary-amd64/Packages
Origin: Debian
Component: main
Repo-URI: http://mirror.example/debian/
Signed-By: /usr/share/keyrings/mine.gpg
"""


def test_init_does_not_let_busybox_shadow_programs(kit):
    """Its first line names another shell, and links are made where no program is."""
    lines = kit.INIT.read_text().splitlines()
    assert lines[0] == "#!/bin/dash"
    assert "dash" in kit.TOOLS
    assert any("busybox --install -s /usr/bin" in line for line in lines)
