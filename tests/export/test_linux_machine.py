"""Export from a real Linux: what is read, pinned, synced and refused there."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time

import pytest
from export.linux_machine import MIB, RESOURCE, Box

from xlpy.columns import Column
from xlpy.dom0.files import openfiles
from xlpy.errors import Conflict, Constraint, NotFound, Unsafe
from xlpy.toolstack.backing.resolve import Resolved
from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.export.check import examine, read, release
from xlpy.toolstack.export.exporter import Exporter
from xlpy.toolstack.export.importing import import_config


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path / "box")


@pytest.fixture
def image(box):
    """Three extents, out of order on the media."""
    return box.file("vm1.img", (0x2000000, 4 * MIB), (0x1000000, 2 * MIB), (0x3000000, 2 * MIB))


@pytest.fixture
def labels(box):
    return box.file("vm1.labels", (0x5000000, 128 << 10))


def config(image, labels=None, *lines, name="vm1"):
    entry = f"file={image}" + (f",label_file={labels}" if labels else "")
    text = "\n".join((f'name = "{name}"', 'type = "hvm"', "memory = 512", f'vnvdimm = [ "{entry}" ]', *lines, ""))
    return load_config(text, f"{name}.cfg")


def export(box, configuration, folder="out"):
    exporter = Exporter(box.machine, lambda _text: None)
    return exporter.export(exporter.prepare(configuration, str(box.root / folder), "4.17"))


def codes(box, manifest):
    return [one.code for one in examine(box.machine, manifest)]


def test_extents_become_entries_in_the_order_of_the_file(box, image, labels):
    manifest = export(box, config(image, labels))
    stock = load_config((box.root / "out/vm1.cfg").read_text(), "vm1.cfg", strict=True)
    page = RESOURCE >> 12
    assert [(one["start"] - page, one["number"], one["gfn"]) for one in stock.tree["b_info"]["iomem"]] == [
        (0x2000, 0x400, 0x500000),
        (0x1000, 0x200, 0x500400),
        (0x3000, 0x200, 0x500600),
        (0x5000, 0x20, 0x540000),
    ]
    assert manifest.dom0 == "linux"
    assert codes(box, manifest) == []


def test_a_file_is_pinned_by_its_immutable_flag_until_the_release(box, image, labels):
    manifest = export(box, config(image, labels))
    assert box.kernel.immutable(image)
    assert box.kernel.immutable(labels)
    assert [area.pinned for area in manifest.areas] == ["immutable", "immutable"]
    release(box.machine, read(box.machine, manifest.path))
    assert not box.kernel.immutable(image)
    assert not box.kernel.immutable(labels)
    assert list(box.machine.register.items()) == []


def test_a_flag_of_somebody_else_is_not_taken_over(box, image):
    box.kernel.flags[image.stat().st_ino] = 0x10
    with pytest.raises(Conflict, match="immutable already"):
        export(box, config(image))
    assert box.kernel.immutable(image)
    assert not (box.root / "out").exists()


def test_a_flag_that_may_not_be_set(box, image, labels):
    box.kernel.refuses = errno.EPERM
    with pytest.raises(Unsafe, match="cannot be held in place") as caught:
        export(box, config(image, labels))
    assert "root" in caught.value.hint
    assert list(box.machine.register.items()) == []


def test_a_file_system_without_the_flag(box, image):
    box.kernel.knows = False
    manifest = export(box, config(image))
    assert [area.pinned for area in manifest.areas] == ["no"]
    assert codes(box, manifest) == []


def test_a_failure_unpins(box, image, labels, monkeypatch):
    """The label file is pinned first; then the data cannot be."""

    def fails(path):
        if path == str(image):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(box.machine, "sync", fails)
    with pytest.raises(OSError, match="Input/output"):
        export(box, config(image, labels))
    assert not box.kernel.immutable(image)
    assert not box.kernel.immutable(labels)
    assert list(box.machine.register.items()) == []


def test_a_command_that_was_killed_leaves_what_the_next_one_renews(box, image, monkeypatch):
    """Killed after the pin: the register knows of it."""
    monkeypatch.setattr(Exporter, "_write", lambda *_: os._exit(9))
    child = os.fork()
    if not child:
        export(box, config(image))
    os.waitpid(child, 0)
    monkeypatch.undo()
    box.kernel.flags[image.stat().st_ino] = 0x10  # as the child's kernel had it
    assert list(box.machine.register.keys()) == [str(box.root / "out/vm1.json")]
    manifest = read(box.machine, str(box.root / "out/vm1.json"))
    assert "XLPY-EXPORT-INTERRUPTED" in codes(box, manifest)
    assert codes(box, export(box, config(image))) == []


def test_whole_devices_are_held_by_the_register(box):
    box.mounts.write_text("")
    node = "/dev/pmem0"
    machine = box.machine
    found = machine.locate(
        [whole := __import__("xlpy.addr", fromlist=["Span"]).Span(RESOURCE, 1 << 30)],
    )
    assert found == (node, "device")
    assert machine.pmem() == [("pmem0", whole)]


def test_what_moves_or_loses_its_pin_is_found(box, image):
    manifest = export(box, config(image))
    rows = box.kernel.extents[image.stat().st_ino]
    box.kernel.extents[image.stat().st_ino] = [(rows[0][0], rows[0][1] + 0x10000000, rows[0][2]), *rows[1:]]
    assert codes(box, manifest) == ["XLPY-PMEM-MOVED"]
    box.kernel.extents[image.stat().st_ino] = rows
    box.kernel.flags[image.stat().st_ino] = 0
    assert codes(box, manifest) == ["XLPY-PMEM-UNPINNED"]


def test_another_file_of_the_same_name(box, image):
    manifest = export(box, config(image))
    rows = box.kernel.extents[image.stat().st_ino]
    image.rename(image.with_name("old"))
    other = box.file("vm1.img", *((physical, length) for _, physical, length in rows))
    assert other.stat().st_ino != manifest.devices[0].data.inode
    assert codes(box, manifest) == ["XLPY-PMEM-MOVED"]


def test_poison(box, image):
    manifest = export(box, config(image))
    sector = 0x1000000 // 512
    Box.write(box.disk / "badblocks", f"{sector - 1} 1\n{sector + 4096} 8")
    assert codes(box, manifest) == []  # both lie beside the extent
    Box.write(box.disk / "badblocks", f"{sector + 4095} 1")
    assert codes(box, manifest) == ["XLPY-PMEM-POISON"]
    release(box.machine, manifest)
    with pytest.raises(Unsafe, match="poisoned"):
        export(box, config(image))


@pytest.mark.parametrize("how", ["open", "mapped", "lease", "lock"])
def test_a_file_that_is_in_use_elsewhere(box, image, how, monkeypatch):
    """A process of another program has it; proc is the real one."""
    acts = {
        "open": "file = open(path, 'rb')",
        "mapped": "import mmap; file = mmap.mmap(os.open(path, os.O_RDWR), 4096); os.closerange(3, 9)",
        "lease": "import fcntl; file = os.open(path, os.O_RDONLY); fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)",
        "lock": "import fcntl; file = os.open(path, os.O_RDONLY); fcntl.flock(file, fcntl.LOCK_SH)",
    }
    code = f"import os, time\npath = {str(image)!r}\n{acts[how]}\nprint('ready', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == b"ready\n"
            (user,) = openfiles.users([str(image)])[str(image)]
            assert user.startswith(f"process {other.pid} (python")
            box.machine._proc = "/proc"
            monkeypatch.setattr(box.machine, "physical_bits", lambda: 46)
            with pytest.raises(Conflict, match=f"process {other.pid}"):
                export(box, config(image))
        finally:
            other.kill()
    deadline = time.monotonic() + 10
    while openfiles.users([str(image)])[str(image)] and time.monotonic() < deadline:
        time.sleep(0.05)
    export(box, config(image))


def test_a_file_that_no_process_shows(box, image):
    """Proc shows nobody here, though this process has it open: so the kernel's lease decides."""
    with image.open("rb"), pytest.raises(Conflict, match="the kernel has it open"):
        export(box, config(image))
    export(box, config(image))


