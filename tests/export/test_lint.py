"""`xlpy pmem lint`: every reason against a backing, on a real Linux, in the emulated Dom0, and in images."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from cli.conftest import CONFIGS
from dom0.ext4.images import MIB, Image
from export.linux_machine import RESOURCE, Box
from programs import need

from xlpy.cli.main import run
from xlpy.dom0.files.statx import Attributes
from xlpy.dom0.linux import LinuxDom0
from xlpy.errors import Constraint, UsageError
from xlpy.host import Host
from xlpy.hw.sparse import copy
from xlpy.toolstack.backing.resolve import resolve
from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.export.lint import lint, page_sizes


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path / "box")


def one(dom0, path, **more):
    (report,) = lint(dom0, str(path), **more)
    return report


def codes(report):
    return [found.code.removeprefix("XLPY-PMEM-") for found in report.findings]


def test_a_file_that_fits(box):
    report = one(box.dom0(), box.file("a", (0x2000000, 4 * MIB), (0x1000000, 2 * MIB)))
    assert report.findings == report.advice == report.unknown == ()
    assert (report.kind, report.size, report.extents) == ("file", 6 * MIB, 2)
    assert report.pages == {"1G": 0, "2M": 3, "4K": 0}


def test_a_file_whose_extents_allow_small_pages_only(box):
    report = one(box.dom0(), box.file("a", (0x2001000, 4 * MIB), (0x1000000, 2 * MIB)))
    assert report.pages == {"1G": 0, "2M": 1, "4K": 1024}
    assert "stride=512" in report.advice[0]


def test_every_reason_at_once(box):
    """Read-only, no DAX, an odd size, an unwritten extent."""
    path = box.file("a", (0x2000000, 4 * MIB), size=4 * MIB - 100)
    box.write(box.mounts, f"30 1 259:0 / {box.mnt} ro,relatime - ext4 /dev/pmem0 ro")
    real = box.kernel

    def unwritten(fd, request, buffer, mutate):
        real(fd, request, buffer, mutate)
        if len(buffer) > 100:
            struct.pack_into("<I", buffer, 32 + 40, 0x801)

    dom0 = box.dom0()
    dom0._ioctl, dom0._statx = unwritten, lambda _path: Attributes(0, 0x200000)
    report = one(dom0, path)
    assert codes(report) == ["NOT-DAX", "READ-ONLY", "SIZE", "UNWRITTEN"]
    assert "mount -o dax" in report.findings[0].hint
    assert "cp --sparse=never" in report.findings[3].hint
    assert codes(one(dom0, path, read_only=True)) == ["NOT-DAX", "SIZE", "UNWRITTEN"]


def _swap(box):
    box.write(box.proc / "swaps", f"Filename Type Size Used Priority\n{box.mnt}/a file 4 0 -2")


def _loop(box):
    box.write(box.sys / "block/loop3/loop/backing_file", f"{box.mnt}/a")


@pytest.mark.parametrize(("use", "words"), [(_swap, "active swap file"), (_loop, "the loop device loop3")])
def test_what_uses_a_file(box, use, words):
    path = box.file("a", (0x2000000, 4 * MIB))
    use(box)
    report = one(box.dom0(), path)
    assert codes(report) == ["IN-USE"]
    assert words in report.findings[0].message


class Unprivileged(LinuxDom0):
    """What an ordinary user may read of a real sysfs: all but addresses."""

    def sysfs(self, path):
        if path.endswith("/resource"):
            raise Constraint(f"{path}: Permission denied", code="XLPY-LINUX-ACCESS", hint="run as root")
        return super().sysfs(path)


def test_without_root(box):
    """The address is not known, and all else is told."""
    dom0 = box.dom0()
    dom0.__class__ = Unprivileged
    path = box.file("a", (0x2000000, 4 * MIB))
    report = one(dom0, path)
    assert report.findings == ()
    assert report.pages == {"1G": 0, "2M": 2, "4K": 0}
    assert "resource: Permission denied" in report.unknown[0]
    assert codes(one(dom0, box.file("b", (0x2000000, 4 * MIB), size=5))) == ["SIZE"]


def test_findings_are_those_of_resolve(box):
    """One home: what the lint finds first is what an export is refused for."""
    for extents, size in (((), 4096), (((0x2000000, 4096),), 100), (((1 << 40, 4096),), None), (((512, 4096),), None)):
        path = box.file("a", *extents, size=size)
        with pytest.raises(Exception) as caught:
            resolve(box.dom0(), str(path))
        report = one(box.dom0(), path)
        assert (report.findings[0].code, report.findings[0].message) == (caught.value.code, str(caught.value))


def test_this_machine(tmp_path, capsys):
    """A file here is on no NVDIMM, unless the machine has one; a real kernel answers."""
    (tmp_path / "file").write_bytes(b"x" * 8192)
    status = run(["pmem", "lint", str(tmp_path / "file"), "/dev/null", str(tmp_path), str(tmp_path / "none")])
    shown = capsys.readouterr().out
    assert status == 4  # one is not there
    assert shown.count("not fit") == 4
    assert "XLPY-PMEM-NOT-PMEM" in shown
    assert "XLPY-PMEM-KIND" in shown
    assert "XLPY-NOT-FOUND" in shown


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    root = tmp_path_factory.mktemp("refusals") / "host"
    Host.make(root, CONFIGS / "machines" / "refusals.yaml").store.close()
    with Host.open(root) as host:
        yield host


@pytest.mark.parametrize("path", sorted((CONFIGS / "refused").glob("*.cfg")), ids=lambda path: path.stem)
def test_what_create_refuses_is_a_finding(refusals, path):
    """Each backing of the refused examples, with the code that create gives."""
    first = path.read_text().splitlines()[0].split()
    config = None
    try:
        config = load_config(path.read_bytes(), str(path))
    except Exception:
        pytest.skip("the configuration cannot be read, which is its point")
    findings = {found.code for entry in config.vnvdimms for found in one(refusals.dom0, entry.file).findings}
    of_the_domain = {"XLPY-PMEM-TWICE", "XLPY-CONSTRAINT", "XLPY-NO-MEMORY", "XLPY-PMEM-UNREGISTERED"}
    assert findings == ({first[3]} - of_the_domain)


@pytest.mark.parametrize(
    ("path", "kind", "findings"),
    [
        ("/dev/pmem3p1", "partition", []),
        ("/dev/dax6.0", "devdax", []),
        ("/dev/mapper/vg0-root", "", ["NOT-PMEM"]),
        ("/mnt/pmem0/scattered.img", "file", []),
    ],
)
def test_devices_of_the_emulated_host(refusals, path, kind, findings):
    report = one(refusals.dom0, path, real=False)
    assert (report.kind, codes(report)) == (kind, findings)


def test_poison(tmp_path):
    root = tmp_path / "faulty"
    Host.make(root, CONFIGS / "machines" / "faulty.yaml").store.close()
    with Host.open(root) as host:
        assert codes(one(host.dom0, "/dev/pmem0")) == ["POISON"]


@pytest.fixture
def image(tmp_path):
    made = Image(tmp_path / "disk.img", 16 * MIB, offset=MIB).mke2fs()
    source = tmp_path / "source"
    source.write_bytes(b"x" * (4 * MIB))
    made.debugfs(f"write {source} good", "mkdir d", f"write {source} d/odd", "sif d/odd size 1000")
    source.write_bytes(b"")
    with source.open("wb") as file:
        file.truncate(MIB)
        file.seek(8192)
        file.write(b"x")
    made.debugfs(f"write {source} d/hole")
    return made


def test_an_image(image, tmp_path):
    reports = {Path(report.path).name: report for report in lint(LinuxDom0(), f"{image.path}?offset={MIB}")}
    assert {name: codes(report) for name, report in reports.items()} == {
        "good": [],
        "odd": ["SIZE"],
        "hole": ["HOLE"],
    }
    assert sum(reports["good"].pages.values()) > 0
    assert list(tmp_path.glob("*.lock")) == []  # nothing is left beside it


def test_one_file_of_an_image(image):
    assert codes(one(LinuxDom0(), f"{image.path}?offset={MIB:#x}:/d/hole")) == ["HOLE"]
    assert codes(one(LinuxDom0(), f"{image.path}?offset={MIB}:/d")) == ["KIND"]
    assert [f.code for f in one(LinuxDom0(), f"{image.path}?offset={MIB}:/none").findings] == ["XLPY-NOT-FOUND"]


@pytest.mark.parametrize(("offset", "code"), [("0", "XLPY-EXT4-NONE"), ("1G", None), ("-1", None), ("", None)])
def test_an_offset_that_is_none(image, offset, code):
    if code is None:
        with pytest.raises(UsageError, match="is no offset"):
            lint(LinuxDom0(), f"{image.path}?offset={offset}")
    else:
        assert [found.code for found in one(LinuxDom0(), f"{image.path}?offset={offset}").findings] == [code]


@pytest.fixture(scope="module")
def xfs(tmp_path_factory):
    """An XFS 1 MiB into a file, made by mkfs.xfs from a list of files."""
    folder = tmp_path_factory.mktemp("xfs")
    (folder / "content").write_bytes(b"x" * (2 * MIB))
    (folder / "odd").write_bytes(b"x" * 1000)
    proto = folder / "proto"
    proto.write_text(f"/dev/null\n0 0\nd--755 0 0\ngood ---644 0 0 {folder}/content\nodd ---644 0 0 {folder}/odd\n$\n")
    plain = folder / "plain"
    subprocess.run(
        [need("mkfs.xfs"), "-q", "-m", "reflink=0", "-p", proto, "-d", f"file,name={plain},size=320m"], check=True
    )
    image = folder / "disk.img"
    with image.open("wb") as file, plain.open("rb") as source:
        file.truncate(MIB + 320 * MIB)
        copy(source.fileno(), 0, 320 * MIB, file.fileno(), MIB)
    plain.unlink()
    return image


def test_an_image_of_an_xfs(xfs):
    reports = {Path(report.path).name: report for report in lint(LinuxDom0(), f"{xfs}?offset={MIB}")}
    assert {name: codes(report) for name, report in reports.items()} == {"good": [], "odd": ["SIZE"]}
    assert reports["good"].size == 2 * MIB
    assert codes(one(LinuxDom0(), f"{xfs}?offset={MIB}:/odd")) == ["SIZE"]
    assert [f.code for f in one(LinuxDom0(), f"{xfs}?offset={MIB}:/none").findings] == ["XLPY-NOT-FOUND"]


@pytest.fixture
def mounted():
    """A folder in which an XFS with reflink is mounted, which everybody may enter; its kernel is this machine's."""
    if os.geteuid():
        pytest.skip("only root can mount")
    home = Path(tempfile.mkdtemp(prefix="xlpy-lint-"))
    home.chmod(0o755)
    folder = home / "mnt"
    folder.mkdir()
    subprocess.run([need("mkfs.xfs"), "-q", "-d", f"file,name={home}/image,size=320m"], check=True)
    done = subprocess.run(["mount", "-o", "loop", home / "image", folder], capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            pytest.skip(f"no XFS can be mounted here: {done.stderr.strip()}")
        yield folder
    finally:
        if not done.returncode:
            subprocess.run(["umount", folder], check=True)
        (home / "image").unlink()
        folder.rmdir()
        home.rmdir()


@pytest.mark.parametrize("user", [0, 65534])
def test_a_mounted_xfs(mounted, user):
    """Root and an ordinary user are told the same: statx, fiemap and the mount need no rights."""
    (mounted / "plain").write_bytes(b"x" * (2 * MIB))
    subprocess.run(["cp", "--reflink=always", mounted / "plain", mounted / "shared"], check=True)
    with (mounted / "hole").open("wb") as file:
        file.truncate(MIB)
    os.sync()
    os.seteuid(user)
    try:
        found = {name: one(LinuxDom0(), mounted / name) for name in ("plain", "shared", "hole")}
    finally:
        os.seteuid(0)
    both = ["NOT-PMEM", "NOT-DAX"]
    assert {name: codes(report) for name, report in found.items()} == {
        "plain": [*both, "SHARED"],
        "shared": [*both, "SHARED"],
        "hole": [*both, "HOLE"],
    }


def test_an_image_that_may_not_be_read(mounted):
    """Not the same as one that is not there."""
    (mounted / "secret").write_bytes(b"x" * 4096)
    (mounted / "secret").chmod(0o600)
    os.seteuid(65534)
    try:
        (finding,) = one(LinuxDom0(), f"{mounted}/secret?offset=0").findings
    finally:
        os.seteuid(0)
    assert (finding.code, "Permission denied" in finding.message) == ("XLPY-HOST-FILE", True)


def test_no_image(tmp_path):
    assert [f.code for f in one(LinuxDom0(), f"{tmp_path}/none?offset=0").findings] == ["XLPY-NOT-FOUND"]


def test_json_and_status(host_root, monkeypatch, capsys):
    monkeypatch.setenv("XLPY_ROOT", str(host_root))
    assert run(["pmem", "lint", "--dom0", "emulated", "/mnt/pmem0/vm1.img", "--json"]) == 0
    assert '"schema": "xlpy.pmem-lint/1"' in capsys.readouterr().out
    assert run(["pmem", "lint", "--dom0", "emulated", "/dev/pmem0"]) == 10


def test_page_sizes_are_those_of_the_table(host):
    """What the lint says is what Xen's table of a guest has."""
    domid = host.create(load_config('name="a"\ntype="hvm"\nmemory=64\nvnvdimm=["file=/dev/pmem1"]\n', "a.cfg"))
    counts = host.xen.domain(domid).p2m.entry_counts(pmem=True)
    found = page_sizes(resolve(host.dom0, "/dev/pmem1"))
    assert found == {"1G": counts.huge, "2M": counts.large, "4K": counts.small}
    assert RESOURCE
