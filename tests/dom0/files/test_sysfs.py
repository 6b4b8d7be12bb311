"""sysfs: every path by which a tool finds a pmem device, with the text that Linux gives."""

import pytest
from dom0.nvdimm.dom0_memory import SparseMemory
from dom0.nvdimm.info_blocks import create_fsdax, create_sector

from xlpy.addr import GIB, MIB, PAGE, Spa, Span
from xlpy.dom0.files.block import BlockDevice, block_devices
from xlpy.dom0.files.partitions import Partition, build_gpt
from xlpy.dom0.files.sysfs import Sysfs
from xlpy.dom0.nvdimm.badrange import BadRanges
from xlpy.dom0.nvdimm.detect import detect
from xlpy.dom0.nvdimm.fsdax import XEN_TABLES, plan_fsdax
from xlpy.dom0.nvdimm.probe import interpret
from xlpy.errors import NotFound
from xlpy.firmware.acpi.nfit import NOT_ARMED, Capabilities, ControlRegion, RegionMap, SpaRange
from xlpy.store import Store

UUID = bytes.fromhex("0d50f988467448eeb4a95ee17be61703")
BASE = 4 * GIB
SPANS = [Span(Spa(BASE), 128 * MIB), *(Span(Spa(BASE + n * GIB), 64 * MIB) for n in (1, 2, 3))]
NFIT = [
    *(SpaRange(i + 1, span.start, span.size) for i, span in enumerate(SPANS)),
    *(RegionMap(i + 1, i + 1, 1, span.size, flags=NOT_ARMED * (i == 3)) for i, span in enumerate(SPANS)),
    ControlRegion(1, 0x8086, 1, 1, serial_number=0x123456),
    Capabilities(1, 2),
]


@pytest.fixture(scope="module")
def sysfs():
    """Region 0 fsdax with two partitions, 1 raw, 2 sector mode, 3 fsdax map=mem with a reserve on an unarmed DIMM."""
    memory = SparseMemory()
    create_fsdax(memory, SPANS[0], plan_fsdax(SPANS[0], UUID, on_media=True))
    parts = [Partition(1, MIB, 16 * MIB), Partition(2, 32 * MIB, 8 * MIB)]
    for at, data in build_gpt(130023424, parts, UUID):
        memory.write(BASE + 0x400000 + at, data)
    create_sector(memory, SPANS[2], UUID, 4096)
    create_fsdax(memory, SPANS[3], plan_fsdax(SPANS[3], UUID, on_media=False, align=PAGE, costs=XEN_TABLES))
    bus = interpret(NFIT)
    namespaces = [detect(memory, i, span) for i, span in enumerate(SPANS)]
    devices, problems = block_devices(memory.read, namespaces)
    assert problems == []
    bad = Span(Spa(BASE + 0x400000 + 0x1240), 64)

    known = BadRanges(Store(None).table("dom0"))
    known.scrubbed([bad])
    return Sysfs(bus, namespaces, devices, lambda: known)