def test_lines_of_proc_locks(tmp_path, image):
    """A lease of a server in the kernel has no process; a lock of another file does not count."""
    found = image.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    Box.write(
        tmp_path / "proc/locks",
        f"1: DELEG  ACTIVE    READ 0 {device}:{found.st_ino} 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE 4711 {device}:{found.st_ino + 1} 0 EOF\n"
        f"3: POSIX  ADVISORY  WRITE 4712 {device}:{found.st_ino} 0 EOF\n"
        f"3: -> POSIX  ADVISORY  WRITE 4713 {device}:{found.st_ino} 0 EOF",
    )
    assert openfiles.users([str(image)], str(tmp_path / "proc"))[str(image)] == [
        "the kernel or another machine holds a lease on it",
        "process 4712 (ended) holds a lock on it",
        "process 4713 (ended) holds a lock on it",
    ]


LISTED = {"domid": 3, "config": {"c_info": {"name": "busy"}, "b_info": {"iomem": [{"start": 0, "number": 1}]}}}


def xl(box, monkeypatch, content, status=0):
    """A stand-in for the toolstack's xl."""
    program = box.root / "bin/xl"
    Box.write(program, f"#!/bin/sh\ncat <<'X'\n{content}\nX\nexit {status}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("page", "count", "busy"), [(0x1FFF, 1, False), (0x1FFF, 2, True), (0x23FF, 1, True), (0x2400, 1, False)]
)
def test_running_domains_are_found_by_their_iomem(box, image, monkeypatch, page, count, busy):
    box.dom0_of_xen()
    LISTED["config"]["b_info"]["iomem"] = [{"start": (RESOURCE >> 12) + page, "number": count, "gfn": 0}]
    xl(box, monkeypatch, json.dumps([{"domid": 0, "config": {"c_info": {"name": "Domain-0"}}}, LISTED]))
    if not busy:
        export(box, config(image))
        return
    with pytest.raises(Conflict, match=r"domain 3 \(busy\) has memory of it mapped"):
        export(box, config(image))


