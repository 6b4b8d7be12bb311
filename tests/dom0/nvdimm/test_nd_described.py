"""Machines whose descriptions divide their persistent memory: labels, ranges without DIMMs, sets that share DIMMs."""

from __future__ import annotations

import subprocess

import pytest
from dom0.nvdimm.nd_bank import create, destroy
from programs import need

from xlpy.addr import GIB, MIB
from xlpy.errors import ConfigError, Constraint, NotFound
from xlpy.host import Host

MACHINE = """
name: divided
ram: 6G
dimms:
  - {id: a, capacity: 256M, handle: 0}
  - {id: b, capacity: 256M}
  - {id: c, capacity: 128M, label_size: 0}
sets:
  - {name: old, size: 64M, base: 1G}
  - {name: both, dimms: [a, b], size: 384M, labels: 1.2, location_cookie: 0x1234}
  - {name: rest, dimms: [a], labels: 1.2}
  - {name: also, dimms: [b], labels: 1.2}
  - {name: between, dimms: [c], base: 5G}
namespaces:
  - {region: both, mode: fsdax, size: 128M, name: files, reserve: true,
     filesystem: {type: ext4, mount: /mnt/files, files: [{path: vm.img, size: 16M}]}}
  - {region: both, mode: devdax, size: 64M, reserve: true}
  - {region: both, mode: sector, size: 64M}
  - {region: rest, mode: raw}
  - {region: between, mode: fsdax, map: mem, reserve: true}
"""


@pytest.fixture
def host(tmp_path):
    machine = tmp_path / "machine.yaml"
    machine.write_text(MACHINE)
    made = Host.make(tmp_path / "host", machine)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """The same, for tests that only look."""
    folder = tmp_path_factory.mktemp("described")
    (folder / "machine.yaml").write_text(MACHINE)
    made = Host.make(folder / "host", folder / "machine.yaml")
    yield made
    made.store.close()


def table(host):
    return [(one.dev, one.mode, one.disk or one.char, one.span.size // MIB, one.name) for one in host.dom0.namespaces]


DESCRIBED = [
    ("namespace0.0", "fsdax", "pmem0", 128, "files"),
    ("namespace0.1", "devdax", "dax0.1", 64, ""),
    ("namespace0.2", "sector", "pmem0.2s", 64, ""),
    ("namespace1.0", "raw", "pmem1", 64, ""),
    ("namespace3.0", "fsdax", "pmem3", 128, ""),
    ("namespace4.0", "fsdax", "pmem4", 64, ""),
]


def test_what_is_described_is_there(host):
    assert table(host) == DESCRIBED
    assert [region.nstype for region in host.dom0.nd.regions] == [5, 5, 5, 4, 4]
    assert [bus.provider for bus in host.dom0.nd.buses] == ["ACPI.NFIT", "e820"]
    assert [one.registered for one in host.dom0.reports] == [True, True, False, False, True, False]
    assert host.dom0.stat("/mnt/files/vm.img").size == 16 * MIB
    assert host.dom0.nd.region("region0").available_size == 128 * MIB
    assert host.dom0.nd.region("region2").max_available_extent == 64 * MIB
    assert [(d.dev, d.info.handle) for d in host.dom0.nd.dimms] == [("nmem0", 0), ("nmem1", 2), ("nmem2", 3)]


def test_a_set_without_dimms(host):
    region = host.dom0.nd.region("region4")
    assert (region.resource, region.bus.dev, region.mappings, region.set_cookie) == (GIB, "ndbus1", [], None)
    assert (region.persistence_domain, region.deep_flush, region.available_size) == (None, None, 0)
    (namespace,) = region.namespaces
    assert (namespace.mode, namespace.block_device, namespace.holder) == ("memory", "pmem4", "")
    assert host.dom0.namespaces[-1].map == "mem"
    assert host.dom0.sysfs("/sys/block/pmem4/queue/dax") == "1"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("mode: fsdax", ("fsdax", "pmem0", "mem", False)),
        ("mode: fsdax, reserve: true", ("fsdax", "pmem0", "dev", True)),
        ("mode: fsdax, map: mem, reserve: true", ("fsdax", "pmem0", "mem", True)),
        ("mode: devdax, reserve: true", ("devdax", "dax0.0", "dev", True)),
        ("mode: sector", ("sector", "pmem0s", None, False)),
        ("mode: raw", "memory without a DIMM is"),
    ],
)
def test_what_a_set_without_dimms_can_be(tmp_path, asked, found):
    """Its namespace is in fsdax mode as it is; asked for more, it gets an info block like any other."""
    machine = tmp_path / "machine.yaml"
    machine.write_text(f"ram: 1G\nsets: [{{name: old, size: 64M}}]\nnamespaces: [{{region: old, {asked}}}]\n")
    if isinstance(found, str):
        with pytest.raises(Constraint, match=found):
            Host.make(tmp_path / "host", machine)
        return
    made = Host.make(tmp_path / "host", machine)
    (one,), (report,) = made.dom0.namespaces, made.dom0.reports
    assert (one.mode, one.disk or one.char, one.map, report.registered) == found
    made.store.close()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ndbus1/provider", "e820"),
        ("region0/nstype", "5"),
        ("region0/available_size", str(128 * MIB)),
        ("region0/namespace_seed", "namespace0.3"),
        ("region0/pfn_seed", "pfn0.1"),
        ("region4/mappings", "0"),
        ("namespace0.0/uuid", None),
        ("namespace0.0/alt_name", "files"),
        ("namespace0.0/sector_size", "[512] 4096"),
        ("namespace0.2/dpa_extents", "2"),
        ("namespace3.0/nstype", "4"),
        ("nmem0/available_slots", "505"),
        ("nmem0/state", "active"),
        ("nmem0/flags", "label"),
        ("nmem2/state", "idle"),
        ("nmem1/commands", "get_size get_data set_data"),
    ],
)
def test_sysfs(made_once, path, text):
    found = made_once.dom0.sysfs(f"/sys/bus/nd/devices/{path}")
    assert found == (made_once.dom0.namespaces[0].label if text is None else text)