NFIT_DIR = "/sys/bus/nd/devices"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        # the paths of the vNVDIMM design
        ("/sys/block/pmem0/device/resource", "0x100400000"),
        ("/sys/block/pmem0/device/size", "130023424"),
        ("/sys/block/pmem1/device/resource", "0x140000000"),
        ("/sys/block/pmem1/device/size", "67108864"),
        ("/sys/block/pmem2s/device/size", "65961984"),
        ("/sys/block/pmem3/device/resource", "0x1c0200000"),
        ("/sys/block/pmem3/device/size", "65011712"),
        # disks
        ("/sys/block/pmem0/size", "253952"),
        ("/sys/block/pmem0/dev", "259:0"),
        ("/sys/block/pmem0/queue/dax", "1"),
        ("/sys/block/pmem0/queue/logical_block_size", "512"),
        ("/sys/block/pmem0/queue/physical_block_size", "4096"),
        ("/sys/block/pmem0/ro", "0"),
        ("/sys/block/pmem0/badblocks", "9 1"),
        ("/sys/block/pmem1/size", "131072"),
        ("/sys/block/pmem1/queue/dax", "0"),
        ("/sys/block/pmem1/badblocks", ""),
        ("/sys/block/pmem2s/size", "128832"),
        ("/sys/block/pmem2s/queue/dax", "0"),
        ("/sys/block/pmem2s/queue/logical_block_size", "4096"),
        ("/sys/block/pmem3/size", "126976"),
        ("/sys/block/pmem3/ro", "1"),
        # partitions, whichever way they are reached
        ("/sys/block/pmem0/pmem0p1/start", "2048"),
        ("/sys/block/pmem0/pmem0p1/size", "32768"),
        ("/sys/block/pmem0/pmem0p2/partition", "2"),
        ("/sys/class/block/pmem0p2/start", "65536"),
        ("/sys/dev/block/259:1/partition", "1"),
        ("/sys/dev/block/259:2/dev", "259:2"),
        ("/sys/dev/block/259:1/../device/resource", "0x100400000"),
        ("/sys/dev/block/259:4/device/namespace", "namespace2.0"),
        # the nd bus
        (f"{NFIT_DIR}/ndbus0/provider", "ACPI.NFIT"),
        (f"{NFIT_DIR}/ndbus0/nfit/revision", "1"),
        (f"{NFIT_DIR}/nmem0/state", "active"),
        (f"{NFIT_DIR}/nmem0/nfit/id", "8680-56341200"),
        (f"{NFIT_DIR}/nmem0/nfit/vendor", "0x8680"),
        (f"{NFIT_DIR}/nmem0/nfit/device", "0x0100"),
        (f"{NFIT_DIR}/nmem0/nfit/rev_id", "0x0100"),
        (f"{NFIT_DIR}/nmem0/nfit/serial", "0x56341200"),
        (f"{NFIT_DIR}/nmem0/nfit/format", "0x0301"),
        (f"{NFIT_DIR}/nmem0/nfit/handle", "0x1"),
        (f"{NFIT_DIR}/nmem0/nfit/flags", ""),
        (f"{NFIT_DIR}/nmem3/nfit/flags", "not_armed"),
        (f"{NFIT_DIR}/region0/size", "134217728"),
        (f"{NFIT_DIR}/region0/resource", "0x100000000"),
        (f"{NFIT_DIR}/region0/align", "0x1000000"),
        (f"{NFIT_DIR}/region0/mappings", "1"),
        (f"{NFIT_DIR}/region0/mapping0", "nmem0,0,134217728,0"),
        (f"{NFIT_DIR}/region0/set_cookie", "0x2468ac00123456"),
        (f"{NFIT_DIR}/region0/persistence_domain", "memory_controller"),
        (f"{NFIT_DIR}/region0/badblocks", "8201 1"),
        (f"{NFIT_DIR}/region0/read_only", "0"),
        (f"{NFIT_DIR}/region3/read_only", "1"),
        (f"{NFIT_DIR}/region0/nstype", "4"),
        (f"{NFIT_DIR}/namespace0.0/mode", "memory"),
        (f"{NFIT_DIR}/namespace0.0/holder", "pfn0.0"),
        (f"{NFIT_DIR}/namespace0.0/holder_class", "pfn"),
        (f"{NFIT_DIR}/namespace0.0/resource", "0x100000000"),
        (f"{NFIT_DIR}/namespace0.0/size", "134217728"),
        (f"{NFIT_DIR}/namespace1.0/mode", "raw"),
        (f"{NFIT_DIR}/namespace1.0/holder", ""),
        (f"{NFIT_DIR}/namespace2.0/mode", "safe"),
        (f"{NFIT_DIR}/namespace2.0/holder_class", "btt"),
        (f"{NFIT_DIR}/pfn0.0/mode", "pmem"),
        (f"{NFIT_DIR}/pfn0.0/align", "2097152"),
        (f"{NFIT_DIR}/pfn0.0/supported_alignments", "4096 2097152 1073741824 "),
        (f"{NFIT_DIR}/pfn0.0/uuid", "0d50f988-4674-48ee-b4a9-5ee17be61703"),
        (f"{NFIT_DIR}/pfn0.0/namespace", "namespace0.0"),
        (f"{NFIT_DIR}/pfn3.0/mode", "ram"),
        (f"{NFIT_DIR}/pfn3.0/align", "4096"),
        (f"{NFIT_DIR}/btt2.0/sector_size", "512 520 528 [4096] 4104 4160 4224 "),
        (f"{NFIT_DIR}/btt2.0/log_zero_flags", "Y"),
    ],
)
def test_value(sysfs, path, text):
    empty_list = path.endswith("badblocks") and not text
    assert sysfs.read(path) == text + "\n" * (not empty_list)