def test_no_release_while_the_domain_runs(box, image, monkeypatch):
    box.dom0_of_xen()
    xl(box, monkeypatch, "[]")
    manifest = export(box, config(image))
    LISTED["config"]["b_info"]["iomem"] = [{"start": (RESOURCE >> 12) + 0x2000, "number": 1, "gfn": 0}]
    xl(box, monkeypatch, json.dumps([LISTED]))
    assert codes(box, manifest) == ["XLPY-PMEM-BUSY"]
    with pytest.raises(Conflict, match="cannot be released"):
        release(box.machine, manifest)
    assert box.kernel.immutable(image)


@pytest.mark.parametrize(("content", "status"), [("", 1), ("no JSON", 0)])
def test_an_xl_that_does_not_answer(box, image, monkeypatch, content, status):
    box.dom0_of_xen()
    xl(box, monkeypatch, content, status)
    with pytest.raises(Constraint, match="which domains run cannot be told"):
        export(box, config(image))


def test_a_guest_is_no_place_for_it(box, image):
    box.dom0_of_xen(control=False)
    with pytest.raises(Constraint, match="this is a Xen guest"):
        export(box, config(image))


@pytest.mark.parametrize(("version", "seen"), [("4.17", "4.17"), ("4.20", "4.20")])
def test_the_version_of_xen(box, version, seen):
    assert box.machine.xen() is None
    box.dom0_of_xen(version)
    assert box.machine.xen() == seen


def test_without_root_the_addresses_are_hidden(box, image, monkeypatch):
    (box.region / "pfn0.0/resource").unlink()

    def denied(path):
        if path.endswith("/resource"):
            raise Constraint(f"{path}: Permission denied", code="XLPY-LINUX-ACCESS", hint="run as root")
        return sysfs(path)

    sysfs = box.machine._dom0.sysfs
    monkeypatch.setattr(box.machine._dom0, "sysfs", denied)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Constraint) as caught:
        export(box, config(image))
    assert "only root may read where a pmem device lies" in caught.value.hint


def test_a_register_that_cannot_be_kept(box, image):
    (box.root / "register").write_text("a file")
    with pytest.raises(Constraint, match="register of exports cannot be kept there"):
        export(box, config(image))
    assert not box.kernel.immutable(image)


@pytest.mark.parametrize(
    ("flags", "losses", "unarmed", "count"),
    [
        ("", None, False, None),
        ("smart_notify", "3", False, 3),
        ("not_armed", "0", True, 0),
        ("flush_fail", "1", True, 1),
    ],
)
def test_what_the_dimms_tell_reaches_the_guest(box, image, flags, losses, unarmed, count):
    Box.write(box.dimm / "flags", flags)
    if losses is not None:
        Box.write(box.dimm / "dirty_shutdown", losses)
    media = box.machine.media(box.machine.resolve([str(image)])[0])
    assert (media.persistence, media.unarmed, media.data_losses) == ("memory_controller", unarmed, count)
    assert export(box, config(image)).devices[0].unarmed == unarmed


def test_the_serial_number_stays_when_file_and_device_get_other_names(box, image):
    """Labels are bound to it."""
    first = export(box, config(image))
    release(box.machine, first)
    image = image.rename(image.with_name("renamed"))
    second = export(box, config(image))
    assert first.devices[0].serial == second.devices[0].serial
    other = box.file("other", (0x6000000, MIB))
    assert export(box, config(other, name="vm2")).devices[0].serial != first.devices[0].serial


