"""devdax: no block device and no file system, a character device that is memory."""

from __future__ import annotations

import json

import pytest

from xlpy.addr import MIB, PAGE, Span
from xlpy.cli.main import run
from xlpy.dom0.kernel import FileStat
from xlpy.errors import Conflict, NotFound, Unsafe
from xlpy.host import Host
from xlpy.toolstack.backing.devdax import provider
from xlpy.toolstack.backing.poison import poisoned
from xlpy.toolstack.backing.resolve import resolve
from xlpy.toolstack.config.domain_config import load_config

MACHINE = """
dimms: [{id: a, capacity: 64M}, {id: b, capacity: 64M}]
sets: [{name: a, dimms: [a]}, {name: b, dimms: [b], poison: [{offset: 0x2000040, size: 64}]}]
namespaces:
  - {region: a, mode: devdax, map: mem, reserve: true}
  - {region: b, mode: devdax, reserve: true}
"""


@pytest.fixture
def host(tmp_path):
    (tmp_path / "machine.yaml").write_text(MACHINE)
    made = Host.make(tmp_path / "host", tmp_path / "machine.yaml")
    yield made
    made.store.close()


def test_it_is_resolved_from_the_dax_bus(host):
    found = resolve(host.dom0, "/dev/dax0.0")
    namespace = host.dom0.namespaces[0]
    assert (found.kind, found.device, found.spans) == ("devdax", "dax0.0", (namespace.data,))
    assert found.size % (2 * MIB) == 0
    assert provider(host.dom0, found.kind, found.device) == "ACPI.NFIT"


def test_a_domain_can_have_it(host):
    domid = host.create(load_config('name="a"; type="hvm"; memory=256; vnvdimm=["/dev/dax0.0"]', "a.cfg"))
    (gpa,) = (row.start for row in host.domain(domid).map() if row.kind == "pmem")
    host.domain(domid).memory.write(gpa, b"in the guest")
    assert host.dom0.cat("/dev/dax0.0", 0, 12) == b"in the guest"
    with pytest.raises(Conflict, match="in use by domain"):
        host.create(load_config('name="b"; type="hvm"; memory=256; vnvdimm=["/dev/dax0.0"]', "b.cfg"))
    with pytest.raises(Conflict, match="domain 1 holds"):
        host.dom0.pin("/dev/dax0.0", "domain 7")
    host.destroy("a")
    host.create(load_config('name="b"; type="hvm"; memory=256; vnvdimm=["/dev/dax0.0"]', "b.cfg"))


def test_poison_is_listed_by_its_region(host):
    (bad,) = poisoned(host.dom0, resolve(host.dom0, "/dev/dax1.0"))
    assert bad.start == host.hw.regions[1].span.start + 0x2000000


def test_listings(host, tmp_path, capsys):
    assert run(["--root", str(tmp_path / "host"), "pmem", "list"]) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["dax0.0", "namespace0.0", "devdax"],
        ["dax1.0", "namespace1.0", "devdax"],
    ]
    assert run(["--root", str(tmp_path / "host"), "pmem", "resolve", "/dev/dax0.0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provider"] == "ACPI.NFIT"


# --- what other kernels tell -----------------------------------------------------------------------------------------

DAX = "/sys/bus/dax/devices/dax0.0"
ORDINARY = {
    "/sys/dev/char/252:0/uevent": "MAJOR=252\nMINOR=0\nDEVNAME=dax0.0\nDRIVER=device_dax",
    f"{DAX}/size": str(8 * PAGE),
    f"{DAX}/resource": "0x100000",
    f"{DAX}/../../../provider": "ACPI.NFIT",
    f"{DAX}/../../read_only": "0",
}
TWO = {
    f"{DAX}/mapping0/start": "0x300000",
    f"{DAX}/mapping0/end": "0x302fff",
    f"{DAX}/mapping0/page_offset": "0x5",
    f"{DAX}/mapping1/start": "0x100000",
    f"{DAX}/mapping1/end": "0x104fff",
    f"{DAX}/mapping1/page_offset": "0x0",
}


class Kernel:
    """A Dom0 of one character device."""

    def __init__(self, files, users=()):
        self.files, self.users = files, list(users)

    def stat(self, path):
        return FileStat("char", 0, (252, 0), 1, 1)

    def sysfs(self, path):
        if path not in self.files:
            raise NotFound(path)
        return self.files[path]

    def device_users(self, path, name):
        assert (path, name) == ("/dev/dax0.0", "dax0.0")
        return self.users


@pytest.mark.parametrize(
    ("files", "spans"),
    [
        (ORDINARY, [Span(0x100000, 8 * PAGE)]),
        (ORDINARY | TWO, [Span(0x100000, 5 * PAGE), Span(0x300000, 3 * PAGE)]),
    ],
    ids=["one range", "two, by page offset"],
)
def test_ranges(files, spans):
    found = resolve(Kernel(files), "/dev/dax0.0")
    assert list(found.spans) == spans
    assert [extent.logical for extent in found.extents] == [0, 5 * PAGE][: len(spans)]


def without(key):
    return {name: value for name, value in ORDINARY.items() if name != key}


@pytest.mark.parametrize(
    ("kernel", "error", "code", "said"),
    [
        (Kernel({}), Unsafe, "KIND", "character device that is not devdax"),
        (Kernel({"/sys/dev/char/252:0/uevent": "DEVNAME=null"}), Unsafe, "KIND", "not devdax"),
        (
            Kernel(ORDINARY | {"/sys/dev/char/252:0/uevent": "DEVNAME=dax0.0\nDRIVER=kmem"}),
            Conflict,
            "IN-USE",
            "system RAM",
        ),
        (
            Kernel(ORDINARY | {"/sys/dev/char/252:0/uevent": "DEVNAME=dax0.0\nDRIVER=fsdev_dax"}),
            Conflict,
            "IN-USE",
            "bound to the driver fsdev_dax",
        ),
        (Kernel(ORDINARY, ["in use: process 7 (vi) has it open"]), Conflict, "IN-USE", r"process 7 \(vi\)"),
        (Kernel(without(f"{DAX}/../../../provider")), Unsafe, "NOT-PMEM", "no nd region"),
        (Kernel(ORDINARY | {f"{DAX}/../../read_only": "1"}), Unsafe, "READ-ONLY", "read-only"),
        (Kernel(ORDINARY | TWO | {f"{DAX}/mapping0/page_offset": "0x6"}), Unsafe, "ORDER", "does not follow"),
        (Kernel(ORDINARY | TWO | {f"{DAX}/mapping1/start": "0x100200"}), Unsafe, "ORDER", "whole pages"),
    ],
)
def test_refused(kernel, error, code, said):
    with pytest.raises(error, match=said) as caught:
        resolve(kernel, "/dev/dax0.0")
    assert caught.value.code == f"XLPY-PMEM-{code}"


def test_a_read_only_region_is_for_readers():
    kernel = Kernel(ORDINARY | {f"{DAX}/../../read_only": "1"})
    assert resolve(kernel, "/dev/dax0.0", read_only=True).size == 8 * PAGE


def test_an_unbound_device_is_free():
    assert resolve(Kernel(ORDINARY | {"/sys/dev/char/252:0/uevent": "DEVNAME=dax0.0"}), "/dev/dax0.0").size == 8 * PAGE