@pytest.mark.parametrize(
    "path",
    [
        "/sys/block/pmem2s/device/resource",  # a BTT has no place in memory
        "/sys/block/pmem2s/badblocks",
        "/sys/block/pmem2",
        "/sys/block/pmem9/size",
        "/sys/block/pmem0/pmem0p3/start",
        "/sys/block/pmem0",
        "/sys/dev/block/259:9/size",
        f"{NFIT_DIR}/nmem0/available_slots",  # no labels
        f"{NFIT_DIR}/namespace0.0/uuid",
        f"{NFIT_DIR}/pfn1.0/size",
        "/sys/../etc/passwd",
        "/etc/passwd",
        "",
    ],
)
def test_nothing_there(sysfs, path):
    with pytest.raises(NotFound):
        sysfs.read(path)


def test_directories(sysfs):
    assert sysfs.listdir("/sys/block") == ["pmem0", "pmem1", "pmem2s", "pmem3"]
    assert sysfs.listdir("/sys/dev/block") == [f"259:{n}" for n in range(6)]
    assert sysfs.listdir("/sys/class/block") == ["pmem0", "pmem0p1", "pmem0p2", "pmem1", "pmem2s", "pmem3"]
    assert sysfs.listdir("/sys/bus/nd/devices/") == [
        "btt2.0",
        *(f"namespace{n}.0" for n in range(4)),
        "ndbus0",
        *(f"nmem{n}" for n in range(4)),
        "pfn0.0",
        "pfn3.0",
        *(f"region{n}" for n in range(4)),
    ]
    assert sysfs.listdir("/sys/block/pmem0/pmem0p1") == ["dev", "partition", "ro", "size", "start"]
    assert sysfs.is_dir("/sys/block/pmem0/device")
    assert not sysfs.is_dir("/sys/block/pmem0/size")
    with pytest.raises(NotFound):
        sysfs.listdir("/sys/block/pmem0/size")


def test_links(sysfs):
    nd = "/sys/devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0012:00/ndbus0"
    assert sysfs.realpath("/sys/block/pmem0") == f"{nd}/region0/pfn0.0/block/pmem0"
    assert sysfs.realpath("/sys/block/pmem0/device") == f"{nd}/region0/pfn0.0"
    assert sysfs.realpath("/sys/block/pmem1/device") == f"{nd}/region1/namespace1.0"
    assert sysfs.realpath("/sys/dev/block/259:2") == f"{nd}/region0/pfn0.0/block/pmem0/pmem0p2"
    assert sysfs.realpath("/sys/block/pmem0/device/../..") == nd


def test_a_disabled_namespace_has_no_disk():
    memory = SparseMemory()
    create_fsdax(memory, SPANS[0], plan_fsdax(SPANS[0], UUID, on_media=True)._replace(mode=5))
    namespace = detect(memory, 0, SPANS[0])
    devices, _ = block_devices(memory.read, [namespace])
    assert devices == []
    tree = Sysfs(interpret(NFIT), [namespace], devices, lambda _span: [])
    assert tree.read(f"{NFIT_DIR}/namespace0.0/mode") == "raw\n"
    with pytest.raises(NotFound):
        tree.read("/sys/block/pmem0/device/resource")


def test_block_devices_survive_the_store():
    memory = SparseMemory()
    for device in block_devices(memory.read, [detect(memory, 0, SPANS[0])])[0]:
        assert BlockDevice.load(device.dump()) == device


def test_a_damaged_partition_table_is_reported():
    memory = SparseMemory()
    for at, data in build_gpt(128 * MIB, [Partition(1, MIB, MIB)], UUID):
        memory.write(BASE + at, data)
    memory.write(BASE + 512 + 40, b"\xff")
    devices, problems = block_devices(memory.read, [detect(memory, 0, SPANS[0])])
    assert [device.name for device in devices] == ["pmem0"]
    assert problems[0].startswith("pmem0: GPT not used: header CRC")