def test_import_finds_the_file_by_its_extents(box, image, labels):
    manifest = export(box, config(image, labels))
    box.file("same-size", (0x7000000, 8 * MIB))
    release_files = {path: path.read_bytes() for path in (box.root / "out").iterdir()}
    release(box.machine, manifest)
    for path, content in release_files.items():
        path.write_bytes(content)
    stock = load_config((box.root / "out/vm1.cfg").read_text(), "vm1.cfg")
    (one,) = import_config(stock, box.machine)
    assert (one.data.path, one.labels.path) == (str(image), str(labels))
    assert one.data.problems == ("no export holds it: the file system may move it at any time",)


def dmar(*regions):
    rows = b"".join(
        (1).to_bytes(2, "little")
        + (24).to_bytes(2, "little")
        + bytes(4)
        + base.to_bytes(8, "little")
        + (end - 1).to_bytes(8, "little")
        for base, end in regions
    )
    return b"DMAR".ljust(48, b"\0") + rows


def test_reserved_device_memory_is_avoided(box, image):
    table = box.sys / "firmware/acpi/tables/DMAR"
    table.parent.mkdir(parents=True)
    table.write_bytes(dmar((0x7B000000, 0x7F000000), (0x5_0000_0000, 0x5_0010_0000)))
    assert export(box, config(image)).devices[0].data.gpa == 0x5_0000_0000
    rdm = export(box, config(image, None, 'rdm = "strategy=host"'))
    assert rdm.devices[0].data.gpa == 0x5_4000_0000


def test_a_devdax_device_as_the_real_kernel_shows_it(box, monkeypatch):
    """Whatever it resolves to, identity, poison and writing back are the region's."""
    base = box.sys / "bus/dax/devices/dax0.0"
    under = box.region / "dax0.1/dax0.0"
    under.mkdir(parents=True)
    Box.write(box.region / "dax0.1/uuid", "c1c2d3e4-0000-4000-8000-000000000002")
    Box.write(box.region / "badblocks", "8 1")
    Box.write(box.region / "resource", f"{RESOURCE:#x}")
    Box.write(box.region.parent / "provider", "e820")
    base.parent.mkdir(parents=True)
    base.symlink_to(under)
    flat = [Column.of([number]) for number in (0, RESOURCE + 0x200000, 0x400000, 1)]
    found = Resolved("/dev/dax0.0", "devdax", "dax0.0", 0x400000, [flat])
    media = box.machine.media(found)
    assert media.identity == "c1c2d3e4-0000-4000-8000-000000000002-devdax"
    assert (media.persistence, "memory map" in media.note) == ("memory_controller", True)
    assert box.machine.poisoned(found) == []
    Box.write(box.region / "badblocks", f"{0x200000 // 512} 2")
    assert [(bad.start, bad.size) for bad in box.machine.poisoned(found)] == [(RESOURCE + 0x200000, 1024)]


def test_a_namespace_that_xens_dom0_cannot_use(box):
    """Page structures on the NVDIMM: the driver has failed, and there is no block device."""
    Box.write(box.sys / "bus/nd/devices/pfn0.1/uuid", "d1c2d3e4-0000-4000-8000-000000000003")
    Box.write(box.sys / "bus/nd/devices/pfn0.0/uuid", "")
    with pytest.raises(NotFound) as caught:
        export(box, config("/dev/pmem7"))
    assert caught.value.hint.startswith("pfn0.1: disabled.")
    assert "--map=mem" in caught.value.hint


@pytest.mark.parametrize(("vendor", "gpa"), [("GenuineIntel", 1012 << 30), ("AuthenticAMD", 1024 << 30)])
def test_amds_hole_below_1_tib_is_avoided(box, image, vendor, gpa):
    """All below it is taken by an entry of the configuration's own."""
    Box.write(box.proc / "cpuinfo", f"vendor_id\t: {vendor}\naddress sizes\t: 46 bits physical, 48 bits virtual")
    own = f'iomem = [ "4000000,{(1012 - 20) << 18:x}@500000" ]'
    assert export(box, config(image, None, own)).devices[0].data.gpa == gpa


@pytest.mark.parametrize(
    ("rows", "gpa"),
    [
        ("0x00000000f0000000 0x00000000f1ffffff 0x0000000000040200", 0x5_0000_0000),
        ("0x0000380000000000 0x00003803ffffffff 0x000000000014220c", 0x5_0000_0000),
        ("0x0000380000000000 0x00003807ffffffff 0x000000000014220c", 0x9_0000_0000),
    ],
)
def test_large_bars_of_devices_passed_through_get_their_room(box, image, rows, gpa):
    Box.write(box.sys / "bus/pci/devices/0000:03:00.0/resource", rows)
    assert export(box, config(image, None, 'pci = [ "03:00.0" ]')).devices[0].data.gpa == gpa