@pytest.mark.parametrize(
    "path", ["nmem2/available_slots", "region4/set_cookie", "region4/persistence_domain", "namespace3.0/uuid"]
)
def test_what_has_no_value_is_not_there(made_once, path):
    with pytest.raises(NotFound):
        made_once.dom0.sysfs(f"/sys/bus/nd/devices/{path}")


def test_the_nfit_says_the_same(host):
    from xlpy.firmware.acpi.nfit import RegionMap, SpaRange
    from xlpy.firmware.acpi.nfit_format import parse_nfit

    structures = list(parse_nfit(next(t.data for t in host.acpi_tables() if t.signature == "NFIT")))
    ranges = [one for one in structures if isinstance(one, SpaRange)]
    maps = [one for one in structures if isinstance(one, RegionMap)]
    assert [(one.base, one.length, one.location_cookie) for one in ranges][:1] == [(8 * GIB, 384 * MIB, 0x1234)]
    assert [(one.handle, one.spa_index, one.dpa_base, one.region_size, one.region_id) for one in maps] == [
        (0, 1, 0, 192 * MIB, 0),
        (2, 1, 0, 192 * MIB, 0),
        (0, 2, 192 * MIB, 64 * MIB, 1),
        (2, 3, 192 * MIB, 64 * MIB, 1),
        (3, 4, 0, 128 * MIB, 0),
    ]


def test_media_that_were_used_are_taken_as_they_are(host):
    with host.manage("changing") as nd:
        destroy(nd.namespace("namespace0.2"))
        create(nd.region("region2"), "11111111-2222-3333-4444-555555555555", 32 * MIB, mode="raw", name="new")
    host.store.close()
    again = Host.restart(host.root)
    assert table(again) == [
        *DESCRIBED[:2],
        DESCRIBED[3],
        ("namespace2.0", "raw", "pmem2", 32, "new"),
        *DESCRIBED[4:],
    ]
    again.store.close()


FILES = """
name: files
ram: 1G
dimms:
  - {{id: a, capacity: 512M}}
sets:
  - {{name: s, dimms: [a], base: 0x110001000}}
namespaces:
  - region: s
    mode: {mode}
    filesystem:
      mount: /mnt
      dax: false
      files:
        - {{path: small, size: 12K}}
        - {{path: image, content: guest.img, align: {align}}}
        - {{path: large, size: 150M, align: 2M}}
        - {{path: room, size: 8M, state: unwritten, align: 2M}}
        - {{path: longer, size: 8K, content: note}}
"""


@pytest.mark.parametrize("align", ["4K", "2M"])
def test_files_with_content_and_in_their_place(tmp_path, align):
    """The region starts off a boundary: it is the host address that counts, and not the place on the device."""
    content = bytes(5 << 20) + b"a guest" * 1000 + bytes(3 << 20) + b"end"
    (tmp_path / "guest.img").write_bytes(content)
    (tmp_path / "note").write_text("hello")
    machine = tmp_path / "files.yaml"
    machine.write_text(FILES.format(mode="raw", align=align))
    host = Host.make(tmp_path / "host", machine)
    assert host.dom0.cat("/mnt/image") == content
    assert host.dom0.cat("/mnt/longer") == b"hello" + bytes(8187)
    start = host.dom0.device("/dev/pmem0").window.start
    for path in ["/mnt/large", "/mnt/room", *["/mnt/image"] * (align == "2M")]:
        extents = host.dom0.fiemap(path)
        assert sum(one.length for one in extents) >= host.dom0.stat(path).size
        assert {(start + one.physical - one.logical) % (2 * MIB) for one in extents} == {0}
    image, offset = host.hw.locate_file(start)
    checked = subprocess.run(
        [need("e2fsck"), "-fn", f"{image}?offset={offset}"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    host.store.close()


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("{path: x, content: none}", "content: "),
        ("{path: x, content: /}", "'/' is not a file"),
        ("{path: x, content: note, size: 3}", "size: 3, and the content has 5 bytes"),
        ("{path: x, content: note, state: sparse}", "content: for files that are written, this one is sparse"),
        ("{path: x, size: 4M, align: 64K}", "align: 64K is not one of 4K, 2M, 1G"),
        ("{path: x, size: 4M, align: 2M, state: fragmented}", "align: a fragmented file has no place of its own"),
        ("{path: x}", "size: required, and not given"),
    ],
)
def test_files_that_cannot_be(tmp_path, row, text):
    (tmp_path / "note").write_text("hello")
    machine = tmp_path / "files.yaml"
    machine.write_text(FILES.format(mode="raw", align="4K").replace("{path: small, size: 12K}", row))
    (tmp_path / "guest.img").write_bytes(b"x")
    with pytest.raises(ConfigError) as caught:
        Host.describe(machine)
    (problem,) = caught.value.details
    assert text in problem
